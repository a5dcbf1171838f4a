//! Programs on madsim (`sim/madsim`, a workspace of its own): built by cargo alone, and run by the same command line.

#[path = "madsim/faults.rs"]
mod faults;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;

use serde_json::Value;

/// What would change what is tested, or take the place of what the project's own cargo configuration says.
const VARIABLES: [&str; 9] = [
    "CI",
    "GITHUB_ACTIONS",
    "RUSTFLAGS",
    "CARGO_ENCODED_RUSTFLAGS",
    "CARGO_BUILD_RUSTFLAGS",
    "SQUALL_HANG_AFTER",
    "SQUALL_JOBS",
    "SQUALL_SEED",
    "SQUALL_SEEDS",
];

fn project() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../sim/madsim").canonicalize().expect("the project")
}

fn target() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("madsim")
}

fn clean(program: impl AsRef<std::ffi::OsStr>) -> Command {
    let mut command = Command::new(program);
    for variable in VARIABLES {
        command.env_remove(variable);
    }
    // What cargo tells this test about its own package isn't true of another.
    let of_package = |name: &str| name.starts_with("CARGO_PKG_") || name == "CARGO_MANIFEST_DIR" || name == "CARGO";
    for (name, _) in std::env::vars().filter(|(name, _)| of_package(name)) {
        command.env_remove(name);
    }
    command
}

/// Builds the project's programs, once.
fn binary() -> &'static Path {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| {
        let mut cargo = clean(env!("CARGO"));
        // From its folder, as anybody would: its `.cargo/config.toml` is found from there.
        cargo.args(["build", "--locked", "--workspace"]).current_dir(project()).env("CARGO_TARGET_DIR", target());
        let output = cargo.output().expect("cargo starts");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        target().join("debug/squall-madsim")
    })
}

fn scenario(name: &str) -> String {
    project().join(format!("greeter/scenarios/{name}.toml")).display().to_string()
}

fn squall(directory: &Path, arguments: &[&str]) -> Output {
    let mut command = clean(binary());
    command.current_dir(directory).args(["--message-format", "json"]).args(arguments);
    command.output().expect("it starts")
}

/// The lines of a command that ends with that code.
#[track_caller]
fn lines(output: &Output, code: i32) -> Vec<Value> {
    let (out, errors) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(code), "{out}\n{errors}");
    out.lines().map(|line| serde_json::from_str(line).expect("a line of JSON")).collect()
}

#[track_caller]
fn last(output: &Output, code: i32) -> Value {
    lines(output, code).pop().expect("a summary")
}

#[test]
fn the_planted_bug_is_found_shrunk_to_its_fault_saved_and_replayed() {
    let directory = tempfile::tempdir().expect("a directory");
    let explored = last(&squall(directory.path(), &["explore", &scenario("greeter"), "--max-failures", "1"]), 0);
    let failure = &explored["failures"][0];
    assert_eq!(failure["property"], "numbers-once");
    assert_eq!(failure["perturbations"], 1, "{failure}");
    let file = failure["file"].as_str().expect("it was saved");
    let text = std::fs::read_to_string(directory.path().join(file)).expect("the failure's file");
    assert!(text.contains("server-crash"), "{text}");

    let replayed = squall(directory.path(), &["replay", file]);
    assert_eq!(last(&replayed, 100)["outcome"], "same");
    let said = String::from_utf8_lossy(&replayed.stderr);
    assert!(said.contains("not checked:") && said.contains("single messages"), "{said}");
    let shrunk = last(&squall(directory.path(), &["shrink", file]), 0);
    assert_eq!((&shrunk["before"], &shrunk["after"]), (&1.into(), &1.into()));
    let page = directory.path().join("page.html");
    let page = page.to_str().expect("a path of text");
    assert_eq!(last(&squall(directory.path(), &["report", file, "--out", page]), 0)["outcome"], "same");

    // Without the entry nothing is left of it, and a fault that isn't there any more is told.
    let head = text.split("[[perturbation]]").next().expect("the head");
    std::fs::write(directory.path().join("emptied.toml"), format!("{head}\n# end\n")).expect("a file");
    let gone = last(&squall(directory.path(), &["replay", "emptied.toml"]), 0);
    assert_eq!(gone["outcome"], "gone");
    let renamed = std::fs::read_to_string(scenario("greeter")).expect("the scenario");
    let renamed = renamed.replace("server-crash", "crash-of-the-server");
    std::fs::write(directory.path().join("greeter.toml"), renamed).expect("a file");
    let stale = text.lines().map(|line| match line.starts_with("file") {
        true => "file = \"greeter.toml\"\n".to_string(),
        false => format!("{line}\n"),
    });
    std::fs::write(directory.path().join("stale.toml"), stale.collect::<String>()).expect("a file");
    assert_eq!(last(&squall(directory.path(), &["replay", "stale.toml"]), 125)["outcome"], "stale");
}

