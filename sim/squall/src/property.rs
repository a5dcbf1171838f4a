//! Properties: claims about a run, judged by the facts that its programs publish.
//!
//! A program says what it did with [`publish`](crate::publish); a property listens and keeps what it must remember in a
//! state of its own, which starts afresh with each run:
//!
//! ```
//! use std::collections::BTreeMap;
//!
//! use serde::{Deserialize, Serialize};
//! use squall::prelude::*;
//!
//! #[derive(Serialize, Deserialize)]
//! struct Leader {
//!     term: u64,
//!     node: String,
//! }
//!
//! fn cluster(world: &mut World) {
//!     world.client("store-0", || async { squall::publish("leader", Leader { term: 1, node: squall::node_name() }) });
//!     world.check(always("one leader a term", BTreeMap::new()).on("leader", |leaders, leader: Leader| {
//!         let first = leaders.entry(leader.term).or_insert_with(|| leader.node.clone());
//!         ensure!(*first == leader.node, "{first} and {} both lead term {}", leader.node, leader.term);
//!         Ok(())
//!     }));
//! }
//!
//! squall::explore(0..5, cluster);
//! ```

mod eventually;
mod goals;

use std::panic::{AssertUnwindSafe, catch_unwind};

use serde::de::DeserializeOwned;
use squall_trace::trace::format_ns;
use squall_trace::verdict::Judgement;
use squall_trace::{Ending, Event, EventKind, EventMask, Property};

pub use eventually::{Eventually, eventually};
pub use goals::{Sometimes, sometimes};

/// A claim that must hold after every fact: an invariant. `state` is what it remembers; `()` if nothing.
///
/// A run in which it heard nothing is Unknown: nothing was judged. [`Always::at_end`] adds a last look.
#[must_use = "a property judges nothing until it is given to `world.check`"]
pub fn always<S>(name: impl Into<String>, state: S) -> Always<S> {
    Always { name: name.into(), state, hearers: Vec::new(), at_end: None, heard: 0 }
}

/// See [`always`].
pub struct Always<S> {
    name: String,
    state: S,
    hearers: Vec<Hearer<S>>,
    at_end: Option<AtEnd<S>>,
    /// How many events it was judged by.
    heard: u64,
}

