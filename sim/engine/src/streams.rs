//! Streams: connections, their segments, and what becomes of both.
//!
//! What one end of a connection sends is a [`Direction`]: a flow of segments, numbered from 1, so that each has an address of its own: its latency,
//! how often it is lost, whether the connection breaks at it. A segment that is lost isn't gone: it is sent again after a while, which doubles each time,
//! as TCP does (RFC 6298), and so arrives late; what was sent behind it waits for it. Each attempt is lost or not by the weather and the rules of its own time,
//! so that a short storm costs a short while. Who sends is told nothing of that: there are no acknowledgements. What is
//! sent into a partition, or to a node that is down, waits for its next attempt after that is over, or until its connection gives up.
//!
//! A connection begins as TCP's does: a request (segment 1 there), an acceptance (segment 1 back), and the segment that ends the handshake (2 there), with which it can be
//! accepted. Each end has a window: so many bytes may be under way or unread. A reader that has read half of it tells so by a credit, which travels as long as the calm
//! way back takes, decides nothing and is no event.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU64;
use std::task::{Poll, Waker};
use std::time::Duration;

use squall_trace::event::Place;
use squall_trace::id::hash_words;
use squall_trace::{EventKind, FlowId, FlowInfo, FlowRole, LossReason, NodeId, Site, SiteKind, Stream, TaskId};
use tokio::io::ReadBuf;

use crate::http2::{Headers, headers_of};
use crate::kernel::{Kernel, TaskRef, WakeRef};
use crate::network::Kind;
use crate::payload::Payload;
use crate::world::duration_ns;

/// How connections behave; see [`World::tcp`](crate::World::tcp). The defaults are nearer to what a simulated minute can show than to what
/// an operating system has, as is said of each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tcp {
    /// So many bytes may be under way or unread, each way. 64 KiB, where Linux begins with as much and goes up to 6 MB.
    pub window_bytes: u64,
    /// A segment is lost: it is sent again after so long, and if it is lost again, after twice as long, and so on. 200 ms, as Linux has it at the least.
    pub retransmission: Duration,
    /// Likewise of a request for a connection. 1 s, as RFC 6298 has it.
    pub connect_retransmission: Duration,
    /// The longest time between two attempts. 5 s, where Linux has 2 minutes.
    pub retransmission_max: Duration,
    /// A request for a connection that isn't answered is given up after so long: `TimedOut`. 30 s, where Linux has 127.
    pub connect_timeout: Duration,
    /// A connection one of whose segments hasn't come through for so long is given up: `TimedOut`. 60 s, where Linux has 15 minutes.
    pub give_up: Duration,
}

impl Default for Tcp {
    fn default() -> Tcp {
        Tcp {
            window_bytes: 65_536,
            retransmission: Duration::from_millis(200),
            connect_retransmission: Duration::from_secs(1),
            retransmission_max: Duration::from_secs(5),
            connect_timeout: Duration::from_secs(30),
            give_up: Duration::from_secs(60),
        }
    }
}

impl Tcp {
    /// How long it waits before each time at which it sends a segment again.
    pub(crate) fn retransmission_waits_ns(&self, what: u64) -> impl Iterator<Item = u64> + use<> {
        let first_ns = duration_ns(match what {
            segment::REQUEST => self.connect_retransmission,
            _ => self.retransmission,
        });
        let longest_ns = duration_ns(self.retransmission_max).max(first_ns);
        std::iter::successors(Some(first_ns), move |wait_ns| Some(wait_ns.saturating_mul(2).min(longest_ns)))
    }

    /// What can't be.
    ///
    /// # Errors
    /// In words: a window without bytes, a time of zero.
    pub fn validate(&self) -> Result<(), String> {
        if self.window_bytes == 0 {
            return Err("a window has at least one byte".to_string());
        }
        let times = [
            ("retransmission", self.retransmission),
            ("connect_retransmission", self.connect_retransmission),
            ("retransmission_max", self.retransmission_max),
            ("connect_timeout", self.connect_timeout),
            ("give_up", self.give_up),
        ];
        match times.iter().find(|(_, time)| time.is_zero()) {
            Some((name, _)) => Err(format!("{name} is longer than nothing")),
            None => Ok(()),
        }
    }
}

/// A segment carries so many bytes at the most.
const SEGMENT_BYTES_MAX: usize = 65_536;

/// What a packet holds on an Ethernet. Who reads less doesn't tell so.
const PACKET_BYTES: u64 = 1_460;

/// What was sent by an end that is gone, or has given up, is lost so often at the most, which is about a minute: else a link that lets nothing through
/// would never come to rest. Linux has 8 (`tcp_orphan_retries`); here it comes through links that lose half of all.
const ATTEMPTS_OF_THE_GONE_MAX: u64 = 16;

/// What a segment is: the tag of its message.
pub(crate) mod segment {
    /// Asks for a connection.
    pub(crate) const REQUEST: u64 = 1;
    /// Accepts it.
    pub(crate) const ACCEPTANCE: u64 = 2;
    /// Ends the handshake.
    pub(crate) const CONFIRMATION: u64 = 3;
    /// Carries bytes.
    pub(crate) const DATA: u64 = 4;
    /// No more bytes come.
    pub(crate) const END: u64 = 5;
    /// The connection is broken.
    pub(crate) const RESET: u64 = 6;
    /// So many bytes were read.
    pub(crate) const CREDIT: u64 = 7;
    /// Carried bytes, and the connection has broken at it: both ends are told.
    pub(crate) const BREAK: u64 = 8;
    /// A reset that came before its turn, and was said again: it waits for nothing any more.
    pub(crate) const RESET_AGAIN: u64 = 9;

    /// Whether it says that the connection is broken.
    pub(crate) fn is_reset(what: u64) -> bool {
        matches!(what, RESET | RESET_AGAIN)
    }
}

/// One end of a connection, by slot and generation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct EndRef {
    slot: u32,
    generation: u32,
}

impl EndRef {
    const NONE: EndRef = EndRef { slot: u32::MAX, generation: 0 };
}

/// A listener, by slot and generation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ListenerRef {
    slot: u32,
    generation: u32,
}

/// A port that a socket keeps, which neither listens nor is connected yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BoundRef {
    /// See [`Streams::first_generation`]: a socket may outlive its run.
    first_generation: u32,
    serial: u64,
    node: NodeId,
    port: u16,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// Has asked, and waits for the acceptance.
    Asking,
    /// Has accepted for that listener, and waits for the end of the handshake.
    Arriving(ListenerRef),
    Open,
}

/// Who asks for what may have to be waited for.
#[derive(Debug)]
pub(crate) enum Asker<'f> {
    /// A future, which waits until it is dropped: under a number of its own, that it has from the first time on.
    Future(&'f mut Option<NonZeroU64>),
    /// Who polls without one. Nobody says when those wait no more, so only the last one is woken, as with tokio.
    Poller,
    /// Who doesn't wait.
    Tries,
}

/// What is waited for.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Awaited {
    /// A connection to accept.
    Connection(ListenerRef),
    /// Something to read.
    Bytes(EndRef),
    /// Room to write.
    Room(EndRef),
}

/// Who waits for something, each once.
#[derive(Debug, Default)]
struct Waiting {
    /// How many futures have had a number here.
    numbers: u64,
    /// By the number, if it is a future, in the order in which they came.
    known: Vec<(Option<NonZeroU64>, WakeRef)>,
}

impl Waiting {
    /// Takes somebody in. What isn't needed comes back: dropping a waker is user code.
    fn add(&mut self, asker: Asker<'_>, wake: WakeRef) -> Option<WakeRef> {
        let number = match asker {
            Asker::Tries => return Some(wake),
            Asker::Poller => None,
            Asker::Future(number) => {
                if number.is_none() {
                    self.numbers += 1;
                    *number = NonZeroU64::new(self.numbers);
                }
                *number
            }
        };
        match self.known.iter_mut().find(|(known, _)| *known == number) {
            // It may have another waker now: a future goes from task to task.
            Some((_, before)) => Some(std::mem::replace(before, wake)),
            None => {
                self.known.push((number, wake));
                None
            }
        }
    }

    /// All who wait are woken.
    fn take(&mut self) -> impl Iterator<Item = WakeRef> {
        self.known.drain(..).map(|(_, wake)| wake)
    }

    /// A future waits no more.
    fn remove(&mut self, number: NonZeroU64) -> Option<WakeRef> {
        let at = self.known.iter().position(|(known, _)| *known == Some(number))?;
        Some(self.known.remove(at).1)
    }
}

