//! `[[fault]]` of a scenario file: each kind, what it may say, and what can't be.

use std::ops::Range;
use std::time::Duration;

use squall_engine::fault::{self, DRIFT_PPM_MAX, Fault, Split, TIMES_MAX};
use squall_engine::{matches, point};
use toml::de::{DeTable, DeValue};

use super::mistake::Draft;
use super::reader::{Fields, Reader, Value, shortened};
use super::sections::{GivenNames, LinkSettings, NamePlace, Weather, read_ends, read_ways};
use super::units::nearest;

const NODE: &str = "the name of a node, or a pattern such as \"store-*\"";

/// A `[[fault]]`.
#[derive(Clone, Debug)]
pub(super) struct FaultSettings {
    fault: Fault,
    pub at: Duration,
    pub at_span: Range<usize>,
    /// The nodes that it speaks of, in the groups of a partition.
    pub groups: Vec<Vec<NamePlace>>,
    /// Whether no node may be in two of them.
    is_partition: bool,
    span: Range<usize>,
    /// The weather that it brings to a link.
    pub link: Option<LinkSettings>,
}

impl FaultSettings {
    pub(super) fn fault(&self) -> &Fault {
        &self.fault
    }

    pub(super) fn span(&self) -> Range<usize> {
        self.span.clone()
    }

    /// Nodes that are in two groups: each with both places.
    pub(super) fn in_two_groups(&self, node_names: &[String]) -> Vec<(String, Range<usize>, Range<usize>)> {
        let mut found = Vec::new();
        for name in node_names.iter().filter(|_| self.is_partition) {
            let mut first: Option<(usize, &NamePlace)> = None;
            for (index, group) in self.groups.iter().enumerate() {
                let Some(place) = group.iter().find(|place| matches(&place.name, name)) else { continue };
                match first {
                    None => first = Some((index, place)),
                    Some((_, earlier)) => {
                        found.push((name.clone(), earlier.span.clone(), place.span.clone()));
                        break;
                    }
                }
            }
            // A pattern that is twice there brings many nodes with the same mistake.
            if !found.is_empty() {
                break;
            }
        }
        found
    }

    /// How many nodes it names.
    fn named(&self, node_names: &[String]) -> usize {
        let names = |name: &&String| self.groups.iter().flatten().any(|place| matches(&place.name, name));
        node_names.iter().filter(names).count()
    }

    /// Where another fault has the name by which the part of this one is known that comes to one of its nodes.
    pub(super) fn shares_address(&self, name: &str, node_names: &[String]) -> Option<Draft> {
        let own = self.fault.name()?;
        let node = name.strip_prefix(own)?.strip_prefix(" (")?.strip_suffix(')')?;
        node_names.iter().any(|other| other == node).then(|| {
            let message = format!("the fault {own:?} at {node} is known as {name:?}, which is another fault's name");
            let mistake = Draft::new(self.span.clone(), message).label("it comes to each of its nodes by itself");
            mistake.help("name one of the two otherwise")
        })
    }

    /// What can't be with these nodes, with its place.
    pub(super) fn impossible(&self, node_names: &[String]) -> Option<Draft> {
        let error = self.fault.validate_for(self.named(node_names)).err()?;
        Some(Draft::new(self.span.clone(), format!("the fault can't be: {error}")).label("here"))
    }

    /// When it begins for the last time.
    pub(super) fn last_at(&self, node_names: &[String]) -> Duration {
        self.fault.last_at(self.named(node_names))
    }
}

/// What a kind's own keys say: the fault, the nodes that it speaks of, and whether those are the groups of a partition.
struct OfKind {
    fault: Fault,
    groups: Vec<Vec<NamePlace>>,
    is_partition: bool,
    link: Option<LinkSettings>,
}

impl OfKind {
    fn new(fault: Fault, groups: Vec<Vec<NamePlace>>) -> OfKind {
        OfKind { fault, groups, is_partition: false, link: None }
    }
}

/// A kind of fault: its name, what a message calls it, and its own keys.
struct Kind {
    name: &'static str,
    title: &'static str,
    keys: &'static [&'static str],
    read: fn(&mut Reader, &Fields<'_, '_>) -> Option<OfKind>,
    /// What it would be if it lasted no time; none of a crash, which doesn't last.
    at_once: Option<&'static str>,
}

