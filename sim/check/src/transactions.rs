//! Transactions over lists: is there an order of them that fits what they read, as Elle asks?
//!
//! A transaction appends elements to lists and reads whole lists. As each element is appended once, what is read tells in which order a
//! list came to be, and so which transaction came before which (Kingsbury and Alvaro, "Elle: inferring isolation anomalies from experimental
//! observations", VLDB 14 (2020)):
//!
//! | edge | from | to |
//! |---|---|---|
//! | `ww` | who appended an element | who appended the next one to that list |
//! | `wr` | who appended an element | who read a list that ends with it |
//! | `rw` | who read a list | who appended the element that comes next in it |
//! | `realtime` | who had returned | who began then |
//!
//! What was appended for sure and is in no list that was read comes after all that is: to every reader of the longest list there is an `rw`
//! edge, too. A transaction of unknown outcome took effect if something of it was read; nothing forces the others to be there.
//!
//! A cycle is an anomaly, named by its edges after Adya ("Weak consistency", MIT (1999)): [`Class`]. Which ones there may be is what
//! distinguishes levels of isolation: [`Level`]. Whether there is a forbidden one is decided by strongly connected components, in linear
//! time; the shortest of each class is looked for then, within a budget that no verdict depends on.

use std::collections::{HashMap, HashSet, VecDeque};

use foldhash::fast::FixedState;
use indexmap::IndexSet;

use crate::graph::{self, Edges, NONE};
use crate::history::{End, History, Operation};
use crate::linearizability::Misunderstood;
use crate::names::said_by_name;
use crate::value::Value;

/// The name of a transaction.
const TRANSACTION: &str = "txn";

/// How many edges [`check`] looks at for the shortest cycle of a class.
pub const LOOKS_MAX: u64 = 10_000_000;

/// How many anomalies of a class that needs no cycle are told.
const TOLD_MAX: usize = 3;

/// How many are told of what a transaction does.
const LISTED_MAX: usize = 12;

/// So many transactions that appended what nobody read get an edge from each reader; more are led to by nodes between.
const DIRECT_MAX: usize = 4;

/// What a history must not hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// G0, and what no order explains at all.
    ReadUncommitted,
    /// Also G1a, G1b and G1c.
    ReadCommitted,
    /// Also G-single, G-nonadjacent, and transactions that contradict themselves.
    SnapshotIsolation,
    /// Also G2: there is an order.
    Serializable,
    /// The same with realtime: in that order none comes before another that had returned when it began.
    StrictSerializable,
}

impl Level {
    /// All of them, the weakest first.
    pub const ALL: [Level; 5] = [
        Level::ReadUncommitted,
        Level::ReadCommitted,
        Level::SnapshotIsolation,
        Level::Serializable,
        Level::StrictSerializable,
    ];

    /// Its name: `snapshot-isolation`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Level::ReadUncommitted => "read-uncommitted",
            Level::ReadCommitted => "read-committed",
            Level::SnapshotIsolation => "snapshot-isolation",
            Level::Serializable => "serializable",
            Level::StrictSerializable => "strict-serializable",
        }
    }

    /// The classes of cycles that it forbids, the worst first.
    fn cycles(self) -> &'static [Class] {
        const ALL: [Class; 5] = [Class::G0, Class::G1c, Class::GSingle, Class::GNonadjacent, Class::G2];
        match self {
            Level::ReadUncommitted => &ALL[..1],
            Level::ReadCommitted => &ALL[..2],
            Level::SnapshotIsolation => &ALL[..4],
            Level::Serializable | Level::StrictSerializable => &ALL,
        }
    }

    fn forbids(self, class: Class) -> bool {
        match class {
            Class::Duplicate | Class::Garbage | Class::IncompatibleOrder => true,
            Class::G1a | Class::G1b => self >= Level::ReadCommitted,
            Class::Internal => self >= Level::SnapshotIsolation,
            cycle => self.cycles().contains(&cycle),
        }
    }
}

said_by_name!(Level, "level");

/// A kind of anomaly.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Class {
    /// A list holds an element twice.
    Duplicate,
    /// A list holds an element that nobody appended.
    Garbage,
    /// Of two lists that were read of one key neither is the beginning of the other.
    IncompatibleOrder,
    /// A transaction doesn't see what it has seen or done itself.
    Internal,
    /// A transaction reads what one appended that did not happen.
    G1a,
    /// A transaction reads what another one appended before it appended more to the same list.
    G1b,
    /// A cycle of `ww`.
    G0,
    /// One of `ww` and `wr`.
    G1c,
    /// One with a single `rw`.
    GSingle,
    /// One with several `rw`, none of which follows another at once.
    GNonadjacent,
    /// Any other one with several `rw`.
    G2,
}

