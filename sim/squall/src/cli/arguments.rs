//! What can be said on the command line.

use std::num::{NonZeroU64, NonZeroUsize};
use std::path::PathBuf;
use std::time::Duration;

use clap::error::ErrorKind;
use clap::parser::ValueSource;
use clap::{ArgMatches, Args, CommandFactory, Parser, Subcommand};
use squall_trace::{Seed, StrategyChoice};

use super::likelihood::Often;
use super::output::MessageFormat;
use super::shard::ShardChoice;
use crate::runner::{HANG_AFTER_VARIABLE, parse_hang_after};
use squall_campaign::seeds::SeedRange;
use squall_check::claim::Claim;
use squall_check::models::Named;
use squall_check::sessions::Guarantee;
use squall_check::transactions::Level;

const EXAMPLES: &str = "\
Examples:
  squall list                                       what there is to run
  squall run scenarios/payments.toml --seed 7       one run, step by step
  squall explore scenarios/payments.toml            many seeds; shows the first that fails
  squall explore scenarios/payments.toml --seeds fresh --for 10m
  squall explore scenarios/payments.toml --shard 3/8
                                                    the third of eight parts; `squall merge` adds them up
  squall sweep scenarios/payments.toml --vary network.latency=1ms..=200ms:8log
                                                    what comes of it at eight latencies
  squall replay squall-regressions/payments/paid-once-0x2.toml
                                                    a saved failure: does it still fail?
  squall replay scenarios/payments.toml --seed 0x7  one run twice: does it repeat itself?
  squall replay FAILURE --around --lanes            what happened around the failure, with a lane for each node
  squall replay FAILURE --svg failure.svg           the same as a picture, for a bug report
  squall report squall-regressions/payments/paid-once-0x2.toml --out page.html
                                                    a saved failure as a page: see why it fails

Exit codes: 0 pass, 1 squall's own error, 2 wrong arguments or input,
  4 nothing ran, 100 a property failed, 110 a run didn't repeat itself,
  120 inconclusive, 125 a saved failure is stale, 130 interrupted.
  check: 0 there is such an order, 100 there is none.
  sweep: 0 whatever its cells say. report: 0 the page shows the failure.
  diff: 0 the same, 1 different, 2 a trace can't be read.";

/// Runs simulated distributed systems: the same seed brings the same run back, event for event.
#[derive(Debug, Parser)]
#[command(name = "squall", version, after_help = EXAMPLES, arg_required_else_help = true, max_term_width = 100)]
pub struct Arguments {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,

    /// How results are written to standard output.
    #[arg(long, global = true, value_name = "FORMAT", value_enum, default_value_t = MessageFormat::Human)]
    pub message_format: MessageFormat,

    /// Colours; `auto` honours NO_COLOR.
    #[arg(long, global = true, value_name = "WHEN", value_enum, default_value_t = clap::ColorChoice::Auto)]
    pub color: clap::ColorChoice,
}

/// How long the program may keep Squall waiting.
#[derive(Clone, Copy, Debug, Args)]
pub struct Waiting {
    /// How long one poll may take in real time before it counts as a hang.
    #[arg(
        long,
        value_name = "TIME",
        env = HANG_AFTER_VARIABLE,
        default_value = "10s",
        value_parser = parse_hang_after,
        hide_env_values = true
    )]
    pub hang_after: Duration,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Scenarios and their properties.
    List(List),
    /// The JSON schema of scenario files, for editors; or that of JSON lines.
    Schema(Schema),
    /// One run: its timeline and verdict.
    Run(Run),
    /// Many runs: what fails is shrunk to its cause and saved.
    Explore(Explore),
    /// What the shards of an exploration come to together.
    Merge(Merge),
    /// A grid of settings: verdicts, throughput and latencies in each cell, and the threshold at which a property begins to fail.
    Sweep(Sweep),
    /// A saved failure again, compared with what was saved; or one run of a scenario twice.
    #[command(mut_arg("file", |file| file.help("A failure file; or a scenario file, with --seed")))]
    Replay(Replay),
    /// A saved failure with fewer and smaller perturbations.
    Shrink(Shrink),
    /// A saved failure as a page of HTML: what failed and why, as a diagram, a table, and beside the nearest run that passes.
    Report(Report),
    /// The failures that are kept.
    Regressions(Regressions),
    /// Two traces: the first event in which they differ.
    Diff(Diff),
    /// A history from anywhere: could it come from such an object?
    Check(Check),
}

