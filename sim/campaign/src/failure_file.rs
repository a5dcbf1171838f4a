//! A failing plan in a file that a person can read and edit: TOML, an entry for each perturbation, each with a sentence that
//! says it in plain words.
//!
//! ```toml
//! format = 1
//! squall = "0.1.0"
//! build = "0123456789abcdef0123456789abcdef"  # a hash of the program's lock file and sources; left out where that isn't known
//! scenario = "payments"
//! file = "scenarios/payments.toml"
//! property = "paid-once"
//! message = "alice-0: 1 payments were acknowledged, 2 were made"
//! seed = "0x2a"
//! weather = "calm"                # what isn't said below is calm; "drawn": it is drawn from the seed
//! horizon_ns = 2100000000         # the run ends there; left out where it is seen at once that the property fails
//! digest = "0123456789abcdef0123456789abcdef"
//! minimal = "pairs"               # without any one or any two of these it doesn't fail; "one"; "unproved"
//!
//! [parameters]                    # settings over the scenario's own
//! "network.loss" = "5%"
//!
//! [[perturbation]]
//! says = "the answer to call 3 (Pay) from bank-0 to alice-0 is lost"
//! kind = "loss"                   # or latency, duplicate, corruption, order, fault, partition, point, operation
//! flow = "0123456789abcdef"
//! number = 3
//! fingerprint = "0123456789abcdef"
//! value = 1                       # 1 for what happens; nanoseconds of a latency; 1 + those of a copy; a rank
//! ```
//!
//! An entry can be taken away, and a value changed. The sentences are for the reader: nothing is read from them.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use squall_trace::plan::{ANY_FINGERPRINT, Bases};
use squall_trace::verdict::BUILT_IN_PROPERTIES;
use squall_trace::{
    Base, Digest, FlowId, Outcome, Override, Parameters, Plan, Seed, Site, SiteKind, StrategyChoice, Verdict,
};

use crate::shrink::{Minimal, Shrunk};
use crate::whole_file::{self, Place};

/// The version of the format: files of another one are refused.
pub const FORMAT: u32 = 1;

/// The last line: a file without it was cut off.
const END: &str = "# end";

/// What the first lines of a scenario's failure say to whoever opens it.
const HEADER: &str = "\
# A failing run, said by what wasn't calm in it. `squall replay THIS_FILE` repeats it; an entry can be taken away, and a
# value changed (times are nanoseconds), to see whether it still fails.

";

/// What they begin with, whatever version wrote them.
const HEADER_BEGINS: &str = "# A failing run, said by what wasn't calm in it.";

/// The first lines of a test's failure, which only that test can repeat.
fn header_of_test(file: &FailureFile) -> String {
    format!(
        "{HEADER_BEGINS} This repeats it, in its package:\n#   {}\n# An entry can be taken away, and a value changed (times are \
         nanoseconds), to see whether it still fails.\n\n",
        file.test_command("THIS_FILE")
    )
}

/// No failure file is near that long, and reading one takes memory in proportion.
const FILE_BYTES_MAX: u64 = 64 << 20;

/// A failing plan and what it came to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FailureFile {
    format: u32,
    /// The version of Squall that wrote it.
    pub squall: String,
    /// Which build of the program wrote it: a hash of its lock file and sources.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub build: Option<Digest>,
    /// The scenario's name, or the test's.
    pub scenario: String,
    /// The scenario's file, as it was named. A test has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<PathBuf>,
    /// The property that failed.
    pub property: String,
    /// What was seen.
    pub message: String,
    /// The seed: what the application draws follows from it, and under `weather = "drawn"` everything does.
    pub seed: Seed,
    /// Who orders the events of an instant under `weather = "drawn"`.
    #[serde(default, skip_serializing_if = "is_default")]
    pub strategy: StrategyChoice,
    /// What everything is that no entry speaks of.
    pub weather: Base,
    /// The run ends at this virtual nanosecond, if it hasn't before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub horizon_ns: Option<u64>,
    /// Of the run.
    pub digest: Digest,
    /// How small it is.
    pub minimal: Minimal,
    /// Settings over the scenario's own.
    #[serde(default, skip_serializing_if = "Parameters::is_empty")]
    pub parameters: Parameters,
    #[serde(default, rename = "perturbation", skip_serializing_if = "Vec::is_empty")]
    perturbations: Vec<Entry>,
}

