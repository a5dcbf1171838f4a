//! Runs as pictures: lanes of text, SVG, Perfetto's events, and parts of a run.

use squall_reports::lanes::{Glyphs, render_state};
use squall_reports::window::{Window, WindowError};
use squall_reports::{Style, render_lanes, render_perfetto, render_svg, render_timeline};
use squall_trace::plan::Bases;
use squall_trace::swarm::FaultClass;
use squall_trace::{
    Digest, Event, EventKind, Failure, FaultPart, FlowId, FlowInfo, FlowRole, LossReason, Names, NodeId, NodeInfo,
    OwnedEvent, Perturbation, Plan, Seed, Site, SiteKind, TaskEnd, TaskId, TaskInfo, Trace, Verdict,
};

const ALICE: NodeId = NodeId(0);
const BANK: NodeId = NodeId(1);
const CALLS: FlowId = FlowId(1);
const ANSWERS: FlowId = FlowId(2);
const NOTES: FlowId = FlowId(3);

fn node(name: &str) -> NodeInfo {
    NodeInfo { name: name.to_string(), address: [10, 0, 0, 1].into(), client: false }
}

fn names(nodes: &[&str]) -> Names {
    let flow = |from, to, role| FlowInfo { from, to, role, operation: None };
    let method = || "payments::Pay".to_string();
    let root = TaskInfo { label: "alice-0".to_string(), node: ALICE, spawned_at: String::new() };
    Names {
        nodes: nodes.iter().map(|name| node(name)).collect(),
        tasks: [(TaskId(1), root)].into(),
        flows: [
            (CALLS, flow(ALICE, BANK, FlowRole::Call { method: method() })),
            (ANSWERS, flow(BANK, ALICE, FlowRole::Answer { method: method() })),
            (NOTES, flow(ALICE, BANK, FlowRole::Datagram { tag: 7 })),
        ]
        .into(),
    }
}

fn trace(names: Names, kinds: Vec<(u64, NodeId, EventKind<'static>)>, failed: Option<u64>) -> Trace {
    let mut events: Vec<OwnedEvent> = Vec::new();
    for (at_us, node, kind) in kinds {
        let last = events.last().map_or(0, |event| event.step);
        let step = if matches!(kind, EventKind::Log { .. }) { last } else { last + 1 };
        let task = if matches!(kind, EventKind::TaskEnd { .. }) { TaskId(1) } else { TaskId::NONE };
        events.push(Event { step, at_ns: at_us * 1_000, node, task, kind });
    }
    let failure = |step: u64| {
        let event = events.iter().find(|event| event.step == step).expect("there is one");
        let (at_ns, node) = (event.at_ns, Some(event.node));
        Failure { property: "paid-once".into(), message: "alice paid twice".into(), step, at_ns, node, task: None }
    };
    Trace {
        plan: Plan::seeded("payments", Seed(7)),
        verdict: failed.map_or(Verdict::Pass, |step| Verdict::Fail(failure(step))),
        names,
        events,
        perturbations: Vec::new(),
        checkpoints: Vec::new(),
        digest: Digest(1),
        log_digest: Digest(2),
    }
}

fn send(flow: FlowId, number: u64, to: NodeId, payload: &'static [u8]) -> EventKind<'static> {
    EventKind::Send { flow, number, from_port: 1024, to, to_port: 80, tag: 1, payload: payload.into() }
}

fn boot(boot: u32) -> EventKind<'static> {
    EventKind::Boot { boot }
}

fn publish(topic: &'static str, value: &'static str) -> EventKind<'static> {
    EventKind::Publish { topic: topic.into(), value: value.into() }
}

