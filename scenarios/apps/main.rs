//! The `squall-apps` binary: the command line of `squall`, for the applications of this folder.

fn main() -> std::process::ExitCode {
    squall::cli::main(squall_apps::programs(), squall::build_identity!())
}
