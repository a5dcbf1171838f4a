//! Shards: a range of seeds explored in parts, each of which may run on a machine of its own, and what they come to together.
//!
//! A shard's file is JSON lines in zstd, so that `zstdcat FILE | jq` opens it. The first line is the header; then come the kept failures
//! that were run, the failures in seed order, and the failure files that were written; the last line is the sum, so that a file that was
//! cut off is noticed. [`merge`] is a pure function of the set of shards.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::File;
use std::io::{self, BufRead, BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use squall_trace::{Digest, Seed, StrategyChoice, Verdict};

use crate::failure_file::{FailureFile, Found};
use crate::seeds::SeedRange;
use crate::tally::{Explored, FAILURES_LISTED_MAX, Listed};
use crate::whole_file;

/// The version of the format: files of another one are refused.
pub const FORMAT: u32 = 1;

/// zstd's own default.
const ZSTD_LEVEL: i32 = 3;

/// Who reads a file that somebody sent isn't to run out of memory over one line.
const LINE_BYTES_MAX: u64 = 128 << 20;

/// Nobody keeps more failures than that, and whoever sent a file with more means no good.
const KEPT_MAX: usize = 100_000;

/// How many missing shards are named.
const MISSING_NAMED_MAX: usize = 10;

/// Which part of how many, counted from 1: `3/8`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ShardId {
    index: u32,
    count: u32,
}

impl ShardId {
    /// Part `index` of `count`. None unless `index` is in `1..=count`.
    #[must_use]
    pub const fn new(index: u32, count: u32) -> Option<ShardId> {
        if index >= 1 && index <= count { Some(ShardId { index, count }) } else { None }
    }

    /// Which, from 1 on.
    #[must_use]
    pub const fn index(self) -> u32 {
        self.index
    }

    /// Of how many.
    #[must_use]
    pub const fn count(self) -> u32 {
        self.count
    }

    /// Its part of a range: the parts follow each other without a gap, and differ by one seed at the most.
    #[must_use]
    pub const fn slice(self, whole: SeedRange) -> SeedRange {
        SeedRange::new(self.end_of(whole, self.index - 1), self.end_of(whole, self.index))
    }

    /// Where the first `parts` of the range end.
    const fn end_of(self, whole: SeedRange, parts: u32) -> u64 {
        // The product has 96 bits; the quotient is no more than the length.
        whole.start() + (whole.len() as u128 * parts as u128 / self.count as u128) as u64
    }
}

impl fmt::Display for ShardId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.index, self.count)
    }
}

impl FromStr for ShardId {
    type Err = String;

    /// # Errors
    /// Text that isn't two whole numbers, of which the first is in `1..=` the second.
    fn from_str(text: &str) -> Result<ShardId, String> {
        let number = |side: &str| side.bytes().all(|byte| byte.is_ascii_digit()).then(|| side.parse().ok()).flatten();
        let sides = text.split_once('/').and_then(|(index, count)| Some((number(index)?, number(count)?)));
        match sides {
            Some((0, count @ 1..)) => {
                Err(format!("there is no shard 0: they count from 1, and 1/{count} is the first"))
            }
            Some((index, count)) => {
                ShardId::new(index, count).ok_or_else(|| format!("there is no shard {index} of {count}"))
            }
            None => Err(format!("expected a shard such as 3/8, the third of eight, found {text:?}")),
        }
    }
}

