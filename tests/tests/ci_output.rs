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
        ("silent", "", 120, &["is never said", "is said late", "conclusive"]),
    ] {
        let file = scenario(&place, program, more);
        squall(place.path(), &["explore", &file, "--junit", "result.xml"], &[], code);
        let names: Vec<String> =
            failures(&suite(&place.path().join("result.xml"))).into_iter().map(|case| case.0).collect();
        assert_eq!(names, failed, "{program} {more}");
        let _ = std::fs::remove_dir_all(place.path().join("squall-regressions"));
    }
    // Each of the properties says why it is open, and how that is seen.
    let file = scenario(&place, "silent", "");
    squall(place.path(), &["explore", &file, "--junit", "result.xml"], &[], 120);
    let suite_of_silent = suite(&place.path().join("result.xml"));
    assert_eq!((suite_of_silent.tests, suite_of_silent.failures), (4, 3));
    let failed = failures(&suite_of_silent);
    for (case, why) in failed.iter().zip(["nothing was heard of \"sentence\"", "the run ended at 0 ns, before 1 s"]) {
        assert!(case.1.contains(why) && case.1.contains("first that of seed 0x0\n"), "{}", case.1);
        assert!(case.1.contains("\nreplay: ") && case.1.contains("silent.toml --seed 0x0"), "{}", case.1);
    }
    // All of them are told of the run.
    assert!(failed[2].1.contains("is never said: ") && failed[2].1.contains("\nis said late: "), "{}", failed[2].1);
    // Where nothing ran, nothing is right.
    let file = scenario(&place, "answering", "");
    for nothing in [["--seeds", "5..5"], ["--for", "0s"]] {
        squall(place.path(), &["explore", &file, "--junit", "result.xml", nothing[0], nothing[1]], &[], 4);
        let suite = suite(&place.path().join("result.xml"));
        assert_eq!((suite.tests, suite.disabled), (1, 1), "{suite:?}");
        assert_eq!(suite.test_cases[0].name.as_str(), "answered");
    }
    // Before anything runs.
    let file = scenario(&place, "calm", "");
    let (stdout, stderr) = squall(place.path(), &["explore", &file, "--junit", "/dev/null/result.xml"], &[], 1);
    assert!(stderr.contains("can't be written") && stdout.is_empty(), "{stdout}{stderr}");
}

