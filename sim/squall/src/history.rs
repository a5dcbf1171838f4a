//! What clients asked of a system and what came back, recorded for a judge.
//!
//! ```
//! use squall::history::Client;
//! use squall::check::models::Register;
//! use squall::check::property::linearizable;
//! use squall::net::Endpoint;
//! use squall::prelude::*;
//!
//! fn register(world: &mut World) {
//!     world.node("store", || async {
//!         let endpoint = Endpoint::bind("0.0.0.0:80").await?;
//!         let (mut value, mut asked) = ([0], [0; 2]);
//!         while let Ok((_, from)) = endpoint.recv_from(1, &mut asked).await {
//!             if asked[0] == 1 {
//!                 value[0] = asked[1];
//!             }
//!             endpoint.send_to(from, 2, &value).await?;
//!         }
//!         Ok::<(), std::io::Error>(())
//!     });
//!     world.clients("client", 2, |number| async move {
//!         let endpoint = Endpoint::bind("0.0.0.0:0").await?;
//!         let mut client = Client::new();
//!         for round in 0..3 {
//!             let writes = round == number;
//!             // From here on it is open; dropped without an end, nobody knows what became of it.
//!             let open = if writes { client.invoke("write", 7) } else { client.invoke("read", ()) };
//!             endpoint.send_to("store:80", 1, &[u8::from(writes), 7]).await?;
//!             let mut answer = [0];
//!             let came = squall::time::timeout(50.ms(), endpoint.recv_from(2, &mut answer)).await;
//!             if came.is_err() {
//!                 continue;
//!             }
//!             match (writes, answer) {
//!                 (true, _) => open.ok(7),
//!                 (false, [0]) => open.ok(()),
//!                 (false, [value]) => open.ok(i64::from(value)),
//!             }
//!         }
//!         Ok::<(), std::io::Error>(())
//!     });
//!     world.link("client-*", "store").latency(uniform(1.ms(), 10.ms()));
//!     world.check(linearizable(Register));
//! }
//!
//! squall::explore(0..50, register);
//! ```

use std::cell::RefCell;
use std::collections::BTreeMap;

use squall_check::history::EventType;
use squall_check::property::{Recorded, TOPIC};
use squall_check::value::Value;

thread_local! {
    /// The clients of the run, by name. A run has a thread of its own.
    static CLIENTS: RefCell<BTreeMap<String, Lives>> = const { RefCell::new(BTreeMap::new()) };
}

/// What is known of the clients of one name.
#[derive(Debug, Default)]
struct Lives {
    /// How often nobody knew what became of an operation: whoever goes on then is another process.
    ended: u64,
    is_busy: bool,
}

fn with_lives<R>(client: &str, act: impl FnOnce(&mut Lives) -> R) -> R {
    CLIENTS.with_borrow_mut(|clients| match clients.get_mut(client) {
        Some(lives) => act(lives),
        None => act(clients.entry(client.to_string()).or_default()),
    })
}

/// Who asks: one operation at a time. A task that has several in flight has a client for each.
///
/// It is known by the task that made it. A node that starts again runs its init function anew, which makes new clients. One that is made anew in
/// the same task goes on where the last one was: as the same process, or as the next one if nobody knows what became of its operation.
#[derive(Debug)]
pub struct Client {
    name: String,
    publish: fn(&str, &Recorded),
}

impl Client {
    /// The only client of the running task.
    ///
    /// # Panics
    /// Outside of a task of a run.
    #[must_use]
    #[track_caller]
    pub fn new() -> Client {
        Client::numbered(0)
    }

    /// One of several clients of the running task, each with a number of its own.
    ///
    /// # Panics
    /// Outside of a task of a run.
    #[must_use]
    #[track_caller]
    pub fn numbered(number: u64) -> Client {
        let publish = |topic: &str, recorded: &Recorded| crate::publish(topic, recorded);
        Client { name: format!("{}/{}/{number}", crate::node_name(), crate::task::id()), publish }
    }

    /// A client of a run by [another engine](crate::engine), which says how it is called (its node, a `/`, and what tells it from others there) and
    /// makes facts known in its own way.
    #[must_use]
    pub fn of_engine(name: String, publish: fn(&str, &Recorded)) -> Client {
        Client { name, publish }
    }

    /// Begins an operation of the only object that there is: `f` with that argument.
    ///
    /// # Panics
    /// Outside of a run. If another client of this task and number is in the midst of an operation.
    #[track_caller]
    pub fn invoke(&mut self, f: &str, argument: impl Into<Value>) -> Invocation<'_> {
        self.begin(f, None, argument.into())
    }

    /// Begins an operation of one of several objects.
    ///
    /// # Panics
    /// Outside of a run. If another client of this task and number is in the midst of an operation.
    #[track_caller]
    pub fn invoke_on(&mut self, f: &str, key: impl Into<Value>, argument: impl Into<Value>) -> Invocation<'_> {
        self.begin(f, Some(key.into()), argument.into())
    }

    #[track_caller]
    fn begin(&mut self, f: &str, key: Option<Value>, argument: Value) -> Invocation<'_> {
        let Client { name, .. } = &*self;
        let (ended, was_busy) = with_lives(name, |lives| (lives.ended, std::mem::replace(&mut lives.is_busy, true)));
        assert!(
            !was_busy,
            "the client {name} of a history is in the midst of an operation, and another one of the same task invokes {f:?}: give each a number \
             of its own (`Client::numbered`)"
        );
        let process = format!("{name}/{ended}");
        let invocation = Invocation { f: f.to_string(), key, client: self, process, is_open: true };
        invocation.publish(EventType::Invoke, argument, None);
        invocation
    }
}

/// Whose client [`Client::new`] gives depends on the task that asks.
impl Default for Client {
    fn default() -> Client {
        Client::new()
    }
}

/// An operation that has begun. Dropped, it is of unknown outcome: its client was cancelled, gave up or panicked.
#[derive(Debug)]
#[must_use = "dropped, it is of unknown outcome"]
pub struct Invocation<'c> {
    client: &'c mut Client,
    process: String,
    f: String,
    key: Option<Value>,
    is_open: bool,
}

impl Invocation<'_> {
    /// It has ended with that result.
    pub fn ok(self, result: impl Into<Value>) {
        self.end(EventType::Ok, result.into(), None);
    }

    /// The same, where the system says at which place of its own order the operation took effect, each at another one: that order is
    /// looked at before any other is looked for.
    pub fn ok_at(self, index: u64, result: impl Into<Value>) {
        self.end(EventType::Ok, result.into(), Some(index));
    }

    /// It certainly did not happen, and never will.
    pub fn fail(self) {
        self.end(EventType::Fail, Value::Null, None);
    }

    /// Nobody knows whether it happened, or will: an answer that didn't come, say. So does to drop it.
    pub fn info(self) {
        drop(self);
    }

    fn end(mut self, kind: EventType, value: Value, index: Option<u64>) {
        self.is_open = false;
        with_lives(&self.client.name, |lives| lives.is_busy = false);
        self.publish(kind, value, index);
    }

    fn publish(&self, kind: EventType, value: Value, index: Option<u64>) {
        let process = self.process.clone();
        let recorded = Recorded { process, kind, f: self.f.clone(), key: self.key.clone(), value, index };
        (self.client.publish)(TOPIC, &recorded);
    }
}

impl Drop for Invocation<'_> {
    fn drop(&mut self) {
        if self.is_open {
            with_lives(&self.client.name, |lives| *lives = Lives { ended: lives.ended + 1, is_busy: false });
            self.publish(EventType::Info, Value::Null, None);
        }
    }
}
