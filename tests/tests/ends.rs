//! How runs end: by whom, with which words, and that nothing of them is left.

use std::cell::RefCell;
use std::future::pending;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use squall::net::Endpoint;
use squall::task::{spawn, yield_now};
use squall::time::{DurationExt, sleep};
use squall::trace::{EndReason, EventKind, EventMask, Plan, Record, Seed, Verdict};
use squall::{Simulation, World};
use squall_tests::{Guard, facts, failure, run};

/// Calls a closure when dropped.
struct OnDrop<F: FnMut()>(F);

impl<F: FnMut()> Drop for OnDrop<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}

#[test]
fn a_run_ends_when_all_clients_have_returned() {
    let outcome = run(|world| {
        world.node("server", pending::<()>);
        world.client("quick", || async { sleep(1.ms()).await });
        world.client("slow", || async { sleep(3.ms()).await });
    });
    assert_eq!(outcome.verdict, Verdict::Pass);
    assert_eq!((outcome.ending.reason, outcome.ending.at_ns), (EndReason::ClientsReturned, 3_000_000));
}

#[test]
fn a_run_ends_at_its_time_and_not_before() {
    let outcome = run(|world| {
        world.client("quick", || async { sleep(1.ms()).await });
        world.node("server", || async {
            loop {
                sleep(1.ms()).await;
                squall::publish("tick", 1);
            }
        });
        world.end_at(5.ms());
    });
    assert_eq!(outcome.verdict, Verdict::Pass);
    assert_eq!((outcome.ending.reason.clone(), outcome.ending.at_ns), (EndReason::EndTime, 5_000_000));
    // What is due at the end's own instant happens.
    assert_eq!(facts(&outcome, "tick").len(), 5);
    let idle = run(|world| {
        world.node("server", pending::<()>);
        world.end_at(5.ms());
    });
    assert_eq!((idle.ending.reason, idle.ending.at_ns), (EndReason::EndTime, 5_000_000));
}

#[test]
fn without_clients_a_run_ends_when_nothing_is_left() {
    let outcome = run(|world| {
        world.node("server", || sleep(2.ms()));
    });
    assert_eq!(outcome.verdict, Verdict::Pass);
    assert_eq!((outcome.ending.reason, outcome.ending.at_ns), (EndReason::Quiet, 2_000_000));
}

#[test]
fn a_deadlock_names_each_waiting_client() {
    let outcome = run(|world| {
        world.node("server", pending::<()>);
        world.client("left", || async {
            sleep(2.ms()).await;
            spawn(pending::<()>()).await.unwrap();
        });
        world.client("right", || async {
            sleep(5.ms()).await;
            pending::<()>().await;
        });
        world.client("done", || async {});
    });
    let (property, message) = failure(&outcome);
    assert_eq!(property, "deadlock");
    for part in ["left on client left", "right on client right", "tests/ends.rs:", "has waited 3 ms", "has waited 0 ns"]
    {
        assert!(message.contains(part), "{part} isn't in:\n{message}");
    }
    assert!(!message.contains("done on client"), "{message}");
    let clients_first = message.find("on client").unwrap() < message.find("on server").unwrap();
    assert!(clients_first, "{message}");
}

/// A timer that was cancelled neither moves the clock nor hides a deadlock behind a limit.
#[test]
fn a_cancelled_timer_hides_no_deadlock() {
    let outcome = run(|world| {
        world.limits().virtual_ns = 60_000_000_000;
        world.client("client", || async {
            sleep(1.ms()).await;
            for seconds in [30u64, 120] {
                let mut cancelled = Box::pin(sleep(seconds.secs()));
                assert!(futures::poll!(cancelled.as_mut()).is_pending());
            }
            pending::<()>().await;
        });
    });
    let (property, message) = failure(&outcome);
    assert_eq!(property, "deadlock");
    assert!(message.contains("at 1 ms") && message.contains("has waited 0 ns"), "{message}");
    assert_eq!(outcome.ending.at_ns, 1_000_000);
}

#[test]
fn a_livelock_names_its_task() {
    let outcome = run(|world| {
        world.client("spinner", || async {
            loop {
                yield_now().await;
            }
        });
    });
    let (property, message) = failure(&outcome);
    assert_eq!(property, "livelock");
    assert!(message.contains("spinner"), "{message}");
}

/// Just as many polls in one instant as are allowed pass; one more fails.
#[test]
fn the_livelock_bound_is_exact() {
    let polls = |polls: u32| {
        run(move |world| {
            world.limits().polls_in_instant = 10;
            world.client("spinner", move || async move {
                for _ in 1..polls {
                    yield_now().await;
                }
            });
        })
        .verdict
    };
    assert_eq!(polls(10), Verdict::Pass);
    assert_eq!(polls(11).property(), Some("livelock"));
}

