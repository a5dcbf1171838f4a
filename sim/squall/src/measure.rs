//! What clients' operations took, heard while a run goes on: those of its history, or else the calls of clients.

use std::collections::BTreeMap;

use squall_campaign::latencies::Measured;
use squall_check::history::EventType;
use squall_check::property::Listener;
use squall_trace::target::ClientCall;
use squall_trace::{Event, EventMask, Observer, Outcome};

use crate::process::DEATH_PROPERTIES;
use crate::runner::{HANG_PROPERTY, is_lost};

/// Hears what clients record of their operations.
#[derive(Default)]
pub(crate) struct Heard {
    listener: Listener,
    /// By process: when the operation began that it is in the midst of.
    open: BTreeMap<u64, u64>,
    /// How long each took that has ended; `None` if it has no answer.
    ended: Vec<Option<u64>>,
}

impl Observer for Heard {
    fn interest(&self) -> EventMask {
        EventMask::PUBLISH
    }

    fn on_event(&mut self, event: &Event<'_>) {
        // What is no history is what the program's own properties make of it.
        let Ok(Some(said)) = self.listener.hear(event) else { return };
        match said.kind {
            EventType::Invoke => {
                // One that goes on without an end to the last has left that without an answer.
                if self.open.insert(said.process, event.at_ns).is_some() {
                    self.ended.push(None);
                }
            }
            EventType::Ok | EventType::Fail => {
                if let Some(begun_ns) = self.open.remove(&said.process) {
                    self.ended.push(Some(event.at_ns - begun_ns));
                }
            }
            EventType::Info => {
                if self.open.remove(&said.process).is_some() {
                    self.ended.push(None);
                }
            }
        }
    }
}

/// What was heard in a run that has ended, and what its clients' calls came to. Those are recorded where names are wanted
/// (`Record::Perturbations`).
pub(crate) fn measured_of(heard: Heard, outcome: &Outcome) -> Measured {
    let ends_process = |property: &str| property == HANG_PROPERTY || DEATH_PROPERTIES.contains(&property);
    if outcome.verdict.property().is_some_and(ends_process) || is_lost(outcome) {
        return Measured::default();
    }
    let Heard { open, ended: mut history, .. } = heard;
    history.extend(open.values().map(|_| None));
    let took = |call: &ClientCall| call.answered_ns.map(|answered_ns| answered_ns - call.begun_ns);
    let calls = if history.is_empty() { outcome.calls.iter().map(took).collect() } else { Vec::new() };
    Measured { history, calls, virtual_ns: outcome.ending.at_ns, is_whole: true }
}
