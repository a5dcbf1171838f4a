//! Disks: what programs see of their files, what a crash leaves of them, and every way in which a disk fails.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io::{ErrorKind, SeekFrom};
use std::rc::Rc;
use std::time::Duration;

use futures::FutureExt;
use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use squall::fs::{self, File};
use squall::prelude::*;
use squall::time::{Instant, sleep, sleep_until};
use squall::trace::plan::Bases;
use squall::trace::{EventKind, Outcome, Perturbation, Plan, Record, Seed, SiteKind, StrategyChoice, Verdict};
use squall::{Cluster, Simulation, World, publish};
use squall_tests::{facts, failure, passes, run};
use tokio::io::{AsyncReadExt, AsyncSeekExt, AsyncWriteExt};

const SECTOR: usize = 512;

fn kind<T>(result: std::io::Result<T>) -> ErrorKind {
    result.err().expect("it is to fail").kind()
}

fn alone<Fut: Future<Output = std::io::Result<()>> + 'static>(
    program: fn() -> Fut,
) -> impl Fn(&mut World) + Send + Sync {
    move |world: &mut World| {
        world.client("client", program);
    }
}

// --- what programs see --------------------------------------------------------------------------------------------------

#[test]
fn files_are_written_and_read_as_with_tokio() {
    passes(alone(|| async {
        fs::create_dir_all("/var/lib").await?;
        let mut file = File::create("/var/lib/../lib/./notes").await?;
        file.write_all(b"hello, world").await?;
        file.flush().await?;
        file.seek(SeekFrom::Start(7)).await?;
        file.write_all(b"there").await?;
        assert_eq!(kind(file.read(&mut [0; 4]).await), ErrorKind::Other, "it wasn't opened to be read");
        file.sync_all().await?;
        // A relative path begins at the root.
        assert_eq!(fs::read_to_string("var/lib/notes").await?, "hello, there");
        let mut file = File::options().read(true).write(true).open("/var/lib/notes").await?;
        let mut buffer = [0; 5];
        file.read_exact(&mut buffer).await?;
        assert_eq!(&buffer, b"hello");
        let mut clone = file.try_clone().await?;
        assert_eq!(clone.stream_position().await?, 5, "clones have one position");
        clone.seek(SeekFrom::End(-2)).await?;
        let mut rest = String::new();
        file.read_to_string(&mut rest).await?;
        assert_eq!(rest, "re");
        assert_eq!(kind(file.seek(SeekFrom::Current(-13)).await), ErrorKind::InvalidInput);
        drop(clone);
        file.write_all_at(b"J", 0).await?;
        file.read_exact_at(&mut buffer[..1], 0).await?;
        assert_eq!((buffer[0], file.stream_position().await?), (b'J', 12));
        assert_eq!(kind(file.read_exact_at(&mut buffer, 8).await), ErrorKind::UnexpectedEof);
        assert_eq!(file.read_at(&mut buffer, 12).await?, 0);
        file.set_len(2).await?;
        file.set_len(4).await?;
        assert_eq!(fs::read("/var/lib/notes").await?, b"Je\0\0");
        let mut log = File::options().append(true).open("/var/lib/notes").await?;
        log.write_all(b"!").await?;
        file.write_all_at(b"??", 6).await?;
        log.write_all(b"!").await?;
        assert_eq!(fs::read("/var/lib/notes").await?, b"Je\0\0!\0??!");
        assert_eq!(file.metadata().await?.len(), 9);
        assert_eq!(fs::copy("/var/lib/notes", "/copy").await?, 9);
        fs::rename("/copy", "/var/copy").await?;
        let mut entries = fs::read_dir("/var").await?;
        let mut names = Vec::new();
        while let Some(entry) = entries.next_entry().await? {
            names.push((entry.path().display().to_string(), entry.metadata().await?.is_dir()));
        }
        assert_eq!(names, [("/var/copy".to_string(), false), ("/var/lib".to_string(), true)]);
        fs::remove_dir_all("/var").await?;
        assert!(!fs::try_exists("/var").await?);
        // Who has it open goes on.
        assert_eq!(file.metadata().await?.len(), 9);
        file.write_all_at(b"x", 0).await?;
        file.read_exact_at(&mut buffer[..1], 0).await?;
        assert_eq!(buffer[0], b'x');
        Ok(())
    }));
}

#[test]
fn what_can_t_be_done_is_refused_with_std_s_kinds_and_the_path() {
    passes(alone(|| async {
        fs::write("/file", "text").await?;
        fs::create_dir_all("/full/inside").await?;
        fs::create_dir("/empty").await?;
        for (result, expected) in [
            (fs::read("/none").await.map(drop), ErrorKind::NotFound),
            (fs::read("").await.map(drop), ErrorKind::NotFound),
            (fs::read("/a\0b").await.map(drop), ErrorKind::InvalidInput),
            (fs::read("/file/below").await.map(drop), ErrorKind::NotADirectory),
            (fs::read("/full").await.map(drop), ErrorKind::IsADirectory),
            (fs::write("/full", "").await, ErrorKind::IsADirectory),
            (fs::write("/none/file", "").await, ErrorKind::NotFound),
            (File::create_new("/file").await.map(drop), ErrorKind::AlreadyExists),
            (File::options().open("/file").await.map(drop), ErrorKind::InvalidInput),
            (File::options().read(true).truncate(true).open("/file").await.map(drop), ErrorKind::InvalidInput),
            (File::options().read(true).create(true).open("/file").await.map(drop), ErrorKind::InvalidInput),
            (fs::create_dir("/empty").await, ErrorKind::AlreadyExists),
            (fs::create_dir("/none/deep").await, ErrorKind::NotFound),
            (fs::create_dir_all("/file").await, ErrorKind::AlreadyExists),
            (fs::create_dir_all("/file/deep").await, ErrorKind::AlreadyExists),
            (fs::remove_file("/none").await, ErrorKind::NotFound),
            (fs::remove_file("/empty").await, ErrorKind::IsADirectory),
            (fs::remove_dir("/file").await, ErrorKind::NotADirectory),
            (fs::remove_dir("/full").await, ErrorKind::DirectoryNotEmpty),
            (fs::remove_dir("/").await, ErrorKind::ResourceBusy),
            (fs::rename("/none", "/other").await, ErrorKind::NotFound),
            (fs::rename("/file", "/empty").await, ErrorKind::IsADirectory),
            (fs::rename("/empty", "/file").await, ErrorKind::NotADirectory),
            (fs::rename("/empty", "/full").await, ErrorKind::DirectoryNotEmpty),
            (fs::rename("/full", "/full/inside/deep").await, ErrorKind::InvalidInput),
            (fs::read_dir("/file").await.map(drop), ErrorKind::NotADirectory),
            (fs::metadata("/none").await.map(drop), ErrorKind::NotFound),
        ] {
            assert_eq!(kind(result), expected);
        }
        let error = fs::read("none/../gone").await.unwrap_err();
        assert_eq!(error.to_string(), "/gone: no such file or directory");
        fs::write("/bytes", [0xff]).await?;
        assert_eq!(kind(fs::read_to_string("/bytes").await), ErrorKind::InvalidData);
        fs::rename("/file", "/file").await?;
        fs::rename("/full", "/empty").await?;
        assert!(fs::metadata("/empty/inside").await?.is_dir());
        Ok(())
    }));
}

