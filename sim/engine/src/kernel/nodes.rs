//! Nodes: boots, crashes, and which clients are still waited for.

use super::*;

pub(crate) struct Node {
    pub name: Rc<str>,
    pub address: std::net::IpAddr,
    pub client: bool,
    pub control: bool,
    pub boot: u32,
    pub up: bool,
    pub root_returned: bool,
    pub restart_pending: bool,
    /// Its faults stayed when others were healed: nobody waits for it.
    pub is_left_out: bool,
    pub init: Init,
    pub on_panic: OnPanic,
    /// Bound ports and their sockets.
    pub ports: smallvec::SmallVec<[(u16, u32); 2]>,
}

impl Kernel {
    /// Starts a node's root task.
    pub(crate) fn boot(&mut self, id: NodeId) {
        let node = &mut self.nodes[id.index()];
        node.up = true;
        node.restart_pending = false;
        let boot = node.boot;
        let task = TaskId::root(&node.name, boot);
        let init = Rc::clone(&node.init);
        let client = node.client;
        if client && boot == 0 {
            self.clients_left += 1;
            self.has_clients = true;
        }
        // No code of the program's runs here: the root calls its init function when it is polled.
        let future = init.task();
        self.emit_on(id, EventKind::Boot { boot });
        let task = self.insert_task(task, id, boot, TaskName::Root, 0, None, future);
        self.schedule(task, 0);
        self.release_stopped();
    }

    /// A root task gave its value. One whose node crashed in the same poll, at a point of its code, has been cut off before.
    pub(crate) fn root_returned(&mut self, result: Result<(), String>) {
        if !self.is_live() {
            return;
        }
        let id = self.current.node;
        if let Err(message) = result {
            let label = self.current_label();
            self.fail("error", format!("{label} returned an error: {message}"));
        }
        let node = &mut self.nodes[id.index()];
        if !node.root_returned {
            node.root_returned = true;
            self.attention = true;
            if node.client {
                self.clients_left -= 1;
            }
        }
    }

    /// Takes a node down. Effects go off first: from here on nothing that its code does counts.
    pub(crate) fn crash(&mut self, id: NodeId) -> bool {
        let node = &mut self.nodes[id.index()];
        if !node.up {
            return false;
        }
        node.up = false;
        if self.current.node == id {
            self.current.live = false;
            self.current.overtaken = true;
        }
        self.attention = true;
        self.emit_on(id, EventKind::Crash);
        self.pauses.remove(&id);
        self.clear_processor(id);
        self.lose_queued(id);
        for slot in 0..self.tasks.len() as u32 {
            let task = &self.tasks[slot as usize];
            if task.node != id {
                continue;
            }
            match task.state {
                TaskState::Running | TaskState::RunningWoken => {
                    let end = if self.current_panicked { TaskEnd::Panicked } else { TaskEnd::Crashed };
                    self.end_running(slot, end);
                }
                TaskState::Idle | TaskState::Scheduled if self.has_future(slot) => {
                    self.condemn(slot, Some(TaskEnd::Crashed))
                }
                TaskState::Idle | TaskState::Scheduled | TaskState::Ending | TaskState::Dropping => {}
            }
        }
        self.crash_disk(id);
        self.outbox.crashed(id);
        true
    }

    /// Starts a node that is down, with the next boot number.
    pub(crate) fn restart(&mut self, id: NodeId) -> bool {
        let node = &mut self.nodes[id.index()];
        if node.up {
            return false;
        }
        node.boot += 1;
        self.boot(id);
        true
    }

    /// Lets a node stand still, for a reason of its own number: its tasks are put aside, so that nobody who polls has to look.
    pub(crate) fn pause(&mut self, id: NodeId) -> u64 {
        self.changes_begun += 1;
        self.pauses.entry(id).or_default().push(self.changes_begun);
        self.pause_processor(id);
        for slot in 0..self.tasks.len() as u32 {
            let task = &mut self.tasks[slot as usize];
            if task.node == id
                && let Some(future) = task.future.take()
            {
                self.put_aside.insert(slot, future);
            }
        }
        self.changes_begun
    }

    /// Whether a node does.
    pub(crate) fn stands_still(&self, id: NodeId) -> bool {
        self.pauses.contains_key(&id)
    }

