//! What a client may expect of its own session, whatever other clients see (Terry and others, "Session guarantees for weakly consistent
//! replicated data", PDIS (1994)).
//!
//! A history of writes and reads keeps a guarantee if the versions of each object have some order, the initial one first, in which no
//! session goes back: what that means for each is said at [`Guarantee`]. Each value is written once, so that a read tells its version. Then
//! "not before" is a relation between versions, and there is such an order if and only if no two of them are each not before the other:
//! strongly connected components, in linear time.

use std::collections::{HashMap, VecDeque};
use std::fmt;

use foldhash::fast::FixedState;

use crate::graph::{Edges, Graph, NONE};
use crate::history::{History, Operation};
use crate::linearizability::Misunderstood;
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

impl fmt::Display for Guarantee {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What came of a history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It keeps the guarantee.
    Kept,
    /// It doesn't: operations that no order of versions fits, or a single one that read what nobody wrote. Indices into
    /// [`History::operations`].
    Broken(Vec<usize>),
    /// Nobody knows: why.
    Unknown(String),
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
        edges.add(key, version, NONE);
    }
    // By process and key: the last version that it read, or what stands behind all that it wrote.
    let mut last: Map<(u64, u32), u32> = Map::default();
    for (index, operation) in (0..).zip(operations) {
        let at = last.entry((operation.process, operation.key)).or_insert(NONE);
        match (does(history, operation)?, guarantee) {
            (Does::Write(value), Guarantee::ReadYourWrites) => {
                // Not before any of them is: not before this node.
                let node = edges.node();
                edges.add(versions[&(operation.key, value)], node, index);
                edges.add(*at, node, NONE);
                *at = node;
            }
            (Does::Read(value), _) => {
                let version = match versions.get(&(operation.key, value)) {
                    Some(&version) => version,
                    None if is_initial(value) => operation.key,
                    None => return Ok(Verdict::Broken(vec![index as usize])),
                };
                edges.add(*at, version, index);
                if guarantee == Guarantee::MonotonicReads {
                    *at = version;
                }
            }
            _ => {}
        }
    }
    let graph = edges.finish();
    let count = keys + versions.len() as u32;
    let components = graph.components(1, |_, _| Some(0));
    // A node that stands behind one version alone may be as good as that.
    let broken = components.iter().find(|nodes| nodes.iter().filter(|node| **node < count).count() > 1);
    Ok(broken.map_or(Verdict::Kept, |nodes| Verdict::Broken(cycle(&graph, nodes, count))))
}

/// Operations that say of two versions that each is not before the other.
fn cycle(graph: &Graph<u32>, component: &[u32], versions: u32) -> Vec<usize> {
    let mut both = component.iter().copied().filter(|node| *node < versions);
    let (Some(one), Some(other)) = (both.next(), both.next()) else { unreachable!("it has two") };
    let mut said: Vec<usize> = [path(graph, one, other), path(graph, other, one)].concat();
    said.sort_unstable();
    said.dedup();
    said
}

/// The operations that lead from a node to another.
fn path(graph: &Graph<u32>, from: u32, to: u32) -> Vec<usize> {
    let mut before: Map<u32, (u32, u32)> = Map::default();
    let mut queue = VecDeque::from([from]);
    while let Some(node) = queue.pop_front() {
        for &(next, operation) in graph.from(node) {
            if next != from && !before.contains_key(&next) {
                before.insert(next, (node, operation));
                queue.push_back(next);
            }
        }
    }
    let mut said = Vec::new();
    let mut at = to;
    while at != from {
        let (node, operation) = before[&at];
        if operation != NONE {
            said.push(operation as usize);
        }
        at = node;
    }
    said
}

/// What breaks it, over several lines.
#[must_use]
pub fn in_words(history: &History, operations: &[usize]) -> String {
    const TOLD_MAX: usize = 12;
    let sentence = |index: &usize| format!("  {}\n", history.sentence(&history.operations()[*index]));
    let mut text = match operations {
        [_] => "it gives what nobody wrote:\n".to_string(),
        _ => "there is no order of versions in which none of these goes back:\n".to_string(),
    };
    text.extend(operations.iter().take(TOLD_MAX).map(sentence));
    if let more @ 1.. = operations.len().saturating_sub(TOLD_MAX) {
        text.push_str(&format!("  … and {more} more\n"));
    }
    text
}
