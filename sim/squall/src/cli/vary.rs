//! What `--vary` and `--find` say: a key of a scenario, and the values that it is to have.

use std::collections::BTreeSet;
use std::ops::Range;
use std::time::Duration;

use miette::{LabeledSpan, MietteDiagnostic, NamedSource, Report};
use squall_campaign::sweep::{BadPoints, Resolution, Spacing, points};

use super::exit::Stop;
use crate::scenario::{ScenarioError, format_bandwidth, format_duration, parse_bandwidth, parse_duration};

/// More values of one key are a mistake.
const VALUES_MAX: usize = 10_000;

/// So many values are tried first where a threshold is looked for, if nothing else is said.
const SCAN: usize = 9;

/// A share is counted in these, ten thousand of which are a percent; and so is a number with a point.
const MILLIONTHS: u64 = 1_000_000;

/// A key whose values are varied.
#[derive(Clone, Debug)]
pub struct Varied {
    /// `--vary` or `--find` and what follows, as it was given.
    source: String,
    argument: String,
    /// As settings have it, without spaces around its parts.
    pub key: String,
    key_span: Range<usize>,
    /// The values, as they are set.
    pub values: Vec<String>,
    /// What each was made of.
    places: Vec<Range<usize>>,
    /// Of a range: what its values are.
    scale: Option<Scale>,
}

/// A range between two numbers.
#[derive(Clone, Debug)]
struct Scale {
    unit: Unit,
    points: Vec<u64>,
}

/// What a number of a range counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Unit {
    Nanoseconds,
    BitsPerSecond,
    /// Millionths, written in percent.
    Share,
    Whole,
    /// Millionths.
    Decimal,
}

impl Unit {
    fn format(self, value: u64) -> String {
        match self {
            Unit::Nanoseconds => format_duration(Duration::from_nanos(value)),
            Unit::BitsPerSecond => format_bandwidth(value),
            Unit::Share => format!("{}%", with_point(value, MILLIONTHS / 100, 0)),
            Unit::Whole => value.to_string(),
            // A whole number would be another type.
            Unit::Decimal => with_point(value, MILLIONTHS, 1),
        }
    }

    fn resolution(self) -> Resolution {
        match self {
            Unit::Nanoseconds | Unit::BitsPerSecond | Unit::Decimal => Resolution::Percent(1),
            // A hundredth of a percent.
            Unit::Share => Resolution::Absolute(MILLIONTHS / 10_000),
            Unit::Whole => Resolution::Absolute(1),
        }
    }

    fn name(self) -> &'static str {
        match self {
            Unit::Nanoseconds => "a duration",
            Unit::BitsPerSecond => "a bandwidth",
            Unit::Share => "a share in percent",
            Unit::Whole => "a whole number",
            Unit::Decimal => "a number with a point",
        }
    }
}

/// A number of so many parts of one, with `digits` behind the point at least.
fn with_point(value: u64, one: u64, digits: usize) -> String {
    let width = one.ilog10() as usize;
    let mut part = format!("{:0width$}", value % one);
    while part.len() > digits && part.ends_with('0') {
        part.pop();
    }
    let dot = if part.is_empty() { "" } else { "." };
    format!("{}{dot}{part}", value / one)
}

impl Varied {
    /// Reads a `--vary` argument.
    pub fn parse_vary(argument: &str) -> Result<Varied, Stop> {
        Varied::parse("--vary", argument, |text, range| match range.points {
            Some(points) => Ok(points),
            None => Err(format!("say how many values there are to be: {text}:8log, or {text}:8 for equal differences")),
        })
    }

    /// Reads a `--find` argument: a range, with or without the number of values that are tried first.
    pub fn parse_find(argument: &str) -> Result<Varied, Stop> {
        let varied = Varied::parse("--find", argument, |_, range| Ok(range.points.unwrap_or_else(|| range.scan())))?;
        if varied.scale.is_none() {
            let help = format!("name the least value and the greatest: {}=1ms..=10s", varied.key);
            let place = varied.argument.find('=').map_or(0, |at| at + 1)..varied.argument.len();
            return Err(varied.wrong(place, "a threshold is looked for in a range", "expected LOW..=HIGH", Some(help)));
        }
        Ok(varied)
    }

