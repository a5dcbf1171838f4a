//! Session guarantees: what each forbids, and random histories that are judged as by trying all orders of versions.

use proptest::prelude::Rng;
use proptest::test_runner::{RngAlgorithm, TestRng};
use squall_check::History;
use squall_check::history::read;
use squall_check::sessions::{Guarantee, Verdict, check, in_words};

/// One operation after the other: `1w7` is a write of process 1, `1r7` a read, and `1r` one of what there is at first.
fn history(told: &str) -> History {
    let line = |process: &str, kind: &str, f: &str, value: &str| {
        format!("{{\"process\":{process},\"type\":\"{kind}\",\"f\":\"{f}\",\"value\":{value}}}\n")
    };
    let operation = |word: &str| {
        let (process, rest) = word.split_at(1);
        match rest.split_at(1) {
            ("w", value) => line(process, "invoke", "write", value) + &line(process, "ok", "write", value),
            // Nobody knows what became of it.
            ("u", value) => line(process, "invoke", "write", value) + &line(process, "info", "write", value),
            (_, "") => line(process, "invoke", "read", "null") + &line(process, "ok", "read", "null"),
            (_, value) => line(process, "invoke", "read", "null") + &line(process, "ok", "read", value),
        }
    };
    read(told.split_whitespace().map(operation).collect::<String>().as_bytes()).unwrap()
}

fn holds(told: &str, guarantee: Guarantee) -> bool {
    match check(&history(told), guarantee).unwrap() {
        Verdict::Kept => true,
        Verdict::Broken(_) => false,
        Verdict::Unknown(why) => panic!("{told}: {why}"),
    }
}

#[test]
fn each_guarantee_forbids_to_go_back() {
    for (told, own_writes, monotonic) in [
        ("1w1 1r1", true, true),
        ("1w1 1r", false, true),
        ("1w1 2r 2r1 2r1", true, true),
        ("1w1 2r1 2r", true, false),
        ("1w1 2w2 3r1 3r2 4r1 4r2", true, true),
        // Each session by itself goes on, but not in one order.
        ("1w1 2w2 3r1 3r2 4r2 4r1", true, false),
        ("1w1 2w2 1r2 2r1", false, true),
        // What a process wrote is in its order, for others as well.
        ("1w1 1w2 1r1", false, true),
        ("1w1 1w2 2r2 2r1 1r2", true, false),
        ("1w1 2w2 3r2 3r1 1r1", true, true),
        ("1w1 1r2 2w2", true, true),
        ("1u1 2r1 2r", true, false),
        ("1u1 2r", true, true),
        ("1w1 2r9", false, false),
    ] {
        assert_eq!(holds(told, Guarantee::ReadYourWrites), own_writes, "{told}");
        assert_eq!(holds(told, Guarantee::MonotonicReads), monotonic, "{told}");
    }
    let stale = history("1w1 1w2 2r1 2r2 2r1");
    let Verdict::Broken(found) = check(&stale, Guarantee::MonotonicReads).unwrap() else { panic!("it is broken") };
    let expected = "\
there is no order of versions in which none of these goes back:
  process 1: write 1 (lines 1 to 2)
  process 1: write 2 (lines 3 to 4)
  process 2: read -> 2 (lines 7 to 8)
  process 2: read -> 1 (lines 9 to 10)
";
    assert_eq!(in_words(&stale, &found), expected);
}

/// What can't be judged is no pass.
#[test]
fn what_cannot_be_told_apart_is_unknown() {
    for told in ["1w1 2w1 2r1", "1w1", "", "1wnull 1r"] {
        assert!(matches!(check(&history(told), Guarantee::MonotonicReads).unwrap(), Verdict::Unknown(_)), "{told}");
    }
    let cas = "{\"process\":1,\"type\":\"invoke\",\"f\":\"cas\",\"value\":[1,2]}\n";
    let problem = check(&read(cas.as_bytes()).unwrap(), Guarantee::MonotonicReads).unwrap_err().to_string();
    assert_eq!(problem, "event 1: \"cas\" is none of its operations: write and read, or put and get");
}

/// Whether some order of the versions fits.
fn try_all(told: &str, guarantee: Guarantee) -> bool {
    fn orders(left: &[char], so_far: &mut Vec<char>, fits: &dyn Fn(&[char]) -> bool) -> bool {
        if left.is_empty() {
            return fits(so_far);
        }
        (0..left.len()).any(|next| {
            let mut left = left.to_vec();
            so_far.push(left.remove(next));
            let found = orders(&left, so_far, fits);
            so_far.pop();
            found
        })
    }
    let words: Vec<Vec<char>> = told.split_whitespace().map(|word| word.chars().collect()).collect();
    let written: Vec<char> = words.iter().filter(|word| word[1] != 'r').map(|word| word[2]).collect();
    let fits = |order: &[char]| {
        let place =
            |value: Option<&char>| value.map_or(0, |value| 1 + order.iter().position(|one| one == value).unwrap());
        let in_order = words.iter().enumerate().filter(|(_, word)| word[1] == 'w').all(|(at, write)| {
            let mut before = words[..at].iter().filter(|word| word[0] == write[0] && word[1] == 'w');
            before.all(|word| place(word.get(2)) < place(write.get(2)))
        });
        in_order
            && words.iter().enumerate().filter(|(_, word)| word[1] == 'r').all(|(at, read)| {
                let mut before = words[..at].iter().filter(|word| word[0] == read[0]);
                before.all(|word| match (guarantee, word[1]) {
                    (Guarantee::ReadYourWrites, 'w') | (Guarantee::MonotonicReads, 'r') => {
                        place(word.get(2)) <= place(read.get(2))
                    }
                    _ => true,
                })
            })
    };
    orders(&written, &mut Vec::new(), &fits)
}

#[test]
fn random_histories_are_judged_as_by_trying_all_orders() {
    let mut rng = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
    let mut below = |bound: u32| rng.next_u32() % bound;
    let mut counts = [0; 4];
    for _ in 0..20_000 {
        let (mut words, mut written) = (Vec::new(), 0);
        for _ in 0..2 + below(9) {
            let process = 1 + below(3);
            if below(3) == 0 && written < 5 {
                written += 1;
                words.push(format!("{process}w{written}"));
            } else {
                let value = below(written + 1);
                words.push(if value == 0 { format!("{process}r") } else { format!("{process}r{value}") });
            }
        }
        if !words.iter().any(|word| word.contains('r')) {
            continue;
        }
        let told = words.join(" ");
        for (place, guarantee) in Guarantee::ALL.into_iter().enumerate() {
            let expected = try_all(&told, guarantee);
            assert_eq!(holds(&told, guarantee), expected, "{guarantee}: {told}");
            counts[2 * place + usize::from(expected)] += 1;
        }
    }
    assert!(counts.iter().all(|count| *count > 1_000), "{counts:?}");
}
