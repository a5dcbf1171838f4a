//! The page of a sweep: what it is made of, put together from what `sweep` knows.

use std::collections::BTreeSet;

use squall_campaign::seeds::SeedRange;
use squall_reports::page::campaign::LatencySummary;
use squall_reports::page::sweep::{Axis, CellFinding, SweepCell, SweepPage, render_sweep_page};
use squall_reports::printable;
use squall_trace::Digest;

use super::arguments::Sweep;
use super::sweep::COMPUTATION;
use super::swept::{Cell, Failures, Operations, Percentiles, Swept, Unknowns, failed_of, sentence};
use super::vary::Varied;

/// A sweep about which a page is written.
pub struct SweptPaged<'s> {
    pub arguments: &'s Sweep,
    /// The settings over the file's own, those that were added on the way included.
    pub set: &'s [String],
    pub scenario: &'s str,
    pub build: Option<Digest>,
    pub seeds: SeedRange,
    pub jobs: usize,
    pub elapsed_ns: u64,
    pub varied: &'s [Varied],
    pub find: Option<&'s Varied>,
    /// How many cells it was to have, or at least if there is a threshold to be found.
    pub cells_at_least: u64,
    /// Of a combination's number which values of the varied keys it has.
    pub places: &'s dyn Fn(u64) -> Vec<usize>,
    pub swept: &'s Swept,
    /// What was noted of runs, with the cell where it was first.
    pub notes: &'s [String],
    /// Why it ended early, if it did.
    pub ended: Option<&'s str>,
}

