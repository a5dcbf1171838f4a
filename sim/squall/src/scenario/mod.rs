//! Scenarios: a program (Rust) and its settings (TOML), read with diagnostics that point at the place.
//!
//! ```toml
//! program = "kv"               # one of the programs that the caller knows
//! about   = "a key-value store that loses its disk"   # optional: else the program's own
//! seeds   = "0..1000"          # half open; decimal or 0x…; 0..1000 if left out
//! swarm   = true               # each run leaves each class of faults out with probability one half
//! expect  = "linearizable"     # only where the scenario is there to fail: the property that must
//! isolation = "thread"         # or "process", or "auto"
//! limit   = { virtual = "60s", events = 2_000_000 }   # and memory = "1GiB", where runs have processes of their own
//! end     = { at = "30s" }     # else the run ends when all clients have returned
//!
//! [nodes]                      # how many nodes of each role
//! client = 5
//!
//! [args]                       # the program's own, typed and checked
//! cache = true
//!
//! [clock]
//! epoch = "2026-01-01T00:00:00Z"
//!
//! [check]                      # what the clients' histories are to be; goals that these runs aren't to reach
//! linearizable = "kv"
//! unreached    = ["the queue is full"]
//!
//! [network]                    # every link, unless a [[link]] says otherwise
//! latency   = { uniform = ["1ms", "10ms"] }
//! loss      = "1%"
//! duplicate = "0.1%"
//!
//! [[link]]                     # from `from` to `to` only, unless both_ways = true; of several that match, the last wins
//! from    = "client-*"
//! to      = "store-0"
//! latency = { lognormal = { median = "2ms", p99 = "40ms" } }
//!
//! bandwidth = "10Mbit/s"       # one message after the other; else any number at once
//! queue   = "64KiB"            # what finds no room to wait is lost; else all waits
//!
//! [[uplink]]                   # what all links of a node share; of several that match, the last wins
//! node      = "store-*"
//! bandwidth = "100Mbit/s"      # and queue
//!
//! [tcp]                        # of streams
//! window = "64KiB"             # how much may be under way or unread; docs/network.md has the others
//!
//! [loopback]
//! latency = "50us"             # of what a node sends to itself; else 10us
//!
//! [storage]                    # every node's disk, unless a [[disk]] says otherwise
//! crash_loss   = "50%"         # of the changes since the last sync
//! torn         = "10%"         # of the writes to several sectors that aren't lost
//! sync_failure = "1%"          # and read_failure, write_failure, bit_rot
//!
//! [[disk]]                     # of several that match, the last wins
//! node         = "store-*"
//! latency      = "20us"
//! sync_latency = { lognormal = { median = "500us", p99 = "40ms" } }
//! capacity     = "64MiB"
//!
//! [[fault]]                    # docs/faults.md has all kinds; `groups`, or `from` and `to` (one_way = true: only that way)
//! name   = "split"
//! kind   = "partition"
//! groups = [["store-0"], ["store-1", "store-2"]]
//! at     = "2s"
//! for    = "3s"                # else it stays
//!
//! [[fault]]
//! kind = "crash"
//! node = "store-*"
//! at   = "5s"
//! restart_after = "1s"         # else it stays down
//!
//! [[rule]]                     # docs/faults.md#rules: the first that fits a message decides what becomes of it
//! from     = "client-0"
//! to       = "store-*"
//! method   = "Put"             # and messages = "calls" or "answers" or "datagrams", tag, port, at, for, skip, times, share
//! verdict  = "drop"            # or pass, deliver (after = "50ms"), duplicate (after = ...), corrupt, hold
//!
//! [[fault]]                    # some nodes lose their network one after the other, and get it back in another order
//! kind    = "swizzle"
//! nodes   = "store-*"
//! at      = "8s"
//! stagger = "200ms"
//! for     = "1s"
//!
//! [buggify]                    # how often what the code marks by `buggify!` happens, and how many of its knobs are turned
//! enabled = "25%"              # of the runs, each place
//! share   = "25%"              # of the times
//! knobs   = "25%"              # of the runs, each knob
//!
//! [knobs]                      # values that knobs have in every run
//! batch = 1
//!
//! [[budget]]                   # what would go beyond it doesn't happen
//! of      = "store-*"          # else of all nodes
//! crashed = "minority"         # at once; and paused, partitions
//!
//! [heal]                       # from then on nothing goes wrong any more
//! at     = "20s"
//! core   = ["store-*"]         # else for all nodes
//! within = "5s"                # the clients must get on: property progress
//! ```
//!
//! A latency is `"5ms"` (always the same), or one of `{ fixed = "5ms" }`, `{ uniform = ["1ms", "10ms"] }`,
//! `{ exponential = "5ms" }`, `{ exponential = { mean = "5ms", min = "1ms" } }`,
//! `{ lognormal = { median = "2ms", p99 = "40ms" } }`, `{ pareto = { min = "1ms", shape = 1.5 } }`,
//! `{ empirical = ["1ms", "3ms"] }` and `{ trace = "wan.csv" }`, a recording in a file beside the scenario's.
//!
//! `--set` takes any of these keys, dotted: `network.loss=5%`, `args.cache=true`, `nodes.client=3`, and those of a named
//! link, uplink, disk, fault or rule: `fault.split.for=5s`; a link is also named by its ends: `link.client-0:store-1.latency=90ms`. Values are TOML, or plain text where that can't be read as TOML.

