//! Nodes that tokio executes: faults, clocks, what crosses nodes, what can't work, and what is left behind.
#![cfg(all(target_os = "linux", target_env = "gnu"))]

use std::cell::RefCell;
use std::future::{Future, pending};
use std::pin::pin;
use std::rc::Rc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Wake, Waker};
use std::time::Duration;

use squall::fault::{clock_drift, pause};
use squall::net::Endpoint;
use squall::prelude::*;
use squall::trace::{EndReason, EventKind, Outcome, Plan, Record, Seed, StrategyChoice, Verdict};
use squall::{OnPanic, Simulation, World, publish};
use squall_tests::{Guard, failure, passes, run};
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::time::{sleep, timeout};

fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

/// A world of one client that tokio executes.
fn client<F, Fut>(body: F) -> impl Fn(&mut World) + Send + Sync + 'static
where
    F: Fn() -> Fut + Clone + Send + Sync + 'static,
    Fut: Future<Output = ()> + 'static,
{
    move |world| {
        world.client("client", body.clone()).tokio();
    }
}

/// When each publication of a topic came, in microseconds of the run's time, and what it says.
fn published(outcome: &Outcome, topic: &str) -> Vec<(u64, String)> {
    let events = &outcome.trace.as_ref().expect("fully recorded").events;
    let about = |event: &squall::trace::OwnedEvent| match &event.kind {
        EventKind::Publish { topic: other, value } if other == topic => Some((event.at_ns / 1_000, value.to_string())),
        _ => None,
    };
    events.iter().filter_map(about).collect()
}

fn at(outcome: &Outcome, topic: &str) -> Vec<u64> {
    published(outcome, topic).into_iter().map(|(at_us, _)| at_us).collect()
}

// --- time ---------------------------------------------------------------------------------------------------------------

#[test]
fn sleeps_end_at_their_instants() {
    let outcome = run(client(|| async {
        for after in [1, 10, 63, 64, 65, 1_000, 100_000] {
            sleep(ms(after)).await;
            publish("woken", after);
        }
    }));
    assert_eq!(outcome.verdict, Verdict::Pass);
    let sums = [1, 11, 74, 138, 203, 1_203, 101_203];
    assert_eq!(at(&outcome, "woken"), sums.map(|sum| sum * 1_000));
}

#[test]
fn what_is_no_whole_millisecond_is_rounded_as_tokio_does() {
    let outcome = run(|world: &mut World| {
        let body = || async {
            sleep(Duration::from_micros(1)).await;
            publish("woken", 1);
        };
        world.node("node", body).tokio();
        // It boots at 2.5 ms: its milliseconds count from there.
        world.fault(squall::crash("node").at(Duration::from_micros(500)).restart_after(ms(2)));
        world.end_at(ms(50));
    });
    assert_eq!(at(&outcome, "woken"), [3_500]);
}

#[test]
fn stds_clock_is_tokios() {
    passes(client(|| async {
        let (std, tokio, squall) =
            (std::time::Instant::now(), tokio::time::Instant::now(), squall::time::Instant::now());
        sleep(ms(7)).await;
        assert_eq!(std.elapsed(), ms(7));
        assert_eq!(tokio.elapsed(), ms(7));
        assert_eq!(squall.elapsed(), ms(7));
        // Squall's own timers can be awaited as well, and are exact.
        squall::time::sleep(Duration::from_nanos(1)).await;
        assert_eq!(std.elapsed(), ms(7) + Duration::from_nanos(1));
    }));
}

#[test]
fn timers_go_by_the_nodes_clock() {
    let outcome = run(|world: &mut World| {
        for name in ["right", "fast"] {
            let body = move || async move {
                sleep(ms(300)).await;
                publish(name, 1);
            };
            world.client(name, body).tokio();
        }
        world.fault(clock_drift("fast", 500_000).at(Duration::ZERO));
    });
    assert_eq!(outcome.verdict, Verdict::Pass);
    assert_eq!((at(&outcome, "right"), at(&outcome, "fast")), (vec![300_000], vec![200_000]));
}

#[test]
fn a_clock_that_changes_in_the_midst_of_a_sleep_counts() {
    let outcome = run(|world: &mut World| {
        let body = || async {
            sleep(ms(300)).await;
            publish("woken", 1);
        };
        world.client("node", body).tokio();
        // 100 ms at the right speed, 150 ms half as fast again, and the last 50 at the right one.
        world.fault(clock_drift("node", 500_000).at(ms(100)).lasts(ms(100)));
    });
    assert_eq!(outcome.verdict, Verdict::Pass);
    assert_eq!(at(&outcome, "woken"), [250_000]);
}

#[test]
fn a_node_that_stands_still_wakes_late() {
    let outcome = run(|world: &mut World| {
        let body = || async {
            for _ in 0..3 {
                sleep(ms(10)).await;
                publish("woken", 1);
            }
        };
        world.client("node", body).tokio();
        world.fault(pause("node").at(ms(15)).lasts(ms(30)));
    });
    assert_eq!(outcome.verdict, Verdict::Pass);
    assert_eq!(at(&outcome, "woken"), [10_000, 45_000, 55_000]);
}

#[test]
fn a_slow_node_takes_its_time_for_each_drive() {
    let outcome = run(|world: &mut World| {
        let body = || async {
            let task = tokio::spawn(sleep(ms(10)));
            task.await.unwrap();
            publish("woken", 1);
        };
        world.client("node", body).tokio();
        world.fault(squall::fault::slow("node", ms(3)).at(Duration::ZERO));
    });
    assert_eq!(outcome.verdict, Verdict::Pass, "{:?}", outcome.verdict);
    // The first drive comes after 3 ms, and the one that its timer asks for 3 ms after that.
    assert_eq!(at(&outcome, "woken"), [16_000]);
}

