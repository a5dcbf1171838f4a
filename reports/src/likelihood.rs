//! How likely a failure is over a run: its curve as text, and the sentences that the page has as well.
//!
//! The numbers are drawn elsewhere: here they are shown.

use squall_trace::trace::format_ns;
use squall_trace::{Names, Perturbation};

use crate::lanes::Glyphs;
use crate::paint::{Tone, paint};
use crate::printable::line;
use crate::timeline::Style;
use crate::weather::worst;

/// How likely a failure is from each of several moments on.
#[derive(Clone, Debug, PartialEq)]
pub struct Likelihood {
    /// In the order of time, each with as many runs.
    pub moments: Vec<Moment>,
    /// From which of the moments on each run failed, by its place.
    pub inevitable: Option<usize>,
    /// How sure the bounds are, from 0 to 1.
    pub confidence: f64,
    /// How many runs from a moment it takes to say that the failure is inevitable from there.
    pub sure_min: u64,
    /// Why the rest wasn't drawn as often as was asked for: half a sentence, behind a semicolon. Empty if it was.
    pub ended: String,
}

/// What comes of a run if what was decided up to a moment stays and the rest is drawn again.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Moment {
    /// Virtual nanoseconds since the run's start: what was decided before stays.
    pub at_ns: u64,
    /// How often the rest was drawn.
    pub runs: u64,
    /// How many of these runs failed by the same property.
    pub failed: u64,
    /// How many failed by another one.
    pub failed_otherwise: u64,
    /// Of how many nobody can say what they come to.
    pub unknown: u64,
    /// The share that failed, of the runs of which something is known. `None` if nothing is known of any.
    pub share: Option<f64>,
    /// The share of all that could be drawn is that or more.
    pub at_least: f64,
    /// And that or less.
    pub at_most: f64,
}

/// What was decided in a run, and what is told of it.
#[derive(Clone, Copy, Debug)]
pub struct Decided<'d> {
    /// All that wasn't calm.
    pub all: &'d [Perturbation],
    /// Those that are told, which have their place in this list, from 1, as their number.
    pub told: &'d [&'d Perturbation],
    /// What they are about.
    pub names: &'d Names,
}

/// The least step that is worth being told.
const STEP_MIN: f64 = 0.1;

/// A share from which on it is nearly every run.
const NEARLY_MIN: f64 = 0.95;

/// How many decisions of a shrunk failure are told.
const TOLD_MAX: usize = 20;

/// How many of a run that isn't shrunk.
const TOLD_UNSHRUNK_MAX: usize = 5;

/// And how many of those right behind which it became inevitable, or likelier by most.
const TOLD_BEHIND_MAX: usize = 3;

/// Which of the decisions that weren't calm are told: of a shrunk failure all, up to twenty; else the few that say most, and those that made it
/// likelier by most, or inevitable, if that is known.
#[must_use]
pub fn told<'d>(all: &'d [Perturbation], is_shrunk: bool, likelihood: Option<&Likelihood>) -> Vec<&'d Perturbation> {
    if is_shrunk {
        return all.iter().take(TOLD_MAX).collect();
    }
    let mut told = worst(all, TOLD_UNSHRUNK_MAX);
    let moments = likelihood.map_or(&[][..], |likelihood| &likelihood.moments);
    let places = likelihood.map(|likelihood| [likelihood.inevitable, likelihood.largest().map(|(place, ..)| place)]);
    for place in places.into_iter().flatten().flatten().filter(|place| *place > 0) {
        let behind = moments[place - 1].at_ns..moments[place].at_ns;
        let behind: Vec<Perturbation> = all.iter().copied().filter(|one| behind.contains(&one.at_ns)).collect();
        let gravest = worst(&behind, TOLD_BEHIND_MAX);
        told.extend(all.iter().filter(|one| gravest.contains(one)));
    }
    told.sort_by_key(|one| (one.at_ns, one.site));
    told.dedup();
    told
}

/// Which decisions lie just before a moment.
pub(crate) struct Behind<'b> {
    /// How many, those that aren't told included.
    pub(crate) count: usize,
    /// Those that are told, with their numbers.
    pub(crate) told: Vec<(usize, &'b Perturbation)>,
}

impl Likelihood {
    /// How often the rest was drawn from each moment on.
    #[must_use]
    pub fn draws(&self) -> u64 {
        self.moments.first().map_or(0, |moment| moment.runs)
    }

