//! A cluster being described: nodes, links, faults, properties, limits.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::net::IpAddr;
use std::rc::Rc;
use std::time::Duration;

use squall_trace::verdict::BUILT_IN_PROPERTIES;
use squall_trace::{Property, Ratio};
use xxhash_rust::xxh3::xxh3_64;

use crate::budget::Budget;
use crate::buggify::Buggify;
use crate::cluster::Cluster;
use crate::description::RootFuture;
use crate::disk::{Disk, DiskRule};
use crate::fault::{Fault, Nodes, What};
use crate::host::RootTask;
use crate::knob::{Fixed, Setting};
use crate::latency::Latency;
use crate::rule::Rule;
use crate::send_queues::SendLimits;
use crate::streams::Tcp;

/// Makes a node's root task; called again at each boot.
pub(crate) trait Boot {
    /// For this crate's kernel.
    fn task(&self) -> crate::kernel::TaskFuture;

    /// For another engine.
    fn plain(&self) -> RootFuture;
}

pub(crate) type Init = Rc<dyn Boot>;

/// That of a node whose own is gone.
pub(crate) fn init_of_nothing() -> Init {
    Rc::new(Root(Rc::new(|| std::future::ready(()))))
}

/// What a node's root task does.
struct Root<F>(Rc<F>);

impl<F, Fut> Boot for Root<F>
where
    F: Fn() -> Fut + 'static,
    Fut: Future + 'static,
    Fut::Output: NodeOutput,
{
    fn task(&self) -> crate::kernel::TaskFuture {
        crate::task::root(Rc::clone(&self.0))
    }

    fn plain(&self) -> RootFuture {
        let init = Rc::clone(&self.0);
        // The init function is called by the task itself, as the kernel does it.
        Box::pin(async move { init().await.into_result() })
    }
}

/// What a node's root task does, executed by what a host makes of it.
struct Hosted<H> {
    own: Init,
    host: H,
}

impl<H, F> Boot for Hosted<H>
where
    H: Fn(RootTask) -> F + 'static,
    F: Future<Output = ()> + 'static,
{
    fn task(&self) -> crate::kernel::TaskFuture {
        crate::task::host((self.host)(RootTask::new(self.own.task())))
    }

    fn plain(&self) -> RootFuture {
        unreachable!("a world with hosted nodes is refused for another engine")
    }
}

/// What a node's root task may return: nothing, or a result whose error fails the run (property `error`).
pub trait NodeOutput {
    /// The error in words.
    ///
    /// # Errors
    /// If the task says that it failed.
    fn into_result(self) -> Result<(), String>;
}

impl NodeOutput for () {
    fn into_result(self) -> Result<(), String> {
        Ok(())
    }
}

impl NodeOutput for std::convert::Infallible {
    fn into_result(self) -> Result<(), String> {
        match self {}
    }
}

/// Names the type `!`, which stable Rust has no name for: a server that loops for ever returns it.
#[doc(hidden)]
pub trait Returns {
    type Type;
}

impl<T> Returns for fn() -> T {
    type Type = T;
}

impl NodeOutput for <fn() -> ! as Returns>::Type {
    fn into_result(self) -> Result<(), String> {
        self
    }
}

impl<T: NodeOutput, E: std::fmt::Debug> NodeOutput for Result<T, E> {
    fn into_result(self) -> Result<(), String> {
        self.map_err(|error| format!("{error:?}"))?.into_result()
    }
}

/// What a panic in one of a node's tasks does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnPanic {
    /// Fails the run: property `panic`, with node, task, message and place.
    #[default]
    FailRun,
    /// Crashes the node, which stays down unless something restarts it.
    Crash,
    /// Ends the task; who joins it gets a [`crate::task::JoinError`], as with tokio. Nobody can join a node's root: its
    /// panic fails the run.
    JoinError,
}

/// When a run is given up. A run that ends so with an unfinished client is Unknown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Virtual nanoseconds; an hour unless said otherwise.
    pub virtual_ns: u64,
    /// Events; ten million unless said otherwise.
    pub events: u64,
    /// Polls of one task within one instant: more is a livelock. Ten thousand unless said otherwise.
    pub polls_in_instant: u32,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits { virtual_ns: 3_600_000_000_000, events: 10_000_000, polls_in_instant: 10_000 }
    }
}

/// Where the clocks stand when a run starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClockSettings {
    /// The wall clock: nanoseconds since the Unix epoch. 2026-01-01T00:00:00Z unless said otherwise.
    pub epoch_ns: u64,
    /// The monotonic clock: nanoseconds since its zero. Ten days unless said otherwise, so that `now - 1h` works.
    pub monotonic_start_ns: u64,
}

