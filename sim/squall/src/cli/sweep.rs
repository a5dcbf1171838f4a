//! `squall sweep`: a grid of settings, the same seeds in each cell; verdicts, throughput and latencies; thresholds.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::num::NonZeroUsize;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde::Serialize;
use squall_campaign::latencies::{Measured, Operations as Measurements, OperationsOf};
use squall_campaign::seeds::SeedRange;
use squall_campaign::sweep::{CONFIDENCE, Threshold, find_threshold, share_at_least, share_below};
use squall_campaign::whole_file;
use squall_reports::printable;
use squall_trace::verdict::BUILT_IN_PROPERTIES;
use squall_trace::{Digest, Record, Seed, StrategyChoice, Verdict};

use super::arguments::{Seeds, Sweep, World};
use super::campaign::PROCESSES;
use super::exit::{self, Stop};
use super::explore::{
    FRESH_SEEDS, check, fresh_seeds, in_ns, processors, prove_writable, prove_writable_at, tell_checked,
    tell_randomised,
};
use super::interrupt;
use super::output::{self, Output, without_controls};
use super::programs::{Programs, refuse_idle_strategy};
use super::run::unwritable;
use super::shard::in_hex;
use super::sweep_page::SweptPaged;
use super::swept::{Cell, Failures, Found, Operations, Percentiles, Settings, Side, Swept, Unknowns, failed_of};
use super::vary::Varied;
use crate::explore::{Counted, Explored, counted, in_midst, is_repeated};
use crate::measure::{Heard, measured_of};
use crate::runner::{Simulation, WorldError};
use crate::scenario::{Isolation, Scenario};
use crate::workers::{self, Work};

/// A grid of more cells is a mistake.
const CELLS_MAX: u64 = 10_000;

/// So many different reasons are told why runs of a cell are Unknown; the runs of all others are counted together.
const REASONS_MAX: usize = 8;

/// What latencies are of: said once.
pub const COMPUTATION: &str = "computation takes no virtual time: latencies are of the network and of waiting alone, unless a program sleeps for \
                           what it computes";

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

#[derive(Serialize)]
struct Finished {
    event: &'static str,
    cells: u64,
    runs: u64,
    seconds: f64,
    /// Where its page is, if one was asked for and could be written.
    #[serde(skip_serializing_if = "Option::is_none")]
    page: Option<String>,
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
    let Some((first, files)) = grid.check(programs, arguments, &set)? else { return Ok(exit::INTERRUPTED) };
    if let Some(property) = &arguments.property {
        check_property(&first, property)?;
    }
    if let Some(directory) = &arguments.out {
        prove_writable(directory)?;
    }
    if let Some(path) = &arguments.report {
        prove_writable_at(path)?;
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
    let (sweeper, noted, halt) = loop {
        let mut sweeper = Sweeper {
            programs,
            arguments,
            grid: &grid,
            set: &set,
            files: files.clone(),
            seeds,
            jobs,
            may_leave_threads,
            progress: progress_bar(grid.cells_at_least().saturating_mul(seeds.len())),
            cells: Vec::new(),
            thresholds: Vec::new(),
            runs: 0,
            unrepeated: None,
            noted: BTreeMap::new(),
        };
        let halt = sweeper.run(output).err();
        sweeper.progress.finish_and_clear();
        let Sweeper { cells, thresholds, runs, unrepeated, noted, .. } = sweeper;
        match halt {
            Some(Halt::LeavesThreads) => {
                output::complain(&format!("note: {}", crate::isolation::LEAVING_THREADS));
                set.push(PROCESSES.to_string());
                may_leave_threads = false;
            }
            halt => break (Swept { cells, thresholds, runs, unrepeated }, noted, halt),
        }
    };
    if may_leave_threads {
        // They were kept back, as they might have been for nothing.
        sweeper.cells.iter().try_for_each(|cell| output.json(cell))?;
        sweeper.thresholds.iter().try_for_each(|found| output.json(found))?;
    }
    output.text(&sweeper.in_words(&grid.keys()))?;
    let elapsed_ns = in_ns(begun.elapsed());
    let seconds = elapsed_ns as f64 / 1e9;
    let notes: Vec<String> = noted.iter().map(|(note, settings)| format!("{settings}: {note}")).collect();
    let paged = SweptPaged {
        arguments,
        set: &set,
        scenario: first.name(),
        build: first.build(),
        seeds,
        jobs,
        elapsed_ns,
        varied: &grid.varied,
        find: grid.find.as_ref(),
        cells_at_least: grid.cells_at_least(),
        places: &|number| grid.places(number),
        swept: &sweeper,
        notes: &notes,
        ended: match &halt {
            None => None,
            Some(Halt::Interrupted) => Some("it was interrupted"),
            Some(_) => Some("what the command said at its end says why"),
        },
    };
    let written = arguments.report.as_deref().map(|path| write_page(path, &paged)).transpose();
    let cells = sweeper.cells.len() as u64;
    let interrupted = if halt.is_some() { "ended early: " } else { "" };
    output.text(&format!(
        "{interrupted}{}, {} in {seconds:.2} s",
        printable::counted(cells, "cell"),
        printable::counted(sweeper.runs, "run")
    ))?;
    let page = written.as_ref().ok().cloned().flatten();
    if let Some(page) = &page {
        output.text(&without_controls(&format!("the page of all this: {page}")))?;
    }
    output.json(&Finished { event: "sweep-finished", cells, runs: sweeper.runs, seconds, page })?;
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
        write(directory, &file, &sweeper.csv(&grid.keys()), output)?;
    }
    match halt {
        Some(Halt::Stopped(stop)) => Err(stop),
        _ if written.is_err() => written.map(|_| exit::OWN_ERROR),
        Some(Halt::Interrupted) => Ok(exit::INTERRUPTED),
        _ if sweeper.unrepeated.is_some() => Ok(exit::NONDETERMINISM),
        _ => Ok(exit::PASS),
    }
}

