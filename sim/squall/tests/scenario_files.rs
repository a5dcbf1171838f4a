//! Scenario files: what is read, and what is said about those that can't be.

use std::collections::BTreeMap;
use std::time::Duration;

use miette::Diagnostic;
use proptest::prelude::*;
use serde::{Deserialize, Serialize};
use squall::World;
use squall::scenario::{Isolation, NoArgs, Program, Scenario, ScenarioError};
use squall::testing::SeedRange;
use squall::time::DurationExt;
use squall::trace::{Plan, Record, Seed, StrategyChoice, Verdict};

#[derive(Serialize, Deserialize)]
struct Args {
    cache: bool,
    batch: u8,
    label: String,
    #[serde(with = "squall::scenario::duration")]
    pause: Duration,
    limits: BTreeMap<String, u32>,
    disk: Disk,
    hint: Option<u32>,
}

#[derive(Serialize, Deserialize)]
struct Disk {
    size: u64,
}

impl Default for Args {
    fn default() -> Args {
        Args {
            cache: false,
            batch: 4,
            label: "plain".to_string(),
            pause: 5.ms(),
            limits: BTreeMap::new(),
            disk: Disk { size: 1 },
            hint: None,
        }
    }
}

fn store(world: &mut World, args: &Args) {
    let pause = args.pause;
    assert!(args.batch < 200, "a batch of {} is too much", args.batch);
    world.nodes("store", 3, |_| std::future::pending::<()>());
    squall::point!("a point of the test");
    world.clients("client", 2, move |_| async move {
        let _ = (squall::buggify!("a place of the test"), squall::knob!("batch", 5u8, [1, 2]));
        squall::time::sleep(pause).await;
    });
    world.node("gateway", std::future::pending::<()>);
}

fn programs() -> Vec<Program> {
    vec![
        Program::new("store", "Stores and clients", store),
        Program::new("idle", "One client that sleeps", |world, _: &NoArgs| {
            world.client("sleeper", || squall::time::sleep(1.secs()));
        }),
    ]
}

fn read(text: &str, set: &[&str]) -> Result<Scenario, ScenarioError> {
    let set: Vec<String> = set.iter().map(ToString::to_string).collect();
    Scenario::from_text("scenarios/example.toml", text, &programs(), &set)
}

/// Everything that a scenario file can hold.
const VALID: &str = r#"#:schema ./scenario.schema.json
program   = "store"
about     = "An example"
swarm     = false
seeds     = "0x10..1000"
isolation = "auto"
expect    = "panic"
limit     = { virtual = "60s", events = 2_000_000 }
end       = { at = "30s" }

[nodes]
store  = 3
client = 5

[args]
cache = true
batch = 7
label = "x"
pause = "1.5ms"
limits = { a = 1 }
disk.size = 12

[clock]
epoch = "2026-01-01T00:00:00Z"

[network]
latency = { uniform = ["1ms", "10ms"] }
loss = "1%"
duplicate = "1/3"
duplicate_latency = "2s"
corruption = "1/7"
bursts = { good = "1s", bad = "10ms" }
bandwidth = "100Mbit/s"
queue = "0KiB"

[[uplink]]
name = "stores"
node = "store-*"
bandwidth = "1GB/s"
queue = "64KiB"

[loopback]
latency = { exponential = "20us" }

[storage]
latency = "20us"
sync_latency = { exponential = "1ms" }
capacity = "64KiB"
crash_loss = "80%"
torn = "1/2"

[[disk]]
name = "bad-disk"
node = "store-*"
sync_failure = "1%"
read_failure = "1%"
write_failure = "1%"
bit_rot = "1/1000"

[[link]]
name = "slow"
from = "client-*"
to = "store-0"
both_ways = true
latency = { lognormal = { median = "2ms", p99 = "40ms" } }

[[link]]
from = "gateway"
to = "*"
latency = { pareto = { min = "1ms", shape = 1.5 } }
loss = 0

[[link]]
from = "store-*"
to = "store-*"
one_way = true
latency = { exponential = { mean = "5ms", min = "1ms" } }

[[link]]
from = "store-0"
to = "gateway"
latency = { empirical = ["1ms", "1ms", "9ms"] }

[[fault]]
name = "split"
kind = "partition"
groups = [["store-0"], ["store-1", "store-2"]]
at = "2s"
for = "3s"

[[fault]]
kind = "partition"
from = "client-*"
to = ["gateway"]
one_way = true
at = "10s"

[[fault]]
kind = "crash"
node = "store-*"
at = "5s"
restart_after = "1s"

[[fault]]
kind = "pause"
node = "client-*"
at = "7s"
for = "100ms"

[[fault]]
kind = "swizzle"
nodes = "store-*"
at = "15s"
stagger = "100ms"
for = "1s"
hold = false

[buggify]
enabled = "50%"
share = "1/3"
knobs = 0

[knobs]
batch = 9

[[budget]]
name = "few"
of = ["store-*", "client-*"]
crashed = 3
paused = 5
partitions = 5

[heal]
at = "20s"
core = ["store-*", "client-*"]
within = "5s"
"#;

#[test]
fn a_whole_file_is_read_and_runs() {
    let scenario = read(VALID, &[]).unwrap();
    assert_eq!(scenario.name(), "example");
    assert_eq!(scenario.program(), "store");
    assert_eq!(scenario.about(), "An example");
    assert_eq!(scenario.seeds(), SeedRange::from(16..1000));
    assert_eq!(scenario.expect(), Some("panic"));
    assert_eq!(scenario.isolation(), Isolation::Auto);
    assert_eq!(scenario.node_names().len(), 3 + 5 + 1);
    let outcome = scenario.simulation().run_plan(&scenario.plan(Seed(1), StrategyChoice::default()), Record::Full);
    assert_eq!(outcome.verdict, Verdict::Pass);
    // `end.at`, not the clients' return.
    assert_eq!(outcome.ending.at_ns, 30_000_000_000);
    let trace = serde_json::to_string(&outcome.trace.unwrap().events).unwrap();
    for what in [
        "split at 2 s",
        "split at 2 s is healed",
        "the partition client-* -> gateway at 10 s",
        "the crash of store-* at 5 s (store-2)",
        "the swizzle of store-* at 15 s (store-",
        "the pause of client-* at 7 s (client-4)",
        "the pause of client-* at 7 s (client-4) is over",
        "faults stop for store-*, client-*, and stay for all others",
    ] {
        assert!(trace.contains(what), "{what} didn't happen");
    }
}

/// At the bound is in time.
#[test]
fn progress_is_demanded_from_the_heal_on() {
    let verdict = |within: &str| {
        let text = format!("program = \"store\"\nargs.pause = \"3s\"\n[heal]\nat = \"1s\"\nwithin = \"{within}\"\n");
        let scenario = read(&text, &[]).unwrap();
        let outcome = scenario.simulation().run_plan(&Plan::seeded("x", Seed(1)), Record::Digest);
        outcome.verdict.property().map(str::to_string)
    };
    assert_eq!(verdict("2s"), None);
    assert_eq!(verdict("1999999999ns"), Some("progress".to_string()));
    assert!(read("program = \"store\"\nend.at = \"3s\"\n[heal]\nat = \"1s\"\nwithin = \"2s\"\n", &[]).is_ok());
    // A fault at the instant of the heal happens before it.
    let crash = "[[fault]]\nkind = \"crash\"\nnode = \"store-0\"\nat = \"1s\"\n";
    assert!(read(&format!("program = \"store\"\n{crash}[heal]\nat = \"1s\"\n"), &[]).is_ok());
}

#[test]
fn what_a_file_leaves_out_is_as_the_program_says() {
    let scenario = read("program = \"store\"", &[]).unwrap();
    assert_eq!(scenario.about(), "Stores and clients");
    assert_eq!(scenario.seeds(), SeedRange::from(0..1000));
    assert_eq!(scenario.isolation(), Isolation::Thread);
    assert_eq!(scenario.node_names().len(), 3 + 2 + 1);
    let outcome = scenario.simulation().run_plan(&Plan::seeded("x", Seed(1)), Record::Digest);
    assert_eq!(outcome.ending.at_ns, 5_000_000);
}

#[test]
fn settings_go_over_the_file() {
    let end_ns = |set: &[&str]| {
        let scenario = read("program = \"store\"\n[args]\npause = \"7ms\"\n", set).unwrap();
        let outcome = scenario.simulation().run_plan(&Plan::seeded("x", Seed(1)), Record::Digest);
        outcome.ending.at_ns
    };
    assert_eq!(end_ns(&[]), 7_000_000);
    assert_eq!(end_ns(&["args.pause=9ms"]), 9_000_000);
    assert_eq!(end_ns(&["args.pause = \"9ms\"", "args.pause=11ms"]), 11_000_000);
    assert_eq!(end_ns(&["args={ pause = \"3ms\" }", "args.cache=true"]), 3_000_000);
    assert_eq!(end_ns(&["end.at=1s"]), 1_000_000_000);

    let scenario =
        read(VALID, &["seeds=3..5", "nodes.client=1", "fault.split.at=1s", "link.slow.latency=5ms"]).unwrap();
    assert_eq!(scenario.seeds(), SeedRange::from(3..5));
    assert_eq!(scenario.node_names().len(), 3 + 1 + 1);
    let plan = scenario.plan(Seed(4), StrategyChoice::Fifo);
    assert_eq!(plan.scenario, "example");
    assert_eq!(plan.parameters["fault.split.at"], "1s");
    assert_eq!(plan.parameters["seeds"], "3..5");
    let outcome = scenario.simulation().run_plan(&plan, Record::Full);
    assert!(serde_json::to_string(&outcome.trace.unwrap().events).unwrap().contains("split at 1 s"));
}

/// Exactly the budget is no mistake, and `--set` finds a budget by its name.
/// What has an effect somewhere, or would have if a sweep went on, is no mistake.
#[test]
fn what_has_an_effect_is_no_mistake() {
    let queue = "[[uplink]]\nnode = \"store-1\"\nqueue = \"1KiB\"";
    for text in [
        format!("{queue}\nbandwidth = \"1Mbit/s\""),
        format!("{queue}\n[[uplink]]\nnode = \"store-*\"\nbandwidth = \"1Mbit/s\""),
        format!("{queue}\n[network]\nbandwidth = \"1Mbit/s\""),
        format!("{queue}\n[[link]]\nfrom = \"gateway\"\nto = \"store-1\"\nboth_ways = true\nbandwidth = \"1Mbit/s\""),
        format!(
            "{queue}\n[[fault]]\nkind = \"link\"\nfrom = \"store-1\"\nto = \"gateway\"\none_way = true\nat = \"1s\"\n\
             bandwidth = \"1Mbit/s\""
        ),
        "[network]\nduplicate_latency = \"5ms\"\nduplicate = \"0%\"".to_string(),
        "[network]\nduplicate_latency = \"5ms\"\n[[link]]\nfrom = \"gateway\"\nto = \"*\"\nduplicate = \"1%\""
            .to_string(),
        "[[rule]]\nverdict = \"drop\"\nfrom = \"gateway\"\nto = \"*\"\nshare = \"0%\"".to_string(),
        "[[fault]]\nkind = \"crash\"\nnode = \"gateway\"\nat_point = \"a point of the test\"\nshare = 0".to_string(),
    ] {
        let read = read(&format!("program = \"store\"\n{text}"), &[]);
        let Ok(scenario) = read else { panic!("{text}\n{:?}", read.err().map(|error| error.to_string())) };
        assert_eq!(
            scenario.simulation().run_plan(&scenario.plan(Seed(1), StrategyChoice::Fifo), Record::Digest).verdict,
            Verdict::Pass,
            "{text}"
        );
    }
}

