//! The objects that come with Squall. An operation that certainly did not happen (`fail`) never gets here; one of which nobody knows the
//! outcome has no result.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use aho_corasick::AhoCorasick;
use indexmap::{IndexMap, IndexSet};
use smallvec::{SmallVec, smallvec};

use crate::history::History;
use crate::linearizability::{Judgement, Limits, Misunderstood, check};
use crate::model::{Call, Model, Readable, Step};
use crate::names::said_by_name;
use crate::value::Value;

type Fast = foldhash::fast::FixedState;

/// One of the models here, by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Named {
    /// [`Register`]
    Register,
    /// [`CasRegister`]
    CasRegister,
    /// [`Kv`]
    Kv,
    /// [`Set`]
    Set,
    /// [`Queue`]
    Queue,
    /// [`Lock`]
    Lock,
}

impl Named {
    /// All of them.
    pub const ALL: [Named; 6] = [Named::Register, Named::CasRegister, Named::Kv, Named::Set, Named::Queue, Named::Lock];

    /// Its name: `cas-register`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Named::Register => "register",
            Named::CasRegister => "cas-register",
            Named::Kv => "kv",
            Named::Set => "set",
            Named::Queue => "queue",
            Named::Lock => "lock",
        }
    }

    /// Judges a history by it: see [`check`].
    ///
    /// # Errors
    /// If an operation isn't one of the model's.
    pub fn check(self, history: &History, limits: Limits) -> Result<Judgement, Misunderstood> {
        match self {
            Named::Register => check(&Register, history, limits),
            Named::CasRegister => check(&CasRegister, history, limits),
            Named::Kv => check(&Kv, history, limits),
            Named::Set => check(&Set, history, limits),
            Named::Queue => check(&Queue, history, limits),
            Named::Lock => check(&Lock, history, limits),
        }
    }
}

said_by_name!(Named, "model");

/// A value that is read and written; null at first.
///
/// `write` takes the value, `read` gives it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Register;

/// An operation of [`Register`] and [`CasRegister`].
#[derive(Clone, Debug)]
pub enum RegisterOperation {
    /// It was that.
    Read(Value),
    /// It is that from now on.
    Write(Value),
    /// It was the one, and is the other from now on.
    Cas(Value, Value),
}

fn register_operation(call: &Call<'_>, names: &[&str]) -> Result<Option<RegisterOperation>, String> {
    if !names.contains(&call.f) {
        return Err(call.unknown(names));
    }
    match call.f {
        "read" => Ok(call.result.cloned().map(RegisterOperation::Read)),
        "write" => Ok(Some(RegisterOperation::Write(call.written()?.clone()))),
        _ => match call.written()? {
            Value::List(values) => match &**values {
                [old, new] => Ok(Some(RegisterOperation::Cas(old.clone(), new.clone()))),
                _ => Err(format!("cas takes [old, new], and this is {}", call.argument)),
            },
            other => Err(format!("cas takes [old, new], and this is {other}")),
        },
    }
}

/// The values that a register may still come to have.
#[derive(Clone, Debug, Default)]
pub struct Written(Vec<Value>);

fn register_foresee(Written(values): &mut Written, operation: &RegisterOperation) {
    if let RegisterOperation::Write(value) | RegisterOperation::Cas(_, value) = operation {
        values.push(value.clone());
    }
}

fn register_is_lost(
    state: &Value,
    Written(values): &Written,
    before: &[&RegisterOperation],
    operation: &RegisterOperation,
) -> bool {
    let (RegisterOperation::Read(value) | RegisterOperation::Cas(value, _)) = operation else { return false };
    let writes = |operation: &&RegisterOperation| matches!(operation, RegisterOperation::Write(_));
    !values.contains(value) && (state != value || before.iter().any(writes))
}

fn register_step(state: &Value, operation: &RegisterOperation) -> Step<Value> {
    match operation {
        RegisterOperation::Read(value) if value == state => Step::Same,
        RegisterOperation::Write(value) => Step::To(value.clone()),
        RegisterOperation::Cas(old, new) if old == state => Step::To(new.clone()),
        RegisterOperation::Read(_) | RegisterOperation::Cas(..) => Step::Impossible,
    }
}

