//! Who answers at a site when the plan doesn't.
//!
//! A [`Strategy`] is asked late: which of the events of one instant comes next is decided when its turn has come, not
//! when it was sent, and a strategy may change its mind up to then. It can only *put off*: an event's rank never falls
//! while it waits. That is what makes its choices repeatable by plain data: if X ran before Y while both were ready, then
//! at that moment Y's rank was (or was put) behind X's, and later it can only have grown; so sorting by the *last* rank of
//! each event gives the same order again.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::draw::{Purpose, RunKey};
use crate::id::{FlowId, Seed};
use crate::site::{Site, SiteKind};

/// A question about a value: a latency, a loss, a duplicate, a fault.
#[derive(Clone, Copy, Debug)]
pub struct ValueQuestion {
    /// Where.
    pub site: Site,
    /// The calm value.
    pub calm: u64,
    /// What the seed would give; equal to `calm` if the plan holds the class calm.
    pub drawn: u64,
}

/// An event whose instant has come and that would be next.
#[derive(Clone, Copy, Debug)]
pub struct Ready {
    /// The site of its order. The flow says whose event it is: a task's wake or a flow's message.
    pub site: Site,
    /// What the seed gives at that site: 64 uniform bits.
    pub word: u64,
    /// Its rank so far; 0 when it hasn't been put off.
    pub rank: u32,
    /// How often this strategy has already put it off.
    pub put_off: u32,
    /// How many events are ready at this instant, this one included: always at least 2.
    pub company: usize,
    /// How many events have been chosen in the run so far.
    pub chosen: u64,
}

/// Answers at the sites of a run. One value serves one run.
pub trait Strategy {
    /// Whether [`Strategy::value`] wants to be asked. Else the plan's base answers, which is faster.
    fn chooses_values(&self) -> bool {
        false
    }

    /// Whether [`Strategy::put_off`] wants to be asked. Else events of one instant come first in, first out.
    fn chooses_order(&self) -> bool {
        false
    }

    /// The value of a site.
    fn value(&mut self, question: &ValueQuestion) -> u64 {
        question.drawn
    }

    /// Asked when `ready` would be the next event and others are ready too: `None` lets it come, `Some(rank)` puts it
    /// behind everything of a lower rank. A rank at or below its present one lets it come.
    fn put_off(&mut self, ready: &Ready) -> Option<u32> {
        let _ = ready;
        None
    }
}

/// First in, first out; values as the plan's bases say.
#[derive(Debug, Default)]
pub struct Fifo;

impl Strategy for Fifo {}

/// Every event that has company draws a rank once, so that the order within an instant is a random permutation.
#[derive(Debug, Default)]
pub struct Random;

impl Strategy for Random {
    fn chooses_order(&self) -> bool {
        true
    }

    fn put_off(&mut self, ready: &Ready) -> Option<u32> {
        // Once asked, an event keeps its place. 20 bits: among 100 events of an instant two share a rank in one run of 200.
        (ready.put_off == 0).then_some((ready.word >> 44) as u32)
    }
}

/// Probabilistic concurrency testing for the order within an instant: every chain (a task, or a flow of messages) has a
/// random priority, the highest goes first, and at `depth - 1` random moments the chain that is about to go falls below
/// all others. Finds a bug of depth d among n chains and k choices with probability at least 1/(n·k^(d−1)).
///
/// Source: Burckhardt, Kothari, Musuvathi and Nagarakatte, "A randomized scheduler with probabilistic guarantees of finding
/// bugs", ASPLOS'10. Priorities are a pure function of (seed, chain), so that a chain that appears elsewhere changes no
/// other's.
#[derive(Debug)]
pub struct Pct {
    key: RunKey,
    /// Sorted by moment; the value is the rank that the chain falls to.
    change_points: Vec<(u64, u32)>,
    fallen: std::collections::BTreeMap<FlowId, u32>,
}

/// Ranks of chains that have fallen lie above all others.
const FALLEN: u32 = 1 << 31;

impl Pct {
    /// `depth` is the number of ordering constraints aimed at (at least 1), `steps` an upper estimate of the choices in a
    /// run.
    #[must_use]
    pub fn new(seed: Seed, depth: u32, steps: u64) -> Pct {
        let key = RunKey::derive(seed, Purpose::Strategy, 0);
        let mut change_points: Vec<(u64, u32)> = (1..depth)
            .map(|index| {
                let word = key.words(FlowId(0), u64::from(index), 1)[0];
                let moment = (u128::from(word) * u128::from(steps.max(1))) >> 64;
                // The paper: the i-th change point gives priority i; a lower priority is a higher rank.
                (moment as u64, FALLEN + depth - index)
            })
            .collect();
        change_points.sort_unstable();
        Pct { key, change_points, fallen: std::collections::BTreeMap::new() }
    }

