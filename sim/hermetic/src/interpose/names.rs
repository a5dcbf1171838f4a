//! What is only named: the call goes to libc all the same, but for a process's end and its standard input.

use std::ffi::{CStr, c_char, c_int, c_long, c_uint, c_void};

use super::real::real;
use super::syscall::real_syscall;
use crate::thread::report;
use crate::{Escape, lock_step};

/// The text of a C string; empty for none.
///
/// # Safety
///
/// `text` is null or a C string.
unsafe fn text(text: *const c_char) -> String {
    if text.is_null() {
        return String::new();
    }
    // SAFETY: by the contract it is a C string.
    unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned()
}

/// Names a call that takes a path, or another C string, if there is one and node code runs here.
///
/// # Safety
///
/// `path` is null or a C string.
unsafe fn report_text(path: *const c_char, escape: impl FnOnce(String) -> Escape) {
    // An empty path means the descriptor beside it, whose opening was named.
    // SAFETY: by the contract it is a C string.
    if !path.is_null() && unsafe { *path } != 0 {
        // SAFETY: as above.
        report(|| escape(unsafe { text(path) }));
    }
}

/// Creates a thread, which is named, unless it is one in lock step; nothing on it is answered by the run.
///
/// # Safety
///
/// As of libc's own.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pthread_create(
    thread: *mut libc::pthread_t,
    attributes: *const libc::pthread_attr_t,
    start: extern "C" fn(*mut c_void) -> *mut c_void,
    argument: *mut c_void,
) -> c_int {
    // SAFETY: the caller keeps the contract of the function.
    let create = |start, argument| unsafe {
        real!(pthread_create(
            thread => *mut libc::pthread_t,
            attributes => *const libc::pthread_attr_t,
            start => extern "C" fn(*mut c_void) -> *mut c_void,
            argument => *mut c_void
        ) -> c_int)
    };
    if let Some(result) = lock_step::make(start, argument, create) {
        return result;
    }
    report(|| Escape::ThreadCreated);
    create(start, argument)
}

/// With this code a process ends that node code ends, whatever code was asked for: many runs would end with this one, and
/// nobody who asks for a success must get one.
const EXIT_BY_NODE: c_int = 1;

/// Ends the process, which is named. When node code asks for it, nothing is flushed and no handler is called.
///
/// # Safety
///
/// As of libc's own.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn exit(code: c_int) -> ! {
    if report(|| Escape::ProcessExit { code }) {
        // SAFETY: it has no conditions.
        unsafe { libc::_exit(EXIT_BY_NODE) }
    }
    // SAFETY: the caller keeps the contract of the function.
    unsafe { real!(exit(code => c_int) -> !) }
}

/// Starts a process, which is named.
///
/// # Safety
///
/// As of libc's own.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn fork() -> libc::pid_t {
    report(|| Escape::ProcessStarted);
    // SAFETY: the caller keeps the contract of the function.
    unsafe { real!(fork() -> libc::pid_t) }
}

/// Starts a process, which is named.
///
/// # Safety
///
/// As of libc's own.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn posix_spawn(
    process: *mut libc::pid_t,
    path: *const c_char,
    actions: *const libc::posix_spawn_file_actions_t,
    attributes: *const libc::posix_spawnattr_t,
    arguments: *const *mut c_char,
    environment: *const *mut c_char,
) -> c_int {
    report(|| Escape::ProcessStarted);
    // SAFETY: the caller keeps the contract of the function.
    unsafe {
        real!(posix_spawn(
            process => *mut libc::pid_t,
            path => *const c_char,
            actions => *const libc::posix_spawn_file_actions_t,
            attributes => *const libc::posix_spawnattr_t,
            arguments => *const *mut c_char,
            environment => *const *mut c_char
        ) -> c_int)
    }
}

/// Starts a process, which is named.
///
/// # Safety
///
/// As of libc's own.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn posix_spawnp(
    process: *mut libc::pid_t,
    path: *const c_char,
    actions: *const libc::posix_spawn_file_actions_t,
    attributes: *const libc::posix_spawnattr_t,
    arguments: *const *mut c_char,
    environment: *const *mut c_char,
) -> c_int {
    report(|| Escape::ProcessStarted);
    // SAFETY: the caller keeps the contract of the function.
    unsafe {
        real!(posix_spawnp(
            process => *mut libc::pid_t,
            path => *const c_char,
            actions => *const libc::posix_spawn_file_actions_t,
            attributes => *const libc::posix_spawnattr_t,
            arguments => *const *mut c_char,
            environment => *const *mut c_char
        ) -> c_int)
    }
}

