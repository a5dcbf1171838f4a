//! openraft's own suite for runtimes, on Squall's: it passes whole, repeats itself, and finds what is wrong with others.

use std::future::Future;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use openraft_rt::testing::Suite;
use openraft_rt::{AsyncRuntime, OptionalSend, Select2};
use squall::prelude::*;
use squall::trace::{EndReason, Plan, Record, Seed, Verdict};
use squall::{Simulation, explore};
use squall_apps::blocking;
use squall_apps::openraft_runtime::{Instant, Mpsc, Mutex, Oneshot, Receiver, SquallRuntime, Watch};
use tokio::sync::mpsc;

/// All tests of the suite, called as its authors call them, in a node.
fn suite_on<Rt: AsyncRuntime>(world: &mut World) {
    world.client("suite", || blocking::on_own_stack(Suite::<Rt>::test_all));
}

/// What the suite waits for in all, in the order in which it does: the rest of it takes no time. With less of it one of its tests was left out.
const SUITE_WAITS_MS: [u64; 15] = [
    10, // sleep
    10, // instant
    50, // instant_sub_instant
    50, // instant_saturating_duration_since
    10, // instant_ord
    10, // sleep_until
    10, // timeout, which passes
    10, // timeout_at, likewise
    10, // select_wakes_from_later_branch
    50, // watch_changed_marks_as_seen
    50, // watch_multiple_borrow_then_changed
    60, // watch_wait_loop_pattern: three changes of five, 20 ms apart
    10, // watch_multiple_receivers
    10, // watch_subscribe
    10, // task_local
];

/// In this process, after other seeds and in a fresh process, and with tasks woken in any order.
#[test]
fn the_suite_passes_and_repeats_itself() {
    explore(0..200, suite_on::<SquallRuntime>);
}

#[test]
fn the_suite_takes_the_time_that_its_tests_wait() {
    let simulation = Simulation::new(suite_on::<SquallRuntime>);
    for seed in 0..20 {
        let outcome = simulation.run_plan(&Plan::seeded("suite", Seed(seed)), Record::Digest);
        assert_eq!(outcome.verdict, Verdict::Pass, "seed {seed}");
        assert_eq!(outcome.ending.reason, EndReason::ClientsReturned);
        assert_eq!(outcome.ending.at_ns, SUITE_WAITS_MS.iter().sum::<u64>() * 1_000_000, "seed {seed}");
        assert_eq!(outcome.escapes, Vec::<String>::new(), "seed {seed}");
    }
}

/// Which part of [`Wrong`] is so.
const NOTHING: u8 = 0;
const TIMERS: u8 = 1;
const SELECTION: u8 = 2;
const CHANNELS: u8 = 3;

/// A runtime with one fault, for the suite to find.
#[derive(Debug)]
struct Wrong<const PART: u8>;

impl<const PART: u8> AsyncRuntime for Wrong<PART> {
    type JoinError = squall::task::JoinError;
    type JoinHandle<T: OptionalSend + 'static> = squall::task::JoinHandle<T>;
    type Sleep = squall::time::Sleep;
    type Instant = Instant;
    type TimeoutError = squall::time::error::Elapsed;
    type Timeout<R, T: Future<Output = R> + OptionalSend> = squall::time::Timeout<T>;
    type ThreadLocalRng = squall::rand::TaskRng;
    type Mpsc = Roomy<PART>;
    type Watch = Watch;
    type Oneshot = Oneshot;
    type Mutex<T: OptionalSend + 'static> = Mutex<T>;

    fn spawn<T>(future: T) -> Self::JoinHandle<T::Output>
    where
        T: Future + OptionalSend + 'static,
        T::Output: OptionalSend + 'static,
    {
        SquallRuntime::spawn(future)
    }

    fn sleep(duration: Duration) -> Self::Sleep {
        SquallRuntime::sleep(if PART == TIMERS { duration - Duration::from_nanos(1) } else { duration })
    }

    fn sleep_until(deadline: Instant) -> Self::Sleep {
        SquallRuntime::sleep_until(deadline)
    }

    fn timeout<R, F: Future<Output = R> + OptionalSend>(duration: Duration, future: F) -> Self::Timeout<R, F> {
        SquallRuntime::timeout(duration, future)
    }

    fn timeout_at<R, F: Future<Output = R> + OptionalSend>(deadline: Instant, future: F) -> Self::Timeout<R, F> {
        SquallRuntime::timeout_at(deadline, future)
    }

    async fn select2<A, B>(a: A, b: B) -> Select2<A::Output, B::Output>
    where
        A: Future + OptionalSend,
        B: Future + OptionalSend,
    {
        if PART != SELECTION {
            return SquallRuntime::select2(a, b).await;
        }
        // The second goes first.
        match SquallRuntime::select2(b, a).await {
            Select2::First(output) => Select2::Second(output),
            Select2::Second(output) => Select2::First(output),
        }
    }

    fn is_panic(error: &Self::JoinError) -> bool {
        SquallRuntime::is_panic(error)
    }

    fn thread_rng() -> Self::ThreadLocalRng {
        SquallRuntime::thread_rng()
    }

    fn new(_threads: usize) -> Self {
        Wrong
    }

    fn block_on<F, T>(&mut self, future: F) -> T
    where
        F: Future<Output = T>,
    {
        blocking::block_on(future)
    }
}

/// Channels which, with that fault, have a place more than was asked for.
struct Roomy<const PART: u8>;

impl<const PART: u8> openraft_rt::Mpsc for Roomy<PART> {
    type Sender<T: OptionalSend> = mpsc::Sender<T>;
    type Receiver<T: OptionalSend> = Receiver<T>;
    type WeakSender<T: OptionalSend> = mpsc::WeakSender<T>;