    /// The decisions between a moment and the one before it.
    pub(crate) fn behind<'b>(&self, place: usize, decided: &Decided<'b>) -> Behind<'b> {
        let from_ns = place.checked_sub(1).map_or(0, |before| self.moments[before].at_ns);
        let between = from_ns..self.moments[place].at_ns;
        let told = decided.told.iter().copied().enumerate().map(|(index, one)| (index + 1, one));
        Behind {
            count: decided.all.iter().filter(|one| between.contains(&one.at_ns)).count(),
            told: told.filter(|(_, one)| between.contains(&one.at_ns)).collect(),
        }
    }

    /// When a moment is, as people are told: one that lies right behind decisions has their time.
    pub(crate) fn shown_ns(&self, place: usize, decided: &Decided<'_>) -> u64 {
        let at_ns = self.moments[place].at_ns;
        match at_ns.checked_sub(1) {
            Some(before_ns) if decided.all.iter().any(|one| one.at_ns == before_ns) => before_ns,
            _ => at_ns,
        }
    }

    /// From where on the failure is inevitable, or that it isn't.
    #[must_use]
    pub fn sentence(&self, decided: &Decided<'_>) -> String {
        let confidence = format!("{} % confidence", percent(self.confidence));
        let Some(place) = self.inevitable else {
            let Some(last) = self.moments.last() else { return String::new() };
            let Moment { failed, runs, .. } = *last;
            return match failed == runs {
                true => format!(
                    "With all that was decided where this run fails, each of {runs} redraws failed: too few to say from when on that was inevitable, which takes {}.",
                    self.sure_min
                ),
                false => format!(
                    "It isn't certain even where this run fails: with all that was decided up to there, {failed} of {runs} redraws failed.{}",
                    self.nearly(self.moments.len(), decided)
                ),
            };
        };
        let Moment { runs, at_least, .. } = self.moments[place];
        let from = match (place, self.behind(place, decided)) {
            (0, _) => "From the start on, whatever is drawn".to_string(),
            (_, behind) => {
                let at = format_ns(self.shown_ns(place, decided));
                let after = match (behind.told.last(), behind.count) {
                    (_, 0) => self.after(place, decided),
                    (None, 1) => "behind a decision that isn't told".to_string(),
                    (None, many) => format!("behind {many} decisions that aren't told"),
                    (Some((number, last)), 1) => format!("behind decision {number} ({})", said(last, decided)),
                    (Some((number, last)), many) => {
                        format!("behind {many} decisions, of which {number} is one ({})", said(last, decided))
                    }
                };
                format!("From {at} on, {after}")
            }
        };
        let every = if runs == 1 { "the one redraw".to_string() } else { format!("every one of {runs} redraws") };
        let nearly = self.nearly(place, decided);
        format!("{from}, {every} failed: at least {} % would ({confidence}).{nearly}", floored(at_least))
    }

    /// Since when nearly every redraw failed, if that is before a moment. Empty if it isn't.
    fn nearly(&self, before: usize, decided: &Decided<'_>) -> String {
        let is_nearly = |moment: &&Moment| moment.share.is_some_and(|share| share >= NEARLY_MIN);
        let since = self.moments.len() - self.moments.iter().rev().take_while(is_nearly).count();
        if since >= before {
            return String::new();
        }
        let least = self.moments[since..].iter().filter_map(|moment| moment.share).fold(1.0, f64::min);
        let from = match since {
            0 => "the start".to_string(),
            _ => format_ns(self.shown_ns(since, decided)),
        };
        format!(" Nearly every one did from {from} on already: at each moment since, {} % or more.", floored(least))
    }

    /// Where nothing was decided just before, the last decision of all.
    fn after(&self, place: usize, decided: &Decided<'_>) -> String {
        let before = self.moments[place].at_ns;
        let told = decided.told.iter().enumerate().rev().find(|(_, one)| one.at_ns < before);
        match told {
            Some((index, last)) => format!("after decision {} ({})", index + 1, said(last, decided)),
            None => "with nothing decided before but what is calm".to_string(),
        }
    }

    /// Where it became likelier by most, if that is much and isn't where it became inevitable. Empty if there is no such moment.
    #[must_use]
    pub fn largest_step(&self, decided: &Decided<'_>) -> String {
        let Some((place, before, since)) = self.largest().filter(|(place, ..)| Some(*place) != self.inevitable) else {
            return String::new();
        };
        let at = format_ns(self.shown_ns(place, decided));
        let behind = self.behind(place, decided).told.last().map(|(number, _)| format!(", behind decision {number}"));
        let behind = behind.unwrap_or_default();
        format!("The largest step is at {at}{behind}: from {} to {} %.", percent(before), percent(since))
    }

    /// The moment at which it became likelier by most, if that is much, and the shares before and since.
    fn largest(&self) -> Option<(usize, f64, f64)> {
        let step = |place: usize| Some((place, self.moments[place - 1].share?, self.moments[place].share?));
        let steps = (1..self.moments.len()).filter_map(step);
        // Of equals the first.
        let largest = steps.reduce(|one, other| if other.2 - other.1 > one.2 - one.1 { other } else { one });
        largest.filter(|(_, before, since)| since - before >= STEP_MIN)
    }

    /// What was done, and how often.
    #[must_use]
    pub fn how(&self) -> String {
        let Likelihood { moments, ended, .. } = self;
        let draws = self.draws();
        let times = if draws == 1 { "once".to_string() } else { format!("{draws} times") };
        let mut how = format!(
            "At each of {} moments, what was decided before it stays, and the rest was drawn again, {times}{}{ended}.",
            moments.len(),
            if ended.is_empty() { "" } else { "; " }
        );
        let sum = |count: fn(&Moment) -> u64| moments.iter().map(count).sum::<u64>();
        let (otherwise, unknown) = (sum(|moment| moment.failed_otherwise), sum(|moment| moment.unknown));
        let all = sum(|moment| moment.runs);
        if otherwise > 0 {
            how.push_str(&format!(" {otherwise} of all {all} runs failed by another property."));
        }
        if unknown > 0 {
            how.push_str(&format!(
                " Of {unknown} of all {all} runs nobody can say: they are no part of a share, and make its bounds wider."
            ));
        }
        how
    }
}

