//! Latencies that follow a recording, those of copies, and those of messages to oneself: what they do to programs, and that they do nothing where they
//! aren't.

use std::time::Duration;

use squall::net::Endpoint;
use squall::prelude::*;
use squall::time::{Instant, sleep, sleep_until};
use squall::trace::{Base, EventKind, LossReason, Outcome, Plan, Record, Seed, SiteKind, StrategyChoice, Verdict};
use squall::{Simulation, World, fault, fs, publish};
use squall_tests::facts;

fn run_by(plan: &Plan, build: impl Fn(&mut World) + Send + Sync + 'static) -> Outcome {
    Simulation::new(build).run_plan(plan, Record::Full)
}

/// By seed 1, in the order in which things become ready.
fn plan() -> Plan {
    Plan { strategy: StrategyChoice::Fifo, ..Plan::seeded("test", Seed(1)) }
}

fn run(build: impl Fn(&mut World) + Send + Sync + 'static) -> Outcome {
    run_by(&plan(), build)
}

/// `a` sends `b` a message each millisecond, so many; who publishes how long each took, in microseconds.
fn each_millisecond(world: &mut World, many: u64) {
    world.node("b", || async {
        let endpoint = Endpoint::bind("0.0.0.0:80").await.unwrap();
        let start = Instant::now();
        let mut buffer = [0; 8];
        loop {
            endpoint.recv_from(1, &mut buffer).await.unwrap();
            let number = u64::from_le_bytes(buffer);
            publish("took", (number, start.elapsed().as_micros() as u64 - number * 1_000));
        }
    });
    world.client("a", move || async move {
        let endpoint = Endpoint::bind("0.0.0.0:0").await.unwrap();
        let start = Instant::now();
        for number in 0..many {
            sleep_until(start + number.ms()).await;
            endpoint.send_to("b:80", 1, &number.to_le_bytes()).await.unwrap();
        }
        sleep(1.secs()).await;
    });
}

/// By number, in order of arrival: how long each took.
fn took(outcome: &Outcome) -> Vec<(u64, u64)> {
    facts(outcome, "took").iter().map(|fact| serde_json::from_str(fact).unwrap()).collect()
}

fn sorted(mut took: Vec<(u64, u64)>) -> Vec<(u64, u64)> {
    took.sort_unstable();
    took
}

/// Two milliseconds, but from 10 to 15 ms forty; 25 ms long.
fn with_a_spike() -> Latency {
    Latency::trace([(0.ms(), 2.ms()), (10.ms(), 40.ms()), (15.ms(), 2.ms()), (20.ms(), 3.ms())])
}

/// What was recorded for the millisecond in which a message is sent.
fn recorded_us(number: u64) -> u64 {
    match number % 25 {
        10..15 => 40_000,
        20.. => 3_000,
        _ => 2_000,
    }
}

#[test]
fn a_recorded_latency_is_replayed_exactly() {
    let outcome = run(|world| {
        each_millisecond(world, 100);
        world.network().latency(with_a_spike());
    });
    let expected: Vec<(u64, u64)> = (0..100).map(|number| (number, recorded_us(number))).collect();
    assert_eq!(sorted(took(&outcome)), expected);
    // Nothing is drawn: another seed has the same, and so have its perturbations alone.
    let other = run_by(&Plan { seed: Seed(2), ..plan() }, |world| {
        each_millisecond(world, 100);
        world.network().latency(with_a_spike());
    });
    assert_eq!(sorted(took(&other)), expected);
    let late = outcome.perturbations.iter().filter(|one| one.site.kind == SiteKind::Latency);
    // Those of the spike, and those of the last five milliseconds; the median is calm.
    assert_eq!(late.count(), 4 * (5 + 5));
    // In calm weather each takes the median over time.
    let calm = Plan { bases: plan().bases.with(SiteKind::Latency, Base::Calm), ..plan() };
    let outcome = run_by(&calm, |world| {
        each_millisecond(world, 100);
        world.network().latency(with_a_spike());
    });
    assert!(took(&outcome).iter().all(|(_, us)| *us == 2_000));
}

/// The time at which a message leaves counts, behind its queue; after the heal it takes the median.
#[test]
fn a_recorded_latency_is_that_of_when_a_message_leaves() {
    let outcome = run(|world| {
        each_millisecond(world, 10);
        // A message of 36 bytes takes 2.88 ms.
        world.network().latency(with_a_spike()).bandwidth_bits_per_second(100_000);
    });
    let left_us = |number: u64| (number + 1) * 2_880;
    let expected =
        (0..10).map(|number| (number, left_us(number) + recorded_us(left_us(number) / 1_000) - number * 1_000));
    assert_eq!(sorted(took(&outcome)), expected.collect::<Vec<_>>());
    let outcome = run(|world| {
        each_millisecond(world, 40);
        world.network().latency(with_a_spike());
        world.heal(12_500.us());
    });
    let expected = (0..40).map(|number| (number, if number < 13 { recorded_us(number) } else { 2_000 }));
    assert_eq!(sorted(took(&outcome)), expected.collect::<Vec<_>>());
}

