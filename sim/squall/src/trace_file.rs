//! Traces as files: JSON lines in zstd, so that `zstdcat FILE | jq` opens them.
//!
//! The first line is the header (`"line":"header"`: plan, names, digests, verdict, and how many lines of each kind follow);
//! then come the events, the perturbations and the checkpoints, one a line. A file is written beside its place and
//! renamed, so that it is never half there.

use std::fs::File;
use std::io::{self, BufRead, BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use squall_campaign::whole_file::WholeFile;
use squall_trace::{Checkpoint, Digest, Names, OwnedEvent, Perturbation, Plan, Trace, Verdict};

/// The format's name in the header.
const FORMAT: &str = "squall-trace";

/// The format's version. A reader refuses others.
const VERSION: u32 = 1;

/// zstd's own default: traces shrink to a tenth, and writing isn't what takes the time.
const ZSTD_LEVEL: i32 = 3;

/// Who reads a file that somebody sent isn't to run out of memory over one line.
const LINE_BYTES_MAX: u64 = 256 << 20;

#[derive(Serialize, Deserialize)]
struct Header {
    format: String,
    version: u32,
    plan: Plan,
    digest: Digest,
    log_digest: Digest,
    verdict: Verdict,
    /// How many lines of each kind follow: a file that was cut off is noticed.
    events: usize,
    perturbations: usize,
    checkpoints: usize,
    names: Names,
}

#[derive(Serialize, Deserialize)]
#[serde(tag = "line", rename_all = "kebab-case")]
enum Line {
    Header(Box<Header>),
    Event(OwnedEvent),
    Perturbation(Perturbation),
    Checkpoint(Checkpoint),
}

/// Why a trace can't be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The file can't be opened.
    #[error("{}: {error}", path.display())]
    Open {
        /// Which.
        path: PathBuf,
        /// What the system says.
        error: io::Error,
    },
    /// A line isn't what it should be.
    #[error("{} is no trace, or a damaged one: line {line}: {problem}", path.display())]
    Line {
        /// In which file.
        path: PathBuf,
        /// Counted from 1, as `zstdcat FILE | sed -n LINEp` counts.
        line: u64,
        /// What is wrong.
        problem: String,
    },
}

/// A place for a trace: shown to be writable before anything is run, filled afterwards. Dropped without
/// [`TraceFile::write`], it leaves nothing behind.
#[derive(Debug)]
pub struct TraceFile {
    path: PathBuf,
    file: WholeFile,
}

impl TraceFile {
    /// Opens a file beside `path`.
    ///
    /// # Errors
    /// What the system says if nothing can be written there.
    pub fn create(path: impl Into<PathBuf>) -> io::Result<TraceFile> {
        let path = path.into();
        let file = WholeFile::create(&path)?;
        Ok(TraceFile { path, file })
    }

    /// Where it will be.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Writes the trace and puts the file in its place.
    ///
    /// # Errors
    /// What the system says.
    pub fn write(mut self, trace: &Trace) -> io::Result<()> {
        write_lines(BufWriter::new(self.file.file()), trace)?.flush()?;
        self.file.finish()
    }
}

/// Writes a trace to `path`, whole or not at all.
///
/// # Errors
/// What the system says.
pub fn write(path: impl Into<PathBuf>, trace: &Trace) -> io::Result<()> {
    TraceFile::create(path)?.write(trace)
}

