//! `squall explore`: saved failures first, then many seeds; what fails is shrunk and saved; a summary.

use std::collections::BTreeMap;
use std::num::{NonZeroU64, NonZeroUsize};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use indicatif::{HumanDuration, ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};
use serde::Serialize;
use squall_campaign::explain::Explanation;
use squall_campaign::failure_file::{FailureFile, Found, Origin};
use squall_campaign::latencies::Measured;
use squall_campaign::seeds::SeedRange;
use squall_campaign::shard::{Kept, Setup, ShardId};
use squall_campaign::shrink::Unshrinkable;
use squall_campaign::whole_file::{self, WholeFile};
use squall_reports::page::Shrinking;
use squall_reports::{printable, render_timeline};
use squall_trace::{Outcome, Plan, Record, Seed, StrategyChoice, Trace, Verdict};

use super::arguments::{Explore, Patience as PatienceArguments, Seeds, World};
use super::campaign::{Campaign, PROCESSES, SavedAs, Wanted, tell_kept};
use super::campaign_page::{Index, Measures, checked_in_words, index_name, page_name};
use super::exit::Stop;
use super::interrupt;
use super::likelihood::{self, Often};
use super::output::{self, Output, without_controls};
use super::page::{Paged, shrinking_of};
use super::programs::Programs;
use super::run::{run_in_words, unwritable};
use super::saved::{self, Saved};
use super::shard::{self, Place, in_hex};
use crate::determinism::{self, Checked};
use crate::divergence::Divergence;
use crate::explore::{Broken, Counted, Explored, FAILURES_LISTED_MAX, Group, Settings, Watch, WatchEnded};
use crate::failures::{self, NotShrunk, Patience, found_in_words};
use crate::process;
use crate::runner::{HANG_PROPERTY, Simulation};
use crate::scenario::{Isolation, Scenario, format_duration};
use crate::trace_file;

/// What is said of a failure that was shrunk, where what is left of it is in no file.
pub const NOT_SAVED: &str =
    "It couldn't be saved: the command runs the seed as it was, with all that was taken away here.";

/// How many events of the first failure are shown.
const LINES_MAX: usize = 200;

/// How many traces are written for each property, where they are asked for.
const TRACES_OF_PROPERTY_MAX: u64 = 10;

/// How many fresh seeds are taken where time is no limit: a power of two.
pub const FRESH_SEEDS: u64 = 1 << 10;

/// How many where time is the limit.
const FRESH_SEEDS_IN_TIME: u64 = 1 << 40;

#[derive(Serialize)]
struct Started<'s> {
    event: &'static str,
    scenario: &'s str,
    seeds: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    shard: Option<ShardId>,
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

#[derive(Serialize)]
struct Diverged<'d> {
    event: &'static str,
    seed: Seed,
    circumstance: &'d str,
    step: u64,
    first: &'d str,
    second: &'d str,
}