#[test]
fn a_budget_that_is_kept_is_no_mistake() {
    let text = "program = \"store\"\n[[budget]]\nname = \"stores\"\nof = \"store-*\"\ncrashed = \"minority\"\n[[fault]]\nkind = \"crash\"\n\
                node = \"store-*\"\nat = \"1ms\"\nstagger = \"1ms\"\nrestart_after = \"999us\"\n";
    assert!(read(text, &[]).is_ok());
    let later = text.replace("999us", "1ms");
    let error = read(&later, &[]).unwrap_err();
    assert!(error.lines().contains("2 of its nodes are down at 2 ms, but the budget is 1"), "{error}");
    assert!(read(&later, &["budget.stores.crashed=2"]).is_ok());
    assert!(read(&later, &["budget.stones.crashed=2"]).unwrap_err().lines().contains("no [[budget]] is named"));
}

/// What is said of programs that ask does what it says.
#[test]
fn what_programs_ask_for_is_set() {
    use squall::trace::SiteKind;

    let kinds = |more: &str, set: &[&str]| {
        let scenario = read(&format!("program = \"store\"\n{more}"), set).unwrap();
        let outcome = scenario.simulation().run_plan(&Plan::seeded("x", Seed(1)), Record::Perturbations);
        let asked = outcome.perturbations.iter().map(|one| one.site.kind);
        let asked = asked.filter(|kind| [SiteKind::Buggify, SiteKind::Knob].contains(kind)).collect::<Vec<_>>();
        (asked, outcome.swarm.len())
    };
    let all = "[buggify]\nenabled = 1\nshare = 1\nknobs = 1\n";
    let two = [SiteKind::Buggify, SiteKind::Knob, SiteKind::Buggify];
    assert_eq!(kinds(all, &[]), (two.to_vec(), 0));
    assert_eq!(kinds(all, &["buggify.enabled=0", "buggify.knobs=0"]), (vec![], 0));
    assert_eq!(kinds(all, &["knobs.batch=3"]), (vec![SiteKind::Buggify; 2], 0));
    assert_eq!(kinds(&format!("{all}share = 0\n").replacen("share = 1\n", "", 1), &[]).0, [SiteKind::Knob]);
    assert!(kinds("", &["swarm=true"]).1 > 0);
    assert_eq!(kinds("swarm = false\n", &[]).1, 0);
}

/// A wrong text, what is said about it, the part that is pointed at, and what the help says.
type Case = (&'static str, &'static str, &'static str, &'static str);

