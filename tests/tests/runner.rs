//! The runner of `squall::main!` with programs that misbehave: what `cargo test` sees of them.

mod place;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use place::Place;

struct Project(Place);

impl Project {
    fn new() -> Project {
        let project = Project(Place::new());
        std::fs::create_dir(project.path("scenarios")).expect("a directory");
        project
    }

    fn path(&self, path: &str) -> PathBuf {
        self.0.path(path)
    }

    fn scenario(&self, name: &str, text: &str) {
        self.0.write(&format!("scenarios/{name}.toml"), text);
    }

    fn odd(&self, arguments: &[&str]) -> Command {
        self.0.command(arguments)
    }

    fn tests(&self, arguments: &[&str]) -> Command {
        let mut command = self.odd(arguments);
        command.env("SQUALL_ODD_RUNNER", "1").env("TMPDIR", self.path(""));
        command
    }

    /// Keeps a failure, under another name.
    fn keep(&self, scenario: &str, file: &Path, name: &str) {
        let kept = self.path("squall-regressions").join(scenario);
        std::fs::create_dir_all(&kept).expect("a directory");
        std::fs::copy(self.path("").join(file), kept.join(format!("{name}.toml"))).expect("a copy");
    }
}

#[track_caller]
fn said(command: &mut Command, code: i32) -> String {
    let Output { status, stdout, stderr } = command.output().expect("it starts");
    let said = String::from_utf8_lossy(&stdout).into_owned() + &String::from_utf8_lossy(&stderr);
    assert_eq!(status.code(), Some(code), "{command:?}\n{said}");
    // Trials stand in columns.
    let words = |line: &str| line.split(' ').filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ");
    said.lines().map(words).collect::<Vec<_>>().join("\n")
}

fn saved(text: &str) -> PathBuf {
    let (_, rest) = text.split_once("SQUALL_REPLAY=").unwrap_or_else(|| panic!("nothing was saved: {text}"));
    rest.split_whitespace().next().expect("a path").into()
}

const LEAVING: &str = "from here on each run has a process of its own";

/// Blocks, canaries, kept failures; and on the command line kept failures, `shrink` and `refresh`.
#[test]
fn auto_is_followed_by_all() {
    let project = Project::new();
    project.scenario("calm", "program = \"calm\"\nisolation = \"auto\"\n");
    let calm = said(&mut project.tests(&["calm"]), 0);
    assert!(!calm.contains(LEAVING), "{calm}");

    project.scenario("counts", "program = \"counting\"\nisolation = \"auto\"\nseeds = \"0..50\"\n");
    let counts = said(&mut project.tests(&["counts::seeds"]), 0);
    assert!(counts.contains(LEAVING) && counts.contains("counts::seeds::0..50 ... ok"), "{counts}");
    project.scenario("threads", "program = \"counting\"\nseeds = \"0..50\"\n");
    let threads = said(&mut project.tests(&["threads::seeds"]), 101);
    assert!(threads.contains("does not repeat itself") && !threads.contains(LEAVING), "{threads}");

    let failing = "program = \"counting-and-failing\"\nisolation = \"auto\"\nseeds = \"0..50\"\n";
    project.scenario("fails", failing);
    let fails = said(&mut project.tests(&["fails::seeds"]), 101);
    assert!(fails.contains(LEAVING) && fails.contains("drew nothing") && fails.contains("minimal"), "{fails}");
    let file = saved(&fails);
    let text = std::fs::read_to_string(&file).expect("it was saved");
    assert!(text.contains("isolation = \"process\""), "{text}");
    let replayed = said(project.tests(&["replay"]).env("SQUALL_REPLAY", &file), 101);
    assert!(replayed.contains("same: panic fails"), "{replayed}");

    project.scenario("canary", &format!("{failing}expect = \"panic\"\n"));
    let canary = said(&mut project.tests(&["canary::expects"]), 0);
    assert!(canary.contains(LEAVING), "{canary}");

    // One that was kept before threads had to be left.
    let of_threads = text.replace("isolation = \"process\"", "");
    std::fs::write(&file, &of_threads).expect("a file");
    project.keep("fails", &file, "kept");
    // What lies where it is saved isn't lost.
    let again = said(&mut project.tests(&["fails::seeds"]), 101);
    let (_, aside) = again.split_once("(what that file said before is in ").expect("it is said");
    let aside = aside.split(')').next().expect("a path");
    assert_eq!(std::fs::read_to_string(aside).expect("it is kept"), of_threads);
    std::fs::remove_file(aside).expect("it is there");
    std::fs::write(&file, &of_threads).expect("a file");
    let kept = said(&mut project.tests(&["fails::regression::kept"]), 101);
    assert!(kept.contains(LEAVING) && kept.contains("same: panic fails"), "{kept}");
    project.keep("threads", &file, "kept");
    let threads = std::fs::read_to_string(project.path("squall-regressions/threads/kept.toml")).expect("a file");
    let threads = threads.replace("\"fails\"", "\"threads\"").replace("fails.toml", "threads.toml");
    std::fs::write(project.path("squall-regressions/threads/kept.toml"), threads).expect("a file");
    let threads = said(&mut project.tests(&["threads::regression::kept"]), 101);
    assert!(threads.contains("it does not repeat itself") && !threads.contains(LEAVING), "{threads}");

    let explored = said(&mut project.odd(&["explore", "scenarios/fails.toml", "--seeds", "0..1", "--no-check"]), 100);
    assert!(explored.contains(LEAVING) && explored.contains("kept.toml: same: panic fails"), "{explored}");
    let shrunk = said(&mut project.odd(&["shrink", "squall-regressions/fails/kept.toml", "--out", "shrunk.toml"]), 0);
    assert!(shrunk.contains(LEAVING) && shrunk.contains("minimal"), "{shrunk}");
    let text = std::fs::read_to_string(project.path("shrunk.toml")).expect("it was written");
    assert!(text.contains("isolation = \"process\""), "{text}");
    let same = said(&mut project.odd(&["replay", "shrunk.toml"]), 100);
    assert!(same.contains("same: panic fails"), "{same}");
    let refreshed = said(&mut project.odd(&["regressions", "refresh", "squall-regressions/fails/kept.toml"]), 0);
    assert!(refreshed.contains(LEAVING) && refreshed.contains("same: panic fails"), "{refreshed}");
}

