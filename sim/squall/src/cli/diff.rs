//! `squall diff`: where two traces part.

use std::path::Path;

use serde::Serialize;
use squall_reports::{event_in_words, printable};
use squall_trace::{OwnedEvent, Trace};

use super::arguments::Diff;
use super::exit::{self, Stop};
use super::output::{self, Output};
use crate::divergence::first_divergence;
use crate::trace_file;

#[derive(Serialize)]
struct Finished<'d> {
    event: &'static str,
    same: bool,
    /// The number of the first event that differs, log lines left out.
    step: Option<u64>,
    first: Option<&'d str>,
    second: Option<&'d str>,
}

pub fn diff(arguments: &Diff, output: &mut Output) -> Result<u8, Stop> {
    let read = |path: &Path| trace_file::read(path).map_err(|error| Stop::Input(miette::miette!("{error}")));
    let (first, second) = (read(&arguments.first)?, read(&arguments.second)?);
    for (path, trace) in [(&arguments.first, &first), (&arguments.second, &second)] {
        let said = format!(
            "{}: {}, seed {}, {} events, digest {}",
            path.display(),
            trace.plan.scenario,
            trace.plan.seed,
            trace.counted_events().count(),
            trace.digest
        );
        output.text(&output::without_controls(&said))?;
    }
    let divergence = first_divergence(&first, &second);
    match &divergence {
        None => {
            output.text("same: every event and the verdict agree")?;
            if first.log_digest != second.log_digest {
                output.text("only what was logged differs")?;
            }
        }
        Some(divergence) => {
            let shared = divergence.step.saturating_sub(1) as usize;
            output.text(&format!("\nthey part at event {}; both:", divergence.step))?;
            let from = shared.saturating_sub(arguments.context);
            tell_events(&first, from, shared - from, output)?;
            for (path, trace, instead) in
                [(&arguments.first, &first, &divergence.first), (&arguments.second, &second, &divergence.second)]
            {
                output.text(&format!("\n{}:\n> {}", path.display(), printable::line(instead, 200)))?;
                tell_events(trace, shared + 1, arguments.context, output)?;
            }
        }
    }
    output.json(&Finished {
        event: "diff-finished",
        same: divergence.is_none(),
        step: divergence.as_ref().map(|divergence| divergence.step),
        first: divergence.as_ref().map(|divergence| &*divergence.first),
        second: divergence.as_ref().map(|divergence| &*divergence.second),
    })?;
    Ok(if divergence.is_none() { exit::PASS } else { exit::DIFFERENT })
}

fn tell_events(trace: &Trace, from: usize, count: usize, output: &mut Output) -> Result<(), Stop> {
    let events: Vec<&OwnedEvent> = trace.counted_events().skip(from).take(count).collect();
    for event in events {
        output.text(&format!("  {}", printable::line(&event_in_words(event, &trace.names), 200)))?;
    }
    Ok(())
}
