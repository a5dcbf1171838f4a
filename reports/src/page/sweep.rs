//! The page of a sweep: a grid of settings with the same seeds in each cell, as maps, charts and a table.

use std::collections::BTreeMap;

use super::campaign::{LatencySummary, clock};
use super::chart::{
    Field, TimeScale, counted, dot, grouped, hatch, label, line, percent, picture, polyline, rectangle, time_or_never,
};
use super::markup::{Markup, short};
use super::shell;
use crate::printable::{short_time, three_digits};

const STYLE: &str = concat!(include_str!("common.css"), include_str!("sheet.css"));
const SCRIPT: &str = include_str!("sheet.js");

/// How many maps there are of each measure: of a grid of more than two keys there is one for each combination of the others.
pub const MAPS_MAX: usize = 24;

/// How many cells all maps of a measure have together. The table has all.
pub const MAP_CELLS_MAX: usize = 2_000;

/// How many values a row of a map has.
pub const MAP_COLUMNS_MAX: usize = 200;

/// In how many cells the failures of one property are told, each with its command.
const FAILURES_SHOWN_MAX: usize = 5;

/// What the page of a sweep is made of. All but `clock` is the same for any number of jobs.
#[derive(Clone, Debug, Default)]
pub struct SweepPage {
    /// The scenario's name.
    pub scenario: String,
    /// What else there is to know first: that it ended early, say.
    pub notices: Vec<String>,
    /// The command that runs it again.
    pub command: String,
    /// Its seeds, settings and versions, as names and values.
    pub facts: Vec<(String, String)>,
    /// What depends on the machine and its load: a few words each.
    pub clock: Vec<String>,
    /// The property whose failures count; any, if there is none.
    pub property: Option<String>,
    /// How many seeds each cell has if it is whole.
    pub seeds: u64,
    /// The keys that are varied and their values. The last one's are the columns of maps, those of the one before it their rows.
    pub axes: Vec<Axis>,
    /// What was run.
    pub cells: Vec<SweepCell>,
    /// Where it ended early, how many cells were to be run, in words: "9", or "at least 9".
    pub cells_asked: Option<String>,
    /// The thresholds that were looked for and found, in words, with how sure they are.
    pub thresholds: Vec<String>,
    /// How to understand the numbers, a sentence each.
    pub notes: Vec<String>,
    /// What this sweep doesn't say, a sentence each.
    pub not_checked: Vec<String>,
}

/// A key that is varied.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Axis {
    /// The key.
    pub key: String,
    /// Its values in the order in which they are shown.
    pub values: Vec<String>,
    /// The places of those that only some combinations of the other keys have: a threshold was looked for there. Maps of several keys leave
    /// them out.
    pub between: Vec<usize>,
}

/// What came of a cell.
#[derive(Clone, Debug, Default)]
pub struct SweepCell {
    /// Of each axis the place of its value.
    pub places: Vec<usize>,
    /// How many runs there were.
    pub runs: u64,
    /// In how many every property held.
    pub passed: u64,
    /// In how many the property failed that counts.
    pub failed: u64,
    /// In how many another one did.
    pub failed_otherwise: u64,
    /// Of how many nobody can say.
    pub unknown: u64,
    /// How long operations took.
    pub latency: LatencySummary,
    /// Answered operations in a virtual second.
    pub answered_per_s: Option<f64>,
    /// What failed.
    pub failures: Vec<CellFinding>,
    /// Why runs are unknown.
    pub unknowns: Vec<CellFinding>,
}

/// What failed in a cell, or why nobody can say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CellFinding {
    /// The property; for an unknown run, the reason.
    pub what: String,
    /// In how many runs.
    pub runs: u64,
    /// The first seed, as it is written.
    pub seed: String,
    /// What was seen.
    pub message: String,
    /// The command that runs it again.
    pub replay: String,
}

/// Cells by the places of their values.
type Places<'p> = BTreeMap<&'p [usize], &'p SweepCell>;

/// The page of a sweep, as HTML in UTF-8.
#[must_use]
pub fn render_sweep_page(page: &SweepPage) -> String {
    let places: Places<'_> = page.cells.iter().map(|cell| (&*cell.places, cell)).collect();
    let mut out = Markup::default();
    let sentence = sentence(page);
    head(page, &sentence, &mut out);
    out.within("main", &[], |out| {
        thresholds(page, out);
        match &*page.axes {
            [only] => of_one_axis(page, only, &places, out),
            _ => maps(page, &places, out),
        }
        findings(page, out);
        table(page, out);
        out.section("unchecked", "What was not checked", |out| {
            out.within("ul", &[], |out| {
                for sentence in &page.not_checked {
                    out.element("li", &[("class", "text")], sentence);
                }
            });
        });
    });
    let title = format!("{} · {} · sweep", short(&sentence), short(&page.scenario));
    shell::page(&title, STYLE, &out.finish(), SCRIPT)
}