    fn parse(
        option: &str,
        argument: &str,
        count: impl Fn(&str, &ReadRange) -> Result<(usize, Spacing), String>,
    ) -> Result<Varied, Stop> {
        let mut varied = Varied {
            source: format!("{option} {argument}"),
            argument: argument.to_string(),
            key: String::new(),
            key_span: 0..argument.len(),
            values: Vec::new(),
            places: Vec::new(),
            scale: None,
        };
        let Some((key, text)) = argument.split_once('=') else {
            let message =
                format!("expected a key and its values such as network.latency=1ms..=200ms:8log, found {argument:?}");
            return Err(varied.wrong(0..argument.len(), &message, "expected key=values", None));
        };
        varied.key = key.split('.').map(str::trim).collect::<Vec<&str>>().join(".");
        varied.key_span = trimmed(argument, 0..key.len());
        if matches!(&*varied.key, "seeds" | "isolation") {
            let help = match &*varied.key {
                "seeds" => {
                    "the same seeds run in every cell, so that cells differ by their settings alone: --seeds A..B"
                }
                _ => "a result doesn't depend on it; --set isolation=process sets it for all cells",
            };
            let message = format!("`{}` can't be varied", varied.key);
            return Err(varied.wrong(varied.key_span.clone(), &message, "not this key", Some(help.to_string())));
        }
        let all = trimmed(argument, key.len() + 1..argument.len());
        if all.is_empty() {
            let help = "a range such as 1ms..=200ms:8log, or a list such as 0%,1%,10%".to_string();
            return Err(varied.wrong(all, "there is no value", "expected values behind the =", Some(help)));
        }
        let parts = split_outside(text, key.len() + 1, ',');
        let is_range = |part: &Range<usize>| split_outside(&argument[part.clone()], 0, '.').len() > 2;
        match &*parts {
            [only] if is_range(only) && argument[only.clone()].contains("..") => {
                let range = varied.read_range(all.clone())?;
                let shown = &argument[range.ends.clone()];
                let (many, spacing) = match count(shown, &range) {
                    Ok(counted) => counted,
                    Err(help) => {
                        let message = "the range doesn't say how many values it has";
                        return Err(varied.wrong(all, message, "expected LOW..=HIGH:COUNT or :COUNTlog", Some(help)));
                    }
                };
                let points = range_points(&range, many, spacing, shown);
                let points =
                    points.map_err(|(message, help)| varied.wrong(all.clone(), &message, "here", Some(help)))?;
                varied.values = points.iter().map(|&value| range.unit.format(value)).collect();
                varied.places = vec![all; points.len()];
                varied.scale = Some(Scale { unit: range.unit, points });
            }
            parts => {
                let mut known = BTreeSet::new();
                if parts.len() > VALUES_MAX {
                    let message =
                        format!("there are {} values, and {VALUES_MAX} at the most can be varied", parts.len());
                    return Err(varied.wrong(all, &message, "too many", None));
                }
                for part in parts {
                    let place = trimmed(argument, part.clone());
                    let value = &argument[place.clone()];
                    if value.is_empty() {
                        return Err(varied.wrong(place, "a value of the list is empty", "expected a value", None));
                    }
                    if is_range(part) && value.contains("..") {
                        let help = "a range stands alone; give a list of single values, or two sweeps".to_string();
                        return Err(varied.wrong(place, "a range can't be part of a list", "a range", Some(help)));
                    }
                    // Two ways to write one number are one value.
                    let number = varied.read_end(place.clone()).map(|(unit, value)| unit.format(value));
                    if !known.insert(number.unwrap_or_else(|_| value.to_string())) {
                        return Err(varied.wrong(
                            place,
                            &format!("the value {value} is there twice"),
                            "again here",
                            None,
                        ));
                    }
                    varied.values.push(value.to_string());
                    varied.places.push(place);
                }
            }
        }
        Ok(varied)
    }

