//! What each fault does to programs, that it does nothing where it isn't, and when it is over.

use std::cell::Cell;
use std::rc::Rc;
use std::time::{Duration, SystemTime};

use futures::{Future, StreamExt};
use squall::fault::Split;
use squall::net::Endpoint;
use squall::prelude::*;
use squall::time::{Instant, interval, sleep, sleep_until, timeout};
use squall::trace::{
    EndReason, EventKind, LossReason, Outcome, Plan, Ratio, Record, Seed, SiteKind, StrategyChoice, Verdict,
};
use squall::{Bursts, Simulation, World, fault, publish};
use squall_tests::facts;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// By seed 1, fully recorded, and in the order in which things become ready.
fn run(build: impl Fn(&mut World) + Send + Sync + 'static) -> Outcome {
    let plan = Plan { strategy: StrategyChoice::Fifo, ..Plan::seeded("test", Seed(1)) };
    Simulation::new(build).run_plan(&plan, Record::Full)
}

fn said_faults(outcome: &Outcome) -> Vec<String> {
    let events = &outcome.trace.as_ref().unwrap().events;
    let said = |event: &squall::trace::OwnedEvent| match &event.kind {
        EventKind::Fault { what, .. } => Some(format!("{}: {what}", event.at_ns / 1_000)),
        _ => None,
    };
    events.iter().filter_map(said).collect()
}

fn numbers<const COUNT: usize>(outcome: &Outcome, topic: &str) -> Vec<[u64; COUNT]> {
    let parse = |fact: &String| {
        let numbers: Vec<u64> = serde_json::from_str(fact).unwrap();
        numbers.try_into().unwrap()
    };
    facts(outcome, topic).iter().map(parse).collect()
}

/// `a` and `b` send each other a message each millisecond, which takes 2 ms, from 0 to 20 ms; who publishes what came, and when.
fn talk(more: impl Fn(&mut World) + Send + Sync + 'static) -> Outcome {
    run(move |world| {
        for (name, other) in [("a", "b"), ("b", "a")] {
            world.client(name, move || async move {
                let endpoint = Endpoint::bind("0.0.0.0:80").await.unwrap();
                let start = Instant::now();
                let send = async {
                    for number in 0..20u8 {
                        sleep_until(start + u64::from(number).ms()).await;
                        endpoint.send_to((other, 80), 1, &[number]).await.unwrap();
                    }
                };
                let receive = async {
                    let mut buffer = [0; 1];
                    while let Ok(received) = timeout(60.ms(), endpoint.recv_from(1, &mut buffer)).await {
                        received.unwrap();
                        publish(name, (buffer[0], start.elapsed().as_millis() as u64));
                    }
                };
                futures::join!(send, receive);
            });
        }
        world.network().latency(Latency::fixed(2.ms()));
        more(world);
    })
}

/// All twenty, each 2 ms after it was sent.
fn in_time() -> Vec<[u64; 2]> {
    (0..20).map(|number| [number, number + 2]).collect()
}

#[test]
fn without_a_fault_all_comes_in_time() {
    let outcome = talk(|_| {});
    assert_eq!((numbers(&outcome, "a"), numbers(&outcome, "b")), (in_time(), in_time()));
}

#[test]
fn a_held_message_comes_when_the_hold_is_over() {
    let outcome = talk(|world| world.fault(fault::hold_one_way("a", "b").at(4_500.us()).lasts(6.ms())));
    // What would come at 5 to 10 ms comes at 10.5 ms, in order; the other way nothing is held.
    let when = |number: u64| if (5..=10).contains(&(number + 2)) { 10 } else { number + 2 };
    assert_eq!(numbers(&outcome, "b"), (0..20).map(|number| [number, when(number)]).collect::<Vec<_>>());
    assert_eq!(numbers(&outcome, "a"), in_time());
    assert_eq!(
        said_faults(&outcome),
        ["4500: the hold of a -> b at 4.5 ms", "10500: the hold of a -> b at 4.5 ms is over"]
    );
    assert_eq!((outcome.messages.lost, outcome.messages.in_flight), (0, 0));
    // What a node sends to itself is held by nobody.
    let outcome = run(|world| {
        world.client("alone", || async {
            let endpoint = Endpoint::bind("0.0.0.0:80").await.unwrap();
            endpoint.send_to("127.0.0.1:80", 1, &[7]).await.unwrap();
            timeout(1.ms(), endpoint.recv_from(1, &mut [0; 1])).await.expect("in time").unwrap();
        });
        world.node("other", std::future::pending::<()>);
        world.fault(fault::hold("*", "*").at(Duration::ZERO));
    });
    assert_eq!(outcome.verdict, Verdict::Pass);
    // Both ways, and twice at once: the last one to end lets go.
    let outcome = talk(|world| {
        world.fault(fault::hold("b", "a").at(4_500.us()).lasts(6.ms()));
        world.fault(fault::hold("*", "*").at(5_500.us()).lasts(7.ms()));
    });
    let when = |number: u64| if (5..=12).contains(&(number + 2)) { 12 } else { number + 2 };
    let held: Vec<[u64; 2]> = (0..20).map(|number| [number, when(number)]).collect();
    assert_eq!((numbers(&outcome, "a"), numbers(&outcome, "b")), (held.clone(), held));
}

/// What is let go at one instant comes in an order that is a strategy's business, as all that comes at one instant; nothing is lost.
#[test]
fn what_a_hold_lets_go_may_overtake_itself() {
    let orders = (0..20).map(|seed| {
        let simulation = Simulation::new(|world| {
            world.client("a", || async {
                let endpoint = Endpoint::bind("0.0.0.0:80").await.unwrap();
                for number in 0..5u8 {
                    sleep(1.ms()).await;
                    endpoint.send_to("b:80", 1, &[number]).await.unwrap();
                }
            });
            world.client("b", || async {
                let endpoint = Endpoint::bind("0.0.0.0:80").await.unwrap();
                let mut buffer = [0; 1];
                for _ in 0..5 {
                    endpoint.recv_from(1, &mut buffer).await.unwrap();
                    publish("came", (buffer[0],));
                }
            });
            world.fault(fault::hold("a", "b").at(Duration::ZERO).lasts(20.ms()));
        });
        let outcome = simulation.run_plan(&Plan::seeded("test", Seed(seed)), Record::Full);
        assert_eq!(outcome.verdict, Verdict::Pass);
        numbers::<1>(&outcome, "came").concat()
    });
    let orders: Vec<Vec<u64>> = orders.collect();
    let sorted = |order: &Vec<u64>| {
        let mut order = order.clone();
        order.sort_unstable();
        order
    };
    assert!(orders.iter().all(|order| sorted(order) == [0, 1, 2, 3, 4]), "{orders:?}");
    assert!(orders.iter().any(|order| *order != sorted(order)), "{orders:?}");
}

