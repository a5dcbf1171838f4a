//! What tokio does in a node it does on an ordinary runtime as well: each body is written once, executed by both, and gives the same log.

use std::cell::RefCell;
use std::future::{Future, pending, ready};
use std::rc::Rc;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use squall::prelude::*;
use squall::trace::Verdict;
use squall::{OnPanic, World};
use squall_tests::run;
use tokio::sync::{Barrier, Notify, OnceCell, RwLock, Semaphore, broadcast, mpsc, oneshot, watch};
use tokio::task::{JoinSet, LocalSet, yield_now};
use tokio::time::{Instant, MissedTickBehavior, interval, interval_at, sleep, sleep_until, timeout, timeout_at};

/// What happened, in order, with the milliseconds since the body's start.
#[derive(Clone)]
struct Log {
    start: Instant,
    lines: Arc<Mutex<Vec<String>>>,
}

impl Log {
    fn new() -> Log {
        Log { start: Instant::now(), lines: Arc::default() }
    }

    fn say(&self, what: impl std::fmt::Display) {
        let at_ms = self.start.elapsed().as_secs_f64() * 1e3;
        self.lines.lock().unwrap().push(format!("{at_ms} ms: {what}"));
    }
}

/// Executes a body by an ordinary runtime, whose clock jumps over what nobody waits for, and in a node.
#[track_caller]
fn both<F, Fut>(body: F) -> [Vec<String>; 2]
where
    F: Fn(Log) -> Fut + Clone + Send + Sync + 'static,
    Fut: Future<Output = ()> + 'static,
{
    let ordinary = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    let expected = ordinary.block_on(async {
        let log = Log::new();
        body(log.clone()).await;
        log.lines.lock().unwrap().clone()
    });
    assert!(!expected.is_empty(), "the body says something");
    let found: Arc<Mutex<Vec<String>>> = Arc::default();
    let put = Arc::clone(&found);
    let outcome = run(move |world: &mut World| {
        let (body, put) = (body.clone(), Arc::clone(&put));
        let node = move || {
            let (body, put) = (body.clone(), Arc::clone(&put));
            async move {
                let log = Log::new();
                body(log.clone()).await;
                *put.lock().unwrap() = log.lines.lock().unwrap().clone();
            }
        };
        world.client("node", node).on_panic(OnPanic::JoinError).tokio();
        world.limits().virtual_ns = u64::MAX / 4;
    });
    assert_eq!(outcome.verdict, Verdict::Pass);
    assert_eq!(outcome.escapes, Vec::<String>::new());
    let found = found.lock().unwrap().clone();
    [found, expected]
}

/// Both give the same log.
#[track_caller]
fn same<F, Fut>(body: F)
where
    F: Fn(Log) -> Fut + Clone + Send + Sync + 'static,
    Fut: Future<Output = ()> + 'static,
{
    let [found, expected] = both(body);
    assert_eq!(found, expected);
}

/// Both give the same log but for the order of what happens at one instant: tokio draws it.
#[track_caller]
fn same_but_for_what_is_drawn<F, Fut>(body: F)
where
    F: Fn(Log) -> Fut + Clone + Send + Sync + 'static,
    Fut: Future<Output = ()> + 'static,
{
    let [mut found, mut expected] = both(body);
    found.sort();
    expected.sort();
    assert_eq!(found, expected);
}

fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

#[test]
fn sleeps_end_in_the_order_of_their_deadlines() {
    same(|log| async move {
        let tasks: Vec<_> = [30, 10, 20, 10, 0, 1, 64, 63, 65, 4096, 4097]
            .into_iter()
            .map(|after| {
                let log = log.clone();
                tokio::spawn(async move {
                    sleep(ms(after)).await;
                    log.say(after);
                })
            })
            .collect();
        for task in tasks {
            task.await.unwrap();
        }
        log.say("end");
    });
}