#[derive(Clone, Debug)]
enum Op {
    Write(usize, Vec<u8>),
    Append(usize, Vec<u8>),
    WriteAt(usize, u64, Vec<u8>),
    Truncate(usize, u64),
    CreateDirectory(usize),
    RemoveFile(usize),
    RemoveDirectory(usize),
    Rename(usize, usize),
    List(usize),
    Sync(usize),
}

const PATHS: [&str; 9] = ["/", "/a", "/b", "/a/x", "/a/y", "/b/x", "/a/x/deep", "/b/x/deep", "/b/x/deeper"];

fn op() -> impl Strategy<Value = Op> {
    let path = || 0..PATHS.len();
    let bytes = || proptest::collection::vec(any::<u8>(), 0..700);
    prop_oneof![
        3 => (path(), bytes()).prop_map(|(path, bytes)| Op::Write(path, bytes)),
        2 => (path(), bytes()).prop_map(|(path, bytes)| Op::Append(path, bytes)),
        2 => (path(), 0u64..900, bytes()).prop_map(|(path, at, bytes)| Op::WriteAt(path, at, bytes)),
        1 => (path(), 0u64..900).prop_map(|(path, length)| Op::Truncate(path, length)),
        3 => path().prop_map(Op::CreateDirectory),
        1 => path().prop_map(Op::RemoveFile),
        1 => path().prop_map(Op::RemoveDirectory),
        4 => (path(), path()).prop_map(|(from, to)| Op::Rename(from, to)),
        1 => path().prop_map(Op::List),
        2 => path().prop_map(Op::Sync),
    ]
}

/// What a file system is, without disks: paths and what they name, directories as `None`.
#[derive(Default)]
struct Model(BTreeMap<String, Option<Vec<u8>>>);

impl Model {
    fn parent(path: &str) -> &str {
        match path.rsplit_once('/') {
            Some(("", _)) | None => "/",
            Some((parent, _)) => parent,
        }
    }

    fn is_directory(&self, path: &str) -> bool {
        path == "/" || matches!(self.0.get(path), Some(None))
    }

    fn has(&self, path: &str) -> bool {
        path == "/" || self.0.contains_key(path)
    }

    fn is_empty(&self, path: &str) -> bool {
        !self.0.keys().any(|other| other.starts_with(&format!("{path}/")))
    }

    fn file(&mut self, path: &str, creates: bool) -> Option<&mut Vec<u8>> {
        if creates && !self.has(path) && self.is_directory(Model::parent(path)) {
            self.0.insert(path.to_string(), Some(Vec::new()));
        }
        self.0.get_mut(path)?.as_mut()
    }

    /// Whether it can be done; if so it is.
    fn rename(&mut self, from: &str, to: &str) -> bool {
        if from == "/" || to == "/" || !self.has(from) || !self.is_directory(Model::parent(to)) {
            return false;
        }
        if from == to {
            return true;
        }
        let is_directory = self.is_directory(from);
        let fits = !self.has(to) || (self.is_directory(to) == is_directory && (!is_directory || self.is_empty(to)));
        if !fits || to.starts_with(&format!("{from}/")) {
            return false;
        }
        let moved: Vec<String> =
            self.0.keys().filter(|path| *path == from || path.starts_with(&format!("{from}/"))).cloned().collect();
        for path in moved {
            let what = self.0.remove(&path).unwrap();
            self.0.insert(format!("{to}{}", &path[from.len()..]), what);
        }
        true
    }

    fn list(&self, path: &str) -> Option<Vec<String>> {
        let inside = |other: &&String| Model::parent(other) == path && *other != "/";
        let names = self.0.keys().filter(inside).map(|path| path.rsplit('/').next().unwrap().to_string());
        self.is_directory(path).then(|| names.collect())
    }
}

fn put(contents: &mut Vec<u8>, at: usize, bytes: &[u8]) {
    contents.resize(contents.len().max(at + bytes.len()), 0);
    contents[at..at + bytes.len()].copy_from_slice(bytes);
}

async fn does_as_the_model(ops: Vec<Op>) {
    let mut model = Model::default();
    for op in &ops {
        match op {
            Op::Write(path, bytes) => {
                let path = PATHS[*path];
                let can = model.file(path, true).map(|file| file.clone_from(bytes)).is_some();
                assert_eq!(fs::write(path, bytes).await.is_ok(), can, "{op:?}");
            }
            Op::Append(path, bytes) => {
                let path = PATHS[*path];
                let can = model.file(path, true).map(|file| file.extend(bytes)).is_some();
                let opened = File::options().append(true).create(true).open(path).await;
                assert_eq!(opened.is_ok(), can, "{op:?}");
                if let Ok(mut file) = opened {
                    file.write_all(bytes).await.unwrap();
                }
            }
            Op::WriteAt(path, at, bytes) => {
                let path = PATHS[*path];
                let there = model.file(path, false);
                let opened = File::options().write(true).open(path).await;
                assert_eq!(opened.is_ok(), there.is_some(), "{op:?}");
                if let (Some(file), Ok(opened)) = (there, opened) {
                    if !bytes.is_empty() {
                        put(file, *at as usize, bytes);
                    }
                    opened.write_all_at(bytes, *at).await.unwrap();
                }
            }
            Op::Truncate(path, length) => {
                let path = PATHS[*path];
                let there = model.file(path, false);
                let opened = File::options().write(true).open(path).await;
                assert_eq!(opened.is_ok(), there.is_some(), "{op:?}");
                if let (Some(file), Ok(opened)) = (there, opened) {
                    file.resize(*length as usize, 0);
                    opened.set_len(*length).await.unwrap();
                }
            }
            Op::CreateDirectory(path) => {
                let path = PATHS[*path];
                let can = !model.has(path) && model.is_directory(Model::parent(path));
                if can {
                    model.0.insert(path.to_string(), None);
                }
                assert_eq!(fs::create_dir(path).await.is_ok(), can, "{op:?}");
            }
            Op::RemoveFile(path) | Op::RemoveDirectory(path) => {
                let is_directory = matches!(op, Op::RemoveDirectory(_));
                let path = PATHS[*path];
                let can =
                    path != "/" && model.has(path) && model.is_directory(path) == is_directory && model.is_empty(path);
                if can {
                    model.0.remove(path);
                }
                let done = if is_directory { fs::remove_dir(path).await } else { fs::remove_file(path).await };
                assert_eq!(done.is_ok(), can, "{op:?}");
            }
            Op::Rename(from, to) => {
                let (from, to) = (PATHS[*from], PATHS[*to]);
                assert_eq!(fs::rename(from, to).await.is_ok(), model.rename(from, to), "{op:?}");
            }
            Op::List(path) => {
                let path = PATHS[*path];
                let listed = fs::read_dir(path).await;
                let expected = model.list(path);
                assert_eq!(listed.is_ok(), expected.is_some(), "{op:?}");
                if let (Ok(mut listed), Some(expected)) = (listed, expected) {
                    let mut names = Vec::new();
                    while let Some(entry) = listed.next_entry().await.unwrap() {
                        names.push(entry.file_name().into_string().unwrap());
                    }
                    assert_eq!(names, expected, "{op:?}");
                }
            }
            Op::Sync(path) => {
                if let Ok(file) = File::open(PATHS[*path]).await {
                    file.sync_all().await.unwrap();
                }
            }
        }
    }
    let files = model.0.iter().filter_map(|(path, contents)| Some((path, contents.as_ref()?)));
    for path in PATHS {
        assert_eq!(fs::try_exists(path).await.unwrap_or(false), model.has(path), "{path}");
    }
    for (path, contents) in files {
        assert_eq!(&fs::read(path).await.unwrap(), contents, "{path}");
    }
}

