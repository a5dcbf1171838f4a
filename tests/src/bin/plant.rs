//! Makes runs in a process of its own: `plant run NAME ORDER…` and `plant golden [reversed]`.

use std::process::ExitCode;

use squall::Simulation;
use squall_tests::determinism::{Order, carry_out};
use squall_tests::{plants, worlds};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match &arguments[..] {
        ["run", name, orders @ ..] => {
            let Some(plant) = plants::find(name) else {
                eprintln!("there is no plant {name:?}");
                return ExitCode::from(2);
            };
            let simulation = Simulation::new(plant);
            for order in orders {
                let order: Order = serde_json::from_str(order).expect("an order");
                let seen = carry_out(&simulation, &order);
                println!("seen {}", serde_json::to_string(&seen).expect("what is seen can be written"));
            }
            ExitCode::SUCCESS
        }
        ["golden"] => {
            for line in worlds::digests(worlds::cells()) {
                println!("{line}");
            }
            ExitCode::SUCCESS
        }
        ["golden", "reversed"] => {
            let cells = worlds::cells().into_iter().rev().collect();
            let mut lines = worlds::digests(cells);
            lines.reverse();
            for line in lines {
                println!("{line}");
            }
            ExitCode::SUCCESS
        }
        _ => {
            eprintln!("usage: plant run NAME ORDER… | plant golden [reversed]");
            ExitCode::from(2)
        }
    }
}