#[test]
fn limits_make_a_run_unknown_and_are_named() {
    let ticking = |world: &mut World| {
        world.client("ticking", || async {
            loop {
                sleep(1.ms()).await;
            }
        });
    };
    let outcome = run(move |world| {
        ticking(world);
        world.limits().virtual_ns = 20_500_000;
    });
    assert_eq!((outcome.ending.reason.clone(), outcome.ending.at_ns), (EndReason::TimeLimit, 20_500_000));
    let Verdict::Unknown { message } = outcome.verdict else { panic!("{:?}", outcome.verdict) };
    assert!(message.contains("20.5 ms of virtual time") && message.contains("ticking on client"), "{message}");
    let outcome = run(move |world| {
        ticking(world);
        world.limits().events = 30;
    });
    assert_eq!(outcome.ending.reason, EndReason::EventLimit);
    let Verdict::Unknown { message } = outcome.verdict else { panic!("{:?}", outcome.verdict) };
    assert!(message.contains("limit of 30 events") && message.contains("ticking on client"), "{message}");
}

#[test]
fn a_task_that_never_yields_is_named() {
    let simulation = Simulation::new(|world| {
        world.client("hog", || async {
            sleep(1.ms()).await;
            // The threads can't be ended, so this doesn't burn a core for the rest of the tests.
            loop {
                std::thread::park();
            }
        });
    })
    .hang_after(Duration::from_millis(200));
    let outcome = simulation.run_plan(&Plan::seeded("hang", Seed(1)), Record::Digest);
    let (property, message) = failure(&outcome);
    assert_eq!(property, "hang");
    assert!(message.contains("hog"), "{message}");
}

#[test]
fn a_root_that_returns_an_error_fails_the_run() {
    let outcome = run(|world| {
        world.client("client", || async { Err::<(), _>("no luck") });
    });
    let (property, message) = failure(&outcome);
    assert_eq!(property, "error");
    assert!(message.contains("client") && message.contains("no luck"), "{message}");
}

/// Whatever destructors call at the end of a run, it has no effect and doesn't panic.
#[test]
fn destructors_at_the_end_call_the_interface_in_vain() {
    let living = Arc::new(AtomicI64::new(0));
    let counter = Arc::clone(&living);
    let world = |acts: bool| {
        let counter = Arc::clone(&counter);
        move |world: &mut World| {
            let guard = Guard::new(&counter);
            world.node("peer", pending::<()>);
            world.node("server", move || {
                let guard = guard.clone();
                async move {
                    let endpoint = Endpoint::bind("0.0.0.0:80").await.unwrap();
                    let child = spawn(pending::<()>());
                    let _last_words = OnDrop(move || {
                        if !acts {
                            return;
                        }
                        let guard = guard.clone();
                        squall::publish("ghost", 1);
                        drop(endpoint.send_to("peer:1", 1, b"ghost"));
                        assert!(futures::executor::block_on(Endpoint::bind("0.0.0.0:81")).is_err());
                        let handle = spawn(async move { drop(guard) });
                        assert!(handle.is_finished());
                        assert!(futures::FutureExt::now_or_never(handle).unwrap().unwrap_err().is_cancelled());
                        assert!(futures::FutureExt::now_or_never(sleep(1.ms())).is_none());
                        child.abort();
                        let _ = (squall::node_name(), squall::boot_number(), squall::time::Instant::now());
                        rand_core::Rng::next_u64(&mut squall::rand::rng());
                        tracing::info!("a last line");
                    });
                    pending::<()>().await;
                }
            });
            world.control(move |cluster| async move {
                let _last_acts = OnDrop(move || {
                    if acts {
                        assert!(!cluster.crash("peer"));
                        assert!(!cluster.restart("peer"));
                        assert!(!cluster.partition(&[&["peer"], &["server"]]));
                        cluster.heal();
                    }
                });
                pending::<()>().await;
            });
            world.client("client", || sleep(1.ms()));
        }
    };
    let with = run(world(true));
    assert_eq!(with.verdict, Verdict::Pass);
    let without = run(world(false));
    assert_eq!(with.digest, without.digest);
    assert_eq!(
        with.trace.unwrap().events.iter().filter(|event| event.kind.code() != 15).count() as u64,
        with.ending.events
    );
    assert_eq!(living.load(Ordering::SeqCst), 0);
}

