//! The state of a run, where the program's code finds it: on the run's thread.
//!
//! Nothing here is borrowed while the program's code is called: properties and the observer are kept apart from the rest.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::task::Waker;

use squall::engine::TellCall;
use squall::trace::id::hash_parts;
use squall::trace::{
    EndReason, EventKind, EventMask, Failure, NodeId, Observer, OwnedEvent, Property, TaskId, TaskInfo,
};
use squall_engine::{Call, Heartbeat, Journal, goal};
use std::sync::Arc;

thread_local! {
    static RUN: RefCell<Option<Run>> = const { RefCell::new(None) };
    static AUDIENCE: RefCell<Option<Audience>> = const { RefCell::new(None) };
}

/// The run that is on.
pub(crate) struct Run {
    pub journal: Journal,
    pub nodes: Vec<NodeState>,
    pub beat: Arc<Heartbeat>,
    pub before_call: Option<TellCall>,
    /// Virtual time when something was last told.
    pub now_ns: u64,
    /// Whose code is called. Nobody's: the world's.
    pub current: Option<(NodeId, TaskId)>,
    /// What is known of tasks by label, to tell what was called.
    pub labels: BTreeMap<TaskId, String>,
    pub failure: Option<Failure>,
    /// Why it is over, once it is.
    pub ending: Option<EndReason>,
    pub limit_ns: u64,
    pub limit_events: u64,
    /// When it ends whoever is busy.
    pub end_ns: Option<u64>,
    /// Of the task that carries out the script.
    pub waker: Option<Waker>,
    /// What the last panic said, and in whose code it was.
    pub panic: Option<Panic>,
    /// How often it came by the marks of each goal, once it is over.
    pub reached: BTreeMap<&'static str, u64>,
}

/// A node, as far as the run knows it.
#[derive(Debug)]
pub(crate) struct NodeState {
    pub name: String,
    pub is_client: bool,
    pub up: bool,
    /// Boots so far.
    pub boots: u32,
    /// Its root has returned.
    pub returned: bool,
    /// Something will start it again.
    pub restart_pending: bool,
    /// Tasks of this boot so far.
    pub tasks: u32,
}

#[derive(Clone, Debug)]
pub(crate) struct Panic {
    pub message: String,
    pub current: Option<(NodeId, TaskId)>,
}

/// Who sees what happens: code of the program's and the caller's.
pub(crate) struct Audience {
    pub properties: Vec<Box<dyn Property>>,
    pub observer: Box<dyn Observer>,
}

impl Audience {
    /// What they want to see.
    pub(crate) fn watched(&self) -> EventMask {
        let interests = self.properties.iter().map(|property| property.interest());
        interests.fold(self.observer.interest(), EventMask::union)
    }
}

/// The run begins.
pub(crate) fn install(run: Run, audience: Audience) {
    AUDIENCE.set(Some(audience));
    RUN.set(Some(run));
    goal::begin_counting();
}

/// The run is over: what is left of it.
pub(crate) fn take() -> Option<(Run, Audience)> {
    RUN.take().zip(AUDIENCE.take())
}

/// Looks at the run, if one is on. None if it is looked at already.
pub(crate) fn with<R>(look: impl FnOnce(&mut Run) -> R) -> Option<R> {
    let looked = RUN.try_with(|run| run.try_borrow_mut().ok().and_then(|mut run| run.as_mut().map(look)));
    looked.ok().flatten()
}

/// Those who see what happens, if they aren't called just now.
pub(crate) fn with_audience<R>(look: impl FnOnce(&mut Audience) -> R) -> Option<R> {
    let looked = AUDIENCE
        .try_with(|audience| audience.try_borrow_mut().ok().and_then(|mut audience| audience.as_mut().map(look)));
    looked.ok().flatten()
}

/// Whether those who see what happens are called just now: what their code says is no part of the run.
fn is_audience_called() -> bool {
    AUDIENCE.try_with(|audience| audience.try_borrow_mut().is_err()).unwrap_or(true)
}

fn elapsed_ns() -> Option<u64> {
    let elapsed = madsim::time::TimeHandle::try_current()?.elapsed();
    Some(u64::try_from(elapsed.as_nanos()).unwrap_or(u64::MAX))
}

impl Run {
    /// Reads madsim's clock.
    pub(crate) fn look_at_clock(&mut self) -> u64 {
        if let Some(now_ns) = elapsed_ns() {
            self.now_ns = self.now_ns.max(now_ns);
        }
        self.now_ns
    }

