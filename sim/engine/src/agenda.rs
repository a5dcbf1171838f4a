//! What will happen, and which of the things that are due happens next.
//!
//! Entries of later instants lie in a radix heap. When their instant comes, timers and faults take effect at once, in the
//! order in which they were scheduled; polls and deliveries become *ready*, and the strategy may say which of those comes first. A strategy
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

impl Due {
    const SLOTS: u32 = 1 << 30;

    /// In one word: two bits for the kind, thirty for the slot, the rest for the generation.
    #[inline]
    fn pack(self) -> u64 {
        let (kind, slot, generation) = match self {
            Due::Timer { slot, generation } => (0, slot, generation),
            Due::Delivery { message } => (1, message, 0),
            Due::Act { index } => (2, index, 0),
        };
        assert!(slot < Due::SLOTS, "there are fewer than 2^30 timers, messages and faults at a time");
        kind << 62 | u64::from(slot) << 32 | u64::from(generation)
    }

    #[inline]
    fn unpack(packed: u64) -> Due {
        let slot = (packed >> 32) as u32 & (Due::SLOTS - 1);
        match packed >> 62 {
            0 => Due::Timer { slot, generation: packed as u32 },
            1 => Due::Delivery { message: slot },
            _ => Due::Act { index: slot },
        }
    }
}

/// An entry with its instant.
#[derive(Clone, Copy, Debug)]
struct Entry {
    at_ns: u64,
    /// A packed [`Due`].
    packed: u64,
}

impl Entry {
    #[inline]
    fn due(self) -> Due {
        Due::unpack(self.packed)
    }
}

/// Up to so many entries, the first of a bucket is found by looking at them all.
const SCANNED: usize = 8;

/// Entries with so much company are worth reading ahead for.
const FORESEEN: usize = 128;

/// Told what comes soon, so that it can be read ahead: what is fetched from memory while other things happen isn't waited for
/// when it is needed.
pub(crate) trait Foresight {
    /// It is among the next `among`. Mostly an entry is told of several times, each time among half as many.
    fn foresee(&self, due: Due, among: usize);
}

/// The entries of later instants: a radix heap.
///
/// An entry lies in the bucket of the highest bit in which its instant differs from `base_ns`, which is at or before all
/// instants that are still to come: so all that lies in a lower bucket comes before all that lies in a higher one. To take
/// the first, the lowest bucket that isn't empty is looked through; where it is long, `base_ns` moves to its first
/// instant and its entries to lower buckets. Each moves downwards only, and in order: entries of one instant always lie in
/// one bucket, in the order in which they came, so that no sequence number is needed to tell them apart. Where a heap
/// compares and mispredicts, this counts leading zeros; and it goes through memory in order.
///
/// Source: Ahuja, Mehlhorn, Orlin and Tarjan, "Faster algorithms for the shortest path problem", JACM 37 (1990).
#[derive(Debug)]
struct Later {
    base_ns: u64,
    /// A bit for each bucket that isn't empty.
    occupied: u64,
    buckets: [Vec<Entry>; 64],
    length: usize,
    /// The bucket whose entries were told to come next.
    foreseen: usize,
}

impl Default for Later {
    fn default() -> Later {
        Later { base_ns: 0, occupied: 0, buckets: [const { Vec::new() }; 64], length: 0, foreseen: 64 }
    }
}

impl Later {
    #[inline]
    fn push(&mut self, entry: Entry) {
        self.length += 1;
        self.put(entry);
    }

    #[inline]
    fn put(&mut self, entry: Entry) {
        debug_assert!(entry.at_ns >= self.base_ns, "time doesn't run back");
        let bucket = ((entry.at_ns ^ self.base_ns) | 1).ilog2();
        self.occupied |= 1 << bucket;
        self.buckets[bucket as usize & 63].push(entry);
    }

    /// The lowest bucket that isn't empty, once it is short.
    #[inline(always)]
    fn first_bucket(&mut self, foresight: Option<&impl Foresight>) -> Option<usize> {
        loop {
            if self.occupied == 0 {
                return None;
            }
            let bucket = self.occupied.trailing_zeros() as usize & 63;
            let entries = &self.buckets[bucket];
            // The lowest bucket has two instants at the most and can't be divided.
            if bucket == 0 || entries.len() <= SCANNED {
                if let Some(foresight) = foresight
                    && self.foreseen != bucket
                {
                    self.foreseen = bucket;
                    entries.iter().for_each(|entry| foresight.foresee(entry.due(), entries.len()));
                }
                return Some(bucket);
            }
            self.divide(bucket, foresight);
        }
    }