/// Whether there is the last line. One within a text isn't it: what stands before that is no TOML.
fn is_whole(text: &str) -> bool {
    let start = |line: &str| line.as_ptr() as usize - text.as_ptr() as usize;
    let mut ends = text.lines().filter(|line| line.trim() == END).map(start);
    ends.any(|end| toml::from_str::<toml::Table>(&text[..end]).is_ok())
}

fn is_default(strategy: &StrategyChoice) -> bool {
    *strategy == StrategyChoice::default()
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    #[serde(default)]
    says: String,
    kind: SiteKind,
    flow: FlowId,
    number: u64,
    #[serde(serialize_with = "write_hex", deserialize_with = "read_hex")]
    fingerprint: u64,
    #[serde(serialize_with = "write_number", deserialize_with = "read_number")]
    value: u64,
}

fn write_hex<S: Serializer>(value: &u64, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&FlowId(*value))
}

fn read_hex<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    FlowId::deserialize(deserializer).map(|id| id.0)
}

/// TOML's integers have 63 bits. A larger one, which only a latency beyond all ages can be, is text.
fn write_number<S: Serializer>(value: &u64, serializer: S) -> Result<S::Ok, S::Error> {
    match i64::try_from(*value) {
        Ok(value) => serializer.serialize_i64(value),
        Err(_) => serializer.collect_str(value),
    }
}

fn read_number<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    struct Number;
    impl serde::de::Visitor<'_> for Number {
        type Value = u64;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a whole number, 0 or more")
        }

        fn visit_i64<E: serde::de::Error>(self, value: i64) -> Result<u64, E> {
            u64::try_from(value).map_err(|_| E::invalid_value(serde::de::Unexpected::Signed(value), &self))
        }

        fn visit_u64<E: serde::de::Error>(self, value: u64) -> Result<u64, E> {
            Ok(value)
        }

        fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<u64, E> {
            text.parse().map_err(|_| E::invalid_value(serde::de::Unexpected::Str(text), &self))
        }
    }
    deserializer.deserialize_any(Number)
}

/// The property of a file whose run nobody knows the verdict of.
pub const UNKNOWN_PROPERTY: &str = "unknown";

fn property_of(verdict: &Verdict) -> Option<&str> {
    match verdict {
        Verdict::Unknown { .. } => Some(UNKNOWN_PROPERTY),
        _ => verdict.property(),
    }
}

/// What a run of a saved failure is, beside what was saved.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Found {
    /// The same run.
    Same,
    /// Another run, in which the property fails too.
    Differs,
    /// The property doesn't fail any more.
    Gone,
    /// Nobody knows what the run comes to, and so whether the property fails.
    Unknown,
    /// It says nothing about the failure: some entries met nothing.
    Stale {
        /// How many.
        unused: usize,
        /// Of how many.
        of: usize,
    },
    /// It says nothing about the failure: the program has no such property, and so nothing judged it. Stale, too.
    Unjudged,
}

impl Found {
    /// Compares a run with what was saved of it. The run is recorded: what isn't knows of no properties.
    #[must_use]
    pub fn new(file: &FailureFile, outcome: &Outcome) -> Found {
        let property = property_of(&outcome.verdict);
        let fails = property == Some(&*file.property);
        let is_judged = |names: &Vec<String>| {
            let built_in = BUILT_IN_PROPERTIES.into_iter().chain([UNKNOWN_PROPERTY]);
            names.iter().map(String::as_str).chain(built_in).any(|name| name == file.property)
        };
        if !outcome.properties.as_ref().is_none_or(is_judged) {
            // Whatever else is the matter with it: no search could find it.
            Found::Unjudged
        } else if !outcome.unused_overrides.is_empty() {
            Found::Stale { unused: outcome.unused_overrides.len(), of: file.perturbations() }
        } else if outcome.digest == file.digest && fails {
            Found::Same
        } else if fails {
            Found::Differs
        } else if matches!(outcome.verdict, Verdict::Unknown { .. }) {
            Found::Unknown
        } else {
            Found::Gone
        }
    }

    /// Whether it says nothing about the failure.
    #[must_use]
    pub fn is_stale(self) -> bool {
        matches!(self, Found::Stale { .. } | Found::Unjudged)
    }