    fn read_range(&self, all: Range<usize>) -> Result<ReadRange, Stop> {
        let text = &self.argument[all.clone()];
        let dots = text.find("..").expect("it was looked for");
        let shown = || format!("{}..={}", &text[..dots], text[dots..].trim_start_matches(['.', '=']));
        if !text[dots..].starts_with("..=") {
            let place = all.start + dots..all.start + dots + 2;
            let help = format!("both ends are part of it: {}", shown());
            return Err(self.wrong(place, "a range of values is written with ..=", "expected ..=", Some(help)));
        }
        let behind = dots + 3;
        let (high_end, count) = match text[behind..].split_once(':') {
            Some((high, count)) => (behind + high.len(), Some(count)),
            None => (text.len(), None),
        };
        let points = match count {
            None => None,
            Some(written) => {
                let (number, spacing) = match written.trim().strip_suffix("log") {
                    Some(number) => (number, Spacing::Logarithmic),
                    None => (written, Spacing::Linear),
                };
                let place = all.start + high_end + 1..all.end;
                match number.trim().parse::<usize>() {
                    Ok(number @ 2..=VALUES_MAX) => Some((number, spacing)),
                    Ok(number) if number > VALUES_MAX => {
                        let message = format!("{number} values are too many: {VALUES_MAX} at the most can be varied");
                        return Err(self.wrong(place, &message, "too many", None));
                    }
                    Ok(_) => {
                        let help = "for a single value there is --set".to_string();
                        return Err(self.wrong(
                            place,
                            "a range has two values at least: its ends",
                            "expected 2 or more",
                            Some(help),
                        ));
                    }
                    Err(_) => {
                        let message = format!("expected how many values there are, found {:?}", written.trim());
                        return Err(self.wrong(
                            place,
                            &message,
                            "expected a number, or a number and log: 8 or 8log",
                            None,
                        ));
                    }
                }
            }
        };
        let (low_place, high_place) = (
            trimmed(&self.argument, all.start..all.start + dots),
            trimmed(&self.argument, all.start + behind..all.start + high_end),
        );
        let (low, high) = (self.read_end(low_place.clone())?, self.read_end(high_place.clone())?);
        let (unit, low, high) = match (low, high) {
            ((Unit::Whole, low), (Unit::Decimal, high)) => (Unit::Decimal, low.checked_mul(MILLIONTHS), Some(high)),
            ((Unit::Decimal, low), (Unit::Whole, high)) => (Unit::Decimal, Some(low), high.checked_mul(MILLIONTHS)),
            ((unit, low), (other, high)) if unit == other => (unit, Some(low), Some(high)),
            ((unit, _), (other, _)) => {
                let message =
                    format!("the ends of a range are of one kind, and these are {} and {}", unit.name(), other.name());
                let help = "write both with a unit: 1ms..=200ms, 0%..=10%".to_string();
                return Err(self.wrong(high_place, &message, &format!("expected {}", unit.name()), Some(help)));
            }
        };
        let (Some(low), Some(high)) = (low, high) else {
            return Err(self.wrong(all, "the number is too large", "here", None));
        };
        Ok(ReadRange { unit, low, high, points, ends: all.start..all.start + high_end })
    }

    fn read_end(&self, place: Range<usize>) -> Result<(Unit, u64), Stop> {
        let text = &self.argument[place.clone()];
        let expected = "expected a duration such as 5ms, a share such as 5%, a bandwidth such as 10Mbit/s, or a number";
        if text.is_empty() {
            let help = "both ends must be there: 1ms..=200ms:8log".to_string();
            return Err(self.wrong(place, "an end of the range is missing", expected, Some(help)));
        }
        let is_plain = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
        let (unit, number) = match text.strip_suffix('%') {
            Some(percent) if is_plain(percent.trim()) => {
                (Unit::Share, millionths(percent.trim()).map(|share| share / 100))
            }
            None if is_plain(text) && text.contains('.') => (Unit::Decimal, millionths(text)),
            None if is_plain(text) => (Unit::Whole, text.parse().ok()),
            _ if text.ends_with("/s") => match parse_bandwidth(text) {
                Ok(bits_per_second) => (Unit::BitsPerSecond, Some(bits_per_second)),
                Err(bad) => {
                    let help = bad.suggestion.map(|meant| format!("did you mean {meant}?"));
                    return Err(self.wrong(place, &bad.message, expected, help));
                }
            },
            _ => match parse_duration(text) {
                Ok(duration) => (Unit::Nanoseconds, u64::try_from(duration.as_nanos()).ok()),
                Err(bad) => {
                    let message = if text.starts_with('-') {
                        format!("a range has no negative ends, found {text:?}")
                    } else {
                        bad.message
                    };
                    let help = bad.suggestion.map(|meant| format!("did you mean {meant}?"));
                    return Err(self.wrong(place, &message, expected, help));
                }
            },
        };
        // Of a share, whole millionths: a hundredth of what was read must be one.
        let is_exact = unit != Unit::Share
            || text
                .strip_suffix('%')
                .and_then(|percent| millionths(percent.trim()))
                .is_some_and(|share| share % 100 == 0);
        match number {
            Some(number) if is_exact => Ok((unit, number)),
            _ => {
                let message = format!("{} can't be an end of a range: it is too large, or too fine", text);
                let help =
                    "up to 6 digits behind the point, in percent up to 4; or give the values as a list".to_string();
                Err(self.wrong(place, &message, "here", Some(help)))
            }
        }
    }

