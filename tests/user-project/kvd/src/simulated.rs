//! The service inside of Squall: other sockets and files, and faults.
//!
//! An unbiased `tokio::select!` draws its order from a static, so runs that are to repeat have a process each.

use std::cell::Cell;
use std::future::{Future, pending};
use std::io;
use std::time::Duration;

use squall::World;
use squall::check::models::Kv;
use squall::check::property::linearizable;
use squall::isolation::Isolation;
use squall::prelude::*;
use squall::testing::Exploration;
use tokio::time::{sleep, timeout};

use crate::os::net::TcpListener;
use crate::{Client, Config, SyncPolicy, serve};

async fn store(sync: SyncPolicy, stop: impl Future<Output = ()>) -> io::Result<()> {
    let listener = TcpListener::bind("0.0.0.0:80").await?;
    serve(listener, Config { log: "/kvd.log".into(), sync, idle: secs(5) }, stop).await
}

/// A connection, as soon as there is one.
async fn connect() -> Client {
    loop {
        if let Ok(Ok(client)) = timeout(secs(1), Client::connect("kvd:80")).await {
            return client;
        }
        sleep(50.ms()).await;
    }
}

/// Reads and writes two keys, and tells the history what came of it.
async fn reads_and_writes(number: u32) {
    let mut history = squall::history::Client::new();
    let mut client = connect().await;
    for round in 0..8u32 {
        let key = ["a", "b"][rand::random_range(0..2)];
        let is_over = if rand::random_range(0..2) == 0 {
            let open = history.invoke_on("get", key, ());
            match timeout(500.ms(), client.get(key)).await {
                Ok(Ok(value)) => {
                    open.ok(value.unwrap_or_default());
                    true
                }
                _ => false,
            }
        } else {
            let value = format!("{number}.{round}");
            let open = history.invoke_on("put", key, &*value);
            match timeout(500.ms(), client.set(key, &value, None)).await {
                Ok(Ok(())) => {
                    open.ok(value);
                    true
                }
                // Dropped, it is one of which nobody knows.
                _ => false,
            }
        };
        if !is_over {
            client = connect().await;
        }
        sleep(Duration::from_millis(rand::random_range(0..400))).await;
    }
}

fn cluster(world: &mut World, sync: SyncPolicy) {
    world.node("kvd", move || store(sync, pending())).tokio();
    world.clients("client", 3, reads_and_writes).tokio();
    world.link("client-*", "kvd").latency(uniform(1.ms(), 20.ms())).loss(percent(2)).reset(permille(5));
    world.fault(squall::crash("kvd").at(700.ms()).restart_after(300.ms()));
    world.fault(squall::crash("kvd").at(1_500.ms()).restart_after(100.ms()));
    world.fault(squall::partition([["client-0"], ["kvd"]]).at(1_900.ms()).lasts(400.ms()));
    world.check(linearizable(Kv));
}

#[squall::test(seeds = 100, isolation = "process")]
fn what_is_acknowledged_outlives_crashes(world: &mut World) {
    cluster(world, SyncPolicy::Always);
}

/// The test above bites: a store that acknowledges before it syncs is found.
#[test]
fn what_is_synced_once_a_second_does_not() {
    let exploration = Exploration::new().seeds(0..100).isolation(Isolation::Process);
    let finding = exploration.find(|world| cluster(world, SyncPolicy::EverySecond)).expect_err("it loses writes");
    assert_eq!(finding.property(), Some("linearizable"), "{finding}");
    assert!(finding.to_string().contains("/kvd.log"), "what it takes is a write that the crash lost: {finding}");
}

#[squall::test(seeds = 20, isolation = "process")]
fn keys_expire_also_over_a_crash(world: &mut World) {
    world.node("kvd", || store(SyncPolicy::Always, pending())).tokio();
    let client = || async {
        let mut client = connect().await;
        client.set("short", "1", Some(secs(2))).await.unwrap();
        client.set("long", "2", Some(secs(60))).await.unwrap();
        client.set("gone", "3", None).await.unwrap();
        client.delete("gone").await.unwrap();
        // Beyond the crash, and before the end.
        sleep(1_500.ms()).await;
        let mut client = connect().await;
        assert_eq!(client.get("short").await.unwrap().as_deref(), Some("1"));
        sleep(500.ms()).await;
        assert_eq!(client.get("short").await.unwrap(), None);
        assert_eq!(client.get("long").await.unwrap().as_deref(), Some("2"));
        assert_eq!(client.get("gone").await.unwrap(), None);
    };
    world.client("client", client).tokio();
    world.link("client", "kvd").latency(uniform(1.ms(), 10.ms()));
    world.fault(squall::crash("kvd").at(secs(1)).restart_after(200.ms()));
}

/// A timer stands for the signal.
#[squall::test(seeds = 20, isolation = "process")]
fn who_is_told_to_stop_answers_what_was_asked(world: &mut World) {
    let kvd = || async {
        let starts = squall::boot_number() == 0;
        let stop = async move { if starts { sleep(305.ms()).await } else { pending().await } };
        store(SyncPolicy::Always, stop).await?;
        squall::publish("stopped", ());
        io::Result::Ok(())
    };
    world.node("kvd", kvd).tokio();
    let client = || async {
        let mut client = connect().await;
        let set = Cell::new(0u32);
        let write = async {
            loop {
                let next = set.get() + 1;
                if client.set("count", &next.to_string(), None).await.is_err() {
                    return;
                }
                set.set(next);
            }
        };
        // Closed, and not left open.
        timeout(secs(1), write).await.expect("the connection is closed");
        let there = connect().await.get("count").await.unwrap().map(|text| text.parse::<u32>().unwrap());
        let there = there.unwrap_or_default();
        assert_eq!(there, set.get(), "what was applied was answered as well, and the other way round");
    };
    world.client("client", client).tokio();
    world.link("client", "kvd").latency(uniform(1.ms(), 10.ms()));
    // It is down already as far as its service goes; the machine is started anew.
    world.fault(squall::crash("kvd").at(secs(1)).restart_after(100.ms()));
    let stops = always("stops-once", 0).on("stopped", |times, ()| {
        *times += 1;
        Ok(())
    });
    world.check(stops.at_end(|times| {
        ensure!(*times == 1, "it stopped {times} times");
        Ok(())
    }));
}

/// One that asks nothing for long is put out.
#[squall::test(seeds = 20, isolation = "process")]
fn an_idle_connection_is_closed(world: &mut World) {
    world.node("kvd", || store(SyncPolicy::Always, pending())).tokio();
    let client = || async {
        let mut client = connect().await;
        sleep(secs(4)).await;
        client.set("a", "1", None).await.unwrap();
        sleep(secs(6)).await;
        assert!(client.set("a", "2", None).await.is_err());
        assert_eq!(connect().await.get("a").await.unwrap().as_deref(), Some("1"));
    };
    world.client("client", client).tokio();
}
