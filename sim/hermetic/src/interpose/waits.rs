//! Sleeps and waits: they are named, and those with a time limit return at once.

use std::ffi::{c_int, c_long, c_uint};
use std::sync::atomic::{AtomicU32, Ordering};

use super::clocks::{Clock, real_monotonic_ns};
use super::real::real;
use super::syscall::real_syscall;
use super::{errno, nanoseconds, set_errno};
use crate::lock_step::Waited;
use crate::thread::{ask, node_code_runs, report, shown_monotonic_ns, timespec};
use crate::{Escape, UNTIMED_WAIT_GRACE_NS, is_stepped_thread, lock_step, park};

/// Names a sleep in place of sleeping, or lets a thread in lock step stand still; false if node code doesn't run here.
fn skip_sleep(ns: u64) -> bool {
    if ns == 0 {
        return node_code_runs();
    }
    if lock_step::wait(None, Some(ns)).is_some() {
        return true;
    }
    report(|| Escape::BlockingSleep { ns })
}

/// Sleeps; in node code it only names the sleep.
///
/// # Safety
///
/// As of libc's own: `wanted` is valid, and `left` is null or valid for writing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nanosleep(wanted: *const libc::timespec, left: *mut libc::timespec) -> c_int {
    // SAFETY: the caller keeps the contract of the function.
    unsafe {
        if node_code_runs() && nanoseconds(*wanted).is_some_and(skip_sleep) {
            return 0;
        }
        real!(nanosleep(wanted => *const libc::timespec, left => *mut libc::timespec) -> c_int)
    }
}

/// Sleeps for a time, or until one; in node code it only names the sleep.
///
/// # Safety
///
/// As of libc's own: `wanted` is valid, and `left` is null or valid for writing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clock_nanosleep(
    id: libc::clockid_t,
    flags: c_int,
    wanted: *const libc::timespec,
    left: *mut libc::timespec,
) -> c_int {
    // SAFETY: the caller keeps the contract of the function.
    unsafe {
        if node_code_runs()
            && let Some(wanted) = nanoseconds(*wanted)
        {
            let ns = if flags & libc::TIMER_ABSTIME == 0 {
                Some(wanted)
            } else {
                ask(|host| Clock::of(id).read(host)).flatten().map(|now| wanted.saturating_sub(now))
            };
            if ns.is_some_and(skip_sleep) {
                return 0;
            }
        }
        real!(clock_nanosleep(
            id => libc::clockid_t,
            flags => c_int,
            wanted => *const libc::timespec,
            left => *mut libc::timespec
        ) -> c_int)
    }
}

/// Sleeps for microseconds; in node code it only names the sleep.
///
/// # Safety
///
/// None; libc's own is declared as unsafe.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn usleep(microseconds: c_uint) -> c_int {
    if node_code_runs() && skip_sleep(u64::from(microseconds) * 1_000) {
        return 0;
    }
    // SAFETY: any number is valid.
    unsafe { real!(usleep(microseconds => c_uint) -> c_int) }
}

/// Sleeps for seconds; in node code it only names the sleep.
///
/// # Safety
///
/// None; libc's own is declared as unsafe.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sleep(seconds: c_uint) -> c_uint {
    if node_code_runs() && skip_sleep(u64::from(seconds) * 1_000_000_000) {
        return 0;
    }
    // SAFETY: any number is valid.
    unsafe { real!(sleep(seconds => c_uint) -> c_uint) }
}

