//! A run as a standalone picture, for a bug report: lanes for nodes, sloped arrows for messages, time going down.
//!
//! It holds no script, no style sheet and no reference to anything else, and has a background of its own, so that it reads the same on a
//! white page and on a dark one. It shows what the text with its lanes shows. Time isn't to scale where little happens: what is longer
//! than a few lines is drawn as a break, which says how long it is.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use squall_trace::plan::Bases;
use squall_trace::swarm::FaultClass;
use squall_trace::{EventKind, NodeId, Trace};

use crate::lanes::{event_in_short, is_in_picture, seconds, short_ns};
use crate::printable::{counted, markup, paragraph};
use crate::scene::{Fate, Message, Scene, Span, SpanKind};
use crate::timeline::{Style, message_name, payload_in_words, render_verdict};

/// A line of events, in the picture's units: what a label needs.
const ROW: u64 = 22;
/// A distance in time is drawn so high at the most, and a longer one as a break.
const GAP_MAX: u64 = 3 * ROW;
/// Between two lanes at the least and at the most.
const LANE_MIN: u64 = 90;
const LANE_MAX: u64 = 190;
/// Left of the lanes: steps and times.
const LEFT: u64 = 132;
/// Right of the last lane: what is said of it.
const RIGHT: u64 = 300;
/// Above the lanes: the names.
const TOP: u64 = 64;
/// How wide a character of the labels is.
const CHARACTER: u64 = 7;
/// Beyond this a picture is no help, and no small file.
const LANES_MAX: usize = 24;
/// If nothing is said, so many lines at the most.
const ROWS_MAX: usize = 100;
/// Of a shrunk run that has more lines than these, what lies around its causes and its end is drawn,
const SHRUNK_ROWS_MAX: usize = 40;
/// with so many lines before and behind each cause,
const AROUND_CAUSE: usize = 3;
/// and so many before the failure, or the end.
const BEFORE_END: usize = 10;
/// Fewer lines than these are no break.
const BREAK_MIN: usize = 3;
/// A failure of more causes isn't told by them.
const CAUSES_MAX: usize = 12;
/// The height of a line of text above the lanes.
const TEXT_LINE: u64 = 16;
/// A longer label hides too much.
const LABEL_COLUMNS_MAX: usize = 64;
/// Lines of the verdict.
const VERDICT_LINES_MAX: usize = 14;

/// Who is on which side of what parts them, if that are no more: a node of each shade has the letter of its side.
const SIDES_MAX: usize = 8;
const SIDES: [&str; SIDES_MAX] = ["A", "B", "C", "D", "E", "F", "G", "H"];

const INK: &str = "#1b1f24";
const FAINT: &str = "#59636e";
const BAD: &str = "#c1121f";
const WARY: &str = "#9a5b00";
const ARROW: &str = "#1f5fbf";

struct Drawing<'t> {
    trace: &'t Trace,
    scene: Scene,
    /// The events that have a line, in order.
    rows: Vec<usize>,
    /// Behind which of these events how many others are left out.
    skipped: BTreeMap<usize, usize>,
    /// What it takes to fail, each with the event at which it shows.
    causes: Vec<(String, Option<usize>)>,
    left_out: usize,
    /// By place in `rows`.
    heights: Vec<u64>,
    /// Breaks: the height, and what is said of it.
    breaks: Vec<(u64, String)>,
    lanes: BTreeMap<NodeId, usize>,
    left_out_nodes: usize,
    lane_width: u64,
    svg: String,
}

