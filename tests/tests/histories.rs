//! Histories on the command line, and those that runs record.

mod place;

use place::Place;
use squall::check::models::Register;
use squall::check::property::{linearizable, of_trace};
use squall::history::Client;
use squall::prelude::*;
use squall::trace::{Plan, Record, Seed, Verdict};
use squall::{Simulation, World};

fn history_file(name: &str) -> String {
    format!("{}/data/histories/{name}.jsonl", env!("CARGO_MANIFEST_DIR"))
}

#[test]
fn a_history_from_anywhere_is_judged() {
    let place = Place::new();
    for (name, code, verdict) in [("c10-ok", 0, "pass"), ("c10-bad", 100, "fail")] {
        let finished = place.json(&["check", "--model", "kv", &history_file(name)]).expect(code);
        let summary = finished.summary();
        assert_eq!((&summary["event"], &summary["verdict"]), (&"check-finished".into(), &verdict.into()));
        let lines = std::fs::read_to_string(history_file(name)).expect("a file");
        let invoked = lines.lines().filter(|line| line.contains("\"invoke\"")).count();
        assert_eq!(summary["ops"].as_u64(), Some(invoked as u64));
        assert!(summary["steps"].as_u64().is_some_and(|steps| steps > 0) && summary["seconds"].is_number());
        assert_eq!(summary.get("message").is_some(), code == 100);
    }
    let told = place.squall(&["check", "--model", "kv", &history_file("c01-bad")]).expect(100);
    assert!(told.stdout.starts_with("NOT LINEARIZABLE: 38 operations of"), "{}", told.stdout);
    assert!(
        told.stdout.contains("key \"7\": nothing goes on at\n  process 0: get \"7\" -> \"x 0 0 y\""),
        "{}",
        told.stdout
    );
    // From standard input as well.
    let mut command = place.command(&["check", "--model", "kv", "-"]);
    command.stdin(std::fs::File::open(history_file("c01-ok")).expect("a file"));
    let finished = place::Finished::of(&command.output().expect("it starts")).expect(0);
    assert!(finished.stdout.starts_with("linearizable: 58 operations"), "{}", finished.stdout);
}

#[test]
fn what_judges_nothing_is_unknown() {
    let place = Place::new();
    place.write("empty.jsonl", "");
    place.write(
        "failed.jsonl",
        "{\"process\":1,\"type\":\"invoke\",\"f\":\"read\"}\n{\"process\":1,\"type\":\"fail\",\"f\":\"read\"}\n",
    );
    for file in ["empty.jsonl", "failed.jsonl"] {
        let summary = place.json(&["check", "--model", "register", file]).expect(120).summary();
        assert_eq!(summary["verdict"], "unknown");
    }
    // The budget that it takes, and one step less.
    let file = history_file("c10-ok");
    let steps = place.json(&["check", "--model", "kv", &file]).expect(0).summary()["steps"].as_u64().expect("a number");
    place.squall(&["check", "--model", "kv", &file, "--steps", &(steps + 1).to_string()]).expect(0);
    let cut = place.squall(&["check", "--model", "kv", &file, "--steps", &(steps / 2).to_string()]).expect(120);
    assert!(cut.stdout.starts_with("UNKNOWN: ") && cut.stdout.contains("was given up after"), "{}", cut.stdout);
}

#[test]
fn a_wrong_history_is_told_with_its_line() {
    let place = Place::new();
    let invoke = "{\"process\":1,\"type\":\"invoke\",\"f\":\"write\",\"value\":1,\"time\":5}\n";
    let ok = invoke.replace("invoke", "ok");
    for (text, expected) in [
        (ok.clone(), "line 1: `ok` of process 1, which has no operation open"),
        (format!("{invoke}{invoke}"), "line 2: process 1 invokes again"),
        (format!("{invoke}{}{invoke}", invoke.replace("invoke", "info")), "line 3: process 1 invokes after its `info`"),
        (format!("{invoke}{}", ok.replace(":5", ":4")), "line 2: its time is 4"),
        (format!("{invoke}{}", &ok[..30]), "line 2: EOF"),
        (invoke.replace("write", "incr"), "event 1: there is no operation \"incr\""),
    ] {
        place.write("wrong.jsonl", &text);
        let finished = place.squall(&["check", "--model", "register", "wrong.jsonl"]).expect(2);
        let said = finished.stderr.split_whitespace().filter(|word| *word != "│").collect::<Vec<_>>().join(" ");
        assert!(said.contains("wrong.jsonl") && said.contains(expected), "{text}{}", finished.stderr);
        assert!(finished.stdout.is_empty());
    }
    place.squall(&["check", "--model", "register", "nowhere.jsonl"]).expect(2);
    place.squall(&["check", "--model", "registre", "wrong.jsonl"]).expect(2);
}

