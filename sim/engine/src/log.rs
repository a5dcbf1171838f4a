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
use tracing_core::span::{Attributes, Current, Id, Record};
use tracing_core::{Dispatch, Event, Level, Metadata, Subscriber, subscriber::Interest};

use crate::kernel;
use crate::spans::{Fields, Spans, label};

thread_local! {
    /// The run's, each with its label.
    static SPANS: RefCell<Spans<String>> = const { RefCell::new(Spans::new()) };
}

/// The dispatcher that all runs share.
pub(crate) fn dispatch() -> &'static Dispatch {
    static DISPATCH: OnceLock<Dispatch> = OnceLock::new();
    DISPATCH.get_or_init(|| Dispatch::new(RunSubscriber { next_span: AtomicU64::new(1) }))
}

struct RunSubscriber {
    next_span: AtomicU64,
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
        let mut fields = Fields::default();
        writing(|| attributes.record(&mut fields));
        // Numbers are never shown: they only tell spans apart.
        let number = self.next_span.fetch_add(1, Ordering::Relaxed);
        let metadata = attributes.metadata();
        let label = label(metadata.name(), fields);
        let _ = SPANS.try_with(|spans| spans.borrow_mut().begin(number, metadata, label));
        Id::from_u64(number)
    }

    fn record(&self, span: &Id, values: &Record<'_>) {
        let mut fields = Fields::default();
        writing(|| values.record(&mut fields));
        let fields = fields.joined();
        let _ = SPANS.try_with(|spans| {
            if let Some(label) = spans.borrow_mut().said_mut(span) {
                let _ = write!(label, "{{{fields}}}");
            }
        });
    }

    fn record_follows_from(&self, _span: &Id, _follows: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut fields = Fields::default();
        // User code: fields' Debug implementations run here, while the world isn't borrowed.
        writing(|| event.record(&mut fields));
        let mut message = String::new();
        let _ = SPANS.try_with(|spans| {
            for label in spans.borrow().entered() {
                let _ = write!(message, "{label}: ");
            }
        });
        message.push_str(&fields.joined());
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
        let _ = SPANS.try_with(|spans| spans.borrow_mut().enter(span));
    }

    fn exit(&self, span: &Id) {
        let _ = SPANS.try_with(|spans| spans.borrow_mut().exit(span));
    }

    fn clone_span(&self, span: &Id) -> Id {
        let _ = SPANS.try_with(|spans| spans.borrow_mut().share(span));
        span.clone()
    }

    fn try_close(&self, span: Id) -> bool {
        SPANS.try_with(|spans| spans.borrow_mut().close(&span)).unwrap_or(false)
    }

    fn current_span(&self) -> Current {
        SPANS.try_with(|spans| spans.borrow().current()).unwrap_or_else(|_| Current::none())
    }
}
