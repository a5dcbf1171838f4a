//! Failures as they are told and kept: what a replay of one finds, how a shrunk one reads, what its file is called.

use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use squall_campaign::explain::{Explanation, explain};
use squall_campaign::failure_file::{FailureFile, Found};
use squall_campaign::shrink::{self, Budget, Minimal, Shrunk, Unshrinkable};
use squall_reports::printable;
use squall_trace::trace::format_ns;
use squall_trace::{
    Base, Capabilities, Digest, Observer, Outcome, Plan, Record, Seed, StrategyChoice, Target, Verdict,
};

use crate::divergence::first_divergence;
use crate::runner::{Simulation, WorldError, no_run};

/// Below this directory failures are kept, to be committed.
pub const REGRESSIONS: &str = "squall-regressions";

/// How many perturbations are told one by one.
const TOLD_MAX: usize = 20;

/// A failure's file: by property and seed, and by the settings under which it was found, if there are any.
pub fn file_name(file: &FailureFile) -> String {
    file_name_of_seed(file, file.seed)
}

/// What the file of another seed's failure of the same property is called.
pub fn file_name_of_seed(file: &FailureFile, seed: Seed) -> String {
    let mut settings: Vec<String> = file.parameters.iter().map(|(key, value)| format!("{key}={value}")).collect();
    if file.strategy != StrategyChoice::default() {
        settings.push(format!("strategy={}", file.strategy));
    }
    let of_settings = match settings.is_empty() {
        true => String::new(),
        false => format!("-{:08x}", xxhash_rust::xxh3::xxh3_64(settings.join("\n").as_bytes()) as u32),
    };
    format!("{}-{seed}{of_settings}.toml", file_name_of(&file.property))
}

/// Where a failure is saved in a directory. Scenario files of one name, in two directories, share that directory: where a failure of the one has the
/// name already, that of the other has a hash of its scenario's path in its own.
pub fn place_of(file: &FailureFile, directory: &Path) -> PathBuf {
    let path = directory.join(file_name(file));
    match FailureFile::read(&path) {
        Ok(known) if known.file != file.file => {
            let scenario = file.file.as_deref().unwrap_or(Path::new("")).as_os_str().as_encoded_bytes();
            let stem = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            directory.join(format!("{stem}-{:08x}.toml", xxhash_rust::xxh3::xxh3_64(scenario) as u32))
        }
        _ => path,
    }
}

/// A name as every file system takes it. Where that loses something, a hash of the name keeps it apart from others.
pub fn file_name_of(name: &str) -> String {
    const LENGTH_MAX: usize = 80;
    // A test's path.
    let path = name.replace("::", ".");
    let plain = |character: char| match character {
        'a'..='z' | 'A'..='Z' | '0'..='9' | '-' | '_' | '.' => character,
        _ => '-',
    };
    let kept: String = path.trim_start_matches('.').chars().map(plain).take(LENGTH_MAX).collect();
    if kept == path && !kept.is_empty() {
        return kept;
    }
    format!("{kept}-{:08x}", xxhash_rust::xxh3::xxh3_64(name.as_bytes()) as u32)
}

/// A scenario's path as another checkout finds it, too: from the working directory, where it lies below that, with `/` between its parts.
/// A path to elsewhere stays as it is.
pub fn portable(path: &Path) -> PathBuf {
    let below = || {
        let (here, absolute) = (std::env::current_dir().ok()?.canonicalize().ok()?, std::path::absolute(path).ok()?);
        // By what they lead to: the path may go through links to where this process is.
        let above = absolute.ancestors().skip(1).find(|above| above.canonicalize().is_ok_and(|above| above == here))?;
        let parts = absolute.strip_prefix(above).ok()?.components();
        let parts: Option<Vec<&str>> = parts.map(|part| part.as_os_str().to_str()).collect();
        Some(PathBuf::from(parts?.join("/")))
    };
    below().unwrap_or_else(|| path.to_path_buf())
}

/// The failure files below a directory, by their paths. None if there is no such directory. Links to other directories aren't followed.
pub fn list(directory: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut directories = vec![directory.to_path_buf()];
    while let Some(directory) = directories.pop() {
        for entry in std::fs::read_dir(directory).into_iter().flatten().flatten() {
            let path = entry.path();
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                directories.push(path);
            } else if path.extension().is_some_and(|extension| extension == "toml") {
                files.push(path);
            }
        }
    }
    files.sort();
    files
}

