//! Searches plans.
//!
//! It sees only a [`Target`](squall_trace::Target): what a run is made of is no concern of it.
//!
//! | module | holds |
//! |---|---|
//! | [`explain`](mod@explain) | the nearest run that passes, and where it parts from the failing one |
//! | [`failure_file`] | a failing plan in a file that a person can read and edit |
//! | [`shrink`](mod@shrink) | from a failing plan to the few perturbations that cause the failure |
#![forbid(unsafe_code)]

pub mod explain;
pub mod failure_file;
pub mod shrink;
