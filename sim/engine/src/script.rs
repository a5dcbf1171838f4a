//! What becomes of faults in a run: whether they happen, what they do, and when they are over.

use std::collections::BTreeMap;

use squall_trace::swarm::FaultClass;
use squall_trace::target::{Unreached, UnreachedFault};
use squall_trace::trace::format_ns;
use squall_trace::{EventKind, FaultPart, FlowId, FlowInfo, FlowRole, NodeId, Site, SiteKind};

use crate::clock::Change;
use crate::fault::{Fault, NodeChange, Split, What};
use crate::kernel::{Kernel, Node};
use crate::network::Cut;
use crate::point::CrashPoint;
use crate::world::{Heal, LinkRule, duration_ns, matches};

/// A step of the script.
#[derive(Clone, Debug)]
pub(crate) enum Act {
    /// A fault begins, if it is decided so.
    Begin(Box<Planned>),
    /// It is over.
    End(Box<Begun>),
    /// A slow node's task has been served: it is polled now.
    Served { node: NodeId },
    /// The time of a rule that holds messages is over.
    EndRule { rule: u32 },
    /// All faults stop.
    EndStorm { heal: Heal },
    /// The clients must be through.
    DemandProgress,
    /// What properties ask for after the heal must have come.
    EndAsking,
}

impl Act {
    /// The fault that it begins, in plain words.
    pub(crate) fn fault(&self) -> Option<&str> {
        match self {
            Act::Begin(planned) => Some(&planned.sentence),
            Act::End(_)
            | Act::Served { .. }
            | Act::EndRule { .. }
            | Act::EndStorm { .. }
            | Act::DemandProgress
            | Act::EndAsking => None,
        }
    }
}

/// A fault of the script, with numbers in place of names.
#[derive(Clone, Debug)]
pub(crate) struct Planned {
    /// In words, as events have it.
    sentence: String,
    /// By what its decision is known.
    address: String,
    /// As it is said where it is one of the decisions that weren't calm.
    said: String,
    effect: Effect,
    /// As what a swarm switches it off.
    class: FaultClass,
    /// Of a crash: when the node starts again.
    lasts_ns: Option<u64>,
    /// It was decided before that it happens: a part of a swizzle.
    is_decided: bool,
}

/// What a fault does.
#[derive(Clone, Debug)]
pub(crate) enum Effect {
    Nodes {
        nodes: Vec<NodeId>,
        change: NodeChange,
    },
    Cut(Cut),
    /// The cut is drawn when it happens.
    RandomCut {
        nodes: Vec<NodeId>,
        split: Split,
    },
    Hold(Cut),
    Weather(Box<LinkRule>),
    /// Connections break between two sets of nodes, each as a table by node.
    Reset {
        a: Vec<bool>,
        b: Vec<bool>,
    },
    /// Which nodes are cut off, and when, is drawn when it happens.
    Swizzle {
        nodes: Vec<NodeId>,
        stagger_ns: u64,
        holds: bool,
    },
}

/// A fault that has begun.
#[derive(Clone, Debug)]
pub(crate) struct Begun {
    sentence: String,
    /// Of the event with which it began.
    step: u64,
    what: BegunWhat,
}

/// What is to be ended, by the numbers that were given to it.
#[derive(Clone, Debug)]
enum BegunWhat {
    /// The restart belongs to the crash of that boot: if something else has started the node meanwhile, it is over.
    Crashes(Vec<(NodeId, u32)>),
    Pauses(Vec<(NodeId, u64)>),
    Slow(Vec<(NodeId, u64)>),
    Clocks(Vec<(NodeId, u64)>),
    Cut(u64),
    Hold(u64),
    Weather(u64),
    /// It is over as soon as it has begun.
    Reset,
}

/// What is to happen, and what control tasks have asked for so far.
#[derive(Debug, Default)]
pub(crate) struct Script {
    pub acts: Vec<Act>,
    asked: BTreeMap<FlowId, u64>,
    /// The addresses of the faults with a name, and of which fault each is.
    named: BTreeMap<String, String>,
}

impl Script {
    /// The next number in a fault's flow, from 1.
    fn next_number(&mut self, flow: FlowId) -> u64 {
        let number = self.asked.entry(flow).or_insert(0);
        *number += 1;
        *number
    }
}

