//! The events of a run in words, one a line: for the messages of failing tests.

use std::fmt::Write;

use squall_trace::trace::format_ns;
use squall_trace::{EventKind, FlowId, FlowRole, Names, OwnedEvent, TaskEnd, Trace};

/// Whether an event is worth a line: polls and the like are not.
fn is_of_interest(event: &OwnedEvent) -> bool {
    match event.kind {
        EventKind::Poll | EventKind::Spawn { .. } => false,
        EventKind::TaskEnd { end } => end == TaskEnd::Panicked,
        _ => true,
    }
}

/// The last `limit` events of interest, with a note about those before them.
pub(crate) fn tail(trace: &Trace, limit: usize) -> String {
    let of_interest: Vec<&OwnedEvent> = trace.events.iter().filter(|event| is_of_interest(event)).collect();
    let skipped = of_interest.len().saturating_sub(limit);
    let mut text = String::new();
    if skipped > 0 {
        let _ = writeln!(text, "  … {skipped} before these");
    }
    for event in &of_interest[skipped..] {
        let _ = writeln!(text, "  {}", line(event, &trace.names));
    }
    text
}

/// One event: when, where, what.
pub(crate) fn line(event: &OwnedEvent, names: &Names) -> String {
    let node = names.node(event.node);
    format!("{:>14}  {node:<10}  {}", format_ns(event.at_ns), what(event, names))
}

fn what(event: &OwnedEvent, names: &Names) -> String {
    let task = || names.task(event.task);
    match &event.kind {
        EventKind::Boot { boot: 0 } => "starts".to_string(),
        EventKind::Boot { boot } => format!("starts again (boot {boot})"),
        EventKind::Crash => "crashes".to_string(),
        EventKind::Spawn { child } => format!("{} spawns {}", task(), names.task(*child)),
        EventKind::Poll => format!("{} is polled", task()),
        EventKind::TaskEnd { end } => {
            let how = match end {
                TaskEnd::Returned => "returns",
                TaskEnd::Aborted => "is aborted",
                TaskEnd::Panicked => "ends in a panic",
                TaskEnd::Crashed => "is gone with its node",
            };
            format!("{} {how}", task())
        }
        EventKind::Send { flow, number, to, to_port, payload, .. } => {
            let length = payload.len();
            format!("sends {} to {}:{to_port} ({length} bytes)", subject(*flow, *number, names), names.node(*to))
        }
        EventKind::Duplicate { flow, number } => format!("{} is duplicated", message(*flow, *number, 0, names)),
        EventKind::Deliver { flow, number, copy } => format!("receives {}", message(*flow, *number, *copy, names)),
        EventKind::Lose { flow, number, copy, reason } => {
            format!("{} comes to nothing: {reason}", message(*flow, *number, *copy, names))
        }
        EventKind::InFlight { flow, number, copy } => {
            format!("{} is still under way", message(*flow, *number, *copy, names))
        }
        EventKind::Fault { what } => what.to_string(),
        EventKind::Publish { topic, value } => format!("{topic}: {value}"),
        EventKind::Panic { message } => format!("{} panics: {message}", task()),
        EventKind::Escape { what } => format!("can't be made deterministic: {what}"),
        EventKind::Log { level, message, .. } => format!("{level} {message}"),
    }
}

fn subject(flow: FlowId, number: u64, names: &Names) -> String {
    match names.flows.get(&flow).map(|info| &info.role) {
        Some(FlowRole::Datagram { tag }) => format!("datagram {number} (tag {tag})"),
        Some(FlowRole::Call { method }) => format!("call {number} ({method})"),
        Some(FlowRole::Answer { method }) => format!("the answer to call {number} ({method})"),
        Some(FlowRole::Refusal { method }) => format!("the refusal of call {number} ({method})"),
        Some(FlowRole::Fault { .. } | FlowRole::Wake { .. }) | None => format!("message {number} of flow {flow}"),
    }
}

fn message(flow: FlowId, number: u64, copy: u8, names: &Names) -> String {
    let from = names.flows.get(&flow).map(|info| format!(" from {}", names.node(info.from))).unwrap_or_default();
    let copy = if copy == 0 { "" } else { "the copy of " };
    format!("{copy}{}{from}", subject(flow, number, names))
}
