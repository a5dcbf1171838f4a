//! Threads in lock step: real ones that never run beside the run's.
//!
//! A runtime executes what blocks on threads of its own. Such a thread is made when the runtime asks for it, but stands still until the run's thread
//! [steps](SteppedThread::step) it; the run's thread then stands still itself, until the other one waits for something or has ended. So what both do follows from
//! nothing but their programs. What node code on such a thread asks libc is answered by the run's host, on the run's thread.
//!
//! A wait without a time limit is over when the word that it waits for has changed (as all of std's and parking_lot's waits have it), one with a limit when the
//! host's monotonic clock shows that time. The run's thread asks for both by [`SteppedThread::is_ready`].

// A thread that another one is made by takes a pointer to what it begins with, and the words that threads wait for are read.
#![allow(unsafe_code)]

use std::cell::{Cell, RefCell};
use std::ffi::{c_int, c_void};
use std::fmt;
use std::rc::Rc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::fatal_signal::{NamedRun, belong_to, named_run};
use crate::handler_stack::HandlerStack;
use crate::thread::{Guard, ask, node_code_runs};
use crate::{Escape, Host, set_node_code};

/// The start of a thread, as libc has it.
pub(crate) type StartRoutine = extern "C" fn(*mut c_void) -> *mut c_void;

thread_local! {
    /// Whether the next thread that is made here is stepped.
    static IS_EXPECTED: Cell<bool> = const { Cell::new(false) };
    /// Those made here since somebody asked.
    static MADE: RefCell<Vec<SteppedThread>> = const { RefCell::new(Vec::new()) };
    /// Whether there are some. It has no destructor, and is looked at in each drive of a runtime.
    static HAS_MADE: Cell<bool> = const { Cell::new(false) };
    /// Whether another thread is stepped from here now.
    static IS_STEPPING: Cell<bool> = const { Cell::new(false) };
    /// On a stepped thread, its own baton. It goes last of all that the thread has: whatever was there first goes last.
    static OWN: RefCell<Option<Own>> = const { RefCell::new(None) };
}

/// The next thread that node code of this thread makes is a runtime's own: it isn't an [`Escape`], but one of [`take_made_threads`].
pub fn expect_thread() {
    IS_EXPECTED.set(true);
}

/// The [expected](expect_thread) threads that were made since this was asked last, here and on those that were stepped from here, in order. One that is dropped without having been stepped stands still for ever.
#[must_use]
#[inline(always)]
pub fn take_made_threads() -> Vec<SteppedThread> {
    IS_EXPECTED.set(false);
    if HAS_MADE.replace(false) { MADE.take() } else { Vec::new() }
}

fn keep_made(made: impl IntoIterator<Item = SteppedThread>) {
    MADE.with_borrow_mut(|all| {
        all.extend(made);
        HAS_MADE.set(!all.is_empty());
    });
}

/// Whether this thread steps another one now: what the host is asked is that one's question.
#[must_use]
pub fn is_stepping() -> bool {
    IS_STEPPING.get()
}

/// Whether this is a stepped thread.
#[must_use]
pub fn is_stepped_thread() -> bool {
    own().is_some()
}

/// On a stepped thread, leaves a text for the run's thread; see [`SteppedThread::take_notes`].
pub fn leave_note(text: String) {
    if let Some(baton) = own() {
        baton.lock().notes.push(text);
    }
}

fn own() -> Option<Arc<Baton>> {
    OWN.try_with(|own| own.borrow().as_ref().map(|own| Arc::clone(&own.0))).ok().flatten()
}

/// A thread in lock step with the one that it was made on.
#[derive(Clone)]
pub struct SteppedThread(Arc<Baton>);

impl fmt::Debug for SteppedThread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SteppedThread").field("has_ended", &self.has_ended()).finish_non_exhaustive()
    }
}

/// Which of the two goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Turn {
    OfRun,
    OfThread,
}

#[derive(Debug)]
enum Question {
    Monotonic,
    Wall,
    Entropy(usize),
    Escape(Escape),
}

#[derive(Debug)]
enum Answer {
    Ns(u64),
    Bytes(Vec<u8>),
    Told,
}

/// What a thread stands still for.
#[derive(Clone, Copy, Debug)]
struct Wait {
    /// The address of a word, and what it held. Whoever waits keeps it valid.
    word: Option<(usize, u32)>,
    until_ns: Option<u64>,
}

