//! An idle node is small. Counted, not timed: the same on every machine.

use squall_bench::idle_node::{CountingAllocator, IDLE_NODE_BYTES_MAX, measure};

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;

#[test]
fn an_idle_node_takes_at_most_two_kibibytes() {
    for nodes in [1_000, 10_000] {
        let figures = measure(nodes).expect("the run passes");
        assert!(figures.bytes <= IDLE_NODE_BYTES_MAX, "{figures}");
        // Less than its own future and socket would mean that something wasn't counted.
        assert!(figures.bytes >= 256.0, "{figures}");
    }
}

#[test]
fn the_count_repeats_itself() {
    assert_eq!(measure(100).expect("the run passes"), measure(100).expect("the run passes"));
}
