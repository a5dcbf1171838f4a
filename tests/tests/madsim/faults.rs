//! What the faults of a plan do to a program on madsim, seen from outside: two clients ask a node every ten milliseconds (the program `probe`), and each says what it
//! sends and what reaches it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::Value;
use squall::trace::{EventKind, NodeId, Trace, Verdict};

use super::{last, lines, squall};

const MS: u64 = 1_000_000;

/// madsim's sockets take a millisecond for each datagram that they send, and for each that they give to who waits: so much longer is one on its way than what the
/// network takes, where one of the other client is before it.
const LATE_NS_MAX: u64 = 5 * MS;

/// How long a datagram is on its way, unless it is said: no longer than the time between two.
const LATENCY_NS: u64 = 5 * MS;

/// What came of one run of the probe.
struct Seen {
    trace: Trace,
    summary: Value,
}

/// Of each datagram, when it came there.
type Times = BTreeMap<String, u64>;

/// When a datagram was sent, and when it came, if it did.
type Fate = (u64, Option<u64>);

impl Seen {
    /// The file `trace` of a directory, which isn't needed any more then.
    fn read(directory: tempfile::TempDir, summary: Value) -> Seen {
        let trace = squall::trace_file::read(&directory.path().join("trace")).expect("a trace");
        Seen { trace, summary }
    }

    /// What a topic's facts said, and when, of all nodes.
    fn facts(&self, topic: &str) -> Vec<(u64, NodeId, String)> {
        let published = self.trace.events.iter().filter_map(|event| match &event.kind {
            EventKind::Publish { topic: about, value } if about == topic => {
                Some((event.at_ns, event.node, value.to_string()))
            }
            _ => None,
        });
        published.collect()
    }

    fn times(&self, topic: &str) -> Times {
        let facts = self.facts(topic).into_iter();
        facts.map(|(at_ns, _, value)| (serde_json::from_str(&value).expect("a datagram's text"), at_ns)).collect()
    }

    /// Datagrams of one client, with when they were sent and when they came to the node that answers, or the answer came back, if so.
    fn fates(&self, of: &str, topic: &str) -> Vec<Fate> {
        let came = self.times(topic);
        let sent = self.times("sent").into_iter().filter(|(said, _)| said.starts_with(of));
        let mut fates: Vec<_> = sent.map(|(said, at_ns)| (at_ns, came.get(&said).copied())).collect();
        fates.sort_unstable();
        assert!(fates.len() >= 100, "{}", fates.len());
        fates
    }

