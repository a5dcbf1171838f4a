//! Threads that run one thing and end.
//!
//! A run needs a thread that nothing has run on before: std, `rand` and others keep randomness for each thread. The start and end of a
//! thread cost as much as a short run, and most of that is its stack: it is given back page by page, which interrupts every other
//! processor that the process runs on, and asked for anew. A [`FreshThread`] takes the stack of the one before; all else of it, its
//! thread-locals above all, is new.

// Stacks are mapped, and threads started on them, by calls to libc; a handler tells which address a fault is at.
#![allow(unsafe_code)]

use std::cell::Cell;
use std::convert::Infallible;
use std::io;
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

thread_local! {
    static IS_FRESH: Cell<bool> = const { Cell::new(false) };
}

/// Whether this is a [`FreshThread`].
pub fn is_fresh_thread() -> bool {
    IS_FRESH.get()
}

/// A thread that runs one thing and ends. One that is dropped before it has ended goes on by itself, and keeps its stack.
#[derive(Debug)]
pub struct FreshThread(Kind);

#[derive(Debug)]
enum Kind {
    Captured {
        handle: Option<JoinHandle<()>>,
        ended: Receiver<Infallible>,
    },
    #[cfg(all(target_os = "linux", target_env = "gnu", target_arch = "x86_64", not(miri)))]
    Bare(bare::Thread),
}

impl FreshThread {
    /// One of std's threads. What it prints is captured where it is started in a test.
    ///
    /// # Errors
    /// If the system has no more threads.
    pub fn spawn_captured(name: &str, body: impl FnOnce() + Send + 'static) -> io::Result<FreshThread> {
        let (ending, ended) = sync_channel::<Infallible>(0);
        let thread = move || {
            // Held until the end.
            let _ending = ending;
            #[cfg(not(miri))]
            let _handlers = crate::handler_stack::HandlerStack::new();
            IS_FRESH.set(true);
            body();
        };
        let handle = std::thread::Builder::new().name(name.to_string()).spawn(thread)?;
        Ok(FreshThread(Kind::Captured { handle: Some(handle), ended }))
    }

    /// One on the stack of the last one that ended, if it was joined by this thread. std doesn't know its name, and a test doesn't capture
    /// what it prints.
    /// A panic of `body` ends it without a word more than the panic hook's. If its stack overflows, the process is aborted and says so, as
    /// with std's threads.
    ///
    /// Where it isn't supported (anywhere but on x86-64 Linux with glibc), it is one of std's.
    ///
    /// # Errors
    /// If the system has no more threads, or no memory for a stack.
    pub fn spawn_bare(name: &'static str, body: impl FnOnce() + Send + 'static) -> io::Result<FreshThread> {
        #[cfg(all(target_os = "linux", target_env = "gnu", target_arch = "x86_64", not(miri)))]
        {
            let thread = move || {
                IS_FRESH.set(true);
                body();
            };
            bare::Thread::spawn(name, Box::new(thread)).map(|thread| FreshThread(Kind::Bare(thread)))
        }
        #[cfg(not(all(target_os = "linux", target_env = "gnu", target_arch = "x86_64", not(miri))))]
        FreshThread::spawn_captured(name, body)
    }

    /// Waits until it has ended, the destructors of its thread-locals included, or until that time is over: by the system's wall clock, so
    /// longer where that is set back. Whether it has ended.
    pub fn join_timeout(&mut self, timeout: Duration) -> bool {
        match &mut self.0 {
            Kind::Captured { handle, ended } => {
                if matches!(ended.recv_timeout(timeout), Err(RecvTimeoutError::Timeout)) {
                    return false;
                }
                if let Some(handle) = handle.take() {
                    // What it panicked with the panic hook has told.
                    let _ = handle.join();
                }
                true
            }
            #[cfg(all(target_os = "linux", target_env = "gnu", target_arch = "x86_64", not(miri)))]
            Kind::Bare(thread) => thread.join_timeout(timeout),
        }
    }
}

#[cfg(all(target_os = "linux", target_env = "gnu", target_arch = "x86_64", not(miri)))]
mod bare {
    use std::cell::{Cell, RefCell};
    use std::ffi::{c_int, c_void};
    use std::io;
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::ptr;
    use std::sync::{Once, OnceLock};
    use std::time::Duration;

    use crate::handler_stack::HANDLER_BYTES;

    /// As std's.
    const STACK_BYTES: usize = 2 << 20;

