//! What things cost, one at a time: each gauge is a workload whose amount can be doubled.
//!
//! The cost of one unit is the slope: what twice the amount costs more, shared among the units that came on top. The
//! start of the process, of the run and of its nodes is in both and goes out.

use std::fmt;
use std::time::Duration;

use clap::ValueEnum;
use squall::trace::{Plan, Record, Seed, Verdict};
use squall::{Simulation, World};

use crate::measurement::Workload;
use crate::squall_engine;

/// How many requests each client sends in a short run: of ten clients, 100 messages.
pub const RPCS_PER_CLIENT_IN_SHORT_RUN: u32 = 5;

/// How many clients a short run has.
pub const CLIENTS_IN_SHORT_RUN: u32 = 10;

/// How many messages a short run has: requests and answers.
pub const MESSAGES_IN_SHORT_RUN: u32 = 2 * CLIENTS_IN_SHORT_RUN * RPCS_PER_CLIENT_IN_SHORT_RUN;

/// Something that has a cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Gauge {
    /// A datagram from sending to receiving, among 10 clients.
    #[value(name = "message-10")]
    MessageAmong10,
    /// A datagram from sending to receiving, among 1,000 clients.
    #[value(name = "message-1000")]
    MessageAmong1000,
    /// A typed call with its timeout: two messages, a task of the server's, a timer.
    Rpc,
    /// A run of 10 clients and 100 messages from its plan to its verdict, its thread included.
    Run,
    /// A task that returns at once, spawned and joined.
    SpawnAndJoin,
    /// A sleep.
    Sleep,
}

impl Gauge {
    /// Every gauge, in the order of the report.
    pub const ALL: [Gauge; 6] =
        [Gauge::MessageAmong10, Gauge::MessageAmong1000, Gauge::Rpc, Gauge::Run, Gauge::SpawnAndJoin, Gauge::Sleep];

    /// What one unit is, in words.
    #[must_use]
    pub fn unit(self) -> &'static str {
        match self {
            Gauge::MessageAmong10 => "message, 10 clients",
            Gauge::MessageAmong1000 => "message, 1,000 clients",
            Gauge::Rpc => "rpc",
            Gauge::Run => "run of 10 clients and 100 messages",
            Gauge::SpawnAndJoin => "spawn and join",
            Gauge::Sleep => "sleep",
        }
    }

    /// An amount that is enough for a steady slope and doesn't take long under valgrind: requests of each client, or runs,
    /// tasks, sleeps.
    #[must_use]
    pub fn amount(self) -> u32 {
        match self {
            Gauge::MessageAmong10 => 500,
            Gauge::MessageAmong1000 => 10,
            Gauge::Rpc => 200,
            Gauge::Run => 20,
            Gauge::SpawnAndJoin | Gauge::Sleep => 2_000,
        }
    }

    /// How many units an amount has.
    #[must_use]
    pub fn units(self, amount: u32) -> u64 {
        let factor = match self {
            Gauge::MessageAmong10 => 2 * 10,
            Gauge::MessageAmong1000 => 2 * 1_000,
            Gauge::Rpc => 10,
            Gauge::Run | Gauge::SpawnAndJoin | Gauge::Sleep => 1,
        };
        factor * u64::from(amount)
    }

    /// Runs an amount.
    ///
    /// # Errors
    /// If a run doesn't pass.
    pub fn run(self, amount: u32) -> Result<(), GaugeError> {
        match self {
            Gauge::MessageAmong10 => pass(&squall_engine::simulation(Workload::Datagram, 10, amount)),
            Gauge::MessageAmong1000 => pass(&squall_engine::simulation(Workload::Datagram, 1_000, amount)),
            Gauge::Rpc => pass(&squall_engine::simulation(Workload::Rpc, 10, amount)),
            Gauge::Run => {
                let simulation = short_run();
                (0..amount).try_for_each(|_| pass(&simulation))
            }
            Gauge::SpawnAndJoin => pass(&alone(move || async move {
                for _ in 0..amount {
                    squall::task::spawn(async {}).await.expect("nobody aborts it");
                }
            })),
            Gauge::Sleep => pass(&alone(move || async move {
                for _ in 0..amount {
                    squall::time::sleep(Duration::from_millis(1)).await;
                }
            })),
        }
    }
}

impl fmt::Display for Gauge {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(self.to_possible_value().expect("no gauge is skipped").get_name())
    }
}

/// A run that should have passed didn't.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GaugeError(Verdict);

impl fmt::Display for GaugeError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "the run that is measured doesn't pass: {:?}", self.0)
    }
}

impl std::error::Error for GaugeError {}

/// The run whose fixed cost has a target: 10 clients, 100 messages.
#[must_use]
pub fn short_run() -> Simulation {
    squall_engine::simulation(Workload::Datagram, CLIENTS_IN_SHORT_RUN, RPCS_PER_CLIENT_IN_SHORT_RUN)
}

/// One run, which must pass.
///
/// # Errors
/// If it doesn't.
pub fn pass(simulation: &Simulation) -> Result<(), GaugeError> {
    match simulation.run_plan(&Plan::seeded("bench", Seed(1)), Record::Digest).verdict {
        Verdict::Pass => Ok(()),
        verdict => Err(GaugeError(verdict)),
    }
}

/// A world of a single client.
fn alone<F, Fut>(client: F) -> Simulation
where
    F: Fn() -> Fut + Clone + Send + Sync + 'static,
    Fut: Future<Output = ()> + 'static,
{
    Simulation::new(move |world: &mut World| {
        world.limits().events = u64::MAX;
        world.client("client", client.clone());
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_gauge_runs() {
        for gauge in Gauge::ALL {
            assert_eq!(gauge.run(2), Ok(()), "{gauge}");
            assert_eq!(gauge.units(2 * gauge.amount()), 2 * gauge.units(gauge.amount()), "{gauge}");
        }
    }

    #[test]
    fn a_short_run_has_a_hundred_messages() {
        let outcome = short_run().run_plan(&Plan::seeded("bench", Seed(1)), Record::Digest);
        assert_eq!((MESSAGES_IN_SHORT_RUN, outcome.messages.sent), (100, 100));
    }
}
