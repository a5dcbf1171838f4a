//! Histories: which operations clients invoked, and what came back, in the order of time.
//!
//! As text a history is JSON lines, one an event:
//!
//! ```json
//! {"process":3,"type":"invoke","f":"write","key":"k","value":7,"time":123}
//! {"process":3,"type":"ok","f":"write","key":"k","value":7,"time":456}
//! ```
//!
//! `invoke` opens an operation of a process, which has one at a time. `ok` closes it with its result. `fail` says that it certainly did
//! not happen. `info` says that nobody knows: it stays open to the end, and that process invokes no more; so does what is still open
//! when the history ends. `key` (which object) and `time` (nanoseconds) may be left out; so may, on `ok` and `info`, `index`: the place that
//! the system itself gave the operation in its order, by which it is checked in linear time first.

use std::borrow::Cow;
use std::fmt;
use std::io::{BufRead, Read, Write};

use indexmap::IndexSet;
use serde::{Deserialize, Serialize};
use squall_trace::trace::format_ns;

use crate::value::Value;

/// No line is near that long, and reading one takes memory in proportion.
pub const LINE_BYTES_MAX: u64 = 16 << 20;

/// How much memory a history may take, about: who reads a file that somebody sent isn't to run out of it.
pub const HISTORY_BYTES_MAX: u64 = 2 << 30;

/// Lines that say nothing take memory as well, where something is kept for each.
const LINES_MAX: u32 = 1 << 28;

/// What an event says of an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EventType {
    /// It begins.
    Invoke,
    /// It has ended, and came to something.
    Ok,
    /// It certainly did not happen.
    Fail,
    /// Nobody knows whether it happened, or will.
    Info,
}

impl EventType {
    fn word(self) -> &'static str {
        match self {
            EventType::Invoke => "invoke",
            EventType::Ok => "ok",
            EventType::Fail => "fail",
            EventType::Info => "info",
        }
    }
}

/// One line of a history.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Event {
    /// Who: one operation at a time.
    pub process: u64,
    /// What is said.
    #[serde(rename = "type")]
    pub kind: EventType,
    /// The operation's name.
    pub f: Box<str>,
    /// Of which object, if there are several.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<Value>,
    /// What is asked, or what came back.
    #[serde(default)]
    pub value: Value,
    /// Nanoseconds since some moment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time: Option<u64>,
    /// The place in the system's own order.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub index: Option<u64>,
}

/// Where something is said in a history, from 1: at which of its events, or in which of the lines that it was read from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// The how-manieth.
    pub number: u32,
    /// Of the lines: empty ones count.
    pub is_line: bool,
}

impl Place {
    fn what(self) -> &'static str {
        if self.is_line { "line" } else { "event" }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.what(), self.number)
    }
}

/// An event as it stands in a line: as [`Event`], but that its name isn't copied, since almost all are known.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct EventInLine<'l> {
    process: u64,
    #[serde(rename = "type")]
    kind: EventType,
    #[serde(borrow)]
    f: Cow<'l, str>,
    #[serde(default)]
    key: Option<Value>,
    #[serde(default)]
    value: Value,
    #[serde(default)]
    time: Option<u64>,
    #[serde(default)]
    index: Option<u64>,
}

/// How an operation ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// With that result, at that event.
    Returned {
        /// The number of the event, from 1: see [`Place`].
        event: u32,
        /// What came back.
        result: Value,
    },
    /// Nobody knows whether it took effect, or will.
    Unknown,
}

/// An operation that may have taken effect. One that failed isn't there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Operation {
    /// Whose.
    pub process: u64,
    /// Its name: see [`History::name`].
    pub name: u32,
    /// Its object, below [`History::keys`]: see [`History::key`].
    pub key: u32,
    /// The number of the event with which it began, from 1: see [`Place`].
    pub invoked: u32,
    /// What was asked.
    pub argument: Value,
    /// How it ended.
    pub end: End,
    /// When it began, if that is known.
    pub invoked_ns: Option<u64>,
    /// When it returned.
    pub returned_ns: Option<u64>,
    /// Its place in the system's own order, if the system offers one.
    pub index: Option<u64>,
}