/// What every fault may say.
const COMMON: [&str; 5] = ["kind", "at", "name", "every", "times"];
/// What a fault of nodes may say beside it.
const OF_NODES: [&str; 3] = ["node", "stagger", "together"];
const ENDS: [&str; 4] = ["from", "to", "both_ways", "one_way"];

const KINDS: [Kind; 12] = [
    Kind {
        name: "partition",
        title: "a partition",
        keys: &["groups", "from", "to", "one_way"],
        read: read_partition,
        at_once: Some("a partition that heals at once is none"),
    },
    Kind {
        name: "random-partition",
        title: "a random partition",
        keys: &["nodes", "split"],
        read: read_random_partition,
        at_once: Some("a partition that heals at once is none"),
    },
    Kind {
        name: "ring",
        title: "a ring",
        keys: &["nodes", "reach"],
        read: read_ring,
        at_once: Some("a ring that is over at once is none"),
    },
    Kind {
        name: "swizzle",
        title: "a swizzle",
        keys: &["nodes", "stagger", "hold"],
        read: read_swizzle,
        at_once: Some("a node that has its network back at once has never lost it"),
    },
    Kind {
        name: "crash",
        title: "a crash",
        keys: &["restart_after", "wipe_disk", "at_point", "share"],
        read: read_crash,
        at_once: None,
    },
    Kind {
        name: "pause",
        title: "a pause",
        keys: &[],
        read: |reader, fields| read_node(reader, fields, |_, _, nodes| Some(fault::pause(nodes))),
        at_once: Some("a pause that is over at once is none"),
    },
    Kind {
        name: "slow",
        title: "a slow node",
        keys: &["poll"],
        read: read_slow,
        at_once: Some("a node that is slow for no time isn't slow"),
    },
    Kind {
        name: "clock-jump",
        title: "a clock's jump",
        keys: &["forward", "back"],
        read: read_clock_jump,
        at_once: Some("a clock that is set right at once doesn't jump"),
    },
    Kind {
        name: "clock-drift",
        title: "a clock's drift",
        keys: &["ppm"],
        read: read_clock_drift,
        at_once: Some("a clock that drifts for no time runs right"),
    },
    Kind {
        name: "link",
        title: "a fault of a link",
        keys: &Weather::KEYS,
        read: read_link,
        at_once: Some("a link whose weather changes back at once hasn't changed"),
    },
    Kind {
        name: "hold",
        title: "a hold",
        keys: &[],
        read: read_hold,
        at_once: Some("a hold that is over at once is none"),
    },
    Kind {
        name: "reset",
        title: "a reset of connections",
        keys: &["from", "to"],
        read: |reader, fields| {
            let (from, to) = read_ends(reader, fields)?;
            let fault = fault::reset(from.name.as_str(), to.name.as_str());
            Some(OfKind::new(fault, vec![vec![from], vec![to]]))
        },
        at_once: None,
    },
];

impl Kind {
    fn is_of_nodes(&self) -> bool {
        matches!(self.name, "crash" | "pause" | "slow" | "clock-jump" | "clock-drift")
    }

    fn is_of_links(&self) -> bool {
        matches!(self.name, "link" | "hold")
    }

    /// All keys that it may have.
    fn keys(&self) -> Vec<&'static str> {
        let mut keys = COMMON.to_vec();
        keys.extend(self.keys);
        keys.extend(self.is_of_nodes().then_some(OF_NODES).iter().flatten());
        keys.extend(self.is_of_links().then_some(ENDS).iter().flatten());
        keys.extend(self.at_once.map(|_| "for"));
        keys
    }
}

/// Each kind's name, what a message calls it, and all keys that it may have.
pub(super) fn kinds() -> Vec<(&'static str, &'static str, Vec<&'static str>)> {
    KINDS.iter().map(|kind| (kind.name, kind.title, kind.keys())).collect()
}

pub(super) fn read_faults(reader: &mut Reader, top: &Fields<'_, '_>) -> Vec<FaultSettings> {
    let mut names = GivenNames::default();
    let mut faults = Vec::new();
    for (table, span) in reader.tables(top, "fault") {
        if let Some(fault) = read_fault(reader, table, span, &mut names) {
            faults.push(fault);
        }
    }
    faults
}

