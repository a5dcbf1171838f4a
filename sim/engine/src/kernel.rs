//! The state of one run, and the only door to it.
//!
//! A run's state lives in a thread-local. Everything that programs call goes through [`with`], which borrows it for the
//! length of one operation and never while user code runs: polls, destructors, wakes of foreign wakers, properties and
//! init functions are all called between borrows. What an operation wants to have called or dropped it leaves in the
//! [`Outbox`].

use std::cell::RefCell;
use std::future::Future;
use std::panic::Location;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Wake, Waker};

use squall_trace::draw::{Purpose, RunKey};
use squall_trace::{
    EventKind, Failure, FlowId, FlowInfo, FlowRole, NodeId, Plan, Site, SiteKind, TaskEnd, TaskId, TaskInfo,
};
use xxhash_rust::xxh3::xxh3_64;

use crate::agenda::{Agenda, Due, Now, Waiting};
use crate::decisions::Decisions;
use crate::fault::{Act, Script};
use crate::journal::Journal;
use crate::network::Network;
use crate::world::{Init, Limits, OnPanic};

pub(crate) type TaskFuture = Pin<Box<dyn Future<Output = ()>>>;

thread_local! {
    static KERNEL: RefCell<Option<Box<Kernel>>> = const { RefCell::new(None) };
}

/// Runs `operation` on this thread's run.
///
/// # Panics
/// If no run is on: `what` was called from outside.
#[inline]
#[track_caller]
pub(crate) fn with<R>(what: &str, operation: impl FnOnce(&mut Kernel) -> R) -> R {
    match try_with(operation) {
        Some(result) => result,
        None => outside_of_a_run(what),
    }
}

#[cold]
#[track_caller]
fn outside_of_a_run(what: &str) -> ! {
    panic!(
        "{what} was called outside of a run: only what a world's nodes, clients and control tasks execute can call it"
    );
}

/// Runs `operation` on this thread's run, if one is on.
#[inline]
pub(crate) fn try_with<R>(operation: impl FnOnce(&mut Kernel) -> R) -> Option<R> {
    // The thread-local may be gone already: a destructor at the end of a thread asks.
    KERNEL.try_with(|kernel| kernel.borrow_mut().as_deref_mut().map(operation)).ok().flatten()
}

/// Puts a run on this thread. The guard takes it off again.
pub(crate) fn install(kernel: Box<Kernel>) -> Installed {
    KERNEL.with(|slot| {
        let previous = slot.borrow_mut().replace(kernel);
        assert!(previous.is_none(), "a run was started inside of another");
    });
    Installed
}

/// See [`install`].
pub(crate) struct Installed;

impl Installed {
    /// Takes the run off the thread.
    pub(crate) fn take(self) -> Box<Kernel> {
        KERNEL.with(|slot| slot.borrow_mut().take()).expect("installed by `install`")
    }
}

impl Drop for Installed {
    fn drop(&mut self) {
        // Only after an unwind out of the run loop: `take` has left nothing otherwise.
        let _left = KERNEL.try_with(|slot| slot.borrow_mut().take());
    }
}

/// Identifies a run to wakers on any thread.
#[derive(Debug, Default)]
pub(crate) struct RunToken {
    raised: AtomicBool,
    foreign_wake: Mutex<Option<String>>,
}

impl RunToken {
    fn raise(&self, message: String) {
        let mut slot = self.foreign_wake.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        slot.get_or_insert(message);
        self.raised.store(true, Ordering::Release);
    }

    fn raised(&self) -> Option<String> {
        if !self.raised.load(Ordering::Acquire) {
            return None;
        }
        self.foreign_wake.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone()
    }
}

/// The waker of a task. It names run, slot and generation, so that it can never wake another task that came into the slot
/// later, nor one of another run.
#[derive(Debug)]
struct TaskWaker {
    token: Arc<RunToken>,
    slot: u32,
    generation: u32,
}

impl Wake for TaskWaker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        let woken_here = try_with(|kernel| {
            let ours = Arc::ptr_eq(&kernel.token, &self.token);
            if ours {
                let cause = kernel.current.task.0;
                kernel.wake_task(TaskRef { slot: self.slot, generation: self.generation }, cause);
            }
            ours
        });
        if woken_here != Some(true) {
            let thread = std::thread::current();
            self.token.raise(format!(
                "a task was woken from outside of its run, by thread {:?}: what other threads do and when they do it can't \
                 be repeated; keep the work on the run's thread (squall::task::spawn, spawn_blocking)",
                thread.name().unwrap_or("without a name")
            ));
        }
    }
}

/// A task, by slot and generation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TaskRef {
    pub slot: u32,
    pub generation: u32,
}

