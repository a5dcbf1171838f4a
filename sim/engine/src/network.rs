//! Flows, messages, sockets, partitions: what the network is while a run goes on.
//!
//! A [`Flow`] is the only state that a message touches besides itself: it holds its address, its count and a reference to
//! the weather of its link. Weathers are shared, so ten thousand links with the same settings cost ten thousand small
//! records and one table.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::num::NonZeroU64;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Poll, Waker};

use squall_trace::event::Place;
use squall_trace::id::hash_words;
use squall_trace::ratio::Threshold;
use squall_trace::short::copy_short;
use squall_trace::target::{MessageCounts, Unreached, UnreachedFault};
use squall_trace::{EventKind, FlowId, FlowInfo, FlowRole, LossReason, NodeId, Ratio, Site, SiteKind, TaskId};
use tokio::io::ReadBuf;
use xxhash_rust::xxh3::xxh3_64;

use crate::agenda::{Due, Identity};
use crate::decisions::Decisions;
use crate::kernel::{self, Current, Kernel, Node, TaskRef, TimerRef, Timers, WakeRef, short_type_name};
use crate::latency::{InverseTable, Latency};
use crate::payload::Payload;
use crate::read_ahead::read_ahead;
use crate::rule::Rules;
use crate::send_queues::{SendLimits, SendQueues};
use crate::streams::{SegmentFate, Streams};
use crate::world::{LinkRule, MESSAGE_HEADER_BYTES, UplinkRule, duration_ns, matches};

/// How long a message from a node to itself takes, if nothing else is said. It has no weather and no decisions but its order.
const LOOPBACK_NS: u64 = 10_000;

struct Weather {
    latency: Arc<InverseTable>,
    loss: Threshold,
    reorder: Threshold,
    duplicate: Threshold,
    /// If copies have another latency than the messages.
    duplicate_latency: Option<Arc<InverseTable>>,
    corruption: Threshold,
    reset: Threshold,
    bursts: Option<BurstTimes>,
    /// Whether a rule may concern a message.
    has_rules: bool,
    /// Whether anything but a latency that is drawn and plain loss may happen to a message.
    is_rough: bool,
    limits: SendLimits,
    /// Which rules it was made of, to find it again.
    made_of: [usize; 10],
}

/// For how long a link is good and bad in turn, and what it loses when it is bad.
#[derive(Clone)]
struct BurstTimes {
    good: Arc<InverseTable>,
    bad: Arc<InverseTable>,
    loss: Threshold,
    /// The share of all time that is bad.
    bad_share: Threshold,
    /// All begins anew after that time, so that a link on which nothing was sent for long needn't be followed all the way. It is so long
    /// that few bursts meet such a moment.
    block_ns: u64,
}

/// So many good and bad times a block has, in the mean.
const TIMES_OF_BLOCK: u64 = 2_000;

/// Where a link that loses in bursts stands.
#[derive(Clone, Copy, Debug)]
struct BurstState {
    /// In which block of time.
    block: u64,
    /// In the how-manieth time of the block, good or bad.
    number: u64,
    is_bad: bool,
    until_ns: u64,
}

impl BurstState {
    const NOWHERE: BurstState = BurstState { block: u64::MAX, number: 0, is_bad: false, until_ns: 0 };

    /// Goes on to that time, which is none before the last one of its block.
    fn is_bad_at(&mut self, at_ns: u64, times: &BurstTimes, [from, to]: [u64; 2], decisions: &Decisions) -> bool {
        let block = at_ns / times.block_ns;
        let link = FlowId(hash_words([from, to, block, 0]));
        if self.block != block {
            let from_ns = block * times.block_ns;
            let begins_bad = block > 0 && times.bad_share.hit(decisions.key(from_ns).burst_words(link, 0).bad);
            // The first time of the block is behind that, and other.
            *self = BurstState { block, number: 0, is_bad: !begins_bad, until_ns: from_ns };
        }
        while self.until_ns <= at_ns {
            self.is_bad = !self.is_bad;
            self.number += 1;
            let words = decisions.key(self.until_ns).burst_words(link, self.number);
            let lasts_ns =
                if self.is_bad { times.bad.quantile_ns(words.bad) } else { times.good.quantile_ns(words.good) };
            self.until_ns = self.until_ns.saturating_add(lasts_ns.max(1));
        }
        self.is_bad
    }
}

/// By what the order of a message that comes again is known: not by what it was when it came and was held.
fn held_flow(id: FlowId, held: u8) -> FlowId {
    FlowId(hash_words([id.0, u64::from(held), u64::from_le_bytes(*b"held    "), 0]))
}

/// Stands for no flow, no message.
const NONE: u32 = u32::MAX;

/// See the module. Half a cache line.
#[derive(Clone, Copy, Debug)]
struct Flow {
    id: FlowId,
    count: u32,
    from: NodeId,
    to: NodeId,
    weather: u32,
    /// The socket that the last of its messages came to: where the next one will come to, mostly.
    socket: u32,
    /// The flow on which the last of its messages was answered: where the next one will be, mostly.
    answered_on: u32,
}

/// Finds flows by their id. Ids are hashes already, so a table of indices with linear probing is all that is needed; it is
/// never more than half full.
#[derive(Debug, Default)]
struct FlowTable {
    /// Index + 1; 0 is empty. The length is a power of two.
    slots: Vec<u32>,
}

impl FlowTable {
    #[inline]
    fn find(&self, id: FlowId, flows: &[Flow]) -> Option<u32> {
        let mask = self.slots.len().wrapping_sub(1);
        let mut at = id.0 as usize & mask;
        loop {
            let index = self.slots.get(at)?.checked_sub(1)?;
            if flows[index as usize].id == id {
                return Some(index);
            }
            at = (at + 1) & mask;
        }
    }

    /// Makes room for that many flows in an empty table.
    fn make_room(&mut self, flows: usize) {
        self.slots = vec![0; (flows * 2).next_power_of_two()];
    }

    /// Takes the last flow in.
    fn add_last(&mut self, flows: &[Flow]) {
        if flows.len() * 2 > self.slots.len() {
            self.make_room(flows.len() * 2);
            (0..flows.len()).for_each(|index| self.insert(index, flows));
        } else {
            self.insert(flows.len() - 1, flows);
        }
    }

    fn insert(&mut self, index: usize, flows: &[Flow]) {
        let mask = self.slots.len() - 1;
        let mut at = flows[index].id.0 as usize & mask;
        while self.slots[at] != 0 {
            at = (at + 1) & mask;
        }
        self.slots[at] = index as u32 + 1;
    }
}

/// What a message is, beyond its bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Kind {
    #[default]
    Datagram,
    /// Wants an answer.
    Call,
    Answer,
    /// Nobody listens where a call went.
    Refusal,
    /// Of a stream; its tag says what it is there.
    Segment,
}

/// A message from its sending until it is received: it never moves, what moves is its number. A cache line.
#[derive(Clone, Debug, Default)]
#[repr(align(64))]
struct Message {
    payload: Payload,
    tag: u64,
    number: u32,
    flow: u32,
    caller: TimerRef,
    /// The message that came to the same socket after it.
    next: u32,
    from_port: u16,
    to_port: u16,
    copy: u8,
    kind: Kind,
    /// How often it was held: each time it comes again it is ordered anew.
    held: u8,
    loopback: Loopback,
    /// 1 + the bit that is flipped when it arrives, or 0. Until then it has the bytes by which its decisions are known.
    flipped: u32,
}

/// Which of a message's addresses is its node's loopback one. Between nodes neither is. In one byte, as a message has room for no more.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Loopback(u8);

impl Loopback {
    fn new(to: bool, from: bool) -> Loopback {
        Loopback(u8::from(to) | u8::from(from) << 1)
    }

    fn is_to(self) -> bool {
        self.0 & 1 != 0
    }

    fn is_from(self) -> bool {
        self.0 & 2 != 0
    }
}

/// At which of its node's addresses a socket is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Bound {
    Any,
    Loopback,
    /// The one that other nodes know.
    Own,
}

const _: () = assert!(size_of::<Message>() == 64 && size_of::<Flow>() == 32 && size_of::<Socket>() == 64);

/// What is needed to answer a call.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ArrivedCall {
    pub caller: TimerRef,
    pub tag: u64,
    /// The call's own address.
    pub flow: FlowId,
    pub number: u32,
    flow_index: u32,
    pub copy: u8,
    pub from_port: u16,
    pub to_port: u16,
    loopback: Loopback,
    /// Who called.
    pub from: NodeId,
}

impl ArrivedCall {
    /// The spawn path of the task that serves this call: made of the call's address, not of the order in which calls
    /// arrive.
    pub(crate) fn serving_task(&self) -> TaskId {
        TaskId(hash_words([self.flow.0, u64::from(self.number), u64::from(self.copy) | 1 << 32, 0]))
    }

    /// The flow of its answers or refusals. The duplicate's answer has a flow of its own: no two messages share an
    /// address.
    fn reply_flow(&self, kind: Kind) -> FlowId {
        FlowId(hash_words([self.flow.0, u64::from(self.copy), kind as u64, 0]))
    }
}

#[derive(Debug)]
struct Waiter {
    id: NonZeroU64,
    tag: u64,
    wake: WakeRef,
}

/// A cache line.
#[derive(Debug)]
#[repr(align(64))]
struct Socket {
    /// One more after each closing: odd while it is open.
    generation: u32,
    node: u32,
    /// The messages of one tag that wait to be received.
    arrived: Arrived,
    /// The flow of the last message that was received.
    heard_from: u32,
    port: u16,
    bound: Bound,
    /// It takes messages from one address alone.
    is_connected: bool,
    /// Who has waited longest.
    first_waiter: Option<Waiter>,
    more: Option<Box<More>>,
}

/// Messages of one tag, in the order of their arrival, as a list through [`Message::next`].
#[derive(Clone, Copy, Debug)]
struct Arrived {
    first: u32,
    last: u32,
}

impl Arrived {
    const NOTHING: Arrived = Arrived { first: NONE, last: NONE };

    #[inline]
    fn push(&mut self, index: u32, messages: &mut [Message]) {
        messages[index as usize].next = NONE;
        match messages.get_mut(self.last as usize) {
            Some(last) => last.next = index,
            None => self.first = index,
        }
        self.last = index;
    }

    #[inline]
    fn pop(&mut self, messages: &[Message]) -> Option<u32> {
        let index = self.first;
        self.first = messages.get(index as usize)?.next;
        if self.first == NONE {
            self.last = NONE;
        }
        Some(index)
    }

    #[inline]
    fn has_tag(&self, tag: u64, messages: &[Message]) -> bool {
        messages.get(self.first as usize).is_some_and(|first| first.tag == tag)
    }
}

/// Who is woken by a message, of several that wait at its socket for its tag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wakes {
    /// The first.
    One,
    /// All, as tokio's sockets do it: whoever was polled and isn't any more takes nothing away from the others.
    All,
}

/// In the number of a waiter: it waits as [`Wakes::All`].
const ONE_OF_ALL: u64 = 1 << 63;

/// What few sockets need: more than one waiter, or mail of more than one tag.
#[derive(Debug, Default)]
struct More {
    waiters: VecDeque<Waiter>,
    /// By tag; none is empty.
    arrived: BTreeMap<u64, Arrived>,
}

impl Default for Socket {
    fn default() -> Socket {
        Socket {
            generation: 0,
            node: 0,
            arrived: Arrived::NOTHING,
            heard_from: NONE,
            port: 0,
            bound: Bound::Any,
            is_connected: false,
            first_waiter: None,
            more: None,
        }
    }
}

impl Socket {
    fn is_open(&self) -> bool {
        !self.generation.is_multiple_of(2)
    }

    /// Whether it is reached at the address that a message goes to.
    #[inline]
    fn takes(&self, loopback: Loopback) -> bool {
        self.bound == Bound::Any || (self.bound == Bound::Loopback) == loopback.is_to()
    }

