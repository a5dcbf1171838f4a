//! The end of the storm: what stops, whom it is for, and what is demanded then.

use std::time::Duration;

use squall::net::Endpoint;
use squall::prelude::*;
use squall::time::sleep;
use squall::trace::event::LossReason;
use squall::trace::target::{Unreached, UnreachedFault};
use squall::trace::{EndReason, EventKind, EventMask, Outcome, Plan, Record, Seed, Verdict};
use squall::{Simulation, World};

const HEAL_NS: u64 = 1_000_000_000;

#[derive(serde::Serialize, serde::Deserialize, squall::Request)]
#[rtype(u32)]
struct Ping(u32);

fn run(world: impl Fn(&mut World) + Send + Sync + 'static, seed: u64) -> Outcome {
    Simulation::new(world).run_plan(&Plan::seeded("heal", Seed(seed)), Record::Full)
}

#[track_caller]
fn progress(outcome: &Outcome) -> &str {
    match &outcome.verdict {
        Verdict::Fail(failure) if failure.property == "progress" => &failure.message,
        other => panic!("{other:?}"),
    }
}

async fn echo() -> std::io::Result<()> {
    let endpoint = Endpoint::bind("0.0.0.0:80").await?;
    let mut buffer = [0; 16];
    loop {
        let (length, from) = endpoint.recv_from(1, &mut buffer).await?;
        endpoint.send_to(from, 2, &buffer[..length]).await?;
    }
}

/// Sends to `to` every 10 ms and publishes what comes back, up to a time.
async fn chatter(to: &'static str, until: Duration) -> std::io::Result<()> {
    let endpoint = Endpoint::bind("0.0.0.0:0").await?;
    let begun = squall::time::Instant::now();
    let mut buffer = [0; 16];
    while begun.elapsed() < until {
        endpoint.send_to(to, 1, b"ping").await?;
        let _ = squall::time::timeout(10.ms(), endpoint.recv_from(2, &mut buffer)).await;
        sleep(10.ms()).await;
    }
    Ok(())
}

fn stormy(world: &mut World) {
    world.node("server", echo);
    world.clients("client", 2, |_| chatter("server:80", 2.secs()));
    world.network().latency(uniform(1.ms(), 9.ms())).loss(percent(30)).duplicate(percent(20));
}

#[test]
fn the_weather_is_calm_from_then_on() {
    let world = |world: &mut World| {
        stormy(world);
        world.heal(1.secs());
    };
    for seed in 0..20 {
        let outcome = run(world, seed);
        assert_eq!(outcome.verdict, Verdict::Pass);
        assert!(outcome.perturbations.iter().any(|decision| decision.at_ns > HEAL_NS * 8 / 10));
        let late: Vec<_> = outcome.perturbations.iter().filter(|decision| decision.at_ns >= HEAL_NS).collect();
        assert!(late.is_empty(), "{late:?}");
        let trace = outcome.trace.as_ref().unwrap();
        let heals = trace.events.iter().filter(|event| matches!(event.kind, EventKind::Heal { .. }));
        assert_eq!(heals.map(|event| event.at_ns).collect::<Vec<_>>(), [HEAL_NS]);
        let lost =
            |event: &&squall::trace::OwnedEvent| matches!(event.kind, EventKind::Lose { reason: LossReason::Loss, .. });
        let lost = trace.events.iter().filter(lost);
        assert!(lost.clone().any(|event| event.at_ns > HEAL_NS / 2));
        assert!(lost.clone().all(|event| event.at_ns < HEAL_NS));
        // From its perturbations alone it is the same run.
        let plan = Plan::seeded("heal", Seed(seed)).only(&outcome.perturbations);
        let again = Simulation::new(world).run_plan(&plan, Record::Digest);
        assert_eq!((again.digest, again.unused_overrides), (outcome.digest, vec![]));
    }
    // Without the heal it goes on.
    let outcome = run(stormy, 1);
    assert!(outcome.perturbations.iter().any(|decision| decision.at_ns > HEAL_NS * 3 / 2));
}

