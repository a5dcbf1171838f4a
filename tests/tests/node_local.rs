//! Statics of which each node has a value of its own.

use std::cell::Cell;
use std::future::pending;
use std::sync::atomic::{AtomicI64, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use squall::prelude::*;
use squall::trace::Verdict;
use squall::{World, publish};
use squall_tests::{facts, failure, passes, run};

squall::node_local! {
    /// How often a node came by.
    static COUNT: AtomicU32 = AtomicU32::new(10);
    static NAME: String = squall::node_name();
    static OUTSIDE: AtomicU32 = AtomicU32::new(0);
    static OTHER_OUTSIDE: AtomicU32 = AtomicU32::new(0)
}

/// What it was, and one more.
fn count() -> u32 {
    COUNT.with(|count| count.fetch_add(1, Ordering::Relaxed))
}

#[test]
fn each_node_has_its_own() {
    passes(|world: &mut World| {
        for name in ["one", "other"] {
            world.client(name, move || async move {
                for expected in 10..15 {
                    assert_eq!(count(), expected);
                    squall::time::sleep(1.ms()).await;
                    // Tasks of a node share it.
                    assert_eq!(squall::spawn(async { NAME.with(String::clone) }).await.unwrap(), name);
                }
            });
        }
    });
}

#[test]
fn nodes_that_tokio_executes_have_theirs() {
    passes(|world: &mut World| {
        let body = || async {
            for expected in 10..13 {
                assert_eq!(tokio::spawn(async { count() }).await.unwrap(), expected);
                tokio::time::sleep(1.ms()).await;
            }
        };
        world.client("one", body).tokio();
        world.client("other", body).tokio();
        world.client("third", || async { assert_eq!(count(), 10) });
    });
}

#[test]
fn runs_after_each_other_do_not_see_each_other_s() {
    // More than one on one thread's stack, and on several at once.
    squall::explore(0..50, |world: &mut World| {
        world.client("client", || async { assert_eq!(count(), 10) });
    });
}

#[test]
fn each_boot_has_a_fresh_one_and_a_pause_does_not_matter() {
    let outcome = run(|world: &mut World| {
        world.node("node", || async {
            loop {
                publish("count", count());
                squall::time::sleep(10.ms()).await;
            }
        });
        world.fault(squall::pause("node").at(12.ms()).lasts(5.ms()));
        world.fault(squall::crash("node").at(25.ms()).restart_after(5.ms()));
        world.end_at(45.ms());
    });
    assert_eq!(facts(&outcome, "count"), ["10", "11", "12", "10", "11"]);
}

/// Notes when it is dropped, and where.
struct Noted(&'static str);

static ALIVE: AtomicI64 = AtomicI64::new(0);
static NOTES: Mutex<Vec<String>> = Mutex::new(Vec::new());

impl Noted {
    fn new(name: &'static str) -> Noted {
        ALIVE.fetch_add(1, Ordering::SeqCst);
        Noted(name)
    }
}

impl Drop for Noted {
    fn drop(&mut self) {
        ALIVE.fetch_sub(1, Ordering::SeqCst);
        // The world is still there, and nothing of this counts.
        NOTES.lock().unwrap().push(format!("{} of {} goes", self.0, squall::node_name()));
        publish("dropped", self.0);
    }
}

squall::node_local! {
    static FIRST: Noted = Noted::new("first");
    static SECOND: Noted = {
        FIRST.with(|_| ());
        Noted::new("second")
    };
}

/// Asks for a value when it is dropped.
struct Last;

impl Drop for Last {
    fn drop(&mut self) {
        SECOND.with(|second| NOTES.lock().unwrap().push(format!("a task sees {}", second.0)));
    }
}

#[test]
fn they_are_dropped_with_the_node_and_at_the_end() {
    let outcome = run(|world: &mut World| {
        world.node("node", || async {
            SECOND.with(|_| ());
            NOTES.lock().unwrap().push(format!("boot {}", squall::boot_number()));
            let _last = Last;
            pending::<()>().await;
        });
        world.fault(squall::crash("node").at(10.ms()).restart_after(10.ms()));
        world.end_at(30.ms());
    });
    assert_eq!(outcome.verdict, Verdict::Pass);
    assert_eq!(ALIVE.load(Ordering::SeqCst), 0);
    let life = ["a task sees second", "second of node goes", "first of node goes"];
    let expected = [&["boot 0"][..], &life, &["boot 1"], &life].concat();
    assert_eq!(*NOTES.lock().unwrap(), expected);
    assert_eq!(facts(&outcome, "dropped"), Vec::<String>::new());
}

#[test]
fn outside_of_a_run_there_is_one_for_the_process() {
    let add = || OUTSIDE.with(|value| value.fetch_add(1, Ordering::SeqCst));
    assert_eq!(add(), 0);
    assert_eq!(std::thread::spawn(add).join().unwrap(), 1);
    passes(|world: &mut World| {
        world.client("client", || async { assert_eq!(OUTSIDE.with(|value| value.load(Ordering::SeqCst)), 0) });
    });
    assert_eq!(add(), 2);
    // Where a world is described there is no node yet.
    assert_eq!(OTHER_OUTSIDE.with(|value| value.load(Ordering::SeqCst)), 0);
    let outcome = run(|world: &mut World| {
        OTHER_OUTSIDE.with(|value| value.fetch_add(1, Ordering::SeqCst));
        world.client("client", || async {});
    });
    assert_eq!(outcome.verdict, Verdict::Pass);
    assert!(OTHER_OUTSIDE.with(|value| value.load(Ordering::SeqCst)) > 0);
}

#[test]
fn a_property_has_none() {
    let outcome = run(|world: &mut World| {
        world.client("client", || async { publish("here", ()) });
        world.check(always("counts", ()).on("here", |_, (): ()| {
            count();
            Ok(())
        }));
    });
    let (property, message) = failure(&outcome);
    assert_eq!(property, "counts");
    assert!(message.contains("a property has none"), "{message}");
}

#[test]
fn a_thread_of_spawn_blocking_is_told() {
    let outcome = run(|world: &mut World| {
        let body = || async {
            let error = tokio::task::spawn_blocking(count).await.unwrap_err();
            let text = error.into_panic().downcast::<String>().unwrap();
            publish("said", *text);
        };
        world.client("client", body).tokio().on_panic(squall::OnPanic::JoinError);
    });
    assert!(facts(&outcome, "said")[0].contains("on a thread of spawn_blocking"), "{:?}", outcome.verdict);
}

squall::node_local! {
    static PHOENIX: Phoenix = Phoenix;
}

/// Asks for itself when it is dropped.
struct Phoenix;

impl Drop for Phoenix {
    fn drop(&mut self) {
        PHOENIX.with(|_| ());
    }
}

#[test]
fn a_destructor_gets_no_new_one() {
    let outcome = run(|world: &mut World| {
        world.client("client", || async { PHOENIX.with(|_| ()) });
    });
    let (property, message) = failure(&outcome);
    assert_eq!(property, "panic");
    assert!(message.contains("no new one is made then"), "{message}");
}

#[test]
fn one_whose_making_panics_is_made_anew() {
    thread_local! { static TIMES: Cell<u32> = const { Cell::new(0) }; }
    squall::node_local! {
        static FRAGILE: Arc<u32> = {
            TIMES.set(TIMES.get() + 1);
            assert_ne!(TIMES.get(), 1, "not yet");
            Arc::new(TIMES.get())
        };
    }
    passes(|world: &mut World| {
        let body = || async {
            let first = squall::spawn(async { FRAGILE.with(Arc::clone) }).await;
            assert!(first.is_err());
            assert_eq!(*FRAGILE.with(Arc::clone), 2);
            squall::time::sleep(Duration::from_millis(1)).await;
        };
        world.client("client", body).on_panic(squall::OnPanic::JoinError);
    });
}