    /// Ends a pause of a node. If it was the last one, its tasks go on. Whether there was that pause: a crash may have ended it.
    pub(crate) fn end_pause(&mut self, id: NodeId, pause: u64) -> bool {
        let Some(pauses) = self.pauses.get_mut(&id) else { return false };
        let before = pauses.len();
        pauses.retain(|other| *other != pause);
        let (is_over, was_there) = (pauses.is_empty(), pauses.len() < before);
        if is_over {
            self.end_pauses(id);
        }
        was_there
    }

    /// Ends all pauses of a node. Its tasks go on: those that were woken meanwhile are ready now. Whether there was one.
    pub(crate) fn end_pauses(&mut self, id: NodeId) -> bool {
        if self.pauses.remove(&id).is_none() {
            return false;
        }
        let is_there = |slot: &u32| self.tasks[*slot as usize].node == id;
        let slots: Vec<u32> = self.put_aside.keys().copied().filter(is_there).collect();
        for slot in slots {
            let future = self.put_aside.remove(&slot);
            let task = &mut self.tasks[slot as usize];
            task.future = future;
            let (state, cause, generation) = (task.state, task.cause, task.generation);
            // Who has missed a poll lies among the ready no more.
            if state == TaskState::Scheduled && !self.agenda.has_ready(Now::Poll { slot, generation }) {
                self.schedule(TaskRef { slot, generation }, cause);
            }
        }
        self.serve_first(id);
        true
    }

    /// Clients that the run still waits for: not those that are down for good.
    pub(super) fn clients_waited_for(&self) -> bool {
        self.clients_left > 0
            && self.nodes.iter().any(|node| {
                let comes_back = || node.restart_pending || self.pending_heal_has(node);
                node.client && !node.root_returned && !node.is_left_out && (node.up || comes_back())
            })
    }

    /// Whether the heal is still to come, and is for that node: if it is down then, it starts again.
    fn pending_heal_has(&self, node: &Node) -> bool {
        self.pending_heal.as_ref().is_some_and(|heal| heal.has(&node.name))
    }

    /// The clients that the heal is for and that haven't returned, down or not.
    pub(super) fn clients_to_get_on(&self) -> impl Iterator<Item = &Node> {
        self.nodes.iter().filter(|node| {
            let is_healed = self.pending_heal.is_none() || self.pending_heal_has(node);
            node.client && !node.root_returned && !node.is_left_out && is_healed
        })
    }

    /// Whether a node that is down may be started again.
    pub(super) fn may_start_again(&self, node: &Node) -> bool {
        node.restart_pending || self.pending_heal_has(node) || self.control_goes_on()
    }

    fn control_goes_on(&self) -> bool {
        self.nodes.iter().any(|node| node.control && !node.root_returned)
    }

    /// Whether no client at all has returned.
    pub(crate) fn no_client_returned(&self) -> bool {
        !self.nodes.iter().any(|node| node.client && node.root_returned)
    }

    /// Whether no client is left to wait for. One that is down isn't, unless a control task goes on that may start it again.
    pub(super) fn clients_are_through(&self) -> bool {
        self.clients_left == 0 || !(self.clients_waited_for() || self.control_goes_on())
    }

    /// The sockets of a crashed node go, after its tasks.
    pub(super) fn finish_crash(&mut self, id: NodeId) {
        let ports = std::mem::take(&mut self.nodes[id.index()].ports);
        for (_, socket) in ports {
            self.close_socket(socket);
        }
        self.crash_streams(id);
    }

    /// Lets code of a node run that belongs to no task and doesn't count any more: destructors of its values.
    pub(crate) fn enter_dropped(&mut self, id: NodeId) {
        self.current = Current { node: id, boot: self.nodes[id.index()].boot, ..NOBODY };
    }

    /// Ends what [`Kernel::enter_dropped`] began.
    pub(crate) fn leave_dropped(&mut self) {
        self.current = NOBODY;
    }

    /// What the nodes' init functions hold is dropped when the world isn't borrowed.
    pub(crate) fn take_inits(&mut self) -> Vec<Init> {
        self.nodes.iter_mut().map(|node| std::mem::replace(&mut node.init, crate::world::init_of_nothing())).collect()
    }
}
