//! Shards from the command line: what they come to together is what one process comes to, and what doesn't fit is refused.

mod place;

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Stdio};

use place::{Finished, Place};
use serde_json::Value;

/// All that is below a directory, by its path.
fn files(directory: &Path) -> BTreeMap<String, String> {
    let mut all = BTreeMap::new();
    for entry in std::fs::read_dir(directory).into_iter().flatten() {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            let below = files(&path).into_iter();
            let name = path.file_name().expect("a name").to_string_lossy().into_owned();
            all.extend(below.map(|(file, text)| (format!("{name}/{file}"), text)));
        } else {
            let name = path.file_name().expect("a name").to_string_lossy().into_owned();
            all.insert(name, std::fs::read_to_string(&path).unwrap_or_default());
        }
    }
    all
}

/// The summary without its time, which is another each time.
fn summary(finished: &Finished) -> Value {
    let mut summary = finished.summary();
    assert!(summary["seconds"].is_number(), "{summary}");
    summary["seconds"] = 0.into();
    summary
}

/// JUnit's XML without times and the path of the program's file.
fn without_times(xml: &str) -> String {
    xml.split(" time=\"").map(|part| part.split_once('"').map_or(part, |(_, rest)| rest)).collect()
}

/// What was complained of, without the frame and the breaks of its lines.
fn complaint(finished: &Finished) -> String {
    let words: Vec<&str> = finished.stderr.split_whitespace().filter(|word| *word != "│").collect();
    words.join(" ")
}

/// Runs all shards and gives what they were written to.
#[track_caller]
fn explore(place: &Place, file: &str, count: usize, more: &[&str], codes: &[i32]) -> Vec<String> {
    let mut shards = Vec::new();
    for index in 1..=count {
        let shard = format!("{index}/{count}");
        // However many jobs there are.
        let jobs = (1 + index % 3).to_string();
        let arguments = [&["explore", file, "--shard", &shard, "--jobs", &jobs, "--out", "shards"], more].concat();
        let finished = place.json(&arguments);
        assert!(codes.contains(&finished.code), "{index}: {} {}", finished.code, finished.stderr);
        let lines = finished.lines();
        let [.., written, summary] = &*lines else { panic!("{lines:?}") };
        assert_eq!((&written["event"], &summary["event"]), (&"shard-written".into(), &"explore-finished".into()));
        assert_eq!(written["shard"], *shard);
        shards.push(written["file"].as_str().expect("a path").to_string());
    }
    shards
}

