//! Why a shrunk failure fails: the nearest run that doesn't, and the first event in which the two part.

use squall_trace::target::NoObserver;
use squall_trace::{Outcome, Plan, Record, Target, Trace};

use crate::shrink::Shrunk;

/// A run that doesn't fail, beside the one that does.
#[derive(Clone, Debug)]
pub struct Explanation {
    /// Which perturbation was left out, by its place among [`Shrunk::perturbations`].
    pub left_out: usize,
    /// The run without it, recorded in full. It may be Unknown: where an operation is left out, a property may have nothing to judge.
    pub passing: Outcome,
    /// How many events the two share, log lines left out.
    pub events_shared: usize,
}

/// Of how many perturbations, the latest, it is tried to leave one out.
const LEFT_OUT_MAX: usize = 12;

/// Finds the nearest run that doesn't fail: the minimum less the one perturbation that leaves most of the run as it was. `None` if
/// there is nothing to leave out, or each removal fails otherwise; of many perturbations only the latest are tried.
#[must_use]
pub fn explain(target: &dyn Target, shrunk: &Shrunk) -> Option<Explanation> {
    let failing = shrunk.outcome.trace.as_ref()?;
    let mut nearest: Option<Explanation> = None;
    let count = shrunk.plan.overrides.len();
    for left_out in count.saturating_sub(LEFT_OUT_MAX)..count {
        let mut plan: Plan = shrunk.plan.clone();
        plan.overrides.remove(left_out);
        let passing = target.run(&plan, Record::Full, &mut NoObserver);
        let Some(trace) = passing.trace.as_ref().filter(|_| passing.verdict.property().is_none()) else { continue };
        let events_shared = events_shared(failing, trace);
        // Of equals the last, which is the latest cause.
        if nearest.as_ref().is_none_or(|nearest| events_shared >= nearest.events_shared) {
            nearest = Some(Explanation { left_out, passing, events_shared });
        }
    }
    nearest
}

fn events_shared(first: &Trace, second: &Trace) -> usize {
    first.counted_events().zip(second.counted_events()).take_while(|(one, other)| one == other).count()
}
