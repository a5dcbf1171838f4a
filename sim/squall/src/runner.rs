//! Runs on threads: a fresh one for each run, and a watchdog beside it.
//!
//! The engine knows neither threads nor real time. Here a [`Simulation`] becomes a [`Target`]: each run gets a thread of
//! its own (std draws the keys of its hash maps once a thread), and whoever waits for it notices a task that never yields.

use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use squall_engine::{Heartbeat, RunOptions, World};
use squall_trace::digest::Digester;
use squall_trace::target::{MessageCounts, NoObserver};
use squall_trace::{
    Capabilities, EndReason, Ending, Event, EventMask, Failure, Names, Observer, Outcome, Plan, Record, Target, Verdict,
};

/// How long one poll may take in real time before it counts as a hang, unless [`HANG_AFTER_VARIABLE`] says otherwise.
pub const HANG_AFTER: Duration = Duration::from_secs(10);

/// Says how long one poll may take in real time: seconds (`2`), or a duration such as `500ms`.
pub const HANG_AFTER_VARIABLE: &str = "SQUALL_HANG_AFTER";

/// How often a run's progress is looked at within the time that a poll may take.
const LOOKS: u32 = 16;

/// Reads what [`HANG_AFTER_VARIABLE`] says.
///
/// # Errors
/// What is no time, and no time at all.
pub fn parse_hang_after(text: &str) -> Result<Duration, String> {
    let seconds = text.trim();
    let with_unit = if seconds.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.') {
        crate::scenario::parse_duration(&format!("{seconds}s"))
    } else {
        crate::scenario::parse_duration(seconds)
    };
    match with_unit {
        Ok(time) if !time.is_zero() => Ok(time),
        _ => Err(format!("expected a real time above 0 such as 10s or 500ms, found {text:?}")),
    }
}

/// The property that fails where a poll doesn't come back. Such a run leaves a digest of nothing and no trace.
pub const HANG_PROPERTY: &str = "hang";

/// A world as a function: called at the start of each run, on the run's thread.
pub type Build = Arc<dyn Fn(&mut World) + Send + Sync>;

/// A world that can be run by any plan.
#[derive(Clone)]
pub struct Simulation {
    build: Build,
    hang_after: Duration,
}

impl Simulation {
    /// The world that `build` describes.
    pub fn new(build: impl Fn(&mut World) + Send + Sync + 'static) -> Simulation {
        Simulation { build: Arc::new(build), hang_after: HANG_AFTER }
    }

    /// Another bound for one poll's real time.
    #[must_use]
    pub fn hang_after(mut self, real_time: Duration) -> Simulation {
        self.hang_after = real_time;
        self
    }

    /// One run without an observer.
    ///
    /// # Panics
    /// As [`Simulation::run`](Target::run).
    #[must_use]
    pub fn run_plan(&self, plan: &Plan, record: Record) -> Outcome {
        self.run(plan, record, &mut NoObserver)
    }

    /// One run without an observer, where a world that can't be is no panic.
    ///
    /// # Errors
    /// [`WorldError`].
    pub fn try_run_plan(&self, plan: &Plan, record: Record) -> Result<Outcome, WorldError> {
        self.try_run(plan, record, &mut NoObserver)
    }

    fn try_run(&self, plan: &Plan, record: Record, observer: &mut dyn Observer) -> Result<Outcome, WorldError> {
        match self.attempt(plan, record, observer, None)? {
            Attempt::Done(outcome) => Ok(*outcome),
            Attempt::Hung { events } => self.confirm_hang(plan, events),
        }
    }
}

/// Why there was no run.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WorldError {
    /// The world can't be: its description panicked, or has a link to a node that isn't there, say.
    #[error("{0}")]
    Described(String),
    /// Squall itself failed: what it panicked with.
    #[error("this is a defect of Squall's, not of your program: {0}")]
    Broken(String),
    /// The system has no thread to give: why.
    #[error("a run needs a thread, and the system gives none: {0}")]
    NoThread(String),
}

/// The name of every thread that is a run's.
pub const RUN_THREAD_NAME: &str = "squall run";

impl std::fmt::Debug for Simulation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Simulation").finish_non_exhaustive()
    }
}

/// So many events may wait for the observer before the run waits for it. Small, since the places are made for each run.
const EVENTS_IN_TRANSIT: usize = 64;

/// Events of interest cross from the run's thread to the observer's.
struct Forward {
    interest: EventMask,
    events: std::sync::mpsc::SyncSender<Message>,
}

enum Message {
    Event(squall_trace::OwnedEvent),
    /// The run is over.
    Done(Box<Result<Outcome, WorldError>>),
}

impl Observer for Forward {
    fn interest(&self) -> EventMask {
        self.interest
    }

    fn on_event(&mut self, event: &Event<'_>) {
        let _ = self.events.send(Message::Event(event.clone().into_owned()));
    }
}

