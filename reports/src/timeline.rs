//! A run as text: one line an event with its virtual time, its node and what happened in words, then the verdict.
//!
//! It is made for 80 columns. What only the engine's author wants to see (polls, spawns, tasks that return) is left out
//! unless asked for; the event at which a property failed is always shown, and marked.

use std::collections::BTreeMap;

use squall_trace::trace::format_ns;
use squall_trace::{Event, EventKind, Failure, FlowId, FlowRole, Names, NodeId, Stream, TaskEnd, Trace, Verdict};

use crate::lanes::{Glyphs, render_lanes, render_state};
use crate::paint::{Tone, paint};
use crate::printable::{as_text, line, padded, paragraph};
use crate::window::Window;

/// How a timeline looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Style {
    /// Escape sequences for colours.
    pub colour: bool,
    /// How wide a line may be.
    pub columns: usize,
    /// How many lines of events at most; of more, the last ones are shown. `None`: all.
    pub lines_max: Option<usize>,
    /// Also polls, spawns, and the ends of tasks.
    pub tasks: bool,
    /// Which steps.
    pub window: Window,
    /// Lanes and arrows drawn with these characters, in place of a list.
    pub lanes: Option<Glyphs>,
}

impl Default for Style {
    fn default() -> Style {
        Style { colour: false, columns: 80, lines_max: None, tasks: false, window: Window::WHOLE, lanes: None }
    }
}

/// Beyond this a node's name is cut.
const NODE_COLUMNS_MAX: usize = 16;

/// Mark, seconds with nine decimals, and the spaces on both sides of the node.
const TIME_COLUMNS: usize = 17;

/// How many lines a verdict's message may have.
const MESSAGE_LINES_MAX: usize = 60;

/// A run: its events of interest, one a line, the nodes' states where they are wanted, then [`render_verdict`].
#[must_use]
pub fn render_timeline(trace: &Trace, style: Style) -> String {
    let mut text = render_events(trace, style);
    text.push_str("\n\n");
    if let Some(step) = style.window.state_at {
        text.push_str(&render_state(trace, step, style));
        text.push('\n');
    }
    text.push_str(&render_verdict(&trace.verdict, &trace.names, style));
    text
}

/// A message's sending, remembered until its copies have arrived.
#[derive(Clone, Copy)]
pub(crate) struct Sent {
    at_ns: u64,
}

pub(crate) type SentMessages = BTreeMap<(FlowId, u64), Sent>;

/// A run's events of interest, one a line, without its verdict.
#[must_use]
pub fn render_events(trace: &Trace, style: Style) -> String {
    match style.lanes {
        Some(glyphs) => render_lanes(trace, style, glyphs),
        None => event_lines(trace, style).join("\n"),
    }
}

fn event_lines(trace: &Trace, style: Style) -> Vec<String> {
    let failure = match &trace.verdict {
        // A property that was judged at the end failed at no event.
        Verdict::Fail(failure) if failure.node.is_some() => Some(failure),
        _ => None,
    };
    let names = &trace.names;
    let node_columns = node_columns(names);
    // Whoever asked by steps wants to see them.
    let step_columns = match style.window.is_whole() {
        true => 0,
        false => trace.events.last().map_or(0, |event| event.step).to_string().len().max("step".len()) + 1,
    };
    let mut sent = SentMessages::new();
    let marked = failure.and_then(|failure| marked_event(trace, failure));
    let mut lines = std::collections::VecDeque::new();
    let mut left_out = 0u64;
    for (index, event) in trace.events.iter().enumerate() {
        if let EventKind::Send { flow, number, .. } = event.kind {
            sent.insert((flow, number), Sent { at_ns: event.at_ns });
        }
        let is_marked = marked == Some(index);
        if !style.window.contains(event.step) || (!is_marked && !is_of_interest(event, names, style)) {
            continue;
        }
        if style.lines_max.is_some_and(|max| lines.len() >= max) {
            lines.pop_front();
            left_out += 1;
        }
        lines.push_back((index, is_marked));
    }
    let mut text = Vec::with_capacity(lines.len() + 2);
    text.push(paint(
        style.colour,
        Tone::Faint,
        &format!("{}{:>13}  {} what happened", titled(" step", step_columns), "seconds", padded("node", node_columns)),
    ));
    if left_out > 0 {
        let plural = if left_out == 1 { "event" } else { "events" };
        text.push(paint(
            style.colour,
            Tone::Faint,
            &format!("{}{:>13}  {left_out} earlier {plural} left out", titled("", step_columns), "…"),
        ));
    }
    for (index, is_marked) in lines {
        text.push(render_event(&trace.events[index], names, &sent, (step_columns, node_columns), is_marked, style));
    }
    text
}

