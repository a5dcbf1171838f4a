//! Planted sources of nondeterminism: tiny worlds whose node publishes what it saw.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::future::poll_fn;
use std::net::ToSocketAddrs;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex, OnceLock};
use std::task::{Poll, Waker};
use std::time::{Duration, Instant, SystemTime};

use serde::Serialize;
use squall::time::DurationExt;
use squall::trace::verdict::Judgement;
use squall::trace::{Ending, Event, EventMask, Property};
use squall::{TokioNode, World, publish};

use crate::determinism::VARIABLE;

/// A world as a function.
pub type Plant = fn(&mut World);

/// The plant of that name.
#[must_use]
pub fn find(name: &str) -> Option<Plant> {
    PLANTS.iter().find(|(known, _)| *known == name).map(|(_, plant)| *plant)
}

/// All plants by name.
pub const PLANTS: &[(&str, Plant)] = &[
    ("std-map-order", |world| looks(world, std_map_order)),
    ("hashbrown-map-order", |world| looks(world, hashbrown_map_order)),
    ("ahash-map-order", |world| looks(world, ahash_map_order)),
    ("wall-clock", |world| looks(world, SystemTime::now)),
    ("monotonic-clock", |world| looks(world, || format!("{:?}", Instant::now()))),
    ("measured-time", |world| looks(world, measured_time)),
    ("foreign-wake", foreign_wake),
    ("heap-address", |world| looks(world, || format!("{:p}", Box::new(1_u8)))),
    ("stack-address", |world| looks(world, stack_address)),
    ("code-address", |world| looks(world, || format!("{:p}", measured_time as fn() -> u128))),
    ("static-counter", |world| looks(world, static_counter)),
    ("static-of-the-first-run", |world| looks(world, static_of_the_first_run)),
    ("unbiased-select", unbiased_select),
    ("tokio-node", tokio_node),
    ("unbiased-select-in-tokio", unbiased_select_in_tokio),
    ("getrandom-0.2", |world| {
        looks(world, || {
            let mut bytes = [0; 8];
            getrandom_0_2::getrandom(&mut bytes).expect("entropy");
            u64::from_le_bytes(bytes)
        })
    }),
    ("getrandom-0.3", |world| looks(world, || getrandom_0_3::u64().expect("entropy"))),
    ("getrandom-0.4", |world| looks(world, || getrandom_0_4::u64().expect("entropy"))),
    ("rand-0.8", |world| looks(world, rand_0_8::random::<u64>)),
    ("rand-0.9", |world| looks(world, rand_0_9::random::<u64>)),
    ("rand-0.10", |world| looks(world, rand_0_10::random::<u64>)),
    ("thread-local", |world| looks(world, thread_local_counter)),
    ("environment-variable", |world| looks(world, || std::env::var(VARIABLE).ok())),
    ("environment-listing", |world| looks(world, environment_listing)),
    ("directory-order", |world| looks(world, directory_order)),
    ("real-file", |world| looks(world, || std::fs::read_to_string("/proc/self/stat").unwrap_or_default())),
    ("early-exit", early_exit),
    ("real-socket", |world| looks(world, real_socket)),
    ("name-look-up", |world| looks(world, || ("localhost", 80).to_socket_addrs().map(Iterator::count).ok())),
    ("thread-created", |world| looks(world, thread_created)),
    ("process-started", |world| looks(world, process_started)),
    ("blocking-sleep", |world| looks(world, blocking_sleep)),
    ("blocking-receive", |world| looks(world, blocking_receive)),
    ("process-number", |world| looks(world, std::process::id)),
    ("thread-number", |world| looks(world, || format!("{:?}", std::thread::current().id()))),
    ("log-with-an-effect", log_with_an_effect),
    ("drawn-description", drawn_description),
    ("property-with-a-clock", |world| {
        looks(world, || 0);
        world.check(Moody);
    }),
    ("fault-from-a-destructor", fault_from_a_destructor),
    ("escape-from-a-destructor", escape_from_a_destructor),
];

/// A client that looks twice, some virtual time apart, and publishes what it saw.
fn looks<T: Serialize + 'static>(world: &mut World, look: impl Fn() -> T + 'static) {
    let look = Rc::new(look);
    world.client("finder", move || {
        let look = Rc::clone(&look);
        async move {
            squall::time::sleep(3.ms()).await;
            publish("seen", look());
            squall::time::sleep(4.ms()).await;
            publish("seen", look());
        }
    });
}