/// A wait on a futex from node code; `None` for the calls that aren't waits, which the kernel is to answer.
///
/// # Safety
///
/// As of the system call.
pub(super) unsafe fn futex(call: [c_long; 6]) -> Option<c_long> {
    let [word, operation, expected, limit, ..] = call;
    let word = word as *const u32;
    let operation = operation as c_int;
    let limit = limit as *const libc::timespec;
    let command = operation & !(libc::FUTEX_PRIVATE_FLAG | libc::FUTEX_CLOCK_REALTIME);
    let is_wait = command == libc::FUTEX_WAIT || command == libc::FUTEX_WAIT_BITSET;
    if !is_wait || word.is_null() || !word.is_aligned() {
        return None;
    }
    if limit.is_null() {
        // SAFETY: the caller keeps the contract of the call.
        return Some(unsafe { futex_without_limit(call, command) });
    }
    // SAFETY: a limit that isn't null is valid by the contract.
    let limit = nanoseconds(unsafe { *limit })?;
    // SAFETY: the word of a futex is valid, and is only accessed atomically.
    if unsafe { AtomicU32::from_ptr(word.cast_mut()) }.load(Ordering::SeqCst) != expected as u32 {
        set_errno(libc::EAGAIN);
        return Some(-1);
    }
    let timeout_ns = if command == libc::FUTEX_WAIT {
        limit
    } else {
        // This one takes a deadline, which the caller worked out from the host's clock.
        let is_monotonic = operation & libc::FUTEX_CLOCK_REALTIME == 0;
        let shown_ns = if is_monotonic { shown_monotonic_ns() } else { None };
        let clock = if is_monotonic { Clock::Monotonic } else { Clock::Wall };
        limit.saturating_sub(shown_ns.or_else(|| ask(|host| clock.read(host)).flatten())?)
    };
    if !park::skips(timeout_ns) {
        if let Some(waited) = lock_step::wait(Some((word as usize, expected as u32)), Some(timeout_ns)) {
            return Some(result_of(waited));
        }
        report(|| Escape::BlockingWait { timeout_ns: Some(timeout_ns) });
    }
    set_errno(libc::ETIMEDOUT);
    Some(-1)
}

/// What a futex wait gives back that has ended so.
fn result_of(waited: Waited) -> c_long {
    match waited {
        Waited::Woken => 0,
        Waited::TimedOut => {
            set_errno(libc::ETIMEDOUT);
            -1
        }
    }
}

/// A futex wait without a time limit: mostly a lock that another thread holds for a moment, which is no escape.
///
/// # Safety
///
/// As of the system call.
unsafe fn futex_without_limit(call: [c_long; 6], command: c_int) -> c_long {
    let [word, operation, expected, _, second_word, bits] = call;
    // SAFETY: the word of a futex is valid, and is only accessed atomically.
    let holds_expected = || unsafe { AtomicU32::from_ptr(word as *mut u32) }.load(Ordering::SeqCst) == expected as u32;
    if is_stepped_thread() && node_code_runs() {
        if !holds_expected() {
            set_errno(libc::EAGAIN);
            return -1;
        }
        if let Some(waited) = lock_step::wait(Some((word as usize, expected as u32)), None) {
            return result_of(waited);
        }
    }
    let grace = if command == libc::FUTEX_WAIT {
        timespec(UNTIMED_WAIT_GRACE_NS)
    } else {
        timespec(real_monotonic_ns() + UNTIMED_WAIT_GRACE_NS)
    };
    // Without a limit the flag meant nothing; the grace is measured with the monotonic clock.
    let measured = operation & !c_long::from(libc::FUTEX_CLOCK_REALTIME);
    let first = [word, measured, expected, (&raw const grace) as c_long, second_word, bits];
    // SAFETY: the caller keeps the contract of the call, and `grace` lives longer than it.
    let result = unsafe { real_syscall(libc::SYS_futex, first) };
    if result != -1 || errno() != libc::ETIMEDOUT {
        return result;
    }
    report(|| Escape::BlockingWait { timeout_ns: None });
    // SAFETY: the caller keeps the contract of the call.
    unsafe { real_syscall(libc::SYS_futex, call) }
}

/// How long a wait for real descriptors may really take.
enum Patience {
    Not,
    Grace,
    Forever,
}

/// Waits for real descriptors in node code: `wait` does so as long as it is told, and returns 0 if nothing was ready.
fn wait_for_descriptors(timeout_ns: Option<u64>, mut wait: impl FnMut(Patience) -> c_int) -> c_int {
    let first = wait(if timeout_ns.is_some() { Patience::Not } else { Patience::Grace });
    if first != 0 || timeout_ns == Some(0) {
        return first;
    }
    report(|| Escape::BlockingWait { timeout_ns });
    if timeout_ns.is_some() { 0 } else { wait(Patience::Forever) }
}

