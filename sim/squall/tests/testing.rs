//! `#[squall::test]` and `squall::explore`: what passes, what fails, what a failure says, what the environment changes.

use std::path::Path;
use std::process::{Command, Output};
use std::sync::atomic::{AtomicU64, Ordering};

use serde::{Deserialize, Serialize};
use squall::net::Endpoint;
use squall::prelude::*;
use squall::testing::{Exploration, Finding, Problem};

#[derive(Serialize, Deserialize, squall::Request)]
#[rtype(())]
struct Pay {
    order: u64,
}

/// A shop asks again when it hears nothing, and the bank pays each time.
fn payments(world: &mut World) {
    world.node("bank", || async {
        let endpoint = Endpoint::bind("0.0.0.0:80").await?;
        endpoint.add_rpc_handler(|pay: Pay| async move { squall::publish("paid", pay) });
        std::future::pending::<std::io::Result<()>>().await
    });
    world.client("shop", || async {
        let endpoint = Endpoint::bind("0.0.0.0:0").await?;
        while endpoint.call_timeout("bank:80", Pay { order: 7 }, 50.ms()).await.is_err() {}
        Ok::<_, std::io::Error>(())
    });
    // Rare enough for several seeds to pass before.
    world.link("shop", "bank").latency(uniform(1.ms(), 10.ms())).loss(permille(20));
    world.check(always("paid-once", 0).on("paid", |times, pay: Pay| {
        *times += 1;
        ensure!(*times == 1, "order {} was paid {times} times", pay.order);
        Ok(())
    }));
}

fn sleeper(world: &mut World) {
    world.client("sleeper", || squall::time::sleep(5.ms()));
}

#[squall::test(seeds = 20)]
fn a_calm_world_passes(world: &mut World) {
    sleeper(world);
}

#[squall::test]
fn options_may_be_left_out(world: &mut World) -> () {
    sleeper(world);
}

mod nested {
    use super::*;

    #[squall::test(seeds = 100..110, strategy = "pct:2:50")]
    fn a_strategy_may_be_named(world: &mut World) {
        sleeper(world);
    }
}

#[squall::test(seeds = 1_000)]
#[should_panic(expected = "property paid-once failed")]
fn a_failing_seed_fails_the_test(world: &mut World) {
    payments(world);
}

/// What a failing exploration panics with.
fn message(explore: impl FnOnce() + std::panic::UnwindSafe) -> String {
    let payload = std::panic::catch_unwind(explore).expect_err("it fails");
    payload.downcast_ref::<String>().expect("a message").clone()
}

fn finding(seeds: std::ops::Range<u64>, build: fn(&mut World)) -> Finding {
    *Exploration::new().seeds(seeds).find(build).expect_err("a seed that doesn't pass")
}

#[test]
fn the_first_line_of_a_failure_replays_it() {
    let message = message(|| squall::explore(0..1000, payments));
    let seed = finding(0..1000, payments).seed;
    let first_line = message.lines().next().unwrap();
    assert!(first_line.starts_with(&format!("SQUALL_SEED={seed} cargo test ")), "{first_line}");
    assert!(first_line.ends_with("the_first_line_of_a_failure_replays_it -- --exact"), "{first_line}");
}

#[test]
fn a_failure_says_what_when_where_and_why() {
    let finding = finding(0..1000, payments);
    assert_eq!(finding.property(), Some("paid-once"));
    assert_eq!(finding.passed, finding.seed.0, "the seeds before it passed");
    let message = finding.to_string();
    for expected in [
        &format!(
            "property paid-once failed with seed {} ({} of 0..1000 passed before it)",
            finding.seed, finding.passed
        ),
        ", on bank, in bank/",
        "  order 7 was paid 2 times",
        "decisions were not calm",
        "the answer to call 1 (testing::Pay) from bank to shop is lost",
        "publishes paid: {\"order\":7}",
    ] {
        assert!(message.contains(expected), "{expected:?} isn't in\n{message}");
    }
    let Problem::Judged(outcome) = &finding.problem else { panic!("{message}") };
    assert!(outcome.trace.is_some(), "everything is recorded");
}

#[test]
fn all_seeds_before_the_first_failing_one_pass() {
    let failing = finding(0..1000, payments).seed.0;
    assert_eq!(Exploration::new().seeds(0..failing).find(payments).ok(), Some(failing));
    assert_eq!(finding(failing..failing + 1, payments).seed.0, failing);
    // From behind it another one is the first.
    assert!(finding(failing + 1..1000, payments).seed.0 > failing);
}

