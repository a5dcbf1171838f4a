//! Swarms, budgets and swizzles: what they do to runs, and that it is seen.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use squall::net::Endpoint;
use squall::prelude::*;
use squall::time::{Instant, sleep, sleep_until, timeout};
use squall::trace::swarm::{FaultClass, Swarm};
use squall::trace::target::Unreached;
use squall::trace::{EventKind, Outcome, Plan, Ratio, Record, Seed, SiteKind, StrategyChoice, Verdict};
use squall::{AtMost, Bursts, Fault, OnPanic, Simulation, World, fault, publish};
use squall_campaign::shrink::{Minimal, Runs, shrink};
use squall_tests::facts;

fn plan(seed: u64) -> Plan {
    Plan { strategy: StrategyChoice::Fifo, ..Plan::seeded("test", Seed(seed)) }
}

fn run(build: impl Fn(&mut World) + Send + Sync + 'static) -> Outcome {
    Simulation::new(build).run_plan(&plan(1), Record::Full)
}

fn said_faults(outcome: &Outcome) -> Vec<String> {
    let events = &outcome.trace.as_ref().unwrap().events;
    let said = |event: &squall::trace::OwnedEvent| match &event.kind {
        EventKind::Fault { what, .. } => Some(format!("{}: {what}", event.at_ns / 1_000)),
        _ => None,
    };
    events.iter().filter_map(said).collect()
}

fn told(outcome: &Outcome) -> Vec<String> {
    outcome.unreached_faults.iter().map(|told| format!("{}: {}", told.fault, told.why)).collect()
}

// --- swarms -----------------------------------------------------------------------------------------------------------

/// Two nodes send each other a message each millisecond and write to their disks, with everything that can go wrong.
fn storm(world: &mut World) {
    for (name, other) in [("a", "b"), ("b", "a")] {
        world.client(name, move || async move {
            let endpoint = Endpoint::bind("0.0.0.0:80").await.unwrap();
            let start = Instant::now();
            let mut number = 0u64;
            while start.elapsed() < 200.ms() {
                number += 1;
                endpoint.send_to((other, 80), 1, &number.to_le_bytes()).await.unwrap();
                let _ = squall::buggify!("storm");
                let _ = squall::knob!("storm", 1, [2, 3]);
                squall::point!("storm");
                let _ = squall::fs::write("/log", number.to_le_bytes()).await;
                let _ = squall::fs::read("/log").await;
                let _ = timeout(1.ms(), endpoint.recv_from(1, &mut [0; 8])).await;
            }
        });
    }
    world.network().latency(uniform(1.ms(), 3.ms())).loss(percent(8)).duplicate(percent(8)).corruption(percent(8));
    world.network().bursts(Bursts::new(20.ms(), 5.ms()));
    world.storage().read_failure(percent(8)).bit_rot(percent(8)).latency(uniform(10.us(), 20.us()));
    world.fault(crash("a").at(50.ms()).restart_after(5.ms()));
    world.fault(crash("b").at_point("storm", percent(1)).restart_after(5.ms()));
    world.fault(pause("b").at(60.ms()).lasts(5.ms()));
    world.fault(fault::slow("a", 10.us()).at(70.ms()).lasts(5.ms()));
    world.fault(fault::clock_jump_forward("a", 1.secs()).at(80.ms()).lasts(5.ms()));
    world.fault(fault::random_partition("*", fault::Split::Any).at(90.ms()).lasts(5.ms()));
    world.fault(partition([["a"], ["b"]]).at(100.ms()).lasts(5.ms()));
    world.fault(fault::hold("a", "b").at(110.ms()).lasts(5.ms()));
    let weather = fault::link("a", "b", |link| {
        link.latency(Latency::fixed(9.ms()));
    });
    world.fault(weather.at(120.ms()).lasts(5.ms()));
    world.fault(fault::reset("a", "b").at(130.ms()));
    world.rule(squall::rule::deliver_after("a", "b", 4.ms()).share(percent(8)));
    // Who crashes often begins again and again.
    world.end_at(220.ms());
    world.swarm(true);
}

