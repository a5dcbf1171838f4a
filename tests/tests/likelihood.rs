//! How likely a failure is from each moment on: against worlds of which that is known.

use squall::net::Endpoint;
use squall::prelude::*;
use squall::time::{sleep, timeout};
use squall::trace::target::NoObserver;
use squall::trace::{Outcome, Plan, Record, Seed, Target, Verdict};
use squall::{Simulation, World};
use squall_campaign::likelihood::{Draws, Likelihood, likelihood};
use squall_campaign::shrink::{Runs, shrink};

const MS: u64 = 1_000_000;

/// So often, however long it takes.
fn times(most: u64) -> Draws {
    Draws { most, events_max: u64::MAX, events_of_run: 0 }
}

/// A message at 100 ms and one at 200 ms, each lost with probability one half: it fails if both are.
fn two_tosses(world: &mut World) {
    world.node("to", || async {
        let endpoint = Endpoint::bind("0.0.0.0:80").await.unwrap();
        let mut lost = 0;
        for _ in 0..2 {
            sleep(99.ms()).await;
            lost += u32::from(timeout(1.ms() + 9.ms(), endpoint.recv_from(1, &mut [])).await.is_err());
            sleep(1.ms()).await;
        }
        assert!(lost < 2, "both are lost");
    });
    world.client("from", || async {
        let endpoint = Endpoint::bind("0.0.0.0:90").await.unwrap();
        for _ in 0..2 {
            sleep(100.ms()).await;
            endpoint.send_to("to:80", 1, &[]).await.unwrap();
        }
        sleep(300.ms()).await;
    });
    world.network().latency(uniform(1.ms(), 5.ms())).loss(percent(50));
}

fn failing(simulation: &Simulation) -> (Plan, Outcome) {
    let plan = |seed| Plan::seeded("test", Seed(seed));
    let fails = |seed: &u64| simulation.run_plan(&plan(*seed), Record::Digest).verdict.property().is_some();
    let seed = (0..).find(fails).expect("one of four fails");
    let outcome = simulation.run(&plan(seed), Record::Perturbations, &mut NoObserver);
    (plan(seed), outcome)
}

fn share_at(likelihood: &Likelihood, at_ns: u64) -> f64 {
    let moment = likelihood.moments.iter().rfind(|moment| moment.at_ns <= at_ns).expect("the first is the start");
    moment.share().expect("each run comes to something")
}

/// A quarter, one half once the first is lost, and for sure once the second is: as found and as shrunk.
#[test]
fn it_is_as_likely_as_tosses_of_a_coin() {
    let simulation = Simulation::new(two_tosses);
    let (plan, outcome) = failing(&simulation);
    let shrunk = shrink(&simulation, &plan, &mut Runs(10_000)).unwrap();
    assert_eq!(shrunk.perturbations().len(), 2);
    for (plan, outcome) in [(&plan, &outcome), (&shrunk.plan, &shrunk.outcome)] {
        let draws = 400;
        let found = likelihood(&simulation, plan, outcome, times(draws), || true).expect("it fails");
        // Four and a half deviations.
        let near = |at_ns: u64, share: f64| {
            let deviation = (share * (1.0 - share) / draws as f64).sqrt();
            let found = share_at(&found, at_ns);
            assert!((found - share).abs() <= 4.5 * deviation, "at {at_ns}: {found}, not {share}");
        };
        near(0, 0.25);
        near(99 * MS, 0.25);
        near(150 * MS, 0.5);
        near(199 * MS, 0.5);
        near(200 * MS + 1, 1.0);
        let inevitable = found.inevitable_from().expect("it fails in the end");
        assert_eq!(inevitable.at_ns, 200 * MS + 1, "{found:?}");
        let (least, most) = inevitable.bounds();
        assert!(least > 0.99 && most >= 1.0, "{least} to {most}");
        // The same again, whoever asks.
        assert_eq!(likelihood(&simulation, plan, outcome, times(draws), || true), Some(found));
    }
}

/// Whoever ends it gets all moments, with as many runs as each of them had; before each has had one there is nothing. What passes has none.
#[test]
fn it_ends_when_it_is_told_to() {
    let simulation = Simulation::new(two_tosses);
    let (plan, outcome) = failing(&simulation);
    let ends_after = |runs: usize| {
        let mut left = runs;
        likelihood(&simulation, &plan, &outcome, times(10), || {
            let goes_on = left > 0;
            left = left.saturating_sub(1);
            goes_on
        })
    };
    let whole = likelihood(&simulation, &plan, &outcome, times(10), || true).expect("it fails");
    let moments = whole.moments.len();
    assert!(whole.moments.iter().all(|moment| moment.runs == 10));
    assert_eq!(ends_after(0), None);
    assert_eq!(ends_after(moments - 1), None);
    for (runs, rounds) in [(moments, 1), (3 * moments - 1, 2), (3 * moments, 3)] {
        let some = ends_after(runs).expect("each moment had a run");
        assert_eq!(Some(&some), likelihood(&simulation, &plan, &outcome, times(rounds), || true).as_ref());
        assert!(some.moments.len() == moments && some.moments.iter().all(|moment| moment.runs == rounds));
    }
    let passing = simulation.run(&plan.only(&[]), Record::Perturbations, &mut NoObserver);
    assert_eq!(passing.verdict, Verdict::Pass);
    assert_eq!(likelihood(&simulation, &plan, &passing, times(10), || true), None);
}

