//! Entropy: while node code runs, the host gives it.

use std::ffi::{c_int, c_long, c_uint, c_void};
use std::slice;

use super::set_errno;
use super::syscall::real_syscall;
use crate::thread::ask_entropy;

/// Fills from the host, if node code runs here; whether it did.
///
/// # Safety
///
/// `out` is valid for writing `length` bytes, or `length` is 0.
pub(super) unsafe fn fill_from_host(out: *mut c_void, length: usize) -> bool {
    let out = if length == 0 || out.is_null() {
        &mut []
    } else {
        // The bytes may be uninitialised, and a host could read them: so they are zeroed first.
        // SAFETY: the caller promises that so many bytes may be written, and nobody else holds them during the call.
        unsafe {
            out.write_bytes(0, length);
            slice::from_raw_parts_mut(out.cast::<u8>(), length)
        }
    };
    ask_entropy(out).is_some()
}

/// Draws entropy: from the host while node code runs, else from the kernel.
///
/// # Safety
///
/// As of libc's own: `out` is valid for writing `length` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn getrandom(out: *mut c_void, length: usize, flags: c_uint) -> isize {
    // SAFETY: the caller keeps the contract of the function.
    unsafe {
        if crate::thread::node_code_runs() && fill_from_host(out, length) {
            return length as isize;
        }
        // Not through libc's `getrandom`, which older ones lack.
        let arguments = [out as c_long, length as c_long, c_long::from(flags), 0, 0, 0];
        real_syscall(libc::SYS_getrandom, arguments) as isize
    }
}

/// Draws up to 256 bytes of entropy: from the host while node code runs, else from the kernel.
///
/// # Safety
///
/// As of libc's own: `out` is valid for writing `length` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn getentropy(out: *mut c_void, length: usize) -> c_int {
    if length > 256 {
        set_errno(libc::EIO);
        return -1;
    }
    // The kernel gives so few bytes at once or none at all.
    // SAFETY: the caller keeps the contract of the function.
    if unsafe { getrandom(out, length, 0) } == length as isize { 0 } else { -1 }
}