/// The time limit of `poll` and its like: milliseconds, or none if negative.
fn limit_of(milliseconds: c_int) -> Option<u64> {
    u64::try_from(milliseconds).ok().map(|milliseconds| milliseconds * 1_000_000)
}

impl Patience {
    /// As `poll` and its like take it.
    fn milliseconds(&self) -> c_int {
        match self {
            Patience::Not => 0,
            Patience::Grace => (UNTIMED_WAIT_GRACE_NS / 1_000_000) as c_int,
            Patience::Forever => -1,
        }
    }
}

/// Waits for descriptors; in node code a wait with a limit returns at once, and is named.
///
/// # Safety
///
/// As of libc's own: `descriptors` is valid for `count` of them.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn poll(descriptors: *mut libc::pollfd, count: libc::nfds_t, milliseconds: c_int) -> c_int {
    // SAFETY: the caller keeps the contract of the function.
    let wait = |milliseconds| unsafe {
        real!(poll(
            descriptors => *mut libc::pollfd,
            count => libc::nfds_t,
            milliseconds => c_int
        ) -> c_int)
    };
    if !node_code_runs() {
        return wait(milliseconds);
    }
    wait_for_descriptors(limit_of(milliseconds), |patience| wait(patience.milliseconds()))
}

/// Waits for descriptors; in node code a wait with a limit returns at once, and is named.
///
/// # Safety
///
/// As of libc's own: `descriptors` is valid for `count` of them, `limit` and `signals` are null or valid.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ppoll(
    descriptors: *mut libc::pollfd,
    count: libc::nfds_t,
    limit: *const libc::timespec,
    signals: *const libc::sigset_t,
) -> c_int {
    // SAFETY: the caller keeps the contract of the function.
    let wait = |limit: *const libc::timespec| unsafe {
        real!(ppoll(
            descriptors => *mut libc::pollfd,
            count => libc::nfds_t,
            limit => *const libc::timespec,
            signals => *const libc::sigset_t
        ) -> c_int)
    };
    if !node_code_runs() {
        return wait(limit);
    }
    let timeout_ns = if limit.is_null() {
        None
    } else {
        // SAFETY: a limit that isn't null is valid by the contract.
        match nanoseconds(unsafe { *limit }) {
            // The kernel is to refuse it.
            None => return wait(limit),
            timeout_ns => timeout_ns,
        }
    };
    wait_for_descriptors(timeout_ns, |patience| match patience {
        Patience::Not => wait(&timespec(0)),
        Patience::Grace => wait(&timespec(UNTIMED_WAIT_GRACE_NS)),
        Patience::Forever => wait(std::ptr::null()),
    })
}

/// Waits for events; in node code a wait with a limit returns at once, and is named.
///
/// # Safety
///
/// As of libc's own: `events` is valid for writing `count` of them.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn epoll_wait(
    epoll: c_int,
    events: *mut libc::epoll_event,
    count: c_int,
    milliseconds: c_int,
) -> c_int {
    // SAFETY: the caller keeps the contract of the function.
    let wait = |milliseconds| unsafe {
        real!(epoll_wait(
            epoll => c_int,
            events => *mut libc::epoll_event,
            count => c_int,
            milliseconds => c_int
        ) -> c_int)
    };
    if !node_code_runs() {
        return wait(milliseconds);
    }
    wait_for_descriptors(limit_of(milliseconds), |patience| wait(patience.milliseconds()))
}

/// Waits for events; in node code a wait with a limit returns at once, and is named.
///
/// # Safety
///
/// As of libc's own: `events` is valid for writing `count` of them, and `signals` is null or valid.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn epoll_pwait(
    epoll: c_int,
    events: *mut libc::epoll_event,
    count: c_int,
    milliseconds: c_int,
    signals: *const libc::sigset_t,
) -> c_int {
    // SAFETY: the caller keeps the contract of the function.
    let wait = |milliseconds| unsafe {
        real!(epoll_pwait(
            epoll => c_int,
            events => *mut libc::epoll_event,
            count => c_int,
            milliseconds => c_int,
            signals => *const libc::sigset_t
        ) -> c_int)
    };
    if !node_code_runs() {
        return wait(milliseconds);
    }
    wait_for_descriptors(limit_of(milliseconds), |patience| wait(patience.milliseconds()))
}
