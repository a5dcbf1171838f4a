//! The peer benchmark's datagram workload on turmoil: `datagram|udp|udp-same-mean NODES RPCS_PER_CLIENT`, one JSON line on standard output. The first two are the same
//! here: turmoil's hosts are tokio's, and its sockets have tokio's names.

use std::time::{Duration, Instant};

use turmoil::net::UdpSocket;

const PORT: u16 = 4_000;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [workload, nodes, rpcs_per_client] = arguments.as_slice() else {
        panic!("usage: datagram|udp|udp-same-mean NODES RPCS_PER_CLIENT");
    };
    assert!(["datagram", "udp", "udp-same-mean"].contains(&workload.as_str()), "turmoil has no typed calls");
    let nodes: u32 = nodes.parse().expect("NODES is a number");
    let rpcs_per_client: u64 = rpcs_per_client.parse().expect("RPCS_PER_CLIENT is a number");
    let elapsed = run(nodes, rpcs_per_client, workload == "udp-same-mean");
    let rpcs = u64::from(nodes) * rpcs_per_client;
    let seconds = elapsed.as_secs_f64();
    let rpc_per_s = rpcs as f64 / seconds;
    println!(
        r#"{{"workload":"{workload}","nodes":{nodes},"engine":"turmoil","rpcs":{rpcs},"seconds":{seconds},"rpc_per_s":{rpc_per_s}}}"#
    );
}

/// turmoil knows no uniform latency: it draws the place in the range of 9 ms from an exponential distribution, ends it at 1, and cuts it to whole milliseconds (`top.rs`). So the mean is
/// 1 ms and the sum of exp(-k curve / 9) for k from 1 to 9: 2.34 ms by itself (5), and with this one the 5.5 ms of the uniform one.
const CURVE_OF_SAME_MEAN: f64 = 1.38815;

fn run(nodes: u32, rpcs_per_client: u64, has_same_mean: bool) -> Duration {
    let mut builder = turmoil::Builder::new();
    builder
        .rng_seed(1)
        .simulation_duration(Duration::MAX)
        .min_message_latency(Duration::from_millis(1))
        .max_message_latency(Duration::from_millis(10))
        // A full socket drops what comes, and a client waits for every answer: leave place for all clients at once.
        .udp_capacity(nodes as usize + 1);
    let mut simulation = builder.build();
    // Its own shape flatters turmoil twofold: its cost goes with virtual time, tick by tick.
    if has_same_mean {
        simulation.set_message_latency_curve(CURVE_OF_SAME_MEAN);
    }
    simulation.host("server", serve);
    for client in 0..nodes {
        simulation.client(format!("client-{client}"), ask(client.into(), rpcs_per_client));
    }

    let start = Instant::now();
    simulation.run().expect("every client ends well");
    start.elapsed()
}

async fn serve() -> turmoil::Result {
    let socket = UdpSocket::bind(("0.0.0.0", PORT)).await?;
    let mut buffer = [0; 16];
    loop {
        let (length, from) = socket.recv_from(&mut buffer).await?;
        assert_eq!(length, buffer.len());
        socket.send_to(&answer_to(buffer), from).await?;
    }
}

async fn ask(client: u64, rpcs: u64) -> turmoil::Result {
    let socket = UdpSocket::bind(("0.0.0.0", PORT)).await?;
    let server = (turmoil::lookup("server"), PORT);
    let mut answer = [0; 16];
    for number in 0..rpcs {
        let mut request = [0; 16];
        request[..8].copy_from_slice(&number.to_le_bytes());
        request[8..].copy_from_slice(&client.to_le_bytes());
        socket.send_to(&request, server).await?;
        let (length, _) = socket.recv_from(&mut answer).await?;
        assert_eq!(length, answer.len());
        assert_eq!(answer, answer_to(request));
    }
    Ok(())
}

/// The request with its number and its client swapped, so that an echo by mistake would be noticed.
fn answer_to(request: [u8; 16]) -> [u8; 16] {
    u128::from_le_bytes(request).rotate_left(64).to_le_bytes()
}
