//! Timers: started, moved, stopped and due.

use super::*;

/// What a task waits for until a time at the most: a sleep, or a call, whose reply may come before. Half a cache line.
#[derive(Debug)]
#[repr(align(32))]
pub(crate) struct Timer {
    /// Nobody, once it has woken.
    wake: WakeRef,
    generation: u32,
    /// The message that came back to a call, or [`NO_REPLY`].
    reply: u32,
    /// By whose clock it waits; [`NodeId::WORLD`] if by the run's time.
    clock: NodeId,
    state: TimerState,
}

/// No message has that number.
const NO_REPLY: u32 = u32::MAX;

const _: () = assert!(size_of::<Timer>() == 32);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum TimerState {
    /// A call's, before anybody waits for it.
    Stopped,
    Started,
    Fired,
}

/// A timer, by slot and generation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct TimerRef {
    slot: u32,
    generation: u32,
}

impl TimerRef {
    /// One that no other timer of the run has.
    pub(crate) fn number(self) -> u64 {
        u64::from(self.generation) << 32 | u64::from(self.slot)
    }
}

impl Timer {
    fn take_wake(&mut self) -> WakeRef {
        std::mem::replace(&mut self.wake, WakeRef::NOBODY)
    }
}

/// All timers of a run.
#[derive(Debug)]
pub(crate) struct Timers {
    all: Vec<Timer>,
    free: Vec<u32>,
    first_generation: u32,
    /// The engine's own, which wake no task.
    own: BTreeMap<OwnTimer, OwnDue>,
}

/// A timer of the engine's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum OwnTimer {
    /// When the next of what a node has queued leaves.
    Departure(NodeId),
    /// When an end of a connection, by slot, gives up waiting.
    End(u32),
    /// When a segment, by its message, is sent again.
    Attempt(u32),
}

/// In the slots from here on are no timers of tasks, but one for each node's departures, from there on one for each end of a connection, and at last one for
/// each message.
const DEPARTURES_FROM: u32 = 1 << 29;
const ENDS_FROM: u32 = DEPARTURES_FROM + (1 << 27);
const ATTEMPTS_FROM: u32 = ENDS_FROM + (1 << 27);

impl OwnTimer {
    fn slot(self) -> u32 {
        match self {
            OwnTimer::Departure(node) => DEPARTURES_FROM + node.0,
            OwnTimer::End(end) => {
                assert!(end < ATTEMPTS_FROM - ENDS_FROM, "there are fewer than 2^27 ends of connections at a time");
                ENDS_FROM + end
            }
            OwnTimer::Attempt(message) => {
                assert!(message < 1 << 28, "there are fewer than 2^28 messages at a time, where segments are lost");
                ATTEMPTS_FROM + message
            }
        }
    }

    fn in_slot(slot: u32) -> Option<OwnTimer> {
        match slot {
            ATTEMPTS_FROM.. => Some(OwnTimer::Attempt(slot - ATTEMPTS_FROM)),
            ENDS_FROM.. => Some(OwnTimer::End(slot - ENDS_FROM)),
            DEPARTURES_FROM.. => Some(OwnTimer::Departure(NodeId(slot - DEPARTURES_FROM))),
            _ => None,
        }
    }
}

#[derive(Debug, Default)]
struct OwnDue {
    generation: u32,
    at_ns: Option<u64>,
}

impl Timers {
    pub(super) fn new(first_generation: u32) -> Timers {
        Timers { all: Vec::new(), free: Vec::new(), first_generation, own: BTreeMap::new() }
    }

    #[inline]
    fn get(&mut self, timer: TimerRef) -> Option<&mut Timer> {
        self.all.get_mut(timer.slot as usize).filter(|entry| entry.generation == timer.generation)
    }

    /// Nothing depends on it.
    #[inline]
    pub(crate) fn read_ahead(&self, timer: TimerRef) {
        self.all.get(timer.slot as usize).inspect(|entry| read_ahead(*entry));
    }

    /// Who waits for it.
    #[inline]
    pub(crate) fn waiting_for(&self, timer: TimerRef) -> Option<TaskRef> {
        self.all.get(timer.slot as usize)?.wake.task()
    }

