//! Planted bugs, each of which one fault of its kind brings out, among others of that kind that don't; see [`crate::bugs`].

use std::cell::Cell;
use std::rc::Rc;
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};
use squall::fault::{self, Split};
use squall::net::Endpoint;
use squall::prelude::*;
use squall::time::{Instant, interval, sleep, sleep_until, timeout};
use squall::trace::SiteKind;
use squall::{World, publish, rule};

use crate::bugs::{Bug, chatter};

/// One fault, whatever it does.
const FAULT: &[&[SiteKind]] = &[&[SiteKind::Fault]];

/// All of them.
pub const STORM_BUGS: &[Bug] = &[
    Bug { name: "a link that is slow for a while", build: slow_link, property: "one-leader", causes: FAULT },
    Bug { name: "a stop that is held back", build: held_stop, property: "stopped-in-time", causes: FAULT },
    Bug { name: "a slow node that is taken for dead", build: slow_node, property: "nobody-is-dead", causes: FAULT },
    Bug { name: "a wall clock that jumps", build: wall_clock, property: "fresh-tokens-are-taken", causes: FAULT },
    Bug { name: "a lease by a slow clock", build: slow_clock, property: "no-write-after-the-lease", causes: FAULT },
    Bug {
        name: "quorums that don't overlap",
        build: quorums,
        property: "reads-see-writes",
        // One is enough; or the first keeps a write from two stores, and a later one has the reader ask just those.
        causes: &[&[SiteKind::Partition], &[SiteKind::Partition, SiteKind::Partition]],
    },
    Bug { name: "neighbours that agree on nobody", build: neighbours, property: "one-to-follow", causes: FAULT },
    Bug { name: "two copies in one rack", build: rack, property: "something-is-left", causes: FAULT },
    Bug {
        name: "a crash just between two writes",
        build: between_writes,
        property: "both-or-none",
        causes: &[&[SiteKind::Point]],
    },
    Bug { name: "a link that flaps", build: flapping, property: "never-silent", causes: FAULT },
    Bug {
        name: "an answer that a rule drops",
        build: dropped_answer,
        property: "appended-once",
        causes: &[&[SiteKind::Rule]],
    },
    Bug { name: "a link that is narrow for a while", build: narrow_link, property: "never-given-up", causes: FAULT },
    Bug {
        name: "a spike in a recorded latency",
        build: recorded_spike,
        property: "answered-in-time",
        // The question is late, or its answer is.
        causes: &[&[SiteKind::Latency]],
    },
    Bug {
        name: "a message that is overtaken",
        build: overtaken,
        property: "the-last-counts",
        causes: &[&[SiteKind::Latency]],
    },
    Bug { name: "a copy that comes late", build: late_copy, property: "paid-once", causes: &[&[SiteKind::Duplicate]] },
    Bug {
        name: "a slow message to oneself",
        build: slow_loopback,
        property: "ticks-in-time",
        causes: &[&[SiteKind::Latency]],
    },
    Bug {
        name: "a short batch that is taken for the last",
        build: short_batch,
        property: "all-arrives",
        causes: &[&[SiteKind::Buggify]],
    },
    Bug {
        name: "an interval longer than a lease",
        build: long_interval,
        property: "never-expires",
        causes: &[&[SiteKind::Knob]],
    },
    Bug {
        name: "both replicas are cut off for a moment",
        build: both_replicas,
        property: "one-answers",
        causes: &[&[SiteKind::Partition, SiteKind::Partition]],
    },
    Bug {
        name: "both replicas are held back for a moment",
        build: both_held,
        property: "one-answers",
        causes: &[&[SiteKind::Partition, SiteKind::Partition]],
    },
    Bug { name: "a request that a rule delays", build: delayed_request, property: "never-given-up", causes: RULE },
    Bug { name: "a request that a rule holds", build: held_request, property: "never-given-up", causes: RULE },
    Bug { name: "a request that a rule copies", build: copied_request, property: "counted-once", causes: RULE },
    Bug { name: "a request that a rule changes", build: changed_request, property: "twins-are-alike", causes: RULE },
    Bug { name: "a cut that stops answers alone", build: one_way_cut, property: "never-given-up", causes: FAULT },
    Bug {
        name: "a disk that is lost with its node",
        build: lost_disk,
        property: "nothing-is-forgotten",
        causes: FAULT,
    },
    Bug { name: "a wall clock that is set back", build: clock_back, property: "stamps-rise", causes: FAULT },
    Bug { name: "a failed read taken for nothing there", build: failed_read, property: "found", causes: DISK_FAILURE },
    Bug {
        name: "a failed write that nobody looks at",
        build: failed_write,
        property: "as-written",
        causes: DISK_FAILURE,
    },
];

/// What a rule does to one message.
const RULE: &[&[SiteKind]] = &[&[SiteKind::Rule]];

/// One operation of a disk that fails.
const DISK_FAILURE: &[&[SiteKind]] = &[&[SiteKind::DiskFailure]];

