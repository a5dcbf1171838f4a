//! The page of a campaign: what it is made of, put together from what `explore` and `merge` know.

use std::io::Write;
use std::path::{Path, PathBuf};

use squall_campaign::failure_file::{FailureFile, Found};
use squall_campaign::latencies::{Latencies, Measured, Operations, OperationsOf, Percentile};
use squall_campaign::saturation::{Point, Saturation};
use squall_campaign::seeds::SeedRange;
use squall_campaign::shard::{Kept, Setup};
use squall_campaign::tally::Count;
use squall_campaign::whole_file;
use squall_engine::goal::places_of;
use squall_reports::page::campaign::{
    CampaignPage, CampaignVerdict, Counts, FailureGroup, GoalReached, KeptFailure, KeptState, LatencyCurve,
    LatencySummary, SaturationCurve, render_campaign_page,
};
use squall_reports::printable;
use squall_trace::trace::format_ns;
use squall_trace::{Base, Seed, Verdict};

use super::campaign::{Campaign, SEEDS_NAMED_MAX};
use super::exit::Stop;
use super::explore::NOT_SAVED;
use super::page::left_in_words;
use super::run::unwritable;
use super::swept::{self, Percentiles};
use crate::explore::{Counted, Explored};
use crate::failures::{self, minimal_in_words};
use crate::runner::HANG_AFTER;

/// How many causes of a failure are told: as many as a failure's own page tells.
const CAUSES_MAX: usize = 20;

/// What is measured of each run where a page is asked for.
#[derive(Default)]
pub struct Measures {
    operations: Operations,
    saturation: Saturation,
    /// How many runs were made a second time.
    repeated: u64,
}

impl Measures {
    /// Adds the next run.
    pub fn add(&mut self, counted: &Counted, measured: &Measured) {
        self.operations.add(measured);
        self.saturation.add(counted.digest);
        self.repeated += u64::from(counted.is_repeated);
    }
}

/// Where the page goes, and what it tells that a campaign's result doesn't hold.
pub struct Index {
    pub directory: PathBuf,
    /// Its name there.
    pub name: String,
    /// `None`: nothing was measured, as the runs were others' concern.
    pub measures: Option<Measures>,
    /// What came of the check of the first seed, in a sentence. `None`: nobody knows.
    pub checked: Option<String>,
    pub jobs: Option<usize>,
    /// How many shards it was put together from.
    pub shards: Option<u32>,
}

/// What the page of a campaign is called, or of a part of one: so that all parts can have theirs in one directory.
pub fn index_name(shard: Option<squall_campaign::shard::ShardId>) -> String {
    match shard {
        None => "index.html".to_string(),
        Some(shard) => format!("shard-{}-of-{}.html", shard.index(), shard.count()),
    }
}

/// What the page of a failure is called.
pub fn page_name(scenario: &str, file: &FailureFile) -> PathBuf {
    let name = format!("{}-{}", failures::file_name_of(scenario), failures::file_name(file));
    Path::new(&name).with_extension("html")
}

/// How long operations took, in the few numbers that are told.
pub fn latency_summary(latencies: &Latencies, unmeasured_runs: u64) -> LatencySummary {
    let Percentiles { p50, p99, p99_9, max, rounded } = Percentiles::of(latencies);
    LatencySummary {
        operations: latencies.operations(),
        answered: latencies.answered(),
        p50_ns: p50,
        p99_ns: p99,
        p99_9_ns: p99_9,
        max_ns: max,
        unmeasured_runs,
        is_rounded: rounded,
    }
}

impl Index {
    /// Writes the page. Where it is.
    ///
    /// # Errors
    /// If it can't be written.
    pub fn write(&self, campaign: &Campaign, unsaved: bool) -> Result<PathBuf, Stop> {
        let path = self.directory.join(&self.name);
        let page = render_campaign_page(&self.page(campaign, unsaved));
        whole_file::write(&path, |file| file.write_all(page.as_bytes())).map_err(|error| unwritable(&path, &error))?;
        Ok(path)
    }