fn read_fault(
    reader: &mut Reader,
    table: &DeTable<'_>,
    span: Range<usize>,
    names: &mut GivenNames,
) -> Option<FaultSettings> {
    let kinds = KINDS.map(|kind| format!("{:?}", kind.name));
    let (last, others) = kinds.split_last().expect("there are kinds");
    let expected = format!("{} or {last}", others.join(", "));
    let Some(kind) = table.get("kind") else {
        let keys: Vec<&str> = KINDS.iter().flat_map(Kind::keys).collect();
        let fields = reader.fields(table, span, "[[fault]]", &keys);
        reader.missing(&fields, "kind", &expected);
        return None;
    };
    let said = reader.text("kind", &expected, kind)?;
    let Some(kind) = KINDS.into_iter().find(|known| known.name == said) else {
        let meant = nearest(said, KINDS.map(|kind| kind.name)).map(|name| format!("{name:?}"));
        let message = format!("`kind`: expected {expected}, found {:?}", shortened(said));
        reader.note(Draft::new(kind.span(), message).label("not a kind of fault").meant(meant.as_deref()));
        return None;
    };
    let known = kind.keys();
    let fields = reader.fields(table, span.clone(), kind.title, &known);
    // What isn't among them was told as a mistake.
    let get = |key: &str| fields.get(key).filter(|_| known.contains(&key));
    let name = names.read(reader, &fields, "fault");
    let at = match get("at") {
        None if get("at_point").is_some() => Some((Duration::ZERO, span.clone())),
        Some(_) if get("at_point").is_some() => {
            let draft = Draft::new(fields.key_span("at_point"), "a crash is `at` a time or `at_point`, not both");
            reader.note(draft.label("this one").also(fields.key_span("at"), "and this one"));
            None
        }
        Some(value) => reader.duration("at", value).map(|at| (at, value.span())),
        None => {
            reader.missing(&fields, "at", "when it happens, such as \"2s\"");
            None
        }
    };
    let lasts = get("for").map(|value| {
        let at_once = kind.at_once.unwrap_or_default();
        reader.positive_duration("for", &format!("{at_once}; leave it out if it is to stay"), value)
    });
    let every = get("every").map(|value| {
        reader.positive_duration("every", "it would happen all at once; leave it out if it is to happen once", value)
    });
    let times = get("times").map(|value| reader.count("times", 1..=u64::from(TIMES_MAX), value));
    let stagger = get("stagger")
        .map(|value| reader.positive_duration("stagger", "it would come to all at once; leave it out for that", value));
    let together = get("together").map(|value| reader.boolean("together", value));
    let of_kind = (kind.read)(reader, &fields);
    let ((at, at_span), OfKind { mut fault, groups, is_partition, link }) = (at?, of_kind?);
    fault = fault.at(at);
    if let Some(name) = name {
        fault = fault.named(name);
    }
    if let Some(lasts) = lasts {
        fault = fault.lasts(lasts?);
    }
    if let Some(every) = every {
        fault = fault.every(every?);
    }
    if let Some(times) = times {
        fault = fault.times(u32::try_from(times?).expect("within its range"));
    }
    if let Some(stagger) = stagger {
        fault = fault.stagger(stagger?);
    }
    if together.is_some_and(|together| together == Some(true)) {
        fault = fault.together();
    }
    if kind.is_of_nodes()
        && let [[NamePlace { name, .. }]] = groups.iter().map(Vec::as_slice).collect::<Vec<_>>()[..]
        && let Some(key) = ["stagger", "together"].into_iter().find(|key| get(key).is_some())
        && !name.contains('*')
    {
        let message = format!("the fault is one of {name:?} alone, so nothing comes `together` with it or after it");
        reader.note(Draft::new(fields.key_span(key), message).label("expected only with several nodes"));
        return None;
    }
    if let Err(error) = fault.validate() {
        let key = ["share", "every", "times", "together", "stagger"].into_iter().find(|key| fields.get(key).is_some());
        let place = key.map_or_else(|| span.clone(), |key| fields.key_span(key));
        reader.note(Draft::new(place, format!("the fault can't be: {error}")).label("here"));
        return None;
    }
    Some(FaultSettings { fault, at, at_span, groups, is_partition, span, link })
}

