//! How values are written in a scenario file: durations, moments, ranges of seeds; and which name somebody meant.

use std::time::Duration;

use squall_engine::BANDWIDTH_BITS_PER_SECOND_MAX;
use toml::value::{Datetime, Offset};

/// The longest duration that a scenario file may name: 2^62 ns, about 146 years. A sum of two, or of one and a wall
/// clock before the year 2262, still fits the engine's 64 bits.
pub const DURATION_NS_MAX: u64 = 1 << 62;

/// Units by name, each in nanoseconds, and the other spellings by which people call them.
const UNITS: [(&str, u64, &[&str]); 6] = [
    ("ns", 1, &["nsec", "nanos", "nanosecond", "nanoseconds"]),
    ("us", 1_000, &["µs", "μs", "usec", "micros", "microsecond", "microseconds"]),
    ("ms", 1_000_000, &["msec", "millis", "millisecond", "milliseconds"]),
    ("s", 1_000_000_000, &["sec", "secs", "second", "seconds"]),
    ("m", 60_000_000_000, &["min", "mins", "minute", "minutes"]),
    ("h", 3_600_000_000_000, &["hr", "hrs", "hour", "hours"]),
];

/// What is wrong with a value, and what was probably meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadValue {
    /// What was expected and what was found.
    pub message: String,
    /// What was probably meant, as it would be written.
    pub suggestion: Option<String>,
}

impl std::fmt::Display for BadValue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message)?;
        match &self.suggestion {
            Some(suggestion) => write!(f, "; did you mean {suggestion:?}?"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for BadValue {}

/// Reads `250us`, `1.5ms`, `2s`, `1m` and `1h`, exact to the nanosecond.
///
/// # Errors
/// Anything else: no unit, an unknown unit, parts of a nanosecond, more than [`DURATION_NS_MAX`].
pub fn parse_duration(text: &str) -> Result<Duration, BadValue> {
    let bad = |suggestion: Option<String>| BadValue {
        message: format!("expected a duration such as \"5ms\" (units: ns, us, ms, s, m, h), found {text:?}"),
        suggestion,
    };
    let trimmed = text.trim();
    let unit_at = trimmed.find(|c: char| !(c.is_ascii_digit() || c == '.')).unwrap_or(trimmed.len());
    let (number, unit) = trimmed.split_at(unit_at);
    let unit = unit.trim();
    let (whole, part) = match number.split_once('.') {
        Some((whole, part)) => (whole, Some(part)),
        None => (number, None),
    };
    let is_number = |digits: &str| !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    if !is_number(whole) || part.is_some_and(|part| !is_number(part)) {
        return Err(bad(None));
    }
    if unit.is_empty() {
        let suggestion = if whole == "0" && part.is_none() { "0s".to_string() } else { format!("{number}ms") };
        return Err(bad(Some(suggestion)));
    }
    let Some(&(_, unit_ns, _)) = UNITS.iter().find(|(name, ..)| *name == unit).or_else(|| {
        // The sign for micro is no mistake.
        (unit == "µs" || unit == "μs").then_some(&UNITS[1])
    }) else {
        let lower = unit.to_lowercase();
        let known = UNITS.iter().find(|(name, _, aliases)| *name == lower || aliases.contains(&lower.as_str()));
        return Err(bad(known.map(|(name, ..)| format!("{number}{name}"))));
    };
    let too_long = || BadValue { message: format!("expected at most 146 years, found {text:?}"), suggestion: None };
    let part = part.unwrap_or("").trim_end_matches('0');
    // Below 10^-13 of an hour there are only parts of nanoseconds.
    if part.len() > 13 {
        return Err(finer_than_ns(text));
    }
    let whole: u64 = whole.parse().map_err(|_| too_long())?;
    let scale = 10u128.pow(part.len() as u32);
    let part: u128 = if part.is_empty() { 0 } else { part.parse().map_err(|_| bad(None))? };
    if !(part * u128::from(unit_ns)).is_multiple_of(scale) {
        return Err(finer_than_ns(text));
    }
    let ns = u128::from(whole) * u128::from(unit_ns) + part * u128::from(unit_ns) / scale;
    match u64::try_from(ns) {
        Ok(ns) if ns <= DURATION_NS_MAX => Ok(Duration::from_nanos(ns)),
        _ => Err(too_long()),
    }
}

fn finer_than_ns(text: &str) -> BadValue {
    BadValue { message: format!("expected whole nanoseconds, found {text:?}: nothing is shorter"), suggestion: None }
}

/// A duration as [`parse_duration`] reads it: `1.5ms`.
#[must_use]
pub fn format_duration(duration: Duration) -> String {
    let ns = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
    squall_trace::trace::format_ns(ns).replace(' ', "").replace('µ', "u")
}

/// Nanoseconds since the Unix epoch of a moment in RFC 3339.
pub(super) fn epoch_ns(moment: &Datetime) -> Result<u64, BadValue> {
    let bad = |why: &str| BadValue {
        message: format!("{why}: expected a moment such as \"2026-01-01T00:00:00Z\", found \"{moment}\""),
        suggestion: None,
    };
    let Some(date) = moment.date else { return Err(bad("the date is missing")) };
    let Some(time) = moment.time else { return Err(bad("the time of day is missing")) };
    let offset_minutes = match moment.offset {
        Some(Offset::Z) => 0,
        Some(Offset::Custom { minutes }) => i64::from(minutes),
        None => return Err(bad("the zone is missing (Z for UTC)")),
    };
    if !(1970..2262).contains(&date.year) {
        return Err(bad("the wall clock stands between the years 1970 and 2261"));
    }
    let second = i64::from(time.second.unwrap_or(0));
    let is_leap_year = date.year % 4 == 0 && (date.year % 100 != 0 || date.year % 400 == 0);
    let days_in_month = match date.month {
        2 if is_leap_year => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    };
    let real = (1..=12).contains(&date.month) && (1..=days_in_month).contains(&date.day);
    if !real || time.hour > 23 || time.minute > 59 || second > 59 {
        return Err(bad("there is no such moment"));
    }
    // Days since 1970-01-01, with years that begin in March, so that the leap day comes last.
    let month = i64::from(date.month);
    let year = i64::from(date.year) - i64::from(month <= 2);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + i64::from(date.day) - 1;
    let days = year * 365 + year / 4 - year / 100 + year / 400 + day_of_year - 719_468;
    let seconds =
        days * 86_400 + i64::from(time.hour) * 3_600 + (i64::from(time.minute) - offset_minutes) * 60 + second;
    let seconds = u64::try_from(seconds).map_err(|_| bad("the moment lies before 1970"))?;
    Ok(seconds * 1_000_000_000 + u64::from(time.nanosecond.unwrap_or(0)))
}

/// The name that was probably meant: the nearest one, if it is near.
pub(crate) fn nearest<'n>(found: &str, names: impl IntoIterator<Item = &'n str>) -> Option<&'n str> {
    // Far longer than any name: not worth comparing, which takes time in its square.
    if found.len() > 200 {
        return None;
    }
    let found = found.to_lowercase();
    let mut best: Option<(usize, &str)> = None;
    for name in names {
        let lower = name.to_lowercase();
        let distance = if found.len().min(lower.len()) >= 3 && (lower.starts_with(&found) || found.starts_with(&lower))
        {
            1
        } else {
            strsim::damerau_levenshtein(&found, &lower)
        };
        let bound = (found.chars().count().max(lower.chars().count()) / 3).max(1);
        // One letter is one mistake away from any other: no hint at all.
        let is_near = distance <= bound && (lower.len() > 1 || distance == 0);
        if is_near && best.is_none_or(|(least, _)| distance < least) {
            best = Some((distance, name));
        }
    }
    best.map(|(_, name)| name)
}

