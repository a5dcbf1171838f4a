//! `squall explore`: saved failures first, then many seeds; what fails is shrunk and saved; a summary.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use indicatif::{HumanDuration, ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};
use serde::Serialize;
use squall_campaign::failure_file::FailureFile;
use squall_reports::github::{annotations, summary};
use squall_reports::junit::{Case, Problem};
use squall_reports::{printable, render_timeline};
use squall_trace::{Outcome, Plan, Record, Seed, StrategyChoice, Trace, Verdict};

use super::arguments::{Explore, Patience as PatienceArguments, Seeds};
use super::exit::{self, Stop};
use super::interrupt;
use super::output::{self, Output, without_controls};
use super::run::{run_in_words, unwritable};
use super::saved::{self, Saved};
use crate::determinism::{self, Checked};
use crate::divergence::Divergence;
use crate::explore::{Counted, Explored, FAILURES_LISTED_MAX, Group, Listed, Settings, Watch, WatchEnded};
use crate::failures::{self, Found, Patience};
use crate::runner::{HANG_PROPERTY, Simulation};
use crate::scenario::{Isolation, Program, Scenario, format_duration};
use crate::seeds::SeedRange;
use crate::trace_file;

/// How many events of the first failure are shown.
const LINES_MAX: usize = 200;

/// How many traces are written for each property, where they are asked for.
const TRACES_OF_PROPERTY_MAX: u64 = 10;

/// How many seeds are named for each property.
const SEEDS_NAMED_MAX: usize = 5;

/// How many fresh seeds are taken where time is no limit: a power of two.
const FRESH_SEEDS: u64 = 1 << 10;

/// How many where time is the limit.
const FRESH_SEEDS_IN_TIME: u64 = 1 << 40;

#[derive(Serialize)]
struct Started<'s> {
    event: &'static str,
    scenario: &'s str,
    seeds: String,
    jobs: usize,
    strategy: StrategyChoice,
}

#[derive(Serialize)]
struct Failed<'f> {
    event: &'static str,
    seed: Seed,
    property: &'f str,
    message: &'f str,
    replay: String,
    /// Where it was saved, if it was shrunk.
    #[serde(skip_serializing_if = "Option::is_none")]
    file: Option<String>,
}

/// A failure that was saved before, run again.
#[derive(Serialize)]
struct Regression<'r> {
    event: &'static str,
    file: String,
    property: &'r str,
    outcome: &'static str,
    verdict: &'static str,
}

#[derive(Serialize)]
struct Diverged<'d> {
    event: &'static str,
    seed: Seed,
    circumstance: &'d str,
    step: u64,
    first: &'d str,
    second: &'d str,
}

#[derive(Serialize)]
struct Finished {
    event: &'static str,
    runs: u64,
    passed: u64,
    failed: u64,
    unknown: u64,
    seconds: f64,
    failures: Vec<FinishedFailure>,
}

#[derive(Serialize)]
struct FinishedFailure {
    seed: Seed,
    property: String,
    file: Option<String>,
    perturbations: usize,
}