mod elsewhere;
mod faults;
mod latency_trace;
mod mistake;
mod overlay;
mod program;
mod reader;
mod rules;
mod schema;
mod sections;
mod units;

use std::io::Read;
use std::ops::Range;
use std::panic::AssertUnwindSafe;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use squall_check::claim::Claim;
use squall_engine::fault::Fault;
use squall_engine::goal::marks;
use squall_engine::{Budget, World, budget, describe, matches};
use squall_trace::{Capabilities, Digest, Parameters, Plan, Seed, StrategyChoice};
use toml::de::{DeTable, DeValue};

pub use crate::isolation::Isolation;
pub use mistake::{Mistake, ScenarioError};
pub use program::{NoArgs, Program, duration};
pub use schema::schema;
pub use squall_trace::verdict::BUILT_IN_PROPERTIES;
pub use units::{BadValue, DURATION_NS_MAX, format_duration, parse_duration};

use crate::Simulation;
use crate::engine::Engine;
use mistake::{Draft, SET};
use program::Built;
use reader::{Fields, Reader};
use rules::RuleSettings;
use sections::{DiskSettings, LinkSettings, NamePlace, Settings, UplinkSettings};
use squall_campaign::seeds::SeedRange;
pub(crate) use units::{format_bandwidth, nearest, parse_bandwidth};

/// The seeds of a scenario that says none.
const DEFAULT_SEEDS: SeedRange = SeedRange::new(0, 1000);

/// No scenario file is near that long, and reading one takes memory in proportion.
const FILE_BYTES_MAX: u64 = 16 << 20;

const KEYS: [&str; 25] = [
    "program",
    "about",
    "seeds",
    "isolation",
    "expect",
    "limit",
    "end",
    "nodes",
    "args",
    "clock",
    "network",
    "link",
    "uplink",
    "loopback",
    "tcp",
    "storage",
    "disk",
    "fault",
    "rule",
    "heal",
    "check",
    "swarm",
    "buggify",
    "knobs",
    "budget",
];

/// A scenario, ready to run: a program, its arguments, and the settings of its world.
#[derive(Clone)]
pub struct Scenario {
    name: String,
    path: PathBuf,
    about: String,
    program: &'static str,
    seeds: SeedRange,
    expect: Option<String>,
    isolation: Isolation,
    /// What it was read from, with the digest of each: its own file first.
    files: Vec<(PathBuf, Digest)>,
    build: Option<Digest>,
    parameters: Parameters,
    node_names: Vec<String>,
    property_names: Vec<String>,
    goals: Vec<String>,
    settings: Arc<Settings>,
    built: Built,
    engine: Option<Arc<dyn Engine>>,
}

impl Scenario {
    /// Reads the file at `path`, with the `--set` arguments `set` over it.
    ///
    /// # Errors
    /// If the file can't be read; if something in it or in an argument is wrong: each mistake, with its place.
    pub fn load(path: impl AsRef<Path>, programs: &[Program], set: &[String]) -> Result<Scenario, ScenarioError> {
        let path = path.as_ref();
        let text = read_file(path)?;
        Scenario::from_text(path, &text, programs, set)
    }

