//! What many runs came to, as `explore` and `merge` tell it: the summary, JUnit's XML, GitHub's annotations, and the exit code.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::path::{Path, PathBuf};

use serde::Serialize;
use squall_campaign::failure_file::{FailureFile, Found};
use squall_campaign::shard::{Kept, Setup, ShardId};
use squall_campaign::shrink::Minimal;
use squall_campaign::tally::{Count, Goal};
use squall_campaign::whole_file;
use squall_engine::goal::places_of;
use squall_reports::github::{annotations, summary};
use squall_reports::junit::{Case, Problem, Status};
use squall_reports::printable;
use squall_trace::{Base, Seed, Verdict};

use super::campaign_page::Index;
use super::exit::{self, Stop};
use super::output::{self, Output, without_controls};
use super::run::unwritable;
use super::saved;
use crate::explore::{Explored, Group, Listed};
use crate::failures::{self, entries_in_words};

/// How many seeds are named for each property.
pub const SEEDS_NAMED_MAX: usize = 5;

/// The setting under which every run has a process.
pub const PROCESSES: &str = "isolation=process";

#[derive(Serialize)]
struct Finished {
    event: &'static str,
    runs: u64,
    passed: u64,
    failed: u64,
    unknown: u64,
    seconds: f64,
    failures: Vec<FinishedFailure>,
    /// Where there are goals: about the chance that the next run reaches one that none has reached (Good-Turing), 1 at the most.
    #[serde(skip_serializing_if = "Option::is_none")]
    unseen: Option<f64>,
    /// Where its page is, if one was asked for and could be written.
    #[serde(skip_serializing_if = "Option::is_none")]
    page: Option<String>,
}

/// What is to come in some run.
#[derive(Serialize)]
struct GoalTold<'g> {
    event: &'static str,
    goal: &'g str,
    /// In how many runs it came.
    runs: u64,
    /// How often.
    times: u64,
    first_seed: Option<Seed>,
    /// Whether it is to come in these runs.
    is_wanted: bool,
}

#[derive(Serialize)]
struct FinishedFailure {
    seed: Seed,
    property: String,
    file: Option<String>,
    perturbations: usize,
}

/// A failure that was saved before, run again.
#[derive(Serialize)]
struct Regression<'r> {
    event: &'static str,
    file: String,
    property: &'r str,
    outcome: &'static str,
    verdict: &'static str,
}

/// Tells what became of a failure that was saved before.
pub fn tell_kept(kept: &Kept, output: &mut Output) -> Result<(), Stop> {
    output.text(&without_controls(&format!("{}: {}", kept.path.display(), kept.said)))?;
    output.json(&Regression {
        event: "regression",
        file: kept.path.display().to_string(),
        property: &kept.property,
        outcome: kept.found.word(),
        verdict: kept.verdict.word(),
    })
}

/// All that came of an exploration.
pub struct Campaign {
    /// What was asked for.
    pub setup: Setup,
    /// The part that it is, if it isn't all.
    pub shard: Option<ShardId>,
    pub explored: Explored,
    pub kept: Vec<Kept>,
    /// The failures that were saved.
    pub saved: BTreeMap<Seed, SavedAs>,
    /// Those that were to be, and couldn't.
    pub unsaved: BTreeMap<Seed, FailureFile>,
    /// How many traces were written.
    pub traces: usize,
    pub elapsed_ns: u64,
    /// The seed whose runs were compared before the others, if they differed.
    pub diverged: Option<Seed>,
    /// Whether it left threads for processes.
    pub left_threads: bool,
    pub interrupted: bool,
}

/// What became of a failure.
pub struct SavedAs {
    pub path: PathBuf,
    pub file: FailureFile,
}

