//! A run refuses a thread that isn't a fresh one.
#![cfg(all(target_os = "linux", target_env = "gnu"))]
#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "a run needs threads around it")]

use std::collections::HashMap;
use std::sync::Arc;
use std::thread;

use squall_engine::{Heartbeat, RunOptions, World};
use squall_trace::target::NoObserver;
use squall_trace::{Outcome, Plan, Record, Seed, Verdict};

fn run() -> Outcome {
    let build = |world: &mut World| {
        world.client("client", || async {});
    };
    let options = RunOptions {
        record: Record::Digest,
        recorder: None,
        observer: &mut NoObserver,
        beat: Arc::new(Heartbeat::default()),
        events_max: None,
        before_call: None,
    };
    squall_engine::run(&build, &Plan::seeded("fresh", Seed(1)), options).expect("the world can be")
}

#[test]
fn a_fresh_thread_is_taken_once() {
    let refused = thread::spawn(|| {
        let first = run();
        assert_eq!(first.verdict, Verdict::Pass);
        std::panic::catch_unwind(run).map(|_| ())
    });
    let payload = refused.join().unwrap().unwrap_err();
    let text = payload.downcast_ref::<&str>().copied().unwrap_or_default();
    assert!(text.starts_with("a run needs a fresh thread"), "{text}");
}

#[test]
fn a_thread_with_a_map_is_refused() {
    let refused = thread::spawn(|| {
        let map: HashMap<u32, u32> = HashMap::new();
        assert!(map.is_empty());
        std::panic::catch_unwind(run).map(|_| ())
    });
    assert!(refused.join().unwrap().is_err());
}
