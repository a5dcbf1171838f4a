//! A recorded run.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::digest::{Checkpoint, Digest, Digester};
use crate::event::{EventKind, OwnedEvent};
use crate::id::{FlowId, NodeId, TaskId};
use crate::plan::{Perturbation, Plan};
use crate::verdict::Verdict;

/// Everything that happened in a run, in order.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Trace {
    /// What was run.
    pub plan: Plan,
    /// Who took part.
    pub names: Names,
    /// What happened.
    pub events: Vec<OwnedEvent>,
    /// What wasn't calm.
    pub perturbations: Vec<Perturbation>,
    /// Digests on the way, one a block of events.
    pub checkpoints: Vec<Checkpoint>,
    /// Over all events but log lines.
    pub digest: Digest,
    /// Over all log lines.
    pub log_digest: Digest,
    /// What it came to.
    pub verdict: Verdict,
}

impl Trace {
    /// The events that the digest is of: all but log lines.
    pub fn counted_events(&self) -> impl Iterator<Item = &OwnedEvent> {
        self.events.iter().filter(|event| !matches!(event.kind, EventKind::Log { .. }))
    }

    /// Whether its events are those that its digests and checkpoints are of.
    ///
    /// # Errors
    /// What doesn't fit, in words.
    pub fn check(&self) -> Result<(), String> {
        let (mut events, mut logs) = (Digester::new(true), Digester::new(false));
        for event in &self.events {
            let is_log = matches!(event.kind, EventKind::Log { .. });
            if is_log { &mut logs } else { &mut events }.add(event);
            if event.step != events.events() {
                return Err(format!("event {} is numbered {}", events.events(), event.step));
            }
        }
        let (digest, checkpoints) = events.finish();
        if checkpoints != self.checkpoints {
            return Err("its events don't fit its checkpoints: they were changed".to_string());
        }
        if (digest, logs.finish().0) != (self.digest, self.log_digest) {
            return Err("its events don't fit its digests: they were changed".to_string());
        }
        Ok(())
    }
}

/// The words behind the numbers of a trace.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Names {
    /// By [`NodeId`].
    pub nodes: Vec<NodeInfo>,
    /// Tasks that were recorded.
    pub tasks: BTreeMap<TaskId, TaskInfo>,
    /// Flows that were recorded.
    pub flows: BTreeMap<FlowId, FlowInfo>,
}

impl Names {
    /// A node's name; `world` for [`NodeId::WORLD`].
    #[must_use]
    pub fn node(&self, id: NodeId) -> Cow<'_, str> {
        match self.nodes.get(id.index()) {
            Some(info) => Cow::Borrowed(&info.name),
            None if id == NodeId::WORLD => Cow::Borrowed("world"),
            None => Cow::Owned(format!("node {}", id.0)),
        }
    }

    /// A task's label.
    #[must_use]
    pub fn task(&self, id: TaskId) -> Cow<'_, str> {
        match self.tasks.get(&id) {
            Some(info) => Cow::Borrowed(&info.label),
            None if id == TaskId::NONE => Cow::Borrowed("-"),
            None => Cow::Owned(format!("task {id}")),
        }
    }
}

/// A node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeInfo {
    /// Its name.
    pub name: String,
    /// Its address.
    pub address: std::net::IpAddr,
    /// Whether the run waits for it to return.
    pub client: bool,
}

/// A task.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskInfo {
    /// Its spawn path in words: `store-0`, `store-0/worker`, `store-0#1/worker[2]` (second boot, third of that name).
    pub label: String,
    /// Where it runs.
    pub node: NodeId,
    /// Where it was spawned: file and line; empty for a node's root.
    pub spawned_at: String,
}

/// A flow.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FlowInfo {
    /// Who sends or decides.
    pub from: NodeId,
    /// To whom.
    pub to: NodeId,
    /// As what.
    pub role: FlowRole,
    /// In which operation of the sender's (or the caller's) workload: numbers count within it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operation: Option<u64>,
}

