//! Streams in bad weather: what is lost comes late, what is cut off waits, what breaks is told, and each of it is a decision with an address.
#![allow(clippy::disallowed_methods, reason = "a run needs threads around it")]

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Wake, Waker};
use std::thread;
use std::time::Duration;

use squall_engine::fault::{self, crash, partition, partition_one_way};
use squall_engine::latency::Latency;
use squall_engine::net::{TcpListener, TcpSocket, TcpStream, ToSocketAddrs, UdpSocket};
use squall_engine::rule::{self, Messages};
use squall_engine::task::spawn;
use squall_engine::time::{Instant, sleep};
use squall_engine::{Bursts, Heartbeat, RunOptions, Tcp, World};
use squall_trace::target::NoObserver;
use squall_trace::{EventKind, Outcome, Plan, Ratio, Record, Seed, SiteKind, StrategyChoice, Verdict};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

fn percent(percent: u64) -> Ratio {
    Ratio::new(percent, 100)
}

/// What programs note, with the virtual milliseconds at which they do.
type Notes = Arc<Mutex<Vec<(u64, String)>>>;

#[derive(Clone)]
struct Note(Notes, Instant);

impl Note {
    fn down(&self, what: impl Into<String>) {
        let at_ms = u64::try_from(self.1.elapsed().as_millis()).unwrap();
        self.0.lock().unwrap().push((at_ms, what.into()));
    }
}

fn run(plan: &Plan, build: impl Fn(&mut World) + Send + 'static) -> Outcome {
    let plan = plan.clone();
    let run = thread::spawn(move || {
        let options = RunOptions {
            record: Record::Full,
            recorder: None,
            observer: &mut NoObserver,
            beat: Arc::new(Heartbeat::default()),
            events_max: None,
            before_call: None,
        };
        squall_engine::run(&build, &plan, options).expect("the world can be")
    });
    run.join().unwrap()
}

fn plan(seed: u64) -> Plan {
    Plan::seeded("streams", Seed(seed))
}

/// Without perturbations.
fn calm() -> Plan {
    plan(1).only(&[])
}

/// A server that notes and echoes what it reads, and a client that does what it is given.
fn world<Fut: Future<Output = ()> + 'static>(
    notes: &Notes,
    client: impl Fn(Note) -> Fut + Clone + Send + 'static,
    weather: impl Fn(&mut World) + Send + 'static,
) -> impl Fn(&mut World) + Send + 'static {
    let notes = Arc::clone(notes);
    move |world| {
        let of_server = Arc::clone(&notes);
        world.node("server", move || {
            let notes = Arc::clone(&of_server);
            async move {
                let note = Note(notes, Instant::now());
                let listener = TcpListener::bind("0.0.0.0:80").await.unwrap();
                loop {
                    let (mut stream, _) = listener.accept().await.unwrap();
                    let note = note.clone();
                    spawn(async move {
                        note.down("accepted");
                        let mut buffer = [0; 1024];
                        loop {
                            match stream.read(&mut buffer).await {
                                Ok(0) => return note.down("end"),
                                Ok(read) => {
                                    note.down(String::from_utf8_lossy(&buffer[..read]));
                                    if stream.write_all(&buffer[..read]).await.is_err() {
                                        return note.down("cannot answer");
                                    }
                                }
                                Err(error) => return note.down(format!("{:?}", error.kind())),
                            }
                        }
                    });
                }
            }
        });
        let (of_client, client) = (Arc::clone(&notes), client.clone());
        world.client("client", move || client(Note(Arc::clone(&of_client), Instant::now())));
        world.network().latency(Latency::fixed(ms(10)));
        weather(world);
    }
}

fn take(notes: &Notes) -> Vec<(u64, String)> {
    std::mem::take(&mut *notes.lock().unwrap())
}

fn noted(notes: &[(u64, &str)]) -> Vec<(u64, String)> {
    notes.iter().map(|(at_ms, what)| (*at_ms, what.to_string())).collect()
}

async fn ask(note: Note) {
    let mut stream = match TcpStream::connect("server:80").await {
        Ok(stream) => stream,
        Err(error) => return note.down(format!("client {:?}", error.kind())),
    };
    note.down("connected");
    if let Err(error) = stream.write_all(b"ping").await {
        return note.down(format!("client {:?}", error.kind()));
    }
    let mut back = [0; 4];
    match stream.read_exact(&mut back).await {
        Ok(_) => note.down("answered"),
        Err(error) => note.down(format!("client {:?}", error.kind())),
    }
}

#[test]
fn a_handshake_takes_one_and_a_half_ways() {
    let notes = Notes::default();
    let outcome = run(&calm(), world(&notes, ask, |_| {}));
    assert_eq!(outcome.verdict, Verdict::Pass);
    let expected = [(20, "connected"), (30, "accepted"), (30, "ping"), (40, "answered")];
    assert_eq!(take(&notes), noted(&expected));
    let counts = outcome.messages;
    assert_eq!(counts.sent + counts.duplicated, counts.delivered + counts.lost + counts.in_flight);
}

/// Only the segment with the bytes is lost, once and then twice.
#[test]
fn what_is_lost_comes_late_and_the_rest_behind_it() {
    for (times, at_ms) in [(1u64, 230), (2, 630), (3, 1_430)] {
        let notes = Notes::default();
        let client = |note: Note| async move {
            let mut stream = TcpStream::connect("server:80").await.unwrap();
            stream.write_all(b"first ").await.unwrap();
            sleep(ms(1)).await;
            stream.write_all(b"second").await.unwrap();
            let mut back = [0; 12];
            stream.read_exact(&mut back).await.unwrap();
            note.down("answered");
        };
        let plain = run(&calm(), world(&notes, client, |_| {}));
        assert_eq!(take(&notes)[1..], noted(&[(30, "first "), (31, "second"), (41, "answered")]));
        let trace = plain.trace.unwrap();
        let sent = trace.events.iter().find_map(|event| match &event.kind {
            EventKind::Send { flow, number, payload, .. } if &**payload == b"first " => Some((*flow, *number)),
            _ => None,
        });
        let (flow, number) = sent.unwrap();
        let mut lossy = calm();
        lossy.overrides.push(squall_trace::Override {
            site: squall_trace::Site { kind: SiteKind::Retransmission, flow, number },
            fingerprint: squall_trace::plan::ANY_FINGERPRINT,
            value: times,
        });
        let outcome = run(&lossy, world(&notes, client, |_| {}));
        // The second waits for the first, and both are read at once.
        assert_eq!(take(&notes)[1..], noted(&[(at_ms, "first second"), (at_ms + 10, "answered")]));
        assert_eq!(outcome.perturbations.len(), 1);
        let sentence = outcome.perturbations[0].sentence(&outcome.names);
        let lost = match times {
            1 => "is lost and sent again".to_string(),
            times => format!("is lost {times} times before it arrives"),
        };
        assert_eq!(
            sentence,
            format!("segment 3 from client to server on connection 1 from client to server:80 {lost}")
        );
        let told: Vec<u64> = attempts(&outcome, 3).into_iter().map(|(_, times)| times).collect();
        assert_eq!(told, Vec::from_iter(1..=times));
    }
}

/// The milliseconds at which attempts of a segment to the server were lost, and the so-manieth each was.
fn attempts(outcome: &Outcome, of: u64) -> Vec<(u64, u64)> {
    let lost = |event: &squall_trace::OwnedEvent| match event.kind {
        EventKind::Retransmit { number, times, .. } if number == of => Some((event.at_ns / 1_000_000, times)),
        _ => None,
    };
    outcome.trace.as_ref().unwrap().events.iter().filter_map(lost).collect()
}

/// Connects in calm weather, and sends at 1,000 ms.
async fn send_at_a_second(note: Note) {
    let mut stream = TcpStream::connect("server:80").await.unwrap();
    sleep(ms(980)).await;
    stream.write_all(b"ping").await.unwrap();
    let mut back = [0; 4];
    let read = stream.read_exact(&mut back).await;
    note.down(format!("client {:?}", read.map_err(|error| error.kind())));
}

/// A fault that loses everything, from 990 ms on.
fn lossy_for(lasts: Duration) -> impl Fn(&mut World) + Copy + Send + 'static {
    move |world| {
        let lossy = fault::link("client", "server", |link| {
            link.loss(Ratio::ONE);
        });
        world.fault(lossy.at(ms(990)).lasts(lasts));
    }
}

/// Each attempt is lost or not by the weather of its own time.
#[test]
fn a_short_storm_costs_a_short_while() {
    let notes = Notes::default();
    let attempts_of = |lasts: Duration| {
        let outcome = run(&plan(1), world(&notes, send_at_a_second, lossy_for(lasts)));
        assert_eq!(outcome.verdict, Verdict::Pass);
        let shrunk =
            run(&plan(1).only(&outcome.perturbations), world(&Notes::default(), send_at_a_second, lossy_for(lasts)));
        assert_eq!((shrunk.digest, shrunk.unused_overrides), (outcome.digest, vec![]));
        attempts(&outcome, 3)
    };
    // Sent at 1,000 ms, and again 200, 400 and 800 ms after each other, until the storm is over.
    assert_eq!(attempts_of(ms(20)), [(1_000, 1)]);
    assert_eq!(take(&notes)[1..], noted(&[(1_210, "ping"), (1_220, "client Ok(4)")]));
    // Just over at the second attempt, and just not.
    assert_eq!(attempts_of(ms(209)), [(1_000, 1)]);
    assert_eq!(attempts_of(ms(211)), [(1_000, 1), (1_200, 2)]);
    assert_eq!(attempts_of(ms(1_000)), [(1_000, 1), (1_200, 2), (1_600, 3)]);
    assert_eq!(take(&notes).last().unwrap(), &(2_420, "client Ok(4)".to_string()));
}

