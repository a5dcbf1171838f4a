//! Faults: what a script asks for, as a program or a scenario file says it. What becomes of them is in `script.rs`.
//!
//! Every fault has an address like any other decision: without one it couldn't be taken away. The address is made of what
//! the fault says in plain words (or of the name that it was given), so that adding another fault leaves it alone.

use std::time::Duration;

use squall_trace::Ratio;
use squall_trace::swarm::FaultClass;
use squall_trace::trace::format_ns;

use crate::world::{Link, LinkRule, duration_ns};

/// A fault happens at most so many times; see [`Fault::times`].
pub const TIMES_MAX: u32 = 10_000;

/// A clock runs at most so much too fast or too slow, in parts per million; see [`clock_drift`].
pub const DRIFT_PPM_MAX: u32 = 500_000;

/// A random partition is of so many nodes at most; see [`random_partition`].
pub const RANDOM_PARTITION_NODES_MAX: usize = 63;

/// Something that goes wrong at a given time.
#[derive(Clone, Debug, PartialEq)]
pub struct Fault {
    pub(crate) name: Option<String>,
    pub(crate) at: Duration,
    /// In place of a time: at a point of the code that is named so, in that share of all times that it is passed.
    pub(crate) point: Option<(String, Ratio)>,
    /// Of a crash: how long the node is down.
    pub(crate) lasts: Option<Duration>,
    pub(crate) every: Option<Duration>,
    pub(crate) times: u32,
    pub(crate) stagger: Option<Duration>,
    pub(crate) together: bool,
    pub(crate) what: What,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum What {
    /// To each node that matches one of the patterns.
    Node {
        nodes: Vec<String>,
        change: NodeChange,
    },
    Partition {
        groups: Vec<Vec<String>>,
        one_way: bool,
    },
    RandomPartition {
        nodes: Vec<String>,
        split: Split,
    },
    Ring {
        nodes: Vec<String>,
        reach: u32,
    },
    Weather(Box<LinkRule>),
    Hold {
        from: String,
        to: String,
        both_ways: bool,
    },
    /// Connections between them break.
    Reset {
        a: String,
        b: String,
    },
    /// Of some of the nodes each loses its network, one after the other.
    Swizzle {
        nodes: Vec<String>,
        holds: bool,
    },
}

/// What happens to a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NodeChange {
    Crash { wipes_disk: bool },
    Pause,
    Slow { poll_ns: u64 },
    ClockJump { by_ns: i64 },
    ClockDrift { ppm: i32 },
}

/// How a [random partition](random_partition) cuts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Split {
    /// Each node on a side of its own draw: every cut into two sides is equally likely.
    Any,
    /// A minority is cut off: fewer than half of the nodes, every such set equally likely.
    Minority,
    /// One node is cut off from all others.
    One,
}