/// What is held for good is under way at the end; what meets a partition when it is let go is lost.
#[test]
fn a_hold_that_stays_and_one_that_ends_in_a_partition() {
    let outcome = talk(|world| world.fault(fault::hold_one_way("a", "b").at(14_500.us())));
    assert_eq!(numbers::<2>(&outcome, "b").len(), 13);
    assert_eq!((outcome.messages.lost, outcome.messages.in_flight), (0, 7));
    let outcome = talk(|world| {
        world.fault(fault::hold_one_way("a", "b").at(4_500.us()).lasts(4.ms()));
        world.fault(partition([["a"], ["b"]]).at(8.ms()).lasts(1.ms()));
    });
    let lost: Vec<LossReason> = losses(&outcome);
    let on_arrival = lost.iter().filter(|reason| **reason == LossReason::PartitionOnArrival).count();
    // Those from a that were held, 3 to 6, and the one from b that was under way.
    assert_eq!((on_arrival, lost.len()), (5, 7), "{lost:?}");
}

fn losses(outcome: &Outcome) -> Vec<LossReason> {
    let events = &outcome.trace.as_ref().unwrap().events;
    let reason = |event: &squall::trace::OwnedEvent| match event.kind {
        EventKind::Lose { reason, .. } => Some(reason),
        _ => None,
    };
    events.iter().filter_map(reason).collect()
}

#[test]
fn a_link_s_weather_changes_for_a_time() {
    let outcome = talk(|world| {
        world.fault(
            fault::link_one_way("a", "b", |link| {
                link.latency(Latency::fixed(9.ms()));
            })
            .at(4_500.us())
            .lasts(5.ms()),
        );
    });
    // What is sent from 5 to 9 ms takes 9 ms; what is under way takes what it took.
    let mut expected: Vec<[u64; 2]> =
        (0..20).map(|number| [number, number + if (5..=9).contains(&number) { 9 } else { 2 }]).collect();
    expected.sort_by_key(|[_, at]| *at);
    let mut came = numbers(&outcome, "b");
    came.sort_by_key(|[_, at]| *at);
    assert_eq!(came, expected);
    assert_eq!(numbers(&outcome, "a"), in_time());
    assert_eq!(
        said_faults(&outcome),
        ["4500: the weather from a -> b at 4.5 ms", "9500: the weather from a -> b at 4.5 ms is over"]
    );
    // What a fault leaves out stays as it is, and of two the later one counts.
    let outcome = talk(|world| {
        let lossy = |share: Ratio| {
            fault::link("a", "b", move |link| {
                link.loss(share);
            })
        };
        world.fault(lossy(Ratio::ONE).at(4_500.us()).lasts(5.ms()));
        world.fault(lossy(Ratio::ZERO).at(6_500.us()).lasts(1.ms()));
    });
    let kept = |number: &[u64; 2]| !(5..=9).contains(&number[0]) || number[0] == 7;
    let expected: Vec<[u64; 2]> = in_time().into_iter().filter(kept).collect();
    assert_eq!((numbers(&outcome, "a"), numbers(&outcome, "b")), (expected.clone(), expected));
}

/// Each of a link's settings can change, and a burst's times are those of the new weather.
#[test]
fn all_of_a_link_s_weather_can_change() {
    let outcome = talk(|world| {
        world.fault(
            fault::link("a", "b", |link| {
                link.duplicate(Ratio::ONE).corruption(Ratio::ONE);
            })
            .at(9_500.us()),
        );
    });
    assert_eq!((outcome.messages.duplicated, outcome.messages.corrupted), (20, 20));
    let bursts = Bursts::new(Duration::from_nanos(1), 100.secs());
    let outcome = talk(move |world| {
        world.fault(
            fault::link_one_way("a", "b", |link| {
                link.bursts(bursts);
            })
            .at(9_500.us())
            .lasts(5.ms()),
        );
    });
    assert_eq!(outcome.messages.lost, 5);
}

#[test]
fn the_heal_ends_faults_of_links_for_its_core() {
    let storm = |world: &mut World| {
        world.fault(
            fault::link("a", "b", |link| {
                link.latency(Latency::fixed(7.ms())).loss(Ratio::new(1, 2));
            })
            .at(Duration::ZERO),
        );
        world.fault(fault::hold("a", "b").at(8.ms()));
        world.heal(10.ms());
    };
    let outcome = talk(storm);
    // From the heal on all come, and take what they took before the fault.
    let late: Vec<[u64; 2]> = numbers::<2>(&outcome, "b").into_iter().filter(|[number, _]| *number > 10).collect();
    assert_eq!(late, in_time().split_off(11));
    // Those that were held come at the heal.
    assert!(numbers::<2>(&outcome, "b").iter().any(|[number, at]| *number < 3 && *at == 10));
    let outcome = talk(move |world| {
        storm(world);
        world.heal(10.ms()).core(["a"]);
    });
    assert!(numbers::<2>(&outcome, "b").iter().all(|[_, at]| *at < 10), "the hold stays for whom isn't healed");
}

/// Three tasks are woken at one instant, and again by what they send themselves; each poll takes 2 ms.
#[test]
fn each_poll_of_a_slow_node_takes_its_time() {
    let world = |slow: bool| {
        run(move |world| {
            world.client("client", move || async move {
                let start = Instant::now();
                let work = |task: u64| async move {
                    for round in 0..2u64 {
                        sleep_until(start + 10.ms() + (round * 10).ms()).await;
                        publish("polled", (task, start.elapsed().as_micros() as u64));
                    }
                };
                let tasks: Vec<_> = (0..3).map(|task| squall::spawn(work(task))).collect();
                for task in tasks {
                    task.await.unwrap();
                }
            });
            if slow {
                world.fault(fault::slow("client", 2.ms()).at(5.ms()).lasts(20.ms()));
            }
        })
    };
    let expected: Vec<[u64; 2]> = [10_000, 20_000].into_iter().flat_map(|at| [[0, at], [1, at], [2, at]]).collect();
    assert_eq!(numbers(&world(false), "polled"), expected);
    let outcome = world(true);
    // One after the other, in the order in which they were woken, and what a poll does is seen at its end. The root is woken too, when the first ends.
    let expected: Vec<[u64; 2]> =
        [10_000, 20_000].into_iter().flat_map(|at| [[0, at + 2_000], [1, at + 4_000], [2, at + 6_000]]).collect();
    let late = numbers::<2>(&outcome, "polled");
    assert_eq!(late[..5], expected[..5]);
    // From 25 ms on it isn't slow any more: who waits goes on at once.
    assert_eq!(late[5], [2, 25_000]);
    assert_eq!(
        said_faults(&outcome),
        [
            "5000: the slowness of client (2 ms a poll) at 5 ms",
            "25000: the slowness of client (2 ms a poll) at 5 ms is over"
        ]
    );
}

/// A slow node is slow after a restart too, stands still while it is paused, and polls of two causes add up.
#[test]
fn slowness_meets_other_faults() {
    let outcome = run(|world| {
        world.node("server", || async {
            publish("booted", (squall::boot_number(), SystemTime::now()));
            let mut ticks = interval(10.ms());
            loop {
                ticks.tick().await;
            }
        });
        world.client("client", || async { sleep(100.ms()).await });
        world.fault(fault::slow("server", 1.ms()).at(5.ms()));
        world.fault(fault::slow("server", 2.ms()).at(5.ms()).named("more"));
        world.fault(crash("server").at(20.ms()).restart_after(10.ms()));
        world.fault(crash("server").at(40.ms()).restart_after(10.ms()));
        world.fault(pause("server").at(51.ms()).lasts(20.ms()));
    });
    let boots = outcome.trace.as_ref().unwrap().events.iter().filter_map(|event| match &event.kind {
        EventKind::Publish { topic, .. } if topic == "booted" => Some(event.at_ns / 1_000),
        _ => None,
    });
    // The first one before it was slow; 3 ms after its boot; and 2 ms after the pause, which began when the poll had gone on for 1 ms.
    assert_eq!(boots.collect::<Vec<_>>(), [0, 33_000, 73_000]);
}

