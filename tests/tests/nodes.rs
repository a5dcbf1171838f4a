//! Nodes that crash and come back, partitions, control tasks, addresses.

use std::cell::Cell;
use std::future::pending;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use rand_core::Rng;
use squall::net::Endpoint;
use squall::task::spawn;
use squall::time::{DurationExt, sleep, timeout};
use squall::trace::{EndReason, EventKind, LossReason, Outcome, Plan, Record, Seed, SiteKind, TaskEnd, Verdict};
use squall::{Latency, Simulation, World, crash, partition, partition_one_way, pause};
use squall_tests::random_world::Work;
use squall_tests::{facts, failure, passes, run};
use squall_trace::FlowId;
use squall_trace::id::hash_parts;

/// Calls a closure when dropped.
struct OnDrop<F: FnMut()>(F);

impl<F: FnMut()> Drop for OnDrop<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}

fn losses(outcome: &Outcome) -> Vec<LossReason> {
    let events = &outcome.trace.as_ref().unwrap().events;
    events
        .iter()
        .filter_map(|event| match event.kind {
            EventKind::Lose { reason, .. } => Some(reason),
            _ => None,
        })
        .collect()
}

/// Sends to `server:80` at the given milliseconds; each message takes 2 ms.
fn sender(world: &mut World, at_ms: &'static [u64], returns_after: Duration) {
    world.network().latency(Latency::fixed(2.ms()));
    world.client("client", move || async move {
        let endpoint = Endpoint::bind("0.0.0.0:0").await.unwrap();
        let start = squall::time::Instant::now();
        for (number, at) in at_ms.iter().enumerate() {
            squall::time::sleep_until(start + at.ms()).await;
            endpoint.send_to("server:80", 1, &[number as u8]).await.unwrap();
        }
        squall::time::sleep_until(start + returns_after).await;
    });
}

/// Publishes what comes, with its boot number.
async fn listen() {
    let endpoint = Endpoint::bind("0.0.0.0:80").await.unwrap();
    let mut buffer = [0; 1];
    loop {
        endpoint.recv_from(1, &mut buffer).await.unwrap();
        squall::publish("got", (squall::boot_number(), buffer[0]));
    }
}

#[test]
fn a_restarted_node_binds_its_port_again_and_gets_old_mail() {
    let outcome = run(|world| {
        world.node("server", listen);
        // Down from 3 to 6 ms: 0 arrives before, 1 (sent while up) and 2 (sent while down) arrive while down, 3 was sent
        // while down and arrives after the restart, 4 comes after all that.
        sender(world, &[0, 2, 3, 5, 8], 12.ms());
        world.fault(crash("server").at(3.ms()).restart_after(3.ms()));
    });
    assert_eq!(outcome.verdict, Verdict::Pass);
    assert_eq!(facts(&outcome, "got"), ["[0,0]", "[1,3]", "[1,4]"]);
    assert_eq!(losses(&outcome), [LossReason::NodeDown, LossReason::NodeDown]);
    let boots: Vec<u32> = outcome
        .trace
        .unwrap()
        .events
        .iter()
        .filter_map(|event| match event.kind {
            EventKind::Boot { boot } if event.node.0 == 0 => Some(boot),
            _ => None,
        })
        .collect();
    assert_eq!(boots, [0, 1]);
}

#[test]
fn a_crash_drops_every_task_even_if_a_destructor_panics() {
    let outcome = run(|world| {
        world.node("server", || async {
            let dropped = Rc::new(Cell::new(0));
            for index in 0..4 {
                let dropped = Rc::clone(&dropped);
                let held = OnDrop(move || {
                    dropped.set(dropped.get() + 1);
                    assert!(index != 1, "number {index} of the crash");
                    assert!(index != 3 || dropped.get() == 4, "only {} were dropped", dropped.get());
                });
                spawn(async move {
                    let _held = held;
                    pending::<()>().await;
                });
            }
            pending::<()>().await;
        });
        world.client("client", || sleep(5.ms()));
        world.fault(crash("server").at(1.ms()));
    });
    let (property, message) = failure(&outcome);
    assert_eq!(property, "panic");
    assert!(message.contains("number 1 of the crash"), "{message}");
    let events = outcome.trace.unwrap().events;
    let crashed = events.iter().filter(|event| event.kind == EventKind::TaskEnd { end: TaskEnd::Crashed });
    assert_eq!(crashed.count(), 5);
    let panics = events.iter().filter(|event| matches!(event.kind, EventKind::Panic { .. }));
    assert_eq!(panics.count(), 1);
}

