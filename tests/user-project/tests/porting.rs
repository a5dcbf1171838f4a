//! What docs/porting.md says of what real projects hold, tried.

use std::collections::BTreeSet;
use std::future::Future;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, LazyLock, Mutex, OnceLock};
use std::time::Duration;

use squall::prelude::*;
use squall::trace::{Outcome, Plan, Record, Seed, Verdict};
use squall::{OnPanic, Simulation, World, publish};

fn run(seed: u64, build: impl Fn(&mut World) + Send + Sync + 'static) -> Outcome {
    Simulation::new(build).run_plan(&Plan::seeded("porting", Seed(seed)), Record::Full)
}

/// A run of one client that tokio executes.
fn client<F, Fut>(body: F) -> Outcome
where
    F: Fn() -> Fut + Clone + Send + Sync + 'static,
    Fut: Future<Output = ()> + 'static,
{
    run(1, move |world| {
        world.client("client", body.clone()).tokio();
    })
}

#[track_caller]
fn passes(outcome: &Outcome) {
    assert_eq!(outcome.verdict, Verdict::Pass);
    assert!(outcome.escapes.is_empty(), "{:?}", outcome.escapes);
}

/// The run fails by that property, and its message or its escapes have these words.
#[track_caller]
fn fails(outcome: &Outcome, property: &str, words: &[&str]) {
    let Verdict::Fail(failure) = &outcome.verdict else { panic!("expected a failure: {:?}", outcome.verdict) };
    let text = format!("{}\n{}", failure.message, outcome.escapes.join("\n"));
    assert_eq!(failure.property, property, "{text}");
    for word in words {
        assert!(text.contains(word), "{word:?} isn't in {text}");
    }
}

fn facts(outcome: &Outcome, topic: &str) -> Vec<String> {
    let events = &outcome.trace.as_ref().expect("fully recorded").events;
    let about = |event: &squall::trace::OwnedEvent| match &event.kind {
        squall::trace::EventKind::Publish { topic: other, value } if other == topic => Some(value.to_string()),
        _ => None,
    };
    events.iter().filter_map(about).collect()
}

// --- statics --------------------------------------------------------------------------------------------------------

#[test]
fn statics_are_shared_by_nodes_and_runs() {
    static NAME: OnceLock<String> = OnceLock::new();
    static BOOTS: LazyLock<AtomicU32> = LazyLock::new(AtomicU32::default);
    thread_local! { static OF_THREAD: std::cell::Cell<u32> = const { std::cell::Cell::new(0) }; }
    lazy_static::lazy_static! { static ref ALL: Mutex<Vec<String>> = Mutex::default(); }
    let world = |world: &mut World| {
        for name in ["one", "other"] {
            world.client(name, move || async move {
                NAME.get_or_init(|| name.to_string());
                BOOTS.fetch_add(1, Ordering::Relaxed);
                OF_THREAD.set(OF_THREAD.get() + 1);
                publish("of-thread", OF_THREAD.get());
                ALL.lock().unwrap().push(name.to_string());
            });
        }
    };
    let outcome = run(1, world);
    passes(&outcome);
    // A run has a thread of its own, and its nodes share it.
    assert_eq!(facts(&outcome, "of-thread"), ["1", "2"]);
    let (once, name) = (BOOTS.load(Ordering::Relaxed), NAME.get());
    let again = run(1, world);
    passes(&again);
    assert_eq!(facts(&again, "of-thread"), ["1", "2"], "a thread's are fresh in each run");
    assert_eq!((BOOTS.load(Ordering::Relaxed), NAME.get()), (once * 2, name));
    assert_eq!(ALL.lock().unwrap().len(), once as usize * 2);
}

squall::node_local! {
    static NAME: OnceLock<String> = OnceLock::new();
    static REGISTRY: prometheus::Registry = prometheus::Registry::new();
}

#[test]
fn node_local_statics_are_not() {
    let world = |world: &mut World| {
        for name in ["one", "other"] {
            world.client(name, move || async move {
                NAME.with(|known| assert_eq!(known.get_or_init(|| name.to_string()), name));
            });
        }
    };
    passes(&run(1, world));
    passes(&run(2, world));
}

fn counter() -> prometheus::IntCounter {
    prometheus::IntCounter::new("requests", "How many there were").unwrap()
}

