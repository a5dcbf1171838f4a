//! What waits in a node to be sent where bandwidth is limited: a fluid model in whole numbers.
//!
//! Each link of the node has a queue, first in, first out, whose first message is being sent. All links that are busy share the node's uplink max-min
//! fairly: no link gets more than its own bandwidth, and none could get more without another one that has no more getting less. The rates are found by
//! progressive filling, and anew whenever a link becomes busy or idle or a bandwidth changes (D. Bertsekas and R. Gallager, *Data Networks*, 2nd edition,
//! section 6.5.2).
//!
//! Amounts are counted in billionths of a bit, so that a rate in bits per second times nanoseconds is exact. A message has left at the first nanosecond
//! at which all of it has; what its link sent beyond it in that nanosecond is the next one's, so that nothing is lost by rounding however many wait.
//! Rates are whole bits per second: where they can't be equal, those that come later have one more.

use std::collections::{BTreeMap, VecDeque};

use squall_trace::NodeId;

/// Billionths of a bit in a byte.
const AMOUNT_OF_BYTE: u128 = 8 * 1_000_000_000;

/// How fast something sends, and how much may wait there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct SendLimits {
    /// Not 0. `None` if nothing limits it.
    pub bandwidth_bits_per_second: Option<u64>,
    /// Beside the message that is being sent. `None` if nothing limits it.
    pub queue_bytes: Option<u64>,
}

/// A link that is busy.
#[derive(Debug)]
struct BusyLink {
    limits: SendLimits,
    /// Never empty. The first one is being sent.
    messages: VecDeque<(u32, u64)>,
    /// Of all but the first.
    waiting_bytes: u64,
    /// How much of the first one is still to be sent; above 0.
    left: u128,
    /// In bits per second.
    rate: u64,
}

/// The queues of a node. See the module.
#[derive(Debug)]
pub(crate) struct SendQueues {
    uplink: SendLimits,
    /// By receiver: those that are busy.
    links: BTreeMap<NodeId, BusyLink>,
    /// On all links together.
    waiting_bytes: u64,
    /// Up to when all has been accounted for.
    at_ns: u64,
}

impl SendQueues {
    pub(crate) fn new(uplink: SendLimits) -> SendQueues {
        SendQueues { uplink, links: BTreeMap::new(), waiting_bytes: 0, at_ns: 0 }
    }

    /// Whether what goes to `to` must be queued: nothing is sent at once where a bandwidth is limited.
    pub(crate) fn limits(&self, link: SendLimits) -> bool {
        self.uplink.bandwidth_bits_per_second.is_some() || link.bandwidth_bits_per_second.is_some()
    }

    /// Whether so many bytes more may wait for a link. What needn't wait always may.
    pub(crate) fn has_room(&self, to: NodeId, bytes: u64, link: SendLimits) -> bool {
        let Some(busy) = self.links.get(&to) else { return true };
        let fits = |waiting: u64, most: Option<u64>| most.is_none_or(|most| waiting.saturating_add(bytes) <= most);
        fits(busy.waiting_bytes, link.queue_bytes) && fits(self.waiting_bytes, self.uplink.queue_bytes)
    }

    /// Goes on to `now_ns`, which is no later than [`SendQueues::next_ns`]. What has left by then, by receiver, and of each in order.
    #[must_use]
    pub(crate) fn advance(&mut self, now_ns: u64) -> Vec<u32> {
        let passed_ns = u128::from(now_ns - self.at_ns);
        self.at_ns = now_ns;
        let mut sent = Vec::new();
        let waiting_bytes = &mut self.waiting_bytes;
        let busy_before = self.links.len();
        self.links.retain(|_, link| {
            let mut amount = u128::from(link.rate) * passed_ns;
            while amount >= link.left {
                amount -= link.left;
                sent.extend(link.messages.pop_front().map(|(message, _)| message));
                let Some(&(_, bytes)) = link.messages.front() else { return false };
                link.waiting_bytes -= bytes;
                *waiting_bytes -= bytes;
                link.left = u128::from(bytes) * AMOUNT_OF_BYTE;
            }
            link.left -= amount;
            true
        });
        if self.links.len() < busy_before {
            self.share();
        }
        sent
    }

