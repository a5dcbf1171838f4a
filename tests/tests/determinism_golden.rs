//! The same plan gives the same digest: in each profile, process and thread, and after whatever ran before.
//!
//! Both profiles compare with the same file, so they agree with each other. See [`squall_tests::worlds`] for when that file
//! may change, and how to write it again.
#![cfg(all(target_os = "linux", target_env = "gnu"))]

use std::process::Command;
use std::thread;

use squall::Simulation;
use squall::trace::{EventKind, Plan, Record};
use squall_tests::worlds::{Cell, cells, digest, digests};

const HELPER: &str = env!("CARGO_BIN_EXE_plant");
const GOLDEN: &str = include_str!("golden_digests.txt");

fn golden() -> Vec<&'static str> {
    GOLDEN.lines().filter(|line| !line.starts_with('#')).collect()
}

#[test]
fn digests_are_as_saved() {
    let found = digests(cells());
    if std::env::var_os("SQUALL_PRINT_GOLDEN").is_some() {
        println!("# World, seed, strategy, digest, digest of the logs, events, verdict. See the module `worlds`.");
        for line in &found {
            println!("{line}");
        }
        return;
    }
    assert_eq!(golden(), found, "digests are no longer as saved; see the module `worlds`");
}

/// The saved digests say something: all kinds of events are in them.
#[test]
fn the_worlds_cover_the_vocabulary() {
    let mut codes = std::collections::BTreeSet::new();
    for Cell { build, plan, .. } in cells() {
        let outcome = Simulation::new(build).run_plan(&plan, Record::Full);
        let events = outcome.trace.expect("a full record").events;
        codes.extend(events.iter().map(|event| event.kind.code()));
    }
    // Escapes are what these worlds must not have.
    let escape = EventKind::Escape { what: "".into() }.code();
    let expected: std::collections::BTreeSet<u8> = (1..=15).filter(|code| *code != escape).collect();
    assert_eq!(codes, expected);
}

/// Two worlds that differ in nothing but the seed differ in their digests, and so do strategies.
#[test]
fn no_two_runs_are_equal_by_chance() {
    let mut seen = std::collections::BTreeMap::new();
    for line in golden() {
        let fields: Vec<&str> = line.split(' ').collect();
        // PCT comes first in, first out where nothing is ever ready at the same instant.
        if let Some(other) = seen.insert(fields[3], fields.clone()) {
            assert_eq!(fields[0], other[0], "{line}");
            assert_eq!(fields[1], other[1], "{line}");
        }
    }
    assert!(seen.len() >= 24, "{}", seen.len());
}

#[test]
fn a_hundred_processes_agree() {
    let expected = golden();
    let workers: Vec<_> = (0..2)
        .map(|worker| {
            thread::spawn(move || {
                let outputs = (0..50).map(|process| {
                    let mut command = Command::new(HELPER);
                    command.arg("golden");
                    // Every other one starts at the other end.
                    if (worker + process) % 2 == 1 {
                        command.arg("reversed");
                    }
                    // An environment of another size moves the stack.
                    command.env("SQUALL_PLANTED", "x".repeat(process * 37));
                    let output = command.output().expect("the helper program can be started");
                    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
                    String::from_utf8(output.stdout).expect("text")
                });
                outputs.collect::<Vec<_>>()
            })
        })
        .collect();
    let outputs: Vec<String> = workers.into_iter().flat_map(|worker| worker.join().expect("no panic")).collect();
    assert_eq!(outputs.len(), 100);
    for output in outputs {
        assert_eq!(output.lines().collect::<Vec<_>>(), expected);
    }
}

/// Several jobs: the runs of four threads at a time, each in another order, are those of one.
#[test]
fn jobs_do_not_see_each_other() {
    let expected: Vec<(String, String)> =
        cells().iter().zip(golden()).map(|(cell, line)| (key(cell), line.into())).collect();
    thread::scope(|scope| {
        let jobs: Vec<_> = (0..4u64)
            .map(|job| {
                let expected = &expected;
                scope.spawn(move || {
                    let mut cells = cells();
                    shuffle(&mut cells, job);
                    for cell in &cells {
                        let found = (key(cell), digest(cell));
                        assert!(expected.contains(&found), "{found:?}, by job {job}");
                    }
                })
            })
            .collect();
        for job in jobs {
            job.join().expect("every run is as saved");
        }
    });
}

/// Whatever ran before in the process, failed runs among it.
#[test]
fn any_order_of_seeds_is_the_same() {
    let cells = cells();
    let expected = golden();
    for salt in 10..13 {
        let mut order: Vec<usize> = (0..cells.len()).collect();
        shuffle(&mut order, salt);
        for index in order {
            assert_eq!(digest(&cells[index]), expected[index]);
        }
    }
}

/// A run that is said by its perturbations alone is the same run, and doesn't depend on the strategy that found it.
#[test]
fn golden_runs_are_their_perturbations() {
    for Cell { build, plan, world } in cells() {
        let simulation = Simulation::new(build);
        let drawn = simulation.run_plan(&plan, Record::Full);
        let only: Plan = plan.only(&drawn.perturbations);
        let again = simulation.run_plan(&only, Record::Full);
        assert_eq!(again.digest, drawn.digest, "{world} {}", plan.strategy);
        assert_eq!(again.log_digest, drawn.log_digest, "{world} {}", plan.strategy);
        assert!(again.unused_overrides.is_empty(), "{world} {}", plan.strategy);
    }
}

fn key(cell: &Cell) -> String {
    format!("{} {} {}", cell.world, cell.plan.seed, cell.plan.strategy)
}

/// The same order for the same salt.
fn shuffle<T>(items: &mut [T], salt: u64) {
    let mut state = salt.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    for last in (1..items.len()).rev() {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        items.swap(last, (state >> 33) as usize % (last + 1));
    }
}
