//! Tasks: slots, spawn paths, polls and ends.

use super::*;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TaskState {
    /// Waits to be woken.
    Idle,
    /// Lies among the ready.
    Scheduled,
    /// Is being polled.
    Running,
    /// Is being polled and was woken meanwhile.
    RunningWoken,
    /// Is being polled, and was aborted or went down with its node: its end is in the journal, and it isn't polled again.
    Ending,
    /// Has ended. Its slot stays its own until its destructors are through.
    Dropping,
}

/// What every wake and poll of a task touches: a cache line.
#[repr(align(64))]
pub(crate) struct TaskSlot {
    pub(super) future: Option<TaskFuture>,
    pub id: TaskId,
    pub(super) polled_at_ns: u64,
    /// What woke it last: a message, a timer, another task.
    pub(super) cause: u64,
    pub(super) generation: u32,
    pub node: NodeId,
    pub boot: u32,
    /// How often it was woken, wrapping: its place in the order of an instant is decided at the address (task, wake).
    pub(super) wakes: u32,
    /// For livelocks: polls at `polled_at_ns`.
    pub(super) polls_in_instant: u32,
    pub(super) state: TaskState,
    /// Whether the root task that this one hosts was woken by number.
    pub(super) is_root_woken: bool,
}

const _: () = assert!(size_of::<TaskSlot>() == 64);

impl TaskSlot {
    #[inline]
    pub(super) fn mark_scheduled(&mut self, cause: u64) {
        self.state = TaskState::Scheduled;
        self.wakes = self.wakes.wrapping_add(1);
        self.cause = cause;
    }
}

/// What only reports, spawns and draws touch.
pub(super) struct TaskDetails {
    /// How many children each name has.
    pub(super) children: Vec<(u64, u32)>,
    pub(super) name: TaskName,
    pub(super) ordinal: u32,
    pub(super) spawned_at: Option<&'static Location<'static>>,
    pub(super) entropy_drawn: u64,
    pub(super) rng: Option<Box<rand_chacha::ChaCha8Rng>>,
    pub(super) waker: SlotWaker,
}

