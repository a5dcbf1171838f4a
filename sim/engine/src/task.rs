//! Tasks, with tokio's names: `spawn`, `JoinHandle`, `JoinSet`, `yield_now`, `spawn_blocking`.
//!
//! Futures needn't be `Send`: a run has one thread. What tokio makes `Send` and `Sync` is so here as well.

use std::any::Any;
use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::future::Future;
use std::panic::{AssertUnwindSafe, Location, catch_unwind};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use pin_project_lite::pin_project;
use squall_trace::{EventKind, TaskId};

use crate::kernel::{self, TaskName, TaskRef};
use crate::world::{NodeOutput, OnPanic};

/// Identifies a task: a hash of its spawn path, the same in every run in which it is spawned at that place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Id(TaskId);

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The running task's id.
///
/// # Panics
/// Outside of a run.
#[must_use]
#[track_caller]
pub fn id() -> Id {
    Id(kernel::with("squall::task::id", |kernel| kernel.current.task))
}

/// Spawns a task on the running node.
///
/// # Panics
/// Outside of a run. In a destructor of a crashed node it doesn't count: the task is dropped at once.
#[track_caller]
pub fn spawn<F>(future: F) -> JoinHandle<F::Output>
where
    F: Future + 'static,
    F::Output: 'static,
{
    spawn_named(TaskName::OfType(std::any::type_name::<F>()), None, Location::caller(), future)
}

/// As [`spawn`]: every task is local to its run's thread.
///
/// # Panics
/// As [`spawn`].
#[track_caller]
pub fn spawn_local<F>(future: F) -> JoinHandle<F::Output>
where
    F: Future + 'static,
    F::Output: 'static,
{
    spawn_named(TaskName::OfType(std::any::type_name::<F>()), None, Location::caller(), future)
}

/// Runs a blocking closure in a task of its own, inline: CPU time costs no virtual time, and there is no other thread that
/// could come in between.
///
/// # Panics
/// As [`spawn`].
#[track_caller]
pub fn spawn_blocking<F, R>(work: F) -> JoinHandle<R>
where
    F: FnOnce() -> R + 'static,
    R: 'static,
{
    let name = TaskName::OfType(std::any::type_name::<F>());
    spawn_named(name, None, Location::caller(), async move { work() })
}

/// Spawns tasks under a name of their own: the name stands in reports and in the addresses of decisions.
#[derive(Clone, Debug, Default)]
pub struct Builder {
    name: Option<Rc<str>>,
}

impl Builder {
    /// A builder without a name.
    #[must_use]
    pub fn new() -> Builder {
        Builder::default()
    }

    /// The task's name.
    #[must_use]
    pub fn name(mut self, name: &str) -> Builder {
        self.name = Some(name.into());
        self
    }

    /// Spawns the task.
    ///
    /// # Errors
    /// Never: a result since tokio's has one.
    ///
    /// # Panics
    /// As [`spawn`].
    #[track_caller]
    pub fn spawn<F>(self, future: F) -> std::io::Result<JoinHandle<F::Output>>
    where
        F: Future + 'static,
        F::Output: 'static,
    {
        let name = self.name.map_or(TaskName::OfType(std::any::type_name::<F>()), TaskName::Given);
        Ok(spawn_named(name, None, Location::caller(), future))
    }
}

#[track_caller]
pub(crate) fn spawn_named<F>(
    name: TaskName,
    path: Option<TaskId>,
    location: &'static Location<'static>,
    future: F,
) -> JoinHandle<F::Output>
where
    F: Future + 'static,
    F::Output: 'static,
{
    let state = Arc::new(Mutex::new(JoinState::default()));
    let spawned = kernel::task_future(Spawned { future, finish: Finish(Some(Arc::clone(&state))) });
    let task = match kernel::with("squall::task::spawn", |kernel| kernel.spawn_child(name, path, location, spawned)) {
        Ok(task) => Some(task),
        // Dropping it here, where the world isn't borrowed, makes the handle say that it was cancelled.
        Err(refused) => {
            drop(refused);
            None
        }
    };
    JoinHandle { state, task }
}

