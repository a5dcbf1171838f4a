//! Disks: what they do to files, and each node's own.
//!
//! | module | holds |
//! |---|---|
//! | `files` | what is on one disk, and what is pending |
//! | `io` | what programs ask of it, how long that takes, what fails, what a crash leaves |

mod files;
mod io;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use squall_trace::ratio::Threshold;
use squall_trace::swarm::FaultClass;
use squall_trace::{NodeId, Ratio};

use crate::latency::{InverseTable, Latency};
use crate::network::compiled;
use crate::world::matches;
pub(crate) use files::{Facts, Normal};
use files::{Files, Inode, Mark};
pub(crate) use io::{Begun, Handle, How, Reading};

/// The most that a disk may hold: its files lie in memory.
pub const CAPACITY_BYTES_MAX: u64 = 1 << 40;

/// What a disk does, as far as it is said.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct DiskRule {
    pub node: String,
    latency: Option<Latency>,
    sync_latency: Option<Latency>,
    capacity_bytes: Option<u64>,
    crash_loss: Option<Ratio>,
    torn: Option<Ratio>,
    read_failure: Option<Ratio>,
    write_failure: Option<Ratio>,
    sync_failure: Option<Ratio>,
    bit_rot: Option<Ratio>,
}

impl DiskRule {
    pub(crate) fn of(node: String) -> DiskRule {
        DiskRule { node, ..DiskRule::default() }
    }

    /// Whether some of its operations fail.
    pub(crate) fn fails(&self) -> bool {
        let DiskRule { read_failure, write_failure, sync_failure, .. } = self;
        [read_failure, write_failure, sync_failure].into_iter().flatten().any(|share| !share.is_zero())
    }

    /// Whether bits flip on it.
    pub(crate) fn rots(&self) -> bool {
        self.bit_rot.is_some_and(|share| !share.is_zero())
    }

    /// How long what is done with it takes.
    pub(crate) fn latencies(&self) -> impl Iterator<Item = &Option<Latency>> {
        [&self.latency, &self.sync_latency].into_iter()
    }

    /// Gives each of its rates to whoever scales it, with its class.
    pub(crate) fn scale(&mut self, scale: impl Fn(FaultClass, &mut Option<Ratio>)) {
        scale(FaultClass::DiskCrash, &mut self.crash_loss);
        scale(FaultClass::DiskCrash, &mut self.torn);
        scale(FaultClass::DiskFailure, &mut self.read_failure);
        scale(FaultClass::DiskFailure, &mut self.write_failure);
        scale(FaultClass::DiskFailure, &mut self.sync_failure);
        scale(FaultClass::BitRot, &mut self.bit_rot);
    }

    /// A disk of which nothing is said.
    pub(crate) fn usual() -> DiskRule {
        DiskRule {
            node: "*".to_string(),
            latency: Some(Latency::fixed(Duration::from_micros(20))),
            sync_latency: Some(Latency::fixed(Duration::from_micros(500))),
            capacity_bytes: Some(1 << 30),
            crash_loss: Some(Ratio::new(1, 2)),
            torn: Some(Ratio::new(1, 10)),
            read_failure: Some(Ratio::ZERO),
            write_failure: Some(Ratio::ZERO),
            sync_failure: Some(Ratio::ZERO),
            bit_rot: Some(Ratio::ZERO),
        }
    }
}

/// How disks behave: what isn't said here is as [`World::storage`](crate::World::storage) says, or as usual. See `docs/disk.md` for what
/// survives a crash.
#[derive(Debug)]
pub struct Disk<'w>(pub(crate) &'w mut DiskRule);

impl Disk<'_> {
    /// How long each operation takes but for syncs; always 20 µs unless said otherwise.
    ///
    /// # Panics
    /// If the distribution is impossible; see [`Latency::validate`].
    pub fn latency(&mut self, latency: Latency) -> &mut Self {
        self.0.latency = Some(self.possible(latency, "latency"));
        self
    }

    /// How long a sync takes; always 500 µs unless said otherwise.
    ///
    /// # Panics
    /// If the distribution is impossible; see [`Latency::validate`].
    pub fn sync_latency(&mut self, latency: Latency) -> &mut Self {
        self.0.sync_latency = Some(self.possible(latency, "sync latency"));
        self
    }

    fn possible(&self, latency: Latency, what: &str) -> Latency {
        match latency.validate() {
            Ok(()) => latency,
            Err(error) => panic!("the {what} of the disk of {} is impossible: {error}", self.0.node),
        }
    }

    /// How many bytes all of its files may have together; 1 GiB unless said otherwise. More is refused as
    /// [`std::io::ErrorKind::StorageFull`].
    ///
    /// # Panics
    /// If it is 0, or above [`CAPACITY_BYTES_MAX`].
    pub fn capacity_bytes(&mut self, bytes: u64) -> &mut Self {
        assert!(
            (1..=CAPACITY_BYTES_MAX).contains(&bytes),
            "the capacity of the disk of {} is impossible: expected 1 byte to {CAPACITY_BYTES_MAX} bytes (1 TiB), found {bytes}",
            self.0.node
        );
        self.0.capacity_bytes = Some(bytes);
        self
    }

    /// The share of the changes since the last sync that a crash of the node loses; 50 % unless said otherwise.
    pub fn crash_loss(&mut self, share: Ratio) -> &mut Self {
        self.0.crash_loss = Some(share);
        self
    }

    /// The share of those writes to more than one sector, of 512 bytes each, that a crash doesn't lose but tears: only a beginning of the sectors
    /// survives; 10 % unless said otherwise.
    pub fn torn(&mut self, share: Ratio) -> &mut Self {
        self.0.torn = Some(share);
        self
    }

    /// The share of reads that fail.
    pub fn read_failure(&mut self, share: Ratio) -> &mut Self {
        self.0.read_failure = Some(share);
        self
    }

    /// The share of writes that fail and write nothing.
    pub fn write_failure(&mut self, share: Ratio) -> &mut Self {
        self.0.write_failure = Some(share);
        self
    }

    /// The share of syncs that fail. Whatever such a sync was to make durable is then lost or not as in a crash, which the program sees only after
    /// one; a later sync doesn't bring it back.
    pub fn sync_failure(&mut self, share: Ratio) -> &mut Self {
        self.0.sync_failure = Some(share);
        self
    }

    /// The share of reads that find one of their bits flipped, which stays so on the disk.
    pub fn bit_rot(&mut self, share: Ratio) -> &mut Self {
        self.0.bit_rot = Some(share);
        self
    }
}

