//! Stacks for handlers of signals.

// A thread's is told to the kernel by a call to libc.
#![allow(unsafe_code)]

/// How large they are. An overflow calls two handlers, one within the other: that of the fault, and that of the abort which it comes to. The processor's state alone may take eleven KiB for each. std's
/// own stacks, of eight, are too small for that, at least in a build without optimising.
pub(crate) const HANDLER_BYTES: usize = 64 << 10;

/// A stack for this thread's handlers, as long as it lasts.
pub(crate) struct HandlerStack {
    /// The one before.
    before: libc::stack_t,
    _bytes: Vec<u8>,
}

impl HandlerStack {
    pub(crate) fn new() -> HandlerStack {
        let mut bytes = Vec::<u8>::with_capacity(HANDLER_BYTES);
        let own = libc::stack_t { ss_sp: bytes.as_mut_ptr().cast(), ss_flags: 0, ss_size: HANDLER_BYTES };
        let mut before = libc::stack_t { ss_flags: libc::SS_DISABLE, ..own };
        // SAFETY: the memory is this thread's alone, and is taken back before it is freed.
        unsafe { libc::sigaltstack(&raw const own, &raw mut before) };
        HandlerStack { before, _bytes: bytes }
    }
}

impl Drop for HandlerStack {
    fn drop(&mut self) {
        // SAFETY: no handler runs now, and what was there before still is: std's goes when its thread does.
        unsafe { libc::sigaltstack(&raw const self.before, std::ptr::null_mut()) };
    }
}