/// The last operation that reads each value.
type RegisterReaders = HashMap<Value, u32, Fast>;

fn register_readers<'o>(operations: impl Iterator<Item = &'o RegisterOperation>) -> RegisterReaders {
    let mut readers = RegisterReaders::default();
    for (number, operation) in (0..).zip(operations) {
        if let RegisterOperation::Read(value) | RegisterOperation::Cas(value, _) = operation {
            readers.insert(value.clone(), number);
        }
    }
    readers
}

/// What both registers have in common: all but the names of their operations.
macro_rules! register_model {
    ($model:ty, $names:expr) => {
        impl Model for $model {
            type State = Value;
            type Operation = RegisterOperation;
            type Foresight = Written;
            type Readers = RegisterReaders;

            fn initial(&self) -> Value {
                Value::Null
            }

            fn operation(&self, call: &Call<'_>) -> Result<Option<RegisterOperation>, String> {
                register_operation(call, &$names)
            }

            fn bytes_beside(&self, state: &Value) -> usize {
                state.bytes_beside() as usize
            }

            fn step(&self, state: &Value, operation: &RegisterOperation) -> Step<Value> {
                register_step(state, operation)
            }

            fn only_reads(&self, operation: &RegisterOperation) -> bool {
                matches!(operation, RegisterOperation::Read(_))
            }

            fn foresee(&self, foresight: &mut Written, operation: &RegisterOperation) {
                register_foresee(foresight, operation);
            }

            fn is_lost(
                &self,
                state: &Value,
                foresight: &Written,
                before: &[&RegisterOperation],
                operation: &RegisterOperation,
            ) -> bool {
                register_is_lost(state, foresight, before, operation)
            }

            fn readers<'o>(
                &self,
                operations: impl Iterator<Item = &'o RegisterOperation> + Clone,
            ) -> Option<RegisterReaders> {
                Some(register_readers(operations))
            }

            fn last_reader(&self, readers: &RegisterReaders, what: Readable<'_, $model>) -> Option<u32> {
                match what {
                    Readable::State(value) | Readable::Effect(RegisterOperation::Write(value)) => {
                        readers.get(value).copied()
                    }
                    Readable::Effect(_) => Some(u32::MAX),
                }
            }

            fn reads(&self, reader: &RegisterOperation, what: Readable<'_, $model>) -> bool {
                match (reader, what) {
                    (RegisterOperation::Write(_), _) => false,
                    (
                        RegisterOperation::Read(read) | RegisterOperation::Cas(read, _),
                        Readable::State(value) | Readable::Effect(RegisterOperation::Write(value)),
                    ) => read == value,
                    (_, Readable::Effect(_)) => true,
                }
            }

            fn in_words(&self, state: &Value) -> String {
                state.to_string()
            }
        }
    };
}

register_model!(Register, ["read", "write"]);

/// A register that can also be changed if it is what one thinks; null at first.
///
/// `read`, `write`, and `cas` with `[old, new]`. A compare that didn't match is `fail`.
#[derive(Clone, Copy, Debug, Default)]
pub struct CasRegister;

register_model!(CasRegister, ["read", "write", "cas"]);

/// A value of text in a store, for each key one; `""` at first.
///
/// `put` takes the text, `append` what is put behind it, `get` gives it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Kv;

/// An operation of [`Kv`].
#[derive(Clone, Debug)]
pub enum KvOperation {
    /// It was that.
    Get(Got),
    /// It is that from now on.
    Put(Arc<str>),
    /// That stands behind it from now on.
    Append(Appended),
}

/// A text that is got.
#[derive(Clone, Debug)]
pub struct Got {
    text: Arc<str>,
    /// Where each text that is appended stands in it, in order. `None` where that isn't known.
    pieces: Option<Box<[Piece]>>,
}

/// Where a text that is appended stands in one that is got.
#[derive(Clone, Copy, Debug)]
struct Piece {
    start: u32,
    end: u32,
    number: u32,
}

/// A text that is appended.
#[derive(Clone, Debug)]
pub struct Appended {
    text: Arc<str>,
    /// By which texts that are got know it. `None` where they don't.
    number: Option<u32>,
}

