//! `squall run` and `squall replay`: one run, once or twice.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};

use serde::Serialize;
use squall_campaign::failure_file::{FailureFile, Found};
use squall_campaign::whole_file::WholeFile;
use squall_check::history::write_event;
use squall_check::property::of_trace;
use squall_reports::lanes::Glyphs;
use squall_reports::likelihood::Decided;
use squall_reports::printable;
use squall_reports::window::{Window, WindowError};
use squall_reports::{
    Style, render_likelihood, render_perfetto, render_perturbations, render_svg, render_timeline, render_verdict,
};
use squall_trace::swarm::{InWords, Swarmed};
use squall_trace::target::{Reached, UnreachedFault};
use squall_trace::trace::format_ns;
use squall_trace::{Base, Outcome, Plan, Record, Seed, Verdict};

use super::arguments::{Around, Characters, Replay, Run, Shown, World, Written};
use super::exit::{self, Stop};
use super::interrupt;
use super::likelihood::{self, Often};
use super::output::{self, Output};
use super::page::Paged;
use super::programs::Programs;
use super::saved::Saved;
use crate::determinism::{cut_off, is_cut_off};
use crate::divergence::{Divergence, first_divergence};
use crate::failures::{entries_in_words, found_in_words, other_build_in_words};
use crate::runner::Simulation;
use crate::scenario::{Isolation, Scenario};
use crate::testing::is_same;
use crate::trace_file::TraceFile;

/// How many decisions that weren't calm are put in words where a run doesn't pass.
const PERTURBATIONS_IN_WORDS: usize = 8;

/// How many events `--around` shows on each side, if nothing is said.
const CONTEXT_EVENTS: usize = 10;

#[derive(Serialize)]
struct Finished<'f> {
    event: &'static str,
    scenario: &'f str,
    seed: Seed,
    digest: String,
    verdict: &'static str,
    property: Option<&'f str>,
    message: Option<&'f str>,
    replay: &'f str,
    virtual_ns: u64,
    events: u64,
    messages: u64,
    /// What is to come in some run, and how often it came in this one.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    goals: BTreeMap<&'f str, u64>,
    /// What became of the classes of faults, where the run is one of a swarm.
    #[serde(skip_serializing_if = "<[Swarmed]>::is_empty")]
    swarm: &'f [Swarmed],
    #[serde(skip_serializing_if = "Option::is_none")]
    outcome: Option<&'static str>,
}

pub fn run(programs: &Programs, arguments: &Run, output: &mut Output) -> Result<u8, Stop> {
    let once = Once::prepare(programs, &arguments.world, arguments.seed, &arguments.written)?;
    let page = match &arguments.report {
        Some(path) => Some((path, WholeFile::create(path).map_err(|error| unwritable(path, &error))?)),
        None => None,
    };
    let shown = &arguments.shown;
    let outcome = once.run()?;
    once.tell(&outcome, shown, None, output)?;
    if let Some((path, file)) = page {
        let Once { scenario, plan, replay, .. } = &once;
        let outcome = &outcome;
        let likelihood = Err(match outcome.verdict {
            Verdict::Fail(_) => {
                "It wasn't drawn, as the run isn't saved: squall explore saves failures, and squall report draws it for those.".to_string()
            }
            _ => "There is none: this run doesn't fail.".to_string(),
        });
        Paged {
            scenario,
            plan,
            outcome,
            replay,
            notice: None,
            repeats: None,
            shrinking: None,
            explanation: None,
            likelihood,
        }
        .write(path, file)?;
    }
    once.save(&outcome, shown, output)?;
    Ok(exit_code(&outcome.verdict, None))
}