    /// Puts a message behind those that wait for its link. All has been accounted for up to now ([`SendQueues::advance`]), and it has bytes.
    pub(crate) fn push(&mut self, to: NodeId, message: u32, bytes: u64, limits: SendLimits) {
        debug_assert!(bytes > 0, "what has no bytes takes no time");
        if let Some(link) = self.links.get_mut(&to) {
            link.messages.push_back((message, bytes));
            link.waiting_bytes += bytes;
            self.waiting_bytes += bytes;
            return;
        }
        let left = u128::from(bytes) * AMOUNT_OF_BYTE;
        let messages = VecDeque::from([(message, bytes)]);
        self.links.insert(to, BusyLink { limits, messages, waiting_bytes: 0, left, rate: 0 });
        self.share();
    }

    /// The receivers of what waits or is being sent.
    pub(crate) fn busy(&self) -> Vec<NodeId> {
        self.links.keys().copied().collect()
    }

    /// Each busy link has other limits from now on, up to which all has been accounted for. What isn't limited any more is sent at once: the messages of
    /// such links.
    #[must_use]
    pub(crate) fn change_limits(&mut self, mut limits_of: impl FnMut(NodeId) -> SendLimits) -> Vec<u32> {
        let mut sent = Vec::new();
        let is_shared = self.uplink.bandwidth_bits_per_second.is_some();
        let waiting_bytes = &mut self.waiting_bytes;
        self.links.retain(|to, link| {
            link.limits = limits_of(*to);
            let is_limited = is_shared || link.limits.bandwidth_bits_per_second.is_some();
            if !is_limited {
                *waiting_bytes -= link.waiting_bytes;
                sent.extend(link.messages.iter().map(|(message, _)| *message));
            }
            is_limited
        });
        self.share();
        sent
    }

    /// When the next message will have left, if none comes in between and no limit changes. `None` if nothing is being sent, or if that takes longer than
    /// time lasts.
    pub(crate) fn next_ns(&self) -> Option<u64> {
        let sending = self.links.values().filter(|link| link.rate > 0);
        let takes_ns = sending.map(|link| link.left.div_ceil(u128::from(link.rate))).min()?;
        self.at_ns.checked_add(u64::try_from(takes_ns).ok()?)
    }

    /// Takes everything, by receiver, and of each in order.
    pub(crate) fn take_all(&mut self) -> Vec<u32> {
        self.waiting_bytes = 0;
        let links = std::mem::take(&mut self.links).into_values();
        links.flat_map(|link| link.messages).map(|(message, _)| message).collect()
    }

    /// What can be seen of it at `now_ns`, which is no later than [`SendQueues::next_ns`]: the messages in order, each with its receiver and how much of
    /// it is still to be sent.
    pub(crate) fn state(&self, now_ns: u64) -> impl Iterator<Item = (u32, u128)> {
        let passed_ns = u128::from(now_ns - self.at_ns);
        self.links.values().flat_map(move |link| {
            let left = link.left.saturating_sub(u128::from(link.rate) * passed_ns);
            let amounts = std::iter::once(left).chain(std::iter::repeat(0));
            link.messages.iter().zip(amounts).map(|((message, _), left)| (*message, left))
        })
    }

