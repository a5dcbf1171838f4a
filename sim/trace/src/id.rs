//! Names as numbers: nodes, tasks, flows and seeds.
//!
//! A node's number is its place in the world. A task's and a flow's are hashes of *names* (node name, boot number, spawn
//! path, destination), never of a counter that something else could shift: adding a node or a task elsewhere leaves them
//! as they are, and with them every saved failure.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use xxhash_rust::xxh3::xxh3_64;

/// A node's place in the world, counted from 0 in the order of declaration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct NodeId(pub u32);

impl NodeId {
    /// The world itself: what faults, control tasks and the engine do happens on no node.
    pub const WORLD: NodeId = NodeId(u32::MAX);

    /// The index into a table of nodes.
    #[must_use]
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

macro_rules! hashed_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub u64);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:016x}", self.0)
            }
        }

        impl FromStr for $name {
            type Err = String;

            fn from_str(text: &str) -> Result<Self, String> {
                if text.len() != 16 {
                    return Err(format!("expected 16 hex digits, found {text:?}"));
                }
                u64::from_str_radix(text, 16)
                    .map($name)
                    .map_err(|_| format!("expected 16 hex digits, found {text:?}"))
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = String::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}

hashed_id! {
    /// A task: the hash of its spawn path (node name, boot number, then name and ordinal of each spawn).
    TaskId
}
hashed_id! {
    /// A flow: the hash of who decides and for whom (a sending task, a destination and a tag, say). Numbers of
    /// decisions count within a flow.
    FlowId
}

impl TaskId {
    /// The engine itself, where no task is running.
    pub const NONE: TaskId = TaskId(0);

    /// The root task of a node's boot. Boots count from 0.
    #[must_use]
    pub fn root(node_name: &str, boot: u32) -> TaskId {
        TaskId(hash_parts(&[b"task root", node_name.as_bytes(), &boot.to_le_bytes()]))
    }

    /// The `ordinal`-th child (from 0) that this task spawned under that name.
    #[must_use]
    pub fn child(self, name_hash: u64, ordinal: u32) -> TaskId {
        let mut bytes = [0u8; 21];
        bytes[..8].copy_from_slice(&self.0.to_le_bytes());
        bytes[8..16].copy_from_slice(&name_hash.to_le_bytes());
        bytes[16..20].copy_from_slice(&ordinal.to_le_bytes());
        bytes[20] = b't';
        TaskId(xxh3_64(&bytes))
    }
}

/// Hashes four words: the folded multiplication of wyhash and its kin (Wang Yi), a dozen instructions where a general
/// hash needs five times as many. For addresses that are made once a message.
#[inline]
#[must_use]
pub fn hash_words(words: [u64; 4]) -> u64 {
    #[inline]
    fn fold(a: u64, b: u64) -> u64 {
        let product = u128::from(a) * u128::from(b);
        product as u64 ^ (product >> 64) as u64
    }
    let first = fold(words[0] ^ 0xa076_1d64_78bd_642f, words[1] ^ 0xe703_7ed1_a0b4_28db);
    let second = fold(words[2] ^ 0x8ebc_6af0_9c88_c6e3, words[3] ^ 0x5899_65cc_7537_4cc3);
    fold(first ^ 0x1d8e_4e27_c47d_124f, second ^ 0xa076_1d64_78bd_642f)
}

/// Hashes a list of byte strings so that moving a byte from one to the next changes the result.
#[must_use]
pub fn hash_parts(parts: &[&[u8]]) -> u64 {
    /// Names are short: most lists fit, and need no allocation.
    const ON_STACK_BYTES: usize = 128;

    let total = parts.iter().map(|part| part.len() + 8).sum();
    let mut on_stack = [0; ON_STACK_BYTES];
    let mut on_heap = Vec::new();
    let bytes = match on_stack.get_mut(..total) {
        Some(bytes) => bytes,
        None => {
            on_heap.resize(total, 0);
            on_heap.as_mut_slice()
        }
    };
    let mut rest = &mut *bytes;
    for part in parts {
        let (length, behind) = rest.split_at_mut(8);
        length.copy_from_slice(&(part.len() as u64).to_le_bytes());
        let (place, behind) = behind.split_at_mut(part.len());
        place.copy_from_slice(part);
        rest = behind;
    }
    xxh3_64(bytes)
}

/// A seed: 64 bits, written `0x2a`, read as `0x2a` or `42`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Seed(pub u64);

impl fmt::Display for Seed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#x}", self.0)
    }
}

impl FromStr for Seed {
    type Err = String;

    /// # Errors
    /// Text that is neither decimal nor `0x` and hex digits, or that needs more than 64 bits.
    fn from_str(text: &str) -> Result<Self, String> {
        let digits = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X"));
        let parsed = match digits {
            // `from_str_radix` takes a sign; a seed has none.
            Some(hex) if !hex.starts_with('+') => u64::from_str_radix(hex, 16).ok(),
            None if !text.starts_with('+') => text.parse().ok(),
            _ => None,
        };
        parsed.map(Seed).ok_or_else(|| {
            format!("{text:?} is no seed: expected a number below 2^64, decimal (42) or hexadecimal (0x2a)")
        })
    }
}

impl Serialize for Seed {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Seed {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seeds_are_read_in_both_notations_and_written_in_hex() {
        assert_eq!("42".parse(), Ok(Seed(42)));
        assert_eq!("0x2a".parse(), Ok(Seed(42)));
        assert_eq!(Seed(42).to_string(), "0x2a");
        assert_eq!("18446744073709551615".parse(), Ok(Seed(u64::MAX)));
        for bad in ["", "0x", "-1", "+1", "0x+1", "2a", "18446744073709551616", "1.0", " 1"] {
            assert!(bad.parse::<Seed>().is_err(), "{bad:?} was read as a seed");
        }
    }

    /// No two of two million neighbours share a hash (with 64 bits the odds are one in nine million), and each bit of the
    /// result is set in about half of them.
    #[test]
    fn words_are_spread() {
        let mut hashes = Vec::new();
        for a in 0..100u64 {
            for b in 0..100 {
                for c in 0..100 {
                    hashes.push(hash_words([a << 40, b, c << 16, 0]));
                    hashes.push(hash_words([7, a << 48, c, b]));
                }
            }
        }
        for bit in 0..64 {
            let set = hashes.iter().filter(|&hash| hash >> bit & 1 == 1).count();
            assert!((996_000..1_004_000).contains(&set), "bit {bit} is set in {set} of two million");
        }
        hashes.sort_unstable();
        hashes.dedup();
        assert_eq!(hashes.len(), 2_000_000);
    }

    #[test]
    fn parts_don_t_run_into_each_other() {
        assert_ne!(hash_parts(&[b"ab", b"c"]), hash_parts(&[b"a", b"bc"]));
        assert_ne!(TaskId::root("a", 0), TaskId::root("a", 1));
    }

    #[test]
    fn parts_of_any_length_are_hashed_with_their_lengths() {
        for length in [0usize, 1, 103, 104, 105, 1_000] {
            let long = vec![7u8; length];
            let mut bytes = 16u64.to_le_bytes().to_vec();
            bytes.extend_from_slice(&[1; 16]);
            bytes.extend_from_slice(&(length as u64).to_le_bytes());
            bytes.extend_from_slice(&long);
            assert_eq!(hash_parts(&[&[1; 16], &long]), xxh3_64(&bytes), "{length}");
        }
    }
}
