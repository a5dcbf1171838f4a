//! Many seeds on a pool of threads, counted in the order of the seeds.
//!
//! Workers take the next few seeds, run them and hand in what came of them; one collector counts the results in seed order. So what
//! is counted, and where `failures_max` ends it, doesn't depend on how many workers there are. No worker runs far ahead of
//! the collector, and of a run only its verdict is kept: memory doesn't grow with the runs.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

pub use squall_campaign::tally::{Counted, Explored, FAILURES_LISTED_MAX, Group, Listed};
use squall_trace::{Plan, Record, Seed, Verdict};

use crate::determinism::cut_off;
use crate::runner::{HANG_PROPERTY, Simulation, WorldError};
use squall_campaign::seeds::SeedRange;

/// Of so many seeds one that passes is run again.
const REPEATED_EVERY: u64 = 100;

/// How far workers may run ahead of the slowest seed.
const AHEAD_MAX: u64 = 4_096;

/// More runs at once than that only fill the memory.
const JOBS_MAX: usize = 512;

/// So many seeds are taken at once at the most.
const BATCH_MAX: u64 = 64;

/// What takes less time is taken in larger batches.
const BATCH_TIME_MIN: Duration = Duration::from_millis(2);

/// What takes more time is taken in smaller ones.
const BATCH_TIME_MAX: Duration = Duration::from_millis(20);

/// How long a worker or the collector sleeps at most before it looks up whether to stop.
const LOOK_UP: Duration = Duration::from_millis(50);

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
}

/// The watcher wants the exploration to end.
#[derive(Debug)]
pub struct WatchEnded;

/// Watches nothing.
#[derive(Debug, Default)]
pub struct NoWatch;

impl Watch for NoWatch {}

#[derive(Default)]
struct State {
    handed_out: u64,
    counted: u64,
    /// By the place of the first of them.
    results: BTreeMap<u64, Vec<Result<Counted, WorldError>>>,
    working: usize,
}

struct Pool<'p> {
    simulation: &'p Simulation,
    plan: &'p (dyn Fn(Seed) -> Plan + Sync),
    settings: Settings,
    deadline: Option<Instant>,
    stop: &'p AtomicBool,
    /// The collector counts no more.
    over: AtomicBool,
    listed_all: AtomicBool,
    state: Mutex<State>,
    /// A result was handed in, or a worker went home.
    handed_in: Condvar,
    /// The collector went on.
    went_on: Condvar,
}

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

impl Broken {
    fn at_once(error: WorldError) -> Broken {
        Broken { explored: Box::default(), error }
    }
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
    // More threads than seeds would have nothing to do.
    let seeds = usize::try_from(settings.seeds.len()).unwrap_or(usize::MAX);
    let jobs = settings.jobs.min(seeds).clamp(1, JOBS_MAX);
    let pool = Pool {
        simulation,
        plan,
        settings,
        deadline: settings.time_max.and_then(|time| Instant::now().checked_add(time)),
        stop,
        over: AtomicBool::new(false),
        listed_all: AtomicBool::new(false),
        state: Mutex::new(State { working: jobs, ..State::default() }),
        handed_in: Condvar::new(),
        went_on: Condvar::new(),
    };
    std::thread::scope(|scope| {
        for begun in 0..jobs {
            let worker = std::thread::Builder::new().name("squall worker".to_string());
            if let Err(error) = worker.spawn_scoped(scope, || pool.work()) {
                // Fewer do as well, only more slowly.
                pool.state().working -= jobs - begun;
                if begun == 0 {
                    return Err(Broken::at_once(WorldError::NoThread(error.to_string())));
                }
                break;
            }
        }
        let explored = pool.collect(watch);
        pool.over.store(true, Ordering::Relaxed);
        pool.went_on.notify_all();
        explored
    })
}

