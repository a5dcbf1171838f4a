//! What will happen, and which of the things that are due happens next.
//!
//! Entries of the future lie in a heap by (instant, sequence). When their instant comes, timers and faults take effect at
//! once, in sequence; polls and deliveries become *ready*, and the strategy may say which of those comes first. A strategy
//! that leaves order alone costs nothing: ready entries then are a queue.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

use squall_trace::strategy::order_site;
use squall_trace::{FlowId, Site};

/// An entry of the future.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Due {
    /// A timer, by slot and generation.
    Timer { slot: u32, generation: u32 },
    /// A message, by slot.
    Delivery { message: u32 },
    /// A scripted act, by its place in the script.
    Act { index: u32 },
}

#[derive(Clone, Copy, Debug)]
struct Future {
    at_ns: u64,
    sequence: u64,
    due: Due,
}

impl PartialEq for Future {
    fn eq(&self, other: &Future) -> bool {
        self.sequence == other.sequence
    }
}

impl Eq for Future {}

impl PartialOrd for Future {
    fn partial_cmp(&self, other: &Future) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Future {
    #[inline]
    fn cmp(&self, other: &Future) -> std::cmp::Ordering {
        (self.at_ns, self.sequence).cmp(&(other.at_ns, other.sequence))
    }
}

/// Something that can happen now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Now {
    /// A task, by slot and generation.
    Poll { slot: u32, generation: u32 },
    /// A message, by slot.
    Delivery { message: u32 },
}

/// A ready entry with its place.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Waiting {
    pub rank: u32,
    /// How often it was put off.
    pub put_off: u32,
    pub sequence: u64,
    pub now: Now,
    /// Whose it is: the address of its order is (chain, number).
    pub chain: FlowId,
    pub number: u64,
    /// What made it ready: tells a wake from the one that has its number in another run.
    pub cause: u64,
}

impl Waiting {
    pub(crate) fn site(&self) -> Site {
        order_site(self.chain, self.number)
    }
}

impl PartialEq for Waiting {
    fn eq(&self, other: &Waiting) -> bool {
        self.sequence == other.sequence
    }
}

impl Eq for Waiting {}

impl PartialOrd for Waiting {
    fn partial_cmp(&self, other: &Waiting) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Waiting {
    fn cmp(&self, other: &Waiting) -> std::cmp::Ordering {
        (self.rank, self.sequence).cmp(&(other.rank, other.sequence))
    }
}

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Agenda {
    future: BinaryHeap<Reverse<Future>>,
    sequence: u64,
    /// Cancelled timers that still lie in `future`.
    cancelled: usize,
    /// Ready entries that nobody has put off, in sequence.
    queue: VecDeque<Waiting>,
    /// Ready entries that were put off.
    put_off: BinaryHeap<Reverse<Waiting>>,
}

impl Agenda {
    /// Schedules `due` for `at_ns`.
    #[inline]
    pub(crate) fn schedule(&mut self, at_ns: u64, due: Due) {
        self.sequence += 1;
        self.future.push(Reverse(Future { at_ns, sequence: self.sequence, due }));
    }

    /// The next instant at which something is due. `is_live` says which timers weren't cancelled: the others are taken
    /// out, since they must neither move the clock nor look like something that is left to happen.
    #[inline]
    pub(crate) fn next_instant(&mut self, is_live: impl Fn(u32, u32) -> bool) -> Option<u64> {
        loop {
            let Reverse(first) = self.future.peek()?;
            match first.due {
                Due::Timer { slot, generation } if !is_live(slot, generation) => {
                    self.future.pop();
                    self.cancelled_timer_passed();
                }
                _ => return Some(first.at_ns),
            }
        }
    }

    /// Takes the next entry that is due at `now_ns`.
    #[inline]
    pub(crate) fn take_due(&mut self, now_ns: u64) -> Option<Due> {
        let Reverse(first) = self.future.peek()?;
        if first.at_ns > now_ns {
            return None;
        }
        self.future.pop().map(|Reverse(future)| future.due)
    }

    /// Puts an entry behind all that are ready.
    #[inline]
    pub(crate) fn push_ready(&mut self, now: Now, chain: FlowId, number: u64, cause: u64) {
        self.sequence += 1;
        self.queue.push_back(Waiting { rank: 0, put_off: 0, sequence: self.sequence, now, chain, number, cause });
    }

    /// How many entries are ready.
    #[inline]
    pub(crate) fn ready(&self) -> usize {
        self.queue.len() + self.put_off.len()
    }

    /// Takes the first ready entry: the lowest rank, and of equals the first come.
    #[inline]
    pub(crate) fn take_ready(&mut self) -> Option<Waiting> {
        // An entry in the queue has rank 0, so an entry that was put off goes first only if the queue is empty (ranks of
        // put-off entries are above 0).
        match self.queue.pop_front() {
            Some(waiting) => Some(waiting),
            None => self.put_off.pop().map(|Reverse(waiting)| waiting),
        }
    }

    /// Puts an entry back behind everything of a lower rank.
    pub(crate) fn put_off(&mut self, mut waiting: Waiting, rank: u32) {
        debug_assert!(rank > waiting.rank, "an entry can only be put off");
        waiting.rank = rank;
        waiting.put_off += 1;
        self.put_off.push(Reverse(waiting));
    }

