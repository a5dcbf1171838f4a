//! Reads values out of TOML, noting every mistake at its place and going on.

use std::ops::Range;
use std::path::PathBuf;
use std::time::Duration;

use squall_engine::Bursts;
use squall_engine::latency::Latency;
use squall_trace::Ratio;
use toml::Spanned;
use toml::de::{DeInteger, DeTable, DeValue};

use super::latency_trace::TraceFile;
use super::mistake::{Draft, Sources};
use super::units::{BadValue, DURATION_NS_MAX, nearest, parse_bandwidth, parse_duration};

/// A TOML value with its place.
pub(super) type Value<'i> = Spanned<DeValue<'i>>;

/// Collects mistakes.
#[derive(Debug, Default)]
pub(super) struct Reader {
    pub drafts: Vec<Draft>,
    /// What is read: places count through all of it.
    pub sources: Sources,
    /// Of the scenario's file: other files are named from there.
    pub directory: PathBuf,
    /// Recorded latencies that are named.
    pub traces: Vec<TraceFile>,
}

/// A table whose keys are known.
#[derive(Clone, Debug)]
pub(super) struct Fields<'t, 'i> {
    table: &'t DeTable<'i>,
    /// Of the table, for what is missing from it.
    pub span: Range<usize>,
    /// What it is, for messages: `[network]`.
    pub title: String,
}

impl<'t, 'i> Fields<'t, 'i> {
    pub(super) fn get(&self, key: &str) -> Option<&'t Value<'i>> {
        self.table.get(key)
    }

    /// Keys with their places, and values.
    pub(super) fn entries(&self) -> impl Iterator<Item = (&'t str, Range<usize>, &'t Value<'i>)> {
        self.table.iter().map(|(key, value)| (key.get_ref().as_ref(), key.span(), value))
    }

    /// Where a key stands.
    pub(super) fn key_span(&self, key: &str) -> Range<usize> {
        self.entries().find(|(name, ..)| *name == key).map_or_else(|| self.span.clone(), |(_, span, _)| span)
    }
}

/// A value in words: `the integer 5`.
fn found(value: &DeValue<'_>) -> String {
    match value {
        DeValue::String(text) => format!("the text {:?}", shortened(text)),
        DeValue::Integer(number) => format!("the integer {}", shortened(&number.to_string())),
        DeValue::Float(number) => format!("the number {}", shortened(&number.to_string())),
        DeValue::Boolean(value) => format!("{value}"),
        DeValue::Datetime(moment) => format!("the moment {moment}"),
        DeValue::Array(_) => "a list".to_string(),
        DeValue::Table(_) => "a table".to_string(),
    }
}

/// Text for a message, cut where it is long.
pub(super) fn shortened(text: &str) -> String {
    if text.chars().count() <= 60 {
        return text.to_string();
    }
    text.chars().take(57).chain("...".chars()).collect()
}

fn whole_number(number: &DeInteger<'_>) -> Option<i128> {
    i128::from_str_radix(number.as_str(), number.radix()).ok()
}

impl Reader {
    pub(super) fn note(&mut self, draft: Draft) {
        self.drafts.push(draft);
    }

    pub(super) fn bad_type(&mut self, key: &str, expected: &str, value: &Value<'_>) {
        self.note(
            Draft::new(value.span(), format!("`{key}`: expected {expected}, found {}", found(value.get_ref())))
                .label(format!("expected {expected}")),
        );
    }

    fn bad_value(&mut self, key: &str, span: Range<usize>, bad: BadValue) {
        let draft = Draft::new(span, format!("`{key}`: {}", bad.message)).label("here");
        self.note(draft.meant(bad.suggestion.map(|suggestion| format!("{suggestion:?}")).as_deref()));
    }

    /// Takes a table whose keys are all in `known`, noting those that aren't.
    pub(super) fn fields<'t, 'i>(
        &mut self,
        table: &'t DeTable<'i>,
        span: Range<usize>,
        title: impl Into<String>,
        known: &[&str],
    ) -> Fields<'t, 'i> {
        let fields = Fields { table, span, title: title.into() };
        for (key, span, _) in fields.entries() {
            if !known.contains(&key) {
                self.unknown_key(key, span, &fields.title, known);
            }
        }
        fields
    }

