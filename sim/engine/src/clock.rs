//! The clocks of nodes: how a fault makes them run wrong, and what then becomes of sleeps.
//!
//! A node has two clocks, as a machine has: a monotonic one, by which sleeps and timeouts go and which never runs back, and a wall clock. Drift
//! is of both, since it's the quartz that is wrong; a jump is of the wall clock alone, since it's somebody who sets it.

use squall_trace::NodeId;

use crate::fault::DRIFT_PPM_MAX;
use crate::kernel::Kernel;

const MILLION: u128 = 1_000_000;

/// What a fault does to a clock.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Change {
    /// The wall clock is set.
    Jump { by_ns: i64 },
    /// It runs so many millionths too fast.
    Drift { ppm: i32 },
}

/// The clock of a node for which something has gone wrong with it.
#[derive(Debug, Default)]
pub(crate) struct NodeClock {
    /// What is wrong with it now, each by its number.
    changes: Vec<(u64, Change)>,
    /// From that time of the run on it runs as it does,
    since_ns: u64,
    /// and showed this then.
    shown_ns: u64,
}

impl NodeClock {
    /// How fast it runs: so many nanoseconds in a million. Several drifts add up, to half as much more or less at the most.
    fn rate(&self) -> u128 {
        let drift = |change: &Change| if let Change::Drift { ppm } = change { i64::from(*ppm) } else { 0 };
        let sum: i64 = self.changes.iter().map(|(_, change)| drift(change)).sum();
        let most = i64::from(DRIFT_PPM_MAX);
        (1_000_000 + sum.clamp(-most, most)).unsigned_abs().into()
    }

    /// What the monotonic clock shows, counted from the run's start.
    fn shown_ns(&self, at_ns: u64) -> u64 {
        let passed = u128::from(at_ns.saturating_sub(self.since_ns)) * self.rate() / MILLION;
        self.shown_ns.saturating_add(u64::try_from(passed).unwrap_or(u64::MAX))
    }

    /// The first time of the run at which it shows that much.
    fn shows_at_ns(&self, shown_ns: u64) -> u64 {
        let to_pass = u128::from(shown_ns.saturating_sub(self.shown_ns)) * MILLION;
        let passes = to_pass.div_ceil(self.rate());
        self.since_ns.saturating_add(u64::try_from(passes).unwrap_or(u64::MAX))
    }

    /// By how much the wall clock was set.
    fn jumped_ns(&self) -> i64 {
        let jump = |change: &Change| if let Change::Jump { by_ns } = change { *by_ns } else { 0 };
        self.changes.iter().map(|(_, change)| jump(change)).fold(0, i64::saturating_add)
    }

    /// Something changes: it goes on from what it shows.
    fn change(&mut self, now_ns: u64, change: impl FnOnce(&mut Vec<(u64, Change)>)) {
        self.shown_ns = self.shown_ns(now_ns);
        self.since_ns = now_ns;
        change(&mut self.changes);
    }
}

impl Kernel {
    /// Something goes wrong with a node's clocks. The number by which it is ended.
    pub(crate) fn change_clock(&mut self, node: NodeId, change: Change) -> u64 {
        self.changes_begun += 1;
        let (now_ns, number) = (self.now_ns, self.changes_begun);
        self.clocks.entry(node).or_default().change(now_ns, |changes| changes.push((number, change)));
        if let Change::Drift { .. } = change {
            self.wake_timers_of(node);
        }
        number
    }

    /// Ends one change. Whether there was that one.
    pub(crate) fn end_clock_change(&mut self, node: NodeId, number: u64) -> bool {
        self.end_clock_changes(node, |other| other == number)
    }