pub fn explore(
    programs: &[Program],
    arguments: &Explore,
    hang_after: Duration,
    output: &mut Output,
) -> Result<u8, Stop> {
    let scenario = super::load(&arguments.world.file, programs, &arguments.world.set)?;
    if let Some(directory) = &arguments.out {
        prove_writable(directory)?;
    }
    if let Some(parent) = arguments.junit.as_deref().map(|path| path.parent().unwrap_or(Path::new(""))) {
        prove_writable(if parent == Path::new("") { Path::new(".") } else { parent })?;
    }
    let seeds = choose_seeds(arguments, &scenario)?;
    let jobs = arguments.jobs.map_or_else(processors, std::num::NonZeroUsize::get);
    let strategy = arguments.world.strategy.unwrap_or_default();
    output.json(&Started {
        event: "explore-started",
        scenario: scenario.name(),
        seeds: format!("{}..{}", Seed(seeds.start()), Seed(seeds.end())),
        jobs,
        strategy,
    })?;
    let plural = if jobs == 1 { "job" } else { "jobs" };
    let limit = match arguments.time {
        Some(time) => format!("for {}", format_duration(time)),
        None => format!("{} runs", seeds.len()),
    };
    output.text(&format!("{}: seeds {seeds}, {limit}, {jobs} {plural}, strategy {strategy}", scenario.name()))?;
    for (key, value) in scenario.parameters() {
        output.text(&without_controls(&format!("  {key} = {value}")))?;
    }
    output.flush()?;

    let begun = Instant::now();
    let simulation = super::simulation(&scenario, hang_after);
    let plan = |seed| scenario.plan(seed, strategy);
    let checked = match seeds.len() {
        0 => None,
        _ if arguments.no_check => None,
        _ => Some(check(arguments, hang_after, &simulation, &plan, Seed(seeds.start()))?),
    };
    let diverged = tell_checked(checked.as_ref(), Seed(seeds.start()), output)?;
    tell_randomised(&simulation);
    let may_leave_threads = scenario.isolation() == Isolation::Auto;
    if diverged && may_leave_threads {
        let arguments = in_processes(arguments, seeds, begun);
        return explore(programs, &arguments, hang_after, output);
    }

    let kept = replay_kept(programs, &scenario, hang_after, output)?;

    let mut watcher = Watcher {
        arguments,
        simulation: &simulation,
        plan: &plan,
        scenario: &scenario,
        may_leave_threads,
        progress: progress_bar(seeds, arguments),
        saved: BTreeMap::new(),
        traces: 0,
        unsaved: None,
        problem: None,
        output,
    };
    let settings = Settings {
        seeds,
        jobs,
        time_max: arguments.time,
        failures_max: arguments.max_failures.map(std::num::NonZeroU64::get),
    };
    let explored = crate::explore::explore(&simulation, &plan, settings, interrupt::flag(), &mut watcher);
    watcher.progress.finish_and_clear();
    let Watcher { saved, traces, unsaved, problem, output, .. } = watcher;
    if let Some(problem) = problem {
        return Err(problem);
    }
    let explored = explored?;
    if may_leave_threads && explored.first_unrepeated.is_some() {
        let arguments = in_processes(arguments, seeds, begun);
        return explore(programs, &arguments, hang_after, output);
    }
    let seconds = begun.elapsed().as_secs_f64();
    let campaign = Campaign { explored, first_seed: seeds.start(), kept, saved, traces, seconds };
    campaign.tell(&scenario, arguments, output)?;
    campaign.report(&scenario, arguments, diverged)?;
    if let Some(unsaved) = unsaved {
        output.flush()?;
        return Err(unsaved);
    }
    Ok(campaign.exit_code(scenario.expect(), diverged))
}

/// A failure that was saved before, run again.
struct Kept {
    path: PathBuf,
    said: String,
    found: Found,
    verdict: Verdict,
}

/// Runs what was saved before: what once failed is looked at first.
fn replay_kept(
    programs: &[Program],
    scenario: &Scenario,
    hang_after: Duration,
    output: &mut Output,
) -> Result<Vec<Kept>, Stop> {
    let mut all = Vec::new();
    for path in failures::list(&saved::kept_directory(scenario.name())) {
        if interrupt::requested() {
            break;
        }
        let Saved { file, scenario } = Saved::load(&path, programs)?;
        let outcome = super::simulation(&scenario, hang_after).try_run_plan(&file.plan(), Record::Digest)?;
        let found = Found::new(&file, &outcome);
        let said = found.in_words(&file, &outcome);
        output.text(&format!("{}: {said}", path.display()))?;
        output.json(&Regression {
            event: "regression",
            file: path.display().to_string(),
            property: &file.property,
            outcome: found.word(),
            verdict: outcome.verdict.word(),
        })?;
        all.push(Kept { path, said, found, verdict: outcome.verdict });
    }
    output.flush()?;
    Ok(all)
}

/// The same exploration, with a process for each run. What was said so far stands above.
fn in_processes(arguments: &Explore, seeds: SeedRange, begun: Instant) -> Explore {
    output::complain(&format!("note: {}", crate::isolation::LEAVING_THREADS));
    let mut arguments = arguments.clone();
    arguments.world.set.push("isolation=process".to_string());
    arguments.seeds = Some(Seeds::Range(seeds));
    arguments.time = arguments.time.map(|time| time.saturating_sub(begun.elapsed()));
    arguments
}

/// All that came of it.
struct Campaign {
    explored: Explored,
    first_seed: u64,
    kept: Vec<Kept>,
    /// The failure files by seed.
    saved: BTreeMap<Seed, SavedAs>,
    traces: usize,
    seconds: f64,
}

/// What became of a failure.
struct SavedAs {
    path: PathBuf,
    /// What is left of it, in words.
    words: String,
    perturbations: usize,
}

impl Campaign {
    /// Whether a saved failure fails that isn't there to fail.
    fn kept_fails(&self, expect: Option<&str>) -> bool {
        self.kept.iter().any(|kept| kept.verdict.property().is_some_and(|property| Some(property) != expect))
    }

