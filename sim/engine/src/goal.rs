//! Goals: what is to come in some run of many, marked in the program's code where it comes.
//!
//! Every mark of a program is in [`MARKS`], whether a run comes by it or not: the linker collects them. So one that no run came by is known.

use std::cell::RefCell;
use std::collections::BTreeMap;

pub use linkme;
pub use linkme::distributed_slice;

use crate::kernel;

/// Everything that is marked in this program, in no order: [`marks`] has one.
#[distributed_slice]
pub static MARKS: [Mark];

/// A place in the code that some run is to come by. `squall::reachable!` and `squall::sometimes!` make them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mark {
    /// The goal. Marks of one name are one goal.
    pub goal: &'static str,
    /// The module that it stands in.
    pub module: &'static str,
    /// The file, as the compiler was told it.
    pub file: &'static str,
    /// The line in it.
    pub line: u32,
}

/// All marks, by their goal.
#[must_use]
pub fn marks() -> Vec<Mark> {
    let mut marks = MARKS.to_vec();
    marks.sort_unstable();
    marks
}

/// A run came by that mark. Outside of a run, and when a run is over, it does nothing.
pub fn reach(mark: &Mark) {
    let known = kernel::try_with(|kernel| {
        if kernel.is_live() {
            *kernel.reached.entry(mark.goal).or_insert(0) += 1;
        }
    });
    if known.is_none() {
        let _ = COUNTED.try_with(|counted| {
            if let Some(counted) = counted.borrow_mut().as_mut() {
                *counted.entry(mark.goal).or_insert(0) += 1;
            }
        });
    }
}

thread_local! {
    /// How often this thread has come by the marks of each goal, where another engine runs the program.
    static COUNTED: RefCell<Option<BTreeMap<&'static str, u64>>> = const { RefCell::new(None) };
}

/// For another engine, whose runs have a thread each: this thread's marks are counted from now on.
pub fn begin_counting() {
    COUNTED.set(Some(BTreeMap::new()));
}

/// How often marks of each goal were come by since [`begin_counting`]. They aren't counted any more.
pub fn end_counting() -> BTreeMap<&'static str, u64> {
    COUNTED.take().unwrap_or_default()
}

/// Where a goal is marked in the code, as `file:line`; empty if it is a world's alone.
#[must_use]
pub fn places_of(goal: &str) -> String {
    let marks = marks().into_iter().filter(|mark| mark.goal == goal);
    let places: Vec<String> = marks.map(|mark| format!("{}:{}", mark.file, mark.line)).collect();
    places.join(", ")
}
