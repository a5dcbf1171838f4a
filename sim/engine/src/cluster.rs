//! What a control task sees of the cluster, and how it acts on it.
//!
//! Each act that makes something go wrong is a decision with an address, as the faults of a script are: the address is what
//! the act says ("the crash of store-1") and its number among equal ones. In a destructor at the end of the run acts do
//! nothing.

use std::rc::Rc;

use squall_trace::swarm::FaultClass;
use squall_trace::target::Unreached;
use squall_trace::{EventKind, FaultPart, NodeId, SiteKind};

use crate::fault::{Fault, NodeChange};
use crate::kernel;
use crate::script::Effect;

/// The cluster, as a control task sees it.
#[derive(Clone, Debug)]
pub struct Cluster {
    _private: (),
}

impl Cluster {
    pub(crate) fn new() -> Cluster {
        Cluster { _private: () }
    }

    /// The names of all nodes, in the order of declaration.
    ///
    /// # Panics
    /// Outside of a run.
    #[must_use]
    #[track_caller]
    pub fn nodes(&self) -> Vec<String> {
        kernel::with("Cluster::nodes", |kernel| {
            kernel.nodes.iter().filter(|node| !node.control).map(|node| node.name.to_string()).collect()
        })
    }

    /// Whether a node is up.
    ///
    /// # Panics
    /// If there is no such node, or outside of a run.
    #[must_use]
    #[track_caller]
    pub fn is_up(&self, node: &str) -> bool {
        on_node("Cluster::is_up", node, |kernel, id| kernel.nodes[id.index()].up)
    }

    /// The last fact that each node published about `topic`, as JSON, with the node's name; see [`crate::publish`].
    ///
    /// # Panics
    /// Outside of a run.
    #[must_use]
    #[track_caller]
    pub fn published(&self, topic: &str) -> Vec<(String, Rc<str>)> {
        kernel::with("Cluster::published", |kernel| {
            let facts = kernel.published.get(topic).map_or(&[][..], Vec::as_slice);
            facts.iter().map(|(id, value)| (kernel.nodes[id.index()].name.to_string(), Rc::clone(value))).collect()
        })
    }

    /// Crashes a node. Whether it happened: not if the node was down, nor if the plan takes this fault away, nor beyond a
    /// [budget](crate::World::budget), nor after the world's [heal](crate::World::heal).
    ///
    /// # Panics
    /// If there is no such node, or outside of a run.
    #[track_caller]
    pub fn crash(&self, node: &str) -> bool {
        on_node("Cluster::crash", node, |kernel, id| {
            let effect = Effect::Nodes { nodes: vec![id], change: NodeChange::Crash { wipes_disk: false } };
            happens(kernel, &format!("the crash of {node}"), FaultClass::Crash, Some(&effect)) && kernel.crash(id)
        })
    }

    /// Starts a node that is down. Whether it was. One that the world's heal left out stays down.
    ///
    /// # Panics
    /// If there is no such node, or outside of a run.
    #[track_caller]
    pub fn restart(&self, node: &str) -> bool {
        on_node("Cluster::restart", node, |kernel, id| {
            kernel.is_live() && !kernel.nodes[id.index()].is_left_out && kernel.restart(id)
        })
    }

    /// Wipes a node's disk, whether it is up or down: a restart after it begins with nothing. What the node has open it can't use any more. Whether
    /// it happened: not if the plan takes this fault away, nor after the world's [heal](crate::World::heal).
    ///
    /// # Panics
    /// If there is no such node, or outside of a run.
    #[track_caller]
    pub fn wipe_disk(&self, node: &str) -> bool {
        on_node("Cluster::wipe_disk", node, |kernel, id| {
            let happens = happens(kernel, &format!("the wiping of {node}'s disk"), FaultClass::Crash, None);
            if happens {
                kernel.wipe_disk(id);
            }
            happens
        })
    }

    /// Lets a node stand still until [`Cluster::resume`], as [`crate::fault::pause`] does. Whether it happened: not if the node was down, nor if the
    /// plan takes this fault away, nor after the world's [heal](crate::World::heal).
    ///
    /// # Panics
    /// If there is no such node, or outside of a run.
    #[track_caller]
    pub fn pause(&self, node: &str) -> bool {
        on_node("Cluster::pause", node, |kernel, id| {
            let effect = Effect::Nodes { nodes: vec![id], change: NodeChange::Pause };
            let happens = happens(kernel, &format!("the pause of {node}"), FaultClass::Pause, Some(&effect));
            if happens {
                kernel.pause(id);
            }
            happens
        })
    }

