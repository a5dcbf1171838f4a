//! Generated workloads, of which each operation is a decision of its own.
//!
//! Whether an operation happens has an address, as the loss of a message has: so a failure comes back as the few operations that it
//! takes, beside the few losses and delays. That one is left out must change nothing for the others. So each has a generator of its
//! own, and what a task sends, spawns and binds during an operation is counted within that operation: its messages keep their addresses
//! whatever came before.

use std::convert::Infallible;
use std::fmt::Debug;

use rand_chacha::ChaCha8Rng;
use rand_core::{Rng as _, TryRng};
use squall_trace::TaskId;

use crate::kernel;

/// The generator of one operation: ChaCha8, keyed by seed, workload and the operation's number.
#[derive(Clone, Debug)]
pub struct OperationRng(ChaCha8Rng);

impl TryRng for OperationRng {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        Ok(self.0.next_u32())
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        Ok(self.0.next_u64())
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
        self.0.fill_bytes(bytes);
        Ok(())
    }
}

/// `count` operations, each drawn by `draw`; those of them that happen. In an exploration all do; shrinking leaves out what a failure
/// doesn't need.
///
/// What an operation is called in a shrunk failure, and what it is known by, is its `Debug` text, so that should say all of it. An
/// operation lasts until the next one is asked for; what it needs by chance `draw` should draw, since [`crate::rand::rng`] goes on from
/// operation to operation.
///
/// ```
/// use rand_core::Rng;
/// use squall_engine::workload::workload;
///
/// #[derive(Debug)]
/// enum Operation {
///     Write(u64),
///     Read,
/// }
///
/// async fn client() {
///     let draw = |rng: &mut _| match Rng::next_u64(rng) % 3 {
///         0 => Operation::Write(Rng::next_u64(rng) % 100),
///         _ => Operation::Read,
///     };
///     for operation in workload(20, draw) {
///         match operation {
///             Operation::Write(_value) => { /* … */ }
///             Operation::Read => { /* … */ }
///         }
///     }
/// }
/// # let _ = client();
/// ```
///
/// # Panics
/// Outside of a task of a run, here and when the next operation is asked for.
#[track_caller]
pub fn workload<Op, Draw>(count: u64, draw: Draw) -> Workload<Draw>
where
    Op: Debug,
    Draw: FnMut(&mut OperationRng) -> Op,
{
    let id = kernel::with("squall::workload", |kernel| kernel.name_workload());
    let id = id.expect("squall::workload is a task's, and none is running");
    Workload { id, number: 0, count, draw, ongoing: None }
}

/// See [`workload()`].
#[derive(Debug)]
pub struct Workload<Draw> {
    /// As if the task had spawned it.
    id: TaskId,
    /// Of the last operation that was drawn.
    number: u64,
    count: u64,
    draw: Draw,
    /// The task that is in the midst of an operation.
    ongoing: Option<TaskId>,
}

impl<Draw> Workload<Draw> {
    fn end_operation(&mut self) {
        if let Some(task) = self.ongoing.take() {
            // The run may be over.
            kernel::try_with(|kernel| kernel.end_operation(task));
        }
    }
}

impl<Draw> Drop for Workload<Draw> {
    fn drop(&mut self) {
        self.end_operation();
    }
}

impl<Op, Draw> Iterator for Workload<Draw>
where
    Op: Debug,
    Draw: FnMut(&mut OperationRng) -> Op,
{
    type Item = Op;

    fn next(&mut self) -> Option<Op> {
        self.end_operation();
        while self.number < self.count {
            self.number += 1;
            let (id, number) = (self.id, self.number);
            let rng = kernel::with("an operation of a workload", |kernel| kernel.operation_rng(id, number));
            // Drawing and showing it is user code: the world isn't borrowed.
            let operation = (self.draw)(&mut OperationRng(rng));
            let text = format!("{operation:?}");
            self.ongoing =
                kernel::with("an operation of a workload", |kernel| kernel.begin_operation(id, number, &text));
            if self.ongoing.is_some() {
                return Some(operation);
            }
        }
        None
    }
}
