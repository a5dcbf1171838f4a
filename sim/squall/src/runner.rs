//! Runs on threads: a fresh one for each run, and a watchdog beside it.
//!
//! The engine knows neither threads nor real time. Here a [`Simulation`] becomes a [`Target`]: each run gets a thread of
//! its own (std draws the keys of its hash maps once a thread), and whoever waits for it notices a task that never yields.
//! The thread is one of this process, or of a process of its own ([`crate::process`]), which may end as it likes.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::mpsc::{RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::engine::{self, Engine, EngineOptions, TellCall};
use crate::process::{Called, Death, Processes, Reported, Request, printed_at_last};
use squall_engine::{Call, Heartbeat, World};
use squall_hermetic::FreshThread;
use squall_hermetic::fatal_signal::name_run;
use squall_trace::digest::Digester;
use squall_trace::target::{MessageCounts, NoObserver};
use squall_trace::{
    Capabilities, EndReason, Ending, Event, EventMask, Failure, Names, NodeId, Observer, Outcome, Plan, Record,
    Recorder, Target, Verdict,
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

/// The property that fails where a poll doesn't come back. Such a run is recorded as far as it came, whatever was asked for; where there
/// are no processes, it leaves a digest of nothing and no trace.
pub const HANG_PROPERTY: &str = "hang";

/// A world as a function: called at the start of each run, on the run's thread.
pub type Build = Arc<dyn Fn(&mut World) + Send + Sync>;

/// A world that can be run by any plan.
#[derive(Clone)]
pub struct Simulation {
    build: Build,
    /// In place of Squall's own.
    engine: Option<Arc<dyn Engine>>,
    hang_after: Duration,
    /// Where runs can have processes of their own.
    processes: Option<Arc<Processes>>,
    /// Whether they have.
    in_processes: bool,
    bare_threads: bool,
}

impl Simulation {
    /// The world that `build` describes.
    pub fn new(build: impl Fn(&mut World) + Send + Sync + 'static) -> Simulation {
        Simulation {
            build: Arc::new(build),
            engine: None,
            hang_after: HANG_AFTER,
            processes: None,
            in_processes: false,
            bare_threads: false,
        }
    }

    /// The same, carried out by another engine.
    #[must_use]
    pub fn run_by(mut self, engine: Arc<dyn Engine>) -> Simulation {
        self.engine = Some(engine);
        self
    }

    /// Another bound for one poll's real time.
    #[must_use]
    pub fn hang_after(mut self, real_time: Duration) -> Simulation {
        self.hang_after = real_time;
        self
    }

    /// Runs on threads that cost half as much, but whose output a test doesn't capture ([`FreshThread::spawn_bare`]).
    #[must_use]
    pub fn on_bare_threads(mut self) -> Simulation {
        self.bare_threads = true;
        self
    }

    /// With processes that know this world: all runs go there, or, if `all` is false, those that seem to hang.
    #[must_use]
    pub(crate) fn with_processes(mut self, processes: Processes, all: bool) -> Simulation {
        self.processes = Some(Arc::new(processes));
        self.in_processes = all;
        self
    }

    /// The same with every run in a process of its own, if there can be.
    #[must_use]
    pub(crate) fn in_processes(mut self) -> Simulation {
        self.in_processes = self.processes.is_some();
        self
    }

    /// Whether every run has a process of its own.
    #[must_use]
    pub fn is_in_processes(&self) -> bool {
        self.in_processes
    }

    /// Why processes begin with different addresses, where that couldn't be helped. Known once one was needed.
    #[must_use]
    pub fn randomised(&self) -> Option<&str> {
        self.processes.as_ref()?.randomised()
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

    /// Runs a plan in each state in which its crashes can leave the nodes' disks, at most so many, until one fails: every pending change is
    /// lost or not. The weather stays as the plan says. See [`squall_campaign::crash_states`].
    ///
    /// # Panics
    /// As [`Simulation::run`](Target::run).
    #[must_use]
    pub fn crash_states(&self, plan: &Plan, states_max: u64) -> squall_campaign::crash_states::CrashStates {
        squall_campaign::crash_states::crash_states(self, plan, states_max)
    }

    pub(crate) fn try_run(
        &self,
        plan: &Plan,
        record: Record,
        observer: &mut dyn Observer,
    ) -> Result<Outcome, WorldError> {
        if self.in_processes
            && let Some(processes) = &self.processes
        {
            return self.run_in_process(processes, plan, record, observer, None);
        }
        match self.attempt(plan, record, observer, Circumstances::default())? {
            Attempt::Done(outcome) => Ok(*outcome),
            Attempt::Hung { events } => match &self.processes {
                // Where it can be ended, if it hangs again.
                Some(processes) => self.run_in_process(processes, plan, record, &mut NoObserver, Some(events)),
                None => self.confirm_hang(plan, events),
            },
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
    /// There is no process to run in: why.
    #[error("{0}")]
    NoProcess(String),
}

/// The name of a run's thread.
const RUN_THREAD_NAME: &str = "squall run";

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
    /// None where nobody is interested.
    events: Option<SyncSender<squall_trace::OwnedEvent>>,
}

impl Observer for Forward {
    fn interest(&self) -> EventMask {
        self.interest
    }

    fn on_event(&mut self, event: &Event<'_>) {
        if let Some(events) = &self.events {
            let _ = events.send(event.clone().into_owned());
        }
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
        self.engine.as_ref().map_or(Capabilities::ALL, |engine| engine.capabilities())
    }
}

/// What came of a thread's run.
pub(crate) enum Attempt {
    Done(Box<Outcome>),
    Hung { events: u64 },
}

/// What a thread's run is told besides.
#[derive(Default)]
pub(crate) struct Circumstances<'c> {
    /// Slow.
    pub tell_call: Option<TellCall>,
    /// Takes what is recorded, in place of the outcome.
    pub recorder: Option<Box<RefCell<dyn Recorder + Send>>>,
    /// Ends the run after so many events.
    pub events_max: Option<u64>,
    /// Called now and then while the run goes on. Gives the real time that its thread has spent so far on what isn't the program's.
    pub on_look: Option<&'c dyn Fn() -> Duration>,
}

impl Simulation {
    /// One run on a fresh thread of this process.
    pub(crate) fn attempt(
        &self,
        plan: &Plan,
        record: Record,
        observer: &mut dyn Observer,
        circumstances: Circumstances<'_>,
    ) -> Result<Attempt, WorldError> {
        let Circumstances { tell_call, recorder, events_max, on_look } = circumstances;
        let interest = observer.interest();
        let (sender, mut receiver) = (interest != EventMask::NONE).then(|| sync_channel(EVENTS_IN_TRANSIT)).unzip();
        let beat = Arc::new(Heartbeat::default());
        let done = Arc::new(Mutex::new(None));
        let thread = {
            let (build, plan, beat) = (Arc::clone(&self.build), plan.clone(), Arc::clone(&beat));
            let engine = self.engine.clone();
            let done = Arc::clone(&done);
            let body = move || {
                name_run(&plan.scenario, plan.seed.0);
                let observer = Box::new(Forward { interest, events: sender });
                let recorder = recorder
                    .map(|recorder| Rc::<RefCell<dyn Recorder + Send>>::from(recorder) as Rc<RefCell<dyn Recorder>>);
                let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                    let options =
                        EngineOptions { record, recorder, observer, beat, events_max, before_call: tell_call };
                    engine::run(engine.as_deref(), &*build, &plan, options)
                }));
                let outcome = match outcome {
                    Ok(outcome) => outcome.map_err(WorldError::Described),
                    Err(payload) => {
                        let text = payload.downcast_ref::<String>().cloned();
                        let text = text.or_else(|| payload.downcast_ref::<&str>().map(ToString::to_string));
                        Err(WorldError::Broken(text.unwrap_or_else(|| "a panic without a text".to_string())))
                    }
                };
                *done.lock().unwrap_or_else(PoisonError::into_inner) = Some(outcome);
            };
            match self.bare_threads {
                true => FreshThread::spawn_bare(RUN_THREAD_NAME, body),
                false => FreshThread::spawn_captured(RUN_THREAD_NAME, body),
            }
        };
        let mut thread = thread.map_err(|error| WorldError::NoThread(error.to_string()))?;
        let (mut seen, mut seen_at, mut seen_besides) = (beat.events(), Instant::now(), Duration::ZERO);
        let look = (self.hang_after / LOOKS).max(Duration::from_millis(1));
        loop {
            // The thread's own destructors are part of the run: nothing of it outlives it.
            let ended = match &receiver {
                None => thread.join_timeout(look),
                Some(events) => match events.recv_timeout(look) {
                    Ok(event) => {
                        observer.on_event(&event);
                        continue;
                    }
                    Err(RecvTimeoutError::Disconnected) => {
                        receiver = None;
                        continue;
                    }
                    Err(RecvTimeoutError::Timeout) => false,
                },
            };
            if ended {
                let outcome = done.lock().unwrap_or_else(PoisonError::into_inner).take();
                let outcome = outcome.unwrap_or_else(|| Err(WorldError::Broken("a run without a result".to_string())));
                return outcome.map(|outcome| Attempt::Done(Box::new(outcome)));
            }
            let besides = on_look.map_or(Duration::ZERO, |on_look| on_look());
            let events = beat.events();
            if events != seen {
                (seen, seen_at, seen_besides) = (events, Instant::now(), besides);
            } else if seen_at.elapsed().saturating_sub(besides - seen_besides) >= self.hang_after {
                return Ok(Attempt::Hung { events });
            }
        }
    }

    /// Runs the plan again, slowly, with each poll's task noted down: if it hangs again, that task is named. The hung
    /// threads can't be ended; they are left behind until the process ends.
    fn confirm_hang(&self, plan: &Plan, events: u64) -> Result<Outcome, WorldError> {
        let last = Arc::new(Mutex::new(Called::default()));
        let tell_call = {
            let last = Arc::clone(&last);
            move |call: &Call<'_>| *last.lock().unwrap_or_else(PoisonError::into_inner) = call.into()
        };
        let circumstances = Circumstances { tell_call: Some(Box::new(tell_call)), ..Circumstances::default() };
        match self.attempt(plan, Record::Digest, &mut NoObserver, circumstances)? {
            Attempt::Done(outcome) => Ok(self.hung_once(*outcome, events)),
            Attempt::Hung { events: again } => {
                let called = last.lock().unwrap_or_else(PoisonError::into_inner).clone();
                let failure = failure(HANG_PROPERTY, self.hang_in_words(&called.who, again), again, called.at_ns);
                Ok(without_run(Verdict::Fail(failure), again))
            }
        }
    }

    /// A run that hung, and when it was repeated it didn't.
    fn hung_once(&self, mut outcome: Outcome, events: u64) -> Outcome {
        let message = format!(
            "a poll took more than {:?} of real time at event {events}, but not when the run was repeated; the machine may \
             have been busy",
            self.hang_after
        );
        outcome.verdict = outcome.verdict.worse(Verdict::Unknown { message });
        outcome
    }

    fn hang_in_words(&self, who: &str, events: u64) -> String {
        let who = if who.is_empty() { "the world's description" } else { who };
        format!(
            "{who} has not yielded for {:?} of real time (called at event {events}, twice): it loops without an await that \
             waits, or waits for something outside of the run",
            self.hang_after
        )
    }
}

