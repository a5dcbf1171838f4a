//! [`yrs`](https://docs.rs/yrs), a CRDT: replicas write to a document of their own and send each other every update until it has arrived.
//!
//! Updates may come in any order: yrs promises that one which comes before what it builds on waits for that. In 0.18.2 it doesn't always. There, an update
//! that comes before an earlier one of the same client is put aside (`Store::pending`) without a note of what it waits for (`Update::integrate`), and the next
//! update that can be applied takes it out to look, sees nothing that has come for it, and doesn't put it back (`TransactionMut::apply_update`). So it is lost, on
//! that replica and for good, unless state vectors are exchanged later. 0.18.3 notes what is missing and puts it back. This program runs on 0.18.2 and on 0.19.2.
//!
//! Clients' numbers are given: those that yrs draws by itself (fastrand, seeded by the thread's number) aren't the same in each run of a process. Documents are
//! in memory alone, so the scenarios crash nobody.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::rc::Rc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use squall::net::Endpoint;
use squall::prelude::*;
use squall::rpc::Request;
use squall::scenario::Program;
use squall::time::sleep;

/// How many replicas there are, if a scenario file doesn't say.
const REPLICAS: u32 = 3;

/// How long a replica rests between two writes.
const REST: Duration = Duration::from_millis(5);

/// How long one waits for an answer before it asks again.
const TIMEOUT: Duration = Duration::from_millis(50);

/// What the scenario file says in `[args]`.
#[derive(Clone, Serialize, Deserialize)]
#[serde(default)]
struct Args {
    /// The version of yrs.
    version: Version,
    /// How often each replica writes.
    writes: u32,
}

impl Default for Args {
    fn default() -> Args {
        Args { version: Version::Yrs0_19_2, writes: 5 }
    }
}

#[derive(Clone, Copy, Serialize, Deserialize)]
enum Version {
    #[serde(rename = "0.18.2")]
    Yrs0_18_2,
    #[serde(rename = "0.19.2")]
    Yrs0_19_2,
}

/// "Have that, which I wrote."
#[derive(Clone, Serialize, Deserialize)]
struct Update {
    from: u32,
    number: u32,
    bytes: Vec<u8>,
}

impl Request for Update {
    type Response = ();
    const NAME: &'static str = "Update";
}

/// "What is in the document?" Nothing is said until all updates have arrived.
#[derive(Clone, Serialize, Deserialize)]
struct Read;

impl Request for Read {
    type Response = Option<Contents>;
    const NAME: &'static str = "Read";
}

/// What is in a document: a map, and a text.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
struct Contents {
    map: BTreeMap<String, String>,
    text: String,
}

/// A document of any version of yrs.
trait Document {
    /// Writes an entry that nobody else writes, the one that all write, and at the end of the text. Gives the update.
    fn write(&self, key: &str) -> Vec<u8>;
    /// Has an update of another.
    fn apply(&self, update: &[u8]);
    fn contents(&self) -> Contents;
}

macro_rules! document {
    ($name:ident, $yrs:ident) => {
        struct $name(::$yrs::Doc);

        impl Document for $name {
            fn write(&self, key: &str) -> Vec<u8> {
                use ::$yrs::{Map, Text, Transact};
                let (map, text) = (self.0.get_or_insert_map("map"), self.0.get_or_insert_text("text"));
                let mut transaction = self.0.transact_mut();
                map.insert(&mut transaction, key, "written");
                map.insert(&mut transaction, "last", key);
                text.push(&mut transaction, &format!("{key} "));
                transaction.encode_update_v1()
            }

            fn apply(&self, update: &[u8]) {
                use ::$yrs::{Transact, updates::decoder::Decode};
                let update = ::$yrs::Update::decode_v1(update).expect("yrs has written it");
                self.0.transact_mut().apply_update(update);
            }

            fn contents(&self) -> Contents {
                use ::$yrs::{GetString, Map, Transact};
                let (map, text) = (self.0.get_or_insert_map("map"), self.0.get_or_insert_text("text"));
                let read = self.0.transact();
                let map = map.iter(&read).map(|(key, value)| (key.to_string(), value.to_string(&read))).collect();
                Contents { map, text: text.get_string(&read) }
            }
        }
    };
}

