//! Random worlds as plain data: what proptest makes and shrinks, and how a world is filled from it.
//!
//! The worlds are hostile on purpose: equal payloads, equal instants, retries that hang on timeouts, panics, crashes. What
//! a node does depends on what came before, so that calming one decision shifts what follows.

use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::AtomicI64;
use std::time::Duration;

use proptest::prelude::*;
use rand_core::Rng;
use serde::{Deserialize, Serialize};
use squall::fs::{self, File};
use squall::net::Endpoint;
use squall::rpc::Request;
use squall::task::JoinHandle;
use squall::time::{sleep, timeout};
use squall::trace::{Base, Plan, Ratio, Redraw, Seed, SiteKind, StrategyChoice};
use squall::{Budget, Bursts, Latency, OnPanic, World, fault, rule};
use tokio::io::AsyncWriteExt;

use crate::Guard;

/// One thing that a task does.
#[derive(Clone, Debug)]
pub enum Op {
    /// Sends a datagram that many times.
    Send {
        /// To which node, modulo their number.
        to: u8,
        /// Under which tag.
        tag: u8,
        /// The one byte that it holds.
        payload: u8,
        /// How often.
        times: u8,
    },
    /// Waits for a datagram.
    Receive {
        /// Under which tag.
        tag: u8,
        /// For how many milliseconds.
        for_ms: u8,
    },
    /// Calls, again after each timeout.
    Call {
        /// Which node, modulo their number.
        to: u8,
        /// The request: how many milliseconds the server works.
        value: u8,
        /// For how many milliseconds.
        for_ms: u8,
        /// How many more times.
        retries: u8,
    },
    /// Sleeps for whole milliseconds: many tasks wake at one instant.
    Sleep(u8),
    /// Sleeps for as many microseconds as the task's own generator says.
    SleepDrawn,
    /// Spawns a task.
    Spawn(Vec<Op>),
    /// Joins the task that was spawned last.
    Join,
    /// Aborts the task that was spawned last.
    Abort,
    /// Lets others go first.
    Yield,
    /// Publishes a fact.
    Publish(u8),
    /// Publishes what its clocks show.
    ReadClocks,
    /// Logs a line.
    Log,
    /// Panics, if in a spawned task.
    Panic,
    /// Publishes whether it is to do something rare, at one of two places.
    AskWhetherRare(bool),
    /// Publishes the value of a knob.
    ReadKnob,
    /// Does something with the node's disk.
    Disk {
        /// What, modulo the number of such things.
        what: u8,
        /// With which file, modulo their number.
        file: u8,
        /// How many bytes.
        bytes: u16,
    },
}

/// A node.
#[derive(Clone, Debug)]
pub struct NodeSpec {
    /// Whether the run waits for it.
    pub client: bool,
    /// What it does at each boot.
    pub ops: Vec<Op>,
    /// Whether a panic in one of its tasks crashes it.
    pub panic_crashes: bool,
}

/// A link's weather.
#[derive(Clone, Debug)]
pub struct LinkSpec {
    /// From which node, modulo their number.
    pub from: u8,
    /// To which.
    pub to: u8,
    /// How long messages travel.
    pub latency: Latency,
    /// Lost, of 100.
    pub loss: u8,
    /// Duplicated, of 100.
    pub duplicate: u8,
    /// Corrupted, of 100.
    pub corruption: u8,
    /// How long it is good and bad in turn.
    pub bursts_ms: Option<(u8, u8)>,
    /// How many bytes take a millisecond, and how many messages may wait, if that is limited.
    pub bandwidth: Option<(u16, Option<u8>)>,
    /// How long copies travel, if not as the messages.
    pub duplicate_latency: Option<Latency>,
}

/// A scripted fault.
#[derive(Clone, Debug)]
pub enum FaultSpec {
    /// A crash.
    Crash {
        /// Of which node, modulo their number.
        node: u8,
        /// When.
        at_ms: u8,
        /// Up again after that long, if at all.
        restart_after_ms: Option<u8>,
    },
    /// One node is cut off from another.
    Partition {
        /// One side.
        a: u8,
        /// The other side.
        b: u8,
        /// When.
        at_ms: u8,
        /// For how long, if not for ever.
        for_ms: Option<u8>,
        /// Only from `a` to `b`.
        one_way: bool,
    },
    /// A node stands still.
    Pause {
        /// Of which node, modulo their number.
        node: u8,
        /// When.
        at_ms: u8,
        /// For how long, if not for ever.
        for_ms: Option<u8>,
    },
    /// Any other, which comes once or thrice.
    Other {
        /// Which.
        other: OtherFault,
        /// Of which node, modulo their number.
        node: u8,
        /// And of which other one.
        b: u8,
        /// When.
        at_ms: u8,
        /// For how long, if not for ever.
        for_ms: Option<u8>,
        /// Whether thrice.
        again: bool,
    },
}

