//! The default value of a site: a pure function of (seed, site).
//!
//! ChaCha8 turns the seed into one key for the run; [Philox2x64-7] under that key turns the address of a site into
//! random words. A counter-based generator needs no state for each flow and no stream that could be shifted: the 128-bit
//! counter *is* the address, and Philox permutes counters, so that no two addresses share a block.
//!
//! [Philox2x64-7]: Salmon, Moraes, Dror and Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC'11. Its authors'
//! known answers are in the tests below.

use rand_chacha::ChaCha8Rng;
use rand_core::{Rng, SeedableRng};

use crate::id::{FlowId, Seed};
use crate::site::SiteKind;

/// What a stream of values is for. Streams of different purposes never share a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u64)]
pub enum Purpose {
    /// The weather: everything that a plan can calm.
    Weather = 0,
    /// What the application itself draws, and the entropy that it asks the system for.
    Application = 1,
    /// What a strategy draws for itself (PCT's change points, say).
    Strategy = 2,
    /// Which classes of faults a run of a swarm does without: see [`crate::swarm`].
    Swarm = 3,
}

/// The key of a run for one purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RunKey(u64);

const MULTIPLIER: u64 = 0xD2B7_4407_B1CE_6E93;
/// Of [`RunKey::burst_words`]: no kind of site has that number.
const BURST_BLOCK: u16 = 0x100;
/// Of [`RunKey::torn_word`].
const TORN_BLOCK: u16 = 0x101;
/// Of [`RunKey::swarm_word`].
const SWARM_BLOCK: u16 = 0x102;
/// Of [`RunKey::reorder_words`].
const REORDER_BLOCK: u16 = 0x103;
/// Of [`RunKey::swizzle_words`], and the 63 above it.
const SWIZZLE_BLOCK: u16 = 0x200;
const WEYL: u64 = 0x9E37_79B9_7F4A_7C15;

/// Philox2x64 with seven rounds: two random words for a 128-bit counter under a 64-bit key. Six pass BigCrush in its
/// authors' tests, and a message waits for each of them.
#[inline]
#[must_use]
pub fn philox2x64_7(counter: [u64; 2], key: u64) -> [u64; 2] {
    let [mut low, mut high] = counter;
    let mut round_key = key;
    for _ in 0..7 {
        let product = u128::from(low) * u128::from(MULTIPLIER);
        low = (product >> 64) as u64 ^ round_key ^ high;
        high = product as u64;
        round_key = round_key.wrapping_add(WEYL);
    }
    [low, high]
}

impl RunKey {
    /// The key for `seed` and `purpose`. `salt` is 0 but for the part of a run that is drawn again
    /// ([`crate::Redraw`]).
    #[must_use]
    pub fn derive(seed: Seed, purpose: Purpose, salt: u64) -> RunKey {
        let mut bytes = [0u8; 32];
        bytes[..8].copy_from_slice(&seed.0.to_le_bytes());
        bytes[8..16].copy_from_slice(&(purpose as u64).to_le_bytes());
        bytes[16..24].copy_from_slice(&salt.to_le_bytes());
        bytes[24..].copy_from_slice(b"squall 1");
        RunKey(ChaCha8Rng::from_seed(bytes).next_u64())
    }

    /// The two words of block `block` at (`flow`, `number`). Callers keep `block` below 2^16 and `number` below 2^48.
    #[inline]
    #[must_use]
    pub fn words(self, flow: FlowId, number: u64, block: u16) -> [u64; 2] {
        philox2x64_7([flow.0, number << 16 | u64::from(block)], self.0)
    }

    /// The words of a message's fate: latency and loss. One block, since every message needs both.
    #[inline]
    #[must_use]
    pub fn fate_words(self, flow: FlowId, number: u64) -> FateWords {
        let [latency, loss] = self.words(flow, number, SiteKind::Latency as u16);
        FateWords { latency, loss }
    }

    /// The words of a duplicate: whether, and how long the copy travels.
    #[inline]
    #[must_use]
    pub fn duplicate_words(self, flow: FlowId, number: u64) -> DuplicateWords {
        let [whether, latency] = self.words(flow, number, SiteKind::Duplicate as u16);
        DuplicateWords { whether, latency }
    }

    /// The words of a corruption: whether, and which bit.
    #[inline]
    #[must_use]
    pub fn corruption_words(self, flow: FlowId, number: u64) -> CorruptionWords {
        let [whether, bit] = self.words(flow, number, SiteKind::Corruption as u16);
        CorruptionWords { whether, bit }
    }

    /// The word for whether a connection breaks at a segment: it does below the ratio's threshold.
    #[inline]
    #[must_use]
    pub fn reset_word(self, flow: FlowId, number: u64) -> u64 {
        self.words(flow, number, SiteKind::Reset as u16)[0]
    }

    /// The words of a message that others overtake: whether, and for the latency that it takes a second time.
    #[inline]
    #[must_use]
    pub fn reorder_words(self, flow: FlowId, number: u64) -> DuplicateWords {
        let [whether, latency] = self.words(flow, number, REORDER_BLOCK);
        DuplicateWords { whether, latency }
    }

    /// The words for how long a link that loses in bursts is good or bad for the `number`th time. `link` stands for the link.
    #[inline]
    #[must_use]
    pub fn burst_words(self, link: FlowId, number: u64) -> BurstWords {
        let [good, bad] = self.words(link, number, BURST_BLOCK);
        BurstWords { good, bad }
    }