/// As the page says: a timer that is a year or further away never comes by itself.
#[test]
fn nobody_waits_for_more_than_a_year() {
    let sleeping = |days: u64| {
        run(move |world: &mut World| {
            world.client("client", move || sleep(secs(days * 86_400))).tokio();
            world.limits().virtual_ns = u64::MAX / 4;
        })
    };
    let outcome = sleeping(360);
    assert_eq!(outcome.verdict, Verdict::Pass);
    assert_eq!(outcome.ending.at_ns, 360 * 86_400 * 1_000_000_000);
    let outcome = sleeping(400);
    assert_eq!(failure(&outcome).0, "deadlock");
}

#[test]
fn who_waits_for_nothing_is_a_deadlock_at_once() {
    let outcome = run(client(|| async {
        sleep(ms(3)).await;
        pending::<()>().await;
    }));
    assert_eq!(failure(&outcome).0, "deadlock");
    assert_eq!(outcome.ending.at_ns, 3_000_000);
}

#[test]
fn a_clock_that_the_program_moves_is_refused() {
    for body in [
        || {
            tokio::time::pause();
            tokio::spawn(sleep(ms(5)))
        },
        || {
            tokio::spawn(async {
                tokio::time::pause();
                tokio::time::advance(ms(5)).await;
                sleep(ms(5)).await;
            })
        },
    ] {
        let outcome = run(client(move || async move {
            let _ = body().await;
            pending::<()>().await;
        }));
        let (property, message) = failure(&outcome);
        assert_eq!(property, "panic");
        assert!(message.contains("tokio's clock was stopped or moved"), "{message}");
    }
    // Also where nothing waits any more.
    let outcome = run(client(|| async {
        tokio::time::pause();
        tokio::time::advance(ms(5)).await;
    }));
    assert!(failure(&outcome).1.contains("tokio's clock was stopped or moved"));
}

// --- crashes ------------------------------------------------------------------------------------------------------------

#[test]
fn a_crash_takes_the_runtime_and_its_tasks() {
    let living: Arc<AtomicI64> = Arc::default();
    let guard = Guard::new(&living);
    let outcome = run(move |world: &mut World| {
        let guard = guard.clone();
        let body = move || {
            let guard = guard.clone();
            async move {
                publish("booted", squall::boot_number());
                for _ in 0..3 {
                    let guard = guard.clone();
                    tokio::spawn(async move {
                        sleep(ms(20)).await;
                        drop(guard);
                        publish("slept", squall::boot_number());
                    });
                }
                pending::<()>().await;
            }
        };
        world.node("node", body).tokio();
        world.fault(squall::crash("node").at(ms(15)).restart_after(ms(10)));
        world.end_at(ms(100));
    });
    assert_eq!(outcome.verdict, Verdict::Pass);
    assert_eq!(published(&outcome, "booted"), [(0, "0".to_string()), (25_000, "1".to_string())]);
    assert_eq!(published(&outcome, "slept"), vec![(45_000, "1".to_string()); 3]);
    assert_eq!(living.load(Ordering::SeqCst), 0, "nothing outlives a run");
}

#[test]
fn destructors_of_a_crash_have_no_effect() {
    struct Publishes;
    impl Drop for Publishes {
        fn drop(&mut self) {
            publish("dropped", 1);
            // A context is there, as it is when `block_on` is left.
            drop(tokio::spawn(async { publish("dropped", 2) }));
        }
    }
    let outcome = run(|world: &mut World| {
        let body = || async {
            let of_root = Publishes;
            tokio::spawn(async {
                let _of_task = Publishes;
                pending::<()>().await;
            });
            pending::<()>().await;
            drop(of_root);
        };
        world.node("node", body).tokio();
        world.fault(squall::crash("node").at(ms(5)));
        world.end_at(ms(10));
    });
    assert_eq!(outcome.verdict, Verdict::Pass);
    assert_eq!(published(&outcome, "dropped"), []);
}

#[test]
fn a_panicking_destructor_fails_the_run() {
    struct Panics;
    impl Drop for Panics {
        fn drop(&mut self) {
            panic!("a bad destructor");
        }
    }
    let outcome = run(|world: &mut World| {
        let body = || async {
            tokio::spawn(async {
                let _panics = Panics;
                pending::<()>().await;
            });
            pending::<()>().await;
        };
        world.node("node", body).tokio();
        world.fault(squall::crash("node").at(ms(5)));
        world.end_at(ms(10));
    });
    let (property, message) = failure(&outcome);
    assert_eq!(property, "panic");
    assert!(
        message.starts_with("a destructor of node panicked: a bad destructor, at tests/tests/tokio_node.rs:"),
        "{message}"
    );
}

#[test]
fn what_a_root_spawned_goes_when_it_returns() {
    let outcome = run(|world: &mut World| {
        let body = || async {
            tokio::spawn(async {
                sleep(ms(5)).await;
                publish("spawned", 1);
            });
        };
        world.client("node", body).tokio();
        world.end_at(ms(10));
    });
    assert_eq!(published(&outcome, "spawned"), [], "as with #[tokio::main]");
}

#[test]
fn a_roots_error_fails_the_run() {
    let outcome = run(|world: &mut World| {
        world.client("node", || async { tokio::spawn(async { Err::<(), _>("no luck") }).await.unwrap() }).tokio();
    });
    assert_eq!(failure(&outcome), ("error", "node returned an error: \"no luck\""));
}

// --- panics -------------------------------------------------------------------------------------------------------------

#[test]
fn a_panic_in_a_task_fails_the_run_with_its_place() {
    let outcome = run(client(|| async {
        tokio::spawn(async {
            sleep(ms(3)).await;
            panic!("out of luck");
        });
        pending::<()>().await;
    }));
    let (property, message) = failure(&outcome);
    assert_eq!(property, "panic");
    let begin = "client panicked in a task of tokio: out of luck, at tests/tests/tokio_node.rs:";
    assert!(message.starts_with(begin), "{message}");
    let Verdict::Fail(failure) = &outcome.verdict else { unreachable!() };
    assert_eq!(failure.at_ns, 3_000_000);
    assert_eq!(failure.node.map(|node| node.0), Some(0));
}

