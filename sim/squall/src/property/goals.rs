//! Goals: what is to come in some run of many.
//!
//! A campaign whose runs all pass has shown little if none of them came by what is interesting: a conflict, a timeout, a second leader that is
//! voted down. A goal says what that is. `squall explore` tells how often each came, and isn't content where one never did.

use std::fmt;

use serde::de::DeserializeOwned;
use squall_trace::verdict::Judgement;
use squall_trace::{Ending, Event, EventMask, Property};

use super::eventually::Hearer;

/// A claim that something comes in some run: each that doesn't show it passes all the same, but many together don't.
///
/// ```
/// use rand_core::Rng;
/// use squall::prelude::*;
///
/// fn drawn() -> std::time::Duration {
///     (squall::rand::rng().next_u64() % 10).ms()
/// }
///
/// fn cluster(world: &mut World) {
///     world.client("store-0", || async {
///         let mut attempts = 1;
///         while squall::time::timeout(5.ms(), squall::time::sleep(drawn())).await.is_err() {
///             attempts += 1;
///         }
///         squall::publish("attempts", attempts);
///     });
///     world.check(sometimes("a second attempt").on("attempts", |attempts: u64| attempts > 1));
/// }
///
/// squall::explore(0..50, cluster);
/// ```
///
/// Without [`on`](Sometimes::on) it is reached by the marks of its name, [`reachable!`](crate::reachable) and
/// [`sometimes!`](crate::sometimes): then it says that this world is to come by them.
#[must_use = "a property judges nothing until it is given to `world.check`"]
pub fn sometimes(goal: impl Into<String>) -> Sometimes {
    Sometimes { goal: goal.into(), comes: Vec::new(), times: 0 }
}

/// See [`sometimes`].
pub struct Sometimes {
    goal: String,
    comes: Vec<Hearer>,
    times: u64,
}

impl Sometimes {
    /// It comes with each fact about `topic` of which `is_it` says so. Of several of these, any will do. A panic breaks the property, and so does
    /// a fact that isn't a `T`.
    pub fn on<T, F>(mut self, topic: impl Into<String>, is_it: F) -> Sometimes
    where
        T: DeserializeOwned,
        F: FnMut(T) -> bool + 'static,
    {
        self.comes.push(Hearer::of_topic(topic, is_it));
        self
    }

    /// As [`Sometimes::on`], for events of any kind: messages, faults, crashes.
    pub fn on_events<F>(mut self, events: EventMask, is_it: F) -> Sometimes
    where
        F: FnMut(&Event<'_>) -> bool + 'static,
    {
        self.comes.push(Hearer::of_events(events, is_it));
        self
    }
}

impl Property for Sometimes {
    fn name(&self) -> &str {
        &self.goal
    }

    fn interest(&self) -> EventMask {
        self.comes.iter().fold(EventMask::NONE, |mask, hearer| mask.union(hearer.mask()))
    }

    fn on_event(&mut self, event: &Event<'_>) -> Result<(), String> {
        for hearer in &mut self.comes {
            if hearer.hears(event)? {
                self.times += 1;
                // Once an event.
                break;
            }
        }
        Ok(())
    }

    /// Of one run nothing is claimed.
    fn on_end(&mut self, _ending: &Ending) -> Judgement {
        Judgement::Held
    }

    fn goal(&self) -> Option<u64> {
        Some(self.times)
    }
}

impl fmt::Debug for Sometimes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sometimes").field("goal", &self.goal).field("times", &self.times).finish_non_exhaustive()
    }
}

/// Marks a place that some run of a campaign is to come by. Outside of a run it does nothing.
///
/// All marks of a program are known, whether a run comes by them or not: one that none came by is told by `squall explore`, which then isn't
/// green. Marks of one name are one goal. A run's digest knows nothing of them.
///
/// ```
/// fn refuse(queued: usize) -> bool {
///     if queued < 100 {
///         return false;
///     }
///     squall::reachable!("the queue is full");
///     true
/// }
/// # refuse(100);
/// ```
#[macro_export]
macro_rules! reachable {
    ($goal:expr $(,)?) => {{
        #[$crate::goals::distributed_slice($crate::goals::MARKS)]
        #[linkme(crate = $crate::goals::linkme)]
        static MARK: $crate::goals::Mark = $crate::goals::Mark {
            goal: $goal,
            module: ::core::module_path!(),
            file: ::core::file!(),
            line: ::core::line!(),
        };
        $crate::goals::reach(&MARK);
    }};
}

/// As [`reachable!`](crate::reachable), where the condition holds: it is to hold in some run.
///
/// ```
/// # let conflicts = 1;
/// squall::sometimes!(conflicts > 0, "a write conflicts with another");
/// ```
#[macro_export]
macro_rules! sometimes {
    ($condition:expr, $goal:expr $(,)?) => {
        if $condition {
            $crate::reachable!($goal);
        }
    };
}