document!(Document0_18_2, yrs_0_18_2);
document!(Document0_19_2, yrs_0_19_2);

/// The program, as scenario files name it.
#[must_use]
pub fn program() -> Program {
    Program::new("yrs", "yrs, a CRDT: replicas send each other their updates, which may come in any order", world)
        .in_module(module_path!())
}

fn world(world: &mut World, args: &Args) {
    let (replicas, Args { version, writes }) = (world.count("replica", REPLICAS), args.clone());
    world.nodes("replica", replicas, move |number| replica(number, replicas, version, writes));
    world.client("reader", move || reader(replicas));
    world.check(always("nothing-lost", ()).on("read", move |(), (replica, contents): (u32, Contents)| {
        for key in (0..replicas).flat_map(|from| (0..writes).map(move |number| format!("{from}.{number}"))) {
            let (in_map, in_text) = (contents.map.contains_key(&key), contents.text.contains(&key));
            ensure!(in_map, "replica {replica} has had all updates, and {key} isn't in its map");
            ensure!(in_text, "replica {replica} has had all updates, and {key} isn't in its text");
        }
        Ok(())
    }));
    world.check(always("converged", None::<Contents>).on("read", |first, (replica, contents): (u32, Contents)| {
        let first = first.get_or_insert_with(|| contents.clone());
        ensure!(*first == contents, "replica 0 has {first:?}, replica {replica} {contents:?}");
        Ok(())
    }));
}

async fn replica(number: u32, replicas: u32, version: Version, writes: u32) -> io::Result<()> {
    let document: Rc<dyn Document> = match version {
        Version::Yrs0_18_2 => Rc::new(Document0_18_2(::yrs_0_18_2::Doc::with_client_id(number.into()))),
        Version::Yrs0_19_2 => Rc::new(Document0_19_2(::yrs_0_19_2::Doc::with_client_id(number.into()))),
    };
    let endpoint = Endpoint::bind("0.0.0.0:80").await?;
    let arrived = Rc::new(RefCell::new(BTreeSet::new()));
    let (to_apply, arrive) = (Rc::clone(&document), Rc::clone(&arrived));
    endpoint.add_rpc_handler(move |Update { from, number, bytes }: Update| {
        to_apply.apply(&bytes);
        let mut arrived = arrive.borrow_mut();
        let is_late = arrived.range((from, number + 1)..(from + 1, 0)).next().is_some();
        if !arrived.insert((from, number)) {
            squall::reachable!("an update arrives twice");
        } else if is_late {
            squall::reachable!("an update arrives after a later one of the same replica");
        }
        async {}
    });
    let to_read = Rc::clone(&document);
    endpoint.add_rpc_handler(move |_: Read| {
        let all = arrived.borrow().len() == (writes * (replicas - 1)) as usize;
        let contents = all.then(|| to_read.contents());
        async move { contents }
    });
    for write in 0..writes {
        sleep(REST).await;
        let bytes = document.write(&format!("{number}.{write}"));
        for other in (0..replicas).filter(|other| *other != number) {
            let (endpoint, update) = (endpoint.clone(), Update { from: number, number: write, bytes: bytes.clone() });
            squall::task::spawn_local(async move {
                while endpoint.call_timeout((format!("replica-{other}"), 80), update.clone(), TIMEOUT).await.is_err() {
                    squall::reachable!("an update is sent again");
                }
            });
        }
    }
    std::future::pending().await
}

/// Reads each replica once all updates have arrived there.
async fn reader(replicas: u32) -> io::Result<()> {
    let endpoint = Endpoint::bind("0.0.0.0:0").await?;
    for number in 0..replicas {
        let contents = loop {
            sleep(TIMEOUT).await;
            if let Ok(Some(contents)) = endpoint.call_timeout((format!("replica-{number}"), 80), Read, TIMEOUT).await {
                break contents;
            }
        };
        squall::publish("read", (number, contents));
    }
    Ok(())
}
