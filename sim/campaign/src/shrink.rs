//! From a failing plan to the few perturbations that cause the failure.
//!
//! A run is the same if it is said by its perturbations alone ([`Plan::only`]), and any subset of them is a valid run. So
//! shrinking is a search for a small subset that fails the same property:
//!
//! 1. **Class by class** from drawn to calm: each class of decisions is taken away whole, if the rest still fails.
//! 2. **By bisection**: with what is known to be needed, which is the shortest beginning of the rest that fails? Its last
//!    perturbation is needed; the search goes on before it. So k of n are found in about k·log₂ n runs, and at every moment
//!    there is a set that was seen to fail, whether or not the failure is monotone. (Delta debugging in the manner of
//!    Zeller and Hildebrandt, "Simplifying and isolating failure-inducing input", TSE 28 (2002), takes k·(k + 2·log₂(n/k)) and up to
//!    k² + 7k; the halving of a list of changes is Ness and Ngo's, "Regression containment through source change isolation",
//!    COMPSAC'97.)
//! 3. **One by one**: each removal is tried, until none is left that fails: the set is 1-minimal. With twelve perturbations
//!    or fewer, each pair too.
//! 4. **Values** by bisection towards calm, from above and from below, up to one part in 64 of their distance from it; of what that leaves
//!    open a value of few digits that still fails. Then 3 again, with the values as they are now.
//! 5. **The horizon**, where the failure was seen when the run had ended: an early end at which it is seen, while no smaller set fails there
//!    either, by bisection up to one part in 64, then rounded up to two digits. Without that a claim such as "everything arrives in the end" would fail of every run that is cut short. Then 3 to 5
//!    again, until nothing changes: who shrinks what is shrunk gets it back.
//!
//! Nothing of it is random: the same failure gives the same minimum.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use squall_trace::plan::ANY_FINGERPRINT;
use squall_trace::target::NoObserver;
use squall_trace::{EndReason, Names, Outcome, Override, Perturbation, Plan, Record, Site, SiteKind, Target, Verdict};

/// With more perturbations than that, pairs aren't tried.
pub const PAIRS_MAX: usize = 12;

/// How close to its threshold a value is bisected: one part in so many of its distance from calm.
const PRECISION: u64 = 64;

/// A horizon that was given is left unless there is one that is earlier by one part in so many. More than what bisecting and rounding leave open.
const HORIZON_GAIN: u64 = 8;

/// So often the end of the run is drawn nearer.
const HORIZONS_MAX: u32 = 8;

/// When to give up.
pub trait Budget {
    /// Asked before each run; `runs` have been made. False ends the search.
    fn allows(&mut self, runs: u64) -> bool;
}

/// At most so many runs.
#[derive(Clone, Copy, Debug)]
pub struct Runs(pub u64);

impl Budget for Runs {
    fn allows(&mut self, runs: u64) -> bool {
        runs < self.0
    }
}

/// What is known about how small the set is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Minimal {
    /// The budget was used up.
    Unproved,
    /// Without any one of the perturbations the property doesn't fail: each was tried.
    One,
    /// Nor without any two of them.
    Pairs,
}

/// A failure, said by what causes it.
#[derive(Clone, Debug)]
pub struct Shrunk {
    /// The perturbations alone, everything else calm.
    pub plan: Plan,
    /// The run of that plan, recorded in full.
    pub outcome: Outcome,
    /// How many perturbations there were at first.
    pub before: usize,
    /// How many runs it took.
    pub runs: u64,
    /// How small it is.
    pub minimal: Minimal,
}

impl Shrunk {
    /// What is left.
    #[must_use]
    pub fn perturbations(&self) -> &[Perturbation] {
        &self.outcome.perturbations
    }

    /// Who takes part.
    #[must_use]
    pub fn names(&self) -> &Names {
        &self.outcome.names
    }
}

/// Why a plan can't be shrunk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unshrinkable {
    /// The plan doesn't fail.
    Passes,
    /// It fails, but the run of its perturbations alone doesn't, or fails otherwise: something that isn't in the plan decides.
    NotRepeatable,
    /// Nobody knows what it comes to: a run was cut off by the real time that a poll may take, or by whoever killed its process. What is told
    /// of that run.
    CutOff(String),
}

impl std::fmt::Display for Unshrinkable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Unshrinkable::Passes => f.write_str("the plan doesn't fail"),
            Unshrinkable::NotRepeatable => f.write_str(
                "the run of its perturbations alone is another one: something decides that isn't in the plan",
            ),
            Unshrinkable::CutOff(told) => write!(f, "a run of it didn't end by itself, and so says nothing: {told}"),
        }
    }
}

impl Unshrinkable {
    /// Of a plan that came to something else than it did before.
    fn otherwise(verdict: &Verdict) -> Unshrinkable {
        match verdict {
            Verdict::Unknown { message } => Unshrinkable::CutOff(message.clone()),
            Verdict::Fail(failure) if FROM_OUTSIDE.contains(&&*failure.property) => {
                Unshrinkable::CutOff(format!("{} fails: {}", failure.property, failure.message))
            }
            Verdict::Fail(_) | Verdict::Pass => Unshrinkable::NotRepeatable,
        }
    }
}

/// The properties that fail by real time, or by a signal from outside: a run that fails so and didn't before is no other run.
const FROM_OUTSIDE: [&str; 2] = ["hang", "killed"];

impl std::error::Error for Unshrinkable {}

