//! The search agrees with trying all orders, on every small history and on many random ones of each model, and with another checker, todc-utils,
//! on those whose operations have all returned (others it doesn't take) and on real ones.

mod blind;

use std::fmt;
use std::marker::PhantomData;
use std::path::Path;
use std::rc::Rc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use blind::Blind;
use proptest::prelude::Rng;
use proptest::test_runner::{RngAlgorithm, TestRng};
use squall_check::history::{Builder, Event, EventType};
use squall_check::linearizability::{Counterexample, Limits, Verdict, check};
use squall_check::models::{CasRegister, Kv, Lock, Queue, Register, Set};
use squall_check::{Call, History, Model, Step, Value};
use todc_utils::linearizability::WGLChecker;
use todc_utils::linearizability::history::{Action, History as Actions};
use todc_utils::specifications::Specification;

fn event(process: u64, kind: EventType, f: &str, value: Value) -> Event {
    Event { process, kind, f: f.into(), key: None, value, time: None, index: None }
}

/// Whether the operations have an order, found by trying each that may come next, and nothing cleverer.
fn has_order<M: Model>(model: &M, history: &History) -> bool {
    has_order_up_to(model, history, u32::MAX - 1)
}

/// Whether those have one that begin up to that event, where of those that return later nobody knows whether they take effect.
fn has_order_up_to<M: Model>(model: &M, history: &History, end: u32) -> bool {
    struct Tried<'h, M: Model> {
        model: &'h M,
        operations: Vec<(u32, u32, Option<M::Operation>)>,
    }
    impl<M: Model> Tried<'_, M> {
        fn goes_on(&self, state: &M::State, done: u64) -> bool {
            let is_left = |&index: &usize| done >> index & 1 == 0;
            let all = 0..self.operations.len();
            // Those of unknown outcome needn't be.
            if all.clone().filter(is_left).all(|index| self.operations[index].1 == u32::MAX) {
                return true;
            }
            let first_return = all.clone().filter(is_left).map(|index| self.operations[index].1).min().unwrap();
            all.filter(is_left).any(|index| {
                let (invoked, _, what) = &self.operations[index];
                if *invoked > first_return {
                    return false;
                }
                let done = done | 1 << index;
                match what.as_ref().map(|what| self.model.step(state, what)) {
                    None | Some(Step::Same) => self.goes_on(state, done),
                    Some(Step::To(to)) => self.goes_on(&to, done),
                    Some(Step::Impossible) => false,
                }
            })
        }
    }
    let understood = |operation: &squall_check::Operation| {
        let f = history.name(operation);
        let call = Call { process: operation.process, f, argument: &operation.argument, result: operation.result() };
        let returned = if operation.returned() <= end { operation.returned() } else { u32::MAX };
        (operation.invoked, returned, model.operation(&call).unwrap())
    };
    let begun = history.operations().iter().filter(|operation| operation.invoked <= end);
    let operations = begun.map(understood).collect();
    Tried { model, operations }.goes_on(&model.initial(), 0)
}

/// What todc-utils knows of a model: the search is its own.
struct Specified<M>(PhantomData<M>);

/// An operation, understood; at its call nobody knows its result.
struct Understood<M: Model>(Option<Rc<M::Operation>>);

impl<M: Model> Clone for Understood<M> {
    fn clone(&self) -> Understood<M> {
        Understood(self.0.clone())
    }
}

impl<M: Model> fmt::Debug for Understood<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "Understood" } else { "Understood by nobody" })
    }
}

impl<M: Model + Default> Specification for Specified<M>
where
    M::State: fmt::Debug,
{
    type State = M::State;
    type Operation = Understood<M>;

    fn init() -> M::State {
        M::default().initial()
    }

    fn apply(operation: &Understood<M>, state: &M::State) -> (bool, M::State) {
        match operation.0.as_ref().map(|operation| M::default().step(state, operation)) {
            Some(Step::To(to)) => (true, to),
            Some(Step::Same) => (true, state.clone()),
            Some(Step::Impossible) | None => (false, state.clone()),
        }
    }
}

