//! Nodes whose tasks a real tokio runtime executes: `world.node("bank", bank).tokio()`.
//!
//! Each boot of such a node has an unmodified current-thread runtime of its own, driven in virtual time by the node's only task of the run. `tokio::spawn`,
//! `tokio::time`, `JoinSet`, `select!`, `LocalSet` and `tokio::sync` are tokio's own code. The page `docs/tokio.md` says what differs, and what is to be used in place
//! of what can't work.
//!
//! # How
//!
//! A drive is one `block_on`. When the runtime has nothing to do it parks: it asks libc to wait until its next timer. It says so beforehand
//! (`on_thread_park`), so that the wait can be told from one that a program makes in the midst of a task; the wait returns at once, and how long it would have
//! lasted is when the host is polled again. A timer far away sees to it that there always is such a time.
//!
//! What `spawn_blocking` is given is executed on a real thread of tokio's in lock step with the run's ([`squall_hermetic::SteppedThread`]), after the tasks have done
//! what they can.

use std::cell::RefCell;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use squall_engine::host::{Executor, Host, RootTask};
use squall_engine::{NodeBuilder, RoleBuilder};
use tokio::runtime::{Builder, Runtime};
use tokio::task::coop;
use tokio::time::Sleep;

const DAY: Duration = Duration::from_secs(86_400);

/// How far away the timer is that keeps every park from being endless. tokio's wheel turns once in 795 days and wakes for what is furthest away
/// up to 12.4 days before.
const FAR: Duration = DAY.saturating_mul(700);

/// Nobody waits for longer: it is the far timer, or as good as that.
const WAIT_MAX: Duration = DAY.saturating_mul(365);

/// No time.
const NONE_NS: u64 = u64::MAX;

/// Nodes that may have their tasks executed by tokio.
pub trait TokioNode {
    /// What the description of the node gives is executed as by `#[tokio::main(flavor = "current_thread")]`: by an unmodified tokio runtime, a new one for each
    /// boot, in virtual time. When it returns, the runtime is shut down, and what it spawned is dropped; so it is in a crash.
    ///
    /// To the run's order the node is one task. Among themselves its tasks are polled as tokio does: first in, first out.
    ///
    /// Tokio's own sockets, files, processes and signals can't be simulated, and fail the run with words that say what is to be used instead:
    /// [`crate::net`] and [`crate::fs`]. See `docs/tokio.md`.
    ///
    /// ```
    /// use squall::prelude::*;
    /// use squall::Simulation;
    ///
    /// let simulation = Simulation::new(|world: &mut World| {
    ///     world.client("sleeper", || async {
    ///         let task = tokio::spawn(async {
    ///             tokio::time::sleep(secs(3600)).await;
    ///             squall::time::Instant::now()
    ///         });
    ///         let before = squall::time::Instant::now();
    ///         assert_eq!(task.await.unwrap() - before, secs(3600));
    ///     }).tokio();
    ///     world.limits().virtual_ns *= 2;
    /// });
    /// let plan = squall::trace::Plan::seeded("example", squall::trace::Seed(1));
    /// assert_eq!(simulation.run_plan(&plan, squall::trace::Record::Digest).verdict, squall::trace::Verdict::Pass);
    /// ```
    ///
    /// # Panics
    /// If it was said already. Where clocks and waits aren't under the run's control ([`squall_hermetic::is_supported`]): anywhere but on Linux with glibc.
    fn tokio(&mut self) -> &mut Self;
}

impl TokioNode for NodeBuilder<'_> {
    #[track_caller]
    fn tokio(&mut self) -> &mut Self {
        check_support();
        self.hosted(TokioHost::new)
    }
}

impl TokioNode for RoleBuilder<'_> {
    #[track_caller]
    fn tokio(&mut self) -> &mut Self {
        check_support();
        self.hosted(TokioHost::new)
    }
}

#[track_caller]
fn check_support() {
    assert!(
        squall_hermetic::is_supported(),
        "a tokio runtime can't be driven in virtual time on this platform: that needs Linux with a dynamically linked glibc, on x86-64 or AArch64; use \
         squall::task and squall::time in place of tokio's, which have the same names"
    );
}

/// What is to be used in place of what a program panics about.
fn explain_panic(text: &str) -> Option<&'static str> {
    // tokio's own words, of its `driver.rs` and its `worker.rs`; tests hold them to what tokio says.
    if text.contains("IO is disabled") {
        Some(
            "tokio's own sockets, processes and signals are real ones and can't be simulated; in a node use squall::net in place of tokio::net, and let faults \
             stop or restart nodes in place of signals",
        )
    } else if text.contains("can call blocking only when running on the multi-threaded runtime") {
        Some("a node's runtime has one thread; use tokio::task::spawn_blocking in place of block_in_place")
    } else {
        None
    }
}