impl Operation {
    /// The number of the event with which it returned; past all others for one that nobody knows of.
    #[must_use]
    pub fn returned(&self) -> u32 {
        match self.end {
            End::Returned { event, .. } => event,
            End::Unknown => u32::MAX,
        }
    }

    /// The number of the last event that says something of it, but for `info`.
    pub(crate) fn said_last(&self) -> u32 {
        self.result().map_or(self.invoked, |_| self.returned())
    }

    /// What came back.
    #[must_use]
    pub fn result(&self) -> Option<&Value> {
        match &self.end {
            End::Returned { result, .. } => Some(result),
            End::Unknown => None,
        }
    }
}

type Interned<T> = IndexSet<T, foldhash::fast::FixedState>;

/// Operations in the order in which they began.
#[derive(Clone, Debug, Default)]
pub struct History {
    operations: Vec<Operation>,
    names: Interned<Box<str>>,
    keys: Interned<Option<Value>>,
    events: u32,
    are_lines: bool,
    failed: Vec<Operation>,
    /// Who the processes are, by their numbers, where it is of a run.
    clients: Vec<Box<str>>,
}

impl History {
    /// All that may have taken effect.
    #[must_use]
    pub fn operations(&self) -> &[Operation] {
        &self.operations
    }

    /// Those that certainly did not happen, in the order in which that was said. Their outcome is written [`End::Unknown`].
    #[must_use]
    pub fn failed(&self) -> &[Operation] {
        &self.failed
    }

    /// The name of an operation.
    #[must_use]
    pub fn name(&self, operation: &Operation) -> &str {
        &self.names[operation.name as usize]
    }

    /// The object of an operation, if it has one.
    #[must_use]
    pub fn key(&self, operation: &Operation) -> Option<&Value> {
        self.keys[operation.key as usize].as_ref()
    }

    /// How many objects there are: every index of a key is below.
    #[must_use]
    pub fn keys(&self) -> usize {
        self.keys.len()
    }

    /// The number of its last event; 0 if there is none.
    #[must_use]
    pub fn events(&self) -> u32 {
        self.events
    }

    /// Where that event is.
    #[must_use]
    pub fn place(&self, event: u32) -> Place {
        Place { number: event, is_line: self.are_lines }
    }

    /// Whether it is known of any operation what it came to. Where it isn't, nothing can be wrong.
    #[must_use]
    pub fn says_something(&self) -> bool {
        self.operations.iter().any(|operation| operation.result().is_some())
    }

    /// How many operations there were, with those that certainly did not happen.
    #[must_use]
    pub fn invoked(&self) -> u64 {
        (self.operations.len() + self.failed.len()) as u64
    }

    /// With who the processes are, by their numbers. The times are those of a run then, and operations are told with both.
    #[must_use]
    pub fn of_clients(self, clients: impl IntoIterator<Item = Box<str>>) -> History {
        History { clients: clients.into_iter().collect(), ..self }
    }

    /// Whose an operation is by name, where the history is [of clients](History::of_clients).
    #[must_use]
    pub fn client(&self, operation: &Operation) -> Option<&str> {
        let process = usize::try_from(operation.process).ok()?;
        self.clients.get(process).map(|client| &**client)
    }

    /// An operation in a line: `process 3: write k 7 -> null`, with the lines that say so, or in a run with the client and the virtual times.
    #[must_use]
    pub fn sentence(&self, operation: &Operation) -> String {
        let client = self.client(operation);
        let time = |time: Option<u64>| format_ns(time.unwrap_or_default());
        let who = client.map_or_else(String::new, |client| format!(" ({client})"));
        let mut text = format!("process {}{who}: {}", operation.process, self.name(operation));
        if let Some(key) = self.key(operation) {
            text.push_str(&format!(" {key}"));
        }
        if operation.argument != Value::Null {
            text.push_str(&format!(" {}", operation.argument));
        }
        match &operation.end {
            End::Returned { event, result } => {
                let is_repeated = *result == operation.argument && *result != Value::Null;
                let result = if is_repeated { String::new() } else { format!(" -> {result}") };
                text.push_str(&match client {
                    Some(_) => format!("{result} ({} to {})", time(operation.invoked_ns), time(operation.returned_ns)),
                    None => {
                        let what = self.place(*event).what();
                        format!("{result} ({what}s {} to {event})", operation.invoked)
                    }
                });
            }
            End::Unknown if client.is_some() => {
                text.push_str(&format!(" -> unknown (from {} on)", time(operation.invoked_ns)));
            }
            End::Unknown => text.push_str(&format!(" -> unknown (from {} on)", self.place(operation.invoked))),
        }
        text
    }
}