    /// `same`, `differs`, `gone`, `unknown` or `stale`.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Found::Same => "same",
            Found::Differs => "differs",
            Found::Gone => "gone",
            Found::Unknown => "unknown",
            Found::Stale { .. } | Found::Unjudged => "stale",
        }
    }
}

/// Why a file can't be read as a failure.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// It can't be read at all.
    #[error("{path} can't be read: {error}", path = path.display())]
    Open {
        /// Which file.
        path: PathBuf,
        /// What the system says.
        error: io::Error,
    },
    /// It is no failure file, or a damaged one.
    #[error("{path}: {problem}", path = path.display())]
    Content {
        /// Which file.
        path: PathBuf,
        /// What is wrong and where.
        problem: String,
    },
}

/// Where a failure comes from.
#[derive(Clone, Copy, Debug, Default)]
pub struct Origin<'o> {
    /// The scenario's file. A test has none.
    pub file: Option<&'o Path>,
    /// Which build of the program, where that is known.
    pub build: Option<Digest>,
}

impl FailureFile {
    /// A shrunk failure.
    #[must_use]
    pub fn shrunk(origin: Origin<'_>, shrunk: &Shrunk) -> FailureFile {
        let outcome = &shrunk.outcome;
        let entry = |planned: &Override| Entry {
            says: outcome
                .perturbations
                .iter()
                .find(|known| known.to_override() == *planned)
                .map_or_else(String::new, |known| known.sentence(&outcome.names)),
            kind: planned.site.kind,
            flow: planned.site.flow,
            number: planned.site.number,
            fingerprint: planned.fingerprint,
            value: planned.value,
        };
        FailureFile {
            weather: Base::Calm,
            strategy: StrategyChoice::default(),
            minimal: shrunk.minimal,
            perturbations: shrunk.plan.overrides.iter().map(entry).collect(),
            ..FailureFile::whole(origin, &shrunk.plan, outcome.digest, &outcome.verdict)
        }
    }

    /// A failure as its seed gave it.
    #[must_use]
    pub fn whole(origin: Origin<'_>, plan: &Plan, digest: Digest, verdict: &Verdict) -> FailureFile {
        FailureFile {
            format: FORMAT,
            squall: env!("CARGO_PKG_VERSION").to_string(),
            build: origin.build,
            scenario: plan.scenario.clone(),
            file: origin.file.map(Path::to_path_buf),
            property: property_of(verdict).unwrap_or_default().to_string(),
            message: verdict.message().unwrap_or_default().to_string(),
            seed: plan.seed,
            strategy: plan.strategy,
            weather: Base::Drawn,
            horizon_ns: plan.horizon_ns,
            digest,
            minimal: Minimal::Unproved,
            parameters: plan.parameters.clone(),
            perturbations: Vec::new(),
        }
    }

    /// How many entries it has.
    #[must_use]
    pub fn perturbations(&self) -> usize {
        self.perturbations.len()
    }

    /// What an entry says: the sentence beside an override.
    #[must_use]
    pub fn sentence(&self, planned: &Override) -> Option<&str> {
        self.perturbations.iter().find(|entry| entry.planned() == *planned).map(|entry| &*entry.says)
    }

    /// The plan that it holds.
    #[must_use]
    pub fn plan(&self) -> Plan {
        let whole = Plan {
            parameters: self.parameters.clone(),
            strategy: self.strategy,
            horizon_ns: self.horizon_ns,
            ..Plan::seeded(self.scenario.clone(), self.seed)
        };
        let base = match self.weather {
            Base::Calm => Plan { bases: Bases::calm(), strategy: StrategyChoice::Fifo, ..whole },
            Base::Drawn => whole,
        };
        Plan { overrides: self.perturbations.iter().map(Entry::planned).collect(), ..base }
    }

    /// As text.
    ///
    /// # Panics
    /// Never: all that it holds can be written.
    #[must_use]
    pub fn to_text(&self) -> String {
        let body = toml::to_string(self).expect("every value has a place in TOML");
        match self.file {
            Some(_) => format!("{HEADER}{body}\n{END}\n"),
            None => format!("{}{body}\n{END}\n", header_of_test(self)),
        }
    }