/// A pause within a poll puts off its end by as long as it lasts.
#[test]
fn a_pause_of_a_slow_node_is_as_long_as_it_is() {
    for (at_us, lasts_us, expected_us) in [(10_500, 400, 12_400), (10_500, 3_000, 15_000), (11_999, 1, 12_001)] {
        let outcome = run(move |world| {
            world.client("client", || async {
                sleep(10.ms()).await;
                publish("polled", ());
            });
            world.fault(fault::slow("client", 2.ms()).at(5.ms()));
            world.fault(pause("client").at(Duration::from_micros(at_us)).lasts(Duration::from_micros(lasts_us)));
        });
        let at = outcome.trace.as_ref().unwrap().events.iter().find_map(|event| match &event.kind {
            EventKind::Publish { topic, .. } if topic == "polled" => Some(event.at_ns / 1_000),
            _ => None,
        });
        assert_eq!(at, Some(expected_us));
    }
}

/// Who is aborted while it waits for the processor needs none of its time.
#[test]
fn a_slow_node_doesn_t_serve_those_who_are_gone() {
    let polled = |aborts: bool| {
        let outcome = run(move |world| {
            world.client("client", move || async move {
                let start = Instant::now();
                let work = |task: u64| async move {
                    sleep_until(start + 10.ms()).await;
                    publish("polled", (task, start.elapsed().as_micros() as u64));
                };
                let tasks: Vec<_> = (0..4).map(|task| squall::spawn(work(task))).collect();
                if aborts {
                    let (one, other) = (tasks[1].abort_handle(), tasks[2].abort_handle());
                    squall::spawn(async move {
                        sleep_until(start + 9_500.us()).await;
                        one.abort();
                        other.abort();
                    });
                }
                for task in tasks {
                    let _ = task.await;
                }
            });
            world.fault(fault::slow("client", 2.ms()).at(5.ms()));
        });
        numbers::<2>(&outcome, "polled")
    };
    assert_eq!(polled(false), [[0, 12_000], [1, 14_000], [2, 16_000], [3, 18_000]]);
    // Whoever aborts is polled from 9.5 to 11.5 ms, when the others have come; then the first, and the last.
    assert_eq!(polled(true), [[0, 13_500], [3, 15_500]]);
}

/// A clock that drifts wakes who waits by that clock: no call's time limit, no disk, and nobody of another node.
#[test]
fn a_drift_wakes_whom_it_concerns() {
    let polls = |more: fn(&mut World)| {
        let outcome = run(move |world| {
            world.node("server", || async {
                let _endpoint = Endpoint::bind("0.0.0.0:80").await.unwrap();
                std::future::pending::<()>().await;
            });
            for name in ["drifts", "other"] {
                world.client(name, move || async move {
                    let endpoint = Endpoint::bind("0.0.0.0:0").await.unwrap();
                    sleep(1.ms()).await;
                    let mut polled = 0;
                    let mut call = std::pin::pin!(endpoint.call_timeout("server:80", Nothing, 30.ms()));
                    let counted = std::future::poll_fn(|context| {
                        polled += 1;
                        call.as_mut().poll(context)
                    });
                    assert!(counted.await.is_err());
                    // Each with a waker of its own.
                    let mut several = futures::stream::FuturesUnordered::new();
                    let wakes = Rc::new(Cell::new(0));
                    for _ in 0..3 {
                        let wakes = Rc::clone(&wakes);
                        several.push(async move {
                            let mut sleep = std::pin::pin!(sleep(20.ms()));
                            let counted = std::future::poll_fn(|context| {
                                wakes.set(wakes.get() + 1);
                                sleep.as_mut().poll(context)
                            });
                            counted.await;
                        });
                    }
                    while several.next().await.is_some() {}
                    publish(name, (polled, wakes.get()));
                });
            }
            world.network().latency(Latency::fixed(1.ms()));
            more(world);
        });
        [numbers::<2>(&outcome, "drifts").concat(), numbers::<2>(&outcome, "other").concat()]
    };
    assert_eq!(polls(|_| {}), [[2, 6], [2, 6]]);
    // At 40 ms the sleeps are under way.
    let drift = |world: &mut World| {
        world.fault(fault::clock_drift("drifts", 1_000).at(10.ms()).lasts(30.ms()));
        world.fault(fault::slow("other", Duration::from_nanos(1)).at(39.ms()));
    };
    assert_eq!(polls(drift), [[2, 9], [2, 6]]);
}

/// A disk has no clock of the node's: what was synced by a node whose clock is wrong is there after a crash.
#[test]
fn a_sync_takes_as_long_whatever_the_clock_shows() {
    for ppm in [500_000, -500_000] {
        let outcome = run(move |world| {
            world.node("store", counts_boots);
            world.client("client", || async { sleep(100.ms()).await });
            world.storage().crash_loss(Ratio::ONE);
            world.fault(fault::clock_drift("store", ppm).at(Duration::ZERO));
            world.fault(crash("store").at_point("counted", Ratio::ONE).restart_after(20.ms()));
        });
        let found = numbers::<2>(&outcome, "found");
        assert!(found.len() > 3, "{found:?}");
        assert!(found.iter().all(|[boot, found]| boot == found), "{found:?}");
    }
}

/// Two who ask at once: the second answer takes one poll's time more.
#[test]
fn a_slow_server_answers_one_after_the_other() {
    let times = |slow: Option<Duration>| {
        let outcome = run(move |world| {
            world.node("server", || async {
                let endpoint = Endpoint::bind("0.0.0.0:80").await.unwrap();
                let mut buffer = [0; 1];
                loop {
                    let (_, from) = endpoint.recv_from(1, &mut buffer).await.unwrap();
                    endpoint.send_to(from, 1, &buffer).await.unwrap();
                    squall::task::yield_now().await;
                }
            });
            for client in ["first", "second"] {
                world.client(client, move || async move {
                    let endpoint = Endpoint::bind("0.0.0.0:0").await.unwrap();
                    sleep(10.ms()).await;
                    let asked = Instant::now();
                    endpoint.send_to("server:80", 1, &[1]).await.unwrap();
                    endpoint.recv_from(1, &mut [0; 1]).await.unwrap();
                    publish("answered", (asked.elapsed().as_micros() as u64,));
                });
            }
            world.network().latency(Latency::fixed(1.ms()));
            if let Some(poll) = slow {
                world.fault(fault::slow("server", poll).at(5.ms()));
            }
        });
        numbers::<1>(&outcome, "answered").concat()
    };
    assert_eq!(times(None), [2_000, 2_000]);
    assert_eq!(times(Some(5.ms())), [7_000, 12_000]);
}