/// Effects go off first: what destructors of a crashed node send, spawn, bind or publish doesn't count.
#[test]
fn destructors_of_a_crashed_node_have_no_effect() {
    let outcome = run(|world| {
        world.node("server", || async {
            let endpoint = Endpoint::bind("0.0.0.0:80").await.unwrap();
            let _last_words = OnDrop(move || {
                squall::publish("ghost", 1);
                drop(endpoint.send_to("client:1", 1, b"ghost"));
                assert!(futures::executor::block_on(Endpoint::bind("0.0.0.0:81")).is_err());
                assert!(spawn(async { squall::publish("ghost", 2) }).is_finished());
                assert!(futures::FutureExt::now_or_never(sleep(1.ms())).is_none());
            });
            pending::<()>().await;
        });
        world.client("client", || sleep(5.ms()));
        world.fault(crash("server").at(1.ms()).restart_after(0.ms()));
    });
    assert_eq!(outcome.verdict, Verdict::Pass);
    assert_eq!(facts(&outcome, "ghost").len(), 0);
    assert_eq!(outcome.messages.sent, 0);
}

/// A restart belongs to its own crash: not to a later one.
#[test]
fn a_scripted_restart_is_of_its_own_crash() {
    let outcome = run(|world| {
        world.node("server", pending::<()>);
        world.client("client", || sleep(40.ms()));
        world.fault(crash("server").at(1.ms()).restart_after(10.ms()));
        world.control(|cluster| async move {
            sleep(2.ms()).await;
            assert!(cluster.restart("server"));
            sleep(1.ms()).await;
            assert!(cluster.crash("server"));
            sleep(20.ms()).await;
            squall::publish("up", cluster.is_up("server"));
        });
    });
    assert_eq!(outcome.verdict, Verdict::Pass);
    assert_eq!(facts(&outcome, "up"), ["false"]);
}

/// A client that is down isn't done: a control task may start it again.
#[test]
fn a_client_that_a_control_task_starts_again_is_waited_for() {
    let outcome = run(|world| {
        world.client("client", || async {
            sleep(5.ms()).await;
            squall::publish("returned", squall::boot_number());
        });
        world.control(|cluster| async move {
            sleep(1.ms()).await;
            cluster.crash("client");
            sleep(1.ms()).await;
            cluster.restart("client");
        });
    });
    assert_eq!(outcome.verdict, Verdict::Pass);
    assert_eq!(facts(&outcome, "returned"), ["1"]);
}

#[test]
fn a_client_that_is_down_for_good_is_not_waited_for() {
    let outcome = run(|world| {
        world.client("gone", pending::<()>);
        world.client("there", || sleep(3.ms()));
        world.fault(crash("gone").at(1.ms()));
    });
    assert_eq!((outcome.ending.reason, outcome.ending.at_ns), (EndReason::ClientsDown, 3_000_000));
    assert_eq!(outcome.verdict, Verdict::Pass);
    let back = run(|world| {
        world.client("back", || sleep(10.ms()));
        world.fault(crash("back").at(1.ms()).restart_after(2.ms()));
    });
    assert_eq!((back.ending.reason, back.ending.at_ns), (EndReason::ClientsReturned, 13_000_000));
}

/// Nobody has seen anything through: that is no evidence.
#[test]
fn a_run_whose_clients_are_all_down_is_unknown() {
    let outcome = run(|world| {
        world.client("gone", pending::<()>);
        world.fault(crash("gone").at(1.ms()));
    });
    let Verdict::Unknown { message } = &outcome.verdict else { panic!("{:?}", outcome.verdict) };
    assert!(message.starts_with("at 1 ms every client is down for good"), "{message}");
}

#[test]
fn faults_that_never_happened_are_told() {
    let outcome = run(|world| {
        world.node("server", pending::<()>);
        world.client("client", || sleep(5.ms()));
        world.fault(crash("server").at(1.ms()));
        world.fault(crash("server").at(4.ms()));
        world.fault(crash("server").at(6.ms()));
    });
    assert_eq!(outcome.verdict, Verdict::Pass);
    let told = outcome.unreached_faults.iter().map(|told| format!("{}: {}", told.fault, told.why)).collect::<Vec<_>>();
    let expected = [
        "the crash of server at 4 ms: the node was down already",
        "the crash of server at 6 ms: the run ended before it",
    ];
    assert_eq!(told, expected);
}

