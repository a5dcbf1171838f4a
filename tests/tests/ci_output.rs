//! What CI systems read: JUnit's XML, GitHub's annotations and step summary.

use std::path::Path;
use std::process::{Command, Output};

use tempfile::TempDir;

const VARIABLES: [&str; 8] = [
    "SQUALL_SEED",
    "SQUALL_SEEDS",
    "SQUALL_JOBS",
    "SQUALL_HANG_AFTER",
    "CARGO",
    "CI",
    "GITHUB_ACTIONS",
    "GITHUB_STEP_SUMMARY",
];

fn scenario(place: &TempDir, program: &str, more: &str) -> String {
    let name = format!("{program}.toml");
    std::fs::write(place.path().join(&name), format!("program = \"{program}\"\nseeds = \"0..100\"\n{more}"))
        .expect("a file");
    name
}

fn squall(directory: &Path, arguments: &[&str], variables: &[(&str, &str)], code: i32) -> (String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_squall-odd"));
    command.args(arguments).current_dir(directory);
    for variable in VARIABLES {
        command.env_remove(variable);
    }
    let Output { status, stdout, stderr } = command.envs(variables.iter().copied()).output().expect("it starts");
    let (stdout, stderr) =
        (String::from_utf8_lossy(&stdout).into_owned(), String::from_utf8_lossy(&stderr).into_owned());
    assert_eq!(status.code(), Some(code), "stdout: {stdout}\nstderr: {stderr}");
    (stdout, stderr)
}

fn suite(path: &Path) -> quick_junit::TestSuite {
    let text = std::fs::read_to_string(path).expect("it was written");
    let mut report = quick_junit::Report::deserialize_from_str(&text).expect("JUnit");
    report.test_suites.remove(0)
}

fn failures(suite: &quick_junit::TestSuite) -> Vec<(String, String)> {
    let of_case = |case: &quick_junit::TestCase| match &case.status {
        quick_junit::TestCaseStatus::NonSuccess { description, .. } => {
            Some((case.name.as_str().to_string(), description.as_ref().map_or("", |text| text.as_str()).to_string()))
        }
        _ => None,
    };
    suite.test_cases.iter().filter_map(of_case).collect()
}

#[test]
fn junit_has_a_failure_for_each_property_with_its_replay() {
    let place = tempfile::tempdir().expect("a directory");
    let file = scenario(&place, "two-faults", "");
    squall(place.path(), &["explore", &file, "--junit", "out/result.xml"], &[], 100);
    let first = suite(&place.path().join("out/result.xml"));
    assert_eq!((first.name.as_str(), first.failures), ("two-faults", 2));
    let failed = failures(&first);
    for (case, property) in failed.iter().zip(["error", "panic"]) {
        assert_eq!(case.0, property);
        assert!(case.1.contains("replay: ") && case.1.contains(&format!("two-faults/{property}-0x")), "{}", case.1);
    }
    // What was saved runs first the next time, and has a case of its own.
    squall(place.path(), &["explore", &file, "--junit", "out/result.xml", "--seeds", "0..1"], &[], 100);
    let names: Vec<String> =
        failures(&suite(&place.path().join("out/result.xml"))).into_iter().map(|case| case.0).collect();
    let kept = ["error-0x1", "panic-0x4"].map(|stem| format!("squall-regressions/two-faults/{stem}.toml"));
    assert_eq!(names, kept);
    let files: Vec<_> = std::fs::read_dir(place.path().join("out")).expect("a directory").collect();
    assert_eq!(files.len(), 1, "{files:?}");
}

#[test]
fn junit_tells_what_is_neither_pass_nor_failure() {
    let place = tempfile::tempdir().expect("a directory");
    for (program, more, code, failed) in [
        ("calm", "", 0, &[][..]),
        ("endless", "limit = { virtual = \"1s\" }\n", 120, &["conclusive"]),
        ("counting", "", 110, &["repeats itself"]),
        ("calm", "expect = \"panic\"\n", 100, &["panic"]),
        ("waiting", "expect = \"deadlock\"\n", 0, &[]),
    ] {
        let file = scenario(&place, program, more);
        squall(place.path(), &["explore", &file, "--junit", "result.xml"], &[], code);
        let names: Vec<String> =
            failures(&suite(&place.path().join("result.xml"))).into_iter().map(|case| case.0).collect();
        assert_eq!(names, failed, "{program} {more}");
        let _ = std::fs::remove_dir_all(place.path().join("squall-regressions"));
    }
    // Before anything runs.
    let file = scenario(&place, "calm", "");
    let (stdout, stderr) = squall(place.path(), &["explore", &file, "--junit", "/dev/null/result.xml"], &[], 1);
    assert!(stderr.contains("can't be written") && stdout.is_empty(), "{stdout}{stderr}");
}

#[test]
fn github_gets_annotations_and_a_summary() {
    let place = tempfile::tempdir().expect("a directory");
    let file = scenario(&place, "two-faults", "");
    let path = place.path().join("summary.md");
    std::fs::write(&path, "before\n").expect("a file");
    let variables = [("GITHUB_ACTIONS", "true"), ("GITHUB_STEP_SUMMARY", path.to_str().expect("UTF-8"))];
    let (stdout, stderr) = squall(place.path(), &["explore", &file, "--message-format", "json"], &variables, 100);
    let errors: Vec<&str> = stderr.lines().filter(|line| line.starts_with("::error ")).collect();
    assert_eq!(errors.len(), 2, "{stderr}");
    assert!(errors[0].starts_with("::error title=two-faults%3A error,file=two-faults.toml::client returned an error"));
    assert!(errors[0].contains("%0Areplay: "), "{}", errors[0]);
    assert!(stdout.lines().all(|line| line.starts_with('{')), "data stays data: {stdout}");
    let summary = std::fs::read_to_string(&path).expect("text");
    assert!(summary.starts_with("before\n### ❌ squall: two\\-faults"), "{summary}");
    assert!(summary.contains("100 runs\\: 84 passed\\, 16 failed"), "{summary}");
    assert!(summary.contains("replay: ") && summary.contains("```text"), "{summary}");
    // Elsewhere nothing of it.
    let (_, stderr) = squall(place.path(), &["explore", &file], &[("GITHUB_ACTIONS", "false")], 100);
    assert!(!stderr.contains("::error"), "{stderr}");
    // A summary that can't be written is no failure of the exploration.
    let calm = scenario(&place, "calm", "");
    let variables = [("GITHUB_ACTIONS", "true"), ("GITHUB_STEP_SUMMARY", "/dev/null/summary")];
    let (_, stderr) = squall(place.path(), &["explore", &calm], &variables, 0);
    assert!(stderr.contains("note: the step's summary"), "{stderr}");
}
