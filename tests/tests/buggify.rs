//! What programs do rarely where they ask, and knobs that are turned: how often, where, and that it is a decision like any other.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use squall::prelude::*;
use squall::time::sleep;
use squall::trace::plan::Bases;
use squall::trace::{
    Base, EventKind, Outcome, Perturbation, Plan, Ratio, Record, Seed, SiteKind, StrategyChoice, Verdict,
};
use squall::{Buggify, Simulation, World, buggify, knob, publish};
use squall_campaign::shrink::{Minimal, Runs, shrink};
use squall_tests::facts;

fn plan(seed: u64) -> Plan {
    Plan { strategy: StrategyChoice::Fifo, ..Plan::seeded("test", Seed(seed)) }
}

fn run(seed: u64, record: Record, build: impl Fn(&mut World) + Send + Sync + 'static) -> Outcome {
    Simulation::new(build).run_plan(&plan(seed), record)
}

fn of_kind(outcome: &Outcome, kind: SiteKind) -> Vec<&Perturbation> {
    outcome.perturbations.iter().filter(|one| one.site.kind == kind).collect()
}

/// Two nodes ask a hundred times each at three places, one millisecond after the other, and publish each that is true.
fn asking(world: &mut World) {
    for name in ["one", "other"] {
        world.client(name, || async {
            for number in 0..100u32 {
                if buggify!("first") {
                    publish("first", number);
                }
                if buggify!("second") {
                    publish("second", number);
                }
                if buggify!("seldom", percent(5)) {
                    publish("seldom", number);
                }
                sleep(1.ms()).await;
            }
        });
    }
}