/// A node that reads both clocks each 10 ms by its own timer; the run's time is that of the events.
fn clocks(more: impl Fn(&mut World) + Send + Sync + 'static) -> Vec<[i64; 3]> {
    let outcome = run(move |world| {
        world.client("client", || async {
            let (start, wall_start) = (Instant::now(), SystemTime::now());
            let std_start = std::time::Instant::now();
            for tick in 0..6u64 {
                sleep_until(start + (tick * 10).ms()).await;
                let shown = start.elapsed();
                assert_eq!(shown, std_start.elapsed());
                let wall = match SystemTime::now().duration_since(wall_start) {
                    Ok(since) => since.as_micros() as i64,
                    Err(error) => -(error.duration().as_micros() as i64),
                };
                publish("clocks", (shown.as_micros() as i64, wall));
            }
        });
        world.client("other", || async {
            let (start, wall_start) = (Instant::now(), SystemTime::now());
            sleep(55.ms()).await;
            assert_eq!(start.elapsed(), 55.ms());
            assert_eq!(wall_start.elapsed().unwrap(), 55.ms());
            sleep(50.ms()).await;
        });
        more(world);
    });
    assert_eq!(outcome.verdict, Verdict::Pass);
    let events = &outcome.trace.as_ref().unwrap().events;
    let read = |event: &squall::trace::OwnedEvent| match &event.kind {
        EventKind::Publish { topic, value } if topic == "clocks" => {
            let (shown, wall): (i64, i64) = serde_json::from_str(value).unwrap();
            Some([event.at_ns as i64 / 1_000, shown, wall])
        }
        _ => None,
    };
    events.iter().filter_map(read).collect()
}

#[test]
fn a_wall_clock_jumps_and_nothing_else_does() {
    let right: Vec<[i64; 3]> = (0..6).map(|tick| [tick * 10_000; 3]).collect();
    assert_eq!(clocks(|_| {}), right);
    assert_eq!(clocks(|world| world.fault(fault::clock_jump_forward("other", 1.secs()).at(90.ms()))), right);
}

#[test]
fn a_wall_clock_jumps_forward_and_is_set_right() {
    let read = clocks(|world| world.fault(fault::clock_jump_forward("client", 5.secs()).at(15.ms()).lasts(20.ms())));
    let wall = |tick: i64| tick * 10_000 + if tick == 2 || tick == 3 { 5_000_000 } else { 0 };
    assert_eq!(read, (0..6).map(|tick| [tick * 10_000, tick * 10_000, wall(tick)]).collect::<Vec<_>>());
    let read = clocks(|world| {
        world.fault(fault::clock_jump_back("client", 1.secs()).at(15.ms()));
        world.fault(fault::clock_jump_back("client", 2.secs()).at(35.ms()));
    });
    let wall = |tick: i64| tick * 10_000 - [0, 0, 1_000_000, 1_000_000, 3_000_000, 3_000_000][tick as usize];
    assert_eq!(read, (0..6).map(|tick| [tick * 10_000, tick * 10_000, wall(tick)]).collect::<Vec<_>>());
}

#[test]
fn a_clock_that_is_too_fast_takes_sleeps_with_it() {
    // Twice as fast as it can be: 1.5 ms in each.
    let read = clocks(|world| world.fault(fault::clock_drift("client", 500_000).at(Duration::ZERO)));
    let at = |tick: i64| ((tick * 10_000 * 2) as f64 / 3.0).ceil() as i64;
    for (tick, [run_us, shown, wall]) in (0..).zip(read) {
        assert!((run_us - at(tick)).abs() <= 1, "tick {tick} at {run_us}");
        assert_eq!((shown, wall), (tick * 10_000, tick * 10_000));
    }
    // Half as fast, and right again in the midst of a sleep: that began at 20 ms of its clock and ends at 30 all the same.
    let read = clocks(|world| world.fault(fault::clock_drift("client", -500_000).at(20.ms()).lasts(10.ms())));
    let run: Vec<i64> = read.iter().map(|[run_us, ..]| *run_us).collect();
    assert_eq!(run, [0, 10_000, 20_000, 35_000, 45_000, 55_000]);
    assert!((0..6).all(|tick| read[tick][1] == tick as i64 * 10_000));
    // It gets faster in the midst of a sleep, which so ends earlier.
    let read = clocks(|world| world.fault(fault::clock_drift("client", 500_000).at(22.ms()).lasts(4.ms())));
    let run: Vec<i64> = read.iter().map(|[run_us, ..]| *run_us).collect();
    assert_eq!(run, [0, 10_000, 20_000, 28_000, 38_000, 48_000]);
}

/// The heal sets clocks right: the wall clock jumps, the monotonic one goes on from what it shows.
#[test]
fn the_heal_sets_clocks_right() {
    let read = clocks(|world| {
        world.fault(fault::clock_drift("client", -500_000).at(Duration::ZERO));
        world.fault(fault::clock_jump_back("client", 9.secs()).at(Duration::ZERO));
        world.heal(30.ms());
    });
    let run: Vec<i64> = read.iter().map(|[run_us, ..]| *run_us).collect();
    assert_eq!(run, [0, 20_000, 35_000, 45_000, 55_000, 65_000]);
    assert!((1..6).all(|tick| read[tick][1] == tick as i64 * 10_000));
    // It was back before it was read for the first time.
    assert_eq!(read[1][2], 10_000);
    assert_eq!(read[2][2], 9_020_000);
}

/// A call's time limit and an interval go by the node's clock as well.
#[test]
fn timeouts_go_by_the_node_s_clock() {
    let outcome = run(|world| {
        world.node("server", || async {
            let _endpoint = Endpoint::bind("0.0.0.0:80").await.unwrap();
            std::future::pending::<()>().await;
        });
        world.client("client", || async {
            let endpoint = Endpoint::bind("0.0.0.0:0").await.unwrap();
            sleep(1.ms()).await;
            assert!(endpoint.call_timeout("server:80", Nothing, 30.ms()).await.is_err());
            publish("at", ());
            assert!(timeout(30.ms(), std::future::pending::<()>()).await.is_err());
            publish("at", ());
        });
        world.fault(fault::clock_drift("client", 500_000).at(500.us()));
    });
    let at = outcome.trace.as_ref().unwrap().events.iter().filter_map(|event| match &event.kind {
        EventKind::Publish { topic, .. } if topic == "at" => Some(event.at_ns / 100_000),
        _ => None,
    });
    // The first millisecond ends a third of its half earlier.
    assert_eq!(at.collect::<Vec<_>>(), [208, 408]);
}

#[derive(serde::Serialize, serde::Deserialize, squall::Request)]
#[rtype(())]
struct Nothing;

/// Five nodes ping each other at 10 ms; who hears whom.
fn hears(seed: u64, more: impl Fn(&mut World) + Send + Sync + 'static) -> (Vec<Vec<u64>>, Outcome) {
    let simulation = Simulation::new(move |world: &mut World| {
        for node in 0..5u8 {
            world.client(format!("node-{node}"), move || async move {
                let endpoint = Endpoint::bind("0.0.0.0:80").await.unwrap();
                sleep(10.ms()).await;
                for other in (0..5u8).filter(|other| *other != node) {
                    endpoint.send_to((format!("node-{other}"), 80), 1, &[node]).await.unwrap();
                }
                let mut from = [0; 1];
                while let Ok(received) = timeout(15.ms(), endpoint.recv_from(1, &mut from)).await {
                    received.unwrap();
                    publish("heard", (u64::from(node), u64::from(from[0])));
                }
            });
        }
        more(world);
    });
    let outcome = simulation.run_plan(&Plan::seeded("test", Seed(seed)), Record::Full);
    let mut heard = vec![Vec::new(); 5];
    for [node, from] in numbers(&outcome, "heard") {
        heard[node as usize].push(from);
    }
    heard.iter_mut().for_each(|from| from.sort_unstable());
    (heard, outcome)
}