impl Split {
    /// All of them, with the names that scenario files have for them.
    pub const ALL: [(&'static str, Split); 3] =
        [("any", Split::Any), ("minority", Split::Minority), ("one", Split::One)];
}

/// The nodes that a fault names: one name or several, each of which may be a pattern with `*`.
pub trait Nodes {
    /// The names and patterns.
    fn names(self) -> Vec<String>;
}

impl Nodes for &str {
    fn names(self) -> Vec<String> {
        vec![self.to_string()]
    }
}

impl Nodes for String {
    fn names(self) -> Vec<String> {
        vec![self]
    }
}

impl<N: Into<String>, const COUNT: usize> Nodes for [N; COUNT] {
    fn names(self) -> Vec<String> {
        self.into_iter().map(Into::into).collect()
    }
}

impl<N: Into<String>> Nodes for Vec<N> {
    fn names(self) -> Vec<String> {
        self.into_iter().map(Into::into).collect()
    }
}

/// The node crashes: its tasks are gone and its sockets closed. It stays down unless
/// [`Fault::restart_after`] is given.
#[must_use]
pub fn crash(node: impl Nodes) -> Fault {
    of_node(node, NodeChange::Crash { wipes_disk: false })
}

/// The node stands still, as in a long collection of garbage or a machine that is moved: none of its tasks is polled, while messages come to
/// its sockets and its clocks go on. When it is over, all that became due meanwhile goes on at once. It stays so unless [`Fault::lasts`] is given;
/// a crash ends it too.
#[must_use]
pub fn pause(node: impl Nodes) -> Fault {
    of_node(node, NodeChange::Pause)
}

/// The node is slow: each poll of one of its tasks takes that much virtual time of its only processor. What a poll does is seen at its end, and
/// whoever else is to be polled waits behind it, in the order in which they came. A restart doesn't help.
///
/// # Panics
/// If a poll takes no time.
#[must_use]
pub fn slow(node: impl Nodes, poll: Duration) -> Fault {
    assert!(!poll.is_zero(), "a node each of whose polls takes no time isn't slow");
    of_node(node, NodeChange::Slow { poll_ns: duration_ns(poll) })
}

/// The node's wall clock jumps forward. With [`Fault::lasts`] it jumps back then, as when somebody sets it right. The monotonic clock knows nothing
/// of it, and so neither do sleeps and timeouts.
#[must_use]
pub fn clock_jump_forward(node: impl Nodes, by: Duration) -> Fault {
    of_node(node, NodeChange::ClockJump { by_ns: signed_ns(by) })
}

/// As [`clock_jump_forward`], but back.
#[must_use]
pub fn clock_jump_back(node: impl Nodes, by: Duration) -> Fault {
    of_node(node, NodeChange::ClockJump { by_ns: -signed_ns(by) })
}

/// The node's clocks run too fast (or, if `ppm` is below zero, too slow), by so many millionths: the wall clock, the monotonic one, and with them sleeps
/// and timeouts. Ordinary quartz is within 100; see [`DRIFT_PPM_MAX`]. When it is over they run right again, from where they stand: neither jumps.
///
/// # Panics
/// If `ppm` is zero, or beyond [`DRIFT_PPM_MAX`] either way.
#[must_use]
pub fn clock_drift(node: impl Nodes, ppm: i32) -> Fault {
    assert!(ppm != 0, "a clock that drifts by nothing runs right");
    assert!(
        ppm.unsigned_abs() <= DRIFT_PPM_MAX,
        "a clock drifts by at most {DRIFT_PPM_MAX} parts per million, not by {ppm}"
    );
    of_node(node, NodeChange::ClockDrift { ppm })
}

fn signed_ns(duration: Duration) -> i64 {
    i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX)
}

fn of_node(nodes: impl Nodes, change: NodeChange) -> Fault {
    Fault::new(What::Node { nodes: nodes.names(), change })
}

/// Nodes of different groups can't reach each other; nodes of no group aren't concerned, and so are a bridge between the groups. Patterns with `*`
/// name several nodes.
#[must_use]
pub fn partition<G, N>(groups: impl IntoIterator<Item = G>) -> Fault
where
    G: IntoIterator<Item = N>,
    N: Into<String>,
{
    let groups = groups.into_iter().map(|group| group.into_iter().map(Into::into).collect()).collect();
    Fault::new(What::Partition { groups, one_way: false })
}

/// Nothing that `from` sends reaches `to`; the other way works.
#[must_use]
pub fn partition_one_way<N: Into<String>>(from: impl IntoIterator<Item = N>, to: impl IntoIterator<Item = N>) -> Fault {
    let groups = vec![from.into_iter().map(Into::into).collect(), to.into_iter().map(Into::into).collect()];
    Fault::new(What::Partition { groups, one_way: true })
}

/// These nodes are cut into two sides, which are drawn each time that it happens. At most [`RANDOM_PARTITION_NODES_MAX`] nodes.
///
/// Source: R. Majumdar and F. Niksic, "Why is random testing effective for partition tolerance bugs?", POPL 2018: most bugs need a few nodes of certain roles
/// on certain sides, and a random cut into two sides ([`Split::Any`]) separates k nodes in any one given way with a probability of at least 2^(1-k), so
/// that few cuts do it in all ways.
#[must_use]
pub fn random_partition(nodes: impl Nodes, split: Split) -> Fault {
    Fault::new(What::RandomPartition { nodes: nodes.names(), split })
}

/// The nodes stand in a ring, in the order of their declaration, and each reaches only the next `reach` ones on either side. With `reach` of a quarter of the
/// nodes each sees a majority, and no two the same one.
///
/// # Panics
/// If `reach` is 0.
#[must_use]
pub fn ring(nodes: impl Nodes, reach: u32) -> Fault {
    assert!(reach > 0, "nodes of a ring that reach nobody are a partition into single nodes");
    Fault::new(What::Ring { nodes: nodes.names(), reach })
}

/// Some of the nodes lose their network one after the other, and get it back one after the other: swizzle-clogging, as FoundationDB calls it. Which ones, and in
/// which two orders, is drawn each time: every set of at least one node is equally likely, and so is every order. The first is cut off at [`Fault::at`], each next
/// one [`Fault::stagger`] later; [`Fault::lasts`] after the last one the first comes back, and each next one again so much later. Both must be said. Each node's part in it is a
/// fault of its own. From 2 to [`RANDOM_PARTITION_NODES_MAX`] nodes.
///
/// What is sent to a node that is cut off, or by it, is lost, unless it is [held back](Fault::holds_messages).
///
/// Source: W. Wilson, "Testing Distributed Systems w/ Deterministic Simulation", Strange Loop 2014.
#[must_use]
pub fn swizzle(nodes: impl Nodes) -> Fault {
    Fault::new(What::Swizzle { nodes: nodes.names(), holds: false })
}

/// The weather between two nodes changes, both ways, as `weather` says; what it leaves out stays as it is. Patterns with `*` name several nodes. Messages that are
/// under way already arrive as they would have; those that wait to be sent go on with the bandwidth that is so now, and at once if there is no limit any more.
///
/// ```
/// # use squall_engine::{fault, latency::Latency};
/// # use std::time::Duration;
/// let spike = fault::link("client-*", "store-0", |link| {
///     link.latency(Latency::fixed(Duration::from_millis(800)));
/// });
/// # let _ = spike.at(Duration::from_secs(2)).lasts(Duration::from_secs(1));
/// ```
///
/// # Panics
/// If the weather is impossible, as in [`Link`], or says nothing.
#[must_use]
pub fn link(a: impl Into<String>, b: impl Into<String>, weather: impl FnOnce(&mut Link<'_>)) -> Fault {
    Fault::weather(a.into(), b.into(), true, weather)
}

/// As [`link`], but for what `from` sends to `to` alone.
///
/// # Panics
/// As [`link`].
#[must_use]
pub fn link_one_way(from: impl Into<String>, to: impl Into<String>, weather: impl FnOnce(&mut Link<'_>)) -> Fault {
    Fault::weather(from.into(), to.into(), false, weather)
}

/// Messages between two nodes are held back, both ways: those that arrive while it lasts wait, and come all at once, in the order of their arrival, when it is
/// over, unless a strategy puts some off. Nothing is lost, and what a node sends to itself isn't held.
#[must_use]
pub fn hold(a: impl Into<String>, b: impl Into<String>) -> Fault {
    Fault::new(What::Hold { from: a.into(), to: b.into(), both_ways: true })
}

/// As [`hold`], but for what `from` sends to `to` alone.
#[must_use]
pub fn hold_one_way(from: impl Into<String>, to: impl Into<String>) -> Fault {
    Fault::new(What::Hold { from: from.into(), to: to.into(), both_ways: false })
}

/// All connections of streams between two nodes break at once, at both ends, as by a firewall that forgets them: whoever reads or writes has `ConnectionReset`.
/// Patterns with `*` name several nodes. Datagrams and calls aren't concerned. For breaks at any segment see [`Link::reset`].
#[must_use]
pub fn reset(a: impl Into<String>, b: impl Into<String>) -> Fault {
    Fault::new(What::Reset { a: a.into(), b: b.into() })
}

impl Fault {
    fn new(what: What) -> Fault {
        Fault {
            name: None,
            at: Duration::ZERO,
            point: None,
            lasts: None,
            every: None,
            times: 1,
            stagger: None,
            together: false,
            what,
        }
    }

    fn weather(from: String, to: String, both_ways: bool, weather: impl FnOnce(&mut Link<'_>)) -> Fault {
        let mut rule = LinkRule { from, to, both_ways, ..LinkRule::default() };
        weather(&mut Link(&mut rule));
        assert!(!rule.says_nothing(), "a fault of a link changes something of its weather");
        Fault::new(What::Weather(Box::new(rule)))
    }

    /// When it happens, from the run's start.
    #[must_use]
    pub fn at(mut self, at: Duration) -> Fault {
        self.at = at;
        self
    }

    /// For a crash, in place of a time: it comes where one of the nodes passes a point of its code that is named so (or by a pattern with `*`), in that
    /// share of all times. Each time is a decision of its own. What the code does from there on has no effect any more; it ends at the next `await`. See
    /// `squall::point!`.
    ///
    /// # Panics
    /// For another fault.
    #[must_use]
    pub fn at_point(mut self, point: impl Into<String>, share: Ratio) -> Fault {
        assert!(self.is_crash(), "only a crash can come at a point of the code");
        self.point = Some((point.into(), share));
        self
    }

    /// A name of its own, which is its address from then on.
    #[must_use]
    pub fn named(mut self, name: impl Into<String>) -> Fault {
        self.name = Some(name.into());
        self
    }

    /// For a crash: the node starts again after that long.
    ///
    /// # Panics
    /// For another fault.
    #[must_use]
    pub fn restart_after(mut self, after: Duration) -> Fault {
        assert!(self.is_crash(), "only a crash has a restart: say how long it lasts with `lasts`");
        self.lasts = Some(after);
        self
    }

    /// For a crash: the node's disk is empty afterwards, as if it started again on a new machine.
    ///
    /// # Panics
    /// For another fault.
    #[must_use]
    pub fn wipes_disk(mut self) -> Fault {
        match &mut self.what {
            What::Node { change: NodeChange::Crash { wipes_disk }, .. } => *wipes_disk = true,
            _ => panic!("only a crash wipes a disk"),
        }
        self
    }

    /// For a swizzle: what is sent to a node that is cut off, or by it, isn't lost but comes when it is over, as by a protocol that sends everything again.
    ///
    /// # Panics
    /// For another fault.
    #[must_use]
    pub fn holds_messages(mut self) -> Fault {
        match &mut self.what {
            What::Swizzle { holds, .. } => *holds = true,
            _ => panic!("only a swizzle holds messages back: `hold` is a fault of its own"),
        }
        self
    }

    /// It is over after that long. Without this it stays.
    ///
    /// # Panics
    /// For a crash.
    #[must_use]
    pub fn lasts(mut self, duration: Duration) -> Fault {
        assert!(!self.is_crash(), "a crash doesn't last: say when the node starts again with `restart_after`");
        self.lasts = Some(duration);
        self
    }

    /// It happens again and again, with that much time from one beginning to the next; how often is said by [`Fault::times`]. Each time is a fault of its
    /// own. A partition that comes and goes so is a flapping link.
    ///
    /// # Panics
    /// If that is no time.
    #[must_use]
    pub fn every(mut self, every: Duration) -> Fault {
        assert!(!every.is_zero(), "a fault that happens every 0 s happens all at once: give a time");
        self.every = Some(every);
        self
    }

    /// How often it happens, the first time included; see [`Fault::every`].
    ///
    /// # Panics
    /// If it is 0 or beyond [`TIMES_MAX`].
    #[must_use]
    pub fn times(mut self, times: u32) -> Fault {
        assert!((1..=TIMES_MAX).contains(&times), "a fault happens from once up to {TIMES_MAX} times, not {times}");
        self.times = times;
        self
    }

    /// For a fault of several nodes: it comes to one after the other, in the order of their declaration, with that much time in between. A crash with
    /// [`Fault::restart_after`] is a rolling restart so. For a [`swizzle`] it must be said.
    ///
    /// # Panics
    /// For a fault of links.
    #[must_use]
    pub fn stagger(mut self, stagger: Duration) -> Fault {
        assert!(self.is_of_nodes() || self.is_swizzle(), "only what happens to nodes can come to one after the other");
        self.stagger = Some(stagger);
        self
    }

    /// For a fault of several nodes: it is one fault, that happens to all of them or to none, as when a rack or a zone fails.
    ///
    /// # Panics
    /// For a fault of links.
    #[must_use]
    pub fn together(mut self) -> Fault {
        assert!(self.is_of_nodes(), "only what happens to nodes can happen to several together");
        self.together = true;
        self
    }

    pub(crate) fn is_crash(&self) -> bool {
        matches!(self.what, What::Node { change: NodeChange::Crash { .. }, .. })
    }

    fn is_swizzle(&self) -> bool {
        matches!(self.what, What::Swizzle { .. })
    }

    /// As what a swarm switches it off.
    pub(crate) fn class(&self) -> FaultClass {
        match &self.what {
            What::Node { change, .. } => match change {
                NodeChange::Crash { .. } => FaultClass::Crash,
                NodeChange::Pause => FaultClass::Pause,
                NodeChange::Slow { .. } => FaultClass::Slow,
                NodeChange::ClockJump { .. } | NodeChange::ClockDrift { .. } => FaultClass::Clock,
            },
            What::Partition { .. } | What::RandomPartition { .. } | What::Ring { .. } | What::Swizzle { .. } => {
                FaultClass::Partition
            }
            What::Weather(_) => FaultClass::Link,
            What::Hold { .. } => FaultClass::Hold,
            What::Reset { .. } => FaultClass::Reset,
        }
    }

    fn is_of_nodes(&self) -> bool {
        matches!(self.what, What::Node { .. })
    }

    /// Whether it can be as it is said: what can be told without the nodes.
    ///
    /// # Errors
    /// In words, for the program's author: `times` without `every`, the other way round, or an occurrence that begins before the one before is over.
    pub fn validate(&self) -> Result<(), String> {
        if self.point.is_some() && (self.together || self.stagger.is_some() || self.every.is_some() || self.times != 1)
        {
            return Err(
                "a crash at a point of the code comes as often as that is passed: leave out `every`, `times`, \
                        `stagger` and `together`"
                    .to_string(),
            );
        }
        if let (What::Reset { .. }, Some(_)) = (&self.what, self.lasts) {
            return Err("connections break at once: leave out `lasts` (`for`)".to_string());
        }
        if self.is_swizzle() {
            if self.lasts.is_none() {
                return Err(
                    "a swizzle gives the nodes their network back: say with `lasts` (`for`) after how long".to_string()
                );
            }
            if self.stagger.is_none_or(|stagger| stagger.is_zero()) {
                return Err(
                    "of a swizzle one node comes after the other: say with `stagger` how long after".to_string()
                );
            }
        }
        if self.together && self.stagger.is_some() {
            return Err("a fault that happens to several nodes together doesn't come to one after the other: \
                        leave out `together` or `stagger`"
                .to_string());
        }
        match (self.every, self.times) {
            (None, 1) => Ok(()),
            (None, times) => {
                Err(format!("a fault that happens {times} times needs `every`: the time between two of them"))
            }
            (Some(_), 1) => Err("a fault with `every` needs `times`: how often it happens, from 2".to_string()),
            (Some(every), _) => match self.lasts {
                Some(lasts) if lasts >= every => Err(format!(
                    "a fault that happens every {} is over before it comes again, but it lasts {}",
                    format_ns(duration_ns(every)),
                    format_ns(duration_ns(lasts))
                )),
                _ => Ok(()),
            },
        }
    }

    /// Whether it is a fault that can begin when a control task asks for it.
    pub(crate) fn validate_now(&self) -> Result<(), String> {
        let is_staggered = self.stagger.is_some() && !self.is_swizzle();
        let is_later = !self.at.is_zero() || self.every.is_some() || is_staggered || self.point.is_some();
        match is_later {
            true => Err(
                "what a control task asks for begins at once: leave out `at`, `every`, `stagger` and `at_point`, and \
                         let the task sleep"
                    .to_string(),
            ),
            false => Ok(()),
        }
    }

    /// Whether it can be with so many nodes that it names.
    ///
    /// # Errors
    /// In words: too few or too many for such a partition, a ring in which each reaches all others, or a link from a node to itself.
    pub fn validate_for(&self, nodes: usize) -> Result<(), String> {
        match &self.what {
            What::RandomPartition { split, .. } => {
                let least = if *split == Split::Minority { 3 } else { 2 };
                if (least..=RANDOM_PARTITION_NODES_MAX).contains(&nodes) {
                    return Ok(());
                }
                Err(format!("such a partition is of {least} to {RANDOM_PARTITION_NODES_MAX} nodes, not of {nodes}"))
            }
            What::Swizzle { .. } => {
                if !(2..=RANDOM_PARTITION_NODES_MAX).contains(&nodes) {
                    return Err(format!("a swizzle is of 2 to {RANDOM_PARTITION_NODES_MAX} nodes, not of {nodes}"));
                }
                let steps = 2 * (nodes as u32 - 1);
                let lasts = self.stagger.unwrap_or_default().saturating_mul(steps);
                let lasts = lasts.saturating_add(self.lasts.unwrap_or_default());
                match self.every.filter(|every| lasts >= *every) {
                    None => Ok(()),
                    Some(every) => Err(format!(
                        "a fault that happens every {} is over before it comes again, but all of the {nodes} nodes are back after {}",
                        format_ns(duration_ns(every)),
                        format_ns(duration_ns(lasts))
                    )),
                }
            }
            What::Ring { reach, .. } if nodes as u64 <= u64::from(*reach) * 2 + 1 => Err(format!(
                "each of the {nodes} nodes reaches all others: a ring with reach {reach} is of at least {} nodes",
                u64::from(*reach) * 2 + 2
            )),
            What::Weather(_) | What::Hold { .. } | What::Reset { .. } if nodes < 2 => {
                Err("nothing goes wrong between a node and itself: a link has two ends".to_string())
            }
            _ => Ok(()),
        }
    }

    /// When each occurrence is.
    pub(crate) fn occurrences(&self) -> impl Iterator<Item = Duration> {
        let (at, every) = (self.at, self.every.unwrap_or_default());
        (0..self.times).map(move |number| at.saturating_add(every.saturating_mul(number)))
    }

    /// The name that it was given.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// When it last begins, with so many nodes that it comes to one after the other.
    #[must_use]
    pub fn last_at(&self, nodes: usize) -> Duration {
        let last = self.occurrences().last().unwrap_or(self.at);
        let behind = u32::try_from(nodes.saturating_sub(1)).unwrap_or(u32::MAX);
        last.saturating_add(self.stagger.unwrap_or_default().saturating_mul(behind))
    }

    /// In plain words; the address of the fault unless it has a name.
    #[must_use]
    pub fn sentence(&self) -> String {
        self.sentence_at(self.at)
    }

    /// The sentence of an occurrence.
    pub(crate) fn sentence_at(&self, at: Duration) -> String {
        match &self.name {
            Some(name) if self.point.is_some() => format!("{name} ({})", self.what_in_words(&self.when(at))),
            Some(name) => format!("{name}{}", self.when(at)),
            None => self.what_in_words(&self.when(at)),
        }
    }

    /// When an occurrence is, as it stands behind what it does.
    fn when(&self, at: Duration) -> String {
        match &self.point {
            Some((point, _)) => format!(" at the point {point:?}"),
            None => format!(" at {}", format_ns(duration_ns(at))),
        }
    }

    /// What it does, whatever its name is, and behind that when.
    pub(crate) fn what_in_words(&self, when: &str) -> String {
        let arrow = |both_ways: bool| if both_ways { "and" } else { "->" };
        match &self.what {
            What::Node { nodes, change } => {
                let (nodes, time) = (nodes.join(", "), |ns: u64| format_ns(ns));
                match change {
                    NodeChange::Crash { wipes_disk: false } => format!("the crash of {nodes}{when}"),
                    NodeChange::Crash { wipes_disk: true } => {
                        format!("the crash of {nodes}{when}, which wipes the disk")
                    }
                    NodeChange::Pause => format!("the pause of {nodes}{when}"),
                    NodeChange::Slow { poll_ns } => {
                        format!("the slowness of {nodes} ({} a poll){when}", time(*poll_ns))
                    }
                    NodeChange::ClockJump { by_ns } => {
                        let way = if *by_ns < 0 { "back" } else { "forward" };
                        format!("the jump of {nodes}'s clock by {} {way}{when}", time(by_ns.unsigned_abs()))
                    }
                    NodeChange::ClockDrift { ppm } => {
                        let way = if *ppm < 0 { "slow" } else { "fast" };
                        format!("the drift of {nodes}'s clock, {} ppm too {way},{when}", ppm.unsigned_abs())
                    }
                }
            }
            What::Partition { groups, one_way, .. } => {
                let groups: Vec<String> = groups.iter().map(|group| group.join(", ")).collect();
                format!("the partition {}{when}", groups.join(if *one_way { " -> " } else { " | " }))
            }
            What::RandomPartition { nodes, split } => {
                let side = match split {
                    Split::Any => "the random partition",
                    Split::Minority => "the partition of a random minority",
                    Split::One => "the partition of a random node",
                };
                format!("{side} of {}{when}", nodes.join(", "))
            }
            What::Ring { nodes, reach } => format!("the ring of {} with reach {reach}{when}", nodes.join(", ")),
            What::Weather(rule) => {
                format!("the weather from {} {} {}{when}", rule.from, arrow(rule.both_ways), rule.to)
            }
            What::Swizzle { nodes, holds } => {
                let clogs = if *holds { ", which holds messages back" } else { "" };
                format!("the swizzle of {}{when}{clogs}", nodes.join(", "))
            }
            What::Hold { from, to, both_ways } => format!("the hold of {from} {} {to}{when}", arrow(*both_ways)),
            What::Reset { a, b } => format!("the reset of connections of {a} and {b}{when}"),
        }
    }

    /// What is said of an occurrence where it is one of the decisions that weren't calm: a name alone says nothing to whoever hasn't given it.
    pub(crate) fn said_at(&self, at: Duration) -> String {
        // All times of one that has a name are of one flow, which is said once.
        let when = if self.name.is_some() && self.times > 1 { String::new() } else { self.when(at) };
        let what = self.what_in_words(&when);
        let Some(name) = &self.name else { return what };
        let until = self.lasts.map_or_else(String::new, |lasts| format!(", for {}", format_ns(duration_ns(lasts))));
        format!("{name} ({what}{until})")
    }

    /// The point of the code at which it comes, by name or pattern, if it isn't at a time.
    #[must_use]
    pub fn point(&self) -> Option<&str> {
        self.point.as_ref().map(|(point, _)| point.as_str())
    }

    /// The node names and patterns that it speaks of.
    pub fn nodes(&self) -> impl Iterator<Item = &str> {
        let names: Vec<&str> = match &self.what {
            What::Node { nodes, .. }
            | What::RandomPartition { nodes, .. }
            | What::Ring { nodes, .. }
            | What::Swizzle { nodes, .. } => nodes.iter().map(String::as_str).collect(),
            What::Partition { groups, .. } => groups.iter().flatten().map(String::as_str).collect(),
            What::Weather(rule) => vec![&rule.from, &rule.to],
            What::Hold { from, to, .. } => vec![from, to],
            What::Reset { a, b } => vec![a, b],
        };
        names.into_iter()
    }
}
