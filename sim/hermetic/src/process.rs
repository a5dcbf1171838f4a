//! Processes that are copies of a pristine one: address randomisation, forking, and ending without ado.
//!
//! What a run on a thread shares with the runs before it, statics and the layout of the heap, a forked child of a
//! process that has run nothing has as it was at the start. With address randomisation off, which a process can only
//! have from its beginning, every such process has the same addresses.

// Forking and ending a process at once are calls to libc.
#![allow(unsafe_code)]

use std::cell::Cell;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};

/// Which copy of the process goes on from here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Forked {
    /// The new one. It has one thread: the one that called.
    Child,
    /// The one that called, with the number of the child.
    Parent(i32),
}

/// Whether [`fork`] works in this build.
pub const fn can_fork() -> bool {
    cfg!(all(target_os = "linux", not(miri)))
}

/// How many threads may exist when a process forks: the one that calls, and one that waits for it, as the main thread of a
/// test's program does.
const THREADS_MAX: usize = 2;

/// Set in a process that [`fork`] made.
static IS_COPY: AtomicBool = AtomicBool::new(false);

/// Whether this process is a copy that [`fork`] made.
pub fn is_copy() -> bool {
    IS_COPY.load(Ordering::Relaxed)
}

/// Has the system tell of the processes that this one starts when they end, where it was told not to (`SIG_IGN`, which is inherited from
/// whoever started this process, or was set since). Whoever has a handler of their own keeps it.
#[cfg(all(target_os = "linux", not(miri)))]
pub fn hear_of_children() {
    // SAFETY: an action of zeros is the default one, and both are of the right type.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        let known = libc::sigaction(libc::SIGCHLD, std::ptr::null(), &mut action) == 0;
        if known && (action.sa_sigaction == libc::SIG_IGN || action.sa_flags & libc::SA_NOCLDWAIT != 0) {
            libc::signal(libc::SIGCHLD, libc::SIG_DFL);
        }
    }
}

/// Has the system tell of the processes that this one starts: not decided here.
#[cfg(not(all(target_os = "linux", not(miri))))]
pub fn hear_of_children() {}

/// Makes a copy of this process.
///
/// # Errors
/// What the system says; and if more than one other thread exists, since those aren't copied, and what they hold would
/// stay held for ever.
#[cfg(all(target_os = "linux", not(miri)))]
pub fn fork() -> io::Result<Forked> {
    let threads = std::fs::read_dir("/proc/self/task")?.count();
    if threads > THREADS_MAX {
        return Err(io::Error::other(format!("a process with {threads} threads can't be copied")));
    }
    hear_of_children();
    // SAFETY: the child may go on with arbitrary code only if no lock that it needs is held by a thread that isn't copied.
    // There is no such thread, or one that waits for this one: it holds none of libc's (whose allocator's are taken by
    // `fork` itself in any case), and of std's at most that of an output stream, which makes the child wait and
    // whoever watches it end it.
    match unsafe { libc::fork() } {
        -1 => Err(io::Error::last_os_error()),
        0 => {
            IS_COPY.store(true, Ordering::Relaxed);
            Ok(Forked::Child)
        }
        child => Ok(Forked::Parent(child)),
    }
}

/// Makes a copy of this process, where that is possible: not here.
///
/// # Errors
/// Always.
#[cfg(not(all(target_os = "linux", not(miri))))]
pub fn fork() -> io::Result<Forked> {
    let _ = THREADS_MAX;
    Err(io::Error::new(io::ErrorKind::Unsupported, "processes are copied on Linux only"))
}

/// Ends this process at once: no destructor of a static, no function that was registered for the end is called. For a
/// child, in which those are the parent's.
#[cfg(all(target_os = "linux", not(miri)))]
pub fn exit_at_once(code: i32) -> ! {
    // SAFETY: it takes any number, and doesn't return.
    unsafe { libc::_exit(code) }
}

/// Ends this process.
#[cfg(not(all(target_os = "linux", not(miri))))]
pub fn exit_at_once(code: i32) -> ! {
    std::process::exit(code)
}