    /// As [`Scenario::load`], with the file's text at hand.
    ///
    /// # Errors
    /// If something in the text or in an argument is wrong.
    pub fn from_text(
        path: impl AsRef<Path>,
        text: &str,
        programs: &[Program],
        set: &[String],
    ) -> Result<Scenario, ScenarioError> {
        let path = path.as_ref();
        let directory = path.parent().map(Path::to_path_buf).unwrap_or_default();
        let mut reader = Reader { directory, ..Reader::default() };
        reader.sources.add(path.display().to_string(), text);
        let scenario = read(&mut reader, path, text, programs, set);
        match scenario {
            Some(scenario) if reader.drafts.is_empty() => Ok(scenario),
            _ => {
                let Reader { mut drafts, sources, .. } = reader;
                drafts.sort_by_key(|draft| draft.labels.first().map_or(0, |(span, _)| span.start));
                Err(ScenarioError::new(drafts.into_iter().map(|draft| sources.place(draft)).collect()))
            }
        }
    }

    /// Its name: the file's, without directory and ending.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What it is, in a sentence.
    #[must_use]
    pub fn about(&self) -> &str {
        &self.about
    }

    /// The name of its program.
    #[must_use]
    pub fn program(&self) -> &'static str {
        self.program
    }

    /// The seeds to explore; never empty.
    #[must_use]
    pub fn seeds(&self) -> SeedRange {
        self.seeds
    }

    /// What the file claims of the history in a property of that name, if it does.
    pub(crate) fn claim(&self, property: &str) -> Option<Claim> {
        self.settings.claims.iter().map(|(_, claim, _)| *claim).find(|claim| claim.name() == property)
    }

    /// The property that must fail, where the scenario is there to fail.
    #[must_use]
    pub fn expect(&self) -> Option<&str> {
        self.expect.as_deref()
    }

    /// Where its runs are to happen. The command line sees to it: [`Scenario::simulation`] runs on threads.
    #[must_use]
    pub fn isolation(&self) -> Isolation {
        self.isolation
    }

    /// How much memory the process of a run may have.
    #[must_use]
    pub fn memory_bytes_max(&self) -> Option<u64> {
        self.settings.limit_memory_bytes
    }

    /// The `--set` arguments: by key, the value as it was given. `key=value` of each, given to [`Scenario::load`] again,
    /// makes the same scenario.
    #[must_use]
    pub fn parameters(&self) -> &Parameters {
        &self.parameters
    }

    /// Of the file's text, however its lines end, and of the recorded latencies that it names, if any.
    #[must_use]
    pub fn fingerprint(&self) -> Digest {
        match &*self.files {
            [(_, own)] => *own,
            files => {
                let all: Vec<u8> = files.iter().flat_map(|(_, digest)| digest.0.to_le_bytes()).collect();
                Digest(xxhash_rust::xxh3::xxh3_128(&all))
            }
        }
    }

    /// What it was read from, with the digest of each: its own file first, then the recorded latencies.
    pub(crate) fn files(&self) -> &[(PathBuf, Digest)] {
        &self.files
    }

    /// Which build its program is of, where that is known: see [`Program::of_build`].
    #[must_use]
    pub fn build(&self) -> Option<Digest> {
        self.build
    }

    /// The names of its nodes.
    #[must_use]
    pub fn node_names(&self) -> &[String] {
        &self.node_names
    }

    /// The names of its properties, without [`BUILT_IN_PROPERTIES`].
    #[must_use]
    pub fn property_names(&self) -> &[String] {
        &self.property_names
    }

    /// What is to come in some of its runs: the world's goals ([`sometimes`](crate::property::sometimes)), then those that are marked in the
    /// program's code ([`reachable!`](crate::reachable)), without those that its file leaves out.
    #[must_use]
    pub fn goals(&self) -> &[String] {
        &self.goals
    }

    /// The world as something that can be run, on threads.
    #[must_use]
    pub fn simulation(&self) -> Simulation {
        let (built, settings) = (Arc::clone(&self.built), Arc::clone(&self.settings));
        let simulation = Simulation::new(move |world| {
            settings.before(world);
            built(world);
            settings.after(world);
        });
        match &self.engine {
            Some(engine) => simulation.run_by(Arc::clone(engine)),
            None => simulation,
        }
    }

    /// What decisions have addresses in its runs.
    #[must_use]
    pub fn capabilities(&self) -> Capabilities {
        self.engine.as_ref().map_or(Capabilities::ALL, |engine| engine.capabilities())
    }

    /// The plan of one run.
    #[must_use]
    pub fn plan(&self, seed: Seed, strategy: StrategyChoice) -> Plan {
        Plan { parameters: self.parameters.clone(), strategy, ..Plan::seeded(self.name.clone(), seed) }
    }
}

