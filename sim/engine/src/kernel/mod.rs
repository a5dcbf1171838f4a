//! The state of one run, and the only door to it.
//!
//! A run's state lives in a thread-local. Everything that programs call goes through [`with`], which borrows it for the
//! length of one operation and never while user code runs: polls, destructors, wakes of foreign wakers, properties and
//! init functions are all called between borrows. What an operation wants to have called or dropped it leaves in the
//! [`Outbox`].
//!
//! | module | holds |
//! |---|---|
//! | `door` | where it lives, and how it is reached |
//! | `tasks` | slots, spawn paths, polls, ends |
//! | `wakers` | who is woken, by number or by waker |
//! | `nodes` | boots and crashes |
//! | `slow` | nodes whose polls take time |
//! | `heal` | the end of all faults, and what then repeats itself |
//! | `timers` | what waits for a time |

mod door;
mod heal;
mod nodes;
mod slow;
mod tasks;
mod timers;
mod wakers;

use std::collections::BTreeMap;
use std::future::Future;
use std::panic::Location;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::{Context, Waker};

use pin_project_lite::pin_project;
use squall_trace::draw::{Purpose, RunKey};
use squall_trace::event::Place;
use squall_trace::swarm::{Swarm, Swarmed};
use squall_trace::target::UnreachedFault;
use squall_trace::{
    EventKind, Failure, FlowId, FlowInfo, FlowRole, NodeId, OwnedEvent, Plan, Site, SiteKind, TaskEnd, TaskId, TaskInfo,
};
use xxhash_rust::xxh3::xxh3_64;

use crate::agenda::{Agenda, Due, Identity, Now};
use crate::buggify::Places;
use crate::choice::Choices;
use crate::clock::NodeClock;
use crate::decisions::Decisions;
use crate::disk::Disks;
use crate::host::Hosting;
use crate::journal::Journal;
use crate::knob::Knobs;
use crate::network::Network;
use crate::node_local::NodeLocals;
use crate::point::CrashPoint;
use crate::read_ahead::read_ahead;
use crate::script::{Act, Script};
use crate::world::{Heal, Init, Limits, OnPanic};

pub(crate) use door::{Installed, install, is_on, try_with, with};
use heal::AfterTheStorm;
pub(crate) use nodes::Node;
use slow::Processor;
use tasks::{Condemned, TaskDetails, TaskSlot, TaskState, identify};
pub(crate) use tasks::{Polling, TaskName, call, short_type_name};
pub(crate) use timers::{TimerRef, Timers};
use wakers::SlotWaker;
pub(crate) use wakers::{RootPolled, RunToken, TaskRef, WakeRef, any_waker, other_waker};

pin_project! {
    /// A task's future with the waker that it is polled with: one allocation, one pointer to move.
    pub(crate) struct Body<F: ?Sized> {
        waker: Waker,
        #[pin]
        pub(crate) future: F,
    }
}

pub(crate) type TaskFuture = Pin<Box<Body<dyn Future<Output = ()>>>>;

/// What a task executes. Its waker comes when it has a slot.
pub(crate) fn task_future(future: impl Future<Output = ()> + 'static) -> TaskFuture {
    Box::pin(Body { waker: Waker::noop().clone(), future })
}

/// Whose code runs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Current {
    pub slot: u32,
    pub generation: u32,
    pub task: TaskId,
    pub node: NodeId,
    pub boot: u32,
    /// Whether what it does counts: its node is up and in the same boot. Destructors of a crashed node and of an ended run
    /// don't count.
    live: bool,
    /// Whether its node has crashed in the midst of this poll, at a point of its code: what it awaits from here on never comes. If something did, if only an error, code that tries again until
    /// it succeeds would never come to the end of the poll.
    overtaken: bool,
}

/// An operation of a workload that a task is in the midst of.
pub(crate) struct Operation {
    /// Under this name the task sends, spawns and binds.
    id: TaskId,
    /// Its number in the workload.
    pub number: u64,
    /// What it has spawned so far: hashes of names, and ordinals.
    children: Vec<(u64, u32)>,
}

impl Operation {
    /// The parent of what is spawned, and what it has spawned before.
    fn spawning(&mut self) -> (TaskId, &mut Vec<(u64, u32)>) {
        (self.id, &mut self.children)
    }
}

