//! All states in which crashes can leave disks: each pending change lost or not.
//!
//! A run whose strategy is [`StrategyChoice::WorstCrash`] loses all that it can, and its perturbations are what there was to decide. From there each
//! decision is turned round, the last first, as a depth-first search does: what comes after it is all lost again, and may be something else than
//! before, as a program that finds more does more. So every state is seen once, whatever the decisions depend on. The weather stays as seeded.
//!
//! *Finding crash-consistency bugs with bounded black-box crash testing* (Mohan et al., OSDI'18) enumerates what a crash may leave of short
//! workloads likewise.

use squall_trace::target::NoObserver;
use squall_trace::{Outcome, Override, Plan, Record, SiteKind, StrategyChoice, Target, Verdict};

/// What the states that were seen have come to.
#[derive(Clone, Debug)]
pub struct CrashStates {
    /// How many were seen, one a run.
    pub states: u64,
    /// Whether these are all, and each was judged: the bound wasn't reached, and no run failed or was Unknown.
    pub is_complete: bool,
    /// The first run that failed, with the plan that says it by its perturbations alone.
    pub failing: Option<Box<(Plan, Outcome)>>,
}

/// A decision on the way to a state.
struct Decided {
    lost: Override,
    is_lost: bool,
}

/// Goes through the states of a plan's crashes, at most so many. Writes are lost whole or not at all.
#[must_use]
pub fn crash_states(target: &dyn Target, plan: &Plan, states_max: u64) -> CrashStates {
    let mut path: Vec<Decided> = Vec::new();
    let mut are_judged = true;
    for states in 1..=states_max {
        let mut tried = Plan { strategy: StrategyChoice::WorstCrash, ..plan.clone() };
        let value = |decided: &Decided| if decided.is_lost { decided.lost.value } else { 0 };
        tried.overrides.extend(path.iter().map(|decided| Override { value: value(decided), ..decided.lost }));
        let outcome = target.run(&tried, Record::Perturbations, &mut NoObserver);
        let losses = outcome.perturbations.iter().filter(|one| one.site.kind == SiteKind::DiskCrash);
        for loss in losses.map(squall_trace::Perturbation::to_override) {
            if path.iter().all(|decided| decided.lost.site != loss.site) {
                path.push(Decided { lost: loss, is_lost: true });
            }
        }
        if outcome.verdict.property().is_some() {
            let plan = plan.only(&outcome.perturbations);
            return CrashStates { states, is_complete: false, failing: Some(Box::new((plan, outcome))) };
        }
        are_judged &= outcome.verdict == Verdict::Pass;
        while path.last().is_some_and(|decided| !decided.is_lost) {
            path.pop();
        }
        match path.last_mut() {
            Some(decided) => decided.is_lost = false,
            None => return CrashStates { states, is_complete: are_judged, failing: None },
        }
    }
    CrashStates { states: states_max, is_complete: false, failing: None }
}