#[test]
fn a_panic_of_the_root_or_of_a_thread_fails_the_run() {
    let outcome = run(client(|| async { panic!("out of luck") }));
    let (property, message) = failure(&outcome);
    assert_eq!(property, "panic");
    assert!(message.starts_with("client panicked: out of luck, at tests/tests/tokio_node.rs:"), "{message}");
    let outcome = run(client(|| async {
        tokio::task::spawn_blocking(|| panic!("out of luck"));
        pending::<()>().await;
    }));
    let (property, message) = failure(&outcome);
    assert_eq!(property, "panic");
    let begin = "client panicked in a task of tokio: out of luck, at tests/tests/tokio_node.rs:";
    assert!(message.starts_with(begin), "{message}");
}

#[test]
fn a_panic_may_crash_the_node() {
    let outcome = run(|world: &mut World| {
        let body = || async {
            tokio::spawn(async { panic!("out of luck") });
            tokio::spawn(async { publish("after", 1) });
            sleep(ms(1)).await;
            publish("after", 2);
        };
        world.node("node", body).on_panic(OnPanic::Crash).tokio();
        world.end_at(ms(10));
    });
    assert_eq!(outcome.verdict, Verdict::Pass);
    assert_eq!(published(&outcome, "after"), [], "effects go off at once");
    let events = &outcome.trace.as_ref().unwrap().events;
    assert_eq!(events.iter().filter(|event| event.kind == EventKind::Crash).count(), 1);
}

#[test]
fn a_panic_may_be_left_to_who_joins() {
    let outcome = run(|world: &mut World| {
        let body = || async {
            let error = tokio::spawn(async { panic!("out of luck") }).await.unwrap_err();
            assert!(error.is_panic());
        };
        world.client("node", body).on_panic(OnPanic::JoinError).tokio();
    });
    assert_eq!(outcome.verdict, Verdict::Pass);
    let is_panic = |event: &&squall::trace::OwnedEvent| matches!(event.kind, EventKind::Panic { .. });
    assert_eq!(outcome.trace.as_ref().unwrap().events.iter().filter(is_panic).count(), 1);
}

// --- across nodes -------------------------------------------------------------------------------------------------------

/// A channel between nodes of all kinds: whoever sends, the receiver's tasks are woken at that instant.
#[test]
fn a_channel_of_tokios_reaches_other_nodes() {
    for (sender_is_hosted, receiver_is_task) in [(false, false), (true, false), (false, true), (true, true)] {
        let outcome = run(move |world: &mut World| {
            let (tx, rx) = mpsc::unbounded_channel::<u32>();
            let rx = Rc::new(RefCell::new(Some(rx)));
            let receiver = move || {
                let mut rx = rx.take().expect("it boots once");
                let receive = async move {
                    while let Some(n) = rx.recv().await {
                        publish("received", n);
                    }
                };
                async move { if receiver_is_task { tokio::spawn(receive).await.unwrap() } else { receive.await } }
            };
            world.client("receiver", receiver).tokio();
            let tx = Rc::new(RefCell::new(Some(tx)));
            let sender = move || {
                let tx = tx.take().expect("it boots once");
                async move {
                    for n in 0..3 {
                        squall::time::sleep(ms(10)).await;
                        tx.send(n).unwrap();
                    }
                }
            };
            let mut sender = world.client("sender", sender);
            if sender_is_hosted {
                sender.tokio();
            }
        });
        assert_eq!(outcome.verdict, Verdict::Pass, "{sender_is_hosted} {receiver_is_task}");
        let expected: Vec<_> = (0..3).map(|n| ((n + 1) * 10_000, n.to_string())).collect();
        assert_eq!(published(&outcome, "received"), expected, "{sender_is_hosted} {receiver_is_task}");
    }
}

#[test]
fn a_control_task_wakes_a_hosted_one() {
    let outcome = run(|world: &mut World| {
        let notify = Arc::new(Notify::new());
        let of_node = Arc::clone(&notify);
        let body = move || {
            let notify = Arc::clone(&of_node);
            async move { tokio::spawn(async move { notify.notified().await }).await.unwrap() }
        };
        world.client("node", body).tokio();
        world.control(move |_| {
            let notify = Arc::clone(&notify);
            async move {
                squall::time::sleep(ms(4)).await;
                notify.notify_one();
            }
        });
    });
    assert_eq!(outcome.verdict, Verdict::Pass);
    assert_eq!(outcome.ending.at_ns, 4_000_000);
}

#[test]
fn messages_wake_tasks_and_the_root() {
    passes(|world: &mut World| {
        let server = || async {
            let endpoint = Arc::new(Endpoint::bind("0.0.0.0:80").await.unwrap());
            let mut buffer = [0; 8];
            loop {
                let (length, from) = endpoint.recv_from(1, &mut buffer).await.unwrap();
                let (endpoint, said) = (Arc::clone(&endpoint), buffer[..length].to_vec());
                tokio::task::spawn(async move {
                    sleep(ms(2)).await;
                    endpoint.send_to(from, 2, &said).await.unwrap();
                });
            }
        };
        world.node("server", server).tokio();
        world
            .clients("client", 3, |_| async {
                let endpoint = Endpoint::bind("0.0.0.0:0").await.unwrap();
                for n in 0..10u8 {
                    endpoint.send_to("server:80", 1, &[n]).await.unwrap();
                    let mut buffer = [0; 8];
                    let (length, _) = timeout(secs(1), endpoint.recv_from(2, &mut buffer)).await.unwrap().unwrap();
                    assert_eq!(buffer[..length], [n]);
                }
            })
            .tokio();
    });
}