/// What a rule does to messages from one node to another, and whether it finds any: those that are answers, some of all.
#[derive(Clone, Copy, Debug)]
#[expect(missing_docs, reason = "they are the rules' own names")]
pub enum RuleSpec {
    Hold,
    Drop,
    Deliver,
    Corrupt,
    Duplicate,
}

/// See [`FaultSpec::Other`].
#[derive(Clone, Copy, Debug)]
pub enum OtherFault {
    /// A rule on messages.
    Rule(RuleSpec),
    /// The node's polls take time.
    Slow,
    /// Its wall clock jumps back.
    Jump,
    /// Its clocks run too fast.
    Fast,
    /// Its clocks run too slow.
    SlowClock,
    /// The weather of the link from one to the other changes.
    Link,
    /// That link is narrow.
    NarrowLink,
    /// What one sends to the other is held.
    Hold,
    /// A random partition of all.
    Partition,
    /// Both crash together.
    Rack,
    /// Nodes lose their network one after the other.
    Swizzle,
}

/// What a control task does.
#[derive(Clone, Debug)]
pub enum Act {
    /// Waits.
    Sleep(u8),
    /// Crashes a node and starts it again after some milliseconds.
    Bounce(u8, u8),
    /// Crashes the node that published last.
    CrashPublisher,
    /// Starts a node.
    Restart(u8),
    /// Cuts two nodes off from each other.
    Partition(u8, u8),
    /// Lets a node stand still for some milliseconds.
    Pause(u8, u8),
    /// Heals.
    Heal,
}

/// A world.
#[derive(Clone, Debug)]
pub struct WorldSpec {
    /// The nodes; the first is a client.
    pub nodes: Vec<NodeSpec>,
    /// The weather where no link says otherwise.
    pub network: LinkSpec,
    /// Links with weather of their own.
    pub links: Vec<LinkSpec>,
    /// How long messages to oneself travel, if otherwise than usual.
    pub loopback: Option<Latency>,
    /// How many bytes of a node's pass in a millisecond, and how many messages may wait, if there is an uplink.
    pub uplink: Option<(u8, u16, Option<u8>)>,
    /// The script.
    pub faults: Vec<FaultSpec>,
    /// What the control task does, if there is one.
    pub control: Vec<Act>,
    /// When the run ends, if at a given time.
    pub end_at_ms: Option<u8>,
    /// Whether it is one of a swarm.
    pub swarm: bool,
    /// How many nodes may be down at once, and stand still, if that doesn't contradict the script.
    pub budget: Option<u8>,
}

fn op() -> impl Strategy<Value = Op> {
    let leaf = prop_oneof![
        4 => (any::<u8>(), 1u8..4, 0u8..3, 1u8..4)
            .prop_map(|(to, tag, payload, times)| Op::Send { to, tag, payload, times }),
        3 => (1u8..4, 0u8..20).prop_map(|(tag, for_ms)| Op::Receive { tag, for_ms }),
        4 => (any::<u8>(), 0u8..4, 1u8..25, 0u8..3)
            .prop_map(|(to, value, for_ms, retries)| Op::Call { to, value, for_ms, retries }),
        3 => (0u8..4).prop_map(Op::Sleep),
        1 => Just(Op::SleepDrawn),
        2 => Just(Op::Join),
        1 => Just(Op::Abort),
        1 => Just(Op::Yield),
        1 => (0u8..3).prop_map(Op::Publish),
        1 => Just(Op::ReadClocks),
        1 => Just(Op::Log),
        2 => any::<bool>().prop_map(Op::AskWhetherRare),
        1 => Just(Op::ReadKnob),
        1 => Just(Op::Panic),
        5 => (any::<u8>(), any::<u8>(), 0u16..1_500).prop_map(|(what, file, bytes)| Op::Disk { what, file, bytes }),
    ];
    leaf.prop_recursive(2, 12, 5, |inner| proptest::collection::vec(inner, 0..6).prop_map(Op::Spawn))
}

