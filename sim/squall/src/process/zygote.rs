//! The process that forks, and the child that runs.

use std::borrow::Cow;
use std::cell::RefCell;
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rustix::process::{
    Pid, Resource, Rlimit, Signal, WaitId, WaitIdOptions, WaitOptions, WaitStatus, getpid, getppid, kill_process,
    kill_process_group, set_parent_process_death_signal, setpgid, setrlimit, waitid, waitpid,
};
use squall_hermetic::process::{
    Forked, end_by_file_size_limit, exit_at_once, fork, is_address_randomisation_off, switch_off_address_randomisation,
};
use squall_trace::target::NoObserver;
use squall_trace::{Event, EventMask, FlowId, FlowInfo, Perturbation, Record, Recorder, TaskId, TaskInfo};

use super::protocol::{Ended, FORK, Hello, MADE, NoRun, Reply, SAID, read_line, write_line};
use super::{Request, Wanted};
use squall_engine::Call;

use crate::engine::TellCall;
use crate::runner::{Attempt, Circumstances, Simulation};

/// Set for a zygote: which world it is to know.
const VARIABLE: &str = "SQUALL_ZYGOTE";

/// Set when a zygote has executed itself again.
const AGAIN_VARIABLE: &str = "SQUALL_ZYGOTE_AGAIN";

/// How often it is looked whether a process has ended that is silent: what it started may hold its stream.
pub(super) const LOOK: Duration = Duration::from_millis(50);

/// How long a child whose stream is closed may take to end.
const LEAVE_MAX: Duration = Duration::from_secs(1);

/// How long a [`mark`] may be.
pub(super) const MARK_BYTES: usize = 48;

/// Ends a piece of output, the run's of that number, that is to be told apart from what follows. Nothing is allocated.
pub(super) fn mark(number: u64) -> ([u8; MARK_BYTES], usize) {
    let mut line = [0; MARK_BYTES];
    let mut rest = &mut line[..];
    writeln!(rest, "\0squall: end of output {number}\0").expect("there is room for twenty digits");
    let length = MARK_BYTES - rest.len();
    (line, length)
}

/// Prints it, in one piece.
fn print_mark(number: u64) -> io::Result<()> {
    let (line, length) = mark(number);
    io::stderr().write_all(&line[..length])
}

impl Wanted {
    /// Makes a zygote of a command that starts this program.
    pub fn ask(&self, command: &mut Command) {
        let text = serde_json::to_string(self).unwrap_or_default();
        command.env(VARIABLE, text).env_remove(AGAIN_VARIABLE);
    }
}

/// The world that this process is to be the zygote of, if it is to be one.
pub(crate) fn wanted() -> Option<Wanted> {
    let text = std::env::var(VARIABLE).ok()?;
    serde_json::from_str(&text).ok()
}

/// Serves runs of a world until nobody wants any more.
pub(crate) fn serve(simulation: &Simulation) -> ! {
    let randomised = match without_randomisation() {
        Ok(()) => None,
        Err(error) => Some(error.to_string()),
    };
    let code = match serve_from(simulation, randomised) {
        Ok(()) => 0,
        Err(error) => {
            let _ = writeln!(io::stderr(), "squall: the process that runs are copied from ended: {error}");
            1
        }
    };
    exit_at_once(code)
}

/// Executes this program again without address randomisation; returns where that is so already.
fn without_randomisation() -> io::Result<()> {
    if is_address_randomisation_off() {
        return Ok(());
    }
    if std::env::var_os(AGAIN_VARIABLE).is_some() {
        return Err(io::Error::other("it is on again after having been switched off"));
    }
    switch_off_address_randomisation()?;
    Err(super::this_program()?.args(std::env::args_os().skip(1)).env(AGAIN_VARIABLE, "1").exec())
}

fn serve_from(simulation: &Simulation, randomised: Option<String>) -> io::Result<()> {
    // The parent gave its end as standard input.
    let mut control = UnixStream::from(io::stdin().as_fd().try_clone_to_owned()?);
    rustix::stdio::dup2_stdin(std::fs::File::open("/dev/null")?)?;
    io::stdout().flush()?;
    rustix::stdio::dup2_stdout(io::stderr())?;
    // What a test's harness has printed so far is nobody's business.
    print_mark(0)?;
    write_line(&mut control, &Hello { version: env!("CARGO_PKG_VERSION").to_string(), randomised })?;
    let mut buffer = [0; 1 << 16];
    let parent = getppid();
    let mut number = 0;
    loop {
        let mut order = [0; 5];
        match control.read_exact(&mut order) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(()),
            Err(error) => return Err(error),
        }
        let [FORK, silence @ ..] = order else { return Err(io::Error::other("an unknown order")) };
        let silence_max = Duration::from_millis(u64::from(u32::from_le_bytes(silence)).max(1));
        let (mut ours, theirs) = UnixStream::pair()?;
        number += 1;
        match fork()? {
            Forked::Child => {
                drop(ours);
                run_one(simulation, &mut control, theirs);
                exit_at_once(0)
            }
            Forked::Parent(child) => {
                drop(theirs);
                let ended = pass_on(&mut ours, &mut control, child, parent, silence_max, &mut buffer)?;
                // What it printed is told apart from what others print.
                print_mark(number)?;
                control.write_all(&ended.encode())?;
            }
        }
    }
}

