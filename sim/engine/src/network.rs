//! Flows, messages, sockets, partitions: what the network is while a run goes on.
//!
//! A [`Flow`] is the only state that a message touches besides itself: it holds its address, its count and a reference to
//! the weather of its link. Weathers are shared, so ten thousand links with the same settings cost ten thousand small
//! records and one table.

use std::collections::VecDeque;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};

use hashbrown::HashTable;
use smallvec::SmallVec;
use squall_trace::ratio::Threshold;
use squall_trace::target::MessageCounts;
use squall_trace::{EventKind, FlowId, FlowInfo, FlowRole, LossReason, NodeId, Site, SiteKind, TaskId};
use xxhash_rust::xxh3::xxh3_64;

use crate::agenda::{Due, Now, Waiting};
use crate::kernel::{Kernel, Node, WakeRef, short_type_name};
use crate::latency::{InverseTable, Latency};
use crate::world::{LinkRule, matches};

/// A message's bytes. Small ones lie inside the message.
pub(crate) type Payload = SmallVec<[u8; 32]>;

/// How long a message from a node to itself takes. It has no weather and no decisions but its order.
const LOOPBACK_NS: u64 = 10_000;

struct Weather {
    latency: Arc<InverseTable>,
    loss: Threshold,
    duplicate: Threshold,
    /// Which rules it was made of, to find it again.
    made_of: [usize; 3],
}

/// See the module.
#[derive(Clone, Copy, Debug)]
struct Flow {
    id: FlowId,
    count: u64,
    from: NodeId,
    to: NodeId,
    weather: u32,
}

/// What a message is, beyond its bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Body {
    Datagram,
    /// Wants an answer.
    Call {
        caller: CallRef,
        method: &'static str,
    },
    Answer {
        caller: CallRef,
    },
    /// Nobody listens where a call went.
    Refusal {
        caller: CallRef,
    },
}

#[derive(Debug)]
struct Message {
    flow: u32,
    number: u64,
    copy: u8,
    from_port: u16,
    to_port: u16,
    tag: u64,
    body: Body,
    payload: Payload,
}

/// A message that waits in a socket.
#[derive(Debug)]
pub(crate) struct Arrived {
    pub tag: u64,
    pub from: SocketAddr,
    pub payload: Payload,
    pub call: Option<ArrivedCall>,
}

/// What is needed to answer a call.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ArrivedCall {
    pub caller: CallRef,
    pub method: &'static str,
    /// The call's own address.
    pub flow: FlowId,
    pub number: u64,
    pub copy: u8,
}

impl ArrivedCall {
    /// The spawn path of the task that serves this call: made of the call's address, not of the order in which calls
    /// arrive.
    pub(crate) fn serving_task(&self) -> TaskId {
        let number = self.number.to_le_bytes();
        TaskId(squall_trace::id::hash_parts(&[b"serving", &self.flow.0.to_le_bytes(), &number, &[self.copy]]))
    }

    /// The flow of its answers. The duplicate's answer has a flow of its own: no two messages share an address.
    fn answer_flow(&self, what: &[u8]) -> FlowId {
        FlowId(squall_trace::id::hash_parts(&[what, &self.flow.0.to_le_bytes(), &[self.copy]]))
    }
}

#[derive(Debug)]
struct Waiter {
    id: u64,
    tag: u64,
    wake: WakeRef,
}

#[derive(Debug, Default)]
struct Socket {
    generation: u32,
    open: bool,
    node: u32,
    port: u16,
    arrived: VecDeque<Arrived>,
    waiters: VecDeque<Waiter>,
}

/// A socket, by slot and generation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SocketRef {
    pub slot: u32,
    pub generation: u32,
}

/// An outstanding call, by slot and generation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct CallRef {
    slot: u32,
    generation: u32,
}

/// What came back.
#[derive(Debug)]
pub(crate) enum Reply {
    Answer(Payload),
    Refused,
}

#[derive(Debug, Default)]
struct PendingCall {
    generation: u32,
    wake: Option<WakeRef>,
    reply: Option<Reply>,
}

/// Which nodes can't reach which.
#[derive(Clone, Debug)]
pub(crate) struct Partition {
    /// By node: 0 for not concerned, else the number of its group.
    pub group_of: Vec<u16>,
    /// Only messages from group 1 to group 2 are stopped.
    pub one_way: bool,
}

