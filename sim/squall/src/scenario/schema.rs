//! The JSON schema of scenario files, for editors: which keys there are, what they are for, and how their values are written.
//!
//! It says what can be said without the program: names of nodes, what [args] has and what contradicts what is left to the reader. Tests hold both to each other: what the
//! reader takes, the schema takes, and each key that the reader knows is in it.

use serde_json::{Map, Value, json};
use squall_engine::CAPACITY_BYTES_MAX;
use squall_engine::fault::{DRIFT_PPM_MAX, Split, TIMES_MAX};
use squall_engine::rule::Messages;

use super::rules::VERDICTS;
use super::sections::{COUNT_MAX, claims};
use crate::isolation::Isolation;

/// A table: its keys with what they take, and those that must be there.
struct Table {
    description: &'static str,
    keys: Vec<(&'static str, Value)>,
    required: Vec<&'static str>,
}

impl Table {
    fn new(description: &'static str, keys: Vec<(&'static str, Value)>) -> Table {
        Table { description, keys, required: Vec::new() }
    }

    fn requires(mut self, keys: &[&'static str]) -> Table {
        self.required.extend(keys);
        self
    }

    fn value(self) -> Value {
        let properties: Map<String, Value> =
            self.keys.into_iter().map(|(key, value)| (key.to_string(), value)).collect();
        let mut value = json!({
            "type": "object",
            "description": self.description,
            "additionalProperties": false,
            "properties": properties,
        });
        if !self.required.is_empty() {
            value["required"] = json!(self.required);
        }
        value
    }
}

/// The schema of scenario files, as JSON Schema's draft 7, which editors know.
#[must_use]
pub fn schema() -> Value {
    let mut top = Table::new(
        "A scenario of Squall: a program and its settings.",
        vec![
            ("program", text("The name of one of the programs of the binary; `squall list` shows them.")),
            ("about", text("What the scenario is, in a sentence.")),
            ("seeds", of("seeds", "The seeds to explore, the end left out; 0..1000 if it is left out.")),
            ("isolation", choice(&Isolation::NAMES, "Where runs happen: on threads, or in processes of their own.")),
            ("expect", text("The property that must fail, for a scenario that is there to fail.")),
            ("limit", limit()),
            (
                "end",
                Table::new(
                    "When the run ends, whoever is still busy.",
                    vec![("at", of("duration", "From the run's start, above zero."))],
                )
                .requires(&["at"])
                .value(),
            ),
            (
                "nodes",
                json!({
                    "type": "object",
                    "description": "How many nodes of each role there are.",
                    "additionalProperties": whole(0, COUNT_MAX, "How many."),
                }),
            ),
            ("args", json!({ "type": "object", "description": "The program's own arguments." })),
            (
                "clock",
                Table::new("The wall clock.", vec![("epoch", of("moment", "What it shows at the run's start."))])
                    .value(),
            ),
            ("network", Table::new("The weather of every link, unless a [[link]] says otherwise.", weather()).value()),
            (
                "link",
                list(
                    "Links whose weather is another one; of several that match, the last one that says something wins.",
                    link(),
                ),
            ),
            ("uplink", list("Uplinks of nodes, which all links of the node share.", uplink())),
            (
                "loopback",
                Table::new(
                    "What a node sends to itself.",
                    vec![("latency", of("latency", "How long it takes; 10 us if nothing is said."))],
                )
                .requires(&["latency"])
                .value(),
            ),
            (
                "tcp",
                Table::new(
                    "How connections of streams behave.",
                    vec![
                        ("window", of("bytes", "How much may be under way or unread each way; 64 KiB if nothing is said.")),
                        ("retransmission", of("duration", "After how long a lost segment is sent again; 200 ms.")),
                        (
                            "connect_retransmission",
                            of("duration", "After how long a lost request for a connection is sent again; 1 s."),
                        ),
                        ("retransmission_max", of("duration", "The longest time between two attempts; 5 s.")),
                        ("connect_timeout", of("duration", "After how long a request is given up; 30 s.")),
                        ("give_up", of("duration", "After how long a connection that nothing comes through is; 60 s.")),
                    ],
                )
                .value(),
            ),
            ("storage", Table::new("Every node's disk, unless a [[disk]] says otherwise.", disk()).value()),
            ("disk", list("Disks that behave otherwise.", own_disk())),
            ("fault", list("What goes wrong, and when.", json!({ "oneOf": faults() }))),
            ("rule", list("What becomes of certain messages; the first that fits decides.", rule())),
            (
                "heal",
                Table::new(
                    "The end of the storm: nothing goes wrong from then on.",
                    vec![
                        ("at", of("duration", "When.")),
                        ("core", of("nodes", "For which nodes; else for all.")),
                        ("within", of("duration", "The clients must get on within that time: the property progress.")),
                    ],
                )
                .requires(&["at"])
                .value(),
            ),
            ("check", check()),
            ("swarm", boolean("Each run leaves out each class of faults with probability one half, and varies how often the others come.")),
            ("buggify", buggify()),
            ("knobs", json!({
                "type": "object",
                "description": "Values that knobs of the program have in every run.",
                "additionalProperties": { "anyOf": [
                    { "type": "integer", "minimum": i64::MIN, "maximum": u64::MAX },
                    { "type": "boolean" },
                    { "$ref": "#/definitions/duration" },
                ] },
            })),
            ("budget", list("How much may go wrong at once: what would go beyond it doesn't happen.", budget())),
        ],
    )
    .requires(&["program"])
    .value();
    let own = json!({
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "Squall scenario",
        "definitions": definitions(),
    });
    if let (Value::Object(top), Value::Object(own)) = (&mut top, own) {
        top.extend(own);
    }
    top
}

// --- values -----------------------------------------------------------------------------------------------------------------

fn definitions() -> Value {
    let part = r"[0-9]+(\.[0-9]+)?";
    json!({
        "duration": {
            "type": "string",
            "pattern": format!(r"^\s*{part}\s*(ns|us|µs|μs|ms|s|m|h)\s*$"),
            "examples": ["250us", "1.5ms", "2s", "1m"],
        },
        "share": {
            "anyOf": [
                { "type": "string", "pattern": format!(r"^\s*({part}\s*%|[0-9]+\s*/\s*[0-9]+|0*[01])\s*$") },
                { "type": "integer", "enum": [0, 1] },
            ],
            "examples": ["5%", "0.1%", "1/3"],
        },
        "bandwidth": {
            "type": "string",
            "pattern": format!(r"^\s*{part}\s*[kMG]?(bit|B)/s\s*$"),
            "examples": ["10Mbit/s", "64kB/s"],
        },
        "bytes": { "type": "string", "pattern": r"^\s*[0-9]+\s*(B|KiB|MiB|GiB)\s*$", "examples": ["64MiB"] },
        "seeds": { "type": "string", "pattern": r"^.*\.\..*$", "examples": ["0..1000", "0x10..0x20"] },
        "moment": { "type": "string", "pattern": r"^[0-9]{4}-", "examples": ["2026-01-01T00:00:00Z"] },
        "node": { "type": "string", "examples": ["store-0", "client-*"] },
        "nodes": {
            "anyOf": [
                { "type": "string" },
                { "type": "array", "items": { "type": "string" }, "minItems": 1 },
            ],
            "examples": ["store-0", "store-*", ["store-0", "store-1"]],
        },
        "name": { "type": "string", "pattern": r"^[^.=\n]*[^.=\s][^.=\n]*$", "maxLength": 200 },
        "latency": latency(),
    })
}

/// A value that is written as a definition says.
fn of(definition: &str, description: &str) -> Value {
    // Beside a reference draft 7 ignores everything.
    json!({ "description": description, "allOf": [{ "$ref": format!("#/definitions/{definition}") }] })
}

fn text(description: &str) -> Value {
    json!({ "type": "string", "description": description })
}

fn boolean(description: &str) -> Value {
    json!({ "type": "boolean", "description": description })
}

fn whole(least: u64, most: u64, description: &str) -> Value {
    json!({ "type": "integer", "minimum": least, "maximum": most, "description": description })
}

fn choice(names: &[&str], description: &str) -> Value {
    json!({ "type": "string", "enum": names, "description": description })
}

fn list(description: &str, items: Value) -> Value {
    json!({ "type": "array", "description": description, "items": items })
}

fn latency() -> Value {
    let duration = || json!({ "$ref": "#/definitions/duration" });
    let table = |keys: Value, required: &[&str]| json!({ "type": "object", "additionalProperties": false, "properties": keys, "required": required });
    json!({
        "anyOf": [
            duration(),
            {
                "type": "object",
                "additionalProperties": false,
                "minProperties": 1,
                "maxProperties": 1,
                "properties": {
                    "fixed": duration(),
                    "uniform": { "type": "array", "items": duration(), "minItems": 2, "maxItems": 2 },
                    "exponential": {
                        "anyOf": [duration(), table(json!({ "mean": duration(), "min": duration() }), &["mean"])],
                    },
                    "lognormal": table(json!({ "median": duration(), "p99": duration() }), &["median", "p99"]),
                    "pareto": table(
                        json!({ "min": duration(), "shape": { "type": "number", "exclusiveMinimum": 0 } }),
                        &["min", "shape"],
                    ),
                    "trace": { "type": "string", "description": "The file of a recording, beside the scenario's." },
                    "empirical": { "type": "array", "items": duration(), "minItems": 1 },
                },
            },
        ],
        "examples": ["5ms", { "uniform": ["1ms", "10ms"] }, { "lognormal": { "median": "2ms", "p99": "40ms" } }],
    })
}

// --- tables -----------------------------------------------------------------------------------------------------------------

fn limit() -> Value {
    let keys = vec![
        ("virtual", of("duration", "A run that needs more virtual time is given up.")),
        ("events", whole(1, i64::MAX as u64, "A run with more events is given up.")),
        ("memory", of("bytes", "A run whose process wants more fails.")),
    ];
    Table::new("How much a run may need.", keys).value()
}

fn check() -> Value {
    let mut keys: Vec<(&'static str, Value)> = claims()
        .into_iter()
        .map(|(key, what, all)| {
            let names: Vec<&str> = all.iter().map(|(name, _)| *name).collect();
            (key, choice(&names, &format!("Of the clients' histories: the name of a {what}.")))
        })
        .collect();
    keys.push((
        "unreached",
        json!({
            "anyOf": [{ "type": "string" }, { "type": "array", "items": { "type": "string" } }],
            "description": "Goals that these runs aren't to reach: names, or patterns.",
        }),
    ));
    Table::new("What the clients' histories are to be.", keys).value()
}

fn weather() -> Vec<(&'static str, Value)> {
    let bursts = vec![
        ("good", of("duration", "How long it is good, in the mean.")),
        ("bad", of("duration", "How long it is bad, in the mean.")),
        ("loss", of("share", "The share of the messages that it loses when it is bad; else all.")),
    ];
    let mut weather = vec![
        ("latency", of("latency", "How long a message travels.")),
        ("loss", of("share", "The share of the messages that are lost.")),
        ("reorder", of("share", "The share that takes the latency twice, so that others overtake it.")),
        ("duplicate", of("share", "The share that arrives twice.")),
        ("duplicate_latency", of("latency", "How long copies travel; else as the messages.")),
        ("corruption", of("share", "The share that arrives with a bit flipped.")),
        ("reset", of("share", "The share of the segments of streams at which their connection breaks.")),
        ("bursts", Table::new("Losses that come in bursts.", bursts).requires(&["good", "bad"]).value()),
    ];
    weather.extend(queues());
    weather
}

fn queues() -> Vec<(&'static str, Value)> {
    vec![
        ("bandwidth", of("bandwidth", "How much is sent in a second; else as much as there is.")),
        ("queue", of("bytes", "How much waits to be sent, and what comes on top is lost; else all of it waits.")),
    ]
}

fn uplink() -> Value {
    let keys = [vec![("node", of("node", "Whose: a node's name, or a pattern.")), name()], queues()].concat();
    Table::new("The uplink of some nodes.", keys).requires(&["node"]).value()
}

fn ends() -> Vec<(&'static str, Value)> {
    vec![
        ("from", of("node", "Who sends: a node's name, or a pattern.")),
        ("to", of("node", "To whom.")),
        ("both_ways", boolean("Also the other way.")),
        ("one_way", boolean("The opposite of both_ways.")),
    ]
}

fn name() -> (&'static str, Value) {
    ("name", of("name", "By which it is known: to --set, and to kept failures."))
}

fn link() -> Value {
    let keys = [ends(), weather(), vec![name()]].concat();
    Table::new("The weather of what some nodes send to others.", keys).requires(&["from", "to"]).value()
}

fn disk() -> Vec<(&'static str, Value)> {
    vec![
        ("latency", of("latency", "How long an operation takes, but for syncs.")),
        ("sync_latency", of("latency", "How long a sync takes.")),
        ("capacity", of("bytes", &format!("How much it holds, at most {} GiB.", CAPACITY_BYTES_MAX >> 30))),
        ("crash_loss", of("share", "The share of the changes since the last sync that a crash loses.")),
        ("torn", of("share", "The share of the writes to several sectors that a crash tears instead.")),
        ("read_failure", of("share", "The share of the reads that fail.")),
        ("write_failure", of("share", "The share of the writes that fail.")),
        ("sync_failure", of("share", "The share of the syncs that fail.")),
        ("bit_rot", of("share", "The share of the reads that find a bit flipped.")),
    ]
}

fn own_disk() -> Value {
    let keys = [vec![("node", of("node", "Whose: a node's name, or a pattern.")), name()], disk()].concat();
    Table::new("The disk of some nodes.", keys).requires(&["node"]).value()
}

fn buggify() -> Value {
    let keys = vec![
        ("enabled", of("share", "The share of the runs in which a place is enabled, each by itself.")),
        ("share", of("share", "The share of the times that an enabled place is true, unless it says its own.")),
        ("knobs", of("share", "The share of the runs in which a knob isn't at its default, each by itself.")),
    ];
    Table::new("How often programs do what is rare, and how many of their knobs are turned.", keys).value()
}

fn budget() -> Value {
    let at_most = |description: &str| {
        json!({
            "anyOf": [{ "type": "integer", "minimum": 0, "maximum": COUNT_MAX }, { "const": "minority" }],
            "description": description,
        })
    };
    let keys = vec![
        name(),
        ("of", of("nodes", "Of which nodes; else of all.")),
        ("crashed", at_most("At most so many are down at once.")),
        ("paused", at_most("At most so many stand still at once.")),
        ("partitions", whole(0, COUNT_MAX, "At most so many partitions are there at once.")),
    ];
    let limits = ["crashed", "paused", "partitions"].map(|key| json!({ "required": [key] }));
    let mut budget = Table::new("How many of some nodes.", keys).value();
    budget["anyOf"] = json!(limits);
    budget
}

fn rule() -> Value {
    let messages = Messages::ALL.map(|(name, _)| name);
    let keys = vec![
        name(),
        ("verdict", choice(&VERDICTS, "What becomes of the message.")),
        ("after", of("duration", "Of \"deliver\": how long it travels; of \"duplicate\": how long the copy does.")),
        ("messages", choice(&messages, "Only those.")),
        ("method", text("Only calls of that type of request and their answers: a name, or a pattern.")),
        ("tag", whole(0, i64::MAX as u64, "Only datagrams under that tag.")),
        ("port", whole(1, u64::from(u16::MAX), "Only what is for that port.")),
        ("at", of("duration", "From when on.")),
        ("for", of("duration", "For how long.")),
        ("skip", whole(0, i64::MAX as u64, "Leaves out so many that fit.")),
        ("times", whole(1, i64::MAX as u64, "Only so many that fit.")),
        ("share", of("share", "Only that share of them, which is drawn.")),
    ];
    let mut rule = Table::new("Which messages, and what becomes of them.", [ends(), keys].concat())
        .requires(&["from", "to", "verdict"])
        .value();
    rule["if"] = json!({ "properties": { "verdict": { "enum": ["deliver", "duplicate"] } } });
    rule["then"] = json!({ "required": ["after"] });
    rule["else"] = json!({ "not": { "required": ["after"] } });
    rule
}

/// One for each kind.
fn faults() -> Vec<Value> {
    let kinds = super::faults::kinds();
    kinds.into_iter().map(|(kind, title, keys)| fault(kind, title, &keys)).collect()
}

fn fault(kind: &'static str, title: &'static str, keys: &[&'static str]) -> Value {
    let described = keys.iter().map(|key| (*key, fault_key(kind, key)));
    let mut keys: Vec<(&'static str, Value)> = described.collect();
    keys.sort_by_key(|(key, _)| *key != "kind");
    let required: &[&str] = match kind {
        "partition" => &["kind", "at"],
        "crash" => &["kind", "node"],
        "swizzle" => &["kind", "at", "nodes", "stagger", "for"],
        "random-partition" | "ring" => &["kind", "at", "nodes"],
        "link" | "hold" | "reset" => &["kind", "at", "from", "to"],
        "slow" => &["kind", "at", "node", "poll"],
        "clock-drift" => &["kind", "at", "node", "ppm"],
        _ => &["kind", "at", "node"],
    };
    let mut fault = Table::new(title, keys).requires(required).value();
    let one_of = |sets: &[&[&str]]| json!(sets.iter().map(|keys| json!({ "required": keys })).collect::<Vec<_>>());
    match kind {
        "partition" => fault["oneOf"] = one_of(&[&["groups"], &["from", "to"]]),
        "crash" => fault["oneOf"] = one_of(&[&["at"], &["at_point", "share"]]),
        "clock-jump" => fault["oneOf"] = one_of(&[&["forward"], &["back"]]),
        "link" => {
            let said: Vec<&str> = weather().into_iter().map(|(key, _)| key).collect();
            fault["anyOf"] = one_of(&said.iter().map(std::slice::from_ref).collect::<Vec<_>>());
        }
        _ => {}
    }
    fault
}

/// What a key of a fault takes.
fn fault_key(kind: &str, key: &str) -> Value {
    match key {
        "kind" => json!({ "type": "string", "const": kind, "description": "What goes wrong." }),
        "name" => name().1,
        "at" => of("duration", "When it happens."),
        "for" => of("duration", "For how long; else it stays."),
        "every" => of("duration", "How long after that it happens again."),
        "times" => whole(1, u64::from(TIMES_MAX), "How often it happens."),
        "node" => of("nodes", "To which nodes."),
        "nodes" => of("nodes", "Of which nodes."),
        "stagger" => of("duration", "It comes to one node after the other, so long apart."),
        "together" => boolean("It is one fault, which happens to all of its nodes or to none."),
        "from" if kind == "partition" => of("nodes", "Whose messages are stopped."),
        "to" if kind == "partition" => of("nodes", "To whom."),
        "one_way" if kind == "partition" => boolean("Only what the first group sends to the second is stopped."),
        "groups" => json!({
            "type": "array",
            "description": "Nodes of different groups can't reach each other.",
            "items": { "$ref": "#/definitions/nodes" },
            "minItems": 2,
        }),
        "split" => choice(&Split::ALL.map(|(name, _)| name), "How it cuts."),
        "hold" => boolean("What is sent to a node that is cut off, or by it, is held, in place of being lost."),
        "reach" => whole(1, u64::from(u32::MAX), "How many neighbours on either side each node reaches."),
        "restart_after" => of("duration", "It starts again then; else it stays down."),
        "wipe_disk" => boolean("Its disk is empty afterwards."),
        "at_point" => text("In place of a time: a point of the code (`squall::point!`), or a pattern."),
        "share" => of("share", "In which share of all times that it passes the point."),
        "poll" => of("duration", "How long each poll takes."),
        "forward" => of("duration", "By how much the wall clock jumps forward."),
        "back" => of("duration", "By how much it jumps back."),
        "ppm" => json!({
            "type": "integer",
            "minimum": -i64::from(DRIFT_PPM_MAX),
            "maximum": DRIFT_PPM_MAX,
            "not": { "const": 0 },
            "description": "By how many millionths its clocks are too fast.",
        }),
        other => {
            let known = [ends(), weather()].concat().into_iter().find(|(key, _)| *key == other);
            known.unwrap_or_else(|| panic!("a fault's key {other:?} has no schema")).1
        }
    }
}
