//! The scenarios of this repository: programs, each beside the scenario files that name it.

pub mod kv;
pub mod lock;
pub mod payments;
pub mod request_response;

use squall::scenario::Program;

/// All programs, by which scenario files name them.
#[must_use]
pub fn programs() -> Vec<Program> {
    vec![kv::program(), lock::program(), payments::program(), request_response::program()]
}
