//! Scenario files: whatever the text, it is a scenario or a list of mistakes with their places.
#![no_main]

use squall::World;
use squall::scenario::{NoArgs, Program, Scenario};

libfuzzer_sys::fuzz_target!(|text: &str| {
    let world = |world: &mut World, _: &NoArgs| {
        world.client("client", || async {});
    };
    let programs = [Program::new("store", "A client", world)];
    if let Err(error) = Scenario::from_text("fuzzed.toml", text, &programs, &[]) {
        assert!(!error.to_string().is_empty());
    }
});
