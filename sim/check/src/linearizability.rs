//! Is there an order of the operations that an object could have gone through one by one, in which none comes before another that had
//! returned when it began? (Herlihy and Wing, "Linearizability: a correctness condition for concurrent objects", TOPLAS 12 (1990).)
//!
//! The search is Wing and Gong's ("Testing and verifying concurrent objects", JPDC 17 (1993)) with Lowe's memory of what was tried and his
//! laziness ("Testing for linearizability", CCPE 29 (2017)):
//!
//! 1. **By object.** A history is linearizable if that of each of its objects is (Herlihy and Wing's locality).
//! 2. **Just in time.** The events are gone through in their order. An operation takes effect when it must, at its return, and before it
//!    then whichever of the open ones the search takes to be first: nothing is decided earlier than that.
//! 3. **What only reads takes effect at once,** as soon as it is possible: wherever else it could stand, it can stand here. So only
//!    operations that may change the object's state are chosen among.
//! 4. **Nothing is tried twice:** what has led nowhere is remembered, by the return, the state and the open operations that have taken
//!    effect.
//! 5. **Operations of unknown outcome** are open to the end. Each may take effect at any time after its invocation, or never. What fails
//!    with some of them used fails with more of them used: at each return, what uses fewer of them is tried first, and only the smallest
//!    sets are remembered.
//! 6. **Looking ahead:** where one of the next operations can't become possible any more, whatever comes before it ([`Model::is_lost`]),
//!    nothing more is tried. It looks over a few operations from the beginning, and far where it turns back often.
//! 7. **What nobody reads any more is one and the same** ([`Model::last_reader`]), where it turns back often: it is remembered as one
//!    state; operations whose effect nobody reads take effect at once when the state is such a one, since nothing is lost then; and those
//!    of them of which nobody knows the outcome never need to.
//! 8. **All operations at once:** what a model can tell of them before the search ([`Model::prepare`]), such as in which order the values of a
//!    queue must have come, makes steps impossible that otherwise would turn out to be so much later.
//!
//! The first witness is found by going deep, so that a history whose values are told apart takes time in proportion to its length, mostly; one
//! that isn't linearizable is known by the search having ended. What is counted is steps of the model, and [`Limits::steps`] of them are made at
//! most: the verdict depends on nothing else, neither on a clock nor on the machine.
//!
//! **A witness.** Where a system says in which order its operations took effect ([`Operation::index`]), that order is looked at first, in
//! linear time; only if it isn't one is there a search.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, VecDeque};

use indexmap::IndexSet;
use smallvec::SmallVec;

use crate::history::{End, History, Operation};
use crate::model::{Call, Model, Readable, Step};
use crate::value::Value;

/// When to give up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// So many steps of the model, over all objects together.
    pub steps: u64,
    /// How often the search of one object turns back, less one for each return that it comes to, before it looks far ahead, which costs more
    /// than most steps. It changes no verdict, as long as the steps suffice.
    pub turns_near: u64,
    /// About how many bytes the search of one object may remember of what it has tried.
    pub bytes: u64,
}

impl Default for Limits {
    /// A hundred million steps, and two GiB.
    fn default() -> Limits {
        Limits { steps: 100_000_000, turns_near: 64, bytes: 2 << 30 }
    }
}

/// What came of a history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// There is such an order.
    Linearizable,
    /// There is none.
    NotLinearizable(Box<Counterexample>),
    /// Nobody knows: why.
    Unknown(String),
}

/// How a history was judged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Judgement {
    /// What came of it.
    pub verdict: Verdict,
    /// How many steps of the model it took.
    pub steps: u64,
}

/// Where nothing goes on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Counterexample {
    /// Of which object, if there are several.
    pub key: Option<Value>,
    /// The longest partial linearization that was found: all that had returned before, and what else can come behind it, in an order in which they can
    /// have taken effect. Indices into [`History::operations`].
    pub order: Vec<usize>,
    /// The first operation to return of which no order has it and all that had returned before.
    pub stuck: usize,
    /// Whether that is known of it, or only that no order was found within some steps, in which it has come; and surely there is none of all.
    pub is_proved: bool,
    /// What the object is after that order, for people.
    pub state: String,
    /// The operations that were open when it returned and hadn't taken effect.
    pub open: Vec<usize>,
}

/// How many operations of an order are told.
const TOLD_MAX: usize = 8;

