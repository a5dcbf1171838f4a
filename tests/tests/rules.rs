//! Rules on messages: which messages they find, what becomes of those, and that they leave all others alone.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use squall::net::Endpoint;
use squall::prelude::*;
use squall::time::{Instant, sleep_until, timeout};
use squall::trace::plan::Bases;
use squall::trace::{
    EndReason, EventKind, LossReason, Outcome, Plan, Ratio, Record, Seed, SiteKind, StrategyChoice, Verdict,
};
use squall::{Simulation, World, publish, rule};
use squall_tests::facts;

/// By seed 1, fully recorded, and in the order in which things become ready.
fn run(build: impl Fn(&mut World) + Send + Sync + 'static) -> Outcome {
    let plan = Plan { strategy: StrategyChoice::Fifo, ..Plan::seeded("test", Seed(1)) };
    Simulation::new(build).run_plan(&plan, Record::Full)
}

/// `a` sends `b` a datagram of one byte, its number, each millisecond from 0 to 9 ms, under tag 1 or 2 in turn, which takes 2 ms; who publishes what
/// came, and when: in milliseconds.
fn talk(more: impl Fn(&mut World) + Send + Sync + 'static) -> (Vec<[u64; 2]>, Outcome) {
    let outcome = run(move |world| {
        world.client("a", || async {
            let endpoint = Endpoint::bind("0.0.0.0:80").await.unwrap();
            let start = Instant::now();
            for number in 0..10u8 {
                sleep_until(start + u64::from(number).ms()).await;
                endpoint.send_to("b:90", 1 + u64::from(number % 2), &[number]).await.unwrap();
            }
        });
        world.client("b", || async {
            let endpoint = Endpoint::bind("0.0.0.0:90").await.unwrap();
            let start = Instant::now();
            let hears = |tag: u64| {
                let endpoint = endpoint.clone();
                async move {
                    let mut buffer = [0; 1];
                    while let Ok(received) = timeout(60.ms(), endpoint.recv_from(tag, &mut buffer)).await {
                        received.unwrap();
                        publish("came", (buffer[0], start.elapsed().as_millis() as u64));
                    }
                }
            };
            futures::join!(hears(1), hears(2));
        });
        world.network().latency(Latency::fixed(2.ms()));
        more(world);
    });
    assert_eq!((&outcome.verdict, &outcome.ending.reason), (&Verdict::Pass, &EndReason::ClientsReturned));
    let parse = |fact: &String| serde_json::from_str(fact).unwrap();
    (facts(&outcome, "came").iter().map(parse).collect(), outcome)
}

/// All of them in time, but for what is said of some.
fn in_time_but(others: &[(u64, &[u64])]) -> Vec<[u64; 2]> {
    let times = |number: u64| match others.iter().find(|(other, _)| *other == number) {
        Some((_, times)) => times.to_vec(),
        None => vec![number + 2],
    };
    let mut all: Vec<[u64; 2]> =
        (0..10).flat_map(|number| times(number).into_iter().map(move |at| [number, at])).collect();
    all.sort_by_key(|[number, at]| (*at, *number));
    all
}

fn came(rules: impl Fn(&mut World) + Send + Sync + 'static) -> Vec<[u64; 2]> {
    let (mut came, _) = talk(rules);
    came.sort_by_key(|[number, at]| (*at, *number));
    came
}

