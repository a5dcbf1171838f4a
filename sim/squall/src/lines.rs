//! The JSON schema of Squall's lines: those of a trace, as `--trace` writes it, and those of standard output with `--message-format json`.
//!
//! Draft 2020-12. A line of a trace has a key `line` that says what it is, one of standard output a key `event`. Tests hold it to what the
//! commands write: each of their lines fits, and one that lacks something, or has a key or an event that isn't there, doesn't.

use serde_json::{Map, Value, json};
use squall_trace::plan::Bases;
use squall_trace::site::SiteKind;
use squall_trace::swarm::FaultClass;

/// An object of these keys and no others; those whose name ends in `?` may be left out.
fn object(keys: &[(&str, Value)]) -> Value {
    let mut properties = Map::new();
    let mut required = Vec::new();
    for (key, value) in keys {
        let name = key.trim_end_matches('?');
        if name == *key {
            required.push(name);
        }
        properties.insert(name.to_string(), value.clone());
    }
    json!({ "type": "object", "properties": properties, "required": required, "additionalProperties": false })
}

/// The keys of one object and those of another.
fn with(common: &[(&'static str, Value)], own: &[(&'static str, Value)]) -> Value {
    let keys: Vec<(&str, Value)> = common.iter().chain(own).cloned().collect();
    object(&keys)
}

fn described(mut value: Value, description: &str) -> Value {
    value["description"] = json!(description);
    value
}

fn is(word: &str) -> Value {
    json!({ "const": word })
}

fn text() -> Value {
    json!({ "type": "string" })
}

fn choice(words: &[&str]) -> Value {
    json!({ "enum": words })
}

fn whole() -> Value {
    json!({ "type": "integer", "minimum": 0 })
}

fn up_to(most: u64) -> Value {
    json!({ "type": "integer", "minimum": 0, "maximum": most })
}

fn number() -> Value {
    json!({ "type": "number" })
}

fn share() -> Value {
    json!({ "type": "number", "minimum": 0, "maximum": 1 })
}

fn boolean() -> Value {
    json!({ "type": "boolean" })
}

fn list(of: Value) -> Value {
    json!({ "type": "array", "items": of })
}

fn map(of: Value) -> Value {
    json!({ "type": "object", "additionalProperties": of })
}

fn or_null(value: Value) -> Value {
    json!({ "anyOf": [value, { "type": "null" }] })
}

fn either(values: Vec<Value>) -> Value {
    json!({ "oneOf": values })
}

fn of(definition: &str) -> Value {
    json!({ "$ref": format!("#/$defs/{definition}") })
}

/// The schema of one line, as JSON Schema's draft 2020-12.
#[must_use]
pub fn schema() -> Value {
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "A line of Squall",
        "description": "A line of a trace (`squall run --trace`, `zstdcat`), or one of standard output with --message-format json.",
        "oneOf": [of("trace"), of("output")],
        "$defs": definitions(),
    })
}

fn definitions() -> Value {
    let mut all = Map::new();
    let mut define = |name: &str, value: Value| all.insert(name.to_string(), value);
    define("trace", either(vec![of("header"), of("event"), of("perturbation"), of("checkpoint")]));
    define("header", described(header(), "The first line of a trace."));
    define("event", described(either(events()), "What happened; in order, behind the header."));
    define("perturbation", described(line_of(perturbation(), "perturbation"), "A decision that wasn't calm."));
    define(
        "checkpoint",
        described(
            object(&[("line", is("checkpoint")), ("events", whole()), ("digest", of("digest"))]),
            "The digest on the way, one a block of events.",
        ),
    );
    define("output", either(outputs()));
    for (name, value) in words().into_iter().chain(parts()) {
        define(name, value);
    }
    Value::Object(all)
}

/// A line with the keys of an object.
fn line_of(mut object: Value, line: &str) -> Value {
    object["properties"]["line"] = is(line);
    if let Some(required) = object["required"].as_array_mut() {
        required.push(json!("line"));
    }
    object
}

/// What several lines have in common.
fn words() -> Vec<(&'static str, Value)> {
    let hex = |digits: u32| json!({ "type": "string", "pattern": format!("^[0-9a-f]{{{digits}}}$") });
    let classes: Vec<Value> =
        FaultClass::ALL.iter().map(|class| serde_json::to_value(class).unwrap_or_default()).collect();
    let node = up_to(u32::MAX.into());
    let groups = list(list(of("node")));
    vec![
        ("digest", described(hex(32), "128 bits.")),
        ("id", described(hex(16), "A task or a flow: 64 bits.")),
        ("seed", described(json!({ "type": "string", "pattern": "^0x[0-9a-f]+$" }), "A seed, hexadecimal.")),
        ("node", described(node, "A node's place among the names; 4294967295 is the world.")),
        ("class", described(json!({ "enum": classes }), "A class of faults.")),
        (
            "part",
            described(
                either(vec![
                    object(&[("begins", object(&[("class", of("class")), ("groups", groups)]))]),
                    object(&[("ends", object(&[("begun", whole())]))]),
                    object(&[("all-end", object(&[("class", of("class")), ("nodes", list(of("node")))]))]),
                ]),
                "Of which part of a fault an event tells; left out where it is all of it.",
            ),
        ),
        ("verdict", choice(&["pass", "fail", "unknown"])),
        ("strategy", described(text(), "fifo, random, worst-crash, or pct:DEPTH:STEPS.")),
        ("replay", described(text(), "The command that repeats it.")),
    ]
}

