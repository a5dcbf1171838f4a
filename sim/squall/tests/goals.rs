//! Goals: what is to come in some run of many.

use std::time::Duration;

use squall::prelude::*;
use squall::scenario::{NoArgs, Program, Scenario};
use squall::testing::{Exploration, Problem};
use squall::trace::{EventMask, Outcome, Plan, Record, Seed, Verdict};
use squall::{Simulation, World};

/// Marks of one program, and below it of another.
mod outer {
    pub fn never_called() {
        squall::reachable!("outer is reached");
    }

    pub mod inner {
        pub fn never_called() {
            squall::reachable!("inner is reached");
        }
    }

    /// Its path begins with another module's, and it isn't below it.
    pub mod inner_too {
        pub fn never_called() {
            squall::reachable!("outer is reached, elsewhere");
        }
    }
}

fn drawn_word() -> u64 {
    rand_core::Rng::next_u64(&mut squall::rand::rng())
}

/// Comes by "even" twice a run, by "large" where a number is drawn that is.
fn drawing(world: &mut World) {
    world.client("client", || async {
        for number in [1, 2, 3, 4] {
            squall::sometimes!(number % 2 == 0, "even");
        }
        let drawn = drawn_word() % 100;
        squall::publish("drawn", drawn);
        squall::sometimes!(drawn >= 50, "large");
    });
}

fn outcome(world: fn(&mut World), seed: u64) -> Outcome {
    Simulation::new(world).run_plan(&Plan::seeded("test", Seed(seed)), Record::Full)
}

fn told(outcome: &Outcome) -> Vec<(&str, u64)> {
    outcome.goals.iter().map(|reached| (&*reached.goal, reached.times)).collect()
}

#[test]
fn a_run_tells_how_often_it_came_by_what() {
    let mut large = 0;
    for seed in 0..50 {
        let outcome = outcome(drawing, seed);
        match told(&outcome)[..] {
            [("even", 2)] => {}
            [("even", 2), ("large", 1)] => large += 1,
            ref other => panic!("{other:?}"),
        }
    }
    assert!((10..40).contains(&large), "{large} of 50");
}

#[test]
fn marks_leave_a_run_as_it_is() {
    fn plain(world: &mut World) {
        world.client("client", || async {
            let drawn = drawn_word() % 100;
            squall::publish("drawn", drawn);
        });
    }
    for seed in 0..20 {
        let (marked, plain) = (outcome(drawing, seed), outcome(plain, seed));
        assert_eq!((marked.digest, marked.log_digest), (plain.digest, plain.log_digest));
        assert_eq!(marked.ending.events, plain.ending.events);
    }
}

#[test]
fn what_is_no_run_comes_by_nothing() {
    squall::reachable!("out of any run");
    fn ended(world: &mut World) {
        struct Reaches;
        impl Drop for Reaches {
            fn drop(&mut self) {
                squall::reachable!("in a destructor at the end");
            }
        }
        world.node("server", || async {
            let _reaches = Reaches;
            std::future::pending::<()>().await;
        });
        world.client("client", || async {});
    }
    assert_eq!(told(&outcome(ended, 1)), []);
}

#[test]
fn a_goal_of_the_world_counts_facts_and_events_and_marks() {
    fn world(world: &mut World) {
        drawing(world);
        world.check(sometimes("a number").on("drawn", |_: u64| true).on("drawn", |_: u64| true));
        world.check(sometimes("no number").on("drawn", |drawn: u64| drawn > 1_000));
        world.check(sometimes("an event").on_events(EventMask::PUBLISH, |_| true));
        // By its name alone, it is what the marks of that name are.
        world.check(sometimes("even"));
        world.check(sometimes("nowhere marked"));
    }
    let outcome = outcome(world, 1);
    let known: Vec<_> = told(&outcome).into_iter().filter(|(goal, _)| *goal != "large").collect();
    // Once an event, of several that say so.
    assert_eq!(known, [("a number", 1), ("no number", 0), ("an event", 1), ("even", 2), ("nowhere marked", 0)]);
    assert_eq!(outcome.verdict, Verdict::Pass, "of one run nothing is claimed");
}

#[test]
fn a_fact_of_another_type_breaks_a_goal() {
    fn world(world: &mut World) {
        drawing(world);
        world.check(sometimes("a word").on("drawn", |_: String| true));
    }
    assert_eq!(outcome(world, 1).verdict.property(), Some("a word"));
}

/// Ends after 10 ms, and is late with one seed in so many.
fn late_in(seeds: u64) -> impl Fn(&mut World) + Send + Sync + 'static {
    move |world| {
        world.client("client", move || async move {
            squall::time::sleep(Duration::from_millis(10)).await;
            let late = drawn_word().is_multiple_of(seeds);
            squall::publish("late", late);
        });
        world.check(sometimes("it is late").on("late", |late: bool| late));
    }
}

