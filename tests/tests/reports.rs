//! Pages from the command line: that they are written, and how the commands end. What is in them is looked at in `tests/e2e`.

use std::path::Path;
use std::process::{Command, Output};

use tempfile::TempDir;

fn squall(directory: &Path, arguments: &[&str], code: i32) -> (String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_squall-odd"));
    command.args(arguments).current_dir(directory);
    for variable in ["SQUALL_SEED", "SQUALL_SEEDS", "SQUALL_JOBS", "SQUALL_HANG_AFTER", "CARGO", "CI"] {
        command.env_remove(variable);
    }
    let Output { status, stdout, stderr } = command.output().expect("it starts");
    let (stdout, stderr) =
        (String::from_utf8_lossy(&stdout).into_owned(), String::from_utf8_lossy(&stderr).into_owned());
    assert_eq!(status.code(), Some(code), "stdout: {stdout}\nstderr: {stderr}");
    (stdout, stderr)
}

fn place(program: &str) -> TempDir {
    let place = tempfile::tempdir().expect("a directory");
    let file = place.path().join("scenario.toml");
    std::fs::write(file, format!("program = \"{program}\"\nseeds = \"0..20\"\n")).expect("a file");
    place
}

fn is_page(path: &Path) -> bool {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    text.starts_with("<!doctype html>") && text.ends_with("</html>\n") && text.contains("default-src 'none'")
}

#[test]
fn explore_writes_a_page_beside_each_failure_and_report_writes_it_again() {
    let place = place("hostile");
    let here = place.path();
    let (_, stderr) = squall(here, &["explore", "scenario.toml", "--max-failures", "1", "--report", "pages"], 100);
    let pages: Vec<_> = std::fs::read_dir(here.join("pages")).expect("pages").flatten().collect();
    assert_eq!(pages.len(), 2, "that of the failure, and that of the campaign");
    assert!(pages.iter().all(|page| is_page(&page.path())));
    assert!(stderr.contains("page: pages/scenario-"), "{stderr}");
    let kept: Vec<_> = std::fs::read_dir(here.join("squall-regressions/scenario")).expect("kept").flatten().collect();
    let failure = kept[0].path();
    let failure = failure.to_str().expect("a name");

    let report = ["report", failure, "--out", "page.html", "--message-format", "json"];
    let (stdout, _) = squall(here, &report, 0);
    assert!(is_page(&here.join("page.html")));
    let last: serde_json::Value = serde_json::from_str(stdout.lines().last().expect("a line")).expect("JSON");
    assert_eq!(
        (&last["event"], &last["outcome"], &last["verdict"], &last["page"]),
        (&"report-finished".into(), &"same".into(), &"fail".into(), &"page.html".into())
    );
}

#[test]
fn what_cannot_be_is_said_before_anything_is_written() {
    let place = place("calm");
    let here = place.path();
    squall(here, &["report", "scenario.toml"], 2);
    let (_, stderr) = squall(here, &["report", "scenario.toml", "--out", "page.html"], 2);
    assert!(stderr.contains("scenario.toml"), "{stderr}");
    squall(here, &["report", "nowhere.toml", "--out", "page.html"], 2);
    assert!(!here.join("page.html").exists());
    let (_, stderr) = squall(here, &["run", "scenario.toml", "--report", "no/such/page.html"], 1);
    assert!(stderr.contains("no/such/page.html can't be written"), "{stderr}");
    squall(here, &["explore", "scenario.toml", "--report", "scenario.toml"], 1);
}

#[test]
fn a_run_that_passes_has_a_page_too() {
    let place = place("calm");
    let here = place.path();
    squall(here, &["run", "scenario.toml", "--report", "page.html"], 0);
    assert!(is_page(&here.join("page.html")));
    squall(here, &["explore", "scenario.toml", "--report", "pages"], 0);
    let pages: Vec<_> = std::fs::read_dir(here.join("pages")).expect("the directory").flatten().collect();
    assert_eq!(pages.len(), 1, "nothing failed");
    assert_eq!(pages[0].file_name(), "index.html");
}

/// A run that takes its process with it is drawn again in others; one that hangs would take too long.
#[test]
fn a_run_that_ends_its_process_has_a_likelihood_and_one_that_hangs_says_why_it_has_none() {
    for (program, said) in [
        ("killing", "each of 2 redraws failed: too few to say"),
        ("spinning", "likelihood: It can't be drawn: a run that hangs takes too long"),
    ] {
        let place = place(program);
        let isolated = ["--set", "isolation=process", "--hang-after", "100ms"];
        let replay = ["replay", "scenario.toml", "--seed", "0", "--likelihood=2"];
        let (stdout, _) = squall(place.path(), &[&replay[..], &isolated].concat(), 100);
        assert!(stdout.contains(said), "{stdout}");
    }
}
