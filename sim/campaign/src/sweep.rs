//! What a sweep over settings is made of: the values that are tried, the search for a threshold, and how sure it is.
//!
//! All values are whole numbers of some least unit (nanoseconds, millionths); what they are called is the caller's concern.

use std::collections::BTreeMap;

/// How the values between two ends are spaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spacing {
    /// The same difference between each and the next.
    Linear,
    /// The same ratio between each and the next.
    Logarithmic,
}

/// Why there are no such values.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadPoints {
    /// Both ends are values, and they differ.
    #[error("a range has two values at least: its ends")]
    TooFew,
    /// The ends are equal, or the greater one comes first.
    #[error("the lesser end comes first")]
    NotAscending,
    /// No ratio leads away from zero.
    #[error("a logarithmic range begins above zero")]
    LogarithmicFromZero,
    /// There are fewer whole numbers between the ends.
    #[error("there aren't so many different values between the ends")]
    TooMany,
}

/// Logarithmic values between the ends are rounded to so many significant digits, where they are far enough apart.
const DIGITS: u32 = 4;

/// `count` values from `low` to `high`, both included, in ascending order. Between the ends, linear ones are rounded to the nearest whole
/// number; logarithmic ones to four significant digits, or to as many as it takes to move each by less than a twentieth of the way to its
/// neighbour.
///
/// # Errors
/// See [`BadPoints`].
pub fn points(low: u64, high: u64, count: usize, spacing: Spacing) -> Result<Vec<u64>, BadPoints> {
    if low >= high {
        return Err(BadPoints::NotAscending);
    }
    if count < 2 {
        return Err(BadPoints::TooFew);
    }
    let steps = count as u64 - 1;
    if steps > high - low {
        return Err(BadPoints::TooMany);
    }
    match spacing {
        Spacing::Linear => {
            let (span, steps) = (u128::from(high - low), u128::from(steps));
            Ok((0..=steps).map(|step| low + ((2 * span * step + steps) / (2 * steps)) as u64).collect())
        }
        Spacing::Logarithmic if low == 0 => Err(BadPoints::LogarithmicFromZero),
        Spacing::Logarithmic => {
            // The same on every machine: no mathematics of the platform's.
            let (first, ratio) = (low as f64, libm::log(high as f64 / low as f64));
            let between = |step: u64| first * libm::exp(ratio * step as f64 / steps as f64);
            let exact: Vec<u64> = (0..=steps)
                .map(|step| match step {
                    0 => low,
                    _ if step == steps => high,
                    _ => libm::round(between(step)) as u64,
                })
                .collect();
            let at = |digits: u32| -> Vec<u64> {
                let inner = exact[1..exact.len() - 1].iter().map(|&value| rounded(value, digits));
                std::iter::once(low).chain(inner).chain([high]).collect()
            };
            let is_fine = |values: &[u64], digits: u32| {
                values.windows(2).all(|pair| {
                    pair[1].checked_sub(pair[0]).is_some_and(|gap| gap > 0 && gap / 20 >= unit(pair[1], digits) - 1)
                })
            };
            let values = (DIGITS..20).find_map(|digits| Some(at(digits)).filter(|values| is_fine(values, digits)));
            values.ok_or(BadPoints::TooMany)
        }
    }
}

/// The worth of the last of so many significant digits; 1 where all of them fit.
fn unit(value: u64, digits: u32) -> u64 {
    let length = value.checked_ilog10().unwrap_or(0) + 1;
    10u64.pow(length.saturating_sub(digits))
}

/// The nearest number of so many significant digits.
fn rounded(value: u64, digits: u32) -> u64 {
    let unit = unit(value, digits);
    (value / unit).saturating_add(u64::from(value % unit >= unit.div_ceil(2) && unit > 1)).saturating_mul(unit)
}

/// How near the two sides of a threshold have to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resolution {
    /// Their difference.
    Absolute(u64),
    /// Their difference in percent of the greater one; or next to each other.
    Percent(u64),
}

