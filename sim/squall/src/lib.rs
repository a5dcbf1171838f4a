//! Squall: a deterministic simulator for distributed systems.
//!
//! Client and server coroutines run on a simulated network whose delays, drops, partitions and crashes are drawn from a
//! seed. The same seed brings the same run back, event for event.
//!
//! A shop asks a bank to be paid, and asks again when it hears nothing. The bank does as it is told each time:
//!
//! ```
//! use serde::{Deserialize, Serialize};
//! use squall::net::Endpoint;
//! use squall::prelude::*;
//!
//! #[derive(Serialize, Deserialize, squall::Request)]
//! #[rtype(())]
//! struct Pay {
//!     order: u64,
//! }
//!
//! fn payments(world: &mut World) {
//!     world.node("bank", || async {
//!         let endpoint = Endpoint::bind("0.0.0.0:80").await?;
//!         endpoint.add_rpc_handler(|pay: Pay| async move { squall::publish("paid", pay) });
//!         std::future::pending::<std::io::Result<()>>().await
//!     });
//!     world.client("shop", || async {
//!         let endpoint = Endpoint::bind("0.0.0.0:0").await?;
//!         while endpoint.call_timeout("bank:80", Pay { order: 7 }, 50.ms()).await.is_err() {}
//!         Ok::<_, std::io::Error>(())
//!     });
//!     world.link("shop", "bank").latency(uniform(1.ms(), 10.ms())).loss(percent(5));
//!     world.check(always("paid-once", 0).on("paid", |times, pay: Pay| {
//!         *times += 1;
//!         ensure!(*times == 1, "order {} was paid {times} times", pay.order);
//!         Ok(())
//!     }));
//! }
//!
//! // In a test: `squall::explore(0..1000, payments)`, or `#[squall::test(seeds = 1_000)]` on the function. Both panic as
//! // soon as an answer, not a request, is lost: the first line is the command that replays that run.
//! let panic = std::panic::catch_unwind(|| squall::explore(0..1000, payments)).unwrap_err();
//! let message = panic.downcast_ref::<String>().unwrap();
//! assert!(message.starts_with("SQUALL_SEED=0x"), "{message}");
//! assert!(message.contains("property paid-once failed"), "{message}");
//! assert!(message.contains("from bank to shop is lost"), "{message}");
//! ```
//!
//! | module | holds |
//! |---|---|
//! | [`time`], [`task`], [`net`], [`fs`], [`rpc`], [`rand`](mod@rand) | what a node calls, with tokio's and madsim's names |
//! | [`World`] | the cluster that is described: nodes, links, faults, properties |
//! | [`tokio_node`] | nodes whose tasks a real tokio runtime executes |
//! | [`property`] | claims about a run |
//! | [`history`], [`check`] | what clients asked and what came back, recorded and judged |
//! | [`testing`] | many seeds of a world in a test |
//! | [`harness`] | a project's scenario files as tests |
//! | [`proptest`] | inputs by proptest, weather by Squall, shrunk together (feature `proptest`, on by default) |
//! | [`engine`] | another simulator in place of Squall's own engine |
//! | [`prelude`] | the short names of a test |
//! | [`trace`] | plans, traces, events, verdicts |
#![forbid(unsafe_code)]

// The macros write `::squall::…`, in this crate as well.
extern crate self as squall;

pub mod cli;
pub mod determinism;
pub mod divergence;
pub mod engine;
pub mod explore;
mod failures;
pub mod harness;
pub mod history;
pub mod isolation;
pub mod lines;
mod measure;
pub mod prelude;
pub mod process;
pub mod property;
#[cfg(feature = "proptest")]
pub mod proptest;
pub mod runner;
pub mod scenario;
pub mod testing;
pub mod tokio_node;
pub mod trace_file;
mod workers;

/// Judges of histories: linearizability, and the models that come with it.
pub use squall_check as check;
/// The vocabulary: plans, traces, events, verdicts.
pub use squall_trace as trace;

