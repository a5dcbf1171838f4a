//! Links do what they were told, measured through whole worlds: the seeds are fixed, the tolerance is four standard
//! deviations, and each test would reject a link that is 10 % off.

use std::collections::BTreeMap;
use std::time::Duration;

use squall::net::Endpoint;
use squall::time::DurationExt;
use squall::trace::{Event, EventKind, EventMask, Observer, Plan, Ratio, Record, Seed, Target, Verdict};
use squall::{Latency, Simulation, World};

const MESSAGES: u64 = 60_000;

/// How far a measured share may be from the configured one, in standard deviations.
const TOLERANCE: f64 = 4.0;

#[derive(Default)]
struct Measured {
    sent_at: BTreeMap<u64, u64>,
    duplicated: Vec<u64>,
    lost: Vec<u64>,
    /// By copy.
    latencies_ns: [Vec<u64>; 2],
}

impl Observer for Measured {
    fn interest(&self) -> EventMask {
        EventMask::MESSAGES
    }

    fn on_event(&mut self, event: &Event<'_>) {
        match event.kind {
            EventKind::Send { number, .. } => {
                self.sent_at.insert(number, event.at_ns);
            }
            EventKind::Duplicate { number, .. } => self.duplicated.push(number),
            EventKind::Lose { number, .. } => self.lost.push(number),
            EventKind::Deliver { number, copy, .. } => {
                self.latencies_ns[usize::from(copy)].push(event.at_ns - self.sent_at[&number]);
            }
            _ => {}
        }
    }
}

/// Sends many messages over a link.
fn measure(seed: u64, latency: &Latency, loss: Ratio, duplicate: Ratio) -> Measured {
    let latency = latency.clone();
    let simulation = Simulation::new(move |world: &mut World| {
        world.node("server", || async {
            let _endpoint = Endpoint::bind("0.0.0.0:80").await.unwrap();
            std::future::pending::<()>().await;
        });
        world.client("client", || async {
            let endpoint = Endpoint::bind("0.0.0.0:0").await.unwrap();
            for number in 0..MESSAGES {
                endpoint.send_to("server:80", 1, b"x").await.unwrap();
                if number % 100 == 0 {
                    squall::time::sleep(1.ms()).await;
                }
            }
            // The slowest of heavy tails is under way for long.
            squall::time::sleep(3_000_000.secs()).await;
        });
        world.limits().virtual_ns = u64::MAX;
        world.link("client", "server").latency(latency.clone()).loss(loss).duplicate(duplicate);
    });
    let mut measured = Measured::default();
    let outcome = simulation.run(&Plan::seeded("statistics", Seed(seed)), Record::Digest, &mut measured);
    assert_eq!(outcome.verdict, Verdict::Pass);
    assert_eq!((outcome.messages.sent, outcome.messages.in_flight), (MESSAGES, 0));
    measured
}

/// Whether `hits` of `trials` agree with a probability.
fn agrees(hits: u64, trials: u64, probability: f64) -> bool {
    let deviation = (probability * (1.0 - probability) / trials as f64).sqrt();
    (hits as f64 / trials as f64 - probability).abs() <= TOLERANCE * deviation
}

/// Whether latencies agree with a distribution, given by some of its quantiles.
fn fits(latencies_ns: &[u64], quantiles: &[(f64, f64)]) -> bool {
    quantiles.iter().all(|&(probability, quantile_ns)| {
        let below = latencies_ns.iter().filter(|&&ns| ns as f64 <= quantile_ns).count();
        agrees(below as u64, latencies_ns.len() as u64, probability)
    })
}

