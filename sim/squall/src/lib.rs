//! Squall: a deterministic simulator for distributed systems.
//!
//! Client and server coroutines run on a simulated network whose delays, drops, partitions and crashes are drawn from a
//! seed. The same seed brings the same run back, event for event.
#![forbid(unsafe_code)]

pub mod cli;
pub mod determinism;
pub mod explore;
pub mod runner;
pub mod scenario;
pub mod trace_file;

/// The vocabulary: plans, traces, events, verdicts.
pub use squall_trace as trace;

pub use runner::Simulation;
pub use squall_engine::fault::{Fault, crash, partition, partition_one_way};
pub use squall_engine::latency::Latency;
pub use squall_engine::task::spawn;
pub use squall_engine::{
    ClockSettings, Cluster, Limits, Link, NodeBuilder, NodeOutput, OnPanic, World, boot_number, net, node_name,
    publish, rand, rpc, task, time,
};