/// A step, or what stands above them, where they are shown.
fn titled(text: &str, columns: usize) -> String {
    match columns {
        0 => String::new(),
        columns => format!("{text:>width$} ", width = columns - 1),
    }
}

/// The event that a failure points at: of those with its step, the one that is no log line.
pub(crate) fn marked_event(trace: &Trace, failure: &Failure) -> Option<usize> {
    let is_log = |event: &Event<'_>| matches!(event.kind, EventKind::Log { .. });
    trace.events.iter().position(|event| event.step == failure.step && !is_log(event))
}

fn node_columns(names: &Names) -> usize {
    let widest = names.nodes.iter().map(|node| line(&node.name, NODE_COLUMNS_MAX).chars().count()).max();
    widest.unwrap_or(0).max("world".len())
}

pub(crate) fn is_of_interest(event: &Event<'_>, names: &Names, style: Style) -> bool {
    match &event.kind {
        EventKind::Poll | EventKind::Spawn { .. } => style.tasks,
        EventKind::TaskEnd { end } => style.tasks || (*end == TaskEnd::Returned && is_clients_root(event, names)),
        _ => true,
    }
}

/// Whether the event's task is what a client is waited for.
fn is_clients_root(event: &Event<'_>, names: &Names) -> bool {
    let is_client = names.nodes.get(event.node.index()).is_some_and(|node| node.client);
    is_client && names.tasks.get(&event.task).is_some_and(|task| task.spawned_at.is_empty())
}

fn render_event(
    event: &Event<'_>,
    names: &Names,
    sent: &SentMessages,
    (step_columns, node_columns): (usize, usize),
    is_marked: bool,
    style: Style,
) -> String {
    let mark = if is_marked { ">" } else { " " };
    let step = titled(&event.step.to_string(), step_columns);
    let time = format!("{step}{:>3}.{:09}", event.at_ns / 1_000_000_000, event.at_ns % 1_000_000_000);
    let node = padded(&line(&names.node(event.node), NODE_COLUMNS_MAX), node_columns);
    let columns = style.columns.saturating_sub(TIME_COLUMNS + step_columns + node_columns).max(20);
    let words = line(&in_words(event, names, sent), columns);
    if is_marked {
        return paint(style.colour, Tone::Bad, format!("{mark}{time}  {node} {words}").trim_end());
    }
    let words = match tone(event) {
        Some(tone) => paint(style.colour, tone, &words),
        None => words,
    };
    let time = paint(style.colour, Tone::Faint, &time);
    format!("{mark}{time}  {} {words}", paint(style.colour, Tone::Name, &node))
}

pub(crate) fn tone(event: &Event<'_>) -> Option<Tone> {
    match &event.kind {
        EventKind::Crash
        | EventKind::Lose { .. }
        | EventKind::Hold { .. }
        | EventKind::Retransmit { .. }
        | EventKind::Fault { .. }
        | EventKind::Escape { .. } => Some(Tone::Wary),
        EventKind::Panic { .. } => Some(Tone::Bad),
        EventKind::Poll | EventKind::Spawn { .. } | EventKind::TaskEnd { .. } | EventKind::Log { .. } => {
            Some(Tone::Faint)
        }
        _ => None,
    }
}

/// What one event says, with its time and node, in one line of text that is safe for a terminal.
#[must_use]
pub fn event_in_words(event: &Event<'_>, names: &Names) -> String {
    let node = names.node(event.node);
    let task = names.task(event.task);
    let whose = if event.task == squall_trace::TaskId::NONE || task == node {
        node.to_string()
    } else {
        format!("{node} ({task})")
    };
    let words = in_words(event, names, &SentMessages::new());
    line(&format!("{} {whose}: {words}", format_ns(event.at_ns)), 400)
}

/// What one event says, without its time and node, as the program has it: nothing is escaped.
pub(crate) fn what_happened(event: &Event<'_>, names: &Names) -> String {
    in_words(event, names, &SentMessages::new())
}

/// Whether an event is about tasks alone, which is left out unless asked for.
pub(crate) fn is_of_tasks(event: &Event<'_>, names: &Names) -> bool {
    !is_of_interest(event, names, Style::default())
}

