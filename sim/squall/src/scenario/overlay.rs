//! `--set key=value`: a setting put over the file's, with its own place.

use std::ops::Range;

use toml::Spanned;
use toml::de::{DeArray, DeString, DeTable, DeValue};

use super::mistake::Draft;
use super::reader::{Reader, Value, shortened};
use super::units::nearest;

/// Deeper than any key of a scenario. A bound, since nested tables are dropped by recursion.
const DEPTH_MAX: usize = 8;

/// Puts one `--set` argument, whose text starts at `start` of all sources, over the file's table.
///
/// The value is read as TOML if it is some, else as text: `args.cache=true`, `network.loss=5%`. Links, disks and faults
/// are reached by the name that the file gives them: `fault.split.for=3s`.
pub(super) fn overlay<'i>(reader: &mut Reader, root: &mut DeTable<'i>, argument: &'i str, start: usize) {
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
        && matches!(list.0, "link" | "disk" | "fault")
    {
        let Some((name, rest)) = rest.split_first() else {
            let message = format!("`{key}` lacks a key: expected {}.NAME.KEY", list.0);
            reader.note(Draft::new(all, message).label("expected a key behind the name"));
            return;
        };
        let Some(named) = named_table(reader, table, list, name) else { return };
        table = named;
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

/// The `[[link]]`, `[[disk]]` or `[[fault]]` of that name.
fn named_table<'t, 'i>(
    reader: &mut Reader,
    root: &'t mut DeTable<'i>,
    list: &Segment<'_>,
    name: &Segment<'_>,
) -> Option<&'t mut DeTable<'i>> {
    let name_of = |value: &Value<'_>| -> Option<String> {
        Some(value.get_ref().as_table()?.get("name")?.get_ref().as_str()?.to_string())
    };
    let mut names = Vec::new();
    let mut index = None;
    if let Some(DeValue::Array(array)) = root.get(list.0).map(Spanned::get_ref) {
        names = array.iter().filter_map(&name_of).collect();
        index = array.iter().position(|entry| name_of(entry).as_deref() == Some(name.0));
    }
    let Some(index) = index else {
        let mut draft = Draft::new(name.1.clone(), format!("no [[{}]] is named {:?}", list.0, shortened(name.0)))
            .label("not a name in the file")
            .meant(nearest(name.0, names.iter().map(String::as_str)));
        if draft.help.is_none() {
            draft.help = Some(if names.is_empty() {
                format!("give it one in the file: name = {:?}", shortened(name.0))
            } else {
                format!("expected one of {}", names.join(", "))
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