    fn rank(&self, chain: FlowId) -> u32 {
        self.fallen.get(&chain).copied().unwrap_or_else(|| (self.key.words(chain, 0, 0)[0] >> 33) as u32)
    }
}

impl Strategy for Pct {
    fn chooses_order(&self) -> bool {
        true
    }

    fn put_off(&mut self, ready: &Ready) -> Option<u32> {
        let chain = ready.site.flow;
        let due = self.rank(chain);
        if ready.rank < due {
            return Some(due);
        }
        // It is the highest and about to go: does a change point fall on this choice?
        let reached = self.change_points.first().is_some_and(|&(moment, _)| moment <= ready.chosen);
        if reached {
            let (_, rank) = self.change_points.remove(0);
            self.fallen.insert(chain, rank);
            return Some(rank);
        }
        None
    }
}

/// First in, first out, and every crash loses all that it can: of each change of a disk that wasn't synced, everything.
#[derive(Debug, Default)]
pub struct WorstCrash;

impl Strategy for WorstCrash {
    fn chooses_values(&self) -> bool {
        true
    }

    fn value(&mut self, question: &ValueQuestion) -> u64 {
        // More sectors than any write has.
        if question.site.kind == SiteKind::DiskCrash { u64::from(u32::MAX) } else { question.drawn }
    }
}

/// A strategy as data: its name and its settings, as `--strategy` takes them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum StrategyChoice {
    /// [`Fifo`]: `fifo`.
    Fifo,
    /// [`Random`]: `random`.
    #[default]
    Random,
    /// [`Pct`]: `pct` or `pct:DEPTH` or `pct:DEPTH:STEPS`.
    Pct {
        /// Bugs of this depth are aimed at.
        depth: u32,
        /// An upper estimate of the choices in a run.
        steps: u64,
    },
    /// [`WorstCrash`]: `worst-crash`.
    WorstCrash,
}

impl StrategyChoice {
    /// The strategy for one run.
    #[must_use]
    pub fn build(self, seed: Seed) -> Box<dyn Strategy> {
        match self {
            StrategyChoice::Fifo => Box::new(Fifo),
            StrategyChoice::Random => Box::new(Random),
            StrategyChoice::Pct { depth, steps } => Box::new(Pct::new(seed, depth, steps)),
            StrategyChoice::WorstCrash => Box::new(WorstCrash),
        }
    }
}

impl fmt::Display for StrategyChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StrategyChoice::Fifo => f.write_str("fifo"),
            StrategyChoice::Random => f.write_str("random"),
            StrategyChoice::Pct { depth, steps } => write!(f, "pct:{depth}:{steps}"),
            StrategyChoice::WorstCrash => f.write_str("worst-crash"),
        }
    }
}

impl FromStr for StrategyChoice {
    type Err = String;

    /// # Errors
    /// An unknown name or settings that are no numbers.
    fn from_str(text: &str) -> Result<Self, String> {
        let expected =
            || format!("expected fifo, random, worst-crash or pct:DEPTH:STEPS (such as pct:3:1000), found {text:?}");
        let mut parts = text.split(':');
        let choice = match parts.next() {
            Some("fifo") => StrategyChoice::Fifo,
            Some("random") => StrategyChoice::Random,
            Some("worst-crash") => StrategyChoice::WorstCrash,
            Some("pct") => {
                let mut number = |default: u64| match parts.next() {
                    None => Ok(default),
                    Some(digits) => digits.parse::<u64>().ok().filter(|&n| n > 0).ok_or_else(expected),
                };
                let depth = number(3)?;
                let steps = number(1_000)?;
                // A depth beyond a few is useless, and ranks must stay within their half of the range.
                let depth = u32::try_from(depth).ok().filter(|&d| d <= 1_000_000).ok_or_else(expected)?;
                StrategyChoice::Pct { depth, steps }
            }
            _ => return Err(expected()),
        };
        if parts.next().is_some() {
            return Err(expected());
        }
        Ok(choice)
    }
}

impl Serialize for StrategyChoice {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for StrategyChoice {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// The site of an event's order. Of a task's wakes the number is their own; of messages it is twice the message's number,
/// and one more for a duplicate.
#[must_use]
pub fn order_site(chain: FlowId, number: u64) -> Site {
    Site { kind: SiteKind::Order, flow: chain, number }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn choices_read_back_as_written() {
        for choice in [
            StrategyChoice::Fifo,
            StrategyChoice::Random,
            StrategyChoice::Pct { depth: 2, steps: 77 },
            StrategyChoice::WorstCrash,
        ] {
            assert_eq!(choice.to_string().parse(), Ok(choice));
        }
        assert_eq!("pct".parse(), Ok(StrategyChoice::Pct { depth: 3, steps: 1_000 }));
        for bad in ["", "pos", "pct:0", "pct:x", "pct:1:2:3", "random:1"] {
            assert!(bad.parse::<StrategyChoice>().is_err(), "{bad:?} was read as a strategy");
        }
    }
}