/// What is off isn't there, and what is on is, as far as its rates and chances allow.
#[test]
fn a_class_that_is_off_does_nothing() {
    let simulation = Simulation::new(storm);
    let mut seen: BTreeMap<FaultClass, (u32, u32)> = BTreeMap::new();
    for seed in 0..120 {
        let outcome = simulation.run_plan(&plan(seed), Record::Full);
        let swarm = Swarm::of_seed(Seed(seed));
        let kinds: BTreeSet<SiteKind> = outcome.perturbations.iter().map(|one| one.site.kind).collect();
        let said: Vec<String> = outcome.perturbations.iter().map(|one| one.sentence(&outcome.names)).collect();
        let is_said = |what: &str| said.iter().any(|said| said.contains(what) && said.ends_with(" happens"));
        for (class, is_there) in [
            (FaultClass::Duplicate, kinds.contains(&SiteKind::Duplicate)),
            (FaultClass::Corruption, kinds.contains(&SiteKind::Corruption)),
            (FaultClass::Latency, kinds.contains(&SiteKind::Latency)),
            (FaultClass::Crash, is_said("the crash of")),
            (FaultClass::Pause, is_said("the pause of")),
            (FaultClass::Slow, is_said("the slowness of")),
            (FaultClass::Clock, is_said("clock")),
            (FaultClass::Partition, is_said("partition")),
            (FaultClass::Hold, is_said("the hold of")),
            (FaultClass::Link, is_said("the weather from")),
            (FaultClass::Reset, is_said("the reset of connections of")),
            (FaultClass::DiskFailure, kinds.contains(&SiteKind::DiskFailure)),
            (FaultClass::DiskLatency, kinds.contains(&SiteKind::DiskLatency)),
            (FaultClass::BitRot, kinds.contains(&SiteKind::BitRot)),
            (FaultClass::Buggify, kinds.contains(&SiteKind::Buggify)),
            (FaultClass::Knob, kinds.contains(&SiteKind::Knob)),
            (FaultClass::Rule, kinds.contains(&SiteKind::Rule)),
            (FaultClass::DiskCrash, kinds.contains(&SiteKind::DiskCrash)),
        ] {
            let is_on = swarm.of(class).exponent.is_some();
            assert!(is_on || !is_there, "seed {seed}: {class:?} is off and there");
            let (on, there) = seen.entry(class).or_default();
            (*on, *there) = (*on + u32::from(is_on), *there + u32::from(is_there));
        }
        let loses = [FaultClass::Loss, FaultClass::Bursts].iter().any(|class| swarm.of(*class).exponent.is_some());
        assert_eq!(kinds.contains(&SiteKind::Loss), loses, "seed {seed}");
        // It is told which run this is.
        let classes: Vec<FaultClass> = outcome.swarm.iter().map(|one| one.class).collect();
        assert_eq!(classes, FaultClass::ALL);
        assert!(outcome.swarm.iter().all(|one| *one == swarm.of(one.class)));
        assert!(said_faults(&outcome)[0].starts_with("0: swarm: "), "{:?}", said_faults(&outcome)[0]);
        // And it is shrunk and replayed like any other: said by its perturbations alone it is the same.
        let only = simulation.run_plan(&plan(seed).only(&outcome.perturbations), Record::Digest);
        assert_eq!((only.digest, only.unused_overrides), (outcome.digest, vec![]), "seed {seed}");
    }
    for (class, (on, there)) in seen {
        assert!((30..=90).contains(&on), "{class:?}: on in {on} of 120 runs");
        // A fault at a given time comes in 3/5 + 1/5 * 1/2 + 1/5 * 1/4 of them, knobs and places that ask in a quarter or so.
        assert!(there * 8 > on, "{class:?}: there in {there} of {on} runs in which it is on");
    }
}

/// Somebody to whom messages go.
fn hears(world: &mut World) {
    world.node("to", || async {
        let endpoint = Endpoint::bind("0.0.0.0:80").await.unwrap();
        while endpoint.recv_from(1, &mut [0; 8]).await.is_ok() {}
    });
}

/// Losses come as often as the exponent says; and without a swarm as the world says.
#[test]
fn rates_are_scaled() {
    fn lossy(world: &mut World) {
        hears(world);
        world.client("from", || async {
            let endpoint = Endpoint::bind("0.0.0.0:80").await.unwrap();
            for _ in 0..1_000 {
                endpoint.send_to("to:80", 1, &[7]).await.unwrap();
            }
            sleep(1.secs()).await;
        });
        world.network().loss(percent(8));
    }
    let swarmed = Simulation::new(|world| {
        lossy(world);
        world.swarm(true);
    });
    let mut lost: BTreeMap<Option<i8>, (u64, u64)> = BTreeMap::new();
    for seed in 0..100 {
        let outcome = swarmed.run_plan(&plan(seed), Record::Digest);
        let exponent = Swarm::of_seed(Seed(seed)).of(FaultClass::Loss).exponent;
        let (sum, of) = lost.entry(exponent).or_default();
        (*sum, *of) = (*sum + outcome.messages.lost, *of + outcome.messages.sent);
        let plain = Simulation::new(lossy).run_plan(&plan(seed), Record::Digest);
        assert!((40..130).contains(&plain.messages.lost) && plain.swarm.is_empty(), "{}", plain.messages.lost);
    }
    assert_eq!(lost.len(), 6);
    for (exponent, (lost, of)) in lost {
        let share = exponent.map_or(0.0, |exponent| 0.08 * f64::from(exponent).exp2());
        let (found, deviation) = (lost as f64 / of as f64, (share * (1.0 - share) / of as f64).sqrt());
        assert!((found - share).abs() <= 4.0 * deviation, "{exponent:?}: {found}, not {share}");
    }
}