/// Spawns a task that nobody joins.
#[track_caller]
pub(crate) fn spawn_detached<F>(name: TaskName, path: Option<TaskId>, location: &'static Location<'static>, future: F)
where
    F: Future<Output = ()> + 'static,
{
    let detached = kernel::task_future(Caught { future, is_root: false });
    let spawned = kernel::with("squall::task::spawn", |kernel| kernel.spawn_child(name, path, location, detached));
    // A refused one is dropped here, where the world isn't borrowed.
    drop(spawned);
}

pin_project! {
    /// A future whose result nobody wants, and whose panic is settled here.
    struct Caught<F> {
        #[pin]
        future: F,
        is_root: bool,
    }
}

impl<F: Future<Output = ()>> Future for Caught<F> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let caught = self.project();
        match catch_unwind(AssertUnwindSafe(|| caught.future.poll(context))) {
            Ok(polled) => polled,
            Err(payload) => {
                panicked(&*payload, *caught.is_root);
                // The program's: its destructor may panic as well.
                kernel::call(move || drop(payload));
                Poll::Ready(())
            }
        }
    }
}

/// What a task leaves for who joins it.
struct JoinState<T> {
    result: Option<Result<T, JoinError>>,
    finished: bool,
    waker: Option<Waker>,
    /// The set that it belongs to, and its number there.
    set: Option<(Arc<Mutex<SetQueue>>, u64)>,
}

impl<T> Default for JoinState<T> {
    fn default() -> JoinState<T> {
        JoinState { result: None, finished: false, waker: None, set: None }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Gives the result to who joins, also if the task is dropped unfinished.
struct Finish<T>(Option<Arc<Mutex<JoinState<T>>>>);

impl<T> Finish<T> {
    fn finish(&mut self, result: Result<T, JoinError>) {
        let Some(state) = self.0.take() else { return };
        let mut state = lock(&state);
        state.finished = true;
        state.result = Some(result);
        let waker = state.waker.take();
        let set = state.set.take();
        drop(state);
        // Waking is user code: nothing may be locked.
        if let Some(waker) = waker {
            waker.wake();
        }
        if let Some((queue, number)) = set {
            let mut queue = lock(&queue);
            queue.done.push_back(number);
            let waker = queue.waker.take();
            drop(queue);
            if let Some(waker) = waker {
                waker.wake();
            }
        }
    }
}

impl<T> Drop for Finish<T> {
    fn drop(&mut self) {
        self.finish(Err(JoinError { why: Why::Cancelled }));
    }
}

pin_project! {
    /// A spawned future with the place for its result.
    struct Spawned<F: Future> {
        #[pin]
        future: F,
        finish: Finish<F::Output>,
    }
}

impl<F: Future> Future for Spawned<F> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let this = self.project();
        let result = match catch_unwind(AssertUnwindSafe(|| this.future.poll(context))) {
            Ok(Poll::Pending) => return Poll::Pending,
            Ok(Poll::Ready(value)) => Ok(value),
            Err(payload) => {
                panicked(&*payload, false);
                Err(JoinError { why: Why::Panicked(Mutex::new(payload)) })
            }
        };
        // The program's code once more: a result that nobody wants is dropped here, a waker of its own is woken.
        if let Err(payload) = catch_unwind(AssertUnwindSafe(|| this.finish.finish(result))) {
            let text = panic_text(&*payload);
            let _ = kernel::try_with(|kernel| kernel.destructor_panicked(&text));
        }
        Poll::Ready(())
    }
}

/// A panic's message as a person reads it.
pub(crate) fn panic_text(payload: &(dyn Any + Send)) -> String {
    crate::panics::text_at(crate::panics::text_of(payload), crate::panics::take_place().as_deref())
}

/// A task has panicked: what happens next is the node's policy.
fn panicked(payload: &(dyn Any + Send), is_root: bool) {
    let text = panic_text(payload);
    let _ = kernel::try_with(|kernel| {
        kernel.current_panicked = true;
        follow_policy(kernel, &text, is_root, "");
    });
}