pub fn replay(programs: &Programs, arguments: &Replay, output: &mut Output) -> Result<u8, Stop> {
    if FailureFile::is_one(&arguments.world.file) {
        return replay_saved(programs, arguments, output);
    }
    if arguments.seed.is_none() {
        let path = &arguments.world.file;
        let file = path.display();
        return Err(Stop::Input(match std::fs::read(path) {
            Err(error) => miette::miette!("{file} can't be read: {error}"),
            Ok(bytes) if bytes.iter().all(u8::is_ascii_whitespace) => {
                miette::miette!("{file}: it is empty, and so neither a failure file nor a scenario")
            }
            Ok(_) => miette::miette!(
                help = "give --seed N, or a failure file, which has its own",
                "{file}: as it isn't a failure file (those have a line `format = 1`), it is a scenario, and a replay of one needs a seed"
            ),
        }));
    }
    let seed = arguments.seed;
    let once = Once::prepare(programs, &arguments.world, seed, &arguments.written)?;
    let (once, first, compared) = once.run_twice()?;
    let more = Replayed {
        before: String::new(),
        after: compared_in_words(&compared),
        word: compared.word(),
        likelihood: arguments.likelihood,
        is_shrunk: false,
        repeats: matches!(compared, Compared::Same),
    };
    once.tell(&first, &arguments.shown, Some(&more), output)?;
    once.save(&first, &arguments.shown, output)?;
    Ok(exit_code(&first.verdict, Some(&compared)))
}

/// A failure from its file, twice: compared with what was saved, and with itself.
fn replay_saved(programs: &Programs, arguments: &Replay, output: &mut Output) -> Result<u8, Stop> {
    let path = &arguments.world.file;
    if !arguments.world.set.is_empty() || arguments.world.strategy.is_some() {
        return Err(Stop::Input(miette::miette!(
            help = "edit the file, or run the scenario",
            "{}: a failure file says its own settings and strategy",
            path.display()
        )));
    }
    let saved = Saved::load(path, programs)?;
    if arguments.seed.is_some_and(|seed| seed != saved.file.seed) {
        return Err(Stop::Input(miette::miette!(
            help = "leave --seed (or the variable SQUALL_SEED) out, or run the scenario",
            "{}: a failure file says its own seed, {}",
            path.display(),
            saved.file.seed
        )));
    }
    let files = Files::open(&arguments.written)?;
    let once = Once {
        replay: super::replay_saved_command(path),
        plan: saved.plan(),
        simulation: programs.simulation(&saved.scenario),
        scenario: saved.scenario,
        files,
    };
    let (once, first, compared) = once.run_twice()?;
    let found = Found::new(&saved.file, &first);
    let other_build = other_build_in_words(&saved.file, once.scenario.build());
    let other_build = other_build.map_or_else(String::new, |said| format!("\n{said}"));
    let more = Replayed {
        before: entries_in_words(&saved.file),
        after: match &compared {
            Compared::Same => found_in_words(found, &saved.file, &first) + &other_build,
            Compared::Differs(_) | Compared::CutOff(_) => compared_in_words(&compared),
        },
        word: match &compared {
            Compared::Same => found.word(),
            Compared::Differs(_) | Compared::CutOff(_) => compared.word(),
        },
        likelihood: arguments.likelihood,
        is_shrunk: saved.file.weather == Base::Calm,
        repeats: matches!(compared, Compared::Same),
    };
    once.tell(&first, &arguments.shown, Some(&more), output)?;
    once.save(&first, &arguments.shown, output)?;
    match (&compared, found) {
        (Compared::Same, found) if found.is_stale() && !interrupt::requested() => Ok(exit::STALE),
        _ => Ok(exit_code(&first.verdict, Some(&compared))),
    }
}

/// What a replay says beside what a run says.
struct Replayed {
    before: String,
    after: String,
    word: &'static str,
    /// How often the rest of the run is to be drawn again from each moment on, if it is.
    likelihood: Option<Often>,
    /// Whether all that wasn't calm is told by its number.
    is_shrunk: bool,
    repeats: bool,
}

/// What two runs of one plan say about each other.
pub enum Compared {
    Same,
    Differs(Option<Divergence>),
    /// One of them didn't end by itself: why.
    CutOff(String),
}

impl Compared {
    fn new(first: &Outcome, second: &Outcome) -> Compared {
        if is_same(first, second) {
            return Compared::Same;
        }
        if let Some(why) = cut_off(first, second) {
            return Compared::CutOff(why.to_string());
        }
        let divergence = match (&first.trace, &second.trace) {
            (Some(first), Some(second)) => first_divergence(first, second),
            _ => None,
        };
        Compared::Differs(divergence)
    }

    fn word(&self) -> &'static str {
        match self {
            Compared::Same => "same",
            Compared::Differs(_) => "differs",
            Compared::CutOff(_) => "unknown",
        }
    }
}