#[test]
fn in_a_ring_each_reaches_its_neighbours() {
    let all = |node: u64| (0..5).filter(|other| *other != node).collect::<Vec<u64>>();
    assert_eq!(hears(1, |_| {}).0, (0..5).map(all).collect::<Vec<_>>());
    let (heard, _) = hears(1, |world| world.fault(fault::ring("node-*", 1).at(5.ms())));
    assert_eq!(heard, [vec![1, 4], vec![0, 2], vec![1, 3], vec![2, 4], vec![0, 3]]);
    // One that isn't in it is reached by all: a bridge.
    let nodes = ["node-0", "node-1", "node-2", "node-3"];
    let (heard, _) = hears(1, move |world| world.fault(fault::ring(nodes, 1).at(5.ms()).lasts(1.secs())));
    assert_eq!(heard, [vec![1, 3, 4], vec![0, 2, 4], vec![1, 3, 4], vec![0, 2, 4], vec![0, 1, 2, 3]]);
}

#[test]
fn nodes_of_no_group_are_a_bridge() {
    let (heard, _) = hears(1, |world| {
        world.fault(partition([["node-0", "node-1"], ["node-3", "node-4"]]).at(5.ms()));
    });
    assert_eq!(heard, [vec![1, 2], vec![0, 2], vec![0, 1, 3, 4], vec![2, 4], vec![2, 3]]);
}

/// The sides by who hears whom; `None` if it is no cut into two.
fn sides(heard: &[Vec<u64>]) -> Option<Vec<bool>> {
    let on_first: Vec<bool> = (0..5u64).map(|node| node == 0 || heard[0].contains(&node)).collect();
    let side = |node: usize| {
        let others = (0..5u64).filter(|other| *other != node as u64);
        others.filter(|other| on_first[*other as usize] == on_first[node]).collect::<Vec<u64>>()
    };
    (0..5).all(|node| heard[node] == side(node)).then_some(on_first)
}

#[test]
fn random_partitions_cut_as_they_say() {
    let mut cuts = std::collections::BTreeMap::new();
    for seed in 0..60 {
        let (heard, outcome) =
            hears(seed, |world| world.fault(fault::random_partition("node-*", Split::Any).at(5.ms())));
        let sides = sides(&heard).expect("a cut into two");
        *cuts.entry(sides).or_insert(0u32) += 1;
        let said = said_faults(&outcome);
        assert!(said[0].starts_with("5000: the random partition of node-* at 5 ms: "), "{said:?}");
        // Minorities are at most two of five.
        let (heard, _) = hears(seed, |world| {
            world.fault(fault::random_partition("node-*", Split::Minority).at(5.ms()));
        });
        let first = super_sides(&heard);
        assert!(first == 1 || first == 2, "{first}");
        let (heard, _) = hears(seed, |world| world.fault(fault::random_partition("node-*", Split::One).at(5.ms())));
        assert_eq!(super_sides(&heard), 1);
    }
    // Fifteen cuts; the chance that one of them isn't among sixty is 15 x (14/15)^60 = 0.24, so most are there.
    assert!(cuts.len() >= 13, "{cuts:?}");
    // Majumdar and Niksic: every placement of three nodes on two sides comes, within few runs.
    for placement in 0..4u8 {
        let is_so = |cut: &&Vec<bool>| (1..3).all(|node| (cut[node] != cut[0]) == (placement >> (node - 1) & 1 == 1));
        assert!(cuts.keys().any(|cut| is_so(&cut)), "{placement}");
    }
}

/// How many are on the smaller side.
fn super_sides(heard: &[Vec<u64>]) -> usize {
    let sides = sides(heard).expect("a cut into two");
    let first = sides.iter().filter(|side| **side).count();
    first.min(5 - first)
}

/// A random partition that is taken away does nothing, and one that is kept cuts as it did.
#[test]
fn a_random_partition_comes_back_from_its_perturbation() {
    let simulation = Simulation::new(|world: &mut World| {
        for node in 0..4u8 {
            world.client(format!("node-{node}"), move || async move {
                let endpoint = Endpoint::bind("0.0.0.0:80").await.unwrap();
                for _ in 0..20 {
                    endpoint.send_to((format!("node-{}", (node + 1) % 4), 80), 1, &[node]).await.unwrap();
                    sleep(5.ms()).await;
                }
            });
        }
        let cuts = fault::random_partition("node-*", Split::Any);
        world.fault(cuts.at(7.ms()).lasts(10.ms()).every(20.ms()).times(4));
    });
    let mut cuts = std::collections::BTreeSet::new();
    for seed in 0..20 {
        let plan = Plan::seeded("test", Seed(seed));
        let outcome = simulation.run_plan(&plan, Record::Full);
        assert_eq!(outcome.perturbations.iter().filter(|one| one.site.kind == SiteKind::Partition).count(), 4);
        let again = simulation.run_plan(&plan.only(&outcome.perturbations), Record::Full);
        assert_eq!(again.digest, outcome.digest);
        cuts.extend(
            said_faults(&outcome)
                .into_iter()
                .filter(|said| !said.ends_with("is healed"))
                .map(|said| said.split_once(": ").unwrap().1.split_once(": ").unwrap().1.to_string()),
        );
        let faults = |outcome: &Outcome| outcome.messages.lost;
        assert_eq!(faults(&simulation.run_plan(&plan.only(&[]), Record::Full)), 0);
    }
    // Each time another one is drawn.
    assert_eq!(cuts.len(), 7, "{cuts:?}");
}

#[test]
fn a_fault_that_comes_again_is_several() {
    let outcome = talk(|world| {
        world.fault(partition([["a"], ["b"]]).at(4_500.us()).lasts(1.ms()).every(5.ms()).times(3));
    });
    // Sent at 5, 10 and 15, and what would have come then.
    let kept = |number: &[u64; 2]| ![5, 10, 15, 3, 8, 13].contains(&number[0]);
    let expected: Vec<[u64; 2]> = in_time().into_iter().filter(kept).collect();
    assert_eq!((numbers(&outcome, "a"), numbers(&outcome, "b")), (expected.clone(), expected));
    let said = said_faults(&outcome);
    assert_eq!(said.len(), 6);
    assert_eq!(said[2], "9500: the partition a | b at 9.5 ms");
    // Each can be taken away alone.
    assert_eq!(outcome.perturbations.len(), 3);
}

fn boots_and_crashes(outcome: &Outcome) -> Vec<String> {
    let events = &outcome.trace.as_ref().unwrap().events;
    let said = |event: &squall::trace::OwnedEvent| match &event.kind {
        EventKind::Crash => Some(format!("{} down {}", event.at_ns / 1_000_000, event.node.0)),
        EventKind::Boot { boot } if *boot > 0 => Some(format!("{} up {}", event.at_ns / 1_000_000, event.node.0)),
        _ => None,
    };
    events.iter().filter_map(said).collect()
}

