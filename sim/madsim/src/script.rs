//! The script: what goes wrong when, carried out by madsim's handle and its network simulator.
//!
//! It is the future that madsim's runtime is blocked on, so that it ends when the run does. Its own timers are madsim's, which are never
//! shorter than a millisecond: what comes less than that after something else comes that much later.

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use madsim::net::NetSim;
use madsim::runtime::Handle;
use madsim::task::NodeId as MadsimId;
use squall::trace::id::hash_parts;
use squall::trace::swarm::FaultClass;
use squall::trace::target::{Unreached, UnreachedFault};
use squall::trace::trace::format_ns;
use squall::trace::{
    EndReason, EventKind, FaultPart, FlowId, FlowInfo, FlowRole, NodeId, Ratio, Site, SiteKind, TaskId,
};
use squall_engine::Decisions;
use squall_engine::description::{Effect, Node, Occurrence, Weather};

use crate::state;

/// What is to happen at a time.
#[derive(Debug)]
enum Act {
    Begin(Occurrence),
    End(Begun),
    /// All faults stop.
    Heal,
    /// The clients must have returned.
    DemandProgress,
    /// What properties ask for after the heal must have come.
    EndAsking,
    /// The run ends.
    EndRun,
}

/// A fault that is to end.
#[derive(Debug)]
struct Begun {
    sentence: String,
    step: u64,
    what: What,
}

#[derive(Debug)]
enum What {
    /// The nodes, with how often each had started before it crashed.
    Crashes(Vec<(usize, u32)>),
    Pauses(u64),
    Partition(u64),
    Weather(u64),
}

/// Starts the nodes, and does one thing after the other.
pub(crate) struct Script {
    nodes: Option<Vec<Node>>,
    ids: Vec<MadsimId>,
    decisions: Decisions,
    /// How often each fault's address was come by.
    asked: BTreeMap<FlowId, u64>,
    /// By time, and in the order in which they were planned.
    agenda: BTreeMap<(u64, u64), Act>,
    planned: u64,
    sleep: Option<(u64, Pin<Box<madsim::time::Sleep>>)>,
    /// The network's own weather, and what changes it: the last change counts.
    network: Weather,
    weathers: BTreeMap<u64, Weather>,
    /// Directed pairs of nodes that can't reach each other.
    partitions: BTreeMap<u64, BTreeSet<(usize, usize)>>,
    clogged: BTreeSet<(usize, usize)>,
    /// Who stands still by which faults.
    pauses: BTreeMap<u64, BTreeSet<usize>>,
    healed_ns: Option<u64>,
    heal_pending: bool,
    progress_within_ns: Option<u64>,
    asking: bool,
    unreached: Vec<UnreachedFault>,
}

/// What is left of a script.
pub(crate) struct Ended {
    pub decisions: Decisions,
    pub unreached: Vec<UnreachedFault>,
}

/// What a script is made of.
pub(crate) struct Plot {
    pub nodes: Vec<Node>,
    pub network: Weather,
    pub faults: Vec<Occurrence>,
    pub heal_at_ns: Option<u64>,
    pub progress_within_ns: Option<u64>,
    /// Properties ask for something up to then.
    pub asked_until_ns: Option<u64>,
    pub end_ns: Option<u64>,
}

impl Script {
    pub(crate) fn new(plot: Plot, decisions: Decisions) -> Script {
        let Plot { nodes, network, faults, heal_at_ns, progress_within_ns, asked_until_ns, end_ns } = plot;
        let mut script = Script {
            nodes: Some(nodes),
            ids: Vec::new(),
            decisions,
            asked: BTreeMap::new(),
            agenda: BTreeMap::new(),
            planned: 0,
            sleep: None,
            network,
            weathers: BTreeMap::new(),
            partitions: BTreeMap::new(),
            clogged: BTreeSet::new(),
            pauses: BTreeMap::new(),
            healed_ns: None,
            heal_pending: heal_at_ns.is_some(),
            progress_within_ns,
            asking: asked_until_ns.is_some(),
            unreached: Vec::new(),
        };
        for fault in faults {
            script.plan(fault.at_ns, Act::Begin(fault));
        }
        if let Some(at_ns) = heal_at_ns {
            script.plan(at_ns, Act::Heal);
            if let Some(within_ns) = progress_within_ns {
                script.plan(at_ns.saturating_add(within_ns), Act::DemandProgress);
            }
        }
        if let Some(at_ns) = asked_until_ns {
            script.plan(at_ns, Act::EndAsking);
        }
        if let Some(at_ns) = end_ns {
            script.plan(at_ns, Act::EndRun);
        }
        script
    }

    /// The nodes of madsim's, for whoever ends them.
    pub(crate) fn ids(&self) -> &[MadsimId] {
        &self.ids
    }

