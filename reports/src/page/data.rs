//! What the page's script reads: the run as words and numbers, in columns where there are many of a kind.

use std::collections::BTreeMap;

use serde::Serialize;
use squall_trace::swarm::FaultClass;
use squall_trace::trace::format_ns;
use squall_trace::{EventKind, NodeId, OwnedEvent, TaskId, Trace, Verdict};

use super::{Operation, OperationEnd, OperationPart, Passing, RunPage};
use crate::likelihood::{Decided, Likelihood, told};
use crate::printable::line;
use crate::scene::{Fate, Scene, SpanKind};
use crate::timeline::{is_of_tasks, what_happened};

/// How many events a page holds. Of a longer run, those about tasks are left out first, then the earliest.
const EVENTS_MAX: usize = 150_000;

/// Of the events that a page holds of a longer run, one part in so many comes after the failure.
const PART_AFTER_FAILURE: usize = 10;

/// How wide one text may be, in columns.
const TEXT_COLUMNS_MAX: usize = 4_000;

/// How wide it may be when all texts together have come to [`TEXTS_BYTES_MAX`].
const TEXT_COLUMNS_MAX_LATE: usize = 120;

/// How many bytes of texts are kept in full.
const TEXTS_BYTES_MAX: usize = 16 << 20;

/// How long a message of the verdict may be.
const MESSAGE_CHARACTERS_MAX: usize = 100_000;

/// How many events of the two runs are shown side by side from where they part.
const PARTED_EVENTS_MAX: usize = 16;

/// And how many before that, which they share.
const SHARED_EVENTS_MAX: usize = 4;

/// Of so many events before that, for each that is shown, one is of interest.
const SHARED_LOOKED_AT: usize = 16;

/// How many points of latencies there are.
const LATENCIES_MAX: usize = 20_000;

/// The code of a client's return, which is of interest where other ends of tasks aren't. Events have those of [`EventKind::code`], from 1.
const RETURN_CODE: u8 = 0;

/// All that the page knows.
#[derive(Serialize)]
pub(super) struct Data {
    pub(super) title: String,
    scenario: String,
    verdict: VerdictData,
    /// What there is to know before all else. Empty: nothing.
    notice: String,
    replay: String,
    facts: Vec<(String, String)>,
    causes: Vec<Cause>,
    /// How many decisions weren't calm, those that aren't told included.
    causes_in_all: usize,
    shrinking: Option<(String, String)>,
    likelihood: LikelihoodData,
    nodes: Vec<NodeData>,
    /// What events refer to.
    texts: Vec<String>,
    events: Events,
    messages: Messages,
    spans: Vec<SpanData>,
    operations: Vec<OperationData>,
    latencies: Latencies,
    passing: Option<PassingData>,
    not_checked: Vec<String>,
    /// What isn't in the page, a sentence each.
    left_out: Vec<String>,
    end_ns: u64,
}

#[derive(Serialize)]
struct VerdictData {
    word: &'static str,
    property: Option<String>,
    sentence: String,
    /// Where and when.
    place: String,
    message: String,
    at_ns: Option<u64>,
    event: Option<usize>,
}

#[derive(Serialize)]
struct Cause {
    words: String,
    at_ns: u64,
    event: Option<usize>,
}

#[derive(Serialize, Default)]
struct LikelihoodData {
    /// None where it isn't known.
    moments: Vec<MomentData>,
    inevitable: Option<usize>,
    /// From where on it is inevitable; or why nothing is known.
    sentence: String,
    /// Where it became likelier by most, if that is elsewhere.
    step: String,
    how: String,
    /// How sure the bounds are, from 0 to 1.
    confidence: f64,
}

#[derive(Serialize)]
struct MomentData {
    at_ns: u64,
    /// As it is shown.
    shown_ns: u64,
    /// The last event of what stays.
    event: Option<usize>,
    runs: u64,
    failed: u64,
    failed_otherwise: u64,
    unknown: u64,
    share: Option<f64>,
    at_least: f64,
    at_most: f64,
    /// The numbers of the causes just before it.
    causes: Vec<usize>,
    /// How many decisions lie just before it, those that aren't told included.
    decisions: usize,
}