    /// Who waits for the timer in that slot, if it still is that one.
    pub(super) fn waiting_in(&self, slot: u32, generation: u32) -> Option<TaskRef> {
        self.all.get(slot as usize).filter(|timer| timer.generation == generation)?.wake.task()
    }

    #[inline]
    pub(super) fn is_live(&self, slot: u32, generation: u32) -> bool {
        match self.all.get(slot as usize) {
            Some(timer) => timer.generation == generation,
            None => self.own_timer(slot, generation).is_some(),
        }
    }

    /// When a segment is sent again, if it is.
    pub(super) fn attempt_ns(&self, message: u32) -> Option<u64> {
        self.own.get(&OwnTimer::Attempt(message))?.at_ns
    }

    /// Which timer of the engine's own that is, if it still is.
    #[cold]
    fn own_timer(&self, slot: u32, generation: u32) -> Option<OwnTimer> {
        let timer = OwnTimer::in_slot(slot)?;
        let due = self.own.get(&timer)?;
        (due.generation == generation && due.at_ns.is_some()).then_some(timer)
    }
}

impl Kernel {
    /// A timer that isn't started.
    #[inline]
    pub(crate) fn new_timer(&mut self) -> TimerRef {
        let Timers { all, free, first_generation, .. } = &mut self.timers;
        let slot = free.pop().unwrap_or_else(|| {
            let (wake, generation) = (WakeRef::NOBODY, *first_generation);
            assert!(all.len() < DEPARTURES_FROM as usize, "there are fewer than 2^29 timers at a time");
            all.push(Timer { wake, generation, reply: NO_REPLY, clock: NodeId::WORLD, state: TimerState::Stopped });
            (all.len() - 1) as u32
        });
        TimerRef { slot, generation: all[slot as usize].generation }
    }

    /// A timer that is started. `clock` is whose clock it goes by, or [`NodeId::WORLD`].
    pub(crate) fn start_timer(&mut self, at_ns: u64, clock: NodeId, wake: WakeRef) -> TimerRef {
        let timer = self.new_timer();
        self.timers.all[timer.slot as usize].clock = clock;
        self.await_timer(timer, at_ns, wake);
        timer
    }

    /// Whether there is that timer, and it isn't another run's.
    pub(crate) fn has_timer(&mut self, timer: TimerRef) -> bool {
        self.timers.get(timer).is_some()
    }

    /// Another waker for a timer that hasn't fired, which is started if it wasn't.
    pub(crate) fn await_timer(&mut self, timer: TimerRef, at_ns: u64, wake: WakeRef) {
        let live = self.is_live();
        let Some(entry) = self.timers.get(timer).filter(|entry| entry.state != TimerState::Fired) else {
            return self.forget(wake);
        };
        let old = std::mem::replace(&mut entry.wake, wake);
        if entry.state == TimerState::Stopped && live {
            entry.state = TimerState::Started;
            self.agenda.schedule(at_ns, Due::Timer { slot: timer.slot, generation: timer.generation });
        }
        self.forget(old);
    }

    /// Another instant for a timer, with the waker that it has. `None` if it has none to wake any more.
    pub(crate) fn move_timer(&mut self, timer: TimerRef, at_ns: u64) -> Option<TimerRef> {
        let taken = self.timers.get(timer).map(|entry| (entry.take_wake(), entry.clock));
        let (wake, clock) = taken.unwrap_or((WakeRef::NOBODY, NodeId::WORLD));
        self.stop_timer(timer);
        if !self.is_live() {
            self.forget(wake);
            return None;
        }
        (!wake.is_nobody()).then(|| self.start_timer(at_ns.max(self.now_ns), clock, wake))
    }