/// Each with `program = "store"` and a newline before it.
const WRONG: &[Case] = &[
    // Keys.
    ("sedes = \"0..1\"", "unknown key `sedes` in a scenario", "sedes", "did you mean `seeds`?"),
    ("[netwrok]\nloss = \"1%\"", "unknown key `netwrok`", "netwrok", "did you mean `network`?"),
    ("[network]\nlatancy = \"1ms\"", "unknown key `latancy` in [network]", "latancy", "did you mean `latency`?"),
    ("limit = { virtaul = \"1s\" }", "unknown key `virtaul` in `limit`", "virtaul", "did you mean `virtual`?"),
    (
        "[check]\nlinearisable = \"kv\"",
        "unknown key `linearisable` in [check]",
        "linearisable",
        "did you mean `linearizable`?",
    ),
    (
        "[check]\nlinearizable = \"registre\"",
        "there is no model \"registre\"",
        "\"registre\"",
        "did you mean `register`?",
    ),
    (
        "[check]\ntransactions = \"serialisable\"",
        "there is no level \"serialisable\"; there are read-uncommitted, read-committed",
        "\"serialisable\"",
        "did you mean `serializable`?",
    ),
    (
        "[check]\nsession = \"read-my-writes\"",
        "there is no guarantee \"read-my-writes\"",
        "\"read-my-writes\"",
        "did you mean `read-your-writes`?",
    ),
    ("[check]\nlinearizable = 5", "`check.linearizable`: expected the name of a model", "5", ""),
    ("[hael]\nat = \"1s\"", "unknown key `hael`", "hael", "did you mean `heal`?"),
    ("[heal]\nat = \"1s\"\nfor = \"1s\"", "unknown key `for` in [heal]", "for", "expected one of at, core, within"),
    ("[heal]\nwithin = \"1s\"", "[heal] lacks `at`", "[heal]", ""),
    ("[heal]\nat = \"1s\"\nwithin = \"0s\"", "`heal.within`", "\"0s\"", ""),
    (
        "[heal]\nat = \"1s\"\ncore = [\"sotre-0\"]",
        "the heal names the node \"sotre-0\"",
        "\"sotre-0\"",
        "did you mean `store-0`?",
    ),
    ("[heal]\nat = \"1s\"\ncore = []", "`heal.core` names no node", "[]", ""),
    ("[heal]\nat = \"1s\"\nwithin = \"1s\"\ncore = [\"store-*\"]", "heals no client that could make some", "heal", ""),
    ("end = { at = \"1s\" }\n[heal]\nat = \"1s\"", "the heal at 1 s never happens: the run ends at 1 s", "\"1s\"", ""),
    (
        "[heal]\nat = \"1s\"\n[[fault]]\nkind = \"crash\"\nnode = \"store-0\"\nat = \"1001ms\"",
        "the fault at 1.001 s never happens: all faults stop at 1 s",
        "\"1001ms\"",
        "",
    ),
    // Neither do those of nodes that aren't healed.
    (
        "[heal]\nat = \"1s\"\ncore = [\"client-*\"]\n[[fault]]\nkind = \"crash\"\nnode = \"store-0\"\nat = \"2s\"",
        "the fault at 2 s never happens: all faults stop at 1 s",
        "\"2s\"",
        "",
    ),
    (
        "end = { at = \"3s\" }\n[heal]\nat = \"1s\"\nwithin = \"2001ms\"",
        "is never judged: its bound is 3.001 s, and the run is over at 3 s",
        "heal",
        "",
    ),
    (
        "limit = { virtual = \"2s\" }\n[heal]\nat = \"1s\"\nwithin = \"2s\"",
        "is never judged: its bound is 3 s, and the run is over at 2 s",
        "heal",
        "",
    ),
    ("[clock]\nepohc = 1", "unknown key `epohc` in [clock]", "epohc", "did you mean `epoch`?"),
    // Units and types.
    ("[network]\nlatency = 5", "`latency`: expected a duration", "5", "did you mean `\"5ms\"`?"),
    ("[network]\nlatency = \"5\"", "found \"5\"", "\"5\"", "did you mean `\"5ms\"`?"),
    ("[network]\nlatency = \"5sec\"", "found \"5sec\"", "\"5sec\"", "did you mean `\"5s\"`?"),
    ("[network]\nlatency = \"fast\"", "expected a duration such as \"5ms\"", "\"fast\"", ""),
    ("[network]\nlatency = \"0.5ns\"", "expected whole nanoseconds", "\"0.5ns\"", ""),
    ("[network]\nlatency = \"999999999h\"", "expected at most 146 years", "\"999999999h\"", ""),
    ("[network]\nlatency = true", "`latency`: expected a latency such as", "true", ""),
    ("[network]\nlatency = {}", "expected exactly one of fixed, uniform", "{}", ""),
    (
        "[network]\nlatency = { fixed = \"1ms\", pareto = 1 }",
        "expected exactly one of",
        "{ fixed = \"1ms\", pareto = 1 }",
        "",
    ),
    ("[network]\nlatency = { unifrom = [] }", "unknown key `unifrom`", "unifrom", "did you mean `uniform`?"),
    ("[network]\nlatency = { uniform = [\"1ms\"] }", "expected two latencies, found 1", "[\"1ms\"]", ""),
    ("[network]\nlatency = { uniform = [\"9ms\", \"1ms\"] }", "min (9ms) is above max (1ms)", "[\"9ms\", \"1ms\"]", ""),
    ("[network]\nlatency = { uniform = \"1ms\" }", "expected the least and the greatest latency", "\"1ms\"", ""),
    ("[network]\nlatency = { exponential = \"0s\" }", "mean must be above zero", "\"0s\"", ""),
    ("[network]\nlatency = { exponential = {} }", "lacks `mean`", "{}", ""),
    (
        "[network]\nlatency = { lognormal = { median = \"2ms\", p99 = \"2ms\" } }",
        "p99 (2ms) must be above median (2ms)",
        "{ median = \"2ms\", p99 = \"2ms\" }",
        "",
    ),
    (
        "[network]\nlatency = { lognormal = { median = \"2ms\" } }",
        "`lognormal` lacks `p99`",
        "{ median = \"2ms\" }",
        "",
    ),
    (
        "[network]\nlatency = { pareto = { min = \"1ms\", shape = 0 } }",
        "shape must be finite",
        "{ min = \"1ms\", shape = 0 }",
        "",
    ),
    (
        "[network]\nlatency = { pareto = { min = \"1ms\", shape = nan } }",
        "shape must be finite",
        "{ min = \"1ms\", shape = nan }",
        "",
    ),
    ("[network]\nlatency = { pareto = { min = \"1ms\", shape = \"x\" } }", "`shape`: expected a number", "\"x\"", ""),
    ("[network]\nlatency = { empirical = [] }", "needs at least one entry", "[]", ""),
    ("[network]\nlatency = { empirical = [\"1ms\", 2] }", "found the integer 2", "2", "did you mean `\"2ms\"`?"),
    ("[network]\nloss = \"120%\"", "`loss`: expected a share of at most 100%, found \"120%\"", "\"120%\"", ""),
    ("[network]\nloss = 0.05", "`loss`: expected a share such as \"5%\"", "0.05", ""),
    ("[network]\nloss = 5", "did you mean \"5%\"?", "5", ""),
    ("[network]\ncorruption = 0.1", "`corruption`: expected a share", "0.1", ""),
    (
        "[network]\nbursts = \"1%\"",
        "`bursts`: expected a table such as { good = \"2s\", bad = \"50ms\" }",
        "\"1%\"",
        "",
    ),
    ("[network]\nbursts = { good = \"1s\" }", "`bursts` lacks `bad`: expected a duration", "{ good = \"1s\" }", ""),
    (
        "[network]\nbursts = { good = \"1s\", bad = \"0s\" }",
        "a link is bad for more than no time",
        "{ good = \"1s\", bad = \"0s\" }",
        "",
    ),
    ("[network]\nbursts = { good = 1, bad = \"1s\" }", "`good`", "1", ""),
    ("[network]\nreorder = 5", "`reorder`: expected a share", "5", ""),
    ("[network]\nreorder = \"101%\"", "at most 100%", "\"101%\"", ""),
    ("[network]\nduplicate_latency = 5", "`duplicate_latency`: expected a duration", "5", "did you mean `\"5ms\"`?"),
    ("[network]\nduplicate_latency = true", "`duplicate_latency`: expected a latency such as", "true", ""),
    (
        "[network]\nduplicate_latency = { uniform = [\"9ms\", \"1ms\"] }",
        "`duplicate_latency`: the uniform latency is impossible",
        "[\"9ms\", \"1ms\"]",
        "",
    ),
    (
        "[network]\ndupliate_latency = \"5ms\"",
        "unknown key `dupliate_latency`",
        "dupliate_latency",
        "did you mean `duplicate_latency`?",
    ),
    // Bandwidths and queues.
    ("[network]\nbandwidth = 10", "`bandwidth`: expected a bandwidth", "10", "did you mean `\"10Mbit/s\"`?"),
    ("[network]\nbandwidth = \"10\"", "`bandwidth`: expected a bandwidth", "\"10\"", "did you mean `\"10Mbit/s\"`?"),
    ("[network]\nbandwidth = \"10Mbps\"", "found \"10Mbps\"", "\"10Mbps\"", "did you mean `\"10Mbit/s\"`?"),
    ("[network]\nbandwidth = \"10MiB/s\"", "found \"10MiB/s\"", "\"10MiB/s\"", "did you mean `\"10MB/s\"`?"),
    ("[network]\nbandwidth = \"5ms\"", "expected a bandwidth such as \"10Mbit/s\" (units: bit/s", "\"5ms\"", ""),
    ("[network]\nbandwidth = \"0Mbit/s\"", "on which nothing passes is a partition", "\"0Mbit/s\"", ""),
    ("[network]\nbandwidth = \"0.5bit/s\"", "expected whole bits per second", "\"0.5bit/s\"", ""),
    ("[network]\nbandwidth = \"1000001Gbit/s\"", "expected at most a petabit per second", "\"1000001Gbit/s\"", ""),
    ("[network]\nbandwidth = -1", "`bandwidth`: expected a bandwidth", "-1", ""),
    ("[network]\nbandwidth = true", "`bandwidth`: expected a bandwidth", "true", ""),
    ("[network]\nbandwidth = \"\"", "`bandwidth`: expected a bandwidth", "\"\"", ""),
    ("[network]\nbandwdith = \"1Mbit/s\"", "unknown key `bandwdith`", "bandwdith", "did you mean `bandwidth`?"),
    (
        "[network]\nqueue = \"64KiB\"",
        "`queue`: nothing ever waits there, as no link and no uplink of the sender has a `bandwidth`",
        "\"64KiB\"",
        "",
    ),
    ("[[link]]\nfrom = \"*\"\nto = \"*\"\nqueue = \"1KiB\"", "`queue`: nothing ever waits", "\"1KiB\"", ""),
    ("[[uplink]]\nnode = \"*\"\nqueue = \"1KiB\"", "`queue`: nothing ever waits", "\"1KiB\"", ""),
    // A bandwidth of another sender's makes nothing wait here; one of the link back does, if it is that.
    (
        "[[uplink]]\nnode = \"store-1\"\nqueue = \"1KiB\"\n[[uplink]]\nnode = \"store-2\"\nbandwidth = \"1Mbit/s\"",
        "`queue`: nothing ever waits there",
        "\"1KiB\"",
        "",
    ),
    (
        "[[uplink]]\nnode = \"store-1\"\nqueue = \"1KiB\"\n[[fault]]\nkind = \"link\"\nfrom = \"gateway\"\nto = \"store-1\"\n\
         one_way = true\nat = \"1s\"\nbandwidth = \"1Mbit/s\"",
        "`queue`: nothing ever waits there",
        "\"1KiB\"",
        "",
    ),
    (
        "[network]\nduplicate_latency = \"5ms\"",
        "`duplicate_latency`: nothing arrives twice, as no link has a share of `duplicate`",
        "\"5ms\"",
        "",
    ),
    (
        "[[fault]]\nkind = \"link\"\nfrom = \"*\"\nto = \"*\"\nat = \"1s\"\nqueue = \"1KiB\"",
        "`queue`: nothing ever waits",
        "\"1KiB\"",
        "",
    ),
    (
        "[network]\nbandwidth = \"1Mbit/s\"\nqueue = \"64KB\"",
        "(units: B, KiB, MiB, GiB), found \"64KB\"",
        "\"64KB\"",
        "",
    ),
    ("[network]\nbandwidth = \"1Mbit/s\"\nqueue = 64", "`queue`: expected how much waits to be sent", "64", ""),
    (
        "[network]\nbandwidth = \"1Mbit/s\"\nqueue = \"99999999999999999999GiB\"",
        "`queue`: expected how much waits to be sent",
        "",
        "",
    ),
    ("[network]\nbandwidth = \"1Mbit/s\"\nqueue = \"-1KiB\"", "`queue`: expected", "\"-1KiB\"", ""),
    ("uplink = 3", "`uplink`: expected a list of tables, each under a heading [[uplink]]", "3", ""),
    ("[[uplink]]\nbandwidth = \"1Mbit/s\"", "[[uplink]] lacks `node`", "", ""),
    ("[[uplink]]\nnode = \"store-0\"", "[[uplink]] lacks `bandwidth`", "", ""),
    ("[[uplink]]\nnode = 3\nbandwidth = \"1Mbit/s\"", "`node`: expected the name of a node", "3", ""),
    ("[[uplink]]\nnode = \"store-0\"\nbandwidth = \"fast\"", "`bandwidth`: expected a bandwidth", "\"fast\"", ""),
    (
        "[[uplink]]\nnode = \"store-0\"\nbandwidth = \"1Mbit/s\"\nlatency = \"1ms\"",
        "unknown key `latency` in [[uplink]]",
        "latency",
        "expected one of node, name, bandwidth, queue",
    ),
    (
        "[[uplink]]\nnode = \"sotre-0\"\nbandwidth = \"1Mbit/s\"",
        "the uplink names the node \"sotre-0\", which isn't there",
        "\"sotre-0\"",
        "store-0",
    ),
    (
        "[[uplink]]\nname = \"u\"\nnode = \"*\"\nbandwidth = \"1Mbit/s\"\n[[uplink]]\nname = \"u\"\nnode = \"*\"\nqueue = \"1KiB\"",
        "two uplinks are named \"u\"",
        "\"u\"",
        "",
    ),
    // What nodes send to themselves.
    ("loopback = 3", "`loopback`: expected a table, found the integer 3", "3", ""),
    ("[loopback]", "[loopback] lacks `latency`", "", ""),
    ("[loopback]\nlatency = 10", "`latency`: expected a duration", "10", "did you mean `\"10ms\"`?"),
    ("[loopback]\nlatency = \"999999999h\"", "expected at most 146 years", "\"999999999h\"", ""),
    (
        "[loopback]\nlatency = \"1ms\"\nloss = \"1%\"",
        "unknown key `loss` in [loopback]",
        "loss",
        "expected one of latency",
    ),
    // Recordings: what is in their files is tried below.
    ("[network]\nlatency = { trace = 5 }", "`trace`: expected the name of a file", "5", ""),
    ("[network]\nlatency = { trace = [] }", "`trace`: expected the name of a file", "[]", ""),
    (
        "[network]\nlatency = { trace = \"none.csv\" }",
        "`trace`: the file scenarios/none.csv can't be read: No such file",
        "\"none.csv\"",
        "",
    ),
    ("[network]\nlatency = { trace = \"\" }", "`trace`: the file scenarios/ can't be read", "\"\"", ""),
    ("[network]\nlatency = { trace = \"/\" }", "`trace`: the file / can't be read: it is a directory", "\"/\"", ""),
    (
        "[network]\nlatency = { trace = \"/dev/zero\" }",
        "`trace`: the file /dev/zero can't be read: it is no plain file",
        "\"/dev/zero\"",
        "",
    ),
    ("[network]\nlatency = { trace = \"a\\u0000b\" }", "can't be read", "", ""),
    ("[network]\nbursts = { good = \"1s\", bad = \"1s\", los = \"1%\" }", "`los`", "los", "did you mean `loss`?"),
    ("[network]\nbursts = { good = \"1s\", bad = \"1s\", loss = \"101%\" }", "at most 100%", "\"101%\"", ""),
    ("[network]\nduplicate = \"-1%\"", "`duplicate`: expected a share", "\"-1%\"", ""),
    ("network = 3", "`network`: expected a table, found the integer 3", "3", ""),
    ("link = 3", "`link`: expected a list of tables, each under a heading [[link]]", "3", ""),
    ("fault = [1]", "`fault`: expected a table, found the integer 1", "1", ""),
    ("about = 3", "`about`: expected a sentence", "3", ""),
    (
        "isolation = \"proces\"",
        "expected \"thread\", \"process\" or \"auto\"",
        "\"proces\"",
        "did you mean `\"process\"`?",
    ),
    ("isolation = \"atuo\"", "expected \"thread\", \"process\" or \"auto\"", "\"atuo\"", "did you mean `\"auto\"`?"),
    // Seeds.
    ("seeds = \"10..5\"", "ends before it starts", "\"10..5\"", "did you mean `\"5..10\"`?"),
    ("seeds = \"5..5\"", "is empty", "\"5..5\"", "the end is left out"),
    ("seeds = 100", "expected a range of seeds such as \"0..1000\"", "100", ""),
    ("seeds = \"100\"", "expected a range of seeds", "\"100\"", "did you mean `\"0..100\"`?"),
    ("seeds = \"0..99999999999999999999\"", "is no seed", "\"0..99999999999999999999\"", ""),
    // Names.
    ("expect = \"paid-once\"", "no property of this scenario", "\"paid-once\"", "the properties are abort, deadlock"),
    ("expect = \"panik\"", "no property", "\"panik\"", "did you mean `panic`?"),
    ("[nodes]\ncleint = 2", "unknown key `cleint` in [nodes]", "cleint", "did you mean `client`?"),
    ("[nodes]\nclient = 0", "no client is left", "0", "end = { at = \"10s\" }"),
    ("[nodes]\nclient = -1", "expected a whole number from 0 to 100000", "-1", ""),
    (
        "[nodes]\nclient = 99999999999999999999999999",
        "expected a whole number from 0 to 100000",
        "99999999999999999999999999",
        "",
    ),
    ("[nodes]\nclient = 1.5", "found the number 1.5", "1.5", ""),
    (
        "[[link]]\nfrom = \"store\"\nto = \"*\"",
        "the link names the node \"store\", which isn't there",
        "\"store\"",
        "did you mean `store-0`?",
    ),
    (
        "[[link]]\nfrom = \"*\"\nto = \"clinet-*\"",
        "no node's name is like that",
        "\"clinet-*\"",
        "did you mean `client-0`?",
    ),
    ("[[link]]\nto = \"*\"", "[[link]] lacks `from`", "[[link]]", ""),
    ("[[link]]\nfrom = \"*\"\nto = \"*\"\none_way = true\nboth_ways = true", "disagree", "one_way", ""),
    (
        "[[link]]\nname = \"a\"\nfrom = \"*\"\nto = \"*\"\n[[link]]\nname = \"a\"\nfrom = \"*\"\nto = \"*\"",
        "two links are named \"a\"",
        "\"a\"",
        "",
    ),
    ("[[link]]\nname = \"a.b\"\nfrom = \"*\"\nto = \"*\"", "expected a short name without", "\"a.b\"", ""),
    // Faults.
    (
        "[[fault]]\nat = \"1s\"",
        "[[fault]] lacks `kind`: expected \"partition\", \"random-partition\", \"ring\", \"swizzle\", \"crash\", \"pause\", \"slow\", \"clock-jump\", \"clock-drift\", \"link\", \"hold\" or \"reset\"",
        "[[fault]]",
        "",
    ),
    (
        "[[fault]]\nkind = \"crahs\"",
        "expected \"partition\", \"random-partition\", \"ring\", \"swizzle\", \"crash\", \"pause\", \"slow\", \"clock-jump\", \"clock-drift\", \"link\", \"hold\" or \"reset\"",
        "\"crahs\"",
        "did you mean `\"crash\"`?",
    ),
    ("[[fault]]\nkind = \"crash\"\nnode = \"store-0\"", "a crash lacks `at`", "[[fault]]", ""),
    ("[[fault]]\nkind = \"crash\"\nat = \"1s\"", "a crash lacks `node`", "[[fault]]", ""),
    (
        "[[fault]]\nkind = \"crash\"\nnode = \"store-7\"\nat = \"1s\"",
        "names the node \"store-7\"",
        "\"store-7\"",
        "did you mean `store-0`?",
    ),
    (
        "[[fault]]\nkind = \"crash\"\nnode = \"store-0\"\nat = \"1s\"\nfor = \"1s\"",
        "unknown key `for` in a crash",
        "for",
        "restart_after",
    ),
    ("[[fault]]\nkind = \"pause\"\nat = \"1s\"", "a pause lacks `node`", "[[fault]]", ""),
    ("[[fault]]\nkind = \"pause\"\nnode = \"store-0\"", "a pause lacks `at`", "[[fault]]", ""),
    ("[[fault]]\nkind = \"pause\"\nnode = 7\nat = \"1s\"", "`node`: expected the name of a node", "7", ""),
    (
        "[[fault]]\nkind = \"pause\"\nnode = \"store-7\"\nat = \"1s\"",
        "names the node \"store-7\"",
        "\"store-7\"",
        "did you mean `store-0`?",
    ),
    (
        "[[fault]]\nkind = \"pause\"\nnode = \"store-0\"\nat = \"1s\"\nfor = \"0s\"",
        "a pause that is over at once is none",
        "\"0s\"",
        "",
    ),
    ("[[fault]]\nkind = \"pause\"\nnode = \"store-0\"\nat = \"1s\"\nfor = 5", "`for`", "5", ""),
    ("[[fault]]\nkind = \"pause\"\nnode = \"store-0\"\nat = \"1s\"\nfor = \"999y\"", "`for`", "\"999y\"", ""),
    (
        "[[fault]]\nkind = \"pause\"\nnode = \"store-0\"\nat = \"1s\"\nrestart_after = \"1s\"",
        "unknown key `restart_after` in a pause",
        "restart_after",
        "",
    ),
    (
        "[[fault]]\nkind = \"crash\"\nnode = \"store-0\"\nat = \"2h\"",
        "never happens: the run is given up at 3600 s",
        "\"2h\"",
        "",
    ),
    (
        "end.at = \"5s\"\n[[fault]]\nkind = \"crash\"\nnode = \"store-0\"\nat = \"5s\"",
        "the fault at 5 s never happens: the run ends at 5 s",
        "\"5s\"",
        "",
    ),
    ("limit.virtual = \"1s\"\nend.at = \"2s\"", "`end.at` is beyond `limit.virtual`", "\"2s\"", ""),
    ("limit.virtual = \"0s\"", "above zero", "\"0s\"", ""),
    ("limit.events = 0", "expected a whole number from 1", "0", ""),
    ("end = {}", "`end` lacks `at`", "{}", ""),
    ("[[fault]]\nkind = \"partition\"\nat = \"1s\"", "a partition lacks `groups`", "[[fault]]", ""),
    ("[[fault]]\nkind = \"partition\"\nfrom = \"store-0\"\nat = \"1s\"", "a partition lacks `to`", "[[fault]]", ""),
    (
        "[[fault]]\nkind = \"partition\"\ngroups = [[\"store-0\"]]\nat = \"1s\"",
        "at least two groups",
        "[[\"store-0\"]]",
        "",
    ),
    ("[[fault]]\nkind = \"partition\"\ngroups = [[\"store-0\"], []]\nat = \"1s\"", "a group without nodes", "[]", ""),
    (
        "[[fault]]\nkind = \"partition\"\ngroups = [[\"store-0\"], [\"client-*\", \"store-*\"]]\nat = \"1s\"",
        "the node store-0 is in two groups",
        "\"store-*\"",
        "",
    ),
    (
        "[[fault]]\nkind = \"partition\"\ngroups = [[\"store-0\"], [\"gatewya\"]]\nat = \"1s\"",
        "names the node \"gatewya\"",
        "\"gatewya\"",
        "did you mean `gateway`?",
    ),
    (
        "[[fault]]\nkind = \"partition\"\ngroups = [[\"store-0\"], [\"gateway\"]]\nat = \"1s\"\nfor = \"0s\"",
        "`for`: expected a duration above zero",
        "\"0s\"",
        "",
    ),
    (
        "[[fault]]\nkind = \"partition\"\ngroups = [[\"store-0\"], [\"gateway\"]]\nfrom = \"store-1\"\nat = \"1s\"",
        "not both",
        "from",
        "",
    ),
    (
        "[[fault]]\nkind = \"partition\"\ngroups = [[\"store-0\"], [\"gateway\"]]\none_way = true\nat = \"1s\"",
        "cuts both ways",
        "one_way",
        "",
    ),
    // The other kinds of faults.
    ("[[fault]]\nkind = \"slow\"\nnode = \"store-0\"\nat = \"1s\"\n", "a slow node lacks `poll`", "[[fault]]", ""),
    (
        "[[fault]]\nkind = \"slow\"\nnode = \"store-0\"\nat = \"1s\"\npoll = \"0s\"",
        "a node whose polls take no time",
        "\"0s\"",
        "",
    ),
    (
        "[[fault]]\nkind = \"slow\"\nnode = \"store-0\"\nat = \"1s\"\npoll = 2",
        "`poll`: expected a duration",
        "2",
        "did you mean `\"2ms\"`?",
    ),
    (
        "[[fault]]\nkind = \"slow\"\nnode = \"store-0\"\nat = \"1s\"\npoll = \"2 parsecs\"",
        "`poll`",
        "\"2 parsecs\"",
        "",
    ),
    ("[[fault]]\nkind = \"slow\"\nnode = \"store-0\"\nat = \"1s\"\npoll = \"200y\"", "`poll`", "\"200y\"", ""),
    (
        "[[fault]]\nkind = \"slow\"\nnode = \"store-0\"\nat = \"1s\"\npoll = \"1ms\"\nfor = \"0s\"",
        "a node that is slow for no time",
        "\"0s\"",
        "",
    ),
    (
        "[[fault]]\nkind = \"slow\"\nnode = \"store-0\"\nat = \"1s\"\npoll = \"1ms\"\nnode2 = 1",
        "unknown key `node2` in a slow node",
        "node2",
        "did you mean `node`?",
    ),
    ("[[fault]]\nkind = \"slow\"\nnode = []\nat = \"1s\"\npoll = \"1ms\"", "`node`: a group without nodes", "[]", ""),
    (
        "[[fault]]\nkind = \"slow\"\nnode = [\"store-0\", 3]\nat = \"1s\"\npoll = \"1ms\"",
        "`node`: expected the name of a node",
        "3",
        "",
    ),
    (
        "[[fault]]\nkind = \"slow\"\nnode = [\"store-0\", \"stroe-1\"]\nat = \"1s\"\npoll = \"1ms\"",
        "names the node \"stroe-1\"",
        "\"stroe-1\"",
        "did you mean `store-1`?",
    ),
    (
        "[[fault]]\nkind = \"clock-jump\"\nnode = \"store-0\"\nat = \"1s\"\n",
        "a clock's jump lacks `forward`",
        "[[fault]]",
        "",
    ),
    (
        "[[fault]]\nkind = \"clock-jump\"\nnode = \"store-0\"\nat = \"1s\"\nforward = \"1s\"\nback = \"1s\"",
        "`forward` or `back`, not both",
        "back",
        "",
    ),
    (
        "[[fault]]\nkind = \"clock-jump\"\nnode = \"store-0\"\nat = \"1s\"\nforward = \"0s\"",
        "a clock that is set by nothing",
        "\"0s\"",
        "",
    ),
    ("[[fault]]\nkind = \"clock-jump\"\nnode = \"store-0\"\nat = \"1s\"\nback = \"-1s\"", "`back`", "\"-1s\"", ""),
    ("[[fault]]\nkind = \"clock-jump\"\nnode = \"store-0\"\nat = \"1s\"\nback = 1.5", "`back`", "1.5", ""),
    (
        "[[fault]]\nkind = \"clock-drift\"\nnode = \"store-0\"\nat = \"1s\"\n",
        "a clock's drift lacks `ppm`",
        "[[fault]]",
        "",
    ),
    (
        "[[fault]]\nkind = \"clock-drift\"\nnode = \"store-0\"\nat = \"1s\"\nppm = 0",
        "from -500000 to 500000, not 0",
        "0",
        "",
    ),
    ("[[fault]]\nkind = \"clock-drift\"\nnode = \"store-0\"\nat = \"1s\"\nppm = -500001", "`ppm`", "-500001", ""),
    (
        "[[fault]]\nkind = \"clock-drift\"\nnode = \"store-0\"\nat = \"1s\"\nppm = 99999999999999999999",
        "99999999999999999999",
        "99999999999999999999",
        "",
    ),
    ("[[fault]]\nkind = \"clock-drift\"\nnode = \"store-0\"\nat = \"1s\"\nppm = \"200ppm\"", "`ppm`", "\"200ppm\"", ""),
    ("[[fault]]\nkind = \"clock-drift\"\nnode = \"store-0\"\nat = \"1s\"\nppm = 1.5", "`ppm`", "1.5", ""),
    ("[[fault]]\nkind = \"random-partition\"\nat = \"1s\"\n", "a random partition lacks `nodes`", "[[fault]]", ""),
    (
        "[[fault]]\nkind = \"random-partition\"\nat = \"1s\"\nnodes = \"store-0\"",
        "of 2 to 63 nodes, not of 1",
        "[[fault]]",
        "",
    ),
    (
        "[[fault]]\nkind = \"random-partition\"\nat = \"1s\"\nnodes = [\"store-0\", \"store-1\"]\nsplit = \"minority\"",
        "of 3 to 63 nodes, not of 2",
        "[[fault]]",
        "",
    ),
    (
        "[[fault]]\nkind = \"random-partition\"\nat = \"1s\"\nnodes = \"store-*\"\nsplit = \"minorty\"",
        "`split`: expected \"any\", \"minority\" or \"one\"",
        "\"minorty\"",
        "did you mean `\"minority\"`?",
    ),
    ("[[fault]]\nkind = \"random-partition\"\nat = \"1s\"\nnodes = \"store-*\"\nsplit = 2", "`split`", "2", ""),
    (
        "[[fault]]\nkind = \"random-partition\"\nat = \"1s\"\nnodes = \"nobody-*\"",
        "names nodes \"nobody-*\"",
        "\"nobody-*\"",
        "",
    ),
    (
        "[[fault]]\nkind = \"ring\"\nat = \"1s\"\nnodes = \"store-*\"",
        "each of the 3 nodes reaches all others: a ring with reach 1 is of at least 4 nodes",
        "[[fault]]",
        "",
    ),
    (
        "[[fault]]\nkind = \"ring\"\nat = \"1s\"\nnodes = \"*\"\nreach = 0",
        "`reach`: expected a whole number from 1",
        "0",
        "",
    ),
    ("[[fault]]\nkind = \"ring\"\nat = \"1s\"\nnodes = \"*\"\nreach = 5000000000", "`reach`", "5000000000", ""),
    (
        "[[fault]]\nkind = \"link\"\nfrom = \"store-0\"\nto = \"gateway\"\nat = \"1s\"\n",
        "a fault of a link lacks `latency`",
        "[[fault]]",
        "",
    ),
    (
        "[[fault]]\nkind = \"link\"\nfrom = \"store-0\"\nto = \"gateway\"\nat = \"1s\"\nloss = \"101%\"",
        "`loss`",
        "\"101%\"",
        "",
    ),
    (
        "[[fault]]\nkind = \"link\"\nfrom = \"store-0\"\nto = \"gateway\"\nat = \"1s\"\nlatency = \"0.5\"",
        "`latency`",
        "\"0.5\"",
        "",
    ),
    (
        "[[fault]]\nkind = \"link\"\nfrom = \"store-0\"\nto = \"gateway\"\nat = \"1s\"\nloss = \"1%\"\nboth_ways = true\none_way = true",
        "`one_way` and `both_ways` disagree",
        "one_way",
        "",
    ),
    (
        "[[fault]]\nkind = \"link\"\nfrom = \"store-0\"\nat = \"1s\"\nloss = \"1%\"",
        "a fault of a link lacks `to`",
        "[[fault]]",
        "",
    ),
    (
        "[[fault]]\nkind = \"link\"\nfrom = \"store-0\"\nto = \"gatewya\"\nat = \"1s\"\nloss = \"1%\"",
        "names the node \"gatewya\"",
        "\"gatewya\"",
        "did you mean `gateway`?",
    ),
    (
        "[[fault]]\nkind = \"hold\"\nfrom = \"store-0\"\nto = \"gateway\"\nat = \"1s\"\nfor = \"0s\"",
        "a hold that is over at once",
        "\"0s\"",
        "",
    ),
    (
        "[[fault]]\nkind = \"hold\"\nfrom = \"store-0\"\nto = \"gateway\"\nat = \"1s\"\nloss = \"1%\"",
        "unknown key `loss` in a hold",
        "loss",
        "",
    ),
    ("[[fault]]\nkind = \"hold\"\nto = \"gateway\"\nat = \"1s\"", "a hold lacks `from`", "[[fault]]", ""),
    (
        "[[fault]]\nkind = \"pause\"\nnode = \"store-*\"\nat = \"1s\"\ntimes = 3",
        "a fault that happens 3 times needs `every`",
        "times",
        "",
    ),
    ("[[fault]]\nkind = \"pause\"\nnode = \"store-*\"\nat = \"1s\"\nevery = \"1s\"", "needs `times`", "every", ""),
    (
        "[[fault]]\nkind = \"pause\"\nnode = \"store-*\"\nat = \"1s\"\nevery = \"0s\"\ntimes = 2",
        "it would happen all at once",
        "\"0s\"",
        "",
    ),
    (
        "[[fault]]\nkind = \"pause\"\nnode = \"store-*\"\nat = \"1s\"\nevery = \"1s\"\ntimes = 0",
        "`times`: expected a whole number from 1 to 10000",
        "0",
        "",
    ),
    (
        "[[fault]]\nkind = \"pause\"\nnode = \"store-*\"\nat = \"1s\"\nevery = \"1s\"\ntimes = 10001",
        "`times`",
        "10001",
        "",
    ),
    (
        "[[fault]]\nkind = \"pause\"\nnode = \"store-*\"\nat = \"1s\"\nevery = \"1s\"\ntimes = \"2\"",
        "`times`",
        "\"2\"",
        "",
    ),
    (
        "[[fault]]\nkind = \"pause\"\nnode = \"store-*\"\nat = \"1s\"\nevery = \"1s\"\ntimes = 2\nfor = \"1s\"",
        "but it lasts 1 s",
        "every",
        "",
    ),
    (
        "[[fault]]\nkind = \"pause\"\nnode = \"store-*\"\nat = \"1s\"\nevery = \"40m\"\ntimes = 3",
        "the last of the fault's times, at 4801 s never happens",
        "\"1s\"",
        "",
    ),
    (
        "[[fault]]\nkind = \"pause\"\nnode = \"store-*\"\nat = \"1s\"\nstagger = \"0s\"",
        "it would come to all at once",
        "\"0s\"",
        "",
    ),
    (
        "[[fault]]\nkind = \"pause\"\nnode = \"store-0\"\nat = \"1s\"\nstagger = \"1s\"",
        "is one of \"store-0\" alone",
        "stagger",
        "",
    ),
    (
        "[[fault]]\nkind = \"pause\"\nnode = \"store-0\"\nat = \"1s\"\ntogether = true",
        "is one of \"store-0\" alone",
        "together",
        "",
    ),
    (
        "[[fault]]\nname = \"x\"\nkind = \"pause\"\nnode = \"store-*\"\nat = \"1s\"\n\
         [[fault]]\nname = \"x (store-0)\"\nkind = \"crash\"\nnode = \"gateway\"\nat = \"1s\"",
        "is known as \"x (store-0)\", which is another fault's name",
        "[[fault]]",
        "name one of the two otherwise",
    ),
    (
        "[[link]]\nfrom = \"gateway\"\nto = \"gateway\"\nloss = \"1%\"",
        "a link has two ends, and this one is from gateway to itself",
        "\"gateway\"",
        "",
    ),
    (
        "[[fault]]\nkind = \"hold\"\nfrom = \"store-0\"\nto = \"store-0\"\nat = \"1s\"",
        "nothing goes wrong between a node and itself",
        "[[fault]]",
        "",
    ),
    (
        "[[fault]]\nkind = \"link\"\nfrom = \"gateway\"\nto = \"gateway\"\nat = \"1s\"\nloss = \"1%\"",
        "nothing goes wrong between a node and itself",
        "[[fault]]",
        "",
    ),
    ("[[fault]]\nkind = \"pause\"\nnode = \"store-*\"\nat = \"1s\"\nstagger = \"1h\"", "never happens", "\"1s\"", ""),
    (
        "[[fault]]\nkind = \"pause\"\nnode = \"store-*\"\nat = \"1s\"\nstagger = \"1s\"\ntogether = true",
        "leave out `together` or `stagger`",
        "together",
        "",
    ),
    (
        "[[fault]]\nkind = \"pause\"\nnode = \"store-*\"\nat = \"1s\"\ntogether = 1",
        "`together`: expected true or false",
        "1",
        "",
    ),
    (
        "[[fault]]\nkind = \"hold\"\nfrom = \"store-0\"\nto = \"gateway\"\nat = \"1s\"\nstagger = \"1s\"",
        "unknown key `stagger` in a hold",
        "stagger",
        "",
    ),
    (
        "[[fault]]\nkind = \"crash\"\nnode = \"store-0\"\nat_point = \"half a write\"\nshare = \"5%\"",
        "no point of the code is named \"half a write\"; there are a point of the test",
        "\"half a write\"",
        "",
    ),
    (
        "[[fault]]\nkind = \"crash\"\nnode = \"store-0\"\nat_point = \"a piont of the test\"\nshare = \"5%\"",
        "`at_point`",
        "\"a piont of the test\"",
        "did you mean `\"a point of the test\"`?",
    ),
    (
        "[[fault]]\nkind = \"crash\"\nnode = \"store-0\"\nat_point = 7\nshare = \"5%\"",
        "`at_point`: expected the name of a point",
        "7",
        "",
    ),
    (
        "[[fault]]\nkind = \"crash\"\nnode = \"store-0\"\nat_point = \"a point*\"",
        "a crash lacks `share`",
        "[[fault]]",
        "",
    ),
    (
        "[[fault]]\nkind = \"crash\"\nnode = \"store-0\"\nat_point = \"a point*\"\nshare = \"101%\"",
        "`share`",
        "\"101%\"",
        "",
    ),
    (
        "[[fault]]\nkind = \"crash\"\nnode = \"store-0\"\nat_point = \"a point*\"\nshare = \"5%\"\nat = \"1s\"",
        "`at` a time or `at_point`, not both",
        "at_point",
        "",
    ),
    (
        "[[fault]]\nkind = \"crash\"\nnode = \"store-0\"\nat_point = \"a point*\"\nshare = \"5%\"\nevery = \"1s\"\ntimes = 2",
        "as often as that is passed",
        "share",
        "",
    ),
    (
        "[[fault]]\nkind = \"crash\"\nnode = \"store-0\"\nshare = \"5%\"\nat = \"1s\"",
        "`share` belongs to `at_point`",
        "share",
        "",
    ),
    (
        "[[fault]]\nkind = \"crash\"\nnode = \"store-0\"\nat = \"1s\"\nwipe_disk = \"yes\"",
        "`wipe_disk`: expected true or false",
        "\"yes\"",
        "",
    ),
    // Disks.
    ("storage = 3", "`storage`: expected a table, found the integer 3", "3", ""),
    ("disk = 3", "`disk`", "3", ""),
    ("[disk]\nnode = \"store-0\"", "each under a heading [[disk]]", "", ""),
    ("[storage]\ncapacity = \"0KiB\"", "a disk that holds nothing can't be", "\"0KiB\"", ""),
    ("[storage]\ncapacity = \"1025GiB\"", "it holds 1 TiB at the most", "\"1025GiB\"", ""),
    ("[storage]\ncapacity = \"99999999999999999999GiB\"", "`capacity`: expected how much a disk holds", "", ""),
    ("[storage]\ncapacity = \"-1MiB\"", "`capacity`: expected how much a disk holds", "\"-1MiB\"", ""),
    ("[storage]\ncapacity = \"1MB\"", "such as \"512MiB\" (units: B, KiB, MiB, GiB), found \"1MB\"", "\"1MB\"", ""),
    ("[storage]\ncapacity = 4096", "`capacity`: expected how much a disk holds", "4096", ""),
    ("[storage]\ncrash_loss = \"101%\"", "`crash_loss`: expected a share of at most 100%", "\"101%\"", ""),
    ("[storage]\ncrash_loss = \"-1%\"", "`crash_loss`: expected a share", "\"-1%\"", ""),
    ("[storage]\ntorn = 5", "did you mean \"5%\"?", "5", ""),
    ("[storage]\nbit_rot = true", "`bit_rot`", "true", ""),
    ("[storage]\nsync_failure = \"\"", "`sync_failure`: expected a share", "\"\"", ""),
    ("[storage]\nlatency = \"1\"", "`latency`", "\"1\"", ""),
    ("[storage]\nsync_latency = { uniform = [\"2ms\", \"1ms\"] }", "`sync_latency`", "", ""),
    ("[storage]\nsyncs = 1", "unknown key `syncs` in [storage]", "syncs", ""),
    ("[storage]\ncrashloss = \"1%\"", "unknown key `crashloss`", "crashloss", "did you mean `crash_loss`?"),
    ("[[disk]]\ncrash_loss = \"1%\"", "lacks `node`", "", ""),
    ("[[disk]]\nnode = 3", "`node`: expected the name of a node", "3", ""),
    (
        "[[disk]]\nnode = \"sotre-0\"",
        "the disk names the node \"sotre-0\", which isn't there",
        "\"sotre-0\"",
        "store-0",
    ),
    (
        "[[disk]]\nnode = \"stone-*\"",
        "the disk names nodes \"stone-*\", but no node's name is like that",
        "\"stone-*\"",
        "",
    ),
    ("[[disk]]\nnode = \"store-0\"\nname = \"a.b\"", "`name`: expected a short name", "\"a.b\"", ""),
    (
        "[[disk]]\nname = \"d\"\nnode = \"store-0\"\n[[disk]]\nname = \"d\"\nnode = \"store-1\"",
        "two disks are named \"d\"",
        "\"d\"",
        "",
    ),
    // Swizzles.
    (
        "[[fault]]\nkind = \"swizzle\"\nat = \"1s\"\nnodes = \"store-*\"\nstagger = \"1s\"",
        "a swizzle lacks `for`",
        "[[fault]]",
        "",
    ),
    (
        "[[fault]]\nkind = \"swizzle\"\nat = \"1s\"\nnodes = \"store-*\"\nfor = \"1s\"",
        "a swizzle lacks `stagger`",
        "[[fault]]",
        "",
    ),
    (
        "[[fault]]\nkind = \"swizzle\"\nat = \"1s\"\nfor = \"1s\"\nstagger = \"1s\"",
        "a swizzle lacks `nodes`",
        "[[fault]]",
        "",
    ),
    (
        "[[fault]]\nkind = \"swizzle\"\nat = \"1s\"\nnodes = \"store-*\"\nfor = \"1s\"\nstagger = \"0s\"",
        "`stagger`: expected a duration above zero",
        "\"0s\"",
        "",
    ),
    (
        "[[fault]]\nkind = \"swizzle\"\nat = \"1s\"\nnodes = \"store-*\"\nfor = \"0s\"\nstagger = \"1s\"",
        "`for`: expected a duration above zero: a node that has its network back at once",
        "\"0s\"",
        "",
    ),
    (
        "[[fault]]\nkind = \"swizzle\"\nat = \"1s\"\nnodes = \"store-*\"\nfor = 5\nstagger = \"1s\"",
        "`for`: expected a duration",
        "5",
        "",
    ),
    (
        "[[fault]]\nkind = \"swizzle\"\nat = \"1s\"\nnodes = \"store-*\"\nfor = \"1s\"\nstagger = \"999999999h\"",
        "`stagger`",
        "\"999999999h\"",
        "",
    ),
    (
        "[[fault]]\nkind = \"swizzle\"\nat = \"1s\"\nnodes = \"store-*\"\nfor = \"1s\"\nstagger = \"1s\"\nhold = 1",
        "`hold`: expected true or false",
        "1",
        "",
    ),
    (
        "[[fault]]\nkind = \"swizzle\"\nat = \"1s\"\nnodes = \"store-0\"\nfor = \"1s\"\nstagger = \"1s\"",
        "a swizzle is of 2 to 63 nodes, not of 1",
        "[[fault]]",
        "",
    ),
    (
        "[[fault]]\nkind = \"swizzle\"\nat = \"1s\"\nnodes = \"store-*\"\nfor = \"1s\"\nstagger = \"1s\"\nevery = \"5s\"\ntimes = 2",
        "all of the 3 nodes are back after 5 s",
        "[[fault]]",
        "",
    ),
    (
        "[[fault]]\nkind = \"swizzle\"\nat = \"1s\"\nnode = \"store-*\"\nnodes = \"store-*\"\nfor = \"1s\"\nstagger = \"1s\"",
        "unknown key `node` in a swizzle",
        "node",
        "did you mean `nodes`?",
    ),
    // What programs ask for.
    ("swarm = 1", "`swarm`: expected true or false", "1", ""),
    ("swarm = \"yes\"", "`swarm`: expected true or false", "\"yes\"", ""),
    ("buggify = true", "`buggify`: expected a table", "true", ""),
    ("[buggify]\nenable = 1", "unknown key `enable` in [buggify]", "enable", "did you mean `enabled`?"),
    ("[buggify]\nenabled = \"120%\"", "`buggify.enabled`: expected a share of at most 100%", "\"120%\"", ""),
    ("[buggify]\nshare = true", "`buggify.share`: expected a share such as", "true", ""),
    ("[buggify]\nknobs = 25", "`buggify.knobs`: expected a share", "25", ""),
    ("[buggify]\nknobs = \"\"", "`buggify.knobs`: expected a share", "\"\"", ""),
    ("knobs = 1", "`knobs`: expected a table", "1", ""),
    ("[knobs]\nbacth = 1", "unknown key `bacth` in [knobs]", "bacth", "did you mean `batch`?"),
    ("[knobs]\nbatch = 1.5", "`knobs.batch`: expected a whole number, true or false, or a duration", "1.5", ""),
    ("[knobs]\nbatch = [1]", "`knobs.batch`: expected a whole number, true or false, or a duration", "[1]", ""),
    ("[knobs]\nbatch = \"5 parsecs\"", "`knobs.batch`: expected a duration", "\"5 parsecs\"", ""),
    (
        "[knobs]\nbatch = 99999999999999999999",
        "`knobs.batch`: expected a whole number, true or false, or a duration",
        "99999999999999999999",
        "",
    ),
    // Budgets.
    ("[budget]\ncrashed = 1", "`budget`: expected a list of tables, each under a heading [[budget]]", "", ""),
    ("[[budget]]\nof = \"store-*\"", "[[budget]] lacks `crashed`", "[[budget]]", ""),
    ("[[budget]]\npaused = 1\ncrash = 1", "unknown key `crash` in [[budget]]", "", "did you mean `crashed`?"),
    (
        "[[budget]]\ncrashed = \"majority\"",
        "`crashed`: expected a whole number from 0 to 100000, or \"minority\"",
        "\"majority\"",
        "",
    ),
    ("[[budget]]\ncrashed = -1", "`crashed`: expected a whole number from 0 to 100000", "-1", ""),
    ("[[budget]]\npaused = 100_001", "`paused`: expected a whole number from 0 to 100000", "100_001", ""),
    ("[[budget]]\npaused = true", "`paused`: expected a whole number", "true", ""),
    ("[[budget]]\npartitions = \"minority\"", "`partitions`: expected a whole number", "\"minority\"", ""),
    ("[[budget]]\ncrashed = 1\nof = []", "`of`: a budget of no node", "[]", ""),
    ("[[budget]]\ncrashed = 1\nof = 1", "`of`: expected the names of nodes", "1", ""),
    (
        "[[budget]]\ncrashed = 1\nof = \"sotre-0\"",
        "the budget names the node \"sotre-0\"",
        "\"sotre-0\"",
        "did you mean `store-0`?",
    ),
    ("[[budget]]\npartitions = 1\nof = \"store-*\"", "partitions are counted whatever nodes they are of", "of", ""),
    (
        "[[budget]]\nname = \"a\"\ncrashed = 1\n[[budget]]\nname = \"a\"\ncrashed = 1",
        "two budgets are named \"a\"",
        "\"a\"",
        "",
    ),
    (
        "[[budget]]\ncrashed = 1\n[[fault]]\nkind = \"crash\"\nnode = \"store-*\"\nat = \"1ms\"",
        "with the crash of store-* 2 of its nodes are down at 1 ms, but the budget is 1",
        "[[fault]]",
        "",
    ),
    (
        "[[budget]]\nof = \"store-*\"\ncrashed = \"minority\"\n[[fault]]\nkind = \"crash\"\nnode = [\"store-0\", \"store-1\"]\ntogether = true\nat = \"1ms\"",
        "2 of its nodes are down at 1 ms, but the budget is 1",
        "[[fault]]",
        "",
    ),
    // The clock.
    ("[clock]\nepoch = \"2026-02-30T00:00:00Z\"", "`clock.epoch`", "\"2026-02-30T00:00:00Z\"", ""),
    ("[clock]\nepoch = 2026-01-01", "the time of day is missing", "2026-01-01", ""),
    ("[clock]\nepoch = \"1969-01-01T00:00:00Z\"", "between the years 1970 and 2261", "\"1969-01-01T00:00:00Z\"", ""),
    // Rules.
    ("rule = 1", "`rule`", "1", ""),
    ("[[rule]]\nfrom = \"gateway\"\nto = \"store-0\"", "[[rule]] lacks `verdict`", "[[rule]]", ""),
    ("[[rule]]\nto = \"store-0\"\nverdict = \"drop\"", "[[rule]] lacks `from`", "[[rule]]", ""),
    ("[[rule]]\nfrom = \"gateway\"\nverdict = \"drop\"", "[[rule]] lacks `to`", "[[rule]]", ""),
    ("[[rule]]\nfrom = 1\nto = \"store-0\"\nverdict = \"drop\"", "`from`", "1", ""),
    (
        "[[rule]]\nfrom = \"gatewya\"\nto = \"store-0\"\nverdict = \"drop\"",
        "the rule names the node \"gatewya\"",
        "\"gatewya\"",
        "did you mean `gateway`?",
    ),
    (
        "[[rule]]\nfrom = \"gateway\"\nto = \"gateway\"\nverdict = \"drop\"",
        "what a node sends to itself meets no rule",
        "[[rule]]",
        "",
    ),
    (
        "[[rule]]\nfrom = \"gateway\"\nto = \"store-0\"\nverdict = \"dorp\"",
        "`verdict`: expected \"pass\", \"deliver\"",
        "\"dorp\"",
        "did you mean `\"drop\"`?",
    ),
    ("[[rule]]\nfrom = \"gateway\"\nto = \"store-0\"\nverdict = 1", "`verdict`: expected", "1", ""),
    ("[[rule]]\nfrom = \"gateway\"\nto = \"store-0\"\nverdict = \"deliver\"", "lacks `after`", "[[rule]]", ""),
    ("[[rule]]\nfrom = \"gateway\"\nto = \"store-0\"\nverdict = \"duplicate\"", "lacks `after`", "[[rule]]", ""),
    (
        "[[rule]]\nfrom = \"gateway\"\nto = \"store-0\"\nverdict = \"deliver\"\nafter = 5",
        "`after`: expected a duration",
        "5",
        "did you mean `\"5ms\"`?",
    ),
    (
        "[[rule]]\nfrom = \"gateway\"\nto = \"store-0\"\nverdict = \"deliver\"\nafter = \"9999999h\"",
        "`after`: expected at most 146 years",
        "\"9999999h\"",
        "",
    ),
    (
        "[[rule]]\nfrom = \"gateway\"\nto = \"store-0\"\nverdict = \"drop\"\nafter = \"5ms\"",
        "`after` says nothing of a message whose verdict is \"drop\"",
        "\"5ms\"",
        "",
    ),
    (
        "[[rule]]\nfrom = \"gateway\"\nto = \"store-0\"\nverdict = \"drop\"\nmessages = \"answer\"",
        "`messages`: expected \"datagrams\", \"calls\", \"answers\" or \"segments\"",
        "\"answer\"",
        "did you mean `\"answers\"`?",
    ),
    (
        "[[rule]]\nfrom = \"gateway\"\nto = \"store-0\"\nverdict = \"duplicate\"\nafter = \"1ms\"\nmessages = \"segments\"",
        "a stream has no copies",
        "messages",
        "",
    ),
    (
        "[[rule]]\nfrom = \"gateway\"\nto = \"store-0\"\nverdict = \"drop\"\nmethod = \"Get\"\nmessages = \"segments\"",
        "segments are of no method",
        "method",
        "",
    ),
    ("[[rule]]\nfrom = \"gateway\"\nto = \"store-0\"\nverdict = \"drop\"\nmessages = 2", "`messages`", "2", ""),
    ("[[rule]]\nfrom = \"gateway\"\nto = \"store-0\"\nverdict = \"drop\"\nmethod = 2", "`method`", "2", ""),
    ("[[rule]]\nfrom = \"gateway\"\nto = \"store-0\"\nverdict = \"drop\"\ntag = -1", "`tag`", "-1", ""),
    ("[[rule]]\nfrom = \"gateway\"\nto = \"store-0\"\nverdict = \"drop\"\ntag = \"7\"", "`tag`", "\"7\"", ""),
    (
        "[[rule]]\nfrom = \"gateway\"\nto = \"store-0\"\nverdict = \"drop\"\nport = 0",
        "`port`: expected a whole number from 1 to 65535",
        "0",
        "",
    ),
    ("[[rule]]\nfrom = \"gateway\"\nto = \"store-0\"\nverdict = \"drop\"\nport = 65536", "`port`", "65536", ""),
    (
        "[[rule]]\nfrom = \"gateway\"\nto = \"store-0\"\nverdict = \"drop\"\nat = 1",
        "`at`: expected a duration",
        "1",
        "",
    ),
    (
        "end = { at = \"1s\" }\n[[rule]]\nfrom = \"gateway\"\nto = \"store-0\"\nverdict = \"drop\"\nat = \"1s\"",
        "the rule at 1 s never happens",
        "[[rule]]",
        "",
    ),
    (
        "[[rule]]\nfrom = \"gateway\"\nto = \"store-0\"\nverdict = \"drop\"\nfor = \"0s\"",
        "it would concern no message",
        "\"0s\"",
        "",
    ),
    ("[[rule]]\nfrom = \"gateway\"\nto = \"store-0\"\nverdict = \"drop\"\nskip = -1", "`skip`", "-1", ""),
    ("[[rule]]\nfrom = \"gateway\"\nto = \"store-0\"\nverdict = \"drop\"\nskip = \"1\"", "`skip`", "\"1\"", ""),
    ("[[rule]]\nfrom = \"gateway\"\nto = \"store-0\"\nverdict = \"drop\"\ntimes = 0", "`times`", "0", ""),
    (
        "[[rule]]\nfrom = \"gateway\"\nto = \"store-0\"\nverdict = \"drop\"\nshare = \"101%\"",
        "at most 100%",
        "\"101%\"",
        "",
    ),
    (
        "[[rule]]\nfrom = \"gateway\"\nto = \"store-0\"\nverdict = \"drop\"\nshare = 0.5",
        "`share`: expected a share",
        "0.5",
        "",
    ),
    (
        "[[rule]]\nfrom = \"gateway\"\nto = \"store-0\"\nverdict = \"pass\"\nshare = \"5%\"",
        "leave out `share`",
        "share",
        "",
    ),
    (
        "[[rule]]\nfrom = \"gateway\"\nto = \"store-0\"\nverdict = \"drop\"\ntag = 1\nmethod = \"Put\"",
        "only datagrams have a tag",
        "tag",
        "",
    ),
    (
        "[[rule]]\nfrom = \"gateway\"\nto = \"store-0\"\nverdict = \"drop\"\nmessages = \"datagrams\"\nmethod = \"Put\"",
        "datagrams are of no method",
        "method",
        "",
    ),
    ("[[rule]]\nfrom = \"gateway\"\nto = \"store-0\"\nverdict = \"drop\"\nboth_ways = 1", "`both_ways`", "1", ""),
    ("[[rule]]\nfrom = \"gateway\"\nto = \"store-0\"\nverdict = \"drop\"\nname = \"\"", "`name`", "\"\"", ""),
    (
        "[[rule]]\nfrom = \"gateway\"\nto = \"store-0\"\nverdict = \"drop\"\nnaem = \"x\"",
        "unknown key `naem`",
        "naem",
        "did you mean `name`?",
    ),
    (
        "[[rule]]\nfrom = \"gateway\"\nto = \"store-0\"\nverdict = \"drop\"\n\
         [[rule]]\nfrom = \"gateway\"\nto = \"store-0\"\nverdict = \"drop\"",
        "two rules say the same",
        "[[rule]]",
        "give one of them a name",
    ),
    (
        "[[rule]]\nname = \"x\"\nfrom = \"gateway\"\nto = \"store-0\"\nverdict = \"drop\"\n\
         [[rule]]\nname = \"x\"\nfrom = \"gateway\"\nto = \"store-1\"\nverdict = \"drop\"",
        "two rules are named \"x\"",
        "\"x\"",
        "",
    ),
    // The program's own arguments.
    ("[args]\ncahce = true", "unknown key `cahce` in [args]", "cahce", "did you mean `cache`?"),
    ("[args]\ncache = \"yes\"", "`args.cache`: expected true or false", "\"yes\"", ""),
    ("[args]\nbatch = 300", "expected a whole number from 0 to 255, found integer `300`", "300", ""),
    ("[args]\npause = 5", "`args.pause`: expected a duration such as \"5ms\"", "5", ""),
    ("[args]\npause = \"5 parsecs\"", "`args.pause`: expected a duration", "\"5 parsecs\"", ""),
    ("[args]\ndisk = { size = 1, sise = 2 }", "unknown key `sise` in [args.disk]", "sise", "did you mean `size`?"),
    ("[args]\nlimits = { a = -1 }", "`args.limits`: expected a whole number from 0", "-1", ""),
    ("[args]\nbatch = 250", "panicked while it described its world: a batch of 250 is too much", "\"store\"", ""),
    ("args = 1", "`args`: expected a table", "1", ""),
    // TOML itself.
    ("seeds = ", "this is not TOML", "", ""),
    ("seeds = \"0..1\"\nseeds = \"0..2\"", "duplicate key", "seeds", ""),
    ("[network", "this is not TOML", "", ""),
    ("x = 1e", "this is not TOML", "", ""),
];

