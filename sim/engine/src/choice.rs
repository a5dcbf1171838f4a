//! What a program's `squall::select!` and `join!` ask of the run: which of their branches is polled first.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::hash::{BuildHasher, RandomState};
use std::panic::Location;

use squall_trace::id::{hash_parts, hash_words};
use squall_trace::{FlowId, FlowInfo, FlowRole, NodeId, Site, SiteKind, TaskId};

use crate::kernel::{self, Kernel};

/// How often each task has asked at each place of the code.
#[derive(Debug, Default)]
pub(crate) struct Choices {
    asked: BTreeMap<(u64, TaskId), u64>,
}

/// Which of so many branches is polled first: what `squall::select!` and `squall::join!` write. In a run it is a decision, and after the heal, as where nobody
/// decides otherwise, the first. Outside of a run, in production, it is drawn. It is known by its module, line and column: files lie elsewhere on another machine.
#[must_use]
#[track_caller]
pub fn first_of(macro_name: &str, branches: u32, module: &str) -> u32 {
    if branches < 2 {
        return 0;
    }
    let place = Location::caller();
    match kernel::try_with(|kernel| kernel.choose_branch(macro_name, branches, module, place)) {
        Some(first) => first,
        None if kernel::is_on() => 0,
        None => drawn(branches),
    }
}

/// Which of so many branches comes `step` places after the first one, the first ones again behind the last.
#[inline]
#[must_use]
pub fn in_turn(first: u32, step: u32, branches: u32) -> u32 {
    (first + step) % branches
}

/// Of a generator of the thread's own (G. Marsaglia, "Xorshift RNGs", 2003), that begins at random.
fn drawn(branches: u32) -> u32 {
    thread_local! {
        static STATE: Cell<u64> = const { Cell::new(0) };
    }
    STATE.with(|state| {
        let mut word = state.get();
        if word == 0 {
            word = RandomState::new().hash_one(1u8) | 1;
        }
        word ^= word << 13;
        word ^= word >> 7;
        word ^= word << 17;
        state.set(word);
        ((u128::from(word) * u128::from(branches)) >> 64) as u32
    })
}

impl Kernel {
    fn choose_branch(&mut self, macro_name: &str, branches: u32, module: &str, place: &Location<'_>) -> u32 {
        let node = self.current.node;
        if !self.is_live() || node == NodeId::WORLD {
            return 0;
        }
        let words = [u64::from(place.line()), u64::from(place.column()), 0, 0];
        let place_hash = hash_words([hash_parts(&[module.as_bytes()]), words[0], words[1], 0]);
        // Numbered in each task by itself, whose number says its node and boot too.
        let task = self.current.task;
        let times = self.choices.asked.entry((place_hash, task)).or_default();
        *times += 1;
        let flow = FlowId(hash_words([place_hash, task.0, u64::from_le_bytes(*b"choice  "), 0]));
        let site = Site { kind: SiteKind::Choice, flow, number: *times };
        let [word, _] = self.decisions.key(self.now_ns).words(flow, site.number, SiteKind::Choice as u16);
        let drawn = if self.is_after_the_storm() { 0 } else { (u128::from(word) * u128::from(branches)) >> 64 };
        self.drawn += 1;
        let first = self.decisions.decide(site, self.now_ns, 0, drawn as u64, || flow.0) % u64::from(branches);
        if first != 0 && self.journal.wants_names() {
            let what = format!("{macro_name}! at {}:{} in {}", place.file(), place.line(), self.current_label());
            let role = FlowRole::Fault { what };
            self.journal.name_flow(flow, || FlowInfo { from: node, to: node, role, operation: None });
        }
        first as u32
    }
}