    /// Gives a timer back, fired or not.
    pub(crate) fn stop_timer(&mut self, timer: TimerRef) {
        let Some(entry) = self.timers.get(timer) else { return };
        entry.generation = entry.generation.wrapping_add(1);
        let state = std::mem::replace(&mut entry.state, TimerState::Stopped);
        let (wake, reply) = (entry.take_wake(), std::mem::replace(&mut entry.reply, NO_REPLY));
        entry.clock = NodeId::WORLD;
        self.timers.free.push(timer.slot);
        self.forget(wake);
        if reply != NO_REPLY {
            self.network.free_message(reply);
        }
        if state == TimerState::Started {
            let timers = &self.timers;
            self.agenda.timer_cancelled(|slot, generation| timers.is_live(slot, generation));
        }
    }

    /// Wakes all who wait by a node's clock: it runs otherwise from now on, and they ask anew when their time has come.
    pub(crate) fn wake_timers_of(&mut self, node: NodeId) {
        for slot in 0..self.timers.all.len() {
            let timer = &mut self.timers.all[slot];
            if timer.state == TimerState::Started && timer.clock == node {
                let wake = timer.take_wake();
                self.wake(wake, 1);
            }
        }
    }

    pub(super) fn timer_due(&mut self, slot: u32, generation: u32) {
        let Some(timer) = self.timers.get(TimerRef { slot, generation }) else {
            return self.no_timer_due(slot, generation);
        };
        timer.state = TimerState::Fired;
        let wake = timer.take_wake();
        self.wake(wake, 1);
    }

    #[cold]
    fn no_timer_due(&mut self, slot: u32, generation: u32) {
        let Some(timer) = self.timers.own_timer(slot, generation) else {
            return self.agenda.cancelled_timer_passed();
        };
        self.timers.own.entry(timer).or_default().at_ns = None;
        match timer {
            OwnTimer::Departure(node) => self.send_queued(node),
            OwnTimer::End(end) => self.end_timer_due(end),
            OwnTimer::Attempt(message) => self.attempt_due(message),
        }
    }

    /// The next of what a node has queued leaves then, or nothing does.
    pub(crate) fn await_departure(&mut self, node: NodeId, at_ns: Option<u64>) {
        self.await_own(OwnTimer::Departure(node), at_ns);
    }

    /// An end of a connection, by slot, gives up then, or doesn't.
    pub(crate) fn await_end(&mut self, end: u32, at_ns: Option<u64>) {
        // Few ends ever wait for something.
        if at_ns.is_some() || self.timers.own.contains_key(&OwnTimer::End(end)) {
            self.await_own(OwnTimer::End(end), at_ns);
        }
    }

    /// A segment is sent again then, or isn't.
    pub(crate) fn await_attempt(&mut self, message: u32, at_ns: Option<u64>) {
        self.await_own(OwnTimer::Attempt(message), at_ns);
    }

    fn await_own(&mut self, timer: OwnTimer, at_ns: Option<u64>) {
        let due = self.timers.own.entry(timer).or_default();
        if due.at_ns == at_ns {
            return;
        }
        let before = std::mem::replace(&mut due.at_ns, at_ns);
        due.generation = due.generation.wrapping_add(1);
        let generation = due.generation;
        if before.is_some() {
            let timers = &self.timers;
            self.agenda.timer_cancelled(|slot, generation| timers.is_live(slot, generation));
        }
        if let Some(at_ns) = at_ns {
            self.agenda.schedule(at_ns, Due::Timer { slot: timer.slot(), generation });
        }
    }

    /// A reply to the call that has this timer, which may be over. Whom to wake.
    ///
    /// # Errors
    /// Nobody wants it: it is late, or the second of two.
    #[inline]
    pub(crate) fn put_reply(&mut self, timer: TimerRef, message: u32) -> Result<WakeRef, ()> {
        let entry = self.timers.get(timer).filter(|entry| entry.reply == NO_REPLY).ok_or(())?;
        entry.reply = message;
        Ok(entry.take_wake())
    }

    /// The reply to the call that has this timer, if it has come.
    #[inline]
    pub(crate) fn take_reply(&mut self, timer: TimerRef) -> Option<u32> {
        let reply = std::mem::replace(&mut self.timers.get(timer)?.reply, NO_REPLY);
        (reply != NO_REPLY).then_some(reply)
    }
}
