//! A world as another engine than this crate's takes it: plain data, and what no other engine knows refused.
//!
//! Another engine has a network and a randomness of its own. What it is given here is what any simulator can do: nodes with init functions,
//! faults at given times, one weather for the whole network, a heal, properties, limits.

use std::collections::BTreeMap;
use std::future::Future;
use std::net::IpAddr;
use std::pin::Pin;
use std::time::Duration;

use squall_trace::swarm::FaultClass;
use squall_trace::target::Reached;
use squall_trace::{Property, Ratio};

use crate::disk::DiskRule;
use crate::fault::{Fault, NodeChange, What};
use crate::latency::Latency;
use crate::network::default_address;
use crate::streams::Tcp;
use crate::world::{Init, LinkRule, OnPanic, World, duration_ns, matches};

/// What a node's root task does. Its error fails the run (property `error`).
pub type RootFuture = Pin<Box<dyn Future<Output = Result<(), String>>>>;

/// A world, taken apart.
pub struct Description {
    /// In the order of their declaration.
    pub nodes: Vec<Node>,
    /// Of every packet between two nodes.
    pub network: Weather,
    /// Each time of each fault, in the order in which they begin.
    pub faults: Vec<Occurrence>,
    /// From when on nothing goes wrong any more, in nanoseconds since the run's start.
    pub heal_at_ns: Option<u64>,
    /// The clients must have returned so long after the heal.
    pub progress_within_ns: Option<u64>,
    /// What judges the run.
    pub properties: Vec<Box<dyn Property>>,
    /// When it is given up, in virtual nanoseconds.
    pub limit_ns: u64,
    /// After how many events it is given up.
    pub limit_events: u64,
    /// When it ends, whoever is still busy.
    pub end_at_ns: Option<u64>,
}

/// A node.
pub struct Node {
    /// Its name.
    pub name: String,
    /// Whether the run waits for it to return.
    pub is_client: bool,
    /// Its address.
    pub address: IpAddr,
    init: Init,
}

impl Node {
    /// Its root task, made anew for each boot. It calls the program's init function when it is polled first.
    #[must_use]
    pub fn root(&self) -> RootFuture {
        self.init.plain()
    }
}

/// How packets travel, as far as it is said.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Weather {
    /// The shortest and the longest latency, both included, and each in between equally likely.
    pub latency: Option<(Duration, Duration)>,
    /// The share of packets that is lost.
    pub loss: Option<Ratio>,
}

/// One time of a fault.
#[derive(Clone, Debug, PartialEq)]
pub struct Occurrence {
    /// When it begins: nanoseconds since the run's start.
    pub at_ns: u64,
    /// When it is over, counted from its beginning; of a crash, when the node starts again. `None`: it stays.
    pub lasts_ns: Option<u64>,
    /// In words, as events have it.
    pub sentence: String,
    /// By what its decision is known.
    pub address: String,
    /// As it is said where it is one of the decisions that weren't calm.
    pub said: String,
    /// What kind of fault it is.
    pub class: FaultClass,
    /// What it does.
    pub effect: Effect,
}

/// What a fault does; nodes by their indices.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// These nodes crash.
    Crash(Vec<usize>),
    /// These nodes stand still.
    Pause(Vec<usize>),
    /// Nodes of different groups can't reach each other; if it is one way, only the first can't reach the second.
    Partition {
        /// The groups.
        groups: Vec<Vec<usize>>,
        /// Whether the way back works.
        one_way: bool,
    },
    /// The weather of the whole network changes.
    Weather(Weather),
}

impl std::fmt::Debug for Description {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Description")
            .field("nodes", &self.nodes.iter().map(|node| &node.name).collect::<Vec<_>>())
            .field("faults", &self.faults)
            .finish_non_exhaustive()
    }
}

