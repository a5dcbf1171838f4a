//! Properties and what they say.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::event::{Event, EventMask};
use crate::id::{NodeId, TaskId};

/// The properties that every run has.
pub const BUILT_IN_PROPERTIES: [&str; 11] =
    ["abort", "deadlock", "error", "exit", "hang", "hermetic", "killed", "livelock", "memory", "panic", "progress"];

/// What a run came to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "verdict", rename_all = "lowercase")]
pub enum Verdict {
    /// Every property held.
    Pass,
    /// A property failed.
    Fail(Failure),
    /// Nobody can say. Never green.
    Unknown {
        /// What was left open, and what to do about it.
        message: String,
    },
}

impl Verdict {
    /// `pass`, `fail` or `unknown`.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self {
            Verdict::Pass => "pass",
            Verdict::Fail(_) => "fail",
            Verdict::Unknown { .. } => "unknown",
        }
    }

    /// The property that failed.
    #[must_use]
    pub fn property(&self) -> Option<&str> {
        match self {
            Verdict::Fail(failure) => Some(&failure.property),
            _ => None,
        }
    }

    /// What there is to say, in one line or a few.
    #[must_use]
    pub fn message(&self) -> Option<&str> {
        match self {
            Verdict::Pass => None,
            Verdict::Fail(failure) => Some(&failure.message),
            Verdict::Unknown { message } => Some(message),
        }
    }

    /// The worse of two: a failure over an unknown over a pass, the first of equals.
    #[must_use]
    pub fn worse(self, other: Verdict) -> Verdict {
        let weight = |verdict: &Verdict| match verdict {
            Verdict::Pass => 0,
            Verdict::Unknown { .. } => 1,
            Verdict::Fail(_) => 2,
        };
        if weight(&other) > weight(&self) { other } else { self }
    }
}

/// A property that failed, where and when.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// The property's name. Two failures are the same if this is the same; the text may differ.
    pub property: String,
    /// What was seen.
    pub message: String,
    /// The event at which it showed.
    pub step: u64,
    /// Virtual nanoseconds since the run's start.
    pub at_ns: u64,
    /// On which node, if on one.
    pub node: Option<NodeId>,
    /// In which task, if in one.
    pub task: Option<TaskId>,
}

/// Why a run ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EndReason {
    /// All clients returned.
    ClientsReturned,
    /// Each client returned, or is down and nothing starts it again, or was left out of the heal.
    ClientsDown,
    /// The given virtual time was reached.
    EndTime,
    /// Nothing was left to happen, and no client waited.
    Quiet,
    /// Nothing was left to happen while a client waited.
    Deadlock,
    /// A property failed, or a task panicked.
    Failed,
    /// The limit on events was reached.
    EventLimit,
    /// The limit on virtual time was reached.
    TimeLimit,
}

impl fmt::Display for EndReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            EndReason::ClientsReturned => "all clients returned",
            EndReason::ClientsDown => "each client returned, is down for good or was left out of the heal",
            EndReason::EndTime => "the end time was reached",
            EndReason::Quiet => "nothing was left to happen",
            EndReason::Deadlock => "deadlock",
            EndReason::Failed => "a property failed",
            EndReason::EventLimit => "the limit on events was reached",
            EndReason::TimeLimit => "the limit on virtual time was reached",
        })
    }
}

/// How a run ended, as a property sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ending {
    /// Why.
    pub reason: EndReason,
    /// When: virtual nanoseconds since the run's start.
    pub at_ns: u64,
    /// How many events there were.
    pub events: u64,
}

/// What a property says at the end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Judgement {
    /// It held.
    Held,
    /// It didn't: what was seen.
    Broken(String),
    /// Nobody can say: why. What was never evaluated belongs here.
    Open(String),
}

impl<P: Property + ?Sized> Property for Box<P> {
    fn name(&self) -> &str {
        (**self).name()
    }

    fn interest(&self) -> EventMask {
        (**self).interest()
    }

    fn on_event(&mut self, event: &Event<'_>) -> Result<(), String> {
        (**self).on_event(event)
    }

    fn on_end(&mut self, ending: &Ending) -> Judgement {
        (**self).on_end(ending)
    }

    fn goal(&self) -> Option<u64> {
        (**self).goal()
    }

    fn after_heal_ns(&self) -> Option<u64> {
        (**self).after_heal_ns()
    }
}

/// A named claim about a run, judged from its events.
pub trait Property {
    /// Its name: stable, since failures are the same if it is the same.
    fn name(&self) -> &str;

    /// Which events it wants to see.
    fn interest(&self) -> EventMask;

    /// Sees one event as it passes.
    ///
    /// # Errors
    /// What is wrong, if the property is broken by now; the run then ends at once.
    fn on_event(&mut self, event: &Event<'_>) -> Result<(), String>;

    /// Asked once, when the run has ended and no property was broken before.
    fn on_end(&mut self, ending: &Ending) -> Judgement;

    /// How often it has come so far, of what is to come in some run of many: a goal. None of what is claimed of each run.
    fn goal(&self) -> Option<u64> {
        None
    }

    /// If it asks for something from the world's heal on: within so many virtual nanoseconds. Up to then the run goes on, though all clients
    /// have returned.
    fn after_heal_ns(&self) -> Option<u64> {
        None
    }
}
