//! Code that may end the process that executes it, tried in a copy first.

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use rustix::process::{
    Pid, Signal, WaitId, WaitIdOptions, WaitStatus, set_parent_process_death_signal, setpgid, waitid,
};
use squall_hermetic::process::{Forked, exit_at_once, fork};

use super::pool::signal_name;
use super::printed_at_last;
use super::zygote::{MARK, end};

/// How often it is looked whether a copy has ended that something it started still prints for.
const LOOK: Duration = Duration::from_millis(50);

/// Calls `code` in a copy of this process. What that prints isn't seen, unless it ends there: then how, and what it printed at last. Where
/// this process can't be copied, nothing is tried.
pub(crate) fn comes_back(code: impl FnOnce()) -> Result<(), String> {
    let Ok((mut ours, theirs)) = UnixStream::pair() else { return Ok(()) };
    // What is still to be written would be written twice.
    let _ = io::stdout().flush();
    match fork() {
        Ok(Forked::Child) => {
            let _ = setpgid(None, None);
            let _ = set_parent_process_death_signal(Some(Signal::KILL));
            drop(ours);
            if rustix::stdio::dup2_stdout(&theirs).and_then(|()| rustix::stdio::dup2_stderr(&theirs)).is_ok() {
                code();
                let _ = io::stdout().flush();
            }
            let _ = io::stderr().write_all(MARK);
            exit_at_once(0)
        }
        Ok(Forked::Parent(child)) => {
            drop(theirs);
            let Some(pid) = Pid::from_raw(child) else { return Ok(()) };
            let printed = printed_by(pid, &mut ours);
            let ended = end(pid);
            match (printed.ends_with(MARK), ended) {
                (false, Ok(status)) => Err(in_words(status, &String::from_utf8_lossy(&printed))),
                _ => Ok(()),
            }
        }
        Err(_) => Ok(()),
    }
}

/// All up to the mark, or until it has ended.
fn printed_by(pid: Pid, from: &mut UnixStream) -> Vec<u8> {
    let mut printed = Vec::new();
    let mut piece = [0; 4_096];
    let _ = from.set_read_timeout(Some(LOOK));
    loop {
        match from.read(&mut piece) {
            Ok(0) => return printed,
            Ok(length) => {
                printed.extend_from_slice(&piece[..length]);
                if printed.ends_with(MARK) {
                    return printed;
                }
                // Only the last of it is told.
                let excess = printed.len().saturating_sub(piece.len());
                printed.drain(..excess);
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {
                let options = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT | WaitIdOptions::NOHANG;
                if !matches!(waitid(WaitId::Pid(pid), options), Ok(None)) {
                    return printed;
                }
            }
            Err(_) => return printed,
        }
    }
}

fn in_words(status: WaitStatus, printed: &str) -> String {
    let how = match (status.exit_status(), status.terminating_signal()) {
        (Some(code), _) => format!("it ended the process, with code {code}"),
        (None, Some(signal)) => match signal_name(signal) {
            Some(name) => format!("it made the process end by signal {signal} ({name})"),
            None => format!("the process was killed by signal {signal}"),
        },
        (None, None) => "the process ended".to_string(),
    };
    how + &printed_at_last(printed)
}
