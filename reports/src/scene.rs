//! A run as a picture has it: lanes, messages, times at which something was wrong, and marks. All pictures are drawn from this: the page's
//! diagram, the text with its lanes, the SVG, Perfetto's tracks.

use std::collections::BTreeMap;

use squall_trace::event::{EventKind, FaultPart, LossReason};
use squall_trace::swarm::FaultClass;
use squall_trace::{FlowId, NodeId, OwnedEvent, Perturbation, SiteKind, Trace, Verdict};

use crate::timeline::marked_event;

/// A run, ready to be drawn. Places of events are their indices in [`Trace::events`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scene {
    /// What was sent, in the order of the sending.
    pub messages: Vec<Message>,
    /// Nodes that were down, and faults that stood, in the order in which they began.
    pub spans: Vec<Span>,
    /// The event at which a property failed, if it did at one.
    pub failed: Option<usize>,
    /// When the run was over: the time of its last event.
    pub end_ns: u64,
}

/// A message, or its copy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Message {
    /// Its flow.
    pub flow: FlowId,
    /// Its number in the flow.
    pub number: u64,
    /// The sender.
    pub from: NodeId,
    /// The receiver.
    pub to: NodeId,
    /// The event of its sending; of a copy, that of its making.
    pub sent: usize,
    /// Whether it is the network's copy.
    pub is_copy: bool,
    /// Whether the network flipped a bit of it.
    pub is_corrupted: bool,
    /// What became of it.
    pub fate: Fate,
}

/// What became of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It arrived, with that event.
    Delivered {
        /// The event.
        event: usize,
    },
    /// It came to nothing, with that event.
    Lost {
        /// The event: on the sender's node, or on the receiver's.
        event: usize,
        /// Why.
        reason: LossReason,
    },
    /// It was under way when the run ended, or when its trace was cut off.
    UnderWay,
}

/// A time in which something was wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Span {
    /// What it is.
    pub what: SpanKind,
    /// Whom it concerns: the groups of a partition, the two ends of a link, or one group of nodes.
    pub groups: Vec<Vec<NodeId>>,
    /// The event with which it began.
    pub begun: usize,
    /// The event with which it was over. `None`: it wasn't before the end of the run.
    pub ended: Option<usize>,
}

/// What a span is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SpanKind {
    /// A node that is down.
    Down,
    /// A fault. Its text is that of the event with which it began.
    Fault(FaultClass),
}

impl Scene {
    /// The event at which a decision shows: of one about a message, its loss, its copy or its sending; of another, the first at its time that
    /// says of it.
    pub(crate) fn event_of(&self, cause: &Perturbation, trace: &Trace) -> Option<usize> {
        let number = if cause.site.kind == SiteKind::Order { cause.site.number >> 1 } else { cause.site.number };
        let wants_copy = cause.site.kind == SiteKind::Duplicate;
        let is_ours = |message: &&Message| {
            message.flow == cause.site.flow && message.number == number && message.is_copy == wants_copy
        };
        // Flows have one kind of decisions' numbers, so that of another kind none is met.
        if let Some(message) = self.messages.iter().find(is_ours) {
            return Some(match (cause.site.kind, message.fate) {
                (SiteKind::Loss, Fate::Lost { event, .. }) => event,
                (SiteKind::Order | SiteKind::Latency, Fate::Delivered { event }) => event,
                _ => message.sent,
            });
        }
        let first = trace.events.partition_point(|event| event.at_ns < cause.at_ns);
        let at_once = trace.events[first..].iter().take_while(|event| event.at_ns == cause.at_ns);
        let says = |event: &OwnedEvent| match cause.site.kind {
            SiteKind::Fault | SiteKind::Partition | SiteKind::Point => {
                matches!(event.kind, EventKind::Fault { .. } | EventKind::Crash | EventKind::Heal { .. })
            }
            SiteKind::DiskCrash | SiteKind::DiskFailure | SiteKind::DiskLatency | SiteKind::BitRot => {
                matches!(event.kind, EventKind::Disk { .. })
            }
            _ => !matches!(event.kind, EventKind::Log { .. }),
        };
        at_once.enumerate().find(|(_, event)| says(event)).map(|(index, _)| first + index)
    }

