//! `squall sweep` on the command line: the grid, what is measured in its cells, thresholds, files, and every wrong argument.

mod place;

use std::process::{Command, Stdio};

use place::{Finished, Place};
use serde_json::{Value, json};

/// The lines of cells.
fn cells(finished: &Finished) -> Vec<Value> {
    finished.lines().into_iter().filter(|line| line["event"] == "cell").collect()
}

fn thresholds(finished: &Finished) -> Vec<Value> {
    finished.lines().into_iter().filter(|line| line["event"] == "threshold-found").collect()
}

fn settings(cell: &Value) -> Vec<&str> {
    cell["settings"].as_object().expect("an object").values().map(|value| value.as_str().expect("text")).collect()
}

/// All that isn't time.
fn timeless(finished: &Finished) -> Vec<Value> {
    let mut lines = finished.lines();
    lines.last_mut().expect("a summary")["seconds"] = 0.into();
    lines
}

impl Place {
    fn sweep(&self, file: &str, more: &[&str]) -> Finished {
        self.json(&[&["sweep", file, "--no-check", "--seeds", "0..3"], more].concat())
    }
}

#[test]
fn the_last_key_varies_fastest_and_the_summary_counts() {
    let place = Place::new();
    let file = place.scenario("recording", "");
    let vary = ["--vary", "network.latency=1ms..=100ms:3log", "--vary", "network.loss=0%..=1%:2"];
    let finished = place.sweep(&file, &vary).expect(0);
    let lines = finished.lines();
    let kinds: Vec<&str> = lines.iter().map(|line| line["event"].as_str().expect("text")).collect();
    assert_eq!(kinds[0], "sweep-started");
    assert!(kinds[1..kinds.len() - 1].iter().all(|kind| *kind == "cell"), "{kinds:?}");
    let found: Vec<Vec<String>> =
        cells(&finished).iter().map(|cell| settings(cell).into_iter().map(str::to_string).collect()).collect();
    let wanted = [["1ms", "0%"], ["1ms", "1%"], ["10ms", "0%"], ["10ms", "1%"], ["100ms", "0%"], ["100ms", "1%"]];
    assert_eq!(found, wanted);
    let first = "\"settings\":{\"network.latency\":\"1ms\",\"network.loss\":\"0%\"}";
    assert!(finished.stdout.contains(first), "{}", finished.stdout);
    let mut summary = finished.summary();
    assert!(summary["seconds"].as_f64().is_some_and(|seconds| seconds > 0.0));
    summary["seconds"] = 0.into();
    assert_eq!(summary, json!({ "event": "sweep-finished", "cells": 6, "runs": 18, "seconds": 0 }));
}

#[test]
fn percentiles_of_a_history_are_exact_and_what_has_no_answer_counts_as_longest() {
    let place = Place::new();
    let file = place.scenario("recording", "");
    let ms = |ms: u64| json!(ms * 1_000_000);
    let unanswered = Value::Null;
    // Of each seed the same: operations of 1 ms to 100 ms, and so many without an answer.
    for (unknown, open, wanted) in [
        (0, 0, [ms(50), ms(99), ms(100), ms(100)]),
        // 101 of them: the 99th percentile is the 100th.
        (1, 0, [ms(51), ms(100), unanswered.clone(), unanswered.clone()]),
        (0, 1, [ms(51), ms(100), unanswered.clone(), unanswered.clone()]),
        (1, 1, [ms(51), unanswered.clone(), unanswered.clone(), unanswered.clone()]),
        (99, 1, [ms(100), unanswered.clone(), unanswered.clone(), unanswered.clone()]),
        (99, 2, [unanswered.clone(), unanswered.clone(), unanswered.clone(), unanswered.clone()]),
    ] {
        let (unknown_arg, open_arg) = (format!("args.unknown={unknown}"), format!("args.open={open}"));
        let finished = place.sweep(&file, &["--vary", &unknown_arg, "--set", &open_arg]).expect(0);
        let cell = cells(&finished).remove(0);
        let latency = &cell["latency_ns"];
        let found = ["p50", "p99", "p99.9", "max"].map(|share| latency[share].clone());
        assert_eq!(found, wanted, "{unknown} unknown, {open} open");
        let (all, without) = (3 * (100 + unknown + open), 3 * (unknown + open));
        let operations =
            json!({ "of": "history", "count": all, "answered": 300, "unanswered": without, "unmeasured_runs": 0 });
        assert_eq!(cell["operations"], operations);
        // 5.05 s of operations a run.
        assert_eq!(cell["virtual_ns"], 3 * 5_050_000_000u64);
        assert_eq!(cell["answered_per_s"], 19.802);
        assert_eq!((&cell["passed"], &cell["failed"], &cell["unknown"]), (&3.into(), &0.into(), &0.into()));
    }
}