fn runner(cases: u32) -> TestRunner {
    let config = Config { cases, failure_persistence: None, ..Config::default() };
    TestRunner::new_with_rng(config, TestRng::deterministic_rng(RngAlgorithm::ChaCha))
}

#[test]
fn files_without_crashes_are_as_a_map_in_memory() {
    runner(400)
        .run(&(proptest::collection::vec(op(), 0..40), any::<u64>()), |(ops, seed)| {
            let simulation = Simulation::new(move |world: &mut World| {
                let ops = ops.clone();
                world.client("client", move || does_as_the_model(ops.clone()));
            });
            let outcome = simulation.run_plan(&Plan::seeded("model", Seed(seed)), Record::Digest);
            prop_assert_eq!(outcome.verdict, Verdict::Pass);
            Ok(())
        })
        .unwrap();
}

/// A crash that loses nothing shows the same as no crash, and one that loses all shows what was synced: synced after each step, that is
/// the same again.
#[test]
fn files_that_are_synced_after_each_step_are_there_after_a_crash() {
    async fn sync_all_directories() {
        for path in PATHS {
            if let Ok(file) = File::open(path).await {
                file.sync_all().await.unwrap();
            }
        }
    }
    async fn look() -> Vec<(&'static str, Option<Vec<u8>>)> {
        let mut seen = Vec::new();
        for path in PATHS {
            if fs::try_exists(path).await.unwrap_or(false) {
                seen.push((path, fs::read(path).await.ok()));
            }
        }
        seen
    }
    async fn apply(op: &Op) {
        match op {
            Op::Write(path, bytes) => drop(fs::write(PATHS[*path], bytes).await),
            Op::Append(path, bytes) => {
                if let Ok(mut file) = File::options().append(true).create(true).open(PATHS[*path]).await {
                    file.write_all(bytes).await.unwrap();
                }
            }
            Op::WriteAt(path, at, bytes) => {
                if let Ok(file) = File::options().write(true).open(PATHS[*path]).await {
                    file.write_all_at(bytes, *at).await.unwrap();
                }
            }
            Op::Truncate(path, length) => {
                if let Ok(file) = File::options().write(true).open(PATHS[*path]).await {
                    file.set_len(*length).await.unwrap();
                }
            }
            Op::CreateDirectory(path) => drop(fs::create_dir(PATHS[*path]).await),
            Op::RemoveFile(path) => drop(fs::remove_file(PATHS[*path]).await),
            Op::RemoveDirectory(path) => drop(fs::remove_dir(PATHS[*path]).await),
            Op::Rename(from, to) => drop(fs::rename(PATHS[*from], PATHS[*to]).await),
            Op::List(_) | Op::Sync(_) => {}
        }
    }
    // The crash loses all that is pending, or nothing, and everything is synced after each step, or nothing is.
    for (loss, is_synced) in [(Ratio::ONE, true), (Ratio::ZERO, false)] {
        runner(150)
            .run(&(proptest::collection::vec(op(), 0..25), any::<u64>()), move |(ops, seed)| {
                let simulation = Simulation::new(move |world: &mut World| {
                    let ops = ops.clone();
                    let before = Rc::new(RefCell::new(None));
                    world.client("client", move || {
                        let (ops, before) = (ops.clone(), Rc::clone(&before));
                        async move {
                            if squall::boot_number() == 1 {
                                assert_eq!(Some(look().await), *before.borrow());
                                return;
                            }
                            for op in &ops {
                                apply(op).await;
                                if is_synced {
                                    sync_all_directories().await;
                                }
                            }
                            *before.borrow_mut() = Some(look().await);
                            std::future::pending::<()>().await;
                        }
                    });
                    world.storage().crash_loss(loss).torn(Ratio::ZERO);
                    world.fault(crash("client").at(secs(10)).restart_after(secs(1)));
                });
                let outcome = simulation.run_plan(&Plan::seeded("crash", Seed(seed)), Record::Digest);
                prop_assert_eq!(outcome.verdict, Verdict::Pass);
                Ok(())
            })
            .unwrap();
    }
}

// --- what a crash leaves ----------------------------------------------------------------------------------------------------

/// A client that does something, crashes after a second, and publishes what is left: the contents of /file, /new and /old, as text, and how many
/// bytes they have if that isn't possible.
fn crashes<Fut: Future<Output = std::io::Result<()>> + 'static>(world: &mut World, program: fn() -> Fut) {
    world.client("store", move || async move {
        if squall::boot_number() == 0 {
            program().await.unwrap();
            return std::future::pending().await;
        }
        for path in ["/file", "/new", "/old"] {
            if let Ok(bytes) = fs::read(path).await {
                publish(path, String::from_utf8_lossy(&bytes).replace('\0', "."));
            }
        }
    });
    world.fault(crash("store").at(secs(1)).restart_after(1.ms()));
}

fn left(outcome: &Outcome) -> [Option<String>; 3] {
    assert_eq!(outcome.verdict, Verdict::Pass);
    ["/file", "/new", "/old"].map(|topic| facts(outcome, topic).pop().map(|said| said.trim_matches('"').to_string()))
}

fn text(text: &str) -> Option<String> {
    Some(text.to_string())
}

async fn sync(path: &str) -> std::io::Result<()> {
    File::open(path).await?.sync_all().await
}

/// A crash that loses all that it can.
fn after_the_worst<Fut: Future<Output = std::io::Result<()>> + 'static>(program: fn() -> Fut) -> [Option<String>; 3] {
    left(&run(move |world| {
        crashes(world, program);
        world.storage().crash_loss(Ratio::ONE);
    }))
}