/// A storm that begins while a segment waits loses its next attempts.
#[test]
fn a_storm_that_comes_while_a_segment_waits_meets_it() {
    let notes = Notes::default();
    let weather = |world: &mut World| {
        let first = fault::link("client", "server", |link| {
            link.loss(Ratio::ONE);
        });
        world.fault(first.clone().at(ms(990)).lasts(ms(20)));
        world.fault(first.at(ms(1_190)).lasts(ms(20)));
    };
    let outcome = run(&plan(1), world(&notes, send_at_a_second, weather));
    assert_eq!(attempts(&outcome, 3), [(1_000, 1), (1_200, 2)]);
    let lost: Vec<u64> = outcome
        .perturbations
        .iter()
        .filter(|one| one.site.kind == SiteKind::Retransmission)
        .map(|one| one.value)
        .collect();
    assert_eq!(lost, [2], "one decision, whose value is how often");
    assert_eq!(take(&notes).last().unwrap(), &(1_620, "client Ok(4)".to_string()));
}

/// Nothing comes through any more: the connection is given up after a minute, and the run comes to rest.
#[test]
fn what_never_comes_through_is_given_up() {
    let notes = Notes::default();
    let outcome = run(&plan(1), world(&notes, send_at_a_second, lossy_for(secs(100_000))));
    assert_eq!(outcome.verdict, Verdict::Pass);
    assert_eq!(take(&notes)[1..], noted(&[(61_000, "client Err(TimedOut)")]));
    // Whoever drops a connection before that is gone: what it sent isn't sent again for ever.
    let client = |note: Note| async move {
        let mut stream = TcpStream::connect("server:80").await.unwrap();
        sleep(ms(980)).await;
        stream.write_all(b"ping").await.unwrap();
        drop(stream);
        sleep(secs(1_000)).await;
        note.down("through");
    };
    let outcome = run(&plan(1), world(&notes, client, lossy_for(secs(100_000))));
    assert_eq!(attempts(&outcome, 3).len(), 15);
    assert_eq!(outcome.messages.lost, 2, "the bytes and the end");
    assert_eq!(outcome.messages.in_flight, 0);
    assert_eq!(take(&notes).last().unwrap(), &(1_001_000, "through".to_string()));
}

/// What was late and came through isn't given up later, whatever it was that was late, whether its connection is quiet since or not.
#[test]
fn what_has_come_through_late_is_not_given_up() {
    let lost_there: fn(&mut World) = |world| lossy_for(ms(20))(world);
    let lost_on_the_way_back: fn(&mut World) = |world| {
        let lossy = fault::link_one_way("server", "client", |link| {
            link.loss(Ratio::ONE);
        });
        world.fault(lossy.at(ms(990)).lasts(ms(30)));
    };
    let cut: fn(&mut World) = |world| {
        world.fault(partition([["client"], ["server"]]).at(ms(900)).lasts(ms(200)));
    };
    let dropped: fn(&mut World) = |world| {
        world.rule(rule::drop("client", "server").only(Messages::Segments).at(ms(990)).times(1));
    };
    for (number, weather) in [lost_there, lost_on_the_way_back, cut, dropped].into_iter().enumerate() {
        for (times, pause) in [(2, secs(200)), (200, secs(1))] {
            let notes = Notes::default();
            let client = move |note: Note| async move {
                let mut stream = TcpStream::connect("server:80").await.unwrap();
                sleep(ms(980)).await;
                for _ in 0..times {
                    let asked = Instant::now();
                    let mut back = [0; 4];
                    stream.write_all(b"ping").await.unwrap();
                    stream.read_exact(&mut back).await.unwrap();
                    note.down(format!("answered after {} ms", asked.elapsed().as_millis()));
                    sleep(pause).await;
                }
            };
            let outcome = run(&plan(1), world(&notes, client, weather));
            assert_eq!(outcome.verdict, Verdict::Pass, "{number}, {times} times");
            // Only the first is late, and neither end is told of anything else.
            let mut expected = vec!["accepted".to_string()];
            for time in 0..times {
                let took_ms = if time == 0 { 220 } else { 20 };
                expected.extend(["ping".to_string(), format!("answered after {took_ms} ms")]);
            }
            let told: Vec<String> = take(&notes).into_iter().map(|(_, what)| what).collect();
            assert_eq!(told, expected, "{number}, {times} times");
        }
    }
}

/// A segment that is late for 56 s comes through at its last attempt before the minute is over; if that is lost too, the connection is given up.
#[test]
fn the_last_attempt_within_a_minute_saves_a_connection() {
    let notes = Notes::default();
    let client = |note: Note| async move {
        let mut stream = TcpStream::connect("server:80").await.unwrap();
        sleep(ms(980)).await;
        for _ in 0..2 {
            stream.write_all(b"ping").await.unwrap();
            if let Err(error) = stream.read_exact(&mut [0; 4]).await {
                return note.down(format!("client {:?}", error.kind()));
            }
            note.down("answered");
            sleep(secs(100)).await;
        }
    };
    // From 990 ms on: the attempt at 57,200 ms is behind the storm, or the last in it.
    run(&plan(1), world(&notes, client, lossy_for(ms(56_209))));
    let expected = [(57_210, "ping"), (57_220, "answered"), (157_230, "ping"), (157_240, "answered")];
    assert_eq!(take(&notes)[1..5], noted(&expected));
    run(&plan(1), world(&notes, client, lossy_for(ms(56_211))));
    assert_eq!(take(&notes)[1], (61_000, "client TimedOut".to_string()));
}

/// What was late before doesn't count: the minute begins with what doesn't come through now.
#[test]
fn each_time_that_a_connection_stalls_has_a_minute_of_its_own() {
    let notes = Notes::default();
    let client = |note: Note| async move {
        let mut stream = TcpStream::connect("server:80").await.unwrap();
        sleep(ms(980)).await;
        for _ in 0..2 {
            stream.write_all(b"ping").await.unwrap();
            let read = stream.read_exact(&mut [0; 4]).await;
            note.down(format!("client {:?}", read.map_err(|error| error.kind())));
            sleep(secs(40)).await;
        }
    };
    let weather = |world: &mut World| {
        lossy_for(ms(20))(world);
        let lossy = fault::link("client", "server", |link| {
            link.loss(Ratio::ONE);
        });
        world.fault(lossy.at(secs(30)).lasts(secs(100_000)));
    };
    run(&plan(1), world(&notes, client, weather));
    let expected = [(1_210, "ping"), (1_220, "client Ok(4)"), (101_220, "client Err(TimedOut)")];
    assert_eq!(take(&notes)[1..4], noted(&expected));
}

/// What waits for its next attempt is its machine's: a crash ends that.
#[test]
fn a_crash_ends_the_attempts_of_what_was_sent() {
    let notes = Notes::default();
    let weather = |world: &mut World| {
        lossy_for(ms(20))(world);
        world.fault(crash("client").at(ms(1_100)).restart_after(secs(100)));
    };
    let outcome = run(&plan(1), world(&notes, send_at_a_second, weather));
    let of_server: Vec<String> = take(&notes).into_iter().map(|(_, what)| what).take(2).collect();
    assert_eq!(of_server, ["accepted", "ConnectionReset"]);
    assert_eq!(attempts(&outcome, 3)[..1], [(1_000, 1)]);
    let is_lost = |event: &squall_trace::OwnedEvent| {
        event.at_ns == 1_100_000_000
            && matches!(event.kind, EventKind::Lose { number: 3, reason: squall_trace::LossReason::SenderDown, .. })
    };
    assert!(outcome.trace.unwrap().events.iter().any(is_lost));
}

/// Whoever reads to the end, and has no timeout, when the other machine crashes: `serve` is what the server does with a connection. When that ends and how.
fn read_to_the_end<Fut: Future<Output = ()> + 'static>(
    serve: impl Fn(TcpStream) -> Fut + Clone + Send + 'static,
    weather: impl Fn(&mut World) + Send + 'static,
) -> Vec<(u64, String)> {
    let notes = Notes::default();
    let of_client = Arc::clone(&notes);
    let outcome = run(&plan(1), move |world| {
        let serve = serve.clone();
        world.node("server", move || {
            let serve = serve.clone();
            async move {
                let listener = TcpListener::bind("0.0.0.0:80").await.unwrap();
                loop {
                    let (stream, _) = listener.accept().await.unwrap();
                    spawn(serve(stream));
                }
            }
        });
        let notes = Arc::clone(&of_client);
        let client = move || {
            let note = Note(Arc::clone(&notes), Instant::now());
            async move {
                let mut stream = TcpStream::connect("server:80").await.unwrap();
                let mut bytes = Vec::new();
                match stream.read_to_end(&mut bytes).await {
                    Ok(read) => note.down(format!("{read} bytes")),
                    Err(error) => note.down(format!("{:?}", error.kind())),
                }
            }
        };
        world.client("client", client);
        world.network().latency(Latency::fixed(ms(5)));
        world.fault(partition([["client"], ["server"]]).at(ms(30)).lasts(ms(300)));
        weather(world);
    });
    assert_eq!(outcome.verdict, Verdict::Pass);
    take(&notes)
}

