//! Tasks as tokio has them: results, cancellation, panics, sets, foreign wakers; and what destructors may do.

use std::cell::{Cell, RefCell};
use std::future::{pending, poll_fn};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use futures::stream::{FuturesUnordered, StreamExt};
use squall::task::{JoinSet, spawn, yield_now};
use squall::time::{DurationExt, Instant, sleep, timeout};
use squall::trace::{EventKind, TaskEnd, Verdict};
use squall::{OnPanic, World};
use squall_tests::{facts, failure, passes, run};

/// A world of one client.
fn client<F, Fut>(body: F) -> impl Fn(&mut World) + Send + Sync + 'static
where
    F: Fn() -> Fut + Clone + Send + Sync + 'static,
    Fut: Future<Output = ()> + 'static,
{
    move |world| {
        world.client("client", body.clone()).on_panic(OnPanic::FailRun);
    }
}

/// Calls a closure when dropped.
struct OnDrop<F: FnMut()>(F);

impl<F: FnMut()> Drop for OnDrop<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}

#[test]
fn joining_gives_the_result_before_and_after_the_end() {
    passes(client(|| async {
        let early = spawn(async {
            sleep(5.ms()).await;
            7
        });
        assert!(!early.is_finished());
        assert_eq!(early.await.unwrap(), 7);
        let late = spawn(async { 8 });
        sleep(1.ms()).await;
        assert!(late.is_finished());
        assert_eq!(late.await.unwrap(), 8);
    }));
}

#[test]
fn a_dropped_handle_lets_the_task_go_on() {
    passes(client(|| async {
        let done = Rc::new(Cell::new(false));
        let set = Rc::clone(&done);
        drop(spawn(async move {
            sleep(1.ms()).await;
            set.set(true);
        }));
        sleep(2.ms()).await;
        assert!(done.get());
    }));
}

#[test]
fn a_task_aborted_before_its_first_poll_never_runs_and_is_dropped() {
    passes(client(|| async {
        let (polled, dropped) = (Rc::new(Cell::new(false)), Rc::new(Cell::new(false)));
        let (in_task, in_drop) = (Rc::clone(&polled), Rc::clone(&dropped));
        let held = OnDrop(move || in_drop.set(true));
        let handle = spawn(async move {
            in_task.set(true);
            drop(held);
        });
        handle.abort();
        let error = handle.await.unwrap_err();
        assert!(error.is_cancelled() && !error.is_panic());
        assert!(!polled.get() && dropped.get());
    }));
}

#[test]
fn aborting_a_finished_task_keeps_its_result() {
    passes(client(|| async {
        let handle = spawn(async { 3 });
        sleep(1.ms()).await;
        handle.abort();
        assert_eq!(handle.await.unwrap(), 3);
    }));
}

#[test]
fn an_abort_hits_only_its_own_task_whoever_has_come_into_its_place() {
    passes(client(|| async {
        let first = spawn(async {});
        let abort = first.abort_handle();
        first.await.unwrap();
        let second = spawn(async {
            sleep(1.ms()).await;
            5
        });
        abort.abort();
        assert_eq!(second.await.unwrap(), 5);
    }));
}

#[test]
fn a_task_that_aborts_itself_ends_at_its_next_rest() {
    passes(client(|| async {
        let reached = Rc::new(Cell::new(0));
        let counter = Rc::clone(&reached);
        let slot: Rc<RefCell<Option<squall::task::AbortHandle>>> = Rc::default();
        let own = Rc::clone(&slot);
        let handle = spawn(async move {
            own.borrow().as_ref().unwrap().abort();
            counter.set(1);
            // It still runs, so what it spawns is its own.
            let child = spawn(async { 9 });
            yield_now().await;
            counter.set(2);
            drop(child);
        });
        *slot.borrow_mut() = Some(handle.abort_handle());
        assert!(handle.await.unwrap_err().is_cancelled());
        assert_eq!(reached.get(), 1);
    }));
}

#[test]
fn a_task_that_aborts_itself_and_returns_in_the_same_poll_has_a_result() {
    passes(client(|| async {
        let slot: Rc<RefCell<Option<squall::task::AbortHandle>>> = Rc::default();
        let own = Rc::clone(&slot);
        let handle = spawn(async move {
            own.borrow().as_ref().unwrap().abort();
            4
        });
        *slot.borrow_mut() = Some(handle.abort_handle());
        assert_eq!(handle.await.unwrap(), 4);
    }));
}