    #[inline(always)]
    fn add_waiter(&mut self, id: NonZeroU64, tag: u64, wake: WakeRef) {
        if self.first_waiter.is_none() {
            self.first_waiter = Some(Waiter { id, tag, wake });
        } else {
            self.add_to_several(Waiter { id, tag, wake });
        }
    }

    #[cold]
    fn add_to_several(&mut self, waiter: Waiter) {
        self.more.get_or_insert_default().waiters.push_back(waiter);
    }

    /// Takes the first waiter that `is_wanted`.
    #[inline]
    fn take_waiter(&mut self, is_wanted: impl Fn(&Waiter) -> bool) -> Option<Waiter> {
        if self.more.is_none() {
            return self.first_waiter.take_if(|waiter| is_wanted(waiter));
        }
        self.take_of_several(is_wanted)
    }

    #[cold]
    fn take_of_several(&mut self, is_wanted: impl Fn(&Waiter) -> bool) -> Option<Waiter> {
        let more = &mut self.more.as_mut()?.waiters;
        let taken = match self.first_waiter.take_if(|waiter| is_wanted(waiter)) {
            Some(first) => {
                self.first_waiter = more.pop_front();
                Some(first)
            }
            None => more.iter().position(is_wanted).and_then(|at| more.remove(at)),
        };
        self.need_no_more();
        taken
    }

    fn need_no_more(&mut self) {
        if self.more.as_ref().is_some_and(|more| more.waiters.is_empty() && more.arrived.is_empty()) {
            self.more = None;
        }
    }

    /// Puts a message behind those of its tag that have arrived.
    #[inline]
    fn arrive(&mut self, index: u32, tag: u64, messages: &mut [Message]) {
        let free = self.arrived.first == NONE && self.more.as_ref().is_none_or(|more| more.arrived.is_empty());
        if free || self.arrived.has_tag(tag, messages) {
            self.arrived.push(index, messages);
        } else {
            self.arrive_among_several(index, tag, messages);
        }
    }

    #[cold]
    fn arrive_among_several(&mut self, index: u32, tag: u64, messages: &mut [Message]) {
        // Even where the place of a single tag is free: others of this tag may be here already.
        let arrived = &mut self.more.get_or_insert_default().arrived;
        arrived.entry(tag).or_insert(Arrived::NOTHING).push(index, messages);
    }

    /// Takes the first message that arrived under `tag`.
    #[inline]
    fn take_arrived(&mut self, tag: u64, messages: &[Message]) -> Option<u32> {
        if self.arrived.has_tag(tag, messages) {
            return self.arrived.pop(messages);
        }
        if self.more.is_none() { None } else { self.take_of_several_tags(tag, messages) }
    }

    #[cold]
    fn take_of_several_tags(&mut self, tag: u64, messages: &[Message]) -> Option<u32> {
        let arrived = &mut self.more.as_mut()?.arrived;
        let of_tag = arrived.get_mut(&tag)?;
        let taken = of_tag.pop(messages);
        if of_tag.first == NONE {
            arrived.remove(&tag);
            self.need_no_more();
        }
        taken
    }

    fn has_arrived(&self, tag: u64, messages: &[Message]) -> bool {
        let of_several = || self.more.as_ref().is_some_and(|more| more.arrived.contains_key(&tag));
        self.arrived.has_tag(tag, messages) || of_several()
    }

    /// Takes all that has arrived.
    fn take_all_arrived(&mut self, messages: &[Message]) -> Vec<u32> {
        let others = self.more.as_mut().map(|more| std::mem::take(&mut more.arrived)).unwrap_or_default();
        let usual = std::mem::replace(&mut self.arrived, Arrived::NOTHING);
        self.need_no_more();
        let lists = std::iter::once(usual).chain(others.into_values());
        lists.flat_map(|mut list| std::iter::from_fn(move || list.pop(messages))).collect()
    }
}

/// A socket, by slot and generation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SocketRef {
    pub slot: u32,
    pub generation: u32,
}

/// What came back.
#[derive(Debug)]
pub(crate) enum Reply {
    Answer(Payload),
    Refused,
}

/// Between which nodes nothing passes.
#[derive(Clone, Debug)]
pub(crate) enum Cut {
    Groups {
        /// By node: 0 for not concerned, else the number of its group.
        group_of: Vec<u16>,
        /// Only messages from group 1 to group 2 are stopped.
        one_way: bool,
    },
    /// Between those of a ring that are farther from each other than `reach` places.
    Ring {
        /// By node: 0 for not in it, else its place from 1.
        place_of: Vec<u32>,
        length: u32,
        reach: u32,
    },
    /// Between two sets of nodes, each as a table by node.
    Between { from: Vec<bool>, to: Vec<bool>, both_ways: bool },
}

impl Cut {
    /// Of these nodes those between which it is: the groups of a partition, all of a ring, or the two ends.
    pub(crate) fn groups(&self, nodes: impl Iterator<Item = NodeId>) -> Vec<Vec<NodeId>> {
        let mut groups: BTreeMap<u32, Vec<NodeId>> = BTreeMap::new();
        for node in nodes {
            let index = node.index();
            let is_in = |side: &Vec<bool>| side.get(index).copied().unwrap_or_default();
            let of = match self {
                Cut::Groups { group_of, .. } => [group_of.get(index).copied().unwrap_or_default().into(), 0],
                Cut::Ring { place_of, .. } => [place_of.get(index).copied().unwrap_or_default().min(1), 0],
                Cut::Between { from, to, .. } => [u32::from(is_in(from)), 2 * u32::from(is_in(to))],
            };
            for group in of.into_iter().filter(|group| *group != 0) {
                groups.entry(group).or_default().push(node);
            }
        }
        groups.into_values().collect()
    }

    fn stops(&self, from: NodeId, to: NodeId) -> bool {
        fn of<T: Copy + Default>(table: &[T], node: NodeId) -> T {
            table.get(node.index()).copied().unwrap_or_default()
        }
        match self {
            Cut::Groups { group_of, one_way } => {
                let (from, to) = (of(group_of, from), of(group_of, to));
                if *one_way { from == 1 && to == 2 } else { from != 0 && to != 0 && from != to }
            }
            Cut::Ring { place_of, length, reach } => {
                let (from, to) = (of(place_of, from), of(place_of, to));
                let apart = from.abs_diff(to);
                from != 0 && to != 0 && apart.min(length - apart) > *reach
            }
            Cut::Between { from: one, to: other, both_ways } => {
                of(one, from) && of(other, to) || *both_ways && of(other, from) && of(one, to)
            }
        }
    }
}

/// What lies in the way of messages.
#[derive(Debug)]
struct Obstacle {
    id: u64,
    cut: Cut,
    /// What comes to it waits, instead of being lost.
    holds: bool,
}

/// What becomes of a message.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fate {
    pub latency_ns: u64,
    /// Whether it goes nowhere now: it is lost, or held by a rule.
    pub lost: bool,
    /// 0 for no duplicate, else 1 + its latency.
    pub copy_ns: u64,
    /// 0 if it arrives whole, else 1 + the bit that is flipped.
    pub flipped: u64,
    pub ruling: Ruling,
}

/// What a rule has decided about a message: of that nothing else decides any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ruling {
    Nothing,
    Pass,
    DeliverAfter,
    Drop,
    Duplicate,
    Corrupt,
    /// By the rule of that number.
    Hold {
        rule: u32,
    },
}

/// See the module.
pub(crate) struct Network {
    /// The default first; then the world's, of which there are so many with it, and those of faults.
    rules: Vec<LinkRule>,
    rules_of_world: usize,
    tables: Vec<Option<Arc<InverseTable>>>,
    weathers: Vec<Weather>,
    /// The weather of every link where all are alike, once a flow has asked.
    weather_of_all: Option<u32>,
    flows: Vec<Flow>,
    flow_table: FlowTable,
    messages: Vec<Message>,
    free_messages: Vec<u32>,
    sockets: Vec<Socket>,
    free_sockets: Vec<u32>,
    /// By the slot of a socket: the address from which alone it takes messages.
    peers: BTreeMap<u32, SocketAddr>,
    /// By sender and receiver, of links that lose in bursts.
    bursts: BTreeMap<(NodeId, NodeId), BurstState>,
    uplinks: Vec<UplinkRule>,
    /// If what nodes send to themselves takes another time than usual.
    loopback: Option<Arc<InverseTable>>,
    /// Whether any bandwidth is limited, or was.
    has_queues: bool,
    /// By sender, where anything has been queued.
    queues: BTreeMap<NodeId, SendQueues>,
    /// Whether there are queues or obstacles: otherwise what is sent goes out at once.
    is_hindered: bool,
    /// Partitions and holds.
    obstacles: Vec<Obstacle>,
    /// Messages that have arrived where they are held, in that order.
    held: Vec<u32>,
    /// Rules by which the weather is otherwise for a time, with their numbers: they come after all others.
    changed: Vec<(u64, usize)>,
    pub rules_on_messages: Rules,
    pub streams: Streams,
    /// How many obstacles and changes of the weather there were.
    begun: u64,
    /// By node, once the storm is over: between those for which it is nothing goes wrong.
    healed: Vec<bool>,
    /// Addresses that aren't the default ones of their nodes.
    addresses: BTreeMap<IpAddr, NodeId>,
    /// By node.
    name_hashes: Vec<u64>,
    /// By the names' hashes.
    by_name: BTreeMap<u64, NodeId>,
    /// Names of methods, where names are wanted.
    methods: BTreeMap<u64, &'static str>,
    /// The number of the last waiter.
    waiters: NonZeroU64,
    pub counts: MessageCounts,
}

/// The address of the node at `index`, unless it asks for another: 10.0.0.1 and on.
#[inline]
pub(crate) fn default_address(index: usize) -> IpAddr {
    let number = index as u32 + 1;
    IpAddr::V4(Ipv4Addr::new(10, (number >> 16) as u8, (number >> 8) as u8, number as u8))
}

/// The index of the node that has an address by default: the inverse of [`default_address`].
#[inline]
fn index_by_default(address: Ipv4Addr) -> Option<u32> {
    let bits = address.to_bits();
    if bits >> 24 == 10 { (bits & 0x00ff_ffff).checked_sub(1) } else { None }
}

/// Compiled distributions, by what they were made of: a table costs up to half a millisecond, a run far less. Being a pure
/// function of its key, an entry is the same whoever made it.
static TABLES: Mutex<Vec<(Latency, Arc<InverseTable>)>> = Mutex::new(Vec::new());

pub(crate) fn compiled(latency: &Latency) -> Arc<InverseTable> {
    let mut tables = TABLES.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((_, table)) = tables.iter().find(|(key, _)| key == latency) {
        return Arc::clone(table);
    }
    let table = Arc::new(latency.compile().expect("validated when it was set"));
    if tables.len() >= 256 {
        tables.clear();
    }
    tables.push((latency.clone(), Arc::clone(&table)));
    table
}

impl Network {
    pub(crate) fn new(
        default: LinkRule,
        links: Vec<LinkRule>,
        uplinks: Vec<UplinkRule>,
        loopback: Option<&Latency>,
    ) -> Network {
        let mut rules = vec![default];
        rules.extend(links);
        let tables = rules.iter().map(|rule| rule.latency.as_ref().map(compiled)).collect();
        let has_queues = !uplinks.is_empty() || rules.iter().any(|rule| rule.bandwidth_bits_per_second.is_some());
        Network {
            rules_of_world: rules.len(),
            rules,
            tables,
            weathers: Vec::new(),
            weather_of_all: None,
            flows: Vec::new(),
            flow_table: FlowTable::default(),
            messages: Vec::new(),
            free_messages: Vec::new(),
            sockets: Vec::new(),
            free_sockets: Vec::new(),
            peers: BTreeMap::new(),
            bursts: BTreeMap::new(),
            uplinks,
            loopback: loopback.map(compiled),
            has_queues,
            queues: BTreeMap::new(),
            is_hindered: has_queues,
            obstacles: Vec::new(),
            held: Vec::new(),
            changed: Vec::new(),
            rules_on_messages: Rules::default(),
            streams: Streams::default(),
            begun: 0,
            healed: Vec::new(),
            addresses: BTreeMap::new(),
            name_hashes: Vec::new(),
            by_name: BTreeMap::new(),
            methods: BTreeMap::new(),
            waiters: NonZeroU64::MIN,
            counts: MessageCounts::default(),
        }
    }

