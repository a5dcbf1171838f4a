//! What came of many seeds, counted in their order.
//!
//! A tally of a stretch of seeds can be shortened to what it was at one of its listed failures, and joined with the tally of the seeds
//! behind it. So what the parts of a range come to together is what the whole range comes to in one go: shards rest on that.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use squall_trace::target::{Open, Reached};
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
    /// What is to come in some run, and how often it came in this one.
    pub goals: Vec<Reached>,
    /// Where it came to Unknown: the properties that nobody can judge it by.
    pub open: Vec<Open>,
    /// Of a failure that was run again: how many decisions weren't calm.
    pub perturbations: Option<usize>,
    /// Whether it was made again.
    pub is_repeated: bool,
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
    /// How often each of the goals that were known by then had come, this run included.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub goals: Vec<Count>,
}

/// How often a goal came.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Count {
    /// In how many runs.
    pub runs: u64,
    /// How often in all of them.
    pub times: u64,
}

/// What is to come in some run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Goal {
    /// Its name.
    pub name: Arc<str>,
    /// How often it came.
    pub count: Count,
    /// The first run in which it came.
    pub first: Option<Seed>,
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
    /// The properties that were left open in some run: of each the first run, and why.
    pub open: BTreeMap<Arc<str>, (Seed, String)>,
    /// The first run that was made again and was another then.
    pub first_unrepeated: Option<Seed>,
    /// What node code did that a run can't make deterministic: each kind once, with the first seed.
    pub notes: Vec<(Seed, String)>,
    unreached: Vec<Unreached>,
    /// What is to come in some run, in the order in which runs told of it.
    pub goals: Vec<Goal>,
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
        for reached in &counted.goals {
            self.count_goal(counted.seed, reached);
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
                for Open { property, message } in &counted.open {
                    if !self.open.contains_key(&**property) {
                        self.open.insert(property.as_str().into(), (counted.seed, message.clone()));
                    }
                }
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
                    let goals = self.goals.iter().map(|goal| goal.count).collect();
                    self.failures.push(Listed { seed, property, perturbations, unknown_before, goals });
                }
            }
        }
    }

    fn count_goal(&mut self, seed: Seed, reached: &Reached) {
        let place = self.place_of_goal(&reached.goal);
        let Goal { count, first, .. } = &mut self.goals[place];
        if reached.times > 0 {
            count.runs += 1;
            count.times = count.times.saturating_add(reached.times);
            first.get_or_insert(seed);
        }
    }

    /// Where a goal stands; one that is new stands behind the others.
    fn place_of_goal(&mut self, name: &str) -> usize {
        self.goals.iter().position(|goal| &*goal.name == name).unwrap_or_else(|| {
            self.goals.push(Goal { name: name.into(), count: Count::default(), first: None });
            self.goals.len() - 1
        })
    }

    /// How many goals came in one run alone. Divided by the runs, that is about the chance that the next run shows one that none has shown: the
    /// estimate of Good and Turing (I. J. Good, *The population frequencies of species and the estimation of population parameters*, 1953).
    #[must_use]
    pub fn goals_in_one_run(&self) -> u64 {
        self.goals.iter().filter(|goal| goal.count.runs == 1).count() as u64
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
        let Listed { seed: last, unknown_before, ref goals, .. } = self.failures[listed - 1];
        self.goals.truncate(goals.len());
        for (goal, count) in self.goals.iter_mut().zip(goals) {
            goal.count = *count;
            goal.first = goal.first.filter(|_| count.runs > 0);
        }
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
        self.open.retain(|_, (seed, _)| *seed <= last);
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
        for (property, first) in later.open {
            self.open.entry(property).or_insert(first);
        }
        let before: Vec<Count> = self.goals.iter().map(|goal| goal.count).collect();
        let places: Vec<usize> = later.goals.iter().map(|goal| self.place_of_goal(&goal.name)).collect();
        // What both parts came to, where the later one knew so many goals.
        let together = |counts: &[Count]| -> Vec<Count> {
            let mut sums = before.clone();
            for (&place, count) in places.iter().zip(counts) {
                sums.resize(sums.len().max(place + 1), Count::default());
                sums[place].runs += count.runs;
                sums[place].times = sums[place].times.saturating_add(count.times);
            }
            sums
        };
        let counts: Vec<Count> = later.goals.iter().map(|goal| goal.count).collect();
        for (goal, count) in self.goals.iter_mut().zip(together(&counts)) {
            goal.count = count;
        }
        for (&place, goal) in places.iter().zip(&later.goals) {
            self.goals[place].first = self.goals[place].first.or(goal.first);
        }
        let room = FAILURES_LISTED_MAX - self.failures.len();
        let unknown = self.unknown;
        let moved = |listed: Listed| Listed {
            unknown_before: listed.unknown_before + unknown,
            goals: together(&listed.goals),
            ..listed
        };
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
        let is_known = |seed: &Seed| self.first_unknown.as_ref().is_none_or(|(first, _)| seed < first);
        if let Some((property, _)) = self.open.iter().find(|(_, (seed, _))| is_known(seed)) {
            return Err(format!("it leaves {property} open before its first run that is unknown"));
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
        self.check_goals(&failures, ran)?;
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
        let seeds = seeds.chain(self.open.values().map(|(seed, _)| *seed));
        let reached = self.unreached.iter().filter_map(|unreached| unreached.reached);
        let reached = reached.chain(self.goals.iter().filter_map(|goal| goal.first));
        if let Some(seed) = seeds.chain(reached).find(|seed| !ran.contains(*seed)) {
            return Err(format!("it tells of seed {seed}, which it didn't run"));
        }
        self.failures = failures;
        Ok(self)
    }
    /// Whether the goals' counts can be true: each grows from one listed failure to the next, by no more runs than there are between them.
    fn check_goals(&self, failures: &[Listed], ran: SeedRange) -> Result<(), String> {
        let wrong = || Err("its numbers of goals don't add up".to_string());
        let names: BTreeSet<&str> = self.goals.iter().map(|goal| &*goal.name).collect();
        if names.len() != self.goals.len() {
            return wrong();
        }
        let totals: Vec<Count> = self.goals.iter().map(|goal| goal.count).collect();
        let all = failures.iter().map(|failure| (&*failure.goals, failure.seed.0 - ran.start() + 1));
        let mut earlier: (&[Count], u64) = (&[], 0);
        for (counts, runs) in all.chain([(&*totals, self.runs)]) {
            let more = runs - earlier.1;
            let known = earlier.0.iter().chain(std::iter::repeat(&Count { runs: 0, times: 0 }));
            let grown = |(now, before): (&Count, &Count)| {
                let (in_runs, times) = (now.runs.checked_sub(before.runs)?, now.times.checked_sub(before.times)?);
                (in_runs <= more && times >= in_runs && (times == 0) == (in_runs == 0)).then_some(())
            };
            if counts.len() < earlier.0.len() || counts.iter().zip(known).any(|pair| grown(pair).is_none()) {
                return wrong();
            }
            earlier = (counts, runs);
        }
        if self.goals.iter().any(|goal| goal.first.is_some() != (goal.count.runs > 0)) {
            return wrong();
        }
        Ok(())
    }
}
