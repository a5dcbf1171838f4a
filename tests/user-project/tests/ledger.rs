//! Tests of worlds: the attribute, and inputs by proptest.

use ledger::{Add, add, serve};
use squall::World;
use squall::prelude::*;

/// Fails only where the test of this project asks for it.
fn remembers() -> bool {
    std::env::var_os("LEDGER_FORGETS").is_none()
}

fn world(world: &mut World, amounts: Vec<u64>) {
    let remembers = remembers();
    world.node("ledger", move || serve(remembers));
    world.client("client", move || add(amounts.clone()));
    world.link("client", "ledger").latency(uniform(1.ms(), 10.ms())).loss(percent(3));
    let each_once = always("added-once", 0).on("added", |next, add: Add| {
        ensure!(add.id == *next, "addition {} came in place of {next}", add.id);
        *next += 1;
        Ok(())
    });
    world.check(each_once.on("done", |_, (): ()| Ok(())));
}

#[squall::test(seeds = 200)]
fn each_is_added_once(w: &mut World) {
    world(w, vec![5, 7]);
}

#[squall::test(seeds = 20, isolation = "process")]
fn in_processes_too(w: &mut World) {
    world(w, vec![5, 7]);
}

#[test]
fn whatever_is_added() {
    squall::proptest::check(proptest::collection::vec(0..100u64, 0..8), |w, amounts| world(w, amounts.clone()));
}
