//! Properties over an input and a world: shrunk on both sides, saved once, replayed with the input.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::atomic::{AtomicU64, Ordering};

use proptest::prelude::*;
use proptest::test_runner::Config;
use serde::{Deserialize, Serialize};
use squall::net::Endpoint;
use squall::prelude::*;
use squall::proptest::{Check, LinkWeather, check, link_weather, plans, workloads};
use squall::trace::{Record, SiteKind, Verdict};
use squall::{Simulation, World};

#[derive(Clone, Debug, Serialize, Deserialize, squall::Request)]
#[rtype(())]
struct Deposit {
    amount: u64,
}

/// A deposit is asked for again when no answer comes; the bank remembers small ones, so that asking again is harmless. It takes a deposit
/// of a hundred or more, and the loss of its answer.
fn bank(world: &mut World, deposits: &[u64]) {
    world.node("bank", || async {
        let endpoint = Endpoint::bind("0.0.0.0:80").await?;
        let seen = std::rc::Rc::new(std::cell::RefCell::new(BTreeSet::new()));
        endpoint.add_rpc_handler(move |Deposit { amount }: Deposit| {
            let seen = std::rc::Rc::clone(&seen);
            async move {
                if seen.borrow_mut().insert(amount) || amount >= 100 {
                    squall::publish("deposited", amount);
                }
            }
        });
        std::future::pending::<std::io::Result<()>>().await
    });
    let deposits: BTreeSet<u64> = deposits.iter().copied().collect();
    world.client("client", move || {
        let deposits = deposits.clone();
        async move {
            let endpoint = Endpoint::bind("0.0.0.0:0").await?;
            for amount in deposits {
                while endpoint.call_timeout("bank:80", Deposit { amount }, 50.ms()).await.is_err() {}
            }
            squall::publish("deposited", u64::MAX);
            Ok::<_, std::io::Error>(())
        }
    });
    world.network().latency(uniform(1.ms(), 10.ms())).loss(percent(5));
    world.check(always("deposited-once", BTreeSet::new()).on("deposited", |seen, amount: u64| {
        ensure!(seen.insert(amount), "{amount} was deposited twice");
        Ok(())
    }));
}

/// Set in a process of its own: the tests that are there to fail do so only then.
const CHILD: &str = "SQUALL_PROPTEST_CHILD";

fn is_child() -> bool {
    std::env::var_os(CHILD).is_some()
}

#[test]
fn child_deposits() {
    if is_child() {
        check(prop::collection::vec(0..1_000u64, 1..20), |world, deposits| bank(world, deposits));
    }
}

#[test]
fn child_counts_cases() {
    static CASES: AtomicU64 = AtomicU64::new(0);
    if is_child() {
        Check::new(0..10u64).seeds_per_case(3).run(|world, _| {
            CASES.fetch_add(1, Ordering::Relaxed);
            world.client("client", || async {});
        });
        println!("worlds: {}", CASES.load(Ordering::Relaxed));
    }
}