fn sentence(page: &SweepPage) -> String {
    let all = page.cells.len() as u64;
    let failing = page.cells.iter().filter(|cell| cell.failed > 0).count() as u64;
    let unknown = page.cells.iter().filter(|cell| cell.unknown > 0).count() as u64;
    let what = page.property.as_deref().map_or_else(|| "A property".to_string(), short);
    let cells = cells_in_words(page);
    let mut said = match failing {
        0 if all == 0 => match &page.cells_asked {
            Some(asked) => format!("No cell was run, of {asked}"),
            None => "No cell was run".to_string(),
        },
        0 if page.property.is_some() => format!("{what} fails in none of {cells}"),
        0 => format!("No property fails in any of {cells}"),
        // All of a few that were run aren't all.
        _ if failing == all && page.cells_asked.is_none() => format!("{what} fails in all of {cells}"),
        _ => format!("{what} fails in {} of {cells}", grouped(failing)),
    };
    if unknown > 0 {
        said.push_str(&format!("; in {} there are runs of which nobody can say", grouped(unknown)));
    }
    said
}

/// The cells, as what is said of some of them goes on.
fn cells_in_words(page: &SweepPage) -> String {
    let ran = page.cells.len() as u64;
    match &page.cells_asked {
        None => counted(ran, "cell"),
        Some(asked) => {
            format!("the {} that {} run, of {asked}", counted(ran, "cell"), if ran == 1 { "was" } else { "were" })
        }
    }
}

fn head(page: &SweepPage, sentence: &str, out: &mut Markup) {
    out.within("header", &[], |out| {
        out.within("h1", &[], |out| {
            out.element("span", &[("class", "word")], "SWEEP");
            out.text(" ");
            out.element("bdi", &[], sentence);
        });
        let keys: Vec<&str> = page.axes.iter().map(|axis| axis.key.as_str()).collect();
        let seeds = counted(page.seeds, "seed");
        let said = format!("{} over {}; in each cell the same {seeds}", page.scenario, keys.join(" × "));
        out.element("p", &[("class", "text")], &said);
        for notice in &page.notices {
            out.element("p", &[("class", "notice")], notice);
        }
        out.command("Run again", &page.command);
        clock(&page.clock, out);
        out.within("details", &[], |out| {
            out.element("summary", &[], "Seeds, settings, versions");
            out.facts(&page.facts);
        });
    });
}

fn thresholds(page: &SweepPage, out: &mut Markup) {
    if page.thresholds.is_empty() {
        return;
    }
    out.section("thresholds", "Thresholds that were found", |out| {
        out.within("ul", &[], |out| {
            for said in page.thresholds.iter().take(MAPS_MAX) {
                out.element("li", &[("class", "text")], said);
            }
        });
        let more = page.thresholds.len().saturating_sub(MAPS_MAX) as u64;
        if more > 0 {
            let said = format!("… and {}: sweep --out writes all.", counted(more, "more threshold"));
            out.element("p", &[("class", "faint")], &said);
        }
    });
}

/// What a map shows.
#[derive(Clone, Copy)]
enum Measure {
    Verdict,
    Latency(Option<TimeBins>),
}

/// Steps of a scale of times, in equal ratios.
#[derive(Clone, Copy)]
struct TimeBins {
    low: f64,
    ratio: f64,
}

/// How many colours there are for times.
const TIME_BINS: u32 = 8;

/// Their classes, from the shortest time to the longest.
const TIME_CLASSES: [&str; TIME_BINS as usize] = ["t0", "t1", "t2", "t3", "t4", "t5", "t6", "t7"];

/// The classes of shares, with the greatest share of each in percent. Nothing and all have their own.
const SHARE_CLASSES: [(&str, &str, u64); 5] = [
    ("s1", "up to 10 %", 10),
    ("s2", "10 to 25 %", 25),
    ("s3", "25 to 50 %", 50),
    ("s4", "50 to 90 %", 90),
    ("s5", "above 90 %", 100),
];

impl TimeBins {
    fn of(cells: &[SweepCell]) -> Option<TimeBins> {
        let times = || cells.iter().filter_map(|cell| cell.latency.p99_ns).map(|ns| ns.max(1) as f64);
        let low = times().fold(f64::INFINITY, f64::min);
        let high = times().fold(0.0, f64::max);
        // One bin at the least has some width.
        (high > 0.0).then(|| TimeBins { low, ratio: (high / low).powf(1.0 / f64::from(TIME_BINS)).max(1.000_001) })
    }

