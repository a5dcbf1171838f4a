//! The comparison: builds the peers, runs every cell in a process of its own, several times in turn, and keeps the medians.

use std::collections::BTreeMap;
use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use clap::Args;

use crate::measurement::{Cell, Engine, Measurement, Workload};
use crate::table;

/// The arguments of the `peers` command.
#[derive(Args, Debug)]
pub struct Options {
    /// Only these workloads
    #[arg(long = "workload", value_delimiter = ',', default_values_t = Workload::ALL)]
    pub workloads: Vec<Workload>,
    /// Only these numbers of clients
    #[arg(long, value_delimiter = ',', default_values_t = [10, 200, 1_000, 10_000], value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub nodes: Vec<u32>,
    /// Only these engines
    #[arg(long = "engine", value_delimiter = ',', default_values_t = Engine::ALL)]
    pub engines: Vec<Engine>,
    /// One repetition, with a tenth of the requests: to see that everything works, not for its figures
    #[arg(long)]
    pub quick: bool,
    /// Where to write the list [default: bench/peers.json below the workspace's target folder]
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
}

/// One row of the table.
#[derive(Debug)]
pub struct Row {
    /// What the row is about.
    pub cell: Cell,
    /// What came of it.
    pub result: RowResult,
}

/// What came of a cell.
#[derive(Debug)]
pub enum RowResult {
    /// Measured at least once.
    Measured {
        /// The repetition whose time is in the middle.
        median: Measurement,
        /// The rate of the slowest repetition.
        rpc_per_s_min: f64,
        /// The rate of the fastest repetition.
        rpc_per_s_max: f64,
    },
    /// Not tried, and why.
    LeftOut(&'static str),
    /// Tried in vain: what the engine's process said.
    Failed(String),
}

const REPETITIONS: u32 = 5;

/// How many requests each client makes, or why the cell is left out.
enum Plan {
    Run { rpcs_per_client: u32 },
    LeftOut(&'static str),
}

/// Measures what the options ask for, prints the table and the ratios, and writes the list. Fails when a cell did.
pub fn compare(options: &Options) -> Result<ExitCode, Box<dyn Error>> {
    compare_cells(cells(options), options.quick, options.out.as_deref(), "peers.json")
}

/// The arguments of the `apps` command.
#[derive(Args, Debug)]
pub struct AppsOptions {
    /// One repetition, with a tenth of the requests: to see that everything works, not for its figures
    #[arg(long)]
    pub quick: bool,
    /// Where to write the list [default: bench/apps.json below the workspace's target folder]
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
}

/// As [`compare`], of programs that were written for tokio.
pub fn compare_apps(options: &AppsOptions) -> Result<ExitCode, Box<dyn Error>> {
    let sides = [
        (Workload::Udp, Engine::Squall),
        (Workload::Udp, Engine::Turmoil),
        (Workload::UdpSameMean, Engine::Turmoil),
        (Workload::Tonic, Engine::Squall),
        (Workload::Tonic, Engine::Madsim),
    ];
    let cells = [10, 200].into_iter().flat_map(|nodes| {
        sides.map(|(workload, engine)| {
            let cell = Cell { workload, nodes, engine };
            (cell, plan(cell, options.quick))
        })
    });
    let cells = cells.collect();
    compare_cells(cells, options.quick, options.out.as_deref(), "apps.json")
}

fn compare_cells(
    cells: Vec<(Cell, Plan)>,
    quick: bool,
    out: Option<&Path>,
    list_name: &str,
) -> Result<ExitCode, Box<dyn Error>> {
    let target = target_folder()?;
    let mut failures = BTreeMap::new();
    for engine in [Engine::Madsim, Engine::Turmoil] {
        let wanted = |&(cell, ref plan): &(Cell, Plan)| cell.engine == engine && matches!(plan, Plan::Run { .. });
        if cells.iter().any(wanted) {
            build_peer(engine, &target)?;
        }
    }

    let ours = |&(cell, _): &(Cell, Plan)| cell.engine == Engine::Squall && cell.workload == Workload::Tonic;
    if cells.iter().any(ours) {
        build_tonic(&target)?;
    }

    let mut repetitions: Vec<Vec<Measurement>> = cells.iter().map(|_| Vec::new()).collect();
    let repetitions_wanted = if quick { 1 } else { REPETITIONS };
    // Every engine once, then every engine again: a machine that slows down slows them all.
    for repetition in 1..=repetitions_wanted {
        for (index, (cell, plan)) in cells.iter().enumerate() {
            let Plan::Run { rpcs_per_client } = *plan else { continue };
            if failures.contains_key(&index) {
                continue;
            }
            let Cell { workload, nodes, engine } = *cell;
            let progress = format!("{repetition}/{repetitions_wanted} {workload} {nodes} {engine}");
            match measure_apart(*cell, rpcs_per_client, &target) {
                Ok(measurement) => {
                    eprintln!("{progress}: {:.0} rpc/s in {:.2} s", measurement.rpc_per_s, measurement.seconds);
                    repetitions[index].push(measurement);
                }
                Err(error) => {
                    eprintln!("{progress}: {error}");
                    failures.insert(index, error.to_string());
                }
            }
        }
    }

    let mut rows = Vec::new();
    for (index, (cell, plan)) in cells.into_iter().enumerate() {
        let result = match (failures.remove(&index), plan) {
            (Some(failure), _) => RowResult::Failed(failure),
            (None, Plan::LeftOut(reason)) => RowResult::LeftOut(reason),
            (None, Plan::Run { .. }) => summarize(std::mem::take(&mut repetitions[index])),
        };
        rows.push(Row { cell, result });
    }
    let list_path = out.map_or_else(|| target.join("bench").join(list_name), Path::to_path_buf);
    write_list(&rows, &list_path)?;

    print!("{}", table::render_rows(&rows));
    println!();
    print!("{}", table::render_ratios(&rows));
    if quick {
        println!("\n--quick: one short repetition each; these figures are no measurement.");
    }
    eprintln!("wrote {}", list_path.display());
    let failed = rows.iter().any(|row| matches!(row.result, RowResult::Failed(_)));
    Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// Every cell that the options leave and that the engine can do, in the order of the table.
fn cells(options: &Options) -> Vec<(Cell, Plan)> {
    let mut cells = Vec::new();
    for &workload in &options.workloads {
        for &nodes in &options.nodes {
            for &engine in &options.engines {
                let can = match workload {
                    Workload::Datagram => true,
                    Workload::Rpc => matches!(engine, Engine::Squall | Engine::Madsim),
                    Workload::Udp => matches!(engine, Engine::Squall | Engine::Turmoil),
                    Workload::UdpSameMean => engine == Engine::Turmoil,
                    Workload::Tonic => matches!(engine, Engine::Squall | Engine::Madsim),
                };
                if can {
                    let cell = Cell { workload, nodes, engine };
                    cells.push((cell, plan(cell, options.quick)));
                }
            }
        }
    }
    cells
}

/// As many requests as take about a second on a machine of 2026. Fixed, so that every repetition does the same work.
fn plan(cell: Cell, quick: bool) -> Plan {
    let many_clients = cell.nodes > 1_000;
    let rpcs_wanted: u32 = match (cell.engine, cell.workload) {
        (Engine::Squall, Workload::Datagram) if many_clients => 2_000_000,
        (Engine::Squall, Workload::Datagram) => 3_000_000,
        (Engine::Squall, Workload::Rpc) if many_clients => 1_000_000,
        (Engine::Squall, Workload::Rpc) => 1_500_000,
        (Engine::Squall, Workload::Udp | Workload::UdpSameMean) => 500_000,
        (Engine::Squall, Workload::Tonic) => 20_000,
        (Engine::Madsim, Workload::Tonic) => 40_000,
        (Engine::Madsim, Workload::Datagram | Workload::Udp | Workload::UdpSameMean) => 400_000,
        (Engine::Madsim, Workload::Rpc) if many_clients => 400_000,
        (Engine::Madsim, Workload::Rpc) => 250_000,
        // turmoil runs every host once in every tick, so its cost a request grows with the square of the hosts.
        (Engine::Turmoil, _) if cell.nodes > 200 => return Plan::LeftOut("left out: would need minutes"),
        (Engine::Turmoil, _) if cell.nodes > 10 => 2_000,
        (Engine::Turmoil, _) => 80_000,
        (Engine::Bare, _) if many_clients => 3_000_000,
        (Engine::Bare, _) => 5_000_000,
    };
    let rpcs_wanted = if quick { rpcs_wanted / 10 } else { rpcs_wanted };
    Plan::Run { rpcs_per_client: (rpcs_wanted / cell.nodes).max(1) }
}

fn summarize(mut repetitions: Vec<Measurement>) -> RowResult {
    repetitions.sort_by(|left, right| left.rpc_per_s.total_cmp(&right.rpc_per_s));
    let (Some(slowest), Some(fastest)) = (repetitions.first(), repetitions.last()) else {
        return RowResult::LeftOut("left out");
    };
    RowResult::Measured {
        rpc_per_s_min: slowest.rpc_per_s,
        rpc_per_s_max: fastest.rpc_per_s,
        median: repetitions[repetitions.len() / 2].clone(),
    }
}

fn write_list(rows: &[Row], path: &Path) -> Result<(), Box<dyn Error>> {
    let medians: Vec<&Measurement> = rows
        .iter()
        .filter_map(|row| match &row.result {
            RowResult::Measured { median, .. } => Some(median),
            RowResult::LeftOut(_) | RowResult::Failed(_) => None,
        })
        .collect();
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    }
    let text = serde_json::to_string_pretty(&medians)? + "\n";
    fs::write(path, text).map_err(|error| format!("{}: {error}", path.display()).into())
}

/// Runs one cell in a process of its own and reads the line that it prints.
fn measure_apart(cell: Cell, rpcs_per_client: u32, target: &Path) -> Result<Measurement, Box<dyn Error>> {
    let Cell { workload, nodes, engine } = cell;
    let mut command = match engine {
        Engine::Squall if workload == Workload::Tonic => Command::new(tonic_binary(target)),
        Engine::Squall | Engine::Bare => {
            let mut command = Command::new(std::env::current_exe()?);
            command.arg("engine").arg(engine.to_string());
            command
        }
        Engine::Madsim | Engine::Turmoil => {
            let binary = format!("squall-bench-{engine}{}", std::env::consts::EXE_SUFFIX);
            Command::new(peer_target_folder(engine, target).join("release").join(binary))
        }
    };
    command.args([workload.to_string(), nodes.to_string(), rpcs_per_client.to_string()]);
    let output = command.stdin(Stdio::null()).output().map_err(|error| format!("{engine} doesn't start: {error}"))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        // A panic says where in its first line and why in its second.
        let said: Vec<&str> = said.lines().filter(|line| !line.trim().is_empty()).take(2).collect();
        let said = said.join(" ");
        return Err(format!("failed: {} ({})", said.trim_start_matches("error: "), output.status).into());
    }
    let said = String::from_utf8_lossy(&output.stdout);
    let measurement: Measurement = said
        .lines()
        .last()
        .and_then(|line| serde_json::from_str(line).ok())
        .ok_or_else(|| format!("failed: {engine} printed no measurement"))?;
    let rpcs_asked = u64::from(nodes) * u64::from(rpcs_per_client);
    if measurement.cell() != cell || measurement.rpcs != rpcs_asked {
        return Err(format!("failed: {engine} measured something else").into());
    }
    Ok(measurement)
}

/// Builds Squall's side of the `tonic` workload, which is in the package that has tonic.
fn build_tonic(target: &Path) -> Result<(), Box<dyn Error>> {
    eprintln!("building tonic's side of the comparison in {}", target.display());
    let mut command = cargo();
    command.args(["build", "--release", "--locked", "--quiet", "-p", "squall-apps", "--bin", TONIC_BINARY]);
    command.arg("--manifest-path").arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../Cargo.toml"));
    command.arg("--target-dir").arg(target);
    build(command, "tonic's side doesn't build")
}

const TONIC_BINARY: &str = "squall-bench-tonic";

fn tonic_binary(target: &Path) -> PathBuf {
    target.join("release").join(format!("{TONIC_BINARY}{}", std::env::consts::EXE_SUFFIX))
}

/// Builds a peer's crate, which is outside of the workspace, into a folder of its own.
fn build_peer(engine: Engine, target: &Path) -> Result<(), Box<dyn Error>> {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("peers/{engine}/Cargo.toml"));
    let folder = peer_target_folder(engine, target);
    eprintln!("building {engine}'s side of the comparison in {}", folder.display());
    let mut command = cargo();
    command.args(["build", "--release", "--locked", "--quiet", "--manifest-path"]);
    command.arg(&manifest).arg("--target-dir").arg(&folder);
    if engine == Engine::Madsim {
        // Cargo reads .cargo/config.toml from where it is called, not from where the crate is.
        let flags = std::env::var("RUSTFLAGS").unwrap_or_default();
        command.env("RUSTFLAGS", format!("{flags} --cfg madsim")).env_remove("CARGO_ENCODED_RUSTFLAGS");
    }
    build(command, &format!("{engine}'s side doesn't build: {}", manifest.display()))
}

