//! The hermetic layer inside of the engine: node code sees virtual time and the run's entropy, everybody else the real
//! ones, and what blocks neither hangs nor passes unnamed.
#![cfg(all(target_os = "linux", target_env = "gnu"))]

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use squall::time::DurationExt;
use squall::trace::{EventKind, NodeId, Outcome, OwnedEvent, Plan, Record, Seed, Verdict};
use squall::{Simulation, World, crash};

fn run(build: impl Fn(&mut World) + Send + Sync + 'static) -> Outcome {
    Simulation::new(build).run_plan(&Plan::seeded("hermetic", Seed(1)), Record::Full)
}

fn passes(build: impl Fn(&mut World) + Send + Sync + 'static) -> Outcome {
    let outcome = run(build);
    assert_eq!(outcome.verdict, Verdict::Pass);
    assert_eq!(outcome.escapes, [""; 0]);
    outcome
}

fn events(outcome: &Outcome) -> &[OwnedEvent] {
    &outcome.trace.as_ref().expect("a full record").events
}

/// The run's clocks unless a world says otherwise.
const EPOCH: Duration = Duration::from_secs(1_767_225_600);

#[test]
fn clocks_follow_virtual_time_to_the_nanosecond() {
    passes(|world| {
        world.client("client", || async {
            let (instant, wall, own) = (Instant::now(), SystemTime::now(), squall::time::Instant::now());
            assert_eq!(wall.duration_since(UNIX_EPOCH).unwrap(), EPOCH);
            for wait in [3.ms(), 1.ns(), 999_999.ns(), 3_600.secs() - 10.ms()] {
                let before = (Instant::now(), SystemTime::now(), squall::time::Instant::now());
                squall::time::sleep(wait).await;
                assert_eq!(before.0.elapsed(), wait);
                assert_eq!(before.1.elapsed().unwrap(), wait);
                assert_eq!(before.2.elapsed(), wait);
            }
            // Work takes no time.
            let before = Instant::now();
            let work: HashMap<u32, u32> = (0..10_000).map(|number| (number, number)).collect();
            assert_eq!(work.len(), 10_000);
            assert_eq!(before.elapsed(), Duration::ZERO);
            assert_eq!(instant.elapsed(), own.elapsed());
            assert_eq!(wall.elapsed().unwrap(), own.elapsed());
            assert_eq!(squall::time::Instant::now().into_std(), Instant::now());
        });
    });
}

#[test]
fn moments_before_the_start_can_be_written() {
    passes(|world| {
        world.client("client", || async {
            let hour = Duration::from_secs(3_600);
            assert_eq!((Instant::now() - hour).elapsed(), hour);
            assert_eq!((Instant::now() - 9 * 24 * hour).elapsed(), 9 * 24 * hour);
            assert_eq!((squall::time::Instant::now() - hour).elapsed(), hour);
            assert!(SystemTime::now() - hour > UNIX_EPOCH);
        });
    });
}

#[test]
fn the_clocks_start_where_the_world_says() {
    passes(|world| {
        world.clock().epoch_ns = 1_000_000_000_000_000_123;
        world.clock().monotonic_start_ns = 5_000_000_007;
        world.client("client", || async {
            squall::time::sleep(1.ms()).await;
            let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
            assert_eq!(wall.as_nanos(), 1_000_000_000_001_000_123);
            let instant = Instant::now();
            assert!(instant.checked_sub(Duration::from_nanos(5_001_000_007)).is_some());
            assert_eq!(format!("{instant:?}"), "Instant { tv_sec: 5, tv_nsec: 1000007 }");
        });
    });
}