pub fn explore(programs: &Programs, arguments: &Explore, output: &mut Output) -> Result<u8, Stop> {
    let begun = Instant::now();
    let scenario = programs.load_world(&arguments.world)?;
    let place = match arguments.shard {
        Some(choice) => Some(Place::new(arguments.out.as_deref(), scenario.name(), shard::choose(choice, arguments)?)),
        None => None,
    };
    let directories = [arguments.out.as_deref(), arguments.report.as_deref(), place.as_ref().map(Place::directory)];
    for directory in directories.into_iter().flatten() {
        prove_writable(directory)?;
    }
    if let Some(path) = &arguments.junit {
        prove_writable_beside(path)?;
    }
    let kept = match &place {
        // Of several shards one is enough.
        Some(place) if place.shard().index() > 1 => Vec::new(),
        _ => load_kept(programs, &scenario)?,
    };
    let seeds = choose_seeds(arguments, &scenario)?;
    let setup = Setup {
        squall: env!("CARGO_PKG_VERSION").to_string(),
        build: scenario.build().expect("the command line knows which build it is of"),
        scenario: scenario.name().to_string(),
        file: arguments.world.file.clone(),
        set: arguments.world.set.clone(),
        fingerprint: scenario.fingerprint(),
        expect: scenario.expect().map(str::to_string),
        properties: scenario.property_names().to_vec(),
        goals: scenario.goals().to_vec(),
        seeds,
        strategy: arguments.world.strategy,
        max_failures: arguments.max_failures.map(NonZeroU64::get),
        time_ns: arguments.time.map(in_ns),
        shrinks: !arguments.no_shrink,
        hang_after_ns: in_ns(programs.hang_after),
        not_addressed: scenario.capabilities().not_addressed(),
    };
    let part = place.as_ref().map_or(seeds, |place| place.shard().slice(seeds));
    let jobs = arguments.jobs.map_or_else(processors, NonZeroUsize::get);
    tell_started(&scenario, arguments, part, place.as_ref().map(Place::shard), jobs, output)?;

    let mut search = Search { programs, arguments: arguments.clone(), scenario, part, place, jobs, kept };
    let (findings, left_threads) = match search.run(output)? {
        Some(findings) => (findings, false),
        None => {
            search.leave_threads(begun.elapsed(), output)?;
            (search.run(output)?.expect("who has left threads doesn't leave them again"), true)
        }
    };
    let Findings { explored, kept, saved, not_saved, traces, diverged, measures, checked, mut unsaved } = findings;
    let (elapsed_ns, interrupted) = (in_ns(begun.elapsed()), interrupt::requested());
    let shard = search.place.as_ref().map(Place::shard);
    let campaign = Campaign {
        setup,
        shard,
        explored,
        kept,
        saved,
        unsaved: not_saved,
        traces,
        elapsed_ns,
        diverged,
        left_threads,
        interrupted,
    };
    if let Some(place) = &search.place {
        // One without a failure that was found isn't all that it says it is, and neither is one that was interrupted.
        if interrupted || unsaved.is_some() {
            place.tell_unwritten();
        } else if let Err(unwritten) = place.write(&campaign, output) {
            unsaved = Some(unwritten);
        }
    }
    let index = arguments.report.as_ref().map(|directory| Index {
        directory: directory.clone(),
        name: index_name(shard),
        measures,
        checked: Some(checked),
        jobs: Some(jobs),
        shards: None,
    });
    let wanted = Wanted { out: arguments.out.as_deref(), junit: arguments.junit.as_deref(), page: index.as_ref() };
    campaign.conclude(wanted, unsaved, output)
}

pub fn in_ns(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

fn tell_started(
    scenario: &Scenario,
    arguments: &Explore,
    part: SeedRange,
    shard: Option<ShardId>,
    jobs: usize,
    output: &mut Output,
) -> Result<(), Stop> {
    let strategy = arguments.world.strategy.unwrap_or_default();
    output.json(&Started {
        event: "explore-started",
        scenario: scenario.name(),
        seeds: in_hex(part),
        shard,
        jobs,
        strategy,
    })?;
    let plural = if jobs == 1 { "job" } else { "jobs" };
    let limit = match arguments.time {
        Some(time) => format!("for {}", format_duration(time)),
        None => format!("{} runs", part.len()),
    };
    let shard = shard.map_or_else(String::new, |shard| format!(" (shard {shard})"));
    output.text(&format!("{}: seeds {part}{shard}, {limit}, {jobs} {plural}, strategy {strategy}", scenario.name()))?;
    for (key, value) in scenario.parameters() {
        output.text(&without_controls(&format!("  {key} = {value}")))?;
    }
    output.flush()
}

/// An exploration that is under way.
struct Search<'s> {
    programs: &'s Programs,
    arguments: Explore,
    scenario: Scenario,
    /// The seeds to run: all, or those of a shard.
    part: SeedRange,
    place: Option<Place>,
    jobs: usize,
    /// What was saved before, and is run first.
    kept: Vec<(PathBuf, Saved)>,
}