impl Counterexample {
    /// Over some lines: what doesn't go on, after what, and what was open then.
    #[must_use]
    pub fn in_words(&self, history: &History) -> String {
        let sentence = |index: usize| history.sentence(&history.operations()[index]);
        let of_key = self.key.as_ref().map_or_else(String::new, |key| format!("key {key}: "));
        let what = if self.is_proved { "nothing goes on at" } else { "no order was found that goes on at" };
        let mut text = format!("{of_key}{what}\n  {}\n", sentence(self.stuck));
        match self.order.len() {
            0 => text.push_str(&format!("at the beginning, where the object is {}\n", self.state)),
            count => {
                let told = &self.order[count.saturating_sub(TOLD_MAX)..];
                let before = count - told.len();
                text.push_str(&format!("after the longest order that could be found, of {count}:\n"));
                if before > 0 {
                    text.push_str(&format!("  ({before} before these)\n"));
                }
                for &index in told {
                    text.push_str(&format!("  {}\n", sentence(index)));
                }
                text.push_str(&format!("where the object is {}\n", self.state));
            }
        }
        if !self.open.is_empty() {
            text.push_str("with these open, which may come before it or not:\n");
            for &index in self.open.iter().take(TOLD_MAX) {
                text.push_str(&format!("  {}\n", sentence(index)));
            }
            if let more @ 1.. = self.open.len().saturating_sub(TOLD_MAX) {
                text.push_str(&format!("  … and {more} more\n"));
            }
        }
        text
    }
}

/// A history that a model doesn't understand.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("event {event}: {problem}")]
pub struct Misunderstood {
    /// The event that is wrong, from 1.
    pub event: u32,
    /// What is wrong with it.
    pub problem: String,
}

/// Judges a history.
///
/// # Errors
/// If an operation isn't one of the model's.
pub fn check<M: Model>(model: &M, history: &History, limits: Limits) -> Result<Judgement, Misunderstood> {
    for operation in history.failed() {
        understand(model, history, operation)?;
    }
    let mut objects: Vec<Vec<Known<M::Operation>>> = Vec::new();
    objects.resize_with(history.keys(), Vec::new);
    for (index, operation) in history.operations().iter().enumerate() {
        if let Some(what) = understand(model, history, operation)? {
            objects[operation.key as usize].push(Known { index, what });
        }
    }
    if !history.says_something() {
        let said = "the history doesn't say of any operation what it came to: there is nothing to judge".to_string();
        return Ok(Judgement { verdict: Verdict::Unknown(said), steps: 0 });
    }
    // Small ones first: what takes long keeps nobody from knowing of the others.
    let mut order: Vec<usize> = (0..objects.len()).collect();
    order.sort_by_key(|key| objects[*key].len());
    let mut steps = 0;
    let mut unknown = None;
    for key in order {
        // The last step may have been one of several that belong together.
        let left = Limits { steps: limits.steps.saturating_sub(steps), ..limits };
        let operations = &mut objects[key];
        let has_noted = model.prepare(prepared(history, operations, u32::MAX));
        let mut search = Search::new(model, history, operations, left);
        let found = search.run();
        steps += search.steps;
        match found {
            Found::Order => {}
            Found::None => {
                let counterexample = search.explain(has_noted);
                return Ok(Judgement { verdict: Verdict::NotLinearizable(Box::new(counterexample)), steps });
            }
            Found::GivenUp => {
                let why = match search.has_room() {
                    true => "more may find an order, or that there is none",
                    false => "what it remembers takes too much memory; smaller parts of the history may be judged",
                };
                unknown.get_or_insert_with(|| format!("the search was given up after {steps} steps: {why}"));
            }
        }
    }
    Ok(Judgement { verdict: unknown.map_or(Verdict::Linearizable, Verdict::Unknown), steps })
}

fn understand<M: Model>(
    model: &M,
    history: &History,
    operation: &Operation,
) -> Result<Option<M::Operation>, Misunderstood> {
    let Operation { process, argument, .. } = operation;
    let call = Call { process: *process, f: history.name(operation), argument, result: operation.result() };
    model.operation(&call).map_err(|problem| Misunderstood { event: operation.said_last(), problem })
}

/// What a model may look at together, of what happens before that event: see [`Model::prepare`].
fn prepared<'o, O>(
    history: &'o History,
    known: &'o mut [Known<O>],
    end: u32,
) -> impl Iterator<Item = (&'o mut O, u32)> {
    let all = history.operations();
    let begun: Vec<u32> = known.iter().map(|known| all[known.index].invoked).take_while(|event| *event < end).collect();
    known[..begun.len()].iter_mut().map(move |known| {
        let returned = all[known.index].returned();
        let before =
            if returned < end { begun.partition_point(|invoked| *invoked < returned) as u32 } else { u32::MAX };
        (&mut known.what, before)
    })
}