    fn class(self, ns: u64) -> &'static str {
        let bin = ((ns.max(1) as f64 / self.low).ln() / self.ratio.ln()).floor();
        TIME_CLASSES[(bin.max(0.0) as usize).min(TIME_CLASSES.len() - 1)]
    }

    /// Where a bin begins; the one behind the last where that ends.
    fn bound(self, bin: u32) -> u64 {
        (self.low * self.ratio.powf(f64::from(bin))).round() as u64
    }
}

/// Between which two neighbours the verdict crosses what.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Edge {
    None,
    /// One has failures, the other has none.
    First,
    /// Half of the runs fail, or more, in one alone.
    Half,
    Both,
}

fn edge(one: Option<&SweepCell>, other: Option<&SweepCell>) -> Edge {
    let (Some(one), Some(other)) = (one, other) else { return Edge::None };
    let first = (one.failed > 0) != (other.failed > 0);
    let is_half = |cell: &SweepCell| cell.failed * 2 >= cell.runs;
    match (first, is_half(one) != is_half(other)) {
        (true, true) => Edge::Both,
        (true, false) => Edge::First,
        (false, true) => Edge::Half,
        (false, false) => Edge::None,
    }
}

/// A cell in words: all of its numbers.
fn in_words(page: &SweepPage, cell: &SweepCell) -> String {
    let settings: Vec<String> = page
        .axes
        .iter()
        .zip(&cell.places)
        .map(|(axis, place)| format!("{}={}", axis.key, axis.values[*place]))
        .collect();
    let mut said = format!(
        "{}: of {} {} passed, {} failed ({})",
        settings.join(" "),
        counted(cell.runs, "run"),
        grouped(cell.passed),
        grouped(cell.failed),
        percent(cell.failed, cell.runs)
    );
    for (count, what) in [(cell.failed_otherwise, "failed otherwise"), (cell.unknown, "unknown")] {
        if count > 0 {
            said.push_str(&format!(", {} {what}", grouped(count)));
        }
    }
    let LatencySummary { operations, answered, .. } = cell.latency;
    if operations == 0 {
        said.push_str("; no operations");
        return said;
    }
    let times: Vec<String> =
        cell.latency.percentiles().map(|(name, ns)| format!("{name} {}", time_or_never(ns, operations))).to_vec();
    said.push_str(&format!(
        "; {}; {} of {} answered, {} never; {} answered a virtual second",
        times.join(", "),
        grouped(answered),
        counted(operations, "operation"),
        grouped(operations - answered),
        cell.answered_per_s.map_or_else(|| "–".to_string(), three_digits)
    ));
    said
}

impl Measure {
    fn class(self, cell: &SweepCell) -> &'static str {
        match self {
            Measure::Verdict if cell.failed == 0 && cell.unknown > 0 => "unsure",
            Measure::Verdict if cell.failed == 0 => "s0",
            Measure::Verdict => {
                let is_in = |most: u64| cell.failed * 100 <= cell.runs * most;
                SHARE_CLASSES.iter().find(|(_, _, most)| is_in(*most)).map_or("s5", |(class, ..)| class)
            }
            Measure::Latency(bins) => match (cell.latency.p99_ns, bins) {
                (Some(ns), Some(bins)) => bins.class(ns),
                _ if cell.latency.operations == 0 => "none",
                _ => "never",
            },
        }
    }

    fn text(self, page: &SweepPage, cell: &SweepCell) -> String {
        match self {
            Measure::Verdict => {
                let sign = if cell.failed > 0 { "✗" } else { "✓" };
                let partly = if cell.runs < page.seeds { " …" } else { "" };
                match cell.unknown {
                    0 => format!("{sign} {}{partly}", percent(cell.failed, cell.runs)),
                    unknown if cell.failed == 0 => format!("? {}{partly}", percent(unknown, cell.runs)),
                    unknown => {
                        format!("{sign} {}, ? {}{partly}", percent(cell.failed, cell.runs), percent(unknown, cell.runs))
                    }
                }
            }
            Measure::Latency(_) => time_or_never(cell.latency.p99_ns, cell.latency.operations),
        }
    }

    /// The name of its part of the page, and its heading.
    fn heading(self) -> (&'static str, &'static str) {
        match self {
            Measure::Verdict => ("verdict", "How many seeds fail"),
            Measure::Latency(_) => ("latency", "Latency: what 99 of 100 operations don’t take longer than (p99)"),
        }
    }

    fn name(self) -> &'static str {
        match self {
            Measure::Verdict => "Seeds that fail",
            Measure::Latency(_) => "p99",
        }
    }
}

