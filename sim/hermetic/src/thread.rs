//! The state of a run's thread: its host, and whether node code runs.
//!
//! Both live in thread-local cells that are initialised by the compiler and have no destructor, so that an
//! interposed function may read them at any point of a thread's life, the earliest and the latest too.

// The host is kept as a raw pointer, because an `Rc` in a thread-local would need a destructor.
#![allow(unsafe_code)]

use std::cell::Cell;
use std::hash::RandomState;
use std::marker::PhantomData;
use std::rc::Rc;

use crate::Escape;

/// What a run answers to node code.
///
/// The methods are called on the run's own thread, with node code off, so they may use clocks, entropy and memory
/// themselves, and none is entered while another one runs. They are called in the midst of libc functions, so they
/// must not panic (the process would abort), and should only compute and note.
pub trait Host {
    /// The monotonic clock of the node whose code runs, in nanoseconds.
    fn monotonic_ns(&self) -> u64;

    /// The wall clock of the node whose code runs, in nanoseconds since the Unix epoch.
    fn wall_ns(&self) -> u64;

    /// Fills `out`, which is never empty, with bytes that depend on nothing but the run.
    fn fill_entropy(&self, out: &mut [u8]);

    /// Node code did something that a run can't make deterministic.
    ///
    /// A timed wait or a sleep returns at once after this. Code that waits in a loop until a deadline then spins,
    /// unless the host moves its clock on here, or something else ends the run.
    fn on_escape(&self, escape: Escape);
}

thread_local! {
    /// Read by every interposed function first.
    static NODE_CODE: Cell<bool> = const { Cell::new(false) };
    /// From `Rc::into_raw`; the guard owns the count. `None` when no host is installed.
    static HOST: Cell<Option<*const dyn Host>> = const { Cell::new(None) };
    /// Whether the host is answering.
    static ASKED: Cell<bool> = const { Cell::new(false) };
    /// The host whose guard was dropped while it was answering: its count is given back when it has.
    static LEFT: Cell<Option<*const dyn Host>> = const { Cell::new(None) };
    /// What the monotonic clock shows in nanoseconds, where the host has said it beforehand; else [`ASK`].
    static SHOWN_NS: Cell<u64> = const { Cell::new(ASK) };
    /// The same as it is written for who asks.
    static SHOWN: Cell<libc::timespec> = const { Cell::new(libc::timespec { tv_sec: 0, tv_nsec: 0 }) };
    /// Whether entropy was asked for since it was last cleared.
    static ENTROPY_DRAWN: Cell<bool> = const { Cell::new(false) };
}

/// The host is to be asked.
const ASK: u64 = u64::MAX;

/// Keeps a host installed for the thread that entered it; see [`enter`].
#[must_use = "the host is removed when the guard is dropped"]
pub struct Guard {
    thread_was_fresh: bool,
    // What a guard undoes belongs to its own thread.
    not_send: PhantomData<Rc<()>>,
}

impl Guard {
    /// Whether this host's entropy keys the thread's `RandomState`.
    ///
    /// The standard library draws the keys of a thread once, so they are already other ones when the thread built a
    /// `HashMap` before it was entered. Its map order then doesn't repeat. Always false where the interposition isn't
    /// supported.
    pub fn thread_was_fresh(&self) -> bool {
        self.thread_was_fresh
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        NODE_CODE.set(false);
        SHOWN_NS.set(ASK);
        let Some(host) = HOST.take() else { return };
        if ASKED.get() {
            LEFT.set(Some(host));
        } else {
            // SAFETY: it was just taken out of its cell.
            unsafe { give_back(host) };
        }
    }
}

/// Gives the count of a host back.
///
/// # Safety
/// `host` was taken out of the cell that held it, [`HOST`] or [`LEFT`], where it came from `Rc::into_raw` in [`enter`]: so this count is given back once.
unsafe fn give_back(host: *const dyn Host) {
    // SAFETY: what the caller promises.
    drop(unsafe { Rc::from_raw(host) });
}

/// Installs `host` for this thread until the guard is dropped.
///
/// The thread must be a fresh one: the standard library, `rand` and others keep randomness for each thread from the
/// first time that they are used on it. The standard library's `RandomState` keys are drawn here, from the host, as
/// its first entropy, so that it doesn't depend on what comes first on the thread; [`Guard::thread_was_fresh`] tells
/// whether that went well.
///
/// # Panics
///
/// When this thread has a host already.
pub fn enter(host: Rc<dyn Host>) -> Guard {
    assert!(HOST.get().is_none() && !ASKED.get(), "this thread has a host already");
    crate::interpose::link();
    HOST.set(Some(Rc::into_raw(host)));
    let mut guard = Guard { thread_was_fresh: false, not_send: PhantomData };
    ENTROPY_DRAWN.set(false);
    let before = set_node_code(true);
    std::hint::black_box(RandomState::new());
    set_node_code(before);
    guard.thread_was_fresh = ENTROPY_DRAWN.get();
    guard
}

