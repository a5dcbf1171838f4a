//! Ctrl-C (and SIGTERM): the first asks to stop, the second ends the process at once. Where there is nothing to be saved, the first does.

use std::sync::atomic::{AtomicBool, Ordering};

use super::{exit, output};

static REQUESTED: AtomicBool = AtomicBool::new(false);

/// Listens from now on. Where that isn't possible, Ctrl-C ends the process as it always does. `saves`: what has begun is worth being finished.
pub fn install(saves: bool) {
    let _ = ctrlc::set_handler(move || {
        if REQUESTED.swap(true, Ordering::Relaxed) || !saves {
            std::process::exit(i32::from(exit::INTERRUPTED));
        }
        output::complain("stopping: what has begun is finished (again to end at once)");
    });
}

/// Set when somebody asked to stop.
pub fn flag() -> &'static AtomicBool {
    &REQUESTED
}

/// Whether somebody asked to stop.
pub fn requested() -> bool {
    REQUESTED.load(Ordering::Relaxed)
}