#[test]
fn a_panic_is_a_join_error_where_the_node_asks_for_it() {
    let outcome = run(|world| {
        world
            .client("client", || async {
                let error = spawn(async { panic!("on purpose") }).await.unwrap_err();
                assert!(error.is_panic() && !error.is_cancelled());
                assert_eq!(*error.into_panic().downcast::<&str>().unwrap(), "on purpose");
                squall::publish("reached", 1);
            })
            .on_panic(OnPanic::JoinError);
    });
    assert_eq!(outcome.verdict, Verdict::Pass);
    assert_eq!(facts(&outcome, "reached").len(), 1);
    let ends: Vec<TaskEnd> = outcome
        .trace
        .unwrap()
        .events
        .iter()
        .filter_map(|event| match event.kind {
            EventKind::TaskEnd { end } => Some(end),
            _ => None,
        })
        .collect();
    assert_eq!(ends, [TaskEnd::Panicked, TaskEnd::Returned]);
}

#[test]
fn a_panic_fails_the_run_by_name_unless_the_node_says_otherwise() {
    let outcome = run(client(|| async {
        let _ = spawn(async { panic!("in the child") }).await;
    }));
    let (property, message) = failure(&outcome);
    assert_eq!(property, "panic");
    assert!(
        message.contains("client") && message.contains("in the child") && message.contains("tasks.rs"),
        "{message}"
    );
}

/// Nobody can join a root task: its panic must not pass unseen.
#[test]
fn a_root_that_panics_fails_the_run_where_panics_are_join_errors() {
    let outcome = run(|world| {
        world.client("client", || async { panic!("nobody joins me") }).on_panic(OnPanic::JoinError);
    });
    assert_eq!(failure(&outcome).0, "panic");
}

#[test]
fn a_panic_crashes_the_node_where_it_asks_for_that() {
    let outcome = run(|world| {
        world
            .node("server", || async {
                spawn(async {
                    sleep(1.ms()).await;
                    panic!("and take the node down");
                });
                sleep(2.ms()).await;
                squall::publish("still there", 1);
            })
            .on_panic(OnPanic::Crash);
        world.client("client", || async { sleep(5.ms()).await });
    });
    assert_eq!(outcome.verdict, Verdict::Pass);
    assert_eq!(facts(&outcome, "still there").len(), 0);
    let events = outcome.trace.unwrap().events;
    assert_eq!(events.iter().filter(|event| event.kind == EventKind::Crash).count(), 1);
    // Both tasks have an end in the trace: the one that panicked, and the root that went down with its node.
    let ends = |end: TaskEnd| events.iter().filter(|event| event.kind == EventKind::TaskEnd { end }).count();
    assert_eq!((ends(TaskEnd::Panicked), ends(TaskEnd::Crashed)), (1, 1));
}

/// A client whose root panicked hasn't returned: after a restart the run waits for it.
#[test]
fn a_client_that_crashed_by_a_panic_has_not_returned() {
    let outcome = run(|world| {
        world
            .client("client", || async {
                sleep(1.ms()).await;
                assert!(squall::boot_number() > 0, "only at first");
                sleep(10.ms()).await;
                squall::publish("returned", 1);
            })
            .on_panic(OnPanic::Crash);
        world.client("other", || async { sleep(3.ms()).await });
        world.control(|cluster| async move {
            sleep(2.ms()).await;
            cluster.restart("client");
        });
    });
    assert_eq!(outcome.verdict, Verdict::Pass);
    assert_eq!(facts(&outcome, "returned").len(), 1);
}

#[test]
fn a_result_that_panics_when_nobody_wants_it_fails_the_run_and_nothing_else() {
    struct Bomb;
    impl Drop for Bomb {
        fn drop(&mut self) {
            panic!("a result that nobody wanted");
        }
    }
    let outcome = run(client(|| async {
        drop(spawn(async { Bomb }));
        sleep(1.ms()).await;
    }));
    let (property, message) = failure(&outcome);
    assert_eq!(property, "panic");
    assert!(message.contains("a result that nobody wanted"), "{message}");
}