/// A register that one of two nodes keeps, and the other knows of late: what is read there is stale.
fn register(world: &mut World, reads_elsewhere: bool) {
    use squall::net::Endpoint;
    for (name, other) in [("first", "second:80"), ("second", "first:80")] {
        world.node(name, move || async move {
            let endpoint = std::rc::Rc::new(Endpoint::bind("0.0.0.0:80").await?);
            let value = std::rc::Rc::new(std::cell::Cell::new(0));
            let (copies, copied) = (std::rc::Rc::clone(&endpoint), std::rc::Rc::clone(&value));
            squall::task::spawn_local(async move {
                let mut copy = [0];
                while copies.recv_from(3, &mut copy).await.is_ok() {
                    copied.set(copy[0]);
                }
            });
            let mut asked = [0];
            while let Ok((_, from)) = endpoint.recv_from(1, &mut asked).await {
                if asked[0] > 0 {
                    value.set(asked[0]);
                    endpoint.send_to(other, 3, &asked).await?;
                }
                endpoint.send_to(from, 2, &[value.get()]).await?;
            }
            Ok::<(), std::io::Error>(())
        });
    }
    world.clients("client", 2, move |number| async move {
        let endpoint = Endpoint::bind("0.0.0.0:0").await?;
        let mut client = Client::new();
        for round in 1..=5_u8 {
            let writes = number == 0;
            let value = if writes { round } else { 0 };
            let store = if writes || !reads_elsewhere { "first:80" } else { "second:80" };
            let open = if writes { client.invoke("write", value) } else { client.invoke("read", ()) };
            endpoint.send_to(store, 1, &[value]).await?;
            let mut answer = [0];
            match squall::time::timeout(40.ms(), endpoint.recv_from(2, &mut answer)).await {
                Err(_) => open.info(),
                Ok(_) if writes => open.ok(value),
                Ok(_) if answer[0] == 0 => open.ok(()),
                Ok(_) => open.ok(answer[0]),
            }
        }
        Ok::<(), std::io::Error>(())
    });
    world.network().latency(uniform(1.ms(), 10.ms())).loss(percent(3));
    world.check(linearizable(Register));
}

#[test]
fn what_clients_of_a_run_record_is_judged() {
    for (reads_elsewhere, some_fail) in [(false, false), (true, true)] {
        let simulation = Simulation::new(move |world: &mut World| register(world, reads_elsewhere));
        let (mut failed, mut unknown_outcomes) = (0, 0);
        for seed in 0..60 {
            let outcome = simulation.run_plan(&Plan::seeded("register", Seed(seed)), Record::Full);
            let events = of_trace(&outcome.trace.expect("a full record")).expect("a history");
            assert!(events.len() > 10 && events.windows(2).all(|pair| pair[0].time <= pair[1].time));
            unknown_outcomes += events.iter().filter(|event| event.kind.to_string() == "info").count();
            match outcome.verdict {
                Verdict::Pass => {}
                Verdict::Fail(failure) => {
                    assert_eq!(failure.property, "linearizable");
                    assert!(failure.message.contains(": read -> "), "{}", failure.message);
                    failed += 1;
                }
                Verdict::Unknown { message } => panic!("{message}"),
            }
        }
        assert_eq!(failed > 0, some_fail, "{failed} failed");
        assert!(unknown_outcomes > 0, "nothing was lost");
    }
}

/// A client that is cut off in the middle leaves its operation open, whatever cuts it off; who goes on is another process.
#[test]
fn what_is_cut_off_is_of_unknown_outcome() {
    let simulation = Simulation::new(|world: &mut World| {
        world.client("cancelled", || async {
            let mut client = Client::new();
            let asks = async {
                let _open = client.invoke("write", 1);
                squall::time::sleep(1.secs()).await;
            };
            squall::time::timeout(10.ms(), asks).await.unwrap_err();
            client.invoke("write", 2).ok(2);
        });
        world.client("crashed", || async {
            let mut client = Client::new();
            let open = client.invoke("write", 3);
            squall::time::sleep(20.ms()).await;
            open.ok(3);
        });
        world.fault(squall::crash("crashed").at(5.ms()).restart_after(5.ms()));
        world.check(linearizable(Register));
    });
    let outcome = simulation.run_plan(&Plan::seeded("cut", Seed(1)), Record::Full);
    assert_eq!(outcome.verdict, Verdict::Pass);
    let events = of_trace(&outcome.trace.expect("a full record")).expect("a history");
    let mut of_processes = std::collections::BTreeMap::<u64, Vec<String>>::new();
    for event in &events {
        of_processes.entry(event.process).or_default().push(format!("{} {}", event.kind, event.value));
    }
    let mut said: Vec<Vec<String>> = of_processes.into_values().collect();
    said.sort();
    let expected: [&[&str]; 4] =
        [&["invoke 1", "info null"], &["invoke 2", "ok 2"], &["invoke 3"], &["invoke 3", "ok 3"]];
    assert_eq!(said, expected);
}

#[test]
fn a_run_without_operations_is_unknown() {
    let simulation = Simulation::new(|world: &mut World| {
        world.client("idle", || async {});
        world.check(linearizable(Register));
    });
    let verdict = simulation.run_plan(&Plan::seeded("idle", Seed(1)), Record::Digest).verdict;
    assert!(matches!(&verdict, Verdict::Unknown { message } if message.contains("nothing to judge")), "{verdict:?}");
    // What can't be a history breaks the claim.
    let simulation = Simulation::new(|world: &mut World| {
        world.client("odd", || async { squall::publish("history", 7) });
        world.check(linearizable(Register));
    });
    let verdict = simulation.run_plan(&Plan::seeded("odd", Seed(1)), Record::Digest).verdict;
    assert_eq!(verdict.property(), Some("linearizable"));
}