fn header() -> Value {
    let names = object(&[
        ("nodes", list(object(&[("name", text()), ("address", text()), ("client", boolean())]))),
        ("tasks", by_id(object(&[("label", text()), ("node", of("node")), ("spawned_at", text())]))),
        (
            "flows",
            by_id(object(&[("from", of("node")), ("to", of("node")), ("role", of("role")), ("operation?", whole())])),
        ),
    ]);
    object(&[
        ("line", is("header")),
        ("format", is("squall-trace")),
        ("version", json!({ "const": 1 })),
        ("plan", of("plan")),
        ("digest", described(of("digest"), "Over all events but log lines.")),
        ("log_digest", described(of("digest"), "Over all log lines.")),
        ("verdict", of("judged")),
        ("events", described(whole(), "How many lines of that kind follow.")),
        ("perturbations", described(whole(), "The same.")),
        ("checkpoints", described(whole(), "The same.")),
        ("names", names),
    ])
}

fn by_id(value: Value) -> Value {
    let mut map = map(value);
    map["propertyNames"] = of("id");
    map
}

/// What a header and the lines behind it are made of.
fn parts() -> Vec<(&'static str, Value)> {
    let kinds: Vec<Value> = SiteKind::ALL.iter().map(|kind| serde_json::to_value(kind).unwrap_or_default()).collect();
    let base = choice(&["calm", "drawn"]);
    let bases: Map<String, Value> = match serde_json::to_value(Bases::drawn()) {
        Ok(Value::Object(bases)) => bases.into_iter().map(|(key, _)| (key, base.clone())).collect(),
        _ => Map::new(),
    };
    let required: Vec<&String> = bases.keys().collect();
    let bases = json!({ "type": "object", "required": required, "properties": bases, "additionalProperties": false });
    let method = || object(&[("method", text())]);
    let role = either(vec![
        object(&[("datagram", object(&[("tag", whole())]))]),
        object(&[("call", method())]),
        object(&[("answer", method())]),
        object(&[("refusal", method())]),
        object(&[(
            "segment",
            object(&[
                ("connection", whole()),
                ("port", up_to(u16::MAX.into())),
                ("is_back", json!({ "type": "boolean" })),
                (
                    "labels?",
                    list(json!({ "type": "array", "prefixItems": [whole(), text()], "items": false, "minItems": 2 })),
                ),
            ]),
        )]),
        object(&[("operation", object(&[("what", text())]))]),
        object(&[("fault", object(&[("what", text())]))]),
        object(&[("rule", object(&[("of", of("role")), ("does", text())]))]),
        object(&[(
            "disk",
            object(&[
                ("operation", choice(&["read", "write", "sync", "change", "look-up"])),
                ("path", text()),
                ("losses?", map(object(&[("what", text()), ("sectors", whole()), ("by", text())]))),
            ]),
        )]),
    ]);
    vec![
        ("site", object(&[("kind", json!({ "enum": kinds })), ("flow", of("id")), ("number", whole())])),
        ("bases", described(bases, "What answers for each class of decision.")),
        (
            "plan",
            object(&[
                ("scenario", text()),
                ("parameters", map(text())),
                ("seed", of("seed")),
                ("strategy", of("strategy")),
                ("bases", of("bases")),
                ("redraw?", object(&[("from_ns", whole()), ("salt", whole()), ("bases?", of("bases"))])),
                ("horizon_ns?", whole()),
                ("overrides", list(object(&[("site", of("site")), ("fingerprint", whole()), ("value", whole())]))),
            ]),
        ),
        ("role", described(role, "What a flow carries.")),
        (
            "judged",
            either(vec![
                object(&[("verdict", is("pass"))]),
                object(&[
                    ("verdict", is("fail")),
                    ("property", text()),
                    ("message", text()),
                    ("step", whole()),
                    ("at_ns", whole()),
                    ("node", or_null(of("node"))),
                    ("task", or_null(of("id"))),
                ]),
                object(&[("verdict", is("unknown")), ("message", text())]),
            ]),
        ),
    ]
}