impl SavedAs {
    /// Saves a failure in a directory, or gives it back with the reason. What lies there already, and was run again and is minimal, isn't given
    /// for what isn't.
    pub fn save(file: FailureFile, directory: &Path, kept: &[Kept]) -> Result<SavedAs, Box<(FailureFile, Stop)>> {
        let path = failures::place_of(&file, directory);
        if file.minimal == Minimal::Unproved
            && kept.iter().any(|kept| kept.path == path && kept.found == Found::Same)
            && let Ok(known) = FailureFile::read(&path)
            && known.minimal != Minimal::Unproved
        {
            output::complain(&format!(
                "note: {} stays: it is a failure of the same seed, and minimal; what was found now isn't",
                path.display()
            ));
            return Ok(SavedAs { path, file: known });
        }
        match file.write_unless_known(&path) {
            Ok(aside) => {
                saved::tell_aside(&path, aside.as_deref());
                Ok(SavedAs { path, file })
            }
            Err(error) => Err(Box::new((file, unwritable(&path, &error)))),
        }
    }
}

/// What is to be written of it.
#[derive(Clone, Copy, Default)]
pub struct Wanted<'w> {
    /// Where traces were asked for.
    pub out: Option<&'w Path>,
    /// Where JUnit's XML was.
    pub junit: Option<&'w Path>,
    pub page: Option<&'w Index>,
}

impl Campaign {
    /// Tells it all, and gives the exit code. `unsaved` is the first that was found and couldn't be saved, or what ended the search: that
    /// is told last, and decides the code.
    pub fn conclude(&self, wanted: Wanted<'_>, mut unsaved: Option<Stop>, output: &mut Output) -> Result<u8, Stop> {
        let written = wanted.page.map(|page| page.write(self, unsaved.is_some())).transpose();
        let page = written.unwrap_or_else(|unwritten| {
            unsaved.get_or_insert(unwritten);
            None
        });
        self.tell(wanted.out, page.as_deref(), output)?;
        output.flush()?;
        self.report(wanted.junit)?;
        match unsaved {
            Some(unsaved) => Err(unsaved),
            None => Ok(self.exit_code()),
        }
    }

    /// The property that must fail.
    pub fn expect(&self) -> Option<&str> {
        self.setup.expect.as_deref()
    }

    pub fn seconds(&self) -> f64 {
        self.elapsed_ns as f64 / 1e9
    }

    pub fn replay_command(&self, seed: Seed) -> String {
        let Setup { file, set, strategy, .. } = &self.setup;
        let mut set = set.clone();
        if self.left_threads {
            set.push(PROCESSES.to_string());
        }
        super::replay_command(file, &set, *strategy, seed)
    }

    /// The command that runs the failure of a seed again, whether it was saved or not.
    pub fn replay_of(&self, seed: Seed) -> String {
        match self.saved.get(&seed) {
            Some(saved) => super::replay_saved_command(&saved.path),
            None => self.replay_command(seed),
        }
    }

    /// A failure as it was to be saved, whether that could be done or not: what its run said, and what it takes.
    pub fn file_of(&self, seed: Seed) -> Option<&FailureFile> {
        self.saved.get(&seed).map(|saved| &saved.file).or_else(|| self.unsaved.get(&seed))
    }

    /// What the first failure of a property said: where it was shrunk that of the run that is left, as all else that is told is of that one.
    pub fn message_of<'c>(&'c self, group: &'c Group) -> &'c str {
        self.file_of(group.seed).map_or(&*group.message, |file| &*file.message)
    }

    /// Whether it is a part that has no seeds.
    fn is_empty_part(&self) -> bool {
        self.shard.is_some_and(|shard| shard.slice(self.setup.seeds).is_empty())
    }

    /// Whether a saved failure fails that isn't there to fail.
    fn kept_fails(&self) -> bool {
        self.kept.iter().any(|kept| kept.verdict.property().is_some_and(|property| Some(property) != self.expect()))
    }

    fn exit_code(&self) -> u8 {
        if self.interrupted {
            exit::INTERRUPTED
        } else if self.diverged.is_some() || self.explored.first_unrepeated.is_some() {
            exit::NONDETERMINISM
        } else if self.explored.runs == 0 && !self.kept_fails() && !self.is_empty_part() {
            exit::NOTHING_RAN
        } else if !self.came_as_expected() {
            exit::PROPERTY_FAILED
        } else if self.explored.unknown > 0
            || self.kept.iter().any(|kept| matches!(kept.verdict, Verdict::Unknown { .. }))
            || self.unreached_goals().next().is_some()
        {
            exit::INCONCLUSIVE
        } else if self.kept.iter().any(|kept| kept.found.is_stale()) {
            exit::STALE
        } else {
            exit::PASS
        }
    }