fn latency() -> impl Strategy<Value = Latency> {
    let ms = |ms: u64| Duration::from_millis(ms);
    prop_oneof![
        (0u64..3).prop_map(move |at| Latency::fixed(ms(at))),
        (0u64..3, 0u64..8).prop_map(move |(min, more)| Latency::uniform(ms(min), ms(min + more))),
        (1u64..5).prop_map(move |mean| Latency::exponential(ms(mean))),
        (1u64..4).prop_map(move |median| Latency::lognormal(ms(median), ms(median * 10))),
        (1u64..3).prop_map(move |min| Latency::pareto(ms(min), 1.5)),
        proptest::collection::vec(0u64..6, 1..5)
            .prop_map(move |list| Latency::empirical(list.into_iter().map(ms).collect::<Vec<_>>())),
        proptest::collection::vec(0u64..8, 1..8).prop_map(move |list| {
            let entries = (0..).zip(list).map(|(place, latency)| (ms(place * 3), ms(latency)));
            Latency::trace(entries.collect::<Vec<_>>())
        }),
    ]
}

fn link() -> impl Strategy<Value = LinkSpec> {
    let rough = (0u8..30, prop_oneof![2 => Just(0u8), 1 => 1..30u8], proptest::option::of((1u8..20, 1u8..20)));
    let ends = (any::<u8>(), any::<u8>());
    let queue = (proptest::option::weighted(0.3, bandwidth()), proptest::option::weighted(0.3, latency()));
    (ends, latency(), 0u8..30, rough, queue).prop_map(
        |((from, to), latency, loss, (duplicate, corruption, bursts_ms), (bandwidth, duplicate_latency))| LinkSpec {
            from,
            to,
            latency,
            loss,
            duplicate,
            corruption,
            bursts_ms,
            bandwidth,
            duplicate_latency,
        },
    )
}

/// From 3 messages a millisecond to one in 30.
fn bandwidth() -> impl Strategy<Value = (u16, Option<u8>)> {
    (1u16..100, proptest::option::of(0u8..4))
}

fn fault() -> impl Strategy<Value = FaultSpec> {
    prop_oneof![
        1 => (any::<u8>(), 0u8..30, proptest::option::of(0u8..20))
            .prop_map(|(node, at_ms, restart_after_ms)| FaultSpec::Crash { node, at_ms, restart_after_ms }),
        1 => (any::<u8>(), any::<u8>(), 0u8..30, proptest::option::of(0u8..20), any::<bool>())
            .prop_map(|(a, b, at_ms, for_ms, one_way)| FaultSpec::Partition { a, b, at_ms, for_ms, one_way }),
        1 => (any::<u8>(), 0u8..30, proptest::option::weighted(0.8, 0u8..20))
            .prop_map(|(node, at_ms, for_ms)| FaultSpec::Pause { node, at_ms, for_ms }),
        3 => (
            proptest::sample::select(
                &[
                    OtherFault::Slow,
                    OtherFault::Jump,
                    OtherFault::Fast,
                    OtherFault::SlowClock,
                    OtherFault::Link,
                    OtherFault::NarrowLink,
                    OtherFault::Hold,
                    OtherFault::Partition,
                    OtherFault::Rack,
                    OtherFault::Rule(RuleSpec::Hold),
                    OtherFault::Rule(RuleSpec::Drop),
                    OtherFault::Rule(RuleSpec::Deliver),
                    OtherFault::Rule(RuleSpec::Corrupt),
                    OtherFault::Rule(RuleSpec::Duplicate),
                    OtherFault::Swizzle,
                ][..]
            ),
            (any::<u8>(), any::<u8>()),
            0u8..30,
            proptest::option::weighted(0.8, 1u8..20),
            any::<bool>()
        )
            .prop_map(|(other, (node, b), at_ms, for_ms, again)| {
                FaultSpec::Other { other, node, b, at_ms, for_ms, again }
            }),
    ]
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        3 => (1u8..15).prop_map(Act::Sleep),
        2 => (any::<u8>(), 0u8..8).prop_map(|(node, after)| Act::Bounce(node, after)),
        1 => Just(Act::CrashPublisher),
        1 => any::<u8>().prop_map(Act::Restart),
        1 => (any::<u8>(), any::<u8>()).prop_map(|(a, b)| Act::Partition(a, b)),
        1 => Just(Act::Heal),
        2 => (any::<u8>(), 0u8..8).prop_map(|(node, after)| Act::Pause(node, after)),
    ]
}

