//! Goals on the command line: how often each came, and what becomes of a campaign that never reached one.

mod place;

use place::Place;
use serde_json::Value;

/// Without the loss that makes anybody ask again.
fn calm_place() -> Place {
    let place = Place::new();
    place.write("calm.toml", "program = \"asking\"\nseeds = \"0..40\"\n[network]\nlatency = \"1ms\"\n");
    place
}

fn goals(finished: &place::Finished) -> Vec<Value> {
    let lines = finished.stdout.lines().map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
    lines.filter(|line| line["event"] == "goal").collect()
}

#[test]
fn a_goal_that_no_run_reached_is_told_and_is_not_green() {
    let place = calm_place();
    let told = place.squall(&["explore", "calm.toml", "--junit", "junit.xml"]).expect(120).stdout;
    assert!(told.contains("goals: 0 of 2 reached"), "{told}");
    assert!(told.contains("NOT REACHED in 40 runs: a question is repeated (") && told.contains("asking.rs:"), "{told}");
    assert!(told.contains("NOT REACHED in 40 runs: a question is known ("), "{told}");
    assert!(told.contains("40 passed, 0 failed, 0 unknown"), "{told}");
    let junit = std::fs::read_to_string(place.path("junit.xml")).expect("a file");
    assert!(junit.contains("sometimes: a question is known") && junit.contains("type=\"unreached\""), "{junit}");
    assert!(
        junit.contains("40 runs didn&apos;t reach the goal: a question is known") && junit.contains("asking.rs:"),
        "{junit}"
    );
    // Left out, each by its name or both by a pattern.
    let left_out = "check.unreached=[\"a question is repeated\", \"a question is known\"]";
    for set in [left_out, "check.unreached=\"a question *\""] {
        let told = place.squall(&["explore", "calm.toml", "--set", set]).expect(0).stdout;
        assert!(!told.contains("goals:") && !told.contains("NOT REACHED"), "{told}");
    }
    let wrong = place.squall(&["explore", "calm.toml", "--set", "check.unreached=\"a question is know\""]).expect(2);
    assert!(
        wrong.stderr.contains("is no goal that is left") && wrong.stderr.contains("did you mean"),
        "{}",
        wrong.stderr
    );
    let listed = place.json(&["list", "calm.toml"]).expect(0).summary();
    assert_eq!(listed["scenarios"][0]["goals"], serde_json::json!(["a question is known", "a question is repeated"]));
    // One run isn't many.
    place.squall(&["explore", "calm.toml", "--seeds", "0..1"]).expect(0);
    place.squall(&["explore", "calm.toml", "--seeds", "0..2"]).expect(120);
}

#[test]
fn goals_are_counted_by_runs_and_times_and_by_their_first_seed() {
    let place = calm_place();
    let lossy = ["explore", "calm.toml", "--set", "network.loss=3%", "--seeds", "0..300"];
    let told = place.squall(&lossy).expect(0).stdout;
    // There is no new one, and so no chance of it.
    assert!(told.contains("goals: 2 of 2 reached") && !told.contains("(Good-Turing: "), "{told}");
    let counted = goals(&place.json(&lossy).expect(0));
    // Each seed by itself says the same.
    for goal in &counted {
        let (mut runs, mut times, mut first) = (0, 0, None);
        for seed in 0..300u64 {
            let alone = place.json(&["run", "calm.toml", "--set", "network.loss=3%", "--seed", &seed.to_string()]);
            let reached = alone.expect(0).summary()["goals"][goal["goal"].as_str().expect("a name")].as_u64();
            if let Some(reached @ 1..) = reached {
                runs += 1;
                times += reached;
                first.get_or_insert(format!("{seed:#x}"));
            }
        }
        assert_eq!((goal["runs"].as_u64(), goal["times"].as_u64()), (Some(runs), Some(times)), "{goal}");
        assert_eq!(goal["first_seed"].as_str(), first.as_deref(), "{goal}");
        assert_eq!(goal["is_wanted"], true);
    }
    assert_eq!(counted.len(), 2);
}

/// Up to the first seed that reaches a goal, that goal came in one run alone.
#[test]
fn what_is_unseen_is_estimated_by_what_was_seen_once() {
    let place = calm_place();
    let explore = |end: u64| {
        let seeds = format!("0..{end}");
        place.json(&["explore", "calm.toml", "--set", "network.loss=3%", "--no-check", "--seeds", &seeds])
    };
    let first = |goal: &str| {
        let all = goals(&explore(300));
        let goal = all.iter().find(|told| told["goal"] == goal).expect("it is told");
        let seed = goal["first_seed"].as_str().and_then(|seed| seed.strip_prefix("0x")).expect("it came");
        u64::from_str_radix(seed, 16).expect("a number")
    };
    let runs = first("a question is known") + 1;
    let told = explore(runs);
    let once = goals(&told).iter().filter(|goal| goal["runs"] == 1).count();
    assert!(once >= 1 && runs > 1, "{}", told.stdout);
    let unseen = told.summary()["unseen"].as_f64().expect("a number");
    assert!((unseen - once as f64 / runs as f64).abs() < 1e-12, "{unseen}");
    // One run fewer, and nothing is known of that goal.
    assert!(explore(runs - 1).summary()["unseen"].as_f64().expect("a number") < unseen);
}

