//! The options that show a run with lanes, or a part of it, and that write it as a picture.

use std::path::Path;
use std::process::{Command, Output};

fn squall(arguments: &[&str], variables: &[(&str, &str)]) -> Output {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the repository");
    let mut command = Command::new(env!("CARGO_BIN_EXE_squall"));
    for variable in ["SQUALL_SEED", "SQUALL_SEEDS", "SQUALL_JOBS", "SQUALL_HANG_AFTER", "LC_ALL", "LC_CTYPE", "LANG"] {
        command.env_remove(variable);
    }
    command.args(arguments).envs(variables.iter().copied()).current_dir(root).output().expect("it starts")
}

const FAILURE: &str = "squall-regressions/payments/paid-once-0x1.toml";

/// What it says, having ended so.
#[track_caller]
fn said(code: i32, arguments: &[&str]) -> String {
    let output = squall(arguments, &[]);
    let (out, err) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
    assert_eq!(output.status.code(), Some(code), "{out}\n{err}");
    if out.is_empty() { err } else { out }
}

#[test]
fn lanes_are_drawn_in_the_locales_characters_or_in_those_that_are_said() {
    let lanes = |option: &str, variables: &[(&str, &str)]| {
        let output = squall(&["replay", FAILURE, option], variables);
        assert_eq!(output.status.code(), Some(100));
        String::from_utf8(output.stdout).unwrap().contains("●◀──────●  call 1 Pay")
    };
    for (variables, is_unicode) in [
        (&[("LANG", "de_DE.UTF-8")][..], true),
        (&[("LC_CTYPE", "C.utf8"), ("LANG", "C")], true),
        (&[("LC_ALL", "C"), ("LANG", "en_US.UTF-8")], false),
        (&[("LC_ALL", ""), ("LANG", "en_US.UTF-8@euro")], true),
        (&[("LANG", "de_DE.ISO-8859-1")], false),
        (&[("LANG", "C")], false),
        (&[], cfg!(windows)),
    ] {
        assert_eq!(lanes("--lanes", variables), is_unicode, "{variables:?}");
        assert!(lanes("--lanes=unicode", variables));
        assert!(!lanes("--lanes=ascii", variables));
    }
    assert!(said(100, &["replay", FAILURE, "--lanes=ascii"]).contains("o<------o  call 1 Pay"));
    assert!(said(100, &["run", "scenarios/payments.toml", "--seed", "1", "--lanes"]).contains("publishes debited"));
    assert!(said(2, &["replay", FAILURE, "--lanes=x"]).contains("possible values: auto, unicode, ascii"));
}

#[test]
fn a_run_is_shown_up_to_a_step_or_around_one() {
    let until = said(100, &["replay", FAILURE, "--until", "14"]);
    assert!(until.contains("-> alice:57031 answer 1 Pay") && !until.contains("lost by the link\n      "), "{until}");
    assert!(until.contains("\nat step 14, 10.5 ms:\n  up          bank, alice\n  under way   1 message\n"), "{until}");
    // Its verdict is still that of the whole run.
    assert!(until.contains("FAIL paid-once at 110.5 ms on bank"), "{until}");
    // Before or after the file, which is never taken for a step.
    let around = said(100, &["replay", "--around", FAILURE, "--context", "1"]);
    assert_eq!(around, said(100, &["replay", FAILURE, "--around", "--context", "1"]));
    let steps: Vec<&str> = around
        .lines()
        .skip_while(|line| !line.contains("step  "))
        .skip(1)
        .take_while(|line| !line.is_empty())
        .map(|line| line[1..].split_whitespace().next().unwrap())
        .collect();
    assert_eq!(steps, ["23", "24", "25"], "{around}");
    assert!(said(100, &["replay", FAILURE, "--around=14", "--context", "0"]).contains("answer 1 Pay (3 bytes)"));
}

#[test]
fn a_step_that_isnt_there_is_a_mistake() {
    for (arguments, expected) in [
        (&["--until", "0"][..], "the run has no step 0: it has steps 1 to 27"),
        (&["--until", "28"], "the run has no step 28: it has steps 1 to 27"),
        (&["--until", "99999999999999999999"], "invalid value '99999999999999999999' for '--until <STEP>'"),
        (&["--until", "-1"], "invalid value '-1' for '--until <STEP>'"),
        (&["--until", "1", "--around"], "cannot be used with"),
        (&["--around=0"], "the run has no step 0: it has steps 1 to 27"),
        (&["--around=28"], "the run has no step 28: it has steps 1 to 27"),
        (&["--around=soon"], "expected the number of a step, or nothing for the failure's, found \"soon\""),
        (&["--context", "3"], "--around"),
    ] {
        let said = said(2, &[&["replay", FAILURE], arguments].concat());
        assert!(said.contains(expected), "{arguments:?}: {said}");
    }
    for last in ["1", "27"] {
        said(100, &["replay", FAILURE, "--until", last]);
    }
    let passes = ["run", "scenarios/request_response.toml", "--seed", "7", "--around"];
    assert!(said(2, &passes).contains("the run doesn't fail at any step: it has steps 1 to "));
}

#[test]
fn pictures_are_written_beside_the_results() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name).display().to_string();
    let (svg, part, json) = (path("a.svg"), path("b.svg"), path("a.json"));
    said(100, &["replay", FAILURE, "--svg", &svg, "--perfetto", &json]);
    said(100, &["run", "scenarios/payments.toml", "--seed", "1", "--around", "--context", "0", "--svg", &part]);
    let read = |path: &str| std::fs::read_to_string(path).unwrap();
    assert!(read(&svg).starts_with("<svg xmlns=") && read(&svg).contains("FAIL paid-once"));
    assert!(read(&svg).len() < 10_000, "{}", read(&svg).len());
    assert_eq!(read(&part).matches("<circle").count(), 2, "the failing event and its ring");
    let json: serde_json::Value = serde_json::from_str(&read(&json)).unwrap();
    assert!(json["traceEvents"].as_array().unwrap().len() > 10);
    // Where nothing can be written nothing runs; standard output is for the results.
    let nowhere = path("no/such/folder.svg");
    assert!(said(1, &["replay", FAILURE, "--svg", &nowhere]).contains("can't be written"));
    assert!(said(1, &["replay", FAILURE, "--perfetto", &nowhere]).contains("can't be written"));
    assert!(said(2, &["replay", FAILURE, "--svg", "/dev/stdout"]).contains("standard output is for the results"));
    // A wrong step leaves no half file.
    said(2, &["replay", FAILURE, "--until", "0", "--svg", &path("c.svg")]);
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 3);
}
