//! Timelines as a person reads them.

use squall_reports::{Style, event_in_words, render_timeline};
use squall_trace::{
    Digest, Event, EventKind, Failure, FaultPart, FlowId, FlowInfo, FlowRole, LossReason, Names, NodeId, NodeInfo,
    OwnedEvent, Plan, Seed, TaskEnd, TaskId, TaskInfo, Trace, Verdict,
};

const ALICE: NodeId = NodeId(0);
const BANK: NodeId = NodeId(1);
const CALLS: FlowId = FlowId(1);
const ANSWERS: FlowId = FlowId(2);
const NOTES: FlowId = FlowId(3);

fn names() -> Names {
    let node = |name: &str, last: u8, client| NodeInfo {
        name: name.to_string(),
        address: std::net::IpAddr::from([10, 0, 0, last]),
        client,
    };
    let task = |label: &str, node, spawned_at: &str| TaskInfo {
        label: label.to_string(),
        node,
        spawned_at: spawned_at.to_string(),
    };
    let flow = |from, to, role| FlowInfo { from, to, role, operation: None };
    let method = || "scenarios::payments::Pay".to_string();
    Names {
        nodes: vec![node("alice-0", 1, true), node("bank-0", 2, false)],
        tasks: [
            (TaskId(1), task("alice-0", ALICE, "")),
            (TaskId(2), task("bank-0", BANK, "")),
            (TaskId(3), task("bank-0/Pay 1", BANK, "src/payments.rs:10")),
        ]
        .into(),
        flows: [
            (CALLS, flow(ALICE, BANK, FlowRole::Call { method: method() })),
            (ANSWERS, flow(BANK, ALICE, FlowRole::Answer { method: method() })),
            (NOTES, flow(ALICE, BANK, FlowRole::Datagram { tag: 7 })),
        ]
        .into(),
    }
}

