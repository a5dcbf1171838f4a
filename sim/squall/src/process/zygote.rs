//! The process that forks, and the child that runs.

use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustix::process::{Pid, Resource, Rlimit, Signal, WaitOptions, kill_process, setrlimit, waitpid};
use squall_hermetic::process::{
    Forked, exit_at_once, fork, is_address_randomisation_off, switch_off_address_randomisation,
};
use squall_trace::{Event, EventMask, Observer, Record};

use super::protocol::{Ended, FORK, Hello, Reply, SAID, read_frame, write_frame};
use super::{Request, Wanted};
use crate::runner::{Attempt, Circumstances, Simulation, TellPoll};

/// Set for a zygote: which world it is to know.
const VARIABLE: &str = "SQUALL_ZYGOTE";

/// Set when a zygote has executed itself again.
const AGAIN_VARIABLE: &str = "SQUALL_ZYGOTE_AGAIN";

/// Ends each piece of output that is to be told apart from what follows.
pub const MARK: &[u8] = b"\0squall: end of output\0\n";

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
    let program = std::env::current_exe()?;
    Err(Command::new(program).args(std::env::args_os().skip(1)).env(AGAIN_VARIABLE, "1").exec())
}

fn serve_from(simulation: &Simulation, randomised: Option<String>) -> io::Result<()> {
    // The parent gave its end as standard input.
    let mut control = UnixStream::from(io::stdin().as_fd().try_clone_to_owned()?);
    rustix::stdio::dup2_stdin(std::fs::File::open("/dev/null")?)?;
    io::stdout().flush()?;
    rustix::stdio::dup2_stdout(io::stderr())?;
    // What a test's harness has printed so far is nobody's business.
    io::stderr().write_all(MARK)?;
    write_frame(&mut control, &Hello { version: env!("CARGO_PKG_VERSION").to_string(), randomised })?;
    let mut buffer = [0; 1 << 16];
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
        match fork()? {
            Forked::Child => {
                drop(ours);
                run_one(simulation, &mut control, theirs);
                exit_at_once(0)
            }
            Forked::Parent(child) => {
                drop(theirs);
                let ended = pass_on(&mut ours, &mut control, child, silence_max, &mut buffer)?;
                // What it printed is told apart from what others print. One may end by itself as if all were well, so it is always marked.
                io::stderr().write_all(MARK)?;
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
    silence_max: Duration,
    buffer: &mut [u8],
) -> io::Result<Ended> {
    let pid = Pid::from_raw(child).ok_or_else(|| io::Error::other("a child without a number"))?;
    from.set_read_timeout(Some(silence_max))?;
    let mut silent = false;
    loop {
        match from.read(buffer) {
            Ok(0) => break,
            Ok(length) => {
                let mut head = [SAID; 5];
                head[1..].copy_from_slice(&(length as u32).to_le_bytes());
                let passed = to.write_all(&head).and_then(|()| to.write_all(&buffer[..length]));
                if let Err(error) = passed {
                    // Nobody listens any more.
                    let _ = kill_process(pid, Signal::KILL);
                    return Err(error);
                }
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {
                silent = true;
                let _ = kill_process(pid, Signal::KILL);
                break;
            }
            // It ended with something unread: as good as an end.
            Err(_) => break,
        }
    }
    let status = loop {
        match waitpid(Some(pid), WaitOptions::empty()) {
            Ok(Some((_, status))) => break status,
            Ok(None) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    };
    Ok(match (silent, status.terminating_signal()) {
        (true, _) => Ended::Silent,
        (false, Some(signal)) => Ended::Signalled(signal),
        (false, None) => Ended::Exited(status.exit_status().unwrap_or(-1)),
    })
}

/// Runs one plan in a child and says what came of it.
fn run_one(simulation: &Simulation, control: &mut UnixStream, reply: UnixStream) {
    let Ok(Some(request)) = read_frame::<Request>(control) else { return };
    let reply = Arc::new(Reporter { stream: Mutex::new(reply) });
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
            return reply.say(&Reply::NoRun(super::protocol::NoRun::NoProcess(text)));
        }
    }
    let tell_poll = request.tell_polls_from.map(|from| {
        let reply = Arc::clone(&reply);
        Box::new(move |label: &str, events: u64| {
            if events >= from {
                reply.say(&Reply::Polls { label: label.to_string() });
            }
        }) as TellPoll
    });
    let on_look = || reply.say(&Reply::Alive);
    let circumstances = Circumstances { tell_poll, events_max: request.events_max, on_look: Some(&on_look) };
    let simulation = simulation.clone().hang_after(request.hang_after);
    let mut pass = PassEvents { interest: request.interest, reply: Arc::clone(&reply) };
    match simulation.attempt(&request.plan, Record::Full, &mut pass, circumstances) {
        Ok(Attempt::Done(outcome)) => reply.say(&Reply::Done(Box::new(outcome.reduced(request.record)))),
        Ok(Attempt::Hung { events }) => reply.say(&Reply::Hung { events }),
        Err(error) => reply.say(&Reply::NoRun(error.into())),
    }
}

struct Reporter {
    stream: Mutex<UnixStream>,
}

impl Reporter {
    fn say(&self, reply: &Reply) {
        let mut stream = self.stream.lock().unwrap_or_else(PoisonError::into_inner);
        if write_frame(&mut *stream, reply).is_err() {
            // Nobody listens.
            exit_at_once(1);
        }
    }
}

struct PassEvents {
    interest: EventMask,
    reply: Arc<Reporter>,
}

impl Observer for PassEvents {
    fn interest(&self) -> EventMask {
        self.interest
    }

    fn on_event(&mut self, event: &Event<'_>) {
        self.reply.say(&Reply::Event(event.clone().into_owned()));
    }
}
