//! Limited bandwidth: what it does to programs, that it does nothing where it isn't, and that queues are as theory says.

use std::time::Duration;

use squall::net::Endpoint;
use squall::prelude::*;
use squall::time::{Instant, sleep, sleep_until, timeout};
use squall::trace::{
    EndReason, Event, EventKind, EventMask, LossReason, Observer, Outcome, Plan, Record, Seed, StrategyChoice, Target,
    Verdict,
};
use squall::{MESSAGE_HEADER_BYTES, Simulation, World, fault, publish};
use squall_tests::{facts, failure};

/// By seed 1, fully recorded, and in the order in which things become ready.
fn run(build: impl Fn(&mut World) + Send + Sync + 'static) -> Outcome {
    let plan = Plan { strategy: StrategyChoice::Fifo, ..Plan::seeded("test", Seed(1)) };
    Simulation::new(build).run_plan(&plan, Record::Full)
}

/// So many bytes of payload are a thousand on a link.
const PAYLOAD: usize = 1_000 - MESSAGE_HEADER_BYTES as usize;

/// A thousand bytes take a millisecond.
const BITS_PER_SECOND: u64 = 8_000_000;

/// A node that publishes which messages come to it, and when, in microseconds: by the first byte of each.
fn sink(world: &mut World, name: &str) {
    let name = name.to_string();
    world.node(name.clone(), move || {
        let name = name.clone();
        async move {
            let endpoint = Endpoint::bind("0.0.0.0:80").await.unwrap();
            let start = Instant::now();
            let mut buffer = [0; PAYLOAD];
            loop {
                endpoint.recv_from(1, &mut buffer).await.unwrap();
                publish(&name, (buffer[0], start.elapsed().as_micros() as u64));
            }
        }
    });
}

/// Sends messages of a thousand bytes to `b`: at which times, in microseconds, so many at each.
fn sends(world: &mut World, name: &str, at_us: &[(u64, u8)]) {
    let at_us = at_us.to_vec();
    world.client(name, move || {
        let at_us = at_us.clone();
        async move {
            let endpoint = Endpoint::bind("0.0.0.0:0").await.unwrap();
            let start = Instant::now();
            let mut number = 0;
            for (at_us, many) in at_us {
                sleep_until(start + at_us.us()).await;
                for _ in 0..many {
                    endpoint.send_to("b:80", 1, &[number; PAYLOAD]).await.unwrap();
                    number += 1;
                }
            }
            sleep(1.secs()).await;
        }
    });
}

/// `a` sends to `b` as is said; what comes when, and all that happened.
fn talk(at_us: &'static [(u64, u8)], more: impl Fn(&mut World) + Send + Sync + 'static) -> (Vec<(u64, u64)>, Outcome) {
    let outcome = run(move |world| {
        sends(world, "a", at_us);
        sink(world, "b");
        world.network().latency(fixed(2.ms()));
        more(world);
    });
    (arrivals(&outcome, "b"), outcome)
}

fn arrivals(outcome: &Outcome, name: &str) -> Vec<(u64, u64)> {
    facts(outcome, name).iter().map(|fact| serde_json::from_str(fact).unwrap()).collect()
}

/// When which messages were lost, in microseconds, and why.
fn losses(outcome: &Outcome) -> Vec<(u64, u64, LossReason)> {
    let events = &outcome.trace.as_ref().unwrap().events;
    let lost = |event: &squall::trace::OwnedEvent| match event.kind {
        EventKind::Lose { number, reason, .. } => Some((number - 1, event.at_ns / 1_000, reason)),
        _ => None,
    };
    events.iter().filter_map(lost).collect()
}

