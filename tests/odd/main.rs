//! Programs that misbehave, each in its own way, with the whole command line: what the tests of it run.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use squall::World;
use squall::prelude::always;
use squall::scenario::{NoArgs, Program};
use squall::trace::verdict::Judgement;
use squall::trace::{Ending, Event, EventMask, Property};

squall::main!(programs());

fn programs() -> Vec<Program> {
    vec![
        Program::new("calm", "Nothing happens", calm),
        Program::new("chatty", "Prints and logs, with characters that no terminal should get", chatty),
        Program::new("counting", "A static outlives the run", counting),
        Program::new("addressed", "An address is made known", addressed),
        Program::new("environmental", "The environment is made known", environmental),
        Program::new("waiting", "A client waits for ever", waiting),
        Program::new("endless", "A client never comes to an end", endless),
        Program::new("impossible", "A link to a node that isn't there", impossible),
        Program::new("spinning", "A client never yields", spinning),
        Program::new("careless", "A property panics", careless),
        Program::new("exiting", "A client ends the process, as if all were well", exiting),
        Program::new("drawing", "The description and a property draw", drawing),
        Program::new("two-faults", "Fails in one way or another, with one seed in five", two_faults),
    ]
}

fn calm(world: &mut World, _: &NoArgs) {
    world.client("client", || async {});
}

fn chatty(world: &mut World, _: &NoArgs) {
    world.client("client", || async {
        println!("{{\"event\":\"printed by a node\"}}");
        squall::publish("mood", "\u{1b}[31mred\u{202e}");
    });
}

fn counting(world: &mut World, _: &NoArgs) {
    static RUNS: AtomicU64 = AtomicU64::new(0);
    world.client("client", || async {
        squall::publish("runs", RUNS.fetch_add(1, Ordering::Relaxed));
    });
}

fn addressed(world: &mut World, _: &NoArgs) {
    // Other in each process, equal within one.
    static HERE: u8 = 0;
    world.client("client", || async {
        squall::publish("address", &raw const HERE as usize);
    });
}

fn environmental(world: &mut World, _: &NoArgs) {
    world.client("client", || async {
        squall::publish("checked", std::env::var("SQUALL_CHECK").ok());
    });
}

fn waiting(world: &mut World, _: &NoArgs) {
    world.client("client", || async { std::future::pending::<()>().await });
}

fn endless(world: &mut World, _: &NoArgs) {
    world.client("client", || async {
        loop {
            squall::time::sleep(Duration::from_secs(1)).await;
        }
    });
}

fn spinning(world: &mut World, _: &NoArgs) {
    world.client("client", || async {
        loop {
            std::hint::spin_loop();
        }
    });
}

struct Careful;

impl Property for Careful {
    fn name(&self) -> &str {
        "careful"
    }

    fn interest(&self) -> EventMask {
        EventMask::PUBLISH
    }

    fn on_event(&mut self, _: &Event<'_>) -> Result<(), String> {
        panic!("no such account")
    }

    fn on_end(&mut self, _: &Ending) -> Judgement {
        Judgement::Held
    }
}

fn careless(world: &mut World, _: &NoArgs) {
    world.client("client", || async { squall::publish("account", 7) });
    world.check(Careful);
}

fn exiting(world: &mut World, _: &NoArgs) {
    world.client("client", || async { std::process::exit(0) });
}

fn drawing(world: &mut World, _: &NoArgs) {
    let drawn = rand_0_10::random::<u64>();
    world.client("client", move || async move { squall::publish("drawn", drawn) });
    world.check(always("drawn", ()).on("drawn", |(), _: u64| {
        let (drawn, now) = (rand_0_10::random::<u64>(), std::time::SystemTime::now());
        Err(format!("drew {drawn} at {now:?}"))
    }));
}

fn impossible(world: &mut World, _: &NoArgs) {
    world.client("client", || async {});
    world.link("client", "nobody");
}

fn two_faults(world: &mut World, _: &NoArgs) {
    world.client("client", || async {
        match rand_core::Rng::next_u64(&mut squall::rand::rng()) % 10 {
            0 => panic!("one way"),
            1 => Err("or another"),
            _ => Ok(()),
        }
    });
}