#[test]
fn without_a_history_the_calls_of_clients_are_measured_as_the_clients_see_them() {
    let place = Place::new();
    let file = place.scenario("impatient", "[args]\nfails = false\n");
    let finished = place.sweep(&file, &["--vary", "network.latency=10ms,60ms"]).expect(0);
    let [quick, slow] = <[Value; 2]>::try_from(cells(&finished)).expect("two cells");
    assert_eq!(quick["latency_ns"]["max"], 20_000_000);
    assert_eq!(
        quick["operations"],
        json!({ "of": "calls", "count": 9, "answered": 9, "unanswered": 0, "unmeasured_runs": 0 })
    );
    // An answer that comes twice is one.
    let twice = ["--vary", "network.latency=10ms", "--set", "network.duplicate=100%"];
    assert_eq!(cells(&place.sweep(&file, &twice).expect(0))[0]["operations"], quick["operations"]);
    // Each answer comes after 120 ms, when nobody waits for it any more.
    assert_eq!((&slow["latency_ns"]["p50"], &slow["latency_ns"]["max"]), (&Value::Null, &Value::Null));
    assert_eq!((&slow["operations"]["answered"], &slow["operations"]["unanswered"]), (&0.into(), &9.into()));
    let told = place.squall(&["sweep", &file, "--vary", "network.latency=10ms,60ms", "--seeds", "0..3"]).expect(0);
    for said in [
        "impatient: 2 cells, each with the seeds 0..3: 6 runs",
        "computation takes no virtual time",
        "operations: the calls of clients (no history was recorded)",
        "never: among the operations that are unanswered",
        "20.0 ms  20.0 ms  20.0 ms  20.0 ms\n",
        "  never    never    never    never\n",
    ] {
        assert!(told.stdout.contains(said), "no {said:?} in {}", told.stdout);
    }
    let table = told.stdout.lines().filter(|line| line.contains("0.0 ms") || line.contains("never  "));
    assert!(table.clone().count() == 2 && table.clone().all(|line| line.len() <= 80), "{}", told.stdout);
}

#[test]
fn one_link_alone_can_be_slow() {
    let place = Place::new();
    // The file's own entry for the link comes before, and stays as it is where nothing else is said.
    let link = "[network]\nlatency = \"10ms\"\n[[link]]\nname = \"back\"\nfrom = \"server-*\"\nto = \"client-*\"\nlatency = \"1ms\"\n";
    let file = place.scenario("impatient", link);
    let slow = |arguments: &[&str]| -> Vec<Value> {
        let finished = place.sweep(&file, arguments).expect(0);
        cells(&finished).iter().map(|cell| cell["latency_ns"]["max"].clone()).collect()
    };
    let one = "link.client-0:server-1.latency=10ms,30ms,50ms";
    assert_eq!(slow(&["--vary", one]), [11_000_000, 31_000_000, 51_000_000]);
    assert_eq!(slow(&["--vary", "link.server-1:client-0.latency=1ms,30ms"]), [11_000_000, 40_000_000]);
    assert_eq!(slow(&["--vary", "link.back.latency=1ms,30ms"]), [11_000_000, 40_000_000]);
    // Two keys of a pair are one entry, so both ways is for both of them.
    let both = ["--set", "link.client-*:server-1.both_ways=true", "--vary", "link.client-*:server-1.latency=20ms"];
    assert_eq!(slow(&both), [40_000_000]);
    // What is said of names goes over what is said of patterns, in whatever order.
    for order in [
        ["link.client-0:server-1.latency=40ms", "link.*:*.latency=20ms"],
        ["link.*:*.latency=20ms", "link.client-0:server-1.latency=40ms"],
    ] {
        assert_eq!(slow(&["--set", order[0], "--set", order[1], "--vary", "args.calls=3"]), [60_000_000]);
    }
    // Saved, and in processes, it is the same scenario.
    let finished =
        place.sweep(&file, &["--vary", "link.client-0:server-1.latency=150ms", "--set", "isolation=process"]);
    assert_eq!(cells(&finished.expect(0))[0]["failures"][0]["property"], "error");
}