#[test]
fn unknown_is_no_pass() {
    let finding = finding(0..10, |world| {
        world.client("never", std::future::pending::<()>);
        world.node("ticker", || async {
            loop {
                squall::time::sleep(1.secs()).await;
            }
        });
        world.limits().virtual_ns = 5_000_000_000;
    });
    let message = finding.to_string();
    assert!(message.contains("nobody knows whether seed 0x0 (the first of 0..10) is right"), "{message}");
    assert!(message.contains("Unknown is no pass"), "{message}");
    assert!(message.contains("never"), "{message}");
}

#[test]
fn a_run_that_doesn_t_repeat_itself_names_the_first_event_that_differs() {
    static RUNS: AtomicU64 = AtomicU64::new(1);
    let finding = finding(3..10, |world| {
        world.client("counter", || squall::time::sleep(RUNS.fetch_add(1, Ordering::Relaxed).ms()));
    });
    assert!(matches!(finding.problem, Problem::NotRepeated(_)), "{finding}");
    let message = finding.to_string();
    assert!(message.contains("seed 0x3 (the first of 3..10) does not repeat itself"), "{message}");
    assert!(message.contains("the runs part at event "), "{message}");
    assert!(message.contains("first run  1 ms counter") && message.contains("second run 3 ms counter"), "{message}");
}

/// The first three runs agree; that of the hundredth seed, made twice, doesn't.
#[test]
fn one_seed_in_a_hundred_is_run_twice() {
    // Each search has a counter of its own: the world is built anew for each run.
    fn late(world: &mut World, runs: &'static AtomicU64) {
        world.client("counter", || async {
            squall::publish("many", runs.fetch_add(1, Ordering::Relaxed).saturating_sub(50));
        });
    }
    static FIRST: AtomicU64 = AtomicU64::new(0);
    static SECOND: AtomicU64 = AtomicU64::new(0);
    assert_eq!(Exploration::new().seeds(0..99).find(|world| late(world, &FIRST)).ok(), Some(99));
    let finding = Exploration::new().seeds(0..100).find(|world| late(world, &SECOND)).expect_err("it is noticed");
    assert!(matches!(finding.problem, Problem::NotRepeated(_)) && finding.seed.0 == 99, "{finding}");
}

#[test]
fn a_world_that_can_t_be_fails_with_the_reason() {
    let finding = finding(0..10, |world| {
        sleeper(world);
        world.link("sleeper", "nobody").loss(percent(1));
    });
    let message = finding.to_string();
    assert!(message.contains("its world can't be described"), "{message}");
    assert!(message.contains("no node is named \"nobody\""), "{message}");
}

#[test]
fn what_left_the_simulation_is_named_in_a_failure() {
    let finding = finding(0..10, |world| {
        world.client("reader", || async {
            let read = std::fs::read_to_string("/proc/version");
            panic!("read: {}", read.is_ok());
        });
    });
    assert_eq!(finding.property(), Some("panic"));
    let message = finding.to_string();
    assert!(message.contains("outside of the simulation"), "{message}");
    assert!(message.contains("/proc/version"), "{message}");
}

#[test]
fn no_seed_is_no_pass() {
    let message = message(|| squall::explore(5..5, sleeper));
    assert!(message.contains("has no seed to run: the range 5..5 is empty"), "{message}");
}

// --- runs in processes of their own: worlds that can't be run twice in one, and worlds that end theirs ------------------

/// What outlives a run.
fn counting(world: &mut World) {
    static RUNS: AtomicU64 = AtomicU64::new(0);
    world.client("counter", || async {
        let runs = RUNS.fetch_add(1, Ordering::Relaxed);
        squall::publish("runs", runs);
        squall::time::sleep(runs.ms()).await;
    });
}

#[squall::test(seeds = 120, isolation = "process")]
fn in_a_process_of_its_own_each_run_is_the_first(world: &mut World) {
    counting(world);
}

#[squall::test(seeds = 120, isolation = "auto")]
fn threads_are_left_where_a_run_does_not_repeat_itself(world: &mut World) {
    counting(world);
}