const NOBODY: Current = Current {
    slot: u32::MAX,
    generation: 0,
    task: TaskId::NONE,
    node: NodeId::WORLD,
    boot: 0,
    live: false,
    overtaken: false,
};

/// What an escape does to its run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Gravity {
    /// It is only listed: when it happens depends on how busy the machine is, so it must not be in the digest.
    Note,
    /// It is an event.
    Event,
    /// It is an event and fails the run, which is no evidence any more.
    Failure,
}

/// What wakes a host whose executor has something to do that nobody told us of: the fingerprint of that wake, beside those of timers (1), the engine (2) and
/// processors (3).
const BY_ITS_EXECUTOR: u64 = 4;

/// So many escapes are named in a run: a loop of sleeps within one poll must not fill the memory.
const NAMED_ESCAPES: usize = 64;

/// What is to be called or dropped when the world isn't borrowed.
#[derive(Default)]
pub(crate) struct Outbox {
    unsettled: bool,
    wakes: Vec<Waker>,
    wakers_to_drop: Vec<Waker>,
    condemned: Vec<Condemned>,
    crashed: Vec<NodeId>,
}

impl Outbox {
    fn wake(&mut self, waker: Waker) {
        self.unsettled = true;
        self.wakes.push(waker);
    }

    fn drop_waker(&mut self, waker: Waker) {
        self.unsettled = true;
        self.wakers_to_drop.push(waker);
    }

    fn condemn(&mut self, condemned: Condemned) {
        self.unsettled = true;
        self.condemned.push(condemned);
    }

    /// A node has crashed whose tasks are condemned: its sockets go after those.
    fn crashed(&mut self, id: NodeId) {
        self.unsettled = true;
        self.crashed.push(id);
    }

    /// Whether there is nothing to do.
    pub(crate) fn is_empty(&self) -> bool {
        !self.unsettled
    }

    /// Calls and drops everything. What room there is stays.
    pub(crate) fn settle(&mut self) {
        let Outbox { unsettled, wakes, wakers_to_drop, condemned, crashed } = self;
        *unsettled = false;
        if !wakers_to_drop.is_empty() {
            call(|| wakers_to_drop.clear());
        }
        for waker in wakes.drain(..) {
            call(move || waker.wake());
        }
        for task in condemned.drain(..) {
            task.drop_now();
        }
        for node in crashed.drain(..) {
            crate::node_local::drop_all_of(node);
            with("the run loop", |kernel| kernel.finish_crash(node));
        }
    }
}

/// From so many tasks on, what they need doesn't stay in a processor's caches.
const FORESIGHT_TASKS: usize = 500;

/// Reads ahead what messages will touch when they come.
struct Foresight<'k> {
    network: &'k Network,
    timers: &'k Timers,
    tasks: &'k [TaskSlot],
}

impl crate::agenda::Foresight for Foresight<'_> {
    /// One thing leads to the next: what is read here was asked for when more were before it.
    #[inline]
    fn foresee(&self, due: Due, among: usize) {
        let Due::Delivery { message } = due else { return };
        match among {
            65.. => self.network.read_message_ahead(message),
            33.. => self.network.read_flow_ahead(message),
            17.. => self.network.read_socket_ahead(message, self.timers),
            _ => {
                let Some(task) = self.network.waiting_for(message, self.timers) else { return };
                let Some(slot) = self.tasks.get(task.slot as usize) else { return };
                if among > 8 {
                    read_ahead(slot);
                } else if let Some(future) = &slot.future {
                    read_ahead(&future.waker);
                }
            }
        }
    }
}

/// What the run loop does next.
pub(crate) enum Step {
    Poll(Polling),
    Pause(Pause),
}

/// Why no task is polled next.
pub(crate) enum Pause {
    /// Events are waiting to be seen, or something to be called.
    Settle,
    /// The run is over.
    End(squall_trace::EndReason),
}

/// With which generation the slots of a new run begin: an even number, another one for each run. A handle that a program has
/// kept from another run (a sleep, an endpoint, an abort handle) so finds nothing here, in place of what has its slot now.
///
/// Nothing is decided by it: generations are only ever compared.
fn first_generation() -> u32 {
    static RUNS: AtomicU32 = AtomicU32::new(0);
    // Far apart: what one run counts up never reaches another's.
    RUNS.fetch_add(1, Ordering::Relaxed).wrapping_mul(2 * 0x4F1B_BCDD)
}

