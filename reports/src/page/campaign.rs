//! The page of a campaign: what many seeds of one scenario came to.

use super::chart::{
    Field, TimeScale, counted, dot, grouped, hatch, label, line, percent, picture, polyline, rectangle, time_or_never,
};
use super::markup::{Markup, short};
use super::shell;
use crate::printable::short_time;

const STYLE: &str = concat!(include_str!("common.css"), include_str!("sheet.css"));
const SCRIPT: &str = include_str!("sheet.js");

/// What the page of a campaign is made of. All but `clock` is the same for any number of jobs.
#[derive(Clone, Debug, Default)]
pub struct CampaignPage {
    /// The scenario's name.
    pub scenario: String,
    /// What it comes to.
    pub verdict: CampaignVerdict,
    /// The verdict in one sentence.
    pub sentence: String,
    /// What else there is to know first: that it was interrupted, say.
    pub notices: Vec<String>,
    /// The command that runs it again.
    pub command: String,
    /// Its seeds, settings and versions, as names and values.
    pub facts: Vec<(String, String)>,
    /// How many runs were counted, and of those how many passed, failed, and came to nothing that anybody knows.
    pub counts: Counts,
    /// The virtual time of all runs together, in nanoseconds; `None` if it wasn't measured.
    pub virtual_ns: Option<u128>,
    /// What depends on the machine and its load: a few words each.
    pub clock: Vec<String>,
    /// What failed, by property.
    pub failures: Vec<FailureGroup>,
    /// The failures that were kept from before and run again.
    pub kept: Vec<KeptFailure>,
    /// What is to come in some run, or came in one.
    pub goals: Vec<GoalReached>,
    /// What the goals say of runs to come, in a sentence.
    pub goals_outlook: Option<String>,
    /// How many different runs there were; `None` if it wasn't counted.
    pub saturation: Option<SaturationCurve>,
    /// Whether runs repeat themselves: how that was looked at and what came of it, a sentence each.
    pub determinism: Vec<String>,
    /// How long operations of clients took; `None` if it wasn't measured.
    pub latencies: Option<LatencyCurve>,
    /// What this campaign doesn't say, a sentence each.
    pub not_checked: Vec<String>,
}

/// What a campaign comes to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CampaignVerdict {
    /// Nothing is wrong.
    #[default]
    Pass,
    /// What was to fail did, and nothing else.
    Expected,
    /// Something is wrong.
    Fail,
    /// Nobody can say.
    Unknown,
}

impl CampaignVerdict {
    fn word(self) -> &'static str {
        match self {
            CampaignVerdict::Pass => "PASS",
            CampaignVerdict::Expected => "AS EXPECTED",
            CampaignVerdict::Fail => "FAIL",
            CampaignVerdict::Unknown => "UNKNOWN",
        }
    }

    fn class(self) -> &'static str {
        match self {
            CampaignVerdict::Pass | CampaignVerdict::Expected => "word pass",
            CampaignVerdict::Fail => "word fail",
            CampaignVerdict::Unknown => "word unknown",
        }
    }
}

/// How many runs came to what.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// All that were counted.
    pub runs: u64,
    /// Every property held.
    pub passed: u64,
    /// A property failed.
    pub failed: u64,
    /// Nobody can say.
    pub unknown: u64,
}

/// The failures of one property.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FailureGroup {
    /// Its name.
    pub property: String,
    /// Whether it is there to fail.
    pub is_expected: bool,
    /// In how many runs it failed.
    pub failures: u64,
    /// What the first of them said.
    pub message: String,
    /// The smallest seeds that fail by it, in ascending order, as they are written.
    pub seeds: Vec<String>,
    /// What it takes for the first of them to fail, a sentence each, if that was found out.
    pub causes: Vec<String>,
    /// How many causes there are beyond those that are told.
    pub causes_untold: usize,
    /// What is known of how small that is, or why there are no causes.
    pub left: String,
    /// The command that runs the first of them again.
    pub replay: String,
    /// The name of the file beside this one that has the page of the first of them.
    pub page: Option<String>,
}