/// A map: which cells are in its rows, with a name for each.
struct Map<'m> {
    caption: String,
    corner: String,
    columns: Vec<&'m str>,
    rows: Vec<(String, Vec<Option<&'m SweepCell>>)>,
}

/// How wide a map may be on a sheet of paper, of A4 or letter upright, in pixels of CSS.
const SHEET_PX: usize = 680;

impl Map<'_> {
    /// How wide it is about on paper, in pixels of CSS: each column as wide as what is longest in it, at the style's 8 pt.
    fn printed_px(&self, page: &SweepPage, measure: Measure) -> usize {
        let wide = |texts: &mut dyn Iterator<Item = usize>| texts.max().unwrap_or(0) * 7 + 10;
        // The corner's words are below each other.
        let mut first = self.rows.iter().map(|(name, _)| name.chars().count());
        let corner = self.corner.split(' ').map(|word| word.chars().count());
        let columns = self.columns.iter().enumerate().map(|(column, name)| {
            let cells = self.rows.iter().filter_map(|(_, cells)| cells[column]);
            let mut texts = cells.map(|cell| measure.text(page, cell).chars().count());
            wide(&mut std::iter::once(name.chars().count()).chain(&mut texts))
        });
        wide(&mut corner.chain(&mut first)) + columns.sum::<usize>()
    }
}

fn draw_map(page: &SweepPage, map: &Map<'_>, measure: Measure, out: &mut Markup) {
    let name = format!("{}: {}", measure.name(), map.caption);
    let is_wide = map.printed_px(page, measure) > SHEET_PX;
    out.within("figure", &[("class", if is_wide { "measure wide" } else { "measure" })], |out| {
        out.element("figcaption", &[("class", "text")], &map.caption);
        if is_wide {
            let said =
                "This map is wider than a sheet of paper, and isn't printed: the table of all cells has what it shows.";
            out.element("p", &[("class", "on-paper")], said);
        }
        out.scrolled(&name, |out| {
            out.within("table", &[("class", "map"), ("role", "grid"), ("aria-label", &name)], |out| {
                let columns: Vec<&str> = [&*map.corner].into_iter().chain(map.columns.iter().copied()).collect();
                out.head(&columns);
                out.within("tbody", &[], |out| {
                    let above = |row: usize| row.checked_sub(1).map(|above| &map.rows[above].1);
                    for (row, (name, cells)) in map.rows.iter().enumerate() {
                        out.within("tr", &[], |out| {
                            out.element("th", &[("scope", "row")], name);
                            for (column, cell) in cells.iter().enumerate() {
                                let left = column.checked_sub(1).and_then(|left| cells[left]);
                                let above = above(row).and_then(|above| above[column]);
                                draw_cell(page, *cell, (left, above), measure, out);
                            }
                        });
                    }
                });
            });
        });
        let hint = "A cell that is pointed at, or reached by Tab and the arrow keys, is told here.";
        out.element("p", &[("class", "told faint"), ("aria-live", "polite")], hint);
    });
}

fn draw_cell(
    page: &SweepPage,
    cell: Option<&SweepCell>,
    (left, above): (Option<&SweepCell>, Option<&SweepCell>),
    measure: Measure,
    out: &mut Markup,
) {
    let Some(cell) = cell else {
        out.element("td", &[("class", "none"), ("tabindex", "0"), ("title", "not run")], "·");
        return;
    };
    let mut class = measure.class(cell).to_string();
    for (other, names) in
        [(left, [" left-first", " left-half", " left-both"]), (above, [" top-first", " top-half", " top-both"])]
    {
        class.push_str(match edge(other, Some(cell)) {
            Edge::None => "",
            Edge::First => names[0],
            Edge::Half => names[1],
            Edge::Both => names[2],
        });
    }
    let attributes = [("class", &*class), ("tabindex", "0"), ("title", &*in_words(page, cell))];
    out.element("td", &attributes, &measure.text(page, cell));
}