/// Somebody asks a counter twenty times, with each number twice in the request, and gives a request up when there is no answer for 60 ms.
fn counting(world: &mut World, rules: [rule::Rule; 2]) {
    world.node("counter", || async {
        let endpoint = Endpoint::bind("0.0.0.0:80").await.unwrap();
        let mut pair = [0; 2];
        while let Ok((_, from)) = endpoint.recv_from(1, &mut pair).await {
            publish("counted", pair);
            let _ = endpoint.send_to(from, 2, &pair).await;
        }
    });
    world.client("asks", || async {
        let endpoint = Endpoint::bind("0.0.0.0:90").await.unwrap();
        for number in 0..20 {
            endpoint.send_to("counter:80", 1, &[number, number]).await.unwrap();
            if timeout(60.ms(), endpoint.recv_from(2, &mut [0; 2])).await.is_err() {
                publish("given-up", number);
            }
            sleep(5.ms()).await;
        }
    });
    chatter(world, 1, 300.ms());
    world.network().latency(uniform(1.ms(), 10.ms()));
    rules.into_iter().for_each(|rule| world.rule(rule));
    world.check(always("never-given-up", ()).on("given-up", |(), number: u8| Err(format!("{number} is given up"))));
    world.check(always("counted-once", std::collections::BTreeSet::new()).on("counted", |seen, pair: [u8; 2]| {
        ensure!(seen.insert(pair), "{} is counted twice", pair[0]);
        Ok(())
    }));
    world.check(always("twins-are-alike", ()).on("counted", |(), [one, other]: [u8; 2]| {
        ensure!(one == other, "{one} and {other} were sent as the same number");
        Ok(())
    }));
}

/// Too late by then; 20 ms more is late, and soon enough.
fn delayed_request(world: &mut World) {
    let late = |to, after: Duration| rule::deliver_after("asks", to, after).share(percent(10));
    counting(world, [late("counter", 90.ms()), rule::deliver_after("counter", "asks", 20.ms()).share(percent(10))]);
}

/// For longer than anybody waits. What of others is held does no harm.
fn held_request(world: &mut World) {
    counting(world, ["asks", "chatter-*"].map(|from| rule::hold(from, "*").share(percent(10))));
}

/// Nobody looks whether a request has been here before. A copy of an answer does no harm.
fn copied_request(world: &mut World) {
    let copies = |from, to| rule::duplicate(from, to, 3.ms()).share(percent(10));
    counting(world, [copies("asks", "counter"), copies("counter", "asks")]);
}

/// Nobody looks whether a request came as it was sent.
fn changed_request(world: &mut World) {
    let changes = |from, to| rule::corrupt(from, to).share(percent(10));
    counting(world, [changes("asks", "counter"), changes("counter", "asks")]);
}

/// Requests come, and answers don't: that counts as much. The other cuts are elsewhere, or short.
fn one_way_cut(world: &mut World) {
    counting(world, [rule::pass("counter", "asks").times(1), rule::pass("asks", "counter").times(1)]);
    world.fault(fault::partition_one_way(["chatter-0"], ["counter"]).at(20.ms()).lasts(100.ms()));
    world.fault(fault::partition_one_way(["counter"], ["asks"]).at(80.ms()).lasts(100.ms()));
    world.fault(fault::partition_one_way(["counter"], ["chatter-0"]).at(200.ms()).lasts(50.ms()));
}

/// What is synced is there after a crash, as its author thinks, but not on a new disk.
fn lost_disk(world: &mut World) {
    world.node("vault", || async {
        let is_known = squall::fs::try_exists("/kept").await.unwrap();
        let endpoint = Endpoint::bind("0.0.0.0:80").await.unwrap();
        if !is_known {
            let file = squall::fs::File::create("/kept").await.unwrap();
            file.sync_all().await.unwrap();
            squall::fs::File::open("/").await.unwrap().sync_all().await.unwrap();
        }
        publish("begins", is_known);
        while endpoint.recv_from(1, &mut []).await.is_ok() {}
    });
    chatter(world, 1, 300.ms());
    world.network().latency(uniform(1.ms(), 10.ms()));
    world.fault(crash("vault").at(60.ms()).restart_after(10.ms()));
    world.fault(crash("vault").wipes_disk().at(120.ms()).restart_after(10.ms()));
    world.fault(crash("chatter-0").wipes_disk().at(150.ms()).restart_after(10.ms()));
    world.fault(crash("vault").at(180.ms()).restart_after(10.ms()));
    world.check(always("nothing-is-forgotten", false).on("begins", |was_there: &mut bool, is_known: bool| {
        ensure!(is_known || !std::mem::replace(was_there, true), "the vault is empty again");
        Ok(())
    }));
}

/// Entries are stamped with the wall clock, and whoever reads them takes the greatest stamp for the last.
fn clock_back(world: &mut World) {
    world.client("log", || async {
        let start = Instant::now();
        while start.elapsed() < 300.ms() {
            publish("stamped", wall_ms());
            sleep(10.ms()).await;
        }
    });
    chatter(world, 1, 300.ms());
    world.network().latency(uniform(1.ms(), 10.ms()));
    world.fault(fault::clock_jump_back("log", 3.ms()).at(50.ms()));
    world.fault(fault::clock_jump_back("chatter-0", 1.secs()).at(100.ms()).lasts(10.ms()));
    world.fault(fault::clock_jump_back("log", 1.secs()).at(150.ms()));
    world.check(always("stamps-rise", 0u64).on("stamped", |last: &mut u64, stamp: u64| {
        ensure!(stamp > std::mem::replace(last, stamp), "{stamp} ms is stamped behind a later time");
        Ok(())
    }));
}