impl Default for ClockSettings {
    fn default() -> ClockSettings {
        ClockSettings { epoch_ns: 1_767_225_600_000_000_000, monotonic_start_ns: 864_000_000_000_000 }
    }
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct RunSettings {
    pub limits: Limits,
    pub end_at_ns: Option<u64>,
    pub clock: ClockSettings,
}

/// A duration in whole nanoseconds; beyond 584 years it stays there.
pub(crate) fn duration_ns(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// Shared latency distributions are compiled once and shared by all links and runs.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct LinkRule {
    pub from: String,
    pub to: String,
    pub both_ways: bool,
    pub latency: Option<Latency>,
    pub loss: Option<Ratio>,
    pub reorder: Option<Ratio>,
    pub duplicate: Option<Ratio>,
    pub duplicate_latency: Option<Latency>,
    pub corruption: Option<Ratio>,
    pub reset: Option<Ratio>,
    pub bursts: Option<Bursts>,
    pub bandwidth_bits_per_second: Option<u64>,
    pub queue_bytes: Option<u64>,
}

/// Each message takes so many bytes beside its payload where [bandwidth](Link::bandwidth_bits_per_second) is limited: the headers of IPv4 (20) and UDP (8).
pub const MESSAGE_HEADER_BYTES: u64 = 28;

/// The greatest bandwidth: a petabit per second.
pub const BANDWIDTH_BITS_PER_SECOND_MAX: u64 = 1_000_000_000_000_000;

/// Whether there can be such a bandwidth.
#[track_caller]
fn check_bandwidth(of: &str, bits_per_second: u64) {
    assert!(
        (1..=BANDWIDTH_BITS_PER_SECOND_MAX).contains(&bits_per_second),
        "the bandwidth of {of} is from 1 to {BANDWIDTH_BITS_PER_SECOND_MAX} bits per second, not {bits_per_second}"
    );
}

/// What nodes share among their links.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct UplinkRule {
    pub node: String,
    pub limits: SendLimits,
}

/// What nodes of a name send all their links over; see [`World::uplink`]. What isn't said here is as before.
#[derive(Debug)]
pub struct Uplink<'w>(&'w mut UplinkRule);

impl Uplink<'_> {
    /// How much passes in a second. All links of the node that have something to send share it max-min fairly: none gets more than its own
    /// [bandwidth](Link::bandwidth_bits_per_second), and what one doesn't take the others get.
    ///
    /// # Panics
    /// If it is 0 or beyond [`BANDWIDTH_BITS_PER_SECOND_MAX`].
    #[track_caller]
    pub fn bandwidth_bits_per_second(&mut self, bits_per_second: u64) -> &mut Self {
        check_bandwidth(&format!("the uplink of {}", self.0.node), bits_per_second);
        self.0.limits.bandwidth_bits_per_second = Some(bits_per_second);
        self
    }

    /// How much may wait for it, on all links of the node together; see [`Link::queue_bytes`].
    pub fn queue_bytes(&mut self, bytes: u64) -> &mut Self {
        self.0.limits.queue_bytes = Some(bytes);
        self
    }
}

/// How a node's messages to itself travel: see [`World::loopback`]. They are never lost, copied or corrupted; no partition stops them, no hold keeps
/// them, and no bandwidth limits them. What they take time is all that there is.
#[derive(Debug)]
pub struct Loopback<'w>(&'w mut Option<Latency>);

impl Loopback<'_> {
    /// How long they travel: 10 µs unless said otherwise. Where it isn't always the same, it is a decision of its own as on any link.
    ///
    /// # Panics
    /// If the distribution is impossible; see [`Latency::validate`].
    #[track_caller]
    pub fn latency(&mut self, latency: Latency) -> &mut Self {
        if let Err(error) = latency.validate() {
            panic!("the latency of what nodes send to themselves is impossible: {error}");
        }
        *self.0 = Some(latency);
        self
    }
}

impl LinkRule {
    /// Whether it changes nothing.
    pub(crate) fn says_nothing(&self) -> bool {
        let LinkRule { from, to, both_ways, .. } = self;
        *self == LinkRule { from: from.clone(), to: to.clone(), both_ways: *both_ways, ..LinkRule::default() }
    }

    /// Whether what a node sends may pass it.
    fn is_of_sender(&self, node: &str) -> bool {
        matches(&self.from, node) || self.both_ways && matches(&self.to, node)
    }
}

/// Losses that come in bursts: the model of Gilbert ("Capacity of a burst-noise channel", BSTJ 39 (1960)) and Elliott ("Estimates of error
/// rates for codes on burst-noise channels", BSTJ 42 (1963)), in continuous time.
///
/// Each directed link is in turn in a good and in a bad state, good at first, for exponentially distributed times. In the bad state it loses the
/// share `loss` of its messages, in the good one what [`Link::loss`] says. The share `bad / (good + bad)` of all time is bad. When a
/// link is bad follows from the seed and the link alone: no message more or less shifts it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bursts {
    /// How long it is good, in the mean.
    pub good: Duration,
    /// How long it is bad, in the mean.
    pub bad: Duration,
    /// The share of messages that a bad link loses.
    pub loss: Ratio,
}

impl Bursts {
    /// Bursts in which everything is lost.
    #[must_use]
    pub fn new(good: Duration, bad: Duration) -> Bursts {
        Bursts { good, bad, loss: Ratio::ONE }
    }

    /// The same, with that share lost in a burst.
    #[must_use]
    pub fn loss(self, loss: Ratio) -> Bursts {
        Bursts { loss, ..self }
    }