pub use runner::Simulation;
pub use squall_engine::fault::{self, Fault, crash, partition, partition_one_way, pause};
pub use squall_engine::latency::Latency;
pub use squall_engine::rule::{self, Rule};
pub use squall_engine::task::spawn;
pub use squall_engine::workload::{OperationRng, Workload, workload};
pub use squall_engine::{
    AtMost, BANDWIDTH_BITS_PER_SECOND_MAX, Budget, Buggify, Bursts, ClockSettings, Cluster, Disk, Heal, Limits, Link,
    Loopback, MESSAGE_HEADER_BYTES, NodeBuilder, NodeLocal, NodeOutput, OnPanic, RoleBuilder, Tcp, Uplink, World,
    boot_number, fs, net, node_name, publish, rand, task, time,
};
pub use squall_macros::{build_identity, join, select, test, try_join};
pub use testing::explore;
pub use tokio_node::TokioNode;

/// Requests and answers: typed calls, timeouts, handlers that serve calls concurrently.
pub mod rpc {
    pub use squall_engine::rpc::*;
    pub use squall_macros::Request;
}

pub use rpc::Request;

/// What `point!` writes.
#[doc(hidden)]
pub mod points {
    pub use squall_engine::point::*;
}

/// A point of a node's code at which it may crash: where a fault says so ([`Fault::at_point`], or `at_point` in a scenario file), and else nothing at all. What
/// the code does behind the point at which it crashed has no effect any more, and it ends at its next `await`.
///
/// ```
/// # fn write(_: &str) {}
/// write("debit");
/// squall::point!("between the two writes");
/// write("credit");
/// ```
#[macro_export]
macro_rules! point {
    ($name:expr $(,)?) => {{
        #[$crate::points::distributed_slice($crate::points::POINTS)]
        #[linkme(crate = $crate::points::linkme)]
        static POINT: $crate::points::Point =
            $crate::points::Point { name: $name, file: ::core::file!(), line: ::core::line!() };
        $crate::points::pass(&POINT);
    }};
}

/// What `select!` and `join!` write.
#[doc(hidden)]
pub mod choosing {
    pub use squall_engine::choice::*;
}

/// What `buggify!` writes.
#[doc(hidden)]
pub mod buggifying {
    pub use squall_engine::buggify::*;
}

/// Whether a node is to do something rare but legal here: send a small batch, give up early, ask again for nothing. As FoundationDB's BUGGIFY: in each run a
/// place is enabled or not ([`World::buggify`], or `[buggify]` in a scenario file: in a quarter of the runs), and where it is it is true in a share of all
/// times (a quarter, or what the place says itself). Each time is a decision of its own, which shrinking takes away unless the failure needs it.
///
/// Outside of a run, in production, it is always false, and costs two accesses to a thread-local variable. It is false too once the world's heal has come,
/// and while a world is described.
///
/// A place is known by its name. Without one it is known by its module and line, so that a line more above it makes another place of it: saved failures don't
/// find it then.
///
/// ```
/// # let queue = [1, 2, 3];
/// # fn percent(n: u64) -> squall::trace::Ratio { squall::trace::Ratio::new(n, 100) }
/// let batch = if squall::buggify!("batches of one") { 1 } else { 64 };
/// let gives_up = squall::buggify!("gives up at once", percent(5));
/// if squall::buggify!() {
///     // …
/// }
/// # assert_eq!((batch, gives_up), (64, false));
/// ```
#[macro_export]
macro_rules! buggify {
    () => {
        $crate::buggify!(::core::concat!(::core::module_path!(), ":", ::core::line!()))
    };
    ($name:expr $(,)?) => {
        $crate::buggify!(@place $name, ::core::option::Option::None)
    };
    (@place $name:expr, $share:expr) => {{
        #[$crate::buggifying::distributed_slice($crate::buggifying::PLACES)]
        #[linkme(crate = $crate::buggifying::linkme)]
        static PLACE: $crate::buggifying::Place = $crate::buggifying::Place { name: $name };
        $crate::buggifying::evaluate(&PLACE, $share)
    }};
    ($name:expr, $share:expr $(,)?) => {
        $crate::buggify!(@place $name, ::core::option::Option::Some($share))
    };
}