    /// No system maps more, and it says so.
    const STACK_BYTES_MAX: usize = 1 << 46;

    /// What std takes another size of stacks from.
    const STACK_BYTES_VARIABLE: &str = "RUST_MIN_STACK";

    /// For what the C library keeps on a thread's stack: its thread-locals first of all.
    const LIBRARY_BYTES: usize = 256 << 10;

    const PAGE_BYTES: usize = 4096;

    type Body = Box<dyn FnOnce() + Send>;

    /// From the lowest address: a page that faults, the handler's stack, a page that faults, the stack, which grows downwards.
    #[derive(Debug)]
    struct Stack {
        lowest: *mut u8,
        bytes: usize,
    }

    // SAFETY: it is memory that nothing else refers to.
    unsafe impl Send for Stack {}

    impl Stack {
        fn new() -> io::Result<Stack> {
            static BYTES: OnceLock<usize> = OnceLock::new();
            let wanted = *BYTES.get_or_init(|| {
                let said = std::env::var(STACK_BYTES_VARIABLE).ok().and_then(|bytes| bytes.parse().ok());
                said.unwrap_or(STACK_BYTES).min(STACK_BYTES_MAX)
            });
            let bytes = wanted.saturating_add(LIBRARY_BYTES).next_multiple_of(PAGE_BYTES);
            let mut stack = Stack { lowest: ptr::null_mut(), bytes };
            // SAFETY: a new mapping touches no memory that is in use.
            let lowest = unsafe {
                libc::mmap(
                    ptr::null_mut(),
                    stack.mapped_bytes(),
                    libc::PROT_READ | libc::PROT_WRITE,
                    libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE | libc::MAP_STACK,
                    -1,
                    0,
                )
            };
            if lowest == libc::MAP_FAILED {
                return Err(io::Error::last_os_error());
            }
            stack.lowest = lowest.cast();
            for page in [stack.lowest, stack.guard()] {
                // SAFETY: both pages are part of the mapping, and nothing is on them.
                if unsafe { libc::mprotect(page.cast(), PAGE_BYTES, libc::PROT_NONE) } != 0 {
                    return Err(io::Error::last_os_error());
                }
            }
            Ok(stack)
        }

        fn mapped_bytes(&self) -> usize {
            PAGE_BYTES + HANDLER_BYTES + PAGE_BYTES + self.bytes
        }

        /// The stack that faults are handled on.
        fn handler(&self) -> *mut u8 {
            self.lowest.wrapping_add(PAGE_BYTES)
        }

        /// The page below the stack.
        fn guard(&self) -> *mut u8 {
            self.handler().wrapping_add(HANDLER_BYTES)
        }

        /// The lowest address of the stack itself.
        fn start(&self) -> *mut u8 {
            self.guard().wrapping_add(PAGE_BYTES)
        }
    }

    impl Drop for Stack {
        fn drop(&mut self) {
            if !self.lowest.is_null() {
                // SAFETY: it was mapped with that length, and the thread that ran on it has ended.
                unsafe { libc::munmap(self.lowest.cast(), self.mapped_bytes()) };
            }
        }
    }

    thread_local! {
        /// Of the last thread that this one has joined.
        static SPARE: RefCell<Option<Stack>> = const { RefCell::new(None) };
        /// Where the page below this thread's stack begins. Zero on other threads.
        static GUARD: Cell<usize> = const { Cell::new(0) };
        static NAME: Cell<&'static str> = const { Cell::new("") };
    }

    #[derive(Debug)]
    pub(super) struct Thread {
        id: libc::pthread_t,
        /// None once it has ended.
        stack: Option<Stack>,
    }

    /// What a thread finds at its start.
    struct Start {
        name: &'static str,
        handler: *mut c_void,
        guard: usize,
        body: Body,
    }