/// However often tasks take turns, what one of them waits for knows it once.
/// How often the future of a root was polled.
fn counted<F: Future>(future: F) -> impl Future<Output = (F::Output, u32)> {
    let (mut future, mut polls) = (Box::pin(future), 0);
    std::future::poll_fn(move |context| {
        polls += 1;
        future.as_mut().poll(context).map(|output| (output, polls))
    })
}

/// A host is polled for each timer of its tasks; its root only when something woke that.
#[test]
fn a_root_is_polled_when_it_was_woken_and_at_no_other_time() {
    let outcome = run(client(|| async {
        tokio::spawn(async {
            for _ in 0..10 {
                sleep(ms(1)).await;
            }
        });
        let ((), polls) = counted(squall::time::sleep(ms(30))).await;
        publish("polls of Squall's sleep", polls);
        let ((), polls) = counted(sleep(ms(30))).await;
        publish("polls of tokio's sleep", polls);
    }));
    assert_eq!(outcome.verdict, Verdict::Pass);
    assert_eq!(published(&outcome, "polls of Squall's sleep"), [(30_000, "2".to_string())]);
    assert_eq!(published(&outcome, "polls of tokio's sleep"), [(60_000, "2".to_string())]);
}

#[test]
fn a_root_is_woken_by_all_that_it_waits_for_at_once() {
    let outcome = run(|world: &mut World| {
        let body = || async {
            let of_squall = squall::task::spawn_local(async { squall::time::sleep(ms(9)).await });
            let of_tokio = tokio::spawn(sleep(ms(11)));
            let endpoint = Endpoint::bind("0.0.0.0:80").await.unwrap();
            let mut buffer = [0; 8];
            let heard = async {
                endpoint.recv_from(1, &mut buffer).await.unwrap();
                publish("woken", "by a message");
            };
            let slept = |after, by: &'static str| async move {
                squall::time::sleep(ms(after)).await;
                publish("woken", by);
            };
            tokio::join!(
                heard,
                slept(5, "by Squall's sleep"),
                slept(5, "by another of the same instant"),
                async {
                    sleep(ms(7)).await;
                    publish("woken", "by tokio's sleep");
                },
                async {
                    of_squall.await.unwrap();
                    publish("woken", "by Squall's task");
                },
                async {
                    of_tokio.await.unwrap();
                    publish("woken", "by tokio's task");
                },
            );
        };
        world.client("client", body).tokio();
        world.client("other", || async {
            squall::time::sleep(ms(2)).await;
            Endpoint::bind("0.0.0.0:0").await.unwrap().send_to(("client", 80), 1, b"there").await.unwrap();
        });
        world.network().latency(squall::Latency::fixed(ms(1)));
    });
    assert_eq!(outcome.verdict, Verdict::Pass);
    // With whom of its branches `tokio::join!` begins is its own business.
    let mut woken = published(&outcome, "woken");
    woken.sort();
    let by = |what: &str| format!("\"by {what}\"");
    let expected = [
        (3_000, by("a message")),
        (5_000, by("Squall's sleep")),
        (5_000, by("another of the same instant")),
        (7_000, by("tokio's sleep")),
        (9_000, by("Squall's task")),
        (11_000, by("tokio's task")),
    ];
    assert_eq!(woken, expected);
}

/// Polled once by each, it wakes who polled it last.
#[test]
fn a_wait_may_go_from_the_root_to_a_task_and_back() {
    async fn poll_once(future: &mut std::pin::Pin<Box<squall::time::Sleep>>) {
        std::future::poll_fn(|context| {
            assert!(future.as_mut().poll(context).is_pending());
            std::task::Poll::Ready(())
        })
        .await;
    }
    let outcome = run(client(|| async {
        let to_task = async {
            let mut slept = Box::pin(squall::time::sleep(ms(10)));
            poll_once(&mut slept).await;
            let task = async move {
                slept.await;
                publish("woken", "the task");
            };
            tokio::task::spawn_local(task).await.unwrap();
            let task = async {
                let mut slept = Box::pin(squall::time::sleep(ms(10)));
                poll_once(&mut slept).await;
                (slept,)
            };
            tokio::task::spawn_local(task).await.unwrap().0.await;
            publish("woken", "the root");
        };
        tokio::task::LocalSet::new().run_until(to_task).await;
    }));
    assert_eq!(outcome.verdict, Verdict::Pass);
    let expected = [(10_000, "\"the task\"".to_string()), (20_000, "\"the root\"".to_string())];
    assert_eq!(published(&outcome, "woken"), expected);
}

/// The root's wait is over while its node stands still; then that crashes, and starts again.
#[test]
fn a_wake_of_a_root_is_over_with_its_boot() {
    let outcome = run(|world: &mut World| {
        let body = || async {
            let ((), polls) = counted(squall::time::sleep(ms(10))).await;
            publish("polls", polls);
        };
        world.client("client", body).tokio();
        world.fault(pause("client").at(ms(5)).lasts(ms(20)));
        world.fault(squall::crash("client").at(ms(15)).restart_after(ms(25)));
    });
    assert_eq!(outcome.verdict, Verdict::Pass);
    assert_eq!(published(&outcome, "polls"), [(50_000, "2".to_string())]);
}

#[test]
fn who_waits_beside_others_is_known_once() {
    struct Nobody;
    impl Wake for Nobody {
        fn wake(self: Arc<Self>) {}
    }
    passes(client(|| async {
        let listener = squall::net::TcpListener::bind("0.0.0.0:80").await.expect("it listens");
        let (one, other) = (Arc::new(Nobody), Arc::new(Nobody));
        let (mut accept, mut beside) = (pin!(listener.accept()), pin!(squall::time::sleep(secs(1))));
        for _ in 0..100 {
            let [of_one, of_other] = [&one, &other].map(|waker| Waker::from(Arc::clone(waker)));
            assert!(accept.as_mut().poll(&mut Context::from_waker(&of_one)).is_pending());
            assert!(beside.as_mut().poll(&mut Context::from_waker(&of_other)).is_pending());
        }
        // What isn't needed is dropped outside of the engine's own code.
        sleep(ms(1)).await;
        // This one, the listener's, and at the most two of the host's, who keeps whom it has met last.
        assert!(Arc::strong_count(&one) <= 4, "{}", Arc::strong_count(&one));
    }));
}

