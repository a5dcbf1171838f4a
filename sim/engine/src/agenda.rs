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

/// An entry with its place: the instant in the upper half of the key, the sequence in the lower.
#[derive(Clone, Copy, Debug)]
struct Entry {
    key: u128,
    due: Due,
}

/// A heap with four children a node: half as deep as a binary one, and the children of a node lie side by side, so that
/// ten thousand entries cost two or three cache misses a pop instead of seven.
#[derive(Debug, Default)]
struct Heap {
    entries: Vec<Entry>,
}

impl Heap {
    #[inline]
    fn first(&self) -> Option<&Entry> {
        self.entries.first()
    }

    #[inline]
    fn push(&mut self, entry: Entry) {
        let mut at = self.entries.len();
        self.entries.push(entry);
        while at > 0 {
            let parent = (at - 1) / 4;
            if self.entries[parent].key <= entry.key {
                break;
            }
            self.entries[at] = self.entries[parent];
            at = parent;
        }
        self.entries[at] = entry;
    }

    #[inline]
    fn pop(&mut self) -> Option<Entry> {
        let last = self.entries.pop()?;
        let Some(&first) = self.entries.first() else { return Some(last) };
        self.sink(0, last);
        Some(first)
    }

    /// Puts `entry` at `at` or below, where it belongs.
    #[inline]
    fn sink(&mut self, mut at: usize, entry: Entry) {
        let entries = &mut self.entries[..];
        loop {
            let first_child = at * 4 + 1;
            let Some(children) = entries.get(first_child..) else { break };
            let mut least = usize::MAX;
            let mut least_key = entry.key;
            for (index, child) in children.iter().take(4).enumerate() {
                if child.key < least_key {
                    least_key = child.key;
                    least = index;
                }
            }
            if least == usize::MAX {
                break;
            }
            entries[at] = entries[first_child + least];
            at = first_child + least;
        }
        entries[at] = entry;
    }

    fn retain(&mut self, keep: impl FnMut(&Entry) -> bool) {
        self.entries.retain(keep);
        for at in (0..self.entries.len() / 4 + 1).rev() {
            if let Some(&entry) = self.entries.get(at) {
                self.sink(at, entry);
            }
        }
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
}

/// Who a ready entry is, to those who decide about its order.
pub(crate) struct Identity {
    /// The address of its order.
    pub site: Site,
    /// Of the message, or of what caused the wake: tells it from the one that has its number in another run.
    pub fingerprint: u64,
}

impl Identity {
    pub(crate) fn new(chain: FlowId, number: u64, fingerprint: u64) -> Identity {
        Identity { site: order_site(chain, number), fingerprint }
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
    future: Heap,
    sequence: u64,
    /// Cancelled timers that still lie in `future`.
    cancelled: usize,
    /// The first of the ready entries that nobody has put off: mostly the only one.
    first: Option<(u64, Now)>,
    /// The ones behind it, in sequence.
    queue: VecDeque<(u64, Now)>,
    /// Ready entries that were put off.
    put_off: BinaryHeap<Reverse<Waiting>>,
}

impl Agenda {
    /// Schedules `due` for `at_ns`.
    #[inline]
    pub(crate) fn schedule(&mut self, at_ns: u64, due: Due) {
        self.sequence += 1;
        self.future.push(Entry { key: u128::from(at_ns) << 64 | u128::from(self.sequence), due });
    }

    /// The next instant at which something is due. `is_live` says which timers weren't cancelled: the others are taken
    /// out, since they must neither move the clock nor look like something that is left to happen.
    #[inline]
    pub(crate) fn next_instant(&mut self, is_live: impl Fn(u32, u32) -> bool) -> Option<u64> {
        loop {
            let first = self.future.first()?;
            match first.due {
                Due::Timer { slot, generation } if !is_live(slot, generation) => {
                    self.future.pop();
                    self.cancelled_timer_passed();
                }
                _ => return Some((first.key >> 64) as u64),
            }
        }
    }

    #[inline]
    fn first_instant(&self) -> Option<u64> {
        self.future.first().map(|entry| (entry.key >> 64) as u64)
    }

