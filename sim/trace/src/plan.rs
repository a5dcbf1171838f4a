//! All that is needed to repeat a run.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::id::{Seed, TaskId};
use crate::site::{Site, SiteKind};
use crate::strategy::StrategyChoice;
use crate::trace::{DiskLoss, FlowRole, Names, Stream};

/// A scenario's settings by dotted key (`network.loss`), each as the text that a scenario file would hold.
pub type Parameters = BTreeMap<String, String>;

/// All that is needed to repeat a run: the same plan on the same build gives the same trace.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// The scenario's name, or the test's.
    pub scenario: String,
    /// Settings that differ from the scenario's own.
    #[serde(default)]
    pub parameters: Parameters,
    /// Every drawn value follows from this.
    pub seed: Seed,
    /// Who answers where no override does.
    #[serde(default)]
    pub strategy: StrategyChoice,
    /// For each class of decision: drawn or calm.
    #[serde(default)]
    pub bases: Bases,
    /// From some time on, draw the weather again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub redraw: Option<Redraw>,
    /// The run ends at this virtual nanosecond, if it hasn't before: what its properties say at the end they say of it up to there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub horizon_ns: Option<u64>,
    /// Values that are fixed whatever the base says.
    #[serde(default)]
    pub overrides: Vec<Override>,
}

impl Plan {
    /// Everything drawn from `seed`, nothing overridden: how exploring starts.
    #[must_use]
    pub fn seeded(scenario: impl Into<String>, seed: Seed) -> Plan {
        Plan {
            scenario: scenario.into(),
            parameters: Parameters::new(),
            seed,
            strategy: StrategyChoice::default(),
            bases: Bases::drawn(),
            redraw: None,
            horizon_ns: None,
            overrides: Vec::new(),
        }
    }

    /// The same run said by its perturbations alone: everything calm but for those.
    #[must_use]
    pub fn only(&self, perturbations: &[Perturbation]) -> Plan {
        Plan {
            strategy: StrategyChoice::Fifo,
            bases: Bases::calm(),
            redraw: None,
            overrides: perturbations.iter().map(Perturbation::to_override).collect(),
            ..self.clone()
        }
    }
}

/// What answers at a site of some class when no override and no strategy does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Base {
    /// The site's calm value.
    Calm,
    /// The value drawn from the seed; for a fault or an operation, that it happens as the program says.
    Drawn,
}

/// A [`Base`] for each [`SiteKind`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bases {
    order: Base,
    latency: Base,
    loss: Base,
    duplicate: Base,
    fault: Base,
    operation: Base,
    /// Left out by plans from before there was such a thing: calm, as it was then.
    #[serde(default = "calm")]
    corruption: Base,
    /// Likewise, as are those below.
    #[serde(default = "calm")]
    disk_crash: Base,
    #[serde(default = "calm")]
    disk_failure: Base,
    #[serde(default = "calm")]
    disk_latency: Base,
    #[serde(default = "calm")]
    bit_rot: Base,
    /// The same.
    #[serde(default = "calm")]
    partition: Base,
    /// The same.
    #[serde(default = "calm")]
    point: Base,
    /// The same.
    #[serde(default = "calm")]
    rule: Base,
    /// The same, and the next.
    #[serde(default = "calm")]
    buggify: Base,
    #[serde(default = "calm")]
    knob: Base,
    /// Of streams, as is the next.
    #[serde(default = "calm")]
    retransmission: Base,
    #[serde(default = "calm")]
    reset: Base,
    #[serde(default = "calm")]
    choice: Base,
}

fn calm() -> Base {
    Base::Calm
}

impl Bases {
    /// Every class drawn.
    #[must_use]
    pub fn drawn() -> Bases {
        Bases::all(Base::Drawn)
    }

    /// Every class calm.
    #[must_use]
    pub fn calm() -> Bases {
        Bases::all(Base::Calm)
    }

    fn all(base: Base) -> Bases {
        Bases {
            order: base,
            latency: base,
            loss: base,
            duplicate: base,
            fault: base,
            operation: base,
            corruption: base,
            disk_crash: base,
            disk_failure: base,
            disk_latency: base,
            bit_rot: base,
            partition: base,
            point: base,
            rule: base,
            buggify: base,
            knob: base,
            retransmission: base,
            reset: base,
            choice: base,
        }
    }

