//! A directory of its own, in which the command line is called with programs that misbehave.
#![allow(dead_code, reason = "each of the tests uses what it needs")]

use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use serde_json::Value;
use tempfile::TempDir;

/// The variables that would change what is tested.
const VARIABLES: [&str; 12] = [
    "SQUALL_SEED",
    "SQUALL_SEEDS",
    "SQUALL_JOBS",
    "SQUALL_HANG_AFTER",
    "SQUALL_SHRINK",
    "SQUALL_REPLAY",
    "SQUALL_COMMAND_LINE",
    "CARGO",
    "CI",
    "GITHUB_ACTIONS",
    "GITHUB_STEP_SUMMARY",
    "RUST_BACKTRACE",
];

pub struct Place {
    directory: TempDir,
}

#[derive(Debug)]
pub struct Finished {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Finished {
    pub fn of(output: &Output) -> Finished {
        Finished {
            code: output.status.code().expect("it exits by itself"),
            stdout: String::from_utf8(output.stdout.clone()).expect("UTF-8"),
            stderr: String::from_utf8(output.stderr.clone()).expect("UTF-8"),
        }
    }

    /// All lines as JSON; the last is the summary.
    pub fn lines(&self) -> Vec<Value> {
        let parse = |line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error} in {line}"));
        self.stdout.lines().map(parse).collect()
    }

    pub fn summary(&self) -> Value {
        self.lines().pop().unwrap_or_else(|| panic!("nothing was written; {}", self.stderr))
    }

    #[track_caller]
    pub fn expect(self, code: i32) -> Finished {
        assert_eq!(self.code, code, "stdout: {}\nstderr: {}", self.stdout, self.stderr);
        assert!(!self.stderr.contains("panicked at"), "{}", self.stderr);
        self
    }
}

/// A failure of the program `describing` whose description does that.
pub fn failure_of_describing(scenario: &str, how: &str) -> String {
    format!(
        "format = 1\nsquall = \"0.1.0\"\nscenario = \"describing\"\nfile = \"{scenario}\"\nproperty = \"panic\"\n\
         message = \"boo\"\nseed = \"0x1\"\nweather = \"calm\"\ndigest = \"b22c956b5fc93b0298d39f8d7862dad1\"\n\
         minimal = \"pairs\"\n\n[parameters]\n\"args.how\" = \"{how}\"\n\n# end\n"
    )
}

/// A command, called by a shell that does something else first.
pub fn after(first: &str, command: &Command) -> Command {
    let mut shell = Command::new("sh");
    shell.args(["-c", &format!("{first}; exec \"$0\" \"$@\"")]).arg(command.get_program()).args(command.get_args());
    with_its_surroundings(&shell, command)
}

/// A command in the directory and the environment of another one.
pub fn with_its_surroundings(command: &Command, other: &Command) -> Command {
    let mut made = Command::new(command.get_program());
    made.args(command.get_args()).stdin(Stdio::null());
    made.current_dir(other.get_current_dir().expect("it has one"));
    for (name, value) in other.get_envs() {
        match value {
            Some(value) => made.env(name, value),
            None => made.env_remove(name),
        };
    }
    made
}

impl Place {
    pub fn new() -> Place {
        Place { directory: tempfile::tempdir().expect("a directory") }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// A file of that text, with the directories above it.
    pub fn write(&self, name: &str, text: &str) {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().expect("a directory")).expect("a directory");
        std::fs::write(path, text).expect("a file");
    }

    /// A scenario file of that program.
    pub fn scenario(&self, program: &str, more: &str) -> String {
        let path = self.path(&format!("{program}.toml"));
        std::fs::write(&path, format!("program = \"{program}\"\nseeds = \"0..100\"\n{more}")).expect("a file");
        path.display().to_string()
    }

    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_squall-odd"));
        command.args(arguments).current_dir(self.directory.path()).stdin(Stdio::null());
        for variable in VARIABLES {
            command.env_remove(variable);
        }
        command
    }

    pub fn squall(&self, arguments: &[&str]) -> Finished {
        Finished::of(&self.command(arguments).output().expect("it starts"))
    }

    pub fn json(&self, arguments: &[&str]) -> Finished {
        self.squall(&[arguments, &["--message-format", "json"]].concat())
    }
}