/// The state of one run.
pub(crate) struct Kernel {
    pub token: Arc<RunToken>,
    /// Of every slot; see [`first_generation`].
    pub(crate) first_generation: u32,
    pub now_ns: u64,
    pub agenda: Agenda,
    pub decisions: Decisions,
    pub journal: Journal,
    tasks: Vec<TaskSlot>,
    /// By the same slots.
    details: Vec<TaskDetails>,
    free_tasks: Vec<u32>,
    pub nodes: Vec<Node>,
    timers: Timers,
    pub network: Network,
    pub disks: Disks,
    pub script: Script,
    pub outbox: Outbox,
    /// The tasks of nodes that stand still, by slot.
    put_aside: BTreeMap<u32, TaskFuture>,
    /// What makes nodes stand still.
    pauses: BTreeMap<NodeId, Vec<u64>>,
    /// How many pauses, slownesses and changes of clocks there were: they are known by that number.
    pub changes_begun: u64,
    /// Crashes that come where a node passes a point of its code.
    pub crash_points: Vec<CrashPoint>,
    /// Whether the names of methods are wanted, by readers or by rules.
    pub wants_methods: bool,
    /// How many nodes may be down at once, say.
    pub budgets: Vec<crate::budget::Settled>,
    /// If the run is one of a swarm: what it does with each class of faults, and with those that the world has.
    pub swarm: Option<Swarm>,
    pub swarmed: Vec<Swarmed>,
    /// What asked by `buggify!`.
    pub buggify: Places,
    /// What asked by `select!` and `join!`.
    pub choices: Choices,
    pub knobs: Knobs,
    /// What `node_local!` declares.
    pub node_locals: NodeLocals,
    /// What the world says that can't be, found when the program asked for it.
    pub misuse: Option<String>,
    /// Of slow nodes.
    processors: BTreeMap<NodeId, Processor>,
    /// The tasks that wait for a processor before each poll, by slot, with their generations.
    slowed: BTreeMap<u32, u32>,
    /// Those that have had their time and are polled now.
    served: Vec<TaskRef>,
    /// Of nodes for which something has ever been wrong with it.
    pub clocks: BTreeMap<NodeId, NodeClock>,
    /// The tasks that host another executor, in the order in which they began to.
    pub(crate) hosts: Vec<(TaskRef, Rc<Hosting>)>,
    /// Whether one of them has had threads in lock step: most have none, and to look at each before each instant takes a quarter of the time of two hundred.
    pub(crate) hosts_have_threads: bool,
    pub current: Current,
    /// What makes of the running task's slot the number by which who polls now waits: see [`RootPolled`].
    waits_as: u32,
    /// Whether the running task has panicked in this poll.
    pub current_panicked: bool,
    pub limits: Limits,
    pub end_at_ns: Option<u64>,
    /// What tasks with a workload are in the midst of.
    pub operations: std::collections::BTreeMap<TaskId, Operation>,
    clients_left: usize,
    pub has_clients: bool,
    pub has_control: bool,
    pub failure: Option<Failure>,
    /// Whether the loop must look whether the run goes on: a failure, a client that returned, a crash, a limit.
    attention: bool,
    /// No instant after this one happens.
    last_ns: u64,
    /// Of the plan; later than any time if it has none.
    horizon_ns: u64,
    application_key: RunKey,
    /// Entropy drawn where no task runs.
    entropy_drawn: u64,
    pub escapes: Vec<String>,
    /// By whom and what: see [`Kernel::escaped`].
    escaped: Vec<(TaskId, Box<str>)>,
    /// How much time blocking calls were to last that returned at once. Only the clocks that programs read show it, and
    /// only up to the end of the poll: what blocks fails its run.
    pub skipped_ns: u64,
    /// Faults of the script that were asked for and couldn't happen.
    pub unreached_faults: Vec<UnreachedFault>,
    /// How often the run came by the marks of each goal.
    pub reached: std::collections::BTreeMap<&'static str, u64>,
    /// The last fact of each topic by node, for control tasks.
    pub published: std::collections::BTreeMap<String, Vec<(NodeId, Rc<str>)>>,
    /// Whether clients must get on after the heal, whether it has come or not.
    demands_progress: bool,
    /// The heal, as long as it is still to come.
    pending_heal: Option<Heal>,
    after_the_storm: Option<AfterTheStorm>,
    /// Up to when properties ask for something that is to come after the heal.
    asked_until_ns: Option<u64>,
    /// How often programs drew something, and messages their weather.
    pub drawn: u64,
    /// How often programs went by what their clocks show.
    pub clock_reads: u64,
    pub clock: crate::world::ClockSettings,
    pub beat: Arc<crate::run::Heartbeat>,
}

