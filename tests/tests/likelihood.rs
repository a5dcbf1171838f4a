//! How likely a failure is from each moment on: against worlds of which that is known.

use squall::net::Endpoint;
use squall::prelude::*;
use squall::time::{sleep, timeout};
use squall::trace::target::NoObserver;
use squall::trace::{Outcome, Plan, Record, Seed, Target, Verdict};
use squall::{Simulation, World};
use squall_campaign::likelihood::{Likelihood, likelihood};
use squall_campaign::shrink::{Runs, shrink};

const MS: u64 = 1_000_000;

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
    moment.share()
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
        let found = likelihood(&simulation, plan, outcome, draws, || true).expect("it fails");
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
        assert_eq!(likelihood(&simulation, plan, outcome, draws, || true), Some(found));
    }
}

/// Without time for it there is none; with time for some moments there are those. What passes has none.
#[test]
fn it_ends_when_there_is_no_time_left() {
    let simulation = Simulation::new(two_tosses);
    let (plan, outcome) = failing(&simulation);
    assert_eq!(likelihood(&simulation, &plan, &outcome, 10, || false), None);
    let mut left = 3;
    let some = likelihood(&simulation, &plan, &outcome, 10, || {
        left -= 1;
        left >= 0
    });
    assert_eq!(some.expect("there was time").moments.len(), 3);
    let passing = simulation.run(&plan.only(&[]), Record::Perturbations, &mut NoObserver);
    assert_eq!(passing.verdict, Verdict::Pass);
    assert_eq!(likelihood(&simulation, &plan, &passing, 10, || true), None);
}