    /// The command that repeats the failure of a test, in the package of the test; `path`, where the file is, as a shell takes it.
    #[must_use]
    pub fn test_command(&self, path: &str) -> String {
        // The second world of a test is called TEST.2, and so on. Where nobody knew the test, it is named in other words.
        let test = self.scenario.split('.').next().unwrap_or_default();
        let is_path = |test: &str| test.chars().all(|one| one.is_alphanumeric() || one == '_' || one == ':');
        match is_path(test) && !test.is_empty() {
            true => format!("SQUALL_REPLAY={path} cargo test {test} -- --exact"),
            false => format!("SQUALL_REPLAY={path} cargo test"),
        }
    }

    /// From text.
    ///
    /// # Errors
    /// What is wrong, with the place.
    pub fn from_text(text: &str) -> Result<FailureFile, String> {
        // A file of another version may differ in anything: it is told by its version alone.
        #[derive(Deserialize)]
        struct Version {
            format: Option<toml::Spanned<u32>>,
        }
        let version: Version = toml::from_str(text).map_err(|error| error.to_string())?;
        match version.format.map(toml::Spanned::into_inner) {
            Some(FORMAT) => {}
            Some(other) => {
                return Err(format!(
                    "it is of format {other}, and this is Squall {}, which reads format {FORMAT}",
                    env!("CARGO_PKG_VERSION")
                ));
            }
            None => return Err(format!("it is no failure file: those begin with `format = {FORMAT}`")),
        }
        let file: FailureFile = toml::from_str(text).map_err(|error| error.to_string())?;
        // Whatever is left of one whose end is missing may be a failure as well, but another one.
        if !is_whole(text) {
            return Err(format!(
                "it breaks off: there is no line `{END}`, without which a part could be taken for the whole"
            ));
        }
        let mut decisions = BTreeMap::new();
        for (entry, number) in file.perturbations.iter().zip(1usize..) {
            entry.check().map_err(|problem| format!("its perturbation {number} {problem}"))?;
            let Override { site, fingerprint, .. } = entry.planned();
            if let Some(before) = decisions.insert((site, fingerprint), number) {
                return Err(format!(
                    "its perturbations {before} and {number} are of the same decision: only one can be"
                ));
            }
        }
        Ok(file)
    }

    /// Whether a file seems to be one: it begins as those do, or says what no scenario file does.
    #[must_use]
    pub fn is_one(path: &Path) -> bool {
        const KEYS: [&str; 7] = ["format", "squall", "property", "weather", "horizon_ns", "digest", "minimal"];
        let mut bytes = Vec::new();
        let read = File::open(path).and_then(|file| file.take(FILE_BYTES_MAX).read_to_end(&mut bytes));
        let text = String::from_utf8_lossy(&bytes);
        // Even where the rest can't be read: a damaged failure file isn't to be told as a damaged scenario. What comes behind
        // the head of a table is a program's own.
        let mut top = text.lines().map(str::trim).take_while(|line| !line.starts_with('['));
        let begins = !text.is_empty() && (text.starts_with(HEADER_BEGINS) || HEADER_BEGINS.starts_with(&*text));
        let says = |line: &str| line.split_once('=').is_some_and(|(key, _)| KEYS.contains(&key.trim()));
        read.is_ok() && (begins || top.any(says))
    }

    /// Reads a file.
    ///
    /// # Errors
    /// [`ReadError`], which names the file.
    pub fn read(path: &Path) -> Result<FailureFile, ReadError> {
        FailureFile::read_with_text(path).map(|(file, _)| file)
    }

    fn read_with_text(path: &Path) -> Result<(FailureFile, String), ReadError> {
        let open = |error| ReadError::Open { path: path.to_path_buf(), error };
        let content = |problem| ReadError::Content { path: path.to_path_buf(), problem };
        let mut bytes = Vec::new();
        let file = File::open(path).map_err(open)?;
        file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(open)?;
        if bytes.len() as u64 > FILE_BYTES_MAX {
            return Err(content(format!("it is longer than {FILE_BYTES_MAX} bytes")));
        }
        let text = String::from_utf8(bytes).map_err(|error| content(format!("it is no text: {error}")))?;
        FailureFile::from_text(&text).map(|file| (file, text)).map_err(content)
    }

    /// Writes it to `path`, whole or not at all, and makes the directories that it needs.
    ///
    /// # Errors
    /// What the system says.
    pub fn write(&self, path: &Path) -> io::Result<()> {
        whole_file::write(path, |file| file.write_all(self.to_text().as_bytes()))
    }