impl std::fmt::Debug for Scenario {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Scenario")
            .field("name", &self.name)
            .field("path", &self.path)
            .field("program", &self.program)
            .field("seeds", &self.seeds)
            .field("expect", &self.expect)
            .field("parameters", &self.parameters)
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}

fn digest_of(text: &str) -> Digest {
    Digest(xxhash_rust::xxh3::xxh3_128(text.replace("\r\n", "\n").as_bytes()))
}

fn read_file(path: &Path) -> Result<String, ScenarioError> {
    let shown = path.display();
    let unreadable = |why: &str, help: Option<String>| {
        ScenarioError::from(Mistake::nowhere(format!("the scenario file {shown} can't be read: {why}"), help))
    };
    if path.to_str().is_none() {
        // Failures, shards and processes of runs are told the path, and all of those are text.
        let help = "rename the file or the directory, or call squall from within the directory".to_string();
        return Err(unreadable("its path is not UTF-8 text", Some(help)));
    }
    let metadata = std::fs::metadata(path).map_err(|error| {
        let help = (error.kind() == std::io::ErrorKind::NotFound).then(|| nearest_file(path)).flatten();
        unreadable(&error.to_string(), help)
    })?;
    if metadata.is_dir() {
        return Err(unreadable("it is a directory", Some("expected a file such as payments.toml".to_string())));
    }
    // What isn't a plain file tells no length.
    let mut bytes = Vec::new();
    let read = std::fs::File::open(path).and_then(|file| file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes));
    read.map_err(|error| unreadable(&error.to_string(), None))?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        return Err(unreadable(&format!("it has more than {FILE_BYTES_MAX} bytes"), None));
    }
    String::from_utf8(bytes).map_err(|error| {
        let good = &error.as_bytes()[..error.utf8_error().valid_up_to()];
        let line = good.iter().filter(|byte| **byte == b'\n').count() + 1;
        unreadable(&format!("it is not UTF-8 text (byte {} in line {line})", good.len()), None)
    })
}

/// The scenario file beside a missing one that was probably meant.
fn nearest_file(path: &Path) -> Option<String> {
    let found = path.file_name()?.to_str()?;
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut names: Vec<String> = std::fs::read_dir(directory)
        .ok()?
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter(|name| name.ends_with(".toml"))
        .collect();
    names.sort();
    let name = nearest(found, names.iter().map(String::as_str))?;
    Some(format!("did you mean {}?", path.with_file_name(name).display()))
}