/// So are those of every other class that has some: each decision's share, by its exponent.
#[test]
fn the_rates_of_every_class_are_scaled() {
    /// A kind of decision, how it is said where that is not enough, its share as set, and how often it is asked for in a run.
    type Rated = (FaultClass, SiteKind, &'static str, f64, f64);
    const ASKED: [Rated; 9] = [
        (FaultClass::Duplicate, SiteKind::Duplicate, "", 0.04, 600.0),
        (FaultClass::Corruption, SiteKind::Corruption, "", 0.04, 600.0),
        (FaultClass::Rule, SiteKind::Rule, "", 0.04, 600.0),
        (FaultClass::Buggify, SiteKind::Buggify, "of the world", 0.04, 300.0),
        (FaultClass::Buggify, SiteKind::Buggify, "of its own", 0.08, 300.0),
        (FaultClass::DiskFailure, SiteKind::DiskFailure, "read", 0.04, 300.0),
        (FaultClass::DiskFailure, SiteKind::DiskFailure, "write", 0.08, 300.0),
        (FaultClass::DiskFailure, SiteKind::DiskFailure, "sync", 0.02, 300.0),
        (FaultClass::BitRot, SiteKind::BitRot, "", 0.04, 300.0),
    ];
    let simulation = Simulation::new(|world: &mut World| {
        world.node("to", std::future::pending::<()>);
        world.client("from", || async {
            let endpoint = Endpoint::bind("0.0.0.0:80").await.unwrap();
            for _ in 0..600 {
                endpoint.send_to("to:80", 1, &[7]).await.unwrap();
            }
            let file = squall::fs::File::options().read(true).write(true).create(true).open("/file").await.unwrap();
            for _ in 0..300 {
                let _ = squall::buggify!("of the world");
                let _ = squall::buggify!("of its own", percent(8));
                let _ = file.write_at(b"text", 0).await;
                let _ = file.sync_all().await;
                let _ = file.read_at(&mut [0; 4], 0).await;
            }
        });
        world.network().duplicate(percent(4)).corruption(percent(4));
        world.storage().read_failure(percent(4)).write_failure(percent(8)).sync_failure(percent(2)).bit_rot(percent(4));
        world.rule(squall::rule::deliver_after("from", "to", 4.ms()).share(percent(4)));
        world.buggify().enabled(Ratio::ONE).share(percent(4));
        world.swarm(true);
    });
    let mut found: BTreeMap<(usize, Option<i8>), (f64, f64)> = BTreeMap::new();
    for seed in 0..80 {
        let outcome = simulation.run_plan(&plan(seed), Record::Perturbations);
        let swarm = Swarm::of_seed(Seed(seed));
        let said: Vec<(SiteKind, String)> =
            outcome.perturbations.iter().map(|one| (one.site.kind, one.sentence(&outcome.names))).collect();
        for (place, (class, kind, words, _, asked)) in ASKED.into_iter().enumerate() {
            let hits = said.iter().filter(|(of, said)| *of == kind && said.contains(words)).count();
            // Of what a read that fails would have read no bit flips, and a sync of what couldn't be written is one all the same.
            let (sum, of) = found.entry((place, swarm.of(class).exponent)).or_default();
            (*sum, *of) = (*sum + hits as f64, *of + asked);
        }
    }
    for ((place, exponent), (hits, of)) in found {
        let (class, kind, words, share, _) = ASKED[place];
        let share = exponent.map_or(0.0, |exponent| share * f64::from(exponent).exp2());
        // Bits flip only in what was read: as many as a read that fails takes away are missing.
        let slack = if kind == SiteKind::BitRot { 0.35 } else { 0.0 };
        let deviation = (of * share * (1.0 - share)).sqrt();
        let (least, most) = (of * share * (1.0 - slack) - 4.5 * deviation, of * share + 4.5 * deviation);
        assert!((least..=most).contains(&hits), "{class:?} {words} {exponent:?}: {hits} of {of}, not {share}");
    }
}

/// What is counted of the runs of a world with some exponent: how often something came, of how many times that it could.
type Counted = BTreeMap<Option<i8>, (f64, f64)>;

/// Runs a swarm, and counts by the exponent of a class.
fn count(
    class: FaultClass,
    seeds: u64,
    world: impl Fn(&mut World) + Send + Sync + 'static,
    of_run: impl Fn(&Outcome) -> (usize, usize),
) -> Counted {
    let simulation = Simulation::new(move |described: &mut World| {
        world(described);
        described.swarm(true);
    });
    let mut counted = Counted::new();
    for seed in 0..seeds {
        let (came, of) = of_run(&simulation.run_plan(&plan(seed), Record::Full));
        let entry = counted.entry(Swarm::of_seed(Seed(seed)).of(class).exponent).or_default();
        *entry = (entry.0 + came as f64, entry.1 + of as f64);
    }
    assert_eq!(counted.len(), 6, "each exponent, and none");
    counted
}

fn of_kind(outcome: &Outcome, kind: SiteKind) -> usize {
    outcome.perturbations.iter().filter(|one| one.site.kind == kind).count()
}

/// Each count is within four and a half deviations of a binomial distribution, `spread` times as wide.
fn assert_shares(counted: &Counted, what: &str, spread: f64, share: impl Fn(Option<i8>) -> f64) {
    for (exponent, (came, of)) in counted {
        let share = share(*exponent);
        let deviation = (of * share * (1.0 - share)).sqrt() * spread;
        assert!((came - of * share).abs() <= 4.5 * deviation, "{what} {exponent:?}: {came} of {of}, not {share}");
    }
}

fn scaled(share: f64, exponent: Option<i8>) -> f64 {
    exponent.map_or(0.0, |exponent| (share * f64::from(exponent).exp2()).min(1.0))
}

/// A burst lasts longer or less long, and so more or less of all time is bad. What is lost comes in clumps: of exponential good and bad times g and b the
/// share of bad time has the variance 2 g² b² / ((g + b)³ T), which is as if each burst were a few tosses of a coin.
#[test]
fn the_lengths_of_bursts_are_scaled() {
    let world = |world: &mut World| {
        hears(world);
        world.client("from", || async {
            let endpoint = Endpoint::bind("0.0.0.0:80").await.unwrap();
            for _ in 0..2_000 {
                endpoint.send_to("to:80", 1, &[7]).await.unwrap();
                sleep(1.ms()).await;
            }
        });
        world.network().bursts(Bursts::new(20.ms(), 2.ms()));
    };
    let lost = |outcome: &Outcome| (outcome.messages.lost as usize, outcome.messages.sent as usize);
    let counted = count(FaultClass::Bursts, 120, world, lost);
    for (exponent, (lost, of)) in counted {
        let Some(exponent) = exponent else {
            assert_eq!(lost, 0.0);
            continue;
        };
        // In milliseconds, and a message each.
        let (good, bad) = (20.0, 2.0 * f64::from(exponent).exp2());
        let (share, both) = (bad / (good + bad), good + bad);
        let clumped = 2.0 * (good * bad).powi(2) / (both.powi(3) * of);
        let deviation = (clumped + share * (1.0 - share) / of).sqrt();
        assert!((lost / of - share).abs() <= 4.5 * deviation, "{exponent}: {lost} of {of}, not {share}");
    }
}

/// Eight knobs are at another value than their default in an eighth of the runs each, by the exponent more or less often.
#[test]
fn the_share_of_changed_knobs_is_scaled() {
    let world = |world: &mut World| {
        world.client("a", || async {
            let _ = (squall::knob!("swarmed 1", 1, [2]), squall::knob!("swarmed 2", 1, [2, 3]));
            let _ = (squall::knob!("swarmed 3", 1, [2]), squall::knob!("swarmed 4", 1, [2, 3]));
            let _ = (squall::knob!("swarmed 5", 1, [2]), squall::knob!("swarmed 6", 1, [2, 3]));
            let _ = (squall::knob!("swarmed 7", 1, [2]), squall::knob!("swarmed 8", 1, [2, 3]));
        });
        world.buggify().knobs(Ratio::new(1, 8));
    };
    let counted = count(FaultClass::Knob, 600, world, |outcome| (of_kind(outcome, SiteKind::Knob), 8));
    assert_shares(&counted, "knobs", 1.0, |exponent| scaled(0.125, exponent));
}

/// A node crashes at one pass of a point in twenty, by the exponent of crashes more or less often.
#[test]
fn the_share_of_crashes_at_points_is_scaled() {
    let world = |world: &mut World| {
        world.node("a", || async {
            loop {
                publish("passed", ());
                squall::point!("swarmed");
                sleep(1.ms()).await;
            }
        });
        world.client("ends", || sleep(300.ms()));
        world.fault(crash("a").at_point("swarmed", percent(5)).restart_after(1.us()));
    };
    let counted = count(FaultClass::Crash, 120, world, |outcome| {
        (of_kind(outcome, SiteKind::Point), facts(outcome, "passed").len())
    });
    assert_shares(&counted, "crashes", 1.0, |exponent| scaled(0.05, exponent));
}

/// A crash loses one write in ten of those that weren't synced, and tears one in twenty of the others, by the exponent of lost writes more or less.
#[test]
fn the_share_of_lost_writes_is_scaled() {
    let world = |world: &mut World| {
        world.client("a", || async {
            let Ok(file) = squall::fs::File::options().write(true).create_new(true).open("/file").await else { return };
            squall::fs::File::open("/").await.unwrap().sync_all().await.unwrap();
            for place in 0..200 {
                file.write_all_at(&[7; 1_536], place * 1_536).await.unwrap();
            }
            publish("written", ());
            std::future::pending::<()>().await;
        });
        world.fault(crash("a").at(500.ms()).restart_after(1.us()));
        world.end_at(1.secs());
        world.storage().crash_loss(percent(10)).torn(percent(5));
    };
    // Runs without a crash say nothing.
    let crashed =
        |outcome: &Outcome| outcome.trace.as_ref().unwrap().events.iter().any(|one| one.kind == EventKind::Crash);
    let losses = |outcome: &Outcome, is_it: fn(u64) -> bool| {
        let losses =
            outcome.perturbations.iter().filter(|one| one.site.kind == SiteKind::DiskCrash && is_it(one.value));
        (losses.count(), if crashed(outcome) { 200 } else { 0 })
    };
    let lost = count(FaultClass::DiskCrash, 200, world, move |outcome| losses(outcome, |sectors| sectors == 3));
    assert_shares(&lost, "lost", 1.0, |exponent| scaled(0.1, exponent));
    let torn = count(FaultClass::DiskCrash, 200, world, move |outcome| losses(outcome, |sectors| sectors < 3));
    assert_shares(&torn, "torn", 1.0, |exponent| (1.0 - scaled(0.1, exponent)) * scaled(0.05, exponent));
}

/// What a swarm leaves out is left out for every strategy, also for the one that chooses the worst.
#[test]
fn the_worst_crash_loses_nothing_where_lost_writes_are_left_out() {
    let simulation = Simulation::new(|world: &mut World| {
        world.client("a", || async {
            if squall::fs::write("/file", "text").await.is_ok() {
                sleep(100.ms()).await;
            }
        });
        world.fault(crash("a").at(50.ms()).restart_after(1.us()));
        world.swarm(true);
    });
    let (mut lost, mut kept) = (0, 0);
    for seed in 0..200 {
        let worst = Plan { strategy: StrategyChoice::WorstCrash, ..plan(seed) };
        let outcome = simulation.run_plan(&worst, Record::Full);
        let crashed = outcome.trace.as_ref().unwrap().events.iter().any(|one| one.kind == EventKind::Crash);
        let loses = of_kind(&outcome, SiteKind::DiskCrash) > 0;
        let is_on = Swarm::of_seed(Seed(seed)).of(FaultClass::DiskCrash).exponent.is_some();
        assert_eq!(loses, crashed && is_on, "seed {seed}");
        (lost, kept) = (lost + u32::from(loses), kept + u32::from(crashed && !is_on));
    }
    assert!(lost > 5 && kept > 5, "{lost} and {kept}");
}

/// Half of the planned faults of a class with exponent -1 come, a quarter with -2, and all of those of the others.
#[test]
fn planned_faults_are_thinned() {
    let simulation = Simulation::new(|world| {
        world.client("a", || sleep(1.secs()));
        world.fault(pause("a").at(1.ms()).lasts(1.ms()).every(5.ms()).times(100));
        world.swarm(true);
    });
    let mut came: BTreeMap<Option<i8>, (u64, u64)> = BTreeMap::new();
    for seed in 0..60 {
        let outcome = simulation.run_plan(&plan(seed), Record::Perturbations);
        let (sum, of) = came.entry(Swarm::of_seed(Seed(seed)).of(FaultClass::Pause).exponent).or_default();
        (*sum, *of) = (*sum + outcome.perturbations.len() as u64, *of + 100);
    }
    assert_eq!(came.len(), 6);
    for (exponent, (came, of)) in came {
        let share = exponent.map_or(0.0, |exponent| f64::from(exponent).exp2().min(1.0));
        let (found, deviation) = (came as f64 / of as f64, (share * (1.0 - share) / of as f64).sqrt());
        assert!((found - share).abs() <= 4.0 * deviation, "{exponent:?}: {found}, not {share}");
    }
}

/// A queue overflows if whoever empties it stands still for 100 ms and nothing is lost meanwhile. Losses of 20 % hide that.
fn queue(world: &mut World) {
    world.node("worker", || async {
        let endpoint = Endpoint::bind("0.0.0.0:80").await.unwrap();
        loop {
            let mut queued = 0u32;
            while timeout(Duration::ZERO, endpoint.recv_from(1, &mut [0; 1])).await.is_ok() {
                queued += 1;
            }
            publish("queued", queued);
            sleep(5.ms()).await;
        }
    });
    world.client("asks", || async {
        let endpoint = Endpoint::bind("0.0.0.0:80").await.unwrap();
        for _ in 0..400 {
            endpoint.send_to("worker:80", 1, &[7]).await.unwrap();
            sleep(1.ms()).await;
        }
    });
    world.network().latency(uniform(1.ms(), 2.ms())).loss(percent(20)).duplicate(Ratio::new(1, 1_000));
    world.fault(pause("worker").at(100.ms()).lasts(100.ms()));
    world.fault(pause("worker").at(300.ms()).lasts(30.ms()));
    world.check(always("fits", ()).on("queued", |(), queued: u32| {
        ensure!(queued < 98, "{queued} are queued");
        Ok(())
    }));
}

#[test]
fn a_bug_that_needs_the_absence_of_a_class_is_found_by_a_swarm() {
    let plain = Simulation::new(queue);
    for seed in 0..400 {
        assert_eq!(plain.run_plan(&plan(seed), Record::Digest).verdict, Verdict::Pass, "seed {seed}");
    }
    let swarm = Simulation::new(|world| {
        queue(world);
        world.swarm(true);
    });
    let fails = |seed: &u64| swarm.run_plan(&plan(*seed), Record::Digest).verdict.property().is_some();
    let failing: Vec<u64> = (0..40).filter(fails).collect();
    assert!(failing.len() >= 4, "{failing:?}");
    for seed in failing.into_iter().take(4) {
        let shrunk = shrink(&swarm, &plan(seed), &mut Runs(10_000)).unwrap();
        let said: Vec<String> = shrunk.perturbations().iter().map(|one| one.sentence(shrunk.names())).collect();
        assert_eq!(said, ["the pause of worker at 100 ms happens"], "seed {seed}");
        assert_eq!(shrunk.minimal, Minimal::Pairs);
        assert_eq!(Swarm::of_seed(Seed(seed)).of(FaultClass::Pause).class, FaultClass::Pause);
    }
}

/// What a control task asks for is of a class too.
#[test]
fn a_swarm_switches_off_what_a_control_task_asks_for() {
    let simulation = Simulation::new(|world| {
        world.client("a", || sleep(10.ms()));
        world.node("b", std::future::pending::<()>);
        world.control(|cluster| async move {
            sleep(1.ms()).await;
            publish("paused", cluster.pause("a"));
            cluster.resume("a");
            publish("held", cluster.inject(fault::hold("a", "b").lasts(1.ms())));
        });
        world.swarm(true);
    });
    for seed in 0..40 {
        let outcome = simulation.run_plan(&plan(seed), Record::Full);
        let swarm = Swarm::of_seed(Seed(seed));
        for (class, topic) in [(FaultClass::Pause, "paused"), (FaultClass::Hold, "held")] {
            let happened = facts(&outcome, topic)[0] == "true";
            match swarm.of(class).exponent {
                None => assert!(!happened, "seed {seed}"),
                Some(0..) => assert!(happened, "seed {seed}"),
                Some(_) => {}
            }
        }
    }
}

// --- budgets ----------------------------------------------------------------------------------------------------------

fn stores(more: impl Fn(&mut World) + Send + Sync + 'static) -> Outcome {
    run(move |world| {
        for store in 0..5 {
            world.node(format!("store-{store}"), || async {
                squall::point!("a store has started");
                std::future::pending::<()>().await;
            });
        }
        world.client("client", || sleep(100.ms()));
        more(world);
    })
}

fn refused(more: impl Fn(&mut World) + Send + Sync + 'static) -> String {
    let called = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| stores(more)));
    called.expect_err("refused").downcast_ref::<String>().cloned().expect("a text")
}

