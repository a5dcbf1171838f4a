//! A store that keeps what it has acknowledged, through any crash, and the same store without one of its syncs.
//!
//! It appends to a log and syncs it before it acknowledges; now and then it writes a snapshot beside the old one, renames it over that, and begins
//! the log anew. Each sync is there for a reason, and each is missed when it isn't there.

use std::collections::BTreeSet;
use std::io;
use std::time::Duration;

use rand_core::Rng;
use squall::fs::{self, File};
use squall::prelude::*;
use squall::time::sleep;
use squall::trace::{Plan, Record, Seed, SiteKind};
use squall::{Cluster, Simulation, World, publish};
use squall_campaign::shrink::{Minimal, Runs, shrink};

/// Which sync is left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Missing {
    Nothing,
    /// Of the log, before a number is acknowledged.
    Log,
    /// Of the directory, after the log is created.
    LogName,
    /// Of the snapshot, before it gets its name.
    Snapshot,
    /// Of the directory, after the snapshot has got its name.
    SnapshotName,
}

const RECORD_BYTES: usize = 16;

fn record(number: u64) -> [u8; RECORD_BYTES] {
    let mut record = [0; RECORD_BYTES];
    record[..8].copy_from_slice(&number.to_le_bytes());
    record[8..].copy_from_slice(&(!number).to_le_bytes());
    record
}

/// The number of a record, if it is whole.
fn number(record: &[u8]) -> Option<u64> {
    let number = u64::from_le_bytes(record.get(..8)?.try_into().ok()?);
    (record == self::record(number).as_slice()).then_some(number)
}

/// Counts: what is kept is the highest number.
struct Store {
    missing: Missing,
    log: File,
    log_bytes: u64,
    last: u64,
}

impl Store {
    async fn open(missing: Missing) -> io::Result<Store> {
        let mut last = match fs::read("/snapshot").await {
            // A snapshot that isn't whole can't be: it was synced before it got its name.
            Ok(snapshot) => number(&snapshot).unwrap_or(0),
            Err(error) if error.kind() == io::ErrorKind::NotFound => 0,
            Err(error) => return Err(error),
        };
        let log = File::options().read(true).write(true).create(true).open("/log").await?;
        if missing != Missing::LogName {
            File::open("/").await?.sync_all().await?;
        }
        let records = fs::read("/log").await?;
        let mut log_bytes = 0;
        for found in records.chunks(RECORD_BYTES).map_while(number) {
            last = last.max(found);
            log_bytes += RECORD_BYTES as u64;
        }
        // What is behind the last whole record was never acknowledged.
        log.set_len(log_bytes).await?;
        log.sync_all().await?;
        Ok(Store { missing, log, log_bytes, last })
    }

    async fn count(&mut self) -> io::Result<u64> {
        let next = self.last + 1;
        self.log.write_all_at(&record(next), self.log_bytes).await?;
        if self.missing != Missing::Log {
            self.log.sync_all().await?;
        }
        self.log_bytes += RECORD_BYTES as u64;
        self.last = next;
        if next.is_multiple_of(5) {
            self.compact().await?;
        }
        Ok(next)
    }

    async fn compact(&mut self) -> io::Result<()> {
        let snapshot = File::create("/snapshot.new").await?;
        snapshot.write_all_at(&record(self.last), 0).await?;
        if self.missing != Missing::Snapshot {
            snapshot.sync_all().await?;
        }
        fs::rename("/snapshot.new", "/snapshot").await?;
        if self.missing != Missing::SnapshotName {
            File::open("/").await?.sync_all().await?;
        }
        self.log.set_len(0).await?;
        self.log.sync_all().await?;
        self.log_bytes = 0;
        Ok(())
    }
}

/// So many crashes at random times.
fn storm(missing: Missing, crashes: u32) -> impl Fn(&mut World) + Send + Sync + Clone {
    move |world: &mut World| {
        world.node("store", move || async move {
            let mut store = Store::open(missing).await?;
            publish("recovered", store.last);
            loop {
                publish("acknowledged", store.count().await?);
            }
            #[expect(unreachable_code, reason = "says what fails")]
            Ok::<(), io::Error>(())
        });
        world.client("end", || sleep(30.ms()));
        world.control(move |cluster: Cluster| async move {
            for _ in 0..crashes {
                let micros = squall::rand::rng().next_u64() % 10_000;
                sleep(Duration::from_micros(micros)).await;
                cluster.crash("store");
                cluster.restart("store");
            }
        });
        let kept = always("acknowledged-is-kept", 0).on("acknowledged", |last, number: u64| {
            *last = number;
            Ok(())
        });
        world.check(kept.on("recovered", |last, number: u64| {
            ensure!(number >= *last, "{last} was acknowledged, and {number} is left");
            *last = number;
            Ok(())
        }));
        world.storage().sync_latency(fixed(1.ms()));
    }
}

fn failing_seeds(missing: Missing, crashes: u32, seeds: std::ops::Range<u64>) -> Vec<u64> {
    let simulation = Simulation::new(storm(missing, crashes));
    let fails = |seed: &u64| {
        let outcome = simulation.run_plan(&Plan::seeded("store", Seed(*seed)), Record::Digest);
        outcome.verdict.property().inspect(|property| assert_eq!(*property, "acknowledged-is-kept")).is_some()
    };
    seeds.filter(fails).collect()
}

