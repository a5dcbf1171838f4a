//! Where processes can't be copied: the same names, and an error for each run.

use std::io;
use std::process::Command;
use std::time::Duration;

use squall_trace::{EventMask, Observer, Outcome, Plan, Record};

use crate::runner::{Simulation, WorldError};

/// Would make processes for the runs of one world.
#[derive(Debug)]
pub struct Processes;

/// What would come of a run in a process of its own.
pub(crate) enum Reported {
    Done(Box<Outcome>),
    Hung { events: u64, who: Option<String> },
    Died(Death),
    Silent,
}

/// How a process would end.
pub(crate) struct Death {
    pub property: &'static str,
    pub how: String,
    pub who: Option<String>,
    pub printed: String,
}

/// What would be run.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub plan: Plan,
    pub record: Record,
    pub interest: EventMask,
    pub hang_after: Duration,
    pub events_max: Option<u64>,
    pub memory_bytes_max: Option<u64>,
    pub quiet: bool,
    pub tell_polls_from: Option<u64>,
}

/// A world, named for a process that would know it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Wanted {
    Scenario { file: std::path::PathBuf, set: Vec<String> },
    Exploration { place: String, time: u64 },
}

impl Wanted {
    pub fn ask(&self, _command: &mut Command) {}
}

pub(crate) fn wanted() -> Option<Wanted> {
    None
}

pub(crate) fn serve(_simulation: &Simulation) -> ! {
    std::process::exit(1)
}

impl Processes {
    pub(crate) fn new(_command: impl Fn() -> io::Result<Command> + Send + Sync + 'static) -> Processes {
        Processes
    }

    #[must_use]
    pub(crate) fn memory_bytes_max(self, _bytes: Option<u64>) -> Processes {
        self
    }

    /// Why address randomisation couldn't be switched off.
    #[must_use]
    pub fn randomised(&self) -> Option<&str> {
        None
    }

    pub(crate) fn run(&self, _request: Request, _observer: &mut dyn Observer) -> Result<Reported, WorldError> {
        let text = "runs in processes of their own need Linux: use isolation = \"thread\" here";
        Err(WorldError::NoProcess(text.to_string()))
    }
}
