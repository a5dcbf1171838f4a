//! Many seeds, counted in their order: threads run them (`workers`). Of a run only its verdict is kept.

use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

pub use squall_campaign::tally::{Counted, Explored, FAILURES_LISTED_MAX, Group, Listed};
use squall_trace::{Outcome, Plan, Record, Seed, Verdict};

use crate::determinism::cut_off;
use crate::measure::{Heard, measured_of};
use crate::runner::{HANG_PROPERTY, Simulation, WorldError};
use crate::workers::{self, Work};
use squall_campaign::latencies::Measured;
use squall_campaign::seeds::SeedRange;

/// Of so many seeds one that passes is run again.
const REPEATED_EVERY: u64 = 100;

/// Whether a seed that passes is run again. Which ones doesn't depend on the range that they are part of.
#[must_use]
pub fn is_repeated(seed: Seed) -> bool {
    seed.0 % REPEATED_EVERY == REPEATED_EVERY - 1
}

/// What to explore, and when to stop.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// Which seeds.
    pub seeds: SeedRange,
    /// How many threads run them: at least one does, and 512 at most.
    pub jobs: usize,
    /// No seed is begun after that much real time.
    pub time_max: Option<Duration>,
    /// Counting ends with that failure.
    pub failures_max: Option<u64>,
}

/// Sees an exploration as it goes on.
pub trait Watch {
    /// One more run was counted; called in seed order.
    ///
    /// # Errors
    /// A reason to end the exploration: nothing more is counted.
    fn on_counted(&mut self, counted: &Counted, so_far: &Explored) -> Result<(), WatchEnded> {
        let _ = (counted, so_far);
        Ok(())
    }

    /// Whether what clients' operations take is to be measured, which costs each run a little.
    fn measures(&self) -> bool {
        false
    }

    /// What was measured in a run that is counted next.
    fn on_measured(&mut self, counted: &Counted, measured: &Measured) {
        let _ = (counted, measured);
    }
}

/// The watcher wants the exploration to end.
#[derive(Debug)]
pub struct WatchEnded;

/// Watches nothing.
#[derive(Debug, Default)]
pub struct NoWatch;

impl Watch for NoWatch {}

/// There was no run of a seed.
#[derive(Debug, thiserror::Error)]
#[error("{error}")]
pub struct Broken {
    /// What came of the seeds before.
    pub explored: Box<Explored>,
    /// Why there was no run.
    #[source]
    pub error: WorldError,
}

/// Runs the plans of many seeds. Where `stop` is set, no more seeds are handed out, and those that were are finished.
///
/// # Errors
/// If the world can't be, or the system has nothing to run it in.
pub fn explore(
    simulation: &Simulation,
    plan: &(dyn Fn(Seed) -> Plan + Sync),
    settings: Settings,
    stop: &AtomicBool,
    watch: &mut dyn Watch,
) -> Result<Explored, Broken> {
    let Settings { seeds, jobs, time_max, failures_max } = settings;
    let deadline = time_max.and_then(|time| Instant::now().checked_add(time));
    let listed_all = AtomicBool::new(false);
    let measures = watch.measures();
    let run = |seed| run(simulation, &plan(seed), &listed_all, measures);
    let (mut explored, mut broken) = (Explored::default(), None);
    let mut take = |result| {
        let (counted, measured): (Counted, Option<Measured>) = match result {
            Ok(done) => done,
            Err(error) => {
                broken = Some(error);
                return ControlFlow::Break(());
            }
        };
        if let Some(measured) = &measured {
            watch.on_measured(&counted, measured);
        }
        explored.count(&counted);
        if explored.failures.len() == FAILURES_LISTED_MAX {
            // Nobody asks how the ones after these came about.
            listed_all.store(true, Ordering::Relaxed);
        }
        let ended = watch.on_counted(&counted, &explored).is_err();
        match ended || failures_max.is_some_and(|max| explored.failed >= max) {
            true => ControlFlow::Break(()),
            false => ControlFlow::Continue(()),
        }
    };
    let worked = workers::in_seed_order(Work { seeds, jobs, deadline, stop }, &run, &mut take);
    let broken = broken.or(worked.err().map(|error| WorldError::NoThread(error.to_string())));
    match broken {
        None => Ok(explored),
        Some(error) => {
            let seed = Seed(seeds.start() + explored.runs);
            let error = if explored.runs > 0 { in_midst(error, seed) } else { error };
            Err(Broken { explored: Box::new(explored), error })
        }
    }
}

/// Of a world that can't be with that seed, but can with those before.
pub(crate) fn in_midst(error: WorldError, seed: Seed) -> WorldError {
    match error {
        WorldError::Described(text) => WorldError::Described(format!("{text} (with seed {seed})")),
        error => error,
    }
}

