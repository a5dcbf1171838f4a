//! Whatever can turn a plan into an outcome.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::digest::Digest;
use crate::event::{Event, EventMask, OwnedEvent};
use crate::id::{FlowId, TaskId};
use crate::plan::{Override, Perturbation, Plan};
use crate::swarm::Swarmed;
use crate::trace::{FlowInfo, FlowRole, Names, TaskInfo, Trace};
use crate::verdict::{Ending, Verdict};

/// How much of a run to keep.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Record {
    /// Digest and verdict: for exploring.
    Digest,
    /// Also what wasn't calm, and names: for shrinking.
    Perturbations,
    /// Everything.
    Full,
}

/// Sees a run's events as they pass.
pub trait Observer {
    /// Which events it wants.
    fn interest(&self) -> EventMask {
        EventMask::NONE
    }

    /// One event.
    fn on_event(&mut self, event: &Event<'_>);
}

/// Sees nothing.
#[derive(Debug, Default)]
pub struct NoObserver;

impl Observer for NoObserver {
    fn on_event(&mut self, _event: &Event<'_>) {}
}

/// Takes what is recorded of a run, as it happens.
pub trait Recorder {
    /// One event.
    fn on_event(&mut self, event: &Event<'_>);

    /// A decision that wasn't calm. `again`: it takes the place of the last one at the same site.
    fn on_perturbation(&mut self, perturbation: &Perturbation, again: bool);

    /// Who a task is.
    fn on_task(&mut self, id: TaskId, info: &TaskInfo);

    /// What a flow is. It may be told more than once: what is told last holds, but that the labels of segments add up.
    fn on_flow(&mut self, id: FlowId, info: &FlowInfo);

    /// A client began a call, which has that number in this run. The numbers are of no meaning, and of no order.
    fn on_call(&mut self, number: u64, at_ns: u64);

    /// The answer to a client's call came, and the client still waited for it.
    fn on_answer(&mut self, number: u64, at_ns: u64);
}

/// Keeps what is recorded in memory.
#[derive(Debug, Default)]
pub struct Recorded {
    /// What happened.
    pub events: Vec<OwnedEvent>,
    /// What wasn't calm.
    pub perturbations: Vec<Perturbation>,
    /// Tasks and flows.
    pub names: Names,
    /// The calls of clients, in the order in which they began.
    pub calls: Vec<ClientCall>,
    /// Where the calls stand that wait for an answer, by number. One that is given up stays here.
    waiting: BTreeMap<u64, usize>,
}

impl Recorder for Recorded {
    fn on_event(&mut self, event: &Event<'_>) {
        self.events.push(event.clone().into_owned());
    }

    fn on_perturbation(&mut self, perturbation: &Perturbation, again: bool) {
        if again && let Some(known) = self.perturbations.iter_mut().rev().find(|known| known.site == perturbation.site)
        {
            known.value = perturbation.value;
            return;
        }
        self.perturbations.push(*perturbation);
    }

    fn on_task(&mut self, id: TaskId, info: &TaskInfo) {
        self.names.tasks.entry(id).or_insert_with(|| info.clone());
    }

    fn on_flow(&mut self, id: FlowId, info: &FlowInfo) {
        // Told again, more is known of it. Of segments only what is new of them: a connection may have a label for each of very many.
        let mut info = info.clone();
        if let FlowRole::Segment(told) = &mut info.role
            && let Some(FlowInfo { role: FlowRole::Segment(known), .. }) = self.names.flows.get_mut(&id)
        {
            let mut labels = std::mem::take(&mut known.labels);
            labels.extend(std::mem::take(&mut told.labels));
            told.labels = labels;
        }
        self.names.flows.insert(id, info);
    }

    fn on_call(&mut self, number: u64, at_ns: u64) {
        self.waiting.insert(number, self.calls.len());
        self.calls.push(ClientCall { begun_ns: at_ns, answered_ns: None });
    }

