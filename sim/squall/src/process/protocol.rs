//! What parent, zygote and child say to each other: JSON, one value a line.

use std::borrow::Cow;
use std::io::{self, BufRead, Write};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use squall_trace::{Event, FlowId, FlowInfo, Outcome, Perturbation, TaskId, TaskInfo};

use super::Called;
use crate::runner::WorldError;

/// The first byte of an order to fork. Four bytes follow: after how many milliseconds of silence a child is ended.
pub const FORK: u8 = b'F';

/// What follows was said by the child: a length (four bytes) and so many bytes.
pub const SAID: u8 = b'S';

/// A child was made: its number (four bytes) follows. It says this itself.
pub const MADE: u8 = b'M';

/// The child has ended: [`Ended::encode`].
pub const ENDED: u8 = b'E';

/// The zygote's first words.
#[derive(Debug, Serialize, Deserialize)]
pub struct Hello {
    /// Of Squall: both are the same program.
    pub version: String,
    /// Why address randomisation is still on, if it is.
    pub randomised: Option<String>,
}

/// What a child says.
#[derive(Debug, Serialize, Deserialize)]
pub enum Reply<'r> {
    /// It still watches its run.
    Alive,
    Event(Cow<'r, Event<'r>>),
    Perturbation {
        perturbation: Perturbation,
        again: bool,
    },
    Task(TaskId, Cow<'r, TaskInfo>),
    Flow(FlowId, Cow<'r, FlowInfo>),
    ClientCalls {
        number: u64,
        at_ns: u64,
    },
    ClientAnswered {
        number: u64,
        at_ns: u64,
    },
    /// It calls a part of the program now.
    Calls(Called),
    /// Without what was recorded, which was said as it happened.
    Done(Box<Outcome>),
    /// There was no run.
    NoRun(NoRun),
    /// A poll doesn't come back.
    Hung {
        events: u64,
    },
}

/// A [`WorldError`] that crosses.
#[derive(Debug, Serialize, Deserialize)]
pub enum NoRun {
    Described(String),
    Broken(String),
    NoThread(String),
    NoProcess(String),
}

impl From<WorldError> for NoRun {
    fn from(error: WorldError) -> NoRun {
        match error {
            WorldError::Described(text) => NoRun::Described(text),
            WorldError::Broken(text) => NoRun::Broken(text),
            WorldError::NoThread(text) => NoRun::NoThread(text),
            WorldError::NoProcess(text) => NoRun::NoProcess(text),
        }
    }
}

impl From<NoRun> for WorldError {
    fn from(error: NoRun) -> WorldError {
        match error {
            NoRun::Described(text) => WorldError::Described(text),
            NoRun::Broken(text) => WorldError::Broken(text),
            NoRun::NoThread(text) => WorldError::NoThread(text),
            NoRun::NoProcess(text) => WorldError::NoProcess(text),
        }
    }
}

/// How a child ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    Exited(i32),
    Signalled(i32),
    /// It was ended because it said nothing.
    Silent,
    /// It was ended because another program had its place.
    Replaced,
}

impl Ended {
    pub fn encode(self) -> [u8; 6] {
        let (kind, number) = match self {
            Ended::Exited(code) => (b'x', code),
            Ended::Signalled(signal) => (b's', signal),
            Ended::Silent => (b'q', 0),
            Ended::Replaced => (b'r', 0),
        };
        let [a, b, c, d] = number.to_le_bytes();
        [ENDED, kind, a, b, c, d]
    }

    /// From what follows [`ENDED`].
    pub fn decode([kind, number @ ..]: [u8; 5]) -> io::Result<Ended> {
        let number = i32::from_le_bytes(number);
        match kind {
            b'x' => Ok(Ended::Exited(number)),
            b's' => Ok(Ended::Signalled(number)),
            b'q' => Ok(Ended::Silent),
            b'r' => Ok(Ended::Replaced),
            _ => Err(io::Error::other("an unknown way to end")),
        }
    }
}

/// Writes a line.
pub fn write_line(out: &mut impl Write, value: &impl Serialize) -> io::Result<()> {
    serde_json::to_writer(&mut *out, value)?;
    out.write_all(b"\n")
}

/// Reads a line. `None` at the end, also in the midst of one.
pub fn read_line<T: DeserializeOwned>(from: &mut impl BufRead) -> io::Result<Option<T>> {
    let mut line = Vec::new();
    from.read_until(b'\n', &mut line)?;
    match line.strip_suffix(b"\n") {
        Some(line) => Ok(Some(serde_json::from_slice(line)?)),
        None => Ok(None),
    }
}