/// A fault of nodes: `make` makes it of their names.
fn read_node(
    reader: &mut Reader,
    fields: &Fields<'_, '_>,
    make: impl FnOnce(&mut Reader, &Fields<'_, '_>, Vec<String>) -> Option<Fault>,
) -> Option<OfKind> {
    let group = match fields.get("node") {
        Some(value) => read_group(reader, "node", value),
        None => {
            reader.missing(fields, "node", NODE);
            None
        }
    };
    // What else is wrong is told as well.
    let names = group.iter().flatten().map(|place| place.name.clone()).collect();
    let fault = make(reader, fields, names);
    Some(OfKind::new(fault?, vec![group?]))
}

fn read_crash(reader: &mut Reader, fields: &Fields<'_, '_>) -> Option<OfKind> {
    read_node(reader, fields, |reader, fields, nodes| {
        let restart_after = fields.get("restart_after").map(|value| reader.duration("restart_after", value));
        let mut fault = fault::crash(nodes);
        match (fields.get("at_point"), fields.get("share")) {
            (Some(point), share) => {
                let name = read_point(reader, point);
                let share = match share {
                    Some(share) => reader.share("share", share),
                    None => {
                        reader.missing(fields, "share", "in what share of all times it crashes there, such as \"5%\"");
                        None
                    }
                };
                fault = fault.at_point(name?, share?);
            }
            (None, Some(_)) => {
                let draft = Draft::new(fields.key_span("share"), "`share` belongs to `at_point`, which isn't there");
                reader.note(draft.label("expected `at_point` beside it"));
                return None;
            }
            (None, None) => {}
        }
        if let Some(wipe) = fields.get("wipe_disk")
            && reader.boolean("wipe_disk", wipe)?
        {
            fault = fault.wipes_disk();
        }
        match restart_after {
            Some(after) => Some(fault.restart_after(after?)),
            None => Some(fault),
        }
    })
}

/// The name of a point of the code, or a pattern of some.
fn read_point(reader: &mut Reader, value: &Value<'_>) -> Option<String> {
    let said =
        reader.text("at_point", "the name of a point, as in squall::point!(\"between the two writes\")", value)?;
    let all = point::names();
    if !all.iter().any(|name| matches(said, name)) {
        let there_are =
            if all.is_empty() { "there are none".to_string() } else { format!("there are {}", all.join(", ")) };
        let message = format!("`at_point`: no point of the code is named {:?}; {there_are}", shortened(said));
        let meant = nearest(said, all.iter().copied()).map(|name| format!("{name:?}"));
        reader.note(Draft::new(value.span(), message).label("not a point").meant(meant.as_deref()));
        return None;
    }
    Some(said.to_string())
}

fn read_slow(reader: &mut Reader, fields: &Fields<'_, '_>) -> Option<OfKind> {
    read_node(reader, fields, |reader, fields, nodes| {
        let Some(value) = fields.get("poll") else {
            reader.missing(fields, "poll", "how long each poll takes, such as \"2ms\"");
            return None;
        };
        let poll = reader.positive_duration("poll", "a node whose polls take no time isn't slow", value)?;
        Some(fault::slow(nodes, poll))
    })
}

fn read_clock_jump(reader: &mut Reader, fields: &Fields<'_, '_>) -> Option<OfKind> {
    read_node(reader, fields, |reader, fields, nodes| {
        let mut by = |key: &str, value: &Value<'_>| {
            reader.positive_duration(key, "a clock that is set by nothing doesn't jump", value)
        };
        match (fields.get("forward"), fields.get("back")) {
            (Some(forward), None) => Some(fault::clock_jump_forward(nodes, by("forward", forward)?)),
            (None, Some(back)) => Some(fault::clock_jump_back(nodes, by("back", back)?)),
            (None, None) => {
                reader.missing(fields, "forward", "by how much it jumps, such as \"30s\" (or `back`)");
                None
            }
            (Some(_), Some(_)) => {
                let draft = Draft::new(fields.key_span("back"), "a clock jumps `forward` or `back`, not both");
                reader.note(draft.label("this one").also(fields.key_span("forward"), "and this one"));
                None
            }
        }
    })
}

