//! `syscall`: what goes round libc's named functions, first of all the standard library's futexes.

use std::ffi::{c_int, c_long, c_void};

use super::clocks::clock_gettime;
use super::entropy::fill_from_host;
use super::real::real;
use super::waits;
use crate::thread::node_code_runs;

/// A system call by its number.
///
/// Libc's own is variadic, which can't be defined in stable Rust. All its arguments are integers or pointers, and
/// those are passed in the same places to a function that has seven of them, on x86-64 and on AArch64; what a caller
/// left out is never looked at by the kernel.
///
/// # Safety
///
/// As of libc's own: that of the system call.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn syscall(
    number: c_long,
    first: c_long,
    second: c_long,
    third: c_long,
    fourth: c_long,
    fifth: c_long,
    sixth: c_long,
) -> c_long {
    if node_code_runs() {
        // SAFETY: the caller keeps the contract of the call with this number, whose arguments these are.
        unsafe {
            match number {
                libc::SYS_getrandom if fill_from_host(first as *mut c_void, second as usize) => {
                    return second;
                }
                libc::SYS_clock_gettime => {
                    return c_long::from(clock_gettime(first as c_int, second as *mut libc::timespec));
                }
                libc::SYS_futex => {
                    let call = [first, second, third, fourth, fifth, sixth];
                    if let Some(result) = waits::futex(call) {
                        return result;
                    }
                }
                _ => {}
            }
        }
    }
    // SAFETY: the caller keeps the contract of the call with this number.
    unsafe { real_syscall(number, [first, second, third, fourth, fifth, sixth]) }
}

/// Libc's own `syscall`.
///
/// # Safety
///
/// As of libc's own.
pub(super) unsafe fn real_syscall(number: c_long, arguments: [c_long; 6]) -> c_long {
    let [first, second, third, fourth, fifth, sixth] = arguments;
    // SAFETY: the caller keeps the contract of the call with this number.
    unsafe {
        real!(syscall(
            number => c_long,
            first => c_long,
            second => c_long,
            third => c_long,
            fourth => c_long,
            fifth => c_long,
            sixth => c_long
        ) -> c_long)
    }
}
