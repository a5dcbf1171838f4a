//! The heart: nothing random is hidden, and what is fixed meets the very decision that it was recorded for.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use squall::Simulation;
use squall::trace::id::hash_parts;
use squall::trace::{EventKind, Outcome, Perturbation, Plan, Record, Redraw, SiteKind, Verdict};
use squall_tests::random_world::{WorldSpec, any_plan, any_world, build};

/// A runner of its own, so that the cases are the same each time. `SQUALL_TEST_SCALE=20` runs twenty times as many.
fn runner(cases: u32) -> TestRunner {
    let scale = std::env::var("SQUALL_TEST_SCALE").ok().and_then(|text| text.parse::<u32>().ok()).unwrap_or(1);
    let cases = cases * scale;
    let config = Config { cases, failure_persistence: None, max_shrink_iters: 4_000, ..Config::default() };
    TestRunner::new_with_rng(config, TestRng::deterministic_rng(RngAlgorithm::ChaCha))
}

struct Subject {
    simulation: Simulation,
    living: Arc<AtomicI64>,
}

fn subject(spec: &WorldSpec) -> Subject {
    let living = Arc::new(AtomicI64::new(0));
    let (spec, counter) = (spec.clone(), Arc::clone(&living));
    Subject { simulation: Simulation::new(move |world| build(&spec, &counter, world)), living }
}

impl Subject {
    /// One run. Whatever the world does, these must not happen.
    fn run(&self, plan: &Plan, record: Record) -> Result<Outcome, TestCaseError> {
        let outcome = self.simulation.run_plan(plan, record);
        if let Verdict::Fail(failure) = &outcome.verdict {
            prop_assert_eq!(&failure.property, "deadlock", "{}", &failure.message);
        }
        prop_assert_eq!(self.living.load(Ordering::SeqCst), 0, "something outlived its run");
        let counts = outcome.messages;
        prop_assert_eq!(counts.sent + counts.duplicated, counts.delivered + counts.lost + counts.in_flight);
        Ok(outcome)
    }
}

fn sites_are_unique(perturbations: &[Perturbation]) -> Result<(), TestCaseError> {
    let mut seen = BTreeSet::new();
    for perturbation in perturbations {
        prop_assert!(seen.insert(perturbation.site), "two decisions at one site: {perturbation:?}");
    }
    Ok(())
}

#[test]
fn a_run_is_its_perturbations_alone() {
    let perturbed = Cell::new(0usize);
    runner(400)
        .run(&(any_world(), any_plan()), |(spec, plan)| {
            let subject = subject(&spec);
            let first = subject.run(&plan, Record::Full)?;
            sites_are_unique(&first.perturbations)?;
            perturbed.set(perturbed.get() + first.perturbations.len());
            let only = subject.run(&plan.only(&first.perturbations), Record::Full)?;
            if only.digest != first.digest {
                let (a, b) = (first.trace.unwrap().events, only.trace.unwrap().events);
                let at = a.iter().zip(&b).position(|(a, b)| a != b);
                prop_assert!(
                    false,
                    "the runs part at {at:?}: {:?} against {:?}",
                    at.map(|at| &a[at]),
                    at.map(|at| &b[at])
                );
            }
            prop_assert_eq!(&only.unused_overrides, &[]);
            prop_assert_eq!(&only.verdict, &first.verdict);
            prop_assert_eq!(only.log_digest, first.log_digest);
            let (mut a, mut b) = (first.perturbations, only.perturbations);
            a.sort_by_key(|perturbation| perturbation.site);
            b.sort_by_key(|perturbation| perturbation.site);
            prop_assert_eq!(a, b);
            Ok(())
        })
        .unwrap();
    assert!(perturbed.get() > 10_000, "the worlds were too calm to show anything: {} perturbations", perturbed.get());
}

/// Deleting perturbations changes what a program does next, so some of the others meet nothing. This bounds how many.
const UNUSED_AT_MOST: f64 = 0.2;