    fn exit_code(&self, expect: Option<&str>, diverged: bool) -> u8 {
        if interrupt::requested() {
            exit::INTERRUPTED
        } else if diverged || self.explored.first_unrepeated.is_some() {
            exit::NONDETERMINISM
        } else if self.explored.runs == 0 && !self.kept_fails(expect) {
            exit::NOTHING_RAN
        } else if !self.came_as_expected(expect) {
            exit::PROPERTY_FAILED
        } else if self.explored.unknown > 0
            || self.kept.iter().any(|kept| matches!(kept.verdict, Verdict::Unknown { .. }))
        {
            exit::INCONCLUSIVE
        } else if self.kept.iter().any(|kept| matches!(kept.found, Found::Stale { .. })) {
            exit::STALE
        } else {
            exit::PASS
        }
    }

    /// The properties that failed.
    fn failed(&self) -> BTreeSet<&str> {
        let explored = self.explored.groups.keys().map(|property| &**property);
        explored.chain(self.kept.iter().filter_map(|kept| kept.verdict.property())).collect()
    }

    /// Whether that property failed that was to fail, and nothing else did.
    fn came_as_expected(&self, expect: Option<&str>) -> bool {
        self.failed() == expect.into_iter().collect()
    }
}

fn processors() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZeroUsize::get)
}

/// Whether files can be made below the directory, asked by making one.
fn prove_writable(directory: &Path) -> Result<(), Stop> {
    let probe = directory.join(format!(".squall.{}.probe", std::process::id()));
    std::fs::create_dir_all(directory)
        .and_then(|()| std::fs::write(&probe, b""))
        .and_then(|()| std::fs::remove_file(&probe))
        .map_err(|error| unwritable(directory, &error))
}

fn choose_seeds(arguments: &Explore, scenario: &Scenario) -> Result<SeedRange, Stop> {
    match (arguments.seeds, arguments.seed) {
        (Some(Seeds::Range(range)), _) => Ok(range),
        (Some(Seeds::Fresh), _) => {
            fresh_seeds(if arguments.time.is_some() { FRESH_SEEDS_IN_TIME } else { FRESH_SEEDS })
        }
        (None, Some(Seed(seed))) if seed < u64::MAX => Ok(SeedRange::new(seed, seed + 1)),
        (None, Some(_)) => Err(Stop::Input(miette::miette!("the last seed of all can't be explored alone; use run"))),
        (None, None) => {
            let seeds = scenario.seeds();
            let end = if arguments.time.is_some() { u64::MAX } else { seeds.end() };
            Ok(SeedRange::new(seeds.start(), end))
        }
    }
}

/// A range of `count` seeds (a power of two) that starts at a multiple of it.
fn fresh_seeds(count: u64) -> Result<SeedRange, Stop> {
    let word = getrandom::u64().map_err(|error| Stop::Own(format!("the system gives no entropy: {error}")))?;
    // The highest bit stays free, so that the end is a number too.
    let start = (word >> 1) & !(count - 1);
    Ok(SeedRange::new(start, start + count))
}

fn check(
    arguments: &Explore,
    hang_after: Duration,
    simulation: &Simulation,
    plan: &dyn Fn(Seed) -> Plan,
    seed: Seed,
) -> Result<Checked, Stop> {
    let other = Seed(seed.0.wrapping_add(1));
    let (checked, trace) = determinism::check_in_this_process(simulation, &plan(seed), &plan(other))?;
    match (checked, trace) {
        (Checked::Same, Some(trace)) => Ok(check_elsewhere(arguments, hang_after, &trace)),
        (checked, _) => Ok(checked),
    }
}

/// The same run by `squall run` in a fresh process.
fn check_elsewhere(arguments: &Explore, hang_after: Duration, first: &Trace) -> Checked {
    let prepared = std::env::current_exe().and_then(|program| Ok((program, tempfile::tempdir()?)));
    let (program, directory) = match prepared {
        Ok(prepared) => prepared,
        Err(error) => return Checked::NotDone(format!("a fresh process can't be started: {error}")),
    };
    let path = directory.path().join("fresh.trace.zst");
    let mut command = std::process::Command::new(program);
    command.arg("run").arg(&arguments.world.file).args(["--message-format", "json", "--seed"]);
    command.arg(first.plan.seed.to_string()).arg("--trace").arg(&path);
    for setting in &arguments.world.set {
        command.arg("--set").arg(setting);
    }
    command.arg("--strategy").arg(first.plan.strategy.to_string());
    command.arg("--hang-after").arg(format_duration(hang_after));
    for variable in ["SQUALL_SEED", "SQUALL_SEEDS", "SQUALL_JOBS"] {
        command.env_remove(variable);
    }
    determinism::check_in_fresh_process(first, command, &path)
}