/// What a value of text may still be made of.
#[derive(Clone, Debug, Default)]
pub struct Texts {
    put: Vec<Arc<str>>,
    /// By number.
    numbers: Vec<u32>,
    /// Those without one.
    appended: Vec<Arc<str>>,
}

impl Texts {
    /// Whether a text, from that byte on, can be made of what may be appended, each as often as one likes.
    fn can_append(&self, got: &Got, from: usize) -> bool {
        let text = got.text.as_bytes();
        let mut tried: SmallVec<[u64; 8]> = smallvec![0; text.len() / 64 + 1];
        let mut ends: SmallVec<[usize; 8]> = smallvec![from];
        while let Some(end) = ends.pop() {
            if end == text.len() {
                return true;
            }
            let (word, bit) = (end / 64, 1 << (end % 64));
            if tried[word] & bit != 0 {
                continue;
            }
            tried[word] |= bit;
            match &got.pieces {
                Some(pieces) => {
                    let first = pieces.partition_point(|piece| (piece.start as usize) < end);
                    let here = pieces[first..].iter().take_while(|piece| piece.start as usize == end);
                    let next = here.filter(|piece| self.numbers.contains(&piece.number));
                    ends.extend(next.map(|piece| piece.end as usize));
                }
                None => {
                    let next =
                        self.appended.iter().filter(|one| !one.is_empty() && text[end..].starts_with(one.as_bytes()));
                    ends.extend(next.map(|one| end + one.len()));
                }
            }
        }
        false
    }
}

/// Who gets which texts. A state is read by whoever gets it or what it may grow to, and a text that is appended by whoever gets a text with
/// it somewhere within.
#[derive(Debug)]
pub struct Gets {
    /// The texts that are got, in their order.
    texts: Vec<Arc<str>>,
    /// The last to get each of them, and above these the last of every two, of every four, and so on.
    last: Vec<Vec<u32>>,
    /// The last to get each text that is appended, if any does.
    within: HashMap<Arc<str>, Option<u32>, Fast>,
}

/// Of longer texts together, or of texts that are found more often, nobody notes who gets them: it would take longer than it may help.
const APPENDED_BYTES_MAX: usize = 4 << 20;
const FOUND_MAX: usize = 20_000_000;

/// The same for where they stand in what is got: that is looked for in each history.
const PREPARED_BYTES_MAX: usize = 256 << 10;
const PREPARED_FOUND_MAX: usize = 2_000_000;

impl Gets {
    fn new<'o>(operations: impl Iterator<Item = &'o KvOperation> + Clone) -> Option<Gets> {
        let mut gets: Vec<(Arc<str>, u32)> = Vec::new();
        let mut appended: Vec<Arc<str>> = Vec::new();
        for (number, operation) in (0..).zip(operations) {
            match operation {
                KvOperation::Get(got) => gets.push((got.text.clone(), number)),
                KvOperation::Append(one) => appended.push(one.text.clone()),
                KvOperation::Put(_) => {}
            }
        }
        appended.sort_unstable();
        appended.dedup();
        if appended.iter().map(|text| text.len()).sum::<usize>() > APPENDED_BYTES_MAX {
            return None;
        }
        let finder = AhoCorasick::new(appended.iter().map(|text| text.as_bytes())).ok()?;
        let mut last_within: Vec<Option<u32>> = vec![None; appended.len()];
        let mut found = 0;
        for (text, number) in &gets {
            for one in finder.find_overlapping_iter(text.as_bytes()) {
                last_within[one.pattern().as_usize()] = Some(*number);
                found += 1;
                if found > FOUND_MAX {
                    return None;
                }
            }
        }
        let within = appended.into_iter().zip(last_within).collect();
        gets.sort_unstable();
        let mut last: Vec<Vec<u32>> = vec![gets.iter().map(|(_, number)| *number).collect()];
        while let Some(below) = last.last().filter(|below| below.len() > 1) {
            let above = below.chunks(2).map(|pair| *pair.iter().max().expect("a chunk isn't empty")).collect();
            last.push(above);
        }
        Some(Gets { texts: gets.into_iter().map(|(text, _)| text).collect(), last, within })
    }

    /// The last to get a text that begins so.
    fn last_with_prefix(&self, prefix: &str) -> Option<u32> {
        let mut from = self.texts.partition_point(|text| **text < *prefix);
        let mut to = from + self.texts[from..].partition_point(|text| text.starts_with(prefix));
        let mut last = None;
        for numbers in &self.last {
            if from >= to {
                break;
            }
            if from % 2 == 1 {
                last = last.max(Some(numbers[from]));
                from += 1;
            }
            if to % 2 == 1 {
                to -= 1;
                last = last.max(Some(numbers[to]));
            }
            (from, to) = (from / 2, to / 2);
        }
        last
    }
}