#[test]
fn squalls_own_tasks_live_beside_tokios() {
    passes(client(|| async {
        let (tx, rx) = oneshot::channel();
        let of_squall = squall::task::spawn(async move {
            squall::time::sleep(ms(3)).await;
            tx.send(5).unwrap();
            7
        });
        let of_tokio = tokio::spawn(rx);
        assert_eq!(of_squall.await.unwrap(), 7);
        assert_eq!(of_tokio.await.unwrap().unwrap(), 5);
    }));
}

// --- threads ------------------------------------------------------------------------------------------------------------

#[test]
fn a_thread_sleeps_in_virtual_time() {
    let outcome = run(client(|| async {
        let before = std::time::Instant::now();
        let thread = tokio::task::spawn_blocking(move || {
            std::thread::sleep(ms(1_500));
            before.elapsed()
        });
        tokio::spawn(async {
            sleep(ms(1)).await;
            publish("meanwhile", 1);
        });
        assert_eq!(thread.await.unwrap(), ms(1_500));
        publish("slept", 1);
    }));
    assert_eq!(outcome.verdict, Verdict::Pass);
    assert_eq!(outcome.escapes, Vec::<String>::new());
    assert_eq!((at(&outcome, "meanwhile"), at(&outcome, "slept")), (vec![1_000], vec![1_500_000]));
}

#[test]
fn a_thread_wakes_tasks_of_all_kinds() {
    let outcome = run(|world: &mut World| {
        let (tx, rx) = oneshot::channel::<u8>();
        let (tx, rx) = (Rc::new(RefCell::new(Some(tx))), Rc::new(RefCell::new(Some(rx))));
        let sender = move || {
            let tx = tx.take().expect("it boots once");
            async move {
                sleep(ms(2)).await;
                tokio::task::spawn_blocking(move || tx.send(3).unwrap()).await.unwrap();
            }
        };
        world.client("sender", sender).tokio();
        let receiver = move || {
            let rx = rx.take().expect("it boots once");
            async move { publish("received", rx.await.unwrap()) }
        };
        world.client("receiver", receiver);
    });
    assert_eq!(outcome.verdict, Verdict::Pass, "{:?}", outcome.verdict);
    assert_eq!(published(&outcome, "received"), [(2_000, "3".to_string())]);
}

#[test]
fn a_thread_that_can_not_end_is_named() {
    let (held, waited) = std::sync::mpsc::channel::<()>();
    let waited = Arc::new(Mutex::new(Some(waited)));
    let outcome = run(move |world: &mut World| {
        let waited = Arc::clone(&waited);
        let body = move || {
            let waited = waited.lock().unwrap().take();
            async move {
                tokio::task::spawn_blocking(move || waited.expect("it boots once").recv());
                sleep(ms(5)).await;
            }
        };
        world.client("node", body).tokio();
    });
    assert_eq!(outcome.verdict, Verdict::Pass);
    let line = "node: a thread of spawn_blocking waits for what will never come, and is left over when its node goes";
    assert_eq!(outcome.escapes, [line]);
    drop(held);
}

/// Its waits are over at once, a thousand of them, of which the last is that of the pool's thread for more to do.
#[test]
fn a_thread_that_goes_on_and_on_after_a_crash_is_left_over() {
    for (sleeps, escapes) in [(999, 0), (1_000, 1)] {
        let outcome = run(move |world: &mut World| {
            let body = move || async move {
                tokio::task::spawn_blocking(move || {
                    for _ in 0..sleeps {
                        std::thread::sleep(ms(100));
                    }
                });
                pending::<()>().await;
            };
            world.node("node", body).tokio();
            world.fault(squall::crash("node").at(ms(5)));
            world.end_at(ms(20));
        });
        assert_eq!(outcome.verdict, Verdict::Pass, "{:?}", outcome.verdict);
        assert_eq!(outcome.escapes.len(), escapes, "{sleeps}: {:?}", outcome.escapes);
    }
}

/// Its waits are over at once, and its code makes of that what it does: nobody is there any more to fail.
#[test]
fn what_a_thread_panics_with_after_a_crash_is_no_failure() {
    let ends: [fn(&mut World); 2] = [
        |world| world.fault(squall::crash("node").at(ms(5)).restart_after(ms(1))),
        // Nobody crashes: the run is over.
        |_| {},
    ];
    for end in ends {
        let outcome = run(move |world: &mut World| {
            let body = || async {
                let handle = tokio::runtime::Handle::current();
                tokio::task::spawn_blocking(move || handle.block_on(sleep(Duration::from_secs(10))));
                let (tx, mut rx) = mpsc::channel::<u8>(1);
                tokio::task::spawn_blocking(move || rx.blocking_recv().expect("a command"));
                let (_held, waited) = std::sync::mpsc::channel::<u8>();
                tokio::task::spawn_blocking(move || waited.recv_timeout(Duration::from_secs(10)).expect("a byte"));
                pending::<()>().await;
                drop(tx);
            };
            world.node("node", body).tokio();
            end(world);
            world.end_at(ms(20));
        });
        assert_eq!(outcome.verdict, Verdict::Pass, "{:?}", outcome.verdict);
        let events = &outcome.trace.as_ref().unwrap().events;
        assert!(!events.iter().any(|event| matches!(event.kind, EventKind::Panic { .. })), "{events:?}");
    }
}