/// Writes the page. Where it is.
fn write_page(path: &Path, paged: &SweptPaged<'_>) -> Result<String, Stop> {
    let page = paged.render();
    whole_file::write(path, |file| file.write_all(page.as_bytes())).map_err(|error| unwritable(path, &error))?;
    Ok(path.display().to_string())
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
    fn check(&self, programs: &Programs, arguments: &Sweep, set: &[String]) -> Result<Option<(Scenario, Files)>, Stop> {
        let mut first: Option<Scenario> = None;
        let mut files = Files::new();
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
                unchanged(&scenario, &mut files)?;
                first.get_or_insert(scenario);
            }
        }
        Ok(Some((first.expect("a grid has a cell"), files)))
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
            printable::counted(cells, "cell"),
            printable::counted(runs, "run"),
            printable::counted(jobs as u64, "job"),
        ))?;
        for setting in &arguments.world.set {
            output.text(&without_controls(&format!("  {setting}")))?;
        }
        output.text(COMPUTATION)?;
        output.flush()
    }

    /// The keys of the cells' settings, in their order.
    fn keys(&self) -> Vec<&str> {
        self.varied.iter().chain(&self.find).map(|one| one.key.as_str()).collect()
    }
}

/// A cell's scenario. Its mistakes are shown in the arguments that they come from.
fn load(programs: &Programs, arguments: &Sweep, set: &[String], chosen: &[(&Varied, usize)]) -> Result<Scenario, Stop> {
    let set = with_settings(set, chosen);
    let scenario = programs.load(&arguments.world.file, &set).map_err(|error| {
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
    })?;
    refuse_idle_strategy(&scenario, &arguments.world)?;
    Ok(scenario)
}

fn with_settings(set: &[String], chosen: &[(&Varied, usize)]) -> Vec<String> {
    set.iter().cloned().chain(chosen.iter().map(|(varied, place)| varied.setting(*place))).collect()
}

/// What the scenarios of a sweep were read from, with the digest of each file.
type Files = BTreeMap<PathBuf, Digest>;

/// A file has to be the same for all cells that are read from it.
fn unchanged(scenario: &Scenario, known: &mut Files) -> Result<(), Stop> {
    for (path, digest) in scenario.files() {
        if *known.entry(path.clone()).or_insert(*digest) != *digest {
            return Err(Stop::Own(format!(
                "{} was edited meanwhile: what was begun with it ends here, and can be begun again",
                path.display()
            )));
        }
    }
    Ok(())
}

/// A sweep that is under way.
struct Sweeper<'s> {
    programs: &'s Programs,
    arguments: &'s Sweep,
    grid: &'s Grid,
    /// Under the grid's.
    set: &'s [String],
    files: Files,
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
    /// What was told already, and of which cell.
    noted: BTreeMap<String, String>,
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
        unchanged(&scenario, &mut self.files)?;
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
            let measured = measured_of(heard, &outcome);
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
                tally.add(&counted, &measured);
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
            if !self.noted.contains_key(&text) {
                self.noted.insert(text.clone(), settings.in_words());
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
        let (of, latencies) = tally.operations.latencies();
        let answered = latencies.answered();
        let virtual_ns = tally.operations.virtual_ns;
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
                of: of.map(OperationsOf::word),
                count: latencies.operations(),
                answered,
                unanswered: latencies.unanswered(),
                unmeasured_runs: tally.operations.unmeasured,
            },
            answered_per_s: per_second(answered, virtual_ns),
            virtual_ns,
            latency_ns: Percentiles::of(latencies),
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

/// To three digits behind the point.
fn per_second(count: u64, ns: u128) -> Option<f64> {
    let thousandths = (u128::from(count) * 1_000_000_000_000 + ns / 2).checked_div(ns)?;
    Some(thousandths as f64 / 1e3)
}

/// What the runs of a cell come to.
#[derive(Default)]
struct Tally {
    explored: Explored,
    operations: Measurements,
    unknowns: Vec<(Option<String>, u64, Seed)>,
}

impl Tally {
    fn add(&mut self, counted: &Counted, measured: &Measured) {
        self.explored.count(counted);
        if let Verdict::Unknown { message } = &counted.verdict {
            self.add_unknown(message.lines().next().unwrap_or_default(), counted.seed);
        }
        self.operations.add(measured);
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

#[cfg(test)]
mod tests {
    use super::*;

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
