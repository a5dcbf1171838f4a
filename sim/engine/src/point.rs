//! Points: places in a program's code at which a node may crash.
//!
//! Every point of a program is in [`POINTS`], whether a run comes by it or not: the linker collects them. So a fault that names one that isn't there is
//! a mistake that can be told.

pub use linkme;
pub use linkme::distributed_slice;

use squall_trace::ratio::Threshold;
use squall_trace::{EventKind, FaultPart, NodeId, SiteKind};

use crate::kernel::{self, Kernel};
use crate::world::matches;

/// All points of this program, in no order.
#[distributed_slice]
pub static POINTS: [Point];

/// A place in the code at which a node may crash. `squall::point!` makes them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Point {
    /// What it is called. Several places of one name are one point.
    pub name: &'static str,
    /// The file, as the compiler was told it.
    pub file: &'static str,
    /// The line in it.
    pub line: u32,
}

/// The names of all points, in order.
#[must_use]
pub fn names() -> Vec<&'static str> {
    let mut names: Vec<&str> = POINTS.iter().map(|point| point.name).collect();
    names.sort_unstable();
    names.dedup();
    names
}

/// A node came by that point, and crashes there if a fault says so and it is decided so. Outside of a run, and when a run is over, it does nothing.
pub fn pass(point: &Point) {
    kernel::try_with(|kernel| {
        if !kernel.crash_points.is_empty() && kernel.is_live() {
            kernel.pass_point(point.name);
        }
    });
}

/// A crash that comes where a node passes a point.
#[derive(Clone, Debug)]
pub(crate) struct CrashPoint {
    /// By node: whether it is of that one.
    pub nodes: Vec<bool>,
    /// A name, or a pattern.
    pub point: String,
    pub share: Threshold,
    /// Of the fault, in words, and by what it is known.
    pub sentence: String,
    pub address: String,
    pub restart_after_ns: Option<u64>,
    pub wipes_disk: bool,
    /// Whether one of the nodes has come by.
    pub was_passed: bool,
}

impl Kernel {
    #[cold]
    fn pass_point(&mut self, name: &str) {
        let id = self.current.node;
        for index in 0..self.crash_points.len() {
            let crash_point = &mut self.crash_points[index];
            if id == NodeId::WORLD || !crash_point.nodes[id.index()] || !matches(&crash_point.point, name) {
                continue;
            }
            crash_point.was_passed = true;
            if self.is_after_the_storm() {
                continue;
            }
            let crash_point = self.crash_points[index].clone();
            let node = &self.nodes[id.index()];
            // Numbered in each boot anew: what is taken away from one shifts no number of the next.
            let boot = if node.boot == 0 { String::new() } else { format!(" of boot {}", node.boot) };
            let said = format!("{}, {name:?} on {}{boot}", crash_point.sentence, node.name);
            let address = format!("{}, {name:?} on {}{boot}", crash_point.address, node.name);
            let site = self.next_fault_site(SiteKind::Point, &address);
            if self.are_too_many_down(&[id]) {
                continue;
            }
            let [word, _] = self.decisions.key(self.now_ns).words(site.flow, site.number, SiteKind::Point as u16);
            let drawn = u64::from(crash_point.share.hit(word));
            if self.decide_fault_at(site, drawn, &said) {
                self.emit_on(NodeId::WORLD, EventKind::Fault { what: said.clone().into(), part: FaultPart::Whole });
                self.crash_for(id, said, &crash_point);
                return;
            }
        }
    }
}
