//! Planted bugs, each with the smallest cause that is known by hand.
//!
//! In calm weather none of them shows. Each network draws more than the bug needs, so that a failing run has many
//! perturbations beside its cause.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use squall::fs::{self, File};
use squall::net::Endpoint;
use squall::prelude::*;
use squall::time::{Instant, sleep, sleep_until, timeout};
use squall::trace::SiteKind;
use squall::{World, crash, partition, publish};

/// A world with a bug, and what is known of it.
#[derive(Clone, Copy, Debug)]
pub struct Bug {
    /// What it is called.
    pub name: &'static str,
    /// Fills the world.
    pub build: fn(&mut World),
    /// The property that it breaks.
    pub property: &'static str,
    /// What causes it, at the least: each of these is one smallest set, by the kinds of its perturbations.
    pub causes: &'static [&'static [SiteKind]],
}

/// One message is late or early enough, or two are together.
const LATE: &[&[SiteKind]] = &[&[SiteKind::Latency], &[SiteKind::Latency, SiteKind::Latency]];

/// All of them.
pub const BUGS: &[Bug] = &[
    Bug {
        name: "paid twice",
        build: paid_twice,
        property: "paid-once",
        causes: &[&[SiteKind::Loss], &[SiteKind::Duplicate]],
    },
    Bug { name: "lost update", build: lost_update, property: "both-counted", causes: LATE },
    Bug { name: "reordered messages", build: reordered, property: "last-wins", causes: LATE },
    Bug {
        name: "crash between two writes",
        build: crash_between_writes,
        property: "all-or-nothing",
        causes: &[&[SiteKind::Fault]],
    },
    Bug {
        name: "stale read after partitions",
        build: stale_read,
        property: "reads-see-writes",
        causes: &[&[SiteKind::Fault, SiteKind::Fault]],
    },
    Bug {
        name: "double leader",
        build: double_leader,
        property: "one-leader",
        causes: &[&[SiteKind::Loss, SiteKind::Loss, SiteKind::Loss]],
    },
    Bug {
        name: "two of many operations",
        build: forgotten_close,
        property: "no-write-when-closed",
        causes: &[&[SiteKind::Operation, SiteKind::Operation]],
    },
    Bug {
        name: "an operation and a loss in it",
        build: added_twice,
        property: "sum-is-right",
        causes: &[&[SiteKind::Operation, SiteKind::Loss]],
    },
    Bug {
        name: "a crash that a control task asks for",
        build: leader_crash,
        property: "acknowledged-is-kept",
        causes: &[&[SiteKind::Fault, SiteKind::Operation], &[SiteKind::Operation, SiteKind::Fault]],
    },
    Bug {
        name: "a mirror that misses a message",
        build: mirror,
        property: "mirrored-in-the-end",
        causes: &[&[SiteKind::Loss]],
    },
    Bug {
        name: "a flipped bit that nobody looks for",
        build: unchecked,
        property: "as-it-was-sent",
        causes: &[&[SiteKind::Corruption]],
    },
    Bug {
        name: "a pause in the midst of a lease",
        build: expired_lease,
        property: "the-holder-writes",
        causes: &[&[SiteKind::Fault]],
    },
    Bug {
        name: "order of two wakes",
        build: order_of_wakes,
        property: "first-before-second",
        causes: &[&[SiteKind::Order]],
    },
    Bug {
        name: "acknowledged before it is synced",
        build: acknowledged_too_early,
        property: "acknowledged-is-kept",
        causes: &[&[SiteKind::Fault, SiteKind::DiskCrash]],
    },
    Bug {
        name: "a page that is written over in place",
        build: torn_page,
        property: "pages-are-whole",
        causes: &[&[SiteKind::Fault, SiteKind::DiskCrash]],
    },
    Bug {
        name: "a mark of what isn't there yet",
        build: mark_before_its_data,
        property: "marked-is-there",
        causes: &[&[SiteKind::Fault, SiteKind::DiskCrash]],
    },
    Bug {
        name: "a sync that is tried again",
        build: sync_tried_again,
        property: "acknowledged-is-kept",
        causes: &[&[SiteKind::DiskFailure, SiteKind::DiskCrash, SiteKind::Fault]],
    },
    Bug {
        name: "a file without a checksum",
        build: no_checksum,
        property: "read-as-written",
        causes: &[&[SiteKind::BitRot]],
    },
    Bug {
        name: "a write that takes longer than the lease",
        build: slow_write,
        property: "the-holder-writes",
        causes: &[&[SiteKind::DiskLatency]],
    },
];

