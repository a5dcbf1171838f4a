//! `squall check`: judges a history from anywhere.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::Path;
use std::time::Instant;

use serde::Serialize;
use squall_check::claim::{Claim, Verdict};
use squall_check::history::{self, History};
use squall_check::linearizability::{Limits, Misunderstood};
use squall_reports::printable;

use super::arguments::Check;
use super::exit::{self, Stop};
use super::output::Output;

/// Reading goes in pieces of that size.
const BUFFER_BYTES: usize = 1 << 20;

#[derive(Serialize)]
struct Finished<'f> {
    event: &'static str,
    verdict: &'static str,
    ops: u64,
    steps: u64,
    seconds: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<&'f str>,
}

pub fn check(arguments: &Check, output: &mut Output) -> Result<u8, Stop> {
    let begun = Instant::now();
    let Check { model, consistency, file, steps } = arguments;
    let claim = match (*model, consistency) {
        (claim, None) => claim,
        (Claim::Transactions(_), Some(level)) => Claim::Transactions(*level),
        (_, Some(_)) => {
            return Err(Stop::Input(miette::miette!("--consistency is of transactions: of --model list-append alone")));
        }
    };
    let limits = match (claim, steps) {
        (_, None) => Limits::default(),
        (Claim::Linearizable(_), Some(steps)) => Limits { steps: *steps, ..Limits::default() },
        (_, Some(_)) => {
            return Err(Stop::Input(miette::miette!(
                "--steps is of the search that an object's model needs: {claim} needs none"
            )));
        }
    };
    let history = read(file)?;
    let judged = claim.check(&history, limits);
    let (verdict, steps) = judged
        .map_err(|Misunderstood { event, problem }| wrong(file, &format!("{}: {problem}", history.place(event))))?;
    let (word, said, code, message) = match verdict {
        Verdict::Holds => ("pass", "YES", exit::PASS, None),
        Verdict::Broken(found) => ("fail", "NO", exit::PROPERTY_FAILED, Some(found.trim_end().to_string())),
        Verdict::Unknown(why) => ("unknown", "UNKNOWN", exit::INCONCLUSIVE, Some(why)),
    };
    let seconds = begun.elapsed().as_secs_f64();
    let searched = if steps > 0 { format!(", {steps} steps") } else { String::new() };
    output.text(&format!(
        "{claim}: {said} ({}, {} operations{searched}, {seconds:.2} s)",
        file.display(),
        history.invoked()
    ))?;
    if let Some(message) = &message {
        for line in message.lines() {
            output.text(&printable::line(line, 200))?;
        }
    }
    output.json(&Finished {
        event: "check-finished",
        verdict: word,
        ops: history.invoked(),
        steps,
        seconds,
        message: message.as_deref(),
    })?;
    // The process is at its end: a million operations needn't be taken apart first.
    std::mem::forget(history);
    Ok(code)
}

fn wrong(file: &Path, problem: &str) -> Stop {
    Stop::Input(miette::miette!("{}: {}", file.display(), super::output::without_controls(problem)))
}

/// `-` is standard input.
fn read(file: &Path) -> Result<History, Stop> {
    let source: Box<dyn Read> = if file == Path::new("-") {
        Box::new(io::stdin())
    } else {
        Box::new(File::open(file).map_err(|error| wrong(file, &format!("it can't be read: {error}")))?)
    };
    history::read(BufReader::with_capacity(BUFFER_BYTES, source)).map_err(|error| wrong(file, &error.to_string()))
}