impl Class {
    /// Its name: `G-single`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Class::Duplicate => "duplicate-elements",
            Class::Garbage => "garbage-read",
            Class::IncompatibleOrder => "incompatible-order",
            Class::Internal => "internal",
            Class::G1a => "G1a",
            Class::G1b => "G1b",
            Class::G0 => "G0",
            Class::G1c => "G1c",
            Class::GSingle => "G-single",
            Class::GNonadjacent => "G-nonadjacent",
            Class::G2 => "G2",
        }
    }

    /// The kind of the edge that such a cycle has once at the least, and those of the others.
    fn edges(self) -> (Kind, u8) {
        match self {
            Class::G0 => (Kind::Ww, Kind::Ww.bit()),
            Class::G1c => (Kind::Wr, Kind::Ww.bit() | Kind::Wr.bit()),
            Class::GSingle => (Kind::Rw, Kind::Ww.bit() | Kind::Wr.bit()),
            _ => (Kind::Rw, Kind::Ww.bit() | Kind::Wr.bit() | Kind::Rw.bit()),
        }
    }
}

/// One anomaly.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Anomaly {
    /// What it is.
    pub class: Class,
    /// Whether its cycle has an edge that only time gives.
    pub is_realtime: bool,
    /// The transactions, of a cycle in its order. Indices into [`History::operations`].
    pub transactions: Vec<usize>,
    /// What shows it, a line for each edge.
    pub evidence: Vec<String>,
}

impl Anomaly {
    /// Its name: `G-single`, `G-single-realtime`.
    #[must_use]
    pub fn name(&self) -> String {
        let realtime = if self.is_realtime { "-realtime" } else { "" };
        format!("{}{realtime}", self.class.name())
    }
}

/// What came of a history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It holds nothing that the level forbids.
    Holds,
    /// It does: one of each class at the least, the worst first.
    Broken(Vec<Anomaly>),
    /// Nobody knows: why.
    Unknown(String),
}

/// Judges a history of transactions: `txn` with a list of `["append", key, element]` and `["r", key, null]`, of which `ok` repeats the
/// appends and gives the list for each read (or null: an empty one).
///
/// # Errors
/// If an operation isn't such a transaction, or an element is appended twice.
pub fn check(history: &History, level: Level) -> Result<Verdict, Misunderstood> {
    check_within(history, level, LOOKS_MAX)
}

/// As [`check`], with another budget for the shortest cycle of each class: where so many edges were looked at, the shortest so far is told. It
/// changes nothing of whether there is one.
///
/// # Errors
/// As [`check`].
pub fn check_within(history: &History, level: Level, looks_max: u64) -> Result<Verdict, Misunderstood> {
    for operation in history.failed() {
        parts(history, operation, |_, _| Ok(()))?;
    }
    let transactions = Transactions::new(history, level)?;
    if !history.says_something() {
        let said = "the history doesn't say of any transaction what it came to: there is nothing to judge".to_string();
        return Ok(Verdict::Unknown(said));
    }
    let mut anomalies = transactions.seen();
    anomalies.retain(|anomaly| level.forbids(anomaly.class));
    let graph = transactions.graph(level == Level::StrictSerializable);
    anomalies.extend(Cycles { transactions: &transactions, graph: &graph, level, looks_max }.find());
    Ok(if anomalies.is_empty() { Verdict::Holds } else { Verdict::Broken(anomalies) })
}

/// The anomalies, over several lines.
#[must_use]
pub fn in_words(history: &History, anomalies: &[Anomaly]) -> String {
    let mut text = String::new();
    for anomaly in anomalies {
        text.push_str(&format!("{}:\n", anomaly.name()));
        for line in &anomaly.evidence {
            text.push_str(&format!("  {line}\n"));
        }
        for (number, &index) in anomaly.transactions.iter().enumerate().take(LISTED_MAX) {
            text.push_str(&format!("  T{}: {}\n", number + 1, history.sentence(&history.operations()[index])));
        }
        if let more @ 1.. = anomaly.transactions.len().saturating_sub(LISTED_MAX) {
            text.push_str(&format!("  … and {more} more\n"));
        }
    }
    text
}

/// One thing that a transaction does.
#[derive(Clone, Copy, Debug)]
enum What<'h> {
    Append(&'h Value),
    /// What was read, if that is known.
    Read(Option<&'h [Value]>),
}

#[derive(Clone, Copy, Debug)]
struct Micro<'h> {
    key: u32,
    what: What<'h>,
}

/// An append: whose, and its place among all that transactions do.
#[derive(Clone, Copy, Debug)]
struct Append {
    transaction: u32,
    micro: u32,
}

type Graph = graph::Graph<Kind>;

type Map<K, V> = HashMap<K, V, FixedState>;

/// Elements, each with its key.
type Elements<'h> = HashSet<(&'h Value, &'h Value), FixedState>;