type Judge<S> = Box<dyn FnMut(&mut S, &Event<'_>) -> Result<(), String>>;
type AtEnd<S> = Box<dyn FnOnce(&mut S) -> Result<(), String>>;

/// What a property does with an event.
struct Hearer<S> {
    what: What,
    judge: Judge<S>,
}

/// What a hearer wants to hear.
enum What {
    Topic(String),
    Events(EventMask),
}

impl What {
    fn mask(&self) -> EventMask {
        match self {
            What::Topic(_) => EventMask::PUBLISH,
            What::Events(mask) => *mask,
        }
    }

    fn fits(&self, event: &Event<'_>) -> bool {
        match self {
            What::Topic(wanted) => matches!(&event.kind, EventKind::Publish { topic, .. } if topic == wanted),
            What::Events(mask) => mask.contains_code(event.kind.code()),
        }
    }
}

impl<S> Always<S> {
    /// Judges each fact that is published about `topic`; an error, or a panic, breaks the property. A fact that isn't a
    /// `T` breaks it too.
    pub fn on<T, F>(self, topic: impl Into<String>, mut judge: F) -> Always<S>
    where
        T: DeserializeOwned,
        F: FnMut(&mut S, T) -> Result<(), String> + 'static,
    {
        self.on_with_event(topic, move |state, fact, _event| judge(state, fact))
    }

    /// As [`Always::on`], for claims about when and where a fact was published.
    pub fn on_with_event<T, F>(mut self, topic: impl Into<String>, mut judge: F) -> Always<S>
    where
        T: DeserializeOwned,
        F: FnMut(&mut S, T, &Event<'_>) -> Result<(), String> + 'static,
    {
        let judge = move |state: &mut S, event: &Event<'_>| match &event.kind {
            EventKind::Publish { topic, value } => judge(state, decode(topic, value)?, event),
            _ => Ok(()),
        };
        self.hearers.push(Hearer { what: What::Topic(topic.into()), judge: Box::new(judge) });
        self
    }

    /// Judges events of any kind: messages, faults, crashes.
    pub fn on_events<F>(mut self, events: EventMask, judge: F) -> Always<S>
    where
        F: FnMut(&mut S, &Event<'_>) -> Result<(), String> + 'static,
    {
        self.hearers.push(Hearer { what: What::Events(events), judge: Box::new(judge) });
        self
    }

    /// A last look when the run has ended; of several, the last one counts.
    pub fn at_end<F>(mut self, judge: F) -> Always<S>
    where
        F: FnOnce(&mut S) -> Result<(), String> + 'static,
    {
        self.at_end = Some(Box::new(judge));
        self
    }

    fn wanted(&self) -> String {
        let wanted: Vec<String> = self
            .hearers
            .iter()
            .map(|hearer| match &hearer.what {
                What::Topic(topic) => format!("{topic:?}"),
                What::Events(_) => "events".to_string(),
            })
            .collect();
        wanted.join(", ")
    }
}

impl<S> Property for Always<S> {
    fn name(&self) -> &str {
        &self.name
    }

    fn interest(&self) -> EventMask {
        self.hearers.iter().fold(EventMask::NONE, |mask, hearer| mask.union(hearer.what.mask()))
    }

    fn on_event(&mut self, event: &Event<'_>) -> Result<(), String> {
        for hearer in &mut self.hearers {
            if hearer.what.fits(event) {
                self.heard += 1;
                let state = &mut self.state;
                caught(AssertUnwindSafe(|| (hearer.judge)(state, event)))?;
            }
        }
        Ok(())
    }

    fn on_end(&mut self, ending: &Ending) -> Judgement {
        if let Some(judge) = self.at_end.take() {
            let state = &mut self.state;
            if let Err(message) = caught(AssertUnwindSafe(|| judge(state))) {
                return Judgement::Broken(message);
            }
            if self.hearers.is_empty() {
                return Judgement::Held;
            }
        }
        if self.heard == 0 {
            let at = format_ns(ending.at_ns);
            return Judgement::Open(match self.hearers.is_empty() {
                true => "it listens to nothing, so it judged nothing: give it `on` or `at_end`".to_string(),
                false => format!(
                    "nothing was heard of {} up to the end at {at}, so nothing was judged; is the topic spelt as it is \
                     published?",
                    self.wanted()
                ),
            });
        }
        Judgement::Held
    }
}

impl<S> std::fmt::Debug for Always<S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Always").field("name", &self.name).field("heard", &self.heard).finish_non_exhaustive()
    }
}

/// A fact as the type that a property declares for it.
fn decode<T: DeserializeOwned>(topic: &str, value: &str) -> Result<T, String> {
    serde_json::from_str(value).map_err(|error| {
        let wanted = std::any::type_name::<T>();
        format!("a fact about {topic:?} can't be read as {wanted}: {error}; what was published is {value}")
    })
}

/// An assertion in a property breaks it, as an error does.
fn caught(judge: AssertUnwindSafe<impl FnOnce() -> Result<(), String>>) -> Result<(), String> {
    catch_unwind(judge).unwrap_or_else(|payload| {
        let text = payload.downcast_ref::<String>().map(String::as_str);
        let text = text.or_else(|| payload.downcast_ref::<&str>().copied()).unwrap_or("no message");
        Err(format!("the property panicked: {text}"))
    })
}

/// Breaks the property, with a message, unless the condition holds: for closures that return `Result<_, String>`.
///
/// ```
/// fn withdraw(balance: i64, amount: i64) -> Result<i64, String> {
///     squall::ensure!(amount <= balance, "{amount} is more than the {balance} that are there");
///     Ok(balance - amount)
/// }
/// assert_eq!(withdraw(5, 7), Err("7 is more than the 5 that are there".to_string()));
/// ```
#[macro_export]
macro_rules! ensure {
    ($condition:expr $(,)?) => {
        $crate::ensure!($condition, "{} doesn't hold", stringify!($condition))
    };
    ($condition:expr, $($message:tt)+) => {
        if !$condition {
            return ::core::result::Result::Err(::std::format!($($message)+));
        }
    };
}