fn at(fault: Fault, at_ms: u64) -> Fault {
    fault.at(Duration::from_millis(at_ms))
}

/// Exactly the budget can be; one more is a contradiction, wherever it comes from.
#[test]
fn faults_that_go_beyond_the_budget_by_themselves_are_refused() {
    type Says = fn(&mut World);
    let cases: [(Says, Says, &str); 9] = [
        (
            |world| {
                world.budget("store-*").crashed(1);
                world.fault(at(crash("store-0"), 1).restart_after(9_999.us()));
                world.fault(at(crash("store-1"), 11));
            },
            |world| {
                world.budget("store-*").crashed(1);
                // At the very instant the other one still is down.
                world.fault(at(crash("store-0"), 1).restart_after(10.ms()));
                world.fault(at(crash("store-1"), 11));
            },
            "with the crash of store-1 2 of its nodes are down at 11 ms, but the budget is 1",
        ),
        (
            |world| {
                world.budget("store-*").crashed(AtMost::Minority);
                world.fault(at(crash(["store-0", "store-1"]), 1).together());
            },
            |world| {
                world.budget("store-*").crashed(AtMost::Minority);
                world.fault(at(crash(["store-0", "store-1", "store-2"]), 1).together());
            },
            "3 of its nodes are down at 1 ms, but the budget is 2",
        ),
        (
            |world| {
                world.budget(["store-0", "store-1", "store-2"]).crashed(AtMost::Minority);
                world.fault(at(crash(["store-2", "store-3", "store-4"]), 1));
            },
            |world| {
                world.budget(["store-0", "store-1", "store-2"]).crashed(AtMost::Minority);
                world.fault(at(crash(["store-1", "store-2"]), 1));
            },
            "2 of its nodes are down at 1 ms, but the budget is 1",
        ),
        (
            |world| {
                world.budget("*").crashed(1);
                world.fault(at(crash("store-*"), 1).restart_after(4.ms()).stagger(5.ms()));
            },
            |world| {
                world.budget("*").crashed(1);
                world.fault(at(crash("store-*"), 1).restart_after(5.ms()).stagger(5.ms()));
            },
            "2 of its nodes are down at 6 ms",
        ),
        (
            |world| {
                world.budget("*").crashed(1);
                world.fault(at(crash("store-0"), 1).every(2.ms()).times(3));
            },
            |world| {
                world.budget("*").crashed(0);
                world.fault(at(crash("store-0"), 1).every(2.ms()).times(3));
            },
            "1 of its nodes are down at 1 ms, but the budget is 0",
        ),
        (
            |world| {
                world.budget("*").paused(1);
                world.fault(at(pause("store-0"), 1).lasts(9.ms()));
                world.fault(at(pause("store-1"), 11).lasts(9.ms()));
                // Who is down doesn't stand still.
                world.fault(at(crash("store-1"), 12));
                world.fault(at(pause("store-2"), 13));
            },
            |world| {
                world.budget("*").paused(1);
                world.fault(at(pause("store-0"), 1).lasts(10.ms()));
                world.fault(at(pause("store-1"), 11).lasts(9.ms()));
            },
            "2 of its nodes stand still at 11 ms, but the budget is 1",
        ),
        (
            |world| {
                world.budget("*").partitions(2);
                world.fault(at(partition([["store-0"], ["store-1"]]), 1));
                world.fault(at(fault::ring("*", 1), 2).lasts(1.ms()));
                world.fault(at(fault::random_partition("*", fault::Split::One), 4));
            },
            |world| {
                world.budget("*").partitions(2);
                world.fault(at(partition([["store-0"], ["store-1"]]), 1));
                world.fault(at(fault::ring("*", 1), 2).lasts(2.ms()));
                world.fault(at(fault::random_partition("*", fault::Split::One), 4));
            },
            "3 partitions are there at 4 ms, but the budget is 2",
        ),
        (
            |world| {
                world.budget("store-0").crashed(0);
                world.budget("store-*").crashed(4);
                world.fault(at(crash(["store-1", "store-2", "store-3", "store-4"]), 1));
            },
            |world| {
                world.budget("store-0").crashed(0);
                world.budget("store-*").crashed(5);
                world.fault(at(crash("store-*"), 1));
            },
            "1 of its nodes are down at 1 ms, but the budget is 0",
        ),
        (
            |world| {
                world.budget("store-*").crashed(1);
            },
            |world| {
                world.budget("shop-*").crashed(1);
            },
            "a budget names \"shop-*\", but the nodes are store-0, store-1",
        ),
    ];
    for (within, beyond, expected) in cases {
        let outcome = stores(within);
        let beyond_budget = outcome.unreached_faults.iter().filter(|told| told.why == Unreached::Budget).count();
        assert_eq!((&outcome.verdict, beyond_budget), (&Verdict::Pass, 0), "{expected}");
        let text = refused(beyond);
        assert!(text.contains(expected), "{text}\n{expected}");
    }
}

