//! A stranger's project (tests/user-project): its tests, its scenarios as tests, and `cargo squall`. Beside it is `kvd`, a service on tokio that is tested in Squall and on
//! real sockets.
//!
//! It is a workspace of its own, so it is built as if nothing of this one were there.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;

/// The variables that would change what is tested.
const VARIABLES: [&str; 12] = [
    "CI",
    "GITHUB_ACTIONS",
    "LEDGER_FORGETS",
    "PROPTEST_CASES",
    "RUSTFLAGS",
    "SQUALL_COMMAND_LINE",
    "SQUALL_HANG_AFTER",
    "SQUALL_JOBS",
    "SQUALL_REPLAY",
    "SQUALL_SEED",
    "SQUALL_SEEDS",
    "SQUALL_SHRINK",
];

fn project() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/user-project").canonicalize().expect("the project")
}

fn command(program: impl AsRef<std::ffi::OsStr>, directory: &Path) -> Command {
    let mut command = Command::new(program);
    command.current_dir(directory).env("CARGO_TARGET_DIR", Path::new(env!("CARGO_TARGET_TMPDIR")).join("user-project"));
    for variable in VARIABLES {
        command.env_remove(variable);
    }
    // What cargo tells this test about its own package isn't true of another.
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("CARGO_PKG_") || name == "CARGO_MANIFEST_DIR")
    {
        command.env_remove(name);
    }
    command
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

#[track_caller]
fn run(command: &mut Command, code: i32) -> String {
    let output = command.output().expect("it starts");
    assert_eq!(output.status.code(), Some(code), "{command:?}\n{}", said(&output));
    said(&output)
}

fn cargo(arguments: &[&str]) -> Command {
    let mut cargo = command(env!("CARGO"), &project());
    cargo.args(arguments);
    cargo
}

fn squall(arguments: &[&str]) -> Command {
    let mut squall = command(env!("CARGO_BIN_EXE_cargo-squall"), &project());
    squall.args(["squall", "--profile", "dev"]).args(arguments);
    squall
}

/// The built runner of the project's scenarios.
fn scenarios() -> &'static Path {
    static SCENARIOS: OnceLock<PathBuf> = OnceLock::new();
    SCENARIOS.get_or_init(|| {
        let text =
            run(&mut cargo(&["test", "--locked", "--test", "scenarios", "--no-run", "--message-format", "json"]), 0);
        let executables = text.lines().filter_map(|line| line.split_once("\"executable\":\"")).map(|(_, rest)| rest);
        executables.filter_map(|rest| rest.split('"').next()).next_back().expect("a program").into()
    })
}

fn runner(directory: &Path, arguments: &[&str]) -> Command {
    let mut runner = command(scenarios(), directory);
    runner.args(arguments);
    runner
}

#[test]
fn its_tests_pass() {
    let text = run(&mut cargo(&["test", "--locked"]), 0);
    for test in [
        "each_is_added_once",
        "in_processes_too",
        "whatever_is_added",
        "what_is_acknowledged_outlives_crashes",
        "what_is_synced_once_a_second_does_not",
        "what_is_written_is_there_after_a_restart",
        "a_signal_ends_it_and_a_kill_loses_nothing",
        "nothing_of_squall_is_in_it",
        "a_subscriber_of_a_node_s_own",
        "ledger::goals",
        "ledger::seeds::0..100",
        "expects::added-once",
    ] {
        assert!(text.lines().any(|line| line.contains(test) && line.ends_with("ok")), "{test} isn't in\n{text}");
    }
    // A bare word is a filter.
    let text = run(&mut cargo(&["test", "--locked", "forgetful"]), 0);
    assert!(text.contains("forgetful::regression::added-once-0x1a") && !text.contains("ledger::seeds"), "{text}");
}

/// What cargo-nextest asks of a test's program.
#[test]
fn the_runner_speaks_libtest_s_language() {
    let all = "forgetful::regression::added-once-0x1a: test\nforgetful::expects::added-once: test\n\
               ledger::goals: test\nledger::seeds::0..100: test\nledger::seeds::100..200: test\nledger::seeds::200..250: test\n";
    assert_eq!(run(&mut runner(&project(), &["--list", "--format", "terse"]), 0), all);
    assert_eq!(run(&mut runner(&project(), &["--list", "--format", "terse", "--ignored"]), 0), "");
    let text = run(&mut runner(&project(), &["ledger::seeds::0..100", "--nocapture", "--exact"]), 0);
    // Other scenarios aren't even looked at.
    assert!(text.contains("1 passed; 0 failed") && text.contains("3 filtered out"), "{text}");
    let text = run(&mut runner(&project(), &["seeds", "--skip", "0..100", "--test-threads", "1"]), 0);
    assert!(text.contains("2 passed"), "{text}");
    let text = run(&mut runner(&project(), &["ledger", "--exact"]), 0);
    assert!(text.contains("0 passed"), "a part of a name is no name: {text}");
}

