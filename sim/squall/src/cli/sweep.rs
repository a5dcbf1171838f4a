//! `squall sweep`: a grid of settings, the same seeds in each cell; verdicts, throughput and latencies; thresholds.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::num::NonZeroUsize;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};
use squall_campaign::seeds::SeedRange;
use squall_campaign::sweep::{
    CONFIDENCE, Latencies, Percentile, Threshold, find_threshold, share_at_least, share_below,
};
use squall_campaign::whole_file;
use squall_check::history::EventType;
use squall_check::property::Listener;
use squall_reports::printable;
use squall_trace::target::ClientCall;
use squall_trace::verdict::BUILT_IN_PROPERTIES;
use squall_trace::{Digest, Event, EventMask, Observer, Outcome, Record, Seed, StrategyChoice, Verdict};

use super::arguments::{Seeds, Sweep, World};
use super::campaign::PROCESSES;
use super::exit::{self, Stop};
use super::explore::{
    FRESH_SEEDS, check, fresh_seeds, in_ns, processors, prove_writable, tell_checked, tell_randomised,
};
use super::interrupt;
use super::output::{self, Output, without_controls};
use super::programs::Programs;
use super::run::unwritable;
use super::shard::in_hex;
use super::vary::Varied;
use crate::explore::{Counted, Explored, counted, in_midst, is_repeated};
use crate::process::DEATH_PROPERTIES;
use crate::runner::{HANG_PROPERTY, Simulation, WorldError, is_lost};
use crate::scenario::{Isolation, Scenario};
use crate::workers::{self, Work};

/// A grid of more cells is a mistake.
const CELLS_MAX: u64 = 10_000;

/// So many different reasons are told why runs of a cell are Unknown; the runs of all others are counted together.
const REASONS_MAX: usize = 8;

/// So many cells are told of each property, for people.
const FAILURES_SHOWN_MAX: usize = 10;

/// What latencies are of: said once.
const COMPUTATION: &str = "computation takes no virtual time: latencies are of the network and of waiting alone, unless a program sleeps for \
                           what it computes";

/// The percentiles that are told, in thousandths.
const SHARES: [u64; 4] = [500, 990, 999, 1_000];

/// Settings in their order, as an object.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Settings(Vec<(String, String)>);

impl Serialize for Settings {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (key, value) in &self.0 {
            map.serialize_entry(key, value)?;
        }
        map.end()
    }
}

impl Settings {
    fn in_words(&self) -> String {
        let words: Vec<String> = self.0.iter().map(|(key, value)| format!("{key}={value}")).collect();
        without_controls(&words.join(" "))
    }
}

#[derive(Serialize)]
struct Started<'s> {
    event: &'static str,
    scenario: &'s str,
    seeds: String,
    strategy: StrategyChoice,
    /// With a threshold to be found: those that are certain.
    cells: u64,
    runs: u64,
    computation: &'static str,
}

#[derive(Clone, Serialize)]
struct Cell {
    /// The number of its combination, and the value at which a threshold is looked for.
    #[serde(skip)]
    place: (u64, u64),
    event: &'static str,
    /// Its number, from 0.
    cell: u64,
    settings: Settings,
    runs: u64,
    passed: u64,
    failed: u64,
    unknown: u64,
    /// By property.
    failures: Vec<Failures>,
    /// Why runs are unknown.
    unknowns: Vec<Unknowns>,
    operations: Operations,
    /// Answered operations in a virtual second, over the virtual time of all runs.
    answered_per_s: Option<f64>,
    /// Of all runs together.
    virtual_ns: u128,
    latency_ns: Percentiles,
}

#[derive(Clone, Serialize)]
struct Failures {
    property: String,
    runs: u64,
    first_seed: Seed,
    message: String,
    replay: String,
}

#[derive(Clone, Serialize)]
struct Unknowns {
    /// The first line of what was said. `None`: others than those that are listed.
    reason: Option<String>,
    runs: u64,
    first_seed: Seed,
    replay: String,
}

#[derive(Clone, Serialize)]
struct Operations {
    /// Those of histories, or calls, where nothing was recorded in one. `None` if there was neither.
    of: Option<&'static str>,
    count: u64,
    answered: u64,
    unanswered: u64,
    /// Runs that ended their process or hung: nobody knows their operations.
    unmeasured_runs: u64,
}

/// Where one is among the operations without an answer, it is none.
#[derive(Clone, Serialize)]
struct Percentiles {
    p50: Option<u64>,
    p99: Option<u64>,
    #[serde(rename = "p99.9")]
    p99_9: Option<u64>,
    max: Option<u64>,
    /// Whether they may be too long by less than 0.1 %.
    rounded: bool,
}

impl Percentiles {
    fn all(&self) -> [Option<u64>; 4] {
        [self.p50, self.p99, self.p99_9, self.max]
    }
}

/// What was found of a threshold.
#[derive(Clone, Serialize)]
struct Found {
    /// The number of its combination.
    #[serde(skip)]
    number: u64,
    /// As a number.
    #[serde(skip)]
    fails_at: Option<u64>,
    event: &'static str,
    /// Of the grid.
    settings: Settings,
    key: String,
    /// Any, if there is none.
    property: Option<String>,
    fails: Option<Side>,
    passes: Option<Side>,
    /// Greater values than the first that fails, which don't.
    passes_above: Vec<String>,
    confidence: f64,
}

/// One side of a threshold.
#[derive(Clone, Serialize)]
struct Side {
    value: String,
    runs: u64,
    failed: u64,
    /// Of another property.
    failed_otherwise: u64,
    unknown: u64,
    /// The share of all runs that fails: with the confidence that is said it is no less, or no more.
    #[serde(skip_serializing_if = "Option::is_none")]
    at_least: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    fewer_than: Option<f64>,
}

#[derive(Serialize)]
struct Finished {
    event: &'static str,
    cells: u64,
    runs: u64,
    seconds: f64,
}