#[test]
fn each_verdict_does_what_it_says() {
    assert_eq!(came(|_| {}), in_time_but(&[]));
    let third = |rule: Rule| came(move |world| world.rule(rule.clone().skip(2).times(1)));
    assert_eq!(third(rule::pass("a", "b")), in_time_but(&[]));
    assert_eq!(third(rule::drop("a", "b")), in_time_but(&[(2, &[])]));
    assert_eq!(third(rule::deliver_after("a", "b", 9.ms())), in_time_but(&[(2, &[11])]));
    assert_eq!(third(rule::deliver_after("a", "b", Duration::ZERO)), in_time_but(&[(2, &[2])]));
    assert_eq!(third(rule::duplicate("a", "b", 20.ms())), in_time_but(&[(2, &[4, 22])]));
    // At its sender until 8 ms; what would come later than that comes as late as it would.
    assert_eq!(third(rule::hold("a", "b").lasts(8.ms())), in_time_but(&[(2, &[8])]));
    assert_eq!(third(rule::hold("a", "b").lasts(3.ms())), in_time_but(&[(2, &[4])]));
    // A flipped bit: another number came in place of the 2, in time.
    let came = third(rule::corrupt("a", "b"));
    let changed: Vec<[u64; 2]> = came.iter().copied().filter(|came| !in_time_but(&[]).contains(came)).collect();
    assert_eq!((came.len(), changed.len(), changed[0][1]), (10, 1, 4));
    assert_eq!((changed[0][0] ^ 2).count_ones(), 1);
}

#[test]
fn a_rule_finds_the_messages_that_it_is_for() {
    let lost = |rule: Rule| {
        let came = came(move |world| world.rule(rule.clone()));
        (0..10).filter(|number| !came.iter().any(|[other, _]| other == number)).collect::<Vec<u64>>()
    };
    let all: Vec<u64> = (0..10).collect();
    assert_eq!(lost(rule::drop("a", "b")), all);
    assert_eq!(lost(rule::drop("*", "b")), all);
    assert_eq!(lost(rule::drop("b", "a")), [0u64; 0]);
    assert_eq!(lost(rule::drop("b", "a").both_ways()), all);
    assert_eq!(lost(rule::drop("a", "b").tag(2)), [1, 3, 5, 7, 9]);
    assert_eq!(lost(rule::drop("a", "b").to_port(90)), all);
    assert_eq!(lost(rule::drop("a", "b").to_port(80)), [0u64; 0]);
    assert_eq!(lost(rule::drop("a", "b").datagrams()), all);
    assert_eq!(lost(rule::drop("a", "b").calls()), [0u64; 0]);
    assert_eq!(lost(rule::drop("a", "b").answers()), [0u64; 0]);
    // At its first instant, and not at that of its end.
    assert_eq!(lost(rule::drop("a", "b").at(3.ms()).lasts(2.ms())), [3, 4]);
    assert_eq!(lost(rule::drop("a", "b").at(7.ms())), [7, 8, 9]);
    assert_eq!(lost(rule::drop("a", "b").matching(|message| message.bytes()[0] > 6)), [7, 8, 9]);
    let asks_all = |message: &rule::Message<'_>| {
        (message.from(), message.to(), message.to_port()) == ("a", "b", 90)
            && (message.tag(), message.method(), message.is_call(), message.is_answer())
                == (Some(1), None, false, false)
            && message.decode::<u8>() == Some(message.bytes()[0])
    };
    assert_eq!(lost(rule::drop("a", "b").matching(asks_all)), [0, 2, 4, 6, 8]);
    // What it leaves out and how many it takes is counted among those that fit.
    assert_eq!(lost(rule::drop("a", "b").tag(2).skip(1).times(2)), [3, 5]);
    assert_eq!(lost(rule::drop("a", "b").skip(9).times(5)), [9]);
    assert_eq!(lost(rule::drop("a", "b").skip(10)), [0u64; 0]);
}

/// The first rule that does something decides, and one that lets pass is one.
#[test]
fn of_several_rules_the_first_decides() {
    let came_by = came(|world| {
        world.rule(rule::pass("a", "b").matching(|message| message.bytes()[0] == 4));
        world.rule(rule::deliver_after("a", "b", 7.ms()).at(2.ms()).lasts(3.ms()));
        world.rule(rule::drop("a", "b").at(4.ms()));
    });
    let gone = [5, 6, 7, 8, 9].map(|number| (number, &[][..]));
    assert_eq!(came_by, in_time_but(&[&[(2, &[9][..]), (3, &[10])], &gone[..]].concat()));
}