/// An amount of bytes, which are of `what`: a whole number of `B`, `KiB`, `MiB` or `GiB`.
///
/// # Errors
/// Anything else, in words.
pub(super) fn parse_bytes(what: &str, text: &str) -> Result<u64, String> {
    let wrong = || format!("expected {what} such as \"512MiB\" (units: B, KiB, MiB, GiB), found {text:?}");
    let trimmed = text.trim();
    let unit_at = trimmed.find(|character: char| !character.is_ascii_digit()).ok_or_else(wrong)?;
    let (number, unit) = trimmed.split_at(unit_at);
    let shift = match unit.trim() {
        "B" => 0,
        "KiB" => 10,
        "MiB" => 20,
        "GiB" => 30,
        _ => return Err(wrong()),
    };
    let number: u64 = number.parse().map_err(|_| wrong())?;
    number.checked_mul(1_u64 << shift).ok_or_else(wrong)
}

/// Units of bandwidths by name, each in bits per second, and the other spellings by which people call them, in small letters. A capital B is a byte;
/// thousands are decimal.
const BANDWIDTH_UNITS: [(&str, u64, &[&str]); 8] = [
    ("bit/s", 1, &["bps", "bits/s", "b/s"]),
    ("kbit/s", 1_000, &["kbps", "kbits/s", "kb/s"]),
    ("Mbit/s", 1_000_000, &["mbps", "mbits/s", "mb/s"]),
    ("Gbit/s", 1_000_000_000, &["gbps", "gbits/s", "gb/s"]),
    ("B/s", 8, &["bytes/s", "bps"]),
    ("kB/s", 8_000, &["kib/s", "kbps", "kbytes/s"]),
    ("MB/s", 8_000_000, &["mib/s", "mbps", "mbytes/s"]),
    ("GB/s", 8_000_000_000, &["gib/s", "gbps", "gbytes/s"]),
];