#[test]
fn less_than_a_millisecond_is_rounded_up() {
    same(|log| async move {
        for microseconds in [0, 1, 400, 999, 1000, 1001, 2500] {
            sleep(Duration::from_micros(microseconds)).await;
            log.say(microseconds);
        }
    });
}

#[test]
fn long_sleeps_are_exact() {
    same(|log| async move {
        for seconds in [1, 5, 300, 20_000, 90_000, 3_000_000] {
            sleep(secs(seconds)).await;
            log.say(seconds);
        }
    });
}

fn missed(behavior: MissedTickBehavior) {
    same(move |log| async move {
        let mut ticks = interval(ms(10));
        ticks.set_missed_tick_behavior(behavior);
        for n in 0..8 {
            let due = ticks.tick().await;
            log.say(format_args!("tick {n}, due at {:?}", due - log.start));
            if n == 2 {
                sleep(ms(27)).await;
            }
            if n == 5 {
                sleep(ms(13)).await;
            }
        }
        ticks.reset();
        ticks.tick().await;
        log.say("after a reset");
        ticks.reset_immediately();
        ticks.tick().await;
        log.say("after a reset at once");
        ticks.reset_after(ms(3));
        ticks.tick().await;
        log.say("after a reset after 3 ms");
    });
}

#[test]
fn missed_ticks_burst() {
    missed(MissedTickBehavior::Burst);
}

#[test]
fn missed_ticks_delay() {
    missed(MissedTickBehavior::Delay);
}

#[test]
fn missed_ticks_are_skipped() {
    missed(MissedTickBehavior::Skip);
}

#[test]
fn an_interval_may_begin_later() {
    same(|log| async move {
        let mut ticks = interval_at(Instant::now() + ms(7), ms(5));
        for _ in 0..3 {
            ticks.tick().await;
            log.say("tick");
        }
    });
}

#[test]
fn timeouts_at_their_boundaries() {
    same(|log| async move {
        for (limit, needed) in [(10, 9), (10, 10), (10, 11), (0, 0), (0, 1), (1, 1)] {
            let is_in_time = timeout(ms(limit), sleep(ms(needed))).await.is_ok();
            log.say(format_args!("{needed} of {limit}: {is_in_time}"));
        }
        log.say(timeout(Duration::ZERO, ready(3)).await.is_ok());
        log.say(timeout(Duration::ZERO, pending::<()>()).await.is_ok());
        log.say(timeout(Duration::MAX, sleep(ms(5))).await.is_ok());
        log.say(timeout_at(Instant::now() + ms(5), sleep(ms(6))).await.is_ok());
    });
}

#[test]
fn sleeping_until_the_past_is_ready_at_once() {
    same(|log| async move {
        sleep(ms(20)).await;
        sleep_until(Instant::now() - ms(10)).await;
        log.say("past");
        sleep_until(log.start + ms(25)).await;
        log.say("future");
    });
}

#[test]
fn a_sleep_can_be_reset() {
    same(|log| async move {
        let later = sleep(ms(10));
        tokio::pin!(later);
        assert!(timeout(ms(5), &mut later).await.is_err());
        later.as_mut().reset(Instant::now() + ms(20));
        (&mut later).await;
        log.say(later.is_elapsed());
        later.as_mut().reset(Instant::now() + ms(1));
        later.await;
        log.say("again");
    });
}

#[test]
fn endless_sleeps_wait_in_vain() {
    same(|log| async move {
        tokio::select! {
            () = sleep(Duration::MAX) => log.say("endless"),
            () = sleep(ms(3)) => log.say("short"),
        }
    });
}

#[test]
fn a_biased_select_takes_the_first() {
    same(|log| async move {
        let (tx, mut rx) = mpsc::unbounded_channel();
        for n in 0..3 {
            tx.send(n).unwrap();
        }
        drop(tx);
        let mut ticks = interval(ms(1));
        loop {
            tokio::select! {
                biased;
                Some(n) = rx.recv() => log.say(n),
                _ = ticks.tick() => { log.say("tick"); break }
            }
        }
        tokio::select! {
            biased;
            Some(()) = ready(None) => log.say("none"),
            else => log.say("else"),
        }
    });
}