/// A disk on which operations fail, for a program that makes a file and then looks at it again and again.
fn failing_disk<Fut: Future<Output = ()> + 'static>(world: &mut World, program: fn(squall::fs::File) -> Fut) {
    world.client("keeper", move || async move {
        let Ok(file) = squall::fs::File::options().read(true).write(true).create(true).open("/file").await else {
            return;
        };
        while file.write_all_at(b"text", 0).await.is_err() {}
        program(file).await;
    });
    chatter(world, 1, 200.ms());
    world.network().latency(uniform(1.ms(), 10.ms()));
    world.storage().read_failure(percent(5)).write_failure(percent(5)).sync_failure(percent(5));
}

/// Whoever can't read takes it for empty.
fn failed_read(world: &mut World) {
    failing_disk(world, |file| async move {
        for _ in 0..40 {
            let mut bytes = [0; 4];
            let _ = file.sync_data().await;
            publish("found", file.read_at(&mut bytes, 0).await.unwrap_or(0));
        }
    });
    world.check(always("found", ()).on("found", |(), bytes: usize| {
        ensure!(bytes == 4, "there are {bytes} bytes in place of 4");
        Ok(())
    }));
}

/// Whoever writes doesn't look whether that went well; whoever reads tries again.
fn failed_write(world: &mut World) {
    failing_disk(world, |file| async move {
        for number in 0..40u8 {
            let _ = file.write_at(&[number], 0).await;
            let mut byte = [0];
            while file.read_exact_at(&mut byte, 0).await.is_err() {}
            publish("written", (number, byte[0]));
        }
    });
    world.check(always("as-written", ()).on("written", |(), (written, found): (u8, u8)| {
        ensure!(written == found, "{found} is there where {written} was written");
        Ok(())
    }));
}

/// Beside the bug: who talks, and weather that draws.
fn weather(world: &mut World, lasts: Duration) {
    chatter(world, 1, lasts);
    world.network().latency(uniform(1.ms(), 10.ms())).loss(percent(1));
}

#[derive(Debug, Serialize, Deserialize, squall::Request)]
#[rtype(())]
struct Append(u64);

/// Whoever gets no answer appends again, and the log takes it again. Calls that a rule drops do no harm, and what it does to others neither.
fn dropped_answer(world: &mut World) {
    world.node("log", || async {
        let endpoint = Endpoint::bind("0.0.0.0:80").await.unwrap();
        endpoint.add_rpc_handler(|Append(number)| async move { publish("appended", number) });
        std::future::pending::<()>().await;
    });
    world.client("writer", || async {
        let endpoint = Endpoint::bind("0.0.0.0:0").await.unwrap();
        for number in 0..20 {
            while endpoint.call_timeout("log:80", Append(number), 30.ms()).await.is_err() {}
            sleep(5.ms()).await;
        }
    });
    chatter(world, 1, 300.ms());
    world.network().latency(uniform(1.ms(), 10.ms()));
    world.rule(rule::drop("writer", "log").method("Append").share("10%".parse().unwrap()));
    world.rule(rule::duplicate("chatter-*", "*", 3.ms()).share("10%".parse().unwrap()));
    world.rule(rule::deliver_after("*", "*", 15.ms()).share("10%".parse().unwrap()));
    world
        .rule(rule::drop("*", "*").answers().matching(|message| message.answer::<Append>().is_some()).skip(3).times(9));
    world.check(always("appended-once", std::collections::BTreeSet::new()).on("appended", |seen, number: u64| {
        ensure!(seen.insert(number), "{number} is appended twice");
        Ok(())
    }));
}

/// The follower makes itself leader when it has heard nothing for 160 ms.
fn slow_link(world: &mut World) {
    world.node("leader", || async {
        let endpoint = Endpoint::bind("0.0.0.0:80").await.unwrap();
        publish("leads", 0);
        loop {
            endpoint.send_to("follower:80", 1, &[]).await.unwrap();
            sleep(20.ms()).await;
        }
    });
    world.node("follower", || async {
        let endpoint = Endpoint::bind("0.0.0.0:80").await.unwrap();
        while timeout(160.ms(), endpoint.recv_from(1, &mut [])).await.is_ok() {}
        publish("leads", 1);
        std::future::pending::<()>().await;
    });
    world.client("client", || async { sleep(1_500.ms()).await });
    weather(world, 300.ms());
    for (from, to, at_ms) in
        [("echo-0", "chatter-0", 50), ("follower", "leader", 200), ("leader", "follower", 500), ("client", "*", 900)]
    {
        let slow = fault::link_one_way(from, to, |link| {
            link.latency(Latency::uniform(300.ms(), 350.ms()));
        });
        world.fault(slow.at(at_ms.ms()).lasts(400.ms()));
    }
    world.check(always("one-leader", 0).on("leads", |leaders, _: u32| {
        *leaders += 1;
        ensure!(*leaders == 1, "there are {leaders} leaders");
        Ok(())
    }));
}

