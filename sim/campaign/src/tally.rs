//! What came of many seeds, counted in their order.
//!
//! A tally of a stretch of seeds can be shortened to what it was at one of its listed failures, and joined with the tally of the seeds
//! behind it. So what the parts of a range come to together is what the whole range comes to in one go: shards rest on that.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use squall_trace::{Digest, Seed, Verdict};

use crate::seeds::SeedRange;

/// How many failures are listed one by one. More are counted.
pub const FAILURES_LISTED_MAX: usize = 10_000;

/// How many different notes are kept.
const NOTES_MAX: usize = 20;

/// What came of one seed.
#[derive(Clone, Debug)]
pub struct Counted {
    /// Which.
    pub seed: Seed,
    /// What it came to.
    pub verdict: Verdict,
    /// Of the run.
    pub digest: Digest,
    /// What node code did that a run can't make deterministic.
    pub escapes: Vec<String>,
    /// Faults of the script that never happened.
    pub unreached_faults: Vec<String>,
    /// Of a failure that was run again: how many decisions weren't calm.
    pub perturbations: Option<usize>,
    /// Of a run that was made again: false if the digest was another.
    pub repeats: bool,
}

/// A failure in the list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Listed {
    /// The seed that failed.
    pub seed: Seed,
    /// The property.
    pub property: Arc<str>,
    /// How many decisions weren't calm; 0 if the run hung.
    pub perturbations: usize,
    /// Of the runs before this one: of how many nobody can say what they came to.
    pub unknown_before: u64,
}

/// The failures of one property.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Group {
    /// How many.
    pub failures: u64,
    /// The first seed.
    pub seed: Seed,
    /// What that one said.
    pub message: String,
}

/// A fault of the script that didn't happen in the first run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Unreached {
    /// In words.
    fault: String,
    /// The first run in which it did happen.
    reached: Option<Seed>,
}

/// What came of all seeds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Explored {
    /// Runs that were counted.
    pub runs: u64,
    /// Of those: every property held.
    pub passed: u64,
    /// Of those: a property failed.
    pub failed: u64,
    /// Of those: nobody can say.
    pub unknown: u64,
    /// The first [`FAILURES_LISTED_MAX`] failures, in seed order.
    #[serde(skip)]
    pub failures: Vec<Listed>,
    /// Failures by property.
    pub groups: BTreeMap<Arc<str>, Group>,
    /// The first run that was Unknown, and what it said.
    pub first_unknown: Option<(Seed, String)>,
    /// The first run that was made again and was another then.
    pub first_unrepeated: Option<Seed>,
    /// What node code did that a run can't make deterministic: each kind once, with the first seed.
    pub notes: Vec<(Seed, String)>,
    unreached: Vec<Unreached>,
}

impl Explored {
    /// Adds the run of the next seed.
    pub fn count(&mut self, counted: &Counted) {
        self.runs += 1;
        if self.runs == 1 {
            let unreached = |fault: &String| Unreached { fault: fault.clone(), reached: None };
            self.unreached = counted.unreached_faults.iter().map(unreached).collect();
        } else {
            for unreached in self.unreached.iter_mut().filter(|unreached| unreached.reached.is_none()) {
                if !counted.unreached_faults.contains(&unreached.fault) {
                    unreached.reached = Some(counted.seed);
                }
            }
        }
        for escape in &counted.escapes {
            self.note(counted.seed, escape);
        }
        if !counted.repeats {
            self.first_unrepeated.get_or_insert(counted.seed);
        }
        match &counted.verdict {
            Verdict::Pass => self.passed += 1,
            Verdict::Unknown { message } => {
                self.unknown += 1;
                self.first_unknown.get_or_insert_with(|| (counted.seed, message.clone()));
            }
            Verdict::Fail(failure) => {
                self.failed += 1;
                let property: Arc<str> = match self.groups.get_key_value(&*failure.property) {
                    Some((property, _)) => Arc::clone(property),
                    None => failure.property.as_str().into(),
                };
                let group = self.groups.entry(Arc::clone(&property)).or_insert_with(|| Group {
                    failures: 0,
                    seed: counted.seed,
                    message: failure.message.clone(),
                });
                group.failures += 1;
                if self.failures.len() < FAILURES_LISTED_MAX {
                    let perturbations = counted.perturbations.unwrap_or(0);
                    let (seed, unknown_before) = (counted.seed, self.unknown);
                    self.failures.push(Listed { seed, property, perturbations, unknown_before });
                }
            }
        }
    }

    fn note(&mut self, seed: Seed, note: &str) {
        if self.notes.len() < NOTES_MAX && !self.notes.iter().any(|(_, known)| known == note) {
            self.notes.push((seed, note.to_string()));
        }
    }

    /// Faults of the script that happened in none of the runs.
    pub fn unreached_faults(&self) -> impl Iterator<Item = &str> {
        self.unreached.iter().filter(|unreached| unreached.reached.is_none()).map(|unreached| &*unreached.fault)
    }

