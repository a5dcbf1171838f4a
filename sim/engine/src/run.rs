//! A run: the world is filled, the agenda emptied, everything dropped, and an outcome is left.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::io::Write;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use squall_trace::draw::{Purpose, RunKey};
use squall_trace::swarm::Swarm;
use squall_trace::target::{Open, Outcome, Reached};
use squall_trace::verdict::Judgement;
use squall_trace::{
    EndReason, Ending, EventMask, Failure, FlowId, Names, NodeId, NodeInfo, Observer, OwnedEvent, Plan, Property,
    Record, Recorded, Recorder, Seed, Trace, Verdict,
};
use xxhash_rust::xxh3::xxh3_64;

use crate::decisions::Decisions;
use crate::disk::Disks;
use crate::journal::Journal;
use crate::kernel::{self, Gravity, Kernel, Node, Outbox, Pause, Polling, Step};
use crate::network::{Network, default_address};
use crate::world::{ClockSettings, Limits, NodeSpec, RunSettings, World, duration_ns, matches};

/// Shows other threads that a run goes on: how many events there have been. Whoever watches for tasks that never yield
/// reads it.
#[derive(Debug, Default)]
pub struct Heartbeat {
    events: AtomicU64,
    finished: AtomicBool,
}

impl Heartbeat {
    /// Tells the number of the last event, before something of the program is called.
    #[inline]
    pub fn poll(&self, step: u64) {
        self.events.store(step, Ordering::Relaxed);
    }

    /// The number of the event at which the task that runs now was polled.
    #[must_use]
    pub fn events(&self) -> u64 {
        self.events.load(Ordering::Relaxed)
    }

    /// Ends the run's beat: whoever watches needn't any more.
    pub fn finish(&self) {
        self.finished.store(true, Ordering::Relaxed);
    }

    /// Whether the run has ended.
    #[must_use]
    pub fn finished(&self) -> bool {
        self.finished.load(Ordering::Relaxed)
    }
}

/// What a run is told besides its plan.
pub struct RunOptions<'o> {
    /// How much to keep.
    pub record: Record,
    /// Takes what is kept, if the outcome isn't to hold it: that then has neither events nor perturbations, and the names of nodes
    /// alone.
    pub recorder: Option<Rc<RefCell<dyn Recorder>>>,
    /// Sees events as they pass.
    pub observer: &'o mut dyn Observer,
    /// For a watchdog.
    pub beat: Arc<Heartbeat>,
    /// Ends the run after so many events, if its own limit doesn't before: to look at the beginning of a run that never
    /// ends, or that ends its process. No property is asked at such an end.
    pub events_max: Option<u64>,
    /// Told of each poll, and of whatever else of the program's is called, before it is, where somebody looks for the one that
    /// doesn't come back: slow.
    pub before_call: Option<&'o dyn Fn(&Call<'_>)>,
}

/// A part of the program that is about to be called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Call<'c> {
    /// A task's label, or in words what else it is.
    pub who: &'c str,
    /// The number of the last event: of a poll, its own.
    pub events: u64,
    /// Virtual nanoseconds since the run's start.
    pub at_ns: u64,
}