fn events(outcome: &Outcome, is_it: impl Fn(&EventKind<'_>) -> bool) -> Vec<(u64, String)> {
    let trace = outcome.trace.as_ref().unwrap();
    let found = trace.events.iter().filter(|event| is_it(&event.kind));
    found.map(|event| (event.at_ns / 1_000_000, outcome.names.node(event.node).to_string())).collect()
}

#[test]
fn who_is_down_starts_again_and_who_is_cut_off_is_reached() {
    let outcome = run(
        |world| {
            stormy(world);
            world.fault(crash("server").at(200.ms()));
            // One that would start again later does so now, and once.
            world.fault(crash("client-0").at(300.ms()).restart_after(5.secs()));
            world.fault(partition([["server"], ["client-1"]]).at(100.ms()));
            world.fault(crash("client-1").at(1_500.ms()));
            world.heal(1.secs());
        },
        1,
    );
    assert_eq!(outcome.verdict, Verdict::Pass);
    let boots = events(&outcome, |kind| matches!(kind, EventKind::Boot { boot: 1.. }));
    assert_eq!(boots, [(1_000, "server".to_string()), (1_000, "client-0".to_string())]);
    let stopped = |kind: &EventKind<'_>| {
        let reasons = [LossReason::PartitionOnSending, LossReason::PartitionOnArrival, LossReason::NodeDown];
        matches!(kind, EventKind::Lose { reason, .. } if reasons.contains(reason))
    };
    let stopped = events(&outcome, stopped);
    assert!(stopped.iter().any(|(at, _)| *at > 900) && stopped.iter().all(|(at, _)| *at < 1_010), "{stopped:?}");
    // What the script has for later doesn't happen any more, and that is told.
    let told = UnreachedFault { fault: "the crash of client-1 at 1.5 s".to_string(), why: Unreached::Healed };
    assert_eq!(outcome.unreached_faults, [told]);
}

/// The heal ends pauses as well; whom it leaves out stands still for good, and nobody waits for it.
#[test]
fn who_stands_still_goes_on() {
    let world = |core: bool| {
        run(
            move |world| {
                for name in ["in", "out"] {
                    world.client(name, move || async move {
                        sleep(2.secs()).await;
                        squall::publish("through", name);
                    });
                }
                world.fault(squall::pause("*").at(1.secs()).lasts(20.secs()));
                let heal = world.heal(5.secs());
                match core {
                    true => heal.core(["in"]).progress_within(1.secs()),
                    false => heal.progress_within(1.secs()),
                };
            },
            1,
        )
    };
    for (core, through) in [(false, 2), (true, 1)] {
        let outcome = world(core);
        assert_eq!(outcome.verdict, Verdict::Pass, "{core}");
        assert_eq!(outcome.ending.at_ns, 5 * HEAL_NS, "{core}");
        let published = events(&outcome, |kind| matches!(kind, EventKind::Publish { .. }));
        assert_eq!(published.len(), through);
        assert!(published.iter().all(|(at_ms, _)| *at_ms == 5_000));
    }
}

#[test]
fn a_client_that_is_through_does_not_start_again() {
    let outcome = run(
        |world| {
            stormy(world);
            world.client("early", || sleep(50.ms()));
            world.fault(crash("early").at(500.ms()));
            world.heal(1.secs());
        },
        1,
    );
    assert_eq!(outcome.verdict, Verdict::Pass);
    assert_eq!(events(&outcome, |kind| matches!(kind, EventKind::Boot { boot: 1.. })), []);
}

