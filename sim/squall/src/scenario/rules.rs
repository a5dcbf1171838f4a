//! `[[rule]]` of a scenario file: which messages, and what becomes of them.

use std::ops::Range;
use std::time::Duration;

use squall_engine::rule::{self, Messages, Rule};

use super::mistake::Draft;
use super::reader::{Fields, Reader, Value, shortened};
use super::sections::{GivenNames, NamePlace, read_ends, read_ways};
use super::units::nearest;

/// A `[[rule]]`.
#[derive(Clone, Debug)]
pub(super) struct RuleSettings {
    pub rule: Rule,
    pub from: NamePlace,
    pub to: NamePlace,
    pub at: Duration,
    pub span: Range<usize>,
}

const KEYS: [&str; 16] = [
    "name",
    "from",
    "to",
    "both_ways",
    "one_way",
    "verdict",
    "after",
    "messages",
    "method",
    "tag",
    "port",
    "at",
    "for",
    "skip",
    "times",
    "share",
];

pub(super) const VERDICTS: [&str; 6] = ["pass", "deliver", "drop", "duplicate", "corrupt", "hold"];

pub(super) fn read_rules(reader: &mut Reader, top: &Fields<'_, '_>) -> Vec<RuleSettings> {
    let mut names = GivenNames::default();
    let mut rules: Vec<RuleSettings> = Vec::new();
    for (table, span) in reader.tables(top, "rule") {
        let fields = reader.fields(table, span.clone(), "[[rule]]", &KEYS);
        let Some(read) = read_rule(reader, &fields, &mut names, span) else { continue };
        if let Some(first) = rules.iter().find(|other| other.rule.address() == read.rule.address()) {
            let message = "two rules say the same, and so would have the same address";
            let mistake =
                Draft::new(read.span.clone(), message).label("again here").also(first.span.clone(), "first here");
            reader.note(
                mistake.help("give one of them a name, or leave it out: of two that are the same the first decides"),
            );
            continue;
        }
        rules.push(read);
    }
    rules
}

fn read_rule(
    reader: &mut Reader,
    fields: &Fields<'_, '_>,
    names: &mut GivenNames,
    span: Range<usize>,
) -> Option<RuleSettings> {
    let noted = reader.drafts.len();
    let name = names.read(reader, fields, "rule");
    let ends = read_ends(reader, fields);
    let both_ways = read_ways(reader, fields);
    let after = fields.get("after").map(|value| (value.span(), reader.duration("after", value)));
    let verdict = read_verdict(reader, fields);
    let messages = fields.get("messages").map(|value| read_messages(reader, value));
    let method =
        fields.get("method").map(|value| reader.text("method", "the type of a request, such as \"Put\"", value));
    let tag = fields.get("tag").map(|value| reader.count("tag", 0..=i64::MAX as u64, value));
    let port = fields.get("port").map(|value| reader.count("port", 1..=u64::from(u16::MAX), value));
    let at = fields.get("at").map(|value| reader.duration("at", value));
    let zero_lasts = "it would concern no message; leave it out if it is to stay";
    let lasts = fields.get("for").map(|value| reader.positive_duration("for", zero_lasts, value));
    let skip = fields.get("skip").map(|value| reader.count("skip", 0..=i64::MAX as u64, value));
    let times = fields.get("times").map(|value| reader.count("times", 1..=i64::MAX as u64, value));
    let share = fields.get("share").map(|value| reader.share("share", value));
    let (from, to) = ends?;
    let verdict = verdict?;
    let (a, b) = (from.name.as_str(), to.name.as_str());
    let takes_after = matches!(verdict, "deliver" | "duplicate");
    let after = match after {
        Some((_, after)) if takes_after => after?,
        None if takes_after => {
            let what = if verdict == "deliver" { "how long it travels" } else { "how long the copy travels" };
            reader.missing(fields, "after", &format!("{what}, such as \"50ms\""));
            return None;
        }
        Some((span, _)) => {
            let message = format!("`after` says nothing of a message whose verdict is {verdict:?}");
            reader.note(Draft::new(span, message).label("expected only with \"deliver\" and \"duplicate\""));
            return None;
        }
        None => Duration::ZERO,
    };
    if reader.drafts.len() > noted {
        return None;
    }
    let mut rule = match verdict {
        "pass" => rule::pass(a, b),
        "deliver" => rule::deliver_after(a, b, after),
        "drop" => rule::drop(a, b),
        "duplicate" => rule::duplicate(a, b, after),
        "corrupt" => rule::corrupt(a, b),
        _ => rule::hold(a, b),
    };
    if let Some(name) = name {
        rule = rule.named(name);
    }
    if both_ways {
        rule = rule.both_ways();
    }
    if let Some(messages) = messages.flatten() {
        rule = rule.only(messages);
    }
    if let Some(method) = method.flatten() {
        rule = rule.method(method);
    }
    if let Some(tag) = tag.flatten() {
        rule = rule.tag(tag);
    }
    if let Some(port) = port.flatten() {
        rule = rule.to_port(u16::try_from(port).expect("within its range"));
    }
    let at = at.flatten().unwrap_or_default();
    rule = rule.at(at);
    if let Some(lasts) = lasts.flatten() {
        rule = rule.lasts(lasts);
    }
    if let Some(skip) = skip.flatten() {
        rule = rule.skip(skip);
    }
    if let Some(times) = times.flatten() {
        rule = rule.times(times);
    }
    if let Some(share) = share.flatten() {
        rule = rule.share(share);
    }
    if let Err(error) = rule.validate() {
        let key = ["share", "tag", "method", "messages", "after"].into_iter().find(|key| fields.get(key).is_some());
        let place = key.map_or_else(|| span.clone(), |key| fields.key_span(key));
        reader.note(Draft::new(place, format!("the rule can't be: {error}")).label("here"));
        return None;
    }
    Some(RuleSettings { rule, from, to, at, span })
}

fn read_verdict(reader: &mut Reader, fields: &Fields<'_, '_>) -> Option<&'static str> {
    const EXPECTED: &str = "\"pass\", \"deliver\", \"drop\", \"duplicate\", \"corrupt\" or \"hold\"";
    let Some(value) = fields.get("verdict") else {
        reader.missing(fields, "verdict", EXPECTED);
        return None;
    };
    let said = reader.text("verdict", EXPECTED, value)?;
    let known = VERDICTS.into_iter().find(|verdict| *verdict == said);
    if known.is_none() {
        unknown(reader, "verdict", EXPECTED, said, value, &VERDICTS);
    }
    known
}

fn read_messages(reader: &mut Reader, value: &Value<'_>) -> Option<Messages> {
    const EXPECTED: &str = "\"datagrams\", \"calls\", \"answers\" or \"segments\"";
    let said = reader.text("messages", EXPECTED, value)?;
    let known = Messages::ALL.into_iter().find(|(name, _)| *name == said);
    if known.is_none() {
        unknown(reader, "messages", EXPECTED, said, value, &Messages::ALL.map(|(name, _)| name));
    }
    known.map(|(_, messages)| messages)
}

fn unknown(reader: &mut Reader, key: &str, expected: &str, said: &str, value: &Value<'_>, names: &[&str]) {
    let meant = nearest(said, names.iter().copied()).map(|name| format!("{name:?}"));
    let message = format!("`{key}`: expected {expected}, found {:?}", shortened(said));
    reader.note(Draft::new(value.span(), message).label("not known here").meant(meant.as_deref()));
}
