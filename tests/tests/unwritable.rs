//! Places that can't be written: what was found is told all the same, and nothing is left half done.
#![cfg(unix)]

mod place;

use std::path::Path;

use place::{Finished, Place, after};

/// The command line under a limit of no byte to a file, as on a full disk.
fn on_full_disk(place: &Place, arguments: &[&str]) -> Finished {
    let command = place.command(arguments);
    Finished::of(&after("ulimit -f 0", &command).output().expect("it starts"))
}

#[track_caller]
fn assert_all_is_told(finished: &Finished, unwritable: &str) {
    let Finished { stdout, stderr, .. } = finished;
    assert!(
        stdout.contains("FAIL error in 9 of 100 runs") && stdout.contains("FAIL panic in 7 of 100 runs"),
        "{stdout}"
    );
    assert!(stdout.contains("100 runs in ") && stdout.contains("84 passed, 16 failed"), "{stdout}");
    assert!(stderr.contains(unwritable), "{stderr}");
}

fn partial_files(directory: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(directory).into_iter().flatten().flatten() {
        found.extend(partial_files(&entry.path()));
        let name = entry.file_name().to_string_lossy().into_owned();
        found.extend(Some(name).filter(|name| name.starts_with(".squall-")));
    }
    found
}

#[test]
fn a_full_disk_loses_nothing_that_was_found() {
    let place = Place::new();
    let file = place.scenario("two-faults", "");
    let finished = on_full_disk(&place, &["explore", &file]).expect(1);
    assert_all_is_told(&finished, "squall-regressions/two-faults/error-0x1.toml can't be written: File too large");
    assert!(finished.stdout.contains(&format!("replay {file} --seed 0x1")), "{}", finished.stdout);
    let finished = on_full_disk(&place, &["explore", &file, "--no-shrink", "--junit", "out/result.xml"]).expect(1);
    assert_all_is_told(&finished, "out/result.xml can't be written");
    let finished = on_full_disk(&place, &["explore", &file, "--no-shrink", "--out", "traces"]).expect(1);
    assert_all_is_told(&finished, "two-faults-0x1.trace.zst can't be written");
    // Data as well as text.
    let arguments = ["explore", &file, "--no-shrink", "--junit", "out/result.xml", "--message-format", "json"];
    let finished = on_full_disk(&place, &arguments).expect(1);
    let whole = place.json(&arguments[..3]).expect(100);
    assert_eq!(finished.summary()["failures"], whole.summary()["failures"]);
    let arguments = ["run", &file, "--trace", "run.trace.zst"];
    let finished = on_full_disk(&place, &arguments).expect(1);
    assert!(
        finished.stdout.contains("PASS") && finished.stderr.contains("run.trace.zst can't be written"),
        "{finished:?}"
    );
    assert_eq!(partial_files(&place.path("")), Vec::<String>::new());
}

/// A file that a node writes is as it is elsewhere: the limit ends the process that overruns it.
#[test]
fn the_limit_holds_for_the_program_as_it_always_does() {
    let place = Place::new();
    let file = place.scenario("writing", "isolation = \"process\"\n");
    let finished = on_full_disk(&place, &["run", &file]).expect(100);
    assert!(finished.stdout.contains("killed by signal 25 (limit on the size of files)"), "{}", finished.stdout);
}

#[test]
fn a_shard_or_a_merge_that_can_not_be_written_is_told() {
    let place = Place::new();
    let file = place.scenario("two-faults", "");
    let explore = |shard: &str, out: &str| place.squall(&["explore", &file, "--shard", shard, "--out", out]);
    std::fs::create_dir_all(place.path("taken/two-faults/shard-1-of-2.jsonl.zst")).expect("a directory");
    let finished = explore("1/2", "taken").expect(1);
    assert!(finished.stderr.contains("shard-1-of-2.jsonl.zst can't be written"), "{}", finished.stderr);
    assert!(finished.stdout.contains("50 runs in "), "{}", finished.stdout);

    // Nor is one written that doesn't hold all that was found.
    place.write("lost/two-faults/shard-1-of-2", "not a directory");
    let finished = explore("1/2", "lost").expect(1);
    assert!(finished.stdout.contains("50 runs in "), "{}", finished.stdout);
    let left: Vec<_> = std::fs::read_dir(place.path("lost/two-faults")).expect("it is there").flatten().collect();
    assert_eq!(left.len(), 1, "{left:?} {}", finished.stderr);

    explore("1/2", "out").expect(100);
    explore("2/2", "out").expect(100);
    let shards = ["1", "2"].map(|shard| place.path(&format!("out/two-faults/shard-{shard}-of-2.jsonl.zst")));
    let [first, second] = shards.map(|path| path.display().to_string());
    std::fs::create_dir_all(place.path("merged/two-faults/error-0x1.toml")).expect("a directory");
    let finished = place.squall(&["merge", &first, &second, "--out", "merged"]).expect(1);
    assert!(finished.stderr.contains("error-0x1.toml can't be written"), "{}", finished.stderr);
    assert!(finished.stdout.contains("100 runs in "), "{}", finished.stdout);
    assert!(place.path("merged/two-faults/panic-0x4.toml").is_file(), "the others are written");
}
