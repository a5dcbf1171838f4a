//! What the strategies do with the order within an instant.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::rc::Rc;

use squall::net::Endpoint;
use squall::task::{spawn, yield_now};
use squall::time::DurationExt;
use squall::trace::{Plan, Record, Seed, StrategyChoice, Verdict};
use squall::{Latency, Simulation, World};
use squall_tests::facts;

fn plan(seed: u64, strategy: StrategyChoice) -> Plan {
    Plan { strategy, ..Plan::seeded("order", Seed(seed)) }
}

/// How often each order of the published facts came.
fn orders(build: fn(&mut World), strategy: StrategyChoice, runs: u64) -> BTreeMap<String, u64> {
    let simulation = Simulation::new(build);
    let mut orders = BTreeMap::new();
    for seed in 0..runs {
        let outcome = simulation.run_plan(&plan(seed, strategy), Record::Full);
        assert_eq!(outcome.verdict, Verdict::Pass);
        *orders.entry(facts(&outcome, "came").concat()).or_default() += 1;
    }
    orders
}

fn three_tasks(world: &mut World) {
    world.client("client", || async {
        let tasks = [0, 1, 2].map(|n| spawn(async move { squall::publish("came", n) }));
        for task in tasks {
            task.await.unwrap();
        }
    });
}

/// Three messages that arrive at one instant, from three nodes.
fn three_messages(world: &mut World) {
    world.network().latency(Latency::fixed(1.ms()));
    world.client("receiver", || async {
        let endpoint = Endpoint::bind("0.0.0.0:80").await.unwrap();
        for _ in 0..3 {
            let mut buffer = [0; 1];
            endpoint.recv_from(1, &mut buffer).await.unwrap();
            squall::publish("came", buffer[0]);
        }
    });
    for n in 0..3u8 {
        world.node(format!("sender-{n}"), move || async move {
            let endpoint = Endpoint::bind("0.0.0.0:80").await.unwrap();
            endpoint.send_to("receiver:80", 1, &[n]).await.unwrap();
        });
    }
}

/// The 99.9 % point of chi-squared with 5 degrees of freedom is 20.5; the seeds are fixed.
#[test]
fn random_gives_each_permutation_about_equally_often() {
    for build in [three_tasks as fn(&mut World), three_messages] {
        let runs = 3_000;
        let found = orders(build, StrategyChoice::Random, runs);
        assert_eq!(found.len(), 6, "{found:?}");
        let expected = runs as f64 / 6.0;
        let chi: f64 = found.values().map(|&n| (n as f64 - expected).powi(2) / expected).sum();
        assert!(chi < 20.5, "chi-squared {chi}: {found:?}");
    }
}

#[test]
fn fifo_gives_one_order_only() {
    for build in [three_tasks as fn(&mut World), three_messages] {
        let found = orders(build, StrategyChoice::Fifo, 100);
        assert_eq!(found.into_iter().collect::<Vec<_>>(), [("012".to_string(), 100)]);
    }
}

const BYSTANDERS: u64 = 4;

/// Another task must come in between two steps of the victim: an ordering bug of depth 2.
fn broken_in_between(world: &mut World) {
    world.client("client", || async {
        let (begun, ended, broken) = (Rc::new(Cell::new(false)), Rc::new(Cell::new(false)), Rc::new(Cell::new(false)));
        let mut tasks = Vec::new();
        for _ in 0..BYSTANDERS {
            tasks.push(spawn(async {
                for _ in 0..3 {
                    yield_now().await;
                }
            }));
        }
        let (first, last) = (Rc::clone(&begun), Rc::clone(&ended));
        tasks.push(spawn(async move {
            yield_now().await;
            first.set(true);
            yield_now().await;
            last.set(true);
        }));
        let found = Rc::clone(&broken);
        tasks.push(spawn(async move {
            found.set(begun.get() && !ended.get());
        }));
        for task in tasks {
            task.await.unwrap();
        }
        squall::publish("came", u8::from(broken.get()));
    });
}

/// At least 1/(n·k^(d−1)), with n chains, k choices and depth d; three standard deviations below are allowed for.
#[test]
fn pct_finds_a_bug_of_depth_two_at_least_as_often_as_promised() {
    // The root, the bystanders, the victim, the other; each bystander is polled four times, the victim three times.
    let chains = BYSTANDERS + 3;
    let simulation = Simulation::new(broken_in_between);
    let polls = simulation.run_plan(&plan(1, StrategyChoice::Fifo), Record::Full).trace.unwrap().events;
    let choices = polls.iter().filter(|event| event.kind == squall::trace::EventKind::Poll).count() as u64;
    let runs = 3_000;
    let hits = |depth| {
        let found = orders(broken_in_between, StrategyChoice::Pct { depth, steps: choices }, runs);
        found.get("1").copied().unwrap_or(0)
    };
    let bound = 1.0 / (chains * choices) as f64;
    let least = runs as f64 * bound - 3.0 * (runs as f64 * bound).sqrt();
    let found = hits(2);
    println!("{found} of {runs} runs, promised {:.1}", runs as f64 * bound);
    assert!(found as f64 >= least, "{found} of {runs} runs, promised {:.1}", runs as f64 * bound);
    // Without a change point nobody comes in between.
    assert_eq!(hits(1), 0);
}