#[derive(Serialize)]
struct NodeData {
    name: String,
    address: String,
    client: bool,
}

/// A column for each thing that there is to say of an event.
#[derive(Serialize, Default)]
struct Events {
    /// Nanoseconds since the event before.
    at: Vec<u64>,
    /// Its number in the run, less that of the event before.
    step: Vec<u64>,
    /// The place of its node, -1 for none.
    node: Vec<i64>,
    kind: Vec<u8>,
    /// The place of its text.
    text: Vec<usize>,
    /// The place of its task's label among the texts, -1 for none.
    task: Vec<i64>,
}

#[derive(Serialize, Default)]
struct Messages {
    /// The event of the sending, less that of the message before.
    sent: Vec<i64>,
    /// The event of its end, less that of its sending; 0 if it has none.
    end: Vec<usize>,
    to: Vec<usize>,
    /// 1: a copy; 2: corrupted.
    flags: Vec<u8>,
    /// 0: delivered; 1: under way; 2: lost.
    fate: Vec<u8>,
}

#[derive(Serialize)]
struct SpanData {
    class: &'static str,
    words: String,
    groups: Vec<Vec<usize>>,
    begun_ns: u64,
    ended_ns: Option<u64>,
    /// The events with which it begins and ends.
    event: Option<usize>,
    last: Option<usize>,
}

#[derive(Serialize)]
struct OperationData {
    process: String,
    asked: String,
    answered: String,
    end: &'static str,
    begun_ns: u64,
    ended_ns: Option<u64>,
    event: Option<usize>,
    last: Option<usize>,
    /// Its place in the order that the counterexample tells, or in its cycle, from 1; 0 for the operation at which no order goes on.
    part: Option<usize>,
}

#[derive(Serialize)]
struct Latencies {
    what: &'static str,
    at: Vec<u64>,
    /// None where no answer came.
    ns: Vec<Option<u64>>,
    in_all: usize,
}

#[derive(Serialize)]
struct PassingData {
    sentence: String,
    shared: Vec<Row>,
    failing: Vec<Row>,
    passing: Vec<Row>,
    verdict: String,
}

#[derive(Serialize)]
struct Row {
    at_ns: u64,
    node: String,
    words: String,
    event: Option<usize>,
}