/// What a search came to.
struct Findings {
    explored: Explored,
    kept: Vec<Kept>,
    saved: BTreeMap<Seed, SavedAs>,
    /// The failures that were to be saved, and couldn't.
    not_saved: BTreeMap<Seed, FailureFile>,
    traces: usize,
    /// The first seed, if its runs differ.
    diverged: Option<Seed>,
    /// What was measured for the page, if one was asked for.
    measures: Option<Measures>,
    /// What came of the first seed's check, in a sentence.
    checked: String,
    /// The first failure that couldn't be saved, or what ended the search.
    unsaved: Option<Stop>,
}

impl Search<'_> {
    /// From now on there is a process for each run. What was said so far stands above.
    fn leave_threads(&mut self, elapsed: Duration, output: &mut Output) -> Result<(), Stop> {
        output::complain(&format!("note: {}", crate::isolation::LEAVING_THREADS));
        let world = &mut self.arguments.world;
        world.set.push(PROCESSES.to_string());
        self.scenario = self.programs.load(&world.file, &world.set)?;
        self.arguments.time = self.arguments.time.map(|time| time.saturating_sub(elapsed));
        output.text("  isolation = process")?;
        output.flush()
    }

    /// Runs what was saved before, then the seeds. `None` where a run on a thread didn't repeat itself, and may in processes.
    fn run(&self, output: &mut Output) -> Result<Option<Findings>, Stop> {
        let Search { programs, arguments, scenario, part, kept, .. } = self;
        let may_leave_threads = scenario.isolation() == Isolation::Auto;
        let simulation = programs.simulation(scenario);
        let strategy = arguments.world.strategy.unwrap_or_default();
        let plan = |seed| scenario.plan(seed, strategy);
        let first = Seed(part.start());
        let checked = match part.len() {
            0 => None,
            _ if arguments.no_check => None,
            _ => Some(check(&arguments.world, programs.hang_after, &simulation, &plan, first)?),
        };
        let diverged = tell_checked(checked.as_ref(), first, output)?.then_some(first);
        let checked = checked_in_words(checked.as_ref(), first);
        tell_randomised(&simulation);
        if diverged.is_some() && may_leave_threads {
            return Ok(None);
        }
        let kept = replay_kept(programs, kept, output)?;
        let directory = match &self.place {
            Some(place) => place.failures(),
            None => saved::new_directory(arguments.out.as_deref(), scenario.name()),
        };
        let mut watcher = Watcher {
            arguments,
            simulation: &simulation,
            plan: &plan,
            scenario,
            directory,
            file: failures::portable(&arguments.world.file),
            kept: &kept,
            may_leave_threads,
            progress: progress_bar(*part, arguments),
            saved: BTreeMap::new(),
            not_saved: BTreeMap::new(),
            measures: arguments.report.as_ref().map(|_| Measures::default()),
            traces: 0,
            unsaved: None,
            problem: None,
            output,
        };
        let settings = Settings {
            seeds: *part,
            jobs: self.jobs,
            time_max: arguments.time,
            failures_max: arguments.max_failures.map(NonZeroU64::get),
        };
        let explored = crate::explore::explore(&simulation, &plan, settings, interrupt::flag(), &mut watcher);
        watcher.progress.finish_and_clear();
        let Watcher { saved, not_saved, measures, traces, unsaved, problem, .. } = watcher;
        // Whatever ended it, what was found before is told.
        let (explored, broken) = match explored {
            Ok(explored) => (explored, None),
            Err(Broken { explored, error }) if explored.runs > 0 => (*explored, Some(Stop::from(error))),
            Err(Broken { error, .. }) => return Err(error.into()),
        };
        let unsaved = unsaved.or(problem).or(broken);
        if may_leave_threads && explored.first_unrepeated.is_some() {
            return Ok(None);
        }
        Ok(Some(Findings { explored, kept, saved, not_saved, traces, diverged, measures, checked, unsaved }))
    }
}

