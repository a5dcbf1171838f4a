//! Addresses stay: what is added elsewhere renames nothing and draws nothing else.

use std::collections::BTreeMap;

use squall::net::Endpoint;
use squall::time::{DurationExt, sleep};
use squall::trace::{FlowRole, Perturbation, Plan, Ratio, Record, Seed, Site, SiteKind, StrategyChoice, Verdict};
use squall::{Simulation, World, crash};
use squall_tests::random_world::Work;

#[derive(Clone, Copy, Default)]
struct Additions {
    node_before: bool,
    node_after: bool,
    spawn: bool,
    log: bool,
    message: bool,
    fault: bool,
    draws: bool,
    link: bool,
}

fn build(world: &mut World, more: Additions) {
    world.network().loss(Ratio::new(1, 10)).duplicate(Ratio::new(1, 10));
    let idle = || std::future::pending::<()>();
    if more.node_before {
        world.node("added-before", idle);
    }
    world.node("added-always", idle);
    if more.link {
        world.link("client", "added-always").loss(Ratio::ONE);
    }
    world.node("server", move || async move {
        let endpoint = Endpoint::bind("0.0.0.0:80").await.unwrap();
        if more.spawn {
            squall::task::Builder::new().name("extra").spawn(async { sleep(1.ms()).await }).unwrap();
        }
        endpoint.add_rpc_handler(move |work: Work| async move {
            if more.log {
                tracing::warn!("serving");
            }
            work.ms
        });
        std::future::pending::<()>().await;
    });
    world.client("client", move || async move {
        let endpoint = Endpoint::bind("0.0.0.0:80").await.unwrap();
        for number in 0..40u8 {
            endpoint.send_to("server:81", 1, &[number]).await.unwrap();
            if more.message {
                endpoint.send_to("server:81", 2, &[number]).await.unwrap();
                endpoint.send_to("server:82", 1, &[number]).await.unwrap();
                endpoint.send_to("added-always:81", 1, &[number]).await.unwrap();
            }
            if more.draws {
                rand_core::Rng::next_u64(&mut squall::rand::rng());
            }
            let _ = endpoint.call_timeout("server:80", Work { ms: number }, 30.ms()).await;
            sleep(1.ms()).await;
        }
    });
    if more.node_after {
        world.node("added-after", idle);
    }
    world.fault(crash("server").at(300.ms()).restart_after(1.ms()));
    if more.fault {
        world.fault(crash("added-always").at(5.ms()));
    }
}

/// What isn't calm about messages and faults, by site.
fn weather(more: Additions) -> BTreeMap<Site, Perturbation> {
    let plan = Plan { strategy: StrategyChoice::Fifo, ..Plan::seeded("addresses", Seed(5)) };
    let outcome = Simulation::new(move |world| build(world, more)).run_plan(&plan, Record::Perturbations);
    assert_eq!(outcome.verdict, Verdict::Pass);
    let weather: BTreeMap<Site, Perturbation> =
        outcome.perturbations.iter().filter(|p| p.site.kind != SiteKind::Order).map(|p| (p.site, *p)).collect();
    for kind in [SiteKind::Latency, SiteKind::Loss, SiteKind::Duplicate, SiteKind::Fault] {
        assert!(weather.keys().any(|site| site.kind == kind), "no {kind:?} isn't calm");
    }
    let answers = outcome.names.flows.values().filter(|info| matches!(info.role, FlowRole::Answer { .. }));
    assert!(answers.count() > 0);
    weather
}

#[test]
fn what_is_added_elsewhere_changes_no_address_and_no_value() {
    let base = weather(Additions::default());
    let none = Additions::default();
    for (what, more) in [
        ("a node before", Additions { node_before: true, ..none }),
        ("a node after", Additions { node_after: true, ..none }),
        ("a spawn elsewhere", Additions { spawn: true, ..none }),
        ("a log line", Additions { log: true, ..none }),
        ("messages on other flows", Additions { message: true, ..none }),
        ("another fault", Additions { fault: true, ..none }),
        ("the application's own draws", Additions { draws: true, ..none }),
        ("a link", Additions { link: true, ..none }),
    ] {
        let changed = weather(more);
        for (site, perturbation) in &base {
            assert_eq!(changed.get(site), Some(perturbation), "{what}");
        }
        let more_sites = changed.len() > base.len();
        assert_eq!(more_sites, more.message || more.fault, "{what}");
    }
}