/// Shrinks a failing plan.
///
/// # Errors
/// If it doesn't fail, or not when it is said by its perturbations alone, or nobody knows.
pub fn shrink(target: &dyn Target, plan: &Plan, budget: &mut dyn Budget) -> Result<Shrunk, Unshrinkable> {
    let first = target.run(plan, Record::Perturbations, &mut NoObserver);
    let failure = match &first.verdict {
        Verdict::Fail(failure) => failure,
        Verdict::Pass => return Err(Unshrinkable::Passes),
        Verdict::Unknown { message } => return Err(Unshrinkable::CutOff(message.clone())),
    };
    let before = first.perturbations.len();
    let mut search = Search {
        target,
        plan,
        property: &failure.property,
        horizon_ns: plan.horizon_ns,
        budget,
        known: BTreeMap::new(),
        runs: 1,
        exhausted: false,
        last: Verdict::Pass,
    };
    let Some(mut set) = search.failing(&first.perturbations) else {
        return Err(Unshrinkable::otherwise(&search.last));
    };
    set.sort_by_key(|perturbation| perturbation.at_ns);

    search.calm_classes(&mut set);
    search.bisect(&mut set);
    let mut minimal = search.minimal_and_mild(&mut set);
    // What fails at an event ends there anyway.
    if first.ending.reason != EndReason::Failed {
        for _ in 0..HORIZONS_MAX {
            let horizon_ns = search.draw_horizon(&set);
            if horizon_ns == search.horizon_ns || minimal == Minimal::Unproved {
                break;
            }
            // With an earlier end milder values may do.
            search.horizon_ns = horizon_ns;
            minimal = search.minimal_and_mild(&mut set);
        }
    }
    let (exhausted, horizon_ns) = (search.exhausted, search.horizon_ns);
    let runs = search.runs + 1;
    let only = |set: &[Perturbation]| Plan { horizon_ns, ..plan.only(set) };
    let outcome = target.run(&only(&set), Record::Full, &mut NoObserver);
    if outcome.verdict.property() != Some(&*failure.property) {
        return Err(Unshrinkable::otherwise(&outcome.verdict));
    }
    // It was proved of what was asked for: that must be what there was.
    let overrides =
        |set: &[Perturbation]| -> BTreeSet<(Site, u64)> { set.iter().map(|one| (one.site, one.value)).collect() };
    if exhausted || overrides(&set) != overrides(&outcome.perturbations) {
        minimal = Minimal::Unproved;
    }
    Ok(Shrunk { plan: only(&outcome.perturbations), outcome, before, runs, minimal })
}

struct Search<'s> {
    target: &'s dyn Target,
    plan: &'s Plan,
    property: &'s str,
    horizon_ns: Option<u64>,
    budget: &'s mut dyn Budget,
    /// By the hash of a set and the horizon.
    known: BTreeMap<u128, Tried>,
    runs: u64,
    /// The budget is used up: nothing more is tried.
    exhausted: bool,
    /// What the last set that was tried came to.
    last: Verdict,
}

/// What the run of a set alone came to.
struct Tried {
    fails: bool,
    /// Which of its members met something.
    used: Vec<bool>,
}

fn hash(set: &[Perturbation], horizon_ns: Option<u64>) -> u128 {
    let mut hasher = xxhash_rust::xxh3::Xxh3::new();
    hasher.update(&horizon_ns.unwrap_or(u64::MAX).to_le_bytes());
    for Perturbation { site, fingerprint, value, .. } in set {
        for word in [site.kind as u64, site.flow.0, site.number, *fingerprint, *value] {
            hasher.update(&word.to_le_bytes());
        }
    }
    hasher.digest128()
}

fn without(set: &[Perturbation], leave_out: impl Fn(usize) -> bool) -> Vec<Perturbation> {
    set.iter().enumerate().filter(|(index, _)| !leave_out(*index)).map(|(_, perturbation)| *perturbation).collect()
}

/// The same weather for other messages: each override of a message is about whichever is `earlier` places before it in its flow. For a
/// program that was given less to do, or something else. `None` if there is none so early.
#[must_use]
pub fn loosened(plan: &Plan, earlier: u64) -> Option<Plan> {
    let loosen = |planned: &Override| {
        let mut planned = *planned;
        let places = match planned.site.kind {
            SiteKind::Fault | SiteKind::Partition | SiteKind::Point | SiteKind::Operation | SiteKind::Knob => {
                return Some(planned);
            }
            // Numbered by message and copy: see `order_site`.
            SiteKind::Order => 2 * earlier,
            SiteKind::Latency | SiteKind::Loss | SiteKind::Duplicate | SiteKind::Corruption | SiteKind::Rule => earlier,
            SiteKind::Retransmission | SiteKind::Reset | SiteKind::Choice => earlier,
            SiteKind::DiskCrash | SiteKind::DiskFailure | SiteKind::DiskLatency | SiteKind::BitRot => earlier,
            SiteKind::Buggify => earlier,
        };
        planned.site.number = planned.site.number.checked_sub(places).filter(|number| *number > 0)?;
        planned.fingerprint = ANY_FINGERPRINT;
        Some(planned)
    };
    Some(Plan { overrides: plan.overrides.iter().map(loosen).collect::<Option<_>>()?, ..plan.clone() })
}

/// The same decision about a later or an earlier message of its flow. `None` if there is none.
fn moved(perturbation: &Perturbation, shift: i64) -> Option<Perturbation> {
    let mut moved = *perturbation;
    // The order of a message is numbered by message and copy: see `order_site`.
    let places = if moved.site.kind == SiteKind::Order { 2 * shift } else { shift };
    moved.site.number = moved.site.number.checked_add_signed(places).filter(|number| *number > 0)?;
    Some(moved)
}

