//! Tasks that host another executor: the seam at which a node's root task is executed by something else than Squall.
//!
//! A host is one task of the run. When it is polled it [drives](Host::drive) its executor until that has nothing to do any more, and then
//! [waits](Host::wait) for its executor's next timer, or to be woken. To the run's order, faults and clocks it is a task like any other; in what order the executor
//! polls its own tasks is the executor's business, and must follow from nothing but what it was asked.
//!
//! While a host is driven,
//! - what waits for something of Squall's with a waker of the executor's wakes the host as well; the root task, which waits with its own, mostly by its host alone
//!   ([`Host::take_root_wake`]);
//! - a panic that the executor catches follows the node's policy ([`crate::OnPanic`]): the panic hook sees it. A panic that a program catches itself is
//!   the same to it.
//!
//! Who is woken by something that isn't Squall's (a channel whose other end is in another node) wakes only its executor. So before time goes on each host is asked
//! whether it has something to do.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use squall_hermetic::SteppedThread;

use crate::kernel::{self, Kernel, TaskFuture};
use crate::time::{Sleep, sleep_until_shown};
use crate::world::duration_ns;

/// Whether the task that is polled may go on, of an executor that lets one go on for so long only (tokio's cooperative budget): if not, it is woken again. With the second argument
/// that uses up some of what it may.
pub type Proceed = fn(&mut Context<'_>, bool) -> Poll<()>;

/// What a host says of its executor.
pub struct Executor {
    /// What its tasks are called in messages: `tokio`.
    pub name: &'static str,
    /// What is to be said of a panic with that text, beside the text: what a program is to use in place of what can't work here.
    pub explain_panic: fn(&str) -> Option<&'static str>,
    /// Whether the task that it polls may go on.
    pub proceed: Proceed,
    /// Whether the executor has something to do. It is asked before time goes on, in the midst of Squall's own code: it only looks.
    pub has_work: Box<dyn Fn() -> bool>,
}

impl fmt::Debug for Executor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Executor").field("name", &self.name).finish_non_exhaustive()
    }
}

/// A task that hosts an executor; see the [module](self).
#[derive(Debug)]
pub struct Host {
    hosting: Rc<Hosting>,
    /// The executor's next timer.
    timer: Option<(u64, Sleep)>,
}

/// What is known of a host where its executor is driven, and to the run's loop.
pub(crate) struct Hosting {
    executor: Executor,
    /// Of the host's task.
    task: Waker,
    /// The waker that was met last, and one that wakes the host as well.
    last: RefCell<Option<(Waker, Waker)>>,
    /// Whether it was woken since it was driven last because its executor has something to do.
    is_told: Cell<bool>,
    /// Panics that were seen in the midst of Squall's own code.
    unsettled_panics: RefCell<Vec<String>>,
    /// Those that the executor has made, as long as they last.
    threads: RefCell<Vec<SteppedThread>>,
}

impl fmt::Debug for Hosting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.executor.fmt(f)
    }
}

impl Hosting {
    /// Whether the host is to be woken because its executor has something to do, and wasn't [told](Hosting::tell) yet. Its threads are looked at as well if `has_threads`: if any host of the run has
    /// had one.
    #[inline]
    pub(crate) fn has_unheard(&self, has_threads: bool) -> bool {
        !self.is_told.get() && ((has_threads && self.has_woken_thread()) || (self.executor.has_work)())
    }

    /// It is woken because its executor has something to do.
    pub(crate) fn tell(&self) {
        self.is_told.set(true);
    }

    /// A task of the executor's has panicked.
    fn panicked(&self, text: String) {
        let whose = format!(" in a task of {}", self.executor.name);
        if kernel::try_with(|kernel| crate::task::follow_policy(kernel, &text, false, &whose)).is_none() {
            self.unsettled_panics.borrow_mut().push(text);
        }
    }

    /// A thread of the executor's has panicked. Once its node has crashed, or the run is over, its waits are ended under it: what it makes of that counts as little as all else that
    /// it does then.
    fn thread_panicked(&self, text: String) {
        if kernel::try_with(|kernel| kernel.is_live()).unwrap_or(true) {
            self.panicked(text);
        }
    }
}

