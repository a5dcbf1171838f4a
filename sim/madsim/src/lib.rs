//! Programs written on madsim, madsim-tokio and madsim-tonic under Squall's campaigns: explored, saved, replayed, shrunk and reported.
//!
//! The application stays as it is. A [`Program`](squall::scenario::Program) describes its world as any other program of Squall's does, with
//! madsim's futures as its nodes, and is [run by](squall::scenario::Program::run_by) [`Madsim`]:
//!
//! ```no_run
//! use squall::World;
//! use squall::scenario::{NoArgs, Program};
//!
//! fn world(world: &mut World, _: &NoArgs) {
//!     world.client("client", || async {
//!         madsim::time::sleep(std::time::Duration::from_secs(1)).await;
//!     });
//! }
//!
//! fn main() -> std::process::ExitCode {
//!     let program = Program::new("sleeper", "Sleeps for a second", world).run_by(squall_madsim::Madsim);
//!     squall::cli::main([program], squall::build_identity!())
//! }
//! ```
//!
//! Its faults are decisions with addresses, drawn from the plan's seed as everywhere in Squall, and so is whether the network has its drawn latency
//! and loss at all. All else that is random comes from madsim's one stream of that seed. What follows from that is in `docs/madsim.md`.
#![forbid(unsafe_code)]

#[cfg(not(madsim))]
compile_error!(
    "squall-madsim runs programs that are compiled with `--cfg madsim`, and this build has no such flag: put\n\n    [build]\n    rustflags = \
     [\"--cfg\", \"madsim\"]\n\ninto `.cargo/config.toml` of your project and build from within its folder. The variable RUSTFLAGS takes the file's place where it is set: add \
     `--cfg madsim` to it then; for documentation, and tests in it, the key is `rustdocflags` and the variable RUSTDOCFLAGS"
);

#[cfg(madsim)]
const _: () = assert!(
    !squall_hermetic::is_supported(),
    "squall-madsim can't be in one binary with squall's feature `interpose`, which is on by default: both would define the same symbols of libc. Put\n\n    \
     squall = {{ …, default-features = false }}\n\ninto Cargo.toml; where it is there, another member of the workspace asks for the feature: give programs on \
     madsim a workspace of their own"
);

#[cfg(madsim)]
mod log;
#[cfg(madsim)]
mod run;
#[cfg(madsim)]
mod script;
#[cfg(madsim)]
mod state;

#[cfg(madsim)]
pub use state::{history_client, publish};

#[cfg(madsim)]
use squall::engine::{Engine, EngineOptions};
#[cfg(madsim)]
use squall::trace::{Capabilities, Outcome, Plan};

/// madsim in place of Squall's own engine.
#[cfg(madsim)]
#[derive(Clone, Copy, Debug, Default)]
pub struct Madsim;

#[cfg(madsim)]
impl Engine for Madsim {
    fn run(
        &self,
        describe: &dyn Fn() -> Result<squall_engine::description::Description, String>,
        plan: &Plan,
        options: EngineOptions,
    ) -> Result<Outcome, String> {
        run::run(describe, plan, options)
    }

    /// Faults alone: single messages and the order of tasks come from one stream.
    fn capabilities(&self) -> Capabilities {
        Capabilities { message_sites: false, order_sites: false, fault_sites: true }
    }
}
