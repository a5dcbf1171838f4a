//! Probabilities as ratios of integers, compared with random words without a float.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A probability: `numerator / denominator`, between 0 and 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Ratio {
    numerator: u64,
    denominator: u64,
}

impl Ratio {
    /// Never.
    pub const ZERO: Ratio = Ratio { numerator: 0, denominator: 1 };
    /// Always.
    pub const ONE: Ratio = Ratio { numerator: 1, denominator: 1 };

    /// `numerator / denominator`.
    ///
    /// # Panics
    /// If the denominator is 0 or the ratio is above 1.
    #[must_use]
    pub fn new(numerator: u64, denominator: u64) -> Ratio {
        assert!(denominator > 0, "a ratio needs a denominator above 0");
        assert!(numerator <= denominator, "a probability is at most 1, found {numerator}/{denominator}");
        Ratio { numerator, denominator }
    }

    /// The number below which a uniform 64-bit word means "yes", and whether every word does.
    #[must_use]
    pub fn threshold(self) -> Threshold {
        if self.numerator == self.denominator {
            return Threshold { below: 0, always: true };
        }
        let below = (u128::from(self.numerator) << 64) / u128::from(self.denominator);
        Threshold { below: below as u64, always: false }
    }

    /// This times two to the power of `exponent`, which is from -62 to 62; at most 1.
    #[must_use]
    pub fn times_power_of_two(self, exponent: i8) -> Ratio {
        let shift = u32::from(exponent.unsigned_abs());
        let (mut numerator, mut denominator) = (u128::from(self.numerator), u128::from(self.denominator));
        if exponent >= 0 {
            numerator <<= shift;
        } else {
            denominator <<= shift;
        }
        if numerator >= denominator {
            return Ratio::ONE;
        }
        // Beyond 64 bits the lowest are left out: less than one part in 2^60.
        let beyond = (128 - denominator.leading_zeros()).saturating_sub(64);
        Ratio { numerator: (numerator >> beyond) as u64, denominator: (denominator >> beyond) as u64 }
    }

    /// True where the probability is 0.
    #[must_use]
    pub fn is_zero(self) -> bool {
        self.numerator == 0
    }

    /// For reports only: never where a run is decided.
    #[must_use]
    pub fn as_f64(self) -> f64 {
        self.numerator as f64 / self.denominator as f64
    }
}

/// A ratio, ready to be compared with a random word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Threshold {
    below: u64,
    always: bool,
}

impl Threshold {
    /// Whether a uniform `word` means "yes".
    #[inline]
    #[must_use]
    pub fn hit(self, word: u64) -> bool {
        word < self.below || self.always
    }

    /// True where no word means "yes".
    #[inline]
    #[must_use]
    pub fn is_never(self) -> bool {
        self.below == 0 && !self.always
    }
}

impl fmt::Display for Ratio {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Percent if that is exact in six decimals, else the fraction: what is printed must read back as the same ratio.
        let scaled = u128::from(self.numerator) * 100_000_000;
        if scaled % u128::from(self.denominator) == 0 {
            let millionths = (scaled / u128::from(self.denominator)) as u64;
            let (whole, part) = (millionths / 1_000_000, millionths % 1_000_000);
            if part == 0 {
                return write!(f, "{whole}%");
            }
            let digits = format!("{part:06}");
            return write!(f, "{whole}.{}%", digits.trim_end_matches('0'));
        }
        write!(f, "{}/{}", self.numerator, self.denominator)
    }
}

impl FromStr for Ratio {
    type Err = String;

    /// Reads `5%`, `0.1%`, `1/3`, `0` and `1`.
    ///
    /// # Errors
    /// Anything else, and anything above 100 %.
    fn from_str(text: &str) -> Result<Self, String> {
        let expected = || format!("expected a share such as \"5%\", \"0.1%\" or \"1/3\", found {text:?}");
        let above = || format!("expected a share of at most 100%, found {text:?}");
        let number = |digits: &str| -> Result<u64, String> {
            if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
                return Err(expected());
            }
            digits.parse().map_err(|_| expected())
        };
        let trimmed = text.trim();
        let (numerator, denominator) = if let Some(percent) = trimmed.strip_suffix('%') {
            let percent = percent.trim_end();
            let (whole, part) = percent.split_once('.').unwrap_or((percent, "0"));
            if part.len() > 9 {
                return Err(format!("expected at most nine decimals, found {text:?}"));
            }
            let scale = 10u64.pow(part.len() as u32);
            let whole = number(whole)?;
            if whole > 100 {
                return Err(above());
            }
            (whole * scale + number(part)?, 100 * scale)
        } else if let Some((numerator, denominator)) = trimmed.split_once('/') {
            (number(numerator.trim())?, number(denominator.trim())?)
        } else {
            let whole = number(trimmed)?;
            if whole > 1 {
                return Err(format!("{}; did you mean \"{whole}%\"?", expected()));
            }
            (whole, 1)
        };
        if denominator == 0 {
            return Err(expected());
        }
        if numerator > denominator {
            return Err(above());
        }
        Ok(Ratio { numerator, denominator })
    }
}

impl Serialize for Ratio {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Ratio {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn shares_are_read_in_each_notation() {
        for (text, numerator, denominator) in
            [("5%", 5, 100), ("0.1%", 1, 1000), ("1/3", 1, 3), ("0", 0, 1), ("1", 1, 1), ("100%", 1, 1)]
        {
            let ratio: Ratio = text.parse().unwrap();
            assert_eq!(u128::from(ratio.numerator) * denominator, u128::from(ratio.denominator) * numerator, "{text}");
        }
        for bad in ["120%", "101%", "100.000001%", "-1%", "2", "0.5", "1/0", "3/2", "", "%", "5 percent", "1e-3"] {
            assert!(bad.parse::<Ratio>().is_err(), "{bad:?} was read as a share");
        }
        assert!("120%".parse::<Ratio>().unwrap_err().contains("at most 100%"));
    }

    #[test]
    fn a_ratio_is_multiplied_by_powers_of_two() {
        let third = Ratio::new(1, 3);
        assert_eq!(third.times_power_of_two(1), Ratio::new(2, 3));
        assert_eq!(third.times_power_of_two(-2), Ratio::new(1, 12));
        assert_eq!(third.times_power_of_two(2), Ratio::ONE);
        assert_eq!(Ratio::ZERO.times_power_of_two(2).as_f64(), 0.0);
        let half = Ratio::new(u64::MAX / 2, u64::MAX);
        assert!((half.times_power_of_two(-2).as_f64() - 0.125).abs() < 1e-15);
        assert_eq!(Ratio::ONE.times_power_of_two(-1), Ratio::new(1, 2));
    }

    #[test]
    fn the_ends_never_and_always_hit() {
        assert!(!Ratio::ZERO.threshold().hit(0));
        assert!(Ratio::ONE.threshold().hit(u64::MAX));
        let half = Ratio::new(1, 2).threshold();
        assert!(half.hit((1 << 63) - 1));
        assert!(!half.hit(1 << 63));
    }

    proptest! {
        #[test]
        fn what_is_written_reads_back_equal(numerator in 0u64..=1_000_000, extra in 0u64..1_000_000) {
            let ratio = Ratio::new(numerator, numerator + extra + 1);
            let back: Ratio = ratio.to_string().parse().unwrap();
            prop_assert_eq!(
                u128::from(ratio.numerator) * u128::from(back.denominator),
                u128::from(back.numerator) * u128::from(ratio.denominator)
            );
        }
    }
}
