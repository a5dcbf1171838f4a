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
mod trial;
#[cfg(unix)]
mod zygote;

use std::io;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use squall_engine::Call;
use squall_hermetic::fatal_signal::{AtFatalSignal, at_fatal_signal, ended_before};
use squall_hermetic::process::hear_of_children;
use squall_trace::{Digest, EventMask, Outcome, Plan, Record};

#[cfg(not(unix))]
pub use elsewhere::Processes;
#[cfg(not(unix))]
use elsewhere::signal_in_words;
#[cfg(not(unix))]
pub(crate) use elsewhere::{comes_back, serve, wanted};
#[cfg(unix)]
pub use pool::Processes;
#[cfg(unix)]
use pool::signal_in_words;
#[cfg(unix)]
pub(crate) use trial::comes_back;
#[cfg(unix)]
pub(crate) use zygote::{serve, wanted};

/// A world, named for a zygote.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Wanted {
    /// A scenario file with settings over it, as long as its text is the one of that fingerprint.
    Scenario { file: PathBuf, set: Vec<String>, fingerprint: Digest },
    /// The exploration at that place of a test, when it is come by for that time, from 1.
    Exploration { place: String, time: u64 },
}

/// What a child is to run.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Request {
    pub plan: Plan,
    /// What is sent back, as it happens. The child keeps none of it: its memory is the program's, and what is recorded would change
    /// the layout of the heap, on which programs may depend.
    pub record: Record,
    pub interest: EventMask,
    pub hang_after: Duration,
    pub events_max: Option<u64>,
    pub memory_bytes_max: Option<u64>,
    /// What it prints was seen already.
    pub quiet: bool,
    /// Say what is called from that event on.
    pub tell_calls_from: Option<u64>,
}

/// A part of the program that was called.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Called {
    pub who: String,
    /// The number of the last event before, or of the poll itself.
    pub events: u64,
    /// Virtual nanoseconds since the run's start.
    pub at_ns: u64,
}

impl From<&Call<'_>> for Called {
    fn from(call: &Call<'_>) -> Called {
        Called { who: call.who.to_string(), events: call.events, at_ns: call.at_ns }
    }
}

/// What came of a run in a process of its own.
pub(crate) enum Reported {
    Done(Box<Outcome>),
    /// A call doesn't come back: that one, if it was asked for.
    Hung {
        events: u64,
        called: Option<Called>,
    },
    Died(Death),
    /// Nobody knows what came of it: why.
    Lost(String),
}

/// How a child ended that left no outcome.
pub(crate) struct Death {
    /// The property that a run fails by ending so.
    pub property: &'static str,
    /// How it ended, in words: "was ended by signal 6 (abort)".
    pub how: String,
    /// What was called, if that was asked for.
    pub called: Option<Called>,
    /// The last lines that it printed.
    pub printed: String,
}

/// How many lines are told of what a process printed before it ended.
const PRINTED_LINES_MAX: usize = 6;

/// What a process printed at last, to stand behind how it ended. Empty if that is nothing.
pub(crate) fn printed_at_last(printed: &str) -> String {
    let lines: Vec<&str> = printed.lines().filter(|line| !line.trim().is_empty()).collect();
    let last = &lines[lines.len().saturating_sub(PRINTED_LINES_MAX)..];
    if last.is_empty() { String::new() } else { format!("; it printed at last:\n  {}", last.join("\n  ")) }
}

/// The properties that fail where a run ends its process: by a signal of its own making, by leaving, by another's, by wanting
/// more memory than there is.
pub const DEATH_PROPERTIES: [&str; 4] = ["abort", "exit", "killed", "memory"];

/// Says of which run this program was begun again.
const ENDED_VARIABLE: &str = "SQUALL_ENDED_BY";

/// Has this program begin again if a run on one of its threads ends it; or, if it is that already, says so: no run may have a thread any more.
pub(crate) fn outlive_runs() -> Option<String> {
    if let Some(run) = ended_before(ENDED_VARIABLE) {
        tell_who_ends_it();
        let words = signal_in_words(run.signal);
        let seed = squall_trace::Seed(run.seed);
        return Some(format!(
            "the run of seed {seed} of {} has ended the process by {words}: it begins again, and from here on each run has a process of its own",
            run.name
        ));
    }
    if cfg!(target_os = "linux") {
        // Without it such a run ends the program, as it would anywhere.
        let _ = at_fatal_signal(AtFatalSignal::BeginAgain { variable: ENDED_VARIABLE });
    }
    None
}

/// Has this program say which run it was that ended it, if one on one of its threads does.
pub(crate) fn tell_who_ends_it() {
    let _ = at_fatal_signal(AtFatalSignal::Tell { remedy: "; with isolation = \"process\" that is one failed run" });
}

/// This very program, to be started again: also where its file was taken away since, or has another one in its place, as whoever builds it
/// again does.
///
/// # Errors
/// If nobody knows where it is.
pub(crate) fn this_program() -> io::Result<Command> {
    #[cfg(target_os = "linux")]
    const ITSELF: &str = "/proc/self/exe";
    // Its end is waited for.
    hear_of_children();
    let path = std::env::current_exe()?;
    #[cfg(target_os = "linux")]
    if std::fs::symlink_metadata(ITSELF).is_ok() {
        use std::os::unix::process::CommandExt;
        let mut command = Command::new(ITSELF);
        command.env_remove(ENDED_VARIABLE);
        // What lists of processes call it.
        command.arg0(path);
        return Ok(command);
    }
    Ok(Command::new(path))
}

/// Whether runs can have processes of their own here.
#[must_use]
pub fn is_supported() -> bool {
    squall_hermetic::process::can_fork()
}