/// A fault can bring a recording for a while; the run's time goes on in it. A disk can have one, too.
#[test]
fn faults_and_disks_follow_recordings() {
    let outcome = run(|world| {
        each_millisecond(world, 30);
        world.network().latency(fixed(1.ms()));
        let spike = fault::link("a", "b", |link| {
            link.latency(with_a_spike());
        });
        world.fault(spike.at(8_500.us()).lasts(4.ms()));
    });
    let is_recorded = |number: &u64| (9..=12).contains(number);
    let expected = (0..30)
        .map(|number| (number, if is_recorded(&number) { recorded_us(number) } else { 1_000 }))
        .collect::<Vec<_>>();
    assert_eq!(sorted(took(&outcome)), expected);
    let outcome = run(|world| {
        world.client("store", || async {
            let start = Instant::now();
            for _ in 0..5 {
                fs::read("/none").await.unwrap_err();
                publish("at", start.elapsed().as_millis() as u64);
            }
        });
        let recorded = [(0.ms(), 4.ms()), (10.ms(), 1.ms()), (13.ms(), 100.ms())];
        world.storage().latency(Latency::trace(recorded));
    });
    assert_eq!(facts(&outcome, "at"), ["4", "8", "12", "13", "113"]);
}

/// A copy has the latency that is said for it, and the message its own; without it both have the link's.
#[test]
fn copies_have_a_latency_of_their_own() {
    let copied = |more: fn(&mut World)| {
        let outcome = run(move |world| {
            each_millisecond(world, 10);
            world.network().latency(fixed(2.ms())).duplicate(percent(100));
            more(world);
        });
        assert_eq!((outcome.messages.sent, outcome.messages.duplicated, outcome.messages.delivered), (10, 10, 20));
        sorted(took(&outcome))
    };
    let both = |copy_us: u64| (0..10).flat_map(|number| [(number, 2_000), (number, copy_us)]).collect::<Vec<_>>();
    assert_eq!(copied(|_| {}), both(2_000));
    assert_eq!(
        copied(|world| {
            world.network().duplicate_latency(fixed(70.ms()));
        }),
        both(70_000)
    );
    // Of one way alone, as any of a link's weather.
    assert_eq!(
        copied(|world| {
            world.link_one_way("b", "a").duplicate_latency(fixed(70.ms()));
        }),
        both(2_000)
    );
    // For a while.
    let some = copied(|world| {
        let late = fault::link("a", "b", |link| {
            link.duplicate_latency(fixed(70.ms()));
        });
        world.fault(late.at(4_500.us()).lasts(2.ms()));
    });
    let late: Vec<u64> = some.iter().filter(|(_, us)| *us == 70_000).map(|(number, _)| *number).collect();
    assert_eq!(late, [5, 6]);
    // Where nothing is copied it changes nothing, to the last event.
    let digest = |more: fn(&mut World)| {
        run(move |world| {
            each_millisecond(world, 10);
            world.network().loss(percent(10));
            more(world);
        })
        .digest
    };
    let late_copies = digest(|world| {
        world.network().duplicate_latency(fixed(70.ms()));
    });
    assert_eq!(late_copies, digest(|_| {}));
}

/// A node that sends itself messages one after the other, which publishes how long each takes, in microseconds.
fn talks_to_itself(world: &mut World, many: u64) {
    world.client("alone", move || async move {
        let endpoint = Endpoint::bind("0.0.0.0:80").await.unwrap();
        for _ in 0..many {
            let sent = Instant::now();
            endpoint.send_to("127.0.0.1:80", 1, &[7; 100]).await.unwrap();
            endpoint.recv_from(1, &mut [0; 100]).await.unwrap();
            publish("took", sent.elapsed().as_nanos() as u64);
        }
    });
}

fn nanoseconds(outcome: &Outcome) -> Vec<u64> {
    facts(outcome, "took").iter().map(|fact| fact.parse().unwrap()).collect()
}