    /// A mistake in this argument.
    pub fn wrong(&self, place: Range<usize>, message: &str, label: &str, help: Option<String>) -> Stop {
        // Nothing can't be pointed at, but what it is missing behind.
        let before = self.argument[..place.start].chars().next_back().map_or(0, char::len_utf8);
        let place = if place.is_empty() { place.start - before..place.end } else { place };
        let mut diagnostic = MietteDiagnostic::new(message)
            .with_label(LabeledSpan::new_primary_with_span(Some(label.to_string()), place));
        diagnostic.help = help;
        Stop::Input(Report::new(diagnostic).with_source_code(NamedSource::new(&self.source, self.argument.clone())))
    }

    /// A mistake of its key.
    pub fn wrong_key(&self, message: &str, help: &str) -> Stop {
        self.wrong(self.key_span.clone(), message, "this key", Some(help.to_string()))
    }

    /// The setting of one of its values.
    pub fn setting(&self, place: usize) -> String {
        self.setting_of(&self.values[place])
    }

    fn setting_of(&self, value: &str) -> String {
        let key = self.argument.split_once('=').map_or(&*self.argument, |(key, _)| key);
        format!("{key}={value}")
    }

    /// Mistakes in the setting of a value are shown in the argument that it was made of.
    pub fn place(&self, error: ScenarioError, place: usize) -> ScenarioError {
        let (setting, is_verbatim) = (self.setting(place), self.scale.is_none());
        error.in_argument(&setting, (&self.source, &self.argument), self.places[place].clone(), is_verbatim)
    }

    /// Of a `--find`: the values that are tried first, as numbers.
    pub fn scan(&self) -> &[u64] {
        self.scale.as_ref().map_or(&[], |scale| &scale.points)
    }

    /// Of a `--find`: how near both sides of the threshold must be.
    pub fn resolution(&self) -> Resolution {
        self.scale.as_ref().map_or(Resolution::Absolute(1), |scale| scale.unit.resolution())
    }

    /// The same with that number as its only value.
    pub fn at(&self, value: u64) -> Varied {
        let values = self.scale.iter().map(|scale| scale.unit.format(value)).collect();
        Varied { values, places: self.places.first().cloned().into_iter().collect(), ..self.clone() }
    }
}

/// A range as it is written.
struct ReadRange {
    unit: Unit,
    low: u64,
    high: u64,
    points: Option<(usize, Spacing)>,
    /// Where it stands, without the number of values.
    ends: Range<usize>,
}

impl ReadRange {
    /// What is tried first where nothing is said: powers where the ends are far apart.
    fn scan(&self) -> (usize, Spacing) {
        let is_wide = self.low > 0 && self.high / self.low >= 10;
        let spacing = if is_wide { Spacing::Logarithmic } else { Spacing::Linear };
        let between = usize::try_from(self.high.saturating_sub(self.low)).unwrap_or(usize::MAX);
        let fits = |count: &usize| points(self.low, self.high, *count, spacing).is_ok();
        let count = (2..=SCAN.min(between.saturating_add(1))).rev().find(fits);
        (count.unwrap_or(2), spacing)
    }
}

/// The values of a range, or what is wrong with it and what to do.
fn range_points(range: &ReadRange, count: usize, spacing: Spacing, shown: &str) -> Result<Vec<u64>, (String, String)> {
    let ReadRange { unit, low, high, .. } = *range;
    points(low, high, count, spacing).map_err(|bad| {
        let help = match bad {
            BadPoints::NotAscending if low == high => "for a single value there is --set".to_string(),
            BadPoints::NotAscending => {
                let log = if spacing == Spacing::Logarithmic { "log" } else { "" };
                format!("did you mean {}..={}:{count}{log}?", unit.format(high), unit.format(low))
            }
            BadPoints::LogarithmicFromZero => format!("begin above zero, or leave out log: {shown}:{count}"),
            BadPoints::TooMany => "ask for fewer, or give the values as a list".to_string(),
            BadPoints::TooFew => "ask for two or more".to_string(),
        };
        (bad.to_string(), help)
    })
}