impl Command {
    /// Whether it comes by something that would be lost if it ended in the midst of it: failures, or a file that was asked for.
    pub fn saves(&self) -> bool {
        match self {
            Command::Explore(_)
            | Command::Sweep(_)
            | Command::Shrink(_)
            | Command::Report(_)
            | Command::Regressions(_) => true,
            Command::Run(Run { written, report, .. }) => written.is_any() || report.is_some(),
            // What was drawn so far is told.
            Command::Replay(Replay { written, likelihood, .. }) => written.is_any() || likelihood.is_some(),
            Command::List(_) | Command::Schema(_) | Command::Merge(_) | Command::Diff(_) | Command::Check(_) => false,
        }
    }
}

/// `squall list`
#[derive(Debug, Args)]
pub struct List {
    /// Scenario files, or directories of them.
    #[arg(value_name = "FILE", default_value = "scenarios")]
    pub files: Vec<PathBuf>,

    /// A world's description may hang as well.
    #[command(flatten)]
    pub waiting: Waiting,
}

/// `squall schema`
#[derive(Debug, Args)]
pub struct Schema {
    /// The schema of a line of a trace, and of a line of standard output with --message-format json.
    #[arg(long)]
    pub lines: bool,
}

/// Which world.
#[derive(Clone, Debug, Args)]
pub struct World {
    /// A scenario file.
    #[arg(value_name = "FILE")]
    pub file: PathBuf,

    /// A setting over the file's own; may be given several times.
    #[arg(long, value_name = "KEY=VALUE")]
    pub set: Vec<String>,

    /// Who decides the order within an instant: fifo, random, or pct:DEPTH:STEPS; by worst-crash crashes lose all that they can [default: random].
    #[arg(long, value_name = "STRATEGY")]
    pub strategy: Option<StrategyChoice>,
}

/// How a timeline is shown.
#[derive(Debug, Args)]
pub struct Shown {
    /// How many events to show: the last ones; 0 shows all.
    #[arg(long, value_name = "N", default_value_t = 2_000)]
    pub lines: usize,

    /// Also show polls, spawns and the ends of tasks.
    #[arg(long)]
    pub tasks: bool,

    /// Draw a lane for each node and an arrow for each message, with these characters [default: as the locale says].
    #[arg(long, value_name = "CHARACTERS", value_enum, num_args = 0..=1, require_equals = true, default_missing_value = "auto")]
    pub lanes: Option<Characters>,

    /// Show what happened up to this step, the step included, and how each node is there.
    #[arg(long, value_name = "STEP", conflicts_with = "around", allow_negative_numbers = true)]
    pub until: Option<u64>,

    /// Show what happened around this step [default: around the failure].
    #[arg(long, value_name = "STEP", num_args = 0..=1, require_equals = true, default_missing_value = Around::FAILURE)]
    pub around: Option<Around>,

    /// With --around: how many events to show before the step, and how many after it [default: 10].
    #[arg(long, value_name = "N", requires = "around")]
    pub context: Option<usize>,
}

/// With which characters lanes are drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Characters {
    /// Unicode's, if the locale is one of UTF-8.
    Auto,
    /// Unicode's.
    Unicode,
    /// ASCII's alone.
    Ascii,
}

/// Around what a run is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Around {
    /// The event at which it fails, or its end.
    Failure,
    /// A step.
    Step(u64),
}

impl Around {
    const FAILURE: &str = "failure";
}

impl std::str::FromStr for Around {
    type Err = String;