/// A console stops a machine before its time, and asks until it is told that it has; the machine doesn't ask whether it may start.
fn held_stop(world: &mut World) {
    world.node("machine", || async {
        let endpoint = Endpoint::bind("0.0.0.0:80").await.unwrap();
        let mut buffer = [0; 1];
        let start = Instant::now();
        for round in 1..=4u64 {
            let starts = start + (round * 200).ms();
            let mut is_stopped = false;
            while let Ok(Ok((_, from))) = squall::time::timeout_at(starts, endpoint.recv_from(1, &mut buffer)).await {
                is_stopped |= u64::from(buffer[0]) == round;
                endpoint.send_to(from, 1, &buffer).await.unwrap();
            }
            publish("started", !is_stopped);
        }
        std::future::pending::<()>().await;
    });
    world.client("console", || async {
        let endpoint = Endpoint::bind("0.0.0.0:0").await.unwrap();
        let start = Instant::now();
        for round in 1..=4u8 {
            sleep_until(start + (u64::from(round) * 200 - 130).ms()).await;
            let mut buffer = [0; 1];
            endpoint.send_to("machine:80", 1, &[round]).await.unwrap();
            while timeout(10.ms(), endpoint.recv_from(1, &mut buffer)).await.is_err() || buffer[0] != round {
                endpoint.send_to("machine:80", 1, &[round]).await.unwrap();
            }
        }
        sleep_until(start + 900.ms()).await;
    });
    weather(world, 300.ms());
    world.fault(fault::hold("console", "machine").at(10.ms()).lasts(40.ms()));
    world.fault(fault::hold("echo-*", "chatter-*").at(100.ms()).lasts(100.ms()));
    world.fault(fault::hold_one_way("console", "machine").at(450.ms()).lasts(170.ms()));
    world.fault(fault::hold_one_way("machine", "console").at(700.ms()).lasts(50.ms()));
    world.check(always("stopped-in-time", ()).on("started", |(), is_started: bool| {
        ensure!(!is_started, "it was stopped, and started");
        Ok(())
    }));
}

/// A watchdog takes a worker for dead that hasn't answered four times in a row.
fn slow_node(world: &mut World) {
    world.node("worker", || async {
        let endpoint = Endpoint::bind("0.0.0.0:80").await.unwrap();
        let mut buffer = [0; 1];
        loop {
            let (_, from) = endpoint.recv_from(1, &mut buffer).await.unwrap();
            endpoint.send_to(from, 1, &buffer).await.unwrap();
        }
    });
    world.client("watchdog", || async {
        let endpoint = Endpoint::bind("0.0.0.0:0").await.unwrap();
        let (mut missed, mut buffer) = (0, [0; 1]);
        for number in 0..30u8 {
            endpoint.send_to("worker:80", 1, &[number]).await.unwrap();
            let answer = async { while endpoint.recv_from(1, &mut buffer).await.is_ok() && buffer[0] != number {} };
            missed = if timeout(30.ms(), answer).await.is_ok() { 0 } else { missed + 1 };
            if missed == 4 {
                publish("dead", ());
            }
            sleep(10.ms()).await;
        }
    });
    weather(world, 300.ms());
    world.fault(fault::slow("worker", 1.ms()).at(20.ms()).lasts(200.ms()));
    world.fault(fault::slow("worker", 35.ms()).at(300.ms()).lasts(200.ms()));
    world.fault(fault::slow("chatter-*", 5.ms()).at(100.ms()).lasts(200.ms()));
    world.check(always("nobody-is-dead", ()).on("dead", |(), (): ()| {
        ensure!(false, "the worker lives, and is taken for dead");
        Ok(())
    }));
}

#[derive(Debug, Serialize, Deserialize, squall::Request)]
#[rtype(u64)]
struct IssueToken;

#[derive(Debug, Serialize, Deserialize, squall::Request)]
#[rtype(bool)]
struct UseToken(u64);

/// Of the wall clock, in milliseconds.
fn wall_ms() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("a time after 1970");
    u64::try_from(since.as_millis()).expect("a time before the year 584,556,019")
}

/// A token says until when it is good by its issuer's clock, and the shop goes by its own.
fn wall_clock(world: &mut World) {
    world.node("issuer", || async {
        let endpoint = Endpoint::bind("0.0.0.0:80").await.unwrap();
        endpoint.add_rpc_handler(|IssueToken| async { wall_ms() + 500 });
        std::future::pending::<()>().await;
    });
    world.node("shop", || async {
        let endpoint = Endpoint::bind("0.0.0.0:80").await.unwrap();
        endpoint.add_rpc_handler(|UseToken(until_ms): UseToken| async move { wall_ms() < until_ms });
        std::future::pending::<()>().await;
    });
    world.client("customer", || async {
        let endpoint = Endpoint::bind("0.0.0.0:0").await.unwrap();
        for _ in 0..20 {
            let token = endpoint.call_timeout("issuer:80", IssueToken, 50.ms()).await;
            if let Ok(until_ms) = token
                && let Ok(is_taken) = endpoint.call_timeout("shop:80", UseToken(until_ms), 50.ms()).await
            {
                publish("taken", is_taken);
            }
            sleep(10.ms()).await;
        }
    });
    weather(world, 300.ms());
    world.fault(fault::clock_jump_forward("customer", 9.secs()).at(50.ms()));
    world.fault(fault::clock_jump_forward("issuer", 9.secs()).at(100.ms()).lasts(100.ms()));
    world.fault(fault::clock_jump_forward("shop", 400.ms()).at(100.ms()).lasts(60.ms()));
    world.fault(fault::clock_jump_forward("shop", 1.secs()).at(300.ms()).lasts(100.ms()));
    world.check(always("fresh-tokens-are-taken", ()).on("taken", |(), is_taken: bool| {
        ensure!(is_taken, "a fresh token isn't taken");
        Ok(())
    }));
}

