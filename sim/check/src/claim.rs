//! What may be claimed of a history, by name: as a command line and a scenario file say it.

use std::fmt;

use crate::history::History;
use crate::linearizability::{self, Limits, Misunderstood};
use crate::models::Named;
use crate::sessions::{self, Found, Guarantee};
use crate::transactions::{self, Level};

/// A claim about a history.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Claim {
    /// It is linearizable by that model.
    Linearizable(Named),
    /// Its transactions over lists keep that level.
    Transactions(Level),
    /// Its reads and writes keep that guarantee.
    Session(Guarantee),
}

/// What came of a claim, for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It holds.
    Holds,
    /// It doesn't: what shows that, over several lines.
    Broken(String),
    /// Nobody knows: why.
    Unknown(String),
}

/// The operations that show that a claim doesn't hold: indices into [`History::operations`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Counterexample {
    /// Of no order that was found: see [`linearizability::Counterexample`].
    Order {
        /// The longest that was found.
        order: Vec<usize>,
        /// The operation at which it doesn't go on.
        stuck: usize,
    },
    /// They don't go together: of transactions those of the worst anomaly, of a cycle in its order; of a session those of which one goes back, or the one
    /// read of what nobody wrote.
    Together(Vec<usize>),
}

impl Claim {
    /// The claim about a history that a property of that [name](Claim::name) makes, where the name says it all: one of transactions or of a session.
    #[must_use]
    pub fn of_name(name: &str) -> Option<Claim> {
        let level = Level::ALL.into_iter().map(Claim::Transactions);
        let guarantee = Guarantee::ALL.into_iter().map(Claim::Session);
        level.chain(guarantee).find(|claim| claim.name() == name)
    }

    /// Judges a history as [`Claim::check`] does, for the operations that show that it doesn't hold. `None` if it holds, or nobody knows.
    #[must_use]
    pub fn counterexample(self, history: &History, limits: Limits) -> Option<Counterexample> {
        match self {
            Claim::Linearizable(model) => match model.check(history, limits).ok()?.verdict {
                linearizability::Verdict::NotLinearizable(found) => {
                    Some(Counterexample::Order { order: found.order, stuck: found.stuck })
                }
                linearizability::Verdict::Linearizable | linearizability::Verdict::Unknown(_) => None,
            },
            Claim::Transactions(level) => match transactions::check(history, level).ok()? {
                transactions::Verdict::Broken(found) => {
                    found.into_iter().next().map(|worst| Counterexample::Together(worst.transactions))
                }
                transactions::Verdict::Holds | transactions::Verdict::Unknown(_) => None,
            },
            Claim::Session(guarantee) => match sessions::check(history, guarantee).ok()? {
                sessions::Verdict::Broken(Found::Garbage(read)) => Some(Counterexample::Together(vec![read])),
                sessions::Verdict::Broken(Found::GoesBack(all)) => Some(Counterexample::Together(all)),
                sessions::Verdict::Kept | sessions::Verdict::Unknown(_) => None,
            },
        }
    }

    /// The property of a run: `linearizable`, `serializable`, `read-your-writes`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Claim::Linearizable(_) => "linearizable",
            Claim::Transactions(level) => level.name(),
            Claim::Session(guarantee) => guarantee.name(),
        }
    }

    /// Judges a history, and says how many steps a search has made, where there is one.
    ///
    /// # Errors
    /// If an operation isn't one that the claim is about.
    pub fn check(self, history: &History, limits: Limits) -> Result<(Verdict, u64), Misunderstood> {
        Ok(match self {
            Claim::Linearizable(model) => {
                let judgement = model.check(history, limits)?;
                let verdict = match judgement.verdict {
                    linearizability::Verdict::Linearizable => Verdict::Holds,
                    linearizability::Verdict::NotLinearizable(found) => Verdict::Broken(found.in_words(history)),
                    linearizability::Verdict::Unknown(why) => Verdict::Unknown(why),
                };
                (verdict, judgement.steps)
            }
            Claim::Transactions(level) => match transactions::check(history, level)? {
                transactions::Verdict::Holds => (Verdict::Holds, 0),
                transactions::Verdict::Broken(found) => (Verdict::Broken(transactions::in_words(history, &found)), 0),
                transactions::Verdict::Unknown(why) => (Verdict::Unknown(why), 0),
            },
            Claim::Session(guarantee) => match sessions::check(history, guarantee)? {
                sessions::Verdict::Kept => (Verdict::Holds, 0),
                sessions::Verdict::Broken(found) => (Verdict::Broken(sessions::in_words(history, &found)), 0),
                sessions::Verdict::Unknown(why) => (Verdict::Unknown(why), 0),
            },
        })
    }
}

