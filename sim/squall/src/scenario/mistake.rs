//! What is wrong with a scenario file, and where.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use miette::{Diagnostic, LabeledSpan, NamedSource, SourceCode};
use toml::de::DeTable;

/// One mistake: in a scenario file, in a `--set` argument, or in a recorded latency that one of them names.
#[derive(Clone, Debug)]
pub struct Mistake {
    message: String,
    help: Option<String>,
    place: Option<Place>,
}

/// The text that a mistake is in, and which part of it.
#[derive(Clone, Debug)]
struct Place {
    source: NamedSource<Arc<str>>,
    text: Arc<str>,
    labels: Vec<(Range<usize>, Option<String>)>,
}

impl Mistake {
    /// A mistake that is in no text: a file that isn't there, say.
    pub(super) fn nowhere(message: impl Into<String>, help: Option<String>) -> Mistake {
        Mistake { message: message.into(), help, place: None }
    }

    /// What is wrong, what was expected.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.message
    }

    /// What to do about it, for instance the name that was probably meant.
    #[must_use]
    pub fn help(&self) -> Option<&str> {
        self.help.as_deref()
    }

    /// The path of the file that it is in, or the `--set` argument.
    #[must_use]
    pub fn source_name(&self) -> Option<&str> {
        self.place.as_ref().map(|place| place.source.name())
    }

    /// The bytes of the source that it points at.
    #[must_use]
    pub fn span(&self) -> Option<Range<usize>> {
        Some(self.place.as_ref()?.labels.first()?.0.clone())
    }

    /// All in one line: `scenarios/payments.toml:4:11: …`.
    #[must_use]
    pub fn line(&self) -> String {
        let mut line = match (self.source_name(), self.line_and_column()) {
            (Some(name), Some((line, column))) => format!("{name}:{line}:{column}: {self}"),
            (Some(name), None) => format!("{name}: {self}"),
            (None, _) => self.to_string(),
        };
        if let Some(help) = self.help() {
            line.push_str("; ");
            line.push_str(help);
        }
        line
    }

    /// The text that it points at.
    #[must_use]
    pub fn text(&self) -> Option<&str> {
        self.place.as_ref()?.text.get(self.span()?)
    }

    /// Line and column, counted from 1, the column in characters.
    #[must_use]
    pub fn line_and_column(&self) -> Option<(usize, usize)> {
        let before = self.place.as_ref()?.text.get(..self.span()?.start)?;
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        Some((before.matches('\n').count() + 1, before[line_start..].chars().count() + 1))
    }
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Mistake {}

impl Diagnostic for Mistake {
    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        self.help.as_ref().map(|help| Box::new(help) as Box<dyn fmt::Display>)
    }

    fn source_code(&self) -> Option<&dyn SourceCode> {
        self.place.as_ref().map(|place| &place.source as &dyn SourceCode)
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        let place = self.place.as_ref()?;
        // The first is where the mistake is; a diagnostic's heading names that place.
        let label = |(index, (span, text)): (usize, &(Range<usize>, Option<String>))| match index {
            0 => LabeledSpan::new_primary_with_span(text.clone(), span.clone()),
            _ => LabeledSpan::new_with_span(text.clone(), span.clone()),
        };
        Some(Box::new(place.labels.iter().enumerate().map(label)))
    }
}

/// What the name of a `--set` argument begins with.
pub(super) const SET: &str = "--set ";

type Labels = Vec<(Range<usize>, Option<String>)>;

/// Where in a failure file's text the parts of a setting stand, which is one of its parameters.
fn in_parameters(text: &str, setting: &str, labels: &Labels) -> Option<Labels> {
    let (key, value) = setting.split_once('=')?;
    let file = DeTable::parse(text).ok()?;
    let parameters = file.get_ref().get("parameters")?.get_ref().as_table()?;
    let (known, given) = parameters.iter().find(|(known, _)| known.get_ref() == key)?;
    let moved = |(span, label): &(Range<usize>, Option<String>)| {
        let (whole, start, words) = match span.start.checked_sub(key.len() + 1) {
            None => (known.span(), span.start, key),
            Some(start) => (given.span(), start, value),
        };
        let words = words.get(start..(start + span.len()).min(words.len())).filter(|words| !words.is_empty());
        // Behind the quotation mark, if there is nothing in it that is written otherwise.
        let found = words.and_then(|words| {
            let places = std::iter::once(whole.start + 1 + start).chain(whole.clone());
            let mut spans = places.map(|at| at..at + words.len()).filter(|span| span.end <= whole.end);
            spans.find(|span| text.get(span.clone()) == Some(words))
        });
        (found.unwrap_or(whole), label.clone())
    };
    Some(labels.iter().map(moved).collect())
}