/// All that is in `sweep.json`. It says nothing of time and of jobs: the same sweep leaves the same file.
#[derive(Serialize)]
struct File<'f> {
    format: u32,
    squall: &'static str,
    build: Option<Digest>,
    scenario: &'f str,
    file: String,
    set: &'f [String],
    seeds: String,
    strategy: StrategyChoice,
    computation: &'static str,
    /// Whether all cells are there with all of their runs.
    complete: bool,
    runs: u64,
    cells: &'f [Cell],
    thresholds: &'f [Found],
}

/// Why a sweep ends before its end.
enum Halt {
    Interrupted,
    /// To begin again with processes.
    LeavesThreads,
    Stopped(Stop),
}

impl<E: Into<Stop>> From<E> for Halt {
    fn from(error: E) -> Halt {
        Halt::Stopped(error.into())
    }
}

pub fn sweep(programs: &Programs, arguments: &Sweep, output: &mut Output) -> Result<u8, Stop> {
    let begun = Instant::now();
    if arguments.vary.is_empty() && arguments.find.is_none() {
        let help = "--vary network.latency=1ms..=200ms:8log, or --find network.latency=1ms..=10s";
        return Err(Stop::Input(miette::miette!(help = help, "there is nothing to vary")));
    }
    let grid = Grid::read(arguments)?;
    let mut set = arguments.world.set.clone();
    let Some(first) = grid.check(programs, arguments, &set)? else { return Ok(exit::INTERRUPTED) };
    if let Some(property) = &arguments.property {
        check_property(&first, property)?;
    }
    if let Some(directory) = &arguments.out {
        prove_writable(directory)?;
    }
    let seeds = match arguments.seeds {
        Some(Seeds::Range(seeds)) => seeds,
        Some(Seeds::Fresh) => fresh_seeds(FRESH_SEEDS)?,
        None => first.seeds(),
    };
    if seeds.is_empty() {
        return Err(Stop::Nothing(format!("nothing ran: there is no seed in {seeds}")));
    }
    let jobs = arguments.jobs.map_or_else(processors, NonZeroUsize::get);
    grid.tell_started(&first, arguments, seeds, jobs, output)?;
    let mut may_leave_threads = first.isolation() == Isolation::Auto;
    let (sweeper, halt) = loop {
        let mut sweeper = Sweeper {
            programs,
            arguments,
            grid: &grid,
            set: &set,
            fingerprint: first.fingerprint(),
            seeds,
            jobs,
            may_leave_threads,
            progress: progress_bar(grid.cells_at_least().saturating_mul(seeds.len())),
            cells: Vec::new(),
            thresholds: Vec::new(),
            runs: 0,
            unrepeated: None,
            noted: BTreeSet::new(),
        };
        let halt = sweeper.run(output).err();
        sweeper.progress.finish_and_clear();
        let Sweeper { cells, thresholds, runs, unrepeated, .. } = sweeper;
        match halt {
            Some(Halt::LeavesThreads) => {
                output::complain(&format!("note: {}", crate::isolation::LEAVING_THREADS));
                set.push(PROCESSES.to_string());
                may_leave_threads = false;
            }
            halt => break (Swept { cells, thresholds, runs, unrepeated }, halt),
        }
    };
    if may_leave_threads {
        // They were kept back, as they might have been for nothing.
        sweeper.cells.iter().try_for_each(|cell| output.json(cell))?;
        sweeper.thresholds.iter().try_for_each(|found| output.json(found))?;
    }
    output.text(&sweeper.in_words(&grid))?;
    let seconds = in_ns(begun.elapsed()) as f64 / 1e9;
    let cells = sweeper.cells.len() as u64;
    let interrupted = if halt.is_some() { "ended early: " } else { "" };
    output.text(&format!(
        "{interrupted}{}, {} in {seconds:.2} s",
        counted_of(cells, "cell"),
        counted_of(sweeper.runs, "run")
    ))?;
    output.json(&Finished { event: "sweep-finished", cells, runs: sweeper.runs, seconds })?;
    output.flush()?;
    if let Some(directory) = &arguments.out {
        let file = File {
            format: 1,
            squall: env!("CARGO_PKG_VERSION"),
            build: first.build(),
            scenario: first.name(),
            file: arguments.world.file.display().to_string(),
            set: &set,
            seeds: in_hex(seeds),
            strategy: arguments.world.strategy.unwrap_or_default(),
            computation: COMPUTATION,
            complete: halt.is_none(),
            runs: sweeper.runs,
            cells: &sweeper.cells,
            thresholds: &sweeper.thresholds,
        };
        write(directory, &file, &sweeper.csv(&grid), output)?;
    }
    match halt {
        Some(Halt::Stopped(stop)) => Err(stop),
        Some(Halt::Interrupted) => Ok(exit::INTERRUPTED),
        _ if sweeper.unrepeated.is_some() => Ok(exit::NONDETERMINISM),
        _ => Ok(exit::PASS),
    }
}

fn write(directory: &Path, file: &File<'_>, csv: &str, output: &mut Output) -> Result<(), Stop> {
    let json =
        serde_json::to_string_pretty(file).map_err(|error| Stop::Own(format!("sweep.json can't be made: {error}")))?;
    for (name, text) in [("sweep.json", &format!("{json}\n")), ("sweep.csv", &csv.to_string())] {
        let path = directory.join(name);
        whole_file::write(&path, |file| file.write_all(text.as_bytes())).map_err(|error| unwritable(&path, &error))?;
        output.text(&format!("written to {}", path.display()))?;
    }
    output.flush()
}

fn check_property(scenario: &Scenario, property: &str) -> Result<(), Stop> {
    let own = scenario.property_names().iter().map(String::as_str);
    let names: Vec<&str> = own.chain(BUILT_IN_PROPERTIES).collect();
    if names.contains(&property) {
        return Ok(());
    }
    let help = match crate::scenario::nearest(property, names.iter().copied()) {
        Some(meant) => format!("did you mean {meant}? (the properties are {})", names.join(", ")),
        None => format!("the properties are {}", names.join(", ")),
    };
    Err(Stop::Input(miette::miette!(
        help = help,
        "--property names {property:?}, which is no property of this scenario"
    )))
}

