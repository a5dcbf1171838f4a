//! A run as text with a lane for each node and an arrow for each message, time going down.
//!
//! What is sent and arrives before anything else happens is one line. Else its sending is a dotted arrow, and its arrival another line.
//! Faults that stand have a bar on the left of the lanes, from the line on which they began to that on which they were over.

use std::collections::{BTreeMap, BTreeSet};

use squall_trace::event::LossReason;
use squall_trace::swarm::FaultClass;
use squall_trace::trace::format_ns;
use squall_trace::{Event, EventKind, Names, NodeId, Trace};
use unicode_width::UnicodeWidthStr;

use crate::paint::{Tone, paint};
use crate::printable::{line, padded, paragraph};
use crate::scene::{Fate, Message, Scene, Span, SpanKind};
use crate::timeline::{
    SentMessages, Style, copy_in_words, in_words, is_of_interest, message_name, payload_in_words, tone,
};

/// With which characters lanes and arrows are drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Glyphs {
    /// Lines, dots and arrowheads of Unicode.
    Unicode,
    /// ASCII alone, in the words too.
    Ascii,
}

/// Characters by what they mean.
struct Set {
    up: char,
    down: char,
    still: char,
    bars: [char; 4],
    solid: char,
    dotted: char,
    crossing: char,
    right: [char; 2],
    left: [char; 2],
    end: char,
    lost: char,
    crash: char,
    boot: char,
    mark: char,
    faint: char,
}

impl Glyphs {
    fn set(self) -> Set {
        match self {
            Glyphs::Unicode => Set {
                up: '│',
                down: '┊',
                still: '║',
                bars: ['┏', '┃', '┗', '╏'],
                solid: '─',
                dotted: '┄',
                crossing: '┼',
                right: ['▶', '▷'],
                left: ['◀', '◁'],
                end: '●',
                lost: '✕',
                crash: '✖',
                boot: '▲',
                mark: '◆',
                faint: '·',
            },
            Glyphs::Ascii => Set {
                up: '|',
                down: ':',
                still: '#',
                bars: ['/', '!', '\\', '!'],
                solid: '-',
                dotted: '.',
                crossing: '+',
                right: ['>', ')'],
                left: ['<', '('],
                end: 'o',
                lost: 'x',
                crash: 'X',
                boot: '^',
                mark: '*',
                faint: '\'',
            },
        }
    }

    /// What is said, in these characters alone.
    fn words(self, text: String) -> String {
        match self {
            Glyphs::Unicode => text,
            Glyphs::Ascii => {
                let mut plain = String::new();
                for character in text.chars() {
                    match character {
                        'µ' => plain.push('u'),
                        '…' => plain.push('~'),
                        _ if character.is_ascii() => plain.push(character),
                        _ => plain.extend(character.escape_unicode()),
                    }
                }
                plain
            }
        }
    }
}

/// More columns than that a lane doesn't need.
const LANE_COLUMNS_MAX: usize = 14;

/// With fewer an arrow can't be seen.
const LANE_COLUMNS_MIN: usize = 5;

/// What the words have at the least, if the page isn't smaller still.
const WORDS_COLUMNS_MIN: usize = 28;

/// Of one event so many lines of words at the most.
const WORDS_LINES_MAX: usize = 3;

/// Of what is said above the lanes.
const NOTE_LINES_MAX: usize = 6;

/// So many bars for faults; what stands beside them has the last one in common.
const BARS_MAX: usize = 4;

/// So many nodes are named where they are left out or share a lane.
const NAMED_MAX: usize = 12;

/// One line of the picture: an event, with the message's arrival where nothing lies between.
struct Row {
    event: usize,
    arrival: Option<usize>,
}

/// Who has which lane.
struct Lanes {
    /// By node.
    of: Vec<Option<usize>>,
    names: Vec<String>,
    /// Those that share the last lane.
    folded: Vec<NodeId>,
    left_out: Vec<NodeId>,
    columns: usize,
    step_columns: usize,
    bars: usize,
}

