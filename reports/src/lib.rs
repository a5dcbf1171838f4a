//! Draws runs: as text, and as pages; one, or what many came to.
//!
//! A report sees a recorded run ([`squall_trace::Trace`]), or plain data about many, and nothing else: never the engine, never a file.
//!
//! | module | holds |
//! |---|---|
//! | [`scene`] | a run as a picture has it: messages, and times at which something was wrong |
//! | [`window`] | which part of a run is shown |
//! | [`lanes`] | a run as text with lanes for nodes and arrows for messages |
//! | [`likelihood`] | how likely a failure is over a run, as text |
//! | [`timeline`] | a run as text: one line an event, then the verdict |
//! | [`svg`] | the same as a picture for a bug report |
//! | [`perfetto`] | a run for Perfetto, and other viewers of Chrome's trace events |
//! | [`page`] | a run, a campaign or a sweep as a page of HTML, in one file |
//! | [`weather`] | what was not calm in a run, in words |
//! | [`printable`] | text from outside, made safe for a terminal |
//! | [`junit`] | what came of an exploration, as JUnit's XML |
//! | [`github`] | the same as annotations and a step's summary |
//! | [`paint`] | colours, or none |
#![forbid(unsafe_code)]

pub mod github;
pub mod junit;
pub mod lanes;
pub mod likelihood;
pub mod page;
pub mod paint;
pub mod perfetto;
pub mod printable;
pub mod scene;
pub mod svg;
pub mod timeline;
pub mod weather;
pub mod window;

pub use junit::render_junit;
pub use lanes::render_lanes;
pub use likelihood::render_likelihood;
pub use page::{RunPage, render_page};
pub use perfetto::render_perfetto;
pub use svg::render_svg;
pub use timeline::{Style, event_in_words, render_events, render_timeline, render_verdict};
pub use weather::render_perturbations;