/// See the module.
#[derive(Debug)]
struct End {
    /// One more after each closing: odd while it is open.
    generation: u32,
    /// Which of all ends and listeners it is, in the order in which they were made. Its slot may be an older one's.
    serial: u64,
    node: NodeId,
    local: SocketAddr,
    remote: SocketAddr,
    /// Others may be bound to its port, if they say so too.
    shares_port: bool,
    /// What it sends.
    direction: u32,
    stage: Stage,
    /// Of what it has sent, so many bytes aren't known to be read.
    in_window_bytes: u64,
    /// It has said that no more comes.
    has_ended: bool,
    /// The number of the segment that it waits for.
    next: u32,
    /// Segments that came before that one, by number.
    early: BTreeMap<u32, u32>,
    arrived: VecDeque<Payload>,
    /// Of the first of those, so many bytes are read.
    offset: usize,
    unread_bytes: u64,
    /// Bytes that were read since the last credit.
    uncredited_bytes: u64,
    credits: u32,
    /// The other end has said that no more comes, and all before that has come.
    is_finished: bool,
    /// No segment comes or goes any more.
    is_broken: bool,
    /// Why, until somebody has been told.
    error: Option<io::ErrorKind>,
    /// Since when a segment of it hasn't come through.
    stalled_since_ns: Option<u64>,
    readers: Waiting,
    writers: Waiting,
}

impl End {
    fn is_open(&self) -> bool {
        !self.generation.is_multiple_of(2)
    }

    fn is_readable(&self) -> bool {
        self.unread_bytes > 0 || self.is_finished || self.is_broken
    }

    fn is_writable(&self, window_bytes: u64) -> bool {
        self.stage != Stage::Asking && (self.is_broken || self.has_ended || self.in_window_bytes < window_bytes)
    }
}

/// One way of a connection.
#[derive(Clone, Debug)]
struct Direction {
    flow: u32,
    /// The other way.
    back: u32,
    from_end: EndRef,
    to_end: EndRef,
    /// To which of the node's addresses it was asked for.
    to_ip: IpAddr,
    from_port: u16,
    to_port: u16,
    /// When the last of those that are on their way arrives, or has arrived.
    arrived_by_ns: u64,
    /// Without its labels.
    stream: Stream,
    /// By their numbers, what segments carry, where names are wanted.
    labels: BTreeMap<u64, String>,
    /// What was asked for this way on each stream of HTTP/2, where names are wanted: so an answer can be named too.
    requests: BTreeMap<u32, String>,
}

#[derive(Debug)]
struct Listener {
    /// One more after each closing: odd while it is open.
    generation: u32,
    /// As an end's.
    serial: u64,
    node: NodeId,
    address: SocketAddr,
    /// What it accepts shares the port as it does itself.
    shares_port: bool,
    backlog: usize,
    /// Connections that aren't through their handshake.
    arriving: usize,
    accepted: VecDeque<EndRef>,
    acceptors: Waiting,
}

/// A segment that didn't come through at its first attempt, until it does.
#[derive(Clone, Copy, Debug)]
struct Late {
    /// Its first attempt, from which the others are counted.
    since_ns: u64,
    /// How often it was lost, as its weather decides it.
    lost: u64,
    /// How many attempts have failed on leaving: the weather lost them, or rules did.
    failed: u64,
    /// It has been on its way: nothing is decided of it any more.
    is_decided: bool,
    stage: Attempt,
}

/// What becomes of a segment that is late.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Attempt {
    UnderWay,
    /// It is sent again when its time comes.
    Awaited,
    /// Something is in its way. It was the so-manieth.
    Stopped(u32),
}

/// Who has a port, apart from who listens at it.
#[derive(Debug, Default)]
struct Holders {
    /// So many ends of connections.
    ends: u32,
    /// Of those, so many that don't share it.
    ends_alone: u32,
    /// Sockets that are bound, by serial number, and whether they share it.
    bound: Vec<(u64, bool)>,
}

impl Holders {
    fn is_empty(&self) -> bool {
        self.ends == 0 && self.bound.is_empty()
    }
}

/// All connections of a run.
#[derive(Debug, Default)]
pub(crate) struct Streams {
    pub settings: Tcp,
    /// Of every slot, and no other run's.
    first_generation: u32,
    ends: Vec<End>,
    free_ends: Vec<u32>,
    directions: Vec<Direction>,
    listeners: Vec<Listener>,
    free_listeners: Vec<u32>,
    listening: BTreeMap<(NodeId, u16), u32>,
    /// Ports of connections, and of sockets that are bound.
    ports: BTreeMap<(NodeId, u16), Holders>,
    /// By message.
    late: BTreeMap<u32, Late>,
    /// How many have been stopped.
    stopped: u32,
    /// Directions that say no more, as what they had still to say went with its machine, which has crashed just now.
    cut_short: Vec<u32>,
    /// How many ends and listeners were made.
    made: u64,
    /// What is closed while a host drops its tasks, which it does in no order that repeats: with the serial number of what it is about.
    closing: Option<Vec<(u64, Closing)>>,
}

/// What a program is through with.
#[derive(Clone, Copy, Debug)]
enum Closing {
    Listener(ListenerRef),
    /// The half of an end that writes.
    Writing(EndRef),
    End {
        end: EndRef,
        resets: bool,
    },
}

impl Streams {
    pub(crate) fn begin(&mut self, settings: Tcp, first_generation: u32) {
        self.settings = settings;
        self.first_generation = first_generation;
    }

    fn end(&mut self, end: EndRef) -> Option<&mut End> {
        self.ends.get_mut(end.slot as usize).filter(|entry| entry.generation == end.generation)
    }

    fn listener(&mut self, listener: ListenerRef) -> Option<&mut Listener> {
        self.listeners.get_mut(listener.slot as usize).filter(|entry| entry.generation == listener.generation)
    }

    fn waiting(&mut self, awaited: Awaited) -> Option<&mut Waiting> {
        match awaited {
            Awaited::Connection(listener) => self.listener(listener).map(|entry| &mut entry.acceptors),
            Awaited::Bytes(end) => self.end(end).map(|entry| &mut entry.readers),
            Awaited::Room(end) => self.end(end).map(|entry| &mut entry.writers),
        }
    }

    pub(crate) fn has_port(&self, node: NodeId, port: u16) -> bool {
        self.listening.contains_key(&(node, port)) || self.ports.contains_key(&(node, port))
    }

    /// Why a port can't be bound by who shares it or not, as Linux has it: nobody shares with who listens, and of others both have to say that they share.
    /// The socket itself, if it is bound already, is in nobody's way.
    fn reason_against(&self, at: (NodeId, u16), shares_port: bool, own: Option<BoundRef>) -> Option<&'static str> {
        if self.listening.contains_key(&at) {
            return Some("is listened on already");
        }
        let holders = self.ports.get(&at)?;
        let own = own.filter(|own| own.first_generation == self.first_generation);
        let others = || holders.bound.iter().filter(|(serial, _)| own.is_none_or(|own| own.serial != *serial));
        if others().any(|(_, shares)| !(shares_port && *shares)) {
            return Some("is kept by a socket that is bound to it");
        }
        let ends = if shares_port { holders.ends_alone } else { holders.ends };
        (ends > 0).then_some("has connections")
    }

    /// Whether the node has a connection from there to there.
    fn is_connected(&self, node: NodeId, local: SocketAddr, remote: SocketAddr) -> bool {
        let is_it = |end: &End| end.node == node && end.local == local && end.remote == remote;
        self.ends.iter().any(|end| end.is_open() && !end.is_broken && is_it(end))
    }

    /// A socket keeps its port no more.
    pub(crate) fn unbind(&mut self, bound: BoundRef) {
        let at = (bound.node, bound.port);
        if bound.first_generation != self.first_generation {
            return;
        }
        if let Some(holders) = self.ports.get_mut(&at) {
            holders.bound.retain(|(serial, _)| *serial != bound.serial);
            if holders.is_empty() {
                self.ports.remove(&at);
            }
        }
    }

    /// No socket of the node keeps a port any more.
    fn unbind_all(&mut self, node: NodeId) {
        self.ports.retain(|(of, _), holders| {
            if *of == node {
                holders.bound.clear();
            }
            !holders.is_empty()
        });
    }

    /// What is sent by a direction, as those know it who read of it; with what the segment of that number carries, where that is known.
    pub(crate) fn role(&self, direction: u32, number: u64) -> FlowRole {
        let Direction { stream, labels, .. } = &self.directions[direction as usize];
        let labels = labels.get(&number).map(|label| (number, label.clone())).into_iter().collect();
        FlowRole::Segment(Stream { labels, ..stream.clone() })
    }

    /// What can be seen of all connections, as words. Ports from `drawn_from` on are drawn, and so are all the same.
    pub(crate) fn state(&self, drawn_from: u16) -> impl Iterator<Item = u64> {
        self.ends.iter().filter(|end| end.is_open()).map(move |end| {
            let ports = [end.local.port(), end.remote.port()].map(|port| u64::from(port.min(drawn_from)));
            let flags = [end.has_ended, end.is_finished, end.is_broken, end.error.is_some(), end.stage == Stage::Open];
            let flags = flags.iter().fold(0, |flags, flag| flags << 1 | u64::from(*flag));
            let bytes = end.arrived.iter().fold(end.offset as u64, |state, payload| {
                hash_words([state, xxhash_rust::xxh3::xxh3_64(payload.as_slice()), 0, 0])
            });
            let numbers = hash_words([end.in_window_bytes, end.uncredited_bytes, end.early.len() as u64, bytes]);
            hash_words([u64::from(end.node.0), ports[0] << 16 | ports[1], flags, numbers])
        })
    }

    /// What waits for its next attempt, in order.
    pub(crate) fn waiting_segments(&self) -> impl Iterator<Item = u32> {
        self.late.iter().filter(|(_, late)| late.stage != Attempt::UnderWay).map(|(message, _)| *message)
    }

    /// Whether something is known of a segment that is late. Of a message that is new that can't be.
    pub(crate) fn is_late(&self, message: u32) -> bool {
        self.late.contains_key(&message)
    }

    fn next_serial(&mut self) -> u64 {
        self.made += 1;
        self.made
    }

    /// Whether it is closed later, with all that a host's tasks had.
    fn is_put_off(&mut self, what: Closing) -> bool {
        let serial = match what {
            Closing::Listener(listener) => self.listener(listener).map(|entry| entry.serial),
            Closing::Writing(end) | Closing::End { end, .. } => self.end(end).map(|entry| entry.serial),
        };
        match (&mut self.closing, serial) {
            (Some(closing), Some(serial)) => {
                closing.push((serial, what));
                true
            }
            _ => false,
        }
    }

    fn new_end(
        &mut self,
        node: NodeId,
        (local, remote): (SocketAddr, SocketAddr),
        shares_port: bool,
        stage: Stage,
    ) -> EndRef {
        let holders = self.ports.entry((node, local.port())).or_default();
        holders.ends += 1;
        holders.ends_alone += u32::from(!shares_port);
        let slot = self.free_ends.pop().unwrap_or(self.ends.len() as u32);
        let generation =
            self.ends.get(slot as usize).map_or(self.first_generation, |end| end.generation).wrapping_add(1);
        let end = End {
            generation,
            serial: self.next_serial(),
            node,
            local,
            remote,
            shares_port,
            direction: 0,
            stage,
            in_window_bytes: 0,
            has_ended: false,
            next: 1,
            early: BTreeMap::new(),
            arrived: VecDeque::new(),
            offset: 0,
            unread_bytes: 0,
            uncredited_bytes: 0,
            credits: 0,
            is_finished: false,
            is_broken: false,
            error: None,
            stalled_since_ns: None,
            readers: Waiting::default(),
            writers: Waiting::default(),
        };
        match self.ends.get_mut(slot as usize) {
            Some(free) => *free = end,
            None => self.ends.push(end),
        }
        EndRef { slot, generation }
    }
}

