//! 128 bits over the canonical bytes of every event, with checkpoints.
//!
//! Events are gathered in blocks of [`EVENTS_A_BLOCK`]; each block is hashed (XXH3, 128 bits) together with the digest of
//! all blocks before it. The digest after a block is a checkpoint: two traces of the same run part in the first block whose
//! checkpoints differ, which bisection finds without looking at the events.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use xxhash_rust::xxh3::xxh3_128;

use crate::event::Event;

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

/// Takes events in, gives a digest.
#[derive(Clone, Debug)]
pub struct Digester {
    /// The digest so far stands in the first 16 bytes.
    block: Vec<u8>,
    events: u64,
    keep_checkpoints: bool,
    checkpoints: Vec<Checkpoint>,
}

impl Digester {
    /// An empty one. Checkpoints are kept only if asked for.
    #[must_use]
    pub fn new(keep_checkpoints: bool) -> Digester {
        let mut block = Vec::with_capacity(32 * 1024);
        block.extend_from_slice(&[0; 16]);
        Digester { block, events: 0, keep_checkpoints, checkpoints: Vec::new() }
    }

    /// Adds one event.
    pub fn add(&mut self, event: &Event<'_>) {
        self.add_with(|block| event.write_canonical(block));
    }

    /// Adds one event whose canonical bytes `write` appends; see [`crate::event::canonical`].
    #[inline]
    pub fn add_with(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        write(&mut self.block);
        self.events += 1;
        if self.events.is_multiple_of(EVENTS_A_BLOCK) {
            self.close_block();
        }
    }

    #[cold]
    fn close_block(&mut self) {
        let digest = xxh3_128(&self.block);
        self.block.clear();
        self.block.extend_from_slice(&digest.to_le_bytes());
        if self.keep_checkpoints {
            self.checkpoints.push(Checkpoint { events: self.events, digest: Digest(digest) });
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
        self.block.extend_from_slice(&self.events.to_le_bytes());
        (Digest(xxh3_128(&self.block)), self.checkpoints)
    }
}
