//! Asking the processor to fetch what is needed soon.

/// Asks for the cache lines of `place`, up to `LINES` of them. It changes nothing that a program can see, and doesn't wait.
/// Does nothing but on x86-64.
#[inline(always)]
pub(crate) fn read_ahead<const LINES: usize, T: ?Sized>(place: &T) {
    #[cfg(all(target_arch = "x86_64", not(miri)))]
    {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        const LINE_BYTES: usize = 64;
        let first = std::ptr::from_ref(place).cast::<i8>();
        for line in 0..size_of_val(place).div_ceil(LINE_BYTES).min(LINES) {
            // SAFETY: a hint about an address: it reads nothing that a program could see, and faults at none.
            #[allow(unsafe_code)]
            unsafe {
                _mm_prefetch::<_MM_HINT_T0>(first.wrapping_add(line * LINE_BYTES));
            }
        }
    }
    #[cfg(not(all(target_arch = "x86_64", not(miri))))]
    let _ = place;
}
