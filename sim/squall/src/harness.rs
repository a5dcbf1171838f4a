//! A project's scenarios as tests: what `squall::main!` makes of a target with `harness = false`.
//!
//! The target is a runner that `cargo test` and cargo-nextest take for libtest's: bare words are filters, and `--list`, `--exact`,
//! `--skip` and `--test-threads` do what they always do. Its trials, for each scenario file in `scenarios/` (or in the folder that the
//! macro is told):
//!
//! | trial | runs |
//! |---|---|
//! | `NAME::seeds::A..B` | a block of the scenario's seeds: 16 blocks at the most, of 100 seeds at the least |
//! | `NAME::expects::PROPERTY` | all seeds of a scenario that is there to fail: that property must fail, and nothing else |
//! | `NAME::goals` | the scenario's seeds until every goal was reached ([`reachable!`](crate::reachable), [`sometimes`](crate::property::sometimes)); not there if there are none |
//! | `NAME::regression::FILE` | a failure that is kept below `squall-regressions/NAME/` |
//! | `NAME::scenario-file` | nothing: the file can't be read, and this says why |
//!
//! A block ends with the first seed that doesn't pass. It is shrunk, saved below `target/squall/NAME/`, and the first line of the message
//! is the command that runs it again. Unknown and stale are no passes.
//!
//! | variable | does |
//! |---|---|
//! | `SQUALL_SEED=0x2a` | runs that seed alone, in the block that it belongs to or in one of its own, and prints its timeline; the other blocks are ignored |
//! | `SQUALL_SEEDS=0..5000` | runs these seeds instead of each scenario's own |
//! | `SQUALL_REPLAY=FILE` | there is one trial, `replay`: the failure that was saved in that file, with its timeline |
//! | `SQUALL_SHRINK=0` | leaves failures as they are: they are neither shrunk nor saved |
//! | `SQUALL_HANG_AFTER`, `SQUALL_JOBS` | as in [`crate::testing`]; a block is one job, and the runner has as many threads as it is told |
//!
//! Under `cargo squall` the same target is the whole command line ([`crate::cli`]).

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::AtomicBool;

use libtest_mimic::{Arguments, Conclusion, Failed, Trial};
use squall_campaign::failure_file::{FailureFile, Found, Origin};
use squall_reports::render_timeline;
use squall_trace::{Digest, Outcome, Plan, Record, Seed, Trace, Verdict};

use crate::cli::exit::Stop;
use crate::cli::{self, Programs, Saved};
use crate::determinism::cut_off;
use crate::explore::{Counted, Explored, NoWatch, Settings, Watch, WatchEnded};
use crate::failures::{self, Patience, REGRESSIONS, entries_in_words, found_in_words, kept_aside};
use crate::isolation::LEAVING_THREADS;
use crate::runner::Simulation;
use crate::scenario::{Isolation, Program, Scenario};
use crate::testing::{
    self, Problem, SHRINK_FOR, STYLE, Search, describe_outcome, hang_after, is_hung, is_same, jobs, note,
    package_option, shrinks, target_directory, variable, worse_of,
};
use squall_campaign::seeds::SeedRange;

/// Set by `cargo squall`: the target is the command line then. How it was called, for commands that are shown.
pub const COMMAND_LINE_VARIABLE: &str = "SQUALL_COMMAND_LINE";

/// So many blocks at the most are made of a scenario's seeds.
const BLOCKS_MAX: u64 = 16;

/// So many seeds at the least are in a block, but for the last one.
const BLOCK_SEEDS_MIN: u64 = 100;

