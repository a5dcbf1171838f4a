//! What becomes of this process where a run on one of its threads ends it by a signal.

// Handling signals, and executing a program in this one's place, are calls to libc.
#![allow(unsafe_code)]

use std::io;

/// What becomes of this process where a run on one of its threads ends it by a signal: an abort, an overflow of its stack, a fault of C code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AtFatalSignal {
    /// It says which run that was, and this, and ends by the signal.
    Tell {
        /// What to do about it: the end of the sentence that begins with the run.
        remedy: &'static str,
    },
    /// The program is executed anew in the process's place, with the arguments, the environment, the directory and the standard output that it has now. All that it has in memory is gone.
    BeginAgain {
        /// A variable of the new program's environment that says which run it was, and by which signal: see [`ended_before`].
        variable: &'static str,
    },
}

/// Names the run that is on this thread from now on, for whoever hears that it ended the process. Of a long name its beginning is told.
/// Threads in lock step that are made here afterwards have the same name ([`crate::expect_thread`]).
pub fn name_run(name: &str, seed: u64) {
    system::name_run(name, seed);
}

/// Has this process do that. Only a run that was [named](name_run) on its thread is meant, and only in this process: not a copy that it makes of itself.
/// Called again, the last time counts. Nothing happens where the system isn't Linux.
///
/// # Errors
/// What is needed to begin again can't be had: then the process ends by the signal, as ever.
pub fn at_fatal_signal(what: AtFatalSignal) -> io::Result<()> {
    system::install(what)
}

/// The run for which this program was begun again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndedBefore {
    /// The signal that ended it.
    pub signal: i32,
    /// Its seed.
    pub seed: u64,
    /// The name that it was given.
    pub name: String,
}

/// The run for which this program was begun again by [`AtFatalSignal::BeginAgain`], if it was.
#[must_use]
pub fn ended_before(variable: &str) -> Option<EndedBefore> {
    let told = std::env::var(variable).ok()?;
    let (signal, rest) = told.split_once(' ')?;
    let (seed, name) = rest.split_once(' ')?;
    let seed = u64::from_str_radix(seed.strip_prefix("0x")?, 16).ok()?;
    Some(EndedBefore { signal: signal.parse().ok()?, seed, name: name.to_string() })
}

/// The run that this thread belongs to, if it was named.
pub(crate) fn named_run() -> Option<NamedRun> {
    system::named_run()
}

/// This thread belongs to that run as well: it was made by one of its threads.
pub(crate) fn belong_to(run: Option<NamedRun>) {
    system::belong_to(run);
}

pub(crate) use system::Run as NamedRun;

#[cfg(not(all(target_os = "linux", not(miri))))]
mod system {
    #[derive(Clone, Copy)]
    pub struct Run;

    pub fn name_run(_name: &str, _seed: u64) {}

    pub fn named_run() -> Option<Run> {
        None
    }

    pub fn belong_to(_run: Option<Run>) {}

    pub fn install(_what: super::AtFatalSignal) -> std::io::Result<()> {
        Ok(())
    }
}

/// What a handler may do is little: it allocates nothing, takes no lock, and calls what POSIX calls async-signal-safe.
#[cfg(all(target_os = "linux", not(miri)))]
mod system {
    use std::cell::Cell;
    use std::ffi::{CString, c_char, c_int, c_void};
    use std::io;
    use std::os::unix::ffi::OsStringExt;
    use std::ptr;
    use std::sync::atomic::{AtomicPtr, Ordering};
    use std::sync::{Mutex, PoisonError};

    use super::AtFatalSignal;

    const NAME_BYTES_MAX: usize = 64;

    #[derive(Clone, Copy)]
    pub struct Run {
        name: [u8; NAME_BYTES_MAX],
        length: usize,
        seed: u64,
    }

    thread_local! {
        static RUN: Cell<Option<Run>> = const { Cell::new(None) };
    }

    pub fn name_run(name: &str, seed: u64) {
        let length = (0..=name.len().min(NAME_BYTES_MAX)).rev().find(|&end| name.is_char_boundary(end)).unwrap_or(0);
        let mut bytes = [0; NAME_BYTES_MAX];
        bytes[..length].copy_from_slice(&name.as_bytes()[..length]);
        RUN.set(Some(Run { name: bytes, length, seed }));
    }

    pub fn named_run() -> Option<Run> {
        RUN.get()
    }

    pub fn belong_to(run: Option<Run>) {
        RUN.set(run);
    }