/// Runs in processes.
impl Simulation {
    fn request(&self, plan: &Plan, record: Record) -> Request {
        Request {
            plan: plan.clone(),
            record,
            interest: EventMask::NONE,
            hang_after: self.hang_after,
            events_max: None,
            memory_bytes_max: None,
            quiet: false,
            tell_calls_from: None,
        }
    }

    fn run_in_process(
        &self,
        processes: &Processes,
        plan: &Plan,
        record: Record,
        observer: &mut dyn Observer,
        hung_at: Option<u64>,
    ) -> Result<Outcome, WorldError> {
        // Where it has hung before, those are named who are polled at the end.
        let interest = observer.interest();
        let request =
            Request { interest, quiet: hung_at.is_some(), tell_calls_from: hung_at, ..self.request(plan, record) };
        match (processes.run(request, observer)?, hung_at) {
            (Reported::Done(outcome), None) => Ok(*outcome),
            (Reported::Done(outcome), Some(events)) => Ok(self.hung_once(*outcome, events)),
            (Reported::Hung { events, .. }, None) => {
                self.run_in_process(processes, plan, record, &mut NoObserver, Some(events))
            }
            (Reported::Hung { events, called }, Some(_)) => {
                let Called { who, at_ns, .. } = called.unwrap_or_default();
                // The event of the poll itself comes before what the poll does.
                let before = events.saturating_sub(1);
                let failure = failure(HANG_PROPERTY, self.hang_in_words(&who, events), before, at_ns);
                // To ask again for what is recorded would take as long as it takes to see that it hangs.
                self.run_up_to(processes, plan, Record::Full, failure)
            }
            (Reported::Died(death), _) => self.dead_outcome(processes, plan, record, death),
            (Reported::Lost(message), _) => Ok(without_run(Verdict::Unknown { message }, 0)),
        }
    }