#[test]
fn what_was_synced_stays_and_the_rest_may_go() {
    let nothing = [None, None, None];
    let unsynced = || fs::write("/file", "text");
    assert_eq!(after_the_worst(unsynced), nothing);
    let without_its_name = || async {
        fs::write("/file", "text").await?;
        sync("/file").await
    };
    assert_eq!(after_the_worst(without_its_name), nothing);
    let without_its_contents = || async {
        fs::write("/file", "text").await?;
        sync("/").await
    };
    assert_eq!(after_the_worst(without_its_contents), [text(""), None, None]);
    let all = || async {
        fs::write("/file", "text").await?;
        sync("/file").await?;
        sync("/").await?;
        // After the last sync.
        let mut file = File::options().append(true).open("/file").await?;
        file.write_all(b", and more").await?;
        file.set_len(1).await
    };
    assert_eq!(after_the_worst(all), [text("text"), None, None]);
    let renamed = || async {
        fs::write("/old", "text").await?;
        sync("/old").await?;
        sync("/").await?;
        fs::rename("/old", "/new").await
    };
    assert_eq!(after_the_worst(renamed), [None, None, text("text")]);
    let renamed_durably = || async {
        fs::write("/old", "text").await?;
        fs::write("/new", "older").await?;
        fs::rename("/old", "/new").await?;
        sync("/").await
    };
    assert_eq!(after_the_worst(renamed_durably), [None, text(""), None], "the file itself wasn't synced");
    let removed = || async {
        fs::write("/file", "text").await?;
        sync("/file").await?;
        sync("/").await?;
        fs::remove_file("/file").await
    };
    assert_eq!(after_the_worst(removed), [text("text"), None, None]);
    let removed_durably = || async {
        fs::write("/file", "text").await?;
        sync("/file").await?;
        sync("/").await?;
        fs::remove_file("/file").await?;
        sync("/").await
    };
    assert_eq!(after_the_worst(removed_durably), nothing);
    // Of a move between directories either sync makes both ends durable, and older changes don't come after it.
    let moved = || async {
        fs::create_dir("/d").await?;
        fs::write("/d/x", "text").await?;
        sync("/d/x").await?;
        fs::rename("/d/x", "/file").await?;
        sync("/").await
    };
    assert_eq!(after_the_worst(moved), [text("text"), None, None]);
}

#[test]
fn where_a_crash_loses_nothing_everything_stays() {
    let everything = left(&run(|world| {
        crashes(world, || async {
            fs::write("/file", vec![b'a'; 3 * SECTOR]).await?;
            fs::write("/old", "text").await?;
            fs::rename("/old", "/new").await
        });
        world.storage().crash_loss(Ratio::ZERO).torn(Ratio::ZERO);
    }));
    assert_eq!(everything, [text(&"a".repeat(3 * SECTOR)), text("text"), None]);
}

#[test]
fn a_torn_write_leaves_a_beginning_of_its_sectors() {
    let simulation = Simulation::new(|world: &mut World| {
        crashes(world, || async {
            fs::write("/file", "").await?;
            sync("/").await?;
            // From the midst of the first sector to the midst of the fourth.
            fs::write("/file", vec![b'a'; SECTOR / 2]).await?;
            sync("/file").await?;
            File::options().append(true).open("/file").await?.write_all(&vec![b'b'; 3 * SECTOR]).await
        });
        world.storage().crash_loss(Ratio::ZERO).torn(Ratio::ONE);
    });
    let mut lengths = BTreeMap::new();
    for seed in 0..60 {
        let outcome = simulation.run_plan(&Plan::seeded("torn", Seed(seed)), Record::Full);
        let [file, ..] = left(&outcome);
        let file = file.unwrap();
        assert!(file.starts_with(&"a".repeat(SECTOR / 2)) && file[SECTOR / 2..].bytes().all(|byte| byte == b'b'));
        *lengths.entry(file.len()).or_insert(0) += 1;
        let said: Vec<String> = outcome.perturbations.iter().map(|one| one.sentence(&outcome.names)).collect();
        let lost = 4 - file.len() / SECTOR;
        let sentence = format!(
            "store's write 2 to /file (bytes 256..1792) is torn in the crash: of its 4 sectors the last {lost} are lost"
        );
        assert!(said.contains(&sentence), "{said:?}");
    }
    assert_eq!(lengths.keys().copied().collect::<Vec<_>>(), [SECTOR, 2 * SECTOR, 3 * SECTOR]);
}

/// What a crash may leave of three writes, over many seeds.
fn states<Fut: Future<Output = std::io::Result<()>> + 'static>(program: fn() -> Fut) -> Vec<String> {
    let simulation = Simulation::new(move |world: &mut World| {
        crashes(world, program);
        world.storage().torn(Ratio::ZERO);
    });
    let mut states: Vec<String> = (0..150)
        .map(|seed| simulation.run_plan(&Plan::seeded("states", Seed(seed)), Record::Full))
        .map(|outcome| left(&outcome)[0].clone().unwrap())
        .collect();
    states.sort();
    states.dedup();
    states
}

#[test]
fn writes_are_lost_each_for_itself_but_a_sector_has_no_holes_in_its_history() {
    async fn write_at(places: [usize; 3]) -> std::io::Result<()> {
        fs::write("/file", "").await?;
        sync("/").await?;
        let file = File::options().write(true).open("/file").await?;
        for (place, letter) in places.into_iter().zip([b'1', b'2', b'3']) {
            file.write_all_at(&[letter], place as u64).await?;
        }
        Ok(())
    }
    let short = |state: &String| state.replace(&".".repeat(SECTOR - 1), "-");
    // One after the other within a sector: a later one isn't there without those before it.
    assert_eq!(states(|| write_at([0, 1, 2])), ["", "1", "12", "123"]);
    // Over each other.
    assert_eq!(states(|| write_at([0, 0, 0])), ["", "1", "2", "3"]);
    // In sectors of their own they are independent.
    let independent: Vec<String> = states(|| write_at([0, SECTOR, 2 * SECTOR])).iter().map(short).collect();
    assert_eq!(independent, ["", "--..3", "-.2", "-.2-3", "1", "1--.3", "1-2", "1-2-3"].map(str::to_string).to_vec());
}

#[test]
fn a_sync_that_fails_has_lost_what_it_was_to_keep_and_the_next_one_doesn_t_bring_it_back() {
    let simulation = Simulation::new(|world: &mut World| {
        world.client("store", || async {
            if squall::boot_number() == 1 {
                publish("left", fs::read_to_string("/file").await.unwrap());
                return;
            }
            // Its name is lost by a sync that fails, as its contents are below: it needs another one.
            loop {
                fs::write("/file", "").await.unwrap();
                if sync("/").await.is_ok() {
                    break;
                }
                fs::remove_file("/file").await.unwrap();
            }
            let mut file = File::options().read(true).append(true).open("/file").await.unwrap();
            file.write_all(b"first").await.unwrap();
            let first = file.sync_all().await.map_err(|error| error.to_string());
            // Programs still see it.
            assert_eq!(fs::read("/file").await.unwrap(), b"first");
            let second = file.sync_all().await.map_err(|error| error.to_string());
            publish("synced", (first, second));
            std::future::pending::<()>().await;
        });
        world.fault(crash("store").at(secs(1)).restart_after(1.ms()));
        world.storage().sync_failure(percent(50)).crash_loss(Ratio::ONE);
    });
    let mut seen = BTreeMap::new();
    for seed in 0..40 {
        let outcome = simulation.run_plan(&Plan::seeded("syncs", Seed(seed)), Record::Full);
        assert_eq!(outcome.verdict, Verdict::Pass);
        let (synced, left) = (facts(&outcome, "synced").remove(0), facts(&outcome, "left").remove(0));
        seen.insert(synced.matches("EIO").count() * 2 + usize::from(synced.starts_with("[{\"Ok\"")), left);
    }
    // None failed; the second one did; both did; the first one did.
    let expected = [(1, "\"first\""), (2, "\"\""), (3, "\"first\""), (4, "\"\"")];
    assert_eq!(seen.into_iter().collect::<Vec<_>>(), expected.map(|(which, left)| (which, left.to_string())));
}

