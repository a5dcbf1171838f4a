//! The check: a plan gives the same run again, after another plan, and in other processes.
//!
//! Runs are made by a helper program, so that no other test of the process has touched its statics. Each leg is a list of
//! runs of one process; see [`check`].

use std::process::Command;

use serde::{Deserialize, Serialize};
use squall::Simulation;
use squall::trace::{Digest, EndReason, EventKind, OwnedEvent, Plan, Record, Seed, Trace, Verdict};

/// The environment variable that one of the processes has.
pub const VARIABLE: &str = "SQUALL_PLANTED";

/// One run, to be made by the helper program.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Order {
    /// What to run.
    pub plan: Plan,
    /// Whether to record everything.
    pub full: bool,
}

/// What a run left, as it crosses from the helper program.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Seen {
    /// Over all events but log lines.
    pub digest: Digest,
    /// Over all log lines.
    pub log_digest: Digest,
    /// What it came to.
    pub verdict: Verdict,
    /// Why it ended.
    pub reason: EndReason,
    /// What couldn't be made deterministic.
    pub escapes: Vec<String>,
    /// Everything, where it was recorded.
    pub trace: Option<Trace>,
}

/// Carries out one run.
#[must_use]
pub fn carry_out(simulation: &Simulation, order: &Order) -> Seen {
    let record = if order.full { Record::Full } else { Record::Digest };
    let outcome = simulation.run_plan(&order.plan, record);
    Seen {
        digest: outcome.digest,
        log_digest: outcome.log_digest,
        verdict: outcome.verdict,
        reason: outcome.ending.reason,
        escapes: outcome.escapes,
        trace: outcome.trace,
    }
}

/// The first event in which two runs differ.
#[derive(Clone, Debug)]
pub struct Divergence {
    /// Which repetition differed from the first run.
    pub leg: &'static str,
    /// The step, if events differ.
    pub step: Option<u64>,
    /// What differs, in words.
    pub what: String,
}

impl std::fmt::Display for Divergence {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.leg, self.what)
    }
}

/// Same process, after another plan.
pub const AFTER_ANOTHER: &str = "again after another plan in the same process";
/// Same process, with nothing recorded but the digest.
pub const DIGEST_ONLY: &str = "again in the same process, with only the digest kept";
/// A fresh process with another environment.
pub const FRESH: &str = "in a fresh process with another environment";
/// A fresh process in which another plan came first.
pub const FRESH_AFTER_ANOTHER: &str = "in a fresh process after another plan";

/// What the legs of a check brought.
#[derive(Clone, Debug)]
pub struct Checked {
    /// The first run.
    pub first: Seen,
    /// A run of the other plan.
    pub other: Seen,
    /// One for each leg that differed.
    pub divergences: Vec<Divergence>,
}

impl Seen {
    /// What the run's nodes published about what they saw, as JSON.
    #[must_use]
    pub fn published(&self) -> Vec<String> {
        let events = self.trace.iter().flat_map(|trace| &trace.events);
        events
            .filter_map(|event| match &event.kind {
                EventKind::Publish { value, .. } => Some(value.to_string()),
                _ => None,
            })
            .collect()
    }
}

impl Checked {
    /// What differed in one leg.
    #[must_use]
    pub fn leg(&self, leg: &str) -> Option<&Divergence> {
        self.divergences.iter().find(|divergence| divergence.leg == leg)
    }
}

/// Runs plant `name` by a plan P in four ways: P, another plan Q and P again in one process; P in a fresh process with
/// another environment; Q and P in a fresh process. The last finds what whichever run comes first leaves in a static: in
/// the first process that was P itself.
///
/// # Panics
/// If the helper program fails.
#[must_use]
pub fn check(helper: &str, name: &str) -> Checked {
    let p = Plan::seeded(name, Seed(7));
    let q = Plan::seeded(name, Seed(8));
    let full = |plan: &Plan| Order { plan: plan.clone(), full: true };
    let digest_only = Order { plan: p.clone(), full: false };
    let same = in_process(helper, name, &[full(&p), full(&q), full(&p), digest_only], None);
    let fresh = in_process(helper, name, &[full(&p)], Some("other"));
    let after = in_process(helper, name, &[full(&q), full(&p)], None);
    let (first, other) = (same[0].clone(), same[1].clone());
    let legs =
        [(AFTER_ANOTHER, &same[2]), (DIGEST_ONLY, &same[3]), (FRESH, &fresh[0]), (FRESH_AFTER_ANOTHER, &after[1])];
    let divergences = legs.into_iter().filter_map(|(leg, seen)| compare(leg, &first, seen)).collect();
    Checked { first, other, divergences }
}

