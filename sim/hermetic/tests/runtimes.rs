//! What a runtime announces: its park returns at once and is no escape, and its threads go on one step at a time.
#![cfg(all(target_os = "linux", target_env = "gnu"))]

mod support;

use std::cell::RefCell;
use std::hash::{BuildHasher, RandomState};
use std::rc::Rc;
use std::sync::mpsc::channel;
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant, SystemTime};

use squall_hermetic::{
    Escape, SteppedThread, enter, expect_park, expect_thread, is_stepped_thread, is_stepping, leave_note,
    set_node_code, show_monotonic, take_made_threads, take_park,
};
use support::{Script, as_node};

/// Far longer than any test may take, so that a wait that is really made shows.
const LONG: Duration = Duration::from_secs(1_000);

/// Runs node code on a fresh thread, with its host at hand.
fn with_host<Answer: Send + 'static>(body: impl FnOnce(&Script) -> Answer + Send + 'static) -> (Answer, Vec<Escape>) {
    let thread = std::thread::spawn(move || {
        let host = Rc::new(Script::new(1));
        let guard = enter(Rc::<Script>::clone(&host));
        set_node_code(true);
        let answer = body(&host);
        set_node_code(false);
        drop(guard);
        let escapes = host.escapes.borrow().clone();
        (answer, escapes)
    });
    thread.join().expect("the node code shouldn't panic")
}

fn wait_for(limit: Duration) {
    let pair = (Mutex::new(()), Condvar::new());
    let _ = pair.1.wait_timeout(pair.0.lock().unwrap(), limit).unwrap();
}

/// A thread in lock step, and what joins it.
fn stepped<T: Send + 'static>(
    body: impl FnOnce() -> T + Send + 'static,
) -> (SteppedThread, std::thread::JoinHandle<T>) {
    expect_thread();
    let handle = std::thread::spawn(body);
    let mut made = take_made_threads();
    assert_eq!(made.len(), 1);
    (made.remove(0), handle)
}

#[test]
fn a_park_is_told_from_other_waits() {
    let ((), escapes) = as_node(1, || {
        assert_eq!(take_park(), None);
        expect_park();
        wait_for(LONG);
        // Only the first is the runtime's.
        wait_for(LONG / 2);
        assert_eq!(take_park(), Some(LONG));
        assert_eq!(take_park(), None);
        expect_park();
        // There was none, and none is expected any more.
        assert_eq!(take_park(), None);
        wait_for(LONG);
        assert_eq!(take_park(), None);
    });
    let wait = |limit: Duration| Escape::BlockingWait { timeout_ns: Some(limit.as_nanos() as u64) };
    assert_eq!(escapes, [wait(LONG / 2), wait(LONG)]);
}

#[test]
fn outside_of_node_code_a_park_waits() {
    expect_park();
    let before = Instant::now();
    wait_for(Duration::from_millis(20));
    assert!(before.elapsed() >= Duration::from_millis(20));
    assert_eq!(take_park(), None);
}

#[test]
fn a_stepped_thread_stands_still_until_it_is_stepped() {
    let ((), escapes) = as_node(1, || {
        let said: Arc<Mutex<Vec<&str>>> = Arc::default();
        let of_thread = Arc::clone(&said);
        let (thread, handle) = stepped(move || {
            assert!(is_stepped_thread() && !is_stepping());
            of_thread.lock().unwrap().push("thread");
            7
        });
        said.lock().unwrap().push("run");
        assert!(thread.is_ready() && !thread.has_ended());
        assert!(!is_stepped_thread());
        thread.step();
        assert!(thread.has_ended() && !thread.is_ready());
        // Nothing is left to step.
        thread.step();
        assert_eq!(handle.join().unwrap(), 7);
        assert_eq!(*said.lock().unwrap(), ["run", "thread"]);
    });
    assert_eq!(escapes, []);
}

#[test]
fn only_the_thread_that_is_expected_is_stepped() {
    let ((), escapes) = as_node(1, || {
        expect_thread();
        let first = std::thread::spawn(is_stepped_thread);
        let second = std::thread::spawn(is_stepped_thread);
        assert!(!second.join().unwrap());
        let made = take_made_threads();
        assert_eq!(made.len(), 1);
        made[0].step();
        assert!(first.join().unwrap());
        expect_thread();
        assert!(take_made_threads().is_empty());
        assert!(!std::thread::spawn(is_stepped_thread).join().unwrap());
    });
    assert_eq!(escapes, [Escape::ThreadCreated, Escape::ThreadCreated]);
}

#[test]
fn a_stepped_thread_is_answered_by_the_runs_host() {
    let look = || {
        let ((seen, escapes), of_run) = with_host(|host| {
            let (thread, handle) = stepped(|| {
                let mut bytes = [0; 16];
                getrandom_0_3::fill(&mut bytes).unwrap();
                std::fs::metadata("/").unwrap();
                (format!("{:?}", Instant::now()), SystemTime::now(), RandomState::new().hash_one(0), bytes)
            });
            thread.step();
            let escapes = host.escapes.borrow().clone();
            (handle.join().unwrap(), escapes)
        });
        assert_eq!(escapes, of_run);
        assert_eq!(escapes, [Escape::FileMetadata { path: "/".into() }]);
        seen
    };
    let first = look();
    assert_eq!(first, look());
    let wall = first.1.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_nanos() as u64;
    assert!(wall.abs_diff(support::EPOCH_NS) < 10_000_000_000, "{wall}");
}

