//! Planted sources of nondeterminism: each is made deterministic, or caught by the check, or named when it happens.
//!
//! | plant | made deterministic | caught | named |
//! |---|---|---|---|
//! | std's map order, clocks, `getrandom` 0.2 to 0.4, `rand` 0.8 to 0.10, a thread-local | yes | | |
//! | tokio's tasks, timers and blocking threads in a node | yes | | |
//! | faults and escapes from destructors, whatever is recorded | yes | | |
//! | hashbrown's and ahash's default hashers, addresses of the heap, the stack and code | | in a fresh process | |
//! | a static counter, unbiased `select!`, a number of a thread, an earlier end | | after another plan | |
//! | a static that whichever run came first has drawn | | in a fresh process, after another plan | |
//! | the list of environment variables, the number of the process | | in a fresh process | |
//! | a world described by chance, a property with a clock | | in every leg | |
//! | a log line with an effect | | with only the digest kept | |
//! | an environment variable, a file | | in a fresh process | yes, and the run goes on |
//! | the order of a directory | | | yes, and the run goes on |
//! | a foreign wake, a thread, a process, a socket, a look-up, a blocking sleep or wait | | | yes, and the run fails |
#![cfg(all(target_os = "linux", target_env = "gnu"))]

use squall::trace::{NodeId, Verdict};
use squall_tests::determinism::{AFTER_ANOTHER, Checked, DIGEST_ONLY, FRESH, FRESH_AFTER_ANOTHER, check};
use squall_tests::plants::PLANTS;

const HELPER: &str = env!("CARGO_BIN_EXE_plant");

/// What is random: then another seed must bring another value.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Values {
    Random,
    Fixed,
}

fn made_deterministic(name: &str, values: Values) -> Checked {
    let checked = check(HELPER, name);
    assert!(checked.divergences.is_empty(), "{name}: {:?}", checked.divergences);
    assert_eq!(checked.first.verdict, Verdict::Pass, "{name}");
    let (first, other) = (checked.first.published(), checked.other.published());
    assert_eq!(first != other, values == Values::Random, "{name}: {first:?} and, by another seed, {other:?}");
    checked
}

/// Caught in exactly these legs, or at least in these; with the first event that differs, which is that of the plant.
fn caught(name: &str, legs: &[&str], exactly: bool) -> Checked {
    let checked = check(HELPER, name);
    for leg in legs {
        assert!(checked.leg(leg).is_some(), "{name}: no difference {leg}, but {:?}", checked.divergences);
    }
    assert!(!exactly || legs.len() == checked.divergences.len(), "{name}: {:?}", checked.divergences);
    checked
}

/// Of the legs with full records each names the publication as the first event that differs.
fn names_the_publication(name: &str, checked: &Checked) {
    for divergence in checked.divergences.iter().filter(|divergence| divergence.leg != DIGEST_ONLY) {
        let step = divergence.step.unwrap_or_else(|| panic!("{name}: {divergence} without a step"));
        let text = divergence.to_string();
        assert!(text.contains(&format!("event {step} differs")), "{name}: {text}");
        assert_eq!(text.matches("in finder: Publish { topic: \"seen\"").count(), 2, "{name}: {text}");
    }
}

/// Named, with node and task, and let through.
fn named(name: &str, what: &str) -> Checked {
    let checked = check(HELPER, name);
    assert_eq!(checked.first.verdict, Verdict::Pass, "{name}");
    // One plant has a thread that its world's description creates: that is named too, and no failure.
    let of_finder: Vec<&String> =
        checked.first.escapes.iter().filter(|escape| !escape.starts_with("the world's description: ")).collect();
    assert_eq!(of_finder, [&format!("finder: {what}")], "{name}");
    checked
}

/// Named, with node and task, and the run fails.
fn fatal(name: &str, what: &str) {
    let checked = check(HELPER, name);
    // One plant has a thread that its world's description creates: that is named too, and no failure.
    let of_finder: Vec<&String> =
        checked.first.escapes.iter().filter(|escape| !escape.starts_with("the world's description: ")).collect();
    assert_eq!(of_finder, [&format!("finder: {what}")], "{name}");
    let Verdict::Fail(failure) = &checked.first.verdict else { panic!("{name}: {:?}", checked.first.verdict) };
    assert_eq!(failure.property, "hermetic", "{name}");
    assert!(failure.message.starts_with(&format!("finder: {what}")), "{name}: {}", failure.message);
    assert_eq!(failure.node, Some(NodeId(0)), "{name}");
    let names = &checked.first.trace.as_ref().expect("a full record").names;
    assert_eq!(names.task(failure.task.expect("a task")), "finder", "{name}");
    // What is named at a step of the run is even so the same each time.
    assert!(checked.divergences.is_empty(), "{name}: {:?}", checked.divergences);
}

#[test]
fn std_map_order_is_made_deterministic() {
    made_deterministic("std-map-order", Values::Random);
}

#[test]
fn clocks_are_made_deterministic() {
    made_deterministic("wall-clock", Values::Fixed);
    made_deterministic("monotonic-clock", Values::Fixed);
    let measured = made_deterministic("measured-time", Values::Fixed);
    assert_eq!(measured.first.published(), ["0", "0"]);
}

#[test]
fn entropy_is_made_deterministic() {
    for name in ["getrandom-0.2", "getrandom-0.3", "getrandom-0.4", "rand-0.8", "rand-0.9", "rand-0.10"] {
        let checked = made_deterministic(name, Values::Random);
        let [one, other] = &checked.first.published()[..] else { panic!("{name} looks twice") };
        assert_ne!(one, other, "{name}");
    }
}

