//! Code that may end the process that executes it, or never come back, tried in a copy first.

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, WaitStatus, kill_process_group, set_parent_process_death_signal, setpgid};
use squall_hermetic::process::{Forked, exit_at_once, fork};

use super::pool::{is_own, signal_in_words};
use super::printed_at_last;
use super::zygote::{LOOK, end, has_ended, kill};

/// So much of what it prints is kept.
const PRINTED_BYTES: usize = 4_096;

/// What a copy says where the code came back.
const CAME_BACK: u8 = b'B';

/// Calls `code` in a copy of this process. What that prints isn't seen, unless it ends there, or is ended because it takes longer than
/// `time_max`: then how, and what it printed at last. Where this process can't be copied, nothing is tried.
pub(crate) fn comes_back(time_max: Duration, code: impl FnOnce()) -> Result<(), String> {
    let (Ok((mut printed, to_print)), Ok((mut word, mut to_say))) = (UnixStream::pair(), UnixStream::pair()) else {
        return Ok(());
    };
    // What is still to be written would be written twice.
    let _ = io::stdout().flush();
    match fork() {
        Ok(Forked::Child) => {
            let _ = setpgid(None, None);
            let _ = set_parent_process_death_signal(Some(Signal::KILL));
            drop((printed, word));
            if rustix::stdio::dup2_stdout(&to_print).and_then(|()| rustix::stdio::dup2_stderr(&to_print)).is_ok() {
                code();
                let _ = io::stdout().flush();
            }
            let _ = to_say.write_all(&[CAME_BACK]);
            exit_at_once(0)
        }
        Ok(Forked::Parent(child)) => {
            drop((to_print, to_say));
            let Some(pid) = Pid::from_raw(child) else { return Ok(()) };
            let (in_time, printed) = printed_by(pid, &mut printed, Instant::now() + time_max);
            if !in_time {
                kill(pid);
            }
            let ended = end(pid);
            // What it has started may hold this as well.
            let _ = word.set_nonblocking(true);
            let came_back = matches!(word.read(&mut [0]), Ok(1));
            let how = match ended {
                _ if !in_time => format!("it is still under way after {time_max:?} of real time"),
                Ok(status) if !came_back => in_words(status),
                _ => return Ok(()),
            };
            Err(how + &printed_at_last(&String::from_utf8_lossy(&printed)))
        }
        Err(_) => Ok(()),
    }
}

/// The last of what a process prints until it has ended, and whether it has before the deadline.
fn printed_by(pid: Pid, from: &mut UnixStream, deadline: Instant) -> (bool, Vec<u8>) {
    let mut printed = Vec::new();
    let mut piece = [0; PRINTED_BYTES];
    let _ = from.set_read_timeout(Some(LOOK));
    loop {
        let ended = has_ended(pid);
        if ended {
            // What it has started may hold its output. Its number is its group's, and stays taken until it is waited for.
            let _ = kill_process_group(pid, Signal::KILL);
        }
        match from.read(&mut piece) {
            Ok(length @ 1..) => {
                printed.extend_from_slice(&piece[..length]);
                let excess = printed.len().saturating_sub(PRINTED_BYTES);
                printed.drain(..excess);
            }
            _ if ended => return (true, printed),
            // It is about to end, or has closed its output.
            Ok(0) => std::thread::sleep(Duration::from_millis(1)),
            Err(_) => {}
        }
        if Instant::now() >= deadline {
            return (false, printed);
        }
    }
}

fn in_words(status: WaitStatus) -> String {
    match (status.exit_status(), status.terminating_signal()) {
        (Some(code), _) => format!("it ended the process, with code {code}"),
        (None, Some(signal)) if is_own(signal) => format!("it made the process end by {}", signal_in_words(signal)),
        (None, Some(signal)) => format!("the process was killed by {}", signal_in_words(signal)),
        (None, None) => "the process ended".to_string(),
    }
}