    /// Ends some changes of a node's clocks. Whether there was one of them.
    pub(crate) fn end_clock_changes(&mut self, node: NodeId, ends: impl Fn(u64) -> bool) -> bool {
        let now_ns = self.now_ns;
        let Some(clock) = self.clocks.get_mut(&node) else { return false };
        let (before, rate) = (clock.changes.len(), clock.rate());
        clock.change(now_ns, |changes| changes.retain(|(number, _)| !ends(*number)));
        let (is_over, is_faster) = (clock.changes.len() < before, clock.rate() != rate);
        if is_faster {
            self.wake_timers_of(node);
        }
        is_over
    }

    /// What programs' monotonic clocks show: nanoseconds since the run's start, on the running node's clock.
    #[inline]
    pub(crate) fn shown_ns(&self) -> u64 {
        let of_node = if self.clocks.is_empty() { self.now_ns } else { self.shown_by_node_ns() };
        of_node.saturating_add(self.skipped_ns)
    }

    #[cold]
    fn shown_by_node_ns(&self) -> u64 {
        self.own_clock().map_or(self.now_ns, |clock| clock.shown_ns(self.now_ns))
    }

    /// The clock of the running node, if something has ever been wrong with it.
    fn own_clock(&self) -> Option<&NodeClock> {
        self.clocks.get(&self.current.node)
    }

    /// When the running node's clock shows that much, on the run's time.
    #[inline]
    pub(crate) fn shows_at_ns(&self, shown_ns: u64) -> u64 {
        if self.clocks.is_empty() { shown_ns } else { self.shows_on_node_at_ns(shown_ns) }
    }

    #[cold]
    fn shows_on_node_at_ns(&self, shown_ns: u64) -> u64 {
        self.own_clock().map_or(shown_ns, |clock| clock.shows_at_ns(shown_ns))
    }

    /// When the running node's clock will have gone on by so much, on the run's time.
    #[inline]
    pub(crate) fn passes_at_ns(&self, passes_ns: u64) -> u64 {
        if self.clocks.is_empty() {
            self.now_ns.saturating_add(passes_ns)
        } else {
            self.shows_on_node_at_ns(self.shown_by_node_ns().saturating_add(passes_ns))
        }
    }

    /// Whether nothing has been wrong with any node's clock so far.
    #[inline]
    pub(crate) fn all_clocks_run_true(&self) -> bool {
        self.clocks.is_empty()
    }

    /// Whether a sleep's instant on the run's time may have changed since it was last asked about.
    pub(crate) fn has_own_clock(&self) -> bool {
        self.own_clock().is_some()
    }

    /// By how much the running node's wall clock is wrong beyond its monotonic one.
    pub(crate) fn wall_jumped_ns(&self) -> i64 {
        self.own_clock().map_or(0, NodeClock::jumped_ns)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn ppm() -> impl Strategy<Value = i32> {
        -(DRIFT_PPM_MAX as i32)..=DRIFT_PPM_MAX as i32
    }

    proptest! {
        /// It never runs back, whatever changes, and a sleep ends at the first moment at which the clock shows its end.
        #[test]
        fn a_clock_never_runs_back(steps in prop::collection::vec((1u64..10_000_000_000, any::<bool>(), ppm()), 1..20)) {
            let mut clock = NodeClock::default();
            let (mut now_ns, mut shown_ns) = (0, 0);
            for (number, (step_ns, begins, ppm)) in (0..).zip(steps) {
                now_ns += step_ns;
                let shown = clock.shown_ns(now_ns);
                prop_assert!(shown >= shown_ns);
                let exact = i128::from(step_ns) * clock.rate() as i128 / MILLION as i128;
                prop_assert!((i128::from(shown - shown_ns) - exact).abs() <= 1);
                clock.change(now_ns, |changes| match begins {
                    true => changes.push((number, Change::Drift { ppm })),
                    false => { changes.pop(); }
                });
                prop_assert_eq!(clock.shown_ns(now_ns), shown);
                shown_ns = shown;
                let end_ns = shown_ns + step_ns;
                let at_ns = clock.shows_at_ns(end_ns);
                prop_assert!(clock.shown_ns(at_ns) >= end_ns && clock.shown_ns(at_ns - 1) < end_ns);
            }
        }
    }
}
