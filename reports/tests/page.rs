//! The page of a run, as a file: what is in it, and that nothing of a run is markup.

use std::io::Read;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use squall_reports::page::{Operation, OperationEnd, OperationPart, RunPage, Shrinking, render_page};
use squall_trace::{
    Digest, Event, EventKind, Failure, FlowId, FlowInfo, FlowRole, LossReason, Names, NodeId, NodeInfo, OwnedEvent,
    Perturbation, Plan, Seed, Site, SiteKind, TaskEnd, TaskId, TaskInfo, Trace, Verdict,
};

const ALICE: NodeId = NodeId(0);
const BANK: NodeId = NodeId(1);
const FLOW: FlowId = FlowId(7);
const MARKUP: &str = "</script><script>alert(1)</script>\u{202e}";

/// Messages that arrive after one millisecond each, the last of which is lost; then a failure on the sender.
fn trace(messages: u64) -> Trace {
    let mut events: Vec<OwnedEvent> = Vec::new();
    let mut push = |at_ns, node, kind| {
        let step = events.len() as u64 + 1;
        events.push(Event { step, at_ns, node, task: TaskId::NONE, kind });
    };
    for number in 1..=messages {
        let at_ns = number * 2_000_000;
        push(
            at_ns,
            ALICE,
            EventKind::Send {
                flow: FLOW,
                number,
                from_port: 1,
                to: BANK,
                to_port: 80,
                tag: 1,
                payload: b"\xff\xfe".into(),
            },
        );
        match number == messages {
            true => push(at_ns, ALICE, EventKind::Lose { flow: FLOW, number, copy: 0, reason: LossReason::Loss }),
            false => push(at_ns + 1_000_000, BANK, EventKind::Deliver { flow: FLOW, number, copy: 0 }),
        }
        push(at_ns + 1_000_000, BANK, EventKind::Poll);
    }
    let at_ns = messages * 2_000_000 + 1_000_000;
    push(at_ns, ALICE, EventKind::Publish { topic: "said".into(), value: MARKUP.into() });
    let step = events.len() as u64;
    let node = |name: &str| NodeInfo { name: name.to_string(), address: [10, 0, 0, 1].into(), client: false };
    let loss = Site { kind: SiteKind::Loss, flow: FLOW, number: messages };
    let role = FlowRole::Datagram { tag: 1 };
    Trace {
        plan: Plan::seeded("test", Seed(7)),
        names: Names {
            nodes: vec![node("alice"), node(MARKUP)],
            flows: [(FLOW, FlowInfo { from: ALICE, to: BANK, role, operation: None })].into(),
            ..Names::default()
        },
        events,
        perturbations: vec![Perturbation {
            site: loss,
            fingerprint: 1,
            value: 1,
            calm: 0,
            at_ns: messages * 2_000_000,
        }],
        checkpoints: Vec::new(),
        digest: Digest(1),
        log_digest: Digest(2),
        verdict: Verdict::Fail(Failure {
            property: "safe".to_string(),
            message: MARKUP.to_string(),
            step,
            at_ns,
            node: Some(ALICE),
            task: None,
        }),
    }
}

fn page(trace: &Trace) -> RunPage<'_> {
    RunPage {
        scenario: "test",
        trace,
        notice: None,
        replay: "squall replay 'a <b>.toml'".to_string(),
        facts: vec![("Seed".to_string(), "0x7".to_string())],
        shrinking: Some(Shrinking { taken: "Much.".to_string(), left: "Minimal.".to_string() }),
        passing: None,
        likelihood: Err("It wasn't drawn.".to_string()),
        operations: Vec::new(),
        calls: &[],
        not_checked: vec!["nothing else".to_string()],
    }
}

/// What stands between two texts, the first such place.
#[track_caller]
fn between<'p>(page: &'p str, before: &str, after: &str) -> &'p str {
    let rest = page.split_once(before).expect(before).1;
    rest.split_once(after).expect(after).0
}

#[track_caller]
fn data_of(page: &str) -> Value {
    let encoded = between(page, "id=\"data\">", "</script>");
    let compressed = STANDARD.decode(encoded).expect("base64");
    let mut json = String::new();
    flate2::read::GzDecoder::new(&*compressed).read_to_string(&mut json).expect("gzip");
    serde_json::from_str(&json).expect("JSON")
}

fn sum(column: &Value) -> u64 {
    column.as_array().expect("a column").iter().map(|one| one.as_u64().expect("a number")).sum()
}

#[test]
fn all_that_happened_is_in_it() {
    let trace = trace(3);
    let data = data_of(&render_page(&page(&trace)));
    assert_eq!(data["events"]["at"].as_array().map(Vec::len), Some(trace.events.len()));
    assert_eq!(sum(&data["events"]["at"]), trace.events.last().expect("events").at_ns);
    assert_eq!(sum(&data["events"]["step"]), trace.events.len() as u64);
    // Sent, and to which event each came: the third was lost.
    assert_eq!(data["messages"]["sent"], serde_json::json!([0, 3, 3]));
    assert_eq!(data["messages"]["end"], serde_json::json!([1, 1, 1]));
    assert_eq!(data["messages"]["fate"], serde_json::json!([0, 0, 2]));
    // The failure, and the cause where it shows.
    assert_eq!(data["verdict"]["event"], 9);
    assert_eq!(data["causes"][0]["event"], 7);
    assert_eq!(
        data["causes"][0]["words"],
        format!("{} is lost", "datagram 3 from alice to </script><script>alert(1)</script>\\u{202e} (tag 1)")
    );
    assert_eq!(data["left_out"], serde_json::json!([]));
}

