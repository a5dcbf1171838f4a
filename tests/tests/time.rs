//! Virtual time to the nanosecond, and tokio's rules for timeouts and intervals.

use std::cell::RefCell;
use std::future::{Future, pending};
use std::pin::Pin;
use std::rc::Rc;
use std::time::Duration;

use squall::World;
use squall::task::{spawn, yield_now};
use squall::time::{DurationExt, Instant, MissedTickBehavior, interval, interval_at, sleep, sleep_until, timeout};
use squall_tests::passes;

fn client<F, Fut>(body: F) -> impl Fn(&mut World) + Send + Sync + 'static
where
    F: Fn() -> Fut + Clone + Send + Sync + 'static,
    Fut: Future<Output = ()> + 'static,
{
    move |world| {
        world.client("client", body.clone());
    }
}

#[test]
fn a_sleep_is_exact_to_the_nanosecond() {
    passes(client(|| async {
        for ns in [0u64, 1, 999, 1_000_001, 123_456_789_012] {
            let start = Instant::now();
            sleep(ns.ns()).await;
            assert_eq!(start.elapsed(), ns.ns());
        }
        let start = Instant::now();
        sleep_until(start).await;
        sleep_until(start - 1.secs()).await;
        assert_eq!(start.elapsed(), Duration::ZERO);
        let before = std::time::Instant::now();
        sleep(7.ns()).await;
        assert_eq!(before.elapsed(), 7.ns(), "std's clock follows");
    }));
}

#[test]
fn a_timeout_lets_through_what_is_just_in_time() {
    passes(client(|| async {
        assert!(timeout(10.ms(), sleep(10.ms())).await.is_ok());
        let start = Instant::now();
        assert!(timeout(10.ms(), sleep(10.ms() + 1.ns())).await.is_err());
        assert_eq!(start.elapsed(), 10.ms());
        // The future is asked first, as tokio does.
        assert_eq!(timeout(Duration::ZERO, async { 3 }).await, Ok(3));
        assert!(timeout(Duration::ZERO, pending::<()>()).await.is_err());
        assert_eq!(timeout(Duration::MAX, async { 4 }).await, Ok(4));
    }));
}

#[test]
fn an_interval_ticks_at_once_and_then_each_period() {
    passes(client(|| async {
        let start = Instant::now();
        let mut ticks = interval(10.ms());
        for n in 0..4u64 {
            assert_eq!(ticks.tick().await - start, (n * 10).ms());
            assert_eq!(start.elapsed(), (n * 10).ms());
        }
        let mut later = interval_at(Instant::now() + 3.ms(), 10.ms());
        let start = Instant::now();
        assert_eq!(later.tick().await - start, 3.ms());
        // Dropping a tick that is waited for loses none.
        assert!(timeout(4.ms(), later.tick()).await.is_err());
        assert_eq!(later.tick().await - start, 13.ms());
        later.reset();
        assert_eq!(later.tick().await - start, 23.ms());
    }));
}

/// When each tick comes, in milliseconds from the start, if the third is asked for late. What tokio's documentation shows.
#[test]
fn missed_ticks_follow_tokios_rules() {
    passes(client(|| async {
        for (behavior, expected) in [
            (MissedTickBehavior::Burst, [0u64, 10, 35, 35, 40, 50]),
            (MissedTickBehavior::Delay, [0, 10, 35, 45, 55, 65]),
            (MissedTickBehavior::Skip, [0, 10, 35, 40, 50, 60]),
        ] {
            let start = Instant::now();
            let mut ticks = interval(10.ms());
            ticks.set_missed_tick_behavior(behavior);
            let mut came = Vec::new();
            for n in 0..6 {
                if n == 2 {
                    sleep(25.ms()).await;
                }
                ticks.tick().await;
                came.push(start.elapsed());
            }
            assert_eq!(came, expected.map(|ms| ms.ms()), "{behavior:?}");
        }
    }));
}

/// tokio forgives 5 ms, and not a nanosecond more.
#[test]
fn a_tick_that_is_little_late_is_not_missed() {
    passes(client(|| async {
        for (late, next) in [(5.ms(), 20.ms()), (5.ms() + 1.ns(), 25.ms() + 1.ns())] {
            let start = Instant::now();
            let mut ticks = interval_at(start + 10.ms(), 10.ms());
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            sleep(10.ms() + late).await;
            ticks.tick().await;
            ticks.tick().await;
            assert_eq!(start.elapsed(), next);
        }
    }));
}

/// A period beyond what the clock can show is for ever, as with tokio.
#[test]
fn an_interval_of_for_ever_ticks_once() {
    passes(client(|| async {
        let mut ticks = interval(Duration::MAX);
        ticks.tick().await;
        assert!(timeout(1.secs(), ticks.tick()).await.is_err());
        ticks.reset();
        assert!(timeout(1.secs(), ticks.tick()).await.is_err());
    }));
}

/// Whoever waits for a sleep is woken at its new deadline, also if another task has moved it.
#[test]
fn a_sleep_that_is_moved_wakes_who_waits_for_it() {
    passes(client(|| async {
        for (first, second) in [(10u64, 3u64), (3, 10)] {
            let start = Instant::now();
            let shared: Rc<RefCell<Pin<Box<squall::time::Sleep>>>> = Rc::new(RefCell::new(Box::pin(sleep(first.ms()))));
            let waiting = Rc::clone(&shared);
            let waiter = spawn(std::future::poll_fn(move |context| waiting.borrow_mut().as_mut().poll(context)));
            sleep(1.ms()).await;
            shared.borrow_mut().as_mut().reset(start + second.ms());
            waiter.await.unwrap();
            assert_eq!(start.elapsed(), second.ms());
        }
    }));
}

#[test]
fn a_sleep_moves_with_its_waker() {
    passes(client(|| async {
        let mut nap = Box::pin(sleep(5.ms()));
        assert!(futures::poll!(nap.as_mut()).is_pending());
        let start = Instant::now();
        let waiter = spawn(async move {
            yield_now().await;
            nap.await;
        });
        waiter.await.unwrap();
        assert_eq!(start.elapsed(), 5.ms());
    }));
}

#[test]
fn cancelled_timeouts_leave_nothing_to_happen() {
    let outcome = squall_tests::run(client(|| async {
        for _ in 0..100_000u32 {
            assert_eq!(timeout(1.secs(), async { 1 }).await, Ok(1));
        }
        // These are asked, so they lie in the agenda when they are dropped.
        for _ in 0..100_000u32 {
            let mut waiting = Box::pin(timeout(1.secs(), pending::<()>()));
            assert!(futures::poll!(waiting.as_mut()).is_pending());
        }
        sleep(1.ns()).await;
    }));
    assert_eq!(outcome.verdict, squall::trace::Verdict::Pass);
    assert_eq!(outcome.ending.at_ns, 1, "no cancelled timer moves the clock");
}
