//! The page of a run: what it is made of, put together from what the commands know.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;

use squall_campaign::explain::Explanation;
use squall_campaign::whole_file::WholeFile;
use squall_check::claim::{Claim, Counterexample};
use squall_check::history::{Builder, End, EventType, History, Operation};
use squall_check::linearizability::Limits;
use squall_check::property::{Recorded, TOPIC};
use squall_check::value::Value;
use squall_reports::likelihood::Likelihood;
use squall_reports::page::{self, OperationEnd, OperationPart, Passing, RunPage, Shrinking};
use squall_reports::printable;
use squall_trace::swarm::InWords;
use squall_trace::target::{Open, Reached, UnreachedFault};
use squall_trace::trace::format_ns;
use squall_trace::{Capabilities, EndReason, EventKind, Outcome, OwnedEvent, Plan, Trace, Verdict};

use super::exit::Stop;
use super::run::unwritable;
use crate::failures::Told;
use crate::failures::minimal_in_words;
use crate::scenario::Scenario;

/// A run about which a page is written.
pub struct Paged<'p> {
    pub scenario: &'p Scenario,
    pub plan: &'p Plan,
    pub outcome: &'p Outcome,
    /// The command that runs it again, as `squall …`.
    pub replay: &'p str,
    /// What there is to know before all else: that the page isn't of what was saved, say.
    pub notice: Option<String>,
    /// Whether it repeats itself, if that is known.
    pub repeats: Option<String>,
    pub shrinking: Option<Shrinking>,
    pub explanation: Option<&'p Explanation>,
    /// How likely its failure is over time, or why that isn't said.
    pub likelihood: Result<Likelihood, String>,
}

impl Paged<'_> {
    /// The page, as HTML.
    ///
    /// # Errors
    /// If the run left no trace.
    pub fn render(&self, path: &Path) -> Result<String, Stop> {
        let Paged { scenario, outcome, replay, notice, shrinking, explanation, .. } = self;
        let Some(trace) = &outcome.trace else {
            let property = outcome.verdict.property().unwrap_or("unknown");
            return Err(Stop::Own(format!(
                "{} can't be written: the run ({property}) leaves no trace",
                path.display()
            )));
        };
        let passing = explanation.and_then(|explanation| {
            let trace = explanation.passing.trace.as_ref()?;
            let Explanation { left_out, events_shared, .. } = *explanation;
            Some(Passing { trace, left_out, events_shared, operations: operations(trace, None) })
        });
        Ok(page::render_page(&RunPage {
            scenario: scenario.name(),
            trace,
            replay: super::as_called(replay),
            notice: notice.clone(),
            facts: self.facts(),
            shrinking: shrinking.clone(),
            passing,
            likelihood: self.likelihood.clone(),
            operations: operations(trace, self.claim()),
            calls: &outcome.calls,
            not_checked: not_checked(outcome, scenario.capabilities()),
        }))
    }

    /// Writes the page into a file that was shown to be writable.
    ///
    /// # Errors
    /// If it can't be written after all, or the run left no trace.
    pub fn write(&self, path: &Path, mut file: WholeFile) -> Result<(), Stop> {
        let page = self.render(path)?;
        let written = file.file().write_all(page.as_bytes()).and_then(|()| file.finish());
        written.map_err(|error| unwritable(path, &error))
    }

    /// The claim about the history that the run has broken, where it is one by name.
    fn claim(&self) -> Option<Claim> {
        let property = self.outcome.verdict.property()?;
        self.scenario.claim(property).or_else(|| Claim::of_name(property))
    }

    fn facts(&self) -> Vec<(String, String)> {
        let Paged { scenario, plan, outcome, repeats, .. } = self;
        let mut facts: Vec<(&str, String)> = vec![
            ("Seed", plan.seed.to_string()),
            ("Scenario", format!("{} ({})", scenario.name(), scenario.path().display())),
        ];
        if !scenario.about().is_empty() {
            facts.push(("About", scenario.about().to_string()));
        }
        for (key, value) in scenario.parameters() {
            facts.push(("Setting", format!("{key} = {value}")));
        }
        if !outcome.swarm.is_empty() {
            facts.push(("Swarm", InWords(&outcome.swarm).to_string()));
        }
        facts.push(("Order within an instant", plan.strategy.to_string()));
        facts.push(("Digest", outcome.digest.to_string()));
        let unknown = "not checked: it was run once".to_string();
        facts.push(("Determinism", repeats.clone().unwrap_or(unknown)));
        let build = scenario.build().map_or_else(String::new, |build| format!(", build {build} of the program"));
        facts.push(("Versions", format!("Squall {}{build}", env!("CARGO_PKG_VERSION"))));
        let ending = &outcome.ending;
        facts.push(("End", format!("after {} of virtual time: {}", format_ns(ending.at_ns), ending.reason)));
        let counts = &outcome.messages;
        facts.push((
            "Messages",
            format!(
                "{} sent, {} duplicated, {} corrupted, {} delivered, {} lost, {} under way at the end",
                counts.sent, counts.duplicated, counts.corrupted, counts.delivered, counts.lost, counts.in_flight
            ),
        ));
        let is_log = |event: &&OwnedEvent| matches!(event.kind, EventKind::Log { .. });
        let logs = outcome.trace.iter().flat_map(|trace| &trace.events).filter(is_log).count() as u64;
        facts.push(("Events", format!("{}, and {}", ending.events, printable::counted(logs, "log line"))));
        if let Some(properties) = outcome.properties.as_ref().filter(|properties| !properties.is_empty()) {
            facts.push(("Judged by", format!("{}, and what every run is judged by", properties.join(", "))));
        }
        for Reached { goal, times } in outcome.goals.iter().filter(|reached| reached.times > 0) {
            facts.push(("Goal", format!("{goal}: {}", printable::counted(*times, "time"))));
        }
        facts.into_iter().map(|(name, value)| (name.to_string(), value)).collect()
    }
}