/// hashbrown's default hasher follows addresses, and an unbiased `select!` a static of tokio's.
#[squall::test(seeds = 50, isolation = "process")]
fn addresses_and_statics_repeat(world: &mut World) {
    world.client("client", || async {
        let map: hashbrown::HashMap<u32, ()> = (0..20).map(|key| (key, ())).collect();
        squall::publish("order", map.into_keys().collect::<Vec<_>>());
        for _ in 0..20 {
            let taken = tokio::select! {
                () = std::future::ready(()) => 1,
                () = std::future::ready(()) => 2,
            };
            squall::publish("taken", taken);
        }
    });
}

fn in_processes(build: fn(&mut World)) -> Finding {
    let exploration = Exploration::new().seeds(10).isolation(squall::isolation::Isolation::Process);
    *exploration.memory_bytes_max(256 << 20).find(build).expect_err("a seed that doesn't pass")
}

#[test]
fn a_run_that_aborts_is_a_failed_run() {
    let finding = in_processes(|world| {
        world.client("aborter", || async {
            squall::time::sleep(7.ms()).await;
            squall::publish("last", "words");
            eprintln!("this is the end");
            std::process::abort();
        });
    });
    assert_eq!(finding.property(), Some("abort"));
    let message = finding.to_string();
    // The sleep is over when it is polled last.
    for expected in ["on aborter", "aborter made the process end by signal 6 (abort)", "this is the end"] {
        assert!(message.contains(expected), "{expected:?} isn't in\n{message}");
    }
    let Problem::Judged(outcome) = &finding.problem else { panic!("{message}") };
    assert!(outcome.trace.as_ref().is_some_and(|trace| !trace.events.is_empty()), "what came before is recorded");
}

#[test]
fn a_run_that_wants_too_much_memory_is_a_failed_run() {
    let finding = in_processes(|world| {
        world.client("hoarder", || async {
            let mut hoard = Vec::new();
            for _ in 0..64 {
                hoard.push(vec![1_u8; 16 << 20]);
                squall::time::sleep(1.ms()).await;
            }
            squall::publish("hoard", hoard.len());
        });
    });
    assert_eq!(finding.property(), Some("memory"));
    assert!(finding.to_string().contains("hoarder wanted more memory than the limit"), "{finding}");
}

#[test]
fn a_run_that_ends_its_process_is_a_failed_run() {
    let finding = in_processes(|world| {
        world.client("leaver", || async { std::process::exit(0) });
    });
    assert_eq!(finding.property(), Some("exit"));
}

#[test]
fn just_enough_memory_passes() {
    let exploration = Exploration::new().seeds(2).isolation(squall::isolation::Isolation::Process);
    let passed = exploration.memory_bytes_max(256 << 20).find(|world| {
        world.client("modest", || async { squall::publish("hoard", vec![1_u8; 16 << 20].len()) });
    });
    assert_eq!(passed.ok(), Some(2));
}

#[test]
#[should_panic(expected = "needs isolation = \"process\"")]
fn a_limit_that_can_t_hold_is_refused() {
    Exploration::new().memory_bytes_max(1 << 30).run(sleeper);
}

// --- the environment: only in processes of their own ------------------------------------------------------------------

/// Set in those processes.
const CHILD: &str = "SQUALL_TESTING_CHILD";

/// Fails in a process of its own only.
#[squall::test(seeds = 1_000)]
fn child_payments(world: &mut World) {
    if std::env::var_os(CHILD).is_some() { payments(world) } else { sleeper(world) }
}

#[test]
fn child_calm() {
    squall::explore(100, sleeper);
}

/// Never yields in a process of its own.
#[squall::test(seeds = 3)]
fn child_spinning(world: &mut World) {
    let is_child = std::env::var_os(CHILD).is_some();
    world.client("spinner", move || async move {
        if is_child {
            loop {
                std::hint::spin_loop();
            }
        }
    });
}

/// A static outlives the run, and one seed in ten fails, in a process of its own only.
#[squall::test(seeds = 100, isolation = "auto")]
fn child_counting(world: &mut World) {
    counting(world);
    if std::env::var_os(CHILD).is_some() {
        world.client("other", || async {
            squall::time::sleep(1.ms()).await;
            assert!(!rand_core::Rng::next_u64(&mut squall::rand::rng()).is_multiple_of(10), "drew nothing");
        });
    }
}

/// Both fail in a process of its own, unless the first is mended.
#[test]
fn child_two_explorations() {
    if std::env::var_os(CHILD).is_some() {
        let mended = std::env::var_os("SQUALL_TESTING_MENDED").is_some();
        squall::explore(100, move |world| if mended { sleeper(world) } else { payments(world) });
        squall::explore(10, |world| {
            world.client("client", || async { panic!("in any weather") });
        });
    }
}