/// Who is told of calls, if anybody is.
type BeforeCall<'o> = Option<&'o dyn Fn(&Call<'_>)>;

#[inline]
fn tell(before_call: BeforeCall<'_>, who: impl FnOnce() -> String) {
    if let Some(before_call) = before_call {
        tell_of_call(before_call, &who());
    }
}

#[cold]
fn tell_of_call(before_call: &dyn Fn(&Call<'_>), who: &str) {
    let (events, at_ns) = with(|kernel| (kernel.journal.step(), kernel.now_ns));
    before_call(&Call { who, events, at_ns });
}

/// Fills a world by `build` and runs it by `plan`.
///
/// To be called on a fresh thread: std draws the keys of its hash maps once a thread, and they must be this run's.
///
/// # Errors
/// In words, if the world can't be: its description panicked, a link or a fault names a node that isn't there, a node is in
/// two groups of a partition, two nodes have one address, a knob that it gives a value isn't there or is of another type.
///
/// # Panics
/// If the program was built with `panic = "abort"`. If a run is on already. If the thread isn't a fresh one.
pub fn run(build: &dyn Fn(&mut World), plan: &Plan, options: RunOptions<'_>) -> Result<Outcome, String> {
    let unwinds = cfg!(panic = "unwind");
    assert!(
        unwinds,
        "Squall needs unwinding: a panic in a node must not end the process; take panic = \"abort\" out of the profile"
    );
    crate::panics::install_hook();
    let RunOptions { record, recorder, observer, beat, events_max, before_call } = options;
    let recorded = Rc::new(RefCell::new(Recorded::default()));
    let recorder = recorder.unwrap_or_else(|| Rc::<RefCell<Recorded>>::clone(&recorded));
    let mut world = World::new();
    let host = Rc::new(RunHost::new(plan));
    let entered = squall_hermetic::enter(Rc::<RunHost>::clone(&host));
    assert!(
        entered.thread_was_fresh() || !squall_hermetic::is_supported(),
        "a run needs a fresh thread: this one has drawn the keys of its hash maps already, so their order wouldn't repeat"
    );
    tracing_core::dispatcher::with_default(crate::log::dispatch(), || {
        // The description is the program's too: what it asks libc is answered from the seed, and what can't be is named.
        programs_code(|| build(&mut world))?;
        world.check_heal()?;
        world.check_queues()?;
        // Most worlds have none, and names to copy.
        if !world.budgets.is_empty() {
            let node_names: Vec<String> = world.node_names().map(str::to_string).collect();
            let healed_at = world.heal.as_ref().map(|heal| heal.at);
            let within = crate::budget::check(&world.budgets, &world.faults, healed_at, &node_names);
            within.map_err(|exceeded| exceeded.message)?;
        }
        let swarm = world.is_swarm.then(|| Swarm::of_seed(plan.seed));
        let swarmed = swarm.map_or_else(Vec::new, |swarm| crate::swarm::shape(&mut world, &swarm));
        let World {
            nodes,
            network,
            links,
            uplinks,
            loopback,
            tcp,
            storage,
            disks,
            faults,
            rules,
            properties,
            limits,
            end_at,
            heal,
            clock,
            ..
        } = world;
        crate::knob::check_names(&world.knobs)?;
        let limits = Limits { events: limits.events.min(events_max.unwrap_or(u64::MAX)), ..limits };
        let settings = RunSettings { limits, end_at_ns: end_at.map(duration_ns), clock };
        check_links(&nodes, &links)?;
        check_named(&nodes, "disk", disks.iter().map(|disk| &*disk.node))?;
        check_named(&nodes, "uplink", uplinks.iter().map(|uplink| &*uplink.node))?;
        let watched = properties.iter().map(|property| property.interest()).fold(observer.interest(), EventMask::union);
        let mut kernel = Box::new(Kernel::new(
            plan,
            Decisions::new(plan, record, Rc::clone(&recorder)),
            Journal::new(record, recorder, watched),
            Network::new(network, links, uplinks, loopback.as_ref()),
            Disks::new(storage, disks),
            settings,
            Arc::clone(&beat),
        ));
        let first_generation = kernel.first_generation;
        kernel.network.streams.begin(tcp, first_generation);
        kernel.buggify.odds = world.buggify;
        kernel.knobs.fixed = world.knobs;
        let booted = kernel.settle_nodes(nodes)?;
        for rule in rules {
            kernel.add_rule(rule)?;
        }
        kernel.wants_methods |= kernel.network.rules_on_messages.want_methods;
        let budgets = world.budgets.into_iter().map(|budget| budget.settle(&kernel.nodes));
        kernel.budgets = budgets.collect::<Result<_, _>>()?;
        if let Some(swarm) = swarm {
            kernel.swarm(swarm, swarmed);
        }
        for fault in faults {
            kernel.schedule_fault(&fault)?;
        }
        if let Some(heal) = heal {
            let asked_within_ns = properties.iter().filter_map(|property| property.after_heal_ns()).max();
            kernel.schedule_heal(heal, asked_within_ns);
        }
        for id in booted {
            kernel.boot(id);
        }
        kernel.escapes.append(&mut host.of_description.borrow_mut());
        let installed = kernel::install(kernel);
        let mut audience = Audience::new(properties, observer, before_call);
        let reason = drive(&mut audience);
        let misuse = with(|kernel| kernel.misuse.take());
        let outcome = finish(installed, plan, record, reason, events_max, &mut audience);
        // Properties are the program's: they may hold what its nodes hold.
        drop(audience);
        beat.finish();
        if let Some(misuse) = misuse {
            return Err(misuse);
        }
        Ok(outcome.with_recorded(recorded.take()))
    })
}

fn check_links(nodes: &[NodeSpec], links: &[crate::world::LinkRule]) -> Result<(), String> {
    for link in links {
        for pattern in [&link.from, &link.to] {
            if !nodes.iter().any(|node| matches(pattern, &node.name)) {
                return Err(format!(
                    "the link from {} to {}: no node is named {pattern:?}; there are {}",
                    link.from,
                    link.to,
                    nodes.iter().map(|node| node.name.as_str()).collect::<Vec<_>>().join(", ")
                ));
            }
        }
    }
    Ok(())
}

/// Of what is said of nodes by patterns, each must name one.
fn check_named<'p>(nodes: &[NodeSpec], what: &str, mut patterns: impl Iterator<Item = &'p str>) -> Result<(), String> {
    let names = || nodes.iter().filter(|node| !node.control).map(|node| node.name.as_str());
    match patterns.find(|pattern| !names().any(|name| matches(pattern, name))) {
        None => Ok(()),
        Some(pattern) => {
            let all: Vec<&str> = names().collect();
            Err(format!("the {what} of {pattern:?}: no node is named so; there are {}", all.join(", ")))
        }
    }
}

impl Kernel {
    /// Takes the described nodes in. The ids of all, to be booted.
    fn settle_nodes(&mut self, specs: Vec<NodeSpec>) -> Result<Vec<NodeId>, String> {
        let mut ids = Vec::with_capacity(specs.len());
        self.make_room(specs.len());
        for (index, spec) in specs.into_iter().enumerate() {
            let NodeSpec { name, client, control, address, on_panic, init, .. } = spec;
            let id = NodeId(index as u32);
            self.has_control |= control;
            let node_address = address.unwrap_or_else(|| default_address(index));
            let name_hash = xxh3_64(name.as_bytes());
            self.network.add_node(name_hash, address)?;
            if self.journal.wants_names() {
                self.journal.name_node(NodeInfo { name: name.clone(), address: node_address, client });
            }
            self.nodes.push(Node {
                name: name.into(),
                address: node_address,
                client,
                control,
                boot: 0,
                up: false,
                root_returned: false,
                restart_pending: false,
                is_left_out: false,
                init,
                on_panic,
                ports: smallvec::SmallVec::new(),
            });
            ids.push(id);
        }
        self.network.check_addresses(&self.nodes)?;
        Ok(ids)
    }
}

fn with<R>(operation: impl FnOnce(&mut Kernel) -> R) -> R {
    kernel::with("the run loop", operation)
}

/// Calls what the program wrote and no node executes: its world's description, its properties.
///
/// # Errors
/// What it panicked with, and where.
fn programs_code<R>(code: impl FnOnce() -> R) -> Result<R, String> {
    let before = squall_hermetic::set_node_code(true);
    let called = std::panic::catch_unwind(std::panic::AssertUnwindSafe(code));
    squall_hermetic::set_node_code(before);
    called.map_err(|payload| crate::task::panic_text(&*payload))
}

/// A property's own code: where it panics, the property is broken.
fn property_code<R>(
    property: &mut dyn Property,
    before_call: BeforeCall<'_>,
    code: impl FnOnce(&mut dyn Property) -> R,
) -> Result<R, String> {
    tell(before_call, || format!("the property {}", property.name()));
    programs_code(|| code(property)).map_err(|text| format!("the property's own code panicked: {text}"))
}

/// Who sees what happens.
struct Audience<'o> {
    properties: Vec<Box<dyn Property>>,
    observer: &'o mut dyn Observer,
    before_call: BeforeCall<'o>,
    /// What has been taken to be shown, called and dropped. Empty but while that is done: it changes places with what has gathered, so that neither makes room anew.
    passing: Vec<OwnedEvent>,
    outbox: Outbox,
}