/// The same panics before the crash, and those at an end of the root's own making, are failures as ever.
#[test]
fn what_a_thread_panics_with_before_a_crash_is_a_failure() {
    let outcome = run(|world: &mut World| {
        let body = || async {
            tokio::task::spawn_blocking(|| {
                std::thread::sleep(ms(3));
                panic!("out of luck");
            });
            pending::<()>().await;
        };
        world.node("node", body).tokio();
        world.fault(squall::crash("node").at(ms(5)).restart_after(ms(1)));
        world.end_at(ms(20));
    });
    let (property, message) = failure(&outcome);
    assert_eq!(property, "panic");
    assert!(message.contains("out of luck"), "{message}");
    let returns = run(client(|| async {
        tokio::task::spawn_blocking(|| {
            std::thread::sleep(Duration::from_secs(10));
            panic!("out of luck");
        });
        sleep(ms(1)).await;
    }));
    assert_eq!(failure(&returns).0, "panic");
}

/// Only memory that outlives the boot keeps what the thread does then.
#[test]
fn what_a_thread_does_after_a_crash_has_no_effect_but_on_memory() {
    let steps = Arc::new(Mutex::new(Vec::new()));
    let of_node = Arc::clone(&steps);
    let outcome = run(move |world: &mut World| {
        let heard = || async {
            let socket = squall::net::UdpSocket::bind("0.0.0.0:80").await.unwrap();
            let mut word = [0; 9];
            while socket.recv_from(&mut word).await.is_ok() {
                publish("heard", word[0]);
            }
        };
        world.node("peer", heard);
        let of_node = Arc::clone(&of_node);
        let body = move || {
            let steps = Arc::clone(&of_node);
            async move {
                if squall::boot_number() > 0 {
                    publish("written", squall::fs::read("file").await.is_ok());
                    return pending::<()>().await;
                }
                let socket = squall::net::UdpSocket::bind("0.0.0.0:0").await.unwrap();
                socket.connect("peer:80").await.unwrap();
                socket.send(&[1]).await.unwrap();
                let handle = tokio::runtime::Handle::current();
                tokio::task::spawn_blocking(move || {
                    std::thread::sleep(Duration::from_secs(10));
                    let attempt = |name, step: &mut dyn FnMut()| {
                        let _ = std::panic::catch_unwind(std::panic::AssertUnwindSafe(step));
                        steps.lock().unwrap().push(name);
                    };
                    attempt("publish", &mut || publish("told", 1));
                    attempt("try_send", &mut || drop(socket.try_send(&[2])));
                    attempt("send", &mut || drop(handle.block_on(socket.send(&[3]))));
                    attempt("write", &mut || drop(handle.block_on(squall::fs::write("file", b"text"))));
                    attempt("spawn", &mut || drop(handle.spawn(async { publish("told", 2) })));
                });
                pending::<()>().await;
            }
        };
        world.node("node", body).tokio();
        world.fault(squall::crash("node").at(ms(500)).restart_after(ms(1)));
        world.end_at(Duration::from_secs(2));
    });
    assert_eq!(outcome.verdict, Verdict::Pass, "{:?}", outcome.verdict);
    let words: Vec<String> = published(&outcome, "heard").into_iter().map(|(_, word)| word).collect();
    assert_eq!(words, ["1"]);
    assert_eq!(published(&outcome, "told"), []);
    let written: Vec<String> = published(&outcome, "written").into_iter().map(|(_, is_there)| is_there).collect();
    assert_eq!(written, ["false"]);
    assert_eq!(*steps.lock().unwrap(), ["publish", "try_send", "send", "write", "spawn"]);
}

#[test]
fn squalls_calls_are_refused_on_a_thread() {
    let outcome = run(client(|| async {
        let _ = tokio::task::spawn_blocking(|| publish("here", 1)).await;
    }));
    let (property, message) = failure(&outcome);
    assert_eq!(property, "panic");
    assert!(message.contains("squall::publish was called") && message.contains("spawn_blocking"), "{message}");
}

// --- what can't work ----------------------------------------------------------------------------------------------------

#[test]
fn a_blocking_wait_in_a_task_is_named() {
    let outcome = run(client(|| async {
        tokio::spawn(async { std::thread::sleep(ms(20)) }).await.unwrap();
    }));
    let (property, message) = failure(&outcome);
    assert_eq!(property, "hermetic");
    assert!(message.starts_with("client: a blocking sleep of 20 ms"), "{message}");
    let outcome = run(client(|| async {
        let (_tx, rx) = std::sync::mpsc::channel::<()>();
        let _ = rx.recv_timeout(ms(20));
    }));
    let (property, message) = failure(&outcome);
    assert_eq!(property, "hermetic");
    assert!(message.starts_with("client: a blocking wait of up to 20 ms"), "{message}");
}

