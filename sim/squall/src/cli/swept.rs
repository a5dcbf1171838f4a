//! What a sweep came to, as it is told: for programs, as a table for people, and as CSV.

use std::collections::{BTreeMap, BTreeSet};

use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};
use squall_campaign::latencies::{Latencies, Percentile};
use squall_campaign::sweep::CONFIDENCE;
use squall_reports::printable::{self, three_digits};
use squall_trace::Seed;

use super::output::without_controls;

/// So many cells are told of each property, for people.
const FAILURES_SHOWN_MAX: usize = 10;

/// Settings in their order, as an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings(pub Vec<(String, String)>);

impl Serialize for Settings {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (key, value) in &self.0 {
            map.serialize_entry(key, value)?;
        }
        map.end()
    }
}

impl Settings {
    pub fn in_words(&self) -> String {
        let words: Vec<String> = self.0.iter().map(|(key, value)| format!("{key}={value}")).collect();
        without_controls(&words.join(" "))
    }
}

#[derive(Clone, Serialize)]
pub struct Cell {
    /// The number of its combination, and the value at which a threshold is looked for.
    #[serde(skip)]
    pub place: (u64, u64),
    pub event: &'static str,
    /// Its number, from 0.
    pub cell: u64,
    pub settings: Settings,
    pub runs: u64,
    pub passed: u64,
    pub failed: u64,
    pub unknown: u64,
    /// By property.
    pub failures: Vec<Failures>,
    /// Why runs are unknown.
    pub unknowns: Vec<Unknowns>,
    pub operations: Operations,
    /// Answered operations in a virtual second, over the virtual time of all runs.
    pub answered_per_s: Option<f64>,
    /// Of all runs together.
    pub virtual_ns: u128,
    pub latency_ns: Percentiles,
}

#[derive(Clone, Serialize)]
pub struct Failures {
    pub property: String,
    pub runs: u64,
    pub first_seed: Seed,
    pub message: String,
    pub replay: String,
}

#[derive(Clone, Serialize)]
pub struct Unknowns {
    /// The first line of what was said. `None`: others than those that are listed.
    pub reason: Option<String>,
    pub runs: u64,
    pub first_seed: Seed,
    pub replay: String,
}

#[derive(Clone, Serialize)]
pub struct Operations {
    /// Those of histories, or calls, where nothing was recorded in one. `None` if there was neither.
    pub of: Option<&'static str>,
    pub count: u64,
    pub answered: u64,
    pub unanswered: u64,
    /// Runs that ended their process or hung: nobody knows their operations.
    pub unmeasured_runs: u64,
}

/// Where one is among the operations without an answer, it is none.
#[derive(Clone, Serialize)]
pub struct Percentiles {
    pub p50: Option<u64>,
    pub p99: Option<u64>,
    #[serde(rename = "p99.9")]
    pub p99_9: Option<u64>,
    pub max: Option<u64>,
    /// Whether they may be too long by less than 0.1 %.
    pub rounded: bool,
}

/// The percentiles that are told, in thousandths.
const SHARES: [u64; 4] = [500, 990, 999, 1_000];

impl Percentiles {
    pub fn of(latencies: &Latencies) -> Percentiles {
        let [p50, p99, p99_9, max] = SHARES.map(|share| match latencies.percentile(share) {
            Some(Percentile::Answered { ns }) => Some(ns),
            Some(Percentile::Unanswered) | None => None,
        });
        Percentiles { p50, p99, p99_9, max, rounded: latencies.is_rounded() }
    }

    fn all(&self) -> [Option<u64>; 4] {
        [self.p50, self.p99, self.p99_9, self.max]
    }
}

/// What was found of a threshold.
#[derive(Clone, Serialize)]
pub struct Found {
    /// The number of its combination.
    #[serde(skip)]
    pub number: u64,
    /// As a number.
    #[serde(skip)]
    pub fails_at: Option<u64>,
    pub event: &'static str,
    /// Of the grid.
    pub settings: Settings,
    pub key: String,
    /// Any, if there is none.
    pub property: Option<String>,
    pub fails: Option<Side>,
    pub passes: Option<Side>,
    /// Greater values than the first that fails, which don't.
    pub passes_above: Vec<String>,
    pub confidence: f64,
}

/// One side of a threshold.
#[derive(Clone, Serialize)]
pub struct Side {
    pub value: String,
    pub runs: u64,
    pub failed: u64,
    /// Of another property.
    pub failed_otherwise: u64,
    pub unknown: u64,
    /// The share of all runs that fails: with the confidence that is said it is no less, or no more.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub at_least: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fewer_than: Option<f64>,
}