#[test]
fn messages_are_sent_one_after_the_other() {
    const AT: &[(u64, u8)] = &[(0, 3), (10_000, 1), (10_500, 1)];
    let (free, _) = talk(AT, |_| {});
    assert_eq!(free, [(0, 2_000), (1, 2_000), (2, 2_000), (3, 12_000), (4, 12_500)]);
    let limited = |world: &mut World| {
        world.link_one_way("a", "b").bandwidth_bits_per_second(BITS_PER_SECOND);
    };
    let (sent, outcome) = talk(AT, limited);
    assert_eq!(sent, [(0, 3_000), (1, 4_000), (2, 5_000), (3, 13_000), (4, 14_000)]);
    assert_eq!((outcome.messages.lost, outcome.messages.in_flight), (0, 0));
    // Of an uplink for one link alone it is the same.
    let (sent_by_uplink, _) = talk(AT, |world| {
        world.uplink("a").bandwidth_bits_per_second(BITS_PER_SECOND);
    });
    assert_eq!(sent_by_uplink, sent);
    // The lesser of both counts.
    for (link, uplink) in [(BITS_PER_SECOND, 2 * BITS_PER_SECOND), (2 * BITS_PER_SECOND, BITS_PER_SECOND)] {
        let (sent_by_both, _) = talk(AT, move |world| {
            world.network().bandwidth_bits_per_second(link);
            world.uplink("*").bandwidth_bits_per_second(uplink);
        });
        assert_eq!(sent_by_both, sent);
    }
}

/// Where no bandwidth is limited, and on other links than those whose is, all is as it was, to the last event.
#[test]
fn other_links_know_nothing_of_it() {
    let digest = |more: fn(&mut World)| {
        let outcome = run(move |world| {
            sends(world, "a", &[(0, 3), (1_500, 20)]);
            sink(world, "b");
            sink(world, "c");
            world.network().latency(uniform(1.ms(), 9.ms())).loss(percent(5)).duplicate(percent(5));
            more(world);
        });
        (outcome.digest, outcome.ending.at_ns)
    };
    let free = digest(|_| {});
    for more in [
        |world: &mut World| {
            world.link_one_way("b", "a").bandwidth_bits_per_second(1);
        },
        |world: &mut World| {
            world.uplink("c").bandwidth_bits_per_second(1).queue_bytes(0);
        },
    ] {
        assert_eq!(digest(more), free);
    }
    assert_ne!(
        digest(|world| {
            world.link_one_way("a", "b").bandwidth_bits_per_second(BITS_PER_SECOND);
        }),
        free
    );
}

/// A queue that can't fill up, as its sender has all the bandwidth there is, is a mistake of the world.
#[test]
fn a_queue_in_which_nothing_waits_is_refused() {
    for (more, whose) in [
        (
            (|world: &mut World| {
                world.uplink("a").queue_bytes(1_000);
                world.link_one_way("b", "a").bandwidth_bits_per_second(1);
            }) as fn(&mut World),
            "the uplink of a",
        ),
        (
            |world| {
                world.link_one_way("a", "b").queue_bytes(1_000);
                world.uplink("b").bandwidth_bits_per_second(1);
            },
            "the links from a to b",
        ),
    ] {
        let called = std::panic::catch_unwind(|| {
            run(move |world| {
                sends(world, "a", &[(0, 3)]);
                sink(world, "b");
                more(world);
            })
        });
        let text = called.expect_err("refused").downcast_ref::<String>().cloned().expect("a text");
        assert!(text.contains(&format!("the queue of {whose} is limited, but nothing ever waits there")), "{text}");
    }
}

/// Exactly as much as is said may wait, beside what is being sent; a byte more is dropped, at the tail.
#[test]
fn a_full_queue_drops_its_tail() {
    for (queue_bytes, come) in [(0, 1), (999, 1), (1_000, 2), (1_999, 2), (2_000, 3), (4_000, 5)] {
        for of_uplink in [false, true] {
            let (came, outcome) = talk(&[(0, 5)], move |world| match of_uplink {
                false => {
                    world.link("a", "b").bandwidth_bits_per_second(BITS_PER_SECOND).queue_bytes(queue_bytes);
                }
                true => {
                    world.uplink("a").bandwidth_bits_per_second(BITS_PER_SECOND).queue_bytes(queue_bytes);
                }
            });
            let expected: Vec<(u64, u64)> = (0..come).map(|number| (number, 3_000 + number * 1_000)).collect();
            assert_eq!(came, expected, "{queue_bytes}");
            let dropped: Vec<_> = (come..5).map(|number| (number, 0, LossReason::QueueFull)).collect();
            assert_eq!(losses(&outcome), dropped, "{queue_bytes}");
            assert_eq!(outcome.messages.lost, 5 - come);
        }
    }
    // There is room again when something has left; at the very instant too.
    for (at_us, has_room) in [(999, false), (1_000, true)] {
        let at: &'static [(u64, u8)] = if at_us == 999 { &[(0, 2), (999, 1)] } else { &[(0, 2), (1_000, 1)] };
        let (came, _) = talk(at, |world| {
            world.link("a", "b").bandwidth_bits_per_second(BITS_PER_SECOND).queue_bytes(1_000);
        });
        assert_eq!(came.len() == 3, has_room, "{at_us}: {came:?}");
    }
}

