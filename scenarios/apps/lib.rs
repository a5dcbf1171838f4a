//! Applications that knew nothing of Squall, from crates.io: programs, each beside the scenario files that name it.
//!
//! They are in a package of their own, so that the `squall` binary doesn't wait for what they need to be built.

pub mod adapters;
pub mod axum;
pub mod blocking;
pub mod consensus;
pub mod disk;
pub mod foca;
pub mod hyper;
pub mod noraft;
pub mod openraft;
pub mod openraft_runtime;
pub mod tikv_raft;
pub mod tonic;
pub mod yrs;

use squall::scenario::Program;

/// All programs, by which scenario files name them.
#[must_use]
pub fn programs() -> Vec<Program> {
    vec![
        axum::program(),
        foca::program(),
        hyper::program(),
        noraft::program(),
        openraft::program(),
        tikv_raft::program(),
        tonic::program(),
        yrs::program(),
    ]
}
