//! Programs that misbehave, each in its own way, with the whole command line: what the tests of it run.

mod asking;
mod measured;

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use squall::prelude::{always, eventually};
use squall::scenario::{NoArgs, Program};
use squall::trace::verdict::Judgement;
use squall::trace::{Ending, Event, EventMask, Property};
use squall::{TokioNode, World};

fn main() -> std::process::ExitCode {
    // The same as a project's own target of scenarios.
    if std::env::var_os("SQUALL_ODD_RUNNER").is_some() {
        return squall::harness::main(programs(), squall::build_identity!(), "odd", "scenarios");
    }
    squall::cli::main(programs(), squall::build_identity!())
}

fn programs() -> Vec<Program> {
    let mut programs = vec![
        asking::program(),
        Program::new("calm", "Nothing happens", calm),
        Program::new("asking-rarely", "A client asks whether to do something rare, and reads a knob", asking_rarely),
        Program::new("chatty", "Prints and logs, with characters that no terminal should get", chatty),
        Program::new("hostile", "Logs, sends and fails with what would run or mislead in a page", hostile),
        Program::new("skewed", "Of two transactions neither sees what the other appends", skewed),
        Program::new("counting", "A static outlives the run", counting),
        Program::new("failing-once", "Fails in the first run of its process", failing_once),
        Program::new("addressed", "An address is made known", addressed),
        Program::new("environmental", "The environment is made known", environmental),
        Program::new("waiting", "A client waits for ever", waiting),
        Program::new("endless", "A client never comes to an end", endless),
        Program::new("impossible", "A link to a node that isn't there", impossible),
        Program::new(
            "seldom-impossible",
            "With one seed in a hundred a link leads to a node that isn't there",
            seldom_impossible,
        ),
        Program::new("spinning", "A client never yields", spinning),
        Program::new("yielding", "A task of a client that tokio executes yields for ever", yielding),
        Program::new("careless", "A property panics", careless),
        Program::new("exiting", "A client ends the process, as if all were well", exiting),
        Program::new("drawing", "The description and a property draw", drawing),
        Program::new(
            "aborting",
            "A client aborts (or hangs, or panics), some sleeps after an answer was lost",
            aborting,
        ),
        Program::new("hoarding", "A client prints much, and with one seed in five wants too much memory", hoarding),
        Program::new(
            "orphaning",
            "A client kills the process that its own was copied from, with one seed in three",
            orphaning,
        ),
        Program::new("moving", "A client leaves its directory, and fails with one seed in four", moving),
        Program::new("moving-and-aborting", "A client leaves its directory, and aborts", moving_and_aborting),
        Program::new("replacing", "A client executes another program", replacing),
        Program::new("forking", "A client copies its process, and leaves the copy behind", forking),
        Program::new("overflowing", "A client's stack overflows", overflowing),
        Program::new(
            "ending-where-it-blocks",
            "In spawn_blocking a client aborts, overflows the stack or panics twice, with one seed in four",
            ending_where_it_blocks,
        ),
        Program::new("greedy", "A client wants ever more memory", greedy),
        Program::new("hashing", "The order of a hashbrown map is made known", hashing),
        Program::new("selecting", "Which branch an unbiased select! takes is made known", selecting),
        Program::new("selecting-in-tokio", "As selecting, on a node that tokio executes", selecting_in_tokio),
        Program::new("late-counting", "A static outlives the run, and shows after fifty runs", late_counting),
        Program::new("killing", "A client has its own process killed", killing),
        Program::new(
            "counting-and-failing",
            "A static outlives the run, and one seed in ten fails",
            counting_and_failing,
        ),
        Program::new("undecided", "Fails with one seed in three, and with another one in three never ends", undecided),
        Program::new("writing", "A client writes to a file", writing),
        Program::new("stopping", "A client stops its process", stopping),
        Program::new("leaving-at-once", "A client ends the process without ado, as if all were well", leaving_at_once),
        Program::new("losing", "Fails once forty-one of thirty thousand messages are lost", losing),
        Program::new(
            "talkative",
            "Sends a hundred thousand messages and spawns as many tasks, and holds nothing",
            talkative,
        ),
        Program::new("bulky", "Sends sixty-four messages of a MiB in one poll", bulky),
        Program::new("group-killing", "A client kills its process group, with one seed in three", group_killing),
        Program::new("leaving", "A client starts a process and leaves it", leaving),
        Program::new("describing", "The description of the world doesn't come back", describing),
        Program::new(
            "heap-addressed",
            "Addresses of the heap are made known, and a lost answer is a failure",
            heap_addressed,
        ),
        Program::new(
            "late-ending",
            "Ends the process where `at` says: in a property, at its end, in a destructor",
            late_ending,
        ),
        Program::new("answering", "A lost answer breaks a property, whose name is an argument", answering),
        Program::new(
            "numbering",
            "Makes twenty numbers known, one of which is an argument, and logs another",
            numbering,
        ),
        Program::new("copying", "A register is read where its copy is", copying),
        Program::new("silent", "Of three properties two hear nothing that they could judge", silent),
        Program::new("two-faults", "Fails in one way or another, with one seed in five", two_faults),
    ];
    programs.extend(measured::programs());
    programs
}