/// The nodes that one of the patterns names, in the order of their declaration.
///
/// # Errors
/// In words, if a pattern names none.
fn resolve(nodes: &[Node], patterns: &[String], what: &str) -> Result<Vec<NodeId>, String> {
    let mut is_named = vec![false; nodes.len()];
    for pattern in patterns {
        let mut any = false;
        for (node, is_named) in nodes.iter().zip(&mut is_named) {
            if !node.control && matches(pattern, &node.name) {
                (any, *is_named) = (true, true);
            }
        }
        if !any {
            let names: Vec<&str> = nodes.iter().filter(|node| !node.control).map(|node| &*node.name).collect();
            return Err(format!("{what} names {pattern:?}, but the nodes are {}", names.join(", ")));
        }
    }
    Ok((0..nodes.len()).filter(|&index| is_named[index]).map(|index| NodeId(index as u32)).collect())
}

/// Groups of patterns as a cut.
///
/// # Errors
/// In words, if a pattern names no node or a node is in two groups.
pub(crate) fn resolve_partition(nodes: &[Node], groups: &[Vec<String>], one_way: bool) -> Result<Cut, String> {
    let mut group_of = vec![0u16; nodes.len()];
    for (index, group) in groups.iter().enumerate() {
        for id in resolve(nodes, group, "a partition")? {
            let place = &mut group_of[id.index()];
            if *place != 0 && *place != index as u16 + 1 {
                return Err(format!("node {} is in two groups of a partition", nodes[id.index()].name));
            }
            *place = index as u16 + 1;
        }
    }
    Ok(Cut::Groups { group_of, one_way })
}

impl Kernel {
    /// What a fault does, with numbers in place of names.
    ///
    /// # Errors
    /// In words, if it can't be, or names no node.
    fn effect_of(&self, fault: &Fault) -> Result<Effect, String> {
        let in_fault = |error: String| format!("{}: {error}", fault.sentence());
        fault.validate().map_err(in_fault)?;
        Ok(match &fault.what {
            What::Node { nodes, change } => {
                let what = fault.sentence();
                Effect::Nodes { nodes: resolve(&self.nodes, nodes, &what)?, change: *change }
            }
            What::Partition { groups, one_way } => Effect::Cut(resolve_partition(&self.nodes, groups, *one_way)?),
            What::RandomPartition { nodes, split } => {
                let nodes = resolve(&self.nodes, nodes, "a random partition")?;
                fault.validate_for(nodes.len()).map_err(in_fault)?;
                Effect::RandomCut { nodes, split: *split }
            }
            What::Ring { nodes, reach } => {
                let ring = resolve(&self.nodes, nodes, "a ring")?;
                fault.validate_for(ring.len()).map_err(in_fault)?;
                let mut place_of = vec![0; self.nodes.len()];
                for (place, node) in (1..).zip(&ring) {
                    place_of[node.index()] = place;
                }
                Effect::Cut(Cut::Ring { place_of, length: ring.len() as u32, reach: *reach })
            }
            What::Swizzle { nodes, holds } => {
                let nodes = resolve(&self.nodes, nodes, "a swizzle")?;
                fault.validate_for(nodes.len()).map_err(in_fault)?;
                let stagger_ns = duration_ns(fault.stagger.unwrap_or_default());
                Effect::Swizzle { nodes, stagger_ns, holds: *holds }
            }
            What::Weather(rule) => {
                self.ends_of_link(&rule.from, &rule.to, fault)?;
                Effect::Weather(rule.clone())
            }
            What::Hold { from, to, both_ways } => {
                let (from, to) = self.ends_of_link(from, to, fault)?;
                Effect::Hold(Cut::Between { from, to, both_ways: *both_ways })
            }
            What::Reset { a, b } => {
                let (a, b) = self.ends_of_link(a, b, fault)?;
                Effect::Reset { a, b }
            }
        })
    }