impl Serialize for ShardId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for ShardId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// What is explored, and how: all that the result depends on, and that its summary tells. Equal in every shard, but for the path.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Setup {
    /// The version of Squall.
    pub squall: String,
    /// Of the program's lock file and sources.
    pub build: Digest,
    /// The scenario's name.
    pub scenario: String,
    /// Its file, as it was named. Machines may have it in different places.
    pub file: PathBuf,
    /// The settings over the file's own, as they were given.
    pub set: Vec<String>,
    /// Of the file's text and those settings.
    pub fingerprint: Digest,
    /// The property that must fail, where the scenario is there to fail.
    pub expect: Option<String>,
    /// The scenario's properties.
    pub properties: Vec<String>,
    /// What is to come in some of its runs.
    pub goals: Vec<String>,
    /// All seeds, those of the other shards too.
    pub seeds: SeedRange,
    /// Who decides the order within an instant, where it was said.
    pub strategy: Option<StrategyChoice>,
    /// Counting ends with that failure: no more than are listed, [`FAILURES_LISTED_MAX`].
    pub max_failures: Option<u64>,
    /// No run is begun after so many real nanoseconds.
    pub time_ns: Option<u64>,
    /// Whether failures are shrunk and saved.
    pub shrinks: bool,
    /// One poll that takes so many real nanoseconds is a hang.
    pub hang_after_ns: u64,
    /// What shrinking can't take away from a failure of this program, in words, if that is something.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_addressed: Option<String>,
}

impl Setup {
    /// The first thing in which two of them differ, with what each of them says.
    fn difference(&self, other: &Setup) -> Option<(&'static str, String, String)> {
        fn or_none(value: Option<u64>) -> String {
            value.map_or_else(|| "none".to_string(), |value| value.to_string())
        }
        type Part = (&'static str, fn(&Setup) -> String);
        let parts: [Part; 14] = [
            ("version of Squall", |setup| setup.squall.clone()),
            ("build, the program's lock file and sources,", |setup| setup.build.to_string()),
            ("scenario", |setup| setup.scenario.clone()),
            ("list of settings", |setup| format!("{:?}", setup.set)),
            ("text of the scenario's file or of a recording", |setup| setup.fingerprint.to_string()),
            ("property that is to fail", |setup| setup.expect.clone().unwrap_or_else(|| "none".to_string())),
            ("list of properties", |setup| format!("{:?}", setup.properties)),
            ("list of goals", |setup| format!("{:?}", setup.goals)),
            ("range of seeds", |setup| setup.seeds.to_string()),
            ("strategy", |setup| setup.strategy.unwrap_or_default().to_string()),
            ("number of failures to stop at", |setup| or_none(setup.max_failures)),
            ("time limit in nanoseconds", |setup| or_none(setup.time_ns)),
            ("choice to shrink", |setup| setup.shrinks.to_string()),
            ("time that is a hang, in nanoseconds,", |setup| setup.hang_after_ns.to_string()),
        ];
        parts.into_iter().map(|(what, said)| (what, said(self), said(other))).find(|(_, this, that)| this != that)
    }
}

/// A failure that was saved before and was run first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Kept {
    /// Its file.
    pub path: PathBuf,
    /// Its property.
    pub property: String,
    /// What its run was, in words.
    pub said: String,
    /// What its run was beside what was saved.
    pub found: Found,
    /// What it came to.
    pub verdict: Verdict,
}

/// What a shard came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shard {
    /// Which.
    pub id: ShardId,
    /// Of what.
    pub setup: Setup,
    /// The failures that were kept and run. The first shard does that.
    pub kept: Vec<Kept>,
    /// What its seeds came to.
    pub explored: Explored,
    /// The first failure of each property that it met, by seed, as far as they were saved.
    pub saved: BTreeMap<Seed, FailureFile>,
    /// How many real nanoseconds it took.
    pub elapsed_ns: u64,
    /// The seed whose runs were compared before the others, if they differed.
    pub diverged: Option<Seed>,
    /// Whether it left threads for processes, as `isolation = "auto"` does after a run that didn't repeat itself.
    pub left_threads: bool,
}

/// The format alone, to begin with: what follows may differ in anything.
#[derive(Deserialize)]
struct Version {
    format: Option<u32>,
}

