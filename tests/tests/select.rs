//! `squall::select!`, `join!` and `try_join!`: as tokio's, but which branch is polled first is a decision with an address.

use std::collections::BTreeSet;
use std::future::{IntoFuture, Ready};
use std::time::Duration;

use squall::time::sleep;
use squall::trace::{EventKind, Outcome, Plan, Record, Seed, SiteKind, Verdict};
use squall::{Simulation, TokioNode, World};
use tokio::sync::mpsc;

fn run(plan: &Plan, build: fn(&mut World)) -> Outcome {
    Simulation::new(build).run_plan(plan, Record::Full)
}

fn plan(seed: u64) -> Plan {
    Plan::seeded("select", Seed(seed))
}

fn published(outcome: &Outcome) -> Vec<String> {
    let events = &outcome.trace.as_ref().unwrap().events;
    let values = events.iter().filter_map(|event| match &event.kind {
        EventKind::Publish { value, .. } => Some(value.to_string()),
        _ => None,
    });
    values.collect()
}

async fn ready<T>(value: T) -> T {
    value
}

/// Becomes a future.
struct Later(u32);

impl IntoFuture for Later {
    type Output = u32;
    type IntoFuture = Ready<u32>;

    fn into_future(self) -> Ready<u32> {
        std::future::ready(self.0)
    }
}

struct LaterOk(u32);

impl IntoFuture for LaterOk {
    type Output = Result<u32, ()>;
    type IntoFuture = Ready<Result<u32, ()>>;

    fn into_future(self) -> Self::IntoFuture {
        std::future::ready(Ok(self.0))
    }
}