    /// Takes a fault into the script: each time that it happens.
    ///
    /// # Errors
    /// In words, if it can't be, or names no node.
    pub(crate) fn schedule_fault(&mut self, fault: &Fault) -> Result<(), String> {
        let effect = self.effect_of(fault)?;
        let lasts_ns = fault.lasts.map(duration_ns);
        if let (Some((point, share)), Effect::Nodes { nodes, change }) = (&fault.point, &effect) {
            let mut is_of = vec![false; self.nodes.len()];
            nodes.iter().for_each(|node| is_of[node.index()] = true);
            let sentence = fault.sentence();
            self.crash_points.push(CrashPoint {
                nodes: is_of,
                point: point.clone(),
                share: share.threshold(),
                address: fault.name.clone().unwrap_or_else(|| sentence.clone()),
                sentence,
                restart_after_ns: lasts_ns,
                wipes_disk: *change == NodeChange::Crash { wipes_disk: true },
                was_passed: false,
            });
            return Ok(());
        }
        for at in fault.occurrences() {
            let sentence = fault.sentence_at(at);
            let address = fault.name.clone().unwrap_or_else(|| sentence.clone());
            let said = fault.said_at(at);
            let (effect, class) = (effect.clone(), fault.class());
            let planned =
                Planned { sentence, address: address.clone(), said, effect, class, lasts_ns, is_decided: false };
            for (place, mut planned) in (0..).zip(self.one_each(planned, fault.together)) {
                let behind = fault.stagger.unwrap_or_default().saturating_mul(place);
                let at = at.saturating_add(behind);
                if !behind.is_zero() {
                    // It is said with the time at which it comes; its address is as that of the first.
                    let of_node = &planned.address[address.len()..];
                    planned.sentence = fault.sentence_at(at) + of_node;
                    planned.said = fault.said_at(at) + of_node;
                }
                if let Some(name) = &fault.name {
                    let whose = self.script.named.entry(planned.address.clone()).or_insert_with(|| name.clone());
                    if whose != name {
                        return Err(format!(
                            "the faults {whose:?} and {name:?} would share an address, {:?}: name one of them otherwise",
                            planned.address
                        ));
                    }
                }
                self.schedule_act(duration_ns(at), Act::Begin(Box::new(planned)));
            }
        }
        Ok(())
    }

    /// A fault begins that the running control task asks for. Whether it happened, to one node at least.
    ///
    /// # Errors
    /// In words, if it can't be, or names no node, or isn't one of now.
    pub(crate) fn inject(&mut self, fault: &Fault) -> Result<bool, String> {
        let mut shaped = fault.clone();
        if let Some(swarm) = &self.swarm {
            crate::swarm::shape_fault(&mut shaped, swarm);
        }
        let effect = self.effect_of(&shaped)?;
        fault.validate_now().map_err(|error| format!("{}: {error}", fault.sentence()))?;
        if !self.is_live() {
            return Ok(false);
        }
        // Without its time, which may be another one in each run.
        let what = fault.name.clone().unwrap_or_else(|| fault.what_in_words(""));
        let sentence = format!("{what} by {}", self.current_label());
        let lasts_ns = fault.lasts.map(duration_ns);
        let (address, said, class) = (sentence.clone(), sentence.clone(), fault.class());
        let planned = Planned { address, said, sentence, effect, class, lasts_ns, is_decided: false };
        let mut any = false;
        for planned in self.one_each(planned, fault.together) {
            match self.why_unreached(&planned) {
                None => any |= self.begin_fault(planned),
                Some(why) => {
                    // As in `perform`.
                    self.next_fault_site(SiteKind::Fault, &planned.address);
                    if why == Unreached::Budget {
                        self.refuse_by_budget(&planned.sentence);
                    }
                }
            }
        }
        Ok(any)
    }

    /// A fault for each of its nodes, so that each can be taken away alone, unless it happens to all together.
    fn one_each(&self, planned: Planned, together: bool) -> Vec<Planned> {
        let (nodes, change) = match &planned.effect {
            Effect::Nodes { nodes, change } if nodes.len() > 1 && !together => (nodes, *change),
            _ => return vec![planned],
        };
        let of_node = |node: &NodeId| {
            let named = |text: &String| format!("{text} ({})", self.nodes[node.index()].name);
            Planned {
                sentence: named(&planned.sentence),
                address: named(&planned.address),
                said: named(&planned.said),
                effect: Effect::Nodes { nodes: vec![*node], change },
                class: planned.class,
                lasts_ns: planned.lasts_ns,
                is_decided: false,
            }
        };
        nodes.iter().map(of_node).collect()
    }

    /// The nodes at both ends of a link, each as a table by node.
    ///
    /// # Errors
    /// In words, if an end names no node, or both name only the same one.
    fn ends_of_link(&self, from: &str, to: &str, fault: &Fault) -> Result<(Vec<bool>, Vec<bool>), String> {
        let what = fault.sentence();
        let end = |pattern: &str| {
            let mut is_end = vec![false; self.nodes.len()];
            for id in resolve(&self.nodes, &[pattern.to_string()], &what)? {
                is_end[id.index()] = true;
            }
            Ok::<_, String>(is_end)
        };
        let (from, to) = (end(from)?, end(to)?);
        let both = from.iter().zip(&to).filter(|(from, to)| **from || **to).count();
        fault.validate_for(both).map_err(|error| format!("{what}: {error}"))?;
        Ok((from, to))
    }