/// tokio's budget of cooperative tasks: whether there is some left, or one part of it less.
fn proceed(context: &mut Context<'_>, spends: bool) -> Poll<()> {
    if !spends && coop::has_budget_remaining() {
        return Poll::Ready(());
    }
    // Where it is used up, it wakes the task.
    coop::poll_proceed(context).map(|part| {
        if spends {
            part.made_progress();
        }
    })
}

/// What the runtime's hooks, its root task's waker and its host say to each other.
struct Signal {
    is_root_woken: AtomicBool,
    is_driven: AtomicBool,
    /// How long the runtime would have parked; [`NONE_NS`] if it didn't come to that.
    parked_ns: AtomicU64,
    /// Whether tokio's clock was moved by the program.
    is_clock_moved: AtomicBool,
    /// Wakes the host's task.
    host: Waker,
}

thread_local! {
    /// Wakes the future that the runtime blocks on which is driven here. Each host has its own and puts it here for a drive: where the root task's waker held it, that
    /// would hold the runtime.
    static DRIVE: RefCell<Option<Waker>> = const { RefCell::new(None) };
}

/// Nothing on another thread: before the next drive's future is polled for the first time nobody needs to wake it. Nor at the end of a thread of tokio's, where destructors of what it
/// holds may wake the root.
fn wake_drive() {
    let _ = DRIVE.try_with(|drive| {
        if let Some(drive) = &*drive.borrow() {
            drive.wake_by_ref();
        }
    });
}

impl Signal {
    /// The runtime has parked, and goes on.
    fn unparked(&self) {
        match squall_hermetic::take_park() {
            Some(at_most) => {
                let ns = u64::try_from(at_most.as_nanos()).unwrap_or(NONE_NS - 1);
                self.parked_ns.store(ns, Ordering::Relaxed);
                wake_drive();
            }
            // Something is due, or was woken meanwhile. A paused clock goes on by itself in place of waiting.
            None if is_clock_moved() => {
                self.is_clock_moved.store(true, Ordering::Relaxed);
                wake_drive();
            }
            None => {}
        }
    }
}

/// Whether tokio's clock shows another time than the node's.
fn is_clock_moved() -> bool {
    let (of_tokio, of_node) = (tokio::time::Instant::now().into_std(), std::time::Instant::now());
    of_tokio != of_node
}

/// The waker of the node's root task.
impl Wake for Signal {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if self.is_root_woken.swap(true, Ordering::Relaxed) {
            return;
        }
        if self.is_driven.load(Ordering::Relaxed) {
            wake_drive();
        } else {
            self.host.wake_by_ref();
        }
    }
}

/// Executes a node's root task by a runtime of its own.
enum TokioHost {
    Unborn(RootTask),
    Running(Box<Running>),
    Ended,
}

impl TokioHost {
    fn new(root: RootTask) -> TokioHost {
        TokioHost::Unborn(root)
    }
}

impl Future for TokioHost {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        loop {
            match std::mem::replace(&mut *self, TokioHost::Ended) {
                TokioHost::Unborn(root) => *self = TokioHost::Running(Box::new(Running::boot(root, context))),
                TokioHost::Running(mut running) => {
                    let idle = running.drive();
                    if let Idle::Until(at_most) = idle {
                        running.host.wait(context, (at_most < WAIT_MAX).then_some(at_most));
                        *self = TokioHost::Running(running);
                        return Poll::Pending;
                    }
                    drop(running);
                    assert!(
                        matches!(idle, Idle::Returned),
                        "tokio's clock was stopped or moved (tokio::time::pause, advance, start_paused): in a node time is virtual already and jumps over what \
                         nobody waits for, so take that away"
                    );
                    return Poll::Ready(());
                }
                TokioHost::Ended => return Poll::Ready(()),
            }
        }
    }
}

/// Why a drive is over.
enum Idle {
    /// Nothing is to be done until then.
    Until(Duration),
    /// The root task has returned.
    Returned,
    /// The program has taken time into its own hands.
    ClockMoved,
}

struct Running {
    host: Host,
    signal: Arc<Signal>,
    root_waker: Waker,
    root: Option<Pin<Box<RootTask>>>,
    far: Option<Pin<Box<Sleep>>>,
    /// See [`DRIVE`].
    drive: Option<Waker>,
    runtime: Option<Runtime>,
}

