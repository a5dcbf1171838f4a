//! What happened, and its canonical bytes.

use std::borrow::Cow;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::id::{FlowId, NodeId, TaskId};
use crate::swarm::FaultClass;

/// One thing that happened in a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event<'a> {
    /// Its number in the run, from 1. A log line has the number of the event before it: adding one shifts nothing.
    pub step: u64,
    /// Virtual nanoseconds since the run's start.
    pub at_ns: u64,
    /// On which node ([`NodeId::WORLD`]: on none).
    pub node: NodeId,
    /// In which task ([`TaskId::NONE`]: in none).
    pub task: TaskId,
    /// What.
    #[serde(flatten)]
    pub kind: EventKind<'a>,
}

/// An event that owns its bytes.
pub type OwnedEvent = Event<'static>;

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
#[repr(u8)]
pub enum EventKind<'a> {
    /// A node was started; boots count from 0.
    Boot {
        /// Which one.
        boot: u32,
    } = 1,
    /// A node crashed.
    Crash = 2,
    /// The task spawned another.
    Spawn {
        /// The new task.
        child: TaskId,
    } = 3,
    /// The task was polled.
    Poll = 4,
    /// The task ended.
    TaskEnd {
        /// How.
        end: TaskEnd,
    } = 5,
    /// A message was sent. What becomes of it follows as exactly one of `Deliver`, `Lose` or `InFlight` a copy.
    Send {
        /// Its flow.
        flow: FlowId,
        /// Its number in the flow, from 1.
        number: u64,
        /// The sender's port.
        from_port: u16,
        /// The receiver.
        to: NodeId,
        /// The receiver's port.
        to_port: u16,
        /// The tag, or the method's number.
        tag: u64,
        /// Its bytes.
        #[serde(with = "hex")]
        payload: Cow<'a, [u8]>,
    } = 6,
    /// The network made a second copy of a message.
    Duplicate {
        /// Its flow.
        flow: FlowId,
        /// Its number in the flow.
        number: u64,
    } = 7,
    /// A message arrived at its socket.
    Deliver {
        /// Its flow.
        flow: FlowId,
        /// Its number in the flow.
        number: u64,
        /// 0 for the message itself, 1 for its duplicate.
        copy: u8,
    } = 8,
    /// A message came to nothing.
    Lose {
        /// Its flow.
        flow: FlowId,
        /// Its number in the flow.
        number: u64,
        /// 0 for the message itself, 1 for its duplicate.
        copy: u8,
        /// Why.
        reason: LossReason,
    } = 9,
    /// A message was under way when the run ended.
    InFlight {
        /// Its flow.
        flow: FlowId,
        /// Its number in the flow.
        number: u64,
        /// 0 for the message itself, 1 for its duplicate.
        copy: u8,
    } = 10,
    /// A fault began or ended, as its text says.
    Fault {
        /// What, in plain words.
        what: Cow<'a, str>,
        /// Of which part of it that is told. The digest covers the text alone, which says as much.
        #[serde(default, skip_serializing_if = "FaultPart::is_whole")]
        part: FaultPart,
    } = 11,
    /// A program made a fact known: to properties, to control tasks, to the trace.
    Publish {
        /// About what.
        topic: Cow<'a, str>,
        /// The fact, as JSON.
        value: Cow<'a, str>,
    } = 12,
    /// A task panicked.
    Panic {
        /// The panic's message and place.
        message: Cow<'a, str>,
    } = 13,
    /// Node code did something that a run can't make deterministic.
    Escape {
        /// What, in plain words.
        what: Cow<'a, str>,
    } = 14,
    /// A log line. Not part of the run's digest: logs have one of their own.
    Log {
        /// `ERROR`, `WARN`, `INFO`, `DEBUG` or `TRACE`.
        level: Cow<'a, str>,
        /// The module, usually.
        target: Cow<'a, str>,
        /// The message with its fields.
        message: Cow<'a, str>,
    } = 15,
    /// From now on nothing goes wrong any more, for all nodes or for some.
    Heal {
        /// For whom, in plain words.
        what: Cow<'a, str>,
        /// For whom: for all nodes, if it is empty. As the text says it, which alone the digest covers.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        nodes: Vec<NodeId>,
    } = 16,
    /// The network flipped a bit of a message, which arrives so.
    Corrupt {
        /// Its flow.
        flow: FlowId,
        /// Its number in the flow.
        number: u64,
        /// Which bit of its bytes, the lowest of the first byte first.
        bit: u64,
    } = 17,
    /// Something happened on the node's disk: it was written to or synced, a change was lost, a bit flipped.
    Disk {
        /// What, in plain words.
        what: Cow<'a, str>,
        /// Of the bytes that were written, a hash; else 0.
        print: u64,
    } = 18,
    /// A message is held: by a rule before it leaves its sender, or by a fault where it would have arrived.
    Hold {
        /// Its flow.
        flow: FlowId,
        /// Its number in the flow.
        number: u64,
        /// 0 for the message itself, 1 for its duplicate.
        copy: u8,
    } = 19,
    /// An attempt to send a segment of a stream is lost. It is sent again later.
    Retransmit {
        /// Its flow.
        flow: FlowId,
        /// Its number in the flow.
        number: u64,
        /// How many of its attempts have been lost by now, from 1.
        times: u64,
    } = 20,
}

