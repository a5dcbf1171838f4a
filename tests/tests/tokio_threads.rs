//! A node that tokio executes leaves no thread behind. Alone in its process, whose threads it counts.
#![cfg(all(target_os = "linux", target_env = "gnu"))]

use std::future::pending;
use std::time::Duration;

use squall::prelude::*;
use squall::trace::Verdict;
use squall::{World, publish};
use squall_tests::run;
use tokio::sync::oneshot;
use tokio::time::sleep;

fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

/// How many threads this process has that are named so.
fn threads_of_tokio() -> usize {
    let tasks = std::fs::read_dir("/proc/self/task").unwrap().flatten();
    tasks
        .filter(|task| {
            std::fs::read_to_string(task.path().join("comm")).is_ok_and(|name| name.trim() == "tokio-rt-worker")
        })
        .count()
}

#[test]
fn no_thread_is_left_over() {
    let outcome = run(|world: &mut World| {
        let body = || async {
            // One idles, one sleeps, one waits for what a task is to bring, one never begins. One was made by another.
            tokio::task::spawn_blocking(|| ()).await.unwrap();
            tokio::task::spawn_blocking(|| tokio::task::spawn_blocking(|| ())).await.unwrap().await.unwrap();
            tokio::task::spawn_blocking(|| std::thread::sleep(Duration::from_secs(1_000)));
            let (tx, rx) = oneshot::channel::<()>();
            tokio::task::spawn_blocking(|| rx.blocking_recv());
            tokio::spawn(async move {
                let _tx = tx;
                pending::<()>().await;
            });
            sleep(ms(5)).await;
            tokio::task::spawn_blocking(|| publish("begun", 1));
            pending::<()>().await;
        };
        world.node("node", body).tokio();
        world.fault(squall::crash("node").at(ms(3)).restart_after(ms(1)));
        world.end_at(ms(8));
    });
    assert_eq!(outcome.verdict, Verdict::Pass, "{:?}", outcome.verdict);
    assert_eq!(outcome.escapes, Vec::<String>::new());
    let patience = std::time::Instant::now() + Duration::from_secs(20);
    while threads_of_tokio() > 0 {
        assert!(std::time::Instant::now() < patience, "{} threads are left", threads_of_tokio());
        std::thread::sleep(ms(5));
    }
}
