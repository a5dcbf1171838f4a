//! Claims that something comes, within a bound of virtual time.

use std::fmt;
use std::panic::AssertUnwindSafe;
use std::time::Duration;

use serde::de::DeserializeOwned;
use squall_trace::trace::format_ns;
use squall_trace::verdict::Judgement;
use squall_trace::{Ending, Event, EventKind, EventMask, Property};

use super::{What, caught, decode};

/// A claim that something comes: within that virtual time of the run's start, or of each event that asks for it ([`Eventually::after`]).
///
/// ```
/// use squall::prelude::*;
///
/// fn cluster(world: &mut World) {
///     world.client("store-0", || async {
///         squall::time::sleep(2.secs()).await;
///         squall::publish("leader", squall::node_name());
///     });
///     world.check(eventually("a leader is there", 5.secs()).on("leader", |_: String| true));
/// }
///
/// squall::explore(0..5, cluster);
/// ```
///
/// What comes exactly at the bound is in time. A run that ends before the bound, and before it came, is Unknown: nobody knows whether it would
/// have come. So is one in which nothing asked for it.
#[must_use = "a property judges nothing until it is given to `world.check`"]
pub fn eventually(name: impl Into<String>, within: Duration) -> Eventually {
    let within_ns = u64::try_from(within.as_nanos()).unwrap_or(u64::MAX);
    Eventually {
        name: name.into(),
        within_ns,
        comes: Vec::new(),
        asks: Vec::new(),
        is_after_heal: false,
        since: Since::NotAsked,
    }
}

/// See [`eventually`].
pub struct Eventually {
    name: String,
    within_ns: u64,
    comes: Vec<Hearer>,
    asks: Vec<Hearer>,
    is_after_heal: bool,
    since: Since,
}

/// What is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Since {
    /// Nothing, and nothing was before.
    NotAsked,
    /// Since that nanosecond.
    Asked(u64),
    /// It came.
    Came,
}