/// What the style shows of a run, as SVG. Of more than 24 nodes those that do most have lanes, and of more than 100 lines (or fewer, if the style
/// says so) the last ones are drawn; the picture says what it leaves out.
#[must_use]
pub fn render_svg(trace: &Trace, style: Style) -> String {
    let scene = Scene::of(trace);
    let is_row = |(index, event): &(usize, &squall_trace::OwnedEvent)| {
        let is_shown = scene.failed == Some(*index) || is_in_picture(event, &trace.names, style);
        is_shown && style.window.contains(event.step)
    };
    let rows: Vec<usize> = trace.events.iter().enumerate().filter(is_row).map(|(index, _)| index).collect();
    let causes = causes(trace, &scene);
    let is_part = style.lines_max.is_some_and(|max| max < ROWS_MAX) || !style.window.is_whole();
    let (rows, earlier, skipped) = match !is_part && !causes.is_empty() && rows.len() > SHRUNK_ROWS_MAX {
        true => around(&rows, &causes, scene.failed),
        false => (rows, 0, BTreeMap::new()),
    };
    let beyond = rows.len().saturating_sub(style.lines_max.unwrap_or(ROWS_MAX).min(ROWS_MAX));
    let before = skipped.range(..rows.get(beyond).copied().unwrap_or(usize::MAX)).map(|(_, many)| *many).sum::<usize>();
    let left_out = earlier + beyond + if beyond > 0 { before } else { 0 };
    let rows = rows[beyond..].to_vec();
    let mut drawing = Drawing {
        trace,
        scene,
        rows,
        skipped,
        causes,
        left_out,
        heights: Vec::new(),
        breaks: Vec::new(),
        lanes: BTreeMap::new(),
        left_out_nodes: 0,
        lane_width: LANE_MAX,
        svg: String::new(),
    };
    drawing.lay_out();
    drawing.draw(style)
}

/// What it takes to fail: of a run in which all else is calm.
fn causes(trace: &Trace, scene: &Scene) -> Vec<(String, Option<usize>)> {
    let is_shrunk = trace.plan.bases == Bases::calm() && trace.verdict.property().is_some();
    if !is_shrunk || trace.perturbations.len() > CAUSES_MAX {
        return Vec::new();
    }
    let told = trace.perturbations.iter();
    told.map(|cause| (cause.sentence(&trace.names), scene.event_of(cause, trace))).collect()
}

/// Of the lines those around causes and the end, how many are left out before them, and behind which of them how many.
fn around(
    rows: &[usize],
    causes: &[(String, Option<usize>)],
    failed: Option<usize>,
) -> (Vec<usize>, usize, BTreeMap<usize, usize>) {
    let place = |event: usize| rows.partition_point(|row| *row < event).min(rows.len() - 1);
    let mut is_kept = vec![false; rows.len()];
    let mut keep = |from: usize, to: usize| is_kept[from..=to.min(rows.len() - 1)].fill(true);
    for at in causes.iter().filter_map(|(_, event)| *event).map(place) {
        keep(at.saturating_sub(AROUND_CAUSE), at + AROUND_CAUSE);
    }
    let end = failed.map_or(rows.len() - 1, place);
    keep(end.saturating_sub(BEFORE_END), end + AROUND_CAUSE);
    // A break takes as much room as a few lines.
    let places: Vec<usize> = (0..rows.len()).filter(|place| is_kept[*place]).collect();
    for pair in places.windows(2).filter(|pair| pair[1] - pair[0] <= BREAK_MIN) {
        is_kept[pair[0]..pair[1]].fill(true);
    }
    let mut kept: Vec<usize> = Vec::new();
    let (mut earlier, mut skipped) = (0, BTreeMap::new());
    for (row, is_kept) in rows.iter().zip(is_kept) {
        match (is_kept, kept.last()) {
            (true, _) => kept.push(*row),
            (false, Some(last)) => *skipped.entry(*last).or_default() += 1,
            (false, None) => earlier += 1,
        }
    }
    (kept, earlier, skipped)
}