impl<'o> Audience<'o> {
    fn new(
        properties: Vec<Box<dyn Property>>,
        observer: &'o mut dyn Observer,
        before_call: BeforeCall<'o>,
    ) -> Audience<'o> {
        Audience { properties, observer, before_call, passing: Vec::new(), outbox: Outbox::default() }
    }

    /// Calls and drops what waits for the world not to be borrowed, until nothing does.
    fn settle(&mut self) {
        loop {
            with(|kernel| {
                kernel.journal.swap_passing(&mut self.passing);
                kernel.swap_outbox(&mut self.outbox);
            });
            if self.outbox.is_empty() && self.passing.is_empty() {
                return;
            }
            self.show();
            self.outbox.settle();
        }
    }

    fn show(&mut self) {
        for event in self.passing.drain(..) {
            let event = &event;
            if self.observer.interest().contains_code(event.kind.code()) {
                self.observer.on_event(event);
            }
            for property in &mut self.properties {
                if !property.interest().contains_code(event.kind.code()) {
                    continue;
                }
                let seen = property_code(&mut **property, self.before_call, |property| property.on_event(event));
                if let Err(message) = seen.and_then(|seen| seen) {
                    with(|kernel| kernel.property_broken(property.name(), message, event));
                }
            }
        }
    }
}