/// What todc-utils says of the operations of one object, if all of them have returned.
fn by_todc<M: Model + Default>(history: &History, key: u32) -> Option<bool>
where
    M::State: fmt::Debug,
{
    let mut actions = Vec::new();
    for operation in history.operations().iter().filter(|operation| operation.key == key) {
        let (argument, result) = (&operation.argument, Some(operation.result()?));
        let call = Call { process: operation.process, f: history.name(operation), argument, result };
        let what = M::default().operation(&call).unwrap().map(Rc::new);
        let process = operation.process as usize;
        actions.push((operation.invoked, (process, Action::Call(Understood::<M>(None)))));
        actions.push((operation.returned(), (process, Action::Response(Understood(what)))));
    }
    actions.sort_by_key(|(event, _)| *event);
    let actions: Vec<_> = actions.into_iter().map(|(_, action)| action).collect();
    (!actions.is_empty()).then(|| WGLChecker::<Specified<M>>::is_linearizable(Actions::from_actions(actions)))
}

/// From anishathalye/porcupine; see the folder's README.
#[test]
fn todc_says_the_same_of_real_histories() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/data/histories");
    for (name, is_linearizable) in [("c01-ok", true), ("c01-bad", false), ("c10-ok", true), ("c10-bad", false)] {
        let file = std::fs::File::open(directory.join(format!("{name}.jsonl"))).unwrap();
        let history = squall_check::history::read(std::io::BufReader::new(file)).unwrap();
        let all = (0..history.keys() as u32).all(|key| by_todc::<Kv>(&history, key).unwrap());
        assert_eq!(all, is_linearizable, "{name}");
    }
}

/// Looks far ahead from the beginning, as it otherwise does only where it turns back often.
const FAR: Limits = Limits { steps: 100_000_000, turns_near: 0, bytes: 1 << 30 };

/// Compares both, looking near ahead, far ahead and not at all, and sees that a counterexample is one.
fn agree<M: Model>(model: &M, history: &History) -> Option<bool> {
    let judged = check(model, history, Limits::default()).unwrap();
    let far = check(model, history, FAR).unwrap().verdict;
    let blind = check(&Blind(model), history, Limits::default()).unwrap().verdict;
    if !history.says_something() {
        assert!([&judged.verdict, &far, &blind].iter().all(|verdict| matches!(verdict, Verdict::Unknown(_))));
        return None;
    }
    let is_linearizable = judged.verdict == Verdict::Linearizable;
    for verdict in [&judged.verdict, &far, &blind] {
        match verdict {
            Verdict::NotLinearizable(found) if !is_linearizable => assert_counterexample(model, history, found),
            Verdict::Linearizable if is_linearizable => {}
            other => panic!("it is {is_linearizable}, and {other:?}: {:#?}", history.operations()),
        }
    }
    assert_eq!(is_linearizable, has_order(model, history), "{:#?}", history.operations());
    // And the verdict is the same one step short of what it took, or unknown.
    let limits = Limits { steps: judged.steps.saturating_sub(1), ..Limits::default() };
    let short = check(model, history, limits).unwrap().verdict;
    assert!(short == judged.verdict || matches!(short, Verdict::Unknown(_)));
    Some(is_linearizable)
}