impl Partition {
    fn stops(&self, from: NodeId, to: NodeId) -> bool {
        let group = |node: NodeId| self.group_of.get(node.index()).copied().unwrap_or(0);
        let (from, to) = (group(from), group(to));
        if self.one_way { from == 1 && to == 2 } else { from != 0 && to != 0 && from != to }
    }
}

/// See the module.
pub(crate) struct Network {
    /// The default first.
    rules: Vec<LinkRule>,
    tables: Vec<Option<Arc<InverseTable>>>,
    weathers: Vec<Weather>,
    flows: Vec<Flow>,
    flow_table: HashTable<u32>,
    messages: Vec<Message>,
    free_messages: Vec<u32>,
    sockets: Vec<Socket>,
    free_sockets: Vec<u32>,
    calls: Vec<PendingCall>,
    free_calls: Vec<u32>,
    partitions: Vec<(u64, Partition)>,
    partitions_started: u64,
    addresses: std::collections::BTreeMap<IpAddr, NodeId>,
    waiters: u64,
    pub counts: MessageCounts,
}

/// The address of the node at `index`, unless it asks for another: 10.0.0.1 and on.
pub(crate) fn default_address(index: usize) -> IpAddr {
    let number = index as u32 + 1;
    IpAddr::V4(Ipv4Addr::new(10, (number >> 16) as u8, (number >> 8) as u8, number as u8))
}

/// Compiled distributions, by what they were made of: a table costs up to half a millisecond, a run far less. Being a pure
/// function of its key, an entry is the same whoever made it.
static TABLES: Mutex<Vec<(Latency, Arc<InverseTable>)>> = Mutex::new(Vec::new());

