//! What nodes log through `tracing` is part of the trace, and of no other run's; everybody else's logs stay as they are.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, Once};
use std::thread;

use squall::time::DurationExt;
use squall::trace::verdict::Judgement;
use squall::trace::{Ending, Event, EventKind, EventMask, OwnedEvent, Plan, Property, Record, Seed, Trace};
use squall::{Simulation, World};
use tracing::{Instrument, Level, Metadata, Subscriber, debug, error, info, span, trace, warn};

fn traced(build: impl Fn(&mut World) + Send + Sync + 'static) -> Trace {
    let outcome = Simulation::new(build).run_plan(&Plan::seeded("logs", Seed(1)), Record::Full);
    outcome.trace.expect("a full record")
}

fn logs(trace: &Trace) -> Vec<&OwnedEvent> {
    trace.events.iter().filter(|event| matches!(event.kind, EventKind::Log { .. })).collect()
}

/// `LEVEL message`, in order.
fn lines(trace: &Trace) -> Vec<String> {
    let line = |event: &OwnedEvent| match &event.kind {
        EventKind::Log { level, message, .. } => Some(format!("{level} {message}")),
        _ => None,
    };
    trace.events.iter().filter_map(line).collect()
}

#[test]
fn a_line_has_its_virtual_time_node_task_and_step() {
    let trace = traced(|world| {
        for (name, wait) in [("left", 3), ("right", 5)] {
            world.client(name, move || async move {
                squall::time::sleep(wait.ms()).await;
                squall::spawn(async move {
                    info!(wait, text = "a text", ?name, "has waited");
                })
                .await
                .unwrap();
            });
        }
    });
    let logs = logs(&trace);
    assert_eq!(
        lines(&trace),
        [r#"INFO has waited wait=3 text="a text" name="left""#, r#"INFO has waited wait=5 text="a text" name="right""#]
    );
    for (log, (node, at_ns)) in logs.iter().zip([("left", 3_000_000), ("right", 5_000_000)]) {
        assert_eq!(trace.names.node(log.node), node);
        assert!(trace.names.task(log.task).starts_with(&format!("{node}/")), "{}", trace.names.task(log.task));
        assert_eq!(log.at_ns, at_ns);
        // The number of the event before it: the poll in which it was written.
        let before = trace.events.iter().rfind(|event| event.step == log.step && event.kind == EventKind::Poll);
        assert_eq!(before.map(|event| event.task), Some(log.task));
        let EventKind::Log { target, .. } = &log.kind else { unreachable!() };
        assert_eq!(target, "determinism_tracing");
    }
}

#[test]
fn levels_go_down_to_debug() {
    let trace = traced(|world| {
        world.client("client", || async {
            error!("one");
            warn!("two");
            info!("three");
            debug!("four");
            trace!("five");
        });
    });
    assert_eq!(lines(&trace), ["ERROR one", "WARN two", "INFO three", "DEBUG four"]);
}

#[test]
fn another_line_changes_the_digest_of_the_logs_alone() {
    let run = |text: Option<&'static str>| {
        traced(move |world| {
            world.client("client", move || async move {
                squall::time::sleep(1.ms()).await;
                if let Some(text) = text {
                    debug!("{text}");
                }
                squall::time::sleep(1.ms()).await;
            });
        })
    };
    let (none, one, other) = (run(None), run(Some("one")), run(Some("other")));
    assert_eq!(none.digest, one.digest);
    assert_eq!(one.digest, other.digest);
    assert_ne!(none.log_digest, one.log_digest);
    assert_ne!(one.log_digest, other.log_digest);
    assert_eq!(one.log_digest, run(Some("one")).log_digest);
    // Steps count the events that are in the digest.
    let last = |trace: &Trace| trace.events.last().map(|event| event.step);
    assert_eq!(last(&none), last(&one));
}

