//! Where two runs that should be the same part.

use squall_reports::event_in_words;
use squall_trace::{EventKind, OwnedEvent, Trace};

/// The first event in which two traces differ. Log lines don't count: they have a digest of their own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Divergence {
    /// The number of the event.
    pub step: u64,
    /// What the first run did; nothing if it had ended by then.
    pub left: Option<OwnedEvent>,
    /// What the second run did.
    pub right: Option<OwnedEvent>,
    /// The event before it, which both runs share.
    pub before: Option<OwnedEvent>,
}

/// Compares two traces event by event. `None` if they are the same.
#[must_use]
pub fn first_divergence(left: &Trace, right: &Trace) -> Option<Divergence> {
    fn counted(trace: &Trace) -> impl Iterator<Item = &OwnedEvent> {
        trace.events.iter().filter(|event| !matches!(event.kind, EventKind::Log { .. }))
    }
    let (mut left, mut right) = (counted(left), counted(right));
    let mut before = None;
    let mut step = 1;
    loop {
        match (left.next(), right.next()) {
            (None, None) => return None,
            (Some(a), Some(b)) if a == b => before = Some(a),
            (a, b) => {
                return Some(Divergence { step, left: a.cloned(), right: b.cloned(), before: before.cloned() });
            }
        }
        step += 1;
    }
}

impl Divergence {
    /// In plain words, over a few lines. The traces are those that were compared.
    #[must_use]
    pub fn sentence(&self, left: &Trace, right: &Trace) -> String {
        let words = |event: &Option<OwnedEvent>, trace: &Trace| match event {
            Some(event) => event_in_words(event, &trace.names),
            None => "the run had ended".to_string(),
        };
        let (mut first, mut second) = (words(&self.left, left), words(&self.right, right));
        if let (true, Some(left), Some(right)) = (first == second, &self.left, &self.right) {
            // Words leave most bytes of a payload out, and cut long texts.
            let (left, right) = differing_bytes(left, right);
            first.push_str(&left);
            second.push_str(&right);
        }
        let mut text = format!("the runs part at event {}:", self.step);
        if self.before.is_some() {
            text.push_str(&format!("\n  both       {}", words(&self.before, left)));
        }
        text.push_str(&format!("\n  first run  {first}\n  second run {second}"));
        text
    }
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
    use squall_trace::{FlowId, NodeId, Plan, Record, Seed};

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
        let at = |event: &Option<OwnedEvent>| event.as_ref().expect("both go on").at_ns;
        assert_eq!((at(&divergence.left), at(&divergence.right)), (5_000_000, 6_000_000));
        let shared = divergence.before.as_ref().expect("they begin alike");
        assert_eq!(shared.step + 1, divergence.step);
        let sentence = divergence.sentence(&left, &right);
        assert!(sentence.contains("5 ms") && sentence.contains("6 ms"), "{sentence}");
    }

    #[test]
    fn a_run_that_ends_earlier_parts_where_it_ends() {
        let left = trace(5);
        let mut right = left.clone();
        right.events.pop();
        let divergence = first_divergence(&left, &right).expect("they differ");
        assert_eq!(divergence.right, None);
        assert!(divergence.sentence(&left, &right).contains("the run had ended"));
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
        let sentence = first_divergence(&left, &right).expect("they differ").sentence(&left, &right);
        assert!(sentence.contains("00 00 fe\n") && sentence.ends_with("00 00 ff"), "{sentence}");
    }
}