/// What shrinking a seed's run did to it.
pub fn shrinking_of(told: &Told) -> Shrinking {
    let (before, left) = (told.shrunk.before, told.shrunk.perturbations().len());
    let taken = format!(
        "Of the {} that weren't calm in the seed's run, {} were taken away and {left} {} left. Everything else is calm.",
        printable::counted(before as u64, "decision"),
        before.saturating_sub(left),
        if left == 1 { "is" } else { "are" }
    );
    Shrinking { taken, left: left_in_words(&minimal_in_words(told.shrunk.minimal, left), told.shrunk.plan.horizon_ns) }
}

/// What is known of how small it is.
pub fn left_in_words(minimal: &str, horizon_ns: Option<u64>) -> String {
    let mut said = minimal.to_string();
    if let Some(first) = said.get_mut(..1) {
        first.make_ascii_uppercase();
    }
    match horizon_ns {
        Some(horizon_ns) => format!("{said}. The run is ended at {}: it needs no more to fail.", format_ns(horizon_ns)),
        None => format!("{said}."),
    }
}

/// What this run leaves unsaid.
fn not_checked(outcome: &Outcome, capabilities: Capabilities) -> Vec<String> {
    let mut said: Vec<String> = capabilities.not_addressed().into_iter().collect();
    if let Verdict::Unknown { message } = &outcome.verdict {
        said.push(format!("The run's verdict is unknown: {message}"));
    }
    for Open { property, message } in &outcome.open {
        said.push(format!("Property {property} was left open: {message}"));
    }
    if outcome.ending.reason == EndReason::Failed {
        said.push("The run ended with the failure: what would have come later, and what other properties would have said of it, is not known.".to_string());
    }
    for Reached { goal, .. } in outcome.goals.iter().filter(|reached| reached.times == 0) {
        said.push(format!("The goal “{goal}” was not reached in this run."));
    }
    for UnreachedFault { fault, why } in &outcome.unreached_faults {
        said.push(format!("{fault} never happened: {why}."));
    }
    for escape in &outcome.escapes {
        said.push(format!("Left the simulation, so that it may not repeat: {escape}"));
    }
    if !outcome.unused_overrides.is_empty() {
        said.push(format!(
            "{} of the saved perturbations matched nothing in this run.",
            outcome.unused_overrides.len()
        ));
    }
    said
}

