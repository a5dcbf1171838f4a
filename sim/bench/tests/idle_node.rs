//! An idle node is small. Counted, not timed: the same on every machine.

use std::sync::{Mutex, PoisonError};

use squall_bench::idle_node::{CountingAllocator, IDLE_NODE_BYTES_MAX, IdleNode};

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;

/// What the process allocates once is counted to the thread that comes first: two tests at a time would race for it.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

fn measure(nodes: u32) -> IdleNode {
    let _alone = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    squall_bench::idle_node::measure(nodes).expect("the run passes")
}

#[test]
fn an_idle_node_takes_at_most_two_kibibytes() {
    for nodes in [1_000, 10_000] {
        let figures = measure(nodes);
        assert!(figures.bytes <= IDLE_NODE_BYTES_MAX, "{figures}");
        // Less than its own future and socket would mean that something wasn't counted.
        assert!(figures.bytes >= 256.0, "{figures}");
    }
}

#[test]
fn the_count_repeats_itself() {
    assert_eq!(measure(100), measure(100));
}
