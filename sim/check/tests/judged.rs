//! Histories whose verdicts are known: real ones, and one for each mistake that a checker can make.

mod blind;

use std::path::Path;

use blind::Blind;
use squall_check::history::read;
use squall_check::linearizability::{Limits, Verdict, check};
use squall_check::models::{CasRegister, Kv, Lock, Queue, Register, Set};
use squall_check::{History, Model};

/// Lines such as `1 invoke write 7`: a process, a type, a name, a value, and perhaps `@` and a place in the system's order.
fn history(lines: &str) -> History {
    let line = |line: &str| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let [process, kind, f, value, rest @ ..] = &words[..] else { panic!("{line}") };
        let index = rest.first().map_or_else(String::new, |place| format!(",\"index\":{}", &place[1..]));
        format!("{{\"process\":{process},\"type\":\"{kind}\",\"f\":\"{f}\",\"value\":{value}{index}}}\n")
    };
    let text: String = lines.lines().map(str::trim).filter(|line| !line.is_empty()).map(line).collect();
    read(text.as_bytes()).unwrap()
}

fn word<M: Model>(model: &M, lines: &str) -> &'static str {
    match check(model, &history(lines), Limits::default()).unwrap().verdict {
        Verdict::Linearizable => "yes",
        Verdict::NotLinearizable(_) => "no",
        Verdict::Unknown(_) => "unknown",
    }
}

/// From anishathalye/porcupine; see the folder's README.
#[test]
fn real_histories_are_judged_as_is_known() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/data/histories");
    for (name, is_linearizable) in [("c01-ok", true), ("c01-bad", false), ("c10-ok", true), ("c10-bad", false)] {
        let file = std::fs::File::open(directory.join(format!("{name}.jsonl"))).unwrap();
        let history = read(std::io::BufReader::new(file)).unwrap();
        let verdict = check(&Kv, &history, Limits::default()).unwrap().verdict;
        assert_eq!(verdict == Verdict::Linearizable, is_linearizable, "{name}: {verdict:?}");
        assert!(!matches!(verdict, Verdict::Unknown(_)), "{name}");
    }
}

/// A write that nobody knows the outcome of may have happened, at any later time, or never: not to allow one of these is a mistake, and so
/// is to let it happen twice, or before it began.
#[test]
fn what_nobody_knows_may_be_and_may_not_be() {
    let unknown = "1 invoke write 7 \n 1 info write null";
    for (rest, verdict) in [
        ("2 invoke read null \n 2 ok read null", "yes"),
        ("2 invoke read null \n 2 ok read 7", "yes"),
        ("2 invoke read null \n 2 ok read null \n 2 invoke read null \n 2 ok read 7", "yes"),
        ("2 invoke read null \n 2 ok read 7 \n 2 invoke read null \n 2 ok read null", "no"),
        ("2 invoke read null \n 2 ok read 8", "no"),
        ("2 invoke write 8 \n 2 ok write 8 \n 2 invoke read null \n 2 ok read 7", "yes"),
        (
            "2 invoke read null \n 2 ok read 7 \n 2 invoke write 8 \n 2 ok write 8 \n 2 invoke read null \n 2 ok read 7",
            "no",
        ),
    ] {
        assert_eq!(word(&Register, &format!("{unknown}\n{rest}")), verdict, "{rest}");
        // Without its `info`, too: it is still open when the history ends.
        assert_eq!(word(&Register, &format!("1 invoke write 7\n{rest}")), verdict, "{rest}");
    }
    assert_eq!(word(&Register, "2 invoke read null \n 2 ok read 7 \n 1 invoke write 7 \n 1 info write null"), "no");
    // What certainly did not happen is seen by nobody.
    let failed = "1 invoke write 7 \n 1 fail write null";
    assert_eq!(word(&Register, &format!("{failed} \n 2 invoke read null \n 2 ok read 7")), "no");
    assert_eq!(word(&Register, &format!("{failed} \n 2 invoke read null \n 2 ok read null")), "yes");
}