fn counted_of(count: u64, what: &str) -> String {
    if count == 1 { format!("1 {what}") } else { format!("{count} {what}s") }
}

fn progress_bar(runs: u64) -> ProgressBar {
    use std::io::IsTerminal;
    let target =
        if std::io::stderr().is_terminal() { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
    let bar = ProgressBar::with_draw_target(Some(runs), target);
    if let Ok(style) = ProgressStyle::with_template("{bar:30} {human_pos}/{human_len} runs, {eta} left, {msg}") {
        bar.set_style(style);
    }
    bar
}

/// The settings that are tried.
struct Grid {
    varied: Vec<Varied>,
    find: Option<Varied>,
}

impl Grid {
    fn read(arguments: &Sweep) -> Result<Grid, Stop> {
        let varied: Vec<Varied> =
            arguments.vary.iter().map(|argument| Varied::parse_vary(argument)).collect::<Result<_, Stop>>()?;
        let find = arguments.find.as_deref().map(Varied::parse_find).transpose()?;
        let mut keys = BTreeSet::new();
        for one in varied.iter().chain(&find) {
            if !keys.insert(&one.key) {
                let message = format!("`{}` is varied twice", one.key);
                return Err(one.wrong_key(&message, "give all of its values at once: a list, or a range"));
            }
        }
        let grid = Grid { varied, find };
        let cells = grid
            .varied
            .iter()
            .chain(&grid.find)
            .try_fold(1u64, |cells, one| cells.checked_mul(one.values.len() as u64));
        match (cells, grid.varied.last().or(grid.find.as_ref())) {
            (cells, Some(last)) if cells.is_none_or(|cells| cells > CELLS_MAX) => {
                let many = cells.map_or_else(|| "more than 2^64".to_string(), |cells| cells.to_string());
                let message = format!("the grid has {many} cells, and {CELLS_MAX} are the most");
                Err(last.wrong_key(&message, "give fewer values, or sweep one key after the other"))
            }
            _ => Ok(grid),
        }
    }

    /// How many combinations of the varied keys there are.
    fn len(&self) -> u64 {
        self.varied.iter().map(|varied| varied.values.len() as u64).product()
    }

    /// How many cells there will be at least.
    fn cells_at_least(&self) -> u64 {
        self.len() * self.find.as_ref().map_or(1, |find| find.values.len() as u64)
    }

    /// One combination: of each key which value. The last varies fastest.
    fn places(&self, mut number: u64) -> Vec<usize> {
        let mut places = Vec::with_capacity(self.varied.len());
        for varied in self.varied.iter().rev() {
            let count = varied.values.len() as u64;
            places.push((number % count) as usize);
            number /= count;
        }
        places.reverse();
        places
    }

    /// One combination's values, each key with the only one that it has then.
    fn chosen(&self, number: u64) -> Vec<(&Varied, usize)> {
        self.varied.iter().zip(self.places(number)).collect()
    }

    /// Reads every cell, before anything runs. The scenario of the first one; `None` if somebody asked to stop meanwhile.
    fn check(&self, programs: &Programs, arguments: &Sweep, set: &[String]) -> Result<Option<Scenario>, Stop> {
        let mut first: Option<Scenario> = None;
        for number in 0..self.len() {
            let mut chosen = self.chosen(number);
            let scan = self.find.as_ref().map_or(1, |find| find.values.len());
            for place in 0..scan {
                if interrupt::requested() {
                    return Ok(None);
                }
                chosen.truncate(self.varied.len());
                chosen.extend(self.find.as_ref().map(|find| (find, place)));
                let scenario = load(programs, arguments, set, &chosen)?;
                match &first {
                    None => first = Some(scenario),
                    Some(first) => unchanged(&scenario, first.fingerprint())?,
                }
            }
        }
        Ok(Some(first.expect("a grid has a cell")))
    }

    fn tell_started(
        &self,
        first: &Scenario,
        arguments: &Sweep,
        seeds: SeedRange,
        jobs: usize,
        output: &mut Output,
    ) -> Result<(), Stop> {
        let strategy = arguments.world.strategy.unwrap_or_default();
        let cells = self.cells_at_least();
        let runs = cells.saturating_mul(seeds.len());
        let (scenario, event) = (first.name(), "sweep-started");
        output.json(&Started {
            event,
            scenario,
            seeds: in_hex(seeds),
            strategy,
            cells,
            runs,
            computation: COMPUTATION,
        })?;
        let at_least = if self.find.is_some() { "at least " } else { "" };
        output.text(&format!(
            "{scenario}: {at_least}{}, each with the seeds {seeds}: {at_least}{}, {}, strategy {strategy}",
            counted_of(cells, "cell"),
            counted_of(runs, "run"),
            counted_of(jobs as u64, "job"),
        ))?;
        for setting in &arguments.world.set {
            output.text(&without_controls(&format!("  {setting}")))?;
        }
        output.text(COMPUTATION)?;
        output.flush()
    }

    /// What the columns of keys are called: those of `[network]` by their last part.
    fn headings(&self) -> Vec<String> {
        let all = self.varied.iter().chain(&self.find);
        all.map(|one| printable::line(one.key.strip_prefix("network.").unwrap_or(&one.key), 40)).collect()
    }
}

/// A cell's scenario. Its mistakes are shown in the arguments that they come from.
fn load(programs: &Programs, arguments: &Sweep, set: &[String], chosen: &[(&Varied, usize)]) -> Result<Scenario, Stop> {
    let set = with_settings(set, chosen);
    programs.load(&arguments.world.file, &set).map_err(|error| {
        let placed = chosen.iter().fold(error, |error, (varied, place)| varied.place(error, *place));
        // Where the file itself is pointed at, that says nothing of the cell.
        if placed
            .mistakes()
            .next()
            .and_then(|mistake| mistake.source_name())
            .is_some_and(|name| !name.starts_with("--"))
        {
            let settings: Vec<String> = chosen.iter().map(|(varied, place)| varied.setting(*place)).collect();
            output::complain(&without_controls(&format!("with {}:", settings.join(" "))));
        }
        Stop::from(placed)
    })
}

fn with_settings(set: &[String], chosen: &[(&Varied, usize)]) -> Vec<String> {
    set.iter().cloned().chain(chosen.iter().map(|(varied, place)| varied.setting(*place))).collect()
}

/// The file has to be the same for all cells.
fn unchanged(scenario: &Scenario, fingerprint: Digest) -> Result<(), Stop> {
    match scenario.fingerprint() == fingerprint {
        true => Ok(()),
        false => Err(Stop::Own(format!(
            "{} was edited meanwhile: what was begun with it ends here, and can be begun again",
            scenario.path().display()
        ))),
    }
}

/// A sweep that is under way.
struct Sweeper<'s> {
    programs: &'s Programs,
    arguments: &'s Sweep,
    grid: &'s Grid,
    /// Under the grid's.
    set: &'s [String],
    fingerprint: Digest,
    seeds: SeedRange,
    jobs: usize,
    /// Begins again with processes if a run doesn't repeat itself. Until it is over nothing is told.
    may_leave_threads: bool,
    progress: ProgressBar,
    cells: Vec<Cell>,
    thresholds: Vec<Found>,
    runs: u64,
    /// The first seed whose runs differed.
    unrepeated: Option<Seed>,
    /// What was told already.
    noted: BTreeSet<String>,
}

