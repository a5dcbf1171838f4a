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
use super::saved::Saved;
use crate::failures::{self, Patience, REGRESSIONS};
use crate::runner::Simulation;

#[derive(Serialize)]
struct Refreshed {
    event: &'static str,
    file: String,
    outcome: &'static str,
}

#[derive(Serialize)]
struct Finished {
    event: &'static str,
    files: usize,
    refreshed: usize,
    stale: usize,
}

pub fn refresh(programs: &Programs, arguments: &Refresh, output: &mut Output) -> Result<u8, Stop> {
    let paths = if arguments.files.is_empty() { all_kept() } else { arguments.files.clone() };
    let (mut refreshed, mut stale) = (0, 0);
    let all: Result<Vec<Saved>, Stop> = paths.iter().map(|path| Saved::load(path, programs)).collect();
    for (path, saved) in paths.iter().zip(all?) {
        if interrupt::requested() {
            break;
        }
        let (saved, simulation, outcome) = saved.run_first(programs)?;
        let file = &saved.file;
        let found = Found::new(file, &outcome);
        let told = match found {
            Found::Stale { .. } => match find_again(&simulation, &saved, arguments)? {
                Some(again) => {
                    again.write(path).map_err(|error| unwritable(path, &error))?;
                    refreshed += 1;
                    output.text(&format!("{}: refreshed\n{}", path.display(), failures::entries_in_words(&again)))?;
                    "refreshed"
                }
                None => {
                    stale += 1;
                    output.text(&format!(
                        "{}: {}\n  and {} fails with none of {} seeds from {} on: if it is mended, the file can go",
                        path.display(),
                        failures::found_in_words(found, file, &outcome),
                        printable::line(&file.property, 60),
                        arguments.seeds,
                        file.seed
                    ))?;
                    "stale"
                }
            },
            found => {
                output.text(&format!("{}: {}", path.display(), failures::found_in_words(found, file, &outcome)))?;
                found.word()
            }
        };
        output.json(&Refreshed { event: "regression", file: path.display().to_string(), outcome: told })?;
        output.flush()?;
    }
    output.text(&format!("{} saved failures, {refreshed} refreshed, {stale} stale", paths.len()))?;
    output.json(&Finished { event: "regressions-finished", files: paths.len(), refreshed, stale })?;
    Ok(match (interrupt::requested(), paths.len(), stale) {
        (true, ..) => exit::INTERRUPTED,
        (_, 0, _) => exit::NOTHING_RAN,
        (_, _, 0) => exit::PASS,
        _ => exit::STALE,
    })
}

/// Every failure file below `squall-regressions`.
fn all_kept() -> Vec<PathBuf> {
    let mut directories: Vec<PathBuf> =
        std::fs::read_dir(REGRESSIONS).into_iter().flatten().filter_map(|entry| Some(entry.ok()?.path())).collect();
    directories.sort();
    directories.iter().flat_map(|directory| failures::list(Path::new(directory))).collect()
}

/// The same property, failing nearby: with the entries that still match, with the seed's own weather, with the next seeds'.
fn find_again(simulation: &Simulation, saved: &Saved, arguments: &Refresh) -> Result<Option<FailureFile>, Stop> {
    let Saved { file, scenario } = saved;
    let origin = Origin { file: file.file.as_deref(), build: scenario.build() };
    let seeds = (0..=arguments.seeds).filter_map(|further| file.seed.0.checked_add(further));
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