/// An operation that the model has understood.
struct Known<O> {
    /// In the history.
    index: usize,
    what: O,
}

enum Found {
    Order,
    None,
    GivenUp,
}

/// A set of places.
type Places = SmallVec<[u64; 1]>;

fn insert(places: &mut Places, place: usize) {
    let word = place / 64;
    if places.len() <= word {
        places.resize(word + 1, 0);
    }
    places[word] |= 1 << (place % 64);
}

/// Sets that hold the same have the same words: none ends with an empty one.
fn remove(places: &mut Places, place: usize) {
    if let Some(word) = places.get_mut(place / 64) {
        *word &= !(1 << (place % 64));
    }
    while places.last() == Some(&0) {
        places.pop();
    }
}

fn contains(places: &Places, place: usize) -> bool {
    places.get(place / 64).is_some_and(|word| word >> (place % 64) & 1 == 1)
}

fn is_subset(small: &Places, large: &Places) -> bool {
    small.len() <= large.len() && small.iter().zip(large).all(|(small, large)| small & !large == 0)
}

/// What happens to one object, in order. Numbers are places among its operations.
#[derive(Clone, Copy, Debug)]
enum Moment {
    /// An operation that will return begins, and has that slot until then.
    Invoke { operation: u32, slot: u32 },
    /// It returns.
    Return { operation: u32, slot: u32 },
    /// An operation begins of which nobody will know.
    Unknown,
}

/// How far the search has come: before which moment, in what state, with which of the open operations done.
#[derive(Clone, Debug)]
struct Configuration {
    moment: usize,
    state: u32,
    /// Slots of those open operations that have taken effect.
    done: Places,
    /// Of those of unknown outcome, by their number among them.
    used: Places,
}

/// A configuration from which a return has to be made possible, and what was tried for that.
struct Frame {
    configuration: Configuration,
    /// The next choice to try: see [`Search::choice`].
    choice: usize,
    /// Which of the others, by their place among the choices, can't take effect first.
    barren: Places,
    /// How many operations had taken effect.
    length: usize,
}

/// A return that has to be made possible.
struct Station {
    moment: usize,
    /// Its first frame.
    frames: usize,
    /// How many operations had taken effect when it was come to.
    length: usize,
    /// What is tried when its frames have led nowhere, each with what takes effect up to there: what uses one more operation of unknown
    /// outcome. These are remembered as if they had led nowhere, as nothing that uses more has to be tried beside them.
    later: VecDeque<(Configuration, Box<[u32]>)>,
}

/// Which open operation to let take effect.
#[derive(Clone, Copy)]
enum Choice {
    /// One that returns, in its slot.
    Slot(u32),
    /// One of unknown outcome, by its number among them.
    Unknown(usize),
}

/// What is to come after that.
#[derive(Clone, Copy)]
enum Then {
    /// What returns.
    Return,
    /// Others first.
    More,
}

type Fast = foldhash::fast::FixedState;

/// How long the longest order is looked for where there is none.
const EXPLAIN_STEPS: u64 = 200_000;
const EXPLAIN_STEPS_PER_OPERATION: u64 = 10;

/// Where more operations are open at once, looking near ahead costs more than it saves.
const SLOTS_NEAR_MAX: usize = 200;

/// Stands for all states that nobody reads any more.
const UNREAD: u32 = u32::MAX;

struct Search<'s, M: Model> {
    model: &'s M,
    history: &'s History,
    operations: &'s [Known<M::Operation>],
    moments: Vec<Moment>,
    /// The operation in each slot at the moment that was reached: the one that began last, also if it has returned.
    slots: Vec<u32>,
    /// Which slots are taken at that moment.
    open: Vec<bool>,
    /// What each slot held before each [`Moment::Invoke`] so far, to go back.
    before: Vec<u32>,
    /// All operations of unknown outcome, and how many have begun at that moment.
    unknown: Vec<u32>,
    unknown_begun: usize,
    /// The moment that `slots`, `open` and `unknown_begun` are of.
    at: usize,
    states: IndexSet<M::State, Fast>,
    /// What has led nowhere, by moment, state and what has taken effect: the sets of operations of unknown outcome that were used.
    tried: HashMap<(usize, u32, Places), SmallVec<[Places; 1]>, Fast>,
    /// Who reads what, once the search has turned back often.
    readers: Option<M::Readers>,
    are_readers_noted: bool,
    /// The operations that have taken effect, in order.
    order: Vec<u32>,
    /// The state at the end of it, once there is an order of all.
    last_state: Option<u32>,
    /// How often everything was tried at a return, less one for each return that was come to for the first time since.
    turns: u64,
    /// The farthest return so far.
    reached: usize,
    steps: u64,
    /// About how many bytes it remembers.
    bytes: u64,
    limits: Limits,
    /// The last return that something was impossible for: without those after it there is no order either.
    refuted_by: usize,
}

