//! A world as another engine takes it: its faults have the addresses that they have in this crate's kernel, and what it can't carry is refused.
#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "a run needs threads around it")]

use std::collections::BTreeSet;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use squall_engine::description::Effect;
use squall_engine::fault::{crash, link, partition, partition_one_way, pause, ring, slow};
use squall_engine::latency::Latency;
use squall_engine::{Heartbeat, OnPanic, RunOptions, World, describe, time};
use squall_trace::id::hash_parts;
use squall_trace::target::NoObserver;
use squall_trace::{FlowId, Plan, Ratio, Record, Seed, SiteKind};

fn nodes(world: &mut World) {
    world.nodes("store", 3, |_| std::future::pending::<()>());
    world.client("client", || time::sleep(Duration::from_secs(60)));
}

fn world(world: &mut World) {
    nodes(world);
    let at = |fault: squall_engine::fault::Fault, seconds: u64| fault.at(Duration::from_secs(seconds));
    let second = Duration::from_secs(1);
    world.fault(at(crash("store-0"), 1).restart_after(second));
    world.fault(at(crash("store-*"), 5).restart_after(second).stagger(second));
    world.fault(at(pause("store-*"), 10).lasts(second).named("standstill"));
    world.fault(at(pause("store-*"), 12).lasts(second).together());
    world.fault(at(partition([["store-0"], ["store-1"]]), 15).lasts(second).every(2 * second).times(3));
    world.fault(at(partition_one_way(["store-1"], ["client"]), 25).named("one way"));
    world.fault(at(link("*", "*", |link| _ = link.loss(Ratio::new(1, 5))), 30).lasts(second));
}

#[test]
fn faults_have_the_addresses_that_they_have_in_the_kernel() {
    let outcome = thread::spawn(|| {
        let options = RunOptions {
            record: Record::Perturbations,
            recorder: None,
            observer: &mut NoObserver,
            beat: Arc::new(Heartbeat::default()),
            events_max: None,
            before_call: None,
        };
        squall_engine::run(&world, &Plan::seeded("described", Seed(1)), options).expect("the world can be")
    });
    let outcome = outcome.join().expect("it runs");
    let of_kernel: BTreeSet<(FlowId, u64)> = outcome
        .perturbations
        .iter()
        .filter(|perturbation| perturbation.site.kind == SiteKind::Fault)
        .map(|perturbation| (perturbation.site.flow, perturbation.at_ns))
        .collect();
    let description = describe(world).0.describe_for_another_engine().expect("all of it is known");
    let described: BTreeSet<(FlowId, u64)> = description
        .faults
        .iter()
        .map(|fault| (FlowId(hash_parts(&[b"fault", fault.address.as_bytes()])), fault.at_ns))
        .collect();
    assert_eq!(described.len(), 13);
    assert_eq!(described, of_kernel);
    for fault in &description.faults {
        let flow = FlowId(hash_parts(&[b"fault", fault.address.as_bytes()]));
        let squall_trace::FlowRole::Fault { what } = &outcome.names.flows[&flow].role else { panic!("a fault's flow") };
        assert!(*what == fault.said || fault.address == "standstill", "{what} {}", fault.said);
    }
    let together = |fault: &&squall_engine::description::Occurrence| fault.effect == Effect::Pause(vec![0, 1, 2]);
    assert_eq!(description.faults.iter().filter(together).count(), 1);
}

#[test]
fn what_no_other_engine_knows_is_refused() {
    let refused = |describe_more: fn(&mut World)| {
        let described = describe(|world| {
            nodes(world);
            describe_more(world);
        });
        described.0.describe_for_another_engine().expect_err("it isn't known")
    };
    for (describe_more, said) in [
        ((|world| _ = world.link("client", "store-0").loss(Ratio::ONE)) as fn(&mut World), "single links"),
        (|world| _ = world.loopback().latency(Latency::fixed(Duration::from_millis(1))), "loopback"),
        (|world| _ = world.storage().torn(Ratio::ONE), "disks"),
        (|world| _ = world.budget("store-*").crashed(1), "budgets"),
        (|world| world.swarm(true), "swarms"),
        (|world| world.clock().epoch_ns += 1, "a clock"),
        (|world| world.control(|_| async {}), "control tasks"),
        (|world| _ = world.node("odd", || async {}).on_panic(OnPanic::Crash), "panics"),
        (|world| _ = world.heal(Duration::from_secs(9)).core(["store-*"]), "a core"),
        (|world| _ = world.network().duplicate(Ratio::new(1, 2)), "latency and loss alone"),
        (|world| _ = world.network().latency(Latency::exponential(Duration::from_millis(1))), "fixed or uniform"),
        (|world| world.fault(slow("store-0", Duration::from_millis(1))), "faults there are"),
        (|world| world.fault(ring("*", 1)), "faults there are"),
        (|world| world.fault(crash("store-0").at_point("*", Ratio::ONE)), "points"),
        (|world| world.fault(crash("store-0").wipes_disk()), "wiped"),
        (|world| world.fault(crash("nobody")), "names \"nobody\""),
        (|world| world.fault(partition([["store-*"], ["store-0"]])), "in two groups"),
    ] {
        let message = refused(describe_more);
        assert!(message.contains(said), "{said}: {message}");
    }
}
