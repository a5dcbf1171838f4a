//! Clocks and entropy repeat from the seed: in a process, in other processes, and through every crate that draws them.
#![cfg(all(target_os = "linux", target_env = "gnu"))]

mod support;

use std::collections::{HashMap, HashSet};
use std::process::Command;
use std::time::{Instant, SystemTime};

use support::{EPOCH_NS, Script, as_node, as_node_on};

/// Everything that node code can draw, one line for each source.
fn observe() -> Vec<String> {
    let mut lines = Vec::new();
    let order: Vec<u32> = (0..20).map(|key| (key, ())).collect::<HashMap<_, _>>().into_keys().collect();
    lines.push(format!("map {order:?}"));
    let order: Vec<u32> = (0..20).collect::<HashSet<_>>().into_iter().collect();
    lines.push(format!("set {order:?}"));
    lines.push(format!("instant {:?}", Instant::now()));
    lines.push(format!("wall {:?}", SystemTime::now()));
    lines.push(format!("rand 0.8 {}", {
        use rand_0_8::Rng;
        rand_0_8::thread_rng().r#gen::<u64>()
    }));
    lines.push(format!("rand 0.9 {}", {
        use rand_0_9::Rng;
        rand_0_9::rng().random::<u64>()
    }));
    lines.push(format!("rand 0.10 {}", rand_0_10::random::<u64>()));
    // Far more than `ThreadRng` gives before it draws a new seed.
    lines.push(format!("rand 0.9 reseeded {}", {
        use rand_0_9::RngCore;
        let mut bytes = vec![0; 300_000];
        rand_0_9::rng().fill_bytes(&mut bytes);
        rand_0_9::rng().next_u64()
    }));
    let mut bytes = [0; 40];
    getrandom_0_2::getrandom(&mut bytes).unwrap();
    lines.push(format!("getrandom 0.2 {bytes:?}"));
    getrandom_0_3::fill(&mut bytes).unwrap();
    lines.push(format!("getrandom 0.3 {bytes:?}"));
    getrandom_0_4::fill(&mut bytes).unwrap();
    lines.push(format!("getrandom 0.4 {bytes:?}"));
    lines
}

#[test]
fn the_self_test_passes() {
    assert!(squall_hermetic::is_supported());
    squall_hermetic::self_test().unwrap();
}

#[test]
fn equal_seeds_are_equal_and_others_differ() {
    let (first, escapes) = as_node(7, observe);
    assert_eq!(escapes, []);
    let (second, _) = as_node(7, observe);
    assert_eq!(first, second);
    let (other, _) = as_node(8, observe);
    assert_eq!(first.len(), other.len());
    for (one, another) in first.iter().zip(&other) {
        assert_ne!(one, another);
    }
}

#[test]
fn other_processes_see_the_same() {
    const CHILD: &str = "SQUALL_HERMETIC_TEST_CHILD";
    const NAME: &str = "other_processes_see_the_same";
    let (lines, _) = as_node(42, observe);
    if std::env::var_os(CHILD).is_some() {
        for line in lines {
            println!("observed {line}");
        }
        return;
    }
    for _ in 0..2 {
        let output = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", NAME, "--nocapture"])
            .env(CHILD, "1")
            .output()
            .unwrap();
        assert!(output.status.success());
        let text = String::from_utf8(output.stdout).unwrap();
        // The harness prints the test's name without a line end before the first one.
        let seen: Vec<&str> = text.lines().filter_map(|line| Some(line.split_once("observed ")?.1)).collect();
        assert_eq!(seen, lines);
    }
}

#[test]
fn many_runs_at_once_do_not_touch_each_other() {
    let (expected, _) = as_node(3, observe);
    let runs: Vec<_> = (0..16).map(|_| std::thread::spawn(|| as_node(3, observe).0)).collect();
    for run in runs {
        assert_eq!(run.join().unwrap(), expected);
    }
}

#[test]
fn time_goes_on_only_when_the_host_says() {
    let ((), escapes) = as_node(0, || {
        let start = Instant::now();
        let wall = SystemTime::now();
        for _ in 0..1_000_000 {
            std::hint::black_box(0);
        }
        assert_eq!(start.elapsed().as_nanos(), 0);
        assert_eq!(wall.elapsed().unwrap().as_nanos(), 0);
        let since_epoch = wall.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_nanos();
        assert_eq!(since_epoch, u128::from(EPOCH_NS) + 1_000_000_000);
    });
    assert_eq!(escapes, []);
    let step = || Script { step_ns: 5, ..Script::new(0) };
    as_node_on(step, || {
        let start = Instant::now();
        assert_eq!(start.elapsed().as_nanos(), 5);
        assert_eq!(start.elapsed().as_nanos(), 10);
    });
}

#[test]
fn a_probe_with_no_bytes_draws_nothing() {
    let draws = std::thread::spawn(|| {
        let host = std::rc::Rc::new(Script::new(1));
        let guard = squall_hermetic::enter(host.clone());
        squall_hermetic::set_node_code(true);
        getrandom_0_2::getrandom(&mut []).unwrap();
        getrandom_0_3::fill(&mut []).unwrap();
        getrandom_0_4::fill(&mut []).unwrap();
        drop(guard);
        host.entropy_draws.get()
    });
    // Only `enter` drew: the map keys.
    assert_eq!(draws.join().unwrap(), 1);
}