/// What a page shows of a run.
pub(super) fn of(page: &RunPage<'_>) -> Data {
    let trace = page.trace;
    let names = &trace.names;
    let scene = Scene::of(trace);
    // Where a history can't be ordered it fails at no event, but shows at the operation that doesn't fit.
    let stuck = page.operations.iter().find(|operation| operation.part == Some(OperationPart::Stuck));
    let failed = scene.failed.or_else(|| stuck.map(|operation| operation.ended.unwrap_or(operation.begun)));
    let (kept, mut left_out) = keep(trace, failed);
    // Where an event of the trace stands in the page.
    let place = |index: usize| kept.binary_search(&index).ok();
    let mut texts = Texts::default();
    let events = events(page, &kept, &mut texts);
    let told = told(&trace.perturbations, page.shrinking.is_some(), page.likelihood.as_ref().ok());
    let causes = told.iter().map(|cause| Cause {
        words: line(&cause.sentence(names), TEXT_COLUMNS_MAX),
        at_ns: cause.at_ns,
        event: scene.event_of(cause, trace).and_then(place),
    });
    let causes: Vec<Cause> = causes.collect();
    let likelihood = match &page.likelihood {
        Ok(likelihood) => {
            let decided = Decided { all: &trace.perturbations, told: &told, names };
            likelihood_of(likelihood, &decided, &causes, &|before_ns| {
                let events = trace.events.partition_point(|event| event.at_ns < before_ns);
                let shown = |index: &usize| !is_of_tasks(&trace.events[*index], names);
                (0..events).rev().find(shown).or_else(|| (!trace.events.is_empty()).then_some(0)).and_then(place)
            })
        }
        Err(why) => LikelihoodData { sentence: line(why, TEXT_COLUMNS_MAX), ..LikelihoodData::default() },
    };
    if texts.cut > 0 {
        let plural = if texts.cut == 1 { "text is" } else { "texts are" };
        left_out.push(format!("{} long {plural} cut; the run's trace has them in full.", texts.cut));
    }
    let operations = page.operations.iter().map(|operation| OperationData {
        process: line(&operation.process, TEXT_COLUMNS_MAX_LATE),
        asked: line(&operation.asked, TEXT_COLUMNS_MAX_LATE),
        answered: line(&operation.answered, TEXT_COLUMNS_MAX_LATE),
        end: match operation.end {
            OperationEnd::Ok => "ok",
            OperationEnd::Failed => "fail",
            OperationEnd::Unknown => "info",
        },
        begun_ns: trace.events[operation.begun].at_ns,
        ended_ns: operation.ended.map(|ended| trace.events[ended].at_ns),
        event: place(operation.begun),
        last: operation.ended.and_then(place),
        part: operation.part.map(|part| match part {
            OperationPart::Stuck => 0,
            OperationPart::Ordered(place) | OperationPart::Together(place) => place,
        }),
    });
    let operations: Vec<OperationData> = operations.collect();
    let node = |node: &NodeId| node.index();
    let spans = scene.spans.iter().map(|span| SpanData {
        class: class_name(span.what),
        words: line(&what_happened(&trace.events[span.begun], names), TEXT_COLUMNS_MAX_LATE),
        groups: span.groups.iter().map(|group| group.iter().map(node).collect()).collect(),
        begun_ns: trace.events[span.begun].at_ns,
        ended_ns: span.ended.map(|ended| trace.events[ended].at_ns),
        event: place(span.begun),
        last: span.ended.and_then(place),
    });
    let verdict = verdict(trace, stuck, failed.and_then(place));
    let scenario = line(page.scenario, TEXT_COLUMNS_MAX_LATE);
    Data {
        title: format!("{} · {scenario} · seed {}", verdict.sentence, trace.plan.seed),
        scenario,
        verdict,
        notice: page.notice.as_deref().map_or_else(String::new, |notice| line(notice, TEXT_COLUMNS_MAX)),
        replay: line(&page.replay, TEXT_COLUMNS_MAX),
        facts: page.facts.iter().map(|(name, value)| (name.clone(), line(value, TEXT_COLUMNS_MAX))).collect(),
        causes,
        causes_in_all: trace.perturbations.len(),
        shrinking: page.shrinking.as_ref().map(|shrinking| (shrinking.taken.clone(), shrinking.left.clone())),
        likelihood,
        nodes: nodes(trace),
        events,
        messages: messages(&scene, &kept),
        spans: spans.collect(),
        latencies: latencies(page, &scene, &operations),
        operations,
        passing: page.passing.as_ref().map(|passing| parted(page, passing, &place)),
        not_checked: page.not_checked.iter().map(|said| line(said, TEXT_COLUMNS_MAX)).collect(),
        left_out,
        texts: texts.list,
        end_ns: scene.end_ns,
    }
}

/// A share as closely as a page needs it: the last bits of a double may be another machine's.
fn in_millionths(share: f64) -> f64 {
    (share * 1e6).round() / 1e6
}

/// `last_before` finds the last event before a time.
fn likelihood_of(
    likelihood: &Likelihood,
    decided: &Decided<'_>,
    causes: &[Cause],
    last_before: &dyn Fn(u64) -> Option<usize>,
) -> LikelihoodData {
    let moments = likelihood.moments.iter().enumerate().map(|(place, moment)| {
        let behind = likelihood.behind(place, decided);
        let numbers: Vec<usize> = behind.told.iter().map(|(number, _)| *number).collect();
        // Right behind a cause, that is what it is about.
        let shown_ns = likelihood.shown_ns(place, decided);
        let cause = numbers.last().map(|number| &causes[number - 1]).filter(|cause| cause.at_ns == shown_ns);
        MomentData {
            at_ns: moment.at_ns,
            shown_ns,
            event: cause.and_then(|cause| cause.event).or_else(|| last_before(moment.at_ns)),
            runs: moment.runs,
            failed: moment.failed,
            failed_otherwise: moment.failed_otherwise,
            unknown: moment.unknown,
            share: moment.share.map(in_millionths),
            at_least: in_millionths(moment.at_least),
            at_most: in_millionths(moment.at_most),
            causes: numbers,
            decisions: behind.count,
        }
    });
    LikelihoodData {
        moments: moments.collect(),
        inevitable: likelihood.inevitable,
        sentence: likelihood.sentence(decided),
        step: likelihood.largest_step(decided),
        how: likelihood.how(),
        confidence: likelihood.confidence,
    }
}