    /// Lets a node that stands still go on, whatever made it. Whether it did. One that the world's heal left out stays as it is.
    ///
    /// # Panics
    /// If there is no such node, or outside of a run.
    #[track_caller]
    pub fn resume(&self, node: &str) -> bool {
        on_node("Cluster::resume", node, |kernel, id| {
            let is_left_out = kernel.nodes[id.index()].is_left_out;
            if !kernel.is_live() || is_left_out || !kernel.stands_still(id) {
                return false;
            }
            let part = FaultPart::AllEnd { class: FaultClass::Pause, nodes: vec![id] };
            let what = format!("all pauses of {node} are over").into();
            kernel.emit_on(NodeId::WORLD, EventKind::Fault { what, part });
            kernel.end_pauses(id)
        })
    }

    /// Any fault of [`crate::fault`] begins now, and is over when it says so. Whether it happened, to one node at least: not if all nodes that it crashes or
    /// pauses were down, nor if the plan takes it away, nor after the world's [heal](crate::World::heal).
    ///
    /// # Panics
    /// If it can't be ([`Fault::validate`]), or names no node, or isn't one of now: with `at`, `every`, `stagger` or `at_point`. Outside of a run.
    #[track_caller]
    pub fn inject(&self, fault: Fault) -> bool {
        match kernel::with("Cluster::inject", |kernel| kernel.inject(&fault)) {
            Ok(happened) => happened,
            Err(message) => panic!("{message}"),
        }
    }

    /// Nodes of different groups can't reach each other from now on, until [`Cluster::heal`]. Whether it happened: not if
    /// the plan takes this fault away, nor after the world's [heal](crate::World::heal).
    ///
    /// # Panics
    /// If a pattern matches no node, or a node is in two groups, or outside of a run.
    #[track_caller]
    pub fn partition(&self, groups: &[&[&str]]) -> bool {
        kernel::with("Cluster::partition", |kernel| {
            let groups: Vec<Vec<String>> =
                groups.iter().map(|group| group.iter().map(ToString::to_string).collect()).collect();
            let cut = match crate::script::resolve_partition(&kernel.nodes, &groups, false) {
                Ok(cut) => cut,
                Err(message) => panic!("{message}"),
            };
            let names: Vec<String> = groups.iter().map(|group| group.join(", ")).collect();
            let (what, effect) = (format!("the partition {}", names.join(" | ")), Effect::Cut(cut));
            let happens = happens(kernel, &what, FaultClass::Partition, Some(&effect));
            if let (true, Effect::Cut(cut)) = (happens, effect) {
                kernel.network.start_cut(cut, false);
            }
            happens
        })
    }

    /// Ends all partitions, but for what the world's heal left.
    ///
    /// # Panics
    /// Outside of a run.
    #[track_caller]
    pub fn heal(&self) {
        kernel::with("Cluster::heal", |kernel| {
            if kernel.is_live() && !kernel.is_after_the_storm() && kernel.network.heal() {
                kernel.release_stopped();
                let part = FaultPart::AllEnd { class: FaultClass::Partition, nodes: Vec::new() };
                kernel.emit_on(NodeId::WORLD, EventKind::Fault { what: "all partitions are healed".into(), part });
            }
        });
    }
}

/// Whether a fault of that class that the running control task asks for happens. Then it is an event. One that would go beyond a budget is told.
fn happens(kernel: &mut kernel::Kernel, what: &str, class: FaultClass, effect: Option<&Effect>) -> bool {
    let what = format!("{what} by {}", kernel.current_label());
    if !kernel.is_live() || kernel.is_after_the_storm() {
        return false;
    }
    // Also what can't happen now has its number: those of later ones don't depend on it.
    let site = kernel.next_fault_site(SiteKind::Fault, &what);
    if let Some(why) = effect.and_then(|effect| kernel.in_the_way_of(effect)) {
        if why == Unreached::Budget {
            kernel.refuse_by_budget(&what);
        }
        return false;
    }
    let drawn = kernel.is_drawn_to_happen(class, site);
    if !kernel.decide_fault_at(site, u64::from(drawn), &what) {
        return false;
    }
    let part = effect.map_or(FaultPart::Whole, |effect| kernel.beginning_of(effect, class));
    kernel.emit_on(NodeId::WORLD, EventKind::Fault { what: what.into(), part });
    true
}

#[track_caller]
fn on_node<R>(what: &str, node: &str, act: impl FnOnce(&mut kernel::Kernel, NodeId) -> R) -> R {
    let result = kernel::with(what, |kernel| kernel.node_by_name(node).map(|id| act(kernel, id)));
    match result {
        Some(result) => result,
        None => panic!("{what}: no node is named {node:?}"),
    }
}