impl<'s, M: Model> Search<'s, M> {
    fn new(model: &'s M, history: &'s History, operations: &'s [Known<M::Operation>], limits: Limits) -> Self {
        let (moments, slots, unknown) = moments(history, operations);
        let mut states = IndexSet::with_hasher(Fast::default());
        states.insert(model.initial());
        Search {
            model,
            history,
            operations,
            moments,
            slots: vec![u32::MAX; slots],
            open: vec![false; slots],
            before: Vec::new(),
            unknown,
            unknown_begun: 0,
            at: 0,
            states,
            tried: HashMap::default(),
            readers: None,
            are_readers_noted: false,
            order: Vec::new(),
            last_state: None,
            turns: 0,
            reached: 0,
            steps: 0,
            bytes: 0,
            limits,
            refuted_by: 0,
        }
    }

    fn run(&mut self) -> Found {
        self.witness().unwrap_or_else(|| self.seek())
    }

    fn seek(&mut self) -> Found {
        let first = Configuration { moment: 0, state: 0, done: Places::new(), used: Places::new() };
        let mut frames: Vec<Frame> = Vec::new();
        let mut stations: Vec<Station> = Vec::new();
        let mut next = Some((first, false));
        loop {
            if let Some((configuration, is_later)) = next.take() {
                let Some(configuration) = self.advance(configuration) else { return Found::Order };
                if !self.has_led_nowhere(&configuration) {
                    let (moment, length) = (configuration.moment, self.order.len());
                    match stations.last_mut().filter(|station| station.moment == moment) {
                        Some(station) if is_later => {
                            self.remember(&configuration);
                            station.later.push_back((configuration, self.order[station.length..].into()));
                        }
                        station => {
                            if station.is_none() {
                                stations.push(Station { moment, frames: frames.len(), length, later: VecDeque::new() });
                            }
                            frames.push(Frame { configuration, choice: 0, barren: Places::new(), length });
                        }
                    }
                }
            }
            if self.steps >= self.limits.steps || !self.has_room() {
                return Found::GivenUp;
            }
            let Some(station) = stations.last_mut() else { return Found::None };
            self.go_to(station.moment);
            if frames.len() == station.frames {
                self.order.truncate(station.length);
                match station.later.pop_front() {
                    None => drop(stations.pop()),
                    Some((configuration, order)) => {
                        self.order.extend_from_slice(&order);
                        let length = self.order.len();
                        frames.push(Frame { configuration, choice: 0, barren: Places::new(), length });
                    }
                }
                continue;
            }
            let frame = frames.last_mut().expect("a station's frames come after those before it");
            self.order.truncate(frame.length);
            let number = frame.choice;
            frame.choice += 1;
            next = match self.choice(number) {
                Some(Some((other, choice, then))) => {
                    let is_barren = other.is_some_and(|other| contains(&frame.barren, other));
                    let to = if is_barren { None } else { self.take_effect(&frame.configuration, choice) };
                    match (to, then) {
                        (Some(to), Then::Return) => self.returned(to).map(|to| (to, false)),
                        (Some(to), Then::More) => Some((to, matches!(choice, Choice::Unknown(_)))),
                        (None, _) => {
                            if let Some(other) = other {
                                insert(&mut frame.barren, other);
                            }
                            None
                        }
                    }
                }
                Some(None) => None,
                None => {
                    self.leads_nowhere(&frame.configuration);
                    frames.pop();
                    None
                }
            };
        }
    }

    /// Goes through what happens up to a return of what hasn't taken effect. `None` if there is no such return.
    fn advance(&mut self, mut configuration: Configuration) -> Option<Configuration> {
        loop {
            let Some(&moment) = self.moments.get(configuration.moment) else {
                self.last_state = Some(configuration.state);
                return None;
            };
            match moment {
                Moment::Invoke { operation, slot } => {
                    self.go_to(configuration.moment + 1);
                    if self.can_be_read(configuration.state, operation) {
                        insert(&mut configuration.done, slot as usize);
                        self.order.push(operation);
                    }
                }
                Moment::Return { slot, .. } => {
                    if !contains(&configuration.done, slot as usize) {
                        self.let_unread_take_effect(&mut configuration);
                    }
                    if !contains(&configuration.done, slot as usize) {
                        if configuration.moment > self.reached {
                            self.reached = configuration.moment;
                            self.turns = self.turns.saturating_sub(1);
                        }
                        return Some(configuration);
                    }
                    remove(&mut configuration.done, slot as usize);
                    self.go_to(configuration.moment + 1);
                }
                Moment::Unknown => self.go_to(configuration.moment + 1),
            }
            configuration.moment += 1;
        }
    }