/// Publishes its ticks of a millisecond, and what comes, with the time at which it is seen.
async fn tick_and_listen() {
    let start = squall::time::Instant::now();
    let at = move || start.elapsed().as_millis() as u64;
    spawn(async move {
        for tick in 1..=20u64 {
            squall::time::sleep_until(start + tick.ms()).await;
            squall::publish("tick", (tick, at()));
        }
    });
    let endpoint = Endpoint::bind("0.0.0.0:80").await.unwrap();
    let mut buffer = [0; 1];
    loop {
        endpoint.recv_from(1, &mut buffer).await.unwrap();
        squall::publish("got", (buffer[0], at()));
    }
}

/// Which, and when.
type Seen = Vec<(u64, u64)>;

/// The ticks and the messages of a server that listens from 0 to 20 ms.
fn ticks_and_mail(more: impl Fn(&mut World) + Send + Sync + 'static) -> (Seen, Seen, Outcome) {
    let outcome = run(move |world| {
        world.node("server", tick_and_listen);
        world.node("other", pending::<()>);
        // Each takes 2 ms.
        sender(world, &[0, 3, 5, 9], 21.ms());
        more(world);
    });
    let pairs = |topic: &str| {
        let parsed = facts(&outcome, topic).iter().map(|fact| serde_json::from_str(fact).unwrap()).collect();
        let pairs: Seen = parsed;
        pairs
    };
    (pairs("tick"), pairs("got"), outcome)
}

#[test]
fn a_node_that_stands_still_does_late_what_came_meanwhile() {
    let (ticks, mail, outcome) = ticks_and_mail(|world| {
        world.fault(pause("server").at(4_500.us()).lasts(5.ms()));
    });
    assert_eq!(outcome.verdict, Verdict::Pass);
    // From 4.5 to 9.5 ms. The clock has gone on, and so the ticks of those times all come at once.
    let when = |tick: u64| if (5..=9).contains(&tick) { 9 } else { tick };
    assert_eq!(ticks, (1..=20).map(|tick| (tick, when(tick))).collect::<Vec<_>>());
    // Nothing is lost: what came at 5 and at 7 ms is seen at 9.5 ms, in that order.
    assert_eq!(mail, [(0, 2), (1, 9), (2, 9), (3, 11)]);
    let said: Vec<String> = said_faults(&outcome);
    assert_eq!(said, ["4500000: the pause of server at 4.5 ms", "9500000: the pause of server at 4.5 ms is over"]);
    // Without it, or with another's, all is in time.
    let (in_time, mail, _) = ticks_and_mail(|_| {});
    assert_eq!(in_time, (1..=20).map(|tick| (tick, tick)).collect::<Vec<_>>());
    assert_eq!(mail, [(0, 2), (1, 5), (2, 7), (3, 11)]);
    let (ticks, others, _) = ticks_and_mail(|world| world.fault(pause("other").at(4_500.us()).lasts(5.ms())));
    assert_eq!((ticks, others), (in_time, mail));
}

fn said_faults(outcome: &Outcome) -> Vec<String> {
    let events = &outcome.trace.as_ref().unwrap().events;
    let said = |event: &squall::trace::OwnedEvent| match &event.kind {
        EventKind::Fault { what, .. } => Some(format!("{}: {what}", event.at_ns)),
        _ => None,
    };
    events.iter().filter_map(said).collect()
}

#[test]
fn a_node_goes_on_when_its_last_pause_is_over() {
    let (ticks, _, _) = ticks_and_mail(|world| {
        world.fault(pause("server").at(1_500.us()).lasts(5.ms()));
        world.fault(pause("server").at(2_500.us()).lasts(6.ms()).named("the longer one"));
        // Within the instant in which one is over another begins: nothing happens in between.
        world.fault(pause("server").at(8_500.us()).lasts(2.ms()));
    });
    let when = |tick: u64| if (2..=10).contains(&tick) { 10 } else { tick };
    assert_eq!(ticks, (1..=20).map(|tick| (tick, when(tick))).collect::<Vec<_>>());
}