#[test]
fn a_flipped_bit_stays_flipped() {
    let program = || async {
        fs::write("/file", "text").await?;
        sync("/file").await?;
        sync("/").await?;
        let (first, second) = (fs::read("/file").await?, fs::read("/file").await?);
        let differing = |a: &[u8], b: &[u8]| -> u32 { a.iter().zip(b).map(|(a, b)| (a ^ b).count_ones()).sum() };
        assert_eq!(differing(b"text", &first), 1);
        assert_eq!(differing(&first, &second), 1);
        publish("second", second);
        Ok(())
    };
    let outcome = run(move |world| {
        crashes(world, program);
        world.storage().bit_rot(Ratio::ONE);
    });
    assert_eq!(outcome.verdict, Verdict::Pass);
    let rot: Vec<_> = outcome.perturbations.iter().filter(|one| one.site.kind == SiteKind::BitRot).collect();
    assert_eq!(rot.len(), 3, "two reads, and one after the crash");
    let bit = rot[0].value - 1;
    assert_eq!(rot[0].sentence(&outcome.names), format!("store's read 1 of /file finds bit {bit} flipped"));
    // The third finds what the second has found, and one bit more.
    let second: Vec<u8> = serde_json::from_str(&facts(&outcome, "second")[0]).unwrap();
    let mut third = second;
    let bit = (rot[2].value - 1) as usize;
    third[bit / 8] ^= 1 << (bit % 8);
    let said: String = serde_json::from_str(&facts(&outcome, "/file")[0]).unwrap();
    assert_eq!(said, String::from_utf8_lossy(&third).replace('\0', "."));
}

#[test]
fn reads_and_writes_that_fail_change_nothing() {
    let outcome = run(|world| {
        world.client("store", || async {
            let mut file = File::create_new("/file").await.unwrap();
            let failed = "/file: a write failed: input/output error (EIO)";
            let error = file.write_at(b"text", 0).await.unwrap_err();
            assert_eq!((error.kind(), error.to_string().as_str()), (ErrorKind::Other, failed));
            // As with tokio, what a write comes to is said by what comes after it.
            file.write_all(b"text").await.unwrap();
            assert_eq!(file.flush().await.unwrap_err().to_string(), failed);
            file.flush().await.unwrap();
            file.write_all(b"text").await.unwrap();
            file.sync_all().await.unwrap();
            assert_eq!(file.write(b"text").await.unwrap_err().to_string(), failed);
            assert_eq!(file.metadata().await.unwrap().len(), 0);
            let error = file.set_len(3).await.unwrap_err();
            assert_eq!(error.to_string(), "/file: another length failed: input/output error (EIO)");
            assert_eq!(file.metadata().await.unwrap().len(), 0);
            let error = file.read(&mut [0; 3]).await.unwrap_err();
            assert_eq!(error.to_string(), "/file: a read failed: input/output error (EIO)");
            assert_eq!(file.stream_position().await.unwrap(), 0);
        });
        world.storage().write_failure(Ratio::ONE).read_failure(Ratio::ONE);
    });
    assert_eq!(outcome.verdict, Verdict::Pass);
    let said: Vec<String> = outcome.perturbations.iter().map(|one| one.sentence(&outcome.names)).collect();
    let writes = (1..=4).map(|number| format!("store's write {number} to /file fails"));
    assert_eq!(said, writes.chain(["store's read 1 of /file fails".to_string()]).collect::<Vec<_>>());
}

/// To cut a file off when it is opened is a write as well.
#[test]
fn a_file_that_can_t_be_cut_off_isn_t_opened() {
    let mut failed = 0;
    for seed in 0..40 {
        let simulation = Simulation::new(|world| {
            world.client("store", || async {
                if fs::write("/file", "text").await.is_err() {
                    return;
                }
                let opened = File::create("/file").await.is_ok();
                publish("opened", (opened, fs::read("/file").await.unwrap().len()));
            });
            world.storage().write_failure(Ratio::new(1, 2));
        });
        let outcome = simulation.run_plan(&Plan::seeded("test", Seed(seed)), Record::Full);
        match facts(&outcome, "opened").first().map(String::as_str) {
            Some("[false,4]") => failed += 1,
            other => assert!(matches!(other, None | Some("[true,0]")), "{other:?}"),
        }
    }
    assert!((4..=16).contains(&failed), "{failed} of 40, where a quarter is to be expected");
}

#[test]
fn a_full_disk_takes_what_fits() {
    passes(|world: &mut World| {
        world.client("store", || async {
            fs::write("/first", vec![1; 600]).await.unwrap();
            let mut file = File::create("/second").await.unwrap();
            assert_eq!(file.write(&[2; 500]).await.unwrap(), 400);
            file.write_all(&[2; 100]).await.unwrap();
            assert_eq!(kind(file.flush().await), ErrorKind::StorageFull);
            assert_eq!(kind(file.set_len(401).await), ErrorKind::StorageFull);
            // Over what is there it can be written, and what is removed makes room once nobody has it open.
            file.write_all_at(&[3; 400], 0).await.unwrap();
            let first = File::open("/first").await.unwrap();
            fs::remove_file("/first").await.unwrap();
            file.write_all(&[2; 100]).await.unwrap();
            assert_eq!(kind(file.shutdown().await), ErrorKind::StorageFull);
            drop(first);
            file.write_all(&[2; 600]).await.unwrap();
            assert_eq!(kind(file.write_at(&[2], 1_000).await), ErrorKind::StorageFull);
            file.set_len(1).await.unwrap();
            fs::write("/third", vec![1; 999]).await.unwrap();
        });
        world.disk("store").capacity_bytes(1_000);
    });
}

#[test]
fn operations_take_their_time() {
    passes(|world: &mut World| {
        world.client("usual", || async {
            let start = Instant::now();
            let file = File::create("/file").await.unwrap();
            file.write_all_at(b"text", 0).await.unwrap();
            assert_eq!(start.elapsed(), Duration::from_micros(40));
            file.sync_all().await.unwrap();
            assert_eq!(start.elapsed(), Duration::from_micros(540));
        });
        world.client("other", || async {
            let start = Instant::now();
            let file = File::create("/file").await.unwrap();
            assert_eq!(start.elapsed(), Duration::ZERO);
            assert!(fs::write("/other", "text").now_or_never().is_some(), "no time is no time");
            file.sync_all().await.unwrap();
            assert_eq!(start.elapsed(), 7.ms());
        });
        world.disk("other").latency(fixed(Duration::ZERO)).sync_latency(fixed(7.ms()));
    });
}