    /// Whether such times can be.
    ///
    /// # Errors
    /// In words, what is wrong with which of them.
    pub fn validate(&self) -> Result<(), String> {
        for (name, time) in [("good", self.good), ("bad", self.bad)] {
            if time.is_zero() {
                return Err(format!("`{name}`: a link is {name} for more than no time"));
            }
            Latency::exponential(time).validate().map_err(|error| format!("`{name}`: {error}"))?;
        }
        Ok(())
    }
}

/// The weather between nodes: what isn't said here is as the network's default.
#[derive(Debug)]
pub struct Link<'w>(pub(crate) &'w mut LinkRule);

impl Link<'_> {
    /// How long messages travel.
    ///
    /// # Panics
    /// If the distribution is impossible; see [`Latency::validate`].
    pub fn latency(&mut self, latency: Latency) -> &mut Self {
        if let Err(error) = latency.validate() {
            panic!("the latency of the link from {} to {} is impossible: {error}", self.0.from, self.0.to);
        }
        self.0.latency = Some(latency);
        self
    }

    /// The share of messages that is lost.
    pub fn loss(&mut self, share: Ratio) -> &mut Self {
        self.0.loss = Some(share);
        self
    }

    /// Losses that come in bursts.
    ///
    /// # Panics
    /// If the times are impossible; see [`Bursts::validate`].
    pub fn bursts(&mut self, bursts: Bursts) -> &mut Self {
        if let Err(error) = bursts.validate() {
            panic!("the bursts of the link from {} to {} are impossible: {error}", self.0.from, self.0.to);
        }
        self.0.bursts = Some(bursts);
        self
    }

    /// The share of messages that arrives with one bit flipped, any of theirs: for those who want to test their checksums. What has no bytes
    /// arrives as it is, and a copy does.
    pub fn corruption(&mut self, share: Ratio) -> &mut Self {
        self.0.corruption = Some(share);
        self
    }

    /// The share of segments of streams that carry bytes at which their connection breaks: both ends have it reset. Datagrams and calls aren't
    /// concerned.
    pub fn reset(&mut self, share: Ratio) -> &mut Self {
        self.0.reset = Some(share);
        self
    }

    /// How many bits pass in a second, one message after the other: each takes its bytes and [`MESSAGE_HEADER_BYTES`], and leaves for as long as its
    /// latency says when all of it has been sent. What is sent meanwhile waits in the sender's queue for this link, and what the sender's crash finds
    /// there is gone. What the network does to a message (a partition, a loss, a copy, which takes no bandwidth) it does when it leaves.
    ///
    /// # Panics
    /// If it is 0 or beyond [`BANDWIDTH_BITS_PER_SECOND_MAX`].
    #[track_caller]
    pub fn bandwidth_bits_per_second(&mut self, bits_per_second: u64) -> &mut Self {
        check_bandwidth(&format!("the link from {} to {}", self.0.from, self.0.to), bits_per_second);
        self.0.bandwidth_bits_per_second = Some(bits_per_second);
        self
    }

    /// How much may wait in the sender's queue for this link where [bandwidth](Link::bandwidth_bits_per_second) is limited, in bytes and headers of
    /// messages, without the one that is being sent. A message that finds no room is lost; what a stream sends waits however much that is, as TCP slows down. If nothing is said, as much waits as is sent, for as long as it
    /// takes (which is called bufferbloat).
    pub fn queue_bytes(&mut self, bytes: u64) -> &mut Self {
        self.0.queue_bytes = Some(bytes);
        self
    }

    /// The share of messages that others overtake, beside those that do by chance: such a message takes the latency twice, each drawn, as if it had gone a longer
    /// way. On a link whose latency is always the same nothing else is out of order, but for messages that arrive at the same instant: their order is the strategy's to choose.
    pub fn reorder(&mut self, share: Ratio) -> &mut Self {
        self.0.reorder = Some(share);
        self
    }

    /// The share of messages that arrives twice, the copy with a latency of its own, drawn as the link's or as [`Link::duplicate_latency`] says.
    pub fn duplicate(&mut self, share: Ratio) -> &mut Self {
        self.0.duplicate = Some(share);
        self
    }

    /// How long copies travel, in place of the link's latency: late ones come when nobody waits for them any more.
    ///
    /// # Panics
    /// If the distribution is impossible; see [`Latency::validate`].
    #[track_caller]
    pub fn duplicate_latency(&mut self, latency: Latency) -> &mut Self {
        if let Err(error) = latency.validate() {
            panic!("the latency of copies from {} to {} is impossible: {error}", self.0.from, self.0.to);
        }
        self.0.duplicate_latency = Some(latency);
        self
    }
}

/// The end of the storm; see [`World::heal`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Heal {
    pub(crate) at: Duration,
    /// Patterns of names, if it isn't for all nodes.
    pub(crate) core: Option<Vec<String>>,
    pub(crate) within: Option<Duration>,
}

