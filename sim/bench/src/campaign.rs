//! What an exploration costs besides its runs, and what a second job brings.

use std::error::Error;
use std::fmt;
use std::process::ExitCode;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use squall::Simulation;
use squall::explore::{NoWatch, Settings, explore};
use squall::testing::SeedRange;
use squall::trace::{Plan, Record, Seed};

use crate::gauges::short_run;

/// How much longer than its runs alone an exploration may take.
const OVERHEAD_MAX: f64 = 0.05;

/// How much faster two jobs are to be than one, on two processors.
const TWO_JOBS_MIN: f64 = 1.9;

/// How often to measure, and how much.
#[derive(Clone, Copy, Debug, clap::Args)]
pub struct Options {
    /// Rounds: each times the bare runs, an exploration with one job and one with two, so that a busy moment hits all alike
    #[arg(long, default_value_t = 21, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,

    /// Seeds of each
    #[arg(long, default_value_t = 2_000, value_parser = clap::value_parser!(u64).range(1..))]
    seeds: u64,
}

/// Medians of each round's ratios.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Figures {
    run_us: f64,
    /// One job's time over that of the runs alone.
    one_job: f64,
    /// One job's time over two jobs'.
    two_jobs: f64,
}

impl fmt::Display for Figures {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = |met: bool| if met { "met" } else { "missed" };
        let Figures { run_us, one_job, two_jobs } = self;
        let overhead = one_job - 1.0;
        writeln!(formatter, "{:<44} {run_us:>8.1} µs", "a run alone")?;
        writeln!(
            formatter,
            "{:<44} {:>8.1} %   {} (at most {:.0} %)",
            "an exploration takes longer than its runs by",
            overhead * 100.0,
            word(*one_job <= 1.0 + OVERHEAD_MAX),
            OVERHEAD_MAX * 100.0
        )?;
        write!(
            formatter,
            "{:<44} {two_jobs:>8.2} x   {} (at least {TWO_JOBS_MIN} x)",
            "two jobs are faster than one by",
            word(*two_jobs >= TWO_JOBS_MIN)
        )
    }
}

/// Measures and prints.
///
/// # Errors
/// If a run doesn't pass, or the system gives no thread.
pub fn report(options: Options) -> Result<ExitCode, Box<dyn Error>> {
    println!("{}", measure(options)?);
    Ok(ExitCode::SUCCESS)
}

fn measure(options: Options) -> Result<Figures, Box<dyn Error>> {
    let simulation = short_run().on_bare_threads();
    explored(&simulation, options.seeds.min(100), 2)?;
    let (mut runs, mut one_job, mut two_jobs) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..options.rounds {
        let bare = bare(&simulation, options.seeds)?.as_secs_f64();
        let one = explored(&simulation, options.seeds, 1)?.as_secs_f64();
        let two = explored(&simulation, options.seeds, 2)?.as_secs_f64();
        runs.push(bare * 1e6 / options.seeds as f64);
        one_job.push(one / bare);
        two_jobs.push(one / two);
    }
    Ok(Figures { run_us: median(&mut runs), one_job: median(&mut one_job), two_jobs: median(&mut two_jobs) })
}

fn plan(seed: Seed) -> Plan {
    Plan::seeded("campaign", seed)
}

fn bare(simulation: &Simulation, seeds: u64) -> Result<Duration, Box<dyn Error>> {
    let start = Instant::now();
    for seed in 0..seeds {
        simulation.try_run_plan(&plan(Seed(seed)), Record::Digest)?;
    }
    Ok(start.elapsed())
}

fn explored(simulation: &Simulation, seeds: u64, jobs: usize) -> Result<Duration, Box<dyn Error>> {
    let settings = Settings { seeds: SeedRange::from(seeds), jobs, time_max: None, failures_max: None };
    let start = Instant::now();
    let explored = explore(simulation, &plan, settings, &AtomicBool::new(false), &mut NoWatch)?;
    let elapsed = start.elapsed();
    if explored.passed != seeds {
        return Err(format!("{} of {seeds} runs passed", explored.passed).into());
    }
    Ok(elapsed)
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_targets_are_judged() {
        let figures = Figures { run_us: 90.0, one_job: 1.05, two_jobs: 1.9 };
        assert_eq!(figures.to_string().matches(" met ").count(), 2, "{figures}");
        let figures = Figures { run_us: 90.0, one_job: 1.06, two_jobs: 1.89 };
        assert_eq!(figures.to_string().matches(" missed ").count(), 2, "{figures}");
    }

    #[test]
    fn a_round_is_enough_to_measure() {
        let figures = measure(Options { rounds: 1, seeds: 3 }).expect("runs pass");
        assert!(figures.run_us > 0.0 && figures.one_job > 0.0 && figures.two_jobs > 0.0);
    }
}
