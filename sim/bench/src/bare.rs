//! The bare loop: the floor that no simulator gets below.
//!
//! It does only what can't be avoided in a simulator that keeps its world in a thread-local and runs ordinary futures: for each
//! message one push and one pop of a binary heap, one poll of the receiving task, one ChaCha8 draw for the latency. There
//! are no names, faults, addresses, traces, digests or timers. It is there to be divided by, not to be used.

use std::cell::{Cell, RefCell};
use std::cmp::Ordering;
use std::collections::BinaryHeap;
use std::future::{Future, poll_fn};
use std::mem;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

const LATENCY_NS_MIN: u64 = 1_000_000;
const LATENCY_NS_MAX: u64 = 10_000_000;

/// The server's node number; client `n` is node `n + 1`.
const SERVER: u32 = 0;

type Payload = [u8; 16];

/// A message in flight. The heap is a maximum heap, so the order is reversed: the earliest arrival is the greatest.
struct Flight {
    arrival_ns: u64,
    /// Breaks ties in the order of sending.
    sequence: u64,
    from: u32,
    to: u32,
    payload: Payload,
}

impl Flight {
    fn key(&self) -> u128 {
        u128::from(self.arrival_ns) << 64 | u128::from(self.sequence)
    }
}

impl Ord for Flight {
    fn cmp(&self, other: &Flight) -> Ordering {
        other.key().cmp(&self.key())
    }
}

impl PartialOrd for Flight {
    fn partial_cmp(&self, other: &Flight) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Flight {
    fn eq(&self, other: &Flight) -> bool {
        self.key() == other.key()
    }
}

impl Eq for Flight {}

/// What waits for a node's task. One place is enough: the task is polled after every delivery, before the next one.
#[derive(Default)]
struct Mailbox {
    message: Option<(u32, Payload)>,
    has_reader: bool,
}

struct World {
    now_ns: u64,
    sequence: u64,
    latencies: ChaCha8Rng,
    flights: BinaryHeap<Flight>,
    mailboxes: Vec<Mailbox>,
    clients_running: u32,
}

thread_local! {
    /// A reference, so that there is nothing to initialize or drop and an access is a plain load. The world is leaked for it.
    static WORLD: Cell<Option<&'static RefCell<World>>> = const { Cell::new(None) };
}

fn world() -> &'static RefCell<World> {
    WORLD.get().expect("only tasks and the loop ask, and they run inside a world")
}

fn send(from: u32, to: u32, payload: Payload) {
    let world = &mut *world().borrow_mut();
    let draw = u128::from(world.latencies.next_u64());
    let width = u128::from(LATENCY_NS_MAX - LATENCY_NS_MIN + 1);
    let latency_ns = LATENCY_NS_MIN + ((draw * width) >> 64) as u64;
    let arrival_ns = world.now_ns + latency_ns;
    world.flights.push(Flight { arrival_ns, sequence: world.sequence, from, to, payload });
    world.sequence += 1;
}

async fn receive(node: u32) -> (u32, Payload) {
    poll_fn(|_| {
        let mailbox = &mut world().borrow_mut().mailboxes[node as usize];
        match mailbox.message.take() {
            Some(message) => Poll::Ready(message),
            None => {
                mailbox.has_reader = true;
                Poll::Pending
            }
        }
    })
    .await
}

async fn serve() {
    loop {
        let (from, request) = receive(SERVER).await;
        send(SERVER, from, answer_to(request));
    }
}

async fn ask(node: u32, rpcs: u32) {
    for number in 0..rpcs {
        let mut request = [0; 16];
        request[..8].copy_from_slice(&u64::from(number).to_le_bytes());
        request[8..].copy_from_slice(&u64::from(node).to_le_bytes());
        send(node, SERVER, request);
        let (_, answer) = receive(node).await;
        assert_eq!(answer, answer_to(request));
    }
    world().borrow_mut().clients_running -= 1;
}

/// The request with its number and its client swapped, so that an echo by mistake would be noticed.
fn answer_to(request: Payload) -> Payload {
    u128::from_le_bytes(request).rotate_left(64).to_le_bytes()
}

type Task = Pin<Box<dyn Future<Output = ()>>>;

fn poll(tasks: &mut [Option<Task>], number: u32) {
    let place = &mut tasks[number as usize];
    if let Some(task) = place
        && task.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_ready()
    {
        *place = None;
    }
}

/// Runs `nodes` clients against one server, `rpcs_per_client` requests each, and returns the wall time of the loop.
pub fn run(nodes: u32, rpcs_per_client: u32) -> Duration {
    let world = World {
        now_ns: 0,
        sequence: 0,
        latencies: ChaCha8Rng::seed_from_u64(1),
        flights: BinaryHeap::new(),
        mailboxes: (0..=nodes).map(|_| Mailbox::default()).collect(),
        clients_running: nodes,
    };
    let world: &'static RefCell<World> = Box::leak(Box::new(world.into()));
    WORLD.set(Some(world));
    let clients = (1..=nodes).map(|node| Some(Box::pin(ask(node, rpcs_per_client)) as Task));
    let mut tasks: Vec<Option<Task>> = std::iter::once(Some(Box::pin(serve()) as Task)).chain(clients).collect();

    let start = Instant::now();
    for number in 0..=nodes {
        poll(&mut tasks, number);
    }
    while let Some(reader) = deliver_next(world) {
        if let Some(number) = reader {
            poll(&mut tasks, number);
        }
    }
    let elapsed = start.elapsed();

    assert_eq!(world.borrow().clients_running, 0, "a client was left without its answer");
    elapsed
}

/// Takes the next message to its mailbox. The outer option is none when nothing is in flight, the inner one when nobody waits.
fn deliver_next(world: &RefCell<World>) -> Option<Option<u32>> {
    let world = &mut *world.borrow_mut();
    let flight = world.flights.pop()?;
    world.now_ns = flight.arrival_ns;
    let mailbox = &mut world.mailboxes[flight.to as usize];
    debug_assert!(mailbox.message.is_none());
    mailbox.message = Some((flight.from, flight.payload));
    Some(mem::take(&mut mailbox.has_reader).then_some(flight.to))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_client_gets_its_answers() {
        // The loop itself asserts that no client is left waiting and that every answer is its own request's.
        for (nodes, rpcs_per_client) in [(1, 1), (10, 50), (1_000, 3)] {
            run(nodes, rpcs_per_client);
        }
    }

    #[test]
    fn the_earliest_flight_comes_first_and_ties_keep_their_order() {
        let flight = |arrival_ns, sequence| Flight { arrival_ns, sequence, from: 0, to: 0, payload: [0; 16] };
        let mut flights = BinaryHeap::from([flight(2, 0), flight(1, 2), flight(1, 1)]);
        let order: Vec<u64> = std::iter::from_fn(|| flights.pop()).map(|flight| flight.sequence).collect();
        assert_eq!(order, [1, 2, 0]);
    }
}
