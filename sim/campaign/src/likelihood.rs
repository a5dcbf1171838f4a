//! How likely a failure is from each moment of a run on: what was decided up to then stays, and the rest is drawn again many times. The moment from
//! which on it fails each time is where the failure becomes inevitable; what was decided just before is its cause.
//!
//! What is drawn again is the weather: latencies, losses, copies, faults, disks, places that ask. What the program itself draws stays as the seed
//! has it, as does which classes of faults a swarm does without, and what is due at one instant goes first in, first out.

use squall_trace::plan::Bases;
use squall_trace::target::NoObserver;
use squall_trace::{Outcome, Perturbation, Plan, Record, Redraw, Target, Verdict};

use crate::sweep::{share_at_least, share_below};

/// How likely the failure is if all from one moment on is drawn again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Moment {
    /// Virtual nanoseconds since the run's start: what was decided before stays.
    pub at_ns: u64,
    /// How many of the runs failed by the same property.
    pub failed: u64,
    /// How many failed by another one.
    pub failed_otherwise: u64,
    /// Of how many nobody can say what they come to.
    pub unknown: u64,
    /// How many runs there were, all of these included.
    pub runs: u64,
}

impl Moment {
    /// The share that failed, of the runs of which something is known. `None` if nothing is known of any.
    #[must_use]
    pub fn share(&self) -> Option<f64> {
        let known = self.runs - self.unknown;
        (known > 0).then(|| self.failed as f64 / known as f64)
    }

    /// The bounds of the share of all runs, each with a confidence of 95 %, whatever the unknown ones come to; see [`share_at_least`].
    #[must_use]
    pub fn bounds(&self) -> (f64, f64) {
        (share_at_least(self.failed, self.runs), share_below(self.failed + self.unknown, self.runs))
    }
}

/// Of so many runs from a moment all must fail before it is said that the failure is inevitable from there: then at least nine of ten would, with
/// a confidence of 95 %.
pub const SURE_MIN: u64 = 29;

/// The likelihood of a failure over a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Likelihood {
    /// In the order of time, each with as many runs; the first is the run's start.
    pub moments: Vec<Moment>,
}

impl Likelihood {
    /// The first moment from which on each run failed. `None` if even the last didn't always, or if there were fewer runs than [`SURE_MIN`].
    #[must_use]
    pub fn inevitable_from(&self) -> Option<Moment> {
        let certain = self.moments.iter().rev().take_while(|moment| moment.failed == moment.runs);
        certain.last().copied().filter(|moment| moment.runs >= SURE_MIN)
    }
}

/// How often the rest of a run is drawn again. What this comes to depends on the run alone, and on no clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Draws {
    /// How often from each moment, at the most.
    pub most: u64,
    /// No further draw from each of the moments begins once the runs have had so many events.
    pub events_max: u64,
    /// As how many events a run counts beside its own: one in a process of its own costs more.
    pub events_of_run: u64,
}

/// At the most so many moments are looked at.
pub const MOMENTS_MAX: usize = 24;