fn calm(world: &mut World, _: &NoArgs) {
    world.client("client", || async {});
}

fn asking_rarely(world: &mut World, _: &NoArgs) {
    world.client("client", || async {
        squall::publish("rare", squall::buggify!("something rare"));
        squall::publish("batch", squall::knob!("batch", 64u8, [8, 1]));
    });
    world.fault(squall::crash("client").at(std::time::Duration::from_millis(5)));
}

fn silent(world: &mut World, _: &NoArgs) {
    world.client("client", || async { squall::publish("word", 1) });
    world.check(always("is said", ()).on("word", |(), _: u32| Ok(())));
    world.check(always("is never said", ()).on("sentence", |(), _: u32| Ok(())));
    world.check(eventually("is said late", Duration::from_secs(1)).on("sentence", |_: u32| true));
}

/// What is no text to show: markup, escape sequences, marks that turn the reading direction, a line of ten megabytes, bytes that are no
/// UTF-8.
fn hostile(world: &mut World, _: &NoArgs) {
    const MARKUP: &str = "</script><script>window.hacked = 1</script><img src=x onerror='window.hacked = 2'>";
    world.node("<!--&<b>", || async {
        let endpoint = squall::net::Endpoint::bind("0.0.0.0:80").await?;
        let mut buffer = [0; 128];
        loop {
            endpoint.recv_from(1, &mut buffer).await?;
        }
        #[allow(unreachable_code)]
        Ok::<_, std::io::Error>(())
    });
    world.client("client", || async {
        tracing::info!("{MARKUP}");
        tracing::warn!("\u{1b}[2J\u{1b}]0;title\u{7} and {{{{data}}}}");
        tracing::info!("\u{202e}detrevni\u{2066} \u{200b}\0");
        tracing::info!("{}", "long ".repeat(2 << 20));
        let endpoint = squall::net::Endpoint::bind("0.0.0.0:0").await?;
        endpoint.send_to("<!--&<b>:80", 1, &[0xff, 0xfe, b'<', b'/', 0xc0]).await?;
        endpoint.send_to("<!--&<b>:80", 1, MARKUP.as_bytes()).await?;
        squall::time::sleep(Duration::from_millis(50)).await;
        squall::publish("hostile", MARKUP);
        Ok::<_, std::io::Error>(())
    });
    world.check(
        always("<i>hostile</i>", ()).on("hostile", |_, said: String| Err(format!("{said}\u{202e}\nsecond line"))),
    );
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

fn counting_and_failing(world: &mut World, args: &NoArgs) {
    counting(world, args);
    world.client("other", || async {
        let drawn = rand_core::Rng::next_u64(&mut squall::rand::rng()) % 10;
        assert!(drawn > 0, "drew nothing");
    });
}

/// Fails in the first run of a process, and in no other.
fn failing_once(world: &mut World, _: &NoArgs) {
    static RUNS: AtomicU64 = AtomicU64::new(0);
    world.client("client", || async { assert!(RUNS.fetch_add(1, Ordering::Relaxed) > 0, "the first") });
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

#[derive(serde::Serialize, serde::Deserialize)]
struct AfterALoss {
    how: String,
    sleeps: u64,
}

impl Default for AfterALoss {
    fn default() -> AfterALoss {
        AfterALoss { how: "abort".to_string(), sleeps: 0 }
    }
}

/// The answer that is lost makes it abort.
fn aborting(world: &mut World, args: &AfterALoss) {
    use squall::net::Endpoint;
    use squall::prelude::*;
    world.node("server", || async {
        let endpoint = Endpoint::bind("0.0.0.0:80").await?;
        let mut question = [0; 8];
        while let Ok((_, from)) = endpoint.recv_from(1, &mut question).await {
            endpoint.send_to(from, 2, b"yes").await?;
        }
        Ok::<(), std::io::Error>(())
    });
    let (how, sleeps) = (args.how.clone(), args.sleeps);
    world.client("client", move || {
        let how = how.clone();
        async move {
            let endpoint = Endpoint::bind("0.0.0.0:0").await?;
            for _ in 0..5 {
                endpoint.send_to("server:80", 1, b"well?").await?;
                let mut answer = [0; 8];
                if squall::time::timeout(50.ms(), endpoint.recv_from(2, &mut answer)).await.is_err() {
                    eprintln!("no answer: giving up for good");
                    for _ in 0..sleeps {
                        squall::time::sleep(1.ms()).await;
                    }
                    match &*how {
                        "abort" => std::process::abort(),
                        "hang" => wait_for_ever(),
                        _ => panic!("no answer"),
                    }
                }
            }
            if how == "panic-or-hang" {
                wait_for_ever();
            }
            Ok::<(), std::io::Error>(())
        }
    });
    world.link("client", "server").latency(uniform(1.ms(), 10.ms())).loss(percent(4));
}

fn moving_and_aborting(world: &mut World, _: &NoArgs) {
    world.client("client", || async {
        std::env::set_current_dir("/")?;
        std::process::abort();
        #[expect(unreachable_code, reason = "its type is to be known")]
        Ok::<(), std::io::Error>(())
    });
}

fn deeper(depth: u64) -> u64 {
    let here = std::hint::black_box([depth; 64]);
    if depth == u64::MAX { 0 } else { deeper(depth + 1) + here[7] }
}

fn overflowing(world: &mut World, _: &NoArgs) {
    world.client("client", || async {
        squall::time::sleep(Duration::from_millis(1)).await;
        squall::publish("depth", deeper(0));
    });
}

#[derive(Clone, Default, serde::Serialize, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
struct HowItEnds {
    how: String,
}

/// On a thread of tokio's, beside the run's own.
fn ending_where_it_blocks(world: &mut World, args: &HowItEnds) {
    struct PanicsAgain;
    impl Drop for PanicsAgain {
        fn drop(&mut self) {
            panic!("and again");
        }
    }
    let how = args.how.clone();
    world
        .client("client", move || {
            let how = how.clone();
            async move {
                tokio::time::sleep(Duration::from_millis(1)).await;
                if !rand_core::Rng::next_u64(&mut squall::rand::rng()).is_multiple_of(4) {
                    return;
                }
                let end = move || match &*how {
                    "overflow" => deeper(0),
                    "panic twice" => {
                        let _again = PanicsAgain;
                        panic!("once");
                    }
                    _ => std::process::abort(),
                };
                let _ = tokio::task::spawn_blocking(end).await;
            }
        })
        .tokio();
}

fn greedy(world: &mut World, _: &NoArgs) {
    world.client("client", || async {
        let mut hoard: Vec<Vec<u8>> = Vec::new();
        // Half a GiB: more than the limit in the tests, and no more than a machine bears if that doesn't hold.
        for _ in 0..64 {
            hoard.push(vec![1; 8 << 20]);
            squall::time::sleep(Duration::from_millis(1)).await;
        }
        squall::publish("hoard", hoard.len());
    });
}

/// Waits for something outside of the run.
fn wait_for_ever() -> ! {
    let (mut from, _to) = std::io::pipe().expect("a pipe");
    loop {
        let _ = std::io::Read::read(&mut from, &mut [0]);
    }
}

fn hoarding(world: &mut World, _: &NoArgs) {
    world.client("client", || async {
        for number in 0..100 {
            eprintln!("busy with {number}");
        }
        if rand_core::Rng::next_u64(&mut squall::rand::rng()).is_multiple_of(5) {
            let hoard = vec![1_u8; 1 << 30];
            squall::publish("hoard", hoard.len());
        }
    });
}

#[derive(Clone, Default, serde::Serialize, serde::Deserialize)]
#[serde(default)]
struct Orphaning {
    /// It starts another process before, for so long.
    seconds: String,
    /// And writes to that file.
    edits: String,
    /// Does it in the second run alone, by that file, which the first one makes.
    second: String,
    /// Fails where it doesn't.
    fails: bool,
}

fn orphaning(world: &mut World, args: &Orphaning) {
    use std::io::Write;
    let args = args.clone();
    world.client("client", move || {
        let args = args.clone();
        async move {
            squall::time::sleep(Duration::from_millis(1)).await;
            let is_one_in_three = rand_core::Rng::next_u64(&mut squall::rand::rng()).is_multiple_of(3);
            let is_second = || std::fs::File::options().write(true).create_new(true).open(&args.second).is_err();
            if if args.second.is_empty() { is_one_in_three } else { is_second() } {
                if !args.seconds.is_empty() {
                    let _ = std::process::Command::new("sleep").arg(&args.seconds).spawn();
                }
                if !args.edits.is_empty() {
                    let file = std::fs::File::options().append(true).open(&args.edits);
                    let _ = file.and_then(|mut file| writeln!(file, "# edited"));
                }
                if let Some(parent) = rustix::process::getppid() {
                    let _ = rustix::process::kill_process(parent, rustix::process::Signal::KILL);
                }
                wait_for_ever();
            }
            assert!(!args.fails, "as it is to");
        }
    });
}

/// Leaves its directory before it fails.
fn moving(world: &mut World, _: &NoArgs) {
    world.client("client", || async {
        std::env::set_current_dir("/")?;
        let drawn = rand_core::Rng::next_u64(&mut squall::rand::rng());
        assert!(!drawn.is_multiple_of(4), "drew nothing");
        Ok::<(), std::io::Error>(())
    });
}

fn replacing(world: &mut World, args: &Seconds) {
    use std::os::unix::process::CommandExt;
    let seconds = args.seconds.clone();
    world.client("client", move || {
        let seconds = seconds.clone();
        async move { Err::<(), _>(std::process::Command::new("sleep").arg(seconds).exec()) }
    });
}

fn forking(world: &mut World, args: &How) {
    let aborts = args.how == "abort";
    world.client("client", move || async move {
        squall::time::sleep(Duration::from_millis(1)).await;
        if let Ok(squall_hermetic::process::Forked::Child) = squall_hermetic::process::fork() {
            wait_for_ever();
        }
        if aborts {
            std::process::abort();
        }
    });
}

fn killing(world: &mut World, _: &NoArgs) {
    world.client("client", || async {
        squall::time::sleep(Duration::from_millis(1)).await;
        let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
    });
}

fn writing(world: &mut World, _: &NoArgs) {
    world.client("client", || async { std::fs::write("written", "more than nothing") });
}

fn stopping(world: &mut World, _: &NoArgs) {
    world.client("client", || async {
        let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::STOP);
    });
}

fn leaving_at_once(world: &mut World, _: &NoArgs) {
    world.client("client", || async {
        squall::time::sleep(Duration::from_millis(1)).await;
        eprintln!("leaving at once");
        squall_hermetic::process::exit_at_once(0)
    });
}

fn undecided(world: &mut World, _: &NoArgs) {
    world.client("client", || async {
        match rand_core::Rng::next_u64(&mut squall::rand::rng()) % 3 {
            0 => panic!("decided"),
            1 => loop {
                squall::time::sleep(Duration::from_secs(1)).await;
            },
            _ => {}
        }
    });
}

fn talkative(world: &mut World, _: &NoArgs) {
    use squall::net::Endpoint;
    use squall::prelude::*;
    world.node("server", || async {
        let endpoint = Endpoint::bind("0.0.0.0:80").await?;
        let mut text = [0; 64];
        loop {
            endpoint.recv_from(1, &mut text).await?;
            squall::publish("heard", text[0]);
        }
        #[expect(unreachable_code, reason = "it says what the loop's errors are")]
        Ok::<(), std::io::Error>(())
    });
    world.client("client", || async {
        let endpoint = Endpoint::bind("0.0.0.0:0").await?;
        for _ in 0..100_000 {
            endpoint.send_to("server:80", 1, &[7; 64]).await?;
            squall::spawn(squall::time::sleep(1.ms())).await?;
        }
        Ok::<(), std::io::Error>(())
    });
    world.link("client", "server").latency(uniform(1.ms(), 10.ms())).loss(percent(4));
}

fn bulky(world: &mut World, _: &NoArgs) {
    use squall::net::Endpoint;
    world.client("client", || async {
        let endpoint = Endpoint::bind("0.0.0.0:0").await?;
        for number in 0..64 {
            endpoint.send_to("client:80", 1, &vec![number; 1 << 20]).await?;
        }
        Ok::<(), std::io::Error>(())
    });
}

fn group_killing(world: &mut World, _: &NoArgs) {
    world.client("client", || async {
        squall::time::sleep(Duration::from_millis(1)).await;
        if rand_core::Rng::next_u64(&mut squall::rand::rng()).is_multiple_of(3) {
            let _ = rustix::process::kill_current_process_group(rustix::process::Signal::KILL);
        }
    });
}

#[derive(Default, serde::Serialize, serde::Deserialize)]
struct Seconds {
    seconds: String,
}

fn leaving(world: &mut World, args: &Seconds) {
    let seconds = args.seconds.clone();
    world.client("client", move || {
        let seconds = seconds.clone();
        async move {
            squall::publish("left", std::process::Command::new("sleep").arg(seconds).spawn().is_ok());
        }
    });
}

#[derive(serde::Serialize, serde::Deserialize)]
struct How {
    how: String,
}

impl Default for How {
    fn default() -> How {
        How { how: "exit".to_string() }
    }
}

#[derive(serde::Serialize, serde::Deserialize)]
struct Describing {
    how: String,
    seconds: String,
}

impl Default for Describing {
    fn default() -> Describing {
        Describing { how: "exit".to_string(), seconds: String::new() }
    }
}

fn describing(world: &mut World, args: &Describing) {
    eprintln!("describing by {}", args.how);
    match &*args.how {
        "exit" => std::process::exit(0),
        "abort" => std::process::abort(),
        // What it has started holds its output.
        "leave" => {
            let prints = ["-c", "while :; do echo here; done", &args.seconds];
            drop(std::process::Command::new("sh").args(prints).spawn());
            std::process::abort();
        }
        "group" => drop(rustix::process::kill_current_process_group(rustix::process::Signal::KILL)),
        "hang" => wait_for_ever(),
        "stop" => drop(rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::STOP)),
        "overflow" => squall::publish("depth", deeper(0)),
        // The first to describe it in this directory comes back.
        "exit later" if std::fs::create_dir("described").is_err() => std::process::exit(0),
        _ => {}
    }
    world.client("client", || async {});
}