fn compiled(latency: &Latency) -> Arc<InverseTable> {
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
    pub(crate) fn new(default: LinkRule, links: Vec<LinkRule>) -> Network {
        let mut rules = vec![default];
        rules.extend(links);
        let tables = rules.iter().map(|rule| rule.latency.as_ref().map(compiled)).collect();
        Network {
            rules,
            tables,
            weathers: Vec::new(),
            flows: Vec::new(),
            flow_table: HashTable::new(),
            messages: Vec::new(),
            free_messages: Vec::new(),
            sockets: Vec::new(),
            free_sockets: Vec::new(),
            calls: Vec::new(),
            free_calls: Vec::new(),
            partitions: Vec::new(),
            partitions_started: 0,
            addresses: std::collections::BTreeMap::new(),
            waiters: 0,
            counts: MessageCounts::default(),
        }
    }

    /// Makes an address known that isn't the default one of its node.
    pub(crate) fn name_address(&mut self, address: IpAddr, node: NodeId) {
        let previous = self.addresses.insert(address, node);
        assert!(previous.is_none(), "two nodes have the address {address}");
    }

    fn node_at(&self, address: IpAddr, nodes: &[Node]) -> Option<NodeId> {
        if let IpAddr::V4(v4) = address {
            let [a, b, c, d] = v4.octets();
            let index = (u32::from(b) << 16 | u32::from(c) << 8 | u32::from(d)).wrapping_sub(1) as usize;
            if a == 10 && nodes.get(index).is_some_and(|node| node.address == address) {
                return Some(NodeId(index as u32));
            }
        }
        self.addresses.get(&address).copied()
    }

    // --- flows --------------------------------------------------------------------------------------------------------

    fn find_flow(&self, id: FlowId) -> Option<u32> {
        self.flow_table.find(id.0, |&index| self.flows[index as usize].id == id).copied()
    }

    fn add_flow(&mut self, id: FlowId, from: NodeId, to: NodeId, nodes: &[Node]) -> u32 {
        let weather = self.weather_between(from, to, nodes);
        let index = self.flows.len() as u32;
        self.flows.push(Flow { id, count: 0, from, to, weather });
        let flows = &self.flows;
        self.flow_table.insert_unique(id.0, index, |&index| flows[index as usize].id.0);
        index
    }

    fn weather_between(&mut self, from: NodeId, to: NodeId, nodes: &[Node]) -> u32 {
        let (from, to) = (&nodes[from.index()].name, &nodes[to.index()].name);
        let mut made_of = [0usize; 3];
        for (index, rule) in self.rules.iter().enumerate().skip(1) {
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
            }
        }
        if let Some(index) = self.weathers.iter().position(|weather| weather.made_of == made_of) {
            return index as u32;
        }
        let share = |value: Option<squall_trace::Ratio>| value.expect("the rule was chosen for it").threshold();
        self.weathers.push(Weather {
            latency: Arc::clone(self.tables[made_of[0]].as_ref().expect("the rule was chosen for it")),
            loss: share(self.rules[made_of[1]].loss),
            duplicate: share(self.rules[made_of[2]].duplicate),
            made_of,
        });
        (self.weathers.len() - 1) as u32
    }

    /// The address of a message's place in the order of its instant.
    #[inline]
    pub(crate) fn order_of(&self, message: u32) -> (FlowId, u64) {
        let message = &self.messages[message as usize];
        // A duplicate is ordered apart from the message itself: odd and even numbers.
        (self.flows[message.flow as usize].id, message.number << 1 | u64::from(message.copy))
    }

    /// What tells a message from any other that may come to its address in another run: who to whom, and its bytes.
    pub(crate) fn fingerprint_of(&self, message: u32, nodes: &[Node]) -> u64 {
        let message = &self.messages[message as usize];
        let flow = &self.flows[message.flow as usize];
        fingerprint(&nodes[flow.from.index()], &nodes[flow.to.index()], message.tag, &message.payload)
    }

    /// What tells a ready entry from any other that may come to its address in another run.
    #[inline]
    pub(crate) fn fingerprint_of_ready(&self, waiting: &Waiting, nodes: &[Node]) -> u64 {
        match waiting.now {
            Now::Delivery { message } => self.fingerprint_of(message, nodes),
            Now::Poll { .. } => waiting.cause,
        }
    }

    // --- partitions ---------------------------------------------------------------------------------------------------

    #[inline]
    fn stopped(&self, from: NodeId, to: NodeId) -> bool {
        !self.partitions.is_empty() && self.partitions.iter().any(|(_, partition)| partition.stops(from, to))
    }

    pub(crate) fn start_partition(&mut self, partition: Partition) -> u64 {
        self.partitions_started += 1;
        self.partitions.push((self.partitions_started, partition));
        self.partitions_started
    }

    pub(crate) fn end_partition(&mut self, id: u64) -> bool {
        let before = self.partitions.len();
        self.partitions.retain(|(other, _)| *other != id);
        self.partitions.len() < before
    }

    /// Ends all partitions. Whether there was one.
    pub(crate) fn heal(&mut self) -> bool {
        let any = !self.partitions.is_empty();
        self.partitions.clear();
        any
    }

    // --- sockets ------------------------------------------------------------------------------------------------------

    fn socket(&mut self, socket: SocketRef) -> Option<&mut Socket> {
        self.sockets.get_mut(socket.slot as usize).filter(|entry| entry.generation == socket.generation && entry.open)
    }

    fn free_message(&mut self, index: u32) -> (Payload, Body) {
        let message = &mut self.messages[index as usize];
        self.free_messages.push(index);
        (std::mem::take(&mut message.payload), message.body)
    }
}

fn fingerprint(from: &Node, to: &Node, tag: u64, payload: &[u8]) -> u64 {
    let mut bytes = [0u8; 32];
    bytes[..8].copy_from_slice(&from.name_hash.to_le_bytes());
    bytes[8..16].copy_from_slice(&to.name_hash.to_le_bytes());
    bytes[16..24].copy_from_slice(&tag.to_le_bytes());
    bytes[24..].copy_from_slice(&xxh3_64(payload).to_le_bytes());
    xxh3_64(&bytes)
}

/// A message to be sent.
pub(crate) struct Outgoing {
    pub from_port: u16,
    pub to_port: u16,
    pub tag: u64,
    pub body: Body,
    pub payload: Payload,
}

impl Kernel {
    /// The node that has a name, for addresses by name.
    pub(crate) fn node_by_name(&self, name: &str) -> Option<NodeId> {
        self.nodes.iter().position(|node| &*node.name == name && !node.control).map(|index| NodeId(index as u32))
    }

    /// The node that has an address; unspecified and loopback ones are the running node's own.
    fn node_by_address(&self, address: IpAddr) -> Option<NodeId> {
        if address.is_loopback() || address.is_unspecified() {
            return Some(self.current.node);
        }
        self.network.node_at(address, &self.nodes)
    }