impl Model for Kv {
    type State = Arc<str>;
    type Operation = KvOperation;
    type Foresight = Texts;
    type Readers = Gets;

    fn initial(&self) -> Arc<str> {
        "".into()
    }

    fn operation(&self, call: &Call<'_>) -> Result<Option<KvOperation>, String> {
        let text = |value: &Value| match value {
            Value::Text(text) => Ok(Arc::from(&**text)),
            other => Err(format!("{} is of text, and this is {other}", call.f)),
        };
        match call.f {
            "get" => {
                call.result.map(|result| Ok(KvOperation::Get(Got { text: text(result)?, pieces: None }))).transpose()
            }
            "put" => Ok(Some(KvOperation::Put(text(call.written()?)?))),
            "append" => Ok(Some(KvOperation::Append(Appended { text: text(call.written()?)?, number: None }))),
            _ => Err(call.unknown(&["get", "put", "append"])),
        }
    }

    /// Where what is appended stands in what is got: it is asked often.
    fn prepare<'o>(&self, operations: impl Iterator<Item = (&'o mut KvOperation, u32)>) -> bool {
        let mut gets: Vec<&mut Got> = Vec::new();
        let mut appends: Vec<&mut Appended> = Vec::new();
        for (operation, _) in operations {
            match operation {
                KvOperation::Get(got) => gets.push(got),
                KvOperation::Append(one) => appends.push(one),
                KvOperation::Put(_) => {}
            }
        }
        let mut texts: IndexSet<Arc<str>, Fast> = IndexSet::default();
        let numbers: Vec<usize> = appends.iter().map(|one| texts.insert_full(one.text.clone()).0).collect();
        let is_short = |got: &&mut Got| u32::try_from(got.text.len()).is_ok();
        if texts.iter().map(|text| text.len()).sum::<usize>() > PREPARED_BYTES_MAX || !gets.iter().all(is_short) {
            return false;
        }
        let Ok(finder) = AhoCorasick::new(texts.iter().map(|text| text.as_bytes())) else { return false };
        let mut found = 0;
        let mut pieces_of: Vec<Box<[Piece]>> = Vec::with_capacity(gets.len());
        for got in &gets {
            let mut pieces: Vec<Piece> = Vec::new();
            for one in finder.find_overlapping_iter(got.text.as_bytes()).filter(|one| !one.is_empty()) {
                let (start, end) = (one.start() as u32, one.end() as u32);
                pieces.push(Piece { start, end, number: one.pattern().as_u32() });
                found += 1;
                if found > PREPARED_FOUND_MAX {
                    return false;
                }
            }
            pieces.sort_unstable_by_key(|piece| (piece.start, piece.end));
            pieces_of.push(pieces.into());
        }
        gets.into_iter().zip(pieces_of).for_each(|(got, pieces)| got.pieces = Some(pieces));
        appends.into_iter().zip(numbers).for_each(|(one, number)| one.number = Some(number as u32));
        false
    }

    fn bytes_beside(&self, state: &Arc<str>) -> usize {
        2 * size_of::<usize>() + state.len()
    }

    fn step(&self, state: &Arc<str>, operation: &KvOperation) -> Step<Arc<str>> {
        match operation {
            KvOperation::Get(got) if got.text == *state => Step::Same,
            KvOperation::Get(_) => Step::Impossible,
            KvOperation::Put(text) => Step::To(text.clone()),
            KvOperation::Append(one) => {
                let mut longer = String::with_capacity(state.len() + one.text.len());
                longer.push_str(state);
                longer.push_str(&one.text);
                Step::To(longer.into())
            }
        }
    }

    fn only_reads(&self, operation: &KvOperation) -> bool {
        matches!(operation, KvOperation::Get(_))
    }

    fn foresee(&self, foresight: &mut Texts, operation: &KvOperation) {
        match operation {
            KvOperation::Get(_) => {}
            KvOperation::Put(text) => foresight.put.push(text.clone()),
            KvOperation::Append(Appended { number: Some(number), .. }) => foresight.numbers.push(*number),
            KvOperation::Append(one) => foresight.appended.push(one.text.clone()),
        }
    }

    fn is_lost(&self, state: &Arc<str>, foresight: &Texts, before: &[&KvOperation], operation: &KvOperation) -> bool {
        let KvOperation::Get(got) = operation else { return false };
        let text = &got.text;
        let may_grow = |from: &str| text.starts_with(from) && foresight.can_append(got, from.len());
        if foresight.put.iter().any(|from| may_grow(from)) {
            return false;
        }
        // It is made of the present state, and then all that comes before it stands in it.
        let is_in = |rest: &str| {
            before.iter().all(|operation| match operation {
                KvOperation::Get(_) => true,
                KvOperation::Put(_) => false,
                KvOperation::Append(one) => rest.contains(&*one.text),
            })
        };
        !text.strip_prefix(&**state).is_some_and(|rest| is_in(rest) && foresight.can_append(got, state.len()))
    }

    fn readers<'o>(&self, operations: impl Iterator<Item = &'o KvOperation> + Clone) -> Option<Gets> {
        Gets::new(operations)
    }

    fn last_reader(&self, gets: &Gets, what: Readable<'_, Kv>) -> Option<u32> {
        match what {
            Readable::State(text) | Readable::Effect(KvOperation::Put(text)) => gets.last_with_prefix(text),
            Readable::Effect(KvOperation::Append(one)) => gets.within.get(&one.text).copied().flatten(),
            Readable::Effect(KvOperation::Get(_)) => Some(u32::MAX),
        }
    }

    fn reads(&self, reader: &KvOperation, what: Readable<'_, Kv>) -> bool {
        let KvOperation::Get(Got { text: read, .. }) = reader else { return false };
        match what {
            Readable::State(text) | Readable::Effect(KvOperation::Put(text)) => read.starts_with(&**text),
            Readable::Effect(KvOperation::Append(one)) => read.contains(&*one.text),
            Readable::Effect(KvOperation::Get(_)) => true,
        }
    }

    fn in_words(&self, state: &Arc<str>) -> String {
        Value::from(&**state).to_string()
    }
}

