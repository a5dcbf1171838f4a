//! Whether a plan repeats itself: run again after another plan in the same process, and in a fresh process.
//!
//! What a second run in the same process shows: statics and thread-locals that outlive a run. What a fresh process shows:
//! addresses (each process has a layout of its own), the environment, whatever is drawn once a process.

use std::path::Path;
use std::process::{Command, Stdio};

use squall_reports::event_in_words;
use squall_trace::{EventKind, Names, OwnedEvent, Plan, Record, Trace};

use crate::runner::{Simulation, WorldError};
use crate::trace_file;

/// The first event at which two runs of one plan parted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Divergence {
    /// How the second run differed in its circumstances: "run again after another seed".
    pub circumstance: &'static str,
    /// The event's number.
    pub step: u64,
    /// The event of the first run, in words.
    pub first: String,
    /// The event of the second run, in words.
    pub second: String,
}

impl std::fmt::Display for Divergence {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{}, the run differs from event {} on\n  first:  {}\n  second: {}",
            self.circumstance, self.step, self.first, self.second
        )
    }
}

/// What the check found.
#[derive(Debug)]
pub enum Checked {
    /// All runs agreed.
    Same,
    /// Two didn't.
    Differs(Divergence),
    /// The check couldn't be made: why.
    NotDone(String),
}

/// Set for the fresh process, so that its environment differs from this one's, in names and in length.
pub const CHECK_VARIABLE: &str = "SQUALL_CHECK";

/// The first event at which two traces part. `None` if their digests are the same; log lines don't count, as in the digest.
#[must_use]
pub fn first_divergence(first: &Trace, second: &Trace, circumstance: &'static str) -> Option<Divergence> {
    if first.digest == second.digest {
        return None;
    }
    fn counted(trace: &Trace) -> impl Iterator<Item = &OwnedEvent> {
        trace.events.iter().filter(|event| !matches!(event.kind, EventKind::Log { .. }))
    }
    let (mut left, mut right) = (counted(first), counted(second));
    let mut step = 0;
    loop {
        step += 1;
        let (one, other) = (left.next(), right.next());
        if one == other && one.is_some() {
            continue;
        }
        let (one, other) = describe_pair(one, &first.names, other, &second.names);
        return Some(Divergence { circumstance, step, first: one, second: other });
    }
}

fn describe_pair(
    first: Option<&OwnedEvent>,
    first_names: &Names,
    second: Option<&OwnedEvent>,
    second_names: &Names,
) -> (String, String) {
    let words = |event: Option<&OwnedEvent>, names: &Names| match event {
        Some(event) => event_in_words(event, names),
        None => "(the run has ended)".to_string(),
    };
    let (mut one, mut other) = (words(first, first_names), words(second, second_names));
    // Words leave the bytes of a payload out, and cut long texts.
    if let (true, Some(first), Some(second)) = (one == other, first, second) {
        let (mut left, mut right) = (Vec::new(), Vec::new());
        first.write_canonical(&mut left);
        second.write_canonical(&mut right);
        let at = left.iter().zip(&right).position(|(left, right)| left != right).unwrap_or(left.len().min(right.len()));
        for (text, bytes) in [(&mut one, &left), (&mut other, &right)] {
            let from = at.saturating_sub(4);
            let until = (at + 12).min(bytes.len());
            let hex: Vec<String> = bytes[from..until].iter().map(|byte| format!("{byte:02x}")).collect();
            text.push_str(&format!("; its bytes from {from} on: {}", hex.join(" ")));
        }
    }
    (one, other)
}

/// Runs `plan`, then `other`, then `plan` again. The first run's trace is given for [`check_in_fresh_process`].
///
/// # Errors
/// If the world can't be.
pub fn check_in_this_process(
    simulation: &Simulation,
    plan: &Plan,
    other: &Plan,
) -> Result<(Checked, Option<Trace>), WorldError> {
    let Some(first) = simulation.try_run_plan(plan, Record::Full)?.trace else {
        return Ok((Checked::NotDone("the run hangs, and leaves nothing to compare".to_string()), None));
    };
    simulation.try_run_plan(other, Record::Full)?;
    let Some(second) = simulation.try_run_plan(plan, Record::Full)?.trace else {
        return Ok((Checked::NotDone("the run hung when it was repeated".to_string()), None));
    };
    let checked = match first_divergence(&first, &second, "run again in the same process after another seed") {
        Some(divergence) => Checked::Differs(divergence),
        None => Checked::Same,
    };
    Ok((checked, Some(first)))
}

/// Compares with the run of a fresh process. `command` is to run the same plan and to write its trace to `path`.
#[must_use]
pub fn check_in_fresh_process(first: &Trace, mut command: Command, path: &Path) -> Checked {
    command
        .env(CHECK_VARIABLE, "1")
        .env("SQUALL_CHECK_ENVIRONMENT", "differs on purpose, in length too")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    let status = match command.status() {
        Ok(status) => status,
        Err(error) => return Checked::NotDone(format!("a fresh process can't be started: {error}")),
    };
    match trace_file::read(path) {
        Ok(second) => match first_divergence(first, &second, "run again in a fresh process") {
            Some(divergence) => Checked::Differs(divergence),
            None => Checked::Same,
        },
        Err(error) => Checked::NotDone(format!("the fresh process left no trace ({status}): {error}")),
    }
}
