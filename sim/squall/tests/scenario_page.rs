//! The examples of `docs/scenario-files.md` and `docs/faults.md` are read, and one run of each comes to its end.

use std::collections::BTreeSet;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use squall::World;
use squall::prelude::*;
use squall::scenario::{Program, Scenario};
use squall::trace::{EventKind, Record, Seed, SiteKind, StrategyChoice, Verdict};

const PAGE: &str = include_str!("../../../docs/scenario-files.md");
const FAULTS: &str = include_str!("../../../docs/faults.md");

#[derive(Serialize, Deserialize)]
struct Args {
    cache: bool,
    #[serde(with = "squall::scenario::duration")]
    timeout: Duration,
}

impl Default for Args {
    fn default() -> Args {
        Args { cache: false, timeout: 50.ms() }
    }
}

/// The program that the page speaks of, with hardly anything to do.
fn kv() -> Program {
    Program::new("kv", "A store with clients", |world: &mut World, args: &Args| {
        let timeout = args.timeout;
        world.nodes("store", 3, |_| async {
            squall::point!("between the two writes");
            let _ = (squall::buggify!("asks"), squall::knob!("batch", 64u32, [8, 1]));
            std::future::pending::<()>().await;
        });
        world.clients("client", 2, move |_| async move {
            squall::time::sleep(timeout).await;
            squall::publish("read", 7);
            squall::history::Client::new().invoke_on("get", "k", ()).ok("");
        });
        world.node("gateway", std::future::pending::<()>);
        world.check(always("no-stale-reads", ()).on("read", |(), _: u64| Ok(())));
    })
}

/// The text of each block that begins with three backticks and `language`.
fn blocks(language: &str) -> Vec<String> {
    [PAGE, FAULTS].into_iter().flat_map(|page| blocks_of(page, language)).collect()
}

fn blocks_of(page: &str, language: &str) -> Vec<String> {
    let mut blocks = Vec::new();
    let mut block: Option<String> = None;
    for line in page.lines() {
        match &mut block {
            None if line == format!("```{language}") => block = Some(String::new()),
            None => {}
            Some(_) if line == "```" => blocks.extend(block.take()),
            Some(text) => {
                text.push_str(line);
                text.push('\n');
            }
        }
    }
    assert!(block.is_none(), "the last block has no end");
    blocks
}

fn load(text: &str, set: &[&str]) -> Scenario {
    let set: Vec<String> = set.iter().map(ToString::to_string).collect();
    Scenario::from_text("docs/example.toml", text, &[kv()], &set)
        .unwrap_or_else(|error| panic!("{}\n\n{text}", error.lines()))
}

#[test]
fn every_example_runs() {
    let examples = blocks("toml");
    assert_eq!(examples.len(), 34, "of all examples");
    for text in examples {
        let scenario = load(&text, &[]);
        let plan = scenario.plan(Seed(scenario.seeds().start()), StrategyChoice::default());
        assert_eq!(scenario.simulation().run_plan(&plan, Record::Digest).verdict, Verdict::Pass, "{text}");
    }
}

/// Each kind has an example, in which it happens, and is over if that is said.
#[test]
fn every_fault_of_an_example_happens() {
    let mut kinds = BTreeSet::new();
    for text in blocks_of(FAULTS, "toml") {
        let scenario = load(&text, &["end.at=100s", "swarm=false"]);
        let outcome = scenario.simulation().run_plan(&scenario.plan(Seed(1), StrategyChoice::default()), Record::Full);
        assert_eq!(outcome.verdict, Verdict::Pass, "{text}");
        assert_eq!(outcome.unreached_faults, [], "{text}");
        let values = |key: &str| {
            let values = text.lines().filter_map(|line| line.split_once('=')).filter(|(name, _)| name.trim() == key);
            values.map(|(_, value)| value.trim().trim_matches('"').to_string()).collect::<Vec<String>>()
        };
        kinds.extend(values("kind"));
        let times: usize = values("times").iter().map(|times| times.parse::<usize>().expect("a number") - 1).sum();
        let faults =
            outcome.perturbations.iter().filter(|one| matches!(one.site.kind, SiteKind::Fault | SiteKind::Partition));
        // One that comes at a point of the code mostly doesn't.
        let at_times = values("kind").len() - values("at_point").len();
        let faults = faults.count();
        assert!(faults >= at_times + times, "{text}");
        let events = &outcome.trace.expect("it was recorded").events;
        let said = |end: &str| {
            let is_said = |kind: &EventKind<'_>| matches!(kind, EventKind::Fault { what } if what.ends_with(end));
            events.iter().filter(|event| is_said(&event.kind)).count()
        };
        // Of a swizzle each node's part is over by itself.
        let is_swizzled = values("kind").contains(&"swizzle".to_string());
        let over = if is_swizzled { faults } else { values("for").len() + times };
        assert_eq!(said(" is healed") + said(" is over"), over, "{text}");
    }
    let all = FAULTS.lines().filter_map(|line| line.strip_prefix("### `")?.strip_suffix('`').map(str::to_string));
    // What is called by a macro is no kind of fault.
    assert_eq!(kinds, all.filter(|kind| !kind.ends_with('!')).collect());
}

