//! Properties over published facts: what holds, what breaks them, and what leaves them open.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use squall::prelude::*;
use squall::trace::{EventKind, EventMask, Outcome, Plan, Record, Seed, Verdict};
use squall::{Simulation, publish, time::sleep};

fn run(build: impl Fn(&mut World) + Send + Sync + 'static) -> Outcome {
    Simulation::new(build).run_plan(&Plan::seeded("properties", Seed(1)), Record::Full)
}

fn broken(build: impl Fn(&mut World) + Send + Sync + 'static) -> (String, String) {
    match run(build).verdict {
        Verdict::Fail(failure) => (failure.property, failure.message),
        other => panic!("it was to break: {other:?}"),
    }
}

#[derive(Serialize, Deserialize)]
struct Leader {
    term: u64,
    node: String,
}

fn one_leader_a_term() -> impl squall::trace::Property {
    always("one leader a term", BTreeMap::new()).on("leader", |leaders, leader: Leader| {
        let first = leaders.entry(leader.term).or_insert_with(|| leader.node.clone());
        ensure!(*first == leader.node, "{first} and {} both lead term {}", leader.node, leader.term);
        Ok(())
    })
}

fn leaders(world: &mut World, terms: [u64; 3]) {
    for (index, term) in terms.into_iter().enumerate() {
        world.client(format!("store-{index}"), move || async move {
            sleep((index as u64 + 1).ms()).await;
            publish("leader", Leader { term, node: squall::node_name() });
        });
    }
    world.check(one_leader_a_term());
}

#[test]
fn an_invariant_holds_or_breaks_at_the_fact_that_breaks_it() {
    assert_eq!(run(|world| leaders(world, [1, 2, 3])).verdict, Verdict::Pass);
    let outcome = run(|world| leaders(world, [1, 2, 1]));
    let Verdict::Fail(failure) = outcome.verdict else { panic!("{:?}", outcome.verdict) };
    assert_eq!(failure.property, "one leader a term");
    assert_eq!(failure.message, "store-0 and store-2 both lead term 1");
    assert_eq!(failure.at_ns, 3_000_000);
    assert_eq!(outcome.names.node(failure.node.expect("on a node")), "store-2");
}

#[test]
fn state_starts_afresh_with_each_run() {
    let simulation = Simulation::new(|world: &mut World| leaders(world, [1, 2, 3]));
    for seed in 0..5 {
        let outcome = simulation.run_plan(&Plan::seeded("properties", Seed(seed)), Record::Digest);
        assert_eq!(outcome.verdict, Verdict::Pass);
    }
}

#[test]
fn what_heard_nothing_is_unknown() {
    let outcome = run(|world| {
        world.client("store", || async { publish("leadre", 1) });
        world.check(one_leader_a_term());
    });
    let Verdict::Unknown { message } = outcome.verdict else { panic!("{:?}", outcome.verdict) };
    assert!(message.contains("one leader a term: nothing was heard of \"leader\""), "{message}");

    let outcome = run(|world| {
        world.client("store", || async {});
        world.check(always("empty", ()));
    });
    let Verdict::Unknown { message } = outcome.verdict else { panic!("{:?}", outcome.verdict) };
    assert!(message.contains("empty: it listens to nothing"), "{message}");
}

#[test]
fn a_fact_of_another_type_breaks_the_property() {
    let (property, message) = broken(|world| {
        world.client("store", || async { publish("leader", "store-0") });
        world.check(one_leader_a_term());
    });
    assert_eq!(property, "one leader a term");
    assert!(message.contains("a fact about \"leader\" can't be read as property::Leader"), "{message}");
    assert!(message.contains("what was published is \"store-0\""), "{message}");
}

#[derive(Default)]
struct Accounts {
    credited: u64,
    debited: u64,
}

fn money_is_conserved() -> impl squall::trace::Property {
    always("money is conserved", Accounts::default())
        .on("debited", |accounts: &mut Accounts, cents: u64| {
            accounts.debited += cents;
            Ok(())
        })
        .on("credited", |accounts, cents: u64| {
            accounts.credited += cents;
            ensure!(accounts.credited <= accounts.debited, "{cents} cents came from nowhere");
            Ok(())
        })
        .at_end(|accounts| {
            let lost = accounts.debited - accounts.credited;
            ensure!(lost == 0, "{lost} cents were lost");
            Ok(())
        })
}

