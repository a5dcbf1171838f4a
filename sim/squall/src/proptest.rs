//! Property tests over an input and a world: the input by `proptest`, the weather by Squall.
//!
//! ```no_run
//! use proptest::prelude::*;
//! use squall::prelude::*;
//!
//! // In an ordinary `#[test]`:
//! squall::proptest::check(proptest::collection::vec(0..10u64, 1..20), |world, deposits| {
//!     let deposits = deposits.clone();
//!     world.client("client", move || {
//!         let deposits = deposits.clone();
//!         async move { for deposit in deposits { /* … */ } }
//!     });
//!     world.network().latency(uniform(1.ms(), 10.ms())).loss(percent(5));
//! });
//! ```
//!
//! Each case has an input and a seed. A failing one is shrunk on both sides: the weather to the perturbations that the failure takes,
//! the input by proptest, with that weather held (the loss of the seventh call, say, which may be another call's by then, or that of an
//! earlier one) and, where it then doesn't fail, with all that the seed draws; then the weather once more, for the input that is left. It is saved once, as a failure file below `target/squall/` that carries the input
//! (`[parameters] input = "…"`, as JSON); `SQUALL_REPLAY=FILE` runs it again, and a file that is moved to `squall-regressions/TEST/` in the
//! package runs first from then on. proptest's own files of seeds aren't written.
//!
//! | variable | does |
//! |---|---|
//! | `PROPTEST_CASES=1000` | runs so many cases, and the other variables of proptest do what they do ([`::proptest::test_runner::Config`]) |
//! | `PROPTEST_RNG_SEED=7` | draws the same cases each time |
//! | `SQUALL_REPLAY=FILE` | runs the failure that was saved in that file and prints its timeline |
//! | `SQUALL_SHRINK=0` | saves a failure as it was found |
//!
//! The first case is run twice, with another seed in between; of the others one in a hundred is, and every one that doesn't pass. Two runs
//! that differ fail the test. An input that JSON can't hold as it is (NaN, a map whose keys are no text) is told, but not saved.
//!
//! Goals of the world ([`sometimes`](crate::property::sometimes)) are to be reached in some case.
//!
//! Runs happen on threads, one after another. The strategies [`workloads`], [`link_weather`] and [`plans`] serve in any property test.

use std::fmt::{Debug, Write as _};
use std::panic::Location;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use ::proptest::collection::{SizeRange, vec};
use ::proptest::prelude::{Just, any};
use ::proptest::strategy::{Strategy, ValueTree};
use ::proptest::test_runner::{Config, TestRunner};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use squall_campaign::failure_file::{FailureFile, Found};
use squall_campaign::shrink::{Budget, loosened};
use squall_engine::latency::Latency;
use squall_engine::{Link, World};
use squall_trace::plan::Bases;
use squall_trace::{Base, Digest, Outcome, Plan, Ratio, Record, Seed, SiteKind, StrategyChoice, Verdict};

use crate::failures::{self, Patience, REGRESSIONS, Told};
use crate::runner::{HANG_PROPERTY, Simulation};
use crate::testing::{self, Exploration, Goals, Problem, SHRINK_FOR, Search, describe_outcome, hang_after, is_hung};

/// The parameter of a plan that is its input, as JSON.
const INPUT_PARAMETER: &str = "input";

/// Runs the world that `build` describes with inputs that `inputs` draws, each under weather of its own.
///
/// # Panics
/// With the first case that doesn't pass, shrunk: the message's first line is the command that replays it. If the strategy gives up.
#[track_caller]
pub fn check<S, F>(inputs: S, build: F)
where
    S: Strategy,
    S::Value: Serialize + DeserializeOwned + Send + Sync + 'static,
    F: Fn(&mut World, &S::Value) + Send + Sync + 'static,
{
    Check::new(inputs).run(build);
}

/// A property over an input and a world, and how it is checked.
#[derive(Clone, Debug)]
pub struct Check<S> {
    exploration: Exploration,
    inputs: S,
    config: Config,
    seeds_per_case: u32,
}