fn read_clock_drift(reader: &mut Reader, fields: &Fields<'_, '_>) -> Option<OfKind> {
    read_node(reader, fields, |reader, fields, nodes| {
        let expected = format!(
            "by how many millionths the clock is too fast: a whole number from -{DRIFT_PPM_MAX} to {DRIFT_PPM_MAX}, not 0"
        );
        let Some(value) = fields.get("ppm") else {
            reader.missing(fields, "ppm", &expected);
            return None;
        };
        let number = match value.get_ref() {
            DeValue::Integer(number) => i32::from_str_radix(number.as_str(), number.radix()).ok(),
            _ => None,
        };
        match number {
            Some(ppm) if ppm != 0 && ppm.unsigned_abs() <= DRIFT_PPM_MAX => Some(fault::clock_drift(nodes, ppm)),
            _ => {
                reader.bad_type("ppm", &expected, value);
                None
            }
        }
    })
}

fn read_link(reader: &mut Reader, fields: &Fields<'_, '_>) -> Option<OfKind> {
    let noted = reader.drafts.len();
    let weather = Weather::read(reader, fields);
    let both_ways = read_ways(reader, fields);
    let (from, to) = read_ends(reader, fields)?;
    if Weather::KEYS.iter().all(|key| fields.get(key).is_none()) {
        reader.missing(
            fields,
            "latency",
            "what changes: `latency`, `loss`, `bursts`, `duplicate`, `corruption`, `reset`, `bandwidth` or `queue`",
        );
    }
    if reader.drafts.len() > noted {
        return None;
    }
    let (a, b) = (from.name.as_str(), to.name.as_str());
    let fault = match both_ways {
        true => fault::link(a, b, |link| weather.apply(link)),
        false => fault::link_one_way(a, b, |link| weather.apply(link)),
    };
    let groups = vec![vec![from.clone()], vec![to.clone()]];
    Some(OfKind { link: Some(LinkSettings { from, to, both_ways, weather }), ..OfKind::new(fault, groups) })
}

fn read_hold(reader: &mut Reader, fields: &Fields<'_, '_>) -> Option<OfKind> {
    let both_ways = read_ways(reader, fields);
    let (from, to) = read_ends(reader, fields)?;
    let (a, b) = (from.name.as_str(), to.name.as_str());
    let fault = if both_ways { fault::hold(a, b) } else { fault::hold_one_way(a, b) };
    Some(OfKind::new(fault, vec![vec![from], vec![to]]))
}

/// The nodes of a partition that is made of them: `make` makes it of their names.
fn read_nodes(
    reader: &mut Reader,
    fields: &Fields<'_, '_>,
    make: impl FnOnce(&mut Reader, &Fields<'_, '_>, Vec<String>) -> Option<Fault>,
) -> Option<OfKind> {
    let group = match fields.get("nodes") {
        Some(value) => read_group(reader, "nodes", value),
        None => {
            reader.missing(fields, "nodes", NODE);
            None
        }
    };
    let names = group.iter().flatten().map(|place| place.name.clone()).collect();
    let fault = make(reader, fields, names);
    Some(OfKind::new(fault?, vec![group?]))
}

fn read_random_partition(reader: &mut Reader, fields: &Fields<'_, '_>) -> Option<OfKind> {
    read_nodes(reader, fields, |reader, fields, nodes| {
        let Some(value) = fields.get("split") else { return Some(fault::random_partition(nodes, Split::Any)) };
        const EXPECTED: &str = "\"any\", \"minority\" or \"one\"";
        let said = reader.text("split", EXPECTED, value)?;
        let Some((_, split)) = Split::ALL.into_iter().find(|(name, _)| *name == said) else {
            let meant = nearest(said, Split::ALL.map(|(name, _)| name)).map(|name| format!("{name:?}"));
            let message = format!("`split`: expected {EXPECTED}, found {:?}", shortened(said));
            reader.note(Draft::new(value.span(), message).label("no such split").meant(meant.as_deref()));
            return None;
        };
        Some(fault::random_partition(nodes, split))
    })
}