impl Kernel {
    pub(crate) fn new(
        plan: &Plan,
        decisions: Decisions,
        journal: Journal,
        network: Network,
        disks: Disks,
        settings: crate::world::RunSettings,
        beat: Arc<crate::run::Heartbeat>,
    ) -> Kernel {
        let first_generation = first_generation();
        let horizon_ns = plan.horizon_ns.unwrap_or(u64::MAX);
        let wants_methods = journal.wants_names();
        Kernel {
            token: Arc::new(RunToken::default()),
            first_generation,
            now_ns: 0,
            agenda: Agenda::default(),
            decisions,
            journal,
            tasks: Vec::new(),
            details: Vec::new(),
            free_tasks: Vec::new(),
            nodes: Vec::new(),
            timers: Timers::new(first_generation),
            network,
            disks,
            script: Script::default(),
            outbox: Outbox::default(),
            put_aside: BTreeMap::new(),
            pauses: BTreeMap::new(),
            changes_begun: 0,
            crash_points: Vec::new(),
            wants_methods,
            budgets: Vec::new(),
            swarm: None,
            swarmed: Vec::new(),
            buggify: Places::default(),
            choices: Choices::default(),
            knobs: Knobs::default(),
            node_locals: NodeLocals::default(),
            misuse: None,
            processors: BTreeMap::new(),
            slowed: BTreeMap::new(),
            served: Vec::new(),
            clocks: BTreeMap::new(),
            hosts: Vec::new(),
            hosts_have_threads: false,
            current: NOBODY,
            waits_as: 0,
            current_panicked: false,
            limits: settings.limits,
            end_at_ns: settings.end_at_ns,
            operations: std::collections::BTreeMap::new(),
            clients_left: 0,
            has_clients: false,
            has_control: false,
            failure: None,
            attention: true,
            last_ns: settings.end_at_ns.unwrap_or(u64::MAX).min(settings.limits.virtual_ns).min(horizon_ns),
            horizon_ns,
            application_key: RunKey::derive(plan.seed, Purpose::Application, 0),
            entropy_drawn: 0,
            escapes: Vec::new(),
            escaped: Vec::new(),
            skipped_ns: 0,
            unreached_faults: Vec::new(),
            reached: std::collections::BTreeMap::new(),
            published: std::collections::BTreeMap::new(),
            demands_progress: false,
            pending_heal: None,
            after_the_storm: None,
            asked_until_ns: None,
            drawn: 0,
            clock_reads: 0,
            clock: settings.clock,
            beat,
        }
    }

    /// Makes room for that many nodes with a task, a socket and a peer each: what usual worlds need, so that no table grows
    /// while they begin.
    pub(crate) fn make_room(&mut self, nodes: usize) {
        self.nodes.reserve_exact(nodes);
        self.tasks.reserve_exact(nodes);
        self.details.reserve_exact(nodes);
        self.free_tasks.reserve(nodes);
        self.agenda.make_room(nodes);
        self.network.make_room(nodes);
    }

    // --- events -------------------------------------------------------------------------------------------------------

    /// An event of whoever is running.
    #[inline]
    pub(crate) fn emit(&mut self, kind: EventKind<'_>) {
        self.journal.emit(self.now_ns, self.current.node, self.current.task, kind);
    }

    /// An event on a node, in no task.
    #[inline]
    pub(crate) fn emit_on(&mut self, node: NodeId, kind: EventKind<'_>) {
        self.journal.emit(self.now_ns, node, TaskId::NONE, kind);
    }

    /// A property is broken by whoever is running. The first failure stays.
    pub(crate) fn fail(&mut self, property: &str, message: String) {
        let (node, task) = (self.current.node, self.current.task);
        self.fail_at(
            property,
            message,
            (node != NodeId::WORLD).then_some(node),
            (task != TaskId::NONE).then_some(task),
        );
    }

    pub(crate) fn fail_at(&mut self, property: &str, message: String, node: Option<NodeId>, task: Option<TaskId>) {
        self.attention = true;
        if self.failure.is_none() {
            self.failure = Some(Failure {
                property: property.to_string(),
                message,
                step: self.journal.step(),
                at_ns: self.now_ns,
                node,
                task,
            });
        }
    }

