//! What spans crates: worlds for tests, as plain data.
//!
//! | module | holds |
//! |---|---|
//! | [`random_world`] | worlds drawn at random, as plain data |
//! | [`bugs`], [`storm_bugs`] | planted bugs, with the smallest cause that is known of each |
//! | [`plants`] | tiny worlds, each with one source of nondeterminism |
//! | [`worlds`] | worlds that are to repeat, with all kinds of events, and their golden digests |
//! | [`determinism`] | the check: the same plan again, after another plan, in other processes |
//! | [`planted_panic`] | a panic at a place that doesn't move |
#![forbid(unsafe_code)]

pub mod bugs;
pub mod determinism;
pub mod planted_panic;
pub mod plants;
pub mod random_world;
pub mod storm_bugs;
pub mod worlds;

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use squall::trace::{EndReason, EventKind, Outcome, Plan, Record, Seed, StrategyChoice, Verdict};
use squall::{Simulation, World};

/// Counts what is alive: clones of it are held where nothing may outlive a run.
#[derive(Debug)]
pub struct Guard(Arc<AtomicI64>);

impl Guard {
    /// A guard that counts in `living`.
    #[must_use]
    pub fn new(living: &Arc<AtomicI64>) -> Guard {
        living.fetch_add(1, Ordering::SeqCst);
        Guard(Arc::clone(living))
    }
}

impl Clone for Guard {
    fn clone(&self) -> Guard {
        Guard::new(&self.0)
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Runs a world by seed 1, fully recorded.
#[must_use]
pub fn run(build: impl Fn(&mut World) + Send + Sync + 'static) -> Outcome {
    Simulation::new(build).run_plan(&Plan::seeded("test", Seed(1)), Record::Full)
}

/// Runs a world by some seeds and each strategy; whatever its clients assert must hold in all of them.
///
/// # Panics
/// If a run doesn't pass.
#[track_caller]
pub fn passes(build: impl Fn(&mut World) + Send + Sync + 'static) {
    let simulation = Simulation::new(build);
    for seed in 0..6 {
        let strategy = match seed % 3 {
            0 => StrategyChoice::Fifo,
            1 => StrategyChoice::Random,
            _ => StrategyChoice::Pct { depth: 2, steps: 50 },
        };
        let plan = Plan { strategy, ..Plan::seeded("test", Seed(seed)) };
        let outcome = simulation.run_plan(&plan, Record::Perturbations);
        assert_eq!(outcome.verdict, Verdict::Pass, "seed {seed}, {strategy}");
        assert_eq!(outcome.ending.reason, EndReason::ClientsReturned, "seed {seed}, {strategy}");
    }
}

/// The property that fails and what it says.
///
/// # Panics
/// If the run doesn't fail.
#[track_caller]
#[must_use]
pub fn failure(outcome: &Outcome) -> (&str, &str) {
    match &outcome.verdict {
        Verdict::Fail(failure) => (&failure.property, &failure.message),
        other => panic!("expected a failure, found {other:?}"),
    }
}

/// What was published about `topic`, in order.
///
/// # Panics
/// If the run wasn't fully recorded.
#[must_use]
pub fn facts(outcome: &Outcome, topic: &str) -> Vec<String> {
    let trace = outcome.trace.as_ref().expect("fully recorded");
    let about = |event: &squall::trace::OwnedEvent| match &event.kind {
        EventKind::Publish { topic: other, value } if other == topic => Some(value.to_string()),
        _ => None,
    };
    trace.events.iter().filter_map(about).collect()
}