    fn events(&self, node: u32, is_it: impl Fn(&EventKind<'_>) -> bool) -> Vec<u64> {
        let events = self.trace.events.iter().filter(|event| event.node == NodeId(node) && is_it(&event.kind));
        events.map(|event| event.at_ns).collect()
    }
}

fn probe_file(directory: &Path, more: &str) -> PathBuf {
    let file = directory.join("probe.toml");
    let text = format!("program = \"probe\"\nlimit = {{ virtual = \"1m\" }}\n{more}\n");
    std::fs::write(&file, text).expect("a file");
    file
}

/// One run with those faults, and the network that is said with them.
fn run(faults: &str, seed: &str) -> Seen {
    let directory = tempfile::tempdir().expect("a directory");
    let file = probe_file(directory.path(), faults);
    let file = file.to_str().expect("a path of text");
    let summary = last(&squall(directory.path(), &["run", file, "--seed", seed, "--trace", "trace"]), 0);
    let seen = Seen::read(directory, summary);
    assert_eq!(seen.trace.verdict, Verdict::Pass);
    seen
}

const STEADY: &str = "[network]\nlatency = \"5ms\"\n";

fn steady(faults: &str) -> Seen {
    steady_of(faults, "1")
}

fn steady_of(faults: &str, seed: &str) -> Seen {
    run(&format!("{STEADY}{faults}"), seed)
}

fn is_within(at_ns: u64, from_ms: u64, to_ms: u64) -> bool {
    (from_ms * MS..to_ms * MS).contains(&at_ns)
}

/// By when they would be there.
fn at_the_other_end(fates: Vec<Fate>) -> Vec<Fate> {
    fates.into_iter().map(|(sent_ns, came_ns)| (sent_ns + LATENCY_NS, came_ns)).collect()
}

/// Those sent in that time didn't come, and all others did. What is sent within a little time of the borders may do either.
#[track_caller]
fn assert_lost_within(fates: &[Fate], from_ms: u64, to_ms: u64) {
    let mut lost = 0;
    for &(sent_ns, came_ns) in fates {
        if is_within(sent_ns, from_ms - 5, from_ms + 5) || is_within(sent_ns, to_ms - 5, to_ms + 5) {
            continue;
        }
        assert_eq!(came_ns.is_none(), is_within(sent_ns, from_ms, to_ms), "{sent_ns} {came_ns:?}");
        lost += u64::from(came_ns.is_none());
    }
    assert!(lost + 2 >= (to_ms - from_ms) / 11, "{lost} of those sent from {from_ms} to {to_ms} ms");
}

#[track_caller]
fn assert_all_come(fates: &[Fate]) {
    assert!(fates.iter().all(|(_, came_ns)| came_ns.is_some()), "{fates:?}");
}

#[test]
fn a_fixed_latency_is_each_datagrams() {
    let seen = steady("");
    for client in ["left", "right"] {
        for (sent_ns, came_ns) in seen.fates(client, "received") {
            let latency_ns = came_ns.expect("it came") - sent_ns;
            assert!((LATENCY_NS..LATENCY_NS + LATE_NS_MAX).contains(&latency_ns), "{latency_ns}");
        }
        assert_all_come(&seen.fates(client, "answered"));
    }
    assert_eq!(seen.summary["messages"], 1_600, "two clients, four hundred questions, and an answer to each");
}

#[test]
fn a_uniform_latency_has_all_of_its_range() {
    let seen = run("[network]\nlatency = { uniform = [\"2ms\", \"30ms\"] }\n", "1");
    let of_all: Vec<u64> = ["left", "right"]
        .iter()
        .flat_map(|client| seen.fates(client, "received"))
        .map(|(sent_ns, came_ns)| came_ns.expect("it came") - sent_ns)
        .collect();
    let (min, max) = (of_all.iter().min().unwrap(), of_all.iter().max().unwrap());
    assert!(
        (2 * MS..3 * MS + LATE_NS_MAX).contains(min) && (29 * MS..30 * MS + LATE_NS_MAX).contains(max),
        "{min} {max}"
    );
    let mean = of_all.iter().sum::<u64>() / of_all.len() as u64;
    assert!((16 * MS..16 * MS + LATE_NS_MAX).contains(&mean), "{mean}");
}

#[test]
fn a_loss_is_a_share_of_all_datagrams() {
    let seen = run(&format!("{STEADY}loss = \"20%\"\n"), "1");
    let fates = [seen.fates("left", "received"), seen.fates("right", "received")].concat();
    let lost = fates.iter().filter(|(_, came_ns)| came_ns.is_none()).count();
    // 800 of them: 160 expected, and a standard deviation of 11.3.
    assert!((115..=205).contains(&lost), "{lost} of {}", fates.len());
}

#[test]
fn a_pause_is_a_gap_behind_which_all_comes_that_has_come() {
    let seen = steady("[[fault]]\nkind = \"pause\"\nnode = \"echo\"\nat = \"1s\"\nfor = \"500ms\"\n");
    let received = seen.times("received");
    let in_it = received.values().filter(|at_ns| is_within(**at_ns, 1_000, 1_500)).count();
    assert_eq!(in_it, 0, "nothing is seen by who stands still");
    // A hundred have come by its end, each takes two milliseconds, and two more come every ten.
    let first_ns = received.values().filter(|at_ns| **at_ns >= 1_000 * MS).min().expect("there are some");
    assert!(is_within(*first_ns, 1_500, 1_503), "{first_ns}");
    let behind_it = received.values().filter(|at_ns| is_within(**at_ns, 1_500, 1_700)).count();
    assert!((90..=102).contains(&behind_it), "{behind_it}");
    for client in ["left", "right"] {
        assert_all_come(&seen.fates(client, "answered"));
    }
    // The clients didn't stand still.
    let sent = seen.times("sent").into_values().filter(|at_ns| is_within(*at_ns, 1_000, 1_500)).count();
    assert!((98..=102).contains(&sent), "{sent}");
}

#[test]
fn pauses_that_overlap_end_with_the_last() {
    let pause = |at: &str, long: &str| {
        format!("[[fault]]\nkind = \"pause\"\nnode = \"echo\"\nat = \"{at}\"\nfor = \"{long}\"\n")
    };
    let seen = steady(&format!("{}{}", pause("1s", "500ms"), pause("1200ms", "600ms")));
    let received = seen.times("received");
    assert_eq!(received.values().filter(|at_ns| is_within(**at_ns, 1_000, 1_800)).count(), 0);
    assert!(received.values().any(|at_ns| is_within(*at_ns, 1_800, 1_803)));
}

#[test]
fn a_partition_takes_what_goes_between_its_groups() {
    let seen =
        steady("[[fault]]\nkind = \"partition\"\ngroups = [[\"echo\"], [\"left\"]]\nat = \"1s\"\nfor = \"1s\"\n");
    assert_lost_within(&seen.fates("left", "received"), 1_000, 2_000);
    assert_all_come(&seen.fates("right", "answered"));
}

#[test]
fn a_partition_of_one_way_leaves_the_other() {
    let one_way = |from: &str, to: &str| {
        steady(&format!(
            "[[fault]]\nkind = \"partition\"\nfrom = [\"{from}\"]\nto = [\"{to}\"]\none_way = true\nat = \"1s\"\nfor = \"1s\"\n"
        ))
    };
    let answers_lost = one_way("echo", "left");
    assert_all_come(&answers_lost.fates("left", "received"));
    // An answer goes out when its question has come.
    assert_lost_within(&at_the_other_end(answers_lost.fates("left", "answered")), 1_000, 2_000);
    let questions_lost = one_way("left", "echo");
    assert_lost_within(&questions_lost.fates("left", "received"), 1_000, 2_000);
    assert_all_come(&questions_lost.fates("right", "answered"));
}

#[test]
fn partitions_that_overlap_are_each_their_own() {
    let partition = |groups: &str, at: &str, long: &str| {
        format!("[[fault]]\nkind = \"partition\"\ngroups = {groups}\nat = \"{at}\"\nfor = \"{long}\"\n")
    };
    let left = partition("[[\"echo\"], [\"left\"]]", "1s", "500ms");
    let both = partition("[[\"echo\"], [\"left\", \"right\"]]", "1200ms", "800ms");
    let seen = steady(&format!("{left}{both}"));
    assert_lost_within(&seen.fates("left", "received"), 1_000, 2_000);
    assert_lost_within(&seen.fates("right", "received"), 1_200, 2_000);
}

#[test]
fn the_weather_of_all_links_changes_while_a_fault_lasts() {
    let link = |what: &str| {
        let head =
            "[[fault]]\nkind = \"link\"\nfrom = \"*\"\nto = \"*\"\nboth_ways = true\nat = \"1s\"\nfor = \"1s\"\n";
        steady(&format!("{head}{what}\n"))
    };
    let lossy = link("loss = \"100%\"");
    for client in ["left", "right"] {
        assert_lost_within(&lossy.fates(client, "received"), 1_000, 2_000);
    }
    let slow = link("latency = \"80ms\"");
    for (sent_ns, came_ns) in slow.fates("left", "received") {
        if is_within(sent_ns, 998, 1_003) || is_within(sent_ns, 1_998, 2_003) {
            continue;
        }
        let wanted_ns = if is_within(sent_ns, 1_000, 2_000) { 80 * MS } else { LATENCY_NS };
        let latency_ns = came_ns.expect("it came") - sent_ns;
        assert!((wanted_ns..wanted_ns + LATE_NS_MAX).contains(&latency_ns), "{sent_ns} {latency_ns}");
    }
}

#[test]
fn a_crash_is_a_gap_of_which_nothing_comes_back() {
    let seen = steady("[[fault]]\nkind = \"crash\"\nnode = \"echo\"\nat = \"1s\"\nrestart_after = \"500ms\"\n");
    for client in ["left", "right"] {
        // What was on its way is lost, too.
        assert_lost_within(&at_the_other_end(seen.fates(client, "received")), 1_000, 1_500);
    }
    let boots = seen.events(0, |kind| matches!(kind, EventKind::Boot { .. }));
    assert!(boots.len() == 2 && is_within(boots[1], 1_500, 1_503), "{boots:?}");
    let crashes = seen.events(0, |kind| matches!(kind, EventKind::Crash));
    assert!(crashes.len() == 1 && is_within(crashes[0], 1_000, 1_003), "{crashes:?}");
}

#[test]
fn the_heal_undoes_whatever_has_no_end() {
    let fault = |what: &str| format!("[[fault]]\nat = \"1s\"\n{what}\n");
    let heal = "[heal]\nat = \"2s\"\nwithin = \"30s\"\n";
    for what in [
        "kind = \"pause\"\nnode = \"echo\"",
        "kind = \"crash\"\nnode = \"echo\"",
        "kind = \"partition\"\ngroups = [[\"echo\"], [\"left\", \"right\"]]",
        "kind = \"link\"\nfrom = \"*\"\nto = \"*\"\nboth_ways = true\nloss = \"100%\"",
    ] {
        let seen = steady(&format!("{}{heal}", fault(what)));
        for client in ["left", "right"] {
            let fates = seen.fates(client, "answered");
            let before = fates.iter().filter(|(sent_ns, _)| is_within(*sent_ns, 0, 985));
            let after = fates.iter().filter(|(sent_ns, _)| *sent_ns > 2_003 * MS);
            assert!(before.chain(after).all(|(_, came_ns)| came_ns.is_some()), "{what}\n{fates:?}");
        }
        let received = seen.times("received");
        assert_eq!(received.values().filter(|at_ns| is_within(**at_ns, 1_010, 1_999)).count(), 0, "{what}");
    }
    // The network's own weather is calm from then on.
    let seen = run(&format!("{STEADY}loss = \"50%\"\n{heal}"), "1");
    let fates = [seen.fates("left", "answered"), seen.fates("right", "answered")].concat();
    let (before, after): (Vec<_>, Vec<_>) = fates.into_iter().partition(|(sent_ns, _)| *sent_ns < 2_000 * MS);
    assert!(before.iter().filter(|(_, came_ns)| came_ns.is_none()).count() > 100);
    assert_all_come(&after.into_iter().filter(|(sent_ns, _)| *sent_ns > 2_003 * MS).collect::<Vec<_>>());
}

#[test]
fn a_heal_without_progress_is_told_with_who_waits() {
    let directory = tempfile::tempdir().expect("a directory");
    // The clients need four seconds, and one more.
    let file = probe_file(directory.path(), "[heal]\nat = \"1s\"\nwithin = \"3s\"\n");
    let ran = last(&squall(directory.path(), &["run", file.to_str().expect("text")]), 100);
    assert_eq!(ran["property"], "progress", "{ran}");
    let file = probe_file(directory.path(), "[heal]\nat = \"1s\"\nwithin = \"5s\"\n");
    assert_eq!(last(&squall(directory.path(), &["run", file.to_str().expect("text")]), 0)["verdict"], "pass");
}

/// madsim's hash maps are the seed's; Squall's marks of goals count, and its other marks are at their defaults.
#[test]
fn what_a_boot_finds_is_the_seeds() {
    let crash = "[[fault]]\nkind = \"crash\"\nnode = \"echo\"\nat = \"1s\"\nrestart_after = \"500ms\"\n";
    let order = |seed: &str| steady_of(crash, seed).facts("hash order");
    let first = order("1");
    assert_eq!(first.len(), 2, "one of each boot");
    assert_eq!(first, order("1"));
    assert_ne!(first[0].2, order("2")[0].2, "16 keys in the same order");

    let seen = steady_of(crash, "1");
    let marks: Vec<_> = seen.facts("marks").into_iter().map(|(_, _, value)| value).collect();
    assert_eq!(marks, ["[false,7]", "[false,7]"]);
    // What the program makes itself runs, and is the world's.
    let heard = seen.facts("heard from");
    assert!(heard.iter().all(|(_, node, _)| *node == NodeId::WORLD) && !heard.is_empty(), "{heard:?}");
    assert!(seen.events(NodeId::WORLD.0, |kind| matches!(kind, EventKind::Poll)).is_empty());
}

#[test]
fn goals_are_counted_and_one_that_is_missed_is_told() {
    let directory = tempfile::tempdir().expect("a directory");
    let pause = "[[fault]]\nkind = \"pause\"\nnode = \"echo\"\nat = \"1s\"\nfor = \"500ms\"\n";
    // An answer takes long where the node stands still.
    for (faults, code, late) in [("", 120, 0), (pause, 0, 2)] {
        let file = probe_file(directory.path(), &format!("{STEADY}{faults}"));
        let explored = squall(directory.path(), &["explore", file.to_str().expect("text"), "--seeds", "0..2"]);
        let lines = lines(&explored, code);
        let goals = lines.iter().filter(|line| line["event"] == "goal");
        let goals: BTreeMap<_, _> =
            goals.map(|line| (line["goal"].as_str().expect("its name"), &line["runs"])).collect();
        assert_eq!(goals["the probe has booted"], 2);
        assert_eq!(goals["an answer takes long"], late);
    }
}

/// Of a failure that needs none of its decisions nothing is left, and it is run with everything calm.
#[test]
fn whatever_is_no_decision_of_the_plan_is_calm() {
    let directory = tempfile::tempdir().expect("a directory");
    let network = "[network]\nlatency = { uniform = [\"2ms\", \"30ms\"] }\nloss = \"50%\"\n";
    let pause = "[[fault]]\nkind = \"pause\"\nnode = \"echo\"\nat = \"1s\"\nfor = \"500ms\"\n";
    let late = "[heal]\nat = \"2s\"\nwithin = \"1s\"\n";
    let file = probe_file(directory.path(), &format!("{network}{pause}{late}"));
    let file = file.to_str().expect("a path of text");
    let explored = last(&squall(directory.path(), &["explore", file, "--seeds", "0..1"]), 100);
    let failure = &explored["failures"][0];
    assert_eq!((&failure["property"], &failure["perturbations"]), (&"progress".into(), &0.into()), "{failure}");
    let replay = ["replay", failure["file"].as_str().expect("it was saved"), "--trace", "trace"];
    last(&squall(directory.path(), &replay), 100);
    let seen = Seen::read(directory, Value::Null);
    for (sent_ns, came_ns) in seen.fates("left", "received").into_iter().filter(|(sent_ns, _)| *sent_ns < 2_900 * MS) {
        let latency_ns = came_ns.expect("none is lost") - sent_ns;
        assert!((16 * MS..16 * MS + LATE_NS_MAX).contains(&latency_ns), "{latency_ns}");
    }
}
