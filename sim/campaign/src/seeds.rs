//! Ranges of seeds: `0..1000`.

use std::fmt;
use std::ops::{Range, RangeInclusive};
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use squall_trace::Seed;

/// Seeds from a first one up to an end, which isn't part of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Ends", into = "Ends")]
pub struct SeedRange {
    start: u64,
    end: u64,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Ends {
    start: Seed,
    end: Seed,
}

impl From<SeedRange> for Ends {
    fn from(range: SeedRange) -> Ends {
        Ends { start: Seed(range.start), end: Seed(range.end) }
    }
}

impl TryFrom<Ends> for SeedRange {
    type Error = String;

    fn try_from(Ends { start, end }: Ends) -> Result<SeedRange, String> {
        if start > end {
            return Err(format!("the range of seeds {start}..{end} ends before it starts"));
        }
        Ok(SeedRange { start: start.0, end: end.0 })
    }
}

/// Why a text is no range of seeds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadRange {
    /// What was expected and what was found.
    pub message: String,
    /// What was probably meant, as it would be written.
    pub suggestion: Option<String>,
}

impl fmt::Display for BadRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        match &self.suggestion {
            Some(suggestion) => write!(f, "; did you mean {suggestion:?}?"),
            None => Ok(()),
        }
    }
}

impl SeedRange {
    /// Reads `0..1000` and `0x10..0x20`.
    ///
    /// # Errors
    /// Anything else, and a range that ends before it begins.
    pub fn parse(text: &str) -> Result<SeedRange, BadRange> {
        let expected = |suggestion: Option<String>| BadRange {
            message: format!("expected a range of seeds such as \"0..1000\" (the end is left out), found {text:?}"),
            suggestion,
        };
        let Some((start, end)) = text.split_once("..") else {
            let only = Seed::from_str(text.trim()).ok();
            return Err(expected(only.map(|seed| match seed.0.checked_add(1) {
                Some(next) if seed.0 == 0 => format!("0..{next}"),
                _ => format!("0..{}", seed.0),
            })));
        };
        if end.starts_with(['=', '.']) {
            return Err(expected(None));
        }
        let read = |side: &str| {
            Seed::from_str(side.trim())
                .map(|seed| seed.0)
                .map_err(|message| BadRange { message: format!("{message} in the range {text:?}"), suggestion: None })
        };
        let (start, end) = (read(start)?, read(end)?);
        if start > end {
            return Err(BadRange {
                message: format!("the range of seeds {text:?} ends before it starts"),
                suggestion: Some(format!("{end}..{start}")),
            });
        }
        Ok(SeedRange::new(start, end))
    }

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

    /// As [`SeedRange::parse`].
    fn from_str(text: &str) -> Result<Self, String> {
        SeedRange::parse(text).map_err(|error| error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_read_and_written() {
        assert_eq!("0..1000".parse(), Ok(SeedRange::new(0, 1000)));
        assert_eq!("0x10..0x20".parse(), Ok(SeedRange::from(16..32)));
        assert_eq!("0x10 .. 0x20".parse(), Ok(SeedRange::new(16, 32)));
        assert_eq!("7..7".parse(), Ok(SeedRange::new(7, 7)));
        assert_eq!(format!("0..{}", u64::MAX).parse(), Ok(SeedRange::new(0, u64::MAX)));
        for (range, written) in [(3..9, "3..9"), (1 << 40..1 << 41, "0x10000000000..0x20000000000")] {
            let range = SeedRange::from(range);
            assert_eq!(range.to_string(), written);
            assert_eq!(written.parse(), Ok(range));
        }
        assert_eq!(SeedRange::from(0..=6).len(), 7);
        for bad in ["", "5", "..", "1..", "..5", "5..1", "a..b", "0..=5", "0...9", "-1..5", "0..18446744073709551616"] {
            assert!(bad.parse::<SeedRange>().is_err(), "{bad:?} was read as a range");
        }
    }

    #[test]
    fn a_range_in_a_file_is_checked() {
        let range = SeedRange::new(16, u64::MAX);
        let text = serde_json::to_string(&range).unwrap();
        assert_eq!(text, r#"{"start":"0x10","end":"0xffffffffffffffff"}"#);
        assert_eq!(serde_json::from_str::<SeedRange>(&text).unwrap(), range);
        let error = serde_json::from_str::<SeedRange>(r#"{"start":"0x10","end":"0xf"}"#).unwrap_err();
        assert!(error.to_string().contains("ends before it starts"), "{error}");
    }
}