/// Its order is a partial linearization of all that had returned before what is stuck, and with the return of that there is none.
fn assert_counterexample<M: Model>(model: &M, history: &History, found: &Counterexample) {
    let all = history.operations();
    let mut state = model.initial();
    let mut last_invoked = 0;
    let step = |state: &mut M::State, index: usize| {
        let operation = &all[index];
        let f = history.name(operation);
        let (process, argument, result) = (operation.process, &operation.argument, operation.result());
        let what = model.operation(&Call { process, f, argument, result }).unwrap().unwrap();
        match model.step(state, &what) {
            Step::Impossible => return false,
            Step::Same => {}
            Step::To(to) => *state = to,
        }
        true
    };
    for &index in &found.order {
        assert!(all[index].returned() > last_invoked, "out of order: {found:?}");
        last_invoked = last_invoked.max(all[index].invoked);
        assert!(step(&mut state, index), "impossible: {found:?}");
    }
    assert_eq!(model.in_words(&state), found.state);
    assert!(!found.order.contains(&found.stuck) && all[found.stuck].result().is_some());
    assert!(!has_order_up_to(model, history, all[found.stuck].returned()), "{found:?}");
    let is_before = |index: &usize| all[*index].returned() < all[found.stuck].returned();
    assert!((0..all.len()).filter(is_before).all(|index| {
        let says_nothing = all[index].result().is_none();
        found.order.contains(&index) || says_nothing
    }));
    for index in &found.open {
        assert!(!found.order.contains(index) && all[*index].invoked < all[found.stuck].returned());
    }
}

/// Compares the verdict alone, looking near and far ahead.
fn agree_in_a_word<M: Model>(model: &M, history: &History) -> Option<bool> {
    let is_linearizable = |limits| match check(model, history, limits).unwrap().verdict {
        Verdict::Unknown(_) => {
            assert!(!history.says_something());
            None
        }
        Verdict::Linearizable => Some(true),
        Verdict::NotLinearizable(_) => Some(false),
    };
    let near = is_linearizable(Limits::default())?;
    assert_eq!(Some(near), is_linearizable(FAR), "{:#?}", history.operations());
    assert_eq!(near, has_order(model, history), "{:#?}", history.operations());
    Some(near)
}

/// A beginning of histories.
#[derive(Clone)]
struct Grown {
    events: Vec<Event>,
    /// Which choice each process has open.
    open: [Option<usize>; 2],
    /// How many operations are still to be invoked.
    left: usize,
}

impl Grown {
    /// All that may come next, by one event.
    fn grow(&self, choices: &[(&str, Value, Vec<Value>)], mut take: impl FnMut(Grown)) {
        for process in 0..2 {
            let mut grow = |kind: EventType, f: &str, value: Value, now: Option<usize>, left: usize| {
                let (mut events, mut open) = (self.events.clone(), self.open);
                events.push(event(process as u64, kind, f, value));
                open[process] = now;
                take(Grown { events, open, left });
            };
            match self.open[process] {
                Some(choice) => {
                    let (f, _, results) = &choices[choice];
                    for result in results {
                        grow(EventType::Ok, f, result.clone(), None, self.left);
                    }
                }
                None if self.left > 0 => {
                    for (choice, (f, argument, _)) in choices.iter().enumerate() {
                        grow(EventType::Invoke, f, argument.clone(), Some(choice), self.left - 1);
                    }
                }
                None => {}
            }
        }
    }
}