impl Heal {
    /// Only for these nodes, and between them; patterns with `*` name several. The others' faults stay for good: who is down stays down, who is
    /// cut off stays cut off, and their links keep their weather. Clients among them aren't waited for any more. A core of no node is refused when
    /// the run begins.
    pub fn core<N: Into<String>>(&mut self, nodes: impl IntoIterator<Item = N>) -> &mut Heal {
        self.core = Some(nodes.into_iter().map(Into::into).collect());
        self
    }

    /// The clients (of the core, if there is one) must come to their ends within that virtual time: at the bound is in time. A run that ends
    /// before the bound while some still wait is Unknown.
    pub fn progress_within(&mut self, within: Duration) -> &mut Heal {
        self.within = Some(within);
        self
    }

    pub(crate) fn has(&self, node: &str) -> bool {
        self.core.as_ref().is_none_or(|core| core.iter().any(|pattern| matches(pattern, node)))
    }

    /// # Errors
    /// In words, if the core names no node, or one of its patterns does, or no client is there to make progress.
    pub(crate) fn check(&self, nodes: &[NodeSpec]) -> Result<(), String> {
        if self.core.as_ref().is_some_and(Vec::is_empty) {
            return Err("the heal's core names no node: name some, or leave the core out to heal all nodes".to_string());
        }
        let names = || nodes.iter().filter(|node| !node.control).map(|node| node.name.as_str());
        if let Some(pattern) = self.core.iter().flatten().find(|pattern| !names().any(|name| matches(pattern, name))) {
            let all: Vec<&str> = names().collect();
            return Err(format!("the heal's core names {pattern:?}, but the nodes are {}", all.join(", ")));
        }
        if self.within.is_some() && !nodes.iter().any(|node| node.client && self.has(&node.name)) {
            return Err("the heal demands progress, but heals no client that could make some".to_string());
        }
        Ok(())
    }
}

pub(crate) struct NodeSpec {
    pub name: String,
    pub client: bool,
    pub control: bool,
    pub address: Option<IpAddr>,
    pub on_panic: OnPanic,
    pub init: Init,
    /// Whether another executor has its root task.
    pub is_hosted: bool,
}

impl NodeSpec {
    #[track_caller]
    fn host<H, F>(&mut self, host: H)
    where
        H: Fn(RootTask) -> F + 'static,
        F: Future<Output = ()> + 'static,
    {
        let NodeSpec { name, init, is_hosted, .. } = self;
        assert!(!*is_hosted, "the root task of node {name:?} is hosted already: one executor is enough");
        *is_hosted = true;
        let own = Rc::clone(init);
        *init = Rc::new(Hosted { own, host });
    }
}

/// A node being described.
pub struct NodeBuilder<'w>(&'w mut NodeSpec);

impl NodeBuilder<'_> {
    /// What a panic in one of its tasks does.
    pub fn on_panic(&mut self, on_panic: OnPanic) -> &mut Self {
        self.0.on_panic = on_panic;
        self
    }

    /// Its address. Otherwise 10.0.0.1 and on, in the order of declaration.
    pub fn address(&mut self, address: IpAddr) -> &mut Self {
        self.0.address = Some(address);
        self
    }

    /// Its root task isn't executed by Squall but by what `host` makes, at each boot: a future, the node's only task of the run as long as no other is
    /// spawned by [`crate::task::spawn`], which executes the root. See [`crate::host`]. What its tasks panic with follows [`NodeBuilder::on_panic`].
    ///
    /// # Panics
    /// If the node is hosted already.
    #[track_caller]
    pub fn hosted<H, F>(&mut self, host: H) -> &mut Self
    where
        H: Fn(RootTask) -> F + 'static,
        F: Future<Output = ()> + 'static,
    {
        self.0.host(host);
        self
    }
}

/// The nodes of a role being described: what is said here is said of each.
pub struct RoleBuilder<'w>(&'w mut [NodeSpec]);

impl RoleBuilder<'_> {
    /// As [`NodeBuilder::on_panic`].
    pub fn on_panic(&mut self, on_panic: OnPanic) -> &mut Self {
        for node in &mut *self.0 {
            node.on_panic = on_panic;
        }
        self
    }

    /// As [`NodeBuilder::hosted`].
    ///
    /// # Panics
    /// If the nodes are hosted already.
    #[track_caller]
    pub fn hosted<H, F>(&mut self, host: H) -> &mut Self
    where
        H: Fn(RootTask) -> F + Clone + 'static,
        F: Future<Output = ()> + 'static,
    {
        for node in &mut *self.0 {
            node.host(host.clone());
        }
        self
    }
}