impl Lanes {
    fn lane(&self, node: NodeId) -> Option<usize> {
        self.of.get(node.index()).copied().flatten()
    }

    fn is_folded(&self, node: NodeId) -> bool {
        self.folded.contains(&node)
    }

    fn column(&self, lane: usize) -> usize {
        lane * self.columns
    }

    fn width(&self) -> usize {
        self.names.len().saturating_sub(1) * self.columns + usize::from(!self.names.is_empty())
    }
}

/// What is told beside the picture on one line.
struct Picture<'t> {
    trace: &'t Trace,
    scene: Scene,
    /// By event: the message that was sent or made with it, or that arrived or was lost with it.
    messages: BTreeMap<usize, usize>,
    glyphs: Glyphs,
    style: Style,
}

/// The events of interest, with their lanes: one line each, or a few where there is much to say. Without the run's verdict.
#[must_use]
pub fn render_lanes(trace: &Trace, style: Style, glyphs: Glyphs) -> String {
    let scene = Scene::of(trace);
    let mut messages = BTreeMap::new();
    for (number, message) in scene.messages.iter().enumerate() {
        messages.insert(message.sent, number);
        if let Fate::Delivered { event } | Fate::Lost { event, .. } = message.fate {
            messages.insert(event, number);
        }
    }
    Picture { trace, scene, messages, glyphs, style }.render()
}