fn read(reader: &mut Reader, path: &Path, text: &str, programs: &[Program], set: &[String]) -> Option<Scenario> {
    let (root, errors) = DeTable::parse_recoverable(text);
    let root_span = root.span();
    let mut root = root.into_inner();
    if !errors.is_empty() {
        // What follows a syntax error is mostly its consequence.
        if let Some(error) = errors.first() {
            let span = error.span().unwrap_or(root_span);
            reader.note(Draft::new(span, format!("this is not TOML: {}", error.message())).label("here"));
        }
        return None;
    }
    let mut parameters = Parameters::new();
    let mut settings = Vec::new();
    for argument in set {
        let start = reader.sources.add(format!("{SET}{argument}"), argument);
        let mut setting_key = String::new();
        if let Some((key, value)) = argument.split_once('=') {
            let key: Vec<&str> = key.split('.').map(str::trim).collect();
            setting_key = key.join(".");
            parameters.insert(setting_key.clone(), value.trim().to_string());
        }
        settings.push((setting_key, argument, start));
    }
    // As the parameters are ordered, from which a saved failure or a process makes the same scenario again. Of one key the last counts.
    settings.sort_by(|(one, ..), (other, ..)| one.cmp(other));
    let mut added_links = overlay::AddedLinks::new();
    for (_, argument, start) in settings {
        overlay::overlay(reader, &mut root, &mut added_links, argument, start);
    }
    let top = reader.fields(&root, 0..0, "a scenario", &KEYS);
    let program = read_program(reader, &top, programs);
    let seeds = match top.get("seeds") {
        Some(value) => sections::read_seeds(reader, value),
        None => Some(DEFAULT_SEEDS),
    };
    let about = top.get("about").and_then(|value| reader.text("about", "a sentence", value));
    let isolation = match top.get("isolation") {
        Some(value) => sections::read_isolation(reader, value),
        None => Some(Isolation::default()),
    };
    let expect = top
        .get("expect")
        .and_then(|value| Some((reader.text("expect", "the name of a property", value)?, value.span())));
    let settings = Settings::read(reader, &top);
    if let (Some(settings), Some(Isolation::Thread)) = (&settings, isolation) {
        settings.refuse_memory_limit(reader);
    }
    let program = program?;
    let built = read_args(reader, &top, program);
    let (built, settings) = (built?, settings?);
    let world = describe_world(reader, &top, &settings, &built)?;
    let node_names: Vec<String> = world.node_names().map(str::to_string).collect();
    let mut property_names: Vec<String> = world.property_names().map(str::to_string).collect();
    for (key, claim, span) in &settings.claims {
        let name = claim.name().to_string();
        if property_names.contains(&name) {
            let message = format!("`check.{key}`: the program itself has a property {name}");
            reader.note(Draft::new(span.clone(), message).label("judged twice"));
        }
        property_names.push(name);
    }
    let goals = goals_of(reader, &settings, program, programs, &world);
    check_roles(reader, &settings, &world);
    check_names(reader, &settings, &world, &node_names);
    settings.check_effects(reader, &world, &node_names);
    check_budgets(reader, &settings, &world, &node_names, &top.key_span("program"));
    check_times(reader, &settings, world);
    if program.engine().is_some() {
        elsewhere::check(reader, &top, &settings, &built);
    }
    if let Some((name, span)) = expect.clone() {
        check_expected(reader, name, span, &property_names);
    }
    let name = path.file_stem().map_or_else(|| "scenario".to_string(), |stem| stem.to_string_lossy().into_owned());
    Some(Scenario {
        name,
        path: path.to_path_buf(),
        about: about.unwrap_or(program.about).to_string(),
        program: program.name,
        seeds: seeds?,
        expect: expect.map(|(name, _)| name.to_string()),
        isolation: isolation?,
        files: std::iter::once((path.to_path_buf(), digest_of(text)))
            .chain(reader.traces.iter().map(|trace| (trace.path.clone(), trace.digest)))
            .collect(),
        build: program.build(),
        parameters,
        node_names,
        property_names,
        goals,
        settings: Arc::new(settings),
        built,
        engine: program.engine().cloned(),
    })
}

/// The world's goals and those of the program's code, without those that `[check]` leaves out.
fn goals_of(
    reader: &mut Reader,
    settings: &Settings,
    program: &Program,
    programs: &[Program],
    world: &World,
) -> Vec<String> {
    let mut goals: Vec<String> = Vec::new();
    let marks = marks().into_iter().filter(|mark| program.has_marks_of(mark.module, programs)).map(|mark| mark.goal);
    for goal in world.goal_names().chain(marks) {
        if !goals.iter().any(|known| known == goal) {
            goals.push(goal.to_string());
        }
    }
    for NamePlace { name: pattern, span } in &settings.unreached {
        let before = goals.len();
        goals.retain(|goal| !matches(pattern, goal));
        if goals.len() == before {
            let all =
                if goals.is_empty() { "there are none".to_string() } else { format!("there are {}", goals.join(", ")) };
            let message = format!("`check.unreached`: {pattern:?} is no goal that is left; {all}");
            let meant = nearest(pattern, goals.iter().map(String::as_str));
            reader.note(Draft::new(span.clone(), message).label("leaves nothing out").meant(meant));
        }
    }
    goals
}