/// Who holds a lease of a second writes as long as its own clock says that it may; whoever gave it waits 50 ms more.
fn slow_clock(world: &mut World) {
    world.node("store", || async {
        let endpoint = Endpoint::bind("0.0.0.0:80").await.unwrap();
        loop {
            endpoint.recv_from(1, &mut [0; 1]).await.unwrap();
            publish("written", ());
        }
    });
    world.node("giver", || async {
        sleep(1_050.ms()).await;
        publish("over", ());
        std::future::pending::<()>().await;
    });
    world.client("holder", || async {
        let endpoint = Endpoint::bind("0.0.0.0:0").await.unwrap();
        let start = Instant::now();
        while start.elapsed() < 1.secs() {
            endpoint.send_to("store:80", 1, &[1]).await.unwrap();
            sleep(30.ms()).await;
        }
        sleep(300.ms()).await;
    });
    weather(world, 300.ms());
    world.fault(fault::clock_drift("holder", -1_000).at(Duration::ZERO).named("ordinary drift"));
    world.fault(fault::clock_drift("store", -300_000).at(10.ms()));
    world.fault(fault::clock_drift("holder", -200_000).at(20.ms()));
    world.fault(fault::clock_drift("holder", 100_000).at(1_200.ms()));
    let over = always("no-write-after-the-lease", false).on("over", |is_over, (): ()| {
        *is_over = true;
        Ok(())
    });
    world.check(over.on("written", |is_over, (): ()| {
        ensure!(!*is_over, "a write came when the lease was over");
        Ok(())
    }));
}

#[derive(Debug, Serialize, Deserialize, squall::Request)]
#[rtype(())]
struct Write(u64);

#[derive(Debug, Serialize, Deserialize, squall::Request)]
#[rtype(u64)]
struct Read;

/// Two of four stores are enough to write, and two to read: a cut through the middle gives each its two.
fn quorums(world: &mut World) {
    for store in 0..4 {
        world.node(format!("store-{store}"), || async {
            let endpoint = Endpoint::bind("0.0.0.0:80").await.unwrap();
            let value = Rc::new(Cell::new(0));
            let to_read = Rc::clone(&value);
            endpoint.add_rpc_handler(move |Write(written): Write| {
                value.set(value.get().max(written));
                async {}
            });
            endpoint.add_rpc_handler(move |Read| {
                let value = to_read.get();
                async move { value }
            });
            std::future::pending::<()>().await;
        });
    }
    world.client("writer", || async {
        let endpoint = Endpoint::bind("0.0.0.0:0").await.unwrap();
        for value in 1..=15u64 {
            loop {
                let calls =
                    (0..4).map(|store| endpoint.call_timeout((format!("store-{store}"), 80), Write(value), 30.ms()));
                let answers = futures::future::join_all(calls).await;
                if answers.iter().filter(|answer| answer.is_ok()).count() >= 2 {
                    break;
                }
            }
            publish("acknowledged", value);
            sleep(20.ms()).await;
        }
    });
    world.client("reader", || async {
        let endpoint = Endpoint::bind("0.0.0.0:0").await.unwrap();
        for _ in 0..15 {
            publish("reading", ());
            let value = loop {
                let calls = (0..4).map(|store| endpoint.call_timeout((format!("store-{store}"), 80), Read, 30.ms()));
                let answers: Vec<u64> =
                    futures::future::join_all(calls).await.into_iter().filter_map(Result::ok).collect();
                if answers.len() >= 2 {
                    break answers.into_iter().max();
                }
            };
            publish("read", value);
            sleep(25.ms()).await;
        }
    });
    weather(world, 300.ms());
    let cut = fault::random_partition(["store-*", "writer", "reader"], Split::Any);
    world.fault(cut.at(100.ms()).lasts(150.ms()).every(200.ms()).times(3));
    let acknowledged = always("reads-see-writes", (0, 0)).on("acknowledged", |(last, _), value: u64| {
        *last = value;
        Ok(())
    });
    let reading = acknowledged.on("reading", |(last, least), (): ()| {
        *least = *last;
        Ok(())
    });
    world.check(reading.on("read", |(_, least), value: Option<u64>| {
        ensure!(value >= Some(*least), "{value:?} was read after {least} was acknowledged");
        Ok(())
    }));
}