fn node() -> impl Strategy<Value = NodeSpec> {
    (any::<bool>(), proptest::collection::vec(op(), 0..12), any::<bool>())
        .prop_map(|(client, ops, panic_crashes)| NodeSpec { client, ops, panic_crashes })
}

/// Any world.
pub fn any_world() -> impl Strategy<Value = WorldSpec> {
    (
        proptest::collection::vec(node(), 1..=6),
        link(),
        (
            proptest::collection::vec(link(), 0..4),
            proptest::option::weighted(
                0.3,
                (any::<u8>(), bandwidth()).prop_map(|(node, (rate, queue))| (node, rate, queue)),
            ),
            proptest::option::weighted(0.3, latency()),
        ),
        proptest::collection::vec(fault(), 0..3),
        proptest::collection::vec(act(), 0..6),
        proptest::option::weighted(0.2, 1u8..80),
        (proptest::bool::weighted(0.3), proptest::option::weighted(0.3, 0u8..3)),
    )
        .prop_map(
            |(mut nodes, network, (links, uplink, loopback), faults, control, end_at_ms, (swarm, budget))| {
                nodes[0].client = true;
                WorldSpec { nodes, network, links, uplink, loopback, faults, control, end_at_ms, swarm, budget }
            },
        )
}

/// Any strategy for the order within an instant.
pub fn any_strategy() -> impl Strategy<Value = StrategyChoice> {
    prop_oneof![
        Just(StrategyChoice::Fifo),
        Just(StrategyChoice::Random),
        (1u32..5, 1u64..300).prop_map(|(depth, steps)| StrategyChoice::Pct { depth, steps }),
    ]
}

/// Any plan that explores; in some a class is calm, or the weather is drawn again from some time on.
pub fn any_plan() -> impl Strategy<Value = Plan> {
    let calm = proptest::option::weighted(0.2, proptest::sample::select(&SiteKind::ALL[..]));
    let redraw = proptest::option::weighted(0.2, (0u64..30_000_000, 1u64..5));
    (any::<u64>(), any_strategy(), calm, redraw).prop_map(|(seed, strategy, calm, redraw)| {
        let plan = Plan::seeded("random world", Seed(seed));
        let bases = calm.map_or(plan.bases, |kind| plan.bases.with(kind, Base::Calm));
        Plan { strategy, bases, redraw: redraw.map(|(from_ns, salt)| Redraw { from_ns, salt, bases: None }), ..plan }
    })
}

/// The request of the worlds' only method.
#[derive(Serialize, Deserialize)]
pub struct Work {
    /// How many milliseconds the server works.
    pub ms: u8,
}

impl Request for Work {
    type Response = u8;

    const NAME: &'static str = "random_world::Work";
}

const PORT: u16 = 80;

type Task = Pin<Box<dyn Future<Output = ()>>>;

/// What a node's tasks share.
#[derive(Clone)]
struct Context {
    endpoint: Endpoint,
    nodes: usize,
    guard: Guard,
}

fn name(index: u8, nodes: usize) -> String {
    format!("node-{}", usize::from(index) % nodes)
}

/// One thing with a disk. What is read is published: a lost write changes what comes after it.
async fn uses_disk(what: u8, file: u8, bytes: usize) -> std::io::Result<()> {
    const PATHS: [&str; 4] = ["/a", "/b", "/d/a", "/d/b"];
    let path = PATHS[usize::from(file) % PATHS.len()];
    let other = PATHS[usize::from(file / 7) % PATHS.len()];
    match what % 8 {
        0 => fs::write(path, vec![what; bytes]).await,
        1 => {
            let mut file = File::options().append(true).create(true).open(path).await?;
            file.write_all(&vec![what; bytes]).await
        }
        2 => File::open(path).await?.sync_all().await,
        3 => File::open("/").await?.sync_all().await,
        4 => {
            let read = fs::read(path).await?;
            squall::publish("fact", (read.len(), read.last().copied()));
            Ok(())
        }
        5 => fs::rename(path, other).await,
        6 if bytes.is_multiple_of(2) => fs::remove_file(path).await,
        6 => File::options().write(true).open(path).await?.set_len(bytes as u64).await,
        _ => fs::create_dir_all("/d").await,
    }
}

