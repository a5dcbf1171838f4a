//! `squall merge`: one result from many shards, told as one process would have told it.

use std::collections::BTreeMap;

use serde::Serialize;
use squall_campaign::shard::{self, MergeError, Merged, Shard};

use super::arguments::Merge;
use super::campaign::{Campaign, SavedAs, Wanted, tell_kept};
use super::campaign_page::{Index, index_name};
use super::exit::Stop;
use super::explore::{prove_writable, prove_writable_beside};
use super::output::{Output, without_controls};
use super::saved;
use super::shard::in_hex;

#[derive(Serialize)]
struct Started<'s> {
    event: &'static str,
    scenario: &'s str,
    seeds: String,
    shards: u32,
}

/// A wrong input. What is in it, somebody may have sent.
fn wrong(error: &impl std::fmt::Display, help: &str) -> Stop {
    Stop::Input(miette::miette!(help = help, "{}", without_controls(&error.to_string())))
}

fn remedy(error: &MergeError) -> &'static str {
    match error {
        MergeError::Nothing | MergeError::Gap { .. } => {
            "run those that are missing by `explore --shard`, and give the files of all to `merge`"
        }
        MergeError::Mixed { .. } | MergeError::Overlap { .. } => {
            "run all shards from one checkout, with the same arguments but for the number before the slash"
        }
        MergeError::Twice { .. } => "both say the same but for their times, if the program repeats itself",
    }
}

pub fn merge(arguments: &Merge, output: &mut Output) -> Result<u8, Stop> {
    for directory in arguments.out.iter().chain(&arguments.report) {
        prove_writable(directory)?;
    }
    if let Some(path) = &arguments.junit {
        prove_writable_beside(path)?;
    }
    let mut shards = Vec::new();
    for path in &arguments.shards {
        let shard = Shard::read(path).map_err(|error| wrong(&error, "run that shard again"))?;
        shards.push((path.clone(), shard));
    }
    let merged = shard::merge(shards).map_err(|error| wrong(&error, remedy(&error)))?;
    let Merged { setup, shards, kept, explored, saved: files, elapsed_ns, diverged, left_threads } = merged;
    output.json(&Started { event: "merge-started", scenario: &setup.scenario, seeds: in_hex(setup.seeds), shards })?;
    let plural = if shards == 1 { "shard" } else { "shards" };
    output.text(&without_controls(&format!("{}: seeds {}, {shards} {plural}", setup.scenario, setup.seeds)))?;
    for kept in &kept {
        tell_kept(kept, output)?;
    }
    let directory = saved::new_directory(arguments.out.as_deref(), &setup.scenario);
    let (mut saved, mut not_saved, mut unsaved) = (BTreeMap::new(), BTreeMap::new(), None);
    for (seed, file) in files {
        match SavedAs::save(file, &directory, &kept) {
            Ok(as_what) => drop(saved.insert(seed, as_what)),
            Err(found) => {
                let (file, error) = *found;
                not_saved.insert(seed, file);
                unsaved.get_or_insert(error);
            }
        }
    }
    let campaign = Campaign {
        setup,
        shard: None,
        explored,
        kept,
        saved,
        unsaved: not_saved,
        traces: 0,
        elapsed_ns,
        diverged,
        left_threads,
        // Those aren't written.
        interrupted: false,
    };
    // What was measured in each run is in no shard.
    let index = arguments.report.as_ref().map(|directory| Index {
        directory: directory.clone(),
        name: index_name(None),
        measures: None,
        checked: None,
        jobs: None,
        shards: Some(shards),
    });
    let wanted = Wanted { out: None, junit: arguments.junit.as_deref(), page: index.as_ref() };
    campaign.conclude(wanted, unsaved, output)
}