/// What a rule says isn't the weather's to say any more; the rest is.
#[test]
fn rules_come_before_the_weather() {
    let losing = |rule: Option<Rule>| {
        came(move |world| {
            world.network().loss(Ratio::ONE).duplicate(Ratio::ONE).corruption(Ratio::ONE);
            if let Some(rule) = rule.clone() {
                world.rule(rule);
            }
        })
    };
    // Each is lost, and its copy comes, with its bits as they were.
    assert_eq!(losing(None), in_time_but(&[]));
    assert_eq!(losing(Some(rule::pass("a", "b"))), in_time_but(&[]));
    let twice: Vec<(u64, Vec<u64>)> = (0..10).map(|number| (number, vec![number + 2, number + 3])).collect();
    let twice: Vec<(u64, &[u64])> = twice.iter().map(|(number, times)| (*number, &times[..])).collect();
    // Not lost, so both come; the message itself with a flipped bit.
    let delivered = losing(Some(rule::deliver_after("a", "b", 3.ms())));
    assert_eq!(delivered.len(), 20);
    assert!(in_time_but(&[]).iter().all(|copy| delivered.contains(copy)), "{delivered:?}");
    assert!(delivered.iter().any(|came| !in_time_but(&twice).contains(came)), "{delivered:?}");
    assert_eq!(losing(Some(rule::drop("a", "b"))), [[0u64; 2]; 0]);
    // The copy comes when the rule says, the message doesn't.
    let late: Vec<[u64; 2]> = (0..10).map(|number| [number, number + 5]).collect();
    assert_eq!(losing(Some(rule::duplicate("a", "b", 5.ms()))), late);
    // What is lost isn't held, and a copy doesn't go by the rule.
    assert_eq!(losing(Some(rule::hold("a", "b").lasts(30.ms()))), [[0u64; 2]; 0]);
}

/// Partitions and holds come on top; the heal ends what a rule does; what it holds for good is under way at the end.
#[test]
fn rules_meet_faults_and_the_heal() {
    let (came_by, outcome) = talk(|world| {
        world.rule(rule::pass("a", "b"));
        world.fault(partition([["a"], ["b"]]).at(2_500.us()).lasts(3.ms()));
    });
    // On arrival at 3, 4, 5 ms and when sent at 3, 4 and 5 ms.
    assert_eq!(came_by, in_time_but(&[(1, &[]), (2, &[]), (3, &[]), (4, &[]), (5, &[])]));
    assert_eq!(outcome.messages.lost, 5);
    let held = came(|world| {
        world.rule(rule::hold("a", "b").lasts(100.ms()).times(3));
        world.rule(rule::drop("a", "b").at(3.ms()));
        world.heal(5_500.us());
    });
    assert_eq!(held, in_time_but(&[(0, &[5]), (1, &[5]), (2, &[5]), (3, &[]), (4, &[]), (5, &[])]));
    let (came_by, outcome) = talk(|world| world.rule(rule::hold("a", "b").skip(1).times(2)));
    assert_eq!(came_by, in_time_but(&[(1, &[]), (2, &[])]));
    assert_eq!((outcome.messages.lost, outcome.messages.in_flight), (0, 2));
}

#[derive(Debug, PartialEq, Serialize, Deserialize, squall::Request)]
#[rtype(u64)]
struct Put(u64);

#[derive(Debug, Serialize, Deserialize, squall::Request)]
#[rtype(u64)]
struct Get(u64);