/// What is recorded must not move the heap.
fn heap_addressed(world: &mut World, _: &NoArgs) {
    use squall::net::Endpoint;
    use squall::prelude::*;
    world.node("server", || async {
        let endpoint = Endpoint::bind("0.0.0.0:80").await?;
        let mut question = [0; 8];
        while let Ok((_, from)) = endpoint.recv_from(1, &mut question).await {
            endpoint.send_to(from, 2, b"yes").await?;
        }
        Ok::<(), std::io::Error>(())
    });
    world.client("client", || async {
        let endpoint = Endpoint::bind("0.0.0.0:0").await?;
        let mut held = Vec::new();
        for number in 0..50_usize {
            endpoint.send_to("server:80", 1, b"well?").await?;
            held.push(vec![0_u8; 40 * number % 700 + 1]);
            squall::publish("held", held.last().map(|held| held.as_ptr() as usize));
            let answer = squall::time::timeout(50.ms(), endpoint.recv_from(2, &mut [0; 8])).await;
            assert!(answer.is_ok(), "no answer");
        }
        Ok::<(), std::io::Error>(())
    });
    world.link("client", "server").latency(uniform(1.ms(), 10.ms())).loss(permille(2));
}

#[derive(Clone, serde::Deserialize, serde::Serialize)]
#[serde(default, deny_unknown_fields)]
struct Named {
    property: String,
}