    fn from_str(text: &str) -> Result<Around, String> {
        match text {
            Around::FAILURE => Ok(Around::Failure),
            _ => text
                .parse()
                .map(Around::Step)
                .map_err(|_| format!("expected the number of a step, or nothing for the failure's, found {text:?}")),
        }
    }
}

/// What of a run is written to files.
#[derive(Debug, Args)]
pub struct Written {
    /// Write all that happened here: JSON lines in zstd.
    #[arg(long, value_name = "OUT", value_parser = parse_out)]
    pub trace: Option<PathBuf>,

    /// Write what the clients recorded of their operations here: JSON lines, as `check` reads them.
    #[arg(long, value_name = "OUT", value_parser = parse_out)]
    pub history: Option<PathBuf>,

    /// Write a picture of what is shown here, for a bug report.
    #[arg(long, value_name = "OUT.svg", value_parser = parse_out)]
    pub svg: Option<PathBuf>,

    /// Write all that happened here, for Perfetto: <https://ui.perfetto.dev>.
    #[arg(long, value_name = "OUT.json", value_parser = parse_out)]
    pub perfetto: Option<PathBuf>,
}

impl Written {
    /// Whether there is something to write.
    fn is_any(&self) -> bool {
        let Written { trace, history, svg, perfetto } = self;
        [trace, history, svg, perfetto].into_iter().any(Option::is_some)
    }
}

/// `squall run`
#[derive(Debug, Args)]
pub struct Run {
    /// Which world.
    #[command(flatten)]
    pub world: World,

    /// The seed, 42 or 0x2a [default: the scenario's first].
    #[arg(long, value_name = "N", env = "SQUALL_SEED", allow_negative_numbers = true)]
    pub seed: Option<Seed>,

    /// What is written.
    #[command(flatten)]
    pub written: Written,

    /// Also write the run here as a page of HTML, in one file that needs no other.
    #[arg(long, value_name = "OUT.html", value_parser = parse_out)]
    pub report: Option<PathBuf>,

    /// How the timeline is shown.
    #[command(flatten)]
    pub shown: Shown,

    /// How long to wait.
    #[command(flatten)]
    pub waiting: Waiting,
}

/// `squall replay`
#[derive(Debug, Args)]
pub struct Replay {
    /// Which world, or a failure file.
    #[command(flatten)]
    pub world: World,

    /// The seed, 42 or 0x2a; a failure file has its own.
    #[arg(long, value_name = "N", env = "SQUALL_SEED", allow_negative_numbers = true)]
    pub seed: Option<Seed>,

    /// What is written.
    #[command(flatten)]
    pub written: Written,

    /// How the timeline is shown.
    #[command(flatten)]
    pub shown: Shown,

    /// Also show how likely the failure is over time: what was decided up to a moment stays, and the rest is drawn again so often [default:
    /// 200 times, or fewer where runs are long].
    #[arg(long, value_name = "DRAWS", num_args = 0..=1, require_equals = true, default_missing_value = USUAL_DRAWS, value_parser = parse_often)]
    pub likelihood: Option<Often>,

    /// How long to wait.
    #[command(flatten)]
    pub waiting: Waiting,
}

/// What `--likelihood` says where it says no number.
const USUAL_DRAWS: &str = "usual";

fn parse_often(text: &str) -> Result<Often, String> {
    match text {
        USUAL_DRAWS => Ok(Often::Usual),
        _ => parse_draws(text).and_then(|draws| {
            let often = NonZeroU64::new(draws).map(Often::Times);
            often.ok_or_else(|| format!("expected 1 to {DRAWS_MAX} draws, found 0"))
        }),
    }
}

/// More would say no more.
const DRAWS_MAX: u64 = 100_000;

fn parse_draws(text: &str) -> Result<u64, String> {
    let draws = text.parse().ok().filter(|draws| *draws <= DRAWS_MAX);
    draws.ok_or_else(|| format!("expected a whole number of draws, {DRAWS_MAX} or fewer, found {text:?}"))
}

/// `squall shrink`
#[derive(Debug, Args)]
pub struct Shrink {
    /// A failure file.
    #[arg(value_name = "FAILURE")]
    pub file: PathBuf,