/// What a program has said before it closed its end, and what of that hasn't come through, goes with its machine: the other end is told of the crash, as by an end that is open.
#[test]
fn a_crash_ends_a_connection_that_its_program_has_closed() {
    let closes = |answer: &'static [u8]| {
        move |mut stream: TcpStream| async move {
            sleep(ms(40)).await;
            stream.write_all(answer).await.unwrap();
        }
    };
    let crashes = |at_ms: u64| {
        move |world: &mut World| {
            world.fault(crash("server").at(ms(at_ms)).restart_after(ms(50)));
        }
    };
    for answer in [&b""[..], b"answer"] {
        let after_the_partition = read_to_the_end(closes(answer), crashes(1_000));
        // Said at 55 ms, and again 200 and 600 ms later.
        assert_eq!(after_the_partition, noted(&[(660, &format!("{} bytes", answer.len()))]));
        // Told at 705 ms, with a number behind what is gone: so it counts a round trip later.
        assert_eq!(read_to_the_end(closes(answer), crashes(100)), noted(&[(715, "ConnectionReset")]));
    }
}

/// A server that reads ten bytes of a request, answers, and is through with the connection, of which the rest is unread: it is reset. What the client reads.
fn answered_early(plan: &Plan, weather: impl Fn(&mut World) + Send + 'static) -> Vec<(u64, String)> {
    let notes = Notes::default();
    let noting = Arc::clone(&notes);
    let outcome = run(plan, move |world| {
        world.node("server", || async {
            let listener = TcpListener::bind("0.0.0.0:80").await.unwrap();
            let (mut stream, _) = listener.accept().await.unwrap();
            stream.read_exact(&mut [0; 10]).await.unwrap();
            stream.write_all(b"413 ").await.unwrap();
            stream.write_all(b"too large").await.unwrap();
        });
        let notes = Arc::clone(&noting);
        world.client("client", move || {
            let note = Note(Arc::clone(&notes), Instant::now());
            async move {
                let mut stream = TcpStream::connect("server:80").await.unwrap();
                stream.write_all(&[7; 1_000]).await.unwrap();
                let mut answer = Vec::new();
                let read = stream.read_to_end(&mut answer).await;
                note.down(String::from_utf8_lossy(&answer));
                note.down(read.map_or_else(|error| format!("{:?}", error.kind()), |_| "end".to_string()));
            }
        });
        world.network().latency(Latency::fixed(ms(10)));
        weather(world);
    });
    assert_eq!(outcome.verdict, Verdict::Pass);
    take(&notes)
}

/// All three arrive at one instant, or in another order: as on Linux, a reset takes nothing away that is on its way.
#[test]
fn a_reset_overtakes_no_bytes() {
    for strategy in [StrategyChoice::Random, StrategyChoice::Fifo] {
        for seed in 0..100 {
            let plan = Plan { strategy, ..plan(seed) };
            let seen = answered_early(&plan, |_| {});
            let said: Vec<&str> = seen.iter().map(|(_, what)| what.as_str()).collect();
            assert_eq!(said, ["413 too large", "ConnectionReset"], "seed {seed}");
            // Also by far more than a round trip.
            for (latency, reordered) in [
                (Latency::uniform(ms(1), ms(20)), Ratio::ZERO),
                (Latency::uniform(ms(1), ms(20)), percent(50)),
                (Latency::exponential(ms(10)), Ratio::ZERO),
            ] {
                let weather = move |world: &mut World| {
                    world.network().latency(latency.clone()).reorder(reordered);
                };
                let varied = answered_early(&plan, weather);
                let said: Vec<&str> = varied.iter().map(|(_, what)| what.as_str()).collect();
                assert_eq!(said, ["413 too large", "ConnectionReset"], "seed {seed}");
            }
        }
    }
}

/// Many arrive before their turn at one instant, and again at one: whose order is drawn each time, under another name.
#[test]
fn a_reset_that_arrives_again_has_another_name() {
    let (mut twice, mut sites) = (0, 0);
    for seed in 0..20 {
        let outcome = run(&plan(seed), |world| {
            world.node("server", || async {
                let listener = TcpListener::bind("0.0.0.0:80").await.unwrap();
                loop {
                    let (mut stream, _) = listener.accept().await.unwrap();
                    spawn(async move {
                        stream.read_exact(&mut [0; 10]).await.unwrap();
                        stream.write_all(b"too large").await.unwrap();
                    });
                }
            });
            world.clients("client", 12, |_| async {
                let mut stream = TcpStream::connect("server:80").await.unwrap();
                stream.write_all(&[7; 1_000]).await.unwrap();
                assert!(stream.read_to_end(&mut Vec::new()).await.is_err());
            });
            world.network().latency(Latency::fixed(ms(10)));
        });
        assert_eq!(outcome.verdict, Verdict::Pass);
        let mut known = BTreeSet::new();
        sites += outcome.perturbations.len();
        twice += outcome.perturbations.iter().filter(|perturbation| !known.insert(perturbation.site)).count();
    }
    assert!(sites > 1_000, "{sites}");
    assert_eq!(twice, 0);
}

/// Who has reset sends nothing again: the reset counts a round trip after it has come, and what is late by more than that is lost with the connection.
#[test]
fn a_reset_does_not_wait_for_what_was_lost() {
    let loses = |segment: u64| {
        move |world: &mut World| {
            world.rule(rule::drop("server", "client").only(Messages::Segments).skip(segment - 1).times(1));
        }
    };
    // Segments: the acceptance, two of bytes, and the reset.
    let calm = |segment| answered_early(&calm_but_for_rules(), loses(segment));
    assert_eq!(calm(3), noted(&[(60, "413 "), (60, "ConnectionReset")]));
    assert_eq!(calm(2), noted(&[(60, ""), (60, "ConnectionReset")]));
    // The reset itself is sent again.
    assert_eq!(calm(4), noted(&[(240, "413 too large"), (240, "ConnectionReset")]));
}

/// Also what waits in a queue for its turn, or is held by a rule.
#[test]
fn a_crash_ends_a_connection_whose_last_words_are_kept_back() {
    let slow: fn(&mut World) = |world| {
        world.uplink("server").bandwidth_bits_per_second(2_000);
    };
    let slow_link: fn(&mut World) = |world| {
        world.link_one_way("server", "client").bandwidth_bits_per_second(2_000);
    };
    let held: fn(&mut World) = |world| {
        world.rule(rule::hold("server", "client").only(Messages::Segments).at(ms(450)).lasts(secs(10)));
    };
    for (number, weather) in [slow, slow_link, held].into_iter().enumerate() {
        for (closes, crashes) in [(true, 1), (false, 2)] {
            let serve = move |mut stream: TcpStream| async move {
                sleep(ms(500)).await;
                for _ in 0..4 {
                    stream.write_all(&[7; 200]).await.unwrap();
                }
                if !closes {
                    std::future::pending::<()>().await;
                }
            };
            let told = read_to_the_end(serve, move |world| {
                // The handshake comes through in any case.
                weather(world);
                world.fault(crash("server").at(secs(4)).restart_after(ms(10)));
                if crashes == 2 {
                    world.fault(crash("server").at(ms(4_100)).restart_after(ms(10)));
                }
            });
            assert_eq!(told.len(), 1, "{number}, closes: {closes}");
            assert_eq!(told[0].1, "ConnectionReset", "{number}, closes: {closes}");
        }
    }
}

/// What a machine says of a crash is no business of the boot before, which another crash would end.
#[test]
fn another_crash_does_not_take_away_that_of_the_one_before_is_told() {
    let keeps = |stream: TcpStream| async move {
        std::future::pending::<()>().await;
        drop(stream);
    };
    let crashes = |world: &mut World| {
        world.fault(crash("server").at(ms(100)).restart_after(ms(50)));
        world.fault(crash("server").at(ms(200)).restart_after(ms(50)));
    };
    assert_eq!(read_to_the_end(keeps, crashes), noted(&[(705, "ConnectionReset")]));
}

/// Who has broken a connection, and keeps its end, has said so: that is to come even if its machine crashes before it could leave.
/// Nobody else would tell it. An end that is broken has no more to say when its node crashes, unlike one that is open, or is closed already.
#[test]
fn a_crash_does_not_take_away_that_a_connection_was_broken() {
    let slow: fn(&mut World) = |world| {
        world.uplink("server").bandwidth_bits_per_second(2_000);
    };
    let slow_link: fn(&mut World) = |world| {
        world.link_one_way("server", "client").bandwidth_bits_per_second(2_000);
    };
    let held: fn(&mut World) = |world| {
        world.rule(rule::hold("server", "client").only(Messages::Segments).at(ms(950)).lasts(secs(10)));
    };
    let cut: fn(&mut World) = |world| {
        world.fault(partition_one_way(["server"], ["client"]).at(ms(950)).lasts(secs(10)));
    };
    // What was before it in a queue is gone with the crash, so that it counts a round trip after it has come; what holds it or cuts it off does so until it is over.
    let weathers = [(slow, 1_530), (slow_link, 1_530), (held, 10_970), (cut, 12_260)];
    for (number, (weather, told_ms)) in weathers.into_iter().enumerate() {
        for crashes in [1, 2] {
            let notes = Notes::default();
            let of_client = Arc::clone(&notes);
            let outcome = run(&plan(1), move |world| {
                world.node("server", || async {
                    let listener = TcpListener::bind("0.0.0.0:80").await.unwrap();
                    let (mut stream, _) = listener.accept().await.unwrap();
                    sleep(ms(970)).await;
                    for _ in 0..4 {
                        stream.write_all(&[7; 200]).await.unwrap();
                    }
                    // It learns that its connection is broken, and keeps it.
                    stream.read(&mut [0]).await.unwrap_err();
                    std::future::pending::<()>().await;
                });
                let notes = Arc::clone(&of_client);
                world.client("client", move || {
                    let note = Note(Arc::clone(&notes), Instant::now());
                    async move {
                        let mut stream = TcpStream::connect("server:80").await.unwrap();
                        sleep(secs(1)).await;
                        stream.write_all(b"x").await.unwrap();
                        let read = stream.read_to_end(&mut Vec::new()).await;
                        note.down(format!("{:?}", read.map_err(|error| error.kind())));
                    }
                });
                world.network().latency(Latency::fixed(ms(10)));
                world.link_one_way("client", "server").reset(Ratio::ONE);
                weather(world);
                world.fault(crash("server").at(ms(1_500)).restart_after(ms(10)));
                if crashes == 2 {
                    world.fault(crash("server").at(ms(1_600)).restart_after(ms(10)));
                }
            });
            assert_eq!(outcome.verdict, Verdict::Pass, "{number}, {crashes} crashes");
            assert_eq!(take(&notes), noted(&[(told_ms, "Err(ConnectionReset)")]), "{number}, {crashes} crashes");
        }
    }
}