pub(crate) fn in_words(event: &Event<'_>, names: &Names, sent: &SentMessages) -> String {
    match &event.kind {
        EventKind::Boot { boot: 0 } => "starts".to_string(),
        EventKind::Boot { boot } => format!("starts again (boot {boot})"),
        EventKind::Crash => "crashes".to_string(),
        EventKind::Spawn { child } => format!("spawns {}", names.task(*child)),
        EventKind::Poll => format!("polls {}", names.task(event.task)),
        EventKind::TaskEnd { end } => {
            let task = names.task(event.task);
            // A node's root task is the node.
            if *end == TaskEnd::Returned && task == names.node(event.node) {
                return "returns".to_string();
            }
            match end {
                TaskEnd::Returned => format!("{task} returns"),
                TaskEnd::Aborted => format!("{task} is aborted"),
                TaskEnd::Panicked => format!("{task} ends in a panic"),
                TaskEnd::Crashed => format!("{task} goes down with its node"),
            }
        }
        EventKind::Send { flow, number, to, to_port, payload, .. } => {
            let message = message_name(names, *flow, *number);
            format!("-> {}:{to_port} {message} {}", names.node(*to), payload_in_words(payload))
        }
        EventKind::Duplicate { flow, number } => {
            format!("=> {} {} is duplicated", receiver(names, *flow), message_name(names, *flow, *number))
        }
        EventKind::Corrupt { flow, number, bit } => {
            format!("~> {} {}: bit {bit} is flipped", receiver(names, *flow), message_name(names, *flow, *number))
        }
        EventKind::Deliver { flow, number, copy } => {
            let message = message_name(names, *flow, *number);
            let age = match sent.get(&(*flow, *number)) {
                Some(sent) => format!(" after {}", format_ns(event.at_ns.saturating_sub(sent.at_ns))),
                None => String::new(),
            };
            format!("<- {} {message}{}{age}", sender(names, *flow), copy_in_words(*copy))
        }
        EventKind::Lose { flow, number, copy, reason } => {
            let message = message_name(names, *flow, *number);
            // It is told on the node where it is lost: that of the sender, or that of the receiver.
            let whither = if names.flows.get(flow).is_some_and(|info| info.from == event.node) {
                format!("-x {}", receiver(names, *flow))
            } else {
                format!("x- {}", sender(names, *flow))
            };
            format!("{whither} {message}{}: {reason}", copy_in_words(*copy))
        }
        EventKind::Hold { flow, number, copy } => {
            let message = message_name(names, *flow, *number);
            let whither = match names.flows.get(flow).is_some_and(|info| info.from == event.node) {
                true => format!("-| {}", receiver(names, *flow)),
                false => format!("|- {}", sender(names, *flow)),
            };
            format!("{whither} {message}{} is held", copy_in_words(*copy))
        }
        EventKind::Retransmit { flow, number, times } => {
            let message = message_name(names, *flow, *number);
            let times = if *times == 1 { String::new() } else { format!(", {times} times by now,") };
            format!("-~ {} {message} is lost{times} and sent again", receiver(names, *flow))
        }
        EventKind::InFlight { flow, number, copy } => {
            let message = message_name(names, *flow, *number);
            format!(".. {} {message}{} is still under way", sender(names, *flow), copy_in_words(*copy))
        }
        EventKind::Fault { what, .. } => format!("fault: {what}"),
        EventKind::Heal { what, .. } => format!("heal: {what}"),
        EventKind::Disk { what, .. } => format!("disk: {what}"),
        EventKind::Publish { topic, value } => format!("publishes {topic}: {value}"),
        EventKind::Panic { message } => format!("panics: {message}"),
        EventKind::Escape { what } => format!("leaves the simulation: {what}"),
        // The last part of the module's path: the message is what the columns are for.
        EventKind::Log { level, target, message } => format!("{level} {}: {message}", short_type_name(target)),
    }
}

pub(crate) fn copy_in_words(copy: u8) -> &'static str {
    if copy == 0 { "" } else { " (the copy)" }
}

fn sender(names: &Names, flow: FlowId) -> String {
    names.flows.get(&flow).map_or_else(|| "?".to_string(), |info| names.node(info.from).into_owned())
}

fn receiver(names: &Names, flow: FlowId) -> String {
    names.flows.get(&flow).map_or_else(|| "?".to_string(), |info| names.node(info.to).into_owned())
}

