//! Asking the processor to fetch what is needed soon.

/// Asks for the cache line at which `place` begins. It changes nothing that a program can see, and doesn't wait.
/// Does nothing but on x86-64.
#[inline(always)]
pub(crate) fn read_ahead<T>(place: &T) {
    #[cfg(target_arch = "x86_64")]
    safe_arch::prefetch_t0(place);
    #[cfg(not(target_arch = "x86_64"))]
    let _ = place;
}
