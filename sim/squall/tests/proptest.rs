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
    for (cases, worlds) in [("1", "worlds: 3\n"), ("40", "worlds: 120\n")] {
        let (passed, text) = child(directory.path(), "child_counts_cases", &[("PROPTEST_CASES", cases)]);
        assert!(passed && text.contains(worlds), "{text}");
    }
    let (passed, text) = child(directory.path(), "child_counts_cases", &[("PROPTEST_CASES", "0")]);
    assert!(!passed && text.contains("has no case to run"), "{text}");
    let (_, text) = child(directory.path(), "child_counts_cases", &[]);
    assert!(text.contains("worlds: 768\n"), "proptest's own number: {text}");
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