/// Whether the check found a difference.
fn tell_checked(checked: Option<&Checked>, seed: Seed, output: &mut Output) -> Result<bool, Stop> {
    match checked {
        None => Ok(false),
        Some(Checked::Same) => {
            output.text(&format!("seed {seed} repeats itself: after another seed, and in a fresh process"))?;
            output.flush()?;
            Ok(false)
        }
        Some(Checked::NotDone(why)) => {
            output::complain(&format!("note: the determinism check wasn't made: {}", without_controls(why)));
            Ok(false)
        }
        Some(Checked::Differs { circumstance, divergence }) => {
            let Divergence { step, first, second, .. } = divergence;
            let parted = without_controls(&divergence.to_string());
            output.text(&format!("NOT DETERMINISTIC: seed {seed}, {circumstance}: {parted}\n"))?;
            output.json(&Diverged { event: "nondeterminism", seed, circumstance, step: *step, first, second })?;
            output.flush()?;
            Ok(true)
        }
    }
}

/// Where processes don't begin alike, they don't do all that is asked of them.
fn tell_randomised(simulation: &Simulation) {
    if let Some(why) = simulation.randomised() {
        output::complain(&format!(
            "note: addresses aren't the same in each process: address randomisation can't be switched off here ({why})"
        ));
    }
}

fn progress_bar(seeds: SeedRange, arguments: &Explore) -> ProgressBar {
    use std::io::IsTerminal;
    let target =
        if std::io::stderr().is_terminal() { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
    let timed = arguments.time.is_some();
    let bar = ProgressBar::with_draw_target((!timed).then_some(seeds.len()), target);
    let template = if timed {
        "{spinner} {human_pos} runs, {rate}, {left} left, {msg}"
    } else {
        "{bar:30} {human_pos}/{human_len} runs, {rate}, {eta} left, {msg}"
    };
    let deadline = arguments.time.and_then(|time| Instant::now().checked_add(time));
    if let Ok(style) = ProgressStyle::with_template(template) {
        let style = style.with_key("rate", |state: &ProgressState, out: &mut dyn std::fmt::Write| {
            let _ = write!(out, "{:.0} a second", state.per_sec());
        });
        bar.set_style(style.with_key("left", move |_: &ProgressState, out: &mut dyn std::fmt::Write| {
            let left = deadline.map_or(Duration::ZERO, |deadline| deadline.saturating_duration_since(Instant::now()));
            // What can't be written on a terminal's line isn't missed.
            let _ = write!(out, "{}", HumanDuration(left));
        }));
    }
    bar.set_message(failed_in_words(&BTreeMap::new()));
    bar
}

/// The failures by property, the most frequent first, as far as a line holds them.
fn failed_in_words(groups: &BTreeMap<Arc<str>, Group>) -> String {
    const SHOWN_MAX: usize = 3;
    if groups.is_empty() {
        return "no failures".to_string();
    }
    let mut groups: Vec<(&str, u64)> = groups.iter().map(|(property, group)| (&**property, group.failures)).collect();
    groups.sort_by_key(|&(_, failures)| std::cmp::Reverse(failures));
    let shown = groups.iter().take(SHOWN_MAX);
    let times = |failures: u64| if failures == 1 { "once".to_string() } else { format!("{failures} times") };
    let mut words: Vec<String> =
        shown.map(|&(property, failures)| format!("{} {}", printable::line(property, 30), times(failures))).collect();
    if let more @ 1.. = groups.len().saturating_sub(SHOWN_MAX) {
        words.push(format!("{more} more"));
    }
    format!("failed: {}", words.join(", "))
}

/// A failure, as it is told.
struct Told {
    shrunk: Outcome,
    words: String,
}

struct Watcher<'w> {
    arguments: &'w Explore,
    simulation: &'w Simulation,
    plan: &'w dyn Fn(Seed) -> Plan,
    scenario: &'w Scenario,
    /// Ends with the first run that doesn't repeat itself, to begin again with processes.
    may_leave_threads: bool,
    progress: ProgressBar,
    saved: BTreeMap<Seed, SavedAs>,
    traces: usize,
    /// The first failure that couldn't be saved: it is told, and the search goes on.
    unsaved: Option<Stop>,
    /// Why nothing more was to be counted.
    problem: Option<Stop>,
    output: &'w mut Output,
}

