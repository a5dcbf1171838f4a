//! Programs of which is known exactly what a sweep is to find.

use std::io;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use squall::history::Client;
use squall::net::Endpoint;
use squall::scenario::Program;
use squall::{Request, World};

pub fn programs() -> [Program; 3] {
    [
        Program::new(
            "recording",
            "Records operations that take 1 ms, 2 ms and so on, and some without an answer",
            recording,
        ),
        Program::new("impatient", "Calls, and fails if no answer comes in time", impatient),
        Program::new("choosy", "Fails by one property between two numbers, and by another from a third on", choosy),
    ]
}

#[derive(Serialize, Deserialize)]
struct Recording {
    answered: u64,
    /// Of unknown outcome.
    unknown: u64,
    /// Open at the end.
    open: u64,
}

impl Default for Recording {
    fn default() -> Recording {
        Recording { answered: 100, unknown: 0, open: 0 }
    }
}

fn recording(world: &mut World, args: &Recording) {
    let &Recording { answered, unknown, open } = args;
    world.client("client", move || async move {
        let mut client = Client::new();
        // Not in the order of their length; every tenth certainly did not happen.
        for took in (1..=answered).rev() {
            let operation = client.invoke("read", ());
            squall::time::sleep(Duration::from_millis(took)).await;
            if took % 10 == 0 { operation.fail() } else { operation.ok(()) }
        }
        (0..unknown).for_each(|_| client.invoke("read", ()).info());
    });
    for number in 0..open {
        world.node(format!("patient-{number}"), || async {
            let mut client = Client::new();
            let _operation = client.invoke("read", ());
            std::future::pending::<()>().await;
        });
    }
}

#[derive(Serialize, Deserialize, Request)]
#[rtype(())]
struct Ask;

#[derive(Serialize, Deserialize)]
struct Impatient {
    calls: u64,
    #[serde(with = "squall::scenario::duration")]
    timeout: Duration,
    /// Whether an answer that doesn't come in time is an error.
    fails: bool,
}

impl Default for Impatient {
    fn default() -> Impatient {
        Impatient { calls: 3, timeout: Duration::from_millis(100), fails: true }
    }
}

fn impatient(world: &mut World, args: &Impatient) {
    let &Impatient { calls, timeout, fails } = args;
    world.nodes("server", 2, |_| async {
        let endpoint = Endpoint::bind("0.0.0.0:80").await?;
        endpoint.add_rpc_handler(|_: Ask| async {});
        // A call of a server isn't a client's.
        let other = if squall::node_name() == "server-0" { "server-1:80" } else { "server-0:80" };
        let _ = endpoint.call_timeout(other, Ask, Duration::from_millis(1)).await;
        std::future::pending::<io::Result<()>>().await
    });
    world.clients("client", 1, move |_| async move {
        let endpoint = Endpoint::bind("0.0.0.0:0").await?;
        // Both servers are bound then, and what they have asked each other is over.
        squall::time::sleep(Duration::from_secs(1)).await;
        for call in 0..calls {
            let server = if call % 2 == 0 { "server-0:80" } else { "server-1:80" };
            match endpoint.call_timeout(server, Ask, timeout).await {
                Err(error) if fails => return Err(error),
                Ok(()) | Err(_) => {}
            }
        }
        // What is late arrives while nobody waits.
        squall::time::sleep(Duration::from_secs(1)).await;
        Ok(())
    });
}

#[derive(Serialize, Deserialize)]
struct Choosy {
    number: f64,
    from: f64,
    to: f64,
    other_from: f64,
}

impl Default for Choosy {
    fn default() -> Choosy {
        Choosy { number: 0.0, from: 0.0, to: 0.0, other_from: f64::MAX }
    }
}

fn choosy(world: &mut World, args: &Choosy) {
    let &Choosy { number, from, to, other_from } = args;
    world.client("client", move || async move {
        assert!(number < from || number >= to, "{number} is between {from} and {to}");
        if number >= other_from { Err(io::Error::other("enough")) } else { Ok(()) }
    });
}