/// Background: `pairs` of clients and servers that talk for `lasts` and have nothing to do with any bug.
pub fn chatter(world: &mut World, pairs: usize, lasts: Duration) {
    for pair in 0..pairs {
        world.node(format!("echo-{pair}"), || async {
            let endpoint = Endpoint::bind("0.0.0.0:7").await.unwrap();
            let mut buffer = [0; 8];
            loop {
                let (length, from) = endpoint.recv_from(1, &mut buffer).await.unwrap();
                endpoint.send_to(from, 1, &buffer[..length]).await.unwrap();
            }
        });
        world.client(format!("chatter-{pair}"), move || async move {
            let endpoint = Endpoint::bind("0.0.0.0:0").await.unwrap();
            let end = Instant::now() + lasts;
            let mut buffer = [0; 8];
            let mut number = 0u64;
            while Instant::now() < end {
                number += 1;
                endpoint.send_to((format!("echo-{pair}").as_str(), 7), 1, &number.to_le_bytes()).await.unwrap();
                let _ = timeout(20.ms(), endpoint.recv_from(1, &mut buffer)).await;
            }
        });
    }
}

/// The client asks again, the bank isn't idempotent: one lost answer, or one call that arrives twice.
pub fn paid_twice(world: &mut World) {
    chatter(world, 2, 200.ms());
    pays(world, Duration::ZERO);
    world.network().latency(uniform(1.ms(), 10.ms())).loss(percent(4)).duplicate(percent(1));
}

/// The client of [`paid_twice`], which pays after a while.
pub fn pays(world: &mut World, after: Duration) {
    world.node("bank", || async {
        let endpoint = Endpoint::bind("0.0.0.0:80").await.unwrap();
        let mut buffer = [0; 8];
        loop {
            let (_, from) = endpoint.recv_from(1, &mut buffer).await.unwrap();
            publish("paid", u64::from_le_bytes(buffer));
            endpoint.send_to(from, 1, &buffer).await.unwrap();
        }
    });
    world.client("alice", move || async move {
        sleep(after).await;
        let endpoint = Endpoint::bind("0.0.0.0:0").await.unwrap();
        for payment in 0..2u64 {
            let mut buffer = [0; 8];
            loop {
                endpoint.send_to("bank:80", 1, &payment.to_le_bytes()).await.unwrap();
                if timeout(50.ms(), endpoint.recv_from(1, &mut buffer)).await.is_ok() {
                    break;
                }
            }
        }
    });
    world.check(always("paid-once", Vec::new()).on("paid", |paid, payment: u64| {
        ensure!(!paid.contains(&payment), "payment {payment} was made twice");
        paid.push(payment);
        Ok(())
    }));
}

/// Two clients read, add one and write. In calm weather the first has written before the second reads.
fn lost_update(world: &mut World) {
    chatter(world, 2, 100.ms());
    world.node("store", || async {
        let endpoint = Endpoint::bind("0.0.0.0:80").await.unwrap();
        let mut value = 0u64;
        let mut buffer = [0; 8];
        loop {
            // An empty message reads, a number is written.
            let (length, from) = endpoint.recv_from(1, &mut buffer).await.unwrap();
            if length == 8 {
                value = u64::from_le_bytes(buffer);
                publish("written", value);
            } else {
                endpoint.send_to(from, 1, &value.to_le_bytes()).await.unwrap();
            }
        }
    });
    for (client, starts_ms) in [("first", 0), ("second", 50)] {
        world.client(client, move || async move {
            sleep(starts_ms.ms()).await;
            let endpoint = Endpoint::bind("0.0.0.0:0").await.unwrap();
            let mut buffer = [0; 8];
            endpoint.send_to("store:80", 1, &[]).await.unwrap();
            endpoint.recv_from(1, &mut buffer).await.unwrap();
            let value = u64::from_le_bytes(buffer) + 1;
            endpoint.send_to("store:80", 1, &value.to_le_bytes()).await.unwrap();
            sleep(100.ms()).await;
        });
    }
    world.network().latency(uniform(1.ms(), 40.ms()));
    // The second write of the two adds to the first.
    world.check(always("both-counted", 0).on("written", |writes, value: u64| {
        *writes += 1;
        ensure!(value == *writes, "after {writes} writes the value is {value}");
        Ok(())
    }));
}

