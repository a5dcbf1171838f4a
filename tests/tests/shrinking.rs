//! Failing seeds come back as what causes them: as few perturbations as are known to be needed, and no other ones.

use std::sync::Arc;
use std::time::Duration;

use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use squall::ensure;
use squall::net::Endpoint;
use squall::property::always;
use squall::trace::verdict::Judgement;
use squall::trace::{
    Ending, Event, EventKind, EventMask, Outcome, Plan, Property, Record, Seed, SiteKind, StrategyChoice, Verdict,
};
use squall::{Latency, Simulation, World};
use squall_campaign::explain::explain;
use squall_campaign::failure_file::{FailureFile, Origin};
use squall_campaign::shrink::{Minimal, Runs, Shrunk, shrink};
use squall_tests::bugs::{BUGS, Bug, chatter, pays};
use squall_tests::random_world::{any_world, build};
use squall_tests::storm_bugs::STORM_BUGS;

fn all_bugs() -> impl Iterator<Item = &'static Bug> {
    BUGS.iter().chain(STORM_BUGS)
}

fn failing_seeds(simulation: &Simulation, property: &str, wanted: usize) -> Vec<Plan> {
    let fails = |plan: &Plan| {
        let outcome = simulation.run_plan(plan, Record::Digest);
        let failed = outcome.verdict.property();
        assert!(failed.is_none_or(|failed| failed == property), "{failed:?} in place of {property}");
        failed.is_some()
    };
    (0..4_000).map(|seed| Plan::seeded("bug", Seed(seed))).filter(fails).take(wanted).collect()
}

fn kinds(shrunk: &Shrunk) -> Vec<SiteKind> {
    shrunk.perturbations().iter().map(|perturbation| perturbation.site.kind).collect()
}

fn calm(simulation: &Simulation) -> Outcome {
    simulation.run_plan(&Plan::seeded("bug", Seed(0)).only(&[]), Record::Digest)
}

#[test]
fn every_planted_bug_comes_back_as_its_cause() {
    for Bug { name, build, property, causes } in all_bugs() {
        let simulation = Simulation::new(build);
        // Without operations there may be nothing to judge.
        assert_eq!(calm(&simulation).verdict.property(), None, "{name}: calm weather");
        let plans = failing_seeds(&simulation, property, 12);
        assert!(plans.len() >= 4, "{name}: {} failing seeds", plans.len());
        let mut runs = Vec::new();
        for plan in plans {
            let shrunk = shrink(&simulation, &plan, &mut Runs(100_000)).unwrap();
            let said: Vec<String> = shrunk.perturbations().iter().map(|one| one.sentence(shrunk.names())).collect();
            assert!(causes.contains(&&*kinds(&shrunk)), "{name}, seed {}: {said:#?}", plan.seed);
            assert_eq!(shrunk.minimal, Minimal::Pairs, "{name}, seed {}", plan.seed);
            assert!(shrunk.before > shrunk.perturbations().len(), "{name}: nothing to shrink");
            runs.push((shrunk.before, shrunk.runs));
            // In calm weather but for these, and in no other: each removal passes.
            for index in 0..shrunk.plan.overrides.len() {
                let mut fewer = shrunk.plan.clone();
                fewer.overrides.remove(index);
                assert_ne!(simulation.run_plan(&fewer, Record::Digest).verdict.property(), Some(*property));
            }
        }
        println!("{name}: perturbations at first, and runs: {runs:?}");
    }
}

#[test]
fn the_same_failure_gives_the_same_minimum() {
    for Bug { build, property, .. } in all_bugs() {
        let simulation = Simulation::new(build);
        for plan in failing_seeds(&simulation, property, 2) {
            let shrunk = || shrink(&simulation, &plan, &mut Runs(100_000)).unwrap();
            let (once, again) = (shrunk(), shrunk());
            assert_eq!((once.plan, once.outcome.digest, once.runs), (again.plan, again.outcome.digest, again.runs));
        }
    }
}

#[test]
fn a_shrunk_failure_comes_back_from_its_file_and_says_why() {
    for Bug { name, build, property, .. } in all_bugs() {
        let simulation = Simulation::new(build);
        let plan = failing_seeds(&simulation, property, 1).remove(0);
        let shrunk = shrink(&simulation, &plan, &mut Runs(100_000)).unwrap();
        let file = FailureFile::shrunk(Origin::default(), &shrunk);
        let read = FailureFile::from_text(&file.to_text()).unwrap();
        let outcome = simulation.run_plan(&read.plan(), Record::Digest);
        assert_eq!((outcome.digest, outcome.verdict.property()), (read.digest, Some(*property)), "{name}");
        assert_eq!(outcome.unused_overrides, [], "{name}");

        let explanation = explain(&simulation, &shrunk).unwrap_or_else(|| panic!("{name}: no removal passes"));
        let events = shrunk.outcome.trace.as_ref().unwrap().events.len();
        assert!((1..events).contains(&explanation.events_shared), "{name}: {} of {events}", explanation.events_shared);
        assert_eq!(explanation.passing.verdict.property(), None, "{name}");
    }
}