/// A failure that was kept from before and run again.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeptFailure {
    /// Its file.
    pub path: String,
    /// The property that failed.
    pub property: String,
    /// What became of it.
    pub state: KeptState,
    /// The same in a few words.
    pub outcome: String,
    /// The first line of what is to be said of it.
    pub said: String,
    /// The command that runs it again.
    pub replay: String,
}

/// What became of a failure that was kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum KeptState {
    /// Every property holds in its run.
    #[default]
    Fixed,
    /// A property fails in its run.
    Fails,
    /// It says nothing any more, or nobody knows.
    Open,
}

/// What came of a goal.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GoalReached {
    /// Its name.
    pub goal: String,
    /// Whether it is to be reached in these runs.
    pub is_wanted: bool,
    /// In how many runs it came.
    pub runs: u64,
    /// How often in all of them.
    pub times: u64,
    /// The first run in which it came, counted from 1, and its seed.
    pub first: Option<(u64, String)>,
    /// Where in the program it is marked.
    pub places: String,
}

/// How many different runs there were as the campaign went on.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SaturationCurve {
    /// After so many runs there had been so many different ones; ascending, the last for all runs.
    pub points: Vec<(u64, u64)>,
    /// Whether numbers are estimates.
    pub is_estimate: bool,
    /// About the chance that the next run is a new one.
    pub unseen: Option<f64>,
    /// After how many runs something came for the first time, a goal or a property that fails: in words, ascending.
    pub firsts: Vec<(u64, String)>,
}

/// The latencies of all operations. Those without an answer took longer than all others, and are never left out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LatencyCurve {
    /// What they are of, in words: "calls of clients".
    pub of: String,
    /// Numbers.
    pub summary: LatencySummary,
    /// The latency at places of the ascending list of all operations, counted from 1: in nanoseconds, or `None` if it has no answer.
    pub points: Vec<(u64, Option<u64>)>,
}

/// A few numbers of many latencies. A percentile is `None` where it falls among operations without an answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LatencySummary {
    /// How many operations there were.
    pub operations: u64,
    /// How many were answered.
    pub answered: u64,
    /// The median, in nanoseconds.
    pub p50_ns: Option<u64>,
    /// What 99 of 100 didn't take longer than, in nanoseconds.
    pub p99_ns: Option<u64>,
    /// The same of 999 of 1000.
    pub p99_9_ns: Option<u64>,
    /// The longest, in nanoseconds.
    pub max_ns: Option<u64>,
    /// Runs of which nobody knows the operations.
    pub unmeasured_runs: u64,
    /// Whether latencies may be too long by less than 0.1 %.
    pub is_rounded: bool,
}

