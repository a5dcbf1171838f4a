//! Links do what they were told, measured through whole worlds: the seeds are fixed, the tolerance is four standard
//! deviations, and each test would reject a link that is 10 % off.

use std::collections::BTreeMap;
use std::time::Duration;

use squall::net::Endpoint;
use squall::time::DurationExt;
use squall::trace::{Event, EventKind, EventMask, Observer, Plan, Ratio, Record, Seed, Target, Verdict};
use squall::{Bursts, Latency, Link, Simulation, World};

const MESSAGES: u64 = 60_000;

/// How far a measured share may be from the configured one, in standard deviations.
const TOLERANCE: f64 = 4.0;

#[derive(Default)]
struct Measured {
    sent_at: BTreeMap<u64, u64>,
    duplicated: Vec<u64>,
    lost: Vec<u64>,
    /// When each of them was sent.
    lost_at_ns: Vec<u64>,
    flipped_bits: Vec<u64>,
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
            EventKind::Lose { number, .. } => {
                self.lost.push(number);
                self.lost_at_ns.push(event.at_ns);
            }
            EventKind::Corrupt { bit, .. } => self.flipped_bits.push(bit),
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
    measure_link(seed, move |link| {
        link.latency(latency.clone()).loss(loss).duplicate(duplicate);
    })
}