/// Runs the tests that the process's arguments ask for, or, under `cargo squall`, its command. `build` is
/// [`build_identity!()`](crate::build_identity), `target` is the name of the test target, and `directory` holds the scenario files.
pub fn main(
    programs: impl IntoIterator<Item = Program>,
    build: Digest,
    target: &'static str,
    directory: &str,
) -> ExitCode {
    if std::env::var_os(COMMAND_LINE_VARIABLE).is_some() {
        return cli::main(programs, build);
    }
    let programs: Vec<Program> = programs.into_iter().map(|program| program.of_build(build)).collect();
    // Before any thread is started: runs may be copied from this process.
    cli::serve_if_wanted(&programs);
    // A file that can't be written is an error like any other.
    squall_hermetic::process::end_by_file_size_limit(false);
    cli::keep_run_threads_quiet();
    let arguments = Arguments::from_args();
    if arguments.test_threads == Some(0) {
        // As libtest has it.
        cli::output::complain("error: argument for --test-threads must not be 0");
        return ExitCode::from(101);
    }
    if let Err(error) = testing::check_variables() {
        cli::output::complain(&format!("error: {error}"));
        return ExitCode::from(cli::exit::USAGE);
    }
    crate::process::tell_who_ends_it();
    let programs = Programs { list: programs, hang_after: hang_after(), leave_threads: false };
    let harness = Harness { programs, target };
    conclude(libtest_mimic::run(&arguments, harness.trials(Path::new(directory), &arguments)))
}

fn conclude(conclusion: Conclusion) -> ExitCode {
    // Threads of runs that hang may be left: they must not keep the process.
    std::process::exit(if conclusion.has_failed() { 101 } else { 0 })
}

#[derive(Clone)]
struct Harness {
    programs: Programs,
    target: &'static str,
}

/// What a trial comes to: what is said of a failure.
type Tried = Result<(), String>;

fn trial(name: String, run: impl FnOnce() -> Tried + Send + 'static) -> Trial {
    Trial::test(name, move || run().map_err(Failed::from))
}

impl Harness {
    fn trials(&self, directory: &Path, arguments: &Arguments) -> Vec<Trial> {
        if let Some(path) = std::env::var_os("SQUALL_REPLAY") {
            return vec![self.saved_trial("replay".to_string(), PathBuf::from(path), None, true)];
        }
        let only = arguments.filter.as_ref().filter(|_| arguments.exact);
        let files = match cli::scenario_files(&[directory.to_path_buf()]) {
            Ok(files) if !files.is_empty() => files,
            _ => {
                let text = format!("there is no scenario file (NAME.toml) in {}", directory.display());
                return vec![trial("scenarios".to_string(), move || Err(text))];
            }
        };
        let mut trials = Vec::new();
        for file in files {
            let name = file.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            // One that is asked for by its name needs no other world.
            if only.is_none_or(|only| only.split("::").next() == Some(&*name)) {
                self.scenario_trials(&name, &file, &mut trials);
            }
        }
        trials
    }

