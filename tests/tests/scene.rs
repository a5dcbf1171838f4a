//! That the picture of a run shows what happened: each fault from its beginning to its end, with the nodes that it was of, and what became
//! of each message.

use std::time::Duration;

use squall::fault::Split;
use squall::net::Endpoint;
use squall::prelude::*;
use squall::time::{Instant, sleep, sleep_until};
use squall::trace::swarm::FaultClass;
use squall::trace::{LossReason, NodeId, Outcome, Plan, Record, Seed, StrategyChoice, Trace};
use squall::{Simulation, World, fault, rule};
use squall_reports::scene::{Fate, Scene, SpanKind};

/// By seed 1, fully recorded, and in the order in which things become ready.
fn run(build: impl Fn(&mut World) + Send + Sync + 'static) -> Outcome {
    let plan = Plan { strategy: StrategyChoice::Fifo, ..Plan::seeded("test", Seed(1)) };
    Simulation::new(build).run_plan(&plan, Record::Full)
}

/// Four clients that do nothing for 100 ms.
fn idle(world: &mut World) {
    for name in ["a", "b", "c", "d"] {
        world.client(name, || async { sleep(100.ms()).await });
    }
}

/// `pause a+b|c 5..25`: what, the groups, and from when to when in milliseconds; without a second one, to the run's end.
fn spans(trace: &Trace) -> Vec<String> {
    let scene = Scene::of(trace);
    let name = |node: &NodeId| trace.names.node(*node).into_owned();
    let ms = |event: usize| (trace.events[event].at_ns / 1_000_000).to_string();
    let in_words = |span: &squall_reports::scene::Span| {
        let what = match span.what {
            SpanKind::Down => "down".to_string(),
            SpanKind::Fault(class) => serde_json::to_value(class).unwrap().as_str().unwrap().to_string(),
        };
        let groups: Vec<String> =
            span.groups.iter().map(|group| group.iter().map(name).collect::<Vec<_>>().join("+")).collect();
        format!("{what} {} {}..{}", groups.join("|"), ms(span.begun), span.ended.map_or_else(String::new, ms))
    };
    scene.spans.iter().map(in_words).collect()
}

#[track_caller]
fn check(build: impl Fn(&mut World) + Send + Sync + 'static, expected: &[&str]) {
    let outcome = run(move |world| {
        idle(world);
        build(world);
    });
    assert_eq!(spans(outcome.trace.as_ref().unwrap()), expected);
}

#[test]
fn a_fault_stands_from_its_beginning_to_its_end() {
    let begins = |fault: fn() -> fault::Fault, expected: &'static str| {
        check(move |world| world.fault(fault().at(5.ms()).lasts(20.ms())), &[&format!("{expected} 5..25")]);
        check(move |world| world.fault(fault().at(5.ms())), &[&format!("{expected} 5..")]);
    };
    begins(|| fault::pause("a"), "pause a");
    begins(|| fault::slow("b", 1.ms()), "slow b");
    begins(|| fault::clock_drift("c", 100), "clock c");
    begins(|| fault::partition([["a", "b"], ["c", "d"]]), "partition a+b|c+d");
    begins(|| fault::partition([vec!["a"], vec!["b"], vec!["c", "d"]]), "partition a|b|c+d");
    begins(|| fault::partition_one_way(["a"], ["b", "c"]), "partition a|b+c");
    begins(|| fault::hold("a", "b"), "hold a|b");
    begins(|| fault::hold_one_way("b", "a"), "hold b|a");
    begins(|| fault::ring(["a", "b", "c", "d"], 1), "partition a+b+c+d");
    begins(
        || {
            fault::link("a", "b", |link| {
                link.loss(percent(10));
            })
        },
        "link a|b",
    );
    begins(
        || {
            fault::link_one_way("b", "c", |link| {
                link.loss(percent(10));
            })
        },
        "link b|c",
    );
}

#[test]
fn a_drawn_partition_has_the_sides_that_were_drawn() {
    let outcome = run(|world| {
        idle(world);
        world.fault(fault::random_partition("*", Split::One).at(5.ms()).lasts(10.ms()));
    });
    let trace = outcome.trace.unwrap();
    let scene = Scene::of(&trace);
    let [span] = &scene.spans[..] else { panic!("{:?}", scene.spans) };
    assert_eq!(span.what, SpanKind::Fault(FaultClass::Partition));
    let mut sizes: Vec<usize> = span.groups.iter().map(Vec::len).collect();
    sizes.sort_unstable();
    assert_eq!(sizes, [1, 3]);
    assert_eq!((trace.events[span.begun].at_ns, trace.events[span.ended.unwrap()].at_ns), (5_000_000, 15_000_000));
}