#[test]
fn spans_are_shown_with_names_and_fields() {
    let trace = traced(|world| {
        world.client("client", || async {
            info!("outside");
            let call = span!(Level::INFO, "call", number = 3, peer = tracing::field::Empty);
            let kept = call.clone();
            async {
                info!("begun");
                squall::time::sleep(1.ms()).await;
                tracing::Span::current().record("peer", "bank");
                async {
                    squall::time::sleep(1.ms()).await;
                    warn!(reason = "late", "nested");
                }
                .instrument(span!(Level::DEBUG, "attempt"))
                .await;
            }
            .instrument(call)
            .await;
            // One handle of the span is gone; the other still knows it.
            kept.in_scope(|| info!("again"));
            info!("outside again");
        });
        // A span that another task is in meanwhile isn't this one's.
        world.client("other", || async {
            squall::time::sleep(1_500.us()).await;
            info!("elsewhere");
        });
    });
    assert_eq!(
        lines(&trace),
        [
            "INFO outside",
            "INFO call{number=3}: begun",
            "INFO elsewhere",
            r#"WARN call{number=3}{peer="bank"}: attempt: nested reason="late""#,
            r#"INFO call{number=3}{peer="bank"}: again"#,
            "INFO outside again",
        ]
    );
}

#[test]
fn runs_in_parallel_do_not_mix_their_logs() {
    let world = |name: &'static str| {
        move |world: &mut World| {
            world.client(name, move || {
                let work = async move {
                    for step in 0..200 {
                        info!(step, "of {name}");
                        squall::time::sleep(1.ms()).await;
                    }
                };
                work.instrument(span!(Level::INFO, "run", name))
            });
        }
    };
    thread::scope(|scope| {
        for name in ["one", "two", "three", "four"] {
            scope.spawn(move || {
                let expected: Vec<String> =
                    (0..200).map(|step| format!(r#"INFO run{{name="{name}"}}: of {name} step={step}"#)).collect();
                for _ in 0..5 {
                    assert_eq!(lines(&traced(world(name))), expected);
                }
            });
        }
    });
}

/// What the program's own subscriber and logger got.
static COLLECTED: Mutex<Vec<String>> = Mutex::new(Vec::new());

fn collect(line: String) {
    COLLECTED.lock().unwrap().push(line);
}

/// The program's own: takes warnings and errors.
struct Own;

impl Subscriber for Own {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        *metadata.level() <= Level::WARN && metadata.target().starts_with("determinism_tracing")
    }

    fn max_level_hint(&self) -> Option<tracing::level_filters::LevelFilter> {
        Some(tracing::level_filters::LevelFilter::WARN)
    }

    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}

    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}

    fn event(&self, event: &tracing::Event<'_>) {
        struct Message(String);
        impl tracing::field::Visit for Message {
            fn record_debug(&mut self, _: &tracing::field::Field, value: &dyn std::fmt::Debug) {
                self.0.push_str(&format!("{value:?}"));
            }
        }
        let mut message = Message(String::new());
        event.record(&mut message);
        collect(message.0);
    }

    fn enter(&self, _: &span::Id) {}

    fn exit(&self, _: &span::Id) {}
}

struct OwnLogger;

impl log::Log for OwnLogger {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &log::Record<'_>) {
        collect(format!("log: {}", record.args()));
    }

    fn flush(&self) {}
}

fn install_own() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        tracing::subscriber::set_global_default(Own).unwrap();
        log::set_logger(&OwnLogger).unwrap();
        log::set_max_level(log::LevelFilter::Trace);
    });
}