    /// Told that a timer in `future` was cancelled. `is_live` says which timers weren't. Once the cancelled outnumber the
    /// others they are swept out, so that cancelling costs constant time on average and memory follows what lives.
    pub(crate) fn timer_cancelled(&mut self, is_live: impl Fn(u32, u32) -> bool) {
        self.cancelled += 1;
        if self.cancelled > 64 && self.cancelled * 2 > self.future.len() {
            self.future.retain(|Reverse(future)| match future.due {
                Due::Timer { slot, generation } => is_live(slot, generation),
                Due::Delivery { .. } | Due::Act { .. } => true,
            });
            self.cancelled = 0;
        }
    }

    /// Told that a cancelled timer came up and was passed over.
    pub(crate) fn cancelled_timer_passed(&mut self) {
        self.cancelled = self.cancelled.saturating_sub(1);
    }

    /// Takes what is still ready at the end, in the order in which it would have come.
    pub(crate) fn drain_ready(&mut self) -> Vec<Waiting> {
        std::iter::from_fn(|| self.take_ready()).collect()
    }

    /// Takes the messages of the future, in the order in which they would have come.
    pub(crate) fn drain_future_deliveries(&mut self) -> Vec<u32> {
        let mut left: Vec<u32> = Vec::new();
        while let Some(Reverse(future)) = self.future.pop() {
            if let Due::Delivery { message } = future.due {
                left.push(message);
            }
        }
        left
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A cancelled timer leaves nothing: what lies in the agenda follows what lives.
    #[test]
    fn cancelled_timers_are_swept_out() {
        let mut agenda = Agenda::default();
        agenda.schedule(u64::MAX, Due::Act { index: 0 });
        let mut most = 0;
        for slot in 0..100_000 {
            agenda.schedule(1_000_000 + u64::from(slot), Due::Timer { slot, generation: 0 });
            agenda.timer_cancelled(|_, _| false);
            most = most.max(agenda.future.len());
        }
        assert!(most < 200, "{most} entries for one that lives");
        assert!(agenda.future.iter().any(|Reverse(future)| future.due == Due::Act { index: 0 }));
    }

    proptest! {
        /// Whatever is scheduled and cancelled, live entries come by (instant, order of scheduling), each once.
        #[test]
        fn entries_come_by_instant_then_sequence(
            entries in proptest::collection::vec((0u64..50, any::<bool>()), 0..400)
        ) {
            let mut agenda = Agenda::default();
            let mut live = vec![true; entries.len()];
            let mut expected = Vec::new();
            for (slot, &(at_ns, _)) in entries.iter().enumerate() {
                agenda.schedule(at_ns, Due::Timer { slot: slot as u32, generation: 0 });
            }
            for (slot, &(at_ns, cancel)) in entries.iter().enumerate() {
                if cancel {
                    live[slot] = false;
                    agenda.timer_cancelled(|slot, _| live[slot as usize]);
                } else {
                    expected.push((at_ns, slot as u32));
                }
            }
            expected.sort_unstable();
            let mut came = Vec::new();
            while let Some(now_ns) = agenda.next_instant(|slot, _| live[slot as usize]) {
                while let Some(Due::Timer { slot, .. }) = agenda.take_due(now_ns) {
                    if live[slot as usize] {
                        came.push((now_ns, slot));
                    }
                }
            }
            prop_assert_eq!(came, expected);
        }

        /// Ready entries come by (rank, sequence) where the ranks are the last ones that were given: the order that a
        /// strategy makes by putting off is the order that its recorded ranks make.
        #[test]
        fn the_last_ranks_alone_give_the_same_order(choices in proptest::collection::vec(0usize..8, 1..200)) {
            let run = |pick: &mut dyn FnMut(&Waiting, usize) -> Option<u32>| {
                let mut agenda = Agenda::default();
                let mut order = Vec::new();
                for step in 0..choices.len() as u64 + 8 {
                    // Eight at the start; then each choice makes a new one ready.
                    if step == 0 {
                        for slot in 0..8 {
                            agenda.push_ready(Now::Poll { slot, generation: 0 }, FlowId(u64::from(slot)), 1, 0);
                        }
                    }
                    let Some(mut head) = agenda.take_ready() else { break };
                    while agenda.ready() > 0 {
                        let Some(rank) = pick(&head, order.len()) else { break };
                        agenda.put_off(head, rank);
                        head = agenda.take_ready().unwrap();
                    }
                    order.push((head.chain, head.rank));
                    if (order.len()) < choices.len() {
                        agenda.push_ready(Now::Poll { slot: 0, generation: 0 }, FlowId(8 + step), 1, 0);
                    }
                }
                order
            };
            let wanted = choices.clone();
            let mut passed = (usize::MAX, 0);
            let first = run(&mut |head, chosen| {
                // Choice n lets the n-th head come: the ones before it are put off by one place each.
                if passed.0 != chosen {
                    passed = (chosen, 0);
                }
                let skip = *wanted.get(chosen).unwrap_or(&0);
                passed.1 += 1;
                (passed.1 <= skip).then(|| head.rank + 1)
            });
            let ranks: std::collections::BTreeMap<_, _> = first.iter().copied().collect();
            let again = run(&mut |head, _| {
                let rank = ranks.get(&head.chain).copied().unwrap_or(0);
                (head.rank < rank).then_some(rank)
            });
            prop_assert_eq!(first, again);
        }
    }
}