fn read_program<'p>(reader: &mut Reader, top: &Fields<'_, '_>, programs: &'p [Program]) -> Option<&'p Program> {
    let names: Vec<&str> = programs.iter().map(|program| program.name).collect();
    let all = if names.is_empty() { "there are none".to_string() } else { format!("there are {}", names.join(", ")) };
    let Some(value) = top.get("program") else {
        reader.missing(top, "program", &format!("the name of a program; {all}"));
        return None;
    };
    let name = reader.text("program", "the name of a program", value)?;
    let program = programs.iter().find(|program| program.name == name);
    if program.is_none() {
        let mut draft = Draft::new(value.span(), format!("unknown program {:?}", reader::shortened(name)))
            .label("not a program here")
            .meant(nearest(name, names.iter().copied()));
        draft.help = Some(match draft.help {
            Some(hint) => format!("{hint} ({all})"),
            None => all,
        });
        reader.note(draft);
    }
    program
}

fn read_args(reader: &mut Reader, top: &Fields<'_, '_>, program: &Program) -> Option<Built> {
    let (table, span) = match top.get("args") {
        None => (DeTable::new(), top.key_span("program")),
        Some(value) => match value.get_ref() {
            DeValue::Table(table) => (table.clone(), value.span()),
            _ => {
                // Notes the wrong type.
                reader.table(top, "args", "[args]", &[]);
                return None;
            }
        },
    };
    program.prepare(reader, table, span)
}

/// Fills a world without running it, to see which nodes, roles and properties it has.
fn describe_world(reader: &mut Reader, top: &Fields<'_, '_>, settings: &Settings, built: &Built) -> Option<World> {
    let described = std::panic::catch_unwind(AssertUnwindSafe(|| {
        describe(|world| {
            settings.before(world);
            built(world);
        })
    }));
    match described {
        Ok((world, ())) => Some(world),
        Err(payload) => {
            let text = payload.downcast_ref::<String>().map(String::as_str);
            let text = text.or_else(|| payload.downcast_ref::<&str>().copied()).unwrap_or("it gave no message");
            let span = top.get("program").map_or(0..0, toml::Spanned::span);
            let message = format!("the program panicked while it described its world: {text}");
            reader.note(Draft::new(span, message).label("with these settings"));
            None
        }
    }
}

fn check_roles(reader: &mut Reader, settings: &Settings, world: &World) {
    let roles = world.roles();
    let names: Vec<&str> = roles.keys().map(String::as_str).collect();
    for count in &settings.counts {
        match roles.get(&count.role) {
            None if names.is_empty() => {
                let nodes: Vec<&str> = world.node_names().collect();
                let mut draft = Draft::new(count.key_span.clone(), format!("unknown key `{}` in [nodes]", count.role))
                    .label("not known here");
                draft.help = Some(format!("the nodes of this program are always the same: {}", nodes.join(", ")));
                reader.note(draft);
            }
            None => reader.unknown_key(&count.role, count.key_span.clone(), "[nodes]", &names),
            Some(role) if role.clients && count.count == 0 => {
                let ends = settings.end.is_some() || world.end_time().is_some();
                if !ends && !world.has_clients() {
                    let message = format!(
                        "no client is left with {} = 0: a run ends when its clients have returned, so it would be over \
                         before anything happens",
                        count.role
                    );
                    reader.note(
                        Draft::new(count.span.clone(), message)
                            .label("expected at least 1")
                            .help("say when the run ends, if it is to go without clients: end = { at = \"10s\" }"),
                    );
                }
            }
            Some(_) => {}
        }
    }
}

