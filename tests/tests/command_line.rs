//! The command line, with programs that misbehave: output, exit codes, and what is said when.

mod place;

use std::path::Path;
use std::process::{Command, Stdio};

use place::{Finished, Place};
use serde_json::Value;

fn keys(object: &Value) -> Vec<&str> {
    let mut keys: Vec<&str> = object.as_object().expect("an object").keys().map(String::as_str).collect();
    keys.sort_unstable();
    keys
}

#[test]
fn run_and_replay_end_with_their_summary() {
    let place = Place::new();
    let file = place.scenario("calm", "");
    let summary = place.json(&["run", &file, "--seed", "42"]).expect(0).summary();
    let mut fields = vec![
        "digest",
        "event",
        "events",
        "message",
        "messages",
        "property",
        "replay",
        "scenario",
        "seed",
        "verdict",
        "virtual_ns",
    ];
    assert_eq!(keys(&summary), fields);
    assert_eq!(summary["event"], "run-finished");
    assert_eq!(summary["seed"], "0x2a");
    assert_eq!(summary["verdict"], "pass");
    assert_eq!(summary["property"], Value::Null);
    assert_eq!(summary["digest"].as_str().map(str::len), Some(32));
    let replayed = place.json(&["replay", &file, "--seed", "0x2a"]).expect(0).summary();
    fields.insert(5, "outcome");
    assert_eq!(keys(&replayed), fields);
    assert_eq!(replayed["outcome"], "same");
    assert_eq!(replayed["digest"], summary["digest"]);
}

/// The committed one, in either format.
#[test]
fn schema_prints_what_a_scenario_file_may_say() {
    let place = Place::new();
    let printed = place.squall(&["schema"]).expect(0);
    assert_eq!(printed.stdout, include_str!("../../docs/scenario.schema.json"));
    let schema: Value = serde_json::from_str(&printed.stdout).expect("it is JSON");
    let line = place.json(&["schema"]).expect(0);
    assert_eq!(line.stdout.lines().count(), 1);
    assert_eq!(line.summary(), schema);
    place.squall(&["schema", "x"]).expect(2);
}

#[test]
fn list_names_scenarios_and_says_what_is_wrong_with_others() {
    let place = Place::new();
    place.scenario("calm", "about = \"Nothing at all\"\n");
    std::fs::write(place.path("Cargo.toml"), "[package]").expect("a file");
    let listed = place.json(&["list", "."]).expect(0).summary();
    assert_eq!(listed["event"], "list-finished");
    assert_eq!(listed["scenarios"][0]["name"], "calm");
    assert_eq!(keys(&listed["scenarios"][0]), ["about", "file", "goals", "name", "properties"]);
    place.scenario("clam", "");
    let listed = place.json(&["list", "."]).expect(2);
    assert!(listed.stderr.contains("clam"), "{}", listed.stderr);
    assert_eq!(listed.summary()["scenarios"].as_array().map(Vec::len), Some(1));
    std::fs::create_dir(place.path("empty")).expect("a directory");
    place.json(&["list", "empty"]).expect(4);
}

#[test]
fn what_a_node_prints_is_no_result() {
    let place = Place::new();
    let file = place.scenario("chatty", "");
    let finished = place.json(&["run", &file]).expect(0);
    assert_eq!(finished.lines().len(), 1);
    assert!(finished.stderr.contains("printed by a node"));
    let finished = place.squall(&["run", &file]).expect(0);
    assert!(finished.stdout.contains("\\u{1b}[31mred\\u{202e}") || finished.stdout.contains("\\u001b"));
    assert!(finished.stdout.chars().all(|c| c == '\n' || !c.is_control()), "{:?}", finished.stdout);
    let coloured = place.squall(&["run", &file, "--color", "always"]).expect(0);
    assert!(coloured.stdout.contains("\u{1b}[32mPASS"));
}

#[test]
fn nondeterminism_is_found_and_its_first_event_named() {
    let place = Place::new();
    for (program, circumstance) in
        [("counting", "same process"), ("addressed", "fresh process"), ("environmental", "fresh process")]
    {
        let file = place.scenario(program, "");
        let finished = place.json(&["explore", &file, "--seeds", "0..3"]).expect(110);
        let diverged = finished.lines().into_iter().find(|line| line["event"] == "nondeterminism").expect("a line");
        assert!(diverged["circumstance"].as_str().is_some_and(|text| text.contains(circumstance)), "{diverged}");
        for side in ["first", "second"] {
            assert!(diverged[side].as_str().is_some_and(|event| event.contains("publishes")), "{diverged}");
        }
        assert_eq!(finished.summary()["runs"], 3);
        let told = place.squall(&["explore", &file, "--seeds", "0..3"]).expect(110);
        assert!(told.stdout.contains("NOT DETERMINISTIC: seed 0x0"), "{}", told.stdout);
        place.squall(&["explore", &file, "--seeds", "0..3", "--no-check"]).expect(0);
    }
    let file = place.scenario("counting", "");
    let replayed = place.json(&["replay", &file, "--seed", "1"]).expect(110);
    assert_eq!(replayed.summary()["outcome"], "differs");
    let file = place.scenario("environmental", "");
    let told = place.squall(&["run", &file]).expect(0);
    assert!(told.stderr.contains("note: "), "{}", told.stderr);
}

