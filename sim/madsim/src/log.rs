//! What is told through `tracing`: the program's log lines, and by madsim's own spans which task is polled.
//!
//! madsim enters a span of the task's before each poll. That is the one place between two polls at which a run can be seen, and it needs no patched
//! crate. Of madsim's own lines warnings and errors alone are kept: others hold numbers that count through the process.

use std::cell::RefCell;
use std::fmt::Write;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use squall::trace::{NodeId, TaskId};
use tracing_core::field::{Field, Visit};
use tracing_core::span::{Attributes, Current, Id, Record};
use tracing_core::{Dispatch, Event, Level, Metadata, Subscriber, subscriber::Interest};

use crate::state;

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
    what: What,
}

#[derive(Clone)]
enum What {
    /// A node of madsim's, by name.
    Node(String),
    /// A task of one; of the script's own, none.
    Task(Option<(NodeId, TaskId)>),
    /// The program's, in words.
    Program(String),
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
    name: Option<String>,
}

impl Visit for Text {
    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "name" {
            self.name = Some(value.to_string());
        }
        self.record_debug(field, &value);
    }

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
        text.trim_start().to_string()
    }
}

fn is_madsims(metadata: &Metadata<'_>) -> bool {
    metadata.target() == "madsim" || metadata.target().starts_with("madsim::")
}

fn is_of_executor(metadata: &Metadata<'_>) -> bool {
    metadata.is_span() && is_madsims(metadata) && matches!(metadata.name(), "node" | "task")
}

impl Spans {
    fn find(&self, number: u64) -> Option<&KnownSpan> {
        self.known.iter().find(|span| span.number == number)
    }

    fn find_mut(&mut self, number: u64) -> Option<&mut KnownSpan> {
        self.known.iter_mut().find(|span| span.number == number)
    }
}

fn what_is(span: &Id) -> Option<What> {
    SPANS.try_with(|spans| spans.borrow().find(span.into_u64()).map(|span| span.what.clone())).ok().flatten()
}

impl Subscriber for RunSubscriber {
    fn register_callsite(&self, metadata: &'static Metadata<'static>) -> Interest {
        // Which run asks is only known when it asks.
        if *metadata.level() <= Level::DEBUG { Interest::sometimes() } else { Interest::never() }
    }

    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        if is_of_executor(metadata) {
            return true;
        }
        let level_max = if is_madsims(metadata) { Level::WARN } else { Level::DEBUG };
        *metadata.level() <= level_max && state::wants_logs()
    }

    fn new_span(&self, attributes: &Attributes<'_>) -> Id {
        let mut text = Text::default();
        attributes.record(&mut text);
        let metadata = attributes.metadata();
        let what = match metadata.name() {
            "node" if is_of_executor(metadata) => What::Node(text.name.unwrap_or_default()),
            "task" if is_of_executor(metadata) => {
                let node = match attributes.parent().and_then(what_is) {
                    Some(What::Node(node)) => node,
                    _ => String::new(),
                };
                What::Task(state::new_task(&node, text.name.as_deref()))
            }
            name => {
                let fields = text.joined();
                What::Program(if fields.is_empty() { name.to_string() } else { format!("{name}{{{fields}}}") })
            }
        };
        // Numbers are never shown: they only tell spans apart.
        let number = self.next_span.fetch_add(1, Ordering::Relaxed);
        let _ = SPANS.try_with(|spans| spans.borrow_mut().known.push(KnownSpan { number, handles: 1, metadata, what }));
        Id::from_u64(number)
    }

    fn record(&self, span: &Id, values: &Record<'_>) {
        let mut text = Text::default();
        values.record(&mut text);
        let fields = text.joined();
        let _ = SPANS.try_with(|spans| {
            if let Some(KnownSpan { what: What::Program(label), .. }) = spans.borrow_mut().find_mut(span.into_u64()) {
                let _ = write!(label, "{{{fields}}}");
            }
        });
    }

    fn record_follows_from(&self, _span: &Id, _follows: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut text = Text::default();
        event.record(&mut text);
        let mut message = String::new();
        let _ = SPANS.try_with(|spans| {
            let spans = spans.borrow();
            for entered in &spans.entered {
                if let Some(KnownSpan { what: What::Program(label), .. }) = spans.find(*entered) {
                    let _ = write!(message, "{label}: ");
                }
            }
        });
        message.push_str(&text.joined());
        let metadata = event.metadata();
        state::log(metadata.level().as_str(), metadata.target(), &message);
    }

    fn enter(&self, span: &Id) {
        if let Some(What::Task(task)) = what_is(span) {
            state::enter(task);
        }
        let _ = SPANS.try_with(|spans| spans.borrow_mut().entered.push(span.into_u64()));
    }

    fn exit(&self, span: &Id) {
        if let Some(What::Task(_)) = what_is(span) {
            state::leave();
        }
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
