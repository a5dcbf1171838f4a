//! The project's scenarios.

use ledger::{Add, add, serve};
use serde::{Deserialize, Serialize};
use squall::World;
use squall::prelude::*;
use squall::scenario::Program;

squall::main!(programs());

#[derive(Serialize, Deserialize)]
struct Args {
    remembers: bool,
    additions: u64,
}

impl Default for Args {
    fn default() -> Args {
        Args { remembers: true, additions: 3 }
    }
}

fn programs() -> Vec<Program> {
    vec![Program::new("ledger", "A client adds to a ledger, and again when it hears nothing", world)]
}

fn world(world: &mut World, args: &Args) {
    let &Args { remembers, additions } = args;
    world.node("ledger", move || serve(remembers));
    world.client("client", move || add((1..=additions).collect()));
    world.check(always("added-once", 0).on("added", |next, add: Add| {
        ensure!(add.id == *next, "addition {} came in place of {next}", add.id);
        *next += 1;
        Ok(())
    }));
}