    pub(crate) fn label(&self, task: TaskId) -> String {
        self.labels.get(&task).cloned().unwrap_or_else(|| "a task".to_string())
    }

    /// What is still called then, destructors above all, doesn't count.
    pub(crate) fn is_over(&self) -> bool {
        self.ending.is_some()
    }

    fn fail(&mut self, failure: Failure) {
        if !self.is_over() {
            self.failure = Some(failure);
            self.end(EndReason::Failed);
        }
    }

    /// The run is over. madsim's loop goes on until the script's task is polled.
    pub(crate) fn end(&mut self, reason: EndReason) {
        if self.ending.is_none() {
            self.ending = Some(reason);
            self.reached = goal::end_counting();
            self.wake();
        }
    }

    /// Something has changed that the script's task has to know of.
    pub(crate) fn wake(&mut self) {
        if let Some(waker) = &self.waker {
            waker.wake_by_ref();
        }
    }
}

/// One event, at this instant. Whoever wants to see it sees it at once.
pub(crate) fn emit(node: NodeId, task: TaskId, kind: EventKind<'_>) {
    if is_audience_called() {
        return;
    }
    with(|run| {
        if !run.is_over() {
            let at_ns = run.look_at_clock();
            run.journal.emit(at_ns, node, task, kind);
        }
    });
    show();
}

/// One log line of the running task's.
pub(crate) fn log(level: &str, target: &str, message: &str) {
    if is_audience_called() {
        return;
    }
    with(|run| {
        if !run.is_over() {
            let at_ns = run.look_at_clock();
            let (node, task) = run.current.unwrap_or((NodeId::WORLD, TaskId::NONE));
            let kind = EventKind::Log { level: level.into(), target: target.into(), message: message.into() };
            run.journal.log(at_ns, node, task, kind);
        }
    });
    show();
}

/// Whether log lines are wanted.
pub(crate) fn wants_logs() -> bool {
    with(|run| !run.is_over() && run.journal.wants_logs()).unwrap_or(false)
}

fn show() {
    let mut passing: Vec<OwnedEvent> = Vec::new();
    if with(|run| run.journal.swap_passing(&mut passing)).is_none() || passing.is_empty() {
        return;
    }
    with_audience(|audience| {
        for event in &passing {
            if audience.observer.interest().contains_code(event.kind.code()) {
                audience.observer.on_event(event);
            }
            for property in &mut audience.properties {
                if !property.interest().contains_code(event.kind.code()) {
                    continue;
                }
                let seen = of_property(|| property.on_event(event));
                if let Err(message) = seen.and_then(|seen| seen) {
                    let (node, task) = (Some(event.node), Some(event.task));
                    let (node, task) =
                        (node.filter(|node| *node != NodeId::WORLD), task.filter(|task| *task != TaskId::NONE));
                    let property = property.name().to_string();
                    let (step, at_ns) = (event.step, event.at_ns);
                    with(|run| run.fail(Failure { property, message, step, at_ns, node, task }));
                }
            }
        }
    });
}

/// A property's own code: where it panics, the property is broken.
///
/// # Errors
/// What it panicked with.
pub(crate) fn of_property<R>(code: impl FnOnce() -> R) -> Result<R, String> {
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(code))
        .map_err(|payload| format!("the property's own code panicked: {}", crate::run::panic_text(&*payload)))
}

/// The running task is to fail the run.
pub(crate) fn fail_here(property: &str, message: String) {
    with(|run| {
        let (step, at_ns) = (run.journal.step(), run.look_at_clock());
        let (node, task) = run.current.unzip();
        run.fail(Failure { property: property.to_string(), message, step, at_ns, node, task });
    });
}

/// The world's own failure, of nobody's code.
pub(crate) fn fail_world(property: &str, message: String) {
    with(|run| {
        let (step, at_ns) = (run.journal.step(), run.now_ns);
        run.fail(Failure { property: property.to_string(), message, step, at_ns, node: None, task: None });
    });
}

/// A node starts. Its boot number, from 0.
pub(crate) fn boot(node: usize) -> u32 {
    let boot = with(|run| {
        let state = &mut run.nodes[node];
        (state.up, state.restart_pending, state.tasks) = (true, false, 0);
        state.boots += 1;
        state.boots - 1
    });
    let boot = boot.unwrap_or(0);
    emit(NodeId(node as u32), TaskId::NONE, EventKind::Boot { boot });
    boot
}

