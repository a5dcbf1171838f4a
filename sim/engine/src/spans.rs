//! What subscribers of `tracing` keep of a run's spans, and how a line's fields are written: the engine's own subscriber, and that of other engines' programs.

use std::fmt::Write;

use tracing_core::Metadata;
use tracing_core::field::{Field, Visit};
use tracing_core::span::{Current, Id};

/// The spans of a run that are known, each with what its subscriber says of it, and those that are entered.
#[derive(Debug)]
pub struct Spans<Said> {
    known: Vec<Known<Said>>,
    entered: Vec<u64>,
}

#[derive(Debug)]
struct Known<Said> {
    number: u64,
    /// How many handles there are: it is known until the last is dropped.
    handles: usize,
    metadata: &'static Metadata<'static>,
    said: Said,
}

impl<Said> Spans<Said> {
    /// None.
    #[must_use]
    #[expect(clippy::new_without_default, reason = "it is made in a constant")]
    pub const fn new() -> Spans<Said> {
        Spans { known: Vec::new(), entered: Vec::new() }
    }

    /// One more, which has a number that no other has and one handle.
    pub fn begin(&mut self, number: u64, metadata: &'static Metadata<'static>, said: Said) {
        self.known.push(Known { number, handles: 1, metadata, said });
    }

    /// What is said of one, while it is known.
    #[must_use]
    pub fn said(&self, span: &Id) -> Option<&Said> {
        self.find(span.into_u64()).map(|span| &span.said)
    }

    /// Likewise, to be changed.
    pub fn said_mut(&mut self, span: &Id) -> Option<&mut Said> {
        let number = span.into_u64();
        self.known.iter_mut().find(|span| span.number == number).map(|span| &mut span.said)
    }

    fn find(&self, number: u64) -> Option<&Known<Said>> {
        self.known.iter().find(|span| span.number == number)
    }

    /// One is entered.
    pub fn enter(&mut self, span: &Id) {
        self.entered.push(span.into_u64());
    }

    /// One is left.
    pub fn exit(&mut self, span: &Id) {
        if let Some(at) = self.entered.iter().rposition(|number| *number == span.into_u64()) {
            self.entered.remove(at);
        }
    }

    /// What is said of those that are entered, from the outside in.
    pub fn entered(&self) -> impl Iterator<Item = &Said> {
        self.entered.iter().filter_map(|number| self.find(*number)).map(|span| &span.said)
    }

    /// The innermost one that is entered.
    #[must_use]
    pub fn current(&self) -> Current {
        let span = self.entered.last().and_then(|number| self.find(*number));
        span.map_or_else(Current::none, |span| Current::new(Id::from_u64(span.number), span.metadata))
    }

    /// One more handle.
    pub fn share(&mut self, span: &Id) {
        if let Some(span) = self.known.iter_mut().find(|known| known.number == span.into_u64()) {
            span.handles += 1;
        }
    }

    /// A handle less. Whether that was the last.
    pub fn close(&mut self, span: &Id) -> bool {
        let Some(at) = self.known.iter().position(|known| known.number == span.into_u64()) else { return false };
        self.known[at].handles -= 1;
        if self.known[at].handles > 0 {
            return false;
        }
        // The order is never shown.
        self.known.swap_remove(at);
        true
    }
}

/// The fields of a line or a span as they are written: the message, then each other by its name.
#[derive(Debug, Default)]
pub struct Fields {
    message: String,
    others: String,
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        if field.name() == "message" {
            let _ = write!(self.message, "{value:?}");
        } else {
            let _ = write!(self.others, " {}={value:?}", field.name());
        }
    }
}

impl Fields {
    /// As text.
    #[must_use]
    pub fn joined(self) -> String {
        let mut text = self.message;
        text.push_str(&self.others);
        let trimmed = text.trim_start();
        if trimmed.len() == text.len() { text } else { trimmed.to_string() }
    }
}

/// A span as lines name it: its name, and its fields if it has some.
#[must_use]
pub fn label(name: &str, fields: Fields) -> String {
    let fields = fields.joined();
    if fields.is_empty() { name.to_string() } else { format!("{name}{{{fields}}}") }
}