/// Who noted it, and how much time had passed on the monotonic clock and on the wall.
type Note = (&'static str, Duration, Duration);

/// Notes how much virtual time has passed since it was made.
struct Stopwatch {
    started: (Instant, SystemTime),
    name: &'static str,
    noted: Arc<Mutex<Vec<Note>>>,
}

impl Drop for Stopwatch {
    fn drop(&mut self) {
        let passed = (self.started.0.elapsed(), self.started.1.elapsed().unwrap());
        self.noted.lock().unwrap().push((self.name, passed.0, passed.1));
    }
}

#[test]
fn destructors_see_virtual_time() {
    let noted = Arc::new(Mutex::new(Vec::new()));
    let notes = Arc::clone(&noted);
    let outcome = passes(move |world| {
        let notes = Arc::clone(&notes);
        let hold = move |name: &'static str| {
            let noted = Arc::clone(&notes);
            async move {
                let _stopwatch = Stopwatch { started: (Instant::now(), SystemTime::now()), name, noted };
                std::future::pending::<()>().await;
            }
        };
        let crashed = hold.clone();
        world.node("crashed", move || crashed("crashed"));
        let left = hold.clone();
        world.node("left", move || left("left at the end"));
        world.client("client", move || {
            let hold = hold.clone();
            async move {
                let aborted = squall::spawn(hold("aborted"));
                squall::time::sleep(2.ms()).await;
                aborted.abort();
                squall::time::sleep(5.ms()).await;
            }
        });
        world.fault(crash("crashed").at(4.ms()));
    });
    let at = |name, passed: Duration| (name, passed, passed);
    let mut found = noted.lock().unwrap().clone();
    found.sort_by_key(|(_, passed, _)| *passed);
    assert_eq!(found, [at("aborted", 2.ms()), at("crashed", 4.ms()), at("left at the end", 7.ms())]);
    assert_eq!(outcome.ending.at_ns, 7_000_000);
}

/// While node code waits in the midst of a poll, other threads read real clocks and draw real entropy.
#[test]
fn threads_outside_of_a_run_are_untouched_while_it_goes_on() {
    static IN_NODE: AtomicBool = AtomicBool::new(false);
    static READ: AtomicU32 = AtomicU32::new(0);
    const READINGS: u32 = 200;
    let started = SystemTime::now();
    let outside = thread::spawn(|| {
        while !IN_NODE.load(Ordering::Acquire) {
            thread::yield_now();
        }
        let mut readings = Vec::new();
        for _ in 0..READINGS {
            let draws = (rand_0_9::random::<u64>(), getrandom_0_4::u64().unwrap());
            readings.push((SystemTime::now(), Instant::now(), draws));
            let before = Instant::now();
            thread::sleep(Duration::from_micros(10));
            assert!(before.elapsed() >= Duration::from_micros(10), "a real sleep takes its time");
            READ.fetch_add(1, Ordering::Release);
        }
        readings
    });
    passes(|world| {
        world.client("client", || async {
            let before = (Instant::now(), SystemTime::now());
            IN_NODE.store(true, Ordering::Release);
            while READ.load(Ordering::Acquire) < READINGS {
                std::hint::spin_loop();
            }
            assert_eq!((Instant::now(), SystemTime::now()), before);
        });
    });
    let readings = outside.join().unwrap();
    let until = SystemTime::now();
    assert!(readings.iter().all(|(wall, ..)| (started..=until).contains(wall)));
    assert!(readings.windows(2).all(|pair| pair[0].1 < pair[1].1));
    let mut draws: Vec<u64> = readings.iter().flat_map(|(.., (one, other))| [*one, *other]).collect();
    draws.sort_unstable();
    draws.dedup();
    assert_eq!(draws.len(), 2 * READINGS as usize);
}

/// It is the program's code, as what its nodes execute.
#[test]
fn a_world_s_description_sees_the_run_s_clock() {
    let seen = Arc::new(Mutex::new(None));
    let sees = Arc::clone(&seen);
    passes(move |world| {
        *sees.lock().unwrap() = Some((SystemTime::now(), Instant::now().checked_sub(Duration::from_secs(3_600))));
        world.client("client", || async {});
    });
    let (wall, an_hour_ago) = seen.lock().unwrap().take().unwrap();
    let epoch_ns = squall::ClockSettings::default().epoch_ns;
    assert_eq!(wall, SystemTime::UNIX_EPOCH + Duration::from_nanos(epoch_ns));
    assert!(an_hour_ago.is_some());
}

