//! The examples of `docs/scenario-files.md`, `docs/faults.md` and `docs/rules.md` are read, and one run of each comes to its end.

use std::collections::BTreeSet;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use squall::World;
use squall::net::Endpoint;
use squall::prelude::*;
use squall::scenario::{Program, Scenario};
use squall::trace::{EventKind, Record, Seed, SiteKind, StrategyChoice, Verdict};

const PAGE: &str = include_str!("../../../docs/scenario-files.md");
const FAULTS: &str = include_str!("../../../docs/faults.md");
const RULES: &str = include_str!("../../../docs/rules.md");

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

#[derive(Serialize, Deserialize, squall::Request)]
#[rtype(u64)]
struct Put(u64);

/// The program that the page speaks of, with hardly anything to do.
fn kv() -> Program {
    Program::new("kv", "A store with clients", |world: &mut World, args: &Args| {
        let timeout = args.timeout;
        world.nodes("store", 3, |_| async {
            squall::point!("between the two writes");
            let endpoint = Endpoint::bind("0.0.0.0:80").await.expect("the port is free");
            endpoint.add_rpc_handler(|Put(value)| async move { value });
            let _ = (squall::buggify!("asks"), squall::knob!("batch", 64u32, [8, 1]));
            std::future::pending::<()>().await;
        });
        world.clients("client", 2, move |_| async move {
            let endpoint = Endpoint::bind("0.0.0.0:0").await.expect("a port is free");
            for value in 0..3 {
                squall::time::sleep(5.ms()).await;
                let _ = endpoint.call_timeout("store-0:80", Put(value), 100.ms()).await;
                endpoint.send_to("store-0:80", 7, &[]).await.expect("it is there");
            }
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
    [PAGE, FAULTS, RULES].into_iter().flat_map(|page| blocks_of(page, language)).collect()
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
    // As a file beside the page: what it names is there.
    Scenario::from_text("../../docs/example.toml", text, &[kv()], &set)
        .unwrap_or_else(|error| panic!("{}\n\n{text}", error.lines()))
}

#[test]
fn every_example_runs() {
    let examples = blocks("toml");
    assert_eq!(examples.len(), 44, "of all examples");
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
            let is_said = |kind: &EventKind<'_>| matches!(kind, EventKind::Fault { what, .. } if what.ends_with(end));
            events.iter().filter(|event| is_said(&event.kind)).count()
        };
        // Of a swizzle each node's part is over by itself.
        let is_swizzled = values("kind").contains(&"swizzle".to_string());
        // A reset is over at once, and so isn't told to be.
        let lasting = if values("kind").contains(&"reset".to_string()) { 0 } else { times };
        let over = if is_swizzled { faults } else { values("for").len() + lasting };
        assert_eq!(said(" is healed") + said(" is over"), over, "{text}");
    }
    let all = FAULTS.lines().filter_map(|line| line.strip_prefix("### `")?.strip_suffix('`').map(str::to_string));
    // What is called by a macro is no kind of fault.
    assert_eq!(kinds, all.filter(|kind| !kind.ends_with('!')).collect());
}

/// Each verdict and each key of a rule has an example, in which it finds messages.
#[test]
fn every_rule_of_an_example_finds_messages() {
    let (mut verdicts, mut keys) = (BTreeSet::new(), BTreeSet::new());
    for text in blocks_of(RULES, "toml") {
        let scenario = load(&text, &[]);
        let mut found = BTreeSet::new();
        for seed in 0..20 {
            let plan = scenario.plan(Seed(seed), StrategyChoice::default());
            let outcome = scenario.simulation().run_plan(&plan, Record::Full);
            assert_eq!((outcome.verdict, outcome.unreached_faults), (Verdict::Pass, Vec::new()), "{text}");
            let rules = outcome.perturbations.iter().filter(|one| one.site.kind == SiteKind::Rule);
            let does = ["is dropped", "arrives after", "arrives twice", "arrives with", "is held"];
            found.extend(rules.filter_map(|one| {
                let said = one.sentence(&outcome.names);
                does.into_iter().find(|does| said.contains(does))
            }));
        }
        let lines = text.lines().filter_map(|line| line.split_once('=')).map(|(key, value)| (key.trim(), value.trim()));
        let named: Vec<&str> = lines.clone().filter(|(key, _)| *key == "verdict").map(|(_, value)| value).collect();
        assert_eq!(found.len(), named.iter().filter(|verdict| **verdict != "\"pass\"").count(), "{text}\n{found:?}");
        verdicts.extend(named.into_iter().map(str::to_string));
        keys.extend(lines.map(|(key, _)| key.to_string()));
    }
    let of_table = |line: &str, column: usize| line.split('|').nth(column).map(|cell| cell.trim().to_string());
    let rows = RULES.lines().filter(|line| line.starts_with("| `"));
    let (of_verdicts, of_keys): (Vec<&str>, Vec<&str>) = rows.partition(|line| line.starts_with("| `\""));
    let known: BTreeSet<String> =
        of_verdicts.iter().filter_map(|line| of_table(line, 1)).map(|cell| cell.replace('`', "")).collect();
    assert_eq!(verdicts, known);
    for key in of_keys
        .iter()
        .filter_map(|line| of_table(line, 1))
        .flat_map(|cell| cell.split(", ").map(|key| key.replace('`', "")).collect::<Vec<String>>())
    {
        assert!(keys.contains(&key), "{key} is in no example");
    }
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
        "reorder",
        "duplicate",
        "bursts",
        "good",
        "bad",
        "corruption",
        "duplicate_latency",
        "bandwidth",
        "queue",
        "[[uplink]]",
        "[loopback]",
        "trace",
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
    let rules = blocks("toml").into_iter().find(|text| text.contains("lost answers")).expect("a rule with a name");
    load(&rules.replace("lost answers", "lost-answers"), &["rule.lost-answers.share=50%"]);
    load(&disks, &["disk.bad-disk.capacity=1MiB", "storage.crash_loss=100%"]);
    let uplinks = blocks("toml").into_iter().find(|text| text.contains("\"stores\"")).expect("an uplink with a name");
    load(&uplinks, &["uplink.stores.bandwidth=1Gbit/s", "link.client-0:store-1.bandwidth=10Mbit/s"]);
}

/// The recording that the page shows is the file that its example names.
#[test]
fn the_recording_is_the_one_on_the_page() {
    assert_eq!(blocks("csv"), [include_str!("../../../docs/wan.csv")]);
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

// --- the schema ---------------------------------------------------------------------------------------------------------------

/// What `squall schema` prints, as editors find it beside the pages.
const SCHEMA: &str = include_str!("../../../docs/scenario.schema.json");

#[test]
fn the_schema_is_the_committed_one() {
    let schema = format!("{:#}\n", squall::scenario::schema());
    assert!(schema == SCHEMA, "docs/scenario.schema.json is another one: `squall schema > docs/scenario.schema.json`");
}

fn validator() -> jsonschema::Validator {
    jsonschema::draft7::new(&squall::scenario::schema()).expect("a schema of draft 7")
}

/// A file as a validator sees it. Moments are text there.
fn as_json(value: &toml::Value) -> serde_json::Value {
    match value {
        toml::Value::String(text) => text.as_str().into(),
        toml::Value::Integer(number) => (*number).into(),
        toml::Value::Float(number) => (*number).into(),
        toml::Value::Boolean(boolean) => (*boolean).into(),
        toml::Value::Datetime(moment) => moment.to_string().into(),
        toml::Value::Array(list) => list.iter().map(as_json).collect(),
        toml::Value::Table(table) => {
            serde_json::Value::Object(table.iter().map(|(key, value)| (key.clone(), as_json(value))).collect())
        }
    }
}

/// A step to a value in a file.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Step {
    Key(String),
    Index(usize),
}

/// The ways to all values of a file.
fn ways(value: &toml::Value) -> Vec<Vec<Step>> {
    let below = |step: Step, value: &toml::Value| {
        let deeper = ways(value).into_iter().map(move |way| [vec![step.clone()], way].concat());
        deeper.collect::<Vec<_>>()
    };
    let mut all = vec![Vec::new()];
    match value {
        toml::Value::Table(table) => {
            all.extend(table.iter().flat_map(|(key, value)| below(Step::Key(key.clone()), value)));
        }
        toml::Value::Array(list) => {
            all.extend(list.iter().enumerate().flat_map(|(index, value)| below(Step::Index(index), value)));
        }
        _ => {}
    }
    all
}

fn at<'v>(value: &'v mut toml::Value, way: &[Step]) -> &'v mut toml::Value {
    way.iter().fold(value, |value, step| match step {
        Step::Key(key) => &mut value[key.as_str()],
        Step::Index(index) => &mut value[*index],
    })
}