#[test]
fn verdicts_have_their_exit_codes() {
    let place = Place::new();
    let waiting = place.scenario("waiting", "");
    let run = place.json(&["run", &waiting]).expect(100).summary();
    assert_eq!((&run["verdict"], &run["property"]), (&"fail".into(), &"deadlock".into()));
    let explored = place.json(&["explore", &waiting, "--max-failures", "1"]).expect(100).summary();
    assert_eq!((&explored["runs"], &explored["failed"]), (&1.into(), &1.into()));
    let endless = place.scenario("endless", "limit = { virtual = \"60s\" }\n");
    assert_eq!(place.json(&["run", &endless]).expect(120).summary()["verdict"], "unknown");
    let explored = place.squall(&["explore", &endless, "--seeds", "0..3"]).expect(120);
    assert!(explored.stdout.contains("3 runs in"), "{}", explored.stdout);
    assert!(explored.stdout.contains("0 passed, 0 failed, 3 unknown"), "{}", explored.stdout);
}

#[test]
fn a_task_that_never_yields_does_not_keep_the_process() {
    let place = Place::new();
    let file = place.scenario("spinning", "");
    let trace = place.path("run.trace.zst").display().to_string();
    let quick = ["--hang-after", "200ms"];
    let run = place.json(&[&["run", &file, "--trace", &trace], &quick[..]].concat()).expect(100);
    assert_eq!(run.summary()["property"], "hang");
    // What came before the hang.
    let trace = squall::trace_file::read(Path::new(&trace)).expect("a trace");
    assert_eq!((trace.events.len(), trace.verdict.property()), (5, Some("hang")));
    let arguments = ["explore", &file, "--max-failures", "1", "--jobs", "1", "--no-check"];
    let explored = place.json(&[&arguments, &quick[..]].concat()).expect(100);
    assert_eq!(explored.summary()["runs"], 1);
}

#[test]
fn numbers_that_can_t_be_are_wrong_arguments() {
    let place = Place::new();
    let file = place.scenario("calm", "");
    for (arguments, said) in [
        (&["run", &file, "--seed", "-1"][..], "\"-1\" is no seed"),
        (&["explore", &file, "--seeds", "-1..5"], "\"-1\" is no seed"),
        (&["explore", &file, "--jobs", "0"], "expected a whole number, 1 or more, found \"0\""),
        (&["explore", &file, "--jobs", "-3"], "expected a whole number, 1 or more, found \"-3\""),
        (&["explore", &file, "--max-failures", "many"], "expected a whole number, 1 or more, found \"many\""),
        (&["run", &file, "--hang-after", "0"], "expected a real time above 0"),
    ] {
        let finished = place.squall(arguments).expect(2);
        assert!(finished.stderr.contains(said) && finished.stdout.is_empty(), "{}", finished.stderr);
    }
    let endless = place.squall(&["run", "/dev/zero"]).expect(2);
    assert!(endless.stderr.contains("it has more than"), "{}", endless.stderr);
}

#[test]
fn a_fault_that_never_happens_is_told() {
    let place = Place::new();
    let file = place.scenario("calm", "[[fault]]\nkind = \"crash\"\nnode = \"client\"\nat = \"5s\"\n");
    let told = place.squall(&["run", &file]).expect(0);
    assert!(
        told.stderr.contains("note: the crash of client at 5 s never happened: the run ended before it\n"),
        "{}",
        told.stderr
    );
    let told = place.squall(&["explore", &file]).expect(0);
    assert!(told.stderr.contains("note: the crash of client at 5 s happened in no run"), "{}", told.stderr);
}

#[test]
fn a_property_that_panics_fails_by_its_name() {
    let place = Place::new();
    let file = place.scenario("careless", "");
    let run = place.json(&["run", &file]).expect(100).summary();
    assert_eq!(run["property"], "careful");
    let message = run["message"].as_str().expect("a message");
    assert!(message.contains("the property's own code panicked: no such account, at tests/odd/main.rs:"), "{message}");
}