    fn on_answer(&mut self, number: u64, at_ns: u64) {
        if let Some(place) = self.waiting.remove(&number) {
            self.calls[place].answered_ns = Some(at_ns);
        }
    }
}

/// What is left of a run.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Outcome {
    /// What it came to.
    pub verdict: Verdict,
    /// How it ended.
    pub ending: Ending,
    /// Over all events but log lines.
    pub digest: Digest,
    /// Over all log lines.
    pub log_digest: Digest,
    /// What became of the messages.
    pub messages: MessageCounts,
    /// What wasn't calm; empty under [`Record::Digest`].
    pub perturbations: Vec<Perturbation>,
    /// Overrides that met nothing, or not the message that they were recorded for.
    pub unused_overrides: Vec<Override>,
    /// What node code did that a run can't make deterministic, in plain words, each once.
    pub escapes: Vec<String>,
    /// What became of the classes of faults that the world has, if it is run as one of a swarm.
    pub swarm: Vec<Swarmed>,
    /// Faults of the script that never happened.
    pub unreached_faults: Vec<UnreachedFault>,
    /// The world's goals, and how often the run came by each; and those that it came by otherwise. Each is there once.
    pub goals: Vec<Reached>,
    /// Where it came to Unknown: the properties that nobody can judge it by.
    pub open: Vec<Open>,
    /// The calls of clients, in the order in which they began; empty under [`Record::Digest`].
    pub calls: Vec<ClientCall>,
    /// Who took part; empty under [`Record::Digest`].
    pub names: Names,
    /// The names of the properties that judged it, beside [`BUILT_IN_PROPERTIES`](crate::verdict::BUILT_IN_PROPERTIES). `None` under
    /// [`Record::Digest`], and where nothing judged it to its end.
    pub properties: Option<Vec<String>>,
    /// All events; only under [`Record::Full`].
    pub trace: Option<Trace>,
}

/// A fault of the script that never happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnreachedFault {
    /// In plain words.
    pub fault: String,
    /// What was in its way.
    pub why: Unreached,
}

/// Why a fault never happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Unreached {
    /// The run ended before it.
    Ended,
    /// The node that it was to crash was down.
    Down,
    /// All faults had stopped.
    Healed,
    /// Of a rule: no message was one of those that it is for.
    NoMessage,
    /// Of a knob: nothing read it.
    Unread,
    /// More nodes (or partitions) at once than the world's budget allows.
    Budget,
}

impl fmt::Display for Unreached {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Unreached::Ended => "the run ended before it",
            Unreached::Down => "the node was down already",
            Unreached::Healed => "the heal came before it",
            Unreached::NoMessage => "no message was one of those",
            Unreached::Unread => "nothing read it",
            Unreached::Budget => "it would have gone beyond the budget",
        })
    }
}

/// A call (of `Endpoint::call`) that a client made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClientCall {
    /// When it began: virtual nanoseconds since the run's start.
    pub begun_ns: u64,
    /// When its answer came. `None` if there was none while the client waited: it was lost, late, or the call was refused.
    pub answered_ns: Option<u64>,
}

/// A property that was left open in a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Open {
    /// Its name.
    pub property: String,
    /// Why, and what to do about it.
    pub message: String,
}

/// Something that is to come in some run of many, and how often it came in this one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reached {
    /// Its name.
    pub goal: String,
    /// How often it came.
    pub times: u64,
}

impl Outcome {
    /// With what a recorder took in the run's stead.
    #[must_use]
    pub fn with_recorded(mut self, recorded: Recorded) -> Outcome {
        let Recorded { events, perturbations, names, calls, waiting: _ } = recorded;
        self.calls = calls;
        self.names = Names { nodes: self.names.nodes, ..names };
        self.perturbations = perturbations;
        if let Some(trace) = &mut self.trace {
            trace.events = events;
            trace.names = self.names.clone();
            trace.perturbations = self.perturbations.clone();
        }
        self
    }

    /// With no more than was to be kept.
    #[must_use]
    pub fn reduced(mut self, record: Record) -> Outcome {
        if record < Record::Full {
            self.trace = None;
        }
        if record < Record::Perturbations {
            self.perturbations = Vec::new();
            self.names = Names::default();
            self.calls = Vec::new();
            self.properties = None;
        }
        self
    }
}

/// What became of a run's messages. `sent + duplicated = delivered + lost + in_flight`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MessageCounts {
    /// Handed to the network.
    pub sent: u64,
    /// Copies that the network made.
    pub duplicated: u64,
    /// Those of which the network flipped a bit: they are delivered so, or lost on the way.
    pub corrupted: u64,
    /// Arrived at a socket.
    pub delivered: u64,
    /// Came to nothing.
    pub lost: u64,
    /// Under way when the run ended.
    pub in_flight: u64,
}

/// What a target can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capabilities {
    /// Decisions about single messages have addresses.
    pub message_sites: bool,
    /// Order within an instant has addresses.
    pub order_sites: bool,
    /// Faults have addresses.
    pub fault_sites: bool,
}

impl Capabilities {
    /// All.
    pub const ALL: Capabilities = Capabilities { message_sites: true, order_sites: true, fault_sites: true };

    /// What can't be taken away from a failure, or put back, in a sentence or two. None if all can.
    #[must_use]
    pub fn not_addressed(&self) -> Option<String> {
        let without = [
            (self.message_sites, "what becomes of single messages"),
            (self.order_sites, "the order of what is due at one instant"),
            (self.fault_sites, "the faults"),
        ];
        let without: Vec<&str> = without.into_iter().filter(|(has, _)| !has).map(|(_, what)| what).collect();
        if without.is_empty() {
            return None;
        }
        Some(format!(
            "The engine of this program draws {} from one stream of the seed: none of it is a decision that shrinking could take away, and \
             a run with a decision less is another run from there on. A failure is minimal in what else was decided alone.",
            without.join(" and ")
        ))
    }
}

/// Whatever can turn a plan into an outcome.
pub trait Target {
    /// One run.
    fn run(&self, plan: &Plan, record: Record, observer: &mut dyn Observer) -> Outcome;

    /// What it can do.
    fn capabilities(&self) -> Capabilities;
}