#[test]
fn control_tasks_make_nothing_go_wrong_any_more() {
    let outcome = run(
        |world| {
            stormy(world);
            world.control(|cluster| async move {
                assert!(cluster.crash("server"));
                assert!(cluster.partition(&[&["client-0"], &["client-1"]]));
                sleep(1_200.ms()).await;
                assert!(cluster.is_up("server"), "it was started by the heal");
                assert!(!cluster.crash("server") && !cluster.partition(&[&["client-0"], &["client-1"]]));
                assert!(!cluster.restart("server"), "it is up");
                squall::publish("tried", ());
            });
            world.heal(1.secs());
            world.check(always("tried", ()).on("tried", |_, (): ()| Ok(())));
        },
        1,
    );
    assert_eq!(outcome.verdict, Verdict::Pass);
}

#[test]
fn a_core_is_healed_and_the_others_stay_as_they_are() {
    let world = |world: &mut World| {
        world.nodes("server", 3, |_| echo());
        world.client("client-in", || chatter("server-0:80", 2.secs()));
        world.client("client-out", || chatter("server-0:80", 20.secs()));
        world.client("client-cut", || chatter("server-2:80", 2.secs()));
        world.network().latency(uniform(1.ms(), 9.ms())).loss(percent(30));
        world.fault(crash("server-*").at(100.ms()).restart_after(3.secs()));
        world.fault(partition([vec!["server-2"], vec!["client-*", "server-0"]]).at(100.ms()).lasts(1.secs()));
        world.heal(1.secs()).core(["server-0", "server-2", "client-in", "client-cut"]).progress_within(2.secs());
    };
    for seed in 0..10 {
        let outcome = run(world, seed);
        assert_eq!(outcome.verdict, Verdict::Pass, "client-out isn't waited for");
        assert_eq!(outcome.ending.reason, EndReason::ClientsDown);
        // server-1 stays down, though it was to start again.
        let boots = events(&outcome, |kind| matches!(kind, EventKind::Boot { boot: 1.. }));
        assert_eq!(boots, [(1_000, "server-0".to_string()), (1_000, "server-2".to_string())]);
        let trace = outcome.trace.as_ref().unwrap();
        let between = |flow| {
            let info = &outcome.names.flows[flow];
            (outcome.names.node(info.from).to_string(), outcome.names.node(info.to).to_string())
        };
        let mut lost_outside = 0;
        for event in trace.events.iter().filter(|event| event.at_ns >= HEAL_NS) {
            // Who is through listens no more.
            if let EventKind::Lose { flow, reason, .. } = &event.kind
                && *reason != LossReason::NoListener
            {
                let (from, to) = between(flow);
                assert!(from == "client-out" || to == "client-out", "{from} -> {to}: {reason}");
                lost_outside += u32::from(*reason == LossReason::Loss);
            }
        }
        assert!(lost_outside > 5, "the others' links keep their weather: {lost_outside}");
        let late = outcome.perturbations.iter().filter(|decision| decision.at_ns >= HEAL_NS);
        for decision in late {
            let (from, to) = between(&decision.site.flow);
            assert!(from == "client-out" || to == "client-out", "{from} -> {to}: {decision:?}");
        }
    }
    // Whom the heal leaves out stays cut off, also where the partition was to end.
    let outcome = run(
        |world| {
            world.node("server", echo);
            world.client("client-in", || chatter("server:80", 3.secs()));
            world.node("out", || chatter("server:80", 3.secs()));
            world.fault(partition([vec!["server", "client-in"], vec!["out"]]).at(100.ms()).lasts(1.secs()));
            world.control(|cluster| async move {
                sleep(1_500.ms()).await;
                cluster.heal();
                assert!(!cluster.restart("out"), "it is up");
            });
            world.heal(1.secs()).core(["server", "client-*"]);
        },
        1,
    );
    let stopped =
        events(&outcome, |kind| matches!(kind, EventKind::Lose { reason: LossReason::PartitionOnSending, .. }));
    assert!(stopped.iter().all(|(_, node)| node == "out") && stopped.iter().any(|(at, _)| *at > 2_900), "{stopped:?}");
}