/// What is written again may have an effect though it changes nothing at first.
#[test]
fn a_write_of_what_is_there_is_no_read() {
    let lines = "1 invoke write 7 \n 1 ok write 7 \n 1 invoke write 7 \n 2 invoke write 8 \n 2 ok write 8 \n 3 invoke read null \n \
                 3 ok read 8 \n 3 invoke read null \n 3 ok read 7 \n 1 ok write 7";
    assert_eq!(word(&Register, &lines.replace("\\n", "\n")), "yes");
}

#[test]
fn each_model_tells_right_from_wrong() {
    for (lines, verdict) in [
        (
            "1 invoke cas [null,1] \n 1 ok cas [null,1] \n 1 invoke cas [1,2] \n 1 ok cas null \n 1 invoke read null \n 1 ok read 2",
            "yes",
        ),
        ("1 invoke cas [1,2] \n 1 ok cas [1,2]", "no"),
        ("1 invoke cas [1,2] \n 1 fail cas null \n 1 invoke read null \n 1 ok read null", "yes"),
    ] {
        assert_eq!(word(&CasRegister, lines), verdict, "{lines}");
    }
    for (lines, verdict) in [
        (
            "1 invoke add 1 \n 1 ok add 1 \n 1 invoke add 2 \n 1 ok add 2 \n 1 invoke read null \n 1 ok read [2,1]",
            "yes",
        ),
        ("1 invoke add 1 \n 1 ok add 1 \n 1 invoke read null \n 1 ok read []", "no"),
        (
            "1 invoke add 1 \n 1 ok add 1 \n 1 invoke remove 1 \n 1 ok remove 1 \n 1 invoke read null \n 1 ok read []",
            "yes",
        ),
    ] {
        assert_eq!(word(&Set, lines), verdict, "{lines}");
    }
    let two = "1 invoke enqueue 1 \n 1 ok enqueue 1 \n 1 invoke enqueue 2 \n 1 ok enqueue 2";
    for (lines, verdict) in [
        ("1 invoke dequeue null \n 1 ok dequeue 1 \n 1 invoke dequeue null \n 1 ok dequeue 2", "yes"),
        ("1 invoke dequeue null \n 1 ok dequeue 2", "no"),
        ("1 invoke dequeue null \n 1 ok dequeue null", "no"),
        // It may have taken the first away.
        ("2 invoke dequeue null \n 2 info dequeue null \n 1 invoke dequeue null \n 1 ok dequeue 2", "yes"),
        ("1 invoke dequeue null \n 1 ok dequeue 1 \n 1 invoke dequeue null \n 1 ok dequeue 1", "no"),
    ] {
        assert_eq!(word(&Queue, &format!("{two}\n{lines}")), verdict, "{lines}");
    }
    assert_eq!(word(&Queue, "1 invoke dequeue null \n 1 ok dequeue null"), "yes");
    let held = "1 invoke acquire null \n 1 ok acquire null";
    for (lines, verdict) in [
        ("2 invoke acquire null \n 2 ok acquire null", "no"),
        ("1 invoke release null \n 1 ok release null \n 2 invoke acquire null \n 2 ok acquire null", "yes"),
        ("2 invoke release null \n 2 ok release null", "no"),
        // Whoever wanted it and is never heard of again may hold it, or not.
        (
            "1 invoke release null \n 1 ok release null \n 2 invoke acquire null \n 2 info acquire null \n 3 invoke acquire null \n 3 ok acquire null",
            "yes",
        ),
    ] {
        assert_eq!(word(&Lock, &format!("{held}\n{lines}")), verdict, "{lines}");
    }
}

#[test]
fn keys_are_objects_of_their_own() {
    let line = |process: u64, kind: &str, f: &str, key: &str, value: &str| {
        format!("{{\"process\":{process},\"type\":\"{kind}\",\"f\":\"{f}\",\"key\":{key},\"value\":{value}}}\n")
    };
    let both = |read_key: &str| {
        let text = line(1, "invoke", "write", "\"a\"", "7")
            + &line(1, "ok", "write", "\"a\"", "7")
            + &line(2, "invoke", "read", read_key, "null")
            + &line(2, "ok", "read", read_key, "7");
        check(&Register, &read(text.as_bytes()).unwrap(), Limits::default()).unwrap().verdict
    };
    assert_eq!(both("\"a\""), Verdict::Linearizable);
    // The number 1 and the text "1" are two keys.
    for other in ["\"b\"", "1", "\"1\""] {
        let Verdict::NotLinearizable(found) = both(other) else { panic!("{other}") };
        assert_eq!(found.key.unwrap().to_string(), other);
    }
}