    /// Binds a socket on the running node. Port 0 takes a free one.
    pub(crate) fn bind(&mut self, address: SocketAddr) -> io::Result<(SocketRef, SocketAddr)> {
        if !self.is_live() {
            return Err(io::Error::new(io::ErrorKind::NotConnected, "the node has crashed or the run has ended"));
        }
        let id = self.current.node;
        if self.nodes[id.index()].control {
            return Err(io::Error::new(io::ErrorKind::Unsupported, "a control task is on no network"));
        }
        if self.node_by_address(address.ip()) != Some(id) {
            return Err(io::Error::new(
                io::ErrorKind::AddrNotAvailable,
                format!("{} isn't an address of node {}", address.ip(), self.nodes[id.index()].name),
            ));
        }
        let port = match address.port() {
            0 => self.ephemeral_port(id)?,
            port => port,
        };
        let node = &mut self.nodes[id.index()];
        if node.ports.iter().any(|(bound, _)| *bound == port) {
            return Err(io::Error::new(
                io::ErrorKind::AddrInUse,
                format!("port {port} of node {} is bound already", node.name),
            ));
        }
        let network = &mut self.network;
        let slot = match network.free_sockets.pop() {
            Some(slot) => slot,
            None => {
                network.sockets.push(Socket::default());
                (network.sockets.len() - 1) as u32
            }
        };
        let socket = &mut network.sockets[slot as usize];
        socket.open = true;
        socket.node = id.0;
        socket.port = port;
        node.ports.push((port, slot));
        let reference = SocketRef { slot, generation: socket.generation };
        Ok((reference, SocketAddr::new(node.address, port)))
    }

    /// A free port, chosen by who asks and for which time, not by who asked before: another socket elsewhere on the node
    /// leaves it as it is.
    fn ephemeral_port(&mut self, id: NodeId) -> io::Result<u16> {
        const FIRST: u16 = 49_152;
        const COUNT: u16 = 16_384;
        let word = self.next_port_word();
        let node = &self.nodes[id.index()];
        (0..COUNT)
            .map(|step| FIRST + ((word % u64::from(COUNT)) as u16 + step) % COUNT)
            .find(|port| node.ports.iter().all(|(bound, _)| bound != port))
            .ok_or_else(|| io::Error::new(io::ErrorKind::AddrInUse, "no port is free"))
    }

    /// Closes a socket: what waits in it is gone, who waits for it is woken.
    pub(crate) fn close_socket(&mut self, slot: u32) {
        let socket = &mut self.network.sockets[slot as usize];
        if !socket.open {
            return;
        }
        socket.open = false;
        socket.generation = socket.generation.wrapping_add(1);
        socket.arrived.clear();
        let waiters = std::mem::take(&mut socket.waiters);
        let (node, port) = (socket.node as usize, socket.port);
        self.nodes[node].ports.retain(|(bound, _)| *bound != port);
        self.network.free_sockets.push(slot);
        for waiter in waiters {
            self.wake(waiter.wake, 3);
        }
    }

    /// Closes a socket by reference, if it still is that one.
    pub(crate) fn close(&mut self, socket: SocketRef) {
        if self.network.socket(socket).is_some() {
            self.close_socket(socket.slot);
        }
    }

    /// Takes the first message with that tag.
    ///
    /// # Errors
    /// If the socket is gone.
    pub(crate) fn try_receive(&mut self, socket: SocketRef, tag: u64) -> io::Result<Option<Arrived>> {
        let Some(entry) = self.network.socket(socket) else {
            return Err(io::Error::new(io::ErrorKind::NotConnected, "the socket is closed"));
        };
        if entry.arrived.front().is_some_and(|arrived| arrived.tag == tag) {
            return Ok(entry.arrived.pop_front());
        }
        let at = entry.arrived.iter().position(|arrived| arrived.tag == tag);
        Ok(at.and_then(|at| entry.arrived.remove(at)))
    }

    /// Waits for a message with that tag. The number is for [`Kernel::stop_waiting`].
    pub(crate) fn wait_for(&mut self, socket: SocketRef, tag: u64, wake: WakeRef) -> u64 {
        self.network.waiters += 1;
        let id = self.network.waiters;
        if let Some(entry) = self.network.socket(socket) {
            entry.waiters.push_back(Waiter { id, tag, wake });
        }
        id
    }