/// A set of values; empty at first.
///
/// `add` and `remove` take a value, and may be asked of one that is there already, or isn't; `read` gives a list of all, in any order.
#[derive(Clone, Copy, Debug, Default)]
pub struct Set;

/// An operation of [`Set`].
#[derive(Clone, Debug)]
pub enum SetOperation {
    /// That is in it from now on.
    Add(Value),
    /// That isn't in it from now on.
    Remove(Value),
    /// These were in it, and no others.
    Read(BTreeSet<Value>),
    /// It was read with one of them twice, as no set is.
    ReadTwice,
}

/// What a set may still come to hold, and lose.
#[derive(Clone, Debug, Default)]
pub struct Changes {
    added: BTreeSet<Value>,
    removed: BTreeSet<Value>,
}

impl Model for Set {
    type State = BTreeSet<Value>;
    type Operation = SetOperation;
    type Foresight = Changes;
    type Readers = ();

    fn initial(&self) -> BTreeSet<Value> {
        BTreeSet::new()
    }

    fn operation(&self, call: &Call<'_>) -> Result<Option<SetOperation>, String> {
        match call.f {
            "add" => Ok(Some(SetOperation::Add(call.written()?.clone()))),
            "remove" => Ok(Some(SetOperation::Remove(call.written()?.clone()))),
            "read" => match call.result {
                None => Ok(None),
                Some(Value::List(values)) => {
                    let set: BTreeSet<Value> = values.iter().cloned().collect();
                    let is_set = set.len() == values.len();
                    Ok(Some(if is_set { SetOperation::Read(set) } else { SetOperation::ReadTwice }))
                }
                Some(other) => Err(format!("read gives a list, and this is {other}")),
            },
            _ => Err(call.unknown(&["add", "remove", "read"])),
        }
    }

