//! The scenarios find what they are there to find, and repeat themselves.

use squall::Simulation;
use squall::scenario::Scenario;
use squall::trace::{EventKind, Plan, Record, Seed, StrategyChoice, Verdict};
use squall_scenarios::programs;

fn load(file: &str, set: &[&str]) -> Scenario {
    let path = format!("{}/{file}", env!("CARGO_MANIFEST_DIR"));
    let set: Vec<String> = set.iter().map(ToString::to_string).collect();
    Scenario::load(path, &programs(), &set).unwrap_or_else(|error| panic!("{}", error.lines()))
}

fn plans(scenario: &Scenario, seeds: std::ops::Range<u64>) -> (Simulation, Vec<Plan>) {
    let plans = seeds.map(|seed| scenario.plan(Seed(seed), StrategyChoice::default()));
    (scenario.simulation(), plans.collect())
}

#[test]
fn a_lost_answer_pays_twice() {
    let scenario = load("payments.toml", &[]);
    assert_eq!(scenario.expect(), Some("paid-once"));
    let (simulation, plans) = plans(&scenario, 0..200);
    let mut failed = 0;
    for plan in &plans {
        let outcome = simulation.run_plan(plan, Record::Digest);
        assert_eq!(simulation.run_plan(plan, Record::Digest).digest, outcome.digest, "seed {}", plan.seed);
        match &outcome.verdict {
            Verdict::Pass => {}
            Verdict::Fail(failure) => {
                assert_eq!(failure.property, "paid-once", "seed {}: {}", plan.seed, failure.message);
                assert!(failure.message.contains("debited twice"), "{}", failure.message);
                failed += 1;
            }
            Verdict::Unknown { message } => panic!("seed {}: {message}", plan.seed),
        }
    }
    assert!((5..100).contains(&failed), "{failed} of 200 seeds failed");
}

#[test]
fn idempotency_keys_repair_it() {
    let scenario = load("payments_repaired.toml", &[]);
    assert_eq!(scenario.expect(), None);
    let (simulation, plans) = plans(&scenario, scenario.seeds().start()..scenario.seeds().end());
    for plan in &plans {
        let outcome = simulation.run_plan(plan, Record::Digest);
        assert_eq!(outcome.verdict, Verdict::Pass, "seed {}", plan.seed);
    }
    for plan in &plans[..200] {
        let digests = [(); 2].map(|()| simulation.run_plan(plan, Record::Digest).digest);
        assert_eq!(digests[0], digests[1], "seed {}", plan.seed);
    }
}

/// A lock that isn't given back stops everybody for ever, and the heal shows it; the other gets over all that is lost.
#[test]
fn a_lock_that_is_given_back_in_vain_stops_all_progress() {
    let forgetful = load("lock.toml", &[]);
    assert_eq!(forgetful.expect(), Some("progress"));
    let (simulation, of_forgetful) = plans(&forgetful, 0..500);
    let mut failed = 0;
    for plan in &of_forgetful {
        let outcome = simulation.run_plan(plan, Record::Perturbations);
        let Verdict::Fail(failure) = &outcome.verdict else {
            assert_eq!(outcome.verdict, Verdict::Pass, "seed {}", plan.seed);
            continue;
        };
        assert_eq!((&*failure.property, failure.at_ns), ("progress", 10_000_000_000), "seed {}", plan.seed);
        // Each who waits asks again after 50 ms and an answer: 61 ms in calm weather.
        assert!(failure.message.contains("the run's state comes back every 61 ms"), "{}", failure.message);
        failed += 1;
    }
    assert!((5..100).contains(&failed), "{failed} of 500 seeds failed");
    // A lost answer does no harm, a lost request does; none of it goes wrong without the heal's bound.
    let unbounded = load("lock.toml", &["heal={ at = \"5s\" }", "expect=livelock"]);
    let (unbounded, _) = plans(&unbounded, 0..1);
    let fails = |plan: &&Plan| simulation.run_plan(plan, Record::Digest).verdict != Verdict::Pass;
    let failing = of_forgetful.iter().find(fails).unwrap();
    assert!(matches!(unbounded.run_plan(failing, Record::Digest).verdict, Verdict::Unknown { .. }));
    let repaired = load("lock_repaired.toml", &[]);
    let (simulation, of_repaired) = plans(&repaired, repaired.seeds().start()..repaired.seeds().end());
    for plan in &of_repaired {
        assert_eq!(simulation.run_plan(plan, Record::Digest).verdict, Verdict::Pass, "seed {}", plan.seed);
    }
}