impl Resolution {
    fn is_met(self, low: u64, high: u64) -> bool {
        let apart = high - low;
        match self {
            Resolution::Absolute(most) => apart <= most.max(1),
            Resolution::Percent(percent) => {
                apart <= 1 || u128::from(apart) * 100 <= u128::from(high) * u128::from(percent)
            }
        }
    }
}

/// What a search for a threshold came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Threshold {
    /// The smallest value that fails, of those that were tried.
    pub fails: Option<u64>,
    /// The greatest below it that doesn't; or the greatest of all, if none fails.
    pub passes: Option<u64>,
    /// Those above it that don't fail all the same, in ascending order: there is more than one threshold then.
    pub passes_above: Vec<u64>,
}

impl Threshold {
    /// What is known from the values that were tried, each with whether it fails.
    #[must_use]
    pub fn of(tried: &BTreeMap<u64, bool>) -> Threshold {
        let fails = tried.iter().find(|(_, fails)| **fails).map(|(&value, _)| value);
        let below = |value: &u64| fails.is_none_or(|fails| *value < fails);
        let passing = || tried.iter().filter(|(_, fails)| !**fails).map(|(&value, _)| value);
        Threshold {
            fails,
            passes: passing().rfind(below),
            passes_above: passing().filter(|value| !below(value)).collect(),
        }
    }
}

/// Looks for the smallest value that fails: tries all of `scan`, then halves the interval before the first that fails until `resolution`
/// is met. Values in between are as round as they can be. `fails` tries a value.
///
/// # Errors
/// What `fails` breaks off with; what was tried is in `tried`.
pub fn find_threshold<E>(
    scan: &[u64],
    resolution: Resolution,
    tried: &mut BTreeMap<u64, bool>,
    mut fails: impl FnMut(u64) -> Result<bool, E>,
) -> Result<(), E> {
    for &value in scan {
        tried.insert(value, fails(value)?);
    }
    while let Threshold { fails: Some(high), passes: Some(low), .. } = Threshold::of(tried)
        && !resolution.is_met(low, high)
    {
        let middle = round_between(low, high);
        tried.insert(middle, fails(middle)?);
    }
    Ok(())
}

/// About the middle of two numbers that aren't next to each other: with the fewest digits, three at least, that keep it off the ends.
fn round_between(low: u64, high: u64) -> u64 {
    let (middle, margin) = (low + (high - low) / 2, (high - low) / 4);
    let values = (3..20).map(|digits| rounded(middle, digits));
    let mut inside = values.filter(|&value| value > low && value < high && value.abs_diff(middle) <= margin);
    inside.next().unwrap_or(middle)
}

/// How sure the bounds of [`share_at_least`] and [`share_below`] are.
pub const CONFIDENCE: f64 = 0.95;

/// The share of all runs that fails at least, with a confidence of 95 %, where `failed` of `runs` did: the exact one-sided bound of Clopper
/// and Pearson (1934).
#[must_use]
pub fn share_at_least(failed: u64, runs: u64) -> f64 {
    if failed == 0 {
        return 0.0;
    }
    // The share at which so many or more have a chance of one in twenty.
    bisected(|share| tail(runs, share, failed..=runs) < 1.0 - CONFIDENCE)
}

/// The share of all runs that fails at the most, with a confidence of 95 %, where `failed` of `runs` did: the exact one-sided bound of
/// Clopper and Pearson (1934). Of none of `runs` it is 1 - 0.05^(1/runs), about three over their number.
#[must_use]
pub fn share_below(failed: u64, runs: u64) -> f64 {
    if failed >= runs {
        return 1.0;
    }
    bisected(|share| tail(runs, share, 0..=failed) > 1.0 - CONFIDENCE)
}

/// The share up to which `is_below` holds.
fn bisected(is_below: impl Fn(f64) -> bool) -> f64 {
    let (mut low, mut high) = (0.0, 1.0);
    for _ in 0..60 {
        let middle = (low + high) / 2.0;
        match is_below(middle) {
            true => low = middle,
            false => high = middle,
        }
    }
    (low + high) / 2.0
}