/// What is known only in the run doesn't happen, and is told: what a control task asks for, what comes beside a crash that the program caused itself.
#[test]
fn what_would_go_beyond_the_budget_does_not_happen() {
    let outcome = stores(|world| {
        world.budget("store-*").crashed(2).paused(1).partitions(1);
        world.control(|cluster| async move {
            sleep(1.ms()).await;
            let crashed = ["store-0", "store-1", "store-2"].map(|store| cluster.crash(store));
            // The client isn't of the budget.
            publish("crashed", (crashed, cluster.crash("client")));
            cluster.restart("client");
            cluster.restart("store-0");
            publish("then", cluster.inject(crash("store-3")));
            publish("again", cluster.inject(crash("store-4")));
            let paused = [cluster.pause("store-0"), cluster.pause("store-0"), cluster.pause("store-2")];
            publish("paused", paused);
            let cut = || cluster.partition(&[&["store-0"], &["store-1"]]);
            publish("cut", [cut(), cut()]);
            cluster.heal();
            publish("cut", [cut(), cluster.inject(fault::ring("*", 1))]);
        });
    });
    assert_eq!(facts(&outcome, "crashed"), ["[[true,true,false],true]"]);
    assert_eq!(
        (facts(&outcome, "then"), facts(&outcome, "again")),
        (vec!["true".to_string()], vec!["false".to_string()])
    );
    // One that stands still already stands still once more.
    assert_eq!(facts(&outcome, "paused"), ["[true,true,false]"]);
    assert_eq!(facts(&outcome, "cut"), ["[true,false]", "[true,false]"]);
    let budget = outcome.unreached_faults.iter().filter(|told| told.why == Unreached::Budget).count();
    assert_eq!(budget, 5, "{:?}", told(&outcome));
    assert_eq!(told(&outcome)[0], "the crash of store-2 by control: it would have gone beyond the budget");
    // A node that crashes by itself can't be refused, but takes the place of another one.
    let panicking = |budget: u32| {
        stores(move |world| {
            world
                .node("weak", || async {
                    sleep(5.ms()).await;
                    panic!("by itself");
                })
                .on_panic(OnPanic::Crash);
            world.budget(["weak", "store-0"]).crashed(budget);
            world.fault(at(crash("store-0"), 10));
        })
    };
    assert_eq!(told(&panicking(1)), ["the crash of store-0 at 10 ms: it would have gone beyond the budget"]);
    assert_eq!(told(&panicking(2)), Vec::<String>::new());
}

