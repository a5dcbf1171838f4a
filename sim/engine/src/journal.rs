//! What a run leaves behind: its digest always, its events and names where they are asked for.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use squall_trace::event::{Place, canonical};
use squall_trace::{
    Digester, Event, EventKind, EventMask, FlowId, FlowInfo, NodeId, NodeInfo, OwnedEvent, Record, Recorder, TaskEnd,
    TaskId, TaskInfo,
};

/// Who takes what is recorded.
pub type SharedRecorder = Rc<RefCell<dyn Recorder>>;

/// Takes every event of a run.
pub struct Journal {
    digester: Digester,
    log_digester: Digester,
    record: Record,
    recorder: SharedRecorder,
    /// What properties and the observer want to see.
    watched: EventMask,
    /// Events that they haven't seen yet. They are user code, so they see events when the world isn't borrowed.
    passing: Vec<OwnedEvent>,
    nodes: Vec<NodeInfo>,
    /// The operations of workloads that flows belong to, where names are wanted.
    operations: BTreeMap<FlowId, u64>,
}

fn event_at(step: u64, place: Place, kind: EventKind<'_>) -> Event<'_> {
    Event { step, at_ns: place.at_ns, node: place.node, task: place.task, kind }
}

/// What is left of a journal at the end.
#[derive(Debug)]
pub struct JournalEnd {
    /// Over all events but log lines.
    pub digest: squall_trace::Digest,
    /// Over all log lines.
    pub log_digest: squall_trace::Digest,
    /// One a block of events, where everything is recorded.
    pub checkpoints: Vec<squall_trace::Checkpoint>,
    /// The nodes, where names are wanted.
    pub nodes: Vec<NodeInfo>,
}

impl std::fmt::Debug for Journal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Journal").field("events", &self.digester.events()).finish_non_exhaustive()
    }
}

impl Journal {
    /// An empty one. What is to be kept goes to `recorder`; events of the kinds in `watched` wait to be [seen](Journal::swap_passing).
    #[must_use]
    pub fn new(record: Record, recorder: SharedRecorder, watched: EventMask) -> Journal {
        Journal {
            digester: Digester::new(record == Record::Full),
            log_digester: Digester::new(false),
            record,
            recorder,
            watched,
            passing: Vec::new(),
            nodes: Vec::new(),
            operations: BTreeMap::new(),
        }
    }

    /// Whether names of tasks and flows are wanted.
    #[inline]
    #[must_use]
    pub fn wants_names(&self) -> bool {
        self.record > Record::Digest
    }

    /// Whether log lines are wanted.
    #[inline]
    #[must_use]
    pub fn wants_logs(&self) -> bool {
        // A property that watches logs must come to the same verdict whatever is recorded.
        self.record == Record::Full || self.watched.intersects(EventMask::LOGS)
    }

    /// The number of the last event.
    #[inline]
    #[must_use]
    pub fn step(&self) -> u64 {
        self.digester.events()
    }

    /// One event.
    pub fn emit(&mut self, at_ns: u64, node: NodeId, task: TaskId, kind: EventKind<'_>) {
        let event = Event { step: self.digester.events() + 1, at_ns, node, task, kind };
        self.digester.add(&event);
        if self.needs_event(event.kind.code()) {
            self.keep(event);
        }
    }

    /// Whether events of a kind are kept or watched: else their canonical bytes are all that is needed.
    #[inline]
    fn needs_event(&self, code: u8) -> bool {
        self.record == Record::Full || self.watched.contains_code(code)
    }

    /// [`EventKind::Poll`], digested without making the event if nobody looks at it.
    #[inline]
    pub(crate) fn poll(&mut self, place: Place) {
        canonical::poll(self.digester.room(), place);
        self.digester.end_event();
        if self.needs_event(4) {
            self.keep(event_at(self.digester.events(), place, EventKind::Poll));
        }
    }

    /// [`EventKind::Deliver`], likewise.
    #[inline]
    pub(crate) fn deliver(&mut self, place: Place, (flow, number, copy): (FlowId, u64, u8)) {
        canonical::deliver(self.digester.room(), place, (flow, number, copy));
        self.digester.end_event();
        if self.needs_event(8) {
            self.keep(event_at(self.digester.events(), place, EventKind::Deliver { flow, number, copy }));
        }
    }