#[test]
fn a_subset_of_the_perturbations_never_hits_another_message() {
    let (kept, unused) = (Cell::new(0usize), Cell::new(0usize));
    let by_kind = std::cell::RefCell::new(BTreeMap::<String, (usize, usize)>::new());
    runner(300)
        .run(&(any_world(), any_plan(), any::<u64>(), 1u64..10), |(spec, plan, salt, tenths)| {
            let subject = subject(&spec);
            let first = subject.run(&plan, Record::Perturbations)?;
            let subset: Vec<Perturbation> = first
                .perturbations
                .iter()
                .enumerate()
                .filter(|(index, _)| hash_parts(&[&salt.to_le_bytes(), &index.to_le_bytes()]) % 10 < tenths)
                .map(|(_, perturbation)| *perturbation)
                .collect();
            let second = subject.run(&plan.only(&subset), Record::Perturbations)?;
            sites_are_unique(&second.perturbations)?;
            let came: BTreeMap<_, _> =
                second.perturbations.iter().map(|perturbation| (perturbation.site, *perturbation)).collect();
            let unused_sites: BTreeSet<_> = second.unused_overrides.iter().map(|entry| entry.site).collect();
            for wanted in &subset {
                let mut kinds = by_kind.borrow_mut();
                let entry = kinds.entry(format!("{:?}", wanted.site.kind)).or_default();
                entry.0 += 1;
                if unused_sites.contains(&wanted.site) {
                    entry.1 += 1;
                    prop_assert!(!came.contains_key(&wanted.site), "unused, and yet not calm: {wanted:?}");
                    continue;
                }
                let Some(met) = came.get(&wanted.site) else {
                    return Err(TestCaseError::fail(format!("used, but nothing came of it: {wanted:?}")));
                };
                prop_assert_eq!((met.fingerprint, met.value), (wanted.fingerprint, wanted.value));
            }
            prop_assert_eq!(came.len(), subset.len() - unused_sites.len(), "something else isn't calm");
            kept.set(kept.get() + subset.len());
            unused.set(unused.get() + unused_sites.len());
            // A subset is a run like any other: it repeats itself.
            let again = subject.run(&plan.only(&second.perturbations), Record::Digest)?;
            prop_assert_eq!(again.digest, second.digest);
            Ok(())
        })
        .unwrap();
    let share = unused.get() as f64 / kept.get() as f64;
    println!("{} of {} overrides met nothing: {:.1} %", unused.get(), kept.get(), share * 100.0);
    for (kind, (all, unused)) in &*by_kind.borrow() {
        println!("  {kind}: {unused} of {all} ({:.1} %)", *unused as f64 / *all as f64 * 100.0);
    }
    assert!(kept.get() > 3_000 && share < UNUSED_AT_MOST, "{share}");
}

/// Shrinking also tries other values. Whatever they are, they hold for the decision that they are for, or are unused.
#[test]
fn any_values_make_a_valid_run() {
    runner(200)
        .run(&(any_world(), any_plan(), any::<u64>()), |(spec, plan, salt)| {
            let subject = subject(&spec);
            let first = subject.run(&plan, Record::Perturbations)?;
            let mut changed = plan.only(&first.perturbations);
            for (index, entry) in changed.overrides.iter_mut().enumerate() {
                let word = hash_parts(&[&salt.to_le_bytes(), &index.to_le_bytes()]);
                entry.value = match word % 5 {
                    0 => 0,
                    1 => word,
                    2 => u64::MAX,
                    3 => entry.value / 2,
                    _ => entry.value,
                };
            }
            let second = subject.run(&changed, Record::Perturbations)?;
            let wanted: BTreeMap<_, _> = changed.overrides.iter().map(|entry| (entry.site, *entry)).collect();
            for came in &second.perturbations {
                // An order's rank has 32 bits.
                let most = if came.site.kind == SiteKind::Order { u64::from(u32::MAX) } else { u64::MAX };
                let wanted = wanted.get(&came.site).map(|entry| (entry.fingerprint, entry.value.min(most)));
                prop_assert_eq!(wanted, Some((came.fingerprint, came.value)));
            }
            let again = subject.run(&plan.only(&second.perturbations), Record::Digest)?;
            prop_assert_eq!(again.digest, second.digest);
            Ok(())
        })
        .unwrap();
}

/// What is calm throughout has nothing to take away.
#[test]
fn a_calm_run_has_no_perturbations() {
    runner(150)
        .run(&(any_world(), any_plan()), |(spec, plan)| {
            let subject = subject(&spec);
            let calm = subject.run(&plan.only(&[]), Record::Perturbations)?;
            prop_assert_eq!(&calm.perturbations, &[]);
            let other_seed = Plan { seed: squall::trace::Seed(plan.seed.0 ^ 1), ..plan.only(&[]) };
            // Only what the application draws itself still comes from the seed.
            prop_assert_eq!(subject.run(&other_seed, Record::Perturbations)?.perturbations, []);
            Ok(())
        })
        .unwrap();
}

