//! Nodes whose root tasks other executors than tokio execute, by `squall_engine::host`: here the pool of the crate `futures`.

use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Poll, Waker};
use std::time::Duration;

use futures::StreamExt;
use futures::executor::LocalPool;
use futures::stream::FuturesUnordered;
use futures::task::LocalSpawnExt;
use squall::prelude::*;
use squall::task::JoinSet;
use squall::time::sleep;
use squall::trace::Verdict;
use squall_engine::host::{Executor, Host, RootTask};
use squall_tests::run;

/// Executes a root task. Whoever wakes a task of the pool tells the pool alone, and nobody asks that.
fn pooled(root: RootTask) -> impl Future<Output = ()> {
    let (mut pool, mut root) = (LocalPool::new(), Box::pin(root));
    let (waker, ended) = (Rc::new(RefCell::new(None::<Waker>)), Rc::new(Cell::new(false)));
    let (root_waker, is_ended) = (Rc::clone(&waker), Rc::clone(&ended));
    let task = async move {
        poll_fn(|context| {
            root_waker.replace(Some(context.waker().clone()));
            root.as_mut().poll(context)
        })
        .await;
        is_ended.set(true);
    };
    pool.spawner().spawn_local(task).expect("the pool is there");
    let mut host = None;
    poll_fn(move |context| {
        let executor = || Executor {
            name: "futures",
            explain_panic: |_| None,
            proceed: |_, _| std::task::Poll::Ready(()),
            has_work: Box::new(|| false),
        };
        let host = host.get_or_insert_with(|| Host::new(context, executor()));
        if host.take_root_wake()
            && let Some(waker) = &*waker.borrow()
        {
            waker.wake_by_ref();
        }
        host.drive(|| pool.run_until_stalled());
        host.wait(context, None);
        if ended.get() { Poll::Ready(()) } else { Poll::Pending }
    })
}

/// Runs `body` in a node that the pool executes; it has to end.
fn ends<F>(body: impl Fn() -> F + Send + Sync + 'static)
where
    F: Future<Output = ()> + 'static,
{
    let body = Arc::new(body);
    let outcome = run(move |world: &mut World| {
        let body = Arc::clone(&body);
        world.client("client", move || body()).hosted(pooled);
    });
    assert_eq!(outcome.verdict, Verdict::Pass);
}

async fn later() -> u32 {
    sleep(Duration::from_millis(5)).await;
    7
}

/// Each future in such a set is polled with a waker of its own, which isn't the root's.
async fn in_a_set<F: Future>(future: F) -> F::Output {
    let mut set: FuturesUnordered<F> = FuturesUnordered::new();
    set.push(future);
    set.next().await.expect("there is one")
}

#[test]
fn the_root_waits() {
    ends(|| async { assert_eq!(later().await, 7) });
}

#[test]
fn other_tasks_of_the_executor_wait() {
    ends(|| async { assert_eq!(in_a_set(later()).await, 7) });
}

#[test]
fn other_tasks_of_the_executor_join() {
    ends(|| async { assert_eq!(in_a_set(squall::task::spawn(later())).await.expect("it ends"), 7) });
}

#[test]
fn other_tasks_of_the_executor_join_sets() {
    ends(|| async {
        let mut tasks = JoinSet::new();
        tasks.spawn(later());
        let ended = in_a_set(Box::pin(async move { tasks.join_next().await })).await;
        assert_eq!(ended.expect("there is one").expect("it ends"), 7);
    });
}