/// What is there and is no file is written to, as by any other program.
#[cfg(unix)]
#[test]
fn junit_goes_through_links_and_into_pipes() {
    let place = tempfile::tempdir().expect("a directory");
    let file = scenario(&place, "calm", "");
    let at = |name: &str| place.path().join(name);
    std::fs::create_dir(at("elsewhere")).expect("a directory");
    std::os::unix::fs::symlink("elsewhere/result.xml", at("link.xml")).expect("a link");
    for _ in 0..2 {
        squall(place.path(), &["explore", &file, "--junit", "link.xml"], &[], 0);
        assert!(at("link.xml").is_symlink());
        assert_eq!(suite(&at("elsewhere/result.xml")).name.as_str(), "calm");
    }
    assert!(Command::new("mkfifo").arg(at("pipe")).status().expect("mkfifo").success());
    let read = std::thread::spawn({
        let pipe = at("pipe");
        move || std::fs::read_to_string(pipe).expect("text")
    });
    squall(place.path(), &["explore", &file, "--junit", "pipe"], &[], 0);
    assert!(read.join().expect("it reads").contains("<testsuite name=\"calm\""));
    let (stdout, stderr) = squall(place.path(), &["explore", &file, "--junit", "/dev/stdout"], &[], 2);
    assert!(stdout.is_empty() && stderr.contains("standard output is for the results"), "{stderr}");
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

/// Of a failure that was kept, neither stale nor unknown is right: for the exit code, for JUnit, for GitHub.
#[test]
fn what_is_kept_and_is_neither_mended_nor_failing_is_told() {
    let place = tempfile::tempdir().expect("a directory");
    let file = scenario(&place, "undecided", "limit = { virtual = \"5s\" }\n");
    let directory = place.path();
    let run = |seed: &str| {
        let output = Command::new(env!("CARGO_BIN_EXE_squall-odd"))
            .args(["run", &file, "--seed", seed])
            .current_dir(directory)
            .output()
            .expect("it starts");
        output.status.code()
    };
    let seed_of = |code| (0..50).map(|seed| format!("{seed:#x}")).find(|seed| run(seed) == Some(code)).expect("a seed");
    let (passing, failing, unknown) = (seed_of(0), seed_of(100), seed_of(120));
    squall(directory, &["explore", &file, "--seed", &failing], &[], 100);
    let saved = directory.join(format!("squall-regressions/undecided/panic-{failing}.toml"));
    let text = std::fs::read_to_string(&saved).expect("it was saved");
    let other_seed = |seed: &str| text.replace(&format!("seed = \"{failing}\""), &format!("seed = \"{seed}\""));
    let nothing_like_it = "\n[[perturbation]]\nsays = \"a message that nobody sends is lost\"\nkind = \"loss\"\n\
                           flow = \"0000000000000001\"\nnumber = 1\nfingerprint = \"0000000000000002\"\nvalue = 1\n";
    for (kept, code, word) in [
        (other_seed(&unknown), 120, "unknown"),
        (other_seed(&passing) + nothing_like_it, 125, "stale"),
        (other_seed(&passing), 0, ""),
    ] {
        std::fs::write(&saved, kept).expect("a file");
        let arguments = ["explore", &file, "--seed", &passing, "--no-check", "--junit", "result.xml"];
        let (_, stderr) = squall(directory, &arguments, &[("GITHUB_ACTIONS", "true")], code);
        let failed = failures(&suite(&directory.join("result.xml")));
        if code == 0 {
            assert!(failed.is_empty() && !stderr.contains("::error"), "{failed:?}{stderr}");
        } else {
            assert!(failed.len() == 1 && failed[0].1.contains(word), "{failed:?}");
            assert!(stderr.contains("::error ") && stderr.contains(word), "{stderr}");
            assert_eq!(stderr.matches(&format!("{word}: ")).count(), 1, "{stderr}");
        }
    }
}

/// A stale file is looked for with the seed's own weather, then with the next seeds'.
#[test]
fn a_stale_failure_is_found_again_with_another_seed() {
    let place = tempfile::tempdir().expect("a directory");
    let file = scenario(&place, "two-faults", "");
    squall(place.path(), &["explore", &file, "--seeds", "1..2"], &[], 100);
    let saved = place.path().join("squall-regressions/two-faults/error-0x1.toml");
    let text = std::fs::read_to_string(&saved).expect("it was saved");
    let stale = text.replace("seed = \"0x1\"", "seed = \"0x2\"")
        + "\n[[perturbation]]\nsays = \"gone\"\nkind = \"loss\"\nflow = \"0000000000000001\"\nnumber = 1\n\
           fingerprint = \"0000000000000002\"\nvalue = 1\n";
    std::fs::write(&saved, &stale).expect("a file");
    let path = "squall-regressions/two-faults/error-0x1.toml";
    // Neither 0x2 nor 0x3 fails so.
    let (stdout, _) = squall(place.path(), &["regressions", "refresh", path, "--seeds", "1"], &[], 125);
    assert!(stdout.contains("fails with none of 1 seeds from 0x2 on"), "{stdout}");
    assert_eq!(std::fs::read_to_string(&saved).expect("text"), stale, "it stays as it was");
    let (stdout, _) = squall(place.path(), &["regressions", "refresh", path], &[], 0);
    assert!(stdout.contains("refreshed"), "{stdout}");
    let refreshed = std::fs::read_to_string(&saved).expect("text");
    assert!(!refreshed.contains("seed = \"0x2\"") && !refreshed.contains("[[perturbation]]"), "{refreshed}");
    // There are nearer failures of another property.
    assert!(refreshed.contains("property = \"error\""), "{refreshed}");
    let nearer = squall(place.path(), &["explore", &file, "--seeds", "2..10", "--no-shrink"], &[], 100).0;
    assert!(nearer.contains("FAIL panic in"), "{nearer}");
    squall(place.path(), &["replay", path], &[], 100);
}
