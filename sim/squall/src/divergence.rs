//! Where two runs that should be the same part.

use std::fmt;

use squall_reports::event_in_words;
use squall_trace::{OwnedEvent, Trace, Verdict};

use crate::process::DEATH_PROPERTIES;
use crate::runner::HANG_PROPERTY;

/// The first event in which two traces differ, in words. Log lines don't count: they have a digest of their own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Divergence {
    /// The number of the event, log lines left out.
    pub step: u64,
    /// The event before it, which both runs share.
    pub before: Option<String>,
    /// What the first run did.
    pub first: String,
    /// What the second run did.
    pub second: String,
}

/// Compares two traces event by event, then their verdicts. `None` if they are the same.
#[must_use]
pub fn first_divergence(first: &Trace, second: &Trace) -> Option<Divergence> {
    // As far as their checkpoints agree, nothing needs to be looked at but the event before.
    let agreeing = first.checkpoints.iter().zip(&second.checkpoints).take_while(|(one, other)| one == other);
    let shared = agreeing.last().map_or(0, |(checkpoint, _)| checkpoint.events);
    let skipped = shared.saturating_sub(1);
    let (mut left, mut right) =
        (first.counted_events().skip(skipped as usize), second.counted_events().skip(skipped as usize));
    let mut before = None;
    let mut step = skipped + 1;
    loop {
        let (one, other) = (left.next(), right.next());
        if one != other {
            let (one, other) = pair_in_words((one, first), (other, second));
            let before = before.map(|event| event_in_words(event, &first.names));
            return Some(Divergence { step, before, first: one, second: other });
        }
        if one.is_none() {
            break;
        }
        before = one;
        step += 1;
    }
    (!same_verdict(&first.verdict, &second.verdict)).then(|| Divergence {
        step,
        before: before.map(|event| event_in_words(event, &first.names)),
        first: verdict_in_words(&first.verdict),
        second: verdict_in_words(&second.verdict),
    })
}

/// Whether two runs came to the same. How a run ended its process, or how long it hung, is told from outside, with numbers of
/// threads and times that don't repeat: there the property says all.
pub(crate) fn same_verdict(first: &Verdict, second: &Verdict) -> bool {
    let from_outside = |property: &str| property == HANG_PROPERTY || DEATH_PROPERTIES.contains(&property);
    first == second
        || first.property().is_some_and(|property| Some(property) == second.property() && from_outside(property))
}

impl fmt::Display for Divergence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the runs part at event {}:", self.step)?;
        if let Some(before) = &self.before {
            write!(f, "\n  both       {before}")?;
        }
        write!(f, "\n  first run  {}\n  second run {}", self.first, self.second)
    }
}

fn verdict_in_words(verdict: &Verdict) -> String {
    let property = verdict.property().map(|property| format!(" {property}")).unwrap_or_default();
    let message = verdict.message().map(|message| format!(": {message}")).unwrap_or_default();
    format!("the verdict is {}{property}{message}", verdict.word())
}

fn pair_in_words(first: (Option<&OwnedEvent>, &Trace), second: (Option<&OwnedEvent>, &Trace)) -> (String, String) {
    let words = |(event, trace): (Option<&OwnedEvent>, &Trace)| match event {
        Some(event) => event_in_words(event, &trace.names),
        None => "the run had ended".to_string(),
    };
    let (mut one, mut other) = (words(first), words(second));
    if let (true, Some(left), Some(right)) = (one == other, first.0, second.0) {
        // Words leave most bytes of a payload out, and cut long texts.
        let (left, right) = differing_bytes(left, right);
        one.push_str(&left);
        other.push_str(&right);
    }
    (one, other)
}

