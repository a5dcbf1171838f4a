//! What a run can't make deterministic is named, and only that.
#![cfg(all(target_os = "linux", target_env = "gnu"))]

mod support;

use std::sync::mpsc::{RecvTimeoutError, channel};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant, SystemTime};

use squall_hermetic::{Escape, outside_node_code};
use support::{Script, as_node, as_node_on};

/// Far longer than any test may take, so that a wait that is really made shows.
const LONG: Duration = Duration::from_secs(1_000);

const LONG_NS: u64 = 1_000_000_000_000;

#[test]
fn a_thread_is_named_and_really_lives_outside() {
    let (seen, escapes) = as_node(1, || {
        let year_ns = 365 * 86_400 * 1_000_000_000_u128;
        let wall = || SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_nanos();
        let inside = wall();
        let mut bytes = [[0_u8; 16]; 2];
        getrandom_0_2::getrandom(&mut bytes[0]).unwrap();
        bytes[1] = std::thread::spawn(move || {
            assert!(wall().abs_diff(inside) > year_ns / 365);
            std::fs::metadata("/").unwrap();
            let mut bytes = [0; 16];
            getrandom_0_2::getrandom(&mut bytes).unwrap();
            bytes
        })
        .join()
        .unwrap();
        bytes
    });
    assert_ne!(seen[0], seen[1]);
    assert_eq!(escapes, [Escape::ThreadCreated]);
}

#[test]
fn a_sleep_returns_at_once() {
    let real = Instant::now();
    let (slept, escapes) = as_node(1, || {
        let start = Instant::now();
        std::thread::sleep(LONG);
        start.elapsed()
    });
    assert!(real.elapsed() < LONG / 2);
    assert_eq!(slept, Duration::ZERO);
    assert_eq!(escapes, [Escape::BlockingSleep { ns: LONG_NS }]);
}

#[test]
fn a_host_may_let_a_sleep_pass_time() {
    let advancing = || Script { waits_advance: true, ..Script::new(1) };
    let (slept, _) = as_node_on(advancing, || {
        let start = Instant::now();
        std::thread::sleep(LONG);
        start.elapsed()
    });
    assert_eq!(slept, LONG);
}

#[test]
fn timed_waits_return_at_once() {
    let real = Instant::now();
    let ((), escapes) = as_node(1, || {
        std::thread::park_timeout(LONG);
        let pair = (Mutex::new(()), Condvar::new());
        let (_lock, result) = pair.1.wait_timeout(pair.0.lock().unwrap(), LONG).unwrap();
        assert!(result.timed_out());
    });
    assert!(real.elapsed() < LONG / 2);
    let wait = Escape::BlockingWait { timeout_ns: Some(LONG_NS) };
    assert_eq!(escapes, [wait.clone(), wait]);
}

#[test]
fn a_loop_until_a_deadline_ends_when_the_host_moves_its_clock() {
    let real = Instant::now();
    let advancing = || Script { waits_advance: true, ..Script::new(1) };
    let ((), escapes) = as_node_on(advancing, || {
        let (sender, receiver) = channel::<()>();
        assert_eq!(receiver.recv_timeout(LONG), Err(RecvTimeoutError::Timeout));
        drop(sender);
    });
    assert!(real.elapsed() < LONG / 2);
    assert_eq!(escapes, [Escape::BlockingWait { timeout_ns: Some(LONG_NS) }]);
}

#[test]
fn a_wakeup_that_came_first_is_no_wait() {
    let ((), escapes) = as_node(1, || {
        std::thread::current().unpark();
        std::thread::park_timeout(LONG);
        std::thread::current().unpark();
        std::thread::park();
        let (sender, receiver) = channel();
        sender.send(()).unwrap();
        receiver.recv_timeout(LONG).unwrap();
    });
    assert_eq!(escapes, []);
}

#[test]
fn a_lock_held_for_a_moment_is_no_escape_and_a_long_wait_is_one() {
    let named_after = |held: Duration| {
        let lock = Arc::new(Mutex::new(0));
        let (locked, is_locked) = channel();
        let holder = std::thread::spawn({
            let lock = lock.clone();
            move || {
                let mut value = lock.lock().unwrap();
                locked.send(()).unwrap();
                std::thread::sleep(held);
                *value = 1;
            }
        });
        is_locked.recv().unwrap();
        let (value, escapes) = as_node(1, move || *lock.lock().unwrap());
        assert_eq!(value, 1);
        holder.join().unwrap();
        escapes
    };
    // A busy machine may make the moment a long one, but not always.
    assert!((0..20).any(|_| named_after(Duration::from_millis(5)).is_empty()));
    // Really waits to the end, and is told once.
    assert_eq!(named_after(Duration::from_millis(300)), [Escape::BlockingWait { timeout_ns: None }]);
}