/// Does one step after another until the run is over.
fn drive(audience: &mut Audience<'_>) -> EndReason {
    let before_call = audience.before_call;
    let mut polled: Option<Polling> = None;
    loop {
        // The only place where the loop's part is called: it is in line here.
        let step = with(|kernel| {
            if let Some(polled) = polled.take() {
                kernel.end_poll(polled);
            }
            kernel.step()
        });
        match step {
            Step::Poll(polling) => {
                tell(before_call, || with(|kernel| kernel.current_label()));
                polled = Some(polling.poll());
            }
            Step::Pause(Pause::Settle) => audience.settle(),
            Step::Pause(Pause::End(reason)) => return reason,
        }
    }
}

fn finish(
    installed: kernel::Installed,
    plan: &Plan,
    record: Record,
    reason: EndReason,
    events_max: Option<u64>,
    audience: &mut Audience<'_>,
) -> Outcome {
    let waiting = with(|kernel| match reason {
        EndReason::Deadlock | EndReason::TimeLimit | EndReason::EventLimit => kernel.describe_waiting(),
        _ => String::new(),
    });
    let ending = with(|kernel| {
        // What is judged is what happened up to here; what destructors do below is no part of it.
        kernel.account_for_the_rest();
        Ending { reason, at_ns: kernel.now_ns, events: kernel.journal.step() }
    });
    audience.settle();
    // Everything is dropped with the world still in place. Nothing of it counts, and nothing is left in the digest.
    tell(audience.before_call, || "a destructor at the run's end".to_string());
    with(Kernel::condemn_all);
    audience.settle();
    for node in with(|kernel| kernel.nodes_with_locals()) {
        crate::node_local::drop_all_of(node);
    }
    drop_leftovers();
    audience.settle();
    let mut verdict = with(|kernel| match kernel.failure.clone() {
        Some(failure) => Verdict::Fail(failure),
        None => verdict_of_end(kernel, &ending, &waiting),
    });
    // Of a beginning that somebody looks at, the end isn't the run's: there is nothing to judge.
    let is_cut = events_max.is_some_and(|max| ending.events >= max);
    let mut open = Vec::new();
    if !is_cut && !matches!(verdict, Verdict::Fail(_)) {
        open.extend(with(|kernel| open_progress(kernel, &ending)));
        for property in &mut audience.properties {
            match judge(&mut **property, &ending, audience.before_call) {
                Judgement::Held => {}
                Judgement::Broken(message) => {
                    let property = property.name().to_string();
                    let (step, at_ns) = (ending.events, ending.at_ns);
                    let failure = Failure { property, message, step, at_ns, node: None, task: None };
                    verdict = verdict.worse(Verdict::Fail(failure));
                }
                Judgement::Open(message) => open.push(Open { property: property.name().to_string(), message }),
            }
        }
        verdict = with_open(verdict, &open);
    }
    // What a property did in its last look that can't be repeated.
    if let (false, Some(failure)) = (matches!(verdict, Verdict::Fail(_)), with(|kernel| kernel.failure.clone())) {
        verdict = Verdict::Fail(failure);
    }
    if matches!(verdict, Verdict::Fail(_)) {
        open.clear();
    }
    let names = audience.properties.iter().map(|property| property.name().to_string());
    let properties = (record > Record::Digest).then(|| names.collect());
    let kernel = installed.take();
    let Kernel { journal, decisions, network, escapes, unreached_faults, reached, swarmed, .. } = *kernel;
    let goals = goals(&audience.properties, reached);
    let unused_overrides = decisions.finish();
    let journal = journal.finish();
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
        messages: network.counts,
        perturbations: Vec::new(),
        unused_overrides,
        escapes,
        swarm: swarmed,
        unreached_faults,
        goals,
        open,
        calls: Vec::new(),
        names: Names { nodes: journal.nodes, ..Names::default() },
        properties,
        trace,
    }
}

