//! Nothing changes outside node code: on other threads, before and after a run, and within its host.
#![cfg(all(target_os = "linux", target_env = "gnu"))]

mod support;

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::mpsc::channel;
use std::time::{Duration, Instant, SystemTime};

use squall_hermetic::{Escape, Guard, Host, enter, outside_node_code, set_node_code};
use support::{EPOCH_NS, Script};

/// Whether the wall clock is the script's; a day is far more than any script's clock goes.
fn wall_is_scripted() -> bool {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_nanos();
    now.abs_diff(u128::from(EPOCH_NS)) < 86_400 * 1_000_000_000
}

/// Runs on a fresh thread.
fn on_a_thread<Answer: Send + 'static>(body: impl FnOnce() -> Answer + Send + 'static) -> Answer {
    std::thread::spawn(body).join().unwrap()
}

#[test]
fn other_threads_see_the_real_world_while_a_run_is_on() {
    let (started, has_started) = channel();
    let (finish, finished) = channel::<()>();
    let run = std::thread::spawn(move || {
        let guard = enter(Rc::new(Script::new(1)));
        set_node_code(true);
        assert!(wall_is_scripted());
        started.send(()).unwrap();
        // Without a limit, this really waits, with node code on all the time.
        finished.recv().unwrap();
        assert!(wall_is_scripted());
        drop(guard);
    });
    has_started.recv().unwrap();
    assert!(!wall_is_scripted());
    let start = Instant::now();
    std::thread::sleep(Duration::from_millis(20));
    assert!(start.elapsed() >= Duration::from_millis(20));
    let mut bytes = [[0_u8; 16]; 2];
    for bytes in &mut bytes {
        getrandom_0_3::fill(bytes).unwrap();
    }
    assert_ne!(bytes[0], bytes[1]);
    let (_sender, receiver) = channel::<()>();
    let start = Instant::now();
    receiver.recv_timeout(Duration::from_millis(20)).unwrap_err();
    assert!(start.elapsed() >= Duration::from_millis(20));
    finish.send(()).unwrap();
    run.join().unwrap();
}

#[test]
fn outside_node_code_the_thread_sees_the_real_world() {
    on_a_thread(|| {
        // Without a host it has no effect.
        assert!(!set_node_code(true));
        assert!(!wall_is_scripted());
        assert!(set_node_code(false));
        let host = Rc::new(Script::new(1));
        let guard = enter(host.clone());
        assert!(!wall_is_scripted());
        assert!(!set_node_code(true));
        assert!(wall_is_scripted());
        outside_node_code(|| assert!(!wall_is_scripted()));
        assert!(wall_is_scripted());
        let panicked = std::panic::catch_unwind(|| {
            outside_node_code(|| std::panic::resume_unwind(Box::new(())));
        });
        assert!(panicked.is_err());
        assert!(wall_is_scripted());
        assert!(set_node_code(false));
        let start = Instant::now();
        std::thread::sleep(Duration::from_millis(5));
        assert!(start.elapsed() >= Duration::from_millis(5));
        std::fs::metadata("/").unwrap();
        assert!(host.escapes.borrow().is_empty());
        set_node_code(true);
        drop(guard);
        assert!(!set_node_code(false));
        assert!(!wall_is_scripted());
        assert_eq!(Rc::strong_count(&host), 1);
    });
}

/// A host that takes itself away when it is asked.
struct Leaving {
    guard: RefCell<Option<Guard>>,
    is_gone: Rc<Cell<bool>>,
}

impl Host for Leaving {
    fn monotonic_ns(&self) -> u64 {
        // It isn't asked in the midst of its answer, and what it says there ends nothing.
        set_node_code(true);
        let _ = Instant::now();
        self.guard.take();
        assert!(!self.is_gone.get(), "it is still there to answer");
        7
    }

    fn wall_ns(&self) -> u64 {
        0
    }

    fn fill_entropy(&self, out: &mut [u8]) {
        out.fill(1);
    }

    fn on_escape(&self, _: Escape) {}
}

impl Drop for Leaving {
    fn drop(&mut self) {
        self.is_gone.set(true);
    }
}

#[test]
fn a_host_that_leaves_while_it_is_asked_answers_and_is_dropped_then() {
    on_a_thread(|| {
        let is_gone = Rc::new(Cell::new(false));
        let host = Rc::new(Leaving { guard: RefCell::default(), is_gone: Rc::clone(&is_gone) });
        host.guard.replace(Some(enter(Rc::<Leaving>::clone(&host))));
        drop(host);
        set_node_code(true);
        let asked = Instant::now();
        assert!(is_gone.get(), "nobody holds it any more");
        assert!(!wall_is_scripted(), "the thread is free again");
        assert!(
            asked < Instant::now(),
            "what was answered is the host's own time, not long after the start of all clocks"
        );
        drop(enter(Rc::new(Script::new(2))));
    });
}

#[test]
fn a_used_thread_is_told() {
    on_a_thread(|| {
        std::hint::black_box(HashMap::from([(1, 2)]));
        assert!(!enter(Rc::new(Script::new(1))).thread_was_fresh());
    });
    on_a_thread(|| {
        assert!(enter(Rc::new(Script::new(1))).thread_was_fresh());
        // The keys are drawn, and stay.
        assert!(!enter(Rc::new(Script::new(1))).thread_was_fresh());
    });
}

#[test]
fn a_second_host_is_refused() {
    on_a_thread(|| {
        let guard = enter(Rc::new(Script::new(1)));
        assert!(std::panic::catch_unwind(|| enter(Rc::new(Script::new(2)))).is_err());
        drop(guard);
        drop(enter(Rc::new(Script::new(2))));
    });
}

#[test]
fn node_code_may_run_in_destructors_of_thread_locals() {
    struct Late(Option<squall_hermetic::Guard>);
    impl Drop for Late {
        fn drop(&mut self) {
            assert!(wall_is_scripted());
            drop(self.0.take());
            assert!(!wall_is_scripted());
        }
    }
    thread_local!(static LATE: std::cell::RefCell<Late> = const { std::cell::RefCell::new(Late(None)) });
    on_a_thread(|| {
        LATE.with(|late| late.borrow_mut().0 = Some(enter(Rc::new(Script::new(1)))));
        set_node_code(true);
    });
}
