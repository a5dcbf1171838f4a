//! What a node that tokio executes costs: a drive, a spawn in it, a thread, and a look at those that do nothing.

use std::error::Error;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use squall::prelude::*;
use squall::trace::{Plan, Record, Seed, Verdict};
use squall::{Simulation, World};

/// How much to measure.
#[derive(Clone, Copy, Debug, clap::Args)]
pub struct Options {
    /// Units of each row in a run
    #[arg(long, default_value_t = 100_000, value_parser = clap::value_parser!(u32).range(1..))]
    units: u32,
    /// Rounds, of which the median is shown
    #[arg(long, default_value_t = 9, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
}

const MS: Duration = Duration::from_millis(1);

/// Nodes that wait for ever, beside one that sleeps.
const IDLE_NODES: u32 = 200;

/// So many times fewer threads than other units: each is a switch between two threads of the system.
const THREADS_PER_UNIT: u32 = 20;

/// Measures and prints.
///
/// # Errors
/// If a run doesn't pass.
pub fn report(options: Options) -> Result<ExitCode, Box<dyn Error>> {
    let Options { units, .. } = options;
    let squall = time(options, units, move |world| {
        world.client("sleeper", move || async move {
            for _ in 0..units {
                squall::time::sleep(MS).await;
            }
        });
    })?;
    let sleeps = move |world: &mut World| {
        let sleeper = move || async move {
            for _ in 0..units {
                tokio::time::sleep(MS).await;
            }
        };
        world.client("sleeper", sleeper).tokio();
    };
    let tokio = time(options, units, sleeps)?;
    let among_idle = time(options, units, move |world| {
        sleeps(world);
        world.nodes("idle", IDLE_NODES, |_| std::future::pending::<()>()).tokio();
    })?;
    let spawn = time(options, units, move |world| {
        let spawner = move || async move {
            for _ in 0..units {
                if tokio::spawn(std::future::ready(())).await.is_err() {
                    return Err("a task that returns at once didn't");
                }
            }
            Ok(())
        };
        world.client("spawner", spawner).tokio();
    })?;
    let threads = units.div_ceil(THREADS_PER_UNIT);
    let thread = time(options, threads, move |world| {
        let spawner = move || async move {
            for _ in 0..threads {
                if tokio::task::spawn_blocking(|| ()).await.is_err() {
                    return Err("a thread that returns at once didn't");
                }
            }
            Ok(())
        };
        world.client("spawner", spawner).tokio();
    })?;
    for (what, us) in [
        ("a sleep of Squall's", squall),
        ("a sleep of tokio's, that is a drive", tokio),
        ("the same beside 200 nodes that do nothing", among_idle),
        ("a spawn and its join, in a drive", spawn),
        ("a spawn_blocking and its join", thread),
    ] {
        println!("{what:<44} {us:>8.3} µs");
    }
    Ok(ExitCode::SUCCESS)
}

/// Microseconds of a unit.
fn time(
    options: Options,
    units: u32,
    build: impl Fn(&mut World) + Send + Sync + 'static,
) -> Result<f64, Box<dyn Error>> {
    let simulation = Simulation::new(move |world: &mut World| {
        build(world);
        world.limits().events = u64::MAX;
        world.limits().virtual_ns = u64::MAX / 2;
    });
    let plan = Plan::seeded("tokio", Seed(1));
    let mut rounds = Vec::new();
    for _ in 0..options.rounds {
        let start = Instant::now();
        let outcome = simulation.run_plan(&plan, Record::Digest);
        rounds.push(start.elapsed());
        if outcome.verdict != Verdict::Pass {
            return Err(format!("the run came to {:?}", outcome.verdict).into());
        }
    }
    rounds.sort_unstable();
    Ok(rounds[rounds.len() / 2].as_nanos() as f64 / 1e3 / f64::from(units))
}