#[test]
fn in_a_swizzle_each_node_has_its_own_time() {
    let outcome = run(|world| {
        idle(world);
        world.fault(fault::swizzle("*").at(5.ms()).stagger(2.ms()).lasts(20.ms()));
    });
    let trace = outcome.trace.unwrap();
    let scene = Scene::of(&trace);
    assert!(!scene.spans.is_empty());
    for (place, span) in scene.spans.iter().enumerate() {
        assert_eq!(span.what, SpanKind::Fault(FaultClass::Partition));
        assert!(span.groups.iter().any(|group| group.len() == 1), "{span:?}");
        assert_eq!(trace.events[span.begun].at_ns, (5 + 2 * place as u64) * 1_000_000);
        assert!(span.ended.is_some());
    }
}

#[test]
fn a_jump_of_a_clock_is_over_at_once_or_stands() {
    let outcome = run(|world| {
        idle(world);
        world.fault(fault::clock_jump_forward("a", 5.secs()).at(5.ms()).lasts(10.ms()));
    });
    assert_eq!(spans(&outcome.trace.unwrap()), ["clock a 5..15"]);
}

#[test]
fn faults_that_come_again_are_several() {
    check(
        |world| world.fault(fault::pause("a").at(5.ms()).lasts(5.ms()).every(20.ms()).times(3)),
        &["pause a 5..10", "pause a 25..30", "pause a 45..50"],
    );
    check(
        |world| world.fault(fault::pause(["a", "b"]).at(5.ms()).lasts(5.ms()).stagger(20.ms())),
        &["pause a 5..10", "pause b 25..30"],
    );
    // Two that overlap end each for itself.
    check(
        |world| {
            world.fault(fault::partition([["a"], ["b"]]).at(5.ms()).lasts(30.ms()));
            world.fault(fault::partition([["b"], ["c"]]).at(10.ms()).lasts(5.ms()));
        },
        &["partition a|b 5..35", "partition b|c 10..15"],
    );
}

#[test]
fn a_node_is_down_from_its_crash_to_its_start() {
    check(|world| world.fault(crash("a").at(5.ms()).restart_after(10.ms())), &["down a 5..15"]);
    check(|world| world.fault(crash("a").at(5.ms())), &["down a 5.."]);
    check(
        |world| {
            world.control(|cluster| async move {
                sleep(5.ms()).await;
                cluster.crash("b");
                sleep(5.ms()).await;
                cluster.restart("b");
            });
        },
        &["down b 5..10"],
    );
}

#[test]
fn what_control_tasks_do_is_shown_too() {
    check(
        |world| {
            world.control(|cluster| async move {
                sleep(5.ms()).await;
                cluster.pause("a");
                cluster.pause("b");
                sleep(5.ms()).await;
                cluster.resume("a");
                cluster.partition(&[&["a"], &["b", "c"]]);
                sleep(5.ms()).await;
                cluster.heal();
                sleep(5.ms()).await;
                cluster.resume("b");
                cluster.inject(fault::slow("d", 1.ms()).lasts(5.ms()));
            });
        },
        &["pause a 5..10", "pause b 5..20", "partition a|b+c 10..15", "slow d 20..25"],
    );
    // Of two that stand still by one fault, one may go on alone.
    check(
        |world| {
            world.fault(fault::pause(["a", "b"]).together().at(5.ms()).lasts(20.ms()));
            world.control(|cluster| async move {
                sleep(10.ms()).await;
                cluster.resume("a");
            });
        },
        &["pause a 5..10", "pause b 5..25"],
    );
}

fn storm(world: &mut World) {
    world.fault(fault::pause(["a", "d"]).together().at(5.ms()));
    world.fault(fault::slow("b", 1.ms()).at(6.ms()));
    world.fault(fault::partition([["a"], ["b"]]).at(7.ms()));
    world.fault(fault::partition([["a", "b"], ["c", "d"]]).at(8.ms()));
    world.fault(crash("c").at(9.ms()));
}

#[test]
fn the_heal_ends_all_or_what_concerns_its_core() {
    check(
        |world| {
            storm(world);
            world.heal(20.ms());
        },
        &["pause a+d 5..20", "slow b 6..20", "partition a|b 7..20", "partition a+b|c+d 8..20", "down c 9..20"],
    );
    check(
        |world| {
            storm(world);
            world.heal(20.ms()).core(["a", "b"]);
        },
        &["pause a 5..20", "pause d 5..", "slow b 6..20", "partition a|b 7..20", "partition a+b|c+d 8..", "down c 9.."],
    );
}