/// Opens a socket, which is named.
///
/// # Safety
///
/// As of libc's own.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn socket(domain: c_int, kind: c_int, protocol: c_int) -> c_int {
    report(|| Escape::RealSocket);
    // SAFETY: the caller keeps the contract of the function.
    unsafe { real!(socket(domain => c_int, kind => c_int, protocol => c_int) -> c_int) }
}

/// Looks a host name up, which is named.
///
/// # Safety
///
/// As of libc's own.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn getaddrinfo(
    host: *const c_char,
    service: *const c_char,
    hints: *const libc::addrinfo,
    out: *mut *mut libc::addrinfo,
) -> c_int {
    // SAFETY: the caller keeps the contract of the function.
    unsafe {
        report_text(host, |host| Escape::NameLookup { host });
        real!(getaddrinfo(
            host => *const c_char,
            service => *const c_char,
            hints => *const libc::addrinfo,
            out => *mut *mut libc::addrinfo
        ) -> c_int)
    }
}

/// Opens a file, which is named. Libc's own is variadic; see `syscall`.
///
/// # Safety
///
/// As of libc's own.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn open(path: *const c_char, flags: c_int, mode: libc::mode_t) -> c_int {
    // SAFETY: the caller keeps the contract of the function.
    unsafe {
        report_text(path, |path| Escape::RealFile { path });
        real!(open(path => *const c_char, flags => c_int, mode => libc::mode_t) -> c_int)
    }
}

/// Opens a file, which is named. Libc's own is variadic; see `syscall`.
///
/// # Safety
///
/// As of libc's own.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn open64(path: *const c_char, flags: c_int, mode: libc::mode_t) -> c_int {
    // SAFETY: the caller keeps the contract of the function.
    unsafe {
        report_text(path, |path| Escape::RealFile { path });
        real!(open64(path => *const c_char, flags => c_int, mode => libc::mode_t) -> c_int)
    }
}

/// Opens a file, which is named. Libc's own is variadic; see `syscall`.
///
/// # Safety
///
/// As of libc's own.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn openat(directory: c_int, path: *const c_char, flags: c_int, mode: libc::mode_t) -> c_int {
    // SAFETY: the caller keeps the contract of the function.
    unsafe {
        report_text(path, |path| Escape::RealFile { path });
        real!(openat(
            directory => c_int,
            path => *const c_char,
            flags => c_int,
            mode => libc::mode_t
        ) -> c_int)
    }
}

/// Opens a file, which is named. Libc's own is variadic; see `syscall`.
///
/// # Safety
///
/// As of libc's own.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn openat64(directory: c_int, path: *const c_char, flags: c_int, mode: libc::mode_t) -> c_int {
    // SAFETY: the caller keeps the contract of the function.
    unsafe {
        report_text(path, |path| Escape::RealFile { path });
        real!(openat64(
            directory => c_int,
            path => *const c_char,
            flags => c_int,
            mode => libc::mode_t
        ) -> c_int)
    }
}

/// Opens a file, which is named.
///
/// # Safety
///
/// As of libc's own.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn fopen(path: *const c_char, mode: *const c_char) -> *mut libc::FILE {
    // SAFETY: the caller keeps the contract of the function.
    unsafe {
        report_text(path, |path| Escape::RealFile { path });
        real!(fopen(path => *const c_char, mode => *const c_char) -> *mut libc::FILE)
    }
}

/// Opens a file, which is named.
///
/// # Safety
///
/// As of libc's own.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn fopen64(path: *const c_char, mode: *const c_char) -> *mut libc::FILE {
    // SAFETY: the caller keeps the contract of the function.
    unsafe {
        report_text(path, |path| Escape::RealFile { path });
        real!(fopen64(path => *const c_char, mode => *const c_char) -> *mut libc::FILE)
    }
}

/// Reads from a descriptor. Where node code reads the standard input that is named, and there is nothing.
///
/// # Safety
///
/// As of libc's own.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn read(descriptor: c_int, out: *mut c_void, bytes: usize) -> isize {
    if is_standard_input(descriptor) {
        return 0;
    }
    // SAFETY: the caller keeps the contract of the function.
    unsafe { real!(read(descriptor => c_int, out => *mut c_void, bytes => usize) -> isize) }
}

/// As `read`, into several places.
///
/// # Safety
///
/// As of libc's own.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn readv(descriptor: c_int, out: *const libc::iovec, count: c_int) -> isize {
    if is_standard_input(descriptor) {
        return 0;
    }
    // SAFETY: the caller keeps the contract of the function.
    unsafe { real!(readv(descriptor => c_int, out => *const libc::iovec, count => c_int) -> isize) }
}

/// Whether node code would read the standard input by that descriptor. Then it is named.
fn is_standard_input(descriptor: c_int) -> bool {
    descriptor == libc::STDIN_FILENO && report(|| Escape::StandardInput)
}

