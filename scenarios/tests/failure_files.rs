//! Failures from the command line: saved, replayed, edited, shrunk, run first.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

/// A directory with the scenarios in it, and nothing else.
struct Checkout(tempfile::TempDir);

impl Checkout {
    fn new() -> Checkout {
        let directory = tempfile::tempdir().expect("a directory");
        let scenarios = directory.path().join("scenarios");
        std::fs::create_dir(&scenarios).expect("a directory");
        let own = Path::new(env!("CARGO_MANIFEST_DIR"));
        for name in ["payments.toml", "payments_repaired.toml", "lock.toml"] {
            std::fs::copy(own.join(name), scenarios.join(name)).expect("a copy");
        }
        Checkout(directory)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn squall(&self, arguments: &[&str]) -> Output {
        self.squall_in(self.0.path(), arguments, &[])
    }

    fn squall_in(&self, directory: &Path, arguments: &[&str], variables: &[(&str, &str)]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_squall"));
        for variable in ["SQUALL_SEED", "SQUALL_SEEDS", "SQUALL_JOBS", "SQUALL_HANG_AFTER", "CI", "GITHUB_ACTIONS"] {
            command.env_remove(variable);
        }
        command.args(arguments).envs(variables.iter().copied()).current_dir(directory).output().expect("it starts")
    }

    /// A checkout in which payments was explored.
    fn explored() -> Checkout {
        let checkout = Checkout::new();
        let output = checkout.squall(&["explore", "scenarios/payments.toml", "--no-check"]);
        assert_eq!(output.status.code(), Some(0), "{}", said(&output));
        checkout
    }

    fn edit(&self, file: &str, from: &str, to: &str) {
        let text = std::fs::read_to_string(self.path(file)).expect("the file");
        assert!(text.contains(from), "{text}");
        std::fs::write(self.path(file), text.replacen(from, to, 1)).expect("it can be written");
    }

    /// The outcome and the exit code of a replay.
    fn replay(&self, arguments: &[&str]) -> (String, i32) {
        let output = self.squall(&[&["replay", SAVED, "--message-format", "json"], arguments].concat());
        let line = last_line(&output);
        (line["outcome"].as_str().expect("an outcome").to_string(), output.status.code().expect("a code"))
    }
}

const SAVED: &str = "squall-regressions/payments/paid-once-0x1.toml";

fn said(output: &Output) -> String {
    format!("{}\n{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

fn last_line(output: &Output) -> Value {
    let text = std::str::from_utf8(&output.stdout).expect("UTF-8");
    let line = text.lines().last().unwrap_or_else(|| panic!("nothing was said:\n{}", said(output)));
    serde_json::from_str(line).expect("JSON")
}

#[test]
fn what_fails_is_shrunk_to_the_lost_answer_and_replays_elsewhere() {
    let checkout = Checkout::explored();
    let text = std::fs::read_to_string(checkout.path(SAVED)).expect("it was saved");
    assert_eq!(text.matches("[[perturbation]]").count(), 1, "{text}");
    assert!(text.contains("says = \"the answer to call 1 (Pay) from bank to alice is lost\""), "{text}");
    assert_eq!(checkout.replay(&[]), ("same".to_string(), 100));

    // In another directory of the checkout, and in another checkout.
    let elsewhere = checkout.path("deep/down");
    std::fs::create_dir_all(&elsewhere).expect("a directory");
    let output = checkout.squall_in(&elsewhere, &["replay", &format!("../../{SAVED}")], &[]);
    assert_eq!(output.status.code(), Some(100), "{}", said(&output));
    let another = Checkout::new();
    std::fs::write(another.path("paid.toml"), text).expect("it can be written");
    let output = another.squall(&["replay", "paid.toml"]);
    assert_eq!(output.status.code(), Some(100), "{}", said(&output));
    assert!(said(&output).contains("same: paid-once fails"), "{}", said(&output));
}

#[test]
fn a_replay_says_what_it_found() {
    let checkout = Checkout::explored();
    // A value that plays no part: the property still fails, in another run.
    checkout.edit("scenarios/payments.toml", "timeout  = \"100ms\"", "timeout  = \"90ms\"");
    assert_eq!(checkout.replay(&[]), ("differs".to_string(), 100));
    checkout.edit("scenarios/payments.toml", "timeout  = \"90ms\"", "timeout  = \"100ms\"");

    // The entry is taken away: nothing is lost any more.
    let whole = std::fs::read_to_string(checkout.path(SAVED)).expect("the file");
    let (head, _) = whole.split_once("[[perturbation]]").expect("an entry");
    std::fs::write(checkout.path(SAVED), format!("{head}# end\n")).expect("it can be written");
    assert_eq!(checkout.replay(&[]), ("gone".to_string(), 0));
    std::fs::write(checkout.path(SAVED), &whole).expect("it can be written");

    // Squall itself may be another one.
    checkout.edit(SAVED, "squall = \"0.1.0\"", "squall = \"0.0.9\"");
    // It speaks of a message that isn't there.
    checkout.edit(SAVED, "number = 1", "number = 77");
    assert_eq!(checkout.replay(&[]), ("stale".to_string(), 125));
    let output = checkout.squall(&["replay", SAVED]);
    assert!(said(&output).contains("stale: 1 of 1 perturbations matched nothing"), "{}", said(&output));
    assert!(said(&output).contains("unmatched: the answer to call 1 (Pay)"), "{}", said(&output));
    assert!(said(&output).contains("it was saved by Squall 0.0.9, and this is 0.1.0"), "{}", said(&output));
    let output = checkout.squall(&["shrink", SAVED]);
    assert_eq!(output.status.code(), Some(125), "{}", said(&output));
    assert!(said(&output).contains("there is nothing to shrink; stale: 1 of 1"), "{}", said(&output));
}

#[test]
fn a_wrong_failure_file_is_told_with_its_place_and_runs_nothing() {
    let checkout = Checkout::explored();
    let whole = std::fs::read_to_string(checkout.path(SAVED)).expect("the file");
    for (from, to, expected) in [
        ("format = 1", "format = 9", "format 9"),
        ("kind = \"loss\"", "kind = \"los\"", "unknown variant `los`"),
        ("seed = \"0x1\"", "seed = \"one\"", "seed"),
        ("number = 1", "numero = 1", "numero"),
        ("scenario = \"payments\"", "scenario = \"others\"", "is a failure of scenario \"others\""),
        ("file = \"scenarios/payments.toml\"", "file = \"scenarios/none.toml\"", "none.toml isn't here"),
        ("weather = \"calm\"", "weather = \"ca", "TOML parse error at line"),
        ("value = 1", "value = 1\n\n[parameters]\n\"network.los\" = \"5%\"", "network.los"),
    ] {
        std::fs::write(checkout.path(SAVED), &whole).expect("it can be written");
        checkout.edit(SAVED, from, to);
        for command in ["replay", "shrink"] {
            let output = checkout.squall(&[command, SAVED]);
            assert_eq!(output.status.code(), Some(2), "{to}: {}", said(&output));
            // Whatever the width at which it is broken into lines.
            let told = said(&output).replace('│', " ").split_whitespace().collect::<Vec<_>>().join(" ");
            assert!(told.contains(expected), "{to}: {}", said(&output));
            assert!(output.stdout.is_empty(), "{to}: {}", said(&output));
        }
    }
    // Cut off anywhere, it is either refused, or (between two values) a file of fewer.
    for length in (0..whole.len()).step_by(23) {
        std::fs::write(checkout.path(SAVED), &whole[..length]).expect("it can be written");
        let output = checkout.squall(&["shrink", SAVED]);
        assert!(!said(&output).contains("panicked"), "cut at {length}: {}", said(&output));
        assert!(matches!(output.status.code(), Some(1 | 2)), "cut at {length}: {}", said(&output));
    }
    std::fs::write(checkout.path(SAVED), &whole).expect("it can be written");
    for option in [["--seed", "2"], ["--set", "network.loss=1%"], ["--strategy", "fifo"]] {
        let output = checkout.squall(&["replay", SAVED, option[0], option[1]]);
        assert_eq!(output.status.code(), Some(2), "{option:?}: {}", said(&output));
    }
    // The programs of others may have an argument of that name.
    checkout.edit("scenarios/payments.toml", "[args]\n", "[args]\nformat = 1\n");
    let output = checkout.squall(&["replay", "scenarios/payments.toml", "--seed", "1"]);
    assert!(said(&output).contains("format") && !said(&output).contains("failure"), "{}", said(&output));
    let output = checkout.squall(&["replay", "scenarios/payments.toml"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(said(&output).contains("needs a seed"), "{}", said(&output));
}

/// Settings of a failure file are told with their place in it, whoever reads it.
#[test]
fn a_wrong_parameter_of_a_failure_file_is_told_in_that_file() {
    let checkout = Checkout::explored();
    let saved = std::fs::read_to_string(checkout.path(SAVED)).expect("the file");
    for (parameter, expected, column) in [
        ("\"network.lss\" = \"5%\"", "unknown key `lss`", 10),
        ("\"network.loss\" = \"500%\"", "500%", 19),
        ("\"network.loss\" = \"50\\u0030%\"", "500%", 18),
        ("\"args\" = \"\"", "no value", 10),
    ] {
        let text = saved.replace("[[perturbation]]", &format!("[parameters]\n{parameter}\n\n[[perturbation]]"));
        std::fs::write(checkout.path(SAVED), &text).expect("it can be written");
        let line = text.lines().position(|line| line == parameter).expect("it is there") + 1;
        for command in [&["replay", SAVED][..], &["explore", "scenarios/payments.toml"], &["shrink", SAVED]] {
            let output = checkout.squall(command);
            assert_eq!(output.status.code(), Some(2), "{}", said(&output));
            let said = said(&output).split_whitespace().filter(|word| *word != "│").collect::<Vec<_>>().join(" ");
            let said = said.replace("/ ", "/");
            assert!(said.contains(&format!("{SAVED}: its scenario scenarios/payments.toml can't be read")), "{said}");
            assert!(said.contains(expected) && !said.contains("--set"), "{said}");
            assert!(said.contains(&format!("[{SAVED}:{line}:{column}]")), "{said}");
        }
    }
}

#[test]
fn what_was_saved_runs_first_and_counts() {
    let checkout = Checkout::explored();
    let explore = |arguments: &[&str]| {
        checkout
            .squall(&[&["explore", "scenarios/payments.toml", "--no-check", "--seeds", "15..17"], arguments].concat())
    };
    // None of these seeds fails, but the saved one does: the canary still sings.
    let output = explore(&[]);
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    assert!(said(&output).contains("1 saved failure before them: 1 the same"), "{}", said(&output));
    let line = last_line(&explore(&["--message-format", "json"]));
    // The counts are the seeds', whatever lies in the directory: shards can be merged.
    assert_eq!(
        (&line["runs"], &line["failed"], &line["failures"]),
        (&2.into(), &0.into(), &Value::Array(vec![])),
        "{line}"
    );
    // Nothing else ran, and the saved one fails as it should: nothing is known of the seeds.
    let nothing = ["explore", "scenarios/payments.toml", "--no-check", "--seeds", "5..5"];
    assert_eq!(checkout.squall(&nothing).status.code(), Some(4));

    // It fails where nothing is to fail: that isn't hidden by a range without seeds.
    checkout.edit("scenarios/payments.toml", "expect  = \"paid-once\"\n", "");
    assert_eq!(checkout.squall(&nothing).status.code(), Some(100));
    // Stale, it doesn't pass unnoticed.
    checkout.edit(SAVED, "number = 1", "number = 77");
    let output = explore(&[]);
    assert_eq!(output.status.code(), Some(125), "{}", said(&output));
    // And a damaged one is told before anything runs.
    checkout.edit(SAVED, "kind = \"loss\"", "kind = \"lost\"");
    assert_eq!(explore(&[]).status.code(), Some(2));
}

#[test]
fn what_is_stale_is_found_again_nearby() {
    let checkout = Checkout::explored();
    let whole = std::fs::read_to_string(checkout.path(SAVED)).expect("the file");
    let refresh = |arguments: &[&str]| {
        let output = checkout.squall(&[&["regressions", "refresh", "--message-format", "json"], arguments].concat());
        (last_line(&output), output.status.code())
    };
    let (line, code) = refresh(&[]);
    assert_eq!((&line["files"], &line["refreshed"], &line["stale"], code), (&1.into(), &0.into(), &0.into(), Some(0)));

    checkout.edit(SAVED, "number = 1", "number = 77");
    let (line, code) = refresh(&[]);
    assert_eq!((&line["refreshed"], &line["stale"], code), (&1.into(), &0.into(), Some(0)), "{line}");
    assert_eq!(
        std::fs::read_to_string(checkout.path(SAVED)).expect("the file"),
        whole,
        "the same seed, the same cause"
    );

    // Where nothing fails any more, it stays as it is.
    checkout.edit(SAVED, "number = 1", "number = 77");
    checkout.edit("scenarios/payments.toml", "loss    = \"3%\"", "loss    = \"0%\"");
    let stale = std::fs::read_to_string(checkout.path(SAVED)).expect("the file");
    let (line, code) = refresh(&[SAVED, "--seeds", "20"]);
    assert_eq!((&line["refreshed"], &line["stale"], code), (&0.into(), &1.into(), Some(125)), "{line}");
    assert_eq!(std::fs::read_to_string(checkout.path(SAVED)).expect("the file"), stale);
}

#[test]
fn in_ci_failures_go_where_they_are_uploaded_from() {
    let checkout = Checkout::new();
    let arguments = ["explore", "scenarios/payments.toml", "--no-check"];
    let output = checkout.squall_in(checkout.0.path(), &arguments, &[("CI", "true")]);
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    assert!(checkout.path("target/squall/payments/paid-once-0x1.toml").is_file());
    assert!(!checkout.path("squall-regressions").exists());
}

#[test]
fn an_edited_failure_is_shrunk_again() {
    let checkout = Checkout::explored();
    // More than is needed: the request is slow as well.
    let text = std::fs::read_to_string(checkout.path(SAVED)).expect("the file");
    let entry = text.find("[[perturbation]]").expect("an entry");
    let more = text[entry..].replace("kind = \"loss\"", "kind = \"latency\"").replace("value = 1", "value = 9000000");
    std::fs::write(checkout.path("more.toml"), format!("{text}\n{more}")).expect("it can be written");
    let output = checkout.squall(&["shrink", "more.toml", "--message-format", "json"]);
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    let line = last_line(&output);
    assert_eq!((&line["after"], &line["minimal"]), (&1.into(), &true.into()), "{line}");
    let (shrunk, saved) = (checkout.path("more.toml"), checkout.path(SAVED));
    assert_eq!(std::fs::read_to_string(shrunk).unwrap(), std::fs::read_to_string(saved).unwrap());

    for runs in ["0", "1", "2"] {
        let output = checkout.squall(&["shrink", SAVED, "--shrink-runs", runs, "--out", "short.toml"]);
        assert_eq!(output.status.code(), Some(0), "{}", said(&output));
        assert!(said(&output).contains("not minimal"), "{}", said(&output));
        let text = std::fs::read_to_string(checkout.path("short.toml")).expect("it was written");
        assert!(text.contains("minimal = \"unproved\"") && text.contains("kind = \"loss\""), "{text}");
    }
}

/// What another version or build has saved is told as such, whatever comes of it.
#[test]
fn another_version_or_build_is_told_whatever_is_found() {
    let checkout = Checkout::explored();
    let own = said(&checkout.squall(&["replay", SAVED]));
    assert!(!own.contains("it was saved by"), "{own}");
    checkout.edit(SAVED, "squall = \"0.1.0\"", "squall = \"9.1.0\"");
    let version = "it was saved by Squall 9.1.0, and this is 0.1.0";
    let replayed = said(&checkout.squall(&["replay", SAVED]));
    assert!(
        replayed.contains(&format!("same: paid-once fails, and the run is the one that was saved; {version}")),
        "{replayed}"
    );
    assert!(!replayed.contains("another build"), "{replayed}");
    let explored = said(&checkout.squall(&["explore", "scenarios/payments.toml", "--seeds", "0..1", "--no-check"]));
    assert!(explored.contains(version), "{explored}");
    let text = std::fs::read_to_string(checkout.path(SAVED)).expect("the file");
    let build = text.lines().find(|line| line.starts_with("build = ")).expect("it has one");
    checkout.edit(SAVED, build, "build = \"00000000000000000000000000000007\"");
    for (from, to, found) in [("value = 1", "value = 1", "same: "), ("value = 1", "value = 0", "gone: ")] {
        checkout.edit(SAVED, from, to);
        let replayed = said(&checkout.squall(&["replay", SAVED]));
        let build = "it was saved by another build of the program (00000000000000000000000000000007), and this is ";
        assert!(replayed.contains(found) && replayed.contains(version) && replayed.contains(build), "{replayed}");
    }
}

/// Where there is nothing to shrink, it is said as a replay says it: in words, in the summary, and by the code.
#[test]
fn what_does_not_fail_any_more_is_not_shrunk() {
    let checkout = Checkout::explored();
    let saved = std::fs::read_to_string(checkout.path(SAVED)).expect("the file");
    let flow = saved.lines().find(|line| line.starts_with("flow = ")).expect("it has one");
    for (from, to, outcome, code) in [
        ("value = 1", "value = 0", "gone", 0),
        (flow, "flow = \"0000000000000001\"", "stale", 125),
        ("property = \"paid-once\"", "property = \"paid-twice\"", "stale", 125),
        ("property = \"paid-once\"", "property = \"panic\"", "gone", 100),
    ] {
        let edited = saved.replace(from, to);
        std::fs::write(checkout.path("edited.toml"), &edited).expect("it can be written");
        for command in ["replay", "shrink"] {
            let output = checkout.squall(&[command, "edited.toml", "--message-format", "json"]);
            assert_eq!(output.status.code(), Some(code), "{command}: {}", said(&output));
            let line = last_line(&output);
            assert_eq!(line["outcome"], outcome, "{command}: {line}");
            let event = if command == "shrink" { "shrink-finished" } else { "run-finished" };
            assert_eq!(line["event"], event);
        }
        let output = checkout.squall(&["shrink", "edited.toml"]);
        assert!(said(&output).contains(&format!("there is nothing to shrink; {outcome}: ")), "{}", said(&output));
        assert_eq!(std::fs::read_to_string(checkout.path("edited.toml")).expect("the file"), edited);
    }
}

/// Of hundreds of decisions in ten seconds the one that stopped everybody is left.
#[test]
fn what_stops_all_progress_is_found() {
    let checkout = Checkout::new();
    let explore = |seeds: &str| {
        let output = checkout.squall(&["explore", "scenarios/lock.toml", "--no-check", "--seeds", seeds]);
        assert_eq!(output.status.code(), Some(0), "{}", said(&output));
        said(&output)
    };
    let mut alone = 0;
    for begin in (0..1_000).step_by(100) {
        let said = explore(&format!("{begin}..{}", begin + 100));
        let is_cause = |line: &&str| ["  1. ", "  2. ", "  3. "].iter().any(|number| line.starts_with(number));
        let causes: Vec<&str> = said.lines().filter(is_cause).collect();
        // One is lost when it is given back. Where that is the last time for its client, something else makes another one wait still.
        let is_loss =
            |cause: &&&str| cause.contains("(GiveBack) from client-") && cause.ends_with(" to server is lost");
        assert!(causes.len() <= 2 && causes.iter().filter(is_loss).count() == 1, "{said}");
        assert!(said.contains("It is a livelock: since ") && said.contains("  minimal: without "), "{said}");
        alone += usize::from(causes.len() == 1);
    }
    assert!(alone >= 5, "{alone} of 10");
}