/// What `knob!` writes, and what its values may be.
pub mod knobs {
    pub use squall_engine::knob::*;
}

/// A setting of a program that has another value than usual in some runs: `knob!(name, default, alternatives)`, where the alternatives are a list, or a range
/// that the default is in. In a share of the runs ([`Buggify::knobs`]: a quarter) it has one of those, each equally likely, and else the default. It is the
/// same on all nodes, and for the whole run. Whole numbers, `bool` and [`Duration`](std::time::Duration) are what it can be.
///
/// Which value it has is a decision like any other: shrinking puts it back to the default unless the failure needs it, and then as near to that as can be (of
/// a list: as early in it). A world fixes it by [`World::knob`], a scenario file by `[knobs]`, `--set` by `knobs.NAME=value`.
///
/// Outside of a run, in production, and while a world is described, it is the default.
///
/// ```
/// use std::time::Duration;
///
/// let batch: usize = squall::knob!("batch", 64, [8, 1, 1_000]);
/// let retry = squall::knob!("retry", Duration::from_millis(50), Duration::from_millis(1)..=Duration::from_secs(1));
/// assert_eq!((batch, retry.as_millis()), (64, 50));
/// ```
#[macro_export]
macro_rules! knob {
    ($name:expr, $default:expr, $alternatives:expr $(,)?) => {{
        #[$crate::knobs::distributed_slice($crate::knobs::KNOBS)]
        #[linkme(crate = $crate::knobs::linkme)]
        static KNOB: $crate::knobs::Knob =
            $crate::knobs::Knob { name: $name, file: ::core::file!(), line: ::core::line!() };
        $crate::knobs::value(&KNOB, $default, $alternatives)
    }};
}

/// Statics of which each node has a value of its own, written as [`thread_local!`] is and used as [`LocalKey::with`](std::thread::LocalKey::with): see [`NodeLocal`].
///
/// All nodes of a run are in one process, and so are all runs of a test: a static that is a process's in production (a metrics registry, a cache, a count) is shared by
/// nodes that are processes of their own there, and by runs after each other. Such a one is declared by this.
///
/// In a run each node has a fresh value in each boot, dropped at the node's crash or the run's end. Outside of a run, in production, there is one for the
/// process, so its type is `Send` and `Sync` as a static's is.
///
/// ```
/// use std::sync::atomic::{AtomicU64, Ordering};
///
/// squall::node_local! {
///     /// How many requests this process has served.
///     static SERVED: AtomicU64 = AtomicU64::new(0);
/// }
///
/// SERVED.with(|served| served.fetch_add(1, Ordering::Relaxed));
/// assert_eq!(SERVED.with(|served| served.load(Ordering::Relaxed)), 1);
/// ```
#[macro_export]
macro_rules! node_local {
    () => {};
    ($(#[$attribute:meta])* $visibility:vis static $name:ident: $type:ty = $value:expr) => {
        $(#[$attribute])*
        $visibility static $name: $crate::NodeLocal<$type> = $crate::NodeLocal::new(|| $value);
    };
    ($(#[$attribute:meta])* $visibility:vis static $name:ident: $type:ty = $value:expr; $($rest:tt)*) => {
        $crate::node_local!($(#[$attribute])* $visibility static $name: $type = $value);
        $crate::node_local!($($rest)*);
    };
}

/// What `reachable!` and `sometimes!` write.
#[doc(hidden)]
pub mod goals {
    pub use squall_engine::goal::*;
}