    fn page(&self, campaign: &Campaign, unsaved: bool) -> CampaignPage {
        let Campaign { setup, explored, kept, .. } = campaign;
        let Explored { runs, passed, failed, unknown, .. } = *explored;
        let (verdict, sentence) = verdict(campaign, unsaved);
        let operations = self.measures.as_ref().map(|measures| &measures.operations);
        CampaignPage {
            scenario: setup.scenario.clone(),
            verdict,
            sentence,
            notices: self.notices(campaign, unsaved),
            command: super::as_called(&command(campaign)),
            facts: self.facts(campaign),
            counts: Counts { runs, passed, failed, unknown },
            virtual_ns: operations.map(|operations| operations.virtual_ns),
            clock: self.clock(campaign),
            failures: self.failures(campaign),
            kept: kept.iter().map(kept_failure).collect(),
            goals: goals(campaign),
            goals_outlook: campaign.goals_outlook().map(|said| swept::sentence(&said)),
            saturation: Some(self.saturation(campaign)),
            determinism: self.determinism(campaign),
            latencies: operations.map(latency_curve),
            not_checked: campaign.setup.not_addressed.clone().into_iter().chain(not_checked(campaign)).collect(),
        }
    }

    fn notices(&self, campaign: &Campaign, unsaved: bool) -> Vec<String> {
        let mut notices = Vec::new();
        let (ran, asked) = (campaign.explored.runs, part(campaign).len());
        if campaign.interrupted {
            notices.push(format!(
                "Interrupted: {} of {} were counted, and nothing is said of the others.",
                ran,
                printable::counted(asked, "run")
            ));
        }
        if unsaved {
            notices.push(
                "The search ended early, or not all that was found could be saved: what the command said at its end says why."
                    .to_string(),
            );
        }
        if let Some(shard) = campaign.shard {
            notices.push(format!("This is shard {shard}, one part of the seeds: merge tells what all come to."));
        }
        notices
    }

    fn facts(&self, campaign: &Campaign) -> Vec<(String, String)> {
        let Campaign { setup, left_threads, .. } = campaign;
        let ran = ran(campaign);
        let mut facts = vec![
            ("Scenario", format!("{} ({})", setup.scenario, setup.file.display())),
            ("Seeds", format!("{ran} of {}", setup.seeds)),
        ];
        facts.extend(setup.set.iter().map(|setting| ("Setting", setting.clone())));
        facts.push(("Order within an instant", setup.strategy.unwrap_or_default().to_string()));
        facts.push(("Judged by", format!("{}, and what every run is judged by", list_or_nothing(&setup.properties))));
        if let Some(expect) = &setup.expect {
            facts.push(("Is to fail", expect.clone()));
        }
        facts.push(("Versions", format!("Squall {}, build {} of the program", setup.squall, setup.build)));
        if *left_threads {
            facts.push(("Isolation", "a process for each run: on threads a run didn't repeat itself".to_string()));
        }
        if let Some(shards) = self.shards {
            facts.push(("Put together from", format!("{shards} shards")));
        }
        facts.into_iter().map(|(name, value)| (name.to_string(), value)).collect()
    }

    fn clock(&self, campaign: &Campaign) -> Vec<String> {
        let (seconds, runs) = (campaign.seconds(), campaign.explored.runs);
        let of_all = if self.shards.is_some() { " for all shards, one after the other" } else { "" };
        let mut clock = vec![format!("{}{of_all}", printable::short_time(campaign.elapsed_ns))];
        if runs > 0 && seconds > 0.0 {
            clock.push(format!("{} seeds a second", printable::three_digits(runs as f64 / seconds)));
        }
        if campaign.setup.shrinks {
            clock.push("shrinking included".to_string());
        }
        clock.extend(self.jobs.map(|jobs| printable::counted(jobs as u64, "job")));
        clock
    }

