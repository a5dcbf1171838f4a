//! The schema of lines: it is the one beside the pages, and it has each kind of event. What commands write is held to it where they are
//! called (`scenarios/tests/lines.rs`).

use serde_json::{Value, json};
use squall::trace::swarm::FaultClass;
use squall::trace::{
    Checkpoint, Digest, Event, EventKind, Failure, FaultPart, FlowId, FlowInfo, FlowRole, LossReason, Names, NodeId,
    NodeInfo, Perturbation, Plan, Seed, Site, SiteKind, Stream, TaskEnd, TaskId, TaskInfo, Trace, Verdict,
};

/// What `squall schema --lines` prints.
const SCHEMA: &str = include_str!("../../../docs/lines.schema.json");

fn validator() -> jsonschema::Validator {
    jsonschema::draft202012::new(&squall::lines::schema()).expect("a schema of draft 2020-12")
}

#[test]
fn the_schema_is_the_committed_one() {
    let schema = format!("{:#}\n", squall::lines::schema());
    assert!(
        schema == SCHEMA,
        "docs/lines.schema.json is another one: `squall schema --lines > docs/lines.schema.json`"
    );
}

#[test]
fn the_schema_is_one() {
    assert!(jsonschema::meta::is_valid(&squall::lines::schema()));
}

/// One of each kind, in the order of their codes, and more of those that come in several shapes.
fn kinds() -> Vec<EventKind<'static>> {
    let (flow, number) = (FlowId(u64::MAX), u64::MAX);
    let fault = |part| EventKind::Fault { what: "x".into(), part };
    vec![
        EventKind::Boot { boot: u32::MAX },
        EventKind::Crash,
        EventKind::Spawn { child: TaskId(1) },
        EventKind::Poll,
        EventKind::TaskEnd { end: TaskEnd::Crashed },
        EventKind::Send {
            flow,
            number,
            from_port: u16::MAX,
            to: NodeId::WORLD,
            to_port: 0,
            tag: u64::MAX,
            payload: vec![0, 255].into(),
        },
        EventKind::Duplicate { flow, number },
        EventKind::Deliver { flow, number, copy: 1 },
        EventKind::Lose { flow, number, copy: 0, reason: LossReason::PartitionOnArrival },
        EventKind::InFlight { flow, number, copy: 0 },
        fault(FaultPart::Whole),
        EventKind::Publish { topic: "t".into(), value: "1".into() },
        EventKind::Panic { message: "\u{1b}".into() },
        EventKind::Escape { what: "x".into() },
        EventKind::Log { level: "INFO".into(), target: "t".into(), message: "m".into() },
        EventKind::Heal { what: "x".into(), nodes: vec![] },
        EventKind::Corrupt { flow, number, bit: 3 },
        EventKind::Hold { flow, number, copy: 1 },
        EventKind::Retransmit { flow, number, times: 3 },
        EventKind::Disk { what: "x".into(), print: u64::MAX },
        fault(FaultPart::Begins { class: FaultClass::Partition, groups: vec![vec![NodeId(0)], vec![NodeId(1)]] }),
        fault(FaultPart::Ends { begun: 7 }),
        fault(FaultPart::AllEnd { class: FaultClass::Pause, nodes: vec![NodeId(0)] }),
        EventKind::Heal { what: "x".into(), nodes: vec![NodeId(0)] },
    ]
}

#[test]
fn each_kind_of_event_is_in_it() {
    let validator = validator();
    let codes: std::collections::BTreeSet<u8> = kinds().iter().map(EventKind::code).collect();
    assert_eq!(codes, (1..=20).collect(), "each has its example");
    for kind in kinds() {
        let event = Event { step: 1, at_ns: u64::MAX, node: NodeId::WORLD, task: TaskId::NONE, kind };
        let mut line = serde_json::to_value(&event).unwrap();
        line["line"] = json!("event");
        assert!(validator.is_valid(&line), "{line}");
        for wrong in wrongs(&line, &["part", "nodes"]) {
            assert!(!validator.is_valid(&wrong), "{wrong}");
        }
    }
    for class in FaultClass::ALL {
        let part = FaultPart::Begins { class, groups: vec![] };
        let kind = EventKind::Fault { what: "x".into(), part };
        let mut line =
            serde_json::to_value(Event { step: 1, at_ns: 0, node: NodeId(0), task: TaskId(0), kind }).unwrap();
        line["line"] = json!("event");
        assert!(validator.is_valid(&line), "{line}");
    }
}