/// The goals of the world, in its order, then those that the run came by otherwise. Each is there once.
pub(crate) fn goals(properties: &[Box<dyn Property>], mut reached: BTreeMap<&'static str, u64>) -> Vec<Reached> {
    let mut goals: Vec<Reached> = Vec::new();
    for property in properties {
        let Some(times) = property.goal() else { continue };
        match goals.iter_mut().find(|known| known.goal == property.name()) {
            Some(known) => known.times += times,
            None => {
                let times = times + reached.remove(property.name()).unwrap_or(0);
                goals.push(Reached { goal: property.name().to_string(), times });
            }
        }
    }
    goals.extend(reached.into_iter().map(|(goal, times)| Reached { goal: goal.to_string(), times }));
    goals
}

/// Init functions may hold what the program made, sockets too: they go while the world still is in place.
fn drop_leftovers() {
    for init in with(Kernel::take_inits) {
        kernel::call(move || drop(init));
    }
}

fn verdict_of_end(kernel: &Kernel, ending: &Ending, waiting: &str) -> Verdict {
    let at = squall_trace::trace::format_ns(ending.at_ns);
    let limit = |what: &str, remedy: &str| Verdict::Unknown {
        message: format!("{what} was reached at {at} with unfinished business:\n{waiting}\n{remedy}"),
    };
    match ending.reason {
        EndReason::Deadlock => Verdict::Fail(Failure {
            property: "deadlock".to_string(),
            message: format!("nothing is left to happen at {at}, and clients still wait:\n{waiting}"),
            step: ending.events,
            at_ns: ending.at_ns,
            node: None,
            task: None,
        }),
        EndReason::EventLimit => limit(
            &format!("the limit of {} events", kernel.limits.events),
            "Raise the limit (world.limits().events, [limit] events) or let the clients end.",
        ),
        EndReason::TimeLimit => limit(
            &format!("the limit of {} of virtual time", squall_trace::trace::format_ns(kernel.limits.virtual_ns)),
            "Raise the limit (world.limits().virtual_ns, [limit] virtual) or let the clients end.",
        ),
        EndReason::ClientsDown if kernel.no_client_returned() => Verdict::Unknown {
            message: format!(
                "at {at} every client is down for good, and none has returned: start one again, or let one live"
            ),
        },
        EndReason::Failed
        | EndReason::ClientsReturned
        | EndReason::ClientsDown
        | EndReason::EndTime
        | EndReason::Quiet => Verdict::Pass,
    }
}