impl<S> Check<S>
where
    S: Strategy,
    S::Value: Serialize + DeserializeOwned + Send + Sync + 'static,
{
    /// With proptest's own configuration (256 cases, or what the environment says), and one seed for each input.
    #[must_use]
    #[track_caller]
    pub fn new(inputs: S) -> Check<S> {
        Check { exploration: Exploration::at(Location::caller()), inputs, config: Config::default(), seeds_per_case: 1 }
    }

    /// Another configuration. Its files of failures aren't used.
    #[must_use]
    pub fn config(mut self, config: Config) -> Check<S> {
        self.config = config;
        self
    }

    /// Which build this is: [`build_identity!()`](crate::build_identity). Failures that are saved say it.
    #[must_use]
    pub fn build(mut self, build: Digest) -> Check<S> {
        self.exploration = self.exploration.build(build);
        self
    }

    /// Each input is run under so many seeds, at least one.
    #[must_use]
    pub fn seeds_per_case(mut self, seeds: u32) -> Check<S> {
        self.seeds_per_case = seeds.max(1);
        self
    }

    /// Runs what was saved, then the cases.
    ///
    /// # Panics
    /// As [`check`].
    #[track_caller]
    pub fn run<F>(self, build: F)
    where
        F: Fn(&mut World, &S::Value) + Send + Sync + 'static,
    {
        let build = Arc::new(build);
        let world = move |input: &Arc<S::Value>| -> Simulation {
            let (build, input) = (Arc::clone(&build), Arc::clone(input));
            Simulation::new(move |world| build(world, &input)).hang_after(hang_after())
        };
        let saved_world = |file: &FailureFile| Ok(world(&Arc::new(input_of(file)?)));
        if let Some(file) = self.exploration.asked_for::<F>() {
            return self.exploration.replay::<F>(&saved_world, &file, true);
        }
        let label = self.exploration.label::<F>();
        for path in failures::list(&Path::new(REGRESSIONS).join(failures::file_name_of(&label))) {
            self.exploration.replay::<F>(&saved_world, &path, false);
        }
        for variable in ["SQUALL_SEED", "SQUALL_SEEDS"] {
            if std::env::var_os(variable).is_some() {
                testing::note(&format!(
                    "squall: {label} draws its seeds with its inputs: {variable} changes nothing, PROPTEST_RNG_SEED does"
                ));
            }
        }
        let cases = self.config.cases;
        assert!(cases > 0, "squall: {label} has no case to run: PROPTEST_CASES is 0");
        // A failure is saved by Squall, with its input.
        let mut runner = TestRunner::new(Config { failure_persistence: None, ..self.config.clone() });
        let mut is_first = true;
        let goals = Arc::new(Goals::default());
        for case in 0..cases {
            let tree = self.inputs.new_tree(&mut runner);
            let tree = match tree {
                Ok(tree) => tree,
                Err(reason) => panic!("squall: {label}: the strategy gives no input: {reason}"),
            };
            for _ in 0..self.seeds_per_case {
                let seed = any::<u64>().new_tree(&mut runner).map_or(u64::from(case), |seed| seed.current());
                let plan = Plan::seeded(label.clone(), Seed(seed));
                let simulation = world(&Arc::new(tree.current()));
                let search = Search { simulation, plan: plan.clone(), goals: Arc::clone(&goals) };
                let problem = match is_first {
                    true => search.check_first(Seed(seed), |_trace| {}),
                    false => search.check(Seed(seed), case % REPEATED_EVERY == REPEATED_EVERY - 1),
                };
                is_first = false;
                if let Some(problem) = problem {
                    let found = format!("case {} of {cases}, seed {}", case + 1, plan.seed);
                    let message = self.failed::<F>(&world, Case { tree, plan, found }, &problem);
                    panic!("{message}");
                }
            }
        }
        let unreached = goals.unreached();
        if cases > 1 && !unreached.is_empty() {
            let mut message = String::new();
            // Writing to a String can't fail.
            let _ = testing::write_unreached(&mut message, &format!("{label}, {cases} cases"), &unreached);
            panic!("{}", message.trim_end());
        }
        eprintln!("squall: {label}: {cases} cases passed");
    }

    /// What is said of a case that doesn't pass. Where there is a run, it is saved.
    fn failed<F: 'static>(&self, world: &WorldOf<'_, S::Value>, mut case: Case<S::Tree>, problem: &Problem) -> String {
        let mut text = String::new();
        let found = case.found.clone();
        let outcome = match problem {
            Problem::Judged(outcome) => outcome,
            Problem::NoWorld(_) | Problem::NotRepeated(_) | Problem::NotReached(_) => {
                if let Problem::NoWorld(_) = problem {
                    self.shrink_input(&mut case.tree, &mut |input| {
                        world(&input).try_run_plan(&case.plan, Record::Digest).is_err().then_some(())
                    });
                }
                // Writing to a String can't fail.
                let _ = problem.describe(&mut text, &found);
                let _ = write!(text, "\ninput: {:#?}", case.tree.current());
                return text;
            }
        };
        let is_shrunk = testing::shrinks() && matches!(outcome.verdict, Verdict::Fail(_)) && !is_hung(outcome);
        match is_shrunk.then(|| self.shrink(world, &mut case, outcome)).flatten() {
            Some(Smallest { input, told }) => {
                let file = FailureFile::shrunk(self.exploration.origin(), &told.shrunk);
                let saved = self.save::<F>(world, file, &input);
                let _ = writeln!(text, "{saved}\n\n{found}, shrunk on both sides\ninput: {input:#?}");
                let _ = writeln!(text, "{}", told.in_words().trim_end());
                let _ = describe_outcome(&mut text, &told.shrunk.outcome, "what is left");
            }
            None => {
                let input = case.tree.current();
                let Outcome { digest, verdict, .. } = &**outcome;
                let file = FailureFile::whole(self.exploration.origin(), &case.plan, *digest, verdict);
                let saved = self.save::<F>(world, file, &input);
                let _ = writeln!(text, "{saved}\n\ninput: {input:#?}");
                let _ = describe_outcome(&mut text, outcome, &found);
            }
        }
        text.trim_end().to_string()
    }

    /// Saves a failure with its input, and sees that the file repeats it. The command that replays it, or why there is none.
    fn save<F: 'static>(&self, world: &WorldOf<'_, S::Value>, mut file: FailureFile, input: &S::Value) -> String {
        let again = match written(input) {
            Ok((json, again)) => {
                file.parameters.insert(INPUT_PARAMETER.to_string(), json);
                again
            }
            Err(why) => return format!("(it can't be saved: {why})"),
        };
        let saved = self.exploration.save::<F>(&file);
        if file.property == HANG_PROPERTY {
            // To run it again would take as long as it takes to see that it hangs.
            return saved;
        }
        match world(&Arc::new(again)).try_run_plan(&file.plan(), Record::Digest) {
            Ok(outcome) if Found::new(&file, &outcome) == Found::Same => saved,
            _ => format!("{saved}\n\nnote: the file doesn't repeat the run that it was made of"),
        }
    }

    /// Takes an input to smaller ones as long as `fails` says something of them: what it said of the smallest.
    fn shrink_input<R>(
        &self,
        tree: &mut S::Tree,
        fails: &mut dyn FnMut(Arc<S::Value>) -> Option<R>,
    ) -> Option<(Arc<S::Value>, R)> {
        static NEVER: AtomicBool = AtomicBool::new(false);
        let mut patience = Patience::new(SHRINK_FOR, u64::MAX, &NEVER);
        // The smallest so far needn't be where the tree stands: it goes on from inputs that pass as well.
        let mut smallest = None;
        let mut tries = 0;
        let mut moved = tree.simplify();
        while moved && tries < self.config.max_shrink_iters() && patience.allows(u64::from(tries)) {
            tries += 1;
            let input = Arc::new(tree.current());
            moved = match fails(Arc::clone(&input)) {
                Some(said) => {
                    smallest = Some((input, said));
                    tree.simplify()
                }
                None => tree.complicate(),
            };
        }
        smallest
    }

    /// Weather, input, weather. `None` if the case's weather can't be shrunk.
    fn shrink(
        &self,
        world: &WorldOf<'_, S::Value>,
        case: &mut Case<S::Tree>,
        outcome: &Outcome,
    ) -> Option<Smallest<S::Value>> {
        static NEVER: AtomicBool = AtomicBool::new(false);
        let property = outcome.verdict.property().unwrap_or_default().to_string();
        // Each search has a patience of its own: what one took is no reason for the next to stop.
        let weather = |input: &Arc<S::Value>, plan: &Plan| {
            let mut patience = Patience::new(SHRINK_FOR, u64::MAX, &NEVER);
            failures::shrink_and_explain(&world(input), plan, &mut patience)
        };
        let original = Arc::new(case.tree.current());
        let told = weather(&original, &case.plan).ok()?;
        let mut plan = told.shrunk.plan.clone();
        // The plan of a run with the same failure, if there is one.
        let smallest = self.shrink_input(&mut case.tree, &mut |input| {
            let simulation = world(&input);
            let moved = (0..=PLACES_MAX).map_while(|earlier| loosened(&plan, earlier));
            let found = moved.chain([case.plan.clone()]).find_map(|plan| {
                let outcome = simulation.try_run_plan(&plan, Record::Perturbations).ok()?;
                let fails = outcome.verdict.property() == Some(&*property);
                fails.then(|| plan.only(&outcome.perturbations))
            })?;
            plan.clone_from(&found);
            Some(found)
        });
        let smaller = smallest.and_then(|(input, plan)| {
            let told = weather(&input, &plan).ok()?;
            Some(Smallest { input, told })
        });
        // Where it fails in part by what isn't in the plan, it is as large as it was.
        smaller.or(Some(Smallest { input: original, told }))
    }
}