/// Draws the rest of a failing run again, again and again from each of several moments: its start, behind each decision that wasn't calm, between
/// those that lie far apart, and the failure itself. Of many decisions some are taken, evenly.
///
/// `failing` is the run of `plan`, with its perturbations. An end that the plan gives the run ([`Plan::horizon_ns`]) is none of the runs that are
/// drawn: they go on as long as they do. `goes_on` is asked before each run; where it says no, moments have as many runs as each had by then.
/// `None` if the run doesn't fail, or none of the moments but some had a run.
///
/// # Panics
/// If there is nothing to draw.
#[must_use]
pub fn likelihood(
    target: &dyn Target,
    plan: &Plan,
    failing: &Outcome,
    draws: Draws,
    mut goes_on: impl FnMut() -> bool,
) -> Option<Likelihood> {
    assert!(draws.most > 0, "something is drawn");
    let property = failing.verdict.property()?;
    let moments = moments_of(&failing.perturbations, failing.ending.at_ns);
    let mut moments: Vec<Moment> = moments.into_iter().map(|at_ns| Moment { at_ns, ..Moment::default() }).collect();
    let mut events = 0u64;
    // Salt 0 is the run's own stream: that would be the run itself.
    for salt in 1..=draws.most {
        if salt > 1 && events >= draws.events_max {
            break;
        }
        let mut round = moments.clone();
        for moment in &mut round {
            if !goes_on() {
                return (salt > 1).then_some(Likelihood { moments });
            }
            let kept: Vec<Perturbation> =
                failing.perturbations.iter().copied().filter(|decided| decided.at_ns < moment.at_ns).collect();
            let redraw = Redraw { from_ns: moment.at_ns, salt, bases: Some(Bases::drawn()) };
            let drawn = Plan { redraw: Some(redraw), horizon_ns: None, ..plan.only(&kept) };
            let outcome = target.run(&drawn, Record::Digest, &mut NoObserver);
            events = events.saturating_add(outcome.ending.events).saturating_add(draws.events_of_run);
            moment.runs += 1;
            match &outcome.verdict {
                Verdict::Fail(failure) if failure.property == property => moment.failed += 1,
                Verdict::Fail(_) => moment.failed_otherwise += 1,
                Verdict::Unknown { .. } => moment.unknown += 1,
                Verdict::Pass => {}
            }
        }
        moments = round;
    }
    Some(Likelihood { moments })
}

/// The start, behind each decision, and the end; between two that lie far apart one more.
fn moments_of(perturbations: &[Perturbation], end_ns: u64) -> Vec<u64> {
    let mut behind: Vec<u64> = perturbations.iter().map(|one| one.at_ns.saturating_add(1)).collect();
    // What was decided in the last instant is kept at the last moment, too.
    let end_ns = behind.iter().copied().max().unwrap_or(0).max(end_ns);
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
            let end_ns = times.iter().map(|time| time + 1).max().unwrap_or(0).max(end_ns);
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

    /// What nobody knows is neither: the share is that of the others, and the bounds hold whatever it comes to.
    #[test]
    fn unknown_runs_widen_the_bounds() {
        let known = Moment { at_ns: 0, failed: 50, failed_otherwise: 10, unknown: 0, runs: 100 };
        let unsure = Moment { unknown: 50, ..known };
        assert_eq!((known.share(), unsure.share()), (Some(0.5), Some(1.0)));
        assert_eq!(known.bounds().0, unsure.bounds().0);
        assert!(known.bounds().1 < 0.6 && unsure.bounds().1 >= 1.0);
        let nothing = Moment { failed: 0, unknown: 100, ..known };
        assert_eq!((nothing.share(), nothing.bounds()), (None, (0.0, 1.0)));
        let all_but_one = Likelihood { moments: vec![Moment { failed: 99, unknown: 1, ..known }] };
        assert_eq!(all_but_one.inevitable_from(), None);
    }

    #[test]
    fn inevitable_is_what_always_fails_from_there_on() {
        let of_runs = |failed: &[u64], runs: u64| Likelihood {
            moments: (0..)
                .zip(failed)
                .map(|(at_ns, failed)| Moment { at_ns, failed: *failed, runs, ..Moment::default() })
                .collect(),
        };
        let of = |failed: &[u64]| of_runs(failed, 29);
        assert_eq!(of(&[1, 4, 29, 29]).inevitable_from().unwrap().at_ns, 2);
        assert_eq!(of(&[29, 4, 29]).inevitable_from().unwrap().at_ns, 2);
        assert_eq!(of(&[29, 29]).inevitable_from().unwrap().at_ns, 0);
        assert_eq!(of(&[29, 28]).inevitable_from(), None);
        assert_eq!(of_runs(&[28, 28], 28).inevitable_from(), None, "that isn't enough to tell");
        assert!(share_at_least(SURE_MIN, SURE_MIN) > 0.9 && share_at_least(SURE_MIN - 1, SURE_MIN - 1) < 0.9);
    }
}
