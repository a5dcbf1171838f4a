//! Where processes can't be copied: the same names, and an error for each run.

use std::io;
use std::process::Command;
use std::time::Duration;

use squall_trace::Observer;

use super::{Reported, Request, Wanted};
use crate::runner::{Simulation, WorldError};

/// Would make processes for the runs of one world.
#[derive(Debug)]
pub struct Processes;

impl Wanted {
    pub fn ask(&self, _command: &mut Command) {}
}

pub(crate) fn wanted() -> Option<Wanted> {
    None
}

pub(crate) fn comes_back(_time_max: Duration, _code: impl FnOnce()) -> Result<(), String> {
    Ok(())
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

/// A signal's number.
pub(super) fn signal_in_words(signal: i32) -> String {
    format!("signal {signal}")
}