/// Three clients put 1, 2, 3 and get; who publishes what failed.
fn store(rule: Option<Rule>) -> Vec<String> {
    let outcome = run(move |world| {
        world.node("store", || async {
            let endpoint = Endpoint::bind("0.0.0.0:80").await.unwrap();
            endpoint.add_rpc_handler(|Put(value)| async move { value + 10 });
            endpoint.add_rpc_handler(|Get(value)| async move { value });
            std::future::pending::<()>().await;
        });
        world.clients("client", 3, |index| async move {
            let endpoint = Endpoint::bind("0.0.0.0:0").await.unwrap();
            squall::time::sleep(1.ms()).await;
            let value = u64::from(index) + 1;
            if endpoint.call_timeout("store:80", Put(value), 20.ms()).await.is_err() {
                publish("failed", format!("put {value}"));
            }
            if endpoint.call_timeout("store:80", Get(value), 20.ms()).await.is_err() {
                publish("failed", format!("get {value}"));
            }
        });
        if let Some(rule) = rule.clone() {
            world.rule(rule);
        }
    });
    let mut failed = facts(&outcome, "failed");
    failed.sort();
    failed
}

#[test]
fn calls_and_answers_are_found_by_their_method_and_by_what_is_in_them() {
    assert_eq!(store(None), [""; 0]);
    let puts = ["\"put 1\"", "\"put 2\"", "\"put 3\""];
    assert_eq!(store(Some(rule::drop("*", "store").method("Put"))), puts);
    assert_eq!(store(Some(rule::drop("store", "*").method("P*"))), puts);
    assert_eq!(store(Some(rule::drop("store", "*").method("rules::Put"))), puts);
    assert_eq!(store(Some(rule::drop("store", "*").method("ut"))), [""; 0]);
    assert_eq!(store(Some(rule::drop("store", "*").method("Put").calls())), [""; 0]);
    assert_eq!(store(Some(rule::drop("store", "client-1").method("Put").answers())), ["\"put 2\""]);
    let by_name = |message: &rule::Message<'_>| message.method() == Some("Get") && message.is_call();
    assert_eq!(store(Some(rule::drop("*", "store").matching(by_name).skip(2))).len(), 1);
    let second = |message: &rule::Message<'_>| message.call::<Put>() == Some(Put(2));
    assert_eq!(store(Some(rule::drop("*", "*").matching(second))), ["\"put 2\""]);
    let answered = |message: &rule::Message<'_>| message.answer::<Put>() == Some(13);
    assert_eq!(store(Some(rule::drop("*", "*").matching(answered))), ["\"put 3\""]);
    // An answer isn't a call, and neither is of another method.
    let none = |message: &rule::Message<'_>| message.call::<Get>().is_some() && message.answer::<Get>().is_some();
    assert_eq!(store(Some(rule::drop("*", "*").matching(none))), [""; 0]);
}

/// Without names too, as campaigns run: the method is known all the same.
#[test]
fn methods_are_known_where_nothing_is_recorded() {
    let world = |world: &mut World| {
        world.node("store", || async {
            let endpoint = Endpoint::bind("0.0.0.0:80").await.unwrap();
            endpoint.add_rpc_handler(|Put(value)| async move { value });
            std::future::pending::<()>().await;
        });
        world.client("client", || async {
            let endpoint = Endpoint::bind("0.0.0.0:0").await.unwrap();
            squall::time::sleep(1.ms()).await;
            endpoint.call_timeout("store:80", Put(1), 20.ms()).await.expect("an answer");
        });
        world.rule(rule::drop("*", "store").method("Put"));
    };
    for record in [Record::Digest, Record::Perturbations, Record::Full] {
        let outcome = Simulation::new(world).run_plan(&Plan::seeded("test", Seed(1)), record);
        assert_eq!(outcome.verdict.property(), Some("panic"), "{record:?}");
    }
}