/// What was found, in a line or two.
pub fn found_in_words(found: Found, file: &FailureFile, outcome: &Outcome) -> String {
    format!("{}{}", compared_in_words(found, file, outcome), beyond_the_end(file, outcome).unwrap_or_default())
}

fn compared_in_words(found: Found, file: &FailureFile, outcome: &Outcome) -> String {
    let property = printable::line(&file.property, 60);
    let now = match outcome.verdict.property() {
        _ if outcome.verdict == Verdict::Pass => "every property holds".to_string(),
        None => "nobody knows what the run comes to".to_string(),
        Some(now) if now == file.property => format!("{property} still fails"),
        Some(now) => format!("{} fails", printable::line(now, 60)),
    };
    // What Squall itself does may have changed.
    let other = match file.squall == env!("CARGO_PKG_VERSION") {
        true => String::new(),
        false => format!(
            "; it was saved by Squall {}, and this is {}",
            printable::line(&file.squall, 20),
            env!("CARGO_PKG_VERSION")
        ),
    };
    match found {
        Found::Same if outcome.verdict.property().is_none() => {
            format!("same: {now}, and it is the one that was saved{other}")
        }
        Found::Same => format!("same: {property} fails, and the run is the one that was saved{other}"),
        Found::Differs => format!(
            "differs: {property} still fails, but the run is another than the one that was saved (digest {}, now {}){other}",
            file.digest, outcome.digest
        ),
        Found::Unknown => format!("unknown: {now}, nor whether {property} still fails{other}"),
        Found::Gone => format!("gone: {property} doesn't fail any more ({now}){other}"),
        Found::Stale { unused, of } => {
            let why = match file.horizon_ns {
                _ if outcome.digest == file.digest => "though the run is the one that was saved",
                Some(horizon_ns) if outcome.ending.at_ns == horizon_ns => {
                    "they lie behind the end that horizon_ns gives the run, or the program does something else by now"
                }
                _ => "the program does something else by now",
            };
            let mut text = format!("stale: {unused} of {of} perturbations matched nothing: {why} ({now}){other}");
            for planned in outcome.unused_overrides.iter().take(TOLD_MAX) {
                let says = file.sentence(planned).filter(|says| !says.is_empty());
                text.push_str(&format!("\n  unmatched: {}", printable::line(says.unwrap_or("(no sentence)"), 200)));
            }
            text
        }
        Found::Unjudged => {
            let names = outcome.properties.iter().flatten().map(|name| printable::line(name, 60));
            let has = match names.collect::<Vec<String>>() {
                names if names.is_empty() => "none".to_string(),
                names => names.join(", "),
            };
            format!(
                "stale: the program has no property {property}, so that nothing judged it; it has {has}, and those of every run \
                 ({now}){other}"
            )
        }
    }
}

/// That another build of the program saved it, where both are known. What is kept outlives many builds: only who replays one is told.
pub fn other_build_in_words(file: &FailureFile, build: Option<Digest>) -> Option<String> {
    let (saved, build) = (file.build?, build?);
    (saved != build).then(|| format!("it was saved by another build of the program ({saved}), and this is {build}"))
}

/// Why nothing ends a run where its failure file says: it ends before.
fn beyond_the_end(file: &FailureFile, outcome: &Outcome) -> Option<String> {
    let horizon_ns = file.horizon_ns.filter(|horizon_ns| *horizon_ns > outcome.ending.at_ns)?;
    // That it fails before may be what it was cut for.
    let ends = !matches!(outcome.verdict, Verdict::Fail(_));
    ends.then(|| {
        format!(
            "; its horizon_ns, {}, does nothing: the run ends at {} ({})",
            format_ns(horizon_ns),
            format_ns(outcome.ending.at_ns),
            outcome.ending.reason
        )
    })
}

/// What is said beside a file that took another one's place.
pub fn kept_aside(aside: Option<&Path>) -> String {
    aside.map_or_else(String::new, |aside| format!("\n(what that file said before is in {})", aside.display()))
}