impl Default for Named {
    fn default() -> Named {
        Named { property: "answered".to_string() }
    }
}

fn answering(world: &mut World, args: &Named) {
    use squall::net::Endpoint;
    use squall::prelude::*;
    world.node("server", || async {
        let endpoint = Endpoint::bind("0.0.0.0:80").await?;
        while let Ok((_, from)) = endpoint.recv_from(1, &mut [0; 8]).await {
            endpoint.send_to(from, 2, b"yes").await?;
        }
        Ok::<(), std::io::Error>(())
    });
    world.client("client", || async {
        let endpoint = Endpoint::bind("0.0.0.0:0").await?;
        for _ in 0..5 {
            endpoint.send_to("server:80", 1, b"well?").await?;
            let answer = squall::time::timeout(50.ms(), endpoint.recv_from(2, &mut [0; 8])).await;
            squall::publish("answer", answer.is_ok());
        }
        Ok::<(), std::io::Error>(())
    });
    world.link("client", "server").latency(uniform(1.ms(), 10.ms())).loss(percent(4));
    world.check(always(args.property.clone(), ()).on("answer", |(), came: bool| {
        ensure!(came, "there was no answer");
        Ok(())
    }));
}

#[derive(Clone, Default, serde::Deserialize, serde::Serialize)]
#[serde(default, deny_unknown_fields)]
struct Numbers {
    tenth: u64,
    logged: u64,
}

