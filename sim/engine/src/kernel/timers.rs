//! Timers: started, moved, stopped and due.

use super::*;

pub(super) struct Timer {
    pub(super) generation: u32,
    pub(super) wake: Option<WakeRef>,
    pub(super) fired: bool,
}

/// A timer, by slot and generation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TimerRef {
    pub(super) slot: u32,
    pub(super) generation: u32,
}

impl Kernel {
    pub(crate) fn start_timer(&mut self, at_ns: u64, wake: WakeRef) -> TimerRef {
        let slot = match self.free_timers.pop() {
            Some(slot) => slot,
            None => {
                self.timers.push(Timer { generation: 0, wake: None, fired: false });
                (self.timers.len() - 1) as u32
            }
        };
        let timer = &mut self.timers[slot as usize];
        timer.wake = Some(wake);
        timer.fired = false;
        let generation = timer.generation;
        self.agenda.schedule(at_ns, Due::Timer { slot, generation });
        TimerRef { slot, generation }
    }

    /// Another waker for a timer that hasn't fired.
    pub(crate) fn rewake_timer(&mut self, timer: TimerRef, wake: WakeRef) {
        let old = match self.timers.get_mut(timer.slot as usize) {
            Some(entry) if entry.generation == timer.generation && !entry.fired => entry.wake.replace(wake),
            _ => Some(wake),
        };
        self.forget(old);
    }

    /// Another instant for a timer, with the waker that it has. `None` if it has none to wake any more.
    pub(crate) fn move_timer(&mut self, timer: TimerRef, at_ns: u64) -> Option<TimerRef> {
        let entry = self.timers.get_mut(timer.slot as usize).filter(|entry| entry.generation == timer.generation);
        let wake = entry.and_then(|entry| entry.wake.take());
        self.stop_timer(timer);
        if !self.is_live() {
            self.forget(wake);
            return None;
        }
        wake.map(|wake| self.start_timer(at_ns.max(self.now_ns), wake))
    }

    /// Gives a timer back, fired or not.
    pub(crate) fn stop_timer(&mut self, timer: TimerRef) {
        let Some(entry) = self.timers.get_mut(timer.slot as usize) else { return };
        if entry.generation != timer.generation {
            return;
        }
        entry.generation = entry.generation.wrapping_add(1);
        let fired = entry.fired;
        let wake = entry.wake.take();
        self.free_timers.push(timer.slot);
        self.forget(wake);
        if !fired {
            let timers = &self.timers;
            self.agenda.timer_cancelled(|slot, generation| timers[slot as usize].generation == generation);
        }
    }

    pub(super) fn timer_due(&mut self, slot: u32, generation: u32) {
        let timer = &mut self.timers[slot as usize];
        if timer.generation != generation {
            self.agenda.cancelled_timer_passed();
            return;
        }
        timer.fired = true;
        if let Some(wake) = timer.wake.take() {
            self.wake(wake, 1);
        }
    }
}
