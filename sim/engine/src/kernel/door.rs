//! The only door to a run's state.
//!
//! Every call of a program's goes through it, four times a message. The state is taken out of its thread-local for the length
//! of an operation and put back: both are a load and a store in line, where a `RefCell` that lives there is reached by a
//! call that passes closure and result through memory. That was 5 % of a message's instructions and 8 % of its time.

use std::cell::Cell;
use std::mem::ManuallyDrop;
use std::panic::Location;

use super::Kernel;

type Place = ManuallyDrop<Option<Box<Kernel>>>;

thread_local! {
    /// Empty where no run is on, and while an operation has its state. Without a destructor of its own, so that an access is
    /// plain: [`Installed`] takes the run off the thread.
    static KERNEL: Cell<Place> = const { Cell::new(ManuallyDrop::new(None)) };
}

thread_local! {
    /// Whether a run is on, its state taken or not.
    static RUN_IS_ON: Cell<bool> = const { Cell::new(false) };
}

#[inline(always)]
fn put(kernel: Option<Box<Kernel>>) -> Option<Box<Kernel>> {
    ManuallyDrop::into_inner(KERNEL.replace(ManuallyDrop::new(kernel)))
}

/// The state while an operation has it. It goes back even if that panics.
struct Taken(Option<Box<Kernel>>);

impl Drop for Taken {
    #[inline(always)]
    fn drop(&mut self) {
        let nothing = put(self.0.take());
        debug_assert!(nothing.is_none(), "no run begins in the midst of an operation");
        std::mem::forget(nothing);
    }
}

/// Runs `operation` on this thread's run.
///
/// # Panics
/// If no run is on: `what` was called from outside. If it is called by an operation.
// Always in line: else closure and result go through memory.
#[inline(always)]
#[track_caller]
pub(crate) fn with<R>(what: &str, operation: impl FnOnce(&mut Kernel) -> R) -> R {
    let mut taken = Taken(put(None));
    match taken.0.as_deref_mut() {
        Some(kernel) => operation(kernel),
        None => outside_of_a_run(what, Location::caller()),
    }
}

/// Runs `operation` on this thread's run, if one is on.
#[inline(always)]
pub(crate) fn try_with<R>(operation: impl FnOnce(&mut Kernel) -> R) -> Option<R> {
    Taken(put(None)).0.as_deref_mut().map(operation)
}

/// Whether a run is on.
#[inline]
pub(crate) fn is_on() -> bool {
    RUN_IS_ON.get()
}

#[cold]
fn outside_of_a_run(what: &str, caller: &Location<'_>) -> ! {
    assert!(
        !RUN_IS_ON.get(),
        "a defect of Squall's: {what} was called at {caller} in the midst of one of its operations"
    );
    assert!(
        !squall_hermetic::is_stepped_thread(),
        "{what} was called at {caller}, on a thread of spawn_blocking: there only the standard library is answered by the run; call it in the task, before or \
         afterwards, or give the work to squall::task::spawn_blocking"
    );
    panic!(
        "{what} was called outside of a run, at {caller}: only what a world's nodes, clients and control tasks execute can \
         call it"
    );
}

/// Puts a run on this thread. The guard takes it off again.
///
/// # Panics
/// If one is on.
pub(crate) fn install(kernel: Box<Kernel>) -> Installed {
    let previous = put(Some(kernel));
    assert!(previous.is_none(), "a run was started inside of another");
    RUN_IS_ON.set(true);
    Installed
}

/// See [`install`].
pub(crate) struct Installed;

impl Installed {
    /// Takes the run off the thread.
    pub(crate) fn take(self) -> Box<Kernel> {
        RUN_IS_ON.set(false);
        put(None).expect("installed by `install`")
    }
}

impl Drop for Installed {
    fn drop(&mut self) {
        // Something is left only after an unwind out of the run loop. Destructors of what it holds find no run.
        RUN_IS_ON.set(false);
        drop(put(None));
    }
}
