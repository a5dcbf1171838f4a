//! Instruction counts by gungraun, which compares them with those of the last time.
//!
//! Each gauge is run with an amount and with twice as much, as a process of its own: callgrind counts all of its threads.
//! At the end the differences are told, unit by unit. It needs valgrind and gungraun-runner; `squall-bench instructions`
//! tells the differences with valgrind alone.

use std::error::Error;
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};

/// gungraun and its runner must be of the same version.
const RUNNER_VERSION: &str = "0.20.0";

/// The macro defines a `main` of its own.
mod counted {
    use gungraun::{Bench, BinaryBenchmark, BinaryBenchmarkGroup, binary_benchmark_group};
    use squall_bench::gauges::Gauge;

    fn add_gauges(group: &mut BinaryBenchmarkGroup) {
        for gauge in Gauge::ALL {
            let mut benchmark = BinaryBenchmark::new(gauge.to_string().replace('-', "_"));
            for (name, amount) in [("once", gauge.amount()), ("twice", 2 * gauge.amount())] {
                let mut command = gungraun::Command::new(env!("CARGO_BIN_EXE_squall-bench"));
                command.args(["gauge".to_string(), gauge.to_string(), amount.to_string()]);
                benchmark.bench(Bench::new(name).command(command));
            }
            group.binary_benchmark(benchmark);
        }
    }

    binary_benchmark_group!(name = gauges, benchmarks = |group: &mut BinaryBenchmarkGroup| add_gauges(group));
    gungraun::main!(binary_benchmark_groups = gauges);

    pub fn start() {
        main();
    }
}

fn main() -> ExitCode {
    if let Some(missing) = missing_tools() {
        eprintln!("error: {missing}");
        return ExitCode::FAILURE;
    }
    // The runner calls this program again for its own purposes; those calls report nothing.
    let called_by_runner = std::env::args().any(|argument| argument == "--gungraun-run");
    counted::start();
    if called_by_runner {
        return ExitCode::SUCCESS;
    }
    tell_differences().unwrap_or_else(|error| {
        eprintln!("error: {error}");
        ExitCode::FAILURE
    })
}

fn tell_differences() -> Result<ExitCode, Box<dyn Error>> {
    println!();
    squall_bench::instructions::report(Path::new(env!("CARGO_BIN_EXE_squall-bench")))
}

/// What has to be installed first.
fn missing_tools() -> Option<String> {
    let mut missing = Vec::new();
    if !starts("valgrind") {
        missing.push("valgrind is needed: apt-get install valgrind, say".to_string());
    }
    // A path that was given when this was built is gungraun's own affair.
    if option_env!("GUNGRAUN_RUNNER").is_none() && !starts("gungraun-runner") {
        missing.push(format!(
            "gungraun-runner is needed: cargo install gungraun-runner --version {RUNNER_VERSION} --locked \
             (or, with valgrind alone: cargo run --release -p squall-bench -- instructions)"
        ));
    }
    (!missing.is_empty()).then(|| missing.join("\n       "))
}

fn starts(program: &str) -> bool {
    Command::new(program).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok()
}
