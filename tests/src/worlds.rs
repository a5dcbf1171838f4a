//! Worlds that repeat, with all kinds of events between them, and their golden digests.
//!
//! # When golden digests may change
//!
//! A digest covers every event's bytes. So a saved digest says that nothing changed: neither how decisions are drawn from
//! a seed, nor the order of the agenda, nor the bytes of an event, nor how tasks are named. A change of any of those makes
//! all saved failures differ; it is one of Squall's version, and belongs into its release notes. Then, and only then,
//! `SQUALL_PRINT_GOLDEN=1 cargo test -p squall-tests --test determinism_golden` prints the new `golden_digests.txt`.
//! Otherwise a difference is a bug.
//!
//! Two things outside of Squall show in the digests. Tasks are named by the types of their futures, as `type_name` writes
//! them, which is up to the compiler; and the text of a panic holds its place in the source, for which there is
//! [`crate::planted_panic`]. These worlds use both.

use std::collections::HashMap;
use std::io;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use rand_core::Rng as _;
use serde::{Deserialize, Serialize};
use squall::net::Endpoint;
use squall::rpc::Request;
use squall::task::JoinSet;
use squall::time::DurationExt;
use squall::trace::{Plan, Ratio, Record, Seed, StrategyChoice};
use squall::{Latency, OnPanic, Simulation, World, crash, partition, partition_one_way, publish};
use tracing::Instrument;

use crate::planted_panic::boom;

/// A world as a function.
pub type Build = fn(&mut World);

/// A world, a seed and a strategy.
#[derive(Clone, Debug)]
pub struct Cell {
    /// The world's name.
    pub world: &'static str,
    /// Fills it.
    pub build: Build,
    /// How it is run.
    pub plan: Plan,
}

const WORLDS: &[(&str, Build)] = &[
    ("datagrams", datagrams),
    ("calls", calls),
    ("partitions", partitions),
    ("crashes", crashes),
    ("control", control),
    ("panics", panics),
    ("tasks", tasks),
    ("entropy", entropy),
];

/// Each world by two seeds, and by each strategy.
#[must_use]
pub fn cells() -> Vec<Cell> {
    let mut cells = Vec::new();
    for &(world, build) in WORLDS {
        let strategies = [
            (1, StrategyChoice::Random),
            (0xdead_beef, StrategyChoice::Random),
            (1, StrategyChoice::Fifo),
            (1, StrategyChoice::Pct { depth: 3, steps: 1_000 }),
        ];
        for (seed, strategy) in strategies {
            let plan = Plan { strategy, ..Plan::seeded(world, Seed(seed)) };
            cells.push(Cell { world, build, plan });
        }
    }
    cells
}

/// One line a cell: world, seed, strategy, digest, digest of the logs, number of events, verdict.
///
/// # Panics
/// If a run in which nothing is recorded has another digest.
#[must_use]
pub fn digests(cells: Vec<Cell>) -> Vec<String> {
    cells.iter().map(digest).collect()
}

/// See [`digests`].
///
/// # Panics
/// As [`digests`].
#[must_use]
pub fn digest(cell: &Cell) -> String {
    let simulation = Simulation::new(cell.build);
    let full = simulation.run_plan(&cell.plan, Record::Full);
    let bare = simulation.run_plan(&cell.plan, Record::Digest);
    assert_eq!(full.digest, bare.digest, "{} records into its digest", cell.world);
    let verdict = match full.verdict.property() {
        Some(property) => format!("fail:{property}"),
        None => full.verdict.word().to_string(),
    };
    assert_eq!(full.escapes, [""; 0], "{}", cell.world);
    format!(
        "{} {} {} {} {} {} {verdict}",
        cell.world, cell.plan.seed, cell.plan.strategy, full.digest, full.log_digest, full.ending.events
    )
}

/// Echoes what arrives at port 7.
async fn echo() -> io::Result<()> {
    let endpoint = Endpoint::bind("0.0.0.0:7").await?;
    let mut buffer = [0; 64];
    loop {
        let (length, from) = endpoint.recv_from(1, &mut buffer).await?;
        endpoint.send_to(from, 2, &buffer[..length]).await?;
    }
}