#[test]
fn a_node_that_ends_the_process_is_no_success() {
    let place = Place::new();
    let file = place.scenario("exiting", "");
    for command in ["run", "explore"] {
        let finished = place.squall(&[command, &file]).expect(1);
        let said = "seed 0x0, client: the process was to exit with code 0";
        assert!(finished.stderr.contains(said), "{}", finished.stderr);
    }
}

#[test]
fn what_describes_and_judges_a_world_repeats_itself_too() {
    let place = Place::new();
    let file = place.scenario("drawing", "");
    let explored = place.json(&["explore", &file]).expect(100);
    assert!(explored.lines().iter().all(|line| line["event"] != "nondeterminism"), "{}", explored.stdout);
    assert_eq!(explored.summary()["failed"], 100);
    let message = || place.json(&["run", &file, "--seed", "5"]).expect(100).summary()["message"].clone();
    assert_eq!(message(), message());
}

#[test]
fn a_world_that_can_not_be_is_a_wrong_input() {
    let place = Place::new();
    let file = place.scenario("impossible", "");
    for command in ["run", "explore"] {
        let finished = place.squall(&[command, &file]).expect(2);
        for said in ["no node is named", "\"nobody\""] {
            assert!(finished.stderr.contains(said), "{}", finished.stderr);
        }
    }
}

#[test]
fn the_summary_does_not_depend_on_the_jobs() {
    let place = Place::new();
    let file = place.scenario("two-faults", "");
    for more in [&[][..], &["--max-failures", "3"]] {
        let explored = |jobs| {
            let arguments = [&["explore", &file, "--jobs", jobs], more].concat();
            // What was saved would run first.
            let _ = std::fs::remove_dir_all(place.path("squall-regressions"));
            let mut summary = place.json(&arguments).expect(100).summary();
            summary["seconds"] = 0.into();
            summary
        };
        let alone = explored("1");
        assert_eq!(keys(&alone), ["event", "failed", "failures", "passed", "runs", "seconds", "unknown"]);
        assert_eq!(keys(&alone["failures"][0]), ["file", "perturbations", "property", "seed"]);
        assert_eq!(alone, explored("2"));
        assert_eq!(alone, explored("7"));
    }
}

#[test]
fn a_scenario_that_is_there_to_fail_must_fail_so_and_only_so() {
    let place = Place::new();
    let expected = place.scenario("waiting", "expect = \"deadlock\"\n");
    let finished = place.squall(&["explore", &expected, "--seeds", "0..3"]).expect(0);
    assert!(finished.stdout.contains("as expected: deadlock failed"), "{}", finished.stdout);
    place.squall(&["run", &expected]).expect(100);
    let other = place.scenario("two-faults", "expect = \"panic\"\n");
    let finished = place.squall(&["explore", &other]).expect(100);
    assert!(finished.stdout.contains("expected only panic to fail"), "{}", finished.stdout);
    let never = place.scenario("calm", "expect = \"deadlock\"\n");
    let finished = place.squall(&["explore", &never]).expect(100);
    assert!(finished.stdout.contains("expected deadlock to fail, but in 100 runs it didn't"), "{}", finished.stdout);
}

#[test]
fn the_first_failure_is_shown_with_its_replay() {
    let place = Place::new();
    let file = place.scenario("two-faults", "");
    let explore = ["explore", &file, "--strategy", "fifo", "--set", "limit.virtual=9s"];
    let finished = place.squall(&[&explore[..], &["--no-shrink"]].concat()).expect(100);
    assert!(finished.stdout.contains("the first failure, seed 0x"), "{}", finished.stdout);
    for property in ["FAIL panic in ", "FAIL error in "] {
        assert!(finished.stdout.contains(property), "{}", finished.stdout);
    }
    let replay = finished.stdout.lines().find_map(|line| line.strip_prefix("replay: ")).expect("a command");
    let (program, replay) = replay.split_once(' ').expect("a program and its arguments");
    assert_eq!(program, env!("CARGO_BIN_EXE_squall-odd"), "as it was called");
    let arguments: Vec<&str> = replay.split(' ').collect();
    assert!(replay.ends_with("--set limit.virtual=9s --strategy fifo"), "{replay}");
    assert!(place.squall(&arguments).expect(100).stdout.contains("same: a second run gave the same digest"));
    assert!(!place.path("squall-regressions").exists());

    // Shrunk and saved, both kinds of failure; the file has its settings.
    let finished = place.squall(&explore).expect(100);
    for begin in ["error-0x1-", "panic-0x4-"] {
        // A hash of the settings follows.
        let begin = format!("squall-regressions/two-faults/{begin}");
        let said = finished.stdout.lines().filter_map(|line| line.split_once("replay squall-")).map(|(_, rest)| rest);
        let saved = said.map(|rest| format!("squall-{rest}")).find(|path| path.starts_with(&begin));
        let saved = saved.unwrap_or_else(|| panic!("{begin}: {}", finished.stdout));
        assert_eq!(saved.len(), begin.len() + "01234567.toml".len(), "{saved}");
        let replayed = place.squall(&["replay", &saved]).expect(100).stdout;
        assert!(replayed.contains("and the run is the one that was saved"), "{replayed}");
        assert!(replayed.contains("limit.virtual = 9s"), "{replayed}");
    }
}