    fn failures(&self, campaign: &Campaign) -> Vec<FailureGroup> {
        let Campaign { setup, explored, .. } = campaign;
        let of_group = |(property, group): (&std::sync::Arc<str>, &crate::explore::Group)| {
            let listed = explored.failures.iter().filter(|listed| listed.property == *property);
            let file = campaign.file_of(group.seed);
            let (causes, causes_untold, mut left) =
                file.map_or_else(|| (Vec::new(), 0, format!("Seed {} was not shrunk.", group.seed)), causes_of);
            if campaign.unsaved.get(&group.seed).is_some_and(|file| file.weather != Base::Drawn) {
                left.push(' ');
                left.push_str(NOT_SAVED);
            }
            let page = file.map(|file| page_name(&setup.scenario, file));
            FailureGroup {
                property: property.to_string(),
                is_expected: setup.expect.as_deref() == Some(&**property),
                failures: group.failures,
                message: campaign.message_of(group).to_string(),
                seeds: listed.take(SEEDS_NAMED_MAX).map(|listed| listed.seed.to_string()).collect(),
                causes,
                causes_untold,
                left,
                replay: super::as_called(&campaign.replay_of(group.seed)),
                page: page.filter(|name| self.directory.join(name).is_file()).map(|name| name.display().to_string()),
            }
        };
        let mut groups: Vec<FailureGroup> = explored.groups.iter().map(of_group).collect();
        groups.sort_by_key(|group| (group.is_expected, std::cmp::Reverse(group.failures)));
        groups
    }

    fn saturation(&self, campaign: &Campaign) -> SaturationCurve {
        let first_seed = part(campaign).start();
        let run_of = |seed: Seed| seed.0.saturating_sub(first_seed) + 1;
        let goals = campaign.goals().filter_map(|(goal, _, first)| Some((run_of(first?), format!("reached: {goal}"))));
        let groups = campaign.explored.groups.iter();
        let failed = groups.map(|(property, group)| (run_of(group.seed), format!("fails: {property}")));
        let mut firsts: Vec<(u64, String)> = goals.chain(failed).collect();
        firsts.sort();
        let Some(Measures { saturation, .. }) = &self.measures else {
            return SaturationCurve { firsts, ..SaturationCurve::default() };
        };
        SaturationCurve {
            points: saturation.points().into_iter().map(|Point { runs, distinct }| (runs, distinct)).collect(),
            is_estimate: saturation.is_estimate(),
            unseen: saturation.unseen(),
            firsts,
        }
    }

    fn determinism(&self, campaign: &Campaign) -> Vec<String> {
        let mut said = Vec::new();
        let first = Seed(part(campaign).start());
        said.push(match (&self.checked, campaign.diverged) {
            (Some(checked), _) => checked.clone(),
            (None, Some(seed)) => {
                format!("NOT DETERMINISTIC: seed {seed} was run again, and that run was another one.")
            }
            (None, None) => format!("Of the first seed, {first}, no run that differs is told of."),
        });
        match (campaign.explored.first_unrepeated, &self.measures) {
            (Some(seed), _) => said.push(format!(
                "NOT DETERMINISTIC: seed {seed} was run a second time, and that run had another digest."
            )),
            (None, Some(Measures { repeated: 0, .. })) => {
                said.push("No other run was made a second time: of those that pass, that is one seed in a hundred.".to_string());
            }
            (None, Some(Measures { repeated, .. })) => said.push(format!(
                "{}: every failure that is listed, and of those that pass one seed in a hundred.",
                match repeated {
                    1 => "1 run was made a second time, and gave the same digest".to_string(),
                    _ => format!("{repeated} runs were made a second time, and gave the same digest each"),
                }
            )),
            (None, None) => said.push(
                "Every failure that is listed was made a second time, and of the runs that pass one seed in a hundred: none gave another digest."
                    .to_string(),
            ),
        }
        said
    }
}

fn list_or_nothing(names: &[String]) -> String {
    if names.is_empty() { "no property of its own".to_string() } else { names.join(", ") }
}

/// The seeds that were to be run here.
fn part(campaign: &Campaign) -> SeedRange {
    campaign.shard.map_or(campaign.setup.seeds, |shard| shard.slice(campaign.setup.seeds))
}

/// Those that were.
fn ran(campaign: &Campaign) -> SeedRange {
    let start = part(campaign).start();
    SeedRange::new(start, start.saturating_add(campaign.explored.runs))
}