#[test]
fn a_join_set_gives_what_ends_first() {
    same(|log| async move {
        let mut set = JoinSet::new();
        for after in [30, 10, 20, 0, 10] {
            set.spawn(async move {
                sleep(ms(after)).await;
                after
            });
        }
        log.say(set.len());
        while let Some(ended) = set.join_next().await {
            log.say(ended.unwrap());
        }
        set.spawn(pending());
        set.spawn(async { 7 });
        yield_now().await;
        set.abort_all();
        while let Some(ended) = set.join_next().await {
            log.say(ended.map_err(|error| error.is_cancelled()).unwrap_or(99));
        }
    });
}

#[test]
fn spawned_tasks_are_polled_first_in_first_out() {
    same(|log| async move {
        for n in 0..100 {
            let log = log.clone();
            tokio::spawn(async move {
                log.say(n);
                yield_now().await;
                log.say(n + 1000);
            });
        }
        for _ in 0..5 {
            yield_now().await;
            log.say("root");
        }
    });
}

#[test]
fn whoever_yields_lets_the_others_run() {
    same(|log| async move {
        let tasks: Vec<_> = ["a", "b", "c"]
            .into_iter()
            .map(|name| {
                let log = log.clone();
                tokio::spawn(async move {
                    for n in 0..4 {
                        log.say(format_args!("{name}{n}"));
                        yield_now().await;
                    }
                })
            })
            .collect();
        for task in tasks {
            task.await.unwrap();
            log.say("joined");
        }
    });
}

#[test]
fn nested_spawns() {
    same(|log| async move {
        let (outer_log, inner_log) = (log.clone(), log.clone());
        let outer = tokio::spawn(async move {
            outer_log.say("outer");
            let inner = tokio::spawn(async move {
                sleep(ms(2)).await;
                inner_log.say("inner");
                5
            });
            outer_log.say("spawned");
            inner.await.unwrap() + 1
        });
        log.say("root");
        log.say(outer.await.unwrap());
    });
}

#[test]
fn an_aborted_task_is_cancelled() {
    same(|log| async move {
        struct Told(Log);
        impl Drop for Told {
            fn drop(&mut self) {
                self.0.say("dropped");
            }
        }
        let told = Told(log.clone());
        let task = tokio::spawn(async move {
            let _told = told;
            sleep(ms(100)).await;
        });
        sleep(ms(5)).await;
        task.abort();
        log.say(task.is_finished());
        log.say(task.await.unwrap_err().is_cancelled());
        let ended = tokio::spawn(async { 3 });
        let abort = ended.abort_handle();
        yield_now().await;
        abort.abort();
        log.say(ended.await.unwrap());
        let never = tokio::spawn(async { 4 });
        never.abort();
        log.say(never.await.is_err());
    });
}

#[test]
fn a_dropped_handle_lets_its_task_go_on() {
    same(|log| async move {
        let of_task = log.clone();
        drop(tokio::spawn(async move {
            sleep(ms(3)).await;
            of_task.say("still here");
        }));
        sleep(ms(5)).await;
        log.say("end");
    });
}

#[test]
fn a_panic_comes_as_an_error_of_the_join() {
    same(|log| async move {
        let task = tokio::spawn(async {
            sleep(ms(2)).await;
            panic!("a plan");
        });
        let error = task.await.unwrap_err();
        log.say(error.is_panic());
        log.say(error.into_panic().downcast_ref::<&str>().unwrap());
        let caught = std::panic::catch_unwind(|| std::panic::panic_any(3u8)).unwrap_err();
        log.say(caught.downcast_ref::<u8>().unwrap());
    });
}