#[test]
fn a_destructor_that_panics_fails_the_run() {
    let outcome = run(client(|| async {
        let handle = spawn(async {
            let _bomb = OnDrop(|| panic!("in a destructor"));
            pending::<()>().await;
        });
        yield_now().await;
        sleep(1.ms()).await;
        handle.abort();
        let _ = handle.await;
    }));
    let (property, message) = failure(&outcome);
    assert_eq!(property, "panic");
    assert!(message.contains("in a destructor") && message.contains("client"), "{message}");
}

#[test]
fn a_set_gives_results_as_they_come_and_aborts_the_rest_when_dropped() {
    passes(client(|| async {
        let mut set = JoinSet::new();
        assert!(set.join_next().await.is_none());
        for ms in [3u64, 1, 2] {
            set.spawn(async move {
                sleep(ms.ms()).await;
                ms
            });
        }
        assert_eq!(set.len(), 3);
        assert!(set.try_join_next().is_none());
        for expected in 1..=3 {
            assert_eq!(set.join_next().await.unwrap().unwrap(), expected);
        }
        assert!(set.is_empty());

        let aborted = set.spawn(async { pending::<u64>().await });
        aborted.abort();
        assert!(set.join_next().await.unwrap().unwrap_err().is_cancelled());

        let dropped = Rc::new(Cell::new(0));
        for _ in 0..3 {
            let counter = Rc::clone(&dropped);
            let held = OnDrop(move || counter.set(counter.get() + 1));
            set.spawn(async move {
                let _held = held;
                pending::<u64>().await
            });
        }
        yield_now().await;
        drop(set);
        sleep(1.ns()).await;
        assert_eq!(dropped.get(), 3);
    }));
}

#[test]
fn a_set_shuts_down_and_detaches() {
    passes(client(|| async {
        let mut set = JoinSet::new();
        set.spawn(async { pending::<()>().await });
        set.spawn(async {});
        set.shutdown().await;
        assert!(set.is_empty());
        let done = Rc::new(Cell::new(false));
        let flag = Rc::clone(&done);
        set.spawn(async move {
            sleep(1.ms()).await;
            flag.set(true);
        });
        set.detach_all();
        assert!(set.is_empty() && set.join_next().await.is_none());
        drop(set);
        sleep(2.ms()).await;
        assert!(done.get());
        let mut all = JoinSet::new();
        for n in 0..4 {
            all.spawn(async move { n });
        }
        let mut results = all.join_all().await;
        results.sort_unstable();
        assert_eq!(results, [0, 1, 2, 3]);
    }));
}

#[test]
fn yielding_lets_others_of_the_instant_go_first() {
    // First in, first out only: a random order is free to poll the yielding task again at once.
    let outcome = squall::Simulation::new(client(|| async {
        let order = Rc::new(RefCell::new(Vec::new()));
        let tasks: Vec<_> = (0..3)
            .map(|n| {
                let order = Rc::clone(&order);
                spawn(async move {
                    order.borrow_mut().push(n);
                    yield_now().await;
                    order.borrow_mut().push(n + 10);
                })
            })
            .collect();
        for task in tasks {
            task.await.unwrap();
        }
        assert_eq!(*order.borrow(), [0, 1, 2, 10, 11, 12]);
        assert_eq!(Instant::now().elapsed(), Duration::ZERO);
    }))
    .run_plan(
        &squall::trace::Plan {
            strategy: squall::trace::StrategyChoice::Fifo,
            ..squall::trace::Plan::seeded("yield", squall::trace::Seed(1))
        },
        squall::trace::Record::Digest,
    );
    assert_eq!(outcome.verdict, Verdict::Pass);
}

#[test]
fn futures_with_wakers_of_their_own_work() {
    passes(client(|| async {
        let mut waiting = FuturesUnordered::new();
        for ms in [4u64, 2, 3, 1] {
            waiting.push(async move {
                sleep(ms.ms()).await;
                ms
            });
        }
        let mut came = Vec::new();
        while let Some(ms) = waiting.next().await {
            came.push(ms);
        }
        assert_eq!(came, [1, 2, 3, 4]);

        let (mut slow, mut fast) =
            (Box::pin(futures::FutureExt::fuse(sleep(2.ms()))), Box::pin(futures::FutureExt::fuse(sleep(1.ms()))));
        futures::select_biased! {
            () = slow => panic!("the slow one came first"),
            () = fast => {}
        }
        let mut polls = 0;
        let joined = futures::future::join(sleep(1.ms()), async {
            for _ in 0..3 {
                yield_now().await;
                polls += 1;
            }
        });
        joined.await;
        assert_eq!(polls, 3);
    }));
}