impl Watch for Watcher<'_> {
    fn on_counted(&mut self, counted: &Counted, so_far: &Explored) -> Result<(), WatchEnded> {
        self.progress.set_position(so_far.runs);
        if !counted.repeats && so_far.first_unrepeated == Some(counted.seed) {
            self.on_unrepeated(counted.seed).map_err(|stop| {
                self.problem = Some(stop);
                WatchEnded
            })?;
            if self.may_leave_threads {
                return Err(WatchEnded);
            }
        }
        if let Verdict::Fail(_) = &counted.verdict {
            self.progress.set_message(failed_in_words(&so_far.groups));
            if so_far.failed <= FAILURES_LISTED_MAX as u64 {
                self.on_failure(counted, so_far).map_err(|stop| {
                    self.problem = Some(stop);
                    WatchEnded
                })?;
            }
        }
        Ok(())
    }
}

impl<'w> Watcher<'w> {
    fn on_failure(&mut self, counted: &Counted, so_far: &Explored) -> Result<(), Stop> {
        let Verdict::Fail(failure) = &counted.verdict else { return Ok(()) };
        let seed = counted.seed;
        let of_property = so_far.groups.get(&*failure.property).map_or(0, |group| group.failures);
        let hung = failure.property == HANG_PROPERTY;
        let is_kept = of_property == 1 && counted.repeats && !self.arguments.no_shrink;
        // One of each kind is shrunk: the others are the same again.
        let told = match is_kept {
            // Each try would take as long as it takes to see that a run hangs.
            true if hung => {
                let file = self.scenario_file();
                self.keep(seed, FailureFile::whole(file, &(self.plan)(seed), counted.digest, &counted.verdict))?;
                None
            }
            true => Some(self.shrink(seed)?),
            false => None,
        };
        let replay = match self.saved.get(&seed) {
            Some(saved) => format!("squall replay {}", super::quoted(&saved.path.display().to_string())),
            None => replay_command(self.arguments, seed),
        };
        self.output.json(&Failed {
            event: "failure",
            seed,
            property: &failure.property,
            message: &failure.message,
            replay: replay.clone(),
            file: self.saved.get(&seed).map(|saved| saved.path.display().to_string()),
        })?;
        let is_first = so_far.failed == 1 && !self.output.is_json();
        let is_traced = self.arguments.out.is_some() && of_property <= TRACES_OF_PROPERTY_MAX && !hung;
        if hung && is_first {
            // To run it again would take as long again, and leave nothing more.
            let said = format!("\nseed {seed}: FAIL {HANG_PROPERTY}\n{}", without_controls(&failure.message));
            return self.show(&said, &replay);
        }
        let style = self.output.style(Some(LINES_MAX), false);
        match told {
            Some(Told { shrunk, words }) => {
                let timeline = match is_first {
                    true => {
                        let timeline = shrunk.trace.as_ref().map(|trace| render_timeline(trace, style));
                        format!("\nthe first failure, seed {seed}, shrunk:\n\n{}\n", timeline.unwrap_or_default())
                    }
                    false => String::new(),
                };
                self.show(&format!("{timeline}{words}"), &replay)?;
            }
            None if is_first => {
                let outcome = self.simulation.try_run_plan(&(self.plan)(seed), Record::Full)?;
                let said = run_in_words(&outcome, style);
                self.show(&format!("\nthe first failure, seed {seed}:\n\n{said}"), &replay)?;
            }
            None => {}
        }
        if let (true, Some(directory)) = (is_traced, &self.arguments.out)
            && let Some(trace) = self.simulation.try_run_plan(&(self.plan)(seed), Record::Full)?.trace
        {
            let path = directory.join(format!("{}-{seed}.trace.zst", self.scenario.name()));
            trace_file::write(&path, &trace).map_err(|error| unwritable(&path, &error))?;
            self.traces += 1;
        }
        Ok(())
    }

