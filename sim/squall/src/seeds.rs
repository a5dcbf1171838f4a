//! Ranges of seeds: `0..1000`, or 1000 for the same.

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

impl fmt::Display for SeedRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}..{}", self.start, self.end)
    }
}

impl FromStr for SeedRange {
    type Err = String;

    /// Reads `0..1000`, `0x10..0x20` and `1000`.
    ///
    /// # Errors
    /// Anything else, and a range that ends before it begins.
    fn from_str(text: &str) -> Result<Self, String> {
        let number = |digits: &str| digits.trim().parse::<Seed>().map(|seed| seed.0).map_err(|error| error.to_string());
        match text.split_once("..") {
            None => number(text).map(SeedRange::from),
            Some((start, end)) => {
                let (start, end) = (number(start)?, number(end)?);
                if end < start {
                    return Err(format!("the range {text} ends before it begins"));
                }
                Ok(SeedRange { start, end })
            }
        }
        .map_err(|error| format!("expected seeds such as 0..1000 or 1000, found {text:?}: {error}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_read_and_written() {
        assert_eq!("0..1000".parse(), Ok(SeedRange::new(0, 1000)));
        assert_eq!("0x10..0x20".parse(), Ok(SeedRange::from(16..32)));
        assert_eq!("7".parse(), Ok(SeedRange::from(0..=6)));
        assert_eq!(SeedRange::from(3..9).to_string().parse(), Ok(SeedRange::from(3..9)));
        assert_eq!(SeedRange::from(3..9).len(), 6);
        for bad in ["", "..", "1..", "..5", "5..1", "a..b", "0..=5", "-1..5"] {
            assert!(bad.parse::<SeedRange>().is_err(), "{bad:?} was read as a range");
        }
    }
}
