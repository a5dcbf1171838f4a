//! What an object does when it is asked one thing after the other.

use std::hash::Hash;

use crate::value::Value;

/// One operation, as its history tells it.
#[derive(Clone, Copy, Debug)]
pub struct Call<'c> {
    /// Whose.
    pub process: u64,
    /// Its name.
    pub f: &'c str,
    /// What was asked.
    pub argument: &'c Value,
    /// What came back; `None` where nobody knows, or knows whether it happened.
    pub result: Option<&'c Value>,
}

impl Call<'_> {
    /// What was written: the argument, which the result repeats or leaves out.
    ///
    /// # Errors
    /// If the result is another value.
    pub fn written(&self) -> Result<&Value, String> {
        match self.result {
            Some(result) if result != self.argument && *result != Value::Null => {
                Err(format!("{}: asked {} and answered {result}: expected the same, or null", self.f, self.argument))
            }
            _ => Ok(self.argument),
        }
    }

    /// What a mistake says of a name that no operation has. `names` are those that there are.
    #[must_use]
    pub fn unknown(&self, names: &[&str]) -> String {
        format!("there is no operation {:?}; there are {}", self.f, names.join(", "))
    }
}

/// What becomes of an object by one operation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step<S> {
    /// It can't come to that result in this state.
    Impossible,
    /// It can, and leaves this state as it is.
    Same,
    /// It can, and this is the state then.
    To(S),
}

/// A specification of an object, as a state machine without time: for each object (key) of a history there is one state. It is asked
/// often and in any order; it must answer the same each time.
pub trait Model {
    /// What the object remembers.
    type State: Clone + Eq + Hash;
    /// An operation, understood.
    type Operation;
    /// What is known of operations to come: see [`Model::is_lost`]. `()` where nothing is.
    type Foresight: Default;

    /// What it remembers at first.
    fn initial(&self) -> Self::State;

    /// Understands an operation. `None` for one that says nothing and changes nothing, whatever it comes to: a read of which nobody knows
    /// the result.
    ///
    /// # Errors
    /// What is wrong with its name or its values: a mistake of the history, not of the system.
    fn operation(&self, call: &Call<'_>) -> Result<Option<Self::Operation>, String>;

    /// What the object becomes.
    fn step(&self, state: &Self::State, operation: &Self::Operation) -> Step<Self::State>;

    /// Whether an operation never changes the state, whatever that is: it then is taken to have an effect as soon as it is possible, and
    /// never chosen among others. It is always right to say no, and slower.
    fn only_reads(&self, operation: &Self::Operation) -> bool {
        let _ = operation;
        false
    }

    /// Takes note of an operation that may still take effect.
    fn foresee(&self, foresight: &mut Self::Foresight, operation: &Self::Operation) {
        let _ = (foresight, operation);
    }

    /// Whether an operation can't become possible any more, from that state, whichever of the operations in `foresight` come before it, and
    /// in whichever order: then nothing more is tried there. It is always right to say no, and slower where a history isn't linearizable.
    fn is_lost(&self, state: &Self::State, foresight: &Self::Foresight, operation: &Self::Operation) -> bool {
        let _ = (state, foresight, operation);
        false
    }

    /// A state for people.
    fn in_words(&self, state: &Self::State) -> String;
}