    /// Whether the fault that a script or a control task asks for happens: a decision like any other. `address` names it, and
    /// `said` says it in plain words; asked for again, the same fault is the next number of the same flow.
    pub(crate) fn decide_fault(&mut self, address: &str, said: &str, class: FaultClass) -> bool {
        let site = self.next_fault_site(SiteKind::Fault, address);
        let drawn = self.is_drawn_to_happen(class, site);
        self.decide_fault_at(site, u64::from(drawn), said)
    }

    /// Where the fault of that address is decided, this time.
    pub(crate) fn next_fault_site(&mut self, kind: SiteKind, address: &str) -> Site {
        let flow = FlowId(squall_trace::id::hash_parts(&[b"fault", address.as_bytes()]));
        Site { kind, flow, number: self.script.next_number(flow) }
    }

    /// Whether a fault happens, if it was `drawn` so.
    pub(crate) fn decide_fault_at(&mut self, site: Site, drawn: u64, said: &str) -> bool {
        self.name_fault(site.flow, said);
        self.decisions.decide(site, self.now_ns, 0, drawn, || site.flow.0) != 0
    }

    /// A node crashes by a fault of that sentence, and starts again after a while if that is said.
    pub(crate) fn crash_for(&mut self, node: NodeId, sentence: String, crash_point: &CrashPoint) {
        if crash_point.wipes_disk {
            self.wipe_disk(node);
        }
        if !self.crash(node) {
            return;
        }
        let restart_after_ns = crash_point.restart_after_ns;
        self.nodes[node.index()].restart_pending = restart_after_ns.is_some();
        if let Some(after_ns) = restart_after_ns {
            let what = BegunWhat::Crashes(vec![(node, self.nodes[node.index()].boot)]);
            let at_ns = self.now_ns.saturating_add(after_ns);
            let step = self.journal.step();
            self.schedule_act(at_ns, Act::End(Box::new(Begun { sentence, step, what })));
        }
    }

    fn name_fault(&mut self, flow: FlowId, said: &str) {
        self.journal.name_flow(flow, || FlowInfo {
            from: NodeId::WORLD,
            to: NodeId::WORLD,
            role: FlowRole::Fault { what: said.to_string() },
            operation: None,
        });
    }

    /// Does one act.
    #[cold]
    pub(crate) fn perform(&mut self, act: Act) {
        match act {
            Act::Begin(planned) => match self.why_unreached(&planned) {
                Some(why) => {
                    // Its number is its own all the same: those of later times don't depend on what happened before.
                    if !planned.is_decided {
                        self.next_fault_site(SiteKind::Fault, &planned.address);
                    }
                    self.unreached_faults.push(UnreachedFault { fault: planned.sentence, why });
                }
                None => {
                    self.begin_fault(*planned);
                }
            },
            Act::End(begun) => self.end_fault(*begun),
            Act::Served { node } => self.served(node),
            Act::EndRule { rule } => self.end_rule(rule),
            Act::EndStorm { heal } => self.heal(&heal),
            Act::DemandProgress => self.demand_progress(),
            // It is looked for when all that comes at this instant has come.
            Act::EndAsking => {}
        }
    }

    /// Why a fault can't happen now, if it can't.
    fn why_unreached(&self, planned: &Planned) -> Option<Unreached> {
        if self.is_after_the_storm() { Some(Unreached::Healed) } else { self.in_the_way_of(&planned.effect) }
    }

    /// Likewise, before the heal.
    pub(crate) fn in_the_way_of(&self, effect: &Effect) -> Option<Unreached> {
        // Nothing can happen to the processes of a machine that is down; to its clock it can.
        match effect {
            Effect::Nodes { nodes, change: NodeChange::Crash { .. } | NodeChange::Pause }
                if nodes.iter().all(|node| !self.nodes[node.index()].up) =>
            {
                Some(Unreached::Down)
            }
            effect => self.is_beyond_budget(effect).then_some(Unreached::Budget),
        }
    }