fn read_swizzle(reader: &mut Reader, fields: &Fields<'_, '_>) -> Option<OfKind> {
    for (key, expected) in [
        ("for", "how long after the last node was cut off the first one comes back, such as \"2s\""),
        ("stagger", "how long after one node the next one comes, such as \"500ms\""),
    ] {
        if fields.get(key).is_none() {
            reader.missing(fields, key, expected);
            return None;
        }
    }
    read_nodes(reader, fields, |reader, fields, nodes| {
        let holds = fields.get("hold").map_or(Some(false), |value| reader.boolean("hold", value));
        let swizzle = fault::swizzle(nodes);
        Some(if holds? { swizzle.holds_messages() } else { swizzle })
    })
}

fn read_ring(reader: &mut Reader, fields: &Fields<'_, '_>) -> Option<OfKind> {
    read_nodes(reader, fields, |reader, fields, nodes| {
        let reach = match fields.get("reach") {
            Some(value) => reader.count("reach", 1..=u64::from(u32::MAX), value)?,
            None => 1,
        };
        Some(fault::ring(nodes, u32::try_from(reach).expect("within its range")))
    })
}

fn read_partition(reader: &mut Reader, fields: &Fields<'_, '_>) -> Option<OfKind> {
    let one_way = fields.get("one_way").map(|value| reader.boolean("one_way", value));
    let groups = match (fields.get("groups"), fields.get("from"), fields.get("to")) {
        (Some(groups), None, None) => {
            if one_way == Some(Some(true)) {
                reader.note(
                    Draft::new(fields.key_span("one_way"), "a partition of groups cuts both ways")
                        .label("expected `from` and `to` in place of `groups`"),
                );
            }
            read_groups(reader, groups)
        }
        (None, Some(from), Some(to)) => {
            let (from, to) = (read_group(reader, "from", from), read_group(reader, "to", to));
            from.zip(to).map(|(from, to)| vec![from, to])
        }
        (Some(_), ..) => {
            let other = if fields.get("from").is_some() { "from" } else { "to" };
            reader.note(
                Draft::new(fields.key_span(other), "a partition has `groups`, or `from` and `to`, not both")
                    .label("this one")
                    .also(fields.key_span("groups"), "and this one"),
            );
            None
        }
        (None, None, None) => {
            reader.missing(fields, "groups", "groups of nodes such as [[\"store-0\"], [\"store-1\", \"store-2\"]]");
            None
        }
        (None, from, _) => {
            let key = if from.is_some() { "to" } else { "from" };
            reader.missing(fields, key, "the names of nodes");
            None
        }
    }?;
    let words = |group: &[NamePlace]| group.iter().map(|place| place.name.clone()).collect::<Vec<String>>();
    let fault = match (one_way.unwrap_or(Some(false))?, groups.as_slice()) {
        (true, [from, to]) => fault::partition_one_way(words(from), words(to)),
        _ => fault::partition(groups.iter().map(|group| words(group))),
    };
    Some(OfKind { is_partition: true, ..OfKind::new(fault, groups) })
}

fn read_groups(reader: &mut Reader, value: &Value<'_>) -> Option<Vec<Vec<NamePlace>>> {
    const EXPECTED: &str = "groups of nodes such as [[\"store-0\"], [\"store-1\", \"store-2\"]]";
    let DeValue::Array(array) = value.get_ref() else {
        reader.note(Draft::new(value.span(), format!("`groups`: expected {EXPECTED}")).label("not a list of groups"));
        return None;
    };
    if array.len() < 2 {
        let message = format!("`groups`: expected at least two groups, found {}", array.len());
        reader.note(Draft::new(value.span(), message).label("a partition has two sides or more"));
        return None;
    }
    let groups: Vec<Option<Vec<NamePlace>>> = array.iter().map(|group| read_group(reader, "groups", group)).collect();
    groups.into_iter().collect()
}

fn read_group(reader: &mut Reader, key: &str, value: &Value<'_>) -> Option<Vec<NamePlace>> {
    let texts = reader.texts(key, NODE, value)?;
    if texts.is_empty() {
        reader.note(Draft::new(value.span(), format!("`{key}`: a group without nodes")).label("expected a node"));
        return None;
    }
    Some(texts.into_iter().map(|(name, span)| NamePlace { name: name.to_string(), span }).collect())
}