#[test]
fn a_local_set_executes_what_is_not_send() {
    same(|log| async move {
        let set = LocalSet::new();
        let shared = Rc::new(RefCell::new(Vec::new()));
        for n in 0..3u64 {
            let (shared, log) = (Rc::clone(&shared), log.clone());
            set.spawn_local(async move {
                sleep(ms(10 - n)).await;
                shared.borrow_mut().push(n);
                log.say(n);
                tokio::task::spawn_local(async move { log.say(format_args!("child of {n}")) }).await.unwrap();
            });
        }
        let of_set = log.clone();
        set.run_until(async move {
            of_set.say("in the set");
            tokio::task::spawn_local(async move { sleep(ms(9)).await }).await.unwrap();
        })
        .await;
        log.say(format_args!("{:?}", shared.borrow()));
        set.await;
        log.say(format_args!("{:?}", shared.borrow()));
    });
}

#[test]
fn a_full_channel_lets_its_sender_wait() {
    same(|log| async move {
        let (tx, mut rx) = mpsc::channel(2);
        let of_sender = log.clone();
        tokio::spawn(async move {
            for n in 0..6 {
                tx.send(n).await.unwrap();
                of_sender.say(format_args!("sent {n}"));
            }
        });
        while let Some(n) = rx.recv().await {
            log.say(n);
            sleep(ms(2)).await;
        }
        log.say("closed");
    });
}

#[test]
fn what_is_received_in_a_select_is_not_lost() {
    same(|log| async move {
        let (tx, mut rx) = mpsc::channel(1);
        tokio::spawn(async move {
            for n in 0..5u64 {
                sleep(ms(3)).await;
                tx.send(n).await.unwrap();
            }
        });
        let mut ticks = interval(ms(2));
        loop {
            tokio::select! {
                biased;
                _ = ticks.tick() => log.say("tick"),
                received = rx.recv() => match received {
                    Some(n) => log.say(n),
                    None => break,
                },
            }
        }
    });
}

#[test]
fn a_oneshot_is_sent_dropped_or_closed() {
    same(|log| async move {
        let (tx, rx) = oneshot::channel();
        tokio::spawn(async move {
            sleep(ms(1)).await;
            tx.send(5).unwrap();
        });
        log.say(rx.await.unwrap());
        let (tx, rx) = oneshot::channel::<u8>();
        drop(tx);
        log.say(rx.await.is_err());
        let (mut tx, rx) = oneshot::channel::<u8>();
        tokio::spawn(async move {
            sleep(ms(1)).await;
            drop(rx);
        });
        tx.closed().await;
        log.say("closed");
    });
}

#[test]
fn a_watch_shows_the_last_value() {
    same_but_for_what_is_drawn(|log| async move {
        let (tx, rx) = watch::channel(0);
        let watchers: Vec<_> = (0..3)
            .map(|watcher| {
                let (mut rx, log) = (rx.clone(), log.clone());
                tokio::spawn(async move {
                    while rx.changed().await.is_ok() {
                        let value = *rx.borrow_and_update();
                        log.say(format_args!("{watcher} sees {value}"));
                        sleep(ms(watcher * 2)).await;
                    }
                })
            })
            .collect();
        for n in 1..5 {
            tx.send(n).unwrap();
            sleep(ms(1)).await;
        }
        drop(tx);
        for watcher in watchers {
            watcher.await.unwrap();
        }
    });
}

#[test]
fn a_broadcast_tells_who_lags() {
    same(|log| async move {
        let (tx, mut rx) = broadcast::channel(2);
        for n in 0..4 {
            tx.send(n).unwrap();
        }
        log.say(format_args!("{:?}", rx.recv().await));
        log.say(format_args!("{:?}", rx.recv().await));
        let mut second = tx.subscribe();
        let of_second = log.clone();
        let task = tokio::spawn(async move { of_second.say(format_args!("{:?}", second.recv().await)) });
        sleep(ms(1)).await;
        tx.send(9).unwrap();
        task.await.unwrap();
    });
}