/// Whoever copies the commands from a failing trial sees the same failure.
#[test]
fn a_failing_trial_says_how_to_run_it_again() {
    let place = tempfile::tempdir().expect("a directory");
    let file = |name: &str, text: &str| {
        let path = place.path().join(name);
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        std::fs::write(path, text).expect("a file");
    };
    let bad = "program = \"ledger\"\nseeds = \"0..250\"\n[args]\nremembers = false\n[network]\nloss = \"3%\"\n";
    file("scenarios/bad.toml", bad);
    file("scenarios/unreadable.toml", "program = \"leger\"\n");
    file("scenarios/harmless.toml", &format!("expect = \"added-once\"\n{}", bad.replace("3%", "0%")));
    file("scenarios/endless.toml", &format!("limit = {{ virtual = \"1ms\" }}\n{}", bad.replace("3%", "0%")));
    let text = run(&mut runner(place.path(), &["--test-threads", "1"]), 101);
    for expected in [
        "did you mean `ledger`?",
        "expected added-once to fail, but it didn't; 250 runs: 0 failed, 0 unknown",
        "nobody knows whether seed 0x0 of scenarios/endless.toml is right",
    ] {
        assert!(text.contains(expected), "{expected:?} isn't in\n{text}");
    }
    let text = run(&mut runner(place.path(), &["bad::seeds::0..100", "--exact"]), 101);
    let message = text.split_once("---- bad::seeds::0..100 ----").expect("a message").1.trim_start();
    let first_line = message.lines().next().expect("a line");
    let (seed, rest) = first_line.split_once(' ').expect("a command");
    assert_eq!(rest, "cargo test --test scenarios -- bad::seeds::0..100 --exact", "{text}");
    assert!(text.contains("(shrunk: ") && text.contains("is lost\n  minimal"), "{text}");
    let seed = seed.strip_prefix("SQUALL_SEED=").expect("a seed");
    let arguments = ["bad::seeds::0..100", "--exact"];
    let again = run(runner(place.path(), &arguments).env("SQUALL_SEED", seed), 101);
    assert!(again.contains("property added-once failed with seed") && again.contains("FAIL added-once at"), "{again}");
    // In another block that seed isn't.
    run(runner(place.path(), &["bad::seeds::200..250", "--exact"]).env("SQUALL_SEED", seed), 0);

    let (_, replay) = text.split_once("SQUALL_REPLAY=").expect("a file");
    let path = replay.split_whitespace().next().expect("a path").to_string();
    assert!(replay.contains("cargo test --test scenarios -- replay --exact"), "{text}");
    let replayed = run(runner(place.path(), &["replay", "--exact"]).env("SQUALL_REPLAY", &path), 101);
    assert!(replayed.contains("same: added-once fails"), "{replayed}");
    // Kept, it is a trial of its own, until the bug is mended.
    let kept = place.path().join("squall-regressions/bad");
    std::fs::create_dir_all(&kept).expect("a folder");
    std::fs::copy(&path, kept.join("kept.toml")).expect("a copy");
    run(&mut runner(place.path(), &["bad::regression::kept", "--exact"]), 101);
    file("scenarios/bad.toml", &bad.replace("false", "true"));
    run(&mut runner(place.path(), &["bad::regression::kept", "--exact"]), 0);
    let stale = std::fs::read_to_string(kept.join("kept.toml")).expect("text").replace("number = 1", "number = 99");
    std::fs::write(kept.join("kept.toml"), stale).expect("a file");
    let text = run(&mut runner(place.path(), &["bad::regression::kept", "--exact"]), 101);
    assert!(text.contains("stale: 1 of 1 perturbations matched nothing"), "{text}");

    let nothing = tempfile::tempdir().expect("a directory");
    let text = run(&mut runner(nothing.path(), &[]), 101);
    assert!(text.contains("there is no scenario file (NAME.toml) in scenarios"), "{text}");
}

