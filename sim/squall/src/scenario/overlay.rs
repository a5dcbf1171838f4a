//! `--set key=value`: a setting put over the file's, with its own place.

use std::collections::BTreeMap;
use std::ops::Range;

use toml::Spanned;
use toml::de::{DeArray, DeString, DeTable, DeValue};

use super::mistake::Draft;
use super::reader::{Reader, Value, shortened};
use super::units::nearest;

/// Deeper than any key of a scenario. A bound, since nested tables are dropped by recursion.
const DEPTH_MAX: usize = 8;

/// The `[[link]]`s that settings put behind the file's own: their places in the list, by the ends that the settings name.
pub(super) type AddedLinks<'i> = BTreeMap<(&'i str, &'i str), usize>;

/// Puts one `--set` argument, whose text starts at `start` of all sources, over the file's table.
///
/// The value is read as TOML if it is some, else as text: `args.cache=true`, `network.loss=5%`. Links, uplinks, disks, faults, rules and
/// budgets are reached by the name that the file gives them: `fault.split.for=3s`. A link is also reached by its ends, whether the file speaks of
/// it or not: `link.client-0:store-1.latency=90ms`.
pub(super) fn overlay<'i>(
    reader: &mut Reader,
    root: &mut DeTable<'i>,
    added: &mut AddedLinks<'i>,
    argument: &'i str,
    start: usize,
) {
    let all = start..start + argument.len();
    let Some((key, text)) = argument.split_once('=') else {
        reader.note(
            Draft::new(all, format!("expected a setting such as network.loss=5%, found {:?}", shortened(argument)))
                .label("expected key=value"),
        );
        return;
    };
    let Some(segments) = segments(reader, key, start) else { return };
    let Some(value) = value(reader, text, start + key.len() + 1) else { return };
    let (last, parents) = segments.split_last().expect("splitting gives at least one segment");
    let mut table = root;
    let mut parents = parents;
    if let [list, rest @ ..] = parents
        && matches!(list.0, "link" | "uplink" | "disk" | "fault" | "rule" | "budget")
    {
        let Some((name, rest)) = rest.split_first() else {
            let message = format!("`{key}` lacks a key: expected {}.NAME.KEY", list.0);
            reader.note(Draft::new(all, message).label("expected a key behind the name"));
            return;
        };
        let found = match ends(name) {
            Some(ends) if list.0 == "link" && !is_named(table, name.0) => {
                if let Some((key, span)) = rest.first().or(Some(last)).filter(|(key, _)| ["from", "to"].contains(key)) {
                    let message =
                        format!("the link {:?} has its ends already: `{key}` can't be set", shortened(name.0));
                    reader
                        .note(Draft::new(span.clone(), message).label("expected what the link does, such as latency"));
                    return;
                }
                added_link(reader, table, added, ends, &all)
            }
            _ => named_table(reader, table, list, name),
        };
        let Some(found) = found else { return };
        table = found;
        parents = rest;
    }
    for parent in parents {
        let entry = table
            .entry(Spanned::new(parent.1.clone(), DeString::Borrowed(parent.0)))
            .or_insert_with(|| Spanned::new(all.clone(), DeValue::Table(DeTable::new())));
        match entry.get_mut() {
            DeValue::Table(inner) => table = inner,
            _ => {
                reader.note(
                    Draft::new(parent.1.clone(), format!("`{}` has no keys of its own", parent.0))
                        .label("not a table in the file"),
                );
                return;
            }
        }
    }
    // The old key goes too: it has the old place.
    table.remove(last.0);
    table.insert(Spanned::new(last.1.clone(), DeString::Borrowed(last.0)), value);
}

type Segment<'i> = (&'i str, Range<usize>);

fn segments<'i>(reader: &mut Reader, key: &'i str, start: usize) -> Option<Vec<Segment<'i>>> {
    let mut segments = Vec::new();
    let mut at = start;
    for segment in key.split('.') {
        let trimmed = segment.trim();
        let segment_start = at + (segment.len() - segment.trim_start().len());
        segments.push((trimmed, segment_start..segment_start + trimmed.len()));
        at += segment.len() + 1;
    }
    let is_bad = segments.len() > DEPTH_MAX || segments.iter().any(|(segment, _)| segment.is_empty());
    if is_bad {
        reader.note(
            Draft::new(start..start + key.len(), format!("{:?} is no key of a setting", shortened(key)))
                .label("expected a key such as network.loss"),
        );
        return None;
    }
    Some(segments)
}

fn value<'i>(reader: &mut Reader, text: &'i str, start: usize) -> Option<Value<'i>> {
    let trimmed = text.trim();
    let start = start + (text.len() - text.trim_start().len());
    let all = start..start + trimmed.len();
    if trimmed.is_empty() {
        reader.note(Draft::new(all, "the setting has no value").label("expected a value behind the ="));
        return None;
    }
    match DeValue::parse(trimmed) {
        Ok(value) => Some(shifted(value, start)),
        Err(error) if trimmed.starts_with(['"', '\'', '[', '{']) => {
            let at = error.span().map_or(all, |span| start + span.start..start + span.end);
            reader.note(Draft::new(at, format!("the value can't be read: {}", error.message())).label("here"));
            None
        }
        Err(_) => Some(Spanned::new(all, DeValue::String(DeString::Borrowed(trimmed)))),
    }
}

