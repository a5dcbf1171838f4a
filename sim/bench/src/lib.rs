//! Squall side by side with madsim, turmoil and a bare loop.
//!
//! Two closed-loop workloads, the same in every engine: N clients and one server; each client sends 16 bytes, waits for an
//! answer of 16 bytes, and begins again, a fixed number of times. A message takes 1 ms to 10 ms each way.
//!
//! | module | holds |
//! |---|---|
//! | [`measurement`] | the vocabulary: workload, engine, cell, and the line that one measurement prints |
//! | [`bare`] | the floor: a loop that does only what can't be avoided |
//! | [`squall_engine`] | the same workloads on Squall |
//! | [`peers`] | builds the peers, runs every cell in a process of its own, writes `peers.json` |
//! | [`table`] | the table and the ratios, as text |
//! | [`gauges`] | workloads whose amount can be doubled: a message, an rpc, a run, a spawn, a sleep |
//! | [`instructions`] | instructions of one unit of each gauge, by valgrind |
//! | [`run_overhead`] | the time of a short run besides its messages |
//! | [`campaign`] | an exploration beside its runs alone, and two jobs beside one |
//! | [`idle_node`] | bytes of a node that waits |
//! | [`tokio_nodes`] | what a node that tokio executes costs |
//!
//! madsim and turmoil are crates outside of the workspace, below `peers/`.
#![forbid(unsafe_code)]

pub mod bare;
pub mod campaign;
pub mod gauges;
pub mod histories;
pub mod idle_node;
pub mod instructions;
pub mod measurement;
pub mod peers;
pub mod run_overhead;
pub mod squall_engine;
pub mod table;
pub mod tokio_nodes;