    /// Shrinks a failing seed, saves what is left of it, and sees that the file repeats it.
    fn shrink(&mut self, seed: Seed) -> Result<Told, Stop> {
        let plan = (self.plan)(seed);
        let PatienceArguments { shrink_for, shrink_runs } = self.arguments.patience;
        self.progress.set_message(format!("shrinking seed {seed}"));
        let mut patience = Patience::new(shrink_for, shrink_runs, interrupt::flag());
        let (file, outcome, words) = match failures::shrink_and_explain(self.simulation, &plan, &mut patience) {
            Ok(shrunk) => {
                let words = shrunk.in_words();
                (FailureFile::shrunk(self.scenario_file(), &shrunk.shrunk), shrunk.shrunk.outcome, words)
            }
            Err(reason) => {
                let outcome = self.simulation.try_run_plan(&plan, Record::Full)?;
                let file = FailureFile::whole(self.scenario_file(), &plan, outcome.digest, &outcome.verdict);
                (file, outcome, format!("seed {seed} can't be shrunk: {reason}"))
            }
        };
        if let Some(path) = self.keep(seed, file)? {
            let again = FailureFile::read(&path).map_err(|error| Stop::Own(error.to_string()))?;
            let repeated = self.simulation.try_run_plan(&again.plan(), Record::Digest)?;
            if Found::new(&again, &repeated) != Found::Same {
                output::complain(&format!("note: {} doesn't repeat the run that it was made of", path.display()));
            }
        }
        Ok(Told { shrunk: outcome, words })
    }

    fn scenario_file(&self) -> Option<&'w Path> {
        Some(&self.arguments.world.file)
    }

    /// Saves a failure. Where, if it could be.
    fn keep(&mut self, seed: Seed, file: FailureFile) -> Result<Option<PathBuf>, Stop> {
        let directory = saved::new_directory(self.arguments.out.as_deref(), self.scenario.name());
        let path = directory.join(failures::file_name(&file.property, seed));
        if let Err(error) = file.write(&path) {
            self.unsaved.get_or_insert(unwritable(&path, &error));
            return Ok(None);
        }
        let words = failures::entries_in_words(&file);
        self.saved.insert(seed, SavedAs { path: path.clone(), words, perturbations: file.perturbations() });
        Ok(Some(path))
    }

    /// Tells where a seed's run parts from the same seed's run before.
    fn on_unrepeated(&mut self, seed: Seed) -> Result<(), Stop> {
        let (plan, other) = ((self.plan)(seed), (self.plan)(Seed(seed.0.wrapping_add(1))));
        let (checked, _) = determinism::check_in_this_process(self.simulation, &plan, &other)?;
        let output = &mut *self.output;
        self.progress.suspend(|| match checked {
            checked @ Checked::Differs { .. } => tell_checked(Some(&checked), seed, output).map(|_| ()),
            _ => Ok(()),
        })
    }

    fn show(&mut self, said: &str, replay: &str) -> Result<(), Stop> {
        let output = &mut *self.output;
        self.progress.suspend(|| {
            output.text(said)?;
            output.text(&format!("replay: {}\n", super::as_called(replay)))?;
            // A line between this and the summary.
            output.text("")?;
            output.flush()
        })
    }
}

fn replay_command(arguments: &Explore, seed: Seed) -> String {
    super::replay_command(&arguments.world.file, &arguments.world.set, arguments.world.strategy, seed)
}

impl Campaign {
    fn tell(&self, scenario: &Scenario, arguments: &Explore, output: &mut Output) -> Result<(), Stop> {
        let Campaign { explored, saved, seconds, .. } = self;
        for (seed, note) in &explored.notes {
            output::complain(&format!("note: seed {seed}: {}", without_controls(note)));
        }
        for fault in &explored.unreached_faults {
            output::complain(&format!(
                "note: {} happened in no run: each ended before it, or the node was down already",
                without_controls(fault)
            ));
        }
        output.text(&self.in_words(scenario.expect(), arguments))?;
        let of_seed = explored.failures.iter().map(|listed| {
            let saved = saved.get(&listed.seed);
            FinishedFailure {
                seed: listed.seed,
                property: listed.property.to_string(),
                file: saved.map(|saved| saved.path.display().to_string()),
                perturbations: saved.map_or(listed.perturbations, |saved| saved.perturbations),
            }
        });
        output.json(&Finished {
            event: "explore-finished",
            runs: explored.runs,
            passed: explored.passed,
            failed: explored.failed,
            unknown: explored.unknown,
            seconds: *seconds,
            failures: of_seed.collect(),
        })
    }