fn transfers(facts: &'static [(&'static str, u64)]) -> impl Fn(&mut World) + Send + Sync + 'static {
    move |world| {
        world.client("bank", move || async move { facts.iter().for_each(|(topic, cents)| publish(topic, cents)) });
        world.check(money_is_conserved());
    }
}

#[test]
fn topics_share_a_state_and_the_end_has_a_last_look() {
    assert_eq!(run(transfers(&[("debited", 5), ("credited", 5)])).verdict, Verdict::Pass);
    assert_eq!(broken(transfers(&[("debited", 5), ("credited", 6)])).1, "6 cents came from nowhere");
    assert_eq!(broken(transfers(&[("debited", 5), ("credited", 3)])).1, "2 cents were lost");
}

#[test]
fn the_last_look_alone_judges_too_and_before_silence_does() {
    let outcome = run(|world| {
        world.client("client", || async {});
        world.check(always("trivial", ()).at_end(|()| Ok(())));
    });
    assert_eq!(outcome.verdict, Verdict::Pass);
    let (_, message) = broken(|world| {
        world.client("client", || async {});
        world.check(always("someone pays", ()).on("paid", |(), _: u64| Ok(())).at_end(|()| Err("nobody".to_string())));
    });
    assert_eq!(message, "nobody");
}

#[test]
fn an_assertion_in_a_property_breaks_it() {
    let (property, message) = broken(|world| {
        world.client("client", || async { publish("answer", 41) });
        world.check(always("the answer", ()).on("answer", |(), answer: u64| {
            assert_eq!(answer, 42, "it is known");
            Ok(())
        }));
    });
    assert_eq!(property, "the answer");
    assert!(message.contains("it is known"), "{message}");
}

#[test]
fn time_and_place_of_a_fact_are_there_for_who_asks() {
    let (_, message) = broken(|world| {
        world.client("client", || async {
            sleep(7.ms()).await;
            publish("late", ());
        });
        world.check(always("nothing is late", ()).on_with_event("late", |(), (), event| {
            ensure!(event.at_ns < 5_000_000, "node {} at {} ns", event.node.0, event.at_ns);
            Ok(())
        }));
    });
    assert_eq!(message, "node 0 at 7000000 ns");
}

#[test]
fn other_events_can_be_judged() {
    let (_, message) = broken(|world| {
        world.node("store", std::future::pending::<()>);
        world.client("client", || sleep(10.ms()));
        world.fault(crash("store").at(5.ms()));
        world.check(always("no crash", ()).on_events(EventMask::FAULTS, |(), event| {
            ensure!(event.kind != EventKind::Crash, "a crash");
            Ok(())
        }));
    });
    assert_eq!(message, "a crash");
}

/// A client that says something at each of these milliseconds, and a property about it.
fn saying(said: &'static [(u64, &'static str)], property: fn() -> squall::property::Eventually) -> Outcome {
    run(move |world| {
        world.client("client", move || async move {
            for (at_ms, what) in said {
                squall::time::sleep_until(squall::time::Instant::now() + Duration::from_millis(*at_ms)).await;
                publish("said", what);
            }
        });
        world.check(property());
    })
}

fn answer_within_10_ms() -> squall::property::Eventually {
    let is = |wanted: &'static str| move |said: String| said == wanted;
    eventually("answered", 10.ms()).after("said", is("question")).on("said", is("answer"))
}

/// What comes at the bound is in time, and a nanosecond later it isn't; before the bound nobody knows.
#[test]
fn what_is_to_come_comes_within_its_bound() {
    let come_at = |at_ns: u64, end_ns: u64| {
        run(move |world| {
            world.client("client", move || async move {
                sleep(Duration::from_nanos(at_ns)).await;
                publish("leader", 1);
                sleep(Duration::from_nanos(end_ns.saturating_sub(at_ns))).await;
            });
            world.check(eventually("a leader is there", 10.ms()).on("leader", |term: u64| term == 1));
        })
        .verdict
    };
    assert_eq!(come_at(10_000_000, 0), Verdict::Pass);
    let Verdict::Fail(failure) = come_at(10_000_001, 0) else { panic!("it is late") };
    assert_eq!((&*failure.property, &*failure.message), ("a leader is there", "it hasn't come within 10 ms"));
    assert_eq!(failure.at_ns, 10_000_001);
    let silent_until = |end_ns: u64| {
        run(move |world| {
            world.client("client", move || async move {
                publish("leader", 2);
                sleep(Duration::from_nanos(end_ns)).await;
            });
            world.check(eventually("a leader is there", 10.ms()).on("leader", |term: u64| term == 1));
        })
        .verdict
    };
    assert_eq!(silent_until(10_000_000).property(), Some("a leader is there"));
    let Verdict::Unknown { message } = silent_until(9_999_999) else { panic!("nobody knows") };
    assert!(message.contains("the run ended at 9.999999 ms, before 10 ms"), "{message}");
}