/// Closed connections, losses and crashes together, and nobody with a timeout.
#[test]
fn no_reader_hangs_whatever_crashes() {
    for seed in 0..60 {
        let outcome = run(&plan(seed), |world| {
            world.node("server", || async {
                let listener = TcpListener::bind("0.0.0.0:80").await.unwrap();
                loop {
                    let (mut stream, _) = listener.accept().await.unwrap();
                    spawn(async move {
                        let mut byte = [0];
                        if stream.read_exact(&mut byte).await.is_ok() {
                            let _ = stream.write_all(&[7; 100]).await;
                        }
                    });
                }
            });
            world.client("client", || async {
                for _ in 0..40 {
                    let Ok(mut stream) = TcpStream::connect("server:80").await else { continue };
                    if stream.write_all(&[1]).await.is_ok() {
                        let _ = stream.read_to_end(&mut Vec::new()).await;
                    }
                }
            });
            world.network().latency(Latency::uniform(ms(1), ms(10))).loss(percent(10));
            world.fault(crash("server").at(ms(300)).restart_after(ms(100)).every(ms(500)).times(8));
        });
        assert_eq!(outcome.verdict, Verdict::Pass, "seed {seed}");
    }
}

#[test]
fn no_connection_hangs_whatever_is_lost() {
    let mut late = 0;
    for seed in 0..40 {
        let notes = Notes::default();
        let weather = |world: &mut World| {
            world.network().latency(Latency::uniform(ms(1), ms(10))).loss(percent(30));
        };
        let outcome = run(&plan(seed), world(&notes, ask, weather));
        assert_eq!(outcome.verdict, Verdict::Pass, "seed {seed}");
        let notes = take(&notes);
        assert_eq!(notes.last().unwrap().1, "answered", "seed {seed}");
        late += usize::from(notes.last().unwrap().0 > 100);
        // All that came out otherwise than calm makes the same run again.
        let again = run(&plan(seed).only(&outcome.perturbations), world(&Notes::default(), ask, weather));
        assert_eq!(again.digest, outcome.digest, "seed {seed}");
        assert_eq!(again.unused_overrides, []);
        let counts = outcome.messages;
        assert_eq!(counts.sent, counts.delivered + counts.in_flight, "nothing is lost: seed {seed}");
    }
    assert!(late > 10, "{late}");
}

#[test]
fn how_often_segments_are_lost_is_as_the_link_says() {
    let client = |_: Note| async move {
        let mut stream = TcpStream::connect("server:80").await.unwrap();
        for _ in 0..2_000 {
            stream.write_all(b"x").await.unwrap();
        }
        // Until the last has come through.
        sleep(secs(100)).await;
    };
    let weather = |world: &mut World| {
        world.network().loss(percent(20));
    };
    let outcome = run(&plan(7), world(&Notes::default(), client, weather));
    let times = |so_many: u64| {
        let such = |event: &&squall_trace::OwnedEvent| matches!(event.kind, EventKind::Retransmit { times, .. } if times == so_many);
        outcome.trace.as_ref().unwrap().events.iter().filter(such).count()
    };
    let sent = outcome.messages.sent as usize;
    assert!(times(1).abs_diff(sent / 5) < sent / 25, "{} of {sent}", times(1));
    assert!(times(2).abs_diff(sent / 25) < sent / 60, "{} of {sent}", times(2));
}

#[test]
fn nobody_is_there() {
    let notes = Notes::default();
    let client = |note: Note| async move {
        let refused = TcpStream::connect("server:81").await.unwrap_err();
        note.down(format!("{:?}", refused.kind()));
        let unreachable = TcpStream::connect("192.0.2.7:80").await.unwrap_err();
        note.down(format!("{:?}", unreachable.kind()));
        let unknown = TcpStream::connect("nobody:80").await.unwrap_err();
        note.down(format!("{:?}", unknown.kind()));
    };
    run(&calm(), world(&notes, client, |_| {}));
    // A refusal takes a round trip.
    assert_eq!(take(&notes), noted(&[(20, "ConnectionRefused"), (20, "HostUnreachable"), (20, "NotFound")]));
}

#[test]
fn a_partition_makes_a_connection_wait_or_time_out() {
    // It heals in time: the request is sent again after 1 s, 3 s, 7 s.
    let cut_for = |lasts: u64| {
        move |world: &mut World| {
            world.fault(partition([["client"], ["server"]]).at(Duration::ZERO).lasts(secs(lasts)));
            world.fault(crash("server").at(secs(200)));
        }
    };
    let faulty = plan(1).only(&run(&plan(1), world(&Notes::default(), ask, cut_for(2))).perturbations);
    let notes = Notes::default();
    run(&faulty, world(&notes, ask, cut_for(2)));
    assert_eq!(take(&notes)[..2], noted(&[(3_020, "connected"), (3_030, "accepted")]));
    // 30 s are the limit: one more is too much.
    let notes = Notes::default();
    run(&plan(1), world(&notes, ask, cut_for(31)));
    assert_eq!(take(&notes), noted(&[(30_000, "client TimedOut")]));
}

#[test]
fn bytes_in_a_partition_wait_for_its_end() {
    let client = |note: Note| async move {
        let mut stream = TcpStream::connect("server:80").await.unwrap();
        sleep(ms(980)).await;
        // The partition stands.
        stream.write_all(b"ping").await.unwrap();
        let mut back = [0; 4];
        let read = stream.read_exact(&mut back).await;
        note.down(format!("client {:?}", read.map_err(|error| error.kind())));
    };
    let notes = Notes::default();
    let cut = |from: u64, lasts: u64| {
        move |world: &mut World| {
            world.fault(partition_one_way(["client"], ["server"]).at(ms(from)).lasts(ms(lasts)));
        }
    };
    let outcome = run(&plan(1), world(&notes, client, cut(500, 1_000)));
    let calmed = plan(1).only(
        &outcome.perturbations.iter().copied().filter(|one| one.site.kind == SiteKind::Fault).collect::<Vec<_>>(),
    );
    take(&notes);
    run(&calmed, world(&notes, client, cut(500, 1_000)));
    // Sent at 1,000 ms, and again 200, 400 and 800 ms after each other: at 1,600 ms the partition is over.
    assert_eq!(take(&notes)[1..], noted(&[(1_610, "ping"), (1_620, "client Ok(4)")]));
    // After a minute it is given up; whoever only reads isn't told.
    let long = run(&plan(1), world(&notes, client, cut(500, 100_000)));
    assert_eq!(long.verdict, Verdict::Pass);
    assert_eq!(take(&notes)[1..], noted(&[(61_000, "client Err(TimedOut)")]));
}

#[test]
fn a_crash_resets_what_is_connected() {
    let client = |note: Note| async move {
        let mut stream = TcpStream::connect("server:80").await.unwrap();
        let mut back = [0; 4];
        let read = stream.read_exact(&mut back).await;
        note.down(format!("client {:?}", read.map_err(|error| error.kind())));
        note.down(format!("{:?}", stream.write(b"x").await.map_err(|error| error.kind())));
        // It is down: nobody answers. Then it is up again.
        note.down(format!("{:?}", TcpStream::connect("server:80").await.map(|_| ()).map_err(|error| error.kind())));
    };
    let notes = Notes::default();
    let weather = |world: &mut World| {
        world.fault(crash("server").at(ms(100)).restart_after(secs(2)));
    };
    let plan = only_faults(&notes, client, weather);
    run(&plan, world(&notes, client, weather));
    // Asked again 1, 3 s later.
    let expected = [(110, "client Err(ConnectionReset)"), (110, "Err(BrokenPipe)"), (3_130, "Ok(())")];
    assert_eq!(take(&notes)[1..4], noted(&expected));
}

/// The plan with the world's faults and without any other weather.
fn only_faults<Fut: Future<Output = ()> + 'static>(
    notes: &Notes,
    client: impl Fn(Note) -> Fut + Clone + Send + 'static,
    weather: impl Fn(&mut World) + Send + 'static,
) -> Plan {
    let outcome = run(&plan(1), world(notes, client, weather));
    take(notes);
    let faults = outcome.perturbations.into_iter().filter(|one| one.site.kind == SiteKind::Fault);
    plan(1).only(&faults.collect::<Vec<_>>())
}