/// A line with each of its keys left out in turn, with one more, and with another name.
fn wrongs(line: &Value, optional: &[&str]) -> Vec<Value> {
    let mut wrongs = Vec::new();
    for key in line.as_object().unwrap().keys().filter(|key| !optional.contains(&key.as_str())) {
        let mut wrong = line.clone();
        wrong.as_object_mut().unwrap().remove(key);
        wrongs.push(wrong);
        let mut wrong = line.clone();
        wrong[key] = json!([]);
        if wrong != *line {
            wrongs.push(wrong);
        }
    }
    for (key, value) in [("event", json!("no-such-event")), ("more", json!(1)), ("line", json!("no-such-line"))] {
        let mut wrong = line.clone();
        wrong[key] = value;
        wrongs.push(wrong);
    }
    wrongs
}

/// A trace with all that a header may say.
fn trace() -> Trace {
    let flow = |role| FlowInfo { from: NodeId(0), to: NodeId::WORLD, role, operation: Some(3) };
    let method = || "Pay".to_string();
    let call = FlowRole::Call { method: method() };
    let losses =
        [(1, squall::trace::trace::DiskLoss { what: "w".into(), sectors: 2, by: "in the crash".into() })].into();
    let operation = squall::trace::trace::DiskOperation::LookUp;
    let roles = vec![
        FlowRole::Datagram { tag: u64::MAX },
        call.clone(),
        FlowRole::Answer { method: method() },
        FlowRole::Refusal { method: method() },
        FlowRole::Segment(Stream { connection: 1, port: 80, is_back: true, labels: [(3, "GET /".to_string())].into() }),
        FlowRole::Operation { what: "x".into() },
        FlowRole::Fault { what: "x".into() },
        FlowRole::Rule { of: Box::new(call), does: "is dropped".into() },
        FlowRole::Disk { operation, path: "/wal".into(), losses },
    ];
    let site = Site { kind: SiteKind::Knob, flow: FlowId(1), number: 1 };
    let perturbation = Perturbation { site, fingerprint: u64::MAX, value: 1, calm: 0, at_ns: 5 };
    let mut plan = Plan::seeded("payments", Seed(u64::MAX));
    plan.horizon_ns = Some(1);
    plan.redraw =
        Some(squall::trace::plan::Redraw { from_ns: 1, salt: 2, bases: Some(squall::trace::plan::Bases::calm()) });
    plan.parameters.insert("network.loss".into(), "1%".into());
    plan.overrides.push(perturbation.to_override());
    Trace {
        plan,
        names: Names {
            nodes: vec![NodeInfo { name: "a".into(), address: [10, 0, 0, 1].into(), client: true }],
            tasks: [(TaskId(1), TaskInfo { label: "a".into(), node: NodeId(0), spawned_at: String::new() })].into(),
            flows: roles.into_iter().enumerate().map(|(id, role)| (FlowId(id as u64), flow(role))).collect(),
        },
        events: Vec::new(),
        perturbations: vec![perturbation],
        checkpoints: vec![Checkpoint { events: 256, digest: Digest(1) }],
        digest: Digest(u128::MAX),
        log_digest: Digest(0),
        verdict: Verdict::Pass,
    }
}

#[test]
fn whatever_a_header_says_is_in_it() {
    let validator = validator();
    let failure = |node, task| Failure { property: "p".into(), message: "m".into(), step: 1, at_ns: 2, node, task };
    for verdict in [
        Verdict::Pass,
        Verdict::Unknown { message: "x".into() },
        Verdict::Fail(failure(None, None)),
        Verdict::Fail(failure(Some(NodeId(0)), Some(TaskId(1)))),
    ] {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("trace.zst");
        squall::trace_file::write(&path, &Trace { verdict, ..trace() }).unwrap();
        let text = zstd::decode_all(std::fs::File::open(path).unwrap()).unwrap();
        for line in String::from_utf8(text).unwrap().lines() {
            let line: Value = serde_json::from_str(line).unwrap();
            assert!(validator.is_valid(&line), "{line}");
            for wrong in wrongs(&line, &[]) {
                assert!(!validator.is_valid(&wrong), "{wrong}");
            }
        }
    }
}