struct Transactions<'h> {
    history: &'h History,
    /// What they do, one transaction after the other.
    micros: Vec<Micro<'h>>,
    /// Where each begins, and the end.
    begins: Vec<u32>,
    keys: IndexSet<&'h Value, FixedState>,
    appends: Map<(u32, &'h Value), Append>,
    /// The longest list that was read of each key.
    longest: Vec<&'h [Value]>,
    /// Who appended each element of those, one key after the other.
    writers: Vec<u32>,
    /// Where each key's begin, and the end.
    versions: Vec<u32>,
    /// Whether it took effect for sure: it returned, or it was read, at the levels where what is read has taken effect.
    happened: Vec<bool>,
    /// Whether an append was read, by its place among all.
    is_observed: Vec<bool>,
}

/// What an operation does, in its parts.
fn parts<'h>(
    history: &'h History,
    operation: &'h Operation,
    mut take: impl FnMut(&'h Value, What<'h>) -> Result<(), String>,
) -> Result<(), Misunderstood> {
    let wrong = |event, problem: String| Misunderstood { event, problem };
    let name = history.name(operation);
    if name != TRANSACTION || history.key(operation).is_some() {
        let said = format!("{name:?} is no transaction: expected \"{TRANSACTION}\", without a key");
        return Err(wrong(operation.invoked, said));
    }
    let expected = "expected a list of [\"append\", key, element] and [\"r\", key, null]";
    let (asked, result) = (&operation.argument, operation.result());
    let list = asked.as_list().ok_or_else(|| wrong(operation.invoked, format!("it is {asked}: {expected}")))?;
    let event = operation.result().map_or(operation.invoked, |_| operation.returned());
    let came = match result {
        Some(value) => match value.as_list().filter(|came| came.len() == list.len()) {
            Some(came) => Some(came),
            None => {
                return Err(wrong(event, format!("it came to {value}: expected what was asked, with what was read")));
            }
        },
        None => None,
    };
    for (place, part) in list.iter().enumerate() {
        let Some([Value::Text(what), key, value]) = part.as_list() else {
            return Err(wrong(operation.invoked, format!("{part} in it: {expected}")));
        };
        let what = match (&**what, value) {
            ("append", element) => What::Append(element),
            ("r", Value::Null) => What::Read(None),
            _ => return Err(wrong(operation.invoked, format!("{part} in it: {expected}"))),
        };
        let what = match came.map(|came| &came[place]) {
            None => what,
            Some(came) => {
                let unlike = || wrong(event, format!("{part} came to {came}"));
                match (came.as_list(), what) {
                    (Some([_, _, _]), What::Append(_)) if came == part => what,
                    (Some([Value::Text(again), of, read]), What::Read(_)) if &**again == "r" && of == key => match read
                    {
                        Value::Null => What::Read(Some(&[])),
                        Value::List(read) => What::Read(Some(read)),
                        _ => return Err(unlike()),
                    },
                    _ => return Err(unlike()),
                }
            }
        };
        take(key, what).map_err(|problem| wrong(operation.invoked, problem))?;
    }
    Ok(())
}

impl<'h> Transactions<'h> {
    fn new(history: &'h History, level: Level) -> Result<Transactions<'h>, Misunderstood> {
        let operations = history.operations();
        let mut micros = Vec::with_capacity(operations.len() * 3);
        let mut begins = Vec::with_capacity(operations.len() + 1);
        let mut keys: IndexSet<&'h Value, FixedState> = IndexSet::default();
        let mut appends: Map<(u32, &'h Value), Append> = Map::default();
        let mut longest: Vec<&'h [Value]> = Vec::new();
        for (transaction, operation) in (0..).zip(operations) {
            begins.push(micros.len() as u32);
            parts(history, operation, |name, what| {
                let key = keys.get_index_of(name).unwrap_or_else(|| keys.insert_full(name).0);
                longest.resize(keys.len(), &[]);
                match what {
                    What::Append(element) => {
                        let append = Append { transaction, micro: micros.len() as u32 };
                        if appends.insert((key as u32, element), append).is_some() {
                            return Err(format!(
                                "{element} is appended to {name} again: each element is appended once"
                            ));
                        }
                    }
                    What::Read(Some(list)) if list.len() > longest[key].len() => longest[key] = list,
                    What::Read(_) => {}
                }
                micros.push(Micro { key: key as u32, what });
                Ok(())
            })?;
        }
        begins.push(micros.len() as u32);
        let mut happened: Vec<bool> = operations.iter().map(|operation| operation.end != End::Unknown).collect();
        let mut is_observed = vec![false; micros.len()];
        let (mut writers, mut versions) = (Vec::new(), vec![0]);
        for (key, list) in (0..).zip(&longest) {
            for element in *list {
                let append = appends.get(&(key, element));
                if let Some(append) = append {
                    // Below read-committed it may have been read of one that was taken back.
                    happened[append.transaction as usize] |= level > Level::ReadUncommitted;
                    is_observed[append.micro as usize] = true;
                }
                writers.push(append.map_or(NONE, |append| append.transaction));
            }
            versions.push(writers.len() as u32);
        }
        Ok(Transactions { history, micros, begins, keys, appends, longest, writers, versions, happened, is_observed })
    }

    fn count(&self) -> usize {
        self.happened.len()
    }

    fn of(&self, transaction: usize) -> &[Micro<'h>] {
        &self.micros[self.begins[transaction] as usize..self.begins[transaction + 1] as usize]
    }

    /// Who appended the elements of the longest list of a key.
    fn writers(&self, key: u32) -> &[u32] {
        &self.writers[self.versions[key as usize] as usize..self.versions[key as usize + 1] as usize]
    }

    /// Whether a writer stands in the order of writes: not one that failed or that nobody knows.
    fn has_happened(&self, writer: u32) -> bool {
        writer != NONE && self.happened[writer as usize]
    }

    fn writer(&self, key: u32, element: &Value) -> u32 {
        self.appends.get(&(key, element)).map_or(NONE, |append| append.transaction)
    }

    /// Of a list that a transaction read, what others had appended.
    fn of_others<'l>(&self, transaction: usize, key: u32, mut list: &'l [Value]) -> &'l [Value] {
        while let [before @ .., last] = list
            && self.writer(key, last) == transaction as u32
        {
            list = before;
        }
        list
    }