/// The connection of a node that crashed and is back is gone: who writes to it is told.
#[test]
fn a_restarted_node_knows_no_old_connections() {
    let client = |note: Note| async move {
        let mut stream = TcpStream::connect("server:80").await.unwrap();
        sleep(secs(5)).await;
        note.down(format!("{:?}", stream.write(b"x").await.map_err(|error| error.kind())));
        note.down(format!("{:?}", stream.read(&mut [0]).await.map_err(|error| error.kind())));
    };
    let notes = Notes::default();
    // What the crash would have told is cut off, and so the client learns it late.
    let weather = |world: &mut World| {
        world.fault(crash("server").at(ms(100)).restart_after(secs(1)));
    };
    let plan = only_faults(&notes, client, weather);
    run(&plan, world(&notes, client, weather));
    assert_eq!(take(&notes)[1..], noted(&[(5_020, "Err(ConnectionReset)"), (5_020, "Ok(0)")]));
}

/// Bytes that come to a closed end aren't told as if nobody had ever listened.
#[test]
fn what_comes_to_nobody_says_why() {
    let outcome = run(&calm(), |world| {
        world.node("server", || async {
            let listener = TcpListener::bind("0.0.0.0:80").await.unwrap();
            loop {
                drop(listener.accept().await.unwrap());
            }
        });
        world.client("client", || async {
            TcpStream::connect("server:81").await.unwrap_err();
            let mut stream = TcpStream::connect("server:80").await.unwrap();
            sleep(ms(50)).await;
            stream.write_all(b"late").await.unwrap();
            sleep(ms(50)).await;
        });
        world.network().latency(Latency::fixed(ms(10)));
    });
    assert_eq!(outcome.verdict, Verdict::Pass);
    let reasons = outcome.trace.unwrap().events.into_iter().filter_map(|event| match event.kind {
        EventKind::Lose { reason, .. } => Some(reason.to_string()),
        _ => None,
    });
    assert_eq!(reasons.collect::<Vec<_>>(), ["nothing listens there", "its connection is closed there"]);
}

#[test]
fn a_link_breaks_connections_at_both_ends() {
    let mut broken = 0;
    for seed in 0..30 {
        let notes = Notes::default();
        let weather = |world: &mut World| {
            world.network().reset(percent(30));
        };
        let outcome = run(&plan(seed), world(&notes, ask, weather));
        let notes = take(&notes);
        let resets: Vec<_> = outcome.perturbations.iter().filter(|one| one.site.kind == SiteKind::Reset).collect();
        let told: Vec<&str> = notes.iter().map(|(_, what)| what.as_str()).collect();
        match resets.as_slice() {
            [] => assert_eq!(told.last(), Some(&"answered"), "seed {seed}"),
            [one] => {
                assert!(told.contains(&"client ConnectionReset"), "seed {seed}: {told:?}");
                broken += 1;
                assert!(one.sentence(&outcome.names).ends_with(":80 breaks its connection"));
            }
            more => panic!("it is broken once: {more:?}"),
        }
        let again = run(&plan(seed).only(&outcome.perturbations), world(&Notes::default(), ask, weather));
        assert_eq!(again.digest, outcome.digest, "seed {seed}");
    }
    assert!((5..25).contains(&broken), "{broken}");
}

#[test]
fn connections_of_a_pair_are_reset_at_once() {
    let client = |note: Note| async move {
        let mut stream = TcpStream::connect("server:80").await.unwrap();
        note.down(format!("client {:?}", stream.read(&mut [0]).await.map_err(|error| error.kind())));
    };
    let notes = Notes::default();
    let weather = |world: &mut World| {
        world.fault(fault::reset("client", "serv*").at(ms(100)));
    };
    let outcome = run(&plan(1), world(&notes, client, weather));
    let notes_of_run = take(&notes);
    assert!(notes_of_run.contains(&(100, "client Err(ConnectionReset)".to_string())), "{notes_of_run:?}");
    assert!(notes_of_run.contains(&(100, "ConnectionReset".to_string())), "{notes_of_run:?}");
    let fault = outcome.perturbations.iter().find(|one| one.site.kind == SiteKind::Fault).unwrap();
    let sentence = fault.sentence(&outcome.names);
    assert_eq!(sentence, "the reset of connections of client and serv* at 100 ms happens");
}

/// A socket that is bound keeps its port until it is dropped or its node crashes; what a crash has left behind keeps nothing of a later boot.
#[test]
fn a_crash_gives_back_the_ports_of_bound_sockets() {
    let (notes, leaked) = (Notes::default(), Arc::new(Mutex::new(Vec::new())));
    let of_world = Arc::clone(&notes);
    let build = move |world: &mut World| {
        let (notes, leaked) = (Arc::clone(&of_world), Arc::clone(&leaked));
        world.node("server", move || {
            let (note, leaked) = (Note(Arc::clone(&notes), Instant::now()), Arc::clone(&leaked));
            async move {
                let bind = || {
                    let socket = TcpSocket::new_v4().unwrap();
                    socket.bind("0.0.0.0:80".parse().unwrap()).map(|()| socket)
                };
                let told = |socket: std::io::Result<TcpSocket>| match socket {
                    Ok(_) => "free".to_string(),
                    Err(error) => format!("{:?}", error.kind()),
                };
                let socket = bind();
                let first = if socket.is_ok() { "bound" } else { "not bound" };
                let before = std::mem::take(&mut *leaked.lock().unwrap());
                drop(before);
                note.down(format!("{first}, then {}", told(bind())));
                leaked.lock().unwrap().push(socket);
                sleep(secs(60)).await;
            }
        });
        world.client("client", || sleep(secs(2)));
        world.fault(crash("server").at(secs(1)).restart_after(ms(100)));
    };
    run(&plan(1), build);
    let expected = "bound, then AddrInUse";
    assert_eq!(take(&notes), noted(&[(0, expected), (0, expected)]));
}

/// Of the ports that are drawn all but two are kept by sockets: a listener and a connection get those, and then there is none.
#[test]
fn no_port_is_drawn_that_a_socket_keeps() {
    let notes = Notes::default();
    let of_world = Arc::clone(&notes);
    let build = move |world: &mut World| {
        let notes = Arc::clone(&of_world);
        world.client("client", move || {
            let note = Note(Arc::clone(&notes), Instant::now());
            async move {
                let server = TcpListener::bind("0.0.0.0:80").await.unwrap();
                let mut kept = Vec::new();
                for port in (49_152..=65_535).filter(|port| ![50_000, 60_000].contains(port)) {
                    let socket = TcpSocket::new_v4().unwrap();
                    socket.bind(SocketAddr::from(([127, 0, 0, 1], port))).unwrap();
                    kept.push(socket);
                }
                let listener = TcpListener::bind("0.0.0.0:0").await.unwrap();
                let client = TcpStream::connect(server.local_addr().unwrap()).await.unwrap();
                let mut ports = [listener.local_addr().unwrap().port(), client.local_addr().unwrap().port()];
                ports.sort_unstable();
                let none = TcpStream::connect("localhost:80").await.map_err(|error| error.kind());
                drop(kept);
                let again = TcpStream::connect("localhost:80").await.is_ok();
                note.down(format!("{ports:?}, {:?}, {again}", none.err()));
            }
        });
    };
    run(&calm(), build);
    assert_eq!(take(&notes)[0].1, "[50000, 60000], Some(AddrNotAvailable), true");
}

/// Not every machine has IPv6, so it isn't asked beside: its options are kept, multicast is refused, and a socket of IPv6 has a port of its own as well.
#[test]
fn sockets_of_ipv6_have_its_options() {
    let notes = Notes::default();
    let of_world = Arc::clone(&notes);
    let build = move |world: &mut World| {
        let notes = Arc::clone(&of_world);
        world.client("client", move || {
            let note = Note(Arc::clone(&notes), Instant::now());
            async move {
                let socket = TcpSocket::new_v6().unwrap();
                let before = socket.tclass_v6().unwrap();
                socket.set_tclass_v6(4).unwrap();
                socket.bind("[::1]:80".parse().unwrap()).unwrap();
                note.down(format!("{before}, {}, {}", socket.tclass_v6().unwrap(), socket.local_addr().unwrap()));
                let in_use = TcpListener::bind("[::1]:80").await.unwrap_err().kind();
                note.down(format!("{in_use:?}"));
                let datagrams = UdpSocket::bind("[::1]:0").await.unwrap();
                let before = (datagrams.tclass_v6().unwrap(), datagrams.multicast_loop_v6().unwrap());
                datagrams.set_tclass_v6(5).unwrap();
                datagrams.set_multicast_loop_v6(false).unwrap();
                let after = (datagrams.tclass_v6().unwrap(), datagrams.multicast_loop_v6().unwrap());
                note.down(format!("{before:?}, {after:?}"));
                let (v4, v6) = (std::net::Ipv4Addr::new(224, 0, 0, 1), "ff02::1".parse().unwrap());
                let refused = [
                    datagrams.join_multicast_v4(v4, v4),
                    datagrams.leave_multicast_v4(v4, v4),
                    datagrams.join_multicast_v6(&v6, 0),
                    datagrams.leave_multicast_v6(&v6, 0),
                ];
                note.down(format!("{:?}", refused.map(|refused| refused.unwrap_err().kind())));
            }
        });
    };
    run(&calm(), build);
    let expected = [
        (0, "0, 4, [::1]:80"),
        (0, "AddrInUse"),
        (0, "(0, true), (5, false)"),
        (0, "[Unsupported, Unsupported, Unsupported, Unsupported]"),
    ];
    assert_eq!(take(&notes), noted(&expected));
}