    /// The properties that failed.
    pub fn failed(&self) -> BTreeSet<&str> {
        let explored = self.explored.groups.keys().map(|property| &**property);
        explored.chain(self.kept.iter().filter_map(|kept| kept.verdict.property())).collect()
    }

    /// The goals of these runs with what came of each, then those that were reached though nobody asked for it.
    pub fn goals(&self) -> impl Iterator<Item = (&str, Count, Option<Seed>)> {
        let wanted = self.setup.goals.iter().map(|name| {
            let goal = self.explored.goals.iter().find(|goal| *goal.name == **name);
            (&**name, goal.map_or_else(Count::default, |goal| goal.count), goal.and_then(|goal| goal.first))
        });
        let is_more = |goal: &&Goal| goal.count.runs > 0 && !self.is_wanted(&goal.name);
        let more = self.explored.goals.iter().filter(is_more);
        wanted.chain(more.map(|goal| (&*goal.name, goal.count, goal.first)))
    }

    pub fn is_wanted(&self, goal: &str) -> bool {
        self.setup.goals.iter().any(|wanted| wanted == goal)
    }

    /// Whether goals are judged: of a part nobody can say, and neither of one run.
    fn judges_goals(&self) -> bool {
        self.shard.is_none() && !self.interrupted && self.setup.seeds.len() > 1
    }

    /// The goals that no run reached.
    pub fn unreached_goals(&self) -> impl Iterator<Item = &str> {
        let judged = self.judges_goals();
        self.goals().filter(move |(_, count, _)| judged && count.runs == 0).map(|(goal, ..)| goal)
    }

    /// About the chance that the next run reaches a goal that none has reached. One run may reach several, so that after few runs the estimate,
    /// which is of how many new ones the next run reaches, is above 1.
    fn unseen(&self) -> Option<f64> {
        let Explored { runs, goals, .. } = &self.explored;
        (*runs > 0 && !goals.is_empty()).then(|| (self.explored.goals_in_one_run() as f64 / *runs as f64).min(1.0))
    }

    /// Whether that property failed that was to fail, and nothing else did. In a part it needn't.
    pub fn came_as_expected(&self) -> bool {
        let (failed, expected) = (self.failed(), self.expect().into_iter().collect::<BTreeSet<&str>>());
        failed == expected || self.shard.is_some() && failed.is_empty()
    }
}

impl Campaign {
    fn tell(&self, out: Option<&Path>, page: Option<&Path>, output: &mut Output) -> Result<(), Stop> {
        let Campaign { explored, saved, .. } = self;
        for (seed, note) in &explored.notes {
            output::complain(&format!("note: seed {seed}: {}", without_controls(note)));
        }
        for fault in explored.unreached_faults() {
            output::complain(&format!(
                "note: {} happened in no run: each ended before it, was healed before it, or had the node down already",
                without_controls(fault)
            ));
        }
        output.text(&self.in_words(out))?;
        if let Some(page) = page {
            output.text(&without_controls(&format!("the page of all this: {}\n", page.display())))?;
        }
        let of_seed = explored.failures.iter().map(|listed| {
            let saved = saved.get(&listed.seed);
            FinishedFailure {
                seed: listed.seed,
                property: listed.property.to_string(),
                file: saved.map(|saved| saved.path.display().to_string()),
                perturbations: match saved {
                    Some(saved) if saved.file.weather == Base::Calm => saved.file.perturbations(),
                    // One that is as its seed gave it names none.
                    _ => listed.perturbations,
                },
            }
        });
        self.tell_goals(output)?;
        output.json(&Finished {
            event: "explore-finished",
            runs: explored.runs,
            passed: explored.passed,
            failed: explored.failed,
            unknown: explored.unknown,
            seconds: self.seconds(),
            failures: of_seed.collect(),
            unseen: self.unseen(),
            page: page.map(|page| page.display().to_string()),
        })
    }