/// `call 3 Pay`, `answer 3 Pay`, `datagram 3 tag 1`.
pub(crate) fn message_name(names: &Names, flow: FlowId, number: u64) -> String {
    match names.flows.get(&flow).map(|info| &info.role) {
        Some(FlowRole::Datagram { tag }) => format!("datagram {number} tag {tag}"),
        Some(FlowRole::Call { method }) => format!("call {number} {}", short_type_name(method)),
        Some(FlowRole::Answer { method }) => format!("answer {number} {}", short_type_name(method)),
        Some(FlowRole::Refusal { method }) => format!("refusal {number} {}", short_type_name(method)),
        Some(FlowRole::Segment(stream)) => {
            let Stream { connection, is_back, .. } = stream;
            match (number, is_back) {
                (1, false) => format!("request for connection {connection}"),
                (1, true) if !stream.labels.contains_key(&1) => format!("acceptance of connection {connection}"),
                _ => format!("segment {number}{} of connection {connection}", stream.label_in_words(number)),
            }
        }
        Some(FlowRole::Rule { .. } | FlowRole::Fault { .. } | FlowRole::Operation { .. } | FlowRole::Disk { .. })
        | None => {
            format!("message {number} of flow {flow}")
        }
    }
}

/// A type's name without the path to it.
fn short_type_name(path: &str) -> &str {
    let end = path.find('<').unwrap_or(path.len());
    let start = path[..end].rfind("::").map_or(0, |at| at + 2);
    &path[start..]
}

/// Texts in calls that are shorter are taken for numbers.
const TEXT_BYTES_MIN: usize = 3;

pub(crate) fn payload_in_words(payload: &[u8]) -> String {
    // A length and that many bytes: how a text is encoded in a call. Two small numbers often look like a text of a letter.
    let unwrapped = match payload {
        [length, rest @ ..] if usize::from(*length) == rest.len() && rest.len() >= TEXT_BYTES_MIN => rest,
        _ => payload,
    };
    match (as_text(unwrapped), payload.len()) {
        (Some(text), _) => format!("\"{text}\""),
        (None, 1) => "(1 byte)".to_string(),
        (None, length) => format!("({length} bytes)"),
    }
}

/// What a run came to, in a few lines.
#[must_use]
pub fn render_verdict(verdict: &Verdict, names: &Names, style: Style) -> String {
    let (tone, head) = match verdict {
        Verdict::Pass => (Tone::Good, "PASS".to_string()),
        Verdict::Unknown { .. } => (Tone::Wary, "UNKNOWN".to_string()),
        Verdict::Fail(failure) => {
            let mut head = format!("FAIL {} at {}", failure.property, format_ns(failure.at_ns));
            match failure.node {
                Some(node) if node != NodeId::WORLD => {
                    head.push_str(" on ");
                    head.push_str(&names.node(node));
                }
                Some(_) => {}
                None => head.push_str(", when the run had ended"),
            }
            (Tone::Bad, head)
        }
    };
    let mut text = paint(style.colour, tone, &line(&head, style.columns));
    text.push('\n');
    if let Some(message) = verdict.message() {
        for said in paragraph(message, style.columns.saturating_sub(2).max(20), MESSAGE_LINES_MAX) {
            text.push_str(format!("  {said}").trim_end());
            text.push('\n');
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn type_names_lose_their_path_but_not_their_arguments() {
        for (path, short) in [
            ("scenarios::payments::Pay", "Pay"),
            ("Pay", "Pay"),
            ("a::Wrapped<b::Pay>", "Wrapped<b::Pay>"),
            ("&'static str", "&'static str"),
        ] {
            assert_eq!(short_type_name(path), short);
        }
    }

    #[test]
    fn payloads_are_shown_as_the_text_that_they_are() {
        for (payload, shown) in [
            (&b"hello\n"[..], "\"hello\n\""),
            (b"\x05hello", "\"hello\""),
            (b"\x04hello", "(6 bytes)"),
            (b"\x03abc", "\"abc\""),
            // The numbers 1 and 100, not the text "d".
            (b"\x01d", "(2 bytes)"),
            (b"\x02ab", "(3 bytes)"),
            (b"\n", "(1 byte)"),
            (b"", "(0 bytes)"),
        ] {
            assert_eq!(payload_in_words(payload), shown);
        }
    }
}
