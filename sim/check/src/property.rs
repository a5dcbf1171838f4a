//! Claims about the history of a run, judged when it has ended.
//!
//! A client records its operations as facts about the topic [`TOPIC`] (`squall::history::Client` does); what has no end by the end of the
//! run is of unknown outcome.

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};
use squall_trace::verdict::Judgement;
use squall_trace::{Ending, Event, EventKind, EventMask, Property, Trace};

use crate::claim::{Claim, Verdict};
use crate::history::{self, Builder, EventType, History};
use crate::linearizability::{self, Limits, Misunderstood, check};
use crate::model::Model;
use crate::value::Value;

/// What the operations of clients are published about.
pub const TOPIC: &str = "history";

/// An event of a history, as it is published. Its time is that of the run's event.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Recorded {
    /// Who: a name that no other has. Who goes on after `info` has another one.
    pub process: String,
    /// What is said.
    #[serde(rename = "type")]
    pub kind: EventType,
    /// The operation's name.
    pub f: String,
    /// Of which object, if there are several.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<Value>,
    /// What is asked, or what came back.
    #[serde(default)]
    pub value: Value,
    /// The place in the system's own order.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub index: Option<u64>,
}

/// Takes the history out of the events of a run. Processes are numbered in the order in which they are met.
#[derive(Debug, Default)]
pub struct Listener {
    processes: IndexMap<String, u64, foldhash::fast::FixedState>,
}

impl Listener {
    /// What an event of a run says of the history, if anything.
    ///
    /// # Errors
    /// If it is published about [`TOPIC`], and isn't what [`Recorded`] is.
    pub fn hear(&mut self, event: &Event<'_>) -> Result<Option<history::Event>, String> {
        let EventKind::Publish { topic, value } = &event.kind else { return Ok(None) };
        if topic != TOPIC {
            return Ok(None);
        }
        let Recorded { process, kind, f, key, value, index } = serde_json::from_str(value).map_err(|error| {
            format!("a fact about {TOPIC:?} is no event of a history: {error}; what was published is {value}")
        })?;
        let next = self.processes.len() as u64;
        let process = *self.processes.entry(process).or_insert(next);
        Ok(Some(history::Event { process, kind, f: f.into(), key, value, time: Some(event.at_ns), index }))
    }
}

/// The events of the history in a trace.
///
/// # Errors
/// As [`Listener::hear`].
pub fn of_trace(trace: &Trace) -> Result<Vec<history::Event>, String> {
    let mut listener = Listener::default();
    let mut events = Vec::new();
    for event in &trace.events {
        events.extend(listener.hear(event)?);
    }
    Ok(events)
}

/// The claim that the history of a run is linearizable: property `linearizable`.
///
/// A run without operations is Unknown, and so is one whose search is given up.
#[must_use = "a property judges nothing until it is given to `world.check`"]
pub fn linearizable<M: Model>(model: M) -> Linearizable<M> {
    Linearizable { model, limits: Limits::default(), heard: Heard::default() }
}

/// See [`linearizable`].
pub struct Linearizable<M> {
    model: M,
    limits: Limits,
    heard: Heard,
}

impl<M> Linearizable<M> {
    /// With another budget.
    #[must_use]
    pub fn limits(mut self, limits: Limits) -> Linearizable<M> {
        self.limits = limits;
        self
    }
}

impl<M: Model> Property for Linearizable<M> {
    fn name(&self) -> &str {
        "linearizable"
    }

    fn interest(&self) -> EventMask {
        EventMask::PUBLISH
    }

    fn on_event(&mut self, event: &Event<'_>) -> Result<(), String> {
        self.heard.hear(event)
    }

    fn on_end(&mut self, _: &Ending) -> Judgement {
        let Linearizable { model, limits, .. } = self;
        self.heard.judge(|history| {
            Ok(match check(model, history, *limits)?.verdict {
                linearizability::Verdict::Linearizable => Verdict::Holds,
                linearizability::Verdict::NotLinearizable(found) => Verdict::Broken(found.in_words(history)),
                linearizability::Verdict::Unknown(why) => Verdict::Unknown(why),
            })
        })
    }
}

/// A claim about the history of a run, as a property of that [name](Claim::name).
///
/// A run without operations is Unknown, and so is one that nobody can judge.
#[must_use = "a property judges nothing until it is given to `world.check`"]
pub fn claimed(claim: Claim) -> Claimed {
    Claimed { claim, heard: Heard::default() }
}

/// See [`claimed`].
pub struct Claimed {
    claim: Claim,
    heard: Heard,
}

impl Property for Claimed {
    fn name(&self) -> &str {
        self.claim.name()
    }

    fn interest(&self) -> EventMask {
        EventMask::PUBLISH
    }

    fn on_event(&mut self, event: &Event<'_>) -> Result<(), String> {
        self.heard.hear(event)
    }

    fn on_end(&mut self, _: &Ending) -> Judgement {
        let claim = self.claim;
        self.heard.judge(|history| Ok(claim.check(history, Limits::default())?.0))
    }
}

/// The history so far.
#[derive(Default)]
struct Heard {
    listener: Listener,
    builder: Builder,
}

impl Heard {
    fn hear(&mut self, event: &Event<'_>) -> Result<(), String> {
        match self.listener.hear(event)? {
            Some(event) => self.builder.push(event).map_err(|mistake| format!("the history is wrong: {mistake}")),
            None => Ok(()),
        }
    }

    fn judge(&mut self, judge: impl FnOnce(&History) -> Result<Verdict, Misunderstood>) -> Judgement {
        // A process is named by node, task and numbers: people know the node.
        let nodes = self.listener.processes.keys().map(|process| process.split('/').next().unwrap_or_default().into());
        let history = std::mem::take(&mut self.builder).finish().of_clients(nodes);
        match judge(&history) {
            // A mistake of whoever says what is to be judged by what: of the system nothing is known.
            Err(error) => Judgement::Open(format!("the history is wrong: {error}")),
            Ok(Verdict::Holds) => Judgement::Held,
            Ok(Verdict::Broken(said)) => Judgement::Broken(said),
            Ok(Verdict::Unknown(why)) => Judgement::Open(why),
        }
    }
}