/// A seed is run in its own block, or in one that is made for it; no block of others passes without having run.
#[test]
fn one_seed_alone() {
    let project = Project::new();
    project.scenario("calm", "program = \"calm\"\nseeds = \"0..250\"\n");
    project.scenario("canary", "program = \"two-faults\"\nseeds = \"0..50\"\nexpect = \"panic\"\n");
    let alone = |seed: &str, arguments: &[&str], code| said(project.tests(arguments).env("SQUALL_SEED", seed), code);
    let inside = alone("0x70", &["calm"], 0);
    assert!(inside.contains("calm::seeds::100..200 ... ok") && inside.contains("client starts"), "{inside}");
    assert!(inside.contains("1 passed; 0 failed; 2 ignored"), "{inside}");
    let outside = alone("99999", &["calm"], 0);
    assert!(outside.contains("calm::seeds::0x1869f ... ok") && outside.contains("client starts"), "{outside}");
    assert!(outside.contains("1 passed; 0 failed; 3 ignored"), "{outside}");
    let last = alone("0xffffffffffffffff", &["calm"], 0);
    assert!(last.contains("1 passed; 0 failed; 3 ignored"), "{last}");

    // Of a scenario that is there to fail, a single seed may pass; but it must not fail otherwise.
    let mut seen = std::collections::BTreeSet::new();
    for seed in 0..40 {
        let Output { status, stdout, stderr } =
            project.tests(&["canary"]).env("SQUALL_SEED", seed.to_string()).output().expect("it starts");
        let said = String::from_utf8_lossy(&stdout).into_owned() + &String::from_utf8_lossy(&stderr);
        let (code, kind) = match (said.contains("FAIL panic"), said.contains("FAIL error")) {
            (true, _) => (0, "panic"),
            (_, true) => (101, "error"),
            _ => (0, "pass"),
        };
        assert_eq!(status.code(), Some(code), "{said}");
        assert!(said.contains("client starts"), "it is shown: {said}");
        seen.insert(kind);
    }
    assert_eq!(seen.len(), 3, "{seen:?}");
}

/// What else fails is told as any failure is: by the command that runs its seed again, what it comes down to, and a file.
#[test]
fn a_canary_that_fails_otherwise_names_the_seed_and_saves_it() {
    let project = Project::new();
    project.scenario("canary", "program = \"two-faults\"\nseeds = \"0..50\"\nexpect = \"panic\"\n");
    let text = said(&mut project.tests(&["canary"]), 101);
    assert!(text.contains("expected only panic to fail, but these did: error, panic; 50 runs"), "{text}");
    let (_, rest) = text.split_once("SQUALL_SEED=").expect("a command");
    let (seed, command) = rest.lines().next().expect("a line").split_once(' ').expect("a seed and a command");
    assert!(command.ends_with(" -- canary::expects::panic --exact"), "{command}");
    let alone = said(project.tests(&["canary"]).env("SQUALL_SEED", seed), 101);
    assert!(alone.contains("FAIL error") && alone.contains("or another"), "{alone}");
    assert!(text.contains(&format!("FAIL error seed {seed} (shrunk: ")), "{text}");
    let replayed = said(project.tests(&["replay"]).env("SQUALL_REPLAY", saved(&text)), 101);
    assert!(replayed.contains("same: error fails"), "{replayed}");
    // Where it doesn't fail at all there is no seed to name.
    project.scenario("canary", "program = \"calm\"\nseeds = \"0..50\"\nexpect = \"panic\"\n");
    let text = said(&mut project.tests(&["canary"]), 101);
    assert!(text.contains("expected panic to fail, but it didn't") && !text.contains("SQUALL_SEED"), "{text}");
}