#[test]
fn a_crash_ends_a_pause() {
    let (ticks, mail, outcome) = ticks_and_mail(|world| {
        world.fault(pause("server").at(1_500.us()).lasts(12.ms()));
        world.fault(crash("server").at(4.ms()).restart_after(2.ms()));
    });
    // It ticks once, and from 6 ms on as a new process, which stands still no more; what waited in its socket is gone.
    assert_eq!(ticks[..4], [(1, 1), (1, 1), (2, 2), (3, 3)]);
    assert_eq!(mail, [(2, 1), (3, 5)]);
    let said = said_faults(&outcome);
    assert!(!said.iter().any(|said| said.ends_with("is over")), "{said:?}");
    assert_eq!(outcome.verdict, Verdict::Pass);
}

#[test]
fn a_pause_of_a_node_that_is_down_is_told() {
    let (_, _, outcome) = ticks_and_mail(|world| {
        world.fault(crash("server").at(1.ms()));
        world.fault(pause("server").at(2.ms()).lasts(1.ms()));
    });
    let told = outcome.unreached_faults.iter().map(|told| format!("{}: {}", told.fault, told.why)).collect::<Vec<_>>();
    assert_eq!(told, ["the pause of server at 2 ms: the node was down already"]);
}

/// A control task pauses and resumes; whom it asks twice, goes on with the first word.
#[test]
fn a_control_task_lets_nodes_stand_still_and_go_on() {
    let (ticks, _, outcome) = ticks_and_mail(|world| {
        world.control(|cluster| async move {
            sleep(3_500.us()).await;
            let answers = [cluster.resume("server"), cluster.pause("server"), cluster.pause("server")];
            sleep(4.ms()).await;
            let then = [cluster.resume("server"), cluster.resume("server")];
            squall::publish("answers", (answers, then));
            // Within an instant it is as if nothing had been.
            sleep(2.ms()).await;
            cluster.pause("server");
            cluster.resume("server");
        });
    });
    assert_eq!(facts(&outcome, "answers"), ["[[false,true,true],[true,false]]"]);
    let when = |tick: u64| if (4..=7).contains(&tick) { 7 } else { tick };
    assert_eq!(ticks, (1..=20).map(|tick| (tick, when(tick))).collect::<Vec<_>>());
    let said = said_faults(&outcome);
    assert_eq!(said[0], "3500000: the pause of server by control");
    assert_eq!(said[2], "7500000: all pauses of server are over");
}

/// It may be polled at the very instant in which it is paused, woken meanwhile, aborted, or be left at the end of the run.
#[test]
fn what_stands_still_can_be_aborted_and_dropped() {
    let outcome = run(|world| {
        let shared: Rc<Cell<Option<squall::task::JoinHandle<()>>>> = Rc::default();
        let of_server = Rc::clone(&shared);
        world.node("server", move || {
            let shared = Rc::clone(&of_server);
            async move {
                let held = OnDrop(|| squall::publish("dropped", ()));
                shared.set(Some(spawn(async move {
                    let _held = held;
                    sleep(3.ms()).await;
                    squall::publish("never", ());
                })));
                pending::<()>().await;
            }
        });
        world.client("client", || sleep(9.ms()));
        world.control(move |cluster| {
            let shared = Rc::clone(&shared);
            async move {
                sleep(2.ms()).await;
                cluster.pause("server");
                sleep(2.ms()).await;
                shared.take().unwrap().abort();
                sleep(1.ms()).await;
                cluster.resume("server");
            }
        });
        world.fault(pause("server").at(7.ms()));
    });
    assert_eq!(outcome.verdict, Verdict::Pass);
    assert_eq!((facts(&outcome, "dropped").len(), facts(&outcome, "never").len()), (1, 0));
}

#[test]
fn a_client_that_stands_still_for_good_is_a_deadlock_that_says_so() {
    let outcome = run(|world| {
        world.client("client", || sleep(9.ms()));
        world.fault(pause("client").at(1.ms()));
    });
    let (property, message) = failure(&outcome);
    assert_eq!(property, "deadlock");
    let said = "client on client client (the node's root) has waited 9 ms, on a node that stands still";
    assert!(message.contains(said), "{message}");
}