    /// See [`Kernel::make_room`].
    pub(crate) fn make_room(&mut self, nodes: usize) {
        self.name_hashes.reserve_exact(nodes);
        self.sockets.reserve(nodes);
        self.free_sockets.reserve(nodes);
        self.messages.reserve(nodes);
        self.free_messages.reserve(nodes);
        // There and back.
        self.flows.reserve(2 * nodes);
        self.flow_table.make_room(2 * nodes);
    }

    /// Takes a node in.
    ///
    /// # Errors
    /// In words, if another one has its address.
    pub(crate) fn add_node(&mut self, name_hash: u64, address: Option<IpAddr>) -> Result<(), String> {
        let node = NodeId(self.name_hashes.len() as u32);
        self.name_hashes.push(name_hash);
        self.by_name.insert(name_hash, node);
        match address {
            Some(address) if self.addresses.insert(address, node).is_some() => {
                Err(format!("two nodes have the address {address}"))
            }
            _ => Ok(()),
        }
    }

    /// # Errors
    /// In words, if a node asked for an address that another one has by default.
    pub(crate) fn check_addresses(&self, nodes: &[Node]) -> Result<(), String> {
        for (address, id) in &self.addresses {
            let IpAddr::V4(v4) = address else { continue };
            if let Some(index) = index_by_default(*v4)
                && let Some(other) = nodes.get(index as usize)
                && index != id.0
                && other.address == *address
            {
                let (name, other) = (&nodes[id.index()].name, &other.name);
                return Err(format!(
                    "two nodes have the address {address}: {name} asks for it, and {other} has it by default; take one \
                     outside of 10.0.0.0/8"
                ));
            }
        }
        Ok(())
    }

    // --- flows --------------------------------------------------------------------------------------------------------

    #[inline]
    fn find_flow(&self, id: FlowId) -> Option<u32> {
        self.flow_table.find(id, &self.flows)
    }

    /// The flow with that id. `heard_from` is the flow of what is being answered, if anything: mostly it tells where to
    /// look.
    #[inline]
    fn find_answering_flow(&mut self, id: FlowId, heard_from: u32) -> Option<u32> {
        let Some(heard) = self.flows.get(heard_from as usize) else { return self.find_flow(id) };
        let known = heard.answered_on;
        if self.flows.get(known as usize).is_some_and(|flow| flow.id == id) {
            return Some(known);
        }
        let found = self.find_flow(id)?;
        self.flows[heard_from as usize].answered_on = found;
        Some(found)
    }

    fn add_flow(&mut self, id: FlowId, from: NodeId, to: NodeId, nodes: &[Node]) -> u32 {
        let weather = self.weather_between(from, to, nodes);
        let index = self.flows.len() as u32;
        assert!(index < NONE, "there are fewer than 2^32 - 1 flows");
        self.flows.push(Flow { id, count: 0, from, to, weather, socket: NONE, answered_on: NONE });
        self.flow_table.add_last(&self.flows);
        index
    }

    #[inline]
    fn weather_between(&mut self, from: NodeId, to: NodeId, nodes: &[Node]) -> u32 {
        let all_links_alike = self.rules_of_world == 1 && self.changed.is_empty() && self.rules_on_messages.is_empty();
        if !all_links_alike {
            return self.weather_by_rules(from, to, nodes);
        }
        if let Some(weather) = self.weather_of_all {
            return weather;
        }
        let weather = self.weather_made_of([0; 10], false);
        self.weather_of_all = Some(weather);
        weather
    }

    #[cold]
    fn weather_by_rules(&mut self, from: NodeId, to: NodeId, nodes: &[Node]) -> u32 {
        let nodes_at = (from, to);
        let (from, to) = (&nodes[from.index()].name, &nodes[to.index()].name);
        let mut made_of = [0usize; 10];
        let is_calm = !self.changed.is_empty() && self.is_calm(nodes_at.0, nodes_at.1);
        let of_faults = self.changed.iter().map(|(_, index)| *index).filter(|_| !is_calm);
        for index in (1..self.rules_of_world).chain(of_faults) {
            let rule = &self.rules[index];
            let there = matches(&rule.from, from) && matches(&rule.to, to);
            let back = rule.both_ways && matches(&rule.from, to) && matches(&rule.to, from);
            if there || back {
                if rule.latency.is_some() {
                    made_of[0] = index;
                }
                if rule.loss.is_some() {
                    made_of[1] = index;
                }
                if rule.duplicate.is_some() {
                    made_of[2] = index;
                }
                if rule.corruption.is_some() {
                    made_of[3] = index;
                }
                if rule.bursts.is_some() {
                    made_of[4] = index;
                }
                if rule.bandwidth_bits_per_second.is_some() {
                    made_of[5] = index;
                }
                if rule.queue_bytes.is_some() {
                    made_of[6] = index;
                }
                if rule.duplicate_latency.is_some() {
                    made_of[7] = index;
                }
                if rule.reorder.is_some() {
                    made_of[8] = index;
                }
                if rule.reset.is_some() {
                    made_of[9] = index;
                }
            }
        }
        let has_rules = self.rules_on_messages.concern(from, to);
        self.weather_made_of(made_of, has_rules)
    }

    /// The weather for which these rules say what it is like: latency, loss and so on.
    fn weather_made_of(&mut self, made_of: [usize; 10], has_rules: bool) -> u32 {
        let is_that = |weather: &Weather| weather.made_of == made_of && weather.has_rules == has_rules;
        if let Some(index) = self.weathers.iter().position(is_that) {
            return index as u32;
        }
        let share = |value: Option<Ratio>| value.expect("the rule was chosen for it").threshold();
        let [duplicate, corruption, reorder] =
            [self.rules[made_of[2]].duplicate, self.rules[made_of[3]].corruption, self.rules[made_of[8]].reorder]
                .map(share);
        let bursts = self.rules[made_of[4]].bursts.map(|bursts| {
            let (good_ns, bad_ns) = (duration_ns(bursts.good), duration_ns(bursts.bad));
            let both_ns = good_ns.saturating_add(bad_ns);
            BurstTimes {
                good: compiled(&Latency::exponential(bursts.good)),
                bad: compiled(&Latency::exponential(bursts.bad)),
                loss: bursts.loss.threshold(),
                bad_share: Ratio::new(bad_ns, both_ns).threshold(),
                block_ns: both_ns.saturating_mul(TIMES_OF_BLOCK / 2),
            }
        });
        let latency = Arc::clone(self.tables[made_of[0]].as_ref().expect("the rule was chosen for it"));
        let follows_time = latency.follows_time();
        self.weathers.push(Weather {
            latency,
            loss: share(self.rules[made_of[1]].loss),
            has_rules,
            is_rough: has_rules
                || bursts.is_some()
                || [duplicate, corruption, reorder].iter().any(|share| !share.is_never())
                || follows_time,
            reorder,
            duplicate,
            duplicate_latency: self.rules[made_of[7]].duplicate_latency.as_ref().map(compiled),
            corruption,
            reset: share(self.rules[made_of[9]].reset),
            bursts,
            limits: SendLimits {
                bandwidth_bits_per_second: self.rules[made_of[5]].bandwidth_bits_per_second,
                queue_bytes: self.rules[made_of[6]].queue_bytes,
            },
            made_of,
        });
        (self.weathers.len() - 1) as u32
    }

    /// Who a message is to those who decide about the order of an instant.
    pub(crate) fn identify(&self, index: u32) -> Identity {
        let message = &self.messages[index as usize];
        let flow = &self.flows[message.flow as usize];
        // A duplicate is ordered apart from the message itself: odd and even numbers.
        let number = u64::from(message.number) << 1 | u64::from(message.copy);
        let id = if message.held == 0 { flow.id } else { held_flow(flow.id, message.held) };
        Identity::new(id, number, self.fingerprint(index))
    }

    /// What tells a message from any other that may come to its address in another run: who to whom, and its bytes.
    pub(crate) fn fingerprint(&self, index: u32) -> u64 {
        let message = &self.messages[index as usize];
        let flow = &self.flows[message.flow as usize];
        let mut bytes = [0u8; 32];
        bytes[..8].copy_from_slice(&self.name_hashes[flow.from.index()].to_le_bytes());
        bytes[8..16].copy_from_slice(&self.name_hashes[flow.to.index()].to_le_bytes());
        bytes[16..24].copy_from_slice(&message.tag.to_le_bytes());
        bytes[24..].copy_from_slice(&xxh3_64(message.payload.as_slice()).to_le_bytes());
        xxh3_64(&bytes)
    }

    // --- as rules see it ----------------------------------------------------------------------------------------------

    /// The flow of a message, its number there, and what it is.
    pub(crate) fn flow_number_and_kind(&self, index: u32) -> (FlowId, u64, Kind) {
        let message = &self.messages[index as usize];
        (self.flows[message.flow as usize].id, u64::from(message.number), message.kind)
    }

    /// From which node it is, and for which.
    pub(crate) fn ends_of(&self, index: u32) -> (NodeId, NodeId) {
        let Flow { from, to, .. } = self.flows[self.messages[index as usize].flow as usize];
        (from, to)
    }

    pub(crate) fn port_tag_and_bytes(&self, index: u32) -> (u16, u64, &[u8]) {
        let Message { to_port, tag, payload, .. } = &self.messages[index as usize];
        (*to_port, *tag, payload.as_slice())
    }