#[test]
fn the_program_s_own_subscriber_is_untouched() {
    install_own();
    static GOES_ON: AtomicBool = AtomicBool::new(true);
    warn!("own: before");
    let other = thread::spawn(|| {
        let mut count = 0u32;
        while GOES_ON.load(Ordering::Relaxed) || count == 0 {
            warn!("own: meanwhile");
            info!("own: too low");
            count += 1;
            thread::yield_now();
        }
        count
    });
    let trace = traced(|world| {
        world.client("client", || async {
            for _ in 0..100 {
                warn!("of a node");
                debug!("of a node, low");
                squall::time::sleep(1.ms()).await;
            }
        });
    });
    GOES_ON.store(false, Ordering::Relaxed);
    let count = other.join().unwrap();
    warn!("own: after");
    // The level that the program's subscriber wants is no limit for nodes.
    assert_eq!(lines(&trace).len(), 200);
    assert!(lines(&trace).iter().all(|line| line.contains("of a node")));
    let collected = COLLECTED.lock().unwrap();
    let found = |text: &str| collected.iter().filter(|line| *line == text).count();
    assert_eq!((found("own: before"), found("own: after")), (1, 1));
    assert_eq!(found("own: meanwhile"), count as usize);
    assert_eq!(found("own: too low"), 0);
    assert!(collected.iter().all(|line| !line.contains("of a node")), "{collected:?}");
}

/// The `log` crate has one logger a process: it is the program's, and the trace doesn't see it.
#[test]
fn lines_of_the_log_crate_go_where_they_went() {
    install_own();
    let trace = traced(|world| {
        world.client("client", || async {
            log::info!("through log");
            info!("through tracing");
        });
    });
    assert_eq!(lines(&trace), ["INFO through tracing"]);
    assert!(COLLECTED.lock().unwrap().iter().any(|line| line == "log: through log"));
}

/// A property that watches logs.
struct Quiet(Rc<RefCell<u32>>);

impl Property for Quiet {
    fn name(&self) -> &str {
        "quiet"
    }

    fn interest(&self) -> EventMask {
        EventMask::LOGS
    }

    fn on_event(&mut self, event: &Event<'_>) -> Result<(), String> {
        *self.0.borrow_mut() += 1;
        match &event.kind {
            EventKind::Log { level, message, .. } if level == "ERROR" => Err(message.to_string()),
            _ => Ok(()),
        }
    }

    fn on_end(&mut self, _: &Ending) -> Judgement {
        Judgement::Held
    }
}

#[test]
fn a_property_sees_logs_whatever_is_recorded() {
    let simulation = Simulation::new(|world| {
        world.client("client", || async {
            info!("all is well");
            squall::time::sleep(1.ms()).await;
            error!("nothing is well");
            squall::time::sleep(1.ms()).await;
        });
        world.check(Quiet(Rc::default()));
    });
    let runs = [Record::Digest, Record::Perturbations, Record::Full].map(|record| {
        let outcome = simulation.run_plan(&Plan::seeded("logs", Seed(1)), record);
        assert_eq!(outcome.verdict.property(), Some("quiet"), "{record:?}");
        assert_eq!(outcome.verdict.message(), Some("nothing is well"), "{record:?}");
        (outcome.digest, outcome.ending.at_ns)
    });
    assert_eq!(runs[0], runs[1]);
    assert_eq!(runs[1], runs[2]);
}

/// Reads the environment when it is shown, as types do that show a local time.
struct ShowsItsSurroundings;

impl std::fmt::Debug for ShowsItsSurroundings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "in {:?}", std::env::var_os("TZ"))
    }
}

/// Lines are written only where they are kept. So what is asked for to write one is named, and is no event: the run would depend on how much of it is recorded.
#[test]
fn what_a_line_reads_is_no_event() {
    let plan = Plan::seeded("logs", Seed(1));
    let run = |logs: bool, record| {
        let client = move || async move {
            if logs {
                info!(surroundings = ?ShowsItsSurroundings, "before");
            }
            // The program's own is an event, whatever a line has read before it.
            drop(std::env::var_os("TZ"));
        };
        Simulation::new(move |world: &mut World| {
            world.client("client", client);
        })
        .run_plan(&plan, record)
    };
    let kept = run(true, Record::Full);
    assert_eq!(kept.digest, run(true, Record::Digest).digest);
    assert_eq!(kept.digest, run(false, Record::Full).digest);
    assert!(kept.escapes.iter().any(|escape| escape.contains("the environment variable TZ was read")));
    let trace = kept.trace.expect("a full record");
    let reads = trace.events.iter().filter(|event| matches!(event.kind, EventKind::Escape { .. })).count();
    assert_eq!(reads, 1, "the program's own");
}