/// Each follows the first of those that it has heard in the last 120 ms.
fn neighbours(world: &mut World) {
    for node in 0..5u8 {
        world.node(format!("node-{node}"), move || async move {
            let endpoint = Endpoint::bind("0.0.0.0:80").await.unwrap();
            let mut ticks = interval(15.ms());
            let mut heard: Vec<(u8, Instant)> = Vec::new();
            let mut number = 0;
            loop {
                ticks.tick().await;
                number += 1;
                for other in (0..5).filter(|other| *other != node) {
                    endpoint.send_to((format!("node-{other}"), 80), 1, &[node]).await.unwrap();
                }
                let mut from = [0; 1];
                while let Ok(Ok(_)) = timeout(1.ms(), endpoint.recv_from(1, &mut from)).await {
                    heard.push((from[0], Instant::now()));
                }
                heard.retain(|(_, at)| at.elapsed() < 120.ms());
                if number > 10 {
                    publish("follows", heard.iter().map(|(from, _)| *from).min().unwrap_or(node).min(node));
                }
            }
        });
    }
    world.client("client", || async { sleep(900.ms()).await });
    weather(world, 300.ms());
    world.fault(fault::ring("node-*", 1).at(20.ms()).lasts(60.ms()));
    world.fault(fault::ring("node-*", 1).at(400.ms()).lasts(200.ms()));
    world.fault(fault::ring("node-*", 1).at(700.ms()).lasts(50.ms()));
    world.check(always("one-to-follow", ()).on("follows", |(), leader: u8| {
        ensure!(leader == 0, "one follows {leader}");
        Ok(())
    }));
}

/// Two stores, each of which asks the other when it starts again.
fn rack(world: &mut World) {
    for store in 0..2u8 {
        world.node(format!("store-{store}"), move || async move {
            let endpoint = Endpoint::bind("0.0.0.0:80").await.unwrap();
            let value = Rc::new(Cell::new(0));
            let to_read = Rc::clone(&value);
            endpoint.add_rpc_handler(move |Read| {
                let value = to_read.get();
                async move { value }
            });
            if squall::boot_number() == 0 {
                value.set(7);
            } else {
                let other = (format!("store-{}", 1 - store), 80);
                let known = loop {
                    if let Ok(known) = endpoint.call_timeout(other.clone(), Read, 50.ms()).await {
                        break known;
                    }
                };
                publish("known", known);
                value.set(known);
            }
            std::future::pending::<()>().await;
        });
    }
    world.client("client", || async { sleep(900.ms()).await });
    weather(world, 300.ms());
    for (nodes, at_ms) in
        [(vec!["store-0"], 100), (vec!["store-1"], 300), (vec!["store-0", "store-1"], 500), (vec!["store-0"], 700)]
    {
        world.fault(crash(nodes).at(at_ms.ms()).restart_after(50.ms()).together());
    }
    world.check(always("something-is-left", ()).on("known", |(), value: u64| {
        ensure!(value == 7, "both are empty");
        Ok(())
    }));
}

/// Two writes without a time between them, so that no crash at a time falls there.
fn between_writes(world: &mut World) {
    world.node("bank", || async {
        if squall::boot_number() > 0 {
            publish("started", ());
            return std::future::pending::<()>().await;
        }
        for transfer in 0..10u8 {
            sleep(20.ms()).await;
            squall::point!("before a transfer");
            publish("debited", transfer);
            squall::point!("between the two writes");
            publish("credited", transfer);
        }
        std::future::pending::<()>().await;
    });
    world.client("client", || async { sleep(900.ms()).await });
    weather(world, 300.ms());
    world.fault(crash("bank").at_point("*", percent(4)).restart_after(30.ms()));
    let debited = always("both-or-none", 0).on("debited", |open, _: u8| {
        *open += 1;
        Ok(())
    });
    let credited = debited.on("credited", |open, _: u8| {
        *open -= 1;
        Ok(())
    });
    world.check(credited.on("started", |open, (): ()| {
        ensure!(*open == 0, "a transfer was left half done");
        Ok(())
    }));
}

/// A listener takes 300 ms without a word for silence; short interruptions don't matter, one of two long ones does.
fn flapping(world: &mut World) {
    world.node("speaker", || async {
        let endpoint = Endpoint::bind("0.0.0.0:80").await.unwrap();
        let mut ticks = interval(70.ms());
        loop {
            ticks.tick().await;
            endpoint.send_to("listener:80", 1, &[]).await.unwrap();
        }
    });
    world.client("listener", || async {
        let endpoint = Endpoint::bind("0.0.0.0:80").await.unwrap();
        let end = Instant::now() + 2.secs();
        while Instant::now() < end {
            if timeout(300.ms(), endpoint.recv_from(1, &mut [])).await.is_err() {
                publish("silence", ());
            }
        }
    });
    weather(world, 300.ms());
    let down = partition([["speaker"], ["listener"]]);
    world.fault(down.clone().at(100.ms()).lasts(40.ms()).every(100.ms()).times(4));
    world.fault(down.at(800.ms()).lasts(320.ms()).every(500.ms()).times(2).named("flaps"));
    world.check(always("never-silent", ()).on("silence", |(), (): ()| {
        ensure!(false, "nothing was heard for 300 ms");
        Ok(())
    }));
}