/// So much of a segment's label is told.
const LABEL_CHARACTERS_MAX: usize = 60;

/// How far a segment's bytes are known by what they begin with: the first line of HTTP/1.
fn label_of(bytes: &[u8]) -> Option<String> {
    const METHODS: [&str; 9] = ["GET", "POST", "PUT", "DELETE", "HEAD", "PATCH", "OPTIONS", "CONNECT", "TRACE"];
    let line = bytes.split(|byte| *byte == b'\r' || *byte == b'\n').next()?;
    let line = std::str::from_utf8(line.get(..line.len().min(200))?).ok()?;
    // As RFC 9112 has it. What else it is would make a line of a report unreadable.
    if !line.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' ') {
        return None;
    }
    let words: Vec<&str> = line.splitn(3, ' ').collect();
    let label = match *words.as_slice() {
        [method, path, version] if METHODS.contains(&method) && version.starts_with("HTTP/1") => {
            format!("{method} {path}")
        }
        [version, status, reason] if version.starts_with("HTTP/1") => format!("{status} {reason}"),
        _ => return None,
    };
    Some(label.chars().take(LABEL_CHARACTERS_MAX).collect())
}

fn gone() -> io::Error {
    io::Error::new(io::ErrorKind::NotConnected, "the node has crashed or the run has ended")
}

fn in_words(kind: io::ErrorKind) -> &'static str {
    match kind {
        io::ErrorKind::ConnectionRefused => "nobody listens there",
        io::ErrorKind::ConnectionReset => "the connection was reset by the other end",
        io::ErrorKind::TimedOut => "nothing has come through for too long",
        _ => "the connection is closed",
    }
}

fn error_of(kind: io::ErrorKind) -> io::Error {
    io::Error::new(kind, in_words(kind))
}

/// When a segment that didn't come through at `since_ns` is sent again: the first of its attempts after `now_ns`.
fn next_attempt_ns(since_ns: u64, now_ns: u64, waits_ns: impl Iterator<Item = u64>) -> u64 {
    let mut at_ns = since_ns;
    for wait_ns in waits_ns {
        if at_ns > now_ns {
            break;
        }
        at_ns = at_ns.saturating_add(wait_ns);
    }
    at_ns
}

impl Kernel {
    // --- listening and connecting -------------------------------------------------------------------------------------

    /// The address to bind on the running node, of a socket of any kind, with a port of its own in place of 0.
    pub(crate) fn address_to_bind(&mut self, address: SocketAddr) -> io::Result<SocketAddr> {
        if !self.is_live() {
            return Err(gone());
        }
        let id = self.current.node;
        if self.nodes[id.index()].control {
            return Err(io::Error::new(io::ErrorKind::Unsupported, "a control task is on no network"));
        }
        if self.node_by_address(&address) != Some(id) {
            return Err(io::Error::new(
                io::ErrorKind::AddrNotAvailable,
                format!("{} isn't an address of node {}", address.ip(), self.nodes[id.index()].name),
            ));
        }
        let port = match address.port() {
            0 => self.ephemeral_port(id)?,
            port => port,
        };
        Ok(SocketAddr::new(address.ip(), port))
    }

    /// An error if the port of the running node can't be bound by who shares it or not.
    fn check_port(&self, port: u16, shares_port: bool, own: Option<BoundRef>) -> io::Result<()> {
        let node = self.current.node;
        match self.network.streams.reason_against((node, port), shares_port, own) {
            None => Ok(()),
            Some(reason) => {
                let message = format!("port {port} of node {} {reason}", self.nodes[node.index()].name);
                Err(io::Error::new(io::ErrorKind::AddrInUse, message))
            }
        }
    }

    /// Keeps a port of the running node for a socket that will listen or connect. Port 0 takes a free one.
    pub(crate) fn bind_for_stream(
        &mut self,
        address: SocketAddr,
        shares_port: bool,
    ) -> io::Result<(BoundRef, SocketAddr)> {
        let address = self.address_to_bind(address)?;
        self.check_port(address.port(), shares_port, None)?;
        let (node, port, streams) = (self.current.node, address.port(), &mut self.network.streams);
        let serial = streams.next_serial();
        streams.ports.entry((node, port)).or_default().bound.push((serial, shares_port));
        Ok((BoundRef { first_generation: streams.first_generation, serial, node, port }, address))
    }

    /// Listens on the running node. Port 0 takes a free one. `own` is the socket that keeps the port for it, if there is one.
    pub(crate) fn listen(
        &mut self,
        address: SocketAddr,
        backlog: usize,
        shares_port: bool,
        own: Option<BoundRef>,
    ) -> io::Result<(ListenerRef, SocketAddr)> {
        let address = self.address_to_bind(address)?;
        let node = self.current.node;
        self.check_port(address.port(), shares_port, own)?;
        let streams = &mut self.network.streams;
        let slot = streams.free_listeners.pop().unwrap_or(streams.listeners.len() as u32);
        let before = streams.listeners.get(slot as usize).map_or(streams.first_generation, |entry| entry.generation);
        let generation = before.wrapping_add(1);
        let listener = Listener {
            generation,
            serial: streams.next_serial(),
            node,
            address,
            shares_port,
            backlog,
            arriving: 0,
            accepted: VecDeque::new(),
            acceptors: Waiting::default(),
        };
        match streams.listeners.get_mut(slot as usize) {
            Some(free) => *free = listener,
            None => streams.listeners.push(listener),
        }
        streams.listening.insert((node, address.port()), slot);
        Ok((ListenerRef { slot, generation }, address))
    }

    /// The next connection that somebody else has made: its end, and the two addresses.
    pub(crate) fn poll_accept(
        &mut self,
        listener: ListenerRef,
        asker: Asker<'_>,
        other: Option<Waker>,
    ) -> Poll<io::Result<(EndRef, SocketAddr, SocketAddr)>> {
        let wake = self.wake_ref(other);
        let streams = &mut self.network.streams;
        let Some(entry) = streams.listener(listener) else {
            self.forget(wake);
            return Poll::Ready(Err(gone()));
        };
        let Some(end) = entry.accepted.pop_front() else {
            let unneeded = entry.acceptors.add(asker, wake);
            unneeded.into_iter().for_each(|wake| self.forget(wake));
            return Poll::Pending;
        };
        let accepted = streams.end(end).expect("what nobody has accepted isn't closed");
        let (local, remote) = (accepted.local, accepted.remote);
        self.forget(wake);
        Poll::Ready(Ok((end, local, remote)))
    }