/// The order that the system offers is taken at its word where it can be, and else there is a search.
#[test]
fn an_order_that_is_offered_is_looked_at_first() {
    // Ten writes at once, then a read of one in the middle: the search must find which is the last.
    let writes = |place: &dyn Fn(u64) -> String| {
        let invoke: String = (0..10).map(|one| format!("{one} invoke write {one}\n")).collect();
        let ok: String = (0..10).map(|one| format!("{one} ok write {one} {}\n", place(one))).collect();
        format!("{invoke}{ok}")
    };
    let steps = |lines: &str| {
        let judgement = check(&Register, &history(lines), Limits::default()).unwrap();
        assert_eq!(judgement.verdict, Verdict::Linearizable, "{lines}");
        judgement.steps
    };
    let read = |index: &str| format!("11 invoke read null \n 11 ok read 4 {index}");
    let offered = writes(&|one| format!("@{}", if one == 4 { 20 } else { one })) + &read("@21");
    assert_eq!(steps(&offered), 11, "a step for each");
    // An order that isn't one: the read is of another, there are two of a place, one has none.
    for wrong in [
        writes(&|one| format!("@{one}")) + &read("@21"),
        writes(&|_| "@1".to_string()) + &read("@21"),
        writes(&|one| format!("@{}", if one == 4 { 20 } else { one })) + &read(""),
        // It had returned before the first of them began.
        writes(&|one| format!("@{}", one + 5)) + &read("@0"),
    ] {
        assert!(steps(&wrong) > 11, "{wrong}");
    }
    // What is offered is no excuse.
    let wrong = "1 invoke write 7 \n 1 ok write 7 @1 \n 2 invoke read null \n 2 ok read null @0";
    assert_eq!(word(&Register, wrong), "no");
}

#[test]
fn a_budget_that_ends_makes_it_unknown_and_never_a_pass() {
    // Twenty-four writes at once, and a read of what none of them wrote.
    let writes = |kind: &str| (0..24).map(|one| format!("{one} {kind} write {one}\n")).collect::<String>();
    let lines = format!("{}30 invoke read null\n{}30 ok read 99\n", writes("invoke"), writes("ok"));
    let judged = |steps| check(&Register, &history(&lines), Limits { steps, ..Limits::default() }).unwrap();
    let whole = judged(u64::MAX);
    assert!(matches!(whole.verdict, Verdict::NotLinearizable(_)));
    for steps in [0, 1, 20, whole.steps - 1] {
        let short = judged(steps);
        assert!(matches!(short.verdict, Verdict::Unknown(_)), "{steps}: {short:?}");
        assert!(short.steps <= steps + 100, "{steps}: {}", short.steps);
    }
    assert_eq!(judged(whole.steps + 1), whole);
    // So does what it remembers, which has a bound of its own.
    let small = Limits { bytes: 1_000, ..Limits::default() };
    let Verdict::Unknown(why) = check(&Register, &history(&lines), small).unwrap().verdict else {
        panic!("it had room")
    };
    assert!(why.contains("what it remembers takes too much memory"), "{why}");
    assert_eq!(word(&Register, ""), "unknown");
    assert_eq!(word(&Register, "1 invoke write 7 \n 1 fail write null"), "unknown");
}

