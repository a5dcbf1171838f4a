//! `squall shrink`: a saved failure with fewer and smaller perturbations.

use std::path::Path;
use std::time::Instant;

use serde::Serialize;
use squall_campaign::failure_file::{FailureFile, Found, Origin};
use squall_campaign::shrink::{Minimal, Unshrinkable};

use super::arguments::Shrink;
use super::exit::{self, Stop};
use super::interrupt;
use super::output::{self, Output};
use super::programs::Programs;
use super::run::{exit_code, unwritable};
use super::saved::{self, Saved};
use crate::failures::{NotShrunk, Patience, found_in_words, shrink_and_explain};
use crate::runner::HANG_PROPERTY;

#[derive(Serialize)]
struct Finished {
    event: &'static str,
    /// What the failure was found to be instead, where there was nothing to shrink.
    #[serde(skip_serializing_if = "Option::is_none")]
    outcome: Option<&'static str>,
    before: usize,
    after: usize,
    runs: u64,
    minimal: bool,
    seconds: f64,
    file: String,
}

pub fn shrink(programs: &Programs, arguments: &Shrink, output: &mut Output) -> Result<u8, Stop> {
    let begun = Instant::now();
    let Shrink { file: path, out, patience, .. } = arguments;
    let (saved, mut simulation, outcome) = Saved::load(path, programs)?.run_first(programs)?;
    if saved.file.property == HANG_PROPERTY {
        // A thread that hangs can't be ended, and there will be many.
        simulation = simulation.in_processes();
    }
    if outcome.verdict.property() != Some(&*saved.file.property) {
        let found = Found::new(&saved.file, &outcome);
        let said = found_in_words(found, &saved.file, &outcome);
        output::complain(&format!("{}: there is nothing to shrink; {said}", path.display()));
        unshrunk(&saved, found.word(), begun, path, output)?;
        // As a replay of it.
        return Ok(match found.is_stale() && !interrupt::requested() {
            true => exit::STALE,
            false => exit_code(&outcome.verdict, None),
        });
    }
    let mut patience = Patience::new(patience.shrink_for, patience.shrink_runs, interrupt::flag());
    let told = match shrink_and_explain(&simulation, &saved.plan(), &mut patience) {
        Ok(told) => told,
        Err(NotShrunk::Unshrinkable(reason @ Unshrinkable::CutOff(_))) => {
            output::complain(&format!("{}: it can't be shrunk: {reason}", path.display()));
            unshrunk(&saved, "unknown", begun, path, output)?;
            return Ok(if interrupt::requested() { exit::INTERRUPTED } else { exit::INCONCLUSIVE });
        }
        Err(NotShrunk::Unshrinkable(reason @ (Unshrinkable::NotRepeatable | Unshrinkable::Passes))) => {
            let reason = match reason {
                Unshrinkable::Passes => {
                    "it failed, and run again at once it doesn't: something decides that isn't in the plan".to_string()
                }
                other => other.to_string(),
            };
            output::complain(&format!("{}: it can't be shrunk: {reason}", path.display()));
            unshrunk(&saved, Found::new(&saved.file, &outcome).word(), begun, path, output)?;
            return Ok(if interrupt::requested() { exit::INTERRUPTED } else { exit::NONDETERMINISM });
        }
        Err(reason) => return Err(Stop::Own(format!("{}: it can't be shrunk: {reason}", path.display()))),
    };
    let to = out.as_ref().unwrap_or(path);
    let was_proved = saved.file.minimal != Minimal::Unproved && Found::new(&saved.file, &outcome) == Found::Same;
    if told.shrunk.minimal == Minimal::Unproved && was_proved && to == path {
        output::complain(&format!(
            "note: {} stays: it is minimal, and what was found now isn't, since the search was cut short",
            path.display()
        ));
        unshrunk(&saved, Found::Same.word(), begun, path, output)?;
        return Ok(if interrupt::requested() { exit::INTERRUPTED } else { exit::PASS });
    }
    let origin = Origin { file: saved.file.file.as_deref(), build: saved.scenario.build() };
    let shrunk = FailureFile::shrunk(origin, &told.shrunk);
    let aside = shrunk.write_unless_known(to).map_err(|error| unwritable(to, &error))?;
    saved::tell_aside(to, aside.as_deref());
    output.text(&told.in_words())?;
    let replay = super::replay_saved_command(to);
    output.text(&format!("replay: {}", super::as_called(&replay)))?;
    output.json(&Finished {
        event: "shrink-finished",
        outcome: None,
        before: told.shrunk.before,
        after: told.shrunk.perturbations().len(),
        runs: told.shrunk.runs,
        minimal: told.shrunk.minimal != Minimal::Unproved,
        seconds: told.seconds,
        file: to.display().to_string(),
    })?;
    Ok(if interrupt::requested() { exit::INTERRUPTED } else { exit::PASS })
}

/// The summary where the file stays as it is.
fn unshrunk(saved: &Saved, found: &'static str, begun: Instant, path: &Path, output: &mut Output) -> Result<(), Stop> {
    let entries = saved.file.perturbations();
    output.json(&Finished {
        event: "shrink-finished",
        outcome: Some(found),
        before: entries,
        after: entries,
        runs: 1,
        minimal: saved.file.minimal != Minimal::Unproved,
        seconds: begun.elapsed().as_secs_f64(),
        file: path.display().to_string(),
    })
}
