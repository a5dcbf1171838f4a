//! The programs that there are, and scenarios of them: read, tried, and made simulations.

use std::path::Path;
use std::time::Duration;

use squall_hermetic::process::telling_exit;
use squall_trace::{Parameters, StrategyChoice};

use super::arguments::World;
use super::campaign::PROCESSES;
use super::exit::Stop;
use crate::process::{self, Processes, Wanted};
use crate::runner::Simulation;
use crate::scenario::{Isolation, Program, Scenario, ScenarioError};

/// A description may always take that long in real time.
const DESCRIPTION_MIN: Duration = Duration::from_secs(2);

/// What is said where a description ends this process by `exit`, which it could do when it was tried as well, but didn't.
const EXITED: &str = "error: the program's description of its world ended the process\n";

/// Programs, and how long a call of theirs may take in real time.
#[derive(Clone, Debug)]
pub(crate) struct Programs {
    pub list: Vec<Program>,
    pub hang_after: Duration,
    /// No run has a thread of this process, whatever its scenario says.
    pub leave_threads: bool,
}

impl Programs {
    /// A scenario file with settings over it, read and checked. The program's description of its world is known to come back: it mustn't
    /// take this process with it.
    ///
    /// # Errors
    /// What is wrong, with its place.
    pub fn load(&self, file: &Path, set: &[String]) -> Result<Scenario, ScenarioError> {
        // What runs are copied from has been tried already, and does as little as it can.
        if process::wanted().is_none() {
            let time_max = self.hang_after.max(DESCRIPTION_MIN);
            process::comes_back(time_max, || drop(Scenario::load(file, &self.list, set)))
                .map_err(|how| ScenarioError::without_description(file, &how))?;
        }
        let scenario = telling_exit(EXITED, super::exit::USAGE, || Scenario::load(file, &self.list, set))?;
        match self.leave_threads && scenario.isolation() != Isolation::Process {
            true => self.leave_threads(&scenario),
            false => Ok(scenario),
        }
    }

    /// The same of what a command was told. A strategy that has nothing to decide is a mistake.
    ///
    /// # Errors
    /// As [`Programs::load`], and that.
    pub fn load_world(&self, world: &World) -> Result<Scenario, Stop> {
        let scenario = self.load(&world.file, &world.set)?;
        refuse_idle_strategy(&scenario, world)?;
        Ok(scenario)
    }

    /// The same scenario with a process for each run.
    ///
    /// # Errors
    /// As [`Programs::load`].
    pub fn leave_threads(&self, scenario: &Scenario) -> Result<Scenario, ScenarioError> {
        let mut set = settings(scenario.parameters());
        set.push(PROCESSES.to_string());
        self.load(scenario.path(), &set)
    }

    /// The world of a scenario as it is to be run: on threads, with processes for what hangs, or in processes.
    pub fn simulation(&self, scenario: &Scenario) -> Simulation {
        let set = settings(scenario.parameters());
        let (file, fingerprint) = (scenario.path().to_path_buf(), scenario.fingerprint());
        let wanted = Wanted::Scenario { file, set, fingerprint };
        let command = move || {
            let mut command = process::this_program()?;
            wanted.ask(&mut command);
            Ok(command)
        };
        let processes = Processes::new(command).memory_bytes_max(scenario.memory_bytes_max());
        let all = scenario.isolation() == Isolation::Process;
        scenario.simulation().hang_after(self.hang_after).on_bare_threads().with_processes(processes, all)
    }
}

/// A strategy that has nothing to decide is a mistake.
pub(crate) fn refuse_idle_strategy(scenario: &Scenario, world: &World) -> Result<(), Stop> {
    match world.strategy {
        Some(strategy) if strategy != StrategyChoice::default() && !scenario.capabilities().order_sites => {
            Err(Stop::Input(miette::miette!(
                help = "leave --strategy out",
                "{}: the engine of its program draws the order of what is due at one instant itself: the strategy {strategy} has nothing to decide",
                world.file.display()
            )))
        }
        _ => Ok(()),
    }
}

/// The settings over the scenario's own, as they are given.
pub(crate) fn settings(parameters: &Parameters) -> Vec<String> {
    parameters.iter().map(|(key, value)| format!("{key}={value}")).collect()
}
