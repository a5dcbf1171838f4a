//! The programs by which Squall's network is compared with tokio's (`sim/engine/tests/net`), in nodes that tokio executes: Squall's sockets, and tokio's tasks and timers.
#![allow(clippy::duplicate_mod, reason = "it is there to be the same on both")]

#[path = "../../sim/engine/tests/net"]
mod on_squall {
    pub use squall::net;
    pub use tokio::{spawn, time};

    pub mod bodies;
}

#[path = "../../sim/engine/tests/net"]
mod on_tokio {
    pub use tokio::{net, spawn, time};

    pub mod bodies;
}

use std::sync::{Arc, Mutex};

use on_squall::bodies::Seen;
use squall::trace::{Plan, Record, Seed, Verdict};
use squall::{Simulation, TokioNode, World};

/// What a body sees in a run of that seed.
fn simulated(name: &'static str, seed: u64) -> Seen {
    let seen = Arc::new(Mutex::new(None));
    let told = Arc::clone(&seen);
    let simulation = Simulation::new(move |world: &mut World| {
        let told = Arc::clone(&told);
        let body = move || {
            let told = Arc::clone(&told);
            async move {
                let seen = on_squall::bodies::run(name).await;
                *told.lock().unwrap() = Some(seen);
            }
        };
        world.client("machine", body).tokio();
    });
    let outcome = simulation.run_plan(&Plan::seeded(name, Seed(seed)), Record::Digest);
    assert_eq!(outcome.verdict, Verdict::Pass, "{name}, seed {seed}");
    let seen = seen.lock().unwrap().take();
    seen.expect("it has returned")
}

fn real(name: &'static str) -> Seen {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(on_tokio::bodies::run(name))
}

#[test]
fn a_program_sees_the_same_on_both() {
    let mut different = Vec::new();
    for name in on_squall::bodies::NAMES {
        let real = real(name);
        for seed in 0..3 {
            let simulated = simulated(name, seed);
            if simulated != real {
                different.push(format!("{name}, seed {seed}:\n  tokio  {real:?}\n  Squall {simulated:?}"));
                break;
            }
        }
    }
    assert!(different.is_empty(), "{}:\n{}", different.len(), different.join("\n"));
}