    /// The world says something that can't be, as is seen only now. The first counts, and the run ends.
    pub(crate) fn misused(&mut self, message: String) {
        self.attention = true;
        self.misuse.get_or_insert(message);
    }

    /// A property was broken by an event.
    pub(crate) fn property_broken(&mut self, property: &str, message: String, event: &OwnedEvent) {
        self.attention = true;
        self.failure.get_or_insert_with(|| Failure {
            property: property.to_string(),
            message,
            step: event.step,
            at_ns: event.at_ns,
            node: (event.node != NodeId::WORLD).then_some(event.node),
            task: (event.task != TaskId::NONE).then_some(event.task),
        });
    }

    /// Whether what the running code does counts.
    #[inline]
    pub(crate) fn is_live(&self) -> bool {
        self.current.live
    }

    /// Whether whatever the running code awaits is never to come: see [`Current`].
    #[inline]
    pub(crate) fn waits_for_ever(&self) -> bool {
        self.current.overtaken
    }

    // --- operations ---------------------------------------------------------------------------------------------------

    /// The generator of an operation, whether it happens or not.
    pub(crate) fn operation_rng(&self, workload: TaskId, number: u64) -> rand_chacha::ChaCha8Rng {
        use rand_core::SeedableRng;
        let mut seed = [0u8; 32];
        for (block, half) in seed.chunks_mut(16).enumerate() {
            let [low, high] = self.application_key.words(FlowId(workload.0), number, block as u16);
            half[..8].copy_from_slice(&low.to_le_bytes());
            half[8..].copy_from_slice(&high.to_le_bytes());
        }
        rand_chacha::ChaCha8Rng::from_seed(seed)
    }

    /// The running task is in the midst of an operation, if that happens: each is a decision with a flow of its own.
    pub(crate) fn begin_operation(&mut self, workload: TaskId, number: u64, text: &str) -> Option<TaskId> {
        const TEXT_CHARACTERS_MAX: usize = 200;
        let flow = FlowId(squall_trace::id::hash_words([workload.0, number, 0, 0]));
        let node = self.current.node;
        self.journal.name_flow(flow, || {
            let shown: String = text.chars().take(TEXT_CHARACTERS_MAX).collect();
            let more = if shown.len() < text.len() { "…" } else { "" };
            FlowInfo {
                from: node,
                to: node,
                role: FlowRole::Operation { what: format!("operation {number} ({shown}{more})") },
                operation: None,
            }
        });
        let site = Site { kind: SiteKind::Operation, flow, number: 1 };
        if self.decisions.decide(site, self.now_ns, 0, 1, || xxh3_64(text.as_bytes())) == 0 {
            return None;
        }
        let task = self.current.task;
        self.operations.insert(task, Operation { id: TaskId(flow.0), number, children: Vec::new() });
        Some(task)
    }

    pub(crate) fn end_operation(&mut self, task: TaskId) {
        self.operations.remove(&task);
    }

    /// Under whose name the running task sends: its own, or that of the operation which it is in the midst of.
    #[inline]
    pub(crate) fn sender(&self) -> TaskId {
        if self.operations.is_empty() { self.current.task } else { self.sender_in_operation() }
    }

    /// Likewise, where that isn't the running task but another name.
    pub(crate) fn sender_unless_in_operation(&self, name: TaskId) -> TaskId {
        self.operations.get(&self.current.task).map_or(name, |operation| operation.id)
    }

    #[cold]
    fn sender_in_operation(&self) -> TaskId {
        self.operations.get(&self.current.task).map_or(self.current.task, |operation| operation.id)
    }

    /// The last fact of each node and topic.
    pub(crate) fn remember_published(&mut self, topic: &str, value: &str) {
        // Only control tasks ask, and who looks for a state that comes back.
        if !self.has_control && !self.demands_progress {
            return;
        }
        let node = self.current.node;
        let value: Rc<str> = value.into();
        match self.published.get_mut(topic) {
            Some(facts) => match facts.iter_mut().find(|(id, _)| *id == node) {
                Some(fact) => fact.1 = value,
                None => facts.push((node, value)),
            },
            None => {
                self.published.insert(topic.to_string(), vec![(node, value)]);
            }
        }
    }