#[test]
fn sockets_and_name_lookups_are_named() {
    let ((), escapes) = as_node(1, || {
        drop(std::net::UdpSocket::bind("127.0.0.1:0").unwrap());
        use std::net::ToSocketAddrs;
        let _ = ("localhost", 80).to_socket_addrs();
    });
    assert_eq!(escapes, [Escape::RealSocket, Escape::NameLookup { host: "localhost".into() }]);
}

#[test]
fn files_and_directories_are_named() {
    let ((), escapes) = as_node(1, || {
        std::fs::File::open("/etc/passwd").unwrap();
        std::fs::read("/no/such/file").unwrap_err();
        std::fs::metadata("/etc").unwrap();
        assert!(std::fs::read_dir("/etc").unwrap().count() > 0);
    });
    assert_eq!(
        escapes,
        [
            Escape::RealFile { path: "/etc/passwd".into() },
            Escape::RealFile { path: "/no/such/file".into() },
            Escape::FileMetadata { path: "/etc".into() },
            Escape::DirectoryListing { path: "/etc".into() },
        ]
    );
}

/// Nothing of it is read, so that it is whole behind the run.
#[test]
fn the_standard_input_is_named_and_has_nothing() {
    use std::io::{IoSliceMut, Read};
    let path = std::env::temp_dir().join(format!("squall-hermetic-input-{}", std::process::id()));
    let mut file = std::fs::File::create(&path).unwrap();
    let ((), escapes) = as_node(1, move || {
        let mut text = String::new();
        assert_eq!(std::io::stdin().read_line(&mut text).unwrap(), 0);
        let mut byte = [0];
        assert_eq!(std::io::stdin().read_vectored(&mut [IoSliceMut::new(&mut byte)]).unwrap(), 0);
        // Through the kernel, where both ends allow that.
        assert_eq!(std::io::copy(&mut std::io::stdin().lock(), &mut file).unwrap(), 0);
    });
    std::fs::remove_file(path).unwrap();
    assert!(escapes.len() >= 3 && escapes.iter().all(|escape| *escape == Escape::StandardInput), "{escapes:?}");
}

/// What isn't the standard input is read as ever.
#[test]
fn descriptors_are_read_as_ever() {
    use std::io::{IoSliceMut, Read};
    let ((), escapes) = as_node(1, || {
        let mut file = std::fs::File::open("/etc/passwd").unwrap();
        let mut start = [0; 4];
        file.read_exact(&mut start).unwrap();
        assert_eq!(&start, b"root");
        assert!(file.read_vectored(&mut [IoSliceMut::new(&mut start)]).unwrap() > 0);
    });
    assert_eq!(escapes, [Escape::RealFile { path: "/etc/passwd".into() }]);
}

#[test]
fn new_files_get_their_mode() {
    use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
    let path = std::env::temp_dir().join(format!("squall-hermetic-{}", std::process::id()));
    let created = path.clone();
    as_node(1, move || {
        std::fs::OpenOptions::new().write(true).create_new(true).mode(0o640).open(created).unwrap();
    });
    let mode = std::fs::metadata(&path).unwrap().permissions().mode();
    std::fs::remove_file(&path).unwrap();
    assert_eq!(mode & 0o777, 0o640);
}

#[test]
fn environment_variables_are_named() {
    let (home, escapes) = as_node(1, || {
        drop(std::backtrace::Backtrace::capture());
        std::env::var_os("PATH")
    });
    assert_eq!(home, std::env::var_os("PATH"));
    assert_eq!(escapes, [Escape::EnvironmentRead { name: "PATH".into() }]);
}

#[test]
fn processes_are_named() {
    let (output, escapes) = as_node(1, || std::process::Command::new("echo").arg("hello").output().unwrap());
    assert_eq!(output.stdout, b"hello\n");
    assert!(escapes.contains(&Escape::ProcessStarted), "{escapes:?}");
}

#[test]
fn a_backtrace_outside_node_code_is_not_named() {
    let (length, escapes) =
        as_node(1, || outside_node_code(|| std::backtrace::Backtrace::force_capture().to_string().len()));
    assert!(length > 0);
    assert_eq!(escapes, []);
}