/// Does what the running node's policy says of a panic. `whose` tells in the failure's words which of its tasks that was.
pub(crate) fn follow_policy(kernel: &mut kernel::Kernel, text: &str, is_root: bool, whose: &str) {
    kernel.emit(EventKind::Panic { message: text.into() });
    let node = kernel.current.node;
    let Some(policy) = kernel.nodes.get(node.index()).map(|node| node.on_panic) else { return };
    match policy {
        // Nobody can join a root: its panic must not pass unseen.
        OnPanic::JoinError if !is_root => {}
        OnPanic::FailRun | OnPanic::JoinError => {
            let label = kernel.current_label();
            // tokio's own words.
            let remedy = match text.contains("must be called from the context of a Tokio 1.x runtime") {
                true => {
                    ": let tokio execute the node, world.node(…).tokio(), and spawn there what needs it by tokio::spawn"
                }
                false => "",
            };
            kernel.fail("panic", format!("{label} panicked{whose}: {text}{remedy}"));
        }
        OnPanic::Crash => {
            if kernel.is_live() {
                kernel.crash(node);
            }
        }
    }
}

/// The task of a node whose root task is executed by `future`.
pub(crate) fn host(future: impl Future<Output = ()> + 'static) -> kernel::TaskFuture {
    kernel::task_future(Caught { future, is_root: true })
}

pin_project! {
    /// A node's root: calls the init function at its first poll.
    #[project = RootProjection]
    enum Root<F, Fut> {
        Unborn { init: Rc<F> },
        Running { #[pin] future: Fut },
        Returned,
    }
}

/// The root task of a node that is described by `init`.
pub(crate) fn root<F, Fut>(init: Rc<F>) -> kernel::TaskFuture
where
    F: Fn() -> Fut + 'static,
    Fut: Future + 'static,
    Fut::Output: NodeOutput,
{
    kernel::task_future(Root::Unborn { init })
}

impl<F, Fut> Future for Root<F, Fut>
where
    F: Fn() -> Fut,
    Fut: Future,
    Fut::Output: NodeOutput,
{
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let polled = catch_unwind(AssertUnwindSafe(|| {
            loop {
                match self.as_mut().project() {
                    RootProjection::Running { future } => {
                        return future.poll(context).map(NodeOutput::into_result);
                    }
                    RootProjection::Unborn { init } => {
                        let future = init();
                        self.set(Root::Running { future });
                    }
                    RootProjection::Returned => return Poll::Ready(Ok(())),
                }
            }
        }));
        let result = match polled {
            Ok(Poll::Pending) => return Poll::Pending,
            Ok(Poll::Ready(result)) => result,
            Err(payload) => {
                // It hasn't returned: the node is down, or the run fails.
                panicked(&*payload, true);
                return Poll::Ready(());
            }
        };
        kernel::with("a root task", |kernel| kernel.root_returned(result));
        Poll::Ready(())
    }
}

/// A spawned task, to be joined or aborted. Dropping it lets the task go on.
pub struct JoinHandle<T> {
    state: Arc<Mutex<JoinState<T>>>,
    task: Option<TaskRef>,
}

impl<T> JoinHandle<T> {
    /// Ends the task at its next rest; joining it gives a cancelled [`JoinError`] unless it has finished already.
    pub fn abort(&self) {
        abort(self.task);
    }

    /// Whether the task has ended.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        lock(&self.state).finished
    }

    /// A handle that can only abort.
    #[must_use]
    pub fn abort_handle(&self) -> AbortHandle {
        AbortHandle { task: self.task }
    }
}

/// Whether the node has crashed in the midst of this poll: what it spawned since then was dropped at once, and to join that never comes to an end either.
fn waits_for_ever() -> bool {
    kernel::try_with(|kernel| kernel.waits_for_ever()).unwrap_or(false)
}

fn abort(task: Option<TaskRef>) {
    if let Some(task) = task {
        let _ = kernel::try_with(|kernel| kernel.abort(task));
    }
}

impl<T> Future for JoinHandle<T> {
    type Output = Result<T, JoinError>;

