//! The vocabulary of the comparison: what is measured, by which engine, and the line that one measurement prints.

use std::fmt;
use std::time::Duration;

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

/// What the clients and the server do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Workload {
    /// Raw sockets: `send_to` and `recv_from` on both sides.
    Datagram,
    /// Typed calls, each with a timeout that never fires.
    Rpc,
    /// As `datagram`, in hosts whose tasks tokio executes: by `UdpSocket`, with tokio's signatures.
    Udp,
    /// Likewise, by a peer whose latencies can't have Squall's shape, with their mean.
    UdpSameMean,
    /// Unary calls of gRPC, by what has tonic's names: tonic itself in Squall's nodes, madsim-tonic in madsim's.
    Tonic,
}

impl Workload {
    /// Those of the `peers` command, in the order of the table.
    pub const ALL: [Workload; 2] = [Workload::Datagram, Workload::Rpc];
}

impl fmt::Display for Workload {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(match self {
            Workload::Datagram => "datagram",
            Workload::Rpc => "rpc",
            Workload::Udp => "udp",
            Workload::UdpSameMean => "udp-same-mean",
            Workload::Tonic => "tonic",
        })
    }
}

/// Who runs the workload.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Engine {
    /// This project.
    Squall,
    /// madsim 0.2.34.
    Madsim,
    /// turmoil 0.7.2.
    Turmoil,
    /// A loop that does only what can't be avoided: a floor, no simulator.
    Bare,
}

impl Engine {
    /// Every engine, in the order of the table.
    pub const ALL: [Engine; 4] = [Engine::Squall, Engine::Madsim, Engine::Turmoil, Engine::Bare];
}

impl fmt::Display for Engine {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(match self {
            Engine::Squall => "squall",
            Engine::Madsim => "madsim",
            Engine::Turmoil => "turmoil",
            Engine::Bare => "bare",
        })
    }
}

/// One cell of the table: one engine, one workload, one size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cell {
    /// What is run.
    pub workload: Workload,
    /// How many clients; the one server comes on top.
    pub nodes: u32,
    /// Who runs it.
    pub engine: Engine,
}

/// One measurement: an entry of `peers.json`, and the line that an engine's process prints.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Measurement {
    /// What was run.
    pub workload: Workload,
    /// How many clients; the one server comes on top.
    pub nodes: u32,
    /// Who ran it.
    pub engine: Engine,
    /// Requests that were answered, all clients together.
    pub rpcs: u64,
    /// Wall time of the simulation alone, without the process's start and the making of the nodes.
    pub seconds: f64,
    /// `rpcs` divided by `seconds`.
    pub rpc_per_s: f64,
}

impl Measurement {
    /// The measurement of a cell that answered `rpcs` requests in `elapsed`.
    pub fn new(cell: Cell, rpcs: u64, elapsed: Duration) -> Measurement {
        let seconds = elapsed.as_secs_f64();
        Measurement {
            workload: cell.workload,
            nodes: cell.nodes,
            engine: cell.engine,
            rpcs,
            seconds,
            rpc_per_s: rpcs as f64 / seconds,
        }
    }

    /// The cell that this measures.
    pub fn cell(&self) -> Cell {
        Cell { workload: self.workload, nodes: self.nodes, engine: self.engine }
    }

    /// One line of JSON, without its newline.
    pub fn to_json_line(&self) -> String {
        serde_json::to_string(self).expect("numbers and names always serialize")
    }
}

/// How long a call of the `rpc` workload waits before it gives up; it never does.
///
/// madsim delays every receive by a millisecond of virtual time, so its server takes at most 1,000 requests a virtual second, and
/// takes them newest first: with many clients some wait for minutes of virtual time. With few clients the timeout is short,
/// because madsim's timers can't be cancelled and a long one would fill its heap. So each size has the timeout that suits
/// madsim best, and every engine the same one.
pub fn call_timeout(nodes: u32) -> Duration {
    if nodes <= 10 { Duration::from_secs(1) } else { Duration::from_secs(3_600) }
}