fn legend(measure: Measure, out: &mut Markup) {
    out.within("ul", &[("class", "legend"), ("aria-label", "Legend")], |out| {
        let mut swatch = |class: &str, sample: &str, said: &str| {
            out.within("li", &[], |out| {
                out.element("span", &[("class", &format!("swatch {class}")), ("aria-hidden", "true")], sample);
                out.text(" ");
                out.text(said);
            });
        };
        match measure {
            Measure::Verdict => {
                swatch("s0", "✓", "none fails");
                for (class, said, _) in SHARE_CLASSES {
                    swatch(class, "✗", said);
                }
                swatch("unsure", "?", "none fails, but of some nobody can say");
            }
            Measure::Latency(bins) => {
                if let Some(bins) = bins {
                    for (bin, class) in TIME_CLASSES.into_iter().enumerate() {
                        let bin = bin as u32;
                        let (from, to) = (short_time(bins.bound(bin)), short_time(bins.bound(bin + 1)));
                        if bin == 0 && from == to {
                            swatch(class, " ", &from);
                            break;
                        }
                        swatch(class, " ", &format!("{from} to {to}"));
                    }
                }
                swatch("never", " ", "never: among what has no answer");
            }
        }
        swatch("left-first", "", "between none and some that fail");
        swatch("left-half", "", "between less than half and more");
        swatch("left-both", "", "both at once");
    });
}

/// The places of an axis that maps of several keys show.
fn shown(axis: &Axis) -> Vec<usize> {
    (0..axis.values.len()).filter(|place| !axis.between.contains(place)).collect()
}

fn maps(page: &SweepPage, places: &Places<'_>, out: &mut Markup) {
    let [others @ .., row_axis, column_axis] = &*page.axes else { return };
    let (rows, mut columns) = (shown(row_axis), shown(column_axis));
    let columns_left_out = columns.len().saturating_sub(MAP_COLUMNS_MAX);
    columns.truncate(MAP_COLUMNS_MAX);
    let combinations: usize = others.iter().map(|axis| axis.values.len()).product();
    let mut all: Vec<Map<'_>> = Vec::new();
    let mut room = MAP_CELLS_MAX;
    let mut rows_left_out = 0;
    for number in 0..combinations.min(MAPS_MAX) {
        let in_room = (room / columns.len().max(1)).min(rows.len());
        if in_room == 0 {
            break;
        }
        rows_left_out += rows.len() - in_room;
        room -= in_room * columns.len();
        let fixed = combination(others, number);
        let at = |row: usize, column: usize| -> Option<&SweepCell> {
            let place: Vec<usize> = fixed.iter().copied().chain([row, column]).collect();
            places.get(&*place).copied()
        };
        let settings: Vec<String> =
            others.iter().zip(&fixed).map(|(axis, place)| format!("{}={}", axis.key, axis.values[*place])).collect();
        let over = format!("{} × {}", row_axis.key, column_axis.key);
        all.push(Map {
            caption: if settings.is_empty() { over } else { settings.join(" ") },
            corner: format!("{} ↓ {} →", row_axis.key, column_axis.key),
            columns: columns.iter().map(|place| &*column_axis.values[*place]).collect(),
            rows: rows
                .iter()
                .take(in_room)
                .map(|&row| (row_axis.values[row].clone(), columns.iter().map(|&column| at(row, column)).collect()))
                .collect(),
        });
    }
    let mut left_out = Vec::new();
    if combinations > all.len() {
        left_out.push(format!(
            "{} of {}",
            counted((combinations - all.len()) as u64, "map"),
            grouped(combinations as u64)
        ));
    }
    if rows_left_out > 0 {
        left_out.push(counted(rows_left_out as u64, "row"));
    }
    if columns_left_out > 0 {
        left_out.push(format!("{} of each map", counted(columns_left_out as u64, "column")));
    }
    if !column_axis.between.is_empty() {
        left_out.push(format!("values of {} that were tried between the others", column_axis.key));
    }
    let bins = TimeBins::of(&page.cells);
    for measure in [Measure::Verdict, Measure::Latency(bins)] {
        let (name, heading) = measure.heading();
        out.section(name, heading, |out| {
            legend(measure, out);
            if !left_out.is_empty() {
                let said = format!("Left out of the maps, but not of the table below: {}.", left_out.join("; "));
                out.element("p", &[("class", "left-out")], &said);
            }
            out.within("div", &[("class", "maps")], |out| all.iter().for_each(|map| draw_map(page, map, measure, out)));
        });
    }
}

/// One combination of values: the last key varies fastest.
fn combination(axes: &[Axis], mut number: usize) -> Vec<usize> {
    let mut places: Vec<usize> = Vec::with_capacity(axes.len());
    for axis in axes.iter().rev() {
        let count = axis.values.len().max(1);
        places.push(number % count);
        number /= count;
    }
    places.reverse();
    places
}

