//! Transactions over lists: one history for each anomaly, and random ones that are judged as by trying all orders.

use std::collections::BTreeMap;

use proptest::prelude::Rng;
use proptest::test_runner::{RngAlgorithm, TestRng};
use squall_check::History;
use squall_check::history::read;
use squall_check::transactions::{Level, Verdict, check, check_within, in_words};

/// A transaction: when it was invoked, when it returned (0: nobody knows of it), and what it does: `x+1` appends, `x:12` reads two elements.
type Told<'t> = (u64, u64, &'t str);

fn parts(text: &str, is_answer: bool) -> String {
    let part = |part: &str| {
        let (key, rest) = part.split_at(1);
        match rest.split_at(1) {
            ("+", element) => format!("[\"append\",\"{key}\",{element}]"),
            (_, read) if is_answer => {
                let elements: Vec<String> = read.chars().map(String::from).collect();
                format!("[\"r\",\"{key}\",[{}]]", elements.join(","))
            }
            _ => format!("[\"r\",\"{key}\",null]"),
        }
    };
    format!("[{}]", text.split_whitespace().map(part).collect::<Vec<_>>().join(","))
}

fn line(process: usize, kind: &str, value: &str) -> String {
    format!("{{\"process\":{process},\"type\":\"{kind}\",\"f\":\"txn\",\"value\":{value}}}\n")
}

fn history_of(told: &[(u64, u64, String)]) -> History {
    let mut lines: Vec<(u64, String)> = Vec::new();
    for (process, (invoked, returned, text)) in told.iter().enumerate() {
        lines.push((*invoked, line(process, "invoke", &parts(text, false))));
        if *returned > 0 {
            lines.push((*returned, line(process, "ok", &parts(text, true))));
        }
    }
    lines.sort();
    read(lines.into_iter().map(|(_, line)| line).collect::<String>().as_bytes()).unwrap()
}

