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
    assert!(
        told.stdout.starts_with("linearizable as kv: NO (") && told.stdout.contains("c01-bad.jsonl, 38 operations,"),
        "{}",
        told.stdout
    );
    assert!(
        told.stdout.contains("key \"7\": nothing goes on at\n  process 0: get \"7\" -> \"x 0 0 y\""),
        "{}",
        told.stdout
    );
    // From standard input as well.
    let mut command = place.command(&["check", "--model", "kv", "-"]);
    command.stdin(std::fs::File::open(history_file("c01-ok")).expect("a file"));
    let finished = place::Finished::of(&command.output().expect("it starts")).expect(0);
    assert!(finished.stdout.starts_with("linearizable as kv: YES (-, 58 operations, "), "{}", finished.stdout);
}

/// A write skew: there is no order of it, and weaker levels allow it.
#[test]
fn transactions_are_judged_at_the_level_that_is_asked_for() {
    let place = Place::new();
    let line = |process: u64, kind: &str, read: &str, list: &str, appended: &str| {
        format!(
            "{{\"process\":{process},\"type\":\"{kind}\",\"f\":\"txn\",\
             \"value\":[[\"r\",\"{read}\",{list}],[\"append\",\"{appended}\",1]]}}\n"
        )
    };
    let skew = line(1, "invoke", "x", "null", "y")
        + &line(2, "invoke", "y", "null", "x")
        + &line(1, "ok", "x", "[]", "y")
        + &line(2, "ok", "y", "null", "x");
    place.write("skew.jsonl", &skew);
    let check = ["check", "--model", "list-append", "skew.jsonl"];
    let at = |level: &str, code: i32| place.squall(&[&check[..], &["--consistency", level]].concat()).expect(code);
    for (level, code) in [("read-committed", 0), ("snapshot-isolation", 0), ("serializable", 100)] {
        let told = at(level, code).stdout;
        assert!(
            told.starts_with(&format!("{level}: {} (skew.jsonl, 2 operations, ", if code == 0 { "YES" } else { "NO" })),
            "{told}"
        );
        assert_eq!(told.contains("\nG2:\n  T1 read \"x\" before T2 appended to it (rw)"), code == 100, "{told}");
    }
    let summary = place.json(&check).expect(100).summary();
    assert!(summary["message"].as_str().is_some_and(|said| said.starts_with("G2:")), "{summary}");
    // A level that there isn't, and one of what has none.
    let wrong = at("serialisable", 2).stderr;
    assert!(wrong.contains("there is no level \"serialisable\"; there are read-uncommitted"), "{wrong}");
    let kv = history_file("c01-ok");
    let wrong = place.squall(&["check", "--model", "kv", &kv, "--consistency", "serializable"]).expect(2).stderr;
    assert!(wrong.contains("--consistency is of transactions"), "{wrong}");
    place.squall(&["check", "--model", "list-append", &kv]).expect(2);
    // Nothing is searched for.
    for model in ["list-append", "monotonic-reads"] {
        let wrong = place.squall(&["check", "--model", model, "skew.jsonl", "--steps", "9"]).expect(2).stderr;
        assert!(wrong.contains("--steps is of the search"), "{wrong}");
    }
}

/// A register that is copied: each client by itself goes on, but for the one that asks another copy.
#[test]
fn sessions_are_judged() {
    let place = Place::new();
    let line = |process: u64, f: &str, value: &str| {
        ["invoke", "ok"].map(|kind| {
            let value = if kind == "invoke" && f == "read" { "null" } else { value };
            format!("{{\"process\":{process},\"type\":\"{kind}\",\"f\":\"{f}\",\"value\":{value}}}\n")
        })
    };
    let all = [line(1, "write", "7"), line(2, "read", "7"), line(2, "read", "null")];
    place.write("stale.jsonl", &all.concat().concat());
    let check = |model: &str, code: i32| place.squall(&["check", "--model", model, "stale.jsonl"]).expect(code).stdout;
    assert!(check("read-your-writes", 0).starts_with("read-your-writes: YES (stale.jsonl, 3 operations, "));
    let told = check("monotonic-reads", 100);
    assert!(
        told.contains("none of these goes back:\n  process 2: read -> 7 (lines 3 to 4)\n  process 2: read -> null"),
        "{told}"
    );
}

