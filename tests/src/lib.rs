//! What spans crates: worlds for tests, as plain data.

pub mod random_world;

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

/// Counts what is alive: clones of it are held where nothing may outlive a run.
#[derive(Debug)]
pub struct Guard(Arc<AtomicI64>);

impl Guard {
    /// A guard that counts in `living`.
    #[must_use]
    pub fn new(living: &Arc<AtomicI64>) -> Guard {
        living.fetch_add(1, Ordering::SeqCst);
        Guard(Arc::clone(living))
    }
}

impl Clone for Guard {
    fn clone(&self) -> Guard {
        Guard::new(&self.0)
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}