/// What is wrong with an event.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Mistake {
    /// It closes what nobody opened.
    #[error("`{kind}` of process {process}, which has no operation open")]
    NothingOpen {
        /// Whose.
        process: u64,
        /// Its type.
        kind: &'static str,
    },
    /// It opens a second one.
    #[error("process {process} invokes again, while its operation of {open} is open: a process has one at a time")]
    OpenAlready {
        /// Whose.
        process: u64,
        /// What opened the first.
        open: Place,
    },
    /// It goes on though nobody knows what became of its last one.
    #[error("process {process} invokes after its `info`: whoever goes on is another process")]
    AfterInfo {
        /// Whose.
        process: u64,
    },
    /// It closes another one than is open.
    #[error("`{kind}` of process {process} is of {found}, and what it has open since {open} is {expected}")]
    Another {
        /// Whose.
        process: u64,
        /// Its type.
        kind: &'static str,
        /// What it says.
        found: String,
        /// What is open.
        expected: String,
        /// Since when.
        open: Place,
    },
    /// It was before.
    #[error("its time is {time}, and an event before it has {before}: events are in the order of time")]
    Earlier {
        /// Its own.
        time: u64,
        /// The one before.
        before: u64,
    },
    /// A place in an order is of what has happened.
    #[error("an `index` on `{kind}`: it is of an operation that took effect, on `ok` or `info`")]
    NoIndex {
        /// Its type.
        kind: &'static str,
    },
    /// There is too much of it.
    #[error("the history takes more than {} GiB of memory: give a part of it, its keys apart from each other", HISTORY_BYTES_MAX >> 30)]
    TooLarge,
}

/// What a process is at.
#[derive(Clone, Copy, Debug)]
enum At {
    Open(u32),
    /// After `info`.
    Over,
}

/// Makes a history of events, one after the other.
#[derive(Debug, Default)]
pub struct Builder {
    history: History,
    /// Failed ones are taken out at the end: `None`.
    operations: Vec<Option<Operation>>,
    processes: indexmap::IndexMap<u64, Option<At>, foldhash::fast::FixedState>,
    last_ns: u64,
    bytes: u64,
}

impl Builder {
    /// A history of nothing yet.
    #[must_use]
    pub fn new() -> Builder {
        Builder::default()
    }

    /// Adds an event that stands in that line, from 1, behind those of all others so far.
    fn push_line(&mut self, line: u64, event: EventInLine<'_>) -> Result<(), Mistake> {
        let line = u32::try_from(line).ok().filter(|line| *line <= LINES_MAX).ok_or(Mistake::TooLarge)?;
        let before = std::mem::replace(&mut self.history.events, line - 1);
        self.history.are_lines = true;
        self.take(event).inspect_err(|_| self.history.events = before)
    }

    /// Adds the next event.
    ///
    /// # Errors
    /// If it can't come next. Then it isn't added.
    pub fn push(&mut self, event: Event) -> Result<(), Mistake> {
        let Event { process, kind, f, key, value, time, index } = event;
        self.take(EventInLine { process, kind, f: Cow::Borrowed(&f), key, value, time, index })
    }