    fn tell_goals(&self, output: &mut Output) -> Result<(), Stop> {
        for (goal, Count { runs, times }, first_seed) in self.goals() {
            let is_wanted = self.is_wanted(goal);
            output.json(&GoalTold { event: "goal", goal, runs, times, first_seed, is_wanted })?;
        }
        Ok(())
    }

    /// What the goals say of runs to come. Nothing, where all that are known were reached: there is no new one.
    pub fn goals_outlook(&self) -> Option<String> {
        let Explored { runs, .. } = self.explored;
        if self.goals().all(|(_, count, _)| count.runs > 0) {
            return None;
        }
        let percent = self.unseen()? * 100.0;
        let once = self.explored.goals_in_one_run();
        // Of what came in none of so few runs, one in twenty may well be there (three over their number, with a confidence of 95 %).
        let says_something = once < runs && (once > 0 || runs >= 60);
        let next = match says_something {
            true => format!("the next run reaches a new one with a chance of about {percent:.2} %"),
            false => "so few runs say nothing of what the next one reaches".to_string(),
        };
        Some(format!("{next} (Good-Turing: {once} came in one run alone)"))
    }

    fn goals_in_words(&self) -> String {
        let Explored { runs, .. } = self.explored;
        let mut text = String::new();
        if runs == 0 || self.goals().next().is_none() {
            return text;
        }
        let reached = self.goals().filter(|(_, count, _)| count.runs > 0).count();
        text.push_str(&format!("goals: {reached} of {} reached\n", self.goals().count()));
        for (goal, count, first) in self.goals() {
            let Some(first) = first else { continue };
            let often = count.times as f64 / runs as f64;
            text.push_str(&format!(
                "    {}: in {} of {}, first with seed {first}, {often:.3} times a run\n",
                printable::line(goal, 60),
                count.runs,
                printable::counted(runs, "run")
            ));
        }
        if let Some(outlook) = self.goals_outlook() {
            text.push_str(&format!("    {outlook}\n"));
        }
        for goal in self.unreached_goals() {
            text.push_str(&format!(
                "NOT REACHED in {}: {}",
                printable::counted(runs, "run"),
                printable::line(goal, 60)
            ));
            match places_of(goal) {
                places if places.is_empty() => text.push('\n'),
                places => text.push_str(&format!(" ({places})\n")),
            }
        }
        text
    }

    /// For CI systems: what JUnit's readers and GitHub show.
    fn report(&self, junit: Option<&Path>) -> Result<(), Stop> {
        let github = std::env::var_os("GITHUB_ACTIONS").is_some_and(|value| value == "true");
        if junit.is_none() && !github {
            return Ok(());
        }
        let cases = self.cases();
        let name = &*self.setup.scenario;
        if github {
            for line in annotations(name, &self.setup.file.display().to_string(), &cases) {
                output::complain(&without_controls(&line));
            }
            let Explored { runs, passed, failed, unknown, .. } = &self.explored;
            let runs =
                format!("{}: {passed} passed, {failed} failed, {unknown} unknown", printable::counted(*runs, "run"));
            if let Some(path) = std::env::var_os("GITHUB_STEP_SUMMARY").map(PathBuf::from)
                && let Err(error) = append(&path, &summary(name, &runs, &cases))
            {
                output::complain(&format!("note: the step's summary {} can't be written: {error}", path.display()));
            }
        }
        if let Some(path) = junit {
            let unwritten = |error| Stop::Own(format!("{} can't be written: {error}", path.display()));
            let text = squall_reports::render_junit(name, self.seconds(), &cases).map_err(unwritten)?;
            whole_file::write(path, |file| file.write_all(text.as_bytes()))
                .map_err(|error| unwritable(path, &error))?;
        }
        Ok(())
    }

