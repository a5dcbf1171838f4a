//! How many different runs there were, as a campaign went on: whether more seeds still show what none has shown.
//!
//! Two runs are the same if their digests are. Of a long campaign not all digests are kept: those that are the least numbers, which are
//! chosen evenly as digests are spread evenly, tell how many there are (Z. Bar-Yossef et al., *Counting distinct elements in a data
//! stream*, 2002), and how many of those came once. So memory is bounded, and a run costs a comparison, mostly.

use std::collections::BTreeMap;

use squall_trace::Digest;

/// So many different digests are kept: an estimate from them has a standard error of 1.6 %.
const KEPT_MAX: usize = 4_096;

/// A campaign that was so much longer at one point of the curve is at the next, in percent.
const STEP_PERCENT: u64 = 3;

/// How many different runs there were.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Saturation {
    runs: u64,
    /// The least digests, and how often each came.
    kept: BTreeMap<u128, u64>,
    /// Whether there are others.
    is_estimate: bool,
    points: Vec<Point>,
}

/// Where a campaign stood after some of its runs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Point {
    /// How many runs there had been.
    pub runs: u64,
    /// How many different ones.
    pub distinct: u64,
}

impl Saturation {
    /// Adds the next run.
    pub fn add(&mut self, digest: Digest) {
        self.runs += 1;
        let is_least = !self.is_estimate || self.kept.last_key_value().is_some_and(|(last, _)| digest.0 <= *last);
        if is_least {
            *self.kept.entry(digest.0).or_default() += 1;
            if self.kept.len() > KEPT_MAX {
                // What is left was among the least from its first time on: its count is exact.
                self.kept.pop_last();
                self.is_estimate = true;
            }
        }
        let next = self.points.last().map_or(1, |last| last.runs + (last.runs * STEP_PERCENT / 100).max(1));
        if self.runs >= next {
            self.points.push(self.now());
        }
    }

    fn now(&self) -> Point {
        Point { runs: self.runs, distinct: self.distinct() }
    }

    /// How many different runs there were: exact up to 4096, and an estimate beyond that.
    #[must_use]
    pub fn distinct(&self) -> u64 {
        match self.kept.last_key_value() {
            Some((last, _)) if self.is_estimate => {
                // Of numbers spread evenly from 0 to 1, the k-th is about k/n.
                let share = *last as f64 / u128::MAX as f64;
                (((self.kept.len() - 1) as f64 / share).round() as u64).min(self.runs)
            }
            _ => self.kept.len() as u64,
        }
    }

    /// Whether that number is an estimate.
    #[must_use]
    pub fn is_estimate(&self) -> bool {
        self.is_estimate
    }

    /// About the chance that the next run is one that there hasn't been (Good-Turing: the share of the runs that came once). `None`: there
    /// was no run.
    #[must_use]
    pub fn unseen(&self) -> Option<f64> {
        if self.runs == 0 {
            return None;
        }
        let once = self.kept.values().filter(|count| **count == 1).count() as f64;
        let scale = self.distinct() as f64 / self.kept.len() as f64;
        Some((once * scale / self.runs as f64).min(1.0))
    }

    /// How it went, from the first run to the last, at a few hundred points at the most.
    #[must_use]
    pub fn points(&self) -> Vec<Point> {
        let mut points = self.points.clone();
        if points.last().is_some_and(|last| last.runs < self.runs) {
            points.push(self.now());
        }
        points
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A digest as evenly spread as those of runs.
    fn digest(number: u64) -> Digest {
        Digest(xxhash_rust::xxh3::xxh3_128(&number.to_le_bytes()))
    }

    fn of(numbers: impl Iterator<Item = u64>) -> Saturation {
        let mut saturation = Saturation::default();
        numbers.for_each(|number| saturation.add(digest(number)));
        saturation
    }

    #[test]
    fn few_are_counted_exactly() {
        assert_eq!((Saturation::default().unseen(), Saturation::default().points()), (None, vec![]));
        let saturation = of((0..KEPT_MAX as u64).chain(0..10));
        assert_eq!((saturation.distinct(), saturation.is_estimate()), (KEPT_MAX as u64, false));
        let (once, runs) = (KEPT_MAX as f64 - 10.0, KEPT_MAX as f64 + 10.0);
        assert!((saturation.unseen().unwrap() - once / runs).abs() < 1e-12);
        let points = saturation.points();
        assert_eq!((points[0], points[1].runs), (Point { runs: 1, distinct: 1 }, 2));
        assert_eq!(points.last(), Some(&Point { runs: KEPT_MAX as u64 + 10, distinct: KEPT_MAX as u64 }));
        assert!(points.len() < 300 && points.is_sorted_by_key(|point| point.runs), "{}", points.len());
    }

    #[test]
    fn many_are_estimated_within_five_standard_errors() {
        // A world that knows 20,000 runs, each about five times; then one in which every run is another.
        let known: u64 = 20_000;
        let numbers = (0..5 * known).map(|place| xxhash_rust::xxh3::xxh3_64(&place.to_be_bytes()) % known);
        let all: Vec<u64> = numbers.collect();
        let mut counts: BTreeMap<u64, u64> = BTreeMap::new();
        all.iter().for_each(|number| *counts.entry(*number).or_default() += 1);
        let (exact, once) = (counts.len() as f64, counts.values().filter(|count| **count == 1).count());
        let saturation = of(all.into_iter());
        assert!(saturation.is_estimate());
        let near =
            |found: f64, wanted: f64, error: f64| assert!((found - wanted).abs() < 5.0 * error, "{found} {wanted}");
        near(saturation.distinct() as f64, exact, exact / (KEPT_MAX as f64).sqrt());
        let share = once as f64 / (5 * known) as f64;
        near(saturation.unseen().unwrap(), share, (share / KEPT_MAX as f64).sqrt());
        let saturation = of(0..50_000);
        near(saturation.distinct() as f64, 50_000.0, 50_000.0 / (KEPT_MAX as f64).sqrt());
        assert!(saturation.unseen().unwrap() > 0.9);
    }
}