#[derive(Serialize, Deserialize)]
#[serde(tag = "line", rename_all = "kebab-case", deny_unknown_fields)]
enum Line {
    Header {
        format: u32,
        shard: ShardId,
        setup: Box<Setup>,
    },
    Kept(Kept),
    Failure(Listed),
    /// The text of a failure file.
    Saved {
        seed: Seed,
        text: String,
    },
    Sum {
        /// The seeds that were really run: time or failures may have ended it.
        ran: SeedRange,
        explored: Box<Explored>,
        elapsed_ns: u64,
        diverged: Option<Seed>,
        left_threads: bool,
        /// How many lines came before this one.
        lines: u64,
    },
}

/// Why a file can't be read as a shard.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// It can't be opened.
    #[error("{path} can't be read: {error}", path = path.display())]
    Open {
        /// Which file.
        path: PathBuf,
        /// What the system says.
        error: io::Error,
    },
    /// It is no shard, or a damaged one.
    #[error("{path} is no shard, or a damaged one: line {line}: {problem}", path = path.display())]
    Line {
        /// Which file.
        path: PathBuf,
        /// Counted from 1, as `zstdcat FILE | sed -n LINEp` counts.
        line: u64,
        /// What is wrong.
        problem: String,
    },
}

impl Shard {
    /// The seeds that are its part.
    #[must_use]
    pub fn slice(&self) -> SeedRange {
        self.id.slice(self.setup.seeds)
    }

    /// The seeds that it really ran: those that were counted come one after the other.
    #[must_use]
    pub fn ran(&self) -> SeedRange {
        let start = self.slice().start();
        SeedRange::new(start, start.saturating_add(self.explored.runs))
    }

    /// Writes it to `path`, whole or not at all, and makes the directories that it needs.
    ///
    /// # Errors
    /// What the system says.
    pub fn write(&self, path: &Path) -> io::Result<()> {
        whole_file::write(path, |file| self.write_to(BufWriter::new(file)))
    }

    fn write_to(&self, file: impl Write) -> io::Result<()> {
        let mut encoder = zstd::Encoder::new(file, ZSTD_LEVEL)?;
        // A bit that was turned over is noticed.
        encoder.include_checksum(true)?;
        self.write_lines(&mut encoder)?;
        encoder.finish()?.flush()
    }

    /// Writes the lines of a file, as `zstdcat` gives them.
    ///
    /// # Errors
    /// What the writer says.
    pub fn write_lines(&self, mut writer: impl Write) -> io::Result<()> {
        let mut put = |line: &Line| -> io::Result<()> {
            serde_json::to_writer(&mut writer, line)?;
            writer.write_all(b"\n")
        };
        put(&Line::Header { format: FORMAT, shard: self.id, setup: Box::new(self.setup.clone()) })?;
        for kept in &self.kept {
            put(&Line::Kept(kept.clone()))?;
        }
        for failure in &self.explored.failures {
            put(&Line::Failure(failure.clone()))?;
        }
        for (seed, file) in &self.saved {
            put(&Line::Saved { seed: *seed, text: file.to_text() })?;
        }
        put(&Line::Sum {
            ran: self.ran(),
            explored: Box::new(self.explored.clone()),
            elapsed_ns: self.elapsed_ns,
            diverged: self.diverged,
            left_threads: self.left_threads,
            lines: 1 + (self.kept.len() + self.explored.failures.len() + self.saved.len()) as u64,
        })
    }

    /// Reads a file.
    ///
    /// # Errors
    /// [`ReadError`], which names the file and the line.
    pub fn read(path: &Path) -> Result<Shard, ReadError> {
        let open = |error| ReadError::Open { path: path.to_path_buf(), error };
        let file = File::open(path).map_err(open)?;
        if file.metadata().map_err(open)?.is_dir() {
            return Err(open(io::Error::new(io::ErrorKind::IsADirectory, "it is a directory")));
        }
        let decoder = zstd::Decoder::new(file).map_err(open)?;
        let content = |(line, problem)| ReadError::Line { path: path.to_path_buf(), line, problem };
        Shard::from_lines(BufReader::new(decoder)).map_err(content)
    }

