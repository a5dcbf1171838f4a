//! Budgets: how many nodes may be down or stand still at once, and how many partitions there may be.
//!
//! What would go beyond one doesn't happen. Where the faults of a world at given times go beyond it if all of them happen, the budget and the faults contradict each
//! other, which is told before anything runs.

use std::time::Duration;

use squall_trace::NodeId;
use squall_trace::trace::format_ns;

use crate::fault::{Fault, NodeChange, Nodes, What};
use crate::kernel::{Kernel, Node};
use crate::script::Effect;
use crate::world::{duration_ns, matches};

/// So many nodes at the most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AtMost {
    /// That number.
    Nodes(u32),
    /// Fewer than half of those that the budget is of.
    Minority,
}

impl From<u32> for AtMost {
    fn from(nodes: u32) -> AtMost {
        AtMost::Nodes(nodes)
    }
}

impl AtMost {
    fn of(self, nodes: usize) -> usize {
        match self {
            AtMost::Nodes(most) => most as usize,
            AtMost::Minority => nodes.saturating_sub(1) / 2,
        }
    }
}

/// A budget of faults; see [`crate::World::budget`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Budget {
    of: Vec<String>,
    crashed: Option<AtMost>,
    paused: Option<AtMost>,
    partitions: Option<u32>,
}

impl Budget {
    /// One that allows everything.
    #[must_use]
    pub fn new(of: impl Nodes) -> Budget {
        Budget { of: of.names(), crashed: None, paused: None, partitions: None }
    }

    /// At most so many of its nodes are down at once.
    pub fn crashed(&mut self, most: impl Into<AtMost>) -> &mut Budget {
        self.crashed = Some(most.into());
        self
    }

    /// At most so many of its nodes stand still at once.
    pub fn paused(&mut self, most: impl Into<AtMost>) -> &mut Budget {
        self.paused = Some(most.into());
        self
    }

    /// At most so many partitions at once, whatever nodes they and the budget are of. Each node that a swizzle cuts off counts as one.
    pub fn partitions(&mut self, most: u32) -> &mut Budget {
        self.partitions = Some(most);
        self
    }

    fn has(&self, node: &str) -> bool {
        self.of.iter().any(|pattern| matches(pattern, node))
    }
}

/// A fault that goes beyond a budget if it and those before it happen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exceeded {
    /// Which of the budgets.
    pub budget: usize,
    /// Which of the faults.
    pub fault: usize,
    /// In words.
    pub message: String,
}

/// What the script does to a node or a link, at a given time.
struct Beginning<'f> {
    at_ns: u64,
    index: usize,
    fault: &'f Fault,
    /// By their places.
    nodes: Vec<usize>,
}

/// Whether faults at given times go beyond budgets, if all of them happen; of crashes at points of the code and of swizzles, of which nobody knows
/// what they do, this says nothing. From the heal on, at `healed_at`, none happens.
///
/// # Errors
/// The first that does.
pub fn check(
    budgets: &[Budget],
    faults: &[Fault],
    healed_at: Option<Duration>,
    node_names: &[String],
) -> Result<(), Exceeded> {
    let mut beginnings = Vec::new();
    for (index, fault) in faults.iter().enumerate().filter(|(_, fault)| fault.point().is_none()) {
        let is_named = |node: &String| fault.nodes().any(|pattern| matches(pattern, node));
        let named: Vec<usize> = (0..node_names.len()).filter(|&place| is_named(&node_names[place])).collect();
        for at in fault.occurrences() {
            let begins_ns = duration_ns(at);
            let is_one = fault.together || !matches!(fault.what, What::Node { .. });
            if is_one {
                beginnings.push(Beginning { at_ns: begins_ns, index, fault, nodes: named.clone() });
                continue;
            }
            for (place, node) in (0..).zip(&named) {
                let behind = fault.stagger.unwrap_or_default().saturating_mul(place);
                let at_ns = duration_ns(at.saturating_add(behind));
                beginnings.push(Beginning { at_ns, index, fault, nodes: vec![*node] });
            }
        }
    }
    // What comes at the instant of the heal itself comes before it.
    let healed_ns = healed_at.map_or(u64::MAX, duration_ns);
    beginnings.retain(|beginning| beginning.at_ns <= healed_ns);
    // Those of one instant stay in their order, as in a run.
    beginnings.sort_by_key(|beginning| beginning.at_ns);
    for (number, budget) in budgets.iter().enumerate() {
        budget.check(&beginnings, node_names).map_err(|(fault, message)| Exceeded {
            budget: number,
            fault,
            message,
        })?;
    }
    Ok(())
}

