//! The libc functions that this crate defines in place of libc's own.
//!
//! A symbol that an executable defines comes before that of every shared library, libc's own included, so all calls by
//! name arrive here, from Rust and from C. Each function first looks whether node code runs on this thread; if not, it
//! calls the real one and changes nothing, `errno` included.

// Defining libc's symbols and calling the real ones can't be done in safe Rust.
#![allow(unsafe_code)]

mod clocks;
mod directory;
mod entropy;
mod names;
mod real;
mod syscall;
mod waits;

use std::ffi::{CStr, c_int, c_void};

/// Whether the interposition is part of this build.
pub(crate) const COMPILED: bool = true;

/// Makes the linker keep this module's functions in every executable that can enter a host.
pub(crate) fn link() {
    std::hint::black_box(symbols());
}

/// Each symbol that is interposed, and where its definition in this crate is.
pub(crate) fn symbols() -> [(&'static CStr, *const c_void); 39] {
    [
        (c"clock_gettime", clocks::clock_gettime as *const c_void),
        (c"gettimeofday", clocks::gettimeofday as *const c_void),
        (c"time", clocks::time as *const c_void),
        (c"getrandom", entropy::getrandom as *const c_void),
        (c"getentropy", entropy::getentropy as *const c_void),
        (c"syscall", syscall::syscall as *const c_void),
        (c"nanosleep", waits::nanosleep as *const c_void),
        (c"clock_nanosleep", waits::clock_nanosleep as *const c_void),
        (c"usleep", waits::usleep as *const c_void),
        (c"sleep", waits::sleep as *const c_void),
        (c"poll", waits::poll as *const c_void),
        (c"ppoll", waits::ppoll as *const c_void),
        (c"epoll_wait", waits::epoll_wait as *const c_void),
        (c"epoll_pwait", waits::epoll_pwait as *const c_void),
        (c"pthread_create", names::pthread_create as *const c_void),
        (c"fork", names::fork as *const c_void),
        (c"exit", names::exit as *const c_void),
        (c"posix_spawn", names::posix_spawn as *const c_void),
        (c"posix_spawnp", names::posix_spawnp as *const c_void),
        (c"socket", names::socket as *const c_void),
        (c"getaddrinfo", names::getaddrinfo as *const c_void),
        (c"open", names::open as *const c_void),
        (c"open64", names::open64 as *const c_void),
        (c"openat", names::openat as *const c_void),
        (c"openat64", names::openat64 as *const c_void),
        (c"fopen", names::fopen as *const c_void),
        (c"fopen64", names::fopen64 as *const c_void),
        (c"read", names::read as *const c_void),
        (c"readv", names::readv as *const c_void),
        (c"splice", names::splice as *const c_void),
        (c"sendfile", names::sendfile as *const c_void),
        (c"sendfile64", names::sendfile64 as *const c_void),
        (c"copy_file_range", names::copy_file_range as *const c_void),
        (c"statx", names::statx as *const c_void),
        (c"opendir", names::opendir as *const c_void),
        (c"getenv", names::getenv as *const c_void),
        (c"chdir", directory::chdir as *const c_void),
        (c"fchdir", directory::fchdir as *const c_void),
        (c"umask", directory::umask as *const c_void),
    ]
}

/// The address that a look-up by name finds first in this process, as crates do that call libc through `dlsym`.
pub(crate) fn found_by_name(name: &CStr) -> *const c_void {
    // SAFETY: the name is a C string, and `RTLD_DEFAULT` is a valid handle.
    unsafe { libc::dlsym(libc::RTLD_DEFAULT, name.as_ptr()) }
}

/// The nanoseconds of a valid `timespec` (held at the largest number); `None` for one that libc would refuse.
fn nanoseconds(time: libc::timespec) -> Option<u64> {
    let seconds = u64::try_from(time.tv_sec).ok()?;
    let rest = u64::try_from(time.tv_nsec).ok().filter(|&rest| rest < 1_000_000_000)?;
    Some(seconds.saturating_mul(1_000_000_000).saturating_add(rest))
}

/// Sets this thread's `errno`.
fn set_errno(code: c_int) {
    // SAFETY: libc gives each thread a valid place for its `errno`.
    unsafe { *libc::__errno_location() = code }
}

/// This thread's `errno`.
fn errno() -> c_int {
    // SAFETY: as in `set_errno`.
    unsafe { *libc::__errno_location() }
}
