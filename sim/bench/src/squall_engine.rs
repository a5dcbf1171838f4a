//! The workloads on Squall, run as in a real exploration: digest, hermetic layer, dispatcher of logs, a property.

use std::error::Error;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use squall::TokioNode;
use squall::net::{Endpoint, UdpSocket};
use squall::rpc::Request;
use squall::trace::verdict::{Ending, Judgement};
use squall::trace::{Event, EventMask, Plan, Property, Record, Seed, Verdict};
use squall::{Latency, Simulation, World};

use crate::measurement::{Workload, call_timeout};

const LATENCY_MIN: Duration = Duration::from_millis(1);
const LATENCY_MAX: Duration = Duration::from_millis(10);
const PORT: u16 = 700;
const TAG: u64 = 1;

#[derive(Serialize, Deserialize)]
struct Ask {
    number: u64,
    client: u64,
}

#[derive(Serialize, Deserialize)]
struct Answer {
    client: u64,
    number: u64,
}

impl Request for Ask {
    type Response = Answer;
    const NAME: &'static str = "squall_bench::Ask";
}

/// What an exploration has at least: a property that looks at what clients make known.
#[derive(Default)]
struct EveryClientFinishes {
    finished: u32,
    clients: u32,
}

impl Property for EveryClientFinishes {
    fn name(&self) -> &str {
        "every-client-finishes"
    }

    fn interest(&self) -> EventMask {
        EventMask::PUBLISH
    }

    fn on_event(&mut self, _event: &Event<'_>) -> Result<(), String> {
        self.finished += 1;
        Ok(())
    }

    fn on_end(&mut self, _ending: &Ending) -> Judgement {
        if self.finished == self.clients {
            Judgement::Held
        } else {
            Judgement::Broken(format!("{} of {} clients finished", self.finished, self.clients))
        }
    }
}

/// Runs `nodes` clients against one server, `rpcs_per_client` requests each, every message delayed by a uniform 1 ms to 10 ms
/// each way, and returns the wall time of the run: its thread, its world and its end included.
///
/// Requests and answers carry 16 bytes; every client checks that the answer is its own request's. A typed call has
/// the timeout that [`crate::measurement::call_timeout`] gives.
///
/// # Errors
/// If the run doesn't pass.
///
/// # Panics
/// Of [`Workload::Tonic`], as [`simulation`].
pub fn run(workload: Workload, nodes: u32, rpcs_per_client: u32) -> Result<Duration, Box<dyn Error>> {
    measure(&simulation(workload, nodes, rpcs_per_client))
}

/// Runs it once, by seed 1, as an exploration does, and returns the wall time.
///
/// # Errors
/// If the run doesn't pass.
pub fn measure(simulation: &Simulation) -> Result<Duration, Box<dyn Error>> {
    let start = Instant::now();
    let outcome = simulation.run_plan(&Plan::seeded("bench", Seed(1)), Record::Digest);
    let elapsed = start.elapsed();
    match outcome.verdict {
        Verdict::Pass => Ok(elapsed),
        verdict => Err(format!("squall: {verdict:?}").into()),
    }
}

/// The world of a workload.
///
/// # Panics
/// Of [`Workload::Tonic`], which the package `squall-apps` runs.
#[must_use]
pub fn simulation(workload: Workload, nodes: u32, rpcs_per_client: u32) -> Simulation {
    match workload {
        Workload::Datagram => simulation_of(nodes, move |world| datagram(world, nodes, rpcs_per_client)),
        Workload::Rpc => simulation_of(nodes, move |world| rpc(world, nodes, rpcs_per_client)),
        Workload::Udp | Workload::UdpSameMean => simulation_of(nodes, move |world| udp(world, nodes, rpcs_per_client)),
        Workload::Tonic => panic!("tonic isn't run here"),
    }
}