#[derive(Debug)]
struct State {
    turn: Turn,
    question: Option<Question>,
    answer: Option<Answer>,
    /// `None` before its first step.
    wait: Option<Wait>,
    has_ended: bool,
    notes: Vec<String>,
    /// Threads that were made on this one, for the run's thread.
    made: Vec<SteppedThread>,
}

#[derive(Debug)]
struct Baton {
    state: Mutex<State>,
    changed: Condvar,
}

impl Baton {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives the turn away, and stands still until it comes back.
    fn hand_over<'b>(&'b self, mut state: MutexGuard<'b, State>, own: Turn) -> MutexGuard<'b, State> {
        state.turn = if own == Turn::OfRun { Turn::OfThread } else { Turn::OfRun };
        self.changed.notify_all();
        self.await_turn(state, own)
    }

    fn await_turn<'b>(&'b self, mut state: MutexGuard<'b, State>, own: Turn) -> MutexGuard<'b, State> {
        while state.turn != own {
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        state
    }

    /// Asks the run's host, on the run's thread.
    fn ask_run(&self, question: Question) -> Option<Answer> {
        let mut state = self.lock();
        state.question = Some(question);
        self.hand_over(state, Turn::OfThread).answer.take()
    }
}

impl SteppedThread {
    /// Whether it has ended, the destructors of its thread-locals included.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        self.0.lock().has_ended
    }

    /// Whether it would go on if it were stepped. To be asked on the run's thread, by node code.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        let (has_ended, wait) = {
            let state = self.0.lock();
            (state.has_ended, state.wait)
        };
        match wait {
            _ if has_ended => false,
            None => true,
            Some(wait) => has_changed(wait.word) || wait.until_ns.is_some_and(|until_ns| now_ns() >= until_ns),
        }
    }

    /// Whether what it waits for has come, apart from a time. To be asked on the run's thread.
    #[must_use]
    pub fn is_woken(&self) -> bool {
        let state = self.0.lock();
        !state.has_ended && state.wait.is_some_and(|wait| has_changed(wait.word))
    }

    /// How long it would wait from now on, if nobody ends its wait before; `None` if for ever. To be asked on the run's thread, by node code.
    #[must_use]
    pub fn waits_at_most(&self) -> Option<Duration> {
        let wait = self.0.lock().wait?;
        Some(Duration::from_nanos(wait.until_ns?.saturating_sub(now_ns())))
    }

    /// Whether it waits for a time.
    #[must_use]
    pub fn has_time_limit(&self) -> bool {
        self.0.lock().wait.is_some_and(|wait| wait.until_ns.is_some())
    }

    /// Lets it go on until it waits or has ended; a wait that it is in is over. What it asks is answered by this thread's host. To be called on the run's thread, by
    /// node code.
    pub fn step(&self) {
        let node_code = set_node_code(false);
        let was_stepping = IS_STEPPING.replace(true);
        let mut state = self.0.lock();
        if !state.has_ended {
            state = self.0.hand_over(state, Turn::OfRun);
            while let Some(question) = state.question.take() {
                drop(state);
                set_node_code(true);
                let answer = answer(question);
                set_node_code(false);
                state = self.0.lock();
                state.answer = answer;
                state = self.0.hand_over(state, Turn::OfRun);
            }
        }
        let made = std::mem::take(&mut state.made);
        drop(state);
        keep_made(made);
        IS_STEPPING.set(was_stepping);
        set_node_code(node_code);
    }

    /// What it has left by [`leave_note`] since this was asked last.
    #[must_use]
    pub fn take_notes(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().notes)
    }
}

fn now_ns() -> u64 {
    ask(|host| host.monotonic_ns()).unwrap_or(0)
}

fn answer(question: Question) -> Option<Answer> {
    ask(|host| match question {
        Question::Monotonic => Answer::Ns(host.monotonic_ns()),
        Question::Wall => Answer::Ns(host.wall_ns()),
        Question::Entropy(bytes) => {
            let mut out = vec![0; bytes];
            host.fill_entropy(&mut out);
            Answer::Bytes(out)
        }
        Question::Escape(escape) => {
            host.on_escape(escape);
            Answer::Told
        }
    })
}

fn has_changed(word: Option<(usize, u32)>) -> bool {
    word.is_some_and(|(address, expected)| {
        // SAFETY: a thread waits for that word, and so keeps it valid; it is only accessed atomically.
        unsafe { AtomicU32::from_ptr(address as *mut u32) }.load(Ordering::SeqCst) != expected
    })
}

