//! How likely a failure is over its run: drawn for the page and for the terminal.

use std::num::NonZeroU64;

use serde::Serialize;
use squall_campaign::likelihood::{Draws, SURE_MIN, likelihood};
use squall_campaign::sweep::CONFIDENCE;
use squall_reports::likelihood::{Likelihood, Moment};
use squall_trace::{Outcome, Plan, Target as _};

use super::interrupt;
use crate::failures::draw_again;
use crate::runner::{HANG_PROPERTY, Simulation};

/// Why nothing is drawn of a run that is another the second time.
pub const UNREPEATED: &str = "It can't be drawn: the run doesn't repeat itself, so that nothing of it can be kept.";

/// How often the rest of a run is drawn again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Often {
    /// As often as it takes to tell 100 % from 98.5 %, or fewer times where runs are long.
    Usual,
    /// For a page of many: fewer times.
    OfExploration,
    /// So often, however long it takes.
    Times(NonZeroU64),
}

impl Often {
    fn draws(self, simulation: &Simulation) -> Draws {
        let (most, events_max) = match self {
            Often::Usual => (200, 10_000_000),
            Often::OfExploration => (50, 5_000_000),
            Often::Times(most) => (most.get(), u64::MAX),
        };
        // A process takes as long as so many events.
        let events_of_run = if simulation.is_in_processes() { 5_000 } else { 0 };
        Draws { most, events_max, events_of_run }
    }
}

/// How likely it is that the run's failure happens. In a sentence why there is nothing to be drawn.
///
/// `outcome` is the run of `plan`, recorded in full.
pub fn drawn(simulation: &Simulation, plan: &Plan, outcome: &Outcome, often: Often) -> Result<Likelihood, String> {
    let draws = often.draws(simulation);
    let Some(property) = outcome.verdict.property() else {
        return Err("There is none: this run doesn't fail.".to_string());
    };
    if !simulation.capabilities().message_sites {
        return Err("It can't be drawn: the engine of this program can't draw again what comes after a moment and leave what came before.".to_string());
    }
    if property == HANG_PROPERTY {
        return Err("It can't be drawn: a run that hangs takes too long to be run again and again.".to_string());
    }
    if outcome.trace.is_none() {
        return Err("It can't be drawn: the run left no trace, and what was decided in it isn't known.".to_string());
    }
    let found = draw_again(simulation, |target| likelihood(target, plan, outcome, draws, || !interrupt::requested()));
    let found = match found {
        Ok(Some(found)) => found,
        Ok(None) => return Err("It isn't known: it was interrupted before each moment had its first run.".to_string()),
        Err(error) => return Err(format!("It isn't known: a run couldn't be made: {error}")),
    };
    let runs = found.moments.first().map_or(0, |moment| moment.runs);
    let ended = match runs < draws.most {
        false => String::new(),
        true if interrupt::requested() => format!("it was to be {} times, and was interrupted", draws.most),
        true if simulation.is_in_processes() => {
            format!("as each run has a process of its own, that is fewer than {}", draws.most)
        }
        true => format!("as its runs are long, that is fewer than {}", draws.most),
    };
    let inevitable = found.inevitable_from();
    Ok(Likelihood {
        inevitable: inevitable.and_then(|from| found.moments.iter().position(|moment| *moment == from)),
        moments: found.moments.iter().map(moment_in_numbers).collect(),
        confidence: CONFIDENCE,
        sure_min: SURE_MIN,
        ended,
    })
}

fn moment_in_numbers(moment: &squall_campaign::likelihood::Moment) -> Moment {
    let (at_least, at_most) = moment.bounds();
    Moment {
        at_ns: moment.at_ns,
        runs: moment.runs,
        failed: moment.failed,
        failed_otherwise: moment.failed_otherwise,
        unknown: moment.unknown,
        share: moment.share(),
        at_least,
        at_most,
    }
}

/// The same as a line of JSON.
#[derive(Serialize)]
pub struct Line<'l> {
    event: &'static str,
    property: Option<&'l str>,
    moments: Vec<MomentLine>,
    /// The first moment from which on each run failed.
    inevitable_from_ns: Option<u64>,
    confidence: f64,
    /// Why there are no moments, or fewer draws than were asked for.
    reason: Option<&'l str>,
}

#[derive(Serialize)]
struct MomentLine {
    at_ns: u64,
    runs: u64,
    failed: u64,
    failed_otherwise: u64,
    unknown: u64,
    share: Option<f64>,
    at_least: f64,
    at_most: f64,
}

impl<'l> Line<'l> {
    pub fn new(outcome: &'l Outcome, found: &'l Result<Likelihood, String>) -> Line<'l> {
        let (moments, inevitable, reason) = match found {
            Ok(likelihood) => {
                let reason = Some(&*likelihood.ended).filter(|ended| !ended.is_empty());
                (&likelihood.moments[..], likelihood.inevitable, reason)
            }
            Err(why) => (&[][..], None, Some(&**why)),
        };
        let of_moment = |moment: &Moment| {
            let Moment { at_ns, runs, failed, failed_otherwise, unknown, share, at_least, at_most } = *moment;
            MomentLine { at_ns, runs, failed, failed_otherwise, unknown, share, at_least, at_most }
        };
        Line {
            event: "likelihood",
            property: outcome.verdict.property(),
            moments: moments.iter().map(of_moment).collect(),
            inevitable_from_ns: inevitable.map(|place| moments[place].at_ns),
            confidence: CONFIDENCE,
            reason,
        }
    }
}
