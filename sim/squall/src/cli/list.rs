//! `squall list`: scenarios with their properties and goals; and `squall schema`: what a scenario file may say.

use std::path::{Path, PathBuf};

use serde::Serialize;

use super::arguments::{List, Schema};
use super::exit::{self, Stop};
use super::output::{self, Output};
use super::programs::Programs;
use crate::scenario::Scenario;

#[derive(Serialize)]
struct Finished {
    event: &'static str,
    scenarios: Vec<Listed>,
}

#[derive(Serialize)]
struct Listed {
    name: String,
    file: String,
    about: String,
    properties: Vec<String>,
    /// What is to come in some of its runs.
    goals: Vec<String>,
}

pub fn list(programs: &Programs, arguments: &List, output: &mut Output) -> Result<u8, Stop> {
    let mut scenarios = Vec::new();
    let mut code = exit::PASS;
    for file in scenario_files(&arguments.files)? {
        // One wrong file doesn't hide the others.
        match programs.load(&file, &[]) {
            Ok(scenario) => {
                output.text(&in_words(&scenario))?;
                scenarios.push(Listed {
                    name: scenario.name().to_string(),
                    file: file.display().to_string(),
                    about: scenario.about().to_string(),
                    properties: scenario.property_names().to_vec(),
                    goals: scenario.goals().to_vec(),
                });
            }
            Err(error) => code = Stop::from(error).tell(),
        }
    }
    let is_empty = scenarios.is_empty();
    output.json(&Finished { event: "list-finished", scenarios })?;
    if is_empty && code == exit::PASS {
        let searched: Vec<String> = arguments.files.iter().map(|file| file.display().to_string()).collect();
        return Err(Stop::Nothing(format!("there is no scenario file in {}", searched.join(", "))));
    }
    Ok(code)
}

/// The schema is JSON, whoever reads it.
pub fn schema(arguments: &Schema, output: &mut Output) -> Result<u8, Stop> {
    let schema = if arguments.lines { crate::lines::schema() } else { crate::scenario::schema() };
    match output.is_json() {
        true => output.json(&schema)?,
        false => output.text(&format!("{schema:#}\n"))?,
    }
    Ok(exit::PASS)
}

fn in_words(scenario: &Scenario) -> String {
    let mut text = format!("{} ({})\n", scenario.name(), scenario.path().display());
    if !scenario.about().is_empty() {
        text.push_str(&format!("    {}\n", scenario.about()));
    }
    if !scenario.property_names().is_empty() {
        text.push_str(&format!("    properties: {}\n", scenario.property_names().join(", ")));
    }
    if !scenario.goals().is_empty() {
        text.push_str(&format!("    goals: {}\n", scenario.goals().join(", ")));
    }
    if let Some(property) = scenario.expect() {
        text.push_str(&format!("    is there to fail: {property}\n"));
    }
    output::without_controls(&text)
}

/// Files as they are; of directories their `.toml` files in the order of names, but for Cargo's manifests.
pub(crate) fn scenario_files(paths: &[PathBuf]) -> Result<Vec<PathBuf>, Stop> {
    let mut files = Vec::new();
    for path in paths {
        if !path.exists() && path.is_relative() && path.components().count() == 1 && path.extension().is_none() {
            let shown = path.display();
            return Err(Stop::Input(miette::miette!(
                help = "call it from the project's root, or say where its scenario files are: squall list FILE…",
                "there is no folder {shown} here"
            )));
        }
        if !path.is_dir() {
            files.push(path.clone());
            continue;
        }
        let unreadable = |error| Stop::Input(miette::miette!("{}: {error}", path.display()));
        let mut found = Vec::new();
        for entry in std::fs::read_dir(path).map_err(unreadable)? {
            let file = entry.map_err(unreadable)?.path();
            if is_scenario_file(&file) {
                found.push(file);
            }
        }
        found.sort();
        files.append(&mut found);
    }
    Ok(files)
}

fn is_scenario_file(file: &Path) -> bool {
    let is_manifest = file.file_name().is_some_and(|name| name == "Cargo.toml");
    file.extension().is_some_and(|extension| extension == "toml") && !is_manifest && file.is_file()
}