/// To who asks for a connection more than there is room for nothing is answered, until there is room.
#[test]
fn a_full_backlog_lets_wait() {
    let build = |world: &mut World| {
        world.node("server", || async {
            let socket = squall_engine::net::TcpSocket::new_v4().unwrap();
            socket.bind("0.0.0.0:80".parse().unwrap()).unwrap();
            let listener = socket.listen(1).unwrap();
            sleep(ms(500)).await;
            let mut accepted = Vec::new();
            loop {
                accepted.push(listener.accept().await.unwrap());
            }
        });
        for number in 0..3u64 {
            world.client(format!("client-{number}"), move || async move {
                sleep(ms(number)).await;
                let begin = Instant::now();
                let _stream = TcpStream::connect("server:80").await.unwrap();
                let took_ms = u64::try_from(begin.elapsed().as_millis()).unwrap();
                squall_engine::publish("took", took_ms);
            });
        }
        world.network().latency(Latency::fixed(ms(10)));
    };
    let outcome = run(&calm(), build);
    let took: Vec<String> = outcome
        .trace
        .unwrap()
        .events
        .iter()
        .filter_map(|event| match &event.kind {
            EventKind::Publish { value, .. } => Some(value.to_string()),
            _ => None,
        })
        .collect();
    // The third asks again a second after it has asked.
    assert_eq!(took, ["20", "20", "1020"]);
}

#[test]
fn a_window_is_as_large_as_the_world_says() {
    for window_bytes in [1u64, 100, 5_000] {
        let build = move |world: &mut World| {
            world.tcp(Tcp { window_bytes, ..Tcp::default() });
            world.node("server", || async {
                let listener = TcpListener::bind("0.0.0.0:80").await.unwrap();
                let (mut stream, _) = listener.accept().await.unwrap();
                sleep(secs(1)).await;
                let mut read = Vec::new();
                stream.read_to_end(&mut read).await.unwrap();
                squall_engine::publish("read", read.len());
            });
            world.client("client", move || async move {
                let mut stream = TcpStream::connect("server:80").await.unwrap();
                let written = stream.write(&[7; 10_000]).await.unwrap();
                assert_eq!(written as u64, window_bytes.min(10_000));
                // No more before the reader wakes up.
                let more = squall_engine::time::timeout(ms(900), stream.write(b"x")).await;
                assert!(more.is_err());
                stream.write_all(&vec![1; 300]).await.unwrap();
                stream.shutdown().await.unwrap();
                sleep(secs(20)).await;
            });
            world.network().latency(Latency::fixed(ms(10)));
        };
        let outcome = run(&plan(3), build);
        assert_eq!(outcome.verdict, Verdict::Pass, "{window_bytes}");
        let expected = (window_bytes + 300).to_string();
        let is_read = |event: &squall_trace::OwnedEvent| matches!(&event.kind, EventKind::Publish { value, .. } if *value == expected);
        assert!(outcome.trace.unwrap().events.iter().any(is_read), "{window_bytes}");
    }
}

/// Whoever writes all that it can is ahead of the reader by a window and no more, and gets on by what is read.
#[test]
fn what_is_unread_fits_in_the_window_at_all_times() {
    for window_bytes in [1, 5_000, Tcp::default().window_bytes] {
        // Who has read half a window tells so at once; of less than that it says nothing, or tells it when a packet is full.
        for (part, is_told) in [(2, true), (7, false)] {
            let reads_bytes = window_bytes.div_ceil(part);
            let build = move |world: &mut World| {
                world.tcp(Tcp { window_bytes, ..Tcp::default() });
                world.network().latency(Latency::fixed(ms(10)));
                let (written, read) = (Arc::new(Mutex::new(0)), Arc::new(Mutex::new(0)));
                let (written_so_far, read_so_far) = (Arc::clone(&written), Arc::clone(&read));
                world.node("writer", move || {
                    let (written, read) = (Arc::clone(&written), Arc::clone(&read_so_far));
                    async move {
                        let listener = TcpListener::bind("0.0.0.0:80").await.unwrap();
                        let (mut stream, _) = listener.accept().await.unwrap();
                        loop {
                            let bytes = stream.write(&[7; 3_000]).await.unwrap() as u64;
                            let mut written = written.lock().unwrap();
                            *written += bytes;
                            let unread = *written - *read.lock().unwrap();
                            assert!(unread <= window_bytes, "{unread} bytes are unread");
                        }
                    }
                });
                world.client("reader", move || {
                    let (written, read) = (Arc::clone(&written_so_far), Arc::clone(&read));
                    async move {
                        let mut stream = TcpStream::connect("writer:80").await.unwrap();
                        let mut buffer = vec![0; reads_bytes as usize];
                        for _ in 0..30 {
                            // Long enough for the writer to be told and for what it writes to come.
                            sleep(ms(100)).await;
                            let unread = *written.lock().unwrap() - *read.lock().unwrap();
                            assert!(!is_told || unread == window_bytes, "{unread} bytes are unread");
                            stream.read_exact(&mut buffer).await.unwrap();
                            *read.lock().unwrap() += reads_bytes;
                        }
                    }
                });
            };
            let outcome = run(&calm(), build);
            assert_eq!(outcome.verdict, Verdict::Pass, "a window of {window_bytes}, {reads_bytes} at a time");
        }
    }
}

/// TCP slows down to what a queue takes. That isn't simulated: what streams send waits in it, however long that is, and all of it comes as fast as the link is.
#[test]
fn what_streams_send_waits_in_a_queue_that_drops_messages() {
    let (connections, bytes) = (3u64, 1_000_000u64);
    let notes = Notes::default();
    let noting = Arc::clone(&notes);
    let outcome = run(&plan(1), move |world| {
        world.node("server", move || async move {
            let listener = TcpListener::bind("0.0.0.0:80").await.unwrap();
            let socket = UdpSocket::bind("0.0.0.0:53").await.unwrap();
            for _ in 0..connections {
                let (mut stream, _) = listener.accept().await.unwrap();
                spawn(async move {
                    let mut all = Vec::new();
                    stream.read_to_end(&mut all).await.unwrap();
                    stream.write_all(&(all.len() as u64).to_be_bytes()).await.unwrap();
                });
            }
            loop {
                socket.recv_from(&mut [0; 2_000]).await.unwrap();
            }
        });
        let notes = Arc::clone(&noting);
        world.client("client", move || {
            let note = Note(Arc::clone(&notes), Instant::now());
            async move {
                let mut tasks = Vec::new();
                for _ in 0..connections {
                    tasks.push(spawn(async move {
                        let mut stream = TcpStream::connect("server:80").await.unwrap();
                        stream.write_all(&vec![7; bytes as usize]).await.unwrap();
                        stream.shutdown().await.unwrap();
                        assert_eq!(stream.read_u64().await.unwrap(), bytes);
                    }));
                }
                for task in tasks {
                    task.await.unwrap();
                }
                note.down("streams");
                let socket = UdpSocket::bind("0.0.0.0:0").await.unwrap();
                for _ in 0..100 {
                    socket.send_to(&[7; 1_000], "server:53").await.unwrap();
                }
                sleep(secs(1)).await;
            }
        });
        world.network().latency(Latency::fixed(ms(10)));
        world.link("client", "server").bandwidth_bits_per_second(8_000_000).queue_bytes(16 * 1024);
    });
    assert_eq!(outcome.verdict, Verdict::Pass);
    // 3 MB by a megabyte a second.
    let took_ms = take(&notes)[0].0;
    assert!((3_000..3_200).contains(&took_ms), "{took_ms} ms");
    let dropped = outcome
        .trace
        .as_ref()
        .unwrap()
        .events
        .iter()
        .filter(|event| matches!(event.kind, EventKind::Lose { reason: squall_trace::LossReason::QueueFull, .. }));
    // Of a hundred datagrams those that there is no room for: nothing of a stream.
    let dropped = dropped.count();
    assert!((80..90).contains(&dropped), "{dropped}");
}

/// So that an end can be told from a reset, and both from bytes.
#[test]
fn ends_and_resets_are_named() {
    let labels = |resets: bool| {
        let outcome = run(&calm(), move |world| {
            world.node("server", || async {
                let listener = TcpListener::bind("0.0.0.0:80").await.unwrap();
                let (mut stream, _) = listener.accept().await.unwrap();
                let _ = stream.read_to_end(&mut Vec::new()).await;
            });
            world.client("client", move || async move {
                let mut stream = TcpStream::connect("server:80").await.unwrap();
                stream.write_all(b"bytes").await.unwrap();
                if resets {
                    stream.set_zero_linger().unwrap();
                }
                drop(stream);
                TcpStream::connect("server:81").await.unwrap_err();
            });
            world.network().latency(Latency::fixed(ms(10)));
        });
        let of_flow = |info: &squall_trace::FlowInfo| match &info.role {
            squall_trace::FlowRole::Segment(stream) => Some((stream.port, stream.is_back, stream.labels.clone())),
            _ => None,
        };
        let mut labels: Vec<_> = outcome.names.flows.values().filter_map(of_flow).collect();
        labels.sort();
        labels.into_iter().filter(|(.., labels)| !labels.is_empty()).collect::<Vec<_>>()
    };
    let named = |port: u16, is_back: bool, number: u64, label: &str| {
        (port, is_back, std::collections::BTreeMap::from([(number, label.to_string())]))
    };
    // The request, the end of the handshake, the bytes, and the last one; the server ends, too. Nobody listens at the other port.
    let refused = named(81, true, 1, "reset");
    assert_eq!(labels(false), [named(80, false, 4, "end"), named(80, true, 2, "end"), refused.clone()]);
    assert_eq!(labels(true), [named(80, false, 4, "reset"), refused]);
}