#[test]
fn loss_and_duplication_are_as_configured() {
    let fixed = Latency::fixed(1.ms());
    // Per mille: as configured, 10 % more, 10 % less.
    for (loss, duplicate, right) in [
        (100, 200, (true, true)),
        (110, 200, (false, true)),
        (90, 200, (false, true)),
        (100, 220, (true, false)),
        (100, 180, (true, false)),
    ] {
        let measured = measure(11, &fixed, Ratio::new(loss, 1000), Ratio::new(duplicate, 1000));
        let found = (
            agrees(measured.lost.len() as u64, MESSAGES, 0.1),
            agrees(measured.duplicated.len() as u64, MESSAGES, 0.2),
        );
        assert_eq!(found, right, "{loss} and {duplicate} per mille");
        if right == (true, true) {
            // A message that is lost is as likely to have a copy as any.
            let lost: std::collections::BTreeSet<u64> = measured.lost.iter().copied().collect();
            let both = measured.duplicated.iter().filter(|number| lost.contains(number)).count();
            assert!(agrees(both as u64, MESSAGES, 0.02), "{both} are lost and duplicated");
        }
    }
    for (share, expected) in [(Ratio::ZERO, 0), (Ratio::ONE, MESSAGES as usize)] {
        let measured = measure(12, &fixed, share, share);
        assert_eq!((measured.lost.len(), measured.duplicated.len()), (expected, expected));
    }
}

#[test]
fn latencies_are_as_configured() {
    let scaled = |duration: Duration, per_mille: u32| duration * per_mille / 1000;
    let ns = |duration: Duration| duration.as_nanos() as f64;
    let (probabilities, normal) = ([0.25, 0.5, 0.75, 0.9], [-0.674_489_75, 0.0, 0.674_489_75, 1.281_551_57]);
    let sigma = (10f64).ln() / 2.326_347_87;
    type Made = Box<dyn Fn(u32) -> Latency>;
    let cases: [(&str, Made, [f64; 4]); 4] = [
        (
            "uniform",
            Box::new(move |scale| Latency::uniform(scaled(1.ms(), scale), scaled(10.ms(), scale))),
            probabilities.map(|p| ns(1.ms()) + p * ns(9.ms())),
        ),
        (
            "exponential",
            Box::new(move |scale| Latency::exponential(scaled(5.ms(), scale))),
            probabilities.map(|p| -ns(5.ms()) * (1.0 - p).ln()),
        ),
        (
            "lognormal",
            Box::new(move |scale| Latency::lognormal(scaled(2.ms(), scale), scaled(20.ms(), scale))),
            normal.map(|z| ns(2.ms()) * (sigma * z).exp()),
        ),
        (
            "pareto",
            Box::new(move |scale| Latency::pareto(scaled(1.ms(), scale), 1.5)),
            probabilities.map(|p| ns(1.ms()) * (1.0 - p).powf(-1.0 / 1.5)),
        ),
    ];
    for (what, latency, quantiles_ns) in cases {
        let quantiles: Vec<(f64, f64)> = probabilities.into_iter().zip(quantiles_ns).collect();
        for (per_mille, right) in [(1000, true), (1100, false), (900, false)] {
            let measured = measure(21, &latency(per_mille), Ratio::ZERO, Ratio::new(1, 2));
            let [first, copies] = &measured.latencies_ns;
            assert_eq!(fits(first, &quantiles), right, "{what} at {per_mille} per mille");
            assert_eq!(fits(copies, &quantiles), right, "copies, {what} at {per_mille} per mille");
        }
    }
}

#[test]
fn fixed_and_empirical_latencies_are_as_configured() {
    let measured = measure(31, &Latency::fixed(1_234_567.ns()), Ratio::ZERO, Ratio::ZERO);
    assert!(measured.latencies_ns[0].iter().all(|&ns| ns == 1_234_567));
    // One in four, three in four: 10 % off is one in 3.6 or 4.4.
    let list = |ones: usize, of: usize| {
        let values: Vec<Duration> = (0..of).map(|index| if index < ones { 1.ms() } else { 2.ms() }).collect();
        Latency::empirical(values)
    };
    for (ones, of, right) in [(1, 4, true), (11, 40, false), (9, 40, false)] {
        let measured = measure(32, &list(ones, of), Ratio::ZERO, Ratio::ZERO);
        let found = measured.latencies_ns[0].iter().filter(|&&ns| ns == 1_000_000).count();
        assert_eq!(agrees(found as u64, MESSAGES, 0.25), right, "{ones} of {of}");
    }
}