    /// What is wrong with what was read, by itself.
    fn seen(&self) -> Vec<Anomaly> {
        let mut found = Found::default();
        // Elements by themselves: those of the longest lists, and those of lists that aren't the beginning of one.
        let mut failed: Option<Elements<'h>> = None;
        let mut check_elements = |found: &mut Found, key: u32, list: &'h [Value], reader: usize| {
            let mut known: IndexSet<&Value, FixedState> = IndexSet::default();
            let name = self.keys[key as usize];
            for element in list {
                if !known.insert(element) {
                    found.add(Class::Duplicate, &[reader], || format!("{element} is in the list of {name} twice"));
                }
                if self.writer(key, element) == NONE {
                    let failed = failed.get_or_insert_with(|| self.failed_appends());
                    if failed.contains(&(name, element)) {
                        found.add(Class::G1a, &[reader], || {
                            format!("{element} was read of {name}, and its append failed: it did not happen")
                        });
                    } else {
                        found.add(Class::Garbage, &[reader], || {
                            format!("{element} was read of {name}, and nobody appended it")
                        });
                    }
                }
            }
        };
        let mut are_longest_checked = vec![false; self.keys.len()];
        for transaction in 0..self.count() {
            let micros = self.of(transaction);
            for (place, micro) in micros.iter().enumerate() {
                let What::Read(Some(list)) = micro.what else { continue };
                let (key, name) = (micro.key, self.keys[micro.key as usize]);
                let longest = self.longest[key as usize];
                if list.len() == longest.len() && !std::mem::replace(&mut are_longest_checked[key as usize], true) {
                    check_elements(&mut found, key, longest, transaction);
                }
                if longest[..list.len()] != *list {
                    found.add(Class::IncompatibleOrder, &[transaction], || {
                        format!("{} was read of {name}, and {} as well", short(list), short(longest))
                    });
                    check_elements(&mut found, key, list, transaction);
                }
                // What it saw before of this list, and what it has appended since.
                let before = &micros[..place];
                let last_read =
                    before.iter().rposition(|other| other.key == key && matches!(other.what, What::Read(_)));
                let own = before[last_read.map_or(0, |read| read + 1)..].iter().filter_map(|other| match other.what {
                    What::Append(element) if other.key == key => Some(element),
                    _ => None,
                });
                let (mut rest, mut is_own) = (list, true);
                for element in own.rev() {
                    is_own &= rest.split_last().is_some_and(|(last, before)| {
                        rest = before;
                        last == element
                    });
                }
                let seen = last_read.and_then(|read| match before[read].what {
                    What::Read(list) => list,
                    What::Append(_) => None,
                });
                if !is_own || seen.is_some_and(|seen| seen != rest) {
                    found.add(Class::Internal, &[transaction], || {
                        format!("{} was read of {name} by one that had seen or appended otherwise itself", short(list))
                    });
                }
                if let Some(last) = self.of_others(transaction, key, list).last()
                    && let Some(append) = self.appends.get(&(key, last))
                {
                    let writer = append.transaction as usize;
                    let after = &self.micros[append.micro as usize + 1..self.begins[writer + 1] as usize];
                    let is_more = |micro: &&Micro<'_>| micro.key == key && matches!(micro.what, What::Append(_));
                    if let Some(Micro { what: What::Append(more), .. }) = after.iter().find(is_more) {
                        found.add(Class::G1b, &[transaction, writer], || {
                            format!("T1 read {} of {name}, where T2 appended {last} and then {more}", short(list))
                        });
                    }
                }
            }
        }
        found.anomalies
    }

    /// All that was to be appended by what did not happen.
    fn failed_appends(&self) -> Elements<'h> {
        let mut failed = Elements::default();
        for operation in self.history.failed() {
            parts(self.history, operation, |key, what| {
                if let What::Append(element) = what {
                    failed.insert((key, element));
                }
                Ok(())
            })
            .expect("they were understood at first");
        }
        failed
    }

    fn graph(&self, with_realtime: bool) -> Graph {
        let mut edges = Edges::new(self.count() as u32);
        // Who appended what nobody read, by key, each once.
        let mut unread: Vec<Vec<u32>> = vec![Vec::new(); self.keys.len()];
        for transaction in (0..self.count()).filter(|transaction| self.happened[*transaction]) {
            let first = self.begins[transaction] as usize;
            for (place, micro) in self.of(transaction).iter().enumerate() {
                let unread = &mut unread[micro.key as usize];
                let is_unread = matches!(micro.what, What::Append(_)) && !self.is_observed[first + place];
                if is_unread && unread.last() != Some(&(transaction as u32)) {
                    unread.push(transaction as u32);
                }
            }
        }
        let mut later = Vec::with_capacity(unread.len());
        for (key, unread) in (0..).zip(unread) {
            let mut last = None;
            for &writer in self.writers(key).iter().filter(|writer| self.has_happened(**writer)) {
                if let Some(before) = last.replace(writer) {
                    edges.add(before, writer, Kind::Ww);
                }
            }
            if let Some(last) = last {
                for &after in &unread {
                    edges.add(last, after, Kind::Ww);
                }
            }
            later.push(Later::new(unread, &mut edges));
        }
        for transaction in (0..self.count()).filter(|transaction| self.happened[*transaction]) {
            for micro in self.of(transaction) {
                let What::Read(Some(list)) = micro.what else { continue };
                let (of_others, writers) = (self.of_others(transaction, micro.key, list), self.writers(micro.key));
                let reader = transaction as u32;
                if let Some(last) = of_others.last() {
                    edges.add(self.writer(micro.key, last), reader, Kind::Wr);
                }
                match writers.get(of_others.len()) {
                    Some(&next) => edges.add(reader, next, Kind::Rw),
                    None => later[micro.key as usize].add(reader, &mut edges),
                }
            }
        }
        if with_realtime {
            self.add_realtime(&mut edges);
        }
        edges.finish()
    }

    /// Through a node for each moment at which something begins after something else has returned.
    fn add_realtime(&self, edges: &mut Edges<Kind>) {
        let events = self.history.events() as usize + 1;
        // Twice the transaction's number, and one more where it returns.
        let mut order = vec![NONE; events];
        for (transaction, operation) in (0..).zip(self.history.operations()) {
            if self.happened[transaction as usize] {
                order[operation.invoked as usize] = 2 * transaction;
                if let End::Returned { event, .. } = operation.end {
                    order[event as usize] = 2 * transaction + 1;
                }
            }
        }
        let (mut moment, mut is_open) = (NONE, false);
        for event in order.into_iter().filter(|event| *event != NONE) {
            let (transaction, returns) = (event / 2, event % 2 == 1);
            if !returns {
                is_open = false;
                if moment != NONE {
                    edges.add(moment, transaction, Kind::Hop);
                }
                continue;
            }
            if !is_open {
                let before = std::mem::replace(&mut moment, edges.node());
                edges.add(before, moment, Kind::Hop);
                is_open = true;
            }
            edges.add(transaction, moment, Kind::Realtime);
        }
    }

    /// Why there is that edge.
    fn evidence(&self, from: usize, to: usize, kind: Kind, names: [&str; 2]) -> String {
        let [one, other] = names;
        let key = |key: u32| self.keys[key as usize];
        // A few micro-operations on either side: all of them are looked at.
        for micro in self.of(to) {
            match (kind, micro.what) {
                (Kind::Ww, What::Append(element)) => {
                    let (versions, writers) = (self.longest[micro.key as usize], self.writers(micro.key));
                    let place = versions.iter().position(|version| version == element);
                    let mut before = writers[..place.unwrap_or(versions.len())].iter();
                    let before = before.rposition(|writer| self.has_happened(*writer));
                    if let Some(before) = before.filter(|before| writers[*before] as usize == from) {
                        let what = match place {
                            Some(_) => format!("{element} is the next element"),
                            None => format!("{element} isn't in any list that was read"),
                        };
                        return format!(
                            "{other} appended to {} after {one} (ww): {one} appended {}, and {what}",
                            key(micro.key),
                            versions[before]
                        );
                    }
                }
                (Kind::Wr, What::Read(Some(list))) => {
                    if let Some(last) = self.of_others(to, micro.key, list).last()
                        && self.writer(micro.key, last) as usize == from
                    {
                        return format!(
                            "{other} read what {one} appended (wr): {last} in the list of {}",
                            key(micro.key)
                        );
                    }
                }
                (Kind::Rw, What::Append(element)) => {
                    for read in self.of(from).iter().filter(|read| read.key == micro.key) {
                        let What::Read(Some(list)) = read.what else { continue };
                        let of_others = self.of_others(from, micro.key, list);
                        let next = self.longest[micro.key as usize].get(of_others.len());
                        let is_unread = self.longest[micro.key as usize].iter().all(|version| version != element);
                        if next == Some(element) || next.is_none() && is_unread {
                            return format!(
                                "{one} read {} before {other} appended to it (rw): {} doesn't hold {element}",
                                key(micro.key),
                                short(list)
                            );
                        }
                    }
                }
                _ => {}
            }
        }
        format!("{one} had returned when {other} began (realtime)")
    }
}