    /// Faults that are left over never happened.
    pub(crate) fn end(mut self) -> Ended {
        for act in self.agenda.into_values() {
            if let Act::Begin(fault) = act {
                self.unreached.push(UnreachedFault { fault: fault.sentence, why: Unreached::Ended });
            }
        }
        Ended { decisions: self.decisions, unreached: self.unreached }
    }

    fn plan(&mut self, at_ns: u64, act: Act) {
        self.agenda.insert((at_ns, self.planned), act);
        self.planned += 1;
    }

    fn number(&mut self) -> u64 {
        self.planned += 1;
        self.planned
    }

    /// Whether what is said so happens: a decision with an address.
    fn decide(&mut self, address: &str, said: &str, now_ns: u64) -> bool {
        let flow = FlowId(hash_parts(&[b"fault", address.as_bytes()]));
        let number = self.asked.entry(flow).or_insert(0);
        *number += 1;
        let site = Site { kind: SiteKind::Fault, flow, number: *number };
        let role = FlowRole::Fault { what: said.to_string() };
        let info = FlowInfo { from: NodeId::WORLD, to: NodeId::WORLD, role, operation: None };
        state::with(|run| run.journal.name_flow(flow, || info));
        self.decisions.decide(site, now_ns, 0, 1, || flow.0) != 0
    }

    /// The weather is decided first, as a whole: single packets are madsim's to draw.
    fn start(&mut self, nodes: Vec<Node>, now_ns: u64) {
        let (min, max) = self.network.latency.unwrap_or_default();
        if min < max {
            let ns = |latency: Duration| format_ns(latency.as_nanos() as u64);
            let said = format!("madsim's drawing of every packet's latency from {} to {}", ns(min), ns(max));
            if !self.decide("madsim's latency", &said, now_ns) {
                let calm = min + (max - min) / 2;
                self.network.latency = Some((calm, calm));
            }
        }
        if let Some(loss) = self.network.loss.filter(|loss| !loss.is_zero()) {
            let said = format!("madsim's loss of {loss} of all packets");
            if !self.decide("madsim's loss", &said, now_ns) {
                self.network.loss = Some(Ratio::ZERO);
            }
        }
        self.apply_weather();
        let handle = Handle::current();
        for (index, node) in nodes.into_iter().enumerate() {
            let (name, address) = (node.name.clone(), node.address);
            // madsim wants to send it to other threads, and has none.
            ROOTS.with_borrow_mut(|roots| roots.push(node));
            let init = move || {
                let boot = state::boot(index);
                let root = ROOTS.with_borrow(|roots| roots[index].root());
                async move { state::root_returned(index, boot, root.await) }
            };
            self.ids.push(handle.create_node().name(name).ip(address).init(init).build().id());
        }
    }

    fn perform(&mut self, act: Act, now_ns: u64) {
        match act {
            Act::Begin(fault) => self.begin(fault, now_ns),
            Act::End(begun) => self.end_fault(begun),
            Act::Heal => self.heal(now_ns),
            Act::DemandProgress => self.demand_progress(),
            Act::EndAsking => self.asking = false,
            Act::EndRun => {
                state::with(|run| run.end(EndReason::EndTime));
            }
        }
    }

    fn begin(&mut self, fault: Occurrence, now_ns: u64) {
        let is_up = |node: &usize| state::with(|run| run.nodes[*node].up).unwrap_or(false);
        let why = match &fault.effect {
            _ if self.healed_ns.is_some() => Some(Unreached::Healed),
            Effect::Crash(nodes) | Effect::Pause(nodes) if !nodes.iter().any(is_up) => Some(Unreached::Down),
            _ => None,
        };
        if let Some(why) = why {
            // Its number is its own all the same.
            let flow = FlowId(hash_parts(&[b"fault", fault.address.as_bytes()]));
            *self.asked.entry(flow).or_insert(0) += 1;
            return self.unreached.push(UnreachedFault { fault: fault.sentence, why });
        }
        if !self.decide(&fault.address, &fault.said, now_ns) {
            return;
        }
        let Occurrence { lasts_ns, sentence, class, effect, .. } = fault;
        let part = part_of(&effect, class, self.ids.len());
        emit(EventKind::Fault { what: sentence.as_str().into(), part });
        let step = state::with(|run| run.journal.step()).unwrap_or(0);
        let number = self.number();
        let what = match effect {
            Effect::Crash(nodes) => {
                let mut crashed = Vec::new();
                for node in nodes {
                    if let Some(boots) = crash(node, self.ids[node], lasts_ns.is_some()) {
                        crashed.push((node, boots));
                        // It ends each pause of the node.
                        self.pauses.values_mut().for_each(|paused| _ = paused.remove(&node));
                    }
                }
                What::Crashes(crashed)
            }
            Effect::Pause(nodes) => {
                let up: Vec<usize> = nodes.into_iter().filter(is_up).collect();
                for &node in &up {
                    Handle::current().pause(self.ids[node]);
                }
                self.pauses.insert(number, up.into_iter().collect());
                What::Pauses(number)
            }
            Effect::Partition { groups, one_way } => {
                self.partitions.insert(number, cut(&groups, one_way));
                self.apply_partitions();
                What::Partition(number)
            }
            Effect::Weather(weather) => {
                self.weathers.insert(number, weather);
                self.apply_weather();
                What::Weather(number)
            }
        };
        if let Some(lasts_ns) = lasts_ns {
            self.plan(now_ns.saturating_add(lasts_ns), Act::End(Begun { sentence, step, what }));
        }
    }

