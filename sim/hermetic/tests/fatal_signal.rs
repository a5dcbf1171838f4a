//! What becomes of a process that a run ends by a signal: it begins again where it began, or says which run it was.
#![cfg(target_os = "linux")]
// A fault is to be made.
#![allow(unsafe_code)]

mod support;

use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Output};
use std::rc::Rc;
use std::time::Duration;

use squall_hermetic::fatal_signal::{AtFatalSignal, EndedBefore, at_fatal_signal, ended_before, name_run};
use squall_hermetic::{FreshThread, enter, expect_thread, set_node_code, take_made_threads};
use support::Script;

const VARIABLE: &str = "ENDED_BY_A_RUN";

/// Whether it is ended on a thread in lock step with the run's.
const IN_LOCK_STEP: &str = "IN_LOCK_STEP";

/// Whether it is ended on one of std's threads.
const CAPTURED: &str = "CAPTURED";

/// Both kinds of threads that runs have.
const THREADS: [&[(&str, &str)]; 2] = [&[], &[(CAPTURED, "1")]];

/// Not a test by itself.
#[test]
#[ignore = "called by the other tests"]
fn ends_as_it_is_asked_to() {
    let how = std::env::var("HOW").expect("how");
    if let Some(EndedBefore { signal, seed, name }) = ended_before(VARIABLE) {
        let place = std::env::current_dir().expect("a directory");
        let arguments: Vec<String> = std::env::args().skip(1).collect();
        println!("again after {signal}, seed {seed}, {name:?} in {} with {arguments:?}", place.display());
        return;
    }
    let what = match &*std::env::var("WHAT").expect("what") {
        "begin again" => AtFatalSignal::BeginAgain { variable: VARIABLE },
        _ => AtFatalSignal::Tell { remedy: ": so it is" },
    };
    at_fatal_signal(what).expect("it can be installed");
    let is_named = std::env::var_os("UNNAMED").is_none();
    let run = move || {
        if is_named {
            name_run("a run of a long name that is longer than sixty-four bytes, all told, with ä", u64::MAX);
        }
        std::env::set_current_dir("/").expect("a directory");
        let end = move || match &*how {
            // SAFETY: it isn't: that is what is tried.
            "fault" => println!("{}", unsafe { std::ptr::null::<u8>().read_volatile() }),
            "overflow" => println!("{}", deeper(0)),
            _ => std::process::abort(),
        };
        if std::env::var_os(IN_LOCK_STEP).is_none() {
            return end();
        }
        let _guard = enter(Rc::new(Script::new(1)));
        set_node_code(true);
        expect_thread();
        let _thread = std::thread::spawn(end);
        take_made_threads()[0].step();
    };
    // Runs have such threads: in tests the one, elsewhere the other.
    let thread = match std::env::var_os(CAPTURED) {
        Some(_) => FreshThread::spawn_captured("squall run", run),
        None => FreshThread::spawn_bare("squall run", run),
    };
    assert!(thread.expect("a thread").join_timeout(Duration::from_secs(60)), "it doesn't come back");
}

fn deeper(depth: u64) -> u64 {
    let here = std::hint::black_box([depth; 64]);
    if depth == u64::MAX { 0 } else { deeper(depth + 1) + here[7] }
}

fn ended(how: &str, what: &str, more: &[(&str, &str)]) -> (Option<i32>, String) {
    let mut command = Command::new(std::env::current_exe().expect("this program"));
    command.args(["ends_as_it_is_asked_to", "--exact", "--ignored", "--nocapture"]).env_remove(VARIABLE);
    command.env("HOW", how).env("WHAT", what).envs(more.iter().copied());
    let Output { status, stdout, stderr } = command.output().expect("it starts");
    (status.signal(), String::from_utf8_lossy(&stdout).into_owned() + &String::from_utf8_lossy(&stderr))
}

/// How a process is ended, and by which signal then.
const ENDS: [(&str, i32); 3] = [("abort", 6), ("fault", 11), ("overflow", 6)];

fn each_way() -> impl Iterator<Item = (&'static [(&'static str, &'static str)], (&'static str, i32))> {
    THREADS.into_iter().flat_map(|thread| ENDS.map(|end| (thread, end)))
}

const NAME: &str = "a run of a long name that is longer than sixty-four bytes, all t";

#[test]
fn the_program_begins_again_in_its_place() {
    for (thread, (how, signal)) in each_way() {
        let (ended_by, said) = ended(how, "begin again", thread);
        assert_eq!(ended_by, None, "{said}");
        let place = std::env::current_dir().expect("a directory");
        let arguments = r#"["ends_as_it_is_asked_to", "--exact", "--ignored", "--nocapture"]"#;
        let line = format!("again after {signal}, seed {}, {NAME:?} in {} with {arguments}", u64::MAX, place.display());
        assert!(said.contains(&line), "{said}");
        assert_eq!(said.contains("has overflowed its stack"), how == "overflow", "{said}");
    }
}

#[test]
fn or_says_which_run_it_was() {
    for (thread, (how, signal)) in each_way() {
        let (ended_by, said) = ended(how, "tell", thread);
        assert_eq!(ended_by, Some(signal), "{said}");
        let line = format!(
            "squall: the run of seed 0xffffffffffffffff of {NAME} has ended the process by signal {signal}: so it is"
        );
        assert!(said.contains(&line), "{said}");
    }
}

/// A thread in lock step belongs to the run that it was made by.
#[test]
#[cfg(target_env = "gnu")]
fn a_thread_in_lock_step_has_the_name_of_its_run() {
    for (how, signal) in ENDS {
        let (ended_by, said) = ended(how, "begin again", &[(IN_LOCK_STEP, "1")]);
        assert_eq!(ended_by, None, "{said}");
        assert!(said.contains(&format!("again after {signal}, seed {}, {NAME:?}", u64::MAX)), "{said}");
        let (ended_by, said) = ended(how, "tell", &[(IN_LOCK_STEP, "1")]);
        assert_eq!(ended_by, Some(signal), "{said}");
        assert!(said.contains(&format!("of {NAME} has ended the process by signal {signal}: so it is")), "{said}");
        assert_eq!(said.contains("has overflowed its stack"), how == "overflow", "{said}");
    }
    let (ended_by, said) = ended("abort", "begin again", &[(IN_LOCK_STEP, "1"), ("UNNAMED", "1")]);
    assert_eq!(ended_by, Some(6), "{said}");
}

/// It wasn't a run: nothing is known of it, and nothing is done.
#[test]
fn who_has_no_run_ends_the_process_as_ever() {
    for (how, signal) in [("abort", 6), ("fault", 11)] {
        let (ended_by, said) = ended(how, "begin again", &[("UNNAMED", "1")]);
        assert_eq!(ended_by, Some(signal), "{said}");
        assert!(!said.contains("again"), "{said}");
    }
}