/// Runs a test of this file in a process of its own.
fn child(test: &str, variables: &[(&str, &str)], arguments: &[&str]) -> (Output, String) {
    child_in(Path::new(env!("CARGO_MANIFEST_DIR")), test, variables, arguments)
}

fn child_in(directory: &Path, test: &str, variables: &[(&str, &str)], arguments: &[&str]) -> (Output, String) {
    let mut command = Command::new(std::env::current_exe().expect("the test's path"));
    command.args([test, "--exact"]).args(arguments).env(CHILD, "1");
    for name in ["SQUALL_SEED", "SQUALL_SEEDS", "SQUALL_JOBS", "SQUALL_HANG_AFTER"] {
        command.env_remove(name);
    }
    // Whether something is kept there is no matter of these tests, but for the one that says where.
    command.env_remove("SQUALL_REPLAY").current_dir(directory);
    let output = command.envs(variables.iter().copied()).output().expect("the test starts");
    let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    (output, text)
}

/// The line of a test's output to paste, and the seed in it.
fn line_to_paste(text: &str) -> (String, String) {
    let line = text.lines().find(|line| line.starts_with("SQUALL_SEED=")).unwrap_or_else(|| panic!("{text}"));
    let seed = line.strip_prefix("SQUALL_SEED=").and_then(|rest| rest.split_whitespace().next());
    (line.to_string(), seed.expect("a seed").to_string())
}

#[test]
fn the_line_to_paste_brings_the_failure_back() {
    let (output, text) = child("child_payments", &[], &[]);
    assert!(!output.status.success(), "{text}");
    let (line, seed) = line_to_paste(&text);
    assert!(line.contains(" child_payments -- --exact"), "{line}");

    let (output, again) = child("child_payments", &[("SQUALL_SEED", &seed)], &[]);
    assert!(!output.status.success(), "{again}");
    assert_eq!(line_to_paste(&again).0, line);
    assert!(again.contains(&format!("child_payments runs seed {seed} alone")), "{again}");
    assert!(again.contains("property paid-once failed"), "{again}");
    // The timeline comes on its own, past libtest's capturing.
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(stderr.contains("publishes paid") && stderr.contains("FAIL paid-once"), "{stderr}");
}

#[test]
fn jobs_don_t_change_which_seed_is_found() {
    let found = |jobs| line_to_paste(&child("child_payments", &[("SQUALL_JOBS", jobs)], &[]).1);
    assert_eq!(found("1"), found("4"));
}

#[test]
fn a_seed_that_passes_says_so_with_its_timeline() {
    let (output, text) = child("child_calm", &[("SQUALL_SEED", "7")], &[]);
    assert!(output.status.success(), "{text}");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(stderr.contains("sleeper") && stderr.contains("PASS"), "{stderr}");
    assert!(stderr.contains("seed 0x7 passed"), "{stderr}");
}

#[test]
fn other_seeds_may_be_asked_for() {
    let (output, text) = child("child_calm", &[("SQUALL_SEEDS", "10..15")], &["--nocapture"]);
    assert!(output.status.success(), "{text}");
    assert!(text.contains("child_calm runs seeds 10..15 (SQUALL_SEEDS) instead of 0..100"), "{text}");
    assert!(text.contains("child_calm: 5 seeds passed"), "{text}");
}

#[test]
fn with_one_test_thread_the_name_is_known_as_well() {
    let (output, text) = child("child_payments", &[], &["--test-threads=1"]);
    assert!(!output.status.success(), "{text}");
    assert!(line_to_paste(&text).0.contains(" child_payments -- --exact"), "{text}");
}

#[test]
fn a_task_that_never_yields_fails_the_test_and_is_named() {
    let begun = std::time::Instant::now();
    let (output, text) = child("child_spinning", &[("SQUALL_HANG_AFTER", "100ms")], &[]);
    assert!(!output.status.success(), "{text}");
    assert!(text.contains("property hang failed with seed 0x0"), "{text}");
    assert!(text.contains("spinner has not yielded for 100ms of real time"), "{text}");
    // It ran a second time, to be sure, and not for two periods each.
    assert!(begun.elapsed() < std::time::Duration::from_secs(5), "{:?}", begun.elapsed());
    // What came before is shown, and the seed is saved.
    assert!(text.contains("spinner starts"), "{text}");
    let command = text.lines().find(|line| line.starts_with("SQUALL_REPLAY=")).expect("a command");
    let file = command.strip_prefix("SQUALL_REPLAY=").and_then(|rest| rest.split(' ').next()).expect("a file");
    let variables = [("SQUALL_HANG_AFTER", "100ms"), ("SQUALL_REPLAY", file)];
    let (output, text) = child("child_spinning", &variables, &[]);
    assert!(!output.status.success() && text.contains("same: hang fails"), "{text}");
}