/// What happens to the first message of an operation is said of that message, though every operation before it is left out.
#[test]
fn an_operation_s_messages_keep_their_addresses() {
    let bug = BUGS.iter().find(|bug| bug.name == "an operation and a loss in it").unwrap();
    let simulation = Simulation::new(bug.build);
    let mut tried = 0;
    for seed in 0..40 {
        let plan = Plan::seeded("bug", Seed(seed));
        let outcome = simulation.run_plan(&plan, Record::Perturbations);
        for loss in outcome.perturbations.iter().filter(|one| one.site.kind == SiteKind::Loss && one.site.number == 1) {
            let Some(number) = outcome.names.flows[&loss.site.flow].operation.filter(|number| *number > 5) else {
                continue;
            };
            let is_it = |said: &str| said.starts_with(&format!("operation {number} ("));
            let operation = outcome.perturbations.iter().find(|one| is_it(&one.sentence(&outcome.names)));
            let alone = plan.only(&[*operation.expect("it happens"), *loss]);
            assert_eq!(
                simulation.run_plan(&alone, Record::Digest).unused_overrides,
                [],
                "seed {seed}, operation {number}"
            );
            tried += 1;
        }
    }
    assert!(tried > 20, "{tried}");
}

/// Values end at their thresholds: what is said is what matters.
#[test]
fn a_late_message_is_just_late_enough() {
    let bug = BUGS.iter().find(|bug| bug.name == "reordered messages").unwrap();
    let simulation = Simulation::new(bug.build);
    for plan in failing_seeds(&simulation, bug.property, 8) {
        let shrunk = shrink(&simulation, &plan, &mut Runs(100_000)).unwrap();
        // Calm is 10.5 ms, and the messages go 8 ms apart: the later one is 8 ms early, or the earlier one late, or both share it.
        let off_ns: u64 = shrunk.perturbations().iter().map(|one| one.value.abs_diff(one.calm)).sum();
        assert!((8_000_000..=8_500_000).contains(&off_ns), "{:?}", shrunk.perturbations());
    }
}

/// The run is ended as soon as the claim about its end is seen to be false, and not before: a message under way isn't lost.
#[test]
fn what_shows_at_the_end_needs_no_late_end() {
    let bug = BUGS.iter().find(|bug| bug.name == "a mirror that misses a message").unwrap();
    let simulation = Simulation::new(bug.build);
    for plan in failing_seeds(&simulation, bug.property, 8) {
        let whole = simulation.run_plan(&plan, Record::Digest);
        assert!(whole.ending.at_ns > 9_000_000_000);
        let shrunk = shrink(&simulation, &plan, &mut Runs(100_000)).unwrap();
        let horizon_ns = shrunk.plan.horizon_ns.expect("an earlier end");
        let lost_ns = shrunk.perturbations()[0].at_ns;
        assert!(horizon_ns < 600_000_000 && horizon_ns > lost_ns, "{horizon_ns}, lost at {lost_ns}");
        assert_eq!(shrunk.outcome.ending.at_ns, horizon_ns);
        // Cut there, no run fails but for its cause.
        let calm = Plan { overrides: Vec::new(), ..shrunk.plan.clone() };
        assert_eq!(simulation.run_plan(&calm, Record::Digest).verdict, Verdict::Pass);
        let text = FailureFile::shrunk(Origin::default(), &shrunk).to_text();
        assert!(text.contains(&format!("horizon_ns = {horizon_ns}")), "{text}");
    }
    // What fails at some event ends there anyway.
    let bug = BUGS.iter().find(|bug| bug.name == "paid twice").unwrap();
    let simulation = Simulation::new(bug.build);
    let plan = failing_seeds(&simulation, bug.property, 1).remove(0);
    assert_eq!(shrink(&simulation, &plan, &mut Runs(100_000)).unwrap().plan.horizon_ns, None);
}

