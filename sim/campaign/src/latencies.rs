//! How long operations took, over many runs; what has no answer counts as longer than all that has one.

use std::collections::BTreeMap;

/// So many different latencies are kept one by one.
const DIFFERENT_MAX: usize = 1 << 18;

/// So many of its highest bits are kept of a latency, once there are too many different ones.
const BITS_KEPT: u32 = 11;

/// How long operations took, and how many of them were never answered: those took longer than all that were.
///
/// Exact as long as there are no more than 262,144 different latencies. Beyond that each is rounded up to 11 significant bits, which makes
/// it longer by less than 0.1 %, so that memory stays bounded. What it comes to doesn't depend on the order in which they are added.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Latencies {
    /// How many there are of each.
    counts: BTreeMap<u64, u64>,
    answered: u64,
    unanswered: u64,
    longest_ns: u64,
    is_rounded: bool,
}

/// What a share of the operations took at the most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Percentile {
    /// That long.
    Answered {
        /// Nanoseconds.
        ns: u64,
    },
    /// Nobody knows, but for this: longer than every operation that was answered.
    Unanswered,
}

impl Latencies {
    /// An operation was answered after that time.
    pub fn answer(&mut self, ns: u64) {
        self.answered += 1;
        self.longest_ns = self.longest_ns.max(ns);
        *self.counts.entry(if self.is_rounded { rounded_up(ns) } else { ns }).or_default() += 1;
        if self.counts.len() > DIFFERENT_MAX && !self.is_rounded {
            self.is_rounded = true;
            for (ns, count) in std::mem::take(&mut self.counts) {
                *self.counts.entry(rounded_up(ns)).or_default() += count;
            }
        }
    }

    /// An operation was never answered.
    pub fn leave_unanswered(&mut self) {
        self.unanswered += 1;
    }

    /// How many operations there were.
    #[must_use]
    pub fn operations(&self) -> u64 {
        self.answered + self.unanswered
    }

    /// How many of them were answered.
    #[must_use]
    pub fn answered(&self) -> u64 {
        self.answered
    }

    /// How many of them never were.
    #[must_use]
    pub fn unanswered(&self) -> u64 {
        self.unanswered
    }

    /// Whether latencies were rounded.
    #[must_use]
    pub fn is_rounded(&self) -> bool {
        self.is_rounded
    }

    /// The least time within which that share of the operations, in thousandths, was answered (nearest rank): 500 is the median, 1000 the
    /// maximum. `None` if there were no operations.
    ///
    /// # Panics
    /// If the share is 0 or more than 1000.
    #[must_use]
    pub fn percentile(&self, thousandths: u64) -> Option<Percentile> {
        assert!((1..=1_000).contains(&thousandths), "{thousandths} thousandths are no share");
        let rank = (u128::from(self.operations()) * u128::from(thousandths)).div_ceil(1_000) as u64;
        self.at_ranks(&[rank]).pop()
    }

    /// The latencies at these places, counted from 1 in ascending order, among all operations: those without an answer are behind all
    /// others. Ends before the first place that there isn't: 0, or one behind the last operation.
    ///
    /// # Panics
    /// If the places don't ascend.
    #[must_use]
    pub fn at_ranks(&self, ranks: &[u64]) -> Vec<Percentile> {
        assert!(ranks.is_sorted(), "the places {ranks:?} don't ascend");
        let mut counts = self.counts.iter();
        let (mut below, mut latest) = (0, 0);
        let mut found = Vec::with_capacity(ranks.len());
        for &rank in ranks.iter().take_while(|rank| (1..=self.operations()).contains(*rank)) {
            while below < rank
                && let Some((&ns, &count)) = counts.next()
            {
                (below, latest) = (below + count, ns);
            }
            found.push(match below >= rank {
                true => Percentile::Answered { ns: latest.min(self.longest_ns) },
                false => Percentile::Unanswered,
            });
        }
        found
    }
}

