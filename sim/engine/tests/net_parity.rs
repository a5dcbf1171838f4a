//! The same program on Squall's network and on tokio's, over loopback: it sees the same.
#![allow(clippy::disallowed_methods, reason = "a run needs threads around it")]
#![allow(clippy::duplicate_mod, reason = "it is there to be the same on both")]

#[path = "net"]
mod on_squall {
    pub use squall_engine::task::spawn;
    pub use squall_engine::{net, time};

    pub mod bodies;
}

#[path = "net"]
mod on_tokio {
    pub use tokio::{net, spawn, time};

    pub mod bodies;
}

use std::sync::{Arc, Mutex};
use std::thread;

use on_squall::bodies::Seen;
use squall_engine::{Heartbeat, RunOptions, World};
use squall_trace::target::NoObserver;
use squall_trace::{Plan, Record, Seed, Verdict};

/// What a body sees in a run of that seed.
fn simulated(name: &'static str, seed: u64) -> Seen {
    let seen = Arc::new(Mutex::new(None));
    let told = Arc::clone(&seen);
    let outcome = thread::spawn(move || {
        let build = |world: &mut World| {
            let told = Arc::clone(&told);
            world.client("machine", move || {
                let told = Arc::clone(&told);
                async move {
                    let seen = on_squall::bodies::run(name).await;
                    *told.lock().unwrap() = Some(seen);
                }
            });
        };
        let options = RunOptions {
            record: Record::Full,
            recorder: None,
            observer: &mut NoObserver,
            beat: Arc::new(Heartbeat::default()),
            events_max: None,
            before_call: None,
        };
        squall_engine::run(&build, &Plan::seeded(name, Seed(seed)), options).expect("the world can be")
    });
    let outcome = outcome.join().unwrap();
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
    let names = on_squall::bodies::NAMES;
    assert!(names.len() >= 60, "{}", names.len());
    let mut different = Vec::new();
    for name in names {
        let real = real(name);
        assert!(!real.is_empty(), "{name}");
        for seed in 0..3 {
            let simulated = simulated(name, seed);
            if simulated != real {
                different.push(format!("{name}, seed {seed}:\n  tokio  {real:?}\n  Squall {simulated:?}"));
                break;
            }
        }
    }
    assert!(different.is_empty(), "{} of {}:\n{}", different.len(), names.len(), different.join("\n"));
}

/// As docs/network.md says.
#[test]
fn a_socket_that_connects_to_its_own_port_is_refused_and_on_linux_has_itself() {
    let name = "connects_to_its_own_port";
    assert_eq!(simulated(name, 0), ["ConnectionRefused"]);
    if cfg!(target_os = "linux") {
        assert_eq!(real(name), ["true"]);
    }
}
