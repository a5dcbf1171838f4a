//! An idle node is small. Counted, not timed: the same on every machine.

use std::alloc::System;

use squall_bench::idle_node::{IDLE_NODE_BYTES_MAX, measure};
use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// One test, since what another one allocates meanwhile would be counted.
#[test]
fn an_idle_node_takes_at_most_two_kibibytes_each_time() {
    for nodes in [1_000, 10_000] {
        let figures = measure(nodes).expect("the run passes");
        assert!(figures.bytes <= IDLE_NODE_BYTES_MAX, "{figures}");
        // Less than its own future and socket would mean that something wasn't counted.
        assert!(figures.bytes >= 256.0, "{figures}");

        let again = measure(nodes).expect("the run passes");
        // The test harness, too, may allocate something meanwhile.
        assert!((again.bytes - figures.bytes).abs() < 1.0, "{figures}, then {again}");
    }
}