fn check(text: &str, set: &[&str], case: &Case) {
    let (_, message, pointed, help) = case;
    let error = read(text, set).expect_err(text);
    let mistakes: Vec<_> = error.mistakes().collect();
    assert_eq!(mistakes.len(), 1, "{text}\n{set:?}: {error}");
    let mistake = mistakes[0];
    assert!(mistake.message().contains(message), "{text}\n{set:?}: said {:?}, not {message:?}", mistake.message());
    let found = mistake.text().unwrap_or_else(|| panic!("{text}: no place in {mistake:?}"));
    assert!(pointed.is_empty() || found == *pointed, "{text}\n{set:?}: points at {found:?}, not at {pointed:?}");
    let said = mistake.help().unwrap_or_default();
    assert!(said.contains(help), "{text}\n{set:?}: the help is {said:?}, not {help:?}");
    assert!(!mistake.message().contains('\n'), "{}", mistake.message());
}

#[test]
fn mistakes_are_told_at_their_place() {
    for case in WRONG {
        check(&format!("program = \"store\"\n{}", case.0), &[], case);
    }
}

#[test]
fn mistakes_in_arguments_name_the_argument() {
    let cases: &[Case] = &[
        ("network.loss=120%", "at most 100%", "120%", ""),
        ("network.latency=5", "expected a duration", "5", "did you mean `\"5ms\"`?"),
        ("network.latency={ uniform = [\"9ms\", \"1ms\"] }", "is above max", "[\"9ms\", \"1ms\"]", ""),
        ("network.latency={ uniform = [\"9ms\", }", "the value can't be read", "", ""),
        ("network.latancy=5ms", "unknown key `latancy`", "latancy", "did you mean `latency`?"),
        ("netwrok.loss=5%", "unknown key `netwrok`", "netwrok", "did you mean `network`?"),
        ("nodes.cleint=1", "unknown key `cleint`", "cleint", "did you mean `client`?"),
        ("nodes.client=0", "no client is left", "0", ""),
        ("args.cache=maybe", "expected true or false", "maybe", ""),
        ("args.batch=300", "from 0 to 255", "300", ""),
        ("seeds=10..5", "ends before it starts", "10..5", "did you mean `\"5..10\"`?"),
        ("limit.virtual=60", "expected a duration", "60", ""),
        ("program=stoer", "unknown program \"stoer\"", "stoer", "did you mean `store`?"),
        ("program.x=1", "`program` has no keys of its own", "program", ""),
        ("loss", "expected a setting such as network.loss=5%", "loss", ""),
        ("=5", "is no key of a setting", "", ""),
        ("a..b=5", "is no key of a setting", "a..b", ""),
        ("a.b.c.d.e.f.g.h.i.j=5", "is no key of a setting", "a.b.c.d.e.f.g.h.i.j", ""),
        ("seeds=", "has no value", "", ""),
        ("link.slwo.loss=1%", "no [[link]] is named \"slwo\"", "slwo", "did you mean `slow`?"),
        ("link.slow.lss=1%", "unknown key `lss` in [[link]]", "lss", "did you mean `loss`?"),
        ("link.slow=1%", "expected link.NAME.KEY", "link.slow=1%", ""),
        ("fault.split.at=1s", "no [[fault]] is named \"split\"", "split", "name = \"split\""),
    ];
    let text = "program = \"store\"\n[[link]]\nname = \"slow\"\nfrom = \"*\"\nto = \"*\"\n";
    for case in cases {
        check(text, &[case.0], case);
        let error = read(text, &[case.0]).unwrap_err();
        let mistake = error.mistakes().next().unwrap();
        assert_eq!(mistake.source_name(), Some(format!("--set {}", case.0).as_str()));
    }
    // Behind other arguments, and with a mistake in the file too.
    let error = read("program = \"store\"\nabout = 1\n", &["args.cache=true", "network.loss=120%"]).unwrap_err();
    let places: Vec<_> = error.mistakes().map(|mistake| (mistake.source_name(), mistake.text())).collect();
    let expected = [(Some("scenarios/example.toml"), Some("1")), (Some("--set network.loss=120%"), Some("120%"))];
    assert_eq!(places, expected);
}

