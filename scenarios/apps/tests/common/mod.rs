//! What tests of the applications share.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Output};

use squall::Simulation;
use squall::scenario::Scenario;
use squall::trace::{Plan, Record, Seed, StrategyChoice, Verdict};
use squall_apps::programs;

pub fn load(file: &str, set: &[&str]) -> (Scenario, Simulation) {
    let path = format!("{}/{file}", env!("CARGO_MANIFEST_DIR"));
    let set: Vec<String> = set.iter().map(ToString::to_string).collect();
    let scenario = Scenario::load(path, &programs(), &set).unwrap_or_else(|error| panic!("{}", error.lines()));
    let simulation = scenario.simulation();
    (scenario, simulation)
}

pub fn plan(scenario: &Scenario, seed: u64) -> Plan {
    scenario.plan(Seed(seed), StrategyChoice::default())
}

/// Each of the first seeds passes, and one in ten is run again, after others, and is the same.
pub fn holds(file: &str, seeds: u64) {
    holds_with(file, &[], seeds);
}

/// As [`holds`], with other settings.
pub fn holds_with(file: &str, set: &[&str], seeds: u64) {
    let (scenario, simulation) = load(file, set);
    assert_eq!(scenario.expect(), None);
    let mut kept = Vec::new();
    for seed in 0..seeds {
        let outcome = simulation.run_plan(&plan(&scenario, seed), Record::Digest);
        assert_eq!(outcome.verdict, Verdict::Pass, "seed {seed}");
        if seed % 10 == 0 {
            kept.push((seed, outcome.digest));
        }
    }
    for (seed, digest) in kept {
        assert_eq!(simulation.run_plan(&plan(&scenario, seed), Record::Digest).digest, digest, "seed {seed}");
    }
}

/// How many of the first seeds break which property. A failing run is the same when it is made again.
pub fn broken(file: &str, set: &[&str], seeds: u64) -> BTreeMap<String, u64> {
    let (scenario, simulation) = load(file, set);
    let mut broken = BTreeMap::new();
    for seed in 0..seeds {
        let outcome = simulation.run_plan(&plan(&scenario, seed), Record::Digest);
        match &outcome.verdict {
            Verdict::Pass => continue,
            Verdict::Fail(failure) => *broken.entry(failure.property.clone()).or_default() += 1,
            Verdict::Unknown { message } => panic!("seed {seed}: {message}"),
        }
        assert_eq!(simulation.run_plan(&plan(&scenario, seed), Record::Digest).digest, outcome.digest, "seed {seed}");
    }
    broken
}

/// As [`broken`], of a scenario that is there to fail by one property.
pub fn fails_by(file: &str, property: &str, seeds: u64) -> u64 {
    assert_eq!(load(file, &[]).0.expect(), Some(property));
    let broken = broken(file, &[], seeds);
    assert!(broken.keys().all(|broken| broken == property), "{broken:?}");
    broken.values().sum()
}

/// What the command line says of it, and how it ends.
pub fn squall_apps(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_squall-apps"));
    for variable in ["SQUALL_SEED", "SQUALL_SEEDS", "SQUALL_JOBS", "SQUALL_HANG_AFTER", "GITHUB_ACTIONS"] {
        command.env_remove(variable);
    }
    // Failures go below target/.
    command.env("CI", "true").args(arguments);
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    command.current_dir(root).output().expect("it starts")
}