    fn step(&self, state: &BTreeSet<Value>, operation: &SetOperation) -> Step<BTreeSet<Value>> {
        match operation {
            SetOperation::Read(values) if values == state => Step::Same,
            SetOperation::Read(_) | SetOperation::ReadTwice => Step::Impossible,
            SetOperation::Add(value) if state.contains(value) => Step::Same,
            SetOperation::Add(value) => {
                let mut more = state.clone();
                more.insert(value.clone());
                Step::To(more)
            }
            SetOperation::Remove(value) if !state.contains(value) => Step::Same,
            SetOperation::Remove(value) => {
                let mut fewer = state.clone();
                fewer.remove(value);
                Step::To(fewer)
            }
        }
    }

    fn bytes_beside(&self, state: &BTreeSet<Value>) -> usize {
        // Nodes of a tree are two thirds full, or more.
        state.len() * size_of::<Value>() * 3 / 2
    }

    fn only_reads(&self, operation: &SetOperation) -> bool {
        matches!(operation, SetOperation::Read(_))
    }

    fn foresee(&self, foresight: &mut Changes, operation: &SetOperation) {
        match operation {
            SetOperation::Read(_) | SetOperation::ReadTwice => {}
            SetOperation::Add(value) => drop(foresight.added.insert(value.clone())),
            SetOperation::Remove(value) => drop(foresight.removed.insert(value.clone())),
        }
    }

    fn is_lost(
        &self,
        state: &BTreeSet<Value>,
        foresight: &Changes,
        _before: &[&SetOperation],
        operation: &SetOperation,
    ) -> bool {
        let SetOperation::Read(values) = operation else { return false };
        let never_comes = |value: &Value| !foresight.added.contains(value);
        let never_goes = |value: &Value| !foresight.removed.contains(value);
        values.difference(state).any(never_comes) || state.difference(values).any(never_goes)
    }

    fn in_words(&self, state: &BTreeSet<Value>) -> String {
        Value::List(state.iter().cloned().collect()).to_string()
    }
}

/// A queue, first in, first out; empty at first.
///
/// `enqueue` takes a value; `dequeue` gives the first, or null if there is none.
#[derive(Clone, Copy, Debug, Default)]
pub struct Queue;

/// An operation of [`Queue`].
#[derive(Clone, Debug)]
pub enum QueueOperation {
    /// That is its last from now on.
    Enqueue(Queued),
    /// That was its first, and isn't any more.
    Dequeue(Value),
    /// It was empty.
    DequeueNothing,
    /// Whatever was its first isn't any more, if there was one.
    DequeueSomething,
    /// One of a history in which operations contradict each other, whatever their order.
    Contradicted,
}

/// A value in a queue.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Queued {
    value: Value,
    /// When it leaves, if that is known.
    leaves: Option<Leaves>,
}

/// When a value leaves, of those that are enqueued once and leave by an operation that is known, or stay.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Leaves {
    /// The number of the operation that dequeues it; `u32::MAX` if it stays.
    dequeue: u32,
    /// The first operation that begins after that has returned; `None` if it stays.
    before: Option<u32>,
    /// How many others have left for sure when it leaves. All of them have come before it.
    others: u32,
}

impl Queued {
    /// Whether it can't be in front of another value: that is dequeued before this can be.
    fn blocks(&self, behind: &Queued) -> bool {
        let (Some(front), Some(behind)) = (self.leaves, behind.leaves) else { return false };
        behind.before.is_some_and(|before| before <= front.dequeue)
    }

    fn is_known_to_leave(&self) -> bool {
        self.leaves.is_some_and(|leaves| leaves.before.is_some())
    }
}

/// What is in a queue.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct InQueue {
    values: Vec<Queued>,
    /// How many have come so far of those that are known to leave.
    came: u32,
}

/// What a queue may still come to hold.
#[derive(Clone, Debug, Default)]
pub struct Enqueued(BTreeSet<Value>);

impl Model for Queue {
    type State = InQueue;
    type Operation = QueueOperation;
    type Foresight = Enqueued;
    type Readers = ();