    impl Thread {
        pub(super) fn spawn(name: &'static str, body: Body) -> io::Result<Thread> {
            tell_overflows();
            let stack = match SPARE.with_borrow_mut(Option::take) {
                Some(stack) => stack,
                None => Stack::new()?,
            };
            let guard = stack.guard() as usize;
            let start = Box::into_raw(Box::new(Start { name, handler: stack.handler().cast(), guard, body }));
            let mut id = 0;
            // SAFETY: the attributes are initialised before they are used, and destroyed. The stack is mapped and can be written, and
            // stays so until the thread has ended: `Thread` owns it, and leaks it if it doesn't join. `start` is given to the new thread.
            let error = unsafe {
                let mut attributes = std::mem::MaybeUninit::<libc::pthread_attr_t>::uninit();
                let mut error = libc::pthread_attr_init(attributes.as_mut_ptr());
                if error == 0 {
                    error = libc::pthread_attr_setstack(attributes.as_mut_ptr(), stack.start().cast(), stack.bytes);
                    if error == 0 {
                        error = libc::pthread_create(&raw mut id, attributes.as_ptr(), run, start.cast());
                    }
                    libc::pthread_attr_destroy(attributes.as_mut_ptr());
                }
                error
            };
            if error != 0 {
                // SAFETY: no thread was started, so it is this one's again.
                drop(unsafe { Box::from_raw(start) });
                return Err(io::Error::from_raw_os_error(error));
            }
            Ok(Thread { id, stack: Some(stack) })
        }

        pub(super) fn join_timeout(&mut self, timeout: Duration) -> bool {
            if self.stack.is_none() {
                return true;
            }
            // SAFETY: the clock is asked for into a place of its own, and the thread is neither joined nor detached yet, since its stack
            // is still here.
            let error = unsafe {
                let mut until = libc::timespec { tv_sec: 0, tv_nsec: 0 };
                libc::clock_gettime(libc::CLOCK_REALTIME, &raw mut until);
                until = later(until, timeout);
                libc::pthread_timedjoin_np(self.id, ptr::null_mut(), &raw const until)
            };
            if error == libc::ETIMEDOUT {
                return false;
            }
            assert_eq!(error, 0, "a thread can be joined");
            // The kernel has left the stack: that is what joining waits for.
            SPARE.set(self.stack.take());
            true
        }
    }

    fn later(time: libc::timespec, by: Duration) -> libc::timespec {
        const SECOND_NS: libc::c_long = 1_000_000_000;
        let nanoseconds = time.tv_nsec + libc::c_long::from(by.subsec_nanos());
        let seconds = libc::time_t::try_from(by.as_secs()).unwrap_or(libc::time_t::MAX);
        libc::timespec {
            tv_sec: time.tv_sec.saturating_add(seconds).saturating_add(nanoseconds / SECOND_NS),
            tv_nsec: nanoseconds % SECOND_NS,
        }
    }

    impl Drop for Thread {
        fn drop(&mut self) {
            if let Some(stack) = self.stack.take() {
                // The thread still runs on it.
                std::mem::forget(stack);
                // SAFETY: it was neither joined nor detached.
                unsafe { libc::pthread_detach(self.id) };
            }
        }
    }

    extern "C" fn run(start: *mut c_void) -> *mut c_void {
        // SAFETY: it is what `spawn` made for this thread alone.
        let Start { name, handler, guard, body } = *unsafe { Box::from_raw(start.cast::<Start>()) };
        GUARD.set(guard);
        NAME.set(name);
        let mut name_bytes = [0u8; 16];
        for (place, byte) in name_bytes.iter_mut().zip(name.bytes().take(15)) {
            *place = byte;
        }
        let stack = libc::stack_t { ss_sp: handler, ss_flags: 0, ss_size: HANDLER_BYTES };
        // SAFETY: the name ends with a zero, and the handler's stack belongs to this thread alone, until it ends.
        unsafe {
            libc::prctl(libc::PR_SET_NAME, name_bytes.as_ptr());
            libc::sigaltstack(&raw const stack, ptr::null_mut());
        }
        // What it panicked with the panic hook has told; a panic that left this function would abort.
        let _ = catch_unwind(AssertUnwindSafe(body));
        ptr::null_mut()
    }

    /// Faults that aren't overflows of these stacks are passed on to what handled them before: std, mostly.
    static BEFORE: OnceLock<[(c_int, libc::sigaction); 2]> = OnceLock::new();

    /// Makes an overflow of a stack say what it is.
    fn tell_overflows() {
        static ONCE: Once = Once::new();
        ONCE.call_once(|| {
            // SAFETY: zeroes are a `sigaction`; each call gets places of its own. The handler keeps to what a handler may do, and `BEFORE` is
            // set before it is installed.
            unsafe {
                let before = [libc::SIGSEGV, libc::SIGBUS].map(|signal| {
                    let mut before: libc::sigaction = std::mem::zeroed();
                    libc::sigaction(signal, ptr::null(), &raw mut before);
                    (signal, before)
                });
                let _ = BEFORE.set(before);
                let mut action: libc::sigaction = std::mem::zeroed();
                action.sa_sigaction = on_fault as *const () as usize;
                action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK;
                for (signal, _) in before {
                    libc::sigaction(signal, &raw const action, ptr::null_mut());
                }
            }
        });
    }

