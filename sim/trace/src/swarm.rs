//! Swarms: which classes of faults a run does without, and how often the others come.
//!
//! Source: A. Groce, C. Zhang, E. Eide, Y. Chen and J. Regehr, "Swarm testing", ISSTA 2012. A run with everything in it is one point of a large space, and some
//! bugs are never there: what would show them is hidden by something else (a queue never fills up if messages are lost). So each run leaves each class out with
//! probability one half, and varies the rest.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::draw::{Purpose, RunKey};
use crate::id::{FlowId, Seed};
use crate::ratio::Ratio;

/// A class of faults, which a swarm switches off as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[repr(u8)]
pub enum FaultClass {
    /// Messages that are lost, out of bursts.
    Loss = 0,
    /// Bursts of losses.
    Bursts = 1,
    /// Messages that arrive twice.
    Duplicate = 2,
    /// Messages with a flipped bit.
    Corruption = 3,
    /// Latencies of messages: switched off, each takes its calm one.
    Latency = 4,
    /// Nodes that crash, at points of the code too.
    Crash = 5,
    /// Nodes that stand still.
    Pause = 6,
    /// Slow nodes.
    Slow = 7,
    /// Clocks that jump or drift.
    Clock = 8,
    /// Partitions of all kinds.
    Partition = 9,
    /// Messages that are held back.
    Hold = 10,
    /// Links whose weather changes.
    Link = 11,
    /// What crashes (and syncs that fail) leave of changes that weren't synced.
    DiskCrash = 12,
    /// Reads, writes and syncs that fail.
    DiskFailure = 13,
    /// Latencies of disks.
    DiskLatency = 14,
    /// Bits of a disk that flip.
    BitRot = 15,
    /// What programs do where they ask by `buggify!`.
    Buggify = 16,
    /// Knobs that have another value than their default.
    Knob = 17,
    /// What rules do to messages, but for those that let pass.
    Rule = 18,
    /// Connections that break.
    Reset = 19,
}

impl FaultClass {
    /// All classes, in the order of their codes.
    pub const ALL: [FaultClass; 20] = [
        FaultClass::Loss,
        FaultClass::Bursts,
        FaultClass::Duplicate,
        FaultClass::Corruption,
        FaultClass::Latency,
        FaultClass::Crash,
        FaultClass::Pause,
        FaultClass::Slow,
        FaultClass::Clock,
        FaultClass::Partition,
        FaultClass::Hold,
        FaultClass::Link,
        FaultClass::DiskCrash,
        FaultClass::DiskFailure,
        FaultClass::DiskLatency,
        FaultClass::BitRot,
        FaultClass::Buggify,
        FaultClass::Knob,
        FaultClass::Rule,
        FaultClass::Reset,
    ];

    /// In words, as part of a list.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            FaultClass::Loss => "loss",
            FaultClass::Bursts => "bursts",
            FaultClass::Duplicate => "duplicates",
            FaultClass::Corruption => "corruption",
            FaultClass::Latency => "latency",
            FaultClass::Crash => "crashes",
            FaultClass::Pause => "pauses",
            FaultClass::Slow => "slow nodes",
            FaultClass::Clock => "clocks",
            FaultClass::Partition => "partitions",
            FaultClass::Hold => "holds",
            FaultClass::Link => "link faults",
            FaultClass::DiskCrash => "lost writes",
            FaultClass::DiskFailure => "disk failures",
            FaultClass::DiskLatency => "disk latency",
            FaultClass::BitRot => "bit rot",
            FaultClass::Buggify => "buggify",
            FaultClass::Knob => "knobs",
            FaultClass::Rule => "rules",
            FaultClass::Reset => "resets",
        }
    }
}

/// The rates of a class are multiplied by a power of two, from this one to its inverse.
const EXPONENT_LEAST: i8 = -2;
const EXPONENTS: u64 = 5;

/// What a run of a swarm does with one class.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Swarmed {
    /// Which.
    pub class: FaultClass,
    /// Its rates are multiplied by that power of two, from -2 to 2, and are 100 % at the most; of faults at given times each comes with a
    /// probability of that, at most 1. `None` if it is switched off.
    pub exponent: Option<i8>,
}

impl Swarmed {
    /// What a rate of this class is in the run.
    #[must_use]
    pub fn scaled(self, rate: Ratio) -> Ratio {
        self.exponent.map_or(Ratio::ZERO, |exponent| rate.times_power_of_two(exponent))
    }
}

/// What a run of a swarm does with each class: a pure function of its seed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Swarm([Swarmed; FaultClass::ALL.len()]);