/// What was found is told, even where it can't be kept; the code says that something went wrong.
#[cfg(unix)]
#[test]
fn a_failure_that_can_not_be_saved_is_told_all_the_same() {
    let place = Place::new();
    let file = place.scenario("two-faults", "");
    std::fs::write(place.path("squall-regressions"), "in the way").expect("a file");
    let finished = place.squall(&["explore", &file]).expect(1);
    assert!(finished.stdout.contains("FAIL  error  seed 0x1  (shrunk"), "{}", finished.stdout);
    assert!(finished.stdout.contains(&format!("replay {file} --seed 0x1")), "{}", finished.stdout);
    assert!(finished.stdout.contains("100 runs in "), "{}", finished.stdout);
    assert!(
        finished.stderr.contains("squall-regressions/two-faults/error-0x1.toml can't be written"),
        "{}",
        finished.stderr
    );
}

#[test]
fn traces_are_written_whole_and_can_be_read() {
    let place = Place::new();
    let file = place.scenario("two-faults", "");
    let trace = place.path("run.trace.zst");
    place.squall(&["run", &file, "--seed", "0", "--trace", &trace.display().to_string()]);
    let text = zstd::decode_all(std::fs::File::open(&trace).expect("a file")).expect("zstd");
    let header: Value = serde_json::from_slice(text.split(|byte| *byte == b'\n').next().unwrap()).unwrap();
    assert_eq!(header["line"], "header");
    let out = place.path("deep/failures");
    let finished = place.json(&["explore", &file, "--out", &out.display().to_string()]).expect(100);
    let path = finished.summary()["failures"][0]["file"].as_str().expect("a path").to_string();
    assert_eq!(Path::new(&path), out.join("two-faults/error-0x1.toml"));
    assert!(Path::new(&path).is_file());
    assert!(squall::trace_file::read(&out.join("two-faults-0x1.trace.zst")).is_ok());
    let names = |directory: &Path| -> Vec<String> {
        let entries = std::fs::read_dir(directory).unwrap();
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    };
    assert!(names(&out).iter().all(|name| name.ends_with(".zst") || name == "two-faults"), "{:?}", names(&out));
    assert!(names(&out.join("two-faults")).iter().all(|name| name.ends_with(".toml")), "a partial file was left");
}

#[test]
fn diff_names_the_first_event_in_which_two_traces_differ() {
    let place = Place::new();
    let file = place.scenario("two-faults", "");
    for (name, seed) in [("a", "0x0"), ("b", "0x0"), ("c", "0x1")] {
        place.squall(&["run", &file, "--seed", seed, "--trace", &format!("{name}.trace.zst")]);
    }
    let diff = |second: &str| place.json(&["diff", "a.trace.zst", second]);
    let same = diff("b.trace.zst").expect(0).summary();
    assert_eq!((&same["same"], &same["step"]), (&true.into(), &Value::Null), "{same}");
    let finished = diff("c.trace.zst").expect(1);
    assert!(finished.summary()["step"].as_u64().is_some_and(|step| step > 1), "{}", finished.stdout);
    let told = place.squall(&["diff", "a.trace.zst", "c.trace.zst", "--context", "2"]).expect(1).stdout;
    assert_eq!(told.lines().filter(|line| line.starts_with("> ")).count(), 2, "{told}");
    std::fs::write(place.path("d.trace.zst"), "no trace").expect("a file");
    for wrong in ["d.trace.zst", "e.trace.zst"] {
        let finished = diff(wrong).expect(2);
        assert!(finished.stderr.contains(wrong), "{}", finished.stderr);
    }
}