/// Every history of so many operations of two processes: each way in which their events can lie, each operation, each result, and each
/// that may never return. Process 0 is the first to invoke: neither judge looks at the number. `see` is called by several threads.
///
/// With `SQUALL_BRUTE_FORCE_PART=M/N` in the environment, the Mth of N parts of them.
fn every_history(operations: usize, choices: &[(&str, Value, Vec<Value>)], see: &(dyn Fn(&History) + Sync)) {
    #[expect(clippy::disallowed_methods, reason = "no run is decided here: histories are judged by themselves")]
    let part = std::env::var("SQUALL_BRUTE_FORCE_PART").unwrap_or("1/1".to_string());
    let (part, parts) = part.split_once('/').expect("a part is M/N");
    let (part, parts): (usize, usize) = (part.parse().unwrap(), parts.parse().unwrap());
    assert!((1..=parts).contains(&part), "parts are 1/{parts} to {parts}/{parts}");
    let mut begun = Vec::new();
    Grown { events: Vec::new(), open: [None, None], left: operations }.grow(choices, |grown| {
        if grown.open[0].is_some() {
            begun.push(grown);
        }
    });
    // Enough of them that all threads have something to do to the end.
    for _ in 1..operations.min(4) {
        let mut longer = Vec::new();
        for grown in &begun {
            if part == 1 {
                see_whole(grown, see);
            }
            grown.grow(choices, |grown| longer.push(grown));
        }
        begun = longer;
    }
    let begun = begun.into_iter().enumerate().filter(|(place, _)| place % parts == part - 1).map(|(_, grown)| grown);
    let begun: Mutex<Vec<Grown>> = Mutex::new(begun.collect());
    let threads = std::thread::available_parallelism().map_or(1, |threads| threads.get());
    #[expect(clippy::disallowed_methods, reason = "no run is decided here: histories are judged by themselves")]
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let Some(first) = begun.lock().unwrap().pop() else { return };
                    let mut all = vec![first];
                    while let Some(grown) = all.pop() {
                        see_whole(&grown, see);
                        grown.grow(choices, |grown| all.push(grown));
                    }
                }
            });
        }
    });
}

/// What is still open is of unknown outcome; whoever returns is grown.
fn see_whole(grown: &Grown, see: &dyn Fn(&History)) {
    if grown.left == 0 {
        let mut builder = Builder::new();
        grown.events.iter().for_each(|event| builder.push(event.clone()).unwrap());
        see(&builder.finish());
    }
}

fn read_and_write() -> Vec<(&'static str, Value, Vec<Value>)> {
    let (one, two) = (Value::Int(1), Value::Int(2));
    vec![
        ("read", Value::Null, vec![Value::Null, one.clone(), two.clone()]),
        ("write", one.clone(), vec![one]),
        ("write", two.clone(), vec![two]),
    ]
}

fn with_cas() -> Vec<(&'static str, Value, Vec<Value>)> {
    let cas = |old: Value, new: i64| Value::List(vec![old, Value::Int(new)]);
    let all = [cas(Value::Null, 1), cas(Value::Int(1), 2), cas(Value::Int(2), 1), cas(Value::Int(1), 1)];
    let mut choices = read_and_write();
    choices.extend(all.map(|values| ("cas", values.clone(), vec![values])));
    choices
}

fn every<M: Model + Sync>(model: &M, operations: usize, choices: &[(&str, Value, Vec<Value>)]) -> (u64, u64) {
    let (good, bad) = (AtomicU64::new(0), AtomicU64::new(0));
    every_history(operations, choices, &|history| {
        // Of the longest there are a thousand million: what is said beside the verdict is looked at in the shorter ones.
        let judged = if operations < 6 { agree(model, history) } else { agree_in_a_word(model, history) };
        match judged {
            Some(true) => good.fetch_add(1, Ordering::Relaxed),
            Some(false) => bad.fetch_add(1, Ordering::Relaxed),
            None => 0,
        };
    });
    let (good, bad) = (good.into_inner(), bad.into_inner());
    println!("{operations} operations: {good} linearizable, {bad} not");
    (good, bad)
}

#[test]
fn every_small_history_is_judged_as_by_trying_all_orders() {
    for operations in 1..=4 {
        let (good, bad) = every(&Register, operations, &read_and_write());
        assert!(good > 0 && bad > 0);
    }
    for operations in 1..=3 {
        let (good, bad) = every(&CasRegister, operations, &with_cas());
        assert!(good > 0 && bad > 0);
    }
}

/// The rest of the histories of up to six operations, 27 million: `cargo test --release -p squall-check --test brute_force of_a_register --
/// --ignored --nocapture`.
#[test]
#[ignore = "takes minutes in a release build"]
fn every_history_of_a_register_up_to_six_operations_is_judged_as_by_trying_all_orders() {
    for operations in 5..=6 {
        every(&Register, operations, &read_and_write());
    }
}