/// What `auto` found in processes is run again in processes.
#[test]
fn a_failure_of_auto_is_replayed_where_it_was_found() {
    const LEAVING: &str = "from here on each run has a process of its own";
    let (output, text) = child("child_counting", &[], &[]);
    assert!(!output.status.success() && text.contains("drew nothing") && text.contains(LEAVING), "{text}");
    let command = text.lines().find(|line| line.starts_with("SQUALL_REPLAY=")).expect("a command");
    let file = command.strip_prefix("SQUALL_REPLAY=").and_then(|rest| rest.split(' ').next()).expect("a file");
    let (output, text) = child("child_counting", &[("SQUALL_REPLAY", file)], &[]);
    // At once: nobody has to find out again that threads don't do.
    assert!(!output.status.success() && text.contains("same: panic fails") && !text.contains(LEAVING), "{text}");
    // One of threads, where they have to be left.
    let of_threads = std::fs::read_to_string(file).expect("it was saved").replace("isolation = \"process\"", "");
    let place = tempfile::tempdir().expect("a directory");
    let edited = place.path().join("edited.toml");
    std::fs::write(&edited, of_threads).expect("a file");
    let (output, text) = child("child_counting", &[("SQUALL_REPLAY", &edited.display().to_string())], &[]);
    assert!(!output.status.success() && text.contains("same: panic fails") && text.contains(LEAVING), "{text}");
    // What a person writes in a file that was saved isn't lost when it is found again.
    let saved = std::fs::read_to_string(file).expect("it was saved");
    let commented = format!("# seen on Monday\n{saved}");
    std::fs::write(file, &commented).expect("a file");
    child("child_counting", &[], &[]);
    assert_eq!(std::fs::read_to_string(file).expect("it is there"), commented);
    let written = commented.replace("drew nothing", "drew something");
    std::fs::write(file, &written).expect("a file");
    let (_, text) = child("child_counting", &[], &[]);
    let (_, aside) = text.split_once("(what that file said before is in ").expect("it is said");
    let aside = aside.split(')').next().expect("a path");
    assert_eq!(std::fs::read_to_string(aside).expect("it is kept"), written);
    std::fs::remove_file(aside).expect("it is there");
}

/// Each has files of its own.
#[test]
fn two_explorations_in_one_test_do_not_meet() {
    let place = tempfile::tempdir().expect("a directory");
    let run = |variables: &[(&str, &str)]| child_in(place.path(), "child_two_explorations", variables, &[]).1;
    let saved = |text: &str| {
        let command = text.lines().find(|line| line.starts_with("SQUALL_REPLAY=")).expect("a command");
        std::path::PathBuf::from(command["SQUALL_REPLAY=".len()..].split(' ').next().expect("a path"))
    };
    let first = saved(&run(&[]));
    assert_eq!(first.parent().and_then(Path::file_name), Some("child_two_explorations".as_ref()));
    let kept = place.path().join("squall-regressions/child_two_explorations");
    std::fs::create_dir_all(&kept).expect("a directory");
    std::fs::copy(&first, kept.join("kept.toml")).expect("a copy");
    let text = run(&[]);
    assert!(text.contains("child_two_explorations/kept.toml: same: paid-once fails"), "{text}");
    // The second doesn't run it again.
    std::fs::remove_dir_all(&kept).expect("it was there");
    let second = saved(&run(&[("SQUALL_TESTING_MENDED", "1")]));
    assert_eq!(second.parent().and_then(Path::file_name), Some("child_two_explorations.2".as_ref()));
    let kept = place.path().join("squall-regressions/child_two_explorations.2");
    std::fs::create_dir_all(&kept).expect("a directory");
    std::fs::copy(&second, kept.join("kept.toml")).expect("a copy");
    let text = run(&[("SQUALL_TESTING_MENDED", "1")]);
    assert!(text.contains("child_two_explorations.2/kept.toml: same: panic fails"), "{text}");
}

