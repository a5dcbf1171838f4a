//! Squall's command line for programs on madsim: `cargo run -- explore scenarios/greeter.toml`, from this folder's parent or this folder.
//!
//! `messages`, `server` and `client` are the application: they know nothing of Squall. `worlds` puts it into a world. `odd` and `probe` are for tests
//! of what becomes of a program that goes wrong, and of faults.

mod client;
mod messages;
mod odd;
mod probe;
mod server;
mod worlds;

use std::process::ExitCode;

use squall::scenario::Program;
use squall_madsim::Madsim;

/// The generated service.
#[allow(clippy::all, unused_qualifications)]
mod greeter {
    include!(concat!(env!("OUT_DIR"), "/greeter.rs"));
}

fn main() -> ExitCode {
    let programs = [
        Program::new("greeter", "A gRPC server numbers its greetings, which must never come twice", worlds::greeter),
        Program::new("odd", "A program that goes wrong in the way that it is told", odd::world),
        Program::new("probe", "Two clients ask a node every ten milliseconds, and all say what they see", probe::world)
            .in_module(probe::MODULE),
    ];
    squall::cli::main(programs.map(|program| program.run_by(Madsim)), squall::build_identity!())
}