/// A socket that the world's description holds is closed with the world still in place.
#[test]
fn a_socket_may_be_kept_outside_of_its_task() {
    let outcome = run(|world| {
        let kept: Rc<RefCell<Option<Endpoint>>> = Rc::default();
        world.client("client", move || {
            let kept = Rc::clone(&kept);
            async move {
                *kept.borrow_mut() = Some(Endpoint::bind("0.0.0.0:80").await.unwrap());
            }
        });
    });
    assert_eq!(outcome.verdict, Verdict::Pass);
}

/// What an init function holds may panic when it goes: that fails the run and nothing else.
#[test]
fn an_init_function_whose_destructor_panics_fails_the_run() {
    let outcome = run(|world| {
        let bomb = OnDrop(|| panic!("with the init function"));
        world.client("client", move || {
            let _ = &bomb;
            async {}
        });
    });
    assert_eq!(failure(&outcome).0, "panic");
}

#[test]
fn a_waker_that_panics_fails_the_run() {
    struct Angry;
    impl std::task::Wake for Angry {
        fn wake(self: Arc<Self>) {
            panic!("don't wake me");
        }
    }
    let outcome = run(|world| {
        world.client("client", || async {
            let mut sleeping = Box::pin(sleep(1.ms()));
            let waker = std::task::Waker::from(Arc::new(Angry));
            let _ = sleeping.as_mut().poll(&mut std::task::Context::from_waker(&waker));
            sleep(2.ms()).await;
            drop(sleeping);
        });
    });
    let (property, message) = failure(&outcome);
    assert_eq!(property, "panic");
    assert!(message.contains("don't wake me"), "{message}");
}

#[test]
fn an_observer_and_properties_see_events_and_change_nothing() {
    struct Watch(Vec<u64>);
    impl squall::trace::Observer for Watch {
        fn interest(&self) -> EventMask {
            EventMask::ALL
        }
        fn on_event(&mut self, event: &squall::trace::Event<'_>) {
            self.0.push(event.step);
        }
    }
    struct Claim;
    impl squall::trace::Property for Claim {
        fn name(&self) -> &str {
            "claim"
        }
        fn interest(&self) -> EventMask {
            EventMask::ALL
        }
        fn on_event(&mut self, _event: &squall::trace::Event<'_>) -> Result<(), String> {
            Ok(())
        }
        fn on_end(&mut self, _ending: &squall::trace::Ending) -> squall::trace::verdict::Judgement {
            squall::trace::verdict::Judgement::Held
        }
    }
    let world = |claims: bool| {
        move |world: &mut World| {
            for index in 0..3 {
                world.client(format!("client-{index}"), || async {
                    let endpoint = Endpoint::bind("0.0.0.0:80").await.unwrap();
                    for to in ["client-0:80", "client-1:80", "client-2:80"] {
                        endpoint.send_to(to, 1, b"x").await.unwrap();
                        let mut buffer = [0; 1];
                        let _ = squall::time::timeout(3.ms(), endpoint.recv_from(1, &mut buffer)).await;
                    }
                });
            }
            if claims {
                world.check(Claim);
            }
        }
    };
    let plan = Plan::seeded("watched", Seed(3));
    let plain = Simulation::new(world(false)).run_plan(&plan, Record::Digest);
    let mut watch = Watch(Vec::new());
    let watched = squall::trace::Target::run(&Simulation::new(world(true)), &plan, Record::Digest, &mut watch);
    assert_eq!(plain.digest, watched.digest);
    let steps: Vec<u64> = (1..=watched.ending.events).collect();
    assert_eq!(watch.0, steps, "each event is seen once, in order");
}

#[test]
fn a_log_line_changes_the_log_digest_only_and_carries_its_step() {
    let world = |lines: bool| {
        move |world: &mut World| {
            world.client("client", move || async move {
                sleep(1.ms()).await;
                if lines {
                    tracing::info!(answer = 42, "a new line");
                }
                sleep(1.ms()).await;
            });
        }
    };
    let (with, without) = (run(world(true)), run(world(false)));
    assert_eq!(with.digest, without.digest);
    assert_ne!(with.log_digest, without.log_digest);
    let events = with.trace.unwrap().events;
    let at = events.iter().position(|event| matches!(event.kind, EventKind::Log { .. })).unwrap();
    let (before, line) = (&events[at - 1], &events[at]);
    assert_eq!((before.kind.clone(), before.step, before.at_ns), (EventKind::Poll, line.step, line.at_ns));
    assert_eq!((line.node, line.task), (before.node, before.task));
    let EventKind::Log { level, message, .. } = &line.kind else { unreachable!() };
    assert_eq!((&**level, &**message), ("INFO", "a new line answer=42"));
    assert_eq!(
        without.trace.unwrap().events,
        events.iter().filter(|event| event.kind.code() != 15).cloned().collect::<Vec<_>>()
    );
}