    /// The base of one class.
    #[inline]
    #[must_use]
    pub fn get(&self, kind: SiteKind) -> Base {
        match kind {
            SiteKind::Order => self.order,
            SiteKind::Latency => self.latency,
            SiteKind::Loss => self.loss,
            SiteKind::Duplicate => self.duplicate,
            SiteKind::Fault => self.fault,
            SiteKind::Operation => self.operation,
            SiteKind::Corruption => self.corruption,
            SiteKind::DiskCrash => self.disk_crash,
            SiteKind::DiskFailure => self.disk_failure,
            SiteKind::DiskLatency => self.disk_latency,
            SiteKind::BitRot => self.bit_rot,
            SiteKind::Partition => self.partition,
            SiteKind::Point => self.point,
            SiteKind::Rule => self.rule,
            SiteKind::Buggify => self.buggify,
            SiteKind::Knob => self.knob,
            SiteKind::Retransmission => self.retransmission,
            SiteKind::Reset => self.reset,
            SiteKind::Choice => self.choice,
        }
    }

    /// The same with one class changed.
    #[must_use]
    pub fn with(mut self, kind: SiteKind, base: Base) -> Bases {
        *match kind {
            SiteKind::Order => &mut self.order,
            SiteKind::Latency => &mut self.latency,
            SiteKind::Loss => &mut self.loss,
            SiteKind::Duplicate => &mut self.duplicate,
            SiteKind::Fault => &mut self.fault,
            SiteKind::Operation => &mut self.operation,
            SiteKind::Corruption => &mut self.corruption,
            SiteKind::DiskCrash => &mut self.disk_crash,
            SiteKind::DiskFailure => &mut self.disk_failure,
            SiteKind::DiskLatency => &mut self.disk_latency,
            SiteKind::BitRot => &mut self.bit_rot,
            SiteKind::Partition => &mut self.partition,
            SiteKind::Point => &mut self.point,
            SiteKind::Rule => &mut self.rule,
            SiteKind::Buggify => &mut self.buggify,
            SiteKind::Knob => &mut self.knob,
            SiteKind::Retransmission => &mut self.retransmission,
            SiteKind::Reset => &mut self.reset,
            SiteKind::Choice => &mut self.choice,
        } = base;
        self
    }
}

impl Default for Bases {
    fn default() -> Bases {
        Bases::drawn()
    }
}

/// From virtual time `from_ns` on, drawn weather comes from another stream: "how likely is the failure from here on?"
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Redraw {
    /// Virtual nanoseconds since the run's start.
    pub from_ns: u64,
    /// Which of the other streams; 0 is the run's own.
    pub salt: u64,
    /// What answers from then on, for each class of decision. `None`: as before. Whether the strategy orders what is due at one instant
    /// follows from the plan's own bases.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bases: Option<Bases>,
}

/// In a plan that is tried in search of a failure whose messages may have changed. What is found is said by its own perturbations, which
/// have their fingerprints.
pub const ANY_FINGERPRINT: u64 = 0;

/// A value fixed at a site.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Override {
    /// Where.
    pub site: Site,
    /// Of the message (or event) that the value was recorded for. An override never applies to another one; but with
    /// [`ANY_FINGERPRINT`] it applies to whichever comes to its site.
    pub fingerprint: u64,
    /// What; see [`SiteKind`] for each kind's meaning.
    pub value: u64,
}

/// A decision that came out other than calm, with what it was about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Perturbation {
    /// Where.
    pub site: Site,
    /// Of the message (or event) that it is about.
    pub fingerprint: u64,
    /// What was decided.
    pub value: u64,
    /// What would have been calm.
    pub calm: u64,
    /// When it was decided: virtual nanoseconds since the run's start.
    pub at_ns: u64,
}

impl Perturbation {
    /// As an entry of a plan.
    #[must_use]
    pub fn to_override(&self) -> Override {
        Override { site: self.site, fingerprint: self.fingerprint, value: self.value }
    }