fn cargo() -> Command {
    Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
}

fn build(mut command: Command, complaint: &str) -> Result<(), Box<dyn Error>> {
    // Standard output is for the table.
    let status = command.stdout(Stdio::null()).status().map_err(|error| format!("cargo doesn't start: {error}"))?;
    if status.success() { Ok(()) } else { Err(complaint.into()) }
}

fn peer_target_folder(engine: Engine, target: &Path) -> PathBuf {
    target.join(format!("bench/{engine}"))
}

/// The workspace's target folder.
fn target_folder() -> Result<PathBuf, Box<dyn Error>> {
    let folder = match std::env::var_os("CARGO_TARGET_DIR") {
        Some(folder) => PathBuf::from(folder),
        None => Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target"),
    };
    fs::create_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    Ok(folder.canonicalize()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn measurement(rpcs: u64, seconds: f64) -> Measurement {
        let cell = Cell { workload: Workload::Datagram, nodes: 10, engine: Engine::Bare };
        Measurement::new(cell, rpcs, std::time::Duration::from_secs_f64(seconds))
    }

    #[test]
    fn the_middle_repetition_stands_for_all() {
        let result = summarize(vec![measurement(100, 4.0), measurement(100, 1.0), measurement(100, 2.0)]);
        let RowResult::Measured { median, rpc_per_s_min, rpc_per_s_max } = result else { panic!("measured") };
        assert_eq!((rpc_per_s_min, median.rpc_per_s, rpc_per_s_max), (25.0, 50.0, 100.0));
    }

    #[test]
    fn every_client_asks_at_least_once() {
        for engine in Engine::ALL {
            for nodes in [10, 200, 100_000] {
                if let Plan::Run { rpcs_per_client } = plan(Cell { workload: Workload::Datagram, nodes, engine }, true)
                {
                    assert!(rpcs_per_client >= 1);
                }
            }
        }
    }

    #[test]
    fn turmoil_runs_at_200_and_not_above() {
        let cell = |nodes| Cell { workload: Workload::Datagram, nodes, engine: Engine::Turmoil };
        assert!(matches!(plan(cell(200), false), Plan::Run { .. }));
        assert!(matches!(plan(cell(201), false), Plan::LeftOut(_)));
    }
}