/// Which events are in the page, and what is said of the others.
fn keep(trace: &Trace, failed: Option<usize>) -> (Vec<usize>, Vec<String>) {
    let all = trace.events.len();
    if all <= EVENTS_MAX {
        return ((0..all).collect(), Vec::new());
    }
    let mut said = Vec::new();
    let is_shown = |index: &usize| Some(*index) == failed || !is_of_tasks(&trace.events[*index], &trace.names);
    let mut kept: Vec<usize> = (0..all).filter(is_shown).collect();
    if kept.len() < all {
        said.push(format!(
            "Of the run's {all} events, {} about tasks (polls, spawns, ends) are left out of this page.",
            all - kept.len()
        ));
    }
    if kept.len() > EVENTS_MAX {
        let failed = failed.map_or(kept.len(), |failed| kept.partition_point(|index| *index < failed));
        let end = kept.len().min((failed + EVENTS_MAX / PART_AFTER_FAILURE).max(EVENTS_MAX));
        let begin = end - EVENTS_MAX;
        let from = format_ns(trace.events[kept[begin]].at_ns);
        said.push(format!("{begin} earlier events are left out of this page: it begins at {from}."));
        if end < kept.len() {
            let after = format_ns(trace.events[kept[end - 1]].at_ns);
            said.push(format!("{} later events are left out of this page: it ends at {after}.", kept.len() - end));
        }
        kept = kept[begin..end].to_vec();
    }
    (kept, said)
}

/// Texts, each once, as long as they may be.
#[derive(Default)]
struct Texts {
    list: Vec<String>,
    known: BTreeMap<String, usize>,
    bytes: usize,
    cut: usize,
}

impl Texts {
    fn place(&mut self, text: &str) -> usize {
        let columns = if self.bytes < TEXTS_BYTES_MAX { TEXT_COLUMNS_MAX } else { TEXT_COLUMNS_MAX_LATE };
        let mut shown = line(text, columns);
        // No cut text ends otherwise; one that ends so by itself isn't counted for it.
        if shown.ends_with('…') && !text.ends_with('…') {
            self.cut += 1;
            shown.push_str(&format!(" (cut here: it has {} bytes)", text.len()));
        }
        if let Some(&place) = self.known.get(&shown) {
            return place;
        }
        self.bytes += shown.len();
        self.list.push(shown.clone());
        self.known.insert(shown, self.list.len() - 1);
        self.list.len() - 1
    }
}

fn events(page: &RunPage<'_>, kept: &[usize], texts: &mut Texts) -> Events {
    let trace = page.trace;
    let names = &trace.names;
    let mut said = said_of(&page.operations);
    let mut columns = Events::default();
    let (mut at_ns, mut step) = (0, 0);
    let mut labels: BTreeMap<TaskId, i64> = BTreeMap::from([(TaskId::NONE, -1)]);
    for index in kept {
        let event = &trace.events[*index];
        columns.at.push(event.at_ns - at_ns);
        columns.step.push(event.step - step);
        (at_ns, step) = (event.at_ns, event.step);
        columns.node.push(if event.node.index() < names.nodes.len() { event.node.index() as i64 } else { -1 });
        let is_return = matches!(event.kind, EventKind::TaskEnd { .. }) && !is_of_tasks(event, names);
        columns.kind.push(if is_return { RETURN_CODE } else { event.kind.code() });
        let words = said.remove(index).unwrap_or_else(|| what_happened(event, names));
        columns.text.push(texts.place(&words));
        let label = labels.entry(event.task).or_insert_with(|| texts.place(&names.task(event.task)) as i64);
        columns.task.push(*label);
    }
    columns
}