    fn scenario_trials(&self, name: &str, file: &Path, trials: &mut Vec<Trial>) {
        let scenario = match self.programs.load(file, &[]) {
            Ok(scenario) => scenario,
            Err(error) => {
                let text = format!("{:?}", miette::Report::new(error));
                return trials.push(trial(format!("{name}::scenario-file"), move || Err(text)));
            }
        };
        let kept = Path::new(REGRESSIONS).join(failures::file_name_of(name));
        for path in failures::list(&kept) {
            // From there, as it may lie in a directory of its own.
            let below = path.strip_prefix(&kept).unwrap_or(&path).with_extension("");
            let parts: Vec<_> = below.components().map(|part| part.as_os_str().to_string_lossy()).collect();
            let trial = format!("{name}::regression::{}", parts.join("/"));
            trials.push(self.saved_trial(trial, path, scenario.expect().map(str::to_string), false));
        }
        let seeds = variable::<SeedRange>("SQUALL_SEEDS").unwrap_or(scenario.seeds());
        let alone = variable::<Seed>("SQUALL_SEED");
        if let Some(property) = scenario.expect().map(str::to_string) {
            let (harness, name) = (self.clone(), format!("{name}::expects::{property}"));
            let trial_name = name.clone();
            let run = move || match alone {
                Some(seed) => harness.alone(&scenario, seed, Some(&property), &trial_name),
                None => harness.expects(&scenario, seeds, &property, &trial_name),
            };
            return trials.push(trial(name, run));
        }
        if !scenario.goals().is_empty() && seeds.len() > 1 {
            let (harness, scenario, name) = (self.clone(), scenario.clone(), format!("{name}::goals"));
            let run = move || harness.reaches(&scenario, seeds);
            trials.push(trial(name, run).with_ignored_flag(alone.is_some()));
        }
        let blocks = blocks(seeds);
        if let Some(seed) = alone
            && !blocks.iter().any(|block| block.contains(seed))
        {
            let (harness, scenario, name) = (self.clone(), scenario.clone(), format!("{name}::seeds::{seed}"));
            let trial_name = name.clone();
            trials.push(trial(name, move || harness.alone(&scenario, seed, None, &trial_name)));
        }
        for block in blocks {
            let (harness, scenario, name) = (self.clone(), scenario.clone(), format!("{name}::seeds::{block}"));
            let trial_name = name.clone();
            let run = move || match alone {
                Some(seed) => harness.alone(&scenario, seed, None, &trial_name),
                None => harness.block(&scenario, block, &trial_name),
            };
            // Nothing of one that doesn't have the seed is run: it hasn't passed.
            let is_ignored = alone.is_some_and(|seed| !block.contains(seed));
            trials.push(trial(name, run).with_ignored_flag(is_ignored));
        }
    }

    /// A failure that was saved. It is read now: where there are several threads, no world can be tried in a copy of the process.
    fn saved_trial(&self, name: String, path: PathBuf, expect: Option<String>, shown: bool) -> Trial {
        let saved = Saved::load(&path, &self.programs).map_err(Stop::in_words);
        let harness = self.clone();
        trial(name, move || harness.replay(saved?, &path, expect.as_deref(), shown))
    }

    /// Runs a block of seeds up to the first that doesn't pass.
    fn block(&self, scenario: &Scenario, block: SeedRange, trial: &str) -> Tried {
        let find = |search: &Search| search.first_problem(block, 1);
        match self.find(scenario, &find)? {
            Some(finding) => Err(self.tell(&finding, trial)),
            None => Ok(()),
        }
    }

    /// Runs one seed and prints its timeline. It must pass, or fail as its scenario is there to fail.
    fn alone(&self, scenario: &Scenario, seed: Seed, expect: Option<&str>, trial: &str) -> Tried {
        let show = |trace: &Trace| note(render_timeline(trace, STYLE).trim_end());
        let find = |search: &Search| search.check_first(seed, show).map(|problem| (seed, problem));
        match self.find(scenario, &find)? {
            Some(Finding { problem: Problem::Judged(outcome), .. })
                if expect.is_some() && outcome.verdict.property() == expect =>
            {
                Ok(())
            }
            Some(finding) => Err(self.tell(&finding, trial)),
            None => Ok(()),
        }
    }

    /// Looks for a seed that doesn't pass: on threads, and where those don't repeat a run and may be left, in processes.
    fn find(
        &self,
        scenario: &Scenario,
        find: &dyn Fn(&Search) -> Option<(Seed, Problem)>,
    ) -> Result<Option<Finding>, String> {
        let in_world = |scenario: Scenario| {
            let simulation = self.programs.simulation(&scenario);
            let plan = scenario.plan(Seed(0), Default::default());
            let search = Search { simulation, plan, goals: Default::default() };
            let (seed, problem) = find(&search)?;
            Some(Finding { scenario, simulation: search.simulation, seed, problem })
        };
        match in_world(scenario.clone()) {
            Some(Finding { seed, problem: Problem::NotRepeated(parted), .. })
                if scenario.isolation() == Isolation::Auto =>
            {
                note(&format!("squall: {}, seed {seed}: {LEAVING_THREADS}\n{parted}\n", scenario.name()));
                Ok(in_world(self.leave_threads(scenario)?))
            }
            found => Ok(found),
        }
    }