    /// The method of a call or of what comes back for it, where methods are wanted.
    pub(crate) fn method_of(&self, index: u32) -> Option<&'static str> {
        let Message { tag, kind, .. } = &self.messages[index as usize];
        (!matches!(kind, Kind::Datagram | Kind::Segment)).then(|| self.methods.get(tag).copied()).flatten()
    }

    pub(crate) fn role_of(&self, index: u32) -> FlowRole {
        let Message { tag, kind, number, .. } = &self.messages[index as usize];
        match kind {
            Kind::Segment => self.streams.role(self.direction_of(index), u64::from(*number)),
            _ => self.role(*kind, *tag),
        }
    }

    /// What messages of a kind are to those who read of them.
    fn role(&self, kind: Kind, tag: u64) -> FlowRole {
        let method = || self.methods.get(&tag).map_or_else(String::new, |name| short_type_name(name));
        match kind {
            Kind::Datagram => FlowRole::Datagram { tag },
            Kind::Call => FlowRole::Call { method: method() },
            Kind::Answer => FlowRole::Answer { method: method() },
            Kind::Refusal => FlowRole::Refusal { method: method() },
            Kind::Segment => unreachable!("a segment is known by its connection"),
        }
    }

    // --- what is in the way, and the weather that changes -------------------------------------------------------------

    /// Whether what one node sends to another is lost now.
    #[inline]
    pub(crate) fn stopped(&self, from: NodeId, to: NodeId) -> bool {
        !self.obstacles.is_empty() && self.meets_obstacle(from, to, false)
    }

    /// Whether what arrives now meets something: it is lost, or waits.
    #[inline]
    pub(crate) fn stopped_or_held(&self, from: NodeId, to: NodeId) -> bool {
        !self.obstacles.is_empty() && (self.meets_obstacle(from, to, false) || self.meets_obstacle(from, to, true))
    }

    fn meets_obstacle(&self, from: NodeId, to: NodeId, holds: bool) -> bool {
        let mut such = self.obstacles.iter().filter(|obstacle| obstacle.holds == holds);
        from != to && !self.is_calm(from, to) && such.any(|obstacle| obstacle.cut.stops(from, to))
    }

    /// Whether nothing goes wrong between two nodes any more.
    #[inline]
    pub(crate) fn is_calm(&self, from: NodeId, to: NodeId) -> bool {
        !self.healed.is_empty() && self.healed[from.index()] && self.healed[to.index()]
    }

    /// Nothing goes wrong any more between nodes for which it is true.
    pub(crate) fn heal_among(&mut self, is_healed: Vec<bool>, nodes: &[Node]) {
        self.healed = is_healed;
        self.find_weathers_anew(nodes);
    }

    /// How many partitions there are now.
    pub(crate) fn partitions(&self) -> usize {
        self.obstacles.iter().filter(|obstacle| !obstacle.holds).count()
    }

    /// Something comes into the way of messages: they are lost there, or held. The number by which it is ended.
    pub(crate) fn start_cut(&mut self, cut: Cut, holds: bool) -> u64 {
        self.begun += 1;
        self.obstacles.push(Obstacle { id: self.begun, cut, holds });
        self.is_hindered = true;
        self.begun
    }

    /// The weather is otherwise from now on, as the rule says. The number by which that is ended.
    pub(crate) fn start_weather(&mut self, rule: LinkRule, nodes: &[Node]) -> u64 {
        self.begun += 1;
        self.has_queues |= rule.bandwidth_bits_per_second.is_some();
        self.is_hindered |= self.has_queues;
        // One that comes again and again is one rule.
        let known = self.rules[self.rules_of_world..].iter().position(|other| *other == rule);
        let index = known.map_or(self.rules.len(), |place| self.rules_of_world + place);
        if known.is_none() {
            self.tables.push(rule.latency.as_ref().map(compiled));
            self.rules.push(rule);
        }
        self.changed.push((self.begun, index));
        self.find_weathers_anew(nodes);
        self.begun
    }

    /// Whether there was that change of the weather.
    pub(crate) fn end_weather(&mut self, id: u64, nodes: &[Node]) -> bool {
        let before = self.changed.len();
        self.changed.retain(|(other, _)| *other != id);
        self.find_weathers_anew(nodes);
        self.changed.len() < before
    }

    /// Flows know their weather: after a change they are told.
    fn find_weathers_anew(&mut self, nodes: &[Node]) {
        if self.rules.len() == self.rules_of_world {
            return;
        }
        // How bursts go follows from the times of the link's weather: it is found anew when something is sent.
        self.bursts.clear();
        let mut known: BTreeMap<(NodeId, NodeId), u32> = BTreeMap::new();
        for index in 0..self.flows.len() {
            let Flow { from, to, .. } = self.flows[index];
            let weather = match known.get(&(from, to)) {
                Some(weather) => *weather,
                None => self.weather_between(from, to, nodes),
            };
            known.insert((from, to), weather);
            self.flows[index].weather = weather;
        }
    }

    /// Ends all partitions. Whether there was one.
    pub(crate) fn heal(&mut self) -> bool {
        let before = self.obstacles.len();
        self.obstacles.retain(|obstacle| obstacle.holds);
        self.is_hindered = self.has_queues || !self.obstacles.is_empty();
        self.obstacles.len() < before
    }

    // --- queues -------------------------------------------------------------------------------------------------------

    /// What all links of a node share.
    fn uplink_of(&self, node: &Node) -> SendLimits {
        let rules = self.uplinks.iter().filter(|rule| matches(&rule.node, &node.name));
        rules.fold(SendLimits::default(), |limits, rule| SendLimits {
            bandwidth_bits_per_second: rule.limits.bandwidth_bits_per_second.or(limits.bandwidth_bits_per_second),
            queue_bytes: rule.limits.queue_bytes.or(limits.queue_bytes),
        })
    }

    /// What is queued, in order, with how much of it is still to be sent.
    pub(crate) fn queued(&self, now_ns: u64, drawn_from: u16) -> impl Iterator<Item = u64> {
        let queued = self.queues.values().flat_map(move |queues| queues.state(now_ns));
        queued.flat_map(move |(message, left)| {
            [self.message_as_word(message, drawn_from), (left >> 64) as u64, left as u64]
        })
    }

    /// What is held and isn't any more, in the order in which it arrived.
    fn take_released(&mut self) -> Vec<u32> {
        let held = std::mem::take(&mut self.held);
        let is_held = |network: &Network, message: u32| {
            let Flow { from, to, .. } = network.flows[network.messages[message as usize].flow as usize];
            network.meets_obstacle(from, to, true)
        };
        let (held, released) = held.into_iter().partition(|message| is_held(self, *message));
        self.held = held;
        released
    }

    // --- sockets ------------------------------------------------------------------------------------------------------

    fn socket(&mut self, socket: SocketRef) -> Option<&mut Socket> {
        self.sockets.get_mut(socket.slot as usize).filter(|entry| entry.generation == socket.generation)
    }

    // --- what can be seen of it ---------------------------------------------------------------------------------------

    /// A message without its number: what a receiver sees of it. Ports from `drawn_from` on are drawn, and so are all the same.
    pub(crate) fn message_as_word(&self, index: u32, drawn_from: u16) -> u64 {
        let message = &self.messages[index as usize];
        let flow = &self.flows[message.flow as usize];
        let port = |port: u16| u64::from(port.min(drawn_from));
        let nodes = u64::from(flow.from.0) << 32 | u64::from(flow.to.0);
        let ports = port(message.from_port) << 32 | port(message.to_port) << 16 | message.kind as u64;
        hash_words([nodes, ports, message.tag, xxh3_64(message.payload.as_slice())])
    }

    /// What is held, in order.
    pub(crate) fn held(&self, drawn_from: u16) -> impl Iterator<Item = u64> {
        let by_rules = self.rules_on_messages.held.iter().map(|held| &held.message);
        self.held.iter().chain(by_rules).map(move |message| self.message_as_word(*message, drawn_from))
    }

    /// What waits at each open socket, in order.
    pub(crate) fn mail(&self, drawn_from: u16) -> impl Iterator<Item = u64> {
        self.sockets.iter().filter(|socket| socket.is_open()).map(move |socket| {
            let several = socket.more.iter().flat_map(|more| more.arrived.values().copied());
            let lists = std::iter::once(socket.arrived).chain(several);
            let next = |index: &u32| Some(self.messages[*index as usize].next).filter(|next| *next != NONE);
            let messages = lists.filter(|list| list.first != NONE);
            let messages = messages.flat_map(|list| std::iter::successors(Some(list.first), next));
            let port = u64::from(socket.port.min(drawn_from));
            messages.fold(hash_words([u64::from(socket.node), port, 0, 0]), |state, message| {
                hash_words([state, self.message_as_word(message, drawn_from), 0, 0])
            })
        })
    }

    // --- reading ahead: nothing depends on it -------------------------------------------------------------------------

    #[inline]
    pub(crate) fn read_message_ahead(&self, message: u32) {
        self.messages.get(message as usize).inspect(|message| read_ahead(*message));
    }

    #[inline]
    fn flow_of(&self, message: u32) -> Option<&Flow> {
        self.flows.get(self.messages.get(message as usize)?.flow as usize)
    }

    #[inline]
    pub(crate) fn read_flow_ahead(&self, message: u32) {
        self.flow_of(message).inspect(|flow| read_ahead(*flow));
    }

    /// What it comes to, and the flow on which it will be answered.
    #[inline]
    pub(crate) fn read_socket_ahead(&self, message: u32, timers: &Timers) {
        let Some(flow) = self.flow_of(message) else { return };
        let message = &self.messages[message as usize];
        if message.kind == Kind::Answer {
            timers.read_ahead(message.caller);
        }
        self.sockets.get(flow.socket as usize).inspect(|socket| read_ahead(*socket));
        self.flows.get(flow.answered_on as usize).inspect(|flow| read_ahead(*flow));
    }

    /// Who will probably be woken by it.
    #[inline]
    pub(crate) fn waiting_for(&self, message: u32, timers: &Timers) -> Option<TaskRef> {
        let entry = self.messages.get(message as usize)?;
        match entry.kind {
            Kind::Answer | Kind::Refusal => timers.waiting_for(entry.caller),
            Kind::Segment => None,
            Kind::Datagram | Kind::Call => {
                let socket = self.flow_of(message)?.socket;
                self.sockets.get(socket as usize)?.first_waiter.as_ref()?.wake.task()
            }
        }
    }

    // --- segments of streams ------------------------------------------------------------------------------------------

    pub(crate) fn name_hash(&self, node: NodeId) -> u64 {
        self.name_hashes[node.index()]
    }

    /// One more in a flow that only counts.
    pub(crate) fn count_in_flow(&mut self, id: FlowId, from: NodeId, to: NodeId, nodes: &[Node]) -> u64 {
        let index = self.find_flow(id).unwrap_or_else(|| self.add_flow(id, from, to, nodes));
        u64::from(self.next_number(index))
    }

    /// The flow of what one end of a connection sends. In place of a socket it knows its direction.
    pub(crate) fn add_stream_flow(
        &mut self,
        id: FlowId,
        from: NodeId,
        to: NodeId,
        direction: u32,
        nodes: &[Node],
    ) -> u32 {
        let index = self.add_flow(id, from, to, nodes);
        self.flows[index as usize].socket = direction;
        index
    }

    pub(crate) fn flow_id(&self, flow: u32) -> FlowId {
        self.flows[flow as usize].id
    }

    pub(crate) fn ends_of_flow(&self, flow: u32) -> (NodeId, NodeId) {
        let Flow { from, to, .. } = self.flows[flow as usize];
        (from, to)
    }

    pub(crate) fn next_number(&mut self, flow: u32) -> u32 {
        let entry = &mut self.flows[flow as usize];
        entry.count = entry.count.checked_add(1).expect("a flow has fewer than 2^32 messages");
        entry.count
    }

    pub(crate) fn new_segment(
        &mut self,
        flow: u32,
        number: u32,
        (from_port, to_port): (u16, u16),
        tag: u64,
        bytes: &[u8],
    ) -> u32 {
        let index = self.new_message();
        debug_assert!(!self.streams.is_late(index), "a segment that is gone isn't late");
        let message = &mut self.messages[index as usize];
        message.payload.set(bytes);
        let payload = std::mem::take(&mut message.payload);
        *message =
            Message { payload, tag, number, flow, from_port, to_port, kind: Kind::Segment, ..Message::default() };
        index
    }

    /// Of a segment.
    pub(crate) fn flow_number_and_tag(&self, index: u32) -> (FlowId, u64, u64) {
        let message = &self.messages[index as usize];
        (self.flows[message.flow as usize].id, u64::from(message.number), message.tag)
    }

    /// Of a segment: which way of which connection it goes.
    pub(crate) fn direction_of(&self, index: u32) -> u32 {
        self.flows[self.messages[index as usize].flow as usize].socket
    }

    pub(crate) fn kind_of(&self, index: u32) -> Kind {
        self.messages[index as usize].kind
    }

    pub(crate) fn set_tag(&mut self, index: u32, tag: u64) {
        self.messages[index as usize].tag = tag;
    }

    /// How long a message travels in calm weather.
    pub(crate) fn calm_latency_ns(&self, index: u32) -> u64 {
        let Flow { from, to, weather, .. } = self.flows[self.messages[index as usize].flow as usize];
        match (from == to, &self.loopback) {
            (true, Some(loopback)) => loopback.median_ns(),
            (true, None) => LOOPBACK_NS,
            (false, _) => self.weathers[weather as usize].latency.median_ns(),
        }
    }

    /// Orders it apart from the segments that have the same numbers. The flow that it is known by then.
    pub(crate) fn set_apart(&mut self, index: u32) -> FlowId {
        let message = &mut self.messages[index as usize];
        message.held = u8::MAX;
        held_flow(self.flows[message.flow as usize].id, u8::MAX)
    }

    /// Its bytes. The message is received.
    pub(crate) fn take_payload(&mut self, index: u32) -> Payload {
        let payload = std::mem::take(&mut self.messages[index as usize].payload);
        self.free_message(index);
        payload
    }

    /// Whether what is sent may not go out at once.
    pub(crate) fn is_hindered(&self) -> bool {
        self.is_hindered
    }

    // --- messages -----------------------------------------------------------------------------------------------------

    /// Whether a link that loses in bursts is bad at that time. What is drawn is drawn under the key of the moment at which it begins.
    fn is_bad(&mut self, from: NodeId, to: NodeId, times: &BurstTimes, now_ns: u64, decisions: &Decisions) -> bool {
        let names = [self.name_hashes[from.index()], self.name_hashes[to.index()]];
        self.bursts.entry((from, to)).or_insert(BurstState::NOWHERE).is_bad_at(now_ns, times, names, decisions)
    }

    /// What few links do to a message: copies, flipped bits, bursts of losses, a latency that was recorded. It is drawn as of a message of the flow `id`.
    #[cold]
    fn draw_rough(
        &mut self,
        index: u32,
        id: FlowId,
        now_ns: u64,
        decisions: &Decisions,
        loss_word: u64,
        fate: &mut Fate,
    ) {
        let message = &self.messages[index as usize];
        let (number, bytes) = (u64::from(message.number), message.payload.as_slice().len() as u64);
        let Flow { from, to, weather, .. } = self.flows[message.flow as usize];
        let key = decisions.key(now_ns);
        if let Some(times) = self.weathers[weather as usize].bursts.clone()
            && self.is_bad(from, to, &times, now_ns, decisions)
        {
            fate.lost = times.loss.hit(loss_word);
        }
        let weather = &self.weathers[weather as usize];
        if weather.latency.follows_time() {
            fate.latency_ns = weather.latency.latency_ns(0, now_ns);
        }
        if !weather.reorder.is_never() {
            let words = key.reorder_words(id, number);
            if weather.reorder.hit(words.whether) {
                fate.latency_ns = fate.latency_ns.saturating_add(weather.latency.latency_ns(words.latency, now_ns));
            }
        }
        if !weather.duplicate.is_never() {
            let words = key.duplicate_words(id, number);
            let latency = weather.duplicate_latency.as_ref().unwrap_or(&weather.latency);
            let copy_ns = latency.latency_ns(words.latency, now_ns).saturating_add(1);
            fate.copy_ns = if weather.duplicate.hit(words.whether) { copy_ns } else { 0 };
        }
        if !weather.corruption.is_never() {
            let words = key.corruption_words(id, number);
            let bit = ((u128::from(words.bit) * u128::from(bytes * 8)) >> 64) as u64;
            fate.flipped = if weather.corruption.hit(words.whether) { bit + 1 } else { 0 };
        }
    }

    #[inline]
    fn new_message(&mut self) -> u32 {
        self.free_messages.pop().unwrap_or_else(|| {
            assert!(self.messages.len() < NONE as usize, "there are fewer than 2^32 - 1 messages at a time");
            self.messages.push(Message::default());
            (self.messages.len() - 1) as u32
        })
    }

    #[inline]
    pub(crate) fn free_message(&mut self, index: u32) {
        // A large payload's memory goes back; a small one lies inside.
        let payload = &mut self.messages[index as usize].payload;
        if matches!(payload, Payload::Heap(_)) {
            *payload = Payload::default();
        }
        self.free_messages.push(index);
    }
}