/// Each time is a decision with an address that no other rule shifts; said in words, and taken away alone.
#[test]
fn what_a_rule_does_is_a_decision() {
    let rules = |world: &mut World| {
        world.rule(rule::drop("a", "b").tag(2).skip(1).times(2).named("odd ones"));
        world.rule(rule::hold("a", "b").at(8.ms()).lasts(4.ms()));
        world.rule(rule::corrupt("a", "b").times(1));
    };
    let (_, outcome) = talk(rules);
    let ours = |outcome: &Outcome| {
        let all = outcome.perturbations.iter().filter(|one| one.site.kind == SiteKind::Rule);
        all.copied().collect::<Vec<_>>()
    };
    let said: Vec<String> = ours(&outcome).iter().map(|one| one.sentence(&outcome.names)).collect();
    assert_eq!(
        said,
        [
            "datagram 1 from a to b (tag 1) arrives with a bit flipped (a rule)",
            "datagram 2 from a to b (tag 2) is dropped (rule \"odd ones\")",
            "datagram 3 from a to b (tag 2) is dropped (rule \"odd ones\")",
            "datagram 5 from a to b (tag 1) is held (a rule)",
            "datagram 5 from a to b (tag 2) is held (a rule)",
        ]
    );
    let reasons = outcome.trace.as_ref().unwrap().events.iter().filter_map(|event| match event.kind {
        EventKind::Lose { reason, .. } => Some(reason),
        _ => None,
    });
    assert_eq!(reasons.collect::<Vec<_>>(), [LossReason::Rule; 2]);
    // Each alone in calm weather: nothing else happens, and it happens as it did.
    for one in ours(&outcome) {
        let plan = Plan {
            bases: Bases::calm(),
            strategy: StrategyChoice::Fifo,
            overrides: vec![one.to_override()],
            ..Plan::seeded("test", Seed(99))
        };
        let build = move |world: &mut World| {
            world.client("a", || async {
                let endpoint = Endpoint::bind("0.0.0.0:80").await.unwrap();
                let start = Instant::now();
                for number in 0..10u8 {
                    sleep_until(start + u64::from(number).ms()).await;
                    endpoint.send_to("b:90", 1 + u64::from(number % 2), &[number]).await.unwrap();
                }
            });
            world.client("b", || async { squall::time::sleep(50.ms()).await });
            world.network().latency(Latency::fixed(2.ms()));
            rules(world);
        };
        let alone = Simulation::new(build).run_plan(&plan, Record::Full);
        assert_eq!(alone.unused_overrides, []);
        let again: Vec<_> = ours(&alone).into_iter().map(|one| (one.site, one.value, one.fingerprint)).collect();
        assert_eq!(again, [(one.site, one.value, one.fingerprint)]);
    }
}

/// A sweep may begin at no share at all: the rule is there, and does nothing.
#[test]
fn a_rule_for_no_share_does_nothing() {
    let (messages, outcome) = talk(|world| world.rule(rule::drop("a", "b").share(Ratio::ZERO)));
    let (all, without) = talk(|_| {});
    assert_eq!(messages, all);
    assert_eq!((outcome.digest, outcome.perturbations.len()), (without.digest, 0));
    assert!(outcome.unreached_faults.is_empty(), "{:?}", outcome.unreached_faults);
}

/// What is held has no copies that get through, and it is told that it is held, at its sender.
#[test]
fn nothing_gets_through_a_hold() {
    let (messages, outcome) = talk(|world| {
        world.network().duplicate(Ratio::ONE);
        world.rule(rule::hold("a", "b").at(2_500.us()));
    });
    let mut numbers: Vec<u64> = messages.iter().map(|[number, _]| *number).collect();
    numbers.sort_unstable();
    assert_eq!(numbers, [0, 0, 1, 1, 2, 2]);
    let events = &outcome.trace.as_ref().unwrap().events;
    let held: Vec<u64> = events
        .iter()
        .filter(|event| matches!(event.kind, EventKind::Hold { copy: 0, .. }))
        .map(|event| {
            assert_eq!(outcome.names.node(event.node), "a");
            event.at_ns / 1_000_000
        })
        .collect();
    assert_eq!(held, [3, 4, 5, 6, 7, 8, 9]);
}