    fn take(&mut self, event: EventInLine<'_>) -> Result<(), Mistake> {
        let EventInLine { process, kind, f, key, value, time, index } = event;
        if let Some(time) = time {
            if time < self.last_ns {
                return Err(Mistake::Earlier { time, before: self.last_ns });
            }
            self.last_ns = time;
        }
        if index.is_some() && matches!(kind, EventType::Invoke | EventType::Fail) {
            return Err(Mistake::NoIndex { kind: kind.word() });
        }
        let number = self.history.events.checked_add(1).filter(|number| *number < u32::MAX).ok_or(Mistake::TooLarge)?;
        let of_processes = (self.processes.len() as u64 + 1) * (size_of::<(u64, Option<At>)>() as u64 + 16);
        let at = self.processes.entry(process).or_default();
        if kind == EventType::Invoke {
            match at {
                Some(At::Open(index)) => {
                    let open = self.operations[*index as usize].as_ref().map_or(0, |operation| operation.invoked);
                    let open = self.history.place(open);
                    return Err(Mistake::OpenAlready { process, open });
                }
                Some(At::Over) => return Err(Mistake::AfterInfo { process }),
                None => {}
            }
            self.bytes += size_of::<Operation>() as u64 + value.bytes_beside();
            if self.bytes + of_processes > HISTORY_BYTES_MAX {
                return Err(Mistake::TooLarge);
            }
            *at = Some(At::Open(self.operations.len() as u32));
            let names = &mut self.history.names;
            let name = names.get_index_of(&*f).unwrap_or_else(|| {
                self.bytes += size_of::<Box<str>>() as u64 + 16 + f.len() as u64;
                names.insert_full(f.into()).0
            });
            let (key, is_new) = self.history.keys.insert_full(key);
            if is_new {
                let beside = self.history.keys[key].as_ref().map_or(0, Value::bytes_beside);
                self.bytes += size_of::<Value>() as u64 + 16 + beside;
            }
            self.operations.push(Some(Operation {
                process,
                name: name as u32,
                key: key as u32,
                invoked: number,
                argument: value,
                end: End::Unknown,
                invoked_ns: time,
                returned_ns: None,
                index: None,
            }));
            self.history.events = number;
            return Ok(());
        }
        let Some(At::Open(open)) = *at else {
            return Err(Mistake::NothingOpen { process, kind: kind.word() });
        };
        let slot = &mut self.operations[open as usize];
        let operation = slot.as_mut().expect("what is open hasn't failed");
        let (opened_f, opened_key) =
            (&self.history.names[operation.name as usize], &self.history.keys[operation.key as usize]);
        if **opened_f != *f || key.is_some() && key != *opened_key {
            let said = |f: &str, key: &Option<Value>| match key {
                Some(key) => format!("{f:?} of key {key}"),
                None => format!("{f:?}"),
            };
            return Err(Mistake::Another {
                process,
                kind: kind.word(),
                found: said(&f, &key),
                expected: said(opened_f, opened_key),
                open: self.history.place(operation.invoked),
            });
        }
        *at = None;
        match kind {
            EventType::Ok => {
                self.bytes += value.bytes_beside();
                if self.bytes > HISTORY_BYTES_MAX {
                    return Err(Mistake::TooLarge);
                }
                operation.end = End::Returned { event: number, result: value };
                operation.returned_ns = time;
                operation.index = index;
            }
            EventType::Info => {
                operation.index = index;
                *at = Some(At::Over);
            }
            EventType::Fail => {
                self.history.failed.extend(slot.take());
            }
            EventType::Invoke => unreachable!("handled above"),
        }
        self.history.events = number;
        Ok(())
    }

    /// The history so far: nobody knows what becomes of what is still open.
    #[must_use]
    pub fn finish(self) -> History {
        let operations = self.operations.into_iter().flatten().collect();
        History { operations, ..self.history }
    }
}

/// Why a history can't be read.
#[derive(Debug, thiserror::Error)]
#[error("line {line}: {problem}")]
pub struct ReadError {
    /// Which, from 1.
    pub line: u64,
    /// What is wrong with it.
    pub problem: String,
}