/// A list, of which only the end is told if it is long.
fn short(list: &[Value]) -> String {
    let told = &list[list.len().saturating_sub(LISTED_MAX)..];
    let values: Vec<String> = told.iter().map(ToString::to_string).collect();
    let before = if told.len() < list.len() { "…," } else { "" };
    format!("[{before}{}]", values.join(","))
}

/// Anomalies, some of each class.
#[derive(Default)]
struct Found {
    anomalies: Vec<Anomaly>,
}

impl Found {
    fn add(&mut self, class: Class, transactions: &[usize], says: impl FnOnce() -> String) {
        if self.anomalies.iter().filter(|anomaly| anomaly.class == class).count() < TOLD_MAX {
            let (transactions, evidence) = (transactions.to_vec(), vec![says()]);
            self.anomalies.push(Anomaly { class, is_realtime: false, transactions, evidence });
        }
    }
}

/// Why one node comes before another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Ww,
    Wr,
    Rw,
    Realtime,
    /// From a node that is no transaction: it goes on with what led there.
    Hop,
}

impl Kind {
    const fn bit(self) -> u8 {
        1 << self as u8
    }
}

/// The transactions that appended to a list what nobody read, and how readers of all that was read are led to each of them but themselves.
enum Later {
    Few(Vec<u32>),
    /// By nodes: the first leads to the first of them, the second to the first two, and so on; and the same from the end.
    Many {
        transactions: Vec<u32>,
        up_to: Vec<u32>,
        from: Vec<u32>,
    },
}

