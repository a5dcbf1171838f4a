//! `squall explore --shard`: which part of the seeds, as said or as the scheduler's environment tells, and where its result goes.

use std::path::{Path, PathBuf};
use std::str::FromStr;

use serde::Serialize;
use squall_campaign::seeds::SeedRange;
use squall_campaign::shard::{Shard, ShardId};
use squall_trace::Seed;

use super::arguments::{Explore, Seeds};
use super::campaign::Campaign;
use super::exit::Stop;
use super::output::{self, Output};
use super::run::unwritable;
use super::saved::CI_DIRECTORY;
use crate::explore::FAILURES_LISTED_MAX;
use crate::failures::file_name_of;

/// Which shard, as it is said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ShardChoice {
    /// This one.
    Given(ShardId),
    /// The one that the scheduler's environment names, of so many if that is said.
    Auto(Option<u32>),
}

impl FromStr for ShardChoice {
    type Err = String;

    fn from_str(text: &str) -> Result<ShardChoice, String> {
        let Some(rest) = text.strip_prefix("auto") else { return text.parse().map(ShardChoice::Given) };
        if rest.is_empty() {
            return Ok(ShardChoice::Auto(None));
        }
        let count = rest.strip_prefix('/').filter(|count| count.bytes().all(|byte| byte.is_ascii_digit()));
        match count.and_then(|count| count.parse().ok()) {
            Some(count @ 1..) => Ok(ShardChoice::Auto(Some(count))),
            _ => Err(format!("expected `auto`, or how many there are too, such as auto/8; found {text:?}")),
        }
    }
}

/// The shard that is meant.
pub fn choose(choice: ShardChoice, arguments: &Explore) -> Result<ShardId, Stop> {
    if arguments.max_failures.is_some_and(|max| max.get() > FAILURES_LISTED_MAX as u64) {
        return Err(Stop::Input(miette::miette!(
            "--max-failures: of a shard no more than {FAILURES_LISTED_MAX} failures are listed, and there is no stopping at a later one"
        )));
    }
    if arguments.seeds == Some(Seeds::Fresh) {
        return Err(Stop::Input(miette::miette!(
            help = "choose one range and give it to every shard, such as --seeds 421700000..421800000 made of a job's number",
            "--seeds fresh can't be sharded: each shard would take a range of its own"
        )));
    }
    match choice {
        ShardChoice::Given(id) => Ok(id),
        ShardChoice::Auto(count) => {
            // What isn't text is no number either, and is told so.
            let variable = |name: &str| std::env::var_os(name).map(|value| value.to_string_lossy().into_owned());
            let named = named_by_environment(count, &variable);
            named.map_err(|Unnamed { message, help }| {
                Stop::Input(miette::miette!(help = help, "--shard auto: {message}"))
            })
        }
    }
}

/// Why the environment names no shard.
#[derive(Debug, PartialEq, Eq)]
struct Unnamed {
    message: String,
    help: String,
}

/// What a scheduler tells each job of an array.
struct Scheduler {
    /// The variable that says which job it is.
    index: &'static str,
    /// The one that says how many there are, where there is one.
    count: Option<&'static str>,
}

const SLURM: Scheduler = Scheduler { index: "SLURM_ARRAY_TASK_ID", count: Some("SLURM_ARRAY_TASK_COUNT") };
const KUBERNETES: Scheduler = Scheduler { index: "JOB_COMPLETION_INDEX", count: None };
const AWS_BATCH: Scheduler = Scheduler { index: "AWS_BATCH_JOB_ARRAY_INDEX", count: Some("AWS_BATCH_JOB_ARRAY_SIZE") };

type Variable<'v> = &'v dyn Fn(&str) -> Option<String>;

/// The shard that the environment names. `said` is how many there are, where that was said.
fn named_by_environment(said: Option<u32>, variable: Variable<'_>) -> Result<ShardId, Unnamed> {
    let present = [SLURM, KUBERNETES, AWS_BATCH].into_iter().filter(|known| variable(known.index).is_some());
    let present: Vec<Scheduler> = present.collect();
    let scheduler = match &*present {
        [scheduler] => scheduler,
        [] => {
            let names = [SLURM, KUBERNETES, AWS_BATCH].map(|known| known.index);
            return Err(Unnamed {
                message: format!("none of {} is in the environment", names.join(", ")),
                help: "say which shard it is: --shard 3/8 is the third of eight".to_string(),
            });
        }
        [first, second, ..] => {
            return Err(Unnamed {
                message: format!("both {} and {} are in the environment", first.index, second.index),
                help: "say which shard it is: --shard 3/8 is the third of eight".to_string(),
            });
        }
    };
    let index = number(scheduler.index, variable)?;
    let told = scheduler.count.filter(|name| variable(name).is_some());
    let count = match (told.map(|name| Ok((name, number(name, variable)?))).transpose()?, said) {
        (Some((name, told)), Some(said)) if told != u64::from(said) => {
            return Err(Unnamed {
                message: format!("{name} is {told}, and auto/{said} was said"),
                help: format!(
                    "a part of an array can't be told from all of it: say which shard it is, --shard M/{said}"
                ),
            });
        }
        (Some((_, told)), _) => told,
        (None, Some(said)) => u64::from(said),
        (None, None) => {
            return Err(Unnamed {
                message: format!("{} is {index}, but nothing tells how many there are", scheduler.index),
                help: "say how many: --shard auto/8".to_string(),
            });
        }
    };
    let first = if scheduler.index == SLURM.index { first_of_slurm(count, variable)? } else { 0 };
    let place = index.checked_sub(first).and_then(|place| u32::try_from(place).ok());
    let id = place.zip(u32::try_from(count).ok()).and_then(|(place, count)| ShardId::new(place.checked_add(1)?, count));
    id.ok_or_else(|| Unnamed {
        message: format!("{} is {index}, which is none of {count} that begin with {first}", scheduler.index),
        help: format!("give the array {count} jobs, or say how many there are: --shard auto/N"),
    })
}

