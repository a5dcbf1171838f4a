//! A program that makes known what reaches it, so that what faults do can be seen from outside: datagrams to and fro, and what a boot finds.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use madsim::net::UdpSocket;
use madsim::runtime::Handle;
use serde::{Deserialize, Serialize};
use squall::World;
use squall_madsim::publish;
use tokio::time::Instant;

/// Whose marks are this program's.
pub const MODULE: &str = module_path!();

/// `[args]` of a scenario.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Args {
    /// How many datagrams each client sends, one every ten milliseconds.
    pub datagrams: u64,
}

impl Default for Args {
    fn default() -> Args {
        Args { datagrams: 400 }
    }
}

const EVERY: Duration = Duration::from_millis(10);

/// An answer that takes longer than this takes long.
const LONG: Duration = Duration::from_millis(200);

const ECHO: &str = "10.0.0.1:7";

/// A node that answers, and two that ask.
pub fn world(world: &mut World, args: &Args) {
    let datagrams = args.datagrams;
    world.node("echo", echo);
    for name in ["left", "right"] {
        world.client(name, move || client(name, datagrams));
    }
}

async fn echo() -> Result<(), String> {
    found();
    let socket = UdpSocket::bind(ECHO).await.map_err(|error| error.to_string())?;
    let mut datagram = [0; 64];
    loop {
        let (length, from) = socket.recv_from(&mut datagram).await.map_err(|error| error.to_string())?;
        publish("received", String::from_utf8_lossy(&datagram[..length]));
        socket.send_to(from, &datagram[..length]).await.map_err(|error| error.to_string())?;
    }
}

/// Sends what carries its name and number, and says what comes back.
async fn client(name: &str, datagrams: u64) -> Result<(), String> {
    let socket = Arc::new(UdpSocket::bind("0.0.0.0:0").await.map_err(|error| error.to_string())?);
    let answers = Arc::clone(&socket);
    let start = Instant::now();
    tokio::spawn(async move {
        let mut datagram = [0; 64];
        while let Ok((length, _)) = answers.recv_from(&mut datagram).await {
            let said = String::from_utf8_lossy(&datagram[..length]);
            let number = said.split(' ').nth(1).and_then(|number| number.parse().ok()).unwrap_or(0);
            squall::sometimes!(Instant::now() > start + EVERY * number + LONG, "an answer takes long");
            publish("answered", said);
        }
    });
    for number in 0..datagrams {
        let said = format!("{name} {number}");
        publish("sent", &said);
        socket.send_to(ECHO, said.as_bytes()).await.map_err(|error| error.to_string())?;
        tokio::time::sleep_until(start + EVERY * (number as u32 + 1)).await;
    }
    // The last answers are on their way.
    tokio::time::sleep(Duration::from_secs(1)).await;
    Ok(())
}

/// What a boot finds that isn't the network's: the order of a hash map, the marks of Squall's own engine, and nodes of its own making.
fn found() {
    let map: HashMap<u32, ()> = (0..16).map(|key| (key, ())).collect();
    publish("hash order", map.into_keys().collect::<Vec<_>>());
    squall::point!("probe-booted");
    squall::reachable!("the probe has booted");
    publish(
        "marks",
        (squall::buggify!("probe-marks", squall::trace::Ratio::ONE), squall::knob!("probe-knob", 7, [8, 9])),
    );
    let node = Handle::current().create_node().name("of its own making").build();
    node.spawn(async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        publish("heard from", "a node of its own making");
    });
}
