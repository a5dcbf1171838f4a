//! Runs in processes of their own, seen from the command line: what repeats there, and how runs end that end theirs.

mod place;

use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use place::{Finished, Place, after};
use serde_json::Value;

struct Odd(Place);

impl Odd {
    fn new() -> Odd {
        Odd(Place::new())
    }

    fn scenario(&self, program: &str, more: &str) -> String {
        let name = format!("{program}.toml");
        self.0.write(&name, &format!("program = \"{program}\"\n{more}"));
        name
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = self.0.command(arguments);
        // By this its processes are known.
        command.env("SQUALL_ODD_PLACE", self.0.path(""));
        command
    }

    #[track_caller]
    fn squall(&self, arguments: &[&str], code: i32) -> (String, String) {
        let finished = Finished::of(&self.command(arguments).output().expect("it starts")).expect(code);
        (finished.stdout, finished.stderr)
    }

    /// The summary.
    #[track_caller]
    fn json(&self, arguments: &[&str], code: i32) -> Value {
        let (stdout, _) = self.squall(&[arguments, &["--message-format", "json"]].concat(), code);
        serde_json::from_str(stdout.lines().last().expect("a line")).expect("JSON")
    }

    /// Kills a command, once it and what it started are so many. Nothing is left of them.
    fn kill_once_there_are(&self, arguments: &[&str], processes: usize) {
        let mut command = self.command(arguments);
        let child = Killed(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("it starts"));
        assert_soon("it begins", || self.processes() == processes);
        // What it started comes to what it is there for.
        std::thread::sleep(Duration::from_millis(100));
        drop(child);
        assert_soon("none is left", || self.processes() == 0);
    }

    /// How many processes there are that its commands have started.
    fn processes(&self) -> usize {
        let directory = self.0.path("").display().to_string();
        let is_ours = |entry: &std::fs::DirEntry| {
            // One that has ended and isn't waited for yet has no environment.
            std::fs::read(entry.path().join("environ"))
                .is_ok_and(|text| String::from_utf8_lossy(&text).contains(&directory))
        };
        std::fs::read_dir("/proc").into_iter().flatten().flatten().filter(is_ours).count()
    }
}