    /// Each property and each kept failure, with what is wrong with it. A failure that is there to be isn't wrong. What is a claim about all
    /// runs, that they repeat themselves and come to something, is there only where it doesn't hold: not every run is asked.
    fn cases(&self) -> Vec<Case> {
        let Campaign { explored, kept, .. } = self;
        let expect = self.expect();
        let runs = printable::counted(explored.runs, "run");
        let mut cases = Vec::new();
        for kept in kept {
            let fails = kept.verdict.property().is_some_and(|property| Some(property) != expect);
            let wrong = fails || matches!(kept.verdict, Verdict::Unknown { .. }) || kept.found.is_stale();
            let replay = super::replay_saved_command(&kept.path);
            let status = match wrong {
                false => Status::Passed,
                true => Status::Failed(Problem {
                    kind: kept.found.word().to_string(),
                    message: kept.said.lines().next().unwrap_or_default().to_string(),
                    text: format!("{}\nreplay: {}", kept.said, super::as_called(&replay)),
                }),
            };
            cases.push(Case { name: kept.path.display().to_string(), status });
        }
        let failed = explored.groups.keys().map(|property| &**property);
        // Of a goal there is another case below.
        let own = self.setup.properties.iter().map(String::as_str).filter(|property| !self.is_wanted(property));
        let open = explored.open.keys().map(|property| &**property);
        let mut properties: BTreeSet<&str> = own.chain(failed).chain(open).collect();
        properties.extend(expect);
        for property in properties {
            let status = match explored.groups.get(property) {
                Some(group) if Some(property) != expect => {
                    let words = self.file_of(group.seed).map(entries_in_words).unwrap_or_default();
                    let message = self.message_of(group);
                    Status::Failed(Problem {
                        kind: property.to_string(),
                        message: message.lines().next().unwrap_or_default().to_string(),
                        text: format!(
                            "in {} of {runs}, first with seed {}\n{message}\n{words}\nreplay: {}",
                            group.failures,
                            group.seed,
                            super::as_called(&self.replay_of(group.seed))
                        ),
                    })
                }
                None if explored.runs == 0 => Status::Skipped("nothing ran".to_string()),
                None if self.shard.is_none() && Some(property) == expect && !self.failed().contains(property) => {
                    Status::Failed(Problem {
                        kind: "not-found".to_string(),
                        message: format!("expected {property} to fail, but in {runs} it didn't"),
                        text: String::new(),
                    })
                }
                _ => match explored.open.get(property) {
                    Some((seed, message)) => Status::Failed(Problem {
                        kind: "unknown".to_string(),
                        message: message.lines().next().unwrap_or_default().to_string(),
                        text: format!(
                            "not every run could be judged by it, first that of seed {seed}\n{message}\nreplay: {}",
                            super::as_called(&self.replay_command(*seed))
                        ),
                    }),
                    None => Status::Passed,
                },
            };
            cases.push(Case { name: property.to_string(), status });
        }
        for (goal, count, _) in self.goals().filter(|(goal, ..)| self.is_wanted(goal)) {
            let status = match count.runs {
                0 if explored.runs == 0 => Status::Skipped("nothing ran".to_string()),
                0 if !self.judges_goals() => Status::Skipped(format!("{runs} didn't reach it: all seeds may")),
                0 => Status::Failed(Problem {
                    kind: "unreached".to_string(),
                    message: format!("{runs} didn't reach the goal: {goal}"),
                    text: places_of(goal),
                }),
                _ => Status::Passed,
            };
            cases.push(Case { name: format!("sometimes: {goal}"), status });
        }
        if let Some((seed, message)) = &explored.first_unknown {
            cases.push(Case {
                name: "conclusive".to_string(),
                status: Status::Failed(Problem {
                    kind: "unknown".to_string(),
                    message: format!("nobody knows in {} of {runs}, first with seed {seed}", explored.unknown),
                    text: format!("{message}\nreplay: {}", super::as_called(&self.replay_command(*seed))),
                }),
            });
        }
        if let Some(seed) = explored.first_unrepeated.or(self.diverged) {
            cases.push(Case {
                name: "repeats itself".to_string(),
                status: Status::Failed(Problem {
                    kind: "nondeterminism".to_string(),
                    message: format!("seed {seed} was run a second time, and that run was another one"),
                    text: format!("replay: {}", super::as_called(&self.replay_command(seed))),
                }),
            });
        }
        cases
    }

