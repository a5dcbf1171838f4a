//! The `squall` binary: runs the scenarios of this repository.

fn main() -> std::process::ExitCode {
    squall::cli::main(squall_scenarios::programs(), squall::build_identity!())
}
