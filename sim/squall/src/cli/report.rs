//! `squall report`: a saved failure as a page.

use std::num::NonZeroU64;

use serde::Serialize;
use squall_campaign::failure_file::Found;
use squall_campaign::whole_file::WholeFile;
use squall_reports::page::Shrinking;
use squall_reports::printable;
use squall_trace::{Base, Record, Verdict};

use super::arguments::Report;
use super::exit::{self, Stop};
use super::interrupt;
use super::likelihood::{self, Often};
use super::output::{self, Output};
use super::page::{Paged, left_in_words};
use super::programs::Programs;
use super::run::{exit_code, unwritable};
use super::saved::Saved;
use crate::failures::{explain_saved, found_in_words, minimal_in_words};
use crate::runner::HANG_PROPERTY;
use crate::testing::is_same;

#[derive(Serialize)]
struct Finished<'f> {
    event: &'static str,
    outcome: &'static str,
    verdict: &'static str,
    property: Option<&'f str>,
    /// Whether the nearest run that doesn't fail is beside it.
    explained: bool,
    page: String,
}

pub fn report(programs: &Programs, arguments: &Report, output: &mut Output) -> Result<u8, Stop> {
    let Report { file: path, out, likelihood, .. } = arguments;
    let saved = Saved::load(path, programs)?;
    let page = WholeFile::create(out).map_err(|error| unwritable(out, &error))?;
    let (saved, mut simulation, _) = saved.run_first(programs)?;
    if saved.file.property == HANG_PROPERTY {
        // A thread that hangs can't be ended.
        simulation = simulation.in_processes();
    }
    let plan = saved.plan();
    let outcome = simulation.try_run_plan(&plan, Record::Full)?;
    let again = simulation.try_run_plan(&plan, Record::Digest)?;
    let repeats = is_same(&outcome, &again);
    let found = Found::new(&saved.file, &outcome);
    // What a file says is a shrunk failure where everything else is calm.
    let is_shrunk = saved.file.weather == Base::Calm && matches!(outcome.verdict, Verdict::Fail(_));
    let left = outcome.perturbations.len();
    let minimal = minimal_in_words(saved.file.minimal, left);
    let shrunk = if is_shrunk {
        let whole = saved.scenario.plan(saved.file.seed, Default::default());
        let before = simulation.try_run_plan(&whole, Record::Perturbations)?;
        // What it was shrunk from isn't saved: it may have been another order of what is due at one instant.
        let taken = match before.verdict.property() == outcome.verdict.property() {
            true => format!(
                "Run by its seed alone it fails so as well, with {} that aren't calm; here {left} {} left, and everything else is calm.",
                printable::counted(before.perturbations.len() as u64, "decision"),
                if left == 1 { "is" } else { "are" }
            ),
            false => "Everything else is calm.".to_string(),
        };
        Some(Shrinking { taken, left: left_in_words(&minimal, plan.horizon_ns) })
    } else {
        None
    };
    let explanation = match is_shrunk {
        true => explain_saved(&simulation, &saved.file, &outcome),
        false => None,
    };
    let often = likelihood.map_or(Some(Often::Usual), |draws| NonZeroU64::new(draws).map(Often::Times));
    let likelihood = match often {
        None => Err("It wasn't drawn: --likelihood says 0.".to_string()),
        Some(_) if !repeats => Err(likelihood::UNREPEATED.to_string()),
        Some(often) => likelihood::drawn(&simulation, &plan, &outcome, often),
    };
    let replay = super::replay_saved_command(path);
    let said = found_in_words(found, &saved.file, &outcome);
    let notice = match found {
        Found::Same | Found::Differs => None,
        Found::Gone | Found::Unknown | Found::Stale { .. } | Found::Unjudged => {
            Some(format!("Not what was saved. {said}"))
        }
    };
    let paged = Paged {
        scenario: &saved.scenario,
        plan: &plan,
        outcome: &outcome,
        replay: &replay,
        notice,
        repeats: Some(match repeats {
            true => "a second run gave the same digest".to_string(),
            false => "a second run came to something else: something decides that isn't in the plan".to_string(),
        }),
        shrinking: shrunk,
        explanation: explanation.as_ref(),
        likelihood,
    };
    paged.write(out, page)?;
    output.text(&said)?;
    output.text(&format!("page: {}", output::without_controls(&out.display().to_string())))?;
    output.json(&Finished {
        event: "report-finished",
        outcome: if repeats { found.word() } else { "differs" },
        verdict: outcome.verdict.word(),
        property: outcome.verdict.property(),
        explained: explanation.is_some(),
        page: out.display().to_string(),
    })?;
    Ok(match () {
        () if interrupt::requested() => exit::INTERRUPTED,
        () if !repeats => exit::NONDETERMINISM,
        () if found.is_stale() => exit::STALE,
        // The page shows what was asked for.
        () if outcome.verdict.property() == Some(&*saved.file.property) => exit::PASS,
        () => exit_code(&outcome.verdict, None),
    })
}