#[test]
fn a_failure_has_its_first_seed_and_the_command_that_repeats_it() {
    let place = Place::new();
    let file = place.scenario("two-faults", "");
    let arguments =
        ["sweep", &file, "--vary", "network.latency=1ms,2ms", "--set", "limit.virtual=9s", "--strategy", "fifo"];
    let finished = place.json(&arguments).expect(0);
    for cell in cells(&finished) {
        let failures = cell["failures"].as_array().expect("a list");
        assert_eq!(failures.len(), 2);
        let failed: u64 = failures.iter().filter_map(|failure| failure["runs"].as_u64()).sum();
        assert_eq!(cell["failed"], failed);
        for failure in failures {
            let replay = failure["replay"].as_str().expect("a command");
            let seed = failure["first_seed"].as_str().expect("a seed");
            let latency = settings(&cell)[0];
            let wanted = format!(
                "squall run {file} --seed {seed} --set limit.virtual=9s --set network.latency={latency} --strategy fifo"
            );
            assert_eq!(replay, wanted);
            let words: Vec<&str> = replay.split(' ').skip(1).collect();
            let run = place.json(&words).expect(100).summary();
            assert_eq!(run["property"], failure["property"]);
            assert_eq!(run["message"], failure["message"]);
        }
    }
    let told = place.squall(&arguments).expect(0);
    for said in ["FAIL panic in ", "FAIL error in ", "with network.latency=1ms, first with seed 0x"] {
        assert!(told.stdout.contains(said), "no {said:?} in {}", told.stdout);
    }
}

#[test]
fn the_same_seeds_run_in_every_cell_and_unknown_runs_have_their_reason() {
    let place = Place::new();
    let file = place.scenario("undecided", "limit = { virtual = \"5s\" }\n");
    let finished = place.json(&["sweep", &file, "--vary", "network.loss=0%,50%"]).expect(0);
    let [first, second] = <[Value; 2]>::try_from(cells(&finished)).expect("two cells");
    for part in ["runs", "passed", "failed", "unknown"] {
        assert_eq!(first[part], second[part]);
        assert!(first[part].as_u64().is_some_and(|count| count > 10), "{first}");
    }
    assert_eq!(first["failures"][0]["first_seed"], second["failures"][0]["first_seed"]);
    let unknown = &first["unknowns"][0];
    assert_eq!(unknown["runs"], first["unknown"]);
    assert!(unknown["reason"].as_str().is_some_and(|reason| reason.contains("limit of 5 s")), "{unknown}");
    assert!(unknown["replay"].as_str().is_some_and(|replay| replay.contains(" --set network.loss=0%")), "{unknown}");
}

#[test]
fn what_is_told_does_not_depend_on_the_jobs() {
    let place = Place::new();
    for (program, more, arguments) in [
        ("two-faults", "", &["--vary", "network.latency=1ms..=9ms:3"][..]),
        ("impatient", "", &["--vary", "network.loss=0%,10%", "--find", "network.latency=1ms..=200ms"]),
        ("undecided", "limit = { virtual = \"5s\" }\n", &["--vary", "network.loss=0%,10%"]),
        ("copying", "", &["--vary", "network.latency=1ms,9ms"]),
    ] {
        let file = place.scenario(program, more);
        let swept = |jobs: &str| {
            let out = place.path(&format!("out-{program}-{jobs}"));
            let out = out.display().to_string();
            let all = [&["sweep", &file, "--seeds", "0..60", "--jobs", jobs, "--out", &out], arguments].concat();
            let finished = place.json(&all).expect(0);
            let read = |name: &str| std::fs::read_to_string(format!("{out}/{name}")).expect("a file");
            (timeless(&finished), read("sweep.json"), read("sweep.csv"))
        };
        let alone = swept("1");
        assert_eq!(alone, swept("2"), "{program}");
        assert_eq!(alone, swept("7"), "{program}");
    }
}

#[test]
fn files_hold_what_is_told() {
    let place = Place::new();
    let file = place.scenario("choosy", "[args]\nfrom = 2\nto = 4\n");
    let vary = ["--vary", "args.number=1,2.5,9", "--vary", "network.latency={ uniform = [\"1ms\", \"2ms\"] }"];
    let out = place.path("deep/out").display().to_string();
    let finished = place.sweep(&file, &[&vary[..], &["--out", &out]].concat()).expect(0);
    let json: Value =
        serde_json::from_str(&std::fs::read_to_string(format!("{out}/sweep.json")).expect("a file")).expect("JSON");
    assert_eq!(json["cells"], Value::Array(cells(&finished)));
    assert_eq!((&json["complete"], &json["runs"], &json["scenario"]), (&true.into(), &9.into(), &"choosy".into()));
    let csv = std::fs::read_to_string(format!("{out}/sweep.csv")).expect("a file");
    let rows: Vec<&str> = csv.split("\r\n").collect();
    assert_eq!(
        rows[0],
        "args.number,network.latency,runs,passed,failed,unknown,failed: panic,operations_of,operations,answered,unanswered,\
         unmeasured_runs,answered_per_s,p50_ns,p99_ns,p99.9_ns,max_ns"
    );
    let latency = "\"{ uniform = [\"\"1ms\"\", \"\"2ms\"\"] }\"";
    assert_eq!(rows[1], format!("1,{latency},3,3,0,0,0,,0,0,0,0,,,,,"));
    assert_eq!(rows[2], format!("2.5,{latency},3,0,3,0,3,,0,0,0,0,,,,,"));
    assert_eq!((rows.len(), rows[4]), (5, ""));
    // Where nothing can be written, nothing runs.
    place.write("taken", "");
    let blocked = place.path("taken").display().to_string();
    let finished = place.sweep(&file, &["--vary", "args.number=1", "--out", &blocked]).expect(1);
    assert!(finished.stdout.is_empty(), "{}", finished.stdout);
}