    /// # Panics
    /// If polled after it gave its result.
    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        if waits_for_ever() {
            return Poll::Pending;
        }
        // Cloning is user code: nothing may be locked.
        let waker = kernel::any_waker(context);
        let mut state = lock(&self.state);
        if let Some(result) = state.result.take() {
            drop(state);
            return Poll::Ready(result);
        }
        assert!(!state.finished, "a JoinHandle was polled after it gave its result");
        let old = state.waker.replace(waker);
        drop(state);
        drop(old);
        Poll::Pending
    }
}

impl<T> fmt::Debug for JoinHandle<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JoinHandle").field("finished", &self.is_finished()).finish_non_exhaustive()
    }
}

/// Aborts a task.
#[derive(Clone, Debug)]
pub struct AbortHandle {
    task: Option<TaskRef>,
}

impl AbortHandle {
    /// See [`JoinHandle::abort`].
    pub fn abort(&self) {
        abort(self.task);
    }

    /// Whether the task has ended, its destructors included. Outside of its run it has.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        let runs = |task| kernel::try_with(|kernel| kernel.has_task(task)).unwrap_or(false);
        !self.task.is_some_and(runs)
    }
}

enum Why {
    Cancelled,
    // In a mutex so that the error is Sync, as tokio's.
    Panicked(Mutex<Box<dyn Any + Send>>),
}

/// Why a task has no result: it was cancelled, or it panicked (where the node's policy is [`OnPanic::JoinError`]).
pub struct JoinError {
    why: Why,
}

impl JoinError {
    /// Whether it was aborted, or its node crashed.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        matches!(self.why, Why::Cancelled)
    }

    /// Whether it panicked.
    #[must_use]
    pub fn is_panic(&self) -> bool {
        matches!(self.why, Why::Panicked(_))
    }

    /// What it panicked with.
    ///
    /// # Panics
    /// If it didn't.
    #[must_use]
    pub fn into_panic(self) -> Box<dyn Any + Send> {
        match self.try_into_panic() {
            Ok(payload) => payload,
            Err(error) => panic!("into_panic was called on an error that is none: {error}"),
        }
    }

    /// What it panicked with, or the error back.
    ///
    /// # Errors
    /// If it didn't panic.
    pub fn try_into_panic(self) -> Result<Box<dyn Any + Send>, JoinError> {
        match self.why {
            Why::Panicked(payload) => Ok(payload.into_inner().unwrap_or_else(PoisonError::into_inner)),
            why @ Why::Cancelled => Err(JoinError { why }),
        }
    }
}

impl fmt::Debug for JoinError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.is_panic() { "JoinError::Panic(...)" } else { "JoinError::Cancelled" })
    }
}

impl fmt::Display for JoinError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.is_panic() { "the task panicked" } else { "the task was cancelled" })
    }
}

impl std::error::Error for JoinError {}

impl From<JoinError> for std::io::Error {
    fn from(error: JoinError) -> std::io::Error {
        std::io::Error::other(error.to_string())
    }
}