#[test]
fn what_judges_nothing_is_unknown() {
    let place = Place::new();
    place.write("empty.jsonl", "");
    place.write(
        "failed.jsonl",
        "{\"process\":1,\"type\":\"invoke\",\"f\":\"read\"}\n{\"process\":1,\"type\":\"fail\",\"f\":\"read\"}\n",
    );
    place.write("open.jsonl", "{\"process\":1,\"type\":\"invoke\",\"f\":\"write\",\"value\":1}\n");
    for file in ["empty.jsonl", "failed.jsonl", "open.jsonl"] {
        let summary = place.json(&["check", "--model", "register", file]).expect(120).summary();
        assert_eq!(summary["verdict"], "unknown");
    }
    // The budget that it takes, and one step less.
    let file = history_file("c10-ok");
    let steps = place.json(&["check", "--model", "kv", &file]).expect(0).summary()["steps"].as_u64().expect("a number");
    place.squall(&["check", "--model", "kv", &file, "--steps", &(steps + 1).to_string()]).expect(0);
    let cut = place.squall(&["check", "--model", "kv", &file, "--steps", &(steps / 2).to_string()]).expect(120);
    assert!(
        cut.stdout.starts_with("linearizable as kv: UNKNOWN (") && cut.stdout.contains("was given up after"),
        "{}",
        cut.stdout
    );
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
        (invoke.replace("write", "incr"), "line 1: there is no operation \"incr\""),
        // Empty lines count, and so does what did not happen.
        (format!("\n\n{}\n{}", invoke.replace("write", "incr"), ok.replace("write", "incr")), "line 5: there is no"),
        (
            format!(
                "\n{invoke}{ok}{}{}",
                invoke.replace("write", "incr"),
                invoke.replace("\"invoke\",\"f\":\"write", "\"fail\",\"f\":\"incr")
            ),
            "line 4: there is no operation \"incr\"",
        ),
        (format!("\n{invoke}\n{invoke}"), "line 4: process 1 invokes again, while its operation of line 2 is open"),
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

/// A register that is copied to another node, where its copy is read: it is stale at times. The same verdict comes from the run, and from the
/// history that the run leaves.
#[test]
fn what_clients_of_a_run_record_is_judged() {
    let place = Place::new();
    let file = place.scenario("copying", "check = { linearizable = \"register\" }\n");
    let listed = place.json(&["list", &file]).expect(0).summary();
    assert_eq!(listed["scenarios"][0]["properties"][0], "linearizable");
    place.squall(&["explore", &file, "--set", "args.copied=false"]).expect(0);
    let summary = place.json(&["explore", &file]).expect(100).summary();
    let failures = summary["failures"].as_array().expect("a list");
    assert!(failures.iter().all(|failure| failure["property"] == "linearizable"), "{summary}");
    let saved = failures[0]["file"].as_str().expect("a path");
    let perturbations = failures[0]["perturbations"].as_u64().expect("a number");
    assert!(perturbations <= 3, "{summary}");
    let replayed = place.squall(&["replay", saved, "--history", "saved.jsonl"]).expect(100);
    assert!(
        replayed.stdout.contains("nothing goes on at\n") && replayed.stdout.contains(": read -> "),
        "{}",
        replayed.stdout
    );
    place.squall(&["check", "--model", "register", "saved.jsonl"]).expect(100);
    let (mut good, mut unknown_outcomes) = (0, 0);
    for seed in 0..20 {
        let run = place.squall(&["run", &file, "--seed", &seed.to_string(), "--history", "run.jsonl"]);
        let checked = place.squall(&["check", "--model", "register", "run.jsonl"]);
        assert_eq!(run.code, checked.code, "seed {seed}: {}{}", run.stdout, checked.stdout);
        good += usize::from(run.code == 0);
        let text = std::fs::read_to_string(place.path("run.jsonl")).expect("a file");
        unknown_outcomes += text.matches("\"type\":\"info\"").count();
        assert!(text.lines().all(|line| line.contains("\"time\":")), "{text}");
    }
    assert!((1..20).contains(&good) && unknown_outcomes > 0, "{good}, {unknown_outcomes}");
    // Where nothing can be written nothing is run; a model that there isn't is a mistake, and so is to judge twice.
    let finished = place.squall(&["run", &file, "--history", "no/such/place.jsonl"]).expect(1);
    assert!(
        finished.stdout.is_empty() && finished.stderr.contains("no/such/place.jsonl can't be written"),
        "{finished:?}"
    );
    // Who writes reads nothing, and who reads meets copies that others have overtaken.
    for (guarantee, codes) in [("read-your-writes", &[0][..]), ("monotonic-reads", &[0, 100])] {
        let link = "from = \"first\", to = \"second\", latency = { uniform = [\"1ms\", \"40ms\"] }";
        let file = place.scenario("copying", &format!("check.session = \"{guarantee}\"\nlink = [{{ {link} }}]\n"));
        assert_eq!(place.json(&["list", &file]).expect(0).summary()["scenarios"][0]["properties"][0], guarantee);
        let mut met: Vec<i32> =
            (0..40).map(|seed| place.squall(&["run", &file, "--seed", &seed.to_string()]).code).collect();
        met.sort_unstable();
        met.dedup();
        assert_eq!(met, codes, "{guarantee}");
    }
    let file = place.scenario("copying", "check = { transactions = \"serializable\" }\n");
    let unknown = place.squall(&["run", &file]).expect(120);
    assert!(unknown.stdout.contains("is no transaction: expected \"txn\""), "{unknown:?}");
    let file = place.scenario("copying", "check = { linearizable = \"registre\" }\n");
    let finished = place.squall(&["run", &file]).expect(2);
    assert!(
        finished.stderr.contains("there is no model \"registre\"") && finished.stderr.contains("register"),
        "{finished:?}"
    );
    let file = place.scenario("calm", "check = { linearizable = \"register\" }\n");
    place.squall(&["run", &file]).expect(120);
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
    // Nor is it known of operations of another model.
    let simulation = Simulation::new(|world: &mut World| {
        world.client("appending", || async { Client::new().invoke("append", "x").ok(()) });
        world.check(linearizable(Register));
    });
    let verdict = simulation.run_plan(&Plan::seeded("appending", Seed(1)), Record::Digest).verdict;
    let said = "the history is wrong: event 2: there is no operation \"append\"; there are read, write";
    assert!(matches!(&verdict, Verdict::Unknown { message } if message.contains(said)), "{verdict:?}");
    // What can't be a history breaks the claim.
    let simulation = Simulation::new(|world: &mut World| {
        world.client("odd", || async { squall::publish("history", 7) });
        world.check(linearizable(Register));
    });
    let verdict = simulation.run_plan(&Plan::seeded("odd", Seed(1)), Record::Digest).verdict;
    assert_eq!(verdict.property(), Some("linearizable"));
}

/// A helper that makes a client each time, and is cancelled: whoever goes on in its task is another process.
#[test]
fn a_client_that_is_made_anew_goes_on_as_another_process() {
    async fn write(value: i64, takes: std::time::Duration) {
        let mut client = Client::new();
        let open = client.invoke("write", value);
        squall::time::sleep(takes).await;
        open.ok(value);
    }
    let outcome = Simulation::new(|world: &mut World| {
        world.client("client", || async {
            write(1, 1.ms()).await;
            for value in [2, 3] {
                let cancelled = squall::time::timeout(5.ms(), write(value, 10.ms())).await;
                assert!(cancelled.is_err());
            }
            Client::new().invoke("read", ()).ok(3);
            Client::numbered(1).invoke("read", ()).ok(3);
        });
        world.check(linearizable(Register));
    })
    .run_plan(&Plan::seeded("anew", Seed(1)), Record::Full);
    assert_eq!(outcome.verdict, Verdict::Pass);
    let events = of_trace(outcome.trace.as_ref().unwrap()).unwrap();
    let processes: Vec<u64> = events.iter().map(|event| event.process).collect();
    // The first goes on until its operation is cancelled.
    assert_eq!(processes, [0, 0, 0, 0, 1, 1, 2, 2, 3, 3]);
}

#[test]
fn two_operations_of_one_client_at_a_time_are_refused_with_its_name() {
    let both = |second: u64| {
        let outcome = Simulation::new(move |world: &mut World| {
            world.client("client", move || async move {
                let (mut one, mut other) = (Client::new(), Client::numbered(second));
                let write = one.invoke("write", 7);
                other.invoke("read", ()).ok(7);
                write.ok(7);
            });
            world.check(linearizable(Register));
        })
        .run_plan(&Plan::seeded("both", Seed(1)), Record::Digest);
        outcome.verdict
    };
    assert_eq!(both(1), Verdict::Pass);
    let Verdict::Fail(failure) = both(0) else { panic!("it is no history") };
    assert_eq!(failure.property, "panic");
    assert!(
        failure.message.contains("the client client/") && failure.message.contains("`Client::numbered`"),
        "{failure:?}"
    );
}

#[test]
fn an_operation_of_a_run_is_told_with_its_client_and_its_times() {
    let outcome = Simulation::new(|world: &mut World| {
        world.client("writer", || async {
            let mut client = Client::new();
            let open = client.invoke("write", 7);
            squall::time::sleep(2.ms()).await;
            open.ok(7);
            let given_up = client.invoke("write", 8);
            squall::time::sleep(1.ms()).await;
            given_up.info();
        });
        world.client("reader", || async {
            squall::time::sleep(3.ms()).await;
            let mut client = Client::new();
            for read in [8, 9] {
                let open = client.invoke("read", ());
                squall::time::sleep(1.ms()).await;
                open.ok(read);
            }
        });
        world.check(linearizable(Register));
    })
    .run_plan(&Plan::seeded("told", Seed(1)), Record::Digest);
    let Verdict::Fail(failure) = outcome.verdict else { panic!("nobody wrote that") };
    for told in [
        "nothing goes on at\n  process 1 (reader): read -> 9 (4 ms to 5 ms)\n",
        "  process 0 (writer): write 7 (0 ns to 2 ms)\n",
        "  process 0 (writer): write 8 -> unknown (from 2 ms on)\n",
    ] {
        assert!(failure.message.contains(told), "{}", failure.message);
    }
}