/// What a sweep came to.
struct Swept {
    cells: Vec<Cell>,
    thresholds: Vec<Found>,
    runs: u64,
    unrepeated: Option<Seed>,
}

impl Sweeper<'_> {
    fn run(&mut self, output: &mut Output) -> Result<(), Halt> {
        let grid = self.grid;
        for number in 0..grid.len() {
            let chosen = grid.chosen(number);
            match &grid.find {
                None => {
                    self.cell(&chosen, (number, 0), output)?;
                }
                Some(find) => self.find(&chosen, number, find, output)?,
            }
        }
        Ok(())
    }

    /// Runs a cell and tells what came of it. Where it is among the cells.
    fn cell(&mut self, chosen: &[(&Varied, usize)], place: (u64, u64), output: &mut Output) -> Result<usize, Halt> {
        if interrupt::requested() {
            return Err(Halt::Interrupted);
        }
        let scenario = load(self.programs, self.arguments, self.set, chosen)?;
        unchanged(&scenario, self.fingerprint)?;
        let settings = chosen.iter().map(|(varied, place)| (varied.key.clone(), varied.values[*place].clone()));
        let settings = Settings(settings.collect());
        self.progress.set_message(settings.in_words());
        let set = with_settings(self.set, chosen);
        let simulation = self.programs.simulation(&scenario);
        if self.cells.is_empty() && !self.arguments.no_check {
            self.check(&scenario, &simulation, &set, output)?;
        }
        let (tally, broken) = self.tally(&scenario, &simulation);
        self.runs += tally.explored.runs;
        self.tell_notes(&settings, &tally.explored);
        let cell = self.told(place, settings, &set, &tally);
        if tally.explored.runs > 0 {
            if !self.may_leave_threads {
                self.progress.suspend(|| output.json(&cell))?;
            }
            self.cells.push(cell);
        }
        if let Some(seed) = tally.explored.first_unrepeated {
            if self.may_leave_threads {
                return Err(Halt::LeavesThreads);
            }
            self.unrepeated.get_or_insert(seed);
            output::complain(&format!(
                "NOT DETERMINISTIC: seed {seed} was run a second time, and that run had another digest"
            ));
        }
        match broken {
            Some(error) => Err(Halt::Stopped(error.into())),
            None if tally.explored.runs < self.seeds.len() => Err(Halt::Interrupted),
            None => Ok(self.cells.len() - 1),
        }
    }

    /// Whether the first seed of the first cell repeats itself.
    fn check(
        &mut self,
        scenario: &Scenario,
        simulation: &Simulation,
        set: &[String],
        output: &mut Output,
    ) -> Result<(), Halt> {
        let seed = Seed(self.seeds.start());
        let World { file, strategy, .. } = &self.arguments.world;
        let world = World { file: file.clone(), set: set.to_vec(), strategy: *strategy };
        let plan = |seed| scenario.plan(seed, strategy.unwrap_or_default());
        let checked = check(&world, self.programs.hang_after, simulation, &plan, seed)?;
        if self.progress.suspend(|| tell_checked(Some(&checked), seed, output))? {
            if self.may_leave_threads {
                return Err(Halt::LeavesThreads);
            }
            self.unrepeated = Some(seed);
        }
        tell_randomised(simulation);
        Ok(())
    }

    /// Runs the seeds.
    fn tally(&self, scenario: &Scenario, simulation: &Simulation) -> (Tally, Option<WorldError>) {
        let strategy = self.arguments.world.strategy.unwrap_or_default();
        // Calls count only where no run of the cell has a history.
        let has_history = AtomicBool::new(false);
        let run = |seed| -> Result<(Counted, Measured), WorldError> {
            let plan = scenario.plan(seed, strategy);
            let record = if has_history.load(Ordering::Relaxed) { Record::Digest } else { Record::Perturbations };
            let mut heard = Heard::default();
            let outcome = simulation.try_run(&plan, record, &mut heard)?;
            let measured = Measured::of(heard, &outcome);
            if !measured.history.is_empty() {
                has_history.store(true, Ordering::Relaxed);
            }
            let again = match measured.is_whole && is_repeated(seed) {
                true => Some(simulation.try_run_plan(&plan, Record::Digest)?),
                false => None,
            };
            Ok((counted(seed, outcome, None, again.as_ref()), measured))
        };
        let mut tally = Tally::default();
        let mut broken = None;
        let mut take = |result: Result<(Counted, Measured), WorldError>| match result {
            Ok((counted, measured)) => {
                tally.add(&counted, measured);
                self.progress.inc(1);
                ControlFlow::Continue(())
            }
            Err(error) => {
                broken = Some(error);
                ControlFlow::Break(())
            }
        };
        let work = Work { seeds: self.seeds, jobs: self.jobs, deadline: None, stop: interrupt::flag() };
        let worked = workers::in_seed_order(work, &run, &mut take);
        let broken = broken.or(worked.err().map(|error| WorldError::NoThread(error.to_string())));
        let next = Seed(self.seeds.start() + tally.explored.runs);
        let broken = broken.map(|error| if tally.explored.runs > 0 { in_midst(error, next) } else { error });
        (tally, broken)
    }

    fn tell_notes(&mut self, settings: &Settings, explored: &Explored) {
        let mut note = |text: String| {
            if self.noted.insert(text.clone()) {
                self.progress.suspend(|| {
                    output::complain(&format!("note: {}: {}", settings.in_words(), without_controls(&text)))
                });
            }
        };
        for (_, escape) in &explored.notes {
            note(escape.clone());
        }
        for fault in explored.unreached_faults() {
            note(format!(
                "{fault} happened in no run: each ended before it, was healed before it, or had the node down already"
            ));
        }
    }

    fn told(&self, place: (u64, u64), settings: Settings, set: &[String], tally: &Tally) -> Cell {
        let World { file, strategy, .. } = &self.arguments.world;
        let replay = |seed| super::command_of("run", file, set, *strategy, seed);
        let Explored { runs, passed, failed, unknown, groups, .. } = &tally.explored;
        let failures = groups.iter().map(|(property, group)| Failures {
            property: property.to_string(),
            runs: group.failures,
            first_seed: group.seed,
            message: group.message.clone(),
            replay: replay(group.seed),
        });
        let unknowns = tally.unknowns.iter().map(|(reason, runs, seed)| Unknowns {
            reason: reason.clone(),
            runs: *runs,
            first_seed: *seed,
            replay: replay(*seed),
        });
        let (of, latencies) = match (&tally.history, &tally.calls) {
            (history, _) if history.operations() > 0 => (Some("history"), history),
            (_, calls) if calls.operations() > 0 => (Some("calls"), calls),
            (history, _) => (None, history),
        };
        let [p50, p99, p99_9, max] = SHARES.map(|share| match latencies.percentile(share) {
            Some(Percentile::Answered { ns }) => Some(ns),
            Some(Percentile::Unanswered) | None => None,
        });
        let answered = latencies.answered();
        Cell {
            place,
            event: "cell",
            cell: self.cells.len() as u64,
            settings,
            runs: *runs,
            passed: *passed,
            failed: *failed,
            unknown: *unknown,
            failures: failures.collect(),
            unknowns: unknowns.collect(),
            operations: Operations {
                of,
                count: latencies.operations(),
                answered,
                unanswered: latencies.unanswered(),
                unmeasured_runs: tally.unmeasured,
            },
            answered_per_s: per_second(answered, tally.virtual_ns),
            virtual_ns: tally.virtual_ns,
            latency_ns: Percentiles { p50, p99, p99_9, max, rounded: latencies.is_rounded() },
        }
    }

    /// Looks for the threshold of one combination.
    fn find(
        &mut self,
        chosen: &[(&Varied, usize)],
        number: u64,
        find: &Varied,
        output: &mut Output,
    ) -> Result<(), Halt> {
        let property = self.arguments.property.as_deref();
        let mut tried = BTreeMap::new();
        let mut cells: BTreeMap<u64, usize> = BTreeMap::new();
        let searched = find_threshold(find.scan(), find.resolution(), &mut tried, |value| {
            let at = find.at(value);
            let all: Vec<(&Varied, usize)> = chosen.iter().copied().chain([(&at, 0)]).collect();
            if cells.len() >= find.scan().len() {
                self.progress.inc_length(self.seeds.len());
            }
            let cell = self.cell(&all, (number, value), output)?;
            cells.insert(value, cell);
            Ok::<bool, Halt>(failed_of(&self.cells[cell], property) > 0)
        });
        // What it came to so far isn't told as a threshold: it might be another.
        searched?;
        let Threshold { fails, passes, passes_above } = Threshold::of(&tried);
        let side = |value: u64, fails: bool| {
            let cell = &self.cells[cells[&value]];
            let failed = failed_of(cell, property);
            let failed_otherwise = cell.failed - failed;
            // Of what nobody knows the worst is taken.
            let open = failed_otherwise + cell.unknown;
            let millionths = |share: f64| (share * 1e6).round() / 1e6;
            Side {
                value: find.at(value).values.remove(0),
                runs: cell.runs,
                failed,
                failed_otherwise,
                unknown: cell.unknown,
                at_least: fails.then(|| millionths(share_at_least(failed, cell.runs))),
                fewer_than: (!fails).then(|| millionths(share_below(failed + open, cell.runs))),
            }
        };
        let settings = chosen.iter().map(|(varied, place)| (varied.key.clone(), varied.values[*place].clone()));
        let found = Found {
            number,
            fails_at: fails,
            event: "threshold-found",
            settings: Settings(settings.collect()),
            key: find.key.clone(),
            property: property.map(str::to_string),
            fails: fails.map(|value| side(value, true)),
            passes: passes.map(|value| side(value, false)),
            passes_above: passes_above.iter().map(|&value| find.at(value).values.remove(0)).collect(),
            confidence: CONFIDENCE,
        };
        if !self.may_leave_threads {
            self.progress.suspend(|| output.json(&found))?;
        }
        self.thresholds.push(found);
        Ok(())
    }
}

