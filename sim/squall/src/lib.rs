//! A deterministic simulator for distributed systems.