impl Search<'_> {
    /// Whether the property fails with that set alone; if it does, those of the set that met something: the others might
    /// as well not be there.
    fn failing(&mut self, set: &[Perturbation]) -> Option<Vec<Perturbation>> {
        let key = hash(set, self.horizon_ns);
        if !self.known.contains_key(&key) {
            // The second run is made whatever the budget: before it there is nothing to keep.
            self.exhausted = self.exhausted || (self.runs > 1 && !self.budget.allows(self.runs));
            if self.exhausted {
                return None;
            }
            self.runs += 1;
            let plan = Plan { horizon_ns: self.horizon_ns, ..self.plan.only(set) };
            let outcome = self.target.run(&plan, Record::Digest, &mut NoObserver);
            let said = |one: &Override| (one.site, one.fingerprint, one.value);
            let unused: BTreeSet<_> = outcome.unused_overrides.iter().map(said).collect();
            let used = |one: &Perturbation| !unused.contains(&said(&one.to_override()));
            let fails = outcome.verdict.property() == Some(self.property);
            self.last = outcome.verdict;
            self.known.insert(key, Tried { fails, used: set.iter().map(used).collect() });
        }
        let Tried { fails, used } = &self.known[&key];
        fails.then(|| set.iter().zip(used).filter(|(_, used)| **used).map(|(one, _)| *one).collect())
    }

    /// As [`Search::failing`], but where some of the set met nothing, their numbers are moved too: what is taken away may have
    /// shifted the numbers of what comes after it in its flow (a call that isn't lost isn't sent again). Fingerprints see to
    /// it that each still is about the message that it was about.
    fn failing_renumbered(&mut self, set: &[Perturbation]) -> Option<Vec<Perturbation>> {
        if let Some(failing) = self.failing(set) {
            return Some(failing);
        }
        let used = self.known.get(&hash(set, self.horizon_ns))?.used.clone();
        if used.iter().all(|used| *used) {
            return None;
        }
        for shift in [-1, 1, -2, 2, -3, 3] {
            let moved: Option<Vec<Perturbation>> =
                set.iter().zip(&used).map(|(one, used)| if *used { Some(*one) } else { moved(one, shift) }).collect();
            if let Some(moved) = moved
                && let Some(failing) = self.failing(&moved)
            {
                return Some(failing);
            }
        }
        None
    }

    /// Takes away whole classes, those that are mostly noise first.
    fn calm_classes(&mut self, set: &mut Vec<Perturbation>) {
        for kind in [
            SiteKind::Order,
            SiteKind::Choice,
            SiteKind::Latency,
            SiteKind::DiskLatency,
            SiteKind::Duplicate,
            SiteKind::Corruption,
            SiteKind::BitRot,
            SiteKind::DiskFailure,
            SiteKind::DiskCrash,
            SiteKind::Buggify,
            SiteKind::Retransmission,
            SiteKind::Reset,
            SiteKind::Loss,
            SiteKind::Rule,
            SiteKind::Knob,
            SiteKind::Point,
            SiteKind::Partition,
            SiteKind::Fault,
            SiteKind::Operation,
        ] {
            let rest = without(set, |index| set[index].site.kind == kind);
            if rest.len() < set.len()
                && let Some(failing) = self.failing(&rest)
            {
                *set = failing;
            }
        }
    }

    /// Finds what is needed, the last first.
    fn bisect(&mut self, set: &mut Vec<Perturbation>) {
        let mut needed: Vec<Perturbation> = Vec::new();
        let mut rest = std::mem::take(set);
        let joined = |beginning: &[Perturbation], needed: &[Perturbation]| [beginning, needed].concat();
        while !rest.is_empty() {
            if self.failing(&needed).is_some() {
                rest.clear();
                break;
            }
            // With the first `passing` of the rest it doesn't fail; with the first `failing` it does.
            let (mut passing, mut failing) = (0, rest.len());
            while failing - passing > 1 {
                let middle = passing + (failing - passing) / 2;
                if self.failing(&joined(&rest[..middle], &needed)).is_some() {
                    failing = middle;
                } else {
                    passing = middle;
                }
            }
            if self.exhausted {
                rest.truncate(failing);
                break;
            }
            needed.insert(0, rest[failing - 1]);
            rest.truncate(failing - 1);
        }
        *set = joined(&rest, &needed);
        if let Some(failing) = self.failing(set) {
            *set = failing;
        }
    }

    /// Tries every removal until none fails.
    fn minimize(&mut self, set: &mut Vec<Perturbation>) -> Minimal {
        'smaller: loop {
            for index in (0..set.len()).rev() {
                // Of a large set each try is dear, also one that isn't run.
                if self.exhausted {
                    return Minimal::Unproved;
                }
                if let Some(failing) = self.failing_renumbered(&without(set, |other| other == index)) {
                    *set = failing;
                    continue 'smaller;
                }
            }
            if self.exhausted {
                return Minimal::Unproved;
            }
            if set.len() > PAIRS_MAX {
                return Minimal::One;
            }
            for second in (0..set.len()).rev() {
                for first in (0..second).rev() {
                    let rest = without(set, |other| other == first || other == second);
                    if let Some(failing) = self.failing_renumbered(&rest) {
                        *set = failing;
                        continue 'smaller;
                    }
                }
            }
            return if self.exhausted { Minimal::Unproved } else { Minimal::Pairs };
        }
    }

    /// Tries every removal, and every value closer to calm, until none fails.
    fn minimal_and_mild(&mut self, set: &mut Vec<Perturbation>) -> Minimal {
        let mut minimal = self.minimize(set);
        while self.soften(set) && minimal != Minimal::Unproved {
            // What was proved was proved of other values.
            minimal = self.minimize(set);
        }
        minimal
    }

    /// Brings values closer to calm. Whether any has changed.
    fn soften(&mut self, set: &mut [Perturbation]) -> bool {
        let mut any = false;
        for index in 0..set.len() {
            if self.exhausted {
                break;
            }
            let Perturbation { site, value, calm, .. } = set[index];
            // The mildest value that is worth trying, and on which side of it the present one lies.
            let mildest = match site.kind {
                SiteKind::Latency | SiteKind::DiskLatency | SiteKind::Knob => calm,
                SiteKind::Order | SiteKind::Duplicate | SiteKind::Corruption | SiteKind::Rule | SiteKind::Choice => 1,
                SiteKind::DiskCrash | SiteKind::BitRot | SiteKind::Retransmission => 1,
                // Another cut is no milder one.
                SiteKind::Loss
                | SiteKind::Fault
                | SiteKind::Partition
                | SiteKind::Point
                | SiteKind::Operation
                | SiteKind::Buggify
                | SiteKind::Reset
                | SiteKind::DiskFailure => continue,
            };
            let softened = self.soften_one(set, index, mildest, value);
            any |= softened != value;
            set[index].value = softened;
        }
        any
    }

    /// An early end of the run, and a round one, at which the set fails and no smaller one does. `None` if the run needs none.
    fn draw_horizon(&mut self, set: &[Perturbation]) -> Option<u64> {
        let given = self.horizon_ns;
        let Some((end, last)) = self.judged_at_its_end(set) else { return given };
        let (mut failing, mut passing, mut found) = (end, last.min(end), given);
        while failing - passing > (failing / PRECISION).max(1) {
            let middle = passing + (failing - passing) / 2;
            if self.is_seen_by(set, middle) {
                (failing, found) = (middle, Some(middle));
            } else {
                passing = middle;
            }
        }
        if given.is_some_and(|given| failing >= given - given / HORIZON_GAIN) {
            // It was drawn before, or as good as that: who shrinks what is shrunk gets it back.
            found = given;
        } else if found != given {
            let round = round_up(failing, 2);
            if round < end && self.is_seen_by(set, round) {
                found = Some(round);
            }
        }
        self.horizon_ns = given;
        found
    }

    /// When the run of the set alone ends, and when it meets the last of the set; if its failure is seen only at its end, not at an event.
    /// In calm weather both are other times than in the run from which the set is.
    fn judged_at_its_end(&mut self, set: &[Perturbation]) -> Option<(u64, u64)> {
        self.exhausted = self.exhausted || !self.budget.allows(self.runs);
        if set.is_empty() || self.exhausted {
            return None;
        }
        self.runs += 1;
        let plan = Plan { horizon_ns: self.horizon_ns, ..self.plan.only(set) };
        let outcome = self.target.run(&plan, Record::Perturbations, &mut NoObserver);
        let last = outcome.perturbations.iter().map(|perturbation| perturbation.at_ns).max().unwrap_or(0);
        (outcome.ending.reason != EndReason::Failed).then_some((outcome.ending.at_ns, last))
    }

    /// Whether the set fails if the run ends there, and without any one or two of it, or without all, it doesn't.
    fn is_seen_by(&mut self, set: &[Perturbation], horizon_ns: u64) -> bool {
        self.horizon_ns = Some(horizon_ns);
        let fails_whole = self.failing(set).is_some_and(|used| used.len() == set.len());
        let mut smaller_fails = |leave_out: &dyn Fn(usize) -> bool| self.failing(&without(set, leave_out)).is_some();
        let pairs = if set.len() <= PAIRS_MAX { set.len() } else { 0 };
        let seen = fails_whole
            && !smaller_fails(&|_| true)
            && (0..set.len()).all(|one| !smaller_fails(&|index| index == one))
            && (0..pairs).all(|one| (0..one).all(|other| !smaller_fails(&|index| index == one || index == other)));
        seen && !self.exhausted
    }

    fn soften_one(&mut self, set: &mut [Perturbation], index: usize, mildest: u64, value: u64) -> u64 {
        let calm = set[index].calm;
        let mut fails = |search: &mut Self, value: u64| {
            let before = std::mem::replace(&mut set[index].value, value);
            let fails = search.failing(set).is_some_and(|used| used.len() == set.len());
            set[index].value = before;
            fails
        };
        if value == mildest {
            return value;
        }
        // A latency that is calm is none of the perturbations.
        if mildest != calm && fails(self, mildest) {
            return mildest;
        }
        let away = |distance: u64| if value > mildest { mildest + distance } else { mildest - distance };
        let (mut passing, mut failing) = (0, value.abs_diff(mildest));
        while failing - passing > (failing / PRECISION).max(1) {
            let middle = passing + (failing - passing) / 2;
            if fails(self, away(middle)) {
                failing = middle;
            } else {
                passing = middle;
            }
        }
        // A round value says as much, and more plainly: nearer to calm within what the bisection left open, else farther.
        let found = away(failing);
        let (nearer, farther): (Rounding, Rounding) =
            if value > mildest { (round_down, round_up) } else { (round_up, round_down) };
        // What has more digits is still better than what the bisection came by.
        let (gap, given) = (failing - passing, value.abs_diff(found) + 1);
        let few = (1..=3).map(|digits| (nearer, digits, gap)).chain([(farther, 2, given)]);
        let more = (4..=DIGITS_MAX).map(|digits| (nearer, digits, gap));
        for (rounding, digits, room) in few.chain(more) {
            let round = rounding(found, digits);
            if round == found || round.abs_diff(found) < room && fails(self, round) {
                return round;
            }
        }
        found
    }
}