#[test]
fn a_threshold_of_latency_is_found_on_both_sides() {
    let place = Place::new();
    let file = place.scenario("impatient", "");
    // An answer takes twice the latency, and the client waits for 100 ms.
    let finished =
        place.json(&["sweep", &file, "--find", "network.latency=1ms..=10s", "--property", "error"]).expect(0);
    let found = thresholds(&finished).remove(0);
    let ns = |side: &str| {
        let value = found[side]["value"].as_str().expect("a value");
        squall::scenario::parse_duration(value).expect("a duration").as_nanos() as u64
    };
    let (passes, fails) = (ns("passes"), ns("fails"));
    assert!(passes <= 50_000_000 && 50_000_000 <= fails && (fails - passes) * 100 <= fails, "{found}");
    assert_eq!((&found["key"], &found["property"]), (&"network.latency".into(), &"error".into()));
    assert_eq!((&found["fails"]["runs"], &found["fails"]["failed"]), (&100.into(), &100.into()));
    assert_eq!((&found["passes"]["runs"], &found["passes"]["failed"]), (&100.into(), &0.into()));
    // 0.05^(1/100), to the millionth.
    assert_eq!((&found["fails"]["at_least"], &found["passes"]["fewer_than"]), (&json!(0.970487), &json!(0.029513)));
    assert_eq!((&found["passes_above"], &found["confidence"]), (&json!([]), &json!(0.95)));
    // Each value that was tried is a cell, and the threshold comes behind them.
    let lines = finished.lines();
    assert_eq!(lines[lines.len() - 2]["event"], "threshold-found");
    let tried: Vec<String> = cells(&finished).iter().map(|cell| settings(cell)[0].to_string()).collect();
    assert_eq!((&*tried[0], &*tried[8]), ("1ms", "10s"));
    assert_eq!(finished.summary()["cells"], tried.len());
    assert_eq!(finished.summary()["runs"], 100 * tried.len());
    let told = place.squall(&["sweep", &file, "--find", "network.latency=1ms..=10s"]).expect(0);
    let said = format!(
        "network.latency: a property fails at {} in 100 of 100 runs (at least 97.0 %, 95 % confidence), at {} in none of 100 \
         (fewer than 3.0 %)\n",
        found["fails"]["value"].as_str().expect("text"),
        found["passes"]["value"].as_str().expect("text")
    );
    assert!(told.stdout.contains(&said), "no {said:?} in {}", told.stdout);
    // One failure is shown: that of the threshold.
    assert_eq!(told.stdout.matches("FAIL error in ").count(), 1, "{}", told.stdout);
}

#[test]
fn thresholds_at_the_ends_several_of_them_and_of_other_numbers_are_told() {
    let place = Place::new();
    let file = place.scenario("choosy", "");
    let find = |args: &[&str], range: &str| {
        let args: Vec<String> = args.iter().map(|arg| format!("args.{arg}")).collect();
        let mut arguments = vec!["--find", range];
        args.iter().for_each(|arg| arguments.extend(["--set", arg]));
        let told =
            place.squall(&[&["sweep", &file, "--no-check", "--seeds", "0..3"], &arguments[..]].concat()).expect(0);
        (thresholds(&place.sweep(&file, &arguments).expect(0)).remove(0), told.stdout)
    };
    let value = |found: &Value, side: &str| found[side]["value"].as_str().map(str::to_string);
    // Whole numbers: next to each other.
    let (found, _) = find(&["from=37", "to=1e9"], "args.number=1..=1000");
    assert_eq!((value(&found, "passes"), value(&found, "fails")), (Some("36".into()), Some("37".into())));
    let (found, told) = find(&["from=0", "to=1e9"], "args.number=1..=1000");
    assert_eq!((value(&found, "passes"), value(&found, "fails")), (None, Some("1".into())));
    assert!(
        told.contains("fails at 1 in 3 of 3 runs (at least 36.8 %, 95 % confidence), the lowest value\n"),
        "{told}"
    );
    let (found, told) = find(&["from=1001", "to=1e9"], "args.number=1..=1000");
    assert_eq!((value(&found, "passes"), value(&found, "fails")), (Some("1000".into()), None));
    assert!(
        told.contains("a property fails at no value; at 1000 in none of 3 (fewer than 63.2 %), the highest\n"),
        "{told}"
    );
    // It fails, and passes again.
    let (found, told) = find(&["from=30", "to=60"], "args.number=1..=101:5");
    assert_eq!((value(&found, "passes"), value(&found, "fails")), (Some("29".into()), Some("30".into())));
    assert_eq!(found["passes_above"], json!(["76", "101"]));
    assert!(told.contains("\n    but not at 76, 101, which is more: there isn't one threshold"), "{told}");
    // With a point, to a percent.
    let (found, _) = find(&["from=0.333", "to=1e9"], "args.number=0.001..=2.5");
    let number = |side| value(&found, side).expect("a value").parse::<f64>().expect("a number");
    let (passes, fails) = (number("passes"), number("fails"));
    assert!(passes < 0.333 && 0.333 <= fails && fails - passes <= fails / 100.0, "{found}");
    // Another property is told apart: of what nobody knows the worst is taken.
    let other = ["--set", "args.other_from=5", "--set", "args.from=50", "--set", "args.to=100"];
    let arguments = [&["--find", "args.number=1..=60:4", "--property", "panic"], &other[..]].concat();
    let found = thresholds(&place.sweep(&file, &arguments).expect(0)).remove(0);
    assert_eq!((value(&found, "passes"), value(&found, "fails")), (Some("49".into()), Some("50".into())));
    assert_eq!((&found["passes"]["failed_otherwise"], &found["passes"]["fewer_than"]), (&3.into(), &json!(1.0)));
}