#[test]
fn a_stepped_thread_sleeps_by_the_hosts_clock() {
    let ((), escapes) = with_host(|host| {
        let (thread, handle) = stepped(|| {
            let before = Instant::now();
            std::thread::sleep(LONG);
            wait_for(LONG);
            before.elapsed()
        });
        assert_eq!(thread.waits_at_most(), None);
        for _ in 0..2 {
            thread.step();
            assert!(!thread.is_ready() && thread.has_time_limit());
            assert_eq!(thread.waits_at_most(), Some(LONG));
            host.now_ns.set(host.now_ns.get() + LONG.as_nanos() as u64 - 1);
            assert!(!thread.is_ready());
            assert_eq!(thread.waits_at_most(), Some(Duration::from_nanos(1)));
            host.now_ns.set(host.now_ns.get() + 1);
            assert!(thread.is_ready());
        }
        thread.step();
        assert!(thread.has_ended());
        assert_eq!(handle.join().unwrap(), 2 * LONG);
    });
    assert_eq!(escapes, []);
}

#[test]
fn a_stepped_thread_waits_until_something_comes() {
    let ((), escapes) = as_node(1, || {
        let (tx, rx) = channel();
        let (thread, handle) = stepped(move || rx.iter().sum::<u32>());
        thread.step();
        for n in [1, 2, 3] {
            assert!(!thread.is_ready() && !thread.has_time_limit());
            tx.send(n).unwrap();
            assert!(thread.is_ready());
            thread.step();
            assert!(!thread.has_ended());
        }
        drop(tx);
        assert!(thread.is_ready());
        thread.step();
        assert_eq!(handle.join().unwrap(), 6);
    });
    assert_eq!(escapes, []);
}

#[test]
fn notes_are_left_in_order() {
    let ((), _) = as_node(1, || {
        // Elsewhere nobody takes them.
        leave_note("lost".to_string());
        let (thread, handle) = stepped(|| {
            leave_note("first".to_string());
            leave_note("second".to_string());
        });
        thread.step();
        assert_eq!(thread.take_notes(), ["first", "second"]);
        assert!(thread.take_notes().is_empty());
        handle.join().unwrap();
    });
}

/// Its thread-locals go before it is said to have ended.
#[test]
fn destructors_of_thread_locals_belong_to_the_last_step() {
    struct Tells(Arc<Mutex<bool>>);
    impl Drop for Tells {
        fn drop(&mut self) {
            std::thread::sleep(Duration::from_millis(20));
            *self.0.lock().unwrap() = true;
        }
    }
    thread_local! {
        static TELLS: RefCell<Option<Tells>> = const { RefCell::new(None) };
    }
    let ((), _) = as_node(1, || {
        let is_told: Arc<Mutex<bool>> = Arc::default();
        let of_thread = Arc::clone(&is_told);
        let (thread, handle) = stepped(move || TELLS.set(Some(Tells(of_thread))));
        thread.step();
        assert!(*is_told.lock().unwrap());
        handle.join().unwrap();
    });
}

/// What is shown is what node code sees; a host that moves its clock on says so.
#[test]
fn a_clock_that_is_shown_stands_still_until_it_is_said() {
    let (_, escapes) = with_host(|host| {
        let start = Instant::now();
        show_monotonic(Some(host.now_ns.get()));
        assert_eq!(start.elapsed(), Duration::ZERO);
        // A deadline is worked out by it as well.
        expect_park();
        wait_for(LONG);
        assert_eq!(take_park(), Some(LONG));
        host.now_ns.set(host.now_ns.get() + 1);
        show_monotonic(None);
        assert_eq!(start.elapsed(), Duration::from_nanos(1));
        // The real one is another.
        show_monotonic(Some(host.now_ns.get()));
        set_node_code(false);
        let real = Instant::now();
        set_node_code(true);
        assert_ne!(real, Instant::now());
    });
    assert_eq!(escapes, []);
}

#[test]
fn a_clock_that_is_shown_goes_with_its_host() {
    let guard = enter(Rc::new(Script::new(1)));
    show_monotonic(Some(1_000_000_001));
    drop(guard);
    let host = Rc::new(Script::new(2));
    let _guard = enter(Rc::<Script>::clone(&host));
    let elapsed = |start: Instant| {
        set_node_code(true);
        let elapsed = start.elapsed();
        set_node_code(false);
        elapsed
    };
    set_node_code(true);
    let start = Instant::now();
    set_node_code(false);
    host.now_ns.set(host.now_ns.get() + 5);
    assert_eq!(elapsed(start), Duration::from_nanos(5));
}
