//! The application in a world: a server, clients of all kinds, and what is claimed of them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use squall::World;
use squall::trace::verdict::Judgement;
use squall::trace::{Ending, Event, EventKind, EventMask, Property};

use crate::client::{self, Kind};
use crate::messages::Greeting;
use crate::server;

/// Under which greetings are made known.
const TOPIC: &str = "greeted";

/// `[args]` of a scenario.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Args {
    /// Whether the server keeps its last number in a file.
    pub durable: bool,
    /// How many calls each client makes.
    pub calls: u32,
}

impl Default for Args {
    fn default() -> Args {
        Args { durable: true, calls: 10 }
    }
}

/// A server at 10.0.0.1, and clients.
pub fn greeter(world: &mut World, args: &Args) {
    let Args { durable, calls } = *args;
    world.node("server", move || async move { server::serve(durable).await.map_err(|error| error.to_string()) });
    world.clients("client", 4, move |number| async move {
        let kind = Kind::ALL[number as usize % Kind::ALL.len()];
        let server = format!("http://10.0.0.1:{}", server::PORT);
        let tell = |Greeting { number, .. }| squall_madsim::publish(TOPIC, number);
        client::call(server, format!("client-{number}"), kind, calls, tell).await;
    });
    world.check(NumbersOnce::default());
}

/// No two greetings that arrive have the same number.
#[derive(Debug, Default)]
struct NumbersOnce {
    /// To whom each number was given.
    given: BTreeMap<u64, u32>,
}

impl Property for NumbersOnce {
    fn name(&self) -> &str {
        "numbers-once"
    }

    fn interest(&self) -> EventMask {
        EventMask::PUBLISH
    }

    fn on_event(&mut self, event: &Event<'_>) -> Result<(), String> {
        let EventKind::Publish { topic, value } = &event.kind else { return Ok(()) };
        if topic != TOPIC {
            return Ok(());
        }
        let number: u64 = value.parse().map_err(|error| format!("a greeting's number isn't one: {error}"))?;
        match self.given.insert(number, event.node.0) {
            None => Ok(()),
            Some(_) => Err(format!("the number {number} was given to two greetings")),
        }
    }

    fn on_end(&mut self, _ending: &Ending) -> Judgement {
        Judgement::Held
    }
}