    fn leave_threads(&self, scenario: &Scenario) -> Result<Scenario, String> {
        self.programs.leave_threads(scenario).map_err(|error| Stop::from(error).in_words())
    }

    /// What is said of a seed that doesn't pass. A failure is shrunk and saved.
    fn tell(&self, finding: &Finding, trial: &str) -> String {
        format!("{}{}", self.seed_command(finding.seed, trial), self.described(finding))
    }

    /// The command that runs a seed again, and an empty line.
    fn seed_command(&self, seed: Seed, trial: &str) -> String {
        format!("SQUALL_SEED={seed} {}\n\n", self.command(trial))
    }

    /// The same without that command.
    fn described(&self, finding: &Finding) -> String {
        let Finding { scenario, seed, problem, .. } = finding;
        let mut text = String::new();
        // Writing to a String can't fail.
        let _ = problem.describe(&mut text, &format!("seed {seed} of {}", scenario.path().display()));
        if let Problem::Judged(outcome) = problem
            && matches!(outcome.verdict, Verdict::Fail(_))
            && shrinks()
        {
            text.push('\n');
            text.push_str(&self.shrunk(finding, outcome));
        }
        text
    }

    /// What a failing seed comes down to, and the command that runs exactly that.
    fn shrunk(&self, finding: &Finding, outcome: &Outcome) -> String {
        static NEVER: AtomicBool = AtomicBool::new(false);
        let Finding { scenario, simulation, seed, .. } = finding;
        let plan: Plan = scenario.plan(*seed, Default::default());
        let file = failures::portable(scenario.path());
        let origin = Origin { file: Some(&file), build: scenario.build() };
        // Each try would take as long as it takes to see that a run hangs.
        let (file, words) = if is_hung(outcome) {
            (FailureFile::whole(origin, &plan, outcome.digest, &outcome.verdict), String::new())
        } else {
            let mut patience = Patience::new(SHRINK_FOR, u64::MAX, &NEVER);
            match failures::shrink_and_explain(simulation, &plan, &mut patience) {
                Ok(told) => (FailureFile::shrunk(origin, &told.shrunk), format!("{}\n", told.in_words().trim_end())),
                Err(reason) => (
                    FailureFile::whole(origin, &plan, outcome.digest, &outcome.verdict),
                    format!("it can't be shrunk: {reason}\n"),
                ),
            }
        };
        let directory = target_directory().join("squall").join(failures::file_name_of(scenario.name()));
        let path = directory.join(failures::file_name(&file));
        let saved = match file.write_unless_known(&path) {
            Ok(aside) => format!("{}{}", self.replay_command(&path), kept_aside(aside.as_deref())),
            Err(error) => format!("(it can't be saved: {}: {error})", path.display()),
        };
        format!("{words}{saved}")
    }