    /// What a program's clock shows, to a program that may go by it.
    pub(crate) fn read_clock(&mut self) -> u64 {
        self.clock_reads += 1;
        self.shown_ns()
    }

    /// What libc's monotonic clock shows to the running node.
    #[inline]
    pub(crate) fn read_monotonic_clock(&mut self) -> u64 {
        self.clock.monotonic_start_ns.saturating_add(self.read_clock())
    }

    /// Something that a run can't make deterministic. Each is named once a task, and of very many the first. If the run fails by it, `remedy` is said as well.
    pub(crate) fn escaped(&mut self, what: &str, gravity: Gravity, remedy: &str) {
        if gravity < Gravity::Failure && crate::log::is_writing() {
            let line = format!("{}: {what}, for a line of the log", self.current_label());
            if self.escapes.len() < NAMED_ESCAPES && !self.escapes.contains(&line) {
                self.escapes.push(line);
            }
            return;
        }
        let task = self.current.task;
        let known = self.escaped.iter().any(|(who, known)| *who == task && **known == *what);
        // What makes the run fail is told however much was named before it.
        let decides = gravity == Gravity::Failure && self.failure.is_none();
        if known || (self.escaped.len() >= NAMED_ESCAPES && !decides) {
            return;
        }
        self.escaped.push((task, what.into()));
        let line = format!("{}: {what}", self.current_label());
        // What destructors of a crashed node or after the run's end do is no event.
        if gravity >= Gravity::Event && self.is_live() {
            self.emit(EventKind::Escape { what: what.into() });
        }
        if gravity == Gravity::Failure {
            self.fail("hermetic", format!("{line}; what follows from it can't be repeated from the seed{remedy}"));
        }
        if !self.escapes.contains(&line) {
            self.escapes.push(line);
        }
    }

    // --- the loop's part ----------------------------------------------------------------------------------------------

    /// Does what can be done without calling user code, up to the next thing that must be called, or the end.
    // In line in the run loop, as is `begin_poll`: what they give stays in registers.
    #[inline(always)]
    pub(crate) fn step(&mut self) -> Step {
        loop {
            let task = match self.next_to_poll() {
                Ok(task) => task,
                Err(pause) => return Step::Pause(pause),
            };
            if let Some(polling) = self.begin_poll(task) {
                return Step::Poll(polling);
            }
        }
    }

    /// The task that is polled next.
    ///
    /// # Errors
    /// What is to be done instead.
    fn next_to_poll(&mut self) -> Result<TaskRef, Pause> {
        loop {
            if self.needs_attention()
                && let Some(pause) = self.attend()
            {
                return Err(pause);
            }
            let due = match self.agenda.take_due() {
                Some(due) => due,
                None => match self.choose() {
                    Some(Now::Delivery { message }) => {
                        if let Some(task) = self.deliver(message) {
                            self.agenda.push_ready(Now::Poll { slot: task.slot, generation: task.generation });
                        }
                        continue;
                    }
                    Some(Now::Poll { slot, generation }) => return Ok(TaskRef { slot, generation }),
                    // Nothing is left to do now: on to the next instant.
                    None => {
                        if !self.hosts.is_empty() && self.wake_hosts() {
                            continue;
                        }
                        if self.after_the_storm.is_some() {
                            self.after_instant();
                            if self.attention {
                                continue;
                            }
                        }
                        let timers = &self.timers;
                        let is_live = |slot, generation| timers.is_live(slot, generation);
                        let foresight = Foresight { network: &self.network, timers, tasks: &self.tasks };
                        let foresight = (self.tasks.len() > FORESIGHT_TASKS).then_some(&foresight);
                        match self.agenda.advance(self.last_ns, is_live, foresight) {
                            Ok((at_ns, due)) => {
                                self.now_ns = at_ns;
                                due
                            }
                            Err(next) => return Err(Pause::End(self.end_of_time(next))),
                        }
                    }
                },
            };
            // The usual case: a message is all that happens at this instant, and wakes one task, which then has no company
            // either. There is no order to decide.
            if let Due::Delivery { message } = due
                && self.agenda.is_alone()
            {
                self.decisions.came_alone();
                if let Some(task) = self.deliver(message) {
                    self.decisions.came_alone();
                    return Ok(task);
                }
            } else {
                self.happen(due);
            }
        }
    }