/// Fails for a world that `build` describes.
fn child_check<S>(inputs: S, build: impl Fn(&mut World, &S::Value) + Send + Sync + 'static)
where
    S: Strategy,
    S::Value: Serialize + serde::de::DeserializeOwned + Send + Sync + 'static,
{
    if is_child() {
        check(inputs, build);
    }
}

/// A client that fails where `fails` says so, and tells why.
fn failing(world: &mut World, why: Option<String>) {
    world.client("client", move || {
        let why = why.clone();
        async move {
            squall::time::sleep(1.ms()).await;
            assert!(why.is_none(), "{}", why.unwrap_or_default());
        }
    });
}

#[test]
fn child_floats() {
    // An unlucky number of digits: read by the shortest way, some of these come back as a neighbour.
    child_check(0.0..2.0_f64, |world, input| {
        let why = (*input > 0.1).then(|| format!("bits {:x}", input.to_bits()));
        failing(world, why);
    });
}

#[test]
fn child_nan() {
    child_check(Just(f64::NAN), |world, _| failing(world, Some("not a number".to_string())));
}

#[test]
fn child_no_number() {
    child_check(Just(Some(f64::NAN)), |world, _| failing(world, Some("not a number either".to_string())));
}

#[test]
fn child_odd_keys() {
    let keys = prop::collection::btree_map((0..9u8, 0..9u8), 0..9u8, 1..4);
    child_check(keys, |world, _| failing(world, Some("keys are no text".to_string())));
}

#[test]
fn child_std_map() {
    let map = prop::collection::hash_map(0..900u32, 0..9u8, 40..50);
    child_check(map, |world, _| failing(world, Some("in any order".to_string())));
}

#[test]
fn child_indescribable() {
    child_check(0..1_000u64, |world, input| {
        assert!(*input < 100, "{input} nodes are too many");
        world.client("client", || async {});
    });
}

#[test]
fn child_forgetful() {
    static WORLDS: AtomicU64 = AtomicU64::new(0);
    child_check(0..9u8, |world, _| {
        let number = WORLDS.fetch_add(1, Ordering::Relaxed);
        world.client("client", move || async move { squall::publish("number", number) });
    });
}

/// The first check sees nothing of it, the one of the hundredth case does.
#[test]
fn child_forgetful_later() {
    static WORLDS: AtomicU64 = AtomicU64::new(0);
    child_check(0..9u8, |world, _| {
        let number = WORLDS.fetch_add(1, Ordering::Relaxed).saturating_sub(50);
        world.client("client", move || async move { squall::publish("number", number) });
    });
}

/// Fails when it is run for the twentieth time, whatever it is.
#[test]
fn child_failing_once() {
    static WORLDS: AtomicU64 = AtomicU64::new(0);
    child_check(0..9u8, |world, _| {
        let fails = WORLDS.fetch_add(1, Ordering::Relaxed) == 20;
        failing(world, fails.then(|| "once".to_string()));
    });
}

#[test]
fn child_two_checks() {
    let mends = std::env::var_os("SQUALL_PROPTEST_MENDED").is_some();
    child_check(0..9u8, move |world, _| failing(world, (!mends).then(|| "the first".to_string())));
    child_check(prop::collection::vec(0..9u8, 1..3), |world, _| failing(world, Some("the second".to_string())));
}

#[test]
fn child_unknown() {
    child_check(1..9u8, |world, _| {
        world.limits().virtual_ns = 1_000_000_000;
        world.client("client", || async {
            loop {
                squall::time::sleep(100.ms()).await;
            }
        });
    });
}

fn child(directory: &Path, test: &str, variables: &[(&str, &str)]) -> (bool, String) {
    let mut command = Command::new(std::env::current_exe().expect("the test's path"));
    command.args([test, "--exact", "--nocapture"]).env(CHILD, "1").current_dir(directory);
    for name in ["SQUALL_REPLAY", "SQUALL_SHRINK", "PROPTEST_CASES", "PROPTEST_RNG_SEED"] {
        command.env_remove(name);
    }
    let Output { status, stdout, stderr } = command.envs(variables.iter().copied()).output().expect("the test starts");
    (status.success(), String::from_utf8_lossy(&stdout).into_owned() + &String::from_utf8_lossy(&stderr))
}

/// What follows `SQUALL_REPLAY=` in a message.
fn saved_file(text: &str) -> PathBuf {
    let (_, rest) = text.split_once("SQUALL_REPLAY=").unwrap_or_else(|| panic!("{text}"));
    rest.split_whitespace().next().expect("a path").into()
}

#[test]
fn both_sides_are_shrunk_and_saved_once() {
    let directory = tempfile::tempdir().expect("a directory");
    for rng_seed in ["1", "2", "3"] {
        let (passed, text) = child(directory.path(), "child_deposits", &[("PROPTEST_RNG_SEED", rng_seed)]);
        assert!(!passed, "{text}");
        let path = saved_file(&text);
        let file = std::fs::read_to_string(&path).expect("it was saved");
        // One deposit, the smallest that the bug takes, and one loss.
        assert!(file.contains("input = \"[100]\""), "{file}\n{text}");
        assert_eq!(file.matches("[[perturbation]]").count(), 1, "{file}");
        assert!(file.contains("the answer to call 1") && file.contains("is lost"), "{file}");
        assert!(file.contains("minimal = \"pairs\""), "{file}");
        assert!(text.contains("input: [\n    100,\n]"), "{text}");
        assert!(text.contains("shrunk: ") && text.contains("100 was deposited twice"), "{text}");

        let replayed = path.to_str().expect("UTF-8");
        let (passed, text) = child(directory.path(), "child_deposits", &[("SQUALL_REPLAY", replayed)]);
        assert!(
            !passed && text.contains("same: deposited-once fails, and the run is the one that was saved"),
            "{text}"
        );
        // proptest's own file isn't there.
        assert_eq!(std::fs::read_dir(directory.path()).expect("a directory").count(), 0);
        // Kept, it runs first.
        let kept = directory.path().join("squall-regressions").join("child_deposits");
        std::fs::create_dir_all(&kept).expect("a directory");
        std::fs::copy(&path, kept.join("kept.toml")).expect("a copy");
        let (passed, text) = child(directory.path(), "child_deposits", &[("PROPTEST_CASES", "1")]);
        assert!(!passed && text.contains("kept.toml: same"), "{text}");
        // Another input, written by hand.
        let edited = file.replace("input = \"[100]\"", "input = \"[99]\"");
        std::fs::write(kept.join("kept.toml"), edited).expect("a file");
        let edited = kept.join("kept.toml").display().to_string();
        let (passed, text) = child(directory.path(), "child_deposits", &[("SQUALL_REPLAY", &edited)]);
        assert!(passed && text.contains("gone: deposited-once doesn't fail any more"), "{text}");
        for (input, expected) in [("input = \"[true]\"", "can't be read"), ("", "carries no input")] {
            std::fs::write(&edited, file.replace("input = \"[100]\"", input)).expect("a file");
            let (passed, text) = child(directory.path(), "child_deposits", &[("SQUALL_REPLAY", &edited)]);
            assert!(!passed && text.contains(expected), "{text}");
        }
        std::fs::remove_dir_all(directory.path().join("squall-regressions")).expect("it was there");
    }
}

#[test]
fn without_shrinking_the_case_is_saved_as_it_was_found() {
    let directory = tempfile::tempdir().expect("a directory");
    let variables = [("PROPTEST_RNG_SEED", "1"), ("SQUALL_SHRINK", "0")];
    let (passed, text) = child(directory.path(), "child_deposits", &variables);
    assert!(!passed && !text.contains("shrunk: "), "{text}");
    let path = saved_file(&text);
    let replayed = path.to_str().expect("UTF-8");
    let (passed, text) = child(directory.path(), "child_deposits", &[("SQUALL_REPLAY", replayed)]);
    assert!(!passed && text.contains("same: deposited-once fails"), "{text}");
}

#[test]
fn the_number_of_cases_is_proptest_s() {
    let directory = tempfile::tempdir().expect("a directory");
    // The first is run twice, with another in between.
    for (cases, worlds) in [("1", "worlds: 5\n"), ("40", "worlds: 122\n")] {
        let (passed, text) = child(directory.path(), "child_counts_cases", &[("PROPTEST_CASES", cases)]);
        assert!(passed && text.contains(worlds), "{text}");
    }
    let (passed, text) = child(directory.path(), "child_counts_cases", &[("PROPTEST_CASES", "0")]);
    assert!(!passed && text.contains("has no case to run"), "{text}");
    let (_, text) = child(directory.path(), "child_counts_cases", &[]);
    // Three seeds each of the hundredth and the two-hundredth are run again.
    assert!(text.contains("worlds: 776\n"), "proptest's own number, 256: {text}");
}

/// A saved failure is the very run that was found, for inputs of all kinds; and what JSON can't hold isn't lost.
#[test]
fn an_input_comes_back_as_it_was() {
    let directory = tempfile::tempdir().expect("a directory");
    let saved = |test: &str, rng_seed: &str| {
        let variables = [("PROPTEST_RNG_SEED", rng_seed), ("SQUALL_SHRINK", "0")];
        let (passed, text) = child(directory.path(), test, &variables);
        assert!(!passed && !text.contains("doesn't repeat the run"), "{text}");
        text
    };
    for (test, rng_seeds) in [("child_floats", 30), ("child_std_map", 2)] {
        for rng_seed in 0..rng_seeds {
            let path = saved_file(&saved(test, &rng_seed.to_string())).display().to_string();
            let (passed, text) = child(directory.path(), test, &[("SQUALL_REPLAY", &path)]);
            assert!(!passed && text.contains("same: panic fails"), "{text}");
            let told = std::fs::read_to_string(&path).expect("it was saved");
            let told = told.lines().find(|line| line.starts_with("message = ")).expect("a message").to_string();
            let panicked = told.split("panicked: ").nth(1).and_then(|said| said.split(", at ").next()).expect("a text");
            assert!(text.contains(panicked), "{panicked}\n{text}");
        }
    }
    for (test, why, input) in [
        ("child_nan", "(it can't be saved: the input can't be read again from JSON, null: ", "input: NaN"),
        (
            "child_no_number",
            "(it can't be saved: the input isn't the same when it is read again from JSON, null)",
            "NaN",
        ),
        ("child_odd_keys", "(it can't be saved: the input can't be written as JSON: key must be a string)", "input: {"),
    ] {
        for shrink in ["0", "1"] {
            let variables = [("PROPTEST_RNG_SEED", "1"), ("SQUALL_SHRINK", shrink)];
            let (passed, text) = child(directory.path(), test, &variables);
            assert!(!passed && text.contains(why) && text.contains(input), "{text}");
            assert!(text.contains("property panic failed with") && text.contains("case 1 of 256, seed 0x"), "{text}");
        }
    }
}

#[test]
fn an_input_whose_world_can_not_be_described_is_told_and_shrunk() {
    let directory = tempfile::tempdir().expect("a directory");
    let (passed, text) = child(directory.path(), "child_indescribable", &[("PROPTEST_RNG_SEED", "1")]);
    assert!(!passed && text.contains("input: 100\n"), "the smallest: {text}");
    assert!(text.contains("can't be run: its world can't be described\n") && text.contains("are too many"), "{text}");
    assert!(text.contains(" of 256, seed 0x"), "{text}");
}

#[test]
fn a_case_that_does_not_repeat_itself_is_told() {
    let directory = tempfile::tempdir().expect("a directory");
    for (test, case) in [
        ("child_forgetful", "case 1 of"),
        ("child_forgetful_later", "case 100 of"),
        ("child_failing_once", "case 19 of"),
    ] {
        let (passed, text) = child(directory.path(), test, &[("PROPTEST_RNG_SEED", "1")]);
        assert!(!passed && text.contains("does not repeat itself"), "{text}");
        assert!(text.contains(case) && text.contains("second run") && text.contains("input: "), "{text}");
    }
}

/// Each has files of its own, in the order in which they come.
#[test]
fn two_checks_in_one_test_do_not_meet() {
    let directory = tempfile::tempdir().expect("a directory");
    let (passed, text) = child(directory.path(), "child_two_checks", &[]);
    assert!(!passed && text.contains("the first"), "{text}");
    let first = saved_file(&text);
    let (passed, text) = child(directory.path(), "child_two_checks", &[("SQUALL_PROPTEST_MENDED", "1")]);
    assert!(!passed && text.contains("the second"), "{text}");
    let second = saved_file(&text);
    for (file, name) in [(&first, "child_two_checks"), (&second, "child_two_checks.2")] {
        assert_eq!(file.parent().and_then(Path::file_name), Some(name.as_ref()));
        let kept = directory.path().join("squall-regressions").join(name);
        std::fs::create_dir_all(&kept).expect("a directory");
        std::fs::copy(file, kept.join("kept.toml")).expect("a copy");
    }
    let mended = [("SQUALL_PROPTEST_MENDED", "1")];
    let (passed, text) = child(directory.path(), "child_two_checks", &mended);
    assert!(!passed && text.contains("child_two_checks/kept.toml: gone"), "{text}");
    assert!(text.contains("child_two_checks.2/kept.toml: same"), "{text}");
    let second = second.display().to_string();
    let (passed, text) = child(directory.path(), "child_two_checks", &[mended[0], ("SQUALL_REPLAY", &second)]);
    assert!(!passed && text.contains("same: panic fails") && text.contains("the second"), "{text}");
}

#[test]
fn an_unknown_case_can_be_run_again() {
    let directory = tempfile::tempdir().expect("a directory");
    let (passed, text) = child(directory.path(), "child_unknown", &[]);
    assert!(!passed && text.contains("Unknown is no pass") && text.contains("input: "), "{text}");
    let path = saved_file(&text).display().to_string();
    let (passed, text) = child(directory.path(), "child_unknown", &[("SQUALL_REPLAY", &path)]);
    assert!(
        !passed && text.contains("same: nobody knows what the run comes to, and it is the one that was saved"),
        "{text}"
    );
}

#[test]
fn a_path_with_a_space_can_be_pasted() {
    let directory = tempfile::tempdir().expect("a directory");
    // Where the program isn't below a target directory.
    let program = directory.path().join("a program");
    std::fs::copy(std::env::current_exe().expect("the test's path"), &program).expect("a copy");
    let temporary = directory.path().join("a place");
    std::fs::create_dir(&temporary).expect("a directory");
    let mut command = Command::new(&program);
    command.args(["child_deposits", "--exact"]).env(CHILD, "1").env("TMPDIR", &temporary).current_dir(directory.path());
    let output = command.env("PROPTEST_RNG_SEED", "1").env_remove("SQUALL_REPLAY").output().expect("it starts");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let expected = format!("SQUALL_REPLAY='{}/squall/child_deposits/", temporary.display());
    assert!(text.contains(&expected) && text.contains(".toml' cargo test "), "{text}");
}

#[test]
fn a_world_that_holds_passes() {
    let config = Config { cases: 20, ..Config::default() };
    // Small deposits can be asked for again.
    Check::new(prop::collection::vec(0..100u64, 1..5)).config(config).run(|world, deposits| bank(world, deposits));
}

proptest! {
    #![proptest_config(Config { cases: 64, failure_persistence: None, ..Config::default() })]

    /// As strategies of an ordinary property test: any weather, any plan, and the same run twice.
    #[test]
    fn strategies_serve_in_any_property_test(
        weather in link_weather(),
        clients in workloads(1..=3, 0..6, 0..50u64),
        plan in plans("strategies"),
    ) {
        let simulation = Simulation::new({
            let clients = clients.clone();
            move |world: &mut World| {
                world.node("server", || async {
                    let endpoint = Endpoint::bind("0.0.0.0:80").await?;
                    endpoint.add_rpc_handler(|_: Deposit| async {});
                    std::future::pending::<std::io::Result<()>>().await
                });
                for (index, deposits) in clients.iter().enumerate() {
                    let deposits = deposits.clone();
                    world.client(format!("client-{index}"), move || {
                        let deposits = deposits.clone();
                        async move {
                            let endpoint = Endpoint::bind("0.0.0.0:0").await?;
                            for amount in deposits {
                                while endpoint.call_timeout("server:80", Deposit { amount }, 300.ms()).await.is_err() {}
                            }
                            Ok::<_, std::io::Error>(())
                        }
                    });
                }
                weather.apply(&mut world.network());
            }
        });
        let (first, second) = (simulation.run_plan(&plan, Record::Perturbations), simulation.run_plan(&plan, Record::Digest));
        prop_assert_eq!(first.digest, second.digest);
        prop_assert_eq!(&first.verdict, &Verdict::Pass);
        for perturbation in &first.perturbations {
            let kind = perturbation.site.kind;
            prop_assert!(plan.bases.get(kind) == squall::trace::Base::Drawn, "{:?} is calm", kind);
            if kind == SiteKind::Latency {
                let ns = std::time::Duration::from_nanos(perturbation.value);
                prop_assert!(weather.latency_min <= ns && ns <= weather.latency_max);
            }
        }
        let text = serde_json::to_string(&weather).unwrap();
        prop_assert_eq!(serde_json::from_str::<LinkWeather>(&text).unwrap(), weather);
    }
}
