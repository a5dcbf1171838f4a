//! What survives an upgrade: a saved failure speaks of messages by who sends them to whom and by what they say, so that what
//! is added elsewhere in a program leaves it alone.

use squall::net::Endpoint;
use squall::prelude::*;
use squall::time::{sleep, timeout};
use squall::trace::{Outcome, Plan, Record, Seed};
use squall::{Simulation, World, publish};
use squall_campaign::failure_file::{FailureFile, Origin};
use squall_campaign::shrink::{Runs, shrink};

/// What was added to the program since its failure was saved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Edit {
    Nothing,
    /// `log::debug!`, in the middle of all.
    LogLine,
    /// A fact that a property might look at.
    Publish,
    /// A node that is declared before all others, so that every node's number is another one.
    NodeBefore,
    /// A task of the bank's, spawned before anything else.
    SpawnInBank,
    /// A task of the client's, which sends messages of its own to the bank, under a tag of its own.
    MessagesFromAnotherTask,
    /// A message of the paying task's own, to another node.
    MessageElsewhere,
    /// A fault beside the ones that there are.
    Fault,
    /// A sleep before all begins.
    Later,
    /// A message of the bank's before its first answer, on the same flow: the numbers of the answers are shifted.
    MessageOnTheSameFlow,
}

const HARMLESS: [Edit; 9] = [
    Edit::Nothing,
    Edit::LogLine,
    Edit::Publish,
    Edit::NodeBefore,
    Edit::SpawnInBank,
    Edit::MessagesFromAnotherTask,
    Edit::MessageElsewhere,
    Edit::Fault,
    Edit::Later,
];

/// Says nothing that is to be paid.
const GREETING: u8 = 200;

async fn listen(edit: Edit) {
    if edit == Edit::SpawnInBank {
        squall::spawn(async { sleep(3.ms()).await });
    }
    let endpoint = Endpoint::bind("0.0.0.0:80").await.unwrap();
    let mut buffer = [0; 1];
    loop {
        let (_, from) = endpoint.recv_from(1, &mut buffer).await.unwrap();
        if edit == Edit::MessageOnTheSameFlow && buffer == [0] {
            endpoint.send_to(from, 1, &[GREETING]).await.unwrap();
        }
        if edit == Edit::LogLine {
            tracing::info!(payment = buffer[0], "comes");
        }
        if edit == Edit::Publish {
            publish("comes", buffer[0]);
        }
        publish("paid", buffer[0]);
        endpoint.send_to(from, 1, &buffer).await.unwrap();
    }
}

async fn pay(edit: Edit) {
    let endpoint = Endpoint::bind("0.0.0.0:0").await.unwrap();
    match edit {
        Edit::Later => sleep(7.ms()).await,
        Edit::MessagesFromAnotherTask => {
            squall::spawn(async {
                let own = Endpoint::bind("0.0.0.0:0").await.unwrap();
                for number in 0..5 {
                    own.send_to("bank:80", 9, &[number]).await.unwrap();
                    sleep(2.ms()).await;
                }
            });
        }
        Edit::MessageElsewhere => endpoint.send_to("shop:80", 5, b"hello").await.unwrap(),
        _ => {}
    }
    for payment in 0..4u8 {
        let mut buffer = [0; 1];
        loop {
            endpoint.send_to("bank:80", 1, &[payment]).await.unwrap();
            let answered = timeout(50.ms(), async {
                while endpoint.recv_from(1, &mut buffer).await.is_ok() && buffer[0] == GREETING {}
            });
            if answered.await.is_ok() && buffer[0] == payment {
                break;
            }
        }
    }
}

fn world(world: &mut World, edit: Edit) {
    if edit == Edit::NodeBefore {
        world.node("another", || async { sleep(1.ms()).await });
    }
    world.node("bank", move || listen(edit));
    world.node("shop", move || listen(Edit::Nothing));
    world.client("alice", move || pay(edit));
    world.network().latency(uniform(1.ms(), 10.ms())).loss(percent(4));
    world.fault(squall::crash("shop").at(30.ms()).restart_after(5.ms()).named("shop goes"));
    if edit == Edit::Fault {
        world.fault(squall::crash("shop").at(20.ms()).restart_after(5.ms()));
    }
    world.check(always("paid-once", Vec::new()).on("paid", |paid, payment: u8| {
        ensure!(!paid.contains(&payment), "payment {payment} was made twice");
        paid.push(payment);
        Ok(())
    }));
}

fn replay(file: &FailureFile, edit: Edit) -> Outcome {
    Simulation::new(move |described: &mut World| world(described, edit)).run_plan(&file.plan(), Record::Digest)
}

#[test]
fn what_is_added_elsewhere_leaves_a_saved_failure_alone() {
    let simulation = Simulation::new(|described: &mut World| world(described, Edit::Nothing));
    let mut saved = 0;
    for seed in 0..200 {
        let Ok(shrunk) = shrink(&simulation, &Plan::seeded("upgrade", Seed(seed)), &mut Runs(10_000)) else { continue };
        // As it comes out of its file.
        let file = FailureFile::from_text(&FailureFile::shrunk(Origin::default(), &shrunk).to_text()).unwrap();
        assert!(file.perturbations() > 0);
        for edit in HARMLESS {
            let outcome = replay(&file, edit);
            assert_eq!(outcome.verdict.property(), Some("paid-once"), "seed {seed}, {edit:?}\n{}", file.to_text());
            assert_eq!(outcome.unused_overrides, [], "seed {seed}, {edit:?}\n{}", file.to_text());
        }
        saved += 1;
    }
    assert!(saved > 20, "{saved} failures");
}

/// What does make a failure stale is said, and never taken for another message.
#[test]
fn a_message_on_the_same_flow_makes_it_stale_and_nothing_else() {
    let simulation = Simulation::new(|described: &mut World| world(described, Edit::Nothing));
    let fails = |seed: &u64| shrink(&simulation, &Plan::seeded("upgrade", Seed(*seed)), &mut Runs(10_000)).is_ok();
    let seed = (0..200).find(fails).unwrap();
    let shrunk = shrink(&simulation, &Plan::seeded("upgrade", Seed(seed)), &mut Runs(10_000)).unwrap();
    let outcome = replay(&FailureFile::shrunk(Origin::default(), &shrunk), Edit::MessageOnTheSameFlow);
    assert_eq!(outcome.unused_overrides.len(), shrunk.perturbations().len());
    assert_eq!(outcome.verdict.property(), None, "{:?}", outcome.verdict);
}