    fn initial(&self) -> InQueue {
        InQueue::default()
    }

    fn operation(&self, call: &Call<'_>) -> Result<Option<QueueOperation>, String> {
        match call.f {
            "enqueue" => match call.written()? {
                Value::Null => Err("null can't be enqueued: it is what an empty queue gives".to_string()),
                value => Ok(Some(QueueOperation::Enqueue(Queued { value: value.clone(), leaves: None }))),
            },
            "dequeue" => Ok(Some(match call.result {
                None => QueueOperation::DequeueSomething,
                Some(Value::Null) => QueueOperation::DequeueNothing,
                Some(value) => QueueOperation::Dequeue(value.clone()),
            })),
            _ => Err(call.unknown(&["enqueue", "dequeue"])),
        }
    }

    /// When the values leave that are enqueued once: their order tells in which order they can have been enqueued.
    ///
    /// What contradicts itself in any order is seen at once: a value that is dequeued more often than it is enqueued, and one that is enqueued before
    /// another and leaves after it, or never (violations of these kinds, and dequeues that found nothing wrongly, are all that there are where each
    /// value is enqueued once: Henzinger, Sezgin and Vafeiadis, "Aspect-oriented linearizability proofs", CONCUR 2013).
    fn prepare<'o>(&self, operations: impl Iterator<Item = (&'o mut QueueOperation, u32)>) -> bool {
        let mut operations: Vec<(&mut QueueOperation, u32)> = operations.collect();
        // Of each value: how often it comes, and by what at last; how often it leaves, and by what at last.
        let mut values: IndexMap<Value, [(u32, usize); 2], Fast> = IndexMap::default();
        let mut may_leave: Vec<Value> = Vec::new();
        let mut something_leaves = false;
        for (number, (operation, before)) in operations.iter().enumerate() {
            let (value, way) = match &**operation {
                QueueOperation::Enqueue(queued) => (&queued.value, 0),
                QueueOperation::Dequeue(value) if *before == u32::MAX => {
                    may_leave.push(value.clone());
                    continue;
                }
                QueueOperation::Dequeue(value) => (value, 1),
                QueueOperation::DequeueSomething => {
                    something_leaves = true;
                    continue;
                }
                QueueOperation::DequeueNothing | QueueOperation::Contradicted => continue,
            };
            let (count, last) = &mut values.entry(value.clone()).or_default()[way];
            (*count, *last) = (*count + 1, number);
        }
        let before = |number: usize| operations[number].1;
        let mut contradicts = values.values().any(|[(comes, _), (leaves, _)]| leaves > comes);
        for value in may_leave {
            values.swap_remove(&value);
        }
        // By the operation that enqueues it, when each leaves, as far as that is known.
        let mut leaving: Vec<(usize, Leaves)> = Vec::new();
        for [(comes, enqueue), (leaves, dequeue)] in values.values() {
            let leaves = match (comes, leaves) {
                (1, 1) => Leaves { dequeue: *dequeue as u32, before: Some(before(*dequeue)), others: 0 },
                (1, 0) if !something_leaves => Leaves { dequeue: u32::MAX, before: None, others: 0 },
                _ => continue,
            };
            leaving.push((*enqueue, leaves));
        }
        let mut befores: Vec<u32> = leaving.iter().filter_map(|(_, leaves)| leaves.before).collect();
        befores.sort_unstable();
        // From each enqueue on, the first to have left of what comes from there on.
        leaving.sort_unstable_by_key(|(enqueue, _)| *enqueue);
        let mut first_gone = vec![u32::MAX; leaving.len() + 1];
        for (place, (_, leaves)) in leaving.iter().enumerate().rev() {
            first_gone[place] = first_gone[place + 1].min(leaves.before.unwrap_or(u32::MAX));
        }
        for place in 0..leaving.len() {
            let (enqueue, Leaves { dequeue, .. }) = leaving[place];
            leaving[place].1.others = befores.partition_point(|before| *before <= dequeue) as u32;
            let behind = leaving.partition_point(|(other, _)| (*other as u64) < u64::from(before(enqueue)));
            contradicts |= first_gone[behind] != u32::MAX && first_gone[behind] <= dequeue;
        }
        for (enqueue, leaves) in leaving {
            if let QueueOperation::Enqueue(queued) = &mut *operations[enqueue].0 {
                queued.leaves = Some(leaves);
            }
        }
        if contradicts {
            operations.iter_mut().for_each(|(operation, _)| **operation = QueueOperation::Contradicted);
        }
        true
    }

    fn bytes_beside(&self, state: &InQueue) -> usize {
        state.values.len() * size_of::<Queued>()
    }

    fn step(&self, state: &InQueue, operation: &QueueOperation) -> Step<InQueue> {
        let InQueue { values, came } = state;
        let without_first = || Step::To(InQueue { values: values[1..].to_vec(), came: *came });
        match operation {
            QueueOperation::Enqueue(queued) => {
                let is_too_early = queued.leaves.is_some_and(|leaves| *came < leaves.others);
                if is_too_early || values.iter().any(|before| before.blocks(queued)) {
                    return Step::Impossible;
                }
                let mut more = Vec::with_capacity(values.len() + 1);
                more.extend_from_slice(values);
                more.push(queued.clone());
                Step::To(InQueue { values: more, came: came + u32::from(queued.is_known_to_leave()) })
            }
            QueueOperation::Dequeue(value) if values.first().is_some_and(|first| first.value == *value) => {
                without_first()
            }
            QueueOperation::Dequeue(_) => Step::Impossible,
            QueueOperation::DequeueNothing if values.is_empty() => Step::Same,
            QueueOperation::DequeueNothing => Step::Impossible,
            QueueOperation::DequeueSomething if values.is_empty() => Step::Same,
            QueueOperation::DequeueSomething => without_first(),
            QueueOperation::Contradicted => Step::Impossible,
        }
    }

    fn only_reads(&self, operation: &QueueOperation) -> bool {
        matches!(operation, QueueOperation::DequeueNothing)
    }

    fn foresee(&self, Enqueued(values): &mut Enqueued, operation: &QueueOperation) {
        if let QueueOperation::Enqueue(queued) = operation {
            values.insert(queued.value.clone());
        }
    }

    fn is_lost(
        &self,
        state: &InQueue,
        Enqueued(values): &Enqueued,
        _before: &[&QueueOperation],
        operation: &QueueOperation,
    ) -> bool {
        let QueueOperation::Dequeue(value) = operation else { return false };
        !values.contains(value) && state.values.iter().all(|queued| queued.value != *value)
    }

    fn in_words(&self, state: &InQueue) -> String {
        Value::List(state.values.iter().map(|queued| queued.value.clone()).collect()).to_string()
    }
}