    fn returning(&self) -> u32 {
        match self.moments[self.at] {
            Moment::Return { slot, .. } => slot,
            _ => unreachable!("it is returns that have to be made possible"),
        }
    }

    /// What to try as the `number`th: first what returns; then that after each of the others that are open; then each of those and more
    /// before it. With it which of the others that is. `None` if that was all; `Some(None)` if this one isn't there, or only reads: then it
    /// would have taken effect.
    fn choice(&self, number: usize) -> Option<Option<(Option<usize>, Choice, Then)>> {
        let returning = self.returning();
        let others = self.open.len() + self.unknown_begun;
        if number == 0 {
            let only_reads = self.model.only_reads(self.what(self.slots[returning as usize]));
            return Some((!only_reads).then_some((None, Choice::Slot(returning), Then::Return)));
        }
        if number > 2 * others {
            return None;
        }
        let (other, then) = ((number - 1) % others, if number <= others { Then::Return } else { Then::More });
        let choice = match other.checked_sub(self.open.len()) {
            Some(unknown) => Choice::Unknown(unknown),
            None if !self.open[other] || other == returning as usize => return Some(None),
            None if self.model.only_reads(self.what(self.slots[other])) => return Some(None),
            None => Choice::Slot(other as u32),
        };
        Some(Some((Some(other), choice, then)))
    }

    /// What becomes of a configuration if what returns has taken effect, or does now.
    fn returned(&mut self, configuration: Configuration) -> Option<Configuration> {
        let slot = self.returning();
        match contains(&configuration.done, slot as usize) {
            true => Some(configuration),
            false => self.take_effect(&configuration, Choice::Slot(slot)),
        }
    }

    /// What becomes of a configuration if that operation takes effect, and after it all that only read.
    fn take_effect(&mut self, from: &Configuration, choice: Choice) -> Option<Configuration> {
        let operation = match choice {
            Choice::Slot(slot) if contains(&from.done, slot as usize) => return None,
            Choice::Slot(slot) => self.slots[slot as usize],
            Choice::Unknown(number) if contains(&from.used, number) => return None,
            Choice::Unknown(number) => self.unknown[number],
        };
        let state = self.step(from.state, operation)?;
        let is_changed = state != from.state;
        let mut to = Configuration { state, ..from.clone() };
        match choice {
            Choice::Slot(slot) => insert(&mut to.done, slot as usize),
            // What changes nothing needn't have happened, nor what nobody reads, nor what makes of one state that nobody reads another.
            Choice::Unknown(_)
                if !is_changed
                    || !self.is_effect_read(from, operation)
                    || !self.is_state_read(from, from.state) && !self.is_state_read(from, state) =>
            {
                return None;
            }
            Choice::Unknown(number) => insert(&mut to.used, number),
        }
        self.order.push(operation);
        if is_changed {
            for slot in 0..self.open.len() {
                let operation = self.slots[slot];
                if self.open[slot] && !contains(&to.done, slot) && self.can_be_read(state, operation) {
                    insert(&mut to.done, slot);
                    self.order.push(operation);
                }
            }
            if let Some(refuted_by) = self.lost_at(&to) {
                self.refuted_by = self.refuted_by.max(refuted_by);
                return None;
            }
        }
        Some(to)
    }

    /// Whether the search turns back so often that it is worth looking farther.
    fn looks_far(&self) -> bool {
        self.turns >= self.limits.turns_near
    }