/// Each body twice: with tokio's macros and with Squall's. Where several branches are ready it is biased, so that both must do the same.
macro_rules! bodies {
    ($module:ident, $select:path, $join:path, $try_join:path) => {
        mod $module {
            use $join as join;
            use $select as select;
            use $try_join as try_join;

            use super::*;

            pub async fn run() -> Vec<String> {
                let mut seen = Vec::new();
                let mut note = |what: &dyn std::fmt::Debug| seen.push(format!("{what:?}"));
                // The first that is ready; what it binds.
                let (sender, mut receiver) = mpsc::channel(4);
                sender.send(7).await.unwrap();
                let value = select! {
                    Some(value) = receiver.recv() => value,
                    () = std::future::pending() => 0,
                };
                note(&value);
                // An output that doesn't fit its pattern disables its branch; the others go on.
                let other = select! {
                    biased;
                    Some(value) = ready(None::<u32>) => value,
                    value = async { tokio::task::yield_now().await; 5 } => value,
                };
                note(&other);
                // Nothing is left.
                let nothing = select! {
                    Some(value) = ready(None::<u32>) => value,
                    else => 9,
                };
                note(&nothing);
                // Conditions are asked, and the future of a disabled branch is made all the same.
                let mut made = 0;
                let chosen = select! {
                    biased;
                    value = { made += 1; ready("one") }, if false => value,
                    value = { made += 1; ready("two") }, if 1 + 1 == 2 => value,
                };
                note(&(chosen, made));
                // Handlers may use what the futures borrowed, and leave the loop that they are in.
                let mut rounds = 0;
                drop(sender);
                loop {
                    rounds += 1;
                    select! {
                        received = receiver.recv() => match received {
                            Some(_) => continue,
                            None => { receiver.close(); break }
                        }
                    }
                }
                note(&rounds);
                // Patterns of all kinds.
                let (mut sum, text) = select! {
                    (mut number, ref text) = ready((1u32, "x".to_string())) => { number += 1; (number, text.clone()) }
                };
                sum += 1;
                note(&(sum, text));
                let changed = select! {
                    (number, ref mut text) = ready((1u32, "x".to_string())) => { text.push('y'); (number, text.clone()) }
                };
                note(&changed);
                let alternative = select! {
                    Ok(value) | Err(value) = ready(Err::<u32, u32>(3)) => value,
                };
                note(&alternative);
                // A future that is kept over several rounds.
                let mut ticks = 0;
                let mut slow = std::pin::pin!(async {
                    for _ in 0..5 {
                        tokio::task::yield_now().await;
                    }
                    "done"
                });
                let done = loop {
                    select! {
                        biased;
                        done = &mut slow => break done,
                        () = tokio::task::yield_now() => ticks += 1,
                    }
                };
                note(&(done, ticks > 0));
                // All of several.
                let (one, two, three) = join!(
                    ready(1),
                    async {
                        tokio::task::yield_now().await;
                        "two"
                    },
                    ready(3.5)
                );
                note(&(one, two, three));
                let tried: Result<(u32, &str), String> = try_join!(async { Ok(1) }, async { Ok("two") });
                note(&tried);
                let failed: Result<(u32, u32), String> = try_join!(
                    async {
                        std::future::pending::<()>().await;
                        Ok(1)
                    },
                    async { Err("no".to_string()) }
                );
                note(&failed);
                // Whoever is ready is gone, with all that it owned, while the others go on.
                let (sender, mut receiver) = mpsc::channel::<u32>(1);
                let mut sends = false;
                let owner = std::future::poll_fn(move |_| {
                    sends |= sender.try_send(1).is_ok();
                    std::task::Poll::Ready(sends)
                });
                let all = async {
                    let mut received = 0;
                    while receiver.recv().await.is_some() {
                        received += 1;
                    }
                    received
                };
                let ended = tokio::time::timeout(Duration::from_millis(5), async { join!(owner, all) }).await;
                note(&ended.is_ok());
                let (sender, mut receiver) = mpsc::channel::<u32>(1);
                let owner = std::future::poll_fn(move |_| std::task::Poll::Ready(Ok::<_, ()>(sender.is_closed())));
                let all = async { Ok(receiver.recv().await) };
                let ended = tokio::time::timeout(Duration::from_millis(5), async { try_join!(owner, all) }).await;
                note(&ended);
                // What becomes a future is one.
                note(&select! { biased; value = Later(4) => value, () = std::future::pending() => 0 });
                // What is borrowed there lives as long as it is waited for.
                note(&select! { biased; () = &mut Box::pin(std::future::pending()) => 0, value = &mut Box::pin(ready(6)) => value });
                note(&join!(Later(1), ready(2)));
                let tried: Result<(u32, u32), ()> = try_join!(async { Ok(3) }, LaterOk(4));
                note(&tried);
                seen
            }
        }
    };
}

bodies!(of_tokio, tokio::select, tokio::join, tokio::try_join);
bodies!(of_squall, squall::select, squall::join, squall::try_join);

#[test]
fn both_do_the_same() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let expected = runtime.block_on(of_tokio::run());
    assert_eq!(expected.len(), 18);
    assert_eq!(runtime.block_on(of_squall::run()), expected, "outside of a run");
    for seed in 0..20 {
        let outcome = run(&plan(seed), |world| {
            world.client("client", || async { squall::publish("seen", of_squall::run().await) }).tokio();
        });
        assert_eq!(outcome.verdict, Verdict::Pass);
        assert_eq!(published(&outcome), [serde_json::to_string(&expected).unwrap()], "seed {seed}");
    }
}

fn two_are_ready(world: &mut World) {
    world.client("client", || async {
        for _ in 0..3 {
            let first = squall::select! {
                name = ready("left") => name,
                name = ready("middle") => name,
                name = ready("right") => name,
            };
            squall::publish("first", first);
            sleep(Duration::from_millis(1)).await;
        }
    });
}