fn std_map_order() -> Vec<u32> {
    (0..20).map(|key| (key, ())).collect::<HashMap<_, _>>().into_keys().collect()
}

fn hashbrown_map_order() -> Vec<u32> {
    (0..20).map(|key| (key, ())).collect::<hashbrown::HashMap<_, _>>().into_keys().collect()
}

fn ahash_map_order() -> Vec<u32> {
    (0..20).map(|key| (key, ())).collect::<HashMap<_, _, ahash::RandomState>>().into_keys().collect()
}

/// How long some work took: on a real clock never the same.
fn measured_time() -> u128 {
    let before = Instant::now();
    let mut sum = 0u64;
    for number in 0..std::hint::black_box(10_000) {
        sum = sum.wrapping_add(std::hint::black_box(number));
    }
    std::hint::black_box(sum);
    before.elapsed().as_nanos()
}

fn static_counter() -> u32 {
    static COUNTER: AtomicU32 = AtomicU32::new(0);
    COUNTER.fetch_add(1, Ordering::Relaxed)
}

/// Drawn by whichever run of the process comes first: only a process in which another one came first shows it.
fn static_of_the_first_run() -> u64 {
    static DRAWN: OnceLock<u64> = OnceLock::new();
    *DRAWN.get_or_init(rand_0_9::random)
}

fn thread_local_counter() -> u32 {
    thread_local! {
        static COUNTER: Cell<u32> = const { Cell::new(0) };
    }
    COUNTER.replace(COUNTER.get() + 1)
}

/// Read without a call that could be answered: the list is a static of libc's.
fn environment_listing() -> Option<String> {
    std::env::vars().find(|(name, _)| name == VARIABLE).map(|(_, value)| value)
}

fn directory_order() -> Vec<String> {
    let entries = std::fs::read_dir("/").into_iter().flatten().flatten();
    entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
}

fn real_socket() -> bool {
    std::net::UdpSocket::bind("127.0.0.1:0").is_ok()
}

fn thread_created() -> bool {
    std::thread::spawn(|| {}).join().is_ok()
}

fn process_started() -> bool {
    std::process::Command::new("true").status().is_ok()
}

fn blocking_sleep() -> bool {
    std::thread::sleep(Duration::from_millis(20));
    true
}

/// Loops inside until its deadline.
fn blocking_receive() -> bool {
    let (_sender, receiver) = channel::<()>();
    receiver.recv_timeout(Duration::from_secs(3)).is_err()
}

/// Whom to wake, and where to say that it was done.
type Job = (Waker, Arc<AtomicBool>);

/// A worker thread of the process, as a library might keep one. It isn't created in a node.
fn worker() -> &'static Mutex<Sender<Job>> {
    static WORKER: OnceLock<Mutex<Sender<Job>>> = OnceLock::new();
    WORKER.get_or_init(|| {
        let (sender, receiver) = channel::<Job>();
        let work = move || {
            for (waker, woken) in receiver {
                waker.wake();
                woken.store(true, Ordering::Release);
            }
        };
        std::thread::Builder::new().name("worker".to_string()).spawn(work).expect("a thread");
        Mutex::new(sender)
    })
}

fn foreign_wake(world: &mut World) {
    worker();
    world.client("finder", || async {
        squall::time::sleep(3.ms()).await;
        let mut sent = false;
        poll_fn(move |context| {
            if sent {
                return Poll::Ready(());
            }
            sent = true;
            let woken = Arc::new(AtomicBool::new(false));
            let job = (context.waker().clone(), Arc::clone(&woken));
            worker().lock().expect("nobody panics").send(job).expect("the worker lives");
            // Makes sure that the wake comes before the run ends for want of anything to do.
            while !woken.load(Ordering::Acquire) {
                std::hint::spin_loop();
            }
            Poll::Pending
        })
        .await;
        publish("seen", "a wake");
    });
}

fn unbiased_select(world: &mut World) {
    world.client("finder", || async {
        squall::time::sleep(3.ms()).await;
        let mut order = Vec::new();
        for _ in 0..20 {
            tokio::select! {
                () = std::future::ready(()) => order.push(0),
                () = std::future::ready(()) => order.push(1),
            }
        }
        publish("seen", order);
    });
}

fn unbiased_select_in_tokio(world: &mut World) {
    let finder = || async {
        tokio::time::sleep(3.ms()).await;
        let mut order = Vec::new();
        for _ in 0..20 {
            tokio::select! {
                () = std::future::ready(()) => order.push(0),
                () = std::future::ready(()) => order.push(1),
            }
        }
        publish("seen", order);
    };
    world.client("finder", finder).tokio();
}