#[test]
fn wrong_arguments_are_told_before_anything_runs() {
    let place = Place::new();
    let file = place.scenario("calm", "");
    for (arguments, code, said) in [
        (&["run", &file, "--seed", "seven"][..], 2, "is no seed"),
        (&["explore", &file, "--seeds", "9..5"], 2, "ends before it starts"),
        (&["explore", &file, "--jobs", "0"], 2, "--jobs"),
        (&["explore", &file, "--strategy", "best"], 2, "expected fifo, random, worst-crash or pct"),
        (&["explore", &file, "--for", "5"], 2, "expected a duration"),
        (&["explore", "nowhere.toml"], 2, "nowhere.toml"),
        (&["run", &file, "--set", "sedes=1"], 2, "sedes"),
        (&["run", &file, "--trace", "no/such/place.zst"], 1, "no/such/place.zst can't be written"),
        (&["explore", &file, "--out", &format!("{file}/below")], 1, "can't be written"),
        (&["explore", &file, "--seeds", "5..5"], 4, ""),
        (&["explore", &file, "--for", "0s"], 4, ""),
        (&["sink"], 2, "unrecognized subcommand"),
    ] {
        let finished = place.squall(arguments).expect(code);
        assert!(finished.stderr.contains(said), "{arguments:?}: {}", finished.stderr);
    }
}

/// Failures, shards and processes are told the scenario's path as text: one that is none is refused before anything runs.
#[cfg(target_os = "linux")]
#[test]
fn a_path_that_is_no_text_is_a_wrong_input() {
    use std::os::unix::ffi::OsStrExt;
    let place = Place::new();
    let file = place.scenario("failing", "");
    let path = place.path("").join(std::ffi::OsStr::from_bytes(b"x\xff.toml"));
    std::fs::copy(file, &path).expect("a file");
    for command in ["explore", "run"] {
        let output = place.command(&[command]).arg(&path).output().expect("it starts");
        let finished = Finished::of(&output).expect(2);
        let said = finished.stderr.split_whitespace().filter(|word| *word != "│").collect::<Vec<_>>().join(" ");
        assert!(said.contains("its path is not UTF-8 text") && said.contains("rename the file"), "{said}");
        assert_eq!(finished.stdout, "");
    }
    assert!(!place.path("squall-regressions").exists());
}

#[test]
fn the_environment_gives_defaults_that_arguments_override() {
    let place = Place::new();
    let file = place.scenario("calm", "");
    let run = |variable: &str, value: &str, arguments: &[&str]| {
        let arguments = [arguments, &["--message-format", "json"]].concat();
        Finished::of(&place.command(&arguments).env(variable, value).output().expect("it starts"))
    };
    assert_eq!(run("SQUALL_SEED", "7", &["run", &file]).expect(0).summary()["seed"], "0x7");
    assert_eq!(run("SQUALL_SEED", "7", &["run", &file, "--seed", "8"]).expect(0).summary()["seed"], "0x8");
    assert_eq!(run("SQUALL_SEED", "7", &["explore", &file]).expect(0).lines()[0]["seeds"], "0x7..0x8");
    assert_eq!(run("SQUALL_SEEDS", "3..9", &["explore", &file]).expect(0).summary()["runs"], 6);
    assert_eq!(run("SQUALL_JOBS", "3", &["explore", &file]).expect(0).lines()[0]["jobs"], 3);
    run("SQUALL_SEED", "x", &["run", &file]).expect(2);
    // Of one seed and a range what is said here counts; of two variables the seed; of two arguments none.
    let explore = |variable: &str, value: &str, arguments: &[&str]| {
        let finished = run(variable, value, &[&["explore", &*file][..], arguments].concat());
        finished.expect(0).lines()[0]["seeds"].clone()
    };
    assert_eq!(explore("SQUALL_SEED", "7", &["--seeds", "3..9"]), "0x3..0x9");
    assert_eq!(explore("SQUALL_SEEDS", "3..9", &["--seed", "7"]), "0x7..0x8");
    let mut both = place.command(&["explore", &file, "--message-format", "json"]);
    both.env("SQUALL_SEED", "7").env("SQUALL_SEEDS", "3..9");
    assert_eq!(Finished::of(&both.output().expect("it starts")).expect(0).lines()[0]["seeds"], "0x7..0x8");
    let wrong = run("SQUALL_JOBS", "1", &["explore", &file, "--seed", "7", "--seeds", "3..9"]).expect(2);
    assert!(wrong.stderr.contains("cannot be used with"), "{}", wrong.stderr);
}

#[test]
fn fresh_seeds_are_an_aligned_power_of_two_and_never_the_same() {
    let place = Place::new();
    let file = place.scenario("calm", "");
    let ranges: Vec<String> = (0..2)
        .map(|_| {
            let finished = place.json(&["explore", &file, "--seeds", "fresh"]).expect(0);
            assert_eq!(finished.summary()["runs"], 1024);
            finished.lines()[0]["seeds"].as_str().expect("a range").to_string()
        })
        .collect();
    assert_ne!(ranges[0], ranges[1]);
    assert_eq!(place.json(&["explore", &file, "--seeds", &ranges[0]]).expect(0).summary()["runs"], 1024);
}