/// What no example of the pages has.
const MORE: [&str; 4] = [
    r#"
        check = { transactions = "serializable", session = "monotonic-reads", unreached = [] }
        [[link]]
        from = "*"
        to = "store-0"
        reorder = "1%"
        duplicate = "1%"
        duplicate_latency = "1ms"
        bandwidth = "1Mbit/s"
        queue = "8KiB"
        corruption = "1%"
        bursts = { good = "1s", bad = "20ms", loss = "50%" }
        [[disk]]
        node = "*"
        latency = "10us"
        capacity = "1MiB"
        crash_loss = "10%"
        torn = "5%"
        read_failure = "1%"
        write_failure = "1%"
        bit_rot = "1%"
        [[rule]]
        from = "gateway"
        to = "store-1"
        one_way = true
        verdict = "pass"
    "#,
    r#"
        fault = [
            { kind = "pause", name = "a", node = "store-*", at = "1ms", for = "2ms", every = "50ms", times = 2, stagger = "10ms" },
            { kind = "pause", node = "*", at = "4ms", for = "1ms", together = true },
            { kind = "slow", name = "b", node = "store-*", poll = "1us", at = "1ms", for = "2ms", every = "50ms", times = 2, stagger = "9ms" },
            { kind = "slow", node = ["store-0", "store-1"], poll = "1us", at = "4ms", together = true },
            { kind = "crash", node = "store-*", at = "1ms", restart_after = "2ms", every = "50ms", times = 2 },
        ]
    "#,
    r#"
        fault = [
            { kind = "clock-jump", name = "c", node = "store-*", forward = "1h", at = "1ms", every = "5ms", times = 2, stagger = "9ms" },
            { kind = "clock-jump", node = "*", back = "1s", at = "4ms", for = "1ms", together = true },
            { kind = "clock-drift", name = "d", node = "store-*", ppm = 7, at = "1ms", for = "2ms", every = "5ms", times = 2, stagger = "9ms" },
            { kind = "clock-drift", node = "*", ppm = -7, at = "4ms", together = true },
        ]
    "#,
    r#"
        fault = [
            { kind = "hold", name = "e", from = "*", to = "store-0", both_ways = false, at = "1ms", for = "2ms", every = "5ms", times = 2 },
            { kind = "hold", from = "*", to = "store-1", one_way = true, at = "1ms", for = "1ms" },
            { kind = "link", from = "*", to = "store-1", one_way = true, duplicate = "5%", corruption = "1%", at = "1ms", for = "1ms", every = "5ms", times = 2 },
            { kind = "link", from = "*", to = "store-2", bursts = { good = "1s", bad = "20ms", loss = "50%" }, at = "1ms", for = "1ms" },
            { kind = "swizzle", name = "h", nodes = "store-*", stagger = "1ms", for = "1ms", at = "1ms", every = "50ms", times = 2 },
            { kind = "ring", name = "f", nodes = "*", reach = 1, at = "1ms", for = "1ms", every = "5ms", times = 2 },
            { kind = "random-partition", name = "g", nodes = ["store-0", "gateway"], at = "1ms", for = "1ms" },
        ]
    "#,
];