    /// As [`FailureFile::write`]; but nothing is lost of what is there already. Where the file says the same of another build, it stays as
    /// it is: whoever keeps it has no use for a change with every build. Where it says another failure, or a person has written in it, it
    /// is kept beside, under the name that is given back.
    ///
    /// # Errors
    /// What the system says.
    pub fn write_unless_known(&self, path: &Path) -> io::Result<Option<PathBuf>> {
        if let Place::Special(_) = Place::of(path)? {
            // There is nothing to be read, and nothing that would be replaced.
            return self.write(path).map(|()| None);
        }
        let aside = match FailureFile::read_with_text(path) {
            Ok((known, _)) if (FailureFile { build: self.build, ..known.clone() }) == *self => return Ok(None),
            Ok((known, text)) => {
                // Of the same plan only what it comes to is new. Where it comes to the same, a person has written what is said of it
                // otherwise.
                let is_reworded = known.message != self.message || known.perturbations != self.perturbations;
                // Two scenarios in two directories may have one name, and so one place for their failures.
                let is_other = known.plan() != self.plan() || known.file != self.file;
                match is_other || known.digest == self.digest && is_reworded {
                    true => Some(whole_file::keep_aside(path, text.as_bytes())?),
                    false => known.keep_edits(path, &text)?,
                }
            }
            Err(ReadError::Content { .. }) => Some(whole_file::keep_aside(path, File::open(path)?)?),
            // Whatever another process may have put there since says the same.
            Err(ReadError::Open { .. }) => None,
        };
        self.write(path)?;
        Ok(aside)
    }

    /// Takes the place of another failure, `known`, which was read from `path`. Where a person has written in that file, it is kept beside,
    /// under the name that is given back.
    ///
    /// # Errors
    /// What the system says.
    pub fn write_over(&self, known: &FailureFile, path: &Path) -> io::Result<Option<PathBuf>> {
        let aside = known.keep_edits_of(path)?;
        self.write(path)?;
        Ok(aside)
    }

    /// Takes the file at `path`, which says this, away. Where a person has written in it, it is kept beside, under the name that is given
    /// back.
    ///
    /// # Errors
    /// What the system says.
    pub fn remove(&self, path: &Path) -> io::Result<Option<PathBuf>> {
        let aside = self.keep_edits_of(path)?;
        std::fs::remove_file(path)?;
        Ok(aside)
    }