/// What a node that tokio executes may look at: its tasks, timers and threads, clocks, entropy and the order of maps, in a crash too.
fn tokio_node(world: &mut World) {
    let finder = || async {
        let (tx, mut rx) = tokio::sync::mpsc::channel(2);
        for number in 0..4u64 {
            let tx = tx.clone();
            tokio::spawn(async move {
                tokio::time::sleep(Duration::from_micros(rand_0_9::random_range(0..5_000))).await;
                let of_thread = tokio::task::spawn_blocking(move || {
                    std::thread::sleep(Duration::from_micros(rand_0_9::random_range(0..5_000)));
                    let map: HashMap<u64, u64> = (0..9).map(|key| (key, key)).collect();
                    (map.into_keys().collect::<Vec<_>>(), SystemTime::now(), rand_0_9::random::<u64>())
                });
                let _ = tx.send((number, of_thread.await.expect("it doesn't panic"))).await;
            });
        }
        drop(tx);
        while let Some((number, of_thread)) = rx.recv().await {
            publish("seen", (number, of_thread, format!("{:?}", tokio::time::Instant::now())));
        }
    };
    world.client("finder", finder).tokio();
    world.node("crashing", finder).tokio();
    world.fault(squall::crash("crashing").at(4.ms()).restart_after(1.ms()));
}

/// Each run of a process ends earlier than the one before it; up to there all are equal.
fn early_exit(world: &mut World) {
    static RUNS: AtomicU32 = AtomicU32::new(0);
    let steps = 9u64.saturating_sub(RUNS.fetch_add(1, Ordering::Relaxed).into());
    world.end_at(steps.ms());
    world.client("finder", || async {
        for step in 0.. {
            squall::time::sleep(1.ms()).await;
            publish("seen", step);
        }
    });
}

/// Log lines are only written where everything is recorded, so what they do is only done there.
fn log_with_an_effect(world: &mut World) {
    world.client("finder", || async {
        squall::time::sleep(3.ms()).await;
        tracing::info!(drawn = draw(), "a line that draws");
        publish("seen", draw());
    });
}

fn draw() -> u64 {
    use rand_core::Rng as _;
    squall::rand::rng().next_u64()
}

/// A world that is itself drawn.
fn drawn_description(world: &mut World) {
    let drawn: u64 = rand_0_9::random();
    looks(world, move || drawn);
}

/// A property whose mind depends on the clock.
struct Moody;

impl Property for Moody {
    fn name(&self) -> &str {
        "moody"
    }

    fn interest(&self) -> EventMask {
        EventMask::NONE
    }

    fn on_event(&mut self, _event: &Event<'_>) -> Result<(), String> {
        Ok(())
    }

    fn on_end(&mut self, _ending: &Ending) -> Judgement {
        Judgement::Broken(format!("it is {:?}", SystemTime::now()))
    }
}

struct OnDrop<F: FnMut()>(F);

impl<F: FnMut()> Drop for OnDrop<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}

/// A control task's destructor crashes a node, after the task itself has ended: the fault's address says by whom.
fn fault_from_a_destructor(world: &mut World) {
    world.node("server", || async { std::future::pending::<()>().await });
    world.client("finder", || async { squall::time::sleep(20.ms()).await });
    world.control(|cluster| async move {
        let task = squall::spawn(async move {
            let _crash = OnDrop(move || {
                cluster.crash("server");
            });
            std::future::pending::<()>().await;
        });
        squall::time::sleep(5.ms()).await;
        task.abort();
        squall::time::sleep(5.ms()).await;
    });
}

/// The same escape of two tasks with one label, from their destructors.
fn escape_from_a_destructor(world: &mut World) {
    world.client("finder", || async {
        let tasks = RefCell::new(Vec::new());
        for _ in 0..2 {
            tasks.borrow_mut().push(squall::spawn(async {
                squall::task::Builder::new()
                    .name("twin")
                    .spawn(async {
                        let _read = OnDrop(|| {
                            let _ = std::env::var(VARIABLE);
                        });
                        let _ = std::env::var(VARIABLE);
                        squall::time::sleep(1.ms()).await;
                    })
                    .expect("a task")
                    .await
                    .expect("it returns");
            }));
        }
        for task in tasks.into_inner() {
            task.await.expect("it returns");
        }
        publish("seen", "the end");
    });
}

fn stack_address() -> String {
    let here = 1_u8;
    format!("{:p}", std::hint::black_box(&here))
}