/// The chance that so many of `runs` fail, where each does with that chance, between 0 and 1. A tail of the distribution: one of its ends
/// is 0 or `runs`. What is the longer of the two is the rest of the shorter.
fn tail(runs: u64, share: f64, failed: std::ops::RangeInclusive<u64>) -> f64 {
    let (first, last) = failed.into_inner();
    if last - first > runs / 2 + 1 {
        let rest = if first == 0 { last + 1..=runs } else { 0..=first - 1 };
        return if rest.is_empty() { 1.0 } else { 1.0 - tail(runs, share, rest) };
    }
    let all = libm::lgamma(runs as f64 + 1.0);
    let chance = |failed: u64| {
        let (failed, passed) = (failed as f64, (runs - failed) as f64);
        let ways = all - libm::lgamma(failed + 1.0) - libm::lgamma(passed + 1.0);
        libm::exp(ways + failed * libm::log(share) + passed * libm::log1p(-share))
    };
    (first..=last).map(chance).sum()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MS: u64 = 1_000_000;

    #[test]
    fn the_ends_are_exact_and_what_is_between_them_is_round() {
        let ms = |values: &[f64]| values.iter().map(|ms| (ms * 1e6).round() as u64).collect::<Vec<u64>>();
        assert_eq!(
            points(MS, 200 * MS, 8, Spacing::Logarithmic),
            Ok(ms(&[1.0, 2.132, 4.544, 9.686, 20.65, 44.01, 93.82, 200.0]))
        );
        assert_eq!(points(MS, 201 * MS, 5, Spacing::Linear), Ok(ms(&[1.0, 51.0, 101.0, 151.0, 201.0])));
        assert_eq!(points(0, 10, 4, Spacing::Linear), Ok(vec![0, 3, 7, 10]));
        assert_eq!(points(0, 1, 2, Spacing::Linear), Ok(vec![0, 1]));
        assert_eq!(points(1, 1_000, 4, Spacing::Logarithmic), Ok(vec![1, 10, 100, 1_000]));
        assert_eq!(points(0, u64::MAX, 3, Spacing::Linear), Ok(vec![0, 1 << 63, u64::MAX]));
        // Where they are near each other they need more digits.
        let near = points(100 * MS, 101 * MS, 5, Spacing::Logarithmic).unwrap();
        assert!(near.windows(2).all(|pair| (249_000..251_300).contains(&(pair[1] - pair[0]))), "{near:?}");
    }

    #[test]
    fn values_that_can_not_be_are_errors() {
        use Spacing::{Linear, Logarithmic};
        assert_eq!(points(5, 5, 2, Linear), Err(BadPoints::NotAscending));
        assert_eq!(points(6, 5, 2, Linear), Err(BadPoints::NotAscending));
        assert_eq!(points(5, 6, 1, Linear), Err(BadPoints::TooFew));
        assert_eq!(points(5, 6, 0, Logarithmic), Err(BadPoints::TooFew));
        assert_eq!(points(0, 6, 2, Logarithmic), Err(BadPoints::LogarithmicFromZero));
        assert_eq!(points(5, 6, 3, Linear), Err(BadPoints::TooMany));
        // Of 1, 1.4, 1.9, … there are two that are 1.
        assert_eq!(points(1, 10, 8, Logarithmic), Err(BadPoints::TooMany));
    }

    proptest! {
        #[test]
        fn values_ascend_and_are_where_they_belong(low in 1u64..1 << 40, span in 1_000u64..1 << 40, count in 2usize..40) {
            let high = low + span;
            for spacing in [Spacing::Linear, Spacing::Logarithmic] {
                let values = points(low, high, count, spacing).unwrap();
                prop_assert_eq!(values.len(), count);
                prop_assert_eq!((values[0], values[count - 1]), (low, high));
                let place = |value: u64| match spacing {
                    Spacing::Linear => (value - low) as f64 / span as f64,
                    Spacing::Logarithmic => (value as f64 / low as f64).ln() / (high as f64 / low as f64).ln(),
                };
                for (index, &value) in values.iter().enumerate() {
                    let wanted = index as f64 / (count - 1) as f64;
                    // A twentieth of a step, and half a nanosecond.
                    let room = 0.06 / (count - 1) as f64 + 1.0 / span as f64 * (high as f64 / low as f64).min(2.0);
                    prop_assert!((place(value) - wanted).abs() <= room, "{spacing:?} {values:?}");
                }
                prop_assert!(values.is_sorted_by(|one, next| one < next));
            }
        }

        /// With one threshold the search ends on both sides of it, however it lies.
        #[test]
        fn a_threshold_is_found(low in 0u64..1 << 40, span in 2u64..1 << 40, at in 0u64..1 << 41, scan in 2usize..12) {
            let high = low + span;
            let scan = points(low, high, scan.min(span as usize + 1), Spacing::Linear).unwrap();
            for resolution in [Resolution::Absolute(1), Resolution::Absolute(1_000), Resolution::Percent(1)] {
                let mut tried = BTreeMap::new();
                find_threshold(&scan, resolution, &mut tried, |value| Ok::<bool, ()>(value >= at)).unwrap();
                let Threshold { fails, passes, passes_above } = Threshold::of(&tried);
                prop_assert!(passes_above.is_empty());
                match (passes, fails) {
                    (Some(passes), Some(fails)) => {
                        prop_assert!(passes < at && at <= fails && resolution.is_met(passes, fails));
                    }
                    (None, Some(fails)) => prop_assert!(fails == low && at <= low),
                    (Some(passes), None) => prop_assert!(passes == high && at > high),
                    (None, None) => prop_assert!(false, "nothing was tried"),
                }
                prop_assert!(tried.len() <= scan.len() + 64);
            }
        }
    }

    #[test]
    fn what_passes_above_a_failure_is_told() {
        let mut tried = BTreeMap::new();
        let fails = |value| Ok::<bool, ()>((30..60).contains(&value));
        find_threshold(&[0, 25, 50, 75, 100], Resolution::Absolute(1), &mut tried, fails).unwrap();
        let found = Threshold { fails: Some(30), passes: Some(29), passes_above: vec![75, 100] };
        assert_eq!(Threshold::of(&tried), found);
        assert_eq!(Threshold::of(&BTreeMap::new()), Threshold::default());
        let broken = find_threshold(&[1, 2], Resolution::Absolute(1), &mut tried, |_| Err("enough"));
        assert_eq!(broken, Err("enough"));
    }

    /// From tables of exact (Clopper-Pearson) one-sided 95 % bounds.
    #[test]
    fn bounds_are_exact() {
        let near = |found: f64, wanted: f64| assert!((found - wanted).abs() < 5e-5, "{found} for {wanted}");
        for runs in [1u64, 10, 100, 1_000] {
            let none = 1.0 - 0.05f64.powf(1.0 / runs as f64);
            near(share_below(0, runs), none);
            near(share_at_least(runs, runs), 1.0 - none);
            assert_eq!((share_at_least(0, runs), share_below(runs, runs)), (0.0, 1.0));
        }
        // One of two: the roots of 1 - (1 - p)^2 = 0.05 and of 1 - p^2 = 0.05.
        near(share_at_least(1, 2), 1.0 - 0.95f64.sqrt());
        near(share_below(1, 2), 0.95f64.sqrt());
        // Both are the same claim, of what fails and of what doesn't.
        for (failed, runs) in [(1, 3), (12, 100), (400, 1_000), (999, 1_000)] {
            near(share_at_least(failed, runs), 1.0 - share_below(runs - failed, runs));
            let share = failed as f64 / runs as f64;
            assert!(share_at_least(failed, runs) < share && share < share_below(failed, runs));
        }
    }
}