    fn what(&self, operation: u32) -> &'s M::Operation {
        &self.operations[operation as usize].what
    }

    /// Whether any operation that hasn't taken effect may need that state of the object, or that effect of an operation.
    fn is_read(&self, configuration: &Configuration, what: Readable<'_, M>) -> bool {
        let Some(readers) = &self.readers else { return true };
        let Some(last) = self.model.last_reader(readers, what) else { return false };
        last as usize >= self.before.len() + self.unknown_begun
            || self.left(configuration).any(|operation| self.model.reads(self.what(operation), what))
    }

    fn is_state_read(&self, configuration: &Configuration, state: u32) -> bool {
        let state = self.states.get_index(state as usize).expect("it was put there");
        self.is_read(configuration, Readable::State(state))
    }

    fn is_effect_read(&self, configuration: &Configuration, operation: u32) -> bool {
        self.is_read(configuration, Readable::Effect(self.what(operation)))
    }

    /// The operations that are open and haven't taken effect.
    fn left(&self, configuration: &Configuration) -> impl Iterator<Item = u32> {
        let returning = self.slots.iter().enumerate().filter_map(|(slot, &operation)| {
            (self.open[slot] && !contains(&configuration.done, slot)).then_some(operation)
        });
        let unknown = self.unknown[..self.unknown_begun].iter().enumerate();
        returning.chain(
            unknown.filter_map(|(number, &operation)| (!contains(&configuration.used, number)).then_some(operation)),
        )
    }

    /// Where nobody reads the state: lets all take effect that are open and whose effect nobody reads.
    fn let_unread_take_effect(&mut self, configuration: &mut Configuration) {
        if self.looks_far() && !self.are_readers_noted {
            self.are_readers_noted = true;
            self.readers = self.model.readers(self.operations.iter().map(|known| &known.what));
        }
        if self.readers.is_none() || self.is_state_read(configuration, configuration.state) {
            return;
        }
        for slot in 0..self.open.len() {
            let operation = self.slots[slot];
            if self.open[slot] && !contains(&configuration.done, slot) && !self.is_effect_read(configuration, operation)
            {
                configuration.state = self.step(configuration.state, operation).expect("what nobody reads is possible");
                insert(&mut configuration.done, slot);
                self.order.push(operation);
            }
        }
    }

    /// The return of one of the next operations that can't become possible any more.
    fn lost_at(&self, configuration: &Configuration) -> Option<usize> {
        let slots = self.slots.len();
        let ahead = match self.looks_far() {
            // Enough for all that is open to return, and for what begins meanwhile, mostly.
            true => 8 * slots + 64,
            // Enough for the next ones.
            false if slots <= SLOTS_NEAR_MAX => 64.min(2 * slots),
            false => return None,
        };
        let what = |operation: u32| self.what(operation);
        let state = self.states.get_index(configuration.state as usize).expect("it was put there");
        let mut foresight = M::Foresight::default();
        for operation in self.left(configuration) {
            self.model.foresee(&mut foresight, what(operation));
        }
        let mut unknown = self.unknown[self.unknown_begun..].iter();
        // An operation in a slot that was taken again hasn't taken effect, whatever had that slot before.
        let mut begun = Places::new();
        // What returns before others begin comes before them: how much that was when each slot was taken.
        let mut before: Vec<&M::Operation> = Vec::new();
        let mut before_slot = vec![0; self.slots.len()];
        for (at, moment) in self.moments.iter().enumerate().skip(self.at).take(ahead) {
            match *moment {
                Moment::Invoke { operation, slot } => {
                    insert(&mut begun, slot as usize);
                    before_slot[slot as usize] = before.len();
                    self.model.foresee(&mut foresight, what(operation));
                }
                Moment::Unknown => {
                    let &operation = unknown.next().expect("there is one for each");
                    self.model.foresee(&mut foresight, what(operation));
                }
                Moment::Return { operation, slot } => {
                    let is_done = !contains(&begun, slot as usize) && contains(&configuration.done, slot as usize);
                    if is_done {
                        continue;
                    }
                    let before_it = &before[..before_slot[slot as usize]];
                    if self.model.is_lost(state, &foresight, before_it, what(operation)) {
                        return Some(at);
                    }
                    before.push(what(operation));
                }
            }
        }
        None
    }

    /// Whether more can be remembered.
    fn has_room(&self) -> bool {
        self.bytes <= self.limits.bytes
    }

    /// Makes a step of the model.
    fn step(&mut self, state: u32, operation: u32) -> Option<u32> {
        self.steps += 1;
        let from = self.states.get_index(state as usize).expect("it was put there");
        match self.model.step(from, &self.operations[operation as usize].what) {
            Step::Impossible => None,
            Step::Same => Some(state),
            Step::To(to) => {
                let (index, is_new) = self.states.insert_full(to);
                if is_new {
                    let beside = self.model.bytes_beside(&self.states[index]);
                    self.bytes += (size_of::<M::State>() + 2 * size_of::<u64>() + beside) as u64;
                }
                Some(u32::try_from(index).expect("fewer states than steps"))
            }
        }
    }

    /// Whether an operation only reads, and is possible in a state.
    fn can_be_read(&mut self, state: u32, operation: u32) -> bool {
        let what = &self.operations[operation as usize].what;
        if !self.model.only_reads(what) {
            return false;
        }
        self.steps += 1;
        let from = self.states.get_index(state as usize).expect("it was put there");
        match self.model.step(from, what) {
            Step::Impossible => false,
            Step::Same => true,
            Step::To(to) => {
                assert!(to == *from, "the model says of an operation that it only reads, and it changes the state");
                true
            }
        }
    }

    /// Whether all was tried from there, or will be, with as few operations of unknown outcome used.
    fn has_led_nowhere(&self, configuration: &Configuration) -> bool {
        !self.tried.is_empty()
            && self
                .tried
                .get(&self.key(configuration))
                .is_some_and(|tried| tried.iter().any(|tried| is_subset(tried, &configuration.used)))
    }

    /// What a configuration is remembered by, but for the operations of unknown outcome.
    fn key(&self, configuration: &Configuration) -> (usize, u32, Places) {
        assert_eq!(self.at, configuration.moment, "who is left is known at the moment that was reached");
        let state = if self.is_state_read(configuration, configuration.state) { configuration.state } else { UNREAD };
        (configuration.moment, state, configuration.done.clone())
    }

    /// Moves `slots`, `open` and `unknown_begun` to the time before that moment.
    fn go_to(&mut self, moment: usize) {
        while self.at < moment {
            match self.moments[self.at] {
                Moment::Invoke { operation, slot } => {
                    self.before.push(std::mem::replace(&mut self.slots[slot as usize], operation));
                    self.open[slot as usize] = true;
                }
                Moment::Return { slot, .. } => self.open[slot as usize] = false,
                Moment::Unknown => self.unknown_begun += 1,
            }
            self.at += 1;
        }
        while self.at > moment {
            self.at -= 1;
            match self.moments[self.at] {
                Moment::Invoke { slot, .. } => {
                    self.slots[slot as usize] = self.before.pop().expect("each has pushed one");
                    self.open[slot as usize] = false;
                }
                Moment::Return { slot, .. } => self.open[slot as usize] = true,
                Moment::Unknown => self.unknown_begun -= 1,
            }
        }
    }

    fn remember(&mut self, configuration: &Configuration) {
        let used = &configuration.used;
        let key = self.key(configuration);
        let words = key.2.len() + used.len();
        self.bytes += (size_of::<(usize, u32, Places)>() + size_of::<Places>() + 8 * words) as u64;
        let tried = self.tried.entry(key).or_default();
        tried.retain(|tried| !is_subset(used, tried));
        tried.push(used.clone());
    }

    /// All was tried from there.
    fn leads_nowhere(&mut self, configuration: &Configuration) {
        self.turns += 1;
        self.refuted_by = self.refuted_by.max(configuration.moment);
        self.remember(configuration);
    }

    /// Where there is no order: the first return that makes it so, and an order of all that had returned before. It is found by searching what is
    /// before one return or another; where that takes too long, an order of less has to do. The verdict stands, however that ends.
    fn explain(&self, has_noted: bool) -> Counterexample {
        let is_return = |(at, moment): (usize, &Moment)| matches!(moment, Moment::Return { .. }).then_some(at);
        let returns: Vec<usize> = self.moments.iter().enumerate().filter_map(is_return).collect();
        let count_to = |moment: usize| returns.partition_point(|at| *at <= moment);
        // There is an order of the first `good`, and none of the first `bad`. What a model has noted is of all of them.
        let (mut good, mut bad) = (0, if has_noted { returns.len() } else { count_to(self.refuted_by) });
        let (mut halves, mut is_proved, mut found) = (has_noted, true, None);
        let mut steps = EXPLAIN_STEPS + EXPLAIN_STEPS_PER_OPERATION * self.operations.len() as u64 + 4 * self.steps;
        while good + 1 < bad || found.is_none() {
            let tried = if halves { (good + bad) / 2 } else { bad - 1 };
            let Moment::Return { operation: stuck, .. } = self.moments[returns[tried]] else {
                unreachable!("it is one")
            };
            let end = self.event_of_return(stuck);
            let mut operations: Vec<Known<M::Operation>> =
                self.operations.iter().map(|known| self.again(known)).collect();
            let has_noted_here = self.model.prepare(prepared(self.history, &mut operations, end));
            let limits = Limits { steps: steps.max(EXPLAIN_STEPS / 8), ..self.limits };
            let mut search = Search::new(self.model, self.history, &operations, limits);
            search.moments.truncate(returns[tried]);
            let sought = search.seek();
            steps = steps.saturating_sub(search.steps);
            match sought {
                Found::Order => (good, found) = (tried, Some(search.stuck_at_the_end(stuck))),
                Found::None if has_noted_here => bad = tried,
                Found::None => bad = count_to(search.refuted_by),
                // As if there were none: then it comes to some order at the least.
                Found::GivenUp => (bad, halves, is_proved) = (tried, true, false),
            }
        }
        let found = found.expect("of nothing that has returned there is an order");
        Counterexample { is_proved, ..found }
    }

    /// An operation as the model understands it by itself.
    fn again(&self, known: &Known<M::Operation>) -> Known<M::Operation> {
        let understood = understand(self.model, self.history, &self.history.operations()[known.index]);
        Known { index: known.index, what: understood.ok().flatten().expect("it was understood before") }
    }

    /// Where there is an order, up to a return for which there is none: that order with all of the others that can come behind it, one after the
    /// other.
    fn stuck_at_the_end(&mut self, stuck: u32) -> Counterexample {
        let mut state = self.last_state.expect("it has come to the end");
        let mut is_left = vec![true; self.operations.len()];
        self.order.iter().for_each(|&operation| is_left[operation as usize] = false);
        // Those that had begun when it returned.
        let begun = self
            .operations
            .partition_point(|known| self.history.operations()[known.index].invoked < self.event_of_return(stuck));
        let mut left: Vec<u32> = (0..begun as u32).filter(|&one| is_left[one as usize] && one != stuck).collect();
        let (mut length, steps_max) = (usize::MAX, self.steps + EXPLAIN_STEPS);
        while left.len() < length && self.steps < steps_max {
            length = left.len();
            let mut impossible = Vec::new();
            for operation in left {
                match self.step(state, operation) {
                    Some(to) => {
                        state = to;
                        self.order.push(operation);
                    }
                    None => impossible.push(operation),
                }
            }
            left = impossible;
        }
        let index = |operation: u32| self.operations[operation as usize].index;
        Counterexample {
            key: self.history.key(&self.history.operations()[index(stuck)]).cloned(),
            order: self.order.iter().map(|&operation| index(operation)).collect(),
            stuck: index(stuck),
            is_proved: true,
            state: self.model.in_words(self.states.get_index(state as usize).expect("it was put there")),
            open: left.into_iter().map(index).collect(),
        }
    }

    fn event_of_return(&self, operation: u32) -> u32 {
        self.history.operations()[self.operations[operation as usize].index].returned()
    }

    /// Looks at the order that the system itself offers, if all that returned have a place in it. `None` if that says nothing.
    fn witness(&mut self) -> Option<Found> {
        let place = |known: &Known<M::Operation>| self.history.operations()[known.index].index;
        let is_offered = |known: &Known<M::Operation>| {
            place(known).is_some() || self.history.operations()[known.index].result().is_none()
        };
        if !self.operations.iter().any(|known| place(known).is_some()) || !self.operations.iter().all(is_offered) {
            return None;
        }
        let mut offered: Vec<(u64, u32)> =
            (0u32..).zip(self.operations).filter_map(|(number, known)| Some((place(known)?, number))).collect();
        offered.sort_unstable();
        if offered.windows(2).any(|pair| pair[0].0 == pair[1].0) {
            return None;
        }
        let (mut state, mut last_invoked) = (0, 0);
        for (_, number) in offered {
            let operation = &self.history.operations()[self.operations[number as usize].index];
            last_invoked = last_invoked.max(operation.invoked);
            // It had returned before one began that stands before it.
            if operation.returned() < last_invoked || self.steps >= self.limits.steps {
                return None;
            }
            state = self.step(state, number)?;
        }
        Some(Found::Order)
    }
}