    /// A fault that a control task asks for would go beyond a budget: it is told, once however often it is asked for.
    pub(crate) fn refuse_by_budget(&mut self, what: &str) {
        let unreached = UnreachedFault { fault: what.to_string(), why: Unreached::Budget };
        if !self.unreached_faults.contains(&unreached) {
            self.unreached_faults.push(unreached);
        }
    }

    /// A fault that can happen begins, if it is decided so. Whether it does.
    fn begin_fault(&mut self, planned: Planned) -> bool {
        if let Effect::Swizzle { .. } = &planned.effect {
            return self.begin_swizzle(planned);
        }
        let Planned { mut sentence, address, said, effect, class, lasts_ns, is_decided } = planned;
        let effect = match effect {
            effect if is_decided => effect,
            Effect::RandomCut { nodes, split } => {
                let site = self.next_fault_site(SiteKind::Partition, &address);
                let [word, _] =
                    self.decisions.key(self.now_ns).words(site.flow, site.number, SiteKind::Partition as u16);
                let cuts = cuts(nodes.len(), split);
                let drawn = ((u128::from(word) * u128::from(cuts)) >> 64) as u64;
                let drawn = if self.is_drawn_to_happen(class, site) { drawn + 1 } else { 0 };
                let value = self.decisions.decide(site, self.now_ns, 0, drawn, || site.flow.0);
                let Some(number) = value.checked_sub(1) else { return false };
                let side = side(nodes.len(), split, number % cuts);
                let named = |wanted: bool| {
                    let of_side = nodes.iter().zip(&side).filter(|(_, side)| **side == wanted);
                    let names: Vec<&str> = of_side.map(|(node, _)| &*self.nodes[node.index()].name).collect();
                    names.join(", ")
                };
                let cut = format!("{} | {}", named(true), named(false));
                // All times of one that has a name are of one flow, which is said once.
                let says_cut = address == sentence;
                sentence = format!("{sentence}: {cut}");
                self.name_fault(site.flow, if says_cut { &sentence } else { &said });
                let mut group_of = vec![0; self.nodes.len()];
                for (node, side) in nodes.iter().zip(&side) {
                    group_of[node.index()] = if *side { 1 } else { 2 };
                }
                Effect::Cut(Cut::Groups { group_of, one_way: false })
            }
            effect => {
                if !self.decide_fault(&address, &said, class) {
                    return false;
                }
                effect
            }
        };
        let part = self.beginning_of(&effect, class);
        self.emit_on(NodeId::WORLD, EventKind::Fault { what: sentence.clone().into(), part });
        let step = self.journal.step();
        let what = self.begin(effect, lasts_ns.is_some());
        if let Some(lasts_ns) = lasts_ns {
            let end = Act::End(Box::new(Begun { sentence, step, what }));
            self.schedule_act(self.now_ns.saturating_add(lasts_ns), end);
        }
        true
    }

    /// A swizzle begins: for each of its nodes it is decided whether it is cut off, and when. Whether any is.
    fn begin_swizzle(&mut self, planned: Planned) -> bool {
        let Planned { sentence, address, said, effect, class, lasts_ns, .. } = planned;
        let Effect::Swizzle { nodes, stagger_ns, holds } = effect else { unreachable!("it is a swizzle's") };
        let whole = self.next_fault_site(SiteKind::Partition, &address);
        let key = self.decisions.key(self.now_ns);
        let is_drawn = self.is_drawn_to_happen(class, whole);
        let steps = swizzled(nodes.len(), |place| key.swizzle_words(whole.flow, whole.number, place));
        let steps_max = 2 * nodes.len() as u64;
        let mut any = false;
        for (node, steps) in nodes.iter().zip(steps) {
            let name = self.nodes[node.index()].name.to_string();
            let named = |text: &str| format!("{text} ({name})");
            let site = self.next_fault_site(SiteKind::Partition, &named(&address));
            let drawn = steps.filter(|_| is_drawn).map_or(0, |(off, back)| 1 + off * steps_max + back);
            let value = self.decisions.decide(site, self.now_ns, 0, drawn, || site.flow.0);
            let Some(number) = value.checked_sub(1) else { continue };
            let (off, back) = (number / steps_max % nodes.len() as u64, number % steps_max);
            let after_ns = |step: u64| self.now_ns.saturating_add(stagger_ns.saturating_mul(step));
            let at_ns = after_ns(off);
            let until_ns = after_ns(back).saturating_add(lasts_ns.unwrap_or_default());
            let (from, to) = (format_ns(at_ns), format_ns(until_ns));
            // All times of one that has a name are of one flow, which is said once.
            let when = if address == sentence { format!(", from {from} to {to},") } else { String::new() };
            self.name_fault(site.flow, &(named(&said) + &when));
            let mut group_of = vec![2; self.nodes.len()];
            group_of[node.index()] = 1;
            let cut = Cut::Groups { group_of, one_way: false };
            let part = Planned {
                sentence: named(&sentence),
                address: named(&address),
                said: named(&said),
                effect: if holds { Effect::Hold(cut) } else { Effect::Cut(cut) },
                class,
                lasts_ns: Some(until_ns.saturating_sub(at_ns)),
                is_decided: true,
            };
            self.schedule_act(at_ns, Act::Begin(Box::new(part)));
            any = true;
        }
        any
    }

