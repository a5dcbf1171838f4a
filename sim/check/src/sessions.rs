//! What a client may expect of its own session, whatever other clients see (Terry and others, "Session guarantees for weakly consistent
//! replicated data", PDIS (1994)).
//!
//! A history of writes and reads keeps a guarantee if the versions of each object have some order in which no session goes back: what that
//! means for each is said at [`Guarantee`]. The initial version is the first, and what a process wrote is in the order in which it wrote it;
//! nothing else is asked of that order, time neither. Each value is written once, so that a read tells its version. Then "not before" is a
//! relation between versions, and there is such an order if and only if no two of them are each not before the other: strongly connected
//! components, in linear time.

use std::collections::{HashMap, VecDeque};

use foldhash::fast::FixedState;

use crate::graph::{Edges, Graph, NONE};
use crate::history::{History, Operation};
use crate::linearizability::Misunderstood;
use crate::names::said_by_name;
use crate::value::Value;

/// What a session expects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Guarantee {
    /// A read gives no version before one that the same process has written.
    ReadYourWrites,
    /// A read gives no version before one that the same process has read.
    MonotonicReads,
}

impl Guarantee {
    /// Both of them.
    pub const ALL: [Guarantee; 2] = [Guarantee::ReadYourWrites, Guarantee::MonotonicReads];

    /// Its name: `read-your-writes`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Guarantee::ReadYourWrites => "read-your-writes",
            Guarantee::MonotonicReads => "monotonic-reads",
        }
    }
}

said_by_name!(Guarantee, "guarantee");

/// What came of a history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It keeps the guarantee.
    Kept,
    /// It doesn't: why.
    Broken(Found),
    /// Nobody knows: why.
    Unknown(String),
}

/// What breaks a guarantee. Numbers are indices into [`History::operations`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// A read gave what nobody wrote.
    Garbage(usize),
    /// No order of the versions fits these.
    GoesBack(Vec<usize>),
}

/// What an operation does with its object.
enum Does<'h> {
    Write(&'h Value),
    Read(&'h Value),
    Nothing,
}

fn does<'h>(history: &History, operation: &'h Operation) -> Result<Does<'h>, Misunderstood> {
    match (history.name(operation), operation.result()) {
        ("write" | "put", _) => Ok(Does::Write(&operation.argument)),
        ("read" | "get", Some(result)) => Ok(Does::Read(result)),
        ("read" | "get", None) => Ok(Does::Nothing),
        (other, _) => Err(Misunderstood {
            event: operation.invoked,
            problem: format!("{other:?} is none of its operations: write and read, or put and get"),
        }),
    }
}

/// What there is before anything was written: null, or no text.
fn is_initial(value: &Value) -> bool {
    *value == Value::Null || value.as_text() == Some("")
}

type Map<K, V> = HashMap<K, V, FixedState>;

/// Judges a history of `write` and `read` (or `put` and `get`), each value of a key written once.
///
/// # Errors
/// If an operation is another one.
pub fn check(history: &History, guarantee: Guarantee) -> Result<Verdict, Misunderstood> {
    for operation in history.failed() {
        does(history, operation)?;
    }
    let operations = history.operations();
    // Versions by their key and value, after an initial one for each key.
    let keys = history.keys() as u32;
    let mut versions: Map<(u32, &Value), u32> = Map::default();
    let mut twice = None;
    let mut reads = 0;
    for operation in operations {
        match does(history, operation)? {
            Does::Write(value) => {
                let next = keys + versions.len() as u32;
                if is_initial(value) || versions.insert((operation.key, value), next).is_some() {
                    twice.get_or_insert(value);
                }
            }
            Does::Read(_) => reads += 1,
            Does::Nothing => {}
        }
    }
    if let Some(value) = twice {
        let said = format!(
            "{value} is written more than once, or is there at first: which version a read gives can't be told"
        );
        return Ok(Verdict::Unknown(said));
    }
    if reads == 0 {
        return Ok(Verdict::Unknown("the history has no read: there is nothing to judge".to_string()));
    }
    let mut edges = Edges::new(keys + versions.len() as u32);
    for (&(key, _), &version) in versions.iter().collect::<std::collections::BTreeMap<_, _>>() {
        // No operation says so.
        edges.add(key, version, [NONE; 2]);
    }
    // By process and key: the last version that it wrote or read, and by which operation.
    let mut written: Map<(u64, u32), (u32, u32)> = Map::default();
    let mut read: Map<(u64, u32), (u32, u32)> = Map::default();
    for (index, operation) in (0..).zip(operations) {
        let session = (operation.process, operation.key);
        match does(history, operation)? {
            Does::Write(value) => {
                let version = versions[&(operation.key, value)];
                if let Some((before, by)) = written.insert(session, (version, index)) {
                    edges.add(before, version, [by, index]);
                }
            }
            Does::Read(value) => {
                let version = match versions.get(&(operation.key, value)) {
                    Some(&version) => version,
                    None if is_initial(value) => operation.key,
                    None => return Ok(Verdict::Broken(Found::Garbage(index as usize))),
                };
                let before = match guarantee {
                    Guarantee::ReadYourWrites => written.get(&session).copied(),
                    Guarantee::MonotonicReads => read.insert(session, (version, index)),
                };
                if let Some((before, by)) = before {
                    edges.add(before, version, [by, index]);
                }
            }
            Does::Nothing => {}
        }
    }
    let graph = edges.finish();
    let components = graph.components(1, |_, _| Some(0));
    let broken = components.first().map(|versions| Found::GoesBack(cycle(&graph, versions)));
    Ok(broken.map_or(Verdict::Kept, Verdict::Broken))
}

/// Operations that say of two versions that each is not before the other.
fn cycle(graph: &Graph<[u32; 2]>, component: &[u32]) -> Vec<usize> {
    let &[one, other, ..] = component else { unreachable!("a component has several") };
    let mut said: Vec<usize> = [path(graph, one, other), path(graph, other, one)].concat();
    said.sort_unstable();
    said.dedup();
    said
}

/// The operations that lead from a node to another.
fn path(graph: &Graph<[u32; 2]>, from: u32, to: u32) -> Vec<usize> {
    let mut before: Map<u32, (u32, [u32; 2])> = Map::default();
    let mut queue = VecDeque::from([from]);
    while let Some(node) = queue.pop_front() {
        for &(next, operations) in graph.from(node) {
            if next != from && !before.contains_key(&next) {
                before.insert(next, (node, operations));
                queue.push_back(next);
            }
        }
    }
    let mut said = Vec::new();
    let mut at = to;
    while at != from {
        let (node, operations) = before[&at];
        said.extend(operations.into_iter().filter(|operation| *operation != NONE).map(|operation| operation as usize));
        at = node;
    }
    said
}

/// What breaks it, over several lines.
#[must_use]
pub fn in_words(history: &History, found: &Found) -> String {
    const TOLD_MAX: usize = 12;
    let sentence = |index: &usize| format!("  {}\n", history.sentence(&history.operations()[*index]));
    let operations = match found {
        Found::Garbage(index) => return format!("it gives what nobody wrote:\n{}", sentence(index)),
        Found::GoesBack(operations) => operations,
    };
    let mut text = "there is no order of versions in which none of these goes back:\n".to_string();
    text.extend(operations.iter().take(TOLD_MAX).map(sentence));
    if let more @ 1.. = operations.len().saturating_sub(TOLD_MAX) {
        text.push_str(&format!("  … and {more} more\n"));
    }
    text
}
