//! `{ trace = "wan.csv" }`: a recorded latency in a file of its own, beside the scenario's.
//!
//! ```csv
//! at,latency
//! 0s,20ms
//! 30s,180ms
//! 32.5s,21ms
//! ```
//!
//! The first line says what the columns are. Each line behind it has a time from the run's start, and the latency from then on; the times begin at 0 and rise.

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::Duration;

use squall_engine::latency::{Latency, LatencyError, TRACE_ENTRIES_MAX};
use squall_trace::Digest;

use super::mistake::Draft;
use super::reader::{Reader, Value, shortened};
use super::units::{BadValue, parse_duration};

/// No recording is near that long.
const FILE_BYTES_MAX: u64 = 64 << 20;

/// The first line.
const HEADER: &str = "at,latency";

/// A file that a scenario names.
#[derive(Clone, Debug)]
pub(super) struct TraceFile {
    /// As the scenario has it.
    name: String,
    pub path: PathBuf,
    /// Of its bytes.
    pub digest: Digest,
    /// `None` if something in it is wrong, which was told.
    latency: Option<Latency>,
}

impl Reader {
    /// The recording in the file that is named there. A file that is named again isn't read again.
    pub(super) fn latency_trace(&mut self, value: &Value<'_>) -> Option<Latency> {
        let name = self.text("trace", "the name of a file such as \"wan.csv\"", value)?;
        if let Some(known) = self.traces.iter().find(|known| known.name == name) {
            return known.latency.clone();
        }
        let path = self.directory.join(name);
        let bytes = match read_file(&path) {
            Ok(bytes) => bytes,
            Err((why, label)) => {
                let message =
                    format!("`trace`: the file {} can't be read: {why}", shortened(&path.display().to_string()));
                self.note(Draft::new(value.span(), message).label(label));
                return None;
            }
        };
        // However its lines end, as a scenario's.
        let lines: Vec<&[u8]> =
            bytes.split(|byte| *byte == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line)).collect();
        let digest = Digest(xxhash_rust::xxh3::xxh3_128(&lines.join(&b'\n')));
        let latency = match String::from_utf8(bytes) {
            Ok(text) => self.recorded(&path, &text),
            Err(error) => {
                let good = &error.as_bytes()[..error.utf8_error().valid_up_to()];
                let line = good.iter().filter(|byte| **byte == b'\n').count() + 1;
                let shown = path.display();
                let message = format!("`trace`: {shown} is not UTF-8 text (byte {} in line {line})", good.len());
                self.note(Draft::new(value.span(), message).label("not a recorded latency"));
                None
            }
        };
        self.traces.push(TraceFile { name: name.to_string(), path, digest, latency: latency.clone() });
        latency
    }

    /// Notes the first mistake at its place in the file: those behind it are mostly the same.
    fn recorded(&mut self, path: &Path, text: &str) -> Option<Latency> {
        entries(text)
            .map(Latency::trace)
            .map_err(|BadEntry { span, message, label, meant }| {
                let start = self.sources.add(path.display().to_string(), text);
                let draft = Draft::new(start + span.start..start + span.end, message).label(label);
                self.note(draft.meant(meant.as_deref()));
            })
            .ok()
    }
}

/// The bytes of a plain file.
///
/// # Errors
/// Why not, and what was expected.
fn read_file(path: &Path) -> Result<Vec<u8>, (String, &'static str)> {
    use std::io::Read;
    let unreadable =
        |error: std::io::Error| (error.to_string(), "expected a file, by its path from the scenario's file");
    let metadata = std::fs::metadata(path).map_err(unreadable)?;
    if metadata.is_dir() {
        return Err(("it is a directory".to_string(), "expected a file such as wan.csv"));
    }
    if !metadata.is_file() {
        // Whoever waits on a pipe waits for ever.
        return Err(("it is no plain file".to_string(), "expected a file such as wan.csv"));
    }
    let mut bytes = Vec::new();
    let file = std::fs::File::open(path).map_err(unreadable)?;
    file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        return Err((format!("it has more than {FILE_BYTES_MAX} bytes"), "expected a shorter recording"));
    }
    Ok(bytes)
}

/// What is wrong with a line, and where.
struct BadEntry {
    span: Range<usize>,
    message: String,
    label: &'static str,
    meant: Option<String>,
}

impl BadEntry {
    fn new(span: Range<usize>, message: impl Into<String>, label: &'static str) -> BadEntry {
        BadEntry { span, message: message.into(), label, meant: None }
    }
}

/// The lines with their places, without what ends them.
fn lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut start = 0;
    text.split_inclusive('\n').map(move |line| {
        let at = start;
        start += line.len();
        (at, line.trim_end_matches(['\n', '\r']))
    })
}

