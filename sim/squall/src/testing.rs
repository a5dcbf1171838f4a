//! Exploring a world in an ordinary `#[test]`.
//!
//! [`explore`] and `#[squall::test]` run a world with one seed after another, on several threads, and stop at the first
//! seed that doesn't pass: the same one however many threads there are. That seed is run again with everything recorded,
//! and the test panics with a message that says what went wrong; its first line is a command that replays the seed.
//!
//! A failure is shrunk to the perturbations that cause it, and saved below `target/squall/`; the end of the message says them, and
//! the command that replays exactly them. Moved to `squall-regressions/TEST/` in the package, and committed, the file runs before all
//! seeds from then on.
//!
//! Unknown is no pass: a run that was given up, or a property that heard nothing, fails the test as well. So does a goal of the world
//! ([`sometimes`](crate::property::sometimes)) that none of several runs reached. What is marked in the program's code
//! ([`reachable!`](crate::reachable)) and isn't a goal of the world is left to `squall explore`: a test is there for a part of the program.
//!
//! Before anything else the first seed is run twice, with another seed in between; of the others one in a hundred is. Two runs
//! that differ fail the test and name the first event in which they do. Under `isolation = "auto"` the seeds then are run in
//! processes of their own, where more repeats ([`Isolation`]). Those are copies of this test's program, started again for this test
//! alone; so whatever the test does before it explores must be the same each time.
//!
//! | variable | does |
//! |---|---|
//! | `SQUALL_SEED=0x2a` | runs that seed alone and prints its timeline |
//! | `SQUALL_REPLAY=FILE` | runs the failure that was saved in that file and prints its timeline |
//! | `SQUALL_SHRINK=0` | leaves failures as they are: they are neither shrunk nor saved |
//! | `SQUALL_SEEDS=0..5000` | runs these seeds instead of the test's own |
//! | `SQUALL_HANG_AFTER=30` | lets one poll take so many seconds of real time before it counts as a hang; 10 otherwise |
//! | `SQUALL_JOBS=2` | runs so many at once; otherwise as many as there are processors |

use std::any::TypeId;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt::{self, Write as _};
use std::io::Write as _;
use std::panic::Location;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use squall_campaign::failure_file::{FailureFile, Found, Origin};
use squall_engine::World;
use squall_reports::window::Window;
use squall_reports::{Style, render_events, render_perturbations, render_timeline};
use squall_trace::swarm::InWords;
use squall_trace::trace::format_ns;
use squall_trace::{Digest, Outcome, Plan, Record, Seed, StrategyChoice, Trace, Verdict};

use crate::determinism::cut_off;
use crate::divergence::{first_divergence, same_verdict};
use crate::explore::is_repeated;
use crate::failures::{self, Patience, REGRESSIONS, entries_in_words, found_in_words, kept_aside};
pub use crate::isolation::Isolation;
use crate::isolation::LEAVING_THREADS;
use crate::process::{self, Processes, Wanted};
use crate::runner::{HANG_AFTER, HANG_AFTER_VARIABLE, HANG_PROPERTY, Simulation, WorldError, parse_hang_after};
pub use squall_campaign::seeds::SeedRange;

/// How many seeds a test runs unless it says otherwise.
pub const DEFAULT_SEEDS: u64 = 100;

/// How many events a failing test's message shows.
const TAIL_EVENTS: usize = 30;

/// How long a failing test is shrunk at the most: somebody waits for it.
pub(crate) const SHRINK_FOR: Duration = Duration::from_secs(20);

/// Says in a failure file that its runs had processes of their own.
const ISOLATION_PARAMETER: &str = "isolation";

/// Plain text: a panic's message goes anywhere.
pub(crate) const STYLE: Style =
    Style { colour: false, columns: 120, lines_max: None, tasks: false, window: Window::WHOLE, lanes: None };

/// How many perturbations a failing test's message puts in words.
const PERTURBATIONS_IN_WORDS: usize = 8;

/// Runs the world that `build` describes with all `seeds` (`0..1000`, or 1000 for the same), as `#[squall::test]` does.
///
/// # Panics
/// If a seed doesn't pass; see the [module](self). The panic's message begins with the command that replays it.
#[track_caller]
pub fn explore<F>(seeds: impl Into<SeedRange>, build: F)
where
    F: Fn(&mut World) + Send + Sync + 'static,
{
    Exploration::new().seeds(seeds).run(build);
}

/// Seeds to be run, and how.
#[derive(Clone, Debug)]
pub struct Exploration {
    /// The test's path, without the crate's name, if it is known.
    test: Option<String>,
    place: &'static Location<'static>,
    seeds: SeedRange,
    strategy: StrategyChoice,
    isolation: Isolation,
    memory_bytes_max: Option<u64>,
    build: Option<Digest>,
}

impl Exploration {
    /// An exploration in the test that runs now.
    #[must_use]
    #[track_caller]
    #[expect(clippy::new_without_default, reason = "a default doesn't know its caller")]
    pub fn new() -> Exploration {
        Exploration {
            test: running_test(),
            place: Location::caller(),
            seeds: SeedRange::from(DEFAULT_SEEDS),
            strategy: StrategyChoice::default(),
            isolation: Isolation::default(),
            memory_bytes_max: None,
            build: None,
        }
    }