    /// Takes the next entry that is due at `now_ns`.
    #[inline]
    pub(crate) fn take_due(&mut self, now_ns: u64) -> Option<Due> {
        if self.first_instant()? > now_ns {
            return None;
        }
        self.future.pop().map(|entry| entry.due)
    }

    /// Whether nothing else is ready or due at `now_ns`: whatever comes next has no company.
    #[inline]
    pub(crate) fn is_alone(&self, now_ns: u64) -> bool {
        self.first.is_none() && self.put_off.is_empty() && self.first_instant().is_none_or(|at_ns| at_ns > now_ns)
    }

    /// Puts an entry behind all that are ready.
    #[inline]
    pub(crate) fn push_ready(&mut self, now: Now) {
        self.sequence += 1;
        if self.first.is_none() {
            self.first = Some((self.sequence, now));
        } else {
            self.queue.push_back((self.sequence, now));
        }
    }

    /// How many entries are ready.
    #[inline]
    pub(crate) fn ready(&self) -> usize {
        usize::from(self.first.is_some()) + self.queue.len() + self.put_off.len()
    }

    /// Takes the first ready entry: the lowest rank, and of equals the first come.
    #[inline]
    pub(crate) fn take_ready(&mut self) -> Option<Waiting> {
        // An entry in the queue has rank 0, so an entry that was put off goes first only if the queue is empty (ranks of
        // put-off entries are above 0).
        match self.first.take() {
            Some((sequence, now)) => {
                if !self.queue.is_empty() {
                    self.first = self.queue.pop_front();
                }
                Some(Waiting { rank: 0, put_off: 0, sequence, now })
            }
            None if self.put_off.is_empty() => None,
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
        if self.cancelled > 64 && self.cancelled * 2 > self.future.entries.len() {
            self.future.retain(|entry| match entry.due {
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

    /// Messages that are still under way, in the order in which they would have come.
    pub(crate) fn drain_deliveries(&mut self) -> Vec<u32> {
        let mut left: Vec<u32> = Vec::new();
        while let Some(waiting) = self.take_ready() {
            if let Now::Delivery { message } = waiting.now {
                left.push(message);
            }
        }
        while let Some(entry) = self.future.pop() {
            if let Due::Delivery { message } = entry.due {
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

    fn slot_of(waiting: &Waiting) -> u32 {
        match waiting.now {
            Now::Poll { slot, .. } => slot,
            Now::Delivery { message } => message,
        }
    }

    /// A cancelled timer leaves nothing: what lies in the agenda follows what lives.
    #[test]
    fn cancelled_timers_are_swept_out() {
        let mut agenda = Agenda::default();
        agenda.schedule(u64::MAX, Due::Act { index: 0 });
        let mut most = 0;
        for slot in 0..100_000 {
            agenda.schedule(1_000_000 + u64::from(slot), Due::Timer { slot, generation: 0 });
            agenda.timer_cancelled(|_, _| false);
            most = most.max(agenda.future.entries.len());
        }
        assert!(most < 200, "{most} entries for one that lives");
        assert!(agenda.future.entries.iter().any(|entry| entry.due == Due::Act { index: 0 }));
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
                for step in 0..choices.len() as u32 + 8 {
                    // Eight at the start; then each choice makes a new one ready.
                    if step == 0 {
                        for slot in 0..8 {
                            agenda.push_ready(Now::Poll { slot, generation: 0 });
                        }
                    }
                    let Some(mut head) = agenda.take_ready() else { break };
                    while agenda.ready() > 0 {
                        let Some(rank) = pick(&head, order.len()) else { break };
                        agenda.put_off(head, rank);
                        head = agenda.take_ready().unwrap();
                    }
                    order.push((slot_of(&head), head.rank));
                    if (order.len()) < choices.len() {
                        agenda.push_ready(Now::Poll { slot: 8 + step, generation: 0 });
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
                let rank = ranks.get(&slot_of(head)).copied().unwrap_or(0);
                (head.rank < rank).then_some(rank)
            });
            prop_assert_eq!(first, again);
        }
    }
}