/// The later of two messages must win; nothing numbers them.
fn reordered(world: &mut World) {
    chatter(world, 2, 100.ms());
    world.node("lamp", || async {
        let endpoint = Endpoint::bind("0.0.0.0:80").await.unwrap();
        let mut buffer = [0; 1];
        loop {
            endpoint.recv_from(1, &mut buffer).await.unwrap();
            publish("lit", buffer[0]);
        }
    });
    world.client("switch", || async {
        let endpoint = Endpoint::bind("0.0.0.0:0").await.unwrap();
        for state in 1..=3u8 {
            endpoint.send_to("lamp:80", 1, &[state]).await.unwrap();
            sleep(8.ms()).await;
        }
        sleep(100.ms()).await;
    });
    world.network().latency(uniform(1.ms(), 20.ms()));
    world.check(always("last-wins", 0).on("lit", |last, state: u8| {
        ensure!(state > *last, "{state} came after {last}");
        *last = state;
        Ok(())
    }));
}

/// A transfer writes twice, with some work between; four crashes are scripted, and one of them falls between.
fn crash_between_writes(world: &mut World) {
    chatter(world, 2, 500.ms());
    world.node("bank", || async {
        let boot = squall::boot_number();
        for transfer in 0..4u64 {
            sleep(40.ms()).await;
            publish("debited", (boot, transfer));
            sleep(10.ms()).await;
            publish("credited", (boot, transfer));
        }
        std::future::pending::<()>().await;
    });
    world.client("client", || async { sleep(700.ms()).await });
    // The first one falls into the first transfer, the others, whenever the bank has started again, beside one.
    for at_ms in [45, 330, 480, 600] {
        world.fault(crash("bank").at(at_ms.ms()).restart_after(50.ms()));
    }
    world.network().latency(uniform(1.ms(), 10.ms())).loss(percent(5));
    world.check(
        always("all-or-nothing", None)
            .on("debited", |open, transfer: (u32, u64)| {
                ensure!(open.is_none(), "a transfer was left half done: {open:?}");
                *open = Some(transfer);
                Ok(())
            })
            .on("credited", |open, _: (u32, u64)| {
                *open = None;
                Ok(())
            }),
    );
}

/// A write goes to the leader, which tells the follower twice, a second apart. Two partitions swallow both.
fn stale_read(world: &mut World) {
    chatter(world, 2, 500.ms());
    world.node("follower", || async {
        let endpoint = Endpoint::bind("0.0.0.0:80").await.unwrap();
        let mut value = 0u8;
        let mut buffer = [0; 1];
        loop {
            let (length, from) = endpoint.recv_from(1, &mut buffer).await.unwrap();
            if length == 1 {
                value = buffer[0];
            } else {
                endpoint.send_to(from, 1, &[value]).await.unwrap();
            }
        }
    });
    world.node("leader", || async {
        let endpoint = Endpoint::bind("0.0.0.0:80").await.unwrap();
        let mut buffer = [0; 1];
        endpoint.recv_from(1, &mut buffer).await.unwrap();
        for _ in 0..2 {
            endpoint.send_to("follower:80", 1, &buffer).await.unwrap();
            sleep(1.secs()).await;
        }
        std::future::pending::<()>().await;
    });
    world.client("client", || async {
        let endpoint = Endpoint::bind("0.0.0.0:0").await.unwrap();
        let mut buffer = [0; 1];
        sleep(1.secs()).await;
        endpoint.send_to("leader:80", 1, &[1]).await.unwrap();
        sleep(3.secs()).await;
        endpoint.send_to("follower:80", 1, &[]).await.unwrap();
        endpoint.recv_from(1, &mut buffer).await.unwrap();
        publish("read", buffer[0]);
    });
    for (at_ms, lasts_ms) in [(200, 100), (900, 300), (1_500, 100), (1_900, 300), (2_600, 100)] {
        world.fault(partition([["leader"], ["follower"]]).at(at_ms.ms()).lasts(lasts_ms.ms()));
    }
    world.network().latency(uniform(1.ms(), 10.ms()));
    world.check(always("reads-see-writes", ()).on("read", |(), value: u8| {
        ensure!(value == 1, "the write wasn't seen");
        Ok(())
    }));
}