    /// Nobody listens there any more. Connections that nobody has accepted are broken.
    pub(crate) fn close_listener(&mut self, listener: ListenerRef) {
        if self.is_live() && !self.network.streams.is_put_off(Closing::Listener(listener)) {
            self.end_listener(listener);
        }
    }

    /// From now on nothing is closed yet.
    pub(crate) fn begin_closing(&mut self) {
        self.network.streams.closing = Some(Vec::new());
    }

    /// Closes what was to be closed meanwhile, in the order in which it was made. What was said of one end stays in its order: first that no more is written.
    pub(crate) fn end_closing(&mut self) {
        let Some(mut closing) = self.network.streams.closing.take() else { return };
        closing.sort_by_key(|(serial, _)| *serial);
        for (_, what) in closing {
            match what {
                Closing::Listener(listener) => self.end_listener(listener),
                Closing::Writing(end) => self.say_end(end),
                Closing::End { end, resets } => self.close_end(end, resets),
            }
        }
    }

    fn end_listener(&mut self, listener: ListenerRef) {
        let streams = &mut self.network.streams;
        let Some(entry) = streams.listener(listener) else { return };
        entry.generation = entry.generation.wrapping_add(1);
        let (at, accepted) = ((entry.node, entry.address.port()), std::mem::take(&mut entry.accepted));
        let acceptors: Vec<WakeRef> = entry.acceptors.take().collect();
        streams.listening.remove(&at);
        streams.free_listeners.push(listener.slot);
        for end in accepted {
            self.abort_end(end);
        }
        for wake in acceptors {
            self.wake(wake, 3);
        }
    }

    /// Asks for a connection: its end, and the two addresses. `from` is where it is bound already, if it is, and `shares_port` whether others may be bound
    /// there.
    pub(crate) fn connect(
        &mut self,
        to: SocketAddr,
        from: Option<SocketAddr>,
        shares_port: bool,
    ) -> io::Result<(EndRef, SocketAddr, SocketAddr)> {
        if !self.is_live() {
            return Err(gone());
        }
        let node = self.current.node;
        if self.nodes[node.index()].control {
            return Err(io::Error::new(io::ErrorKind::Unsupported, "a control task is on no network"));
        }
        let Some(to_node) = self.node_by_address(&to) else {
            return Err(io::Error::new(io::ErrorKind::HostUnreachable, format!("no node has the address {}", to.ip())));
        };
        // An unspecified address is this node, as on Linux.
        let to_ip = if to.ip().is_unspecified() { IpAddr::V4(std::net::Ipv4Addr::LOCALHOST) } else { to.ip() };
        let own_ip = if to_ip.is_loopback() { to_ip } else { self.nodes[node.index()].address };
        let local = match from {
            Some(from) => SocketAddr::new(if from.ip().is_unspecified() { own_ip } else { from.ip() }, from.port()),
            None => {
                // Of a socket that is bound it is the address that is in use; of one that connects there is none to be had.
                let none_is_free =
                    |error: io::Error| io::Error::new(io::ErrorKind::AddrNotAvailable, error.to_string());
                SocketAddr::new(own_ip, self.ephemeral_port(node).map_err(none_is_free)?)
            }
        };
        let remote = SocketAddr::new(to_ip, to.port());
        if from.is_some() && self.network.streams.is_connected(node, local, remote) {
            let message =
                format!("node {} is connected from {local} to {remote} already", self.nodes[node.index()].name);
            return Err(io::Error::new(io::ErrorKind::AddrNotAvailable, message));
        }
        // Who asks, of which node and port, and the how-manieth time: nothing that another connection could shift.
        let sender = self.sender();
        let to_whom = self.network.name_hash(to_node);
        let asking = FlowId(hash_words([sender.0, to_whom, u64::from(to.port()), u64::from_le_bytes(*b"connect ")]));
        let connection = self.network.count_in_flow(asking, node, to_node, &self.nodes);
        let flow = |way: u64| FlowId(hash_words([asking.0, connection, way, u64::from_le_bytes(*b"stream  ")]));
        let operation = self.operations.get(&self.current.task).map(|operation| operation.number);
        let end = self.network.streams.new_end(node, (local, remote), shares_port, Stage::Asking);
        let there = self.network.streams.directions.len() as u32;
        for (is_back, from, to_id) in [(false, node, to_node), (true, to_node, node)] {
            let id = flow(u64::from(is_back));
            let stream = Stream { connection, port: to.port(), is_back, labels: BTreeMap::new() };
            let role = FlowRole::Segment(stream.clone());
            self.journal.name_flow(id, || FlowInfo { from, to: to_id, role, operation });
            let index = self.network.add_stream_flow(id, from, to_id, there + u32::from(is_back), &self.nodes);
            let ports = (local.port(), to.port());
            self.network.streams.directions.push(Direction {
                flow: index,
                back: there + u32::from(!is_back),
                from_end: if is_back { EndRef::NONE } else { end },
                to_end: if is_back { end } else { EndRef::NONE },
                to_ip,
                from_port: if is_back { ports.1 } else { ports.0 },
                to_port: if is_back { ports.0 } else { ports.1 },
                arrived_by_ns: 0,
                stream,
                labels: BTreeMap::new(),
                requests: BTreeMap::new(),
            });
        }
        self.network.streams.end(end).expect("just made").direction = there;
        let until_ns = self.now_ns.saturating_add(duration_ns(self.network.streams.settings.connect_timeout));
        self.await_end(end.slot, Some(until_ns));
        self.send_segment(there, segment::REQUEST, &[]);
        Ok((end, local, remote))
    }

    /// Whether the connection is there.
    pub(crate) fn poll_connected(&mut self, end: EndRef, other: Option<Waker>) -> Poll<io::Result<()>> {
        let wake = self.wake_ref(other);
        let Some(entry) = self.network.streams.end(end) else {
            self.forget(wake);
            return Poll::Ready(Err(gone()));
        };
        let settled = match (entry.is_broken, entry.stage) {
            (true, _) => Some(Err(error_of(entry.error.take().unwrap_or(io::ErrorKind::ConnectionReset)))),
            (false, Stage::Asking) => None,
            (false, _) => Some(Ok(())),
        };
        match settled {
            Some(result) => {
                self.forget(wake);
                Poll::Ready(result)
            }
            None => {
                let unneeded = entry.writers.add(Asker::Poller, wake);
                unneeded.into_iter().for_each(|wake| self.forget(wake));
                Poll::Pending
            }
        }
    }

    /// A future waits no more.
    pub(crate) fn stop_waiting_for(&mut self, awaited: Awaited, number: NonZeroU64) {
        let wake = self.network.streams.waiting(awaited).and_then(|waiting| waiting.remove(number));
        wake.into_iter().for_each(|wake| self.forget(wake));
    }

    // --- reading and writing ------------------------------------------------------------------------------------------

