//! A lock that clients take in turn, and a client that forgets to see that it was given back.
//!
//! Whoever gives the lock back and hears nothing believes that it is free. Where it was the request that was lost, nobody ever gets it again,
//! long after the network is well: the others ask for ever. The repaired twin gives it back until that is confirmed.

use std::cell::RefCell;
use std::io;
use std::rc::Rc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use squall::World;
use squall::net::Endpoint;
use squall::prelude::*;
use squall::rpc::Request;
use squall::scenario::Program;
use squall::time::sleep;

/// How many clients there are, if a scenario file doesn't say.
const CLIENTS: u32 = 3;

/// How long a client holds the lock.
const HOLD: Duration = Duration::from_millis(10);

/// How long it waits before it asks again.
const PAUSE: Duration = Duration::from_millis(50);

/// How long it waits for an answer.
const TIMEOUT: Duration = Duration::from_millis(100);

/// "Is it mine?" Asked again by who has it already, it still is.
#[derive(Clone, Serialize, Deserialize)]
struct Take {
    client: String,
}

impl Request for Take {
    type Response = bool;
    const NAME: &'static str = "Take";
}

/// "I give it back." Who doesn't have it gives nothing back.
#[derive(Clone, Serialize, Deserialize)]
struct GiveBack {
    client: String,
}

impl Request for GiveBack {
    type Response = ();
    const NAME: &'static str = "GiveBack";
}

#[derive(Serialize, Deserialize)]
#[serde(default)]
struct Args {
    /// Whether clients give the lock back until that is confirmed.
    confirms: bool,
    /// How often each client takes it.
    times: u32,
}

impl Default for Args {
    fn default() -> Args {
        Args { confirms: false, times: 3 }
    }
}

/// The program, for scenario files.
#[must_use]
pub fn program() -> Program {
    Program::new("lock", "Clients take a lock in turn; one that isn't given back stops all others for ever", world)
        .in_module(module_path!())
}

fn world(world: &mut World, args: &Args) {
    let &Args { confirms, times } = args;
    world.node("server", serve);
    world.clients("client", CLIENTS, move |_| client(confirms, times));
    world.check(always("one at a time", None::<String>).on("held", |holder, now: Option<String>| {
        if let (Some(holder), Some(now)) = (&*holder, &now) {
            ensure!(holder == now, "{now} has the lock while {holder} does");
        }
        *holder = now;
        Ok(())
    }));
}

async fn serve() -> io::Result<()> {
    let endpoint = Endpoint::bind("0.0.0.0:80").await?;
    let holder = Rc::new(RefCell::new(None::<String>));
    let lock = Rc::clone(&holder);
    endpoint.add_rpc_handler(move |take: Take| {
        let lock = Rc::clone(&lock);
        async move {
            let mut holder = lock.borrow_mut();
            if holder.is_none() {
                *holder = Some(take.client.clone());
                squall::publish("held", holder.clone());
            }
            squall::sometimes!(*holder != Some(take.client.clone()), "the lock is asked for while another has it");
            *holder == Some(take.client)
        }
    });
    endpoint.add_rpc_handler(move |back: GiveBack| {
        let lock = Rc::clone(&holder);
        async move {
            let mut holder = lock.borrow_mut();
            if *holder == Some(back.client) {
                *holder = None;
                squall::publish("held", holder.clone());
            }
        }
    });
    std::future::pending().await
}

async fn client(confirms: bool, times: u32) -> io::Result<()> {
    let endpoint = Endpoint::bind("0.0.0.0:0").await?;
    let client = squall::node_name();
    for _ in 0..times {
        let take = Take { client: client.clone() };
        while !endpoint.call_timeout("server:80", take.clone(), TIMEOUT).await.unwrap_or(false) {
            sleep(PAUSE).await;
        }
        sleep(HOLD).await;
        let back = GiveBack { client: client.clone() };
        while endpoint.call_timeout("server:80", back.clone(), TIMEOUT).await.is_err() && confirms {
            squall::reachable!("the lock is given back again");
        }
        // The others have their turn.
        sleep(PAUSE).await;
    }
    Ok(())
}