/// The follower makes itself leader when it hears nothing for 160 ms; a heartbeat comes every 50. Three in a row must be lost.
fn double_leader(world: &mut World) {
    chatter(world, 1, 500.ms());
    world.node("leader", || async {
        let endpoint = Endpoint::bind("0.0.0.0:80").await.unwrap();
        publish("leads", 0);
        loop {
            endpoint.send_to("follower:80", 1, &[]).await.unwrap();
            sleep(50.ms()).await;
        }
    });
    world.node("follower", || async {
        let endpoint = Endpoint::bind("0.0.0.0:80").await.unwrap();
        while timeout(160.ms(), endpoint.recv_from(1, &mut [])).await.is_ok() {}
        publish("leads", 1);
        std::future::pending::<()>().await;
    });
    world.client("client", || async { sleep(2.secs()).await });
    world.network().latency(uniform(1.ms(), 3.ms())).loss(percent(25));
    world.check(always("one-leader", 0).on("leads", |leaders, _: u32| {
        *leaders += 1;
        ensure!(*leaders == 1, "there are {leaders} leaders");
        Ok(())
    }));
}

#[derive(Debug, Serialize, Deserialize)]
enum FileOperation {
    Open,
    Close,
    Write,
    Read,
}

#[derive(Debug, Serialize, Deserialize, squall::Request)]
#[rtype(bool)]
struct Ask(FileOperation);

/// A file is open from the start; writing after it was closed is a bug. It takes a close and a later write, out of forty operations.
fn forgotten_close(world: &mut World) {
    chatter(world, 1, 100.ms());
    world.node("file", || async {
        let endpoint = Endpoint::bind("0.0.0.0:80").await.unwrap();
        let open = Rc::new(Cell::new(true));
        endpoint.add_rpc_handler(move |Ask(operation): Ask| {
            let open = Rc::clone(&open);
            async move {
                match operation {
                    FileOperation::Open => open.set(true),
                    FileOperation::Close => open.set(false),
                    FileOperation::Write => publish("written", open.get()),
                    FileOperation::Read => {}
                }
                true
            }
        });
        std::future::pending::<()>().await;
    });
    world.client("client", || async {
        let endpoint = Endpoint::bind("0.0.0.0:0").await.unwrap();
        let draw = |rng: &mut squall::OperationRng| match rand_core::Rng::next_u64(rng) % 16 {
            0 => FileOperation::Close,
            1 | 2 => FileOperation::Write,
            3..8 => FileOperation::Open,
            _ => FileOperation::Read,
        };
        for operation in squall::workload(40, draw) {
            endpoint.call("file:80", Ask(operation)).await.unwrap();
        }
    });
    world.network().latency(uniform(1.ms(), 10.ms()));
    world.check(always("no-write-when-closed", ()).on("written", |(), open: bool| {
        ensure!(open, "a write reached a file that was closed");
        Ok(())
    }));
}

#[derive(Debug, Serialize, Deserialize, squall::Request)]
#[rtype(())]
struct Add {
    amount: u64,
    safe: bool,
}

/// Most additions can be told from their repetition, and one in eight can't: it takes one of those, and the loss of its answer.
fn added_twice(world: &mut World) {
    chatter(world, 1, 100.ms());
    world.node("counter", || async {
        let endpoint = Endpoint::bind("0.0.0.0:80").await.unwrap();
        let seen = Rc::new(RefCell::new(Vec::new()));
        endpoint.add_rpc_handler(move |Add { amount, safe }: Add| {
            let seen = Rc::clone(&seen);
            async move {
                if safe && seen.borrow().contains(&amount) {
                    return;
                }
                seen.borrow_mut().push(amount);
                publish("added", amount);
            }
        });
        std::future::pending::<()>().await;
    });
    world.client("client", || async {
        let endpoint = Endpoint::bind("0.0.0.0:0").await.unwrap();
        let mut number = 0;
        let draw = |rng: &mut squall::OperationRng| {
            number += 1;
            Add { amount: number, safe: !rand_core::Rng::next_u64(rng).is_multiple_of(8) }
        };
        for Add { amount, safe } in squall::workload(30, draw) {
            while endpoint.call_timeout("counter:80", Add { amount, safe }, 50.ms()).await.is_err() {}
        }
    });
    world.network().latency(uniform(1.ms(), 10.ms())).loss(percent(8));
    world.check(always("sum-is-right", Vec::new()).on("added", |added, amount: u64| {
        ensure!(!added.contains(&amount), "{amount} was added twice");
        added.push(amount);
        Ok(())
    }));
}