fn write_lines<W: Write>(out: W, trace: &Trace) -> io::Result<W> {
    let mut out = zstd::Encoder::new(out, ZSTD_LEVEL)?;
    // A flipped bit is noticed when it is read.
    out.include_checksum(true)?;
    let header = Header {
        format: FORMAT.to_string(),
        version: VERSION,
        plan: trace.plan.clone(),
        digest: trace.digest,
        log_digest: trace.log_digest,
        verdict: trace.verdict.clone(),
        events: trace.events.len(),
        perturbations: trace.perturbations.len(),
        checkpoints: trace.checkpoints.len(),
        names: trace.names.clone(),
    };
    let mut put = |line: &Line| -> io::Result<()> {
        serde_json::to_writer(&mut out, line)?;
        out.write_all(b"\n")
    };
    put(&Line::Header(Box::new(header)))?;
    for event in &trace.events {
        put(&Line::Event(event.clone()))?;
    }
    for perturbation in &trace.perturbations {
        put(&Line::Perturbation(*perturbation))?;
    }
    for checkpoint in &trace.checkpoints {
        put(&Line::Checkpoint(*checkpoint))?;
    }
    out.finish()
}

/// Reads a trace back.
///
/// # Errors
/// [`ReadError`], which names the file and the line.
pub fn read(path: &Path) -> Result<Trace, ReadError> {
    let open = |error| ReadError::Open { path: path.to_path_buf(), error };
    let file = File::open(path).map_err(open)?;
    read_from(file, path)
}

/// Reads a trace from wherever its bytes come; `path` is what a mistake is said to be in.
///
/// # Errors
/// [`ReadError::Line`].
pub fn read_from(bytes: impl io::Read, path: &Path) -> Result<Trace, ReadError> {
    read_lines(bytes).map_err(|(line, problem)| ReadError::Line { path: path.to_path_buf(), line, problem })
}

fn read_lines(file: impl io::Read) -> Result<Trace, (u64, String)> {
    let mut number = 1u64;
    let decoder = zstd::Decoder::new(file).map_err(|error| (number, error.to_string()))?;
    let mut lines = BufReader::new(decoder);
    let mut bytes = Vec::new();
    let Some(header) = next_line(&mut lines, &mut bytes, number)? else {
        return Err((number, "the file is empty".to_string()));
    };
    let Line::Header(header) = header else {
        return Err((number, "expected the header".to_string()));
    };
    if header.format != FORMAT || header.version != VERSION {
        let found = format!("{:?} version {}", header.format, header.version);
        return Err((number, format!("expected {FORMAT:?} version {VERSION}, found {found}")));
    }
    let (mut events, mut perturbations, mut checkpoints) = (Vec::new(), Vec::new(), Vec::new());
    loop {
        number += 1;
        match next_line(&mut lines, &mut bytes, number)? {
            None => break,
            Some(Line::Header(_)) => return Err((number, "a second header".to_string())),
            Some(Line::Event(event)) => events.push(event),
            Some(Line::Perturbation(perturbation)) => perturbations.push(perturbation),
            Some(Line::Checkpoint(checkpoint)) => checkpoints.push(checkpoint),
        }
    }
    for (what, expected, found) in [
        ("events", header.events, events.len()),
        ("perturbations", header.perturbations, perturbations.len()),
        ("checkpoints", header.checkpoints, checkpoints.len()),
    ] {
        if expected != found {
            return Err((number, format!("the header promises {expected} {what}, and here are {found}")));
        }
    }
    let trace = Trace {
        plan: header.plan,
        names: header.names,
        events,
        perturbations,
        checkpoints,
        digest: header.digest,
        log_digest: header.log_digest,
        verdict: header.verdict,
    };
    // Whoever compares two traces goes by their checkpoints.
    trace.check().map_err(|problem| (number, problem))?;
    Ok(trace)
}

fn next_line(lines: &mut impl BufRead, bytes: &mut Vec<u8>, number: u64) -> Result<Option<Line>, (u64, String)> {
    bytes.clear();
    let mut limited = io::Read::take(&mut *lines, LINE_BYTES_MAX + 1);
    let length = limited.read_until(b'\n', bytes).map_err(|error| (number, error.to_string()))?;
    if length == 0 {
        return Ok(None);
    }
    if length as u64 > LINE_BYTES_MAX {
        return Err((number, format!("it is longer than {LINE_BYTES_MAX} bytes")));
    }
    let line = serde_json::from_slice(bytes).map_err(|error| (number, error.to_string()))?;
    Ok(Some(line))
}