/// Sends so many datagrams to `server`, one a millisecond, and publishes how many came back in time.
async fn pings(server: String, count: u64) -> io::Result<()> {
    let endpoint = Endpoint::bind("0.0.0.0:0").await?;
    let mut buffer = [0; 64];
    let mut back = 0;
    for number in 0..count {
        // A node that isn't up or can't be reached is part of the weather.
        let _ = endpoint.send_to(server.as_str(), 1, &number.to_be_bytes()).await;
        if squall::time::timeout(6.ms(), endpoint.recv_from(2, &mut buffer)).await.is_ok() {
            back += 1;
        }
        squall::time::sleep(1.ms()).await;
    }
    publish("back", back);
    Ok(())
}

/// Every latency, loss and duplication; sends to a port that nobody has.
fn datagrams(world: &mut World) {
    world.node("server", echo);
    let latencies = [
        Latency::fixed(2.ms()),
        Latency::uniform(1.ms(), 5.ms()),
        Latency::exponential(2.ms()),
        Latency::lognormal(2.ms(), 20.ms()),
        Latency::pareto(1.ms(), 1.5),
        Latency::empirical([1.ms(), 2.ms(), 40.ms()]),
    ];
    for (number, latency) in latencies.into_iter().enumerate() {
        let name = format!("client-{number}");
        world.client(&name, || pings("server:7".to_string(), 20));
        world.link(&name, "server").latency(latency).loss(Ratio::new(1, 10)).duplicate(Ratio::new(1, 10));
    }
    world.client("lost", || pings("server:8".to_string(), 3));
}

/// Doubles a number.
#[derive(Serialize, Deserialize)]
struct Double(u64);

impl Request for Double {
    type Response = u64;
    const NAME: &'static str = "squall_tests::Double";
}

/// Typed calls, several at a time, some too late, some refused.
fn calls(world: &mut World) {
    world.node("server", || async {
        let endpoint = Endpoint::bind("0.0.0.0:9").await?;
        endpoint.add_rpc_handler(|request: Double| async move {
            squall::time::sleep((request.0 % 7).ms()).await;
            request.0 * 2
        });
        std::future::pending::<io::Result<()>>().await
    });
    world.network().latency(Latency::uniform(1.ms(), 4.ms())).loss(Ratio::new(1, 20)).duplicate(Ratio::new(1, 20));
    for name in ["one", "other"] {
        world.client(name, || async {
            let endpoint = Endpoint::bind("0.0.0.0:0").await?;
            for round in 0..10 {
                let mut set = JoinSet::new();
                for number in 0..3 {
                    let endpoint = endpoint.clone();
                    set.spawn(
                        async move { endpoint.call_timeout("server:9", Double(10 * round + number), 10.ms()).await },
                    );
                }
                while let Some(joined) = set.join_next().await {
                    let answer = joined.expect("no panic").map_err(|error| error.kind().to_string());
                    publish("answer", answer);
                }
            }
            let refused = endpoint.call_timeout("server:10", Double(1), 20.ms()).await;
            publish("refused", refused.map_err(|error| error.kind().to_string()));
            io::Result::Ok(())
        });
    }
}

/// Partitions both ways and one way, which heal.
fn partitions(world: &mut World) {
    world.node("server", echo);
    for name in ["west", "east"] {
        world.client(name, || pings("server:7".to_string(), 30));
    }
    world.network().latency(Latency::uniform(1.ms(), 4.ms()));
    world.fault(partition([["west"], ["server"]]).at(20.ms()).lasts(30.ms()));
    world.fault(partition_one_way(["server"], ["east"]).at(40.ms()).lasts(50.ms()).named("the deaf east"));
}

/// Crashes and restarts; mail for the dead and old mail for the restarted.
fn crashes(world: &mut World) {
    world.node("server", || async {
        publish("boot", squall::boot_number());
        echo().await
    });
    world.client("client", || pings("server:7".to_string(), 40));
    world.network().latency(Latency::uniform(1.ms(), 8.ms()));
    world.fault(crash("server").at(20.ms()).restart_after(15.ms()));
    world.fault(crash("server").at(90.ms()).restart_after(2.ms()).named("the second blow"));
}

