//! `squall regressions refresh`: stale failure files, looked for again nearby.

use std::path::{Path, PathBuf};

use serde::Serialize;
use squall_campaign::failure_file::{FailureFile, Found, Origin};
use squall_reports::printable;
use squall_trace::{Plan, Record, Seed, StrategyChoice};

use super::arguments::Refresh;
use super::exit::{self, Stop};
use super::interrupt;
use super::output::Output;
use super::programs::Programs;
use super::run::unwritable;
use super::saved::{self, Saved};
use crate::failures::{self, Patience, REGRESSIONS};
use crate::runner::Simulation;

#[derive(Serialize)]
struct Refreshed {
    event: &'static str,
    file: String,
    outcome: &'static str,
}

#[derive(Default, Serialize)]
struct Finished {
    event: &'static str,
    files: usize,
    refreshed: usize,
    stale: usize,
    /// Failures of tests, which run them themselves.
    of_tests: usize,
    unreadable: usize,
}

pub fn refresh(programs: &Programs, arguments: &Refresh, output: &mut Output) -> Result<u8, Stop> {
    let is_all = arguments.files.is_empty();
    let paths = if is_all { all_kept() } else { arguments.files.clone() };
    let mut sum = Finished { event: "regressions-finished", ..Finished::default() };
    // All are read before anything runs. One that can't be is told, and keeps no other from being looked at.
    let mut all = Vec::new();
    for path in paths {
        let of_test = |file: FailureFile| file.file.is_none().then_some(file.scenario);
        if is_all && let Some(test) = FailureFile::read(&path).ok().and_then(of_test) {
            sum.of_tests += 1;
            output.text(&format!(
                "{}: not looked at: it is a failure of the test {}, which runs it itself",
                path.display(),
                printable::line(&test, 100)
            ))?;
            continue;
        }
        match Saved::load(&path, programs) {
            Ok(saved) => all.push((path, saved)),
            Err(stop) => {
                sum.unreadable += 1;
                stop.tell();
            }
        }
    }
    for (path, saved) in all {
        if interrupt::requested() {
            break;
        }
        let told = refresh_one(programs, arguments, &path, saved, output)?;
        sum.files += 1;
        sum.refreshed += usize::from(told == "refreshed");
        sum.stale += usize::from(told == "stale");
        output.json(&Refreshed { event: "regression", file: path.display().to_string(), outcome: told })?;
        output.flush()?;
    }
    let plural = if sum.files == 1 { "failure" } else { "failures" };
    let unreadable = match sum.unreadable {
        0 => String::new(),
        many => format!(", {many} can't be read"),
    };
    output
        .text(&format!("{} saved {plural}, {} refreshed, {} stale{unreadable}", sum.files, sum.refreshed, sum.stale))?;
    output.json(&sum)?;
    Ok(match sum {
        _ if interrupt::requested() => exit::INTERRUPTED,
        Finished { unreadable: 1.., .. } => exit::USAGE,
        Finished { files: 0, .. } => exit::NOTHING_RAN,
        Finished { stale: 0, .. } => exit::PASS,
        _ => exit::STALE,
    })
}

