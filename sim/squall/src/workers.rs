//! Many seeds on a pool of threads, what came of them handed on in the order of the seeds.
//!
//! Workers take the next few seeds, run them and hand in what came of them; one collector passes that on in seed order. So what is
//! passed on, and where it ends, doesn't depend on how many workers there are. No worker runs far ahead of the collector: memory
//! doesn't grow with the runs.

use std::collections::BTreeMap;
use std::io;
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use squall_campaign::seeds::SeedRange;
use squall_trace::Seed;

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

/// Which seeds, by how many workers, and when no more of them are begun.
pub(crate) struct Work<'w> {
    pub seeds: SeedRange,
    /// At least one, and [`JOBS_MAX`] at most.
    pub jobs: usize,
    pub deadline: Option<Instant>,
    /// Somebody asked to stop: what has begun is finished.
    pub stop: &'w AtomicBool,
}

struct State<R> {
    handed_out: u64,
    counted: u64,
    /// By the place of the first of them.
    results: BTreeMap<u64, Vec<R>>,
    working: usize,
}

struct Pool<'p, R> {
    work: Work<'p>,
    run: &'p (dyn Fn(Seed) -> R + Sync),
    /// The collector takes no more.
    over: AtomicBool,
    state: Mutex<State<R>>,
    /// A result was handed in, or a worker went home.
    handed_in: Condvar,
    /// The collector went on.
    went_on: Condvar,
}

/// Runs many seeds, and gives what came of each to `take`, in seed order, until that breaks off.
///
/// # Errors
/// If the system gives no thread.
pub(crate) fn in_seed_order<R: Send>(
    work: Work<'_>,
    run: &(dyn Fn(Seed) -> R + Sync),
    take: &mut dyn FnMut(R) -> ControlFlow<()>,
) -> io::Result<()> {
    // More threads than seeds would have nothing to do.
    let seeds = usize::try_from(work.seeds.len()).unwrap_or(usize::MAX);
    let jobs = work.jobs.min(seeds).clamp(1, JOBS_MAX);
    let pool = Pool {
        work,
        run,
        over: AtomicBool::new(false),
        state: Mutex::new(State { handed_out: 0, counted: 0, results: BTreeMap::new(), working: jobs }),
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
                    return Err(error);
                }
                break;
            }
        }
        let results = std::iter::from_fn(|| pool.next_results()).flatten();
        for result in results {
            if take(result).is_break() {
                break;
            }
        }
        pool.over.store(true, Ordering::Relaxed);
        pool.went_on.notify_all();
        Ok(())
    })
}

impl<R> Pool<'_, R> {
    fn state(&self) -> MutexGuard<'_, State<R>> {
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
                results.push((self.run)(Seed(self.work.seeds.start() + index)));
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
        let late = || self.work.deadline.is_some_and(|deadline| Instant::now() >= deadline);
        self.work.stop.load(Ordering::Relaxed) || self.over.load(Ordering::Relaxed) || late()
    }

    /// The places of the next seeds in the range, `wanted` at the most; `None` if there are no more.
    fn take(&self, wanted: u64) -> Option<std::ops::Range<u64>> {
        let mut state = self.state();
        loop {
            if self.is_stopped() || state.handed_out >= self.work.seeds.len() {
                return None;
            }
            if state.handed_out - state.counted < AHEAD_MAX {
                let first = state.handed_out;
                state.handed_out = first.saturating_add(wanted).min(self.work.seeds.len());
                return Some(first..state.handed_out);
            }
            let waited = self.went_on.wait_timeout(state, LOOK_UP).unwrap_or_else(PoisonError::into_inner);
            state = waited.0;
        }
    }

    /// The next results in seed order; `None` when all workers have gone home and all was taken.
    fn next_results(&self) -> Option<Vec<R>> {
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
