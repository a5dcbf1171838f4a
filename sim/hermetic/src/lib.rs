//! Interposes libc, so that the clocks and the entropy of a simulated run repeat from its seed.
//!
//! A run is executed on one operating-system thread, a fresh one each time. While *node code* runs on it (the user's
//! code being polled), the calls that would bring in the outside world are answered by the run's [`Host`]; on every
//! other thread, and on this one outside node code, they go to libc untouched.
//!
//! ```no_run
//! # use std::rc::Rc;
//! # fn example(host: Rc<dyn squall_hermetic::Host>) {
//! // On a fresh thread:
//! let guard = squall_hermetic::enter(host);
//! let before = squall_hermetic::set_node_code(true);
//! let _now = std::time::Instant::now(); // the host's
//! squall_hermetic::set_node_code(before);
//! drop(guard);
//! # }
//! ```
//!
//! # What is answered
//!
//! | function | answer |
//! |---|---|
//! | `clock_gettime`, `gettimeofday`, `time` | the host's clocks (`MONOTONIC`, `BOOTTIME`, …; `REALTIME`, `TAI`, …) |
//! | `getrandom`, `getentropy` | the host's entropy; an empty request doesn't reach it |
//! | `syscall` | as the functions above, for `SYS_getrandom`, `SYS_clock_gettime` and waits by `SYS_futex` |
//!
//! So `Instant`, `SystemTime`, the order of std's `HashMap`, `rand` and `getrandom` repeat, without flags or
//! patched crates.
//!
//! # What is named
//!
//! What a run can't make deterministic is told to the host as an [`Escape`], and then done for real: threads,
//! processes, sockets, name look-ups, files, directories, environment variables, clocks of processor time. Sleeps and
//! timed waits are an exception: they return at once, because the time that they wait for is virtual and doesn't go on
//! while node code runs. Code that waits in a loop for a deadline then spins (`mpsc::Receiver::recv_timeout` does), so
//! a host does well to move its clock on by what the escape tells, or to count. The standard input is another exception: it has nothing for node code. A wait without a time limit is mostly a
//! lock that another thread holds for a moment, and only told once it lasted [`UNTIMED_WAIT_GRACE_NS`].
//!
//! # Runtimes in a run
//!
//! A runtime that is driven by a run parks and has threads of its own. It says so beforehand: [`expect_park`] makes the wait that follows return at once and tell
//! how long it would have been, [`expect_thread`] makes the thread that follows one [in lock step](SteppedThread) with the run's.
//!
//! # How
//!
//! The crate defines libc's symbols. A symbol of the executable comes before that of any shared library, for calls by
//! name and for `dlsym(RTLD_DEFAULT, ..)`: the linkers that were tried (rust-lld, which rustc 1.95 takes by default,
//! and GNU ld and gold) export a symbol that a shared library defines too, without being told. The real functions are
//! found with `dlsym(RTLD_NEXT, ..)`. [`self_test()`] checks all that in the running process.
//!
//! # Limits
//!
//! - Tested on x86-64 Linux with glibc. Meant for AArch64 too, where it was neither built nor run. Elsewhere, and with
//!   a statically linked libc or under Miri, the crate compiles to functions that answer nothing, and [`is_supported`]
//!   is false. Because it calls foreign functions throughout, its unsafe code can't be checked by Miri.
//! - It must be linked into the executable. In a plug-in that is loaded at run time the symbols come too late. No other
//!   crate of the program may define the same symbols; madsim does. A program that has such a crate takes this one without
//!   its feature `interpose`, which is on by default: then it compiles to functions that answer nothing, as where it isn't supported.
//! - What doesn't call libc by name isn't seen: `rustix` on its own system calls, the processor's time-stamp
//!   counter (`quanta`, `minstant`) and its random numbers, and what libc calls within itself (its condition
//!   variables, `fgets` on a descriptor).
//! - Other sources of nondeterminism stay: addresses (the default hashers of hashbrown and ahash), statics that outlive
//!   a run, ids of threads and processes, the number of processors, file operations that open nothing.
//!
//! # What it costs
//!
//! `cargo run --release -p squall-hermetic --example overhead` measures it. On a shared two-core
//! virtual machine (rustc 1.95, thin link-time optimisation): [`set_node_code`] 1.5 ns; `Instant::now` passed on to
//! libc 29.6 ns, where libc's own `clock_gettime` takes 32 ns when called directly (so the difference is within the
//! noise); `Instant::now` answered by a cheap host 9 ns; a timed park, named and returned from, 64 ns.

#![deny(unsafe_op_in_unsafe_fn)]
// Only the interposition makes threads, skips waits and asks a host.
#![cfg_attr(
    not(all(
        feature = "interpose",
        target_os = "linux",
        target_env = "gnu",
        any(target_arch = "x86_64", target_arch = "aarch64"),
        target_pointer_width = "64",
        not(target_feature = "crt-static"),
        not(miri)
    )),
    allow(dead_code)
)]

mod escape;
pub mod fatal_signal;
mod fresh_thread;
mod handler_stack;
#[cfg(all(
    feature = "interpose",
    target_os = "linux",
    target_env = "gnu",
    any(target_arch = "x86_64", target_arch = "aarch64"),
    target_pointer_width = "64",
    not(target_feature = "crt-static"),
    not(miri)
))]
mod interpose;
mod lock_step;
mod park;
pub mod process;
mod self_test;
mod thread;

/// Stands in where the interposition isn't supported.
#[cfg(not(all(
    feature = "interpose",
    target_os = "linux",
    target_env = "gnu",
    any(target_arch = "x86_64", target_arch = "aarch64"),
    target_pointer_width = "64",
    not(target_feature = "crt-static"),
    not(miri)
)))]
mod interpose {
    use std::ffi::{CStr, c_void};

    pub(crate) const COMPILED: bool = false;

    pub(crate) fn link() {}

    pub(crate) fn symbols() -> [(&'static CStr, *const c_void); 0] {
        []
    }

    pub(crate) fn found_by_name(_: &CStr) -> *const c_void {
        std::ptr::null()
    }
}

pub use escape::Escape;
pub use fresh_thread::{FreshThread, is_fresh_thread};
pub use lock_step::{SteppedThread, expect_thread, is_stepped_thread, is_stepping, leave_note, take_made_threads};
pub use park::{expect_park, take_park};
pub use self_test::{SelfTestError, self_test};
pub use thread::{Guard, Host, enter, outside_node_code, set_node_code, show_monotonic};

/// How long a wait without a time limit may really last, before it is told as an [`Escape::BlockingWait`].
pub const UNTIMED_WAIT_GRACE_NS: u64 = 50_000_000;

/// Whether the interposition is part of this build. Where it isn't, hosts are never asked.
///
/// [`self_test()`] checks that it works in this process.
pub const fn is_supported() -> bool {
    interpose::COMPILED
}
