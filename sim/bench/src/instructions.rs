//! Instruction counts of every gauge, by valgrind alone: they are the same on a busy machine as on an idle one.

use std::error::Error;
use std::path::Path;
use std::process::{Command, ExitCode};

use crate::gauges::Gauge;

/// Counts the instructions of one unit of each gauge and prints them.
///
/// # Errors
/// If valgrind isn't there, or a measured process fails.
pub fn report(program: &Path) -> Result<ExitCode, Box<dyn Error>> {
    println!("{:<36} {:>12}", "unit", "instructions");
    for gauge in Gauge::ALL {
        println!("{:<36} {:>12.0}", gauge.unit(), per_unit(program, gauge)?);
    }
    Ok(ExitCode::SUCCESS)
}

/// The instructions of one unit: what twice the amount takes more.
fn per_unit(program: &Path, gauge: Gauge) -> Result<f64, Box<dyn Error>> {
    let amount = gauge.amount();
    let once = of_process(program, gauge, amount)?;
    let twice = of_process(program, gauge, 2 * amount)?;
    let units = gauge.units(2 * amount) - gauge.units(amount);
    Ok((twice as f64 - once as f64) / units as f64)
}

/// The instructions of a whole process that runs a gauge, all of its threads included.
fn of_process(program: &Path, gauge: Gauge, amount: u32) -> Result<u64, Box<dyn Error>> {
    let mut command = Command::new("valgrind");
    command.args(["--tool=callgrind", "--callgrind-out-file=/dev/null"]).arg(program);
    command.args(["gauge", &gauge.to_string(), &amount.to_string()]);
    let output = command.output().map_err(|error| {
        format!("valgrind doesn't start: {error}; install it, with `apt-get install valgrind`, say")
    })?;
    let text = String::from_utf8_lossy(&output.stderr);
    if !output.status.success() {
        return Err(format!("{gauge} under valgrind: {}\n{text}", output.status).into());
    }
    parse_total(&text).ok_or_else(|| format!("valgrind tells no total for {gauge}:\n{text}").into())
}

/// The number in callgrind's line `==12345== Collected : 821008`.
fn parse_total(text: &str) -> Option<u64> {
    text.lines().find_map(|line| line.split_once("Collected :")?.1.trim().parse().ok())
}

#[cfg(test)]
mod tests {
    use super::parse_total;

    #[test]
    fn the_total_is_found_in_what_callgrind_says() {
        let text = "==1976== Events    : Ir\n==1976== Collected : 821008\n==1976== \n==1976== I   refs:      821,008\n";
        assert_eq!(parse_total(text), Some(821_008));
        assert_eq!(parse_total("==1976== Events    : Ir\n"), None);
    }
}
