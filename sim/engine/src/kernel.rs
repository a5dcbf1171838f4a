//! The state of one run, and the only door to it.
//!
//! A run's state lives in a thread-local. Everything that programs call goes through [`with`], which borrows it for the
//! length of one operation and never while user code runs: polls, destructors, wakes of foreign wakers, properties and
//! init functions are all called between borrows. What an operation wants to have called or dropped it leaves in the
//! [`Outbox`].

use std::cell::RefCell;
use std::future::Future;
use std::mem::ManuallyDrop;
use std::panic::Location;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Wake, Waker};

use squall_trace::draw::{Purpose, RunKey};
use squall_trace::event::Place;
use squall_trace::{
    EventKind, Failure, FlowId, FlowInfo, FlowRole, NodeId, OwnedEvent, Plan, Site, SiteKind, TaskEnd, TaskId, TaskInfo,
};
use xxhash_rust::xxh3::xxh3_64;

use crate::agenda::{Agenda, Due, Identity, Now};
use crate::decisions::Decisions;
use crate::fault::{Act, Script};
use crate::journal::Journal;
use crate::network::Network;
use crate::world::{Init, Limits, OnPanic};

pub(crate) type TaskFuture = Pin<Box<dyn Future<Output = ()>>>;

thread_local! {
    /// Without a destructor of its own an access is a plain load: [`Installed`] takes the run off the thread.
    static KERNEL: RefCell<ManuallyDrop<Option<Box<Kernel>>>> = const { RefCell::new(ManuallyDrop::new(None)) };
}

/// Runs `operation` on this thread's run.
///
/// # Panics
/// If no run is on: `what` was called from outside.
#[inline]
#[track_caller]
pub(crate) fn with<R>(what: &str, operation: impl FnOnce(&mut Kernel) -> R) -> R {
    let caller = Location::caller();
    KERNEL.with(|kernel| match kernel.borrow_mut().as_deref_mut() {
        Some(kernel) => operation(kernel),
        None => outside_of_a_run(what, caller),
    })
}

#[cold]
fn outside_of_a_run(what: &str, caller: &Location<'_>) -> ! {
    panic!(
        "{what} was called outside of a run, at {caller}: only what a world's nodes, clients and control tasks execute can \
         call it"
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
        let _left = KERNEL.with(|slot| slot.borrow_mut().take());
    }
}

/// Identifies a run to wakers on any thread.
#[derive(Debug, Default)]
pub(crate) struct RunToken {
    raised: AtomicBool,
    foreign_wake: Mutex<Option<ForeignWake>>,
}

/// A wake that didn't come from the task's own run.
#[derive(Clone, Debug)]
struct ForeignWake {
    task: TaskRef,
    thread: String,
}

impl RunToken {
    fn raise(&self, wake: ForeignWake) {
        let mut slot = self.foreign_wake.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        slot.get_or_insert(wake);
        self.raised.store(true, Ordering::Release);
    }

    #[inline]
    fn is_raised(&self) -> bool {
        // What was raised is read behind the lock.
        self.raised.load(Ordering::Relaxed)
    }