    /// Where the result goes [default: over the file itself].
    #[arg(long, value_name = "FILE", value_parser = parse_out)]
    pub out: Option<PathBuf>,

    /// How hard to try.
    #[command(flatten)]
    pub patience: Patience,

    /// How long to wait.
    #[command(flatten)]
    pub waiting: Waiting,
}

/// `squall report`
#[derive(Debug, Args)]
pub struct Report {
    /// A failure file.
    #[arg(value_name = "FAILURE")]
    pub file: PathBuf,

    /// Where the page goes: one file of HTML that needs no other. What is there already is replaced.
    #[arg(long, value_name = "OUT.html", value_parser = parse_out)]
    pub out: PathBuf,

    /// How often the rest of the run is drawn again from each of several moments on, to see from when on the failure is inevitable; 0
    /// leaves it out [default: 200, or fewer where runs are long].
    #[arg(long, value_name = "DRAWS", value_parser = parse_draws, allow_negative_numbers = true)]
    pub likelihood: Option<u64>,

    /// How long to wait.
    #[command(flatten)]
    pub waiting: Waiting,
}

/// `squall regressions`
#[derive(Debug, Args)]
pub struct Regressions {
    /// What to do with them.
    #[command(subcommand)]
    pub command: RegressionsCommand,
}

/// What to do with the failures that are kept.
#[derive(Debug, Subcommand)]
pub enum RegressionsCommand {
    /// Looks for what is stale again, nearby, and rewrites its file.
    Refresh(Refresh),
}

/// `squall regressions refresh`
#[derive(Debug, Args)]
pub struct Refresh {
    /// Failure files [default: all below squall-regressions].
    #[arg(value_name = "FAILURE")]
    pub files: Vec<PathBuf>,

    /// How many seeds behind the saved one to look at.
    #[arg(long, value_name = "N", default_value_t = 1_000)]
    pub seeds: u64,

    /// How hard to try to shrink.
    #[command(flatten)]
    pub patience: Patience,

    /// How long to wait.
    #[command(flatten)]
    pub waiting: Waiting,
}

/// `squall diff`
#[derive(Debug, Args)]
pub struct Diff {
    /// A trace, as `run --trace` writes it.
    #[arg(value_name = "TRACE")]
    pub first: PathBuf,

    /// Another one.
    #[arg(value_name = "TRACE")]
    pub second: PathBuf,

    /// How many events to show before and after.
    #[arg(long, value_name = "N", default_value_t = 5)]
    pub context: usize,
}

/// `squall check`
#[derive(Debug, Args)]
pub struct Check {
    /// What it is judged by. An object: register, cas-register, kv, set, queue or lock; could it have given these answers one by one?
    /// Transactions: list-append. A guarantee of sessions: read-your-writes or monotonic-reads.
    #[arg(long, value_name = "MODEL", value_parser = parse_claim)]
    pub model: Claim,

    /// With --model list-append: read-uncommitted, read-committed, snapshot-isolation, serializable or strict-serializable [default:
    /// strict-serializable].
    #[arg(long, value_name = "LEVEL")]
    pub consistency: Option<Level>,

    /// JSON lines: `{"process":3,"type":"invoke|ok|fail|info","f":"write","key":"k","value":7,"time":123}`; - is standard input.
    #[arg(value_name = "HISTORY")]
    pub file: PathBuf,

    /// With an object's model: give up after so many steps of it; the verdict then is unknown [default: 100000000].
    #[arg(long, value_name = "N")]
    pub steps: Option<u64>,
}

/// Objects by their model, transactions, guarantees.
fn parse_claim(text: &str) -> Result<Claim, String> {
    if text == "list-append" {
        return Ok(Claim::Transactions(Level::StrictSerializable));
    }
    let model = text.parse().map(Claim::Linearizable);
    model.or_else(|_| text.parse().map(Claim::Session)).map_err(|_: String| {
        let models = Named::ALL.map(Named::name).join(", ");
        let guarantees = Guarantee::ALL.map(Guarantee::name).join(" and ");
        format!("there is no model {text:?}; there are {models}, list-append, {guarantees}")
    })
}