/// A run may reach several goals: what came once is more than the runs, and still no chance above 1.
#[test]
fn what_is_unseen_is_a_chance_however_few_the_runs() {
    let place = calm_place();
    let explore = |seeds: &str| {
        let arguments = ["explore", "calm.toml", "--set", "network.loss=40%", "--no-check", "--seeds", seeds];
        (place.json(&arguments), place.squall(&arguments).stdout)
    };
    let is_first =
        |seed: &u64| goals(&explore(&format!("{seed}..{}", seed + 1)).0).iter().all(|goal| goal["runs"] == 1);
    let seed = (0..100).find(is_first).expect("one that reaches both");
    let (json, _) = explore(&format!("{seed}..{}", seed + 1));
    assert_eq!(json.summary()["unseen"], 1.0);
    let (json, _) = explore("0..100");
    assert_eq!(json.summary()["unseen"], 0.0);
    // While one of them isn't reached, there may be a new one.
    let until = |end: u32| {
        let seeds = format!("0..{end}");
        place.squall(&["explore", "calm.toml", "--set", "network.loss=3%", "--no-check", "--seeds", &seeds]).stdout
    };
    let text = (2..100).map(until).find(|text| text.contains("goals: 1 of 2 reached")).expect("one comes first");
    assert!(text.contains("the next run ") && text.contains("(Good-Turing: "), "{text}");
}

#[test]
fn the_runner_runs_seeds_until_every_goal_was_reached() {
    let place = Place::new();
    for (name, loss) in [("calm", "0"), ("lossy", "3%")] {
        let text =
            format!("program = \"asking\"\nseeds = \"0..400\"\nnetwork = {{ latency = \"1ms\", loss = \"{loss}\" }}\n");
        place.write(&format!("scenarios/{name}.toml"), &text);
    }
    let run = |arguments: &[&str], code: i32| {
        let mut command = place.command(arguments);
        command.env("SQUALL_ODD_RUNNER", "1");
        place::Finished::of(&command.output().expect("it starts")).expect(code).stdout
    };
    let said = run(&["goals"], 101);
    assert!(said.contains("test lossy::goals ... ok") && said.contains("test calm::goals  ... FAILED"), "{said}");
    assert!(said.contains("no run reached goals that some run is to reach:\n  a question is known ("), "{said}");
    let place_of_mark =
        said.split("  a question is known (").nth(1).and_then(|rest| rest.lines().next()).unwrap_or_default();
    assert!(place_of_mark.contains("odd/asking.rs:") && place_of_mark.ends_with(')'), "{place_of_mark}");
    // The blocks by themselves say nothing of goals.
    assert!(run(&["calm::seeds"], 0).contains("4 passed"));
}

#[test]
fn shards_come_to_the_goals_of_one_process() {
    let place = calm_place();
    let explore = ["explore", "calm.toml", "--set", "network.loss=3%", "--seeds", "0..12"];
    let one = goals(&place.json(&explore));
    for shard in ["1/3", "2/3", "3/3"] {
        // A part needn't reach what the others do.
        place.squall(&[&explore[..], &["--shard", shard]].concat()).expect(0);
    }
    let shards: Vec<String> = (1..=3).map(|shard| format!("target/squall/calm/shard-{shard}-of-3.jsonl.zst")).collect();
    let shards: Vec<&str> = shards.iter().map(String::as_str).collect();
    let merged = place.json(&[&["merge"], &shards[..]].concat());
    assert_eq!(goals(&merged), one);
    // Neither reached: none of the parts says so, all together do.
    for shard in ["1/2", "2/2"] {
        place.squall(&["explore", "calm.toml", "--shard", shard, "--out", "calm-shards"]).expect(0);
    }
    let shards = ["calm-shards/calm/shard-1-of-2.jsonl.zst", "calm-shards/calm/shard-2-of-2.jsonl.zst"];
    let merged = place.squall(&["merge", shards[0], shards[1]]).expect(120).stdout;
    assert!(merged.contains("NOT REACHED in 40 runs: a question is known"), "{merged}");
}