/// Where a message came from, in one word: a `SocketAddr` is written in pieces, and moved by wider loads, which a
/// processor can't forward and waits for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Origin(u64);

impl Origin {
    /// Of no message yet.
    pub(crate) const UNKNOWN: Origin = Origin(0);

    #[inline]
    fn new(from: NodeId, message: &Message, has_default_address: bool) -> Origin {
        let marks = u64::from(has_default_address) | u64::from(message.loopback.is_from()) << 1;
        Origin(u64::from(from.0) << 32 | marks << 16 | u64::from(message.from_port))
    }

    /// Whether it was sent from a loopback address, which is its node's own too.
    pub(crate) fn is_loopback(self) -> bool {
        self.0 >> 17 & 1 == 1
    }

    /// The address by which other nodes know it.
    #[inline]
    pub(crate) fn address(self) -> SocketAddr {
        let (from, port) = ((self.0 >> 32) as u32, self.0 as u16);
        if self.0 >> 16 & 1 == 1 {
            return SocketAddr::new(default_address(from as usize), port);
        }
        let address = kernel::with("a message's origin", |kernel| kernel.nodes[from as usize].address);
        SocketAddr::new(address, port)
    }
}

/// A message to be sent, but for its bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Outgoing {
    pub from_port: u16,
    pub to_port: u16,
    pub tag: u64,
    pub kind: Kind,
    pub caller: TimerRef,
    /// The socket that it is sent from.
    pub socket: SocketRef,
}

impl Kernel {
    /// The node that has a name, for addresses by name.
    pub(crate) fn node_by_name(&self, name: &str) -> Option<NodeId> {
        let id = *self.network.by_name.get(&xxh3_64(name.as_bytes()))?;
        let node = &self.nodes[id.index()];
        (&*node.name == name && !node.control).then_some(id)
    }

    /// The node that has an address; unspecified and loopback ones are the running node's own.
    // In line: an address is looked at where it lies, not copied, which it would be in pieces.
    #[inline(always)]
    pub(crate) fn node_by_address(&self, address: &SocketAddr) -> Option<NodeId> {
        // Where no node asked for an address of its own, no node is looked at.
        if let SocketAddr::V4(v4) = address
            && self.network.addresses.is_empty()
            && let Some(index) = index_by_default(*v4.ip())
            && (index as usize) < self.nodes.len()
        {
            return Some(NodeId(index));
        }
        self.node_by_any_address(address.ip())
    }

    #[cold]
    fn node_by_any_address(&self, address: IpAddr) -> Option<NodeId> {
        if address.is_loopback() || address.is_unspecified() {
            return Some(self.current.node);
        }
        if let Some(&node) = self.network.addresses.get(&address) {
            return Some(node);
        }
        let IpAddr::V4(v4) = address else { return None };
        let index = index_by_default(v4)?;
        (self.nodes.get(index as usize)?.address == address).then_some(NodeId(index))
    }

    /// Binds a socket on the running node. Port 0 takes a free one.
    pub(crate) fn bind(&mut self, address: SocketAddr) -> io::Result<(SocketRef, SocketAddr)> {
        let port = self.address_to_bind(address)?.port();
        let id = self.current.node;
        let node = &mut self.nodes[id.index()];
        if node.ports.iter().any(|(bound, _)| *bound == port) {
            return Err(io::Error::new(
                io::ErrorKind::AddrInUse,
                format!("port {port} of node {} is bound already", node.name),
            ));
        }
        let first_generation = self.first_generation;
        let network = &mut self.network;
        let slot = match network.free_sockets.pop() {
            Some(slot) => slot,
            None => {
                network.sockets.push(Socket { generation: first_generation, ..Socket::default() });
                (network.sockets.len() - 1) as u32
            }
        };
        let socket = &mut network.sockets[slot as usize];
        socket.generation = socket.generation.wrapping_add(1);
        socket.heard_from = NONE;
        socket.node = id.0;
        socket.port = port;
        socket.bound = match address.ip() {
            ip if ip.is_unspecified() => Bound::Any,
            ip if ip.is_loopback() => Bound::Loopback,
            _ => Bound::Own,
        };
        node.ports.push((port, slot));
        let reference = SocketRef { slot, generation: socket.generation };
        Ok((reference, SocketAddr::new(node.address, port)))
    }

    /// A free port, chosen by who asks and for which time, not by who asked before: another socket elsewhere on the node
    /// leaves it as it is.
    pub(crate) fn ephemeral_port(&mut self, id: NodeId) -> io::Result<u16> {
        const FIRST: u16 = 49_152;
        const COUNT: u16 = 16_384;
        let word = self.next_port_word();
        let (node, streams) = (&self.nodes[id.index()], &self.network.streams);
        // Marked once: of a node that has bound most of them, many are asked about.
        let mut is_bound = [0u64; COUNT as usize / 64];
        for (port, _) in &node.ports {
            if let Some(bit) = port.checked_sub(FIRST) {
                is_bound[usize::from(bit / 64)] |= 1 << (bit % 64);
            }
        }
        (0..COUNT)
            .map(|step| ((word % u64::from(COUNT)) as u16 + step) % COUNT)
            .find(|bit| is_bound[usize::from(bit / 64)] & (1 << (bit % 64)) == 0 && !streams.has_port(id, FIRST + bit))
            .map(|bit| FIRST + bit)
            .ok_or_else(|| {
                let what = format!(
                    "node {} has no free port of the {COUNT} from {FIRST} on: close sockets that aren't used",
                    node.name
                );
                io::Error::new(io::ErrorKind::AddrInUse, what)
            })
    }

    /// Closes a socket: what waits in it is gone, who waits for it is woken.
    pub(crate) fn close_socket(&mut self, slot: u32) {
        let socket = &mut self.network.sockets[slot as usize];
        if !socket.is_open() {
            return;
        }
        socket.generation = socket.generation.wrapping_add(1);
        let arrived = socket.take_all_arrived(&self.network.messages);
        let waiters: Vec<Waiter> = std::iter::from_fn(|| socket.take_waiter(|_| true)).collect();
        let (node, port) = (socket.node as usize, socket.port);
        if std::mem::take(&mut socket.is_connected) {
            self.network.peers.remove(&slot);
        }
        self.nodes[node].ports.retain(|(bound, _)| *bound != port);
        self.network.free_sockets.push(slot);
        for message in arrived {
            self.network.free_message(message);
        }
        for waiter in waiters {
            self.wake(waiter.wake, 3);
        }
    }

    /// From now on a socket takes messages from that peer alone.
    ///
    /// # Errors
    /// If the socket is gone.
    pub(crate) fn connect_socket(&mut self, socket: SocketRef, peer: SocketAddr) -> io::Result<()> {
        let Some(entry) = self.network.socket(socket) else {
            return Err(io::Error::new(io::ErrorKind::NotConnected, "the socket is closed"));
        };
        entry.is_connected = true;
        self.network.peers.insert(socket.slot, peer);
        Ok(())
    }

    /// Whether a message comes from whom alone a connected socket hears. A node hears itself by each of its addresses.
    fn is_from_peer(&self, slot: u32, index: u32) -> bool {
        let Message { flow, from_port, .. } = self.network.messages[index as usize];
        let Some(peer) = self.network.peers.get(&slot) else { return true };
        let Flow { from, to, .. } = self.network.flows[flow as usize];
        let is_its_address = peer.ip() == self.nodes[from.index()].address || from == to && peer.ip().is_loopback();
        is_its_address && peer.port() == from_port
    }

    /// Closes a socket by reference, if it still is that one.
    pub(crate) fn close(&mut self, socket: SocketRef) {
        if self.network.socket(socket).is_some() {
            self.close_socket(socket.slot);
        }
    }