    /// Moves a bucket's entries to lower ones.
    #[inline(never)]
    fn divide(&mut self, bucket: usize, foresight: Option<&impl Foresight>) {
        let mut entries = std::mem::take(&mut self.buckets[bucket]);
        self.occupied &= !(1 << bucket);
        self.foreseen = 64;
        if let Some(foresight) = foresight
            && entries.len() <= FORESEEN
        {
            entries.iter().for_each(|entry| foresight.foresee(entry.due(), entries.len()));
        }
        self.base_ns = entries.iter().map(|entry| entry.at_ns).min().expect("it isn't empty");
        entries.iter().for_each(|entry| self.put(*entry));
        // Its memory stays.
        entries.clear();
        self.buckets[bucket] = entries;
    }

    /// Takes the first entry, unless it comes after `last_ns`: then the error is its instant. Whether others of its instant
    /// stay is the second value.
    // In line, so that what it gives stays in registers.
    #[inline(always)]
    fn take_first(&mut self, last_ns: u64, foresight: Option<&impl Foresight>) -> Result<(Entry, bool), Option<u64>> {
        let bucket = self.first_bucket(foresight).ok_or(None)?;
        let entries = &mut self.buckets[bucket];
        let (mut first, mut at_ns, mut more) = (0, entries[0].at_ns, false);
        for (index, entry) in entries.iter().enumerate().skip(1) {
            more = (more && entry.at_ns >= at_ns) || entry.at_ns == at_ns;
            first = if entry.at_ns < at_ns { index } else { first };
            at_ns = at_ns.min(entry.at_ns);
        }
        if at_ns > last_ns {
            return Err(Some(at_ns));
        }
        let entry = entries[first];
        // They are few: a loop costs less than a call that moves them.
        for at in first + 1..entries.len() {
            entries[at - 1] = entries[at];
        }
        entries.pop();
        if entries.is_empty() {
            self.occupied &= !(1 << bucket);
        }
        self.length -= 1;
        Ok((entry, more))
    }

    /// Takes the others of the instant of the entry that was just taken, all from the bucket in which it lay: in one pass,
    /// since whole crowds may come at one instant.
    #[cold]
    fn take_others(&mut self, at_ns: u64, due: &mut VecDeque<Due>) {
        let bucket = self.occupied.trailing_zeros() as usize & 63;
        let entries = &mut self.buckets[bucket];
        let before = entries.len();
        entries.retain(|entry| {
            let later = entry.at_ns != at_ns;
            if !later {
                due.push_back(entry.due());
            }
            later
        });
        self.length -= before - entries.len();
        if entries.is_empty() {
            self.occupied &= !(1 << bucket);
        }
    }

    #[cold]
    fn first_instant(&self) -> Option<u64> {
        self.buckets.iter().flatten().map(|entry| entry.at_ns).min()
    }

    fn retain(&mut self, mut keep: impl FnMut(&Entry) -> bool) {
        self.length = 0;
        for (bucket, entries) in self.buckets.iter_mut().enumerate() {
            entries.retain(&mut keep);
            self.length += entries.len();
            if entries.is_empty() {
                self.occupied &= !(1 << bucket);
            }
        }
    }

    /// Everything, in order.
    fn drain(&mut self) -> Vec<Entry> {
        let mut all: Vec<Entry> = self.buckets.iter_mut().flat_map(std::mem::take).collect();
        (self.occupied, self.length) = (0, 0);
        // Stable: entries of one instant come from one bucket.
        all.sort_by_key(|entry| entry.at_ns);
        all
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
    /// The instant that it is.
    now_ns: u64,
    /// What else is due now, in sequence.
    due: VecDeque<Due>,
    later: Later,
    /// Cancelled timers that still lie in `later`.
    cancelled: usize,
    /// Counts what became ready.
    sequence: u64,
    /// The first of the ready entries that nobody has put off: mostly the only one.
    first: Option<(u64, Now)>,
    /// The ones behind it, in sequence.
    queue: VecDeque<(u64, Now)>,
    /// Ready entries that were put off.
    put_off: BinaryHeap<Reverse<Waiting>>,
}

impl Agenda {
    /// Makes room for that many ready entries.
    pub(crate) fn make_room(&mut self, ready: usize) {
        self.queue.reserve(ready);
    }