    /// Reads the lines of a file, as `zstdcat` gives them.
    ///
    /// # Errors
    /// The number of a line, counted from 1, and what is wrong there.
    pub fn from_lines(reader: impl BufRead) -> Result<Shard, (u64, String)> {
        let mut lines = Lines { reader, number: 0 };
        read_shard(&mut lines).map_err(|problem| (lines.number, problem))
    }
}

/// The lines of a file; `number` is that of the one that was read last.
struct Lines<R> {
    reader: R,
    number: u64,
}

impl<R: BufRead> Lines<R> {
    fn next(&mut self) -> Result<Option<Vec<u8>>, String> {
        self.number += 1;
        let mut text = Vec::new();
        let read = (&mut self.reader).take(LINE_BYTES_MAX).read_until(b'\n', &mut text);
        match read.map_err(|error| error.to_string())? {
            0 => Ok(None),
            _ if text.last() == Some(&b'\n') => Ok(Some(text)),
            _ => Err(format!("it breaks off, or has more than {LINE_BYTES_MAX} bytes")),
        }
    }

    /// A line that must be there.
    fn expect(&mut self) -> Result<Vec<u8>, String> {
        self.next()?.ok_or_else(|| "the file ends before it, without its sum".to_string())
    }
}

fn parse<'t, T: Deserialize<'t>>(text: &'t [u8]) -> Result<T, String> {
    serde_json::from_slice(text).map_err(|error| error.to_string())
}

fn read_shard(lines: &mut Lines<impl BufRead>) -> Result<Shard, String> {
    let first = lines.expect()?;
    match parse::<Version>(&first)?.format {
        Some(FORMAT) => {}
        Some(other) => {
            let own = env!("CARGO_PKG_VERSION");
            return Err(format!("it is of format {other}, and this is Squall {own}, which reads format {FORMAT}"));
        }
        None => return Err("it doesn't say its format".to_string()),
    }
    let Line::Header { shard: id, setup, .. } = parse(&first)? else {
        return Err("expected the header".to_string());
    };
    if setup.max_failures.is_some_and(|max| max == 0 || max > FAILURES_LISTED_MAX as u64) {
        return Err(format!("the number of failures to stop at isn't in 1..={FAILURES_LISTED_MAX}"));
    }
    let (mut kept, mut failures, mut saved) = (Vec::new(), Vec::new(), BTreeMap::new());
    loop {
        match parse(&lines.expect()?)? {
            Line::Header { .. } => return Err("it is a second header".to_string()),
            Line::Kept(_) if id.index > 1 => {
                return Err("only the first shard runs failures that were kept".to_string());
            }
            Line::Kept(_) if kept.len() == KEPT_MAX => {
                return Err(format!("more than {KEPT_MAX} failures that were kept"));
            }
            Line::Kept(found) => kept.push(found),
            Line::Failure(_) if failures.len() == FAILURES_LISTED_MAX => {
                return Err(format!("more than {FAILURES_LISTED_MAX} failures are listed"));
            }
            Line::Failure(listed) => failures.push(listed),
            Line::Saved { seed, text } => {
                // Few bytes make many lines.
                let again = saved.insert(seed, FailureFile::from_text(&text)?).is_some();
                if again || saved.len() > failures.len() {
                    return Err(format!(
                        "it saves a failure of seed {seed}, which isn't listed, or was saved before it"
                    ));
                }
            }
            Line::Sum { ran, explored, elapsed_ns, diverged, left_threads, lines: before } => {
                if before != lines.number - 1 {
                    return Err(format!("{} lines come before it, and there were {before}", lines.number - 1));
                }
                let slice = id.slice(setup.seeds);
                if ran.start() != slice.start() || ran.end() > slice.end() {
                    return Err(format!("it ran the seeds {ran}, and shard {id} of {} is {slice}", setup.seeds));
                }
                let stopped = setup.max_failures == Some(explored.failed);
                if ran.end() < slice.end() && !stopped && setup.time_ns.is_none() {
                    return Err(format!("it ran the seeds {ran} of {slice}, and nothing was to end it before"));
                }
                if let Some(seed) = diverged
                    && seed.0 != slice.start()
                {
                    return Err(format!("it compared the runs of seed {seed}, which isn't its first"));
                }
                let explored = explored.with_failures(failures, ran)?;
                let strange = |(seed, file): &(&Seed, &FailureFile)| {
                    !setup.shrinks || !is_saved(file, **seed, &setup, &explored.failures)
                };
                if let Some((seed, _)) = saved.iter().find(strange) {
                    return Err(format!("what was saved as the failure of seed {seed} isn't that"));
                }
                if setup.max_failures.is_some_and(|max| explored.failed > max) {
                    return Err("it counted more failures than it was to stop at".to_string());
                }
                if lines.next()?.is_some() {
                    return Err("nothing is expected behind the sum".to_string());
                }
                let setup = *setup;
                return Ok(Shard { id, setup, kept, explored, saved, elapsed_ns, diverged, left_threads });
            }
        }
    }
}