/// A copier counts the parts of each picture that come within 120 ms, and gives up when half of them are missing. Where the link is narrow they wait for each
/// other, and those that find no room are lost.
fn narrow_link(world: &mut World) {
    const PARTS: usize = 10;
    world.node("camera", || async {
        let endpoint = Endpoint::bind("0.0.0.0:80").await.unwrap();
        for _ in 0..10 {
            sleep(150.ms()).await;
            for _ in 0..PARTS {
                endpoint.send_to("copier:80", 1, &[0; 972]).await.unwrap();
            }
        }
        std::future::pending::<()>().await;
    });
    world.client("copier", || async {
        let endpoint = Endpoint::bind("0.0.0.0:80").await.unwrap();
        let start = Instant::now();
        for picture in 1..=10u64 {
            let mut parts = 0;
            let ends = start + (picture * 150 + 120).ms();
            while let Ok(Ok(_)) = squall::time::timeout_at(ends, endpoint.recv_from(1, &mut [0; 972])).await {
                parts += 1;
            }
            if parts < PARTS / 2 {
                publish("given up", picture);
            }
        }
    });
    weather(world, 300.ms());
    // Narrow, and wide enough: all parts are there in 100 ms.
    world.network().bandwidth_bits_per_second(10_000_000);
    for (from, to, at_ms) in [("echo-*", "chatter-*", 50), ("copier", "camera", 200), ("camera", "copier", 700)] {
        let narrow = fault::link_one_way(from, to, |link| {
            link.bandwidth_bits_per_second(160_000).queue_bytes(3_000);
        });
        world.fault(narrow.at(at_ms.ms()).lasts(300.ms()));
    }
    let wide = fault::link_one_way("camera", "copier", |link| {
        link.bandwidth_bits_per_second(800_000);
    });
    world.fault(wide.at(1_050.ms()).lasts(200.ms()));
    world.check(always("never-given-up", ()).on("given up", |(), picture: u64| {
        ensure!(false, "picture {picture} was given up");
        Ok(())
    }));
}

/// Who asks waits for 90 ms and no longer. On most days that is enough.
fn recorded_spike(world: &mut World) {
    world.node("oracle", || async {
        let endpoint = Endpoint::bind("0.0.0.0:80").await.unwrap();
        endpoint.add_rpc_handler(|Read| async { 7 });
        std::future::pending::<()>().await;
    });
    world.client("asker", || async {
        let endpoint = Endpoint::bind("0.0.0.0:0").await.unwrap();
        for _ in 0..40 {
            let is_answered = endpoint.call_timeout("oracle:80", Read, 90.ms()).await.is_ok();
            publish("answered", is_answered);
            sleep(15.ms()).await;
        }
    });
    weather(world, 300.ms());
    let recorded = [(0, 10), (120, 30), (180, 10), (400, 100), (450, 40), (500, 10), (900, 10)];
    let recorded = recorded.map(|(at_ms, latency_ms): (u64, u64)| (at_ms.ms(), latency_ms.ms()));
    world.link("asker", "oracle").latency(Latency::trace(recorded)).loss(percent(0));
    world.check(always("answered-in-time", ()).on("answered", |(), is_answered: bool| {
        ensure!(is_answered, "nothing was answered for 90 ms");
        Ok(())
    }));
}

/// A bank knows the payments of the last 100 ms, so that none is made twice; a copy that comes later it doesn't know.
fn late_copy(world: &mut World) {
    world.node("bank", || async {
        let endpoint = Endpoint::bind("0.0.0.0:80").await.unwrap();
        let mut known: Vec<(u8, Instant)> = Vec::new();
        let mut number = [0; 1];
        loop {
            endpoint.recv_from(1, &mut number).await.unwrap();
            known.retain(|(_, at)| at.elapsed() < 100.ms());
            if known.iter().all(|(other, _)| *other != number[0]) {
                known.push((number[0], Instant::now()));
                publish("paid", number[0]);
            }
        }
    });
    world.client("payer", || async {
        let endpoint = Endpoint::bind("0.0.0.0:0").await.unwrap();
        for number in 0..40u8 {
            endpoint.send_to("bank:80", 1, &[number]).await.unwrap();
            sleep(10.ms()).await;
        }
        sleep(500.ms()).await;
    });
    weather(world, 300.ms());
    world.network().duplicate(percent(10)).duplicate_latency(exponential(40.ms()));
    world.check(always("paid-once", 0u64).on("paid", |paid, number: u8| {
        ensure!(*paid & 1 << number == 0, "payment {number} was made twice");
        *paid |= 1 << number;
        Ok(())
    }));
}

/// A thermostat goes by what came last, and takes it for what was sent last. All links take 30 ms, but for what goes a longer way.
fn overtaken(world: &mut World) {
    world.node("thermostat", || async {
        let endpoint = Endpoint::bind("0.0.0.0:80").await.unwrap();
        let mut number = [0; 1];
        loop {
            endpoint.recv_from(1, &mut number).await.unwrap();
            publish("set", number[0]);
        }
    });
    world.client("hand", || async {
        let endpoint = Endpoint::bind("0.0.0.0:0").await.unwrap();
        for number in 0..40u8 {
            endpoint.send_to("thermostat:80", 1, &[number]).await.unwrap();
            // Mostly it is left alone for longer than any message takes.
            sleep(if number % 8 == 3 { 20.ms() } else { 90.ms() }).await;
        }
        sleep(100.ms()).await;
    });
    chatter(world, 1, 300.ms());
    world.network().latency(Latency::fixed(30.ms())).reorder(percent(10));
    world.check(always("the-last-counts", 0u8).on("set", |last, number: u8| {
        ensure!(number >= *last, "{number} came after {last}");
        *last = number;
        Ok(())
    }));
}