    fn foreign_wake(&self) -> Option<ForeignWake> {
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
            self.token.raise(ForeignWake {
                task: TaskRef { slot: self.slot, generation: self.generation },
                thread: thread.name().unwrap_or("without a name").to_string(),
            });
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

/// What every wake and poll of a task touches.
pub(crate) struct TaskSlot {
    generation: u32,
    state: TaskState,
    /// For livelocks: polls at `polled_at_ns`.
    polls_in_instant: u32,
    polled_at_ns: u64,
    future: Option<TaskFuture>,
    waker: Option<Waker>,
    pub id: TaskId,
    pub node: NodeId,
    pub boot: u32,
    /// How often it was woken: its place in the order of an instant is decided at the address (task, wake).
    wakes: u64,
    /// What woke it last: a message, a timer, another task.
    cause: u64,
}

impl TaskSlot {
    #[inline]
    fn mark_scheduled(&mut self, cause: u64) {
        self.state = TaskState::Scheduled;
        self.wakes += 1;
        self.cause = cause;
    }
}

/// What only reports, spawns and draws touch.
struct TaskDetails {
    /// How many children each name has.
    children: Vec<(u64, u32)>,
    name: TaskName,
    ordinal: u32,
    spawned_at: Option<&'static Location<'static>>,
    entropy_drawn: u64,
    rng: Option<Box<rand_chacha::ChaCha8Rng>>,
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
    /// Whether what it does counts: its node is up and in the same boot. Destructors of a crashed node and of an ended run
    /// don't count.
    live: bool,
}

const NOBODY: Current =
    Current { slot: u32::MAX, generation: 0, task: TaskId::NONE, node: NodeId::WORLD, boot: 0, waker: 0, live: false };

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

    /// Calls and drops everything.
    pub(crate) fn settle(self) {
        let Outbox { wakes, wakers_to_drop, condemned, crashed, .. } = self;
        call(move || drop(wakers_to_drop));
        for waker in wakes {
            call(move || waker.wake());
        }
        for task in condemned {
            task.drop_now();
        }
        for node in crashed {
            with("the run loop", |kernel| kernel.finish_crash(node));
        }
    }
}

/// A task that is to be dropped.
struct Condemned {
    future: TaskFuture,
    current: Current,
    /// Its end, if that isn't in the journal already.
    end: Option<TaskEnd>,
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
    future: Option<TaskFuture>,
    waker: Waker,
    task: TaskRef,
}

impl Polling {
    /// Polls the task, and drops it if it has ended: both are user code, and both are the task's own.
    #[inline]
    pub(crate) fn poll(&mut self) {
        let Some(future) = &mut self.future else { return };
        let mut context = Context::from_waker(&self.waker);
        squall_hermetic::set_node_code(true);
        // It doesn't unwind: what a program's future panics with is caught where it was spawned.
        if future.as_mut().poll(&mut context).is_ready()
            && let Some(future) = self.future.take()
        {
            call(move || drop(future));
        }
        squall_hermetic::set_node_code(false);
    }
}

/// Calls a destructor or a waker of the program's. Nobody can join those: their panics fail the run.
pub(crate) fn call(code: impl FnOnce()) {
    let before = squall_hermetic::set_node_code(true);
    let called = std::panic::catch_unwind(std::panic::AssertUnwindSafe(code));
    squall_hermetic::set_node_code(before);
    if let Err(payload) = called {
        let text = crate::task::panic_text(&*payload);
        with("the run loop", |kernel| kernel.destructor_panicked(&text));
    }
}

/// The state of one run.
pub(crate) struct Kernel {
    pub token: Arc<RunToken>,
    pub now_ns: u64,
    pub agenda: Agenda,
    pub decisions: Decisions,
    pub journal: Journal,
    tasks: Vec<TaskSlot>,
    /// By the same slots.
    details: Vec<TaskDetails>,
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
    /// Whether the loop must look whether the run goes on: a failure, a client that returned, a crash, a limit.
    attention: bool,
    /// No instant after this one happens.
    last_ns: u64,
    application_key: RunKey,
    /// Entropy drawn where no task runs.
    entropy_drawn: u64,
    pub escapes: Vec<String>,
    /// By whom and what: see [`Kernel::escaped`].
    escaped: Vec<(TaskId, Box<str>)>,
    /// How much time blocking calls were to last that returned at once. Only the clocks that programs read show it, and
    /// only up to the end of the poll: what blocks fails its run.
    pub skipped_ns: u64,
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
            details: Vec::new(),
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
            attention: true,
            last_ns: settings.end_at_ns.unwrap_or(u64::MAX).min(settings.limits.virtual_ns),
            application_key: RunKey::derive(plan.seed, Purpose::Application, 0),
            entropy_drawn: 0,
            escapes: Vec::new(),
            escaped: Vec::new(),
            skipped_ns: 0,
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

    // --- tasks --------------------------------------------------------------------------------------------------------

    /// Whether what the running code does counts.
    #[inline]
    pub(crate) fn is_live(&self) -> bool {
        self.current.live
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
        let parent_id = self.current.task;
        let parent = &mut self.details[self.current.slot as usize];
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
        (parent_id.child(name_hash, ordinal), ordinal)
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
        let slot = self.free_tasks.pop().unwrap_or(self.tasks.len() as u32);
        let generation = self.tasks.get(slot as usize).map_or(0, |task| task.generation);
        let hot = TaskSlot {
            generation,
            state: TaskState::Idle,
            polls_in_instant: 0,
            polled_at_ns: self.now_ns,
            future: Some(future),
            waker: Some(Waker::from(Arc::new(TaskWaker { token: Arc::clone(&self.token), slot, generation }))),
            id,
            node,
            boot,
            wakes: 0,
            cause: 0,
        };
        let details = TaskDetails { children: Vec::new(), name, ordinal, spawned_at, entropy_drawn: 0, rng: None };
        if slot as usize == self.tasks.len() {
            assert!(slot < u32::MAX, "there are fewer than 2^32 tasks at a time");
            self.tasks.push(hot);
            self.details.push(details);
        } else {
            self.tasks[slot as usize] = hot;
            self.details[slot as usize] = details;
        }
        if self.journal.wants_names() {
            let info = self.task_info(slot);
            self.journal.name_task(id, || info);
        }
        TaskRef { slot, generation }
    }