/// How many runs of a cell failed that property, or any.
fn failed_of(cell: &Cell, property: Option<&str>) -> u64 {
    let counts = |failures: &&Failures| property.is_none_or(|property| failures.property == property);
    cell.failures.iter().filter(counts).map(|failures| failures.runs).sum()
}

/// To three digits behind the point.
fn per_second(count: u64, ns: u128) -> Option<f64> {
    let thousandths = (u128::from(count) * 1_000_000_000_000 + ns / 2).checked_div(ns)?;
    Some(thousandths as f64 / 1e3)
}

/// Hears what clients record of their operations.
#[derive(Default)]
struct Heard {
    listener: Listener,
    /// By process: when the operation began that it is in the midst of.
    open: BTreeMap<u64, u64>,
    /// How long each took that has ended; `None` if it has no answer.
    ended: Vec<Option<u64>>,
}

impl Observer for Heard {
    fn interest(&self) -> EventMask {
        EventMask::PUBLISH
    }

    fn on_event(&mut self, event: &Event<'_>) {
        // What is no history is what the program's own properties make of it.
        let Ok(Some(said)) = self.listener.hear(event) else { return };
        match said.kind {
            EventType::Invoke => {
                // One that goes on without an end to the last has left that without an answer.
                if self.open.insert(said.process, event.at_ns).is_some() {
                    self.ended.push(None);
                }
            }
            EventType::Ok | EventType::Fail => {
                if let Some(begun_ns) = self.open.remove(&said.process) {
                    self.ended.push(Some(event.at_ns - begun_ns));
                }
            }
            EventType::Info => {
                if self.open.remove(&said.process).is_some() {
                    self.ended.push(None);
                }
            }
        }
    }
}