    /// The same for another place.
    #[cfg(feature = "proptest")]
    pub(crate) fn at(place: &'static Location<'static>) -> Exploration {
        Exploration { place, ..Exploration::new() }
    }

    /// An exploration in the test with that path, which begins with the crate's name.
    #[must_use]
    #[track_caller]
    pub fn named(path: &str) -> Exploration {
        let test = path.split_once("::").map_or(path, |(_crate, rest)| rest);
        Exploration { test: Some(test.to_string()), ..Exploration::new() }
    }

    /// Which seeds.
    #[must_use]
    pub fn seeds(mut self, seeds: impl Into<SeedRange>) -> Exploration {
        self.seeds = seeds.into();
        self
    }

    /// Who orders the events of one instant.
    #[must_use]
    pub fn strategy(mut self, strategy: StrategyChoice) -> Exploration {
        self.strategy = strategy;
        self
    }

    /// The same by its name, such as `pct:3:1000`.
    ///
    /// # Panics
    /// If there is none of that name.
    #[must_use]
    #[track_caller]
    pub fn strategy_named(self, name: &str) -> Exploration {
        match name.parse() {
            Ok(strategy) => self.strategy(strategy),
            Err(error) => panic!("{error}"),
        }
    }

    /// Where runs happen.
    #[must_use]
    pub fn isolation(mut self, isolation: Isolation) -> Exploration {
        self.isolation = isolation;
        self
    }

    /// The same by its name: `thread`, `process` or `auto`.
    ///
    /// # Panics
    /// If there is none of that name.
    #[must_use]
    #[track_caller]
    pub fn isolation_named(self, name: &str) -> Exploration {
        match name.parse() {
            Ok(isolation) => self.isolation(isolation),
            Err(error) => panic!("{error}"),
        }
    }

    /// A run fails (property `memory`) if its process wants more than that: heap, stacks and other private memory that can be
    /// written, in bytes. Only where runs have processes of their own.
    #[must_use]
    pub fn memory_bytes_max(mut self, bytes: u64) -> Exploration {
        self.memory_bytes_max = Some(bytes);
        self
    }

    /// Which build this is: [`build_identity!()`](crate::build_identity). Failures that are saved say it.
    #[must_use]
    pub fn build(mut self, build: Digest) -> Exploration {
        self.build = Some(build);
        self
    }