/// A cluster being described. A run is made from it by [`crate::run()`], which calls the closure that fills it.
pub struct World {
    pub(crate) nodes: Vec<NodeSpec>,
    pub(crate) network: LinkRule,
    pub(crate) links: Vec<LinkRule>,
    pub(crate) uplinks: Vec<UplinkRule>,
    pub(crate) loopback: Option<Latency>,
    pub(crate) tcp: Tcp,
    pub(crate) storage: DiskRule,
    pub(crate) disks: Vec<DiskRule>,
    pub(crate) faults: Vec<Fault>,
    pub(crate) rules: Vec<Rule>,
    pub(crate) properties: Vec<Box<dyn Property>>,
    pub(crate) limits: Limits,
    pub(crate) end_at: Option<Duration>,
    pub(crate) heal: Option<Heal>,
    pub(crate) clock: ClockSettings,
    pub(crate) buggify: Buggify,
    pub(crate) budgets: Vec<Budget>,
    pub(crate) is_swarm: bool,
    pub(crate) knobs: BTreeMap<String, Fixed>,
    counts: BTreeMap<String, u32>,
    /// Roles that the program asked about.
    roles: RefCell<BTreeMap<String, RoleUse>>,
    /// Hashes of the names so far: comparing each new name with all others is slow with ten thousand nodes.
    name_hashes: BTreeSet<u64>,
}

/// What became of a role that a program asked about.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RoleUse {
    /// How many nodes it has.
    pub count: u32,
    /// Whether they are clients ([`World::clients`]).
    pub clients: bool,
}

impl World {
    pub(crate) fn new() -> World {
        World {
            nodes: Vec::new(),
            network: LinkRule {
                from: "*".to_string(),
                to: "*".to_string(),
                both_ways: true,
                latency: Some(crate::latency::Latency::uniform(Duration::from_millis(1), Duration::from_millis(10))),
                loss: Some(Ratio::ZERO),
                reorder: Some(Ratio::ZERO),
                duplicate: Some(Ratio::ZERO),
                corruption: Some(Ratio::ZERO),
                reset: Some(Ratio::ZERO),
                ..LinkRule::default()
            },
            links: Vec::new(),
            uplinks: Vec::new(),
            loopback: None,
            tcp: Tcp::default(),
            storage: DiskRule::usual(),
            disks: Vec::new(),
            faults: Vec::new(),
            rules: Vec::new(),
            properties: Vec::new(),
            limits: Limits::default(),
            end_at: None,
            heal: None,
            clock: ClockSettings::default(),
            buggify: Buggify::default(),
            budgets: Vec::new(),
            is_swarm: false,
            knobs: BTreeMap::new(),
            counts: BTreeMap::new(),
            roles: RefCell::new(BTreeMap::new()),
            name_hashes: BTreeSet::new(),
        }
    }

    /// A server: a restartable process. `init` is called at each boot; what it returns is the node's root task. The run
    /// doesn't wait for it.
    ///
    /// # Panics
    /// If the name is taken, empty, or holds `*`, `:` or `/`.
    pub fn node<F, Fut>(&mut self, name: impl Into<String>, init: F) -> NodeBuilder<'_>
    where
        F: Fn() -> Fut + 'static,
        Fut: Future + 'static,
        Fut::Output: NodeOutput,
    {
        self.add(name.into(), false, false, init)
    }

    /// A client: like [`World::node`], but the run lasts until all clients have returned.
    ///
    /// # Panics
    /// If the name is taken, empty, or holds `*`, `:` or `/`.
    pub fn client<F, Fut>(&mut self, name: impl Into<String>, init: F) -> NodeBuilder<'_>
    where
        F: Fn() -> Fut + 'static,
        Fut: Future + 'static,
        Fut::Output: NodeOutput,
    {
        self.add(name.into(), true, false, init)
    }

    /// Servers `role-0`, `role-1` and on: as many as the scenario file's `[nodes]` says, else `default_count`.
    ///
    /// # Panics
    /// As [`World::node`].
    pub fn nodes<F, Fut>(&mut self, role: &str, default_count: u32, init: F) -> RoleBuilder<'_>
    where
        F: Fn(u32) -> Fut + Clone + 'static,
        Fut: Future + 'static,
        Fut::Output: NodeOutput,
    {
        let first = self.nodes.len();
        for index in 0..self.count(role, default_count) {
            let init = init.clone();
            self.node(format!("{role}-{index}"), move || init(index));
        }
        RoleBuilder(&mut self.nodes[first..])
    }

    /// Clients `role-0`, `role-1` and on; see [`World::nodes`].
    ///
    /// # Panics
    /// As [`World::node`].
    pub fn clients<F, Fut>(&mut self, role: &str, default_count: u32, init: F) -> RoleBuilder<'_>
    where
        F: Fn(u32) -> Fut + Clone + 'static,
        Fut: Future + 'static,
        Fut::Output: NodeOutput,
    {
        let count = self.count(role, default_count);
        self.roles.get_mut().entry(role.to_string()).or_default().clients = true;
        let first = self.nodes.len();
        for index in 0..count {
            let init = init.clone();
            self.client(format!("{role}-{index}"), move || init(index));
        }
        RoleBuilder(&mut self.nodes[first..])
    }

    /// How many nodes of a role there are: as the scenario file's `[nodes]` says, else `default_count`.
    #[must_use]
    pub fn count(&self, role: &str, default_count: u32) -> u32 {
        let count = self.counts.get(role).copied().unwrap_or(default_count);
        self.roles.borrow_mut().entry(role.to_string()).or_default().count = count;
        count
    }