/// Says no for a minute, and yes from then on.
async fn grants_after_a_minute() -> std::io::Result<()> {
    let endpoint = Endpoint::bind("0.0.0.0:80").await?;
    let until = squall::time::Instant::now() + 60.secs();
    loop {
        let (_, from) = endpoint.recv_from(1, &mut [0; 16]).await?;
        let grants = squall::time::Instant::now() >= until;
        endpoint.send_to(from, 2, &[u8::from(grants)]).await?;
    }
}

/// Returns after that time.
fn takes(time: Duration) -> impl Fn(&mut World) + Send + Sync + 'static {
    move |world| {
        world.client("client", move || sleep(time));
        world.heal(1.secs()).progress_within(2.secs());
    }
}

#[test]
fn at_the_bound_is_in_time() {
    assert_eq!(run(takes(3.secs()), 1).verdict, Verdict::Pass);
    let late = run(takes(3.secs() + Duration::from_nanos(1)), 1);
    let message = progress(&late);
    assert!(message.starts_with("no progress within 2 s of the heal at 1 s: clients still wait\n"), "{message}");
    assert!(
        message.contains("\nThe run's states don't repeat themselves: no livelock is proved.\nWaiting:\n  client "),
        "{message}"
    );
    let Verdict::Fail(failure) = &late.verdict else { panic!() };
    assert_eq!((failure.at_ns, late.ending.at_ns), (3 * HEAL_NS, 3 * HEAL_NS));
    // Before the heal it isn't asked.
    assert_eq!(run(takes(500.ms()), 1).verdict, Verdict::Pass);
}

#[test]
fn whom_the_heal_leaves_out_is_not_told_as_waiting() {
    let outcome = run(
        |world| {
            world.client("in", || sleep(20.secs()));
            world.client("out", || sleep(20.secs()));
            world.client("out-and-down", || sleep(20.secs()));
            world.node("server-out", echo);
            world.fault(crash("out-and-down").at(500.ms()));
            world.heal(1.secs()).core(["in"]).progress_within(2.secs());
        },
        1,
    );
    let message = progress(&outcome);
    assert!(message.ends_with("\nWaiting:\n  in on client in (the node's root) has waited 3 s"), "{message}");
}

#[test]
fn a_bound_beyond_the_end_is_no_pass() {
    let ends_at = |end: Duration, takes_time: Duration| {
        run(
            move |world| {
                takes(takes_time)(world);
                world.end_at(end);
            },
            1,
        )
        .verdict
    };
    let unknown = |verdict: Verdict| match verdict {
        Verdict::Unknown { message } => assert!(message.starts_with("progress: the run ended"), "{message}"),
        other => panic!("{other:?}"),
    };
    unknown(ends_at(2_999.ms(), 10.secs()));
    unknown(ends_at(500.ms(), 10.secs()));
    assert_eq!(ends_at(3.secs(), 10.secs()).property(), Some("progress"));
    assert_eq!(ends_at(10.secs(), 10.secs()).property(), Some("progress"));
    assert_eq!(ends_at(10.secs(), 2.secs()), Verdict::Pass);
    assert_eq!(ends_at(2_999.ms(), 2.secs()), Verdict::Pass);
    // A limit that comes first leaves it open as well.
    let limited = run(
        |world| {
            takes(10.secs())(world);
            world.limits().virtual_ns = 2 * HEAL_NS;
        },
        1,
    );
    assert!(matches!(limited.verdict, Verdict::Unknown { .. }), "{:?}", limited.verdict);
}

#[test]
fn a_deadlock_is_named_so() {
    let outcome = run(
        |world| {
            world.client("client", std::future::pending::<()>);
            world.heal(1.secs()).progress_within(2.secs());
        },
        1,
    );
    assert_eq!(outcome.verdict.property(), Some("deadlock"));
    let outcome = run(
        |world| {
            world.client("client", std::future::pending::<()>);
            world.heal(1.secs()).progress_within(2.secs());
            world.end_at(20.secs());
        },
        1,
    );
    progress(&outcome);
}