/// The examples of the pages, and what else there is.
fn files() -> Vec<toml::Value> {
    let more = MORE.into_iter().map(|text| format!("program = \"kv\"\n{text}"));
    blocks("toml").into_iter().chain(more).map(|text| toml::from_str(&text).expect("it is TOML")).collect()
}

fn read(file: &toml::Value) -> Result<Scenario, String> {
    let text = toml::to_string(file).expect("it can be written");
    Scenario::from_text("../../docs/example.toml", &text, &[kv()], &[]).map_err(|error| error.lines())
}

/// Wrong types, wrong units, zero, huge and empty ones.
fn other_values() -> Vec<toml::Value> {
    let texts = [
        "",
        " ",
        "5",
        "5ms",
        "0s",
        "5 parsecs",
        "9999999h",
        "-5ms",
        "0%",
        "7%",
        "101%",
        "1/3",
        "0..0",
        "0..5",
        "*",
        "nobody",
        "store-1",
        "5MiB",
        "0KiB",
        "99999999GiB",
        "2026-01-01T00:00:00Z",
        "1969-01-01T00:00:00Z",
        "a\u{0}b",
        "10Mbit/s",
        "0B/s",
    ];
    let mut values: Vec<toml::Value> = texts.into_iter().map(toml::Value::from).collect();
    values.extend([0i64, 1, -1, 70_000, i64::MAX, i64::MIN].map(toml::Value::from));
    values.extend([0.5, -1.5, 1e300, f64::INFINITY, f64::NAN].map(toml::Value::from));
    values.extend([true, false].map(toml::Value::from));
    values.push(toml::Value::Datetime("2026-01-01T00:00:00Z".parse().expect("a moment")));
    values.push(toml::Value::Array(Vec::new()));
    values.push(toml::Value::Array(vec!["store-0".into(), "store-0".into()]));
    values.push(toml::Value::Array(vec![1.into()]));
    values.push(toml::Value::Table(toml::Table::new()));
    values.push(toml::Value::Table([("x".to_string(), 1.into())].into_iter().collect()));
    values
}