/// Which part of a fault an event tells of, and what it is of: for whoever draws it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FaultPart {
    /// All of it: a crash, a place that asked.
    #[default]
    Whole,
    /// It begins, and stands until it ends, the heal comes or the run is over.
    Begins {
        /// What kind of fault it is.
        class: FaultClass,
        /// The nodes that it speaks of: the groups of a partition, the two ends of a link, or one group of nodes.
        groups: Vec<Vec<NodeId>>,
    },
    /// One is over.
    Ends {
        /// The step of the event with which it began.
        begun: u64,
    },
    /// All of a class are over.
    AllEnd {
        /// Of which class.
        class: FaultClass,
        /// Of which nodes; of all, if it is empty.
        nodes: Vec<NodeId>,
    },
}

impl FaultPart {
    /// Whether it happens at an instant.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        *self == FaultPart::Whole
    }
}

/// How a task ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[repr(u8)]
pub enum TaskEnd {
    /// Its future gave a value.
    Returned = 0,
    /// It was aborted.
    Aborted = 1,
    /// It panicked.
    Panicked = 2,
    /// Its node crashed.
    Crashed = 3,
}

/// Why a message came to nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[repr(u8)]
pub enum LossReason {
    /// The link lost it.
    Loss = 0,
    /// A partition stood when it was sent.
    PartitionOnSending = 1,
    /// A partition stood when it would have arrived.
    PartitionOnArrival = 2,
    /// The receiving node was down.
    NodeDown = 3,
    /// Nothing was bound to the port.
    NoListener = 4,
    /// The queue in front of a link, or of the sender's uplink, was full.
    QueueFull = 5,
    /// The sender crashed before it had left.
    SenderDown = 6,
    /// A rule on messages dropped it.
    Rule = 7,
    /// It belongs to a connection of which the receiving node knows nothing any more.
    ConnectionClosed = 8,
}

impl fmt::Display for LossReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            LossReason::Loss => "lost by the link",
            LossReason::PartitionOnSending => "stopped by a partition when sent",
            LossReason::PartitionOnArrival => "stopped by a partition on arrival",
            LossReason::NodeDown => "the node is down",
            LossReason::NoListener => "nothing listens there",
            LossReason::QueueFull => "dropped at the tail of a full queue",
            LossReason::SenderDown => "the sender crashed before it had left",
            LossReason::Rule => "dropped by a rule",
            LossReason::ConnectionClosed => "its connection is closed there",
        })
    }
}

/// A set of event kinds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventMask(u32);

impl EventMask {
    /// None.
    pub const NONE: EventMask = EventMask(0);
    /// All.
    pub const ALL: EventMask = EventMask(u32::MAX);
    /// Facts that programs publish.
    pub const PUBLISH: EventMask = EventMask(1 << 12);
    /// Sent, duplicated, corrupted, held, sent again, delivered, lost, in flight.
    pub const MESSAGES: EventMask =
        EventMask(1 << 6 | 1 << 7 | 1 << 8 | 1 << 9 | 1 << 10 | 1 << 17 | 1 << 19 | 1 << 20);
    /// What happens on disks.
    pub const DISK: EventMask = EventMask(1 << 18);
    /// Boots, crashes and other faults.
    pub const FAULTS: EventMask = EventMask(1 << 1 | 1 << 2 | 1 << 11);
    /// Spawns, polls and ends of tasks.
    pub const TASKS: EventMask = EventMask(1 << 3 | 1 << 4 | 1 << 5);
    /// The end of all faults.
    pub const HEAL: EventMask = EventMask(1 << 16);
    /// Log lines.
    pub const LOGS: EventMask = EventMask(1 << 15);