/// The canonical bytes of two events around the first that differs, in hex.
fn differing_bytes(left: &OwnedEvent, right: &OwnedEvent) -> (String, String) {
    let bytes = |event: &OwnedEvent| {
        let mut bytes = Vec::new();
        event.write_canonical(&mut bytes);
        bytes
    };
    let (left, right) = (bytes(left), bytes(right));
    let same = left.iter().zip(&right).take_while(|(left, right)| left == right).count();
    let around = |bytes: &[u8]| {
        let from = same.saturating_sub(4);
        let hex: Vec<String> = bytes[from..].iter().take(16).map(|byte| format!("{byte:02x}")).collect();
        format!("; its bytes from {from} on: {}", hex.join(" "))
    };
    (around(&left), around(&right))
}

#[cfg(test)]
mod tests {
    use squall_trace::{EventKind, FlowId, NodeId, Plan, Record, Seed};

    use super::*;
    use crate::time::DurationExt;
    use crate::{Simulation, World};

    /// A run whose only client sleeps that long.
    fn trace(milliseconds: u64) -> Trace {
        let simulation = Simulation::new(move |world: &mut World| {
            world.client("sleeper", move || async move {
                tracing::info!(milliseconds, "logged");
                crate::time::sleep(milliseconds.ms()).await;
            });
        });
        simulation.run_plan(&Plan::seeded("sleeper", Seed(1)), Record::Full).trace.expect("a full record")
    }

    #[test]
    fn equal_traces_have_no_divergence() {
        assert_eq!(first_divergence(&trace(5), &trace(5)), None);
    }

    #[test]
    fn the_first_event_that_differs_is_named() {
        let (left, right) = (trace(5), trace(6));
        let divergence = first_divergence(&left, &right).expect("they differ");
        assert!(divergence.first.contains("5 ms") && divergence.second.contains("6 ms"), "{divergence}");
        assert!(divergence.before.is_some_and(|before| before.contains("0 ns")), "they begin alike");
    }

    /// Going by checkpoints finds what looking at every event finds, wherever it lies.
    #[test]
    fn checkpoints_lead_to_the_same_event() {
        let trace = |odd: u64| {
            let simulation = Simulation::new(move |world: &mut World| {
                world.client("sleeper", move || async move {
                    for number in 0..400 {
                        crate::publish("slept", number == odd);
                        crate::time::sleep(1.ms()).await;
                    }
                });
            });
            simulation.run_plan(&Plan::seeded("sleeper", Seed(1)), Record::Full).trace.expect("a full record")
        };
        let even = trace(u64::MAX);
        assert!(even.checkpoints.len() > 2);
        for odd in (0..400).step_by(3) {
            let odd = trace(odd);
            let looked = Trace { checkpoints: Vec::new(), ..odd.clone() };
            let divergence = first_divergence(&even, &odd).expect("they differ");
            assert_eq!(Some(&divergence), first_divergence(&even, &looked).as_ref());
            assert!(divergence.before.is_some());
        }
    }

    #[test]
    fn a_run_that_ends_earlier_parts_where_it_ends() {
        let left = trace(5);
        let mut right = left.clone();
        right.events.pop();
        let divergence = first_divergence(&left, &right).expect("they differ");
        assert_eq!(divergence.second, "the run had ended");
    }

    #[test]
    fn a_verdict_may_differ_alone() {
        let left = trace(5);
        let mut right = left.clone();
        right.verdict = Verdict::Unknown { message: "who knows".to_string() };
        let divergence = first_divergence(&left, &right).expect("they differ");
        assert_eq!(divergence.first, "the verdict is pass");
        assert_eq!(divergence.second, "the verdict is unknown: who knows");
    }

    #[test]
    fn what_words_don_t_tell_is_told_in_bytes() {
        let sends = |last_byte: u8| {
            let mut trace = trace(5);
            trace.events[3].kind = EventKind::Send {
                flow: FlowId(1),
                number: 1,
                from_port: 1,
                to: NodeId(0),
                to_port: 1,
                tag: 1,
                payload: vec![0, 0, last_byte].into(),
            };
            trace
        };
        let (left, right) = (sends(0xfe), sends(0xff));
        let sentence = first_divergence(&left, &right).expect("they differ").to_string();
        assert!(sentence.contains("00 00 fe\n") && sentence.ends_with("00 00 ff"), "{sentence}");
    }
}