impl LatencySummary {
    /// The percentiles, as they are called.
    pub(super) fn percentiles(&self) -> [(&'static str, Option<u64>); 4] {
        [("p50", self.p50_ns), ("p99", self.p99_ns), ("p99.9", self.p99_9_ns), ("max", self.max_ns)]
    }
}

/// The page of a campaign, as HTML in UTF-8.
#[must_use]
pub fn render_campaign_page(page: &CampaignPage) -> String {
    let mut out = Markup::default();
    head(page, &mut out);
    out.within("main", &[], |out| {
        failures(page, out);
        kept(page, out);
        goals(page, out);
        saturation(page, out);
        latencies(page, out);
        out.section("determinism", "Do runs repeat themselves?", |out| sentences(out, &page.determinism));
        out.section("unchecked", "What was not checked", |out| sentences(out, &page.not_checked));
    });
    let title = format!("{} · {} · campaign", short(&page.sentence), short(&page.scenario));
    shell::page(&title, STYLE, &out.finish(), SCRIPT)
}

fn sentences(out: &mut Markup, sentences: &[String]) {
    out.within("ul", &[], |out| {
        for sentence in sentences {
            out.element("li", &[("class", "text")], sentence);
        }
    });
}

fn head(page: &CampaignPage, out: &mut Markup) {
    out.within("header", &[], |out| {
        out.within("h1", &[], |out| {
            out.element("span", &[("class", page.verdict.class())], page.verdict.word());
            out.text(" ");
            out.element("bdi", &[], &page.sentence);
        });
        for notice in &page.notices {
            out.element("p", &[("class", "notice")], notice);
        }
        out.command("Run again", &page.command);
        let Counts { runs, passed, failed, unknown } = page.counts;
        out.within("dl", &[("class", "tiles"), ("id", "counts")], |out| {
            let virtual_time = page.virtual_ns.map(|ns| short_time(u64::try_from(ns).unwrap_or(u64::MAX)));
            let tiles = [
                ("runs", "", Some(grouped(runs))),
                ("passed", "good", Some(grouped(passed))),
                ("failed", if failed > 0 { "bad" } else { "" }, Some(grouped(failed))),
                ("unknown", if unknown > 0 { "wary" } else { "" }, Some(grouped(unknown))),
                ("virtual time", "", virtual_time),
            ];
            for (name, class, value) in tiles {
                if let Some(value) = value {
                    out.within("div", &[], |out| {
                        out.element("dt", &[], name);
                        out.element("dd", &[("class", class)], &value);
                    });
                }
            }
        });
        outcome_bar(page.counts, out);
        clock(&page.clock, out);
        out.within("details", &[], |out| {
            out.element("summary", &[], "Seeds, settings, versions");
            out.facts(&page.facts);
        });
    });
}

/// What depends on the machine, apart from all else.
pub(super) fn clock(clock: &[String], out: &mut Markup) {
    out.within("p", &[("id", "clock")], |out| {
        out.element("span", &[("class", "label")], "Time on this machine (no part of the results)");
        out.text(&format!(" {}", clock.join(", ")));
    });
}

/// How runs ended, as parts of one bar: also told by the numbers above it.
fn outcome_bar(counts: Counts, out: &mut Markup) {
    let Counts { runs, passed, failed, unknown } = counts;
    if runs == 0 {
        return;
    }
    let view = [("class", "outcomes"), ("viewBox", "0 0 1000 12"), ("preserveAspectRatio", "none")];
    let hidden = [("aria-hidden", "true")];
    out.within("svg", &[&view[..], &hidden].concat(), |out| {
        // What is there at all can be seen.
        let width = |part: u64| if part == 0 { 0.0 } else { (part as f64 * 1_000.0 / runs as f64).max(4.0) };
        let (bad, wary) = (width(failed), width(unknown));
        let good = if passed == 0 { 0.0 } else { (1_000.0 - bad - wary).max(4.0) };
        let mut x = 0.0;
        for (class, width) in [("bad", bad), ("wary", wary), ("good", good)] {
            rectangle(out, class, (x, 0.0), (width, 12.0));
            x += width;
        }
    });
}

fn failures(page: &CampaignPage, out: &mut Markup) {
    out.section("failures", "What failed", |out| {
        if page.failures.is_empty() {
            let said = match page.counts {
                Counts { runs: 0, .. } => "Nothing ran.",
                Counts { unknown: 0, .. } => "No property failed in any of these runs.",
                Counts { passed: 0, .. } => "Of none of these runs anybody can say whether a property failed.",
                _ => "No property failed in any of those runs of which something is known.",
            };
            out.element("p", &[], said);
        }
        for group in &page.failures {
            out.within("article", &[("class", "group")], |out| failure_group(page, group, out));
        }
    });
}

fn failure_group(page: &CampaignPage, group: &FailureGroup, out: &mut Markup) {
    let Counts { runs, .. } = page.counts;
    out.within("h3", &[], |out| {
        out.element("bdi", &[("class", if group.is_expected { "wary" } else { "bad" })], &group.property);
        out.text(&format!(
            " fails in {} of {} ({}){}",
            grouped(group.failures),
            counted(runs, "run"),
            percent(group.failures, runs),
            if group.is_expected { ", as it is to" } else { "" }
        ));
    });
    out.lines(&[("tabindex", "0"), ("aria-label", "What was seen")], &group.message);
    if !group.causes.is_empty() {
        out.within("ol", &[("class", "causes"), ("aria-label", "What it takes to fail")], |out| {
            for (index, cause) in group.causes.iter().enumerate() {
                out.within("li", &[], |out| {
                    out.element("span", &[("class", "badge"), ("aria-hidden", "true")], &(index + 1).to_string());
                    out.element("span", &[("class", "grow text")], cause);
                });
            }
        });
    }
    if group.causes_untold > 0 {
        out.element("p", &[("class", "faint")], &format!("… and {} more", group.causes_untold));
    }
    if !group.left.is_empty() {
        out.element("p", &[("class", "faint")], &group.left);
    }
    let more = if group.failures > group.seeds.len() as u64 { ", …" } else { "" };
    let plural = if group.failures == 1 { "Seed" } else { "Smallest seeds" };
    out.within("p", &[], |out| {
        out.element("span", &[("class", "label")], plural);
        out.text(" ");
        out.element("code", &[], &format!("{}{more}", group.seeds.join(", ")));
    });
    out.command("Replay", &group.replay);
    if let Some(name) = &group.page {
        out.within("p", &[], |out| {
            out.element("a", &[("href", &beside(name))], "The page of this failure: why it failed, as a diagram");
        });
    }
}

/// The address of a file beside this one. Whatever its name is, it is no other kind of address.
fn beside(name: &str) -> String {
    let mut address = "./".to_string();
    for byte in name.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => address.push(char::from(byte)),
            _ => address.push_str(&format!("%{byte:02X}")),
        }
    }
    address
}

