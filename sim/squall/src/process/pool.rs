//! The side that asks: zygotes, started when they are needed and used again.

use std::collections::VecDeque;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use squall_trace::{Observer, Record, Recorded, Recorder};

use super::protocol::{ENDED, Ended, FORK, Hello, MADE, Reply, SAID, read_line, write_line};
use super::zygote::{MARK_BYTES, mark};
use super::{Called, Death, Reported, Request, printed_at_last};
use crate::runner::WorldError;

/// How long a zygote may take to start.
const START_MAX: Duration = Duration::from_secs(60);

/// How long beyond the time that a poll may take a child may say nothing, before it is ended.
const SILENCE_GRACE: Duration = Duration::from_secs(20);

/// So much of what a child printed is kept, for when it doesn't end well.
const OUTPUT_KEPT_BYTES: usize = 4_096;

/// How long the last of what a child printed is waited for once it has ended. It comes at once, unless whoever reads this process's
/// own output has stopped.
const OUTPUT_WAIT_MAX: Duration = Duration::from_secs(60);

/// The same for a zygote that can't be used any more: perhaps nothing comes.
const BROKEN_WAIT_MAX: Duration = Duration::from_secs(2);

/// Makes processes for the runs of one world.
pub struct Processes {
    command: Box<dyn Fn() -> io::Result<Command> + Send + Sync>,
    memory_bytes_max: Option<u64>,
    idle: Mutex<Vec<Zygote>>,
    /// Why addresses differ from process to process, if they do.
    randomised: OnceLock<Option<String>>,
}

impl Processes {
    /// Processes that are copies of the one that `command` starts: this program, in a way that leads it to the same world.
    pub(crate) fn new(command: impl Fn() -> io::Result<Command> + Send + Sync + 'static) -> Processes {
        Processes {
            command: Box::new(command),
            memory_bytes_max: None,
            idle: Mutex::default(),
            randomised: OnceLock::new(),
        }
    }

    /// A run whose process wants more memory than that (heap, stacks and other private memory that can be written) fails.
    #[must_use]
    pub(crate) fn memory_bytes_max(mut self, bytes: Option<u64>) -> Processes {
        self.memory_bytes_max = bytes;
        self
    }

    /// Why address randomisation couldn't be switched off, if it couldn't. Known once something was run.
    #[must_use]
    pub fn randomised(&self) -> Option<&str> {
        self.randomised.get()?.as_deref()
    }

    /// Runs one request.
    pub(crate) fn run(&self, mut request: Request, observer: &mut dyn Observer) -> Result<Reported, WorldError> {
        request.memory_bytes_max = self.memory_bytes_max;
        let idle = self.idle().pop();
        let mut zygote = match idle {
            Some(zygote) => zygote,
            None => self.start()?,
        };
        match zygote.run(&request, observer) {
            Ok(reported) => {
                self.idle().push(zygote);
                reported
            }
            // One whose talk failed is dropped, and so ended.
            Err(error) => Ok(Reported::Lost(zygote.lost(&error))),
        }
    }

    fn idle(&self) -> MutexGuard<'_, Vec<Zygote>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn start(&self) -> Result<Zygote, WorldError> {
        if !super::is_supported() {
            let text = "runs in processes of their own need Linux: use isolation = \"thread\" here";
            return Err(WorldError::NoProcess(text.to_string()));
        }
        let unstarted =
            |error: io::Error| WorldError::NoProcess(format!("a process for runs can't be started: {error}"));
        let mut zygote = (self.command)().and_then(Zygote::start).map_err(unstarted)?;
        let hello = zygote.hello().map_err(|error| zygote.broken(&error))?;
        let _ = self.randomised.set(hello.randomised);
        Ok(zygote)
    }
}

impl std::fmt::Debug for Processes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Processes").field("memory_bytes_max", &self.memory_bytes_max).finish_non_exhaustive()
    }
}

/// A process that forks.
struct Zygote {
    process: Child,
    control: UnixStream,
    output: Arc<Printed>,
    /// How many children it was asked for.
    children: u64,
    /// The child that runs now, if there is one.
    child: Option<Pid>,
}

impl Zygote {
    fn start(mut command: Command) -> io::Result<Zygote> {
        let (control, theirs) = UnixStream::pair()?;
        control.set_read_timeout(Some(START_MAX))?;
        command.stdin(Stdio::from(OwnedFd::from(theirs))).stdout(Stdio::null()).stderr(Stdio::piped());
        // A Ctrl-C is for this process: it isn't to look as if runs were killed.
        command.process_group(0);
        let mut process = command.spawn()?;
        // The parent's end of its standard input would keep it alive.
        drop(command);
        let output = Arc::new(Printed::default());
        let printed = process.stderr.take();
        if let Some(printed) = printed {
            let output = Arc::clone(&output);
            let forward = move || forward(printed, &output);
            std::thread::Builder::new().name("squall process output".to_string()).spawn(forward)?;
        }
        Ok(Zygote { process, control, output, children: 0, child: None })
    }