/// What happens to an object, how many slots that takes, and which operations nobody knows the outcome of.
fn moments<O>(history: &History, operations: &[Known<O>]) -> (Vec<Moment>, usize, Vec<u32>) {
    let mut moments = Vec::with_capacity(2 * operations.len());
    let (mut unknown, mut free, mut slots) = (Vec::new(), Vec::new(), 0);
    // What is open, the first to return on top: operations come as they begin.
    let mut open = BinaryHeap::new();
    for (operation, known) in (0u32..).zip(operations) {
        let Operation { invoked, end, .. } = &history.operations()[known.index];
        while let Some(&Reverse((returned, operation, slot))) = open.peek()
            && returned < *invoked
        {
            open.pop();
            free.push(slot);
            moments.push(Moment::Return { operation, slot });
        }
        let End::Returned { event, .. } = end else {
            unknown.push(operation);
            moments.push(Moment::Unknown);
            continue;
        };
        let slot = free.pop().unwrap_or_else(|| {
            slots += 1;
            slots - 1
        });
        open.push(Reverse((*event, operation, slot)));
        moments.push(Moment::Invoke { operation, slot });
    }
    while let Some(Reverse((_, operation, slot))) = open.pop() {
        moments.push(Moment::Return { operation, slot });
    }
    (moments, slots as usize, unknown)
}
