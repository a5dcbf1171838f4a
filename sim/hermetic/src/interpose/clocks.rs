//! Clocks: what the time is, for node code, is the run's business.

use std::ffi::{c_int, c_void};

use super::real::real;
use crate::Escape;
use crate::thread::{Host, ask, report, shown_monotonic, timespec};

/// Which of the run's two clocks stands for a clock of the kernel's.
pub(super) enum Clock {
    Monotonic,
    Wall,
    /// Counts processor time, which no run can know.
    Cpu,
    /// None that the kernel has.
    Unknown,
}

impl Clock {
    pub(super) fn of(id: libc::clockid_t) -> Clock {
        match id {
            libc::CLOCK_MONOTONIC
            | libc::CLOCK_MONOTONIC_RAW
            | libc::CLOCK_MONOTONIC_COARSE
            | libc::CLOCK_BOOTTIME
            | libc::CLOCK_BOOTTIME_ALARM => Clock::Monotonic,
            libc::CLOCK_REALTIME | libc::CLOCK_REALTIME_COARSE | libc::CLOCK_REALTIME_ALARM | libc::CLOCK_TAI => {
                Clock::Wall
            }
            libc::CLOCK_PROCESS_CPUTIME_ID | libc::CLOCK_THREAD_CPUTIME_ID => Clock::Cpu,
            // The clocks of other processes and threads have numbers made from their ids.
            id if id < 0 => Clock::Cpu,
            _ => Clock::Unknown,
        }
    }

    /// What the host says that this clock shows; `None` for those that the run doesn't keep.
    pub(super) fn read(&self, host: &dyn Host) -> Option<u64> {
        match self {
            Clock::Monotonic => Some(host.monotonic_ns()),
            Clock::Wall => Some(host.wall_ns()),
            Clock::Cpu | Clock::Unknown => None,
        }
    }
}

/// Reads a clock: the host's while node code runs, else the real one.
///
/// # Safety
///
/// As of libc's own: `out` is valid for writing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clock_gettime(id: libc::clockid_t, out: *mut libc::timespec) -> c_int {
    // What runtimes ask for, several times for each of their timers: nothing else is to be in its way, not even the room that asking takes.
    if id == libc::CLOCK_MONOTONIC
        && let Some(time) = shown_monotonic()
    {
        // SAFETY: the caller gave a place for the time.
        unsafe { out.write(time) };
        return 0;
    }
    // SAFETY: the caller keeps the contract of the function.
    unsafe { any_clock_gettime(id, out) }
}

/// The others, and outside of node code all.
///
/// # Safety
///
/// As of [`clock_gettime`].
#[inline(never)]
unsafe fn any_clock_gettime(id: libc::clockid_t, out: *mut libc::timespec) -> c_int {
    if id == libc::CLOCK_MONOTONIC
        && let Some(ns) = ask(|host| host.monotonic_ns())
    {
        // SAFETY: the caller gave a place for the time.
        unsafe { out.write(timespec(ns)) };
        return 0;
    }
    let clock = Clock::of(id);
    if let Some(Some(ns)) = ask(|host| clock.read(host)) {
        // SAFETY: the caller gave a place for the time.
        unsafe { out.write(timespec(ns)) };
        return 0;
    }
    if matches!(clock, Clock::Cpu) {
        report(|| Escape::CpuClock);
    }
    // SAFETY: the caller keeps the contract of the function.
    unsafe { real!(clock_gettime(id => libc::clockid_t, out => *mut libc::timespec) -> c_int) }
}

/// Reads the wall clock in microseconds: the host's while node code runs, else the real one.
///
/// # Safety
///
/// As of libc's own: `out` is valid for writing, and `zone` is null or valid for writing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn gettimeofday(out: *mut libc::timeval, zone: *mut c_void) -> c_int {
    if !out.is_null()
        && let Some(ns) = ask(|host| host.wall_ns())
    {
        let microseconds = ns / 1_000;
        let time = libc::timeval {
            tv_sec: (microseconds / 1_000_000) as libc::time_t,
            tv_usec: (microseconds % 1_000_000) as libc::suseconds_t,
        };
        // SAFETY: the caller gave a place for the time; two integers make up a zone.
        unsafe {
            out.write(time);
            if !zone.is_null() {
                zone.cast::<[c_int; 2]>().write([0, 0]);
            }
        }
        return 0;
    }
    // SAFETY: the caller keeps the contract of the function.
    unsafe { real!(gettimeofday(out => *mut libc::timeval, zone => *mut c_void) -> c_int) }
}

/// Reads the wall clock in seconds: the host's while node code runs, else the real one.
///
/// # Safety
///
/// As of libc's own: `out` is null or valid for writing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn time(out: *mut libc::time_t) -> libc::time_t {
    if let Some(ns) = ask(|host| host.wall_ns()) {
        let seconds = (ns / 1_000_000_000) as libc::time_t;
        if !out.is_null() {
            // SAFETY: a place that isn't null is valid, by the contract.
            unsafe { out.write(seconds) };
        }
        return seconds;
    }
    // SAFETY: the caller keeps the contract of the function.
    unsafe { real!(time(out => *mut libc::time_t) -> libc::time_t) }
}

/// The real monotonic clock, in nanoseconds.
pub(super) fn real_monotonic_ns() -> u64 {
    let mut now = timespec(0);
    // SAFETY: `now` is a place for the time.
    let result = unsafe {
        real!(clock_gettime(
            libc::CLOCK_MONOTONIC => libc::clockid_t,
            &raw mut now => *mut libc::timespec
        ) -> c_int)
    };
    debug_assert_eq!(result, 0);
    super::nanoseconds(now).unwrap_or(0)
}