    /// Finds all rates anew, by progressive filling: the least demands first, each of which gets an equal share of what is left, or all that it can take.
    fn share(&mut self) {
        let own = |limits: SendLimits| limits.bandwidth_bits_per_second.unwrap_or(u64::MAX);
        let Some(mut left) = self.uplink.bandwidth_bits_per_second else {
            self.links.values_mut().for_each(|link| link.rate = own(link.limits));
            return;
        };
        let mut links: Vec<&mut BusyLink> = self.links.values_mut().collect();
        links.sort_by_key(|link| own(link.limits));
        let mut sharing = links.len() as u64;
        for link in links {
            link.rate = own(link.limits).min(left / sharing);
            left -= link.rate;
            sharing -= 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn limited(bits_per_second: u64) -> SendLimits {
        SendLimits { bandwidth_bits_per_second: Some(bits_per_second), queue_bytes: None }
    }

    fn rates(queues: &SendQueues) -> Vec<u64> {
        queues.links.values().map(|link| link.rate).collect()
    }

    /// S. Keshav, *An Engineering Approach to Computer Networking* (1997), chapter 9: demands of 2, 2.6, 4 and 5 share 10.
    #[test]
    fn the_textbook_s_shares_are_max_min_fair() {
        let mut queues = SendQueues::new(limited(10_000_000));
        for (to, demand) in [2_000_000, 2_600_000, 4_000_000, 5_000_000].into_iter().enumerate() {
            queues.push(NodeId(to as u32), to as u32, 1_000, limited(demand));
        }
        assert_eq!(rates(&queues), [2_000_000, 2_600_000, 2_700_000, 2_700_000]);
        // In another order of the links it is the same.
        let mut queues = SendQueues::new(limited(10_000_000));
        for (to, demand) in [5_000_000, 2_600_000, 4_000_000, 2_000_000].into_iter().enumerate() {
            queues.push(NodeId(to as u32), to as u32, 1_000, limited(demand));
        }
        assert_eq!(rates(&queues), [2_700_000, 2_600_000, 2_700_000, 2_000_000]);
    }

    #[test]
    fn what_waits_is_sent_one_after_the_other_without_rounding() {
        // Each takes a third of a second and needs a part of a nanosecond.
        let mut queues = SendQueues::new(SendLimits::default());
        for message in 0..3 {
            queues.push(NodeId(0), message, 1, limited(24));
        }
        let mut sent_at = Vec::new();
        while let Some(next_ns) = queues.next_ns() {
            let sent = queues.advance(next_ns);
            sent_at.extend(sent.into_iter().map(|message| (message, next_ns)));
        }
        assert_eq!(sent_at, [(0, 333_333_334), (1, 666_666_667), (2, 1_000_000_000)]);
    }

    #[test]
    fn as_much_waits_as_is_said() {
        let limits = SendLimits { queue_bytes: Some(100), ..limited(8) };
        let mut queues = SendQueues::new(SendLimits { queue_bytes: Some(130), ..limited(16) });
        let (a, b) = (NodeId(0), NodeId(1));
        // What is being sent doesn't wait, however long it is.
        assert!(queues.has_room(a, 1_000, limits));
        queues.push(a, 0, 1_000, limits);
        assert!(queues.has_room(a, 100, limits) && !queues.has_room(a, 101, limits));
        queues.push(a, 1, 60, limits);
        assert!(queues.has_room(a, 40, limits) && !queues.has_room(a, 41, limits));
        queues.push(a, 2, 40, limits);
        assert!(!queues.has_room(a, 1, limits));
        // Another link has a queue of its own, but the uplink's is one for all.
        assert!(queues.has_room(b, 1_000, limits));
        queues.push(b, 3, 1_000, limits);
        assert!(queues.has_room(b, 30, limits) && !queues.has_room(b, 31, limits));
        assert_eq!(queues.take_all(), [0, 1, 2, 3]);
        assert!(queues.has_room(a, 1, limits) && queues.next_ns().is_none());
    }

    #[test]
    fn what_takes_longer_than_time_lasts_never_leaves() {
        for (bytes, leaves) in
            [(1 << 31, true), ((u64::MAX / 8_000_000_000), true), (u64::MAX / 8_000_000_000 + 1, false)]
        {
            let mut queues = SendQueues::new(SendLimits::default());
            queues.push(NodeId(0), 0, bytes, limited(1));
            assert_eq!(queues.next_ns(), leaves.then(|| bytes * 8_000_000_000), "{bytes}");
            if leaves {
                assert!(queues.advance(bytes * 8_000_000_000 - 1).is_empty());
                assert_eq!(queues.advance(bytes * 8_000_000_000), [0]);
            }
        }
    }

    #[test]
    fn what_is_limited_no_more_is_sent_at_once() {
        let mut queues = SendQueues::new(SendLimits::default());
        queues.push(NodeId(0), 0, 1_000, limited(8));
        queues.push(NodeId(0), 1, 1_000, limited(8));
        queues.push(NodeId(1), 2, 1_000, limited(8));
        let other = |to: NodeId| if to.0 == 0 { SendLimits::default() } else { limited(16) };
        assert_eq!(queues.change_limits(other), [0, 1]);
        assert_eq!((queues.busy(), queues.next_ns()), (vec![NodeId(1)], Some(500_000_000_000)));
    }

    /// A link of the slow reference: how much it has still to send of each message, and how fast it may.
    struct Reference {
        left: Vec<(u32, f64)>,
        most: f64,
    }

    /// The rates by definition, in small steps: all that can take more get a little more at the same time.
    fn filled(uplink: Option<u64>, links: &[(u32, f64)]) -> Vec<f64> {
        let mut rates = vec![0.0; links.len()];
        let mut left = uplink.map_or(f64::INFINITY, |rate| rate as f64);
        let mut growing: Vec<usize> = (0..links.len()).collect();
        while !growing.is_empty() {
            let step = growing.iter().map(|&at| links[at].1 - rates[at]).fold(left / growing.len() as f64, f64::min);
            growing.iter().for_each(|&at| rates[at] += step);
            left -= step * growing.len() as f64;
            let uplink_is_full = left < 1e-6;
            growing.retain(|&at| links[at].1 - rates[at] > 1e-6 && !uplink_is_full);
        }
        rates
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(300))]

        /// Rates are max-min fair: none is above its link's, all is used that can be, and none could have more without one that has no more
        /// having less (but for the one bit per second that can't be shared).
        #[test]
        fn rates_are_max_min_fair(
            uplink in proptest::option::of(1u64..10_000),
            links in proptest::collection::vec(1u64..5_000, 1..12),
        ) {
            let bandwidth_bits_per_second = uplink;
            let mut queues = SendQueues::new(SendLimits { bandwidth_bits_per_second, queue_bytes: None });
            for (to, most) in links.iter().enumerate() {
                queues.push(NodeId(to as u32), to as u32, 1, limited(*most));
            }
            let rates = rates(&queues);
            prop_assert!(rates.iter().zip(&links).all(|(rate, most)| rate <= most));
            let (all, demanded) = (rates.iter().sum::<u64>(), links.iter().sum::<u64>());
            prop_assert_eq!(all, uplink.unwrap_or(u64::MAX).min(demanded), "work is conserved");
            for (rate, most) in rates.iter().zip(&links) {
                let wants_more = rate < most;
                prop_assert!(!wants_more || rates.iter().all(|other| *other <= rate + 1), "{rates:?} of {links:?}");
            }
            let numbered: Vec<(u32, f64)> = links.iter().map(|most| (0, *most as f64)).collect();
            for (rate, expected) in rates.iter().zip(filled(uplink, &numbered)) {
                prop_assert!((*rate as f64 - expected).abs() <= 1.0, "{rate} and {expected} of {links:?}");
            }
        }

        /// Whatever is sent when: each message leaves once, those of a link in order, when a slow reference in floating point says so; time
        /// never runs back, and no more leaves in any time than the bandwidths allow.
        #[test]
        fn messages_leave_when_a_reference_says_so(
            uplink in proptest::option::of(100_000u64..1_000_000),
            mosts in proptest::collection::vec(50_000u64..900_000, 1..5),
            sends in proptest::collection::vec((0usize..5, 1u64..2_000, 0u64..20_000_000), 1..40),
        ) {
            let of_uplink = SendLimits { bandwidth_bits_per_second: uplink, queue_bytes: None };
            let mut queues = SendQueues::new(of_uplink);
            let mut left = Vec::new();
            let mut now_ns = 0;
            let go_on = |queues: &mut SendQueues, until_ns: u64, left: &mut Vec<(u32, u64)>| -> Result<(), TestCaseError> {
                while let Some(next_ns) = queues.next_ns().filter(|next_ns| *next_ns <= until_ns) {
                    prop_assert!(next_ns > queues.at_ns, "time goes on");
                    let sent = queues.advance(next_ns);
                    prop_assert!(!sent.is_empty(), "something leaves when it was said to");
                    left.extend(sent.into_iter().map(|message| (message, next_ns)));
                }
                prop_assert!(until_ns == u64::MAX || queues.advance(until_ns).is_empty());
                Ok(())
            };
            // The reference: the time of each departure by the same model in real numbers.
            let mut links: BTreeMap<u32, Reference> = BTreeMap::new();
            let mut expected: BTreeMap<u32, f64> = BTreeMap::new();
            let mut at = 0.0f64;
            let fluid = |links: &mut BTreeMap<u32, Reference>, at: &mut f64, until: f64, expected: &mut BTreeMap<u32, f64>| {
                loop {
                    links.retain(|_, link| !link.left.is_empty());
                    let busy: Vec<(u32, f64)> = links.iter().map(|(to, link)| (*to, link.most)).collect();
                    let rates = filled(uplink, &busy);
                    let takes = links.values().zip(&rates).map(|(link, rate)| link.left[0].1 / rate);
                    let step = takes.fold(until - *at, f64::min);
                    for (link, rate) in links.values_mut().zip(&rates) {
                        link.left[0].1 -= rate * step;
                        if link.left[0].1 < 1e-7 {
                            expected.insert(link.left.remove(0).0, *at + step);
                        }
                    }
                    *at += step;
                    if busy.is_empty() || *at >= until - 1e-15 {
                        return;
                    }
                }
            };
            for (number, &(to, bytes, pause_ns)) in (0u32..).zip(&sends) {
                now_ns += pause_ns;
                go_on(&mut queues, now_ns, &mut left)?;
                let to = to % mosts.len();
                queues.push(NodeId(to as u32), number, bytes, limited(mosts[to]));
                fluid(&mut links, &mut at, now_ns as f64 / 1e9, &mut expected);
                at = now_ns as f64 / 1e9;
                let link = links.entry(to as u32).or_insert(Reference { left: Vec::new(), most: mosts[to] as f64 });
                link.left.push((number, bytes as f64 * 8.0));
            }
            go_on(&mut queues, u64::MAX, &mut left)?;
            fluid(&mut links, &mut at, 1e9, &mut expected);
            prop_assert_eq!(left.len(), sends.len());
            prop_assert_eq!(queues.waiting_bytes, 0);
            let mut last: BTreeMap<usize, u32> = BTreeMap::new();
            for (message, at_ns) in &left {
                let to = sends[*message as usize].0 % mosts.len();
                prop_assert!(last.insert(to, *message).is_none_or(|before| before < *message), "out of order");
                // Rounding up to a nanosecond, once a message, and rates that differ by a bit per second.
                let difference = *at_ns as f64 / 1e9 - expected[message];
                prop_assert!(difference.abs() < 2e-5 * (1.0 + expected[message]), "{message}: {difference} s apart");
            }
            // Bytes are conserved: no more has left by any time than the bandwidths allow.
            for (to, most) in mosts.iter().enumerate() {
                let of_link = left.iter().filter(|(message, _)| sends[*message as usize].0 % mosts.len() == to);
                let mut bits = 0;
                for (message, at_ns) in of_link {
                    bits += u128::from(sends[*message as usize].1) * AMOUNT_OF_BYTE;
                    prop_assert!(bits <= u128::from(*most) * u128::from(*at_ns));
                }
            }
            let mut bits = 0;
            let mut ordered = left.clone();
            ordered.sort_by_key(|(_, at_ns)| *at_ns);
            for (message, at_ns) in ordered.iter().filter(|_| uplink.is_some()) {
                bits += u128::from(sends[*message as usize].1) * AMOUNT_OF_BYTE;
                prop_assert!(bits <= u128::from(uplink.unwrap_or_default()) * u128::from(*at_ns));
            }
        }
    }
}