fn fault(what: &'static str, part: FaultPart) -> EventKind<'static> {
    EventKind::Fault { what: what.into(), part }
}

/// One of everything that is drawn.
fn eventful() -> Trace {
    let begins = |class, groups: &[&[NodeId]]| FaultPart::Begins {
        class,
        groups: groups.iter().map(|group| group.to_vec()).collect(),
    };
    let (number, world) = (1, NodeId::WORLD);
    trace(
        names(&["alice-0", "bank-0", "idle-0"]),
        vec![
            (0, ALICE, boot(0)),
            (0, BANK, boot(0)),
            (0, NodeId(2), boot(0)),
            (0, ALICE, send(CALLS, 1, BANK, b"\x05\x80alice")),
            (1_500, BANK, EventKind::Deliver { flow: CALLS, number, copy: 0 }),
            (1_500, BANK, send(ANSWERS, 1, ALICE, b"\x00")),
            (1_500, BANK, EventKind::Lose { flow: ANSWERS, number, copy: 0, reason: LossReason::Loss }),
            (2_000, ALICE, send(NOTES, 1, BANK, b"by the way")),
            (2_000, ALICE, EventKind::Duplicate { flow: NOTES, number }),
            (2_000, ALICE, EventKind::Corrupt { flow: NOTES, number, bit: 9 }),
            (
                2_500,
                world,
                fault("partition of alice-0 from bank-0", begins(FaultClass::Partition, &[&[ALICE], &[BANK]])),
            ),
            (3_000, BANK, EventKind::Deliver { flow: NOTES, number, copy: 1 }),
            (3_100, BANK, EventKind::Lose { flow: NOTES, number, copy: 0, reason: LossReason::PartitionOnArrival }),
            (4_000, BANK, EventKind::Crash),
            (4_500, ALICE, publish("history", r#"{"process":"a","type":"invoke","f":"get","key":1,"value":null}"#)),
            (5_000, BANK, boot(1)),
            (6_000, world, fault("partition is over", FaultPart::Ends { begun: 11 })),
            (7_000, world, fault("pause of bank-0", begins(FaultClass::Pause, &[&[BANK]]))),
            (8_000, ALICE, publish("paid", "2")),
            (8_000, ALICE, EventKind::Log { level: "INFO".into(), target: "a::b".into(), message: "so it is".into() }),
            (9_000, ALICE, send(CALLS, 2, BANK, b"\x05\x80alice")),
            (9_000, ALICE, EventKind::TaskEnd { end: TaskEnd::Returned }),
            (9_000, BANK, EventKind::InFlight { flow: CALLS, number: 2, copy: 0 }),
        ],
        Some(19),
    )
}

const LANES: &str = "have no part in this: idle-0
 step   seconds   alice-0  bank-0
    4  0.000000   ●───────▶●  call 1 Pay (7 bytes), 1.5 ms
    6  0.001500   │   ✕────●  answer 1 Pay (1 byte): lost by the link
    8  0.002000   ●┄┄┄┄┄┄┄▷│  datagram 1 tag 7 \"by the way\"
    9             ◆┄┄┄┄┄┄┄▷│  datagram 1 tag 7 is duplicated
   10             ◆        │  datagram 1 tag 7: bit 9 is flipped
   11  0.002500 ┏ │        │  fault: partition of alice-0 from bank-0
   12  0.003000 ┃ │┄┄┄┄┄┄┄▶●  datagram 1 tag 7 (the copy) after 1 ms
   13  0.003100 ┃ │┄┄┄┄┄┄┄✕│  datagram 1 tag 7: stopped by a partition on
                ┃ │        │  arrival
   14  0.004000 ┃ │        ✖  crashes
   15  0.004500 ┃ ◆        ┊  get 1 …
   16  0.005000 ┃ │        ▲  starts again (boot 1)
   17  0.006000 ┗ │        │  fault: partition is over
   18  0.007000   │        ║  fault: pause of bank-0
>  19  0.008000   ◆        ║  publishes paid: 2
   19             ·        ║  INFO b: so it is
   20  0.009000   ●┄┄┄┄┄┄┄▷║  call 2 Pay (7 bytes), never arrives before the end";

#[test]
fn a_run_has_lanes_in_80_columns() {
    let text = render_lanes(&eventful(), Style::default(), Glyphs::Unicode);
    assert_eq!(text, LANES, "it was:\n{text}");
    assert!(text.lines().all(|line| line.chars().count() <= 80));
}

#[test]
fn without_unicode_it_is_the_same_in_ascii() {
    let text = render_lanes(&eventful(), Style::default(), Glyphs::Ascii);
    assert!(text.is_ascii(), "{text}");
    for (unicode, ascii) in [
        ("●───────▶●", "o------->o"),
        ("│   ✕────●", "|   x----o"),
        ("◆┄┄┄┄┄┄┄▷│", "*.......)|"),
        ("┏ │        │", "/ |        |"),
        ("┗ │        │", "\\ |        |"),
        ("│        ✖", "|        X"),
        ("◆        ┊  get 1 …", "*        :  get 1 ~"),
        ("│        ║", "|        #"),
    ] {
        assert!(LANES.contains(unicode), "{unicode}");
        assert!(text.contains(ascii), "no {ascii:?} in\n{text}");
    }
    assert_eq!(text.lines().count(), LANES.lines().count());
}

#[test]
fn colours_change_nothing_but_the_colours() {
    let text = render_lanes(&eventful(), Style { colour: true, ..Style::default() }, Glyphs::Unicode);
    assert!(text.contains("\u{1b}[1;31m>  19"), "{text:?}");
    let mut plain = String::new();
    for (index, part) in text.split('\u{1b}').enumerate() {
        plain.push_str(if index == 0 { part } else { part.split_once('m').unwrap().1 });
    }
    let trimmed = |text: &str| text.lines().map(str::trim_end).collect::<Vec<_>>().join("\n");
    assert_eq!(trimmed(&plain), LANES);
}

/// In a run of so many nodes each sends the next one a message; the last one fails.
fn many(nodes: usize) -> Trace {
    let node_names: Vec<String> = (0..nodes).map(|node| format!("server-with-a-long-name-{node}")).collect();
    let mut names = names(&node_names.iter().map(String::as_str).collect::<Vec<_>>());
    let id = |node: usize| NodeId(u32::try_from(node % nodes).unwrap());
    let mut events: Vec<_> = (0..nodes).map(|node| (0, id(node), boot(0))).collect();
    for node in 0..nodes {
        let flow = FlowId(100 + node as u64);
        let role = FlowRole::Datagram { tag: 1 };
        names.flows.insert(flow, FlowInfo { from: id(node), to: id(node + 1), role, operation: None });
        let at_us = 1_000 * node as u64;
        events.push((at_us, id(node), send(flow, 1, id(node + 1), b"x")));
        events.push((at_us + 500, id(node + 1), EventKind::Deliver { flow, number: 1, copy: 0 }));
    }
    events.push((1_000_000, id(nodes - 1), publish("bad", "1")));
    let last = events.len() as u64;
    trace(names, events, Some(last))
}

#[test]
fn as_many_lanes_as_fit_and_one_for_all_others() {
    // 80 columns, of which 16 are before the lanes and 28 behind them: 7 lanes of 5.
    let seven = render_lanes(&many(7), Style::default(), Glyphs::Unicode);
    assert!(!seven.contains("share"), "{seven}");
    assert_eq!(seven.lines().filter(|line| line.contains("server-with-a-long-name")).count(), 7, "{seven}");
    let eight = render_lanes(&many(8), Style::default(), Glyphs::Unicode);
    let first = eight.lines().next().unwrap();
    assert!(first.starts_with("share the last lane: server-with-a-l…, server-with-a-l…"), "{eight}");
    assert!(eight.contains("2 others"), "{eight}");
    // Who failed has a lane, and who shares one is named.
    assert!(eight.lines().any(|line| line.starts_with('>') && line.contains("  publishes bad: 1")), "{eight}");
    assert!(eight.contains("server-with-a-long-name-6 to"), "{eight}");
    let hundreds = render_lanes(&many(300), Style::default(), Glyphs::Unicode);
    assert!(hundreds.contains("and 282 more"), "{}", hundreds.lines().take(9).collect::<Vec<_>>().join("\n"));
    for text in [seven, eight, hundreds] {
        assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
    }
}

#[test]
fn a_narrow_page_breaks_nothing() {
    for columns in [60, 79, 81, 200] {
        for glyphs in [Glyphs::Unicode, Glyphs::Ascii] {
            for trace in [eventful(), many(2), many(40)] {
                let text = render_lanes(&trace, Style { columns, ..Style::default() }, glyphs);
                assert!(text.lines().all(|line| line.chars().count() <= columns), "{columns}:\n{text}");
            }
        }
    }
    // With nobody in it, too.
    assert!(render_lanes(&trace(Names::default(), vec![], None), Style::default(), Glyphs::Unicode).contains("step"));
}

#[test]
fn a_part_is_what_was_asked_for() {
    let trace = eventful();
    let shown = |window: Window| {
        let text = render_lanes(&trace, Style { window, ..Style::default() }, Glyphs::Unicode);
        let steps = text.lines().filter_map(|line| line[1..].split_whitespace().next()?.parse::<u64>().ok());
        steps.collect::<Vec<u64>>()
    };
    assert_eq!(shown(Window::until(&trace, 8).unwrap()), [4, 6, 8]);
    // The log lines with it as well.
    assert_eq!(shown(Window::until(&trace, 19).unwrap()).len(), 15);
    // What it isn't yet, it doesn't say: the message comes later.
    assert_eq!(shown(Window::until(&trace, 4).unwrap()), [4]);
    let lanes = Style { lanes: Some(Glyphs::Unicode), ..Style::default() };
    assert_eq!(shown(Window::around(&trace, None, 2, lanes).unwrap()), [17, 18, 19, 19, 20]);
    assert!(shown(Window::around(&trace, Some(1), 0, lanes).unwrap()).is_empty());
    assert_eq!(shown(Window::around(&trace, Some(12), 0, lanes).unwrap()), [12]);
    assert_eq!(shown(Window::around(&trace, Some(12), 999, lanes).unwrap()).len(), 16);
    // There is a first step and a last one.
    for step in [0, 23, u64::MAX] {
        let error = WindowError::NoSuchStep { step, last: 22 };
        assert_eq!(error.to_string(), format!("the run has no step {step}: it has steps 1 to 22"));
        assert_eq!(Window::until(&trace, step), Err(error.clone()));
        assert_eq!(Window::around(&trace, Some(step), 5, lanes), Err(error));
    }
    for step in [1, 22] {
        Window::until(&trace, step).unwrap();
        Window::around(&trace, Some(step), 0, lanes).unwrap();
    }
    let passes = Trace { verdict: Verdict::Pass, ..trace.clone() };
    assert_eq!(Window::around(&passes, None, 5, lanes), Err(WindowError::NoFailure { last: 22 }));
    // A property that was judged at the end failed there.
    let mut late = trace.clone();
    let Verdict::Fail(failure) = &mut late.verdict else { unreachable!() };
    failure.node = None;
    assert_eq!(Window::around(&late, None, 0, lanes).unwrap().last_step, 22);
}

#[test]
fn the_list_has_the_steps_where_a_part_is_shown() {
    let trace = eventful();
    let window = Window::until(&trace, 5).unwrap();
    let text = render_timeline(&trace, Style { window, ..Style::default() });
    assert!(
        text.contains("\n    5   0.001500000  bank-0  <- alice-0 call 1 Pay after 1.5 ms\n\nat step 5, 1.5 ms:\n"),
        "{text}"
    );
    assert!(text.contains("FAIL paid-once"), "{text}");
}

#[test]
fn how_the_nodes_are_at_a_step() {
    let trace = eventful();
    let state = |step| render_state(&trace, step, Style::default());
    assert_eq!(
        state(1),
        "at step 1, 0 ns:\n  up          alice-0\n  not started bank-0, idle-0\n  under way   no message\n"
    );
    assert_eq!(
        state(15),
        "at step 15, 4.5 ms:\n  up          alice-0, idle-0\n  down        bank-0 (since step 14, 4 ms)\n  \
         stands      partition of alice-0 from bank-0 (since step 11, 2.5 ms)\n  under way   no message\n"
    );
    // Its last step is when it is over.
    assert!(state(16).contains("stands      partition"));
    assert!(!state(17).contains("stands"));
    assert_eq!(
        state(22),
        "at step 22, 9 ms:\n  up          idle-0\n  returned    alice-0\n  \
         paused      bank-0 (since step 18, 7 ms)\n  under way   1 message\n"
    );
    assert!(state(4).ends_with("under way   1 message\n"));
    assert!(state(9).ends_with("under way   2 messages\n"));
}

const HOSTILE: &str = "\u{1b}]0;owned\u{7}\u{202e}\r\n</script></svg>]]><![CDATA[&\"'\u{0}\u{ffff}\u{fffe}";

/// Every text that comes from outside is hostile, and some are long.
fn hostile() -> Trace {
    let long: &'static str = Box::leak("x<&".repeat(1 << 20).into_boxed_str());
    let mut trace = eventful();
    let count = trace.events.len();
    for (place, event) in trace.events.iter_mut().enumerate() {
        if let EventKind::Publish { topic, value } = &mut event.kind {
            *topic = HOSTILE.into();
            *value = if place % 2 == 0 { long.into() } else { HOSTILE.into() };
        }
        if let EventKind::Fault { what, .. } = &mut event.kind {
            *what = HOSTILE.into();
        }
        if let EventKind::Log { level, target, message } = &mut event.kind {
            (*level, *target, *message) = (HOSTILE.into(), HOSTILE.into(), long.into());
        }
        if let EventKind::Send { payload, .. } = &mut event.kind {
            *payload = HOSTILE.as_bytes().into();
        }
    }
    assert!(count > 20);
    for (node, info) in trace.names.nodes.iter_mut().enumerate() {
        info.name = format!("{HOSTILE}{node}");
    }
    for flow in trace.names.flows.values_mut() {
        flow.role = FlowRole::Call { method: HOSTILE.to_string() };
    }
    trace.plan.scenario = HOSTILE.to_string();
    let Verdict::Fail(failure) = &mut trace.verdict else { unreachable!() };
    failure.property = HOSTILE.to_string();
    failure.message = format!("{HOSTILE}{long}");
    trace
}

fn is_harmless(text: &str) {
    let bad = text.chars().find(|c| (c.is_control() && *c != '\n') || ('\u{202a}'..='\u{202e}').contains(c));
    assert_eq!(bad, None);
}

#[test]
fn hostile_text_breaks_no_terminal() {
    for glyphs in [Glyphs::Unicode, Glyphs::Ascii] {
        let trace = hostile();
        let window = Window::until(&trace, 15).unwrap();
        for style in [Style::default(), Style { window, ..Style::default() }] {
            let text = render_timeline(&trace, Style { lanes: Some(glyphs), ..style });
            is_harmless(&text);
            assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
        }
    }
}

/// Its elements and the texts between them. Strict: all that SVG here has, and no more.
fn elements(svg: &str) -> Vec<&str> {
    let mut open = Vec::new();
    let mut all = Vec::new();
    let mut rest = svg;
    while let Some(start) = rest.find('<') {
        assert!(!rest[..start].contains('>'), "a > outside of a tag");
        let end = start + rest[start..].find('>').expect("a tag ends");
        let tag = &rest[start + 1..end];
        rest = &rest[end + 1..];
        let name = tag.trim_start_matches('/').split([' ', '/']).next().unwrap();
        let known = ["svg", "title", "desc", "rect", "text", "line", "path", "circle"];
        assert!(known.contains(&name), "an element {name:?}");
        if tag.starts_with('/') {
            assert_eq!(open.pop(), Some(name));
        } else {
            // Attributes in pairs of quotes, none of which refers to anything.
            assert_eq!(tag.matches('"').count() % 2, 0, "{tag}");
            for bad in ["href", "onload", " style=", "url(", "src"] {
                assert!(!tag.contains(bad), "{tag}");
            }
            all.push(tag);
            if !tag.ends_with('/') {
                open.push(name);
            }
        }
    }
    assert!(open.is_empty(), "{open:?}");
    // An ampersand begins one of the five entities.
    for part in svg.split('&').skip(1) {
        let known = ["lt;", "gt;", "amp;", "quot;", "#39;"];
        assert!(known.iter().any(|entity| part.starts_with(entity)), "&{}", part.chars().take(8).collect::<String>());
    }
    all
}

#[test]
fn a_picture_has_everything_that_happened() {
    let svg = render_svg(&eventful(), Style::default());
    let elements = elements(&svg);
    let count = |what: &dyn Fn(&str) -> bool| elements.iter().filter(|element| what(element)).count();
    // Two lanes, that of the bank in two parts, and five arrows: a call, its answer, a note and its copy, a call that never arrives.
    assert_eq!(count(&|tag| tag.starts_with("line") && tag.contains("#8c959f")), 3);
    assert_eq!(count(&|tag| tag.starts_with("line") && !tag.contains("#8c959f")), 5);
    // Two are lost.
    assert_eq!(count(&|tag| tag.starts_with("path") && tag.contains("l12 12m0 -12l-12 12")), 2);
    // Two arrive.
    assert_eq!(count(&|tag| tag.starts_with("path") && tag.contains('Z')), 2);
    // The partition at both lanes, the pause and the crash at one.
    assert_eq!(count(&|tag| tag.starts_with("rect") && tag.contains("fill-opacity")), 4);
    // The two sides of the partition are told apart; of a pause there are no sides.
    assert_eq!(svg.matches(">A</text>").count() + svg.matches(">B</text>").count(), 2);
    for expected in
        ["alice-0", "bank-0", "payments, seed 0x7", "▶ 19", "publishes paid: 2", "FAIL paid-once at 8 ms", "get 1 …"]
    {
        assert!(svg.contains(expected), "no {expected:?}");
    }
    assert!(!svg.contains(">idle-0<"), "it has no part in it");
    assert!(svg.contains("<title id=\"t\">") && svg.contains("<desc id=\"d\">FAIL paid-once"));
    assert!(svg.len() < 10_000, "{}", svg.len());
}

#[test]
fn of_a_long_shrunk_run_what_lies_around_its_causes_and_its_end_is_drawn() {
    let mut kinds: Vec<_> = (0..200)
        .map(|at| (at * 1_000, ALICE, EventKind::Publish { topic: "a".into(), value: at.to_string().into() }))
        .collect();
    kinds[60] = (60_000, ALICE, send(CALLS, 1, BANK, b"\x05\x80alice"));
    kinds[61] = (60_000, ALICE, EventKind::Lose { flow: CALLS, number: 1, copy: 0, reason: LossReason::Loss });
    let found = |shrunk: bool| {
        let mut trace = trace(names(&["alice-0", "bank-0"]), kinds.clone(), Some(200));
        let site = Site { kind: SiteKind::Loss, flow: CALLS, number: 1 };
        trace.perturbations = vec![Perturbation { site, fingerprint: 0, value: 1, calm: 0, at_ns: 60_000_000 }];
        trace.plan.bases = if shrunk { Bases::calm() } else { Bases::drawn() };
        render_svg(&trace, Style::default())
    };
    let svg = found(true);
    for said in ["1. call 1 (payments::Pay) from alice-0 to bank-0 is lost", "(1) lost by the link", "publishes a: 199"]
    {
        assert!(svg.contains(said), "no {said:?} in {svg}");
    }
    // Three lines before the cause, and three behind it; ten before the failure.
    for (said, is_there) in
        [("57<", false), ("58<", true), ("64<", true), ("65<", false), ("188<", false), ("189<", true)]
    {
        assert_eq!(svg.contains(&format!("publishes a: {said}")), is_there, "{said}");
    }
    assert!(svg.contains("58 earlier events left out") && svg.contains(">124 events left out; 125 ms later<"), "{svg}");
    elements(&svg);
    // Of what isn't shrunk the last are.
    let svg = found(false);
    assert!(svg.contains("100 earlier events left out") && !svg.contains("is lost"));
}

#[test]
fn a_long_time_in_which_nothing_happens_is_a_break() {
    let after = |at_us: u64| {
        let mut kinds: Vec<_> = (0..9).map(|at| (at * 1_000, ALICE, publish("a", "1"))).collect();
        kinds.push((8_000 + at_us, ALICE, publish("a", "1")));
        render_svg(&trace(names(&["alice-0", "bank-0"]), kinds, None), Style::default())
    };
    // Three times the usual distance is drawn as it is.
    assert!(!after(3_000).contains("later"));
    assert!(after(3_200).contains("3.2 ms later"));
    let heights = |svg: &str| svg.split("height=\"").nth(1).unwrap().split('"').next().unwrap().parse::<u64>().unwrap();
    assert_eq!(heights(&after(3_200)), heights(&after(3_600_000_000)));
    assert!(after(3_600_000_000).contains("3600 s later"));
}

#[test]
fn a_picture_of_much_shows_the_last_of_it_and_says_so() {
    let of = |events: u64| {
        let kinds = (0..events).map(|at| (at, ALICE, publish("a", "1"))).collect();
        render_svg(&trace(names(&["alice-0", "bank-0"]), kinds, Some(events)), Style::default())
    };
    assert!(!of(100).contains("earlier"));
    assert!(of(101).contains("1 earlier event left out"), "{}", &of(101)[..600]);
    assert_eq!(elements(&of(101)).iter().filter(|tag| tag.contains("r=\"4\"")).count(), 100);
    assert!(of(100_000).len() < 40_000);
    let wide = render_svg(&many(60), Style::default());
    assert!(wide.contains("36 nodes left out"), "{}", &wide[..600]);
    elements(&wide);
}

#[test]
fn hostile_text_stays_text_in_a_picture() {
    let svg = render_svg(&hostile(), Style::default());
    elements(&svg);
    is_harmless(&svg);
    assert!(!svg.contains(['\u{fffe}', '\u{ffff}']));
    assert!(svg.len() < 40_000, "{}", svg.len());
}

fn perfetto(trace: &Trace) -> Vec<serde_json::Value> {
    let text = render_perfetto(trace);
    is_harmless(&text);
    let mut json: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    serde_json::from_value(json["traceEvents"].take()).unwrap()
}

/// Nanoseconds, from microseconds as they are written.
fn ns(value: &serde_json::Value) -> u64 {
    (value.as_f64().unwrap() * 1_000.0).round() as u64
}

#[track_caller]
fn check_structure(events: &[serde_json::Value]) {
    let of = |phase: &'static str| events.iter().filter(move |event| event["ph"] == phase);
    let track = |event: &serde_json::Value| (event["pid"].as_u64().unwrap(), event["tid"].as_u64().unwrap());
    // Slices of a track follow each other, and don't overlap.
    let mut ends = std::collections::BTreeMap::new();
    for slice in of("X") {
        let (start, long) = (ns(&slice["ts"]), ns(&slice["dur"]));
        assert!(long > 0, "{slice}");
        let end = ends.insert(track(slice), start + long).unwrap_or(0);
        assert!(start >= end, "{slice} begins before {end}");
    }
    // A flow begins and ends once, each in a slice of its track.
    let bound = |event: &serde_json::Value| {
        of("X").any(|slice| {
            let start = ns(&slice["ts"]);
            track(slice) == track(event) && (start..start + ns(&slice["dur"])).contains(&ns(&event["ts"]))
        })
    };
    let mut begun = std::collections::BTreeMap::new();
    for flow in of("s") {
        assert!(bound(flow), "{flow}");
        assert_eq!(begun.insert(flow["id"].as_u64().unwrap(), flow.clone()), None);
    }
    for flow in of("f") {
        assert!(bound(flow), "{flow}");
        assert_eq!(flow["bp"], "e");
        let start = begun.remove(&flow["id"].as_u64().unwrap()).expect("it begins");
        assert_eq!((&start["name"], &start["cat"]), (&flow["name"], &flow["cat"]));
        assert!(ns(&start["ts"]) <= ns(&flow["ts"]));
    }
    assert!(begun.is_empty(), "{begun:?}");
    // What begins on the faults' track ends.
    let ids = |phase| of(phase).map(|event| event["id"].as_u64().unwrap()).collect::<Vec<_>>();
    assert_eq!(ids("b"), ids("e"));
}

#[test]
fn perfetto_gets_tracks_flows_and_faults() {
    let events = perfetto(&eventful());
    check_structure(&events);
    let of = |phase: &'static str| events.iter().filter(move |event| event["ph"] == phase);
    let tracks: Vec<_> = of("M")
        .filter(|event| event["name"] == "thread_name")
        .map(|event| (event["tid"].as_u64().unwrap(), event["args"]["name"].as_str().unwrap()))
        .collect();
    assert_eq!(tracks, [(0, "world"), (1, "alice-0"), (2, "bank-0"), (3, "idle-0")]);
    // The call and the note's copy arrive.
    let flows: Vec<_> = of("f").map(|event| (event["name"].as_str().unwrap(), ns(&event["ts"]))).collect();
    assert_eq!(flows, [("call 1 Pay", 1_500_000), ("datagram 1 tag 7 (the copy)", 3_000_000)]);
    let instants: Vec<_> = of("i")
        .map(|event| (event["cat"].as_str().unwrap(), event["tid"].as_u64().unwrap(), ns(&event["ts"])))
        .collect();
    assert_eq!(instants, [("loss", 2, 1_500_000), ("loss", 2, 3_100_000), ("failure", 1, 8_000_000)]);
    let spans: Vec<_> = of("b").map(|event| (event["name"].as_str().unwrap(), ns(&event["ts"]))).collect();
    let expected = [
        ("partition of alice-0 from bank-0", 2_500_000),
        ("bank-0 is down", 4_000_000),
        ("pause of bank-0", 7_000_000),
    ];
    assert_eq!(spans, expected);
    let ends: Vec<_> = of("e").map(|event| ns(&event["ts"])).collect();
    assert_eq!(ends, [6_000_000, 5_000_000, 9_000_000]);
}

#[test]
fn perfettos_times_are_exact_and_slices_as_short_as_they_must() {
    let mut trace = trace(
        names(&["alice-0"]),
        vec![(0, ALICE, publish("a", "1")), (0, ALICE, publish("b", "1")), (1, ALICE, publish("c", "1"))],
        None,
    );
    trace.events[1].at_ns = 1;
    trace.events[2].at_ns = u64::MAX;
    let text = render_perfetto(&trace);
    for expected in
        ["\"ts\":0.000,\"dur\":0.001", "\"ts\":0.001,\"dur\":1.000", "\"ts\":18446744073709551.615,\"dur\":1.000"]
    {
        assert!(text.contains(expected), "no {expected} in {text}");
    }
}

#[test]
fn hostile_text_stays_text_for_perfetto() {
    check_structure(&perfetto(&hostile()));
    check_structure(&perfetto(&many(40)));
    assert!(render_perfetto(&hostile()).len() < 40_000);
}