    /// What it was when `failures` (1 or more) were counted, of runs that began with the seed `first`. It stays as it is if there
    /// were fewer.
    ///
    /// # Panics
    /// If so many weren't listed.
    #[must_use]
    pub fn shortened(mut self, first: Seed, failures: u64) -> Explored {
        if self.failed < failures {
            return self;
        }
        let listed = usize::try_from(failures).unwrap_or(usize::MAX);
        assert!(listed > 0 && listed <= self.failures.len(), "{failures} failures weren't listed");
        self.failures.truncate(listed);
        let Listed { seed: last, unknown_before, .. } = self.failures[listed - 1];
        self.runs = last.0 - first.0 + 1;
        self.failed = failures;
        self.unknown = unknown_before;
        self.passed = self.runs - self.failed - self.unknown;
        self.groups.values_mut().for_each(|group| group.failures = 0);
        for failure in &self.failures {
            if let Some(group) = self.groups.get_mut(&failure.property) {
                group.failures += 1;
            }
        }
        self.groups.retain(|_, group| group.failures > 0);
        self.first_unknown = self.first_unknown.filter(|(seed, _)| *seed <= last);
        self.first_unrepeated = self.first_unrepeated.filter(|seed| *seed <= last);
        self.notes.retain(|(seed, _)| *seed <= last);
        for unreached in &mut self.unreached {
            unreached.reached = unreached.reached.filter(|seed| *seed <= last);
        }
        self
    }

    /// Adds what came of the seeds behind these, of which the first is `first`.
    pub fn append(&mut self, first: Seed, later: Explored) {
        if self.runs == 0 {
            self.unreached = later.unreached;
        } else if later.runs > 0 {
            for unreached in self.unreached.iter_mut().filter(|unreached| unreached.reached.is_none()) {
                let other = later.unreached.iter().find(|other| other.fault == unreached.fault);
                unreached.reached = other.map_or(Some(first), |other| other.reached);
            }
        }
        for (seed, note) in &later.notes {
            self.note(*seed, note);
        }
        self.first_unrepeated = self.first_unrepeated.or(later.first_unrepeated);
        self.first_unknown = self.first_unknown.take().or(later.first_unknown);
        let room = FAILURES_LISTED_MAX - self.failures.len();
        let unknown = self.unknown;
        let moved = |listed: Listed| Listed { unknown_before: listed.unknown_before + unknown, ..listed };
        self.failures.extend(later.failures.into_iter().take(room).map(moved));
        for (property, group) in later.groups {
            match self.groups.get_mut(&property) {
                Some(earlier) => earlier.failures += group.failures,
                None => {
                    self.groups.insert(property, group);
                }
            }
        }
        self.runs += later.runs;
        self.passed += later.passed;
        self.failed += later.failed;
        self.unknown += later.unknown;
    }

    /// Takes a list that was kept apart, in a file, say, and sees that all of it can be true of runs of `ran`, one a seed.
    ///
    /// # Errors
    /// What can't be.
    pub fn with_failures(mut self, failures: Vec<Listed>, ran: SeedRange) -> Result<Explored, String> {
        let sum = [self.passed, self.failed, self.unknown].into_iter().try_fold(0, u64::checked_add);
        if sum != Some(self.runs) || self.runs != ran.len() || (self.unknown > 0) != self.first_unknown.is_some() {
            return Err("its numbers of runs don't add up".to_string());
        }
        let in_groups = self.groups.values().map(|group| group.failures).try_fold(0, u64::checked_add);
        let listed = failures.len() as u64;
        if in_groups != Some(self.failed) || listed != self.failed.min(FAILURES_LISTED_MAX as u64) {
            return Err(format!("it lists {listed} failures of {}", self.failed));
        }
        let (mut next, mut unknown) = (ran.start(), 0);
        let mut counts: BTreeMap<&str, (u64, Seed)> = BTreeMap::new();
        for failure in &failures {
            let (seed, before) = (failure.seed, failure.unknown_before);
            let between = seed.0.checked_sub(next).filter(|_| ran.contains(seed));
            let more = before.checked_sub(unknown);
            if between.zip(more).is_none_or(|(between, more)| more > between) {
                return Err(format!("the failure of seed {seed} is out of order"));
            }
            (next, unknown) = (seed.0 + 1, before);
            counts.entry(&failure.property).or_insert((0, seed)).0 += 1;
        }
        // None is behind the last run.
        if self.unknown.checked_sub(unknown).is_none_or(|more| more > ran.end() - next) {
            return Err("its numbers of runs don't add up".to_string());
        }
        for (property, &(count, seed)) in &counts {
            if self.groups.get(*property).is_none_or(|group| group.failures < count || group.seed != seed) {
                return Err(format!("its failures of {property} don't add up"));
            }
        }
        if listed == self.failed && self.groups.len() != counts.len() {
            return Err("it has properties without failures".to_string());
        }
        let seeds = self.groups.values().map(|group| group.seed).chain(self.notes.iter().map(|(seed, _)| *seed));
        let seeds = seeds.chain(self.first_unknown.iter().map(|(seed, _)| *seed)).chain(self.first_unrepeated);
        let reached = self.unreached.iter().filter_map(|unreached| unreached.reached);
        if let Some(seed) = seeds.chain(reached).find(|seed| !ran.contains(*seed)) {
            return Err(format!("it tells of seed {seed}, which it didn't run"));
        }
        self.failures = failures;
        Ok(self)
    }
}
