//! One byte, one nanosecond, one swap: each changes the digest.

use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use squall::net::Endpoint;
use squall::time::{DurationExt, sleep};
use squall::trace::{Digest, Digester, EventKind, OwnedEvent, Record};
use squall::{Simulation, World};
use squall_tests::random_world::{any_plan, any_world, build};
use squall_tests::run;

fn digest(events: &[OwnedEvent]) -> Digest {
    let mut digester = Digester::new(false);
    for event in events {
        digester.add(event);
    }
    digester.finish().0
}

/// Over the recorded events of random worlds: the digest is theirs, and any one change to them changes it.
#[test]
fn any_one_change_of_the_recorded_events_changes_the_digest() {
    let config = Config { cases: 150, failure_persistence: None, ..Config::default() };
    let mut runner = TestRunner::new_with_rng(config, TestRng::deterministic_rng(RngAlgorithm::ChaCha));
    runner
        .run(&(any_world(), any_plan(), any::<u64>(), any::<u8>()), |(spec, plan, place, bit)| {
            let living = std::sync::Arc::default();
            let simulation = Simulation::new(move |world| build(&spec, &living, world));
            let trace = simulation.run_plan(&plan, Record::Full).trace.expect("all is recorded");
            let events: Vec<OwnedEvent> = trace.events.into_iter().filter(|event| event.kind.code() != 15).collect();
            prop_assert_eq!(digest(&events), trace.digest, "the digest is that of the recorded events");
            let at = (place % events.len() as u64) as usize;

            let mut later = events.clone();
            later[at].at_ns += 1;
            prop_assert_ne!(digest(&later), trace.digest, "one nanosecond");

            let mut shorter = events.clone();
            shorter.remove(at);
            prop_assert_ne!(digest(&shorter), trace.digest, "one event less");

            let mut swapped = events.clone();
            let other = (at + 1) % events.len();
            swapped.swap(at, other);
            let alike = {
                let bytes = |event: &OwnedEvent| {
                    let mut bytes = Vec::new();
                    event.write_canonical(&mut bytes);
                    bytes
                };
                bytes(&events[at]) == bytes(&events[other])
            };
            prop_assert_eq!(digest(&swapped) == trace.digest, alike, "one swapped pair");

            let sends: Vec<usize> = (0..events.len())
                .filter(|&at| matches!(&events[at].kind, EventKind::Send { payload, .. } if !payload.is_empty()))
                .collect();
            if !sends.is_empty() {
                let at = sends[(place % sends.len() as u64) as usize];
                let mut flipped = events.clone();
                if let EventKind::Send { payload, .. } = &mut flipped[at].kind {
                    let payload = payload.to_mut();
                    let byte = (place % payload.len() as u64) as usize;
                    payload[byte] ^= 1 << (bit % 8);
                }
                prop_assert_ne!(digest(&flipped), trace.digest, "one bit of a payload");
            }
            Ok(())
        })
        .unwrap();
}

/// The checkpoints part at the block of the first difference, and not before.
#[test]
fn checkpoints_part_where_the_events_do() {
    let events: Vec<OwnedEvent> = run(|world| {
        world.client("client", || async {
            for _ in 0..1_000 {
                sleep(1.ms()).await;
            }
        });
    })
    .trace
    .unwrap()
    .events;
    let checkpoints = |events: &[OwnedEvent]| {
        let mut digester = Digester::new(true);
        for event in events {
            digester.add(event);
        }
        digester.finish().1
    };
    let right = checkpoints(&events);
    let mut changed = events.clone();
    changed[600].at_ns += 1;
    let wrong = checkpoints(&changed);
    let first = right.iter().zip(&wrong).position(|(right, wrong)| right != wrong).unwrap();
    assert_eq!(right[first].events, 768, "event 601 is in the third block of 256");
    assert!(right[first..].iter().zip(&wrong[first..]).all(|(right, wrong)| right.digest != wrong.digest));
}

#[test]
fn one_byte_or_one_nanosecond_of_a_world_changes_its_digest() {
    let world = |payload: &'static [u8], nap_ns: u64| {
        run(move |world: &mut World| {
            world.node("server", std::future::pending::<()>);
            world.client("client", move || async move {
                let endpoint = Endpoint::bind("0.0.0.0:80").await.unwrap();
                endpoint.send_to("server:80", 1, payload).await.unwrap();
                sleep(nap_ns.ns()).await;
                sleep((2_000_000 - nap_ns).ns()).await;
            });
        })
        .digest
    };
    let right = world(b"payload", 1_000_000);
    assert_eq!(world(b"payload", 1_000_000), right);
    assert_ne!(world(b"qayload", 1_000_000), right);
    assert_ne!(world(b"payload\0", 1_000_000), right);
    assert_ne!(world(b"payload", 1_000_001), right);
}
