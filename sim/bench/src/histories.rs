//! How long histories take to be read and judged: one core, each history made anew from its seed, in memory.

use std::collections::BTreeMap;
use std::error::Error;
use std::fmt::Write;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use squall::check::claim::{Claim, Verdict};
use squall::check::history::read;
use squall::check::linearizability::Limits;
use squall::check::models::Named;
use squall::check::transactions::Level;

/// What to measure.
#[derive(Clone, Copy, Debug, clap::Args)]
pub struct Options {
    /// How often each history is judged; the median is told.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// How many operations the large histories have.
    #[arg(long, default_value_t = 1_000_000)]
    operations: u64,
}

/// Whose operations a history has.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Object {
    Register,
    Kv,
    Lists,
}

struct Shape {
    object: Object,
    operations: u64,
    clients: usize,
    keys: u64,
    /// Whether an answer in the middle is wrong.
    is_bad: bool,
}

/// Makes and judges each history, and prints a table.
///
/// # Errors
/// If a verdict isn't the one that is known.
pub fn report(options: Options) -> Result<ExitCode, Box<dyn Error>> {
    let Options { rounds, operations } = options;
    let large = |object, clients, keys, is_bad| Shape { object, operations, clients, keys, is_bad };
    let small = |keys, is_bad| Shape { object: Object::Kv, operations: 2_000, clients: 50, keys, is_bad };
    let mut shapes = vec![large(Object::Register, 10, 1, false)];
    for keys in [1, 3, 5, 10, 50] {
        shapes.extend([small(keys, false), small(keys, true)]);
    }
    shapes.extend([large(Object::Lists, 20, 10, false), large(Object::Lists, 20, 10, true)]);
    println!("| history | reading | judging | verdict |\n|---|---|---|---|");
    for shape in &shapes {
        let name = shape.name();
        let (mut reading, mut judging, mut word) = (Vec::new(), Vec::new(), "");
        let mut seed = 0;
        while judging.len() < rounds.max(1) {
            let text = shape.text(seed);
            seed += 1;
            let begun = Instant::now();
            let history = read(text.as_bytes())?;
            let read_in = begun.elapsed();
            let begun = Instant::now();
            let (verdict, _) = shape.claim().check(&history, Limits::default())?;
            let judged_in = begun.elapsed();
            word = match verdict {
                // Nobody has read them in the other order.
                Verdict::Holds if shape.is_bad => continue,
                Verdict::Holds if !shape.is_bad => "holds",
                Verdict::Broken(_) if shape.is_bad => "doesn't",
                Verdict::Unknown(_) => "given up",
                wrong => return Err(format!("{name}: the verdict is wrong: {wrong:?}").into()),
            };
            reading.push(read_in);
            judging.push(judged_in);
        }
        let (reading, judging) = (median(reading), median(judging));
        println!("| {name} | {:.3} s | {:.3} s | {word} |", reading.as_secs_f64(), judging.as_secs_f64());
    }
    Ok(ExitCode::SUCCESS)
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

/// An operation that is under way.
struct Open {
    asked: String,
    /// What comes back, once it has taken effect.
    came: Option<String>,
}

impl Shape {
    fn name(&self) -> String {
        let object = match self.object {
            Object::Register => "register",
            Object::Kv => "kv",
            Object::Lists => "list-append",
        };
        let (keys, bad) =
            (if self.keys == 1 { "key" } else { "keys" }, if self.is_bad { ", one answer wrong" } else { "" });
        format!("{object}, {} operations, {} clients, {} {keys}{bad}", self.operations, self.clients, self.keys)
    }

    fn claim(&self) -> Claim {
        match self.object {
            Object::Register => Claim::Linearizable(Named::Register),
            Object::Kv => Claim::Linearizable(Named::Kv),
            Object::Lists => Claim::Transactions(Level::StrictSerializable),
        }
    }

    /// A history in which each operation takes effect at some moment between its invocation and its return.
    fn text(&self, seed: u64) -> String {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut below = |bound: u64| rng.next_u64() % bound;
        let mut text = String::new();
        let mut open: Vec<Option<Open>> = (0..self.clients).map(|_| None).collect();
        let mut values: BTreeMap<u64, Vec<u64>> = BTreeMap::new();
        let (mut left, mut next, mut under_way) = (self.operations, 0, 0);
        let mut to_spoil = self.is_bad.then_some(self.operations / 2);
        while left > 0 || under_way > 0 {
            let process = below(self.clients as u64) as usize;
            let line = |text: &mut String, kind: &str, what: &str| {
                let _ = writeln!(text, "{{\"process\":{process},\"type\":\"{kind}\",{what}}}");
            };
            match &mut open[process] {
                None if left == 0 => {}
                None => {
                    if self.is_bad && self.object == Object::Lists && left == self.operations / 2 {
                        write_skew(&mut text, self.clients);
                    }
                    left -= 1;
                    under_way += 1;
                    let asked = self.ask(&mut below, &mut next);
                    line(&mut text, "invoke", &asked);
                    open[process] = Some(Open { asked, came: None });
                }
                Some(Open { asked, came: came @ None }) => *came = Some(take_effect(asked, &mut values)),
                Some(Open { came: Some(came), .. }) => {
                    under_way -= 1;
                    if to_spoil.is_some_and(|from| left <= from) && spoil(came) {
                        to_spoil = None;
                    }
                    line(&mut text, "ok", came);
                    open[process] = None;
                }
            }
        }
        text
    }

    fn ask(&self, below: &mut impl FnMut(u64) -> u64, next: &mut u64) -> String {
        match self.object {
            Object::Lists => {
                // Lists don't grow for ever: after a while others take their place.
                let key = |below: &mut dyn FnMut(u64) -> u64, next: u64| next / 200 * 100 + below(self.keys);
                let mut parts = Vec::new();
                for _ in 0..2 {
                    let key = key(below, *next);
                    if below(2) == 0 {
                        parts.push(format!("[\"r\",{key},null]"));
                    } else {
                        *next += 1;
                        parts.push(format!("[\"append\",{key},{next}]"));
                    }
                }
                format!("\"f\":\"txn\",\"value\":[{}]", parts.join(","))
            }
            Object::Register if below(2) == 0 => "\"f\":\"read\",\"key\":0,\"value\":null".to_string(),
            Object::Register => {
                *next += 1;
                format!("\"f\":\"write\",\"key\":0,\"value\":{next}")
            }
            Object::Kv => {
                let key = below(self.keys);
                match below(10) {
                    0..5 => format!("\"f\":\"get\",\"key\":{key},\"value\":null"),
                    kind => {
                        *next += 1;
                        let f = if kind < 9 { "append" } else { "put" };
                        format!("\"f\":\"{f}\",\"key\":{key},\"value\":\"x{next} \"")
                    }
                }
            }
        }
    }
}

/// What comes back, and what is there from then on. A register's and a kv's value is the numbers that were written since the last that replaced all.
fn take_effect(asked: &str, values: &mut BTreeMap<u64, Vec<u64>>) -> String {
    let event: serde_json::Value = serde_json::from_str(&format!("{{{asked}}}")).expect("it was made here");
    let number = |value: &serde_json::Value| {
        let digits = value.to_string();
        digits.trim_matches(['"', 'x', ' ']).parse::<u64>().expect("it was made here")
    };
    if event["f"] == "txn" {
        let parts = event["value"].as_array().expect("it was made here");
        let came: Vec<String> = parts
            .iter()
            .map(|part| {
                let list = values.entry(number(&part[1])).or_default();
                if part[0] == "r" {
                    return format!("[\"r\",{},{list:?}]", part[1]);
                }
                list.push(number(&part[2]));
                part.to_string()
            })
            .collect();
        return format!("\"f\":\"txn\",\"value\":[{}]", came.join(","));
    }
    let list = values.entry(number(&event["key"])).or_default();
    let f = event["f"].as_str().expect("it was made here");
    let before = match f {
        "get" => format!("\"{}\"", list.iter().map(|value| format!("x{value} ")).collect::<String>()),
        "read" => list.last().map_or("null".to_string(), u64::to_string),
        _ => {
            if f != "append" {
                list.clear();
            }
            list.push(number(&event["value"]));
            event["value"].to_string()
        }
    };
    format!("\"f\":\"{f}\",\"key\":{},\"value\":{before}", event["key"])
}

/// Swaps the last two of what was read of a key, if it is as much.
fn spoil(came: &mut String) -> bool {
    let Some((before, texts)) = came.strip_suffix(" \"").and_then(|read| read.rsplit_once('"')) else { return false };
    let mut texts: Vec<&str> = texts.split(' ').collect();
    let [.., one, other] = &mut texts[..] else { return false };
    std::mem::swap(one, other);
    let spoiled = came.contains("\"f\":\"get\"").then(|| format!("{before}\"{} \"", texts.join(" ")));
    spoiled.map(|spoiled| *came = spoiled).is_some()
}

/// A write skew of two more clients, about keys of their own.
fn write_skew(text: &mut String, client: usize) {
    for (kind, read) in [("invoke", "null"), ("ok", "[]")] {
        for (client, reads, appends) in [(client, -1, -2), (client + 1, -2, -1)] {
            let value = format!("[[\"r\",{reads},{read}],[\"append\",{appends},1]]");
            let _ = writeln!(text, "{{\"process\":{client},\"type\":\"{kind}\",\"f\":\"txn\",\"value\":{value}}}");
        }
    }
}
