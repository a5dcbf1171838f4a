//! Places in a program's code that now and then do something rare but legal, where they ask by `squall::buggify!`.
//!
//! Source: FoundationDB's BUGGIFY (J. Zhou et al., "FoundationDB: a distributed unbundled transactional key value store", SIGMOD 2021, section 4).
//! As there, each place is enabled in some of the runs alone, and does its thing in a share of the times that it is asked there: what is always rare
//! never comes often enough to hurt.

use std::collections::BTreeMap;

pub use linkme;
pub use linkme::distributed_slice;

use squall_trace::id::hash_parts;
use squall_trace::swarm::FaultClass;
use squall_trace::{EventKind, FaultPart, FlowId, FlowInfo, FlowRole, NodeId, Ratio, Site, SiteKind, TaskId};

use crate::kernel::{self, Kernel};

/// How often places that ask by `squall::buggify!` do what is rare, and how many knobs are turned; see [`crate::World::buggify`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Buggify {
    pub(crate) enabled: Ratio,
    pub(crate) share: Ratio,
    pub(crate) knobs: Ratio,
}

impl Default for Buggify {
    fn default() -> Buggify {
        let quarter = Ratio::new(1, 4);
        Buggify { enabled: quarter, share: quarter, knobs: quarter }
    }
}

impl Buggify {
    /// The share of the runs in which a place is enabled; 25 % unless said otherwise. Each place is by itself.
    pub fn enabled(&mut self, share: Ratio) -> &mut Buggify {
        self.enabled = share;
        self
    }

    /// The share of the times that an enabled place does it, unless it says a share of its own; 25 % unless said otherwise.
    pub fn share(&mut self, share: Ratio) -> &mut Buggify {
        self.share = share;
        self
    }

    /// The share of the runs in which a knob has another value than its default; 25 % unless said otherwise. Each knob is by itself.
    pub fn knobs(&mut self, share: Ratio) -> &mut Buggify {
        self.knobs = share;
        self
    }

    /// Nothing of the kind: no place does anything rare, and each knob has its default.
    pub fn off(&mut self) -> &mut Buggify {
        *self = Buggify { enabled: Ratio::ZERO, share: Ratio::ZERO, knobs: Ratio::ZERO };
        self
    }
}

/// All places of this program that ask by `squall::buggify!`, in no order.
#[distributed_slice]
pub static PLACES: [Place];

/// A place in the code that asks whether to do something rare. `squall::buggify!` makes them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// What it is called. Several places of one name are one place.
    pub name: &'static str,
}

/// The names of all places, in order.
#[must_use]
pub fn names() -> Vec<&'static str> {
    let mut names: Vec<&str> = PLACES.iter().map(|place| place.name).collect();
    names.sort_unstable();
    names.dedup();
    names
}

/// What a run knows of the places that asked.
#[derive(Debug, Default)]
pub(crate) struct Places {
    pub odds: Buggify,
    enabled: BTreeMap<&'static str, bool>,
    /// How often each task has asked at each place.
    asked: BTreeMap<(&'static str, TaskId), u64>,
}

/// Whether a place does something rare this time: what `squall::buggify!` writes. Outside of a run, when a run is over, and after the world's heal it
/// doesn't. `share` is the place's own.
#[must_use]
pub fn evaluate(place: &Place, share: Option<Ratio>) -> bool {
    kernel::try_with(|kernel| kernel.is_live() && kernel.asks_whether_rare(place.name, share)).unwrap_or(false)
}

impl Kernel {
    #[cold]
    fn asks_whether_rare(&mut self, name: &'static str, share: Option<Ratio>) -> bool {
        let id = self.current.node;
        if id == NodeId::WORLD || self.is_after_the_storm() {
            return false;
        }
        // Numbered in each task by itself, whose number says its node and boot too: what is taken away from one shifts no number of another.
        let task = self.current.task;
        let times = self.buggify.asked.entry((name, task)).or_default();
        *times += 1;
        let flow = FlowId(hash_parts(&[b"buggify", name.as_bytes(), &task.0.to_le_bytes()]));
        let site = Site { kind: SiteKind::Buggify, flow, number: *times };
        let odds = self.buggify.odds;
        let is_enabled = *self.buggify.enabled.entry(name).or_insert_with(|| {
            // As the run began: what is drawn again later doesn't change it.
            let place = FlowId(hash_parts(&[b"buggify", name.as_bytes()]));
            odds.enabled.threshold().hit(self.decisions.key(0).words(place, 0, SiteKind::Buggify as u16)[0])
        });
        let drawn = is_enabled && {
            let [word, _] = self.decisions.key(self.now_ns).words(site.flow, site.number, SiteKind::Buggify as u16);
            let share = share.map(|share| self.swarmed_rate(FaultClass::Buggify, share));
            share.unwrap_or(odds.share).threshold().hit(word)
        };
        let is_rare = self.decisions.decide(site, self.now_ns, 0, u64::from(drawn), || site.flow.0) != 0;
        if is_rare {
            let what = format!("buggify {name:?} in {}", self.current_label());
            let role = FlowRole::Fault { what };
            self.journal.name_flow(site.flow, || FlowInfo { from: id, to: id, role, operation: None });
            self.emit(EventKind::Fault { what: format!("buggify {name:?} is true").into(), part: FaultPart::Whole });
        }
        is_rare
    }
}
