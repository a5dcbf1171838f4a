//! Which part of a run is shown: all of it, all up to a step, or what lies around one.

use squall_trace::{Trace, Verdict};

use crate::lanes::is_in_picture;
use crate::timeline::{Style, is_of_interest, marked_event};

/// The steps of a run that are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// The first one.
    pub first_step: u64,
    /// The last one, with the log lines that have its number.
    pub last_step: u64,
    /// The step at which the nodes' states are told as well.
    pub state_at: Option<u64>,
}

impl Default for Window {
    /// All.
    fn default() -> Window {
        Window::WHOLE
    }
}

/// Why there is no such part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WindowError {
    /// The run doesn't have that step.
    NoSuchStep {
        /// Which one was asked for.
        step: u64,
        /// The run's last one; the first is 1.
        last: u64,
    },
    /// The run doesn't fail: there is nothing to be around of.
    NoFailure {
        /// The run's last step; the first is 1.
        last: u64,
    },
}

impl std::fmt::Display for WindowError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let steps = |last: u64| match last {
            0 => "it has none".to_string(),
            last => format!("it has steps 1 to {last}"),
        };
        match self {
            WindowError::NoSuchStep { step, last } => write!(f, "the run has no step {step}: {}", steps(*last)),
            WindowError::NoFailure { last } => write!(f, "the run doesn't fail at any step: {}", steps(*last)),
        }
    }
}

impl std::error::Error for WindowError {}

impl Window {
    /// All of a run.
    pub const WHOLE: Window = Window { first_step: 0, last_step: u64::MAX, state_at: None };

    /// All up to `step`, which is shown too, and how the nodes are there.
    ///
    /// # Errors
    /// [`WindowError::NoSuchStep`]
    pub fn until(trace: &Trace, step: u64) -> Result<Window, WindowError> {
        check(trace, step)?;
        Ok(Window { first_step: 0, last_step: step, state_at: Some(step) })
    }

    /// `context` events before a step and as many behind it, of those that the style shows. Without a step, around the event at which the
    /// run failed; around its end, if the property was judged there.
    ///
    /// # Errors
    /// [`WindowError`]
    pub fn around(trace: &Trace, step: Option<u64>, context: usize, style: Style) -> Result<Window, WindowError> {
        let step = match (step, &trace.verdict) {
            (Some(step), _) => step,
            (None, Verdict::Fail(failure)) => match marked_event(trace, failure).filter(|_| failure.node.is_some()) {
                Some(event) => trace.events[event].step,
                None => last_step(trace),
            },
            (None, _) => return Err(WindowError::NoFailure { last: last_step(trace) }),
        };
        check(trace, step)?;
        let is_shown = |index: &usize| match style.lanes {
            Some(_) => is_in_picture(&trace.events[*index], &trace.names, style),
            None => is_of_interest(&trace.events[*index], &trace.names, style),
        };
        let centre = trace.events.partition_point(|event| event.step < step);
        let behind = trace.events.partition_point(|event| event.step <= step);
        let before = (0..centre).rev().filter(is_shown).take(context).last();
        let after = (behind..trace.events.len()).filter(is_shown).take(context).last();
        let step_of = |index: usize| trace.events[index].step;
        Ok(Window { first_step: before.map_or(step, step_of), last_step: after.map_or(step, step_of), state_at: None })
    }

    /// Whether an event with that step is shown.
    #[must_use]
    pub fn contains(&self, step: u64) -> bool {
        (self.first_step..=self.last_step).contains(&step)
    }

    /// Whether it is all of every run.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        *self == Window::WHOLE
    }
}

fn last_step(trace: &Trace) -> u64 {
    trace.events.last().map_or(0, |event| event.step)
}

fn check(trace: &Trace, step: u64) -> Result<(), WindowError> {
    let last = last_step(trace);
    match (1..=last).contains(&step) {
        true => Ok(()),
        false => Err(WindowError::NoSuchStep { step, last }),
    }
}
