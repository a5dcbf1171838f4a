//! What spans crates: worlds with planted nondeterminism, worlds with golden digests, and the check that tells them apart.
//!
//! | module | holds |
//! |---|---|
//! | [`plants`] | tiny worlds, each with one source of nondeterminism |
//! | [`worlds`] | worlds that are to repeat, with all kinds of events, and their golden digests |
//! | [`determinism`] | the check: the same plan again, after another plan, in other processes |
//! | [`planted_panic`] | a panic at a place that doesn't move |
#![forbid(unsafe_code)]

pub mod determinism;
pub mod planted_panic;
pub mod plants;
pub mod worlds;
