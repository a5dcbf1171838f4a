//! The short names that most tests need: `use squall::prelude::*`.

use std::time::Duration;

pub use squall_engine::fault::{self, Fault, crash, partition, partition_one_way, pause};
pub use squall_engine::latency::Latency;
pub use squall_engine::rule::{self, Rule};
pub use squall_engine::time::DurationExt;
pub use squall_engine::{Bursts, Cluster, OnPanic, World};
pub use squall_trace::Ratio;

pub use crate::ensure;
pub use crate::property::{always, eventually, sometimes};
pub use crate::tokio_node::TokioNode;

/// So many seconds.
#[must_use]
pub const fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// So many hundredths.
///
/// # Panics
/// Above 100.
#[must_use]
pub fn percent(hundredths: u64) -> Ratio {
    assert!(hundredths <= 100, "a probability is at most 100 %, found {hundredths} %");
    Ratio::new(hundredths, 100)
}

/// So many thousandths.
///
/// # Panics
/// Above 1000.
#[must_use]
pub fn permille(thousandths: u64) -> Ratio {
    assert!(thousandths <= 1_000, "a probability is at most 1000 ‰, found {thousandths} ‰");
    Ratio::new(thousandths, 1_000)
}

/// A latency that is always the same.
#[must_use]
pub const fn fixed(latency: Duration) -> Latency {
    Latency::fixed(latency)
}

/// Every latency from `min` to `max`, both included, equally likely.
#[must_use]
pub const fn uniform(min: Duration, max: Duration) -> Latency {
    Latency::uniform(min, max)
}

/// Exponentially distributed latencies.
#[must_use]
pub const fn exponential(mean: Duration) -> Latency {
    Latency::exponential(mean)
}

/// Lognormal latencies: half are below `median`, 99 of 100 below `p99`.
#[must_use]
pub const fn lognormal(median: Duration, p99: Duration) -> Latency {
    Latency::lognormal(median, p99)
}

/// Latencies with a heavy tail, the heavier the smaller `shape` is; none is below `min`.
#[must_use]
pub const fn pareto(min: Duration, shape: f64) -> Latency {
    Latency::pareto(min, shape)
}

/// Measured latencies, each equally likely.
#[must_use]
pub fn empirical(latencies: impl Into<Vec<Duration>>) -> Latency {
    Latency::empirical(latencies)
}