fn kept(page: &CampaignPage, out: &mut Markup) {
    if page.kept.is_empty() {
        return;
    }
    out.section("kept", "Failures that were kept from before", |out| {
        let of = |state: KeptState| page.kept.iter().filter(|kept| kept.state == state).count() as u64;
        let (fails, fixed, open) = (of(KeptState::Fails), of(KeptState::Fixed), of(KeptState::Open));
        out.element(
            "p",
            &[],
            &format!(
                "{} run again before the seeds: {} still fail, {} fixed, {} stale or unknown.",
                counted(page.kept.len() as u64, "failure"),
                grouped(fails),
                grouped(fixed),
                grouped(open)
            ),
        );
        out.scrolled("Failures that were kept", |out| {
            out.within("table", &[], |out| {
                out.head(&["Now", "Property", "File", "What became of it"]);
                out.within("tbody", &[], |out| {
                    for kept in &page.kept {
                        let (class, sign) = match kept.state {
                            KeptState::Fails => ("bad", "✗"),
                            KeptState::Fixed => ("good", "✓"),
                            KeptState::Open => ("wary", "?"),
                        };
                        out.within("tr", &[], |out| {
                            out.element("td", &[("class", class)], &format!("{sign} {}", kept.outcome));
                            out.element("td", &[], &kept.property);
                            out.element("td", &[], &kept.path);
                            out.within("td", &[], |out| {
                                out.text(&kept.said);
                                out.command("Replay", &kept.replay);
                            });
                        });
                    }
                });
            });
        });
    });
}