    /// What a run looks like.
    #[must_use]
    pub fn of(trace: &Trace) -> Scene {
        let mut scene = Scene { end_ns: trace.events.last().map_or(0, |event| event.at_ns), ..Scene::default() };
        let mut known: BTreeMap<(FlowId, u64, u8), usize> = BTreeMap::new();
        // By step: the event with which a fault began.
        let mut begun: BTreeMap<u64, usize> = BTreeMap::new();
        for (index, event) in trace.events.iter().enumerate() {
            match &event.kind {
                EventKind::Send { flow, number, to, .. } => {
                    known.insert((*flow, *number, 0), scene.messages.len());
                    scene.messages.push(Message {
                        flow: *flow,
                        number: *number,
                        from: event.node,
                        to: *to,
                        sent: index,
                        is_copy: false,
                        is_corrupted: false,
                        fate: Fate::UnderWay,
                    });
                }
                EventKind::Duplicate { flow, number } => {
                    let Some(&first) = known.get(&(*flow, *number, 0)) else { continue };
                    known.insert((*flow, *number, 1), scene.messages.len());
                    let first = scene.messages[first];
                    // The copy is whole, and travels from where the message is sent: as from its sending on.
                    let fate = Fate::UnderWay;
                    scene.messages.push(Message { sent: index, is_copy: true, is_corrupted: false, fate, ..first });
                }
                EventKind::Corrupt { flow, number, .. } => {
                    if let Some(&place) = known.get(&(*flow, *number, 0)) {
                        scene.messages[place].is_corrupted = true;
                    }
                }
                EventKind::Deliver { flow, number, copy } => {
                    if let Some(&place) = known.get(&(*flow, *number, *copy)) {
                        scene.messages[place].fate = Fate::Delivered { event: index };
                    }
                }
                EventKind::Lose { flow, number, copy, reason } => {
                    if let Some(&place) = known.get(&(*flow, *number, *copy)) {
                        scene.messages[place].fate = Fate::Lost { event: index, reason: *reason };
                    }
                }
                EventKind::Crash => scene.begin(SpanKind::Down, vec![vec![event.node]], index),
                EventKind::Boot { .. } => {
                    scene.end(index, |span| span.what == SpanKind::Down && span.is_among(&[event.node]));
                }
                EventKind::Fault { part, .. } => match part {
                    FaultPart::Whole => {}
                    FaultPart::Begins { class, groups } => {
                        begun.insert(event.step, index);
                        scene.begin(SpanKind::Fault(*class), groups.clone(), index);
                    }
                    FaultPart::Ends { begun: step } => {
                        if let Some(&begun) = begun.get(step) {
                            scene.end(index, |span| span.begun == begun && span.what != SpanKind::Down);
                        }
                    }
                    FaultPart::AllEnd { class, nodes } => {
                        scene.end_of(nodes, index, |what| what == SpanKind::Fault(*class));
                    }
                },
                EventKind::Heal { nodes, .. } => {
                    // A node that is down says itself when it starts again.
                    scene.end_of(nodes, index, |what| what != SpanKind::Down);
                }
                _ => {}
            }
        }
        if let Verdict::Fail(failure) = &trace.verdict
            && failure.node.is_some()
        {
            scene.failed = marked_event(trace, failure);
        }
        scene
    }

    fn begin(&mut self, what: SpanKind, groups: Vec<Vec<NodeId>>, begun: usize) {
        self.spans.push(Span { what, groups, begun, ended: None });
    }

    /// Ends what concerns only these nodes; all, if there are none. What nodes have each for itself ends for these, and stands for the others.
    fn end_of(&mut self, nodes: &[NodeId], event: usize, ends: impl Fn(SpanKind) -> bool) {
        let mut still = Vec::new();
        for (place, span) in self.spans.iter().enumerate().filter(|(_, span)| span.ended.is_none() && ends(span.what)) {
            let is_of_each = matches!(
                span.what,
                SpanKind::Fault(FaultClass::Pause | FaultClass::Slow | FaultClass::Clock) | SpanKind::Down
            );
            let others = |group: &Vec<NodeId>| -> Vec<NodeId> {
                group.iter().copied().filter(|node| !nodes.contains(node)).collect()
            };
            let stands: Vec<Vec<NodeId>> = span.groups.iter().map(others).collect();
            let is_some = |groups: &[Vec<NodeId>]| groups.iter().any(|group| !group.is_empty());
            if is_of_each && !nodes.is_empty() && is_some(&stands) && stands != span.groups {
                still.push((place, stands));
            }
        }
        for (place, stands) in still.into_iter().rev() {
            let span = &mut self.spans[place];
            let goes_on = Span { groups: stands, ..span.clone() };
            span.groups.iter_mut().for_each(|group| group.retain(|node| nodes.contains(node)));
            // Behind it: spans stay in the order of their beginnings.
            self.spans.insert(place + 1, goes_on);
        }
        self.end(event, |span| ends(span.what) && span.is_among(nodes));
    }

    fn end(&mut self, event: usize, ends: impl Fn(&Span) -> bool) {
        for span in self.spans.iter_mut().filter(|span| span.ended.is_none() && ends(span)) {
            span.ended = Some(event);
        }
    }
}

impl Span {
    /// Whether it concerns only these nodes; all, if there are none.
    fn is_among(&self, nodes: &[NodeId]) -> bool {
        nodes.is_empty() || self.groups.iter().flatten().all(|node| nodes.contains(node))
    }
}