fn do_all(context: Context, ops: Rc<[Op]>, is_root: bool) -> Task {
    Box::pin(async move {
        let mut spawned: Vec<JoinHandle<Guard>> = Vec::new();
        for op in ops.iter() {
            match op {
                Op::Send { to, tag, payload, times } => {
                    for _ in 0..*times {
                        let to = (name(*to, context.nodes), PORT);
                        context.endpoint.send_to(to, u64::from(*tag), &[*payload]).await.expect("the node is there");
                    }
                }
                Op::Receive { tag, for_ms } => {
                    let mut buffer = [0; 4];
                    let receive = context.endpoint.recv_from(u64::from(*tag), &mut buffer);
                    if let Ok(Ok((1, from))) = timeout(Duration::from_millis(u64::from(*for_ms)), receive).await {
                        // Answers only what isn't an answer, or two nodes would never end.
                        if buffer[0] < 3 {
                            let _ = context.endpoint.send_to(from, u64::from(*tag), &[buffer[0] + 3]).await;
                        }
                    }
                }
                Op::Call { to, value, for_ms, retries } => {
                    for _ in 0..=*retries {
                        let to = (name(*to, context.nodes), PORT);
                        let for_ms = Duration::from_millis(u64::from(*for_ms));
                        if context.endpoint.call_timeout(to, Work { ms: *value }, for_ms).await.is_ok() {
                            break;
                        }
                    }
                }
                Op::Sleep(ms) => sleep(Duration::from_millis(u64::from(*ms))).await,
                Op::SleepDrawn => {
                    let us = squall::rand::rng().next_u64() % 5_000;
                    sleep(Duration::from_micros(us)).await;
                }
                Op::Spawn(ops) => {
                    let (context, ops) = (context.clone(), Rc::from(ops.as_slice()));
                    spawned.push(squall::spawn(async move {
                        let guard = context.guard.clone();
                        do_all(context, ops, false).await;
                        guard
                    }));
                }
                Op::Join => {
                    if let Some(handle) = spawned.pop() {
                        let _ = handle.await;
                    }
                }
                Op::Abort => {
                    if let Some(handle) = spawned.last() {
                        handle.abort();
                    }
                }
                Op::Yield => squall::task::yield_now().await,
                Op::Publish(value) => squall::publish("fact", value),
                Op::ReadClocks => {
                    let now = squall::time::Instant::now();
                    squall::publish("clocks", (std::time::SystemTime::now(), format!("{now:?}")));
                }
                Op::AskWhetherRare(often) => {
                    let is_rare =
                        if *often { squall::buggify!("often") } else { squall::buggify!("seldom", Ratio::new(1, 20)) };
                    squall::publish("fact", is_rare);
                }
                Op::ReadKnob => squall::publish("fact", squall::knob!("of a random world", 7u32, [1, 2, 3])),
                Op::Log => tracing::info!(node = squall::node_name(), "a line"),
                Op::Panic => assert!(is_root, "a planned panic"),
                // What fails is a fact like any other.
                Op::Disk { what, file, bytes } => match uses_disk(*what, *file, usize::from(*bytes)).await {
                    Ok(()) => {}
                    Err(error) => squall::publish("fact", error.to_string()),
                },
            }
        }
    })
}

async fn node_root(spec: Rc<NodeSpec>, nodes: usize, guard: Guard) {
    let endpoint = Endpoint::bind(("0.0.0.0", PORT)).await.expect("the port is free at boot");
    let in_handler = guard.clone();
    endpoint.add_rpc_handler(move |request: Work| {
        let guard = in_handler.clone();
        async move {
            sleep(Duration::from_millis(u64::from(request.ms))).await;
            drop(guard);
            request.ms + 1
        }
    });
    let context = Context { endpoint, nodes, guard };
    do_all(context.clone(), Rc::from(spec.ops.as_slice()), true).await;
    if !spec.client {
        std::future::pending::<()>().await;
    }
    drop(context);
}

