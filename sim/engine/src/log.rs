//! What nodes log through `tracing`: part of the trace, stamped with virtual time, node and step.
//!
//! One dispatcher serves all runs of a process (making one costs 26 µs and rebuilds every callsite's interest); it finds
//! the run by the thread. It is set for the run's thread only, so a subscriber that the program has set for itself
//! elsewhere stays as it is.
//!
//! Lines that a library writes through the `log` crate aren't seen: `log` has one logger a process, and that is the
//! program's. Levels go down to `debug`; what `trace!` writes isn't kept. Nothing is asked for unless everything is
//! recorded or a property watches logs, so a field's expression runs only then: it had better have no effects.

use std::cell::{Cell, RefCell};
use std::fmt::Write;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use squall_trace::EventKind;
use tracing_core::field::{Field, Visit};
use tracing_core::span::{Attributes, Current, Id, Record};
use tracing_core::{Dispatch, Event, Level, Metadata, Subscriber, subscriber::Interest};

use crate::kernel;

thread_local! {
    /// Spans by number, and those that are entered. Per thread, so per run.
    static SPANS: RefCell<Spans> = const { RefCell::new(Spans { known: Vec::new(), entered: Vec::new() }) };
}

struct Spans {
    known: Vec<KnownSpan>,
    entered: Vec<u64>,
}

struct KnownSpan {
    number: u64,
    /// How many handles there are: it is known until the last is dropped.
    handles: usize,
    metadata: &'static Metadata<'static>,
    label: String,
}

impl Spans {
    fn find(&self, number: u64) -> Option<&KnownSpan> {
        self.known.iter().find(|span| span.number == number)
    }

    fn find_mut(&mut self, number: u64) -> Option<&mut KnownSpan> {
        self.known.iter_mut().find(|span| span.number == number)
    }
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

thread_local! {
    /// Whether a line's fields are shown.
    static WRITES: Cell<bool> = const { Cell::new(false) };
}

/// Whether a line is being written, which happens only where it is kept. What is done for that must be no event.
pub(crate) fn is_writing() -> bool {
    WRITES.get()
}

/// Shows fields: user code, which may write lines itself, or panic.
fn writing(show: impl FnOnce()) {
    struct Before(bool);
    impl Drop for Before {
        fn drop(&mut self) {
            WRITES.set(self.0);
        }
    }
    let _before = Before(WRITES.replace(true));
    show();
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
        writing(|| attributes.record(&mut text));
        let mut label = attributes.metadata().name().to_string();
        let fields = text.joined();
        if !fields.is_empty() {
            let _ = write!(label, "{{{fields}}}");
        }
        // Numbers are never shown: they only tell spans apart.
        let number = self.next_span.fetch_add(1, Ordering::Relaxed);
        let metadata = attributes.metadata();
        let _ =
            SPANS.try_with(|spans| spans.borrow_mut().known.push(KnownSpan { number, handles: 1, metadata, label }));
        Id::from_u64(number)
    }

    fn record(&self, span: &Id, values: &Record<'_>) {
        let mut text = Text::default();
        writing(|| values.record(&mut text));
        let fields = text.joined();
        let _ = SPANS.try_with(|spans| {
            if let Some(span) = spans.borrow_mut().find_mut(span.into_u64()) {
                let _ = write!(span.label, "{{{fields}}}");
            }
        });
    }

    fn record_follows_from(&self, _span: &Id, _follows: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut text = Text::default();
        // User code: fields' Debug implementations run here, while the world isn't borrowed.
        writing(|| event.record(&mut text));
        let mut message = String::new();
        let _ = SPANS.try_with(|spans| {
            let spans = spans.borrow();
            for entered in &spans.entered {
                if let Some(span) = spans.find(*entered) {
                    let _ = write!(message, "{}: ", span.label);
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

    fn clone_span(&self, span: &Id) -> Id {
        let _ = SPANS.try_with(|spans| {
            if let Some(span) = spans.borrow_mut().find_mut(span.into_u64()) {
                span.handles += 1;
            }
        });
        span.clone()
    }

    fn try_close(&self, span: Id) -> bool {
        let closed = SPANS.try_with(|spans| {
            let spans = &mut *spans.borrow_mut();
            let Some(at) = spans.known.iter().position(|known| known.number == span.into_u64()) else { return false };
            spans.known[at].handles -= 1;
            if spans.known[at].handles > 0 {
                return false;
            }
            // The order is never shown.
            spans.known.swap_remove(at);
            true
        });
        closed.unwrap_or(false)
    }

    fn current_span(&self) -> Current {
        let current = SPANS.try_with(|spans| {
            let spans = spans.borrow();
            let span = spans.entered.last().and_then(|number| spans.find(*number))?;
            Some(Current::new(Id::from_u64(span.number), span.metadata))
        });
        current.ok().flatten().unwrap_or_else(Current::none)
    }
}