/// What every key of a file is called, its own tables' keys included.
#[test]
fn every_key_has_an_example() {
    let all = blocks("toml").concat();
    for key in [
        "program",
        "about",
        "seeds",
        "isolation",
        "expect",
        "limit",
        "virtual",
        "events",
        "memory",
        "end",
        "at",
        "[nodes]",
        "[args]",
        "[clock]",
        "epoch",
        "[network]",
        "latency",
        "loss",
        "duplicate",
        "bursts",
        "good",
        "bad",
        "corruption",
        "fixed",
        "uniform",
        "exponential",
        "mean",
        "min",
        "lognormal",
        "median",
        "p99",
        "pareto",
        "shape",
        "empirical",
        "[[link]]",
        "from",
        "to",
        "both_ways",
        "one_way",
        "name",
        "[[fault]]",
        "kind",
        "partition",
        "groups",
        "for",
        "crash",
        "node",
        "restart_after",
        "pause",
        "every",
        "times",
        "stagger",
        "together",
        "poll",
        "forward",
        "back",
        "ppm",
        "wipe_disk",
        "at_point",
        "share",
        "nodes",
        "split",
        "reach",
        "[storage]",
        "crash_loss",
        "torn",
        "sync_failure",
        "read_failure",
        "write_failure",
        "bit_rot",
        "sync_latency",
        "capacity",
        "[[disk]]",
        "swarm",
        "swizzle",
        "hold",
        "[buggify]",
        "enabled",
        "knobs",
        "[knobs]",
        "batch",
        "[[budget]]",
        "of",
        "crashed",
        "paused",
        "partitions",
    ] {
        let is_there = match key.strip_prefix('[') {
            Some(_) => all.lines().any(|line| line == key),
            None => all.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').any(|word| word == key),
        };
        assert!(is_there, "{key} is in no example");
    }
}

#[test]
fn the_settings_named_in_the_text_can_be_made() {
    let links = blocks("toml").into_iter().find(|text| text.contains("to-the-store")).expect("a link with a name");
    let faults = blocks("toml").into_iter().find(|text| text.contains("\"split\"")).expect("a fault with a name");
    load(&links, &["link.to-the-store.loss=0", "network.loss=5%", "args.cache=true", "nodes.client=3", "end.at=5s"]);
    load(&faults, &["fault.split.for=5s"]);
    let disks = blocks("toml").into_iter().find(|text| text.contains("bad-disk")).expect("a disk with a name");
    load(&disks, &["disk.bad-disk.capacity=1MiB", "storage.crash_loss=100%"]);
}

/// The column of medians: what a message takes in calm weather.
#[test]
fn calm_latencies_are_as_in_the_table() {
    for (latency, median_us) in [
        (fixed(5.ms()), 5_000),
        (uniform(1.ms(), 10.ms()), 5_500),
        (exponential(5.ms()), 3_466),
        (Latency::Exponential { mean: 5.ms(), min: 1.ms() }, 4_466),
        (lognormal(2.ms(), 40.ms()), 2_000),
        (pareto(1.ms(), 1.5), 1_587),
        (empirical([1.ms(), 3.ms(), 3.ms()]), 3_000),
    ] {
        let median_ns = latency.compile().expect("possible").median_ns();
        assert!(median_ns.abs_diff(median_us * 1_000) <= 1_000, "{latency:?}: {median_ns} ns");
    }
}