fn numbering(world: &mut World, args: &Numbers) {
    use squall::prelude::*;
    let Numbers { tenth, logged } = *args;
    world.client("client", move || async move {
        for number in 1..=20 {
            squall::publish("number", if number == 10 { tenth } else { number });
            tracing::info!(logged, "said");
            squall::time::sleep(1.ms()).await;
        }
    });
}

#[derive(Clone, serde::Deserialize, serde::Serialize)]
#[serde(default, deny_unknown_fields)]
struct Copied {
    copied: bool,
}

impl Default for Copied {
    fn default() -> Copied {
        Copied { copied: true }
    }
}

/// Each of two clients appends to a list of its own while it reads the other's, which is empty still; then one reads both.
fn skewed(world: &mut World, _: &NoArgs) {
    use squall::check::Value;
    use squall::history::Client;
    use squall::prelude::*;
    let append = |key: &str| Value::from(vec![Value::from("append"), key.into(), 1.into()]);
    let read = |key: &str, list: Value| Value::from(vec![Value::from("r"), key.into(), list]);
    world.clients("client", 2, move |number| async move {
        let (own, other) = if number == 0 { ("x", "y") } else { ("y", "x") };
        let mut client = Client::new();
        squall::time::sleep((1 + u64::from(number)).ms()).await;
        let both = |list: Value| vec![append(own), read(other, list)];
        let open = client.invoke("txn", both(().into()));
        squall::time::sleep(5.ms()).await;
        open.ok(both(Vec::<Value>::new().into()));
        if number == 0 {
            squall::time::sleep(5.ms()).await;
            let open = client.invoke("txn", vec![read("x", ().into()), read("y", ().into())]);
            open.ok(vec![read("x", vec![1].into()), read("y", vec![1].into())]);
        }
    });
}