    fn task_info(&self, slot: u32) -> TaskInfo {
        let (task, details) = (&self.tasks[slot as usize], &self.details[slot as usize]);
        let node = &self.nodes[task.node.index()];
        let mut label = node.name.to_string();
        if task.boot > 0 {
            label.push_str(&format!("#{}", task.boot));
        }
        if !matches!(details.name, TaskName::Root) {
            label.push('/');
            label.push_str(&details.name.short());
            if details.ordinal > 0 {
                label.push_str(&format!("[{}]", details.ordinal));
            }
        }
        let spawned_at = details.spawned_at.map(|at| format!("{}:{}", at.file(), at.line())).unwrap_or_default();
        TaskInfo { label, node: task.node, spawned_at }
    }

    /// The label of the running task.
    pub(crate) fn current_label(&self) -> String {
        match self.tasks.get(self.current.slot as usize) {
            Some(task) if task.generation == self.current.generation => self.task_info(self.current.slot).label,
            // Recorded names are no help: how much is recorded must not change what labels get into (faults' addresses).
            _ => squall_trace::Names::default().task(self.current.task).into_owned(),
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
            WakeRef::Foreign(waker) => self.outbox.wake(waker),
        }
    }

    /// Drops a waker without waking: dropping is user code as well.
    #[inline]
    pub(crate) fn forget(&mut self, wake: Option<WakeRef>) {
        if let Some(WakeRef::Foreign(waker)) = wake {
            self.outbox.drop_waker(waker);
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
        self.tasks[task.slot as usize].mark_scheduled(cause);
        self.agenda.push_ready(Now::Poll { slot: task.slot, generation: task.generation });
    }

    /// Wakes for a message. A task that became ready by this comes back instead of being put among the ready ones.
    #[inline]
    pub(crate) fn wake_for_message(&mut self, wake: WakeRef, cause: u64) -> Option<TaskRef> {
        let WakeRef::Task(task) = wake else {
            self.wake(wake, cause);
            return None;
        };
        let slot = self.get_task(task)?;
        if slot.state == TaskState::Idle {
            slot.mark_scheduled(cause);
            return Some(task);
        }
        self.wake_task(task, cause);
        None
    }

    /// Asks a task to end. It is dropped when the world isn't borrowed.
    pub(crate) fn abort(&mut self, task: TaskRef) {
        let Some(slot) = self.get_task(task) else { return };
        match slot.state {
            TaskState::Running | TaskState::RunningWoken => self.end_running(task.slot, TaskEnd::Aborted),
            TaskState::Idle | TaskState::Scheduled => self.condemn(task.slot, Some(TaskEnd::Aborted)),
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
        Current {
            slot,
            generation: task.generation,
            task: task.id,
            node: task.node,
            boot: task.boot,
            waker: 0,
            live: false,
        }
    }

    fn condemn(&mut self, slot: u32, end: Option<TaskEnd>) {
        let mut current = self.current_of(slot);
        // The destructors of an aborted task are code like any other; those of a crashed node, or of a run that is over,
        // have no effect.
        current.live = end == Some(TaskEnd::Aborted) && self.nodes[current.node.index()].up;
        let task = &mut self.tasks[slot as usize];
        task.state = TaskState::Dropping;
        if let Some(future) = task.future.take() {
            self.outbox.condemn(Condemned { future, current, end });
        }
    }

    fn free_task(&mut self, slot: u32) {
        let entry = &mut self.tasks[slot as usize];
        entry.generation = entry.generation.wrapping_add(1);
        entry.state = TaskState::Idle;
        self.details[slot as usize].rng = None;
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
        // No code of the program's runs here: the root calls its init function when it is polled.
        let future = init();
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
            self.attention = true;
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
        if self.current.node == id {
            self.current.live = false;
        }
        self.attention = true;
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
                TaskState::Idle | TaskState::Scheduled if task.future.is_some() => {
                    self.condemn(slot, Some(TaskEnd::Crashed))
                }
                TaskState::Idle | TaskState::Scheduled | TaskState::Ending | TaskState::Dropping => {}
            }
        }
        self.outbox.crashed(id);
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
        let slot = self.current.slot as usize;
        let runs = self.tasks.get(slot).is_some_and(|task| task.generation == self.current.generation);
        let counter = if runs { &mut self.details[slot].entropy_drawn } else { &mut self.entropy_drawn };
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
        self.tasks.get(current.slot as usize).filter(|slot| slot.generation == current.generation)?;
        Some(self.details[current.slot as usize].rng.get_or_insert_with(|| {
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

    /// What programs' clocks show: nanoseconds since the run's start.
    #[inline]
    pub(crate) fn shown_ns(&self) -> u64 {
        self.now_ns.saturating_add(self.skipped_ns)
    }

    /// Something that a run can't make deterministic. Each is named once a task, and of very many the first.
    pub(crate) fn escaped(&mut self, what: &str, gravity: Gravity) {
        let task = self.current.task;
        let known = self.escaped.iter().any(|(who, known)| *who == task && **known == *what);
        if known || self.escaped.len() >= NAMED_ESCAPES {
            return;
        }
        self.escaped.push((task, what.into()));
        let line = format!("{}: {what}", self.current_label());
        // What destructors of a crashed node or after the run's end do is no event.
        if gravity >= Gravity::Event && self.is_live() {
            self.emit(EventKind::Escape { what: what.into() });
        }
        if gravity == Gravity::Failure {
            self.fail("hermetic", format!("{line}; what follows from it can't be repeated from the seed"));
        }
        if !self.escapes.contains(&line) {
            self.escapes.push(line);
        }
    }

    /// A thread that isn't the run's woke a task. When that is noticed isn't repeatable, so it is no event.
    #[cold]
    fn fail_by_foreign_wake(&mut self) {
        let Some(ForeignWake { task, thread }) = self.token.foreign_wake() else { return };
        let woken = self.get_task(task).map(|slot| (slot.node, slot.id));
        let label = match woken {
            Some(_) => self.task_info(task.slot).label,
            None => "a task that has ended".to_string(),
        };
        let line = format!("{label}: woken from outside of its run, by thread {thread:?}");
        self.fail_at(
            "hermetic",
            format!(
                "{line}: what other threads do and when they do it can't be repeated; keep the work on the run's thread \
                 (squall::task::spawn, spawn_blocking)"
            ),
            woken.map(|(node, _)| node),
            woken.map(|(_, task)| task),
        );
        if !self.escapes.contains(&line) {
            self.escapes.push(line);
        }
    }

    // --- the loop's part ----------------------------------------------------------------------------------------------

    /// Does what can be done without calling user code, up to the next thing that must be called, or the end.
    pub(crate) fn step(&mut self) -> Step {
        loop {
            if self.needs_attention()
                && let Some(step) = self.attend()
            {
                return step;
            }
            if let Some(due) = self.agenda.take_due(self.now_ns) {
                // The usual case: a message is all that happens at this instant, and wakes one task, which then has no
                // company either. There is no order to decide.
                if let Due::Delivery { message } = due
                    && self.agenda.is_alone(self.now_ns)
                {
                    self.decisions.came_alone();
                    if let Some(task) = self.deliver(message) {
                        self.decisions.came_alone();
                        if let Some(polling) = self.begin_poll(task) {
                            return Step::Poll(polling);
                        }
                    }
                } else {
                    self.happen(due);
                }
                continue;
            }
            if let Some(now) = self.choose() {
                match now {
                    Now::Delivery { message } => {
                        if let Some(task) = self.deliver(message) {
                            self.agenda.push_ready(Now::Poll { slot: task.slot, generation: task.generation });
                        }
                    }
                    Now::Poll { slot, generation } => {
                        if let Some(polling) = self.begin_poll(TaskRef { slot, generation }) {
                            return Step::Poll(polling);
                        }
                    }
                }
                continue;
            }
            // Nothing is left to do now: on to the next instant.
            let timers = &self.timers;
            match self.agenda.next_instant(|slot, generation| timers[slot as usize].generation == generation) {
                Some(at_ns) if at_ns <= self.last_ns => self.now_ns = at_ns,
                next => return Step::End(self.end_of_time(next)),
            }
        }
    }

    /// Whether something has happened that the loop must look at before it goes on: one test in place of six.
    #[inline]
    fn needs_attention(&self) -> bool {
        self.attention || self.outbox.unsettled || self.journal.has_passing() || self.token.is_raised()
    }

    #[cold]
    fn attend(&mut self) -> Option<Step> {
        self.attention = false;
        if self.outbox.unsettled || self.journal.has_passing() {
            self.attention = true;
            return Some(Step::Settle);
        }
        if self.token.is_raised() {
            self.fail_by_foreign_wake();
        }
        if self.failure.is_some() {
            return Some(Step::End(squall_trace::EndReason::Failed));
        }
        if self.end_at_ns.is_none() && self.has_clients && self.clients_are_through() {
            return Some(Step::End(squall_trace::EndReason::ClientsReturned));
        }
        if self.journal.step() >= self.limits.events {
            return Some(Step::End(squall_trace::EndReason::EventLimit));
        }
        None
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

    /// Whether no client is left to wait for. One that is down isn't, unless a control task goes on that may start it again.
    fn clients_are_through(&self) -> bool {
        let control_goes_on = || self.nodes.iter().any(|node| node.control && !node.root_returned);
        self.clients_left == 0 || !(self.clients_waited_for() || control_goes_on())
    }

    fn begin_poll(&mut self, task: TaskRef) -> Option<Polling> {
        let now_ns = self.now_ns;
        let limit = self.limits.polls_in_instant;
        // Only what programs do makes events without end, so here is the place to look at the limit.
        if self.journal.step() >= self.limits.events {
            self.attention = true;
        }
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
            live: true,
        };
        self.current_panicked = false;
        self.journal.poll(Place { at_ns: now_ns, node: self.current.node, task: self.current.task });
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
        Some(Polling { future: Some(future), waker, task })
    }

    /// Takes a polled task back.
    #[inline]
    pub(crate) fn end_poll(&mut self, polling: Polling) {
        let current = self.current;
        self.current = NOBODY;
        let Polling { future, waker, task } = polling;
        let slot = self.get_task(task).expect("a slot is its task's until its destructors are through");
        match future {
            Some(future) if slot.state != TaskState::Ending => {
                slot.future = Some(future);
                slot.waker = Some(waker);
                let woken = slot.state == TaskState::RunningWoken;
                slot.state = TaskState::Idle;
                if woken {
                    self.schedule(task, current.task.0);
                }
            }
            future => self.end_task(task.slot, current, future),
        }
    }

    /// A polled task has returned, or was aborted or went down with its node meanwhile.
    fn end_task(&mut self, slot: u32, current: Current, future: Option<TaskFuture>) {
        let end_is_known = self.tasks[slot as usize].state == TaskState::Ending;
        self.tasks[slot as usize].state = TaskState::Dropping;
        if !end_is_known {
            let end = if self.current_panicked { TaskEnd::Panicked } else { TaskEnd::Returned };
            self.journal.emit(self.now_ns, current.node, current.task, EventKind::TaskEnd { end });
        }
        match future {
            Some(future) => self.outbox.condemn(Condemned { future, current, end: None }),
            None => self.free_task(slot),
        }
    }

    /// Takes what is to be called or dropped.
    pub(crate) fn take_outbox(&mut self) -> Outbox {
        std::mem::take(&mut self.outbox)
    }

    /// A condemned task's destructors are through: its slot is free.
    fn leave_condemned(&mut self) {
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
        fn gone() -> TaskFuture {
            Box::pin(std::future::ready(()))
        }
        self.nodes.iter_mut().map(|node| std::mem::replace(&mut node.init, Rc::new(gone))).collect()
    }

    /// The sockets of a crashed node go, after its tasks.
    fn finish_crash(&mut self, id: NodeId) {
        let ports = std::mem::take(&mut self.nodes[id.index()].ports);
        for (_, socket) in ports {
            self.close_socket(socket);
        }
    }

    /// Condemns everything that is left. Nothing that its destructors do counts.
    pub(crate) fn condemn_all(&mut self) {
        for slot in 0..self.tasks.len() as u32 {
            if self.tasks[slot as usize].future.is_some() {
                self.condemn(slot, None);
            }
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
            let spawned = match self.details[slot as usize].spawned_at {
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

/// Who a ready entry is, to those who decide about order.
#[inline]
fn identify(now: Now, network: &Network, tasks: &[TaskSlot]) -> Option<Identity> {
    match now {
        Now::Delivery { message } => Some(network.identify(message)),
        // A task that has ended meanwhile is nobody, though another may have come into its slot.
        Now::Poll { slot, generation } => tasks
            .get(slot as usize)
            .filter(|task| task.generation == generation)
            .map(|task| Identity::new(FlowId(task.id.0), task.wakes, task.cause)),
    }
}

impl Condemned {
    /// Drops the task, as the one whose code runs.
    fn drop_now(self) {
        let Condemned { future, current, end } = self;
        with("the run loop", |kernel| {
            kernel.current = current;
            if let Some(end) = end {
                kernel.emit(EventKind::TaskEnd { end });
            }
        });
        call(move || drop(future));
        with("the run loop", Kernel::leave_condemned);
    }
}

impl std::fmt::Debug for Kernel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Kernel").field("now_ns", &self.now_ns).finish_non_exhaustive()
    }
}