    /// Of which part of a fault its beginning is an event. Of a crash it is all: that the node starts again is told there.
    pub(crate) fn beginning_of(&self, effect: &Effect, class: FaultClass) -> FaultPart {
        if matches!(class, FaultClass::Crash | FaultClass::Reset) {
            return FaultPart::Whole;
        }
        let all = || (0..self.nodes.len() as u32).map(NodeId);
        let groups = match effect {
            Effect::Nodes { nodes, .. } => vec![nodes.clone()],
            Effect::Cut(cut) | Effect::Hold(cut) => cut.groups(all()),
            Effect::Weather(rule) => {
                let end = |pattern| all().filter(|node| matches(pattern, &self.nodes[node.index()].name)).collect();
                vec![end(&rule.from), end(&rule.to)]
            }
            Effect::Reset { .. } => unreachable!("it is no more than its beginning"),
            Effect::RandomCut { .. } | Effect::Swizzle { .. } => unreachable!("it was drawn before"),
        };
        FaultPart::Begins { class, groups }
    }

    fn begin(&mut self, effect: Effect, is_to_end: bool) -> BegunWhat {
        match effect {
            Effect::Nodes { nodes, change } => {
                let each = |kernel: &mut Kernel, begin: fn(&mut Kernel, NodeId, NodeChange) -> u64| {
                    nodes.iter().map(|&node| (node, begin(kernel, node, change))).collect::<Vec<_>>()
                };
                match change {
                    NodeChange::Crash { wipes_disk } => {
                        let mut crashed = Vec::new();
                        for &node in &nodes {
                            // First: of what is wiped nothing is decided.
                            if wipes_disk && self.nodes[node.index()].up {
                                self.wipe_disk(node);
                            }
                            if self.crash(node) {
                                self.nodes[node.index()].restart_pending = is_to_end;
                                crashed.push((node, self.nodes[node.index()].boot));
                            }
                        }
                        BegunWhat::Crashes(crashed)
                    }
                    NodeChange::Pause => {
                        let up = nodes.iter().copied().filter(|node| self.nodes[node.index()].up);
                        let up: Vec<NodeId> = up.collect();
                        BegunWhat::Pauses(up.into_iter().map(|node| (node, self.pause(node))).collect())
                    }
                    NodeChange::Slow { poll_ns } => {
                        BegunWhat::Slow(nodes.iter().map(|&node| (node, self.slow_down(node, poll_ns))).collect())
                    }
                    NodeChange::ClockJump { .. } | NodeChange::ClockDrift { .. } => {
                        BegunWhat::Clocks(each(self, |kernel, node, change| {
                            let change = match change {
                                NodeChange::ClockDrift { ppm } => Change::Drift { ppm },
                                NodeChange::ClockJump { by_ns } => Change::Jump { by_ns },
                                _ => unreachable!("the other changes are no clock's"),
                            };
                            kernel.change_clock(node, change)
                        }))
                    }
                }
            }
            Effect::Cut(cut) => BegunWhat::Cut(self.network.start_cut(cut, false)),
            Effect::Hold(cut) => BegunWhat::Hold(self.network.start_cut(cut, true)),
            Effect::Weather(rule) => {
                let id = self.network.start_weather(*rule, &self.nodes);
                self.change_send_limits();
                BegunWhat::Weather(id)
            }
            Effect::Reset { a, b } => {
                let is_in = |side: &[bool], node: NodeId| side.get(node.index()).copied().unwrap_or_default();
                self.reset_connections(|from, to| from != to && is_in(&a, from) && is_in(&b, to));
                BegunWhat::Reset
            }
            Effect::RandomCut { .. } | Effect::Swizzle { .. } => unreachable!("it was drawn before"),
        }
    }