    fn in_words(&self, out: Option<&Path>) -> String {
        let Campaign { explored, kept, traces, .. } = self;
        let seconds = self.seconds();
        let mut text = String::new();
        for (property, group) in &explored.groups {
            let of_group = |listed: &&Listed| listed.property == *property;
            let seeds: Vec<String> = explored
                .failures
                .iter()
                .filter(of_group)
                .take(SEEDS_NAMED_MAX)
                .map(|listed| listed.seed.to_string())
                .collect();
            let more = if group.failures > seeds.len() as u64 { ", …" } else { "" };
            text.push_str(&format!(
                "FAIL {} in {} of {}: seeds {}{more}\n",
                printable::line(property, 60),
                group.failures,
                printable::counted(explored.runs, "run"),
                seeds.join(", ")
            ));
            for said in printable::paragraph(self.message_of(group), 100, 6) {
                text.push_str(&format!("    {said}\n"));
            }
            text.push_str(&format!("    replay: {}\n", super::as_called(&self.replay_of(group.seed))));
        }
        if let Some((seed, message)) = &explored.first_unknown {
            let runs = printable::counted(explored.runs, "run");
            text.push_str(&format!("UNKNOWN in {} of {runs}, first with seed {seed}\n", explored.unknown));
            for said in printable::paragraph(message, 100, 6) {
                text.push_str(&format!("    {said}\n"));
            }
            text.push_str(&format!("    replay: {}\n", super::as_called(&self.replay_command(*seed))));
        }
        if let Some(seed) = explored.first_unrepeated {
            text.push_str(&format!(
                "NOT DETERMINISTIC: seed {seed} was run a second time, and that run had another digest\n"
            ));
        }
        text.push_str(&self.goals_in_words());
        if let (Some(directory), 1..) = (out, *traces) {
            let plural = if *traces == 1 { "trace" } else { "traces" };
            text.push_str(&format!("{traces} {plural} written to {}\n", directory.display()));
        }
        let Explored { runs, passed, failed, unknown, .. } = explored;
        let interrupted = if self.interrupted { "interrupted after " } else { "" };
        text.push_str(&format!(
            "{interrupted}{} in {seconds:.2} s: {passed} passed, {failed} failed, {unknown} unknown\n",
            printable::counted(*runs, "run")
        ));
        if !kept.is_empty() {
            let of = |found: &str| kept.iter().filter(|kept| kept.found.word() == found).count();
            let (same, differs, gone, stale) = (of("same"), of("differs"), of("gone"), of("stale"));
            let plural = if kept.len() == 1 { "failure" } else { "failures" };
            let unknown = match of("unknown") {
                0 => String::new(),
                unknown => format!(", {unknown} unknown"),
            };
            text.push_str(&format!(
                "{} saved {plural} before them: {same} the same, {differs} failing otherwise, {gone} gone, {stale} \
                 stale{unknown}\n",
                kept.len()
            ));
        }
        let failed = self.failed();
        match self.expect() {
            _ if self.is_empty_part() => text.push_str("there is no seed in this shard\n"),
            _ if explored.runs == 0 => text.push_str("nothing ran\n"),
            None => {}
            // The others may have it.
            Some(_) if self.shard.is_some() && failed.is_empty() => {}
            Some(property) if self.came_as_expected() => {
                text.push_str(&format!("as expected: {property} failed, and nothing else did\n"));
            }
            Some(property) if failed.contains(property) => {
                text.push_str(&format!("expected only {property} to fail, but something else failed too\n"));
            }
            // There might have been more.
            Some(_) if self.interrupted => {}
            Some(property) => {
                let runs = printable::counted(*runs, "run");
                text.push_str(&format!("expected {property} to fail, but in {runs} it didn't\n"));
            }
        }
        text
    }
}

fn append(path: &Path, text: &str) -> std::io::Result<()> {
    std::fs::File::options().append(true).create(true).open(path)?.write_all(text.as_bytes())
}