impl Budget {
    fn check(&self, beginnings: &[Beginning<'_>], node_names: &[String]) -> Result<(), (usize, String)> {
        let is_of: Vec<bool> = node_names.iter().map(|node| self.has(node)).collect();
        let all = is_of.iter().filter(|is_of| **is_of).count();
        let nothing: Vec<Option<u64>> = vec![None; node_names.len()];
        // Until when: what is over at the instant of the next one isn't over for it.
        let (mut down, mut still, mut cuts) = (nothing.clone(), nothing, Vec::new());
        let lasts = |until: Option<u64>, at_ns: u64| until.is_some_and(|until| until >= at_ns);
        let count = |until: &[Option<u64>], at_ns: u64| {
            until.iter().zip(&is_of).filter(|(until, is_of)| **is_of && lasts(**until, at_ns)).count()
        };
        for Beginning { at_ns, index, fault, nodes } in beginnings {
            let until = Some(fault.lasts.map_or(u64::MAX, |lasts| at_ns.saturating_add(duration_ns(lasts))));
            let over = |found: usize, most: usize, what: &str| {
                let message = format!(
                    "with {} {found} {what} at {}, but the budget is {most}",
                    fault.what_in_words(""),
                    format_ns(*at_ns)
                );
                (found > most).then_some((*index, message))
            };
            let exceeded = match &fault.what {
                What::Node { change: NodeChange::Crash { .. }, .. } => {
                    for &node in nodes {
                        if !lasts(down[node], *at_ns) {
                            (down[node], still[node]) = (until, None);
                        }
                    }
                    self.crashed.and_then(|most| over(count(&down, *at_ns), most.of(all), "of its nodes are down"))
                }
                What::Node { change: NodeChange::Pause, .. } => {
                    for &node in nodes {
                        if !lasts(down[node], *at_ns) {
                            still[node] = still[node].max(until);
                        }
                    }
                    self.paused.and_then(|most| over(count(&still, *at_ns), most.of(all), "of its nodes stand still"))
                }
                What::Partition { .. } | What::RandomPartition { .. } | What::Ring { .. } => {
                    cuts.retain(|until| lasts(*until, *at_ns));
                    cuts.push(until);
                    self.partitions.and_then(|most| over(cuts.len(), most as usize, "partitions are there"))
                }
                _ => None,
            };
            if let Some(exceeded) = exceeded {
                return Err(exceeded);
            }
        }
        Ok(())
    }

    /// # Errors
    /// In words, if it is of no node.
    pub(crate) fn settle(self, nodes: &[Node]) -> Result<Settled, String> {
        let names = || nodes.iter().filter(|node| !node.control).map(|node| &*node.name);
        if let Some(pattern) = self.of.iter().find(|pattern| !names().any(|name| matches(pattern, name))) {
            let all: Vec<&str> = names().collect();
            return Err(format!("a budget names {pattern:?}, but the nodes are {}", all.join(", ")));
        }
        let is_of: Vec<bool> = nodes.iter().map(|node| !node.control && self.has(&node.name)).collect();
        let all = is_of.iter().filter(|is_of| **is_of).count();
        Ok(Settled {
            is_of,
            crashed: self.crashed.map(|most| most.of(all)),
            paused: self.paused.map(|most| most.of(all)),
            partitions: self.partitions.map(|most| most as usize),
        })
    }
}

/// A budget, with numbers in place of names.
#[derive(Debug)]
pub(crate) struct Settled {
    /// By node.
    is_of: Vec<bool>,
    crashed: Option<usize>,
    paused: Option<usize>,
    partitions: Option<usize>,
}

impl Kernel {
    /// Whether a fault would go beyond a budget, if it happened now.
    pub(crate) fn is_beyond_budget(&self, effect: &Effect) -> bool {
        if self.budgets.is_empty() {
            return false;
        }
        match effect {
            Effect::Nodes { nodes, change: NodeChange::Crash { .. } } => self.are_too_many_down(nodes),
            Effect::Nodes { nodes, change: NodeChange::Pause } => {
                let is_still = |node: NodeId| self.stands_still(node);
                let would = |node: NodeId| is_still(node) || nodes.contains(&node) && self.nodes[node.index()].up;
                self.are_too_many(|budget| budget.paused, is_still, would)
            }
            Effect::Cut(_) | Effect::RandomCut { .. } => {
                let running = self.network.partitions();
                self.budgets.iter().any(|budget| budget.partitions.is_some_and(|most| running >= most))
            }
            Effect::Nodes { .. }
            | Effect::Swizzle { .. }
            | Effect::Hold(_)
            | Effect::Weather(_)
            | Effect::Reset { .. } => false,
        }
    }

    /// Whether too many nodes would be down if these were.
    pub(crate) fn are_too_many_down(&self, nodes: &[NodeId]) -> bool {
        let is_down = |node: NodeId| !self.nodes[node.index()].up;
        self.are_too_many(|budget| budget.crashed, is_down, |node| is_down(node) || nodes.contains(&node))
    }

    /// Whether more nodes of a budget would be so than now, and more than it allows.
    fn are_too_many(
        &self,
        most: impl Fn(&Settled) -> Option<usize>,
        are: impl Fn(NodeId) -> bool,
        would: impl Fn(NodeId) -> bool,
    ) -> bool {
        self.budgets.iter().any(|budget| {
            let of = || (0..self.nodes.len()).filter(|&index| budget.is_of[index]).map(|index| NodeId(index as u32));
            let (now, then) = (of().filter(|node| are(*node)).count(), of().filter(|node| would(*node)).count());
            most(budget).is_some_and(|most| then > now && then > most)
        })
    }
}