thread_local! {
    /// What is to be said, and the code, where the code that this thread calls ends the process.
    static EXIT_TOLD: Cell<Option<(&'static str, u8)>> = const { Cell::new(None) };
}

/// Calls `code`. If that ends this process by `exit`, as if all were well perhaps, `words` are written to standard error first, and the
/// process's code is `exit_code`. Where no function can be registered for the end, it calls `code` and no more.
pub fn telling_exit<R>(words: &'static str, exit_code: u8, code: impl FnOnce() -> R) -> R {
    /// Whatever way the code is left.
    struct Over(Option<(&'static str, u8)>);
    impl Drop for Over {
        fn drop(&mut self) {
            EXIT_TOLD.set(self.0);
        }
    }
    tell_exits();
    let _over = Over(EXIT_TOLD.replace(Some((words, exit_code))));
    code()
}

#[cfg(all(target_os = "linux", not(miri)))]
fn tell_exits() {
    /// Called by `exit`, on the thread that called that.
    extern "C" fn tell() {
        if let Some((words, exit_code)) = EXIT_TOLD.get() {
            // SAFETY: so many bytes are there. std's own lock may be held by whoever ends the process.
            let _ = unsafe { libc::write(libc::STDERR_FILENO, words.as_ptr().cast(), words.len()) };
            exit_at_once(i32::from(exit_code));
        }
    }
    static REGISTERED: std::sync::Once = std::sync::Once::new();
    // SAFETY: it takes a function of that type, which doesn't unwind. Where there is no room for one, exits aren't told.
    REGISTERED.call_once(|| {
        let _ = unsafe { libc::atexit(tell) };
    });
}

#[cfg(not(all(target_os = "linux", not(miri))))]
fn tell_exits() {}

/// What becomes of a process that writes more to a file than its limit (`ulimit -f`) allows: it is told so by an error, or, as the
/// system has it unless told otherwise, it is ended. Holds for the programs that it executes as well.
#[cfg(all(target_os = "linux", not(miri)))]
pub fn end_by_file_size_limit(ends: bool) {
    // SAFETY: neither disposition is a function of ours that would have to be safe in a signal handler.
    unsafe {
        libc::signal(libc::SIGXFSZ, if ends { libc::SIG_DFL } else { libc::SIG_IGN });
    }
}

/// What becomes of a process that writes more to a file than its limit allows: not decided here.
#[cfg(not(all(target_os = "linux", not(miri))))]
pub fn end_by_file_size_limit(_ends: bool) {}

/// Whether this process began with address randomisation off.
#[cfg(all(target_os = "linux", not(miri)))]
#[must_use]
pub fn is_address_randomisation_off() -> bool {
    // SAFETY: this number asks and changes nothing.
    let persona = unsafe { libc::personality(0xffff_ffff) };
    persona != -1 && persona & libc::ADDR_NO_RANDOMIZE != 0
}

/// Whether this process began with address randomisation off: nobody knows here.
#[cfg(not(all(target_os = "linux", not(miri))))]
#[must_use]
pub fn is_address_randomisation_off() -> bool {
    false
}

/// Switches address randomisation off for the programs that this process executes from now on, in its own place or in
/// children.
///
/// # Errors
/// If the system refuses, as some containers do.
#[cfg(all(target_os = "linux", not(miri)))]
pub fn switch_off_address_randomisation() -> io::Result<()> {
    // SAFETY: as above; then it sets one more flag of this process.
    let refused = unsafe {
        let persona = libc::personality(0xffff_ffff);
        persona == -1 || libc::personality((persona | libc::ADDR_NO_RANDOMIZE) as libc::c_ulong) == -1
    };
    if refused { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Switches address randomisation off, where that is possible: not here.
///
/// # Errors
/// Always.
#[cfg(not(all(target_os = "linux", not(miri))))]
pub fn switch_off_address_randomisation() -> io::Result<()> {
    Err(io::Error::new(io::ErrorKind::Unsupported, "it can be switched off on Linux only"))
}
