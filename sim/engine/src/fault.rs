//! Faults: what a script or a control task asks for, and when it happens.
//!
//! Every fault has an address like any other decision: without one it couldn't be taken away. The address is made of what
//! the fault says in plain words (or of the name that it was given), so that adding another fault leaves it alone.

use std::collections::BTreeMap;
use std::time::Duration;

use squall_trace::target::{Unreached, UnreachedFault};
use squall_trace::{EventKind, FlowId, NodeId};

use crate::kernel::Kernel;
use crate::network::Partition;
use crate::world::{Heal, duration_ns};

/// Something that goes wrong at a given time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    pub(crate) name: Option<String>,
    pub(crate) at: Duration,
    pub(crate) what: What,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum What {
    Crash { node: String, restart_after: Option<Duration> },
    Partition { groups: Vec<Vec<String>>, one_way: bool, lasts: Option<Duration> },
    Pause { node: String, lasts: Option<Duration> },
}

/// The node crashes: its tasks are gone and its sockets closed. It stays down unless
/// [`Fault::restart_after`] is given.
#[must_use]
pub fn crash(node: impl Into<String>) -> Fault {
    Fault { name: None, at: Duration::ZERO, what: What::Crash { node: node.into(), restart_after: None } }
}

/// The node stands still, as in a long collection of garbage or a machine that is moved: none of its tasks is polled, while messages come to
/// its sockets and its clocks go on. When it is over, all that became due meanwhile goes on at once. It stays so unless [`Fault::lasts`] is given;
/// a crash ends it too.
#[must_use]
pub fn pause(node: impl Into<String>) -> Fault {
    Fault { name: None, at: Duration::ZERO, what: What::Pause { node: node.into(), lasts: None } }
}

/// Nodes of different groups can't reach each other; nodes of no group aren't concerned. Patterns with `*` name several
/// nodes.
#[must_use]
pub fn partition<G, N>(groups: impl IntoIterator<Item = G>) -> Fault
where
    G: IntoIterator<Item = N>,
    N: Into<String>,
{
    let groups = groups.into_iter().map(|group| group.into_iter().map(Into::into).collect()).collect();
    Fault { name: None, at: Duration::ZERO, what: What::Partition { groups, one_way: false, lasts: None } }
}

/// Nothing that `from` sends reaches `to`; the other way works.
#[must_use]
pub fn partition_one_way<N: Into<String>>(from: impl IntoIterator<Item = N>, to: impl IntoIterator<Item = N>) -> Fault {
    let groups = vec![from.into_iter().map(Into::into).collect(), to.into_iter().map(Into::into).collect()];
    Fault { name: None, at: Duration::ZERO, what: What::Partition { groups, one_way: true, lasts: None } }
}

impl Fault {
    /// When it happens, from the run's start.
    #[must_use]
    pub fn at(mut self, at: Duration) -> Fault {
        self.at = at;
        self
    }

    /// A name of its own, which is its address from then on.
    #[must_use]
    pub fn named(mut self, name: impl Into<String>) -> Fault {
        self.name = Some(name.into());
        self
    }

    /// For a crash: the node starts again after that long.
    ///
    /// # Panics
    /// For another fault.
    #[must_use]
    pub fn restart_after(mut self, after: Duration) -> Fault {
        match &mut self.what {
            What::Crash { restart_after, .. } => *restart_after = Some(after),
            What::Partition { .. } | What::Pause { .. } => {
                panic!("only a crash has a restart: say how long it lasts with `lasts`")
            }
        }
        self
    }

    /// For a partition or a pause: it is over after that long. Without this it stays.
    ///
    /// # Panics
    /// For a crash.
    #[must_use]
    pub fn lasts(mut self, duration: Duration) -> Fault {
        match &mut self.what {
            What::Partition { lasts, .. } | What::Pause { lasts, .. } => *lasts = Some(duration),
            What::Crash { .. } => panic!("a crash doesn't last: say when the node starts again with `restart_after`"),
        }
        self
    }

    /// In plain words; the address of the fault unless it has a name.
    #[must_use]
    pub fn sentence(&self) -> String {
        let at = squall_trace::trace::format_ns(duration_ns(self.at));
        if let Some(name) = &self.name {
            return format!("{name} at {at}");
        }
        self.what_in_words()
    }

    /// What it does and when, whatever its name is.
    fn what_in_words(&self) -> String {
        let at = squall_trace::trace::format_ns(duration_ns(self.at));
        match &self.what {
            What::Crash { node, .. } => format!("the crash of {node} at {at}"),
            What::Pause { node, .. } => format!("the pause of {node} at {at}"),
            What::Partition { groups, one_way, .. } => {
                let groups: Vec<String> = groups.iter().map(|group| group.join(", ")).collect();
                format!("the partition {} at {at}", groups.join(if *one_way { " -> " } else { " | " }))
            }
        }
    }

    /// What is said of it where it is one of the decisions that weren't calm: a name alone says nothing to whoever hasn't given it.
    pub(crate) fn said(&self) -> String {
        let Some(name) = &self.name else { return self.sentence() };
        let time = |time: &Duration| squall_trace::trace::format_ns(duration_ns(*time));
        let until = match &self.what {
            What::Crash { restart_after: Some(after), .. } => format!(", for {}", time(after)),
            What::Partition { lasts: Some(lasts), .. } | What::Pause { lasts: Some(lasts), .. } => {
                format!(", for {}", time(lasts))
            }
            What::Crash { .. } | What::Partition { .. } | What::Pause { .. } => String::new(),
        };
        format!("{name} ({}{until})", self.what_in_words())
    }