/// What can't be placed is named, after the longest order and with what was open.
#[test]
fn a_counterexample_says_where_nothing_goes_on() {
    // The first read can't be placed; neither can the second, which was open at the time.
    let lines = "1 invoke write 1 \n 1 ok write 1 \n 2 invoke write 2 \n 4 invoke read null \n 3 invoke read null \n 3 ok read 3 \n \
                 2 ok write 2 \n 4 ok read 9";
    let history = history(lines);
    let expected = [
        "nothing goes on at",
        "  process 3: read -> 3 (lines 5 to 6)",
        "after the longest order that could be found, of 2:",
        "  process 1: write 1 (lines 1 to 2)",
        "  process 2: write 2 (lines 3 to 7)",
        "where the object is 2",
        "with these open, which may come before it or not:",
        "  process 4: read -> 9 (lines 4 to 8)",
    ];
    // However far it was looked ahead, to know that there is no order.
    for turns_near in [0, 64] {
        let limits = Limits { turns_near, ..Limits::default() };
        let Verdict::NotLinearizable(found) = check(&Register, &history, limits).unwrap().verdict else {
            panic!("it is not")
        };
        assert_eq!(found.in_words(&history).lines().collect::<Vec<_>>(), expected);
    }
}

/// The longest of the orders that came farthest, with operations of which nobody knows the outcome; or those, where they are of no use, with what
/// was open.
#[test]
fn a_counterexample_has_the_longest_order_and_all_that_was_open() {
    let told = |lines: &str| {
        let history = history(lines);
        let Verdict::NotLinearizable(found) = check(&Lock, &history, Limits::default()).unwrap().verdict else {
            panic!("it is not")
        };
        found.in_words(&history).lines().map(str::to_string).collect::<Vec<_>>()
    };
    let acquire = "1 invoke acquire null \n";
    let release = "2 invoke release null \n 2 ok release null \n";
    let expected = [
        "nothing goes on at",
        "  process 2: release -> null (lines 2 to 3)",
        "after the longest order that could be found, of 1:",
        "  process 1: acquire -> unknown (from line 1 on)",
        "where the object is held by process 1",
    ];
    assert_eq!(told(&format!("{acquire}{release}1 info acquire null")), expected);
    // Of two that may have it, only one can: the other is open.
    let other = "3 invoke acquire null \n";
    let said = told(&format!("{acquire}{other}{release}"));
    assert_eq!(
        said[2..4],
        ["after the longest order that could be found, of 1:", "  process 1: acquire -> unknown (from line 1 on)"]
    );
    assert_eq!(
        said[5..],
        ["with these open, which may come before it or not:", "  process 3: acquire -> unknown (from line 2 on)"]
    );
}

#[test]
fn what_a_model_does_not_know_is_a_mistake_of_the_history() {
    let problem = |lines: &str| check(&Kv, &history(lines), Limits::default()).unwrap_err().to_string();
    assert_eq!(problem("1 invoke incr 1"), "event 1: there is no operation \"incr\"; there are get, put, append");
    assert_eq!(problem("1 invoke put 1"), "event 1: put is of text, and this is 1");
    assert_eq!(problem("1 invoke get null \n 1 ok get null"), "event 2: get is of text, and this is null");
    let other = "1 invoke put \"a\" \n 1 ok put \"b\"";
    assert_eq!(problem(other), "event 2: put: asked \"a\" and answered \"b\": expected the same, or null");
    let cas = check(&CasRegister, &history("1 invoke cas [1] \n 1 ok cas [1]"), Limits::default()).unwrap_err();
    assert_eq!(cas.to_string(), "event 2: cas takes [old, new], and this is [1]");
    // Also where it did not happen.
    let failed = "1 invoke put \"a\" \n 1 ok put \"a\" \n 1 invoke incr 1 \n 1 fail incr 1";
    assert_eq!(problem(failed), "event 3: there is no operation \"incr\"; there are get, put, append");
}

/// Nothing can be wrong with it, and so nothing was judged.
#[test]
fn where_nobody_knows_of_any_outcome_there_is_nothing_to_judge() {
    assert_eq!(word(&Register, "1 invoke write 1 \n 1 info write 1 \n 2 invoke read null"), "unknown");
    assert_eq!(word(&Register, "1 invoke write 1 \n 1 fail write 1"), "unknown");
    assert_eq!(word(&Register, "1 invoke write 1 \n 1 info write 1 \n 2 invoke read null \n 2 ok read null"), "yes");
}

