//! `replay --likelihood` and `report --likelihood`: how likely a failure is over time, in the terminal and before the page is written.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the repository")
}

const FAILURE: &str = "squall-regressions/payments/paid-once-0x1.toml";

fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_squall"));
    for variable in ["SQUALL_SEED", "SQUALL_HANG_AFTER", "CARGO", "LC_ALL", "LC_CTYPE", "LANG"] {
        command.env_remove(variable);
    }
    command.args(arguments).current_dir(root());
    command
}

#[track_caller]
fn squall(arguments: &[&str], locale: &str, code: i32) -> String {
    let output = command(arguments).env("LC_ALL", locale).output().expect("it starts");
    let said = String::from_utf8(output.stdout).expect("UTF-8");
    assert_eq!(output.status.code(), Some(code), "{said}\n{}", String::from_utf8_lossy(&output.stderr));
    said
}

#[test]
fn a_replay_shows_from_when_on_a_failure_is_inevitable() {
    let said = squall(&["replay", FAILURE, "--likelihood"], "C.UTF-8", 100);
    assert_eq!(said, squall(&["replay", FAILURE, "--likelihood=200"], "C.UTF-8", 100), "it is the same each time");
    let (run, curve) = said.split_once("\nhow likely paid-once fails, over time\n").expect("it is behind the run");
    assert!(run.contains("FAIL paid-once at 110.5 ms on bank"));
    let lines: Vec<&str> = curve.lines().collect();
    let marked: Vec<usize> = (0..lines.len()).filter(|index| lines[*index].starts_with('>')).collect();
    let [marked] = marked[..] else { panic!("one is marked:\n{curve}") };
    assert!(lines[marked].contains("0.010500000  ███") && lines[marked].contains("100 %  "), "{curve}");
    assert!(
        lines[marked - 1].ends_with("0.010500000  1. the answer to call 1 (Pay) from bank to alice is lost"),
        "{curve}"
    );
    // Before the loss it is as likely as the loss of the first call's answer, or of another's: a few of a hundred.
    let share = |line: &str| line.split("  ").find_map(|part| part.trim().strip_suffix(" %")?.parse::<f64>().ok());
    let before = share(lines[marked - 2]).expect("a share");
    assert!(before > 0.0 && before < 25.0, "{curve}");
    assert!(
        curve.contains("every one of 200 redraws") && curve.contains("at least 98.5 % would (95 % confidence)"),
        "{curve}"
    );
    assert!(curve.contains("was drawn again, 200 times.\n"), "{curve}");
}

#[test]
fn it_is_drawn_with_what_the_locale_has_and_in_colour_where_that_is_asked_for() {
    let ascii = squall(&["replay", FAILURE, "--likelihood=5"], "C", 100);
    let curve = ascii.split_once("how likely").expect("it is there").1;
    assert!(curve.is_ascii() && curve.contains("###"), "{curve}");
    assert!(!ascii.contains('\u{1b}'));
    let coloured = squall(&["replay", FAILURE, "--likelihood=29", "--color", "always"], "C", 100);
    assert!(coloured.contains("\u{1b}[1;31m>   0.0105"), "{coloured}");
}

#[test]
fn what_does_not_fail_has_no_likelihood_and_says_so() {
    let said = squall(&["replay", "scenarios/payments.toml", "--seed", "0", "--likelihood"], "C", 0);
    assert!(said.contains("likelihood: There is none: this run doesn't fail."), "{said}");
    // A run that isn't shrunk has one: the decision is one of several.
    let said = squall(&["replay", "scenarios/payments.toml", "--seed", "1", "--likelihood=29"], "C", 100);
    assert!(said.contains("every one of 29 redraws"), "{said}");
    let said = squall(&["replay", "scenarios/payments.toml", "--seed", "1", "--likelihood=28"], "C", 100);
    assert!(said.contains("each of 28 redraws failed: too few to say"), "{said}");
}

#[test]
fn wrong_numbers_of_draws_are_refused() {
    for draws in ["0", "-1", "x", "1.5", "100001", ""] {
        squall(&["replay", FAILURE, &format!("--likelihood={draws}")], "C", 2);
    }
    let place = tempfile::tempdir().expect("a directory");
    let page = place.path().join("page.html").display().to_string();
    for draws in ["-1", "x", "100001", ""] {
        squall(&["report", FAILURE, "--out", &page, "--likelihood", draws], "C", 2);
    }
    assert!(!Path::new(&page).exists());
    for draws in ["0", "1"] {
        squall(&["report", FAILURE, "--out", &page, "--likelihood", draws], "C", 0);
    }
}

/// The first interrupt ends it: each moment has as many draws as there were, and it says so.
#[cfg(unix)]
#[test]
fn an_interrupt_ends_it_early_and_what_was_drawn_is_told() {
    let place = tempfile::tempdir().expect("a directory");
    let page: PathBuf = place.path().join("page.html");
    let out = page.display().to_string();
    let replay: &[&str] = &["replay", FAILURE, "--likelihood=100000", "--message-format", "json"];
    let report: &[&str] = &["report", FAILURE, "--likelihood", "100000", "--out", &out];
    let start = |arguments: &&[&str]| {
        command(arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it starts")
    };
    let children: Vec<_> = [replay, report].iter().map(start).collect();
    std::thread::sleep(std::time::Duration::from_millis(1_500));
    for child in &children {
        let killed = Command::new("kill").args(["-INT", &child.id().to_string()]).status().expect("kill");
        assert!(killed.success());
    }
    let mut said = Vec::new();
    for child in children {
        let output = child.wait_with_output().expect("it ends");
        said.push(String::from_utf8(output.stdout).expect("UTF-8"));
        assert_eq!(output.status.code(), Some(130), "{said:?}");
    }
    let line: Value = serde_json::from_str(said[0].lines().next().expect("a line")).expect("JSON");
    let moments = line["moments"].as_array().expect("moments");
    let runs = moments[0]["runs"].as_u64().expect("a number");
    assert!(runs > 0 && runs < 100_000 && moments.iter().all(|moment| moment["runs"] == runs), "{line}");
    assert_eq!(line["reason"], "it was to be 100000 times, and was interrupted");
    assert!(std::fs::read_to_string(page).expect("a page").ends_with("</html>\n"));
}