fn trace(kinds: Vec<(u64, NodeId, TaskId, EventKind<'static>)>, verdict: Verdict) -> Trace {
    let mut events: Vec<OwnedEvent> = Vec::new();
    for (at_ns, node, task, kind) in kinds {
        let last = events.last().map_or(0, |event| event.step);
        let step = if matches!(kind, EventKind::Log { .. }) { last } else { last + 1 };
        events.push(Event { step, at_ns, node, task, kind });
    }
    Trace {
        plan: Plan::seeded("payments", Seed(7)),
        names: names(),
        events,
        perturbations: Vec::new(),
        checkpoints: Vec::new(),
        digest: Digest(1),
        log_digest: Digest(2),
        verdict,
    }
}

fn send(flow: FlowId, to: NodeId, to_port: u16, payload: &'static [u8]) -> EventKind<'static> {
    EventKind::Send { flow, number: 1, from_port: 1024, to, to_port, tag: 1, payload: payload.into() }
}

fn paid_twice() -> Trace {
    trace(
        vec![
            (0, ALICE, TaskId::NONE, EventKind::Boot { boot: 0 }),
            (0, BANK, TaskId::NONE, EventKind::Boot { boot: 0 }),
            (0, ALICE, TaskId(1), EventKind::Poll),
            (0, ALICE, TaskId(1), send(CALLS, BANK, 80, b"\x05\x80alice")),
            (0, ALICE, TaskId(1), send(NOTES, BANK, 81, b"by the way")),
            (0, ALICE, TaskId(1), EventKind::Duplicate { flow: NOTES, number: 1 }),
            (0, ALICE, TaskId(1), EventKind::Corrupt { flow: NOTES, number: 1, bit: 9 }),
            (1_500_000, BANK, TaskId::NONE, EventKind::Deliver { flow: CALLS, number: 1, copy: 0 }),
            (1_500_000, BANK, TaskId(2), EventKind::Spawn { child: TaskId(3) }),
            (1_500_000, BANK, TaskId(3), EventKind::Poll),
            (
                1_500_000,
                BANK,
                TaskId(3),
                EventKind::Log {
                    level: "INFO".into(),
                    target: "scenarios::payments".into(),
                    message: "paid amount=5".into(),
                },
            ),
            (1_500_000, BANK, TaskId(3), send(ANSWERS, ALICE, 1024, b"\x00")),
            (
                1_500_000,
                BANK,
                TaskId(3),
                EventKind::Lose { flow: ANSWERS, number: 1, copy: 0, reason: LossReason::Loss },
            ),
            (1_500_000, BANK, TaskId(3), EventKind::TaskEnd { end: TaskEnd::Returned }),
            (2_000_000, BANK, TaskId::NONE, EventKind::Deliver { flow: NOTES, number: 1, copy: 1 }),
            (
                2_100_000,
                BANK,
                TaskId::NONE,
                EventKind::Lose { flow: NOTES, number: 1, copy: 0, reason: LossReason::NodeDown },
            ),
            (
                3_000_000,
                NodeId::WORLD,
                TaskId::NONE,
                EventKind::Fault { what: "crash of bank-0".into(), part: FaultPart::Whole },
            ),
            (3_000_000, BANK, TaskId::NONE, EventKind::Crash),
            (3_000_000, BANK, TaskId::NONE, EventKind::Boot { boot: 1 }),
            (
                1_000_003_000_001,
                BANK,
                TaskId(3),
                EventKind::Publish { topic: "paid".into(), value: "{\"alice\":2}".into() },
            ),
            (1_000_003_000_001, BANK, TaskId(3), EventKind::Panic { message: "boom at src/payments.rs:7".into() }),
            (1_000_003_000_001, ALICE, TaskId(1), EventKind::TaskEnd { end: TaskEnd::Returned }),
            (1_000_003_000_001, BANK, TaskId::NONE, EventKind::InFlight { flow: CALLS, number: 1, copy: 1 }),
        ],
        Verdict::Fail(Failure {
            property: "paid-once".to_string(),
            message:
                "alice paid 2 times, and nobody who asked for one payment wants to find two of them on the list\n  \
                      order 1\n  order 1"
                    .to_string(),
            step: 19,
            at_ns: 1_000_003_000_001,
            node: Some(BANK),
            task: Some(TaskId(3)),
        }),
    )
}

const PAID_TWICE: &str = "      seconds  node    what happened
   0.000000000  alice-0 starts
   0.000000000  bank-0  starts
   0.000000000  alice-0 -> bank-0:80 call 1 Pay (7 bytes)
   0.000000000  alice-0 -> bank-0:81 datagram 1 tag 7 \"by the way\"
   0.000000000  alice-0 => bank-0 datagram 1 tag 7 is duplicated
   0.000000000  alice-0 ~> bank-0 datagram 1 tag 7: bit 9 is flipped
   0.001500000  bank-0  <- alice-0 call 1 Pay after 1.5 ms
   0.001500000  bank-0  INFO payments: paid amount=5
   0.001500000  bank-0  -> alice-0:1024 answer 1 Pay (1 byte)
   0.001500000  bank-0  -x alice-0 answer 1 Pay: lost by the link
   0.002000000  bank-0  <- alice-0 datagram 1 tag 7 (the copy) after 2 ms
   0.002100000  bank-0  x- alice-0 datagram 1 tag 7: the node is down
   0.003000000  world   fault: crash of bank-0
   0.003000000  bank-0  crashes
   0.003000000  bank-0  starts again (boot 1)
>1000.003000001  bank-0  publishes paid: {\"alice\":2}
 1000.003000001  bank-0  panics: boom at src/payments.rs:7
 1000.003000001  alice-0 returns
 1000.003000001  bank-0  .. alice-0 call 1 Pay (the copy) is still under way

FAIL paid-once at 1000.003000001 s on bank-0
  alice paid 2 times, and nobody who asked for one payment wants to find two of
  them on the list
    order 1
    order 1
";

#[test]
fn a_failing_run_reads_well_in_80_columns() {
    let text = render_timeline(&paid_twice(), Style::default());
    assert_eq!(text, PAID_TWICE, "it was:\n{text}");
    assert!(text.lines().all(|line| line.chars().count() <= 80));
}

#[test]
fn colours_change_nothing_but_the_colours() {
    let text = render_timeline(&paid_twice(), Style { colour: true, ..Style::default() });
    assert!(text.contains("\u{1b}[1;31m>1000.003000001"), "{text:?}");
    let mut plain = String::new();
    for (index, part) in text.split('\u{1b}').enumerate() {
        plain.push_str(if index == 0 { part } else { part.split_once('m').unwrap().1 });
    }
    assert_eq!(plain, PAID_TWICE);
}

#[test]
fn polls_and_spawns_are_shown_if_asked_for() {
    let text = render_timeline(&paid_twice(), Style { tasks: true, ..Style::default() });
    for expected in ["alice-0 polls alice-0\n", "bank-0  spawns bank-0/Pay 1\n", "bank-0  bank-0/Pay 1 returns\n"] {
        assert!(text.contains(expected), "no {expected:?} in\n{text}");
    }
}

#[test]
fn of_too_many_events_the_last_are_shown() {
    let text = render_timeline(&paid_twice(), Style { lines_max: Some(2), ..Style::default() });
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines[1], "            …  17 earlier events left out");
    assert_eq!(lines[2], " 1000.003000001  alice-0 returns");
    assert_eq!(lines[4], "");
}

#[test]
fn a_failing_event_is_shown_even_if_its_kind_is_hidden() {
    let mut trace = paid_twice();
    let Verdict::Fail(failure) = &mut trace.verdict else { unreachable!() };
    failure.step = 3;
    assert!(render_timeline(&trace, Style::default()).contains(">  0.000000000  alice-0 polls alice-0\n"));
}

#[test]
fn hostile_text_stays_text() {
    let hostile = "\u{1b}]0;owned\u{7}\u{202e}\r\nFAKE LINE";
    let long = "x".repeat(100_000);
    let log =
        |message: String| EventKind::Log { level: "INFO".into(), target: hostile.into(), message: message.into() };
    let mut trace = trace(
        vec![
            (0, ALICE, TaskId(1), log(hostile.to_string())),
            (0, ALICE, TaskId(1), log(long.clone())),
            (0, ALICE, TaskId(1), EventKind::Publish { topic: long.clone().into(), value: hostile.into() }),
            (0, ALICE, TaskId(1), EventKind::Panic { message: hostile.into() }),
        ],
        Verdict::Fail(Failure {
            property: hostile.to_string(),
            message: format!("{hostile}\n{long}"),
            step: 1,
            at_ns: 0,
            node: Some(ALICE),
            task: None,
        }),
    );
    trace.names.nodes[0].name = hostile.to_string();
    let text = render_timeline(&trace, Style::default());
    assert!(text.chars().all(|c| c == '\n' || !c.is_control()), "{text:?}");
    assert!(!text.contains('\u{202e}'));
    assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
    assert!(!text.lines().any(|line| line.starts_with("FAKE")));
}

#[test]
fn an_event_alone_says_when_and_where() {
    let trace = paid_twice();
    assert_eq!(event_in_words(&trace.events[7], &trace.names), "1.5 ms bank-0: <- alice-0 call 1 Pay");
    assert_eq!(event_in_words(&trace.events[9], &trace.names), "1.5 ms bank-0 (bank-0/Pay 1): polls bank-0/Pay 1");
    let what = "sync 2 of /wal fails".into();
    let kind = EventKind::Disk { what, print: 0 };
    let event = Event { step: 1, at_ns: 2_000_000, node: BANK, task: TaskId::NONE, kind };
    assert_eq!(event_in_words(&event, &trace.names), "2 ms bank-0: disk: sync 2 of /wal fails");
}