/// The world that belongs to an input.
type WorldOf<'w, V> = dyn Fn(&Arc<V>) -> Simulation + 'w;

/// Of so many cases one that passes is run again.
const REPEATED_EVERY: u32 = 100;

/// How many places earlier in their flow messages are looked for when the input is shrunk.
const PLACES_MAX: u64 = 32;

/// A case that doesn't pass.
struct Case<T> {
    tree: T,
    plan: Plan,
    /// Which one it is, in words.
    found: String,
}

/// What is left of a failing case.
struct Smallest<V> {
    input: Arc<V>,
    told: Told,
}

/// An input as a failure file carries it, and as it is read from there.
fn written<V: Serialize + DeserializeOwned + Debug>(input: &V) -> Result<(String, V), String> {
    let json = serde_json::to_string(input).map_err(|error| format!("the input can't be written as JSON: {error}"))?;
    let again: V = serde_json::from_str(&json)
        .map_err(|error| format!("the input can't be read again from JSON, {json}: {error}"))?;
    // A map of std tells its entries in any order.
    let told = |input: &V| {
        let mut told = format!("{input:?}").into_bytes();
        told.sort_unstable();
        (told, serde_json::to_value(input).ok())
    };
    if told(&again) == told(input) {
        Ok((json, again))
    } else {
        Err(format!("the input isn't the same when it is read again from JSON, {json}"))
    }
}

