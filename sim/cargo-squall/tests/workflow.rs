//! The workflow that users are to copy (docs/squall.yml): it is YAML, its steps are whole, and squall takes what it calls.

use std::path::Path;
use std::process::Command;

use saphyr::{LoadableYamlNode, Yaml};

#[test]
fn the_workflow_can_be_copied() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let text = std::fs::read_to_string(root.join("docs/squall.yml")).expect("the workflow");
    let documents = Yaml::load_from_str(&text).expect("YAML");
    let jobs = documents[0]["jobs"].as_mapping().expect("jobs");
    assert_eq!(jobs.len(), 2);
    let mut called = Vec::new();
    for job in jobs.values() {
        assert!(job["runs-on"].as_str().is_some());
        for step in job["steps"].as_sequence().expect("steps") {
            match (
                step.as_mapping_get("uses").and_then(Yaml::as_str),
                step.as_mapping_get("run").and_then(Yaml::as_str),
            ) {
                // Pinned by a version, or by the toolchain that it installs.
                (Some(action), None) => assert!(action.contains('@'), "{action}"),
                (None, Some(command)) => called.push(command),
                _ => panic!("a step uses an action or runs a command: {step:?}"),
            }
        }
    }
    let explore =
        called.iter().find_map(|command| command.strip_prefix("cargo squall explore ")).expect("an exploration");
    // With a file that isn't there: what is wrong is the file, and no argument.
    let arguments = explore.replace("${{ matrix.scenario }}", "missing");
    let output = Command::new(env!("CARGO_BIN_EXE_cargo-squall"))
        .args(["squall", "--profile", "dev", "explore"])
        .args(arguments.split(' '))
        .current_dir(root.join("tests/user-project"))
        .env("CARGO_TARGET_DIR", Path::new(env!("CARGO_TARGET_TMPDIR")).join("user-project"))
        .env_remove("RUSTFLAGS")
        .output()
        .expect("it starts");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("scenarios/missing.toml can't be read"), "{said}");
}