    pub(crate) fn origin(&self) -> Origin<'static> {
        Origin { file: None, build: self.build }
    }

    /// Runs the seeds, or what the environment says instead.
    ///
    /// # Panics
    /// If a seed doesn't pass, if there is none, or if a `SQUALL_…` variable can't be read.
    #[track_caller]
    pub fn run<F>(mut self, build: F)
    where
        F: Fn(&mut World) + Send + Sync + 'static,
    {
        let label = self.label::<F>();
        let Asked::Here(mut simulation) = self.simulation(build) else { return };
        if let Some(file) = self.asked_for::<F>() {
            return self.replay::<F>(&|_| Ok(simulation.clone()), &file, true);
        }
        for path in failures::list(&Path::new(REGRESSIONS).join(failures::file_name_of(&label))) {
            self.replay::<F>(&|_| Ok(simulation.clone()), &path, false);
        }
        let only = variable::<Seed>("SQUALL_SEED");
        if let Some(seed) = only {
            note(&format!("squall: {label} runs seed {seed} alone (SQUALL_SEED)"));
        } else if let Some(seeds) = variable::<SeedRange>("SQUALL_SEEDS") {
            note(&format!("squall: {label} runs seeds {seeds} (SQUALL_SEEDS) instead of {}", self.seeds));
            self.seeds = seeds;
        }
        let explore = |simulation: &Simulation| match only {
            Some(seed) => self.only::<F>(seed, simulation.clone()),
            None => self.find_in::<F>(simulation.clone()),
        };
        let mut result = explore(&simulation);
        if let Err(finding) = &result
            && let (Problem::NotRepeated(_), Isolation::Auto) = (&finding.problem, self.isolation)
        {
            note(&format!("squall: {label}: {LEAVING_THREADS}\n{finding}\n"));
            simulation = simulation.in_processes();
            result = explore(&simulation);
        }
        match result {
            Ok(passed) => eprintln!("squall: {label}: {}", seeds_passed(passed)),
            // As a String: whoever catches it finds the message.
            Err(finding) => match self.shrunk::<F>(&simulation, &finding) {
                Some(shrunk) => panic!("{finding}\n\n{shrunk}"),
                None => panic!("{finding}"),
            },
        }
    }

    /// The file that the environment asks to be replayed, if it is a failure of this test: else the variable is another's.
    #[track_caller]
    pub(crate) fn asked_for<F: 'static>(&self) -> Option<PathBuf> {
        let path = PathBuf::from(std::env::var_os("SQUALL_REPLAY")?);
        let label = self.label::<F>();
        match FailureFile::read(&path) {
            Ok(file) if file.scenario == label => Some(path),
            Ok(file) => {
                note(&format!("squall: {label} runs as usual: SQUALL_REPLAY is a failure of {}", file.scenario));
                None
            }
            Err(error) => panic!("SQUALL_REPLAY: {error}"),
        }
    }

    /// Runs a saved failure again, in the world that belongs to it.
    ///
    /// # Panics
    /// If it still fails, doesn't repeat itself, or is stale.
    #[track_caller]
    pub(crate) fn replay<F: 'static>(
        &self,
        world_of: &dyn Fn(&FailureFile) -> Result<Simulation, String>,
        path: &Path,
        shown: bool,
    ) {
        let label = self.label::<F>();
        let file = FailureFile::read(path).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(file.scenario, label, "{}: it is a failure of another test", path.display());
        let mut simulation = world_of(&file).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        if file.parameters.get(ISOLATION_PARAMETER).is_some_and(|isolation| isolation == "process") {
            simulation = simulation.in_processes();
        }
        let run_twice = |simulation: &Simulation| {
            let run = || {
                let outcome = simulation.try_run_plan(&file.plan(), Record::Full);
                outcome.unwrap_or_else(|error| panic!("{}: {error}", path.display()))
            };
            (run(), run())
        };
        let (mut outcome, mut again) = run_twice(&simulation);
        let differs = |first: &Outcome, second: &Outcome| !is_same(first, second) && cut_off(first, second).is_none();
        if differs(&outcome, &again) && self.isolation == Isolation::Auto && !simulation.is_in_processes() {
            note(&format!("squall: {label}: {LEAVING_THREADS}\n{}\n", where_they_part(&outcome, &again)));
            simulation = simulation.in_processes();
            (outcome, again) = run_twice(&simulation);
        }
        if let (true, Some(trace)) = (shown, &outcome.trace) {
            note(render_timeline(trace, STYLE).trim_end());
        }
        if differs(&outcome, &again) {
            panic!("{} does not repeat itself\n{}", path.display(), where_they_part(&outcome, &again));
        }
        if cut_off(&outcome, &again).is_some() {
            outcome = worse_of(outcome, again);
        }
        let found = Found::new(&file, &outcome);
        let said = format!("{}: {}", path.display(), found_in_words(found, &file, &outcome));
        if outcome.verdict == Verdict::Pass && !found.is_stale() {
            note(&format!("squall: {label}: {said}"));
            return;
        }
        let mut message = format!("{}\n\n{said}\n{}", self.replay_command::<F>(path), entries_in_words(&file));
        // Writing to a String can't fail.
        let _ = describe_outcome(&mut message, &outcome, "the saved failure");
        panic!("{}", message.trim_end());
    }

    /// What a failure comes down to, and where that was saved. `None` where nothing can be said beside the seed.
    fn shrunk<F: 'static>(&self, simulation: &Simulation, finding: &Finding) -> Option<String> {
        static NEVER: AtomicBool = AtomicBool::new(false);
        let Problem::Judged(outcome) = &finding.problem else { return None };
        if !shrinks() || !matches!(outcome.verdict, Verdict::Fail(_)) {
            return None;
        }
        let mut plan = Plan::seeded(self.label::<F>(), finding.seed);
        plan.strategy = self.strategy;
        if simulation.is_in_processes() {
            // Elsewhere it may not be the same run.
            plan.parameters.insert(ISOLATION_PARAMETER.to_string(), Isolation::Process.to_string());
        }
        let whole = || FailureFile::whole(self.origin(), &plan, outcome.digest, &outcome.verdict);
        if is_hung(outcome) {
            // Each try would take as long as it takes to see that a run hangs.
            return Some(self.save::<F>(&whole()));
        }
        let mut patience = Patience::new(SHRINK_FOR, u64::MAX, &NEVER);
        Some(match failures::shrink_and_explain(simulation, &plan, &mut patience) {
            Ok(told) => {
                let saved = self.save::<F>(&FailureFile::shrunk(self.origin(), &told.shrunk));
                format!("{}\n{saved}", told.in_words().trim_end())
            }
            Err(reason) => format!("it can't be shrunk: {reason}\n{}", self.save::<F>(&whole())),
        })
    }

    /// Saves a failure. The command that replays it, or why it isn't saved.
    pub(crate) fn save<F: 'static>(&self, file: &FailureFile) -> String {
        let name = failures::file_name(file);
        let path = target_directory().join("squall").join(failures::file_name_of(&file.scenario)).join(name);
        match file.write_unless_known(&path) {
            Ok(aside) => format!("{}{}", self.replay_command::<F>(&path), kept_aside(aside.as_deref())),
            Err(error) => format!("(it can't be saved: {}: {error})", path.display()),
        }
    }

    fn replay_command<F: 'static>(&self, path: &Path) -> String {
        let path = crate::cli::quoted(&path.display().to_string());
        match self.test::<F>() {
            Some(test) => format!("SQUALL_REPLAY={path} cargo test {}{test} -- --exact", package_option()),
            None => format!("SQUALL_REPLAY={path} cargo test"),
        }
    }

    /// Runs the seeds and gives the first that doesn't pass, for a test of which that is the point. `SQUALL_SEED` and
    /// `SQUALL_SEEDS` don't count here. How many passed, if all did.
    ///
    /// # Errors
    /// The first seed that doesn't pass.
    ///
    /// # Panics
    /// If there is no seed to run.
    #[track_caller]
    pub fn find<F>(&self, build: F) -> Result<u64, Box<Finding>>
    where
        F: Fn(&mut World) + Send + Sync + 'static,
    {
        let (Asked::Here(simulation) | Asked::Elsewhere(simulation)) = self.simulation(build);
        self.find_in::<F>(simulation)
    }

    /// The world as it is to be run. It never returns in a process that only is to know this very world.
    #[track_caller]
    fn simulation<F>(&self, build: F) -> Asked
    where
        F: Fn(&mut World) + Send + Sync + 'static,
    {
        thread_local! {
            /// How often each place of this test has explored.
            static TIMES: RefCell<BTreeMap<String, u64>> = const { RefCell::new(BTreeMap::new()) };
        }
        let place = self.place.to_string();
        let time = TIMES.with_borrow_mut(|times| {
            let time = times.entry(place.clone()).or_default();
            *time += 1;
            *time
        });
        let test = self.test::<F>();
        process::tell_who_ends_it();
        let simulation = Simulation::new(build).hang_after(hang_after());
        let here = Wanted::Exploration { place, time };
        match process::wanted() {
            Some(wanted) if wanted == here => process::serve(&simulation),
            Some(_) => return Asked::Elsewhere(simulation),
            None => {}
        }
        assert!(
            self.memory_bytes_max.is_none() || self.isolation != Isolation::Thread,
            "only a process of its own can be limited: a bound on memory needs isolation = \"process\" (or \"auto\")"
        );
        let Some(test) = test else {
            assert!(
                self.isolation == Isolation::Thread,
                "isolation = \"{}\" needs to know its test: explore in a test's own function, or use Exploration::named",
                self.isolation
            );
            return Asked::Here(simulation);
        };
        let command = move || {
            let mut command = process::this_program()?;
            command.args([&*test, "--exact", "--include-ignored", "--nocapture", "--test-threads=1"]);
            here.ask(&mut command);
            Ok(command)
        };
        let processes = Processes::new(command).memory_bytes_max(self.memory_bytes_max);
        Asked::Here(simulation.with_processes(processes, self.isolation == Isolation::Process))
    }

    #[track_caller]
    fn find_in<F: 'static>(&self, simulation: Simulation) -> Result<u64, Box<Finding>> {
        let jobs = jobs();
        let label = self.label::<F>();
        assert!(!self.seeds.is_empty(), "squall: {label} has no seed to run: the range {} is empty", self.seeds);
        let search = self.search::<F>(simulation);
        match search.first_problem(self.seeds, jobs) {
            None if self.seeds.len() > 1 && !search.goals.unreached().is_empty() => {
                let problem = Problem::NotReached(search.goals.unreached());
                let last = Seed(self.seeds.end() - 1);
                Err(Box::new(self.finding::<F>(last, problem, Some(self.seeds))))
            }
            None => Ok(self.seeds.len()),
            Some((seed, problem)) => Err(Box::new(self.finding::<F>(seed, problem, Some(self.seeds)))),
        }
    }

    /// Runs one seed and prints its timeline.
    fn only<F: 'static>(&self, seed: Seed, simulation: Simulation) -> Result<u64, Box<Finding>> {
        let show = |trace: &Trace| note(render_timeline(trace, STYLE).trim_end());
        match self.search::<F>(simulation).check_first(seed, show) {
            None => {
                note(&format!("squall: seed {seed} passed"));
                Ok(1)
            }
            Some(problem) => Err(Box::new(self.finding::<F>(seed, problem, None))),
        }
    }

    fn search<F: 'static>(&self, simulation: Simulation) -> Search {
        let mut plan = Plan::seeded(self.label::<F>(), Seed(0));
        plan.strategy = self.strategy;
        Search { simulation, plan, goals: Arc::default() }
    }

    /// The test's path, as well as it is known. `F` is the closure that describes the world.
    fn test<F: 'static>(&self) -> Option<String> {
        self.test.clone().or_else(|| test_around(std::any::type_name::<F>()))
    }

    /// What its failures are called: the test, and where that explores several worlds, the how-manieth of them this is.
    pub(crate) fn label<F: 'static>(&self) -> String {
        thread_local! {
            /// In the order in which they were come by.
            static WORLDS: RefCell<BTreeMap<String, Vec<(String, TypeId)>>> = const { RefCell::new(BTreeMap::new()) };
        }
        let place = self.place.to_string();
        let Some(test) = self.test::<F>() else { return format!("the exploration at {place}") };
        // A function that several explorations share has one place, and is given closures of several types.
        let world = (place, TypeId::of::<F>());
        let before = WORLDS.with_borrow_mut(|worlds| {
            let worlds = worlds.entry(test.clone()).or_default();
            worlds.iter().position(|known| *known == world).unwrap_or_else(|| {
                worlds.push(world);
                worlds.len() - 1
            })
        });
        if before == 0 { test } else { format!("{test}.{}", before + 1) }
    }

    fn finding<F: 'static>(&self, seed: Seed, problem: Problem, seeds: Option<SeedRange>) -> Finding {
        let test = self.test::<F>();
        if let (Problem::NotReached(_), Some(seeds)) = (&problem, seeds) {
            let mut message = String::new();
            // Writing to a String can't fail.
            let _ = problem.describe(&mut message, &format!("seeds {seeds}"));
            return Finding { seed, passed: seeds.len(), problem, message: message.trim_end().to_string() };
        }
        let mut message = match &test {
            Some(test) => format!("SQUALL_SEED={seed} cargo test {}{test} -- --exact\n\n", package_option()),
            // The name of the test is anyone's guess; what follows says which one it is.
            None => format!("SQUALL_SEED={seed} cargo test\n\n(the test that explores at {})\n", self.place),
        };
        let passed = seeds.map_or(0, |seeds| seed.0 - seeds.start());
        let before = match seeds {
            Some(seeds) if passed > 0 => format!(" ({passed} of {seeds} passed before it)"),
            Some(seeds) => format!(" (the first of {seeds})"),
            None => String::new(),
        };
        // Writing to a String can't fail.
        let _ = problem.describe(&mut message, &format!("seed {seed}{before}"));
        Finding { seed, passed, problem, message: message.trim_end().to_string() }
    }
}