#[test]
fn the_repaired_twin_is_green() {
    let directory = tempfile::tempdir().expect("a directory");
    let explored = last(&squall(directory.path(), &["explore", &scenario("greeter_repaired")]), 0);
    assert_eq!((&explored["passed"], &explored["failed"]), (&explored["runs"], &0.into()));
}

/// What shrinking can't take away is told on the campaign's page, also where the page is put together from parts.
#[test]
fn the_page_says_what_has_no_address() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = scenario("greeter_repaired");
    let seeds = ["--seeds", "0..20", "--out", "parts"];
    for (part, page) in [("1/2", "one"), ("2/2", "two")] {
        let shard = [&["explore", &file, "--shard", part, "--report", page][..], &seeds].concat();
        last(&squall(directory.path(), &shard), 0);
    }
    let shards = ["1", "2"].map(|shard| format!("parts/greeter_repaired/shard-{shard}-of-2.jsonl.zst"));
    last(&squall(directory.path(), &["merge", &shards[0], &shards[1], "--report", "merged"]), 0);
    for page in ["one", "merged"] {
        let pages = std::fs::read_dir(directory.path().join(page)).expect("the pages");
        let text: String = pages.map(|entry| std::fs::read_to_string(entry.unwrap().path()).unwrap()).collect();
        assert!(text.contains("none of it is a decision that shrinking could take away"), "{page}");
    }
}

#[test]
fn a_run_repeats_in_another_process_and_its_trace_fits_its_digest() {
    let directory = tempfile::tempdir().expect("a directory");
    for seed in ["1", "0x7fffffffffffffff"] {
        let run = |out: &str| {
            let arguments = ["run", &scenario("greeter_repaired"), "--seed", seed, "--trace", out];
            last(&squall(directory.path(), &arguments), 0)
        };
        let (first, second) = (run("first"), run("second"));
        assert_eq!(first["digest"], second["digest"]);
        let diff = last(&squall(directory.path(), &["diff", "first", "second"]), 0);
        assert_eq!(diff["same"], true);
    }
    let other = ["run", &scenario("greeter_repaired"), "--seed", "2", "--trace", "other"];
    last(&squall(directory.path(), &other), 0);
    last(&squall(directory.path(), &["diff", "first", "other"]), 1);
}

#[test]
fn whatever_goes_wrong_in_a_program_is_a_failed_run_and_the_campaign_goes_on() {
    let directory = tempfile::tempdir().expect("a directory");
    for (does, property) in [
        ("panic", "panic"),
        ("error", "error"),
        ("deadlock", "deadlock"),
        ("lie", "linearizable"),
        ("hang", "hang"),
        ("abort", "abort"),
        ("exit", "exit"),
        ("killed", "killed"),
        ("memory", "memory"),
    ] {
        let does = format!("args.does={does}");
        let mut arguments =
            vec!["explore", "", "--set", &does, "--no-shrink", "--hang-after", "500ms", "--seeds", "0..2"];
        let odd = scenario("odd");
        arguments[1] = &odd;
        if ["abort", "exit", "killed", "memory"].contains(&property) {
            arguments.extend(["--set", "isolation=process", "--set", "limit.memory=256MiB"]);
        }
        let explored = last(&squall(directory.path(), &arguments), 100);
        assert_eq!((&explored["runs"], &explored["failed"]), (&2.into(), &2.into()), "{does}");
        assert_eq!(explored["failures"][0]["property"], property, "{does}");
    }
    let endless = ["run", &scenario("odd"), "--set", "args.does=endless"];
    assert_eq!(last(&squall(directory.path(), &endless), 120)["verdict"], "unknown");
    assert_eq!(last(&squall(directory.path(), &["run", &scenario("odd")]), 0)["verdict"], "pass");
}

