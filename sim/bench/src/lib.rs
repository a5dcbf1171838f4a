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
//!
//! madsim and turmoil are crates outside of the workspace, below `peers/`.

pub mod bare;
pub mod measurement;
pub mod peers;
pub mod squall_engine;
pub mod table;
