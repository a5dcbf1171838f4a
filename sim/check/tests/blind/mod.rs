//! A model whose operations tell nothing of those to come, so that the search finds its way without looking ahead.

use squall_check::{Call, Model, Step};

/// That model, without what lets one look ahead.
pub struct Blind<'m, M>(pub &'m M);

impl<M: Model> Model for Blind<'_, M> {
    type State = M::State;
    type Operation = M::Operation;
    type Foresight = ();
    type Readers = ();

    fn initial(&self) -> M::State {
        self.0.initial()
    }

    fn operation(&self, call: &Call<'_>) -> Result<Option<M::Operation>, String> {
        self.0.operation(call)
    }

    fn step(&self, state: &M::State, operation: &M::Operation) -> Step<M::State> {
        self.0.step(state, operation)
    }

    fn only_reads(&self, operation: &M::Operation) -> bool {
        self.0.only_reads(operation)
    }

    fn in_words(&self, state: &M::State) -> String {
        self.0.in_words(state)
    }
}