#[test]
fn every_mistake_of_a_file_is_told_in_its_order() {
    let text = "program = \"store\"\nseeds = \"5..1\"\n[network]\nloss = \"120%\"\nlatancy = \"5ms\"\n";
    let error = read(text, &[]).unwrap_err();
    let places: Vec<_> = error.mistakes().map(|mistake| mistake.line_and_column().unwrap()).collect();
    assert_eq!(places, [(2, 9), (4, 8), (5, 1)]);
    let shown = error.lines();
    assert!(shown.starts_with("scenarios/example.toml:2:9: `seeds`: "), "{shown}");
    assert!(shown.contains("did you mean `latency`?"), "{shown}");
    // As a diagnostic: a first one with its label, and the others.
    assert_eq!(error.labels().unwrap().count(), 1);
    assert_eq!(error.related().unwrap().count(), 2);
}

#[test]
fn a_program_must_be_named() {
    for text in ["", "\n\n", "# nothing\n", "seeds = \"0..1\"\n"] {
        let error = read(text, &[]).unwrap_err();
        assert!(error.lines().contains("lacks `program`"), "{error}");
        assert!(error.lines().contains("there are store, idle"), "{error}");
    }
    let error = read("program = \"stor\"", &[]).unwrap_err();
    assert!(error.lines().contains("did you mean `store`?"), "{error}");
    let error = read("program = 5", &[]).unwrap_err();
    assert!(error.lines().contains("expected the name of a program"), "{error}");
    let error = read("program = \"idle\"\n[nodes]\nx = 1\n", &[]).unwrap_err();
    assert!(error.lines().contains("the nodes of this program are always the same: "), "{error}");
    let error = read("program = \"idle\"\n[args]\nx = 1\n", &[]).unwrap_err();
    assert!(error.lines().contains("takes no keys"), "{error}");
}