#[test]
fn a_threshold_is_found_in_each_cell_of_a_grid() {
    let place = Place::new();
    let file = place.scenario("impatient", "");
    let vary = ["--vary", "args.timeout=40ms,100ms", "--find", "network.latency=1ms..=100ms:5log"];
    let found = thresholds(&place.sweep(&file, &vary).expect(0));
    assert_eq!(found.len(), 2);
    for (found, timeout) in found.iter().zip(["40ms", "100ms"]) {
        assert_eq!(found["settings"], json!({ "args.timeout": timeout }));
        let at = |side: &str| {
            squall::scenario::parse_duration(found[side]["value"].as_str().expect("text")).expect("a duration")
        };
        let half = squall::scenario::parse_duration(timeout).expect("a duration") / 2;
        assert!(at("passes") <= half && half <= at("fails"), "{found}");
    }
    // A share, to a hundredth of a percent: a lost answer is seen as soon as there is one.
    let found = thresholds(&place.sweep(&file, &["--find", "network.loss=0%..=100%:3"]).expect(0)).remove(0);
    let percent = |side: &str| {
        let text = found[side]["value"].as_str().expect("text");
        text.strip_suffix('%').expect("a share").parse::<f64>().expect("a number")
    };
    assert!(percent("fails") - percent("passes") < 0.010_001, "{found}");
}

#[test]
fn a_canary_is_swept_like_any_other() {
    let place = Place::new();
    let file = place.scenario("choosy", "expect = \"panic\"\n[args]\nfrom = 2\nto = 4\n");
    let finished = place.sweep(&file, &["--vary", "args.number=1..=3:3"]).expect(0);
    let failed: Vec<Value> = cells(&finished).iter().map(|cell| cell["failed"].clone()).collect();
    assert_eq!(failed, [0, 3, 3]);
}

#[cfg(target_os = "linux")]
#[test]
fn runs_have_processes_where_they_need_them() {
    let place = Place::new();
    let calm = place.scenario("recording", "isolation = \"process\"\n");
    let same = place.scenario("impatient", "");
    for file in [&calm, &same] {
        let arguments = ["--vary", "network.latency=1ms,60ms"];
        let in_processes = place.sweep(file, &[&arguments[..], &["--set", "isolation=process"]].concat()).expect(0);
        let on_threads = place.sweep(file, &[&arguments[..], &["--set", "isolation=thread"]].concat()).expect(0);
        for (one, other) in cells(&in_processes).iter().zip(&cells(&on_threads)) {
            for part in ["operations", "latency_ns", "virtual_ns", "passed", "failed", "settings"] {
                assert_eq!(one[part], other[part]);
            }
        }
    }
    // One that ends its process is one failed run, of which nobody knows the operations.
    let file = place.scenario("exiting", "isolation = \"process\"\n");
    let finished = place.sweep(&file, &["--vary", "network.latency=1ms,2ms"]).expect(0);
    let cell = cells(&finished).remove(1);
    assert_eq!((&cell["failures"][0]["property"], &cell["failures"][0]["runs"]), (&"exit".into(), &3.into()));
    assert_eq!(cell["operations"]["unmeasured_runs"], 3);
}

