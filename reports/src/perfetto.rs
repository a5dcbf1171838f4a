//! A run for Perfetto and other viewers of Chrome's trace events: a track a node, flows for messages, a track for faults.
//!
//! Source: "Trace Event Format", the Chrome team's description of the JSON format, which <https://ui.perfetto.dev> opens. Times are
//! microseconds of virtual time with three decimals, exact. What a program does takes no virtual time: all that happens on a node at one
//! instant is one slice, drawn a microsecond long, or up to the node's next one if that is sooner.

use std::collections::BTreeMap;

use squall_trace::{EventKind, NodeId, Trace, Verdict};

use crate::lanes::event_in_short;
use crate::printable::line;
use crate::scene::{Fate, Scene, SpanKind};
use crate::timeline::{SentMessages, in_words, message_name};

/// How long a slice is drawn at the most.
const SLICE_NS_MAX: u64 = 1_000;

/// A name in the viewer is a line.
const NAME_COLUMNS: usize = 200;

/// Of what happens at one instant so much is listed.
const LISTED_MAX: usize = 32;

/// The process of the nodes' tracks, and that of the faults.
const NODES: u64 = 1;
const FAULTS: u64 = 2;

/// What happens on a node at one instant.
struct Slice {
    node: NodeId,
    at_ns: u64,
    events: Vec<usize>,
}

/// All of a run, as one JSON object.
#[must_use]
pub fn render_perfetto(trace: &Trace) -> String {
    let scene = Scene::of(trace);
    let mut lines = Vec::new();
    names(trace, &mut lines);
    slices(trace, &mut lines);
    messages(trace, &scene, &mut lines);
    faults(trace, &scene, &mut lines);
    if let Verdict::Fail(failure) = &trace.verdict {
        let name = text(&format!("FAIL {}", failure.property));
        let (at, message) = (micros(failure.at_ns), text(&failure.message));
        let (scope, thread) = match failure.node {
            Some(node) if node != NodeId::WORLD => ("t", track(node)),
            _ => ("g", 0),
        };
        lines.push(format!(
            r#"{{"ph":"i","s":"{scope}","cat":"failure","name":{name},"pid":{NODES},"tid":{thread},"ts":{at},"args":{{"message":{message},"step":{}}}}}"#,
            failure.step
        ));
    }
    format!("{{\"displayTimeUnit\":\"ns\",\"traceEvents\":[\n{}\n]}}\n", lines.join(",\n"))
}