    /// What is known of the change that a crash has lost.
    fn disk_loss<'n>(&self, names: &'n Names) -> Option<&'n DiskLoss> {
        match &names.flows.get(&self.site.flow)?.role {
            FlowRole::Disk { losses, .. } => losses.get(&self.site.number),
            _ => None,
        }
    }

    /// In plain words, for instance "the answer to call 3 from bank-0 to alice-0 is lost".
    #[must_use]
    pub fn sentence(&self, names: &Names) -> String {
        let number = self.site.number;
        let subject = match names.flows.get(&self.site.flow) {
            Some(info) => {
                let (from, to) = (names.node(info.from), names.node(info.to));
                let is_message = !matches!(info.role, FlowRole::Fault { .. } | FlowRole::Operation { .. });
                // A message and its copy are ordered apart: see `order_site`.
                let (number, copy) = match self.site.kind {
                    SiteKind::Order if is_message => (number >> 1, if number & 1 == 1 { "the copy of " } else { "" }),
                    _ => (number, ""),
                };
                let said = self.in_words(&info.role, number, &from, &to);
                let within = match info.operation {
                    Some(operation) => format!(" (in operation {operation})"),
                    None => String::new(),
                };
                format!("{copy}{said}{within}")
            }
            // The flow of a task's wakes has the task's own id.
            None => match names.tasks.get(&TaskId(self.site.flow.0)) {
                Some(task) => format!("wake {number} of {}", task.label),
                None => format!("decision {number} of flow {}", self.site.flow),
            },
        };
        let ns = |value: u64| crate::trace::format_ns(value);
        match self.site.kind {
            SiteKind::Order => format!("{subject} is put off behind others of its instant (rank {})", self.value),
            SiteKind::Latency | SiteKind::DiskLatency if self.value > self.calm => {
                format!("{subject} takes {} (calm: {})", ns(self.value), ns(self.calm))
            }
            SiteKind::Latency | SiteKind::DiskLatency => {
                format!("{subject} takes only {} (calm: {})", ns(self.value), ns(self.calm))
            }
            SiteKind::Loss => format!("{subject} is lost"),
            SiteKind::Duplicate => {
                format!("{subject} arrives twice, the copy after {}", ns(self.value.saturating_sub(1)))
            }
            SiteKind::Corruption => {
                format!("{subject} arrives with bit {} flipped", self.value.saturating_sub(1))
            }
            SiteKind::Fault | SiteKind::Partition | SiteKind::Point => format!("{subject} happens"),
            SiteKind::DiskFailure => format!("{subject} fails"),
            SiteKind::BitRot => format!("{subject} finds bit {} flipped", self.value.saturating_sub(1)),
            SiteKind::DiskCrash => match self.disk_loss(names) {
                Some(DiskLoss { sectors, by, .. }) if self.value < *sectors => {
                    format!("{subject} is torn {by}: of its {sectors} sectors the last {} are lost", self.value)
                }
                Some(DiskLoss { by, .. }) => format!("{subject} is lost {by}"),
                None => format!("{subject} is lost"),
            },
            SiteKind::Buggify => format!("{subject} is true"),
            SiteKind::Operation | SiteKind::Knob => subject,
            SiteKind::Retransmission if self.value == 1 => format!("{subject} is lost and sent again"),
            SiteKind::Retransmission => format!("{subject} is lost {} times before it arrives", self.value),
            SiteKind::Reset => format!("{subject} breaks its connection"),
            SiteKind::Choice => format!("{subject} polls branch {} first", self.value + 1),
            SiteKind::Rule => match names.flows.get(&self.site.flow).map(|info| &info.role) {
                Some(FlowRole::Rule { does, .. }) => format!("{subject} {does}"),
                _ => format!("{subject} meets a rule"),
            },
        }
    }

    /// What is decided about, without what is decided.
    fn in_words(&self, role: &FlowRole, number: u64, from: &str, to: &str) -> String {
        match role {
            FlowRole::Datagram { tag } => format!("datagram {number} from {from} to {to} (tag {tag})"),
            FlowRole::Call { method } => format!("call {number} ({method}) from {from} to {to}"),
            FlowRole::Answer { method } => format!("the answer to call {number} ({method}) from {from} to {to}"),
            FlowRole::Refusal { method } => format!("the refusal of call {number} ({method}) from {from} to {to}"),
            FlowRole::Segment(stream) => {
                let Stream { connection, port, is_back, .. } = stream;
                let (client, server) = if *is_back { (to, from) } else { (from, to) };
                let of = format!("connection {connection} from {client} to {server}:{port}");
                match (number, is_back) {
                    (1, false) => format!("the request for {of}"),
                    (1, true) if !stream.labels.contains_key(&1) => format!("the acceptance of {of}"),
                    _ => format!("segment {number}{} from {from} to {to} on {of}", stream.label_in_words(number)),
                }
            }
            FlowRole::Rule { of, .. } => self.in_words(of, number, from, to),
            FlowRole::Operation { what } => format!("{what} of {from}"),
            FlowRole::Disk { operation, path, losses } => match losses.get(&number) {
                Some(loss) => format!("{from}'s {}", loss.what),
                None => format!("{from}'s {}", operation.in_words(number, path)),
            },
            FlowRole::Fault { what } if number == 1 => what.clone(),
            FlowRole::Fault { what } => format!("{what} (time {number})"),
        }
    }
}