impl Target for Simulation {
    /// # Panics
    /// If the world can't be: its description panicked (a link to a node that isn't there, say).
    fn run(&self, plan: &Plan, record: Record, observer: &mut dyn Observer) -> Outcome {
        match self.try_run(plan, record, observer) {
            Ok(outcome) => outcome,
            Err(error) => panic!("{error}"),
        }
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities { message_sites: true, order_sites: true, fault_sites: true }
    }
}

enum Attempt {
    Done(Box<Outcome>),
    Hung { events: u64 },
}

impl Simulation {
    fn attempt(
        &self,
        plan: &Plan,
        record: Record,
        observer: &mut dyn Observer,
        last_polled: Option<Arc<Mutex<String>>>,
    ) -> Result<Attempt, WorldError> {
        let (sender, receiver) = sync_channel(EVENTS_IN_TRANSIT);
        let beat = Arc::new(Heartbeat::default());
        let thread = {
            let (build, plan, beat) = (Arc::clone(&self.build), plan.clone(), Arc::clone(&beat));
            let interest = observer.interest();
            std::thread::Builder::new().name(RUN_THREAD_NAME.to_string()).spawn(move || {
                let mut forward = Forward { interest, events: sender.clone() };
                let tell = last_polled.map(|last| {
                    move |label: &str| {
                        let mut last = last.lock().unwrap_or_else(PoisonError::into_inner);
                        last.clear();
                        last.push_str(label);
                    }
                });
                let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                    let before_poll = tell.as_ref().map(|tell| tell as &dyn Fn(&str));
                    let options = RunOptions { record, observer: &mut forward, beat, before_poll };
                    squall_engine::run(&*build, &plan, options)
                }));
                let outcome = match outcome {
                    Ok(outcome) => outcome.map_err(WorldError::Described),
                    Err(payload) => {
                        let text = payload.downcast_ref::<String>().cloned();
                        let text = text.or_else(|| payload.downcast_ref::<&str>().map(ToString::to_string));
                        Err(WorldError::Broken(text.unwrap_or_else(|| "a panic without a text".to_string())))
                    }
                };
                let _ = sender.send(Message::Done(Box::new(outcome)));
            })
        };
        let thread = thread.map_err(|error| WorldError::NoThread(error.to_string()))?;
        let (mut seen, mut seen_at) = (beat.events(), Instant::now());
        let look = (self.hang_after / LOOKS).max(Duration::from_millis(1));
        loop {
            match receiver.recv_timeout(look) {
                Ok(Message::Event(event)) => observer.on_event(&event),
                Ok(Message::Done(outcome)) => {
                    // The thread's own destructors are part of the run: nothing of it outlives it.
                    let _ = thread.join();
                    return outcome.map(|outcome| Attempt::Done(Box::new(outcome)));
                }
                Err(RecvTimeoutError::Timeout) => {
                    let events = beat.events();
                    if events != seen {
                        (seen, seen_at) = (events, Instant::now());
                    } else if seen_at.elapsed() >= self.hang_after {
                        return Ok(Attempt::Hung { events });
                    }
                }
                Err(RecvTimeoutError::Disconnected) => {
                    return Err(WorldError::Broken("the run's thread ended without a result".to_string()));
                }
            }
        }
    }

    /// Runs the plan again, slowly, with each poll's task noted down: if it hangs again, that task is named. The hung
    /// threads can't be ended; they are left behind until the process ends.
    fn confirm_hang(&self, plan: &Plan, events: u64) -> Result<Outcome, WorldError> {
        let last = Arc::new(Mutex::new(String::new()));
        match self.attempt(plan, Record::Digest, &mut NoObserver, Some(Arc::clone(&last)))? {
            Attempt::Done(outcome) => {
                let mut outcome = *outcome;
                let message = format!(
                    "a poll took more than {:?} of real time at event {events}, but not when the run was repeated; the \
                     machine may have been busy",
                    self.hang_after
                );
                outcome.verdict = outcome.verdict.worse(Verdict::Unknown { message });
                Ok(outcome)
            }
            Attempt::Hung { events: again } => {
                let who = last.lock().unwrap_or_else(PoisonError::into_inner).clone();
                let who = if who.is_empty() { "the world's description" } else { &who };
                let message = format!(
                    "{who} has not yielded for {:?} of real time (polled at event {again}, twice): it loops without an \
                     await, or waits for something outside of the run",
                    self.hang_after
                );
                Ok(hung_outcome(message, again))
            }
        }
    }
}

fn hung_outcome(message: String, events: u64) -> Outcome {
    let (digest, _) = Digester::new(false).finish();
    Outcome {
        verdict: Verdict::Fail(Failure {
            property: HANG_PROPERTY.to_string(),
            message,
            step: events,
            at_ns: 0,
            node: None,
            task: None,
        }),
        ending: Ending { reason: EndReason::Failed, at_ns: 0, events },
        digest,
        log_digest: digest,
        messages: MessageCounts::default(),
        perturbations: Vec::new(),
        unused_overrides: Vec::new(),
        escapes: Vec::new(),
        unreached_faults: Vec::new(),
        names: Names::default(),
        trace: None,
    }
}
