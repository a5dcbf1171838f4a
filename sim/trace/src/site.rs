//! The address of one random decision.
//!
//! Nothing random is drawn from a shared stream. Each decision has a [`Site`]: what is decided ([`SiteKind`]), for whom
//! (a [`FlowId`]), and its number within that flow. Calming the fate of one message so leaves every other decision's
//! address where it was.

use serde::{Deserialize, Serialize};

use crate::id::FlowId;

/// What is decided. Every kind is a class: a plan can calm a whole one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[repr(u8)]
pub enum SiteKind {
    /// Which of the events of one instant comes next. Value: the rank of an event, lower first. Calm: 0, first in first
    /// out.
    Order = 0,
    /// How long a message travels. Value: nanoseconds. Calm: the median of the link's distribution.
    Latency = 1,
    /// Whether a message is lost. Value: 1 lost, 0 not. Calm: 0.
    Loss = 2,
    /// Whether a message arrives twice. Value: 0 once, else 1 + the nanoseconds that the copy travels. Calm: 0.
    Duplicate = 3,
    /// Whether a fault that a script or a control task asks for happens. Value: 1 happens, 0 not. Calm: 0.
    Fault = 4,
    /// Whether an operation of a generated workload happens. Value: 1 happens, 0 not. Calm: 0.
    Operation = 5,
    /// Whether a message arrives with a bit flipped. Value: 0 whole, else 1 + the number of the bit, the lowest of the first byte first.
    /// Calm: 0.
    Corruption = 6,
    /// How much a crash (or a sync that fails) leaves of a change that wasn't synced: a write to a file, or a change of a directory. Value: so
    /// many of the sectors that it touches are lost, the last ones; of a directory's change 1 is lost. Calm: 0.
    DiskCrash = 7,
    /// Whether a read, a write or a sync of a file fails. Value: 1 fails, 0 not. Calm: 0.
    DiskFailure = 8,
    /// How long an operation of a disk takes. Value: nanoseconds. Calm: the median of the disk's distribution.
    DiskLatency = 9,
    /// Whether a bit of what is read has flipped, on the disk too. Value: 0 for none, else 1 + the number of the bit in what is read, the
    /// lowest of the first byte first. Calm: 0.
    BitRot = 10,
    /// Whether a random partition happens, and which way it cuts. Value: 0 not, else 1 + the number of the cut. Of a swizzle, whether a node is
    /// cut off, and when. Value: 0 not, else 1 + (at which step of it, times twice its nodes) + at which step it comes back. Calm: 0.
    Partition = 11,
    /// Whether a node crashes where it passes a point of its code. Value: 1 it does, 0 not. Calm: 0.
    Point = 12,
    /// Whether a rule does to a message what it says. Value: 0 not, else 1; of one that flips a bit, 1 + the bit's number. Calm: 0.
    Rule = 13,
    /// Whether a place of a program's code does something rare, where it asks by `buggify!`. Value: 1 it does, 0 not. Calm: 0.
    Buggify = 14,
    /// Which value a program's knob has in a run. Value: of a list of alternatives the number of one, from 1, or 0 for the default; of a range
    /// how far above its lowest value. Calm: the default.
    Knob = 15,
    /// How often a segment of a stream is lost on its way, and sent again, before it arrives. Value: how often. Calm: 0.
    Retransmission = 16,
    /// Whether a connection breaks at a segment, which arrives as a reset. Value: 1 it does, 0 not. Calm: 0.
    Reset = 17,
    /// Which branch of a program's `squall::select!` or `join!` is polled first. Value: its number, from 0; those behind it follow, then those before
    /// it. Calm: 0, the first as it is written.
    Choice = 18,
}

impl SiteKind {
    /// All kinds, in the order of their codes.
    pub const ALL: [SiteKind; 19] = [
        SiteKind::Order,
        SiteKind::Latency,
        SiteKind::Loss,
        SiteKind::Duplicate,
        SiteKind::Fault,
        SiteKind::Operation,
        SiteKind::Corruption,
        SiteKind::DiskCrash,
        SiteKind::DiskFailure,
        SiteKind::DiskLatency,
        SiteKind::BitRot,
        SiteKind::Partition,
        SiteKind::Point,
        SiteKind::Rule,
        SiteKind::Buggify,
        SiteKind::Knob,
        SiteKind::Retransmission,
        SiteKind::Reset,
        SiteKind::Choice,
    ];

    /// Whether its values are 1, it happens, and 0, it doesn't.
    #[must_use]
    pub fn is_yes_or_no(self) -> bool {
        use SiteKind::{Buggify, DiskFailure, Fault, Loss, Operation, Point, Reset};
        matches!(self, Loss | Fault | Point | Operation | DiskFailure | Buggify | Reset)
    }

    /// The index into a table by kind.
    #[must_use]
    pub fn index(self) -> usize {
        self as usize
    }
}

/// The address of one decision. Numbers count from 1 within (kind, flow).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Site {
    /// What is decided.
    pub kind: SiteKind,
    /// For whom.
    pub flow: FlowId,
    /// Which one in that flow, from 1.
    pub number: u64,
}