    extern "C" fn on_fault(signal: c_int, info: *mut libc::siginfo_t, context: *mut c_void) {
        let guard = GUARD.get();
        // SAFETY: the kernel gives the description of a fault, which has an address.
        let address = unsafe { (*info).si_addr() } as usize;
        if guard != 0 && (guard..guard + PAGE_BYTES).contains(&address) {
            const OVERFLOW: &str = "' has overflowed its stack\nfatal runtime error: stack overflow, aborting\n";
            for said in ["\nthread '", NAME.get(), OVERFLOW] {
                // SAFETY: the text is as long as is said, and a handler may write.
                unsafe { libc::write(libc::STDERR_FILENO, said.as_ptr().cast(), said.len()) };
            }
            // SAFETY: a handler may end the process.
            unsafe { libc::abort() };
        }
        let before = BEFORE.get().and_then(|all| all.iter().find(|(known, _)| *known == signal));
        let Some((_, before)) = before else { return };
        // SAFETY: who installed a handler said by its flags which kind it is. Without one the default is put back, and the
        // instruction faults once more when this returns.
        unsafe {
            match before.sa_sigaction {
                libc::SIG_DFL | libc::SIG_IGN => {
                    let mut default: libc::sigaction = std::mem::zeroed();
                    default.sa_sigaction = libc::SIG_DFL;
                    libc::sigaction(signal, &raw const default, ptr::null_mut());
                }
                handler if before.sa_flags & libc::SA_SIGINFO != 0 => {
                    let handler: extern "C" fn(c_int, *mut libc::siginfo_t, *mut c_void) = std::mem::transmute(handler);
                    handler(signal, info, context);
                }
                handler => {
                    let handler: extern "C" fn(c_int) = std::mem::transmute(handler);
                    handler(signal);
                }
            }
        }
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        #[test]
        fn a_time_after_another_has_less_than_a_second_of_nanoseconds() {
            for (time, by, after) in [
                ((5, 0), Duration::ZERO, (5, 0)),
                ((5, 999_999_998), Duration::from_nanos(1), (5, 999_999_999)),
                ((5, 999_999_999), Duration::from_nanos(1), (6, 0)),
                ((5, 999_999_999), Duration::new(3, 999_999_999), (9, 999_999_998)),
                ((5, 1), Duration::MAX, (i64::MAX, 0)),
            ] {
                let later = later(libc::timespec { tv_sec: time.0, tv_nsec: time.1 }, by);
                assert_eq!((later.tv_sec, later.tv_nsec), after, "{time:?} {by:?}");
            }
        }

        /// An overflow of the handler's stack faults too, and so does one of the thread's.
        #[test]
        fn a_page_that_faults_lies_below_each_stack() {
            let maps = || std::fs::read_to_string("/proc/self/maps").expect("the mappings");
            let (sender, receiver) = std::sync::mpsc::channel();
            let mut thread = Thread::spawn(
                "test",
                Box::new(move || {
                    // SAFETY: zeroes are a description of a stack, which is asked for.
                    let handler = unsafe {
                        let mut handler: libc::stack_t = std::mem::zeroed();
                        libc::sigaltstack(ptr::null(), &raw mut handler);
                        handler.ss_sp as usize
                    };
                    sender.send((handler, GUARD.get(), maps())).expect("somebody listens");
                }),
            )
            .expect("a thread");
            let (handler, guard, maps) = receiver.recv().expect("an answer");
            assert!(thread.join_timeout(Duration::from_secs(60)));
            let faults = |address: usize| {
                maps.lines().any(|line| {
                    let (range, rest) = line.split_once(' ').expect("a range");
                    let (from, to) = range.split_once('-').expect("two ends");
                    let number = |text| usize::from_str_radix(text, 16).expect("a number");
                    (number(from)..number(to)).contains(&address) && rest.starts_with("---p")
                })
            };
            assert!(faults(handler - 1) && !faults(handler), "{handler:x} in\n{maps}");
            assert!(faults(guard) && !faults(guard - 1) && !faults(guard + PAGE_BYTES), "{guard:x} in\n{maps}");
        }
    }
}