/// When shrinking ends, though it might find fewer.
#[derive(Clone, Copy, Debug, Args)]
pub struct Patience {
    /// Stop shrinking a failure after this time, and keep the best so far.
    #[arg(long, value_name = "TIME", value_parser = parse_duration, default_value = "60s")]
    pub shrink_for: Duration,

    /// Stop shrinking a failure after so many runs, and keep the best so far.
    #[arg(long, value_name = "N", default_value_t = 100_000)]
    pub shrink_runs: u64,
}

/// `squall explore`
#[derive(Clone, Debug, Args)]
pub struct Explore {
    /// Which world.
    #[command(flatten)]
    pub world: World,

    /// Which seeds: A..B (without B), or `fresh` for a range that nobody has seen [default: the scenario's].
    #[arg(long, value_name = "SEEDS", env = "SQUALL_SEEDS", value_parser = parse_seeds, allow_hyphen_values = true)]
    pub seeds: Option<Seeds>,

    /// Only this seed: for the environment, as the other commands have it.
    #[arg(long, value_name = "N", env = "SQUALL_SEED", allow_negative_numbers = true, hide = true)]
    pub seed: Option<Seed>,

    /// Begin no run after this time: 30s, 10m, 1h. Without --seeds there is no other end.
    #[arg(long = "for", value_name = "TIME", value_parser = parse_duration)]
    pub time: Option<Duration>,

    /// How many runs at the same time, 512 at most [default: one for each processor].
    #[arg(long, short, value_name = "N", env = "SQUALL_JOBS", value_parser = parse_count::<NonZeroUsize>, allow_negative_numbers = true)]
    pub jobs: Option<NonZeroUsize>,

    /// Run one part of the seeds, counted from 1: 3/8 is the third of eight. `auto`, or auto/8, takes it from the environment of
    /// a Slurm array, a Kubernetes indexed job or an AWS Batch array. What it comes to is written below --out [default:
    /// target/squall], for `merge`.
    #[arg(long, value_name = "M/N")]
    pub shard: Option<ShardChoice>,

    /// Stop at that failure, counted in the order of the seeds.
    #[arg(long, value_name = "N", value_parser = parse_count::<NonZeroU64>, allow_negative_numbers = true)]
    pub max_failures: Option<NonZeroU64>,

    /// Write failures below this directory, and their traces [default: failures only, below squall-regressions; in CI
    /// below target/squall].
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,

    /// Also write the result here, as JUnit's XML. What is there already is replaced.
    #[arg(long, value_name = "OUT.xml", value_parser = parse_out)]
    pub junit: Option<PathBuf>,

    /// Also write pages of HTML into this directory: index.html of all that came of it (of a shard shard-M-of-N.html), and of each failure
    /// that is shrunk SCENARIO-PROPERTY-SEED.html. What is there already is replaced.
    #[arg(long, value_name = "DIR")]
    pub report: Option<PathBuf>,

    /// Neither shrink nor save what fails.
    #[arg(long, conflicts_with_all = ["shrink_for", "shrink_runs"])]
    pub no_shrink: bool,

    /// How hard to try to shrink.
    #[command(flatten)]
    pub patience: Patience,

    /// How long to wait.
    #[command(flatten)]
    pub waiting: Waiting,

    /// Leave out the check that the first seed repeats itself.
    #[arg(long)]
    pub no_check: bool,
}

/// `squall sweep`
#[derive(Clone, Debug, Args)]
pub struct Sweep {
    /// Which world.
    #[command(flatten)]
    pub world: World,

    /// A key, as --set has it, and its values: 1ms..=200ms:8log (eight, both ends included, in equal ratios), 1ms..=200ms:8 (in equal
    /// differences), or a list such as 0%,1%,10%. Given several times, each combination is a cell; the last key varies fastest.
    #[arg(long, value_name = "KEY=VALUES")]
    pub vary: Vec<String>,