/// Of so many places of a curve each has ten times fewer operations behind it than the first of them.
const CURVE_STEPS: u32 = 16;

impl Latencies {
    /// The latency at places of the ascending list of all operations, counted from 1: the first, then such that ever fewer are behind them, in
    /// equal ratios, and the last. A few hundred at the most.
    #[must_use]
    pub fn curve(&self) -> Vec<(u64, Percentile)> {
        let all = self.operations();
        let left = |step: u32| (all as f64 * libm::pow(10.0, -f64::from(step) / f64::from(CURVE_STEPS))) as u64;
        let mut ranks: Vec<u64> =
            (0..).map(left).take_while(|left| *left > 0).map(|left| all - left.min(all) + 1).collect();
        ranks.extend((all > 0).then_some(all));
        ranks.dedup();
        let found = self.at_ranks(&ranks);
        ranks.into_iter().zip(found).collect()
    }
}

fn rounded_up(ns: u64) -> u64 {
    let bits = u64::BITS - ns.leading_zeros();
    ns | ((1 << bits.saturating_sub(BITS_KEPT)) - 1)
}

/// What was measured in a run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Measured {
    /// Of each operation in the run's history how many nanoseconds it took; `None` if it has no answer.
    pub history: Vec<Option<u64>>,
    /// The same of the calls of clients. Empty where there is a history, which counts in their stead.
    pub calls: Vec<Option<u64>>,
    /// The run's end, in nanoseconds of virtual time; 0 if nobody knows.
    pub virtual_ns: u64,
    /// Of a run that hung, or ended its process, nobody knows what was seen of it.
    pub is_whole: bool,
}

/// What was measured in many runs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Operations {
    history: Latencies,
    calls: Latencies,
    /// The virtual time of all runs together, in nanoseconds.
    pub virtual_ns: u128,
    /// Runs of which nobody knows the operations.
    pub unmeasured: u64,
}

/// What operations are: those of histories, or calls, where nothing was recorded in one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OperationsOf {
    /// What clients recorded of what they did.
    History,
    /// The calls that clients made.
    Calls,
}

impl OperationsOf {
    /// One word.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            OperationsOf::History => "history",
            OperationsOf::Calls => "calls",
        }
    }
}

impl Operations {
    /// Adds those of one more run. What it comes to doesn't depend on the order in which runs are added.
    pub fn add(&mut self, measured: &Measured) {
        self.virtual_ns += u128::from(measured.virtual_ns);
        self.unmeasured += u64::from(!measured.is_whole);
        for (latencies, operations) in [(&mut self.history, &measured.history), (&mut self.calls, &measured.calls)] {
            for took in operations {
                match took {
                    Some(ns) => latencies.answer(*ns),
                    None => latencies.leave_unanswered(),
                }
            }
        }
    }