/// What a run's verdict ends the process with, or that two runs of one plan differ.
pub fn exit_code(verdict: &Verdict, compared: Option<&Compared>) -> u8 {
    if interrupt::requested() {
        return exit::INTERRUPTED;
    }
    match (compared, verdict) {
        (Some(Compared::Differs(_)), _) => exit::NONDETERMINISM,
        (Some(Compared::CutOff(_)), Verdict::Pass) => exit::INCONCLUSIVE,
        (_, Verdict::Pass) => exit::PASS,
        (_, Verdict::Fail(_)) => exit::PROPERTY_FAILED,
        (_, Verdict::Unknown { .. }) => exit::INCONCLUSIVE,
    }
}

/// One plan, about to be run.
struct Once {
    scenario: Scenario,
    simulation: Simulation,
    plan: Plan,
    replay: String,
    files: Files,
}

impl Once {
    /// All that can be wrong is found before anything runs.
    fn prepare(programs: &Programs, world: &World, seed: Option<Seed>, written: &Written) -> Result<Once, Stop> {
        let scenario = programs.load_world(world)?;
        let files = Files::open(written)?;
        let seed = seed.unwrap_or(Seed(scenario.seeds().start()));
        Ok(Once {
            replay: super::replay_command(&world.file, &world.set, world.strategy, seed),
            plan: scenario.plan(seed, world.strategy.unwrap_or_default()),
            simulation: programs.simulation(&scenario),
            scenario,
            files,
        })
    }

    /// Runs it twice. Where threads don't repeat a run, and may be left, in processes.
    fn run_twice(mut self) -> Result<(Once, Outcome, Compared), Stop> {
        loop {
            let (first, second) = (self.run()?, self.run()?);
            let compared = Compared::new(&first, &second);
            let may_leave = self.scenario.isolation() == Isolation::Auto && !self.simulation.is_in_processes();
            if let (Compared::Differs(_), true) = (&compared, may_leave) {
                output::complain(&format!("note: on threads the run {}", compared_in_words(&compared)));
                output::complain(&format!("note: {}", crate::isolation::LEAVING_THREADS));
                self.simulation = self.simulation.in_processes();
                continue;
            }
            // Of two of which one was cut off, the other says what becomes of the plan.
            let is_second_told = matches!(compared, Compared::CutOff(_)) && is_cut_off(&first);
            return Ok((self, if is_second_told { second } else { first }, compared));
        }
    }

    fn run(&self) -> Result<Outcome, Stop> {
        Ok(self.simulation.try_run_plan(&self.plan, Record::Full)?)
    }

    fn tell(
        &self,
        outcome: &Outcome,
        shown: &Shown,
        replayed: Option<&Replayed>,
        output: &mut Output,
    ) -> Result<(), Stop> {
        let style = style(outcome, shown, output)?;
        let Plan { seed, strategy, .. } = &self.plan;
        output.text(&format!("{}, seed {seed}, strategy {strategy}", self.scenario.name()))?;
        for (key, value) in self.scenario.parameters() {
            output.text(&output::without_controls(&format!("  {key} = {value}")))?;
        }
        if !outcome.swarm.is_empty() {
            output.text(&format!("  swarm: {}", InWords(&outcome.swarm)))?;
        }
        if let Some(Replayed { before, .. }) = replayed
            && !before.is_empty()
        {
            output.text(before)?;
        }
        output.text(&run_in_words(outcome, style))?;
        if let Some(replayed) = replayed {
            output.text(&replayed.after)?;
            if let Some(often) = replayed.likelihood {
                self.tell_likelihood(outcome, replayed, often, style, output)?;
            }
        }
        for Reached { goal, times } in &outcome.goals {
            let often = match times {
                0 => "not reached".to_string(),
                1 => "once".to_string(),
                _ => format!("{times} times"),
            };
            output.text(&format!("goal {}: {often}", output::without_controls(goal)))?;
        }
        output.text(&format!("replay: {}", super::as_called(&self.replay)))?;
        if let (Verdict::Fail(_), Some(said)) = (&outcome.verdict, self.scenario.capabilities().not_addressed()) {
            output::complain(&format!("note: not checked: {said}"));
        }
        for escape in &outcome.escapes {
            output::complain(&format!("note: {}", output::without_controls(escape)));
        }
        for UnreachedFault { fault, why } in &outcome.unreached_faults {
            output::complain(&format!("note: {} never happened: {why}", output::without_controls(fault)));
        }
        output.json(&Finished {
            event: "run-finished",
            scenario: self.scenario.name(),
            seed: self.plan.seed,
            digest: outcome.digest.to_string(),
            verdict: outcome.verdict.word(),
            property: outcome.verdict.property(),
            message: outcome.verdict.message(),
            replay: &self.replay,
            virtual_ns: outcome.ending.at_ns,
            events: outcome.ending.events,
            messages: outcome.messages.sent,
            swarm: &outcome.swarm,
            goals: outcome.goals.iter().map(|reached| (&*reached.goal, reached.times)).collect(),
            outcome: replayed.map(|replayed| replayed.word),
        })?;
        output.flush()
    }