#[test]
fn what_was_given_up_isn_t_taken_for_what_comes_after_it() {
    passes(|world: &mut World| {
        world.client("store", || async {
            let mut file = File::options().read(true).write(true).create(true).open("/file").await.unwrap();
            // Taken at once, and under way for 2 ms. The next one is another, also if its bytes are the same, and waits for it.
            let start = Instant::now();
            assert_eq!(file.write(b"ab").await.unwrap(), 2);
            assert_eq!(start.elapsed(), Duration::ZERO);
            assert!(squall::time::timeout(1.ms(), file.write(b"ab")).await.is_err());
            assert_eq!(file.write(b"ab").await.unwrap(), 2);
            assert_eq!(start.elapsed(), 2.ms());
            // And so does all that is done with the file, whoever does it.
            assert_eq!(file.metadata().await.unwrap().len(), 4);
            assert_eq!(start.elapsed(), 6.ms());
            file.write_all(b"cde").await.unwrap();
            assert!(squall::time::timeout(1.ms(), file.flush()).await.is_err());
            file.flush().await.unwrap();
            assert_eq!(start.elapsed(), 8.ms());
            assert_eq!(fs::read("/file").await.unwrap(), b"ababcde");
            file.seek(SeekFrom::Start(2)).await.unwrap();
            let mut buffer = [0; 2];
            assert!(squall::time::timeout(1.ms(), file.read(&mut buffer)).await.is_err());
            file.seek(SeekFrom::Start(5)).await.unwrap();
            assert_eq!((file.read(&mut buffer).await.unwrap(), &buffer), (2, b"de"));
        });
        world.storage().latency(fixed(2.ms()));
    });
}

/// A flipped bit leaves the address of the write that it hits as it was: the loss alone can be taken out of a plan with both.
#[test]
fn what_a_crash_loses_is_known_by_what_was_written() {
    let simulation = || {
        Simulation::new(|world: &mut World| {
            crashes(world, || async {
                fs::write("/file", "text").await?;
                sync("/").await?;
                fs::read("/file").await.map(drop)
            });
            world.storage().crash_loss(Ratio::ONE).bit_rot(Ratio::ONE);
        })
    };
    let whole = simulation().run_plan(&Plan::seeded("test", Seed(1)), Record::Full);
    let is_rot = |one: &&Perturbation| one.site.kind == SiteKind::BitRot;
    assert!(whole.perturbations.iter().any(|one| is_rot(&one)));
    let overrides = whole.perturbations.iter().filter(|one| !is_rot(one)).map(Perturbation::to_override);
    let plan = Plan { bases: Bases::calm(), overrides: overrides.collect(), ..Plan::seeded("test", Seed(1)) };
    let outcome = simulation().run_plan(&plan, Record::Full);
    assert_eq!(outcome.unused_overrides, Vec::new());
    assert_eq!(left(&outcome)[0], text(""));
}

/// What is done with a disk is numbered in each boot anew: what is taken away from one boot moves nothing in the next.
#[test]
fn operations_of_a_disk_are_numbered_by_boot() {
    let simulation = Simulation::new(|world: &mut World| {
        world.node("store", || async {
            for _ in 0..10 {
                sleep_until(Instant::now() + 1.ms()).await;
                if let Ok(file) = File::options().append(true).create(true).open("/log").await {
                    let _ = file.write_at(b"x", 0).await;
                    if file.sync_all().await.is_err() {
                        publish("failed", squall::boot_number());
                    }
                }
            }
        });
        world.client("client", || async { sleep(80.ms()).await });
        world.storage().sync_failure(Ratio::new(1, 4)).crash_loss(Ratio::ZERO).torn(Ratio::ZERO);
        world.fault(squall::crash("store").at(12.ms()).restart_after(3.ms()));
        world.fault(squall::pause("store").at(3.ms()).lasts(6.ms()));
    });
    let mut tried = 0;
    for seed in 0..30 {
        let plan = Plan { strategy: StrategyChoice::Fifo, ..Plan::seeded("test", Seed(seed)) };
        let whole = simulation.run_plan(&plan, Record::Full);
        let of_boot_1 = |outcome: &Outcome| facts(outcome, "failed").iter().filter(|boot| *boot == "1").count();
        let rest: Vec<Perturbation> = whole
            .perturbations
            .iter()
            .filter(|one| !one.sentence(&whole.names).contains("pause"))
            .filter(|one| one.site.kind != SiteKind::DiskFailure || one.sentence(&whole.names).contains("in boot 1"))
            .copied()
            .collect();
        let without = simulation.run_plan(&plan.only(&rest), Record::Full);
        assert_eq!((of_boot_1(&without), without.unused_overrides), (of_boot_1(&whole), vec![]), "seed {seed}");
        tried += of_boot_1(&whole);
    }
    assert!(tried > 20, "{tried}");
}

/// A sync that failed before the heal has lost what it had to lose, whoever asks for it first.
#[test]
fn a_sync_that_fails_in_the_storm_loses_in_the_storm() {
    let outcome = run(|world| {
        world.client("store", || async {
            let file = File::create("/file").await.unwrap();
            file.write_all_at(b"text", 0).await.unwrap();
            assert!(squall::time::timeout(1.ms(), file.sync_all()).await.is_err());
            sleep_until(Instant::now() + 20.ms()).await;
            assert!(file.metadata().await.unwrap().is_file());
        });
        world.storage().sync_failure(Ratio::ONE).crash_loss(Ratio::ONE).sync_latency(fixed(2.ms()));
        world.heal(10.ms());
    });
    let said: Vec<String> = outcome.perturbations.iter().map(|one| one.sentence(&outcome.names)).collect();
    let lost = "store's write 1 to /file (bytes 0..4) is lost by the failure of sync 1 of /file";
    assert!(said.iter().any(|said| said == lost), "{said:?}");
}

#[test]
fn what_is_under_way_in_a_crash_may_survive_but_a_sync_must_be_over() {
    for (loss, expected) in [(Ratio::ZERO, text("text")), (Ratio::ONE, text(""))] {
        let outcome = run(move |world| {
            crashes(world, || async {
                fs::write("/file", "").await?;
                sync("/").await?;
                sleep_until(Instant::now() + 965.ms()).await;
                let file = File::options().write(true).open("/file").await?;
                // From 995 ms on for 10 ms: the crash comes in the midst of it.
                file.write_all_at(b"text", 0).await?;
                unreachable!("the crash came before");
            });
            world.storage().latency(fixed(10.ms())).sync_latency(fixed(Duration::ZERO)).crash_loss(loss);
        });
        assert_eq!(left(&outcome)[0], expected);
    }
    async fn syncs_late(late_ns: u64) -> std::io::Result<()> {
        fs::write("/file", "").await?;
        sync("/").await?;
        fs::write("/file", "text").await?;
        sleep(200.ms() + Duration::from_nanos(late_ns)).await;
        sync("/file").await
    }
    // Each sync takes 400 ms: the second one is over at the instant of the crash, or a nanosecond after it.
    let in_time: fn(&mut World) = |world| crashes(world, || syncs_late(0));
    let late: fn(&mut World) = |world| crashes(world, || syncs_late(1));
    for (build, expected) in [(in_time, text("text")), (late, text(""))] {
        let outcome = run(move |world| {
            build(world);
            world.storage().latency(fixed(Duration::ZERO)).sync_latency(fixed(400.ms())).crash_loss(Ratio::ONE);
        });
        assert_eq!(left(&outcome)[0], expected);
    }
}

#[test]
fn a_sync_of_a_node_that_stands_still_comes_to_its_end() {
    for (paused, expected) in [(true, text("text")), (false, text("text"))] {
        let outcome = run(move |world| {
            crashes(world, || async {
                fs::write("/file", "text").await?;
                let (names, contents) = (File::open("/").await?, File::open("/file").await?);
                let both = futures::future::join(names.sync_all(), contents.sync_all()).await;
                both.0.and(both.1)
            });
            world.storage().sync_latency(fixed(500.ms())).crash_loss(Ratio::ONE);
            if paused {
                world.fault(pause("store").at(200.ms()));
            }
        });
        assert_eq!(left(&outcome)[0], expected);
    }
}