    fn keep_edits_of(&self, path: &Path) -> io::Result<Option<PathBuf>> {
        match std::fs::read_to_string(path) {
            Ok(text) => self.keep_edits(path, &text),
            // Somebody took it away meanwhile.
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Keeps the text of the file at `path`, which says this, if a person has written in it: a comment, say.
    fn keep_edits(&self, path: &Path, text: &str) -> io::Result<Option<PathBuf>> {
        // One that another version has written differs as well: better to be kept.
        let is_edited = text != self.to_text();
        is_edited.then(|| whole_file::keep_aside(path, text.as_bytes())).transpose()
    }
}

impl Entry {
    /// What can't be, by itself.
    fn check(&self) -> Result<(), String> {
        let of_message = matches!(
            self.kind,
            SiteKind::Loss
                | SiteKind::Latency
                | SiteKind::Duplicate
                | SiteKind::Corruption
                | SiteKind::Rule
                | SiteKind::Retransmission
                | SiteKind::Reset
        );
        let of_disk =
            matches!(self.kind, SiteKind::DiskCrash | SiteKind::DiskFailure | SiteKind::DiskLatency | SiteKind::BitRot);
        if (of_message || of_disk) && self.fingerprint == ANY_FINGERPRINT {
            let whose = if of_disk { "operation" } else { "message" };
            return Err(format!("has a fingerprint of zeros, which is no {whose}'s"));
        }
        let happens = self.kind.is_yes_or_no();
        if happens && self.value > 1 {
            return Err(format!("has the value {}: expected 1 (it happens) or 0 (it doesn't)", self.value));
        }
        Ok(())
    }

    fn planned(&self) -> Override {
        let site = Site { kind: self.kind, flow: self.flow, number: self.number };
        Override { site, fingerprint: self.fingerprint, value: self.value }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn file(perturbations: Vec<Entry>) -> FailureFile {
        FailureFile {
            format: FORMAT,
            squall: "0.1.0".to_string(),
            build: Some(Digest(8)),
            scenario: "payments".to_string(),
            file: Some("scenarios/payments.toml".into()),
            property: "paid-once".to_string(),
            message: "two \"lines\"\nof it".to_string(),
            seed: Seed(u64::MAX),
            strategy: StrategyChoice::default(),
            weather: Base::Calm,
            horizon_ns: None,
            digest: Digest(7),
            minimal: Minimal::Pairs,
            parameters: [("network.loss".to_string(), "5%".to_string())].into(),
            perturbations,
        }
    }

    fn entry(kind: SiteKind, value: u64) -> Entry {
        Entry {
            says: "it is lost".to_string(),
            kind,
            flow: FlowId(u64::MAX),
            number: 3,
            fingerprint: u64::MAX - 1,
            value,
        }
    }

    #[test]
    fn the_format_is_this() {
        let text = file(vec![entry(SiteKind::Loss, 1), entry(SiteKind::Latency, u64::MAX)]).to_text();
        let expected = r#"format = 1
squall = "0.1.0"
build = "00000000000000000000000000000008"
scenario = "payments"
file = "scenarios/payments.toml"
property = "paid-once"
message = """
two "lines"
of it"""
seed = "0xffffffffffffffff"
weather = "calm"
digest = "00000000000000000000000000000007"
minimal = "pairs"

[parameters]
"network.loss" = "5%"

[[perturbation]]
says = "it is lost"
kind = "loss"
flow = "ffffffffffffffff"
number = 3
fingerprint = "fffffffffffffffe"
value = 1

[[perturbation]]
says = "it is lost"
kind = "latency"
flow = "ffffffffffffffff"
number = 3
fingerprint = "fffffffffffffffe"
value = "18446744073709551615"
"#;
        assert_eq!(text, format!("{HEADER}{expected}\n# end\n"));
    }

    /// `squall replay` refuses the failure of a test: its first lines name the command that takes it.
    #[test]
    fn a_test_s_failure_says_how_the_test_repeats_it() {
        for (scenario, command) in [
            ("nested::a_test", "SQUALL_REPLAY=THIS_FILE cargo test nested::a_test -- --exact"),
            ("a_test.2", "SQUALL_REPLAY=THIS_FILE cargo test a_test -- --exact"),
            ("the exploration at tests/a.rs:7:5", "SQUALL_REPLAY=THIS_FILE cargo test"),
            ("odd\nname", "SQUALL_REPLAY=THIS_FILE cargo test"),
        ] {
            let file = FailureFile { scenario: scenario.to_string(), file: None, ..file(Vec::new()) };
            let text = file.to_text();
            assert!(text.lines().any(|line| line.strip_prefix("#   ") == Some(command)), "{text}");
            assert!(text.starts_with(HEADER_BEGINS) && !text.contains("squall replay"), "{text}");
            assert!(text.lines().take_while(|line| !line.is_empty()).all(|line| line.starts_with('#')), "{text}");
            assert_eq!(FailureFile::from_text(&text).unwrap(), file);
        }
    }

    #[test]
    fn mistakes_are_told_with_their_place() {
        let text = file(vec![entry(SiteKind::Loss, 1)]).to_text();
        let problem = |from: &str, to: &str| {
            assert!(text.contains(from), "{from}");
            FailureFile::from_text(&text.replace(from, to)).unwrap_err()
        };
        for (from, to, expected) in [
            ("format = 1", "format = 2", "format 2"),
            ("format = 1\n", "", "no failure file"),
            ("kind = \"loss\"", "kind = \"lost\"", "unknown variant `lost`"),
            ("number = 3", "number = -3", "number"),
            ("flow = \"f", "flow = \"", "16 hex digits"),
            ("value = 1", "value = -1", "0 or more"),
            ("weather = \"calm\"", "whether = \"calm\"", "whether"),
            ("seed = \"0x", "seed = \"x", "seed"),
            ("[[perturbation]]", "[[perturbation]", "TOML parse error at line"),
            ("fffffffffffffffe", "0000000000000000", "its perturbation 1 has a fingerprint of zeros"),
            ("value = 1", "value = 2", "its perturbation 1 has the value 2: expected 1 (it happens) or 0"),
            ("\n# end\n", "\n", "it breaks off: there is no line `# end`"),
        ] {
            let problem = problem(from, to);
            assert!(problem.contains(expected), "{to}: {problem}");
        }
        assert!(problem("value = 1", "value = -1").contains("line"), "{}", problem("value = 1", "value = -1"));
    }

    /// Wherever it is cut, also between two entries or within a number.
    #[test]
    fn a_part_is_not_taken_for_the_whole() {
        let whole = file(vec![entry(SiteKind::Loss, 1), entry(SiteKind::Latency, 12_345), entry(SiteKind::Fault, 1)]);
        let text = whole.to_text();
        for length in 0..text.trim_end().len() {
            assert!(FailureFile::from_text(&text[..length]).is_err(), "{}", &text[..length]);
        }
        // Who edits it may take entries away, and add others behind.
        let first = text.find("[[perturbation]]").unwrap();
        let read = |text: &str| FailureFile::from_text(text).map(|file| file.perturbations.len());
        assert_eq!(read(&format!("{}# end", &text[..first])), Ok(0));
        let others = text[first..].replace("number = 3", "number = 4");
        assert_eq!(read(&format!("{text}{others}")), Ok(6));
        // But of one decision there is one.
        for value in ["value = 1", "value = 0"] {
            let again = others.replacen("number = 4", "number = 3", 1).replacen("value = 1", value, 1);
            let problem = read(&format!("{text}{again}")).unwrap_err();
            assert_eq!(problem, "its perturbations 1 and 4 are of the same decision: only one can be");
        }
    }

    /// However damaged: else it would be told as a damaged scenario.
    #[test]
    fn a_failure_file_is_known_by_what_it_says() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file.toml");
        let is_one = |text: &str| {
            std::fs::write(&path, text).unwrap();
            FailureFile::is_one(&path)
        };
        let text = file(vec![entry(SiteKind::Loss, 1)]).to_text();
        for length in 1..text.len() {
            assert!(is_one(&text[..length]), "{}", &text[..length]);
        }
        let bare = text.strip_prefix(HEADER).unwrap();
        for line in ["format = 1\n", "squall = \"0.1.0\"\n", "property = \"paid-once\"\n"] {
            assert!(is_one(&bare.replace(line, "")), "without {line}");
        }
        for other in
            ["", "# A comment\n", "program = \"payments\"\nseeds = \"0..9\"\n[args]\nformat = 1\nproperty = \"x\"\n"]
        {
            assert!(!is_one(other), "{other}");
        }
    }

    #[test]
    fn what_is_written_is_whole_and_read_back() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("not/there/yet/paid-once-0x2a.toml");
        let file = file(vec![entry(SiteKind::Fault, 1)]);
        file.write(&path).unwrap();
        assert_eq!(FailureFile::read(&path).unwrap(), file);
        // Another build has the same to say, and then something else of the same plan.
        let other = FailureFile { build: None, ..file.clone() };
        assert_eq!(other.write_unless_known(&path).unwrap(), None);
        assert_eq!(FailureFile::read(&path).unwrap(), file);
        let other = FailureFile { digest: Digest(9), ..other };
        assert_eq!(other.write_unless_known(&path).unwrap(), None);
        assert_eq!(FailureFile::read(&path).unwrap(), other);
        assert_eq!(std::fs::read_dir(path.parent().unwrap()).unwrap().count(), 1, "a partial file was left behind");
        assert!(matches!(FailureFile::read(directory.path()).unwrap_err(), ReadError::Open { .. }));
        std::fs::write(&path, [0xff, 0xfe]).unwrap();
        assert!(FailureFile::read(&path).unwrap_err().to_string().contains("no text"));
    }

    /// What a program says may look like the last line.
    #[test]
    fn the_last_line_is_not_part_of_a_message() {
        let file = FailureFile { message: "first\n# end\nlast".to_string(), ..file(vec![entry(SiteKind::Loss, 1)]) };
        let text = file.to_text();
        assert!(text.contains("\n# end\nlast"), "{text}");
        assert_eq!(FailureFile::from_text(&text).as_ref(), Ok(&file));
        for length in 0..text.trim_end().len() {
            assert!(FailureFile::from_text(&text[..length]).is_err(), "{}", &text[..length]);
        }
    }

    #[test]
    fn a_file_has_a_length() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("long.toml");
        let text = file(vec![entry(SiteKind::Loss, 1)]).to_text();
        let with_comment = |length: u64| format!("{text}#{}", "x".repeat(length as usize - text.len() - 1));
        std::fs::write(&path, with_comment(FILE_BYTES_MAX)).unwrap();
        assert_eq!(FailureFile::read(&path).unwrap().perturbations(), 1);
        std::fs::write(&path, with_comment(FILE_BYTES_MAX + 1)).unwrap();
        let problem = FailureFile::read(&path).unwrap_err().to_string();
        assert!(problem.ends_with("it is longer than 67108864 bytes"), "{problem}");
    }