/// Whether a failure file is of that seed's failure, one of those that are listed.
fn is_saved(file: &FailureFile, seed: Seed, setup: &Setup, failures: &[Listed]) -> bool {
    let listed = failures.binary_search_by_key(&seed, |listed| listed.seed).map(|place| &failures[place]);
    let of_failure = listed.is_ok_and(|listed| *listed.property == *file.property);
    of_failure && file.seed == seed && file.scenario == setup.scenario && file.build == Some(setup.build)
}

/// What shards come to together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Merged {
    /// What was explored.
    pub setup: Setup,
    /// How many shards there were.
    pub shards: u32,
    /// The failures that were kept and run.
    pub kept: Vec<Kept>,
    /// What the seeds came to.
    pub explored: Explored,
    /// The first failure of each property, by seed, as far as they were saved.
    pub saved: BTreeMap<Seed, FailureFile>,
    /// How many real nanoseconds they took one after the other.
    pub elapsed_ns: u64,
    /// The first seed whose runs were compared and differed.
    pub diverged: Option<Seed>,
    /// Whether one of them left threads for processes.
    pub left_threads: bool,
}

/// Why shards can't be added up.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub enum MergeError {
    /// There are none.
    #[error("there is no shard to merge")]
    Nothing,
    /// They are of different explorations.
    #[error("{} and {} don't belong together: the {what} differs: {this}, and {that}", first.display(), second.display())]
    Mixed {
        /// A file.
        first: PathBuf,
        /// Another one.
        second: PathBuf,
        /// In what they differ.
        what: &'static str,
        /// What the first says.
        this: String,
        /// What the second says.
        that: String,
    },
    /// The range was cut into different numbers of parts, so that some overlap.
    #[error("{} is shard {this}, and {} is shard {that}: their seeds overlap", first.display(), second.display())]
    Overlap {
        /// A file.
        first: PathBuf,
        /// Another one.
        second: PathBuf,
        /// Which shard the first is.
        this: ShardId,
        /// Which shard the second is.
        that: ShardId,
    },
    /// One shard was run twice, and came out differently, if only in its time.
    #[error("{} and {} are both shard {shard}, and differ: give only one of them", first.display(), second.display())]
    Twice {
        /// A file.
        first: PathBuf,
        /// Another one.
        second: PathBuf,
        /// Which shard both are.
        shard: ShardId,
    },
    /// Some are missing.
    #[error("of {count} shards, these are missing: {}", list(missing, *more))]
    Gap {
        /// Of how many.
        count: u32,
        /// The first of those that aren't there.
        missing: Vec<ShardId>,
        /// How many more aren't.
        more: u32,
    },
}

fn list(missing: &[ShardId], more: u32) -> String {
    let mut words: Vec<String> = missing.iter().map(ShardId::to_string).collect();
    if more > 0 {
        words.push(format!("and {more} more"));
    }
    words.join(", ")
}