#[test]
fn what_madsim_cannot_do_is_refused_with_its_place() {
    let directory = tempfile::tempdir().expect("a directory");
    let head = std::fs::read_to_string(scenario("greeter_repaired")).expect("the scenario");
    for (more, said) in [
        ("[[uplink]]\nnode = \"server\"\nbandwidth = \"1Mbit/s\"\n", "`uplink`"),
        ("[[disk]]\nnode = \"server\"\ntorn = \"1/2\"\n", "`disk`"),
        ("[[rule]]\nfrom = \"*\"\nto = \"*\"\nverdict = \"drop\"\n", "`rule`"),
        ("[swarm]\n", "`swarm`"),
        ("[buggify]\nenabled = \"50%\"\n", "`buggify`"),
        ("[knobs]\nprobe-knob = 8\n", "`knobs`"),
        ("[clock]\nepoch = \"2026-01-01T00:00:00Z\"\n", "`clock`"),
        (
            "[[fault]]\nkind = \"crash\"\nnode = \"server\"\nat_point = \"*\"\nshare = \"5%\"\n",
            "points of the code are known to Squall's own engine alone",
        ),
        ("[storage]\ntorn = \"1/2\"\n", "`storage`"),
        ("[loopback]\nlatency = \"1ms\"\n", "`loopback`"),
        ("[[link]]\nfrom = \"server\"\nto = \"client-0\"\nloss = \"1%\"\n", "`link`"),
        ("[[budget]]\ncrashed = 5\n", "`budget`"),
        ("[[fault]]\nkind = \"slow\"\nnode = \"server\"\npoll = \"1ms\"\nat = \"1s\"\n", "faults there are"),
        ("[[fault]]\nkind = \"crash\"\nwipe_disk = true\nnode = \"server\"\nat = \"1s\"\n", "wiped"),
        ("[[fault]]\nkind = \"hold\"\nfrom = \"server\"\nto = \"client-0\"\nat = \"1s\"\n", "faults there are"),
        (
            "[[fault]]\nkind = \"link\"\nfrom = \"server\"\nto = \"client-0\"\nloss = \"1%\"\nat = \"1s\"\n",
            "one weather for the whole network",
        ),
    ] {
        std::fs::write(directory.path().join("refused.toml"), format!("{head}\n{more}")).expect("a file");
        let refused = squall(directory.path(), &["run", "refused.toml"]);
        lines(&refused, 2);
        let errors = String::from_utf8_lossy(&refused.stderr);
        assert!(errors.contains(said) && errors.contains("refused.toml:"), "{more}\n{errors}");
    }
    let latency = ["run", &scenario("greeter_repaired"), "--set", "network.latency={ exponential = \"5ms\" }"];
    let refused = squall(directory.path(), &latency);
    lines(&refused, 2);
    assert!(String::from_utf8_lossy(&refused.stderr).contains("latencies there are fixed"));
    let core = squall(directory.path(), &["run", &scenario("greeter_repaired"), "--set", "heal.core=[\"server\"]"]);
    lines(&core, 2);
    assert!(String::from_utf8_lossy(&core.stderr).contains("`heal.core`"));
    let strategy = squall(directory.path(), &["run", &scenario("greeter_repaired"), "--strategy", "pct"]);
    lines(&strategy, 2);
    assert!(String::from_utf8_lossy(&strategy.stderr).contains("nothing to decide"));
}

/// Both would define the same symbols of libc, which the linker says in a hundred lines that name neither.
#[test]
fn a_build_with_both_interpositions_says_what_to_do() {
    let mut cargo = clean(env!("CARGO"));
    cargo.args(["build", "--locked", "--package", "squall-madsim", "--features", "squall-hermetic/interpose"]);
    let output = cargo.current_dir(project()).env("CARGO_TARGET_DIR", target()).output().expect("cargo starts");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success());
    assert!(errors.contains("default-features = false") && errors.contains("a workspace of their own"), "{errors}");
}

/// A destructor that panics where madsim kills a node takes the process with it; with processes that is a failed run.
#[test]
fn a_destructor_that_panics_in_a_kill_is_a_failed_run() {
    let directory = tempfile::tempdir().expect("a directory");
    let odd = std::fs::read_to_string(scenario("odd")).expect("the scenario");
    let crash = "[[fault]]\nkind = \"crash\"\nnode = \"client\"\nat = \"2s\"\n";
    std::fs::write(directory.path().join("odd.toml"), format!("{odd}\n{crash}")).expect("a file");
    let arguments = ["explore", "odd.toml", "--set", "args.does=drop", "--set", "isolation=process", "--no-shrink"];
    let explored = last(&squall(directory.path(), &[&arguments[..], &["--seeds", "0..2"]].concat()), 100);
    assert_eq!((&explored["runs"], &explored["failed"]), (&2.into(), &2.into()));
    assert_eq!(explored["failures"][0]["property"], "abort");
}

#[test]
fn a_build_without_the_flag_says_what_to_do() {
    // Without the flag nothing else of the crate is compiled, so that its dependencies aren't needed: only what cargo would say first.
    let directory = tempfile::tempdir().expect("a directory");
    let mut rustc = clean(std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into()));
    rustc.args(["--edition", "2024", "--crate-type", "lib", "--emit", "metadata", "--out-dir"]);
    let output = rustc.arg(directory.path()).arg(project().join("src/lib.rs")).output().expect("rustc starts");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success());
    assert!(
        errors.contains("rustflags = [\"--cfg\", \"madsim\"]")
            && errors.contains(".cargo/config.toml")
            && errors.contains("RUSTFLAGS takes the file's place"),
        "{errors}"
    );
}