#[test]
fn a_thread_local_of_an_earlier_run_is_gone() {
    let checked = made_deterministic("thread-local", Values::Fixed);
    assert_eq!(checked.first.published(), ["0", "1"]);
}

#[test]
fn what_destructors_do_is_the_same_whatever_is_recorded() {
    let fault = made_deterministic("fault-from-a-destructor", Values::Fixed);
    let trace = fault.first.trace.as_ref().expect("a full record");
    assert!(format!("{:?}", trace.events).contains("the crash of server by control/"), "{:?}", trace.events);
    let escape = made_deterministic("escape-from-a-destructor", Values::Fixed);
    assert_eq!(escape.first.escapes, ["finder/twin: the environment variable SQUALL_PLANTED was read"]);
}

#[test]
fn default_hashers_of_other_crates_are_caught() {
    for name in ["hashbrown-map-order", "ahash-map-order"] {
        // In the same process they differ by statics that count, in a fresh one by its addresses as well.
        let checked = caught(name, &[AFTER_ANOTHER, DIGEST_ONLY, FRESH, FRESH_AFTER_ANOTHER], true);
        names_the_publication(name, &checked);
    }
}

#[test]
fn addresses_are_caught_in_a_fresh_process() {
    // In the same process the heap's may be equal or not; the others are.
    let checked = caught("heap-address", &[FRESH, FRESH_AFTER_ANOTHER], false);
    names_the_publication("heap-address", &checked);
    let checked = caught("stack-address", &[FRESH, FRESH_AFTER_ANOTHER], false);
    names_the_publication("stack-address", &checked);
    let checked = caught("code-address", &[FRESH, FRESH_AFTER_ANOTHER], true);
    names_the_publication("code-address", &checked);
}

#[test]
fn statics_are_caught_after_another_plan() {
    for name in ["static-counter", "unbiased-select", "unbiased-select-in-tokio", "thread-number"] {
        let checked = caught(name, &[AFTER_ANOTHER, DIGEST_ONLY, FRESH_AFTER_ANOTHER], true);
        names_the_publication(name, &checked);
    }
}

#[test]
fn what_tokio_does_in_a_node_is_made_deterministic() {
    let checked = made_deterministic("tokio-node", Values::Random);
    assert!(checked.first.published().len() >= 4, "{:?}", checked.first.published());
    assert_eq!(checked.first.escapes, Vec::<String>::new());
}

#[test]
fn a_static_that_the_first_run_draws_is_caught_where_another_run_came_first() {
    let checked = caught("static-of-the-first-run", &[FRESH_AFTER_ANOTHER], true);
    names_the_publication("static-of-the-first-run", &checked);
}

#[test]
fn an_earlier_end_is_caught() {
    let checked = caught("early-exit", &[AFTER_ANOTHER, DIGEST_ONLY, FRESH_AFTER_ANOTHER], true);
    let divergence = checked.leg(AFTER_ANOTHER).expect("just asserted");
    let events = checked.first.trace.as_ref().expect("a full record").events.len() as u64;
    let step = divergence.step.expect("the step at which it ended");
    assert!(step <= events, "{divergence}");
    assert!(divergence.what.starts_with(&format!("it ended before event {step}\n")), "{divergence}");
}

#[test]
fn the_environment_is_named_and_caught() {
    let checked = named("environment-variable", "the environment variable SQUALL_PLANTED was read");
    names_the_publication("environment-variable", &checked);
    assert!(checked.leg(FRESH).is_some(), "{:?}", checked.divergences);
    // The whole list is read without a call, so it isn't named.
    let checked = caught("environment-listing", &[FRESH], true);
    names_the_publication("environment-listing", &checked);
    assert!(checked.first.escapes.is_empty());
    let checked = caught("process-number", &[FRESH, FRESH_AFTER_ANOTHER], true);
    names_the_publication("process-number", &checked);
}

#[test]
fn files_and_directories_are_named() {
    named("directory-order", "the directory / was listed");
    let checked = named("real-file", "the file /proc/self/stat was opened");
    names_the_publication("real-file", &checked);
    assert!(checked.leg(FRESH).is_some(), "{:?}", checked.divergences);
}

#[test]
fn what_cant_be_repeated_fails_the_run_by_name() {
    fatal("foreign-wake", "woken from outside of its run, by thread \"worker\"");
    fatal("thread-created", "a thread was created");
    fatal("process-started", "a process was started");
    fatal("real-socket", "a real socket was opened");
    fatal("name-look-up", "the host name localhost was looked up in the real world");
    fatal("blocking-sleep", "a blocking sleep of 20 ms");
    fatal("blocking-receive", "a blocking wait of up to 3 s");
}

#[test]
fn a_log_line_with_an_effect_is_caught() {
    caught("log-with-an-effect", &[DIGEST_ONLY], true);
}

#[test]
fn chance_outside_of_nodes_is_made_deterministic() {
    made_deterministic("drawn-description", Values::Random);
    let checked = check(HELPER, "property-with-a-clock");
    assert!(checked.divergences.is_empty(), "{:?}", checked.divergences);
    let Verdict::Fail(failure) = &checked.first.verdict else { panic!("{:?}", checked.first.verdict) };
    assert_eq!(failure.property, "moody");
}

#[test]
fn every_plant_has_a_test() {
    let source = include_str!("determinism_plants.rs");
    for (name, _) in PLANTS {
        assert!(source.contains(&format!("\"{name}\"")), "{name} is never looked at");
    }
}