/// Adds shards up, in whatever order they are given. The same one twice counts once. The result is what one process that ran the whole
/// range would have come to.
///
/// # Errors
/// [`MergeError`], if they aren't all the shards of one exploration.
pub fn merge(shards: impl IntoIterator<Item = (PathBuf, Shard)>) -> Result<Merged, MergeError> {
    let mut all: Vec<(PathBuf, Shard)> = shards.into_iter().collect();
    // By path where a shard is there twice: what is told doesn't depend on the order.
    all.sort_by(|(path, shard), (other_path, other)| (shard.id, path).cmp(&(other.id, other_path)));
    check_together(&all)?;
    all.dedup_by(|(_, later), (_, earlier)| later.id == earlier.id);
    let Some((_, reference)) = all.first() else { return Err(MergeError::Nothing) };
    let (count, setup) = (reference.id.count, reference.setup.clone());
    check_complete(count, &all)?;

    let mut merged = Merged {
        setup,
        shards: count,
        kept: Vec::new(),
        explored: Explored::default(),
        saved: BTreeMap::new(),
        elapsed_ns: 0,
        diverged: None,
        left_threads: false,
    };
    for (_, shard) in all {
        // All of them took their time.
        merged.elapsed_ns = merged.elapsed_ns.saturating_add(shard.elapsed_ns);
        let left = merged.setup.max_failures.map(|max| max.saturating_sub(merged.explored.failed));
        if left == Some(0) {
            // One process would have gone no further.
            continue;
        }
        let start = Seed(shard.slice().start());
        let explored = match left {
            Some(left) => shard.explored.shortened(start, left),
            None => shard.explored,
        };
        merged.explored.append(start, explored);
        merged.kept.extend(shard.kept);
        merged.saved.extend(shard.saved);
        merged.diverged = merged.diverged.or(shard.diverged);
        merged.left_threads |= shard.left_threads;
    }
    let Merged { explored, saved, .. } = &mut merged;
    // One process saves the first of each property, among those that it lists.
    saved.retain(|seed, _| {
        let is_first = explored.groups.values().any(|group| group.seed == *seed);
        is_first && explored.failures.binary_search_by_key(seed, |listed| listed.seed).is_ok()
    });
    Ok(merged)
}

/// Whether all are parts of one exploration, and none of them contradicts another.
fn check_together(sorted: &[(PathBuf, Shard)]) -> Result<(), MergeError> {
    let Some((first, reference)) = sorted.first() else { return Ok(()) };
    for (second, shard) in sorted {
        let (first, second) = (first.clone(), second.clone());
        if let Some((what, this, that)) = reference.setup.difference(&shard.setup) {
            return Err(MergeError::Mixed { first, second, what, this, that });
        }
        if shard.id.count != reference.id.count {
            return Err(MergeError::Overlap { first, second, this: reference.id, that: shard.id });
        }
    }
    for pair in sorted.windows(2) {
        if let [(first, this), (second, that)] = pair
            && this.id == that.id
            && this != that
        {
            return Err(MergeError::Twice { first: first.clone(), second: second.clone(), shard: this.id });
        }
    }
    Ok(())
}

/// Whether every shard is there; `sorted` has each at most once.
fn check_complete(count: u32, sorted: &[(PathBuf, Shard)]) -> Result<(), MergeError> {
    let absent = u64::from(count).saturating_sub(sorted.len() as u64);
    if absent == 0 {
        return Ok(());
    }
    let mut present = sorted.iter().map(|(_, shard)| shard.id.index).peekable();
    let is_missing = |index: &u32| present.next_if_eq(index).is_none();
    let missing = (1..=count).filter(is_missing).filter_map(|index| ShardId::new(index, count));
    let missing: Vec<ShardId> = missing.take(MISSING_NAMED_MAX).collect();
    let more = u32::try_from(absent).unwrap_or(u32::MAX) - missing.len() as u32;
    Err(MergeError::Gap { count, missing, more })
}
