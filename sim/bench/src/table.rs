//! The table and the ratios, as text.

use std::fmt::Write;

use crate::measurement::{Cell, Engine, Workload};
use crate::peers::{Row, RowResult};

/// The table, a line a cell.
pub fn render_rows(rows: &[Row]) -> String {
    let mut text = String::new();
    line(
        &mut text,
        format_args!(
            "{:<13} {:>6} {:<8} {:>9} {:>8} {:>11}  {}",
            "workload", "nodes", "engine", "rpcs", "seconds", "rpc/s", "slowest to fastest"
        ),
    );
    for row in rows {
        let Cell { workload, nodes, engine } = row.cell;
        match &row.result {
            RowResult::Measured { median, rpc_per_s_min, rpc_per_s_max } => line(
                &mut text,
                format_args!(
                    "{workload:<13} {nodes:>6} {engine:<8} {:>9} {:>8.3} {:>11.0}  {rpc_per_s_min:.0} to {rpc_per_s_max:.0}",
                    median.rpcs, median.seconds, median.rpc_per_s
                ),
            ),
            RowResult::LeftOut(reason) => {
                line(&mut text, format_args!("{workload:<13} {nodes:>6} {engine:<8} {reason}"))
            }
            RowResult::Failed(reason) => {
                line(&mut text, format_args!("{workload:<13} {nodes:>6} {engine:<8} {reason}"))
            }
        }
    }
    text.push_str(
        "\nA closed loop: each client sends 16 bytes to the one server, waits for 16 bytes, and begins again. 1 ms to 10 ms each \
         way,\nuniform; turmoil has its own exponential shape in that range, whose shorter mean, 2.3 ms for 5.5, flatters it twofold: udp-same-mean gives it \
         that of\nthe uniform one. rpc: typed calls with a\ntimeout, which turmoil and the bare loop don't have. tonic: tonic itself, its HTTP/2 included, in Squall; in madsim \
         what has its\nnames, and passes messages on as they are.\n",
    );
    text
}

/// What is asked of a ratio.
#[derive(Clone, Copy)]
enum Target {
    AtLeast(f64),
    AtMost(f64),
    /// Nothing: it is there to be looked at.
    None,
}

/// Requests a second.
#[derive(Clone, Copy)]
struct Rate {
    median: f64,
    fastest: f64,
}

impl Rate {
    fn over(self, other: Rate) -> Rate {
        Rate { median: self.median / other.median, fastest: self.fastest / other.fastest }
    }
}

/// The ratios that the project has targets for, and one that explains another, a line each; those whose cells were not measured are left out. The ratio of
/// the medians counts. That of the fastest repetitions stands beside it: others on the same machine only make slower.
pub fn render_ratios(rows: &[Row]) -> String {
    use Engine::{Bare, Madsim, Squall, Turmoil};
    use Workload::{Datagram, Rpc, Tonic, Udp, UdpSameMean};

    let rate = |workload, nodes, engine| rate_of(rows, Cell { workload, nodes, engine });
    let faster = |workload, nodes, than| Some(rate(workload, nodes, Squall)?.over(rate(workload, nodes, than)?));
    let slower = |nodes, than| Some(rate(Datagram, nodes, than)?.over(rate(Datagram, nodes, Squall)?));
    let growth = |workload| Some(rate(workload, 10, Squall)?.over(rate(workload, 10_000, Squall)?));

    let mut text = String::new();
    let mut ratio = |name: &str, rates: Option<Rate>, target: Target, aim: Option<f64>| {
        let Some(Rate { median: ratio, fastest }) = rates else { return };
        let aim = aim.map(|aim| format!(", aim {aim}")).unwrap_or_default();
        let met = |is_met| if is_met { "met" } else { "missed" };
        let judged = match target {
            Target::AtLeast(least) => format!("{} (at least {least}{aim}); ", met(ratio >= least)),
            Target::AtMost(most) => format!("{} (at most {most}{aim}); ", met(ratio <= most)),
            Target::None => String::new(),
        };
        line(&mut text, format_args!("{name:<43} {ratio:>9.2}  {judged}of the fastest {fastest:.2}"));
    };
    ratio("datagram, 10: squall / madsim", faster(Datagram, 10, Madsim), Target::AtLeast(10.0), Some(12.0));
    ratio("datagram, 10,000: squall / madsim", faster(Datagram, 10_000, Madsim), Target::AtLeast(6.0), Some(8.0));
    ratio("datagram, 10: squall / turmoil", faster(Datagram, 10, Turmoil), Target::AtLeast(40.0), None);
    ratio("datagram, 200: squall / turmoil", faster(Datagram, 200, Turmoil), Target::AtLeast(1_000.0), None);
    for (name, nodes) in [("10", 10), ("200", 200), ("1,000", 1_000), ("10,000", 10_000)] {
        ratio(&format!("rpc, {name}: squall / madsim"), faster(Rpc, nodes, Madsim), Target::AtLeast(8.0), None);
    }
    ratio("udp in tokio's hosts, 10: squall / turmoil", faster(Udp, 10, Turmoil), Target::AtLeast(10.0), None);
    ratio("udp in tokio's hosts, 200: squall / turmoil", faster(Udp, 200, Turmoil), Target::AtLeast(100.0), None);
    let same_mean = |nodes| Some(rate(Udp, nodes, Squall)?.over(rate(UdpSameMean, nodes, Turmoil)?));
    ratio("udp, 10: squall / turmoil of the same mean", same_mean(10), Target::None, None);
    ratio("udp, 200: squall / turmoil of the same mean", same_mean(200), Target::None, None);
    ratio("tonic, 10: squall / madsim", faster(Tonic, 10, Madsim), Target::AtLeast(3.0), None);
    ratio("tonic, 200: squall / madsim", faster(Tonic, 200, Madsim), Target::AtLeast(3.0), None);
    ratio("datagram, 10: squall's time / bare's", slower(10, Bare), Target::AtMost(2.0), None);
    ratio("datagram: squall's cost at 10,000 / at 10", growth(Datagram), Target::AtMost(2.5), None);
    if text.is_empty() {
        text.push_str("No ratio: none has both its sides measured.\n");
    }
    text
}