/// All that is wrong with a scenario file and the `--set` arguments: at least one mistake.
///
/// A `miette::Diagnostic`: the first mistake is the diagnostic itself, the others are related ones.
#[derive(Clone, Debug)]
pub struct ScenarioError {
    first: Box<Mistake>,
    others: Vec<Mistake>,
}

impl ScenarioError {
    /// All mistakes, at least one: in the order of the file, then of the arguments.
    pub fn mistakes(&self) -> impl Iterator<Item = &Mistake> {
        std::iter::once(&*self.first).chain(&self.others)
    }

    /// Every mistake on a line, with its place and its help, for where no diagnostics are drawn.
    #[must_use]
    pub fn lines(&self) -> String {
        let lines: Vec<String> = self.mistakes().map(Mistake::line).collect();
        lines.join("\n")
    }

    /// Of a program that ends its process when it describes its world, or never comes back, as `how` says.
    pub(crate) fn without_description(path: &std::path::Path, how: &str) -> ScenarioError {
        let message = format!("{}: the program's description of its world doesn't come back: {how}", path.display());
        ScenarioError::from(Mistake::nowhere(message, None))
    }

    /// The same where the settings weren't given by `--set`, but are the parameters of a failure file, which has that text: what is wrong with
    /// them is shown there.
    pub(crate) fn in_parameters_of(mut self, path: &std::path::Path, text: &str) -> ScenarioError {
        let text: Arc<str> = text.into();
        let name = path.display().to_string();
        for mistake in std::iter::once(&mut *self.first).chain(&mut self.others) {
            if let Some(place) = &mut mistake.place
                && place.source.name().starts_with(SET)
                && let Some(labels) = in_parameters(&text, &place.text, &place.labels)
            {
                *place = Place { source: NamedSource::new(&name, Arc::clone(&text)), text: Arc::clone(&text), labels };
            }
        }
        self
    }

    /// The same where a setting was made of another argument, which has the same key: what is wrong with the setting is shown there.
    /// `value` is what its value was made of; where `is_verbatim`, it is the value itself.
    pub(crate) fn in_argument(
        mut self,
        setting: &str,
        (name, argument): (&str, &str),
        value: Range<usize>,
        is_verbatim: bool,
    ) -> ScenarioError {
        let text: Arc<str> = argument.into();
        let value_start = setting.find('=').map_or(0, |at| at + 1);
        for mistake in std::iter::once(&mut *self.first).chain(&mut self.others) {
            let Some(place) = mistake.place.as_mut().filter(|place| place.source.name() == format!("{SET}{setting}"))
            else {
                continue;
            };
            let moved = |(span, label): &(Range<usize>, Option<String>)| {
                let is_key = span.end < value_start;
                let (span, is_made) = match span.start.checked_sub(value_start) {
                    _ if is_key => (span.clone(), false),
                    None => (0..argument.len(), false),
                    Some(start) if is_verbatim => {
                        let start = (value.start + start).min(value.end);
                        (start..(start + span.len()).min(value.end), false)
                    }
                    Some(_) => (value.clone(), true),
                };
                let made = is_made.then(|| format!("with {}", &setting[value_start..]));
                let words: Vec<String> = label.clone().into_iter().chain(made).collect();
                (span, (!words.is_empty()).then(|| words.join(", ")))
            };
            let labels = place.labels.iter().map(moved).collect();
            *place = Place { source: NamedSource::new(name, Arc::clone(&text)), text: Arc::clone(&text), labels };
        }
        self
    }