/// A lock that one process holds at a time; free at first.
///
/// `acquire` takes it, `release` gives it back. Neither has a value.
#[derive(Clone, Copy, Debug, Default)]
pub struct Lock;

/// An operation of [`Lock`], with the process that asks.
#[derive(Clone, Copy, Debug)]
pub enum LockOperation {
    /// It was free, and is that process's from now on.
    Acquire(u64),
    /// It was that process's, and is free from now on.
    Release(u64),
}

impl Model for Lock {
    /// Who holds it.
    type State = Option<u64>;
    type Operation = LockOperation;
    type Foresight = ();
    type Readers = ();

    fn initial(&self) -> Option<u64> {
        None
    }

    fn operation(&self, call: &Call<'_>) -> Result<Option<LockOperation>, String> {
        match call.f {
            "acquire" => Ok(Some(LockOperation::Acquire(call.process))),
            "release" => Ok(Some(LockOperation::Release(call.process))),
            _ => Err(call.unknown(&["acquire", "release"])),
        }
    }

    fn step(&self, state: &Option<u64>, operation: &LockOperation) -> Step<Option<u64>> {
        match *operation {
            LockOperation::Acquire(process) if state.is_none() => Step::To(Some(process)),
            LockOperation::Release(process) if *state == Some(process) => Step::To(None),
            LockOperation::Acquire(_) | LockOperation::Release(_) => Step::Impossible,
        }
    }

    fn in_words(&self, state: &Option<u64>) -> String {
        match state {
            None => "free".to_string(),
            Some(process) => format!("held by process {process}"),
        }
    }
}