/// The input that a failure file carries.
fn input_of<V: DeserializeOwned>(file: &FailureFile) -> Result<V, String> {
    let json = file.parameters.get(INPUT_PARAMETER);
    let json = json.ok_or("the failure file carries no input: expected `input` below [parameters]")?;
    serde_json::from_str(json)
        .map_err(|error| format!("the input that the failure file carries can't be read: {error}"))
}

/// The weather of a link, as a property test draws it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LinkWeather {
    /// The shortest latency.
    #[serde(with = "crate::scenario::duration")]
    pub latency_min: Duration,
    /// The longest one; all between them are equally likely.
    #[serde(with = "crate::scenario::duration")]
    pub latency_max: Duration,
    /// How many of a thousand messages are lost.
    pub loss_permille: u64,
    /// How many of a thousand messages arrive twice.
    pub duplicate_permille: u64,
}

impl LinkWeather {
    /// Gives a link this weather: `weather.apply(&mut world.link("a", "b"))`.
    pub fn apply(&self, link: &mut Link<'_>) {
        link.latency(Latency::uniform(self.latency_min, self.latency_max));
        link.loss(Ratio::new(self.loss_permille.min(1_000), 1_000));
        link.duplicate(Ratio::new(self.duplicate_permille.min(1_000), 1_000));
    }
}

/// Weather of links: latencies up to 120 ms, up to a fifth of the messages lost, up to a tenth twice. It shrinks towards none at all.
pub fn link_weather() -> impl Strategy<Value = LinkWeather> + Clone {
    let times = (0..=20_000u64, 0..=100_000u64);
    (times, 0..=200u64, 0..=100u64).prop_map(|((min_us, more_us), loss_permille, duplicate_permille)| LinkWeather {
        latency_min: Duration::from_micros(min_us),
        latency_max: Duration::from_micros(min_us + more_us),
        loss_permille,
        duplicate_permille,
    })
}

/// What several clients do, one list a client: `workloads(1..=5, 0..20, operation())`. It shrinks by clients, by operations, and each
/// operation by itself.
pub fn workloads<O: Strategy>(
    clients: impl Into<SizeRange>,
    operations: impl Into<SizeRange>,
    operation: O,
) -> impl Strategy<Value = Vec<Vec<O::Value>>> {
    vec(vec(operation, operations), clients)
}

/// Whole plans of a scenario: a seed, a strategy, and which classes of decisions are drawn. They shrink towards calm.
pub fn plans(scenario: impl Into<String>) -> impl Strategy<Value = Plan> {
    let scenario = scenario.into();
    let strategy = ::proptest::prop_oneof![
        Just(StrategyChoice::Fifo),
        Just(StrategyChoice::Random),
        (1..5u32, 1..5_000u64).prop_map(|(depth, steps)| StrategyChoice::Pct { depth, steps }),
    ];
    let drawn = [any::<bool>(); SiteKind::ALL.len()];
    (any::<u64>(), strategy, drawn).prop_map(move |(seed, strategy, drawn)| {
        let bases = SiteKind::ALL.iter().zip(drawn).fold(Bases::calm(), |bases, (kind, drawn)| {
            bases.with(*kind, if drawn { Base::Drawn } else { Base::Calm })
        });
        Plan { strategy, bases, ..Plan::seeded(scenario.clone(), Seed(seed)) }
    })
}