/// Why no other engine than this crate's can do what a fault does, if it is so.
#[must_use]
pub fn refused_fault(fault: &Fault) -> Option<String> {
    const KNOWN: &str = "faults there are crashes, pauses, partitions, and links from * to *";
    if fault.point().is_some() {
        return Some("points of the code are known to Squall's own engine alone".to_string());
    }
    match &fault.what {
        What::Node { change: NodeChange::Crash { wipes_disk: false } | NodeChange::Pause, .. }
        | What::Partition { .. } => None,
        What::Node { change: NodeChange::Crash { wipes_disk: true }, .. } => {
            Some("it has no disks that could be wiped".to_string())
        }
        What::Weather(rule) => match &**rule {
            LinkRule { from, to, both_ways: true, .. } if from == "*" && to == "*" => weather(rule).err(),
            _ => Some("it has one weather for the whole network: a link there is from * to *, both ways".to_string()),
        },
        What::Node { .. }
        | What::RandomPartition { .. }
        | What::Ring { .. }
        | What::Hold { .. }
        | What::Reset { .. }
        | What::Swizzle { .. } => Some(KNOWN.to_string()),
    }
}

/// Why no other engine than this crate's can draw such latencies, if it is so.
#[must_use]
pub fn refused_latency(latency: &Latency) -> Option<String> {
    match latency {
        Latency::Fixed(_) | Latency::Uniform { .. } => None,
        _ => Some("latencies there are fixed or uniform".to_string()),
    }
}

/// # Errors
/// In words, what no other engine knows.
fn weather(rule: &LinkRule) -> Result<Weather, String> {
    let LinkRule { latency, loss, reorder, duplicate, duplicate_latency, corruption, reset, bursts, .. } = rule;
    let is_none = |share: &Option<Ratio>| share.is_none_or(|share| share.is_zero());
    let is_plain = is_none(reorder) && is_none(duplicate) && is_none(corruption) && is_none(reset) && bursts.is_none();
    if !is_plain
        || duplicate_latency.is_some()
        || rule.bandwidth_bits_per_second.is_some()
        || rule.queue_bytes.is_some()
    {
        return Err("of the weather it knows latency and loss alone".to_string());
    }
    let latency = match latency {
        None => None,
        Some(Latency::Fixed(latency)) => Some((*latency, *latency)),
        Some(Latency::Uniform { min, max }) => Some((*min, *max)),
        Some(other) => return Err(refused_latency(other).unwrap_or_default()),
    };
    Ok(Weather { latency, loss: *loss })
}

impl World {
    /// The world as another engine takes it.
    ///
    /// # Errors
    /// In words: what no other engine than this crate's knows, or a fault that names no node.
    pub fn describe_for_another_engine(self) -> Result<Description, String> {
        let refused = [
            (!self.links.is_empty(), "weather of single links: there is one for the whole network"),
            (!self.uplinks.is_empty(), "uplinks"),
            (self.loopback.is_some(), "a weather of the loopback"),
            (self.tcp != Tcp::default(), "settings of streams"),
            (self.nodes.iter().any(|node| node.is_hosted), "nodes whose tasks another executor has (`.tokio()`)"),
            (self.storage != DiskRule::usual() || !self.disks.is_empty(), "simulated disks that fail"),
            (!self.rules.is_empty(), "rules on messages"),
            (!self.budgets.is_empty(), "budgets"),
            (self.is_swarm, "swarms"),
            (!self.knobs.is_empty(), "knobs"),
            (self.clock != Default::default(), "a clock that is set: it has its own"),
            (self.nodes.iter().any(|node| node.control), "control tasks"),
            (self.nodes.iter().any(|node| node.on_panic != OnPanic::FailRun), "panics that don't fail the run"),
            (self.heal.as_ref().is_some_and(|heal| heal.core.is_some()), "a heal of a core: it is for all nodes"),
        ];
        if let Some((_, what)) = refused.into_iter().find(|(is_so, _)| *is_so) {
            return Err(format!("this program's engine isn't Squall's own, and doesn't know {what}"));
        }
        self.check_heal()?;
        let not_known = |why: String| format!("this program's engine isn't Squall's own: {why}");
        let network = weather(&self.network).map_err(not_known)?;
        let names: Vec<&str> = self.nodes.iter().map(|node| node.name.as_str()).collect();
        let mut faults = Vec::new();
        for fault in &self.faults {
            if let Some(why) = refused_fault(fault) {
                return Err(not_known(format!("{}: {why}", fault.sentence())));
            }
            faults.extend(occurrences(fault, &names)?);
        }
        // Those of one instant in the order in which they were said.
        faults.sort_by_key(|occurrence| occurrence.at_ns);
        let address_of = |index: usize, address: Option<IpAddr>| address.unwrap_or_else(|| default_address(index));
        let nodes = self.nodes.into_iter().enumerate().map(|(index, node)| Node {
            address: address_of(index, node.address),
            name: node.name,
            is_client: node.client,
            init: node.init,
        });
        Ok(Description {
            nodes: nodes.collect(),
            network,
            faults,
            heal_at_ns: self.heal.as_ref().map(|heal| duration_ns(heal.at)),
            progress_within_ns: self.heal.as_ref().and_then(|heal| heal.within).map(duration_ns),
            properties: self.properties,
            limit_ns: self.limits.virtual_ns,
            limit_events: self.limits.events,
            end_at_ns: self.end_at.map(duration_ns),
        })
    }
}