/// A client that is crashed before the heal and takes that long once it is started again, beside one that returns at once.
fn crashed_before(again_takes: Duration) -> impl Fn(&mut World) + Send + Sync + 'static {
    move |world| {
        world.client("crashed", move || async move {
            match squall::boot_number() {
                0 => std::future::pending().await,
                _ => sleep(again_takes).await,
            }
        });
        world.fault(crash("crashed").at(500.ms()));
        world.heal(1.secs()).progress_within(2.secs());
    }
}

#[test]
fn a_client_that_is_down_is_waited_for_up_to_the_heal() {
    for beside_another in [false, true] {
        let ends = move |again_takes: Duration| {
            run(
                move |world| {
                    crashed_before(again_takes)(world);
                    if beside_another {
                        world.client("early", || sleep(10.ms()));
                    }
                },
                1,
            )
        };
        let in_time = ends(2.secs());
        assert_eq!((&in_time.verdict, in_time.ending.at_ns), (&Verdict::Pass, 3 * HEAL_NS));
        assert_eq!(in_time.ending.reason, EndReason::ClientsReturned);
        let late = ends(2.secs() + Duration::from_nanos(1));
        assert!(progress(&late).contains("the heal at 1 s: clients still wait\n"), "{}", progress(&late));
    }
    // Whom the heal leaves out is down for good.
    let left_out = run(
        |world| {
            crashed_before(1.secs())(world);
            world.client("early", || sleep(600.ms()));
            world.heal(1.secs()).core(["early"]).progress_within(2.secs());
        },
        1,
    );
    assert_eq!((&left_out.verdict, left_out.ending.at_ns), (&Verdict::Pass, HEAL_NS * 6 / 10));
}

#[test]
fn a_client_that_is_down_after_the_heal_has_made_no_progress() {
    // It panics so long after each boot.
    let panics = |after: Duration, more: fn(&mut World)| {
        run(
            move |world| {
                world.client("early", || sleep(10.ms()));
                let falls = move || async move {
                    sleep(after).await;
                    panic!("its own fault");
                };
                world.client("falls", falls).on_panic(OnPanic::Crash);
                world.heal(1.secs()).progress_within(2.secs());
                more(world);
            },
            1,
        )
    };
    let never = |outcome: Outcome, at_ns: u64, said: &str| {
        assert_eq!((progress(&outcome), outcome.ending.at_ns), (said, at_ns));
    };
    let down = "no progress after the heal at 1 s: the client falls is down and never returned";
    never(panics(1_500.ms(), |_| ()), HEAL_NS * 3 / 2, down);
    // Started again by the heal, it falls once more.
    never(panics(500.ms(), |_| ()), HEAL_NS * 3 / 2, down);
    // The run goes on, and something might start it again up to the bound.
    let at_the_bound = "no progress within 2 s of the heal at 1 s: the client falls is down and never returned";
    never(panics(1_500.ms(), |world| world.end_at(20.secs())), 3 * HEAL_NS, at_the_bound);
    never(panics(1_500.ms(), |world| world.control(|_| std::future::pending::<()>())), 3 * HEAL_NS, at_the_bound);
    // Another one still waits.
    let both = panics(1_500.ms(), |world| {
        world.client("late", || sleep(9.secs()));
    });
    let waiting = "\nWaiting:\n  client falls is down, and never returned\n  late on client late (";
    assert!(progress(&both).contains(waiting), "{}", progress(&both));
    // The run ends before the bound.
    let open = panics(1_500.ms(), |world| world.end_at(2.secs()));
    assert!(matches!(open.verdict, Verdict::Unknown { .. }), "{:?}", open.verdict);
    // Without a demand there is nothing to be late for.
    let undemanded = panics(1_500.ms(), |world| {
        world.heal(1.secs());
    });
    assert_eq!(undemanded.verdict, Verdict::Pass);
}