/// With a capital letter and a full stop.
pub fn sentence(said: &str) -> String {
    let mut said = format!("{said}.");
    if let Some(first) = said.get_mut(..1) {
        first.make_ascii_uppercase();
    }
    said
}

/// What a sweep came to.
pub struct Swept {
    pub cells: Vec<Cell>,
    pub thresholds: Vec<Found>,
    pub runs: u64,
    pub unrepeated: Option<Seed>,
}

/// How many runs of a cell failed that property, or any.
pub fn failed_of(cell: &Cell, property: Option<&str>) -> u64 {
    let counts = |failures: &&Failures| property.is_none_or(|property| failures.property == property);
    cell.failures.iter().filter(counts).map(|failures| failures.runs).sum()
}

impl Swept {
    /// For people. The keys are those of the cells' settings.
    pub fn in_words(&self, keys: &[&str]) -> String {
        let mut text = String::from("\n");
        if self.cells.is_empty() {
            return text;
        }
        text.push_str(&self.table(keys));
        text.push('\n');
        for line in self.legend() {
            text.push_str(&format!("{line}\n"));
        }
        let mut shown: BTreeMap<&str, usize> = BTreeMap::new();
        for cell in self.sorted().into_iter().filter(|cell| self.is_shown(cell)) {
            for Failures { property, runs, first_seed, message, replay } in &cell.failures {
                let count = shown.entry(property).or_default();
                *count += 1;
                if *count > FAILURES_SHOWN_MAX {
                    continue;
                }
                text.push_str(&format!(
                    "FAIL {} in {runs} of {} with {}, first with seed {first_seed}\n",
                    printable::line(property, 60),
                    printable::counted(cell.runs, "run"),
                    cell.settings.in_words(),
                ));
                if *count == 1 {
                    for said in printable::paragraph(message, 100, 6) {
                        text.push_str(&format!("    {said}\n"));
                    }
                }
                text.push_str(&format!("    {}\n", super::as_called(replay)));
            }
        }
        for (property, count) in &shown {
            if let more @ 1.. = count.saturating_sub(FAILURES_SHOWN_MAX) {
                text.push_str(&format!(
                    "FAIL {} in {more} more cells: --message-format json and --out DIR tell all\n",
                    printable::line(property, 60)
                ));
            }
        }
        let unknowns =
            || self.sorted().into_iter().flat_map(|cell| cell.unknowns.iter().map(move |unknown| (cell, unknown)));
        for (cell, Unknowns { reason, runs, first_seed, replay }) in unknowns().take(FAILURES_SHOWN_MAX) {
            text.push_str(&format!(
                "UNKNOWN in {runs} of {} with {}, first with seed {first_seed}\n    {}\n    {}\n",
                printable::counted(cell.runs, "run"),
                cell.settings.in_words(),
                printable::line(reason.as_deref().unwrap_or("for other reasons than those that are listed"), 100),
                super::as_called(replay)
            ));
        }
        if let more @ 1.. = unknowns().count().saturating_sub(FAILURES_SHOWN_MAX) {
            text.push_str(&format!("UNKNOWN {more} times more: --message-format json and --out DIR tell all\n"));
        }
        for found in &self.thresholds {
            text.push_str(&found.in_words());
            text.push('\n');
        }
        text
    }

    /// In the order of their values: those between the ones of a scan were tried after them.
    pub fn sorted(&self) -> Vec<&Cell> {
        let mut cells: Vec<&Cell> = self.cells.iter().collect();
        cells.sort_by_key(|cell| cell.place);
        cells
    }

    /// Of a threshold that was found, people see the failures of one side.
    fn is_shown(&self, cell: &Cell) -> bool {
        let found = self.thresholds.iter().find(|found| found.number == cell.place.0);
        found.is_none_or(|found| found.fails_at == Some(cell.place.1))
    }

