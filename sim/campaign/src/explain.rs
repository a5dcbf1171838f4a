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

#[cfg(test)]
mod tests {
    use squall_trace::plan::Bases;
    use squall_trace::target::MessageCounts;
    use squall_trace::{
        Capabilities, Digest, EndReason, Ending, EventKind, Failure, FlowId, Names, NodeId, Observer, Override,
        OwnedEvent, Perturbation, Seed, Site, SiteKind, TaskId, Verdict,
    };

    use super::*;
    use crate::shrink::Minimal;

    const EVENTS: u64 = 10;

    /// Each of its perturbations is needed. Without the one, the run goes on as before up to the event that is said of it.
    struct PartsAt(&'static [u64]);

    impl Target for PartsAt {
        fn run(&self, plan: &Plan, _: Record, _: &mut dyn Observer) -> Outcome {
            let is_there = |number: usize| plan.overrides.iter().any(|one| one.site.number == number as u64);
            let missing = (0..self.0.len()).find(|number| !is_there(*number));
            let parts_at = missing.map_or(EVENTS, |missing| self.0[missing]);
            let event = |step: u64| {
                let boot = u32::from(step > parts_at);
                OwnedEvent { step, at_ns: step, node: NodeId(0), task: TaskId(1), kind: EventKind::Boot { boot } }
            };
            let failure = Failure {
                property: "p".to_string(),
                message: String::new(),
                step: EVENTS,
                at_ns: EVENTS,
                node: None,
                task: None,
            };
            let verdict = if missing.is_none() { Verdict::Fail(failure) } else { Verdict::Pass };
            let (digest, log_digest) = (Digest(0), Digest(0));
            let trace = Trace {
                plan: plan.clone(),
                names: Names::default(),
                events: (1..=EVENTS).map(event).collect(),
                perturbations: Vec::new(),
                checkpoints: Vec::new(),
                digest,
                log_digest,
                verdict: verdict.clone(),
            };
            Outcome {
                verdict,
                ending: Ending { reason: EndReason::Quiet, at_ns: EVENTS, events: EVENTS },
                digest,
                log_digest,
                messages: MessageCounts::default(),
                perturbations: plan.overrides.iter().map(of_override).collect(),
                unused_overrides: Vec::new(),
                escapes: Vec::new(),
                swarm: Vec::new(),
                unreached_faults: Vec::new(),
                goals: Vec::new(),
                open: Vec::new(),
                calls: Vec::new(),
                names: Names::default(),
                properties: None,
                trace: Some(trace),
            }
        }

        fn capabilities(&self) -> Capabilities {
            Capabilities { message_sites: true, order_sites: true, fault_sites: true }
        }
    }

    fn of_override(one: &Override) -> Perturbation {
        Perturbation { site: one.site, fingerprint: one.fingerprint, value: one.value, calm: 0, at_ns: one.site.number }
    }

    #[track_caller]
    fn left_out(parts_at: &'static [u64]) -> Option<(usize, usize)> {
        let target = PartsAt(parts_at);
        let entry = |number| {
            let site = Site { kind: SiteKind::Loss, flow: FlowId(7), number };
            Override { site, fingerprint: 1, value: 1 }
        };
        let overrides = (0..parts_at.len() as u64).map(entry).collect();
        let plan = Plan { bases: Bases::calm(), overrides, ..Plan::seeded("test", Seed(1)) };
        let outcome = target.run(&plan, Record::Full, &mut NoObserver);
        let shrunk = Shrunk { plan, outcome, before: parts_at.len(), runs: 1, minimal: Minimal::Pairs };
        explain(&target, &shrunk).map(|found| {
            assert_eq!(found.passing.verdict, Verdict::Pass);
            (found.left_out, found.events_shared)
        })
    }

    /// The run that goes on longest as the failing one did; of equals that without the latest perturbation.
    #[test]
    fn the_nearest_run_that_passes_shares_most() {
        assert_eq!(left_out(&[]), None, "there is nothing to leave out");
        assert_eq!(left_out(&[3]), Some((0, 3)));
        assert_eq!(left_out(&[3, 7, 5]), Some((1, 7)));
        assert_eq!(left_out(&[5, 5, 2]), Some((1, 5)));
        assert_eq!(left_out(&[4, 4, 4]), Some((2, 4)));
        // Of many, the latest twelve.
        assert_eq!(left_out(&[9, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1]), Some((12, 1)));
        assert_eq!(left_out(&[9, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1]), Some((0, 9)));
    }
}