/// The first line of a failing `#[squall::test]`, pasted into a shell.
#[test]
fn a_failing_test_s_first_line_runs_it_again() {
    let fails = |cargo: &mut Command| run(cargo.env("LEDGER_FORGETS", "1"), 101);
    let text = fails(&mut cargo(&["test", "--locked", "--test", "ledger", "each_is_added_once"]));
    let line = text.lines().find(|line| line.starts_with("SQUALL_SEED=")).expect("a command").to_string();
    let mut shell = command("sh", &project());
    shell.args(["-c", &line]);
    let again = fails(&mut shell);
    assert!(again.contains("property added-once failed with seed"), "{again}");
}

#[test]
fn cargo_squall_is_the_whole_command_line() {
    let text = run(&mut squall(&["list"]), 0);
    assert!(text.contains("ledger (scenarios/ledger.toml)") && text.contains("is there to fail: added-once"), "{text}");
    let out = tempfile::tempdir().expect("a directory");
    let explore = ["explore", "scenarios/ledger.toml", "--set", "args.remembers=false", "--out"];
    let text = run(squall(&explore).arg(out.path()), 100);
    let replay = text.lines().find_map(|line| line.strip_prefix("replay: ")).expect("a command");
    assert!(replay.starts_with("cargo squall replay "), "{replay}");
    let file = replay.rsplit(' ').next().expect("a file");
    let text = run(&mut squall(&["replay", file]), 100);
    assert!(text.contains("same: added-once fails, and the run is the one that was saved"), "{text}");
    run(&mut squall(&["run", "scenarios/ledger.toml", "--sed", "7"]), 2);
    run(&mut squall(&["explore", "scenarios/ledger.toml", "--set", "isolation=process"]), 0);
}

#[test]
fn a_project_without_scenarios_is_told_how_to_have_some() {
    let place = tempfile::tempdir().expect("a directory");
    let manifest = place.path().join("Cargo.toml");
    let write = |more: &str| {
        let text = format!("[package]\nname = \"kv\"\nversion = \"0.1.0\"\nedition = \"2024\"\n[workspace]\n{more}");
        std::fs::write(&manifest, text).expect("a file");
    };
    std::fs::create_dir(place.path().join("src")).expect("a folder");
    std::fs::write(place.path().join("src/lib.rs"), "").expect("a file");
    let squall = |arguments: &[&str]| {
        let mut squall = command(env!("CARGO_BIN_EXE_cargo-squall"), place.path());
        squall.args(arguments);
        squall
    };
    write("");
    let text = run(&mut squall(&["squall", "list"]), 2);
    assert!(text.contains("this package has no scenarios") && text.contains("harness = false"), "{text}");
    write("[package.metadata.squall]\ntarget = \"storms\"\n");
    let text = run(&mut squall(&["squall", "list"]), 2);
    assert!(text.contains("says that its target is \"storms\""), "{text}");
    let text = run(&mut squall(&["squall", "-p", "vk", "list"]), 2);
    assert!(text.contains("no package here is named \"vk\"; there are kv"), "{text}");
    assert!(run(&mut squall(&["squall"]), 2).contains("Usage: cargo squall"));
    assert!(run(&mut squall(&["squall", "--help"]), 0).contains("Usage: cargo squall"));
}

/// It becomes the command line, so a Ctrl-C is for that: what was found is told before the prompt is back.
#[cfg(unix)]
#[test]
fn an_interrupt_is_for_the_command_line() {
    run(&mut squall(&["list"]), 0);
    let mut explore = squall(&["explore", "scenarios/ledger.toml", "--for", "10m", "--no-check"]);
    let child = explore.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::null()).spawn();
    let child = child.expect("it starts");
    // Until it has become that: cargo may have to wait for another build in the same place.
    let is_cargo_squall = || {
        let program = std::fs::read_link(format!("/proc/{}/exe", child.id()));
        program.is_ok_and(|program| program == std::path::Path::new(env!("CARGO_BIN_EXE_cargo-squall")))
    };
    let began = std::time::Instant::now();
    while is_cargo_squall() && began.elapsed() < std::time::Duration::from_secs(600) {
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
    std::thread::sleep(std::time::Duration::from_secs(3));
    assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().expect("kill").success());
    let output = child.wait_with_output().expect("it ends");
    assert_eq!(output.status.code(), Some(130), "{}", said(&output));
    assert!(said(&output).contains("interrupted after "), "{}", said(&output));
}