/// Three stores and a client that waits.
fn stores(more: impl Fn(&mut World) + Send + Sync + 'static) -> Outcome {
    run(move |world| {
        for store in 0..3 {
            world.node(format!("store-{store}"), std::future::pending::<()>);
        }
        world.client("client", || async { sleep(100.ms()).await });
        more(world);
    })
}

#[test]
fn a_rolling_restart_takes_one_after_the_other() {
    let outcome = stores(|world| world.fault(crash("store-*").at(10.ms()).restart_after(5.ms()).stagger(20.ms())));
    let expected = ["10 down 0", "15 up 0", "30 down 1", "35 up 1", "50 down 2", "55 up 2"];
    assert_eq!(boots_and_crashes(&outcome), expected);
    assert_eq!(outcome.perturbations.len(), 3);
}

#[test]
fn a_rack_fails_as_one() {
    let rack = |world: &mut World| {
        world.fault(crash(["store-0", "store-2"]).at(10.ms()).restart_after(5.ms()).together());
    };
    let outcome = stores(rack);
    assert_eq!(boots_and_crashes(&outcome), ["10 down 0", "10 down 2", "15 up 0", "15 up 2"]);
    assert_eq!(said_faults(&outcome), ["10000: the crash of store-0, store-2 at 10 ms"]);
    assert_eq!(outcome.perturbations.len(), 1);
    // One of them is down already: the other goes, and each comes back by its own restart.
    let outcome = stores(move |world| {
        rack(world);
        world.fault(crash("store-0").at(5.ms()).restart_after(30.ms()));
    });
    assert_eq!(boots_and_crashes(&outcome), ["5 down 0", "10 down 2", "15 up 2", "35 up 0"]);
    let outcome = stores(move |world| {
        rack(world);
        world.fault(crash("store-*").at(5.ms()));
    });
    assert_eq!(boots_and_crashes(&outcome).len(), 3);
    let told: Vec<&str> = outcome.unreached_faults.iter().map(|unreached| unreached.fault.as_str()).collect();
    assert_eq!(told, ["the crash of store-0, store-2 at 10 ms"]);
}

/// A node that counts, and passes a point before each number and one behind it.
fn counter(world: &mut World) {
    for name in ["counter", "other"] {
        world.node(name, move || async move {
            for number in 0..1_000u64 {
                squall::point!("before a number");
                publish(name, (number, u64::from(squall::boot_number())));
                squall::point!("behind a number");
                sleep(1.ms()).await;
            }
        });
    }
    world.client("client", || async { sleep(1_001.ms()).await });
}

#[test]
fn a_crash_comes_at_a_point_of_the_code() {
    let counted = |outcome: &Outcome, node: &str| numbers::<2>(outcome, node);
    let all: Vec<[u64; 2]> = (0..1_000).map(|number| [number, 0]).collect();
    let outcome = run(counter);
    assert_eq!((counted(&outcome, "counter"), counted(&outcome, "other")), (all.clone(), all.clone()));
    // At the first time, and never again: it stays down. What the code does behind the point has no effect.
    let crashes = |point: &'static str| {
        run(move |world| {
            counter(world);
            world.fault(crash("counter").at_point(point, Ratio::ONE));
        })
    };
    let outcome = crashes("before a number");
    assert_eq!((counted(&outcome, "counter"), counted(&outcome, "other")), (vec![], all.clone()));
    let said = "0: the crash of counter at the point \"before a number\", \"before a number\" on counter";
    assert_eq!(said_faults(&outcome), [said]);
    assert_eq!(counted(&crashes("behind*"), "counter"), [[0, 0]]);
    // One that nobody passes is told.
    let outcome = crashes("beside a number");
    assert_eq!(counted(&outcome, "counter"), all);
    let told: Vec<&str> = outcome.unreached_faults.iter().map(|unreached| unreached.fault.as_str()).collect();
    assert_eq!(told, ["the crash of counter at the point \"beside a number\""]);
}

/// What a root gives in the poll in which its node crashed says nothing: an error is none, and a client hasn't come to its end.
#[test]
fn what_a_root_returns_behind_the_point_of_its_crash_does_not_count() {
    let outcome = run(|world| {
        world.node("reader", || async {
            if squall::boot_number() == 0 {
                squall::point!("before an error");
                squall::fs::read("/nothing").await?;
            }
            std::future::pending::<std::io::Result<()>>().await
        });
        world.client("client", || async {
            if squall::boot_number() == 0 {
                squall::point!("before the end");
            } else {
                publish("through", [squall::boot_number()]);
            }
        });
        for (node, point) in [("reader", "before an error"), ("client", "before the end")] {
            world.fault(crash(node).at_point(point, Ratio::ONE).restart_after(5.ms()));
        }
    });
    assert_eq!(outcome.verdict, Verdict::Pass);
    assert_eq!(boots_and_crashes(&outcome), ["0 down 0", "0 down 1", "5 up 0", "5 up 1"]);
    assert_eq!(numbers::<1>(&outcome, "through"), [[1]]);
}

/// Code that a crash overtakes between two awaits goes on to the next one. There it ends, also where it tries again until something succeeds, or never stops by itself.
#[test]
fn what_goes_on_behind_the_point_of_its_crash_comes_to_its_end() {
    type Body = fn() -> std::pin::Pin<Box<dyn Future<Output = ()>>>;
    /// What is done before the point, and the loop behind it.
    macro_rules! body {
        ({ $($before:tt)* } $behind:expr) => {
            || {
                Box::pin(async {
                    $($before)*
                    squall::point!("a loop");
                    $behind;
                    std::future::pending::<()>().await;
                })
            }
        };
    }
    async fn stream() -> squall::net::TcpStream {
        squall::net::TcpStream::connect("sink:80").await.unwrap()
    }
    async fn work() {
        squall::time::sleep(1.ms()).await;
    }
    let bodies: [Body; 9] = [
        body!({ let mut stream = stream().await; } while stream.write_all(&[1; 1_000]).await.is_ok() {}),
        body!({ let stream = stream().await; } while stream.writable().await.is_ok() {
            let _ = stream.try_write(&[1; 1_000]);
        }),
        body!({} while squall::net::TcpStream::connect("sink:80").await.is_err() {}),
        body!({} while squall::fs::write("/file", b"text").await.is_err() {}),
        body!({ let stream = stream().await; } while stream.try_write(&[1; 1_000]).is_ok() {}),
        body!({} while squall::net::TcpListener::bind("0.0.0.0:81").await.is_err() {}),
        body!({} while squall::net::UdpSocket::bind("0.0.0.0:81").await.is_err() {}),
        body!({} while squall::spawn(work()).await.is_err() {}),
        body!({ let mut set = squall::task::JoinSet::new(); set.spawn(work()); } {
            while set.join_next().await.is_some_and(|joined| joined.is_err()) {
                set.spawn(work());
            }
        }),
    ];
    for (number, body) in bodies.into_iter().enumerate() {
        for is_tokio in [false, true] {
            let outcome = run(move |world| {
                world.node("sink", || async {
                    let listener = squall::net::TcpListener::bind("0.0.0.0:80").await.unwrap();
                    loop {
                        let (mut stream, _) = listener.accept().await.unwrap();
                        squall::spawn(async move {
                            let mut bytes = [0; 1_000];
                            while matches!(stream.read(&mut bytes).await, Ok(1..)) {
                                squall::time::sleep(10.ms()).await;
                            }
                        });
                    }
                });
                let mut node = world.node("node", move || async move {
                    squall::time::sleep(5.ms()).await;
                    if squall::boot_number() == 0 {
                        body().await;
                    }
                });
                if is_tokio {
                    node.tokio();
                }
                world.fault(crash("node").at_point("a loop", Ratio::ONE).restart_after(5.ms()));
                world.end_at(secs(1));
            });
            assert_eq!(outcome.verdict, Verdict::Pass, "body {number}, tokio {is_tokio}");
            assert_eq!(boots_and_crashes(&outcome).len(), 2, "body {number}, tokio {is_tokio}");
        }
    }
}