/// The first index of a Slurm array, 0 or 1. Every index must be there.
fn first_of_slurm(count: u64, variable: Variable<'_>) -> Result<u64, Unnamed> {
    const MIN: &str = "SLURM_ARRAY_TASK_MIN";
    const MAX: &str = "SLURM_ARRAY_TASK_MAX";
    const STEP: &str = "SLURM_ARRAY_TASK_STEP";
    let step = if variable(STEP).is_some() { number(STEP, variable)? } else { 1 };
    let (min, max) = (number(MIN, variable)?, number(MAX, variable)?);
    let whole = step == 1 && min <= 1 && max.checked_sub(min).is_some_and(|more| more == count.wrapping_sub(1));
    if whole {
        return Ok(min);
    }
    Err(Unnamed {
        message: format!(
            "this is a sparse array, or a part of one: {count} jobs from {min} to {max} in steps of {step}; who merged them \
             would miss shards"
        ),
        help: "give the array all indices from 0 or 1 on (--array=1-8); to run a few again, say which shard each is: \
               --shard $SLURM_ARRAY_TASK_ID/8"
            .to_string(),
    })
}

fn number(name: &str, variable: Variable<'_>) -> Result<u64, Unnamed> {
    let found = variable(name);
    let digits = found.as_deref().filter(|text| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()));
    digits.and_then(|text| text.parse().ok()).ok_or_else(|| Unnamed {
        message: match found {
            Some(text) => format!("{name} is {text:?}, and a whole number was expected"),
            None => format!("{name} isn't in the environment"),
        },
        help: "say which shard it is: --shard 3/8 is the third of eight".to_string(),
    })
}

/// Where a shard's result goes.
pub struct Place {
    id: ShardId,
    /// Below it, what all shards of a scenario come to.
    directory: PathBuf,
}

#[derive(Serialize)]
struct Written {
    event: &'static str,
    shard: ShardId,
    /// The whole range.
    seeds: String,
    /// What of it really ran here.
    ran: String,
    file: String,
}

impl Place {
    pub fn new(out: Option<&Path>, scenario: &str, id: ShardId) -> Place {
        let directory = out.unwrap_or(Path::new(CI_DIRECTORY)).join(file_name_of(scenario));
        Place { id, directory }
    }

    pub fn shard(&self) -> ShardId {
        self.id
    }

    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// A name that sorts by the shard's number, and fits one glob for all shards.
    fn name(&self) -> String {
        let width = self.id.count().to_string().len();
        format!("shard-{:0width$}-of-{}", self.id.index(), self.id.count())
    }

    /// Where its failures are saved: not among those that are kept, which the first shard may just be reading.
    pub fn failures(&self) -> PathBuf {
        self.directory.join(self.name())
    }

    /// Tells that it isn't written.
    pub fn tell_unwritten(&self) {
        output::complain(&format!("note: shard {} isn't whole, and isn't written: run it again", self.id));
    }

    /// Writes what came of the shard, and tells where.
    pub fn write(&self, campaign: &Campaign, output: &mut Output) -> Result<(), Stop> {
        let path = self.directory.join(format!("{}.jsonl.zst", self.name()));
        let shard = Shard {
            id: self.id,
            setup: campaign.setup.clone(),
            kept: campaign.kept.clone(),
            explored: campaign.explored.clone(),
            saved: campaign.saved.iter().map(|(seed, saved)| (*seed, saved.file.clone())).collect(),
            elapsed_ns: campaign.elapsed_ns,
            diverged: campaign.diverged,
            left_threads: campaign.left_threads,
        };
        shard.write(&path).map_err(|error| unwritable(&path, &error))?;
        output.json(&Written {
            event: "shard-written",
            shard: self.id,
            seeds: in_hex(shard.setup.seeds),
            ran: in_hex(shard.ran()),
            file: path.display().to_string(),
        })?;
        // The star is the shell's.
        let directory = super::quoted(&self.directory.display().to_string());
        let merge = super::as_called(&format!("squall merge {directory}/shard-*-of-{}.jsonl.zst", self.id.count()));
        output.text(&format!("shard {} written to {}\nwhen all are there: {merge}\n", self.id, path.display()))?;
        output.text("")
    }
}

/// A range of seeds as JSON has it.
pub fn in_hex(range: SeedRange) -> String {
    format!("{}..{}", Seed(range.start()), Seed(range.end()))
}