/// What was measured in a run: of each operation how long it took, `None` where it has no answer.
struct Measured {
    history: Vec<Option<u64>>,
    calls: Vec<Option<u64>>,
    virtual_ns: u64,
    /// Of a run that hung, or ended its process, nobody knows what was seen of it.
    is_whole: bool,
}

impl Measured {
    fn of(heard: Heard, outcome: &Outcome) -> Measured {
        let virtual_ns = outcome.ending.at_ns;
        let ends_process = |property: &str| property == HANG_PROPERTY || DEATH_PROPERTIES.contains(&property);
        if outcome.verdict.property().is_some_and(ends_process) || is_lost(outcome) {
            return Measured { history: Vec::new(), calls: Vec::new(), virtual_ns: 0, is_whole: false };
        }
        let Heard { open, ended: mut history, .. } = heard;
        history.extend(open.values().map(|_| None));
        let took = |call: &ClientCall| call.answered_ns.map(|answered_ns| answered_ns - call.begun_ns);
        Measured { history, calls: outcome.calls.iter().map(took).collect(), virtual_ns, is_whole: true }
    }
}

/// What the runs of a cell come to.
#[derive(Default)]
struct Tally {
    explored: Explored,
    history: Latencies,
    calls: Latencies,
    virtual_ns: u128,
    unmeasured: u64,
    unknowns: Vec<(Option<String>, u64, Seed)>,
}

impl Tally {
    fn add(&mut self, counted: &Counted, measured: Measured) {
        self.explored.count(counted);
        if let Verdict::Unknown { message } = &counted.verdict {
            self.add_unknown(message.lines().next().unwrap_or_default(), counted.seed);
        }
        self.virtual_ns += u128::from(measured.virtual_ns);
        self.unmeasured += u64::from(!measured.is_whole);
        for (latencies, operations) in [(&mut self.history, measured.history), (&mut self.calls, measured.calls)] {
            for took in operations {
                match took {
                    Some(ns) => latencies.answer(ns),
                    None => latencies.leave_unanswered(),
                }
            }
        }
    }

    fn add_unknown(&mut self, reason: &str, seed: Seed) {
        let listed = self.unknowns.iter().filter(|(known, ..)| known.is_some()).count();
        let is_known = self.unknowns.iter().any(|(known, ..)| known.as_deref() == Some(reason));
        let reason = (is_known || listed < REASONS_MAX).then(|| reason.to_string());
        match self.unknowns.iter_mut().find(|(known, ..)| *known == reason) {
            Some((_, runs, _)) => *runs += 1,
            None => self.unknowns.push((reason, 1, seed)),
        }
    }
}

impl Swept {
    fn in_words(&self, grid: &Grid) -> String {
        let mut text = String::from("\n");
        if self.cells.is_empty() {
            return text;
        }
        text.push_str(&self.table(grid));
        text.push('\n');
        for line in self.legend() {
            text.push_str(&format!("{line}\n"));
        }
        let mut shown: BTreeMap<&str, usize> = BTreeMap::new();
        for cell in self.sorted().into_iter().filter(|cell| self.is_shown(cell)) {
            for Failures { property, runs, first_seed, message, replay } in &cell.failures {
                let count = shown.entry(property).or_default();
                *count += 1;
                if *count > FAILURES_SHOWN_MAX {
                    continue;
                }
                text.push_str(&format!(
                    "FAIL {} in {runs} of {} with {}, first with seed {first_seed}\n",
                    printable::line(property, 60),
                    counted_of(cell.runs, "run"),
                    cell.settings.in_words(),
                ));
                if *count == 1 {
                    for said in printable::paragraph(message, 100, 6) {
                        text.push_str(&format!("    {said}\n"));
                    }
                }
                text.push_str(&format!("    {}\n", super::as_called(replay)));
            }
        }
        for (property, count) in &shown {
            if let more @ 1.. = count.saturating_sub(FAILURES_SHOWN_MAX) {
                text.push_str(&format!(
                    "FAIL {} in {more} more cells: --message-format json and --out DIR tell all\n",
                    printable::line(property, 60)
                ));
            }
        }
        let unknowns =
            || self.sorted().into_iter().flat_map(|cell| cell.unknowns.iter().map(move |unknown| (cell, unknown)));
        for (cell, Unknowns { reason, runs, first_seed, replay }) in unknowns().take(FAILURES_SHOWN_MAX) {
            text.push_str(&format!(
                "UNKNOWN in {runs} of {} with {}, first with seed {first_seed}\n    {}\n    {}\n",
                counted_of(cell.runs, "run"),
                cell.settings.in_words(),
                printable::line(reason.as_deref().unwrap_or("for other reasons than those that are listed"), 100),
                super::as_called(replay)
            ));
        }
        if let more @ 1.. = unknowns().count().saturating_sub(FAILURES_SHOWN_MAX) {
            text.push_str(&format!("UNKNOWN {more} times more: --message-format json and --out DIR tell all\n"));
        }
        for found in &self.thresholds {
            text.push_str(&found.in_words());
            text.push('\n');
        }
        text
    }

