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

use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use squall_trace::{EventMask, Outcome, Plan, Record};

#[cfg(not(unix))]
pub use elsewhere::Processes;
#[cfg(not(unix))]
pub(crate) use elsewhere::{serve, wanted};
#[cfg(unix)]
pub use pool::Processes;
#[cfg(unix)]
pub(crate) use zygote::{serve, wanted};

/// A world, named for a zygote.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Wanted {
    /// A scenario file with settings over it.
    Scenario { file: PathBuf, set: Vec<String> },
    /// The exploration at that place of a test, when it is come by for that time, from 1.
    Exploration { place: String, time: u64 },
}

/// What a child is to run.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Request {
    pub plan: Plan,
    /// What is sent back. The child records everything in any case: what is recorded changes the layout of the heap, on which
    /// programs may depend.
    pub record: Record,
    pub interest: EventMask,
    pub hang_after: Duration,
    pub events_max: Option<u64>,
    pub memory_bytes_max: Option<u64>,
    /// What it prints was seen already.
    pub quiet: bool,
    /// Say who is polled from that event on.
    pub tell_polls_from: Option<u64>,
}

/// What came of a run in a process of its own.
pub(crate) enum Reported {
    Done(Box<Outcome>),
    /// A poll doesn't come back. `who` is polled, if that was asked for.
    Hung {
        events: u64,
        who: Option<String>,
    },
    Died(Death),
    /// It was ended because it said nothing.
    Silent,
}

/// How a child ended that left no outcome.
pub(crate) struct Death {
    /// The property that a run fails by ending so.
    pub property: &'static str,
    /// How it ended, in words: "was ended by signal 6 (abort)".
    pub how: String,
    /// Who was polled, if that was asked for.
    pub who: Option<String>,
    /// The last lines that it printed.
    pub printed: String,
}

/// The properties that fail where a run ends its process: by a signal of its own making, by leaving, by another's, by wanting
/// more memory than there is.
pub const DEATH_PROPERTIES: [&str; 4] = ["abort", "exit", "killed", "memory"];

/// Whether runs can have processes of their own here.
#[must_use]
pub fn is_supported() -> bool {
    squall_hermetic::process::can_fork()
}
