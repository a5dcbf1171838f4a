//! Threads that run one thing and end: all of them is new but the stack, and what goes wrong on them is told.

use std::cell::RefCell;
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use squall_hermetic::{FreshThread, is_fresh_thread};

const LONG: Duration = Duration::from_secs(20);

/// Which test of [`overflows_are_told`] a process of its own is to do.
const ASKED: &str = "SQUALL_TEST_OVERFLOW";

type Spawn = fn(Box<dyn FnOnce() + Send>) -> FreshThread;

fn captured(body: Box<dyn FnOnce() + Send>) -> FreshThread {
    FreshThread::spawn_captured("squall run", body).expect("a thread")
}

fn bare(body: Box<dyn FnOnce() + Send>) -> FreshThread {
    FreshThread::spawn_bare("squall run", body).expect("a thread")
}

/// What a body gives.
#[track_caller]
fn run<T: Send + 'static>(spawn: Spawn, body: impl FnOnce() -> T + Send + 'static) -> T {
    let (sender, receiver) = channel();
    let mut thread = spawn(Box::new(move || sender.send(body()).expect("somebody waits")));
    assert!(thread.join_timeout(LONG));
    assert!(thread.join_timeout(Duration::ZERO), "it has ended");
    receiver.recv().expect("it was sent")
}

#[test]
fn thread_locals_are_new_and_gone_before_it_has_ended() {
    struct Counted(Arc<AtomicUsize>);
    impl Drop for Counted {
        fn drop(&mut self) {
            std::thread::sleep(Duration::from_millis(20));
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }
    thread_local!(static KEPT: RefCell<Vec<Counted>> = const { RefCell::new(Vec::new()) });
    for spawn in [captured as Spawn, bare] {
        let dropped = Arc::new(AtomicUsize::new(0));
        for runs in 1..=3 {
            let counted = Counted(Arc::clone(&dropped));
            let kept = run(spawn, || {
                KEPT.with_borrow_mut(|kept| {
                    kept.push(counted);
                    kept.len()
                })
            });
            assert_eq!((kept, dropped.load(Ordering::SeqCst)), (1, runs));
        }
    }
}

#[test]
fn it_knows_that_it_is_one() {
    assert!(!is_fresh_thread());
    assert!(run(captured, is_fresh_thread) && run(bare, is_fresh_thread));
}

/// Which MiB of memory its stack lies in.
fn address_on_the_stack() -> usize {
    let here = 0u8;
    std::hint::black_box(&raw const here) as usize >> 20
}

#[cfg(all(target_os = "linux", target_env = "gnu", target_arch = "x86_64"))]
#[test]
fn a_stack_is_used_again_once_its_thread_has_ended() {
    // Each test has a thread, and so a stack to spare, of its own.
    let first = run(bare, address_on_the_stack);
    // Where it was given back, this takes its place.
    let in_the_way = vec![1u8; 2 << 20];
    assert_eq!(run(bare, address_on_the_stack), first);
    drop(in_the_way);

    let goes_on = Arc::new(AtomicBool::new(true));
    let (sender, receiver) = channel();
    let mut busy = {
        let goes_on = Arc::clone(&goes_on);
        bare(Box::new(move || {
            sender.send(address_on_the_stack()).expect("somebody waits");
            while goes_on.load(Ordering::SeqCst) {
                std::thread::yield_now();
            }
            sender.send(0).expect("somebody waits");
        }))
    };
    assert_eq!(receiver.recv(), Ok(first));
    let begun = Instant::now();
    assert!(!busy.join_timeout(Duration::from_millis(30)) && begun.elapsed() >= Duration::from_millis(30));
    let other = run(bare, address_on_the_stack);
    assert_ne!(other, first, "somebody runs there");
    drop(busy);
    assert_eq!(run(bare, address_on_the_stack), other, "what was dropped is left alone");
    goes_on.store(false, Ordering::SeqCst);
    assert_eq!(receiver.recv(), Ok(0), "it goes on by itself");
}

#[test]
fn a_panic_ends_it_alone() {
    for spawn in [captured as Spawn, bare] {
        let mut thread = spawn(Box::new(|| panic!("no more")));
        assert!(thread.join_timeout(LONG));
        assert_eq!(run(spawn, || 7), 7);
    }
}

#[test]
fn many_at_once_do_not_meet() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for job in 0..4 {
            let seen = Arc::clone(&seen);
            scope.spawn(move || {
                for number in 0..200 {
                    let deep: Vec<usize> = run(bare, move || (0..50).map(|step| job * 1000 + number + step).collect());
                    assert_eq!(deep[49], job * 1000 + number + 49);
                }
                seen.lock().expect("no panic").push(job);
            });
        }
    });
    assert_eq!(seen.lock().expect("no panic").len(), 4);
}

fn overflow() -> usize {
    fn deeper(depth: usize) -> usize {
        let here = std::hint::black_box([depth; 64]);
        if depth == usize::MAX { 0 } else { deeper(depth + 1) + here[7] }
    }
    deeper(0)
}

/// Its name is that of a test: processes of its own run it alone.
#[cfg(all(target_os = "linux", target_env = "gnu", target_arch = "x86_64"))]
#[test]
fn overflows_are_told() {
    use std::os::unix::process::ExitStatusExt;
    match std::env::var(ASKED).as_deref() {
        Ok("bare") => assert_eq!(run(bare, overflow), 0),
        // What isn't ours goes to std.
        Ok("other") => {
            assert_eq!(run(bare, || 7), 7);
            let other = std::thread::Builder::new().name("somebody else".to_string());
            assert_eq!(other.spawn(overflow).expect("a thread").join().expect("no panic"), 0);
        }
        _ => {
            for (asked, said) in [("bare", "squall run"), ("other", "somebody else")] {
                let mut again = Command::new(std::env::current_exe().expect("a program"));
                let output =
                    again.args(["--exact", "overflows_are_told"]).env(ASKED, asked).output().expect("it starts");
                let text = String::from_utf8_lossy(&output.stderr);
                assert!(
                    text.contains(&format!("thread '{said}'")) && text.contains("has overflowed its stack"),
                    "{text}"
                );
                assert_eq!(output.status.signal(), Some(6), "aborted: {text}");
            }
        }
    }
}