/// The run of one plan, made again where it is to be seen whether it repeats itself, or what in it wasn't calm; and what was measured in it,
/// if that is wanted.
fn run(
    simulation: &Simulation,
    plan: &Plan,
    listed_all: &AtomicBool,
    measures: bool,
) -> Result<(Counted, Option<Measured>), WorldError> {
    let (outcome, measured) = match measures {
        false => (simulation.try_run_plan(plan, Record::Digest)?, None),
        true => {
            let mut heard = Heard::default();
            let outcome = simulation.try_run(plan, Record::Perturbations, &mut heard)?;
            let measured = measured_of(heard, &outcome);
            (outcome, Some(measured))
        }
    };
    let (mut perturbations, mut again) = (None, None);
    match outcome.verdict.property() {
        None if outcome.verdict == Verdict::Pass && is_repeated(plan.seed) => {
            again = Some(simulation.try_run_plan(plan, Record::Digest)?);
        }
        None => {}
        // To run it again would take as long again. As far as it can be recorded, it was.
        Some(HANG_PROPERTY) => perturbations = outcome.trace.is_some().then_some(outcome.perturbations.len()),
        Some(_) if listed_all.load(Ordering::Relaxed) => {}
        Some(_) => {
            let second = simulation.try_run_plan(plan, Record::Perturbations)?;
            perturbations = Some(second.perturbations.len());
            again = Some(second);
        }
    }
    Ok((counted(plan.seed, outcome, perturbations, again.as_ref()), measured))
}

/// What is counted of a run, and of the same run `again`, if it was made again.
pub(crate) fn counted(seed: Seed, outcome: Outcome, perturbations: Option<usize>, again: Option<&Outcome>) -> Counted {
    let why = again.and_then(|again| cut_off(&outcome, again)).map(str::to_string);
    let repeats = why.is_some() || again.is_none_or(|again| again.digest == outcome.digest);
    let verdict = match why {
        None => outcome.verdict,
        // What fails is a failure all the same; whether it repeats itself is seen when it is shrunk.
        Some(why) => {
            let message = format!("it was run a second time, to see whether it repeats itself, but {why}");
            outcome.verdict.worse(Verdict::Unknown { message })
        }
    };
    Counted {
        seed,
        verdict,
        digest: outcome.digest,
        escapes: outcome.escapes,
        unreached_faults: outcome.unreached_faults.into_iter().map(|unreached| unreached.fault).collect(),
        goals: outcome.goals,
        open: outcome.open,
        perturbations,
        is_repeated: again.is_some(),
        repeats,
    }
}

#[cfg(test)]
mod tests {
    use squall_engine::World;

    use super::*;

    /// Fails with one seed in ten.
    fn sometimes_failing() -> Simulation {
        Simulation::new(|world: &mut World| {
            world.client("client", || async {
                let drawn = rand_core::Rng::next_u64(&mut crate::rand::rng()) % 100;
                assert!(drawn >= 10, "drew {drawn}");
            });
        })
    }

    fn explored(jobs: usize, failures_max: Option<u64>) -> Explored {
        let settings = Settings { seeds: SeedRange::new(5, 305), jobs, time_max: None, failures_max };
        let plan = |seed| Plan::seeded("test", seed);
        explore(&sometimes_failing(), &plan, settings, &AtomicBool::new(false), &mut NoWatch).unwrap()
    }

    #[test]
    fn what_is_counted_does_not_depend_on_the_jobs() {
        for failures_max in [None, Some(1), Some(7)] {
            let alone = explored(1, failures_max);
            let together = explored(4, failures_max);
            assert_eq!(alone.runs, together.runs);
            assert_eq!(alone.passed, together.passed);
            assert_eq!(alone.failures, together.failures);
            assert_eq!(alone.groups, together.groups);
            assert!(alone.failed > 0 && alone.runs == alone.passed + alone.failed);
            assert!(failures_max.is_none_or(|max| alone.failed == max));
            assert!(alone.first_unrepeated.is_none());
        }
    }

    #[test]
    fn nothing_is_begun_once_it_is_stopped() {
        let settings = Settings { seeds: SeedRange::new(0, u64::MAX), jobs: 2, time_max: None, failures_max: None };
        let plan = |seed| Plan::seeded("test", seed);
        let stop = AtomicBool::new(true);
        assert_eq!(explore(&sometimes_failing(), &plan, settings, &stop, &mut NoWatch).unwrap().runs, 0);
        struct StopAfter<'s>(u64, &'s AtomicBool);
        impl Watch for StopAfter<'_> {
            fn on_counted(&mut self, _: &Counted, so_far: &Explored) -> Result<(), WatchEnded> {
                self.1.store(so_far.runs >= self.0, Ordering::Relaxed);
                Ok(())
            }
        }
        stop.store(false, Ordering::Relaxed);
        let mut watch = StopAfter(20, &stop);
        let explored = explore(&sometimes_failing(), &plan, settings, &stop, &mut watch).unwrap();
        assert!(explored.runs >= 20 && explored.runs == explored.passed + explored.failed);
    }

    #[test]
    fn a_world_that_can_not_be_is_an_error() {
        let simulation = Simulation::new(|world: &mut World| {
            world.node("a", || async {});
            world.link("a", "b");
        });
        let settings = Settings { seeds: SeedRange::new(0, 9), jobs: 2, time_max: None, failures_max: None };
        let plan = |seed| Plan::seeded("test", seed);
        let error = explore(&simulation, &plan, settings, &AtomicBool::new(false), &mut NoWatch).unwrap_err();
        assert!(error.to_string().contains("no node is named \"b\""), "{error}");
    }
}