    fn table(&self, keys: &[&str]) -> String {
        let has_unknown = self.cells.iter().any(|cell| cell.unknown > 0);
        let mut rows = Vec::new();
        let heading_of = |key: &&str| printable::line(key.strip_prefix("network.").unwrap_or(key), 40);
        let mut heading: Vec<String> = keys.iter().map(heading_of).collect();
        heading.extend(["pass", "fail"].map(str::to_string));
        heading.extend(has_unknown.then(|| "unknown".to_string()));
        heading.extend(["answered", "ops/s", "p50", "p99", "p99.9", "max"].map(str::to_string));
        rows.push(heading);
        for cell in self.sorted() {
            let mut row: Vec<String> = cell.settings.0.iter().map(|(_, value)| printable::line(value, 40)).collect();
            row.extend([cell.passed.to_string(), cell.failed.to_string()]);
            row.extend(has_unknown.then(|| cell.unknown.to_string()));
            let Operations { count, answered, .. } = cell.operations;
            row.push(if count == 0 { "-".to_string() } else { format!("{answered}/{count}") });
            row.push(cell.answered_per_s.filter(|_| count > 0).map_or("-".to_string(), three_digits));
            row.extend(cell.latency_ns.all().map(|ns| match ns {
                Some(ns) => short_time(ns),
                None if count == 0 => "-".to_string(),
                None => "never".to_string(),
            }));
            rows.push(row);
        }
        aligned(&rows)
    }

    pub fn legend(&self) -> Vec<String> {
        let of = |what: &str| self.cells.iter().any(|cell| cell.operations.of == Some(what));
        let mut lines = Vec::new();
        match (of("history"), of("calls")) {
            (true, false) => lines.push("operations: those of the clients' histories".to_string()),
            (false, true) => lines.push("operations: the calls of clients (no history was recorded)".to_string()),
            (true, true) => lines.push(
                "operations: those of the clients' histories, and where none was recorded, the calls of clients"
                    .to_string(),
            ),
            (false, false) => {
                lines.push("operations: none; clients neither recorded a history nor made calls".to_string())
            }
        }
        let is_never = |cell: &Cell| cell.operations.count > 0 && cell.latency_ns.all().contains(&None);
        if self.cells.iter().any(is_never) {
            lines.push(
                "never: among the operations that are unanswered, which count as longer than all others".to_string(),
            );
        }
        if self.cells.iter().any(|cell| cell.latency_ns.rounded) {
            lines.push("latencies may be too long by less than 0.1 %: there were very many different ones".to_string());
        }
        let unmeasured: u64 = self.cells.iter().map(|cell| cell.operations.unmeasured_runs).sum();
        if unmeasured > 0 {
            lines.push(format!(
                "{} hung or ended their process: nobody knows their operations, and they aren't among these",
                printable::counted(unmeasured, "run")
            ));
        }
        lines
    }

    /// One row a cell, one column a key; a table in the sense of RFC 4180.
    pub fn csv(&self, keys: &[&str]) -> String {
        let properties: BTreeSet<&str> =
            self.cells.iter().flat_map(|cell| &cell.failures).map(|failures| failures.property.as_str()).collect();
        let mut rows = Vec::new();
        let mut heading: Vec<String> = keys.iter().map(ToString::to_string).collect();
        heading.extend(["runs", "passed", "failed", "unknown"].map(str::to_string));
        heading.extend(properties.iter().map(|property| format!("failed: {property}")));
        heading.extend(
            [
                "operations_of",
                "operations",
                "answered",
                "unanswered",
                "unmeasured_runs",
                "answered_per_s",
                "p50_ns",
                "p99_ns",
                "p99.9_ns",
                "max_ns",
            ]
            .map(str::to_string),
        );
        rows.push(heading);
        for cell in &self.cells {
            let Operations { of, count, answered, unanswered, unmeasured_runs } = &cell.operations;
            let mut row: Vec<String> = cell.settings.0.iter().map(|(_, value)| value.clone()).collect();
            row.extend([cell.runs, cell.passed, cell.failed, cell.unknown].map(|count| count.to_string()));
            row.extend(properties.iter().map(|property| failed_of(cell, Some(property)).to_string()));
            row.push(of.unwrap_or_default().to_string());
            row.extend([count, answered, unanswered, unmeasured_runs].map(u64::to_string));
            row.push(cell.answered_per_s.map_or_else(String::new, |rate| rate.to_string()));
            row.extend(cell.latency_ns.all().map(|ns| match ns {
                Some(ns) => ns.to_string(),
                None if *count == 0 => String::new(),
                None => "unanswered".to_string(),
            }));
            rows.push(row);
        }
        let lines = rows.iter().map(|row| row.iter().map(|field| csv_field(field)).collect::<Vec<String>>().join(","));
        lines.map(|line| format!("{line}\r\n")).collect()
    }
}

fn csv_field(field: &str) -> String {
    match field.contains([',', '"', '\r', '\n']) {
        true => format!("\"{}\"", field.replace('"', "\"\"")),
        false => field.to_string(),
    }
}

