//! The program's own panic hook: panics in nodes don't reach it, all others do, while runs go on too. Alone in its process,
//! since there is one hook a process.

use std::sync::Mutex;
use std::thread;

use squall::time::DurationExt;
use squall::trace::{Plan, Record, Seed};
use squall::{OnPanic, Simulation};
use squall_tests::planted_panic::boom;

static SEEN: Mutex<Vec<String>> = Mutex::new(Vec::new());

#[test]
fn panics_outside_of_nodes_reach_the_hook_that_was_there() {
    std::panic::set_hook(Box::new(|info| {
        let text = info.payload().downcast_ref::<&str>().copied().unwrap_or("no text");
        SEEN.lock().unwrap().push(text.to_string());
    }));
    let simulation = Simulation::new(|world| {
        world
            .client("client", || async {
                for _ in 0..10 {
                    let joined = squall::spawn(async { boom() }).await;
                    assert!(joined.is_err_and(|error| error.is_panic()));
                    squall::time::sleep(1.ms()).await;
                }
            })
            .on_panic(OnPanic::JoinError);
    });
    let first = simulation.run_plan(&Plan::seeded("panics", Seed(1)), Record::Full);
    let elsewhere = thread::spawn(|| {
        for _ in 0..50 {
            assert!(std::panic::catch_unwind(|| panic!("elsewhere")).is_err());
        }
    });
    for _ in 0..20 {
        let again = simulation.run_plan(&Plan::seeded("panics", Seed(1)), Record::Full);
        assert_eq!(again.digest, first.digest);
    }
    elsewhere.join().unwrap();
    let seen = SEEN.lock().unwrap();
    assert_eq!(seen.len(), 50, "{seen:?}");
    assert!(seen.iter().all(|text| text == "elsewhere"), "{seen:?}");
}
