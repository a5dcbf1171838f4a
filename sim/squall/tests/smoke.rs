//! The simplest world there is.
use squall::net::Endpoint;
use squall::time::DurationExt;
use squall::trace::{Plan, Record, Seed, Verdict};
use squall::{Simulation, World};

fn ping(world: &mut World) {
    world.node("server", || async {
        let endpoint = Endpoint::bind("0.0.0.0:80").await.unwrap();
        let mut buffer = [0; 16];
        loop {
            let (length, from) = endpoint.recv_from(1, &mut buffer).await.unwrap();
            squall::time::sleep(5.ms()).await;
            endpoint.send_to(from, 2, &buffer[..length]).await.unwrap();
        }
    });
    for i in 0..3 {
        world.client(format!("client-{i}"), || async {
            let endpoint = Endpoint::bind("0.0.0.0:0").await.unwrap();
            for _ in 0..20 {
                endpoint.send_to("server:80", 1, b"hello").await.unwrap();
                let mut buffer = [0; 16];
                let (length, _) = endpoint.recv_from(2, &mut buffer).await.unwrap();
                assert_eq!(&buffer[..length], b"hello");
            }
        });
    }
}

#[test]
fn a_run_repeats_itself() {
    let simulation = Simulation::new(ping);
    let plan = Plan::seeded("ping", Seed(7));
    let first = simulation.run_plan(&plan, Record::Full);
    assert_eq!(first.verdict, Verdict::Pass);
    let again = simulation.run_plan(&plan, Record::Digest);
    assert_eq!(first.digest, again.digest);
    let other = simulation.run_plan(&Plan::seeded("ping", Seed(8)), Record::Digest);
    assert_ne!(first.digest, other.digest);
    let only = plan.only(&first.perturbations);
    assert_eq!(simulation.run_plan(&only, Record::Digest).digest, first.digest);
    println!("{:?} {:?} {}", first.ending, first.messages, first.perturbations.len());
    for p in first.perturbations.iter().take(5) {
        println!("{}", p.sentence(&first.names));
    }
}