fn merge<'s>(shards: &'s [String], more: &[&'s str]) -> Vec<&'s str> {
    ["merge"].into_iter().chain(shards.iter().map(String::as_str)).chain(more.iter().copied()).collect()
}

#[test]
fn what_shards_come_to_is_what_one_process_comes_to() {
    let place = Place::new();
    let file = place.scenario("two-faults", "");
    for (count, more) in [(1, &[][..]), (3, &[]), (3, &["--max-failures", "5"]), (7, &["--no-shrink"])] {
        let seeds = [&["--seeds", "20..420"], more].concat();
        for directory in ["one", "merged", "shards"] {
            let _ = std::fs::remove_dir_all(place.path(directory));
        }
        let one = ["explore", &file, "--out", "one", "--junit", "one.xml"];
        let one = place.json(&[&one[..], &seeds].concat()).expect(100);
        // Traces are one process's own.
        let is_saved = |(path, _): &(String, String)| path.ends_with(".toml");
        let saved: BTreeMap<_, _> = files(&place.path("one")).into_iter().filter(is_saved).collect();

        let shards = explore(&place, &file, count, &seeds, &[100]);
        let merged = place.json(&merge(&shards, &["--out", "one", "--junit", "merged.xml"])).expect(100);
        assert_eq!(summary(&one), summary(&merged));
        place.json(&merge(&shards, &["--out", "merged"])).expect(100);
        assert_eq!(saved, files(&place.path("merged")));
        assert_eq!(saved.is_empty(), more.contains(&"--no-shrink"));
        let junit = |name| without_times(&std::fs::read_to_string(place.path(name)).expect("a file"));
        assert_eq!(junit("one.xml"), junit("merged.xml"));

        // In another order, one of them twice, as text.
        let mut reversed: Vec<String> = shards.iter().rev().cloned().collect();
        reversed.push(shards[0].clone());
        let said = place.squall(&merge(&reversed, &["--out", "one"])).expect(100).stdout;
        assert!(said.contains("FAIL error in ") && said.contains("FAIL panic in "), "{said}");
        assert_eq!(said.contains("replay one/two-faults/error-0x"), !more.contains(&"--no-shrink"), "{said}");
    }
}

/// What a shard found is replayed where it lies, and after the merge where that puts it.
#[test]
fn failures_of_shards_are_saved_apart_and_replay() {
    let place = Place::new();
    let file = place.scenario("two-faults", "");
    let kept = place.squall(&["explore", &file, "--max-failures", "1"]).expect(100);
    let kept = kept.stdout.lines().find_map(|line| line.split_once("replay ")).expect("a command").1.to_string();
    assert!(kept.starts_with("squall-regressions/"), "{kept}");
    let before = files(&place.path("squall-regressions"));

    let shards = explore(&place, &file, 2, &[], &[100]);
    assert_eq!(files(&place.path("squall-regressions")), before, "shards leave what is kept alone");
    for index in 1..=2 {
        let directory = format!("shards/two-faults/shard-{index}-of-2");
        let saved = files(&place.path(&directory));
        assert_eq!(saved.len(), 2, "{saved:?}");
        for name in saved.keys() {
            place.squall(&["replay", &format!("{directory}/{name}")]).expect(100);
        }
    }
    let merged = place.json(&merge(&shards, &[])).expect(100);
    let of_kept: Vec<Value> = merged.lines().into_iter().filter(|line| line["event"] == "regression").collect();
    assert_eq!(of_kept.len(), 1, "the first shard alone ran it: {of_kept:?}");
    assert_eq!((&of_kept[0]["file"], &of_kept[0]["outcome"]), (&kept.into(), &"same".into()));
    for failure in
        merged.summary()["failures"].as_array().expect("a list").iter().filter(|one| one["file"] != Value::Null)
    {
        place.squall(&["replay", failure["file"].as_str().expect("a path")]).expect(100);
    }
    // In CI they are put aside for upload.
    let in_ci = place.command(&merge(&shards, &[])).env("CI", "true").output().expect("it starts");
    assert_eq!(in_ci.status.code(), Some(100));
    assert_eq!(files(&place.path("target/squall/two-faults")).len(), 2);
}

/// Whether what is to fail does can only be said of all shards together.
#[test]
fn what_is_expected_is_expected_of_all_shards_together() {
    let place = Place::new();
    let file = place.scenario("two-faults", "expect = \"error\"\n");
    // Seed 1 ends with an error; 2 and 3 pass; 4 panics.
    let shards = explore(&place, &file, 3, &["--seeds", "1..4"], &[0]);
    let said = place.squall(&merge(&shards, &["--out", "merged"])).expect(0).stdout;
    assert!(said.contains("as expected: error failed, and nothing else did"), "{said}");
    let shards = explore(&place, &file, 2, &["--seeds", "2..4", "--junit", "shard.xml"], &[0]);
    let xml = std::fs::read_to_string(place.path("shard.xml")).expect("a file");
    assert!(!xml.contains("not-found"), "{xml}");
    let said = place.squall(&merge(&shards, &["--junit", "merged.xml"])).expect(100).stdout;
    assert!(said.contains("expected error to fail, but in 2 runs it didn't"), "{said}");
    assert!(std::fs::read_to_string(place.path("merged.xml")).expect("a file").contains("not-found"));
    // Something else failing is wrong in a shard, too.
    place.squall(&["explore", &file, "--seeds", "1..5", "--shard", "4/4"]).expect(100);
    place.squall(&["explore", &file, "--seeds", "1..5", "--shard", "3/4"]).expect(0);
}

#[test]
fn a_shard_without_seeds_passes() {
    let place = Place::new();
    let file = place.scenario("calm", "");
    let finished = place.squall(&["explore", &file, "--seeds", "0..2", "--shard", "1/3"]).expect(0);
    assert!(finished.stdout.contains("there is no seed in this shard"), "{}", finished.stdout);
    let shards = explore(&place, &file, 3, &["--seeds", "0..2"], &[0]);
    assert_eq!(place.json(&merge(&shards, &[])).expect(0).summary()["runs"], 2);
    // Without a seed it runs what is kept, and says what became of that.
    let kept = place.path("squall-regressions/two-faults");
    let faults = place.scenario("two-faults", "");
    place.squall(&["explore", &faults, "--seeds", "1..2"]).expect(100);
    assert!(kept.join("error-0x1.toml").is_file());
    let empty = place.squall(&["explore", &faults, "--seeds", "0..1", "--shard", "1/2"]).expect(100);
    assert!(empty.stdout.contains("there is no seed in this shard"), "{}", empty.stdout);
    assert!(empty.stdout.contains("error-0x1.toml: same: error fails"), "{}", empty.stdout);
    // So does one process that runs no seed.
    let none = place.squall(&["explore", &faults, "--seeds", "7..7"]).expect(100);
    assert!(none.stdout.contains("nothing ran") && none.stdout.contains("same: error fails"), "{}", none.stdout);
    // All of them: nothing ran, as one process says.
    let shards = explore(&place, &file, 2, &["--seeds", "7..7"], &[0]);
    place.squall(&["explore", &file, "--seeds", "7..7"]).expect(4);
    place.squall(&merge(&shards, &[])).expect(4);
}

#[test]
fn a_shard_that_ends_with_its_time_says_what_it_ran() {
    let place = Place::new();
    let file = place.scenario("calm", "");
    let mut runs = 0;
    for shard in ["1/2", "2/2"] {
        let arguments = ["explore", &file, "--seeds", "0..0x100000000", "--for", "300ms", "--shard", shard];
        let finished = place.json(&[&arguments[..], &["--out", "shards"]].concat()).expect(0);
        let lines = finished.lines();
        let [.., written, summary] = &*lines else { panic!("{lines:?}") };
        assert_eq!(written["seeds"], "0x0..0x100000000");
        let start = if shard == "1/2" { 0 } else { 1u64 << 31 };
        let ran = summary["runs"].as_u64().expect("a number");
        assert_eq!(written["ran"], format!("{start:#x}..{:#x}", start + ran));
        runs += ran;
    }
    let shards = ["shards/calm/shard-1-of-2.jsonl.zst", "shards/calm/shard-2-of-2.jsonl.zst"].map(str::to_string);
    assert_eq!(place.json(&merge(&shards, &[])).expect(0).summary()["runs"], runs);
}

/// Runs on threads that don't repeat themselves make a shard go on with processes; the others need not.
#[test]
fn shards_that_left_threads_are_added_up_with_others() {
    let place = Place::new();
    let file = place.scenario("late-counting", "isolation = \"auto\"\nexpect = \"panic\"\n");
    let shards = explore(&place, &file, 2, &["--seeds", "0..300"], &[0]);
    let said = place.squall(&merge(&shards, &[])).expect(100).stdout;
    assert!(said.contains("300 runs in "), "{said}");
    // What wasn't saved is run again as it was run.
    let file = place.scenario("counting-and-failing", "isolation = \"auto\"\n");
    let shards = explore(&place, &file, 2, &["--no-shrink"], &[100]);
    for finished in [place.squall(&merge(&shards, &[])), place.squall(&["explore", &file, "--no-shrink"])] {
        let said = finished.expect(100).stdout;
        let replay = said.lines().find_map(|line| line.split_once(" replay ")).expect("a command").1;
        assert!(replay.ends_with(" --set isolation=process"), "{replay}");
        let arguments: Vec<&str> = ["replay"].into_iter().chain(replay.split(' ')).collect();
        place.squall(&arguments).expect(100);
    }
    let file = place.scenario("two-faults", "isolation = \"process\"\n");
    let one = place.json(&["explore", &file, "--out", "one"]).expect(100);
    let shards = explore(&place, &file, 3, &[], &[100]);
    let merged = place.json(&merge(&shards, &["--out", "one"])).expect(100);
    assert_eq!(summary(&one), summary(&merged));
}

#[test]
fn what_does_not_belong_together_is_refused() {
    let place = Place::new();
    let file = place.scenario("two-faults", "");
    let shards = explore(&place, &file, 3, &[], &[100]);
    let refused = |shards: &[String], said: &str| {
        let finished = place.squall(&merge(shards, &["--out", "merged"])).expect(2);
        assert!(complaint(&finished).contains(said), "{said}: {}", finished.stderr);
        assert_eq!(finished.stdout, "");
        assert!(files(&place.path("merged")).is_empty());
    };
    refused(&shards[..2], "of 3 shards, these are missing: 3/3");
    refused(&[shards[0].clone(), shards[2].clone()], "of 3 shards, these are missing: 2/3");
    let halves = explore(&place, &file, 2, &[], &[100]);
    refused(&[shards[0].clone(), halves[1].clone()], "their seeds overlap");
    let text =
        String::from_utf8(zstd::decode_all(&*std::fs::read(place.path(&shards[1])).expect("a file")).expect("zstd"));
    let text = text.expect("UTF-8");
    let other = |from: &str, to: &str| {
        assert!(text.contains(from), "{from}: {text}");
        let packed = zstd::encode_all(text.replace(from, to).as_bytes(), 3).expect("zstd");
        std::fs::write(place.path("other.jsonl.zst"), packed).expect("a file");
        [shards[0].clone(), "other.jsonl.zst".to_string(), shards[2].clone()]
    };
    let build = text.split_once("\"build\":\"").and_then(|(_, rest)| rest.split_once('"')).expect("a build").0;
    assert_eq!(build.len(), 32);
    refused(
        &other(build, &"0".repeat(32)),
        "don't belong together: the build, the program's lock file and sources, differs",
    );
    refused(
        &other("\"format\":1", "\"format\":9"),
        "other.jsonl.zst is no shard, or a damaged one: line 1: it is of format 9",
    );
    refused(&other("\"line\":\"sum\"", "\"line\":\"some\""), "other.jsonl.zst is no shard, or a damaged one: line");
    for (more, said) in [
        (&["--set", "limit.virtual=9s"][..], "the list of settings differs"),
        (&["--seeds", "0..101"], "the range of seeds differs"),
        (&["--strategy", "fifo"], "the strategy differs"),
        (&["--max-failures", "5"], "the number of failures to stop at differs"),
        (&["--hang-after", "9s"], "the time that is a hang, in nanoseconds, differs"),
        (&["--no-shrink"], "the choice to shrink differs"),
        (&["--for", "1h", "--seeds", "0..100"], "the time limit in nanoseconds differs"),
    ] {
        let arguments = ["explore", &file, "--shard", "2/3", "--out", "others"];
        place.squall(&[&arguments[..], more].concat()).expect(100);
        let other = "others/two-faults/shard-2-of-3.jsonl.zst".to_string();
        refused(&[shards[0].clone(), other, shards[2].clone()], said);
    }
    // Whoever sent it doesn't write on the terminal.
    let sent = other("\"expect\":null", "\"expect\":\"two\\u001b[2Jfaults\"");
    let finished = place.squall(&merge(&sent, &[])).expect(2);
    assert!(
        complaint(&finished).contains("the property that is to fail differs") && !finished.stderr.contains('\u{1b}'),
        "{finished:?}"
    );
    // Another text of the scenario's file.
    place.scenario("two-faults", "about = \"Another one\"\n");
    place.squall(&["explore", &file, "--shard", "2/3", "--out", "others"]).expect(100);
    let other = "others/two-faults/shard-2-of-3.jsonl.zst".to_string();
    refused(
        &[shards[0].clone(), other, shards[2].clone()],
        "the text of the scenario's file or of a recording differs",
    );
    refused(std::slice::from_ref(&file), "two-faults.toml is no shard, or a damaged one");
    refused(&["nowhere.jsonl.zst".to_string()], "nowhere.jsonl.zst can't be read");
    refused(&["others".to_string()], "others can't be read: it is a directory");
    assert!(place.squall(&["merge"]).expect(2).stderr.contains("<SHARD>"));
}

#[test]
fn which_shard_is_said_or_told_by_the_scheduler() {
    let place = Place::new();
    let file = place.scenario("calm", "");
    for (arguments, said) in [
        (&["--shard", "0/8"][..], "they count from 1"),
        (&["--shard", "9/8"], "there is no shard 9 of 8"),
        (&["--shard", "3"], "expected a shard such as 3/8"),
        (&["--shard", "auto/0"], "such as auto/8"),
        (
            &["--shard", "auto"],
            "none of SLURM_ARRAY_TASK_ID, JOB_COMPLETION_INDEX, AWS_BATCH_JOB_ARRAY_INDEX is in the",
        ),
        (&["--shard", "1/2", "--seeds", "fresh"], "--seeds fresh can't be sharded"),
        (&["--shard", "1/2", "--max-failures", "10001"], "no more than 10000 failures are listed"),
    ] {
        let finished = place.squall(&[&["explore", &file], arguments].concat()).expect(2);
        assert!(complaint(&finished).contains(said), "{said}: {}", finished.stderr);
        assert_eq!(finished.stdout, "");
    }
    let told = |shard: &str, variables: &[(&str, &str)]| {
        let mut command = place.command(&["explore", &file, "--shard", shard, "--seeds", "0..80"]);
        command.envs(variables.iter().copied());
        Finished::of(&command.output().expect("it starts"))
    };
    for (shard, variables, said) in [
        (
            "auto",
            &[
                ("SLURM_ARRAY_TASK_ID", "3"),
                ("SLURM_ARRAY_TASK_COUNT", "8"),
                ("SLURM_ARRAY_TASK_MIN", "1"),
                ("SLURM_ARRAY_TASK_MAX", "8"),
                ("SLURM_ARRAY_TASK_STEP", "1"),
            ][..],
            "seeds 20..30 (shard 3/8)",
        ),
        ("auto/8", &[("JOB_COMPLETION_INDEX", "0")], "seeds 0..10 (shard 1/8)"),
        ("auto", &[("AWS_BATCH_JOB_ARRAY_INDEX", "7"), ("AWS_BATCH_JOB_ARRAY_SIZE", "8")], "seeds 70..80 (shard 8/8)"),
    ] {
        let finished = told(shard, variables).expect(0);
        assert!(finished.stdout.contains(said), "{said}: {}", finished.stdout);
    }
    let sparse = [
        ("SLURM_ARRAY_TASK_ID", "3"),
        ("SLURM_ARRAY_TASK_COUNT", "4"),
        ("SLURM_ARRAY_TASK_MIN", "1"),
        ("SLURM_ARRAY_TASK_MAX", "7"),
        ("SLURM_ARRAY_TASK_STEP", "2"),
    ];
    for (shard, variables, said) in [
        ("auto", &sparse[..], "this is a sparse array"),
        ("auto", &[("JOB_COMPLETION_INDEX", "0")], "nothing tells how many there are"),
        ("auto/8", &[("JOB_COMPLETION_INDEX", "8")], "none of 8 that begin with 0"),
        ("auto/4", &[("AWS_BATCH_JOB_ARRAY_INDEX", "1"), ("AWS_BATCH_JOB_ARRAY_SIZE", "8")], "and auto/4 was said"),
        (
            "auto/4",
            &[("JOB_COMPLETION_INDEX", "two")],
            "JOB_COMPLETION_INDEX is \"two\", and a whole number was expected",
        ),
        ("auto/4", &[("JOB_COMPLETION_INDEX", "1"), ("SLURM_ARRAY_TASK_ID", "1")], "both SLURM_ARRAY_TASK_ID and"),
    ] {
        let finished = told(shard, variables).expect(2);
        assert!(complaint(&finished).contains(said), "{said}: {}", finished.stderr);
    }
}

/// Half a shard isn't one; what it found is there all the same.
#[cfg(unix)]
#[test]
fn a_shard_that_is_interrupted_is_missing() {
    use std::io::{BufRead, BufReader};
    let place = Place::new();
    let file = place.scenario("two-faults", "");
    let arguments = ["explore", &file, "--seeds", "0..1000000000", "--shard", "1/2", "--message-format", "json"];
    let mut command = place.command(&arguments);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it starts");
    let mut lines = BufReader::new(child.stdout.take().expect("a pipe")).lines().map(|line| line.expect("text"));
    let printed = lines.by_ref().find(|line| line.contains("\"failure\"")).expect("a failure");
    let killed = Command::new("kill").args(["-INT", &child.id().to_string()]).status().expect("kill");
    assert!(killed.success());
    let rest: Vec<String> = lines.collect();
    assert!(!rest.iter().any(|line| line.contains("shard-written")), "{rest:?}");
    let output = child.wait_with_output().expect("it ends");
    assert_eq!(output.status.code(), Some(130));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("shard 1/2 isn't whole, and isn't written"), "{said}");
    let printed: Value = serde_json::from_str(&printed).expect("JSON");
    let path = printed["file"].as_str().expect("a path");
    assert!(path.starts_with("target/squall/two-faults/shard-1-of-2/"), "{path}");
    place.squall(&["replay", path]).expect(100);
    assert!(!place.path("target/squall/two-faults/shard-1-of-2.jsonl.zst").exists());
}