    /// Look for the least value of a key with which a property fails: 1ms..=10s, or 1ms..=10s:16log with so many values to try first.
    #[arg(long, value_name = "KEY=LOW..=HIGH")]
    pub find: Option<String>,

    /// With --find: the property that is to fail [default: any].
    #[arg(long, value_name = "NAME", requires = "find")]
    pub property: Option<String>,

    /// Which seeds run in each cell: A..B (without B), or `fresh` for a range that nobody has seen [default: the scenario's].
    #[arg(long, value_name = "SEEDS", env = "SQUALL_SEEDS", value_parser = parse_seeds, allow_hyphen_values = true)]
    pub seeds: Option<Seeds>,

    /// How many runs at the same time, 512 at most [default: one for each processor].
    #[arg(long, short, value_name = "N", env = "SQUALL_JOBS", value_parser = parse_count::<NonZeroUsize>, allow_negative_numbers = true)]
    pub jobs: Option<NonZeroUsize>,

    /// Also write the result into this directory: sweep.json and sweep.csv. What is there already is replaced.
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,

    /// Also write the result here as a page of HTML, in one file that needs no other: maps of verdicts and latencies. What is there already
    /// is replaced.
    #[arg(long, value_name = "OUT.html", value_parser = parse_out)]
    pub report: Option<PathBuf>,

    /// How long to wait.
    #[command(flatten)]
    pub waiting: Waiting,

    /// Leave out the check that the first seed repeats itself.
    #[arg(long)]
    pub no_check: bool,
}

/// `squall merge`
#[derive(Debug, Args)]
pub struct Merge {
    /// The files of all shards, as `explore --shard` writes them.
    #[arg(value_name = "SHARD", required = true)]
    pub shards: Vec<PathBuf>,

    /// Write the failures below this directory [default: squall-regressions; in CI target/squall].
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,

    /// Also write the result here, as JUnit's XML. What is there already is replaced.
    #[arg(long, value_name = "OUT.xml", value_parser = parse_out)]
    pub junit: Option<PathBuf>,

    /// Also write index.html into this directory, the page of all that came of it. Pages of failures that lie there already are linked to.
    #[arg(long, value_name = "DIR")]
    pub report: Option<PathBuf>,
}

impl Explore {
    /// Of `--seed` and `--seeds` one counts: what the command line says goes over the environment, and of two variables that of the single seed.
    /// Both on the command line end the process with code 2.
    pub fn choose_by_source(&mut self, matches: &ArgMatches) {
        let is_said = |id: &str| matches.value_source(id) == Some(ValueSource::CommandLine);
        match (self.seed.is_some() && self.seeds.is_some(), is_said("seed"), is_said("seeds")) {
            (true, true, true) => {
                let message = "the argument '--seed <N>' cannot be used with '--seeds <SEEDS>'";
                Arguments::command().error(ErrorKind::ArgumentConflict, message).exit();
            }
            (true, false, true) => self.seed = None,
            (true, ..) => self.seeds = None,
            (false, ..) => {}
        }
    }
}

/// Which seeds to explore.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seeds {
    /// These.
    Range(SeedRange),
    /// Some that nobody has seen.
    Fresh,
}

fn parse_seeds(text: &str) -> Result<Seeds, String> {
    match text {
        "fresh" => Ok(Seeds::Fresh),
        _ => text.parse().map(Seeds::Range),
    }
}

fn parse_count<N: std::str::FromStr>(text: &str) -> Result<N, String> {
    text.parse().map_err(|_| format!("expected a whole number, 1 or more, found {text:?}"))
}

/// Where something is to be written beside the results.
fn parse_out(text: &str) -> Result<PathBuf, String> {
    match text {
        // It is kept for the results: under that name there is standard error.
        "/dev/stdout" | "/dev/fd/1" | "/proc/self/fd/1" => {
            Err("standard output is for the results: name a file, or a pipe (mkfifo)".to_string())
        }
        _ => Ok(PathBuf::from(text)),
    }
}

fn parse_duration(text: &str) -> Result<Duration, crate::scenario::BadValue> {
    crate::scenario::parse_duration(text)
}
