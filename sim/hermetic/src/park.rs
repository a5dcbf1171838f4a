//! Runtimes that are about to park: the one wait of a thread that isn't an escape.
//!
//! A runtime that has nothing to do waits for its next timer. Where it is driven by a run it mustn't: it is asked until when it would have waited, and
//! returns at once, as if that time were over. It says that it is about to park (tokio by its `on_thread_park`), so the wait that follows is told
//! from one that a program makes in the midst of a task.

use std::cell::Cell;
use std::time::Duration;

#[derive(Clone, Copy)]
enum Park {
    /// Any wait is a program's.
    No,
    /// The next wait with a time limit is the runtime's.
    Expected,
    /// The runtime would have waited for so many nanoseconds.
    Skipped(u64),
}

thread_local! {
    static PARK: Cell<Park> = const { Cell::new(Park::No) };
}

/// The next wait of this thread in node code that has a time limit is a runtime's own: it returns at once, timed out, is no [`Escape`](crate::Escape),
/// and [`take_park`] says how long it would have lasted.
pub fn expect_park() {
    PARK.set(Park::Expected);
}

/// How long the wait that was [expected](expect_park) would have lasted, if there was one. From now on none is expected.
#[must_use]
pub fn take_park() -> Option<Duration> {
    match PARK.replace(Park::No) {
        Park::Skipped(ns) => Some(Duration::from_nanos(ns)),
        Park::No | Park::Expected => None,
    }
}

/// Whether a wait of so long is the expected one, which is skipped with that.
pub(crate) fn skips(ns: u64) -> bool {
    let is_expected = matches!(PARK.get(), Park::Expected);
    if is_expected {
        PARK.set(Park::Skipped(ns));
    }
    is_expected
}
