//! A store of texts by key, with copies that are behind, and clients whose histories show it.
//!
//! Store 0 takes the writes, answers, and tells the others afterwards. Whoever reads from one of those may read what was written over
//! before: the store isn't linearizable. Its repaired twin lets nobody read but from store 0.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io;
use std::rc::Rc;
use std::time::Duration;

use rand::RngExt;
use serde::{Deserialize, Serialize};
use squall::World;
use squall::history::Client;
use squall::net::Endpoint;
use squall::rpc::Request;
use squall::scenario::Program;

/// How many stores there are, if a scenario file doesn't say.
const STORES: u32 = 3;

/// How many clients.
const CLIENTS: u32 = 3;

/// "What is there?"
#[derive(Clone, Serialize, Deserialize)]
struct Get {
    key: u64,
}

impl Request for Get {
    type Response = String;
    const NAME: &'static str = "Get";
}

/// "Append that."
#[derive(Clone, Serialize, Deserialize)]
struct Append {
    key: u64,
    text: String,
}

impl Request for Append {
    type Response = ();
    const NAME: &'static str = "Append";
}

/// "That is there now, after so many writes."
#[derive(Clone, Serialize, Deserialize)]
struct Copy {
    key: u64,
    text: String,
    writes: u64,
}

impl Request for Copy {
    type Response = ();
    const NAME: &'static str = "Copy";
}

/// What the scenario file says in `[args]`.
#[derive(Clone, Serialize, Deserialize)]
struct Args {
    /// Whether clients read from any store, or only from the one that takes the writes.
    reads_anywhere: bool,
    /// How many keys there are.
    keys: u64,
    /// How many operations each client makes.
    operations: u64,
    /// How long it waits for an answer before it gives up.
    #[serde(with = "squall::scenario::duration")]
    timeout: Duration,
}

impl Default for Args {
    fn default() -> Args {
        Args { reads_anywhere: true, keys: 2, operations: 6, timeout: Duration::from_millis(50) }
    }
}

/// The program, as scenario files name it.
#[must_use]
pub fn program() -> Program {
    Program::new("kv", "A store with copies that are behind; clients record what they asked and heard", world)
}

fn world(world: &mut World, args: &Args) {
    let stores = world.count("store", STORES);
    world.nodes("store", stores, move |number| store(number, stores));
    let args = args.clone();
    world.clients("client", CLIENTS, move |number| client(number, stores, args.clone()));
}

async fn store(number: u32, stores: u32) -> io::Result<()> {
    let texts: Rc<RefCell<BTreeMap<u64, (String, u64)>>> = Rc::default();
    let endpoint = Rc::new(Endpoint::bind("0.0.0.0:80").await?);
    let read = Rc::clone(&texts);
    endpoint.add_rpc_handler(move |get: Get| {
        let text = read.borrow().get(&get.key).map_or_else(String::new, |(text, _)| text.clone());
        async move { text }
    });
    let (copied, copies) = (Rc::clone(&texts), Rc::clone(&endpoint));
    endpoint.add_rpc_handler(move |Append { key, text }: Append| {
        let copy = {
            let mut texts = copied.borrow_mut();
            let (whole, writes) = texts.entry(key).or_default();
            whole.push_str(&text);
            *writes += 1;
            Copy { key, text: whole.clone(), writes: *writes }
        };
        for other in (0..stores).filter(|other| *other != number) {
            let (copies, copy) = (Rc::clone(&copies), copy.clone());
            squall::task::spawn_local(async move {
                // What doesn't arrive comes with the next one.
                let _ = copies.call(&*format!("store-{other}:80"), copy).await;
            });
        }
        async {}
    });
    endpoint.add_rpc_handler(move |Copy { key, text, writes }: Copy| {
        let mut texts = texts.borrow_mut();
        let known = texts.entry(key).or_default();
        // One that was overtaken says nothing new.
        if writes > known.1 {
            *known = (text, writes);
        }
        async {}
    });
    std::future::pending().await
}

async fn client(number: u32, stores: u32, args: Args) -> io::Result<()> {
    let endpoint = Endpoint::bind("0.0.0.0:0").await?;
    let mut history = Client::new();
    let mut rng = squall::rand::rng();
    for operation in 0..args.operations {
        let key = rng.random_range(0..args.keys.max(1));
        // Nobody knows what became of what isn't answered.
        if rng.random_bool(0.5) {
            let text = format!("{number}.{operation} ");
            let open = history.invoke_on("append", key as i64, &*text);
            let append = Append { key, text: text.clone() };
            match endpoint.call_timeout("store-0:80", append, args.timeout).await {
                Ok(()) => open.ok(text),
                Err(_) => open.info(),
            }
        } else {
            let store = if args.reads_anywhere { rng.random_range(0..stores) } else { 0 };
            let open = history.invoke_on("get", key as i64, ());
            match endpoint.call_timeout(&*format!("store-{store}:80"), Get { key }, args.timeout).await {
                Ok(text) => open.ok(text),
                Err(_) => open.info(),
            }
        }
    }
    Ok(())
}