/// Whether it is open if the clients got on after the heal.
fn open_progress(kernel: &Kernel, ending: &Ending) -> Option<Open> {
    let is_open = ending.reason == EndReason::EndTime && kernel.owes_progress();
    is_open.then(|| Open {
        property: "progress".to_string(),
        message: format!(
            "the run ended at {}, before the bound within which the clients were to get on after the heal: let it run longer, or heal \
             sooner",
            squall_trace::trace::format_ns(ending.at_ns)
        ),
    })
}

/// A verdict with all that is open; a failure stays alone.
fn with_open(verdict: Verdict, open: &[Open]) -> Verdict {
    if open.is_empty() || matches!(verdict, Verdict::Fail(_)) {
        return verdict;
    }
    let before = verdict.message().map(str::to_string);
    let each = open.iter().map(|Open { property, message }| format!("{property}: {message}"));
    Verdict::Unknown { message: before.into_iter().chain(each).collect::<Vec<_>>().join("\n") }
}

fn judge(property: &mut dyn Property, ending: &Ending, before_call: BeforeCall<'_>) -> Judgement {
    property_code(property, before_call, |property| property.on_end(ending)).unwrap_or_else(Judgement::Broken)
}

/// Answers what node code asks libc.
struct RunHost {
    seed: Seed,
    /// What the world's description did outside of the simulation.
    of_description: RefCell<Vec<String>>,
    /// For what is drawn before there is a kernel: the thread's own keys of hash maps.
    key: RunKey,
    drawn: Cell<u64>,
}

impl RunHost {
    fn new(plan: &Plan) -> RunHost {
        RunHost {
            seed: plan.seed,
            of_description: RefCell::default(),
            key: RunKey::derive(plan.seed, Purpose::Application, 0),
            drawn: Cell::new(0),
        }
    }
}

impl RunHost {
    /// The process ends at once: whoever waits for this run will never hear of it otherwise.
    fn tell_exit(&self, what: &str) {
        let who = kernel::try_with(|kernel| kernel.current_label()).unwrap_or_else(|| "the world's description".into());
        // Not by `eprintln!`, which a test's harness captures.
        let _ = writeln!(
            std::io::stderr(),
            "squall: seed {}, {who}: {what}; that ends all runs, not only this one: let the node's task return, or crash it",
            self.seed
        );
    }
}

impl squall_hermetic::Host for RunHost {
    fn monotonic_ns(&self) -> u64 {
        let of_run = kernel::try_with(Kernel::read_monotonic_clock);
        of_run.unwrap_or_else(|| ClockSettings::default().monotonic_start_ns)
    }

    fn wall_ns(&self) -> u64 {
        let of_run = kernel::try_with(|kernel| {
            let since_epoch_ns = kernel.clock.epoch_ns.saturating_add(kernel.read_clock());
            since_epoch_ns.saturating_add_signed(kernel.wall_jumped_ns())
        });
        of_run.unwrap_or_else(|| ClockSettings::default().epoch_ns)
    }

    fn fill_entropy(&self, out: &mut [u8]) {
        if kernel::try_with(|kernel| kernel.fill_entropy(out)).is_none() {
            for chunk in out.chunks_mut(8) {
                self.drawn.set(self.drawn.get() + 1);
                let [word, _] = self.key.words(FlowId(0), self.drawn.get(), 3);
                chunk.copy_from_slice(&word.to_le_bytes()[..chunk.len()]);
            }
        }
    }