/// What was saved before, all of it read before anything runs. A scenario file of the same name in another directory has its failures there as
/// well: those run with that one.
fn load_kept(programs: &Programs, scenario: &Scenario) -> Result<Vec<(PathBuf, Saved)>, Stop> {
    let directory = saved::kept_directory(scenario.name());
    let file = scenario.path().canonicalize().ok();
    let mut kept = Vec::new();
    let mut of_others = 0;
    for path in failures::list(&directory) {
        let saved = Saved::load(&path, programs)?;
        match saved.scenario.path().canonicalize().ok() == file {
            true => kept.push((path, saved)),
            false => of_others += 1,
        }
    }
    if of_others > 0 {
        let plural = if of_others == 1 { "failure" } else { "failures" };
        output::complain(&format!(
            "note: {of_others} {plural} below {} are of other scenario files of that name, and run with those",
            directory.display()
        ));
    }
    Ok(kept)
}

/// Runs what was saved before: what once failed is looked at first.
fn replay_kept(programs: &Programs, saved: &[(PathBuf, Saved)], output: &mut Output) -> Result<Vec<Kept>, Stop> {
    let mut all = Vec::new();
    for (path, saved) in saved {
        if interrupt::requested() {
            break;
        }
        let (Saved { file, .. }, _, outcome) = saved.clone().run_first(programs)?;
        let found = Found::new(&file, &outcome);
        let said = found_in_words(found, &file, &outcome);
        let kept = Kept { path: path.clone(), property: file.property, said, found, verdict: outcome.verdict };
        tell_kept(&kept, output)?;
        all.push(kept);
    }
    output.flush()?;
    Ok(all)
}

pub fn processors() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZeroUsize::get)
}

/// Whether files can be made below the directory, asked by making one.
pub fn prove_writable(directory: &Path) -> Result<(), Stop> {
    std::fs::create_dir_all(directory).and_then(|()| probe(directory)).map_err(|error| unwritable(directory, &error))
}

/// Whether a file can be made where that one is to be. What is there and is no file, such as a pipe, isn't opened: that may be waited for.
pub fn prove_writable_beside(path: &Path) -> Result<(), Stop> {
    match whole_file::Place::of(path).map_err(|error| unwritable(path, &error))? {
        whole_file::Place::File(path) => prove_writable(whole_file::directory_of(&path)),
        whole_file::Place::Special(_) => Ok(()),
    }
}

/// Whether a file can be made where that one is to be, in a directory that is there.
pub fn prove_writable_at(path: &Path) -> Result<(), Stop> {
    match whole_file::Place::of(path).map_err(|error| unwritable(path, &error))? {
        whole_file::Place::File(file) => {
            probe(whole_file::directory_of(&file)).map_err(|error| unwritable(path, &error))
        }
        whole_file::Place::Special(_) => Ok(()),
    }
}