/// A number with at most six digits behind the point, in millionths.
fn millionths(text: &str) -> Option<u64> {
    let (whole, part) = text.split_once('.').unwrap_or((text, "0"));
    let is_number = |digits: &str| !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    let part = if part.len() > 1 { part.trim_end_matches('0') } else { part };
    let part = if part.is_empty() { "0" } else { part };
    if !is_number(whole) || !is_number(part) || part.len() > 6 {
        return None;
    }
    let part: u64 = format!("{part:0<6}").parse().ok()?;
    whole.parse::<u64>().ok()?.checked_mul(MILLIONTHS)?.checked_add(part)
}

/// The place without white space at its ends.
fn trimmed(text: &str, place: Range<usize>) -> Range<usize> {
    let part = &text[place.clone()];
    let start = place.start + (part.len() - part.trim_start().len());
    start..start + part.trim().len()
}

/// The places of the parts between separators, outside of quotation marks and brackets. `start` is where the text stands.
fn split_outside(text: &str, start: usize, separator: char) -> Vec<Range<usize>> {
    let (mut parts, mut begun, mut depth) = (Vec::new(), 0, 0usize);
    let mut quote: Option<char> = None;
    let mut is_escaped = false;
    for (at, character) in text.char_indices() {
        match quote {
            Some(_) if is_escaped => is_escaped = false,
            Some('"') if character == '\\' => is_escaped = true,
            Some(mark) if character == mark => quote = None,
            Some(_) => {}
            None if character == '"' || character == '\'' => quote = Some(character),
            None if character == '[' || character == '{' => depth += 1,
            None if character == ']' || character == '}' => depth = depth.saturating_sub(1),
            None if character == separator && depth == 0 => {
                parts.push(start + begun..start + at);
                begun = at + separator.len_utf8();
            }
            None => {}
        }
    }
    parts.push(start + begun..start + text.len());
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(argument: &str) -> Vec<String> {
        match Varied::parse_vary(argument) {
            Ok(varied) => varied.values,
            Err(stop) => panic!("{}", stop.in_words()),
        }
    }

    #[test]
    fn ranges_and_lists_are_read() {
        for (argument, wanted) in [
            ("network.latency=1ms..=200ms:4log", &["1ms", "5.848ms", "34.2ms", "200ms"][..]),
            ("network.latency = 0ms ..= 1s : 3", &["0ns", "500ms", "1s"]),
            ("network.loss=0%,1%,10%", &["0%", "1%", "10%"]),
            ("network.loss=0%..=1%:5", &["0%", "0.25%", "0.5%", "0.75%", "1%"]),
            ("nodes.client=1..=100:3log", &["1", "10", "100"]),
            ("network.bandwidth=1Mbit/s..=100Mbit/s:3log", &["1Mbit/s", "10Mbit/s", "100Mbit/s"]),
            ("network.bandwidth=1MB/s..=2MB/s:3", &["8Mbit/s", "12Mbit/s", "16Mbit/s"]),
            ("args.ratio=0.5..=2:4", &["0.5", "1.0", "1.5", "2.0"]),
            ("args.ratio=-1.5,2e3", &["-1.5", "2e3"]),
            ("args.text=\"a,b\",'c..=d'", &["\"a,b\"", "'c..=d'"]),
            ("network.latency={ uniform = [\"1ms\", \"2ms\"] },5ms", &["{ uniform = [\"1ms\", \"2ms\"] }", "5ms"]),
            ("args.cache=true", &["true"]),
        ] {
            assert_eq!(values(argument), wanted, "{argument}");
        }
    }

    #[test]
    fn the_scan_of_a_threshold_follows_its_range() {
        let scan =
            |argument: &str| Varied::parse_find(argument).unwrap_or_else(|stop| panic!("{}", stop.in_words())).values;
        assert_eq!(scan("network.latency=1ms..=100ms").len(), SCAN);
        assert_eq!(scan("network.latency=1ms..=100ms:3log"), ["1ms", "10ms", "100ms"]);
        assert_eq!(scan("nodes.client=1..=4"), ["1", "2", "3", "4"]);
        assert_eq!(scan("network.loss=0%..=40%:2"), ["0%", "40%"]);
        let found =
            Varied::parse_find("network.latency=1ms..=100ms").unwrap_or_else(|stop| panic!("{}", stop.in_words()));
        assert_eq!(found.at(43_200_000).setting(0), "network.latency=43.2ms");
    }
}
