//! One run: a world on madsim by a plan, from the runtime's making to the verdict.

use std::any::Any;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::Once;

use madsim::net::NetSim;
use madsim::runtime::{Handle, Runtime};
use squall::engine::EngineOptions;
use squall::trace::target::{MessageCounts, Open};
use squall::trace::trace::format_ns;
use squall::trace::verdict::Judgement;
use squall::trace::{
    EndReason, Ending, EventKind, Failure, Names, NodeInfo, Outcome, Plan, Record, Recorded, Trace, Verdict,
};
use squall_engine::description::{Description, goals};
use squall_engine::{Decisions, Journal, SharedRecorder};

use crate::script::{Ended, Plot, Script, drop_roots, waiting_clients};
use crate::state::{self, Audience, NodeState, Panic, Run};

/// What madsim's executor panics with where no timer is left.
const MADSIM_DEADLOCK: &str = "no events, all tasks will block forever";

/// One run, on this fresh thread.
///
/// # Errors
/// In words, if the world can't be.
pub(crate) fn run(
    describe: &dyn Fn() -> Result<Description, String>,
    plan: &Plan,
    options: EngineOptions,
) -> Result<Outcome, String> {
    if plan.redraw.is_some() {
        return Err("madsim can't draw the weather again from a moment on: all that is random comes from one stream"
            .to_string());
    }
    install_hook();
    tracing_core::dispatcher::with_default(crate::log::dispatch(), || {
        // Before all else: it makes the keys of this thread's hash maps the seed's.
        let runtime = Runtime::with_seed_and_config(plan.seed.0, madsim::Config::default());
        let described = catch_unwind(AssertUnwindSafe(describe));
        let description = described.map_err(|payload| panic_text(&*payload))??;
        run_described(runtime, description, plan, options)
    })
}

fn run_described(
    runtime: Runtime,
    description: Description,
    plan: &Plan,
    options: EngineOptions,
) -> Result<Outcome, String> {
    let EngineOptions { record, recorder, observer, beat, events_max, before_call } = options;
    let recorded = Rc::new(RefCell::new(Recorded::default()));
    let recorder: SharedRecorder = recorder.unwrap_or_else(|| Rc::<RefCell<Recorded>>::clone(&recorded));
    let Description {
        nodes,
        network,
        faults,
        heal_at_ns,
        progress_within_ns,
        properties,
        limit_ns,
        limit_events,
        end_at_ns,
    } = description;
    let asked_within_ns = properties.iter().filter_map(|property| property.after_heal_ns()).max();
    let asked_until_ns = heal_at_ns.zip(asked_within_ns).map(|(at_ns, within_ns)| at_ns.saturating_add(within_ns));
    let asked_until_ns = asked_until_ns.filter(|until_ns| *until_ns <= limit_ns);
    let end_ns = end_at_ns.into_iter().chain(plan.horizon_ns).min();
    let audience = Audience { properties, observer };
    let mut journal = Journal::new(record, Rc::clone(&recorder), audience.watched());
    if journal.wants_names() {
        for node in &nodes {
            journal.name_node(NodeInfo { name: node.name.clone(), address: node.address, client: node.is_client });
        }
    }
    let states = nodes.iter().map(|node| NodeState {
        name: node.name.clone(),
        is_client: node.is_client,
        up: true,
        boots: 0,
        returned: false,
        restart_pending: false,
        tasks: 0,
    });
    let run = Run {
        journal,
        nodes: states.collect(),
        beat: std::sync::Arc::clone(&beat),
        before_call,
        now_ns: 0,
        current: None,
        labels: BTreeMap::new(),
        failure: None,
        ending: None,
        limit_ns,
        limit_events: limit_events.min(events_max.unwrap_or(u64::MAX)),
        end_ns,
        waker: None,
        panic: None,
        reached: BTreeMap::new(),
    };
    let decisions = Decisions::new(plan, record, recorder);
    let plot = Plot { nodes, network, faults, heal_at_ns, progress_within_ns, asked_until_ns, end_ns };
    let mut script = Script::new(plot, decisions);
    state::install(run, audience);
    let blocked = catch_unwind(AssertUnwindSafe(|| runtime.block_on(&mut script)));
    let broken = blocked.err().and_then(|payload| take_end(&*payload));
    let messages = tear_down(runtime, &script);
    let Ended { decisions, unreached } = script.end();
    let (run, audience) = state::take().expect("the run was installed");
    beat.finish();
    if let Some(message) = broken {
        return Err(message);
    }
    let outcome = outcome(run, audience, plan, record, events_max, decisions.finish());
    let outcome = Outcome { messages, unreached_faults: unreached, ..outcome };
    Ok(outcome.with_recorded(recorded.take()))
}

