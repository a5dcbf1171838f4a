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
    let place = tempfile::tempdir().expect("a directory");
    let run = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO"));
        let installed = place.path().join("bin");
        let path = std::env::var_os("PATH").unwrap_or_default();
        let paths = std::env::join_paths([installed].into_iter().chain(std::env::split_paths(&path)));
        command.args(arguments).current_dir(root.join("tests/user-project")).env("PATH", paths.expect("paths"));
        command.env("CARGO_TARGET_DIR", Path::new(env!("CARGO_TARGET_TMPDIR")).join("user-project"));
        for variable in ["RUSTFLAGS", "SQUALL_SEED", "SQUALL_SEEDS", "SQUALL_SHRINK", "SQUALL_REPLAY"] {
            command.env_remove(variable);
        }
        let output = command.output().expect("it starts");
        let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
        (output.status.code(), said.into_owned())
    };
    assert_eq!(called.len(), 3, "{called:?}");
    let repository = root.join("sim/cargo-squall").display().to_string();
    let directory = place.path().display().to_string();
    for command in called {
        let words: Vec<&str> = command.split(' ').collect();
        match *words {
            ["cargo", "test"] => {
                let (code, said) = run(&["test", "--locked"]);
                assert_eq!(code, Some(0), "{said}");
            }
            // Its name is the registry's, and there is no network here.
            ["cargo", "install", ref options @ .., env!("CARGO_PKG_NAME")] => {
                let here = ["--path", &repository, "--root", &directory, "--debug", "--offline"];
                let (code, said) = run(&[&["install"], options, &here[..]].concat());
                assert_eq!(code, Some(0), "{said}");
            }
            // With a file that isn't there: what is wrong is the file, and no argument. Without optimising, which takes long.
            ["cargo", "squall", "explore", ref arguments @ ..] => {
                let arguments = arguments.join(" ").replace("${{ matrix.scenario }}", "missing");
                let arguments: Vec<&str> = arguments.split(' ').collect();
                let (code, said) = run(&[&["squall", "--profile", "dev", "explore"], &arguments[..]].concat());
                assert_eq!(code, Some(2), "{said}");
                assert!(said.contains("scenarios/missing.toml can't be read"), "{said}");
            }
            _ => panic!("nobody has tried this command: {command}"),
        }
    }
}