    /// Runs a saved failure, twice. It must be mended by now, or fail as its scenario is there to fail.
    fn replay(&self, mut saved: Saved, path: &Path, expect: Option<&str>, shown: bool) -> Tried {
        let run_twice = |saved: &Saved| {
            let simulation = self.programs.simulation(&saved.scenario);
            let run = || simulation.try_run_plan(&saved.plan(), Record::Full).map_err(|error| error.to_string());
            Ok::<(Outcome, Outcome), String>((run()?, run()?))
        };
        let differs = |(first, again): &(Outcome, Outcome)| !is_same(first, again) && cut_off(first, again).is_none();
        let mut both = run_twice(&saved)?;
        if differs(&both) && saved.scenario.isolation() == Isolation::Auto {
            note(&format!("squall: {}: {LEAVING_THREADS}", path.display()));
            saved.scenario = self.leave_threads(&saved.scenario)?;
            both = run_twice(&saved)?;
        }
        let differs = differs(&both);
        let (mut outcome, again) = both;
        if cut_off(&outcome, &again).is_some() {
            outcome = worse_of(outcome, again.clone());
        }
        if let (true, Some(trace)) = (shown, &outcome.trace) {
            note(render_timeline(trace, STYLE).trim_end());
        }
        let found = Found::new(&saved.file, &outcome);
        let mut text = format!("{}\n\n", self.replay_command(path));
        if differs {
            text.push_str(&format!("it does not repeat itself\n{}", testing::where_they_part(&outcome, &again)));
            return Err(text);
        }
        let as_expected = expect.is_some() && outcome.verdict.property() == expect;
        if found.is_stale() || !(as_expected || outcome.verdict == Verdict::Pass) {
            text.push_str(&format!(
                "{}\n{}",
                found_in_words(found, &saved.file, &outcome),
                entries_in_words(&saved.file)
            ));
            let _ = describe_outcome(&mut text, &outcome, "the saved failure");
            return Err(text);
        }
        Ok(())
    }

    fn command(&self, trial: &str) -> String {
        format!("cargo test {}--test {} -- {trial} --exact", package_option(), self.target)
    }

    fn replay_command(&self, path: &Path) -> String {
        format!("SQUALL_REPLAY={} {}", cli::quoted(&path.display().to_string()), self.command("replay"))
    }

    /// Runs a scenario that is there to fail.
    fn expects(&self, scenario: &Scenario, seeds: SeedRange, property: &str, trial: &str) -> Tried {
        let mut scenario = scenario.clone();
        let mut explored = self.explored(&scenario, seeds)?;
        if let (Some(seed), Isolation::Auto) = (explored.first_unrepeated, scenario.isolation()) {
            note(&format!("squall: {}, seed {seed}: {LEAVING_THREADS}", scenario.name()));
            scenario = self.leave_threads(&scenario)?;
            explored = self.explored(&scenario, seeds)?;
        }
        if let Err(said) = came_as_expected(&explored, property) {
            // The seed that shows it, told as that of any other trial. Where the property doesn't fail at all, there is none.
            let Some(seed) = first_unexpected(&explored, property) else { return Err(said) };
            let simulation = self.programs.simulation(&scenario);
            let plan = scenario.plan(seed, Default::default());
            let search = Search { simulation, plan, goals: Default::default() };
            let described = search.check(seed, true).map_or_else(String::new, |problem| {
                let simulation = search.simulation;
                format!("\n\n{}", self.described(&Finding { scenario, simulation, seed, problem }))
            });
            return Err(format!("{}{said}{described}", self.seed_command(seed, trial)));
        }
        all_reached(&scenario, seeds, &explored)
    }

    /// Runs seeds until every goal was reached. Whether they pass is asked elsewhere.
    fn reaches(&self, scenario: &Scenario, seeds: SeedRange) -> Tried {
        struct UntilReached<'g>(&'g [String]);
        impl Watch for UntilReached<'_> {
            fn on_counted(&mut self, _: &Counted, so_far: &Explored) -> Result<(), WatchEnded> {
                let all = unreached(self.0, so_far).next().is_none();
                if all { Err(WatchEnded) } else { Ok(()) }
            }
        }
        let explored = self.explored_until(scenario, seeds, &mut UntilReached(scenario.goals()))?;
        all_reached(scenario, seeds, &explored)
    }

    fn explored(&self, scenario: &Scenario, seeds: SeedRange) -> Result<Explored, String> {
        self.explored_until(scenario, seeds, &mut NoWatch)
    }

    fn explored_until(&self, scenario: &Scenario, seeds: SeedRange, watch: &mut dyn Watch) -> Result<Explored, String> {
        static NEVER: AtomicBool = AtomicBool::new(false);
        let jobs = usize::try_from(jobs()).unwrap_or(usize::MAX);
        let settings = Settings { seeds, jobs, time_max: None, failures_max: None };
        let plan = |seed| scenario.plan(seed, Default::default());
        let simulation = self.programs.simulation(scenario);
        let explored = crate::explore::explore(&simulation, &plan, settings, &NEVER, watch);
        explored.map_err(|error| error.to_string())
    }
}