    /// The outcome of a run that ended its process: that of its beginning, up to the poll that did it.
    fn dead_outcome(
        &self,
        processes: &Processes,
        plan: &Plan,
        record: Record,
        death: Death,
    ) -> Result<Outcome, WorldError> {
        let survives = |events_max: u64| -> Result<Option<u64>, WorldError> {
            let request = Request { events_max: Some(events_max), quiet: true, ..self.request(plan, Record::Digest) };
            match processes.run(request, &mut NoObserver)? {
                Reported::Done(outcome) => Ok(Some(outcome.ending.events.max(events_max))),
                _ => Ok(None),
            }
        };
        // The longest beginning that leaves its process alone. A run says nothing of how far it has come when it ends its
        // process, so it is searched for.
        let (mut alive, mut dead) = (0, 64);
        while let Some(events) = survives(dead)? {
            if dead >= EVENTS_SEARCHED_MAX {
                let message = format!("a task {}, but not when the run was repeated", death.how);
                return Ok(without_run(Verdict::Unknown { message }, 0));
            }
            (alive, dead) = (events, dead.max(events).saturating_mul(8));
        }
        while dead - alive > 1 {
            let middle = alive + (dead - alive) / 2;
            match survives(middle)? {
                // It ends between two steps, some events later than it was told.
                Some(events) if events < dead => alive = events,
                Some(_) => break,
                None => dead = middle,
            }
        }
        let named = Request { tell_calls_from: Some(alive), quiet: true, ..self.request(plan, Record::Digest) };
        let called = match processes.run(named, &mut NoObserver)? {
            Reported::Died(Death { called: Some(called), .. }) => called,
            _ if alive == 0 => Called { who: "the world's description".to_string(), ..Called::default() },
            _ => Called { who: "a task".to_string(), events: alive, at_ns: 0 },
        };
        let Called { who, events, at_ns } = called;
        let mut message = match events {
            0 => format!("{who} {}, before the first event", death.how),
            _ => format!("{who} {}, called at event {events}", death.how),
        };
        message.push_str(&printed_at_last(&death.printed));
        self.run_up_to(processes, plan, record, failure(death.property, message, alive, at_ns))
    }