    fn end_fault(&mut self, begun: Begun) {
        let Begun { sentence, step, what } = begun;
        let part = FaultPart::Ends { begun: step };
        // What the heal left is there for good.
        let is_left_out = |kernel: &Kernel, node: NodeId| kernel.nodes[node.index()].is_left_out;
        let is_over = match what {
            BegunWhat::Crashes(crashed) => {
                for (node, boot) in crashed {
                    if self.nodes[node.index()].boot == boot && !is_left_out(self, node) {
                        self.restart(node);
                    }
                }
                // A boot says of itself that it happens.
                return;
            }
            BegunWhat::Pauses(pauses) => {
                let mut any = false;
                for (node, id) in pauses {
                    any |= !is_left_out(self, node) && self.end_pause(node, id);
                }
                any
            }
            BegunWhat::Slow(slow) => {
                let mut any = false;
                for (node, id) in slow {
                    any |= !is_left_out(self, node) && self.end_slow(node, id);
                }
                any
            }
            BegunWhat::Clocks(changes) => {
                let mut any = false;
                for (node, id) in changes {
                    any |= !is_left_out(self, node) && self.end_clock_change(node, id);
                }
                any
            }
            BegunWhat::Cut(id) => {
                let is_over = !self.is_after_the_storm() && self.end_cut(id);
                if is_over {
                    self.emit_on(
                        NodeId::WORLD,
                        EventKind::Fault { what: format!("{sentence} is healed").into(), part },
                    );
                }
                return;
            }
            BegunWhat::Reset => return,
            BegunWhat::Hold(id) => !self.is_after_the_storm() && self.end_cut(id),
            BegunWhat::Weather(id) => {
                let is_over = !self.is_after_the_storm() && self.network.end_weather(id, &self.nodes);
                self.change_send_limits();
                is_over
            }
        };
        if is_over {
            self.emit_on(NodeId::WORLD, EventKind::Fault { what: format!("{sentence} is over").into(), part });
        }
    }
}

/// For each of so many nodes, from 2 to 63, whether a swizzle cuts it off: at which step, and at which it comes back, if the first of both is 0. Every set of at least
/// one node is equally likely, and so are all orders in which they go and in which they come back. The last one goes at the step at which the first comes back.
fn swizzled(nodes: usize, words: impl Fn(u16) -> [u64; 2]) -> Vec<Option<(u64, u64)>> {
    let below = |word: u64, bound: u64| ((u128::from(word) * u128::from(bound)) >> 64) as u64;
    let set = below(words(0)[0], (1 << nodes) - 1) + 1;
    let chosen: Vec<usize> = (0..nodes).filter(|index| set >> index & 1 == 1).collect();
    let (mut going, mut coming) = (chosen.clone(), chosen.clone());
    // R. Durstenfeld, "Algorithm 235: random permutation", CACM 7 (1964).
    for last in (1..chosen.len()).rev() {
        let [one, other] = words(last as u16);
        going.swap(last, below(one, last as u64 + 1) as usize);
        coming.swap(last, below(other, last as u64 + 1) as usize);
    }
    let mut steps = vec![None; nodes];
    for (step, node) in (0..).zip(&going) {
        steps[*node] = Some((step, 0));
    }
    for (step, node) in (chosen.len() as u64 - 1..).zip(&coming) {
        if let Some((_, back)) = &mut steps[*node] {
            *back = step;
        }
    }
    steps
}

/// How many ways there are to cut so many nodes.
fn cuts(nodes: usize, split: Split) -> u64 {
    let all = nodes as u64;
    match split {
        Split::One => all,
        Split::Any => (1 << (all - 1)) - 1,
        Split::Minority => (1..=(all - 1) / 2).map(|size| choose(all, size)).sum(),
    }
}

/// On which side each of so many nodes is, by the number of the cut. Both sides have somebody.
fn side(nodes: usize, split: Split, number: u64) -> Vec<bool> {
    match split {
        Split::One => (0..nodes as u64).map(|index| index == number).collect(),
        // The last one's side is called the other: so each cut has one number, and that of nothing none.
        Split::Any => (0..nodes).map(|index| (number + 1) >> index & 1 == 1).collect(),
        Split::Minority => {
            let (mut rank, mut size) = (number, 1);
            while rank >= choose(nodes as u64, size) {
                rank -= choose(nodes as u64, size);
                size += 1;
            }
            // The set of that rank, in lexicographic order: those with the first node, then those without it.
            let mut side = Vec::with_capacity(nodes);
            for left in (0..nodes as u64).rev() {
                let with = if size > 0 { choose(left, size - 1) } else { 0 };
                let is_in = rank < with;
                if is_in {
                    size -= 1;
                } else {
                    rank -= with;
                }
                side.push(is_in);
            }
            side
        }
    }
}

