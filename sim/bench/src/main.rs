//! The command line: `peers` and `apps` compare the engines, `run-overhead`, `campaign`, `histories`, `tokio` and `instructions` gauge Squall alone; `engine` and
//! `gauge` run one measurement in this process.

use std::error::Error;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use squall_bench::gauges::Gauge;
use squall_bench::measurement::{Cell, Engine, Measurement, Workload};
use squall_bench::{bare, campaign, histories, instructions, peers, run_overhead, squall_engine, tokio_nodes};

#[derive(Parser)]
#[command(about = "Squall side by side with madsim, turmoil and a bare loop")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Measure every engine, print the table and the ratios, write target/bench/peers.json
    Peers(peers::Options),
    /// Measure programs that were written for tokio, print the table and the ratios, write target/bench/apps.json
    Apps(peers::AppsOptions),
    /// Time what a run of 10 clients and 100 messages costs besides its messages
    RunOverhead(run_overhead::Options),
    /// Time an exploration beside its runs alone, and with two jobs beside one
    Campaign(campaign::Options),
    /// Time the reading and judging of histories
    Histories(histories::Options),
    /// Time what nodes that tokio executes cost: a drive, a spawn, a thread
    Tokio(tokio_nodes::Options),
    /// Count the instructions of a message, an rpc, a run, a spawn and a sleep; needs valgrind
    Instructions,
    /// Run some amount of one gauge in this process, to be counted from outside
    #[command(hide = true)]
    Gauge { gauge: Gauge, amount: u32 },
    /// Run one measurement in this process and print its JSON line
    #[command(hide = true)]
    Engine { engine: Engine, workload: Workload, nodes: u32, rpcs_per_client: u32 },
}

fn main() -> ExitCode {
    let outcome = match Arguments::parse().command {
        Command::Peers(options) => peers::compare(&options),
        Command::Apps(options) => peers::compare_apps(&options),
        Command::RunOverhead(options) => run_overhead::report(options),
        Command::Campaign(options) => campaign::report(options),
        Command::Histories(options) => histories::report(options),
        Command::Tokio(options) => tokio_nodes::report(options),
        Command::Instructions => count_instructions(),
        Command::Gauge { gauge, amount } => gauge.run(amount).map(|()| ExitCode::SUCCESS).map_err(Into::into),
        Command::Engine { engine, workload, nodes, rpcs_per_client } => {
            let cell = Cell { workload, nodes, engine };
            measure_here(cell, rpcs_per_client).map(|measurement| {
                println!("{}", measurement.to_json_line());
                ExitCode::SUCCESS
            })
        }
    };
    outcome.unwrap_or_else(|error| {
        eprintln!("error: {error}");
        ExitCode::FAILURE
    })
}

fn count_instructions() -> Result<ExitCode, Box<dyn Error>> {
    instructions::report(&std::env::current_exe()?)
}

fn measure_here(cell: Cell, rpcs_per_client: u32) -> Result<Measurement, Box<dyn Error>> {
    let elapsed = match (cell.engine, cell.workload) {
        (_, Workload::Tonic) => return Err("tonic has binaries of its own: use `apps`".into()),
        (Engine::Squall, workload) => squall_engine::run(workload, cell.nodes, rpcs_per_client)?,
        (Engine::Bare, Workload::Datagram) => bare::run(cell.nodes, rpcs_per_client),
        (Engine::Bare, Workload::Rpc | Workload::Udp | Workload::UdpSameMean) => {
            return Err("the bare loop has datagrams alone".into());
        }
        (Engine::Madsim | Engine::Turmoil, _) => {
            return Err(format!("{} has a binary of its own: use `peers`", cell.engine).into());
        }
    };
    let rpcs = u64::from(cell.nodes) * u64::from(rpcs_per_client);
    Ok(Measurement::new(cell, rpcs, elapsed))
}