/// Calls that are asked again until they are answered, and then a message that must have come: in calm weather it is sent, and lost, long
/// before.
fn asks_again(world: &mut World) {
    use squall::net::Endpoint;
    use squall::prelude::*;
    world.node("server", || async {
        let endpoint = Endpoint::bind("0.0.0.0:80").await?;
        let mut question = [0; 8];
        while let Ok((_, from)) = endpoint.recv_from(1, &mut question).await {
            endpoint.send_to(from, 2, b"yes").await?;
        }
        Ok::<(), std::io::Error>(())
    });
    world.node("sink", || async {
        let endpoint = Endpoint::bind("0.0.0.0:80").await?;
        while endpoint.recv_from(3, &mut [0; 8]).await.is_ok() {
            squall::publish("came", true);
        }
        Ok::<(), std::io::Error>(())
    });
    world.client("client", || async {
        let endpoint = Endpoint::bind("0.0.0.0:0").await?;
        for _ in 0..20 {
            loop {
                endpoint.send_to("server:80", 1, b"well?").await?;
                let answer = squall::time::timeout(1.secs(), endpoint.recv_from(2, &mut [0; 8])).await;
                if answer.is_ok() {
                    break;
                }
            }
        }
        endpoint.send_to("sink:80", 3, b"all").await?;
        squall::time::sleep(100.ms()).await;
        Ok::<(), std::io::Error>(())
    });
    world.link("client", "server").latency(uniform(1.ms(), 10.ms())).loss(percent(3));
    world.link("client", "sink").latency(uniform(1.ms(), 10.ms())).loss(percent(3));
    let came = always("it-came", false).on("came", |came, now: bool| {
        *came = now;
        Ok(())
    });
    world.check(came.at_end(|came| {
        ensure!(*came, "it never came");
        Ok(())
    }));
}

/// The horizon is that of the calm run with its cause, not of the one that was found; and who shrinks what is shrunk gets it back.
#[test]
fn what_is_shrunk_can_not_be_shrunk_again() {
    let simulation = Simulation::new(asks_again);
    for plan in failing_seeds(&simulation, "it-came", 4) {
        let shrunk = shrink(&simulation, &plan, &mut Runs(100_000)).unwrap();
        let [lost] = shrunk.perturbations() else { panic!("{:?}", shrunk.perturbations()) };
        // Twenty calls of 11 ms, then one message of 5.5 ms.
        assert_eq!(lost.at_ns, 220_000_000);
        let horizon_ns = shrunk.plan.horizon_ns.expect("an earlier end");
        assert!((225_500_000..=240_000_000).contains(&horizon_ns), "{horizon_ns}");
        assert_is_left(&simulation, &shrunk);
    }
    for bug in all_bugs() {
        let simulation = Simulation::new(bug.build);
        for plan in failing_seeds(&simulation, bug.property, 3) {
            assert_is_left(&simulation, &shrink(&simulation, &plan, &mut Runs(100_000)).unwrap());
        }
    }
}

#[track_caller]
fn assert_is_left(simulation: &Simulation, shrunk: &Shrunk) {
    let again = shrink(simulation, &shrunk.plan, &mut Runs(100_000)).unwrap();
    assert_eq!((&again.plan, again.minimal), (&shrunk.plan, shrunk.minimal));
}

/// However long nothing happens before the bug, a few more runs find it: the logarithm of the perturbations.
#[test]
fn the_cost_grows_with_the_logarithm_of_the_perturbations() {
    let cost = |seconds: u64| {
        let simulation = Simulation::new(move |world| {
            chatter(world, 1, Duration::from_secs(seconds));
            pays(world, Duration::from_secs(seconds));
            world.network().latency(squall::Latency::uniform(Duration::from_millis(1), Duration::from_millis(10)));
            world.network().loss(squall::trace::Ratio::new(4, 100));
        });
        let plan = failing_seeds(&simulation, "paid-once", 1).remove(0);
        let shrunk = shrink(&simulation, &plan, &mut Runs(100_000)).unwrap();
        assert_eq!(kinds(&shrunk), [SiteKind::Loss]);
        println!("{seconds:>3} s before the bug: {:>6} perturbations, {:>3} runs", shrunk.before, shrunk.runs);
        (shrunk.before as f64, shrunk.runs as f64)
    };
    let (few, short) = cost(1);
    for seconds in [10, 60] {
        let (many, long) = cost(seconds);
        assert!(many > few * seconds as f64 / 2.0);
        let allowed = short + 2.0 * (many / few).log2() + 2.0;
        assert!(long <= allowed, "{long} runs, at most {allowed}");
    }
}

/// Looking for the nearest run that passes costs a few runs, however many perturbations a cut-off search has left.
#[test]
fn explaining_is_not_longer_than_shrinking() {
    struct Counted<'s>(&'s Simulation, std::cell::Cell<u32>);
    impl squall::trace::Target for Counted<'_> {
        fn run(&self, plan: &Plan, record: Record, observer: &mut dyn squall::trace::Observer) -> Outcome {
            self.1.set(self.1.get() + 1);
            self.0.run(plan, record, observer)
        }

        fn capabilities(&self) -> squall::trace::Capabilities {
            self.0.capabilities()
        }
    }
    let bug = BUGS.iter().find(|bug| bug.name == "stale read after partitions").unwrap();
    let simulation = Simulation::new(bug.build);
    let plan = failing_seeds(&simulation, bug.property, 1).remove(0);
    let cut_short = shrink(&simulation, &plan, &mut Runs(2)).unwrap();
    assert!(cut_short.perturbations().len() > 100);
    let target = Counted(&simulation, std::cell::Cell::new(0));
    let _ = explain(&target, &cut_short);
    assert!(target.1.get() <= 12, "{} runs", target.1.get());
}