    fn on_escape(&self, escape: squall_hermetic::Escape) {
        use squall_hermetic::Escape;
        let (gravity, what) = if squall_hermetic::is_stepping() {
            let (gravity, by_whom) = gravity_in_thread(&escape);
            (gravity, format!("{escape}{by_whom}"))
        } else {
            (gravity(&escape), escape.to_string())
        };
        if let Escape::ProcessExit { .. } = escape {
            self.tell_exit(&what);
        }
        let told = kernel::try_with(|kernel| {
            if let Escape::BlockingSleep { ns } | Escape::BlockingWait { timeout_ns: Some(ns) } = escape {
                // The wait returned at once. Who waits in a loop until a deadline would spin for ever: the time that was
                // to be waited counts as passed, and at least a nanosecond, since some loops (that of std's
                // `wait_timeout_while`) wait once more, for no time, until more than theirs has passed. Such a run has
                // failed, and ends after this poll.
                kernel.skipped_ns = kernel.skipped_ns.saturating_add(ns.max(1));
                squall_hermetic::show_monotonic(None);
            }
            kernel.escaped(&what, gravity, remedy(&escape));
        });
        if told.is_none() {
            let line = format!("the world's description: {what}");
            let mut lines = self.of_description.borrow_mut();
            if !lines.contains(&line) {
                lines.push(line);
            }
        }
    }
}

/// What an escape does to its run that is made on a thread of a runtime's, and what is to be said of it: there a runtime works with real files, which it does for the
/// program (tokio's `fs`) and no crash ever touches.
fn gravity_in_thread(escape: &squall_hermetic::Escape) -> (Gravity, &'static str) {
    use squall_hermetic::Escape;
    match escape {
        Escape::RealFile { .. } | Escape::FileMetadata { .. } | Escape::DirectoryListing { .. } => {
            (Gravity::Failure, " in spawn_blocking, or by tokio::fs: in a node use squall::fs")
        }
        Escape::NameLookup { .. } => (Gravity::Failure, ""),
        other => (gravity(other), ""),
    }
}

/// What is to be used in place of what makes a run fail.
fn remedy(escape: &squall_hermetic::Escape) -> &'static str {
    use squall_hermetic::Escape;
    match escape {
        Escape::ThreadCreated => {
            ": in a node use tasks, or tokio::task::spawn_blocking in one that tokio executes; a runtime with threads of its own can't be simulated"
        }
        Escape::ProcessStarted => ": let it be a node of its own",
        Escape::RealSocket => {
            ": in a node use squall::net in place of tokio::net and std::net; hyper, axum, tonic and whatever else opens sockets by itself take a listener or a connector of squall::net \
             (docs/network.md)"
        }
        Escape::NameLookup { .. } => {
            ": in a node names of nodes are addresses of squall::net as they are; what looks names up by itself (tonic's connect, hyper-util's HttpConnector, reqwest) needs a connector of squall::net \
             (docs/network.md)"
        }
        Escape::BlockingSleep { .. } | Escape::BlockingWait { .. } => {
            ": it would stop the whole node; await instead, or let tokio::task::spawn_blocking do it in a node that tokio executes"
        }
        Escape::StandardInput => {
            ": it isn't the seed's; in a node what would come there comes by a channel, an argument or a file of squall::fs"
        }
        _ => "",
    }
}

/// What an escape does to its run. Reading a file, a directory or the environment is named but let through: many programs
/// read their configuration.
fn gravity(escape: &squall_hermetic::Escape) -> Gravity {
    use squall_hermetic::Escape;
    match escape {
        Escape::RealFile { .. }
        | Escape::FileMetadata { .. }
        | Escape::DirectoryListing { .. }
        | Escape::DirectoryChanged { .. }
        | Escape::EnvironmentRead { .. }
        | Escape::CpuClock => Gravity::Event,
        // Mostly a lock that another run holds for a moment on a busy machine.
        Escape::BlockingWait { timeout_ns: None } => Gravity::Note,
        _ => Gravity::Failure,
    }
}