/// Fills a world; everything in it holds a guard that counts in `living`.
pub fn build(spec: &WorldSpec, living: &Arc<AtomicI64>, world: &mut World) {
    let count = spec.nodes.len();
    let weather = |link: &mut squall::Link<'_>, spec: &LinkSpec| {
        let share = |of_100: u8| Ratio::new(u64::from(of_100), 100);
        link.latency(spec.latency.clone()).loss(share(spec.loss)).duplicate(share(spec.duplicate));
        link.reorder(share(spec.corruption));
        link.corruption(share(spec.corruption));
        if let Some((good, bad)) = spec.bursts_ms {
            let ms = |ms: u8| Duration::from_millis(u64::from(ms));
            link.bursts(Bursts::new(ms(good), ms(bad)).loss(Ratio::new(9, 10)));
        }
        if let Some((rate, queue)) = spec.bandwidth {
            link.bandwidth_bits_per_second(u64::from(rate) * 8_000);
            if let Some(queue) = queue {
                link.queue_bytes(u64::from(queue) * 30);
            }
        }
        if let Some(latency) = &spec.duplicate_latency {
            link.duplicate_latency(latency.clone());
        }
    };
    for (index, node) in spec.nodes.iter().enumerate() {
        let (node, guard) = (Rc::new(node.clone()), Guard::new(living));
        let policy = if node.panic_crashes { OnPanic::Crash } else { OnPanic::JoinError };
        let name = format!("node-{index}");
        let client = node.client;
        let init = move || node_root(Rc::clone(&node), count, guard.clone());
        if client { world.client(name, init) } else { world.node(name, init) }.on_panic(policy);
    }
    weather(&mut world.network(), &spec.network);
    let share = |of_100: u8| Ratio::new(u64::from(of_100), 100);
    let (loss, corruption) = (share(spec.network.loss), share(spec.network.corruption));
    world.storage().latency(spec.network.latency.clone()).sync_failure(loss).bit_rot(corruption);
    world.disk("node-0").read_failure(loss).write_failure(corruption).torn(Ratio::ONE).capacity_bytes(4_000);
    for link in &spec.links {
        weather(&mut world.link_one_way(name(link.from, count), name(link.to, count)), link);
    }
    if let Some(latency) = &spec.loopback {
        world.loopback().latency(latency.clone());
    }
    if let Some((node, rate, queue)) = spec.uplink {
        let mut uplink = world.uplink(name(node, count));
        uplink.bandwidth_bits_per_second(u64::from(rate) * 8_000);
        if let Some(queue) = queue {
            uplink.queue_bytes(u64::from(queue) * 30);
        }
    }
    for (number, fault) in spec.faults.iter().enumerate() {
        match fault {
            FaultSpec::Crash { node, at_ms, restart_after_ms } => {
                let mut crash = squall::crash(name(*node, count)).at(Duration::from_millis(u64::from(*at_ms)));
                if let Some(after_ms) = restart_after_ms {
                    crash = crash.restart_after(Duration::from_millis(u64::from(*after_ms)));
                }
                world.fault(crash);
            }
            FaultSpec::Pause { node, at_ms, for_ms } => {
                let pause = squall::pause(name(*node, count)).at(Duration::from_millis(u64::from(*at_ms)));
                world.fault(match for_ms {
                    Some(for_ms) => pause.lasts(Duration::from_millis(u64::from(*for_ms))),
                    None => pause,
                });
            }
            FaultSpec::Other { other, node, b, at_ms, for_ms, again } => {
                let (a, b) = (name(*node, count), name(*b, count));
                let ms = |ms: u8| Duration::from_millis(u64::from(ms));
                if let (OtherFault::Rule(what), false) = (other, a == b) {
                    let rule = match what {
                        RuleSpec::Hold => rule::hold(a, b),
                        RuleSpec::Drop => rule::drop(a, b).answers(),
                        RuleSpec::Deliver => rule::deliver_after(a, b, ms(13)).matching(|it| it.bytes().len() > 1),
                        RuleSpec::Corrupt => rule::corrupt(a, b).method("Work").both_ways(),
                        RuleSpec::Duplicate => rule::duplicate(a, b, ms(5)).times(3),
                    };
                    let rule = rule.at(ms(*at_ms)).share(Ratio::new(1, 2)).named(format!("rule {number}"));
                    world.rule(match for_ms {
                        Some(for_ms) if *for_ms > 0 => rule.lasts(ms(*for_ms)),
                        _ => rule,
                    });
                    continue;
                }
                let made = match other {
                    OtherFault::Rule(_) => fault::pause(a),
                    OtherFault::Link | OtherFault::NarrowLink | OtherFault::Hold if a == b => fault::pause(a),
                    OtherFault::Slow => fault::slow(a, Duration::from_micros(700)),
                    OtherFault::Jump => fault::clock_jump_back(a, ms(7)),
                    OtherFault::Fast => fault::clock_drift(a, 333_333),
                    OtherFault::SlowClock => fault::clock_drift(a, -333_333),
                    OtherFault::Link => fault::link_one_way(a, b, |link| {
                        link.latency(Latency::uniform(ms(1), ms(9))).loss(Ratio::new(1, 4)).duplicate(Ratio::new(1, 3));
                    }),
                    OtherFault::NarrowLink => fault::link_one_way(a, b, |link| {
                        link.bandwidth_bits_per_second(64_000).queue_bytes(60);
                    }),
                    OtherFault::Hold => fault::hold_one_way(a, b),
                    OtherFault::Partition if count > 1 => fault::random_partition("*", fault::Split::Any),
                    OtherFault::Partition => fault::pause(a),
                    OtherFault::Swizzle if count > 1 => fault::swizzle("*").stagger(ms(1)).lasts(ms(1)),
                    OtherFault::Swizzle => fault::pause(a),
                    OtherFault::Rack => fault::crash([a, b]).together(),
                };
                let mut made = made.at(ms(*at_ms));
                if let OtherFault::Swizzle = other
                    && count > 1
                {
                    // It has its own end.
                } else if let Some(for_ms) = for_ms {
                    made = if matches!(other, OtherFault::Rack) {
                        made.restart_after(ms(*for_ms))
                    } else {
                        made.lasts(ms(*for_ms))
                    };
                }
                world.fault(if *again { made.every(ms(21)).times(3) } else { made });
            }
            FaultSpec::Partition { a, b, at_ms, for_ms, one_way } => {
                let (a, b) = (name(*a, count), name(*b, count));
                if a == b {
                    continue;
                }
                let partition =
                    if *one_way { squall::partition_one_way([a], [b]) } else { squall::partition([[a], [b]]) };
                let partition = partition.at(Duration::from_millis(u64::from(*at_ms)));
                world.fault(match for_ms {
                    Some(for_ms) => partition.lasts(Duration::from_millis(u64::from(*for_ms))),
                    None => partition,
                });
            }
        }
    }
    if !spec.control.is_empty() {
        let (acts, guard): (Rc<[Act]>, Guard) = (Rc::from(spec.control.as_slice()), Guard::new(living));
        world.control(move |cluster| {
            let (acts, guard) = (Rc::clone(&acts), guard.clone());
            async move {
                for act in acts.iter() {
                    match act {
                        Act::Sleep(ms) => sleep(Duration::from_millis(u64::from(*ms))).await,
                        Act::Bounce(node, after_ms) => {
                            let node = name(*node, count);
                            cluster.crash(&node);
                            sleep(Duration::from_millis(u64::from(*after_ms))).await;
                            cluster.restart(&node);
                        }
                        Act::CrashPublisher => {
                            if let Some((node, _)) = cluster.published("fact").last() {
                                cluster.crash(node);
                            }
                        }
                        Act::Restart(node) => {
                            cluster.restart(&name(*node, count));
                        }
                        Act::Partition(a, b) => {
                            let (a, b) = (name(*a, count), name(*b, count));
                            if a != b {
                                cluster.partition(&[&[a.as_str()], &[b.as_str()]]);
                            }
                        }
                        Act::Heal => cluster.heal(),
                        Act::Pause(node, after_ms) => {
                            let node = name(*node, count);
                            cluster.pause(&node);
                            sleep(Duration::from_millis(u64::from(*after_ms))).await;
                            cluster.resume(&node);
                        }
                    }
                }
                drop(guard);
            }
        });
    }
    if let Some(ms) = spec.end_at_ms {
        world.end_at(Duration::from_millis(u64::from(ms)));
    }
    world.swarm(spec.swarm);
    if let Some(most) = spec.budget {
        let mut budget = Budget::new("*");
        budget.crashed(u32::from(most)).paused(u32::from(most)).partitions(u32::from(most));
        let names: Vec<String> = world.node_names().map(str::to_string).collect();
        if squall_engine::budget::check(std::slice::from_ref(&budget), world.faults(), None, &names).is_ok() {
            world.push_budget(budget);
        }
    }
    let limits = world.limits();
    limits.virtual_ns = 2_000_000_000;
    limits.events = 20_000;
}