/// How many sets of `size` there are of `all`, at most 63.
fn choose(all: u64, size: u64) -> u64 {
    if size > all {
        return 0;
    }
    let product = (0..size).fold(1u128, |product, index| product * u128::from(all - index) / u128::from(index + 1));
    u64::try_from(product).expect("it is at most 2^63")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::fault::RANDOM_PARTITION_NODES_MAX;

    /// Each number is another cut, and there are as many as can be counted by hand.
    #[test]
    fn every_cut_has_a_number() {
        for (split, nodes, expected) in [
            (Split::Any, 2, 1),
            (Split::Any, 5, 15),
            (Split::Minority, 3, 3),
            (Split::Minority, 4, 4),
            (Split::Minority, 5, 15),
            (Split::Minority, 6, 21),
            (Split::One, 2, 2),
            (Split::One, 5, 5),
        ] {
            assert_eq!(cuts(nodes, split), expected, "{split:?} of {nodes}");
            let sides: BTreeSet<Vec<bool>> = (0..expected).map(|number| side(nodes, split, number)).collect();
            assert_eq!(sides.len() as u64, expected, "{split:?} of {nodes}");
            for side in sides {
                let on_it = side.iter().filter(|side| **side).count();
                assert!(side.len() == nodes && on_it > 0 && on_it < nodes, "{split:?}: {side:?}");
                assert!(split != Split::Minority || 2 * on_it < nodes, "{side:?}");
            }
        }
    }

    /// Of four nodes every set, every order of going and every one of coming back, in equal shares: chi-squared over all outcomes of each set's size, with its
    /// 99.99 % points. Seeds are fixed.
    #[test]
    fn every_swizzle_is_equally_likely() {
        use std::collections::BTreeMap;

        use squall_trace::Seed;
        use squall_trace::draw::{Purpose, RunKey};

        let key = RunKey::derive(Seed(5), Purpose::Weather, 0);
        let draws = 200_000;
        let (mut sets, mut orders) = (BTreeMap::<usize, u64>::new(), BTreeMap::<Vec<(u64, u64)>, u64>::new());
        for number in 1..=draws {
            let steps = swizzled(4, |place| key.swizzle_words(FlowId(9), number, place));
            let set = steps.iter().enumerate().map(|(index, steps)| usize::from(steps.is_some()) << index).sum();
            *sets.entry(set).or_default() += 1;
            let cut: Vec<(u64, u64)> = steps.into_iter().flatten().collect();
            let size = cut.len() as u64;
            assert!(cut.iter().all(|(off, back)| *off < size && (size - 1..2 * size - 1).contains(back)), "{cut:?}");
            if size == 3 {
                *orders.entry(cut).or_default() += 1;
            }
        }
        let chi = |counts: &[u64]| {
            let expected = counts.iter().sum::<u64>() as f64 / counts.len() as f64;
            let off = |count: u64| count as f64 - expected;
            counts.iter().map(|&count| off(count) * off(count) / expected).sum::<f64>()
        };
        assert_eq!((sets.len(), orders.len()), (15, 36));
        assert!(chi(&sets.into_values().collect::<Vec<_>>()) < 42.6);
        assert!(chi(&orders.into_values().collect::<Vec<_>>()) < 76.4);
        // The most that there may be.
        let all = swizzled(63, |place| key.swizzle_words(FlowId(9), 1, place));
        assert_eq!(all.len(), 63);
    }

    #[test]
    fn the_largest_partitions_are_cut_too() {
        for (_, split) in Split::ALL {
            let cuts = cuts(RANDOM_PARTITION_NODES_MAX, split);
            for number in [0, 1, cuts / 2, cuts - 1] {
                let side = side(RANDOM_PARTITION_NODES_MAX, split, number);
                let on_it = side.iter().filter(|side| **side).count();
                assert!(on_it > 0 && on_it < RANDOM_PARTITION_NODES_MAX, "{split:?} {number}");
            }
        }
    }
}