/// A decision, in a line.
fn said(decision: &Perturbation, decided: &Decided<'_>) -> String {
    line(&decision.sentence(decided.names), 200)
}

/// A share in percent, with one decimal where there is one.
pub(crate) fn percent(share: f64) -> String {
    tenths((share * 1000.0).round())
}

/// The same, and not more than it is.
pub(crate) fn floored(share: f64) -> String {
    tenths((share * 1000.0 + 1e-6).floor())
}

/// The same, and not less than it is.
pub(crate) fn ceiled(share: f64) -> String {
    tenths((share * 1000.0 - 1e-6).ceil())
}

fn tenths(tenths: f64) -> String {
    let tenths = tenths.clamp(0.0, 1000.0) as u64;
    match tenths % 10 {
        0 => (tenths / 10).to_string(),
        part => format!("{}.{part}", tenths / 10),
    }
}

/// What a line has beside its bar.
const BESIDE_BAR_COLUMNS: usize = 46;

/// The widest a bar is.
const BAR_COLUMNS_MAX: usize = 50;

/// A bar's parts: what fails at least, what failed, what fails at the most.
fn bar(moment: &Moment, columns: usize, glyphs: Glyphs) -> String {
    let [sure, seen, perhaps] = match glyphs {
        Glyphs::Unicode => ['█', '▓', '░'],
        Glyphs::Ascii => ['#', '=', '-'],
    };
    let cells = |share: f64| (share * columns as f64).round() as usize;
    let (least, most) = (cells(moment.at_least), cells(moment.at_most));
    let share = moment.share.map_or(least, cells);
    let cell = |column: usize| match column {
        _ if column < least => sure,
        _ if column < share => seen,
        _ if column < most => perhaps,
        _ => ' ',
    };
    (0..columns).map(cell).collect()
}