/// What madsim's loop was unwound by. In words, what is wrong with the world if it was nobody's code in particular.
fn take_end(payload: &(dyn Any + Send)) -> Option<String> {
    let text = payload_text(payload);
    let (is_over, panic) = state::with(|run| (run.is_over(), run.panic.take()))?;
    if is_over {
        // What is called behind the end doesn't count.
        return None;
    }
    match panic {
        Some(Panic { message, current: Some((node, task)) }) => {
            state::emit(node, task, EventKind::Panic { message: message.as_str().into() });
            state::with(|run| run.current = Some((node, task)));
            let label = state::with(|run| run.label(task)).unwrap_or_default();
            state::fail_here("panic", format!("{label} panicked: {message}"));
            None
        }
        _ if text == MADSIM_DEADLOCK => {
            let waiting = waiting_clients();
            if waiting.is_empty() {
                state::with(|run| run.end(EndReason::Quiet));
            } else {
                let at = state::with(|run| format_ns(run.now_ns)).unwrap_or_default();
                let waiting = waiting.join("\n  ");
                let message = format!("nothing is left to happen at {at}, and clients still wait:\n  {waiting}");
                state::fail_world("deadlock", message);
                state::with(|run| run.ending = Some(EndReason::Deadlock));
            }
            None
        }
        _ => Some(format!("madsim itself panicked: {text}")),
    }
}

/// Everything is dropped with the world still in place, and nothing that destructors do then counts. What madsim counted.
fn tear_down(runtime: Runtime, script: &Script) -> MessageCounts {
    let mut counts = MessageCounts::default();
    let _ = catch_unwind(AssertUnwindSafe(|| {
        runtime.block_on(async {
            // It counts what a link took. What became of it, it doesn't say.
            let sent = NetSim::current().stat().msg_count;
            counts = MessageCounts { sent, delivered: sent, ..MessageCounts::default() };
            for id in script.ids() {
                Handle::current().kill(id);
            }
        });
    }));
    let _ = catch_unwind(AssertUnwindSafe(|| drop(runtime)));
    let _ = catch_unwind(AssertUnwindSafe(drop_roots));
    counts
}