/// A seed of a scenario that doesn't pass.
struct Finding {
    scenario: Scenario,
    simulation: Simulation,
    seed: Seed,
    problem: Problem,
}

fn came_as_expected(explored: &Explored, property: &str) -> Tried {
    let failed: Vec<&str> = explored.groups.keys().map(|property| &**property).collect();
    let seen = || format!("{} runs: {} failed, {} unknown", explored.runs, explored.failed, explored.unknown);
    if let Some(seed) = explored.first_unrepeated {
        return Err(format!("seed {seed} does not repeat itself"));
    }
    match &*failed {
        [] => Err(format!("expected {property} to fail, but it didn't; {}", seen())),
        [only] if *only == property && explored.unknown == 0 => Ok(()),
        _ => Err(format!("expected only {property} to fail, but these did: {}; {}", failed.join(", "), seen())),
    }
}

/// The first seed of a scenario that is there to fail by that property, and failed by another one, came to nothing that anybody knows, or
/// didn't repeat itself.
fn first_unexpected(explored: &Explored, property: &str) -> Option<Seed> {
    let others = explored.groups.iter().filter(|(failed, _)| ***failed != *property).map(|(_, group)| group.seed);
    let unknown = explored.first_unknown.as_ref().map(|(seed, _)| *seed);
    explored.first_unrepeated.or(others.min()).or(unknown)
}

/// The goals that no run reached.
fn unreached<'g>(goals: &'g [String], explored: &'g Explored) -> impl Iterator<Item = &'g String> {
    let is_reached = |goal: &&String| explored.goals.iter().any(|known| *known.name == **goal && known.count.runs > 0);
    goals.iter().filter(move |goal| !is_reached(goal))
}

fn all_reached(scenario: &Scenario, seeds: SeedRange, explored: &Explored) -> Tried {
    let unreached: Vec<String> = unreached(scenario.goals(), explored).cloned().collect();
    if unreached.is_empty() || seeds.len() == 1 {
        return Ok(());
    }
    let mut text = String::new();
    // Writing to a String can't fail.
    let _ = testing::write_unreached(&mut text, &format!("seeds {seeds} of {}", scenario.path().display()), &unreached);
    Err(text)
}

/// Seeds in blocks that don't depend on anything else.
fn blocks(seeds: SeedRange) -> Vec<SeedRange> {
    let length = seeds.len().div_ceil(BLOCKS_MAX).max(BLOCK_SEEDS_MIN);
    let starts = (0..seeds.len().div_ceil(length)).map(|block| seeds.start() + block * length);
    starts.map(|start| SeedRange::new(start, start.saturating_add(length).min(seeds.end()))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_as_many_and_as_long_as_they_may_be() {
        for (seeds, count, first, last) in [
            ((0, 1), 1, (0, 1), (0, 1)),
            ((0, 100), 1, (0, 100), (0, 100)),
            ((0, 101), 2, (0, 100), (100, 101)),
            ((5, 1_605), 16, (5, 105), (1_505, 1_605)),
            ((0, 1_601), 16, (0, 101), (1_515, 1_601)),
            ((0, u64::MAX), 16, (0, 1 << 60), (15 << 60, u64::MAX)),
        ] {
            let blocks = blocks(SeedRange::new(seeds.0, seeds.1));
            assert_eq!(blocks.len(), count, "{seeds:?}");
            assert_eq!(blocks[0], SeedRange::new(first.0, first.1));
            assert_eq!(blocks[count - 1], SeedRange::new(last.0, last.1));
            assert!(blocks.windows(2).all(|pair| pair[0].end() == pair[1].start()), "no seed is left out");
        }
    }
}