/// A fault that comes several times and has a name is one flow: no single time of it is said as if it were that of all.
#[test]
fn a_named_fault_that_comes_again_is_said_without_one_time() {
    let said = |name: Option<&'static str>, times: u32| -> Vec<String> {
        let outcome = run(move |world| {
            world.client("a", || sleep(100.ms()));
            let mut fault = pause("a").at(10.ms()).lasts(1.ms());
            if times > 1 {
                fault = fault.every(20.ms()).times(times);
            }
            world.fault(match name {
                Some(name) => fault.named(name),
                None => fault,
            });
        });
        outcome.perturbations.iter().map(|one| one.sentence(&outcome.names)).collect()
    };
    assert_eq!(said(Some("nap"), 1), ["nap (the pause of a at 10 ms, for 1 ms) happens"]);
    assert_eq!(said(None, 2), ["the pause of a at 10 ms happens", "the pause of a at 30 ms happens"]);
    let again = said(Some("nap"), 3);
    assert_eq!(again.len(), 3);
    let name = "nap (the pause of a, for 1 ms)";
    assert!(again.iter().all(|said| said.starts_with(name) && !said.contains("10 ms")), "{again:?}");
}

/// Of a staggered fault each part is said with the time at which it comes, by a name of its own or not.
#[test]
fn a_staggered_fault_is_said_with_its_times() {
    for (name, expected) in [(None, "the pause of *"), (Some("roll"), "roll")] {
        let outcome = run(move |world| {
            for node in ["a", "b", "c"] {
                world.client(node, || sleep(100.ms()));
            }
            let fault = pause("*").at(10.ms()).lasts(1.ms()).stagger(20.ms());
            world.fault(match name {
                Some(name) => fault.named(name),
                None => fault,
            });
        });
        let begun: Vec<String> = said_faults(&outcome).into_iter().filter(|said| !said.ends_with("is over")).collect();
        let parts = [("a", 10), ("b", 30), ("c", 50)];
        assert_eq!(begun, parts.map(|(node, ms)| format!("{ms}000: {expected} at {ms} ms ({node})")));
        for (perturbation, (node, ms)) in outcome.perturbations.iter().zip(parts) {
            let said = perturbation.sentence(&outcome.names);
            assert!(said.contains(&format!("at {ms} ms")) && said.contains(&format!("({node})")), "{said}");
        }
    }
}

/// A tenth of all times, in each boot anew, and none once the storm is over.
#[test]
fn crashes_at_points_come_as_often_as_they_are_to() {
    let outcome = run(|world| {
        counter(world);
        world.limits().virtual_ns = u64::MAX;
        world.fault(crash("*er").at_point("behind a number", percent(10)).restart_after(Duration::from_micros(1)));
        world.heal(900.ms());
    });
    let (passed, crashed) = (
        numbers::<2>(&outcome, "counter").len() + numbers::<2>(&outcome, "other").len(),
        outcome.perturbations.iter().filter(|one| one.site.kind == SiteKind::Point).count(),
    );
    // At the heal what has been passed since the last crash is passed without any: about a hundred each, of some two thousand.
    let expected = (passed as f64 - 200.0) * 0.1;
    let deviation = (passed as f64 * 0.1 * 0.9).sqrt();
    assert!((crashed as f64 - expected).abs() < 4.0 * deviation, "{crashed} of {passed}");
    let last = said_faults(&outcome).iter().filter_map(|said| said.split(':').next()?.parse::<u64>().ok()).max();
    assert!((800_000..=900_000).contains(&last.unwrap()), "{last:?}");
}

/// What a control task asks for begins at once, and is known by what it says and by who asks.
#[test]
fn a_control_task_injects_any_fault() {
    let outcome = talk(|world| {
        world.control(|cluster| async move {
            sleep(4_500.us()).await;
            assert!(cluster.inject(fault::hold_one_way("a", "b").lasts(6.ms())));
            assert!(cluster.inject(fault::slow(["a", "b"], Duration::from_nanos(1)).lasts(1.ms())));
            sleep(8.ms()).await;
            assert!(cluster.inject(partition([["a"], ["b"]]).lasts(1.ms()).named("split")));
            assert!(!cluster.crash("a") || cluster.is_up("b"));
            assert!(!cluster.inject(pause("a")), "it is down");
        });
    });
    assert_eq!(
        said_faults(&outcome),
        [
            "4500: the hold of a -> b by control",
            "4500: the slowness of a, b (1 ns a poll) by control (a)",
            "4500: the slowness of a, b (1 ns a poll) by control (b)",
            "5500: the slowness of a, b (1 ns a poll) by control (a) is over",
            "5500: the slowness of a, b (1 ns a poll) by control (b) is over",
            "10500: the hold of a -> b by control is over",
            "12500: split by control",
            "12500: the crash of a by control",
            "13500: split by control is healed",
        ]
    );
    for (fault, expected) in [
        (crash("a").at(1.ms()), "begins at once"),
        (crash("*").stagger(1.ms()), "begins at once"),
        (crash("nobody"), "names \"nobody\""),
    ] {
        let outcome = talk(move |world| {
            let fault = fault.clone();
            world.control(move |cluster| {
                let fault = fault.clone();
                async move {
                    cluster.inject(fault);
                }
            });
        });
        let Verdict::Fail(failure) = outcome.verdict else { panic!("it passes") };
        assert!(failure.message.contains(expected), "{}", failure.message);
    }
}

/// What a control task asks for in vain has its number all the same: taking away what was in its way moves nothing.
#[test]
fn what_a_control_task_asks_for_in_vain_is_counted() {
    let simulation = Simulation::new(|world: &mut World| {
        for name in ["a", "b"] {
            world.node(name, std::future::pending::<()>);
        }
        world.client("client", || sleep(50.ms()));
        world.control(|cluster| async move {
            let asks = |cluster: &squall::Cluster| {
                let asked = (cluster.pause("b"), cluster.inject(pause("b").lasts(1.ms()).named("again")));
                publish("asked", (u64::from(asked.0), u64::from(asked.1)));
                cluster.resume("b");
            };
            sleep(1.ms()).await;
            cluster.crash("b");
            asks(&cluster);
            sleep(1.ms()).await;
            cluster.restart("b");
            asks(&cluster);
        });
    });
    let plan = Plan { strategy: StrategyChoice::Fifo, ..Plan::seeded("test", Seed(1)) };
    let whole = simulation.run_plan(&plan, Record::Full);
    assert_eq!(numbers::<2>(&whole, "asked"), [[0, 0], [1, 1]]);
    let crash = whole.perturbations.iter().find(|one| one.sentence(&whole.names).contains("crash")).unwrap();
    let rest: Vec<_> = whole.perturbations.iter().filter(|one| *one != crash).copied().collect();
    let without = simulation.run_plan(&plan.only(&rest), Record::Full);
    assert_eq!((numbers::<2>(&without, "asked"), without.unused_overrides), (vec![[0, 0], [1, 1]], vec![]));
}