    pub(super) fn new(mut mistakes: Vec<Mistake>) -> ScenarioError {
        if mistakes.is_empty() {
            mistakes.push(Mistake::nowhere("the scenario can't be read", None));
        }
        let first = Box::new(mistakes.remove(0));
        ScenarioError { first, others: mistakes }
    }
}

impl From<Mistake> for ScenarioError {
    fn from(mistake: Mistake) -> ScenarioError {
        ScenarioError { first: Box::new(mistake), others: Vec::new() }
    }
}

/// The first mistake, without its place: what is drawn as the heading of a diagnostic. All of them, with their places, are
/// in [`ScenarioError::lines`].
impl fmt::Display for ScenarioError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.first.fmt(f)
    }
}

impl std::error::Error for ScenarioError {}

impl Diagnostic for ScenarioError {
    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        Diagnostic::help(&*self.first)
    }

    fn source_code(&self) -> Option<&dyn SourceCode> {
        self.first.source_code()
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        self.first.labels()
    }

    fn related<'a>(&'a self) -> Option<Box<dyn Iterator<Item = &'a dyn Diagnostic> + 'a>> {
        if self.others.is_empty() {
            return None;
        }
        Some(Box::new(self.others.iter().map(|mistake| mistake as &dyn Diagnostic)))
    }
}

/// The texts that a scenario is read from: the file, then each `--set` argument, then each recorded latency in which something is wrong. Spans count through all of them, as if
/// they stood behind each other, so that a value keeps its place wherever it is moved.
#[derive(Debug, Default)]
pub(super) struct Sources {
    entries: Vec<Source>,
}

#[derive(Debug)]
struct Source {
    name: String,
    text: Arc<str>,
    start: usize,
}

impl Sources {
    /// Adds a text. Where it starts.
    pub(super) fn add(&mut self, name: impl Into<String>, text: &str) -> usize {
        // A gap of one, so that the end of a text isn't the start of the next.
        let start = self.entries.last().map_or(0, |last| last.start + last.text.len() + 1);
        self.entries.push(Source { name: name.into(), text: text.into(), start });
        start
    }

    /// The mistake, with its place in one of the texts. Labels in other texts than the first label's are left out.
    pub(super) fn place(&self, draft: Draft) -> Mistake {
        let Draft { message, labels, help } = draft;
        let at = labels.first().map_or(0, |(span, _)| span.start);
        let Some(source) = self.entries.iter().rev().find(|source| source.start <= at) else {
            return Mistake::nowhere(message, help);
        };
        let length = source.text.len();
        let labels = labels.into_iter().filter_map(|(span, text)| {
            let start = span.start.checked_sub(source.start).filter(|&start| start <= length)?;
            let end = span.end.saturating_sub(source.start).clamp(start, length);
            Some((start..end, text))
        });
        let place = Place {
            source: NamedSource::new(&source.name, Arc::clone(&source.text)),
            text: Arc::clone(&source.text),
            labels: labels.collect(),
        };
        Mistake { message, help, place: Some(place) }
    }
}

/// A mistake whose spans count through all [`Sources`].
#[derive(Clone, Debug)]
pub(super) struct Draft {
    pub message: String,
    pub labels: Vec<(Range<usize>, Option<String>)>,
    pub help: Option<String>,
}

impl Draft {
    pub(super) fn new(span: Range<usize>, message: impl Into<String>) -> Draft {
        Draft { message: message.into(), labels: vec![(span, None)], help: None }
    }

    /// What the place that is pointed at should be.
    pub(super) fn label(mut self, label: impl Into<String>) -> Draft {
        if let Some((_, text)) = self.labels.first_mut() {
            *text = Some(label.into());
        }
        self
    }

    /// Another place that matters.
    pub(super) fn also(mut self, span: Range<usize>, label: impl Into<String>) -> Draft {
        self.labels.push((span, Some(label.into())));
        self
    }

    pub(super) fn help(mut self, help: impl Into<String>) -> Draft {
        self.help = Some(help.into());
        self
    }

    /// "did you mean", if there is something that might have been meant.
    pub(super) fn meant(self, suggestion: Option<&str>) -> Draft {
        match suggestion {
            Some(suggestion) => self.help(format!("did you mean `{suggestion}`?")),
            None => self,
        }
    }
}