/// Whatever a file says in place of anything: nothing panics, what is taken can run, and the schema says so too; and where a value of some type is
/// never taken, it isn't by the schema either.
#[test]
fn the_reader_and_the_schema_agree_about_every_value() {
    let validator = validator();
    let mut tried = 0;
    for file in files() {
        assert!(validator.is_valid(&as_json(&file)), "{file}");
        for way in ways(&file).into_iter().filter(|way| !way.is_empty()) {
            // What it means is the program's business.
            let is_args = matches!(&way[0], Step::Key(key) if key == "args") && way.len() > 1;
            // Moments are text to the schema.
            let mut taken_types = BTreeSet::from(["datetime"]);
            let mut refused = Vec::new();
            let own = at(&mut file.clone(), &way).type_str();
            taken_types.insert(own);
            for value in other_values() {
                let mut changed = file.clone();
                *at(&mut changed, &way) = value.clone();
                tried += 1;
                let valid = validator.is_valid(&as_json(&changed));
                match read(&changed) {
                    Ok(scenario) => {
                        assert!(valid, "the schema refuses {value} at {way:?} in\n{file}");
                        taken_types.insert(value.type_str());
                        // Too much to try; and which type a knob has is seen when it is read.
                        let is_left_out = match &way[0] {
                            Step::Key(key) if key == "nodes" => value.as_integer() > Some(100),
                            Step::Key(key) => key == "knobs",
                            Step::Index(_) => false,
                        };
                        if !is_left_out {
                            let plan = scenario.plan(Seed(1), StrategyChoice::default());
                            let _ = scenario.simulation().run_plan(&plan, Record::Digest);
                        }
                    }
                    Err(message) => refused.push((value, valid, message)),
                }
            }
            for (value, valid, message) in refused {
                let is_type = !taken_types.contains(value.type_str()) && message.contains(": expected");
                assert!(is_args || !valid || !is_type, "the schema takes {value} at {way:?}: {message}\n{file}");
            }
        }
    }
    assert!(tried > 10_000, "{tried}");
}

/// A key that is left out, and one that isn't known.
#[test]
fn the_reader_and_the_schema_agree_about_every_key() {
    let validator = validator();
    for file in files() {
        for way in ways(&file) {
            let mut changed = file.clone();
            if let Some((Step::Key(key), above)) = way.split_last() {
                at(&mut changed, above).as_table_mut().expect("it has a key").remove(key);
                let valid = validator.is_valid(&as_json(&changed));
                match read(&changed) {
                    Ok(_) => assert!(valid, "the schema wants {way:?} in\n{file}"),
                    Err(message) => {
                        let lacks = message.contains(&format!("lacks `{key}`"));
                        assert!(!lacks || !valid, "the schema does without {way:?}: {message}\n{file}");
                    }
                }
            }
            let mut changed = file.clone();
            let free =
                matches!(way.first(), Some(Step::Key(key)) if ["args", "nodes", "knobs"].contains(&key.as_str()));
            if let Some(table) = at(&mut changed, &way).as_table_mut() {
                table.insert("unheard_of".to_string(), 1.into());
                assert!(read(&changed).is_err(), "{changed}");
                assert!(
                    free || !validator.is_valid(&as_json(&changed)),
                    "the schema takes another key at {way:?} in\n{file}"
                );
            }
        }
    }
}

/// The paths of all keys that the schema knows: those of a kind of fault under its name.
fn keys_of(schema: &serde_json::Value, path: &str, all: &mut BTreeSet<String>) {
    for (key, below) in schema["properties"].as_object().into_iter().flatten() {
        let path = format!("{path}.{key}");
        all.insert(path.clone());
        keys_of(below, &path, all);
        keys_of(&below["items"], &path, all);
        for kind in below["items"]["oneOf"].as_array().into_iter().flatten() {
            let name = kind["properties"]["kind"]["const"].as_str().expect("a kind");
            keys_of(kind, &format!("{path}.{name}"), all);
        }
    }
}

/// So every key is tried above.
#[test]
fn every_key_of_the_schema_has_an_example() {
    let mut known = BTreeSet::new();
    keys_of(&squall::scenario::schema(), "", &mut known);
    let mut seen = BTreeSet::new();
    for file in files() {
        for way in ways(&file) {
            let mut path = String::new();
            let mut reached = file.clone();
            for step in &way {
                reached = at(&mut reached, std::slice::from_ref(step)).clone();
                match step {
                    Step::Key(key) => path.push_str(&format!(".{key}")),
                    Step::Index(_) if path == ".fault" => {
                        path.push_str(&format!(".{}", reached["kind"].as_str().expect("a kind")))
                    }
                    Step::Index(_) => {}
                }
            }
            seen.insert(path);
        }
    }
    let missing: Vec<&String> = known.difference(&seen).collect();
    assert!(missing.is_empty(), "no example has {missing:?}");
}
