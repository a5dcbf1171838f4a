//! A store of keys and values that outlives a crash: lines over TCP, a log that is synced before a write is acknowledged, and keys that expire.
//!
//! It is tokio's in all it does. Its unit tests (`simulated.rs`) run it inside of Squall, where it has other sockets and files; its integration tests (`tests/`) and
//! production have real ones.
#![forbid(unsafe_code)]

mod client;
mod log;
mod server;
mod store;

/// What is the operating system's: the only place that knows of Squall, and only in unit tests.
mod os {
    #[cfg(test)]
    pub use squall::{fs, net};
    #[cfg(not(test))]
    pub use tokio::{fs, net};
}

pub use client::Client;
pub use server::{Config, serve};
pub use store::SyncPolicy;

#[cfg(test)]
mod simulated;