fn rate_of(rows: &[Row], cell: Cell) -> Option<Rate> {
    rows.iter().find(|row| row.cell == cell).and_then(|row| match &row.result {
        RowResult::Measured { median, rpc_per_s_max, .. } => {
            Some(Rate { median: median.rpc_per_s, fastest: *rpc_per_s_max })
        }
        RowResult::LeftOut(_) | RowResult::Failed(_) => None,
    })
}

fn line(text: &mut String, arguments: std::fmt::Arguments<'_>) {
    writeln!(text, "{arguments}").expect("a string takes everything");
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::measurement::Measurement;

    fn row(workload: Workload, nodes: u32, engine: Engine, rpc_per_s: u64) -> Row {
        let cell = Cell { workload, nodes, engine };
        let median = Measurement::new(cell, rpc_per_s, Duration::from_secs(1));
        let rate = rpc_per_s as f64;
        Row { cell, result: RowResult::Measured { median, rpc_per_s_min: rate, rpc_per_s_max: rate + 500.0 } }
    }

    fn check_ratios(rows: &[Row], expected: &str) {
        assert_eq!(render_ratios(rows).split_whitespace().collect::<Vec<_>>().join(" "), expected);
    }

    #[test]
    fn a_ratio_of_just_its_target_is_met() {
        let madsim = row(Workload::Datagram, 10, Engine::Madsim, 100);
        let squall = row(Workload::Datagram, 10, Engine::Squall, 1_000);
        check_ratios(
            &[squall, madsim],
            "datagram, 10: squall / madsim 10.00 met (at least 10, aim 12); of the fastest 2.50",
        );
    }

    #[test]
    fn a_ratio_of_just_less_is_missed() {
        let madsim = row(Workload::Datagram, 10, Engine::Madsim, 100);
        let squall = row(Workload::Datagram, 10, Engine::Squall, 998);
        check_ratios(
            &[squall, madsim],
            "datagram, 10: squall / madsim 9.98 missed (at least 10, aim 12); of the fastest 2.50",
        );
    }

    #[test]
    fn times_are_compared_the_other_way_round() {
        let bare = row(Workload::Datagram, 10, Engine::Bare, 201);
        let squall = row(Workload::Datagram, 10, Engine::Squall, 100);
        check_ratios(
            &[squall, bare],
            "datagram, 10: squall's time / bare's 2.01 missed (at most 2); of the fastest 1.17",
        );
    }

    #[test]
    fn nothing_measured_is_said() {
        check_ratios(&[], "No ratio: none has both its sides measured.");
    }
}