    /// The roles that the program has asked about so far, by name.
    #[must_use]
    pub fn roles(&self) -> BTreeMap<String, RoleUse> {
        self.roles.borrow().clone()
    }

    /// Sets how many nodes of a role there are, before the program asks.
    pub fn set_count(&mut self, role: impl Into<String>, count: u32) {
        self.counts.insert(role.into(), count);
    }

    /// A task outside of the network that sees the cluster and acts on it: crashes whoever leads now, say. The run doesn't
    /// wait for it; but while it goes on, a client that is down counts as unfinished, since it may be started again.
    pub fn control<F, Fut>(&mut self, act: F)
    where
        F: Fn(Cluster) -> Fut + 'static,
        Fut: Future + 'static,
        Fut::Output: NodeOutput,
    {
        let number = self.nodes.iter().filter(|node| node.control).count();
        let name = if number == 0 { "control".to_string() } else { format!("control-{number}") };
        self.add(name, false, true, move || act(Cluster::new()));
    }

    fn add<F, Fut>(&mut self, name: String, client: bool, control: bool, init: F) -> NodeBuilder<'_>
    where
        F: Fn() -> Fut + 'static,
        Fut: Future + 'static,
        Fut::Output: NodeOutput,
    {
        assert!(
            !name.is_empty() && !name.contains(['*', ':', '/']),
            "a node's name can't be {name:?}: it must not be empty, and * : / have a meaning of their own"
        );
        let is_new =
            self.name_hashes.insert(xxh3_64(name.as_bytes())) || self.nodes.iter().all(|node| node.name != name);
        assert!(is_new, "there are two nodes named {name:?}");
        let init: Init = Rc::new(Root(Rc::new(init)));
        self.nodes.push(NodeSpec {
            name,
            client,
            control,
            address: None,
            on_panic: OnPanic::default(),
            init,
            is_hosted: false,
        });
        NodeBuilder(self.nodes.last_mut().expect("just pushed"))
    }