/// The goals among properties, then those of marks that were [counted](crate::goal::end_counting), and how often each was reached. Each is there once.
#[must_use]
pub fn goals(properties: &[Box<dyn Property>], counted: BTreeMap<&'static str, u64>) -> Vec<Reached> {
    crate::run::goals(properties, counted)
}

/// Indices of the nodes that one of the patterns names, in the order of their declaration.
///
/// # Errors
/// In words, if a pattern names none.
fn resolve(names: &[&str], patterns: &[String], what: &str) -> Result<Vec<usize>, String> {
    if let Some(pattern) = patterns.iter().find(|pattern| !names.iter().any(|name| matches(pattern, name))) {
        return Err(format!("{what} names {pattern:?}, but the nodes are {}", names.join(", ")));
    }
    let is_named = |name: &str| patterns.iter().any(|pattern| matches(pattern, name));
    Ok((0..names.len()).filter(|&index| is_named(names[index])).collect())
}

/// Each time of a fault, and of a fault of several nodes each node by itself, with the addresses that they have in this crate's kernel.
///
/// # Errors
/// In words, if it names no node, or one in two groups.
fn occurrences(fault: &Fault, names: &[&str]) -> Result<Vec<Occurrence>, String> {
    let what = fault.sentence();
    let effect = match &fault.what {
        What::Node { nodes, change: NodeChange::Crash { .. } } => Effect::Crash(resolve(names, nodes, &what)?),
        What::Node { nodes, .. } => Effect::Pause(resolve(names, nodes, &what)?),
        What::Partition { groups, one_way } => {
            let groups: Result<Vec<_>, _> = groups.iter().map(|group| resolve(names, group, &what)).collect();
            let groups = groups?;
            let twice = (0..names.len()).find(|node| groups.iter().filter(|group| group.contains(node)).count() > 1);
            if let Some(node) = twice {
                return Err(format!("node {} is in two groups of a partition", names[node]));
            }
            Effect::Partition { groups, one_way: *one_way }
        }
        What::Weather(rule) => Effect::Weather(weather(rule)?),
        _ => unreachable!("it was refused"),
    };
    let mut all = Vec::new();
    for at in fault.occurrences() {
        let whole = Occurrence {
            at_ns: duration_ns(at),
            lasts_ns: fault.lasts.map(duration_ns),
            sentence: fault.sentence_at(at),
            address: fault.name().map_or_else(|| fault.sentence_at(at), str::to_string),
            said: fault.said_at(at),
            class: fault.class(),
            effect: effect.clone(),
        };
        let one: fn(usize) -> Effect = match &effect {
            Effect::Crash(nodes) if nodes.len() > 1 && !fault.together => |node| Effect::Crash(vec![node]),
            Effect::Pause(nodes) if nodes.len() > 1 && !fault.together => |node| Effect::Pause(vec![node]),
            _ => {
                all.push(whole);
                continue;
            }
        };
        let (Effect::Crash(nodes) | Effect::Pause(nodes)) = &effect else { unreachable!("it is of nodes") };
        for (place, &node) in (0..).zip(nodes) {
            let at = at.saturating_add(fault.stagger.unwrap_or_default().saturating_mul(place));
            let named = |text: String| format!("{text} ({})", names[node]);
            all.push(Occurrence {
                at_ns: duration_ns(at),
                sentence: named(fault.sentence_at(at)),
                address: named(whole.address.clone()),
                said: named(fault.said_at(at)),
                effect: one(node),
                ..whole.clone()
            });
        }
    }
    Ok(all)
}

impl std::fmt::Debug for Node {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Node").field("name", &self.name).field("address", &self.address).finish_non_exhaustive()
    }
}