#[test]
fn the_default_registry_takes_a_metric_once() {
    let outcome = run(1, |world| {
        for name in ["one", "other"] {
            world.client(name, || async { prometheus::register(Box::new(counter())).unwrap() });
        }
    });
    fails(&outcome, "panic", &["AlreadyReg"]);
    let own = |world: &mut World| {
        for name in ["one", "other"] {
            world.client(name, || async {
                let counter = counter();
                REGISTRY.with(|registry| registry.register(Box::new(counter.clone())).unwrap());
                counter.inc();
                assert_eq!(
                    REGISTRY.with(prometheus::Registry::gather)[0].get_metric()[0].get_counter().get_value(),
                    1.0
                );
            });
        }
    };
    passes(&run(1, own));
    passes(&run(2, own));
}

// --- tracing --------------------------------------------------------------------------------------------------------

/// Counts what a process's own subscriber writes.
static WRITTEN: AtomicU32 = AtomicU32::new(0);

struct Counting;

impl std::io::Write for Counting {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        WRITTEN.fetch_add(1, Ordering::Relaxed);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_subscriber_of_a_node_s_own() {
    let outcome = run(1, |world| {
        for name in ["one", "other"] {
            world.client(name, || async {
                let _ = tracing_subscriber::fmt().with_writer(|| Counting).try_init();
                tracing::info!("up");
                publish("up", ());
            });
        }
    });
    passes(&outcome);
    let logs = outcome.trace.as_ref().unwrap().events.iter();
    let logs = logs.filter(|event| matches!(event.kind, squall::trace::EventKind::Log { .. })).count();
    assert_eq!(logs, 2, "the run's own subscriber is asked, whatever a node sets for the process");
    assert_eq!(WRITTEN.load(Ordering::Relaxed), 0);
    tracing::info!("outside of a run");
    assert_ne!(WRITTEN.load(Ordering::Relaxed), 0);
    // So a second one in a process panics.
    let outcome = client(|| async { tracing_subscriber::fmt().with_writer(std::io::sink).init() });
    fails(&outcome, "panic", &["a global default trace dispatcher has already been set"]);
}

// --- clocks, entropy, the environment -------------------------------------------------------------------------------

#[test]
fn chrono_goes_by_the_node_s_clock() {
    passes(&client(|| async {
        let (utc, system) = (chrono::Utc::now(), std::time::SystemTime::now());
        tokio::time::sleep(Duration::from_secs(1_800)).await;
        assert_eq!((chrono::Utc::now() - utc).num_minutes(), 30);
        assert_eq!(system.elapsed().unwrap().as_secs(), 1_800);
    }));
}

#[test]
fn a_local_time_reads_the_system_s_time_zone() {
    let outcome = client(|| async { publish("offset", chrono::Local::now().offset().local_minus_utc()) });
    assert_eq!(outcome.verdict, Verdict::Pass);
    assert!(
        outcome.escapes.iter().any(|escape| escape.contains("TZ") || escape.contains("localtime")),
        "{:?}",
        outcome.escapes
    );
}

#[test]
fn random_values_follow_from_the_seed() {
    let drawn = |seed| {
        let outcome = run(seed, |world| {
            world.client("client", || async {
                publish("drawn", (rand::random::<u64>(), uuid::Uuid::new_v4().to_string()));
            });
        });
        passes(&outcome);
        facts(&outcome, "drawn")
    };
    assert_eq!(drawn(1), drawn(1));
    let all: BTreeSet<_> = (0..10).flat_map(drawn).collect();
    assert_eq!(all.len(), 10);
}

#[test]
fn the_environment_is_the_system_s_and_named() {
    let outcome = client(|| async { drop(std::env::var("KVD_HOME")) });
    assert_eq!(outcome.verdict, Verdict::Pass);
    assert!(outcome.escapes.iter().any(|escape| escape.contains("KVD_HOME")), "{:?}", outcome.escapes);
}

// --- waits ----------------------------------------------------------------------------------------------------------

#[test]
fn a_lock_that_is_free_is_no_matter() {
    passes(&client(|| async {
        let lock = Arc::new(parking_lot::Mutex::new(0));
        let tasks: Vec<_> = (0..3)
            .map(|_| {
                let lock = Arc::clone(&lock);
                tokio::spawn(async move {
                    *lock.lock() += 1;
                    tokio::task::yield_now().await;
                    *lock.lock() += 1;
                })
            })
            .collect();
        for task in tasks {
            task.await.unwrap();
        }
        assert_eq!(*lock.lock(), 6);
    }));
}

#[test]
fn a_wait_with_a_limit_blocks_the_node() {
    let wait = || {
        let (lock, condition) = (parking_lot::Mutex::new(()), parking_lot::Condvar::new());
        assert!(condition.wait_for(&mut lock.lock(), Duration::from_secs(1)).timed_out());
    };
    fails(&client(move || async move { wait() }), "hermetic", &["a blocking wait of up to 1 s"]);
    let receive = || {
        let (_sender, receiver) = std::sync::mpsc::channel::<()>();
        assert!(receiver.recv_timeout(Duration::from_secs(1)).is_err());
    };
    fails(&client(move || async move { receive() }), "hermetic", &["a blocking wait of up to 1 s"]);
    // Where it may block it takes virtual time.
    passes(&client(move || async move {
        let before = tokio::time::Instant::now();
        tokio::task::spawn_blocking(wait).await.unwrap();
        assert!(before.elapsed() >= Duration::from_secs(1));
    }));
}

#[test]
fn a_contended_lock_waits_in_spawn_blocking() {
    passes(&client(|| async {
        let (lock, sum) = (Arc::new(parking_lot::Mutex::new(())), Arc::new(AtomicU32::new(0)));
        let add = |after| {
            let (lock, sum) = (Arc::clone(&lock), Arc::clone(&sum));
            tokio::task::spawn_blocking(move || {
                let _guard = lock.lock();
                std::thread::sleep(after);
                sum.fetch_add(1, Ordering::Relaxed);
            })
        };
        let (one, other) = (add(Duration::from_secs(2)), add(Duration::from_secs(3)));
        one.await.unwrap();
        other.await.unwrap();
        assert_eq!(sum.load(Ordering::Relaxed), 2);
    }));
}

// --- threads --------------------------------------------------------------------------------------------------------

#[test]
fn threads_fail_the_run() {
    fails(&client(|| async { std::thread::spawn(|| ()).join().unwrap() }), "hermetic", &["thread"]);
    fails(
        &client(|| async { std::thread::scope(|scope| scope.spawn(|| ()).join().unwrap()) }),
        "hermetic",
        &["thread"],
    );
}

#[test]
fn so_does_a_pool_that_is_made_in_a_node() {
    let outcome = client(|| async {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
        pool.install(|| ());
    });
    fails(&outcome, "hermetic", &["thread"]);
}

#[test]
fn a_pool_of_the_thread_itself_does_not() {
    passes(&client(|| async {
        use rayon::prelude::*;
        let pool = rayon::ThreadPoolBuilder::new().num_threads(1).use_current_thread().build().unwrap();
        assert_eq!(pool.install(|| (0..100u32).into_par_iter().sum::<u32>()), 4_950);
    }));
}

// --- files and sockets ----------------------------------------------------------------------------------------------

#[test]
fn std_files_are_named_and_tokio_s_fail() {
    let outcome = client(|| async { drop(std::fs::read("/etc/hostname")) });
    assert_eq!(outcome.verdict, Verdict::Pass);
    assert!(outcome.escapes.iter().any(|escape| escape.contains("/etc/hostname")), "{:?}", outcome.escapes);
    fails(
        &client(|| async { drop(tokio::fs::read("/etc/hostname").await) }),
        "hermetic",
        &["/etc/hostname", "squall::fs"],
    );
}

#[test]
fn real_sockets_fail_the_run() {
    fails(&client(|| async { drop(std::net::TcpStream::connect("127.0.0.1:1")) }), "hermetic", &["socket"]);
    let outcome = client(|| async { drop(tokio::net::TcpListener::bind("127.0.0.1:0").await) });
    fails(&outcome, "hermetic", &["socket"]);
    let outcome = client(|| async { drop(tokio::net::lookup_host("example.org:80").await) });
    fails(&outcome, "hermetic", &["example.org was looked up in the real world"]);
    let outcome = client(|| async { drop(tokio::signal::ctrl_c().await) });
    fails(&outcome, "panic", &["squall::net"]);
}

#[test]
fn names_of_nodes_are_looked_up_by_squall() {
    passes(&run(1, |world| {
        world.node("store", std::future::pending::<()>).tokio();
        let body = || async {
            let address = squall::net::lookup_host("store:80").await.unwrap().next().unwrap();
            assert_eq!(address.port(), 80);
            assert!(squall::net::lookup_host("example.org:80").await.is_err());
        };
        world.client("client", body).tokio();
    }));
}

/// What a process does by itself is to be told from a node's end: a panic that a task of tokio's ends by is one only if the node says so.
#[test]
fn panics_of_tasks_are_as_the_node_says() {
    let outcome = run(1, |world| {
        let body = || async { assert!(tokio::spawn(async { panic!("as it may") }).await.is_err()) };
        world.client("client", body).tokio().on_panic(OnPanic::JoinError);
    });
    passes(&outcome);
}