#[cfg(test)]
mod tests {
    use squall_trace::{
        Digester, Event, EventKind, Failure, FlowInfo, FlowRole, NodeId, NodeInfo, Seed, Site, SiteKind, Stream,
        TaskId, TaskInfo,
    };

    use super::*;

    fn trace() -> Trace {
        let event = |step, kind| Event { step, at_ns: u64::MAX, node: NodeId(0), task: TaskId(u64::MAX), kind };
        let trace = Trace {
            plan: Plan::seeded("payments", Seed(u64::MAX)),
            names: Names {
                nodes: vec![NodeInfo {
                    name: "a \u{1b}\n\"b\"".to_string(),
                    address: std::net::IpAddr::from([10, 0, 0, 1]),
                    client: true,
                }],
                tasks: [(
                    TaskId(7),
                    TaskInfo { label: "a".to_string(), node: NodeId(0), spawned_at: "here:1".to_string() },
                )]
                .into(),
                // A header's line is buffered before its kind is known: what JSON has as text must come back as what it was.
                flows: [(
                    squall_trace::FlowId(u64::MAX),
                    FlowInfo {
                        from: NodeId(0),
                        to: NodeId(0),
                        role: FlowRole::Segment(Stream {
                            connection: 1,
                            port: 80,
                            is_back: true,
                            labels: [(3, "GET /".to_string())].into(),
                        }),
                        operation: None,
                    },
                )]
                .into(),
            },
            events: vec![
                event(1, EventKind::Boot { boot: 0 }),
                event(
                    2,
                    EventKind::Send {
                        flow: squall_trace::FlowId(3),
                        number: u64::MAX,
                        from_port: 1,
                        to: NodeId::WORLD,
                        to_port: 2,
                        tag: u64::MAX,
                        payload: vec![0, 255, 7].into(),
                    },
                ),
                event(3, EventKind::Crash),
                event(3, EventKind::Log { level: "INFO".into(), target: "t".into(), message: "two\nlines".into() }),
            ],
            perturbations: vec![Perturbation {
                site: Site { kind: SiteKind::Loss, flow: squall_trace::FlowId(3), number: 1 },
                fingerprint: u64::MAX,
                value: 1,
                calm: 0,
                at_ns: 5,
            }],
            checkpoints: Vec::new(),
            digest: Digest(u128::MAX),
            log_digest: Digest(0),
            verdict: Verdict::Fail(Failure {
                property: "p".to_string(),
                message: "m".to_string(),
                step: 2,
                at_ns: 3,
                node: None,
                task: None,
            }),
        };
        digested(trace)
    }

    /// With the digests that belong to its events, and with so many of those that there is a checkpoint.
    fn digested(mut trace: Trace) -> Trace {
        let last = trace.events.iter().rposition(|event| matches!(event.kind, EventKind::Crash)).expect("there is one");
        while trace.counted_events().count() < 256 {
            let event = trace.events[last].clone();
            trace.events.insert(last, event);
        }
        let (mut events, mut logs) = (Digester::new(true), Digester::new(false));
        for event in &mut trace.events {
            let is_log = matches!(event.kind, EventKind::Log { .. });
            if is_log { &mut logs } else { &mut events }.add(event);
            event.step = events.events();
        }
        (trace.digest, trace.checkpoints) = events.finish();
        trace.log_digest = logs.finish().0;
        trace
    }