fn goals(page: &CampaignPage, out: &mut Markup) {
    if page.goals.is_empty() {
        return;
    }
    let runs = page.counts.runs;
    out.section("goals", "Goals: what is to come in some run", |out| {
        let reached = page.goals.iter().filter(|goal| goal.runs > 0).count();
        out.element("p", &[], &format!("{reached} of {} reached.", counted(page.goals.len() as u64, "goal")));
        out.scrolled("Goals", |out| {
            out.within("table", &[("class", "numbers")], |out| {
                out.head(&["State", "Goal", "Runs", "Share", "Times", "First in run", "First seed", "Where"]);
                out.within("tbody", &[], |out| {
                    for goal in &page.goals {
                        out.within("tr", &[("class", if goal.runs == 0 { "missed" } else { "" })], |out| {
                            let (class, said) = match (goal.runs, goal.is_wanted) {
                                _ if runs == 0 => ("", "– nothing ran"),
                                (0, true) => ("bad", "✗ NOT REACHED"),
                                (0, false) => ("wary", "✗ not reached"),
                                _ => ("good", "✓ reached"),
                            };
                            out.element("td", &[("class", class)], said);
                            out.element("td", &[], &goal.goal);
                            let (run, seed) = goal
                                .first
                                .clone()
                                .map_or_else(|| ("–".to_string(), "–".to_string()), |(run, seed)| (grouped(run), seed));
                            for number in [grouped(goal.runs), percent(goal.runs, runs), grouped(goal.times), run, seed]
                            {
                                out.element("td", &[("class", "number")], &number);
                            }
                            out.element("td", &[], &goal.places);
                        });
                    }
                });
            });
        });
        if let Some(outlook) = &page.goals_outlook {
            out.element("p", &[("class", "faint")], outlook);
        }
    });
}

const SATURATION_SIZE: (u32, u32) = (720, 268);

fn saturation(page: &CampaignPage, out: &mut Markup) {
    out.section("saturation", "Do more seeds still show what is new?", |out| {
        let Some(curve) = page.saturation.as_ref().filter(|curve| !curve.points.is_empty()) else {
            let said = match page.counts.runs {
                0 => "Nothing ran.",
                _ => "Different runs were not counted here: shards don't keep what is needed.",
            };
            out.element("p", &[], said);
            firsts(page.saturation.as_ref(), out);
            return;
        };
        let (runs, distinct) = curve.points.last().copied().unwrap_or_default();
        let said = match (distinct == runs, curve.is_estimate) {
            _ if distinct == 1 && runs > 1 => format!("{}, and in all of them the same happens.", counted(runs, "run")),
            (true, false) if runs == 1 => "One run says nothing of this.".to_string(),
            (true, false) => format!("{}, and each differs from all others in what happens.", counted(runs, "run")),
            (_, is_estimate) => format!(
                "{}{} of {} differ from each other in what happens ({}).",
                if is_estimate { "About " } else { "" },
                grouped(distinct),
                counted(runs, "run"),
                percent(distinct, runs)
            ),
        };
        let outlook = curve.unseen.map_or_else(String::new, |unseen| {
            let percent = unseen * 100.0;
            format!(" The next run is one that there hasn't been with a chance of about {percent:.1} % (Good-Turing).")
        });
        out.element("p", &[], &format!("{said}{outlook}"));
        out.scrolled("Different runs over all runs", |out| draw_saturation(curve, runs, distinct, out));
        firsts(Some(curve), out);
    });
}

/// What came for the first time, and when.
fn firsts(curve: Option<&SaturationCurve>, out: &mut Markup) {
    let Some((last, firsts)) = curve.and_then(|curve| Some((curve.firsts.last()?, &curve.firsts))) else {
        return;
    };
    out.element("p", &[], &format!("What came for the first time, the last of it in run {}:", grouped(last.0)));
    out.within("ol", &[("class", "firsts")], |out| {
        for (run, what) in firsts {
            out.within("li", &[], |out| {
                out.element("span", &[("class", "label")], &format!("run {}", grouped(*run)));
                out.text(" ");
                out.element("span", &[("class", "text")], what);
            });
        }
    });
}

