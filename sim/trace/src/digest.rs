//! 128 bits over the canonical bytes of every event, with checkpoints.
//!
//! Events are gathered in blocks of [`EVENTS_A_BLOCK`]; each block is hashed (XXH3, 128 bits) together with the digest of
//! all blocks before it. The digest after a block is a checkpoint: two traces of the same run part in the first block whose
//! checkpoints differ, which bisection finds without looking at the events.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use xxhash_rust::xxh3::xxh3_128;

use crate::event::{Event, EventKind, Place, canonical};
use crate::short::copy_short;

/// How many events a block holds. Counted in events, not in bytes, so that the checkpoints of two runs stand at the same
/// steps.
pub const EVENTS_A_BLOCK: u64 = 256;

/// 128 bits, written as 32 hex digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub struct Digest(pub u128);

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl FromStr for Digest {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let digits = text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        match u128::from_str_radix(text, 16) {
            Ok(value) if digits => Ok(Digest(value)),
            _ => Err(format!("expected a digest of 32 hex digits, found {text:?}")),
        }
    }
}

impl Serialize for Digest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// The digest after some number of events.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checkpoint {
    /// How many events it covers.
    pub events: u64,
    /// Over them all.
    pub digest: Digest,
}

/// How many bytes are gathered before they are hashed. A block whose events need more is hashed in pieces.
const BUFFER_BYTES: usize = 16 * 1024;

/// Takes events in, gives a digest.
#[derive(Clone, Debug)]
pub struct Digester {
    /// Empty until the first event. The digest so far stands in the first 16 bytes.
    buffer: Vec<u8>,
    filled: usize,
    events: u64,
    keep_checkpoints: bool,
    checkpoints: Vec<Checkpoint>,
    /// For an event's bytes before they are appended.
    scratch: Vec<u8>,
}

impl Digester {
    /// An empty one. Checkpoints are kept only if asked for.
    #[must_use]
    pub fn new(keep_checkpoints: bool) -> Digester {
        Digester {
            buffer: Vec::new(),
            filled: 0,
            events: 0,
            keep_checkpoints,
            checkpoints: Vec::new(),
            scratch: Vec::new(),
        }
    }

    /// Adds one event: by the very calls by which an engine adds it that has no [`Event`] at hand.
    pub fn add(&mut self, event: &Event<'_>) {
        let place = Place { at_ns: event.at_ns, node: event.node, task: event.task };
        match &event.kind {
            EventKind::Poll => canonical::poll(self.room(), place),
            EventKind::Send { flow, number, from_port, to, to_port, tag, payload } => {
                let ports = (*from_port, *to, *to_port);
                canonical::send(self.room(), place, (*flow, *number), ports, *tag, payload.len());
                self.put(payload);
            }
            EventKind::Deliver { flow, number, copy } => {
                canonical::deliver(self.room(), place, (*flow, *number, *copy));
            }
            EventKind::Spawn { child } => canonical::spawn(self.room(), place, *child),
            EventKind::TaskEnd { end } => canonical::task_end(self.room(), place, *end),
            _ => {
                let mut bytes = std::mem::take(&mut self.scratch);
                bytes.clear();
                // What most events take, so that it doesn't grow in steps.
                bytes.reserve(256);
                event.write_canonical(&mut bytes);
                self.put(&bytes);
                self.scratch = bytes;
            }
        }
        self.end_event();
    }

    /// Room for the next `N` canonical bytes of an event; see [`crate::event::canonical`]. `N` is at most 256.
    #[inline]
    pub fn room<const N: usize>(&mut self) -> &mut [u8; N] {
        const { assert!(N <= 256) };
        let mut at = self.filled;
        if self.buffer.len() - at < N {
            self.make_room();
            at = self.filled;
        }
        self.filled = at + N;
        self.buffer[at..].first_chunk_mut().expect("there is room")
    }

    /// Appends canonical bytes of an event.
    #[inline]
    pub fn put(&mut self, bytes: &[u8]) {
        match self.buffer.get_mut(self.filled..self.filled + bytes.len()) {
            Some(room) => {
                copy_short(room, bytes);
                self.filled += bytes.len();
            }
            None => self.put_in_pieces(bytes),
        }
    }

    #[cold]
    fn put_in_pieces(&mut self, mut bytes: &[u8]) {
        loop {
            let free = self.buffer.len() - self.filled;
            let (now, later) = bytes.split_at(bytes.len().min(free));
            self.buffer[self.filled..self.filled + now.len()].copy_from_slice(now);
            self.filled += now.len();
            if later.is_empty() {
                return;
            }
            bytes = later;
            self.make_room();
        }
    }

    /// An event's bytes are complete.
    #[inline]
    pub fn end_event(&mut self) {
        self.events += 1;
        if self.events.is_multiple_of(EVENTS_A_BLOCK) {
            self.close_block();
        }
    }

    /// Hashes what is gathered. Where that happens depends on the events alone.
    #[cold]
    fn make_room(&mut self) {
        if self.buffer.is_empty() {
            self.buffer = vec![0; BUFFER_BYTES];
            self.filled = 16;
        } else {
            self.fold();
        }
    }

    fn fold(&mut self) -> Digest {
        let digest = xxh3_128(&self.buffer[..self.filled]);
        self.buffer[..16].copy_from_slice(&digest.to_le_bytes());
        self.filled = 16;
        Digest(digest)
    }

    #[cold]
    fn close_block(&mut self) {
        let digest = self.fold();
        if self.keep_checkpoints {
            self.checkpoints.push(Checkpoint { events: self.events, digest });
        }
    }

    /// How many events were added.
    #[must_use]
    pub fn events(&self) -> u64 {
        self.events
    }

    /// The digest of all events so far and the checkpoints on the way.
    #[must_use]
    pub fn finish(mut self) -> (Digest, Vec<Checkpoint>) {
        let events = self.events.to_le_bytes();
        self.put(&events);
        (self.fold(), self.checkpoints)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::{NodeId, TaskId};

    fn digest_of(texts: &[&str]) -> Digest {
        let mut digester = Digester::new(true);
        for text in texts {
            let kind = EventKind::Fault { what: (*text).into(), part: crate::event::FaultPart::Whole };
            digester.add(&Event { step: 0, at_ns: 0, node: NodeId(0), task: TaskId(0), kind });
        }
        digester.finish().0
    }

    /// An event that is larger than the buffer is hashed in pieces, and its last byte still counts.
    #[test]
    fn events_of_any_size_count_to_the_last_byte() {
        for length in [0, 1, BUFFER_BYTES - 60, BUFFER_BYTES, 5 * BUFFER_BYTES + 7] {
            let text = "x".repeat(length);
            let other = format!("{}y", &text[..length.saturating_sub(1)]);
            assert_eq!(digest_of(&[&text, "end"]), digest_of(&[&text, "end"]));
            assert_ne!(digest_of(&[&text, "end"]), digest_of(&[&other, "end"]), "length {length}");
        }
        assert_ne!(digest_of(&[]), digest_of(&[""]));
    }
}
