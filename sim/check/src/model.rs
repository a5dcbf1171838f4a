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

/// What an operation may find, by which a model tells whom it concerns: see [`Model::last_reader`].
#[derive(Debug)]
pub enum Readable<'t, M: Model + ?Sized> {
    /// The object as it is.
    State(&'t M::State),
    /// What that operation makes of it.
    Effect(&'t M::Operation),
}

impl<M: Model + ?Sized> Clone for Readable<'_, M> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<M: Model + ?Sized> Copy for Readable<'_, M> {}

/// A specification of an object, as a state machine without time: for each object (key) of a history there is one state. It is asked
/// often and in any order; it must answer the same each time.
pub trait Model {
    /// What the object remembers.
    type State: Clone + Eq + Hash;
    /// An operation, understood.
    type Operation;
    /// What is known of operations to come: see [`Model::is_lost`]. `()` where nothing is.
    type Foresight: Default;
    /// Who reads what: see [`Model::last_reader`]. `()` where nobody knows.
    type Readers;

    /// What it remembers at first.
    fn initial(&self) -> Self::State;

    /// Understands an operation. `None` for one that says nothing and changes nothing, whatever it comes to: a read of which nobody knows
    /// the result.
    ///
    /// # Errors
    /// What is wrong with its name or its values: a mistake of the history, not of the system.
    fn operation(&self, call: &Call<'_>) -> Result<Option<Self::Operation>, String>;

    /// Looks at all operations of an object together before an order is searched for, in the order in which they begin. With each comes the number
    /// of the first one that begins after it has returned (that and all after it come behind it in any order): one that is too large where there
    /// is none, [`u32::MAX`] for one that need not take effect. Whether [`Model::step`] goes by what was noted.
    ///
    /// [`Model::step`] may say that an operation is impossible for what was noted here: where it would leave the object in a state from which some
    /// operation that has returned can't become possible any more.
    fn prepare<'o>(&self, operations: impl Iterator<Item = (&'o mut Self::Operation, u32)>) -> bool
    where
        Self::Operation: 'o,
    {
        let _ = operations;
        false
    }

    /// About how many bytes a state takes beside its own size: the search ends where all that it remembers takes too many.
    fn bytes_beside(&self, state: &Self::State) -> usize {
        let _ = state;
        0
    }

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
    /// in whichever order: then nothing more is tried there. Those in `before`, which are in `foresight` too, come before it for sure. It is
    /// always right to say no, and slower where a history isn't linearizable.
    fn is_lost(
        &self,
        state: &Self::State,
        foresight: &Self::Foresight,
        before: &[&Self::Operation],
        operation: &Self::Operation,
    ) -> bool {
        let _ = (state, foresight, before, operation);
        false
    }

    /// Notes who reads what among all operations of an object, which are numbered from 0 as they begin. It is asked for only where a search
    /// turns back often. `None` where nobody knows.
    fn readers<'o>(&self, operations: impl Iterator<Item = &'o Self::Operation> + Clone) -> Option<Self::Readers>
    where
        Self::Operation: 'o,
    {
        let _ = operations;
        None
    }

    /// The last operation that may need that state, or that effect of an operation. `None` if there is none at all; a number that is too large
    /// if there may be some.
    ///
    /// What nobody reads any more is one and the same to the search. It relies on this, for all readers and for those that are left at any
    /// time:
    ///
    /// - an operation that is possible in a state that nobody reads is possible in all states; and either it makes the same of all of them,
    ///   or it makes of those that nobody reads others that nobody reads;
    /// - an operation whose effect nobody reads is possible in all states, and what it makes of any of them nobody reads.
    fn last_reader(&self, readers: &Self::Readers, what: Readable<'_, Self>) -> Option<u32> {
        let _ = (readers, what);
        Some(u32::MAX)
    }

    /// Whether that operation may need that state, or that effect, or what becomes of it.
    fn reads(&self, reader: &Self::Operation, what: Readable<'_, Self>) -> bool {
        let _ = (reader, what);
        true
    }

    /// A state for people.
    fn in_words(&self, state: &Self::State) -> String;
}