/// Reads `10Mbit/s`, `1.5Gbit/s`, `64kB/s`: bits per second, exactly.
///
/// # Errors
/// Anything else: no unit, an unknown unit, parts of a bit, zero, more than [`BANDWIDTH_BITS_PER_SECOND_MAX`].
pub(crate) fn parse_bandwidth(text: &str) -> Result<u64, BadValue> {
    let bad = |suggestion: Option<String>| BadValue {
        message: format!(
            "expected a bandwidth such as \"10Mbit/s\" (units: bit/s, kbit/s, Mbit/s, Gbit/s, B/s, kB/s, MB/s, GB/s), found {text:?}"
        ),
        suggestion,
    };
    let without = |message: String| BadValue { message, suggestion: None };
    let trimmed = text.trim();
    let unit_at = trimmed.find(|c: char| !(c.is_ascii_digit() || c == '.')).unwrap_or(trimmed.len());
    let (number, unit) = trimmed.split_at(unit_at);
    let unit = unit.trim();
    let (whole, part) = number.split_once('.').map_or((number, None), |(whole, part)| (whole, Some(part)));
    let is_number = |digits: &str| !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    if !is_number(whole) || part.is_some_and(|part| !is_number(part)) {
        return Err(bad(None));
    }
    if unit.is_empty() {
        return Err(bad(Some(format!("{number}Mbit/s"))));
    }
    let Some(&(_, unit_bits, _)) = BANDWIDTH_UNITS.iter().find(|(name, ..)| *name == unit) else {
        let lower = unit.to_lowercase();
        let is_of_bytes = unit.contains('B') || lower.contains("byte");
        let is_meant = |(name, _, aliases): &&(&str, u64, &[&str])| {
            name.contains('B') == is_of_bytes && (name.to_lowercase() == lower || aliases.contains(&lower.as_str()))
        };
        return Err(bad(BANDWIDTH_UNITS.iter().find(is_meant).map(|(name, ..)| format!("{number}{name}"))));
    };
    let too_fast = || without(format!("expected at most a petabit per second, found {text:?}"));
    let too_fine = || without(format!("expected whole bits per second, found {text:?}"));
    let part = part.unwrap_or("").trim_end_matches('0');
    if part.len() > 10 {
        return Err(too_fine());
    }
    let whole: u64 = whole.parse().map_err(|_| too_fast())?;
    let scale = 10u128.pow(part.len() as u32);
    let part: u128 = if part.is_empty() { 0 } else { part.parse().map_err(|_| bad(None))? };
    if !(part * u128::from(unit_bits)).is_multiple_of(scale) {
        return Err(too_fine());
    }
    match u128::from(whole) * u128::from(unit_bits) + part * u128::from(unit_bits) / scale {
        0 => Err(without(format!(
            "expected more than nothing, found {text:?}: a link on which nothing passes is a partition"
        ))),
        bits => u64::try_from(bits).ok().filter(|bits| *bits <= BANDWIDTH_BITS_PER_SECOND_MAX).ok_or_else(too_fast),
    }
}