/// A budget of events ends it behind a round, and the first round is always there.
#[test]
fn it_ends_when_its_runs_have_had_so_many_events() {
    let simulation = Simulation::new(two_tosses);
    let (plan, outcome) = failing(&simulation);
    let of = |events_max, events_of_run| {
        let draws = Draws { most: 10, events_max, events_of_run };
        let found = likelihood(&simulation, &plan, &outcome, draws, || true);
        found.expect("it fails").moments.iter().map(|moment| moment.runs).collect::<Vec<u64>>()
    };
    let within = |events_max| of(events_max, 0);
    let (none, some, all) = (within(0), within(2_000), within(u64::MAX));
    assert_eq!(of(2_000, 1_000_000), none);
    assert!(none.iter().all(|runs| *runs == 1) && all.iter().all(|runs| *runs == 10));
    assert!(some.iter().all(|runs| *runs == some[0] && *runs > 1 && *runs < 10), "{some:?}");
}

/// A run that is ended before it could end by itself fails only for that it is judged there. What is drawn again isn't ended: the
/// failure is as likely as with the whole run, in which what is slow arrives as well.
#[test]
fn a_run_that_is_ended_early_is_drawn_to_its_own_end() {
    let simulation = Simulation::new(|world: &mut World| {
        world.node("to", || async {
            let endpoint = Endpoint::bind("0.0.0.0:80").await.unwrap();
            while endpoint.recv_from(1, &mut []).await.is_ok() {
                squall::publish("arrived", 1u64);
            }
        });
        world.client("from", || async {
            let endpoint = Endpoint::bind("0.0.0.0:90").await.unwrap();
            sleep(100.ms()).await;
            endpoint.send_to("to:80", 1, &[]).await.unwrap();
            sleep(900.ms()).await;
        });
        world.network().latency(uniform(1.ms(), 200.ms())).loss(percent(50));
        let count = |arrived: &mut u64, one: u64| {
            *arrived += one;
            Ok(())
        };
        let arrives = |arrived: &mut u64| if *arrived > 0 { Ok(()) } else { Err("it never arrives".to_string()) };
        world.check(always("arrives", 0u64).on("arrived", count).at_end(arrives));
    });
    let (plan, outcome) = failing(&simulation);
    let shrunk = shrink(&simulation, &plan, &mut Runs(10_000)).unwrap();
    assert!(shrunk.plan.horizon_ns.is_some_and(|end_ns| end_ns < 900 * MS), "{:?}", shrunk.plan);
    assert!(outcome.ending.at_ns > 900 * MS);
    let draws = 200;
    let found = likelihood(&simulation, &shrunk.plan, &shrunk.outcome, times(draws), || true).expect("it fails");
    let deviation = (0.25 / draws as f64).sqrt();
    assert!((share_at(&found, 0) - 0.5).abs() <= 4.5 * deviation, "{found:?}");
    assert_eq!(found.inevitable_from().map(|moment| moment.at_ns), Some(100 * MS + 1), "{found:?}");
}

/// Runs of which nobody can say what they come to, and such as fail otherwise, are counted apart.
#[test]
fn what_is_unknown_or_fails_otherwise_is_counted_apart() {
    // It is lost, which is the failure; or arrives soon, and all is well; in between, and nothing judges it; late, and another property fails.
    let simulation = Simulation::new(|world: &mut World| {
        world.node("to", || async {
            let endpoint = Endpoint::bind("0.0.0.0:80").await.unwrap();
            let begun = squall::time::Instant::now();
            timeout(400.ms(), endpoint.recv_from(1, &mut [])).await.expect("it is lost").unwrap();
            let taken_ms = begun.elapsed().as_millis() as u64;
            if !(100..200).contains(&taken_ms) {
                squall::publish("taken", taken_ms);
            }
        });
        world.client("from", || async {
            let endpoint = Endpoint::bind("0.0.0.0:90").await.unwrap();
            endpoint.send_to("to:80", 1, &[]).await.unwrap();
            sleep(500.ms()).await;
        });
        world.network().latency(uniform(1.ms(), 300.ms())).loss(percent(25));
        let judge = |_: &mut (), taken_ms: u64| if taken_ms < 100 { Ok(()) } else { Err("it is late".to_string()) };
        world.check(always("soon", ()).on("taken", judge));
    });
    let plan = |seed| Plan::seeded("test", Seed(seed));
    let fails = |seed: &u64| simulation.run_plan(&plan(*seed), Record::Digest).verdict.property() == Some("panic");
    let seed = (0..).find(fails).expect("one of four is lost");
    let outcome = simulation.run(&plan(seed), Record::Perturbations, &mut NoObserver);
    let found = likelihood(&simulation, &plan(seed), &outcome, times(100), || true).expect("it fails");
    let start = found.moments[0];
    assert!(start.failed > 0 && start.failed_otherwise > 0 && start.unknown > 0, "{start:?}");
    assert!(start.failed + start.failed_otherwise + start.unknown < start.runs, "{start:?}");
}