/// The value with all of its places moved.
fn shifted(value: Value<'_>, by: usize) -> Value<'_> {
    let span = value.span();
    let span = span.start + by..span.end + by;
    let inner = match value.into_inner() {
        DeValue::Array(array) => {
            let mut moved = DeArray::new();
            for entry in array {
                moved.push(shifted(entry, by));
            }
            DeValue::Array(moved)
        }
        DeValue::Table(table) => {
            let move_entry = |(key, value): (Spanned<DeString<'_>>, _)| {
                let span = key.span();
                (Spanned::new(span.start + by..span.end + by, key.into_inner().into_owned().into()), shifted(value, by))
            };
            DeValue::Table(table.into_iter().map(move_entry).collect())
        }
        simple => simple,
    };
    Spanned::new(span, inner)
}

/// The ends of a link that is named by them: `client-0:store-1`.
fn ends<'i>((name, span): &Segment<'i>) -> Option<[Segment<'i>; 2]> {
    let (from, to) = name.split_once(':')?;
    let middle = span.start + from.len();
    Some([(from, span.start..middle), (to, middle + 1..span.end)])
}

fn name_of(entry: &Value<'_>) -> Option<String> {
    Some(entry.get_ref().as_table()?.get("name")?.get_ref().as_str()?.to_string())
}

fn is_named(root: &DeTable<'_>, name: &str) -> bool {
    let links = root.get("link").and_then(|links| links.get_ref().as_array());
    links.is_some_and(|links| links.iter().any(|link| name_of(link).as_deref() == Some(name)))
}

/// The `[[link]]` behind all others that settings have made for these ends, or make now: it says no more than they do, and the last that
/// says something wins.
fn added_link<'t, 'i>(
    reader: &mut Reader,
    root: &'t mut DeTable<'i>,
    added: &mut AddedLinks<'i>,
    [from, to]: [Segment<'i>; 2],
    all: &Range<usize>,
) -> Option<&'t mut DeTable<'i>> {
    for (end, span) in [&from, &to] {
        if end.is_empty() {
            let message = "a link is named by both of its ends";
            reader.note(Draft::new(span.clone(), message).label("expected FROM:TO, such as client-0:store-1"));
            return None;
        }
    }
    let links = root
        .entry(Spanned::new(all.clone(), DeString::Borrowed("link")))
        .or_insert_with(|| Spanned::new(all.clone(), DeValue::Array(DeArray::new())));
    // What else it may be is told when it is read.
    let DeValue::Array(links) = links.get_mut() else { return None };
    let place = *added.entry((from.0, to.0)).or_insert_with(|| {
        let mut link = DeTable::new();
        for (key, (end, span)) in [("from", from), ("to", to)] {
            let end = DeValue::String(DeString::Borrowed(end));
            link.insert(Spanned::new(span.clone(), DeString::Borrowed(key)), Spanned::new(span, end));
        }
        links.push(Spanned::new(all.clone(), DeValue::Table(link)));
        links.len() - 1
    });
    match links.get_mut(place)?.get_mut() {
        DeValue::Table(link) => Some(link),
        _ => None,
    }
}

/// The `[[link]]`, `[[uplink]]`, `[[disk]]`, `[[fault]]`, `[[rule]]` or `[[budget]]` of that name.
fn named_table<'t, 'i>(
    reader: &mut Reader,
    root: &'t mut DeTable<'i>,
    list: &Segment<'_>,
    name: &Segment<'_>,
) -> Option<&'t mut DeTable<'i>> {
    let mut names = Vec::new();
    let mut index = None;
    if let Some(DeValue::Array(array)) = root.get(list.0).map(Spanned::get_ref) {
        names = array.iter().filter_map(name_of).collect();
        index = array.iter().position(|entry| name_of(entry).as_deref() == Some(name.0));
    }
    let Some(index) = index else {
        let mut draft = Draft::new(name.1.clone(), format!("no [[{}]] is named {:?}", list.0, shortened(name.0)))
            .label("not a name in the file")
            .meant(nearest(name.0, names.iter().map(String::as_str)));
        let by_ends = if list.0 == "link" { "; or name a link by its ends: FROM:TO" } else { "" };
        if draft.help.is_none() {
            draft.help = Some(if names.is_empty() {
                format!("give it one in the file: name = {:?}{by_ends}", shortened(name.0))
            } else {
                format!("expected one of {}{by_ends}", names.join(", "))
            });
        }
        reader.note(draft);
        return None;
    };
    match root.get_mut(list.0)?.get_mut() {
        DeValue::Array(array) => match array.get_mut(index)?.get_mut() {
            DeValue::Table(table) => Some(table),
            _ => None,
        },
        _ => None,
    }
}