    /// The outcome of a run that fails after so many events (its failure's step), after which nothing can be seen.
    fn run_up_to(
        &self,
        processes: &Processes,
        plan: &Plan,
        record: Record,
        mut failure: Failure,
    ) -> Result<Outcome, WorldError> {
        let events = failure.step;
        if events == 0 {
            // The world's description, or the first that is polled.
            return Ok(without_run(Verdict::Fail(failure), 0));
        }
        let with_names = record.max(Record::Perturbations);
        let request = Request { events_max: Some(events), quiet: true, ..self.request(plan, with_names) };
        match processes.run(request, &mut NoObserver)? {
            Reported::Done(outcome) => {
                let mut outcome = *outcome;
                // The task's label begins with its node's name.
                let node = outcome.names.nodes.iter().position(|node| {
                    failure.message.strip_prefix(&*node.name).is_some_and(|rest| rest.starts_with([' ', '/']))
                });
                failure.node = node.map(|index| NodeId(index as u32));
                // The clock went on after the last event, perhaps.
                failure.at_ns = failure.at_ns.max(outcome.ending.at_ns);
                outcome.ending = Ending { reason: EndReason::Failed, at_ns: failure.at_ns, ..outcome.ending };
                outcome.verdict = Verdict::Fail(failure);
                if let Some(trace) = &mut outcome.trace {
                    trace.verdict = outcome.verdict.clone();
                }
                Ok(outcome.reduced(record))
            }
            _ => Ok(without_run(Verdict::Fail(failure), events)),
        }
    }
}