/// Stands in for the run's host on a stepped thread.
struct Forwarding(Arc<Baton>);

impl Forwarding {
    fn ns(&self, question: Question) -> u64 {
        match self.0.ask_run(question) {
            Some(Answer::Ns(ns)) => ns,
            _ => 0,
        }
    }
}

impl Host for Forwarding {
    fn monotonic_ns(&self) -> u64 {
        self.ns(Question::Monotonic)
    }

    fn wall_ns(&self) -> u64 {
        self.ns(Question::Wall)
    }

    fn fill_entropy(&self, out: &mut [u8]) {
        if let Some(Answer::Bytes(bytes)) = self.0.ask_run(Question::Entropy(out.len())) {
            out.copy_from_slice(&bytes);
        }
    }

    fn on_escape(&self, escape: Escape) {
        self.0.ask_run(Question::Escape(escape));
    }
}

/// A stepped thread's own, which tells its end when it is dropped.
struct Own(Arc<Baton>);

impl Drop for Own {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.has_ended = true;
        state.turn = Turn::OfRun;
        self.0.changed.notify_all();
    }
}

/// What a stepped thread begins with.
struct Start {
    routine: StartRoutine,
    argument: *mut c_void,
    baton: Arc<Baton>,
    /// What it ends the process by, that run does.
    run: Option<NamedRun>,
}

/// Makes a thread that is to be stepped by `make`, which is given what libc is to start it with, and gives libc's result back. `None` if none is expected here.
pub(crate) fn make(
    routine: StartRoutine,
    argument: *mut c_void,
    make: impl FnOnce(StartRoutine, *mut c_void) -> c_int,
) -> Option<c_int> {
    if !node_code_runs() || !IS_EXPECTED.replace(false) {
        return None;
    }
    let state = State {
        turn: Turn::OfRun,
        question: None,
        answer: None,
        wait: None,
        has_ended: false,
        notes: vec![],
        made: vec![],
    };
    let baton = Arc::new(Baton { state: Mutex::new(state), changed: Condvar::new() });
    let start = Box::into_raw(Box::new(Start { routine, argument, baton: Arc::clone(&baton), run: named_run() }));
    let result = make(run_in_steps, start.cast());
    if result == 0 {
        let thread = SteppedThread(baton);
        match own() {
            Some(own) => own.lock().made.push(thread),
            None => keep_made([thread]),
        }
    } else {
        // SAFETY: no thread was made that would take it.
        drop(unsafe { Box::from_raw(start) });
    }
    Some(result)
}

extern "C" fn run_in_steps(start: *mut c_void) -> *mut c_void {
    // SAFETY: it comes from `make`, which gave it to this thread alone.
    let Start { routine, argument, baton, run } = *unsafe { Box::from_raw(start.cast::<Start>()) };
    // First of all, so that it goes last.
    OWN.with_borrow_mut(|own| *own = Some(Own(Arc::clone(&baton))));
    belong_to(run);
    drop(baton.await_turn(baton.lock(), Turn::OfThread));
    let guard: Guard = crate::enter(Rc::new(Forwarding(baton)));
    set_node_code(true);
    // Before std's own, which leaves it where there is one.
    let handlers = HandlerStack::new();
    let result = routine(argument);
    drop(handlers);
    drop(guard);
    result
}

/// How a stepped thread's wait has ended.
pub(crate) enum Waited {
    /// The word has changed.
    Woken,
    /// The time is over.
    TimedOut,
}

/// Stands still, if this is a stepped thread in node code, until `word` no longer holds what is given with it, or for `limit_ns`.
pub(crate) fn wait(word: Option<(usize, u32)>, limit_ns: Option<u64>) -> Option<Waited> {
    if !node_code_runs() {
        return None;
    }
    let baton = own()?;
    let until_ns = match limit_ns {
        None => None,
        Some(limit_ns) => Some(ask(|host| host.monotonic_ns())?.saturating_add(limit_ns)),
    };
    let node_code = set_node_code(false);
    let mut state = baton.lock();
    state.wait = Some(Wait { word, until_ns });
    let state = baton.hand_over(state, Turn::OfThread);
    drop(state);
    set_node_code(node_code);
    Some(if has_changed(word) { Waited::Woken } else { Waited::TimedOut })
}