#[test]
fn tokios_channels_work_across_tasks_and_nodes() {
    passes(|world| {
        let (sender, receiver) = tokio::sync::mpsc::channel::<u32>(2);
        let receiver = Rc::new(RefCell::new(Some(receiver)));
        world.node("producer", move || {
            let sender = sender.clone();
            async move {
                for n in 0..10 {
                    sender.send(n).await.unwrap();
                }
                pending::<()>().await;
            }
        });
        world.client("consumer", move || {
            let mut receiver = receiver.borrow_mut().take().unwrap();
            async move {
                for n in 0..10 {
                    assert_eq!(receiver.recv().await, Some(n));
                    sleep(1.ms()).await;
                }
                let (answer, question) = tokio::sync::oneshot::channel();
                spawn(async move {
                    sleep(1.ms()).await;
                    answer.send(5).unwrap();
                });
                assert_eq!(question.await, Ok(5));

                let notify = Rc::new(tokio::sync::Notify::new());
                let waiting = Rc::clone(&notify);
                let waiter = spawn(async move { waiting.notified().await });
                sleep(1.ms()).await;
                assert!(!waiter.is_finished());
                notify.notify_one();
                waiter.await.unwrap();

                let counter = Rc::new(tokio::sync::Mutex::new(0));
                let permits = Rc::new(tokio::sync::Semaphore::new(2));
                let (inside, most) = (Rc::new(Cell::new(0)), Rc::new(Cell::new(0)));
                let mut set = JoinSet::new();
                for _ in 0..8 {
                    let (counter, permits) = (Rc::clone(&counter), Rc::clone(&permits));
                    let (inside, most) = (Rc::clone(&inside), Rc::clone(&most));
                    set.spawn(async move {
                        let _permit = permits.acquire().await.unwrap();
                        inside.set(inside.get() + 1);
                        most.set(most.get().max(inside.get()));
                        let mut held = counter.lock().await;
                        let before = *held;
                        sleep(1.ms()).await;
                        *held = before + 1;
                        inside.set(inside.get() - 1);
                    });
                }
                set.join_all().await;
                assert_eq!((*counter.lock().await, most.get()), (8, 2));
            }
        });
    });
}

#[test]
fn a_waker_of_an_ended_task_wakes_nobody() {
    passes(client(|| async {
        let kept: Rc<RefCell<Option<std::task::Waker>>> = Rc::default();
        let slot = Rc::clone(&kept);
        spawn(async move {
            poll_fn(|context| {
                *slot.borrow_mut() = Some(context.waker().clone());
                Poll::Ready(())
            })
            .await;
        })
        .await
        .unwrap();
        let polls = Rc::new(Cell::new(0));
        let counter = Rc::clone(&polls);
        // It comes into the slot of the one that ended.
        let other = spawn(poll_fn(move |_| {
            counter.set(counter.get() + 1);
            Poll::<()>::Pending
        }));
        sleep(1.ms()).await;
        let before = polls.get();
        kept.borrow().as_ref().unwrap().wake_by_ref();
        sleep(1.ms()).await;
        assert_eq!(polls.get(), before);
        other.abort();
    }));
}

#[test]
fn a_waker_of_a_run_that_is_over_does_nothing() {
    let kept: Arc<std::sync::Mutex<Option<std::task::Waker>>> = Arc::default();
    let slot = Arc::clone(&kept);
    let first = run(move |world| {
        let slot = Arc::clone(&slot);
        world.client("client", move || {
            let slot = Arc::clone(&slot);
            poll_fn(move |context| {
                *slot.lock().unwrap() = Some(context.waker().clone());
                Poll::Ready(())
            })
        });
    });
    assert_eq!(first.verdict, Verdict::Pass);
    let stale = kept.lock().unwrap().take().unwrap();
    stale.wake_by_ref();
    passes(client(move || {
        stale.wake_by_ref();
        async {}
    }));
}

