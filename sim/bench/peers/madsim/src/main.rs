//! The benchmark's workloads on madsim: `WORKLOAD NODES RPCS_PER_CLIENT`, one JSON line on standard output.

#[cfg(not(madsim))]
compile_error!("build with RUSTFLAGS='--cfg madsim', or from this folder, whose .cargo/config.toml sets it");

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use madsim::net::Endpoint;
use madsim::net::rpc::{Deserialize, Request, Serialize};
use madsim::runtime::{NodeHandle, Runtime};
use madsim::task::JoinHandle;

const PORT: u16 = 4_000;
const TAG: u64 = 1;

#[allow(missing_docs, unused_qualifications, clippy::all)]
mod generated {
    include!(concat!(env!("OUT_DIR"), "/bench.rs"));
}

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Question {
    number: u64,
    client: u64,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Answer {
    client: u64,
    number: u64,
}

impl Request for Question {
    type Response = Answer;
    const ID: u64 = 2;
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [workload, nodes, rpcs_per_client] = arguments.as_slice() else {
        panic!("usage: datagram|rpc|tonic NODES RPCS_PER_CLIENT");
    };
    let nodes: u32 = nodes.parse().expect("NODES is a number");
    let rpcs_per_client: u64 = rpcs_per_client.parse().expect("RPCS_PER_CLIENT is a number");
    let elapsed = match workload.as_str() {
        "datagram" => {
            run(nodes, start_datagram_server, |node, client| node.spawn(ask_by_datagram(client, rpcs_per_client)))
        }
        "rpc" => run(nodes, start_call_server, |node, client| {
            node.spawn(ask_by_call(client, rpcs_per_client, call_timeout(nodes)))
        }),
        "tonic" => run(nodes, start_tonic_server, |node, client| node.spawn(ask_by_tonic(client, rpcs_per_client))),
        other => panic!("no workload is named {other}"),
    };
    let rpcs = u64::from(nodes) * rpcs_per_client;
    let seconds = elapsed.as_secs_f64();
    let rpc_per_s = rpcs as f64 / seconds;
    println!(
        r#"{{"workload":"{workload}","nodes":{nodes},"engine":"madsim","rpcs":{rpcs},"seconds":{seconds},"rpc_per_s":{rpc_per_s}}}"#
    );
}

/// Makes the nodes, lets the server bind, then runs every client to its end, and returns the wall time of that last part. It
/// is taken outside of the runtime, because inside of it `Instant` tells virtual time.
fn run(
    nodes: u32,
    start_server: fn(&NodeHandle) -> JoinHandle<()>,
    start_client: impl Fn(&NodeHandle, u32) -> JoinHandle<()>,
) -> Duration {
    let mut config = madsim::Config::default();
    config.net.send_latency = Duration::from_millis(1)..Duration::from_millis(10);
    let runtime = Runtime::with_seed_and_config(1, config);
    let server = runtime.create_node().ip(server_address().ip()).build();
    // A message to a port that isn't bound yet would be lost.
    runtime.block_on(start_server(&server)).expect("the server starts");
    let clients: Vec<NodeHandle> =
        (1..=nodes).map(|client| runtime.create_node().ip(client_address(client).ip()).build()).collect();
    let tasks: Vec<JoinHandle<()>> = clients.iter().zip(1..).map(|(node, client)| start_client(node, client)).collect();

    let start = Instant::now();
    runtime.block_on(async {
        for task in tasks {
            task.await.expect("every client ends well");
        }
    });
    start.elapsed()
}

fn server_address() -> SocketAddr {
    client_address(0)
}

fn client_address(client: u32) -> SocketAddr {
    let [_, high, middle, low] = (client + 1).to_be_bytes();
    SocketAddr::new(IpAddr::V4(Ipv4Addr::new(10, high, middle, low)), PORT)
}

/// Ends when the server has bound; the server's loop goes on in a task of its own.
fn start_datagram_server(node: &NodeHandle) -> JoinHandle<()> {
    node.spawn(async {
        let endpoint = Endpoint::bind(server_address()).await.expect("the server binds");
        madsim::task::spawn(async move {
            let mut buffer = [0; 16];
            loop {
                let (length, from) = endpoint.recv_from(TAG, &mut buffer).await.expect("the server receives");
                assert_eq!(length, buffer.len());
                endpoint.send_to(from, TAG, &answer_to(buffer)).await.expect("the server sends");
            }
        });
    })
}

async fn ask_by_datagram(client: u32, rpcs: u64) {
    let endpoint = Endpoint::bind(client_address(client)).await.expect("a client binds");
    let mut answer = [0; 16];
    for number in 0..rpcs {
        let mut request = [0; 16];
        request[..8].copy_from_slice(&number.to_le_bytes());
        request[8..].copy_from_slice(&u64::from(client).to_le_bytes());
        endpoint.send_to(server_address(), TAG, &request).await.expect("a client sends");
        let (length, _) = endpoint.recv_from(TAG, &mut answer).await.expect("a client receives");
        assert_eq!(length, answer.len());
        assert_eq!(answer, answer_to(request));
    }
}

/// The request with its number and its client swapped, so that an echo by mistake would be noticed.
fn answer_to(request: [u8; 16]) -> [u8; 16] {
    u128::from_le_bytes(request).rotate_left(64).to_le_bytes()
}

/// The same rule as `squall_bench::measurement::call_timeout`, which says why.
fn call_timeout(nodes: u32) -> Duration {
    if nodes <= 10 { Duration::from_secs(1) } else { Duration::from_secs(3_600) }
}

/// Ends when the server has bound; madsim runs the handler in a task of its own.
fn start_call_server(node: &NodeHandle) -> JoinHandle<()> {
    node.spawn(async {
        let endpoint = Endpoint::bind(server_address()).await.expect("the server binds");
        endpoint
            .add_rpc_handler(async |question: Question| Answer { client: question.client, number: question.number });
    })
}

async fn ask_by_call(client: u32, rpcs: u64, call_timeout: Duration) {
    let endpoint = Endpoint::bind(client_address(client)).await.expect("a client binds");
    let client = u64::from(client);
    for number in 0..rpcs {
        let question = Question { number, client };
        let answer = endpoint.call_timeout(server_address(), question, call_timeout).await.expect("a call is answered");
        assert_eq!(answer, Answer { client, number });
    }
}

struct Answers;

#[tonic::async_trait]
impl generated::bench_server::Bench for Answers {
    async fn ask(&self, request: tonic::Request<Question>) -> Result<tonic::Response<Answer>, tonic::Status> {
        let Question { number, client } = request.into_inner();
        Ok(tonic::Response::new(Answer { client, number }))
    }
}

/// Ends when the server has had time to bind: `serve` doesn't say when it has.
fn start_tonic_server(node: &NodeHandle) -> JoinHandle<()> {
    node.spawn(async {
        madsim::task::spawn(async {
            let server = generated::bench_server::BenchServer::new(Answers);
            let served = tonic::transport::Server::builder().add_service(server).serve(server_address()).await;
            served.expect("the server serves");
        });
        madsim::time::sleep(Duration::from_secs(1)).await;
    })
}

async fn ask_by_tonic(client: u32, rpcs: u64) {
    let connected = generated::bench_client::BenchClient::connect(format!("http://{}", server_address())).await;
    let mut server = connected.expect("a client connects");
    let client = u64::from(client);
    for number in 0..rpcs {
        let answer = server.ask(Question { number, client }).await.expect("a call is answered").into_inner();
        assert_eq!(answer, Answer { client, number });
    }
}
