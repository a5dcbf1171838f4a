//! The command line: `squall list`, `schema`, `run`, `explore`, `merge`, `sweep`, `replay`, `shrink`, `report`, `diff`, `regressions`, `check`.
//!
//! A program becomes the whole command line by [`main`]; a project's test target by `squall::main!`, under `cargo squall`. Data goes to
//! standard output (text,
//! or with `--message-format json` one object a line), progress, notes and errors to standard error. The exit codes are in
//! [`exit`].

mod arguments;
mod campaign;
mod campaign_page;
mod check;
mod diff;
pub mod exit;
mod explore;
mod interrupt;
mod likelihood;
mod list;
mod merge;
pub(crate) mod output;
mod page;
mod programs;
mod regressions;
mod report;
mod run;
mod saved;
mod shard;
mod shrink;
mod sweep;
mod sweep_page;
mod swept;
mod vary;

use std::process::ExitCode;

use clap::{CommandFactory, FromArgMatches};

use crate::harness::COMMAND_LINE_VARIABLE;
use crate::process::{self, Wanted};
use crate::runner::HANG_AFTER;
use crate::scenario::Program;
use squall_trace::Digest;

use arguments::{Arguments, Command, Regressions, RegressionsCommand, Waiting};
use exit::Stop;
use output::Output;

/// The `main` function of a project's own target of scenarios. With `harness = false` in its manifest,
///
/// ```toml
/// [[test]]
/// name = "scenarios"
/// harness = false
/// ```
///
/// `squall::main!(programs());`, where the expression gives a `Vec<squall::scenario::Program>`, makes it a runner that `cargo test` and
/// cargo-nextest take for libtest's, and that `cargo squall` takes for the whole command line: see [`harness`](crate::harness). The
/// scenario files are those in the package's folder `scenarios`, or in another one: `squall::main!(programs(), in "tests/scenarios");`.
#[macro_export]
macro_rules! main {
    ($programs:expr) => {
        $crate::main!($programs, in "scenarios");
    };
    ($programs:expr, in $directory:expr) => {
        fn main() -> ::std::process::ExitCode {
            $crate::harness::main($programs, $crate::build_identity!(), ::core::env!("CARGO_CRATE_NAME"), $directory)
        }
    };
}

/// The `main` function of a program that is nothing but the command line: does what the process's arguments say, and gives the exit
/// code. `build` is [`build_identity!()`](crate::build_identity). Wrong arguments end the process with code 2.
pub fn main(programs: impl IntoIterator<Item = Program>, build: Digest) -> ExitCode {
    let programs: Vec<Program> = programs.into_iter().map(|program| program.of_build(build)).collect();
    serve_if_wanted(&programs);
    // A file that can't be written is an error like any other.
    squall_hermetic::process::end_by_file_size_limit(false);
    let matches = Arguments::command().get_matches();
    let mut arguments = Arguments::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
    if let (Command::Explore(explore), Some((_, matches))) = (&mut arguments.command, matches.subcommand()) {
        explore.choose_by_source(matches);
    }
    let begun_again = process::outlive_runs();
    if let Some(note) = &begun_again {
        output::complain(&format!("note: {note}"));
    }
    interrupt::install(arguments.command.saves());
    keep_run_threads_quiet();
    let mut output = match Output::open(arguments.message_format, arguments.color) {
        Ok(output) => output,
        Err(error) => {
            output::complain(&format!("error: standard output can't be used: {error}"));
            return ExitCode::from(exit::OWN_ERROR);
        }
    };
    let leave_threads = begun_again.is_some();
    let programs = |waiting: Waiting| Programs { list: programs, hang_after: waiting.hang_after, leave_threads };
    let result = match arguments.command {
        Command::List(arguments) => list::list(&programs(arguments.waiting), &arguments, &mut output),
        Command::Schema(arguments) => list::schema(&arguments, &mut output),
        Command::Run(arguments) => run::run(&programs(arguments.waiting), &arguments, &mut output),
        Command::Replay(arguments) => run::replay(&programs(arguments.waiting), &arguments, &mut output),
        Command::Diff(arguments) => diff::diff(&arguments, &mut output),
        Command::Check(arguments) => check::check(&arguments, &mut output),
        Command::Regressions(Regressions { command: RegressionsCommand::Refresh(arguments) }) => {
            regressions::refresh(&programs(arguments.waiting), &arguments, &mut output)
        }
        Command::Shrink(arguments) => shrink::shrink(&programs(arguments.waiting), &arguments, &mut output),
        Command::Report(arguments) => report::report(&programs(arguments.waiting), &arguments, &mut output),
        Command::Explore(arguments) => explore::explore(&programs(arguments.waiting), &arguments, &mut output),
        Command::Sweep(arguments) => sweep::sweep(&programs(arguments.waiting), &arguments, &mut output),
        Command::Merge(arguments) => merge::merge(&arguments, &mut output),
    };
    // What was found is told, whatever ends the command.
    let flushed = output.flush();
    let code = match result.and_then(|code| flushed.map(|()| code)) {
        Ok(code) => code,
        Err(stop) => stop.tell(),
    };
    // Threads of runs that hang may be left: they must not keep the process.
    std::process::exit(i32::from(code))
}