/// S. Keshav, *An Engineering Approach to Computer Networking* (1997), chapter 9: demands of 2, 2.6, 4 and 5 share 10.
#[test]
fn an_uplink_is_shared_max_min_fairly() {
    const LINKS: [(&str, u64, f64); 4] = [("b", 2_000, 2.0), ("c", 2_600, 2.6), ("d", 4_000, 2.7), ("e", 5_000, 2.7)];
    let outcome = run(|world| {
        for (name, kilobits, _) in LINKS {
            sink(world, name);
            world.link_one_way("a", name).bandwidth_bits_per_second(kilobits * 1_000);
        }
        world.client("a", || async {
            let endpoint = Endpoint::bind("0.0.0.0:0").await.unwrap();
            for _ in 0..1_000 {
                for (name, ..) in LINKS {
                    endpoint.send_to((name, 80), 1, &[0; PAYLOAD]).await.unwrap();
                }
            }
            sleep(1.secs()).await;
        });
        world.network().latency(fixed(Duration::ZERO));
        world.uplink("a").bandwidth_bits_per_second(10_000_000);
    });
    let mut all = 0;
    for (name, _, megabits) in LINKS {
        let came = arrivals(&outcome, name).len();
        let expected = megabits * 1e6 / 8_000.0;
        assert!((came as f64 - expected).abs() <= 1.0, "{name}: {came} messages in a second, not {expected}");
        all += came;
    }
    // Work is conserved.
    assert!((1_247..=1_250).contains(&all), "{all}");
    // A single link that is busy has all of it.
    let (alone, _) = talk(&[(0, 100)], |world| {
        sink(world, "c");
        world.uplink("a").bandwidth_bits_per_second(BITS_PER_SECOND);
    });
    assert_eq!(alone.last(), Some(&(99, 102_000)));
}

/// Without a limit all waits, and the delay is what waits divided by the bandwidth; with one the delay is bounded, and the rest is lost.
#[test]
fn bufferbloat_is_the_queue_over_the_bandwidth() {
    /// Twice as much as passes, for 100 ms.
    fn overload() -> &'static [(u64, u8)] {
        Vec::leak((0..100).map(|ms| (ms * 1_000, 2)).collect())
    }
    let bandwidth = |world: &mut World| {
        world.network().bandwidth_bits_per_second(BITS_PER_SECOND);
    };
    let (bloated, _) = talk(overload(), bandwidth);
    assert_eq!(bloated.len(), 200);
    for (place, (_, at_us)) in (0..).zip(&bloated) {
        // The n-th was sent in the n/2-th millisecond, and the n before it are sent before it: of those, n/2 wait.
        let sent_at_us = place / 2 * 1_000;
        assert_eq!(at_us - sent_at_us - 3_000, (place - place / 2) * 1_000, "{place}");
    }
    let (bounded, outcome) = talk(overload(), move |world| {
        bandwidth(world);
        world.network().queue_bytes(10_000);
    });
    let last_us = bounded.last().unwrap().1;
    assert_eq!(last_us, 99_000 + 3_000 + 10_000, "the last one waits behind ten");
    let delays = losses(&outcome);
    assert!(delays.iter().all(|(_, _, reason)| *reason == LossReason::QueueFull));
    assert_eq!((bounded.len(), delays.len()), (110, 90));
}

