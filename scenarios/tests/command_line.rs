//! What the README promises: the two commands that a newcomer types first.

use std::path::Path;
use std::process::{Command, Output};

fn squall(arguments: &[&str]) -> Output {
    squall_with(arguments, &[])
}

fn squall_with(arguments: &[&str], variables: &[(&str, &str)]) -> Output {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the repository");
    let mut command = Command::new(env!("CARGO_BIN_EXE_squall"));
    for variable in ["SQUALL_SEED", "SQUALL_SEEDS", "SQUALL_JOBS", "SQUALL_HANG_AFTER", "GITHUB_ACTIONS"] {
        command.env_remove(variable);
    }
    // Failures go below target/, not over the ones that are committed.
    command.env("CI", "true");
    command.args(arguments).envs(variables.iter().copied()).current_dir(root).output().expect("it starts")
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).expect("UTF-8")
}

#[test]
fn exploring_payments_finds_the_double_payment_as_it_should() {
    // As `cargo run` sets it.
    let output = squall_with(&["explore", "scenarios/payments.toml"], &[("CARGO", "cargo"), ("CARGO_PKG_NAME", "x")]);
    let said = text(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{said}\n{}", text(&output.stderr));
    for expected in [
        "repeats itself: after another seed, and in a fresh process",
        "-> bank:80 call 1 Pay",
        "FAIL paid-once at ",
        "shrunk: 7 perturbations -> 1, ",
        "minimal: without it the property holds",
        "the answer to call 1 (Pay) from bank to alice is lost\n",
        " -- replay target/squall/payments/paid-once-0x1.toml",
        "replay: cargo run ",
        "1000 runs in ",
        "as expected: paid-once failed, and nothing else did",
    ] {
        assert!(said.contains(expected), "no {expected:?} in:\n{said}");
    }
    let repaired = squall(&["explore", "scenarios/payments_repaired.toml"]);
    assert_eq!(repaired.status.code(), Some(0));
    assert!(text(&repaired.stdout).contains("1000 passed, 0 failed, 0 unknown"), "{}", text(&repaired.stdout));
}

#[test]
fn the_simplest_case_is_printed_step_by_step() {
    let output = squall(&["run", "scenarios/request_response.toml", "--seed", "7"]);
    let said = text(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{said}");
    for expected in ["-> server:80 call 1 Ask", "<- client-0 call 1 Ask after ", "client-0 returns", "PASS"] {
        assert!(said.contains(expected), "no {expected:?} in:\n{said}");
    }
}

/// What it is there for comes first.
#[test]
fn the_help_of_replay_names_a_failure_file() {
    let output = squall(&["replay", "--help"]);
    assert!(
        text(&output.stdout).contains("A failure file; or a scenario file, with --seed"),
        "{}",
        text(&output.stdout)
    );
    let output = squall(&["run", "--help"]);
    assert!(text(&output.stdout).contains("A scenario file"), "{}", text(&output.stdout));
}

#[test]
fn every_scenario_file_is_listed() {
    let output = squall(&["list", "--message-format", "json"]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    for name in ["\"payments\"", "\"payments_repaired\"", "\"request_response\""] {
        assert!(text(&output.stdout).contains(name));
    }
}

/// Whatever README.md shows of the first command is what the command prints.
#[test]
fn the_readme_shows_what_is_printed() {
    let readme = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../README.md")).expect("a README");
    let (_, behind) = readme.split_once("```text\n").expect("a sample");
    let (sample, _) = behind.split_once("```").expect("its end");
    let output = squall(&["explore", "scenarios/payments.toml", "--jobs", "2"]);
    let said = text(&output.stdout);
    // What depends on the machine, or on how the program was called.
    let varies = |line: &&str| line.contains("replay: ") || line.contains(" runs in ") || line.contains(" s)");
    let expected: Vec<&str> = sample.lines().filter(|line| !varies(line)).collect();
    assert!(expected.len() > 25, "{sample}");
    for line in expected {
        assert!(said.lines().any(|printed| printed == line), "README.md has {line:?}, but the command prints:\n{said}");
    }
    let (_, counts) = sample.split_once(" s: ").expect("the counts");
    let counts = counts.lines().next().expect("a line");
    assert!(said.contains(counts), "README.md has {counts:?}, but the command prints:\n{said}");
}

/// What docs/properties.md says of a livelock is what the command says.
#[test]
fn the_page_on_properties_shows_what_is_printed() {
    let page =
        std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/properties.md")).expect("a page");
    let (_, behind) = page.split_once("```text\n").expect("a sample");
    let (sample, _) = behind.split_once("```").expect("its end");
    let output = squall(&["run", "scenarios/lock.toml", "--seed", "0x24"]);
    assert_eq!(output.status.code(), Some(100), "{}", text(&output.stderr));
    let in_one_line = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    let said = in_one_line(text(&output.stdout));
    assert!(said.contains(&in_one_line(sample)), "docs/properties.md has {sample:?}, but the command prints:\n{said}");
}

/// Whatever docs/failures.md shows is what the command prints and writes.
#[test]
fn the_page_on_failures_shows_what_is_printed_and_written() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let page = std::fs::read_to_string(root.join("docs/failures.md")).expect("a page");
    let sample = |opening: &str| {
        let (_, behind) = page.split_once(opening).expect("a sample");
        behind.split_once("```").expect("its end").0.to_string()
    };
    let place = tempfile::tempdir().expect("a directory");
    let out = place.path().display().to_string();
    let output = squall(&["explore", "scenarios/payments.toml", "--out", &out]);
    let said = text(&output.stdout);
    for line in sample("```text\n").lines().filter(|line| !line.contains(" s)") && !line.starts_with("replay: ")) {
        assert!(
            said.lines().any(|printed| printed == line),
            "docs/failures.md has {line:?}, but the command prints:\n{said}"
        );
    }
    let kept = std::fs::read_to_string(root.join("squall-regressions/payments/paid-once-0x1.toml")).expect("a file");
    assert!(kept.ends_with(&sample("```toml\n")), "docs/failures.md shows another file than\n{kept}");
    let written = std::fs::read_to_string(place.path().join("payments/paid-once-0x1.toml")).expect("it was saved");
    let of_any_build = |file: &str| -> Vec<String> {
        file.lines().filter(|line| !line.starts_with("build = ")).map(str::to_string).collect()
    };
    assert_eq!(of_any_build(&written), of_any_build(&kept), "the failure that is kept is another one by now");
    assert_ne!(written.lines().count(), of_any_build(&written).len(), "it says its build");
}