/// The command that runs all of it again. Where time was the end, the seeds that were run are.
fn command(campaign: &Campaign) -> String {
    let Setup { file, set, strategy, seeds, max_failures, time_ns, shrinks, hang_after_ns, .. } = &campaign.setup;
    let seeds = if time_ns.is_some() { ran(campaign) } else { *seeds };
    let mut command = format!("squall explore {} --seeds {seeds}", super::quoted(&file.display().to_string()));
    if let Some(shard) = campaign.shard.filter(|_| time_ns.is_none()) {
        command.push_str(&format!(" --shard {shard}"));
    }
    for setting in set {
        command.push_str(&format!(" --set {}", super::quoted(setting)));
    }
    if let Some(strategy) = strategy {
        command.push_str(&format!(" --strategy {strategy}"));
    }
    if let Some(max) = max_failures {
        command.push_str(&format!(" --max-failures {max}"));
    }
    if !shrinks {
        command.push_str(" --no-shrink");
    }
    if *hang_after_ns != super::explore::in_ns(HANG_AFTER) {
        let time = crate::scenario::format_duration(std::time::Duration::from_nanos(*hang_after_ns));
        command.push_str(&format!(" --hang-after {time}"));
    }
    command
}

fn listed(names: &[&str]) -> String {
    let shown: Vec<String> = names.iter().take(3).map(|name| printable::line(name, 60)).collect();
    match (&*shown, names.len().saturating_sub(shown.len())) {
        ([.., _, _], 0) => {
            let (last, first) = shown.split_last().expect("there are two");
            format!("{} and {last}", first.join(", "))
        }
        (shown, 0) => shown.join(", "),
        (shown, more) => format!("{} and {more} more", shown.join(", ")),
    }
}

/// What it comes to, in the order in which the exit code goes by it; but that a failure that was found stays one, whatever else there was. `unsaved`
/// is whether the command ends with an error.
fn verdict(campaign: &Campaign, unsaved: bool) -> (CampaignVerdict, String) {
    let Campaign { explored, kept, interrupted, .. } = campaign;
    let Explored { runs, unknown, groups, .. } = explored;
    let all = printable::counted(*runs, "run");
    let expect = campaign.expect();
    let unexpected: Vec<&str> =
        groups.keys().map(|property| &**property).filter(|property| Some(*property) != expect).collect();
    let failures: u64 =
        groups.iter().filter(|(property, _)| Some(&***property) != expect).map(|(_, group)| group.failures).sum();
    if let Some(seed) = campaign.diverged.or(explored.first_unrepeated) {
        return (CampaignVerdict::Fail, format!("Not deterministic: a second run of seed {seed} was another one"));
    }
    if !unexpected.is_empty() {
        let verb = if unexpected.len() == 1 { "fails" } else { "fail" };
        return (CampaignVerdict::Fail, format!("{} {verb}, in {failures} of {all}", listed(&unexpected)));
    }
    let failing = kept.iter().filter_map(|kept| kept.verdict.property()).filter(|property| Some(*property) != expect);
    let failing: std::collections::BTreeSet<&str> = failing.collect();
    if !failing.is_empty() {
        let properties: Vec<&str> = failing.into_iter().collect();
        return (
            CampaignVerdict::Fail,
            format!("A failure that was kept still fails ({}); in {all} nothing else does", listed(&properties)),
        );
    }
    if *runs == 0 {
        return (CampaignVerdict::Unknown, "Nothing ran".to_string());
    }
    let found = expect.and_then(|property| Some((property, groups.get(property)?.failures)));
    if let (Some(property), None) = (expect, found)
        && !campaign.came_as_expected()
    {
        let property = printable::line(property, 60);
        let verdict = if *interrupted { CampaignVerdict::Unknown } else { CampaignVerdict::Fail };
        return (verdict, format!("{property} is there to fail, but in {all} it didn't"));
    }
    let held = match found {
        Some((property, failures)) => {
            format!(
                "{} fails in {failures} of {all}, as it is to, and nothing else does",
                printable::line(property, 60)
            )
        }
        None => match expect.filter(|property| campaign.failed().contains(property)) {
            Some(property) => format!(
                "{} fails in a failure that was kept, as it is to; no property failed in {all}",
                printable::line(property, 60)
            ),
            None => format!("No property failed in {all}"),
        },
    };
    if unsaved {
        return (CampaignVerdict::Unknown, format!("{held}, but the command ended with an error"));
    }
    if *unknown > 0 {
        return (CampaignVerdict::Unknown, format!("{held}; nobody can say what {unknown} of them come to"));
    }
    if kept.iter().any(|kept| matches!(kept.verdict, Verdict::Unknown { .. })) {
        return (CampaignVerdict::Unknown, format!("{held}, but nobody can say what a failure that was kept comes to"));
    }
    let unreached = campaign.unreached_goals().count();
    if unreached > 0 {
        let goals = printable::counted(unreached as u64, "goal");
        let verb = if unreached == 1 { "was" } else { "were" };
        return (CampaignVerdict::Unknown, format!("{held}, but {goals} {verb} not reached"));
    }
    if *interrupted {
        return (CampaignVerdict::Unknown, format!("{held}, and then it was interrupted"));
    }
    let stale = kept.iter().filter(|kept| kept.found.is_stale()).count();
    if stale > 0 {
        let failures = printable::counted(stale as u64, "failure");
        let (verb, relative) = if stale == 1 { ("is", "was") } else { ("are", "were") };
        return (CampaignVerdict::Unknown, format!("{held}, but {failures} that {relative} kept {verb} stale"));
    }
    match expect {
        Some(property) if campaign.failed().contains(property) => (CampaignVerdict::Expected, held),
        _ => (CampaignVerdict::Pass, format!("Every property held in all of {all}")),
    }
}

