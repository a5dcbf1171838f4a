//! The vocabulary of Squall: plain data that every other crate speaks, and nothing else.
//!
//! A run is a pure function from a [`Plan`] to a [`Trace`]. This crate says what those two words mean; it depends on
//! none of Squall's other crates, opens no file, starts no thread and reads no clock.
//!
//! | module | holds |
//! |---|---|
//! | [`id`] | names as numbers: nodes, tasks, flows, seeds |
//! | [`site`] | the address of one random decision |
//! | [`draw`] | the default value of a site: a pure function of seed and site |
//! | [`plan`] | all that is needed to repeat a run |
//! | [`strategy`] | who answers at a site when the plan doesn't |
//! | [`event`] | what happened, and its canonical bytes |
//! | [`digest`] | 128 bits over all events, with checkpoints |
//! | [`trace`] | a recorded run |
//! | [`verdict`] | properties and what they say |
//! | [`swarm`] | which classes of faults a run does without |
//! | [`target`] | whatever can turn a plan into an outcome |
//! | [`ratio`] | probabilities as ratios of integers |
#![forbid(unsafe_code)]

pub mod digest;
pub mod draw;
pub mod event;
pub mod id;
pub mod plan;
pub mod ratio;
pub mod short;
pub mod site;
pub mod strategy;
pub mod swarm;
pub mod target;
pub mod trace;
pub mod verdict;

pub use digest::{Checkpoint, Digest, Digester};
pub use event::{Event, EventKind, EventMask, FaultPart, LossReason, OwnedEvent, TaskEnd};
pub use id::{FlowId, NodeId, Seed, TaskId};
pub use plan::{Base, Override, Parameters, Perturbation, Plan, Redraw};
pub use ratio::Ratio;
pub use site::{Site, SiteKind};
pub use strategy::{Ready, Strategy, StrategyChoice, ValueQuestion};
pub use target::{Capabilities, Observer, Outcome, Record, Recorded, Recorder, Target};
pub use trace::{FlowInfo, FlowRole, Names, NodeInfo, Stream, TaskInfo, Trace};
pub use verdict::{EndReason, Ending, Failure, Property, Verdict};