    #[test]
    fn a_trace_is_read_back_as_written() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("run.trace.zst");
        write(&path, &trace()).unwrap();
        assert_eq!(read(&path).unwrap(), trace());
        assert_eq!(std::fs::read_dir(&directory).unwrap().count(), 1, "a partial file was left behind");
        let text = String::from_utf8(zstd::decode_all(File::open(&path).unwrap()).unwrap()).unwrap();
        let mut kinds: Vec<String> = text
            .lines()
            .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap()["line"].as_str().unwrap().to_string())
            .collect();
        assert_eq!(kinds.iter().filter(|kind| *kind == "event").count(), trace().events.len());
        kinds.dedup();
        assert_eq!(kinds, ["header", "event", "perturbation", "checkpoint"]);
    }

    #[test]
    fn what_is_not_written_leaves_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("run.trace.zst");
        drop(TraceFile::create(&path).unwrap());
        assert_eq!(std::fs::read_dir(&directory).unwrap().count(), 0);
        assert!(TraceFile::create(directory.path()).is_err());
        assert!(TraceFile::create(directory.path().join("no/such/directory")).is_err());
    }

    /// What comes out of a small file may be as long as anybody likes.
    #[test]
    fn a_line_has_a_length() {
        use std::io::Read;
        let next = |length: u64| {
            let line = io::repeat(b' ').take(length - 1).chain(&b"\n"[..]);
            next_line(&mut BufReader::new(line), &mut Vec::new(), 7).err().unwrap()
        };
        assert!(next(LINE_BYTES_MAX).1.contains("EOF while parsing"));
        assert_eq!(next(LINE_BYTES_MAX + 1), (7, "it is longer than 268435456 bytes".to_string()));
    }

    #[test]
    fn damage_is_named_with_its_line() {
        let whole = zstd::decode_all(&*write_lines(Vec::new(), &trace()).unwrap()).unwrap();
        let whole = String::from_utf8(whole).unwrap();
        let read_text = |text: &str| read_lines(&*zstd::encode_all(text.as_bytes(), 1).unwrap());
        assert_eq!(read_text(&whole).unwrap(), trace());
        let lines: Vec<&str> = whole.lines().collect();
        let (line, problem) = read_text("").unwrap_err();
        assert_eq!((line, problem.as_str()), (1, "the file is empty"));
        let (line, problem) = read_text(lines[1]).unwrap_err();
        assert_eq!((line, problem.as_str()), (1, "expected the header"));
        let (line, problem) = read_text(&whole.replace("\"event\":\"crash\"", "\"event\":\"crush\"")).unwrap_err();
        assert!(line == 4 && problem.contains("crush"), "{line}: {problem}");
        let (line, problem) = read_text(&lines[..lines.len() - 1].join("\n")).unwrap_err();
        assert_eq!((line, &*problem), (lines.len() as u64, "the header promises 1 checkpoints, and here are 0"));
        let (line, problem) = read_text(&whole.replace("\"version\":1", "\"version\":2")).unwrap_err();
        assert!(line == 1 && problem.contains("version 2"), "{line}: {problem}");
        assert_eq!(read_lines(&b"not zstd at all"[..]).unwrap_err().0, 1);
        // What was changed by hand, so that each line is one.
        let logged = lines.iter().position(|line| line.contains("two\\nlines")).unwrap();
        for (from, to, expected) in [
            (lines[3], lines[3].replace("\"node\":0", "\"node\":1"), "don't fit its checkpoints"),
            (lines[3], lines[3].replace("\"step\":3", "\"step\":4"), "event 3 is numbered 4"),
            (lines[logged], lines[logged].replace("two", "six"), "don't fit its digests"),
            (
                lines[0],
                lines[0].replacen(&trace().digest.to_string(), &Digest(1).to_string(), 1),
                "don't fit its digests",
            ),
        ] {
            assert_ne!(from, to);
            let (_, problem) = read_text(&whole.replacen(from, &to, 1)).unwrap_err();
            assert!(problem.contains(expected), "{problem}");
        }
        let mut cut = zstd::encode_all(whole.as_bytes(), 1).unwrap();
        cut.truncate(cut.len() - 5);
        assert!(read_lines(&*cut).is_err());
    }
}
