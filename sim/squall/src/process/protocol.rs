//! What parent, zygote and child say to each other: frames of JSON, each with its length before it.

use std::io::{self, Read, Write};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use squall_trace::{Outcome, OwnedEvent};

use crate::runner::WorldError;

/// The first byte of an order to fork. Four bytes follow: after how many milliseconds of silence a child is ended.
pub const FORK: u8 = b'F';

/// What follows was said by the child: a length (four bytes) and so many bytes.
pub const SAID: u8 = b'S';

/// The child has ended: [`Ended::encode`].
pub const ENDED: u8 = b'E';

/// No frame is longer, however much a run records.
const FRAME_BYTES_MAX: u32 = u32::MAX;

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
pub enum Reply {
    /// It still watches its run.
    Alive,
    Event(OwnedEvent),
    /// Is polled now.
    Polls {
        label: String,
    },
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
}

impl Ended {
    pub fn encode(self) -> [u8; 6] {
        let (kind, number) = match self {
            Ended::Exited(code) => (b'x', code),
            Ended::Signalled(signal) => (b's', signal),
            Ended::Silent => (b'q', 0),
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
            _ => Err(io::Error::other("an unknown way to end")),
        }
    }
}

/// Writes a frame, in one piece.
pub fn write_frame(out: &mut impl Write, frame: &impl Serialize) -> io::Result<()> {
    let mut bytes = vec![0; 4];
    serde_json::to_writer(&mut bytes, frame)?;
    let length = u32::try_from(bytes.len() - 4).ok().filter(|length| *length < FRAME_BYTES_MAX);
    let length = length.ok_or_else(|| io::Error::other("a run left more than 4 GiB"))?;
    bytes[..4].copy_from_slice(&length.to_le_bytes());
    out.write_all(&bytes)
}

/// Reads a frame. `None` at the end.
pub fn read_frame<T: DeserializeOwned>(from: &mut impl Read) -> io::Result<Option<T>> {
    let mut length = [0; 4];
    match from.read_exact(&mut length) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        Err(error) => return Err(error),
    }
    let length = u32::from_le_bytes(length);
    let mut bytes = Vec::new();
    from.take(u64::from(length)).read_to_end(&mut bytes)?;
    if bytes.len() != length as usize {
        return Ok(None);
    }
    Ok(Some(serde_json::from_slice(&bytes)?))
}