/// Looks at one file, and rewrites it if it is stale and its failure is found again. In a word, what became of it.
fn refresh_one(
    programs: &Programs,
    arguments: &Refresh,
    path: &Path,
    saved: Saved,
    output: &mut Output,
) -> Result<&'static str, Stop> {
    let (saved, simulation, outcome) = saved.run_first(programs)?;
    let file = &saved.file;
    let found = Found::new(file, &outcome);
    let said = failures::found_in_words(found, file, &outcome);
    let again = match found {
        Found::Stale { .. } => find_again(&simulation, &saved, path, arguments)?,
        // What no property is named cannot fail.
        Found::Unjudged => None,
        Found::Same | Found::Differs | Found::Gone | Found::Unknown => {
            output.text(&format!("{}: {said}", path.display()))?;
            return Ok(found.word());
        }
    };
    if let Some(again) = again {
        let to = rewrite(path, file, &again)?;
        let moved = if to == path { String::new() } else { format!(", as {}", to.display()) };
        output.text(&format!("{}: refreshed{moved}\n{}", path.display(), failures::entries_in_words(&again)))?;
        return Ok("refreshed");
    }
    let remedy = match found {
        Found::Unjudged => {
            "if the property has another name by now, say so in the file; if it is no more, the file can go".to_string()
        }
        _ if interrupt::requested() => "it wasn't looked for to the end".to_string(),
        _ => format!(
            "and {} fails with none of {} seeds from {} on: if it is mended, the file can go",
            printable::line(&file.property, 60),
            arguments.seeds,
            file.seed
        ),
    };
    output.text(&format!("{}: {said}\n  {remedy}", path.display()))?;
    Ok("stale")
}

/// Puts what was found again in the place of what is stale: under its own name, where the old one was named by its seed. Where that is.
fn rewrite(path: &Path, stale: &FailureFile, again: &FailureFile) -> Result<PathBuf, Stop> {
    let is_named_by_seed = path.file_name().is_some_and(|name| name == &*failures::file_name(stale));
    if again.seed == stale.seed || !is_named_by_seed {
        let aside = again.write_over(stale, path).map_err(|error| unwritable(path, &error))?;
        saved::tell_aside(path, aside.as_deref());
        return Ok(path.to_path_buf());
    }
    let to = path.with_file_name(failures::file_name(again));
    let aside = again.write_unless_known(&to).map_err(|error| unwritable(&to, &error))?;
    saved::tell_aside(&to, aside.as_deref());
    let aside = stale.remove(path).map_err(|error| unwritable(path, &error))?;
    saved::tell_aside(path, aside.as_deref());
    Ok(to)
}

/// Every failure file below `squall-regressions`.
fn all_kept() -> Vec<PathBuf> {
    let mut directories: Vec<PathBuf> =
        std::fs::read_dir(REGRESSIONS).into_iter().flatten().filter_map(|entry| Some(entry.ok()?.path())).collect();
    directories.sort();
    directories.iter().flat_map(|directory| failures::list(Path::new(directory))).collect()
}

/// The same property, failing nearby: with the entries that still match, with the seed's own weather, with that of the next seeds of which
/// no failure is kept already.
fn find_again(
    simulation: &Simulation,
    saved: &Saved,
    path: &Path,
    arguments: &Refresh,
) -> Result<Option<FailureFile>, Stop> {
    let Saved { file, scenario } = saved;
    let origin = Origin { file: file.file.as_deref(), build: scenario.build() };
    let is_kept = |seed: u64| path.with_file_name(failures::file_name_of_seed(file, Seed(seed))).exists();
    let seeds = (0..=arguments.seeds).filter_map(|further| file.seed.0.checked_add(further));
    let seeds = seeds.filter(|seed| *seed == file.seed.0 || !is_kept(*seed));
    let drawn = |seed| Plan {
        parameters: file.parameters.clone(),
        strategy: StrategyChoice::default(),
        ..Plan::seeded(file.scenario.clone(), Seed(seed))
    };
    for plan in std::iter::once(file.plan()).chain(seeds.map(drawn)) {
        if interrupt::requested() {
            return Ok(None);
        }
        let outcome = simulation.try_run_plan(&plan, Record::Digest)?;
        if outcome.verdict.property() != Some(&*file.property) {
            continue;
        }
        let mut patience =
            Patience::new(arguments.patience.shrink_for, arguments.patience.shrink_runs, interrupt::flag());
        if let Ok(told) = failures::shrink_and_explain(simulation, &plan, &mut patience) {
            return Ok(Some(FailureFile::shrunk(origin, &told.shrunk)));
        }
    }
    Ok(None)
}