/// Each kind of event has a filter, in one place alone; and what a client's return has isn't any other's.
#[test]
fn each_kind_of_event_has_its_filter() {
    let html = render_page(&page(&trace(1)));
    let kinds = between(&html, "const KINDS = [", "];");
    let mut codes: Vec<u8> =
        kinds.split(|one: char| !one.is_ascii_digit()).filter_map(|number| number.parse().ok()).collect();
    codes.sort_unstable();
    let last = EventKind::Retransmit { flow: FLOW, number: 1, times: 1 }.code();
    assert_eq!(codes, (0..=last).collect::<Vec<u8>>(), "0 is a client's return");

    let mut trace = trace(1);
    let root = TaskId(9);
    trace.names.nodes[0].client = true;
    trace.names.tasks.insert(root, TaskInfo { label: "alice".into(), node: ALICE, spawned_at: String::new() });
    let step = trace.events.len() as u64;
    for (behind, task, kind) in [
        (1, TaskId::NONE, EventKind::Hold { flow: FLOW, number: 1, copy: 0 }),
        (2, root, EventKind::TaskEnd { end: TaskEnd::Returned }),
        (3, TaskId::NONE, EventKind::TaskEnd { end: TaskEnd::Returned }),
    ] {
        trace.events.push(Event { step: step + behind, at_ns: 9_000_000, node: ALICE, task, kind });
    }
    let data = data_of(&render_page(&page(&trace)));
    let kinds = data["events"]["kind"].as_array().expect("a column");
    assert_eq!(kinds[kinds.len() - 3..], [19, 0, 5]);
}

#[test]
fn nothing_of_a_run_is_markup() {
    let html = render_page(&page(&trace(3)));
    assert_eq!(html.matches("<script").count(), 2, "the data and the page's own");
    assert_eq!(html.matches("</script>").count(), 2);
    assert!(!html.contains("alert(1)<") && !html.contains('\u{202e}'));
    assert_eq!(between(&html, "<title>", "</title>").matches('<').count(), 0);
    assert!(
        data_of(&html)["verdict"]["sentence"].as_str().expect("a text").contains("<script>alert(1)</script>\\u{202e}")
    );
}

#[test]
fn the_policy_names_what_is_in_the_page_and_nothing_else() {
    let html = render_page(&page(&trace(1)));
    let policy = between(&html, "Content-Security-Policy\" content=\"", "\"");
    let hash = |text: &str| format!("'sha256-{}'", STANDARD.encode(Sha256::digest(text)));
    let (style, script) = (between(&html, "<style>", "</style>"), between(&html, "<script>", "</script>"));
    assert_eq!(
        policy,
        format!(
            "default-src 'none'; script-src {}; style-src {}; base-uri 'none'; form-action 'none'",
            hash(script),
            hash(style)
        )
    );
}

/// 150,000 events at the most: those about tasks go first, then the earliest, and the failure stays.
#[test]
fn of_a_long_run_it_says_what_is_left_out() {
    // Three events a message, and one.
    let fits = trace(49_999);
    let data = data_of(&render_page(&page(&fits)));
    assert_eq!(data["events"]["at"].as_array().map(Vec::len), Some(149_998));
    assert_eq!(data["left_out"], serde_json::json!([]));

    let without_tasks = data_of(&render_page(&page(&trace(50_000))));
    assert_eq!(without_tasks["events"]["at"].as_array().map(Vec::len), Some(100_001));
    assert_eq!(
        without_tasks["left_out"],
        serde_json::json!([
            "Of the run's 150001 events, 50000 about tasks (polls, spawns, ends) are left out of this page."
        ])
    );

    let without_beginning = data_of(&render_page(&page(&trace(80_000))));
    assert_eq!(without_beginning["events"]["at"].as_array().map(Vec::len), Some(150_000));
    assert_eq!(without_beginning["verdict"]["event"], 149_999);
    assert_eq!(without_beginning["left_out"].as_array().map(Vec::len), Some(2));
    assert!(
        without_beginning["left_out"][1].as_str().expect("a text").starts_with("10001 earlier events are left out")
    );
}

#[test]
fn a_history_that_cannot_be_ordered_fails_at_the_operation_that_does_not_fit() {
    let mut trace = trace(2);
    let Verdict::Fail(failure) = &mut trace.verdict else { unreachable!() };
    failure.node = None;
    let mut page = page(&trace);
    assert_eq!(data_of(&render_page(&page))["verdict"]["event"], Value::Null);
    page.operations.push(Operation {
        process: "alice".to_string(),
        asked: "get k".to_string(),
        answered: "→ 7".to_string(),
        end: OperationEnd::Ok,
        begun: 0,
        ended: Some(4),
        part: Some(OperationPart::Stuck),
    });
    let data = data_of(&render_page(&page));
    assert_eq!(data["verdict"]["event"], 4);
    assert!(data["verdict"]["sentence"].as_str().expect("a text").ends_with("alice: get k → 7"));
    assert_eq!(data["texts"][data["events"]["text"][4].as_u64().expect("a place") as usize], "ends get k → 7");
}