/// A waker of a program's own, as executors within tasks have it. It notes that it is woken.
#[derive(Default)]
struct Told(Mutex<u32>);

impl Told {
    fn times(&self) -> u32 {
        *self.0.lock().unwrap()
    }
}

impl Wake for Told {
    fn wake(self: Arc<Self>) {
        *self.0.lock().unwrap() += 1;
    }
}

/// Polls a hundred times, each time by another waker. How many of those are still known to somebody then.
async fn known_after(mut poll: impl FnMut(&mut Context<'_>)) -> usize {
    let wakers: Vec<Arc<Told>> = (0..100).map(|_| Arc::default()).collect();
    for told in &wakers {
        poll(&mut Context::from_waker(&Waker::from(Arc::clone(told))));
    }
    // What isn't needed is dropped outside of the engine's own code.
    sleep(ms(1)).await;
    wakers.iter().filter(|told| Arc::strong_count(told) > 1).count()
}

fn is_pending<T>(future: impl Future<Output = T>, context: &mut Context<'_>) {
    assert!(pin!(future).poll(context).is_pending());
}

/// Fills the window: what is written then waits.
async fn fill(stream: &TcpStream) {
    sleep(ms(50)).await;
    while stream.try_write(&[0; 1024]).is_ok() {}
}

/// Accepts a connection, and then says nothing for a while, and then a word.
async fn slow_speaker() {
    let listener = TcpListener::bind("0.0.0.0:80").await.unwrap();
    let (mut stream, _) = listener.accept().await.unwrap();
    sleep(secs(1)).await;
    stream.write_all(b"word").await.unwrap();
    std::future::pending().await
}

fn speaker(world: &mut World) {
    world.node("speaker", slow_speaker);
}

#[test]
fn nobody_is_kept_who_waits_no_more() {
    let notes = Notes::default();
    let client = |note: Note| async move {
        let listener = TcpListener::bind("0.0.0.0:90").await.unwrap();
        let mut stream = TcpStream::connect("speaker:80").await.unwrap();
        fill(&stream).await;
        // Futures that are dropped.
        let accepting = known_after(|context| is_pending(listener.accept(), context)).await;
        let readable = known_after(|context| is_pending(stream.readable(), context)).await;
        let peeking = known_after(|context| is_pending(stream.peek(&mut [0; 1]), context)).await;
        let writable = known_after(|context| is_pending(stream.writable(), context)).await;
        note.down(format!("dropped {:?}", [accepting, readable, peeking, writable]));
        // Of those who poll without a future, and of one future, the last one.
        let accepting = known_after(|context| assert!(listener.poll_accept(context).is_pending())).await;
        let readable = known_after(|context| assert!(stream.poll_read_ready(context).is_pending())).await;
        let writable = known_after(|context| assert!(stream.poll_write_ready(context).is_pending())).await;
        note.down(format!("polled {:?}", [accepting, readable, writable]));
        let mut accept = pin!(listener.accept());
        let accepting = known_after(|context| assert!(accept.as_mut().poll(context).is_pending())).await;
        let mut byte = [0; 1];
        let mut read = pin!(stream.read(&mut byte));
        let reading = known_after(|context| assert!(read.as_mut().poll(context).is_pending())).await;
        note.down(format!("kept {:?}", [accepting, reading]));
    };
    let outcome = run(&calm(), world(&notes, client, speaker));
    assert_eq!(outcome.verdict, Verdict::Pass);
    let seen: Vec<String> = take(&notes).into_iter().map(|(_, what)| what).collect();
    assert_eq!(seen, ["dropped [0, 0, 0, 0]", "polled [1, 1, 1]", "kept [1, 1]"]);
}

/// Futures have places of their own, beside whoever polls without one; who only tries, or is dropped, takes nobody's.
#[test]
fn all_who_wait_are_woken() {
    let notes = Notes::default();
    let client = |note: Note| async move {
        let stream = TcpStream::connect("speaker:80").await.unwrap();
        let told: [Arc<Told>; 5] = Default::default();
        let [polls, first, second, dropped, replaced] = told.each_ref().map(|told| Waker::from(Arc::clone(told)));
        assert!(stream.poll_read_ready(&mut Context::from_waker(&replaced)).is_pending());
        assert!(stream.poll_read_ready(&mut Context::from_waker(&polls)).is_pending());
        let (mut readable, mut byte) = (pin!(stream.readable()), [0; 1]);
        let mut peek = pin!(stream.peek(&mut byte));
        assert!(readable.as_mut().poll(&mut Context::from_waker(&first)).is_pending());
        assert!(peek.as_mut().poll(&mut Context::from_waker(&second)).is_pending());
        is_pending(stream.readable(), &mut Context::from_waker(&dropped));
        assert_eq!(stream.try_read(&mut [0; 1]).unwrap_err().kind(), std::io::ErrorKind::WouldBlock);
        sleep(secs(2)).await;
        note.down(format!("woken {:?}", told.map(|told| told.times())));
        readable.await.unwrap();
        assert_eq!(peek.await.unwrap(), 1);
        let mut word = [0; 4];
        assert_eq!(stream.try_read(&mut word).unwrap(), 4);
    };
    let outcome = run(&calm(), world(&notes, client, speaker));
    assert_eq!(outcome.verdict, Verdict::Pass);
    let seen: Vec<String> = take(&notes).into_iter().map(|(_, what)| what).collect();
    assert_eq!(seen, ["woken [1, 1, 1, 0, 0]"]);
}

fn all_of(address: impl ToSocketAddrs) -> std::io::Result<Vec<SocketAddr>> {
    address.to_socket_addrs()
}

#[test]
fn whatever_holds_several_addresses_gives_all_of_them() {
    let addresses: [SocketAddr; 2] = ["10.0.0.1:1".parse().unwrap(), "10.0.0.2:2".parse().unwrap()];
    let several = addresses.to_vec();
    let all = [all_of(addresses), all_of(&addresses[..]), all_of(&several), all_of(several)];
    assert!(all.into_iter().all(|given| given.unwrap() == addresses));
    assert_eq!(addresses.to_socket_addr().unwrap(), addresses[0]);
    assert_eq!("10.0.0.1:1".to_socket_addrs().unwrap(), addresses[..1]);
}

#[test]
fn rules_mean_segments_too() {
    let notes = Notes::default();
    let weather = |world: &mut World| {
        world.rule(rule::drop("client", "server").only(Messages::Segments).skip(2).times(1));
    };
    run(&calm_but_for_rules(), world(&notes, ask, weather));
    assert_eq!(take(&notes)[2..], noted(&[(230, "ping"), (240, "answered")]));
}

/// Each attempt is asked about anew, and counts.
#[test]
fn rules_mean_what_is_sent_again_too() {
    let notes = Notes::default();
    let dropped = |rule: rule::Rule| {
        let weather = move |world: &mut World| {
            world.rule(rule.clone());
        };
        let outcome = run(&calm_but_for_rules(), world(&notes, send_at_a_second, weather.clone()));
        let again = run(&plan(1).only(&outcome.perturbations), world(&Notes::default(), send_at_a_second, weather));
        assert_eq!((again.digest, again.unused_overrides), (outcome.digest, vec![]));
        attempts(&outcome, 3)
    };
    let bytes = || rule::drop("client", "server").only(Messages::Segments).at(ms(990));
    assert_eq!(dropped(bytes().times(2)), [(1_000, 1), (1_200, 2)]);
    assert_eq!(take(&notes)[1..], noted(&[(1_610, "ping"), (1_620, "client Ok(4)")]));
    assert_eq!(dropped(bytes().lasts(ms(300))), [(1_000, 1), (1_200, 2)]);
    assert_eq!(dropped(bytes().lasts(ms(200))), [(1_000, 1)]);
    take(&notes);
    assert_eq!(dropped(bytes()).len(), 16);
    assert_eq!(take(&notes)[1..], noted(&[(61_000, "client Err(TimedOut)")]));
}

/// A rule that flips bits counts what has some: the segments that begin a connection haven't.
#[test]
fn a_flipped_bit_is_one_of_the_bytes() {
    let notes = Notes::default();
    let weather = |world: &mut World| {
        world.rule(rule::corrupt("client", "server").only(Messages::Segments).times(1));
    };
    let outcome = run(&calm_but_for_rules(), world(&notes, send_at_a_second, weather));
    assert_eq!(attempts(&outcome, 3), [(1_000, 1)]);
    assert_eq!(take(&notes).last().unwrap(), &(1_220, "client Ok(4)".to_string()));
}

/// What a rule lets pass is neither lost nor reset, and how long it takes is the weather's business: calm, where nothing is perturbed.
#[test]
fn what_a_rule_lets_pass_takes_its_time() {
    let notes = Notes::default();
    let rough = |world: &mut World| {
        world.network().latency(Latency::uniform(ms(1), ms(30))).loss(percent(50)).reset(percent(50));
    };
    let passed = move |world: &mut World| {
        rough(world);
        world.rule(rule::pass("*", "*").only(Messages::Segments));
    };
    for seed in 0..10 {
        let outcome = run(&plan(seed), world(&notes, ask, passed));
        assert_eq!(take(&notes).last().unwrap().1, "answered", "seed {seed}");
        let is_decided = |kind| outcome.perturbations.iter().any(|one| one.site.kind == kind);
        assert!(!is_decided(SiteKind::Retransmission) && !is_decided(SiteKind::Reset), "{:?}", outcome.perturbations);
        assert!(is_decided(SiteKind::Latency), "seed {seed}");
        let again = run(&plan(seed).only(&outcome.perturbations), world(&Notes::default(), ask, passed));
        assert_eq!(again.digest, outcome.digest, "seed {seed}");
    }
    run(&calm(), world(&notes, ask, passed));
    let calm_passed = take(&notes);
    run(&calm(), world(&notes, ask, rough));
    assert_eq!(calm_passed, take(&notes));
}

/// A stream has no copies: a rule that makes some does nothing to it, and the weather goes on.
#[test]
fn a_rule_that_makes_copies_is_nothing_to_a_stream() {
    let notes = Notes::default();
    let rough = |world: &mut World| {
        world.network().loss(percent(30));
    };
    let copied = move |world: &mut World| {
        rough(world);
        world.rule(rule::duplicate("*", "*", ms(1)));
    };
    for seed in 0..10 {
        run(&plan(seed), world(&notes, ask, rough));
        let without = take(&notes);
        run(&plan(seed), world(&notes, ask, copied));
        assert_eq!(without, take(&notes), "seed {seed}");
    }
}

/// In a burst that doesn't end, no attempt gets through.
#[test]
fn a_burst_loses_all_attempts_that_come_in_it() {
    let client = |_: Note| async move {
        let mut stream = TcpStream::connect("server:80").await.unwrap();
        sleep(secs(1)).await;
        stream.write_all(b"x").await.unwrap();
        sleep(secs(30)).await;
    };
    // How often the segment with the byte is lost, of runs in which it is.
    let times = |bad: Duration| {
        let weather = move |world: &mut World| {
            world.network().bursts(Bursts { good: ms(200), bad, loss: Ratio::ONE });
        };
        let outcomes = (0..40).map(|seed| run(&plan(seed), world(&Notes::default(), client, weather)));
        outcomes.filter_map(|outcome| attempts(&outcome, 3).last().map(|(_, times)| *times)).collect::<Vec<_>>()
    };
    // 0.2, 0.6, 1.4, 3.0, 6.2, 11.2 ... seconds behind the first.
    let without_end = times(secs(3_600));
    assert!(without_end.len() > 5 && without_end.iter().all(|times| *times >= 6), "{without_end:?}");
    // At its next attempt a segment meets a burst as often as any does, in one of six.
    let short = times(ms(40));
    assert!(!short.is_empty() && short.iter().filter(|times| **times == 1).count() * 10 > short.len() * 6, "{short:?}");
}

/// Rules are decisions: they happen as the seed draws them.
fn calm_but_for_rules() -> Plan {
    let mut calm = calm();
    calm.bases = calm.bases.with(SiteKind::Rule, squall_trace::Base::Drawn);
    calm
}

#[test]
fn in_calm_weather_and_in_storms_runs_repeat_themselves() {
    let client = |note: Note| async move {
        for _ in 0..5 {
            ask(note.clone()).await;
            sleep(ms(300)).await;
        }
    };
    let weather = |world: &mut World| {
        world
            .network()
            .latency(Latency::uniform(ms(1), ms(30)))
            .loss(percent(10))
            .reset(percent(5))
            .duplicate(percent(5));
        world.network().corruption(percent(5)).bandwidth_bits_per_second(100_000);
        world.fault(partition([["client"], ["server"]]).at(ms(200)).lasts(ms(700)));
        world.fault(crash("server").at(ms(1_500)).restart_after(ms(300)));
        world.fault(fault::hold("client", "server").at(ms(1_000)).lasts(ms(200)));
        world.fault(fault::pause("server").at(ms(1_200)).lasts(ms(100)));
    };
    let mut digests = std::collections::BTreeSet::new();
    for seed in 0..25 {
        let outcome = run(&plan(seed), world(&Notes::default(), client, weather));
        assert_eq!(outcome.verdict, Verdict::Pass, "seed {seed}");
        digests.insert(outcome.digest.to_string());
        let counts = outcome.messages;
        assert_eq!(counts.sent + counts.duplicated, counts.delivered + counts.lost + counts.in_flight, "seed {seed}");
        let again = run(&plan(seed), world(&Notes::default(), client, weather));
        assert_eq!(again.digest, outcome.digest, "seed {seed}");
        let only = run(&plan(seed).only(&outcome.perturbations), world(&Notes::default(), client, weather));
        assert_eq!(only.digest, outcome.digest, "seed {seed}");
        assert_eq!(only.unused_overrides, [], "seed {seed}");
        for strategy in [StrategyChoice::Fifo, StrategyChoice::Random] {
            let mut other = plan(seed);
            other.strategy = strategy;
            let outcome = run(&other, world(&Notes::default(), client, weather));
            assert_eq!(outcome.verdict, Verdict::Pass, "seed {seed}");
        }
    }
    assert!(digests.len() > 20, "{}", digests.len());
}

/// Downloads that a partition cuts: what tells of a window is stopped, too, and comes later. Nothing of it is left for those who are sent later.
#[test]
fn what_tells_of_a_window_is_late_once() {
    const BYTES: usize = 400_000;
    for seed in 0..20 {
        let notes = Notes::default();
        let of_run = Arc::clone(&notes);
        let build = move |world: &mut World| {
            let notes = Arc::clone(&of_run);
            world.network().latency(Latency::uniform(ms(1), ms(10)));
            world.fault(partition([["server"], ["client"]]).at(ms(60)).lasts(secs(2)));
            world.node("server", || async {
                let listener = TcpListener::bind("0.0.0.0:80").await.unwrap();
                let (mut stream, _) = listener.accept().await.unwrap();
                stream.write_all(&[7; BYTES]).await.unwrap();
                stream.shutdown().await.unwrap();
                let mut asked = Vec::new();
                stream.read_to_end(&mut asked).await.unwrap();
                assert_eq!(asked.len(), 400);
                std::future::pending::<()>().await;
            });
            world.client("client", move || {
                let notes = Arc::clone(&notes);
                async move {
                    let mut stream = TcpStream::connect("server:80").await.unwrap();
                    let (mut read, mut buffer) = (0, [0; 4_096]);
                    loop {
                        match stream.read(&mut buffer).await.unwrap() {
                            0 => break,
                            bytes => read += bytes,
                        }
                        sleep(Duration::from_micros(500)).await;
                    }
                    assert_eq!(read, BYTES);
                    // Alone on its way, and on a link that loses nothing.
                    for _ in 0..20 {
                        stream.write_all(&[1; 20]).await.unwrap();
                        sleep(ms(50)).await;
                    }
                    stream.shutdown().await.unwrap();
                    notes.lock().unwrap().push((0, "done".to_string()));
                }
            });
        };
        let outcome = run(&plan(seed), build);
        assert_eq!(outcome.verdict, Verdict::Pass, "{seed}");
        assert_eq!(take(&notes).len(), 1, "{seed}");
        let late = outcome.perturbations.iter().filter(|one| one.site.kind == SiteKind::Loss).count();
        assert_eq!(late, 0, "{seed}");
    }
}

/// Whoever has read less than half a window, and waits for what comes of it, isn't waited for.
#[test]
fn a_writer_is_told_of_the_room_that_there_is() {
    for (reads_bytes, before_it_is_full, goes_on) in [
        (30_000, false, true),
        (30_000, true, true),
        (1_460, false, true),
        (1_460, true, true),
        (1_459, false, false),
        (1_459, true, false),
    ] {
        let build = move |world: &mut World| {
            world.network().latency(Latency::fixed(ms(10)));
            world.node("server", move || async move {
                let listener = TcpListener::bind("0.0.0.0:80").await.unwrap();
                let (mut stream, _) = listener.accept().await.unwrap();
                if !before_it_is_full {
                    sleep(secs(1)).await;
                }
                stream.read_exact(&mut vec![0; reads_bytes]).await.unwrap();
                std::future::pending::<()>().await;
            });
            world.client("client", move || async move {
                let mut stream = TcpStream::connect("server:80").await.unwrap();
                stream.write_all(&vec![7; reads_bytes]).await.unwrap();
                sleep(ms(500)).await;
                let rest = vec![7; 65_536];
                let written = squall_engine::time::timeout(secs(10), stream.write_all(&rest)).await;
                assert_eq!(written.is_ok(), goes_on, "{reads_bytes} {before_it_is_full}");
            });
        };
        let outcome = run(&plan(1), build);
        assert_eq!(outcome.verdict, Verdict::Pass, "{reads_bytes} {before_it_is_full}");
    }
}

/// Who had asked a listener that is closed is refused by it, and isn't accepted by another one that has its port since.
#[test]
fn a_new_listener_accepts_nobody_who_asked_an_old_one() {
    for (closes_at_ms, is_reset) in [(15, true), (45, false)] {
        let build = move |world: &mut World| {
            world.network().latency(Latency::fixed(ms(10)));
            world.node("server", move || async move {
                let listener = TcpListener::bind("0.0.0.0:80").await.unwrap();
                let kept = if is_reset { None } else { Some(listener.accept().await.unwrap()) };
                sleep(ms(closes_at_ms)).await;
                drop(listener);
                let listener = TcpListener::bind("0.0.0.0:80").await.unwrap();
                let accepted = squall_engine::time::timeout(secs(5), listener.accept()).await;
                assert!(accepted.is_err(), "nobody asked this one");
                drop(kept);
            });
            world.client("client", move || async move {
                let mut stream = TcpStream::connect("server:80").await.unwrap();
                let read = stream.read(&mut [0]).await;
                assert_eq!(read.is_err(), is_reset, "{read:?}");
            });
        };
        let outcome = run(&plan(1), build);
        assert_eq!(outcome.verdict, Verdict::Pass, "{closes_at_ms}");
    }
}