    /// The number of the first message with that tag; see [`Kernel::take_datagram`] and [`Kernel::take_call`]. If there is
    /// none, the running task is woken when one comes, or `other` if there is one; `waiter` holds the number under which it waits.
    ///
    /// # Errors
    /// If the socket is gone.
    #[inline(never)]
    pub(crate) fn poll_receive(
        &mut self,
        socket: SocketRef,
        tag: u64,
        wakes: Wakes,
        waiter: &mut Option<NonZeroU64>,
        other: Option<Waker>,
    ) -> Poll<io::Result<u32>> {
        let wake = self.wake_ref(other);
        let network = &mut self.network;
        let Some(entry) = network.sockets.get_mut(socket.slot as usize).filter(|s| s.generation == socket.generation)
        else {
            *waiter = None;
            self.forget(wake);
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::NotConnected, "the socket is closed")));
        };
        let received = entry.take_arrived(tag, &network.messages);
        // Woken, it waits no more; polled for another reason, it still does.
        let own = waiter.take().and_then(|id| entry.take_waiter(|waiter| waiter.id == id));
        match received {
            Some(index) => {
                entry.heard_from = network.messages[index as usize].flow;
                if let Some(waiter) = own {
                    self.forget(waiter.wake);
                }
                self.forget(wake);
                Poll::Ready(Ok(index))
            }
            None => {
                network.waiters = network.waiters.saturating_add(1);
                let id = match wakes {
                    Wakes::One => network.waiters,
                    Wakes::All => network.waiters | ONE_OF_ALL,
                };
                entry.add_waiter(id, tag, wake);
                *waiter = Some(id);
                if let Some(waiter) = own {
                    self.forget(waiter.wake);
                }
                Poll::Pending
            }
        }
    }

    /// Copies a received message's bytes out, as many as fit.
    #[inline(always)]
    pub(crate) fn take_datagram(&mut self, index: u32, buffer: &mut [u8]) -> (usize, Origin) {
        let message = &self.network.messages[index as usize];
        let bytes = message.payload.as_slice();
        let length = bytes.len().min(buffer.len());
        copy_short(buffer, &bytes[..length]);
        let from = self.network.flows[message.flow as usize].from;
        let origin = Origin::new(from, message, self.network.addresses.is_empty());
        self.network.free_message(index);
        (length, origin)
    }

    /// How many bytes a received message has.
    #[inline]
    pub(crate) fn datagram_bytes(&self, index: u32) -> usize {
        self.network.messages[index as usize].payload.as_slice().len()
    }

    /// Copies the bytes of the first message out, as many as fit, and leaves it. `None` if there is none.
    pub(crate) fn peek_datagram(
        &mut self,
        socket: SocketRef,
        tag: u64,
        buffer: &mut ReadBuf<'_>,
    ) -> Option<(usize, Origin)> {
        let network = &mut self.network;
        let entry = network.socket(socket)?;
        let of_tag = [Some(entry.arrived), entry.more.as_ref().and_then(|more| more.arrived.get(&tag).copied())];
        let lists = of_tag.into_iter().flatten();
        let index = lists
            .map(|list| list.first)
            .find(|first| network.messages.get(*first as usize).is_some_and(|message| message.tag == tag))?;
        let message = &network.messages[index as usize];
        let bytes = message.payload.as_slice();
        let length = bytes.len().min(buffer.remaining());
        buffer.initialize_unfilled_to(length).copy_from_slice(&bytes[..length]);
        let from = network.flows[message.flow as usize].from;
        Some((length, Origin::new(from, message, network.addresses.is_empty())))
    }

    /// Takes a received call: its bytes, and what is needed to answer it. `None` if it is a plain datagram.
    pub(crate) fn take_call(&mut self, index: u32) -> Option<(Payload, ArrivedCall)> {
        let message = &mut self.network.messages[index as usize];
        let payload = std::mem::take(&mut message.payload);
        let call = (message.kind == Kind::Call).then(|| self.arrived_call(index));
        self.network.free_message(index);
        call.map(|call| (payload, call))
    }

    fn arrived_call(&self, index: u32) -> ArrivedCall {
        let message = &self.network.messages[index as usize];
        let flow = &self.network.flows[message.flow as usize];
        ArrivedCall {
            caller: message.caller,
            tag: message.tag,
            flow: flow.id,
            flow_index: message.flow,
            number: message.number,
            copy: message.copy,
            from_port: message.from_port,
            to_port: message.to_port,
            loopback: message.loopback,
            from: flow.from,
        }
    }

    /// Waits no more, without having received. A wake that was meant for the one that stops goes to the next that waits
    /// for the tag.
    pub(crate) fn stop_waiting(&mut self, socket: SocketRef, tag: u64, id: NonZeroU64) {
        let network = &mut self.network;
        let Some(entry) = network.sockets.get_mut(socket.slot as usize) else { return };
        if entry.generation != socket.generation {
            return;
        }
        if let Some(waiter) = entry.take_waiter(|waiter| waiter.id == id) {
            self.forget(waiter.wake);
            return;
        }
        if entry.has_arrived(tag, &network.messages)
            && let Some(waiter) = entry.take_waiter(|waiter| waiter.tag == tag)
        {
            self.wake(waiter.wake, 4);
        }
    }

    // --- sending ------------------------------------------------------------------------------------------------------

    /// Sends from the running task. Whether anybody gets it is the network's business: only what the sender's own machine
    /// can know is an error.
    ///
    /// # Errors
    /// No node has that address.
    #[inline]
    pub(crate) fn send(&mut self, to: &SocketAddr, outgoing: Outgoing, bytes: &[u8]) -> io::Result<()> {
        let sender = self.sender();
        self.send_as(sender, to, outgoing, bytes)
    }

    /// By whom the flows of a socket on the running node are known that are its own, and not those of the task that sends.
    pub(crate) fn sender_of_port(&self, port: u16) -> TaskId {
        let Current { node, boot, .. } = self.current;
        let name = self.network.name_hashes[node.index()];
        TaskId(hash_words([name, u64::from(boot), u64::from(port), u64::from_le_bytes(*b"udp     ")]))
    }

    /// As [`Kernel::send`], for another sender than the running task.
    ///
    /// # Errors
    /// As there.
    #[inline]
    pub(crate) fn send_as(
        &mut self,
        sender: TaskId,
        to: &SocketAddr,
        outgoing: Outgoing,
        bytes: &[u8],
    ) -> io::Result<()> {
        if !self.is_live() {
            return Ok(());
        }
        let Some(to_node) = self.node_by_address(to) else {
            return Err(io::Error::new(io::ErrorKind::HostUnreachable, format!("no node has the address {}", to.ip())));
        };
        let loopback =
            if to_node == self.current.node { self.loopback(to, outgoing.socket) } else { Loopback::default() };
        let network = &mut self.network;
        // Who sends, to which node, and as what: nothing that another flow could shift.
        let to_whom = network.name_hashes[to_node.index()];
        let to_where = u64::from(outgoing.to_port) | (outgoing.kind as u64) << 16;
        let id = FlowId(hash_words([sender.0, to_whom, outgoing.tag, to_where]));
        let heard_from = network.sockets.get(outgoing.socket.slot as usize).map_or(NONE, |socket| socket.heard_from);
        let flow = match network.find_answering_flow(id, heard_from) {
            Some(flow) => flow,
            None => self.new_flow(id, self.current.node, to_node, outgoing, None),
        };
        let entry = &mut self.network.flows[flow as usize];
        entry.count = entry.count.checked_add(1).expect("a task sends fewer than 2^32 messages of a kind to one port");
        let number = entry.count;
        self.transmit(flow, number, outgoing, loopback, bytes);
        Ok(())
    }

    /// Of a message that a node sends to itself: where its socket isn't bound to an address, it has that which it goes to.
    #[cold]
    fn loopback(&self, to: &SocketAddr, socket: SocketRef) -> Loopback {
        let to = to.ip().is_loopback() || to.ip().is_unspecified();
        let from = match self.network.sockets.get(socket.slot as usize).map(|socket| socket.bound) {
            Some(Bound::Loopback) => true,
            Some(Bound::Own) => false,
            Some(Bound::Any) | None => to,
        };
        Loopback::new(to, from)
    }

    #[cold]
    fn new_flow(&mut self, id: FlowId, from: NodeId, to: NodeId, outgoing: Outgoing, answered: Option<FlowId>) -> u32 {
        let operation = match answered {
            Some(call) => self.journal.operation_of(call),
            None => self.operations.get(&self.current.task).map(|operation| operation.number),
        };
        let network = &self.network;
        let role = || network.role(outgoing.kind, outgoing.tag);
        self.journal.name_flow(id, || FlowInfo { from, to, role: role(), operation });
        self.network.add_flow(id, from, to, &self.nodes)
    }

    /// Answers a call: to the address of the call, as the answer with its number.
    pub(crate) fn answer(&mut self, call: ArrivedCall, bytes: &[u8]) {
        if self.is_live() {
            self.reply(call, Kind::Answer, self.current.node, bytes);
        }
    }

    fn reply(&mut self, call: ArrivedCall, kind: Kind, from: NodeId, bytes: &[u8]) {
        let id = call.reply_flow(kind);
        let outgoing = Outgoing {
            from_port: call.to_port,
            to_port: call.from_port,
            tag: call.tag,
            kind,
            caller: call.caller,
            socket: SocketRef { slot: NONE, generation: 0 },
        };
        let flow = match self.network.find_answering_flow(id, call.flow_index) {
            Some(flow) => flow,
            None => self.new_flow(id, from, call.from, outgoing, Some(call.flow)),
        };
        let loopback = Loopback::new(call.loopback.is_from(), call.loopback.is_to());
        self.transmit(flow, call.number, outgoing, loopback, bytes);
    }

    /// Hands a message to the network, which decides its fate.
    #[inline]
    fn transmit(&mut self, flow_index: u32, number: u32, outgoing: Outgoing, loopback: Loopback, bytes: &[u8]) {
        let flow = self.network.flows[flow_index as usize];
        let Flow { id, from, to, .. } = flow;
        self.network.counts.sent += 1;
        self.journal.send(
            Place { at_ns: self.now_ns, node: from, task: self.current.task },
            (id, u64::from(number)),
            (outgoing.from_port, to, outgoing.to_port),
            outgoing.tag,
            bytes,
        );
        let index = self.network.new_message();
        let message = &mut self.network.messages[index as usize];
        message.payload.set(bytes);
        message.number = number;
        message.tag = outgoing.tag;
        message.flow = flow_index;
        message.caller = outgoing.caller;
        message.from_port = outgoing.from_port;
        message.to_port = outgoing.to_port;
        message.copy = 0;
        message.kind = outgoing.kind;
        message.flipped = 0;
        message.held = 0;
        message.loopback = loopback;
        if from == to {
            let latency_ns = match self.network.loopback {
                None => LOOPBACK_NS,
                Some(_) => self.decide_loopback(index, id, u64::from(number)),
            };
            self.launch(index, latency_ns);
            return;
        }
        if self.network.is_hindered && self.is_kept(index) {
            return;
        }
        self.depart(index, u64::from(number), flow, self.current.task);
    }

    /// A message leaves its node: what becomes of it is decided. `task` sends it, if it leaves when it is sent.
    #[inline(always)]
    fn depart(&mut self, index: u32, number: u64, flow: Flow, task: TaskId) {
        let Flow { id, from, to, weather: weather_index, .. } = flow;
        let weather = &self.network.weathers[weather_index as usize];
        let key = self.decisions.key(self.now_ns);
        let fate = key.fate_words(id, number);
        let latency_ns = weather.latency.quantile_ns(fate.latency);
        let lost = weather.loss.hit(fate.loss);
        let mut drawn = Fate { latency_ns, lost, copy_ns: 0, flipped: 0, ruling: Ruling::Nothing };
        if self.network.is_calm(from, to) {
            drawn.latency_ns = weather.latency.median_ns();
            drawn.lost = false;
        } else {
            if weather.is_rough {
                self.draw_rough(index, id, fate.loss, &mut drawn);
            }
            self.drawn += 1;
        }
        let fate = if self.decisions.is_plain() {
            drawn
        } else {
            let median_ns = self.network.weathers[weather_index as usize].latency.median_ns();
            self.decide_fate(index, id, number, median_ns, drawn)
        };
        if fate.copy_ns > 0 {
            self.network.counts.duplicated += 1;
            self.journal.emit(self.now_ns, from, task, EventKind::Duplicate { flow: id, number });
            let copy = self.network.new_message();
            self.network.messages[copy as usize] = self.network.messages[index as usize].clone();
            self.network.messages[copy as usize].copy = 1;
            self.launch(copy, fate.copy_ns - 1);
        }
        if fate.lost {
            self.stop_short(index, from, fate, task);
            return;
        }
        if fate.flipped > 0 {
            self.corrupt(index, fate.flipped - 1, task);
        }
        self.launch(index, fate.latency_ns);
    }

    /// What the weather does to a segment. A flipped bit is a loss: its checksum tells.
    ///
    /// `failed` attempts came before. Each is drawn by itself.
    pub(crate) fn draw_segment(&mut self, index: u32, failed: u64) -> SegmentFate {
        let network = &self.network;
        let Flow { id, from, to, weather, .. } = network.flows[network.messages[index as usize].flow as usize];
        let weather = &network.weathers[weather as usize];
        let mut fate = SegmentFate {
            latency_ns: weather.latency.median_ns(),
            is_lost: false,
            resets: false,
            is_ruled: false,
            has_ruled_latency: false,
            held_by: None,
        };
        if network.is_calm(from, to) {
            return fate;
        }
        let number = u64::from(network.messages[index as usize].number);
        let drawn_by = match failed {
            0 => id,
            failed => FlowId(hash_words([id.0, failed, u64::from_le_bytes(*b"again   "), 0])),
        };
        let key = self.decisions.key(self.now_ns);
        let words = key.fate_words(drawn_by, number);
        fate.latency_ns = weather.latency.quantile_ns(words.latency);
        fate.resets = !weather.reset.is_never() && weather.reset.hit(key.reset_word(drawn_by, number));
        fate.is_lost = weather.loss.hit(words.loss);
        let is_rough = weather.is_rough;
        self.drawn += 1;
        if is_rough {
            let mut drawn = Fate {
                latency_ns: fate.latency_ns,
                lost: fate.is_lost,
                copy_ns: 0,
                flipped: 0,
                ruling: Ruling::Nothing,
            };
            self.draw_rough(index, drawn_by, words.loss, &mut drawn);
            fate.latency_ns = drawn.latency_ns;
            fate.is_lost = drawn.lost || drawn.flipped > 0;
            match drawn.ruling {
                // A stream has no copies.
                Ruling::Nothing | Ruling::Duplicate => {}
                Ruling::Hold { rule } => {
                    fate.held_by = Some(rule);
                    fate.is_lost = false;
                }
                Ruling::Drop | Ruling::Corrupt | Ruling::Pass | Ruling::DeliverAfter => {
                    fate.is_lost = matches!(drawn.ruling, Ruling::Drop | Ruling::Corrupt);
                    fate.has_ruled_latency = drawn.ruling == Ruling::DeliverAfter;
                    fate.is_ruled = true;
                    fate.resets = false;
                }
            }
        }
        fate
    }

    /// How long a segment to its own node takes.
    pub(crate) fn loopback_ns(&mut self, index: u32, flow: FlowId, number: u64) -> u64 {
        match self.network.loopback {
            None => LOOPBACK_NS,
            Some(_) => self.decide_loopback(index, flow, number),
        }
    }

    /// What befalls few messages: what the weather does beside latency and loss, and then what rules do.
    #[cold]
    fn draw_rough(&mut self, index: u32, drawn_by: FlowId, loss_word: u64, drawn: &mut Fate) {
        let Kernel { network, decisions, now_ns, .. } = self;
        network.draw_rough(index, drawn_by, *now_ns, decisions, loss_word, drawn);
        let weather = network.flows[network.messages[index as usize].flow as usize].weather;
        if network.weathers[weather as usize].has_rules {
            self.apply_rules(index, drawn_by, drawn);
            // What the weather loses isn't held.
            if let Ruling::Hold { .. } = drawn.ruling
                && self.decisions.is_plain()
            {
                drawn.ruling = if drawn.lost { Ruling::Nothing } else { drawn.ruling };
                drawn.lost = true;
            }
        }
    }

    /// A message goes nowhere: it is lost, or waits for a rule to let it go.
    #[cold]
    fn stop_short(&mut self, index: u32, from: NodeId, fate: Fate, task: TaskId) {
        match fate.ruling {
            Ruling::Hold { rule } => {
                if fate.flipped > 0 {
                    self.corrupt(index, fate.flipped - 1, task);
                }
                self.tell_held(index, from);
                self.hold_by_rule(index, rule, fate.latency_ns);
            }
            Ruling::Drop => self.lose(index, from, LossReason::Rule),
            _ => self.lose(index, from, LossReason::Loss),
        }
    }

    /// Whether what is sent doesn't leave at once: a partition stops it, or it waits until its link has sent it, or finds no room to wait.
    #[cold]
    pub(crate) fn is_kept(&mut self, index: u32) -> bool {
        let network = &mut self.network;
        let message = &network.messages[index as usize];
        let Flow { from, to, weather, .. } = network.flows[message.flow as usize];
        if network.stopped(from, to) {
            self.lose(index, from, LossReason::PartitionOnSending);
            return true;
        }
        if !network.has_queues {
            return false;
        }
        let (bytes, kind) = (message.payload.as_slice().len() as u64 + MESSAGE_HEADER_BYTES, message.kind);
        let (limits, is_calm) = (network.weathers[weather as usize].limits, network.is_calm(from, to));
        if !network.queues.contains_key(&from) {
            let uplink = network.uplink_of(&self.nodes[from.index()]);
            network.queues.insert(from, SendQueues::new(uplink));
        }
        let queues = network.queues.get_mut(&from).expect("it is there by now");
        if !queues.limits(limits) {
            return false;
        }
        let sent = queues.advance(self.now_ns);
        // Nothing goes wrong between healed nodes. What a stream sends waits: TCP slows down to what a queue takes.
        let has_room = is_calm || kind == Kind::Segment || queues.has_room(to, bytes, limits);
        if has_room {
            queues.push(to, index, bytes, limits);
        }
        self.depart_all(sent);
        self.await_departure_of(from);
        if !has_room {
            self.lose(index, from, LossReason::QueueFull);
        }
        true
    }

    fn await_departure_of(&mut self, node: NodeId) {
        let next_ns = self.network.queues.get(&node).and_then(SendQueues::next_ns);
        self.await_departure(node, next_ns);
    }

    /// Something that a node has queued has been sent by now.
    pub(crate) fn send_queued(&mut self, node: NodeId) {
        let queues = self.network.queues.get_mut(&node);
        let sent = queues.map_or_else(Vec::new, |queues| queues.advance(self.now_ns));
        self.depart_all(sent);
        self.await_departure_of(node);
    }

    fn depart_all(&mut self, sent: Vec<u32>) {
        for index in sent {
            let message = &self.network.messages[index as usize];
            let (number, flow) = (u64::from(message.number), self.network.flows[message.flow as usize]);
            match self.network.stopped(flow.from, flow.to) {
                true => self.lose(index, flow.from, LossReason::PartitionOnSending),
                false if message.kind == Kind::Segment => self.depart_segment(index),
                false => self.depart(index, number, flow, TaskId::NONE),
            }
        }
    }

    /// The weather of links has changed, and with it how much they send.
    pub(crate) fn change_send_limits(&mut self) {
        let nodes: Vec<NodeId> = self.network.queues.keys().copied().collect();
        for node in nodes {
            let network = &mut self.network;
            let busy = network.queues[&node].busy();
            let mut limits: BTreeMap<NodeId, SendLimits> = BTreeMap::new();
            for to in busy {
                let weather = network.weather_between(node, to, &self.nodes);
                limits.insert(to, network.weathers[weather as usize].limits);
            }
            let queues = network.queues.get_mut(&node).expect("it is there");
            let mut sent = queues.advance(self.now_ns);
            sent.extend(queues.change_limits(|to| limits[&to]));
            self.depart_all(sent);
            self.await_departure_of(node);
        }
    }

    /// A node crashes: what it had queued is gone.
    pub(crate) fn lose_queued(&mut self, node: NodeId) {
        let held = self.take_held_by_rules_of(node);
        self.lose_with_its_machine(held, node);
        let Some(queues) = self.network.queues.get_mut(&node) else { return };
        let queued = queues.take_all();
        self.lose_with_its_machine(queued, node);
        self.await_departure_of(node);
    }

    /// Lets a message arrive with a bit flipped. Beyond its bytes, as a plan may say, it is counted from the first again.
    #[cold]
    fn corrupt(&mut self, index: u32, bit: u64, task: TaskId) {
        let message = &mut self.network.messages[index as usize];
        let bits = message.payload.as_slice().len() as u64 * 8;
        if bits == 0 {
            return;
        }
        // A message has fewer bytes than 2^28: a larger one is corrupted where its bits can be numbered.
        let bit = bit % bits.min(u64::from(u32::MAX));
        message.flipped = bit as u32 + 1;
        let (number, flow) = (u64::from(message.number), message.flow);
        let Flow { id, from, .. } = self.network.flows[flow as usize];
        self.network.counts.corrupted += 1;
        self.journal.emit(self.now_ns, from, task, EventKind::Corrupt { flow: id, number, bit });
    }

    /// How long a message to its own node takes, where something is said of that.
    #[cold]
    fn decide_loopback(&mut self, index: u32, flow: FlowId, number: u64) -> u64 {
        let network = &self.network;
        let Some(latency) = &network.loopback else { return LOOPBACK_NS };
        let node = network.flows[network.messages[index as usize].flow as usize].from;
        let median_ns = latency.median_ns();
        // What is always the same is no decision.
        if latency.quantile_ns(0) == latency.quantile_ns(u64::MAX) {
            return median_ns;
        }
        let drawn_ns = if network.is_calm(node, node) {
            median_ns
        } else {
            self.drawn += 1;
            latency.latency_ns(self.decisions.key(self.now_ns).fate_words(flow, number).latency, self.now_ns)
        };
        let site = Site { kind: SiteKind::Latency, flow, number };
        self.decisions.decide(site, self.now_ns, median_ns, drawn_ns, || network.fingerprint(index))
    }

    #[cold]
    fn decide_fate(&mut self, index: u32, flow: FlowId, number: u64, median_ns: u64, drawn: Fate) -> Fate {
        let (now_ns, network, decisions) = (self.now_ns, &self.network, &mut self.decisions);
        let print = || network.fingerprint(index);
        let site = |kind| Site { kind, flow, number };
        let Fate { ruling, .. } = drawn;
        // What a rule has decided isn't decided again.
        let lost = match ruling {
            Ruling::Drop => return drawn,
            Ruling::Pass | Ruling::DeliverAfter => false,
            _ => decisions.decide(site(SiteKind::Loss), now_ns, 0, u64::from(drawn.lost), print) != 0,
        };
        let latency_ns = match ruling {
            Ruling::DeliverAfter => drawn.latency_ns,
            // A lost message has no latency: nothing is decided that can't be seen.
            _ if lost => median_ns,
            _ => decisions.decide(site(SiteKind::Latency), now_ns, median_ns, drawn.latency_ns, print),
        };
        let copy_ns = match ruling {
            Ruling::Pass | Ruling::Duplicate | Ruling::Hold { .. } => drawn.copy_ns,
            _ => decisions.decide(site(SiteKind::Duplicate), now_ns, 0, drawn.copy_ns, print),
        };
        let is_empty = network.messages[index as usize].payload.as_slice().is_empty();
        let flipped = match ruling {
            _ if lost || is_empty => 0,
            Ruling::Pass | Ruling::Corrupt => drawn.flipped,
            _ => decisions.decide(site(SiteKind::Corruption), now_ns, 0, drawn.flipped, print),
        };
        match ruling {
            // What the weather loses isn't held.
            Ruling::Hold { .. } if lost => Fate { latency_ns, lost, copy_ns, flipped, ruling: Ruling::Nothing },
            Ruling::Hold { .. } => Fate { latency_ns, lost: true, copy_ns, flipped, ruling },
            _ => Fate { latency_ns, lost, copy_ns, flipped, ruling },
        }
    }

    #[inline]
    pub(crate) fn launch(&mut self, index: u32, latency_ns: u64) {
        self.agenda.schedule(self.now_ns.saturating_add(latency_ns), Due::Delivery { message: index });
    }

    pub(crate) fn tell_held(&mut self, index: u32, node: NodeId) {
        let message = &self.network.messages[index as usize];
        let (number, copy) = (u64::from(message.number), message.copy);
        let flow = self.network.flows[message.flow as usize].id;
        self.emit_on(node, EventKind::Hold { flow, number, copy });
    }

    pub(crate) fn lose(&mut self, index: u32, node: NodeId, reason: LossReason) {
        // What a stream sends isn't lost.
        if self.network.messages[index as usize].kind == Kind::Segment && self.stall(index, node, reason) {
            return;
        }
        self.lose_for_good(index, node, reason);
    }

    pub(crate) fn lose_for_good(&mut self, index: u32, node: NodeId, reason: LossReason) {
        if self.is_credit(index) {
            return self.network.free_message(index);
        }
        let message = &self.network.messages[index as usize];
        let (number, copy) = (u64::from(message.number), message.copy);
        let flow = self.network.flows[message.flow as usize].id;
        self.network.counts.lost += 1;
        self.network.free_message(index);
        self.emit_on(node, EventKind::Lose { flow, number, copy, reason });
    }

    /// All who wait at a socket are woken, in the order in which they came. As in [`Kernel::deliver`], who became ready last comes back.
    #[cold]
    fn wake_all(&mut self, socket: u32, first: Waiter, cause: u64) -> Option<TaskRef> {
        let socket = &mut self.network.sockets[socket as usize];
        let others = std::iter::from_fn(|| socket.take_waiter(|waiter| waiter.tag == first.tag));
        let others: Vec<WakeRef> = others.map(|waiter| waiter.wake).collect();
        let mut woken: Vec<WakeRef> = std::iter::once(first.wake).chain(others).collect();
        let last = woken.pop();
        woken.into_iter().for_each(|wake| self.wake(wake, cause));
        last.and_then(|wake| self.wake_for_message(wake, cause))
    }

    // --- arriving -----------------------------------------------------------------------------------------------------

    /// A message's instant has come. The task that became ready by it comes back: it isn't among the ready ones yet.
    #[inline]
    pub(crate) fn deliver(&mut self, index: u32) -> Option<TaskRef> {
        let network = &mut self.network;
        let message = &network.messages[index as usize];
        if message.kind == Kind::Segment {
            return self.deliver_segment(index);
        }
        let Flow { id, from, to, socket, .. } = network.flows[message.flow as usize];
        let (to_port, loopback) = (message.to_port, message.loopback);
        // An open socket's node is up: a crash closes its node's sockets.
        let is_bound_there = |socket: &Socket| {
            let is_that = socket.is_open() && socket.node == to.0 && socket.port == to_port && socket.takes(loopback);
            // Of who hears from one peer alone more is to be looked at.
            is_that && !socket.is_connected
        };
        let slot = match network.sockets.get(socket as usize) {
            Some(socket_there) if is_bound_there(socket_there) => socket,
            _ => self.look_up_socket(index, to, to_port),
        };
        let network = &mut self.network;
        if slot == NONE || network.stopped_or_held(from, to) {
            self.not_delivered(index, from, to);
            return None;
        }
        network.counts.delivered += 1;
        let message = &mut network.messages[index as usize];
        if message.flipped != 0 {
            message.payload.flip(u64::from(message.flipped) - 1);
            message.flipped = 0;
        }
        let (number, copy, tag) = (u64::from(message.number), message.copy, message.tag);
        let place = Place { at_ns: self.now_ns, node: to, task: TaskId::NONE };
        self.journal.deliver(place, (id, number, copy));
        let cause = id.0 ^ number.wrapping_mul(0x9E37_79B9_7F4A_7C15);
        let socket = &mut network.sockets[slot as usize];
        match message.kind {
            Kind::Datagram | Kind::Call => {
                socket.arrive(index, tag, &mut network.messages);
                let waiter = socket.take_waiter(|waiter| waiter.tag == tag)?;
                if waiter.id.get() & ONE_OF_ALL != 0 && socket.first_waiter.is_some() {
                    return self.wake_all(slot, waiter, cause);
                }
                self.wake_for_message(waiter.wake, cause)
            }
            Kind::Answer | Kind::Refusal => {
                socket.heard_from = message.flow;
                let caller = message.caller;
                self.end_call(caller, index, cause)
            }
            Kind::Segment => unreachable!("it was delivered otherwise"),
        }
    }

    /// Ends a partition or a hold. What was held arrives now. Whether there was that one.
    pub(crate) fn end_cut(&mut self, id: u64) -> bool {
        let obstacles = &mut self.network.obstacles;
        let before = obstacles.len();
        obstacles.retain(|obstacle| obstacle.id != id);
        let was_there = obstacles.len() < before;
        self.network.is_hindered = self.network.has_queues || !self.network.obstacles.is_empty();
        self.release();
        was_there
    }

    /// What is held no more arrives now.
    pub(crate) fn release(&mut self) {
        for index in self.network.take_released() {
            self.name_held_again(index);
            self.launch(index, 0);
        }
        self.release_stopped();
    }

    /// A message comes again: it is ordered anew, under another name.
    pub(crate) fn name_held_again(&mut self, index: u32) {
        let message = &mut self.network.messages[index as usize];
        // The last one stands for credits, of which each comes once.
        message.held = message.held.saturating_add(1).min(u8::MAX - 1);
        let (flow, held) = (self.network.flows[message.flow as usize], message.held);
        let role = self.network.role_of(index);
        let Flow { id, from, to, .. } = flow;
        self.journal.name_flow(held_flow(id, held), || FlowInfo { from, to, role, operation: None });
    }

    /// The socket that is bound to a port of a node, which becomes the known one of the message's flow; or none.
    #[cold]
    fn look_up_socket(&mut self, index: u32, to: NodeId, to_port: u16) -> u32 {
        let node = &self.nodes[to.index()];
        let found = node.ports.iter().find(|(port, _)| *port == to_port && node.up);
        let slot = found.map_or(NONE, |&(_, slot)| slot);
        let Message { flow, loopback, .. } = self.network.messages[index as usize];
        let takes =
            self.network.sockets.get(slot as usize).is_some_and(|socket| {
                socket.takes(loopback) && (!socket.is_connected || self.is_from_peer(slot, index))
            });
        let slot = if takes { slot } else { NONE };
        self.network.flows[flow as usize].socket = slot;
        slot
    }

    #[cold]
    pub(crate) fn not_delivered(&mut self, index: u32, from: NodeId, to: NodeId) {
        if self.network.meets_obstacle(from, to, true) {
            self.network.held.push(index);
            self.tell_held(index, to);
            return;
        }
        let reason = if self.network.stopped(from, to) {
            LossReason::PartitionOnArrival
        } else if !self.nodes[to.index()].up {
            LossReason::NodeDown
        } else {
            LossReason::NoListener
        };
        let call = self.arrived_call(index);
        let is_call = self.network.messages[index as usize].kind == Kind::Call;
        self.lose(index, to, reason);
        if is_call && reason == LossReason::NoListener {
            // The machine is up and says that nobody listens. That answer travels like any other.
            self.reply(call, Kind::Refusal, to, &[]);
        }
    }

    // --- calls --------------------------------------------------------------------------------------------------------

    /// An outstanding call is the timer that ends it.
    pub(crate) fn begin_call(&mut self, tag: u64, method: &'static str) -> TimerRef {
        let call = self.new_timer();
        if self.wants_methods {
            self.network.methods.insert(tag, method);
            if self.journal.wants_names()
                && self.is_live()
                && self.nodes.get(self.current.node.index()).is_some_and(|node| node.client)
            {
                self.journal.client_calls(call.number(), self.now_ns);
            }
        }
        call
    }

    /// The reply, if it has come.
    #[inline]
    pub(crate) fn receive_reply(&mut self, call: TimerRef) -> Option<Reply> {
        let index = self.take_reply(call)?;
        let message = &mut self.network.messages[index as usize];
        let reply = match message.kind {
            Kind::Refusal => Reply::Refused,
            _ => Reply::Answer(std::mem::take(&mut message.payload)),
        };
        self.network.free_message(index);
        Some(reply)
    }

    fn end_call(&mut self, call: TimerRef, index: u32, cause: u64) -> Option<TaskRef> {
        match self.put_reply(call, index) {
            Ok(wake) => {
                if self.journal.wants_names() && self.network.messages[index as usize].kind == Kind::Answer {
                    // Of a call that is no client's nobody knows the number.
                    self.journal.client_is_answered(call.number(), self.now_ns);
                }
                self.wake_for_message(wake, cause)
            }
            Err(()) => {
                self.network.free_message(index);
                None
            }
        }
    }

    /// Everything that is still under way when the run has ended.
    pub(crate) fn account_for_the_rest(&mut self) {
        let (mut messages, acts) = self.agenda.drain();
        messages.append(&mut self.network.held);
        messages.extend(self.network.streams.waiting_segments());
        messages.extend(std::mem::take(&mut self.network.rules_on_messages.held).iter().map(|held| held.message));
        messages.extend(self.network.queues.values_mut().flat_map(SendQueues::take_all));
        let unreached = acts.iter().filter_map(|&index| self.script.acts[index as usize].fault());
        let unreached = unreached.map(|fault| UnreachedFault { fault: fault.to_string(), why: Unreached::Ended });
        self.unreached_faults.extend(unreached);
        let not_passed = self.crash_points.iter().filter(|crash_point| !crash_point.was_passed);
        let unreached = not_passed.map(|crash_point| crash_point.sentence.clone());
        self.unreached_faults.extend(unreached.map(|fault| UnreachedFault { fault, why: Unreached::Ended }));
        self.unreached_faults.extend(self.rules_that_met_nothing());
        self.unreached_faults.extend(self.knobs.unread());
        for index in messages {
            if self.is_credit(index) {
                continue;
            }
            let message = &self.network.messages[index as usize];
            let (number, copy) = (u64::from(message.number), message.copy);
            let Flow { id, to, .. } = self.network.flows[message.flow as usize];
            self.network.counts.in_flight += 1;
            self.emit_on(to, EventKind::InFlight { flow: id, number, copy });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::time::Duration;

    /// Weather that comes again and again takes no more memory than the first time, and each time ends by itself.
    #[test]
    fn weather_that_comes_again_is_one_rule() {
        let links = vec![LinkRule { loss: Some(Ratio::ONE), ..LinkRule::default() }];
        let mut network = Network::new(LinkRule::default(), links, Vec::new(), None);
        let slow = |ms| LinkRule { latency: Some(Latency::fixed(Duration::from_millis(ms))), ..LinkRule::default() };
        for round in 0..1_000 {
            let (first, second) = (network.start_weather(slow(1), &[]), network.start_weather(slow(2), &[]));
            let again = network.start_weather(slow(1), &[]);
            assert!(network.end_weather(first, &[]) && !network.end_weather(first, &[]));
            assert_eq!(network.changed.len(), 2, "round {round}");
            assert!(network.end_weather(second, &[]) && network.end_weather(again, &[]));
        }
        assert_eq!((network.rules.len(), network.tables.len(), network.changed.len()), (4, 4, 0));
    }

    proptest! {
        /// Mail of each tag is received in the order of its arrival, whatever else waits, and by several waiters too.
        #[test]
        fn mail_of_each_tag_comes_in_order(steps in proptest::collection::vec((any::<bool>(), 0u64..4), 0..300)) {
            let mut messages: Vec<Message> = Vec::new();
            let mut socket = Socket::default();
            let mut expected: BTreeMap<u64, VecDeque<u32>> = BTreeMap::new();
            for (step, &(arrives, tag)) in steps.iter().enumerate() {
                // Now and then somebody waits behind somebody else.
                if step % 50 == 20 {
                    let task = TaskRef { slot: 0, generation: 0 };
                    socket.add_waiter(NonZeroU64::MIN, 7, WakeRef::Task(task));
                    socket.add_waiter(NonZeroU64::MAX, 8, WakeRef::Task(task));
                } else if step % 50 == 40 {
                    prop_assert!(socket.take_waiter(|waiter| waiter.tag == 8).is_some());
                    prop_assert!(socket.take_waiter(|waiter| waiter.tag == 7).is_some());
                    prop_assert!(socket.take_waiter(|_| true).is_none());
                }
                if arrives {
                    let index = messages.len() as u32;
                    messages.push(Message { tag, ..Message::default() });
                    socket.arrive(index, tag, &mut messages);
                    expected.entry(tag).or_default().push_back(index);
                } else {
                    let next = expected.get_mut(&tag).and_then(VecDeque::pop_front);
                    prop_assert_eq!(socket.take_arrived(tag, &messages), next);
                }
                for tag in 0..4 {
                    prop_assert_eq!(socket.has_arrived(tag, &messages), expected.get(&tag).is_some_and(|of| !of.is_empty()));
                }
            }
            let mut left = socket.take_all_arrived(&messages);
            left.sort_unstable();
            let mut all: Vec<u32> = expected.into_values().flatten().collect();
            all.sort_unstable();
            prop_assert_eq!(left, all);
            prop_assert_eq!(socket.take_arrived(0, &messages), None);
        }
    }
}