/// Lets other tasks of this instant go first.
pub async fn yield_now() {
    let mut yielded = false;
    std::future::poll_fn(|context| {
        if yielded {
            return Poll::Ready(());
        }
        yielded = true;
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

#[derive(Default)]
struct SetQueue {
    done: VecDeque<u64>,
    waker: Option<Waker>,
}

/// Tasks that are joined as they end. Dropping the set aborts them.
pub struct JoinSet<T> {
    queue: Arc<Mutex<SetQueue>>,
    tasks: BTreeMap<u64, JoinHandle<T>>,
    next: u64,
}

impl<T: 'static> JoinSet<T> {
    /// An empty set.
    #[must_use]
    pub fn new() -> JoinSet<T> {
        JoinSet { queue: Arc::default(), tasks: BTreeMap::new(), next: 0 }
    }

    /// Spawns a task into the set.
    ///
    /// # Panics
    /// As [`spawn`].
    #[track_caller]
    pub fn spawn<F>(&mut self, future: F) -> AbortHandle
    where
        F: Future<Output = T> + 'static,
    {
        let name = TaskName::OfType(std::any::type_name::<F>());
        let handle = spawn_named(name, None, Location::caller(), future);
        let number = self.next;
        self.next += 1;
        let mut state = lock(&handle.state);
        if state.finished {
            lock(&self.queue).done.push_back(number);
        } else {
            state.set = Some((Arc::clone(&self.queue), number));
        }
        drop(state);
        let abort = handle.abort_handle();
        self.tasks.insert(number, handle);
        abort
    }

    /// As [`JoinSet::spawn`].
    ///
    /// # Panics
    /// As [`spawn`].
    #[track_caller]
    pub fn spawn_local<F>(&mut self, future: F) -> AbortHandle
    where
        F: Future<Output = T> + 'static,
    {
        self.spawn(future)
    }

    /// How many tasks are in the set: unfinished, or finished and not yet joined.
    #[must_use]
    pub fn len(&self) -> usize {
        self.tasks.len()
    }

    /// Whether the set is empty.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.tasks.is_empty()
    }

    /// Waits for the next task to end; `None` if the set is empty. Cancel safe.
    pub async fn join_next(&mut self) -> Option<Result<T, JoinError>> {
        std::future::poll_fn(|context| self.poll_join_next(context)).await
    }

    /// As [`JoinSet::join_next`], to be polled.
    pub fn poll_join_next(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<T, JoinError>>> {
        if self.tasks.is_empty() {
            return Poll::Ready(None);
        }
        if waits_for_ever() {
            return Poll::Pending;
        }
        let waker = kernel::any_waker(context);
        let mut queue = lock(&self.queue);
        let Some(number) = queue.done.pop_front() else {
            let old = queue.waker.replace(waker);
            drop(queue);
            drop(old);
            return Poll::Pending;
        };
        drop(queue);
        Poll::Ready(Some(self.take(number)))
    }

    /// The next ended task, if one has ended.
    pub fn try_join_next(&mut self) -> Option<Result<T, JoinError>> {
        let number = lock(&self.queue).done.pop_front()?;
        Some(self.take(number))
    }

    fn take(&mut self, number: u64) -> Result<T, JoinError> {
        let handle = self.tasks.remove(&number).expect("a task is in the set until it is joined");
        let result = lock(&handle.state).result.take();
        result.expect("an ended task has a result until it is joined")
    }

    /// Aborts all tasks; they are still to be joined.
    pub fn abort_all(&mut self) {
        for handle in self.tasks.values() {
            handle.abort();
        }
    }

    /// Aborts all tasks and waits for their ends.
    pub async fn shutdown(&mut self) {
        self.abort_all();
        while self.join_next().await.is_some() {}
    }

    /// Waits for all tasks.
    ///
    /// # Panics
    /// If one of them panicked or was cancelled, as tokio's.
    pub async fn join_all(mut self) -> Vec<T> {
        let mut results = Vec::with_capacity(self.len());
        while let Some(result) = self.join_next().await {
            match result {
                Ok(value) => results.push(value),
                Err(error) => match error.try_into_panic() {
                    Ok(payload) => std::panic::resume_unwind(payload),
                    Err(error) => panic!("{error}"),
                },
            }
        }
        results
    }

    /// Lets all tasks go on without the set.
    pub fn detach_all(&mut self) {
        for handle in std::mem::take(&mut self.tasks).into_values() {
            lock(&handle.state).set = None;
        }
        lock(&self.queue).done.clear();
    }
}

impl<T: 'static> Default for JoinSet<T> {
    fn default() -> JoinSet<T> {
        JoinSet::new()
    }
}

impl<T> Drop for JoinSet<T> {
    fn drop(&mut self) {
        for handle in self.tasks.values() {
            handle.abort();
        }
    }
}

impl<T> fmt::Debug for JoinSet<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JoinSet").field("len", &self.tasks.len()).finish_non_exhaustive()
    }
}

// What tokio makes Send and Sync: code that demands it must compile.
const fn is_send_and_sync<T: Send + Sync>() {}
const _: () = is_send_and_sync::<JoinHandle<u8>>();
const _: () = is_send_and_sync::<JoinSet<u8>>();
const _: () = is_send_and_sync::<JoinError>();
const _: () = is_send_and_sync::<AbortHandle>();