    /// The words of a decision about a disk of that kind: whether, and what.
    #[inline]
    #[must_use]
    pub fn disk_words(self, flow: FlowId, number: u64, kind: SiteKind) -> DiskWords {
        let [whether, what] = self.words(flow, number, kind as u16);
        DiskWords { whether, what }
    }

    /// The word for how much of a write to a disk is torn off.
    #[inline]
    #[must_use]
    pub fn torn_word(self, flow: FlowId, number: u64) -> u64 {
        self.words(flow, number, TORN_BLOCK)[0]
    }

    /// The word for whether a fault at a given time comes, where a swarm lets only a share of them come.
    #[inline]
    #[must_use]
    pub fn swarm_word(self, flow: FlowId, number: u64) -> u64 {
        self.words(flow, number, SWARM_BLOCK)[0]
    }

    /// The words for the `place`th step of what a swizzle draws; `place` is below 64.
    #[inline]
    #[must_use]
    pub fn swizzle_words(self, flow: FlowId, number: u64, place: u16) -> [u64; 2] {
        self.words(flow, number, SWIZZLE_BLOCK + place)
    }

    /// The word of an ordering decision.
    #[inline]
    #[must_use]
    pub fn order_word(self, flow: FlowId, number: u64) -> u64 {
        self.words(flow, number, SiteKind::Order as u16)[0]
    }
}

/// See [`RunKey::fate_words`].
#[derive(Clone, Copy, Debug)]
pub struct FateWords {
    /// For the inverse of the latency's distribution.
    pub latency: u64,
    /// Lost if below the loss ratio's threshold.
    pub loss: u64,
}

/// See [`RunKey::corruption_words`].
#[derive(Clone, Copy, Debug)]
pub struct CorruptionWords {
    /// Corrupted if below the ratio's threshold.
    pub whether: u64,
    /// Multiplied by the number of bits, its upper half says which.
    pub bit: u64,
}

/// See [`RunKey::burst_words`]: each for the inverse of a distribution.
#[derive(Clone, Copy, Debug)]
pub struct BurstWords {
    /// For how long it is good.
    pub good: u64,
    /// For how long it is bad.
    pub bad: u64,
}

/// See [`RunKey::disk_words`].
#[derive(Clone, Copy, Debug)]
pub struct DiskWords {
    /// It happens if this is below the ratio's threshold; of a latency, for the inverse of its distribution.
    pub whether: u64,
    /// Which bit; of a crash, whether what isn't lost is torn.
    pub what: u64,
}

/// See [`RunKey::duplicate_words`].
#[derive(Clone, Copy, Debug)]
pub struct DuplicateWords {
    /// Duplicated if below the ratio's threshold.
    pub whether: u64,
    /// For the inverse of the latency's distribution.
    pub latency: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Known answers published with Random123 (`kat_vectors`, philox2x64, 7 rounds).
    #[test]
    fn philox_gives_its_authors_answers() {
        assert_eq!(philox2x64_7([0, 0], 0), [0xb41d_a69f_bfef_c666, 0x511e_9ce1_a553_4056]);
        assert_eq!(philox2x64_7([u64::MAX, u64::MAX], u64::MAX), [0xa469_6cc0_4462_015d, 0x7247_82da_e171_69e9]);
        assert_eq!(
            philox2x64_7([0x243f_6a88_85a3_08d3, 0x1319_8a2e_0370_7344], 0xa409_3822_299f_31d0),
            [0x98ed_1534_392b_f372, 0x6752_8b15_6888_2fd5]
        );
    }

    #[test]
    fn keys_differ_by_seed_purpose_and_salt() {
        let key = RunKey::derive(Seed(1), Purpose::Weather, 0);
        assert_eq!(key, RunKey::derive(Seed(1), Purpose::Weather, 0));
        assert_ne!(key, RunKey::derive(Seed(2), Purpose::Weather, 0));
        assert_ne!(key, RunKey::derive(Seed(1), Purpose::Application, 0));
        assert_ne!(key, RunKey::derive(Seed(1), Purpose::Weather, 1));
    }

    /// Chi-squared over 256 cells, for neighbours in each coordinate of the address: number, flow, seed, kind. The bound
    /// is the 99.99 % point of chi-squared with 255 degrees of freedom (347.7); the seeds are fixed.
    #[test]
    fn neighbouring_sites_give_uniform_words() {
        let draws = 1 << 18;
        type WordOf = fn(u64) -> u64;
        let word_of: [(&str, WordOf); 4] = [
            ("number", |i| RunKey::derive(Seed(7), Purpose::Weather, 0).words(FlowId(3), i, 1)[0]),
            ("flow", |i| RunKey::derive(Seed(7), Purpose::Weather, 0).words(FlowId(i), 1, 1)[1]),
            ("seed", |i| RunKey::derive(Seed(i), Purpose::Weather, 0).words(FlowId(3), 1, 1)[0]),
            ("xor of neighbours", |i| {
                let key = RunKey::derive(Seed(9), Purpose::Weather, 0);
                key.words(FlowId(5), i, 1)[0] ^ key.words(FlowId(5), i + 1, 1)[0]
            }),
        ];
        for (what, word) in word_of {
            for shift in [0, 28, 56] {
                let mut cells = [0u64; 256];
                for i in 0..draws {
                    cells[(word(i) >> shift) as usize & 255] += 1;
                }
                let expected = draws as f64 / 256.0;
                let chi: f64 = cells.iter().map(|&n| (n as f64 - expected) * (n as f64 - expected) / expected).sum();
                assert!(chi < 347.7, "{what}, bits from {shift}: chi-squared {chi}");
            }
        }
    }
}
