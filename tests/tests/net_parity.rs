//! The programs by which Squall's network is compared with tokio's (`sim/engine/tests/net`), in nodes that tokio executes: Squall's sockets, and tokio's tasks and timers.
#![allow(clippy::duplicate_mod, reason = "it is there to be the same on both")]

#[path = "../../sim/engine/tests/net"]
mod on_squall {
    pub use squall::net;
    pub use tokio::{spawn, time};

    pub mod bodies;
}

#[path = "../../sim/engine/tests/net"]
mod on_tokio {
    pub use tokio::{net, spawn, time};

    pub mod bodies;
}

use std::sync::{Arc, Mutex};

use squall::trace::{Plan, Record, Seed, Verdict};
use squall::{Simulation, TokioNode, World};

/// What a node that tokio executes gives in a run of that seed.
fn in_a_node<T, F>(name: &'static str, seed: u64, body: impl Fn() -> F + Clone + Send + Sync + 'static) -> T
where
    T: Send + 'static,
    F: Future<Output = T> + 'static,
{
    let given = Arc::new(Mutex::new(None));
    let told = Arc::clone(&given);
    let simulation = Simulation::new(move |world: &mut World| {
        let (told, body) = (Arc::clone(&told), body.clone());
        let body = move || {
            let (told, body) = (Arc::clone(&told), body());
            async move {
                let given = body.await;
                *told.lock().unwrap() = Some(given);
            }
        };
        world.client("machine", body).tokio();
    });
    let outcome = simulation.run_plan(&Plan::seeded(name, Seed(seed)), Record::Digest);
    assert_eq!(outcome.verdict, Verdict::Pass, "{name}, seed {seed}");
    let given = given.lock().unwrap().take();
    given.expect("it has returned")
}

fn on_a_runtime<T>(body: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(body)
}

#[test]
fn a_program_sees_the_same_on_both() {
    let mut different = Vec::new();
    for name in on_squall::bodies::NAMES {
        let real = on_a_runtime(on_tokio::bodies::run(name));
        for seed in 0..3 {
            let simulated = in_a_node(name, seed, || on_squall::bodies::run(name));
            if simulated != real {
                different.push(format!("{name}, seed {seed}:\n  tokio  {real:?}\n  Squall {simulated:?}"));
                break;
            }
        }
    }
    assert!(different.is_empty(), "{}:\n{}", different.len(), different.join("\n"));
}

/// Tasks beside ready ones: what sockets give at once uses up what a task may do before others are polled.
macro_rules! beside {
    ($module:ident, $sockets:ident) => {
        mod $module {
            use std::sync::Arc;
            use std::sync::atomic::{AtomicU64, Ordering};
            use std::time::Duration;

            use tokio::io::{AsyncReadExt, AsyncWriteExt};
            use tokio::task::yield_now;

            use crate::$sockets::net::{TcpListener, TcpStream, UdpSocket};

            /// How often a task that is always ready is polled while `body` is.
            async fn turns(body: impl Future<Output = ()>) -> u64 {
                let turns = Arc::new(AtomicU64::new(0));
                let counts = Arc::clone(&turns);
                let other = tokio::spawn(async move {
                    loop {
                        counts.fetch_add(1, Ordering::Relaxed);
                        yield_now().await;
                    }
                });
                // With all of the budget.
                yield_now().await;
                body.await;
                other.abort();
                turns.load(Ordering::Relaxed)
            }

            async fn bytes(turns_of: u64) -> u64 {
                let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
                let mut writer = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
                let (mut reader, _) = listener.accept().await.unwrap();
                writer.write_all(&vec![1; 20_000]).await.unwrap();
                tokio::time::sleep(Duration::from_millis(20)).await;
                // A peek and a read, or a read alone.
                turns(async {
                    for _ in 0..20_000 / turns_of {
                        if turns_of > 1 {
                            reader.peek(&mut [0]).await.unwrap();
                        }
                        reader.read_u8().await.unwrap();
                    }
                })
                .await
            }

            async fn writes() -> u64 {
                let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
                let mut writer = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
                turns(async {
                    for _ in 0..10_000 {
                        writer.write_u8(1).await.unwrap();
                    }
                })
                .await
            }

            /// Sent, to a port whose buffer may be full by then, and received, of which a buffer has room for some.
            async fn datagrams() -> [u64; 2] {
                let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
                let (sink, source) =
                    (UdpSocket::bind("127.0.0.1:0").await.unwrap(), UdpSocket::bind("127.0.0.1:0").await.unwrap());
                let to_sink = sink.local_addr().unwrap();
                socket.connect(to_sink).await.unwrap();
                let sends = async {
                    for _ in 0..1_000 {
                        source.send_to(b"once", to_sink).await.unwrap();
                        socket.send(b"again").await.unwrap();
                    }
                };
                let sent = turns(sends).await;
                let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
                for _ in 0..150 {
                    source.send_to(b"word", socket.local_addr().unwrap()).await.unwrap();
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
                let receives = async {
                    for _ in 0..150 {
                        socket.readable().await.unwrap();
                        socket.peek_from(&mut [0; 8]).await.unwrap();
                        socket.recv_from(&mut [0; 8]).await.unwrap();
                    }
                };
                [sent, turns(receives).await]
            }

            /// Of two listeners: the backlog of one is as short as the machine says.
            async fn connections() -> u64 {
                let mut listeners = Vec::new();
                let mut all = Vec::new();
                for _ in 0..2 {
                    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
                    for _ in 0..100 {
                        all.push(TcpStream::connect(listener.local_addr().unwrap()).await.unwrap());
                    }
                    listeners.push(listener);
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
                turns(async {
                    for listener in &listeners {
                        for _ in 0..100 {
                            listener.accept().await.unwrap();
                        }
                    }
                })
                .await
            }

            pub async fn all() -> Vec<u64> {
                let body = async {
                    let streams = [bytes(1).await, bytes(2).await, writes().await, connections().await];
                    [&streams[..], &datagrams().await].concat()
                };
                // In a task of its own: the root's budget is another's.
                tokio::spawn(body).await.unwrap()
            }
        }
    };
}

beside!(turns_on_squall, on_squall);
beside!(turns_on_tokio, on_tokio);

#[test]
fn sockets_take_part_in_the_budget_of_cooperative_tasks() {
    let real = on_a_runtime(turns_on_tokio::all());
    assert_eq!(in_a_node("turns", 1, turns_on_squall::all), real);
}
