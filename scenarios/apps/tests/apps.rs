//! The applications find what they are there to find, bear what they are there to bear, and repeat themselves.

mod common;

use std::collections::BTreeMap;
use std::path::Path;

use common::{broken, fails_by, holds, load, plan, squall_apps};
use squall::trace::Record;

#[test]
fn noraft_bears_the_storm() {
    holds("noraft.toml", 200);
}

#[test]
fn tikv_raft_bears_the_storm() {
    holds("tikv_raft.toml", 200);
}

#[test]
fn openraft_bears_the_storm() {
    holds("openraft.toml", 200);
}

/// openraft's log lines show local times, for which the environment and a file are read; and lines are written only where they are kept. So that must be no event.
#[test]
fn what_a_line_of_the_log_reads_is_named_and_no_event() {
    let (scenario, simulation) = load("openraft.toml", &[]);
    for seed in 0..5 {
        let kept = simulation.run_plan(&plan(&scenario, seed), Record::Full);
        assert!(kept.escapes.iter().any(|escape| escape.ends_with(", for a line of the log")), "{:?}", kept.escapes);
        assert_eq!(kept.digest, simulation.run_plan(&plan(&scenario, seed), Record::Digest).digest, "seed {seed}");
    }
}

/// openraft says that whoever doesn't save what is committed has to wait for its recovery, also where reads are linearizable. With that wait nothing is found in the same weather.
#[test]
fn a_leader_that_is_restored_reads_what_is_over() {
    let failed = fails_by("openraft_restored_leader.toml", "linearizable", 40);
    assert!(failed >= 2, "{failed} of 40 seeds failed");
    let waits = ["args.waits_for_recovery=true", "expect=panic"];
    assert_eq!(broken("openraft_restored_leader.toml", &waits, 60), BTreeMap::new());
}

#[test]
fn who_forgets_its_vote_makes_two_leaders() {
    assert!(fails_by("noraft_forgets_vote.toml", "election-safety", 200) > 0);
    assert!(fails_by("tikv_raft_forgets_vote.toml", "election-safety", 200) > 0);
    assert!(fails_by("openraft_forgets_vote.toml", "election-safety", 200) > 0);
}

/// A log that wasn't synced loses what was committed; tikv's raft and openraft panic where they see that.
#[test]
fn who_does_not_sync_breaks_raft() {
    let files = [("noraft.toml", "state-machine-safety"), ("tikv_raft.toml", "panic"), ("openraft.toml", "panic")];
    for (file, first) in files {
        let broken = broken(file, &["args.forgets=unsynced"], 50);
        assert!(broken.get(first).is_some_and(|times| *times >= 5), "{file}: {broken:?}");
    }
}

#[test]
fn foca_sees_who_is_there_in_the_end() {
    holds("foca.toml", 200);
}

#[test]
fn a_member_that_does_not_come_back_is_missed() {
    assert!(fails_by("foca_stays_away.toml", "membership", 100) >= 10);
}

#[test]
fn yrs_0_19_2_comes_to_the_same_in_any_order() {
    holds("yrs.toml", 300);
}

/// An update is lost wherever one overtakes another, and in no other run.
#[test]
fn yrs_0_18_2_loses_what_comes_out_of_order() {
    let failed = fails_by("yrs_0_18_2.toml", "nothing-lost", 200);
    assert!((5..150).contains(&failed), "{failed} of 200 seeds failed");
    let in_order = ["network.latency=2ms"];
    assert_eq!(broken("yrs_0_18_2.toml", &in_order, 50), BTreeMap::new());
    let repaired = ["args.version=0.19.2", "expect=panic"];
    assert_eq!(broken("yrs_0_18_2.toml", &repaired, 200), BTreeMap::new());
}

/// What the README shows of the worked example is what the command prints.
#[test]
fn the_readme_shows_what_is_printed() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let readme = std::fs::read_to_string(root.join("README.md")).expect("a README");
    let (_, behind) = readme.split_once("yrs_0_18_2.toml\n```\n\n```text\n").expect("a sample");
    let (sample, _) = behind.split_once("```").expect("its end");
    let output = squall_apps(&["explore", "scenarios/apps/yrs_0_18_2.toml", "--jobs", "2"]);
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    let said = String::from_utf8(output.stdout).expect("UTF-8");
    // What depends on the machine, or on how the program was called, and what was left out.
    let varies = |line: &&str| line.contains("replay: ") || line.contains(" s)") || line.trim() == "…";
    let expected: Vec<&str> = sample.lines().filter(|line| !varies(line)).collect();
    assert!(expected.len() > 15, "{sample}");
    for line in expected {
        // The seconds that it took are before what it came to.
        let line = line.split_once(" s: ").map_or(line, |(_, counts)| counts);
        assert!(said.lines().any(|printed| printed.ends_with(line)), "README.md has {line:?}, but it prints:\n{said}");
    }
}