    /// The latencies that count, and what they are of. `None`: there was no operation.
    #[must_use]
    pub fn latencies(&self) -> (Option<OperationsOf>, &Latencies) {
        match (&self.history, &self.calls) {
            (history, _) if history.operations() > 0 => (Some(OperationsOf::History), history),
            (_, calls) if calls.operations() > 0 => (Some(OperationsOf::Calls), calls),
            (history, _) => (None, history),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Against sorting all of them, with what was never answered behind everything.
        #[test]
        fn percentiles_are_those_of_the_sorted_list(
            answered in proptest::collection::vec(0u64..50, 0..60),
            unanswered in 0usize..20,
            thousandths in 1u64..=1_000,
        ) {
            let mut latencies = Latencies::default();
            answered.iter().for_each(|&ns| latencies.answer(ns));
            (0..unanswered).for_each(|_| latencies.leave_unanswered());
            let mut sorted: Vec<Option<u64>> = answered.iter().copied().map(Some).collect();
            sorted.sort_unstable();
            sorted.resize(answered.len() + unanswered, None);
            // The first of the list that has the share at or before it.
            let wanted = (0..sorted.len()).find(|&place| (place as u64 + 1) * 1_000 >= thousandths * sorted.len() as u64);
            let wanted = wanted.map(|place| match sorted[place] {
                Some(ns) => Percentile::Answered { ns },
                None => Percentile::Unanswered,
            });
            prop_assert_eq!(latencies.percentile(thousandths), wanted);
            prop_assert_eq!(latencies.operations(), sorted.len() as u64);
            prop_assert!(!latencies.is_rounded());
        }
    }

    #[test]
    fn too_many_latencies_are_rounded_up_by_less_than_a_thousandth() {
        let all = DIFFERENT_MAX as u64 + 1;
        let value = |number: u64| 1_000_000_007 + number * 7_919;
        let (mut upwards, mut downwards) = (Latencies::default(), Latencies::default());
        for number in 0..all {
            upwards.answer(value(number));
            downwards.answer(value(all - 1 - number));
        }
        assert_eq!(upwards, downwards, "whatever the order");
        assert!(upwards.is_rounded() && upwards.counts.len() < 5_000, "{}", upwards.counts.len());
        for thousandths in [1, 500, 990, 999, 1_000] {
            let exact = value((all * thousandths).div_ceil(1_000) - 1);
            let Some(Percentile::Answered { ns }) = upwards.percentile(thousandths) else { panic!("it was answered") };
            assert!(ns >= exact && ns - exact < exact / 1_000, "{thousandths}: {ns} for {exact}");
        }
        assert_eq!(
            upwards.percentile(1_000),
            Some(Percentile::Answered { ns: value(all - 1) }),
            "the longest is exact"
        );
    }

    #[test]
    fn a_history_counts_in_the_stead_of_calls() {
        let run = |history: &[Option<u64>], calls: &[Option<u64>]| Measured {
            history: history.to_vec(),
            calls: calls.to_vec(),
            virtual_ns: 7,
            is_whole: true,
        };
        let mut operations = Operations::default();
        assert_eq!(operations.latencies().0, None);
        operations.add(&run(&[], &[Some(1), None]));
        operations.add(&Measured::default());
        let (of, latencies) = operations.latencies();
        assert_eq!((of, latencies.answered(), latencies.unanswered()), (Some(OperationsOf::Calls), 1, 1));
        operations.add(&run(&[Some(5), Some(6)], &[]));
        let (of, latencies) = operations.latencies();
        assert_eq!((of, latencies.answered(), latencies.unanswered()), (Some(OperationsOf::History), 2, 0));
        assert_eq!((operations.virtual_ns, operations.unmeasured), (14, 1));
    }

    #[test]
    fn a_curve_goes_from_the_first_to_the_last() {
        assert_eq!(Latencies::default().curve(), []);
        let mut latencies = Latencies::default();
        latencies.answer(5);
        assert_eq!(latencies.curve(), [(1, Percentile::Answered { ns: 5 })]);
        (1..1_000).for_each(|ns| latencies.answer(ns * 10));
        latencies.leave_unanswered();
        let curve = latencies.curve();
        assert_eq!((curve[0], curve[1].0), ((1, Percentile::Answered { ns: 5 }), 1_001 - 866 + 1));
        assert_eq!(curve.last(), Some(&(1_001, Percentile::Unanswered)));
        assert!(curve.len() < 100 && curve.is_sorted_by(|one, next| one.0 < next.0), "{curve:?}");
    }

    #[test]
    fn places_beyond_the_last_operation_have_none() {
        let mut latencies = Latencies::default();
        assert_eq!(latencies.at_ranks(&[1]), []);
        [30, 10, 20].into_iter().for_each(|ns| latencies.answer(ns));
        latencies.leave_unanswered();
        let answered = |ns| Percentile::Answered { ns };
        assert_eq!(
            latencies.at_ranks(&[1, 1, 3, 4, 5]),
            [answered(10), answered(10), answered(30), Percentile::Unanswered]
        );
        assert_eq!(latencies.at_ranks(&[0, 1]), []);
    }
}