/// A bandwidth as [`parse_bandwidth`] reads it: `1.5Mbit/s`.
pub(crate) fn format_bandwidth(bits_per_second: u64) -> String {
    let (name, unit, _) =
        BANDWIDTH_UNITS[..4].iter().rev().find(|(_, unit, _)| *unit <= bits_per_second).unwrap_or(&BANDWIDTH_UNITS[0]);
    let width = unit.ilog10() as usize;
    let part = if width == 0 { String::new() } else { format!("{:0width$}", bits_per_second % unit) };
    let part = part.trim_end_matches('0');
    let dot = if part.is_empty() { "" } else { "." };
    format!("{}{dot}{part}{name}", bits_per_second / unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_read_exactly() {
        for (text, bytes) in [("0B", 0), ("1B", 1), (" 100 B ", 100), ("64KiB", 65_536), ("1GiB", 1 << 30)] {
            assert_eq!(parse_bytes("an amount", text), Ok(bytes), "{text}");
        }
        let most = format!("{}B", u64::MAX);
        assert_eq!(parse_bytes("an amount", &most), Ok(u64::MAX));
        for text in ["100", "B", "1.5KiB", "-1B", "1kB", "18446744073709551616B", "17179869184GiB"] {
            assert!(parse_bytes("an amount", text).is_err(), "{text}");
        }
    }

    #[test]
    fn bandwidths_are_read_exactly() {
        for (text, bits_per_second) in [
            ("10Mbit/s", 10_000_000),
            ("1.5Gbit/s", 1_500_000_000),
            ("0.000000001 Gbit/s", 1),
            ("64kB/s", 512_000),
            ("0.125B/s", 1),
            ("1bit/s", 1),
            ("1000000Gbit/s", BANDWIDTH_BITS_PER_SECOND_MAX),
        ] {
            assert_eq!(parse_bandwidth(text), Ok(bits_per_second), "{text}");
            assert_eq!(parse_bandwidth(&format_bandwidth(bits_per_second)), Ok(bits_per_second), "{text}");
        }
        assert_eq!(format_bandwidth(5_848_035), "5.848035Mbit/s");
        assert_eq!(format_bandwidth(999), "999bit/s");
    }

    #[test]
    fn bad_bandwidths_say_what_was_meant() {
        for (text, suggestion) in [
            ("10", Some("10Mbit/s")),
            ("10Mbps", Some("10Mbit/s")),
            ("10mbit/s", Some("10Mbit/s")),
            ("10MiB/s", Some("10MB/s")),
            ("10KB/s", Some("10kB/s")),
            ("10kb/s", Some("10kbit/s")),
            ("10MBps", Some("10MB/s")),
            ("10parsecs/s", None),
            ("0Mbit/s", None),
            ("0.5bit/s", None),
            ("0.00000000001Gbit/s", None),
            ("1000001Gbit/s", None),
            ("1000000.000000001Gbit/s", None),
            ("99999999999999999999bit/s", None),
            ("-1bit/s", None),
            ("1.bit/s", None),
            ("", None),
            ("Mbit/s", None),
        ] {
            let error = parse_bandwidth(text).expect_err(text);
            assert_eq!(error.suggestion.as_deref(), suggestion, "{text}: {error}");
        }
    }

    #[test]
    fn durations_are_read_exactly() {
        for (text, ns) in [
            ("250us", 250_000),
            ("250µs", 250_000),
            ("1.5ms", 1_500_000),
            ("0.000000001s", 1),
            ("2s", 2_000_000_000),
            ("1m", 60_000_000_000),
            ("1.5h", 5_400_000_000_000),
            ("0.1000000000000h", 360_000_000_000),
            ("7 ns", 7),
            ("0s", 0),
        ] {
            assert_eq!(parse_duration(text), Ok(Duration::from_nanos(ns)), "{text}");
        }
    }

    #[test]
    fn bad_durations_say_what_was_meant() {
        for (text, suggestion) in [
            ("5", Some("5ms")),
            ("0", Some("0s")),
            ("5sec", Some("5s")),
            ("5MS", Some("5ms")),
            ("2 minutes", Some("2m")),
            ("5parsecs", None),
            ("-5ms", None),
            ("", None),
            ("ms", None),
            ("1.ms", None),
            (".5ms", None),
            ("1.2.3ms", None),
            ("1e3ms", None),
            ("0.5ns", None),
            ("1.00000000000001s", None),
            ("200000000000h", None),
            ("99999999999999999999999s", None),
        ] {
            let error = parse_duration(text).expect_err(text);
            assert_eq!(error.suggestion.as_deref(), suggestion, "{text}: {error}");
        }
    }

    #[test]
    fn durations_read_back_as_written() {
        for ns in [0, 1, 999, 1_000, 1_500, 250_000, 1_500_000, 60_000_000_000, DURATION_NS_MAX] {
            let duration = Duration::from_nanos(ns);
            assert_eq!(parse_duration(&format_duration(duration)), Ok(duration));
        }
    }

    #[test]
    fn moments_are_counted_from_1970() {
        let read = |text: &str| epoch_ns(&text.parse().unwrap()).map(|ns| ns / 1_000_000_000);
        assert_eq!(read("1970-01-01T00:00:00Z"), Ok(0));
        assert_eq!(read("2026-01-01T00:00:00Z"), Ok(1_767_225_600));
        assert_eq!(read("2024-02-29T23:59:59Z"), Ok(1_709_251_199));
        assert_eq!(read("2000-03-01T01:00:00+01:00"), Ok(951_868_800));
        for bad in ["2026-01-01", "2026-01-01T00:00:00", "12:00:00", "1969-12-31T23:59:59Z", "9999-01-01T00:00:00Z"] {
            assert!(read(bad).is_err(), "{bad:?} was read as a moment");
        }
    }

    #[test]
    fn the_nearest_name_is_near() {
        let keys = ["program", "seeds", "latency", "loss", "clock", "end"];
        for (found, meant) in [
            ("latancy", Some("latency")),
            ("Loss", Some("loss")),
            ("sedes", Some("seeds")),
            ("check", None),
            ("heal", None),
            ("x", None),
            ("prog", Some("program")),
        ] {
            assert_eq!(nearest(found, keys), meant, "{found}");
        }
        assert_eq!(nearest("store", ["client-0", "store-0"]), Some("store-0"));
    }
}