    /// Both.
    #[must_use]
    pub const fn union(self, other: EventMask) -> EventMask {
        EventMask(self.0 | other.0)
    }

    /// Whether an event kind is in both.
    #[must_use]
    pub const fn intersects(self, other: EventMask) -> bool {
        self.0 & other.0 != 0
    }

    /// Whether events with that code are in the set.
    #[inline]
    #[must_use]
    pub const fn contains_code(self, code: u8) -> bool {
        self.0 >> code & 1 == 1
    }
}

impl EventKind<'_> {
    /// The code that stands first in the canonical bytes.
    #[inline]
    #[must_use]
    pub fn code(&self) -> u8 {
        match self {
            EventKind::Boot { .. } => 1,
            EventKind::Crash => 2,
            EventKind::Spawn { .. } => 3,
            EventKind::Poll => 4,
            EventKind::TaskEnd { .. } => 5,
            EventKind::Send { .. } => 6,
            EventKind::Duplicate { .. } => 7,
            EventKind::Deliver { .. } => 8,
            EventKind::Lose { .. } => 9,
            EventKind::InFlight { .. } => 10,
            EventKind::Fault { .. } => 11,
            EventKind::Publish { .. } => 12,
            EventKind::Panic { .. } => 13,
            EventKind::Escape { .. } => 14,
            EventKind::Log { .. } => 15,
            EventKind::Heal { .. } => 16,
            EventKind::Corrupt { .. } => 17,
            EventKind::Disk { .. } => 18,
            EventKind::Hold { .. } => 19,
            EventKind::Retransmit { .. } => 20,
        }
    }

    /// The same, owning its bytes.
    #[must_use]
    pub fn into_owned(self) -> EventKind<'static> {
        fn text(text: Cow<'_, str>) -> Cow<'static, str> {
            Cow::Owned(text.into_owned())
        }
        match self {
            EventKind::Boot { boot } => EventKind::Boot { boot },
            EventKind::Crash => EventKind::Crash,
            EventKind::Spawn { child } => EventKind::Spawn { child },
            EventKind::Poll => EventKind::Poll,
            EventKind::TaskEnd { end } => EventKind::TaskEnd { end },
            EventKind::Send { flow, number, from_port, to, to_port, tag, payload } => {
                EventKind::Send { flow, number, from_port, to, to_port, tag, payload: Cow::Owned(payload.into_owned()) }
            }
            EventKind::Corrupt { flow, number, bit } => EventKind::Corrupt { flow, number, bit },
            EventKind::Duplicate { flow, number } => EventKind::Duplicate { flow, number },
            EventKind::Deliver { flow, number, copy } => EventKind::Deliver { flow, number, copy },
            EventKind::Lose { flow, number, copy, reason } => EventKind::Lose { flow, number, copy, reason },
            EventKind::InFlight { flow, number, copy } => EventKind::InFlight { flow, number, copy },
            EventKind::Hold { flow, number, copy } => EventKind::Hold { flow, number, copy },
            EventKind::Retransmit { flow, number, times } => EventKind::Retransmit { flow, number, times },
            EventKind::Fault { what, part } => EventKind::Fault { what: text(what), part },
            EventKind::Heal { what, nodes } => EventKind::Heal { what: text(what), nodes },
            EventKind::Disk { what, print } => EventKind::Disk { what: text(what), print },
            EventKind::Publish { topic, value } => EventKind::Publish { topic: text(topic), value: text(value) },
            EventKind::Panic { message } => EventKind::Panic { message: text(message) },
            EventKind::Escape { what } => EventKind::Escape { what: text(what) },
            EventKind::Log { level, target, message } => {
                EventKind::Log { level: text(level), target: text(target), message: text(message) }
            }
        }
    }
}