/// A control task that crashes whoever leads, parts the cluster, heals and restarts.
fn control(world: &mut World) {
    for name in ["store-0", "store-1"] {
        world.node(name, || async {
            for term in 0.. {
                let wait = 5 + squall::rand::rng().next_u64() % 20;
                squall::time::sleep(wait.ms()).await;
                publish("leads", term);
            }
        });
    }
    world.client("client", || async { squall::time::sleep(200.ms()).await });
    world.control(|cluster| async move {
        for round in 0..5 {
            squall::time::sleep(30.ms()).await;
            let leader = cluster.published("leads").first().map(|(name, _)| name.clone());
            let Some(leader) = leader else { continue };
            let crashed = cluster.crash(&leader);
            cluster.partition(&[&["store-0"], &["store-1"]]);
            squall::time::sleep(5.ms()).await;
            let restarted = cluster.restart(&leader);
            cluster.heal();
            publish("round", (round, crashed, restarted));
        }
    });
}

/// A panic that is joined, one that takes its node down, and one that fails the run.
fn panics(world: &mut World) {
    world
        .client("joins", || async {
            let joined = squall::spawn(async {
                squall::time::sleep(1.ms()).await;
                boom();
            })
            .await;
            publish("panicked", joined.is_err_and(|error| error.is_panic()));
        })
        .on_panic(OnPanic::JoinError);
    world
        .node("crashes", || async {
            publish("boot", squall::boot_number());
            squall::time::sleep(2.ms()).await;
            boom();
        })
        .on_panic(OnPanic::Crash);
    world.control(|cluster| async move {
        while cluster.is_up("crashes") {
            squall::time::sleep(1.ms()).await;
        }
        publish("restarted", cluster.restart("crashes"));
    });
    world.client("fails", || async {
        squall::time::sleep(10.ms()).await;
        boom();
    });
}

/// Tasks that race, are aborted, and wait in all ways; and what they log.
fn tasks(world: &mut World) {
    for name in ["left", "right"] {
        world.client(name, || {
            let work = async {
                let mut set = JoinSet::new();
                for number in 0..8u64 {
                    set.spawn(
                        async move {
                            for step in 0..3 {
                                squall::time::sleep((1 + (number * step) % 3).ms()).await;
                                squall::task::yield_now().await;
                                tracing::info!(step, "working");
                            }
                            number
                        }
                        .instrument(tracing::debug_span!("worker", number)),
                    );
                }
                let mut order = Vec::new();
                while let Some(Ok(number)) = set.join_next().await {
                    order.push(number);
                    if order.len() == 6 {
                        tracing::warn!(?order, "enough");
                        set.abort_all();
                    }
                }
                publish("order", order);
                let mut ticks = squall::time::interval(2.ms());
                for _ in 0..3 {
                    ticks.tick().await;
                }
                let late = squall::time::timeout(1.ms(), std::future::pending::<()>()).await;
                publish("late", late.is_err());
            };
            work.instrument(tracing::info_span!("client", name = squall::node_name()))
        });
    }
}

/// Everything random and every clock that a node can ask.
fn entropy(world: &mut World) {
    for name in ["left", "right"] {
        world.client(name, || async {
            let before = Instant::now();
            squall::time::sleep(1_500.us()).await;
            publish("waited", before.elapsed().as_nanos());
            publish("wall", SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos()));
            let order: Vec<u32> = (0..20).map(|key| (key, ())).collect::<HashMap<_, _>>().into_keys().collect();
            publish("order", order);
            publish("rand 0.8", rand_0_8::random::<u64>());
            publish("rand 0.9", rand_0_9::random::<u64>());
            publish("rand 0.10", rand_0_10::random::<u64>());
            publish("own", squall::rand::rng().next_u64());
            let mut bytes = [0; 16];
            getrandom_0_2::getrandom(&mut bytes).expect("entropy");
            publish("getrandom", bytes);
        });
    }
}