#[test]
fn a_wake_by_another_thread_names_the_thread() {
    let outcome = run(client(|| async {
        let mut started = false;
        poll_fn(move |context| {
            if started {
                return Poll::Ready(());
            }
            started = true;
            let waker = context.waker().clone();
            let thread =
                std::thread::Builder::new().name("a stranger".to_string()).spawn(move || waker.wake()).unwrap();
            thread.join().unwrap();
            Poll::Pending
        })
        .await;
    }));
    let (property, message) = failure(&outcome);
    assert_eq!(property, "hermetic");
    // Starting the thread is named as well, and first.
    assert!(message.contains("thread"), "{message}");
}

#[test]
fn a_wake_by_a_thread_from_before_the_run_names_it() {
    let (sender, receiver) = std::sync::mpsc::channel::<(std::task::Waker, Arc<AtomicU32>)>();
    std::thread::Builder::new()
        .name("a stranger".to_string())
        .spawn(move || {
            while let Ok((waker, done)) = receiver.recv() {
                waker.wake();
                done.store(1, Ordering::SeqCst);
            }
        })
        .unwrap();
    let sender = Arc::new(std::sync::Mutex::new(sender));
    let outcome = run(move |world| {
        let sender = Arc::clone(&sender);
        world.client("client", move || {
            let sender = Arc::clone(&sender);
            let mut sent = false;
            poll_fn(move |context| {
                if !sent {
                    sent = true;
                    let done = Arc::new(AtomicU32::new(0));
                    sender.lock().unwrap().send((context.waker().clone(), Arc::clone(&done))).unwrap();
                    while done.load(Ordering::SeqCst) == 0 {
                        std::hint::spin_loop();
                    }
                }
                Poll::<()>::Pending
            })
        });
    });
    let (property, message) = failure(&outcome);
    assert_eq!(property, "hermetic");
    assert!(message.contains("\"a stranger\""), "{message}");
}

/// What a destructor of a task that was aborted spawns has the address of that task, whoever came into its slot.
#[test]
fn destructors_of_aborted_tasks_spawn_in_their_own_name() {
    let children = |others: u32| {
        let outcome = run(client(move || async move {
            let handles: Vec<_> = (0..3u32)
                .map(|number| {
                    spawn(async move {
                        let _spawns = OnDrop(move || {
                            spawn(async move { squall::publish("child", (number, squall::task::id().to_string())) });
                        });
                        pending::<()>().await;
                    })
                })
                .collect();
            sleep(1.ms()).await;
            for handle in &handles {
                handle.abort();
            }
            for _ in 0..others {
                squall::task::Builder::new().name("other").spawn(pending::<()>()).unwrap();
            }
            sleep(1.ms()).await;
        }));
        assert_eq!(outcome.verdict, Verdict::Pass);
        let mut children = facts(&outcome, "child");
        children.sort();
        children
    };
    let without = children(0);
    assert_eq!(without.len(), 3);
    assert_eq!(without, children(5));
}

/// Each draw of a task's entropy is another one, also in its destructors.
#[test]
fn destructors_draw_entropy_of_their_own_task() {
    let outcome = run(client(|| async {
        let handle = spawn(async {
            let draw = || {
                let keys = std::collections::hash_map::RandomState::new();
                let mut bytes = [0u8; 8];
                let _ = keys;
                rand_core::Rng::fill_bytes(&mut squall::rand::rng(), &mut bytes);
                squall::publish("draw", bytes);
            };
            draw();
            let _later = OnDrop(draw);
            pending::<()>().await;
        });
        sleep(1.ms()).await;
        handle.abort();
        let _ = handle.await;
    }));
    assert_eq!(outcome.verdict, Verdict::Pass);
    let draws = facts(&outcome, "draw");
    assert_eq!(draws.len(), 2);
    assert_ne!(draws[0], draws[1]);
}

#[test]
fn a_timeout_around_a_join_leaves_the_task_alone() {
    passes(client(|| async {
        let mut handle = spawn(async {
            sleep(5.ms()).await;
            1
        });
        assert!(timeout(2.ms(), &mut handle).await.is_err());
        assert_eq!(handle.await.unwrap(), 1);
    }));
}

