//! Ranges of seeds: `0..1000`.

use std::fmt;
use std::ops::{Range, RangeInclusive};
use std::str::FromStr;

use squall_trace::Seed;

/// Seeds from a first one up to an end, which isn't part of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SeedRange {
    start: u64,
    end: u64,
}

impl SeedRange {
    /// `start..end`. Empty if the end isn't above the start.
    #[must_use]
    pub const fn new(start: u64, end: u64) -> SeedRange {
        SeedRange { start, end: if end < start { start } else { end } }
    }

    /// The first seed.
    #[must_use]
    pub const fn start(self) -> u64 {
        self.start
    }

    /// The seed after the last one.
    #[must_use]
    pub const fn end(self) -> u64 {
        self.end
    }

    /// How many seeds there are.
    #[must_use]
    pub const fn len(self) -> u64 {
        self.end - self.start
    }

    /// Whether a seed is among them.
    #[must_use]
    pub const fn contains(self, seed: Seed) -> bool {
        self.start <= seed.0 && seed.0 < self.end
    }

    /// Whether there are none.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.start == self.end
    }
}

impl From<u64> for SeedRange {
    fn from(count: u64) -> SeedRange {
        SeedRange::new(0, count)
    }
}

impl From<Range<u64>> for SeedRange {
    fn from(range: Range<u64>) -> SeedRange {
        SeedRange::new(range.start, range.end)
    }
}

impl From<RangeInclusive<u64>> for SeedRange {
    /// The very last seed of all, 2^64 - 1, can't be part of a range.
    fn from(range: RangeInclusive<u64>) -> SeedRange {
        SeedRange::new(*range.start(), range.end().saturating_add(1))
    }
}

/// As a person writes it: decimal, and hexadecimal where that would be long.
impl fmt::Display for SeedRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let SeedRange { start, end } = self;
        if u32::try_from(*end).is_ok() {
            write!(f, "{start}..{end}")
        } else {
            write!(f, "{}..{}", Seed(*start), Seed(*end))
        }
    }
}

impl FromStr for SeedRange {
    type Err = String;

    /// Reads `0..1000` and `0x10..0x20`.
    ///
    /// # Errors
    /// Anything else, and a range that ends before it begins.
    fn from_str(text: &str) -> Result<Self, String> {
        crate::scenario::parse_seeds(text).map_err(|error| error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_read_and_written() {
        assert_eq!("0..1000".parse(), Ok(SeedRange::new(0, 1000)));
        assert_eq!("0x10..0x20".parse(), Ok(SeedRange::from(16..32)));
        assert_eq!("7..7".parse(), Ok(SeedRange::new(7, 7)));
        for (range, written) in [(3..9, "3..9"), (1 << 40..1 << 41, "0x10000000000..0x20000000000")] {
            let range = SeedRange::from(range);
            assert_eq!(range.to_string(), written);
            assert_eq!(written.parse(), Ok(range));
        }
        assert_eq!(SeedRange::from(0..=6).len(), 7);
        for bad in ["", "5", "..", "1..", "..5", "5..1", "a..b", "0..=5", "-1..5"] {
            assert!(bad.parse::<SeedRange>().is_err(), "{bad:?} was read as a range");
        }
    }
}