/// Reads JSON lines. Empty lines count, and say nothing.
///
/// # Errors
/// The first line that is wrong, and what is wrong with it.
pub fn read(mut lines: impl BufRead) -> Result<History, ReadError> {
    let mut builder = Builder::new();
    let mut bytes = Vec::new();
    let mut line = 0;
    loop {
        line += 1;
        bytes.clear();
        let error = |problem: String| ReadError { line, problem };
        let mut limited = Read::take(&mut lines, LINE_BYTES_MAX + 1);
        let length = limited.read_until(b'\n', &mut bytes).map_err(|problem| error(problem.to_string()))?;
        if length == 0 {
            return Ok(builder.finish());
        }
        if length as u64 > LINE_BYTES_MAX {
            return Err(error(format!("it is longer than {LINE_BYTES_MAX} bytes")));
        }
        match bytes.trim_ascii_start().first() {
            None => continue,
            // A list of the values would be taken for an event.
            Some(b'[') => return Err(error("it is a list: expected an object, as {\"process\":0,…}".to_string())),
            Some(_) => {}
        }
        // Without its end, a line that is cut off ends where it is cut.
        let event = serde_json::from_slice(bytes.trim_ascii_end()).map_err(|problem| error(in_line(&problem)))?;
        builder.push_line(line, event).map_err(|mistake| error(mistake.to_string()))?;
    }
}

/// Without the line that the parser of one line counts.
fn in_line(problem: &serde_json::Error) -> String {
    let text = problem.to_string();
    match text.rsplit_once(" at line 1 column ") {
        Some((what, column)) => format!("{what}, at column {column}"),
        None => text,
    }
}

/// Writes an event as a line.
///
/// # Errors
/// What the system says.
pub fn write_event(mut out: impl Write, event: &Event) -> std::io::Result<()> {
    serde_json::to_writer(&mut out, event)?;
    out.write_all(b"\n")
}