fn perturbation() -> Value {
    object(&[("site", of("site")), ("fingerprint", whole()), ("value", whole()), ("calm", whole()), ("at_ns", whole())])
}

/// One for each kind of event.
fn events() -> Vec<Value> {
    let message: [(&str, Value); 2] = [("flow", of("id")), ("number", whole())];
    let copy = || [message.as_slice(), &[("copy", up_to(1))]].concat();
    let reasons = [
        "loss",
        "partition-on-sending",
        "partition-on-arrival",
        "node-down",
        "no-listener",
        "queue-full",
        "sender-down",
        "rule",
        "connection-closed",
    ];
    let port = || up_to(u16::MAX.into());
    let kinds: Vec<(&'static str, Vec<(&'static str, Value)>)> = vec![
        ("boot", vec![("boot", up_to(u32::MAX.into()))]),
        ("crash", vec![]),
        ("spawn", vec![("child", of("id"))]),
        ("poll", vec![]),
        ("task-end", vec![("end", choice(&["returned", "aborted", "panicked", "crashed"]))]),
        (
            "send",
            [
                message.as_slice(),
                &[
                    ("from_port", port()),
                    ("to", of("node")),
                    ("to_port", port()),
                    ("tag", whole()),
                    ("payload", json!({ "type": "string", "pattern": "^([0-9a-f]{2})*$" })),
                ],
            ]
            .concat(),
        ),
        ("duplicate", message.to_vec()),
        ("corrupt", [message.as_slice(), &[("bit", whole())]].concat()),
        ("deliver", copy()),
        ("lose", [copy().as_slice(), &[("reason", choice(&reasons))]].concat()),
        ("in-flight", copy()),
        ("hold", copy()),
        ("retransmit", [message.as_slice(), &[("times", whole())]].concat()),
        ("fault", vec![("what", text()), ("part?", of("part"))]),
        ("heal", vec![("what", text()), ("nodes?", list(of("node")))]),
        ("disk", vec![("what", text()), ("print", whole())]),
        ("publish", vec![("topic", text()), ("value", text())]),
        ("panic", vec![("message", text())]),
        ("escape", vec![("what", text())]),
        ("log", vec![("level", text()), ("target", text()), ("message", text())]),
    ];
    let event = |(kind, own): (&'static str, Vec<(&'static str, Value)>)| {
        let common = [
            ("line", is("event")),
            ("step", whole()),
            ("at_ns", whole()),
            ("node", of("node")),
            ("task", of("id")),
            ("event", is(kind)),
        ];
        with(&common, &own)
    };
    kinds.into_iter().map(event).collect()
}