    fn hello(&mut self) -> io::Result<Hello> {
        let hello: Option<Hello> = read_line(&mut BufReader::new(&mut self.control))?;
        let hello = hello.ok_or_else(|| io::Error::other("it ended before it was ready"))?;
        if hello.version != env!("CARGO_PKG_VERSION") {
            return Err(io::Error::other("the program was built again meanwhile"));
        }
        Ok(hello)
    }

    /// The outer error is the zygote's, the inner one the run's.
    fn run(&mut self, request: &Request, observer: &mut dyn Observer) -> io::Result<Result<Reported, WorldError>> {
        let silence_max = request.hang_after.saturating_add(SILENCE_GRACE);
        self.control.set_read_timeout(Some(silence_max.saturating_add(SILENCE_GRACE)))?;
        self.children += 1;
        let silence_ms = u32::try_from(silence_max.as_millis()).unwrap_or(u32::MAX);
        let mut order = [FORK; 5];
        order[1..].copy_from_slice(&silence_ms.to_le_bytes());
        self.control.write_all(&order)?;
        write_line(&mut io::BufWriter::new(&mut self.control), request)?;
        let mut said =
            BufReader::new(Said { control: &mut self.control, child: &mut self.child, left: 0, ended: None });
        let mut recorded = Recorded::default();
        let mut called = None;
        let mut result = None;
        while let Some(reply) = read_line::<Reply<'_>>(&mut said)? {
            match reply {
                Reply::Alive => {}
                Reply::Event(event) => {
                    if observer.interest().contains_code(event.kind.code()) {
                        observer.on_event(&event);
                    }
                    if request.record == Record::Full {
                        recorded.on_event(&event);
                    }
                }
                Reply::Perturbation { perturbation, again } => recorded.on_perturbation(&perturbation, again),
                Reply::Task(id, info) => recorded.on_task(id, &info),
                Reply::Flow(id, info) => recorded.on_flow(id, &info),
                Reply::ClientCalls { number, at_ns } => recorded.on_call(number, at_ns),
                Reply::ClientAnswered { number, at_ns } => recorded.on_answer(number, at_ns),
                Reply::Calls(now) => called = Some(now),
                Reply::Done(outcome) => {
                    let recorded = std::mem::take(&mut recorded);
                    let outcome = outcome.with_recorded(recorded).reduced(request.record);
                    result = Some(Ok(Reported::Done(Box::new(outcome))));
                }
                Reply::NoRun(error) => result = Some(Err(error.into())),
                Reply::Hung { events } => result = Some(Ok(Reported::Hung { events, called: called.take() })),
            }
        }
        let ended = said.into_inner().ended.ok_or(io::ErrorKind::UnexpectedEof)?;
        self.child = None;
        if let Some(result) = result {
            return Ok(result);
        }
        Ok(Ok(match ended {
            Ended::Silent => Reported::Lost(SILENT.to_string()),
            Ended::Replaced => {
                let (printed, _) = self.output.of_child(self.children, OUTPUT_WAIT_MAX);
                let how = "executed another program in place of its own".to_string();
                Reported::Died(Death { property: "exit", how, called, printed })
            }
            Ended::Exited(_) => Reported::Died(self.death(None, request.memory_bytes_max, called)),
            Ended::Signalled(signal) => Reported::Died(self.death(Some(signal), request.memory_bytes_max, called)),
        }))
    }

    /// What to say of a child that ended without an outcome: by that signal, or by leaving.
    fn death(&self, signal: Option<i32>, memory_bytes_max: Option<u64>, called: Option<Called>) -> Death {
        let (printed, wanted_bytes) = self.output.of_child(self.children, OUTPUT_WAIT_MAX);
        let (property, how) = match (signal, wanted_bytes) {
            (None, _) => ("exit", "ended the process".to_string()),
            (Some(SIGABRT), Some(wanted)) => {
                let limit = match memory_bytes_max {
                    Some(bytes) => format!("the limit, {bytes} bytes, allows"),
                    None => "there is".to_string(),
                };
                ("memory", format!("wanted more memory than {limit} ({wanted} bytes at once)"))
            }
            (Some(signal), _) if is_own(signal) => {
                ("abort", format!("made the process end by {}", signal_in_words(signal)))
            }
            (Some(signal), _) => {
                let why = if signal == SIGKILL { ", for want of memory perhaps" } else { "" };
                ("killed", format!("ran when the process was killed by {}{why}", signal_in_words(signal)))
            }
        };
        Death { property, how, called, printed }
    }

    /// Why nobody knows what came of a run in the midst of which this couldn't be used any more.
    fn lost(&mut self, error: &io::Error) -> String {
        use io::ErrorKind::{BrokenPipe, ConnectionReset, UnexpectedEof};
        use std::os::unix::process::ExitStatusExt;
        let ended = matches!(error.kind(), UnexpectedEof | BrokenPipe | ConnectionReset);
        if !ended {
            let _ = self.process.kill();
        }
        let how = match self.process.wait() {
            Ok(status) if ended => match status.signal() {
                Some(signal) => format!("was killed by {}", signal_in_words(signal)),
                None => "ended".to_string(),
            },
            _ => format!("can't be used any more: {error}"),
        };
        // The child itself ends with its parent; what it has started is in its group.
        if let Some(child) = self.child.take() {
            let _ = kill_process_group(child, Signal::KILL);
        }
        let (printed, _) = self.output.of_child(self.children, BROKEN_WAIT_MAX);
        format!("while this run was on, the process that runs are copied from {how}{}", printed_at_last(&printed))
    }

    fn broken(&self, error: &io::Error) -> WorldError {
        let (said, _) = self.output.of_child(self.children, BROKEN_WAIT_MAX);
        let said = if said.is_empty() { String::new() } else { format!("\n{}", said.trim_end()) };
        WorldError::NoProcess(format!("the process that runs are copied from can't be used: {error}{said}"))
    }
}

