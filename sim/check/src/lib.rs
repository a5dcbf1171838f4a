//! Histories of what clients did, and whether a system that they could have come from exists.
//!
//! A [`history::History`] says which operations were invoked, when, and what came back; a [`model::Model`] says what an object does when
//! it is asked one thing after the other. [`linearizability::check`] looks for an order of the operations that fits both.
//!
//! | module | holds |
//! |---|---|
//! | [`value`] | what operations take and give |
//! | [`history`] | operations, and JSON lines of them |
//! | [`model`] | what an object does, and a trait for your own |
//! | [`models`] | register, cas-register, kv, set, queue, lock |
//! | [`linearizability`] | the search, with its budget |
//! | [`transactions`] | levels of isolation, from what transactions over lists have read |
//! | [`claim`] | all of these by name |
//! | [`sessions`] | what a client may expect of its own reads and writes |
//! | [`property`] | the same as a claim about a run, from the facts that its clients publish |
#![forbid(unsafe_code)]

pub mod claim;
mod graph;
pub mod history;
pub mod linearizability;
pub mod model;
pub mod models;
mod names;
pub mod property;
pub mod sessions;
pub mod transactions;
pub mod value;

pub use history::{History, Operation};
pub use model::{Call, Model, Readable, Step};
pub use value::Value;