/// One for each line of standard output, by its `event`.
fn outputs() -> Vec<Value> {
    let output = |event: &'static str, own: &[(&'static str, Value)]| with(&[("event", is(event))], own);
    let settings = || map(text());
    let shard = || json!({ "type": "string", "pattern": "^[0-9]+/[0-9]+$" });
    let swarmed = list(object(&[
        ("class", of("class")),
        ("exponent", or_null(json!({ "type": "integer", "minimum": -2, "maximum": 2 }))),
    ]));
    let listed = object(&[
        ("name", text()),
        ("file", text()),
        ("about", text()),
        ("properties", list(text())),
        ("goals", list(text())),
    ]);
    let found = || choice(&["same", "differs", "gone", "unknown", "stale"]);
    let failure =
        object(&[("seed", of("seed")), ("property", text()), ("file", or_null(text())), ("perturbations", whole())]);
    let side = or_null(object(&[
        ("value", text()),
        ("runs", whole()),
        ("failed", whole()),
        ("failed_otherwise", whole()),
        ("unknown", whole()),
        ("at_least?", number()),
        ("fewer_than?", number()),
    ]));
    let percentile = || or_null(whole());
    let cell = [
        ("cell", whole()),
        ("settings", settings()),
        ("runs", whole()),
        ("passed", whole()),
        ("failed", whole()),
        ("unknown", whole()),
        (
            "failures",
            list(object(&[
                ("property", text()),
                ("runs", whole()),
                ("first_seed", of("seed")),
                ("message", text()),
                ("replay", of("replay")),
            ])),
        ),
        (
            "unknowns",
            list(object(&[
                ("reason", or_null(text())),
                ("runs", whole()),
                ("first_seed", of("seed")),
                ("replay", of("replay")),
            ])),
        ),
        (
            "operations",
            object(&[
                ("of", or_null(choice(&["history", "calls"]))),
                ("count", whole()),
                ("answered", whole()),
                ("unanswered", whole()),
                ("unmeasured_runs", whole()),
            ]),
        ),
        ("answered_per_s", or_null(number())),
        ("virtual_ns", whole()),
        (
            "latency_ns",
            object(&[
                ("p50", percentile()),
                ("p99", percentile()),
                ("p99.9", percentile()),
                ("max", percentile()),
                ("rounded", boolean()),
            ]),
        ),
    ];
    vec![
        output("list-finished", &[("scenarios", list(listed))]),
        output(
            "run-finished",
            &[
                ("scenario", text()),
                ("seed", of("seed")),
                ("digest", of("digest")),
                ("verdict", of("verdict")),
                ("property", or_null(text())),
                ("message", or_null(text())),
                ("replay", of("replay")),
                ("virtual_ns", whole()),
                ("events", whole()),
                ("messages", whole()),
                ("goals?", map(whole())),
                ("swarm?", swarmed),
                // Of a replay alone.
                ("outcome?", choice(&["same", "differs", "gone", "unknown", "stale"])),
            ],
        ),
        output(
            "explore-started",
            &[
                ("scenario", text()),
                ("seeds", text()),
                ("shard?", shard()),
                ("jobs", whole()),
                ("strategy", of("strategy")),
            ],
        ),
        output("merge-started", &[("scenario", text()), ("seeds", text()), ("shards", whole())]),
        output(
            "regression",
            &[("file", text()), ("property", text()), ("outcome", found()), ("verdict", of("verdict"))],
        ),
        // Of `regressions refresh`.
        output(
            "regression",
            &[("file", text()), ("outcome", choice(&["same", "differs", "gone", "unknown", "refreshed", "stale"]))],
        ),
        output(
            "failure",
            &[
                ("seed", of("seed")),
                ("property", text()),
                ("message", text()),
                ("replay", of("replay")),
                ("file?", text()),
            ],
        ),
        output(
            "nondeterminism",
            &[("seed", of("seed")), ("circumstance", text()), ("step", whole()), ("first", text()), ("second", text())],
        ),
        output(
            "goal",
            &[
                ("goal", text()),
                ("runs", whole()),
                ("times", whole()),
                ("first_seed", or_null(of("seed"))),
                ("is_wanted", boolean()),
            ],
        ),
        output(
            "explore-finished",
            &[
                ("runs", whole()),
                ("passed", whole()),
                ("failed", whole()),
                ("unknown", whole()),
                ("seconds", number()),
                ("failures", list(failure)),
                ("unseen?", number()),
                ("page?", text()),
            ],
        ),
        output("shard-written", &[("shard", shard()), ("seeds", text()), ("ran", text()), ("file", text())]),
        output(
            "shrink-finished",
            &[
                ("outcome?", text()),
                ("before", whole()),
                ("after", whole()),
                ("runs", whole()),
                ("minimal", boolean()),
                ("seconds", number()),
                ("file", text()),
            ],
        ),
        output(
            "likelihood",
            &[
                ("property", or_null(text())),
                (
                    "moments",
                    list(object(&[
                        ("at_ns", whole()),
                        ("runs", whole()),
                        ("failed", whole()),
                        ("failed_otherwise", whole()),
                        ("unknown", whole()),
                        ("share", or_null(share())),
                        ("at_least", share()),
                        ("at_most", share()),
                    ])),
                ),
                ("inevitable_from_ns", or_null(whole())),
                ("confidence", share()),
                ("reason", or_null(text())),
            ],
        ),
        output(
            "report-finished",
            &[
                ("outcome", text()),
                ("verdict", of("verdict")),
                ("property", or_null(text())),
                ("explained", boolean()),
                ("page", text()),
            ],
        ),
        output(
            "regressions-finished",
            &[
                ("files", whole()),
                ("refreshed", whole()),
                ("stale", whole()),
                ("of_tests", whole()),
                ("unreadable", whole()),
            ],
        ),
        output(
            "sweep-started",
            &[
                ("scenario", text()),
                ("seeds", text()),
                ("strategy", of("strategy")),
                ("cells", whole()),
                ("runs", whole()),
                ("computation", text()),
            ],
        ),
        output("cell", &cell),
        output(
            "threshold-found",
            &[
                ("settings", settings()),
                ("key", text()),
                ("property", or_null(text())),
                ("fails", side.clone()),
                ("passes", side),
                ("passes_above", list(text())),
                ("confidence", number()),
            ],
        ),
        output("sweep-finished", &[("cells", whole()), ("runs", whole()), ("seconds", number()), ("page?", text())]),
        output(
            "diff-finished",
            &[("same", boolean()), ("step", or_null(whole())), ("first", or_null(text())), ("second", or_null(text()))],
        ),
        output(
            "check-finished",
            &[
                ("verdict", of("verdict")),
                ("ops", whole()),
                ("steps", whole()),
                ("seconds", number()),
                ("message?", text()),
            ],
        ),
    ]
}