impl fmt::Display for EventType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_text(text: &str) -> Result<History, String> {
        read(text.as_bytes()).map_err(|error| error.to_string())
    }

    fn line(process: u64, kind: &str, f: &str, more: &str) -> String {
        format!("{{\"process\":{process},\"type\":\"{kind}\",\"f\":\"{f}\"{more}}}\n")
    }

    #[test]
    fn operations_are_closed_by_what_closes_them() {
        let text = [
            line(1, "invoke", "write", ",\"key\":\"k\",\"value\":7,\"time\":5"),
            line(2, "invoke", "read", ",\"key\":\"k\",\"value\":null,\"time\":5"),
            line(1, "ok", "write", ",\"key\":\"k\",\"value\":7,\"time\":9,\"index\":3"),
            "\n".to_string(),
            line(2, "fail", "read", ",\"time\":10"),
            line(3, "invoke", "write", ",\"key\":\"k\",\"value\":8"),
            line(3, "info", "write", ",\"key\":\"k\""),
            line(1, "invoke", "read", ",\"key\":\"other\",\"value\":null"),
        ];
        let history = read_text(&text.concat()).unwrap();
        let said: Vec<String> = history.operations().iter().map(|operation| history.sentence(operation)).collect();
        assert_eq!(
            said,
            [
                "process 1: write \"k\" 7 (lines 1 to 3)",
                "process 3: write \"k\" 8 -> unknown (from line 6 on)",
                "process 1: read \"other\" -> unknown (from line 8 on)",
            ]
        );
        assert_eq!((history.invoked(), history.events(), history.keys()), (4, 8, 2));
        assert_eq!(history.operations()[0].index, Some(3));
        assert_eq!(history.operations()[0].returned_ns, Some(9));
    }

    #[test]
    fn mistakes_are_told_with_their_line() {
        let write = |kind: &str| line(1, kind, "write", ",\"key\":\"k\",\"value\":7");
        let (invoke, ok) = (write("invoke"), write("ok"));
        for (text, expected) in [
            (format!("{ok}{invoke}"), "line 1: `ok` of process 1, which has no operation open"),
            (format!("{invoke}{ok}{ok}"), "line 3: `ok` of process 1, which has no operation open"),
            (format!("{invoke}{invoke}"), "line 2: process 1 invokes again, while its operation of line 1 is open"),
            (format!("{invoke}{}{invoke}", write("info")), "line 3: process 1 invokes after its `info`"),
            (format!("{invoke}{}{ok}", write("info")), "line 3: `ok` of process 1, which has no operation open"),
            (format!("{invoke}{}", line(1, "ok", "read", "")), "line 2: `ok` of process 1 is of \"read\", and what"),
            (format!("{invoke}{}", line(1, "ok", "write", ",\"key\":\"j\"")), "is of \"write\" of key \"j\""),
            (
                format!("{}{}", line(1, "invoke", "a", ",\"time\":5"), line(1, "ok", "a", ",\"time\":4")),
                "line 2: its time is 4, and an event before it has 5",
            ),
            (line(1, "invoke", "a", ",\"index\":5"), "line 1: an `index` on `invoke`"),
            (line(1, "invoked", "a", ""), "line 1: unknown variant `invoked`"),
            (line(1, "invoke", "a", ",\"clock\":5"), "line 1: unknown field `clock`"),
            ("{\"process\":-1,\"type\":\"ok\",\"f\":\"a\"}".to_string(), "line 1: invalid value: integer `-1`"),
            (format!("{invoke}{}", &ok[..20]), "line 2: EOF while parsing a value, at column 20"),
            (format!("{invoke}[]\n"), "line 2: it is a list: expected an object"),
            ("\n[0,\"invoke\",\"write\",\"k\",1,5,null]".to_string(), "line 2: it is a list: expected an object"),
            ("\n\nnull".to_string(), "line 3: "),
            (line(1, "invoke", "a", ",\"value\":0.5"), "line 1: invalid type: floating point `0.5`"),
        ] {
            let problem = read_text(&text).unwrap_err();
            assert!(problem.starts_with("line ") && problem.contains(expected), "{text}{problem}");
        }
        assert!(read(&b"\xff\n"[..]).is_err());
        // A mistake isn't added: the builder goes on as if it hadn't come.
        let mut builder = Builder::new();
        let event = |text: &str| serde_json::from_str::<Event>(text).unwrap();
        builder.push(event(&invoke)).unwrap();
        builder.push(event(&invoke)).unwrap_err();
        builder.push(event(&ok)).unwrap();
        assert_eq!(builder.finish().operations().len(), 1);
    }

    /// A line that never ends is given up, and costs no more memory than the longest line.
    #[test]
    fn a_line_has_a_length() {
        let beginning = "{\"process\":1,\"type\":\"invoke\",\"f\":\"a\",\"value\":\"";
        let long = |length: u64| {
            let text = beginning.as_bytes().chain(std::io::repeat(b'x').take(length - beginning.len() as u64 - 3));
            read(std::io::BufReader::new(text.chain(&b"\"}\n"[..])))
        };
        assert_eq!(long(LINE_BYTES_MAX).unwrap().operations().len(), 1);
        let problem = long(LINE_BYTES_MAX + 1).unwrap_err().to_string();
        assert_eq!(problem, "line 1: it is longer than 16777216 bytes");
    }

    /// There is one number of a line, and a column within the line.
    #[test]
    fn a_line_that_is_cut_off_says_so() {
        let whole = line(1, "invoke", "write", ",\"value\":7");
        let text = format!("{whole}{{\"process\":1,\"type\":\"o\n");
        let problem = read_text(&text).unwrap_err();
        assert_eq!(problem, "line 2: EOF while parsing a string, at column 22");
    }

    /// Whatever takes the memory.
    #[test]
    fn a_history_has_a_size() {
        let of_name = |length: usize, bytes: u64| {
            let mut builder = Builder { bytes, ..Builder::new() };
            let mut push = |process: u64, f: &str| {
                let kind = EventType::Invoke;
                builder.push(Event {
                    process,
                    kind,
                    f: f.into(),
                    key: None,
                    value: Value::Null,
                    time: None,
                    index: None,
                })
            };
            push(1, &"x".repeat(length)).and_then(|()| push(2, "x"))
        };
        let nearly = HISTORY_BYTES_MAX - 1_000;
        assert_eq!(of_name(1, nearly), Ok(()));
        assert_eq!(of_name(1_000, nearly), Err(Mistake::TooLarge));
    }

    #[test]
    fn an_event_is_written_as_it_is_read() {
        for text in [
            "{\"process\":3,\"type\":\"invoke\",\"f\":\"write\",\"key\":\"k\",\"value\":7,\"time\":123}\n",
            "{\"process\":3,\"type\":\"ok\",\"f\":\"read\",\"value\":null,\"index\":4}\n",
        ] {
            let mut written = Vec::new();
            write_event(&mut written, &serde_json::from_str(text).unwrap()).unwrap();
            assert_eq!(String::from_utf8(written).unwrap(), text);
        }
    }
}