/// What it takes for a saved failure to fail, how many causes are untold, and what is known of how small that is.
fn causes_of(file: &FailureFile) -> (Vec<String>, usize, String) {
    let plan = file.plan();
    if file.weather == Base::Drawn {
        return (Vec::new(), 0, "It was not shrunk: whatever the seed draws may be what causes it.".to_string());
    }
    let say = |planned| file.sentence(planned).filter(|says| !says.is_empty()).unwrap_or("(no sentence)").to_string();
    let causes: Vec<String> = plan.overrides.iter().take(CAUSES_MAX).map(say).collect();
    let untold = plan.overrides.len() - causes.len();
    let minimal = minimal_in_words(file.minimal, plan.overrides.len());
    let calm = if plan.overrides.is_empty() { "It fails with everything calm. " } else { "" };
    (causes, untold, format!("{calm}{}", left_in_words(&minimal, file.horizon_ns)))
}

fn kept_failure(kept: &Kept) -> KeptFailure {
    let fails = kept.verdict.property().is_some();
    let (state, outcome) = match kept.found {
        Found::Same => (KeptState::Fails, "still fails, the same run"),
        Found::Differs => (KeptState::Fails, "still fails, another run"),
        Found::Gone if fails => (KeptState::Fails, "fails otherwise"),
        Found::Gone => (KeptState::Fixed, "fixed"),
        Found::Unknown => (KeptState::Open, "unknown"),
        Found::Stale { .. } | Found::Unjudged => (KeptState::Open, "stale"),
    };
    KeptFailure {
        path: kept.path.display().to_string(),
        property: kept.property.clone(),
        state,
        outcome: outcome.to_string(),
        said: kept.said.lines().next().unwrap_or_default().to_string(),
        replay: super::as_called(&super::replay_saved_command(&kept.path)),
    }
}

fn goals(campaign: &Campaign) -> Vec<GoalReached> {
    let start = part(campaign).start();
    let told = |(goal, Count { runs, times }, first): (&str, Count, Option<Seed>)| GoalReached {
        goal: goal.to_string(),
        is_wanted: campaign.is_wanted(goal),
        runs,
        times,
        first: first.map(|seed| (seed.0.saturating_sub(start) + 1, seed.to_string())),
        places: places_of(goal),
    };
    let mut goals: Vec<GoalReached> = campaign.goals().map(told).collect();
    // What is missing first.
    goals.sort_by_key(|goal| goal.runs > 0);
    goals
}

fn latency_curve(operations: &Operations) -> LatencyCurve {
    let (of, latencies) = operations.latencies();
    let ns = |percentile| match percentile {
        Percentile::Answered { ns } => Some(ns),
        Percentile::Unanswered => None,
    };
    LatencyCurve {
        of: match of {
            Some(OperationsOf::Calls) => "calls of clients (no history was recorded)",
            Some(OperationsOf::History) | None => "operations of the clients’ histories",
        }
        .to_string(),
        summary: latency_summary(latencies, operations.unmeasured),
        points: latencies.curve().into_iter().map(|(rank, percentile)| (rank, ns(percentile))).collect(),
    }
}