    /// The weather of every link, unless [`World::link`] says otherwise.
    pub fn network(&mut self) -> Link<'_> {
        Link(&mut self.network)
    }

    /// The weather between two nodes, both ways. Patterns with `*` name several. Of several links that match, the last
    /// one that sets something wins.
    ///
    /// # Panics
    /// The run panics at its start if no node matches.
    pub fn link(&mut self, a: impl Into<String>, b: impl Into<String>) -> Link<'_> {
        self.push_link(a.into(), b.into(), true)
    }

    /// The weather from one node to another; the way back is another link.
    ///
    /// # Panics
    /// As [`World::link`].
    pub fn link_one_way(&mut self, from: impl Into<String>, to: impl Into<String>) -> Link<'_> {
        self.push_link(from.into(), to.into(), false)
    }

    fn push_link(&mut self, from: String, to: String, both_ways: bool) -> Link<'_> {
        self.links.push(LinkRule { from, to, both_ways, ..LinkRule::default() });
        Link(self.links.last_mut().expect("just pushed"))
    }

    /// What all links of a node share. A pattern with `*` names several, each of which has one of its own. Of several that match, the last one that sets
    /// something wins.
    ///
    /// # Panics
    /// The run panics at its start if no node matches.
    pub fn uplink(&mut self, node: impl Into<String>) -> Uplink<'_> {
        self.uplinks.push(UplinkRule { node: node.into(), limits: SendLimits::default() });
        Uplink(self.uplinks.last_mut().expect("just pushed"))
    }

    /// How connections of streams behave.
    ///
    /// # Panics
    /// If a window has no bytes, or a time is zero.
    pub fn tcp(&mut self, tcp: Tcp) -> &mut Self {
        if let Err(error) = tcp.validate() {
            panic!("such streams can't be: {error}");
        }
        self.tcp = tcp;
        self
    }

    /// What a node sends to itself.
    pub fn loopback(&mut self) -> Loopback<'_> {
        Loopback(&mut self.loopback)
    }

    /// Whether anything that is said so far limits the bandwidth of the node's uplink or of one of its links, now or for a time.
    #[must_use]
    pub fn limits_bandwidth_of(&self, node: &str) -> bool {
        self.link_rules().any(|rule| rule.bandwidth_bits_per_second.is_some() && rule.is_of_sender(node))
            || self
                .uplinks
                .iter()
                .any(|rule| rule.limits.bandwidth_bits_per_second.is_some() && matches(&rule.node, node))
    }

    /// Whether anything that is said so far makes messages arrive twice, now or for a time.
    #[must_use]
    pub fn duplicates(&self) -> bool {
        self.link_rules().filter_map(|rule| rule.duplicate).any(|share| !share.is_zero())
    }

    fn link_rules(&self) -> impl Iterator<Item = &LinkRule> {
        let of_faults = self.faults.iter().filter_map(|fault| match &fault.what {
            What::Weather(rule) => Some(&**rule),
            _ => None,
        });
        std::iter::once(&self.network).chain(&self.links).chain(of_faults)
    }

    /// # Errors
    /// In words, if a queue is limited in which nothing ever waits.
    pub(crate) fn check_queues(&self) -> Result<(), String> {
        // A control task may limit bandwidths while the run goes on.
        if self.nodes.iter().any(|node| node.control) {
            return Ok(());
        }
        let nothing_waits = |is_of_sender: &dyn Fn(&str) -> bool| {
            !self.node_names().any(|node| is_of_sender(node) && self.limits_bandwidth_of(node))
        };
        let of_links = self
            .link_rules()
            .filter(|rule| rule.queue_bytes.is_some() && nothing_waits(&|node| rule.is_of_sender(node)))
            .map(|rule| format!("the links from {} to {}", rule.from, rule.to));
        let of_uplinks = self
            .uplinks
            .iter()
            .filter(|rule| rule.limits.queue_bytes.is_some() && nothing_waits(&|node| matches(&rule.node, node)))
            .map(|rule| format!("the uplink of {}", rule.node));
        of_links.chain(of_uplinks).next().map_or(Ok(()), |whose| {
            Err(format!(
                "the queue of {whose} is limited, but nothing ever waits there: neither the sender's uplink nor one of its links has a \
                 limited bandwidth"
            ))
        })
    }

    /// How every node's disk behaves, unless [`World::disk`] says otherwise.
    pub fn storage(&mut self) -> Disk<'_> {
        Disk(&mut self.storage)
    }

    /// How a node's disk behaves. A pattern with `*` names several. Of several that match, the last one that sets something wins.
    ///
    /// # Panics
    /// The run panics at its start if no node matches.
    pub fn disk(&mut self, node: impl Into<String>) -> Disk<'_> {
        self.disks.push(DiskRule::of(node.into()));
        Disk(self.disks.last_mut().expect("just pushed"))
    }

    /// Something goes wrong at a given time.
    ///
    /// # Panics
    /// If the fault has the name of another one: a name is an address. If it can't be; see [`Fault::validate`].
    #[track_caller]
    pub fn fault(&mut self, fault: Fault) {
        if let Some(name) = &fault.name {
            let first = self.faults.iter().find(|other| other.name.as_ref() == Some(name));
            assert!(first.is_none(), "there are two faults named {name:?}: a name is an address, so give each its own");
        }
        if let Err(error) = fault.validate() {
            panic!("{}: {error}", fault.sentence());
        }
        self.faults.push(fault);
    }

    /// The rules so far.
    pub fn rules(&self) -> &[Rule] {
        &self.rules
    }

    /// A rule on messages. Of several that concern a message the first that does something decides.
    ///
    /// # Panics
    /// If another one has its name (or, without one, says the same), or if it can concern no message. The run panics at its start if it names no node.
    pub fn rule(&mut self, rule: Rule) {
        if let Err(error) = rule.validate() {
            panic!("the rule on {}: {error}", rule.sentence());
        }
        let address = rule.address();
        let is_there = self.rules.iter().any(|other| other.address() == address);
        assert!(!is_there, "there are two rules {address:?}: that is their address, so name one of them otherwise");
        self.rules.push(rule);
    }

    /// At most so many of these nodes are down at once, or stand still, or so many partitions are there: what would go beyond that doesn't happen. Of several budgets
    /// each holds. What a program does to itself (a panic that crashes its node) counts, and can't be refused.
    ///
    /// ```
    /// # use squall_engine::{AtMost, World};
    /// # fn describe(world: &mut World) {
    /// world.budget("store-*").crashed(AtMost::Minority).paused(1);
    /// # }
    /// ```
    ///
    /// # Panics
    /// The run panics at its start if no node matches, or if the faults at given times go beyond it by themselves.
    pub fn budget(&mut self, of: impl Nodes) -> &mut Budget {
        self.budgets.push(Budget::new(of));
        self.budgets.last_mut().expect("just pushed")
    }

    /// Takes a budget as it is.
    #[doc(hidden)]
    pub fn push_budget(&mut self, budget: Budget) {
        self.budgets.push(budget);
    }

    /// The budgets so far.
    #[must_use]
    pub fn budgets(&self) -> &[Budget] {
        &self.budgets
    }

    /// The faults at given times so far.
    #[must_use]
    pub fn faults(&self) -> &[Fault] {
        &self.faults
    }

    /// Whether the runs are a swarm: each leaves out each class of faults with probability one half, and multiplies the rates of each other one by a power of two
    /// from 1/4 to 4. Which and how follows from the seed alone, and is told with the run. See [`squall_trace::swarm`].
    pub fn swarm(&mut self, is_swarm: bool) {
        self.is_swarm = is_swarm;
    }

    /// How often what the programs mark by `squall::buggify!` happens, and how many of their knobs are turned. It is on unless it is switched
    /// [off](Buggify::off): a run always is a simulation, and who marks such a place wants it to be tried.
    pub fn buggify(&mut self) -> &mut Buggify {
        &mut self.buggify
    }

    /// The knob of that name (`squall::knob!`) has that value in every run. It needn't be one of its alternatives.
    ///
    /// # Panics
    /// The run panics at its start if no knob of the program is named so, and when the knob is read if its values are of another type.
    pub fn knob(&mut self, name: impl Into<String>, value: impl Setting) {
        self.knobs.insert(name.into(), value.to_fixed());
    }

    /// As [`World::knob`], for a value that was read from somewhere.
    #[doc(hidden)]
    pub fn fix_knob(&mut self, name: impl Into<String>, value: Fixed) {
        self.knobs.insert(name.into(), value);
    }

    /// A claim that the run is judged by. Goals of one name are one goal.
    ///
    /// # Panics
    /// If its name is that of another property, or of one that every run has: nobody could tell which of them failed.
    #[track_caller]
    pub fn check(&mut self, property: impl Property + 'static) {
        let name = property.name();
        assert!(
            !BUILT_IN_PROPERTIES.contains(&name),
            "every run has a property named {name:?} of its own: give this one another name"
        );
        let is_goal = property.goal().is_some();
        let mut known = self.properties.iter().filter(|known| known.name() == name);
        assert!(
            known.all(|known| is_goal && known.goal().is_some()),
            "there are two properties named {name:?}: failures are known by that name, so give each its own"
        );
        self.properties.push(Box::new(property));
    }

    /// When a run is given up.
    pub fn limits(&mut self) -> &mut Limits {
        &mut self.limits
    }

    /// The run ends at that virtual time, whoever is still busy, and not before.
    pub fn end_at(&mut self, at: Duration) {
        self.end_at = Some(at);
    }

    /// The time at which the run ends, if one was given.
    #[must_use]
    pub fn end_time(&self) -> Option<Duration> {
        self.end_at
    }

    /// From that virtual time on nothing goes wrong any more: whoever is down starts again, partitions end, no message is lost or comes twice,
    /// no queue drops any, each takes its calm latency, and what is ready at one instant comes in the order in which it became so. Faults that the script or a
    /// control task asks for later don't happen. Of several calls the last one counts.
    ///
    /// With [`Heal::progress_within`] the clients must then come to their ends: property `progress`.
    pub fn heal(&mut self, at: Duration) -> &mut Heal {
        self.heal.insert(Heal { at, core: None, within: None })
    }

    /// Whether the [heal](World::heal) can be as it is said, with the nodes so far.
    ///
    /// # Errors
    /// In words, if its core or a pattern of it names no node, or if progress is demanded and no client is there to make some.
    pub fn check_heal(&self) -> Result<(), String> {
        self.heal.as_ref().map_or(Ok(()), |heal| heal.check(&self.nodes))
    }

    /// Where the clocks stand at the start.
    pub fn clock(&mut self) -> &mut ClockSettings {
        &mut self.clock
    }

    /// The names of the nodes so far.
    pub fn node_names(&self) -> impl Iterator<Item = &str> {
        self.nodes.iter().filter(|node| !node.control).map(|node| node.name.as_str())
    }

    /// Whether the run will wait for anybody.
    #[must_use]
    pub fn has_clients(&self) -> bool {
        self.nodes.iter().any(|node| node.client)
    }

    /// The names of those properties so far that are goals: they are to hold in some run, not in each.
    pub fn goal_names(&self) -> impl Iterator<Item = &str> {
        self.properties.iter().filter(|property| property.goal().is_some()).map(|property| property.name())
    }

    /// The names of the properties so far, those that every run has left out.
    pub fn property_names(&self) -> impl Iterator<Item = &str> {
        self.properties.iter().map(|property| property.name())
    }
}