/// A share is drawn message by message: as many as it says, independent of the weather and of another rule's.
#[test]
fn a_share_of_the_messages_is_drawn() {
    let simulation = Simulation::new(|world: &mut World| {
        world.client("a", || async {
            let endpoint = Endpoint::bind("0.0.0.0:80").await.unwrap();
            for _ in 0..10_000 {
                endpoint.send_to("b:90", 1, &[7]).await.unwrap();
            }
        });
        world.node("b", std::future::pending::<()>);
        world.network().latency(Latency::fixed(2.ms()));
        world.rule(rule::drop("a", "b").share("20%".parse().unwrap()));
        world.rule(rule::duplicate("a", "b", 1.ms()).share("20%".parse().unwrap()));
        world.rule(rule::corrupt("a", "b").share("20%".parse().unwrap()));
    });
    let outcome = simulation.run_plan(&Plan::seeded("test", Seed(3)), Record::Full);
    let (drawn, all) = (&outcome.messages, 10_000.0f64);
    let dropped = outcome
        .trace
        .as_ref()
        .unwrap()
        .events
        .iter()
        .filter(|event| matches!(event.kind, EventKind::Lose { reason: LossReason::Rule, .. }));
    // Each is asked about what those before it have left.
    for (found, share) in [(dropped.count() as u64, 0.2), (drawn.duplicated, 0.16), (drawn.corrupted, 0.128)] {
        let deviation = (all * share * (1.0 - share)).sqrt();
        assert!((found as f64 - all * share).abs() < 4.0 * deviation, "{found} of 10000, where {share} are due");
    }
}

#[test]
fn a_rule_that_finds_nothing_is_told() {
    let (_, outcome) = talk(|world| {
        world.rule(rule::drop("a", "b").tag(9).named("nine"));
        world.rule(rule::drop("b", "a"));
        world.rule(rule::pass("a", "b").skip(9));
        world.rule(rule::pass("a", "b").skip(10));
    });
    let told: Vec<String> = outcome.unreached_faults.iter().map(|one| format!("{}: {}", one.fault, one.why)).collect();
    assert_eq!(
        told,
        [
            "the rule \"nine\" (messages under tag 9 a -> b: each is dropped): no message was one of those",
            "the rule on messages b -> a: each is dropped: no message was one of those",
            "the rule on messages a -> b, without the first 10: each passes: no message was one of those",
        ]
    );
}

/// A predicate that panics is a mistake of the world's, wherever the message comes from and whatever becomes of a node that panics; the next run knows
/// nothing of it.
#[test]
fn a_predicate_that_panics_is_the_world_s_mistake() {
    let simulation = |more: fn(&mut World), predicate: fn(&rule::Message<'_>) -> bool| {
        Simulation::new(move |world: &mut World| {
            world
                .client("a", || async {
                    let endpoint = Endpoint::bind("0.0.0.0:80").await.unwrap();
                    let _ = endpoint.call_timeout("b:90", Put(1), 20.ms()).await;
                    for _ in 0..3 {
                        endpoint.send_to("b:90", 1, &[]).await.unwrap();
                    }
                    // Until all has left.
                    squall::time::sleep(500.ms()).await;
                })
                .on_panic(squall::OnPanic::JoinError);
            world.node("b", std::future::pending::<()>);
            world.rule(rule::drop("*", "*").matching(predicate));
            more(world);
        })
    };
    let says = |simulation: Simulation| {
        let run = std::panic::AssertUnwindSafe(|| simulation.run_plan(&Plan::seeded("test", Seed(1)), Record::Digest));
        let called = std::panic::catch_unwind(run);
        called.expect_err("refused").downcast_ref::<String>().cloned().expect("a text")
    };
    // At once; from a queue; and the empty refusal of a call.
    let narrow = |world: &mut World| {
        world.network().bandwidth_bits_per_second(8_000);
    };
    for more in [|_: &mut World| {}, narrow] {
        let said = says(simulation(more, |message| message.bytes()[0] == 1));
        assert!(said.contains("panicked while it looked at a message: index out of bounds"), "{said}");
        let said = says(simulation(more, |_| {
            publish("asked", ());
            true
        }));
        assert!(said.contains("the rule on messages * -> * that match: each is dropped panicked"), "{said}");
    }
    let said = says(simulation(narrow, |message| !message.is_call() && message.bytes()[0] == 1));
    assert!(said.contains("index out of bounds"), "{said}");
    let outcome =
        simulation(narrow, |message| message.is_call()).run_plan(&Plan::seeded("test", Seed(1)), Record::Digest);
    assert_eq!(outcome.verdict, Verdict::Pass);
}