/// What the executor that is driven does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Doing {
    /// It polls its own tasks, whose panics it catches.
    Tasks,
    /// It polls the node's root task, which catches its own.
    Root,
    /// It drops everything.
    Destructors,
}

thread_local! {
    /// The host that is driven.
    static DRIVEN: RefCell<Option<(Rc<Hosting>, Doing)>> = const { RefCell::new(None) };
}

/// What is driven, until this is dropped.
struct Entered(Option<(Rc<Hosting>, Doing)>);

impl Entered {
    fn new(hosting: Option<Rc<Hosting>>, doing: Doing) -> Entered {
        Entered(DRIVEN.replace(hosting.map(|hosting| (hosting, doing))))
    }
}

impl Drop for Entered {
    fn drop(&mut self) {
        let _ = DRIVEN.replace(self.0.take());
    }
}

/// The root task is polled, until this is dropped.
struct Root {
    before: Option<Doing>,
    _polled: kernel::RootPolled,
}

impl Root {
    fn new(waker: &Waker) -> Root {
        Root { before: do_now(Doing::Root), _polled: kernel::RootPolled::new(waker) }
    }
}

impl Drop for Root {
    fn drop(&mut self) {
        self.before.map(do_now);
    }
}

/// The executor that is driven does something else now. What it did before.
fn do_now(doing: Doing) -> Option<Doing> {
    DRIVEN.with_borrow_mut(|driven| driven.as_mut().map(|(_, before)| std::mem::replace(before, doing)))
}

fn driven() -> Option<(Rc<Hosting>, Doing)> {
    DRIVEN.with_borrow(Clone::clone)
}

thread_local! {
    /// See [`Executor::proceed`], of the one that is driven.
    static PROCEED: Cell<Option<Proceed>> = const { Cell::new(None) };
}

/// What `poll` gives. What it gives at once uses up some of what the executor that is driven lets the task do, and where that is nothing more it is `Pending`, as it is with the executor's
/// own sockets.
#[inline]
pub(crate) fn within_budget<T>(context: &mut Context<'_>, poll: impl FnOnce(&Context<'_>) -> Poll<T>) -> Poll<T> {
    let Some(proceed) = PROCEED.get() else { return poll(context) };
    if proceed(context, false).is_pending() {
        return Poll::Pending;
    }
    let polled = poll(context);
    if polled.is_ready() {
        let _ = proceed(context, true);
    }
    polled
}

/// What `act` gives at once, as [`within_budget`].
#[inline]
pub(crate) fn act_within_budget<T>(context: &mut Context<'_>, act: impl FnOnce() -> T) -> Poll<T> {
    match PROCEED.get() {
        Some(proceed) => proceed(context, true).map(|()| act()),
        None => Poll::Ready(act()),
    }
}

/// An executor is driven, until this is dropped. The node's clock is known without being asked for: it stands still in a poll, but for [what a wait
/// skips](squall_hermetic::Host::on_escape).
struct Driven;

impl Driven {
    fn new(executor: &Executor) -> Driven {
        squall_hermetic::show_monotonic(kernel::try_with(Kernel::read_monotonic_clock));
        PROCEED.set(Some(executor.proceed));
        Driven
    }
}

impl Drop for Driven {
    fn drop(&mut self) {
        PROCEED.set(None);
        squall_hermetic::show_monotonic(None);
    }
}

/// Wakes whom an executor knows, and the executor's host.
struct WakesHost {
    inner: Waker,
    host: Waker,
}

impl Wake for WakesHost {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.inner.wake_by_ref();
        self.host.wake_by_ref();
    }
}

/// A clone of `waker`, which isn't the running task's own. If a host is driven, it wakes that as well.
pub(crate) fn waking_host(waker: &Waker) -> Waker {
    match driven() {
        None => waker.clone(),
        Some((hosting, _)) => hosting.waking_this(waker),
    }
}

impl Hosting {
    /// Whether one of the executor's threads may go on, of which nobody is told: another node has sent it something.
    fn has_woken_thread(&self) -> bool {
        self.threads.borrow().iter().any(SteppedThread::is_woken)
    }