/// What is said of a run that says nothing.
const SILENT: &str =
    "the run's process said nothing for so long that it was ended: was it stopped, or the machine asleep?";

const SIGABRT: i32 = 6;
const SIGKILL: i32 = 9;

/// How much memory a line says was wanted, if it is what Rust says where there is none: what it then does, after a backtrace perhaps, is to
/// abort.
fn wanted_bytes(line: &[u8]) -> Option<u64> {
    // It may stand behind something that has no end of its own.
    let line = String::from_utf8_lossy(line);
    let (_, words) = line.trim_end().rsplit_once("memory allocation of ")?;
    let bytes = words.strip_suffix(" bytes failed")?.parse().ok()?;
    (bytes > 0).then_some(bytes)
}

/// Whether it is a program's own mistakes that end it by that signal.
pub(super) fn is_own(signal: i32) -> bool {
    matches!(signal, 4..=8 | 11)
}

/// A signal's number and what it stands for.
pub(crate) fn signal_in_words(signal: i32) -> String {
    let name = match signal {
        4 => "illegal instruction",
        5 => "trap",
        6 => "abort",
        7 => "bus error",
        8 => "arithmetic exception",
        9 => "kill",
        11 => "segmentation fault",
        13 => "broken pipe",
        15 => "termination",
        24 => "limit on processor time",
        25 => "limit on the size of files",
        31 => "forbidden system call",
        _ => return format!("signal {signal}"),
    };
    format!("signal {signal} ({name})")
}

impl Drop for Zygote {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// What a child said, out of what the zygote passes on.
struct Said<'z> {
    control: &'z mut UnixStream,
    /// Which one it is.
    child: &'z mut Option<Pid>,
    /// So many bytes of the piece that is being read are left.
    left: usize,
    ended: Option<Ended>,
}

impl Read for Said<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.left == 0 {
            if self.ended.is_some() {
                return Ok(0);
            }
            let mut tag = [0];
            self.control.read_exact(&mut tag)?;
            match tag[0] {
                SAID => {
                    let mut length = [0; 4];
                    self.control.read_exact(&mut length)?;
                    self.left = u32::from_le_bytes(length) as usize;
                }
                MADE => {
                    let mut number = [0; 4];
                    self.control.read_exact(&mut number)?;
                    *self.child = Pid::from_raw(i32::from_le_bytes(number));
                }
                ENDED => {
                    let mut how = [0; 5];
                    self.control.read_exact(&mut how)?;
                    self.ended = Some(Ended::decode(how)?);
                }
                _ => return Err(io::Error::other("an unknown word")),
            }
        }
        let length = self.left.min(buffer.len());
        let read = self.control.read(&mut buffer[..length])?;
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.left -= read;
        Ok(read)
    }
}

/// What a zygote prints, and then each of its children.
#[derive(Default)]
struct Printed {
    kept: Mutex<Kept>,
    changed: Condvar,
}