/// What is queued when its sender crashes is gone; what has left isn't.
#[test]
fn a_crash_empties_the_queues() {
    let (came, outcome) = talk(&[(0, 5)], |world| {
        world.network().bandwidth_bits_per_second(BITS_PER_SECOND);
        world.fault(crash("a").at(2_500.us()).restart_after(100.ms()));
        world.heal(200.ms());
    });
    assert_eq!(came[..2], [(0, 3_000), (1, 4_000)]);
    let crashed = |number| (number, 2_500, LossReason::SenderDown);
    assert_eq!(losses(&outcome), [crashed(2), crashed(3), crashed(4)]);
    // In its next life it sends all again, and nothing of the old is in the way.
    assert_eq!(came[2..], [(0, 105_500), (1, 106_500), (2, 107_500), (3, 108_500), (4, 109_500)]);
    // A receiver that is down doesn't keep the sender from sending; a sender that stands still goes on sending.
    let (came, outcome) = talk(&[(0, 5)], |world| {
        world.network().bandwidth_bits_per_second(BITS_PER_SECOND);
        world.fault(crash("b").at(1_500.us()));
        world.fault(fault::pause("a").at(500.us()).lasts(50.ms()));
    });
    assert_eq!(came, []);
    assert_eq!(
        losses(&outcome).iter().map(|(_, at_us, _)| *at_us).collect::<Vec<_>>(),
        [3_000, 4_000, 5_000, 6_000, 7_000]
    );
}

/// A partition stops messages where they leave, as it does without a queue; what is sent while it stands takes no bandwidth.
#[test]
fn a_partition_stops_what_leaves_the_queue() {
    let (came, outcome) = talk(&[(0, 5), (2_800, 1)], |world| {
        world.network().bandwidth_bits_per_second(BITS_PER_SECOND);
        world.fault(partition([["a"], ["b"]]).at(1_500.us()).lasts(2.ms()));
    });
    // 0 has left before, and arrives when it stands; 1 and 2 leave in it.
    assert_eq!(
        losses(&outcome),
        [
            (1, 2_000, LossReason::PartitionOnSending),
            (5, 2_800, LossReason::PartitionOnSending),
            (2, 3_000, LossReason::PartitionOnSending),
            // It was on its way.
            (0, 3_000, LossReason::PartitionOnArrival),
        ]
    );
    assert_eq!(came, [(3, 6_000), (4, 7_000)]);
}

/// What a link does to messages it does when they leave; a lost one has taken its time, a copy takes none.
#[test]
fn losses_and_copies_happen_behind_the_queue() {
    let (came, outcome) = talk(&[(0, 3)], |world| {
        world.network().bandwidth_bits_per_second(BITS_PER_SECOND).duplicate(percent(100));
        let lossy = fault::link("a", "b", |link| {
            link.loss(percent(100)).duplicate(percent(0));
        });
        world.fault(lossy.at(1_500.us()).lasts(1.ms()));
    });
    assert_eq!(came, [(0, 3_000), (0, 3_000), (2, 5_000), (2, 5_000)]);
    assert_eq!(losses(&outcome), [(1, 2_000, LossReason::Loss)]);
}

/// A fault narrows a link for a while; what waits when it is over goes at once, or as fast as the world's own bandwidth lets it.
#[test]
fn a_link_is_narrow_for_a_time() {
    let narrow = |world: &mut World| {
        let narrow = fault::link_one_way("a", "b", |link| {
            link.bandwidth_bits_per_second(BITS_PER_SECOND / 10).queue_bytes(2_000);
        });
        world.fault(narrow.at(1.ms()).lasts(14.ms()));
    };
    const AT: &[(u64, u8)] = &[(0, 2), (2_000, 5), (20_000, 2)];
    let (came, outcome) = talk(AT, narrow);
    assert_eq!(
        came,
        // Of the five one is sent in 10 ms, two wait, two are lost; then the two go: one in the midst of being sent.
        [(0, 2_000), (1, 2_000), (2, 14_000), (3, 17_000), (4, 17_000), (7, 22_000), (8, 22_000)]
    );
    let full = |number| (number, 2_000, LossReason::QueueFull);
    assert_eq!(losses(&outcome), [full(5), full(6)]);
    let (came, _) = talk(AT, move |world| {
        world.network().bandwidth_bits_per_second(BITS_PER_SECOND);
        narrow(world);
    });
    // Nine and a half of ten parts of the first are left at 1 ms, so it goes on at a tenth.
    assert_eq!(came[..2], [(0, 3_000), (1, 13_000)]);
    assert_eq!(came.last(), Some(&(8, 24_000)));
}

