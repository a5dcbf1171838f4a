//! `cargo squall …`: builds a project's own target of scenarios, and runs it as the whole command line.
//!
//! The target is a test target with `harness = false` whose `main` is `squall::main!(…)`.
#![forbid(unsafe_code)]

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::{Command, ExitCode, Stdio};

use cargo_metadata::{Message, Metadata, MetadataCommand, Package, Target, TargetKind};

const HELP: &str = "\
Runs the scenarios of a project, as a command line: explore, replay, shrink and more.

Usage: cargo squall [-p PACKAGE] [--manifest-path FILE] [--profile NAME] COMMAND …

  -p, --package PACKAGE    whose scenarios [default: those of the package here, or of the only one that has some]
      --manifest-path FILE which project [default: the one here]
      --profile NAME       how it is built [default: release]

The scenarios are a test target with `harness = false` and `squall::main!(programs());`, named `scenarios`, or as the manifest says:

  [package.metadata.squall]
  target = \"NAME\"

`cargo squall help` shows the commands. Exit codes are those of the command; 2 if there is nothing to run, and cargo's own if it can't
be built.
";

/// Wrong arguments, or a project without scenarios.
const USAGE: u8 = 2;

/// The target's name unless the manifest says another.
const DEFAULT_TARGET: &str = "scenarios";

#[derive(Debug, Default, PartialEq)]
struct Asked {
    package: Option<String>,
    manifest: Option<PathBuf>,
    profile: Option<String>,
    help: bool,
    /// What the command line gets.
    rest: Vec<OsString>,
}

fn main() -> ExitCode {
    match run() {
        Ok(code) => ExitCode::from(code),
        Err(message) => {
            eprintln!("error: {message}");
            ExitCode::from(USAGE)
        }
    }
}

fn run() -> Result<u8, String> {
    let asked = parse(std::env::args_os().skip(1))?;
    if asked.help || asked.rest.is_empty() {
        print!("{HELP}");
        return Ok(if asked.help { 0 } else { USAGE });
    }
    let mut command = MetadataCommand::new();
    command.no_deps();
    if let Some(manifest) = &asked.manifest {
        command.manifest_path(manifest);
    }
    let metadata = command.exec().map_err(|error| format!("the project can't be read: {error}"))?;
    let (package, target) = find(&metadata, asked.package.as_deref())?;
    let (executable, built) = build(&asked, package, target)?;
    let Some(executable) = executable else { return Ok(built) };
    let called = match &asked.package {
        Some(package) => format!("cargo squall -p {package}"),
        None => "cargo squall".to_string(),
    };
    let mut command = Command::new(&executable);
    command.args(&asked.rest).env("SQUALL_COMMAND_LINE", called);
    become_it(command).map_err(|error| format!("{} can't be started: {error}", executable.display()))
}

/// Runs the command in this process's stead: a Ctrl-C is then for it, and so is the prompt once it has ended.
#[cfg(unix)]
fn become_it(mut command: Command) -> std::io::Result<u8> {
    use std::os::unix::process::CommandExt;
    Err(command.exec())
}

/// Runs the command and gives its exit code.
#[cfg(not(unix))]
fn become_it(mut command: Command) -> std::io::Result<u8> {
    command.status().map(exit_code)
}

/// Own options come first; from the first word that is none of them on, everything is the command's.
fn parse(arguments: impl Iterator<Item = OsString>) -> Result<Asked, String> {
    let mut asked = Asked::default();
    let mut arguments = arguments.peekable();
    // Cargo gives the subcommand's name.
    if arguments.peek().is_some_and(|first| first == "squall") {
        arguments.next();
    }
    while let Some(argument) = arguments.next() {
        let text = argument.to_string_lossy().into_owned();
        let (option, value) = match text.split_once('=') {
            Some((option, value)) if option.starts_with("--") => (option.to_string(), Some(value.to_string())),
            _ => (text, None),
        };
        let mut value = || {
            let next = || arguments.next().map(|value| value.to_string_lossy().into_owned());
            value.clone().or_else(next).ok_or_else(|| format!("{option} needs a value"))
        };
        match &*option {
            "-p" | "--package" => asked.package = Some(value()?),
            "--manifest-path" => asked.manifest = Some(value()?.into()),
            "--profile" => asked.profile = Some(value()?),
            "-h" | "--help" => asked.help = true,
            _ => {
                asked.rest = std::iter::once(argument).chain(arguments).collect();
                break;
            }
        }
    }
    Ok(asked)
}