impl Event<'_> {
    /// The same, owning its bytes.
    #[must_use]
    pub fn into_owned(self) -> OwnedEvent {
        Event { step: self.step, at_ns: self.at_ns, node: self.node, task: self.task, kind: self.kind.into_owned() }
    }

    /// Appends the canonical bytes: all that the digest covers. Little-endian and of a fixed width, texts and payloads
    /// behind their length, so that no two events have the same bytes. The step is left out: it is the position.
    pub fn write_canonical(&self, out: &mut Vec<u8>) {
        let place = Place { at_ns: self.at_ns, node: self.node, task: self.task };
        match &self.kind {
            EventKind::Poll => {
                let mut bytes = [0; canonical::POLL_BYTES];
                canonical::poll(&mut bytes, place);
                out.extend_from_slice(&bytes);
            }
            EventKind::Send { flow, number, from_port, to, to_port, tag, payload } => {
                let mut bytes = [0; canonical::SEND_BYTES];
                let ports = (*from_port, *to, *to_port);
                canonical::send(&mut bytes, place, (*flow, *number), ports, *tag, payload.len());
                out.extend_from_slice(&bytes);
                out.extend_from_slice(payload);
            }
            EventKind::Deliver { flow, number, copy } => {
                let mut bytes = [0; canonical::DELIVER_BYTES];
                canonical::deliver(&mut bytes, place, (*flow, *number, *copy));
                out.extend_from_slice(&bytes);
            }
            EventKind::Spawn { child } => {
                let mut bytes = [0; canonical::SPAWN_BYTES];
                canonical::spawn(&mut bytes, place, *child);
                out.extend_from_slice(&bytes);
            }
            EventKind::TaskEnd { end } => {
                let mut bytes = [0; canonical::TASK_END_BYTES];
                canonical::task_end(&mut bytes, place, *end);
                out.extend_from_slice(&bytes);
            }
            kind => {
                out.extend_from_slice(&canonical::head(kind.code(), place));
                canonical::rest(out, kind);
            }
        }
    }
}

/// When, where and in which task something happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Virtual nanoseconds since the run's start.
    pub at_ns: u64,
    /// On which node.
    pub node: NodeId,
    /// In which task.
    pub task: TaskId,
}

/// The canonical bytes of events. Those that every message makes have functions of their own, so that an engine can
/// digest them without making an [`Event`] first, straight into the digest's buffer.
pub mod canonical {
    use super::{EventKind, Place, TaskEnd};
    use crate::id::{FlowId, NodeId, TaskId};

    const HEAD: usize = 21;

    /// The length of [`poll`].
    pub const POLL_BYTES: usize = HEAD;
    /// The length of [`send`]; the payload follows.
    pub const SEND_BYTES: usize = HEAD + 40;
    /// The length of [`deliver`].
    pub const DELIVER_BYTES: usize = HEAD + 18;
    /// The length of [`spawn`].
    pub const SPAWN_BYTES: usize = HEAD + 8;
    /// The length of [`task_end`].
    pub const TASK_END_BYTES: usize = HEAD + 1;

    #[inline]
    fn put_head(bytes: &mut [u8], code: u8, place: Place) {
        bytes[0] = code;
        bytes[1..9].copy_from_slice(&place.at_ns.to_le_bytes());
        bytes[9..13].copy_from_slice(&place.node.0.to_le_bytes());
        bytes[13..HEAD].copy_from_slice(&place.task.0.to_le_bytes());
    }

    pub(super) fn head(code: u8, place: Place) -> [u8; HEAD] {
        let mut bytes = [0u8; HEAD];
        put_head(&mut bytes, code, place);
        bytes
    }

    /// Of [`EventKind::Poll`].
    #[inline]
    pub fn poll(bytes: &mut [u8; POLL_BYTES], place: Place) {
        put_head(bytes, 4, place);
    }

    /// Of [`EventKind::Send`], but for the payload, which follows: the message's flow and number; the sender's port, the
    /// receiver and its port.
    #[inline]
    pub fn send(
        bytes: &mut [u8; SEND_BYTES],
        place: Place,
        (flow, number): (FlowId, u64),
        (from_port, to, to_port): (u16, NodeId, u16),
        tag: u64,
        payload_bytes: usize,
    ) {
        put_head(bytes, 6, place);
        bytes[HEAD..HEAD + 8].copy_from_slice(&flow.0.to_le_bytes());
        bytes[HEAD + 8..HEAD + 16].copy_from_slice(&number.to_le_bytes());
        bytes[HEAD + 16..HEAD + 24].copy_from_slice(&tag.to_le_bytes());
        bytes[HEAD + 24..HEAD + 28].copy_from_slice(&to.0.to_le_bytes());
        bytes[HEAD + 28..HEAD + 30].copy_from_slice(&from_port.to_le_bytes());
        bytes[HEAD + 30..HEAD + 32].copy_from_slice(&to_port.to_le_bytes());
        bytes[HEAD + 32..].copy_from_slice(&(payload_bytes as u64).to_le_bytes());
    }