impl Picture<'_> {
    fn render(&self) -> String {
        let (rows, left_out) = self.rows();
        let lanes = self.lanes(&rows);
        let mut text = Vec::new();
        self.head(&lanes, left_out, &mut text);
        let mut states = States::new(&self.scene, self.trace);
        let mut bars: Vec<Option<usize>> = vec![None; lanes.bars];
        let mut last_time = String::new();
        for row in &rows {
            states.go_on(&self.scene, row.event);
            let ended = settle(&mut bars, &self.scene, &states, row.event);
            let time = seconds(self.trace.events[row.event].at_ns);
            let shown = if time == last_time { String::new() } else { time.clone() };
            last_time = time;
            self.row(row, &lanes, &states, (&bars, &ended), &shown, &mut text);
            for bar in &mut bars {
                *bar = bar.filter(|span| !ended.contains(span));
            }
        }
        text.join("\n")
    }

    /// What is shown, and how many earlier events aren't.
    fn rows(&self) -> (Vec<Row>, usize) {
        let events = &self.trace.events;
        let mut rows: Vec<Row> = Vec::new();
        for (index, event) in events.iter().enumerate() {
            let is_failure = self.scene.failed == Some(index);
            let is_shown = is_failure || is_in_picture(event, &self.trace.names, self.style);
            if !is_shown || !self.style.window.contains(event.step) {
                continue;
            }
            let begun = self.message(index).filter(|message| message.sent != index && !message.is_copy);
            match (rows.last_mut(), begun) {
                (Some(row), Some(begun)) if row.event == begun.sent && row.arrival.is_none() => {
                    row.arrival = Some(index);
                }
                _ => rows.push(Row { event: index, arrival: None }),
            }
        }
        let left_out = self.style.lines_max.map_or(0, |max| rows.len().saturating_sub(max));
        let rows: Vec<Row> = rows.into_iter().skip(left_out).collect();
        (rows, left_out)
    }

    /// The message that an event is of.
    fn message(&self, event: usize) -> Option<&Message> {
        let number = *self.messages.get(&event)?;
        Some(&self.scene.messages[number])
    }

    fn lanes(&self, rows: &[Row]) -> Lanes {
        let names = &self.trace.names;
        // How often each node is spoken of.
        let mut shown: BTreeMap<NodeId, usize> = BTreeMap::new();
        for row in rows {
            let event = &self.trace.events[row.event];
            let ends = self.message(row.event).map_or([event.node; 2], |message| [message.from, message.to]);
            for node in BTreeSet::from(ends).into_iter().filter(|node| node.index() < names.nodes.len()) {
                *shown.entry(node).or_default() += 1;
            }
        }
        let step = rows.last().map_or(0, |row| self.trace.events[row.event].step);
        let step_columns = step.to_string().len().max(4);
        let bars = self.bars(rows);
        let free = self.style.columns.saturating_sub(head_columns(step_columns, bars) + WORDS_COLUMNS_MIN);
        let lanes_max = (free / LANE_COLUMNS_MIN).max(2);
        let mut kept: Vec<NodeId> = shown.keys().copied().collect();
        let mut folded = Vec::new();
        if kept.len() > lanes_max {
            // Those that do most have lanes of their own, and whoever failed.
            let failed = self.scene.failed.map(|event| self.trace.events[event].node);
            kept.sort_by_key(|node| (Some(*node) != failed, std::cmp::Reverse(shown[node]), *node));
            folded = kept.split_off(lanes_max - 1);
            folded.sort();
            kept.sort();
        }
        let mut of = vec![None; names.nodes.len()];
        let mut lane_names = Vec::new();
        for (lane, node) in kept.iter().enumerate() {
            of[node.index()] = Some(lane);
            lane_names.push(self.glyphs.words(line(&names.node(*node), self.style.columns / 2)));
        }
        for node in &folded {
            of[node.index()] = Some(kept.len());
        }
        if !folded.is_empty() {
            lane_names.push(format!("{} others", folded.len()));
        }
        let left_out = (0..names.nodes.len()).filter(|&node| of[node].is_none());
        let left_out = left_out.map(|node| NodeId(u32::try_from(node).unwrap_or(u32::MAX))).collect();
        let widest = lane_names.iter().map(|name| name.width()).max().unwrap_or(0) + 2;
        let columns = match lane_names.len() {
            0 | 1 => LANE_COLUMNS_MIN,
            count => (free / count).min(widest.max(LANE_COLUMNS_MIN + 3)).clamp(LANE_COLUMNS_MIN, LANE_COLUMNS_MAX),
        };
        Lanes { of, names: lane_names, folded, left_out, columns, step_columns, bars }
    }

    /// How many faults stand at once in what is shown, as far as they have bars.
    fn bars(&self, rows: &[Row]) -> usize {
        let Some((first, last)) = rows.first().zip(rows.last()) else { return 0 };
        let mut changes: Vec<(usize, i32)> = Vec::new();
        for span in self.scene.spans.iter().filter(|span| has_bar(span)) {
            let end = span.ended.unwrap_or(usize::MAX);
            if end >= first.event && span.begun <= last.event {
                changes.push((span.begun, 1));
                // On the line of its end it has its bar still.
                changes.push((end.saturating_add(1), -1));
            }
        }
        changes.sort_unstable();
        let (mut standing, mut most) = (0, 0);
        for (_, change) in changes {
            standing += change;
            most = most.max(standing);
        }
        usize::try_from(most).unwrap_or(0).min(BARS_MAX)
    }

    fn head(&self, lanes: &Lanes, left_out: usize, text: &mut Vec<String>) {
        let Style { colour, columns, .. } = self.style;
        let mut note = |words: String| {
            let words = self.glyphs.words(words);
            text.extend(paragraph(&words, columns, NOTE_LINES_MAX).iter().map(|said| paint(colour, Tone::Faint, said)));
        };
        if !lanes.folded.is_empty() {
            note(format!("share the last lane: {}", self.named(&lanes.folded)));
        }
        if !lanes.left_out.is_empty() {
            note(format!("have no part in this: {}", self.named(&lanes.left_out)));
        }
        if left_out > 0 {
            note(format!("{left_out} earlier {} left out", if left_out == 1 { "line" } else { "lines" }));
        }
        let before = head_columns(lanes.step_columns, lanes.bars);
        let titles = format!(" {:>width$} {:>9}", "step", "seconds", width = lanes.step_columns);
        let fits = lanes.names.iter().rev().skip(1).all(|name| name.width() < lanes.columns)
            && lanes.width() + lanes.names.last().map_or(0, |name| name.width()) < columns.saturating_sub(before);
        if fits {
            let names: Vec<String> = lanes.names.iter().map(|name| padded(name, lanes.columns)).collect();
            let names = names.concat();
            text.push(format!(
                "{}{}",
                paint(colour, Tone::Faint, &padded(&titles, before)),
                paint(colour, Tone::Name, names.trim_end())
            ));
            return;
        }
        // A name a line, each beside the lanes of those before it.
        for (lane, name) in lanes.names.iter().enumerate() {
            let is_last = lane + 1 == lanes.names.len();
            let titles = padded(if is_last { &titles } else { "" }, before);
            let up = self.glyphs.set().up.to_string();
            let beside = padded(&up, lanes.columns).repeat(lane);
            let name = line(name, columns.saturating_sub(before + lane * lanes.columns).max(3));
            let name = self.glyphs.words(name);
            text.push(format!(
                "{}{}{}",
                paint(colour, Tone::Faint, &titles),
                paint(colour, Tone::Faint, &beside),
                paint(colour, Tone::Name, &name)
            ));
        }
    }

    fn named(&self, nodes: &[NodeId]) -> String {
        let names = &self.trace.names;
        let mut said: Vec<String> = nodes.iter().take(NAMED_MAX).map(|node| line(&names.node(*node), 16)).collect();
        if nodes.len() > NAMED_MAX {
            said.push(format!("and {} more", nodes.len() - NAMED_MAX));
        }
        said.join(", ")
    }

    fn row(
        &self,
        row: &Row,
        lanes: &Lanes,
        states: &States,
        (bars, ended): (&[Option<usize>], &[usize]),
        time: &str,
        text: &mut Vec<String>,
    ) {
        let event = &self.trace.events[row.event];
        let is_marked = self.scene.failed.is_some_and(|failed| failed == row.event || Some(failed) == row.arrival);
        let is_lost =
            row.arrival.is_some_and(|arrival| matches!(self.trace.events[arrival].kind, EventKind::Lose { .. }));
        let tone = match (is_marked, is_lost) {
            (true, _) => Some(Tone::Bad),
            (false, true) => Some(Tone::Wary),
            (false, false) => tone(event),
        };
        let set = self.glyphs.set();
        let mut cells = self.empty_cells(lanes, states, &set);
        self.draw(row, lanes, &set, &mut cells);
        let columns =
            self.style.columns.saturating_sub(head_columns(lanes.step_columns, lanes.bars) + lanes.width() + 2);
        let words = self.glyphs.words(line(&self.words(row, lanes), columns.max(10) * 6));
        let said = paragraph(&words, columns.max(10), WORDS_LINES_MAX);
        let colour = self.style.colour;
        for (number, said) in said.iter().map(String::as_str).chain(said.is_empty().then_some("")).enumerate() {
            let is_first = number == 0;
            let bar_cells: String = bars
                .iter()
                .map(|bar| match bar {
                    None => ' ',
                    Some(span) => match (self.scene.spans[*span].begun == row.event, ended.contains(span)) {
                        (true, _) if is_first => set.bars[0],
                        (false, true) if is_first => set.bars[2],
                        (false, true) => ' ',
                        _ => set.bars[1],
                    },
                })
                .collect();
            let drawn: String = if is_first {
                cells.iter().collect()
            } else {
                self.empty_cells(lanes, states, &set).into_iter().collect()
            };
            let (step, time) = if is_first { (event.step.to_string(), time) } else { (String::new(), "") };
            let mark = if is_marked && is_first { '>' } else { ' ' };
            let head = format!("{mark}{step:>width$} {time:>9} ", width = lanes.step_columns);
            let bar_cells = if bars.is_empty() { String::new() } else { format!("{bar_cells} ") };
            let line = match (is_marked, tone) {
                (true, _) => paint(colour, Tone::Bad, format!("{head}{bar_cells}{drawn}  {said}").trim_end()),
                (false, tone) => {
                    let paint_in = |tone: Option<Tone>, text: &str| match tone {
                        Some(tone) => paint(colour, tone, text),
                        None => text.to_string(),
                    };
                    format!(
                        "{}{}{}  {}",
                        paint(colour, Tone::Faint, &head),
                        paint(colour, Tone::Wary, &bar_cells),
                        paint_in(if is_first { tone } else { Some(Tone::Faint) }, &drawn),
                        paint_in(tone, said)
                    )
                }
            };
            text.push(line.trim_end().to_string());
        }
    }

    /// The lanes without what happens.
    fn empty_cells(&self, lanes: &Lanes, states: &States, set: &Set) -> Vec<char> {
        let mut cells = vec![' '; lanes.width()];
        for (node, lane) in lanes.of.iter().enumerate() {
            let Some(lane) = *lane else { continue };
            let cell = &mut cells[lanes.column(lane)];
            *cell = match states.nodes[node] {
                // Of several nodes in one lane, one that is up.
                _ if lanes.folded.iter().any(|folded| folded.index() == node) => set.up,
                NodeState::Unborn => ' ',
                NodeState::Up => set.up,
                NodeState::Still => set.still,
                NodeState::Down => set.down,
            };
        }
        cells
    }

    fn draw(&self, row: &Row, lanes: &Lanes, set: &Set, cells: &mut [char]) {
        let event = &self.trace.events[row.event];
        let Some(at) = lanes.lane(event.node) else { return };
        let message = self.message(row.event);
        let (message, is_sent) = match (&event.kind, message) {
            (EventKind::Send { .. }, Some(message)) => (message, true),
            (EventKind::Duplicate { .. }, Some(message)) => (message, true),
            (EventKind::Deliver { .. } | EventKind::Lose { .. }, Some(message)) => (message, false),
            (kind, _) => {
                cells[lanes.column(at)] = match kind {
                    EventKind::Crash | EventKind::Panic { .. } => set.crash,
                    EventKind::Boot { .. } => set.boot,
                    EventKind::Log { .. } | EventKind::Poll | EventKind::Spawn { .. } => set.faint,
                    EventKind::Lose { .. } => set.lost,
                    _ => set.mark,
                };
                return;
            }
        };
        let (Some(from), Some(to)) = (lanes.lane(message.from), lanes.lane(message.to)) else { return };
        let is_copy_made = matches!(event.kind, EventKind::Duplicate { .. });
        // How far it comes: with its loss in the same line, or here.
        let (lost, is_whole) = match (row.arrival, message.fate, is_sent) {
            (Some(_), Fate::Lost { reason, .. }, true) => (Some(reason), true),
            (Some(_), _, true) => (None, true),
            (None, Fate::Lost { reason, .. }, false) => (Some(reason), false),
            _ => (None, false),
        };
        let stroke = if is_whole { set.solid } else { set.dotted };
        let (start, end) = (lanes.column(from), lanes.column(to));
        if from == to {
            cells[start] = if lost.is_some() { set.lost } else { set.end };
            return;
        }
        let is_right = start < end;
        let head = usize::from(is_sent && !is_whole);
        let heads = if is_right { set.right } else { set.left };
        let (low, high) = (start.min(end), start.max(end));
        for cell in &mut cells[low + 1..high] {
            *cell = if *cell == ' ' { stroke } else { set.crossing };
        }
        let before_end = if is_right { end - 1 } else { end + 1 };
        let after_start = if is_right { start + 1 } else { start - 1 };
        match lost {
            None => {
                cells[before_end] = heads[head];
                if is_sent {
                    cells[start] = if is_copy_made { set.mark } else { set.end };
                }
                if !is_sent || is_whole {
                    cells[end] = set.end;
                }
            }
            Some(reason) => {
                if is_sent {
                    cells[start] = set.end;
                }
                let (cross, free) = match reason {
                    LossReason::Loss
                    | LossReason::PartitionOnSending
                    | LossReason::QueueFull
                    | LossReason::SenderDown
                    | LossReason::Rule => {
                        let middle = usize::midpoint(low, high);
                        (middle, if is_right { middle + 1..high } else { low + 1..middle })
                    }
                    LossReason::PartitionOnArrival
                    | LossReason::NodeDown
                    | LossReason::NoListener
                    | LossReason::ConnectionClosed => (before_end, 0..0),
                };
                // It comes no further.
                for column in free {
                    if cells[column] == stroke {
                        cells[column] = ' ';
                    } else if cells[column] == set.crossing {
                        cells[column] = set.up;
                    }
                }
                cells[cross] = set.lost;
                if cross == after_start && is_sent {
                    cells[start] = set.end;
                }
            }
        }
    }

    fn words(&self, row: &Row, lanes: &Lanes) -> String {
        let names = &self.trace.names;
        let event = &self.trace.events[row.event];
        let message = self.message(row.event);
        let mut words = match (&event.kind, message) {
            (EventKind::Send { flow, number, payload, .. }, Some(message)) => {
                let payload = payload_in_words(payload);
                let become_ = match (row.arrival, message.fate) {
                    (Some(event), Fate::Lost { reason, .. }) if event != message.sent => format!(": {reason}"),
                    (Some(arrival), _) => format!(", {}", self.age(message, arrival)),
                    (None, Fate::UnderWay) => ", never arrives before the end".to_string(),
                    (None, _) => String::new(),
                };
                format!("{} {payload}{become_}", message_name(names, *flow, *number))
            }
            (EventKind::Duplicate { flow, number }, _) => {
                format!("{} is duplicated", message_name(names, *flow, *number))
            }
            (EventKind::Corrupt { flow, number, bit }, _) => {
                format!("{}: bit {bit} is flipped", message_name(names, *flow, *number))
            }
            (EventKind::Deliver { flow, number, copy }, message) => {
                let age =
                    message.map_or_else(String::new, |message| format!(" after {}", self.age(message, row.event)));
                format!("{}{}{age}", message_name(names, *flow, *number), copy_in_words(*copy))
            }
            (EventKind::Lose { flow, number, copy, reason }, _) => {
                format!("{}{}: {reason}", message_name(names, *flow, *number), copy_in_words(*copy))
            }
            _ => event_in_short(event, names),
        };
        // Who it is can't be seen there.
        match message {
            Some(message) if lanes.is_folded(message.from) || lanes.is_folded(message.to) => {
                words = format!("{} to {}: {words}", names.node(message.from), names.node(message.to));
            }
            None if lanes.is_folded(event.node) => words = format!("{} {words}", names.node(event.node)),
            _ => {}
        }
        words
    }

    fn age(&self, message: &Message, arrival: usize) -> String {
        let at_ns = |event: usize| self.trace.events[event].at_ns;
        short_ns(at_ns(arrival).saturating_sub(at_ns(message.sent)))
    }
}