/// What a run's thread panics with (a world that can't be) is told by whoever waits for it, in one line.
pub(crate) fn keep_run_threads_quiet() {
    let previous = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        if !squall_hermetic::is_fresh_thread() {
            previous(info);
        }
    }));
}

/// Makes this process one that runs are copied from, if it is to be one. Then it never returns, so that no thread but this one is
/// ever started.
pub(crate) fn serve_if_wanted(programs: &[Program]) {
    let Some(wanted) = process::wanted() else { return };
    keep_run_threads_quiet();
    let programs = Programs { list: programs.to_vec(), hang_after: HANG_AFTER, leave_threads: false };
    let scenario = match &wanted {
        Wanted::Scenario { file, set, fingerprint } => {
            programs.load(file, set).map_err(Stop::from).and_then(|scenario| {
                match scenario.fingerprint() == *fingerprint {
                    true => Ok(scenario),
                    false => Err(Stop::Own(format!(
                        "{} was edited meanwhile, or a recording that it names: what was begun with it ends here, and can be begun again",
                        file.display()
                    ))),
                }
            })
        }
        Wanted::Exploration { .. } => Err(Stop::Own("this program has no test to run".to_string())),
    };
    match scenario {
        Ok(scenario) => process::serve(&scenario.simulation()),
        Err(stop) => std::process::exit(i32::from(stop.tell())),
    }
}

pub(crate) use list::scenario_files;
pub(crate) use programs::Programs;
pub(crate) use saved::Saved;

/// The command that runs a saved failure again.
fn replay_saved_command(file: &std::path::Path) -> String {
    format!("squall replay {}", quoted(&file.display().to_string()))
}

/// The command that repeats one run of a scenario.
fn replay_command(
    file: &std::path::Path,
    set: &[String],
    strategy: Option<squall_trace::StrategyChoice>,
    seed: squall_trace::Seed,
) -> String {
    command_of("replay", file, set, strategy, seed)
}

/// A command that makes one run of a scenario.
fn command_of(
    command: &str,
    file: &std::path::Path,
    set: &[String],
    strategy: Option<squall_trace::StrategyChoice>,
    seed: squall_trace::Seed,
) -> String {
    let mut command = format!("squall {command} {} --seed {seed}", quoted(&file.display().to_string()));
    for setting in set {
        command.push_str(&format!(" --set {}", quoted(setting)));
    }
    if let Some(strategy) = strategy {
        command.push_str(&format!(" --strategy {strategy}"));
    }
    command
}