    pub(super) fn unknown_key(&mut self, key: &str, span: Range<usize>, title: &str, known: &[&str]) {
        let mut draft = Draft::new(span, format!("unknown key `{}` in {title}", shortened(key)))
            .label("not known here")
            .meant(nearest(key, known.iter().copied()));
        let all = if known.is_empty() {
            format!("{title} takes no keys: the program has none of its own there")
        } else {
            format!("expected one of {}", known.join(", "))
        };
        draft.help = Some(match draft.help {
            Some(hint) => format!("{hint} ({all})"),
            None => all,
        });
        self.note(draft);
    }

    /// Notes that a key is missing.
    pub(super) fn missing(&mut self, fields: &Fields<'_, '_>, key: &str, expected: &str) {
        self.note(
            Draft::new(fields.span.clone(), format!("{} lacks `{key}`: expected {expected}", fields.title))
                .label(format!("`{key}` is missing")),
        );
    }

    /// A key's table.
    pub(super) fn table<'t, 'i>(
        &mut self,
        fields: &Fields<'t, 'i>,
        key: &str,
        title: &str,
        known: &[&str],
    ) -> Option<Fields<'t, 'i>> {
        let value = fields.get(key)?;
        match value.get_ref() {
            DeValue::Table(table) => Some(self.fields(table, value.span(), title, known)),
            _ => {
                self.bad_type(key, "a table", value);
                None
            }
        }
    }

    /// A key's list of tables (`[[link]]`).
    pub(super) fn tables<'t, 'i>(
        &mut self,
        fields: &Fields<'t, 'i>,
        key: &str,
    ) -> Vec<(&'t DeTable<'i>, Range<usize>)> {
        let Some(value) = fields.get(key) else { return Vec::new() };
        let DeValue::Array(array) = value.get_ref() else {
            self.bad_type(key, &format!("a list of tables, each under a heading [[{key}]]"), value);
            return Vec::new();
        };
        let mut tables = Vec::new();
        for entry in array.iter() {
            match entry.get_ref() {
                DeValue::Table(table) => tables.push((table, entry.span())),
                _ => self.bad_type(key, "a table", entry),
            }
        }
        tables
    }

    pub(super) fn text<'t>(&mut self, key: &str, expected: &str, value: &'t Value<'_>) -> Option<&'t str> {
        match value.get_ref() {
            DeValue::String(text) => Some(text),
            _ => {
                self.bad_type(key, expected, value);
                None
            }
        }
    }

