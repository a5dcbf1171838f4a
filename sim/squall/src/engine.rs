//! What carries a plan out: Squall's own engine, or another simulator in its place.
//!
//! A program on another simulator describes its world as any other, and the command line, the search and the reports know no
//! difference but the [`Capabilities`]. What a world can't say to another engine is refused: see
//! [`Description`].

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use squall_engine::description::Description;
use squall_engine::{Call, Heartbeat, RunOptions, World, describe};
use squall_trace::{Capabilities, Observer, Outcome, Plan, Record, Recorder};

/// Told of what is called next, where somebody looks for the call that doesn't come back.
pub type TellCall = Box<dyn Fn(&Call<'_>) + Send>;

/// What a run is told besides its plan. All of it is the run's own, so that it may be put where the program's code finds it.
pub struct EngineOptions {
    /// How much to keep.
    pub record: Record,
    /// Takes what is kept, if the outcome isn't to hold it.
    pub recorder: Option<Rc<RefCell<dyn Recorder>>>,
    /// Sees events as they pass.
    pub observer: Box<dyn Observer>,
    /// For a watchdog: a run that tells no event for long is taken for one that hangs.
    pub beat: Arc<Heartbeat>,
    /// Ends the run after so many events, if its own limit doesn't before. No property is asked at such an end.
    pub events_max: Option<u64>,
    /// Told of each part of the program that is called, before it is.
    pub before_call: Option<TellCall>,
}

/// A simulator in place of Squall's own engine. It is given a world as data, and gives what Squall's engine gives.
pub trait Engine: Send + Sync {
    /// One run, on a fresh thread. `describe` is to be called once, on that thread, where what it draws repeats.
    ///
    /// # Errors
    /// In words, if the world can't be: what `describe` gave, or what this engine can't do.
    fn run(
        &self,
        describe: &dyn Fn() -> Result<Description, String>,
        plan: &Plan,
        options: EngineOptions,
    ) -> Result<Outcome, String>;

    /// What it can do.
    fn capabilities(&self) -> Capabilities;
}

/// One run of the world that `build` describes: by another engine, if there is one.
pub(crate) fn run(
    engine: Option<&dyn Engine>,
    build: &dyn Fn(&mut World),
    plan: &Plan,
    options: EngineOptions,
) -> Result<Outcome, String> {
    if let Some(engine) = engine {
        return engine.run(&|| described(build), plan, options);
    }
    let EngineOptions { record, recorder, mut observer, beat, events_max, before_call } = options;
    let before_call = before_call.as_ref().map(|tell| &**tell as &dyn Fn(&Call<'_>));
    let observer = &mut *observer;
    squall_engine::run(build, plan, RunOptions { record, recorder, observer, beat, events_max, before_call })
}

/// A world as another engine takes it.
///
/// # Errors
/// In words: what no other engine knows.
pub(crate) fn described(build: &dyn Fn(&mut World)) -> Result<Description, String> {
    describe(build).0.describe_for_another_engine()
}

impl std::fmt::Debug for EngineOptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EngineOptions")
            .field("record", &self.record)
            .field("events_max", &self.events_max)
            .finish_non_exhaustive()
    }
}