    /// Waits no more. A wake that was meant for the one that stops goes to the next that waits for the tag.
    pub(crate) fn stop_waiting(&mut self, socket: SocketRef, tag: u64, id: u64) {
        let Some(entry) = self.network.socket(socket) else { return };
        if let Some(at) = entry.waiters.iter().position(|waiter| waiter.id == id) {
            let waiter = entry.waiters.remove(at);
            self.forget(waiter.map(|waiter| waiter.wake));
            return;
        }
        if entry.arrived.iter().any(|arrived| arrived.tag == tag)
            && let Some(at) = entry.waiters.iter().position(|waiter| waiter.tag == tag)
            && let Some(waiter) = entry.waiters.remove(at)
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
    pub(crate) fn send(&mut self, to: SocketAddr, outgoing: Outgoing) -> io::Result<()> {
        if !self.is_live() {
            return Ok(());
        }
        let Some(to_node) = self.node_by_address(to.ip()) else {
            return Err(io::Error::new(io::ErrorKind::HostUnreachable, format!("no node has the address {}", to.ip())));
        };
        let from = self.current.node;
        let mut key = [0u8; 32];
        key[..8].copy_from_slice(&self.current.task.0.to_le_bytes());
        key[8..16].copy_from_slice(&self.nodes[to_node.index()].name_hash.to_le_bytes());
        key[16..24].copy_from_slice(&outgoing.tag.to_le_bytes());
        key[24..26].copy_from_slice(&to.port().to_le_bytes());
        key[26] = matches!(outgoing.body, Body::Call { .. }) as u8;
        let id = FlowId(xxh3_64(&key));
        let flow = match self.network.find_flow(id) {
            Some(flow) => flow,
            None => self.new_flow(id, from, to_node, &outgoing),
        };
        let entry = &mut self.network.flows[flow as usize];
        entry.count += 1;
        let number = entry.count;
        self.transmit(flow, number, outgoing);
        Ok(())
    }

    #[inline(never)]
    fn new_flow(&mut self, id: FlowId, from: NodeId, to: NodeId, outgoing: &Outgoing) -> u32 {
        self.journal.name_flow(id, || {
            let role = match outgoing.body {
                Body::Call { method, .. } => FlowRole::Call { method: short_type_name(method) },
                _ => FlowRole::Datagram { tag: outgoing.tag },
            };
            FlowInfo { from, to, role }
        });
        self.network.add_flow(id, from, to, &self.nodes)
    }

    /// Answers a call: to the address of the call, as the answer with its number.
    pub(crate) fn answer(&mut self, call: ArrivedCall, to: SocketAddr, from_port: u16, payload: Payload) {
        if !self.is_live() {
            return;
        }
        let Some(to_node) = self.node_by_address(to.ip()) else { return };
        let from = self.current.node;
        let outgoing =
            Outgoing { from_port, to_port: to.port(), tag: 0, body: Body::Answer { caller: call.caller }, payload };
        self.reply(call, b"answer", from, to_node, outgoing);
    }

    fn reply(&mut self, call: ArrivedCall, what: &[u8], from: NodeId, to: NodeId, outgoing: Outgoing) {
        let id = call.answer_flow(what);
        let flow = match self.network.find_flow(id) {
            Some(flow) => flow,
            None => {
                self.journal.name_flow(id, || {
                    let method = short_type_name(call.method);
                    let role = match outgoing.body {
                        Body::Refusal { .. } => FlowRole::Refusal { method },
                        _ => FlowRole::Answer { method },
                    };
                    FlowInfo { from, to, role }
                });
                self.network.add_flow(id, from, to, &self.nodes)
            }
        };
        self.transmit(flow, call.number, outgoing);
    }

    /// Hands a message to the network, which decides its fate.
    fn transmit(&mut self, flow_index: u32, number: u64, outgoing: Outgoing) {
        let flow = self.network.flows[flow_index as usize];
        let Flow { id, from, to, .. } = flow;
        self.network.counts.sent += 1;
        self.journal.emit(
            self.now_ns,
            from,
            self.current.task,
            EventKind::Send {
                flow: id,
                number,
                from_port: outgoing.from_port,
                to,
                to_port: outgoing.to_port,
                tag: outgoing.tag,
                payload: std::borrow::Cow::Borrowed(&outgoing.payload),
            },
        );
        if from == to {
            self.launch(flow_index, number, 0, LOOPBACK_NS, outgoing);
            return;
        }
        if self.network.stopped(from, to) {
            self.lose(id, number, 0, from, LossReason::PartitionOnSending);
            return;
        }
        let weather = &self.network.weathers[flow.weather as usize];
        let key = self.decisions.key(self.now_ns);
        let fate = key.fate_words(id, number);
        let latency_ns = weather.latency.quantile_ns(fate.latency);
        let lost = weather.loss.hit(fate.loss);
        let copy_ns = (!weather.duplicate.is_never())
            .then(|| key.duplicate_words(id, number))
            .filter(|words| weather.duplicate.hit(words.whether))
            .map_or(0, |words| weather.latency.quantile_ns(words.latency).saturating_add(1));
        let (latency_ns, lost, copy_ns) = if self.decisions.is_plain() {
            (latency_ns, lost, copy_ns)
        } else {
            let median_ns = weather.latency.median_ns();
            let nodes = &self.nodes;
            let print = || fingerprint(&nodes[from.index()], &nodes[to.index()], outgoing.tag, &outgoing.payload);
            let now_ns = self.now_ns;
            let site = |kind| Site { kind, flow: id, number };
            let decisions = &mut self.decisions;
            let lost = decisions.decide(site(SiteKind::Loss), now_ns, 0, u64::from(lost), print) != 0;
            if lost {
                // A lost message has no latency: nothing is decided that can't be seen.
                (median_ns, true, decisions.decide(site(SiteKind::Duplicate), now_ns, 0, copy_ns, print))
            } else {
                let latency_ns = decisions.decide(site(SiteKind::Latency), now_ns, median_ns, latency_ns, print);
                (latency_ns, false, decisions.decide(site(SiteKind::Duplicate), now_ns, 0, copy_ns, print))
            }
        };
        if copy_ns > 0 {
            self.network.counts.duplicated += 1;
            self.journal.emit(self.now_ns, from, self.current.task, EventKind::Duplicate { flow: id, number });
            let copy = Outgoing { payload: outgoing.payload.clone(), ..outgoing };
            self.launch(flow_index, number, 1, copy_ns - 1, copy);
        }
        if lost {
            self.lose(id, number, 0, from, LossReason::Loss);
        } else {
            self.launch(flow_index, number, 0, latency_ns, outgoing);
        }
    }

    fn launch(&mut self, flow: u32, number: u64, copy: u8, latency_ns: u64, outgoing: Outgoing) {
        let Outgoing { from_port, to_port, tag, body, payload } = outgoing;
        let message = Message { flow, number, copy, from_port, to_port, tag, body, payload };
        let network = &mut self.network;
        let slot = match network.free_messages.pop() {
            Some(slot) => {
                network.messages[slot as usize] = message;
                slot
            }
            None => {
                network.messages.push(message);
                (network.messages.len() - 1) as u32
            }
        };
        self.agenda.schedule(self.now_ns.saturating_add(latency_ns), Due::Delivery { message: slot });
    }

    fn lose(&mut self, flow: FlowId, number: u64, copy: u8, node: NodeId, reason: LossReason) {
        self.network.counts.lost += 1;
        self.emit_on(node, EventKind::Lose { flow, number, copy, reason });
    }

    // --- arriving -----------------------------------------------------------------------------------------------------

    /// A message's instant has come.
    pub(crate) fn deliver(&mut self, index: u32) {
        let message = &self.network.messages[index as usize];
        let Flow { id, from, to, .. } = self.network.flows[message.flow as usize];
        let (number, copy, tag) = (message.number, message.copy, message.tag);
        let (from_port, to_port) = (message.from_port, message.to_port);
        let (payload, body) = self.network.free_message(index);
        let node = &self.nodes[to.index()];
        let from_address = SocketAddr::new(self.nodes[from.index()].address, from_port);
        let socket = node.ports.iter().find(|(port, _)| *port == to_port).map(|&(_, socket)| socket);
        let reason = if self.network.stopped(from, to) {
            Some(LossReason::PartitionOnArrival)
        } else if !node.up {
            Some(LossReason::NodeDown)
        } else if socket.is_none() {
            Some(LossReason::NoListener)
        } else {
            None
        };
        let arrived_call = |caller, method| ArrivedCall { caller, method, flow: id, number, copy };
        let (Some(socket), None) = (socket, reason) else {
            let reason = reason.unwrap_or(LossReason::NoListener);
            self.lose(id, number, copy, to, reason);
            if let (Body::Call { caller, method }, LossReason::NoListener) = (body, reason) {
                // The machine is up and says that nobody listens. That answer travels like any other.
                let outgoing = Outgoing {
                    from_port: to_port,
                    to_port: from_port,
                    tag: 0,
                    body: Body::Refusal { caller },
                    payload: Payload::new(),
                };
                self.reply(arrived_call(caller, method), b"refusal", to, from, outgoing);
            }
            return;
        };
        self.network.counts.delivered += 1;
        self.emit_on(to, EventKind::Deliver { flow: id, number, copy });
        let cause = id.0 ^ number.wrapping_mul(0x9E37_79B9_7F4A_7C15);
        match body {
            Body::Datagram => self.hand_over(socket, Arrived { tag, from: from_address, payload, call: None }, cause),
            Body::Call { caller, method } => {
                let call = Some(arrived_call(caller, method));
                self.hand_over(socket, Arrived { tag, from: from_address, payload, call }, cause);
            }
            Body::Answer { caller } => self.end_call(caller, Reply::Answer(payload), cause),
            Body::Refusal { caller } => self.end_call(caller, Reply::Refused, cause),
        }
    }

    #[inline]
    fn hand_over(&mut self, socket: u32, arrived: Arrived, cause: u64) {
        let socket = &mut self.network.sockets[socket as usize];
        let tag = arrived.tag;
        socket.arrived.push_back(arrived);
        if let Some(at) = socket.waiters.iter().position(|waiter| waiter.tag == tag)
            && let Some(waiter) = socket.waiters.remove(at)
        {
            self.wake(waiter.wake, cause);
        }
    }

    // --- calls --------------------------------------------------------------------------------------------------------

    pub(crate) fn begin_call(&mut self) -> CallRef {
        let network = &mut self.network;
        let slot = match network.free_calls.pop() {
            Some(slot) => slot,
            None => {
                network.calls.push(PendingCall::default());
                (network.calls.len() - 1) as u32
            }
        };
        CallRef { slot, generation: network.calls[slot as usize].generation }
    }

    /// The reply, if it has come; else `wake` is told when it does.
    pub(crate) fn poll_call(&mut self, call: CallRef, wake: WakeRef) -> Option<Reply> {
        let entry = &mut self.network.calls[call.slot as usize];
        debug_assert_eq!(entry.generation, call.generation, "a call is polled by its owner only");
        if let Some(reply) = entry.reply.take() {
            self.forget(Some(wake));
            return Some(reply);
        }
        let old = entry.wake.replace(wake);
        self.forget(old);
        None
    }

    /// Nobody waits for the reply any more.
    pub(crate) fn forget_call(&mut self, call: CallRef) {
        let Some(entry) = self.network.calls.get_mut(call.slot as usize) else { return };
        if entry.generation != call.generation {
            return;
        }
        entry.generation = entry.generation.wrapping_add(1);
        entry.reply = None;
        let wake = entry.wake.take();
        self.network.free_calls.push(call.slot);
        self.forget(wake);
    }

    fn end_call(&mut self, call: CallRef, reply: Reply, cause: u64) {
        let entry = &mut self.network.calls[call.slot as usize];
        // A late answer, or the second of two: nobody waits.
        if entry.generation != call.generation || entry.reply.is_some() {
            return;
        }
        entry.reply = Some(reply);
        if let Some(wake) = entry.wake.take() {
            self.wake(wake, cause);
        }
    }

    /// Everything that is still under way when the run has ended.
    pub(crate) fn account_for_the_rest(&mut self) {
        let mut under_way = Vec::new();
        for waiting in self.agenda.drain_ready() {
            let (network, nodes) = (&self.network, &self.nodes);
            self.decisions.record_rank(&waiting, self.now_ns, |waiting| network.fingerprint_of_ready(waiting, nodes));
            if let Now::Delivery { message } = waiting.now {
                under_way.push(message);
            }
        }
        under_way.extend(self.agenda.drain_future_deliveries());
        for index in under_way {
            let message = &self.network.messages[index as usize];
            let (number, copy) = (message.number, message.copy);
            let Flow { id, to, .. } = self.network.flows[message.flow as usize];
            self.network.counts.in_flight += 1;
            self.emit_on(to, EventKind::InFlight { flow: id, number, copy });
        }
    }
}
