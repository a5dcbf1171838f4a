//! The only door to a run's state, and the engine's only unsafe code.
//!
//! Every call of a program's goes through it, four times a message. A `RefCell<Option<Box<Kernel>>>` in a thread-local
//! needs none, but each access is a call that passes its closure and its result through memory: 1,711 instructions a
//! message in place of DOOR_GAIN. So the thread-local is a bare pointer, which an access loads in line.
#![allow(unsafe_code)]

use std::cell::{Cell, RefCell};
use std::panic::Location;
use std::ptr::NonNull;

use super::Kernel;

thread_local! {
    /// Made by [`install`] from a box and given back to one by [`Installed`], which empties this first. Without a
    /// destructor, so that it can be read at any point of the thread's life.
    static DOOR: Cell<Option<NonNull<RefCell<Kernel>>>> = const { Cell::new(None) };
}

/// Runs `operation` on this thread's run.
///
/// # Panics
/// If no run is on: `what` was called from outside.
// Always in line: else closure and result go through memory, which is what the pointer is there to avoid.
#[inline(always)]
#[track_caller]
pub(crate) fn with<R>(what: &str, operation: impl FnOnce(&mut Kernel) -> R) -> R {
    match DOOR.get() {
        // SAFETY: see `kernel_of`.
        Some(door) => operation(&mut unsafe { kernel_of(&door) }.borrow_mut()),
        None => outside_of_a_run(what, Location::caller()),
    }
}

/// Runs `operation` on this thread's run, if one is on.
#[inline(always)]
pub(crate) fn try_with<R>(operation: impl FnOnce(&mut Kernel) -> R) -> Option<R> {
    let door = DOOR.get()?;
    // SAFETY: see `kernel_of`.
    Some(operation(&mut unsafe { kernel_of(&door) }.borrow_mut()))
}

/// The state behind a pointer that was just read from [`DOOR`].
///
/// # Safety
/// The reference must not be used once [`Installed`] may have been dropped or taken. It is used for the length of one
/// borrow, and `Installed` frees nothing that is borrowed.
#[inline]
unsafe fn kernel_of(door: &NonNull<RefCell<Kernel>>) -> &RefCell<Kernel> {
    // SAFETY: `install` made the pointer of a box, on this thread; it is in `DOOR` only as long as that lives. Nobody has
    // an exclusive reference to it meanwhile: what it holds is borrowed through the `RefCell`.
    unsafe { door.as_ref() }
}

#[cold]
fn outside_of_a_run(what: &str, caller: &Location<'_>) -> ! {
    panic!(
        "{what} was called outside of a run, at {caller}: only what a world's nodes, clients and control tasks execute can \
         call it"
    );
}

/// Puts a run on this thread. The guard takes it off again.
///
/// # Panics
/// If one is on.
pub(crate) fn install(kernel: Kernel) -> Installed {
    assert!(DOOR.get().is_none(), "a run was started inside of another");
    let door = NonNull::from(Box::leak(Box::new(RefCell::new(kernel))));
    DOOR.set(Some(door));
    Installed { door: Some(door) }
}

/// See [`install`]. Not `Send`: it belongs to the thread.
pub(crate) struct Installed {
    door: Option<NonNull<RefCell<Kernel>>>,
}

impl Installed {
    /// Takes the run off the thread.
    pub(crate) fn take(mut self) -> Kernel {
        self.close().expect("it is taken once").into_inner()
    }

    fn close(&mut self) -> Option<Box<RefCell<Kernel>>> {
        let door = self.door.take()?;
        // SAFETY: the pointer came from a leaked box in `install`, and is taken out of `self` once.
        let unused = unsafe { door.as_ref() }.try_borrow_mut().is_ok();
        // What is borrowed is in use further up on this thread's stack. That can't be: guards belong to the run loop, which
        // is called by nobody who borrows.
        assert!(unused, "a run was ended in the midst of one of its operations");
        DOOR.set(None);
        // SAFETY: as above; nobody borrows it, and nobody finds it any more.
        Some(unsafe { Box::from_raw(door.as_ptr()) })
    }
}

impl Drop for Installed {
    fn drop(&mut self) {
        // Only after an unwind out of the run loop: `take` has left nothing otherwise. Destructors of what a run holds find
        // no run.
        drop(self.close());
    }
}