#[test]
fn a_notify_wakes_in_order() {
    same(|log| async move {
        let notify = Arc::new(Notify::new());
        notify.notify_one();
        notify.notified().await;
        log.say("kept");
        for waiter in 0..4 {
            let (notify, log) = (Arc::clone(&notify), log.clone());
            tokio::spawn(async move {
                notify.notified().await;
                log.say(waiter);
            });
        }
        yield_now().await;
        notify.notify_one();
        notify.notify_last();
        sleep(ms(1)).await;
        log.say("the rest");
        notify.notify_waiters();
        sleep(ms(1)).await;
        log.say("end");
    });
}

#[test]
fn a_semaphore_is_fair() {
    same(|log| async move {
        let semaphore = Arc::new(Semaphore::new(2));
        let tasks: Vec<_> = [1, 2, 1, 1, 2]
            .into_iter()
            .enumerate()
            .map(|(number, wanted)| {
                let (semaphore, log) = (Arc::clone(&semaphore), log.clone());
                tokio::spawn(async move {
                    let _permit = semaphore.acquire_many(wanted).await.unwrap();
                    log.say(format_args!("{number} has {wanted}"));
                    sleep(ms(3)).await;
                })
            })
            .collect();
        for task in tasks {
            task.await.unwrap();
        }
        log.say(semaphore.available_permits());
    });
}

#[test]
fn locks_are_fair() {
    same(|log| async move {
        let lock = Arc::new(tokio::sync::Mutex::new(0));
        let shared = Arc::new(RwLock::new(0));
        let mut tasks = JoinSet::new();
        for number in 0..4 {
            let (lock, shared, log) = (Arc::clone(&lock), Arc::clone(&shared), log.clone());
            tasks.spawn(async move {
                let mut held = lock.lock().await;
                *held += 1;
                sleep(ms(2)).await;
                log.say(format_args!("{number} has the mutex"));
                drop(held);
                if number % 2 == 0 {
                    let value = *shared.read().await;
                    sleep(ms(1)).await;
                    log.say(format_args!("{number} reads {value}"));
                } else {
                    *shared.write().await += 1;
                    log.say(format_args!("{number} writes"));
                }
            });
        }
        while tasks.join_next().await.is_some() {}
        log.say(*lock.lock().await);
    });
}

#[test]
fn a_barrier_has_one_leader() {
    same_but_for_what_is_drawn(|log| async move {
        let barrier = Arc::new(Barrier::new(3));
        let mut tasks = JoinSet::new();
        for number in 0..3u64 {
            let (barrier, log) = (Arc::clone(&barrier), log.clone());
            tasks.spawn(async move {
                sleep(ms(number)).await;
                log.say(format_args!("{number}: {}", barrier.wait().await.is_leader()));
            });
        }
        while tasks.join_next().await.is_some() {}
    });
}

#[test]
fn a_cell_is_filled_once() {
    same(|log| async move {
        let cell = Arc::new(OnceCell::new());
        let mut tasks = JoinSet::new();
        for number in 0..3u64 {
            let (cell, log) = (Arc::clone(&cell), log.clone());
            tasks.spawn(async move {
                let value = cell
                    .get_or_init(|| async {
                        sleep(ms(5)).await;
                        number
                    })
                    .await;
                log.say(format_args!("{number} finds {value}"));
            });
        }
        while tasks.join_next().await.is_some() {}
    });
}

#[test]
fn a_busy_task_has_a_budget() {
    same(|log| async move {
        let (tx, mut rx) = mpsc::unbounded_channel();
        for n in 0..1000u32 {
            tx.send(n).unwrap();
        }
        drop(tx);
        let of_receiver = log.clone();
        let receiver = tokio::spawn(async move {
            let mut received = 0u32;
            while rx.recv().await.is_some() {
                received += 1;
            }
            of_receiver.say(format_args!("received {received}"));
        });
        let mut turns = 0;
        while !receiver.is_finished() {
            turns += 1;
            yield_now().await;
        }
        log.say(format_args!("the others had {turns} turns"));
    });
}