/// What a task is called.
#[derive(Clone, Debug)]
pub(crate) enum TaskName {
    /// By its spawner.
    Given(Rc<str>),
    /// By the type of its future: `payments::bank::serve::{{closure}}`.
    OfType(&'static str),
    /// By the call that it serves.
    Serving(&'static str),
    /// A node's root.
    Root,
}

impl TaskName {
    pub(super) fn short(&self) -> String {
        match self {
            TaskName::Given(name) => name.to_string(),
            TaskName::OfType(name) => short_type_name(name),
            TaskName::Serving(name) => format!("serving {}", short_type_name(name)),
            TaskName::Root => "root".to_string(),
        }
    }
}

/// `payments::bank::serve<…>::{{closure}}` as `bank::serve`.
pub(crate) fn short_type_name(full: &str) -> String {
    let mut plain = String::with_capacity(full.len());
    let mut depth = 0u32;
    for character in full.chars() {
        match character {
            '<' => depth += 1,
            '>' => depth = depth.saturating_sub(1),
            other if depth == 0 => plain.push(other),
            _ => {}
        }
    }
    let parts: Vec<&str> = plain.split("::").filter(|part| !part.is_empty() && !part.starts_with('{')).collect();
    let from = parts.len().saturating_sub(2);
    let short = parts[from..].join("::");
    if short.is_empty() { full.to_string() } else { short }
}

/// A task that is to be dropped.
pub(super) struct Condemned {
    pub(super) future: TaskFuture,
    pub(super) current: Current,
    /// Its end, if that isn't in the journal already.
    pub(super) end: Option<TaskEnd>,
}

impl Condemned {
    /// Drops the task, as the one whose code runs.
    pub(super) fn drop_now(self) {
        let Condemned { future, current, end } = self;
        with("the run loop", |kernel| {
            kernel.current = current;
            if let Some(end) = end {
                kernel.emit(EventKind::TaskEnd { end });
            }
        });
        call(move || drop(future));
        with("the run loop", Kernel::leave_condemned);
    }
}

/// A task taken out to be polled.
pub(crate) struct Polling {
    /// None once it has ended and its destructors are through.
    future: Option<TaskFuture>,
    task: TaskRef,
}

impl Polling {
    /// Polls the task, and drops it if it has ended: both are user code, and both are the task's own.
    #[inline]
    pub(crate) fn poll(self) -> Polling {
        let Polling { future, task } = self;
        let Some(mut future) = future else { return Polling { future, task } };
        let body = future.as_mut().project();
        let mut context = Context::from_waker(body.waker);
        wakers::set_own_waker(body.waker.data().addr());
        squall_hermetic::set_node_code(true);
        // It doesn't unwind: what a program's future panics with is caught where it was spawned.
        let ended = body.future.poll(&mut context).is_ready();
        wakers::set_own_waker(0);
        let future = if ended {
            let waker = std::mem::replace(body.waker, Waker::noop().clone());
            call(move || drop(future));
            with("the run loop", |kernel| kernel.details[task.slot as usize].waker.keep(waker));
            None
        } else {
            Some(future)
        };
        squall_hermetic::set_node_code(false);
        Polling { future, task }
    }
}

/// Calls a destructor or a waker of the program's. Nobody can join those: their panics fail the run.
pub(crate) fn call(code: impl FnOnce()) {
    let before = squall_hermetic::set_node_code(true);
    let called = std::panic::catch_unwind(std::panic::AssertUnwindSafe(code));
    squall_hermetic::set_node_code(before);
    if let Err(payload) = called {
        let text = crate::task::panic_text(&*payload);
        with("the run loop", |kernel| kernel.destructor_panicked(&text));
    }
}

/// The fingerprint of a wake: its cause. The engine's own, which has no task, is one as well, and not that which stands for any.
fn fingerprint_of_cause(cause: u64) -> u64 {
    const ENGINE: u64 = 2;
    if cause == squall_trace::plan::ANY_FINGERPRINT { ENGINE } else { cause }
}

/// Who a ready entry is, to those who decide about order.
#[inline]
pub(super) fn identify(now: Now, network: &Network, tasks: &[TaskSlot]) -> Option<Identity> {
    match now {
        Now::Delivery { message } => Some(network.identify(message)),
        // A task that has ended meanwhile is nobody, though another may have come into its slot.
        Now::Poll { slot, generation } => tasks
            .get(slot as usize)
            .filter(|task| task.generation == generation)
            .map(|task| Identity::new(FlowId(task.id.0), u64::from(task.wakes), fingerprint_of_cause(task.cause))),
    }
}

impl Kernel {
    /// Spawns a child of the running task. `None` if that doesn't count any more.
    pub(crate) fn spawn_child(
        &mut self,
        name: TaskName,
        path: Option<TaskId>,
        location: &'static Location<'static>,
        future: TaskFuture,
    ) -> Result<TaskRef, TaskFuture> {
        if !self.is_live() {
            return Err(future);
        }
        let (id, ordinal) = match path {
            Some(id) => (id, 0),
            None => self.next_child(&name),
        };
        let (node, boot) = (self.current.node, self.current.boot);
        let task = self.insert_task(id, node, boot, name, ordinal, Some(location), future);
        let place = Place { at_ns: self.now_ns, node, task: self.current.task };
        self.journal.spawn(place, id);
        self.schedule(task, self.current.task.0);
        Ok(task)
    }

    pub(super) fn next_child(&mut self, name: &TaskName) -> (TaskId, u32) {
        let name_hash = match name {
            TaskName::Given(name) => xxh3_64(name.as_bytes()),
            TaskName::OfType(name) | TaskName::Serving(name) => xxh3_64(name.as_bytes()),
            TaskName::Root => 0,
        };
        let (parent_id, children) = match self.operations.get_mut(&self.current.task) {
            Some(operation) => operation.spawning(),
            None => (self.current.task, &mut self.details[self.current.slot as usize].children),
        };
        let ordinal = match children.iter_mut().find(|(hash, _)| *hash == name_hash) {
            Some((_, count)) => {
                *count += 1;
                *count
            }
            None => {
                children.push((name_hash, 0));
                0
            }
        };
        (parent_id.child(name_hash, ordinal), ordinal)
    }

    #[allow(clippy::too_many_arguments)]
    pub(super) fn insert_task(
        &mut self,
        id: TaskId,
        node: NodeId,
        boot: u32,
        name: TaskName,
        ordinal: u32,
        spawned_at: Option<&'static Location<'static>>,
        future: TaskFuture,
    ) -> TaskRef {
        let slot = self.free_tasks.pop().unwrap_or(self.tasks.len() as u32);
        let generation = self.tasks.get(slot as usize).map_or(self.first_generation, |task| task.generation);
        let task = TaskRef { slot, generation };
        match self.details.get_mut(slot as usize) {
            Some(details) => {
                details.children.clear();
                (details.name, details.ordinal, details.spawned_at) = (name, ordinal, spawned_at);
                details.entropy_drawn = 0;
            }
            None => self.details.push(TaskDetails {
                children: Vec::new(),
                name,
                ordinal,
                spawned_at,
                entropy_drawn: 0,
                rng: None,
                waker: SlotWaker::new(&self.token, task),
            }),
        }
        let mut future = future;
        if !self.processors.is_empty() {
            self.slow_if_node_is(task, node, &mut future);
        }
        *future.as_mut().project().waker = self.details[slot as usize].waker.for_task(task);
        let hot = TaskSlot {
            generation,
            state: TaskState::Idle,
            is_root_woken: false,
            polls_in_instant: 0,
            polled_at_ns: self.now_ns,
            future: Some(future),
            id,
            node,
            boot,
            wakes: 0,
            cause: 0,
        };
        match self.tasks.get_mut(slot as usize) {
            Some(free) => *free = hot,
            None => {
                assert!(slot < TaskRef::SLOTS_MAX, "there are fewer than 2^31 tasks at a time");
                self.tasks.push(hot);
            }
        }
        if self.journal.wants_names() {
            let info = self.task_info(slot);
            self.journal.name_task(id, || info);
        }
        task
    }

    pub(super) fn task_info(&self, slot: u32) -> TaskInfo {
        let (task, details) = (&self.tasks[slot as usize], &self.details[slot as usize]);
        let node = &self.nodes[task.node.index()];
        let mut label = node.name.to_string();
        if task.boot > 0 {
            label.push_str(&format!("#{}", task.boot));
        }
        if !matches!(details.name, TaskName::Root) {
            label.push('/');
            label.push_str(&details.name.short());
            if details.ordinal > 0 {
                label.push_str(&format!("[{}]", details.ordinal));
            }
        }
        let spawned_at = details.spawned_at.map(|at| format!("{}:{}", at.file(), at.line())).unwrap_or_default();
        TaskInfo { label, node: task.node, spawned_at }
    }

    /// The label of the running task.
    pub(crate) fn current_label(&self) -> String {
        match self.tasks.get(self.current.slot as usize) {
            Some(task) if task.generation == self.current.generation => self.task_info(self.current.slot).label,
            // Recorded names are no help: how much is recorded must not change what labels get into (faults' addresses).
            _ => squall_trace::Names::default().task(self.current.task).into_owned(),
        }
    }

    #[inline]
    pub(super) fn get_task(&mut self, task: TaskRef) -> Option<&mut TaskSlot> {
        self.tasks.get_mut(task.slot as usize).filter(|slot| slot.generation == task.generation)
    }

    /// Whether a task hasn't ended.
    pub(crate) fn has_task(&mut self, task: TaskRef) -> bool {
        self.get_task(task).is_some()
    }

    /// Asks a task to end. It is dropped when the world isn't borrowed.
    pub(crate) fn abort(&mut self, task: TaskRef) {
        let Some(slot) = self.get_task(task) else { return };
        match slot.state {
            TaskState::Running | TaskState::RunningWoken => self.end_running(task.slot, TaskEnd::Aborted),
            TaskState::Idle | TaskState::Scheduled => self.condemn(task.slot, Some(TaskEnd::Aborted)),
            TaskState::Ending | TaskState::Dropping => {}
        }
    }

    /// Ends a task that is being polled: it is taken out when the poll is over.
    pub(super) fn end_running(&mut self, slot: u32, end: TaskEnd) {
        let current = self.current_of(slot);
        self.tasks[slot as usize].state = TaskState::Ending;
        self.journal.task_end(Place { at_ns: self.now_ns, node: current.node, task: current.task }, end);
    }

    pub(super) fn current_of(&self, slot: u32) -> Current {
        let task = &self.tasks[slot as usize];
        Current {
            slot,
            generation: task.generation,
            task: task.id,
            node: task.node,
            boot: task.boot,
            live: false,
            overtaken: false,
        }
    }

    pub(super) fn condemn(&mut self, slot: u32, end: Option<TaskEnd>) {
        let mut current = self.current_of(slot);
        // The destructors of an aborted task are code like any other; those of a crashed node, or of a run that is over,
        // have no effect.
        current.live = end == Some(TaskEnd::Aborted) && self.nodes[current.node.index()].up;
        let task = &mut self.tasks[slot as usize];
        task.state = TaskState::Dropping;
        if let Some(future) = task.future.take().or_else(|| self.put_aside.remove(&slot)) {
            self.outbox.condemn(Condemned { future, current, end });
        }
    }

    /// Whether a task is waiting or ready, on a node that stands still or not.
    pub(super) fn has_future(&self, slot: u32) -> bool {
        self.tasks[slot as usize].future.is_some() || self.put_aside.contains_key(&slot)
    }

    pub(super) fn free_task(&mut self, slot: u32) {
        let entry = &mut self.tasks[slot as usize];
        entry.generation = entry.generation.wrapping_add(1);
        entry.state = TaskState::Idle;
        self.details[slot as usize].rng = None;
        self.free_tasks.push(slot);
    }

    #[inline(always)]
    pub(super) fn begin_poll(&mut self, task: TaskRef) -> Option<Polling> {
        let now_ns = self.now_ns;
        let limit = self.limits.polls_in_instant;
        // Only what programs do makes events without end, so here is the place to look at the limit.
        if self.journal.step() >= self.limits.events {
            self.attention = true;
            return None;
        }
        let slot = self.get_task(task)?;
        let future = slot.future.take()?;
        slot.state = TaskState::Running;
        if slot.polled_at_ns == now_ns {
            slot.polls_in_instant += 1;
        } else {
            slot.polled_at_ns = now_ns;
            slot.polls_in_instant = 1;
        }
        let livelock = slot.polls_in_instant > limit;
        self.current = Current {
            slot: task.slot,
            generation: task.generation,
            task: slot.id,
            node: slot.node,
            boot: slot.boot,
            live: true,
            overtaken: false,
        };
        self.current_panicked = false;
        self.journal.poll(Place { at_ns: now_ns, node: self.current.node, task: self.current.task });
        self.beat.poll(self.journal.step());
        if livelock {
            self.fail_by_livelock();
        }
        Some(Polling { future: Some(future), task })
    }

    #[cold]
    fn fail_by_livelock(&mut self) {
        let (label, limit) = (self.current_label(), self.limits.polls_in_instant);
        self.fail(
            "livelock",
            format!(
                "{label} was polled {limit} times at one instant, {}: it wakes itself (or others wake it) without waiting \
                 for anything; let it sleep or wait for what it needs",
                squall_trace::trace::format_ns(self.now_ns)
            ),
        );
    }

    /// Takes a polled task back.
    #[inline]
    pub(crate) fn end_poll(&mut self, polling: Polling) {
        let current = self.current;
        self.current = NOBODY;
        let Polling { future, task } = polling;
        let slot = self.get_task(task).expect("a slot is its task's until its destructors are through");
        match future {
            Some(future) if slot.state != TaskState::Ending => {
                slot.future = Some(future);
                let woken = slot.state == TaskState::RunningWoken;
                slot.state = TaskState::Idle;
                if woken {
                    self.schedule(task, current.task.0);
                }
            }
            future => self.end_task(task.slot, current, future),
        }
    }

    /// A polled task has returned, or was aborted or went down with its node meanwhile.
    pub(super) fn end_task(&mut self, slot: u32, current: Current, future: Option<TaskFuture>) {
        let end_is_known = self.tasks[slot as usize].state == TaskState::Ending;
        self.tasks[slot as usize].state = TaskState::Dropping;
        if !end_is_known {
            let end = if self.current_panicked { TaskEnd::Panicked } else { TaskEnd::Returned };
            self.journal.task_end(Place { at_ns: self.now_ns, node: current.node, task: current.task }, end);
        }
        match future {
            Some(future) => self.outbox.condemn(Condemned { future, current, end: None }),
            None => self.free_task(slot),
        }
    }

    /// A condemned task's destructors are through: its slot is free.
    pub(super) fn leave_condemned(&mut self) {
        let current = std::mem::replace(&mut self.current, NOBODY);
        if self.get_task(TaskRef { slot: current.slot, generation: current.generation }).is_some() {
            self.free_task(current.slot);
        }
    }

    /// The code that runs panicked where nobody can join it: in a destructor, or in a waker of its own.
    pub(crate) fn destructor_panicked(&mut self, text: &str) {
        let label = self.current_label();
        self.emit(EventKind::Panic { message: text.into() });
        self.fail("panic", format!("a destructor of {label} panicked: {text}"));
    }

    /// Condemns everything that is left. Nothing that its destructors do counts.
    pub(crate) fn condemn_all(&mut self) {
        for slot in 0..self.tasks.len() as u32 {
            if self.has_future(slot) {
                self.condemn(slot, None);
            }
        }
    }

    /// The waiting tasks, clients first, for a report of a deadlock. Whom the heal left out isn't waited for.
    pub(crate) fn describe_waiting(&self) -> String {
        let mut lines: Vec<(bool, String)> = Vec::new();
        for node in &self.nodes {
            if node.client && !node.up && !node.root_returned && !node.is_left_out {
                let more = match self.may_start_again(node) {
                    true => "and something may start it again",
                    false => "and never returned",
                };
                lines.push((true, format!("  client {} is down, {more}", node.name)));
            }
        }
        for slot in 0..self.tasks.len() as u32 {
            let task = &self.tasks[slot as usize];
            if !self.has_future(slot) {
                continue;
            }
            let node = &self.nodes[task.node.index()];
            if node.is_left_out {
                continue;
            }
            let info = self.task_info(slot);
            let spawned = match self.details[slot as usize].spawned_at {
                Some(_) => format!("spawned at {}", info.spawned_at),
                None => "the node's root".to_string(),
            };
            let waited = squall_trace::trace::format_ns(self.now_ns - task.polled_at_ns);
            let client = node.client && !node.root_returned;
            let role = if client { "client" } else { "server" };
            let paused = if !self.stands_still(task.node) { "" } else { ", on a node that stands still" };
            let line = format!("  {} on {role} {} ({spawned}) has waited {waited}{paused}", info.label, node.name);
            lines.push((client, line));
        }
        lines.sort_by_key(|(client, _)| !client);
        let more = lines.len().saturating_sub(20);
        let mut text: Vec<String> = lines.into_iter().take(20).map(|(_, line)| line).collect();
        if more > 0 {
            text.push(format!("  … and {more} more"));
        }
        text.join("\n")
    }

    /// Entropy for whoever runs, keyed by its task and a number.
    pub(crate) fn fill_entropy(&mut self, out: &mut [u8]) {
        self.drawn += 1;
        let task = self.current.task;
        let slot = self.current.slot as usize;
        let runs = self.tasks.get(slot).is_some_and(|task| task.generation == self.current.generation);
        let counter = if runs { &mut self.details[slot].entropy_drawn } else { &mut self.entropy_drawn };
        for chunk in out.chunks_mut(16) {
            *counter += 1;
            let [low, high] = self.application_key.words(FlowId(task.0), *counter, 1);
            let mut block = [0u8; 16];
            block[..8].copy_from_slice(&low.to_le_bytes());
            block[8..].copy_from_slice(&high.to_le_bytes());
            chunk.copy_from_slice(&block[..chunk.len()]);
        }
    }

    /// The running task's generator, made from (seed, task) when it is first asked for.
    pub(crate) fn task_rng(&mut self) -> Option<&mut rand_chacha::ChaCha8Rng> {
        use rand_core::SeedableRng;
        let (key, current) = (self.application_key, self.current);
        self.tasks.get(current.slot as usize).filter(|slot| slot.generation == current.generation)?;
        self.drawn += 1;
        Some(self.details[current.slot as usize].rng.get_or_insert_with(|| {
            let mut seed = [0u8; 32];
            for (block, half) in seed.chunks_mut(16).enumerate() {
                let [low, high] = key.words(FlowId(current.task.0), block as u64, 2);
                half[..8].copy_from_slice(&low.to_le_bytes());
                half[8..].copy_from_slice(&high.to_le_bytes());
            }
            Box::new(rand_chacha::ChaCha8Rng::from_seed(seed))
        }))
    }

    /// The name of the running task's next workload. `None` if no task runs.
    pub(crate) fn name_workload(&mut self) -> Option<TaskId> {
        let current = self.current;
        self.tasks.get(current.slot as usize).filter(|slot| slot.generation == current.generation)?;
        Some(self.next_child(&TaskName::OfType("workload")).0)
    }

    /// A word for choosing an ephemeral port: of the running task and how often it asked.
    pub(crate) fn next_port_word(&mut self) -> u64 {
        let name = TaskName::OfType("ephemeral port");
        let (id, _) = self.next_child(&name);
        id.0
    }
}