#[test]
fn messages_to_oneself_take_as_long_as_is_said() {
    let alone = |more: fn(&mut World)| {
        run(move |world| {
            talks_to_itself(world, 200);
            more(world);
        })
    };
    let usual = alone(|_| {});
    assert_eq!(nanoseconds(&usual), vec![10_000; 200]);
    // What is said of links is said of others, whatever it is, and so are all faults of links.
    let stormy = alone(|world| {
        world
            .network()
            .latency(uniform(1.ms(), 9.ms()))
            .loss(percent(50))
            .duplicate(percent(50))
            .corruption(percent(50));
        world.network().bandwidth_bits_per_second(1).queue_bytes(0);
        world.link("alone", "alone").latency(fixed(1.secs())).loss(percent(100));
        world.uplink("alone").bandwidth_bits_per_second(1);
        world.node("other", std::future::pending::<()>);
        world.fault(fault::hold("*", "*").at(Duration::ZERO));
        let lossy = fault::link("*", "*", |link| {
            link.loss(percent(100));
        });
        world.fault(lossy.at(Duration::ZERO));
    });
    assert_eq!(nanoseconds(&stormy), vec![10_000; 200]);
    assert!(stormy.perturbations.iter().all(|one| one.site.kind == SiteKind::Fault));
    // Always the same: no decision.
    let slow = alone(|world| {
        world.loopback().latency(fixed(50.us()));
    });
    assert_eq!((nanoseconds(&slow), slow.perturbations.len()), (vec![50_000; 200], 0));
    let drawn = alone(|world| {
        world.loopback().latency(uniform(10.us(), 90.us()));
    });
    let took = nanoseconds(&drawn);
    assert!(took.iter().all(|ns| (10_000..=90_000).contains(ns)), "{took:?}");
    // Four standard deviations of the mean of 200.
    let mean = took.iter().sum::<u64>() as f64 / 200.0;
    assert!((mean - 50_000.0).abs() <= 4.0 * 80_000.0 / 12f64.sqrt() / 200f64.sqrt(), "{mean}");
    let of_latency = drawn.perturbations.iter().filter(|one| one.site.kind == SiteKind::Latency);
    assert!(of_latency.count() >= 199);
    // They come back from the perturbations alone, and are calm after the heal.
    let overrides = drawn.perturbations.iter().map(squall::trace::Perturbation::to_override).collect();
    let again = Plan { overrides, bases: squall::trace::plan::Bases::calm(), seed: Seed(9), ..plan() };
    let build = |world: &mut World| {
        talks_to_itself(world, 200);
        world.loopback().latency(uniform(10.us(), 90.us()));
    };
    assert_eq!(run_by(&again, build).digest, drawn.digest);
    let healed = run(|world| {
        talks_to_itself(world, 20);
        world.loopback().latency(uniform(10.us(), 90.us()));
        world.heal(Duration::ZERO);
    });
    assert_eq!(nanoseconds(&healed), vec![50_000; 20]);
    // A recording is replayed there, too.
    let recorded = run(|world| {
        talks_to_itself(world, 5);
        world.loopback().latency(Latency::trace([(0.us(), 10.us()), (20.us(), 70.us()), (100.us(), 5.us())]));
    });
    assert_eq!(nanoseconds(&recorded), [10_000, 10_000, 70_000, 70_000, 5_000]);
}

/// No other node's messages change by it.
#[test]
fn others_know_nothing_of_messages_to_oneself() {
    let digest = |more: fn(&mut World)| {
        let outcome = run(move |world| {
            each_millisecond(world, 20);
            world.network().latency(uniform(1.ms(), 9.ms())).loss(percent(5));
            more(world);
        });
        assert_eq!(outcome.verdict, Verdict::Pass);
        outcome.digest
    };
    let slow = digest(|world| {
        world.loopback().latency(exponential(1.secs()));
    });
    assert_eq!(slow, digest(|_| {}));
}

/// What a crash finds in the queue isn't lost by the link: each reason is told as itself.
#[test]
fn reasons_of_losses_have_words() {
    let outcome = run(|world| {
        each_millisecond(world, 10);
        world.network().bandwidth_bits_per_second(100_000).queue_bytes(72);
        world.fault(crash("a").at(5_500.us()));
    });
    let events = &outcome.trace.as_ref().unwrap().events;
    let reasons: Vec<String> = events
        .iter()
        .filter_map(|event| match event.kind {
            EventKind::Lose { reason, .. } => Some(reason.to_string()),
            _ => None,
        })
        .collect();
    let (full, down) = (LossReason::QueueFull.to_string(), LossReason::SenderDown.to_string());
    // At 2.88 and 5.76 ms one has left; at 3, 4 and 5 ms the queue has room for one more of them.
    assert_eq!(reasons, [full.clone(), full, down.clone(), down.clone(), down]);
}
