//! What an idle node costs, counted by an allocator that the timed program must not have.

use std::alloc::System;
use std::process::ExitCode;

use squall_bench::idle_node::measure;
use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

fn main() -> ExitCode {
    for nodes in [1_000, 10_000] {
        match measure(nodes) {
            Ok(figures) => println!("{figures}"),
            Err(error) => {
                eprintln!("error: {error}");
                return ExitCode::FAILURE;
            }
        }
    }
    ExitCode::SUCCESS
}