    /// [`EventKind::Send`], likewise.
    #[inline]
    pub(crate) fn send(
        &mut self,
        place: Place,
        (flow, number): (FlowId, u64),
        (from_port, to, to_port): (u16, NodeId, u16),
        tag: u64,
        payload: &[u8],
    ) {
        canonical::send(self.digester.room(), place, (flow, number), (from_port, to, to_port), tag, payload.len());
        self.digester.put(payload);
        self.digester.end_event();
        if self.needs_event(6) {
            let payload = payload.into();
            let kind = EventKind::Send { flow, number, from_port, to, to_port, tag, payload };
            self.keep(event_at(self.digester.events(), place, kind));
        }
    }

    /// [`EventKind::Spawn`], likewise.
    #[inline]
    pub(crate) fn spawn(&mut self, place: Place, child: TaskId) {
        canonical::spawn(self.digester.room(), place, child);
        self.digester.end_event();
        if self.needs_event(3) {
            self.keep(event_at(self.digester.events(), place, EventKind::Spawn { child }));
        }
    }

    /// [`EventKind::TaskEnd`], likewise.
    #[inline]
    pub(crate) fn task_end(&mut self, place: Place, end: TaskEnd) {
        canonical::task_end(self.digester.room(), place, end);
        self.digester.end_event();
        if self.needs_event(5) {
            self.keep(event_at(self.digester.events(), place, EventKind::TaskEnd { end }));
        }
    }

    #[cold]
    fn keep(&mut self, event: Event<'_>) {
        if self.record == Record::Full {
            self.recorder.borrow_mut().on_event(&event);
        }
        if self.watched.contains_code(event.kind.code()) {
            self.passing.push(event.into_owned());
        }
    }

    /// One log line. It has the step of the event before it, and a digest of its own.
    pub fn log(&mut self, at_ns: u64, node: NodeId, task: TaskId, kind: EventKind<'_>) {
        let event = Event { step: self.digester.events(), at_ns, node, task, kind };
        self.log_digester.add(&event);
        self.keep(event);
    }

    /// Whether somebody has an event to see.
    #[inline]
    pub(crate) fn has_passing(&self) -> bool {
        !self.passing.is_empty()
    }

    /// Gives the events to be seen, and takes an empty list for those that come, whose memory is used again.
    pub fn swap_passing(&mut self, passing: &mut Vec<OwnedEvent>) {
        debug_assert!(passing.is_empty(), "whoever took events has seen them");
        std::mem::swap(&mut self.passing, passing);
    }

    /// Who the next node is.
    pub fn name_node(&mut self, info: NodeInfo) {
        self.nodes.push(info);
    }

    /// Who a task is, where names are wanted.
    pub fn name_task(&mut self, id: TaskId, info: impl FnOnce() -> TaskInfo) {
        if self.wants_names() {
            self.recorder.borrow_mut().on_task(id, &info());
        }
    }

    /// What a flow is, where names are wanted.
    pub fn name_flow(&mut self, id: FlowId, info: impl FnOnce() -> FlowInfo) {
        if self.wants_names() {
            let info = info();
            if let Some(operation) = info.operation {
                self.operations.insert(id, operation);
            }
            self.recorder.borrow_mut().on_flow(id, &info);
        }
    }

    /// A client began the call of that number.
    #[cold]
    pub(crate) fn client_calls(&mut self, number: u64, at_ns: u64) {
        self.recorder.borrow_mut().on_call(number, at_ns);
    }

    /// The answer to a client's call was taken.
    #[cold]
    pub(crate) fn client_is_answered(&mut self, number: u64, at_ns: u64) {
        self.recorder.borrow_mut().on_answer(number, at_ns);
    }

    /// The operation of a workload that a flow belongs to, if it is known.
    pub(crate) fn operation_of(&self, flow: FlowId) -> Option<u64> {
        self.operations.get(&flow).copied()
    }

    /// What is left of it.
    #[must_use]
    pub fn finish(self) -> JournalEnd {
        let (digest, checkpoints) = self.digester.finish();
        let (log_digest, _) = self.log_digester.finish();
        JournalEnd { digest, log_digest, checkpoints, nodes: self.nodes }
    }
}