fn of_one_axis(page: &SweepPage, axis: &Axis, places: &Places<'_>, out: &mut Markup) {
    let all: Vec<Option<&SweepCell>> = (0..axis.values.len()).map(|place| places.get(&[place][..]).copied()).collect();
    out.section("chart", &format!("Failures and latency over {}", short(&axis.key)), |out| {
        out.scrolled("Chart", |out| draw_chart(axis, &all, out));
        out.element(
            "p",
            &[("class", "faint")],
            "Each value that was run has a column of the same width. A solid line stands between none and some that fail, a dashed \
             one between less than half and more. A hatched bar: nobody can say.",
        );
    });
    let columns = all.len().min(MAP_COLUMNS_MAX);
    for measure in [Measure::Verdict, Measure::Latency(TimeBins::of(&page.cells))] {
        let (name, heading) = measure.heading();
        out.section(name, heading, |out| {
            legend(measure, out);
            if all.len() > columns {
                let left_out = counted((all.len() - columns) as u64, "value");
                let said = format!("Left out here, but not in the table below: {left_out}.");
                out.element("p", &[("class", "left-out")], &said);
            }
            let row = if matches!(measure, Measure::Verdict) { "seeds that fail" } else { "p99" };
            let map = Map {
                caption: axis.key.clone(),
                corner: axis.key.clone(),
                columns: axis.values.iter().take(columns).map(String::as_str).collect(),
                rows: vec![(row.to_string(), all[..columns].to_vec())],
            };
            draw_map(page, &map, measure, out);
        });
    }
}

/// The percentiles that the chart has lines of, with how those look.
const LINES: [&str; 4] = ["line-p50", "line-p99", "line-p99-9", "line-max"];