    fn waking_this(&self, waker: &Waker) -> Waker {
        // Cloning and dropping wakers is user code: nothing may be borrowed.
        let last = self.last.take();
        let wakes_host = match &last {
            Some((known, wakes_host)) if known.will_wake(waker) => {
                let wakes_host = wakes_host.clone();
                self.last.replace(last);
                return wakes_host;
            }
            _ => Waker::from(Arc::new(WakesHost { inner: waker.clone(), host: self.task.clone() })),
        };
        drop(last);
        let known = (waker.clone(), wakes_host.clone());
        let before = self.last.replace(Some(known));
        drop(before);
        wakes_host
    }
}

/// Nothing is closed until this is dropped.
struct Closing;

impl Closing {
    fn new() -> Closing {
        let _ = kernel::try_with(Kernel::begin_closing);
        Closing
    }
}

impl Drop for Closing {
    fn drop(&mut self) {
        let _ = kernel::try_with(Kernel::end_closing);
    }
}

/// How often a thread in lock step is stepped at its end, for which its waits are over at once.
const STEPS_TO_END_MAX: u32 = 1_000;

/// Looks at a panic in node code: whether it is one that a host's executor catches, and what is to be said of it. Called by the panic hook.
pub(crate) fn see_panic(text: &str, place: &mut Option<String>) {
    if squall_hermetic::is_stepped_thread() {
        // The run's thread knows whose it is.
        return squall_hermetic::leave_note(crate::panics::text_at(text, place.as_deref()));
    }
    let Some((hosting, doing)) = driven() else { return };
    if let Some(remedy) = (hosting.executor.explain_panic)(text) {
        let at = place.take().unwrap_or_else(|| "an unknown place".to_string());
        *place = Some(format!("{at}: {remedy}"));
    }
    let text = crate::panics::text_at(text, place.as_deref());
    match doing {
        Doing::Root => {}
        Doing::Tasks => hosting.panicked(text),
        Doing::Destructors => {
            let _ = kernel::try_with(|kernel| kernel.destructor_panicked(&text));
        }
    }
}

impl Host {
    /// The running task becomes a host, until this is dropped.
    ///
    /// # Panics
    /// Outside of a run.
    #[must_use]
    #[track_caller]
    pub fn new(context: &Context<'_>, executor: Executor) -> Host {
        let hosting = Rc::new(Hosting {
            executor,
            task: context.waker().clone(),
            last: RefCell::new(None),
            is_told: Cell::new(false),
            unsettled_panics: RefCell::new(Vec::new()),
            threads: RefCell::new(Vec::new()),
        });
        kernel::with("a host", |kernel| {
            let task = kernel.current_task();
            kernel.hosts.push((task, Rc::clone(&hosting)));
        });
        Host { hosting, timer: None }
    }

    /// Calls `drive`, in which the executor polls its tasks until it has nothing to do.
    pub fn drive<R>(&self, drive: impl FnOnce() -> R) -> R {
        self.hosting.is_told.set(false);
        let driven = {
            let _entered = Entered::new(Some(Rc::clone(&self.hosting)), Doing::Tasks);
            let _driven = Driven::new(&self.hosting.executor);
            drive()
        };
        if !self.hosting.unsettled_panics.borrow().is_empty() {
            for text in self.hosting.unsettled_panics.take() {
                self.hosting.panicked(text);
            }
        }
        driven
    }

    /// Whether the [root task](RootTask) is to be polled in the drive that comes: something of Squall's woke it, for which it waited with the waker that it was polled with itself. Most such
    /// wakes don't go through that waker, but wake the host alone. To be called in the host's poll, before each drive.
    ///
    /// # Panics
    /// Outside of a run.
    #[must_use]
    pub fn take_root_wake(&self) -> bool {
        kernel::with("a host", Kernel::take_root_wake)
    }

    /// Lets each thread of the executor's go on that can, once: see [`squall_hermetic::expect_thread`]. Whether there was one; the executor is to be driven again then. To be called in the
    /// host's poll, where the executor isn't driven.
    // In each drive, where there mostly are none.
    #[inline(always)]
    pub fn step_threads(&mut self) -> bool {
        let made = squall_hermetic::take_made_threads();
        if made.is_empty() && self.hosting.threads.borrow().is_empty() {
            return false;
        }
        self.step_each(made)
    }