/// The one finds stale reads and nothing else, the other none.
#[test]
fn copies_that_are_behind_are_no_linearizable_store() {
    let behind = load("kv.toml", &[]);
    assert_eq!(behind.expect(), Some("linearizable"));
    let (simulation, of_behind) = plans(&behind, 0..200);
    let verdicts: Vec<Verdict> =
        of_behind.iter().map(|plan| simulation.run_plan(plan, Record::Digest).verdict).collect();
    let failed = verdicts.iter().filter(|verdict| verdict.property() == Some("linearizable")).count();
    assert!((5..100).contains(&failed), "{failed} of 200 seeds failed");
    assert!(verdicts.iter().all(|verdict| *verdict == Verdict::Pass || verdict.property() == Some("linearizable")));
    let repaired = load("kv_repaired.toml", &[]);
    assert_eq!(repaired.expect(), None);
    let (simulation, of_repaired) = plans(&repaired, repaired.seeds().start()..repaired.seeds().end());
    for plan in &of_repaired {
        let outcome = simulation.run_plan(plan, Record::Digest);
        assert_eq!(outcome.verdict, Verdict::Pass, "seed {}", plan.seed);
    }
    // Its clients do what they are judged by: with two keys all is recorded, with lost answers among it.
    let outcome = simulation.run_plan(&of_repaired[0], Record::Full);
    let events =
        squall::check::property::of_trace(&outcome.trace.expect("everything was recorded")).expect("a history");
    assert!(events.len() >= 30, "{}", events.len());
}

#[test]
fn a_bank_that_hears_nothing_leaves_the_property_open() {
    let scenario = load("payments.toml", &["network.loss=100%", "end.at=5s"]);
    let (simulation, plans) = plans(&scenario, 0..1);
    let outcome = simulation.run_plan(&plans[0], Record::Digest);
    assert!(matches!(outcome.verdict, Verdict::Unknown { .. }), "{:?}", outcome.verdict);
}

#[test]
fn a_request_and_its_answer_are_logged_step_by_step() {
    let scenario = load("request_response.toml", &["args.questions=1"]);
    let outcome = scenario.simulation().run_plan(&scenario.plan(Seed(7), StrategyChoice::default()), Record::Full);
    assert_eq!(outcome.verdict, Verdict::Pass);
    let trace = outcome.trace.expect("everything was recorded");
    let lines: Vec<(String, u64, String)> = trace
        .events
        .iter()
        .filter_map(|event| match &event.kind {
            EventKind::Log { message, .. } => {
                Some((trace.names.node(event.node).into_owned(), event.at_ns, message.to_string()))
            }
            _ => None,
        })
        .collect();
    let words: Vec<(&str, &str)> =
        lines.iter().map(|(node, _, message)| (node.as_str(), message.split(' ').next().unwrap_or(""))).collect();
    assert_eq!(
        words,
        [("client-0", "asking"), ("server", "received"), ("server", "answering"), ("client-0", "answered")]
    );
    // The network takes 1 to 10 ms each way, the server 20.
    let [asked, received, answering, answered] = [0, 1, 2, 3].map(|line: usize| lines[line].1);
    assert!((1_000_000..=10_000_000).contains(&(received - asked)));
    assert_eq!(answering - received, 20_000_000);
    assert!((1_000_000..=10_000_000).contains(&(answered - answering)));
}

#[test]
fn settings_given_again_make_the_same_runs() {
    let scenario = load("payments.toml", &["network.latency={ lognormal = { median = \"2ms\", p99 = \"90ms\" } }"]);
    let plan = scenario.plan(Seed(3), StrategyChoice::default());
    let set: Vec<String> = plan.parameters.iter().map(|(key, value)| format!("{key}={value}")).collect();
    let again = load("payments.toml", &set.iter().map(String::as_str).collect::<Vec<_>>());
    let digest = |scenario: &Scenario| scenario.simulation().run_plan(&plan, Record::Digest).digest;
    assert_eq!(digest(&scenario), digest(&again));
    assert_ne!(digest(&scenario), digest(&load("payments.toml", &[])));
}