    /// Schedules `due` for `at_ns`, which isn't past.
    #[inline(always)]
    pub(crate) fn schedule(&mut self, at_ns: u64, due: Due) {
        if at_ns > self.now_ns {
            self.later.push(Entry { at_ns, packed: due.pack() });
        } else {
            self.due.push_back(due);
        }
    }

    /// Goes on to the next instant at which something is due, at most `last_ns`, and takes the first of it. To be called
    /// when nothing is due now.
    /// `is_live` says which timers weren't cancelled: the others must neither move the clock nor look like something that
    /// is left to happen.
    ///
    /// # Errors
    /// The instant after `last_ns` at which something would be due, if there is one; nothing changes.
    #[inline]
    pub(crate) fn advance(
        &mut self,
        last_ns: u64,
        is_live: impl Fn(u32, u32) -> bool,
        foresight: Option<&impl Foresight>,
    ) -> Result<(u64, Due), Option<u64>> {
        debug_assert!(self.due.is_empty(), "what is due comes first");
        loop {
            let (entry, more) = match self.later.take_first(last_ns, foresight) {
                Ok(first) => first,
                Err(None) => return Err(None),
                // What would come after the end may be cancelled timers only.
                Err(Some(_)) => {
                    self.sweep(&is_live);
                    return Err(self.later.first_instant());
                }
            };
            let due = entry.due();
            if let Due::Timer { slot, generation } = due
                && !is_live(slot, generation)
            {
                self.cancelled_timer_passed();
                continue;
            }
            self.now_ns = entry.at_ns;
            if more {
                self.later.take_others(entry.at_ns, &mut self.due);
            }
            return Ok((entry.at_ns, due));
        }
    }

    /// Takes the next entry that is due now.
    #[inline]
    pub(crate) fn take_due(&mut self) -> Option<Due> {
        // The one test that mostly is all.
        if self.due.is_empty() { None } else { self.due.pop_front() }
    }

