//! Wakers that know their run, and waking by number.

use std::cell::Cell;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Wake, Waker};

use super::*;

/// Identifies a run to wakers on any thread.
#[derive(Debug, Default)]
pub(crate) struct RunToken {
    pub(super) raised: AtomicBool,
    pub(super) foreign_wake: Mutex<Option<ForeignWake>>,
    /// What threads in lock step have woken, in order.
    stepped_wakes: Mutex<Vec<TaskRef>>,
}

/// A wake that didn't come from the task's own run.
#[derive(Clone, Debug)]
pub(super) struct ForeignWake {
    pub(super) task: TaskRef,
    pub(super) thread: String,
}

impl RunToken {
    pub(super) fn raise(&self, wake: ForeignWake) {
        let mut slot = self.foreign_wake.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        slot.get_or_insert(wake);
        self.raised.store(true, Ordering::Release);
    }

    #[inline]
    pub(super) fn is_raised(&self) -> bool {
        // What was raised is read behind the lock.
        self.raised.load(Ordering::Relaxed)
    }

    pub(super) fn foreign_wake(&self) -> Option<ForeignWake> {
        self.foreign_wake.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone()
    }
}

/// The waker of a task. It names run, slot and generation, so that it can never wake another task that came into the slot
/// later, nor one of another run.
#[derive(Debug)]
pub(super) struct TaskWaker {
    pub(super) token: Arc<RunToken>,
    slot: u32,
    generation: AtomicU32,
}

impl TaskWaker {
    fn task(&self) -> TaskRef {
        TaskRef { slot: self.slot, generation: self.generation.load(Ordering::Relaxed) }
    }
}

/// The waker of a slot: the next task's too, if nobody has kept it.
///
/// Atomic counts cost more than they seem to: each waits for all that the processor has yet to write. So the last task's
/// own waker is kept, and whether there are others is only looked at.
#[derive(Debug)]
pub(super) struct SlotWaker {
    waker: Arc<TaskWaker>,
    /// What the last task was polled with.
    spare: Option<Waker>,
}

impl SlotWaker {
    pub(super) fn new(token: &Arc<RunToken>, task: TaskRef) -> SlotWaker {
        let generation = AtomicU32::new(task.generation);
        SlotWaker { waker: Arc::new(TaskWaker { token: Arc::clone(token), slot: task.slot, generation }), spare: None }
    }

    /// What `task`, which has come into the slot, is to be polled with.
    #[inline]
    pub(super) fn for_task(&mut self, task: TaskRef) -> Waker {
        let known = 1 + usize::from(self.spare.is_some());
        if Arc::strong_count(&self.waker) != known {
            *self = SlotWaker::new(&self.waker.token, task);
        }
        // Nobody else can have come by one meanwhile: a waker is cloned from a waker.
        self.waker.generation.store(task.generation, Ordering::Relaxed);
        self.spare.take().unwrap_or_else(|| Waker::from(Arc::clone(&self.waker)))
    }

    /// Takes back what an ended task was polled with.
    #[inline]
    pub(super) fn keep(&mut self, waker: Waker) {
        self.spare = Some(waker);
    }
}

impl Wake for TaskWaker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        let woken_here = try_with(|kernel| {
            let ours = Arc::ptr_eq(&kernel.token, &self.token);
            if ours {
                let cause = kernel.current.task.0;
                kernel.wake_task(self.task(), cause);
            }
            ours
        });
        if woken_here != Some(true) && squall_hermetic::is_stepped_thread() {
            let mut wakes = self.token.stepped_wakes.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            wakes.push(self.task());
        } else if woken_here != Some(true) {
            let thread = std::thread::current();
            self.token.raise(ForeignWake {
                task: self.task(),
                thread: thread.name().unwrap_or("without a name").to_string(),
            });
        }
    }
}

/// A task, by slot and generation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TaskRef {
    pub slot: u32,
    pub generation: u32,
}

impl TaskRef {
    /// In the number of a slot: not the task is meant, but the root task that it hosts.
    const ROOT: u32 = 1 << 31;

    /// No slot has a number so high.
    pub(super) const SLOTS_MAX: u32 = TaskRef::ROOT;

    /// The task itself, if this is the root task that it hosts.
    fn host(self) -> TaskRef {
        TaskRef { slot: self.slot & !TaskRef::ROOT, ..self }
    }
}

/// Whom to wake. Tasks that wait with their own waker are woken by number: no reference is counted.
#[derive(Debug)]
pub(crate) enum WakeRef {
    Task(TaskRef),
    Foreign(Waker),
}

impl WakeRef {
    /// No task has that slot. Shorter than an `Option`.
    pub(crate) const NOBODY: WakeRef = WakeRef::Task(TaskRef { slot: u32::MAX, generation: u32::MAX });

    #[inline]
    pub(crate) fn is_nobody(&self) -> bool {
        matches!(self, WakeRef::Task(task) if task.slot == u32::MAX)
    }

    /// The task, if it waits with its own waker.
    #[inline]
    pub(crate) fn task(&self) -> Option<TaskRef> {
        match *self {
            WakeRef::Task(task) => Some(task.host()),
            WakeRef::Foreign(_) => None,
        }
    }
}

thread_local! {
    /// The address of the waker that the running task was polled with; 0 where none is polled.
    static OWN_WAKER: Cell<usize> = const { Cell::new(0) };
}

/// Says that a task is polled with a waker, until 0 is said.
#[inline]
pub(super) fn set_own_waker(address: usize) {
    OWN_WAKER.set(address);
}