/// Each that asks is answered, counted from the first that waits.
#[test]
fn what_is_asked_for_comes_each_time() {
    let verdict = |said| saying(said, answer_within_10_ms).verdict;
    let passes: [&[(u64, &str)]; 4] = [
        &[(1, "question"), (10, "answer")],
        &[(50, "question"), (10, "answer"), (500, "question"), (10, "answer")],
        &[(50, "question"), (5, "question"), (5, "answer")],
        &[(50, "answer"), (5, "question"), (5, "answer"), (500, "noise")],
    ];
    for said in passes {
        assert_eq!(verdict(said), Verdict::Pass, "{said:?}");
    }
    let fails: [(&[(u64, &str)], &str); 4] = [
        (&[(1, "question"), (11, "answer")], "asked for at 1 ms, it hasn't come within 10 ms"),
        (&[(1, "question"), (2, "answer"), (2, "question"), (30, "answer")], "asked for at 5 ms"),
        // The second doesn't put the first off.
        (&[(1, "question"), (6, "question"), (6, "answer")], "asked for at 1 ms"),
        (&[(1, "question"), (100, "noise")], "asked for at 1 ms"),
    ];
    for (said, expected) in fails {
        let Verdict::Fail(failure) = verdict(said) else { panic!("{said:?}") };
        assert!(failure.message.contains(expected), "{said:?}: {}", failure.message);
    }
    let unknown: [(&[(u64, &str)], &str); 3] = [
        (&[(1, "question"), (2, "noise")], "the run ended at 3 ms, before 11 ms"),
        // It came, and nobody had asked.
        (&[(1, "noise"), (2, "answer")], "nothing asked for it up to the end at 3 ms"),
        (&[(1, "noise")], "nothing asked for it up to the end at 1 ms"),
    ];
    for (said, expected) in unknown {
        let Verdict::Unknown { message } = verdict(said) else { panic!("{said:?}") };
        assert!(message.contains(expected), "{said:?}: {message}");
    }
    let nothing = || eventually("nothing", 10.ms());
    let Verdict::Unknown { message } = saying(&[(100, "noise")], nothing).verdict else {
        panic!("it waits for nothing")
    };
    assert!(message.contains("give it `on`"), "{message}");
    // A fact of another type breaks it, and so does a panic.
    let typed = || eventually("typed", 10.ms()).on("said", |_: u64| true);
    assert!(saying(&[(1, "noise")], typed).verdict.message().is_some_and(|said| said.contains("can't be read as u64")));
    let panics = || eventually("panics", 10.ms()).on("said", |_: String| panic!("boo"));
    assert!(saying(&[(1, "noise")], panics).verdict.message().is_some_and(|said| said.contains("panicked: boo")));
}

#[test]
fn a_name_is_one_propertys() {
    let refused = |build: fn(&mut World)| {
        let outcome = Simulation::new(build).try_run_plan(&Plan::seeded("properties", Seed(1)), Record::Digest);
        outcome.expect_err("it can't be").to_string()
    };
    let twice = refused(|world| {
        world.check(always("one leader", ()).on("leader", |(), _: u64| Ok(())));
        world.check(eventually("one leader", 1.secs()).on("leader", |_: u64| true));
    });
    assert!(twice.contains("there are two properties named \"one leader\""), "{twice}");
    let goal_too = refused(|world| {
        world.check(sometimes("one leader").on("leader", |_: u64| true));
        world.check(always("one leader", ()).on("leader", |(), _: u64| Ok(())));
    });
    assert!(goal_too.contains("there are two properties named \"one leader\""), "{goal_too}");
    let built_in = refused(|world| world.check(always("progress", ()).on("leader", |(), _: u64| Ok(()))));
    assert!(built_in.contains("every run has a property named \"progress\" of its own"), "{built_in}");
    // What is to come may be said more than once.
    let goals = run(|world| {
        world.client("client", || async { publish("leader", 1) });
        world.check(sometimes("one leader").on("leader", |_: u64| true));
        world.check(sometimes("one leader").on("leader", |_: u64| true));
    });
    assert_eq!(goals.verdict, Verdict::Pass);
    assert_eq!((goals.goals.len(), goals.goals[0].times), (1, 2));
}