impl Running {
    fn boot(root: RootTask, context: &Context<'_>) -> Running {
        let signal = Arc::new(Signal {
            is_root_woken: AtomicBool::new(true),
            is_driven: AtomicBool::new(false),
            parked_ns: AtomicU64::new(NONE_NS),
            is_clock_moved: AtomicBool::new(false),
            host: context.waker().clone(),
        });
        let on_unpark = Arc::clone(&signal);
        let runtime = Builder::new_current_thread()
            .enable_time()
            .on_thread_park(squall_hermetic::expect_park)
            .on_thread_unpark(move || on_unpark.unparked())
            .thread_name_fn(|| {
                // It is asked when a thread is about to be made, and at no other time.
                squall_hermetic::expect_thread();
                "tokio-rt-worker".to_string()
            })
            .build()
            .expect("a runtime without I/O asks the system for nothing");
        let far = {
            let _context = runtime.enter();
            Box::pin(tokio::time::sleep(FAR))
        };
        let metrics = runtime.metrics();
        // What is spawned and woken from elsewhere tokio puts into a queue of its own, and tells nobody.
        let has_work = Box::new(move || metrics.global_queue_depth() > 0);
        let host = Host::new(context, Executor { name: "tokio", explain_panic, proceed, has_work });
        let root_waker = Waker::from(Arc::clone(&signal));
        Running {
            host,
            signal,
            root_waker,
            root: Some(Box::pin(root)),
            far: Some(far),
            drive: None,
            runtime: Some(runtime),
        }
    }

    /// Lets the runtime do all that there is to do now.
    fn drive(&mut self) -> Idle {
        let Running { host, signal, root_waker, root, far, drive, runtime } = self;
        let (Some(root), Some(far), Some(runtime)) = (root, far, runtime) else { return Idle::Returned };
        signal.is_driven.store(true, Ordering::Relaxed);
        DRIVE.set(drive.take());
        let idle = loop {
            if host.take_root_wake() {
                signal.is_root_woken.store(true, Ordering::Relaxed);
            }
            let idle = host.drive(|| runtime.block_on(Drive { signal, root_waker, root, far }));
            // What blocks is executed when the tasks have done what they can.
            if !matches!(idle, Idle::Until(_)) || !host.step_threads() {
                break idle;
            }
        };
        *drive = DRIVE.take();
        signal.is_driven.store(false, Ordering::Relaxed);
        idle
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let Running { host, root, far, drive, runtime, .. } = self;
        host.end(|| {
            let Some(runtime) = runtime.take() else { return };
            {
                // Destructors may spawn, as they may when `block_on` is left. What they panic with is known; the runtime is to go in any case, and without
                // waiting for threads.
                let _context = runtime.enter();
                let _ = catch_unwind(AssertUnwindSafe(|| drop(root.take())));
                drop(far.take());
            }
            drop(drive.take());
            runtime.shutdown_background();
        });
    }
}

/// What the runtime blocks on: the root task, until the runtime has nothing to do.
struct Drive<'r> {
    signal: &'r Signal,
    root_waker: &'r Waker,
    root: &'r mut Pin<Box<RootTask>>,
    far: &'r mut Pin<Box<Sleep>>,
}

impl Future for Drive<'_> {
    type Output = Idle;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Idle> {
        let Drive { signal, root_waker, root, far } = &mut *self;
        if DRIVE.with_borrow(Option::is_none) {
            DRIVE.set(Some(context.waker().clone()));
            // It never comes, so nobody is woken by it.
            let _ = far.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        }
        // A load and a store, where a swap would wait for all that the processor has yet to write: nobody else writes there meanwhile.
        let parked_ns = signal.parked_ns.load(Ordering::Relaxed);
        signal.parked_ns.store(NONE_NS, Ordering::Relaxed);
        if signal.is_clock_moved.load(Ordering::Relaxed) {
            return Poll::Ready(Idle::ClockMoved);
        }
        if signal.is_root_woken.load(Ordering::Relaxed) {
            signal.is_root_woken.store(false, Ordering::Relaxed);
            return root.as_mut().poll(&mut Context::from_waker(root_waker)).map(|()| match is_clock_moved() {
                true => Idle::ClockMoved,
                false => Idle::Returned,
            });
        }
        if parked_ns == NONE_NS { Poll::Pending } else { Poll::Ready(Idle::Until(Duration::from_nanos(parked_ns))) }
    }
}
