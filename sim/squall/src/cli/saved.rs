//! Failure files of scenarios: where they lie, and the scenario that one is of.

use std::path::{Path, PathBuf};

use squall_campaign::failure_file::FailureFile;
use squall_trace::{Outcome, Plan, Record};

use super::exit::Stop;
use super::output;
use super::programs::{Programs, settings};
use crate::determinism::cut_off;
use crate::failures::{REGRESSIONS, file_name_of};
use crate::runner::Simulation;
use crate::scenario::{Isolation, Scenario};
use crate::testing::is_same;

/// Where they are written in CI, to be uploaded.
pub const CI_DIRECTORY: &str = "target/squall";

/// Where the failures of a scenario are kept.
pub fn kept_directory(scenario: &str) -> PathBuf {
    Path::new(REGRESSIONS).join(file_name_of(scenario))
}

/// Where new ones are written: below `out`, in CI below `target/squall`, else where they are kept.
pub fn new_directory(out: Option<&Path>, scenario: &str) -> PathBuf {
    let in_ci = std::env::var_os("CI").is_some_and(|value| !value.is_empty() && value != "false" && value != "0");
    match out {
        Some(out) => out.join(file_name_of(scenario)),
        None if in_ci => Path::new(CI_DIRECTORY).join(file_name_of(scenario)),
        None => kept_directory(scenario),
    }
}

/// Says what became of a file that had to make room.
pub fn tell_aside(path: &Path, aside: Option<&Path>) {
    if let Some(aside) = aside {
        output::complain(&format!("note: what {} said before is in {}", path.display(), aside.display()));
    }
}

/// A failure file with its scenario.
#[derive(Clone)]
pub struct Saved {
    pub file: FailureFile,
    pub scenario: Scenario,
}

impl Saved {
    /// Reads a failure file and the scenario that it names.
    pub fn load(path: &Path, programs: &Programs) -> Result<Saved, Stop> {
        let file = FailureFile::read(path).map_err(|error| Stop::Input(miette::miette!("{error}")))?;
        let Some(scenario_file) = &file.file else {
            return Err(Stop::Input(miette::miette!(
                help = file.test_command(&super::quoted(&path.display().to_string())),
                "{}: it is a failure of the test {}, not of a scenario",
                path.display(),
                file.scenario
            )));
        };
        let Some(scenario_path) = find_scenario(path, scenario_file) else {
            return Err(Stop::Input(miette::miette!(
                help = "run it where the scenario's path leads to it, or mend the path in the file",
                "{}: its scenario {} isn't here, nor beside the failure or above it",
                path.display(),
                scenario_file.display()
            )));
        };
        let scenario = programs.load(&scenario_path, &settings(&file.parameters)).map_err(|error| {
            // It was read before; if it can't be any more, the mistake is told without its place.
            let error = error.in_parameters_of(path, &std::fs::read_to_string(path).unwrap_or_default());
            let scenario = scenario_path.display();
            let what = format!("{}: its scenario {scenario} can't be read with its settings", path.display());
            Stop::Input(miette::Report::new(error).wrap_err(what))
        })?;
        if scenario.name() != file.scenario {
            return Err(Stop::Input(miette::miette!(
                "{}: it is a failure of scenario {:?}, and {} is {:?}",
                path.display(),
                file.scenario,
                scenario_path.display(),
                scenario.name()
            )));
        }
        Ok(Saved { file, scenario })
    }

    /// Runs it once. Where threads may be left, it is run again, and left they are if that is another run: from there on the failure is
    /// one of processes.
    pub fn run_first(mut self, programs: &Programs) -> Result<(Saved, Simulation, Outcome), Stop> {
        let mut simulation = programs.simulation(&self.scenario);
        let mut outcome = simulation.try_run_plan(&self.plan(), Record::Perturbations)?;
        if self.scenario.isolation() == Isolation::Auto {
            let again = simulation.try_run_plan(&self.plan(), Record::Digest)?;
            if !is_same(&outcome, &again) && cut_off(&outcome, &again).is_none() {
                output::complain(&format!("note: {}", crate::isolation::LEAVING_THREADS));
                self.scenario = programs.leave_threads(&self.scenario)?;
                self.file.parameters.clone_from(self.scenario.parameters());
                simulation = programs.simulation(&self.scenario);
                outcome = simulation.try_run_plan(&self.plan(), Record::Perturbations)?;
            }
        }
        Ok((self, simulation, outcome))
    }

    /// The plan that it holds.
    pub fn plan(&self) -> Plan {
        self.file.plan()
    }
}

/// The scenario's path as it is, or from a directory above the failure file: another checkout, another place to call from.
fn find_scenario(failure: &Path, scenario: &Path) -> Option<PathBuf> {
    if scenario.is_file() {
        return Some(scenario.to_path_buf());
    }
    let failure = std::path::absolute(failure).ok()?;
    failure.ancestors().skip(1).map(|above| above.join(scenario)).find(|path| path.is_file())
}