#[test]
fn files_that_cannot_be_read_say_why() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    std::fs::write(path("payments.toml"), VALID).unwrap();
    std::fs::write(path("latin.toml"), b"program = \"store\"\nabout = \"\xe9\"\n").unwrap();
    let said = |name: &str| Scenario::load(path(name), &programs(), &[]).unwrap_err().lines();
    assert!(said("paymnets.toml").contains("payments.toml?"), "{}", said("paymnets.toml"));
    assert!(said("latin.toml").contains("not UTF-8 text (byte 27 in line 2)"), "{}", said("latin.toml"));
    assert!(said("").contains("it is a directory"), "{}", said(""));
    assert!(said("a/b/c.toml").contains("can't be read"), "{}", said("a/b/c.toml"));
    assert_eq!(Scenario::load(path("payments.toml"), &programs(), &[]).unwrap().name(), "payments");
}

#[test]
fn zero_clients_are_fine_with_an_end() {
    assert!(read("program = \"store\"\nend.at = \"5s\"\n[nodes]\nclient = 0\n", &[]).is_ok());
    assert!(read("program = \"store\"\n[nodes]\nstore = 0\n", &[]).is_ok());
}

#[test]
fn deep_nesting_is_no_danger() {
    for text in ["[".repeat(100_000), "{a=".repeat(100_000), "a.".repeat(100_000)] {
        let _ = read(&format!("program = {text}"), &[]);
        let _ = read(&format!("{text} = 1"), &[]);
        let _ = read(VALID, &[&format!("args.limits={text}"), &format!("{text}=1")]);
    }
}