#[cfg(unix)]
#[test]
fn a_place_that_can_not_be_written_is_told_before_anything_runs() {
    let place = Place::new();
    let file = place.scenario("calm", "");
    std::fs::write(place.path("taken"), "in the way").expect("a file");
    for arguments in [
        &["explore", &*file, "--shard", "1/2", "--out", "taken"][..],
        &["explore", &*file, "--shard", "1/2", "--junit", "taken/x.xml"],
    ] {
        let finished = place.squall(arguments).expect(1);
        assert!(finished.stderr.contains("taken") && finished.stdout.is_empty(), "{}", finished.stderr);
    }
    // A failure that can't be saved isn't lost by a shard that doesn't have it.
    let failing = place.scenario("two-faults", "");
    std::fs::create_dir_all(place.path("my shards/two-faults")).expect("a directory");
    std::fs::write(place.path("my shards/two-faults/shard-1-of-1"), "in the way").expect("a file");
    let explore_one = ["explore", &failing, "--shard", "1/1", "--out", "my shards"];
    let finished = place.squall(&explore_one).expect(1);
    assert!(finished.stderr.contains("shard 1/1 isn't whole, and isn't written"), "{}", finished.stderr);
    assert!(!place.path("my shards/two-faults/shard-1-of-1.jsonl.zst").exists());
    std::fs::remove_file(place.path("my shards/two-faults/shard-1-of-1")).expect("it is there");
    let finished = place.squall(&explore_one).expect(100);
    let pasted = "merge 'my shards/two-faults'/shard-*-of-1.jsonl.zst";
    assert!(finished.stdout.contains(pasted), "{}", finished.stdout);

    let shards = explore(&place, &file, 1, &[], &[0]);
    let finished = place.squall(&merge(&shards, &["--out", "taken"])).expect(1);
    assert!(finished.stderr.contains("taken can't be written"), "{}", finished.stderr);
}
