//! `squall diff`: the first event in which two traces differ, with what is on both sides of it.

mod place;

use place::{Finished, Place};

/// A trace of `numbering` with these arguments.
fn trace(place: &Place, name: &str, arguments: &str) {
    let file = place.scenario("numbering", &format!("[args]\n{arguments}\n"));
    place.squall(&["run", &file, "--trace", name]).expect(0);
}

fn diff(place: &Place, more: &[&str]) -> Finished {
    place.squall(&[&["diff", "first.zst", "second.zst"], more].concat())
}

/// The numbers that were published, by the lines that tell them, with what marks a line.
fn numbers(lines: &[&str]) -> Vec<(char, u64)> {
    let number = |line: &&str| {
        let (_, said) = line.split_once("publishes number: ")?;
        Some((line.chars().next().expect("it isn't empty"), said.parse().expect("a number")))
    };
    lines.iter().filter_map(number).collect()
}

#[test]
fn the_first_event_that_differs_is_shown_between_its_neighbours() {
    let place = Place::new();
    trace(&place, "first.zst", "tenth = 77");
    trace(&place, "second.zst", "tenth = 99");
    let trace_of = |name: &str| squall::trace_file::read(&place.path(name)).expect("a trace");
    let all = trace_of("first.zst").counted_events().count();
    let summary = place.json(&["diff", "first.zst", "second.zst"]).expect(1).summary();
    assert_eq!((&summary["event"], summary["same"].as_bool()), (&"diff-finished".into(), Some(false)));
    assert!(summary["first"].as_str().expect("text").ends_with("publishes number: 77"), "{summary}");
    let step = summary["step"].as_u64().expect("a number") as usize;
    for context in [0, 5, 1_000] {
        let finished = diff(&place, &["--context", &context.to_string()]).expect(1);
        let lines: Vec<&str> = finished.stdout.lines().collect();
        let heads: Vec<usize> = (0..lines.len()).filter(|index| lines[*index].ends_with(".zst:")).collect();
        let [first, second] = heads[..] else { panic!("{}", finished.stdout) };
        // Between two of them the task is polled, and its timer fires: not every event tells a number.
        let marked = |number| ('>', number);
        let both = numbers(&lines[..first]);
        let (one, other) = (numbers(&lines[first..second]), numbers(&lines[second..]));
        assert_eq!((one[0], other[0]), (marked(77), marked(99)), "{}", finished.stdout);
        assert_eq!(one[1..], other[1..]);
        let in_order = |numbers: &[(char, u64)], from: u64| {
            assert!((from..).zip(numbers).all(|(number, said)| *said == (' ', number)), "{numbers:?}");
        };
        in_order(&one[1..], 11);
        in_order(&both, 10 - both.len() as u64);
        let events = |lines: &[&str]| lines.iter().filter(|line| line.starts_with("  ")).count();
        match context {
            0 => assert_eq!((both.len(), one.len(), events(&lines[..second])), (0, 1, 0)),
            5 => {
                assert_eq!((events(&lines[..first]), events(&lines[first..second])), (5, 5));
                assert!(!both.is_empty() && one.len() > 1);
            }
            _ => {
                assert_eq!((both.len(), one.len()), (9, 11));
                // Each event but the one itself, once.
                assert_eq!((events(&lines[..first]), events(&lines[first..second])), (step - 1, all - step));
            }
        }
    }
}

#[test]
fn equal_traces_are_said_to_be_so_and_what_was_logged_is_told_apart() {
    let place = Place::new();
    trace(&place, "first.zst", "logged = 1");
    trace(&place, "second.zst", "logged = 1");
    let finished = diff(&place, &[]).expect(0);
    assert!(finished.stdout.contains("same: every event and the verdict agree"), "{finished:?}");
    assert!(!finished.stdout.contains("logged"), "{finished:?}");
    trace(&place, "second.zst", "logged = 2");
    let finished = diff(&place, &[]).expect(0);
    assert!(finished.stdout.contains("same: every event and the verdict agree"), "{finished:?}");
    assert!(finished.stdout.contains("only what was logged differs"), "{finished:?}");
}

/// Checkpoints are trusted only as far as the events bear them out.
#[test]
fn a_trace_that_was_changed_by_hand_is_refused() {
    let place = Place::new();
    trace(&place, "first.zst", "tenth = 77");
    let packed = std::fs::File::open(place.path("first.zst")).expect("a file");
    let text = String::from_utf8(zstd::decode_all(packed).expect("zstd")).expect("UTF-8");
    let changed = text.replacen("77", "78", 1);
    assert_ne!(text, changed);
    let packed = zstd::encode_all(changed.as_bytes(), 1).expect("zstd");
    std::fs::write(place.path("second.zst"), packed).expect("a file");
    let finished = diff(&place, &[]).expect(2);
    assert!(finished.stderr.contains("second.zst is no trace, or a damaged one"), "{finished:?}");
}