#[test]
fn a_partition_is_asked_on_sending_and_on_arrival() {
    let outcome = run(|world| {
        world.node("server", listen);
        // Cut from 3 to 6 ms. Sent at 0: through. At 2: stopped on arrival. At 4: stopped when sent. At 7: through.
        sender(world, &[0, 2, 4, 7], 12.ms());
        world.fault(partition([["client"], ["server"]]).at(3.ms()).lasts(3.ms()));
    });
    assert_eq!(facts(&outcome, "got"), ["[0,0]", "[0,3]"]);
    assert_eq!(losses(&outcome), [LossReason::PartitionOnArrival, LossReason::PartitionOnSending]);
}

#[test]
fn a_one_way_partition_lets_the_other_way_through() {
    let got = |from: &'static str, to: &'static str| {
        let outcome = run(move |world| {
            world.node("server", listen);
            sender(world, &[1], 5.ms());
            world.fault(partition_one_way([from], [to]));
        });
        facts(&outcome, "got").len()
    };
    assert_eq!(got("client", "server"), 0);
    assert_eq!(got("server", "client"), 1);
}

#[test]
fn a_call_across_a_partition_times_out_and_one_to_nobody_is_refused_after_a_round_trip() {
    use squall_tests::random_world::Work;
    passes(|world| {
        world.network().latency(Latency::fixed(2.ms()));
        world.node("server", pending::<()>);
        world.node("cut-off", pending::<()>);
        world.client("client", || async {
            let endpoint = Endpoint::bind("0.0.0.0:0").await.unwrap();
            let start = squall::time::Instant::now();
            let error = endpoint.call("server:80", Work { ms: 0 }).await.unwrap_err();
            assert_eq!((error.kind(), start.elapsed()), (std::io::ErrorKind::ConnectionRefused, 4.ms()));
            let start = squall::time::Instant::now();
            let error = endpoint.call_timeout("cut-off:80", Work { ms: 0 }, 50.ms()).await.unwrap_err();
            assert_eq!((error.kind(), start.elapsed()), (std::io::ErrorKind::TimedOut, 50.ms()));
            let error = endpoint.call("10.9.9.9:80", Work { ms: 0 }).await.unwrap_err();
            assert_eq!(error.kind(), std::io::ErrorKind::HostUnreachable);
            let error = endpoint.call("nobody:80", Work { ms: 0 }).await.unwrap_err();
            assert_eq!(error.kind(), std::io::ErrorKind::NotFound);
        });
        world.fault(partition([["client"], ["cut-off"]]));
    });
}

#[test]
fn nodes_are_reached_by_name_by_address_and_by_loopback() {
    passes(|world| {
        world.node("server", listen).address("192.168.7.7".parse().unwrap());
        world.client("client", || async {
            let endpoint = Endpoint::bind("0.0.0.0:90").await.unwrap();
            let own = endpoint.local_addr().unwrap();
            assert_eq!(own, "10.0.0.2:90".parse::<SocketAddr>().unwrap());
            let mut buffer = [0; 2];
            for to in ["127.0.0.1:90", "localhost:90", "client:90", "10.0.0.2:90"] {
                endpoint.send_to(to, 7, b"me").await.unwrap();
                let received = timeout(1.ms(), endpoint.recv_from(7, &mut buffer)).await;
                assert_eq!(received.expect("a node reaches itself").unwrap(), (2, own), "{to}");
            }
            endpoint.send_to(own, 7, b"by address").await.unwrap();
            assert_eq!(endpoint.recv_from(7, &mut buffer).await.unwrap().0, 2, "what doesn't fit is cut off");
            for (address, kind) in
                [("192.168.7.7:1", std::io::ErrorKind::AddrNotAvailable), ("0.0.0.0:90", std::io::ErrorKind::AddrInUse)]
            {
                assert_eq!(Endpoint::bind(address).await.unwrap_err().kind(), kind);
            }
            drop(endpoint);
            Endpoint::bind("127.0.0.1:90").await.expect("the port is free again");
            let (a, b) = (Endpoint::bind("0.0.0.0:0").await.unwrap(), Endpoint::bind("0.0.0.0:0").await.unwrap());
            assert_ne!(a.local_addr().unwrap(), b.local_addr().unwrap());
        });
    });
    let outcome = run(|world| {
        world.node("server", listen).address("192.168.7.7".parse().unwrap());
        world.client("client", || async {
            let endpoint = Endpoint::bind("0.0.0.0:0").await.unwrap();
            endpoint.send_to("server:80", 1, &[1]).await.unwrap();
            endpoint.send_to("192.168.7.7:80", 1, &[2]).await.unwrap();
            sleep(50.ms()).await;
        });
    });
    assert_eq!(facts(&outcome, "got").len(), 2);
}