/// The entries of a file.
///
/// # Errors
/// The first mistake, with its place.
fn entries(text: &str) -> Result<Vec<(Duration, Duration)>, BadEntry> {
    let mut lines = lines(text).map(|(at, line)| match (at, line.strip_prefix('\u{feff}')) {
        // Some editors mark text so.
        (0, Some(marked)) => ('\u{feff}'.len_utf8(), marked),
        _ => (at, line),
    });
    let header = lines.next().filter(|(_, line)| !line.trim().is_empty());
    match header {
        Some((_, line)) if line.split(',').map(str::trim).eq(HEADER.split(',')) => {}
        Some((at, line)) => {
            let message = format!("a recorded latency begins with the line {HEADER:?}, found {:?}", shortened(line));
            return Err(BadEntry::new(at..at + line.len(), message, "expected at,latency"));
        }
        None => {
            let message = format!("the file is empty: a recorded latency begins with the line {HEADER:?}");
            return Err(BadEntry::new(0..0, message, "expected at,latency"));
        }
    }
    let mut entries: Vec<(Duration, Duration)> = Vec::new();
    let mut end = None;
    for (at, line) in lines {
        let whole = at..at + line.len();
        if line.trim().is_empty() {
            end = end.or(Some(whole));
            continue;
        }
        if let Some(empty) = end {
            return Err(BadEntry::new(
                empty,
                "an empty line stands between two entries",
                "expected an entry, or the end",
            ));
        }
        if entries.len() == TRACE_ENTRIES_MAX {
            let message = LatencyError::TraceTooLong { entries: entries.len() + 1 }.to_string();
            return Err(BadEntry::new(whole, message, "one too many"));
        }
        let Some((time, latency)) = line.split_once(',').filter(|(_, latency)| !latency.contains(',')) else {
            let message = format!("expected a time and a latency such as \"30s,180ms\", found {:?}", shortened(line));
            return Err(BadEntry::new(whole, message, "expected two values"));
        };
        let read = |start: usize, said: &str, column: &str| {
            let place = start + (said.len() - said.trim_start().len());
            let place = place..place + said.trim().len();
            parse_duration(said.trim()).map_err(|BadValue { message, suggestion }| {
                let place = if place.is_empty() { whole.clone() } else { place };
                BadEntry { span: place, message: format!("`{column}`: {message}"), label: "here", meant: suggestion }
            })
        };
        let entry = (read(at, time, "at")?, read(at + time.len() + 1, latency, "latency")?);
        let time_span = at..at + time.len();
        match entries.last() {
            None if !entry.0.is_zero() => {
                let message = LatencyError::TraceStartsLate { first: entry.0 }.to_string();
                return Err(BadEntry::new(time_span, message, "expected 0s"));
            }
            Some((before, _)) if entry.0 <= *before => {
                let message = LatencyError::TraceOutOfOrder { before: *before, at: entry.0 }.to_string();
                return Err(BadEntry::new(time_span, message, "expected a later time"));
            }
            _ => entries.push(entry),
        }
    }
    if entries.is_empty() {
        return Err(BadEntry::new(
            0..HEADER.len().min(text.len()),
            "the file has no entry behind its first line",
            "expected an entry such as 0s,20ms",
        ));
    }
    Ok(entries)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What a recording is made of, and what isn't part of one.
    fn piece() -> impl Strategy<Value = String> {
        prop_oneof![
            Just("at,latency\n".to_string()),
            (0u64..5_000, 0u64..500).prop_map(|(at, latency)| format!("{at}ms,{latency}ms\n")),
            proptest::sample::select(vec![
                "\n",
                "\r\n",
                ",",
                " ",
                "0s",
                "\u{feff}",
                "9999999h",
                "ä",
                "\"",
                "-1s",
                "1e9s,0s\n"
            ])
            .prop_map(str::to_string),
            any::<String>(),
        ]
    }

    proptest! {
        /// Whatever a file holds, it is a recording that can be replayed, or there is a mistake that lies in it.
        #[test]
        fn every_text_is_a_recording_or_has_a_mistake(pieces in proptest::collection::vec(piece(), 0..12), whole in any::<bool>()) {
            let text = format!("{}{}", if whole { "at,latency\n0s,1ms\n" } else { "" }, pieces.concat());
            match entries(&text) {
                Ok(entries) => prop_assert!(Latency::trace(entries).compile().is_ok(), "{text:?}"),
                Err(bad) => prop_assert!(text.get(bad.span.clone()).is_some(), "{:?} of {text:?}: {}", bad.span, bad.message),
            }
        }
    }
}