/// One client writes to the first node, which passes on what it has; the other reads from the second, or from the first as well.
fn copying(world: &mut World, args: &Copied) {
    use squall::history::Client;
    use squall::net::Endpoint;
    use squall::prelude::*;
    let reads_elsewhere = args.copied;
    for (name, other) in [("first", "second:80"), ("second", "first:80")] {
        world.node(name, move || async move {
            let endpoint = std::rc::Rc::new(Endpoint::bind("0.0.0.0:80").await?);
            let value = std::rc::Rc::new(std::cell::Cell::new(0));
            let (copies, copied) = (std::rc::Rc::clone(&endpoint), std::rc::Rc::clone(&value));
            squall::task::spawn_local(async move {
                let mut copy = [0];
                while copies.recv_from(3, &mut copy).await.is_ok() {
                    copied.set(copy[0]);
                }
            });
            let mut asked = [0];
            while let Ok((_, from)) = endpoint.recv_from(1, &mut asked).await {
                if asked[0] > 0 {
                    value.set(asked[0]);
                    endpoint.send_to(other, 3, &asked).await?;
                }
                endpoint.send_to(from, 2, &[value.get()]).await?;
            }
            Ok::<(), std::io::Error>(())
        });
    }
    world.clients("client", 2, move |number| async move {
        let endpoint = Endpoint::bind("0.0.0.0:0").await?;
        let mut client = Client::new();
        for round in 1..=5_u8 {
            let writes = number == 0;
            let value = if writes { round } else { 0 };
            let store = if writes || !reads_elsewhere { "first:80" } else { "second:80" };
            let open = if writes { client.invoke("write", value) } else { client.invoke("read", ()) };
            endpoint.send_to(store, 1, &[value]).await?;
            let mut answer = [0];
            match squall::time::timeout(40.ms(), endpoint.recv_from(2, &mut answer)).await {
                Err(_) => open.info(),
                Ok(_) if writes => open.ok(value),
                Ok(_) if answer[0] == 0 => open.ok(()),
                Ok(_) => open.ok(answer[0]),
            }
        }
        Ok::<(), std::io::Error>(())
    });
    world.network().latency(uniform(1.ms(), 10.ms())).loss(percent(3));
}