#[derive(Debug, Serialize, Deserialize, squall::Request)]
#[rtype(())]
struct Keep(u64);

/// What is acknowledged is kept in memory alone. A control task crashes the store whenever it has kept something of some kind; it takes
/// that operation, and that crash.
fn leader_crash(world: &mut World) {
    chatter(world, 1, 100.ms());
    world.node("store", || async {
        let endpoint = Endpoint::bind("0.0.0.0:80").await.unwrap();
        endpoint.add_rpc_handler(|Keep(value): Keep| async move { publish("kept", value) });
        if squall::boot_number() > 0 {
            publish("lost", squall::boot_number());
        }
        std::future::pending::<()>().await;
    });
    world.client("client", || async {
        let endpoint = Endpoint::bind("0.0.0.0:0").await.unwrap();
        for value in squall::workload(30, |rng| rand_core::Rng::next_u64(rng) % 12) {
            let _ = endpoint.call_timeout("store:80", Keep(value), 50.ms()).await;
            sleep(5.ms()).await;
        }
    });
    world.control(|cluster| async move {
        let mut crashes = 0;
        while crashes < 2 {
            sleep(1.ms()).await;
            if cluster.published("kept").iter().any(|(_, value)| &**value == "7") {
                crashes += 1;
                cluster.crash("store");
                sleep(10.ms()).await;
                cluster.restart("store");
            }
        }
    });
    world.network().latency(uniform(1.ms(), 10.ms()));
    world.check(always("acknowledged-is-kept", ()).on("lost", |(), boot: u32| {
        ensure!(boot == 0, "what was kept is lost in boot {boot}");
        Ok(())
    }));
}

/// A writer tells a mirror of each change once. What it has isn't compared before the end, which comes after ten seconds.
fn mirror(world: &mut World) {
    world.node("mirror", || async {
        let endpoint = Endpoint::bind("0.0.0.0:80").await.unwrap();
        loop {
            endpoint.recv_from(1, &mut [0; 1]).await.unwrap();
            publish("mirrored", ());
        }
    });
    world.client("writer", || async {
        let endpoint = Endpoint::bind("0.0.0.0:0").await.unwrap();
        for change in 0..20u8 {
            publish("changed", ());
            endpoint.send_to("mirror:80", 1, &[change]).await.unwrap();
            sleep(20.ms()).await;
        }
    });
    chatter(world, 1, 10.secs());
    world.network().latency(uniform(1.ms(), 10.ms())).loss(percent(2));
    let counted = always("mirrored-in-the-end", 0i64);
    let counted = counted.on("changed", |open, (): ()| {
        *open += 1;
        Ok(())
    });
    let counted = counted.on("mirrored", |open, (): ()| {
        *open -= 1;
        Ok(())
    });
    world.check(counted.at_end(|open| {
        ensure!(*open == 0, "{open} changes aren't in the mirror");
        Ok(())
    }));
}

/// A number is taken as it comes: a checksum would have told.
fn unchecked(world: &mut World) {
    world.node("meter", || async {
        let endpoint = Endpoint::bind("0.0.0.0:80").await.unwrap();
        let mut buffer = [0; 8];
        loop {
            endpoint.recv_from(1, &mut buffer).await.unwrap();
            publish("measured", u64::from_le_bytes(buffer));
        }
    });
    world.client("sensor", || async {
        let endpoint = Endpoint::bind("0.0.0.0:0").await.unwrap();
        for _ in 0..50 {
            endpoint.send_to("meter:80", 1, &7u64.to_le_bytes()).await.unwrap();
            sleep(3.ms()).await;
        }
        sleep(20.ms()).await;
    });
    chatter(world, 1, 100.ms());
    world.network().latency(uniform(1.ms(), 10.ms())).loss(percent(2)).corruption(percent(2));
    world.check(always("as-it-was-sent", ()).on("measured", |(), number: u64| {
        ensure!(number == 7, "{number} was measured");
        Ok(())
    }));
}

#[derive(Debug, Serialize, Deserialize, squall::Request)]
#[rtype(bool)]
struct Lease(u8);