    /// Draws how likely the failure is over time, behind what was said of the run.
    fn tell_likelihood(
        &self,
        outcome: &Outcome,
        replayed: &Replayed,
        often: Often,
        style: Style,
        output: &mut Output,
    ) -> Result<(), Stop> {
        output.flush()?;
        let found = match replayed.repeats {
            true => likelihood::drawn(&self.simulation, &self.plan, outcome, often),
            false => Err(likelihood::UNREPEATED.to_string()),
        };
        let property = outcome.verdict.property().unwrap_or_default();
        let words = match &found {
            Ok(likelihood) => {
                let (all, names) = (&outcome.perturbations[..], &outcome.names);
                let told = squall_reports::likelihood::told(all, replayed.is_shrunk, Some(likelihood));
                let decided = Decided { all, told: &told, names };
                let glyphs = if output::is_utf8() { Glyphs::Unicode } else { Glyphs::Ascii };
                render_likelihood(likelihood, property, &decided, style, glyphs)
            }
            Err(why) => format!("likelihood: {}", output::without_controls(why)),
        };
        output.text(&format!("\n{words}"))?;
        output.text("")?;
        output.json(&likelihood::Line::new(outcome, &found))
    }

    fn save(self, outcome: &Outcome, shown: &Shown, output: &Output) -> Result<(), Stop> {
        let style = style(outcome, shown, output)?;
        self.files.write(outcome, style)
    }
}

/// How a run is shown, and which part of it.
fn style(outcome: &Outcome, shown: &Shown, output: &Output) -> Result<Style, Stop> {
    let mut style = output.style(Some(shown.lines).filter(|&lines| lines > 0), shown.tasks);
    style.lanes = shown.lanes.map(|characters| match characters {
        Characters::Unicode => Glyphs::Unicode,
        Characters::Ascii => Glyphs::Ascii,
        Characters::Auto if output::is_utf8() => Glyphs::Unicode,
        Characters::Auto => Glyphs::Ascii,
    });
    if shown.until.is_none() && shown.around.is_none() {
        return Ok(style);
    }
    let Some(trace) = &outcome.trace else {
        let property = outcome.verdict.property().unwrap_or("unknown");
        return Err(Stop::Own(format!("the run ({property}) leaves no trace: no step of it can be shown")));
    };
    let window = match (shown.until, shown.around) {
        (Some(step), _) => Window::until(trace, step),
        (None, Some(around)) => {
            let step = match around {
                Around::Failure => None,
                Around::Step(step) => Some(step),
            };
            Window::around(trace, step, shown.context.unwrap_or(CONTEXT_EVENTS), style)
        }
        (None, None) => return Ok(style),
    };
    style.window = window.map_err(|error| {
        let help = match error {
            WindowError::NoSuchStep { .. } => "--lanes and --around show the numbers of steps",
            WindowError::NoFailure { .. } => "say around which step, as --around=STEP",
        };
        Stop::Input(miette::miette!(help = help, "{error}"))
    })?;
    Ok(style)
}

/// What of a run is to be written: shown to be writable before anything runs.
struct Files {
    trace: Option<TraceFile>,
    history: Option<(PathBuf, WholeFile)>,
    svg: Option<(PathBuf, WholeFile)>,
    perfetto: Option<(PathBuf, WholeFile)>,
}