/// Every name and pattern must be that of a node, and no node in two groups.
fn check_names(reader: &mut Reader, settings: &Settings, world: &World, node_names: &[String]) {
    let is_there = |reader: &mut Reader, what: &str, place: &NamePlace| {
        if node_names.iter().any(|name| matches(&place.name, name)) {
            return;
        }
        let shown = reader::shortened(&place.name);
        let message = if place.name.contains('*') {
            format!("{what} names nodes {shown:?}, but no node's name is like that")
        } else {
            format!("{what} names the node {shown:?}, which isn't there")
        };
        let stem = place.name.trim_end_matches('*').trim_end_matches('-');
        let meant = nearest(&place.name, node_names.iter().map(String::as_str))
            .or_else(|| nearest(stem, node_names.iter().map(String::as_str)));
        let mut draft = Draft::new(place.span.clone(), message).label("not a node").meant(meant);
        let some: Vec<&str> = node_names.iter().take(10).map(String::as_str).collect();
        let dots = if node_names.len() > some.len() { ", ..." } else { "" };
        let all = format!("the nodes are {}{dots}", some.join(", "));
        draft.help = Some(match draft.help {
            Some(hint) => format!("{hint} ({all})"),
            None => all,
        });
        reader.note(draft);
    };
    for LinkSettings { from, to, .. } in &settings.links {
        is_there(reader, "the link", from);
        is_there(reader, "the link", to);
    }
    for UplinkSettings { node, .. } in &settings.uplinks {
        is_there(reader, "the uplink", node);
    }
    for DiskSettings { node, .. } in &settings.disks {
        is_there(reader, "the disk", node);
    }
    for RuleSettings { from, to, span, rule, .. } in &settings.rules {
        if world.rules().iter().any(|other| other.address() == rule.address()) {
            let message = format!("the program itself has the rule {:?}", rule.address());
            reader.note(Draft::new(span.clone(), message).label("again here").help("give this one a name of its own"));
        }
        is_there(reader, "the rule", from);
        is_there(reader, "the rule", to);
        let named = |place: &NamePlace| node_names.iter().filter(|name| matches(&place.name, name)).collect::<Vec<_>>();
        if let ([one], [other]) = (&named(from)[..], &named(to)[..])
            && one == other
        {
            let message = "what a node sends to itself meets no rule, and this one names a single node";
            reader.note(Draft::new(span.clone(), message).label("here"));
        }
    }
    for place in settings.budgets.iter().flat_map(|budget| &budget.of) {
        is_there(reader, "the budget", place);
    }
    for place in settings.heal.iter().flat_map(|heal| heal.core.iter().flatten()) {
        is_there(reader, "the heal", place);
    }
    for LinkSettings { from, to, .. } in &settings.links {
        let named = |place: &NamePlace| node_names.iter().filter(|name| matches(&place.name, name)).collect::<Vec<_>>();
        if let ([one], [other]) = (&named(from)[..], &named(to)[..])
            && one == other
        {
            let message =
                format!("a link has two ends, and this one is from {one} to itself: that is what [loopback] is about");
            reader.note(Draft::new(to.span.clone(), message).label("the same node"));
        }
    }
    for fault in &settings.faults {
        if let Some(name) = fault.fault().name()
            && world.faults().iter().any(|other| other.name() == Some(name))
        {
            let message = format!("the program itself has a fault named {name:?}");
            reader.note(Draft::new(fault.span(), message).label("again here").help("give this one another name"));
        }
        for name in settings.faults.iter().filter_map(|other| other.fault().name()) {
            if let Some(draft) = fault.shares_address(name, node_names) {
                reader.note(draft);
            }
        }
        for place in fault.groups.iter().flatten() {
            is_there(reader, "the fault", place);
        }
        for (name, first, second) in fault.in_two_groups(node_names) {
            reader.note(
                Draft::new(second, format!("the node {name} is in two groups of a partition"))
                    .label("again here")
                    .also(first, "first here"),
            );
        }
        let is_named = |place: &NamePlace| node_names.iter().any(|name| matches(&place.name, name));
        if fault.groups.iter().flatten().all(is_named)
            && let Some(draft) = fault.impossible(node_names)
        {
            reader.note(draft);
        }
    }
}

/// Faults at given times that go beyond a budget by themselves contradict it.
fn check_budgets(
    reader: &mut Reader,
    settings: &Settings,
    world: &World,
    node_names: &[String],
    program: &Range<usize>,
) {
    let faults = world.faults().iter().chain(settings.faults.iter().map(|fault| fault.fault()));
    let budgets = world.budgets().iter().chain(settings.budgets.iter().map(|budget| &budget.budget));
    let (faults, budgets): (Vec<Fault>, Vec<Budget>) = (faults.cloned().collect(), budgets.cloned().collect());
    let Err(exceeded) = budget::check(&budgets, &faults, settings.heal.as_ref().map(|heal| heal.at), node_names) else {
        return;
    };
    let of_file = |index: usize, of_program: usize| index.checked_sub(of_program);
    let fault = of_file(exceeded.fault, world.faults().len()).map(|index| settings.faults[index].span());
    let budget = of_file(exceeded.budget, world.budgets().len()).map(|index| settings.budgets[index].span.clone());
    let draft = match (fault, budget) {
        (Some(fault), Some(budget)) => {
            Draft::new(fault, exceeded.message).label("more than the budget").also(budget, "the budget")
        }
        (Some(span), None) => Draft::new(span, exceeded.message).label("more than the program's budget"),
        (None, Some(span)) => Draft::new(span, exceeded.message).label("less than the program's faults need"),
        (None, None) => Draft::new(program.clone(), exceeded.message).label("of this program"),
    };
    reader.note(draft);
}