impl Later {
    fn new(transactions: Vec<u32>, edges: &mut Edges<Kind>) -> Later {
        if transactions.len() <= DIRECT_MAX {
            return Later::Few(transactions);
        }
        let mut chain = |order: &mut dyn Iterator<Item = &u32>| {
            let mut nodes: Vec<u32> = Vec::new();
            for &transaction in order {
                let node = edges.node();
                edges.add(node, transaction, Kind::Hop);
                edges.add(node, nodes.last().copied().unwrap_or(NONE), Kind::Hop);
                nodes.push(node);
            }
            nodes
        };
        let up_to = chain(&mut transactions.iter());
        let mut from = chain(&mut transactions.iter().rev());
        from.reverse();
        Later::Many { transactions, up_to, from }
    }

    /// From a reader to all others.
    fn add(&self, reader: u32, edges: &mut Edges<Kind>) {
        match self {
            Later::Few(transactions) => {
                for &transaction in transactions {
                    edges.add(reader, transaction, Kind::Rw);
                }
            }
            // They are in order.
            Later::Many { transactions, up_to, from } => match transactions.binary_search(&reader) {
                Err(_) => edges.add(reader, from[0], Kind::Rw),
                Ok(place) => {
                    if let Some(before) = place.checked_sub(1) {
                        edges.add(reader, up_to[before], Kind::Rw);
                    }
                    if let Some(&after) = from.get(place + 1) {
                        edges.add(reader, after, Kind::Rw);
                    }
                }
            },
        }
    }
}

/// How a path may go on: which kinds of edges there may be, and whether one `rw` may follow another.
#[derive(Clone, Copy)]
struct Rule {
    kinds: u8,
    is_nonadjacent: bool,
}

/// Whether the path to a node ended with an `rw`, and whether it had one: the lowest bits of a state, above which is the node.
const ENDED_RW: u32 = 1;
const HAD_RW: u32 = 2;

impl Rule {
    /// The strongly connected components of such paths.
    fn components(self, graph: &Graph) -> Vec<Vec<u32>> {
        // Only where an `rw` may not follow another does it matter what led to a node.
        let kept = if self.is_nonadjacent { ENDED_RW } else { 0 };
        graph.components(kept + 1, |flags, kind| self.step(flags, kind).map(|flags| flags & kept))
    }