/// The root of a node's boot has returned.
pub(crate) fn root_returned(node: usize, boot: u32, result: Result<(), String>) {
    if let Err(message) = result {
        let label = with(|run| run.current.map(|(_, task)| run.label(task))).flatten().unwrap_or_default();
        fail_here("error", format!("{label} returned an error: {message}"));
    }
    with(|run| {
        let state = &mut run.nodes[node];
        if state.boots == boot + 1 && !state.returned {
            state.returned = true;
            run.wake();
        }
    });
}

/// A task of a node was made. It is told apart by how many there were in this boot before it.
pub(crate) fn new_task(node_name: &str, given: Option<&str>) -> Option<(NodeId, TaskId)> {
    with(|run| {
        let node = run.nodes.iter().position(|node| node.name == node_name)?;
        let state = &mut run.nodes[node];
        // A node is made, and its root task with it, before its boot is told.
        let number = state.tasks;
        state.tasks += 1;
        let boot = state.boots.saturating_sub(1);
        let id =
            TaskId(hash_parts(&[b"madsim task", node_name.as_bytes(), &boot.to_le_bytes(), &number.to_le_bytes()]));
        let mut label = node_name.to_string();
        if boot > 0 {
            label.push_str(&format!("#{boot}"));
        }
        match (number, given) {
            (0, _) => {}
            (number, Some(given)) => label.push_str(&format!("/{given}[{number}]")),
            (number, None) => label.push_str(&format!("/task[{number}]")),
        }
        let node = NodeId(node as u32);
        run.journal.name_task(id, || TaskInfo { label: label.clone(), node, spawned_at: String::new() });
        run.labels.insert(id, label);
        Some((node, id))
    })
    .flatten()
}

/// A task is about to be polled (or dropped), or, without one, the script's own. Where the run is over by now, it isn't told any more: the
/// script's task ends madsim's loop when it is polled next.
pub(crate) fn enter(task: Option<(NodeId, TaskId)>) {
    with(|run| {
        run.current = task;
        if run.is_over() {
            return;
        }
        let now_ns = run.look_at_clock();
        if run.end_ns.is_some_and(|end_ns| now_ns >= end_ns) {
            run.end(EndReason::EndTime);
        } else if now_ns >= run.limit_ns {
            run.end(EndReason::TimeLimit);
        } else if run.journal.step() >= run.limit_events {
            run.end(EndReason::EventLimit);
        }
    });
    let Some((node, task)) = task else { return };
    emit(node, task, EventKind::Poll);
    with(|run| {
        if run.is_over() {
            return;
        }
        let events = run.journal.step();
        run.beat.poll(events);
        if let Some(tell) = &run.before_call {
            tell(&Call { who: &run.label(task), events, at_ns: run.now_ns });
        }
    });
}

/// The poll is over.
pub(crate) fn leave() {
    with(|run| run.current = None);
}

/// Makes a fact known: to properties and to the trace. The value goes as JSON. It stands in for [`squall::publish`] in code that madsim runs.
/// Outside of a run, and where a run's destructors are called at its end, it does nothing.
///
/// # Panics
/// If the value can't be written as JSON.
#[track_caller]
pub fn publish(topic: &str, value: impl serde::Serialize) {
    let value = match serde_json::to_string(&value) {
        Ok(value) => value,
        Err(error) => panic!("squall_madsim::publish: the value about {topic:?} can't be written as JSON: {error}"),
    };
    let Some((node, task)) = with(|run| run.current.unwrap_or((NodeId::WORLD, TaskId::NONE))) else { return };
    emit(node, task, EventKind::Publish { topic: topic.into(), value: value.as_str().into() });
}

/// A client of a history, that of the running task: what [`squall::history::Client::new`] is in code that Squall's own engine runs.
///
/// # Panics
/// Outside of a task of a run.
#[must_use]
#[track_caller]
pub fn history_client() -> squall::history::Client {
    let name = with(|run| {
        let (node, task) = run.current?;
        Some(format!("{}/{}", run.nodes[node.index()].name, run.label(task)))
    });
    let name = name.flatten().expect("a task of a run is on");
    squall::history::Client::of_engine(name, |topic, recorded| publish(topic, recorded))
}