/// A client that asks, does `then` with the round's number, and waits for as long as that says, for ever.
fn asking<F>(then: impl Fn(u64) -> F + Clone + Send + Sync + 'static) -> impl Fn(&mut World) + Send + Sync + 'static
where
    F: Future<Output = Duration> + 'static,
{
    move |world| {
        let then = then.clone();
        world.node("server", echo);
        world.client("client", move || {
            let then = then.clone();
            async move {
                let endpoint = Endpoint::bind("0.0.0.0:0").await.unwrap();
                let mut buffer = [0; 16];
                for round in 0.. {
                    endpoint.send_to("server:80", 1, b"ping").await.unwrap();
                    endpoint.recv_from(2, &mut buffer).await.unwrap();
                    sleep(then(round).await).await;
                }
            }
        });
        world.network().latency(fixed(5.ms()));
        world.heal(1.secs()).progress_within(4.secs());
    }
}

#[test]
fn a_state_that_comes_back_is_told_with_its_period() {
    let told = |outcome: Outcome, said: &str| {
        let message = progress(&outcome);
        assert!(message.contains("It is a livelock: since ") && message.contains(said), "{message}");
    };
    told(run(asking(|_| async { 300.ms() }), 1), " comes back every 310 ms (6 times so far)");
    // The same fact each time is the same state, and so is a task that is spawned each time.
    let spawning = asking(|_| async {
        squall::publish("asked", "again");
        squall::spawn(sleep(10.ms())).await.unwrap();
        300.ms()
    });
    told(run(spawning, 1), " comes back every 320 ms (5 times so far)");
    // Rounds that differ by turns come back after two.
    let by_turns = asking(|round| async move {
        squall::publish("even", round % 2 == 0);
        300.ms()
    });
    told(run(by_turns, 1), " comes back every 620 ms (3 times so far)");
}

#[test]
fn a_livelock_of_programs_that_read_their_clocks_is_told_with_that() {
    let told = |outcome: Outcome, reads_clocks: bool| {
        let message = progress(&outcome);
        let unless = ", unless what is waited for is a time that a node reads from its clock: since ";
        let said = if reads_clocks { unless } else { ": since " };
        assert!(message.contains(&format!("\nIt is a livelock{said}")), "{message}");
    };
    let alone = |client: fn() -> std::pin::Pin<Box<dyn Future<Output = ()>>>| {
        run(
            move |world| {
                world.client("client", client);
                world.heal(1.secs()).progress_within(5.secs());
            },
            1,
        )
    };
    told(
        alone(|| {
            Box::pin(async {
                let end = squall::time::Instant::now() + 60.secs();
                while squall::time::Instant::now() < end {
                    sleep(10.ms()).await;
                }
            })
        }),
        true,
    );
    told(
        alone(|| {
            Box::pin(async {
                let end = std::time::Instant::now() + 60.secs();
                while std::time::Instant::now() < end {
                    sleep(10.ms()).await;
                }
            })
        }),
        true,
    );
    told(
        alone(|| {
            Box::pin(async {
                let end = std::time::SystemTime::now() + 60.secs();
                while std::time::SystemTime::now() < end {
                    sleep(10.ms()).await;
                }
            })
        }),
        true,
    );
    told(
        alone(|| {
            Box::pin(async {
                let end = squall::time::Instant::now() + 60.secs();
                let mut interval = squall::time::interval(10.ms());
                while interval.tick().await < end {}
            })
        }),
        true,
    );
    told(
        alone(|| {
            Box::pin(async {
                let all = sleep(60.secs());
                while !all.is_elapsed() {
                    sleep(10.ms()).await;
                }
            })
        }),
        true,
    );
    // A server grants from some time on.
    told(
        run(
            |world| {
                world.node("server", grants_after_a_minute);
                world.client("client", || async {
                    let endpoint = Endpoint::bind("0.0.0.0:0").await?;
                    let mut granted = [0];
                    while granted == [0] {
                        endpoint.send_to("server:80", 1, b"?").await?;
                        endpoint.recv_from(2, &mut granted).await?;
                        sleep(10.ms()).await;
                    }
                    Ok::<(), std::io::Error>(())
                });
                world.heal(1.secs()).progress_within(5.secs());
            },
            1,
        ),
        true,
    );
    // To wait isn't to read a clock, however it is done.
    told(
        alone(|| {
            Box::pin(async {
                let endpoint = Endpoint::bind("0.0.0.0:0").await.unwrap();
                let mut interval = squall::time::interval(10.ms());
                interval.set_missed_tick_behavior(squall::time::MissedTickBehavior::Skip);
                loop {
                    interval.tick().await;
                    squall::time::sleep_until(squall::time::Instant::now() + 1.ms()).await;
                    let _ = squall::time::timeout(1.ms(), endpoint.recv_from(1, &mut [0])).await;
                    let _ = endpoint.call_timeout("nobody:80", Ping(1), 1.ms()).await;
                    sleep(12.ms()).await;
                }
            })
        }),
        false,
    );
}

#[test]
fn what_goes_on_otherwise_is_no_livelock() {
    let none = |outcome: Outcome| {
        let message = progress(&outcome);
        assert!(message.contains("\nThe run's states don't repeat themselves: no livelock is proved.\n"), "{message}");
    };
    none(run(asking(|round| async move { (20 + round).ms() }), 1));
    none(run(asking(|_| async { (200 + rand_core::Rng::next_u64(&mut squall::rand::rng()) % 100).ms() }), 1));
    // Drawn, though nothing comes of it yet.
    none(run(
        asking(|_| async {
            let _ = rand_core::Rng::next_u64(&mut squall::rand::rng());
            300.ms()
        }),
        1,
    ));
    none(run(
        asking(|round| async move {
            squall::publish("round", round);
            300.ms()
        }),
        1,
    ));
    // Whom the heal leaves out has drawn weather.
    none(run(
        |world| {
            asking(|_| async { 300.ms() })(world);
            world.client("out", || async {
                let endpoint = Endpoint::bind("0.0.0.0:0").await.unwrap();
                loop {
                    endpoint.send_to("server:81", 1, b"nobody listens").await.unwrap();
                    sleep(310.ms()).await;
                }
            });
            world.heal(1.secs()).core(["server", "client"]).progress_within(4.secs());
        },
        1,
    ));
    // Only the state between two rounds is the same each time: what is under way differs.
    none(run(
        |world| {
            world.node("server", echo);
            world.client("client", || async {
                let endpoint = Endpoint::bind("0.0.0.0:0").await.unwrap();
                let mut buffer = [0; 16];
                for round in 0u64.. {
                    endpoint.send_to("server:80", 1, &round.to_le_bytes()).await.unwrap();
                    endpoint.recv_from(2, &mut buffer).await.unwrap();
                    sleep(300.ms()).await;
                }
            });
            world.network().latency(fixed(5.ms()));
            world.heal(1.secs()).progress_within(4.secs());
        },
        1,
    ));
    // A map of std's has another order each time, without a draw.
    for seed in 0..20 {
        let first_of_map = asking(|_| async {
            let map: std::collections::HashSet<u64> = (0..4).collect();
            (30 + map.into_iter().next().unwrap()).ms()
        });
        none(run(first_of_map, seed));
    }
    // It did come back, but the end is no part of it.
    none(run(asking(|round| async move { if round < 13 { 300.ms() } else { (300 + round).ms() } }), 1));
}

#[test]
fn a_heal_that_can_not_be_is_refused() {
    let error = |world: fn(&mut World)| {
        let outcome = Simulation::new(world).try_run_plan(&Plan::seeded("heal", Seed(1)), Record::Digest);
        outcome.unwrap_err().to_string()
    };
    let nobody = error(|world| {
        world.client("client", || async {});
        world.heal(1.secs()).core(["server-*"]);
    });
    assert!(nobody.contains("the heal's core names \"server-*\", but the nodes are client"), "{nobody}");
    let empty = error(|world| {
        world.client("client", || async {});
        world.heal(1.secs()).core([""; 0]);
    });
    assert!(empty.contains("the heal's core names no node"), "{empty}");
    let no_client = error(|world| {
        world.node("server", echo);
        world.client("client", || async {});
        world.heal(1.secs()).core(["server"]).progress_within(1.secs());
    });
    assert!(no_client.contains("heals no client"), "{no_client}");
}

#[test]
fn eventually_may_count_from_the_heal() {
    let published_at = |at: Duration| {
        run(
            move |world| {
                world.client("client", move || async move {
                    squall::publish("leader", "too early to count");
                    sleep(at).await;
                    squall::publish("leader", "a");
                    sleep(5.secs()).await;
                });
                world.heal(1.secs());
                world.check(eventually("a leader is there", 2.secs()).on("leader", |_: String| true).after_heal());
            },
            1,
        )
        .verdict
    };
    assert_eq!(published_at(3.secs()), Verdict::Pass);
    assert_eq!(published_at(3.secs() + Duration::from_nanos(1)).property(), Some("a leader is there"));
    assert_eq!(published_at(900.ms()).property(), Some("a leader is there"));
    // The run goes on for it, though its client returns before the heal.
    let after_the_client = |at: Duration| {
        run(
            move |world| {
                world.client("client", || sleep(1.ms()));
                world.node("server", move || async move {
                    sleep(at).await;
                    squall::publish("leader", "a");
                });
                world.heal(1.secs()).progress_within(500.ms());
                world.check(eventually("a leader is there", 2.secs()).on("leader", |_: String| true).after_heal());
            },
            1,
        )
    };
    let in_time = after_the_client(3.secs());
    assert_eq!((&in_time.verdict, in_time.ending.at_ns), (&Verdict::Pass, 3 * HEAL_NS));
    assert_eq!(in_time.ending.reason, EndReason::ClientsReturned);
    let late = after_the_client(3.secs() + Duration::from_nanos(1));
    assert_eq!((late.verdict.property(), late.ending.at_ns), (Some("a leader is there"), 3 * HEAL_NS));
    // An end that is given comes first, and a client that goes on is waited for.
    let ends_before = run(
        |world| {
            world.client("client", || sleep(1.ms()));
            world.heal(1.secs());
            world.end_at(2_999.ms());
            world.check(eventually("a leader is there", 2.secs()).on("leader", |_: String| true).after_heal());
        },
        1,
    );
    assert!(matches!(ends_before.verdict, Verdict::Unknown { .. }), "{:?}", ends_before.verdict);
    // Up to a bound that the run can't come to nobody waits: its clients have returned, and the property is open.
    let limited = |virtual_ns: u64| {
        run(
            move |world| {
                world.client("client", || sleep(1.ms()));
                world.heal(1.secs());
                world.limits().virtual_ns = virtual_ns;
                world.check(eventually("a leader is there", 2.secs()).on("leader", |_: String| true).after_heal());
            },
            1,
        )
    };
    assert_eq!(limited(3 * HEAL_NS).verdict.property(), Some("a leader is there"));
    let short = limited(3 * HEAL_NS - 1);
    assert!(matches!(short.verdict, Verdict::Unknown { .. }), "{:?}", short.verdict);
}

#[test]
fn who_listens_for_the_heal_hears_it_once() {
    let outcome = run(
        |world| {
            stormy(world);
            world.heal(1.secs()).core(["server", "client-0"]);
            world.check(always("heals", 0).on_events(EventMask::HEAL, |heals, event| {
                *heals += 1;
                ensure!(*heals == 1 && event.at_ns == HEAL_NS);
                let EventKind::Heal { what, .. } = &event.kind else { return Err("it is another event".to_string()) };
                ensure!(what == "faults stop for server, client-0, and stay for all others", "{what}");
                Ok(())
            }));
        },
        1,
    );
    assert_eq!(outcome.verdict, Verdict::Pass);
}