/// What can't be simulated says what to use in its place.
#[test]
fn what_cannot_be_had_says_what_to_use() {
    type Body = fn() -> std::pin::Pin<Box<dyn Future<Output = ()>>>;
    let sockets = "in a node use squall::net in place of tokio::net and std::net";
    let names = "in a node names of nodes are addresses of squall::net as they are";
    let cases: [(Body, &str, &str, &str); 13] = [
        (
            || Box::pin(async { drop(tokio::net::TcpListener::bind("127.0.0.1:0").await) }),
            "hermetic",
            "a real socket",
            sockets,
        ),
        (
            || Box::pin(async { drop(tokio::net::UdpSocket::bind("127.0.0.1:0").await) }),
            "hermetic",
            "a real socket",
            sockets,
        ),
        (
            || Box::pin(async { drop(tokio::net::UnixStream::connect("/none").await) }),
            "hermetic",
            "a real socket",
            sockets,
        ),
        (
            || Box::pin(async { drop(tokio::net::TcpStream::connect("bank:80").await) }),
            "hermetic",
            "the host name bank",
            names,
        ),
        (
            || Box::pin(async { drop(tokio::net::lookup_host("bank:80").await) }),
            "hermetic",
            "the host name bank",
            names,
        ),
        (|| Box::pin(async { drop(std::thread::spawn(|| ())) }), "hermetic", "a thread was created", "spawn_blocking"),
        (
            || Box::pin(async { drop(std::process::Command::new("/bin/true").status()) }),
            "hermetic",
            "a process was started",
            "a node of its own",
        ),
        (
            || Box::pin(async { drop(tokio::process::Command::new("/bin/true").status().await) }),
            "hermetic",
            "a process was started",
            "a node of its own",
        ),
        (
            || Box::pin(async { drop(tokio::signal::ctrl_c().await) }),
            "panic",
            "IO is disabled",
            "let faults stop or restart nodes in place of signals",
        ),
        (
            || Box::pin(async { drop(tokio::io::AsyncReadExt::read_u8(&mut tokio::io::stdin()).await) }),
            "hermetic",
            "the standard input was read",
            "a channel, an argument or a file of squall::fs",
        ),
        (
            || Box::pin(async { std::thread::sleep(ms(20)) }),
            "hermetic",
            "a blocking sleep of 20 ms",
            "await instead, or let tokio::task::spawn_blocking do it",
        ),
        (
            || Box::pin(async { tokio::task::block_in_place(|| ()) }),
            "panic",
            "multi-threaded runtime",
            "use tokio::task::spawn_blocking in place of block_in_place",
        ),
        (
            || Box::pin(async { drop(tokio::runtime::Builder::new_multi_thread().worker_threads(1).build()) }),
            "hermetic",
            "a thread was created",
            "a runtime with threads of its own can't be simulated",
        ),
    ];
    for (body, property, what, remedy) in cases {
        let outcome = run(client(body));
        let failed = failure(&outcome);
        assert_eq!(failed.0, property, "{what}");
        assert!(failed.1.contains(what) && failed.1.contains(remedy), "{what}: {}", failed.1);
    }
}

#[test]
fn tokio_without_its_runtime_says_how_to_have_it() {
    let bodies: [fn(); 2] = [|| drop(tokio::spawn(async {})), || drop(sleep(ms(1)))];
    for body in bodies {
        let outcome = run(move |world: &mut World| {
            world.client("client", move || async move { body() });
        });
        let (property, message) = failure(&outcome);
        assert_eq!(property, "panic");
        assert!(message.contains("let tokio execute the node, world.node(…).tokio()"), "{message}");
    }
}

#[test]
fn tokios_words_for_want_of_io_are_those_that_are_known() {
    let outcome = run(client(|| async {
        let (_left, right) = std::os::unix::net::UnixStream::pair().unwrap();
        right.set_nonblocking(true).unwrap();
        let _ = tokio::net::UnixStream::from_std(right);
    }));
    let (property, message) = failure(&outcome);
    assert_eq!(property, "panic");
    assert!(
        message.contains("IO is disabled") && message.contains("use squall::net in place of tokio::net"),
        "{message}"
    );
}

#[test]
fn tokios_files_are_refused() {
    let outcome = run(client(|| async {
        let _ = tokio::fs::read("/etc/hostname").await;
    }));
    let (property, message) = failure(&outcome);
    assert_eq!(property, "hermetic");
    assert!(
        message.starts_with(
            "client: the file /etc/hostname was opened in spawn_blocking, or by tokio::fs: in a node use squall::fs"
        ),
        "{message}"
    );
}

#[test]
fn one_runtime_is_enough() {
    let simulation = Simulation::new(|world: &mut World| {
        world.client("client", || async {}).tokio().tokio();
    });
    let refused = simulation.try_run_plan(&Plan::seeded("test", Seed(1)), Record::Digest).unwrap_err();
    let text = refused.to_string();
    assert!(text.contains("the root task of node \"client\" is hosted already"), "{text}");
}

// --- repetition ---------------------------------------------------------------------------------------------------------

/// Fifty nodes with tasks, timers, threads and messages, under every strategy: each run repeats itself.
#[test]
fn runs_repeat_themselves() {
    let simulation = Simulation::new(|world: &mut World| {
        world
            .clients("client", 50, |index| async move {
                let endpoint = Arc::new(Endpoint::bind("0.0.0.0:1").await.unwrap());
                let receiver = Arc::clone(&endpoint);
                tokio::spawn(async move {
                    let mut buffer = [0; 8];
                    while let Ok((_, from)) = receiver.recv_from(1, &mut buffer).await {
                        publish("from", from.to_string());
                    }
                });
                for n in 0..5 {
                    sleep(Duration::from_micros(rand_0_9::random_range(1..20_000))).await;
                    let to = format!("client-{}:1", (index + n + 1) % 50);
                    endpoint.send_to(to.as_str(), 1, &[n as u8]).await.unwrap();
                    if index % 10 == 0 {
                        tokio::task::spawn_blocking(|| std::thread::sleep(ms(1))).await.unwrap();
                    }
                }
            })
            .tokio();
        world.network().loss(percent(10));
        world.fault(squall::crash("client-*").at(ms(9)).restart_after(ms(2)));
    });
    for strategy in [StrategyChoice::Fifo, StrategyChoice::Random, StrategyChoice::Pct { depth: 3, steps: 500 }] {
        let plan = Plan { strategy, ..Plan::seeded("test", Seed(3)) };
        let first = simulation.run_plan(&plan, Record::Full);
        assert_eq!(first.verdict, Verdict::Pass, "{strategy}");
        assert_eq!(first.ending.reason, EndReason::ClientsReturned, "{strategy}");
        assert_eq!(first.escapes, Vec::<String>::new());
        let second = simulation.run_plan(&plan, Record::Digest);
        assert_eq!(first.digest, second.digest, "{strategy}");
    }
}

/// Keeps what it is given until its task is dropped.
async fn keep<T>(kept: T) {
    pending::<()>().await;
    drop(kept);
}

/// Accepts all connections, and keeps them.
async fn accepts_all() {
    let listener = squall::net::TcpListener::bind("0.0.0.0:80").await.expect("it listens");
    let mut accepted = Vec::new();
    loop {
        accepted.push(listener.accept().await);
    }
}