/// What proptest pastes into texts: all that means something to the reader.
const PIECES: [&str; 34] = [
    "program",
    "=",
    "\"store\"",
    "\n",
    "[nodes]",
    "[[link]]",
    "[[fault]]",
    "kind",
    "\"crash\"",
    "\"partition\"",
    "at",
    "\"5s\"",
    "{",
    "}",
    "[",
    "]",
    ",",
    ".",
    "\"\"",
    "-1",
    "99999999999999999999",
    "1e999",
    "nan",
    "\"5\"",
    "\"120%\"",
    "\"é\"",
    "#",
    "'''",
    "from",
    "to",
    "2026-01-01T00:00:00Z",
    "args",
    "\"*\"",
    "true",
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn no_text_makes_the_reader_panic(text in proptest::collection::vec(prop_oneof![
        proptest::sample::select(PIECES.as_slice()).prop_map(str::to_string),
        "[ -~]{0,4}",
        any::<char>().prop_map(String::from),
    ], 0..60)) {
        let text = text.join(" ");
        let _ = read(&text, &[]);
        let _ = read(VALID, &[&text]);
        let _ = read(VALID, &[&format!("fault.split.groups={text}"), &format!("args={text}")]);
    }

    #[test]
    fn no_change_of_a_good_file_makes_it_panic(
        changes in proptest::collection::vec((0..VALID.len(), 0..12usize, proptest::sample::select(PIECES.as_slice())), 1..4)
    ) {
        let mut text = VALID.to_string();
        for (at, length, piece) in changes {
            let start = text.floor_char_boundary_for(at);
            let end = text.floor_char_boundary_for(start + length).max(start);
            text.replace_range(start..end, piece);
        }
        match read(&text, &[]) {
            Ok(scenario) => {
                let nodes = scenario.node_names().len();
                prop_assert!(nodes <= 300_001);
            }
            Err(error) => {
                for mistake in error.mistakes() {
                    prop_assert!(mistake.source_name().is_none() || mistake.text().is_some(), "{mistake:?}");
                    prop_assert!(!mistake.message().is_empty());
                }
            }
        }
    }
}