/// Passes on what a child says until it has ended. Nothing is allocated here.
fn pass_on(
    from: &mut UnixStream,
    to: &mut UnixStream,
    child: i32,
    parent: Option<Pid>,
    silence_max: Duration,
    buffer: &mut [u8],
) -> io::Result<Ended> {
    let pid = Pid::from_raw(child).ok_or_else(|| io::Error::other("a child without a number"))?;
    from.set_read_timeout(Some(LOOK.min(silence_max)))?;
    let mut silent_since = Instant::now();
    let (mut silent, mut replaced, mut ended) = (false, false, false);
    loop {
        match from.read(buffer) {
            Ok(0) => {
                // Its end closes the stream, and so does its executing another program.
                replaced = !ends_within(pid, LEAVE_MAX);
                if replaced {
                    kill(pid);
                }
                break;
            }
            Ok(length) => {
                let mut head = [SAID; 5];
                head[1..].copy_from_slice(&(length as u32).to_le_bytes());
                let passed = to.write_all(&head).and_then(|()| to.write_all(&buffer[..length]));
                if let Err(error) = passed {
                    // Nobody listens any more.
                    kill(pid);
                    let _ = end(pid);
                    return Err(error);
                }
                // Who listens may be slow.
                silent_since = Instant::now();
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {
                if getppid() != parent {
                    // Nobody listens any more, and the child may be silent for long.
                    kill(pid);
                    let _ = end(pid);
                    return Err(io::ErrorKind::BrokenPipe.into());
                }
                if ended {
                    // All that it said is read. What it has started is in a session of its own, and holds the stream.
                    break;
                }
                ended = has_ended(pid);
                if ended {
                    let _ = kill_process_group(pid, Signal::KILL);
                } else if silent_since.elapsed() >= silence_max {
                    silent = true;
                    kill(pid);
                    break;
                }
            }
            // It ended with something unread: as good as an end.
            Err(_) => break,
        }
    }
    let status = end(pid)?;
    Ok(match status.terminating_signal() {
        _ if silent => Ended::Silent,
        _ if replaced => Ended::Replaced,
        Some(signal) => Ended::Signalled(signal),
        None => Ended::Exited(status.exit_status().unwrap_or(-1)),
    })
}

/// Waits for a child to end, so long at the most. Whether it has.
fn ends_within(pid: Pid, time_max: Duration) -> bool {
    const BETWEEN: Duration = Duration::from_millis(1);
    let begun = Instant::now();
    loop {
        match has_ended(pid) {
            true => return true,
            false if begun.elapsed() >= time_max => return false,
            false => std::thread::sleep(BETWEEN),
        }
    }
}

/// Whether a child has ended that isn't waited for yet.
pub(super) fn has_ended(pid: Pid) -> bool {
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT | WaitIdOptions::NOHANG;
    !matches!(waitid(WaitId::Pid(pid), options), Ok(None) | Err(rustix::io::Errno::INTR))
}

/// Ends a child and what is in its group, whether it has come to make one or not.
pub(super) fn kill(pid: Pid) {
    let _ = kill_process(pid, Signal::KILL);
    let _ = kill_process_group(pid, Signal::KILL);
}

/// Waits for a child to end, then ends what it has started and left behind in its group.
pub(super) fn end(pid: Pid) -> io::Result<WaitStatus> {
    // Its number is its group's: it stays taken until the child is waited for.
    while let Err(rustix::io::Errno::INTR) = waitid(WaitId::Pid(pid), WaitIdOptions::EXITED | WaitIdOptions::NOWAIT) {}
    let _ = kill_process_group(pid, Signal::KILL);
    loop {
        match waitpid(Some(pid), WaitOptions::empty()) {
            Ok(Some((_, status))) => return Ok(status),
            Ok(None) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// So much of what a child says is kept back before it is sent.
const SAID_BYTES: usize = 1 << 16;

/// Runs one plan in a child and says what came of it.
fn run_one(simulation: &Simulation, control: &mut UnixStream, reply: UnixStream) {
    // A group of its own: what kills it kills nobody else, and what it starts can be ended with it.
    let _ = setpgid(None, None);
    let _ = set_parent_process_death_signal(Some(Signal::KILL));
    // It says so itself, and before anything else: it may kill its parent before that comes to say it, and leave what it has started.
    let mut made = [MADE; 5];
    made[1..].copy_from_slice(&getpid().as_raw_pid().to_le_bytes());
    if control.write_all(&made).is_err() {
        return;
    }
    // The program's own files are as they are elsewhere.
    end_by_file_size_limit(true);
    let Ok(Some(request)) = read_line::<Request>(&mut BufReader::new(control)) else { return };
    let stream = Mutex::new(BufWriter::with_capacity(SAID_BYTES, reply));
    let reply = Arc::new(Reporter { stream, passing_ns: AtomicU64::new(0) });
    if request.quiet
        && let Ok(nowhere) = std::fs::File::options().write(true).open("/dev/null")
    {
        let _ = rustix::stdio::dup2_stdout(&nowhere);
        let _ = rustix::stdio::dup2_stderr(&nowhere);
    }
    if let Some(bytes) = request.memory_bytes_max {
        let limit = Rlimit { current: Some(bytes), maximum: Some(bytes) };
        if let Err(error) = setrlimit(Resource::Data, limit) {
            let text = format!("a limit on memory of {bytes} bytes can't be set: {error}");
            return reply.say(&Reply::NoRun(NoRun::NoProcess(text)));
        }
    }
    let tell_call = request.tell_calls_from.map(|from| {
        let reply = Arc::clone(&reply);
        Box::new(move |call: &Call<'_>| {
            if call.events >= from {
                reply.say(&Reply::Calls(call.into()));
            }
        }) as TellCall
    });
    let on_look = || {
        reply.say(&Reply::Alive);
        Duration::from_nanos(reply.passing_ns.load(Ordering::Relaxed))
    };
    let passes_on = PassesOn { record: request.record, interest: request.interest, reply: Arc::clone(&reply) };
    let circumstances = Circumstances {
        tell_call,
        events_max: request.events_max,
        on_look: Some(&on_look),
        recorder: Some(Box::new(RefCell::new(passes_on))),
    };
    let simulation = simulation.clone().hang_after(request.hang_after);
    match simulation.attempt(&request.plan, Record::Full, &mut NoObserver, circumstances) {
        Ok(Attempt::Done(outcome)) => reply.say(&Reply::Done(outcome)),
        Ok(Attempt::Hung { events }) => reply.say(&Reply::Hung { events }),
        Err(error) => reply.say(&Reply::NoRun(error.into())),
    }
}

struct Reporter {
    stream: Mutex<BufWriter<UnixStream>>,
    /// How long the run's thread has waited for what was recorded to be passed on.
    passing_ns: AtomicU64,
}

impl Reporter {
    /// Says what can wait until there is more of it.
    fn pass(&self, reply: &Reply<'_>) {
        self.write(|stream| {
            // Not the program's time: whoever reads may be slow, and the poll that is under way isn't to look as if it hung.
            let begun = Instant::now();
            let written = write_line(stream, reply);
            self.passing_ns.fetch_add(begun.elapsed().as_nanos() as u64, Ordering::Relaxed);
            written
        });
    }

    fn say(&self, reply: &Reply<'_>) {
        self.write(|stream| write_line(stream, reply).and_then(|()| stream.flush()));
    }

    fn write(&self, write: impl FnOnce(&mut BufWriter<UnixStream>) -> io::Result<()>) {
        // The program's code may be under way: that this waits for whoever reads is none of its doing.
        let written = squall_hermetic::outside_node_code(|| {
            let mut stream = self.stream.lock().unwrap_or_else(PoisonError::into_inner);
            write(&mut stream)
        });
        if written.is_err() {
            // Nobody listens.
            exit_at_once(1);
        }
    }
}

/// Passes on what is to be recorded, and what somebody wants to see.
struct PassesOn {
    record: Record,
    interest: EventMask,
    reply: Arc<Reporter>,
}

impl Recorder for PassesOn {
    fn on_event(&mut self, event: &Event<'_>) {
        if self.record == Record::Full || self.interest.contains_code(event.kind.code()) {
            self.reply.pass(&Reply::Event(Cow::Borrowed(event)));
        }
    }

    fn on_perturbation(&mut self, perturbation: &Perturbation, again: bool) {
        if self.record >= Record::Perturbations {
            self.reply.pass(&Reply::Perturbation { perturbation: *perturbation, again });
        }
    }

    fn on_task(&mut self, id: TaskId, info: &TaskInfo) {
        if self.record >= Record::Perturbations {
            self.reply.pass(&Reply::Task(id, Cow::Borrowed(info)));
        }
    }

    fn on_flow(&mut self, id: FlowId, info: &FlowInfo) {
        if self.record >= Record::Perturbations {
            self.reply.pass(&Reply::Flow(id, Cow::Borrowed(info)));
        }
    }

    fn on_call(&mut self, number: u64, at_ns: u64) {
        if self.record >= Record::Perturbations {
            self.reply.pass(&Reply::ClientCalls { number, at_ns });
        }
    }

    fn on_answer(&mut self, number: u64, at_ns: u64) {
        if self.record >= Record::Perturbations {
            self.reply.pass(&Reply::ClientAnswered { number, at_ns });
        }
    }
}