impl SweptPaged<'_> {
    /// The page, as HTML.
    pub fn render(&self) -> String {
        let SweptPaged { arguments, swept, scenario, seeds, .. } = self;
        // The values at which a threshold was looked for, those between the ones of its scan too.
        let tried: Vec<u64> = match self.find {
            None => Vec::new(),
            Some(_) => swept.cells.iter().map(|cell| cell.place.1).collect::<BTreeSet<u64>>().into_iter().collect(),
        };
        let mut axes: Vec<Axis> = self
            .varied
            .iter()
            .map(|varied| Axis { key: varied.key.clone(), values: varied.values.clone(), between: Vec::new() })
            .collect();
        axes.extend(self.find.map(|find| Axis {
            key: find.key.clone(),
            values: tried.iter().map(|&value| find.at(value).values.remove(0)).collect(),
            between: (0..tried.len()).filter(|place| !find.scan().contains(&tried[*place])).collect(),
        }));
        let property = arguments.property.as_deref();
        let cells = swept.sorted().into_iter().map(|cell| {
            let mut places = (self.places)(cell.place.0);
            places.extend(tried.iter().position(|value| *value == cell.place.1));
            cell_of(cell, places, property)
        });
        let mut notices = Vec::new();
        if let Some(why) = self.ended {
            notices
                .push(format!("It ended early: {why}. Cells that were not run are empty, and the last may lack runs."));
        }
        if let Some(seed) = swept.unrepeated {
            notices.push(format!(
                "NOT DETERMINISTIC: seed {seed} was run a second time, and that run had another digest. What is here may be otherwise the next time."
            ));
        }
        render_sweep_page(&SweepPage {
            scenario: scenario.to_string(),
            notices,
            command: super::as_called(&self.command()),
            facts: self.facts(),
            clock: self.clock(),
            property: property.map(str::to_string),
            seeds: seeds.len(),
            axes,
            cells: cells.collect(),
            cells_asked: self.ended.map(|_| self.cells_asked()),
            thresholds: swept.thresholds.iter().map(|found| found.in_words()).collect(),
            notes: swept.legend().iter().map(|said| sentence(said)).collect(),
            not_checked: self.not_checked(),
        })
    }

    /// How many cells were to be run, in words.
    fn cells_asked(&self) -> String {
        let cells = self.cells_at_least.max(self.swept.cells.len() as u64);
        match self.find {
            None => cells.to_string(),
            Some(_) => format!("at least {cells}"),
        }
    }

    fn command(&self) -> String {
        let Sweep { world, vary, find, property, .. } = self.arguments;
        let mut command = format!("squall sweep {}", super::quoted(&world.file.display().to_string()));
        let vary = vary.iter().map(|value| ("--vary", value));
        let set = self.set.iter().map(|value| ("--set", value));
        let others =
            find.iter().map(|value| ("--find", value)).chain(property.iter().map(|value| ("--property", value)));
        for (option, value) in vary.chain(others).chain(set) {
            command.push_str(&format!(" {option} {}", super::quoted(value)));
        }
        command.push_str(&format!(" --seeds {}", self.seeds));
        if let Some(strategy) = world.strategy {
            command.push_str(&format!(" --strategy {strategy}"));
        }
        command
    }

    fn facts(&self) -> Vec<(String, String)> {
        let world = &self.arguments.world;
        let mut facts = vec![
            ("Scenario", format!("{} ({})", self.scenario, world.file.display())),
            ("Seeds", format!("{}, the same in each cell", self.seeds)),
        ];
        facts.extend(self.set.iter().map(|setting| ("Setting", setting.clone())));
        facts.push(("Order within an instant", world.strategy.unwrap_or_default().to_string()));
        facts.push(("Cells", format!("{}, {}", self.swept.cells.len(), printable::counted(self.swept.runs, "run"))));
        let build = self.build.map_or_else(String::new, |build| format!(", build {build} of the program"));
        facts.push(("Versions", format!("Squall {}{build}", env!("CARGO_PKG_VERSION"))));
        facts.into_iter().map(|(name, value)| (name.to_string(), value)).collect()
    }

    fn clock(&self) -> Vec<String> {
        let mut clock = vec![printable::short_time(self.elapsed_ns)];
        if self.swept.runs > 0 && self.elapsed_ns > 0 {
            let rate = self.swept.runs as f64 * 1e9 / self.elapsed_ns as f64;
            clock.push(format!("{} runs a second", printable::three_digits(rate)));
        }
        clock.push(printable::counted(self.jobs as u64, "job"));
        clock
    }

    fn not_checked(&self) -> Vec<String> {
        let mut said: Vec<String> = self.notes.to_vec();
        said.push(sentence(COMPUTATION));
        said.push("Failures are counted, not shrunk: the command beside each runs it, and explore with the same settings shrinks it.".to_string());
        said.push("What lies between the values that were run, and other seeds than these.".to_string());
        said
    }
}

fn cell_of(cell: &Cell, places: Vec<usize>, property: Option<&str>) -> SweepCell {
    let failed = failed_of(cell, property);
    let Operations { count, answered, unmeasured_runs, .. } = cell.operations;
    let Percentiles { p50, p99, p99_9, max, rounded } = cell.latency_ns;
    let failures = cell.failures.iter().map(|Failures { property, runs, first_seed, message, replay }| CellFinding {
        what: property.clone(),
        runs: *runs,
        seed: first_seed.to_string(),
        message: message.clone(),
        replay: super::as_called(replay),
    });
    let unknowns = cell.unknowns.iter().map(|Unknowns { reason, runs, first_seed, replay }| CellFinding {
        what: reason.clone().unwrap_or_else(|| "for other reasons than those that are listed".to_string()),
        runs: *runs,
        seed: first_seed.to_string(),
        message: String::new(),
        replay: super::as_called(replay),
    });
    SweepCell {
        places,
        runs: cell.runs,
        passed: cell.passed,
        failed,
        failed_otherwise: cell.failed - failed,
        unknown: cell.unknown,
        latency: LatencySummary {
            operations: count,
            answered,
            p50_ns: p50,
            p99_ns: p99,
            p99_9_ns: p99_9,
            max_ns: max,
            unmeasured_runs,
            is_rounded: rounded,
        },
        answered_per_s: cell.answered_per_s,
        failures: failures.collect(),
        unknowns: unknowns.collect(),
    }
}
