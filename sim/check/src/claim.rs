//! What may be claimed of a history, by name: as a command line and a scenario file say it.

use std::fmt;

use crate::history::History;
use crate::linearizability::{self, Limits, Misunderstood};
use crate::models::Named;
use crate::sessions::{self, Guarantee};
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

impl Claim {
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