#[derive(Default)]
struct Kept {
    /// The last of the piece that came last.
    last: VecDeque<u8>,
    /// How much memory it wanted in vain, if it said so.
    wanted_bytes: Option<u64>,
    /// How many pieces have come to their end: the zygote's own, then one for each child.
    ended: u64,
    /// What is kept has come to its end.
    is_whole: bool,
    /// Nothing more will come.
    over: bool,
}

impl Printed {
    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What that child has printed, once all of it has come. Child 0 is the zygote itself.
    fn of_child(&self, number: u64, wait_max: Duration) -> (String, Option<u64>) {
        let comes = |kept: &mut Kept| kept.ended <= number && !kept.over;
        let waited = self.changed.wait_timeout_while(self.kept(), wait_max, comes);
        let (mut kept, _) = waited.unwrap_or_else(PoisonError::into_inner);
        (String::from_utf8_lossy(kept.last.make_contiguous()).into_owned(), kept.wanted_bytes)
    }
}

impl Kept {
    /// Takes a line, and gives what of it was printed by a child.
    fn take<'l>(&mut self, line: &'l [u8]) -> &'l [u8] {
        if !line.is_empty() && std::mem::take(&mut self.is_whole) {
            self.last.clear();
            self.wanted_bytes = None;
        }
        // A program that prints one ends nothing, unless it knows how many came before.
        let (mark, length) = mark(self.ended);
        let unmarked = line.strip_suffix(&mark[..length]);
        let is_child_s = self.ended > 0;
        if unmarked.is_some() {
            self.is_whole = true;
            self.ended += 1;
        }
        let printed = unmarked.unwrap_or(line);
        self.wanted_bytes = self.wanted_bytes.or(wanted_bytes(printed));
        self.last.extend(printed);
        let excess = self.last.len().saturating_sub(OUTPUT_KEPT_BYTES);
        self.last.drain(..excess);
        if is_child_s { printed } else { &[] }
    }
}

/// A line without an end is passed on in pieces of that size.
const LINE_BYTES_MAX: u64 = 1 << 16;

/// Passes on what children print.
fn forward(from: impl Read, output: &Printed) {
    let mut from = BufReader::new(from);
    let mut line = Vec::new();
    loop {
        let read = from.by_ref().take(LINE_BYTES_MAX).read_until(b'\n', &mut line);
        let over = !matches!(read, Ok(1..));
        // A mark may be about to come: it isn't cut in two.
        let kept_back = if over || line.ends_with(b"\n") { 0 } else { MARK_BYTES };
        let rest = line.split_off(line.len().saturating_sub(kept_back));
        let whole = std::mem::replace(&mut line, rest);
        let printed = output.kept().take(&whole);
        output.changed.notify_all();
        if !printed.is_empty() {
            // Through the macro, which a test's harness captures, and which panics where nobody reads any more.
            let _ = std::panic::catch_unwind(|| eprint!("{}", String::from_utf8_lossy(printed)));
        }
        if over {
            break;
        }
    }
    output.kept().over = true;
    output.changed.notify_all();
}

#[cfg(test)]
mod tests {
    use super::*;

    /// However long the line is in which it stands.
    #[test]
    fn what_a_child_prints_ends_with_its_mark() {
        let marked = |number| {
            let (mark, length) = mark(number);
            mark[..length].to_vec()
        };
        for length in (0..3).chain(65_440..65_640) {
            let unended = vec![b'z'; length];
            let wants = b"busy\nmemory allocation of 77 bytes failed\nstack backtrace:\n".to_vec();
            let said = [b"starts\n".to_vec(), marked(0), unended.clone(), wants.clone(), marked(1), unended, marked(2)];
            let output = Printed::default();
            forward(&said[..5].concat()[..], &output);
            let (printed, wanted) = output.of_child(1, Duration::ZERO);
            assert!(printed.ends_with("busy\nmemory allocation of 77 bytes failed\nstack backtrace:\n"), "{printed}");
            assert_eq!((wanted, output.kept().ended), (Some(77), 2), "{length}");
            let output = Printed::default();
            forward(&said.concat()[..], &output);
            let (printed, wanted) = output.of_child(2, Duration::ZERO);
            assert_eq!((printed.len(), wanted, output.kept().ended), (length.min(OUTPUT_KEPT_BYTES), None, 3));
        }
    }

    #[test]
    fn want_of_memory_is_told_from_other_words() {
        for (line, wanted) in [
            ("memory allocation of 5 bytes failed\n", Some(5)),
            ("busy... memory allocation of 5 bytes failed\n", Some(5)),
            ("memory allocation of 0 bytes failed\n", None),
            ("memory allocation of many bytes failed\n", None),
            ("memory allocation of 5 bytes failed, said somebody\n", None),
        ] {
            assert_eq!(wanted_bytes(line.as_bytes()), wanted, "{line}");
        }
    }
}
