//! Typed calls: timeouts, refusals, partitions, crashes, concurrency.

use std::cell::Cell;
use std::io::{self, ErrorKind};
use std::rc::Rc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use squall::net::Endpoint;
use squall::prelude::*;
use squall::time::{Instant, sleep, timeout};
use squall::{Request, rpc};

/// Works for a while, then gives the number back.
#[derive(Debug, Serialize, Deserialize, Request)]
#[rtype("Echo")]
struct Work {
    number: u64,
    milliseconds: u64,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Echo {
    number: u64,
}

mod counting {
    use super::*;

    /// How long a text is.
    #[derive(Serialize, Deserialize, Request)]
    #[rtype(Option<usize>)]
    pub struct Work(pub String);
}

async fn serve() -> io::Result<()> {
    let endpoint = Endpoint::bind("0.0.0.0:80").await?;
    endpoint.add_rpc_handler(|work: Work| async move {
        sleep(work.milliseconds.ms()).await;
        Echo { number: work.number }
    });
    endpoint.add_rpc_handler(|work: counting::Work| async move { Some(work.0.len()).filter(|length| *length > 0) });
    std::future::pending().await
}

/// A server and a client that does what it is told, with every message 3 ms under way.
fn pair<Fut>(world: &mut World, client: impl Fn(Endpoint) -> Fut + Clone + 'static)
where
    Fut: Future<Output = ()> + 'static,
{
    world.network().latency(fixed(3.ms()));
    world.node("server", serve);
    world.client("client", move || {
        let client = client.clone();
        async move {
            client(Endpoint::bind("0.0.0.0:0").await.expect("a free port")).await;
        }
    });
}

fn work(number: u64, milliseconds: u64) -> Work {
    Work { number, milliseconds }
}

/// How a call ends and how long it takes.
async fn timed<R: Request>(call: rpc::Call<'_, R>) -> (Result<R::Response, ErrorKind>, Duration) {
    let begun = Instant::now();
    let answer = call.await.map_err(|error| error.kind());
    (answer, begun.elapsed())
}

#[test]
fn a_method_s_name_is_the_path_of_its_type() {
    assert_eq!(Work::NAME, "rpc::Work");
    assert_eq!(counting::Work::NAME, "rpc::counting::Work");
    assert_ne!(Work::ID, counting::Work::ID);
}

#[squall::test(seeds = 5)]
fn a_call_is_answered_by_its_method(world: &mut World) {
    pair(world, |endpoint| async move {
        assert_eq!(timed(endpoint.call("server:80", work(1, 10))).await, (Ok(Echo { number: 1 }), 16.ms()));
        let counted = timed(endpoint.call("server:80", counting::Work("four".to_string()))).await;
        assert_eq!(counted, (Ok(Some(4)), 6.ms()));
    });
}

#[squall::test(seeds = 5)]
fn a_slow_answer_times_out_at_the_very_nanosecond(world: &mut World) {
    pair(world, |endpoint| async move {
        let given = Duration::from_nanos(20_000_001);
        let slow = timed(endpoint.call_timeout("server:80", work(1, 100), given)).await;
        assert_eq!(slow, (Err(ErrorKind::TimedOut), given));
        // It comes just in time, or just too late.
        let just = timed(endpoint.call_timeout("server:80", work(2, 10), Duration::from_nanos(16_000_001))).await;
        assert_eq!(just, (Ok(Echo { number: 2 }), 16.ms()));
        let late = timed(endpoint.call_timeout("server:80", work(3, 10), Duration::from_nanos(15_999_999))).await;
        assert_eq!(late, (Err(ErrorKind::TimedOut), Duration::from_nanos(15_999_999)));
    });
}

#[squall::test(seeds = 5)]
fn late_answers_are_ignored(world: &mut World) {
    pair(world, |endpoint| async move {
        for number in 0..5 {
            let late = timed(endpoint.call_timeout("server:80", work(number, 50), 20.ms())).await.0;
            assert_eq!(late, Err(ErrorKind::TimedOut));
            // The answers to the calls before come while this one waits.
            let answer = timed(endpoint.call("server:80", work(100 + number, 40))).await.0;
            assert_eq!(answer, Ok(Echo { number: 100 + number }));
            // A call that is dropped gets none either.
            assert!(timeout(10.ms(), endpoint.call("server:80", work(200, 30))).await.is_err());
        }
        sleep(1.secs()).await;
        assert_eq!(timed(endpoint.call("server:80", work(7, 0))).await, (Ok(Echo { number: 7 }), 6.ms()));
    });
}

#[squall::test(seeds = 5)]
fn calls_are_served_concurrently(world: &mut World) {
    pair(world, |endpoint| async move {
        let begun = Instant::now();
        let mut calls = squall::task::JoinSet::new();
        for number in 0..10 {
            let endpoint = endpoint.clone();
            calls.spawn(async move { endpoint.call("server:80", work(number, 100)).await });
        }
        let mut numbers = Vec::new();
        while let Some(answer) = calls.join_next().await {
            numbers.push(answer.expect("it ends").expect("an answer").number);
        }
        numbers.sort_unstable();
        assert_eq!(numbers, (0..10).collect::<Vec<_>>());
        assert_eq!(begun.elapsed(), 106.ms(), "ten calls of 100 ms overlap");
    });
}

#[squall::test(seeds = 5)]
fn nobody_at_the_port_is_known_after_a_round_trip(world: &mut World) {
    pair(world, |endpoint| async move {
        let refused = timed(endpoint.call("server:81", work(1, 0))).await;
        assert_eq!(refused, (Err(ErrorKind::ConnectionRefused), 6.ms()));
        // Who doesn't wait for the round trip doesn't learn of it.
        let given_up = timed(endpoint.call_timeout("server:81", work(1, 0), 5.ms())).await;
        assert_eq!(given_up, (Err(ErrorKind::TimedOut), 5.ms()));
    });
}

#[squall::test(seeds = 5)]
fn a_partition_is_silence(world: &mut World) {
    pair(world, |endpoint| async move {
        sleep(10.ms()).await;
        for port in [80, 81] {
            let silence = timed(endpoint.call_timeout(("server", port), work(1, 0), 50.ms())).await;
            assert_eq!(silence, (Err(ErrorKind::TimedOut), 50.ms()), "not even a refusal comes through");
        }
        sleep(1.secs()).await;
        assert_eq!(timed(endpoint.call("server:80", work(2, 0))).await, (Ok(Echo { number: 2 }), 6.ms()));
    });
    world.fault(partition([["client"], ["server"]]).at(5.ms()).lasts(secs(1)));
}

#[squall::test(seeds = 5)]
fn a_partition_on_the_way_back_stops_answers_and_refusals(world: &mut World) {
    pair(world, |endpoint| async move {
        sleep(10.ms()).await;
        for port in [80, 81] {
            let silence = timed(endpoint.call_timeout(("server", port), work(1, 0), 50.ms())).await;
            assert_eq!(silence, (Err(ErrorKind::TimedOut), 50.ms()));
        }
    });
    world.fault(partition_one_way(["server"], ["client"]).at(5.ms()));
}

#[squall::test(seeds = 5)]
fn a_crashed_node_is_silence_until_it_is_back(world: &mut World) {
    pair(world, |endpoint| async move {
        sleep(10.ms()).await;
        let silence = timed(endpoint.call_timeout("server:80", work(1, 0), 50.ms())).await;
        assert_eq!(silence, (Err(ErrorKind::TimedOut), 50.ms()));
        sleep(1.secs()).await;
        assert_eq!(timed(endpoint.call("server:80", work(2, 0))).await.0, Ok(Echo { number: 2 }));
    });
    world.fault(crash("server").at(5.ms()).restart_after(500.ms()));
}

#[squall::test(seeds = 5)]
fn a_crash_takes_the_calls_that_are_being_served_with_it(world: &mut World) {
    pair(world, |endpoint| async move {
        let silence = timed(endpoint.call_timeout("server:80", work(1, 100), 300.ms())).await;
        assert_eq!(silence, (Err(ErrorKind::TimedOut), 300.ms()));
    });
    world.fault(crash("server").at(50.ms()).restart_after(1.ms()));
}

#[squall::test(seeds = 5)]
fn addresses_that_nobody_has_fail_at_once(world: &mut World) {
    pair(world, |endpoint| async move {
        let nobody = timed(endpoint.call("10.9.9.9:80", work(1, 0))).await;
        assert_eq!(nobody, (Err(ErrorKind::HostUnreachable), Duration::ZERO));
        let unknown = timed(endpoint.call("sever:80", work(1, 0))).await;
        assert_eq!(unknown, (Err(ErrorKind::NotFound), Duration::ZERO));
    });
}

#[squall::test(seeds = 5)]
fn a_duplicated_call_is_served_twice_and_answered_once(world: &mut World) {
    world.network().latency(fixed(3.ms())).duplicate(percent(100));
    let served = Rc::new(Cell::new(0));
    let counter = Rc::clone(&served);
    world.node("server", move || {
        let counter = Rc::clone(&counter);
        async move {
            let endpoint = Endpoint::bind("0.0.0.0:80").await?;
            endpoint.add_rpc_handler(move |work: Work| {
                counter.set(counter.get() + 1);
                async move { Echo { number: work.number } }
            });
            std::future::pending::<io::Result<()>>().await
        }
    });
    world.client("client", move || {
        let served = Rc::clone(&served);
        async move {
            let endpoint = Endpoint::bind("0.0.0.0:0").await.expect("a free port");
            for number in 1..=5 {
                let answer = endpoint.call("server:80", work(number, 0)).await.expect("an answer");
                assert_eq!(answer, Echo { number });
                sleep(100.ms()).await;
                assert_eq!(served.get(), 2 * number);
            }
        }
    });
}