/// Fails by name at 3 ms of virtual time, in no more real time than a run takes.
fn blocks(what: &str, block: impl Fn() + Send + Sync + 'static) -> Outcome {
    let block = Arc::new(block);
    let started = Instant::now();
    let outcome = run(move |world| {
        let block = Arc::clone(&block);
        world.client("client", move || {
            let block = Arc::clone(&block);
            async move {
                squall::time::sleep(3.ms()).await;
                block();
                squall::publish("goes on", true);
                squall::time::sleep(1.ms()).await;
                squall::publish("is polled again", true);
            }
        });
    });
    assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
    let Verdict::Fail(failure) = &outcome.verdict else { panic!("{what}: {:?}", outcome.verdict) };
    assert_eq!((failure.property.as_str(), failure.at_ns), ("hermetic", 3_000_000), "{what}");
    assert_eq!(failure.node, Some(NodeId(0)), "{what}");
    assert!(failure.message.starts_with(&format!("client: {what}")), "{what}: {}", failure.message);
    assert!(outcome.escapes[0].starts_with(&format!("client: {what}")), "{:?}", outcome.escapes);
    // The poll goes on to its end, at the same instant, and is the last.
    let published = |event: &&OwnedEvent| matches!(event.kind, EventKind::Publish { .. });
    let published: Vec<_> = events(&outcome).iter().filter(published).collect();
    assert_eq!(published.len(), 1, "{what}");
    assert_eq!(published[0].at_ns, 3_000_000, "{what}");
    assert_eq!(outcome.ending.at_ns, 3_000_000, "{what}");
    outcome
}

#[test]
fn waits_return_and_are_named() {
    blocks("a blocking sleep of 50 s", || {
        let before = (Instant::now(), SystemTime::now(), squall::time::Instant::now());
        thread::sleep(Duration::from_secs(50));
        // The time that it was to take has passed for whoever looks.
        let passed = [before.0.elapsed(), before.1.elapsed().unwrap(), before.2.elapsed()];
        assert_eq!(passed, [Duration::from_secs(50); 3]);
    });
    blocks("a blocking wait of up to 50 s", || {
        let (_sender, receiver) = channel::<()>();
        assert_eq!(receiver.recv_timeout(Duration::from_secs(50)), Err(RecvTimeoutError::Timeout));
    });
    blocks("a blocking wait of up to 50 s", || {
        let (mutex, condition) = (Mutex::new(()), Condvar::new());
        let guard = mutex.lock().unwrap();
        let (_guard, result) =
            condition.wait_timeout_while(guard, Duration::from_secs(50), |()| true).expect("nobody panics");
        assert!(result.timed_out());
    });
}

/// Loops that block until a time comes: it comes.
#[test]
fn loops_that_wait_for_a_time_end() {
    blocks("a blocking wait of up to 5 s", || {
        let deadline = Instant::now() + Duration::from_secs(5);
        while let Some(left) = deadline.checked_duration_since(Instant::now()).filter(|left| !left.is_zero()) {
            thread::park_timeout(left);
        }
    });
    blocks("a blocking sleep of 1 ms", || {
        let deadline = SystemTime::now() + Duration::from_secs(5);
        while SystemTime::now() < deadline {
            thread::sleep(Duration::from_millis(1));
        }
    });
    blocks("a blocking sleep of 1 ms", || {
        let deadline = squall::time::Instant::now() + Duration::from_secs(5);
        while squall::time::Instant::now() < deadline {
            thread::sleep(Duration::from_millis(1));
        }
    });
    // As long as can be said: the clocks stay at their end.
    blocks("a blocking sleep of", || {
        thread::sleep(Duration::from_secs(1 << 40));
        thread::sleep(Duration::from_secs(1 << 40));
        assert!(Instant::now() > Instant::now() - Duration::from_secs(1));
    });
}

#[test]
fn of_many_escapes_the_first_are_named() {
    let outcome = blocks("a blocking sleep of 1 µs", || {
        for number in 1..100_000 {
            thread::sleep(Duration::from_micros(number));
        }
    });
    assert!((10..=100).contains(&outcome.escapes.len()), "{}", outcome.escapes.len());
    let escapes = events(&outcome).iter().filter(|event| matches!(event.kind, EventKind::Escape { .. })).count();
    assert_eq!(escapes, outcome.escapes.len());
}