/// Further than that nobody looks for the event at which a run ends its process.
const EVENTS_SEARCHED_MAX: u64 = 1 << 40;

fn failure(property: &str, message: String, step: u64, at_ns: u64) -> Failure {
    Failure { property: property.to_string(), message, step, at_ns, node: None, task: None }
}

/// What there is to say of a run that there wasn't.
pub(crate) fn no_run(error: &WorldError) -> Outcome {
    without_run(Verdict::Unknown { message: error.to_string() }, 0)
}

/// Whether nobody knows what a run came to, because its process was ended from outside.
pub(crate) fn is_lost(outcome: &Outcome) -> bool {
    matches!(outcome.verdict, Verdict::Unknown { .. }) && outcome.digest == Digester::new(false).finish().0
}

/// What there is to say of a run of which nothing is left.
fn without_run(verdict: Verdict, events: u64) -> Outcome {
    let (digest, _) = Digester::new(false).finish();
    Outcome {
        verdict,
        ending: Ending { reason: EndReason::Failed, at_ns: 0, events },
        digest,
        log_digest: digest,
        messages: MessageCounts::default(),
        perturbations: Vec::new(),
        unused_overrides: Vec::new(),
        escapes: Vec::new(),
        swarm: Vec::new(),
        unreached_faults: Vec::new(),
        goals: Vec::new(),
        open: Vec::new(),
        calls: Vec::new(),
        properties: None,
        names: Names::default(),
        trace: None,
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::process::Command;

    use super::*;
    use crate::process::{Wanted, serve, wanted};

    #[derive(Default)]
    struct Sees {
        interest: Option<EventMask>,
        events: Vec<String>,
    }

    impl Observer for Sees {
        fn interest(&self) -> EventMask {
            self.interest.unwrap_or(EventMask::ALL)
        }

        fn on_event(&mut self, event: &Event<'_>) {
            self.events.push(format!("{event:?}"));
        }
    }

    /// This process is started again by its own test, to be the zygote.
    #[test]
    fn an_observer_sees_over_processes_what_it_sees_over_threads() {
        let world = |world: &mut World| {
            world.client("client", || async {
                for number in 0..5 {
                    crate::publish("number", number);
                    crate::time::sleep(Duration::from_millis(1)).await;
                }
            });
        };
        let threads = Simulation::new(world);
        if wanted().is_some() {
            serve(&threads);
        }
        let command = || {
            let mut command = Command::new(std::env::current_exe()?);
            command.args(["--exact", "--nocapture"]);
            command.arg("runner::tests::an_observer_sees_over_processes_what_it_sees_over_threads");
            Wanted::Exploration { place: String::new(), time: 1 }.ask(&mut command);
            Ok(command)
        };
        let processes = threads.clone().with_processes(Processes::new(command), true);
        let plan = Plan::seeded("test", squall_trace::Seed(1));
        for (interest, fewest) in [(EventMask::ALL, 6), (EventMask::PUBLISH, 5), (EventMask::NONE, 0)] {
            for record in [Record::Digest, Record::Perturbations, Record::Full] {
                let seen = |simulation: &Simulation| {
                    let mut sees = Sees { interest: Some(interest), ..Sees::default() };
                    let outcome = simulation.run(&plan, record, &mut sees);
                    (sees.events, format!("{outcome:?}"))
                };
                let (here, there) = (seen(&threads), seen(&processes));
                assert_eq!(here, there);
                assert!(here.0.len() >= fewest && (interest != EventMask::NONE || here.0.is_empty()), "{:?}", here.0);
                assert!(interest != EventMask::PUBLISH || here.0.len() == 5, "{:?}", here.0);
            }
        }
    }
}