/// The curve as text: a line for each moment, and between them what was decided.
#[must_use]
pub fn render_likelihood(
    likelihood: &Likelihood,
    property: &str,
    decided: &Decided<'_>,
    style: Style,
    glyphs: Glyphs,
) -> String {
    let columns = style.columns;
    let bar_columns = columns.saturating_sub(BESIDE_BAR_COLUMNS).clamp(8, BAR_COLUMNS_MAX);
    let mut lines = vec![format!("how likely {} fails, over time", line(property, 60)), String::new()];
    let [sure, seen, perhaps] = match glyphs {
        Glyphs::Unicode => ["█", "▓", "░"],
        Glyphs::Ascii => ["#", "=", "-"],
    };
    let heading = format!(
        "  {:>13}  {:<bar_columns$}  {:>7}  {:>15}",
        "seconds",
        "",
        "fail",
        format!("{} % bounds", percent(likelihood.confidence))
    );
    lines.push(paint(style.colour, Tone::Faint, &heading));
    let more = if glyphs == Glyphs::Unicode { "⋮" } else { ":" };
    let mut is_folding = false;
    for (place, moment) in likelihood.moments.iter().enumerate() {
        let behind = likelihood.behind(place, decided);
        // In a row of equals the first and the last are told.
        let is_like = |other: Option<usize>| {
            other
                .and_then(|other| likelihood.moments.get(other))
                .is_some_and(|other| Moment { at_ns: moment.at_ns, ..*other } == *moment)
        };
        let is_like_next = is_like(Some(place + 1)) && likelihood.behind(place + 1, decided).count == 0;
        if behind.count == 0 && likelihood.inevitable != Some(place) && is_like(place.checked_sub(1)) && is_like_next {
            if !is_folding {
                lines.push(paint(style.colour, Tone::Faint, &format!("  {more:>13}")));
            }
            is_folding = true;
            continue;
        }
        is_folding = false;
        for (number, decision) in &behind.told {
            let when = seconds(decision.at_ns);
            let words = cut(&format!("{number}. {}", said(decision, decided)), columns.saturating_sub(17), glyphs);
            lines.push(format!("  {when:>13}  {}", paint(style.colour, Tone::Wary, &words)));
        }
        let untold = behind.count - behind.told.len();
        if untold > 0 {
            let words = match untold {
                1 => "a decision that isn't told".to_string(),
                many => format!("{many} decisions that aren't told"),
            };
            lines.push(format!("  {:>13}  {}", "", paint(style.colour, Tone::Faint, &words)));
        }
        let share = moment.share.map_or_else(|| "?".to_string(), |share| format!("{} %", percent(share)));
        let bounds = format!("{} to {} %", floored(moment.at_least), ceiled(moment.at_most));
        let is_first = likelihood.inevitable == Some(place);
        let mark = if is_first { '>' } else { ' ' };
        let when = seconds(likelihood.shown_ns(place, decided));
        let words = format!("{mark} {when:>13}  {}  {share:>7}  {bounds:>15}", bar(moment, bar_columns, glyphs));
        let is_certain = likelihood.inevitable.is_some_and(|from| place >= from);
        let tone = if is_certain { Tone::Bad } else { Tone::Name };
        lines.push(paint(style.colour && (is_certain || place == 0), tone, &words));
        if is_first {
            let words = format!("  {:>13}  inevitable from here on", "");
            lines.push(paint(style.colour, Tone::Bad, &words));
        }
    }
    lines.push(String::new());
    lines.extend(wrapped(&likelihood.sentence(decided), columns));
    lines.extend(wrapped(&likelihood.largest_step(decided), columns));
    lines.extend(wrapped(&likelihood.how(), columns));
    let legend =
        format!("{sure} fails at least, {seen} failed, {perhaps} fails at the most; > from where on it is inevitable");
    lines.extend(wrapped(&legend, columns).into_iter().map(|words| paint(style.colour, Tone::Faint, &words)));
    lines.iter().map(|text| text.trim_end().to_string() + "\n").collect()
}

/// As much of a text as there is room for.
fn cut(text: &str, columns: usize, glyphs: Glyphs) -> String {
    let shown = line(text, columns);
    match shown.strip_suffix('…') {
        Some(_) if glyphs == Glyphs::Ascii => {
            line(text, columns.saturating_sub(2)).trim_end_matches('…').to_string() + "..."
        }
        _ => shown,
    }
}

fn seconds(ns: u64) -> String {
    format!("{}.{:09}", ns / 1_000_000_000, ns % 1_000_000_000)
}