/// How one node's disk behaves.
#[derive(Debug)]
struct Conditions {
    latency: Arc<InverseTable>,
    sync_latency: Arc<InverseTable>,
    crash_loss: Threshold,
    torn: Threshold,
    read_failure: Threshold,
    write_failure: Threshold,
    sync_failure: Threshold,
    bit_rot: Threshold,
}

/// A sync that has begun. It comes to its end at its time, whoever waits for it.
#[derive(Debug)]
struct Syncing {
    due_ns: u64,
    mark: Mark,
    /// Its number among the syncs of its file.
    number: u64,
    fails: bool,
}

/// What is known of an open file.
#[derive(Clone, Copy, Debug)]
struct Opened {
    inode: Inode,
    position: u64,
    how: How,
    /// How many [`crate::fs::File`] have it.
    shared_by: u32,
}

/// One node's disk.
#[derive(Debug)]
struct NodeDisk {
    conditions: Conditions,
    files: Files,
    opened: BTreeMap<u64, Opened>,
    /// How many were opened so far: a handle is never used again.
    handles: u64,
    /// In the order in which they began.
    syncing: Vec<Syncing>,
    /// How often each path was looked up.
    look_ups: BTreeMap<Normal, u64>,
    /// What was lost so far, where names are wanted.
    losses: BTreeMap<squall_trace::FlowId, BTreeMap<u64, squall_trace::trace::DiskLoss>>,
}

/// The disks of a run: those of nodes that have used theirs.
#[derive(Debug)]
pub(crate) struct Disks {
    /// The usual one first.
    rules: Vec<DiskRule>,
    disks: BTreeMap<NodeId, NodeDisk>,
    /// By node, once the storm is over: on those for which it is nothing goes wrong.
    healed: Vec<bool>,
}

impl Disks {
    pub(crate) fn new(usual: DiskRule, others: Vec<DiskRule>) -> Disks {
        let mut rules = vec![usual];
        rules.extend(others);
        Disks { rules, disks: BTreeMap::new(), healed: Vec::new() }
    }

    /// From now on nothing goes wrong on the disks of those nodes.
    pub(crate) fn heal(&mut self, healed: Vec<bool>) {
        self.healed = healed;
    }

    fn is_healed(&self, node: NodeId) -> bool {
        self.healed.get(node.index()).copied().unwrap_or(false)
    }

    /// A node's disk, empty at first.
    fn of(&mut self, node: NodeId, name: &str) -> &mut NodeDisk {
        let Disks { rules, disks, .. } = self;
        disks.entry(node).or_insert_with(|| {
            // Of several rules that match, the last one that sets something wins.
            fn said<T>(rules: &[DiskRule], name: &str, get: impl Fn(&DiskRule) -> Option<&T>) -> T
            where
                T: Clone,
            {
                let mut matching = rules.iter().rev().filter(|rule| matches(&rule.node, name));
                matching.find_map(get).expect("the usual one says all").clone()
            }
            let share = |get: fn(&DiskRule) -> Option<&Ratio>| said(rules, name, get).threshold();
            let conditions = Conditions {
                latency: compiled(&said(rules, name, |rule| rule.latency.as_ref())),
                sync_latency: compiled(&said(rules, name, |rule| rule.sync_latency.as_ref())),
                crash_loss: share(|rule| rule.crash_loss.as_ref()),
                torn: share(|rule| rule.torn.as_ref()),
                read_failure: share(|rule| rule.read_failure.as_ref()),
                write_failure: share(|rule| rule.write_failure.as_ref()),
                sync_failure: share(|rule| rule.sync_failure.as_ref()),
                bit_rot: share(|rule| rule.bit_rot.as_ref()),
            };
            let capacity = said(rules, name, |rule| rule.capacity_bytes.as_ref());
            NodeDisk {
                conditions,
                files: Files::new(name, capacity),
                opened: BTreeMap::new(),
                handles: 0,
                syncing: Vec::new(),
                look_ups: BTreeMap::new(),
                losses: BTreeMap::new(),
            }
        })
    }
}