/// `str::floor_char_boundary` is newer than the oldest supported compiler.
trait FloorCharBoundary {
    fn floor_char_boundary_for(&self, at: usize) -> usize;
}

impl FloorCharBoundary for String {
    fn floor_char_boundary_for(&self, at: usize) -> usize {
        (0..=at.min(self.len())).rev().find(|&at| self.is_char_boundary(at)).unwrap_or(0)
    }
}

#[test]
fn a_history_is_judged_once() {
    let mut all = programs();
    all.push(Program::new("judging", "Has a property of that name itself", |world, _: &NoArgs| {
        world.client("idle", || async {});
        world.check(squall::check::property::linearizable(squall::check::models::Register));
    }));
    let load = |text: &str| Scenario::from_text("scenarios/example.toml", text, &all, &[]);
    let scenario = load("program = \"idle\"\nexpect = \"linearizable\"\n[check]\nlinearizable = \"kv\"\n").unwrap();
    assert_eq!(scenario.property_names(), ["linearizable"]);
    assert_eq!(load("program = \"judging\"\n").unwrap().property_names(), ["linearizable"]);
    let error = load("program = \"judging\"\n[check]\nlinearizable = \"kv\"\n").unwrap_err();
    let said = format!("{:?}", miette::Report::new(error));
    assert!(said.contains("the program itself has a property linearizable"), "{said}");
}

/// A scenario in a directory of its own, whose latency is recorded in a file beside it.
fn with_recording(recording: &[u8]) -> (tempfile::TempDir, Result<Scenario, ScenarioError>) {
    let directory = tempfile::tempdir().unwrap();
    std::fs::create_dir(directory.path().join("recorded")).unwrap();
    std::fs::write(directory.path().join("recorded/wan.csv"), recording).unwrap();
    let file = directory.path().join("wide.toml");
    std::fs::write(&file, "program = \"store\"\n[network]\nlatency = { trace = \"recorded/wan.csv\" }\n").unwrap();
    let scenario = Scenario::load(&file, &programs(), &[]);
    (directory, scenario)
}

#[test]
fn a_recorded_latency_is_read_from_beside_the_file() {
    for recording in [
        "at,latency\n0s,20ms\n30s,180ms\n",
        "at,latency\r\n0s,20ms\r\n30s,180ms",
        "\u{feff} at , latency \n 0s , 20ms \n\t30s,180ms\n\n  \n",
        "at,latency\n0s,1ns\n",
    ] {
        let (directory, scenario) = with_recording(recording.as_bytes());
        let scenario = scenario.unwrap_or_else(|error| panic!("{recording:?}: {}", error.lines()));
        let outcome = scenario.simulation().run_plan(&Plan::seeded("x", Seed(1)), Record::Digest);
        assert_eq!(outcome.verdict, Verdict::Pass);
        // What is in it is part of what the scenario is known by.
        let file = directory.path().join("wide.toml");
        let load = || Scenario::load(&file, &programs(), &[]).unwrap().fingerprint();
        assert_eq!(load(), scenario.fingerprint());
        std::fs::write(directory.path().join("recorded/wan.csv"), "at,latency\n0s,21ms\n").unwrap();
        assert_ne!(load(), scenario.fingerprint());
    }
    // By a setting too, several times, and for a disk.
    let (directory, _) = with_recording(b"at,latency\n0s,20ms\n");
    let trace = "{ trace = \"recorded/wan.csv\" }";
    let set =
        [format!("storage.latency={trace}"), format!("loopback.latency={trace}"), format!("link.*:*.latency={trace}")];
    assert!(Scenario::load(directory.path().join("wide.toml"), &programs(), &set).is_ok());
}

/// What is wrong with a recording is told at its place in that file; the text that is pointed at is given, and what the help says.
#[test]
fn mistakes_in_recordings_are_told_at_their_place() {
    for (recording, line, message, pointed, help) in [
        ("", 1, "the file is empty: a recorded latency begins with the line \"at,latency\"", "", ""),
        ("\n", 1, "the file is empty", "", ""),
        ("time,rtt\n0s,1ms\n", 1, "begins with the line \"at,latency\", found \"time,rtt\"", "time,rtt", ""),
        ("0s,1ms\n", 1, "begins with the line \"at,latency\"", "0s,1ms", ""),
        ("{\"at\": 0}", 1, "begins with the line", "{\"at\": 0}", ""),
        ("at,latency,loss\n0s,1ms,1%\n", 1, "begins with the line", "at,latency,loss", ""),
        ("at,latency\n", 1, "the file has no entry behind its first line", "at,latency", ""),
        ("at,latency\n0s;1ms\n", 2, "expected a time and a latency such as \"30s,180ms\"", "0s;1ms", ""),
        ("at,latency\n0s,1ms,2ms\n", 2, "expected a time and a latency", "0s,1ms,2ms", ""),
        ("at,latency\n0,1ms\n", 2, "`at`: expected a duration", "0", "did you mean `0s`?"),
        ("at,latency\n0s,1\n", 2, "`latency`: expected a duration", "1", "did you mean `1ms`?"),
        ("at,latency\n0s, -1ms\n", 2, "`latency`: expected a duration", "-1ms", ""),
        ("at,latency\n0s,\n", 2, "`latency`: expected a duration", "0s,", ""),
        ("at,latency\n0s,200000000000h\n", 2, "expected at most 146 years", "200000000000h", ""),
        ("at,latency\n1s,1ms\n", 2, "a trace begins at 0s, not at 1s", "1s", ""),
        ("at,latency\n0s,1ms\n2s,1ms\n2s,1ms\n", 4, "the times of a trace rise, and 2s stands behind 2s", "2s", ""),
        ("at,latency\n0s,1ms\n2s,1ms\n1999ms,1ms\n", 4, "and 1.999s stands behind 2s", "1999ms", ""),
        ("at,latency\n0s,1ms\n\n2s,1ms\n", 3, "an empty line stands between two entries", "", ""),
    ] {
        let (_directory, scenario) = with_recording(recording.as_bytes());
        let error = scenario.expect_err(recording);
        let mistakes: Vec<_> = error.mistakes().collect();
        assert_eq!(mistakes.len(), 1, "{recording:?}: {error}");
        let mistake = mistakes[0];
        assert!(mistake.message().contains(message), "{recording:?}: said {:?}", mistake.message());
        assert!(mistake.source_name().unwrap().ends_with("recorded/wan.csv"), "{recording:?}: {mistake:?}");
        assert_eq!(mistake.line_and_column().unwrap().0, line, "{recording:?}");
        assert_eq!(mistake.text(), Some(pointed), "{recording:?}");
        assert!(mistake.help().unwrap_or_default().contains(help), "{recording:?}: {:?}", mistake.help());
    }
    // Where there is no text, the place is where it is named.
    let (_directory, scenario) = with_recording(b"at,latency\n0s,\xe9\n");
    let said = scenario.unwrap_err().lines();
    assert!(
        said.contains("wide.toml:3:21: `trace`: ") && said.contains("not UTF-8 text (byte 14 in line 2)"),
        "{said}"
    );
}

#[test]
fn a_recording_may_be_too_long() {
    let entries = |count: u64| {
        let lines = (0..count).map(|at| format!("{at}us,1ms\n"));
        format!("at,latency\n{}", lines.collect::<String>())
    };
    let (_directory, scenario) = with_recording(entries(1_000_000).as_bytes());
    assert!(scenario.is_ok());
    let (_directory, scenario) = with_recording(entries(1_000_001).as_bytes());
    let said = scenario.unwrap_err().lines();
    assert!(said.contains("wan.csv:1000002:1: a trace has at most 1000000 entries, not 1000001"), "{said}");
    let (_directory, scenario) = with_recording(&vec![b'x'; (64 << 20) + 1]);
    let said = scenario.unwrap_err().lines();
    assert!(said.contains("it has more than 67108864 bytes"), "{said}");
}

/// All that a file says of bandwidth is so in its world.
#[test]
fn bandwidths_of_a_file_are_the_world_s() {
    let all = [Program::new("sender", "Sends a thousand bytes", |world, _: &NoArgs| {
        world.client("a", || async {
            let endpoint = squall::net::Endpoint::bind("0.0.0.0:80").await.unwrap();
            for _ in 0..3 {
                endpoint.send_to("b:80", 1, &[0; 972]).await.unwrap();
            }
            endpoint.send_to("127.0.0.1:80", 1, &[0; 972]).await.unwrap();
            endpoint.recv_from(1, &mut [0; 1]).await.unwrap();
            squall::publish("self", squall::time::Instant::now().elapsed().as_millis() as u64);
            squall::time::sleep(10.secs()).await;
        });
        world.node("b", || async {
            let endpoint = squall::net::Endpoint::bind("0.0.0.0:80").await.unwrap();
            let start = squall::time::Instant::now();
            loop {
                endpoint.recv_from(1, &mut [0; 1]).await.unwrap();
                squall::publish("came", start.elapsed().as_millis() as u64);
            }
        });
        world.network().latency(squall::Latency::fixed(2.ms()));
    })];
    let came = |text: &str, set: &[&str]| {
        let set: Vec<String> = set.iter().map(ToString::to_string).collect();
        let scenario = Scenario::from_text("x.toml", &format!("program = \"sender\"\n{text}"), &all, &set).unwrap();
        let outcome = scenario.simulation().run_plan(&scenario.plan(Seed(1), StrategyChoice::Fifo), Record::Full);
        let facts = outcome.trace.unwrap().events.into_iter().filter_map(|event| match event.kind {
            squall::trace::EventKind::Publish { topic, value } if topic == "came" => Some(value.to_string()),
            _ => None,
        });
        facts.collect::<Vec<_>>().join(" ")
    };
    assert_eq!(came("", &[]), "2 2 2");
    assert_eq!(came("network.bandwidth = \"8Mbit/s\"", &[]), "3 4 5");
    assert_eq!(came("", &["network.bandwidth=1MB/s"]), "3 4 5");
    assert_eq!(came("", &["link.a:b.bandwidth=4Mbit/s"]), "4 6 8");
    assert_eq!(came("", &["link.b:a.bandwidth=4Mbit/s"]), "2 2 2");
    assert_eq!(came("network = { bandwidth = \"8Mbit/s\", queue = \"1KiB\" }", &[]), "3 4");
    assert_eq!(came("network = { bandwidth = \"8Mbit/s\", queue = \"0KiB\" }", &[]), "3");
    let uplink = "[[uplink]]\nname = \"u\"\nnode = \"*\"\nbandwidth = \"8Mbit/s\"\n";
    assert_eq!(came(uplink, &[]), "3 4 5");
    assert_eq!(came(uplink, &["uplink.u.bandwidth=4Mbit/s"]), "4 6 8");
    assert_eq!(came(uplink, &["uplink.u.queue=1KiB"]), "3 4");
    let narrow = "[[fault]]\nkind = \"link\"\nfrom = \"a\"\nto = \"b\"\nat = \"0s\"\nbandwidth = \"8Mbit/s\"\nqueue = \"1KiB\"\n";
    assert_eq!(came(narrow, &[]), "3 4");
}