#[cfg(target_os = "linux")]
#[test]
fn what_does_not_repeat_itself_is_told_or_begun_again_in_processes() {
    let place = Place::new();
    let file = place.scenario("late-counting", "");
    let vary = ["--vary", "network.latency=1ms,2ms"];
    let finished = place.json(&[&["sweep", &file, "--no-check"], &vary[..]].concat()).expect(110);
    assert!(finished.stderr.contains("NOT DETERMINISTIC: seed 0x63"), "{}", finished.stderr);
    assert_eq!(finished.summary()["cells"], 2);
    let finished = place.json(&[&["sweep", &file, "--set", "isolation=auto"], &vary[..]].concat()).expect(0);
    assert!(finished.stderr.contains("from here on each run has a process of its own"), "{}", finished.stderr);
    // No cell is told twice.
    let numbers: Vec<Value> = cells(&finished).iter().map(|cell| cell["cell"].clone()).collect();
    assert_eq!(numbers, [0, 1]);
    // The first seed is looked at before the others.
    let file = place.scenario("counting", "");
    let finished = place.json(&[&["sweep", &file, "--seeds", "0..3"], &vary[..]].concat()).expect(110);
    assert!(finished.lines().iter().any(|line| line["event"] == "nondeterminism"), "{}", finished.stdout);
    // Where nothing is amiss, lines are kept back until it is known.
    let file = place.scenario("calm", "isolation = \"auto\"\n");
    assert_eq!(cells(&place.sweep(&file, &vary).expect(0)).len(), 2);
}

#[cfg(unix)]
#[test]
fn an_interrupt_tells_what_there_is() {
    use std::io::{BufRead, BufReader, Read};
    let place = Place::new();
    let file = place.scenario("calm", "");
    let out = place.path("out").display().to_string();
    let seeds = ["--seeds", "0..2000", "--jobs", "1", "--no-check", "--out", &out, "--message-format", "json"];
    let mut child = place
        .command(&[&["sweep", &file, "--vary", "network.latency=1ms..=1s:1000"], &seeds[..]].concat())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it starts");
    let mut lines = BufReader::new(child.stdout.take().expect("a pipe"));
    for event in ["sweep-started", "\"cell\":0"] {
        let mut line = String::new();
        lines.read_line(&mut line).expect("a line");
        assert!(line.contains(event), "{line}");
    }
    let killed = Command::new("kill").args(["-INT", &child.id().to_string()]).status().expect("kill");
    assert!(killed.success());
    let mut rest = String::new();
    lines.read_to_string(&mut rest).expect("text");
    assert_eq!(child.wait().expect("it ends").code(), Some(130));
    let rest: Vec<Value> = rest.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let summary = rest.last().expect("a summary");
    assert_eq!((&summary["event"], &summary["cells"]), (&"sweep-finished".into(), &json!(rest.len())));
    let runs: u64 = rest[..rest.len() - 1].iter().filter_map(|cell| cell["runs"].as_u64()).sum();
    assert_eq!(summary["runs"], 2_000 + runs);
    let json: Value =
        serde_json::from_str(&std::fs::read_to_string(format!("{out}/sweep.json")).expect("a file")).expect("JSON");
    assert_eq!((&json["complete"], json["cells"].as_array().map(Vec::len)), (&false.into(), Some(rest.len())));
}