/// A waker whose clones are a program's own code.
struct OwnWaker {
    cloned: fn(),
}

impl Clone for OwnWaker {
    fn clone(&self) -> OwnWaker {
        (self.cloned)();
        OwnWaker { cloned: self.cloned }
    }
}

impl cooked_waker::WakeRef for OwnWaker {
    fn wake_by_ref(&self) {}
}

impl cooked_waker::Wake for OwnWaker {}

fn own_waker(cloned: fn()) -> Waker {
    cooked_waker::IntoWaker::into_waker(Box::new(OwnWaker { cloned }))
}

/// A waker of the program's own may call whatever it likes when it is cloned: the world isn't borrowed then.
#[test]
fn cloning_a_waker_of_its_own_is_code_like_any_other() {
    thread_local! {
        static OUTER: RefCell<Option<Waker>> = const { RefCell::new(None) };
        static CLONED: Cell<u32> = const { Cell::new(0) };
    }
    fn cloned() {
        let _ = Instant::now();
        OUTER.with_borrow(|outer| outer.as_ref().unwrap().wake_by_ref());
        CLONED.set(CLONED.get() + 1);
    }
    passes(client(|| async {
        let mut sleeping = Box::pin(sleep(1.ms()));
        let mut polls = 0;
        poll_fn(|context| {
            polls += 1;
            OUTER.set(Some(context.waker().clone()));
            let polled = sleeping.as_mut().poll(&mut Context::from_waker(&own_waker(cloned)));
            if polls == 3 || polled.is_ready() { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
        OUTER.set(None);
        assert_eq!((polls, CLONED.get()), (3, 3));
    }));
}

/// What a program keeps in a static from another run finds nothing in this one: neither does it do harm, nor does it hang.
#[test]
fn handles_kept_from_another_run_find_nothing() {
    use squall::net::Endpoint;
    use squall::task::AbortHandle;
    use squall::time::Sleep;
    use std::io::ErrorKind;
    use std::sync::Mutex;

    static SLEEPS: Mutex<Vec<std::pin::Pin<Box<Sleep>>>> = Mutex::new(Vec::new());
    static ENDPOINT: Mutex<Option<Endpoint>> = Mutex::new(None);
    static ABORT: Mutex<Option<AbortHandle>> = Mutex::new(None);

    let first = run(client(|| async {
        for _ in 0..2 {
            let mut sleep = Box::pin(sleep(10.ms()));
            poll_fn(|context| {
                let _ = sleep.as_mut().poll(context);
                Poll::Ready(())
            })
            .await;
            SLEEPS.lock().unwrap().push(sleep);
        }
        *ENDPOINT.lock().unwrap() = Some(Endpoint::bind("0.0.0.0:5").await.unwrap());
        let task = spawn(sleep(1.ms()));
        *ABORT.lock().unwrap() = Some(task.abort_handle());
        assert!(!task.abort_handle().is_finished());
        task.await.unwrap();
    }));
    assert_eq!(first.verdict, Verdict::Pass);
    assert!(ABORT.lock().unwrap().as_ref().unwrap().is_finished());

    let second = run(client(|| async {
        let own = Endpoint::bind("0.0.0.0:7").await.unwrap();
        let innocents = [spawn(sleep(2.ms())), spawn(sleep(3.ms()))];
        yield_now().await;
        let (kept, abort) = (ENDPOINT.lock().unwrap().take().unwrap(), ABORT.lock().unwrap().take().unwrap());
        let [mut awaited, dropped] = <[_; 2]>::try_from(std::mem::take(&mut *SLEEPS.lock().unwrap())).unwrap();
        abort.abort();
        drop(dropped);
        let error = kept.recv_from(1, &mut [0]).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotConnected);
        drop(kept);
        awaited.as_mut().await;
        for innocent in innocents {
            innocent.await.unwrap();
        }
        own.send_to("127.0.0.1:7", 1, &[9]).await.unwrap();
        let mut byte = [0];
        own.recv_from(1, &mut byte).await.unwrap();
        assert_eq!(byte, [9]);
    }));
    assert_eq!(second.verdict, Verdict::Pass, "{second:?}");
}