    fn end_fault(&mut self, begun: Begun) {
        let Begun { sentence, step, what } = begun;
        let over = match what {
            What::Crashes(crashed) => {
                // A boot says of itself that it happens.
                for (node, boots) in crashed {
                    let is_down = state::with(|run| !run.nodes[node].up && run.nodes[node].boots == boots);
                    if is_down == Some(true) {
                        Handle::current().restart(self.ids[node]);
                    }
                }
                return;
            }
            What::Pauses(number) => {
                let Some(paused) = self.pauses.remove(&number).filter(|paused| !paused.is_empty()) else { return };
                for node in paused {
                    self.resume_unless_paused(node);
                }
                "is over"
            }
            What::Partition(number) => {
                if self.partitions.remove(&number).is_none() {
                    return;
                }
                self.apply_partitions();
                "is healed"
            }
            What::Weather(number) => {
                if self.weathers.remove(&number).is_none() {
                    return;
                }
                self.apply_weather();
                "is over"
            }
        };
        emit(EventKind::Fault { what: format!("{sentence} {over}").into(), part: FaultPart::Ends { begun: step } });
    }

    fn resume_unless_paused(&self, node: usize) {
        if !self.pauses.values().any(|nodes| nodes.contains(&node)) {
            Handle::current().resume(self.ids[node]);
        }
    }

    fn heal(&mut self, now_ns: u64) {
        emit(EventKind::Heal { what: "all faults stop".into(), nodes: Vec::new() });
        (self.heal_pending, self.healed_ns) = (false, Some(now_ns));
        self.partitions.clear();
        self.apply_partitions();
        self.weathers.clear();
        let (min, max) = self.network.latency.unwrap_or_default();
        let calm = min + (max - min) / 2;
        self.network = Weather { latency: Some((calm, calm)), loss: Some(Ratio::ZERO) };
        self.apply_weather();
        for node in std::mem::take(&mut self.pauses).into_values().flatten() {
            Handle::current().resume(self.ids[node]);
        }
        for (node, id) in self.ids.iter().enumerate() {
            if state::with(|run| !run.nodes[node].up) == Some(true) {
                Handle::current().restart(id);
            }
        }
    }

    fn demand_progress(&self) {
        let waiting = waiting_clients();
        if let (false, Some(since_ns), Some(within_ns)) = (waiting.is_empty(), self.healed_ns, self.progress_within_ns)
        {
            let (within, since) = (format_ns(within_ns), format_ns(since_ns));
            let message = format!(
                "no progress within {within} of the heal at {since}: clients still wait: {}",
                waiting.join(", ")
            );
            state::fail_world("progress", message);
        }
    }

    fn apply_weather(&self) {
        let mut weather = self.network;
        for change in self.weathers.values() {
            weather = Weather { latency: change.latency.or(weather.latency), loss: change.loss.or(weather.loss) };
        }
        let (min, max) = weather.latency.unwrap_or_default();
        let loss = weather.loss.unwrap_or(Ratio::ZERO);
        NetSim::current().update_config(|config| {
            // Both ends are included, and madsim leaves the second out.
            config.send_latency = min..max + Duration::from_nanos(1);
            config.packet_loss_rate = loss.as_f64();
        });
    }

    fn apply_partitions(&mut self) {
        let wanted: BTreeSet<(usize, usize)> = self.partitions.values().flatten().copied().collect();
        let network = NetSim::current();
        for &(from, to) in wanted.difference(&self.clogged) {
            network.clog_link(self.ids[from], self.ids[to]);
        }
        for &(from, to) in self.clogged.difference(&wanted) {
            network.unclog_link(self.ids[from], self.ids[to]);
        }
        self.clogged = wanted;
    }

