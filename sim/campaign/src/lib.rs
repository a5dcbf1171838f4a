//! Searches plans.
//!
//! It sees only a [`Target`](squall_trace::Target): what a run is made of is no concern of it.
//!
//! | module | holds |
//! |---|---|
//! | [`crash_states`](mod@crash_states) | all states in which crashes can leave disks |
//! | [`explain`](mod@explain) | the nearest run that passes, and where it parts from the failing one |
//! | [`failure_file`] | a failing plan in a file that a person can read and edit |
//! | [`latencies`] | how long operations took, over many runs |
//! | [`likelihood`](mod@likelihood) | how likely a failure is from each moment of a run on |
//! | [`saturation`] | how many different runs there were, as a campaign went on |
//! | [`seeds`] | ranges of seeds |
//! | [`shard`] | parts of a range, their files, and what they come to together |
//! | [`shrink`](mod@shrink) | from a failing plan to the few perturbations that cause the failure |
//! | [`sweep`] | the values of a sweep, thresholds |
//! | [`tally`] | what came of many seeds, counted in their order |
//! | [`whole_file`] | files that are there whole or not at all |
#![forbid(unsafe_code)]

pub mod crash_states;
pub mod explain;
pub mod failure_file;
pub mod latencies;
pub mod likelihood;
pub mod saturation;
pub mod seeds;
pub mod shard;
pub mod shrink;
pub mod sweep;
pub mod tally;
pub mod whole_file;