fn draw_chart(axis: &Axis, cells: &[Option<&SweepCell>], out: &mut Markup) {
    let shares = Field { left: 76.0, top: 34.0, width: 580.0, height: 64.0 };
    let field = Field { left: 76.0, top: 150.0, width: 580.0, height: 220.0 };
    let never_y = 130.0;
    let count = cells.len().max(1) as f64;
    let x = |place: f64| field.x(place / count);
    let all: Vec<u64> =
        cells.iter().flatten().flat_map(|cell| cell.latency.percentiles()).filter_map(|(_, ns)| ns).collect();
    let scale = TimeScale::of(all.iter().copied());
    let has_never = cells
        .iter()
        .flatten()
        .any(|cell| cell.latency.operations > 0 && cell.latency.percentiles().iter().any(|(_, ns)| ns.is_none()));
    let failing = cells.iter().flatten().filter(|cell| cell.failed > 0).count() as u64;
    let said = format!("Over {} values of {}, {} with failures", cells.len(), axis.key, grouped(failing));
    picture(out, (780, 440), &said, |out| {
        hatch(out);
        label(out, "start", (4.0, 20.0), "seeds that fail");
        for (share, name) in [(0.0, "0 %"), (0.5, "50 %"), (1.0, "100 %")] {
            line(out, "rule", (shares.left, shares.y(share)), (shares.right(), shares.y(share)));
            label(out, "end", (shares.left - 6.0, shares.y(share) + 4.0), name);
        }
        for (place, cell) in cells.iter().enumerate() {
            let Some(cell) = cell.filter(|cell| cell.runs > 0) else { continue };
            let (left, width) = (x(place as f64) + 1.0, field.width / count - 2.0);
            let (bad, wary) = (cell.failed as f64 / cell.runs as f64, cell.unknown as f64 / cell.runs as f64);
            rectangle(out, "bad", (left, shares.y(bad)), (width, bad * shares.height));
            rectangle(out, "unsure-bar", (left, shares.y(bad + wary)), (width, wary * shares.height));
        }
        if let Some(scale) = scale {
            scale.draw(out, field);
        }
        if has_never {
            rectangle(out, "never", (field.left, never_y - 12.0), (field.width, 24.0));
            label(out, "end", (field.left - 6.0, never_y + 4.0), "never");
        }
        let mut names: Vec<(f64, &'static str)> = Vec::new();
        for (index, class) in LINES.into_iter().enumerate() {
            let mut stretch: Vec<(f64, f64)> = Vec::new();
            let mut last = None;
            for (place, cell) in cells.iter().enumerate() {
                let Some(cell) = cell.filter(|cell| cell.latency.operations > 0) else {
                    polyline(out, class, &std::mem::take(&mut stretch));
                    continue;
                };
                let (name, ns) = cell.latency.percentiles()[index];
                let y = match (ns, scale) {
                    (Some(ns), Some(scale)) => field.y(scale.share(ns)),
                    // Four lines in the band of what is never answered stand beside each other.
                    _ => never_y - 6.0 + 4.0 * index as f64,
                };
                let at = (x(place as f64 + 0.5), y);
                stretch.push(at);
                if count <= 60.0 && ns.is_some() {
                    dot(out, class, at);
                }
                last = Some((at.1, name));
            }
            polyline(out, class, &stretch);
            names.extend(last);
        }
        names.sort_by(|one, other| one.0.total_cmp(&other.0));
        let mut free = f64::NEG_INFINITY;
        for (y, name) in names {
            let y = y.max(free);
            free = y + 14.0;
            label(out, "start", (field.right() + 8.0, y + 4.0), name);
        }
        let mut is_said = false;
        for place in 1..cells.len() {
            let found = edge(cells[place - 1], cells[place]);
            let at = x(place as f64);
            let fails = |place: usize| cells[place].is_some_and(|cell| cell.failed > 0);
            let said = match found {
                Edge::None => continue,
                Edge::First | Edge::Both if fails(place) => "failures begin",
                Edge::First | Edge::Both => "failures end",
                Edge::Half => "half of all",
            };
            let class = if found == Edge::Half { "threshold half" } else { "threshold" };
            line(out, class, (at, shares.top - 8.0), (at, field.bottom()));
            // Where there is room for words, and only of the first.
            if !std::mem::replace(&mut is_said, true) {
                let (anchor, at) = if at > field.x(0.7) { ("end", at - 6.0) } else { ("start", at + 6.0) };
                let values = format!("{} → {}", short(&axis.values[place - 1]), short(&axis.values[place]));
                label(out, anchor, (at, shares.top - 14.0), &format!("{said}: {values}"));
            }
        }
        let every = cells.len().div_ceil(40).max(1);
        for (place, value) in axis.values.iter().enumerate().step_by(every) {
            let at = x(place as f64 + 0.5);
            let turned = format!("translate({at:.1},{:.1}) rotate(-45)", field.bottom() + 14.0);
            out.element("text", &[("text-anchor", "end"), ("transform", &turned)], &crate::printable::line(value, 14));
        }
    });
}

fn findings(page: &SweepPage, out: &mut Markup) {
    let mut by_property: BTreeMap<&str, Vec<(&SweepCell, &CellFinding)>> = BTreeMap::new();
    for cell in &page.cells {
        for finding in &cell.failures {
            by_property.entry(&finding.what).or_default().push((cell, finding));
        }
    }
    out.section("failures", "What failed", |out| {
        if by_property.is_empty() {
            out.element("p", &[], "No property failed in any of these cells.");
        }
        for (property, found) in &by_property {
            out.within("article", &[("class", "group")], |out| {
                out.within("h3", &[], |out| {
                    out.element("bdi", &[("class", "bad")], property);
                    out.text(&format!(" fails in {} of {}", grouped(found.len() as u64), cells_in_words(page)));
                });
                if let Some((_, first)) = found.first() {
                    out.lines(&[("tabindex", "0"), ("aria-label", "What was seen")], &first.message);
                }
                list(page, found, out);
            });
        }
    });
    let unknown: Vec<(&SweepCell, &CellFinding)> =
        page.cells.iter().flat_map(|cell| cell.unknowns.iter().map(move |finding| (cell, finding))).collect();
    if !unknown.is_empty() {
        out.section("unknown", "Of which runs nobody can say", |out| list(page, &unknown, out));
    }
}

fn list(page: &SweepPage, found: &[(&SweepCell, &CellFinding)], out: &mut Markup) {
    out.within("ul", &[("class", "cells")], |out| {
        for (cell, finding) in found.iter().take(FAILURES_SHOWN_MAX) {
            let settings: Vec<String> = page
                .axes
                .iter()
                .zip(&cell.places)
                .map(|(axis, place)| format!("{}={}", axis.key, axis.values[*place]))
                .collect();
            let (runs, seed) = (grouped(finding.runs), &finding.seed);
            out.within("li", &[], |out| {
                out.element(
                    "span",
                    &[("class", "text")],
                    &format!(
                        "{}: {} in {runs} of {}, first with seed {seed}",
                        settings.join(" "),
                        finding.what,
                        counted(cell.runs, "run")
                    ),
                );
                out.command("Run", &finding.replay);
            });
        }
    });
    let more = found.len().saturating_sub(FAILURES_SHOWN_MAX) as u64;
    if more > 0 {
        let said = format!("… and in {}: sweep --out writes all, each with its command.", counted(more, "more cell"));
        out.element("p", &[("class", "faint")], &said);
    }
}

/// Which columns there are only where they say something.
#[derive(Clone, Copy)]
struct Rare {
    otherwise: bool,
    unknown: bool,
}

fn table(page: &SweepPage, out: &mut Markup) {
    let rare = Rare {
        otherwise: page.cells.iter().any(|cell| cell.failed_otherwise > 0),
        unknown: page.cells.iter().any(|cell| cell.unknown > 0),
    };
    out.section("table", "All numbers", |out| {
        for note in &page.notes {
            out.element("p", &[("class", "faint")], note);
        }
        out.scrolled("Numbers of each cell", |out| {
            out.within("table", &[("class", "numbers")], |out| {
                let mut names: Vec<&str> = page.axes.iter().map(|axis| axis.key.as_str()).collect();
                names.extend(["runs", "passed", "failed"]);
                names.extend(rare.otherwise.then_some("failed otherwise"));
                names.extend(rare.unknown.then_some("unknown"));
                names.extend(["fails in", "answered", "never answered", "answered/s", "p50", "p99", "p99.9", "max"]);
                out.head(&names);
                out.within("tbody", &[], |out| page.cells.iter().for_each(|cell| row(page, cell, rare, out)));
            });
        });
    });
}

fn row(page: &SweepPage, cell: &SweepCell, rare: Rare, out: &mut Markup) {
    out.within("tr", &[("class", if cell.failed > 0 { "failing" } else { "" })], |out| {
        for (axis, place) in page.axes.iter().zip(&cell.places) {
            out.element("td", &[], &axis.values[*place]);
        }
        let LatencySummary { operations, answered, .. } = cell.latency;
        let mut numbers = [cell.runs, cell.passed, cell.failed].map(grouped).to_vec();
        numbers.extend(rare.otherwise.then(|| grouped(cell.failed_otherwise)));
        numbers.extend(rare.unknown.then(|| grouped(cell.unknown)));
        numbers.push(percent(cell.failed, cell.runs));
        numbers.extend([answered, operations - answered].map(grouped));
        numbers.push(cell.answered_per_s.filter(|_| operations > 0).map_or_else(|| "–".to_string(), three_digits));
        numbers.extend(cell.latency.percentiles().map(|(_, ns)| time_or_never(ns, operations)));
        for number in numbers {
            out.element("td", &[("class", "number")], &number);
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cell(failed: u64, runs: u64) -> SweepCell {
        SweepCell { failed, runs, ..SweepCell::default() }
    }

    #[test]
    fn lines_are_where_failures_begin_and_where_half_fail() {
        let of = |one: u64, other: u64| edge(Some(&cell(one, 100)), Some(&cell(other, 100)));
        assert!(of(0, 0) == Edge::None && of(1, 49) == Edge::None && of(50, 100) == Edge::None);
        assert!(of(0, 1) == Edge::First && of(49, 0) == Edge::First);
        assert!(of(49, 50) == Edge::Half && of(100, 1) == Edge::Half);
        assert!(of(0, 50) == Edge::Both && of(100, 0) == Edge::Both);
        assert!(edge(None, Some(&cell(1, 1))) == Edge::None);
    }

    #[test]
    fn colours_are_by_the_share_and_by_the_ratio_of_times() {
        for (failed, class) in
            [(0, "s0"), (1, "s1"), (10, "s1"), (11, "s2"), (50, "s3"), (51, "s4"), (90, "s4"), (91, "s5"), (100, "s5")]
        {
            assert_eq!(Measure::Verdict.class(&cell(failed, 100)), class);
        }
        let timed = |ns: u64| SweepCell {
            latency: LatencySummary { operations: 1, p99_ns: Some(ns), ..LatencySummary::default() },
            ..SweepCell::default()
        };
        let bins = TimeBins::of(&[timed(1_000), timed(256_000)]).expect("times");
        for (ns, class) in [(1_000, "t0"), (1_999, "t0"), (2_001, "t1"), (128_001, "t7"), (256_000, "t7")] {
            assert_eq!(bins.class(ns), class, "{ns}");
        }
        let same = TimeBins::of(&[timed(0), timed(0)]).expect("times");
        assert_eq!(same.class(0), "t0");
        assert!(TimeBins::of(&[cell(0, 1)]).is_none());
    }

    #[test]
    fn combinations_go_through_the_last_key_first() {
        let axis = |count: usize| Axis { values: vec![String::new(); count], ..Axis::default() };
        let axes = [axis(2), axis(3)];
        let all: Vec<Vec<usize>> = (0..6).map(|number| combination(&axes, number)).collect();
        assert_eq!(all, [[0, 0], [0, 1], [0, 2], [1, 0], [1, 1], [1, 2]]);
        assert_eq!(combination(&[], 0), Vec::<usize>::new());
    }
}