/// The package, and its target of scenarios.
fn find<'m>(metadata: &'m Metadata, name: Option<&str>) -> Result<(&'m Package, &'m Target), String> {
    let members = metadata.workspace_packages();
    let with_scenarios = |package: &&'m Package| target_of(package).is_ok();
    let package = match (name, metadata.root_package()) {
        (Some(name), _) => {
            let named = members.iter().find(|package| package.name == name);
            *named.ok_or_else(|| format!("no package here is named {name:?}; there are {}", names(&members)))?
        }
        (None, Some(root)) => root,
        (None, None) => match members.iter().copied().filter(with_scenarios).collect::<Vec<_>>()[..] {
            [only] => only,
            [] => return Err(format!("no package here has scenarios ({})\n\n{}", names(&members), how_to("PACKAGE"))),
            ref several => {
                return Err(format!("several packages have scenarios: say one of {} with -p", names(several)));
            }
        },
    };
    Ok((package, target_of(package)?))
}

fn names(packages: &[&Package]) -> String {
    packages.iter().map(|package| package.name.as_str()).collect::<Vec<_>>().join(", ")
}

fn target_of(package: &Package) -> Result<&Target, String> {
    let said = package.metadata.get("squall").and_then(|squall| squall.get("target"));
    let name = match said {
        None => DEFAULT_TARGET,
        Some(name) => name.as_str().ok_or("[package.metadata.squall] target: expected a name")?,
    };
    let is_it = |target: &&Target| target.name == name && (target.is_test() || target.is_bin());
    package.targets.iter().find(is_it).ok_or_else(|| match said {
        Some(_) => format!(
            "{}: [package.metadata.squall] says that its target is {name:?}, but no test or binary is named so",
            package.manifest_path
        ),
        None => format!("{}: this package has no scenarios\n\n{}", package.manifest_path, how_to(&package.name)),
    })
}

fn how_to(package: &str) -> String {
    format!(
        "In the manifest of {package} write\n\n    [[test]]\n    name = \"{DEFAULT_TARGET}\"\n    harness = false\n\n\
         and in tests/{DEFAULT_TARGET}.rs\n\n    squall::main!(programs());"
    )
}

/// Builds the target. Its program, or cargo's exit code.
fn build(asked: &Asked, package: &Package, target: &Target) -> Result<(Option<PathBuf>, u8), String> {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    if target.kind.contains(&TargetKind::Test) {
        cargo.args(["test", "--no-run", "--test"]);
    } else {
        cargo.args(["build", "--bin"]);
    }
    cargo.arg(&target.name).args(["--package", &package.name, "--message-format", "json-render-diagnostics"]);
    cargo.args(["--profile", asked.profile.as_deref().unwrap_or("release"), "--manifest-path"]);
    cargo.arg(&package.manifest_path).stdin(Stdio::null()).stdout(Stdio::piped());
    let output = cargo.stderr(Stdio::inherit()).output().map_err(|error| format!("cargo can't be started: {error}"))?;
    if !output.status.success() {
        return Ok((None, exit_code(output.status)));
    }
    let built = Message::parse_stream(&*output.stdout).filter_map(Result::ok).find_map(|message| match message {
        Message::CompilerArtifact(artifact) if artifact.target == *target => artifact.executable,
        _ => None,
    });
    let built = built.ok_or_else(|| format!("cargo built {}, but named no program", target.name))?;
    Ok((Some(built.into_std_path_buf()), 0))
}

fn exit_code(status: std::process::ExitStatus) -> u8 {
    // A process that a signal ended has no code.
    status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(words: &[&str]) -> Result<Asked, String> {
        parse(words.iter().map(OsString::from))
    }

    #[test]
    fn own_options_come_first_and_the_rest_is_the_command_s() {
        let asked = parsed(&["squall", "-p", "kv", "--profile=dev", "explore", "x.toml", "-p", "7"]).unwrap();
        assert_eq!((asked.package.as_deref(), asked.profile.as_deref()), (Some("kv"), Some("dev")));
        assert_eq!(asked.rest, ["explore", "x.toml", "-p", "7"]);
        // Called by its own name there is no subcommand.
        assert_eq!(parsed(&["list"]).unwrap().rest, ["list"]);
        assert!(parsed(&["squall", "--help", "list"]).unwrap().help);
        assert_eq!(parsed(&["squall", "-p"]).unwrap_err(), "-p needs a value");
    }
}