    /// Reads as much as is there and fits; 0 at the end. Whoever only peeks leaves it where it is.
    ///
    /// # Errors
    /// Why the connection broke, once; afterwards it is at its end.
    pub(crate) fn poll_read(
        &mut self,
        end: EndRef,
        buffers: &mut [&mut ReadBuf<'_>],
        peeks: bool,
        asker: Asker<'_>,
        other: Option<Waker>,
    ) -> Poll<io::Result<usize>> {
        let wake = self.wake_ref(other);
        let Some(entry) = self.network.streams.end(end) else {
            self.forget(wake);
            return Poll::Ready(Err(gone()));
        };
        // Who has no room for a byte waits for one all the same, as with tokio.
        let read = if entry.unread_bytes > 0 {
            Some(Ok(take_bytes(entry, buffers, peeks)))
        } else if entry.is_finished {
            Some(Ok(0))
        } else if entry.is_broken {
            Some(entry.error.take().map_or(Ok(0), |kind| Err(error_of(kind))))
        } else {
            None
        };
        match read {
            Some(read) => {
                self.forget(wake);
                if !peeks && self.is_live() {
                    self.credit(end);
                }
                Poll::Ready(read)
            }
            None => {
                let unneeded = entry.readers.add(asker, wake);
                unneeded.into_iter().for_each(|wake| self.forget(wake));
                Poll::Pending
            }
        }
    }

    /// Waits until there is something to read, an end or an error.
    pub(crate) fn poll_readable(
        &mut self,
        end: EndRef,
        asker: Asker<'_>,
        other: Option<Waker>,
    ) -> Poll<io::Result<()>> {
        let wake = self.wake_ref(other);
        let Some(entry) = self.network.streams.end(end) else {
            self.forget(wake);
            return Poll::Ready(Err(gone()));
        };
        let is_ready = entry.is_readable();
        let unneeded = if is_ready { Some(wake) } else { entry.readers.add(asker, wake) };
        unneeded.into_iter().for_each(|wake| self.forget(wake));
        if is_ready { Poll::Ready(Ok(())) } else { Poll::Pending }
    }

    /// Waits until something can be written, or an error is to be had.
    pub(crate) fn poll_writable(
        &mut self,
        end: EndRef,
        asker: Asker<'_>,
        other: Option<Waker>,
    ) -> Poll<io::Result<()>> {
        let wake = self.wake_ref(other);
        if self.waits_for_ever() {
            self.forget(wake);
            return Poll::Pending;
        }
        let window_bytes = self.network.streams.settings.window_bytes;
        let Some(entry) = self.network.streams.end(end) else {
            self.forget(wake);
            return Poll::Ready(Err(gone()));
        };
        let is_ready = entry.is_writable(window_bytes);
        let unneeded = if is_ready { Some(wake) } else { entry.writers.add(asker, wake) };
        unneeded.into_iter().for_each(|wake| self.forget(wake));
        if is_ready { Poll::Ready(Ok(())) } else { Poll::Pending }
    }

    /// Sends as much as the window has room for, as one segment.
    ///
    /// # Errors
    /// Why the connection broke, once; then, and after its own end, `BrokenPipe`.
    pub(crate) fn poll_write(
        &mut self,
        end: EndRef,
        slices: &[io::IoSlice<'_>],
        asker: Asker<'_>,
        other: Option<Waker>,
    ) -> Poll<io::Result<usize>> {
        let wake = self.wake_ref(other);
        let wanted: usize = slices.iter().map(|slice| slice.len()).sum();
        if self.waits_for_ever() {
            self.forget(wake);
            return Poll::Pending;
        }
        if !self.is_live() {
            self.forget(wake);
            return Poll::Ready(Ok(wanted));
        }
        let window_bytes = self.network.streams.settings.window_bytes;
        let Some(entry) = self.network.streams.end(end) else {
            self.forget(wake);
            return Poll::Ready(Err(gone()));
        };
        if entry.is_broken || entry.has_ended {
            let kind = entry.error.take().unwrap_or(io::ErrorKind::BrokenPipe);
            self.forget(wake);
            return Poll::Ready(Err(error_of(kind)));
        }
        let room = window_bytes.saturating_sub(entry.in_window_bytes);
        if wanted > 0 && (room == 0 || entry.stage == Stage::Asking) {
            let unneeded = entry.writers.add(asker, wake);
            unneeded.into_iter().for_each(|wake| self.forget(wake));
            return Poll::Pending;
        }
        let bytes = wanted.min(SEGMENT_BYTES_MAX).min(usize::try_from(room).unwrap_or(usize::MAX));
        entry.in_window_bytes += bytes as u64;
        let is_full = entry.in_window_bytes >= window_bytes;
        let direction = entry.direction;
        self.forget(wake);
        match slices {
            _ if bytes == 0 => {}
            [slice] => self.send_segment(direction, segment::DATA, &slice[..bytes]),
            slices => {
                let mut whole = Vec::with_capacity(bytes);
                for slice in slices {
                    whole.extend_from_slice(&slice[..slice.len().min(bytes - whole.len())]);
                }
                self.send_segment(direction, segment::DATA, &whole);
            }
        }
        if is_full {
            // What the other end has read before is told by its next credit, which might never come.
            let other = self.network.streams.directions[direction as usize].to_end;
            self.credit(other);
        }
        Poll::Ready(Ok(bytes))
    }

    /// No more is written.
    ///
    /// # Errors
    /// If the node has crashed.
    pub(crate) fn shut_down(&mut self, end: EndRef) -> io::Result<()> {
        if !self.is_live() {
            return Ok(());
        }
        let entry = self.network.streams.end(end).ok_or_else(gone)?;
        // Whoever shuts down can't know yet that it is broken: tokio makes nothing of that either.
        if !entry.is_broken && !self.network.streams.is_put_off(Closing::Writing(end)) {
            self.say_end(end);
        }
        Ok(())
    }

    fn say_end(&mut self, end: EndRef) {
        let Some(entry) = self.network.streams.end(end) else { return };
        if entry.has_ended || entry.is_broken || entry.stage == Stage::Asking {
            return;
        }
        entry.has_ended = true;
        let direction = entry.direction;
        let writers: Vec<WakeRef> = entry.writers.take().collect();
        writers.into_iter().for_each(|wake| self.wake(wake, 3));
        self.send_segment(direction, segment::END, &[]);
    }

    /// Takes the error that the connection broke with, if nobody has been told.
    pub(crate) fn take_stream_error(&mut self, end: EndRef) -> Option<io::Error> {
        self.network.streams.end(end)?.error.take().map(error_of)
    }

    /// The program is through with its end. What it has sent still comes, unless it `resets`, or leaves bytes unread: then the other end is told that, as
    /// TCP does (RFC 2525, 2.17).
    pub(crate) fn close_end(&mut self, end: EndRef, resets: bool) {
        if !self.is_live() {
            // Of a node that crashes, all are broken when its tasks are gone.
            return;
        }
        if self.network.streams.is_put_off(Closing::End { end, resets }) {
            return;
        }
        let Some(entry) = self.network.streams.end(end) else { return };
        if resets || entry.unread_bytes > 0 || entry.stage == Stage::Asking {
            self.abort_end(end);
        } else {
            self.say_end(end);
            self.free_end(end);
        }
    }

    /// Breaks a connection from this end, which is gone.
    fn abort_end(&mut self, end: EndRef) {
        let Some(entry) = self.network.streams.end(end) else { return };
        let (direction, is_broken) = (entry.direction, entry.is_broken);
        self.free_end(end);
        if !is_broken {
            self.send_segment(direction, segment::RESET, &[]);
        }
    }

    fn free_end(&mut self, end: EndRef) {
        let streams = &mut self.network.streams;
        let Some(entry) = streams.end(end) else { return };
        entry.generation = entry.generation.wrapping_add(1);
        entry.arrived.clear();
        let early = std::mem::take(&mut entry.early);
        let waiting: Vec<WakeRef> = entry.readers.take().chain(entry.writers.take()).collect();
        let (at, shares_port) = ((entry.node, entry.local.port()), entry.shares_port);
        if let Some(holders) = streams.ports.get_mut(&at) {
            holders.ends -= 1;
            holders.ends_alone -= u32::from(!shares_port);
            if holders.is_empty() {
                streams.ports.remove(&at);
            }
        }
        streams.free_ends.push(end.slot);
        self.await_end(end.slot, None);
        early.into_values().for_each(|message| self.network.free_message(message));
        waiting.into_iter().for_each(|wake| self.wake(wake, 3));
    }

    /// A node has crashed, and its tasks are gone: so are its connections, and its machine says so to the other ends.
    pub(crate) fn crash_streams(&mut self, node: NodeId) {
        let streams = &mut self.network.streams;
        streams.unbind_all(node);
        if streams.ends.is_empty() && streams.listeners.is_empty() {
            return;
        }
        let listeners = streams
            .listeners
            .iter()
            .enumerate()
            .filter(|(_, entry)| entry.node == node && !entry.generation.is_multiple_of(2));
        let listeners: Vec<ListenerRef> =
            listeners.map(|(slot, entry)| ListenerRef { slot: slot as u32, generation: entry.generation }).collect();
        let ends = streams.ends.iter().enumerate().filter(|(_, end)| end.node == node && end.is_open());
        let ends: Vec<EndRef> =
            ends.map(|(slot, end)| EndRef { slot: slot as u32, generation: end.generation }).collect();
        // What it has sent and hasn't come through isn't sent again. That a connection is over is: what its machine says of this crash, or of one before.
        let waiting = self.network.streams.waiting_segments();
        let is_its = |message: &u32| {
            let (.., what) = self.network.flow_number_and_tag(*message);
            !segment::is_reset(what) && self.network.ends_of(*message).0 == node
        };
        let its: Vec<u32> = waiting.filter(is_its).collect();
        self.lose_with_its_machine(its, node);
        for direction in std::mem::take(&mut self.network.streams.cut_short) {
            let streams = &mut self.network.streams;
            let Direction { from_end, to_end, .. } = streams.directions[direction as usize];
            // An end that its program has closed is none of those below, and the other one still waits for the last that it said.
            let is_closed = streams.end(from_end).is_none();
            if is_closed && streams.end(to_end).is_some_and(|end| !end.is_broken) {
                self.send_segment(direction, segment::RESET, &[]);
            }
        }
        for listener in listeners {
            self.end_listener(listener);
        }
        for end in ends {
            self.abort_end(end);
        }
    }

    /// What a node that crashes had still to send is gone, apart from what its machine says of connections that are over. Which directions say no more is told by [`Kernel::crash_streams`].
    #[cold]
    pub(crate) fn lose_with_its_machine(&mut self, messages: Vec<u32>, node: NodeId) {
        for message in messages {
            if self.network.kind_of(message) == Kind::Segment {
                let (.., what) = self.network.flow_number_and_tag(message);
                if segment::is_reset(what) {
                    self.depart_segment(message);
                    continue;
                }
                let direction = self.network.direction_of(message);
                let cut_short = &mut self.network.streams.cut_short;
                if what != segment::CREDIT && !cut_short.contains(&direction) {
                    cut_short.push(direction);
                }
            }
            self.lose(message, node, LossReason::SenderDown);
        }
    }

    /// Breaks the connections between nodes, at both ends and at once.
    pub(crate) fn reset_connections(&mut self, is_between: impl Fn(NodeId, NodeId) -> bool) {
        let streams = &self.network.streams;
        let ends = streams.ends.iter().enumerate().filter(|(_, end)| end.is_open() && !end.is_broken);
        let ends: Vec<EndRef> = ends
            .filter(|(_, end)| {
                let direction = &streams.directions[end.direction as usize];
                let (from, to) = self.network.ends_of_flow(direction.flow);
                is_between(from, to) || is_between(to, from)
            })
            .map(|(slot, end)| EndRef { slot: slot as u32, generation: end.generation })
            .collect();
        for end in &ends {
            self.break_end(*end, io::ErrorKind::ConnectionReset);
        }
    }

    /// An end learns that its connection is broken. Who waits for it is woken.
    fn break_end(&mut self, end: EndRef, kind: io::ErrorKind) {
        let Some(entry) = self.network.streams.end(end).filter(|entry| !entry.is_broken) else { return };
        let kind = match kind {
            io::ErrorKind::ConnectionReset if entry.stage == Stage::Asking => io::ErrorKind::ConnectionRefused,
            // As Linux has it: who had been told the end before only learns it by writing.
            io::ErrorKind::ConnectionReset if entry.is_finished => io::ErrorKind::BrokenPipe,
            kind => kind,
        };
        if let Stage::Arriving(listener) = entry.stage {
            // Nobody has been told of it.
            if let Some(listener) = self.network.streams.listener(listener) {
                listener.arriving -= 1;
            }
            self.free_end(end);
            return;
        }
        entry.is_broken = true;
        // Where both have said that no more comes nobody is told of what comes behind that.
        entry.error = (kind == io::ErrorKind::TimedOut || !(entry.is_finished && entry.has_ended)).then_some(kind);
        entry.stalled_since_ns = None;
        let early = std::mem::take(&mut entry.early);
        let waiting: Vec<WakeRef> = entry.readers.take().chain(entry.writers.take()).collect();
        self.await_end(end.slot, None);
        early.into_values().for_each(|message| self.network.free_message(message));
        waiting.into_iter().for_each(|wake| self.wake(wake, 3));
    }

    /// An end has waited for too long: for its connection, or for a segment of it to come through.
    #[cold]
    pub(crate) fn end_timer_due(&mut self, slot: u32) {
        let Some(entry) = self.network.streams.ends.get(slot as usize).filter(|entry| entry.is_open()) else { return };
        let end = EndRef { slot, generation: entry.generation };
        self.break_end(end, io::ErrorKind::TimedOut);
    }

    // --- segments -----------------------------------------------------------------------------------------------------

    /// What is asked for, and answered, in the frames of HTTP/2 that a segment holds.
    fn label_of_streams(&mut self, direction: u32, bytes: &[u8]) -> Option<String> {
        let mut labels: Vec<String> = Vec::new();
        for Headers { stream, request } in headers_of(bytes) {
            let directions = &mut self.network.streams.directions;
            let label = match request {
                Some(request) => {
                    directions[direction as usize].requests.insert(stream, request.clone());
                    request
                }
                None => {
                    let back = directions[direction as usize].back;
                    let Some(request) = directions[back as usize].requests.get(&stream) else { continue };
                    format!("answer to {request}")
                }
            };
            // An answer's last fields come behind its bytes.
            if !labels.contains(&label) {
                labels.push(label);
            }
        }
        (!labels.is_empty()).then(|| labels.join(", ").chars().take(LABEL_CHARACTERS_MAX).collect())
    }

    /// Sends a segment, and decides what becomes of it.
    fn send_segment(&mut self, direction: u32, what: u64, bytes: &[u8]) {
        let Direction { flow, from_port, to_port, .. } = self.network.streams.directions[direction as usize];
        let (from, to) = self.network.ends_of_flow(flow);
        let id = self.network.flow_id(flow);
        let number = self.network.next_number(flow);
        if self.journal.wants_names()
            && let Some(label) = match what {
                segment::DATA => label_of(bytes).or_else(|| self.label_of_streams(direction, bytes)),
                segment::END => Some("end".to_string()),
                segment::RESET => Some("reset".to_string()),
                _ => None,
            }
        {
            let streams = &mut self.network.streams;
            streams.directions[direction as usize].labels.insert(u64::from(number), label);
            let role = streams.role(direction, u64::from(number));
            let operation = self.journal.operation_of(id);
            self.journal.name_flow(id, || FlowInfo { from, to, role, operation });
        }
        self.network.counts.sent += 1;
        let task = if self.current.node == from { self.current.task } else { TaskId::NONE };
        let place = Place { at_ns: self.now_ns, node: from, task };
        self.journal.send(place, (id, u64::from(number)), (from_port, to, to_port), what, bytes);
        let index = self.network.new_segment(flow, number, (from_port, to_port), what, bytes);
        if from == to {
            let latency_ns = self.loopback_ns(index, id, u64::from(number));
            self.launch_segment(index, latency_ns);
            return;
        }
        self.send_out(index);
    }

    fn send_out(&mut self, index: u32) {
        if self.network.is_hindered() && self.is_kept(index) {
            return;
        }
        self.depart_segment(index);
    }

    /// A segment leaves its node: whether it is lost, and if it isn't, how long it takes and whether its connection breaks at it, is decided.
    pub(crate) fn depart_segment(&mut self, index: u32) {
        let (flow, number, what) = self.network.flow_number_and_tag(index);
        let late = self.network.streams.late.get(&index);
        let (failed, lost_before) = late.map_or((0, 0), |late| (late.failed, late.lost));
        let mut drawn = self.draw_segment(index, failed);
        drawn.resets &= what == segment::DATA;
        let mut fate = drawn;
        if !self.decisions.is_plain() {
            let calm_ns = self.network.calm_latency_ns(index);
            let (now_ns, network, decisions) = (self.now_ns, &self.network, &mut self.decisions);
            let print = || network.fingerprint(index);
            let site = |kind| Site { kind, flow, number };
            if !drawn.is_ruled {
                fate.is_lost = decisions.decide_once_more(
                    site(SiteKind::Retransmission),
                    now_ns,
                    lost_before,
                    drawn.is_lost,
                    print,
                );
            }
            // Nothing is decided that can't be seen.
            if !fate.is_lost {
                if what == segment::DATA && !drawn.is_ruled {
                    let drawn = u64::from(drawn.resets);
                    fate.resets = decisions.decide(site(SiteKind::Reset), now_ns, 0, drawn, print) != 0;
                }
                if !drawn.has_ruled_latency {
                    fate.latency_ns =
                        decisions.decide(site(SiteKind::Latency), now_ns, calm_ns, drawn.latency_ns, print);
                }
            }
        }
        if fate.is_lost {
            self.lose_attempt(index, !drawn.is_ruled);
            return;
        }
        if let Some(rule) = drawn.held_by {
            let (from, _) = self.network.ends_of(index);
            self.tell_held(index, from);
            self.hold_by_rule(index, rule, fate.latency_ns);
            return;
        }
        if fate.resets {
            self.network.set_tag(index, segment::BREAK);
        }
        self.launch_segment(index, fate.latency_ns);
    }

    /// A segment is on its way.
    fn launch_segment(&mut self, index: u32, latency_ns: u64) {
        let direction = self.network.direction_of(index);
        let arrived_by_ns = &mut self.network.streams.directions[direction as usize].arrived_by_ns;
        *arrived_by_ns = (*arrived_by_ns).max(self.now_ns.saturating_add(latency_ns));
        self.launch(index, latency_ns);
    }

    /// A segment is lost, by its weather or by a rule, and is sent again.
    #[cold]
    fn lose_attempt(&mut self, index: u32, is_weather: bool) {
        let (flow, number, _) = self.network.flow_number_and_tag(index);
        let (from, _) = self.network.ends_of(index);
        let direction = self.network.direction_of(index);
        let late = self.late(index, self.now_ns);
        late.failed += 1;
        late.lost += u64::from(is_weather);
        let times = late.failed;
        let streams = &mut self.network.streams;
        let from_end = streams.directions[direction as usize].from_end;
        if times >= ATTEMPTS_OF_THE_GONE_MAX && streams.end(from_end).is_none_or(|end| end.is_broken) {
            streams.late.remove(&index);
            let reason = if is_weather { LossReason::Loss } else { LossReason::Rule };
            return self.lose_for_good(index, from, reason);
        }
        self.emit_on(from, EventKind::Retransmit { flow, number, times });
        self.retry(index);
    }

    /// What is known of a segment that is late, as of one that was sent first at `since_ns`. From now on its end gives up, if it goes on like that.
    fn late(&mut self, index: u32, since_ns: u64) -> &mut Late {
        let (_, _, what) = self.network.flow_number_and_tag(index);
        let direction = self.network.direction_of(index);
        let streams = &mut self.network.streams;
        let give_up_at_ns = self.now_ns.saturating_add(duration_ns(streams.settings.give_up));
        let from_end = streams.directions[direction as usize].from_end;
        // Who asks for a connection has its time already, and a credit is nobody's business.
        if !matches!(what, segment::REQUEST | segment::CREDIT)
            && let Some(end) = streams.end(from_end).filter(|end| !end.is_broken && end.stalled_since_ns.is_none())
        {
            end.stalled_since_ns = Some(self.now_ns);
            self.await_end(from_end.slot, Some(give_up_at_ns));
        }
        let late = Late { since_ns, lost: 0, failed: 0, is_decided: false, stage: Attempt::UnderWay };
        self.network.streams.late.entry(index).or_insert(late)
    }

    /// A segment's instant has come. The task that became ready by it comes back, as in [`Kernel::deliver`].
    #[inline(never)]
    pub(crate) fn deliver_segment(&mut self, index: u32) -> Option<TaskRef> {
        let (from, to) = self.network.ends_of(index);
        let (flow, number, what) = self.network.flow_number_and_tag(index);
        let direction = self.network.direction_of(index);
        if self.network.stopped_or_held(from, to) || !self.nodes[to.index()].up {
            self.not_delivered(index, from, to);
            return None;
        }
        if what == segment::CREDIT {
            // Nobody gave up because of it.
            self.network.streams.late.remove(&index);
            return self.deliver_credit(index, direction);
        }
        if what == segment::REQUEST && self.has_full_backlog(direction, from, to) {
            // As Linux does: it says nothing, and the request comes again.
            let from_end = self.network.streams.directions[direction as usize].from_end;
            match self.network.streams.end(from_end).is_some_and(|end| !end.is_broken) {
                true => {
                    let way_ns = self.network.calm_latency_ns(index);
                    self.late(index, self.now_ns.saturating_sub(way_ns)).is_decided = true;
                    self.retry(index);
                }
                false => {
                    self.network.streams.late.remove(&index);
                    self.lose_for_good(index, to, LossReason::QueueFull);
                }
            }
            return None;
        }
        self.came_through(index, direction);
        let target = match what {
            segment::REQUEST => self.begin_accepting(direction, from, to),
            _ => Some(self.network.streams.directions[direction as usize].to_end),
        };
        let target = target.filter(|target| self.network.streams.end(*target).is_some_and(|end| !end.is_broken));
        let place = Place { at_ns: self.now_ns, node: to, task: TaskId::NONE };
        let Some(target) = target else {
            // Nobody is there any more, or never was. That an end says no more is no news to who has gone; whoever sends bytes, or asks, is told.
            if what == segment::END || segment::is_reset(what) {
                self.network.counts.delivered += 1;
                self.journal.deliver(place, (flow, number, 0));
                self.network.free_message(index);
                return None;
            }
            let back = self.network.streams.directions[direction as usize].back;
            let is_asking = what == segment::REQUEST;
            self.lose(index, to, if is_asking { LossReason::NoListener } else { LossReason::ConnectionClosed });
            self.send_segment(back, segment::RESET, &[]);
            return None;
        };
        let is_in_turn = self.network.streams.end(target).is_some_and(|end| u64::from(end.next) == number);
        if matches!(what, segment::RESET | segment::BREAK) && !is_in_turn {
            self.challenge_reset(index, direction);
            return None;
        }
        self.network.counts.delivered += 1;
        self.journal.deliver(place, (flow, number, 0));
        let cause = flow.0 ^ number.wrapping_mul(0x9E37_79B9_7F4A_7C15);
        if what == segment::BREAK || segment::is_reset(what) {
            self.network.free_message(index);
            if what == segment::BREAK {
                let back = self.network.streams.directions[direction as usize].back;
                self.send_segment(back, segment::RESET, &[]);
            }
            self.break_end(target, io::ErrorKind::ConnectionReset);
            return None;
        }
        let end = self.network.streams.end(target).expect("it was there before");
        if !is_in_turn {
            end.early.insert(number as u32, index);
            return None;
        }
        self.take_in_order(target, index, cause)
    }

    /// A reset has come before what was sent before it. Whoever is told so out of turn asks back, and who has reset says it again with the number that is awaited (RFC 5961, 3.2): so it counts
    /// a round trip later. By then what is on its way would have come, mostly; here all of it has, however long it takes, and what comes later than that comes to nobody.
    #[cold]
    fn challenge_reset(&mut self, index: u32, direction: u32) {
        let (_, _, what) = self.network.flow_number_and_tag(index);
        let Direction { back, arrived_by_ns, .. } = self.network.streams.directions[direction as usize];
        if what == segment::BREAK {
            self.send_segment(back, segment::RESET, &[]);
        }
        self.network.set_tag(index, segment::RESET_AGAIN);
        let round_ns = self.network.calm_latency_ns(index).saturating_mul(2);
        // Behind those that arrive at the same instant.
        let wait_ns = round_ns.max(arrived_by_ns.saturating_sub(self.now_ns)).saturating_add(1);
        // It was to arrive under this name before.
        self.name_held_again(index);
        self.launch(index, wait_ns);
    }

    /// Takes in the segment that an end waits for, and those that had come before it was their turn.
    fn take_in_order(&mut self, target: EndRef, first: u32, cause: u64) -> Option<TaskRef> {
        let mut next = Some(first);
        let mut woken: Vec<WakeRef> = Vec::new();
        while let Some(index) = next {
            let (_, _, what) = self.network.flow_number_and_tag(index);
            let payload = self.network.take_payload(index);
            let end = self.network.streams.end(target)?;
            end.next += 1;
            match what {
                segment::REQUEST => {
                    let direction = end.direction;
                    self.send_segment(direction, segment::ACCEPTANCE, &[]);
                }
                segment::ACCEPTANCE => {
                    end.stage = Stage::Open;
                    woken.extend(end.writers.take());
                    let direction = end.direction;
                    self.await_end(target.slot, None);
                    self.send_segment(direction, segment::CONFIRMATION, &[]);
                }
                segment::CONFIRMATION => {
                    let Stage::Arriving(listener) = std::mem::replace(&mut end.stage, Stage::Open) else {
                        unreachable!("a handshake ends once")
                    };
                    match self.network.streams.listener(listener) {
                        Some(listener) => {
                            listener.arriving -= 1;
                            listener.accepted.push_back(target);
                            woken.extend(listener.acceptors.take());
                        }
                        // It is closed. Another one that has its port since wasn't asked.
                        None => self.abort_end(target),
                    }
                }
                segment::END => {
                    end.is_finished = true;
                    woken.extend(end.readers.take());
                }
                _ => {
                    end.unread_bytes += payload.as_slice().len() as u64;
                    end.arrived.push_back(payload);
                    woken.extend(end.readers.take());
                }
            }
            next = self.network.streams.end(target).and_then(|end| end.early.remove(&end.next));
        }
        let last = woken.pop();
        woken.into_iter().for_each(|wake| self.wake(wake, cause));
        last.and_then(|wake| self.wake_for_message(wake, cause))
    }

    /// Whether whoever is asked for a connection has no room for another one.
    fn has_full_backlog(&mut self, direction: u32, from: NodeId, to: NodeId) -> bool {
        let Some(listener) = self.listener_for(direction, from, to) else { return false };
        let entry = &self.network.streams.listeners[listener as usize];
        // One more than it says, as on Linux.
        entry.arriving + entry.accepted.len() > entry.backlog
    }

    /// Who listens where a connection is asked for.
    fn listener_for(&self, direction: u32, from: NodeId, to: NodeId) -> Option<u32> {
        let streams = &self.network.streams;
        let Direction { to_ip, to_port, .. } = streams.directions[direction as usize];
        let slot = *streams.listening.get(&(to, to_port))?;
        let bound = streams.listeners[slot as usize].address.ip();
        let is_asked = bound.is_unspecified() || bound == to_ip;
        // What is bound to a loopback address isn't reached from elsewhere.
        (is_asked && !(bound.is_loopback() && from != to)).then_some(slot)
    }

    /// A connection is asked for: the end of it that is to be accepted. `None` if nobody listens.
    fn begin_accepting(&mut self, direction: u32, from: NodeId, to: NodeId) -> Option<EndRef> {
        let slot = self.listener_for(direction, from, to)?;
        let Direction { back, to_ip, from_port, to_port, .. } = self.network.streams.directions[direction as usize];
        let remote_ip = if to_ip.is_loopback() { to_ip } else { self.nodes[from.index()].address };
        let streams = &mut self.network.streams;
        let listener = &mut streams.listeners[slot as usize];
        listener.arriving += 1;
        let shares_port = listener.shares_port;
        let asked = ListenerRef { slot, generation: listener.generation };
        let (local, remote) = (SocketAddr::new(to_ip, to_port), SocketAddr::new(remote_ip, from_port));
        let end = streams.new_end(to, (local, remote), shares_port, Stage::Arriving(asked));
        streams.end(end).expect("just made").direction = back;
        streams.directions[direction as usize].to_end = end;
        streams.directions[back as usize].from_end = end;
        Some(end)
    }

    // --- credits ------------------------------------------------------------------------------------------------------

    /// Tells the other end that it may send more, if so much was read that it matters: half a window, or whatever fills a packet if the other end waits for it.
    /// What TCP would have told already (RFC 1122, 4.2.3.3), and nobody has asked for, isn't sent.
    fn credit(&mut self, end: EndRef) {
        let window_bytes = self.network.streams.settings.window_bytes;
        let Some(entry) = self.network.streams.end(end) else { return };
        if entry.is_broken || entry.is_finished {
            return;
        }
        let (uncredited_bytes, direction) = (entry.uncredited_bytes, entry.direction);
        let half = window_bytes.div_ceil(2);
        if uncredited_bytes < half {
            let streams = &mut self.network.streams;
            let other = streams.directions[direction as usize].to_end;
            let waits = streams.end(other).is_some_and(|other| other.in_window_bytes >= window_bytes);
            if !waits || uncredited_bytes < half.min(PACKET_BYTES) {
                return;
            }
        }
        let Some(entry) = self.network.streams.end(end) else { return };
        let bytes = std::mem::take(&mut entry.uncredited_bytes);
        entry.credits += 1;
        let (credits, direction) = (entry.credits, entry.direction);
        let Direction { flow, .. } = self.network.streams.directions[direction as usize];
        let (from, to) = self.network.ends_of_flow(flow);
        let index = self.network.new_segment(flow, credits, (0, 0), segment::CREDIT, &bytes.to_le_bytes());
        let id = self.network.set_apart(index);
        let role = self.network.role_of(index);
        self.journal.name_flow(id, || FlowInfo { from, to, role, operation: None });
        let latency_ns = self.network.calm_latency_ns(index);
        self.launch(index, latency_ns);
    }

    fn deliver_credit(&mut self, index: u32, direction: u32) -> Option<TaskRef> {
        let payload = self.network.take_payload(index);
        let bytes = payload.as_slice().try_into().map_or(0, u64::from_le_bytes);
        let target = self.network.streams.directions[direction as usize].to_end;
        let end = self.network.streams.end(target)?;
        end.in_window_bytes = end.in_window_bytes.saturating_sub(bytes);
        let mut writers: Vec<WakeRef> = end.writers.take().collect();
        let last = writers.pop();
        writers.into_iter().for_each(|wake| self.wake(wake, 5));
        last.and_then(|wake| self.wake_for_message(wake, 5))
    }

    // --- what doesn't come through ------------------------------------------------------------------------------------

    /// A segment that would be lost, if it were a message, for that reason: whether it waits for another attempt instead.
    pub(crate) fn stall(&mut self, index: u32, node: NodeId, reason: LossReason) -> bool {
        let (_, _, what) = self.network.flow_number_and_tag(index);
        let is_stopped = match reason {
            LossReason::Rule | LossReason::Loss => {
                self.late(index, self.now_ns);
                self.retry(index);
                return true;
            }
            LossReason::SenderDown | LossReason::NoListener | LossReason::ConnectionClosed => false,
            LossReason::QueueFull => unreachable!("what a stream sends waits in a queue, however long that is"),
            // There is nobody to be told.
            LossReason::NodeDown => !(segment::is_reset(what) || matches!(what, segment::CREDIT | segment::END)),
            LossReason::PartitionOnSending | LossReason::PartitionOnArrival => true,
        };
        if !is_stopped {
            if self.network.streams.late.remove(&index).is_some_and(|late| late.stage == Attempt::Awaited) {
                self.await_attempt(index, None);
            }
            return false;
        }
        // What is stopped where it would have arrived was sent before that.
        let has_left = reason != LossReason::PartitionOnSending;
        let way_ns = if has_left { self.network.calm_latency_ns(index) } else { 0 };
        self.network.streams.stopped += 1;
        let number = self.network.streams.stopped;
        let late = self.late(index, self.now_ns.saturating_sub(way_ns));
        late.is_decided |= has_left;
        late.stage = Attempt::Stopped(number);
        if what != segment::CREDIT {
            self.tell_held(index, node);
        }
        true
    }

    /// A segment has come through: if its end had begun to give up, it doesn't any more.
    fn came_through(&mut self, index: u32, direction: u32) {
        if self.network.streams.late.is_empty() || self.network.streams.late.remove(&index).is_none() {
            return;
        }
        let from_end = self.network.streams.directions[direction as usize].from_end;
        let Some(end) = self.network.streams.end(from_end) else { return };
        if end.stalled_since_ns.take().is_some() && end.stage != Stage::Asking {
            self.await_end(from_end.slot, None);
        }
    }

    /// A segment that is late is sent again at its next attempt.
    fn retry(&mut self, index: u32) {
        let (_, _, what) = self.network.flow_number_and_tag(index);
        let now_ns = self.now_ns;
        let streams = &mut self.network.streams;
        let waits_ns = streams.settings.retransmission_waits_ns(what);
        let late = streams.late.get_mut(&index).expect("it is late");
        late.stage = Attempt::Awaited;
        let at_ns = next_attempt_ns(late.since_ns, now_ns, waits_ns);
        self.await_attempt(index, Some(at_ns));
    }

    /// The time of a segment's next attempt has come.
    #[cold]
    pub(crate) fn attempt_due(&mut self, index: u32) {
        let late = self.network.streams.late.get_mut(&index).expect("what isn't late isn't sent again");
        late.stage = Attempt::UnderWay;
        let is_decided = late.is_decided;
        let (from, to) = self.network.ends_of(index);
        if !is_decided {
            self.send_out(index);
        } else if self.network.stopped(from, to) {
            self.lose(index, from, LossReason::PartitionOnSending);
        } else {
            // It was to arrive under this name before.
            self.name_held_again(index);
            self.launch_segment(index, self.network.calm_latency_ns(index));
        }
    }

    /// What was in the way of segments is gone, perhaps: those that can come through are sent again at their next attempts.
    pub(crate) fn release_stopped(&mut self) {
        if self.network.streams.late.is_empty() {
            return;
        }
        let is_free = |message: u32| {
            let (from, to) = self.network.ends_of(message);
            !self.network.stopped(from, to) && self.nodes[to.index()].up
        };
        let mut free: Vec<(u32, u32)> = Vec::new();
        for (message, late) in &self.network.streams.late {
            if let Attempt::Stopped(number) = late.stage
                && is_free(*message)
            {
                free.push((number, *message));
            }
        }
        // In the order in which they were stopped.
        free.sort_unstable();
        for (_, message) in free {
            self.retry(message);
        }
    }

    /// Whether a message is a credit, which nobody counts.
    pub(crate) fn is_credit(&self, index: u32) -> bool {
        let (.., what) = self.network.flow_number_and_tag(index);
        self.network.kind_of(index) == Kind::Segment && what == segment::CREDIT
    }
}

/// What the weather does to one attempt of a segment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SegmentFate {
    pub latency_ns: u64,
    pub is_lost: bool,
    pub resets: bool,
    /// A rule has decided whether it is lost, and so that its connection doesn't break at it.
    pub is_ruled: bool,
    /// It has decided how long it takes, too.
    pub has_ruled_latency: bool,
    /// The rule that holds it.
    pub held_by: Option<u32>,
}

/// Copies bytes out, as many as are there and fit.
fn take_bytes(end: &mut End, buffers: &mut [&mut ReadBuf<'_>], peeks: bool) -> usize {
    let (mut place, mut offset, mut copied) = (0, end.offset, 0);
    for buffer in buffers {
        while buffer.remaining() > 0
            && let Some(payload) = end.arrived.get(place)
        {
            let bytes = &payload.as_slice()[offset..];
            let length = bytes.len().min(buffer.remaining());
            buffer.put_slice(&bytes[..length]);
            copied += length;
            offset += length;
            if offset == payload.as_slice().len() {
                (place, offset) = (place + 1, 0);
            }
        }
    }
    if !peeks {
        end.arrived.drain(..place);
        end.offset = offset;
        end.unread_bytes -= copied as u64;
        end.uncredited_bytes += copied as u64;
    }
    copied
}