#[test]
fn every_wrong_argument_is_a_message_with_its_place() {
    let place = Place::new();
    let healed = "[[fault]]\nname = \"down\"\nkind = \"crash\"\nnode = \"client\"\nat = \"5s\"\n[heal]\nat = \"20s\"\n";
    let file = place.scenario("recording", healed);
    let mut wrong = Vec::new();
    for (arguments, said) in [
        (
            &["--vary", "network.latency=1ms..="][..],
            &["an end of the range is missing", "--vary network.latency=1ms..=:1:22"][..],
        ),
        (&["--vary", "network.latency=..=1ms:2"], &["an end of the range is missing"]),
        (&["--vary", "network.latency=200ms..=1ms:3"], &["the lesser end comes first", "1ms..=200ms:3?"]),
        (&["--vary", "network.latency=200ms..=1ms:3log"], &["the lesser end comes first", "1ms..=200ms:3log?"]),
        (&["--vary", "network.latency=1ms..=1ms:3"], &["the lesser end comes first", "there is --set"]),
        (&["--vary", "network.latency=1ms..=2ms:0"], &["a range has two values at least"]),
        (&["--vary", "network.latency=1ms..=2ms:1"], &["a range has two values at least"]),
        (&["--vary", "network.latency=1ms..=2ms:1log"], &["a range has two values at least"]),
        (&["--vary", "network.latency=1ms..=2ms:"], &["expected how many values there are", "8log"]),
        (&["--vary", "network.latency=1ms..=2ms:-3"], &["expected how many values there are"]),
        (&["--vary", "network.latency=1ms..=2ms:8lin"], &["expected how many values there are"]),
        (&["--vary", "network.latency=1ms..=2ms:10001"], &["10001 values are too many", ":1:27"]),
        (&["--vary", "network.latency=1ms..=2ms:99999999999999999999999"], &["expected how many values there are"]),
        (&["--vary", "network.latency=1ns..=3ns:10000"], &["there aren't so many different values"]),
        (&["--vary", "nodes.client=1..=10:8log"], &["there aren't so many different values"]),
        (
            &["--vary", "network.latency=0ms..=2ms:3log"],
            &["a logarithmic range begins above zero", "leave out log: 0ms..=2ms:3"],
        ),
        (&["--vary", "network.latency=1ms..=5%:3"], &["a duration and a share in percent", "expected a duration"]),
        (&["--vary", "network.latency=1..=5ms:3"], &["a whole number and a duration"]),
        (&["--vary", "network.latency=-1ms..=5ms:3"], &["a range has no negative ends"]),
        (&["--vary", "network.latency=1ms..=5parsecs:3"], &["expected a duration such as", ":1:23"]),
        (&["--vary", "network.latency=1ms..=2ms"], &["doesn't say how many values it has", "1ms..=2ms:8log"]),
        (&["--vary", "network.latency=1ms..2ms:3"], &["is written with ..=", "of it: 1ms..=2ms:3"]),
        (&["--vary", "network.latency=1ms...=2ms:3"], &["is written with ..=", "of it: 1ms..=2ms:3"]),
        (&["--vary", "network.latency=1ms..=2ms:3,5ms"], &["a range can't be part of a list"]),
        (&["--vary", "network.loss=0.00001%..=1%:3"], &["too large, or too fine"]),
        (&["--vary", "nodes.client=1..=99999999999999999999:3"], &["too large, or too fine"]),
        (&["--vary", "network.loss="], &["there is no value"]),
        (&["--vary", "network.loss=1%,,2%"], &["a value of the list is empty", ":1:16"]),
        (&["--vary", "network.loss=1%,"], &["a value of the list is empty"]),
        (&["--vary", "network.loss=1%,1%"], &["the value 1% is there twice", ":1:17"]),
        (&["--vary", "network.loss=1%,1.0%"], &["the value 1.0% is there twice", ":1:17"]),
        (&["--vary", "network.latency=1s,5ms,1000ms"], &["the value 1000ms is there twice"]),
        (&["--vary", "network.loss"], &["expected a key and its values", "expected key=values"]),
        (&["--vary", ""], &["expected a key and its values"]),
        (&["--vary", "=1,2"], &["is no key of a setting"]),
        (&["--vary", "seeds=0..5"], &["`seeds` can't be varied", "--seeds A..B"]),
        (&["--vary", "isolation=thread,process"], &["`isolation` can't be varied"]),
        (&["--vary", "network.loss=1%", "--vary", " network . loss = 2%"], &["`network.loss` is varied twice"]),
        (
            &["--vary", "network.loss=1%", "--find", "network.loss=2%..=5%"],
            &["`network.loss` is varied twice", "--find "],
        ),
        (
            &["--vary", "a=1..=1000:1000", "--vary", "b=1..=1000:1000"],
            &["the grid has 1000000 cells, and 10000 are the most"],
        ),
        (&["--find", "network.loss=1%,2%"], &["a threshold is looked for in a range"]),
        (
            &["--find", "network.loss=1%..=2%", "--property", "panik"],
            &["\"panik\", which is no property", "did you mean panic?"],
        ),
        (&["--vary", "network.loss=1%", "--property", "panic"], &["--find"]),
        (&[], &["there is nothing to vary"]),
        // What the scenario makes of them.
        (
            &["--vary", "network.latensy=1ms,2ms"],
            &["unknown key `latensy`", "--vary network.latensy=1ms,2ms:1:9", "`latency`?"],
        ),
        (&["--vary", "network.latency=1ms,5"], &["without a unit", "--vary network.latency=1ms,5:1:21"]),
        (
            &["--vary", "network.loss=50%..=150%:3"],
            &["at most 100%, found \"150%\"", "--vary network.loss=50%..=150%:3:1:14"],
        ),
        (&["--vary", "link.client.latency=1ms,2ms"], &["no [[link]] is named \"client\"", "FROM:TO"]),
        (&["--vary", "link.client:.latency=1ms,2ms"], &["a link is named by both of its ends"]),
        (&["--vary", "link.client:sever.latency=1ms,2ms"], &["the link names the node \"sever\"", ":1:13"]),
        (&["--vary", "link.client:client.to=client"], &["`to` can't be set"]),
        (&["--vary", "fault.up.at=1s,2s"], &["no [[fault]] is named \"up\""]),
        // A cell that can't be: the second.
        (
            &["--vary", "fault.down.at=1s,30s"],
            &["never happens: all faults stop at 20 s", "--vary fault.down.at=1s,30s:1:18"],
        ),
        (&["--vary", "heal.at=20s,4s"], &["with heal.at=4s:", "recording.toml"]),
    ] {
        let finished = place.sweep(&file, arguments);
        // Drawn lines are broken where they are long.
        let words: Vec<&str> = finished.stderr.split_whitespace().filter(|word| *word != "│").collect();
        let told = words.join(" ");
        let untold = said.iter().filter(|said| !told.contains(**said));
        wrong.extend(untold.map(|said| format!("{arguments:?}: no {said:?} in {told}")));
        if finished.code != 2 || !finished.stdout.is_empty() {
            wrong.push(format!("{arguments:?}: code {}, {}{}", finished.code, finished.stdout, finished.stderr));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let finished = place.json(&["sweep", &file, "--vary", "network.loss=1%", "--seeds", "5..5"]).expect(4);
    assert!(finished.stderr.contains("nothing ran"), "{}", finished.stderr);
}

/// Ten times the bandwidth is a tenth of the time that a call's bytes take, there and back.
#[test]
fn bandwidths_are_varied() {
    let place = Place::new();
    let file = place.scenario("impatient", "network.latency = \"1ms\"\n");
    let p50s = |vary: &str| {
        let finished = place.sweep(&file, &["--vary", vary]).expect(0);
        let cells = cells(&finished);
        let p50 = |cell: &Value| cell["latency_ns"]["p50"].as_u64().expect("a number") - 2_000_000;
        cells.iter().map(|cell| (settings(cell)[0].to_string(), p50(cell))).collect::<Vec<_>>()
    };
    let found = p50s("network.bandwidth=1Mbit/s..=100Mbit/s:3log");
    let (bandwidths, times): (Vec<String>, Vec<u64>) = found.into_iter().unzip();
    assert_eq!(bandwidths, ["1Mbit/s", "10Mbit/s", "100Mbit/s"]);
    // Two messages of 28 bytes and a few, at a microsecond for each bit.
    assert!((2 * 28 * 8_000..2 * 60 * 8_000).contains(&times[0]), "{times:?}");
    assert!(times[0].abs_diff(10 * times[1]) <= 20 && times[1].abs_diff(10 * times[2]) <= 20, "{times:?}");
    // One link alone; and the uplink of both servers, which is one way of the two.
    let of_link = p50s("link.client-0:server-*.bandwidth=1Mbit/s,1Gbit/s");
    assert!(of_link[0].1 < times[0] && of_link[1].1 < times[2], "{of_link:?}");
    let threshold = place.sweep(&file, &["--find", "network.bandwidth=1kbit/s..=1Mbit/s"]).expect(0);
    let found = thresholds(&threshold);
    // At 98 ms for all bits of a call it is just in time.
    let fails = found[0]["fails"]["value"].as_str().expect("text").to_string();
    assert!(fails.ends_with("kbit/s"), "{fails}");
    for (range, said) in [
        ("1Mbit/s..=100ms:3", "and these are a bandwidth and a duration"),
        ("1Mbps/s..=1Gbit/s:3", "expected a bandwidth such as"),
        ("0Mbit/s..=1Gbit/s:3", "expected more than nothing"),
        ("1Mbit/s..=0.1Gbit/s", "doesn't say how many values"),
    ] {
        let finished = place.sweep(&file, &["--vary", &format!("network.bandwidth={range}")]).expect(2);
        let shown = finished.stderr.split_whitespace().filter(|word| *word != "│").collect::<Vec<_>>().join(" ");
        assert!(shown.contains(said), "{range}: {shown}");
    }
}

/// Recordings are varied like any other value: each cell is read from files of its own.
#[test]
fn recordings_are_varied() {
    let place = Place::new();
    place.write("fast.csv", "at,latency\n0s,3ms\n");
    place.write("slow.csv", "at,latency\n0s,20ms\n");
    let file = place.scenario("impatient", "");
    let vary = "network.latency={ trace = \"fast.csv\" },{ trace = \"slow.csv\" },5ms";
    let finished = place.sweep(&file, &["--vary", vary]).expect(0);
    let p50s: Vec<Value> = cells(&finished).iter().map(|cell| cell["latency_ns"]["p50"].clone()).collect();
    assert_eq!(p50s, [json!(6_000_000), json!(40_000_000), json!(10_000_000)]);
    let missing = place.sweep(&file, &["--vary", "network.latency={ trace = \"none.csv\" },5ms"]).expect(2);
    assert!(missing.stderr.contains("none.csv can't be read"), "{}", missing.stderr);
}