/// Time and runs for one search.
pub struct Patience {
    deadline: Option<Instant>,
    runs_max: u64,
    /// Set when somebody wants it to end.
    stop: &'static AtomicBool,
}

impl Patience {
    pub fn new(time_max: Duration, runs_max: u64, stop: &'static AtomicBool) -> Patience {
        Patience { deadline: Instant::now().checked_add(time_max), runs_max, stop }
    }
}

impl Budget for Patience {
    fn allows(&mut self, runs: u64) -> bool {
        let late = self.deadline.is_some_and(|deadline| Instant::now() >= deadline);
        runs < self.runs_max && !late && !self.stop.load(Ordering::Relaxed)
    }
}

/// A shrunk failure with what explains it.
pub struct Told {
    pub shrunk: Shrunk,
    pub explanation: Option<Explanation>,
    pub seconds: f64,
    /// What can be taken away from such a failure.
    pub capabilities: Capabilities,
}

/// Shrinks a failing plan and looks for the nearest run that passes.
pub fn shrink_and_explain(simulation: &Simulation, plan: &Plan, budget: &mut dyn Budget) -> Result<Told, NotShrunk> {
    let begun = Instant::now();
    let attempts = Attempts { simulation, failed: RefCell::new(None) };
    let shrunk = shrink::shrink(&attempts, plan, budget);
    let seconds = begun.elapsed().as_secs_f64();
    // What wasn't run is no run that passes: nothing is known of what the search came to.
    if let Some(error) = attempts.failed.take() {
        return Err(NotShrunk::NoRun(error));
    }
    let shrunk = shrunk?;
    let explanation = explain(&attempts, &shrunk).filter(|_| attempts.failed.borrow().is_none());
    Ok(Told { shrunk, explanation, seconds, capabilities: simulation.capabilities() })
}

/// Looks for the nearest run that passes, of a failure that was shrunk before and was run again, recorded in full.
pub fn explain_saved(simulation: &Simulation, file: &FailureFile, outcome: &Outcome) -> Option<Explanation> {
    let attempts = Attempts { simulation, failed: RefCell::new(None) };
    let before = file.perturbations();
    let shrunk = Shrunk { plan: file.plan(), outcome: outcome.clone(), before, runs: 1, minimal: file.minimal };
    explain(&attempts, &shrunk).filter(|_| attempts.failed.borrow().is_none())
}

/// Runs of a simulation for whoever draws the rest of one again.
///
/// # Errors
/// The first that came in the place of a run: what was drawn then says nothing.
pub fn draw_again<T>(simulation: &Simulation, draw: impl FnOnce(&dyn Target) -> T) -> Result<T, WorldError> {
    let attempts = Attempts { simulation, failed: RefCell::new(None) };
    let drawn = draw(&attempts);
    attempts.failed.into_inner().map_or(Ok(drawn), Err)
}

/// Why a failure isn't shrunk.
#[derive(Debug, thiserror::Error)]
pub enum NotShrunk {
    #[error("{0}")]
    Unshrinkable(#[from] Unshrinkable),
    /// There is no thread or process to run it in.
    #[error("{0}")]
    NoRun(WorldError),
}

/// A simulation in which there may be no run, but an error: the first is kept.
struct Attempts<'s> {
    simulation: &'s Simulation,
    failed: RefCell<Option<WorldError>>,
}

impl Target for Attempts<'_> {
    fn run(&self, plan: &Plan, record: Record, observer: &mut dyn Observer) -> Outcome {
        match self.simulation.try_run(plan, record, observer) {
            Ok(outcome) => outcome,
            Err(error) => {
                let outcome = no_run(&error);
                self.failed.borrow_mut().get_or_insert(error);
                outcome
            }
        }
    }

    fn capabilities(&self) -> Capabilities {
        self.simulation.capabilities()
    }
}