/// What neither sleeps nor yields is noticed from outside.
#[test]
fn a_loop_that_never_yields_is_named() {
    static GIVE_UP: AtomicBool = AtomicBool::new(false);
    let simulation = Simulation::new(|world| {
        world.node("idle", || async { std::future::pending::<()>().await });
        world.client("client", || async {
            squall::time::sleep(3.ms()).await;
            let deadline = Instant::now() + Duration::from_secs(1);
            // Virtual time doesn't go on while node code runs.
            while Instant::now() < deadline && !GIVE_UP.load(Ordering::Relaxed) {
                thread::yield_now();
            }
        });
    });
    let simulation = simulation.hang_after(Duration::from_millis(300));
    let outcome = simulation.run_plan(&Plan::seeded("hermetic", Seed(1)), Record::Full);
    GIVE_UP.store(true, Ordering::Relaxed);
    assert_eq!(outcome.verdict.property(), Some("hang"));
    assert!(outcome.verdict.message().unwrap().starts_with("client has not yielded"), "{:?}", outcome.verdict);
}

/// How long another thread holds a lock must not be in the digest: it is real time.
#[test]
fn a_lock_that_another_thread_holds_is_noted_and_no_event() {
    static LOCK: Mutex<()> = Mutex::new(());
    static HELD: AtomicBool = AtomicBool::new(false);
    let world = |world: &mut World| {
        world.client("client", || async {
            squall::time::sleep(3.ms()).await;
            drop(LOCK.lock());
            squall::time::sleep(3.ms()).await;
        });
    };
    let free = passes(world);
    let holder = thread::spawn(|| {
        let _held = LOCK.lock();
        HELD.store(true, Ordering::Release);
        thread::sleep(Duration::from_millis(300));
    });
    while !HELD.load(Ordering::Acquire) {
        thread::yield_now();
    }
    let held = run(world);
    holder.join().unwrap();
    assert_eq!(held.verdict, Verdict::Pass);
    assert_eq!(held.escapes, ["client: a blocking wait without a time limit"]);
    assert_eq!(held.digest, free.digest);
}

/// Reads an environment variable when it is dropped.
struct Reads(Option<&'static str>);

impl Drop for Reads {
    fn drop(&mut self) {
        if let Some(name) = self.0 {
            let _ = std::env::var(name);
        }
    }
}

#[test]
fn what_destructors_do_after_the_end_is_named_and_no_event() {
    let run_with = |name: Option<&'static str>| {
        run(move |world| {
            world.node("server", move || async move {
                let _reads = Reads(name);
                std::future::pending::<()>().await;
            });
            world.client("client", || async { squall::time::sleep(3.ms()).await });
        })
    };
    let (none, reads) = (run_with(None), run_with(Some("SQUALL_PLANTED")));
    assert_eq!(reads.verdict, Verdict::Pass);
    assert_eq!(reads.escapes, ["server: the environment variable SQUALL_PLANTED was read"]);
    assert_eq!(reads.digest, none.digest);
}

/// A task that never wakes itself, but leaves its waker with a thread that the run didn't make.
#[test]
fn a_wake_from_outside_never_passes() {
    let outcome = run(|world| {
        world.node("server", || async { std::future::pending::<()>().await });
        world.client("client", || async {
            let mut polled = false;
            std::future::poll_fn(move |context| {
                if std::mem::replace(&mut polled, true) {
                    return std::task::Poll::Ready(());
                }
                let waker = context.waker().clone();
                thread::spawn(move || waker.wake());
                std::task::Poll::Pending
            })
            .await;
        });
    });
    assert_eq!(outcome.verdict.property(), Some("hermetic"), "{:?}", outcome.verdict);
}

/// Names are kept for the first of them only, but what can't be repeated fails the run however much was named before it.
#[test]
fn a_thread_after_many_named_escapes_still_fails_the_run() {
    let outcome = run(|world| {
        world.client("client", || async {
            for number in 0..100 {
                let _ = std::env::var(format!("SQUALL_TEST_NOT_SET_{number}"));
            }
            thread::spawn(|| {}).join().unwrap();
        });
    });
    let Verdict::Fail(failure) = &outcome.verdict else { panic!("{:?}", outcome.verdict) };
    assert_eq!(failure.property, "hermetic");
    assert!(failure.message.contains("a thread was created"), "{}", failure.message);
    assert!(outcome.escapes.len() < 100, "{}", outcome.escapes.len());
}