#[cfg(unix)]
#[test]
fn a_closed_pipe_ends_it_quietly() {
    use std::io::Write;
    let place = Place::new();
    let file = place.scenario("two-faults", "");
    for command in [&["explore", &file, "--seeds", "0..5000", "--message-format", "json"][..], &["list", "."]] {
        let (reader, mut writer) = std::io::pipe().expect("a pipe");
        drop(reader);
        // A process that another test has just forked may hold the other end for a moment. The command must not be faster.
        while writer.write(b"\n").is_ok() {
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
        let child = place.command(command).stdout(writer).stderr(Stdio::piped()).spawn().expect("it starts");
        let finished = Finished::of(&child.wait_with_output().expect("it ends")).expect(141);
        assert_eq!(finished.stderr, "");
    }
}

#[cfg(unix)]
#[test]
fn an_interrupt_finishes_and_tells_what_was_found() {
    use std::io::{BufRead, BufReader, Read};
    let place = Place::new();
    let file = place.scenario("calm", "");
    let mut child = place
        .command(&["explore", &file, "--for", "10m", "--message-format", "json"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it starts");
    let mut lines = BufReader::new(child.stdout.take().expect("a pipe"));
    let mut first = String::new();
    lines.read_line(&mut first).expect("a line");
    assert!(first.contains("explore-started"), "{first}");
    // The check of the first seed takes a process; then there are runs to be told of.
    std::thread::sleep(std::time::Duration::from_millis(700));
    let killed = Command::new("kill").args(["-INT", &child.id().to_string()]).status().expect("kill");
    assert!(killed.success());
    let mut rest = String::new();
    lines.read_to_string(&mut rest).expect("text");
    let summary: Value = serde_json::from_str(rest.lines().last().expect("a summary")).expect("JSON");
    assert_eq!(summary["event"], "explore-finished");
    assert_eq!(summary["runs"], summary["passed"]);
    assert!(summary["runs"].as_u64().is_some_and(|runs| runs > 0));
    assert_eq!(child.wait().expect("it ends").code(), Some(130));
}

/// Where nothing would be lost, nobody has to ask twice: also while a pipe is opened that nobody writes to, and in the midst of a run.
#[cfg(unix)]
#[test]
fn what_saves_nothing_is_ended_by_the_first_interrupt() {
    let place = Place::new();
    let spinning = place.scenario("spinning", "");
    assert!(Command::new("mkfifo").arg(place.path("pipe")).status().expect("mkfifo").success());
    let commands: [&[&str]; 7] = [
        &["replay", "pipe"],
        &["run", "pipe"],
        &["list", "pipe"],
        &["merge", "pipe"],
        &["diff", "pipe", "pipe"],
        &["check", "--model", "kv", "pipe"],
        &["run", &spinning, "--hang-after", "600s"],
    ];
    /// Is killed, also where the test fails.
    struct Killed(std::process::Child);
    impl Drop for Killed {
        fn drop(&mut self) {
            let _ = self.0.kill();
            let _ = self.0.wait();
        }
    }
    let start = |arguments: &&[&str]| {
        let mut command = place.command(arguments);
        Killed(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("it starts"))
    };
    let mut children = commands.each_ref().map(start);
    std::thread::sleep(std::time::Duration::from_millis(1_000));
    for (child, arguments) in children.iter_mut().zip(&commands) {
        assert!(child.0.try_wait().expect("it is ours").is_none(), "{arguments:?} didn't wait");
        let killed = Command::new("kill").args(["-TERM", &child.0.id().to_string()]).status().expect("kill");
        assert!(killed.success());
    }
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(10);
    for (child, arguments) in children.iter_mut().zip(&commands) {
        let status = loop {
            match child.0.try_wait().expect("it is ours") {
                Some(status) => break status,
                None => assert!(std::time::Instant::now() < deadline, "{arguments:?} goes on"),
            }
            std::thread::sleep(std::time::Duration::from_millis(10));
        };
        assert_eq!(status.code(), Some(130), "{arguments:?}");
    }
}

/// What is being shrunk is saved as far as it came.
#[cfg(unix)]
#[test]
fn an_interrupt_while_shrinking_keeps_the_best_so_far() {
    use std::io::{BufRead, BufReader, Read};
    let place = Place::new();
    let file = place.scenario("losing", "");
    let arguments = ["explore", &file, "--seeds", "0..1", "--no-check", "--message-format", "json"];
    let mut command = place.command(&arguments);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it starts");
    let mut lines = BufReader::new(child.stdout.take().expect("a pipe"));
    let mut first = String::new();
    lines.read_line(&mut first).expect("a line");
    std::thread::sleep(std::time::Duration::from_millis(1_000));
    let killed = Command::new("kill").args(["-INT", &child.id().to_string()]).status().expect("kill");
    assert!(killed.success());
    let mut rest = String::new();
    lines.read_to_string(&mut rest).expect("text");
    assert_eq!(child.wait().expect("it ends").code(), Some(130));
    let summary: Value = serde_json::from_str(rest.lines().last().expect("a summary")).expect("JSON");
    let saved = summary["failures"][0]["file"].as_str().expect("a path");
    let text = std::fs::read_to_string(place.path(saved)).expect("a file");
    assert!(text.contains("minimal = \"unproved\""), "the search ended by itself: {}", &text[..800]);
    assert_eq!(place.json(&["replay", saved]).expect(100).summary()["outcome"], "same");
}

/// Both save the same failures at the same time.
#[test]
fn two_explorations_at_once_leave_whole_files() {
    use squall_campaign::failure_file::FailureFile;
    let place = Place::new();
    let file = place.scenario("two-faults", "");
    for _ in 0..10 {
        let _ = std::fs::remove_dir_all(place.path("squall-regressions"));
        let explore =
            || place.command(&["explore", &file, "--no-check"]).stdout(Stdio::piped()).spawn().expect("it starts");
        for child in [explore(), explore(), explore()] {
            let output = child.wait_with_output().expect("it ends");
            assert_eq!(output.status.code(), Some(100));
        }
        let saved = std::fs::read_dir(place.path("squall-regressions/two-faults")).expect("a directory");
        let saved: Vec<_> = saved.map(|entry| entry.expect("an entry").path()).collect();
        assert_eq!(saved.len(), 2, "{saved:?}");
        for path in saved {
            FailureFile::read(&path).unwrap_or_else(|error| panic!("{error}"));
        }
    }
}

/// Killed at a hundred moments, it never leaves half of a file, and every failure that was printed is there.
#[cfg(unix)]
#[test]
fn a_kill_loses_no_failure_that_was_printed() {
    use squall_campaign::failure_file::FailureFile;
    let place = Place::new();
    let file = place.scenario("two-faults", "");
    let kept = place.path("squall-regressions");
    let (mut printed, mut cut_short) = (0, 0);
    for moment in 0..100u64 {
        let _ = std::fs::remove_dir_all(&kept);
        let mut command = place.command(&["explore", &file, "--no-check", "--seeds", "0..100000"]);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("it starts");
        std::thread::sleep(std::time::Duration::from_micros(moment * 700));
        child.kill().expect("it is ours");
        let output = child.wait_with_output().expect("it ends");
        let said = String::from_utf8_lossy(&output.stdout);
        for line in said.lines().filter(|line| line.starts_with("replay: ")) {
            // The last line may be cut off.
            let Some(path) = line.split(' ').next_back().filter(|path| path.ends_with(".toml")) else { continue };
            FailureFile::read(&place.path(path)).unwrap_or_else(|error| panic!("at {moment}: {error}"));
            printed += 1;
        }
        cut_short += usize::from(!said.contains(" runs in "));
        for entry in std::fs::read_dir(kept.join("two-faults")).into_iter().flatten() {
            let path = entry.expect("an entry").path();
            if path.extension().is_some_and(|extension| extension == "toml") {
                FailureFile::read(&path).unwrap_or_else(|error| panic!("at {moment}: {error}"));
            }
        }
    }
    assert!(printed > 20 && cut_short > 50, "{printed} printed, {cut_short} cut short: the moments are badly chosen");
}

/// A seed whose world can't be ends the exploration. What was found before it is told, in text, in JSON and in JUnit's file.
#[test]
fn what_ends_an_exploration_leaves_what_was_found() {
    let place = Place::new();
    let file = place.scenario("seldom-impossible", "");
    for jobs in ["1", "2"] {
        let finished =
            place.json(&["explore", &file, "--seeds", "0..1000", "--jobs", jobs, "--junit", "result.xml"]).expect(2);
        let summary = finished.summary();
        let stderr = finished.stderr.split_whitespace().filter(|word| *word != "│").collect::<Vec<_>>().join(" ");
        assert_eq!(summary["event"], "explore-finished");
        let (runs, failed) = (summary["runs"].as_u64().unwrap(), summary["failed"].as_u64().unwrap());
        assert!((1..1000).contains(&runs) && failed > 0, "{summary}");
        let said = format!("no node is named \"nobody\"; there are client (with seed {runs:#x})");
        assert!(stderr.contains(&said), "{stderr}");
        let junit = std::fs::read_to_string(place.path("result.xml")).expect("it was written");
        assert!(junit.contains("name=\"panic\""), "{junit}");
        std::fs::remove_file(place.path("result.xml")).expect("it is there");
    }
}

/// Whoever makes a scenario again (a process of a run, a kept failure) finds its recording again, from wherever that is; what is wrong with it is input.
#[test]
fn a_recorded_latency_is_found_again() {
    let place = Place::new();
    let slow = "at,latency\n0s,3ms\n1s,80ms\n2s,3ms\n";
    place.write("deep/recorded/wan.csv", slow);
    for isolation in ["thread", "process"] {
        let text = "program = \"impatient\"\nseeds = \"0..4\"\nnetwork.latency = { trace = \"recorded/wan.csv\" }\n";
        place.write("deep/wide.toml", &format!("{text}isolation = \"{isolation}\"\n"));
        let found = place.json(&["explore", "deep/wide.toml", "--out", "kept"]).expect(100).summary();
        let kept = found["failures"][0]["file"].as_str().expect("it is kept");
        let replayed = place.json(&["replay", kept]).expect(100).summary();
        assert_eq!(replayed["outcome"], "same");
        let calm = place.json(&["run", "deep/wide.toml", "--seed", "1", "--set", "network.latency=3ms"]).expect(0);
        assert_eq!(calm.summary()["verdict"], "pass");
        std::fs::remove_dir_all(place.path("kept")).expect("removed");
    }
    for (text, said) in [("at;latency\n", "begins with the line"), ("at,latency\n0s,fast\n", "expected a duration")] {
        place.write("deep/recorded/wan.csv", text);
        let finished = place.squall(&["run", "deep/wide.toml"]).expect(2);
        assert!(finished.stderr.contains(said) && finished.stderr.contains("wan.csv"), "{}", finished.stderr);
    }
    std::fs::remove_file(place.path("deep/recorded/wan.csv")).expect("removed");
    let finished = place.squall(&["run", "deep/wide.toml"]).expect(2);
    assert!(finished.stderr.contains("can't be read"), "{}", finished.stderr);
}

/// What a swarm does without is said, and which way a knob is turned; what can't be is the user's mistake, whenever it is seen.
#[test]
fn swarms_and_knobs_are_told() {
    let place = Place::new();
    let file = place.scenario("asking-rarely", "[buggify]\nenabled = 1\nshare = 1\nknobs = 1\n");
    let run = |set: &[&str]| {
        let mut arguments = vec!["run", &file, "--seed", "1"];
        set.iter().for_each(|set| arguments.extend(["--set", set]));
        place.squall(&arguments)
    };
    let told = run(&[]).expect(0).stdout;
    assert!(told.contains("buggify \"something rare\" is true"), "{told}");
    assert!(told.contains("the knob \"batch\" is "), "{told}");
    assert!(!told.contains("swarm"), "{told}");
    let fixed = run(&["knobs.batch=200", "buggify.enabled=0"]).expect(0).stdout;
    assert!(fixed.contains("knobs.batch = 200") && fixed.contains("batch = 200"), "{fixed}");
    assert!(!fixed.contains("something rare") && !fixed.contains("the knob"), "{fixed}");
    let swarmed = run(&["swarm=true"]).expect(0).stdout;
    let line = swarmed.lines().find(|line| line.starts_with("  swarm: ")).expect("a line of its own");
    assert!(["crashes", "buggify", "knobs", "latency"].iter().all(|class| line.contains(class)), "{line}");
    assert!(swarmed.lines().filter(|line| line.contains("swarm: with")).count() == 2, "in the timeline too: {swarmed}");
    let summary = place.json(&["run", &file, "--seed", "1", "--set", "swarm=true"]).expect(0).summary();
    assert_eq!(summary["swarm"][0]["class"], "latency");
    // Of another type, as is seen only when it is read; and beyond what the type holds.
    for (set, expected) in [
        ("knobs.batch=true", "the knob \"batch\" ("),
        ("knobs.batch=5ms", "expected a whole number from 0 to 255"),
        ("knobs.batch=256", "expected a whole number from 0 to 255"),
        ("knobs.bach=1", "did you mean `batch`?"),
        ("knobs.batch=many", "expected a duration"),
        ("swarm=perhaps", "expected true or false"),
    ] {
        let refused = run(&[set]).expect(2);
        assert!(refused.stderr.contains(expected), "{set}: {}", refused.stderr);
    }
    // A knob can be swept like any other setting.
    place.squall(&["sweep", &file, "--seeds", "0..2", "--vary", "knobs.batch=1,200"]).expect(0);
    // Wherever it is run: nothing of it counts as a failure.
    place.squall(&["explore", &file, "--seeds", "0..3", "--set", "knobs.batch=true"]).expect(2);
}