/// Fills a fresh world by `build`, without running it: to see which nodes and properties it has.
pub fn describe<R>(build: impl FnOnce(&mut World) -> R) -> (World, R) {
    let mut world = World::new();
    let result = build(&mut world);
    (world, result)
}

/// Whether `name` matches `pattern`, where each `*` stands for any text.
#[must_use]
pub fn matches(pattern: &str, name: &str) -> bool {
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = name.strip_prefix(first) else { return false };
    let Some(last) = pattern.rsplit_once('*').map(|(_, last)| last) else { return rest.is_empty() };
    let mut middle: Vec<&str> = parts.collect();
    middle.pop();
    for part in middle {
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    rest.ends_with(last)
}

impl std::fmt::Debug for World {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("World")
            .field("nodes", &self.nodes.iter().map(|node| &node.name).collect::<Vec<_>>())
            .finish_non_exhaustive()
    }
}

impl std::fmt::Debug for RoleBuilder<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.0.iter().map(|node| &node.name)).finish()
    }
}

impl std::fmt::Debug for NodeBuilder<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("NodeBuilder").field(&self.0.name).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn patterns_match_as_in_a_shell() {
        for (pattern, name, expected) in [
            ("store-0", "store-0", true),
            ("store-0", "store-01", false),
            ("store-*", "store-0", true),
            ("store-*", "stor", false),
            ("*", "anything", true),
            ("*-0", "store-0", true),
            ("*-0", "store-1", false),
            ("a*b*c", "a-b-c", true),
            ("a*b*c", "a-c-b", false),
            ("ab*ba", "aba", false),
        ] {
            assert_eq!(matches(pattern, name), expected, "{pattern} {name}");
        }
    }
}
