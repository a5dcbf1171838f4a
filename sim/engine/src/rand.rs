//! The application's own randomness: keyed by task, so that what one task draws shifts nothing for another.

use std::convert::Infallible;

use rand_core::{Rng as _, TryRng};

use crate::kernel;

/// The running task's generator (ChaCha8, keyed by seed and task). A handle: it may be kept, but draws for whichever task
/// runs when it is used.
///
/// # Panics
/// When used outside of a task of a run.
#[must_use]
pub fn rng() -> TaskRng {
    TaskRng { _private: () }
}

/// See [`rng`].
#[derive(Clone, Debug)]
pub struct TaskRng {
    _private: (),
}

impl TaskRng {
    #[track_caller]
    fn draw<R>(&self, draw: impl FnOnce(&mut rand_chacha::ChaCha8Rng) -> R) -> R {
        kernel::with("squall::rand::rng", |kernel| kernel.task_rng().map(draw))
            .expect("squall::rand::rng draws for a task, and none is running")
    }
}

impl TryRng for TaskRng {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        Ok(self.draw(|rng| rng.next_u32()))
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        Ok(self.draw(|rng| rng.next_u64()))
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
        self.draw(|rng| rng.fill_bytes(bytes));
        Ok(())
    }
}