impl Files {
    fn open(written: &Written) -> Result<Files, Stop> {
        let Written { trace, history, svg, perfetto } = written;
        let open_trace = |path: &PathBuf| TraceFile::create(path).map_err(|error| unwritable(path, &error));
        let open = |path: &Option<PathBuf>| match path {
            None => Ok(None),
            Some(path) => match WholeFile::create(path) {
                Ok(file) => Ok(Some((path.clone(), file))),
                Err(error) => Err(unwritable(path, &error)),
            },
        };
        Ok(Files {
            trace: trace.as_ref().map(open_trace).transpose()?,
            history: open(history)?,
            svg: open(svg)?,
            perfetto: open(perfetto)?,
        })
    }

    /// `style` says which part the picture shows.
    fn write(self, outcome: &Outcome, style: Style) -> Result<(), Stop> {
        let trace_of = |path: &Path| {
            outcome.trace.as_ref().ok_or_else(|| {
                let property = outcome.verdict.property().unwrap_or("unknown");
                Stop::Own(format!("{} can't be written: the run ({property}) leaves no trace", path.display()))
            })
        };
        let write = |path: &Path, mut file: WholeFile, text: &[u8]| {
            let written = file.file().write_all(text).and_then(|()| file.finish());
            written.map_err(|error| unwritable(path, &error))
        };
        if let Some(file) = self.trace {
            let path = file.path().to_path_buf();
            file.write(trace_of(&path)?).map_err(|error| unwritable(&path, &error))?;
        }
        if let Some((path, file)) = self.history {
            let events = of_trace(trace_of(&path)?)
                .map_err(|problem| Stop::Own(format!("{} can't be written: {problem}", path.display())))?;
            let mut text = Vec::new();
            let told = events.iter().try_for_each(|event| write_event(&mut text, event));
            told.map_err(|error| unwritable(&path, &error))?;
            write(&path, file, &text)?;
        }
        if let Some((path, file)) = self.svg {
            write(&path, file, render_svg(trace_of(&path)?, style).as_bytes())?;
        }
        if let Some((path, file)) = self.perfetto {
            write(&path, file, render_perfetto(trace_of(&path)?).as_bytes())?;
        }
        Ok(())
    }
}

fn compared_in_words(compared: &Compared) -> String {
    match compared {
        Compared::Same => "same: a second run gave the same digest".to_string(),
        Compared::Differs(Some(divergence)) => {
            output::without_controls(&format!("differs, run again in the same process: {divergence}"))
        }
        Compared::CutOff(why) => output::without_controls(&format!(
            "unknown: of two runs one didn't end by itself, so that they say nothing: {why}"
        )),
        Compared::Differs(None) => "differs: a second run came to something else".to_string(),
    }
}

/// A path that can't be written, in one line.
pub fn unwritable(path: &Path, error: &std::io::Error) -> Stop {
    let said = error.to_string();
    // The file that is made first, under a name that nobody gave, is told by `tempfile` behind what the system says.
    let said = said.rsplit_once(" at path \"").map_or(&*said, |(said, _)| said);
    Stop::Own(format!("{} can't be written: {said}", path.display()))
}

/// Timeline, verdict, and the figures of a run.
pub fn run_in_words(outcome: &Outcome, style: Style) -> String {
    let mut text = match &outcome.trace {
        Some(trace) => render_timeline(trace, style),
        None => render_verdict(&outcome.verdict, &outcome.names, style),
    };
    if outcome.verdict != Verdict::Pass && outcome.trace.is_some() {
        text.push('\n');
        let columns = style.columns;
        text.push_str(&render_perturbations(&outcome.perturbations, &outcome.names, PERTURBATIONS_IN_WORDS, columns));
    }
    let counts = &outcome.messages;
    text.push_str(&format!(
        "\n{} of virtual time, {}; digest {}\n{} events; {} messages sent, {} duplicated{}, {} delivered, {} lost, {} \
         under way at the end; {} not calm\n",
        format_ns(outcome.ending.at_ns),
        outcome.ending.reason,
        outcome.digest,
        outcome.ending.events,
        counts.sent,
        counts.duplicated,
        if counts.corrupted > 0 { format!(", {} corrupted", counts.corrupted) } else { String::new() },
        counts.delivered,
        counts.lost,
        counts.in_flight,
        printable::counted(outcome.perturbations.len() as u64, "decision")
    ));
    text
}