    /// Another failure of the same name, what a person wrote in one, and what can't be read: each is kept beside.
    #[test]
    fn nothing_is_lost_where_a_file_is_written_again() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("paid-once-0x2a.toml");
        let [found, another] = [3, 4].map(|value| file(vec![entry(SiteKind::Latency, value)]));
        let commented = |file: &FailureFile| format!("# seen on Monday\n{}", file.to_text());
        let mut kept = vec![];
        let other_digest = FailureFile { digest: Digest(9), ..found.clone() };
        let worded = file(vec![Entry { says: "seen on Tuesday".to_string(), ..entry(SiteKind::Latency, 3) }]).to_text();
        let other_digest = commented(&other_digest);
        let befores = [&another.to_text(), &commented(&another), &commented(&found), "#", &other_digest, &worded];
        for before in befores.map(str::to_string) {
            std::fs::write(&path, &before).unwrap();
            let known = FailureFile::read(&path).is_ok_and(|known| known == found);
            let aside = found.write_unless_known(&path).unwrap();
            assert_eq!(aside.is_none(), known, "{before}");
            if let Some(aside) = aside {
                assert_eq!(std::fs::read_to_string(&aside).unwrap(), before);
                assert!(aside.extension().unwrap() != "toml", "it would be run: {}", aside.display());
                kept.push((aside, before));
                assert_eq!(FailureFile::read(&path).unwrap(), found);
            }
        }
        // None is kept over another one.
        assert_eq!(kept.len(), 5);
        for (aside, before) in kept {
            assert_eq!(std::fs::read_to_string(aside).unwrap(), before);
        }
        // What is kept already isn't kept again.
        std::fs::write(&path, &other_digest).unwrap();
        let files = || std::fs::read_dir(directory.path()).unwrap().count();
        let before = files();
        assert!(found.write_unless_known(&path).unwrap().is_some());
        assert_eq!(files(), before);
        // Who asked for it to be written over is kept what they wrote, and nothing else.
        std::fs::write(&path, another.to_text()).unwrap();
        assert_eq!(found.write_over(&another, &path).unwrap(), None);
        std::fs::write(&path, commented(&another)).unwrap();
        let aside = found.write_over(&another, &path).unwrap().unwrap();
        assert_eq!(std::fs::read_to_string(aside).unwrap(), commented(&another));
        assert_eq!(FailureFile::read(&path).unwrap(), found);
    }

    proptest! {
        #[test]
        fn every_file_is_read_back_as_it_was_written(
            message in any::<String>(),
            entries in prop::collection::vec((0..SiteKind::ALL.len(), any::<u64>(), 1u64.., any::<u64>(), "\\PC*"), 0..5),
        ) {
            let entry = |(kind, flow, fingerprint, value, says): (usize, u64, u64, u64, String)| {
                let kind = SiteKind::ALL[kind];
                let happens = kind.is_yes_or_no();
                let value = if happens { value % 2 } else { value };
                Entry { says, kind, flow: FlowId(flow), number: 1, fingerprint, value }
            };
            let file = FailureFile { message, ..file(entries.into_iter().map(entry).collect()) };
            prop_assert_eq!(FailureFile::from_text(&file.to_text()).unwrap(), file);
        }

        #[test]
        fn no_text_is_read_with_a_panic(text in any::<String>(), at in 0usize..900, byte in any::<u8>()) {
            let _ = FailureFile::from_text(&text);
            let mut damaged = file(vec![entry(SiteKind::Loss, 1)]).to_text().into_bytes();
            let at = at % damaged.len();
            damaged[at] = byte;
            let _ = FailureFile::from_text(&String::from_utf8_lossy(&damaged));
        }
    }
}