/// A world with the network of all workloads, and the property that `clients` of the nodes that `nodes` makes publish `finished`.
#[must_use]
pub fn simulation_of(clients: u32, nodes: impl Fn(&mut World) + Send + Sync + 'static) -> Simulation {
    Simulation::new(move |world: &mut World| {
        world.limits().events = u64::MAX;
        world.network().latency(Latency::uniform(LATENCY_MIN, LATENCY_MAX));
        world.check(EveryClientFinishes { finished: 0, clients });
        nodes(world);
    })
}

fn datagram(world: &mut World, nodes: u32, rpcs_per_client: u32) {
    world.node("server", || async {
        let endpoint = Endpoint::bind(("0.0.0.0", PORT)).await.expect("the port is free");
        let mut request = [0; 16];
        loop {
            let (_, from) = endpoint.recv_from(TAG, &mut request).await.expect("the socket is open");
            let answer = u128::from_le_bytes(request).rotate_left(64).to_le_bytes();
            endpoint.send_to(from, TAG, &answer).await.expect("the client has an address");
        }
    });
    for client in 0..nodes {
        world.client(format!("client-{client}"), move || async move {
            let endpoint = Endpoint::bind("0.0.0.0:0").await.expect("a port is free");
            let server = squall::net::ToSocketAddrs::to_socket_addr(&("server", PORT)).expect("the server has a name");
            let mut answer = [0; 16];
            for number in 0..rpcs_per_client {
                let request = u128::from(number) | u128::from(client) << 64;
                endpoint.send_to(server, TAG, &request.to_le_bytes()).await.expect("the server has an address");
                endpoint.recv_from(TAG, &mut answer).await.expect("the socket is open");
                assert_eq!(u128::from_le_bytes(answer).rotate_left(64), request);
            }
            squall::publish("finished", client);
        });
    }
}

/// As turmoil's hosts do it.
fn udp(world: &mut World, nodes: u32, rpcs_per_client: u32) {
    let serve = || async {
        let socket = UdpSocket::bind(("0.0.0.0", PORT)).await.expect("the port is free");
        let mut request = [0; 16];
        loop {
            let (_, from) = socket.recv_from(&mut request).await.expect("the socket is open");
            let answer = u128::from_le_bytes(request).rotate_left(64).to_le_bytes();
            socket.send_to(&answer, from).await.expect("the client has an address");
        }
    };
    world.node("server", serve).tokio();
    for client in 0..nodes {
        let ask = move || async move {
            let socket = UdpSocket::bind(("0.0.0.0", PORT)).await.expect("the port is free");
            let mut servers = squall::net::lookup_host(("server", PORT)).await.expect("the server has a name");
            let server = servers.next().expect("the server has an address");
            let mut answer = [0; 16];
            for number in 0..rpcs_per_client {
                let request = u128::from(number) | u128::from(client) << 64;
                socket.send_to(&request.to_le_bytes(), server).await.expect("the server has an address");
                socket.recv_from(&mut answer).await.expect("the socket is open");
                assert_eq!(u128::from_le_bytes(answer).rotate_left(64), request);
            }
            squall::publish("finished", client);
        };
        world.client(format!("client-{client}"), ask).tokio();
    }
}

fn rpc(world: &mut World, nodes: u32, rpcs_per_client: u32) {
    let timeout = call_timeout(nodes);
    world.node("server", || async {
        let endpoint = Endpoint::bind(("0.0.0.0", PORT)).await.expect("the port is free");
        endpoint.add_rpc_handler(|ask: Ask| async move { Answer { client: ask.client, number: ask.number } });
        std::future::pending::<()>().await;
    });
    for client in 0..nodes {
        world.client(format!("client-{client}"), move || async move {
            let endpoint = Endpoint::bind("0.0.0.0:0").await.expect("a port is free");
            let server = squall::net::ToSocketAddrs::to_socket_addr(&("server", PORT)).expect("the server has a name");
            for number in 0..rpcs_per_client {
                let ask = Ask { number: u64::from(number), client: u64::from(client) };
                let answer = endpoint.call_timeout(server, ask, timeout).await.expect("an answer comes in time");
                assert_eq!((answer.number, answer.client), (u64::from(number), u64::from(client)));
            }
            squall::publish("finished", client);
        });
    }
}