/// Makes a file in a directory, and takes it away.
fn probe(directory: &Path) -> std::io::Result<()> {
    // Another process may ask at the same time, in another container with the same number.
    tempfile::Builder::new().prefix(".squall-").suffix(".probe").tempfile_in(directory)?.close()
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
pub fn fresh_seeds(count: u64) -> Result<SeedRange, Stop> {
    let word = getrandom::u64().map_err(|error| Stop::Own(format!("the system gives no entropy: {error}")))?;
    // The highest bit stays free, so that the end is a number too.
    let start = (word >> 1) & !(count - 1);
    Ok(SeedRange::new(start, start + count))
}

/// Whether a seed's run repeats itself, in this process and in a fresh one.
pub fn check(
    world: &World,
    hang_after: Duration,
    simulation: &Simulation,
    plan: &dyn Fn(Seed) -> Plan,
    seed: Seed,
) -> Result<Checked, Stop> {
    let other = Seed(seed.0.wrapping_add(1));
    let (checked, trace) = determinism::check_in_this_process(simulation, &plan(seed), &plan(other))?;
    match (checked, trace) {
        (Checked::Same, Some(trace)) => Ok(check_elsewhere(world, hang_after, &trace)),
        (checked, _) => Ok(checked),
    }
}

/// The same run by `squall run` in a fresh process.
fn check_elsewhere(world: &World, hang_after: Duration, first: &Trace) -> Checked {
    let prepared = process::this_program().and_then(|command| Ok((command, tempfile::tempdir()?)));
    let (mut command, directory) = match prepared {
        Ok(prepared) => prepared,
        Err(error) => return Checked::NotDone(format!("a fresh process can't be started: {error}")),
    };
    let path = directory.path().join("fresh.trace.zst");
    command.arg("run").arg(&world.file).args(["--message-format", "json", "--seed"]);
    command.arg(first.plan.seed.to_string()).arg("--trace").arg(&path);
    for setting in &world.set {
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
pub fn tell_checked(checked: Option<&Checked>, seed: Seed, output: &mut Output) -> Result<bool, Stop> {
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
pub fn tell_randomised(simulation: &Simulation) {
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
    /// The run that is left, if there is one.
    shrunk: Option<Outcome>,
    words: String,
}

struct Watcher<'w> {
    arguments: &'w Explore,
    simulation: &'w Simulation,
    plan: &'w dyn Fn(Seed) -> Plan,
    scenario: &'w Scenario,
    /// Where failures are saved.
    directory: PathBuf,
    /// The scenario's file, as failures name it.
    file: PathBuf,
    /// What was saved before.
    kept: &'w [Kept],
    /// Ends with the first run that doesn't repeat itself, to begin again with processes.
    may_leave_threads: bool,
    progress: ProgressBar,
    saved: BTreeMap<Seed, SavedAs>,
    /// What was to be saved, and couldn't.
    not_saved: BTreeMap<Seed, FailureFile>,
    /// What is measured for the page, if one was asked for.
    measures: Option<Measures>,
    traces: usize,
    /// The first failure, or trace of one, that couldn't be saved: it is told, and the search goes on.
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

    fn measures(&self) -> bool {
        self.measures.is_some()
    }

    fn on_measured(&mut self, counted: &Counted, measured: &Measured) {
        if let Some(measures) = &mut self.measures {
            measures.add(counted, measured);
        }
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
                let plan = (self.plan)(seed);
                let file = FailureFile::whole(self.origin(), &plan, counted.digest, &counted.verdict);
                self.keep(seed, file)?;
                None
            }
            true => Some(self.shrink(counted)?),
            false => None,
        };
        let replay = match self.saved.get(&seed) {
            Some(saved) => super::replay_saved_command(&saved.path),
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
                        let timeline = shrunk
                            .and_then(|outcome| outcome.trace)
                            .as_ref()
                            .map(|trace| render_timeline(trace, style));
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
            match trace_file::write(&path, &trace) {
                Ok(()) => self.traces += 1,
                Err(error) => {
                    self.unsaved.get_or_insert(unwritable(&path, &error));
                }
            }
        }
        Ok(())
    }

    /// Shrinks a failing seed, saves what is left of it, and sees that the file repeats it.
    fn shrink(&mut self, counted: &Counted) -> Result<Told, Stop> {
        let seed = counted.seed;
        let plan = (self.plan)(seed);
        let PatienceArguments { shrink_for, shrink_runs } = self.arguments.patience;
        self.progress.set_message(format!("shrinking seed {seed}"));
        let mut patience = Patience::new(shrink_for, shrink_runs, interrupt::flag());
        let (file, outcome, words, explained) =
            match failures::shrink_and_explain(self.simulation, &plan, &mut patience) {
                Ok(told) => {
                    let (words, shrinking) = (told.in_words(), shrinking_of(&told));
                    let failures::Told { shrunk, explanation, .. } = told;
                    let file = FailureFile::shrunk(self.origin(), &shrunk);
                    (file, shrunk.outcome, words, Some((shrunk.plan, shrinking, explanation)))
                }
                // What was found is saved as it was found, and why it is no more is told at the end.
                Err(NotShrunk::NoRun(error)) => {
                    let words = format!("seed {seed} can't be shrunk: {error}");
                    let file = FailureFile::whole(self.origin(), &plan, counted.digest, &counted.verdict);
                    self.keep(seed, file)?;
                    self.unsaved.get_or_insert(error.into());
                    return Ok(Told { shrunk: None, words });
                }
                // Another run would be cut off as well, perhaps.
                Err(NotShrunk::Unshrinkable(reason @ Unshrinkable::CutOff(_))) => {
                    let file = FailureFile::whole(self.origin(), &plan, counted.digest, &counted.verdict);
                    self.keep(seed, file)?;
                    return Ok(Told { shrunk: None, words: format!("seed {seed} can't be shrunk: {reason}") });
                }
                Err(NotShrunk::Unshrinkable(reason)) => {
                    let outcome = self.simulation.try_run_plan(&plan, Record::Full)?;
                    let file = FailureFile::whole(self.origin(), &plan, outcome.digest, &outcome.verdict);
                    (file, outcome, format!("seed {seed} can't be shrunk: {reason}"), None)
                }
            };
        let page = page_name(self.scenario.name(), &file);
        let mut repeats = false;
        if let Some(path) = self.keep(seed, file)? {
            let again = FailureFile::read(&path).map_err(|error| Stop::Own(error.to_string()))?;
            let repeated = self.simulation.try_run_plan(&again.plan(), Record::Digest)?;
            repeats = Found::new(&again, &repeated) == Found::Same;
            if !repeats {
                output::complain(&format!("note: {} doesn't repeat the run that it was made of", path.display()));
            }
        }
        if let Some(directory) = &self.arguments.report {
            let path = directory.join(page);
            if let Err(unwritten) = self.write_page(seed, &path, (&plan, &outcome), explained, repeats) {
                self.unsaved.get_or_insert(unwritten);
            }
        }
        Ok(Told { shrunk: Some(outcome), words })
    }

    /// Writes the page of a failure, with the plan that is left of it where it was shrunk.
    fn write_page(
        &mut self,
        seed: Seed,
        path: &Path,
        (whole, outcome): (&Plan, &Outcome),
        explained: Option<(Plan, Shrinking, Option<Explanation>)>,
        repeats: bool,
    ) -> Result<(), Stop> {
        let (plan, shrinking, explanation) = match explained {
            Some((plan, mut shrinking, explanation)) => {
                if !self.saved.contains_key(&seed) {
                    shrinking.left.push(' ');
                    shrinking.left.push_str(NOT_SAVED);
                }
                (plan, Some(shrinking), explanation)
            }
            None => (whole.clone(), None, None),
        };
        let replay = match self.saved.get(&seed) {
            Some(saved) => super::replay_saved_command(&saved.path),
            None => replay_command(self.arguments, seed),
        };
        let repeats = repeats.then(|| "a second run, from its file, gave the same digest".to_string());
        let explanation = explanation.as_ref();
        // It was shrunk, so that it repeats itself.
        self.progress.set_message(format!("drawing the rest of seed {seed} again"));
        let likelihood = likelihood::drawn(self.simulation, &plan, outcome, Often::OfExploration);
        let paged = Paged {
            scenario: self.scenario,
            plan: &plan,
            outcome,
            replay: &replay,
            notice: None,
            repeats,
            shrinking,
            explanation,
            likelihood,
        };
        let file = WholeFile::create(path).map_err(|error| unwritable(path, &error))?;
        paged.write(path, file)?;
        self.progress.suspend(|| output::complain(&format!("page: {}", without_controls(&path.display().to_string()))));
        Ok(())
    }

    fn origin(&self) -> Origin<'_> {
        Origin { file: Some(&self.file), build: self.scenario.build() }
    }

    /// Saves a failure. Where, if it could be.
    fn keep(&mut self, seed: Seed, file: FailureFile) -> Result<Option<PathBuf>, Stop> {
        match self.progress.suspend(|| SavedAs::save(file, &self.directory, self.kept)) {
            Ok(saved) => {
                let path = saved.path.clone();
                self.saved.insert(seed, saved);
                Ok(Some(path))
            }
            Err(found) => {
                let (file, unsaved) = *found;
                self.not_saved.insert(seed, file);
                self.unsaved.get_or_insert(unsaved);
                Ok(None)
            }
        }
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