#[test]
fn the_choice_is_a_decision_with_an_address() {
    let mut orders = BTreeSet::new();
    for seed in 0..60 {
        let outcome = run(&plan(seed), two_are_ready);
        let order = published(&outcome);
        let choices: Vec<_> = outcome.perturbations.iter().filter(|one| one.site.kind == SiteKind::Choice).collect();
        let otherwise = order.iter().filter(|first| *first != "\"left\"").count();
        assert_eq!(choices.len(), otherwise, "seed {seed}: what isn't the first is recorded");
        let again = run(&plan(seed).only(&outcome.perturbations), two_are_ready);
        assert_eq!(again.digest, outcome.digest, "seed {seed}");
        // Each alone is another run, in which it alone is so.
        for choice in &choices {
            let alone = run(&plan(seed).only(&[**choice]), two_are_ready);
            let order_alone = published(&alone);
            for (place, first) in order_alone.iter().enumerate() {
                let expected = if choice.site.number == place as u64 + 1 { &order[place] } else { "\"left\"" };
                assert_eq!(first, expected);
            }
            assert_eq!(alone.unused_overrides, []);
            let sentence = choice.sentence(&outcome.names);
            assert!(sentence.starts_with("select! at tests/tests/select.rs:"), "{sentence}");
            assert!(sentence.contains(" in client") && sentence.contains(" first"), "{sentence}");
        }
        orders.insert(order);
    }
    assert_eq!(published(&run(&plan(1).only(&[]), two_are_ready)), ["\"left\""; 3], "calm, the first as it is written");
    assert!(orders.len() > 20, "all 27 are equally likely: {}", orders.len());
}

fn chosen_here(world: &mut World) {
    mod place {
        include!("select/here.rs");
    }
    world.client("client", || async { squall::publish("first", place::chosen().await) });
}

fn chosen_there(world: &mut World) {
    mod place {
        include!("select/there.rs");
    }
    world.client("client", || async { squall::publish("first", place::chosen().await) });
}

fn chosen_in_another_module(world: &mut World) {
    mod other_place {
        include!("select/here.rs");
    }
    world.client("client", || async { squall::publish("first", other_place::chosen().await) });
}

/// So a saved failure is found again where the sources lie elsewhere.
#[test]
fn a_choice_is_known_by_its_module_and_not_by_its_file() {
    let sites = |build: fn(&mut World)| {
        let of_seed = |seed| run(&plan(seed), build).perturbations.first().map(|choice| choice.site);
        (0..20).filter_map(of_seed).collect::<Vec<_>>()
    };
    let here = sites(chosen_here);
    assert!(here.len() > 3, "half of them take the right one: {}", here.len());
    assert!(here.iter().all(|site| *site == here[0]));
    assert_eq!(here, sites(chosen_there), "the file has another name");
    assert_ne!(here[0], sites(chosen_in_another_module)[0], "it is the same line of the same file");
}

fn joined(world: &mut World) {
    world.client("client", || async {
        squall::join!(async { squall::publish("polled", "one") }, async { squall::publish("polled", "two") }, async {
            squall::publish("polled", "three")
        },);
    });
}

#[test]
fn who_is_polled_first_in_a_join_is_a_decision_too() {
    let orders: BTreeSet<Vec<String>> = (0..40).map(|seed| published(&run(&plan(seed), joined))).collect();
    let firsts: BTreeSet<String> = orders.iter().map(|order| order[0].clone()).collect();
    assert_eq!(firsts.len(), 3, "{orders:?}");
    assert_eq!(published(&run(&plan(1).only(&[]), joined)), ["\"one\"", "\"two\"", "\"three\""]);
}

#[test]
fn outside_of_a_run_it_is_drawn() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let firsts: BTreeSet<&str> = runtime.block_on(async {
        let mut firsts = BTreeSet::new();
        for _ in 0..200 {
            firsts.insert(squall::select! { name = ready("one") => name, name = ready("two") => name });
        }
        firsts
    });
    assert_eq!(firsts.len(), 2);
}

#[test]
#[should_panic(expected = "all branches of a select! are disabled, and it has no else branch")]
fn nothing_is_left_and_nothing_is_said_of_that() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        squall::select! { () = ready(()), if false => {} }
    });
}