    fn channel<T: OptionalSend>(buffer: usize) -> (mpsc::Sender<T>, Receiver<T>) {
        <Mpsc as openraft_rt::Mpsc>::channel(buffer + usize::from(PART == CHANNELS))
    }
}

impl<T: OptionalSend, const PART: u8> openraft_rt::MpscSender<Roomy<PART>, T> for mpsc::Sender<T> {
    fn send(&self, message: T) -> impl Future<Output = Result<(), openraft_rt::SendError<T>>> + OptionalSend {
        openraft_rt::MpscSender::<Mpsc, T>::send(self, message)
    }

    fn downgrade(&self) -> mpsc::WeakSender<T> {
        self.downgrade()
    }
}

impl<T: OptionalSend, const PART: u8> openraft_rt::MpscWeakSender<Roomy<PART>, T> for mpsc::WeakSender<T> {
    fn upgrade(&self) -> Option<mpsc::Sender<T>> {
        self.upgrade()
    }
}

/// What the suite says on a runtime that is wrong in a part; nothing if it finds nothing.
fn found_in<const PART: u8>() -> Option<String> {
    let simulation = Simulation::new(suite_on::<Wrong<PART>>);
    let outcome = simulation.run_plan(&Plan::seeded("suite", Seed(1)), Record::Digest);
    let Verdict::Fail(failure) = outcome.verdict else {
        assert_eq!(outcome.verdict, Verdict::Pass);
        return None;
    };
    assert_eq!(failure.property, "panic", "{}", failure.message);
    assert!(failure.message.contains("openraft-rt-0.10.0-alpha.37/src/testing.rs"), "{}", failure.message);
    Some(failure.message)
}

/// A panic on a stack of its own is the task's, and the runs after it are as ever.
#[test]
fn the_suite_finds_what_is_wrong() {
    assert_eq!(found_in::<NOTHING>(), None);
    for (found, said) in [
        (found_in::<TIMERS>(), "elapsed >= dur_10ms"),
        (found_in::<SELECTION>(), "left == right"),
        (found_in::<CHANNELS>(), "send() should be Pending when buffer is full"),
    ] {
        let found = found.expect("the suite finds it");
        assert!(found.contains(said), "{found}");
    }
    assert_eq!(found_in::<NOTHING>(), None);
}

/// Whoever blocks elsewhere is told what to do.
#[test]
fn a_task_cannot_block() {
    let simulation = Simulation::new(|world| {
        world.client("blocks", || async { SquallRuntime.block_on(squall::time::sleep(secs(1))) });
    });
    let outcome = simulation.run_plan(&Plan::seeded("blocks", Seed(1)), Record::Digest);
    let Verdict::Fail(failure) = outcome.verdict else { panic!("{:?}", outcome.verdict) };
    assert_eq!(failure.property, "panic");
    assert!(failure.message.contains("blocking::on_own_stack"), "{}", failure.message);
}

/// Two stacks of one node take turns, and a crash unwinds the one that waits.
#[test]
fn stacks_wait_side_by_side_and_end_with_their_node() {
    explore(0..50, |world| {
        world.node("blocks", || async {
            blocking::on_own_stack(|| {
                let _unwound = Unwound;
                blocking::block_on(squall::time::sleep(secs(3_600)));
                unreachable!("its node has crashed");
            })
            .await;
        });
        world.fault(squall::crash("blocks").at(1_500.ms()));
        world.client("client", || async {
            let begun = squall::time::Instant::now();
            let waits =
                |seconds| blocking::on_own_stack(move || blocking::block_on(squall::time::sleep(secs(seconds))));
            let (first, second) = (squall::spawn(waits(2)), squall::spawn(waits(1)));
            second.await.expect("it returns");
            assert_eq!(begun.elapsed(), secs(1));
            first.await.expect("it returns");
            assert_eq!(begun.elapsed(), secs(2));
        });
    });
    assert!(UNWOUND.load(Ordering::Relaxed) >= 50);
}

/// The panic hook is the process's: whoever ends a stack leaves it to the runs of other threads.
#[test]
fn stacks_that_end_take_no_other_run_its_panic_s_place() {
    let ends = |world: &mut World| {
        world.node("blocks", || async {
            blocking::on_own_stack(|| blocking::block_on(squall::time::sleep(secs(3_600)))).await;
        });
        world.fault(squall::crash("blocks").at(1.ms()));
    };
    let panics = |world: &mut World| {
        world.client("panics", || async { panic!("as it must") });
    };
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let ends = Simulation::new(ends);
            while !is_over.load(Ordering::Relaxed) {
                let _ = ends.run_plan(&Plan::seeded("ends", Seed(1)), Record::Digest);
            }
        });
        let panics = Simulation::new(panics);
        let messages: Vec<String> = (0..300)
            .map(|seed| match panics.run_plan(&Plan::seeded("panics", Seed(seed)), Record::Digest).verdict {
                Verdict::Fail(failure) => failure.message,
                other => panic!("{other:?}"),
            })
            .collect();
        is_over.store(true, Ordering::Relaxed);
        let with_place = messages.iter().filter(|message| message.contains("tests/openraft.rs:")).count();
        assert_eq!(with_place, messages.len(), "{}", messages.last().unwrap());
    });
}

/// How many stacks were unwound, in all runs of this process.
static UNWOUND: AtomicU64 = AtomicU64::new(0);

/// Counts the stack on which it is when that is unwound.
struct Unwound;

impl Drop for Unwound {
    fn drop(&mut self) {
        UNWOUND.fetch_add(1, Ordering::Relaxed);
    }
}