    /// Text, or a list of texts.
    pub(super) fn texts<'t>(
        &mut self,
        key: &str,
        expected: &str,
        value: &'t Value<'_>,
    ) -> Option<Vec<(&'t str, Range<usize>)>> {
        match value.get_ref() {
            DeValue::Array(array) => {
                let texts = array.iter().map(|entry| Some((self.text(key, expected, entry)?, entry.span())));
                texts.collect()
            }
            _ => self.text(key, expected, value).map(|text| vec![(text, value.span())]),
        }
    }

    pub(super) fn boolean(&mut self, key: &str, value: &Value<'_>) -> Option<bool> {
        match value.get_ref() {
            DeValue::Boolean(boolean) => Some(*boolean),
            _ => {
                self.bad_type(key, "true or false", value);
                None
            }
        }
    }

    pub(super) fn count(&mut self, key: &str, range: std::ops::RangeInclusive<u64>, value: &Value<'_>) -> Option<u64> {
        let expected = format!("a whole number from {} to {}", range.start(), range.end());
        let DeValue::Integer(number) = value.get_ref() else {
            self.bad_type(key, &expected, value);
            return None;
        };
        let count = whole_number(number).and_then(|number| u64::try_from(number).ok()).filter(|n| range.contains(n));
        if count.is_none() {
            self.bad_type(key, &expected, value);
        }
        count
    }

    pub(super) fn duration(&mut self, key: &str, value: &Value<'_>) -> Option<Duration> {
        const EXPECTED: &str = "a duration such as \"5ms\" (units: ns, us, ms, s, m, h)";
        match value.get_ref() {
            DeValue::String(text) => match parse_duration(text) {
                Ok(duration) => Some(duration),
                Err(bad) => {
                    self.bad_value(key, value.span(), bad);
                    None
                }
            },
            DeValue::Integer(number) if !number.as_str().starts_with('-') => {
                let suggestion = format!("\"{}ms\"", shortened(&number.to_string()));
                let message = format!("`{key}`: expected {EXPECTED}, found {} without a unit", found(value.get_ref()));
                self.note(Draft::new(value.span(), message).label("a unit is missing").meant(Some(&suggestion)));
                None
            }
            _ => {
                self.bad_type(key, EXPECTED, value);
                None
            }
        }
    }

    /// A duration that isn't zero.
    pub(super) fn positive_duration(&mut self, key: &str, zero_means: &str, value: &Value<'_>) -> Option<Duration> {
        let duration = self.duration(key, value)?;
        if duration.is_zero() {
            self.note(
                Draft::new(value.span(), format!("`{key}`: expected a duration above zero: {zero_means}"))
                    .label("expected more than zero"),
            );
            return None;
        }
        Some(duration)
    }

    pub(super) fn share(&mut self, key: &str, value: &Value<'_>) -> Option<Ratio> {
        let text = match value.get_ref() {
            DeValue::String(text) => text.to_string(),
            // 0 and 1 are the same in every notation.
            DeValue::Integer(number) => number.to_string(),
            _ => {
                self.bad_type(key, "a share such as \"5%\", \"0.1%\" or \"1/3\"", value);
                return None;
            }
        };
        match text.parse::<Ratio>() {
            Ok(ratio) => Some(ratio),
            Err(message) => {
                let label = if message.contains("at most") { "at most 100%" } else { "expected a share" };
                self.note(Draft::new(value.span(), format!("`{key}`: {message}")).label(label));
                None
            }
        }
    }

    /// Bits per second.
    pub(super) fn bandwidth(&mut self, key: &str, value: &Value<'_>) -> Option<u64> {
        const EXPECTED: &str = "a bandwidth such as \"10Mbit/s\"";
        let said = match value.get_ref() {
            DeValue::String(text) => text.to_string(),
            // A number lacks its unit.
            DeValue::Integer(number) if !number.as_str().starts_with('-') => shortened(number.as_str()),
            _ => {
                self.bad_type(key, EXPECTED, value);
                return None;
            }
        };
        match parse_bandwidth(&said) {
            Ok(bits_per_second) => Some(bits_per_second),
            Err(bad) => {
                self.bad_value(key, value.span(), bad);
                None
            }
        }
    }

    /// `{ good = "2s", bad = "50ms" }`, and perhaps `loss` in it.
    pub(super) fn bursts(&mut self, key: &str, value: &Value<'_>) -> Option<Bursts> {
        let DeValue::Table(table) = value.get_ref() else {
            self.bad_type(key, "a table such as { good = \"2s\", bad = \"50ms\" }", value);
            return None;
        };
        let fields = self.fields(table, value.span(), format!("`{key}`"), &["good", "bad", "loss"]);
        let time = |reader: &mut Reader, part: &str| match fields.get(part) {
            Some(value) => reader.duration(part, value),
            None => {
                reader.missing(&fields, part, "a duration such as \"50ms\"");
                None
            }
        };
        let (good, bad) = (time(self, "good"), time(self, "bad"));
        let loss = fields.get("loss").map_or(Some(Ratio::ONE), |value| self.share("loss", value));
        let bursts = Bursts::new(good?, bad?).loss(loss?);
        if let Err(message) = bursts.validate() {
            self.note(Draft::new(value.span(), format!("`{key}`: {message}")).label("impossible"));
            return None;
        }
        Some(bursts)
    }

    /// A distribution: `"5ms"`, `{ fixed = "5ms" }`, `{ uniform = ["1ms", "10ms"] }` and so on.
    pub(super) fn latency(&mut self, key: &str, value: &Value<'_>) -> Option<Latency> {
        const KINDS: [&str; 7] = ["fixed", "uniform", "exponential", "lognormal", "pareto", "empirical", "trace"];
        const EXPECTED: &str = "a latency such as \"5ms\" or { uniform = [\"1ms\", \"10ms\"] }";
        let table = match value.get_ref() {
            DeValue::Table(table) => table,
            DeValue::String(_) | DeValue::Integer(_) => return self.duration(key, value).map(Latency::fixed),
            _ => {
                self.bad_type(key, EXPECTED, value);
                return None;
            }
        };
        let before = self.drafts.len();
        let fields = self.fields(table, value.span(), format!("`{key}`"), &KINDS);
        if self.drafts.len() > before {
            return None;
        }
        let mut entries = fields.entries();
        let (Some((kind, _, shape)), None) = (entries.next(), entries.next()) else {
            let message = format!("`{key}`: expected exactly one of {}, found {}", KINDS.join(", "), table.len());
            self.note(Draft::new(value.span(), message).label("expected one distribution"));
            return None;
        };
        let latency = match kind {
            "fixed" => Latency::fixed(self.duration(kind, shape)?),
            "uniform" => {
                let DeValue::Array(ends) = shape.get_ref() else {
                    self.bad_type(kind, "the least and the greatest latency: [\"1ms\", \"10ms\"]", shape);
                    return None;
                };
                let (Some(min), Some(max), 2) = (ends.first(), ends.get(1), ends.len()) else {
                    let message = format!("`{kind}`: expected two latencies, found {}", ends.len());
                    self.note(Draft::new(shape.span(), message).label("expected [\"1ms\", \"10ms\"]"));
                    return None;
                };
                let (min, max) = (self.duration(kind, min), self.duration(kind, max));
                Latency::uniform(min?, max?)
            }
            "exponential" if !shape.get_ref().is_table() => Latency::exponential(self.duration(kind, shape)?),
            "exponential" => {
                let [mean, min] = self.durations(&fields, kind, ["mean", "min"], 1)?;
                Latency::Exponential { mean: mean.unwrap_or_default(), min: min.unwrap_or_default() }
            }
            "lognormal" => {
                let [median, p99] = self.durations(&fields, kind, ["median", "p99"], 2)?;
                Latency::lognormal(median.unwrap_or_default(), p99.unwrap_or_default())
            }
            "pareto" => self.pareto(&fields, kind)?,
            "trace" => self.latency_trace(shape)?,
            _ => {
                let DeValue::Array(list) = shape.get_ref() else {
                    self.bad_type(kind, "a list of latencies: [\"1ms\", \"3ms\"]", shape);
                    return None;
                };
                let list: Vec<Option<Duration>> = list.iter().map(|entry| self.duration(kind, entry)).collect();
                Latency::empirical(list.into_iter().collect::<Option<Vec<Duration>>>()?)
            }
        };
        if let Err(error) = latency.validate() {
            self.note(Draft::new(shape.span(), format!("`{key}`: the {kind} latency is impossible: {error}")).label(
                match kind {
                    "lognormal" => "p99 must be above median",
                    "uniform" => "expected the lesser latency first",
                    _ => "impossible",
                },
            ));
            return None;
        }
        Some(latency)
    }

    /// Two durations of a table, of which the first `required` must be there.
    fn durations(
        &mut self,
        fields: &Fields<'_, '_>,
        kind: &str,
        keys: [&str; 2],
        required: usize,
    ) -> Option<[Option<Duration>; 2]> {
        let before = self.drafts.len();
        let parts = self.table(fields, kind, &format!("`{kind}`"), &keys)?;
        let mut read = [None; 2];
        for (index, key) in keys.into_iter().enumerate() {
            match parts.get(key) {
                Some(value) => read[index] = self.duration(key, value),
                None if index < required => self.missing(&parts, key, "a duration such as \"5ms\""),
                None => {}
            }
        }
        (self.drafts.len() == before).then_some(read)
    }

    fn pareto(&mut self, fields: &Fields<'_, '_>, kind: &str) -> Option<Latency> {
        let parts = self.table(fields, kind, "`pareto`", &["min", "shape"])?;
        let min = match parts.get("min") {
            Some(value) => self.duration("min", value),
            None => {
                self.missing(&parts, "min", "the shortest latency, such as \"5ms\"");
                None
            }
        };
        let shape = match parts.get("shape").map(|value| (value, value.get_ref())) {
            Some((_, DeValue::Float(number))) => number.as_str().parse::<f64>().ok(),
            Some((_, DeValue::Integer(number))) => whole_number(number).map(|number| number as f64),
            Some((value, _)) => {
                self.bad_type("shape", "a number such as 1.5", value);
                None
            }
            None => {
                self.missing(&parts, "shape", "a number such as 1.5");
                None
            }
        };
        Some(Latency::pareto(min?, shape?))
    }
}

/// For limits: a duration in nanoseconds. All that is read is far below the end of the range.
pub(super) fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(DURATION_NS_MAX)
}