    /// Whether nobody is left to wait for, and why.
    fn clients_are_through(&self) -> Option<EndReason> {
        if self.asking {
            return None;
        }
        state::with(|run| {
            let mut clients = run.nodes.iter().filter(|node| node.is_client).peekable();
            clients.peek()?;
            let is_through =
                |node: &state::NodeState| node.returned || !(node.up || node.restart_pending || self.heal_pending);
            let clients: Vec<&state::NodeState> = clients.collect();
            if !clients.iter().all(|node| is_through(node)) {
                return None;
            }
            let all_returned = clients.iter().all(|node| node.returned);
            Some(if all_returned { EndReason::ClientsReturned } else { EndReason::ClientsDown })
        })
        .flatten()
    }
}

thread_local! {
    /// What the nodes' init functions make their root tasks of. A run has a thread of its own.
    static ROOTS: std::cell::RefCell<Vec<Node>> = const { std::cell::RefCell::new(Vec::new()) };
}

/// What nodes are made of goes with the run.
pub(crate) fn drop_roots() {
    drop(ROOTS.take());
}

/// The clients that haven't returned, each with how it is.
pub(crate) fn waiting_clients() -> Vec<String> {
    let waiting = |node: &state::NodeState| node.is_client && !node.returned;
    let told = |node: &state::NodeState| format!("{}{}", node.name, if node.up { "" } else { " (down)" });
    state::with(|run| run.nodes.iter().filter(|node| waiting(node)).map(told).collect()).unwrap_or_default()
}

fn emit(kind: EventKind<'_>) {
    state::emit(NodeId::WORLD, TaskId::NONE, kind);
}

/// Takes a node down, if it is up. How often it had started.
fn crash(node: usize, id: MadsimId, is_to_restart: bool) -> Option<u32> {
    let boots = state::with(|run| {
        let state = &mut run.nodes[node];
        let was_up = std::mem::replace(&mut state.up, false);
        state.restart_pending |= is_to_restart && was_up;
        was_up.then_some(state.boots)
    });
    let boots = boots.flatten()?;
    state::emit(NodeId(node as u32), TaskId::NONE, EventKind::Crash);
    // It kills the tasks, closes the sockets, and takes it out of a pause.
    Handle::current().kill(id);
    Some(boots)
}

/// Which directed pairs groups cut.
fn cut(groups: &[Vec<usize>], one_way: bool) -> BTreeSet<(usize, usize)> {
    let mut pairs = BTreeSet::new();
    for (place, from) in groups.iter().enumerate() {
        for (other, to) in groups.iter().enumerate() {
            if place == other || one_way && place > other {
                continue;
            }
            pairs.extend(from.iter().flat_map(|&from| to.iter().map(move |&to| (from, to))));
        }
    }
    pairs
}

fn part_of(effect: &Effect, class: FaultClass, nodes: usize) -> FaultPart {
    let ids = |nodes: &[usize]| nodes.iter().map(|&node| NodeId(node as u32)).collect::<Vec<_>>();
    let groups = match effect {
        Effect::Crash(_) => return FaultPart::Whole,
        Effect::Pause(nodes) => vec![ids(nodes)],
        Effect::Partition { groups, .. } => groups.iter().map(|group| ids(group)).collect(),
        Effect::Weather(_) => {
            let all = ids(&(0..nodes).collect::<Vec<_>>());
            vec![all.clone(), all]
        }
    };
    FaultPart::Begins { class, groups }
}

impl Future for Script {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let script = self.get_mut();
        let now_ns = state::with(|run| {
            run.waker = Some(context.waker().clone());
            run.look_at_clock()
        })
        .unwrap_or(0);
        if let Some(nodes) = script.nodes.take() {
            script.start(nodes, now_ns);
        }
        loop {
            if state::with(|run| run.is_over()).unwrap_or(true) {
                return Poll::Ready(());
            }
            if let Some(reason) = script.clients_are_through() {
                state::with(|run| run.end(reason));
                return Poll::Ready(());
            }
            let Some(entry) = script.agenda.first_entry() else { return Poll::Pending };
            let at_ns = entry.key().0;
            if at_ns <= now_ns {
                let act = entry.remove();
                script.perform(act, now_ns);
                continue;
            }
            if script.sleep.as_ref().is_none_or(|(until_ns, _)| *until_ns != at_ns) {
                let sleep = madsim::time::sleep(Duration::from_nanos(at_ns - now_ns));
                script.sleep = Some((at_ns, Box::pin(sleep)));
            }
            let (_, sleep) = script.sleep.as_mut().expect("it was put there");
            match sleep.as_mut().poll(context) {
                Poll::Pending => return Poll::Pending,
                // The clock was read before, or madsim's timer is early by less than what it counts.
                Poll::Ready(()) => {
                    script.sleep = None;
                    let entry = script.agenda.first_entry().expect("it is still there");
                    let act = entry.remove();
                    script.perform(act, now_ns);
                }
            }
        }
    }
}