fn not_checked(campaign: &Campaign) -> Vec<String> {
    let Campaign { explored, setup, .. } = campaign;
    let mut said = Vec::new();
    let (ran, part) = (ran(campaign), part(campaign));
    if ran.len() < part.len() {
        let why = match (campaign.interrupted, setup.max_failures, setup.time_ns) {
            (true, ..) => "it was interrupted".to_string(),
            (_, Some(max), _) if explored.failed >= max => format!("it was to end with failure {max}"),
            (.., Some(time_ns)) => format!("it was to begin no run after {}", format_ns(time_ns)),
            _ => "the search ended early".to_string(),
        };
        said.push(format!("Of the seeds {part} only {ran} were counted: {why}."));
    }
    if let Some((seed, message)) = &explored.first_unknown {
        let message = message.lines().next().unwrap_or_default();
        said.push(format!(
            "Nobody can say what {} of {} come to, the first with seed {seed} ({}): {message}",
            explored.unknown,
            printable::counted(explored.runs, "run"),
            super::as_called(&campaign.replay_command(*seed))
        ));
    }
    for (property, (seed, message)) in &explored.open {
        let message = message.lines().next().unwrap_or_default();
        said.push(format!("Property {property} was left open in some runs, first in that of seed {seed}: {message}"));
    }
    let is_unreached = |count: &Count| explored.runs > 0 && count.runs == 0;
    for goal in campaign.goals().filter(|(_, count, _)| is_unreached(count)).map(|(goal, ..)| goal) {
        said.push(format!("The goal “{goal}” was not reached in any of these runs."));
    }
    for fault in explored.unreached_faults() {
        said.push(format!(
            "{fault} happened in no run: each ended before it, was healed before it, or had the node down already."
        ));
    }
    for (seed, note) in &explored.notes {
        said.push(format!("Seed {seed}: {note}"));
    }
    let unshrunk = explored.failed.saturating_sub((campaign.saved.len() + campaign.unsaved.len()) as u64);
    if unshrunk > 0 {
        said.push(format!(
            "{} not shrunk: one is for each property, the first. Others may have other causes.",
            if unshrunk == 1 { "1 failure was".to_string() } else { format!("{unshrunk} failures were") }
        ));
    }
    if explored.failed > explored.failures.len() as u64 {
        said.push(format!(
            "Only the first {} failures are listed one by one, and were run a second time.",
            explored.failures.len()
        ));
    }
    said.push("Seeds that weren't run: that nothing failed in some runs proves nothing of others.".to_string());
    said
}

/// What the check of the first seed came to, for the page.
pub fn checked_in_words(checked: Option<&crate::determinism::Checked>, seed: Seed) -> String {
    use crate::determinism::Checked;
    match checked {
        None => "The first seed's run was not checked.".to_string(),
        Some(Checked::Same) => {
            format!(
                "Seed {seed}, the first, repeats itself: after another seed in the same process, and in a fresh process."
            )
        }
        Some(Checked::NotDone(why)) => format!("The first seed's run could not be checked: {why}"),
        Some(Checked::Differs { circumstance, divergence }) => {
            format!("NOT DETERMINISTIC: seed {seed}, {circumstance}: {divergence}")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_listed_as_people_do() {
        for (names, said) in [
            (&["a"][..], "a"),
            (&["a", "b"], "a and b"),
            (&["a", "b", "c"], "a, b and c"),
            (&["a", "b", "c", "d"], "a, b, c and 1 more"),
            (&["\u{1b}[2J"], "\\u{1b}[2J"),
        ] {
            assert_eq!(listed(names), said);
        }
    }

    #[test]
    fn each_part_has_a_page_of_its_own() {
        assert_eq!(index_name(None), "index.html");
        assert_eq!(index_name(squall_campaign::shard::ShardId::new(3, 8)), "shard-3-of-8.html");
    }
}