#[test]
fn a_set_that_is_read_with_a_value_twice_is_none() {
    let read = |values: &str| format!("1 invoke add 1 \n 1 ok add 1 \n 2 invoke read null \n 2 ok read {values}");
    assert_eq!(word(&Set, &read("[1]")), "yes");
    assert_eq!(word(&Set, &read("[1,1]")), "no");
}

/// Without its memory, the search of each of these would take more steps than there are ways to order what is open: that it comes to its
/// end within so few is what the memory, and the looking ahead, are there for.
#[test]
fn the_search_does_without_most_orders() {
    let limits = |steps| Limits { steps, ..Limits::default() };
    let is_bad = |verdict: Verdict| assert!(matches!(verdict, Verdict::NotLinearizable(_)), "{verdict:?}");
    let blind = |steps, lines: &str| check(&Blind(&Register), &history(lines), limits(steps)).unwrap().verdict;
    let writes =
        |count: u64, kind: &str| (0..count).map(|one| format!("{one} {kind} write {one}\n")).collect::<String>();
    // Ten writes at once have 3,628,800 orders, and 1,024 sets, with one of ten states each.
    let read = |value: u64| ("90 invoke read null\n".to_string(), format!("90 ok read {value}\n"));
    let (invoke, ok) = read(99);
    let ten = format!("{}{invoke}{ok}{}", writes(10, "invoke"), writes(10, "ok"));
    is_bad(blind(1_000_000, &ten));
    // Thirty of unknown outcome have 2^30 sets: only the smallest count.
    let thirty = format!("{}{}{invoke}{ok}", writes(30, "invoke"), writes(30, "info"));
    is_bad(blind(100_000, &thirty));
    // Looking ahead, even if only near, what nobody wrote is seen at once.
    for ten in [&ten, &thirty] {
        is_bad(check(&Register, &history(ten), Limits { turns_near: u64::MAX, ..limits(1_000) }).unwrap().verdict);
    }
    // What returns after one of the others is tried before what returns after two.
    let (invoke, ok) = read(29);
    let one_of_thirty = format!("{}{}{invoke}{ok}", writes(30, "invoke"), writes(30, "info"));
    assert_eq!(blind(200, &one_of_thirty), Verdict::Linearizable);
    // The order in which values leave a queue is that in which they came: of twelve that came at once.
    let twelve = |value: u64| value * 5 % 12;
    let at_once = |kind: &str| (0..12).map(|value| format!("{value} {kind} enqueue {value}\n")).collect::<String>();
    let leaves = |value: u64| format!("90 invoke dequeue null\n90 ok dequeue {}\n", twelve(value));
    let queue = format!("{}{}{}", at_once("invoke"), at_once("ok"), (0..12).map(leaves).collect::<String>());
    assert_eq!(check(&Queue, &history(&queue), limits(200)).unwrap().verdict, Verdict::Linearizable);
    let verdict = check(&Blind(&Queue), &history(&queue), limits(100_000)).unwrap().verdict;
    assert!(matches!(verdict, Verdict::Unknown(_)), "{verdict:?}");
    // Of twelve appends at once that nobody reads, it makes no difference which comes first, before a put or behind a get of it; nor of
    // those of unknown outcome whether they come at all.
    let each = |kind: &str| {
        let append = |one| format!("{one} {kind} append \"{one};\" \n");
        (0..12).map(append).collect::<String>()
    };
    for end in ["ok", "info"] {
        let unread = |got: &str| {
            let put = format!("90 invoke put \"p\" \n 91 invoke get null \n 90 ok put \"p\" \n 91 ok get \"{got}\" \n");
            history(&format!("{}{put}{}", each("invoke"), each(end)))
        };
        let limits = limits(60_000);
        assert_eq!(check(&Kv, &unread("p"), limits).unwrap().verdict, Verdict::Linearizable);
        is_bad(check(&Kv, &unread("q"), limits).unwrap().verdict);
        let verdict = check(&Blind(&Kv), &unread("q"), limits).unwrap().verdict;
        assert!(matches!(verdict, Verdict::Unknown(_)), "{end}: {verdict:?}");
    }
}