fn draw_saturation(curve: &SaturationCurve, runs: u64, distinct: u64, out: &mut Markup) {
    let field = Field { left: 64.0, top: 28.0, width: 640.0, height: 196.0 };
    let said = format!("After {} there were {} different ones", counted(runs, "run"), grouped(distinct));
    picture(out, SATURATION_SIZE, &said, |out| {
        let share = |number: u64| number as f64 / runs.max(1) as f64;
        // Quarters that are numbers of runs, each where that number is: of fewer than 4 runs there are fewer.
        let mut ticks: Vec<u64> = [0, 1, 2, 3, 4].map(|part| runs / 4 * part + runs % 4 * part / 4).to_vec();
        ticks.dedup();
        for number in ticks {
            let (x, y) = (field.x(share(number)), field.y(share(number)));
            line(out, "rule", (field.left, y), (field.right(), y));
            label(out, "end", (field.left - 6.0, y + 4.0), &grouped(number));
            label(out, if number == runs { "end" } else { "middle" }, (x, field.bottom() + 16.0), &grouped(number));
        }
        label(out, "end", (field.right(), field.bottom() + 34.0), "runs →");
        label(out, "start", (4.0, 10.0), "↑ different runs");
        polyline(out, "reference", &[(field.x(0.0), field.y(0.0)), (field.x(1.0), field.y(1.0))]);
        if share(distinct) < 0.95 {
            label(out, "end", (field.x(0.5) - 10.0, field.y(0.5) - 6.0), "if every run were new");
        }
        let first = [(field.x(0.0), field.y(0.0))];
        let points = curve.points.iter().map(|(runs, distinct)| (field.x(share(*runs)), field.y(share(*distinct))));
        let points: Vec<(f64, f64)> = first.into_iter().chain(points).collect();
        polyline(out, "curve", &points);
        if let Some(last) = points.last() {
            dot(out, "curve-dot", *last);
        }
        for (run, _) in &curve.firsts {
            let x = field.x(share(*run));
            polyline(out, "mark", &[(x - 5.0, field.bottom()), (x, field.bottom() - 10.0), (x + 5.0, field.bottom())]);
        }
    });
    if !curve.firsts.is_empty() {
        out.element(
            "p",
            &[("class", "faint")],
            "▲ something came for the first time: a goal, or a property that fails",
        );
    }
}

const LATENCY_SIZE: (u32, u32) = (720, 280);

fn latencies(page: &CampaignPage, out: &mut Markup) {
    out.section("latency", "How long operations of clients took", |out| {
        let Some(curve) = &page.latencies else {
            out.element("p", &[], "Latencies were not measured here: shards don't keep them.");
            return;
        };
        let LatencyCurve { of, summary, .. } = curve;
        if summary.operations == 0 {
            let said = match page.counts.runs {
                0 => "Nothing ran.",
                _ => "Clients neither recorded a history nor made calls.",
            };
            out.element("p", &[], said);
            unmeasured(summary, out);
            return;
        }
        let unanswered = summary.operations - summary.answered;
        out.element(
            "p",
            &[],
            &format!(
                "{} {of} in all runs: {} answered, {} never ({}).{}",
                grouped(summary.operations),
                grouped(summary.answered),
                grouped(unanswered),
                percent(unanswered, summary.operations),
                if unanswered > 0 {
                    " Those count as longer than all others, and are in every percentile."
                } else {
                    ""
                }
            ),
        );
        unmeasured(summary, out);
        out.within("dl", &[("class", "tiles")], |out| {
            for (name, ns) in summary.percentiles() {
                out.within("div", &[], |out| {
                    out.element("dt", &[], name);
                    let class = if ns.is_none() { "wary" } else { "" };
                    out.element("dd", &[("class", class)], &time_or_never(ns, summary.operations));
                });
            }
            out.within("div", &[], |out| {
                out.element("dt", &[], "never answered");
                out.element("dd", &[("class", if unanswered > 0 { "wary" } else { "" })], &grouped(unanswered));
            });
        });
        if curve.points.iter().any(|(_, ns)| ns.is_some()) {
            out.scrolled("Latency by the share of operations", |out| draw_latencies(curve, out));
        }
        out.element(
            "p",
            &[("class", "faint")],
            "Virtual time: of the network and of waiting alone, unless a program sleeps for what it computes.",
        );
    });
}

fn unmeasured(summary: &LatencySummary, out: &mut Markup) {
    if summary.unmeasured_runs > 0 {
        let runs = counted(summary.unmeasured_runs, "run");
        let said =
            format!("{runs} hung or ended their process: nobody knows their operations, and they aren't among these.");
        out.element("p", &[], &said);
    }
    if summary.is_rounded {
        let said = "Latencies may be too long by less than 0.1 %: there were very many different ones.";
        out.element("p", &[("class", "faint")], said);
    }
}