    /// Whether something has happened that the loop must look at before it goes on: one test in place of six.
    #[inline]
    fn needs_attention(&self) -> bool {
        self.attention || self.outbox.unsettled || self.journal.has_passing() || self.token.is_raised()
    }

    #[cold]
    fn attend(&mut self) -> Option<Pause> {
        self.attention = false;
        if self.outbox.unsettled || self.journal.has_passing() {
            self.attention = true;
            return Some(Pause::Settle);
        }
        if self.token.is_raised() {
            self.fail_by_foreign_wake();
        }
        if self.failure.is_some() || self.misuse.is_some() {
            return Some(Pause::End(squall_trace::EndReason::Failed));
        }
        let may_end = self.end_at_ns.is_none() && self.asked_until_ns.is_none();
        if may_end && self.has_clients && self.clients_are_through() {
            use squall_trace::EndReason::{ClientsDown, ClientsReturned, Failed};
            self.judge_who_is_down();
            if self.failure.is_some() {
                return Some(Pause::End(Failed));
            }
            return Some(Pause::End(if self.clients_left == 0 { ClientsReturned } else { ClientsDown }));
        }
        if self.journal.step() >= self.limits.events {
            return Some(Pause::End(squall_trace::EndReason::EventLimit));
        }
        None
    }

    /// Wakes the hosts whose executors have something to do of which nobody told us. Whether there was one.
    #[inline(never)]
    fn wake_hosts(&mut self) -> bool {
        let has_threads = self.hosts_have_threads;
        self.hosts.iter().any(|(_, hosting)| hosting.has_unheard(has_threads)) && self.wake_unheard_hosts()
    }

    #[cold]
    fn wake_unheard_hosts(&mut self) -> bool {
        for place in 0..self.hosts.len() {
            let (task, hosting) = &self.hosts[place];
            if hosting.has_unheard(self.hosts_have_threads) {
                hosting.tell();
                let task = *task;
                self.wake(WakeRef::Task(task), BY_ITS_EXECUTOR);
            }
        }
        true
    }

    /// What was scheduled for now happens, or becomes ready.
    #[inline]
    fn happen(&mut self, due: Due) {
        match due {
            Due::Delivery { message } => self.agenda.push_ready(Now::Delivery { message }),
            Due::Timer { slot, generation } => self.timer_due(slot, generation),
            Due::Act { index } => self.act(index),
        }
    }

    /// The ready entry that comes next.
    #[inline]
    fn choose(&mut self) -> Option<Now> {
        let (network, tasks) = (&self.network, &self.tasks);
        self.decisions.choose(&mut self.agenda, self.now_ns, |now| identify(now, network, tasks))
    }

    /// Nothing is left to happen up to the last instant of the run.
    #[cold]
    fn end_of_time(&mut self, next: Option<u64>) -> squall_trace::EndReason {
        use squall_trace::EndReason;
        if self.token.is_raised() {
            self.fail_by_foreign_wake();
            return EndReason::Failed;
        }
        // Whoever draws the horizon asks what is so by then.
        if self.horizon_ns == self.last_ns {
            self.now_ns = self.last_ns;
            return EndReason::EndTime;
        }
        if let Some(end_ns) = self.end_at_ns.filter(|end_ns| *end_ns <= self.limits.virtual_ns) {
            self.now_ns = end_ns.max(self.now_ns);
            return EndReason::EndTime;
        }
        if next.is_some() {
            self.now_ns = self.last_ns;
            return EndReason::TimeLimit;
        }
        if self.clients_waited_for() { EndReason::Deadlock } else { EndReason::Quiet }
    }

    /// Takes what is to be called or dropped, for an empty one.
    pub(crate) fn swap_outbox(&mut self, outbox: &mut Outbox) {
        debug_assert!(outbox.is_empty(), "whoever took an outbox has settled it");
        std::mem::swap(&mut self.outbox, outbox);
    }

    fn act(&mut self, index: u32) {
        let act = self.script.acts[index as usize].clone();
        self.perform(act);
    }

    /// Schedules an act of the script.
    pub(crate) fn schedule_act(&mut self, at_ns: u64, act: Act) {
        self.script.acts.push(act);
        let index = (self.script.acts.len() - 1) as u32;
        self.agenda.schedule(at_ns, Due::Act { index });
    }
}

impl std::fmt::Debug for Kernel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Kernel").field("now_ns", &self.now_ns).finish_non_exhaustive()
    }
}