/// Until this is dropped, the running task polls the root task that it hosts: whoever waits with that one's waker waits as the root task, by number.
pub(crate) struct RootPolled {
    waker_of_host: usize,
}

impl RootPolled {
    pub(crate) fn new(waker: &Waker) -> RootPolled {
        let _ = try_with(|kernel| kernel.waits_as = TaskRef::ROOT);
        RootPolled { waker_of_host: OWN_WAKER.replace(waker.data().addr()) }
    }
}

impl Drop for RootPolled {
    fn drop(&mut self) {
        OWN_WAKER.set(self.waker_of_host);
        let _ = try_with(|kernel| kernel.waits_as = 0);
    }
}

/// A clone of `context`'s waker, unless it is the running task's own, which is known without. To be called where the run's
/// state isn't taken: cloning is user code.
#[inline]
pub(crate) fn other_waker(context: &Context<'_>) -> Option<Waker> {
    let waker = context.waker();
    if waker.data().addr() == OWN_WAKER.get() { None } else { Some(crate::host::waking_host(waker)) }
}

/// A waker that wakes as `context`'s does, to be called as [`other_waker`].
pub(crate) fn any_waker(context: &Context<'_>) -> Waker {
    crate::host::waking_host(context.waker())
}

impl Kernel {
    /// Whom to wake when what the running task waits for has come; `other` is from [`other_waker`].
    #[inline]
    pub(crate) fn wake_ref(&self, other: Option<Waker>) -> WakeRef {
        match other {
            None => {
                let TaskRef { slot, generation } = self.current_task();
                WakeRef::Task(TaskRef { slot: slot | self.waits_as, generation })
            }
            Some(waker) => WakeRef::Foreign(waker),
        }
    }

    /// The running task.
    #[inline]
    pub(crate) fn current_task(&self) -> TaskRef {
        TaskRef { slot: self.current.slot, generation: self.current.generation }
    }

    /// Wakes. `cause` goes into the fingerprint of the wake's order.
    #[inline]
    pub(crate) fn wake(&mut self, wake: WakeRef, cause: u64) {
        match wake {
            WakeRef::Task(task) => self.wake_task(task, cause),
            WakeRef::Foreign(waker) => self.outbox.wake(waker),
        }
    }

    /// Drops a waker without waking: dropping is user code as well.
    #[inline]
    pub(crate) fn forget(&mut self, wake: WakeRef) {
        if let WakeRef::Foreign(waker) = wake {
            self.outbox.drop_waker(waker);
        }
    }

    #[inline]
    pub(super) fn wake_task(&mut self, task: TaskRef, cause: u64) {
        let Some(slot) = self.get_task(task) else { return self.wake_root(task, cause) };
        match slot.state {
            TaskState::Idle => self.schedule(task, cause),
            TaskState::Running => slot.state = TaskState::RunningWoken,
            TaskState::Scheduled | TaskState::RunningWoken | TaskState::Ending | TaskState::Dropping => {}
        }
    }

    /// No task has that number: it may be that of a root task.
    #[cold]
    fn wake_root(&mut self, task: TaskRef, cause: u64) {
        let host = task.host();
        let Some(slot) = self.get_task(host).filter(|_| task != host) else { return };
        slot.is_root_woken = true;
        self.wake_task(host, cause);
    }

    /// Whether the root task that the running task hosts was woken by number since this was asked last.
    pub(crate) fn take_root_wake(&mut self) -> bool {
        self.get_task(self.current_task()).is_some_and(|slot| std::mem::take(&mut slot.is_root_woken))
    }

    #[inline]
    pub(super) fn schedule(&mut self, task: TaskRef, cause: u64) {
        self.tasks[task.slot as usize].mark_scheduled(cause);
        self.agenda.push_ready(Now::Poll { slot: task.slot, generation: task.generation });
    }

    /// Wakes for a message. A task that became ready by this comes back instead of being put among the ready ones.
    #[inline]
    pub(crate) fn wake_for_message(&mut self, wake: WakeRef, cause: u64) -> Option<TaskRef> {
        let WakeRef::Task(task) = wake else {
            self.wake(wake, cause);
            return None;
        };
        if let Some(slot) = self.get_task(task)
            && slot.state == TaskState::Idle
        {
            slot.mark_scheduled(cause);
            return Some(task);
        }
        self.wake_task(task, cause);
        None
    }

    /// Wakes whom threads in lock step have woken.
    pub(crate) fn wake_for_threads(&mut self) {
        let wakes = {
            let mut wakes = self.token.stepped_wakes.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            std::mem::take(&mut *wakes)
        };
        let cause = self.current.task.0;
        for task in wakes {
            self.wake_task(task, cause);
        }
    }

    /// A thread that isn't the run's woke a task. When that is noticed isn't repeatable, so it is no event.
    #[cold]
    pub(super) fn fail_by_foreign_wake(&mut self) {
        let Some(ForeignWake { task, thread }) = self.token.foreign_wake() else { return };
        let woken = self.get_task(task).map(|slot| (slot.node, slot.id));
        let label = match woken {
            Some(_) => self.task_info(task.slot).label,
            None => "a task that has ended".to_string(),
        };
        let line = format!("{label}: woken from outside of its run, by thread {thread:?}");
        self.fail_at(
            "hermetic",
            format!(
                "{line}: what other threads do and when they do it can't be repeated; keep the work on the run's thread \
                 (squall::task::spawn, spawn_blocking)"
            ),
            woken.map(|(node, _)| node),
            woken.map(|(_, task)| task),
        );
        if !self.escapes.contains(&line) {
            self.escapes.push(line);
        }
    }
}
