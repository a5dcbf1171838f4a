//! The working directory and the mask of files' modes, which threads share: node code gets its run's own.

use std::cell::Cell;
use std::ffi::{CStr, c_char, c_int};

use super::real::real;
use crate::Escape;
use crate::thread::{node_code_runs, report};

thread_local! {
    /// Whether this thread shares neither with another run.
    static IS_OWN: Cell<bool> = const { Cell::new(false) };
}

/// Sees to it that this thread has a directory and a mask of its own. `false`, with an `errno`, if the system doesn't allow that.
fn have_own() -> bool {
    if IS_OWN.get() || crate::process::is_copy() {
        return true;
    }
    // SAFETY: it changes what this thread shares with others, and nothing in memory.
    let is_own = unsafe { libc::unshare(libc::CLONE_FS) } == 0;
    IS_OWN.set(is_own);
    is_own
}

/// Changes the working directory, which is named.
///
/// # Safety
///
/// As of libc's own.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn chdir(path: *const c_char) -> c_int {
    // SAFETY: by the contract it is null or a C string.
    let name =
        || if path.is_null() { String::new() } else { unsafe { CStr::from_ptr(path) }.to_string_lossy().into_owned() };
    if report(|| Escape::DirectoryChanged { path: name() }) && !have_own() {
        return -1;
    }
    // SAFETY: the caller keeps the contract of the function.
    unsafe { real!(chdir(path => *const c_char) -> c_int) }
}

/// Changes the working directory, which is named.
///
/// # Safety
///
/// As of libc's own.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn fchdir(directory: c_int) -> c_int {
    let name = || format!("descriptor {directory}");
    if report(|| Escape::DirectoryChanged { path: name() }) && !have_own() {
        return -1;
    }
    // SAFETY: the caller keeps the contract of the function.
    unsafe { real!(fchdir(directory => c_int) -> c_int) }
}

/// Sets the mask of the modes of new files. It can't fail, and is no escape: nothing is read of the world outside.
///
/// # Safety
///
/// As of libc's own.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn umask(mask: libc::mode_t) -> libc::mode_t {
    if node_code_runs() {
        // Where it can't be kept apart, the files that are written meanwhile have it.
        have_own();
    }
    // SAFETY: the caller keeps the contract of the function.
    unsafe { real!(umask(mask => libc::mode_t) -> libc::mode_t) }
}