/// What a flow carries.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FlowRole {
    /// Datagrams with a tag.
    Datagram {
        /// The tag.
        tag: u64,
    },
    /// Calls of a method.
    Call {
        /// The request's type.
        method: String,
    },
    /// Answers to calls of a method.
    Answer {
        /// The request's type.
        method: String,
    },
    /// Notices that nobody listens for a method's calls.
    Refusal {
        /// The request's type.
        method: String,
    },
    /// What one end of a connection sends to the other.
    Segment(Stream),
    /// An operation of a generated workload.
    Operation {
        /// Its number and its text.
        what: String,
    },
    /// A fault.
    Fault {
        /// In plain words.
        what: String,
    },
    /// What a rule does to messages of a flow.
    Rule {
        /// What the messages are.
        of: Box<FlowRole>,
        /// As it is said of one of them: "is dropped (a rule)".
        does: String,
    },
    /// Operations of one kind on a file or a directory of a node's disk.
    Disk {
        /// Of which kind.
        operation: DiskOperation,
        /// On what: its path when it came to be.
        path: String,
        /// By their numbers, those of them that were lost.
        #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
        losses: BTreeMap<u64, DiskLoss>,
    },
}

/// One direction of a connection. Segment 1 asks for it, or accepts it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stream {
    /// The how-manieth connection from the task that asked for it to this port, from 1.
    pub connection: u64,
    /// The port that was connected to.
    pub port: u16,
    /// Whether it is the direction from who accepted to who asked.
    #[serde(default)]
    pub is_back: bool,
    /// By their numbers, what segments carry, where that is known: `GET /orders`. Written as pairs: the keys of an object of JSON are texts, which don't become numbers
    /// again where a line is read before its kind is known.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty", with = "pairs")]
    pub labels: BTreeMap<u64, String>,
}

/// A map as a list of its pairs.
mod pairs {
    use std::collections::BTreeMap;

    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(map: &BTreeMap<u64, String>, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(map)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<BTreeMap<u64, String>, D::Error> {
        Ok(Vec::<(u64, String)>::deserialize(deserializer)?.into_iter().collect())
    }
}

impl Stream {
    /// ` (GET /orders)`, or nothing if it isn't known what that segment carries.
    #[must_use]
    pub fn label_in_words(&self, number: u64) -> String {
        self.labels.get(&number).map_or_else(String::new, |label| format!(" ({label})"))
    }
}

/// What is done with a disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[repr(u8)]
pub enum DiskOperation {
    /// A file is read.
    Read = 1,
    /// A file is written to, or gets another length.
    Write = 2,
    /// A file or a directory is synced.
    Sync = 3,
    /// A directory gets or loses an entry.
    Change = 4,
    /// A path is looked up: to open, create, rename or remove what it names, or to see what is there.
    LookUp = 5,
}

impl DiskOperation {
    /// For instance "write 3 to /wal".
    #[must_use]
    pub fn in_words(self, number: u64, path: &str) -> String {
        let (operation, preposition) = match self {
            DiskOperation::Read => ("read", "of"),
            DiskOperation::Write => ("write", "to"),
            DiskOperation::Sync => ("sync", "of"),
            DiskOperation::Change => ("change", "of"),
            DiskOperation::LookUp => ("look-up", "of"),
        };
        format!("{operation} {number} {preposition} {path}")
    }
}

/// A change of a disk that was lost, whole or in part.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DiskLoss {
    /// For instance "write 3 to /wal (bytes 40..80)".
    pub what: String,
    /// How many sectors it touches; 1 for what is lost whole or not at all.
    pub sectors: u64,
    /// By what: "in the crash", or "by the sync that fails".
    pub by: String,
}

/// Nanoseconds for people: `1.5 ms`, exact.
#[must_use]
pub fn format_ns(ns: u64) -> String {
    let (unit, name) = match ns {
        0..1_000 => return format!("{ns} ns"),
        1_000..1_000_000 => (1_000, "µs"),
        1_000_000..1_000_000_000 => (1_000_000, "ms"),
        _ => (1_000_000_000u64, "s"),
    };
    let digits = unit.ilog10() as usize;
    let part = format!("{:0digits$}", ns % unit);
    let part = part.trim_end_matches('0');
    let dot = if part.is_empty() { "" } else { "." };
    format!("{}{dot}{part} {name}", ns / unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_well_and_exactly() {
        for (ns, text) in [
            (0, "0 ns"),
            (999, "999 ns"),
            (1_000, "1 µs"),
            (1_500_000, "1.5 ms"),
            (2_000_000_001, "2.000000001 s"),
            (10_050_000, "10.05 ms"),
        ] {
            assert_eq!(format_ns(ns), text);
        }
    }
}