impl fmt::Display for Claim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Claim::Linearizable(model) => write!(f, "linearizable as {model}"),
            Claim::Transactions(level) => write!(f, "{level}"),
            Claim::Session(guarantee) => write!(f, "{guarantee}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn history(lines: &[&str]) -> History {
        crate::history::read(lines.join("\n").as_bytes()).expect("a history")
    }

    fn shown(claim: Claim, lines: &[&str]) -> Option<Counterexample> {
        let history = history(lines);
        let found = claim.counterexample(&history, Limits::default());
        let (verdict, _) = claim.check(&history, Limits::default()).expect("it is understood");
        assert_eq!(found.is_some(), matches!(verdict, Verdict::Broken(_)), "they judge alike");
        found
    }

    const WRITE: [&str; 2] = [
        r#"{"process":0,"type":"invoke","f":"write","value":1}"#,
        r#"{"process":0,"type":"ok","f":"write","value":1}"#,
    ];

    fn read(value: &str) -> Vec<String> {
        let line = |kind: &str, value: &str| format!(r#"{{"process":1,"type":"{kind}","f":"read","value":{value}}}"#);
        vec![line("invoke", "null"), line("ok", value)]
    }

    fn with(reads: &[&str]) -> Vec<String> {
        WRITE.iter().map(ToString::to_string).chain(reads.iter().flat_map(|value| read(value))).collect()
    }

    #[test]
    fn a_counterexample_names_its_operations() {
        let of = |claim, reads: &[&str]| {
            let lines = with(reads);
            shown(claim, &lines.iter().map(String::as_str).collect::<Vec<&str>>())
        };
        let register = Claim::Linearizable(Named::Register);
        assert_eq!(of(register, &["1", "1"]), None);
        assert_eq!(of(register, &["1", "2"]), Some(Counterexample::Order { order: vec![0, 1], stuck: 2 }));
        let session = Claim::Session(Guarantee::MonotonicReads);
        assert_eq!(of(session, &["null", "1"]), None);
        assert_eq!(of(session, &["7"]), Some(Counterexample::Together(vec![1])), "nobody wrote it");
        let Some(Counterexample::Together(back)) = of(session, &["1", "null"]) else { panic!("it goes back") };
        assert!(back.contains(&2), "{back:?}");
    }

    #[test]
    fn a_cycle_is_that_of_the_worst_anomaly() {
        let line = |process: u32, kind: &str, own: &str, list: &str, other: &str| {
            format!(
                r#"{{"process":{process},"type":"{kind}","f":"txn","value":[["append","{own}",1],["r","{other}",{list}]]}}"#
            )
        };
        let lines = [
            line(1, "invoke", "x", "null", "y"),
            line(2, "invoke", "y", "null", "x"),
            line(1, "ok", "x", "[]", "y"),
            line(2, "ok", "y", "null", "x"),
        ];
        let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
        let Some(Counterexample::Together(cycle)) = shown(Claim::Transactions(Level::Serializable), &lines) else {
            panic!("they don't see each other")
        };
        assert!(cycle == [0, 1] || cycle == [1, 0], "{cycle:?}");
        assert_eq!(shown(Claim::Transactions(Level::SnapshotIsolation), &lines), None);
    }

    #[test]
    fn a_name_says_a_claim_where_it_says_all_of_it() {
        for claim in [Claim::Transactions(Level::ReadCommitted), Claim::Session(Guarantee::MonotonicReads)] {
            assert_eq!(Claim::of_name(claim.name()), Some(claim));
        }
        for name in ["linearizable", "paid-once", ""] {
            assert_eq!(Claim::of_name(name), None);
        }
    }
}
