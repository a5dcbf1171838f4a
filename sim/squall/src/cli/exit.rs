//! How the process ends.

use crate::runner::WorldError;
use crate::scenario::ScenarioError;

/// All is well.
pub const PASS: u8 = 0;
/// The tool's own error: a file that can't be written, say.
pub const OWN_ERROR: u8 = 1;
/// Of `diff`: the traces differ.
pub const DIFFERENT: u8 = 1;
/// Wrong arguments or a wrong input file.
pub const USAGE: u8 = 2;
/// Nothing ran.
pub const NOTHING_RAN: u8 = 4;
/// A property failed.
pub const PROPERTY_FAILED: u8 = 100;
/// A run didn't repeat itself.
pub const NONDETERMINISM: u8 = 110;
/// Nobody can say.
pub const INCONCLUSIVE: u8 = 120;
/// What a saved failure says matched nothing, or nothing judges its property: git bisect skips it.
pub const STALE: u8 = 125;
/// Interrupted by Ctrl-C or SIGTERM; what was found was told, where there was anything to lose.
pub const INTERRUPTED: u8 = 130;
/// Whoever read standard output has gone: as a process that SIGPIPE ends.
pub const CLOSED_PIPE: u8 = 141;

/// Why a command ended before its end.
#[derive(Debug)]
pub enum Stop {
    /// A wrong input.
    Input(miette::Report),
    /// The tool's own error.
    Own(String),
    /// There was nothing to do.
    Nothing(String),
    /// Nobody reads any more.
    ClosedPipe,
}

impl Stop {
    /// The reason alone.
    pub fn in_words(self) -> String {
        match self {
            Stop::Input(report) => format!("{report:?}"),
            Stop::Own(message) | Stop::Nothing(message) => message,
            Stop::ClosedPipe => "closed pipe".to_string(),
        }
    }

    /// Tells the reason, and gives the exit code.
    pub fn tell(self) -> u8 {
        match self {
            Stop::Input(report) => {
                super::output::complain(format!("{report:?}").trim_end());
                USAGE
            }
            Stop::Own(message) => {
                super::output::complain(&format!("error: {message}"));
                OWN_ERROR
            }
            Stop::Nothing(message) => {
                super::output::complain(&message);
                NOTHING_RAN
            }
            Stop::ClosedPipe => CLOSED_PIPE,
        }
    }
}

impl From<std::io::Error> for Stop {
    fn from(error: std::io::Error) -> Stop {
        match error.kind() {
            std::io::ErrorKind::BrokenPipe => Stop::ClosedPipe,
            _ => Stop::Own(format!("standard output can't be written: {error}")),
        }
    }
}

impl From<ScenarioError> for Stop {
    fn from(error: ScenarioError) -> Stop {
        Stop::Input(miette::Report::new(error))
    }
}

impl From<WorldError> for Stop {
    fn from(error: WorldError) -> Stop {
        match error {
            WorldError::Described(message) => Stop::Input(miette::miette!("the world can't be run: {message}")),
            WorldError::NoThread(_) | WorldError::Broken(_) | WorldError::NoProcess(_) => Stop::Own(error.to_string()),
        }
    }
}
