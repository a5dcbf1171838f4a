//! Finding libc's own functions behind the ones that this crate defines.

use std::ffi::{CStr, c_void};
use std::ptr;
use std::sync::atomic::{AtomicPtr, Ordering};

/// A function of libc, looked up when it is first called.
pub(super) struct Real {
    name: &'static CStr,
    address: AtomicPtr<c_void>,
}

impl Real {
    pub(super) const fn new(name: &'static CStr) -> Real {
        Real { name, address: AtomicPtr::new(ptr::null_mut()) }
    }

    /// Where libc has it.
    #[inline]
    pub(super) fn address(&self) -> *mut c_void {
        // Nothing but the address is handed from thread to thread, and all threads find the same one.
        let address = self.address.load(Ordering::Relaxed);
        if address.is_null() { self.look_up() } else { address }
    }

    #[cold]
    fn look_up(&self) -> *mut c_void {
        // The objects after this one in the search order: libc and what else interposes it.
        // SAFETY: the name is a C string, and `RTLD_NEXT` is a valid handle.
        let address = unsafe { libc::dlsym(libc::RTLD_NEXT, self.name.as_ptr()) };
        if address.is_null() {
            let complaint = b"squall-hermetic: libc lacks a function that the program calls: ";
            // Nothing that might itself call an interposed function is used to say so.
            // SAFETY: both pointers are valid for the lengths given.
            unsafe {
                libc::write(2, complaint.as_ptr().cast(), complaint.len());
                libc::write(2, self.name.as_ptr().cast(), self.name.count_bytes());
                libc::write(2, b"\n".as_ptr().cast(), 1);
                libc::abort();
            }
        }
        self.address.store(address, Ordering::Relaxed);
        address
    }
}

/// Calls libc's own function of this name with these arguments. Must stand in an unsafe block.
macro_rules! real {
    ($name:ident($($argument:expr => $kind:ty),*) -> $result:ty) => {{
        static REAL: $crate::interpose::real::Real = $crate::interpose::real::Real::new(
            match ::std::ffi::CStr::from_bytes_with_nul(concat!(stringify!($name), "\0").as_bytes()) {
                Ok(name) => name,
                Err(_) => panic!("the name of a function holds no zero byte"),
            },
        );
        type Function = unsafe extern "C" fn($($kind),*) -> $result;
        // The symbol of this name in libc has this type, and the caller keeps that function's contract.
        ::std::mem::transmute::<*mut ::std::ffi::c_void, Function>(REAL.address())($($argument),*)
    }};
}

pub(super) use real;