impl Swarm {
    /// That of the seed: each class is off with probability one half; of the others each power of two is equally likely.
    #[must_use]
    pub fn of_seed(seed: Seed) -> Swarm {
        let key = RunKey::derive(seed, Purpose::Swarm, 0);
        Swarm(FaultClass::ALL.map(|class| {
            let [whether, which] = key.words(FlowId(class as u64), 0, 0);
            let exponent = ((u128::from(which) * u128::from(EXPONENTS)) >> 64) as i8 + EXPONENT_LEAST;
            Swarmed { class, exponent: (whether >> 63 == 0).then_some(exponent) }
        }))
    }

    /// What it does with a class.
    #[must_use]
    pub fn of(&self, class: FaultClass) -> Swarmed {
        self.0[class as usize]
    }
}

/// Says what a run of a swarm does with some classes: "without loss, crashes; duplicates x2, corruption x1/4".
pub struct InWords<'s>(pub &'s [Swarmed]);

impl fmt::Display for InWords<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let off: Vec<&str> = self.0.iter().filter(|one| one.exponent.is_none()).map(|one| one.class.name()).collect();
        let on = self.0.iter().filter_map(|one| {
            let name = one.class.name();
            Some(match (one.class, one.exponent?) {
                (FaultClass::Latency | FaultClass::DiskLatency, _) | (_, 0) => format!("{name} as set"),
                (_, exponent @ 1..) => format!("{name} x{}", 1 << exponent),
                (_, exponent) => format!("{name} x1/{}", 1 << -exponent),
            })
        });
        let on: Vec<String> = on.collect();
        match (off.is_empty(), on.is_empty()) {
            (true, true) => f.write_str("nothing that could be switched off"),
            (true, false) => write!(f, "with {}", on.join(", ")),
            (false, true) => write!(f, "without {}", off.join(", ")),
            (false, false) => write!(f, "without {}; with {}", off.join(", "), on.join(", ")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each class is off in half of the runs, each pair of classes in a quarter, and each exponent in a fifth of the rest. Seeds are fixed; the bounds are
    /// five standard deviations, for some 250 figures.
    #[test]
    fn classes_are_off_in_half_of_the_runs_and_independent() {
        let runs = 20_000u32;
        let classes = FaultClass::ALL.len();
        let (mut off, mut both) = (vec![0u32; classes], vec![vec![0u32; classes]; classes]);
        let mut exponents = vec![[0u32; EXPONENTS as usize]; classes];
        for seed in 0..u64::from(runs) {
            let swarm = Swarm::of_seed(Seed(seed));
            for class in FaultClass::ALL {
                let index = class as usize;
                let Some(exponent) = swarm.of(class).exponent else {
                    off[index] += 1;
                    for other in FaultClass::ALL.into_iter().filter(|other| swarm.of(*other).exponent.is_none()) {
                        both[index][other as usize] += 1;
                    }
                    continue;
                };
                exponents[index][usize::try_from(exponent - EXPONENT_LEAST).unwrap()] += 1;
            }
        }
        let near = |count: u32, of: u32, share: f64, what: &str| {
            let (mean, deviation) = (f64::from(of) * share, (f64::from(of) * share * (1.0 - share)).sqrt());
            assert!((f64::from(count) - mean).abs() < 5.0 * deviation, "{what}: {count} of {of}, not {share}");
        };
        for class in FaultClass::ALL {
            let index = class as usize;
            near(off[index], runs, 0.5, class.name());
            for other in FaultClass::ALL.into_iter().filter(|other| *other != class) {
                near(both[index][other as usize], runs, 0.25, &format!("{} and {}", class.name(), other.name()));
            }
            for count in exponents[index] {
                near(count, runs - off[index], 0.2, class.name());
            }
        }
    }

    #[test]
    fn a_swarm_is_said_in_words() {
        let swarmed = |class, exponent| Swarmed { class, exponent };
        let some = [
            swarmed(FaultClass::Loss, None),
            swarmed(FaultClass::Duplicate, Some(2)),
            swarmed(FaultClass::Latency, Some(1)),
            swarmed(FaultClass::Crash, Some(-1)),
            swarmed(FaultClass::Knob, None),
        ];
        let said = "without loss, knobs; with duplicates x4, latency as set, crashes x1/2";
        assert_eq!(InWords(&some).to_string(), said);
        assert_eq!(InWords(&some[..1]).to_string(), "without loss");
        assert_eq!(InWords(&some[1..2]).to_string(), "with duplicates x4");
        assert_eq!(InWords(&[]).to_string(), "nothing that could be switched off");
    }
}