/// Another task that draws more shifts nothing.
#[test]
fn randomness_belongs_to_its_task() {
    let drawn = |others: u32| {
        let outcome = run(move |world| {
            world.client("client", move || async move {
                let noise = spawn(async move {
                    for _ in 0..others {
                        squall::rand::rng().next_u64();
                        std::hint::black_box(std::collections::hash_map::RandomState::new());
                    }
                });
                noise.await.unwrap();
                spawn(async { squall::publish("drawn", squall::rand::rng().next_u64()) }).await.unwrap();
                squall::publish("drawn", squall::rand::rng().next_u64());
            });
        });
        facts(&outcome, "drawn")
    };
    assert_eq!(drawn(0), drawn(10));
}

#[test]
fn each_boot_draws_other_randomness() {
    let outcome = run(|world| {
        world.client("client", || async {
            squall::publish("drawn", squall::rand::rng().next_u64());
            sleep(3.ms()).await;
        });
        world.fault(crash("client").at(1.ms()).restart_after(1.ms()));
    });
    let drawn = facts(&outcome, "drawn");
    assert_eq!(drawn.len(), 2);
    assert_ne!(drawn[0], drawn[1]);
}

/// Whoever says last that it leads is crashed, and each such act is a decision that can be taken away.
#[test]
fn a_control_task_crashes_whoever_leads_now() {
    let world = |world: &mut World| {
        for index in 0..3u64 {
            world.node(format!("store-{index}"), move || async move {
                // The lowest that is up leads; each looks in turn.
                sleep((1 + index * 3).ms()).await;
                squall::publish("leader", index);
                pending::<()>().await;
            });
        }
        world.control(|cluster| async move {
            for _ in 0..3 {
                sleep(3.ms()).await;
                let leader = cluster.published("leader").last().unwrap().0.clone();
                squall::publish("crashed", (&leader, cluster.crash(&leader)));
            }
        });
        world.client("client", || sleep(20.ms()));
    };
    let simulation = Simulation::new(world);
    let plan = Plan::seeded("control", Seed(1));
    let outcome = simulation.run_plan(&plan, Record::Full);
    assert_eq!(facts(&outcome, "crashed"), [r#"["store-0",true]"#, r#"["store-1",true]"#, r#"["store-2",true]"#]);
    let faults: Vec<_> = outcome.perturbations.iter().filter(|p| p.site.kind == SiteKind::Fault).copied().collect();
    assert_eq!(faults.len(), 3);
    assert_eq!(faults[1].sentence(&outcome.names), "the crash of store-1 by control happens");
    let without_second: Vec<_> = outcome.perturbations.iter().filter(|p| p.site != faults[1].site).copied().collect();
    let calmed = simulation.run_plan(&plan.only(&without_second), Record::Full);
    assert_eq!(facts(&calmed, "crashed"), [r#"["store-0",true]"#, r#"["store-1",false]"#, r#"["store-2",true]"#]);
    assert_eq!(calmed.unused_overrides, []);
    let crashes = calmed.trace.unwrap().events.iter().filter(|event| event.kind == EventKind::Crash).count();
    assert_eq!(crashes, 2);
}

#[test]
fn a_scripted_fault_can_be_taken_away() {
    let simulation = Simulation::new(|world| {
        world.node("server", listen);
        sender(world, &[1, 2], 6.ms());
        world.fault(partition([["client"], ["server"]]).named("the cut"));
    });
    let plan = Plan::seeded("script", Seed(1));
    let outcome = simulation.run_plan(&plan, Record::Full);
    assert_eq!(facts(&outcome, "got").len(), 0);
    let calmed = simulation.run_plan(&plan.only(&[]), Record::Full);
    assert_eq!(facts(&calmed, "got").len(), 2);
    assert_eq!(calmed.perturbations, []);
}

/// A name is the address of a fault; what it does is said beside it.
#[test]
fn a_named_fault_says_what_it_does() {
    let simulation = Simulation::new(|world| {
        for name in ["server-0", "server-1"] {
            world.node(name, listen);
        }
        world.client("client", || sleep(10.ms()));
        let servers = ["server-0", "server-1"];
        world.fault(partition([vec!["client"], servers.to_vec()]).at(3.ms()).lasts(30.ms()).named("cut"));
        world.fault(partition_one_way(["client"], ["server-*"]).at(4.ms()).named("deaf"));
        world.fault(crash("server-*").at(5.ms()).restart_after(2.ms()).named("blow"));
        world.fault(crash("server-0").at(6.ms()));
    });
    let outcome = simulation.run_plan(&Plan::seeded("named", Seed(1)), Record::Full);
    let faults: Vec<_> = outcome.perturbations.iter().filter(|one| one.site.kind == SiteKind::Fault).collect();
    let sentences: Vec<String> = faults.iter().map(|fault| fault.sentence(&outcome.names)).collect();
    assert_eq!(
        sentences,
        [
            "cut (the partition client | server-0, server-1 at 3 ms, for 30 ms) happens",
            "deaf (the partition client -> server-* at 4 ms) happens",
            "blow (the crash of server-* at 5 ms, for 2 ms) (server-0) happens",
            "blow (the crash of server-* at 5 ms, for 2 ms) (server-1) happens",
        ]
    );
    let address = |address: &str| FlowId(hash_parts(&[b"fault", address.as_bytes()]));
    let flows: Vec<FlowId> = faults.iter().map(|fault| fault.site.flow).collect();
    assert_eq!(flows, ["cut", "deaf", "blow (server-0)", "blow (server-1)"].map(address));
    let unreached: Vec<&str> = outcome.unreached_faults.iter().map(|unreached| &*unreached.fault).collect();
    assert_eq!(unreached, ["the crash of server-0 at 6 ms"]);
}

/// Two values for one site can't both hold: one is used, and the other is said to be unused.
#[test]
fn an_override_behind_another_of_its_site_is_unused() {
    let simulation = Simulation::new(|world| {
        world.node("server", listen);
        sender(world, &[1], 6.ms());
        world.network().latency(Latency::uniform(1.ms(), 2.ms()));
    });
    let plan = Plan::seeded("twice", Seed(1));
    let first = simulation.run_plan(&plan, Record::Perturbations);
    let latency = *first.perturbations.iter().find(|p| p.site.kind == SiteKind::Latency).unwrap();
    let mut twice = plan.only(&[latency, latency]);
    twice.overrides[0].fingerprint ^= 1;
    let outcome = simulation.run_plan(&twice, Record::Perturbations);
    assert_eq!(outcome.unused_overrides, [twice.overrides[0]]);
    assert_eq!(outcome.perturbations[0].value, latency.value);
    twice.overrides.swap(0, 1);
    let outcome = simulation.run_plan(&twice, Record::Perturbations);
    assert_eq!(outcome.unused_overrides, [twice.overrides[1]]);
    assert_eq!(outcome.perturbations[0].value, latency.value);
}

/// Two receivers of one tag: whoever stops waiting hands what came for it on.
#[test]
fn a_message_for_a_receiver_that_is_gone_reaches_the_next() {
    passes(|world| {
        world.client("client", || async {
            let endpoint = Endpoint::bind("0.0.0.0:80").await.unwrap();
            let receive = |endpoint: Endpoint| async move {
                let mut buffer = [0; 1];
                endpoint.recv_from(1, &mut buffer).await.unwrap();
                buffer[0]
            };
            for abort in [true, false] {
                let first = spawn(receive(endpoint.clone()));
                sleep(1.ms()).await;
                let second = spawn(receive(endpoint.clone()));
                sleep(1.ms()).await;
                endpoint.send_to("localhost:80", 1, &[5]).await.unwrap();
                // At the instant at which it arrives, before or after the first is polled.
                squall::time::sleep(10.us()).await;
                if abort {
                    first.abort();
                    if let Ok(value) = first.await {
                        assert_eq!(value, 5);
                        endpoint.send_to("localhost:80", 1, &[5]).await.unwrap();
                    }
                    assert_eq!(second.await.unwrap(), 5);
                } else {
                    endpoint.send_to("localhost:80", 1, &[6]).await.unwrap();
                    assert_eq!((first.await.unwrap(), second.await.unwrap()), (5, 6));
                }
            }
        });
    });
}

/// What a perturbation says in words names the message by its own number, not by the number of its order's site.
#[test]
fn a_sentence_about_order_names_the_message() {
    let simulation = Simulation::new(|world| {
        world.network().latency(Latency::fixed(1.ms()));
        world.node("server", listen);
        for name in ["left", "right"] {
            world.client(name, || async {
                let endpoint = Endpoint::bind("0.0.0.0:0").await.unwrap();
                for _ in 0..2 {
                    endpoint.send_to("server:80", 1, &[0]).await.unwrap();
                    sleep(2.ms()).await;
                }
            });
        }
    });
    let outcome = simulation.run_plan(&Plan::seeded("words", Seed(1)), Record::Full);
    let sentences: Vec<String> = outcome
        .perturbations
        .iter()
        .filter(|p| p.site.kind == SiteKind::Order)
        .map(|p| p.sentence(&outcome.names))
        .collect();
    let (wakes, sentences): (Vec<String>, Vec<String>) =
        sentences.into_iter().partition(|sentence| sentence.starts_with("wake "));
    assert!(!sentences.is_empty() && wakes.iter().any(|sentence| sentence.starts_with("wake 1 of left is put off")));
    for sentence in sentences {
        assert!(sentence.starts_with("datagram 1 from ") || sentence.starts_with("datagram 2 from "), "{sentence}");
    }
}

/// By default the first node is 10.0.0.1: whoever asks for that address would get the other's mail.
#[test]
fn two_nodes_never_share_an_address() {
    let build = |second: &'static str| {
        squall::Simulation::new(move |world: &mut World| {
            world.node("first", pending::<()>);
            world.node("second", pending::<()>).address(second.parse().unwrap());
            world.client("client", || async {});
        })
    };
    let plan = squall::trace::Plan::seeded("addresses", squall::trace::Seed(1));
    let refused = build("10.0.0.1").try_run_plan(&plan, squall::trace::Record::Digest).unwrap_err().to_string();
    assert!(refused.contains("two nodes have the address 10.0.0.1: second asks for it, and first has it"), "{refused}");
    for own in ["10.0.0.2", "10.0.0.9", "192.168.0.1", "::1:2"] {
        let outcome = build(own).try_run_plan(&plan, squall::trace::Record::Digest).unwrap();
        assert_eq!(outcome.verdict, Verdict::Pass, "{own}");
    }
}

/// From some hundred tasks on, what messages will touch is read ahead: that changes nothing, whatever has become of what was
/// foreseen. Half of the clients call, half send datagrams; servers crash with mail under way, links lose and duplicate.
#[test]
fn a_large_world_is_a_world_like_any_other() {
    const CLIENTS: u32 = 1_000;
    let build = |world: &mut World| {
        world
            .network()
            .latency(Latency::uniform(1.ms(), 10.ms()))
            .loss(squall::prelude::percent(2))
            .duplicate(squall::prelude::percent(2));
        for server in ["calls", "datagrams"] {
            world.node(server, move || async move {
                let endpoint = Endpoint::bind("0.0.0.0:80").await.unwrap();
                endpoint.add_rpc_handler(|work: Work| async move { work.ms });
                let mut bytes = [0; 8];
                loop {
                    let (length, from) = endpoint.recv_from(1, &mut bytes).await.unwrap();
                    endpoint.send_to(from, 1, &bytes[..length]).await.unwrap();
                }
            });
            world.fault(crash(server).at(12.ms()).restart_after(3.ms()));
        }
        for client in 0..CLIENTS {
            world.client(format!("client-{client}"), move || async move {
                let endpoint = Endpoint::bind("0.0.0.0:0").await.unwrap();
                for round in 0..3u8 {
                    if client % 2 == 0 {
                        while endpoint.call_timeout("calls:80", Work { ms: round }, 40.ms()).await.ok() != Some(round) {
                        }
                    } else {
                        let asked = u64::from(client) << 8 | u64::from(round);
                        let mut answer = [0; 8];
                        while u64::from_le_bytes(answer) != asked {
                            endpoint.send_to("datagrams:80", 1, &asked.to_le_bytes()).await.unwrap();
                            let _ = timeout(40.ms(), endpoint.recv_from(1, &mut answer)).await;
                        }
                    }
                }
                squall::publish("through", client);
            });
        }
    };
    let outcome = run(build);
    assert_eq!(outcome.verdict, Verdict::Pass);
    assert_eq!(facts(&outcome, "through").len(), CLIENTS as usize);
    let counts = outcome.messages;
    assert!(counts.lost > 50 && counts.duplicated > 50, "{counts:?}");
    assert_eq!(counts.sent + counts.duplicated, counts.delivered + counts.lost + counts.in_flight);
}
