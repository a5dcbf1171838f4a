//! A check, in the running process, that libc's symbols really lead to this crate.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::rc::Rc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::{Escape, Host, enter, interpose, is_supported, set_node_code};

/// Why the interposition doesn't work in this process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SelfTestError(String);

impl fmt::Display for SelfTestError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "clocks and entropy aren't under the run's control: {}", self.0)
    }
}

impl std::error::Error for SelfTestError {}

/// Checks that the interposition works in this process, on a thread of its own; under a millisecond.
///
/// # Errors
///
/// When it isn't part of this build, or when something else defines one of the symbols first.
pub fn self_test() -> Result<(), SelfTestError> {
    if !is_supported() {
        return Err(SelfTestError("this platform isn't supported".into()));
    }
    for (name, own) in interpose::symbols() {
        if interpose::found_by_name(name) != own {
            let name = name.to_string_lossy();
            return Err(SelfTestError(format!("`{name}` is found elsewhere by name")));
        }
    }
    // Two threads that are told the same must see the same.
    let first = observe()?;
    let second = observe()?;
    if first != second {
        return Err(SelfTestError("std's map order differs between equal runs".into()));
    }
    Ok(())
}

/// What a known host leads std to on a fresh thread: a keyed hash.
fn observe() -> Result<u64, SelfTestError> {
    let thread = std::thread::spawn(|| {
        let host = Rc::new(Known::default());
        let guard = enter(host.clone());
        let before = set_node_code(true);
        let start = Instant::now();
        let passed = start.elapsed();
        let wall = SystemTime::now();
        let hash = RandomState::new().hash_one(0_u64);
        let started = Instant::now();
        std::thread::sleep(Duration::from_nanos(Known::STEP_NS));
        let slept = started.elapsed();
        set_node_code(before);
        let fresh = guard.thread_was_fresh();
        drop(guard);
        let complaint = if !fresh {
            "std's map keys aren't drawn from the run"
        } else if passed != Duration::from_nanos(Known::STEP_NS) {
            "`Instant` isn't answered by the run"
        } else if wall != UNIX_EPOCH + Duration::from_nanos(Known::WALL_NS) {
            "`SystemTime` isn't answered by the run"
        } else if slept != Duration::from_nanos(Known::STEP_NS)
            || *host.escapes.borrow() != [Escape::BlockingSleep { ns: Known::STEP_NS }]
        {
            "a sleep isn't named"
        } else {
            return Ok(hash);
        };
        Err(SelfTestError(complaint.into()))
    });
    thread.join().unwrap_or_else(|_| Err(SelfTestError("the checking thread panicked".into())))
}

/// A host with known answers.
#[derive(Default)]
struct Known {
    reads: Cell<u64>,
    escapes: RefCell<Vec<Escape>>,
}

impl Known {
    const STEP_NS: u64 = 1_234_567;
    const WALL_NS: u64 = 981_173_106_000_000_007;
}

impl Host for Known {
    fn monotonic_ns(&self) -> u64 {
        self.reads.set(self.reads.get() + 1);
        self.reads.get() * Known::STEP_NS
    }

    fn wall_ns(&self) -> u64 {
        Known::WALL_NS
    }

    fn fill_entropy(&self, out: &mut [u8]) {
        out.fill(0x5a);
    }

    fn on_escape(&self, escape: Escape) {
        self.escapes.borrow_mut().push(escape);
    }
}
