//! What nodes log through `tracing`: part of the trace, stamped with virtual time, node and step.
//!
//! One dispatcher serves all runs of a process (making one costs 26 µs and rebuilds every callsite's interest); it finds
//! the run by the thread. It is set for the run's thread only, so a subscriber that the program has set for itself
//! elsewhere stays as it is.

use std::cell::RefCell;
use std::fmt::Write;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use squall_trace::EventKind;
use tracing_core::field::{Field, Visit};
use tracing_core::span::{Attributes, Id, Record};
use tracing_core::{Dispatch, Event, Level, Metadata, Subscriber, subscriber::Interest};

use crate::kernel;

thread_local! {
    /// Spans by number, and those that are entered. Per thread, so per run.
    static SPANS: RefCell<Spans> = const { RefCell::new(Spans { known: Vec::new(), entered: Vec::new() }) };
}

struct Spans {
    known: Vec<(u64, String)>,
    entered: Vec<u64>,
}

/// The dispatcher that all runs share.
pub(crate) fn dispatch() -> &'static Dispatch {
    static DISPATCH: OnceLock<Dispatch> = OnceLock::new();
    DISPATCH.get_or_init(|| Dispatch::new(RunSubscriber { next_span: AtomicU64::new(1) }))
}

struct RunSubscriber {
    next_span: AtomicU64,
}

#[derive(Default)]
struct Text {
    message: String,
    fields: String,
}

impl Visit for Text {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        if field.name() == "message" {
            let _ = write!(self.message, "{value:?}");
        } else {
            let _ = write!(self.fields, " {}={value:?}", field.name());
        }
    }
}

impl Text {
    fn joined(self) -> String {
        let mut text = self.message;
        text.push_str(&self.fields);
        let trimmed = text.trim_start();
        if trimmed.len() == text.len() { text } else { trimmed.to_string() }
    }
}

fn wanted() -> bool {
    kernel::try_with(|kernel| kernel.journal.wants_logs()).unwrap_or(false)
}

impl Subscriber for RunSubscriber {
    fn register_callsite(&self, metadata: &'static Metadata<'static>) -> Interest {
        // Which run asks is only known when it asks.
        if *metadata.level() <= Level::DEBUG { Interest::sometimes() } else { Interest::never() }
    }

    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        *metadata.level() <= Level::DEBUG && wanted()
    }

    fn new_span(&self, attributes: &Attributes<'_>) -> Id {
        let mut text = Text::default();
        attributes.record(&mut text);
        let mut label = attributes.metadata().name().to_string();
        let fields = text.joined();
        if !fields.is_empty() {
            let _ = write!(label, "{{{fields}}}");
        }
        // Numbers are never shown: they only tell spans apart.
        let number = self.next_span.fetch_add(1, Ordering::Relaxed);
        let _ = SPANS.try_with(|spans| spans.borrow_mut().known.push((number, label)));
        Id::from_u64(number)
    }

    fn record(&self, span: &Id, values: &Record<'_>) {
        let mut text = Text::default();
        values.record(&mut text);
        let fields = text.joined();
        let _ = SPANS.try_with(|spans| {
            if let Some((_, label)) = spans.borrow_mut().known.iter_mut().find(|(id, _)| *id == span.into_u64()) {
                let _ = write!(label, "{{{fields}}}");
            }
        });
    }

    fn record_follows_from(&self, _span: &Id, _follows: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut text = Text::default();
        // User code: fields' Debug implementations run here, while the world isn't borrowed.
        event.record(&mut text);
        let mut message = String::new();
        let _ = SPANS.try_with(|spans| {
            let spans = spans.borrow();
            for entered in &spans.entered {
                if let Some((_, label)) = spans.known.iter().find(|(id, _)| id == entered) {
                    let _ = write!(message, "{label}: ");
                }
            }
        });
        message.push_str(&text.joined());
        let metadata = event.metadata();
        let _ = kernel::try_with(|kernel| {
            let kind = EventKind::Log {
                level: metadata.level().as_str().into(),
                target: metadata.target().into(),
                message: message.as_str().into(),
            };
            kernel.journal.log(kernel.now_ns, kernel.current.node, kernel.current.task, kind);
        });
    }

    fn enter(&self, span: &Id) {
        let _ = SPANS.try_with(|spans| spans.borrow_mut().entered.push(span.into_u64()));
    }

    fn exit(&self, span: &Id) {
        let _ = SPANS.try_with(|spans| {
            let entered = &mut spans.borrow_mut().entered;
            if let Some(at) = entered.iter().rposition(|id| *id == span.into_u64()) {
                entered.remove(at);
            }
        });
    }

    fn try_close(&self, span: Id) -> bool {
        let _ = SPANS.try_with(|spans| spans.borrow_mut().known.retain(|(id, _)| *id != span.into_u64()));
        true
    }
}