/// Whether an event is the one; an error breaks the property.
type IsIt = Box<dyn FnMut(&Event<'_>) -> Result<bool, String>>;

pub(super) struct Hearer {
    what: What,
    is_it: IsIt,
}

impl Hearer {
    pub(super) fn of_topic<T, F>(topic: impl Into<String>, mut is_it: F) -> Hearer
    where
        T: DeserializeOwned,
        F: FnMut(T) -> bool + 'static,
    {
        let is_it = move |event: &Event<'_>| match &event.kind {
            EventKind::Publish { topic, value } => Ok(is_it(decode(topic, value)?)),
            _ => Ok(false),
        };
        Hearer { what: What::Topic(topic.into()), is_it: Box::new(is_it) }
    }

    pub(super) fn of_events<F>(events: EventMask, mut is_it: F) -> Hearer
    where
        F: FnMut(&Event<'_>) -> bool + 'static,
    {
        Hearer { what: What::Events(events), is_it: Box::new(move |event| Ok(is_it(event))) }
    }

    pub(super) fn mask(&self) -> EventMask {
        self.what.mask()
    }

    pub(super) fn hears(&mut self, event: &Event<'_>) -> Result<bool, String> {
        if !self.what.fits(event) {
            return Ok(false);
        }
        let mut is_it = false;
        caught(AssertUnwindSafe(|| (self.is_it)(event).map(|answer| is_it = answer)))?;
        Ok(is_it)
    }
}

impl Eventually {
    /// It has come when `is_it` says so of a fact that is published about `topic`. Of several of these, any will do. A panic breaks the property,
    /// and so does a fact that isn't a `T`.
    pub fn on<T, F>(mut self, topic: impl Into<String>, is_it: F) -> Eventually
    where
        T: DeserializeOwned,
        F: FnMut(T) -> bool + 'static,
    {
        self.comes.push(Hearer::of_topic(topic, is_it));
        self
    }

    /// As [`Eventually::on`], for events of any kind.
    pub fn on_events<F>(mut self, events: EventMask, is_it: F) -> Eventually
    where
        F: FnMut(&Event<'_>) -> bool + 'static,
    {
        self.comes.push(Hearer::of_events(events, is_it));
        self
    }

    /// It isn't asked for at the run's start, but by each fact about `topic` of which `asks` says so: the time counts from the first of those after
    /// it came last.
    pub fn after<T, F>(mut self, topic: impl Into<String>, asks: F) -> Eventually
    where
        T: DeserializeOwned,
        F: FnMut(T) -> bool + 'static,
    {
        self.asks.push(Hearer::of_topic(topic, asks));
        self
    }

    /// It is asked for when the world's [heal](squall_engine::World::heal) comes. The run goes on up to the bound, though all clients have
    /// returned before.
    pub fn after_heal(self) -> Eventually {
        Eventually { is_after_heal: true, ..self }.after_events(EventMask::HEAL, |_| true)
    }

    /// As [`Eventually::after`], for events of any kind: a crash, a healed partition.
    pub fn after_events<F>(mut self, events: EventMask, asks: F) -> Eventually
    where
        F: FnMut(&Event<'_>) -> bool + 'static,
    {
        self.asks.push(Hearer::of_events(events, asks));
        self
    }

    /// Since when it is waited for, if it is.
    fn asked_ns(&self) -> Option<u64> {
        match self.since {
            Since::Asked(since_ns) => Some(since_ns),
            Since::NotAsked if self.asks.is_empty() => Some(0),
            Since::NotAsked | Since::Came => None,
        }
    }

    fn late(&self, since_ns: u64) -> String {
        let within = format_ns(self.within_ns);
        match self.asks.is_empty() {
            true => format!("it hasn't come within {within}"),
            false => format!("asked for at {}, it hasn't come within {within}", format_ns(since_ns)),
        }
    }
}

impl Property for Eventually {
    fn name(&self) -> &str {
        &self.name
    }

    fn interest(&self) -> EventMask {
        self.comes.iter().chain(&self.asks).fold(EventMask::NONE, |mask, hearer| mask.union(hearer.mask()))
    }

    fn on_event(&mut self, event: &Event<'_>) -> Result<(), String> {
        if let Some(since_ns) = self.asked_ns()
            && event.at_ns > since_ns.saturating_add(self.within_ns)
        {
            return Err(self.late(since_ns));
        }
        let is_asked = self.asked_ns().is_some();
        for hearer in &mut self.comes {
            if hearer.hears(event)? && is_asked {
                self.since = Since::Came;
            }
        }
        for hearer in &mut self.asks {
            if hearer.hears(event)? && !matches!(self.since, Since::Asked(_)) {
                self.since = Since::Asked(event.at_ns);
            }
        }
        Ok(())
    }

    fn on_end(&mut self, ending: &Ending) -> Judgement {
        let end = format_ns(ending.at_ns);
        if self.comes.is_empty() {
            return Judgement::Open("nothing says what is to come, so nothing was judged: give it `on`".to_string());
        }
        match self.asked_ns() {
            Some(since_ns) if ending.at_ns >= since_ns.saturating_add(self.within_ns) => {
                Judgement::Broken(self.late(since_ns))
            }
            Some(since_ns) => Judgement::Open(format!(
                "it hasn't come, and the run ended at {end}, before {}: let it run longer, or ask for it sooner",
                format_ns(since_ns.saturating_add(self.within_ns))
            )),
            None if self.since != Since::Came => {
                Judgement::Open(format!("nothing asked for it up to the end at {end}, so nothing was judged"))
            }
            None => Judgement::Held,
        }
    }

    fn after_heal_ns(&self) -> Option<u64> {
        self.is_after_heal.then_some(self.within_ns)
    }
}

impl fmt::Debug for Eventually {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Eventually").field("name", &self.name).field("since", &self.since).finish_non_exhaustive()
    }
}