#[test]
fn a_test_fails_if_a_goal_of_its_world_is_never_reached() {
    assert_eq!(Exploration::new().seeds(0..200).find(late_in(10)).unwrap(), 200);
    let finding = Exploration::new().seeds(0..200).find(late_in(u64::MAX)).unwrap_err();
    assert!(matches!(&finding.problem, Problem::NotReached(goals) if *goals == ["it is late"]), "{finding}");
    assert_eq!(finding.passed, 200);
    let message = finding.to_string();
    assert!(message.contains("0..200") && message.contains("\n  it is late\n"), "{message}");
    // The first seed that reaches it: just enough, and one fewer.
    let first = (0..).find(|seed| {
        let outcome = Simulation::new(late_in(10)).run_plan(&Plan::seeded("x", Seed(*seed)), Record::Digest);
        outcome.goals[0].times > 0
    });
    let first = first.unwrap();
    assert!(first >= 2, "seed {first}: too early to tell");
    assert!(Exploration::new().seeds(0..first).find(late_in(10)).is_err());
    assert!(Exploration::new().seeds(0..first + 1).find(late_in(10)).is_ok());
    // One run isn't many.
    assert!(Exploration::new().seeds(0..1).find(late_in(u64::MAX)).is_ok());
}

#[test]
fn a_property_test_fails_if_a_goal_of_its_world_is_never_reached() {
    let checked = |large: u64| {
        std::panic::catch_unwind(move || {
            squall::proptest::check(0..100u64, move |world, input| {
                let input = *input;
                world.client("client", move || async move { squall::publish("input", input) });
                world.check(sometimes("a large input").on("input", move |input: u64| input >= large));
            });
        })
    };
    assert!(checked(50).is_ok());
    let panic = checked(100).unwrap_err();
    let message = panic.downcast_ref::<String>().unwrap();
    assert!(message.contains("256 cases") && message.contains("  a large input\n"), "{message}");
}

fn idle(world: &mut World, _: &NoArgs) {
    world.client("client", || async {});
    world.check(sometimes("of the world").on("nothing", |_: u64| true));
}

fn programs() -> Vec<Program> {
    vec![
        Program::new("plain", "Has no module", idle),
        Program::new("outer", "Has one", idle).in_module(concat!(module_path!(), "::outer")),
        Program::new("inner", "Has one in it", idle).in_module(concat!(module_path!(), "::outer::inner")),
    ]
}

fn goals(text: &str) -> Result<Vec<String>, String> {
    let scenario = Scenario::from_text("goals.toml", text, &programs(), &[]);
    scenario.map(|scenario| scenario.goals().to_vec()).map_err(|error| error.to_string())
}

#[test]
fn a_scenario_has_the_goals_of_its_own_module_and_those_of_nobodys() {
    let without = |text: &str, left_out: &[&str]| {
        let goals = goals(text).unwrap();
        assert_eq!(goals[0], "of the world");
        for goal in left_out {
            assert!(!goals.iter().any(|known| known == goal), "{goals:?}");
        }
        // Marks outside of any program's module, of whatever test.
        assert!(goals.iter().any(|known| known == "even"), "{goals:?}");
        goals
    };
    without("program = \"plain\"", &["outer is reached", "inner is reached", "outer is reached, elsewhere"]);
    let outer = without("program = \"outer\"", &["inner is reached"]);
    assert!(outer.iter().any(|goal| goal == "outer is reached"), "{outer:?}");
    assert!(outer.iter().any(|goal| goal == "outer is reached, elsewhere"), "{outer:?}");
    let inner = without("program = \"inner\"", &["outer is reached", "outer is reached, elsewhere"]);
    assert!(inner.iter().any(|goal| goal == "inner is reached"), "{inner:?}");
}

#[test]
fn a_scenario_file_leaves_goals_out() {
    let file = |unreached: &str| format!("program = \"outer\"\n[check]\nunreached = {unreached}\n");
    let left = goals(&file("[\"outer is *\", \"of the world\"]")).unwrap();
    assert!(!left.iter().any(|goal| goal.starts_with("outer") || goal == "of the world"), "{left:?}");
    assert_eq!(goals(&file("\"*\"")).unwrap(), [""; 0]);
    for (wrong, said) in [
        ("[\"outer is reach\"]", "`check.unreached`: \"outer is reach\" is no goal that is left"),
        ("[\"inner is reached\"]", "is no goal that is left"),
        ("[\"*\", \"even\"]", "there are none"),
        ("3", "names of goals"),
    ] {
        let error = goals(&file(wrong)).unwrap_err();
        assert!(error.contains(said), "{wrong}: {error}");
    }
}

#[test]
fn what_is_never_called_is_known() {
    outer::never_called();
    outer::inner::never_called();
    outer::inner_too::never_called();
}