/// In words what events say of the history, by their places: what is published of it is JSON, and says less.
fn said_of(operations: &[Operation]) -> BTreeMap<usize, String> {
    let mut said = BTreeMap::new();
    for operation in operations {
        said.insert(operation.begun, format!("begins {}", operation.asked));
        if let Some(ended) = operation.ended {
            said.insert(ended, format!("ends {} {}", operation.asked, operation.answered));
        }
    }
    said
}

fn messages(scene: &Scene, kept: &[usize]) -> Messages {
    let place = |index: usize| kept.binary_search(&index).ok();
    let mut columns = Messages::default();
    let mut before = 0;
    for message in &scene.messages {
        // A message whose sending is left out has no beginning to be drawn from.
        let Some(sent) = place(message.sent) else { continue };
        columns.sent.push(sent as i64 - before);
        before = sent as i64;
        let (fate, end) = match message.fate {
            Fate::Delivered { event } => (0, place(event)),
            Fate::UnderWay => (1, None),
            Fate::Lost { event, .. } => (2, place(event)),
        };
        // Its end may be left out: as if it were under way still.
        columns.fate.push(if end.is_none() { 1 } else { fate });
        columns.end.push(end.map_or(0, |end| end - sent));
        columns.to.push(message.to.index());
        columns.flags.push(u8::from(message.is_copy) | u8::from(message.is_corrupted) << 1);
    }
    columns
}

fn nodes(trace: &Trace) -> Vec<NodeData> {
    let nodes = trace.names.nodes.iter().map(|node| NodeData {
        name: line(&node.name, TEXT_COLUMNS_MAX_LATE),
        address: node.address.to_string(),
        client: node.client,
    });
    nodes.collect()
}

fn verdict(trace: &Trace, stuck: Option<&Operation>, event: Option<usize>) -> VerdictData {
    let message = trace.verdict.message().unwrap_or_default();
    let mut first = message.lines().next().unwrap_or_default().to_string();
    if let Some(Operation { process, asked, answered, .. }) = stuck {
        first.push_str(&format!(" {process}: {asked} {answered}"));
    }
    // Where there is more than this line, the colon leads to that.
    let first = line(first.trim_end_matches(':'), 300);
    let (sentence, place, at_ns) = match &trace.verdict {
        Verdict::Pass => ("Every property holds".to_string(), String::new(), None),
        Verdict::Unknown { .. } => (format!("Nobody can say: {first}"), String::new(), None),
        Verdict::Fail(failure) => {
            let at = format_ns(failure.at_ns);
            let place = match failure.node {
                Some(node) if node != NodeId::WORLD => format!("at {at} on {}", trace.names.node(node)),
                Some(_) => format!("at {at}"),
                None => format!("when the run had ended, at {at}"),
            };
            let property = line(&failure.property, TEXT_COLUMNS_MAX_LATE);
            let colon = if first.is_empty() { "" } else { ": " };
            (format!("{property} fails{colon}{first}"), line(&place, TEXT_COLUMNS_MAX_LATE), Some(failure.at_ns))
        }
    };
    VerdictData {
        word: trace.verdict.word(),
        property: trace.verdict.property().map(|property| line(property, TEXT_COLUMNS_MAX_LATE)),
        sentence,
        place,
        message: in_lines(message),
        at_ns,
        event,
    }
}

/// Several lines, each without what a terminal or a reader would be misled by.
fn in_lines(text: &str) -> String {
    let short: String = text.chars().take(MESSAGE_CHARACTERS_MAX).collect();
    let lines: Vec<String> = short.lines().map(|said| line(said, TEXT_COLUMNS_MAX)).collect();
    let cut = if short.len() < text.len() { "\n… (cut here)" } else { "" };
    lines.join("\n") + cut
}

fn class_name(what: SpanKind) -> &'static str {
    match what {
        SpanKind::Down => "down",
        SpanKind::Fault(FaultClass::Partition) => "partition",
        SpanKind::Fault(FaultClass::Pause) => "pause",
        SpanKind::Fault(FaultClass::Slow) => "slow",
        SpanKind::Fault(FaultClass::Clock) => "clock",
        SpanKind::Fault(FaultClass::Hold) => "hold",
        SpanKind::Fault(FaultClass::Link) => "link",
        SpanKind::Fault(_) => "fault",
    }
}