/// Says whether node code runs on this thread from now on, and returns what was said before.
///
/// Libc calls are answered by the host only while node code runs. This is one store to a thread-local cell. Without a
/// host it has no effect.
#[inline]
pub fn set_node_code(on: bool) -> bool {
    NODE_CODE.replace(on)
}

/// The host's monotonic clock shows so many nanoseconds, and stands still until something else is said here. It isn't asked meanwhile: runtimes read it several times for each of
/// their timers, and to ask takes more than twice the instructions. `None`: it is asked again. Without a host this has no effect. A debug build asks all the same, and compares.
#[inline]
pub fn show_monotonic(ns: Option<u64>) {
    if HOST.get().is_some() {
        SHOWN_NS.set(ns.unwrap_or(ASK));
        if let Some(ns) = ns {
            SHOWN.set(timespec(ns));
        }
    }
}

/// A `timespec` of so many nanoseconds.
#[inline]
pub(crate) fn timespec(ns: u64) -> libc::timespec {
    libc::timespec {
        // At most 18,446,744,073 seconds: fits.
        tv_sec: (ns / 1_000_000_000) as libc::time_t,
        tv_nsec: (ns % 1_000_000_000) as libc::c_long,
    }
}

/// What the host's monotonic clock shows, if node code runs here and the host needn't be asked.
#[inline]
pub(crate) fn shown_monotonic_ns() -> Option<u64> {
    let shown_ns = SHOWN_NS.get();
    if shown_ns == ASK || !NODE_CODE.get() {
        return None;
    }
    debug_assert_eq!(Some(shown_ns), ask(|host| host.monotonic_ns()), "it stands still");
    Some(shown_ns)
}

/// The same, as it is written for who asks.
#[inline]
pub(crate) fn shown_monotonic() -> Option<libc::timespec> {
    shown_monotonic_ns().map(|_| SHOWN.get())
}

/// Runs `body` with node code off, and restores what was before, also when `body` panics.
///
/// A panic hook wants it: printing a backtrace opens real files, which is none of node code's doing.
pub fn outside_node_code<Answer>(body: impl FnOnce() -> Answer) -> Answer {
    struct Restore(bool);
    impl Drop for Restore {
        fn drop(&mut self) {
            set_node_code(self.0);
        }
    }
    let _restore = Restore(set_node_code(false));
    body()
}

/// Whether node code runs here, with a host to answer it.
#[inline]
pub(crate) fn node_code_runs() -> bool {
    NODE_CODE.get() && HOST.get().is_some()
}

/// Asks the host, if node code runs here; `None` otherwise.
#[inline]
pub(crate) fn ask<Answer>(question: impl FnOnce(&dyn Host) -> Answer) -> Option<Answer> {
    /// What is undone when the host has answered, or has panicked.
    struct Asking;
    impl Drop for Asking {
        #[inline]
        fn drop(&mut self) {
            ASKED.set(false);
            match LEFT.take() {
                None => NODE_CODE.set(true),
                // A host that dropped its guard has ended its node code.
                // SAFETY: it was just taken out of its cell.
                Some(host) => unsafe { give_back(host) },
            }
        }
    }

    // A host that says within its answer that node code runs is asked nothing either: `LEFT` is for one question at a time.
    if !NODE_CODE.get() || ASKED.get() {
        return None;
    }
    let host = HOST.get()?;
    NODE_CODE.set(false);
    ASKED.set(true);
    let asking = Asking;
    // A count of its own would keep the host alive as well, but costs more than most answers.
    // SAFETY: the pointer came from `Rc::into_raw` on this thread, and the guard's count is still held: giving it back empties the cell, and is put off until
    // `asking` is dropped, which is after the last use of this reference.
    let answer = question(unsafe { &*host });
    drop(asking);
    Some(answer)
}

/// Fills `out` from the host, if node code runs here.
///
/// An empty request is answered without the host: crates probe with one, once in a process, and whether they did
/// already must not change what a run draws.
pub(crate) fn ask_entropy(out: &mut [u8]) -> Option<()> {
    ask(|host| {
        if !out.is_empty() {
            ENTROPY_DRAWN.set(true);
            host.fill_entropy(out);
        }
    })
}

/// Tells the host of an escape, if node code runs here; true if it does. The escape is only built then.
#[inline]
pub(crate) fn report(escape: impl FnOnce() -> Escape) -> bool {
    ask(|host| host.on_escape(escape())).is_some()
}