/// A command `squall …` as somebody can paste it who called this program as it was called: by its path, or by `cargo run`.
fn as_called(command: &str) -> String {
    let program = std::env::args().next().unwrap_or_else(|| "squall".to_string());
    if let (Ok(called), Some(rest)) = (std::env::var(COMMAND_LINE_VARIABLE), command.strip_prefix("squall ")) {
        return format!("{called} {rest}");
    }
    let by_cargo = std::env::var_os("CARGO").is_some() && std::env::var_os("CARGO_PKG_NAME").is_some();
    match command.strip_prefix("squall ") {
        Some(rest) => {
            let package = if by_cargo { package_to_name() } else { None };
            format!("{} {rest}", called(&program, by_cargo, cfg!(debug_assertions), package.as_deref()))
        }
        None => command.to_string(),
    }
}

fn called(program: &str, by_cargo: bool, is_debug: bool, package: Option<&str>) -> String {
    if !by_cargo {
        return quoted(program);
    }
    let release = if is_debug { "" } else { " --release" };
    let package = package.map(|package| format!(" -p {package}")).unwrap_or_default();
    format!("cargo run{release}{package} --")
}

/// The package that cargo has started, unless it is the one that `cargo run` starts here by itself.
fn package_to_name() -> Option<String> {
    let package = std::env::var("CARGO_PKG_NAME").ok()?;
    let folder = std::path::PathBuf::from(std::env::var_os("CARGO_MANIFEST_DIR")?);
    let here = std::env::current_dir().ok()?;
    let here = here.ancestors().find(|folder| folder.join("Cargo.toml").is_file())?;
    let manifest = std::fs::read_to_string(here.join("Cargo.toml")).ok()?;
    (!is_default(&folder, here, &manifest)).then_some(package)
}

/// Whether `cargo run` in the folder `here`, with that manifest, starts the package in `folder`.
fn is_default(folder: &std::path::Path, here: &std::path::Path, manifest: &str) -> bool {
    if folder == here {
        return true;
    }
    let manifest: toml::Table = manifest.parse().unwrap_or_default();
    let members = manifest.get("workspace").and_then(|workspace| workspace.get("default-members"));
    let mut members = members.and_then(toml::Value::as_array).into_iter().flatten().filter_map(toml::Value::as_str);
    members.any(|member| here.join(member) == folder)
}

/// A word as a shell takes it.
pub(crate) fn quoted(word: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_./=:,+-@%".contains(&byte);
    if !word.is_empty() && word.bytes().all(plain) {
        return word.to_string();
    }
    format!("'{}'", word.replace('\'', "'\\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_quoted_for_a_shell_where_they_must_be() {
        for (word, shown) in [
            ("scenarios/payments.toml", "scenarios/payments.toml"),
            ("network.loss=3%", "network.loss=3%"),
            ("a b", "'a b'"),
            ("it's", "'it'\\''s'"),
            ("", "''"),
            ("$HOME", "'$HOME'"),
        ] {
            assert_eq!(quoted(word), shown);
        }
    }

    #[test]
    fn a_command_is_shown_as_the_program_was_called() {
        for (by_cargo, is_debug, package, shown) in [
            (true, false, None, "cargo run --release --"),
            (true, true, None, "cargo run --"),
            (true, false, Some("apps"), "cargo run --release -p apps --"),
            (true, true, Some("apps"), "cargo run -p apps --"),
            (false, false, None, "'target/my build/squall'"),
        ] {
            assert_eq!(called("target/my build/squall", by_cargo, is_debug, package), shown);
        }
        assert_eq!(called("squall", false, true, None), "squall");
    }

    #[test]
    fn a_package_is_named_unless_cargo_starts_it_by_itself() {
        let is_default = |folder: &str, manifest: &str| is_default(folder.as_ref(), "/project".as_ref(), manifest);
        let workspace = "[workspace]\nmembers = [\"one\", \"two\"]\ndefault-members = [\"one\"]";
        assert!(is_default("/project/one", workspace));
        assert!(!is_default("/project/two", workspace));
        assert!(is_default("/project", "[package]\nname = \"alone\""));
        assert!(!is_default("/project/one", "[workspace]\nmembers = [\"one\"]"));
        assert!(!is_default("/project/one", "not TOML"));
    }

    #[test]
    fn the_arguments_are_well_formed() {
        use clap::CommandFactory;
        Arguments::command().debug_assert();
    }
}