    /// Likewise, where there are threads, some of them just made.
    #[cold]
    fn step_each(&mut self, mut made: Vec<SteppedThread>) -> bool {
        let threads = &self.hosting.threads;
        if !made.is_empty() {
            kernel::with("a host", |kernel| kernel.hosts_have_threads = true);
            threads.borrow_mut().append(&mut made);
        }
        // What it does may have to do with the others: nothing is borrowed meanwhile.
        let stood_still = threads.borrow().clone();
        let mut has_stepped = false;
        for thread in &stood_still {
            if thread.is_ready() {
                has_stepped = true;
                self.step(thread);
            }
        }
        threads.borrow_mut().retain(|thread| !thread.has_ended());
        has_stepped
    }

    fn step(&self, thread: &SteppedThread) {
        thread.step();
        for text in thread.take_notes() {
            self.hosting.thread_panicked(text);
        }
        let _ = kernel::try_with(Kernel::wake_for_threads);
    }

    /// Calls `end`, in which the executor drops its tasks: a panic of their destructors fails the run, as that of any other does. Then its threads end: what they wait for up
    /// to a time is over, and what they panic with counts only if the root has returned: where the node has crashed, or the run is over, nobody is there any more to fail. One that
    /// waits for something else is left over, and named. Connections that the tasks had are closed in the order in which they were made, whatever the order in which the tasks are
    /// dropped.
    pub fn end<R>(&mut self, end: impl FnOnce() -> R) -> R {
        let ended = {
            let _entered = Entered::new(Some(Rc::clone(&self.hosting)), Doing::Destructors);
            let _closing = Closing::new();
            end()
        };
        for _ in 0..STEPS_TO_END_MAX {
            if !self.step_threads() && !self.end_a_wait() {
                break;
            }
        }
        if !self.hosting.threads.borrow().is_empty() {
            let what = "a thread of spawn_blocking waits for what will never come, and is left over when its node goes";
            let _ = kernel::try_with(|kernel| kernel.escaped(what, kernel::Gravity::Note, ""));
        }
        ended
    }

    /// Ends the wait of a thread that has a time limit. Whether there was one.
    fn end_a_wait(&self) -> bool {
        let waits = self.hosting.threads.borrow().iter().find(|thread| thread.has_time_limit()).cloned();
        waits.inspect(|thread| self.step(thread)).is_some()
    }

    /// The host is to be polled again when so much time of the node's clock is over, or one of its threads has waited for long enough; `None` if only somebody else wakes it. To be called in the host's poll, with
    /// its context.
    ///
    /// # Panics
    /// Outside of a run.
    pub fn wait(&mut self, context: &mut Context<'_>, at_most: Option<Duration>) {
        let of_threads = self.hosting.threads.borrow().iter().filter_map(SteppedThread::waits_at_most).min();
        let Some(at_most) = at_most.into_iter().chain(of_threads).min() else {
            self.timer = None;
            return;
        };
        let shown_ns = kernel::with("a host", |kernel| kernel.shown_ns());
        let until_ns = shown_ns.saturating_add(duration_ns(at_most));
        if self.timer.as_ref().is_none_or(|(known_ns, _)| *known_ns != until_ns) {
            self.timer = Some((until_ns, sleep_until_shown(until_ns)));
        }
        if let Some((_, sleep)) = &mut self.timer
            && Pin::new(sleep).poll(context).is_ready()
        {
            context.waker().wake_by_ref();
        }
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        let hosting = &self.hosting;
        let _ = kernel::try_with(|kernel| kernel.hosts.retain(|(_, other)| !Rc::ptr_eq(other, hosting)));
    }
}

/// A node's root task, for the executor that a host drives.
pub struct RootTask(TaskFuture);

impl RootTask {
    pub(crate) fn new(root: TaskFuture) -> RootTask {
        RootTask(root)
    }
}

impl Future for RootTask {
    type Output = ();

    /// Polls what the node's description gave. It doesn't unwind, and what it returned is known to the run.
    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let _root = Root::new(context.waker());
        self.0.as_mut().project().future.poll(context)
    }
}

impl fmt::Debug for RootTask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RootTask").finish_non_exhaustive()
    }
}
