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
    /// Whether a random partition happens, and which way it cuts. Value: 0 not, else 1 + the number of the cut. Calm: 0.
    Partition = 7,
    /// Whether a node crashes where it passes a point of its code. Value: 1 it does, 0 not. Calm: 0.
    Point = 8,
}

impl SiteKind {
    /// All kinds, in the order of their codes.
    pub const ALL: [SiteKind; 9] = [
        SiteKind::Order,
        SiteKind::Latency,
        SiteKind::Loss,
        SiteKind::Duplicate,
        SiteKind::Fault,
        SiteKind::Operation,
        SiteKind::Corruption,
        SiteKind::Partition,
        SiteKind::Point,
    ];

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