/// When the root returns, tokio drops tasks in an order that follows from their ids, which a static of the process counts: what they close is closed in another order.
#[test]
fn connections_of_dropped_tasks_are_closed_in_an_order_that_repeats() {
    use squall::net::TcpStream;
    let keepers: [fn(TcpStream); 3] = [
        |stream| drop(tokio::spawn(keep(stream))),
        |stream| drop(tokio::spawn(keep(stream.into_split()))),
        |stream| {
            let (reader, writer) = stream.into_split();
            tokio::spawn(keep(reader));
            tokio::spawn(keep(writer));
        },
    ];
    for (number, keep) in keepers.into_iter().enumerate() {
        let world = move |world: &mut World| {
            world.node("server", accepts_all);
            let client = move || async move {
                for _ in 0..5 {
                    keep(TcpStream::connect("server:80").await.expect("somebody listens"));
                }
                sleep(ms(10)).await;
            };
            world.client("client", client).tokio();
            world.client("last", || async { squall::time::sleep(ms(500)).await });
        };
        let simulation = Simulation::new(world);
        let plan = Plan::seeded("test", Seed(1));
        let digests: Vec<_> = (0..6).map(|_| simulation.run_plan(&plan, Record::Digest).digest).collect();
        assert!(digests.iter().all(|digest| *digest == digests[0]), "keeper {number}: {digests:?}");
    }
}

/// Also where the engine has put a newer connection into the place of an older one.
#[test]
fn connections_of_dropped_tasks_are_closed_in_the_order_in_which_they_were_made() {
    use squall::net::TcpStream;
    let outcome = run(|world: &mut World| {
        world.node("server", accepts_all);
        let client = || async {
            let connect = || async { TcpStream::connect("server:80").await.expect("somebody listens") };
            for places in [3, 2] {
                let mut gone = Vec::new();
                for _ in 0..places {
                    gone.push(connect().await);
                }
                gone.into_iter().for_each(drop);
            }
            for number in 0..6 {
                let stream = connect().await;
                publish("made", stream.local_addr().unwrap().port());
                match number % 2 {
                    0 => tokio::spawn(keep(stream)),
                    _ => tokio::spawn(keep(stream.into_split().1)),
                };
            }
            sleep(ms(10)).await;
            publish("returns", 1);
        };
        world.client("client", client).tokio();
        world.client("last", || async { squall::time::sleep(ms(500)).await });
    });
    assert_eq!(outcome.verdict, Verdict::Pass);
    let made: Vec<String> = published(&outcome, "made").into_iter().map(|(_, port)| port).collect();
    let events = &outcome.trace.as_ref().expect("fully recorded").events;
    let after_return = events
        .iter()
        .skip_while(|event| !matches!(&event.kind, EventKind::Publish { topic, .. } if topic == "returns"));
    let closed: Vec<String> = after_return
        .filter_map(|event| match event.kind {
            EventKind::Send { from_port, to_port: 80, .. } => Some(from_port.to_string()),
            _ => None,
        })
        .collect();
    assert_eq!(closed, made);
}

/// A thread's destructors run in an order of their own: what is woken by one may have none of its own left on that thread.
#[test]
fn destructors_at_the_end_of_a_thread_wake_the_root() {
    thread_local! {
        static HELD: RefCell<Option<oneshot::Sender<()>>> = const { RefCell::new(None) };
    }
    let outcome = run(|world: &mut World| {
        let client = || async {
            let ((first, begun), (second, ended)) = (oneshot::channel(), oneshot::channel());
            tokio::task::spawn_blocking(move || {
                HELD.set(Some(second));
                // From here on this thread holds what wakes the root as well, which goes before what was there first.
                first.send(()).expect("the root waits");
            });
            begun.await.expect("the thread says so");
            publish("dropped", ended.await.is_err());
        };
        world.client("client", client).tokio();
    });
    assert_eq!(outcome.verdict, Verdict::Pass);
    // tokio's pool keeps a thread that has nothing to do for ten seconds.
    assert_eq!(published(&outcome, "dropped"), [(10_000_000, "true".to_string())]);
}

/// A thread's own threads are in lock step too.
#[test]
fn what_blocks_may_ask_for_more_that_blocks() {
    let outcome = run(|world: &mut World| {
        let client = || async {
            let handle = tokio::runtime::Handle::current();
            let nested = tokio::task::spawn_blocking(move || {
                let inner = tokio::task::spawn_blocking(|| std::thread::sleep(ms(5)));
                // The pool has a thread for each that waits.
                let three = handle.block_on(async { tokio::task::spawn_blocking(|| 3).await.expect("it ends") });
                (inner, three)
            });
            let (inner, three) = nested.await.expect("it ends");
            publish("nested", three);
            inner.await.expect("it ends");
            publish("slept", 1);
        };
        world.client("client", client).tokio();
    });
    assert_eq!(outcome.verdict, Verdict::Pass);
    assert_eq!(published(&outcome, "nested"), [(0, "3".to_string())]);
    assert_eq!(published(&outcome, "slept"), [(5_000, "1".to_string())]);
}

#[test]
fn what_another_node_sends_reaches_what_blocks_at_the_same_instant() {
    let outcome = run(|world: &mut World| {
        let (tx, rx) = mpsc::channel(1);
        let receiver = Arc::new(Mutex::new(Some(rx)));
        let receives = move || {
            let mut rx = receiver.lock().unwrap().take().expect("it boots once");
            async move {
                let received = tokio::task::spawn_blocking(move || rx.blocking_recv()).await.expect("it ends");
                publish("received", received);
            }
        };
        world.client("receiver", receives).tokio();
        let sends = move || {
            let tx = tx.clone();
            async move {
                sleep(ms(5)).await;
                tx.send(7).await.expect("somebody waits");
                pending::<()>().await;
            }
        };
        world.node("sender", sends).tokio();
    });
    assert_eq!(outcome.verdict, Verdict::Pass);
    assert_eq!(published(&outcome, "received"), [(5_000, "7".to_string())]);
}