/// Up to the time from which the weather is drawn again, it is the same.
#[test]
fn a_redraw_leaves_what_came_before() {
    let later = Cell::new(0);
    runner(150)
        .run(&(any_world(), any_plan(), 1u64..30), |(spec, plan, from_ms)| {
            let subject = subject(&spec);
            let from_ns = from_ms * 1_000_000;
            let before = |outcome: &Outcome| {
                let events = &outcome.trace.as_ref().expect("all is recorded").events;
                let before: Vec<_> = events.iter().take_while(|event| event.at_ns < from_ns).cloned().collect();
                (before, events.len())
            };
            let plain = Plan { redraw: None, ..plan };
            let redrawn = Plan { redraw: Some(Redraw { from_ns, salt: 7, bases: None }), ..plain.clone() };
            let (first, second) = (subject.run(&plain, Record::Full)?, subject.run(&redrawn, Record::Full)?);
            prop_assert_eq!(before(&first).0, before(&second).0);
            later.set(later.get() + u32::from(first.digest != second.digest));
            Ok(())
        })
        .unwrap();
    assert!(later.get() > 10, "drawing again changed only {} runs", later.get());
}

#[test]
fn what_is_recorded_changes_no_digest() {
    runner(150)
        .run(&(any_world(), any_plan()), |(spec, plan)| {
            let subject = subject(&spec);
            let full = subject.run(&plan, Record::Full)?;
            let middle = subject.run(&plan, Record::Perturbations)?;
            let least = subject.run(&plan, Record::Digest)?;
            prop_assert_eq!(full.digest, middle.digest);
            prop_assert_eq!(full.digest, least.digest);
            prop_assert_eq!(full.messages, least.messages);
            prop_assert_eq!(full.ending.reason, least.ending.reason);
            prop_assert_eq!(full.perturbations, middle.perturbations);
            Ok(())
        })
        .unwrap();
}

/// Each message, by flow, number and copy, is sent or made once and comes to exactly one end.
#[test]
fn every_message_is_accounted_for_exactly_once() {
    runner(300)
        .run(&(any_world(), any_plan()), |(spec, plan)| {
            let outcome = subject(&spec).run(&plan, Record::Full)?;
            let mut under_way = BTreeMap::new();
            let (mut sent, mut duplicated, mut delivered, mut lost, mut in_flight) = (0u64, 0u64, 0u64, 0u64, 0u64);
            let events = outcome.trace.expect("all is recorded").events;
            for (index, event) in events.iter().filter(|event| event.kind.code() != 15).enumerate() {
                prop_assert_eq!(event.step, index as u64 + 1, "steps count from 1 without a gap");
            }
            for event in &events {
                let (born, ended) = match &event.kind {
                    EventKind::Send { flow, number, .. } => {
                        sent += 1;
                        (Some((*flow, *number, 0)), None)
                    }
                    EventKind::Duplicate { flow, number } => {
                        duplicated += 1;
                        (Some((*flow, *number, 1)), None)
                    }
                    EventKind::Deliver { flow, number, copy } => {
                        delivered += 1;
                        (None, Some((*flow, *number, *copy)))
                    }
                    EventKind::Lose { flow, number, copy, .. } => {
                        lost += 1;
                        (None, Some((*flow, *number, *copy)))
                    }
                    EventKind::InFlight { flow, number, copy } => {
                        in_flight += 1;
                        (None, Some((*flow, *number, *copy)))
                    }
                    _ => (None, None),
                };
                if let Some(message) = born {
                    prop_assert!(under_way.insert(message, false).is_none(), "two messages are {message:?}");
                }
                if let Some(message) = ended {
                    prop_assert_eq!(
                        under_way.insert(message, true),
                        Some(false),
                        "{:?} ended twice or never began",
                        message
                    );
                }
            }
            prop_assert!(under_way.values().all(|ended| *ended), "a message came to no end");
            let counts = outcome.messages;
            prop_assert_eq!(
                (sent, duplicated, delivered, lost, in_flight),
                (counts.sent, counts.duplicated, counts.delivered, counts.lost, counts.in_flight)
            );
            Ok(())
        })
        .unwrap();
}

/// Each task that was started ends once, or is there when the run ends.
#[test]
fn every_task_ends_at_most_once_and_is_polled_only_while_it_lives() {
    runner(200)
        .run(&(any_world(), any_plan()), |(spec, plan)| {
            let outcome = subject(&spec).run(&plan, Record::Full)?;
            let mut ended = BTreeSet::new();
            let mut spawned = BTreeSet::new();
            for event in &outcome.trace.expect("all is recorded").events {
                match &event.kind {
                    EventKind::Spawn { child } => {
                        prop_assert!(spawned.insert(*child), "two tasks are {child:?}");
                    }
                    EventKind::Poll => prop_assert!(!ended.contains(&event.task), "polled after its end: {event:?}"),
                    EventKind::TaskEnd { .. } => {
                        prop_assert!(ended.insert(event.task), "ended twice: {event:?}");
                    }
                    _ => {}
                }
            }
            Ok(())
        })
        .unwrap();
}