/// The same, over a link of which that is said: a hundred messages each millisecond.
fn measure_link(seed: u64, weather: impl Fn(&mut Link<'_>) + Send + Sync + 'static) -> Measured {
    measure_pausing(seed, (100, 1.ms()), weather)
}

/// The same, with a pause after so many messages.
fn measure_pausing(
    seed: u64,
    (messages, pause): (u64, Duration),
    weather: impl Fn(&mut Link<'_>) + Send + Sync + 'static,
) -> Measured {
    let simulation = Simulation::new(move |world: &mut World| {
        world.node("server", || async {
            let _endpoint = Endpoint::bind("0.0.0.0:80").await.unwrap();
            std::future::pending::<()>().await;
        });
        world.client("client", move || async move {
            let endpoint = Endpoint::bind("0.0.0.0:0").await.unwrap();
            for number in 0..MESSAGES {
                endpoint.send_to("server:80", 1, b"x").await.unwrap();
                if number % messages == 0 {
                    squall::time::sleep(pause).await;
                }
            }
            // The slowest of heavy tails is under way for long.
            squall::time::sleep(3_000_000.secs()).await;
        });
        world.limits().virtual_ns = u64::MAX;
        weather(&mut world.link("client", "server"));
    });
    let mut measured = Measured::default();
    let outcome = simulation.run(&Plan::seeded("statistics", Seed(seed)), Record::Digest, &mut measured);
    assert_eq!(outcome.verdict, Verdict::Pass);
    assert_eq!((outcome.messages.sent, outcome.messages.in_flight), (MESSAGES, 0));
    measured
}

/// The same with a message each ten microseconds.
fn spread(seed: u64, weather: impl Fn(&mut Link<'_>) + Send + Sync + 'static) -> Measured {
    measure_pausing(seed, (1, Duration::from_micros(10)), weather)
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

/// Copies take as long as is said of them, and the messages as long as is said of those.
#[test]
fn copies_take_their_own_time() {
    let exponential = |mean_ns: f64| [0.1, 0.5, 0.9, 0.99].map(|share: f64| (share, -mean_ns * (1.0 - share).ln()));
    for (mean_us, right) in [(20_000, true), (22_000, false), (18_000, false)] {
        let measured = measure_link(13, move |link| {
            link.latency(Latency::exponential(5.ms())).duplicate(Ratio::ONE);
            link.duplicate_latency(Latency::exponential(Duration::from_micros(mean_us)));
        });
        let [messages, copies] = &measured.latencies_ns;
        assert!(fits(messages, &exponential(5_000_000.0)));
        assert_eq!(fits(copies, &exponential(20_000_000.0)), right, "{mean_us} µs");
    }
}

/// On a link whose latency is always the same, the share that is said takes it twice, and nothing else is overtaken; of one that draws, both are drawn.
#[test]
fn as_many_are_overtaken_as_is_said() {
    for (reordered, right) in [(100, true), (110, false), (90, false)] {
        let measured = measure_link(31, move |link| {
            link.latency(Latency::fixed(5.ms())).reorder(Ratio::new(reordered, 1000));
        });
        let [messages, _] = &measured.latencies_ns;
        let late = messages.iter().filter(|latency_ns| **latency_ns == 10_000_000).count();
        assert_eq!(late + messages.iter().filter(|latency_ns| **latency_ns == 5_000_000).count(), messages.len());
        assert_eq!(agrees(late as u64, MESSAGES, 0.1), right, "{reordered} per mille");
    }
    for (share, expected_ns) in [(Ratio::ZERO, 5_000_000), (Ratio::ONE, 10_000_000)] {
        let measured = measure_link(32, move |link| {
            link.latency(Latency::fixed(5.ms())).reorder(share);
        });
        assert!(measured.latencies_ns[0].iter().all(|latency_ns| *latency_ns == expected_ns));
    }
    // The sum of two exponential times of one mean is one of Erlang: P(T > t) = (1 + t / mean) exp(-t / mean).
    let erlang = [(0.1, 0.531_812), (0.5, 1.678_347), (0.9, 3.889_720), (0.99, 6.638_352)];
    let erlang = erlang.map(|(share, means)| (share, means * 5_000_000.0));
    let measured = measure_link(33, |link| {
        link.latency(Latency::exponential(5.ms())).reorder(Ratio::ONE);
    });
    assert!(fits(&measured.latencies_ns[0], &erlang));
}

/// One bit of a message is flipped, any of them, in as many as is said; without that, none.
#[test]
fn corruption_is_as_configured() {
    for (corrupted, right) in [(100, true), (110, false), (90, false)] {
        let measured = measure_link(21, move |link| {
            link.corruption(Ratio::new(corrupted, 1000));
        });
        assert_eq!(agrees(measured.flipped_bits.len() as u64, MESSAGES, 0.1), right, "{corrupted} per mille");
        let mut of_each = [0u64; 8];
        measured.flipped_bits.iter().for_each(|bit| of_each[*bit as usize] += 1);
        assert!(of_each.iter().all(|&hits| agrees(hits, measured.flipped_bits.len() as u64, 0.125)), "{of_each:?}");
    }
    for (share, expected) in [(Ratio::ZERO, 0), (Ratio::ONE, MESSAGES as usize)] {
        let measured = measure_link(22, move |link| {
            link.corruption(share);
        });
        assert_eq!(measured.flipped_bits.len(), expected);
    }
}

/// The times in which a link loses everything: from the first message of each to the first that comes through.
fn bad_times_ns(measured: &Measured) -> Vec<u64> {
    let lost: std::collections::BTreeSet<u64> = measured.lost.iter().copied().collect();
    let mut times = Vec::new();
    let mut since = None;
    for (number, at_ns) in &measured.sent_at {
        match (lost.contains(number), since) {
            (true, None) => since = Some(*at_ns),
            (false, Some(begun)) => {
                times.push(at_ns - begun);
                since = None;
            }
            _ => {}
        }
    }
    times
}

/// Gilbert and Elliott's model: the share of bad time, and how long it lasts, which is exponential. The link is looked at a hundred times a
/// millisecond, so what is shorter than a hundredth of the mean is missed: one in a hundred.
#[test]
fn bursts_are_as_configured() {
    // A link that is looked at often enough, and long enough for thousands of bursts.
    let times = |good_us: u64, bad_us: u64| {
        let mut all = Vec::new();
        let (mut lost, mut sent) = (0, 0);
        for seed in 0..20 {
            let bursts = Bursts::new(Duration::from_micros(good_us), Duration::from_micros(bad_us));
            let measured = spread(31 + seed, move |link| {
                link.bursts(bursts);
            });
            all.extend(bad_times_ns(&measured));
            lost += measured.lost.len() as u64;
            sent += measured.sent_at.len() as u64;
        }
        (all, lost as f64 / sent as f64)
    };
    let exponential = |mean_ns: f64| {
        let at = |probability: f64| (probability, -mean_ns * (1.0 - probability).ln());
        [at(0.1), at(0.25), at(0.5), at(0.75), at(0.9), at(0.99)]
    };
    let (bad_ns, share) = times(3_000, 1_000);
    assert!(bad_ns.len() > 2_000, "{}", bad_ns.len());
    assert!((share - 0.25).abs() < 0.012, "{share}");
    assert!(fits(&bad_ns, &exponential(1_000_000.0)), "{} bursts", bad_ns.len());
    // Another mean is told from it.
    assert!(!fits(&bad_ns, &exponential(1_150_000.0)) && !fits(&bad_ns, &exponential(850_000.0)));
    // In a burst some come through, where that is said; and outside of one what the link loses anyway.
    let both = |link: &mut Link<'_>| {
        let bursts = Bursts::new(3.ms(), 1.ms()).loss(Ratio::new(1, 2));
        link.loss(Ratio::new(1, 10)).bursts(bursts);
    };
    let (mut lost, mut sent) = (0, 0);
    for seed in 0..20 {
        let measured = spread(61 + seed, both);
        (lost, sent) = (lost + measured.lost.len() as u64, sent + measured.sent_at.len() as u64);
    }
    let share = lost as f64 / sent as f64;
    assert!((share - (0.75 * 0.1 + 0.25 * 0.5)).abs() < 0.006, "{share}");
}

/// However short the times are, and however long nothing is sent: a link isn't followed through all of them.
#[test]
fn the_shortest_bursts_take_no_time_to_be_followed() {
    let measured = measure_pausing(71, (10_000, 1_000.secs()), |link| {
        link.bursts(Bursts::new(Duration::from_nanos(3), Duration::from_nanos(1)));
    });
    let lost = measured.lost.len();
    assert!(lost > 0 && lost < MESSAGES as usize, "{lost}");
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

/// How long tasks take in the mean that come to a slow node at random, as a share of one poll's time.
fn mean_sojourn(load: f64) -> f64 {
    const POLL_NS: u64 = 1_000_000;
    const TASKS: u64 = 40_000;
    let simulation = Simulation::new(move |world: &mut World| {
        world.client("slow", move || async move {
            let start = squall::time::Instant::now();
            let mut rng = squall::rand::rng();
            let mut arrival_ns = 2_000_000_000;
            for _ in 0..TASKS {
                // A word above zero, as a share of all: the inverse of an exponential distribution.
                let share = (rand_core::Rng::next_u64(&mut rng) >> 11) as f64 + 1.0;
                arrival_ns += (-(share / (1u64 << 53) as f64).ln() * POLL_NS as f64 / load) as u64;
                let arrives = start + Duration::from_nanos(arrival_ns);
                squall::spawn(async move {
                    squall::time::sleep_until(arrives).await;
                    squall::publish("took", arrives.elapsed().as_nanos() as u64);
                });
            }
            squall::time::sleep_until(start + Duration::from_nanos(arrival_ns + 10_000_000_000)).await;
        });
        // All of them wait before it is slow.
        world.fault(squall::fault::slow("slow", Duration::from_nanos(POLL_NS)).at(1.secs()));
    });
    #[derive(Default)]
    struct Took(Vec<u64>);
    impl Observer for Took {
        fn interest(&self) -> EventMask {
            EventMask::PUBLISH
        }

        fn on_event(&mut self, event: &Event<'_>) {
            if let EventKind::Publish { value, .. } = &event.kind {
                self.0.push(value.parse().unwrap());
            }
        }
    }
    let mut took = Took::default();
    let outcome = simulation.run(&Plan::seeded("statistics", Seed(5)), Record::Digest, &mut took);
    assert_eq!((outcome.verdict, took.0.len() as u64), (Verdict::Pass, TASKS));
    took.0.iter().sum::<u64>() as f64 / TASKS as f64 / POLL_NS as f64
}

/// A slow node is a queue with random arrivals and service of a fixed length: M/D/1, whose mean sojourn is 1 + load / (2 (1 - load)) times the service
/// (F. Pollaczek, 1930; A. Khinchin, 1932). With random service (M/M/1) it would be twice as much beyond 1.
#[test]
fn a_slow_node_is_a_queue() {
    for (load, tolerance) in [(0.5, 0.03), (0.9, 0.1)] {
        let (mean, theory) = (mean_sojourn(load), 1.0 + load / (2.0 * (1.0 - load)));
        assert!((mean / theory - 1.0).abs() < tolerance, "at load {load}: {mean}, and not {theory}");
    }
}

/// Each cut comes equally often: chi-squared with 14 degrees of freedom, whose 99.99 % point is 42.6.
#[test]
fn random_partitions_are_uniform() {
    const TIMES: u32 = 6_000;
    let simulation = Simulation::new(|world: &mut World| {
        for node in 0..5 {
            world.node(format!("node-{node}"), std::future::pending::<()>);
        }
        world.end_at(Duration::from_secs(u64::from(TIMES)));
        let cut = squall::fault::random_partition("node-*", squall::fault::Split::Any);
        world.fault(cut.lasts(1.ms()).every(500.ms()).times(TIMES));
    });
    #[derive(Default)]
    struct Cuts(BTreeMap<String, u64>);
    impl Observer for Cuts {
        fn interest(&self) -> EventMask {
            EventMask::FAULTS
        }

        fn on_event(&mut self, event: &Event<'_>) {
            if let EventKind::Fault { what, .. } = &event.kind
                && let Some((_, cut)) = what.split_once(": ")
                && !what.ends_with(" is healed")
            {
                *self.0.entry(cut.to_string()).or_default() += 1;
            }
        }
    }
    let mut cuts = Cuts::default();
    simulation.run(&Plan::seeded("statistics", Seed(9)), Record::Digest, &mut cuts);
    let counts: Vec<u64> = cuts.0.into_values().collect();
    assert_eq!((counts.len(), counts.iter().sum::<u64>()), (15, u64::from(TIMES)));
    let expected = f64::from(TIMES) / 15.0;
    let chi: f64 = counts.iter().map(|&count| (count as f64 - expected).powi(2) / expected).sum();
    assert!(chi < 42.6, "chi-squared {chi}: {counts:?}");
}