    /// The node names and patterns that it speaks of.
    pub fn nodes(&self) -> impl Iterator<Item = &str> {
        let names: Vec<&str> = match &self.what {
            What::Crash { node, .. } | What::Pause { node, .. } => vec![node],
            What::Partition { groups, .. } => groups.iter().flatten().map(String::as_str).collect(),
        };
        names.into_iter()
    }
}

/// A step of the script, with numbers in place of names.
#[derive(Clone, Debug)]
pub(crate) enum Act {
    Crash {
        node: NodeId,
        sentence: String,
        address: String,
        said: String,
        restart_after_ns: Option<u64>,
    },
    /// The restart belongs to the crash of that boot: if something else has started the node meanwhile, it is over.
    Restart {
        node: NodeId,
        boot: u32,
    },
    Partition {
        partition: Partition,
        sentence: String,
        address: String,
        said: String,
        lasts_ns: Option<u64>,
    },
    Heal {
        id: u64,
        sentence: String,
    },
    Pause {
        node: NodeId,
        sentence: String,
        address: String,
        said: String,
        lasts_ns: Option<u64>,
    },
    /// The end of that pause of a node.
    Resume {
        node: NodeId,
        id: u64,
        sentence: String,
    },
    /// All faults stop.
    EndStorm {
        heal: Heal,
    },
    /// The clients must be through.
    DemandProgress,
    /// What properties ask for after the heal must have come.
    EndAsking,
}

impl Act {
    /// The fault that it begins, in plain words.
    pub(crate) fn fault(&self) -> Option<&str> {
        match self {
            Act::Crash { sentence, .. } | Act::Partition { sentence, .. } | Act::Pause { sentence, .. } => {
                Some(sentence)
            }
            Act::Restart { .. } | Act::Heal { .. } | Act::Resume { .. } => None,
            Act::EndStorm { .. } | Act::DemandProgress | Act::EndAsking => None,
        }
    }
}

/// What is to happen, and what control tasks have asked for so far.
#[derive(Debug, Default)]
pub(crate) struct Script {
    pub acts: Vec<Act>,
    asked: BTreeMap<FlowId, u64>,
}

impl Script {
    /// The next number in a fault's flow, from 1.
    pub(crate) fn next_number(&mut self, flow: FlowId) -> u64 {
        let number = self.asked.entry(flow).or_insert(0);
        *number += 1;
        *number
    }
}

/// Does one act.
pub(crate) fn perform(kernel: &mut Kernel, act: Act) {
    match act {
        Act::Crash { sentence, .. } | Act::Partition { sentence, .. } | Act::Pause { sentence, .. }
            if kernel.is_after_the_storm() =>
        {
            kernel.unreached_faults.push(UnreachedFault { fault: sentence, why: Unreached::Healed });
        }
        Act::Crash { node, sentence, address, said, restart_after_ns } => {
            if !kernel.nodes[node.index()].up {
                kernel.unreached_faults.push(UnreachedFault { fault: sentence, why: Unreached::Down });
            } else if kernel.decide_fault(&address, &said) {
                kernel.emit_on(NodeId::WORLD, EventKind::Fault { what: sentence.into() });
                kernel.crash(node);
                if let Some(after_ns) = restart_after_ns {
                    kernel.nodes[node.index()].restart_pending = true;
                    let boot = kernel.nodes[node.index()].boot;
                    kernel.schedule_act(kernel.now_ns.saturating_add(after_ns), Act::Restart { node, boot });
                }
            }
        }
        Act::Restart { node, boot } => {
            let node_of = &kernel.nodes[node.index()];
            if node_of.boot == boot && !node_of.is_left_out {
                kernel.restart(node);
            }
        }
        Act::Partition { partition, sentence, address, said, lasts_ns } => {
            if kernel.decide_fault(&address, &said) {
                kernel.emit_on(NodeId::WORLD, EventKind::Fault { what: sentence.clone().into() });
                let id = kernel.network.start_partition(partition);
                if let Some(lasts_ns) = lasts_ns {
                    kernel.schedule_act(kernel.now_ns.saturating_add(lasts_ns), Act::Heal { id, sentence });
                }
            }
        }
        Act::Heal { id, sentence } => {
            // What the heal left is there for good.
            if !kernel.is_after_the_storm() && kernel.network.end_partition(id) {
                kernel.emit_on(NodeId::WORLD, EventKind::Fault { what: format!("{sentence} is healed").into() });
            }
        }
        Act::Pause { node, sentence, address, said, lasts_ns } => {
            if !kernel.nodes[node.index()].up {
                kernel.unreached_faults.push(UnreachedFault { fault: sentence, why: Unreached::Down });
            } else if kernel.decide_fault(&address, &said) {
                kernel.emit_on(NodeId::WORLD, EventKind::Fault { what: sentence.clone().into() });
                let id = kernel.pause(node);
                if let Some(lasts_ns) = lasts_ns {
                    let resume = Act::Resume { node, id, sentence };
                    kernel.schedule_act(kernel.now_ns.saturating_add(lasts_ns), resume);
                }
            }
        }
        Act::Resume { node, id, sentence } => {
            // One of a node that the heal left out is there for good.
            if !kernel.nodes[node.index()].is_left_out && kernel.end_pause(node, id) {
                kernel.emit_on(NodeId::WORLD, EventKind::Fault { what: format!("{sentence} is over").into() });
            }
        }
        Act::EndStorm { heal } => kernel.heal(&heal),
        Act::DemandProgress => kernel.demand_progress(),
        // It is looked for when all that comes at this instant has come.
        Act::EndAsking => {}
    }
}