/// As `read`, into another descriptor: `std::io::copy` takes this way.
///
/// # Safety
///
/// As of libc's own.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn splice(
    from: c_int,
    from_offset: *mut libc::loff_t,
    to: c_int,
    to_offset: *mut libc::loff_t,
    bytes: usize,
    flags: c_uint,
) -> isize {
    if is_standard_input(from) {
        return 0;
    }
    // SAFETY: the caller keeps the contract of the function.
    unsafe {
        real!(splice(
            from => c_int,
            from_offset => *mut libc::loff_t,
            to => c_int,
            to_offset => *mut libc::loff_t,
            bytes => usize,
            flags => c_uint
        ) -> isize)
    }
}

/// Likewise.
///
/// # Safety
///
/// As of libc's own.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sendfile(to: c_int, from: c_int, offset: *mut libc::off_t, bytes: usize) -> isize {
    if is_standard_input(from) {
        return 0;
    }
    // SAFETY: the caller keeps the contract of the function.
    unsafe { real!(sendfile(to => c_int, from => c_int, offset => *mut libc::off_t, bytes => usize) -> isize) }
}

/// Likewise.
///
/// # Safety
///
/// As of libc's own.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sendfile64(to: c_int, from: c_int, offset: *mut libc::off64_t, bytes: usize) -> isize {
    if is_standard_input(from) {
        return 0;
    }
    // SAFETY: the caller keeps the contract of the function.
    unsafe { real!(sendfile64(to => c_int, from => c_int, offset => *mut libc::off64_t, bytes => usize) -> isize) }
}

/// Likewise. Not through libc's `copy_file_range`, which older ones lack.
///
/// # Safety
///
/// As of libc's own.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn copy_file_range(
    from: c_int,
    from_offset: *mut libc::off64_t,
    to: c_int,
    to_offset: *mut libc::off64_t,
    bytes: usize,
    flags: c_uint,
) -> isize {
    if is_standard_input(from) {
        return 0;
    }
    // SAFETY: the caller keeps the contract of the function.
    unsafe {
        real_syscall(
            libc::SYS_copy_file_range,
            [
                c_long::from(from),
                from_offset as c_long,
                c_long::from(to),
                to_offset as c_long,
                bytes as c_long,
                c_long::from(flags),
            ],
        ) as isize
    }
}

/// Reads a file's metadata, which is named.
///
/// # Safety
///
/// As of libc's own.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn statx(
    directory: c_int,
    path: *const c_char,
    flags: c_int,
    wanted: c_uint,
    out: *mut c_void,
) -> c_int {
    // SAFETY: the caller keeps the contract of the function.
    unsafe {
        report_text(path, |path| Escape::FileMetadata { path });
        // Not through libc's `statx`, which older ones lack; the standard library knows what to do if the kernel does.
        real_syscall(
            libc::SYS_statx,
            [c_long::from(directory), path as c_long, c_long::from(flags), c_long::from(wanted), out as c_long, 0],
        ) as c_int
    }
}

/// Opens a directory for listing, which is named.
///
/// # Safety
///
/// As of libc's own.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn opendir(path: *const c_char) -> *mut libc::DIR {
    // SAFETY: the caller keeps the contract of the function.
    unsafe {
        report_text(path, |path| Escape::DirectoryListing { path });
        real!(opendir(path => *const c_char) -> *mut libc::DIR)
    }
}

/// Variables that are none of a program's doing: the standard library reads them for backtraces and for the stack of a thread, tokio for each runtime.
const NOT_NODE_CODE: [&CStr; 4] =
    [c"RUST_BACKTRACE", c"RUST_LIB_BACKTRACE", c"RUST_MIN_STACK", c"TOKIO_UNSTABLE_SHARDED_BLOCKING_QUEUE"];

/// Names the reading of an environment variable, unless it is read by nothing of the program's.
///
/// # Safety
///
/// `name` is null or a C string.
unsafe fn report_environment(name: *const c_char) {
    // SAFETY: by the contract it is a C string.
    if crate::thread::node_code_runs() && !name.is_null() && !NOT_NODE_CODE.contains(&unsafe { CStr::from_ptr(name) }) {
        // SAFETY: as above.
        unsafe { report_text(name, |name| Escape::EnvironmentRead { name }) };
    }
}

/// Reads an environment variable, which is named.
///
/// # Safety
///
/// As of libc's own.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn getenv(name: *const c_char) -> *mut c_char {
    // SAFETY: the caller keeps the contract of the function.
    unsafe {
        report_environment(name);
        real!(getenv(name => *const c_char) -> *mut c_char)
    }
}