    /// For CI systems: what JUnit's readers and GitHub show.
    fn report(&self, scenario: &Scenario, arguments: &Explore, diverged: bool) -> Result<(), Stop> {
        let github = std::env::var_os("GITHUB_ACTIONS").is_some_and(|value| value == "true");
        if arguments.junit.is_none() && !github {
            return Ok(());
        }
        let cases = self.cases(scenario, arguments, diverged);
        let name = scenario.name();
        if let Some(path) = &arguments.junit {
            let unwritten = |error| Stop::Own(format!("{} can't be written: {error}", path.display()));
            let text = squall_reports::render_junit(name, self.seconds, &cases).map_err(unwritten)?;
            write_whole(path, &text).map_err(|error| unwritable(path, &error))?;
        }
        if github {
            for line in annotations(name, &arguments.world.file.display().to_string(), &cases) {
                output::complain(&without_controls(&line));
            }
            let Explored { runs, passed, failed, unknown, .. } = &self.explored;
            let runs = format!("{}: {passed} passed, {failed} failed, {unknown} unknown", counted_runs(*runs));
            if let Some(path) = std::env::var_os("GITHUB_STEP_SUMMARY").map(PathBuf::from)
                && let Err(error) = append(&path, &summary(name, &runs, &cases))
            {
                output::complain(&format!("note: the step's summary {} can't be written: {error}", path.display()));
            }
        }
        Ok(())
    }

    /// Each property and each kept failure, with what is wrong with it. A failure that is there to be isn't wrong.
    fn cases(&self, scenario: &Scenario, arguments: &Explore, diverged: bool) -> Vec<Case> {
        let Campaign { explored, kept, saved, .. } = self;
        let expect = scenario.expect();
        let runs = counted_runs(explored.runs);
        let mut cases = Vec::new();
        for kept in kept {
            let fails = kept.verdict.property().is_some_and(|property| Some(property) != expect);
            let wrong =
                fails || matches!(kept.verdict, Verdict::Unknown { .. }) || matches!(kept.found, Found::Stale { .. });
            let replay = format!("squall replay {}", super::quoted(&kept.path.display().to_string()));
            cases.push(Case {
                name: kept.path.display().to_string(),
                problem: wrong.then(|| Problem {
                    kind: kept.found.word().to_string(),
                    message: kept.said.lines().next().unwrap_or_default().to_string(),
                    text: format!("{}\nreplay: {}", kept.said, super::as_called(&replay)),
                }),
            });
        }
        let failed = explored.groups.keys().map(|property| &**property);
        let mut properties: BTreeSet<&str> =
            scenario.property_names().iter().map(String::as_str).chain(failed).collect();
        properties.extend(expect);
        for property in properties {
            let problem = match explored.groups.get(property) {
                Some(group) if Some(property) != expect => {
                    let replay = match saved.get(&group.seed) {
                        Some(saved) => format!("squall replay {}", super::quoted(&saved.path.display().to_string())),
                        None => replay_command(arguments, group.seed),
                    };
                    let words = saved.get(&group.seed).map_or("", |saved| &*saved.words);
                    Some(Problem {
                        kind: property.to_string(),
                        message: group.message.lines().next().unwrap_or_default().to_string(),
                        text: format!(
                            "in {} of {runs}, first with seed {}\n{}\n{words}\nreplay: {}",
                            group.failures,
                            group.seed,
                            group.message,
                            super::as_called(&replay)
                        ),
                    })
                }
                None if Some(property) == expect && !self.failed().contains(property) => Some(Problem {
                    kind: "not-found".to_string(),
                    message: format!("expected {property} to fail, but in {runs} it didn't"),
                    text: String::new(),
                }),
                _ => None,
            };
            cases.push(Case { name: property.to_string(), problem });
        }
        if let Some((seed, message)) = &explored.first_unknown {
            cases.push(Case {
                name: "conclusive".to_string(),
                problem: Some(Problem {
                    kind: "unknown".to_string(),
                    message: format!("nobody knows in {} of {runs}, first with seed {seed}", explored.unknown),
                    text: format!("{message}\nreplay: {}", super::as_called(&replay_command(arguments, *seed))),
                }),
            });
        }
        cases.push(Case {
            name: "repeats itself".to_string(),
            problem: explored.first_unrepeated.or(diverged.then_some(Seed(self.first_seed))).map(|seed| Problem {
                kind: "nondeterminism".to_string(),
                message: format!("seed {seed} was run a second time, and that run was another one"),
                text: format!("replay: {}", super::as_called(&replay_command(arguments, seed))),
            }),
        });
        cases
    }