/// What one rule decides doesn't shift which messages another one means: the second of two is left alone in a minimum that needs the other alone.
#[test]
fn rules_count_messages_whatever_others_do_to_them() {
    let came_by = came(|world| {
        world.rule(rule::drop("a", "b").times(3));
        world.rule(rule::duplicate("a", "b", 20.ms()).skip(3).times(1));
        world.rule(rule::deliver_after("a", "b", 30.ms()).skip(2).times(3));
    });
    // The fourth message is the second rule's, and the fifth the third's; those before are dropped.
    assert_eq!(came_by, in_time_but(&[(0, &[]), (1, &[]), (2, &[]), (3, &[5, 23]), (4, &[34])]));
}

/// What a rule holds is at its sender: if that crashes, it is gone.
#[test]
fn what_is_held_goes_with_its_sender() {
    for (hold, expected) in [(rule::hold("a", "b"), 2), (rule::hold("b", "a"), 0)] {
        let outcome = run(move |world| {
            world.node("a", || async {
                let endpoint = Endpoint::bind("0.0.0.0:80").await.unwrap();
                endpoint.send_to("b:90", 1, &[1]).await.unwrap();
                endpoint.send_to("b:90", 1, &[2]).await.unwrap();
                std::future::pending::<()>().await;
            });
            world.client("b", || async {
                let _endpoint = Endpoint::bind("0.0.0.0:90").await.unwrap();
                squall::time::sleep(60.ms()).await;
            });
            world.rule(hold.clone().lasts(40.ms()));
            world.fault(crash("a").at(20.ms()));
        });
        let gone = outcome
            .trace
            .as_ref()
            .unwrap()
            .events
            .iter()
            .filter(|event| matches!(event.kind, EventKind::Lose { reason: LossReason::SenderDown, .. }));
        assert_eq!((gone.count(), outcome.messages.delivered), (expected, 2 - expected as u64));
    }
}

#[test]
fn impossible_rules_are_refused() {
    let refused = |rule: fn() -> Rule| {
        let build = move |world: &mut World| {
            for name in ["a", "b"] {
                world.node(name, std::future::pending::<()>);
            }
            world.rule(rule::drop("a", "b").named("taken"));
            world.rule(rule::drop("b", "a"));
            world.rule(rule());
        };
        let called = std::panic::catch_unwind(|| {
            Simulation::new(build).run_plan(&Plan::seeded("test", Seed(1)), Record::Digest)
        });
        let panic = called.expect_err("refused");
        let text = panic.downcast_ref::<String>().cloned();
        text.or_else(|| panic.downcast_ref::<&str>().map(ToString::to_string)).expect("a text")
    };
    type Makes = fn() -> Rule;
    let cases: [(Makes, &str); 10] = [
        (|| rule::drop("a", "c"), "names \"c\", but the nodes are a, b"),
        (|| rule::drop("a", "a"), "names one node alone"),
        (|| rule::drop("b", "a"), "there are two rules"),
        (|| rule::hold("a", "b").named("taken"), "there are two rules \"taken\""),
        (|| rule::hold("a", "b").lasts(Duration::ZERO), "lasts no time"),
        (|| rule::drop("a", "b").times(0), "from 1 on"),
        (|| rule::pass("a", "b").share(Ratio::new(1, 2)), "leave out `share`"),
        (|| rule::drop("a", "b").calls().tag(1), "only datagrams have a tag"),
        (|| rule::drop("a", "b").datagrams().method("Put"), "datagrams are of no method"),
        (|| rule::deliver_after("a", "b", Duration::MAX), "at most 2^62 ns"),
    ];
    for (rule, expected) in cases {
        let text = refused(rule);
        assert!(text.contains(expected), "{text}\n{expected}");
    }
}
