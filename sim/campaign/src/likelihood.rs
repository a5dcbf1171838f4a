//! How likely a failure is from each moment of a run on: what was decided up to then stays, and the rest is drawn again many times. The moment from
//! which on it fails each time is where the failure becomes inevitable; what was decided just before is its cause.
//!
//! What is drawn again is the weather: latencies, losses, copies, faults, disks, places that ask. What the program itself draws stays as the seed
//! has it, and what is due at one instant goes first in, first out.

use squall_trace::plan::Bases;
use squall_trace::target::NoObserver;
use squall_trace::{Outcome, Perturbation, Plan, Record, Redraw, Target};

use crate::sweep::{share_at_least, share_below};

/// How likely the failure is if all from one moment on is drawn again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    /// Virtual nanoseconds since the run's start: what was decided before stays.
    pub at_ns: u64,
    /// How many of the runs failed by the same property.
    pub failed: u64,
    /// How many runs there were.
    pub runs: u64,
}

impl Moment {
    /// The share that failed.
    #[must_use]
    pub fn share(&self) -> f64 {
        self.failed as f64 / self.runs as f64
    }

    /// The bounds of the share of all runs, each with a confidence of 95 %; see [`share_at_least`].
    #[must_use]
    pub fn bounds(&self) -> (f64, f64) {
        (share_at_least(self.failed, self.runs), share_below(self.failed, self.runs))
    }
}

/// The likelihood of a failure over a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Likelihood {
    /// In the order of time; the first is the run's start.
    pub moments: Vec<Moment>,
}

impl Likelihood {
    /// The first moment from which on each run failed. `None` if even the last didn't always.
    #[must_use]
    pub fn inevitable_from(&self) -> Option<Moment> {
        let certain = self.moments.iter().rev().take_while(|moment| moment.failed == moment.runs);
        certain.last().copied()
    }
}

/// At the most so many moments are looked at.
const MOMENTS_MAX: usize = 24;

/// Draws the rest of a failing run again, `draws` times from each of several moments: its start, behind each decision that wasn't calm, between
/// those that lie far apart, and the failure itself. Of many decisions some are taken, evenly.
///
/// `failing` is the run of `plan`, with its perturbations. `goes_on` is asked before each moment: whether there is time left.
/// `None` if the run doesn't fail, or there was no time for any moment.
///
/// # Panics
/// If `draws` is 0.
#[must_use]
pub fn likelihood(
    target: &dyn Target,
    plan: &Plan,
    failing: &Outcome,
    draws: u64,
    mut goes_on: impl FnMut() -> bool,
) -> Option<Likelihood> {
    assert!(draws > 0, "something is drawn");
    let property = failing.verdict.property()?;
    let mut moments = Vec::new();
    for at_ns in moments_of(&failing.perturbations, failing.ending.at_ns) {
        if !goes_on() {
            break;
        }
        let kept: Vec<Perturbation> =
            failing.perturbations.iter().copied().filter(|decided| decided.at_ns < at_ns).collect();
        let fails = |salt: &u64| {
            let redraw = Redraw { from_ns: at_ns, salt: *salt, bases: Some(Bases::drawn()) };
            let drawn = Plan { redraw: Some(redraw), ..plan.only(&kept) };
            target.run(&drawn, Record::Digest, &mut NoObserver).verdict.property() == Some(property)
        };
        // Salt 0 is the run's own stream: that would be the run itself.
        let failed = (1..=draws).filter(fails).count() as u64;
        moments.push(Moment { at_ns, failed, runs: draws });
    }
    (!moments.is_empty()).then_some(Likelihood { moments })
}

/// The start, behind each decision, and the end; between two that lie far apart one more.
fn moments_of(perturbations: &[Perturbation], end_ns: u64) -> Vec<u64> {
    let mut behind: Vec<u64> = perturbations.iter().map(|one| one.at_ns.saturating_add(1).min(end_ns)).collect();
    behind.sort_unstable();
    behind.dedup();
    behind.retain(|at_ns| *at_ns > 0 && *at_ns < end_ns);
    let room = MOMENTS_MAX - 2;
    if behind.len() > room {
        behind = (0..room).map(|place| behind[place * behind.len() / room]).collect();
    }
    let mut moments = vec![0];
    moments.extend(behind);
    moments.push(end_ns);
    moments.dedup();
    // Where there is room, the widest gaps are halved: the likelihood changes where nothing was decided too, as time passes.
    while moments.len() < MOMENTS_MAX {
        let gaps = moments.windows(2).enumerate().map(|(place, pair)| (pair[1] - pair[0], place));
        let Some((gap, place)) = gaps.max_by_key(|(gap, place)| (*gap, std::cmp::Reverse(*place))) else { break };
        if gap < 2 || gap < end_ns / MOMENTS_MAX as u64 {
            break;
        }
        moments.insert(place + 1, moments[place] + gap / 2);
    }
    moments
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use squall_trace::{FlowId, Site, SiteKind};

    use super::*;

    fn at(at_ns: u64) -> Perturbation {
        let site = Site { kind: SiteKind::Loss, flow: FlowId(1), number: at_ns };
        Perturbation { site, fingerprint: 1, value: 1, calm: 0, at_ns }
    }

    proptest! {
        /// In order, each once, from the start to the end, and no more than the most; of few decisions none is passed over.
        #[test]
        fn moments_are_in_order(times in prop::collection::vec(0u64..10_000, 0..60), end_ns in 1u64..20_000) {
            let perturbations: Vec<Perturbation> = times.iter().copied().map(at).collect();
            let moments = moments_of(&perturbations, end_ns);
            prop_assert!(moments.windows(2).all(|pair| pair[0] < pair[1]), "{moments:?}");
            prop_assert!(moments.len() <= MOMENTS_MAX);
            prop_assert_eq!((moments[0], *moments.last().unwrap()), (0, end_ns));
            let mut within: Vec<u64> = times.iter().map(|time| time + 1).filter(|time| *time < end_ns).collect();
            within.sort_unstable();
            within.dedup();
            if within.len() <= MOMENTS_MAX - 2 {
                prop_assert!(within.iter().all(|time| moments.contains(time)), "{moments:?} of {within:?}");
            }
        }
    }

    #[test]
    fn inevitable_is_what_always_fails_from_there_on() {
        let of = |failed: &[u64]| Likelihood {
            moments: (0..).zip(failed).map(|(at_ns, failed)| Moment { at_ns, failed: *failed, runs: 9 }).collect(),
        };
        assert_eq!(of(&[1, 4, 9, 9]).inevitable_from().unwrap().at_ns, 2);
        assert_eq!(of(&[9, 4, 9]).inevitable_from().unwrap().at_ns, 2);
        assert_eq!(of(&[9, 9]).inevitable_from().unwrap().at_ns, 0);
        assert_eq!(of(&[9, 8]).inevitable_from(), None);
    }
}