/// Is killed, also where a test fails.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[track_caller]
fn assert_soon(what: &str, holds: impl Fn() -> bool) {
    let patience = Instant::now() + Duration::from_secs(20);
    while !holds() {
        assert!(Instant::now() < patience, "{what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// The diagnostic's lines are as long as they may be.
fn unwrapped(stderr: &str) -> String {
    stderr.split_whitespace().filter(|word| *word != "│").collect::<Vec<_>>().join(" ")
}

/// What threads can't repeat, statics, code's addresses, hashbrown's order, `select!`, does so in processes: P, P after Q, P in a
/// process of a process of its own, and one seed in a hundred again.
#[test]
fn what_threads_share_repeats_in_processes() {
    let odd = Odd::new();
    for program in ["counting", "addressed", "hashing", "selecting", "selecting-in-tokio"] {
        let threads = odd.scenario(program, "seeds = \"0..200\"\n");
        odd.squall(&["explore", &threads], 110);
        let processes = odd.scenario(program, "seeds = \"0..200\"\nisolation = \"process\"\n");
        let (stdout, _) = odd.squall(&["explore", &processes], 0);
        assert!(stdout.contains("repeats itself: after another seed, and in a fresh process"), "{stdout}");
        assert!(stdout.contains("200 runs in"), "{stdout}");
        let first = odd.json(&["run", &processes, "--seed", "7"], 0);
        let second = odd.json(&["replay", &processes, "--seed", "7"], 0);
        assert_eq!((&first["digest"], &second["outcome"]), (&second["digest"], &Value::from("same")), "{program}");
    }
}

#[test]
fn auto_leaves_threads_where_it_must_and_says_so() {
    let odd = Odd::new();
    let calm = odd.scenario("calm", "isolation = \"auto\"\n");
    let (stdout, stderr) = odd.squall(&["explore", &calm], 0);
    assert!(!stdout.contains("isolation") && !stderr.contains("process of its own"), "{stdout}{stderr}");

    let counting = odd.scenario("counting", "isolation = \"auto\"\n");
    let (stdout, stderr) = odd.squall(&["explore", &counting], 0);
    assert!(stdout.contains("NOT DETERMINISTIC: seed 0x0"), "{stdout}");
    assert!(stdout.contains("isolation = process") && stdout.contains("1000 passed"), "{stdout}");
    assert!(stderr.contains("from here on each run has a process of its own"), "{stderr}");
    let (_, stderr) = odd.squall(&["replay", &counting, "--seed", "3"], 0);
    assert!(stderr.contains("from here on each run has a process of its own"), "{stderr}");
}

/// The first check sees nothing of it; the run of one seed in a hundred, made again, does.
#[test]
fn one_seed_in_a_hundred_is_run_again() {
    let odd = Odd::new();
    let threads = odd.scenario("late-counting", "");
    let (stdout, _) = odd.squall(&["explore", &threads, "--seeds", "0..99", "--jobs", "1"], 0);
    assert!(stdout.contains("99 passed"), "the hundredth isn't among them: {stdout}");
    let (stdout, _) = odd.squall(&["explore", &threads, "--seeds", "0..100", "--jobs", "1"], 110);
    assert!(stdout.contains("NOT DETERMINISTIC: seed 0x63, run again in the same process"), "{stdout}");
    assert!(stdout.contains("publishes many: "), "the first event that differs: {stdout}");
    assert!(stdout.contains("seed 0x63 was run a second time"), "{stdout}");
    let auto = odd.scenario("late-counting", "isolation = \"auto\"\n");
    let summary = odd.json(&["explore", &auto, "--seeds", "0..300"], 0);
    assert_eq!(summary["passed"], 300);
}

/// A run that aborts fails, is shrunk to the message whose loss makes it abort, and is saved; the others go on.
#[test]
fn an_abort_is_shrunk_and_saved() {
    let odd = Odd::new();
    let file = odd.scenario("aborting", "seeds = \"0..60\"\nisolation = \"process\"\n");
    let summary = odd.json(&["explore", &file], 100);
    let (passed, failed) = (summary["passed"].as_u64().unwrap(), summary["failed"].as_u64().unwrap());
    assert!(passed > 0 && failed > 0 && passed + failed == 60, "{summary}");
    let first = &summary["failures"][0];
    assert_eq!((&first["property"], &first["perturbations"]), (&"abort".into(), &1.into()), "{summary}");
    let saved = first["file"].as_str().expect("a file");
    let text = std::fs::read_to_string(odd.0.path(saved)).expect("it was written");
    assert!(text.contains("is lost\"") && text.contains("minimal = \"pairs\""), "{text}");
    let replayed = odd.json(&["replay", saved], 100);
    assert_eq!((&replayed["outcome"], &replayed["property"]), (&"same".into(), &"abort".into()));
    // Without the cause it passes.
    let cut = text.find("[[perturbation]]").expect("an entry");
    std::fs::write(odd.0.path(saved), format!("{}# end\n", &text[..cut])).expect("a file");
    assert_eq!(odd.json(&["replay", saved], 0)["outcome"], "gone");
}

#[test]
fn each_way_to_end_a_process_has_its_name() {
    let odd = Odd::new();
    for (program, more, property, said) in [
        ("overflowing", "", "abort", "has overflowed its stack"),
        ("exiting", "", "exit", "client ended the process"),
        ("greedy", "limit = { memory = \"128MiB\" }\n", "memory", "wanted more memory than the limit, 134217728 bytes"),
    ] {
        let file = odd.scenario(program, &format!("seeds = \"0..3\"\nisolation = \"process\"\n{more}"));
        let (stdout, _) = odd.squall(&["explore", &file, "--no-shrink"], 100);
        assert!(stdout.contains(&format!("FAIL {property} in 3 of 3 runs")), "{stdout}");
        assert!(stdout.contains(said), "{stdout}");
        assert!(stdout.contains("repeats itself"), "{program}: {stdout}");
    }
    // As much as it wants.
    let file = odd.scenario("greedy", "seeds = \"0..1\"\nisolation = \"process\"\nlimit = { memory = \"2GiB\" }\n");
    odd.squall(&["explore", &file, "--no-check"], 0);
}

/// On a thread it ends the program, which begins again with processes: the same campaign as if they had been asked for.
#[cfg(target_os = "linux")]
#[test]
fn a_campaign_on_threads_outlives_an_abort() {
    for (isolation, leaves) in [("", true), ("isolation = \"auto\"\n", true), ("isolation = \"process\"\n", false)] {
        let odd = Odd::new();
        let file = odd.scenario("aborting", &format!("seeds = \"0..60\"\n{isolation}"));
        let (stdout, stderr) = odd.squall(&["explore", &file, "--message-format", "json"], 100);
        let notes = stderr.lines().filter(|line| line.starts_with("note: the run of seed 0x")).count();
        assert_eq!(notes, usize::from(leaves), "{stderr}");
        if leaves {
            let words = "of aborting has ended the process by signal 6 (abort): it begins again, and from here on each run has a process of its own";
            assert!(stderr.contains(words), "{stderr}");
        }
        let summary: Value = serde_json::from_str(stdout.lines().last().expect("a line")).expect("JSON");
        let (passed, failed) = (summary["passed"].as_u64().unwrap(), summary["failed"].as_u64().unwrap());
        assert!(passed > 0 && failed > 0 && passed + failed == 60, "{summary}");
        let first = &summary["failures"][0];
        assert_eq!((&first["property"], &first["perturbations"]), (&"abort".into(), &1.into()), "{summary}");
        // What was saved says where it is to be run.
        let saved = first["file"].as_str().expect("a file");
        let (_, stderr) = odd.squall(&["replay", saved], 100);
        assert!(!stderr.contains("note:"), "{stderr}");
    }
}

/// Wherever code of the run is executed: threads that tokio makes for what blocks are the run's as well.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[test]
fn a_campaign_on_threads_outlives_what_ends_a_thread_of_spawn_blocking() {
    for how in ["abort", "overflow", "panic twice"] {
        let odd = Odd::new();
        let file =
            odd.scenario("ending-where-it-blocks", &format!("seeds = \"0..30\"\nargs = {{ how = \"{how}\" }}\n"));
        let (stdout, stderr) = odd.squall(&["explore", &file, "--no-shrink", "--message-format", "json"], 100);
        let words = "of ending-where-it-blocks has ended the process by signal 6 (abort): it begins again, and from here on each run has a process of its own";
        assert!(stderr.contains("note: the run of seed 0x") && stderr.contains(words), "{stderr}");
        let summary: Value = serde_json::from_str(stdout.lines().last().expect("a line")).expect("JSON");
        let (passed, failed) = (summary["passed"].as_u64().unwrap(), summary["failed"].as_u64().unwrap());
        assert!(passed > 0 && failed > 0 && passed + failed == 30, "{summary}");
        assert_eq!(summary["failures"][0]["property"], "abort", "{summary}");
    }
}

/// A single run too, from wherever it was called, and whatever it printed before.
#[cfg(target_os = "linux")]
#[test]
fn a_run_on_a_thread_that_overflows_its_stack_is_a_failed_one() {
    let odd = Odd::new();
    let file = odd.scenario("overflowing", "");
    let (stdout, stderr) = odd.squall(&["run", &file, "--seed", "0x1f"], 100);
    assert!(
        stderr.contains("note: the run of seed 0x1f of overflowing has ended the process by signal 6 (abort)"),
        "{stderr}"
    );
    assert!(stdout.contains("FAIL abort") && stdout.contains("has overflowed its stack"), "{stdout}");
    // In a directory of its own, with another mask of files' modes, where it fails: the program begins again where it began.
    let moving = odd.scenario("moving-and-aborting", "");
    let (stdout, _) = odd.squall(&["run", &moving], 100);
    assert!(stdout.contains("FAIL abort"), "{stdout}");
}

/// Who is sent the signal from outside has done nothing: it ends by it, as ever.
#[cfg(target_os = "linux")]
#[test]
fn a_signal_from_outside_ends_the_program() {
    use std::os::unix::process::ExitStatusExt;
    let odd = Odd::new();
    let file = odd.scenario("aborting", "seeds = \"0..1\"\nargs = { how = \"hang\" }\n");
    let mut command = odd.command(&["explore", &file, "--seeds", "0..1000000", "--hang-after", "100s"]);
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("it starts");
    std::thread::sleep(Duration::from_millis(300));
    let sent = Command::new("kill").args(["-ABRT", &child.id().to_string()]).status().expect("kill");
    assert!(sent.success());
    assert_eq!(child.wait().expect("it ends").signal(), Some(6));
}

/// Tests share their process with others: it ends, and says by which run.
#[cfg(target_os = "linux")]
#[test]
fn a_test_on_threads_that_aborts_says_so() {
    use std::os::unix::process::ExitStatusExt;
    let itself = std::env::current_exe().expect("this program");
    let on_gnu = cfg!(target_env = "gnu");
    for (isolation, blocks, is_told) in
        [("thread", false, true), ("process", false, false), ("thread", on_gnu, true), ("process", on_gnu, false)]
    {
        let mut test = Command::new(&itself);
        test.args(["aborts_where_it_is_asked_to", "--exact", "--ignored", "--nocapture"])
            .env("ABORTING_ISOLATION", isolation)
            .env("ABORTING_WHERE_IT_BLOCKS", blocks.to_string());
        let Output { status, stderr, stdout } = test.output().expect("it starts");
        let said = String::from_utf8_lossy(&stdout).into_owned() + &String::from_utf8_lossy(&stderr);
        assert_eq!(status.signal(), is_told.then_some(6), "{said}");
        let words = "squall: the run of seed 0x3 of aborts_where_it_is_asked_to has ended the process by signal 6; with isolation = \"process\" that is one failed run";
        assert_eq!(said.contains(words), is_told, "{said}");
        assert_eq!(said.contains("made the process end by signal 6 (abort)"), !is_told, "{said}");
    }
}

/// Not a test by itself.
#[cfg(target_os = "linux")]
#[test]
#[ignore = "called by another test"]
fn aborts_where_it_is_asked_to() {
    let isolation = std::env::var("ABORTING_ISOLATION").expect("how").parse().expect("an isolation");
    squall::testing::Exploration::new().seeds(3..4).isolation(isolation).run(|world: &mut squall::World| {
        match std::env::var("ABORTING_WHERE_IT_BLOCKS").as_deref() {
            Ok("true") => {
                let body = || async {
                    let _ = tokio::task::spawn_blocking(|| std::process::abort()).await;
                };
                squall::TokioNode::tokio(&mut world.client("client", body));
            }
            _ => {
                world.client("client", || async { std::process::abort() });
            }
        }
    });
}

/// What a system does that has no memory left.
#[test]
fn a_process_that_is_killed_is_a_failed_run() {
    let odd = Odd::new();
    let file = odd.scenario("killing", "seeds = \"0..2\"\nisolation = \"process\"\n");
    let (stdout, _) = odd.squall(&["explore", &file, "--no-shrink"], 100);
    assert!(stdout.contains("FAIL killed in 2 of 2 runs"), "{stdout}");
    assert!(stdout.contains("the process was killed by signal 9 (kill), for want of memory perhaps"), "{stdout}");
}

/// The runtime always has something to do, so that virtual time stands still.
#[test]
fn who_yields_for_ever_to_tokio_is_a_hang() {
    let odd = Odd::new();
    let file = odd.scenario("yielding", "seeds = \"0..2\"\n");
    let (stdout, _) = odd.squall(&["run", &file, "--hang-after", "100ms"], 100);
    assert!(
        stdout.contains("FAIL hang at 3 ms on client") && stdout.contains("without an await that waits"),
        "{stdout}"
    );
    let summary = odd.json(&["explore", &file, "--hang-after", "100ms", "--no-check", "--no-shrink"], 100);
    assert_eq!((&summary["runs"], &summary["failed"]), (&2.into(), &2.into()), "{summary}");
}

/// On threads it is confirmed in a process, which is ended, and what came before the hang is shown.
#[test]
fn a_hang_is_confirmed_shown_and_saved() {
    let odd = Odd::new();
    for isolation in ["thread", "process"] {
        let file = odd.scenario("spinning", &format!("seeds = \"0..2\"\nisolation = \"{isolation}\"\n"));
        let (stdout, _) = odd.squall(&["run", &file, "--hang-after", "100ms"], 100);
        assert!(stdout.contains("client publishes slept: 1") && stdout.contains("FAIL hang at 3 ms"), "{stdout}");
        assert!(stdout.contains("client has not yielded for 100ms"), "{stdout}");
        let summary = odd.json(&["explore", &file, "--hang-after", "100ms", "--no-check"], 100);
        let saved = summary["failures"][0]["file"].as_str().expect("it is saved");
        let replayed = odd.json(&["replay", saved, "--hang-after", "100ms"], 100);
        assert_eq!((&replayed["outcome"], &replayed["property"]), (&"same".into(), &"hang".into()));
        let shrunk = odd.json(&["shrink", saved, "--hang-after", "100ms"], 0);
        assert_eq!((&shrunk["after"], &shrunk["minimal"]), (&0.into(), &true.into()), "{shrunk}");
        std::fs::remove_dir_all(odd.0.path("squall-regressions")).expect("it was there");
    }
}

#[test]
fn a_memory_limit_without_a_process_is_refused_with_its_place() {
    let odd = Odd::new();
    let file = odd.scenario("calm", "limit = { memory = \"1GiB\" }\n");
    let (_, stderr) = odd.squall(&["run", &file], 2);
    assert!(stderr.contains("only a process of its own can be limited"), "{stderr}");
    assert!(stderr.contains("isolation = \"process\""), "{stderr}");
    for (amount, expected) in
        [("1", "512MiB"), ("1GB", "512MiB"), ("63MiB", "at least 64MiB"), ("99999999999GiB", "512MiB")]
    {
        let file = odd.scenario("calm", &format!("isolation = \"process\"\nlimit = {{ memory = \"{amount}\" }}\n"));
        let (_, stderr) = odd.squall(&["run", &file], 2);
        assert!(stderr.contains(expected), "{amount}: {stderr}");
    }
    let file = odd.scenario("calm", "isolation = \"process\"\nlimit = { memory = \"64MiB\" }\n");
    odd.squall(&["run", &file], 0);
}

/// What is recorded of a run isn't the program's memory. Of what a program holds itself, nothing is left out.
#[test]
fn the_limit_on_memory_is_the_program_s_own() {
    let odd = Odd::new();
    let limits = "seeds = \"0..1\"\nisolation = \"process\"\nlimit = { memory = \"64MiB\" }\n";
    let talkative = odd.scenario("talkative", limits);
    let summary = odd.json(&["replay", &talkative, "--seed", "0"], 0);
    // At a hundred bytes each they alone would be more than the limit.
    assert!(summary["events"].as_u64().is_some_and(|events| events > 700_000), "{summary}");
    let greedy = odd.scenario("greedy", limits);
    odd.squall(&["run", &greedy], 100);
}

/// A run is found with its digest, shrunk with its perturbations and shown with all its events: the heap is the same each time.
#[test]
fn what_is_recorded_does_not_move_the_heap() {
    let odd = Odd::new();
    let file = odd.scenario("heap-addressed", "isolation = \"process\"\n");
    let summary = odd.json(&["explore", &file, "--seeds", "0..60"], 100);
    let saved = summary["failures"][0]["file"].as_str().expect("it is saved");
    assert_eq!(odd.json(&["replay", saved], 100)["outcome"], "same", "{summary}");
}

/// Neither the run's process alone nor what it started is left, and neither takes others along.
#[test]
fn a_run_has_a_process_group_of_its_own() {
    let odd = Odd::new();
    let file = odd.scenario("group-killing", "seeds = \"0..30\"\nisolation = \"process\"\n");
    let summary = odd.json(&["explore", &file, "--no-shrink"], 100);
    let (passed, failed) = (summary["passed"].as_u64().unwrap(), summary["failed"].as_u64().unwrap());
    assert!(passed > 0 && failed > 0 && passed + failed == 30, "{summary}");
    assert_eq!(summary["failures"][0]["property"], "killed");

    let seconds = format!("9{}.5", std::process::id());
    let left = odd.scenario("leaving", &format!("isolation = \"process\"\nargs = {{ seconds = \"{seconds}\" }}\n"));
    odd.squall(&["explore", &left, "--seeds", "0..5"], 100);
    assert_none_is_left(&seconds);
}

#[track_caller]
fn assert_none_is_left(argument: &str) {
    assert_soon("it is left", || {
        !std::fs::read_dir("/proc").into_iter().flatten().flatten().any(|entry| {
            std::fs::read(entry.path().join("cmdline"))
                .is_ok_and(|line| String::from_utf8_lossy(&line).split('\0').any(|word| word == argument))
        })
    });
}

/// It is called in this process, to know the properties, before any run: wherever runs are to happen.
#[test]
fn a_description_that_does_not_come_back_is_told() {
    let odd = Odd::new();
    let told = |file: &str, command: &str, said: &str| {
        let (stdout, stderr) = odd.squall(&[command, file, "--hang-after", "1s"], 2);
        let stderr = unwrapped(&stderr);
        assert!(
            stderr.contains("describing.toml: the program's description of its world doesn't come back"),
            "{stderr}"
        );
        assert!(stderr.contains(said) && stderr.contains("describing by"), "{said}: {stdout}{stderr}");
    };
    for isolation in ["thread", "process", "auto"] {
        for (how, said) in [("exit", "it ended the process, with code 0"), ("abort", "by signal 6 (abort)")] {
            let more = format!("isolation = \"{isolation}\"\nargs = {{ how = \"{how}\" }}\n");
            let file = odd.scenario("describing", &more);
            for command in ["explore", "run", "list"] {
                told(&file, command, said);
            }
        }
    }
    for (how, said) in [
        ("overflow", "has overflowed its stack"),
        ("hang", "it is still under way after 2s of real time"),
        ("stop", "it is still under way after 2s of real time"),
    ] {
        told(&odd.scenario("describing", &format!("args = {{ how = \"{how}\" }}\n")), "explore", said);
    }
    // What it has started goes on printing, and is ended with it.
    let seconds = format!("8{}.5", std::process::id());
    let args = format!("args = {{ how = \"leave\", seconds = \"{seconds}\" }}\n");
    let (_, stderr) = odd.squall(&["explore", &odd.scenario("describing", &args), "--hang-after", "1s"], 2);
    assert!(unwrapped(&stderr).contains("it made the process end by signal 6 (abort)"), "{stderr}");
    assert_none_is_left(&seconds);
    let file = odd.scenario("describing", "args = { how = \"calm\" }\n");
    odd.squall(&["run", &file], 0);
}

/// It kills its group: the copy in which it was tried alone.
#[test]
fn a_description_is_tried_in_a_process_group_of_its_own() {
    use std::os::unix::process::CommandExt;
    let odd = Odd::new();
    let file = odd.scenario("describing", "args = { how = \"group\" }\n");
    let output = odd.command(&["run", &file]).process_group(0).output().expect("it starts");
    let stderr = unwrapped(&String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(2), "{stderr}");
    assert!(stderr.contains("the process was killed by signal 9"), "{stderr}");
}

/// When it was tried, it came back.
#[test]
fn a_description_that_exits_later_is_no_success() {
    let odd = Odd::new();
    let file = odd.scenario("describing", "args = { how = \"exit later\" }\n");
    let (stdout, stderr) = odd.squall(&["run", &file], 2);
    assert!(stderr.contains("error: the program's description of its world ended the process"), "{stdout}{stderr}");
}

#[test]
fn a_kept_failure_whose_description_exits_is_told_before_anything_runs() {
    let odd = Odd::new();
    let file = odd.scenario("describing", "isolation = \"process\"\nargs = { how = \"calm\" }\n");
    odd.0.write("squall-regressions/describing/panic-0x1.toml", &place::failure_of_describing(&file, "exit"));
    let (stdout, stderr) = odd.squall(&["explore", &file], 2);
    assert!(unwrapped(&stderr).contains("it ended the process, with code 0"), "{stdout}{stderr}");
    assert!(!stdout.contains("repeats itself"), "{stdout}");
}

/// What comes after the last event, or beside the tasks, is told with its place and its time too.
#[test]
fn a_run_may_end_its_process_anywhere() {
    let odd = Odd::new();
    for (how, who) in
        [("property", "the property sleeps"), ("end", "the property ends"), ("drop", "a destructor at the run's end")]
    {
        let more = format!("isolation = \"process\"\nargs = {{ how = \"{how}\" }}\n");
        let file = odd.scenario("late-ending", &more);
        let (stdout, stderr) = odd.squall(&["explore", &file, "--seeds", "0..3", "--no-shrink"], 100);
        assert!(stdout.contains("FAIL abort at 5 ms"), "{stdout}");
        assert!(
            stdout.contains(&format!("{who} made the process end by signal 6 (abort), called at event")),
            "{stdout}"
        );
        assert!(stdout.contains("client publishes began: 1") || how == "drop", "{stdout}");
        assert!(stdout.contains("repeats itself") && !stderr.contains("wasn't made"), "{stdout}{stderr}");
    }
}

/// A process that somebody stops says nothing more: nobody knows what would have come of its run.
#[test]
fn a_run_that_is_stopped_is_unknown() {
    let odd = Odd::new();
    let file = odd.scenario("stopping", "isolation = \"process\"\n");
    let run = odd.json(&["run", &file, "--hang-after", "100ms"], 120);
    let message = run["message"].as_str().expect("a message");
    assert!(message.contains("said nothing for so long that it was ended"), "{run}");
}

#[test]
fn a_run_that_ends_without_ado_is_a_failed_run() {
    let odd = Odd::new();
    let file = odd.scenario("leaving-at-once", "isolation = \"process\"\n");
    let run = odd.json(&["run", &file], 100);
    assert_eq!(run["property"], "exit");
    let message = run["message"].as_str().expect("a message");
    assert!(message.contains("client ended the process") && message.contains("\n  leaving at once"), "{run}");
}

/// It is run again to find the event at which it ends: that isn't to be heard.
#[test]
fn what_a_run_prints_is_printed_once() {
    let odd = Odd::new();
    let file = odd.scenario("leaving-at-once", "isolation = \"process\"\n");
    let (_, stderr) = odd.squall(&["run", &file], 100);
    assert_eq!(stderr.matches("leaving at once").count(), 1, "{stderr}");
}

/// A Ctrl-C on the terminal is for the command line: no run looks as if it had been killed.
#[test]
fn an_interrupt_reaches_no_run() {
    use std::os::unix::process::CommandExt;
    let odd = Odd::new();
    let file = odd.scenario("talkative", "isolation = \"process\"\n");
    let mut command = odd.command(&["explore", &file, "--for", "10m", "--no-check", "--message-format", "json"]);
    let child = command.process_group(0).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it starts");
    std::thread::sleep(Duration::from_millis(1_500));
    let group = format!("-{}", child.id());
    assert!(Command::new("kill").args(["-INT", "--", &group]).status().expect("kill").success());
    let Output { status, stdout, stderr } = child.wait_with_output().expect("it ends");
    let stdout = String::from_utf8_lossy(&stdout);
    assert_eq!(status.code(), Some(130), "{stdout}{}", String::from_utf8_lossy(&stderr));
    let summary: Value = serde_json::from_str(stdout.lines().last().expect("a line")).expect("JSON");
    assert!(summary["runs"].as_u64() > Some(0) && summary["runs"] == summary["passed"], "{summary}");
}

/// Neither the process that runs are copied from, nor a run that hangs, nor what it has started.
#[test]
fn nothing_is_left_of_an_exploration_that_is_killed() {
    let odd = Odd::new();
    let file = odd.scenario("spinning", "isolation = \"process\"\n");
    odd.kill_once_there_are(&["explore", &file, "--hang-after", "600s", "--no-check", "--jobs", "1"], 3);
    // One that says much, to nobody.
    let file = odd.scenario("talkative", "isolation = \"process\"\n");
    odd.kill_once_there_are(&["explore", &file, "--no-check", "--jobs", "1"], 3);
    // The copy in which a description is tried.
    let file = odd.scenario("describing", "args = { how = \"hang\" }\n");
    odd.kill_once_there_are(&["explore", &file, "--hang-after", "60s"], 2);
}

/// The process that runs are copied from is killed by one of them: nobody knows what would have come of it. The others go on, and nothing
/// of it is left.
#[test]
fn a_run_whose_zygote_is_killed_is_unknown() {
    let odd = Odd::new();
    let file = odd.scenario("orphaning", "seeds = \"0..30\"\nisolation = \"process\"\n");
    let (stdout, _) = odd.squall(&["explore", &file, "--no-check", "--hang-after", "600s"], 120);
    assert!(stdout.contains("the process that runs are copied from was killed by signal 9"), "{stdout}");
    let summary = odd.json(&["explore", &file, "--no-check", "--hang-after", "600s"], 120);
    let (passed, unknown) = (summary["passed"].as_u64().unwrap(), summary["unknown"].as_u64().unwrap());
    assert!(passed > 0 && unknown > 0 && passed + unknown == 30, "{summary}");
    assert_soon("none is left", || odd.processes() == 0);
}

/// A run that didn't end by itself is no second run that a first could be compared with.
#[test]
fn a_second_run_whose_zygote_is_killed_is_no_nondeterminism() {
    for (fails, code, verdict) in [(false, 120, "unknown"), (true, 100, "failed")] {
        let odd = Odd::new();
        let args = format!("isolation = \"process\"\nargs = {{ second = \"seen\", fails = {fails} }}\n");
        let file = odd.scenario("orphaning", &args);
        // One in a hundred of those that pass is run again, and all that fail.
        let explore = ["explore", &file, "--no-check", "--no-shrink", "--hang-after", "600s", "--seeds", "99..100"];
        let (stdout, _) = odd.squall(&explore, code);
        assert!(!stdout.contains("NOT DETERMINISTIC"), "{stdout}");
        let said = "it was run a second time, to see whether it repeats itself, but while this run was on, the process";
        assert!(fails || unwrapped(&stdout).contains(said), "{stdout}");
        std::fs::remove_file(odd.0.path("seen")).expect("it was made");
        assert_eq!(odd.json(&explore, code)[verdict], 1);
        std::fs::remove_file(odd.0.path("seen")).expect("it was made");
        let summary = odd.json(&["replay", &file, "--seed", "99", "--hang-after", "600s"], code);
        assert_eq!(summary["outcome"], "unknown", "{summary}");
        std::fs::remove_file(odd.0.path("seen")).expect("it was made");
        // The check of the first seed finds nothing to compare, and of the seed itself nobody knows.
        let explore = ["explore", &file, "--no-shrink", "--hang-after", "600s", "--seeds", "0..1"];
        let (stdout, stderr) = odd.squall(&explore, 120);
        assert!(stderr.contains("the determinism check wasn't made"), "{stdout}{stderr}");
        assert_soon("none is left", || odd.processes() == 0);
    }
}

/// With its group, what its run has started is ended.
#[test]
fn what_a_run_has_started_whose_zygote_is_killed_is_not_left() {
    let odd = Odd::new();
    let seconds = format!("8{}.5", std::process::id());
    let args = format!("args = {{ seconds = \"{seconds}\" }}\n");
    let file = odd.scenario("orphaning", &format!("seeds = \"0..30\"\nisolation = \"process\"\n{args}"));
    odd.squall(&["explore", &file, "--no-check", "--jobs", "2"], 120);
    assert_none_is_left(&seconds);
}

/// What comes from here on would be runs of another world.
#[test]
fn a_scenario_that_is_edited_meanwhile_ends_the_exploration() {
    let odd = Odd::new();
    let args = "args = { edits = \"orphaning.toml\" }\n";
    let file = odd.scenario("orphaning", &format!("seeds = \"0..30\"\nisolation = \"process\"\n{args}"));
    let finished = odd.command(&["explore", &file, "--no-check", "--jobs", "1"]).output().expect("it starts");
    let finished = Finished::of(&finished).expect(1);
    let said = unwrapped(&finished.stderr);
    assert!(said.contains("orphaning.toml was edited meanwhile"), "{said}");
    // What was found before is told.
    assert!(finished.stdout.contains("runs") && finished.stdout.contains("unknown"), "{}", finished.stdout);
}

/// It says nothing more, and doesn't end.
#[test]
fn a_run_that_executes_another_program_is_a_failed_run() {
    let odd = Odd::new();
    let seconds = format!("7{}.5", std::process::id());
    let args = format!("args = {{ seconds = \"{seconds}\" }}\n");
    let file = odd.scenario("replacing", &format!("isolation = \"process\"\n{args}"));
    let begun = Instant::now();
    let run = odd.json(&["run", &file], 100);
    assert_eq!(run["property"], "exit");
    assert!(run["message"].as_str().is_some_and(|said| said.contains("client executed another program")), "{run}");
    assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
    assert_none_is_left(&seconds);
}

/// Failures are saved where they are said to be, and files are found, though a program goes elsewhere.
#[test]
fn a_run_that_changes_the_directory_changes_its_own() {
    for isolation in ["thread", "process"] {
        let odd = Odd::new();
        let file = odd.scenario("moving", &format!("seeds = \"0..40\"\nisolation = \"{isolation}\"\n"));
        let summary = odd.json(&["explore", &file, "--jobs", "2"], 100);
        let saved = summary["failures"][0]["file"].as_str().expect("it is saved");
        assert!(odd.0.path(saved).is_file(), "{summary}");
        let (stdout, _) = odd.squall(&["replay", saved], 100);
        assert!(stdout.contains("same: panic fails") && stdout.contains("directory was changed to /"), "{stdout}");
    }
}

/// Whatever the poll is that a run ends in, and however much came before.
#[test]
fn whatever_came_before_it_a_run_s_end_is_shrunk() {
    let odd = Odd::new();
    for how in ["abort", "hang"] {
        for sleeps in [0, 1, 2] {
            let args = format!("args = {{ how = \"{how}\", sleeps = {sleeps} }}\n");
            let file = odd.scenario("aborting", &format!("seeds = \"0..15\"\nisolation = \"process\"\n{args}"));
            let (stdout, stderr) = odd.squall(&["run", &file, "--hang-after", "200ms", "--trace", "trace.zst"], 100);
            assert!(stdout.contains(&format!("FAIL {how} at {}.92101 ms on client", 65 + sleeps)), "{stdout}");
            assert!(stdout.contains("-x client datagram 2 tag 2: lost by the link"), "{stdout}");
            assert!(odd.0.path("trace.zst").is_file(), "{stdout}");
            // It is made again to see more of it, and that isn't to be heard.
            assert_eq!(stderr.matches("giving up for good").count(), 1, "{stderr}");
            let summary = odd.json(&["explore", &file, "--hang-after", "200ms", "--no-check"], 100);
            let saved = summary["failures"][0]["file"].as_str().expect("it is saved");
            if how == "hang" {
                // Not by itself: each try takes as long as it takes to see that it hangs.
                assert!(summary["failures"][0]["perturbations"].as_u64() > Some(1), "{summary}");
                odd.squall(&["shrink", saved, "--hang-after", "200ms"], 0);
            }
            let text = std::fs::read_to_string(odd.0.path(saved)).expect("it was written");
            let says: Vec<&str> = text.lines().filter(|line| line.starts_with("says = ")).collect();
            assert_eq!(says, ["says = \"datagram 2 from server to client (tag 2) is lost\""], "{how} {sleeps}");
            std::fs::remove_dir_all(odd.0.path("squall-regressions")).expect("it was there");
        }
    }
}

/// By what the program said, however much that is and whatever came with it.
#[test]
fn each_run_that_wants_too_much_memory_is_told_so() {
    let odd = Odd::new();
    let file = odd.scenario("hoarding", "isolation = \"process\"\nlimit = { memory = \"128MiB\" }\n");
    let summary = odd.json(&["explore", &file, "--seeds", "0..400", "--no-shrink", "--no-check"], 100);
    let properties: Vec<&Value> =
        summary["failures"].as_array().unwrap().iter().map(|failure| &failure["property"]).collect();
    assert!(properties.len() > 40 && properties.iter().all(|property| *property == "memory"), "{summary}");
    let output = odd.command(&["run", &file, "--seed", "4"]).env("RUST_BACKTRACE", "full").output().expect("it starts");
    let stdout = String::from_utf8_lossy(&output.stdout);
    assert!(stdout.contains("FAIL memory") && stdout.contains("(1073741824 bytes at once)"), "{stdout}");
}

/// A copy that a run leaves holds all that was the run's. It isn't waited for.
#[test]
fn a_run_that_leaves_a_copy_of_itself_ends_all_the_same() {
    let odd = Odd::new();
    for (how, property) in [("leave", "hermetic"), ("abort", "abort")] {
        let args = format!("args = {{ how = \"{how}\" }}\n");
        let file = odd.scenario("forking", &format!("seeds = \"0..4\"\nisolation = \"process\"\n{args}"));
        // So long each would take, were it waited for.
        let begun = Instant::now();
        let (stdout, _) = odd.squall(&["explore", &file, "--no-shrink", "--no-check", "--hang-after", "20s"], 100);
        assert!(stdout.contains(&format!("FAIL {property} in 4 of 4 runs")), "{stdout}");
        assert!(begun.elapsed() < Duration::from_secs(40), "{stdout}");
        assert_soon("none is left", || odd.processes() == 0);
    }
}

/// Of a run in a process the same is recorded as of one on a thread: every event, and every decision that wasn't calm, also those that were made
/// again.
#[test]
fn a_process_tells_what_a_thread_does() {
    let odd = Odd::new();
    let file = odd.scenario("losing", "");
    // What is said of a failure, with the names of tasks and flows.
    let failing = odd.scenario("aborting", "seeds = \"0..15\"\nargs = { how = \"panic\", sleeps = 1 }\n");
    let said = |isolation: &str| {
        let set = format!("isolation={isolation}");
        let (stdout, _) = odd.squall(&["run", &failing, "--set", &set], 100);
        stdout.replace(&set, "").replace(&format!("isolation = {isolation}"), "")
    };
    let thread = said("thread");
    assert!(thread.contains("datagram 2 from server to client (tag 2) is lost"), "{thread}");
    assert_eq!(thread, said("process"));
    let told = |isolation: &str| {
        let set = format!("isolation={isolation}");
        let trace = format!("{isolation}.trace.zst");
        let arguments = ["run", &file, "--seed", "3", "--set", &set, "--trace", &trace, "--strategy", "pct:40:90000"];
        let output = odd.command(&arguments).output().expect("it starts");
        let stdout = String::from_utf8(output.stdout).expect("UTF-8");
        let figures = stdout.lines().find(|line| line.contains("decisions not calm")).expect("figures").to_string();
        assert!(!figures.contains("; 0 decisions not calm"), "{figures}");
        figures
    };
    assert_eq!(told("thread"), told("process"));
    let (stdout, _) = odd.squall(&["diff", "thread.trace.zst", "process.trace.zst"], 0);
    assert!(stdout.contains("same: every event and the verdict agree"), "{stdout}");
    let names = |name: &str| squall::trace_file::read(&odd.0.path(name)).expect("a trace").names;
    let thread = names("thread.trace.zst");
    assert!(thread.tasks.len() == 2 && !thread.flows.is_empty(), "{thread:?}");
    assert_eq!(thread, names("process.trace.zst"));
}

/// What is recorded takes its time to be told, and that is none of the program's: its poll doesn't hang.
#[test]
fn to_tell_much_is_no_hang() {
    let odd = Odd::new();
    let file = odd.scenario("bulky", "isolation = \"process\"\n");
    let run = odd.json(&["run", &file, "--hang-after", "500ms"], 0);
    assert_eq!(run["messages"], 64);
}

/// Where there is no process to be had while a failure is shrunk, the failure is saved as it was found, and the summary is told.
#[test]
fn a_failure_that_can_not_be_run_again_is_saved_as_it_was_found() {
    let odd = Odd::new();
    let file = odd.scenario("aborting", "args = { how = \"panic-or-hang\", sleeps = 1 }\n");
    let seed = (0..100_u64).map(|seed| seed.to_string()).find(|seed| {
        let run = odd.command(&["run", &file, "--seed", seed, "--hang-after", "100ms"]).output().expect("it starts");
        String::from_utf8_lossy(&run.stdout).contains("FAIL panic")
    });
    let seed = seed.expect("an answer is lost at times");
    let range = format!("{seed}..{}", seed.parse::<u64>().expect("a number") + 1);
    let command =
        odd.command(&["explore", &file, "--seeds", &range, "--no-check", "--jobs", "1", "--hang-after", "200ms"]);
    let output = after("ulimit -n 9", &command).output().expect("it starts");
    let finished = Finished::of(&output).expect(1);
    let said = format!("{}{}", finished.stdout, finished.stderr);
    assert!(said.contains("can't be shrunk: a process for runs can't be started"), "{said}");
    assert!(said.contains("FAIL panic in 1 of 1 run") && said.contains("1 run in "), "{said}");
    let saved = format!("squall-regressions/aborting/panic-{:#x}.toml", seed.parse::<u64>().expect("a number"));
    assert!(said.contains(&saved), "{said}");
    odd.squall(&["replay", &saved], 100);
}

/// What fails in the first run of a process and in no other can't be searched for what makes it fail.
#[test]
fn a_failure_that_does_not_come_again_in_the_same_process_can_not_be_shrunk() {
    let odd = Odd::new();
    let file = odd.scenario("failing-once", "isolation = \"process\"\n");
    let summary = odd.json(&["explore", &file, "--seeds", "0..1"], 100);
    let saved = summary["failures"][0]["file"].as_str().expect("a path").to_string();
    let before = std::fs::read_to_string(odd.0.path(&saved)).expect("a file");
    odd.squall(&["shrink", &saved], 0);
    odd.scenario("failing-once", "isolation = \"thread\"\n");
    let (_, stderr) = odd.squall(&["shrink", &saved], 110);
    let said = "it can't be shrunk: it failed, and run again at once it doesn't";
    assert!(unwrapped(&stderr).contains(said), "{stderr}");
    let summary = odd.json(&["shrink", &saved], 110);
    assert_eq!((&summary["event"], &summary["outcome"]), (&"shrink-finished".into(), &"same".into()), "{summary}");
    assert_eq!(std::fs::read_to_string(odd.0.path(&saved)).expect("a file"), before);
}

/// Whoever starts it may have told the system that they don't wait for their children, and so may a node.
#[test]
fn an_ignored_end_of_children_changes_nothing() {
    let odd = Odd::new();
    let file = odd.scenario("counting", "seeds = \"0..20\"\nisolation = \"process\"\n");
    let command = odd.command(&["explore", &file]);
    let finished = Finished::of(&after("trap '' CHLD", &command).output().expect("it starts")).expect(0);
    assert!(finished.stdout.contains("20 passed"), "{finished:?}");
    let file = odd.scenario("describing", "args = { how = \"abort\" }\n");
    let command = odd.command(&["run", &file]);
    Finished::of(&after("trap '' CHLD", &command).output().expect("it starts")).expect(2);
}

/// Who builds the program again takes its file away. A campaign that is on goes on with the program that it is.
#[test]
fn a_program_whose_file_is_taken_away_starts_itself_all_the_same() {
    use std::io::{BufRead, BufReader, Read};
    let odd = Odd::new();
    let file = odd.scenario("aborting", "seeds = \"0..40\"\nargs = { how = \"hang\" }\n");
    let program = odd.0.path("copy");
    std::fs::copy(env!("CARGO_BIN_EXE_squall-odd"), &program).expect("a copy");
    let original = odd.command(&["explore", &file, "--no-check", "--hang-after", "500ms", "--max-failures", "1"]);
    let mut command = place::with_its_surroundings(Command::new(&program).args(original.get_args()), &original);
    let mut child = command.stdout(Stdio::piped()).spawn().expect("it starts");
    let mut lines = BufReader::new(child.stdout.take().expect("a pipe"));
    let mut said = String::new();
    lines.read_line(&mut said).expect("a line");
    // Nothing hangs as soon as that.
    std::fs::remove_file(&program).expect("it is there");
    lines.read_to_string(&mut said).expect("text");
    assert_eq!(child.wait().expect("it ends").code(), Some(100), "{said}");
    assert!(said.contains("FAIL hang in 1 of"), "{said}");
}