/// The operations of clients in a run's history, with what part they have in what breaks the claim. None where the history is wrong, which then is what
/// the verdict says.
fn operations(trace: &Trace, broken: Option<Claim>) -> Vec<page::Operation> {
    let (history, events, unanswered) = history(trace).unwrap_or_default();
    let parts = match broken.and_then(|claim| claim.counterexample(&history, Limits::default())) {
        Some(found) => parts(found),
        None => told_parts(trace, &history),
    };
    let place = |number: u32| events[number as usize - 1];
    let told_of = |operation: &Operation, part: Option<OperationPart>, failed: bool| {
        let mut asked = history.name(operation).to_string();
        if let Some(key) = history.key(operation) {
            asked.push_str(&format!(" {key}"));
        }
        if operation.argument != Value::Null {
            asked.push_str(&format!(" {}", operation.argument));
        }
        // It may never have been said that nobody knows.
        let said = unanswered.get(&place(operation.invoked)).copied();
        let (answered, end, ended) = match &operation.end {
            _ if failed => ("did not happen".to_string(), OperationEnd::Failed, said),
            End::Unknown => ("outcome unknown".to_string(), OperationEnd::Unknown, said),
            End::Returned { event, result } if *result == operation.argument || *result == Value::Null => {
                ("ok".to_string(), OperationEnd::Ok, Some(place(*event)))
            }
            End::Returned { event, result } => (format!("→ {result}"), OperationEnd::Ok, Some(place(*event))),
        };
        let process = history.client(operation).map_or_else(|| operation.process.to_string(), str::to_string);
        page::Operation { process, asked, answered, end, begun: place(operation.invoked), ended, part }
    };
    let mut all: Vec<page::Operation> =
        (0..).zip(history.operations()).map(|(index, one)| told_of(one, parts.get(&index).copied(), false)).collect();
    all.extend(history.failed().iter().map(|operation| told_of(operation, None, true)));
    all.sort_by_key(|operation| operation.begun);
    all
}

/// What part operations have in a counterexample, by their indices.
fn parts(found: Counterexample) -> BTreeMap<usize, OperationPart> {
    let mut parts = BTreeMap::new();
    match found {
        Counterexample::Order { order, stuck } => {
            parts.insert(stuck, OperationPart::Stuck);
            parts.extend((1..).zip(order).map(|(number, index)| (index, OperationPart::Ordered(number))));
        }
        Counterexample::Together(all) => {
            for (number, index) in (1..).zip(all) {
                parts.entry(index).or_insert(OperationPart::Together(number));
            }
        }
    }
    parts
}

/// The same of a claim that a program makes by a model of its own, which nobody but its property can judge again: what the verdict tells are the sentences of
/// operations.
fn told_parts(trace: &Trace, history: &History) -> BTreeMap<usize, OperationPart> {
    let told: Vec<&str> = trace.verdict.message().unwrap_or_default().lines().map(str::trim).collect();
    if !told.first().is_some_and(|first| first.contains("goes on at")) {
        return BTreeMap::new();
    }
    let part = |sentence: &str| match told.iter().position(|line| *line == sentence)? {
        1 => Some(OperationPart::Stuck),
        // The order begins after the line that says so, and perhaps one that says how many are before these.
        place => {
            let before = told.iter().take(place).filter(|line| line.starts_with("process ")).count();
            Some(OperationPart::Ordered(before))
        }
    };
    let all = history.operations().iter().enumerate();
    all.filter_map(|(index, operation)| Some((index, part(&history.sentence(operation))?))).collect()
}

/// A run's history, the places of its events among those of the run, and where it is said of an operation, by the place at which it began, that it did not
/// happen or that nobody knows.
fn history(trace: &Trace) -> Option<(History, Vec<usize>, BTreeMap<usize, usize>)> {
    let mut listener = squall_check::property::Listener::default();
    let mut builder = Builder::default();
    let mut places = Vec::new();
    let mut clients: Vec<Box<str>> = Vec::new();
    let (mut open, mut unanswered) = (BTreeMap::new(), BTreeMap::new());
    for (place, event) in trace.events.iter().enumerate() {
        let EventKind::Publish { topic, value } = &event.kind else { continue };
        if topic != TOPIC {
            continue;
        }
        let said = listener.hear(event).ok()??;
        if said.process as usize == clients.len() {
            let recorded: Recorded = serde_json::from_str(value).ok()?;
            // A process is named by node, task and numbers: people know the node.
            clients.push(recorded.process.split('/').next().unwrap_or_default().into());
        }
        match said.kind {
            EventType::Invoke => {
                open.insert(said.process, place);
            }
            EventType::Ok => {}
            EventType::Fail | EventType::Info => {
                unanswered.extend(open.remove(&said.process).map(|begun| (begun, place)))
            }
        }
        builder.push(said).ok()?;
        places.push(place);
    }
    Some((builder.finish().of_clients(clients), places, unanswered))
}