/// No value has more decimal digits.
const DIGITS_MAX: u32 = 20;

/// A value and how many significant decimal digits are wanted of it.
type Rounding = fn(u64, u32) -> u64;

/// Rounded down to so many significant decimal digits.
fn round_down(value: u64, digits: u32) -> u64 {
    let unit = 10u64.pow((value.max(1).ilog10() + 1).saturating_sub(digits));
    value / unit * unit
}

/// Rounded up to so many significant decimal digits.
fn round_up(value: u64, digits: u32) -> u64 {
    let unit = 10u64.pow((value.max(1).ilog10() + 1).saturating_sub(digits));
    value.div_ceil(unit).saturating_mul(unit)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use squall_trace::target::MessageCounts;
    use squall_trace::{Base, Capabilities, EndReason, Ending, Failure, FlowId, Observer, Override, Seed};

    use super::*;

    /// A target that fails as a function of what isn't calm.
    struct Judge<F> {
        drawn: Vec<Perturbation>,
        /// The property that fails.
        judge: F,
    }

    impl<F: Fn(&[Override]) -> Option<&'static str>> Target for Judge<F> {
        fn run(&self, plan: &Plan, _: Record, _: &mut dyn Observer) -> Outcome {
            let drawn = plan.bases.get(SiteKind::Loss) == Base::Drawn;
            let set: Vec<Override> =
                if drawn { self.drawn.iter().map(Perturbation::to_override).collect() } else { plan.overrides.clone() };
            let verdict = match (self.judge)(&set) {
                None => Verdict::Pass,
                Some(property) => Verdict::Fail(Failure {
                    property: property.to_string(),
                    message: String::new(),
                    step: 0,
                    at_ns: 0,
                    node: None,
                    task: None,
                }),
            };
            let recorded =
                |planned: &Override| Perturbation { value: planned.value, ..self.drawn[planned.site.number as usize] };
            Outcome {
                verdict,
                ending: Ending { reason: EndReason::Quiet, at_ns: 0, events: 0 },
                digest: squall_trace::Digest(0),
                log_digest: squall_trace::Digest(0),
                messages: MessageCounts::default(),
                perturbations: set.iter().map(recorded).collect(),
                unused_overrides: Vec::new(),
                escapes: Vec::new(),
                swarm: Vec::new(),
                unreached_faults: Vec::new(),
                goals: Vec::new(),
                open: Vec::new(),
                calls: Vec::new(),
                properties: None,
                names: Names::default(),
                trace: None,
            }
        }

        fn capabilities(&self) -> Capabilities {
            Capabilities { message_sites: true, order_sites: true, fault_sites: true }
        }
    }

    const KINDS: [SiteKind; 3] = [SiteKind::Loss, SiteKind::Latency, SiteKind::Order];

    /// `count` perturbations of all kinds; number `n` is decided at time `n`.
    fn drawn(count: u64) -> Vec<Perturbation> {
        let perturbation = |number| {
            let kind = KINDS[number as usize % KINDS.len()];
            let (value, calm) = match kind {
                SiteKind::Latency => (90_000_000 + number, 5_000_000),
                SiteKind::Order => (1_000 + number, 0),
                _ => (1, 0),
            };
            let site = Site { kind, flow: FlowId(7), number };
            Perturbation { site, fingerprint: number, value, calm, at_ns: number }
        };
        (0..count).map(perturbation).collect()
    }

    fn has(set: &[Override], number: u64) -> bool {
        set.iter().any(|planned| planned.fingerprint == number)
    }

    fn shrunk(count: u64, judge: impl Fn(&[Override]) -> Option<&'static str>) -> Shrunk {
        let target = Judge { drawn: drawn(count), judge };
        shrink(&target, &Plan::seeded("test", Seed(1)), &mut Runs(10_000)).expect("it fails")
    }

    fn numbers(shrunk: &Shrunk) -> Vec<u64> {
        shrunk.perturbations().iter().map(|perturbation| perturbation.fingerprint).collect()
    }

    #[test]
    fn one_of_many_is_found_in_the_logarithm_of_many() {
        let cost = |count| {
            let shrunk = shrunk(count, |set| has(set, 3).then_some("p"));
            assert_eq!((numbers(&shrunk), shrunk.minimal, shrunk.before), (vec![3], Minimal::Pairs, count as usize));
            shrunk.runs
        };
        let (hundred, many) = (cost(100), cost(100_000));
        assert!(many <= hundred + 10 * 3 / 2, "{hundred} runs of 100, {many} of 100,000");
    }

    #[test]
    fn nothing_at_all_may_be_the_cause() {
        let shrunk = shrunk(50, |_| Some("p"));
        assert_eq!((numbers(&shrunk), shrunk.minimal), (vec![], Minimal::Pairs));
    }

    #[test]
    fn two_that_can_only_go_together_are_found() {
        // Without one of the two it passes; without both it fails as before.
        let shrunk = shrunk(30, |set| (has(set, 6) && has(set, 12) == has(set, 21)).then_some("p"));
        assert_eq!((numbers(&shrunk), shrunk.minimal), (vec![6], Minimal::Pairs));
    }

    #[test]
    fn the_same_property_must_fail() {
        let judge = |set: &[Override]| match (has(set, 4), set.is_empty()) {
            (true, _) => Some("one"),
            (false, true) => Some("another"),
            _ => None,
        };
        assert_eq!(numbers(&shrunk(40, judge)), [4]);
    }

    #[test]
    fn values_come_as_close_to_calm_as_they_can() {
        let value_of =
            |set: &[Override], number| set.iter().find(|planned| planned.fingerprint == number).map(|p| p.value);
        let at_least = |number, least| {
            move |set: &[Override]| value_of(set, number).is_some_and(|value| value >= least).then_some("p")
        };
        let value = |shrunk: &Shrunk| shrunk.perturbations()[0].value;
        // Number 4 is a latency of 90 ms, number 5 a rank.
        assert_eq!(value(&shrunk(20, at_least(4, 30_000_000))), 30_000_000);
        let found = value(&shrunk(20, at_least(4, 31_415_926)));
        assert!((31_415_926..=32_000_000).contains(&found), "{found}");
        assert_eq!(value(&shrunk(20, at_least(5, 1))), 1);
        assert_eq!(value(&shrunk(20, at_least(5, 7))), 7);
    }

    #[test]
    fn what_the_budget_cuts_short_fails_all_the_same_and_says_so() {
        let judge = |set: &[Override]| (has(set, 5) && has(set, 900)).then_some("p");
        for budget in 0..40 {
            let target = Judge { drawn: drawn(1_000), judge };
            let shrunk = shrink(&target, &Plan::seeded("test", Seed(1)), &mut Runs(budget)).expect("it fails");
            // Two runs say that there is a failure to keep, one more is its record.
            assert!(shrunk.runs <= budget.max(2) + 1);
            assert!(has(&shrunk.plan.overrides, 5) && has(&shrunk.plan.overrides, 900));
            assert!(shrunk.minimal == Minimal::Unproved || shrunk.perturbations().len() == 2, "{budget}");
        }
    }

    /// With all removals and all values gone through once more, each as dear as the set is large, this would take minutes.
    #[test]
    fn a_large_set_is_left_at_once_where_the_budget_has_ended() {
        let count = 120_000;
        let judge = move |set: &[Override]| (set.len() as u64 >= count).then_some("p");
        let target = Judge { drawn: drawn(count), judge };
        let shrunk = shrink(&target, &Plan::seeded("test", Seed(1)), &mut Runs(4)).expect("it fails");
        assert_eq!((shrunk.minimal, shrunk.perturbations().len() as u64), (Minimal::Unproved, count));
    }

    #[test]
    fn what_passes_or_does_not_repeat_is_an_error() {
        let of = |judge: fn(&[Override]) -> Option<&'static str>| {
            shrink(&Judge { drawn: drawn(9), judge }, &Plan::seeded("test", Seed(1)), &mut Runs(100)).unwrap_err()
        };
        assert_eq!(of(|_| None), Unshrinkable::Passes);
        let target = Judge { drawn: drawn(9), judge: |set: &[Override]| (set.len() == 9).then_some("p") };
        // Seen to fail once only.
        struct Once<T>(T, std::cell::Cell<bool>);
        impl<T: Target> Target for Once<T> {
            fn run(&self, plan: &Plan, record: Record, observer: &mut dyn Observer) -> Outcome {
                let mut outcome = self.0.run(plan, record, observer);
                if self.1.replace(true) {
                    outcome.verdict = Verdict::Pass;
                }
                outcome
            }

            fn capabilities(&self) -> Capabilities {
                self.0.capabilities()
            }
        }
        let once = Once(target, std::cell::Cell::new(false));
        let error = shrink(&once, &Plan::seeded("test", Seed(1)), &mut Runs(100)).unwrap_err();
        assert_eq!(error, Unshrinkable::NotRepeatable);
    }

    /// What cuts a run off from outside, such as a machine that is so busy that a poll counts as a hang, doesn't make it another one.
    #[test]
    fn a_run_that_is_cut_off_is_not_taken_for_another_one() {
        struct CutOff<T>(T, std::cell::Cell<u32>, u32, Verdict);
        impl<T: Target> Target for CutOff<T> {
            fn run(&self, plan: &Plan, record: Record, observer: &mut dyn Observer) -> Outcome {
                let mut outcome = self.0.run(plan, record, observer);
                if self.1.replace(self.1.get() + 1) == self.2 {
                    outcome.verdict = self.3.clone();
                }
                outcome
            }

            fn capabilities(&self) -> Capabilities {
                self.0.capabilities()
            }
        }
        let fails = |property: &str| {
            let property = property.to_string();
            Verdict::Fail(Failure {
                property,
                message: "so slow".to_string(),
                step: 0,
                at_ns: 0,
                node: None,
                task: None,
            })
        };
        let unknown = Verdict::Unknown { message: "so slow".to_string() };
        let of = |run: u32, verdict: &Verdict| {
            let judge = |set: &[Override]| (!set.is_empty()).then_some("p");
            let target = Judge { drawn: drawn(1), judge };
            let target = CutOff(target, std::cell::Cell::new(0), run, verdict.clone());
            shrink(&target, &Plan::seeded("test", Seed(1)), &mut Runs(100)).unwrap_err()
        };
        // That of its perturbations alone, and the last, of what is left.
        for run in [1, 4] {
            for verdict in [&fails("hang"), &fails("killed"), &unknown] {
                let error = of(run, verdict);
                assert!(matches!(&error, Unshrinkable::CutOff(told) if told.contains("so slow")), "{run}: {error:?}");
                assert!(error.to_string().contains("didn't end by itself"), "{error}");
            }
            assert_eq!(of(run, &fails("panic")), Unshrinkable::NotRepeatable);
        }
        assert!(matches!(of(0, &unknown), Unshrinkable::CutOff(_)));
    }

    /// A class may matter by being there in part: taken away whole, it doesn't.
    #[test]
    fn whole_classes_are_taken_away_first() {
        let of_kind = |set: &[Override], kind| set.iter().filter(|planned| planned.site.kind == kind).count();
        for kind in [SiteKind::Latency, SiteKind::Order] {
            let judge = |set: &[Override]| (has(set, 3) && [0, 10].contains(&of_kind(set, kind))).then_some("p");
            let shrunk = shrunk(30, judge);
            assert_eq!((numbers(&shrunk), shrunk.minimal), (vec![3], Minimal::Pairs), "{kind:?}");
        }
    }

    /// What was proved of one value needn't hold of a milder one.
    #[test]
    fn milder_values_are_proved_anew() {
        let latency =
            |set: &[Override]| set.iter().find(|planned| planned.fingerprint == 4).map(|planned| planned.value);
        let judge = |set: &[Override]| {
            let value = latency(set).filter(|value| *value >= 10_000_000)?;
            (value <= 50_000_000 || has(set, 6)).then_some("p")
        };
        let shrunk = shrunk(20, judge);
        assert_eq!((numbers(&shrunk), shrunk.minimal), (vec![4], Minimal::Pairs));
        assert_eq!(latency(&shrunk.plan.overrides), Some(10_000_000));
    }

    /// Bisection leaves a threshold within a part in 64; what is said is round, on whichever side of calm.
    #[test]
    fn values_are_round() {
        let significant =
            |value: u64, digits: u32| value.is_multiple_of(10u64.pow((value.ilog10() + 1).saturating_sub(digits)));
        for threshold in [5_000_001, 5_100_003, 7_654_321, 12_345_678, 31_415_926, 66_666_667, 89_999_999] {
            let at_least =
                |set: &[Override]| set.iter().any(|one| one.fingerprint == 4 && one.value >= threshold).then_some("p");
            let value = shrunk(20, at_least).perturbations()[0].value;
            assert!(value >= threshold && value - threshold <= threshold / 10, "{threshold}: {value}");
            assert!(significant(value, 3) || value - threshold < 100_000, "{threshold}: {value}");
        }
        for threshold in [4_999_999, 3_141_592, 1_234_567, 271_828] {
            let mut early = drawn(20);
            early[4].value = 90_001;
            let judge =
                |set: &[Override]| set.iter().any(|one| one.fingerprint == 4 && one.value <= threshold).then_some("p");
            let target = Judge { drawn: early, judge };
            let shrunk = shrink(&target, &Plan::seeded("test", Seed(1)), &mut Runs(10_000)).expect("it fails");
            let value = shrunk.perturbations()[0].value;
            assert!(value <= threshold && threshold - value <= 100_000, "{threshold}: {value}");
            assert!(significant(value, 3), "{threshold}: {value}");
        }
        // Where there is little room between the value that was drawn and the threshold, more digits are needed, and no more.
        for (drawn_ns, threshold, round) in [(4_478_047, 4_479_321, 4_479_000), (4_478_047, 4_478_123, 4_478_100)] {
            let mut near = drawn(20);
            (near[4].value, near[4].calm) = (drawn_ns, 5_500_000);
            let judge =
                |set: &[Override]| set.iter().any(|one| one.fingerprint == 4 && one.value <= threshold).then_some("p");
            let shrink_again = |plan: &Plan| {
                let target = Judge { drawn: near.clone(), judge };
                shrink(&target, plan, &mut Runs(10_000)).expect("it fails")
            };
            let shrunk = shrink_again(&Plan::seeded("test", Seed(1)));
            assert_eq!(shrunk.perturbations()[0].value, round);
            assert_eq!(shrink_again(&shrunk.plan).plan, shrunk.plan, "who shrinks what is shrunk gets it back");
        }
    }

    /// What is proved is proved of what was asked for. A run in which something else wasn't calm, too, is not that.
    #[test]
    fn what_ran_must_be_what_was_proved() {
        struct MoreAtTheEnd<T>(T);
        impl<T: Target> Target for MoreAtTheEnd<T> {
            fn run(&self, plan: &Plan, record: Record, observer: &mut dyn Observer) -> Outcome {
                let mut outcome = self.0.run(plan, record, observer);
                if record == Record::Full {
                    outcome.perturbations.push(drawn(20)[9]);
                }
                outcome
            }

            fn capabilities(&self) -> Capabilities {
                self.0.capabilities()
            }
        }
        let target = Judge { drawn: drawn(20), judge: |set: &[Override]| has(set, 3).then_some("p") };
        let shrunk =
            shrink(&MoreAtTheEnd(target), &Plan::seeded("test", Seed(1)), &mut Runs(10_000)).expect("it fails");
        assert_eq!((numbers(&shrunk), shrunk.minimal), (vec![3, 9], Minimal::Unproved));
    }

    /// Without the second message the first has another number: up to three places off, and in the order of events two for each.
    #[test]
    fn what_moves_by_a_removal_is_moved_along() {
        struct Moves {
            kind: SiteKind,
            by: i64,
        }
        impl Target for Moves {
            fn run(&self, plan: &Plan, record: Record, observer: &mut dyn Observer) -> Outcome {
                let place = |number, kind| Site { kind, flow: FlowId(7), number };
                let moved = Perturbation { site: place(20, self.kind), fingerprint: 1, value: 1, calm: 0, at_ns: 1 };
                let other = Perturbation { site: place(1, SiteKind::Fault), fingerprint: 2, ..moved };
                let all = [moved, other];
                let is_drawn = plan.bases.get(SiteKind::Loss) == Base::Drawn;
                let has_other = is_drawn || plan.overrides.iter().any(|one| one.site == other.site);
                let by = if self.kind == SiteKind::Order { 2 * self.by } else { self.by };
                let now = if has_other { 20 } else { 20u64.strict_add_signed(by) };
                let meets = |one: &Override| one.site == other.site || one.site == place(now, self.kind);
                let planned: Vec<Override> =
                    if is_drawn { all.iter().map(Perturbation::to_override).collect() } else { plan.overrides.clone() };
                let set: Vec<Override> = planned.iter().copied().filter(meets).collect();
                let drawn = vec![Perturbation { site: place(now, self.kind), ..moved }, other];
                let judge = |set: &[Override]| has(set, 1).then_some("p");
                let mut outcome = Judge { drawn: Vec::new(), judge }.run(&plan.only(&[]), record, observer);
                if judge(&set).is_some() {
                    outcome.verdict = Verdict::Fail(Failure {
                        property: "p".to_string(),
                        message: String::new(),
                        step: 0,
                        at_ns: 0,
                        node: None,
                        task: None,
                    });
                }
                outcome.perturbations = drawn.into_iter().filter(|one| set.contains(&one.to_override())).collect();
                outcome.unused_overrides = planned.into_iter().filter(|one| !meets(one)).collect();
                outcome
            }

            fn capabilities(&self) -> Capabilities {
                Capabilities { message_sites: true, order_sites: true, fault_sites: true }
            }
        }
        for kind in [SiteKind::Loss, SiteKind::Order] {
            for by in [-3, -2, -1, 1, 2, 3] {
                let target = Moves { kind, by };
                let shrunk = shrink(&target, &Plan::seeded("test", Seed(1)), &mut Runs(100)).expect("it fails");
                assert_eq!((numbers(&shrunk), shrunk.minimal), (vec![1], Minimal::Pairs), "{kind:?}, {by}");
            }
            let too_far = Moves { kind, by: 4 };
            let shrunk = shrink(&too_far, &Plan::seeded("test", Seed(1)), &mut Runs(100)).expect("it fails");
            assert_eq!(numbers(&shrunk), [1, 2], "{kind:?}");
        }
    }

    /// A target that is judged at its end, at 10 ms of virtual time unless it is ended before.
    struct Ends<F>(F);

    const END_NS: u64 = 10_000_000;

    impl<F: Fn(&[Override], u64) -> bool> Target for Ends<F> {
        fn run(&self, plan: &Plan, record: Record, observer: &mut dyn Observer) -> Outcome {
            let end = plan.horizon_ns.map_or(END_NS, |horizon_ns| horizon_ns.min(END_NS));
            let judge = |set: &[Override]| self.0(set, end).then_some("p");
            let mut outcome = Judge { drawn: drawn(20), judge }.run(plan, record, observer);
            outcome.ending.at_ns = end;
            outcome
        }

        fn capabilities(&self) -> Capabilities {
            Capabilities { message_sites: true, order_sites: true, fault_sites: true }
        }
    }

    fn shrunk_at_its_end(judge: impl Fn(&[Override], u64) -> bool) -> Shrunk {
        shrink(&Ends(judge), &Plan::seeded("test", Seed(1)), &mut Runs(10_000)).expect("it fails")
    }

    #[test]
    fn the_horizon_is_round_and_early() {
        for threshold in [100, 3_141, 271_828, 3_141_592, 9_000_000] {
            let shrunk = shrunk_at_its_end(|set, end| has(set, 3) && end >= threshold);
            let horizon = shrunk.plan.horizon_ns.expect("an earlier end");
            assert!(horizon >= threshold && horizon <= threshold + threshold / 10, "{threshold}: {horizon}");
            assert!(horizon.is_multiple_of(10u64.pow(horizon.ilog10() - 1)), "{threshold}: {horizon}");
            assert_eq!((numbers(&shrunk), shrunk.minimal), (vec![3], Minimal::Pairs));
        }
        let late = shrunk_at_its_end(|set, end| has(set, 3) && end >= END_NS - 10);
        assert_eq!(late.plan.horizon_ns, None, "as good as the end");
    }

    /// Where a run is cut so early that fewer do, or none, the failure is another one.
    #[test]
    fn at_an_earlier_end_no_smaller_set_may_fail() {
        let only = |set: &[Override], numbers: &[u64]| {
            set.len() == numbers.len() && numbers.iter().all(|number| has(set, *number))
        };
        let whole = |set: &[Override]| [3, 6, 9].iter().all(|number| has(set, *number));
        for smaller in [&[][..], &[3], &[6, 9]] {
            let shrunk = shrunk_at_its_end(|set, end| whole(set) || end < 500_000 && only(set, smaller));
            let horizon = shrunk.plan.horizon_ns.expect("an earlier end");
            assert!((500_000..=550_000).contains(&horizon), "{smaller:?}: {horizon}");
            assert_eq!((numbers(&shrunk), shrunk.minimal), (vec![3, 6, 9], Minimal::Pairs));
        }
    }

    /// An earlier end is drawn for what is proved, as far as the budget goes.
    #[test]
    fn a_budget_that_ends_leaves_the_end_where_it_was() {
        let judge = |set: &[Override], end| has(set, 3) && end >= 3_000_000;
        let proved = shrunk_at_its_end(judge);
        for budget in 0..proved.runs {
            let shrunk = shrink(&Ends(judge), &Plan::seeded("test", Seed(1)), &mut Runs(budget)).expect("it fails");
            assert_eq!(shrunk.minimal == Minimal::Unproved, budget + 1 < proved.runs, "{budget}");
            assert!(shrunk.plan.horizon_ns.is_none_or(|end| end >= 3_000_000));
            assert!(shrunk.perturbations().len() == 1 || shrunk.plan.horizon_ns.is_none());
        }
        // What wasn't tried any more isn't taken to pass.
        let judge = |set: &[Override], end| has(set, 3) && has(set, 6) || end < 5_000_000 && has(set, 3);
        for budget in 0..shrunk_at_its_end(judge).runs {
            let shrunk = shrink(&Ends(judge), &Plan::seeded("test", Seed(1)), &mut Runs(budget)).expect("it fails");
            assert!(shrunk.plan.horizon_ns.is_none_or(|end| end >= 5_000_000), "{budget}");
        }
    }

    proptest! {
        /// Failures of any shape: each of `causes` is a set, and the whole fails if one of them is there and nothing
        /// that `prevents` it is.
        #[test]
        fn the_result_is_minimal(
            causes in prop::collection::vec(prop::collection::btree_set(0u64..60, 1..4), 1..4),
            prevents in prop::collection::btree_set(0u64..60, 0..3),
        ) {
            let judge = |set: &[Override]| {
                let prevented = set.len() < 60 && prevents.iter().any(|number| has(set, *number));
                let caused = causes.iter().any(|cause| cause.iter().all(|number| has(set, *number)));
                (caused && !prevented).then_some("p")
            };
            let target = Judge { drawn: drawn(60), judge };
            let plan = Plan::seeded("test", Seed(1));
            let shrunk = shrink(&target, &plan, &mut Runs(100_000)).expect("it fails");
            let left = &shrunk.plan.overrides;
            prop_assert!(judge(left).is_some());
            prop_assert!(shrunk.minimal >= Minimal::One);
            for index in 0..left.len() {
                let mut fewer = left.clone();
                fewer.remove(index);
                prop_assert!(judge(&fewer).is_none());
                for second in index..fewer.len() {
                    let mut fewest = fewer.clone();
                    fewest.remove(second);
                    prop_assert!(shrunk.minimal == Minimal::One || judge(&fewest).is_none());
                }
            }
            let again = shrink(&target, &plan, &mut Runs(100_000)).expect("it fails");
            prop_assert_eq!(&again.plan, &shrunk.plan);
        }
    }
}