/// When all is sent nothing is left to happen: a departure that was put forward leaves no trace in time.
#[test]
fn what_was_to_leave_later_moves_no_clock() {
    let outcome = run(|world| {
        world.client("a", || async {
            let endpoint = Endpoint::bind("0.0.0.0:0").await.unwrap();
            endpoint.send_to("b:80", 1, &[0; PAYLOAD]).await.unwrap();
            std::future::pending::<()>().await;
        });
        sink(world, "b");
        world.network().latency(fixed(2.ms()));
        let narrow = fault::link("a", "b", |link| {
            link.bandwidth_bits_per_second(8);
        });
        world.fault(narrow.at(Duration::ZERO).lasts(5.ms()));
    });
    assert_eq!(arrivals(&outcome, "b"), [(0, 7_000)]);
    assert_eq!((outcome.ending.reason, outcome.ending.at_ns), (EndReason::Deadlock, 7_000_000));
}

/// After the heal nothing goes wrong between healed nodes: no queue drops, and a fault's bandwidth is over. The world's own stays.
#[test]
fn a_healed_queue_drops_nothing() {
    let healed = |core: &'static str| {
        talk(&[(0, 3), (10_000, 5)], move |world| {
            world.network().bandwidth_bits_per_second(BITS_PER_SECOND).queue_bytes(1_000);
            let narrow = fault::link("a", "b", |link| {
                link.bandwidth_bits_per_second(BITS_PER_SECOND / 100);
            });
            world.fault(narrow.at(4.ms()));
            world.heal(5.ms()).core([core]);
            world.end_at(1.secs());
        })
    };
    let (came, outcome) = healed("*");
    let after: Vec<(u64, u64)> = (0..5).map(|number| (3 + number, 13_000 + number * 1_000)).collect();
    assert_eq!(came, [vec![(0, 3_000), (1, 4_000)], after].concat());
    assert_eq!(losses(&outcome), [(2, 0, LossReason::QueueFull)]);
    // For a core that isn't theirs nothing changes.
    let (came, outcome) = healed("b");
    assert_eq!((came.len(), losses(&outcome).len()), (4, 4));
}

/// What waits when the run ends is under way.
#[test]
fn what_waits_at_the_end_is_in_flight() {
    let (came, outcome) = talk(&[(0, 10)], |world| {
        world.network().bandwidth_bits_per_second(BITS_PER_SECOND);
        world.end_at(5_500.us());
    });
    assert_eq!((came.len(), outcome.messages.in_flight, outcome.messages.sent), (3, 7, 10));
}

/// A state that comes back proves a livelock also where messages wait for their link; one whose queue grows doesn't come back.
#[test]
fn a_livelock_is_proved_with_queues() {
    let outcome = |many: u8| {
        run(move |world| {
            world.node("b", || async {
                let endpoint = Endpoint::bind("0.0.0.0:80").await.unwrap();
                loop {
                    endpoint.recv_from(1, &mut [0; PAYLOAD]).await.unwrap();
                }
            });
            world.client("a", move || async move {
                let endpoint = Endpoint::bind("0.0.0.0:80").await.unwrap();
                loop {
                    for _ in 0..many {
                        endpoint.send_to("b:80", 1, &[0; PAYLOAD]).await.unwrap();
                    }
                    let answer = timeout(2.ms(), endpoint.recv_from(1, &mut [0; 1])).await;
                    assert!(answer.is_err(), "b never answers");
                }
            });
            world.network().latency(fixed(1.ms())).bandwidth_bits_per_second(BITS_PER_SECOND);
            world.heal(10.ms()).progress_within(500.ms());
        })
    };
    for (many, is_proved) in [(1, true), (2, true), (3, false)] {
        let outcome = outcome(many);
        let (property, message) = failure(&outcome);
        assert_eq!(property, "progress");
        assert_eq!(message.contains("It is a livelock"), is_proved, "{many}: {message}");
    }
}

