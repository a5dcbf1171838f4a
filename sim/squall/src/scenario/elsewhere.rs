//! What a scenario file may say where another engine than Squall's own carries its program out; everything else is refused, with its place.

use std::panic::AssertUnwindSafe;

use squall_engine::description::refused_fault;
use toml::de::{DeTable, DeValue};

use super::mistake::Draft;
use super::program::Built;
use super::reader::{Fields, Reader};
use super::sections::Settings;
use crate::engine;

/// Sections and keys that other engines know, `*` for any name. What a fault says is looked at by itself.
const KNOWN: [&str; 20] = [
    "program",
    "about",
    "seeds",
    "isolation",
    "expect",
    "limit.virtual",
    "limit.events",
    "limit.memory",
    "end.at",
    "nodes.*",
    "args",
    "network.latency",
    "network.loss",
    "fault",
    "heal.at",
    "heal.within",
    "check.linearizable",
    "check.transactions",
    "check.session",
    "check.unreached",
];

/// Notes what no other engine knows.
pub(super) fn check(reader: &mut Reader, top: &Fields<'_, '_>, settings: &Settings, built: &Built) {
    let noted = reader.drafts.len();
    check_keys(reader, top);
    for fault in &settings.faults {
        if let Some(why) = refused_fault(fault.fault()) {
            let message = format!("{}: this program's engine isn't Squall's own: {why}", fault.fault().sentence());
            reader.note(Draft::new(fault.span(), message).label("not known there"));
        }
    }
    if reader.drafts.len() > noted {
        return;
    }
    // What the program itself says, and what only all of it together tells. The description was called before and came back.
    let described = std::panic::catch_unwind(AssertUnwindSafe(|| {
        engine::described(&|world| {
            settings.before(world);
            built(world);
            settings.after(world);
        })
    }));
    if let Ok(Err(message)) = described {
        let place = top.get("network").map_or_else(|| top.key_span("program"), toml::Spanned::span);
        reader.note(Draft::new(place, message).label("with these settings"));
    }
}

fn check_keys(reader: &mut Reader, top: &Fields<'_, '_>) {
    let mut refused = Vec::new();
    for (key, span, value) in top.entries() {
        if is_known(key) {
            continue;
        }
        match value.get_ref() {
            DeValue::Table(section) if is_section(key) => refused.extend(of_section(key, section)),
            _ => refused.push((key.to_string(), span)),
        }
    }
    for (key, span) in refused {
        let message = format!("`{key}`: this program's engine isn't Squall's own, and doesn't know that");
        let draft = Draft::new(span, message).label("not known there");
        reader.note(draft.help("leave it out; docs/madsim.md has what a program on madsim may say"));
    }
}

fn of_section(section: &str, table: &DeTable<'_>) -> Vec<(String, std::ops::Range<usize>)> {
    let keys = table.iter().map(|(key, _)| (format!("{section}.{}", key.get_ref()), key.span()));
    keys.filter(|(key, _)| !is_known(key)).collect()
}

fn is_known(key: &str) -> bool {
    KNOWN.iter().any(|known| squall_engine::matches(known, key))
}

fn is_section(key: &str) -> bool {
    KNOWN.iter().any(|known| known.strip_prefix(key).is_some_and(|rest| rest.starts_with('.')))
}