/// What many random worlds come down to, comes down to nothing else: losses, copies, long waits (judged at the end) and messages out of order,
/// under each strategy.
#[test]
fn what_random_worlds_come_down_to_stays() {
    let rng = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
    let mut runner = TestRunner::new_with_rng(Config::default(), rng);
    let mut shrunk = [0; 4];
    for world in 0..320 {
        let spec = any_world().new_tree(&mut runner).unwrap().current();
        let kind = world % 4;
        let simulation = Simulation::new(move |world: &mut World| {
            build(&spec, &Arc::default(), world);
            world.check(seldom_thrice(kind));
        });
        let strategies = [StrategyChoice::Random, StrategyChoice::Fifo, StrategyChoice::Pct { depth: 3, steps: 60 }];
        for (seed, strategy) in strategies.into_iter().enumerate() {
            let plan = Plan { strategy, ..Plan::seeded("random", Seed(seed as u64)) };
            if let Ok(shrunk_once) = shrink(&simulation, &plan, &mut Runs(100_000)) {
                assert_is_left(&simulation, &shrunk_once);
                shrunk[kind] += 1;
            }
        }
    }
    assert!(shrunk.iter().all(|&worlds| worlds > 5), "{shrunk:?}");
}

/// Broken by the third time of what `kind` says.
fn seldom_thrice(kind: usize) -> impl Property {
    let judge = move |(times, last): &mut (u32, u64), event: &Event<'_>| {
        let is_one = match (kind, &event.kind) {
            (0, EventKind::Lose { .. }) | (1, EventKind::Duplicate { .. }) => true,
            (2, EventKind::Deliver { .. }) => event.at_ns - std::mem::replace(last, event.at_ns) > 2_000_000,
            (3, EventKind::Deliver { number, .. }) => *number < std::mem::replace(last, *number),
            _ => false,
        };
        *times += u32::from(is_one);
        ensure!(kind == 2 || *times < 3);
        Ok(())
    };
    let at_end = |(times, _): &mut (u32, u64)| {
        ensure!(*times < 3);
        Ok(())
    };
    always("seldom thrice", (0, 0)).on_events(EventMask::MESSAGES, judge).at_end(at_end)
}

/// A message that comes when half of the time is over, and a tenth of the run: how late that is depends on where the run ends.
#[derive(Default)]
struct ComesSoon {
    came_ns: u64,
}

impl Property for ComesSoon {
    fn name(&self) -> &str {
        "comes soon"
    }

    fn interest(&self) -> EventMask {
        EventMask::MESSAGES
    }

    fn on_event(&mut self, event: &Event<'_>) -> Result<(), String> {
        if let EventKind::Deliver { .. } = event.kind {
            self.came_ns = event.at_ns;
        }
        Ok(())
    }

    fn on_end(&mut self, ending: &Ending) -> Judgement {
        match self.came_ns > 50_000_000 + ending.at_ns / 10 {
            true => Judgement::Broken(format!("it came at {} of {}", self.came_ns, ending.at_ns)),
            false => Judgement::Held,
        }
    }
}

/// With an earlier end a milder latency does.
#[test]
fn values_are_brought_to_calm_once_more_when_the_end_is_nearer() {
    let simulation = Simulation::new(|world: &mut World| {
        world.node("server", || async {
            let _endpoint = Endpoint::bind("0.0.0.0:80").await;
            std::future::pending::<()>().await;
        });
        world.client("client", || async {
            let endpoint = Endpoint::bind("0.0.0.0:0").await.unwrap();
            endpoint.send_to("server:80", 1, b"hello").await.unwrap();
        });
        world.network().latency(Latency::uniform(Duration::from_millis(1), Duration::from_millis(90)));
        world.end_at(Duration::from_millis(100));
        world.check(ComesSoon::default());
    });
    for plan in failing_seeds(&simulation, "comes soon", 5) {
        let shrunk = shrink(&simulation, &plan, &mut Runs(1_000)).unwrap();
        let [late] = shrunk.perturbations() else { panic!("{:?}", shrunk.perturbations()) };
        // At the end of the whole run it would be 60 ms; 50 and a tenth of itself are 55.6.
        assert!((55_000_000..58_000_000).contains(&late.value), "{late:?} of {:?}", shrunk.plan.horizon_ns);
        assert_is_left(&simulation, &shrunk);
    }
}