/// At points of the code as well, where only a share is asked for.
#[test]
fn crashes_at_points_keep_to_the_budget() {
    let crashed = |budget: Option<u32>| {
        let outcome = stores(move |world| {
            world.fault(crash("store-*").at_point("a store has started", Ratio::ONE));
            if let Some(budget) = budget {
                world.budget("store-*").crashed(budget);
            }
        });
        outcome.perturbations.iter().filter(|one| one.site.kind == SiteKind::Point).count()
    };
    assert_eq!([crashed(None), crashed(Some(2)), crashed(Some(0))], [5, 2, 0]);
}

// --- swizzles ---------------------------------------------------------------------------------------------------------

/// Four stores tell a client each millisecond that they are there, in 0.5 ms; which millisecond it hears which.
fn heartbeats(faults: impl Fn(&mut World) + Send + Sync + 'static) -> impl Fn(&mut World) + Send + Sync + 'static {
    move |world: &mut World| {
        for store in 0..4u8 {
            world.node(format!("store-{store}"), move || async move {
                let endpoint = Endpoint::bind("0.0.0.0:80").await.unwrap();
                let start = Instant::now();
                for number in 0..100u8 {
                    sleep_until(start + u64::from(number).ms()).await;
                    endpoint.send_to("client:80", 1, &[store, number]).await.unwrap();
                }
                std::future::pending::<()>().await;
            });
        }
        world.client("client", || async {
            let endpoint = Endpoint::bind("0.0.0.0:80").await.unwrap();
            let start = Instant::now();
            let mut buffer = [0; 2];
            while let Ok(received) = timeout(120.ms(), endpoint.recv_from(1, &mut buffer)).await {
                received.unwrap();
                publish("heard", (buffer[0], buffer[1], start.elapsed().as_millis() as u64));
            }
        });
        world.network().latency(Latency::fixed(500.us()));
        faults(world);
    }
}

/// By store, the numbers of which the client hears, and when.
fn heard(outcome: &Outcome) -> [Vec<(u64, u64)>; 4] {
    let mut heard: [Vec<(u64, u64)>; 4] = Default::default();
    for fact in facts(outcome, "heard") {
        let [store, number, at_ms]: [u64; 3] = serde_json::from_str(&fact).unwrap();
        heard[store as usize].push((number, at_ms));
    }
    heard
}

fn swizzle() -> Fault {
    fault::swizzle("store-*").at(20.ms()).stagger(3.ms()).lasts(10.ms())
}

/// What events say of a swizzle: by node from when to when it is cut off, in milliseconds.
fn cuts(outcome: &Outcome, over: &str) -> BTreeMap<usize, (u64, u64)> {
    let mut cuts = BTreeMap::new();
    for said in said_faults(outcome) {
        let (at_us, what) = said.split_once(": ").unwrap();
        let store = what.split_once("(store-").unwrap().1[..1].parse::<usize>().unwrap();
        let at_ms = at_us.parse::<u64>().unwrap() / 1_000;
        match what.ends_with(over) {
            false => assert!(cuts.insert(store, (at_ms, u64::MAX)).is_none()),
            true => cuts.get_mut(&store).unwrap().1 = at_ms,
        }
    }
    cuts
}

#[test]
fn a_swizzle_cuts_nodes_off_one_after_the_other() {
    let mut sizes = BTreeSet::new();
    for seed in 0..40 {
        let simulation = Simulation::new(heartbeats(|world| world.fault(swizzle())));
        let outcome = simulation.run_plan(&plan(seed), Record::Full);
        let (cuts, heard) = (cuts(&outcome, " is healed"), heard(&outcome));
        let size = cuts.len() as u64;
        sizes.insert(size);
        // One 3 ms after the other, and back again so, when the last one has been off for 10 ms.
        let all = |ends: fn(&(u64, u64)) -> u64| cuts.values().map(ends).collect::<BTreeSet<u64>>();
        assert_eq!(all(|cut| cut.0), (0..size).map(|place| 20 + 3 * place).collect());
        assert_eq!(all(|cut| cut.1), (0..size).map(|place| 20 + 3 * (size - 1) + 10 + 3 * place).collect());
        for (store, heard) in heard.iter().enumerate() {
            let (from, to) = cuts.get(&store).copied().unwrap_or((u64::MAX, u64::MAX));
            // Sent at that very instant, it is lost or not, by what comes first there.
            let is_sure = |number: u64| ![from, to].contains(&number);
            let expected = (0..100).filter(|number| is_sure(*number) && !(from..to).contains(number));
            let heard = heard.iter().map(|(number, _)| *number).filter(|number| is_sure(*number));
            assert_eq!(heard.collect::<Vec<_>>(), expected.collect::<Vec<_>>(), "seed {seed}, store {store}: {cuts:?}");
        }
    }
    assert_eq!(sizes, (1..=4).collect());
    let calm = Simulation::new(heartbeats(|_| {})).run_plan(&plan(1), Record::Full);
    assert!(heard(&calm).iter().all(|heard| heard.len() == 100));
}

/// Clogged, nothing is lost: it comes when the node is back.
#[test]
fn a_swizzle_may_hold_messages_back() {
    let simulation = Simulation::new(heartbeats(|world| world.fault(swizzle().holds_messages())));
    let outcome = simulation.run_plan(&plan(3), Record::Full);
    let cuts = cuts(&outcome, " is over");
    assert!(!cuts.is_empty());
    for (store, heard) in heard(&outcome).iter().enumerate() {
        assert_eq!(heard.len(), 100, "store {store}");
        for (number, at_ms) in heard {
            let due = match cuts.get(&store) {
                Some((from, to)) if (*from..*to).contains(number) => *to,
                _ => *number,
            };
            assert!(*at_ms == due || *at_ms + 1 == due || *at_ms == due + 1, "{number} at {at_ms}, not at {due}");
        }
    }
    assert_eq!(outcome.messages.lost, 0);
}

/// Each node's part is a decision with an address: alone it happens at the same times, and a control task's as well.
#[test]
fn each_part_of_a_swizzle_is_a_fault_of_its_own() {
    let simulation = Simulation::new(heartbeats(|world| {
        world.fault(swizzle().every(40.ms()).times(2));
        world.control(|cluster| async move {
            sleep(1.ms()).await;
            publish("injected", cluster.inject(fault::swizzle(["store-0", "store-1"]).stagger(1.ms()).lasts(1.ms())));
        });
    }));
    let outcome = simulation.run_plan(&plan(5), Record::Full);
    assert_eq!(facts(&outcome, "injected"), ["true"]);
    let parts: Vec<_> =
        outcome.perturbations.iter().filter(|one| one.site.kind == SiteKind::Partition).copied().collect();
    assert!(parts.len() > 3);
    let of_events = said_faults(&outcome);
    for part in &parts {
        let alone = simulation.run_plan(&plan(5).only(&[*part]), Record::Full);
        assert_eq!((&alone.perturbations, &alone.unused_overrides), (&vec![*part], &vec![]));
        let said = said_faults(&alone);
        assert!(said.len() == 2 && said.iter().all(|said| of_events.contains(said)), "{said:?} of {of_events:?}");
        let sentence = part.sentence(&alone.names);
        assert!(sentence.contains(", from ") && sentence.ends_with(", happens"), "{sentence}");
    }
    let only = simulation.run_plan(&plan(5).only(&outcome.perturbations), Record::Digest);
    assert_eq!((only.digest, only.unused_overrides), (outcome.digest, vec![]));
}

#[test]
fn impossible_swizzles_are_refused() {
    type Makes = fn() -> Fault;
    let cases: [(Makes, &str); 6] = [
        (|| fault::swizzle("store-*").stagger(1.ms()), "say with `lasts` (`for`) after how long"),
        (|| fault::swizzle("store-*").lasts(1.ms()), "say with `stagger` how long after"),
        (|| fault::swizzle("store-*").lasts(1.ms()).stagger(Duration::ZERO), "say with `stagger` how long after"),
        (|| fault::swizzle("store-0").lasts(1.ms()).stagger(1.ms()), "of 2 to 63 nodes, not of 1"),
        (|| swizzle().every(34.ms()).times(2), "all of the 5 nodes are back after 34 ms"),
        (|| pause("store-0").holds_messages(), "only a swizzle holds messages back"),
    ];
    for (fault, expected) in cases {
        let called = std::panic::catch_unwind(|| stores(move |world| world.fault(fault())));
        let panic = called.expect_err("refused");
        let text = panic.downcast_ref::<String>().cloned();
        let text = text.or_else(|| panic.downcast_ref::<&str>().map(ToString::to_string)).expect("a text");
        assert!(text.contains(expected), "{text}\n{expected}");
    }
    let outcome = stores(|world| world.fault(swizzle().every(34_001.us()).times(2)));
    assert_eq!(outcome.verdict, Verdict::Pass);
}