/// Makes runs in a process of the helper program.
///
/// # Panics
/// If it fails.
#[must_use]
pub fn in_process(helper: &str, name: &str, orders: &[Order], environment: Option<&str>) -> Vec<Seen> {
    let mut command = Command::new(helper);
    command.arg("run").arg(name);
    for order in orders {
        command.arg(serde_json::to_string(order).expect("an order can be written"));
    }
    command.env_remove(VARIABLE);
    if let Some(value) = environment {
        command.env(VARIABLE, value);
    }
    let output = command.output().expect("the helper program can be started");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{name}: {}\n{text}{}", output.status, String::from_utf8_lossy(&output.stderr));
    let seen: Vec<Seen> = text
        .lines()
        .filter_map(|line| line.strip_prefix("seen "))
        .map(|line| serde_json::from_str(line).expect("the helper program writes what is seen"))
        .collect();
    assert_eq!(seen.len(), orders.len(), "{name}: {text}");
    seen
}

fn compare(leg: &'static str, first: &Seen, again: &Seen) -> Option<Divergence> {
    if first.digest != again.digest {
        let (step, what) = match (&first.trace, &again.trace) {
            (Some(first), Some(again)) => first_difference(first, again),
            _ => (None, format!("the digest is {} and not {}", again.digest, first.digest)),
        };
        return Some(Divergence { leg, step, what });
    }
    let verdicts = [first, again].map(|seen| format!("{} {:?}", seen.verdict.word(), seen.verdict.message()));
    if verdicts[0] != verdicts[1] || first.reason != again.reason {
        let what = format!("the digests agree, but the verdicts are {} and {}", verdicts[0], verdicts[1]);
        return Some(Divergence { leg, step: None, what });
    }
    // Without a full record there are no logs.
    if again.trace.is_some() && first.log_digest != again.log_digest {
        return Some(Divergence { leg, step: None, what: "the digests agree, but the logs don't".to_string() });
    }
    None
}

fn canonical(event: &OwnedEvent) -> Vec<u8> {
    let mut bytes = Vec::new();
    event.write_canonical(&mut bytes);
    bytes
}

/// Where two runs part: events are compared one by one, then their numbers.
fn first_difference(first: &Trace, again: &Trace) -> (Option<u64>, String) {
    let events = |trace: &Trace| -> Vec<OwnedEvent> {
        trace.events.iter().filter(|event| !matches!(event.kind, EventKind::Log { .. })).cloned().collect()
    };
    let (left, right) = (events(first), events(again));
    let describe = |trace: &Trace, event: &OwnedEvent| {
        let at = squall::trace::trace::format_ns(event.at_ns);
        format!("at {at} in {}: {:?}", trace.names.task(event.task), event.kind)
    };
    let shared = left.iter().zip(&right).take_while(|(left, right)| canonical(left) == canonical(right)).count();
    match (left.get(shared), right.get(shared)) {
        (Some(one), Some(other)) => {
            let what = format!("event {} differs\n  {}\n  {}", one.step, describe(first, one), describe(again, other));
            (Some(one.step), what)
        }
        (Some(one), None) => {
            (Some(one.step), format!("it ended before event {}\n  {}", one.step, describe(first, one)))
        }
        (None, Some(other)) => {
            (Some(other.step), format!("it went on with event {}\n  {}", other.step, describe(again, other)))
        }
        (None, None) => (None, "the digests differ, but no event does".to_string()),
    }
}