impl Pool<'_> {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn work(&self) {
        let mut wanted = 1;
        while let Some(seeds) = self.take(wanted) {
            let (begun, first) = (Instant::now(), seeds.start);
            let mut results = Vec::with_capacity((seeds.end - seeds.start) as usize);
            for index in seeds {
                // Those that are left out are never counted, nor what comes after them.
                if !results.is_empty() && self.is_stopped() {
                    break;
                }
                results.push(self.run(index));
            }
            // To hand in wakes the collector, which costs as much as a short run.
            wanted = match begun.elapsed() {
                short if short < BATCH_TIME_MIN => (wanted * 2).min(BATCH_MAX),
                long if long > BATCH_TIME_MAX => (wanted / 2).max(1),
                _ => wanted,
            };
            self.state().results.insert(first, results);
            self.handed_in.notify_one();
        }
        self.state().working -= 1;
        self.handed_in.notify_one();
    }

    /// Whether no more runs are to be begun.
    fn is_stopped(&self) -> bool {
        let late = || self.deadline.is_some_and(|deadline| Instant::now() >= deadline);
        self.stop.load(Ordering::Relaxed) || self.over.load(Ordering::Relaxed) || late()
    }

    /// The places of the next seeds in the range, `wanted` at the most; `None` if there are no more.
    fn take(&self, wanted: u64) -> Option<std::ops::Range<u64>> {
        let mut state = self.state();
        loop {
            if self.is_stopped() || state.handed_out >= self.settings.seeds.len() {
                return None;
            }
            if state.handed_out - state.counted < AHEAD_MAX {
                let first = state.handed_out;
                state.handed_out = first.saturating_add(wanted).min(self.settings.seeds.len());
                return Some(first..state.handed_out);
            }
            let waited = self.went_on.wait_timeout(state, LOOK_UP).unwrap_or_else(PoisonError::into_inner);
            state = waited.0;
        }
    }

    fn run(&self, index: u64) -> Result<Counted, WorldError> {
        let seed = Seed(self.settings.seeds.start() + index);
        let plan = (self.plan)(seed);
        let outcome = self.simulation.try_run_plan(&plan, Record::Digest)?;
        let (mut perturbations, mut again) = (None, None);
        match outcome.verdict.property() {
            None if outcome.verdict == Verdict::Pass && is_repeated(seed) => {
                again = Some(self.simulation.try_run_plan(&plan, Record::Digest)?);
            }
            None => {}
            // To run it again would take as long again. As far as it can be recorded, it was.
            Some(HANG_PROPERTY) => perturbations = outcome.trace.is_some().then_some(outcome.perturbations.len()),
            Some(_) if self.listed_all.load(Ordering::Relaxed) => {}
            Some(_) => {
                let second = self.simulation.try_run_plan(&plan, Record::Perturbations)?;
                perturbations = Some(second.perturbations.len());
                again = Some(second);
            }
        }
        let why = again.as_ref().and_then(|again| cut_off(&outcome, again)).map(str::to_string);
        let repeats = why.is_some() || again.is_none_or(|again| again.digest == outcome.digest);
        let verdict = match why {
            None => outcome.verdict,
            // What fails is a failure all the same; whether it repeats itself is seen when it is shrunk.
            Some(why) => {
                let message = format!("it was run a second time, to see whether it repeats itself, but {why}");
                outcome.verdict.worse(Verdict::Unknown { message })
            }
        };
        Ok(Counted {
            seed,
            verdict,
            digest: outcome.digest,
            escapes: outcome.escapes,
            unreached_faults: outcome.unreached_faults.into_iter().map(|unreached| unreached.fault).collect(),
            goals: outcome.goals,
            open: outcome.open,
            perturbations,
            repeats,
        })
    }

    fn collect(&self, watch: &mut dyn Watch) -> Result<Explored, Broken> {
        let mut explored = Explored::default();
        let results = std::iter::from_fn(|| self.next_results()).flatten();
        for result in results {
            let counted = match result {
                Ok(counted) => counted,
                Err(error) => return Err(self.broken(explored, error)),
            };
            explored.count(&counted);
            if explored.failures.len() == FAILURES_LISTED_MAX {
                // Nobody asks how the ones after these came about.
                self.listed_all.store(true, Ordering::Relaxed);
            }
            let ended = watch.on_counted(&counted, &explored).is_err();
            if ended || self.settings.failures_max.is_some_and(|max| explored.failed >= max) {
                break;
            }
        }
        Ok(explored)
    }

    fn broken(&self, explored: Explored, error: WorldError) -> Broken {
        let error = match error {
            // It can be with the seeds before.
            WorldError::Described(text) if explored.runs > 0 => {
                let seed = Seed(self.settings.seeds.start() + explored.runs);
                WorldError::Described(format!("{text} (with seed {seed})"))
            }
            error => error,
        };
        Broken { explored: Box::new(explored), error }
    }

    /// The next results in seed order; `None` when all workers have gone home and all was counted.
    fn next_results(&self) -> Option<Vec<Result<Counted, WorldError>>> {
        let mut state = self.state();
        loop {
            let next = state.counted;
            if let Some(results) = state.results.remove(&next) {
                state.counted += results.len() as u64;
                self.went_on.notify_all();
                return Some(results);
            }
            if state.working == 0 {
                return None;
            }
            let waited = self.handed_in.wait_timeout(state, LOOK_UP).unwrap_or_else(PoisonError::into_inner);
            state = waited.0;
        }
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