/// A time to four digits, for where there is little room: it is rounded down.
pub(crate) fn short_ns(ns: u64) -> String {
    let digits = ns.checked_ilog10().unwrap_or(0) + 1;
    let unit = 10u64.pow(digits.saturating_sub(4));
    format_ns(ns / unit * unit)
}

/// What an event says, an operation of a history as one reads it.
pub(crate) fn event_in_short(event: &Event<'_>, names: &Names) -> String {
    let said = match &event.kind {
        EventKind::Publish { topic, value } if topic == "history" => operation_in_short(value),
        _ => None,
    };
    said.unwrap_or_else(|| in_words(event, names, &SentMessages::new()))
}

/// `append 1 "a" …` where it is invoked, `get 1: ok "a"` where there is an answer. `None`: it is no operation.
fn operation_in_short(json: &str) -> Option<String> {
    let operation: serde_json::Value = serde_json::from_str(json).ok()?;
    let text = |key: &str| operation.get(key).and_then(|value| value.as_str());
    let (kind, function) = (text("type")?, text("f")?);
    let value = |key: &str| operation.get(key).filter(|value| !value.is_null()).map(|value| format!(" {value}"));
    let (key, value) = (value("key").unwrap_or_default(), value("value").unwrap_or_default());
    Some(match kind {
        "invoke" => format!("{function}{key}{value} …"),
        "ok" | "fail" | "info" => format!("{function}{key}: {kind}{value}"),
        _ => return None,
    })
}

