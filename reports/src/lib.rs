//! Draws runs: text now, pages later.