/// A node tells itself that time goes on, and takes it for granted that this takes no time.
fn slow_loopback(world: &mut World) {
    world.client("clock", || async {
        let endpoint = Endpoint::bind("0.0.0.0:80").await.unwrap();
        for _ in 0..60 {
            sleep(5.ms()).await;
            let sent = Instant::now();
            endpoint.send_to("127.0.0.1:80", 1, &[]).await.unwrap();
            endpoint.recv_from(1, &mut []).await.unwrap();
            publish("tick", sent.elapsed() < 1.ms());
        }
    });
    weather(world, 300.ms());
    world.loopback().latency(exponential(200.us()));
    world.check(always("ticks-in-time", ()).on("tick", |(), is_in_time: bool| {
        ensure!(is_in_time, "a tick took a millisecond");
        Ok(())
    }));
}

/// A sender that has little sends what it has; the receiver takes that for the end.
fn short_batch(world: &mut World) {
    world.client("receiver", || async {
        let endpoint = Endpoint::bind("0.0.0.0:80").await.unwrap();
        let (mut buffer, mut received) = ([0; 8], 0);
        while let Ok(Ok((length, from))) = timeout(500.ms(), endpoint.recv_from(1, &mut buffer)).await {
            endpoint.send_to(from, 2, &[]).await.unwrap();
            received += length;
            if length < buffer.len() {
                break;
            }
        }
        publish("received", received);
    });
    world.client("sender", || async {
        let endpoint = Endpoint::bind("0.0.0.0:0").await.unwrap();
        let mut left = 83;
        while left > 0 {
            if squall::buggify!("a pause between two batches") {
                sleep(20.ms()).await;
            }
            let full = if squall::buggify!("a short batch", percent(10)) { 3 } else { 8 };
            let batch = full.min(left);
            endpoint.send_to("receiver:80", 1, &vec![0; batch]).await.unwrap();
            if timeout(100.ms(), endpoint.recv_from(2, &mut [])).await.is_err() {
                break;
            }
            left -= batch;
        }
    });
    chatter(world, 1, 300.ms());
    world.network().latency(uniform(1.ms(), 10.ms()));
    world.check(always("all-arrives", ()).on("received", |(), received: usize| {
        ensure!(received == 83, "{received} of 83 arrived");
        Ok(())
    }));
}

/// A lease of 100 ms is renewed each 20 ms, unless somebody sets that otherwise.
fn long_interval(world: &mut World) {
    world.node("giver", || async {
        let endpoint = Endpoint::bind("0.0.0.0:80").await.unwrap();
        endpoint.recv_from(1, &mut []).await.unwrap();
        while timeout(100.ms(), endpoint.recv_from(1, &mut [])).await.is_ok() {}
        publish("expired", ());
        std::future::pending::<()>().await;
    });
    world.client("holder", || async {
        let endpoint = Endpoint::bind("0.0.0.0:0").await.unwrap();
        let interval_ms: u64 = squall::knob!("interval", 20, [5, 80, 200]);
        let times: u64 = squall::knob!("renewals", 10, [12, 14]);
        for _ in 0..times {
            endpoint.send_to("giver:80", 1, &[]).await.unwrap();
            sleep(interval_ms.ms()).await;
        }
    });
    chatter(world, 1, 50.ms());
    world.network().latency(uniform(1.ms(), 10.ms()));
    world.check(always("never-expires", ()).on("expired", |(), (): ()| {
        ensure!(false, "the lease has expired");
        Ok(())
    }));
}

fn both_replicas(world: &mut World) {
    two_replicas(world, fault::swizzle("store-*"));
}

/// What is held is there later, but not in time.
fn both_held(world: &mut World) {
    two_replicas(world, fault::swizzle("store-*").holds_messages());
}

/// One of two replicas is enough to be answered, within two calls to each.
fn two_replicas(world: &mut World, swizzle: fault::Fault) {
    for store in 0..5 {
        world.node(format!("store-{store}"), || async {
            let endpoint = Endpoint::bind("0.0.0.0:80").await.unwrap();
            endpoint.add_rpc_handler(|Read| async { 7 });
            std::future::pending::<()>().await;
        });
    }
    world.client("client", || async {
        let endpoint = Endpoint::bind("0.0.0.0:0").await.unwrap();
        let end = Instant::now() + 900.ms();
        while Instant::now() < end {
            let calls =
                (0..6u8).map(|number| endpoint.call_timeout((format!("store-{}", number % 2), 80), Read, 25.ms()));
            let answers = futures::future::join_all(calls).await;
            publish("answers", answers.iter().filter(|answer| answer.is_ok()).count());
            sleep(20.ms()).await;
        }
    });
    chatter(world, 1, 300.ms());
    world.network().latency(uniform(1.ms(), 10.ms())).loss(percent(1));
    world.fault(swizzle.at(200.ms()).stagger(40.ms()).lasts(100.ms()));
    world.check(always("one-answers", ()).on("answers", |(), answers: usize| {
        ensure!(answers > 0, "neither replica answers");
        Ok(())
    }));
}