impl Drawing<'_> {
    /// Where the lanes begin.
    fn top(&self) -> u64 {
        TOP + TEXT_LINE * self.causes.len() as u64
    }

    /// Who has a lane, and how far down each line is.
    fn lay_out(&mut self) {
        let mut shown: BTreeMap<NodeId, usize> = BTreeMap::new();
        let drawn: BTreeSet<usize> = self.rows.iter().copied().collect();
        for &row in &self.rows {
            *shown.entry(self.trace.events[row].node).or_default() += 1;
        }
        for message in self.scene.messages.iter().filter(|message| drawn.contains(&message.sent)) {
            *shown.entry(message.to).or_default() += 1;
        }
        let known = self.trace.names.nodes.len();
        let failed = self.scene.failed.map(|event| self.trace.events[event].node);
        let mut nodes: Vec<NodeId> = shown.keys().copied().filter(|node| node.index() < known).collect();
        nodes.sort_by_key(|node| (Some(*node) != failed, std::cmp::Reverse(shown[node]), *node));
        nodes.truncate(LANES_MAX);
        nodes.sort();
        self.left_out_nodes = known - nodes.len();
        self.lanes = nodes.iter().enumerate().map(|(lane, node)| (*node, lane)).collect();
        // What has no lane has no line.
        let lanes = &self.lanes;
        self.rows.retain(|&row| {
            let node = self.trace.events[row].node;
            node == NodeId::WORLD || lanes.contains_key(&node)
        });
        self.lane_width = match self.lanes.len() {
            0..=4 => LANE_MAX,
            many => (4 * LANE_MAX / many as u64).max(LANE_MIN),
        };

        let at_ns: Vec<u64> = self.rows.iter().map(|&row| self.trace.events[row].at_ns).collect();
        let mut gaps: Vec<u64> = at_ns.windows(2).map(|pair| pair[1] - pair[0]).filter(|gap| *gap > 0).collect();
        gaps.sort_unstable();
        // The usual distance in time is one line high.
        let usual = gaps.get(gaps.len() / 2).copied().unwrap_or(1).max(1);
        let mut height = self.top() + ROW;
        for (index, at) in at_ns.iter().enumerate() {
            if index > 0 {
                let gap = at - at_ns[index - 1];
                let scaled = u64::try_from(u128::from(gap) * u128::from(ROW) / u128::from(usual)).unwrap_or(u64::MAX);
                let later = format!("{} later", short_ns(gap));
                let said = match self.skipped.get(&self.rows[index - 1]) {
                    Some(many) => Some(format!("{} left out; {later}", counted(*many as u64, "event"))),
                    None => (scaled > GAP_MAX).then_some(later),
                };
                match said {
                    Some(said) => {
                        self.breaks.push((height + GAP_MAX / 2, said));
                        height += GAP_MAX;
                    }
                    None => height += scaled.clamp(ROW, GAP_MAX),
                }
            }
            self.heights.push(height);
        }
    }

    fn x(&self, node: NodeId) -> Option<u64> {
        self.lanes.get(&node).map(|lane| LEFT + *lane as u64 * self.lane_width)
    }

    fn width(&self) -> u64 {
        LEFT + self.lanes.len().saturating_sub(1) as u64 * self.lane_width + RIGHT
    }

    fn bottom(&self) -> u64 {
        self.heights.last().copied().unwrap_or(self.top()) + ROW
    }

    /// How far down an event is: with the line at or behind it, or at the break in which it is left out.
    fn height(&self, event: usize) -> u64 {
        let at = self.rows.partition_point(|row| *row < event);
        let below = self.heights.get(at).copied().unwrap_or_else(|| self.bottom());
        match self.break_of(event) {
            Some(before) => u64::midpoint(self.heights[before], below),
            None => below,
        }
    }

    /// Behind which line an event is left out, by its place, if it is.
    fn break_of(&self, event: usize) -> Option<usize> {
        let before = self.rows.partition_point(|row| *row < event).checked_sub(1)?;
        let is_left_out = self.rows.get(before + 1) != Some(&event) && self.skipped.contains_key(&self.rows[before]);
        is_left_out.then_some(before)
    }

    fn draw(mut self, style: Style) -> String {
        let width = self.width();
        let columns = usize::try_from((width - 24) / CHARACTER).unwrap_or(80).max(40);
        let plain = Style { colour: false, columns, ..style };
        let verdict = render_verdict(&self.trace.verdict, &self.trace.names, plain);
        let verdict: Vec<String> = paragraph(&verdict, columns, VERDICT_LINES_MAX);
        let height = self.bottom() + (verdict.len() as u64 + 2) * 18;
        let title = format!("{}, seed {}", self.trace.plan.scenario, self.trace.plan.seed);
        let said = self.left_out_in_words();
        let description = format!("{} {said}", verdict.join(" "));
        let _ = write!(
            self.svg,
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" width=\"{width}\" height=\"{height}\" \
             role=\"img\" aria-labelledby=\"t d\" font-family=\"ui-monospace,Menlo,Consolas,monospace\" font-size=\"12\">\n\
             <title id=\"t\">{}</title>\n<desc id=\"d\">{}</desc>\n\
             <rect width=\"{width}\" height=\"{height}\" rx=\"6\" fill=\"#ffffff\" stroke=\"#d0d7de\"/>\n",
            markup(&title, 200),
            markup(description.trim(), 2_000)
        );
        self.text((12, 22), INK, "font-weight=\"bold\"", &title, columns);
        if !said.is_empty() {
            self.text((12, 38), FAINT, "", &said, columns);
        }
        for (number, (said, _)) in (1..).zip(self.causes.clone()) {
            let y = 38 + TEXT_LINE * number - if self.left_out_in_words().is_empty() { TEXT_LINE } else { 0 };
            self.text((12, y), WARY, "", &format!("{number}. {said}"), columns);
        }
        self.faults();
        self.lane_lines();
        self.breaks(width);
        self.messages();
        self.rows();
        let mut y = self.bottom() + 26;
        for (number, said) in verdict.iter().enumerate() {
            let (colour, more) = match (number, &self.trace.verdict) {
                (0, squall_trace::Verdict::Fail(_)) => (BAD, "font-weight=\"bold\""),
                (0, _) => (INK, "font-weight=\"bold\""),
                _ => (INK, ""),
            };
            self.text((12, y), colour, more, said, columns);
            y += 18;
        }
        self.svg.push_str("</svg>\n");
        self.svg
    }

    fn left_out_in_words(&self) -> String {
        let mut said = Vec::new();
        if self.left_out > 0 {
            let plural = if self.left_out == 1 { "event" } else { "events" };
            said.push(format!("{} earlier {plural} left out", self.left_out));
        }
        if self.left_out_nodes > 0 {
            let plural = if self.left_out_nodes == 1 { "node" } else { "nodes" };
            said.push(format!("{} {plural} left out", self.left_out_nodes));
        }
        said.join("; ")
    }

    /// A label. The spaces in it are kept.
    fn text(&mut self, (x, y): (u64, u64), colour: &str, more: &str, said: &str, columns_max: usize) {
        let space = if more.is_empty() { "" } else { " " };
        let _ = writeln!(
            self.svg,
            "<text x=\"{x}\" y=\"{y}\" fill=\"{colour}\" xml:space=\"preserve\"{space}{more}>{}</text>",
            markup(said, columns_max)
        );
    }

    /// Shaded: behind the lanes of the nodes that they speak of.
    fn faults(&mut self) {
        let Some((first, last)) = self.rows.first().copied().zip(self.rows.last().copied()) else { return };
        for span in std::mem::take(&mut self.scene.spans) {
            let is_in_view = span.begun <= last && span.ended.is_none_or(|end| end >= first);
            if is_in_view {
                self.fault(&span, first);
            }
            self.scene.spans.push(span);
        }
    }

    fn fault(&mut self, span: &Span, first: usize) {
        let from = if span.begun < first { self.top() } else { self.height(span.begun) };
        let to = span.ended.map_or(self.bottom(), |end| self.height(end)).max(from + 2);
        let fill = match span.what {
            SpanKind::Down => "#6e7781",
            SpanKind::Fault(FaultClass::Partition | FaultClass::Link | FaultClass::Hold) => "#e3a008",
            SpanKind::Fault(_) => "#8250df",
        };
        let begin = &self.trace.events[span.begun];
        let said = format!("{}: {}", self.trace.names.node(begin.node), event_in_short(begin, &self.trace.names));
        let sides: &[&str] = match span.groups.len() {
            2..=SIDES_MAX => &SIDES,
            _ => &[],
        };
        let mut seen = BTreeSet::new();
        let members =
            span.groups.iter().enumerate().flat_map(|(side, group)| group.iter().map(move |node| (side, *node)));
        for (side, node) in members.filter(|(_, node)| seen.insert(*node)).collect::<Vec<_>>() {
            let Some(x) = self.x(node) else { continue };
            let _ = writeln!(
                self.svg,
                "<rect x=\"{}\" y=\"{from}\" width=\"24\" height=\"{}\" fill=\"{fill}\" fill-opacity=\"0.22\"><title>{}</title></rect>",
                x - 12,
                to - from,
                markup(&said, 200)
            );
            if let Some(side) = sides.get(side) {
                self.label((x - 10, from + 16), WARY, "", side, 1);
            }
        }
    }

    fn lane_lines(&mut self) {
        let columns = usize::try_from(self.lane_width / CHARACTER).unwrap_or(12).saturating_sub(1);
        let (top, bottom) = (self.top(), self.bottom());
        for (node, lane) in self.lanes.clone() {
            let x = LEFT + lane as u64 * self.lane_width;
            let name = self.trace.names.node(node).into_owned();
            self.text((x, top - 8), INK, "font-weight=\"bold\" text-anchor=\"middle\"", &name, columns);
            // While it is down it has no line.
            let mut from = top;
            let is_down =
                |span: &&Span| span.what == SpanKind::Down && span.groups.iter().flatten().any(|&of| of == node);
            let downs: Vec<(usize, Option<usize>)> =
                self.scene.spans.iter().filter(is_down).map(|span| (span.begun, span.ended)).collect();
            let mut lines = Vec::new();
            for (begun, ended) in downs {
                let begun =
                    if self.rows.first().is_some_and(|first| begun < *first) { top } else { self.height(begun) };
                lines.push((from, begun));
                from = ended.map_or(bottom, |end| {
                    if self.rows.first().is_some_and(|first| end < *first) { top } else { self.height(end) }
                });
            }
            lines.push((from, bottom));
            for (from, to) in lines.into_iter().filter(|(from, to)| from < to) {
                let _ = writeln!(
                    self.svg,
                    "<line x1=\"{x}\" y1=\"{from}\" x2=\"{x}\" y2=\"{to}\" stroke=\"#8c959f\" stroke-width=\"1.5\"/>"
                );
            }
        }
    }

    fn breaks(&mut self, width: u64) {
        for (y, said) in self.breaks.clone() {
            let mut path = format!("M8 {y}");
            for x in (16..LEFT - 24).step_by(8) {
                let _ = write!(path, "L{x} {}", if x % 16 == 0 { y - 3 } else { y + 3 });
            }
            let _ = writeln!(self.svg, "<path d=\"{path}\" fill=\"none\" stroke=\"{FAINT}\"/>");
            for x in self.lanes.values().map(|lane| LEFT + *lane as u64 * self.lane_width).collect::<Vec<_>>() {
                let _ = writeln!(
                    self.svg,
                    "<path d=\"M{} {}L{} {}L{} {}L{} {}\" fill=\"none\" stroke=\"{FAINT}\"/>",
                    x - 8,
                    y + 3,
                    x - 3,
                    y - 4,
                    x + 3,
                    y + 4,
                    x + 8,
                    y - 3
                );
            }
            self.text((width - 12, y + 4), FAINT, "text-anchor=\"end\" font-style=\"italic\"", &said, 60);
        }
    }

    fn messages(&mut self) {
        let Some((first, last)) = self.rows.first().copied().zip(self.rows.last().copied()) else { return };
        for message in std::mem::take(&mut self.scene.messages) {
            let end = match message.fate {
                Fate::Delivered { event } | Fate::Lost { event, .. } => event,
                Fate::UnderWay => usize::MAX,
            };
            // What lies in one break as a whole isn't drawn.
            let is_left_out = self.break_of(message.sent).is_some_and(|at| self.break_of(end) == Some(at));
            if message.sent <= last && end >= first && !is_left_out {
                self.message(&message, (first, last));
            }
            self.scene.messages.push(message);
        }
    }

    fn message(&mut self, message: &Message, (first, last): (usize, usize)) {
        let (Some(from), Some(to)) = (self.x(message.from), self.x(message.to)) else { return };
        let is_cut_off = message.sent < first;
        let start = if is_cut_off { self.top() } else { self.height(message.sent) };
        let (end, is_lost, is_under_way) = match message.fate {
            Fate::Delivered { event } if event <= last => (self.height(event), false, false),
            Fate::Lost { event, .. } if event <= last => (self.height(event), true, false),
            _ => (self.bottom(), false, true),
        };
        let is_failing = self.scene.failed == Some(message.sent);
        let colour = match (is_failing, is_lost) {
            (true, _) => BAD,
            (_, true) => WARY,
            _ => ARROW,
        };
        let dashes = if is_under_way || message.is_copy { " stroke-dasharray=\"5 4\"" } else { "" };
        if from == to {
            // To itself: a bow beside the lane.
            let _ = writeln!(
                self.svg,
                "<path d=\"M{from} {start}C{x} {start} {x} {end} {from} {end}\" fill=\"none\" stroke=\"{colour}\"{dashes}/>",
                x = from + 36
            );
            return;
        }
        // Lost where it is sent it comes half the way; lost on arrival, all of it.
        let at_sender = match message.fate {
            Fate::Lost { event, .. } => self.trace.events[event].node == message.from && end <= start + ROW,
            _ => false,
        };
        let (x2, y2) = match (at_sender, is_under_way) {
            (true, _) => (u64::midpoint(from, to), start + ROW / 2),
            (_, true) => (u64::midpoint(u64::midpoint(from, to), to), end),
            _ => (to, end),
        };
        let _ = writeln!(
            self.svg,
            "<line x1=\"{from}\" y1=\"{start}\" x2=\"{x2}\" y2=\"{y2}\" stroke=\"{colour}\" stroke-width=\"1.5\"{dashes}/>"
        );
        if is_lost {
            let _ = writeln!(
                self.svg,
                "<path d=\"M{} {}l12 12m0 -12l-12 12\" stroke=\"{BAD}\" stroke-width=\"2\"/>",
                x2 - 6,
                y2 - 6
            );
        } else if !is_under_way {
            self.arrowhead((from, start), (x2, y2), colour);
        }
    }

    /// A triangle, turned as the line is: in integers, so that the picture is the same everywhere.
    fn arrowhead(&mut self, (x1, y1): (u64, u64), (x2, y2): (u64, u64), colour: &str) {
        let signed = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
        let (dx, dy) = (signed(x2) - signed(x1), signed(y2) - signed(y1));
        let length = signed(dx.unsigned_abs().pow(2).saturating_add(dy.unsigned_abs().pow(2)).isqrt()).max(1);
        // In tenths.
        let (ux, uy) = (dx * 90 / length, dy * 90 / length);
        let (wx, wy) = (-uy * 4 / 9, ux * 4 / 9);
        let (tip_x, tip_y) = (signed(x2) * 10, signed(y2) * 10);
        let tenths = |value: i64| format!("{}.{}", value / 10, (value % 10).abs());
        let _ = writeln!(
            self.svg,
            "<path d=\"M{} {}L{} {}L{} {}Z\" fill=\"{colour}\"/>",
            tenths(tip_x),
            tenths(tip_y),
            tenths(tip_x - ux + wx),
            tenths(tip_y - uy + wy),
            tenths(tip_x - ux - wx),
            tenths(tip_y - uy - wy)
        );
    }

    /// Dots, labels, steps and times.
    fn rows(&mut self) {
        let sent: BTreeMap<usize, Message> =
            self.scene.messages.iter().map(|message| (message.sent, *message)).collect();
        let arrived: BTreeSet<usize> = self
            .scene
            .messages
            .iter()
            .filter_map(|message| match message.fate {
                Fate::Delivered { event } => Some(event),
                _ => None,
            })
            .collect();
        let mut last_time = None;
        for (number, row) in self.rows.clone().into_iter().enumerate() {
            let event = &self.trace.events[row];
            let y = self.heights[number];
            let is_failing = self.scene.failed == Some(row);
            let (colour, weight) = if is_failing { (BAD, " font-weight=\"bold\"") } else { (FAINT, "") };
            let time = seconds(event.at_ns);
            let time = if last_time.replace(event.at_ns) == Some(event.at_ns) { String::new() } else { time };
            let mark = if is_failing { "▶ " } else { "" };
            let at_right = format!("text-anchor=\"end\"{weight}");
            self.text((48, y + 4), colour, &at_right, &format!("{mark}{}", event.step), 16);
            self.text((LEFT - 16, y + 4), colour, &at_right, &time, 16);
            let names = &self.trace.names;
            let words = match &event.kind {
                EventKind::Send { flow, number, payload, .. } => {
                    Some(format!("{} {}", message_name(names, *flow, *number), payload_in_words(payload)))
                }
                EventKind::Deliver { .. } => None,
                EventKind::Lose { reason, .. } => Some(reason.to_string()),
                EventKind::Duplicate { .. } => Some("a copy is made".to_string()),
                EventKind::Corrupt { bit, .. } => Some(format!("bit {bit} is flipped")),
                _ => Some(event_in_short(event, names)),
            };
            let causes = (1..).zip(&self.causes).filter(|(_, (_, event))| *event == Some(row));
            let numbers: String = causes.map(|(number, _): (u64, _)| format!("({number}) ")).collect();
            let words = match numbers.is_empty() {
                true => words,
                false => Some(format!("{numbers}{}", words.unwrap_or_else(|| "arrives".to_string()))),
            };
            let node = event.node;
            let Some(x) = self.x(node) else {
                // A fault: it stands over all lanes.
                let words = words.unwrap_or_default();
                self.label((LEFT - 8, y + 4), WARY, " font-style=\"italic\"", &words, 90);
                continue;
            };
            let dot = match &event.kind {
                _ if is_failing => BAD,
                EventKind::Crash | EventKind::Panic { .. } => BAD,
                EventKind::Log { .. } => FAINT,
                EventKind::Lose { .. } => WARY,
                _ => INK,
            };
            if !matches!(event.kind, EventKind::Lose { .. }) {
                let radius = if arrived.contains(&row) || sent.contains_key(&row) { "3" } else { "4" };
                let _ = writeln!(self.svg, "<circle cx=\"{x}\" cy=\"{y}\" r=\"{radius}\" fill=\"{dot}\"/>");
            }
            if is_failing {
                let _ = writeln!(
                    self.svg,
                    "<circle cx=\"{x}\" cy=\"{y}\" r=\"8\" fill=\"none\" stroke=\"{BAD}\" stroke-width=\"2\"/>"
                );
            }
            let Some(words) = words else { continue };
            let to = sent.get(&row).and_then(|message| self.x(message.to));
            let colour = if is_failing { BAD } else { label_colour(&event.kind) };
            // Left of the lane where the arrow goes to the left: above its own beginning, which falls away from it.
            match to {
                Some(to) if to < x => {
                    self.label(
                        (x - 8, y - 4),
                        colour,
                        &format!(" text-anchor=\"end\"{weight}"),
                        &words,
                        self.columns(x),
                    );
                }
                Some(_) => self.label((x + 8, y - 4), colour, weight, &words, 36),
                None => {
                    let free = usize::try_from((self.width() - x - 16) / CHARACTER).unwrap_or(36);
                    self.label((x + 12, y + 4), colour, weight, &words, free.min(LABEL_COLUMNS_MAX));
                }
            }
        }
    }

    /// How much can be written left of there.
    fn columns(&self, x: u64) -> usize {
        usize::try_from((x - LEFT.min(x)) / CHARACTER).unwrap_or(0).clamp(12, 36)
    }

    /// A text over lines and shades: with a rim in the background's colour.
    fn label(&mut self, place: (u64, u64), colour: &str, more: &str, said: &str, columns_max: usize) {
        let more = format!("stroke=\"#ffffff\" stroke-width=\"3\" paint-order=\"stroke\" font-size=\"11\"{more}");
        self.text(place, colour, &more, said, columns_max);
    }
}

fn label_colour(kind: &EventKind<'_>) -> &'static str {
    match kind {
        EventKind::Crash | EventKind::Panic { .. } => BAD,
        EventKind::Lose { .. } | EventKind::Duplicate { .. } | EventKind::Corrupt { .. } => WARY,
        EventKind::Log { .. } => FAINT,
        _ => INK,
    }
}