/// The same of a cas-register, a thousand million. It can be run in parts, here and there: see [`every_history`].
#[test]
#[ignore = "takes an hour or two in a release build"]
fn every_history_of_a_cas_register_up_to_six_operations_is_judged_as_by_trying_all_orders() {
    for operations in 4..=6 {
        every(&CasRegister, operations, &with_cas());
    }
}

/// What a random operation is: its name, its argument, and the results that it might give.
type Draw = fn(&mut TestRng) -> (&'static str, Value, Vec<Value>);

/// What a process has open, and what it came to, once it has taken effect.
type Open = (&'static str, Value, Vec<Value>, Option<Value>);

/// A random history: of a real object whose operations take effect at some moment within their interval, with results that are changed in
/// half of the histories.
fn random_history<M: Model>(model: &M, draw: Draw, rng: &mut TestRng) -> History {
    let processes = 1 + below(rng, 5);
    let operations = 1 + below(rng, 9);
    let spoils = below(rng, 2) == 0;
    let mut builder = Builder::new();
    let mut state = model.initial();
    let mut open: Vec<Option<Open>> = vec![None; processes as usize];
    let mut over = vec![false; processes as usize];
    let mut left = operations;
    loop {
        let process = below(rng, processes) as usize;
        if over.iter().all(|over| *over) || left == 0 && open.iter().all(Option::is_none) {
            return builder.finish();
        }
        if over[process] {
            continue;
        }
        let mut push = |kind, f: &str, value| builder.push(event(process as u64, kind, f, value)).unwrap();
        match &mut open[process] {
            None if left == 0 => {}
            None => {
                let (f, argument, results) = draw(rng);
                push(EventType::Invoke, f, argument.clone());
                open[process] = Some((f, argument, results, None));
                left -= 1;
            }
            Some((f, argument, results, result @ None)) => {
                // A lock has nothing to say but that it was taken: to be wrong it must be given twice.
                let is_wrong = spoils && below(rng, 6) == 0;
                let possible = results.iter().find_map(|result| {
                    let call = Call { process: process as u64, f, argument, result: Some(result) };
                    let to = match model.step(&state, &model.operation(&call).ok()??) {
                        Step::Impossible if is_wrong => state.clone(),
                        Step::Impossible => return None,
                        Step::Same => state.clone(),
                        Step::To(to) => to,
                    };
                    Some((result.clone(), to))
                });
                match possible {
                    Some((came, to)) => {
                        *result = Some(came);
                        state = to;
                    }
                    None => {
                        push(EventType::Fail, f, Value::Null);
                        open[process] = None;
                        continue;
                    }
                }
                if below(rng, 6) == 0 {
                    push(EventType::Info, f, Value::Null);
                    over[process] = true;
                    open[process] = None;
                }
            }
            Some((f, _, results, Some(result))) => {
                let result = if spoils && below(rng, 4) == 0 {
                    results[below(rng, results.len() as u64) as usize].clone()
                } else {
                    result.clone()
                };
                push(EventType::Ok, f, result);
                open[process] = None;
            }
        }
        // Some are never heard of before they take effect.
        if matches!(&open[process], Some((.., None))) && below(rng, 12) == 0 {
            let f = open[process].as_ref().unwrap().0;
            builder.push(event(process as u64, EventType::Info, f, Value::Null)).unwrap();
            over[process] = true;
            open[process] = None;
        }
    }
}

fn below(rng: &mut TestRng, bound: u64) -> u64 {
    rng.next_u64() % bound
}

fn some_values(rng: &mut TestRng) -> Value {
    Value::Int(1 + below(rng, 3) as i64)
}

fn register(rng: &mut TestRng) -> (&'static str, Value, Vec<Value>) {
    let values = [Value::Null, Value::Int(1), Value::Int(2), Value::Int(3)];
    match below(rng, 2) {
        0 => ("read", Value::Null, values.to_vec()),
        _ => {
            let value = some_values(rng);
            ("write", value.clone(), vec![value])
        }
    }
}

fn cas_register(rng: &mut TestRng) -> (&'static str, Value, Vec<Value>) {
    match below(rng, 3) {
        0 => {
            let values = Value::List(vec![some_values(rng), some_values(rng)]);
            ("cas", values.clone(), vec![values])
        }
        _ => register(rng),
    }
}

fn kv(rng: &mut TestRng) -> (&'static str, Value, Vec<Value>) {
    let texts = ["", "a", "b", "ab", "ba", "aa", "bb", "aab", "bab", "aba", "abab"].map(Value::from);
    let text = texts[1 + below(rng, 2) as usize].clone();
    match below(rng, 5) {
        0..=1 => ("get", Value::Null, texts.to_vec()),
        2 => ("put", text.clone(), vec![text]),
        _ => ("append", text.clone(), vec![text]),
    }
}

fn set(rng: &mut TestRng) -> (&'static str, Value, Vec<Value>) {
    let all = |bits: u8| (1..=3).filter(|value| bits >> (value - 1) & 1 == 1).map(Value::Int).collect();
    let value = some_values(rng);
    match below(rng, 5) {
        0..=1 => ("read", Value::Null, (0..8).map(|bits| Value::List(all(bits))).collect()),
        2 => ("remove", value.clone(), vec![value]),
        _ => ("add", value.clone(), vec![value]),
    }
}

fn queue(rng: &mut TestRng) -> (&'static str, Value, Vec<Value>) {
    let values = [Value::Int(1), Value::Int(2), Value::Int(3), Value::Null];
    let value = some_values(rng);
    match below(rng, 2) {
        0 => ("dequeue", Value::Null, values.to_vec()),
        _ => ("enqueue", value.clone(), vec![value]),
    }
}

fn lock(rng: &mut TestRng) -> (&'static str, Value, Vec<Value>) {
    // A lock that says it was given, or that nobody gave it back, is spoiled by its operations alone.
    let f = if below(rng, 2) == 0 { "acquire" } else { "release" };
    (f, Value::Null, vec![Value::Null])
}

fn random<M: Model + Default>(model: &M, draw: Draw, histories: u32)
where
    M::State: fmt::Debug,
{
    let mut rng = TestRng::from_seed(RngAlgorithm::ChaCha, &[7; 32]);
    let (mut good, mut bad, mut by_both) = (0, 0, 0);
    for _ in 0..histories {
        let history = random_history(model, draw, &mut rng);
        let judged = agree(model, &history);
        if let Some(other) = by_todc::<M>(&history, 0) {
            assert_eq!(judged, Some(other), "{:#?}", history.operations());
            by_both += 1;
        }
        match judged {
            Some(true) => good += 1,
            Some(false) => bad += 1,
            None => {}
        }
    }
    println!("{good} linearizable, {bad} not; {by_both} judged by todc-utils as well");
    assert!(by_both > histories / 5, "{by_both}");
    assert!(good > histories / 10 && bad > histories / 100, "{good} and {bad} of {histories}");
}

#[test]
fn random_registers_are_judged_as_by_trying_all_orders() {
    random(&Register, register, 100_000);
}

#[test]
fn random_cas_registers_are_judged_as_by_trying_all_orders() {
    random(&CasRegister, cas_register, 100_000);
}

#[test]
fn random_stores_are_judged_as_by_trying_all_orders() {
    random(&Kv, kv, 100_000);
}

#[test]
fn random_sets_are_judged_as_by_trying_all_orders() {
    random(&Set, set, 100_000);
}

#[test]
fn random_queues_are_judged_as_by_trying_all_orders() {
    random(&Queue, queue, 100_000);
}

#[test]
fn random_locks_are_judged_as_by_trying_all_orders() {
    random(&Lock, lock, 100_000);
}