/// How long messages wait for a link, in nanoseconds.
#[derive(Default)]
struct Waits {
    sent_at_ns: Vec<u64>,
    waited_ns: Vec<u64>,
}

impl Observer for Waits {
    fn interest(&self) -> EventMask {
        EventMask::MESSAGES
    }

    fn on_event(&mut self, event: &Event<'_>) {
        match event.kind {
            EventKind::Send { .. } => self.sent_at_ns.push(event.at_ns),
            EventKind::Deliver { number, .. } => {
                self.waited_ns.push(event.at_ns - self.sent_at_ns[number as usize - 1]);
            }
            _ => {}
        }
    }
}

/// The mean wait, in service times, of messages that come to a link as a Poisson process of that load: one for each seed.
fn mean_waits(load: f64, bits_per_second: u64) -> Vec<f64> {
    const MESSAGES: usize = 40_000;
    const SETTLED: usize = 3_000;
    let one = |seed: u64| {
        let simulation = Simulation::new(move |world: &mut World| {
            world.node("b", || async {
                let endpoint = Endpoint::bind("0.0.0.0:80").await.unwrap();
                loop {
                    endpoint.recv_from(1, &mut [0; PAYLOAD]).await.unwrap();
                }
            });
            world.client("a", move || async move {
                use rand_core::Rng;
                let endpoint = Endpoint::bind("0.0.0.0:0").await.unwrap();
                let mut rng = squall::rand::rng();
                let mut at = Instant::now();
                for _ in 0..MESSAGES {
                    let uniform = (rng.next_u64() >> 11) as f64 / (1u64 << 53) as f64;
                    at += Duration::from_secs_f64(-(1.0 - uniform).ln() * 0.001 / load);
                    sleep_until(at).await;
                    endpoint.send_to("b:80", 1, &[0; PAYLOAD]).await.unwrap();
                }
                sleep(10.secs()).await;
            });
            world.network().latency(fixed(Duration::ZERO)).bandwidth_bits_per_second(bits_per_second);
        });
        let mut waits = Waits::default();
        let outcome = simulation.run(&Plan::seeded("queue", Seed(seed)), Record::Digest, &mut waits);
        assert_eq!((outcome.verdict, waits.waited_ns.len()), (Verdict::Pass, MESSAGES));
        let service_ns = 8_000.0 * 1e9 / bits_per_second as f64;
        let settled = &waits.waited_ns[SETTLED..];
        let mean_ns = settled.iter().map(|ns| *ns as f64).sum::<f64>() / settled.len() as f64;
        // In service times of the bandwidth that was asked for.
        (mean_ns - service_ns) / 1e6
    };
    (1..=24).map(one).collect()
}

/// Pollaczek and Khinchine: in a queue with Poisson arrivals and equal service times (M/D/1) the mean wait is ρ / (2 (1 - ρ)) service times. The tolerance is
/// four standard errors, which are estimated from the seeds; a link that is 10 % faster or slower would be rejected.
#[test]
fn a_queue_waits_as_pollaczek_and_khinchine_say() {
    let is_near = |waits: &[f64], expected: f64| {
        let count = waits.len() as f64;
        let mean = waits.iter().sum::<f64>() / count;
        let variance = waits.iter().map(|wait| (wait - mean).powi(2)).sum::<f64>() / (count - 1.0);
        let error = (variance / count).sqrt();
        assert!(4.0 * error < 0.2 * expected, "the error of {error} shows nothing about {expected}");
        (mean - expected).abs() <= 4.0 * error
    };
    for (load, expected) in [(0.5, 0.5), (0.9, 4.5)] {
        assert!(is_near(&mean_waits(load, BITS_PER_SECOND), expected), "at a load of {load}");
        let faster = BITS_PER_SECOND * 11 / 10;
        assert!(!is_near(&mean_waits(load, faster), expected), "a faster link at a load of {load}");
    }
}