/// Whom to wake. Tasks that wait with their own waker are woken by number: no reference is counted.
#[derive(Debug)]
pub(crate) enum WakeRef {
    Task(TaskRef),
    Foreign(Waker),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum TaskState {
    /// Waits to be woken.
    Idle,
    /// Lies among the ready.
    Scheduled,
    /// Is being polled.
    Running,
    /// Is being polled and was woken meanwhile.
    RunningWoken,
    /// Is being polled, and was aborted or went down with its node: its end is in the journal, and it isn't polled again.
    Ending,
    /// Has ended. Its slot stays its own until its destructors are through.
    Dropping,
}

pub(crate) struct TaskSlot {
    generation: u32,
    state: TaskState,
    future: Option<TaskFuture>,
    waker: Option<Waker>,
    pub id: TaskId,
    pub node: NodeId,
    pub boot: u32,
    wakes: u64,
    /// How many children each name has.
    children: Vec<(u64, u32)>,
    name: TaskName,
    ordinal: u32,
    spawned_at: Option<&'static Location<'static>>,
    /// For livelocks: polls at `polled_at_ns`.
    polls_in_instant: u32,
    polled_at_ns: u64,
    entropy_drawn: u64,
    rng: Option<Box<rand_chacha::ChaCha8Rng>>,
    /// The next number of each flow that this task sends on is kept by the network; calls count here.
    pub is_root: bool,
}

/// What a task is called.
#[derive(Clone, Debug)]
pub(crate) enum TaskName {
    /// By its spawner.
    Given(Rc<str>),
    /// By the type of its future: `payments::bank::serve::{{closure}}`.
    OfType(&'static str),
    /// By the call that it serves.
    Serving(&'static str),
    /// A node's root.
    Root,
}

impl TaskName {
    fn short(&self) -> String {
        match self {
            TaskName::Given(name) => name.to_string(),
            TaskName::OfType(name) => short_type_name(name),
            TaskName::Serving(name) => format!("serving {}", short_type_name(name)),
            TaskName::Root => "root".to_string(),
        }
    }
}

/// `payments::bank::serve<…>::{{closure}}` as `bank::serve`.
pub(crate) fn short_type_name(full: &str) -> String {
    let mut plain = String::with_capacity(full.len());
    let mut depth = 0u32;
    for character in full.chars() {
        match character {
            '<' => depth += 1,
            '>' => depth = depth.saturating_sub(1),
            other if depth == 0 => plain.push(other),
            _ => {}
        }
    }
    let parts: Vec<&str> = plain.split("::").filter(|part| !part.is_empty() && !part.starts_with('{')).collect();
    let from = parts.len().saturating_sub(2);
    let short = parts[from..].join("::");
    if short.is_empty() { full.to_string() } else { short }
}

pub(crate) struct Node {
    pub name: Rc<str>,
    /// Of the name: addresses of decisions are made of it, never of the node's number.
    pub name_hash: u64,
    pub address: std::net::IpAddr,
    pub client: bool,
    pub control: bool,
    pub boot: u32,
    pub up: bool,
    pub root_returned: bool,
    pub restart_pending: bool,
    pub init: Init,
    pub on_panic: OnPanic,
    /// Bound ports and their sockets.
    pub ports: smallvec::SmallVec<[(u16, u32); 2]>,
}

struct Timer {
    generation: u32,
    wake: Option<WakeRef>,
    fired: bool,
}

/// A timer, by slot and generation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TimerRef {
    slot: u32,
    generation: u32,
}

/// Whose code runs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Current {
    pub slot: u32,
    pub generation: u32,
    pub task: TaskId,
    pub node: NodeId,
    pub boot: u32,
    /// The address of the task's waker, to know it again.
    waker: usize,
}

const NOBODY: Current =
    Current { slot: u32::MAX, generation: 0, task: TaskId::NONE, node: NodeId::WORLD, boot: 0, waker: 0 };

/// What is to be called or dropped when the world isn't borrowed.
#[derive(Default)]
pub(crate) struct Outbox {
    pub wakes: Vec<Waker>,
    pub wakers_to_drop: Vec<Waker>,
    pub condemned: Vec<Condemned>,
    /// Crashed nodes whose tasks are in `condemned`: their sockets go after those.
    pub crashed: Vec<NodeId>,
}

impl Outbox {
    #[inline]
    fn is_empty(&self) -> bool {
        self.wakes.is_empty() && self.wakers_to_drop.is_empty() && self.condemned.is_empty() && self.crashed.is_empty()
    }
}

/// A task that is to be dropped.
pub(crate) struct Condemned {
    /// Held to be dropped.
    _future: TaskFuture,
    current: Current,
    end: TaskEnd,
}

/// What the run loop does next.
pub(crate) enum Step {
    Poll(Polling),
    /// Events are waiting to be seen, or something to be called.
    Settle,
    /// The run is over.
    End(squall_trace::EndReason),
}

/// A task taken out to be polled.
pub(crate) struct Polling {
    pub future: TaskFuture,
    pub waker: Waker,
    task: TaskRef,
}

/// The state of one run.
pub(crate) struct Kernel {
    pub token: Arc<RunToken>,
    pub now_ns: u64,
    pub agenda: Agenda,
    pub decisions: Decisions,
    pub journal: Journal,
    tasks: Vec<TaskSlot>,
    free_tasks: Vec<u32>,
    pub nodes: Vec<Node>,
    timers: Vec<Timer>,
    free_timers: Vec<u32>,
    pub network: Network,
    pub script: Script,
    pub outbox: Outbox,
    pub current: Current,
    /// Whether the running task has panicked in this poll.
    pub current_panicked: bool,
    pub limits: Limits,
    pub end_at_ns: Option<u64>,
    clients_left: usize,
    pub has_clients: bool,
    pub failure: Option<Failure>,
    pub open: Option<String>,
    application_key: RunKey,
    /// Entropy drawn where no task runs.
    entropy_drawn: u64,
    pub escapes: Vec<String>,
    /// The last fact of each topic by node, for control tasks.
    pub published: std::collections::BTreeMap<String, Vec<(NodeId, Rc<str>)>>,
    pub clock: crate::world::ClockSettings,
    pub beat: Arc<crate::run::Heartbeat>,
}

impl Kernel {
    pub(crate) fn new(
        plan: &Plan,
        decisions: Decisions,
        journal: Journal,
        network: Network,
        settings: crate::world::RunSettings,
        beat: Arc<crate::run::Heartbeat>,
    ) -> Kernel {
        Kernel {
            token: Arc::new(RunToken::default()),
            now_ns: 0,
            agenda: Agenda::default(),
            decisions,
            journal,
            tasks: Vec::new(),
            free_tasks: Vec::new(),
            nodes: Vec::new(),
            timers: Vec::new(),
            free_timers: Vec::new(),
            network,
            script: Script::default(),
            outbox: Outbox::default(),
            current: NOBODY,
            current_panicked: false,
            limits: settings.limits,
            end_at_ns: settings.end_at_ns,
            clients_left: 0,
            has_clients: false,
            failure: None,
            open: None,
            application_key: RunKey::derive(plan.seed, Purpose::Application, 0),
            entropy_drawn: 0,
            escapes: Vec::new(),
            published: std::collections::BTreeMap::new(),
            clock: settings.clock,
            beat,
        }
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

    // --- tasks --------------------------------------------------------------------------------------------------------

    /// Whether the code that runs still counts: its node is up and in the same boot. Destructors of a crashed node and of
    /// an ended run don't.
    #[inline]
    pub(crate) fn is_live(&self) -> bool {
        match self.nodes.get(self.current.node.index()) {
            Some(node) => node.up && node.boot == self.current.boot,
            None => false,
        }
    }

    /// Spawns a child of the running task. `None` if that doesn't count any more.
    pub(crate) fn spawn_child(
        &mut self,
        name: TaskName,
        path: Option<TaskId>,
        location: &'static Location<'static>,
        future: TaskFuture,
    ) -> Result<TaskRef, TaskFuture> {
        if !self.is_live() {
            return Err(future);
        }
        let (id, ordinal) = match path {
            Some(id) => (id, 0),
            None => self.next_child(&name),
        };
        let (node, boot) = (self.current.node, self.current.boot);
        let task = self.insert_task(id, node, boot, name, ordinal, Some(location), future);
        self.emit(EventKind::Spawn { child: id });
        self.schedule(task, self.current.task.0);
        Ok(task)
    }

    fn next_child(&mut self, name: &TaskName) -> (TaskId, u32) {
        let name_hash = match name {
            TaskName::Given(name) => xxh3_64(name.as_bytes()),
            TaskName::OfType(name) | TaskName::Serving(name) => xxh3_64(name.as_bytes()),
            TaskName::Root => 0,
        };
        let parent = &mut self.tasks[self.current.slot as usize];
        let ordinal = match parent.children.iter_mut().find(|(hash, _)| *hash == name_hash) {
            Some((_, count)) => {
                *count += 1;
                *count
            }
            None => {
                parent.children.push((name_hash, 0));
                0
            }
        };
        (parent.id.child(name_hash, ordinal), ordinal)
    }

    #[allow(clippy::too_many_arguments)]
    fn insert_task(
        &mut self,
        id: TaskId,
        node: NodeId,
        boot: u32,
        name: TaskName,
        ordinal: u32,
        spawned_at: Option<&'static Location<'static>>,
        future: TaskFuture,
    ) -> TaskRef {
        let slot = match self.free_tasks.pop() {
            Some(slot) => slot,
            None => {
                let slot = u32::try_from(self.tasks.len()).expect("fewer than 2^32 tasks at a time");
                self.tasks.push(TaskSlot {
                    generation: 0,
                    state: TaskState::Idle,
                    future: None,
                    waker: None,
                    id,
                    node,
                    boot,
                    wakes: 0,
                    children: Vec::new(),
                    name: TaskName::Root,
                    ordinal: 0,
                    spawned_at: None,
                    polls_in_instant: 0,
                    polled_at_ns: 0,
                    entropy_drawn: 0,
                    rng: None,
                    is_root: false,
                });
                slot
            }
        };
        let entry = &mut self.tasks[slot as usize];
        let generation = entry.generation;
        let is_root = matches!(name, TaskName::Root);
        *entry = TaskSlot {
            generation,
            state: TaskState::Idle,
            future: Some(future),
            waker: Some(Waker::from(Arc::new(TaskWaker { token: Arc::clone(&self.token), slot, generation }))),
            id,
            node,
            boot,
            wakes: 0,
            children: std::mem::take(&mut entry.children),
            name,
            ordinal,
            spawned_at,
            polls_in_instant: 0,
            polled_at_ns: self.now_ns,
            entropy_drawn: 0,
            rng: None,
            is_root,
        };
        entry.children.clear();
        if self.journal.wants_names() {
            let info = self.task_info(slot);
            self.journal.name_task(id, || info);
        }
        TaskRef { slot, generation }
    }

    fn task_info(&self, slot: u32) -> TaskInfo {
        let task = &self.tasks[slot as usize];
        let node = &self.nodes[task.node.index()];
        let mut label = node.name.to_string();
        if task.boot > 0 {
            label.push_str(&format!("#{}", task.boot));
        }
        if !task.is_root {
            label.push('/');
            label.push_str(&task.name.short());
            if task.ordinal > 0 {
                label.push_str(&format!("[{}]", task.ordinal));
            }
        }
        let spawned_at = task.spawned_at.map(|at| format!("{}:{}", at.file(), at.line())).unwrap_or_default();
        TaskInfo { label, node: task.node, spawned_at }
    }

    /// The label of the running task.
    pub(crate) fn current_label(&self) -> String {
        match self.tasks.get(self.current.slot as usize) {
            Some(task) if task.generation == self.current.generation => self.task_info(self.current.slot).label,
            _ => self.journal.names().task(self.current.task).into_owned(),
        }
    }

    fn get_task(&mut self, task: TaskRef) -> Option<&mut TaskSlot> {
        self.tasks.get_mut(task.slot as usize).filter(|slot| slot.generation == task.generation)
    }

    /// Whom to wake when what `context`'s task waits for has come.
    #[inline]
    pub(crate) fn wake_ref(&self, context: &Context<'_>) -> WakeRef {
        if context.waker().data().addr() == self.current.waker {
            WakeRef::Task(TaskRef { slot: self.current.slot, generation: self.current.generation })
        } else {
            WakeRef::Foreign(context.waker().clone())
        }
    }

    /// Wakes. `cause` goes into the fingerprint of the wake's order.
    #[inline]
    pub(crate) fn wake(&mut self, wake: WakeRef, cause: u64) {
        match wake {
            WakeRef::Task(task) => self.wake_task(task, cause),
            WakeRef::Foreign(waker) => self.outbox.wakes.push(waker),
        }
    }

    /// Drops a waker without waking: dropping is user code as well.
    #[inline]
    pub(crate) fn forget(&mut self, wake: Option<WakeRef>) {
        if let Some(WakeRef::Foreign(waker)) = wake {
            self.outbox.wakers_to_drop.push(waker);
        }
    }

    #[inline]
    fn wake_task(&mut self, task: TaskRef, cause: u64) {
        let Some(slot) = self.get_task(task) else { return };
        match slot.state {
            TaskState::Idle => self.schedule(task, cause),
            TaskState::Running => slot.state = TaskState::RunningWoken,
            TaskState::Scheduled | TaskState::RunningWoken | TaskState::Ending | TaskState::Dropping => {}
        }
    }

    #[inline]
    fn schedule(&mut self, task: TaskRef, cause: u64) {
        let slot = &mut self.tasks[task.slot as usize];
        slot.state = TaskState::Scheduled;
        slot.wakes += 1;
        let (chain, number) = (FlowId(slot.id.0), slot.wakes);
        self.agenda.push_ready(
            Now::Poll { slot: task.slot, generation: task.generation },
            chain,
            number,
            // The cause tells this wake from the one that has its number in another run.
            cause ^ 0x9E37_79B9_7F4A_7C15,
        );
    }

    /// Asks a task to end. It is dropped when the world isn't borrowed.
    pub(crate) fn abort(&mut self, task: TaskRef) {
        let Some(slot) = self.get_task(task) else { return };
        match slot.state {
            TaskState::Running | TaskState::RunningWoken => self.end_running(task.slot, TaskEnd::Aborted),
            TaskState::Idle | TaskState::Scheduled => self.condemn(task.slot, TaskEnd::Aborted),
            TaskState::Ending | TaskState::Dropping => {}
        }
    }

    /// Ends a task that is being polled: it is taken out when the poll is over.
    fn end_running(&mut self, slot: u32, end: TaskEnd) {
        let current = self.current_of(slot);
        self.tasks[slot as usize].state = TaskState::Ending;
        self.journal.emit(self.now_ns, current.node, current.task, EventKind::TaskEnd { end });
    }

    fn current_of(&self, slot: u32) -> Current {
        let task = &self.tasks[slot as usize];
        Current { slot, generation: task.generation, task: task.id, node: task.node, boot: task.boot, waker: 0 }
    }

    fn condemn(&mut self, slot: u32, end: TaskEnd) {
        let current = self.current_of(slot);
        let task = &mut self.tasks[slot as usize];
        task.state = TaskState::Dropping;
        if let Some(future) = task.future.take() {
            self.outbox.condemned.push(Condemned { _future: future, current, end });
        }
    }

    fn free_task(&mut self, slot: u32) {
        let entry = &mut self.tasks[slot as usize];
        entry.generation = entry.generation.wrapping_add(1);
        entry.state = TaskState::Idle;
        entry.rng = None;
        if let Some(waker) = entry.waker.take() {
            // Our own waker: dropping it runs no user code.
            drop(waker);
        }
        self.free_tasks.push(slot);
    }

    // --- nodes --------------------------------------------------------------------------------------------------------

    /// Starts a node's root task.
    pub(crate) fn boot(&mut self, id: NodeId) {
        let node = &mut self.nodes[id.index()];
        node.up = true;
        node.restart_pending = false;
        let boot = node.boot;
        let task = TaskId::root(&node.name, boot);
        let init = Rc::clone(&node.init);
        let client = node.client;
        if client && boot == 0 {
            self.clients_left += 1;
            self.has_clients = true;
        }
        let future = Box::pin(crate::task::Root::new(init));
        self.emit_on(id, EventKind::Boot { boot });
        let task = self.insert_task(task, id, boot, TaskName::Root, 0, None, future);
        self.schedule(task, 0);
    }

    /// A root task gave its value.
    pub(crate) fn root_returned(&mut self, result: Result<(), String>) {
        let id = self.current.node;
        if let Err(message) = result {
            let label = self.current_label();
            self.fail("error", format!("{label} returned an error: {message}"));
        }
        let node = &mut self.nodes[id.index()];
        if !node.root_returned {
            node.root_returned = true;
            if node.client {
                self.clients_left -= 1;
            }
        }
    }

    /// Takes a node down. Effects go off first: from here on nothing that its code does counts.
    pub(crate) fn crash(&mut self, id: NodeId) -> bool {
        let node = &mut self.nodes[id.index()];
        if !node.up {
            return false;
        }
        node.up = false;
        self.script.has_crashed = true;
        self.emit_on(id, EventKind::Crash);
        for slot in 0..self.tasks.len() as u32 {
            let task = &self.tasks[slot as usize];
            if task.node != id {
                continue;
            }
            match task.state {
                TaskState::Running | TaskState::RunningWoken => {
                    let end = if self.current_panicked { TaskEnd::Panicked } else { TaskEnd::Crashed };
                    self.end_running(slot, end);
                }
                TaskState::Idle | TaskState::Scheduled if task.future.is_some() => self.condemn(slot, TaskEnd::Crashed),
                TaskState::Idle | TaskState::Scheduled | TaskState::Ending | TaskState::Dropping => {}
            }
        }
        self.outbox.crashed.push(id);
        true
    }

    /// Starts a node that is down, with the next boot number.
    pub(crate) fn restart(&mut self, id: NodeId) -> bool {
        let node = &mut self.nodes[id.index()];
        if node.up {
            return false;
        }
        node.boot += 1;
        self.boot(id);
        true
    }

    /// Clients that the run still waits for: not those that are down for good.
    fn clients_waited_for(&self) -> bool {
        self.clients_left > 0
            && self.nodes.iter().any(|node| node.client && !node.root_returned && (node.up || node.restart_pending))
    }

    // --- timers -------------------------------------------------------------------------------------------------------

    pub(crate) fn start_timer(&mut self, at_ns: u64, wake: WakeRef) -> TimerRef {
        let slot = match self.free_timers.pop() {
            Some(slot) => slot,
            None => {
                self.timers.push(Timer { generation: 0, wake: None, fired: false });
                (self.timers.len() - 1) as u32
            }
        };
        let timer = &mut self.timers[slot as usize];
        timer.wake = Some(wake);
        timer.fired = false;
        let generation = timer.generation;
        self.agenda.schedule(at_ns, Due::Timer { slot, generation });
        TimerRef { slot, generation }
    }

    /// Another waker for a timer that hasn't fired.
    pub(crate) fn rewake_timer(&mut self, timer: TimerRef, wake: WakeRef) {
        let old = match self.timers.get_mut(timer.slot as usize) {
            Some(entry) if entry.generation == timer.generation && !entry.fired => entry.wake.replace(wake),
            _ => Some(wake),
        };
        self.forget(old);
    }

    /// Another instant for a timer, with the waker that it has. `None` if it has none to wake any more.
    pub(crate) fn move_timer(&mut self, timer: TimerRef, at_ns: u64) -> Option<TimerRef> {
        let entry = self.timers.get_mut(timer.slot as usize).filter(|entry| entry.generation == timer.generation);
        let wake = entry.and_then(|entry| entry.wake.take());
        self.stop_timer(timer);
        if !self.is_live() {
            self.forget(wake);
            return None;
        }
        wake.map(|wake| self.start_timer(at_ns.max(self.now_ns), wake))
    }

    /// Gives a timer back, fired or not.
    pub(crate) fn stop_timer(&mut self, timer: TimerRef) {
        let Some(entry) = self.timers.get_mut(timer.slot as usize) else { return };
        if entry.generation != timer.generation {
            return;
        }
        entry.generation = entry.generation.wrapping_add(1);
        let fired = entry.fired;
        let wake = entry.wake.take();
        self.free_timers.push(timer.slot);
        self.forget(wake);
        if !fired {
            let timers = &self.timers;
            self.agenda.timer_cancelled(|slot, generation| timers[slot as usize].generation == generation);
        }
    }

    fn timer_due(&mut self, slot: u32, generation: u32) {
        let timer = &mut self.timers[slot as usize];
        if timer.generation != generation {
            self.agenda.cancelled_timer_passed();
            return;
        }
        timer.fired = true;
        if let Some(wake) = timer.wake.take() {
            self.wake(wake, 1);
        }
    }

    // --- randomness ---------------------------------------------------------------------------------------------------

    /// Entropy for whoever runs, keyed by its task and a number.
    pub(crate) fn fill_entropy(&mut self, out: &mut [u8]) {
        let task = self.current.task;
        let counter = match self.tasks.get_mut(self.current.slot as usize) {
            Some(slot) if slot.generation == self.current.generation => &mut slot.entropy_drawn,
            _ => &mut self.entropy_drawn,
        };
        for chunk in out.chunks_mut(16) {
            *counter += 1;
            let [low, high] = self.application_key.words(FlowId(task.0), *counter, 1);
            let mut block = [0u8; 16];
            block[..8].copy_from_slice(&low.to_le_bytes());
            block[8..].copy_from_slice(&high.to_le_bytes());
            chunk.copy_from_slice(&block[..chunk.len()]);
        }
    }

    /// The running task's generator, made from (seed, task) when it is first asked for.
    pub(crate) fn task_rng(&mut self) -> Option<&mut rand_chacha::ChaCha8Rng> {
        use rand_core::SeedableRng;
        let (key, current) = (self.application_key, self.current);
        let slot = self.tasks.get_mut(current.slot as usize).filter(|slot| slot.generation == current.generation)?;
        Some(slot.rng.get_or_insert_with(|| {
            let mut seed = [0u8; 32];
            for (block, half) in seed.chunks_mut(16).enumerate() {
                let [low, high] = key.words(FlowId(current.task.0), block as u64, 2);
                half[..8].copy_from_slice(&low.to_le_bytes());
                half[8..].copy_from_slice(&high.to_le_bytes());
            }
            Box::new(rand_chacha::ChaCha8Rng::from_seed(seed))
        }))
    }

    /// A word for choosing an ephemeral port: of the running task and how often it asked.
    pub(crate) fn next_port_word(&mut self) -> u64 {
        let name = TaskName::OfType("ephemeral port");
        let (id, _) = self.next_child(&name);
        id.0
    }

    // --- faults -------------------------------------------------------------------------------------------------------

    /// Whether the fault that a script or a control task asks for happens: a decision like any other. `what` says it in
    /// plain words; asked for again, the same fault is the next number of the same flow.
    pub(crate) fn decide_fault(&mut self, what: &str) -> bool {
        let flow = FlowId(squall_trace::id::hash_parts(&[b"fault", what.as_bytes()]));
        let number = self.script.next_number(flow);
        self.journal.name_flow(flow, || FlowInfo {
            from: NodeId::WORLD,
            to: NodeId::WORLD,
            role: FlowRole::Fault { what: what.to_string() },
        });
        let site = Site { kind: SiteKind::Fault, flow, number };
        self.decisions.decide(site, self.now_ns, 0, 1, || flow.0) != 0
    }

    /// The last fact of each node and topic.
    pub(crate) fn remember_published(&mut self, topic: &str, value: &str) {
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

    /// Something that a run can't make deterministic. Each is named once.
    pub(crate) fn escaped(&mut self, what: &str, fails: bool) {
        let label = self.current_label();
        let line = format!("{label}: {what}");
        if !self.escapes.contains(&line) {
            self.emit(EventKind::Escape { what: what.into() });
            if fails {
                self.fail("hermetic", format!("{line}; what follows from it can't be repeated from the seed"));
            }
            self.escapes.push(line);
        }
    }

    // --- the loop's part ----------------------------------------------------------------------------------------------

    /// Does what can be done without calling user code, up to the next thing that must be called, or the end.
    pub(crate) fn step(&mut self) -> Step {
        loop {
            if !self.outbox.is_empty() || self.journal.has_passing() {
                return Step::Settle;
            }
            if self.failure.is_some() || self.open.is_some() {
                return Step::End(squall_trace::EndReason::Failed);
            }
            if let Some(message) = self.token.raised() {
                self.fail_at("hermetic", message, None, None);
                continue;
            }
            if self.end_at_ns.is_none() && self.has_clients && !self.clients_waited_for_fast() {
                return Step::End(squall_trace::EndReason::ClientsReturned);
            }
            if self.journal.step() >= self.limits.events {
                return Step::End(squall_trace::EndReason::EventLimit);
            }
            if let Some(due) = self.agenda.take_due(self.now_ns) {
                match due {
                    Due::Timer { slot, generation } => self.timer_due(slot, generation),
                    Due::Delivery { message } => {
                        let (chain, number) = self.network.order_of(message);
                        self.agenda.push_ready(Now::Delivery { message }, chain, number, 0);
                    }
                    Due::Act { index } => self.act(index),
                }
                continue;
            }
            let (network, nodes) = (&self.network, &self.nodes);
            let fingerprint = |waiting: &Waiting| network.fingerprint_of_ready(waiting, nodes);
            if let Some(waiting) = self.decisions.choose(&mut self.agenda, self.now_ns, fingerprint) {
                match waiting.now {
                    Now::Delivery { message } => self.deliver(message),
                    Now::Poll { slot, generation } => {
                        if let Some(polling) = self.begin_poll(TaskRef { slot, generation }) {
                            return Step::Poll(polling);
                        }
                    }
                }
                continue;
            }
            let timers = &self.timers;
            match self.agenda.next_instant(|slot, generation| timers[slot as usize].generation == generation) {
                Some(at_ns) => {
                    if self.end_at_ns.is_some_and(|end_ns| at_ns > end_ns) {
                        self.now_ns = self.end_at_ns.unwrap_or(self.now_ns);
                        return Step::End(squall_trace::EndReason::EndTime);
                    }
                    if at_ns > self.limits.virtual_ns {
                        self.now_ns = self.limits.virtual_ns;
                        return Step::End(squall_trace::EndReason::TimeLimit);
                    }
                    self.now_ns = at_ns;
                }
                None => {
                    if let Some(end_ns) = self.end_at_ns {
                        self.now_ns = end_ns.max(self.now_ns);
                        return Step::End(squall_trace::EndReason::EndTime);
                    }
                    let reason = if self.clients_waited_for() {
                        squall_trace::EndReason::Deadlock
                    } else {
                        squall_trace::EndReason::Quiet
                    };
                    return Step::End(reason);
                }
            }
        }
    }

    #[inline]
    fn clients_waited_for_fast(&self) -> bool {
        // Down for good is rare: only then are the nodes looked at.
        self.clients_left > 0 && (!self.script.has_crashed || self.clients_waited_for() || self.control_goes_on())
    }

    /// Whether a control task goes on, which may start again what is down.
    fn control_goes_on(&self) -> bool {
        self.nodes.iter().any(|node| node.control && !node.root_returned)
    }

    fn begin_poll(&mut self, task: TaskRef) -> Option<Polling> {
        let now_ns = self.now_ns;
        let limit = self.limits.polls_in_instant;
        let slot = self.get_task(task)?;
        let future = slot.future.take()?;
        let waker = slot.waker.take()?;
        slot.state = TaskState::Running;
        if slot.polled_at_ns == now_ns {
            slot.polls_in_instant += 1;
        } else {
            slot.polled_at_ns = now_ns;
            slot.polls_in_instant = 1;
        }
        let livelock = slot.polls_in_instant > limit;
        self.current = Current {
            slot: task.slot,
            generation: task.generation,
            task: slot.id,
            node: slot.node,
            boot: slot.boot,
            waker: waker.data().addr(),
        };
        self.current_panicked = false;
        self.emit(EventKind::Poll);
        self.beat.poll(self.journal.step());
        if livelock {
            let label = self.current_label();
            self.fail(
                "livelock",
                format!(
                    "{label} was polled {limit} times at one instant, {}: it wakes itself (or others wake it) without \
                     waiting for anything; let it sleep or wait for what it needs",
                    squall_trace::trace::format_ns(now_ns)
                ),
            );
        }
        Some(Polling { future, waker, task })
    }

    /// Takes a polled task back. `done` says that its future has ended.
    pub(crate) fn end_poll(&mut self, polling: Polling, done: bool) {
        let current = Current { waker: 0, ..self.current };
        let panicked = std::mem::take(&mut self.current_panicked);
        self.current = NOBODY;
        let Polling { future, waker, task } = polling;
        let slot = self.get_task(task).expect("a slot is its task's until its destructors are through");
        if !done && slot.state != TaskState::Ending {
            slot.future = Some(future);
            slot.waker = Some(waker);
            let woken = slot.state == TaskState::RunningWoken;
            slot.state = TaskState::Idle;
            if woken {
                self.schedule(task, current.task.0);
            }
            return;
        }
        let end_is_known = slot.state == TaskState::Ending;
        slot.state = TaskState::Dropping;
        drop(waker);
        if !end_is_known {
            let end = if panicked { TaskEnd::Panicked } else { TaskEnd::Returned };
            self.journal.emit(self.now_ns, current.node, current.task, EventKind::TaskEnd { end });
        }
        // `Returned` here says that its end is in the journal.
        self.outbox.condemned.push(Condemned { _future: future, current, end: TaskEnd::Returned });
    }

    /// Takes what is to be called or dropped.
    pub(crate) fn take_outbox(&mut self) -> Outbox {
        std::mem::take(&mut self.outbox)
    }

    /// Whose code a condemned task's destructors are.
    pub(crate) fn enter_condemned(&mut self, condemned: &Condemned) {
        self.current = condemned.current;
        // `Returned`: its end is in the journal already.
        if condemned.end != TaskEnd::Returned {
            self.emit(EventKind::TaskEnd { end: condemned.end });
        }
    }

    /// A condemned task's destructors are through: its slot is free.
    pub(crate) fn leave_condemned(&mut self) {
        let current = std::mem::replace(&mut self.current, NOBODY);
        if self.get_task(TaskRef { slot: current.slot, generation: current.generation }).is_some() {
            self.free_task(current.slot);
        }
    }

    /// The code that runs panicked where nobody can join it: in a destructor, or in a waker of its own.
    pub(crate) fn destructor_panicked(&mut self, text: &str) {
        let label = self.current_label();
        self.emit(EventKind::Panic { message: text.into() });
        self.fail("panic", format!("a destructor of {label} panicked: {text}"));
    }

    /// What the nodes' init functions hold is dropped when the world isn't borrowed.
    pub(crate) fn take_inits(&mut self) -> Vec<Init> {
        fn gone() -> crate::world::RootFuture {
            Box::pin(std::future::ready(Ok(())))
        }
        self.nodes.iter_mut().map(|node| std::mem::replace(&mut node.init, Rc::new(gone))).collect()
    }

    /// The sockets of a crashed node go, after its tasks.
    pub(crate) fn finish_crash(&mut self, id: NodeId) {
        let ports = std::mem::take(&mut self.nodes[id.index()].ports);
        for (_, socket) in ports {
            self.close_socket(socket);
        }
    }

    /// Condemns everything that is left. Nothing that its destructors do counts.
    pub(crate) fn condemn_all(&mut self) {
        for slot in 0..self.tasks.len() as u32 {
            if self.tasks[slot as usize].future.is_some() {
                self.condemn(slot, TaskEnd::Returned);
            }
        }
        for node in &mut self.nodes {
            node.up = false;
        }
    }

    /// The waiting tasks, clients first, for a report of a deadlock.
    pub(crate) fn describe_waiting(&self) -> String {
        let mut lines: Vec<(bool, String)> = Vec::new();
        for node in &self.nodes {
            if node.client && !node.up && !node.root_returned {
                lines.push((true, format!("  client {} is down, and something may start it again", node.name)));
            }
        }
        for slot in 0..self.tasks.len() as u32 {
            let task = &self.tasks[slot as usize];
            if task.future.is_none() {
                continue;
            }
            let info = self.task_info(slot);
            let node = &self.nodes[task.node.index()];
            let spawned = match task.spawned_at {
                Some(_) => format!("spawned at {}", info.spawned_at),
                None => "the node's root".to_string(),
            };
            let waited = squall_trace::trace::format_ns(self.now_ns - task.polled_at_ns);
            let client = node.client && !node.root_returned;
            let role = if client { "client" } else { "server" };
            lines.push((client, format!("  {} on {role} {} ({spawned}) has waited {waited}", info.label, node.name)));
        }
        lines.sort_by_key(|(client, _)| !client);
        let more = lines.len().saturating_sub(20);
        let mut text: Vec<String> = lines.into_iter().take(20).map(|(_, line)| line).collect();
        if more > 0 {
            text.push(format!("  … and {more} more"));
        }
        text.join("\n")
    }

    fn act(&mut self, index: u32) {
        let act = self.script.acts[index as usize].clone();
        crate::fault::perform(self, act);
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