#[test]
fn a_sync_covers_what_was_written_before_it_began() {
    let outcome = run(|world| {
        crashes(world, || async {
            fs::write("/file", "").await?;
            sync("/").await?;
            let file = File::options().write(true).open("/file").await?;
            file.write_all_at(b"text", 0).await?;
            let meanwhile = async {
                sleep(50.ms()).await;
                file.write_all_at(b"late", SECTOR as u64).await
            };
            let both = futures::future::join(file.sync_all(), meanwhile).await;
            both.0.and(both.1)
        });
        world.storage().sync_latency(fixed(100.ms())).crash_loss(Ratio::ONE);
    });
    assert_eq!(left(&outcome)[0], text("text"));
}

#[test]
fn files_of_before_a_crash_are_dead_and_destructors_do_nothing() {
    struct WritesInTheEnd;
    impl Drop for WritesInTheEnd {
        fn drop(&mut self) {
            let written = fs::write("/testament", "text").now_or_never();
            assert!(written.expect("it doesn't wait").is_err());
        }
    }
    let kept: fn(&mut World) = |world| {
        let kept: Rc<RefCell<Option<File>>> = Rc::default();
        let others = Rc::clone(&kept);
        world.client("store", move || {
            let kept = Rc::clone(&kept);
            async move {
                if squall::boot_number() == 1 {
                    let file = kept.take().unwrap();
                    for error in [file.sync_all().await, file.set_len(1).await, file.metadata().await.map(drop)] {
                        assert!(error.unwrap_err().to_string().contains("before the node crashed"));
                    }
                    drop(file);
                    assert!(!fs::try_exists("/testament").await.unwrap());
                    return;
                }
                kept.replace(Some(File::create("/file").await.unwrap()));
                let _writes = WritesInTheEnd;
                std::future::pending::<()>().await;
            }
        });
        world.client("other", move || {
            let others = Rc::clone(&others);
            async move {
                sleep(500.ms()).await;
                let file = others.take().unwrap();
                let clone = file.try_clone().await;
                others.replace(Some(file));
                assert!(clone.unwrap_err().to_string().contains("another node"));
                // Its disk is its own.
                assert!(!fs::try_exists("/file").await.unwrap());
            }
        });
        world.storage().latency(fixed(Duration::ZERO)).crash_loss(Ratio::ZERO);
        world.fault(crash("store").at(secs(1)).restart_after(secs(1)));
    };
    assert_eq!(run(kept).verdict, Verdict::Pass);
}

#[test]
fn a_wiped_disk_is_empty_and_a_plan_can_take_the_wiping_away() {
    let build: fn(&mut World) = |world| {
        world.client("store", || async {
            if squall::boot_number() == 0 {
                fs::create_dir("/d").await.unwrap();
                fs::write("/d/file", "text").await.unwrap();
                for path in ["/d/file", "/d", "/"] {
                    sync(path).await.unwrap();
                }
                std::future::pending::<()>().await;
            }
            publish("left", fs::read_to_string("/d/file").await.unwrap_or_default());
            fs::write("/again", "text").await.unwrap();
        });
        world.control(|cluster: Cluster| async move {
            sleep(secs(1)).await;
            cluster.crash("store");
            cluster.wipe_disk("store");
            cluster.restart("store");
        });
    };
    let outcome = run(build);
    assert_eq!((&outcome.verdict, facts(&outcome, "left")), (&Verdict::Pass, vec!["\"\"".to_string()]));
    let others: Vec<_> =
        outcome.perturbations.iter().filter(|one| !one.sentence(&outcome.names).contains("wiping")).copied().collect();
    assert_eq!(others.len() + 1, outcome.perturbations.len());
    let plan = Plan::seeded("test", Seed(1)).only(&others);
    let without = Simulation::new(build).run_plan(&plan, Record::Full);
    assert_eq!(facts(&without, "left"), ["\"text\""]);
}

#[test]
fn after_the_heal_disks_are_calm() {
    passes(|world: &mut World| {
        world.client("store", || async {
            assert!(fs::write("/file", "text").await.is_err());
            sleep(secs(2)).await;
            let start = Instant::now();
            fs::write("/file", "text").await.unwrap();
            sync("/file").await.unwrap();
            assert_eq!(fs::read("/file").await.unwrap(), b"text");
            // Five operations at the median.
            assert_eq!(start.elapsed(), 5 * 3.ms() + Duration::from_micros(500));
        });
        world.heal(secs(1));
        let disk = &mut world.storage();
        disk.write_failure(Ratio::ONE).sync_failure(Ratio::ONE).read_failure(Ratio::ONE).bit_rot(Ratio::ONE);
        disk.latency(uniform(1.ms(), 5.ms()));
    });
}

// --- settings -----------------------------------------------------------------------------------------------------------------

#[test]
fn of_several_disks_that_match_the_last_that_sets_something_wins() {
    passes(|world: &mut World| {
        for (node, micros) in [("store-0", 7), ("store-1", 5), ("other", 3)] {
            world.client(node, move || async move {
                let start = Instant::now();
                let _ = fs::try_exists("/").await;
                assert_eq!(start.elapsed(), Duration::from_micros(micros));
                assert!(fs::write("/file", "text").await.is_err(), "set for all, and by no other");
            });
        }
        let micros = |micros| fixed(Duration::from_micros(micros));
        world.storage().latency(micros(3)).write_failure(Ratio::ONE);
        world.disk("store-*").latency(micros(5));
        world.disk("store-0").latency(micros(7));
    });
}

#[test]
fn impossible_settings_are_refused_with_what_is_wrong() {
    type Settings = fn(&mut World);
    let cases: [(Settings, &str); 6] = [
        (|world| _ = world.disk("store").capacity_bytes(0), "the disk of store is impossible: expected 1 byte to"),
        (|world| _ = world.storage().capacity_bytes((1 << 40) + 1), "(1 TiB), found 1099511627777"),
        (
            |world| _ = world.disk("store").latency(uniform(2.ms(), 1.ms())),
            "the latency of the disk of store is impossible",
        ),
        (|world| _ = world.storage().sync_latency(exponential(Duration::ZERO)), "the sync latency of the disk of * is"),
        (|world| _ = world.disk("sotre"), "the disk of \"sotre\": no node is named so; there are store"),
        (|world| _ = world.storage().crash_loss(percent(101)), "at most 100 %"),
    ];
    for (settings, message) in cases {
        let simulation = Simulation::new(move |world: &mut World| {
            world.client("store", || async {});
            settings(world);
        });
        let run = || simulation.run_plan(&Plan::seeded("bad", Seed(1)), Record::Digest);
        let panic = std::panic::catch_unwind(std::panic::AssertUnwindSafe(run)).expect_err("it is to be refused");
        let said = panic.downcast_ref::<String>().expect("a message");
        assert!(said.contains(message), "{said}");
    }
    // At the bounds.
    passes(|world: &mut World| {
        world.client("store", || async { assert_eq!(kind(fs::write("/file", "ab").await), ErrorKind::StorageFull) });
        world.storage().capacity_bytes(1 << 40);
        world.disk("store").capacity_bytes(1);
    });
}