#[test]
fn a_canary_that_nobody_knows_of_is_no_pass() {
    let project = Project::new();
    let text = "program = \"undecided\"\nseeds = \"0..30\"\nlimit = { virtual = \"10s\" }\nexpect = \"panic\"\n";
    project.scenario("undecided", text);
    let said = said(&mut project.tests(&["undecided"]), 101);
    assert!(said.contains("expected only panic to fail") && said.contains(" unknown"), "{said}");
    assert!(said.contains("SQUALL_SEED=0x") && said.contains("-- undecided::expects::panic --exact"), "{said}");
}

/// Its timeline up to the hang, and a file; without another wait for each try.
#[test]
fn a_hang_is_shown_and_saved() {
    let project = Project::new();
    for isolation in ["thread", "process"] {
        project.scenario("spins", &format!("program = \"spinning\"\nseeds = \"0..3\"\nisolation = \"{isolation}\"\n"));
        let spins = said(project.tests(&["spins"]).env("SQUALL_HANG_AFTER", "200ms"), 101);
        assert!(spins.contains("client has not yielded for 200ms"), "{spins}");
        assert!(spins.contains("client publishes slept: 1"), "{spins}");
        assert!(!spins.contains("shrunk"), "each try takes as long as it takes to see that it hangs: {spins}");
        let file = saved(&spins);
        let replayed =
            said(project.tests(&["replay"]).env("SQUALL_HANG_AFTER", "200ms").env("SQUALL_REPLAY", &file), 101);
        assert!(replayed.contains("same: hang fails"), "{replayed}");
    }
}

#[test]
fn a_description_that_does_not_come_back_is_a_failed_trial() {
    let project = Project::new();
    project.scenario("ends", "program = \"describing\"\n");
    project.scenario("calm", "program = \"calm\"\n");
    let said = said(&mut project.tests(&[]), 101);
    assert!(said.contains("ends::scenario-file ... FAILED") && said.contains("with code 0"), "{said}");
    assert!(said.contains("calm::seeds::0..100 ... ok"), "the others are run: {said}");
}

/// Kept failures are read before any thread is there: in several their worlds couldn't be tried.
#[test]
fn kept_failures_whose_descriptions_do_not_come_back_are_failed_trials() {
    let project = Project::new();
    project.scenario("describing", "program = \"describing\"\nseeds = \"0..100\"\nargs = { how = \"calm\" }\n");
    for (number, how) in ["exit", "abort", "overflow", "exit"].iter().enumerate() {
        let name = format!("squall-regressions/describing/panic-0x{number}.toml");
        project.0.write(&name, &place::failure_of_describing("scenarios/describing.toml", how));
    }
    for threads in ["1", "4"] {
        let said = said(&mut project.tests(&["--test-threads", threads]), 101);
        assert!(said.contains("running 5 tests") && said.contains("1 passed; 4 failed"), "{said}");
        assert!(said.contains("it ended the process, with code 0"), "{said}");
        assert!(said.contains("overflowed its stack") && said.contains("by signal 6 (abort)"), "{said}");
    }
    let file = "squall-regressions/describing/panic-0x0.toml";
    let said = said(project.tests(&[]).env("SQUALL_REPLAY", file), 101);
    assert!(said.contains("it ended the process, with code 0"), "{said}");
}

#[test]
fn no_thread_at_all_is_refused_as_libtest_does() {
    let project = Project::new();
    project.scenario("calm", "program = \"calm\"\n");
    let said = said(&mut project.tests(&["--test-threads=0"]), 101);
    assert!(said.contains("argument for --test-threads must not be 0"), "{said}");
}

/// Nothing is run, and nobody takes that for a pass.
#[test]
fn a_variable_that_says_nothing_is_an_error() {
    let project = Project::new();
    project.scenario("calm", "program = \"calm\"\n");
    for (variable, value) in
        [("SQUALL_SEED", "nonsense"), ("SQUALL_SEEDS", "9..1"), ("SQUALL_SEEDS", "5..5"), ("SQUALL_HANG_AFTER", "0")]
    {
        let said = said(project.tests(&[]).env(variable, value), 2);
        assert!(said.contains(&format!("error: {variable}: ")) && !said.contains("panicked"), "{said}");
    }
}
