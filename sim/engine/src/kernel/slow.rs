//! Slow nodes: each poll of one of their tasks takes virtual time of the node's only processor.
//!
//! The tasks of such a node are wrapped into a future that waits for the processor before each poll, so nobody who polls looks whether a node is slow.

use std::collections::VecDeque;

use super::*;

/// What wakes a task that has been served: the fingerprint of that wake, as 1 is of a timer's and 2 of one that nobody asked for.
const SERVED: u64 = 3;

/// The processor of a slow node.
#[derive(Debug, Default)]
pub(crate) struct Processor {
    /// How much a poll takes, by the number of what makes it so slow. It adds up.
    slow: Vec<(u64, u64)>,
    /// Who waits to be polled, in the order in which they came; the first is being served.
    queue: VecDeque<TaskRef>,
    /// When the first has been served. `None` if nobody is, or the node stands still.
    served_at_ns: Option<u64>,
    /// How much of its time the first still needs, if the node stands still in the midst of it.
    left_ns: Option<u64>,
    /// The act that tells when, by its place in the script: one is enough for all times.
    act: Option<u32>,
}

impl Processor {
    fn poll_ns(&self) -> u64 {
        self.slow.iter().fold(0, |sum, (_, poll_ns)| sum.saturating_add(*poll_ns))
    }
}

/// A task of a node that is slow, or was.
struct Slowed {
    future: TaskFuture,
}

impl Future for Slowed {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> std::task::Poll<()> {
        if with("the run loop", Kernel::is_served) {
            self.future.as_mut().project().future.poll(context)
        } else {
            std::task::Poll::Pending
        }
    }
}

impl Kernel {
    /// From now on each poll of a node's tasks takes so much time, beside what it takes already. The number by which that is ended.
    pub(crate) fn slow_down(&mut self, id: NodeId, poll_ns: u64) -> u64 {
        self.changes_begun += 1;
        let number = self.changes_begun;
        self.processors.entry(id).or_default().slow.push((number, poll_ns));
        for slot in 0..self.tasks.len() as u32 {
            let task = &mut self.tasks[slot as usize];
            if task.node != id || self.slowed.get(&slot) == Some(&task.generation) {
                continue;
            }
            if let Some(future) = task.future.as_mut().or(self.put_aside.get_mut(&slot)) {
                slow_future(future);
                self.slowed.insert(slot, task.generation);
            }
        }
        number
    }

    /// A task comes to a node that may be slow.
    pub(super) fn slow_if_node_is(&mut self, task: TaskRef, id: NodeId, future: &mut TaskFuture) {
        if self.processors.contains_key(&id) {
            slow_future(future);
            self.slowed.insert(task.slot, task.generation);
        }
    }

    /// Ends one cause of slowness. Whether there was that one.
    pub(crate) fn end_slow(&mut self, id: NodeId, number: u64) -> bool {
        let Some(processor) = self.processors.get_mut(&id) else { return false };
        let before = processor.slow.len();
        processor.slow.retain(|(other, _)| *other != number);
        let (is_over, was_there) = (processor.slow.is_empty(), processor.slow.len() < before);
        if is_over {
            self.end_slowness(id);
        }
        was_there
    }

    /// Ends all slowness of a node: who waits for the processor is polled now.
    #[cold]
    pub(crate) fn end_slowness(&mut self, id: NodeId) {
        let Some(processor) = self.processors.remove(&id) else { return };
        for task in processor.queue {
            self.wake(WakeRef::Task(task), SERVED);
        }
    }

    /// Who waits for the processor of a slow node, in order.
    pub(super) fn waiting_for_processors(&self) -> impl Iterator<Item = TaskRef> {
        let queues = self.processors.values().flat_map(|processor| processor.queue.iter().copied());
        queues.filter(|task| self.tasks[task.slot as usize].generation == task.generation)
    }

    /// A node's tasks are gone with it.
    #[cold]
    pub(super) fn clear_processor(&mut self, id: NodeId) {
        if let Some(processor) = self.processors.get_mut(&id) {
            processor.queue.clear();
            (processor.served_at_ns, processor.left_ns) = (None, None);
        }
        let Kernel { tasks, served, .. } = self;
        served.retain(|task| {
            let slot = &tasks[task.slot as usize];
            slot.generation == task.generation && slot.node != id
        });
    }

    /// Whether the running task is polled now. Otherwise it waits for its turn.
    #[cold]
    fn is_served(&mut self) -> bool {
        let id = self.current.node;
        let task = TaskRef { slot: self.current.slot, generation: self.current.generation };
        let waits_no_more = self.served.len();
        self.served.retain(|served| *served != task);
        let Some(processor) = self.processors.get_mut(&id) else { return true };
        if self.served.len() < waits_no_more {
            return true;
        }
        if !processor.queue.contains(&task) {
            processor.queue.push_back(task);
        }
        self.serve_first(id);
        false
    }

    /// Who is first has the processor, if nobody has it.
    #[cold]
    pub(super) fn serve_first(&mut self, id: NodeId) {
        let stands_still = self.stands_still(id);
        let Kernel { processors, tasks, .. } = self;
        let Some(processor) = processors.get_mut(&id) else { return };
        // Who was aborted while it waited needs no time. Who has begun has taken it.
        while processor.served_at_ns.is_none()
            && processor.left_ns.is_none()
            && processor.queue.front().is_some_and(|task| tasks[task.slot as usize].generation != task.generation)
        {
            processor.queue.pop_front();
        }
        if processor.served_at_ns.is_some() || processor.queue.is_empty() || stands_still {
            return;
        }
        let needs_ns = processor.left_ns.take().unwrap_or(processor.poll_ns());
        let at_ns = self.now_ns.saturating_add(needs_ns);
        processor.served_at_ns = Some(at_ns);
        let index = processor.act.unwrap_or(self.script.acts.len() as u32);
        if processor.act.replace(index).is_none() {
            self.script.acts.push(Act::Served { node: id });
        }
        self.agenda.schedule(at_ns, Due::Act { index });
    }

    /// A node begins to stand still: who has the processor gets the rest of its time afterwards.
    #[cold]
    pub(super) fn pause_processor(&mut self, id: NodeId) {
        let now_ns = self.now_ns;
        if let Some(processor) = self.processors.get_mut(&id)
            && let Some(served_at_ns) = processor.served_at_ns.take()
        {
            processor.left_ns = Some(served_at_ns - now_ns);
        }
    }

    /// The time of a poll is over, if nothing has come in between.
    #[cold]
    pub(crate) fn served(&mut self, id: NodeId) {
        let now_ns = self.now_ns;
        let Some(processor) = self.processors.get_mut(&id).filter(|one| one.served_at_ns == Some(now_ns)) else {
            return;
        };
        processor.served_at_ns = None;
        let Some(task) = self.processors.get_mut(&id).and_then(|processor| processor.queue.pop_front()) else { return };
        self.serve_first(id);
        if self.has_task(task) {
            self.served.push(task);
            self.wake(WakeRef::Task(task), SERVED);
        }
    }
}

/// Wraps a task's future, which is polled with the waker that it had.
fn slow_future(future: &mut TaskFuture) {
    let mut inner = std::mem::replace(future, task_future(std::future::ready(())));
    let waker = std::mem::replace(inner.as_mut().project().waker, Waker::noop().clone());
    let mut slowed = task_future(Slowed { future: inner });
    *slowed.as_mut().project().waker = waker;
    *future = slowed;
}