/// Mark, step, time, and the bars of faults, with the spaces behind them.
fn head_columns(step_columns: usize, bars: usize) -> usize {
    1 + step_columns + 1 + 9 + 1 + if bars > 0 { bars + 1 } else { 0 }
}

/// To the microsecond: the list has it to the nanosecond.
pub(crate) fn seconds(at_ns: u64) -> String {
    format!("{}.{:06}", at_ns / 1_000_000_000, at_ns % 1_000_000_000 / 1_000)
}

/// Whether an event is a line of the picture, if it isn't the failing one.
pub(crate) fn is_in_picture(event: &Event<'_>, names: &Names, style: Style) -> bool {
    match event.kind {
        // All nodes begin; what never arrives is told where it is sent.
        EventKind::Boot { boot: 0 } | EventKind::InFlight { .. } => false,
        _ => is_of_interest(event, names, style),
    }
}

/// What stands for longer than an instant, and isn't seen at a node's lane.
fn has_bar(span: &Span) -> bool {
    !matches!(span.what, SpanKind::Down | SpanKind::Fault(FaultClass::Pause))
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum NodeState {
    Unborn,
    Up,
    Still,
    Down,
}

/// How things stand at a line.
struct States {
    nodes: Vec<NodeState>,
    /// By node: the event with which it started first.
    born: Vec<Option<usize>>,
    /// Spans that have begun and aren't over, those that are over with this line among them.
    standing: Vec<usize>,
    /// The first span that hasn't begun.
    next: usize,
}

impl States {
    fn new(scene: &Scene, trace: &Trace) -> States {
        let mut born = vec![None; trace.names.nodes.len()];
        for (index, event) in trace.events.iter().enumerate() {
            if let (EventKind::Boot { .. }, Some(born)) = (&event.kind, born.get_mut(event.node.index())) {
                born.get_or_insert(index);
            }
        }
        debug_assert!(scene.spans.is_sorted_by_key(|span| span.begun), "they begin one after the other");
        States { nodes: vec![NodeState::Unborn; born.len()], born, standing: Vec::new(), next: 0 }
    }

    fn go_on(&mut self, scene: &Scene, event: usize) {
        while scene.spans.get(self.next).is_some_and(|span| span.begun <= event) {
            self.standing.push(self.next);
            self.next += 1;
        }
        self.standing.retain(|&span| scene.spans[span].ended.is_none_or(|end| end >= event));
        for (node, born) in self.nodes.iter_mut().zip(&self.born) {
            *node = if born.is_some_and(|born| born <= event) { NodeState::Up } else { NodeState::Unborn };
        }
        for &span in &self.standing {
            let Span { what, groups, ended, .. } = &scene.spans[span];
            let state = match what {
                _ if *ended == Some(event) => continue,
                SpanKind::Down => NodeState::Down,
                SpanKind::Fault(FaultClass::Pause) => NodeState::Still,
                SpanKind::Fault(_) => continue,
            };
            for node in groups.iter().flatten() {
                if let Some(is) = self.nodes.get_mut(node.index()).filter(|is| **is != NodeState::Down) {
                    *is = state;
                }
            }
        }
    }
}

/// Gives bars to what stands now; says which of them end with this line.
fn settle(bars: &mut [Option<usize>], scene: &Scene, states: &States, event: usize) -> Vec<usize> {
    for bar in bars.iter_mut() {
        *bar = bar.filter(|span| states.standing.contains(span));
    }
    for &span in states.standing.iter().filter(|&&span| has_bar(&scene.spans[span])) {
        if !bars.contains(&Some(span))
            && let Some(free) = bars.iter_mut().find(|bar| bar.is_none())
        {
            *free = Some(span);
        }
    }
    let is_over = |span: &usize| scene.spans[*span].ended == Some(event);
    bars.iter().flatten().copied().filter(is_over).collect()
}

/// How nodes and faults are at a step, and how many messages are under way.
#[must_use]
pub fn render_state(trace: &Trace, step: u64, style: Style) -> String {
    let scene = Scene::of(trace);
    // The last event that has happened.
    let behind = trace.events.partition_point(|event| event.step <= step);
    let Some(last) = behind.checked_sub(1) else { return String::new() };
    let mut states = States::new(&scene, trace);
    states.go_on(&scene, last);
    let names = &trace.names;
    let since = |event: usize| {
        let event = &trace.events[event];
        format!("since step {}, {}", event.step, format_ns(event.at_ns))
    };
    let returned = returned(trace, last);
    let mut groups: [(&str, Vec<String>); 5] =
        [("up", vec![]), ("returned", vec![]), ("paused", vec![]), ("down", vec![]), ("not started", vec![])];
    for (index, info) in names.nodes.iter().enumerate() {
        let node = NodeId(u32::try_from(index).unwrap_or(u32::MAX));
        let span = states.standing.iter().map(|&span| &scene.spans[span]).find(|span| {
            let is_open = span.ended.is_none_or(|end| end > last);
            is_open
                && !has_bar(span)
                && span.groups.iter().flatten().any(|member| *member == node)
                && (span.what == SpanKind::Down) == (states.nodes[index] == NodeState::Down)
        });
        let name = line(&info.name, 24);
        let name = match span {
            Some(span) => format!("{name} ({})", since(span.begun)),
            None => name,
        };
        let group = match states.nodes[index] {
            NodeState::Up if returned.contains(&node) => 1,
            NodeState::Up => 0,
            NodeState::Still => 2,
            NodeState::Down => 3,
            NodeState::Unborn => 4,
        };
        groups[group].1.push(name);
    }
    let at = &trace.events[last];
    let mut text = format!("at step {step}, {}:\n", format_ns(at.at_ns));
    let mut say = |what: &str, words: &str| {
        let columns = style.columns.saturating_sub(14).max(20);
        for (number, said) in paragraph(words, columns, 20).iter().enumerate() {
            text.push_str(&format!("  {:<11} {said}\n", if number == 0 { what } else { "" }));
        }
    };
    for (what, nodes) in groups.iter().filter(|(_, nodes)| !nodes.is_empty()) {
        say(what, &nodes.join(", "));
    }
    for span in states.standing.iter().map(|&span| &scene.spans[span]).filter(|span| has_bar(span)) {
        if span.ended.is_none_or(|end| end > last) {
            let what = in_words(&trace.events[span.begun], names, &SentMessages::new());
            say("stands", &format!("{} ({})", line(what.trim_start_matches("fault: "), 400), since(span.begun)));
        }
    }
    let is_under_way = |message: &&Message| {
        message.sent <= last
            && match message.fate {
                Fate::Delivered { event } | Fate::Lost { event, .. } => event > last,
                Fate::UnderWay => true,
            }
    };
    match scene.messages.iter().filter(is_under_way).count() {
        0 => say("under way", "no message"),
        1 => say("under way", "1 message"),
        count => say("under way", &format!("{count} messages")),
    }
    text
}

/// The clients whose root task has returned.
fn returned(trace: &Trace, last: usize) -> BTreeSet<NodeId> {
    let mut returned = BTreeSet::new();
    for event in &trace.events[..=last] {
        match &event.kind {
            EventKind::Boot { .. } => {
                returned.remove(&event.node);
            }
            EventKind::TaskEnd { end: squall_trace::TaskEnd::Returned } if is_root(event.task, &trace.names) => {
                returned.insert(event.node);
            }
            _ => {}
        }
    }
    returned
}

fn is_root(task: squall_trace::TaskId, names: &Names) -> bool {
    names.tasks.get(&task).is_some_and(|task| task.spawned_at.is_empty())
}