fn latencies(page: &RunPage<'_>, scene: &Scene, operations: &[OperationData]) -> Latencies {
    let at = |index: usize| page.trace.events[index].at_ns;
    let (what, points): (_, Vec<(u64, Option<u64>)>) = if !operations.is_empty() {
        // That something did not happen is an answer, too.
        let of = |operation: &OperationData| {
            let ended_ns = operation.ended_ns.filter(|_| operation.end != "info");
            (operation.begun_ns, ended_ns.map(|ended_ns| ended_ns.saturating_sub(operation.begun_ns)))
        };
        ("operations of clients", operations.iter().map(of).collect())
    } else if !page.calls.is_empty() {
        let calls = page
            .calls
            .iter()
            .map(|call| (call.begun_ns, call.answered_ns.map(|answered_ns| answered_ns.saturating_sub(call.begun_ns))));
        ("calls of clients", calls.collect())
    } else {
        let of = |message: &crate::scene::Message| match message.fate {
            Fate::Delivered { event } => (at(message.sent), Some(at(event).saturating_sub(at(message.sent)))),
            _ => (at(message.sent), None),
        };
        ("messages", scene.messages.iter().map(of).collect())
    };
    let in_all = points.len();
    // Of too many, evenly.
    let every = in_all.div_ceil(LATENCIES_MAX).max(1);
    let points = points.into_iter().step_by(every);
    let (at, ns) = points.unzip();
    Latencies { what, at, ns, in_all }
}

/// The two runs from where they part, and what they share just before.
fn parted(page: &RunPage<'_>, passing: &Passing<'_>, place: &dyn Fn(usize) -> Option<usize>) -> PassingData {
    let (trace, shared) = (page.trace, passing.events_shared);
    let (failing_says, passing_says) = (said_of(&page.operations), said_of(&passing.operations));
    let nowhere = |_: usize| None;
    let failing = Side { trace, says: &failing_says, place };
    let other = Side { trace: passing.trace, says: &passing_says, place: &nowhere };
    let mut before = failing.rows(shared.saturating_sub(SHARED_EVENTS_MAX * SHARED_LOOKED_AT)..shared);
    let before = before.split_off(before.len().saturating_sub(SHARED_EVENTS_MAX));
    let (mut fails, mut passes) = (failing.rows(shared..usize::MAX), other.rows(shared..usize::MAX));
    fails.truncate(PARTED_EVENTS_MAX);
    passes.truncate(PARTED_EVENTS_MAX);
    let cause = trace.perturbations.get(passing.left_out);
    let cause = cause.map_or_else(String::new, |cause| line(&cause.sentence(&trace.names), 300));
    let verdict = if passing.trace.verdict == Verdict::Pass { "passes" } else { "doesn't fail" };
    let number = passing.left_out + 1;
    PassingData {
        sentence: format!("Without {number}. ({cause}) the run {verdict}. The two share their first {shared} events."),
        shared: before,
        failing: fails,
        passing: passes,
        verdict: passing.trace.verdict.word().to_string(),
    }
}

/// One of two runs that are shown side by side.
struct Side<'s> {
    trace: &'s Trace,
    says: &'s BTreeMap<usize, String>,
    place: &'s dyn Fn(usize) -> Option<usize>,
}

impl Side<'_> {
    /// Of those of its events that count, by their order, those of interest: not more than can be shown, but for what is just before the end.
    fn rows(&self, range: std::ops::Range<usize>) -> Vec<Row> {
        let Side { trace, says, place } = self;
        let counted = trace.events.iter().enumerate().filter(|(_, event)| !matches!(event.kind, EventKind::Log { .. }));
        let in_range = counted.skip(range.start).take(range.len());
        let shown = in_range.filter(|(_, event)| !is_of_tasks(event, &trace.names));
        let row = |(index, event): (usize, &OwnedEvent)| Row {
            at_ns: event.at_ns,
            node: line(&trace.names.node(event.node), TEXT_COLUMNS_MAX_LATE),
            words: line(says.get(&index).unwrap_or(&what_happened(event, &trace.names)), 300),
            event: place(index),
        };
        shown.map(row).take(SHARED_EVENTS_MAX * SHARED_LOOKED_AT).collect()
    }
}