/// Names of the tracks, and their order.
fn names(trace: &Trace, lines: &mut Vec<String>) {
    let mut name = |what: &str, pid: u64, tid: u64, name: &str| {
        let name = text(name);
        lines.push(format!(r#"{{"ph":"M","name":"{what}","pid":{pid},"tid":{tid},"args":{{"name":{name}}}}}"#));
    };
    name("process_name", NODES, 0, &format!("{}, seed {}", trace.plan.scenario, trace.plan.seed));
    name("process_name", FAULTS, 0, "faults, and nodes that are down");
    name("thread_name", NODES, 0, "world");
    for (index, node) in trace.names.nodes.iter().enumerate() {
        name("thread_name", NODES, index as u64 + 1, &node.name);
    }
    for index in 0..=trace.names.nodes.len() {
        lines.push(format!(
            r#"{{"ph":"M","name":"thread_sort_index","pid":{NODES},"tid":{index},"args":{{"sort_index":{index}}}}}"#
        ));
    }
}

fn slices(trace: &Trace, lines: &mut Vec<String>) {
    let mut open: BTreeMap<NodeId, Slice> = BTreeMap::new();
    for (index, event) in trace.events.iter().enumerate() {
        match open.get_mut(&event.node) {
            Some(slice) if slice.at_ns == event.at_ns => slice.events.push(index),
            _ => {
                let slice = Slice { node: event.node, at_ns: event.at_ns, events: vec![index] };
                if let Some(before) = open.insert(event.node, slice) {
                    lines.push(slice_line(trace, &before, Some(event.at_ns)));
                }
            }
        }
    }
    for slice in open.values() {
        lines.push(slice_line(trace, slice, None));
    }
}

fn slice_line(trace: &Trace, slice: &Slice, next_ns: Option<u64>) -> String {
    let events = slice.events.iter().map(|&index| &trace.events[index]);
    // It is named by what a person looks for.
    let weight = |kind: &EventKind<'_>| match kind {
        EventKind::Panic { .. } | EventKind::Crash | EventKind::Boot { .. } | EventKind::Fault { .. } => 0,
        EventKind::Publish { .. } => 1,
        EventKind::Deliver { .. } => 2,
        EventKind::Send { .. } | EventKind::Lose { .. } => 3,
        EventKind::Poll | EventKind::Spawn { .. } => 5,
        _ => 4,
    };
    let title = events.clone().min_by_key(|event| weight(&event.kind));
    let title = title.map_or_else(String::new, |event| event_in_short(event, &trace.names));
    let mut listed: Vec<String> = events
        .clone()
        .take(LISTED_MAX)
        .map(|event| text(&format!("{} {}", event.step, in_words(event, &trace.names, &SentMessages::new()))))
        .collect();
    if slice.events.len() > LISTED_MAX {
        listed.push(text(&format!("and {} more", slice.events.len() - LISTED_MAX)));
    }
    let long_ns = next_ns.map_or(SLICE_NS_MAX, |next| (next - slice.at_ns).min(SLICE_NS_MAX));
    format!(
        r#"{{"ph":"X","cat":"node","name":{},"pid":{NODES},"tid":{},"ts":{},"dur":{},"args":{{"events":[{}]}}}}"#,
        text(&title),
        track(slice.node),
        micros(slice.at_ns),
        micros(long_ns),
        listed.join(",")
    )
}

fn messages(trace: &Trace, scene: &Scene, lines: &mut Vec<String>) {
    for (id, message) in scene.messages.iter().enumerate() {
        let name = message_name(&trace.names, message.flow, message.number);
        let name = text(&if message.is_copy { format!("{name} (the copy)") } else { name });
        // The event of its making, on the node where that is told: its sender.
        let begin = &trace.events[message.sent];
        let place = |event: usize| {
            let event = &trace.events[event];
            format!(r#""pid":{NODES},"tid":{},"ts":{}"#, track(event.node), micros(event.at_ns))
        };
        match message.fate {
            Fate::Delivered { event } => {
                lines.push(format!(r#"{{"ph":"s","cat":"message","name":{name},"id":{id},{}}}"#, place(message.sent)));
                lines
                    .push(format!(r#"{{"ph":"f","bp":"e","cat":"message","name":{name},"id":{id},{}}}"#, place(event)));
            }
            Fate::Lost { event, reason } => lines.push(format!(
                r#"{{"ph":"i","s":"t","cat":"loss","name":{},{},"args":{{"sent_step":{}}}}}"#,
                text(&format!("✕ {}: {reason}", message_name(&trace.names, message.flow, message.number))),
                place(event),
                begin.step
            )),
            // It has no end; its sending is in the slice's list.
            Fate::UnderWay => {}
        }
    }
}

fn faults(trace: &Trace, scene: &Scene, lines: &mut Vec<String>) {
    for (id, span) in scene.spans.iter().enumerate() {
        let begin = &trace.events[span.begun];
        let name = match span.what {
            SpanKind::Down => format!("{} is down", trace.names.node(begin.node)),
            SpanKind::Fault(_) => {
                let words = in_words(begin, &trace.names, &SentMessages::new());
                words.trim_start_matches("fault: ").to_string()
            }
        };
        let name = text(&name);
        let end_ns = span.ended.map_or(scene.end_ns, |event| trace.events[event].at_ns);
        for (phase, at_ns) in [("b", begin.at_ns), ("e", end_ns)] {
            lines.push(format!(
                r#"{{"ph":"{phase}","cat":"fault","name":{name},"id":{id},"pid":{FAULTS},"tid":0,"ts":{}}}"#,
                micros(at_ns)
            ));
        }
    }
}

/// The world has the first track.
fn track(node: NodeId) -> u64 {
    if node == NodeId::WORLD { 0 } else { u64::from(node.0) + 1 }
}

/// Exact, which a floating point number wouldn't be.
fn micros(ns: u64) -> String {
    format!("{}.{:03}", ns / 1_000, ns % 1_000)
}

/// A text as JSON has it, on one line and without what turns a reading direction round.
fn text(text: &str) -> String {
    serde_json::Value::String(line(text, NAME_COLUMNS)).to_string()
}