impl Told {
    /// The block that tells a failure: property, seed, what is left, and why it is needed.
    pub fn in_words(&self) -> String {
        let Told { shrunk, explanation, seconds, capabilities } = self;
        let Shrunk { plan, outcome, before, runs, minimal } = shrunk;
        let property = printable::line(outcome.verdict.property().unwrap_or("?"), 60);
        let left = shrunk.perturbations();
        let plural = if *before == 1 { "perturbation" } else { "perturbations" };
        let mut text = format!(
            "FAIL  {property}  seed {}  (shrunk: {before} {plural} -> {}, {runs} runs, {seconds:.2} s)\n",
            plan.seed,
            left.len()
        );
        for (index, perturbation) in left.iter().take(TOLD_MAX).enumerate() {
            let said = perturbation.sentence(&outcome.names);
            text.push_str(&format!("  {}. {}\n", index + 1, printable::line(&said, 200)));
        }
        match left.len() {
            0 => text.push_str("  nothing: it fails in calm weather too\n"),
            many if many > TOLD_MAX => text.push_str(&format!("  … and {} more\n", many - TOLD_MAX)),
            _ => {}
        }
        if let Some(horizon_ns) = plan.horizon_ns {
            text.push_str(&format!("  and the run needs no more than {}\n", format_ns(horizon_ns)));
        }
        text.push_str(&format!("  {}\n", minimal_in_words(*minimal, left.len())));
        if let Some(said) = capabilities.not_addressed() {
            text.push_str(&format!("  not checked: {said}\n"));
        }
        if let Some(Explanation { left_out, passing, .. }) = explanation
            && let (Some(failing), Some(passing)) = (&outcome.trace, &passing.trace)
            && let Some(divergence) = first_divergence(failing, passing)
        {
            let number = left_out + 1;
            let at_ns =
                failing.counted_events().map(|event| event.at_ns).nth(divergence.step.saturating_sub(1) as usize);
            let when = at_ns.map_or_else(String::new, |at_ns| format!(" ({})", format_ns(at_ns)));
            let passes = if passing.verdict == Verdict::Pass { "passes" } else { "doesn't fail" };
            text.push_str(&format!(
                "  without {number}. it {passes}; the two part at event {}{when}:\n",
                divergence.step
            ));
            if let Some(before) = &divergence.before {
                text.push_str(&format!("    both     {}\n", printable::line(before, 160)));
            }
            text.push_str(&format!("    failing  {}\n", printable::line(&divergence.first, 160)));
            text.push_str(&format!("    passing  {}\n", printable::line(&divergence.second, 160)));
        }
        text
    }
}

/// What is known of how small what is left is.
pub fn minimal_in_words(minimal: Minimal, left: usize) -> String {
    match (minimal, left) {
        (Minimal::Unproved, _) => "not minimal: the search was cut short, and fewer may do".to_string(),
        (_, 0) => "minimal".to_string(),
        (_, 1) => "minimal: without it the property holds".to_string(),
        (Minimal::One, _) => "minimal: without any one of them the property holds (each was tried)".to_string(),
        (Minimal::Pairs, _) => {
            "minimal: without any one or two of them the property holds (all were tried)".to_string()
        }
    }
}

/// The entries of a file, as it says them.
pub fn entries_in_words(file: &FailureFile) -> String {
    let plan = file.plan();
    let mut text = match file.weather {
        Base::Calm => String::new(),
        Base::Drawn => "  whatever the seed draws\n".to_string(),
    };
    if let Some(horizon_ns) = file.horizon_ns {
        text.push_str(&format!("  up to {}\n", format_ns(horizon_ns)));
    }
    for (index, planned) in plan.overrides.iter().take(TOLD_MAX).enumerate() {
        let says = file.sentence(planned).filter(|says| !says.is_empty()).unwrap_or("(no sentence)");
        text.push_str(&format!("  {}. {}\n", index + 1, printable::line(says, 200)));
    }
    if plan.overrides.len() > TOLD_MAX {
        text.push_str(&format!("  … and {} more\n", plan.overrides.len() - TOLD_MAX));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_become_files_without_getting_mixed_up() {
        assert_eq!(file_name_of("paid-once"), "paid-once");
        assert_eq!(file_name_of("nested::a_test"), "nested.a_test");
        let odd = ["a b", "a-b", "a/b", "..", "", "é", "\u{1b}[0m", &"x".repeat(300), &"x".repeat(301), "a\tb"];
        let files: std::collections::BTreeSet<String> = odd.iter().map(|name| file_name_of(name)).collect();
        assert_eq!(files.len(), odd.len(), "{files:?}");
        for file in files {
            assert!(file.len() < 100 && !file.starts_with('.'), "{file}");
            assert!(file.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte)), "{file}");
        }
    }
}