/// How many of the runs have a place enabled, and of how many times it is true there.
fn rates(runs: u64, set: impl Fn(&mut Buggify) + Copy + Send + Sync + 'static) -> BTreeMap<&'static str, (f64, f64)> {
    let mut rates = BTreeMap::new();
    for seed in 0..runs {
        let outcome = run(seed, Record::Full, move |world| {
            asking(world);
            set(world.buggify());
        });
        for place in ["first", "second", "seldom"] {
            let times = facts(&outcome, place).len();
            let (enabled, of) = rates.entry(place).or_insert((0.0, 0.0));
            if times > 0 {
                (*enabled, *of) = (*enabled + 1.0, *of + times as f64);
            }
        }
    }
    rates
        .into_iter()
        .map(|(place, (enabled, times))| (place, (enabled / runs as f64, times / enabled / 200.0)))
        .collect()
}

/// Within four standard deviations: a quarter of the runs, and a quarter of the times there, unless a place or the world says something else.
#[test]
fn places_are_enabled_and_true_as_often_as_is_said() {
    let near = |found: f64, share: f64, of: f64| (found - share).abs() < 4.0 * (share * (1.0 - share) / of).sqrt();
    let usual = rates(400, |_| {});
    for (place, share) in [("first", 0.25), ("second", 0.25), ("seldom", 0.05)] {
        let (enabled, times) = usual[place];
        assert!(near(enabled, 0.25, 400.0) && near(times, share, 80.0 * 200.0), "{place}: {enabled}, {times}");
    }
    let other = rates(200, |buggify| {
        buggify.enabled(percent(60)).share(Ratio::new(1, 100));
    });
    for (place, share) in [("first", 0.01), ("second", 0.01), ("seldom", 0.05)] {
        let (enabled, times) = other[place];
        // Of an enabled place that is never true nothing is seen: 13 % of them at a share of 1 %.
        let seen = 1.0 - f64::powi(1.0 - share, 200);
        assert!(
            near(enabled, 0.6 * seen, 200.0) && near(times * seen, share, 120.0 * 200.0),
            "{place}: {enabled}, {times}"
        );
    }
    let always = rates(3, |buggify| {
        buggify.enabled(Ratio::ONE).share(Ratio::ONE);
    });
    assert_eq!((always["first"], always["second"]), ((1.0, 1.0), (1.0, 1.0)));
}

/// Both nodes do, in runs where a place is enabled at all, and each place is by itself.
#[test]
fn a_place_is_enabled_for_all_nodes_and_places_are_by_themselves() {
    let mut combinations = BTreeMap::new();
    for seed in 0..200 {
        let outcome = run(seed, Record::Full, asking);
        let nodes_of = |place: &str| {
            let is_its = |one: &&&Perturbation| one.sentence(&outcome.names).contains(&format!("{place:?}"));
            let names: BTreeSet<String> = of_kind(&outcome, SiteKind::Buggify)
                .iter()
                .filter(is_its)
                .map(|one| outcome.names.node(outcome.names.flows[&one.site.flow].from).to_string())
                .collect();
            names.len()
        };
        let (first, second) = (nodes_of("first"), nodes_of("second"));
        assert!([0, 2].contains(&first) && [0, 2].contains(&second), "seed {seed}: {first}, {second}");
        *combinations.entry((first > 0, second > 0)).or_insert(0) += 1;
    }
    // A sixteenth, three sixteenths twice, and nine: 12.5, 37.5, 37.5 and 112.5 of 200, within four standard deviations.
    for (which, expected) in
        [((true, true), 12.5), ((true, false), 37.5), ((false, true), 37.5), ((false, false), 112.5)]
    {
        let found = f64::from(combinations[&which]);
        assert!((found - expected).abs() < 4.0 * f64::sqrt(expected), "{which:?}: {found}");
    }
}

/// Where nothing is enabled, what asks is as what doesn't.
#[test]
fn without_it_nothing_is_otherwise() {
    assert!(!buggify!("first"), "outside of a run");
    assert!(!buggify!() && !buggify!("first", Ratio::ONE), "outside of a run");
    let switched_off = |world: &mut World| {
        asking(world);
        world.buggify().off();
    };
    let mut with = 0;
    for seed in 0..20 {
        let off = run(seed, Record::Full, switched_off);
        assert_eq!((&off.verdict, off.perturbations.len()), (&Verdict::Pass, 0));
        let calm = Plan { bases: Bases::drawn().with(SiteKind::Buggify, Base::Calm), ..plan(seed) };
        assert_eq!(Simulation::new(asking).run_plan(&calm, Record::Digest).digest, off.digest);
        with += usize::from(run(seed, Record::Digest, asking).digest != off.digest);
    }
    assert!((5..20).contains(&with), "{with}");
    // The description is of no node.
    let described = run(1, Record::Digest, |world| {
        assert!(!buggify!("described", Ratio::ONE));
        assert_eq!(knob!("described", 1, [2]), 1);
        world.buggify().enabled(Ratio::ONE).knobs(Ratio::ONE);
        world.client("client", || async {});
    });
    assert_eq!(described.verdict, Verdict::Pass);
}

/// Said in words, where it happened; and it is the same run when it is said by its perturbations alone.
#[test]
fn each_time_is_a_decision_with_an_address() {
    let build = |world: &mut World| {
        asking(world);
        world.fault(crash("one").at(20_500.us()).restart_after(1.ms()));
        world.buggify().enabled(Ratio::ONE);
    };
    let simulation = Simulation::new(build);
    let outcome = simulation.run_plan(&plan(3), Record::Full);
    let said: Vec<String> =
        of_kind(&outcome, SiteKind::Buggify).iter().map(|one| one.sentence(&outcome.names)).collect();
    assert!(
        said.iter().any(|said| said.starts_with("buggify \"first\" in one (time ") && said.ends_with(" is true")),
        "{said:#?}"
    );
    assert!(said.iter().any(|said| said.starts_with("buggify \"second\" in one#1 (time ")), "{said:#?}");
    let is_said = |event: &squall::trace::OwnedEvent| matches!(&event.kind, EventKind::Fault { what, .. } if what == "buggify \"first\" is true");
    let events = &outcome.trace.as_ref().unwrap().events;
    let of_first = said.iter().filter(|said| said.starts_with("buggify \"first\"")).count();
    assert_eq!(events.iter().filter(|event| is_said(event)).count(), of_first);
    let alone = simulation.run_plan(&plan(3).only(&outcome.perturbations), Record::Full);
    assert_eq!((alone.digest, alone.unused_overrides), (outcome.digest, vec![]));
    // One alone: exactly that.
    let chosen = *of_kind(&outcome, SiteKind::Buggify)[7];
    let one = simulation.run_plan(&plan(3).only(&[chosen]), Record::Full);
    assert_eq!((one.perturbations, one.unused_overrides), (vec![chosen], vec![]));
}

#[test]
fn once_the_storm_is_over_nothing_rare_is_done() {
    let outcome = run(1, Record::Full, |world| {
        asking(world);
        world.buggify().enabled(Ratio::ONE).share(Ratio::ONE);
        world.client("late", || async {
            sleep(60.ms()).await;
            publish("knob", knob!("read late", 1, [2]));
        });
        world.buggify().knobs(Ratio::ONE);
        world.heal(50.ms());
    });
    let last = of_kind(&outcome, SiteKind::Buggify).iter().map(|one| one.at_ns).max();
    // What comes at the instant of the heal comes before it or after it.
    assert!((49_000_000..=50_000_000).contains(&last.unwrap()), "{last:?}");
    assert_eq!(facts(&outcome, "knob"), ["1"]);
}

/// A program reads its knobs on two nodes, one of which starts again.
fn turning(world: &mut World) {
    for name in ["one", "other"] {
        world.client(name, || async {
            let list: u32 = knob!("list", 64, [16, 4, 1]);
            let range = knob!("range", Duration::from_millis(5), Duration::from_millis(1)..=Duration::from_millis(10));
            publish("list", list);
            publish("range", range.as_nanos() as u64);
            publish("flag", knob!("flag", true, [false]));
            sleep(10.ms()).await;
        });
    }
    world.fault(crash("one").at(5.ms()).restart_after(1.ms()));
}

/// One value in a run, on all nodes and in all boots; in a quarter of the runs it isn't the default, and then each other one is as likely.
#[test]
fn a_knob_is_turned_in_a_quarter_of_the_runs() {
    let (mut lists, mut ranges, runs) = (BTreeMap::new(), Vec::new(), 1_000u32);
    for seed in 0..u64::from(runs) {
        let outcome = run(seed, Record::Full, turning);
        for topic in ["list", "range", "flag"] {
            let values = facts(&outcome, topic);
            assert!(values.len() == 3 && values.iter().all(|value| *value == values[0]), "{topic}: {values:?}");
        }
        *lists.entry(facts(&outcome, "list")[0].parse::<u32>().unwrap()).or_insert(0) += 1;
        ranges.push(facts(&outcome, "range")[0].parse::<u64>().unwrap());
        let turned = of_kind(&outcome, SiteKind::Knob).len();
        let others = u32::from(facts(&outcome, "list")[0] != "64") + u32::from(ranges[seed as usize] != 5_000_000);
        assert_eq!(turned as u32, others + u32::from(facts(&outcome, "flag")[0] == "false"));
    }
    let near = |found: u32, share: f64| {
        let (runs, deviation) = (f64::from(runs), (f64::from(runs) * share * (1.0 - share)).sqrt());
        assert!((f64::from(found) - runs * share).abs() < 4.0 * deviation, "{found} of {runs}, not {share}");
    };
    assert_eq!(lists.keys().copied().collect::<Vec<_>>(), [1, 4, 16, 64]);
    near(lists[&64], 0.75);
    [1, 4, 16].into_iter().for_each(|value| near(lists[&value], 0.25 / 3.0));
    // Uniform from 1 to 10 ms: 4 of 9 are below the default.
    ranges.retain(|range| *range != 5_000_000);
    near(ranges.len() as u32, 0.25);
    near(ranges.iter().filter(|range| **range < 5_000_000).count() as u32, 0.25 * 4.0 / 9.0);
    assert!(ranges.iter().all(|range| (1_000_000..=10_000_000).contains(range)));
}

#[test]
fn a_knob_has_its_default_where_nobody_turns_it() {
    assert_eq!(knob!("nowhere", 7u8, [1, 2]), 7, "outside of a run");
    for seed in 0..20 {
        let outcome = run(seed, Record::Full, |world| {
            turning(world);
            world.buggify().knobs(Ratio::ZERO);
        });
        assert_eq!(facts(&outcome, "list"), ["64"; 3]);
        assert_eq!(of_kind(&outcome, SiteKind::Knob), Vec::<&Perturbation>::new());
    }
}

#[test]
fn a_world_fixes_a_knob() {
    let outcome = run(1, Record::Full, |world| {
        turning(world);
        world.buggify().knobs(Ratio::ONE);
        // None of its alternatives.
        world.knob("list", 1_000);
        world.knob("range", 5.secs());
    });
    assert_eq!(
        (facts(&outcome, "list"), facts(&outcome, "range")),
        (vec!["1000".to_string(); 3], vec!["5000000000".to_string(); 3])
    );
    assert_eq!(of_kind(&outcome, SiteKind::Knob).len(), 1, "the flag");
    assert_eq!(facts(&outcome, "flag"), ["false"; 3]);
}

/// A value for a knob that nothing reads does nothing, of whatever type it is: that is told.
#[test]
fn a_value_for_a_knob_that_nothing_reads_is_told() {
    let told = |is_read: bool| {
        let outcome = run(1, Record::Digest, move |world| {
            world.client("client", move || async move {
                if is_read {
                    assert_eq!(knob!("seldom", 1, [2]), 2);
                }
            });
            match is_read {
                true => world.knob("seldom", 2),
                false => world.knob("seldom", 1.ms()),
            }
        });
        outcome.unreached_faults.iter().map(|told| format!("{}: {}", told.fault, told.why)).collect::<Vec<_>>()
    };
    assert_eq!(told(true), [""; 0]);
    assert_eq!(told(false), ["the knob \"seldom\" at 1 ms: nothing read it"]);
}

/// What can't be is told, whether it is seen before the run or when the knob is read.
#[test]
fn a_knob_that_cannot_be_is_refused() {
    let refused = |fix: fn(&mut World)| {
        let build = move |world: &mut World| {
            turning(world);
            fix(world);
        };
        let panic = std::panic::catch_unwind(|| Simulation::new(build).run_plan(&plan(1), Record::Digest));
        panic.expect_err("refused").downcast_ref::<String>().cloned().expect("a text")
    };
    for (fix, expected) in [
        ((|world| world.knob("lisp", 1)) as fn(&mut World), "there is no knob \"lisp\"; there are"),
        (|world| world.knob("list", true), "can't be true: expected a whole number from 0 to 4294967295"),
        (|world| world.knob("list", -1), "can't be -1: expected a whole number"),
        (|world| world.knob("range", 5), "can't be 5: expected a duration"),
        (|world| world.knob("flag", 1.secs()), "can't be 1 s: expected true or false"),
    ] {
        let text = refused(fix);
        assert!(text.contains(expected), "{text}\n{expected}");
    }
    let panics = |read: fn()| {
        let outcome = run(1, Record::Digest, move |world| {
            world.client("client", move || async move { read() });
        });
        outcome.verdict.message().expect("it fails").to_string()
    };
    let outside = panics(|| _ = knob!("outside", 11, 1..=10));
    assert!(outside.contains("its default, 11, isn't in its range, from 1 to 10"), "{outside}");
    let twice = panics(|| {
        let _ = (knob!("twice", 1, [2]), knob!("twice", 1, [2, 3]));
    });
    let values = |count: u32, last: u32| {
        format!("{count} values, of which the default is 1, that of this run 1 and the last {last},")
    };
    assert!(twice.contains(&format!("has {} here and {} elsewhere", values(3, 3), values(2, 2))), "{twice}");
    // As many of another type, or other ones.
    let twice = panics(|| {
        let _ = (knob!("twice", 1, [2]), knob!("twice", true, [false]));
    });
    assert!(twice.contains("the default is true"), "{twice}");
    let twice = panics(|| {
        let _ = (knob!("twice", 1, [2]), knob!("twice", 1, [3]));
    });
    assert!(twice.contains("the last 3, here"), "{twice}");
}

/// A bug that needs a small buffer comes back as that knob alone, with the value that is nearest to the default.
#[test]
fn a_knob_is_put_back_as_far_as_can_be() {
    fn small_buffers(world: &mut World) {
        turning(world);
        world.client("reader", || async {
            let (list, range) = (knob!("list", 64u32, [16, 4, 1]), knob!("window", 500u32, 1..=1_000));
            publish("read", (list, range));
        });
        world.check(always("large-enough", ()).on("read", |(), (list, window): (u32, u32)| {
            ensure!(list >= 16, "a list of {list}");
            ensure!(window <= 800, "a window of {window}");
            Ok(())
        }));
    }
    let simulation = Simulation::new(small_buffers);
    let mut said = BTreeSet::new();
    for seed in 0..300 {
        let outcome = simulation.run_plan(&plan(seed), Record::Digest);
        if outcome.verdict.property().is_none() {
            continue;
        }
        let shrunk = shrink(&simulation, &plan(seed), &mut Runs(1_000)).unwrap();
        assert_eq!(shrunk.minimal, Minimal::Pairs);
        let sentences = shrunk.perturbations().iter().map(|one| one.sentence(shrunk.names()));
        said.insert(sentences.collect::<Vec<String>>().join("; "));
    }
    let is_window = |said: &String| {
        let value = said.strip_prefix("the knob \"window\" is ").and_then(|rest| rest.strip_suffix(" (default 500)"));
        // Bisected to one part in 64 of its distance.
        value.is_some_and(|value| (801..=806).contains(&value.parse::<u32>().unwrap()))
    };
    assert!(said.remove("the knob \"list\" is 4 (default 64)"), "{said:#?}");
    assert!(!said.is_empty() && said.iter().all(is_window), "{said:#?}");
}

/// An event says which value it is, once.
#[test]
fn a_turned_knob_is_seen() {
    let outcome = run(1, Record::Full, |world| {
        turning(world);
        world.buggify().knobs(Ratio::ONE);
    });
    let events = &outcome.trace.as_ref().unwrap().events;
    let said = |event: &squall::trace::OwnedEvent| match &event.kind {
        EventKind::Fault { what, .. } => Some(what.to_string()),
        _ => None,
    };
    let said: Vec<String> = events.iter().filter_map(said).filter(|what| what.contains("flag")).collect();
    assert_eq!(said, ["the knob \"flag\" is false (default true)"]);
}
