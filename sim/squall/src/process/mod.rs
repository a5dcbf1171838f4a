//! Runs in processes of their own.
//!
//! ```text
//! this process                    zygote                                 child
//!   Processes --- one byte ------>  forks ------------------------------> reads the request,
//!             --- the request ------------------------------------------> runs it on a fresh thread,
//!             <-- what it says, passed on, then how it ended -----------  says what came of it, and ends
//! ```
//!
//! The zygote is this very program, started again with address randomisation off, which has gone as far as knowing its world and
//! has run nothing. Between two runs it doesn't allocate, so that all its children begin alike. A child that aborts, ends, is
//! killed or says nothing for too long ends itself alone.

#[cfg(not(unix))]
mod elsewhere;
#[cfg(unix)]
mod pool;
#[cfg(unix)]
mod protocol;
#[cfg(unix)]
mod zygote;

#[cfg(not(unix))]
pub use elsewhere::Processes;
#[cfg(not(unix))]
pub(crate) use elsewhere::{Death, Reported, Request, Wanted, serve, wanted};
#[cfg(unix)]
pub use pool::Processes;
#[cfg(unix)]
pub(crate) use pool::{Death, Reported};
#[cfg(unix)]
pub(crate) use protocol::Request;
#[cfg(unix)]
pub(crate) use zygote::{Wanted, serve, wanted};

/// The properties that fail where a run ends its process: by a signal of its own making, by leaving, by another's, by wanting
/// more memory than there is.
pub const DEATH_PROPERTIES: [&str; 4] = ["abort", "exit", "killed", "memory"];

/// Whether runs can have processes of their own here.
#[must_use]
pub fn is_supported() -> bool {
    squall_hermetic::process::can_fork()
}