fn history(told: &[Told<'_>]) -> History {
    history_of(
        &told.iter().map(|(invoked, returned, text)| (*invoked, *returned, text.to_string())).collect::<Vec<_>>(),
    )
}

fn names(history: &History, level: Level) -> Vec<String> {
    match check(history, level).unwrap() {
        Verdict::Holds => Vec::new(),
        Verdict::Broken(anomalies) => {
            let text = in_words(history, &anomalies);
            assert!(anomalies.iter().all(|anomaly| text.contains(&anomaly.name())), "{text}");
            anomalies.iter().map(squall_check::transactions::Anomaly::name).collect()
        }
        Verdict::Unknown(why) => vec![why],
    }
}

/// The strongest level that a history keeps, in the order of [`Level::ALL`]: 0 for none.
fn kept(history: &History) -> usize {
    let holds: Vec<bool> = Level::ALL.iter().map(|level| names(history, *level).is_empty()).collect();
    // A stronger one implies the weaker ones.
    assert!(holds.windows(2).all(|pair| pair[0] || !pair[1]), "{holds:?}");
    holds.iter().filter(|holds| **holds).count()
}

/// All at once, each an anomaly that the level named first forbids and no weaker one.
#[test]
fn each_anomaly_has_its_name() {
    const AT_ONCE: u64 = 100;
    for (texts, kept_levels, name) in [
        (&["x+1 y+1", "x+2 y+2", "x:12 y:21"][..], 0, "G0"),
        (&["x+1 y:2", "y+2 x:1"], 1, "G1c"),
        (&["x+1 y+1", "x:1 y:"], 2, "G-single"),
        // A lost update.
        (&["x: x+1", "x: x+2", "x:12"], 2, "G-single"),
        // Two clocks that nobody sees in one order.
        (&["x+1", "y+1", "x:1 y:", "x: y:1"], 2, "G-nonadjacent"),
        // A write skew.
        (&["x: y+1", "y: x+1"], 3, "G2"),
        (&["x: y+1", "y: x+1", "x:1 y:1"], 3, "G2"),
        (&["x+1", "x:11"], 0, "duplicate-elements"),
        (&["x+1", "x:12"], 0, "garbage-read"),
        (&["x+1", "x+2", "x:12", "x:21"], 0, "incompatible-order"),
        (&["x+1", "x:1 x:"], 2, "internal"),
        (&["x+1 x:"], 2, "internal"),
        (&["x+1", "x+2 x:21"], 1, "internal"),
        (&["x+1 x+2", "x:1"], 1, "G1b"),
    ] {
        let told: Vec<Told<'_>> =
            texts.iter().enumerate().map(|(number, text)| (number as u64, AT_ONCE + number as u64, *text)).collect();
        let history = history(&told);
        let strict = names(&history, Level::StrictSerializable);
        assert!(strict.contains(&name.to_string()), "{texts:?}: {strict:?}, not {name}");
        assert_eq!(kept(&history), kept_levels, "{texts:?}");
        assert_eq!(
            names(&history, Level::Serializable).is_empty(),
            strict.iter().all(|name| name.contains("realtime"))
        );
    }
}

/// Who has returned comes before who begins then, and only then.
#[test]
fn time_counts_where_it_is_asked_for() {
    for (told, name) in [
        (&[(1, 2, "x+1"), (3, 4, "x:")][..], "G-single-realtime"),
        (&[(1, 2, "x:1"), (3, 4, "x+1")], "G1c-realtime"),
        (&[(1, 2, "x+1"), (3, 4, "x+2"), (5, 6, "x:21")], "G0-realtime"),
        (&[(1, 2, "x+1"), (1, 2, "y+1"), (3, 5, "x:1 y:1"), (4, 6, "x:1 y:1")], ""),
        (&[(1, 2, "x+1"), (3, 4, "y:"), (1, 9, "y+1 x:")], "G2-realtime"),
    ] {
        let expected: Vec<String> = if name.is_empty() { Vec::new() } else { vec![name.to_string()] };
        let history = history(told);
        let strict = names(&history, Level::StrictSerializable);
        if name.starts_with("G2") {
            assert!(!strict.is_empty() && strict.iter().all(|name| name.ends_with("realtime")), "{told:?}: {strict:?}");
        } else {
            assert_eq!(strict, expected, "{told:?}");
        }
        assert_eq!(names(&history, Level::Serializable), Vec::<String>::new(), "{told:?}");
    }
    // At the same time, either order will do: just so long.
    assert_eq!(names(&history(&[(1, 3, "x+1"), (2, 4, "x:")]), Level::StrictSerializable), Vec::<String>::new());
}

#[test]
fn what_failed_is_read_by_nobody_and_what_is_unknown_may_be() {
    let append = line(1, "invoke", "[[\"append\",\"x\",1]]");
    let read_list =
        |list: &str| line(2, "invoke", "[[\"r\",\"x\",null]]") + &line(2, "ok", &format!("[[\"r\",\"x\",{list}]]"));
    for (end, list, expected) in [
        ("fail", "[1]", &["G1a"][..]),
        ("fail", "[]", &[]),
        ("info", "[1]", &[]),
        ("info", "null", &[]),
        ("", "[1]", &[]),
        ("ok", "[1]", &[]),
        ("ok", "[]", &["G-single-realtime"]),
    ] {
        let end = if end.is_empty() { String::new() } else { line(1, end, "[[\"append\",\"x\",1]]") };
        let history = read(format!("{append}{end}{}", read_list(list)).as_bytes()).unwrap();
        assert_eq!(names(&history, Level::StrictSerializable), expected, "{end} {list}");
    }
    let open = line(1, "invoke", "[[\"append\",\"x\",1]]");
    for nothing in [String::new(), open.clone(), open + &line(1, "info", "null")] {
        let nothing = read(nothing.as_bytes()).unwrap();
        assert!(matches!(check(&nothing, Level::Serializable).unwrap(), Verdict::Unknown(_)));
    }
}

/// Whose append was read may have been taken back all the same, where that is allowed: then it stands in no order of writes.
#[test]
fn below_read_committed_what_was_read_need_not_have_happened() {
    let text = line(2, "invoke", "[[\"append\",\"x\",3],[\"append\",\"x\",4]]")
        + &line(0, "invoke", "[[\"append\",\"x\",5],[\"r\",\"x\",null]]")
        + &line(0, "ok", "[[\"append\",\"x\",5],[\"r\",\"x\",[3,5]]]");
    let history = read(text.as_bytes()).unwrap();
    assert!(names(&history, Level::ReadUncommitted).is_empty());
    assert!(names(&history, Level::ReadCommitted).contains(&"G0".to_string()));
    // The others come before each other as if it weren't there, whether it failed or nobody knows.
    for end in [String::new(), line(2, "fail", "[[\"append\",\"x\",2]]")] {
        let text = line(2, "invoke", "[[\"append\",\"x\",2]]")
            + &end
            + &line(0, "invoke", "[[\"append\",\"x\",1],[\"append\",\"y\",2]]")
            + &line(1, "invoke", "[[\"append\",\"x\",3],[\"append\",\"y\",1]]")
            + &line(0, "ok", "[[\"append\",\"x\",1],[\"append\",\"y\",2]]")
            + &line(1, "ok", "[[\"append\",\"x\",3],[\"append\",\"y\",1]]")
            + &line(3, "invoke", "[[\"r\",\"x\",null],[\"r\",\"y\",null]]")
            + &line(3, "ok", "[[\"r\",\"x\",[1,2,3]],[\"r\",\"y\",[1,2]]]");
        let history = read(text.as_bytes()).unwrap();
        let Verdict::Broken(found) = check(&history, Level::ReadUncommitted).unwrap() else { panic!("it is a cycle") };
        assert_eq!(found[0].name(), "G0");
        let said = found[0].evidence.join("\n");
        assert!(said.contains("appended 1, and 3 is the next element"), "{said}");
    }
}

#[test]
fn what_is_no_transaction_is_told_with_its_event() {
    for (asked, came, expected) in [
        ("7", "7", "event 1: it is 7: expected a list"),
        ("[[\"w\",\"x\",1]]", "[1]", "event 1: [\"w\",\"x\",1] in it: expected a list"),
        ("[[\"r\",\"x\",[1]]]", "[1]", "event 1: [\"r\",\"x\",[1]] in it"),
        ("[[\"r\",\"x\",null]]", "[]", "event 2: it came to []"),
        ("[[\"r\",\"x\",null]]", "[[\"r\",\"y\",[1]]]", "event 2: [\"r\",\"x\",null] came to [\"r\",\"y\",[1]]"),
        ("[[\"r\",\"x\",null]]", "[[\"r\",\"x\",1]]", "event 2: "),
        ("[[\"append\",\"x\",1]]", "[[\"append\",\"x\",2]]", "event 2: "),
        ("[[\"append\",\"x\",1]]", "null", "event 2: it came to null"),
        (
            "[[\"append\",\"x\",1],[\"append\",\"x\",1]]",
            "[[\"append\",\"x\",1],[\"append\",\"x\",1]]",
            "event 1: 1 is appended to \"x\" again: each element is appended once",
        ),
    ] {
        let history = read((line(1, "invoke", asked) + &line(1, "ok", came)).as_bytes()).unwrap();
        let problem = check(&history, Level::ReadUncommitted).unwrap_err().to_string();
        assert!(problem.starts_with(expected), "{problem}");
    }
    let other = "{\"process\":1,\"type\":\"invoke\",\"f\":\"read\"}\n";
    let problem = check(&read(other.as_bytes()).unwrap(), Level::Serializable).unwrap_err().to_string();
    assert!(problem.contains("\"read\" is no transaction: expected \"txn\""), "{problem}");
}

/// Of all cycles of a class the shortest is told, with what shows each of its edges.
#[test]
fn a_cycle_is_told_by_its_edges() {
    let long = ["a: b+1", "b: c+1", "c: d+1", "d: a+1"];
    let short = ["p: q+1", "q: p+2", "p:2"];
    let texts = long.iter().chain(&short).zip(0..);
    let told: Vec<Told<'_>> = texts.map(|(text, number)| (number, 100 + number, *text)).collect();
    let history = history(&told);
    let Verdict::Broken(anomalies) = check(&history, Level::Serializable).unwrap() else { panic!("it is broken") };
    let expected = "\
G2:
  T1 read \"p\" before T2 appended to it (rw): [] doesn't hold 2
  T2 read \"q\" before T1 appended to it (rw): [] doesn't hold 1
  T1: process 4: txn [[\"r\",\"p\",null],[\"append\",\"q\",1]] -> [[\"r\",\"p\",[]],[\"append\",\"q\",1]] (lines 5 to 12)
  T2: process 5: txn [[\"r\",\"q\",null],[\"append\",\"p\",2]] -> [[\"r\",\"q\",[]],[\"append\",\"p\",2]] (lines 6 to 13)
";
    assert_eq!(in_words(&history, &anomalies), expected);
}

/// Whether there is an order, by trying all: with and without time.
fn try_all(told: &[(u64, u64, String)]) -> (bool, bool) {
    fn go(told: &[(u64, u64, String)], done: u32, lists: &BTreeMap<char, String>, with_time: bool) -> bool {
        let open = |number: usize| done >> number & 1 == 0;
        // What nobody knows of needn't happen.
        if (0..told.len()).all(|number| !open(number) || told[number].1 == 0) {
            return true;
        }
        (0..told.len()).filter(|number| open(*number)).any(|number| {
            let (invoked, returned, text) = &told[number];
            let is_late =
                |other: usize| open(other) && other != number && told[other].1 != 0 && told[other].1 < *invoked;
            if with_time && (0..told.len()).any(is_late) {
                return false;
            }
            let mut lists = lists.clone();
            for part in text.split_whitespace() {
                let (key, rest) = (part.chars().next().unwrap(), &part[2..]);
                let list = lists.entry(key).or_default();
                match &part[1..2] {
                    "+" => list.push_str(rest),
                    _ if *returned > 0 && list != rest => return false,
                    _ => {}
                }
            }
            go(told, done | 1 << number, &lists, with_time)
        })
    }
    (go(told, 0, &BTreeMap::new(), false), go(told, 0, &BTreeMap::new(), true))
}

/// Random ones: transactions that really ran one by one, some of whose reads are then changed, and some of whose ends nobody knows.
#[test]
fn random_histories_are_judged_as_by_trying_all_orders() {
    let mut rng = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
    let mut below = |bound: u32| rng.next_u32() % bound;
    let (mut serializable, mut strict, mut neither) = (0, 0, 0);
    for round in 0..40_000 {
        let count = 2 + below(if round % 3 == 0 { 6 } else { 4 }) as usize;
        let mut lists: BTreeMap<char, String> = BTreeMap::new();
        let mut told: Vec<(u64, u64, String)> = Vec::new();
        // In some there is but one key, and more is appended than anybody reads.
        let (keys, reads_of_ten) = if round % 3 == 0 { (1, 2) } else { (2, 5) };
        let mut next = 1;
        for number in 0..count {
            let mut texts = Vec::new();
            for _ in 0..=below(3) {
                let key = ['x', 'y'][below(keys) as usize];
                let list = lists.entry(key).or_default();
                if below(10) < reads_of_ten || next > 9 {
                    // Mostly what is there, or what was there a while ago.
                    let back = if below(4) == 0 { below(3) as usize } else { 0 };
                    texts.push(format!("{key}:{}", &list[..list.len().saturating_sub(back)]));
                } else {
                    list.push_str(&next.to_string());
                    texts.push(format!("{key}+{next}"));
                    next += 1;
                }
            }
            let invoked = (10 * number as u64 + 1).saturating_sub(u64::from(below(25)) / 2 * 2);
            let returned = 10 * number as u64 + 2 + u64::from(below(25)) / 2 * 2;
            let ends = below(6) > 0;
            told.push((
                invoked * 16 + number as u64,
                if ends { returned * 16 + 8 + number as u64 } else { 0 },
                texts.join(" "),
            ));
        }
        let (is_serializable, is_strict) = try_all(&told);
        let history = history_of(&told);
        if told.iter().all(|(_, returned, _)| *returned == 0) {
            assert!(matches!(check(&history, Level::Serializable).unwrap(), Verdict::Unknown(_)));
            continue;
        }
        for (level, expected) in [(Level::Serializable, is_serializable), (Level::StrictSerializable, is_strict)] {
            let found = names(&history, level);
            assert_eq!(found.is_empty(), expected, "{level}: {found:?}: {told:?}");
            // Without the time to look for the shortest, some cycle is told.
            if let Verdict::Broken(anomalies) = check_within(&history, level, 0).unwrap() {
                assert!(!expected && anomalies.iter().all(|anomaly| !anomaly.evidence.is_empty()), "{anomalies:?}");
            } else {
                assert!(expected, "{told:?}");
            }
        }
        let kept = kept(&history);
        for (place, level) in Level::ALL.into_iter().enumerate() {
            assert_eq!(check_within(&history, level, 0).unwrap() == Verdict::Holds, place < kept, "{told:?}");
        }
        strict += u32::from(is_strict);
        serializable += u32::from(is_serializable && !is_strict);
        neither += u32::from(!is_serializable);
    }
    assert!(strict > 5_000 && serializable > 300 && neither > 5_000, "{strict} {serializable} {neither}");
}