    /// In the order of their values: those between the ones of a scan were tried after them.
    fn sorted(&self) -> Vec<&Cell> {
        let mut cells: Vec<&Cell> = self.cells.iter().collect();
        cells.sort_by_key(|cell| cell.place);
        cells
    }

    /// Of a threshold that was found, people see the failures of one side.
    fn is_shown(&self, cell: &Cell) -> bool {
        let found = self.thresholds.iter().find(|found| found.number == cell.place.0);
        found.is_none_or(|found| found.fails_at == Some(cell.place.1))
    }

    fn table(&self, grid: &Grid) -> String {
        let has_unknown = self.cells.iter().any(|cell| cell.unknown > 0);
        let mut rows = Vec::new();
        let mut heading = grid.headings();
        heading.extend(["pass", "fail"].map(str::to_string));
        heading.extend(has_unknown.then(|| "unknown".to_string()));
        heading.extend(["answered", "ops/s", "p50", "p99", "p99.9", "max"].map(str::to_string));
        rows.push(heading);
        for cell in self.sorted() {
            let mut row: Vec<String> = cell.settings.0.iter().map(|(_, value)| printable::line(value, 40)).collect();
            row.extend([cell.passed.to_string(), cell.failed.to_string()]);
            row.extend(has_unknown.then(|| cell.unknown.to_string()));
            let Operations { count, answered, .. } = cell.operations;
            row.push(if count == 0 { "-".to_string() } else { format!("{answered}/{count}") });
            row.push(cell.answered_per_s.filter(|_| count > 0).map_or("-".to_string(), three_digits));
            row.extend(cell.latency_ns.all().map(|ns| match ns {
                Some(ns) => short_time(ns),
                None if count == 0 => "-".to_string(),
                None => "never".to_string(),
            }));
            rows.push(row);
        }
        aligned(&rows)
    }

    fn legend(&self) -> Vec<String> {
        let of = |what: &str| self.cells.iter().any(|cell| cell.operations.of == Some(what));
        let mut lines = Vec::new();
        match (of("history"), of("calls")) {
            (true, false) => lines.push("operations: those of the clients' histories".to_string()),
            (false, true) => lines.push("operations: the calls of clients (no history was recorded)".to_string()),
            (true, true) => lines.push(
                "operations: those of the clients' histories, and where none was recorded, the calls of clients"
                    .to_string(),
            ),
            (false, false) => {
                lines.push("operations: none; clients neither recorded a history nor made calls".to_string())
            }
        }
        let is_never = |cell: &Cell| cell.operations.count > 0 && cell.latency_ns.all().contains(&None);
        if self.cells.iter().any(is_never) {
            lines.push(
                "never: among the operations that are unanswered, which count as longer than all others".to_string(),
            );
        }
        if self.cells.iter().any(|cell| cell.latency_ns.rounded) {
            lines.push("latencies may be too long by less than 0.1 %: there were very many different ones".to_string());
        }
        let unmeasured: u64 = self.cells.iter().map(|cell| cell.operations.unmeasured_runs).sum();
        if unmeasured > 0 {
            lines.push(format!(
                "{} hung or ended their process: nobody knows their operations, and they aren't among these",
                counted_of(unmeasured, "run")
            ));
        }
        lines
    }

    /// One row a cell, one column a key; a table in the sense of RFC 4180.
    fn csv(&self, grid: &Grid) -> String {
        let properties: BTreeSet<&str> =
            self.cells.iter().flat_map(|cell| &cell.failures).map(|failures| failures.property.as_str()).collect();
        let mut rows = Vec::new();
        let mut heading: Vec<String> = grid.varied.iter().chain(&grid.find).map(|one| one.key.clone()).collect();
        heading.extend(["runs", "passed", "failed", "unknown"].map(str::to_string));
        heading.extend(properties.iter().map(|property| format!("failed: {property}")));
        heading.extend(
            [
                "operations_of",
                "operations",
                "answered",
                "unanswered",
                "unmeasured_runs",
                "answered_per_s",
                "p50_ns",
                "p99_ns",
                "p99.9_ns",
                "max_ns",
            ]
            .map(str::to_string),
        );
        rows.push(heading);
        for cell in &self.cells {
            let Operations { of, count, answered, unanswered, unmeasured_runs } = &cell.operations;
            let mut row: Vec<String> = cell.settings.0.iter().map(|(_, value)| value.clone()).collect();
            row.extend([cell.runs, cell.passed, cell.failed, cell.unknown].map(|count| count.to_string()));
            row.extend(properties.iter().map(|property| failed_of(cell, Some(property)).to_string()));
            row.push(of.unwrap_or_default().to_string());
            row.extend([count, answered, unanswered, unmeasured_runs].map(u64::to_string));
            row.push(cell.answered_per_s.map_or_else(String::new, |rate| rate.to_string()));
            row.extend(cell.latency_ns.all().map(|ns| match ns {
                Some(ns) => ns.to_string(),
                None if *count == 0 => String::new(),
                None => "unanswered".to_string(),
            }));
            rows.push(row);
        }
        let lines = rows.iter().map(|row| row.iter().map(|field| csv_field(field)).collect::<Vec<String>>().join(","));
        lines.map(|line| format!("{line}\r\n")).collect()
    }
}

