//! The attribute and derive macros of Squall.