/// Who has a lease of 100 ms writes 5 ms later, without a look at the clock or a number that tells an old lease from a new one (M. Kleppmann,
/// "How to do distributed locking", 2016): a writer that stands still meanwhile writes when another has the lease.
fn expired_lease(world: &mut World) {
    world.node("leases", || async {
        let endpoint = Endpoint::bind("0.0.0.0:80").await.unwrap();
        let holder: Rc<Cell<Option<(u8, Instant)>>> = Rc::default();
        endpoint.add_rpc_handler(move |Lease(who): Lease| {
            let is_free = holder.get().is_none_or(|(_, until)| until <= Instant::now());
            if is_free {
                holder.set(Some((who, Instant::now() + 100.ms())));
                publish("leased", who);
            }
            async move { is_free }
        });
        std::future::pending::<()>().await;
    });
    world.node("store", || async {
        let endpoint = Endpoint::bind("0.0.0.0:80").await.unwrap();
        let mut who = [0; 1];
        loop {
            endpoint.recv_from(1, &mut who).await.unwrap();
            publish("written", who[0]);
        }
    });
    for who in 0..2u8 {
        world.client(format!("writer-{who}"), move || async move {
            let endpoint = Endpoint::bind("0.0.0.0:0").await.unwrap();
            let mut written = 0;
            while written < 8 {
                if let Ok(true) = endpoint.call_timeout("leases:80", Lease(who), 50.ms()).await {
                    publish("working", written);
                    sleep(5.ms()).await;
                    endpoint.send_to("store:80", 1, &[who]).await.unwrap();
                    written += 1;
                    sleep(120.ms()).await;
                }
                sleep(15.ms()).await;
            }
        });
    }
    // Whoever works for the third time is to stand still.
    world.control(|cluster| async move {
        let mut left = vec!["writer-0".to_string(), "writer-1".to_string()];
        while !left.is_empty() {
            sleep(1.ms()).await;
            for (writer, written) in cluster.published("working") {
                if &*written == "2" && left.contains(&writer) {
                    left.retain(|other| *other != writer);
                    if cluster.pause(&writer) {
                        sleep(300.ms()).await;
                        cluster.resume(&writer);
                    }
                }
            }
        }
    });
    chatter(world, 1, 100.ms());
    world.network().latency(uniform(1.ms(), 10.ms())).loss(percent(1));
    let leased = always("the-holder-writes", None).on("leased", |holder, who: u8| {
        *holder = Some(who);
        Ok(())
    });
    world.check(leased.on("written", |holder, who: u8| {
        ensure!(*holder == Some(who), "writer {who} writes under the lease of {holder:?}");
        Ok(())
    }));
}

/// Two tasks sleep to the same instant; the one that was spawned first must go first.
fn order_of_wakes(world: &mut World) {
    chatter(world, 1, 100.ms());
    world.client("client", || async {
        let at = Instant::now() + 50.ms();
        let first = squall::spawn(async move {
            sleep_until(at).await;
            publish("went", 1);
        });
        let second = squall::spawn(async move {
            sleep_until(at).await;
            publish("went", 2);
        });
        first.await.unwrap();
        second.await.unwrap();
    });
    world.network().latency(uniform(1.ms(), 10.ms()));
    world.check(always("first-before-second", 0).on("went", |last, number: u32| {
        ensure!(number == *last + 1, "{number} went after {last}");
        *last = number;
        Ok(())
    }));
}

/// A store on a disk, which works until it crashes and then publishes what it finds. A test of a bug of disks has little weather beside.
fn store_that_crashes<W, L>(world: &mut World, works: fn() -> W, looks: fn() -> L)
where
    W: Future<Output = std::io::Result<()>> + 'static,
    L: Future<Output = std::io::Result<()>> + 'static,
{
    chatter(world, 1, 100.ms());
    world.network().latency(uniform(1.ms(), 10.ms()));
    world.node("store", move || async move {
        match squall::boot_number() {
            0 => works().await,
            _ => looks().await,
        }
    });
    world.client("end", || sleep(120.ms()));
    world.fault(crash("store").at(50.ms()).restart_after(10.ms()));
}

/// A file that is there, with its name.
async fn file_with_a_name(path: &str) -> std::io::Result<File> {
    let file = File::options().read(true).write(true).create(true).open(path).await?;
    File::open("/").await?.sync_all().await?;
    Ok(file)
}

/// Once it has published that a number is acknowledged, the number must be there after a crash.
fn kept_when_acknowledged(world: &mut World) {
    let kept = always("acknowledged-is-kept", 0).on("acknowledged", |last, number: u8| {
        *last = number;
        Ok(())
    });
    world.check(kept.on("found", |last, number: u8| {
        ensure!(number >= *last, "{last} was acknowledged, and {number} is there");
        Ok(())
    }));
}