fn outcome(
    run: Run,
    audience: Audience,
    plan: &Plan,
    record: Record,
    events_max: Option<u64>,
    unused_overrides: Vec<squall::trace::Override>,
) -> Outcome {
    let Audience { mut properties, .. } = audience;
    let reason = run.ending.clone().unwrap_or(EndReason::Quiet);
    let at_ns = match (&reason, run.end_ns) {
        (EndReason::EndTime, Some(end_ns)) => end_ns,
        _ => run.now_ns,
    };
    let ending = Ending { reason, at_ns, events: run.journal.step() };
    let mut verdict = match &run.failure {
        Some(failure) => Verdict::Fail(failure.clone()),
        None => verdict_of_end(&run, &ending),
    };
    // Of a beginning that somebody looks at, the end isn't the run's: there is nothing to judge.
    let is_cut = events_max.is_some_and(|max| ending.events >= max);
    let mut open = Vec::new();
    if !is_cut && run.failure.is_none() {
        for property in &mut properties {
            match state::of_property(|| property.on_end(&ending)).unwrap_or_else(Judgement::Broken) {
                Judgement::Held => {}
                Judgement::Broken(message) => {
                    let property = property.name().to_string();
                    let (step, at_ns) = (ending.events, ending.at_ns);
                    verdict = verdict.worse(Verdict::Fail(Failure {
                        property,
                        message,
                        step,
                        at_ns,
                        node: None,
                        task: None,
                    }));
                }
                Judgement::Open(message) => open.push(Open { property: property.name().to_string(), message }),
            }
        }
        if !open.is_empty() && !matches!(verdict, Verdict::Fail(_)) {
            let before = verdict.message().map(str::to_string);
            let each = open.iter().map(|Open { property, message }| format!("{property}: {message}"));
            verdict = Verdict::Unknown { message: before.into_iter().chain(each).collect::<Vec<_>>().join("\n") };
        }
    }
    if matches!(verdict, Verdict::Fail(_)) {
        open.clear();
    }
    let names = properties.iter().map(|property| property.name().to_string());
    let judges = (record > Record::Digest).then(|| names.collect());
    let journal = run.journal.finish();
    let trace = (record == Record::Full).then(|| Trace {
        plan: plan.clone(),
        names: Names::default(),
        events: Vec::new(),
        perturbations: Vec::new(),
        checkpoints: journal.checkpoints,
        digest: journal.digest,
        log_digest: journal.log_digest,
        verdict: verdict.clone(),
    });
    Outcome {
        verdict,
        ending,
        digest: journal.digest,
        log_digest: journal.log_digest,
        messages: MessageCounts::default(),
        perturbations: Vec::new(),
        unused_overrides,
        escapes: Vec::new(),
        swarm: Vec::new(),
        unreached_faults: Vec::new(),
        goals: goals(&properties, run.reached),
        open,
        calls: Vec::new(),
        names: Names { nodes: journal.nodes, ..Names::default() },
        properties: judges,
        trace,
    }
}

fn verdict_of_end(run: &Run, ending: &Ending) -> Verdict {
    let at = format_ns(ending.at_ns);
    let limit = |what: String, key: &str| Verdict::Unknown {
        message: format!(
            "{what} was reached at {at} with unfinished business. Raise it (limit.{key}) or let the clients end."
        ),
    };
    match ending.reason {
        EndReason::EventLimit => limit(format!("the limit of {} events", run.limit_events), "events"),
        EndReason::TimeLimit => limit(format!("the limit of {} of virtual time", format_ns(run.limit_ns)), "virtual"),
        EndReason::ClientsDown if !run.nodes.iter().any(|node| node.is_client && node.returned) => Verdict::Unknown {
            message: format!(
                "at {at} every client is down for good, and none has returned: start one again, or let one live"
            ),
        },
        _ => Verdict::Pass,
    }
}

fn payload_text(payload: &(dyn Any + Send)) -> String {
    let text = payload.downcast_ref::<String>().cloned();
    let text = text.or_else(|| payload.downcast_ref::<&str>().map(ToString::to_string));
    text.unwrap_or_else(|| "a panic without a text".to_string())
}

/// What a panic said, with its place if that is known.
pub(crate) fn panic_text(payload: &(dyn Any + Send)) -> String {
    let text = payload_text(payload);
    match PLACE.with_borrow_mut(Option::take) {
        Some(place) => format!("{text} (at {place})"),
        None => text,
    }
}

thread_local! {
    /// Where the last panic of this thread happened.
    static PLACE: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Puts a hook in front of the process's: a panic of a run's is reported with its run, any other goes to the hook that was there.
fn install_hook() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let previous = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            let place = info.location().map(|at| format!("{}:{}:{}", at.file(), at.line(), at.column()));
            let said = payload_text(info.payload());
            let message = match &place {
                Some(place) => format!("{said} (at {place})"),
                None => said,
            };
            let is_of_run = state::with(|run| run.panic = Some(Panic { message, current: run.current })).is_some();
            let _ = PLACE.try_with(|slot| *slot.borrow_mut() = place);
            if !is_of_run {
                previous(info);
            }
        }));
    });
}
