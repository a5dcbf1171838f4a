//! What a node costs that does nothing: bytes of the heap, counted by an allocator of its own.
//!
//! The count is of what lives when all nodes wait, of the run's own thread, and exact: it doesn't depend on the machine's
//! load. A program that wants it has [`CountingAllocator`] as its global allocator; `squall-bench` itself hasn't, since
//! counting would slow what it times.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::error::Error;
use std::fmt;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use squall::net::Endpoint;
use squall::{Simulation, World};

use crate::gauges::pass;

/// What an idle node with a bound socket and a waiting receive may cost.
pub const IDLE_NODE_BYTES_MAX: f64 = 2_048.0;

thread_local! {
    /// Without initialization and destructor, since the allocator asks at any point of a thread's life.
    static ALIVE: Cell<Heap> = const { Cell::new(Heap { bytes: 0, blocks: 0 }) };
}

/// What is allocated and not freed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Heap {
    /// With what malloc takes for itself; see [`block_bytes`].
    bytes: i64,
    blocks: i64,
}

/// The system's allocator, which counts what each thread has alive.
#[derive(Debug)]
pub struct CountingAllocator;

/// What glibc's malloc takes for a block: eight bytes of its own, in multiples of 16, at least 32.
fn block_bytes(layout: Layout) -> i64 {
    (layout.size() + 8).next_multiple_of(16).max(32) as i64
}

fn count(bytes: i64, blocks: i64) {
    ALIVE.with(|alive| {
        let Heap { bytes: bytes_before, blocks: blocks_before } = alive.get();
        alive.set(Heap { bytes: bytes_before + bytes, blocks: blocks_before + blocks });
    });
}

// SAFETY: it passes everything on to the system's allocator and counts beside it, without allocating.
#[allow(unsafe_code)]
unsafe impl GlobalAlloc for CountingAllocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(block_bytes(layout), 1);
        // SAFETY: the caller's promises are the system's allocator's.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(block_bytes(layout), 1);
        // SAFETY: as above.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        count(-block_bytes(layout), -1);
        // SAFETY: as above.
        unsafe { System.dealloc(pointer, layout) }
    }
}

/// What an idle node costs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct IdleNode {
    /// Among so many.
    pub nodes: u32,
    /// Bytes of the heap, with what malloc takes for itself.
    pub bytes: f64,
    /// Blocks of the heap.
    pub blocks: f64,
}

impl fmt::Display for IdleNode {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let IdleNode { nodes, bytes, blocks } = self;
        let met = if *bytes <= IDLE_NODE_BYTES_MAX { "met" } else { "missed" };
        write!(
            formatter,
            "{nodes:>6} idle nodes: {bytes:>6.0} bytes each, in {blocks:.1} blocks  {met} (at most {IDLE_NODE_BYTES_MAX:.0})"
        )
    }
}

/// Measures what each of `nodes` idle nodes costs more than no node.
///
/// # Errors
/// If a run doesn't pass, or the program doesn't have [`CountingAllocator`] as its global allocator.
pub fn measure(nodes: u32) -> Result<IdleNode, Box<dyn Error>> {
    // What a process allocates once, at its first run and its first socket, is no node's.
    heap_with(1)?;
    let none = heap_with(0)?;
    let all = heap_with(nodes)?;
    if all.blocks == none.blocks {
        return Err("nothing is counted: CountingAllocator isn't this program's global allocator".into());
    }
    let share = |all: i64, none: i64| (all - none) as f64 / f64::from(nodes);
    Ok(IdleNode { nodes, bytes: share(all.bytes, none.bytes), blocks: share(all.blocks, none.blocks) })
}

/// What the run's thread has alive when all nodes wait.
fn heap_with(nodes: u32) -> Result<Heap, Box<dyn Error>> {
    let seen: Arc<OnceLock<Heap>> = Arc::default();
    let simulation = {
        let seen = Arc::clone(&seen);
        Simulation::new(move |world: &mut World| {
            for node in 0..nodes {
                world.node(format!("idle-{node}"), || async {
                    let endpoint = Endpoint::bind(("0.0.0.0", 700)).await.expect("the port is free");
                    let mut request = [0; 16];
                    endpoint.recv_from(1, &mut request).await.expect("the socket is open");
                });
            }
            let seen = Arc::clone(&seen);
            world.client("watcher", move || {
                let seen = Arc::clone(&seen);
                async move {
                    squall::time::sleep(Duration::from_secs(1)).await;
                    seen.set(ALIVE.get()).expect("it looks once");
                }
            });
        })
    };
    pass(&simulation)?;
    Ok(*seen.get().ok_or("the watcher didn't look")?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_as_large_as_malloc_makes_them() {
        for (bytes, expected) in [(1, 32), (24, 32), (25, 48), (40, 48), (41, 64), (1_000, 1_008)] {
            assert_eq!(block_bytes(Layout::from_size_align(bytes, 8).expect("a layout")), expected, "{bytes}");
        }
    }

    #[test]
    fn a_program_that_does_not_count_is_told() {
        assert!(measure(1).is_err_and(|error| error.to_string().starts_with("nothing is counted")));
    }
}
