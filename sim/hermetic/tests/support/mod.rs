//! A small deterministic host, and ways to run code as a node on a fresh thread.

// Every test file uses its own part of this.
#![allow(dead_code)]

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use squall_hermetic::{Escape, Host, enter, set_node_code};

/// 2031-05-04 in nanoseconds: a time at which no test is run.
pub const EPOCH_NS: u64 = 1_935_619_200_123_456_789;

/// Answers from a seed and from counters.
pub struct Script {
    pub seed: u64,
    pub now_ns: Cell<u64>,
    /// How far each reading of a clock moves it on.
    pub step_ns: u64,
    /// Whether waits and sleeps move the clock on.
    pub waits_advance: bool,
    pub entropy_draws: Cell<u64>,
    pub escapes: RefCell<Vec<Escape>>,
}

impl Script {
    pub fn new(seed: u64) -> Script {
        Script {
            seed,
            now_ns: Cell::new(1_000_000_000 + seed),
            step_ns: 0,
            waits_advance: false,
            entropy_draws: Cell::new(0),
            escapes: RefCell::new(Vec::new()),
        }
    }

    fn read(&self) -> u64 {
        self.now_ns.set(self.now_ns.get() + self.step_ns);
        self.now_ns.get()
    }
}

impl Host for Script {
    fn monotonic_ns(&self) -> u64 {
        // A host may use clocks, entropy and memory itself; it then gets the real ones and isn't entered again.
        std::hint::black_box(std::time::Instant::now());
        self.read()
    }

    fn wall_ns(&self) -> u64 {
        EPOCH_NS + self.read()
    }

    fn fill_entropy(&self, out: &mut [u8]) {
        assert!(!out.is_empty());
        let draw = self.entropy_draws.get();
        self.entropy_draws.set(draw + 1);
        let mut state = self.seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ draw.rotate_left(32);
        for byte in out {
            // SplitMix64
            state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut mixed = state;
            mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            *byte = (mixed ^ (mixed >> 31)) as u8;
        }
    }

    fn on_escape(&self, escape: Escape) {
        if self.waits_advance
            && let Escape::BlockingSleep { ns } | Escape::BlockingWait { timeout_ns: Some(ns) } = &escape
        {
            self.now_ns.set(self.now_ns.get() + ns);
        }
        self.escapes.borrow_mut().push(escape);
    }
}

/// Runs `body` as node code on a fresh thread, and returns what it returned and which escapes were told.
pub fn as_node_on<Answer: Send + 'static>(
    script: impl FnOnce() -> Script + Send + 'static,
    body: impl FnOnce() -> Answer + Send + 'static,
) -> (Answer, Vec<Escape>) {
    std::thread::spawn(move || {
        let host = Rc::new(script());
        let guard = enter(host.clone());
        assert!(guard.thread_was_fresh());
        set_node_code(true);
        let answer = body();
        assert!(set_node_code(false));
        drop(guard);
        let escapes = host.escapes.borrow().clone();
        (answer, escapes)
    })
    .join()
    .expect("the node code shouldn't panic")
}

/// As [`as_node_on`], with the plain host of a seed.
pub fn as_node<Answer: Send + 'static>(
    seed: u64,
    body: impl FnOnce() -> Answer + Send + 'static,
) -> (Answer, Vec<Escape>) {
    as_node_on(move || Script::new(seed), body)
}