    fn in_words(&self, expect: Option<&str>, arguments: &Explore) -> String {
        let Campaign { explored, kept, saved, traces, seconds, .. } = self;
        let mut text = String::new();
        for (property, group) in &explored.groups {
            let of_group = |listed: &&Listed| Arc::ptr_eq(&listed.property, property);
            let seeds: Vec<String> = explored
                .failures
                .iter()
                .filter(of_group)
                .take(SEEDS_NAMED_MAX)
                .map(|listed| listed.seed.to_string())
                .collect();
            let more = if group.failures > seeds.len() as u64 { ", …" } else { "" };
            text.push_str(&format!(
                "FAIL {} in {} of {}: seeds {}{more}\n",
                printable::line(property, 60),
                group.failures,
                counted_runs(explored.runs),
                seeds.join(", ")
            ));
            for said in printable::paragraph(&group.message, 100, 6) {
                text.push_str(&format!("    {said}\n"));
            }
            let replay = match saved.get(&group.seed) {
                Some(saved) => format!("squall replay {}", super::quoted(&saved.path.display().to_string())),
                None => replay_command(arguments, group.seed),
            };
            text.push_str(&format!("    replay: {}\n", super::as_called(&replay)));
        }
        if let Some((seed, message)) = &explored.first_unknown {
            let runs = counted_runs(explored.runs);
            text.push_str(&format!("UNKNOWN in {} of {runs}, first with seed {seed}\n", explored.unknown));
            for said in printable::paragraph(message, 100, 6) {
                text.push_str(&format!("    {said}\n"));
            }
            text.push_str(&format!("    replay: {}\n", super::as_called(&replay_command(arguments, *seed))));
        }
        if let Some(seed) = explored.first_unrepeated {
            text.push_str(&format!(
                "NOT DETERMINISTIC: seed {seed} was run a second time, and that run had another digest\n"
            ));
        }
        if let (Some(directory), 1..) = (&arguments.out, *traces) {
            let plural = if *traces == 1 { "trace" } else { "traces" };
            text.push_str(&format!("{traces} {plural} written to {}\n", directory.display()));
        }
        let Explored { runs, passed, failed, unknown, .. } = explored;
        let interrupted = if interrupt::requested() { "interrupted after " } else { "" };
        text.push_str(&format!(
            "{interrupted}{} in {seconds:.2} s: {passed} passed, {failed} failed, {unknown} unknown\n",
            counted_runs(*runs)
        ));
        if !kept.is_empty() {
            let of = |found: &str| kept.iter().filter(|kept| kept.found.word() == found).count();
            let (same, differs, gone, stale) = (of("same"), of("differs"), of("gone"), of("stale"));
            let plural = if kept.len() == 1 { "failure" } else { "failures" };
            text.push_str(&format!(
                "{} saved {plural} before them: {same} the same, {differs} failing otherwise, {gone} gone, {stale} stale\n",
                kept.len()
            ));
        }
        let failed = self.failed();
        match expect {
            _ if explored.runs == 0 => text.push_str("nothing ran\n"),
            None => {}
            Some(property) if self.came_as_expected(expect) => {
                text.push_str(&format!("as expected: {property} failed, and nothing else did\n"));
            }
            Some(property) if failed.contains(property) => {
                text.push_str(&format!("expected only {property} to fail, but something else failed too\n"));
            }
            // There might have been more.
            Some(_) if interrupt::requested() => {}
            Some(property) => {
                let runs = counted_runs(*runs);
                text.push_str(&format!("expected {property} to fail, but in {runs} it didn't\n"));
            }
        }
        text
    }
}

/// Writes a text whole or not at all.
fn write_whole(path: &Path, text: &str) -> std::io::Result<()> {
    use std::io::Write;
    let directory = path.parent().filter(|parent| *parent != Path::new("")).unwrap_or(Path::new("."));
    let mut file = tempfile::Builder::new().prefix(".squall-").suffix(".partial").tempfile_in(directory)?;
    file.write_all(text.as_bytes())?;
    file.persist(path).map_err(|error| error.error)?;
    Ok(())
}

fn append(path: &Path, text: &str) -> std::io::Result<()> {
    use std::io::Write;
    std::fs::File::options().append(true).create(true).open(path)?.write_all(text.as_bytes())
}

fn counted_runs(runs: u64) -> String {
    if runs == 1 { "1 run".to_string() } else { format!("{runs} runs") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_names_the_properties_that_fail_most() {
        let group = |failures| Group { failures, seed: Seed(1), message: String::new() };
        let groups = |properties: &[(&str, u64)]| -> BTreeMap<Arc<str>, Group> {
            properties.iter().map(|&(property, failures)| (property.into(), group(failures))).collect()
        };
        assert_eq!(failed_in_words(&groups(&[])), "no failures");
        assert_eq!(failed_in_words(&groups(&[("a", 1), ("b", 7)])), "failed: b 7 times, a once");
        let many = groups(&[("a", 1), ("b", 7), ("c", 3), ("d", 2), ("e", 1)]);
        assert_eq!(failed_in_words(&many), "failed: b 7 times, c 3 times, d 2 times, 2 more");
    }
}
