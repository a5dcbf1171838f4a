//! What the commands write as JSON lines, and traces: each line fits the published schema, and none that is changed does.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the repository")
}

/// The lines that a command writes to standard output.
fn lines(directory: &Path, arguments: &[&str]) -> Vec<Value> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_squall"));
    for variable in ["SQUALL_SEED", "SQUALL_SEEDS", "SQUALL_JOBS", "SQUALL_HANG_AFTER", "GITHUB_ACTIONS"] {
        command.env_remove(variable);
    }
    let output = command.args(["--message-format", "json"]).args(arguments).current_dir(directory).output().unwrap();
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    assert!(!text.is_empty(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

fn validator() -> jsonschema::Validator {
    let schema = lines(root(), &["schema", "--lines"]).remove(0);
    jsonschema::draft202012::new(&schema).expect("a schema of draft 2020-12")
}

/// What may be left out of some line.
const OPTIONAL: [&str; 12] =
    ["page", "goals", "swarm", "outcome", "shard", "file", "unseen", "message", "part", "nodes", "property", "verdict"];

/// That they fit, and don't without one of their keys, or with another name.
#[track_caller]
fn check(validator: &jsonschema::Validator, lines: &[Value]) {
    assert!(!lines.is_empty());
    for line in lines {
        if let Err(error) = validator.validate(line) {
            panic!("{error}: {line}");
        }
        let mut wrongs: Vec<Value> = Vec::new();
        for key in line.as_object().unwrap().keys().filter(|key| !OPTIONAL.contains(&key.as_str())) {
            let mut wrong = line.clone();
            wrong.as_object_mut().unwrap().remove(key);
            wrongs.push(wrong);
        }
        for (key, value) in [("event", "no-such-event"), ("line", "no-such-line"), ("more", "x")] {
            let mut wrong = line.clone();
            wrong[key] = json!(value);
            wrongs.push(wrong);
        }
        for wrong in wrongs {
            assert!(!validator.is_valid(&wrong), "{wrong}");
        }
    }
}

fn events(lines: &[Value]) -> BTreeSet<&str> {
    lines.iter().map(|line| line["event"].as_str().unwrap()).collect()
}

fn trace_lines(path: &Path) -> Vec<Value> {
    let text = zstd::decode_all(std::fs::File::open(path).unwrap()).unwrap();
    String::from_utf8(text).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// A folder with the scenario, and a second one with faults.
fn folder() -> (tempfile::TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let payments = std::fs::read_to_string(root().join("scenarios/payments.toml")).unwrap();
    std::fs::write(directory.path().join("payments.toml"), &payments).unwrap();
    let stormy = format!(
        "swarm = true\n{payments}\n[[fault]]\nkind = \"partition\"\ngroups = [[\"bank\"], [\"alice\"]]\nat = \"1ms\"\nfor = \"20ms\"\n\
         [[fault]]\nkind = \"pause\"\nnode = \"bank\"\nat = \"30ms\"\n[[fault]]\nkind = \"crash\"\nnode = \"bank\"\nat = \"60ms\"\nrestart_after = \"5ms\"\n\
         [heal]\nat = \"90ms\"\n"
    );
    std::fs::write(directory.path().join("stormy.toml"), stormy).unwrap();
    let path = directory.path().to_path_buf();
    (directory, path)
}

#[test]
fn every_command_writes_lines_of_the_schema() {
    let validator = validator();
    let (_kept, folder) = folder();
    let at = |arguments: &[&str]| lines(&folder, arguments);

    let run = at(&["run", "payments.toml", "--seed", "0x1", "--trace", "1.zst", "--history", "h.jsonl"]);
    check(&validator, &run);
    let stormy = at(&["run", "stormy.toml", "--seed", "0x3", "--trace", "2.zst"]);
    assert!(stormy[0]["swarm"].is_array());
    check(&validator, &stormy);
    check(&validator, &at(&["list", "payments.toml"]));

    let explored = at(&["explore", "payments.toml", "--seeds", "0..20", "--out", "found", "--report", "pages"]);
    check(&validator, &explored);
    assert_eq!(explored.last().expect("a summary")["page"], "pages/index.html");
    let expected: BTreeSet<&str> = ["explore-started", "failure", "goal", "explore-finished"].into();
    assert_eq!(events(&explored), expected);
    let failure = explored.iter().find_map(|line| line["file"].as_str()).expect("one is saved");
    let again = at(&["explore", "payments.toml", "--seeds", "0..2", "--out", "found"]);
    check(&validator, &again);

    check(&validator, &at(&["replay", failure]));
    check(&validator, &at(&["replay", "payments.toml", "--seed", "1"]));
    for (of, is_drawn) in [
        (&["replay", failure, "--likelihood=3"][..], true),
        (&["replay", "payments.toml", "--seed", "0", "--likelihood"], false),
    ] {
        let likely = at(of);
        check(&validator, &likely);
        assert_eq!(events(&likely), ["likelihood", "run-finished"].into());
        assert_eq!(
            likely[0]["moments"].as_array().is_some_and(|moments| !moments.is_empty()),
            is_drawn,
            "{}",
            likely[0]
        );
        assert_eq!(likely[0]["reason"].is_string(), !is_drawn, "{}", likely[0]);
    }
    check(&validator, &at(&["shrink", failure, "--out", "again.toml"]));
    let reported = at(&["report", failure, "--out", "page.html"]);
    assert_eq!(events(&reported), ["report-finished"].into());
    check(&validator, &reported);
    let refreshed = at(&["regressions", "refresh", failure]);
    assert_eq!(events(&refreshed), ["regression", "regressions-finished"].into());
    check(&validator, &refreshed);
    check(&validator, &at(&["diff", "1.zst", "2.zst"]));
    check(&validator, &at(&["diff", "1.zst", "1.zst"]));

    for part in ["1/2", "2/2"] {
        check(&validator, &at(&["explore", "payments.toml", "--seeds", "0..20", "--shard", part, "--out", "parts"]));
    }
    let shards: Vec<String> = walk(&folder.join("parts")).iter().map(|path| path.display().to_string()).collect();
    let shards: Vec<&str> = shards.iter().map(String::as_str).filter(|path| path.ends_with(".jsonl.zst")).collect();
    check(&validator, &at(&[&["merge"], &shards[..], &["--out", "merged", "--report", "pages"]].concat()));

    let swept =
        at(&["sweep", "payments.toml", "--seeds", "0..10", "--vary", "network.loss=0%,50%", "--report", "s.html"]);
    check(&validator, &swept);
    assert_eq!(swept.last().expect("a summary")["page"], "s.html");
    assert_eq!(events(&swept), ["sweep-started", "cell", "sweep-finished"].into());
    let found = at(&["sweep", "payments.toml", "--seeds", "0..10", "--find", "network.loss=0%..=50%"]);
    check(&validator, &found);
    assert!(events(&found).contains("threshold-found"));

    std::fs::write(
        folder.join("register.jsonl"),
        "{\"process\":1,\"type\":\"invoke\",\"f\":\"write\",\"value\":7}\n{\"process\":1,\"type\":\"ok\",\"f\":\"write\",\"value\":7}\n",
    )
    .unwrap();
    check(&validator, &at(&["check", "--model", "register", "register.jsonl"]));

    for path in ["1.zst", "2.zst"] {
        check(&validator, &trace_lines(&folder.join(path)));
    }
    let kinds: BTreeSet<String> = trace_lines(&folder.join("2.zst"))
        .iter()
        .filter_map(|line| Some(line.get("event")?.as_str()?.to_string()))
        .collect();
    assert!(kinds.len() >= 7, "{kinds:?}");
}

fn walk(directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { found.extend(walk(&path)) } else { found.push(path) }
    }
    found
}