/// Who asks for a world to be run.
enum Asked {
    Here(Simulation),
    /// The process only is to know the world of another exploration of the same test.
    Elsewhere(Simulation),
}

/// A seed that doesn't pass. Its `Display` is the message of a failing test.
#[derive(Clone, Debug)]
pub struct Finding {
    /// Which one.
    pub seed: Seed,
    /// How many passed before it.
    pub passed: u64,
    /// What is the matter with it.
    pub problem: Problem,
    message: String,
}

impl Finding {
    /// The property that failed.
    #[must_use]
    pub fn property(&self) -> Option<&str> {
        match &self.problem {
            Problem::Judged(outcome) => outcome.verdict.property(),
            _ => None,
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Finding {}

/// What is the matter with a seed.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Problem {
    /// The run failed, or nobody can say whether it did. Everything is recorded, unless the run hangs.
    Judged(Box<Outcome>),
    /// The same plan gave two different runs: in words, where they part.
    NotRepeated(String),
    /// There was no run: its world can't be described. The panic's message.
    NoWorld(String),
    /// Every seed passed, and no run reached these goals of the world.
    NotReached(Vec<String>),
}

impl Problem {
    pub(crate) fn describe(&self, out: &mut String, seed: &str) -> fmt::Result {
        match self {
            Problem::Judged(outcome) => describe_outcome(out, outcome, seed),
            Problem::NotRepeated(where_they_part) => writeln!(
                out,
                "{seed} does not repeat itself: run twice in this process, it gave two different runs\n{where_they_part}\n\
                 Something decides that isn't drawn from the seed: a static, a thread-local, an address, the environment, \
                 another thread."
            ),
            Problem::NoWorld(message) => {
                writeln!(out, "{seed} can't be run: its world can't be described\n  {message}")
            }
            Problem::NotReached(goals) => write_unreached(out, seed, goals),
        }
    }
}

pub(crate) fn describe_outcome(out: &mut String, outcome: &Outcome, seed: &str) -> fmt::Result {
    match &outcome.verdict {
        Verdict::Pass => writeln!(out, "{seed} passed")?,
        Verdict::Fail(failure) => {
            writeln!(out, "property {} failed with {seed}", failure.property)?;
            write!(out, "at {}, event {}", format_ns(failure.at_ns), failure.step)?;
            if let Some(node) = failure.node {
                write!(out, ", on {}", outcome.names.node(node))?;
            }
            if let Some(task) = failure.task.and_then(|task| outcome.names.tasks.get(&task)) {
                write!(out, ", in {}", task.label)?;
            }
            writeln!(out, ":")?;
            write_indented(out, &failure.message)?;
        }
        Verdict::Unknown { message } => {
            writeln!(out, "nobody knows whether {seed} is right, and Unknown is no pass:")?;
            write_indented(out, message)?;
            writeln!(out, "the search ended here: whether a later seed fails, it doesn't say")?;
            writeln!(out, "the run ended at {}: {}", format_ns(outcome.ending.at_ns), outcome.ending.reason)?;
        }
    }
    let weather = render_perturbations(&outcome.perturbations, &outcome.names, PERTURBATIONS_IN_WORDS, STYLE.columns);
    write!(out, "\n{weather}")?;
    if !outcome.swarm.is_empty() {
        writeln!(out, "this run of a swarm was {}", InWords(&outcome.swarm))?;
    }
    if !outcome.escapes.is_empty() {
        writeln!(out, "\nwhat this run did outside of the simulation, so that it may not repeat itself:")?;
        for escape in &outcome.escapes {
            writeln!(out, "  {escape}")?;
        }
    }
    if let Some(trace) = &outcome.trace {
        writeln!(out, "\n{}", render_events(trace, Style { lines_max: Some(TAIL_EVENTS), ..STYLE }))?;
    }
    Ok(())
}

fn write_indented(out: &mut String, text: &str) -> fmt::Result {
    text.lines().try_for_each(|line| writeln!(out, "  {line}"))
}

/// Says that no run reached these goals.
pub(crate) fn write_unreached(out: &mut String, runs: &str, goals: &[String]) -> fmt::Result {
    let several = if goals.len() == 1 { "a goal" } else { "goals" };
    writeln!(out, "{runs}: no run reached {several} that some run is to reach:")?;
    goals.iter().try_for_each(|goal| match squall_engine::goal::places_of(goal) {
        places if places.is_empty() => writeln!(out, "  {goal}"),
        places => writeln!(out, "  {goal} ({places})"),
    })?;
    writeln!(out, "Run more seeds, or make what leads there more likely.")
}

/// The goals of a world, and whether a run has reached them.
#[derive(Debug, Default)]
pub(crate) struct Goals(Mutex<BTreeMap<String, bool>>);

impl Goals {
    fn see(&self, outcome: &Outcome) {
        if outcome.goals.is_empty() {
            return;
        }
        let mut goals = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for reached in &outcome.goals {
            match goals.get_mut(&reached.goal) {
                Some(known) => *known |= reached.times > 0,
                None => {
                    goals.insert(reached.goal.clone(), reached.times > 0);
                }
            }
        }
    }

    /// Those that no run has reached.
    pub fn unreached(&self) -> Vec<String> {
        let goals = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        goals.iter().filter(|(_, reached)| !**reached).map(|(goal, _)| goal.clone()).collect()
    }
}

/// Runs of one world by plans that differ in their seed.
pub(crate) struct Search {
    pub simulation: Simulation,
    pub plan: Plan,
    pub goals: Arc<Goals>,
}

/// A run, or why there was none.
type Attempt = Result<Outcome, WorldError>;

impl Search {
    fn attempt(&self, seed: Seed, record: Record) -> Attempt {
        let plan = Plan { seed, ..self.plan.clone() };
        self.simulation.try_run_plan(&plan, record)
    }

    /// The first seed that doesn't pass, and what is the matter with it.
    pub fn first_problem(&self, seeds: SeedRange, jobs: u64) -> Option<(Seed, Problem)> {
        let first = Seed(seeds.start());
        self.check_first(first, |_trace| {}).map(|problem| (first, problem)).or_else(|| {
            let rest = SeedRange::new(first.0 + 1, seeds.end());
            let (seed, found) = self.first_that_does_not_pass(rest, jobs)?;
            Some((Seed(seed), self.confirm(Seed(seed), found)))
        })
    }

    /// Runs a seed once, or twice. What is the matter with it, if anything.
    pub fn check(&self, seed: Seed, is_repeated: bool) -> Option<Problem> {
        let found = self.attempt(seed, Record::Digest);
        if let Ok(outcome) = &found {
            self.goals.see(outcome);
        }
        if !is_repeated && matches!(&found, Ok(outcome) if outcome.verdict == Verdict::Pass) {
            return None;
        }
        match self.confirm(seed, found) {
            Problem::Judged(outcome) if outcome.verdict == Verdict::Pass => None,
            problem => Some(problem),
        }
    }

    /// Runs a seed twice, with another one in between, and compares. What is the matter with it, if anything.
    pub fn check_first(&self, seed: Seed, show: impl FnOnce(&Trace)) -> Option<Problem> {
        let first = match self.attempt(seed, Record::Full) {
            Ok(outcome) => outcome,
            Err(message) => return Some(Problem::NoWorld(message.to_string())),
        };
        self.goals.see(&first);
        if let Some(trace) = &first.trace {
            show(trace);
        }
        if !is_hung(&first) {
            // Whatever the other run comes to: it is there to leave traces in the process.
            let _ = self.attempt(Seed(seed.0.wrapping_add(1)), Record::Digest);
            match self.attempt(seed, Record::Full) {
                Ok(second) if second.digest == first.digest => {}
                Ok(second) if cut_off(&first, &second).is_some() => {
                    return Some(Problem::Judged(Box::new(worse_of(first, second))));
                }
                Ok(second) => return Some(Problem::NotRepeated(where_they_part(&first, &second))),
                Err(message) => {
                    let text = format!("the second time its world could not be described: {message}");
                    return Some(Problem::NotRepeated(text));
                }
            }
        }
        (first.verdict != Verdict::Pass).then(|| Problem::Judged(Box::new(first)))
    }

    /// The first in seed order, whatever the number of jobs: seeds are begun in order, and those below the lowest one
    /// found so far are finished before the search ends.
    fn first_that_does_not_pass(&self, seeds: SeedRange, jobs: u64) -> Option<(u64, Attempt)> {
        let next = AtomicU64::new(0);
        let bound = AtomicU64::new(seeds.len());
        let found: Mutex<Option<(u64, Attempt)>> = Mutex::new(None);
        let work = || {
            loop {
                let index = next.fetch_add(1, Ordering::Relaxed);
                if index >= bound.load(Ordering::Relaxed) {
                    return;
                }
                let seed = seeds.start() + index;
                let mut attempt = self.attempt(Seed(seed), Record::Digest);
                if let Ok(outcome) = &attempt
                    && outcome.verdict == Verdict::Pass
                {
                    self.goals.see(outcome);
                    if !is_repeated(Seed(seed)) {
                        continue;
                    }
                    let first = outcome.digest;
                    let again = self.attempt(Seed(seed), Record::Digest);
                    if matches!(&again, Ok(outcome) if outcome.digest == first) {
                        continue;
                    }
                    // Whoever confirms it sees that it doesn't repeat.
                    attempt = again;
                }
                bound.fetch_min(index, Ordering::Relaxed);
                let mut found = found.lock().unwrap_or_else(PoisonError::into_inner);
                if found.as_ref().is_none_or(|(lowest, _)| seed < *lowest) {
                    *found = Some((seed, attempt));
                }
            }
        };
        std::thread::scope(|scope| {
            for _ in 0..jobs.min(seeds.len()) {
                scope.spawn(work);
            }
        });
        found.into_inner().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs a seed that didn't pass again, fully recorded.
    fn confirm(&self, seed: Seed, found: Attempt) -> Problem {
        let found = match found {
            Ok(outcome) if is_hung(&outcome) => return Problem::Judged(Box::new(outcome)),
            Ok(outcome) => outcome,
            Err(message) => return Problem::NoWorld(message.to_string()),
        };
        match self.attempt(seed, Record::Full) {
            Ok(full) if is_same(&full, &found) => Problem::Judged(Box::new(full)),
            Ok(full) if cut_off(&found, &full).is_some() => Problem::Judged(Box::new(worse_of(found, full))),
            Ok(full) => {
                // The run that was found has no record: a third one has to stand for it.
                let text = match self.attempt(seed, Record::Full) {
                    Ok(third) if third.digest != full.digest => where_they_part(&full, &third),
                    _ => where_they_part(&found, &full),
                };
                Problem::NotRepeated(text)
            }
            Err(message) => Problem::NotRepeated(format!("again, its world could not be described: {message}")),
        }
    }
}

/// Of two runs, one of which didn't end by itself, what is the worse for whoever asks whether it passes.
pub(crate) fn worse_of(first: Outcome, second: Outcome) -> Outcome {
    let verdict = first.verdict.clone().worse(second.verdict.clone());
    if verdict == first.verdict { first } else { second }
}

/// Whether failures are to be shrunk.
pub(crate) fn shrinks() -> bool {
    std::env::var_os("SQUALL_SHRINK").is_none_or(|value| value != "0")
}

pub(crate) fn is_hung(outcome: &Outcome) -> bool {
    outcome.verdict.property() == Some(HANG_PROPERTY)
}

/// Whether two runs of a plan are one, as far as anybody sees.
pub(crate) fn is_same(first: &Outcome, second: &Outcome) -> bool {
    first.digest == second.digest && same_verdict(&first.verdict, &second.verdict)
}

/// In words, over a few lines.
pub(crate) fn where_they_part(first: &Outcome, second: &Outcome) -> String {
    let mut text = match (&first.trace, &second.trace) {
        (Some(left), Some(right)) => match first_divergence(left, right) {
            Some(divergence) => divergence.to_string(),
            None => "their events are the same, but not their digests".to_string(),
        },
        _ => {
            let end = |outcome: &Outcome| {
                let (verdict, ending) = (outcome.verdict.word(), &outcome.ending);
                format!("{verdict} at {} after {} events", format_ns(ending.at_ns), ending.events)
            };
            format!("  first run  {}\n  second run {}", end(first), end(second))
        }
    };
    let mut escapes: Vec<&String> = first.escapes.iter().chain(&second.escapes).collect();
    escapes.sort();
    escapes.dedup();
    if !escapes.is_empty() {
        text.push_str("\nthey did this outside of the simulation:");
        for escape in escapes {
            let _ = write!(text, "\n  {escape}");
        }
    }
    text
}

fn seeds_passed(count: u64) -> String {
    if count == 1 { "1 seed passed".to_string() } else { format!("{count} seeds passed") }
}

/// Cargo's target directory, in which test binaries lie; the temporary one for a program that lies elsewhere.
pub(crate) fn target_directory() -> PathBuf {
    let program = std::env::current_exe().unwrap_or_default();
    target_directory_of(&program).map_or_else(std::env::temp_dir, Path::to_path_buf)
}

fn target_directory_of(program: &Path) -> Option<&Path> {
    // Cargo leaves the one mark in directories that it makes, and the other in each that it uses.
    let is_marked = |above: &Path| above.join("CACHEDIR.TAG").is_file() || above.join(".rustc_info.json").is_file();
    let marked = program.ancestors().skip(1).find(|above| is_marked(above));
    // Copied to elsewhere: TARGET/PROFILE/deps/PROGRAM.
    marked.or_else(|| {
        let deps = program.parent().filter(|above| above.file_name().is_some_and(|name| name == "deps"))?;
        deps.parent()?.parent()
    })
}

/// To whoever set a variable, past the capturing of the test's output.
pub(crate) fn note(text: &str) {
    let _ = writeln!(std::io::stderr().lock(), "{text}");
}

/// What a variable says.
#[track_caller]
pub(crate) fn variable<T: std::str::FromStr<Err = String>>(name: &str) -> Option<T> {
    read_variable(name).unwrap_or_else(|error| panic!("{error}"))
}

fn read_variable<T: std::str::FromStr<Err = String>>(name: &str) -> Result<Option<T>, String> {
    let Some(text) = std::env::var_os(name) else { return Ok(None) };
    text.to_string_lossy().parse().map(Some).map_err(|error| format!("{name}: {error}"))
}

/// Whether all variables that choose what is run can be read.
///
/// # Errors
/// The first that can't be, and why.
pub(crate) fn check_variables() -> Result<(), String> {
    read_variable::<Seed>("SQUALL_SEED")?;
    if let Some(seeds) = read_variable::<SeedRange>("SQUALL_SEEDS")?.filter(|seeds| seeds.is_empty()) {
        return Err(format!("SQUALL_SEEDS: there is no seed in {seeds}"));
    }
    read_variable::<HangAfter>(HANG_AFTER_VARIABLE)?;
    read_variable::<Jobs>("SQUALL_JOBS")?;
    Ok(())
}

struct Jobs(u64);

impl std::str::FromStr for Jobs {
    type Err = String;

    fn from_str(text: &str) -> Result<Jobs, String> {
        match text.parse() {
            Ok(count) if count > 0 => Ok(Jobs(count)),
            _ => Err(format!("expected a number of runs at once, 1 or more, found {text:?}")),
        }
    }
}

struct HangAfter(Duration);

impl std::str::FromStr for HangAfter {
    type Err = String;

    fn from_str(text: &str) -> Result<HangAfter, String> {
        parse_hang_after(text).map(HangAfter)
    }
}

/// How long a poll may take in real time.
#[track_caller]
pub(crate) fn hang_after() -> Duration {
    variable::<HangAfter>(HANG_AFTER_VARIABLE).map_or(HANG_AFTER, |time| time.0)
}

/// How many runs at once.
#[track_caller]
pub(crate) fn jobs() -> u64 {
    let available = || std::thread::available_parallelism().map_or(1, |count| count.get() as u64);
    variable::<Jobs>("SQUALL_JOBS").map_or_else(available, |jobs| jobs.0)
}

/// The path of the test that runs now: libtest names its thread so. With one thread for all tests it doesn't, but then it
/// may have been asked for that very test.
fn running_test() -> Option<String> {
    let thread = std::thread::current();
    if let Some(name) = thread.name().filter(|name| *name != "main") {
        return Some(name.to_string());
    }
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let mut filters = arguments.iter().filter(|argument| !argument.starts_with('-'));
    match (filters.next(), filters.next()) {
        (Some(only), None) if arguments.iter().any(|argument| argument == "--exact") => Some(only.clone()),
        _ => None,
    }
}

/// The function around a closure, by the closure's type: without the crate's name.
fn test_around(closure: &str) -> Option<String> {
    let (function, _) = closure.split_once("::{{closure}}")?;
    function.split_once("::").map(|(_crate, path)| path.to_string())
}

/// `-p NAME ` for a member of a workspace: at its root, `cargo test` may leave the member out.
pub(crate) fn package_option() -> String {
    let (Some(name), Some(directory)) = (std::env::var_os("CARGO_PKG_NAME"), std::env::var_os("CARGO_MANIFEST_DIR"))
    else {
        return String::new();
    };
    let is_workspace = |directory: &Path| {
        std::fs::read_to_string(directory.join("Cargo.toml"))
            .is_ok_and(|manifest| manifest.lines().any(|line| line.trim() == "[workspace]"))
    };
    if Path::new(&directory).ancestors().skip(1).any(is_workspace) {
        format!("-p {} ", name.to_string_lossy())
    } else {
        String::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_target_directory_is_found_however_it_was_made() {
        let directory = tempfile::tempdir().unwrap();
        let (target, deps) = (directory.path().join("target"), directory.path().join("target/debug/deps"));
        std::fs::create_dir_all(&deps).unwrap();
        let program = deps.join("scenarios-0123");
        assert_eq!(target_directory_of(&program), Some(&*target), "by its place");
        let elsewhere = directory.path().join("bin/scenarios");
        assert_eq!(target_directory_of(&elsewhere), None);
        for mark in [".rustc_info.json", "CACHEDIR.TAG"] {
            let nested = directory.path().join(mark.trim_start_matches('.')).join("x86_64-unknown-linux-gnu/debug");
            std::fs::create_dir_all(&nested).unwrap();
            let target = nested.ancestors().nth(2).unwrap();
            std::fs::write(target.join(mark), "").unwrap();
            assert_eq!(target_directory_of(&nested.join("deps/scenarios-0123")), Some(target), "{mark}");
        }
    }

    #[test]
    fn the_test_around_a_closure_is_found_by_its_type() {
        assert_eq!(test_around("crate::module::test::{{closure}}"), Some("module::test".to_string()));
        assert_eq!(test_around("crate::function"), None);
        let closure = || {};
        fn name<F>(_: &F) -> &'static str {
            std::any::type_name::<F>()
        }
        let expected = running_test();
        assert_eq!(test_around(name(&closure)), expected);
    }
}
