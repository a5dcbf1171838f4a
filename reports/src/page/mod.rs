//! Pages: each one HTML file that needs nothing else, opened from disk. Here is that of a run; [`campaign`] has that of many runs, [`sweep`]
//! that of a grid of settings.
//!
//! What is told of the run is data, compressed and in base64, which the page's script decodes and shows as text: nothing that a program
//! named, sent or logged is ever markup. The one script and the one style are named by their hashes in the page's content security policy,
//! which allows nothing else, and no request.

pub mod campaign;
mod chart;
mod data;
mod markup;
mod shell;
pub mod sweep;

use std::io::Write;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use flate2::Compression;
use flate2::write::GzEncoder;
use squall_trace::Trace;
use squall_trace::target::ClientCall;

use crate::likelihood::Likelihood;

/// What is within the page: `{{data}}` is put in.
const BODY: &str = include_str!("page.html");
const STYLE: &str = concat!(include_str!("common.css"), include_str!("page.css"));
const SCRIPT: &str = include_str!("page.js");

/// What the page of a run is made of.
#[derive(Clone, Debug)]
pub struct RunPage<'r> {
    /// The scenario's name, or the test's.
    pub scenario: &'r str,
    /// All that happened.
    pub trace: &'r Trace,
    /// What there is to know before all else. It stands below the verdict.
    pub notice: Option<String>,
    /// The command that runs it again.
    pub replay: String,
    /// What there is to know of the run, as names and values, the most important first: seed, versions, digest, whether it repeats itself.
    pub facts: Vec<(String, String)>,
    /// What shrinking did, if it was shrunk: then all that wasn't calm in the run causes its failure.
    pub shrinking: Option<Shrinking>,
    /// The nearest run that doesn't fail, if one is known.
    pub passing: Option<Passing<'r>>,
    /// How likely its failure is over time; or a sentence why that isn't said.
    pub likelihood: Result<Likelihood, String>,
    /// What clients did, in the order in which it began.
    pub operations: Vec<Operation>,
    /// The calls of clients, for the latencies over time where there are no operations. Where there are no calls either, those of messages are shown.
    pub calls: &'r [ClientCall],
    /// What this run doesn't say, a sentence each.
    pub not_checked: Vec<String>,
}

/// What shrinking did to a failure, in words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shrinking {
    /// What it took away.
    pub taken: String,
    /// What is known of how small the rest is.
    pub left: String,
}

/// The nearest run that doesn't fail.
#[derive(Clone, Debug)]
pub struct Passing<'r> {
    /// All that happened in it.
    pub trace: &'r Trace,
    /// Which perturbation was left out for it, by its place in the failing run's [`Trace::perturbations`].
    pub left_out: usize,
    /// How many events the two share, log lines left out.
    pub events_shared: usize,
    /// What clients did in it.
    pub operations: Vec<Operation>,
}

/// An operation of a client, from its history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Operation {
    /// Who did it.
    pub process: String,
    /// What was asked, in words.
    pub asked: String,
    /// What came back, in words. Empty if nothing did.
    pub answered: String,
    /// How it ended.
    pub end: OperationEnd,
    /// The event with which it began, by its index in [`Trace::events`].
    pub begun: usize,
    /// The event with which it ended. `None`: it never did.
    pub ended: Option<usize>,
    /// What part it has in the counterexample, if there is one.
    pub part: Option<OperationPart>,
}

/// What an operation is to a counterexample.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OperationPart {
    /// No order goes on at it.
    Stuck,
    /// In the longest order that was found it has that place, from 1.
    Ordered(usize),
    /// It is one of those that don't go together: of a cycle, by its place, from 1.
    Together(usize),
}

/// How an operation ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OperationEnd {
    /// It came to something.
    Ok,
    /// It certainly did not happen.
    Failed,
    /// Nobody knows whether it happened.
    Unknown,
}

/// The page of a run, as HTML in UTF-8: about 10 bytes for each event, and 70 kilobytes.
#[must_use]
pub fn render_page(page: &RunPage<'_>) -> String {
    let data = data::of(page);
    let json = serde_json::to_vec(&data).expect("names and numbers are JSON");
    let body = shell::fill(BODY, &[("{{data}}", &STANDARD.encode(compressed(&json)))]);
    shell::page(&data.title, STYLE, &body, SCRIPT)
}

fn compressed(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    let written = encoder.write_all(bytes).and_then(|()| encoder.finish());
    written.expect("memory takes what is written")
}
