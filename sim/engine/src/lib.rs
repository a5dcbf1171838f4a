//! The engine of Squall: a [`Plan`](squall_trace::Plan) goes in, a trace comes out.
//!
//! One thread, one agenda, no clock but its own. What a program calls is in [`task`], [`time`], [`net`], [`fs`],
//! [`rpc`], [`rand`](mod@rand) and [`publish`]; what describes a cluster is in [`World`]; what carries it out is [`run()`].
//!
//! | module | holds |
//! |---|---|
//! | `agenda` | what will happen, and what is ready |
//! | `buggify`, `knob` | what a program asks of the run so that it does what is rare |
//! | `choice` | which branch of a `select!` or `join!` is polled first |
//! | `budget` | how many nodes may be down at once |
//! | [`description`] | a world as another engine takes it |
//! | `decisions` | who answers at a site; what wasn't calm |
//! | `disk` | what is on the nodes' disks, and what a crash leaves of it |
//! | `goal` | what is to come in some run of many |
//! | `host` | tasks that execute others: another executor in a node |
//! | `journal` | events, digest, names |
//! | `kernel` | the state of a run, behind one door |
//! | `network` | flows, messages, sockets, partitions |
//! | `node_local` | statics of which each node has a value of its own |
//! | `streams` | connections and their segments |
//! | `swarm` | which classes of faults a run does without |
//! | `run` | the loop, the end, the verdict |
#![forbid(unsafe_code)]

mod agenda;
pub mod budget;
pub mod buggify;
pub mod choice;
mod clock;
mod cluster;
mod decisions;
pub mod description;
mod disk;
pub mod fault;
pub mod fs;
pub mod goal;
pub mod host;
mod http2;
mod journal;
mod kernel;
pub mod knob;
pub mod latency;
mod log;
pub mod net;
mod network;
mod node_local;
mod panics;
mod payload;
pub mod point;
pub mod rand;
mod read_ahead;
pub mod rpc;
pub mod rule;
mod run;
mod script;
mod send_queues;
pub mod spans;
mod streams;
mod swarm;
pub mod task;
pub mod time;
pub mod workload;
mod world;

pub use budget::{AtMost, Budget};
pub use buggify::Buggify;
pub use cluster::Cluster;
pub use decisions::Decisions;
pub use disk::{CAPACITY_BYTES_MAX, Disk};
pub use journal::{Journal, JournalEnd, SharedRecorder};
pub use node_local::NodeLocal;
pub use run::{Call, Heartbeat, RunOptions, run};
pub use streams::Tcp;
pub use world::{
    BANDWIDTH_BITS_PER_SECOND_MAX, Bursts, ClockSettings, Heal, Limits, Link, Loopback, MESSAGE_HEADER_BYTES,
    NodeBuilder, NodeOutput, OnPanic, RoleBuilder, RoleUse, Uplink, World, describe, matches,
};

/// Makes a fact known: to properties, to control tasks ([`Cluster::published`]) and to the trace. The value goes as JSON.
///
/// # Panics
/// Outside of a run; if the value can't be written as JSON.
#[track_caller]
pub fn publish(topic: &str, value: impl serde::Serialize) {
    // Serialising is user code: before the world is borrowed.
    let value = match serde_json::to_string(&value) {
        Ok(value) => value,
        Err(error) => panic!("squall::publish: the value about {topic:?} can't be written as JSON: {error}"),
    };
    kernel::with("squall::publish", |kernel| {
        if !kernel.is_live() {
            return;
        }
        kernel.emit(squall_trace::EventKind::Publish { topic: topic.into(), value: value.as_str().into() });
        kernel.remember_published(topic, &value);
    });
}

/// The name of the running node.
///
/// # Panics
/// Outside of a run.
#[must_use]
#[track_caller]
pub fn node_name() -> String {
    kernel::with("squall::node_name", |kernel| {
        kernel.nodes.get(kernel.current.node.index()).map(|node| node.name.to_string())
    })
    .expect("a node is running")
}

/// The running node's boot number: 0 at first, one more after each restart.
///
/// # Panics
/// Outside of a run.
#[must_use]
#[track_caller]
pub fn boot_number() -> u32 {
    kernel::with("squall::boot_number", |kernel| kernel.current.boot)
}