#[test]
fn task_locals_are_each_tasks_own() {
    tokio::task_local! {
        static NAME: &'static str;
    }
    same(|log| async move {
        let tasks = ["a", "b"].map(|name| {
            let log = log.clone();
            tokio::spawn(NAME.scope(name, async move {
                sleep(ms(1)).await;
                log.say(NAME.get());
            }))
        });
        for task in tasks {
            task.await.unwrap();
        }
        log.say(NAME.try_with(|_| ()).is_err());
    });
}

#[test]
fn joined_futures_are_polled_in_order() {
    same(|log| async move {
        let part = |name: &'static str, after| {
            let log = log.clone();
            async move {
                log.say(format_args!("{name} begins"));
                sleep(ms(after)).await;
                log.say(format_args!("{name} ends"));
                after
            }
        };
        let joined = tokio::join!(part("a", 3), part("b", 1), part("c", 3));
        log.say(format_args!("{joined:?}"));
        let tried: Result<(u8, u8), &str> = tokio::try_join!(async { Ok(1) }, async {
            sleep(ms(1)).await;
            Err("no")
        });
        log.say(format_args!("{tried:?}"));
    });
}

#[test]
fn a_ready_timer_and_a_ready_task_take_turns() {
    same(|log| async move {
        let of_task = log.clone();
        let busy = tokio::spawn(async move {
            for n in 0..200 {
                yield_now().await;
                if n % 61 == 0 {
                    of_task.say(n);
                }
            }
        });
        let of_timer = log.clone();
        tokio::spawn(async move {
            sleep(Duration::ZERO).await;
            of_timer.say("slept for no time");
        });
        busy.await.unwrap();
        log.say("end");
    });
}

#[test]
fn what_blocks_is_executed_beside_the_tasks() {
    same(|log| async move {
        let first = tokio::task::spawn_blocking(|| 5);
        log.say("asked");
        log.say(first.await.unwrap());
        let mut set = JoinSet::new();
        for number in 0..3 {
            set.spawn_blocking(move || number * 2);
        }
        let mut all = Vec::new();
        while let Some(ended) = set.join_next().await {
            all.push(ended.unwrap());
        }
        all.sort();
        log.say(format_args!("{all:?}"));
        let panicked = tokio::task::spawn_blocking(|| panic!("in a thread")).await.unwrap_err();
        log.say(panicked.is_panic());
    });
}

#[test]
fn a_thread_waits_for_what_a_task_brings() {
    same(|log| async move {
        let (tx, mut rx) = mpsc::channel::<u64>(1);
        let (back, mut answers) = mpsc::channel(1);
        let thread = tokio::task::spawn_blocking(move || {
            let mut sum = 0;
            while let Some(n) = rx.blocking_recv() {
                sum += n;
                back.blocking_send(sum).unwrap();
            }
            sum
        });
        for n in 0..5 {
            tx.send(n).await.unwrap();
            log.say(answers.recv().await.unwrap());
        }
        drop(tx);
        log.say(thread.await.unwrap());
    });
}

#[test]
fn a_thread_may_execute_a_future() {
    same(|log| async move {
        let notify = Arc::new(Notify::new());
        let of_thread = Arc::clone(&notify);
        let thread = tokio::task::spawn_blocking(move || {
            let handle = tokio::runtime::Handle::current();
            handle.block_on(async move {
                let spawned = tokio::spawn(async { 3 });
                of_thread.notified().await;
                spawned.await.unwrap()
            })
        });
        yield_now().await;
        notify.notify_one();
        log.say(thread.await.unwrap());
    });
}
