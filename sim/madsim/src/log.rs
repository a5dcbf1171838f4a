//! What is told through `tracing`: the program's log lines, and by madsim's own spans which task is polled.
//!
//! madsim enters a span of the task's before each poll. That is the one place between two polls at which a run can be seen, and it needs no patched
//! crate. Of madsim's own lines warnings and errors alone are kept: others hold numbers that count through the process.

use std::cell::RefCell;
use std::fmt::Write;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use squall::trace::{NodeId, TaskId};
use squall_engine::spans::{Fields, Spans, label};
use tracing_core::field::{Field, Visit};
use tracing_core::span::{Attributes, Current, Id, Record};
use tracing_core::{Dispatch, Event, Level, Metadata, Subscriber, subscriber::Interest};

use crate::state;

thread_local! {
    /// The run's.
    static SPANS: RefCell<Spans<What>> = const { RefCell::new(Spans::new()) };
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

/// A line's or a span's fields, and the one by which madsim tells who a span is of.
#[derive(Default)]
struct Text {
    fields: Fields,
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
        self.fields.record_debug(field, value);
    }
}

fn is_madsims(metadata: &Metadata<'_>) -> bool {
    metadata.target() == "madsim" || metadata.target().starts_with("madsim::")
}

fn is_of_executor(metadata: &Metadata<'_>) -> bool {
    metadata.is_span() && is_madsims(metadata) && matches!(metadata.name(), "node" | "task")
}

fn what_is(span: &Id) -> Option<What> {
    SPANS.try_with(|spans| spans.borrow().said(span).cloned()).ok().flatten()
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
            name => What::Program(label(name, text.fields)),
        };
        // Numbers are never shown: they only tell spans apart.
        let number = self.next_span.fetch_add(1, Ordering::Relaxed);
        let _ = SPANS.try_with(|spans| spans.borrow_mut().begin(number, metadata, what));
        Id::from_u64(number)
    }

    fn record(&self, span: &Id, values: &Record<'_>) {
        let mut fields = Fields::default();
        values.record(&mut fields);
        let fields = fields.joined();
        let _ = SPANS.try_with(|spans| {
            if let Some(What::Program(label)) = spans.borrow_mut().said_mut(span) {
                let _ = write!(label, "{{{fields}}}");
            }
        });
    }

    fn record_follows_from(&self, _span: &Id, _follows: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut fields = Fields::default();
        event.record(&mut fields);
        let mut message = String::new();
        let _ = SPANS.try_with(|spans| {
            for what in spans.borrow().entered() {
                if let What::Program(label) = what {
                    let _ = write!(message, "{label}: ");
                }
            }
        });
        message.push_str(&fields.joined());
        let metadata = event.metadata();
        state::log(metadata.level().as_str(), metadata.target(), &message);
    }

    fn enter(&self, span: &Id) {
        if let Some(What::Task(task)) = what_is(span) {
            state::enter(task);
        }
        let _ = SPANS.try_with(|spans| spans.borrow_mut().enter(span));
    }

    fn exit(&self, span: &Id) {
        if let Some(What::Task(_)) = what_is(span) {
            state::leave();
        }
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