/// A sentence in lines. A word that is wider than a line has one of its own.
fn wrapped(text: &str, columns: usize) -> Vec<String> {
    use unicode_width::UnicodeWidthStr;
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(last) if last.width() + 1 + word.width() <= columns => {
                last.push(' ');
                last.push_str(word);
            }
            _ => lines.push(word.to_string()),
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use squall_trace::{FlowId, Site, SiteKind};

    use super::*;

    fn lost(number: u64, at_ns: u64) -> Perturbation {
        Perturbation {
            site: Site { kind: SiteKind::Loss, flow: FlowId(7), number },
            fingerprint: 0,
            value: 1,
            calm: 0,
            at_ns,
        }
    }

    fn moment(at_ns: u64, failed: u64) -> Moment {
        let share = failed as f64 / 10.0;
        let (at_least, at_most) = ((share - 0.2).max(0.0), (share + 0.2).min(1.0));
        Moment { at_ns, runs: 10, failed, failed_otherwise: 0, unknown: 0, share: Some(share), at_least, at_most }
    }

    fn curve(failed: &[(u64, u64)], inevitable: Option<usize>) -> Likelihood {
        let moments = failed.iter().map(|(at_ns, failed)| moment(*at_ns, *failed)).collect();
        Likelihood { moments, inevitable, confidence: 0.95, sure_min: 29, ended: String::new() }
    }

    #[test]
    fn the_sentence_says_what_was_decided_just_before() {
        let (first, second) = (lost(1, 99), lost(2, 499));
        let all = [first, second];
        let told = [&all[0], &all[1]];
        let names = Names::default();
        let decided = Decided { all: &all, told: &told, names: &names };
        let found = curve(&[(0, 1), (100, 4), (500, 10), (900, 10)], Some(2));
        let said = found.sentence(&decided);
        assert!(said.starts_with("From 499 ns on, behind decision 2 (decision 2 of flow "), "{said}");
        assert!(
            said.ends_with(" is lost), every one of 10 redraws failed: at least 80 % would (95 % confidence)."),
            "{said}"
        );
        let late = curve(&[(0, 1), (100, 4), (500, 4), (900, 10)], Some(3)).sentence(&decided);
        assert!(late.starts_with("From 900 ns on, after decision 2 (decision 2 of flow "), "{late}");
        let early = curve(&[(0, 1), (50, 10), (100, 10)], Some(1)).sentence(&decided);
        assert!(early.starts_with("From 50 ns on, with nothing decided before but what is calm, every"), "{early}");
        let both = curve(&[(0, 1), (900, 10)], Some(1)).sentence(&decided);
        assert!(both.starts_with("From 900 ns on, behind 2 decisions, of which 2 is one (decision 2 of"), "{both}");
        let untold = Decided { told: &told[..1], ..decided };
        let said = found.sentence(&untold);
        assert!(said.starts_with("From 499 ns on, behind a decision that isn't told, every"), "{said}");
        let always = curve(&[(0, 10), (100, 10)], Some(0)).sentence(&decided);
        assert!(always.starts_with("From the start on, whatever is drawn, every one of 10"), "{always}");
        let never = curve(&[(0, 1), (100, 4)], None).sentence(&decided);
        assert!(never.ends_with("4 of 10 redraws failed."), "{never}");
        let few = curve(&[(0, 1), (100, 10)], None).sentence(&decided);
        assert!(few.contains("each of 10 redraws failed: too few") && few.ends_with("takes 29."), "{few}");
    }

    #[test]
    fn what_nearly_always_fails_is_told_where_that_is_earlier() {
        let all = [lost(1, 99)];
        let told = [&all[0]];
        let names = Names::default();
        let decided = Decided { all: &all, told: &told, names: &names };
        let said = |shares: &[(u64, f64)], inevitable| {
            let of = |(at_ns, share): &(u64, f64)| Moment { share: Some(*share), ..moment(*at_ns, 10) };
            Likelihood { moments: shares.iter().map(of).collect(), ..curve(&[], inevitable) }.sentence(&decided)
        };
        let text = said(&[(0, 0.2), (100, 0.95), (500, 0.97), (900, 1.0)], Some(3));
        assert!(
            text.ends_with(" Nearly every one did from 99 ns on already: at each moment since, 95 % or more."),
            "{text}"
        );
        assert!(!said(&[(0, 0.2), (100, 0.94), (500, 1.0)], Some(2)).contains("Nearly"));
        assert!(
            said(&[(0, 1.0), (500, 0.99), (900, 1.0)], Some(2))
                .contains("from the start on already: at each moment since, 99 %")
        );
    }

    #[test]
    fn the_largest_step_is_told_where_it_is_another() {
        let all = [lost(1, 99)];
        let told = [&all[0]];
        let names = Names::default();
        let decided = Decided { all: &all, told: &told, names: &names };
        let step = |failed: &[(u64, u64)], inevitable| curve(failed, inevitable).largest_step(&decided);
        let said = step(&[(0, 1), (100, 8), (900, 10)], Some(2));
        assert_eq!(said, "The largest step is at 99 ns, behind decision 1: from 10 to 80 %.");
        assert_eq!(step(&[(0, 1), (50, 8), (900, 10)], Some(2)), "The largest step is at 50 ns: from 10 to 80 %.");
        assert_eq!(step(&[(0, 1), (100, 10)], Some(1)), "", "it is told already");
        assert_eq!(step(&[(0, 10), (100, 10)], Some(0)), "");
        assert_eq!(step(&[(0, 10), (100, 2)], None), "", "downwards is none");
        assert_eq!(step(&[(0, 1)], None), "");
    }

    #[test]
    fn a_row_of_equals_is_folded() {
        let (names, style) = (Names::default(), Style { columns: 80, ..Style::default() });
        let decided = Decided { all: &[], told: &[], names: &names };
        let lines_of = |failed: &[(u64, u64)]| {
            let text = render_likelihood(&curve(failed, None), "p", &decided, style, Glyphs::Ascii);
            let is_one = |line: &&str| line.contains('%') && line.contains("0.0000") || line.trim() == ":";
            text.lines()
                .filter(is_one)
                .map(|line| line.split_whitespace().next().unwrap_or("").to_string())
                .collect::<Vec<_>>()
        };
        let times = |from: u64, many: u64| (0..many).map(|place| (from + place, 3)).collect::<Vec<(u64, u64)>>();
        assert_eq!(lines_of(&times(1, 2)), ["0.000000001", "0.000000002"]);
        assert_eq!(lines_of(&times(1, 3)), ["0.000000001", ":", "0.000000003"]);
        assert_eq!(lines_of(&[times(1, 5), vec![(9, 4)]].concat()), ["0.000000001", ":", "0.000000005", "0.000000009"]);
    }

    #[test]
    fn what_is_counted_apart_is_said() {
        let mut found = curve(&[(0, 1), (100, 4)], None);
        let how = found.how();
        assert!(how.ends_with("the rest was drawn again, 10 times."), "{how}");
        found.moments[1].unknown = 3;
        found.moments[0].failed_otherwise = 2;
        found.ended = "it was interrupted".to_string();
        let how = found.how();
        assert!(
            how.contains("10 times; it was interrupted. 2 of all 20 runs failed by another property. Of 3 of all 20"),
            "{how}"
        );
    }

    #[test]
    fn bounds_are_never_made_closer() {
        assert_eq!(
            (percent(0.045), percent(1.0), percent(0.0), percent(0.9996)),
            ("4.5".into(), "100".into(), "0".into(), "100".into())
        );
        assert_eq!((floored(0.9859), floored(0.3), floored(0.9999)), ("98.5".into(), "30".into(), "99.9".into()));
        assert_eq!((ceiled(0.0141), ceiled(0.3), ceiled(0.0)), ("1.5".into(), "30".into(), "0".into()));
    }

    #[test]
    fn the_text_has_a_line_a_moment_and_fits() {
        let all = [lost(1, 99)];
        let told = [&all[0]];
        let names = Names::default();
        let decided = Decided { all: &all, told: &told, names: &names };
        let found = curve(&[(0, 1), (100, 10), (900, 10)], Some(1));
        for (glyphs, columns) in [(Glyphs::Ascii, 60), (Glyphs::Ascii, 80), (Glyphs::Unicode, 80)] {
            let style = Style { columns, ..Style::default() };
            let text = render_likelihood(&found, "p\u{1b}", &decided, style, glyphs);
            assert!(text.lines().all(|line| unicode_width::UnicodeWidthStr::width(line) <= columns), "{text}");
            assert_eq!(text.is_ascii(), glyphs == Glyphs::Ascii, "{text}");
            assert!(!text.contains('\u{1b}'), "{text}");
            let lines: Vec<&str> = text.lines().collect();
            let place = lines.iter().position(|line| line.starts_with('>')).expect("it is marked");
            assert!(
                lines[place].starts_with(">   0.000000099  ") && lines[place].ends_with("  100 %      80 to 100 %"),
                "{text}"
            );
            assert!(lines[place - 1].contains("0.000000099  1. decision 1 of"), "{text}");
            assert!(lines[place + 1].contains("inevitable from here on"), "{text}");
        }
        let style = Style { colour: true, columns: 80, ..Style::default() };
        assert!(render_likelihood(&found, "p", &decided, style, Glyphs::Ascii).contains("\u{1b}[1;31m>"));
    }
}
