//! What a run costs besides its messages: its thread, its world, its nodes, its end.

use std::error::Error;
use std::fmt;
use std::hint::black_box;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use crate::gauges::{CLIENTS_IN_SHORT_RUN, MESSAGES_IN_SHORT_RUN, RPCS_PER_CLIENT_IN_SHORT_RUN, pass, short_run};
use crate::measurement::Workload;
use crate::squall_engine;

/// What a short run may cost besides its messages.
const OVERHEAD_US_MAX: f64 = 100.0;

/// How many requests each client sends more in the long run, whose messages show what a message costs.
const MORE_RPCS_PER_CLIENT: u32 = 500;

/// How often to measure.
#[derive(Clone, Copy, Debug, clap::Args)]
pub struct Options {
    /// Rounds: each times a bare thread, a short run and a long one, so that a busy moment hits all alike
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
}

/// The medians.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Figures {
    thread_us: f64,
    run_us: f64,
    message_us: f64,
}

impl Figures {
    fn messages_us(&self) -> f64 {
        self.message_us * f64::from(MESSAGES_IN_SHORT_RUN)
    }

    fn overhead_us(&self) -> f64 {
        self.run_us - self.messages_us()
    }
}

impl fmt::Display for Figures {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let overhead_us = self.overhead_us();
        let met = if overhead_us <= OVERHEAD_US_MAX { "met" } else { "missed" };
        let Figures { thread_us, run_us, message_us } = self;
        let messages_us = self.messages_us();
        writeln!(formatter, "{:<44} {thread_us:>8.1} µs", "a bare thread's start and join")?;
        writeln!(formatter, "{:<44} {run_us:>8.1} µs", "a run of 10 clients and 100 messages")?;
        writeln!(formatter, "{:<44} {messages_us:>8.1} µs, {message_us:.3} µs each", "of that, the messages")?;
        write!(
            formatter,
            "{:<44} {overhead_us:>8.1} µs  {met} (at most {OVERHEAD_US_MAX:.0} µs)",
            "the rest, its thread included"
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
    let (short, long) = (short_run(), long_run());
    // What the first run of a process sets up isn't any run's.
    pass(&short)?;
    pass(&long)?;
    let (mut threads, mut shorts, mut longs) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..options.rounds {
        threads.push(time(bare_thread)?);
        shorts.push(time(|| Ok(pass(&short)?))?);
        longs.push(time(|| Ok(pass(&long)?))?);
    }
    let (thread_us, run_us, long_us) = (median_us(&mut threads), median_us(&mut shorts), median_us(&mut longs));
    let more_messages = 2 * CLIENTS_IN_SHORT_RUN * MORE_RPCS_PER_CLIENT;
    Ok(Figures { thread_us, run_us, message_us: (long_us - run_us) / f64::from(more_messages) })
}

fn bare_thread() -> Result<(), Box<dyn Error>> {
    let thread = std::thread::Builder::new().spawn(|| black_box(0))?;
    thread.join().map_err(|_| "an empty thread panicked")?;
    Ok(())
}

fn long_run() -> squall::Simulation {
    let rpcs_per_client = RPCS_PER_CLIENT_IN_SHORT_RUN + MORE_RPCS_PER_CLIENT;
    squall_engine::simulation(Workload::Datagram, CLIENTS_IN_SHORT_RUN, rpcs_per_client)
}

fn time(work: impl FnOnce() -> Result<(), Box<dyn Error>>) -> Result<Duration, Box<dyn Error>> {
    let start = Instant::now();
    work()?;
    Ok(start.elapsed())
}

fn median_us(durations: &mut [Duration]) -> f64 {
    durations.sort_unstable();
    durations[durations.len() / 2].as_nanos() as f64 / 1e3
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_messages_go_out_and_the_target_is_judged() {
        let figures = Figures { thread_us: 40.0, run_us: 150.0, message_us: 0.5 };
        assert_eq!((figures.messages_us(), figures.overhead_us()), (50.0, 100.0));
        assert!(figures.to_string().contains("100.0 µs  met (at most 100 µs)"));
        assert!(Figures { run_us: 151.0, ..figures }.to_string().contains("missed"));
    }

    #[test]
    fn a_round_is_enough_to_measure() {
        let figures = measure(Options { rounds: 1 }).expect("runs pass");
        assert!(figures.thread_us > 0.0 && figures.run_us > 0.0);
    }
}
