//! What a node costs that does nothing: bytes of the heap, counted by an instrumented allocator.
//!
//! The count is of what lives when all nodes wait, and doesn't depend on the machine's load. A program that wants it has
//! [`stats_alloc::INSTRUMENTED_SYSTEM`] as its global allocator; `squall-bench` itself hasn't, since counting would slow what
//! it times.

use std::error::Error;
use std::fmt;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use squall::net::Endpoint;
use squall::{Simulation, World};
use stats_alloc::{INSTRUMENTED_SYSTEM, Stats};

use crate::gauges::pass;

/// What an idle node with a bound socket and a waiting receive may cost.
pub const IDLE_NODE_BYTES_MAX: f64 = 2_048.0;

/// What an allocator takes for itself for a block at the most: glibc's has eight bytes of its own and rounds up to 16.
const OVERHEAD_BYTES_MAX: f64 = 23.0;

/// What an idle node costs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct IdleNode {
    /// Among so many.
    pub nodes: u32,
    /// Bytes of the heap, with the most that the allocator can take for itself.
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
/// If a run doesn't pass, or the program doesn't have [`INSTRUMENTED_SYSTEM`] as its global allocator.
pub fn measure(nodes: u32) -> Result<IdleNode, Box<dyn Error>> {
    // What a process allocates once, at its first run and its first socket, is no node's.
    alive_with(1)?;
    let none = alive_with(0)?;
    let all = alive_with(nodes)?;
    if none.allocations == 0 {
        return Err("nothing is counted: stats_alloc's isn't this program's global allocator".into());
    }
    let each = |count: fn(&Stats) -> i64| (count(&all) - count(&none)) as f64 / f64::from(nodes);
    // The bytes of a reallocation are in those of allocations and deallocations too.
    let blocks = each(|stats| stats.allocations as i64 - stats.deallocations as i64);
    let requested = each(|stats| stats.bytes_allocated as i64 - stats.bytes_deallocated as i64);
    Ok(IdleNode { nodes, bytes: requested + blocks * OVERHEAD_BYTES_MAX, blocks })
}

/// What was allocated and freed by the time that all nodes wait. Only the run's thread is at work meanwhile.
fn alive_with(nodes: u32) -> Result<Stats, Box<dyn Error>> {
    let seen: Arc<OnceLock<Stats>> = Arc::default();
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
                    seen.set(INSTRUMENTED_SYSTEM.stats()).expect("it looks once");
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
    fn a_program_that_does_not_count_is_told() {
        assert!(measure(1).is_err_and(|error| error.to_string().starts_with("nothing is counted")));
    }
}