    /// Those that a program's own mistakes end it by.
    const SIGNALS: [c_int; 6] = [libc::SIGILL, libc::SIGTRAP, libc::SIGABRT, libc::SIGBUS, libc::SIGFPE, libc::SIGSEGV];

    /// What the handler needs. It is never freed, as a handler may be reading it.
    struct Plan {
        pid: libc::pid_t,
        remedy: &'static str,
        again: Option<Again>,
        /// What handled the signals before: std, which tells an overflow of the stack.
        before: [libc::sigaction; SIGNALS.len()],
    }

    /// All that is to be as it was.
    struct Again {
        variable: &'static str,
        /// What the others point to.
        _texts: Vec<CString>,
        arguments: Vec<*const c_char>,
        /// Its first place is the variable's.
        environment: Vec<*const c_char>,
        /// A copy of standard output, which may have become another one by then.
        output: c_int,
        directory: CString,
        mode_mask: libc::mode_t,
        signal_mask: libc::sigset_t,
    }

    static PLAN: AtomicPtr<Plan> = AtomicPtr::new(ptr::null_mut());

    pub fn install(what: AtFatalSignal) -> io::Result<()> {
        static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
        let _alone = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
        let (remedy, again) = match what {
            AtFatalSignal::Tell { remedy } => (remedy, None),
            AtFatalSignal::BeginAgain { variable } => ("", Some(Again::new(variable)?)),
        };
        let known = PLAN.load(Ordering::Acquire);
        // SAFETY: zeroes are a `sigaction`, and each call gets places of its own; a plan that was set is never freed.
        unsafe {
            let mut before: [libc::sigaction; SIGNALS.len()] = std::mem::zeroed();
            match known.is_null() {
                true => {
                    for (signal, before) in SIGNALS.iter().zip(&mut before) {
                        libc::sigaction(*signal, ptr::null(), before);
                    }
                }
                false => before = (*known).before,
            }
            let plan = Plan { pid: libc::getpid(), remedy, again, before };
            PLAN.store(Box::leak(Box::new(plan)), Ordering::Release);
            if known.is_null() {
                let mut action: libc::sigaction = std::mem::zeroed();
                action.sa_sigaction = on_signal as *const () as usize;
                action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK;
                for signal in SIGNALS {
                    libc::sigaction(signal, &raw const action, ptr::null_mut());
                }
            }
        }
        Ok(())
    }

    impl Again {
        fn new(variable: &'static str) -> io::Result<Again> {
            let text = |bytes: Vec<u8>| CString::new(bytes).map_err(io::Error::other);
            let arguments: Vec<CString> =
                std::env::args_os().map(|argument| text(argument.into_vec())).collect::<io::Result<_>>()?;
            let directory = text(std::env::current_dir()?.into_os_string().into_vec())?;
            let others = std::env::vars_os().filter(|(name, _)| name != variable);
            let environment: Vec<CString> = others
                .map(|(name, value)| text([name.into_vec(), b"=".to_vec(), value.into_vec()].concat()))
                .collect::<io::Result<_>>()?;
            let pointers =
                |texts: &[CString]| -> Vec<*const c_char> { texts.iter().map(|text| text.as_ptr()).collect() };
            let argument_pointers = [&pointers(&arguments)[..], &[ptr::null()]].concat();
            let environment_pointers = [&[ptr::null()], &pointers(&environment)[..], &[ptr::null()]].concat();
            // SAFETY: the paths end with zeroes; a mask that is set is put back at once, and the other place is this call's alone.
            unsafe {
                let output = libc::fcntl(libc::STDOUT_FILENO, libc::F_DUPFD_CLOEXEC, 3);
                let mode_mask = libc::umask(0o077);
                libc::umask(mode_mask);
                let mut signal_mask: libc::sigset_t = std::mem::zeroed();
                libc::pthread_sigmask(libc::SIG_SETMASK, ptr::null(), &raw mut signal_mask);
                Ok(Again {
                    variable,
                    _texts: arguments.into_iter().chain(environment).collect(),
                    arguments: argument_pointers,
                    environment: environment_pointers,
                    output,
                    directory,
                    mode_mask,
                    signal_mask,
                })
            }
        }