    /// What a path that ended so has become with one more edge, if it may have it.
    fn step(self, flags: u32, kind: Kind) -> Option<u32> {
        match kind {
            // Whatever led to the node between goes on.
            Kind::Hop => Some(flags),
            Kind::Rw if self.is_nonadjacent && flags & ENDED_RW != 0 => None,
            _ if self.kinds & kind.bit() == 0 => None,
            Kind::Rw => Some(HAD_RW | ENDED_RW),
            _ => Some(flags & HAD_RW),
        }
    }
}

struct Cycles<'t, 'h> {
    transactions: &'t Transactions<'h>,
    graph: &'t Graph,
    level: Level,
    looks_max: u64,
}

impl Cycles<'_, '_> {
    fn find(&self) -> Vec<Anomaly> {
        let realtime = if self.level == Level::StrictSerializable { Kind::Realtime.bit() } else { 0 };
        let kinds = self.level.cycles().iter().fold(realtime, |kinds, class| kinds | class.edges().0.bit());
        let rule = Rule { kinds, is_nonadjacent: self.level == Level::SnapshotIsolation };
        let forbidden = rule.components(self.graph);
        let Some(first) = forbidden.first() else { return Vec::new() };
        // Where it matters what led to a node, one may be in several of them.
        let whole = rule.is_nonadjacent.then(|| Rule { is_nonadjacent: false, ..rule }.components(self.graph));
        let components = whole.as_ref().unwrap_or(&forbidden);
        let mut component_of = vec![NONE; self.graph.nodes()];
        for (number, component) in (0..).zip(components) {
            for &node in component {
                component_of[node as usize] = number;
            }
        }
        let mut search = Search {
            graph: self.graph,
            transactions: self.transactions.count() as u32,
            component_of: &component_of,
            seen: Vec::new(),
            round: 0,
            looks_left: 0,
        };
        // What needs no time is found without it.
        let variants = if realtime == 0 { &[0][..] } else { &[0, realtime] };
        let mut anomalies: Vec<Anomaly> = Vec::new();
        for &class in self.level.cycles() {
            anomalies.extend(variants.iter().find_map(|more| self.shortest(&mut search, class, *more)));
        }
        if anomalies.is_empty() {
            // There is one all the same: the looks didn't suffice to name it well.
            let cycle = search.any(first, rule);
            anomalies.push(self.anomaly(&cycle));
        }
        anomalies
    }

    /// The shortest cycle of a class that could be found.
    fn shortest(&self, search: &mut Search<'_>, class: Class, more: u8) -> Option<Anomaly> {
        let (first, kinds) = class.edges();
        let rule = Rule { kinds: kinds | more, is_nonadjacent: class == Class::GNonadjacent };
        let several = matches!(class, Class::GNonadjacent | Class::G2);
        search.looks_left = self.looks_max;
        let mut best: Option<Vec<(u32, Kind)>> = None;
        for from in 0..self.transactions.count() as u32 {
            for &(to, kind) in self.graph.from(from) {
                let is_inside = search.component_of[from as usize] != NONE
                    && search.component_of[from as usize] == search.component_of[to as usize];
                if kind != first || !is_inside {
                    continue;
                }
                if search.looks_left == 0 {
                    break;
                }
                let length_max = best.as_ref().map_or(u32::MAX, |best| best.len() as u32 - 1);
                let Some(cycle) = search.back(from, (to, kind), rule, several, length_max) else { continue };
                // Over one node twice, it is several cycles.
                let mut nodes: Vec<u32> = cycle.iter().map(|&(node, _)| node).collect();
                nodes.sort_unstable();
                nodes.dedup();
                if nodes.len() == cycle.len() && (class != Class::G2 || !is_nonadjacent(&cycle)) {
                    best = Some(cycle);
                }
            }
        }
        best.map(|cycle| self.anomaly(&cycle))
    }

    /// Tells a cycle: each transaction with the kind of the edge to the next.
    fn anomaly(&self, cycle: &[(u32, Kind)]) -> Anomaly {
        let count = |kind| cycle.iter().filter(|&&(_, of)| of == kind).count();
        let class = match count(Kind::Rw) {
            0 if count(Kind::Wr) == 0 => Class::G0,
            0 => Class::G1c,
            1 => Class::GSingle,
            _ if is_nonadjacent(cycle) => Class::GNonadjacent,
            _ => Class::G2,
        };
        let name = |place: usize| format!("T{}", place % cycle.len() + 1);
        let mut evidence: Vec<String> = (0..cycle.len().min(LISTED_MAX))
            .map(|place| {
                let ((from, kind), (to, _)) = (cycle[place], cycle[(place + 1) % cycle.len()]);
                let names = [&*name(place), &*name(place + 1)];
                self.transactions.evidence(from as usize, to as usize, kind, names)
            })
            .collect();
        if let more @ 1.. = cycle.len().saturating_sub(LISTED_MAX) {
            evidence.push(format!("… and {more} more edges back to T1"));
        }
        Anomaly {
            class,
            is_realtime: count(Kind::Realtime) > 0,
            transactions: cycle.iter().map(|&(node, _)| node as usize).collect(),
            evidence,
        }
    }
}