impl Found {
    pub fn in_words(&self) -> String {
        let Found { settings, key, property, fails, passes, passes_above, .. } = self;
        let place = if settings.0.is_empty() { String::new() } else { format!("with {}: ", settings.in_words()) };
        let what = property.as_deref().map_or("a property".to_string(), |property| printable::line(property, 60));
        let percent = (CONFIDENCE * 100.0) as u64;
        let bound = |side: &Side| match (side.at_least, side.fewer_than) {
            (Some(share), _) => format!("at least {}, {percent} % confidence", in_percent(share, false)),
            // So many are unknown that nothing is excluded.
            (_, Some(share)) if share >= 1.0 => "all may fail".to_string(),
            (_, Some(share)) => format!("fewer than {}", in_percent(share, true)),
            (None, None) => String::new(),
        };
        let aside = |side: &Side| {
            let mut aside = String::new();
            if side.failed_otherwise > 0 {
                aside.push_str(&format!(", {} failed otherwise", side.failed_otherwise));
            }
            if side.unknown > 0 {
                aside.push_str(&format!(", {} unknown", side.unknown));
            }
            aside
        };
        let at_failing = |side: &Side| {
            format!(
                "{what} fails at {} in {} of {} ({}{})",
                side.value,
                side.failed,
                printable::counted(side.runs, "run"),
                bound(side),
                aside(side)
            )
        };
        let at_passing =
            |side: &Side| format!("at {} in none of {} ({}{})", side.value, side.runs, bound(side), aside(side));
        let mut text = format!("{place}{key}: ");
        match (fails, passes) {
            (Some(fails), Some(passes)) => text.push_str(&format!("{}, {}", at_failing(fails), at_passing(passes))),
            (Some(fails), None) => text.push_str(&format!("{}, the lowest value", at_failing(fails))),
            (None, Some(passes)) => {
                text.push_str(&format!("{what} fails at no value; {}, the highest", at_passing(passes)));
            }
            (None, None) => text.push_str("nothing was tried"),
        }
        if !passes_above.is_empty() {
            text.push_str(&format!(
                "\n    but not at {}, which is more: there isn't one threshold, and what is said is the first",
                passes_above.join(", ")
            ));
        }
        text
    }
}

/// With two significant digits, and one behind the point at least: a bound that is safe, rounded away from what it bounds.
fn in_percent(share: f64, up: bool) -> String {
    let percent = share * 100.0;
    let mut digits = 1;
    while digits < 4 && percent > 0.0 && percent * [1.0, 10.0, 100.0, 1_000.0][digits - 1] < 1.0 {
        digits += 1;
    }
    let scale = [1.0, 10.0, 100.0, 1_000.0, 10_000.0][digits];
    // What is a round number already stays one.
    let scaled = (percent * scale * 1e4).round() / 1e4;
    let scaled = if up { scaled.ceil() } else { scaled.floor() };
    format!("{:.digits$} %", scaled / scale)
}

/// A time whose unit has two characters, so that units stand below each other.
fn short_time(ns: u64) -> String {
    let time = printable::short_time(ns);
    if time.ends_with(" s") { time + " " } else { time }
}

/// Columns to the right, two spaces between them.
fn aligned(rows: &[Vec<String>]) -> String {
    let columns = rows.first().map_or(0, Vec::len);
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let mut text = String::new();
    for row in rows {
        let fields: Vec<String> = row.iter().zip(&widths).map(|(field, width)| format!("{field:>width$}")).collect();
        text.push_str(fields.join("  ").trim_end());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_and_shares_are_short_and_bounds_are_safe() {
        for (ns, shown) in [(999, "999 ns"), (43_210_000, "43.2 ms"), (999_500_000, "1.00 s ")] {
            assert_eq!(short_time(ns), shown);
        }
        for (share, below, above) in [
            (0.029_513, "2.9 %", "3.0 %"),
            (0.5, "50.0 %", "50.0 %"),
            (0.000_299, "0.029 %", "0.030 %"),
            (0.0, "0.0 %", "0.0 %"),
            (1.0, "100.0 %", "100.0 %"),
        ] {
            assert_eq!((&*in_percent(share, false), &*in_percent(share, true)), (below, above));
        }
    }

    #[test]
    fn a_field_of_a_table_is_quoted_where_it_must_be() {
        for (field, written) in
            [("5ms", "5ms"), ("a,b", "\"a,b\""), ("a \"b\"", "\"a \"\"b\"\"\""), ("a\nb", "\"a\nb\"")]
        {
            assert_eq!(csv_field(field), written);
        }
    }
}