/// Faults that would never happen are mistakes.
fn check_times(reader: &mut Reader, settings: &Settings, mut world: World) {
    settings.times(&mut world);
    let limit_ns = world.limits().virtual_ns;
    let end_ns = world.end_time().map(reader::nanoseconds);
    let format_ns = squall_trace::trace::format_ns;
    let names: Vec<String> = world.node_names().map(str::to_string).collect();
    let faults = settings.faults.iter().map(|fault| match (fault.at, fault.last_at(&names)) {
        (at, last) if at == last => ("the fault", at, &fault.at_span),
        (_, last) => ("the last of the fault's times,", last, &fault.at_span),
    });
    let heals = settings.heal.iter().map(|heal| ("the heal", heal.at, &heal.at_span));
    let rules = settings.rules.iter().map(|rule| ("the rule", rule.at, &rule.span));
    for (what, at, at_span) in faults.chain(heals).chain(rules) {
        let at_ns = reader::nanoseconds(at);
        let bound = match end_ns {
            Some(end_ns) if at_ns >= end_ns => {
                Some((format!("the run ends at {}", format_ns(end_ns)), settings.end_span.clone()))
            }
            _ if at_ns >= limit_ns => {
                Some((format!("the run is given up at {}", format_ns(limit_ns)), settings.limit_span.clone()))
            }
            // What comes at the instant of the heal itself comes before it.
            _ => settings.heal.as_ref().filter(|heal| at > heal.at).map(|heal| {
                let healed_ns = reader::nanoseconds(heal.at);
                (format!("all faults stop at {}", format_ns(healed_ns)), Some(heal.at_span.clone()))
            }),
        };
        if let Some((bound, bound_span)) = bound {
            let message = format!("{what} at {} never happens: {bound}", format_ns(at_ns));
            let mut draft = Draft::new(at_span.clone(), message).label(format!("expected less: {bound}"));
            if let Some(span) = bound_span {
                draft = draft.also(span, "said here");
            }
            reader.note(draft);
        }
    }
    if let Some(heal) = &settings.heal {
        let (judged_ns, end_ns) = (reader::nanoseconds(heal.judged_at()), end_ns.unwrap_or(u64::MAX).min(limit_ns));
        if heal.within.is_some() && judged_ns > end_ns && reader::nanoseconds(heal.at) < end_ns {
            let message = format!(
                "the progress that `heal.within` demands is never judged: its bound is {}, and the run is over at {}",
                format_ns(judged_ns),
                format_ns(end_ns)
            );
            reader.note(Draft::new(heal.span.clone(), message).label("expected a bound before the run's end"));
        }
        heal.apply(&mut world);
        if heal.core.iter().flatten().all(|place| world.node_names().any(|name| matches(&place.name, name)))
            && let Err(problem) = world.check_heal()
        {
            reader.note(Draft::new(heal.span.clone(), problem).label("here"));
        }
    }
}

fn check_expected(reader: &mut Reader, name: &str, span: Range<usize>, property_names: &[String]) {
    let names: Vec<&str> = property_names.iter().map(String::as_str).chain(BUILT_IN_PROPERTIES).collect();
    if !names.contains(&name) {
        let shown = reader::shortened(name);
        let mut draft = Draft::new(span, format!("`expect` names {shown:?}, which is no property of this scenario"))
            .label("not a property")
            .meant(nearest(name, names.iter().copied()));
        let all = format!("the properties are {}", names.join(", "));
        draft.help = Some(match draft.help {
            Some(hint) => format!("{hint} ({all})"),
            None => all,
        });
        reader.note(draft);
    }
}