/// What was held and comes again is ordered anew, under an address of its own: such a run comes back from what wasn't calm in it.
#[test]
fn runs_with_holds_come_back_from_their_decisions() {
    let simulation = Simulation::new(|world: &mut World| {
        for sender in 0..4u8 {
            world.client(format!("sender-{sender}"), move || async move {
                let endpoint = Endpoint::bind("0.0.0.0:80").await.unwrap();
                for number in 0..6u8 {
                    endpoint.send_to("receiver:80", 1, &[sender, number]).await.unwrap();
                    sleep(1.ms()).await;
                }
            });
        }
        world.client("receiver", || async {
            let endpoint = Endpoint::bind("0.0.0.0:80").await.unwrap();
            let mut buffer = [0; 2];
            for _ in 0..24 {
                endpoint.recv_from(1, &mut buffer).await.unwrap();
                publish("came", (buffer[0], buffer[1]));
            }
        });
        world.network().latency(Latency::fixed(2.ms()));
        world.fault(fault::hold("*", "receiver").at(2_500.us()).lasts(2.ms()));
        world.fault(fault::hold("sender-1", "receiver").at(4.ms()).lasts(2.ms()));
    });
    for seed in 0..60 {
        for strategy in [StrategyChoice::Random, StrategyChoice::Pct { depth: 3, steps: 60 }] {
            let plan = Plan { strategy, ..Plan::seeded("test", Seed(seed)) };
            let whole = simulation.run_plan(&plan, Record::Perturbations);
            let again = simulation.run_plan(&plan.only(&whole.perturbations), Record::Digest);
            assert_eq!((again.digest, again.unused_overrides), (whole.digest, vec![]), "seed {seed}, {strategy}");
        }
    }
}

/// Counts its boots in a file that is synced, and says what it finds.
async fn counts_boots() {
    let found = squall::fs::read_to_string("/boots").await.map_or(0, |text| text.len() as u64);
    publish("found", (u64::from(squall::boot_number()), found));
    let file = squall::fs::File::create("/boots").await.unwrap();
    file.write_all_at(&vec![b'x'; found as usize + 1], 0).await.unwrap();
    file.sync_all().await.unwrap();
    squall::fs::File::open("/").await.unwrap().sync_all().await.unwrap();
    squall::point!("counted");
    std::future::pending::<()>().await;
}

#[test]
fn a_restart_may_find_an_empty_disk() {
    let found = |fault: Fault| {
        let outcome = run(move |world| {
            world.node("store", counts_boots);
            world.client("client", || async { sleep(100.ms()).await });
            world.fault(crash("store").at(20.ms()).restart_after(5.ms()));
            world.fault(fault.clone());
        });
        numbers::<2>(&outcome, "found")
    };
    let second = || crash("store").at(50.ms()).restart_after(5.ms());
    assert_eq!(found(second()), [[0, 0], [1, 1], [2, 2]]);
    assert_eq!(found(second().wipes_disk()), [[0, 0], [1, 1], [2, 0]]);
    let at_point = crash("store").at_point("counted", Ratio::ONE).restart_after(60.ms());
    assert_eq!(found(at_point.clone()), [[0, 0], [1, 1]]);
    assert_eq!(found(at_point.wipes_disk()), [[0, 0], [1, 0]]);
}

/// What can't be is said when the world is described, or when its nodes are known.
#[test]
fn impossible_faults_are_refused() {
    let refused = |fault: fn() -> Fault| {
        let build = move |world: &mut World| {
            for store in 0..3 {
                world.node(format!("store-{store}"), std::future::pending::<()>);
            }
            world.client("client", || async {});
            world.fault(fault());
        };
        let called = std::panic::catch_unwind(|| {
            Simulation::new(build).run_plan(&Plan::seeded("test", Seed(1)), Record::Digest)
        });
        let panic = called.expect_err("refused");
        let text = panic.downcast_ref::<String>().cloned();
        text.or_else(|| panic.downcast_ref::<&str>().map(ToString::to_string)).expect("a text")
    };
    type Makes = fn() -> Fault;
    let cases: [(Makes, &str); 19] = [
        (|| crash("store-9"), "names \"store-9\", but the nodes are store-0, store-1, store-2, client"),
        (|| fault::hold("store-0", "nobody"), "names \"nobody\""),
        (|| fault::slow("store-0", Duration::ZERO), "takes no time isn't slow"),
        (|| fault::clock_drift("store-0", 0), "drifts by nothing"),
        (|| fault::clock_drift("store-0", 500_001), "at most 500000 parts per million, not by 500001"),
        (|| fault::ring("store-*", 1), "each of the 3 nodes reaches all others"),
        (|| fault::random_partition("store-0", Split::Any), "of 2 to 63 nodes, not of 1"),
        (|| fault::random_partition(["store-0", "store-1"], Split::Minority), "of 3 to 63 nodes, not of 2"),
        (|| crash("store-0").times(2), "needs `every`"),
        (|| crash("store-0").every(1.secs()), "needs `times`"),
        (|| pause("store-0").lasts(2.ms()).every(2.ms()).times(2), "it lasts 2 ms"),
        (|| pause("store-0").at_point("a", Ratio::ONE), "only a crash can come at a point"),
        (|| pause("store-0").wipes_disk(), "only a crash wipes a disk"),
        (|| crash("store-0").at_point("a", Ratio::ONE).stagger(1.ms()), "leave out `every`"),
        (|| crash("store-*").together().stagger(1.ms()), "leave out `together` or `stagger`"),
        (|| fault::link("store-0", "client", |_| {}), "changes something of its weather"),
        (
            || {
                fault::link("store-0", "store-0", |link| {
                    link.loss(Ratio::ONE);
                })
            },
            "a link has two ends",
        ),
        (|| fault::hold("client", "cl*"), "a link has two ends"),
        (|| crash(["store-0", "nobody"]).stagger(1.ms()), "names \"nobody\""),
    ];
    for (fault, expected) in cases {
        let text = refused(fault);
        assert!(text.contains(expected), "{text}\n{expected}");
    }
    // Just enough.
    let outcome = stores(|world| {
        world.fault(crash(["store-2"]).together().at(5.ms()));
        world.fault(fault::hold("store-0", "store-*").at(1.ms()).lasts(1.ms()));
        world.fault(pause("store-0").at(1.ms()).lasts(1_999.us()).every(2.ms()).times(2));
        world.fault(fault::clock_drift("store-0", -500_000).at(1.ms()));
        world.fault(fault::random_partition(["store-0", "store-1", "store-2"], Split::Minority).at(1.ms()));
        world.fault(fault::ring("*", 1).at(2.ms()));
    });
    assert_eq!((outcome.verdict, outcome.ending.reason), (Verdict::Pass, EndReason::ClientsReturned));
}