fn csv_field(field: &str) -> String {
    match field.contains([',', '"', '\r', '\n']) {
        true => format!("\"{}\"", field.replace('"', "\"\"")),
        false => field.to_string(),
    }
}

impl Found {
    fn in_words(&self) -> String {
        let Found { settings, key, property, fails, passes, passes_above, .. } = self;
        let place = if settings.0.is_empty() { String::new() } else { format!("with {}: ", settings.in_words()) };
        let what = property.as_deref().map_or("a property".to_string(), |property| printable::line(property, 60));
        let percent = (CONFIDENCE * 100.0) as u64;
        let bound = |side: &Side| match (side.at_least, side.fewer_than) {
            (Some(share), _) => format!("at least {}, {percent} % confidence", in_percent(share, false)),
            (_, Some(share)) => format!("fewer than {}", in_percent(share, true)),
            (None, None) => String::new(),
        };
        let aside = |side: &Side| {
            let mut aside = String::new();
            if side.failed_otherwise > 0 {
                aside.push_str(&format!(", {} failed otherwise", side.failed_otherwise));
            }
            if side.unknown > 0 {
                aside.push_str(&format!(", {} unknown", side.unknown));
            }
            aside
        };
        let at_failing = |side: &Side| {
            format!(
                "{what} fails at {} in {} of {} ({}{})",
                side.value,
                side.failed,
                counted_of(side.runs, "run"),
                bound(side),
                aside(side)
            )
        };
        let at_passing =
            |side: &Side| format!("at {} in none of {} ({}{})", side.value, side.runs, bound(side), aside(side));
        let mut text = format!("{place}{key}: ");
        match (fails, passes) {
            (Some(fails), Some(passes)) => text.push_str(&format!("{}, {}", at_failing(fails), at_passing(passes))),
            (Some(fails), None) => text.push_str(&format!("{}, the lowest value", at_failing(fails))),
            (None, Some(passes)) => {
                text.push_str(&format!("{what} fails at no value; {}, the highest", at_passing(passes)));
            }
            (None, None) => text.push_str("nothing was tried"),
        }
        if !passes_above.is_empty() {
            text.push_str(&format!(
                "\n    but not at {}, which is more: there isn't one threshold, and what is said is the first",
                passes_above.join(", ")
            ));
        }
        text
    }
}

/// With two significant digits, and one behind the point at least: a bound that is safe, rounded away from what it bounds.
fn in_percent(share: f64, up: bool) -> String {
    let percent = share * 100.0;
    let mut digits = 1;
    while digits < 4 && percent > 0.0 && percent * [1.0, 10.0, 100.0, 1_000.0][digits - 1] < 1.0 {
        digits += 1;
    }
    let scale = [1.0, 10.0, 100.0, 1_000.0, 10_000.0][digits];
    // What is a round number already stays one.
    let scaled = (percent * scale * 1e4).round() / 1e4;
    let scaled = if up { scaled.ceil() } else { scaled.floor() };
    format!("{:.digits$} %", scaled / scale)
}

/// Three significant digits.
fn three_digits(number: f64) -> String {
    match number {
        n if n >= 100.0 => format!("{n:.0}"),
        n if n >= 10.0 => format!("{n:.1}"),
        n => format!("{n:.2}"),
    }
}

/// Three significant digits and a unit of two characters, so that units stand below each other.
fn short_time(ns: u64) -> String {
    let (unit, name) = match ns {
        0..1_000 => return format!("{ns} ns"),
        1_000..999_500 => (1e3, "us"),
        999_500..999_500_000 => (1e6, "ms"),
        _ => (1e9, "s "),
    };
    format!("{} {name}", three_digits(ns as f64 / unit))
}

/// Columns to the right, two spaces between them.
fn aligned(rows: &[Vec<String>]) -> String {
    let columns = rows.first().map_or(0, Vec::len);
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let mut text = String::new();
    for row in rows {
        let fields: Vec<String> = row.iter().zip(&widths).map(|(field, width)| format!("{field:>width$}")).collect();
        text.push_str(fields.join("  ").trim_end());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_and_shares_are_short_and_bounds_are_safe() {
        for (ns, shown) in [
            (0, "0 ns"),
            (999, "999 ns"),
            (1_000, "1.00 us"),
            (43_210_000, "43.2 ms"),
            (999_499_999, "999 ms"),
            (999_500_000, "1.00 s "),
            (90_000_000_000, "90.0 s "),
        ] {
            assert_eq!(short_time(ns), shown);
        }
        for (share, below, above) in [
            (0.029_513, "2.9 %", "3.0 %"),
            (0.5, "50.0 %", "50.0 %"),
            (0.000_299, "0.029 %", "0.030 %"),
            (0.0, "0.0 %", "0.0 %"),
            (1.0, "100.0 %", "100.0 %"),
        ] {
            assert_eq!((&*in_percent(share, false), &*in_percent(share, true)), (below, above));
        }
    }

    #[test]
    fn a_field_of_a_table_is_quoted_where_it_must_be() {
        for (field, written) in
            [("5ms", "5ms"), ("a,b", "\"a,b\""), ("a \"b\"", "\"a \"\"b\"\"\""), ("a\nb", "\"a\nb\"")]
        {
            assert_eq!(csv_field(field), written);
        }
    }

    #[test]
    fn reasons_beyond_the_listed_are_counted_together() {
        let mut tally = Tally::default();
        for number in 0..12 {
            tally.add_unknown(&format!("reason {}", number % 10), Seed(number));
        }
        let told: Vec<(Option<&str>, u64, u64)> =
            tally.unknowns.iter().map(|(reason, runs, seed)| (reason.as_deref(), *runs, seed.0)).collect();
        assert_eq!(told[..2], [(Some("reason 0"), 2, 0), (Some("reason 1"), 2, 1)]);
        assert_eq!(told[REASONS_MAX..], [(None, 2, 8)]);
    }
}