#[test]
fn a_store_that_syncs_keeps_what_it_has_acknowledged() {
    // Debug builds are slow.
    let seeds = if cfg!(debug_assertions) { 0..1_000 } else { 0..10_000 };
    assert_eq!(failing_seeds(Missing::Nothing, 3, seeds), Vec::<u64>::new());
}

/// As the test above, in any build.
#[test]
#[ignore = "takes a minute in a debug build"]
fn a_store_that_syncs_keeps_what_it_has_acknowledged_over_ten_thousand_seeds() {
    assert_eq!(failing_seeds(Missing::Nothing, 3, 0..10_000), Vec::<u64>::new());
}

#[test]
fn each_sync_of_the_store_is_missed_when_it_isn_t_there() {
    for missing in [Missing::Log, Missing::LogName, Missing::Snapshot, Missing::SnapshotName] {
        let failing = failing_seeds(missing, 1, 0..400);
        assert!(failing.len() >= 3, "{missing:?}: {failing:?}");
        let simulation = Simulation::new(storm(missing, 1));
        let mut said = BTreeSet::new();
        for seed in failing.into_iter().take(12) {
            let shrunk = shrink(&simulation, &Plan::seeded("store", Seed(seed)), &mut Runs(10_000)).unwrap();
            let kinds: Vec<SiteKind> = shrunk.perturbations().iter().map(|one| one.site.kind).collect();
            let sentences: Vec<String> =
                shrunk.perturbations().iter().map(|one| one.sentence(shrunk.names())).collect();
            // The crash, and what was lost in it: mostly one change. Where a number is kept twice at the moment of the crash, both must be lost.
            let (crash, lost) = kinds.split_first().unwrap();
            assert_eq!(*crash, SiteKind::Fault, "{missing:?}: {sentences:#?}");
            let is_disk = lost.iter().all(|kind| *kind == SiteKind::DiskCrash);
            assert!(is_disk && (1..=2).contains(&lost.len()), "{missing:?}: {sentences:#?}");
            assert_eq!(shrunk.minimal, Minimal::Pairs);
            if lost.len() == 1 {
                said.insert(sentences[1].clone());
            }
        }
        println!("{missing:?}: {said:?}");
        let lost = match missing {
            Missing::Nothing | Missing::Log => " to /log (bytes ",
            Missing::LogName => "change 1 of / (the creation of /log)",
            Missing::Snapshot => " to /snapshot.new",
            Missing::SnapshotName => "(the renaming of /snapshot.new to /snapshot)",
        };
        assert!(
            !said.is_empty() && said.iter().all(|said| said.contains(lost) && said.ends_with(" is lost in the crash")),
            "{said:?}"
        );
    }
}

/// One crash at a certain place, in all states that it can leave.
#[test]
fn all_states_of_a_crash_are_seen_once() {
    let crashes_after = |program: fn(&mut World), files: u32| {
        let simulation = Simulation::new(move |world: &mut World| {
            world.client("store", move || async move {
                if squall::boot_number() == 0 {
                    for number in 0..files {
                        fs::write(format!("/{number}"), "text").await.unwrap();
                    }
                    return std::future::pending().await;
                }
                let mut left = Vec::new();
                for number in 0..files {
                    left.push(fs::read_to_string(format!("/{number}")).await.ok());
                }
                publish("left", left);
            });
            world.fault(crash("store").at(secs(1)).restart_after(1.ms()));
            program(world);
        });
        simulation.crash_states(&Plan::seeded("states", Seed(1)), 1_000)
    };
    // Of each file: its name is lost, or its contents, or nothing. A file whose name is lost is one state.
    for (files, states) in [(0, 1), (1, 3), (2, 9), (4, 81)] {
        let seen = crashes_after(|_| {}, files);
        assert_eq!((seen.states, seen.is_complete), (states, true), "{files} files");
    }
    let many = crashes_after(|_| {}, 10);
    assert_eq!((many.states, many.is_complete, many.failing.is_none()), (1_000, false, true));
    // The one state of 81 that is looked for.
    let seen = crashes_after(
        |world| {
            world.check(always("not-so", ()).on("left", |(), left: Vec<Option<String>>| {
                let so = [Some("text"), None, Some(""), Some("text")].map(|text| text.map(str::to_string));
                ensure!(left != so, "it is so");
                Ok(())
            }));
        },
        4,
    );
    let (plan, outcome) = *seen.failing.expect("it is among them");
    assert_eq!(outcome.verdict.property(), Some("not-so"));
    let losses = plan.overrides.iter().filter(|one| one.site.kind == SiteKind::DiskCrash).count();
    assert_eq!(losses, 2, "a name and what a file holds");
}

#[test]
fn the_store_survives_all_states_of_its_crashes() {
    let states =
        |missing, seed| Simulation::new(storm(missing, 1)).crash_states(&Plan::seeded("store", Seed(seed)), 300);
    let failing = failing_seeds(Missing::Log, 1, 0..100);
    assert!(failing.len() >= 3, "{failing:?}");
    for seed in failing.into_iter().take(3) {
        assert!(states(Missing::Log, seed).failing.is_some(), "seed {seed}");
        let whole = states(Missing::Nothing, seed);
        assert!(whole.failing.is_none() && whole.is_complete, "seed {seed}: {whole:?}");
    }
}