#[test]
fn an_unknown_seed_says_that_the_search_ended_there() {
    let finding = finding(0..10, |world| {
        sleeper(world);
        world.check(always("heard", ()).on("silence", |(), _: u64| Ok(())));
    });
    assert!(finding.to_string().contains("the search ended here"), "{finding}");
}

#[test]
fn variables_that_can_t_be_read_fail_the_test() {
    for (name, value, expected) in [
        ("SQUALL_SEED", "seven", "SQUALL_SEED: \"seven\" is no seed"),
        ("SQUALL_SEEDS", "5..1", "SQUALL_SEEDS: the range of seeds \"5..1\" ends before it starts"),
        ("SQUALL_SEEDS", "5-1", "SQUALL_SEEDS: expected a range of seeds such as \"0..1000\""),
        ("SQUALL_SEEDS", "5..5", "has no seed to run"),
        ("SQUALL_JOBS", "0", "SQUALL_JOBS: expected a number of runs at once"),
        ("SQUALL_HANG_AFTER", "0", "SQUALL_HANG_AFTER: expected a real time above 0"),
        ("SQUALL_HANG_AFTER", "soon", "SQUALL_HANG_AFTER: expected a real time above 0"),
    ] {
        let (output, text) = child("child_calm", &[(name, value)], &[]);
        assert!(!output.status.success() && text.contains(expected), "{name}={value}: {text}");
    }
}

#[test]
fn a_failure_is_shrunk_saved_replayed_and_runs_first_once_it_is_kept() {
    const TEST: &str = "child_payments";
    let place = tempfile::tempdir().expect("a directory");
    let run = |variables: &[(&str, &str)]| {
        let (output, said) = child_in(place.path(), TEST, variables, &[]);
        (output.status.success(), said)
    };
    let (_, said) = run(&[]);
    for expected in
        ["perturbations -> 1, ", "  1. the answer to call 1 (testing::Pay) from bank to shop is lost", "minimal: "]
    {
        assert!(said.contains(expected), "{expected:?} isn't in\n{said}");
    }
    let command = said.lines().find(|line| line.starts_with("SQUALL_REPLAY=")).expect("a command");
    assert!(command.ends_with(&format!("{TEST} -- --exact")), "{command}");
    let file = command.strip_prefix("SQUALL_REPLAY=").and_then(|rest| rest.split(' ').next()).expect("a file");
    let whole = std::fs::read_to_string(file).expect("it was saved");
    assert_eq!(whole.matches("[[perturbation]]").count(), 1, "{whole}");

    // Replayed as it is, with its entry taken away, and with one that matches nothing.
    let edited = place.path().join("edited.toml");
    let replay = |text: &str| {
        std::fs::write(&edited, text).expect("it can be written");
        run(&[("SQUALL_REPLAY", &edited.display().to_string())])
    };
    let (passed, same) = replay(&whole);
    assert!(!passed && same.contains("same: paid-once fails") && !same.contains("passed before it"), "{same}");
    let (head, _) = whole.split_once("[[perturbation]]").expect("an entry");
    assert!(replay(&format!("{head}# end\n")).0);
    let (passed, stale) = replay(&whole.replace("number = 1", "number = 9"));
    assert!(!passed && stale.contains("stale: 1 of 1 perturbations matched nothing"), "{stale}");
    let (passed, wrong) = replay("format = 1");
    assert!(!passed && wrong.contains("SQUALL_REPLAY: "), "{wrong}");
    // Another test isn't concerned.
    std::fs::write(&edited, &whole).expect("it can be written");
    let variables = [("SQUALL_REPLAY", &*edited.display().to_string())];
    let (output, other) = child_in(place.path(), "child_calm", &variables, &["--nocapture"]);
    assert!(output.status.success() && other.contains("100 seeds passed"), "{other}");

    // Kept in the package, it runs before the seeds.
    let kept = place.path().join("squall-regressions").join(TEST);
    std::fs::create_dir_all(&kept).expect("a directory");
    std::fs::write(kept.join("paid-once.toml"), &whole).expect("it can be written");
    let (passed, first) = run(&[]);
    assert!(!passed && first.contains("same: paid-once fails") && !first.contains("passed before it"), "{first}");

    std::fs::remove_dir_all(&kept).expect("it can be removed");
    let (passed, unshrunk) = run(&[("SQUALL_SHRINK", "0")]);
    assert!(
        !passed && unshrunk.contains("property paid-once failed") && !unshrunk.contains("SQUALL_REPLAY"),
        "{unshrunk}"
    );
}