/// Whether no `rw` of a cycle follows another at once.
fn is_nonadjacent(cycle: &[(u32, Kind)]) -> bool {
    let mut pairs = cycle.iter().zip(cycle.iter().cycle().skip(1));
    pairs.all(|(one, other)| (one.1, other.1) != (Kind::Rw, Kind::Rw))
}

/// How a state was come to.
#[derive(Clone, Copy)]
struct Seen {
    /// In which search.
    round: u32,
    /// By so many edges.
    length: u32,
    before: u32,
    kind: Kind,
}

struct Search<'g> {
    graph: &'g Graph,
    /// How many of its nodes are transactions.
    transactions: u32,
    component_of: &'g [u32],
    seen: Vec<Seen>,
    round: u32,
    /// How many edges may still be looked at; the search that comes to it ends.
    looks_left: u64,
}

impl Search<'_> {
    /// The shortest cycle that begins with an edge, within its component and no longer than that: each transaction with the kind of the edge to the
    /// next.
    fn back(
        &mut self,
        start: u32,
        (to, kind): (u32, Kind),
        rule: Rule,
        several: bool,
        length_max: u32,
    ) -> Option<Vec<(u32, Kind)>> {
        self.seen.resize(self.graph.nodes() * 4, Seen { round: 0, length: 0, before: NONE, kind: Kind::Hop });
        self.round += 1;
        let round = self.round;
        // The edge that it begins with may be an `rw`, and isn't one of the further ones.
        let first = 4 * to + if kind == Kind::Rw { ENDED_RW } else { 0 };
        self.seen[first as usize] = Seen { round, length: 1, before: NONE, kind };
        let mut queue = VecDeque::from([(first, 1)]);
        // After the last edge comes the first one again.
        let ends = |flags| {
            let is_adjacent = rule.is_nonadjacent && kind == Kind::Rw && flags & ENDED_RW != 0;
            !is_adjacent && (!several || flags & HAD_RW != 0)
        };
        while let Some((state, length)) = queue.pop_front() {
            if state / 4 == start {
                return Some(self.path(state, start));
            }
            if self.seen[state as usize].length < length {
                // A shorter way was found since.
                continue;
            }
            for &(to, kind) in self.graph.from(state / 4) {
                self.looks_left = self.looks_left.saturating_sub(1);
                let inside = self.component_of[to as usize] == self.component_of[start as usize];
                let Some(flags) = rule.step(state % 4, kind).filter(|_| inside) else { continue };
                let length = length + u32::from(kind != Kind::Hop);
                let next = 4 * to + flags;
                let seen = &mut self.seen[next as usize];
                let is_longer = seen.round == round && seen.length <= length;
                if length > length_max || is_longer || to == start && !ends(flags) {
                    continue;
                }
                *seen = Seen { round, length, before: state, kind };
                match kind {
                    Kind::Hop => queue.push_front((next, length)),
                    _ => queue.push_back((next, length)),
                }
            }
        }
        None
    }

    /// What led to a state: the transactions, each with the kind of the edge by which it was left.
    fn path(&self, end: u32, start: u32) -> Vec<(u32, Kind)> {
        let mut states = vec![end];
        let before = |state: u32| self.seen[state as usize].before;
        while let Some(state) = states.last().map(|last| before(*last)).filter(|state| *state != NONE) {
            states.push(state);
        }
        states.reverse();
        let mut cycle = vec![start];
        let mut kinds = Vec::new();
        for state in states {
            let kind = self.seen[state as usize].kind;
            if kind != Kind::Hop {
                kinds.push(kind);
            }
            // Nodes between aren't told.
            if state / 4 < self.transactions && state / 4 != start {
                cycle.push(state / 4);
            }
        }
        cycle.into_iter().zip(kinds).collect()
    }

    /// Any cycle of a component of such paths.
    fn any(&mut self, component: &[u32], rule: Rule) -> Vec<(u32, Kind)> {
        let transactions = self.transactions;
        for &start in component.iter().filter(|node| **node < transactions) {
            for &(to, kind) in self.graph.from(start) {
                let is_inside = component.binary_search(&to).is_ok() && rule.step(0, kind).is_some();
                if let Some(cycle) = is_inside.then(|| self.back(start, (to, kind), rule, false, u32::MAX)).flatten() {
                    return cycle;
                }
            }
        }
        unreachable!("each component has a cycle")
    }
}
