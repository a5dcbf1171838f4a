//! Whether a plan repeats itself: run again after another plan in the same process, and in a fresh process.
//!
//! What a second run in the same process shows: statics and thread-locals that outlive a run. What a fresh process shows:
//! addresses (each process has a layout of its own), the environment, whatever is drawn once a process.

use std::path::Path;
use std::process::{Command, Stdio};

use squall_trace::{Outcome, Plan, Record, Trace, Verdict};

use crate::divergence::{Divergence, first_divergence};
use crate::runner::{HANG_PROPERTY, Simulation, WorldError, is_lost};
use crate::trace_file;

/// What the check found.
#[derive(Debug)]
pub enum Checked {
    /// All runs agreed.
    Same,
    /// Two didn't.
    Differs {
        /// How the second run differed in its circumstances: "run again after another seed".
        circumstance: &'static str,
        /// Where they part.
        divergence: Divergence,
    },
    /// The check couldn't be made: why.
    NotDone(String),
}

/// Why two runs of a plan say nothing about whether it repeats itself: one of them didn't end by itself. Its process was ended from outside,
/// or it was so slow that it counted as a hang. Who ends each run in the same way does it by itself.
pub(crate) fn cut_off<'o>(first: &'o Outcome, second: &'o Outcome) -> Option<&'o str> {
    let is_alike = first.verdict.property().is_some() && first.verdict.property() == second.verdict.property();
    [second, first].into_iter().find(|run| !is_alike && is_cut_off(run))?.verdict.message()
}

/// Whether a run may have been ended from outside.
pub(crate) fn is_cut_off(outcome: &Outcome) -> bool {
    const FROM_OUTSIDE: [&str; 2] = [HANG_PROPERTY, "killed"];
    is_lost(outcome) || outcome.verdict.property().is_some_and(|property| FROM_OUTSIDE.contains(&property))
}

/// Set for the fresh process, so that its environment differs from this one's, in names and in length.
pub const CHECK_VARIABLE: &str = "SQUALL_CHECK";

fn compared(first: &Trace, second: &Trace, circumstance: &'static str) -> Checked {
    match first_divergence(first, second) {
        Some(divergence) => Checked::Differs { circumstance, divergence },
        None => Checked::Same,
    }
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
    let first = simulation.try_run_plan(plan, Record::Full)?;
    if first.trace.is_none() {
        let text = format!("{}, and leaves nothing to compare", verdict_in_words(&first.verdict));
        return Ok((Checked::NotDone(text), None));
    }
    simulation.try_run_plan(other, Record::Full)?;
    let second = simulation.try_run_plan(plan, Record::Full)?;
    if let Some(why) = cut_off(&first, &second) {
        return Ok((Checked::NotDone(format!("one of two runs didn't end by itself: {why}")), None));
    }
    let Some(first) = first.trace else { unreachable!("it was asked for above") };
    let Some(second) = second.trace else {
        let text = format!("when it was repeated, {}, and left nothing to compare", verdict_in_words(&second.verdict));
        return Ok((Checked::NotDone(text), None));
    };
    let checked = compared(&first, &second, "run again in the same process after another seed");
    Ok((checked, Some(first)))
}

fn verdict_in_words(verdict: &Verdict) -> String {
    match verdict {
        Verdict::Fail(failure) => format!("the run fails ({})", failure.property),
        Verdict::Pass | Verdict::Unknown { .. } => "nobody knows what the run comes to".to_string(),
    }
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
        Ok(second) => compared(first, &second, "run again in a fresh process"),
        Err(error) => Checked::NotDone(format!("the fresh process left no trace ({status}): {error}")),
    }
}
