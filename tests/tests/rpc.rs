//! Calls: correlation, deadlines to the nanosecond, concurrency, duplicates, restarts.

use std::cell::Cell;
use std::io::ErrorKind;
use std::rc::Rc;

use squall::net::Endpoint;
use squall::time::{DurationExt, Instant, sleep};
use squall::trace::{Ratio, Verdict};
use squall::{Latency, OnPanic, World, crash};
use squall_tests::random_world::Work;
use squall_tests::{facts, passes, run};

/// Works for as many milliseconds as it is told and answers with that number; each message takes 2 ms.
fn server(world: &mut World) {
    world.network().latency(Latency::fixed(2.ms()));
    world.node("server", || async {
        let endpoint = Endpoint::bind("0.0.0.0:80").await.unwrap();
        let served = Rc::new(Cell::new(0));
        endpoint.add_rpc_handler(move |work: Work| {
            served.set(served.get() + 1);
            squall::publish("served", served.get());
            async move {
                sleep(u64::from(work.ms).ms()).await;
                work.ms
            }
        });
        std::future::pending::<()>().await;
    });
}

#[test]
fn calls_are_served_concurrently_and_each_gets_its_own_answer() {
    passes(|world| {
        server(world);
        world.client("client", || async {
            let endpoint = Endpoint::bind("0.0.0.0:0").await.unwrap();
            let start = Instant::now();
            let calls = [9u8, 3, 6, 6].map(|ms| endpoint.call("server:80", Work { ms }));
            let answers = futures::future::join_all(calls).await;
            let answers: Vec<u8> = answers.into_iter().map(Result::unwrap).collect();
            assert_eq!(answers, [9, 3, 6, 6]);
            assert_eq!(start.elapsed(), 13.ms());
        });
    });
}

#[test]
fn a_call_waits_to_the_nanosecond_and_a_late_answer_reaches_nobody_else() {
    passes(|world| {
        server(world);
        world.client("client", || async {
            let endpoint = Endpoint::bind("0.0.0.0:0").await.unwrap();
            let error = endpoint.call_timeout("server:80", Work { ms: 5 }, 9.ms() - 1.ns()).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::TimedOut);
            // Its answer comes while this one waits.
            assert_eq!(endpoint.call("server:80", Work { ms: 7 }).await.unwrap(), 7);
            assert_eq!(endpoint.call_timeout("server:80", Work { ms: 5 }, 9.ms() + 1.ns()).await.unwrap(), 5);
            // Dropping a call forgets its answer.
            let mut dropped = Box::pin(endpoint.call("server:80", Work { ms: 1 }));
            assert!(futures::poll!(dropped.as_mut()).is_pending());
            drop(dropped);
            assert_eq!(endpoint.call("server:80", Work { ms: 2 }).await.unwrap(), 2);
        });
    });
}

#[test]
fn a_duplicated_call_is_served_twice_and_answered_once() {
    let outcome = run(|world| {
        server(world);
        world.network().duplicate(Ratio::ONE);
        world.client("client", || async {
            let endpoint = Endpoint::bind("0.0.0.0:0").await.unwrap();
            for ms in [1, 2] {
                assert_eq!(endpoint.call("server:80", Work { ms }).await.unwrap(), ms);
            }
            sleep(20.ms()).await;
        });
    });
    assert_eq!(outcome.verdict, Verdict::Pass);
    assert_eq!(facts(&outcome, "served"), ["1", "2", "3", "4"]);
    // Two calls and their copies; four answers and theirs.
    assert_eq!((outcome.messages.sent, outcome.messages.duplicated), (6, 6));
}

/// An answer to a caller's earlier boot finds nobody who waits for it, though the port is bound again.
#[test]
fn an_answer_to_an_earlier_boot_reaches_nobody() {
    let outcome = run(|world| {
        server(world);
        world.client("client", || async {
            let endpoint = Endpoint::bind("0.0.0.0:90").await.unwrap();
            let ms = if squall::boot_number() == 0 { 20 } else { 30 };
            squall::publish("answer", endpoint.call("server:80", Work { ms }).await.unwrap());
        });
        world.fault(crash("client").at(10.ms()).restart_after(1.ms()));
    });
    assert_eq!(outcome.verdict, Verdict::Pass);
    assert_eq!(facts(&outcome, "answer"), ["30"]);
    assert_eq!(outcome.messages.delivered, 4);
}

/// Where in a handler the panic is makes no difference: it is that call's matter, and the others are served.
#[test]
fn a_handler_that_panics_loses_its_own_call_only() {
    for at_once in [true, false] {
        passes(move |world| {
            world
                .node("server", move || async move {
                    let endpoint = Endpoint::bind("0.0.0.0:80").await.unwrap();
                    endpoint.add_rpc_handler(move |work: Work| {
                        assert!(!at_once || work.ms != 1, "at once");
                        async move {
                            assert!(work.ms != 1, "later");
                            work.ms
                        }
                    });
                    std::future::pending::<()>().await;
                })
                .on_panic(OnPanic::JoinError);
            world.client("client", || async {
                let endpoint = Endpoint::bind("0.0.0.0:0").await.unwrap();
                for ms in 0..4 {
                    let answer = endpoint.call_timeout("server:80", Work { ms }, 50.ms()).await;
                    match (ms, answer) {
                        (1, Err(error)) => assert_eq!(error.kind(), ErrorKind::TimedOut),
                        (_, answer) => assert_eq!(answer.unwrap(), ms),
                    }
                }
            });
        });
    }
}