    /// Of [`EventKind::Deliver`]: the message's flow, its number and which copy of it.
    #[inline]
    pub fn deliver(bytes: &mut [u8; DELIVER_BYTES], place: Place, message: (FlowId, u64, u8)) {
        put_head(bytes, 8, place);
        put_message(&mut bytes[HEAD..], message, 0);
    }

    /// Of [`EventKind::Spawn`].
    #[inline]
    pub fn spawn(bytes: &mut [u8; SPAWN_BYTES], place: Place, child: TaskId) {
        put_head(bytes, 3, place);
        bytes[HEAD..].copy_from_slice(&child.0.to_le_bytes());
    }

    /// Of [`EventKind::TaskEnd`].
    #[inline]
    pub fn task_end(bytes: &mut [u8; TASK_END_BYTES], place: Place, end: TaskEnd) {
        put_head(bytes, 5, place);
        bytes[HEAD] = end as u8;
    }

    #[inline]
    fn put_message(bytes: &mut [u8], (flow, number, copy): (FlowId, u64, u8), last: u8) {
        bytes[..8].copy_from_slice(&flow.0.to_le_bytes());
        bytes[8..16].copy_from_slice(&number.to_le_bytes());
        bytes[16] = copy;
        bytes[17] = last;
    }

    fn message(out: &mut Vec<u8>, message: (FlowId, u64, u8), last: u8) {
        let mut bytes = [0u8; 18];
        put_message(&mut bytes, message, last);
        out.extend_from_slice(&bytes);
    }

    fn text(out: &mut Vec<u8>, text: &str) {
        out.extend_from_slice(&(text.len() as u64).to_le_bytes());
        out.extend_from_slice(text.as_bytes());
    }

    /// What follows the head, for the kinds that have no function of their own.
    pub(super) fn rest(out: &mut Vec<u8>, kind: &EventKind<'_>) {
        match kind {
            EventKind::Poll
            | EventKind::Send { .. }
            | EventKind::Deliver { .. }
            | EventKind::Spawn { .. }
            | EventKind::TaskEnd { .. } => {
                unreachable!("these have functions of their own")
            }
            EventKind::Crash => {}
            EventKind::Boot { boot } => out.extend_from_slice(&boot.to_le_bytes()),
            EventKind::Duplicate { flow, number } => message(out, (*flow, *number, 0), 0),
            EventKind::Corrupt { flow, number, bit } => {
                message(out, (*flow, *number, 0), 0);
                out.extend_from_slice(&bit.to_le_bytes());
            }
            EventKind::InFlight { flow, number, copy } | EventKind::Hold { flow, number, copy } => {
                message(out, (*flow, *number, *copy), 0);
            }
            EventKind::Lose { flow, number, copy, reason } => message(out, (*flow, *number, *copy), *reason as u8),
            EventKind::Retransmit { flow, number, times } => {
                message(out, (*flow, *number, 0), 0);
                out.extend_from_slice(&times.to_le_bytes());
            }
            EventKind::Fault { what, part: _ }
            | EventKind::Heal { what, nodes: _ }
            | EventKind::Panic { message: what }
            | EventKind::Escape { what } => {
                text(out, what);
            }
            EventKind::Disk { what, print } => {
                text(out, what);
                out.extend_from_slice(&print.to_le_bytes());
            }
            EventKind::Publish { topic, value } => {
                text(out, topic);
                text(out, value);
            }
            EventKind::Log { level, target, message } => {
                text(out, level);
                text(out, target);
                text(out, message);
            }
        }
    }
}

/// Payloads as hex text in JSON.
mod hex {
    use std::borrow::Cow;
    use std::fmt;

    use serde::{Deserialize, Deserializer, Serializer};

    pub fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        /// Written without a copy: a run's process may be short of memory.
        struct Hex<'b>(&'b [u8]);

        impl fmt::Display for Hex<'_> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
            }
        }

        serializer.collect_str(&Hex(bytes))
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Cow<'static, [u8]>, D::Error> {
        let text = String::deserialize(deserializer)?;
        if !text.is_ascii() || text.len() % 2 != 0 {
            return Err(serde::de::Error::custom("expected pairs of hex digits"));
        }
        (0..text.len())
            .step_by(2)
            .map(|at| u8::from_str_radix(&text[at..at + 2], 16).map_err(serde::de::Error::custom))
            .collect::<Result<Vec<u8>, _>>()
            .map(Cow::Owned)
    }
}