    /// Whether nothing else is ready or due now: whatever comes next has no company.
    #[inline]
    pub(crate) fn is_alone(&self) -> bool {
        self.first.is_none() && self.due.is_empty() && self.put_off.is_empty()
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

    /// Whether that is among the ready entries.
    pub(crate) fn has_ready(&self, now: Now) -> bool {
        let queued = self.first.iter().chain(&self.queue).map(|(_, entry)| *entry);
        queued.chain(self.put_off.iter().map(|Reverse(waiting)| waiting.now)).any(|entry| entry == now)
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

    /// Told that a timer in `later` was cancelled. `is_live` says which timers weren't. Once the cancelled outnumber the
    /// others they are swept out, so that cancelling costs constant time on average and memory follows what lives.
    #[inline]
    pub(crate) fn timer_cancelled(&mut self, is_live: impl Fn(u32, u32) -> bool) {
        self.cancelled += 1;
        if self.cancelled > 64 && self.cancelled * 2 > self.later.length {
            self.sweep(is_live);
        }
    }

    #[cold]
    fn sweep(&mut self, is_live: impl Fn(u32, u32) -> bool) {
        self.later.retain(|entry| match entry.due() {
            Due::Timer { slot, generation } => is_live(slot, generation),
            Due::Delivery { .. } | Due::Act { .. } => true,
        });
        self.cancelled = 0;
    }

    /// Told that a cancelled timer came up and was passed over.
    pub(crate) fn cancelled_timer_passed(&mut self) {
        self.cancelled = self.cancelled.saturating_sub(1);
    }

    /// What is due at later instants, cancelled timers too, in no order.
    pub(crate) fn later(&self) -> impl Iterator<Item = (u64, Due)> {
        self.later.buckets.iter().flatten().map(|entry| (entry.at_ns, entry.due()))
    }

    /// The messages and acts that are left, in the order in which they would have come.
    pub(crate) fn drain(&mut self) -> (Vec<u32>, Vec<u32>) {
        let (mut left, mut acts) = (Vec::new(), Vec::new());
        while let Some(waiting) = self.take_ready() {
            if let Now::Delivery { message } = waiting.now {
                left.push(message);
            }
        }
        let due = std::mem::take(&mut self.due);
        for due in due.into_iter().chain(self.later.drain().into_iter().map(Entry::due)) {
            match due {
                Due::Delivery { message } => left.push(message),
                Due::Act { index } => acts.push(index),
                Due::Timer { .. } => {}
            }
        }
        (left, acts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Foresees nothing.
    struct Blind;

    impl Foresight for Blind {
        fn foresee(&self, _: Due, _: usize) {}
    }

    fn slot_of(waiting: &Waiting) -> u32 {
        match waiting.now {
            Now::Poll { slot, .. } => slot,
            Now::Delivery { message } => message,
        }
    }

    #[test]
    fn what_is_due_is_the_same_packed_and_unpacked() {
        let most = Due::SLOTS - 1;
        for slot in [0, 1, most] {
            for generation in [0, 1, u32::MAX] {
                let due = Due::Timer { slot, generation };
                assert_eq!(Due::unpack(due.pack()), due);
            }
            for due in [Due::Delivery { message: slot }, Due::Act { index: slot }] {
                assert_eq!(Due::unpack(due.pack()), due);
            }
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
            most = most.max(agenda.later.length);
        }
        assert!(most < 200, "{most} entries for one that lives");
        assert_eq!(agenda.advance(u64::MAX, |_, _| false, None::<&Blind>), Ok((u64::MAX, Due::Act { index: 0 })));
        assert_eq!(agenda.take_due(), None);
    }

    proptest! {
        /// Whatever is scheduled and cancelled, at first and while time goes on, live entries come by (instant, order of
        /// scheduling), each once, and time stops where it is told to.
        #[test]
        fn entries_come_by_instant_then_in_the_order_of_scheduling(
            entries in proptest::collection::vec((0u64..50, 0u32..64, any::<bool>()), 0..400),
            from_start in 0usize..400,
            last_ns in prop_oneof![Just(u64::MAX), 0u64..1 << 40],
        ) {
            // Delays of every size: each bucket is used.
            let delays: Vec<(u64, bool)> = entries.iter().map(|&(low, shift, cancel)| ((low << shift) >> 1, cancel)).collect();
            let mut agenda = Agenda::default();
            let mut live = vec![true; delays.len()];
            let mut expected = std::collections::BTreeSet::new();
            let mut came = 0;
            let schedule = |agenda: &mut Agenda, expected: &mut std::collections::BTreeSet<_>, live: &mut [bool], slot: usize, now_ns: u64| {
                let Some(&(delay_ns, cancel)) = delays.get(slot) else { return };
                let at_ns = now_ns.saturating_add(delay_ns);
                agenda.schedule(at_ns, Due::Timer { slot: slot as u32, generation: 0 });
                if cancel {
                    live[slot] = false;
                    agenda.timer_cancelled(|slot, _| live[slot as usize]);
                } else {
                    expected.insert((at_ns, slot));
                }
            };
            let mut next = from_start.min(delays.len());
            (0..next).for_each(|slot| schedule(&mut agenda, &mut expected, &mut live, slot, 0));
            let (mut now_ns, mut first) = (0, None);
            loop {
                while let Some(due) = first.take().or_else(|| agenda.take_due()) {
                    let Due::Timer { slot, .. } = due else { unreachable!("only timers were scheduled") };
                    if !live[slot as usize] {
                        agenda.cancelled_timer_passed();
                        continue;
                    }
                    prop_assert_eq!(expected.pop_first(), Some((now_ns, slot as usize)));
                    came += 1;
                    schedule(&mut agenda, &mut expected, &mut live, next, now_ns);
                    next += 1;
                }
                let upcoming = expected.first().map(|&(at_ns, _)| at_ns);
                let went = agenda.advance(last_ns, |slot, _| live[slot as usize], None::<&Blind>);
                match upcoming {
                    Some(at_ns) if at_ns <= last_ns => prop_assert_eq!(went.map(|(at_ns, _)| at_ns), Ok(at_ns)),
                    other => {
                        prop_assert_eq!(went, Err(other));
                        break;
                    }
                }
                if let Ok((at_ns, due)) = went {
                    (now_ns, first) = (at_ns, Some(due));
                }
            }
            prop_assert!(last_ns < u64::MAX || came + live.iter().filter(|live| !**live).count() >= from_start.min(delays.len()));
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