        /// Executes the program. It returns only if that can't be.
        fn begin(&self, signal: c_int, run: &Run) {
            let mut entry = Text::default();
            for part in [self.variable.as_bytes(), b"="] {
                entry.add(part);
            }
            entry.add_number(signal.unsigned_abs().into(), 10);
            entry.add(b" 0x");
            entry.add_number(run.seed, 16);
            entry.add(b" ");
            entry.add(&run.name[..run.length]);
            entry.add(b"\0");
            let environment = self.environment.as_ptr().cast_mut();
            // SAFETY: the first place of the environment is this entry's, which nobody else writes as one thread alone comes here; both lists
            // end with null, and what they point to is never freed. All of these may be called by a handler.
            unsafe {
                environment.write(entry.bytes.as_ptr().cast());
                libc::dup2(self.output, libc::STDOUT_FILENO);
                libc::chdir(self.directory.as_ptr());
                libc::umask(self.mode_mask);
                libc::pthread_sigmask(libc::SIG_SETMASK, &raw const self.signal_mask, ptr::null_mut());
                // The file itself: another may be in its place by now.
                libc::execve(c"/proc/self/exe".as_ptr(), self.arguments.as_ptr(), environment);
            }
        }
    }

    /// A short text that needs no memory. What is too much is left out.
    struct Text {
        bytes: [u8; 512],
        length: usize,
    }

    impl Default for Text {
        fn default() -> Text {
            Text { bytes: [0; 512], length: 0 }
        }
    }

    impl Text {
        fn add(&mut self, more: &[u8]) {
            for byte in more {
                // A zero stays at the end.
                if self.length + 1 < self.bytes.len() {
                    self.bytes[self.length] = *byte;
                    self.length += 1;
                }
            }
        }

        fn add_number(&mut self, number: u64, base: u64) {
            let mut digits = [0; 20];
            let (mut left, mut first) = (number, digits.len());
            loop {
                first -= 1;
                digits[first] = b"0123456789abcdef"[(left % base) as usize];
                left /= base;
                if left == 0 {
                    return self.add(&digits[first..]);
                }
            }
        }
    }

    extern "C" fn on_signal(signal: c_int, info: *mut libc::siginfo_t, context: *mut c_void) {
        // SAFETY: it was leaked before the handler was installed.
        let Some(plan) = (unsafe { PLAN.load(Ordering::Acquire).as_ref() }) else { return };
        let place = SIGNALS.iter().position(|known| *known == signal).unwrap_or(0);
        let before = &plan.before[place];
        // SAFETY: who installed a handler said by its flags which kind it is.
        unsafe {
            match before.sa_sigaction {
                libc::SIG_DFL | libc::SIG_IGN => {}
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
        // It wasn't an overflow of a stack: std doesn't come back from these.
        // SAFETY: the kernel gives a description of the signal, which has its sender where somebody sent it.
        let is_own = unsafe {
            let is_sent = (*info).si_code <= 0;
            libc::getpid() == plan.pid && (!is_sent || (*info).si_pid() == plan.pid)
        };
        if let (true, Some(run)) = (is_own, RUN.get()) {
            one_alone();
            match &plan.again {
                Some(again) => again.begin(signal, &run),
                None => tell(signal, &run, plan.remedy),
            }
        }
        // SAFETY: zeroes are a `sigaction` that is the default one. What faulted faults once more when this returns, and `abort` raises its signal
        // again; whoever was sent one from outside is sent it once more.
        unsafe {
            let default: libc::sigaction = std::mem::zeroed();
            libc::sigaction(signal, &raw const default, ptr::null_mut());
            if (*info).si_code <= 0 {
                libc::raise(signal);
            }
        }
    }

    /// Comes back on one thread: others wait for the end of the process.
    fn one_alone() {
        use std::sync::atomic::AtomicBool;
        static IS_TAKEN: AtomicBool = AtomicBool::new(false);
        while IS_TAKEN.swap(true, Ordering::AcqRel) {
            // SAFETY: it waits for a signal.
            unsafe { libc::pause() };
        }
    }

    fn tell(signal: c_int, run: &Run, remedy: &str) {
        let mut text = Text::default();
        text.add(b"\nsquall: the run of seed 0x");
        text.add_number(run.seed, 16);
        text.add(b" of ");
        text.add(&run.name[..run.length]);
        text.add(b" has ended the process by signal ");
        text.add_number(signal.unsigned_abs().into(), 10);
        text.add(remedy.as_bytes());
        text.add(b"\n");
        // SAFETY: so many bytes are there.
        let _ = unsafe { libc::write(libc::STDERR_FILENO, text.bytes.as_ptr().cast(), text.length) };
    }
}