/// How `a` and `b` talk: `a` sends `b` a byte at each of these times (in milliseconds), which takes 2 ms.
fn fates(at_ms: &'static [u64], more: impl Fn(&mut World) + Send + Sync + 'static) -> Vec<String> {
    let outcome = run(move |world| {
        world.client("a", move || async move {
            let endpoint = Endpoint::bind("0.0.0.0:80").await.unwrap();
            let start = Instant::now();
            for at in at_ms {
                sleep_until(start + at.ms()).await;
                endpoint.send_to("b:90", 1, &[7; 100]).await.unwrap();
            }
            sleep(20.ms()).await;
        });
        world.node("b", || async {
            let endpoint = Endpoint::bind("0.0.0.0:90").await.unwrap();
            let mut buffer = [0; 100];
            loop {
                endpoint.recv_from(1, &mut buffer).await.unwrap();
            }
        });
        world.network().latency(fixed(2.ms()));
        more(world);
    });
    let trace = outcome.trace.unwrap();
    let us = |event: usize| trace.events[event].at_ns / 1_000;
    let in_words = |message: &squall_reports::scene::Message| {
        assert_eq!(&*trace.names.node(message.from), "a");
        assert_eq!(&*trace.names.node(message.to), "b");
        let what = if message.is_copy { "copy" } else { "message" };
        let corrupted = if message.is_corrupted { " corrupted" } else { "" };
        match message.fate {
            Fate::Delivered { event } => format!("{what}{corrupted} {}..{}", us(message.sent), us(event)),
            Fate::Lost { event, reason } => format!("{what} {}..{} {reason:?}", us(message.sent), us(event)),
            Fate::UnderWay => format!("{what} {}..", us(message.sent)),
        }
    };
    Scene::of(&trace).messages.iter().map(in_words).collect()
}

#[test]
fn each_message_has_its_fate() {
    assert_eq!(fates(&[1, 5], |_| {}), ["message 1000..3000", "message 5000..7000"]);
    let all = percent(100);
    assert_eq!(
        fates(&[1], move |world| {
            world.network().loss(all);
        }),
        ["message 1000..1000 Loss"]
    );
    assert_eq!(
        fates(&[1], move |world| {
            world.network().duplicate(all);
        }),
        ["message 1000..3000", "copy 1000..3000"]
    );
    assert_eq!(
        fates(&[1], move |world| {
            world.network().corruption(all);
        }),
        ["message corrupted 1000..3000"]
    );
    // Just before the end there is no time to arrive.
    assert_eq!(
        fates(&[1, 10], |world| {
            world.end_at(11.ms());
        }),
        ["message 1000..3000", "message 10000.."]
    );
}

#[test]
fn each_reason_of_a_loss_is_told_where_it_is_lost() {
    let lost = |more: fn(&mut World), expected: &str, reason: LossReason| {
        assert_eq!(fates(&[5], more), [format!("message {expected} {reason:?}")]);
    };
    lost(
        |world| {
            world.network().loss(percent(100));
        },
        "5000..5000",
        LossReason::Loss,
    );
    lost(
        |world| world.fault(fault::partition([["a"], ["b"]]).at(4.ms())),
        "5000..5000",
        LossReason::PartitionOnSending,
    );
    lost(
        |world| world.fault(fault::partition([["a"], ["b"]]).at(6.ms())),
        "5000..7000",
        LossReason::PartitionOnArrival,
    );
    lost(|world| world.fault(crash("b").at(6.ms())), "5000..7000", LossReason::NodeDown);
    lost(
        |world| {
            world.rule(rule::drop("a", "b"));
        },
        "5000..5000",
        LossReason::Rule,
    );
}

/// A message of 100 bytes and its header takes milliseconds to be sent.
#[test]
fn what_waits_to_be_sent_is_lost_with_its_sender_or_for_want_of_room() {
    fn slow(world: &mut World) {
        world.network().bandwidth_bits_per_second(800_000);
    }
    let crashed = fates(&[5, 5], |world| {
        slow(world);
        world.fault(crash("a").at(5_500.us()));
    });
    assert!(crashed[1].ends_with("5000..5500 SenderDown"), "{crashed:?}");
    let full = fates(&[5, 5, 5], |world| {
        slow(world);
        world.network().queue_bytes(200);
    });
    assert!(full.iter().any(|message| message.ends_with("5000..5000 QueueFull")), "{full:?}");
}

#[test]
fn nobody_listens() {
    let outcome = run(|world| {
        world.client("a", || async {
            let endpoint = Endpoint::bind("0.0.0.0:80").await.unwrap();
            endpoint.send_to("b:91", 1, b"x").await.unwrap();
            sleep(Duration::from_millis(50)).await;
        });
        world.node("b", || async {
            let _bound = Endpoint::bind("0.0.0.0:90").await.unwrap();
            std::future::pending::<()>().await;
        });
    });
    let scene = Scene::of(outcome.trace.as_ref().unwrap());
    assert!(
        matches!(
            scene.messages[..],
            [squall_reports::scene::Message { fate: Fate::Lost { reason: LossReason::NoListener, .. }, .. }]
        ),
        "{:?}",
        scene.messages
    );
}