fn draw_latencies(curve: &LatencyCurve, out: &mut Markup) {
    let LatencyCurve { summary, points, .. } = curve;
    let all = summary.operations;
    let Some(scale) = TimeScale::of(points.iter().filter_map(|(_, ns)| *ns)) else { return };
    let field = Field { left: 76.0, top: 20.0, width: 628.0, height: 212.0 };
    // Each step to the right leaves a tenth of the operations behind it. Nothing is behind the last, which is at the end, half an operation
    // behind the one before it.
    let right = (all as f64 * 2.0).log10().max(1.0);
    let nines = |rank: f64| if rank < all as f64 { (all as f64 / (all as f64 - rank)).log10() } else { right };
    let x = |rank: f64| field.x(nines(rank) / right);
    let said: Vec<String> =
        summary.percentiles().iter().map(|(name, ns)| format!("{name} {}", time_or_never(*ns, all))).collect();
    picture(out, LATENCY_SIZE, &format!("Latency by share of operations: {}", said.join(", ")), |out| {
        hatch(out);
        scale.draw(out, field);
        let ticks =
            [(0.0, "0 %"), (0.5, "50 %"), (0.9, "90 %"), (0.99, "99 %"), (0.999, "99.9 %"), (0.9999, "99.99 %")];
        let ticks = ticks.into_iter().chain([(0.99999, "99.999 %"), (0.999_999, "99.9999 %")]);
        for (share, name) in ticks {
            let at = -(1.0f64 - share).log10() / right;
            if at <= 1.0 {
                line(out, "rule", (field.x(at), field.top), (field.x(at), field.bottom()));
                label(out, "middle", (field.x(at), field.bottom() + 16.0), name);
            }
        }
        label(out, "end", (field.right(), field.bottom() + 34.0), "share of operations that took no longer →");
        label(out, "start", (4.0, 12.0), "↑ latency");
        let mut steps: Vec<(f64, f64)> = Vec::new();
        for (rank, ns) in points.iter().filter_map(|(rank, ns)| Some((*rank, (*ns)?))) {
            steps.push((x(rank as f64), field.y(scale.share(ns))));
        }
        if summary.answered < all {
            let from = x(summary.answered as f64);
            rectangle(out, "never", (from, field.top), (field.right() - from, field.height));
            line(out, "never-line", (from, field.top), (from, field.bottom()));
            let (anchor, at) = if from > field.x(0.6) { ("end", from - 6.0) } else { ("start", from + 6.0) };
            let unanswered = all - summary.answered;
            label(out, anchor, (at, field.top + 14.0), &format!("never answered: {}", percent(unanswered, all)));
        }
        polyline(out, "curve", &steps);
        for (name, ns) in summary.percentiles() {
            let Some(ns) = ns else { continue };
            let rank = match name {
                "p50" => (all as f64 * 0.5).ceil(),
                "p99" => (all as f64 * 0.99).ceil(),
                "p99.9" => (all as f64 * 0.999).ceil(),
                _ => all as f64,
            };
            let at = (x(rank), field.y(scale.share(ns)));
            dot(out, "curve-dot", at);
            let anchor = if at.0 > field.right() - 40.0 { "end" } else { "middle" };
            label(out, anchor, (at.0, at.1 - 9.0), &format!("{name} {}", short_time(ns)));
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_leads_to_a_file_beside_the_page_alone() {
        for (name, address) in [
            ("payments-paid-once-0x1.html", "./payments-paid-once-0x1.html"),
            ("javascript:alert(1)", "./javascript%3Aalert%281%29"),
            ("//host/x", "./%2F%2Fhost%2Fx"),
            ("a b?#\"é", "./a%20b%3F%23%22%C3%A9"),
        ] {
            assert_eq!(beside(name), address);
        }
    }
}