// --- rates --------------------------------------------------------------------------------------------------------------------

/// Within four standard deviations.
#[track_caller]
fn is_share(what: &str, hits: usize, of: usize, share: f64) {
    let (found, deviation) = (hits as f64 / of as f64, (share * (1.0 - share) / of as f64).sqrt());
    assert!((found - share).abs() < 4.0 * deviation, "{what}: {hits} of {of} is {found}, expected {share}");
}

#[test]
fn faults_of_disks_come_as_often_as_they_were_told() {
    const TIMES: usize = 6_000;
    let outcome = run(|world| {
        world.client("store", || async {
            let file = File::options().read(true).write(true).create(true).open("/file").await.unwrap();
            let mut failed = [0usize; 3];
            let mut buffer = [0; 8];
            for _ in 0..TIMES {
                failed[0] += usize::from(file.write_at(&[1; 8], 0).await.is_err());
                failed[1] += usize::from(file.read_at(&mut buffer, 0).await.is_err());
                failed[2] += usize::from(file.sync_all().await.is_err());
            }
            publish("failed", failed);
        });
        let disk = &mut world.storage();
        disk.write_failure(percent(5)).read_failure(percent(10)).sync_failure(percent(20)).bit_rot(percent(30));
        disk.latency(uniform(1.ms(), 3.ms())).sync_latency(exponential(5.ms()));
    });
    let [writes, reads, syncs]: [usize; 3] = serde_json::from_str(&facts(&outcome, "failed")[0]).unwrap();
    is_share("writes", writes, TIMES, 0.05);
    is_share("reads", reads, TIMES, 0.10);
    is_share("syncs", syncs, TIMES, 0.20);
    let of_kind = |kind| outcome.perturbations.iter().filter(move |one| one.site.kind == kind);
    let rot: Vec<u64> = of_kind(SiteKind::BitRot).map(|one| one.value - 1).collect();
    // The first reads may come before the first write.
    is_share("bits", rot.len(), TIMES - reads, 0.30);
    is_share("low bits", rot.iter().filter(|bit| **bit < 32).count(), rot.len(), 0.50);
    // Two operations of 2 ms and a sync of 5 ms each time, in the mean.
    let per_round = outcome.ending.at_ns as f64 / TIMES as f64;
    let deviation = (2.0 * (2e6f64).powi(2) / 12.0 + 5e6f64.powi(2)).sqrt() / (TIMES as f64).sqrt();
    assert!((per_round - 9e6).abs() < 4.0 * deviation, "{per_round}");
}

#[test]
fn a_crash_loses_and_tears_as_often_as_it_was_told() {
    const FILES: usize = 5_000;
    let outcome = run(|world| {
        world.client("store", || async {
            if squall::boot_number() == 1 {
                return;
            }
            for number in 0..FILES {
                fs::write(format!("/{number}"), [7; 4 * SECTOR]).await.unwrap();
            }
            sync("/").await.unwrap();
            std::future::pending::<()>().await;
        });
        world.storage().crash_loss(percent(30)).torn(percent(40));
        world.fault(crash("store").at(secs(10)).restart_after(1.ms()));
    });
    let lost: Vec<u64> =
        outcome.perturbations.iter().filter(|one| one.site.kind == SiteKind::DiskCrash).map(|one| one.value).collect();
    let whole = lost.iter().filter(|sectors| **sectors == 4).count();
    let torn = lost.len() - whole;
    is_share("lost", whole, FILES, 0.30);
    is_share("torn", torn, FILES, 0.70 * 0.40);
    for sectors in 1..4 {
        is_share("of each length", lost.iter().filter(|lost| **lost == sectors).count(), torn, 1.0 / 3.0);
    }
}

#[test]
fn by_default_a_crash_loses_half_of_what_wasn_t_synced() {
    let outcome = run(|world| {
        crashes(world, || async {
            for number in 0..2_000 {
                fs::write(format!("/{number}"), "").await?;
            }
            Ok(())
        });
    });
    let lost = outcome.perturbations.iter().filter(|one| one.site.kind == SiteKind::DiskCrash).count();
    is_share("lost", lost, 2_000, 0.50);
    let events = &outcome.trace.as_ref().unwrap().events;
    let said = events
        .iter()
        .filter(|event| matches!(&event.kind, EventKind::Disk { what, .. } if what.ends_with("is lost in the crash")));
    assert_eq!(said.count(), lost);
}

#[test]
fn a_failure_of_a_disk_is_told_in_plain_words() {
    let outcome = run(|world| {
        world.client("store", || async {
            let file = File::create("/wal").await.unwrap();
            file.write_all_at(&[1; 40], 0).await.unwrap();
            file.write_all_at(&[2; 40], 40).await.unwrap();
            assert!(file.sync_all().await.is_err());
            panic!("the disk has failed");
        });
        world.storage().sync_failure(Ratio::ONE).crash_loss(Ratio::ONE).sync_latency(uniform(1.ms(), 9.ms()));
    });
    assert_eq!(failure(&outcome).0, "panic");
    let said: Vec<String> = outcome.perturbations.iter().map(|one| one.sentence(&outcome.names)).collect();
    assert!(said[0].starts_with("store's sync 1 of /wal takes "), "{said:?}");
    let expected = [
        "store's sync 1 of /wal fails",
        "store's write 1 to /wal (bytes 0..40) is lost by the failure of sync 1 of /wal",
    ];
    // The second write is lost with the first: they share a sector.
    assert_eq!(said[1..], expected);
}

/// A sync that fails may lose a name's way into another directory, whose old one is then removed: what comes after finds the disk as it is.
#[test]
fn a_lost_move_out_of_a_directory_that_goes_is_no_end() {
    async fn sync(path: &str) {
        if let Ok(directory) = fs::File::open(path).await {
            let _ = directory.sync_all().await;
        }
    }
    let simulation = Simulation::new(|world: &mut World| {
        world.node("node", || async {
            for _ in 0..6 {
                for path in ["/a", "/b"] {
                    let _ = fs::create_dir(path).await;
                }
                sync("/").await;
                let _ = fs::write("/a/file", "x").await;
                sync("/a").await;
                let _ = fs::rename("/a/file", "/b/file").await;
                sync("/b").await;
                let _ = fs::remove_dir("/a").await;
                sync("/").await;
                let _ = fs::rename("/b/file", "/b/other").await;
                sync("/b").await;
            }
            std::future::pending::<()>().await;
        });
        world.client("client", || squall::time::sleep(Duration::from_millis(200)));
        world.storage().sync_failure(Ratio::new(3, 10)).crash_loss(Ratio::new(1, 2));
        world.fault(squall::crash("node").at(Duration::from_millis(25)).restart_after(Duration::from_millis(1)));
    });
    for seed in 0..300 {
        let outcome = simulation.run_plan(&Plan::seeded("test", Seed(seed)), Record::Digest);
        assert_eq!(outcome.verdict, Verdict::Pass, "seed {seed}");
    }
}