fn late_ending(world: &mut World, args: &How) {
    struct Aborts;
    impl Drop for Aborts {
        fn drop(&mut self) {
            std::process::abort();
        }
    }
    world.client("client", || async {
        squall::publish("began", 1);
        squall::time::sleep(Duration::from_millis(5)).await;
        squall::publish("slept", 1);
    });
    match &*args.how {
        "property" => world.check(always("sleeps", ()).on("slept", |(), _: u64| std::process::abort())),
        "end" => world.check(always("ends", ()).at_end(|()| std::process::abort())),
        _ => {
            world.node("holder", || async {
                let _held = Aborts;
                std::future::pending::<()>().await;
            });
        }
    }
}

fn hashing(world: &mut World, _: &NoArgs) {
    world.client("client", || async {
        let map: hashbrown::HashMap<u32, ()> = (0..20).map(|key| (key, ())).collect();
        squall::publish("order", map.into_keys().collect::<Vec<_>>());
    });
}

fn selecting(world: &mut World, _: &NoArgs) {
    world.client("client", || async {
        for _ in 0..20 {
            let taken = tokio::select! {
                () = std::future::ready(()) => "first",
                () = std::future::ready(()) => "second",
            };
            squall::publish("taken", taken);
        }
    });
}

fn selecting_in_tokio(world: &mut World, _: &NoArgs) {
    let select = || async {
        let tasks = [1, 2].map(|_| {
            tokio::spawn(async {
                tokio::select! {
                    () = std::future::ready(()) => "first",
                    () = std::future::ready(()) => "second",
                }
            })
        });
        for task in tasks {
            squall::publish("taken", task.await.expect("it doesn't panic"));
        }
    };
    world
        .client("client", move || async move {
            for _ in 0..10 {
                select().await;
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        })
        .tokio();
}

fn late_counting(world: &mut World, _: &NoArgs) {
    static RUNS: AtomicU64 = AtomicU64::new(0);
    world.client("client", || async {
        squall::publish("many", RUNS.fetch_add(1, Ordering::Relaxed).saturating_sub(50));
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
        // What came before is to be seen, also what began at another instant.
        squall::publish("began", 1);
        squall::time::sleep(Duration::from_millis(3)).await;
        squall::publish("slept", 1);
        squall::task::yield_now().await;
        loop {
            std::hint::spin_loop();
        }
    });
}

fn yielding(world: &mut World, _: &NoArgs) {
    let body = || async {
        tokio::time::sleep(Duration::from_millis(3)).await;
        loop {
            tokio::task::yield_now().await;
        }
    };
    world.client("client", body).tokio();
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

fn seldom_impossible(world: &mut World, _: &NoArgs) {
    world.client("client", || async {
        let drawn = rand_core::Rng::next_u64(&mut squall::rand::rng()) % 10;
        assert!(drawn > 0, "drew nothing");
    });
    if rand_0_10::random::<u64>().is_multiple_of(100) {
        world.link("client", "nobody");
    }
}

/// To find the few that it takes needs many runs, each of which takes a while.
fn losing(world: &mut World, _: &NoArgs) {
    use squall::net::Endpoint;
    use squall::prelude::*;
    const SENT: usize = 30_000;
    world.node("server", || async {
        let endpoint = Endpoint::bind("0.0.0.0:80").await?;
        for heard in 1.. {
            endpoint.recv_from(1, &mut [0; 8]).await?;
            squall::publish("heard", heard);
        }
        Ok::<(), std::io::Error>(())
    });
    world.client("client", || async {
        let endpoint = Endpoint::bind("0.0.0.0:0").await?;
        for _ in 0..SENT {
            endpoint.send_to("server:80", 1, b"there").await?;
        }
        squall::time::sleep(1.secs()).await;
        squall::publish("sent", SENT);
        Ok::<(), std::io::Error>(())
    });
    world.link("client", "server").latency(uniform(1.ms(), 10.ms())).loss(percent(2));
    let heard = always("few-are-lost", 0).on("heard", |heard, now: usize| {
        *heard = now;
        Ok(())
    });
    world.check(heard.on("sent", |heard, sent: usize| {
        ensure!(sent - *heard <= 40, "{} messages are lost", sent - *heard);
        Ok(())
    }));
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