async fn publishes_the_number() -> std::io::Result<()> {
    // What isn't there holds nothing.
    publish("found", fs::read("/number").await.unwrap_or_default().last().copied().unwrap_or(0));
    Ok(())
}

/// The sync comes, but after the answer.
fn acknowledged_too_early(world: &mut World) {
    let works = || async {
        let file = file_with_a_name("/number").await?;
        for number in 1u8.. {
            file.write_all_at(&[number], 0).await?;
            publish("acknowledged", number);
            sleep(4.ms()).await;
            file.sync_all().await?;
        }
        Ok(())
    };
    store_that_crashes(world, works, publishes_the_number);
    kept_when_acknowledged(world);
}

/// Four sectors that belong together.
fn torn_page(world: &mut World) {
    let works = || async {
        let file = file_with_a_name("/page").await?;
        for version in 1u8.. {
            file.write_all_at(&[version; 2_048], 0).await?;
            sleep(5.ms()).await;
            file.sync_all().await?;
        }
        Ok(())
    };
    let looks = || async {
        publish("page", fs::read("/page").await?.chunks(512).map(|sector| sector[0]).collect::<Vec<_>>());
        Ok(())
    };
    store_that_crashes(world, works, looks);
    world.storage().torn(percent(50));
    world.check(always("pages-are-whole", ()).on("page", |(), versions: Vec<u8>| {
        ensure!(versions.windows(2).all(|pair| pair[0] == pair[1]), "versions {versions:?} in one page");
        Ok(())
    }));
}

/// First the data, then the mark, and one sync for both: they lie in different sectors.
fn mark_before_its_data(world: &mut World) {
    let works = || async {
        let file = file_with_a_name("/data").await?;
        for number in 1u8.. {
            file.write_all_at(&[number], 1_024).await?;
            file.write_all_at(&[number], 0).await?;
            sleep(5.ms()).await;
            file.sync_all().await?;
        }
        Ok(())
    };
    let looks = || async {
        let data = fs::read("/data").await?;
        let byte = |at: usize| data.get(at).copied().unwrap_or(0);
        publish("found", (byte(0), byte(1_024)));
        Ok(())
    };
    store_that_crashes(world, works, looks);
    world.check(always("marked-is-there", ()).on("found", |(), (mark, data): (u8, u8)| {
        ensure!(data >= mark, "{mark} is marked, and {data} is there");
        Ok(())
    }));
}

/// A second sync says that all is well.
fn sync_tried_again(world: &mut World) {
    let works = || async {
        let file = loop {
            if let Ok(file) = file_with_a_name("/number").await {
                break file;
            }
        };
        file.write_all_at(&[1], 0).await?;
        while file.sync_all().await.is_err() {}
        publish("acknowledged", 1);
        std::future::pending().await
    };
    store_that_crashes(world, works, publishes_the_number);
    world.storage().sync_latency(uniform(1.ms(), 3.ms()));
    world.disk("store").sync_failure(percent(20));
    kept_when_acknowledged(world);
}

/// What was written is believed to be what is read.
fn no_checksum(world: &mut World) {
    chatter(world, 1, 100.ms());
    world.network().latency(uniform(1.ms(), 10.ms()));
    world.client("store", || async {
        fs::write("/file", "all is well").await.unwrap();
        for _ in 0..20 {
            sleep(5.ms()).await;
            publish("read", fs::read("/file").await.unwrap());
        }
    });
    world.storage().bit_rot(percent(1));
    world.check(always("read-as-written", ()).on("read", |(), bytes: Vec<u8>| {
        ensure!(bytes == b"all is well", "{:?}", String::from_utf8_lossy(&bytes));
        Ok(())
    }));
}

/// Whoever has a lease writes while it has it, and doesn't look how long that takes.
fn slow_write(world: &mut World) {
    chatter(world, 1, 100.ms());
    world.network().latency(uniform(1.ms(), 10.ms()));
    world.client("store", || async {
        for _ in 0..20 {
            let file = File::create("/file").await.unwrap();
            let lease = Instant::now() + 15.ms();
            file.write_all_at(b"mine", 0).await.unwrap();
            publish("written", Instant::now() > lease);
        }
    });
    world.storage().latency(exponential(2.ms()));
    world.check(always("the-holder-writes", ()).on("written", |(), is_late: bool| {
        ensure!(!is_late, "the lease had expired");
        Ok(())
    }));
}
