//! Shards: what they come to together is what one process comes to, and what doesn't belong together is refused.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use proptest::prelude::*;
use squall_campaign::failure_file::{FailureFile, Found, Origin};
use squall_campaign::seeds::SeedRange;
use squall_campaign::shard::{Kept, MergeError, Merged, Setup, Shard, ShardId, merge};
use squall_campaign::tally::{Counted, Explored, FAILURES_LISTED_MAX};
use squall_trace::target::{Open, Reached};
use squall_trace::verdict::Failure;
use squall_trace::{Digest, Plan, Seed, Verdict};

/// What a run comes to, as far as a tally tells.
#[derive(Clone, Debug)]
struct Run {
    /// 0 passes, 1 is unknown, from 2 on it is a property.
    kind: u8,
    escapes: Vec<u8>,
    unreached: Vec<u8>,
    repeats: bool,
    /// Goals, and how often each came.
    goals: Vec<(u8, u64)>,
}

fn counted(seed: u64, run: &Run) -> Counted {
    let verdict = match run.kind {
        0 => Verdict::Pass,
        1 => Verdict::Unknown { message: format!("nobody knows about {seed}") },
        kind => Verdict::Fail(Failure {
            property: format!("property-{kind}"),
            message: format!("seen with {seed}"),
            step: 1,
            at_ns: 1,
            node: None,
            task: None,
        }),
    };
    let open = |property: usize| Open { property: format!("property-{property}"), message: format!("asked by {seed}") };
    let named = |what: &str, numbers: &[u8]| numbers.iter().map(|number| format!("{what} {number}")).collect();
    Counted {
        seed: Seed(seed),
        verdict,
        digest: Digest(u128::from(seed)),
        escapes: named("escape", &run.escapes),
        unreached_faults: named("fault", &run.unreached),
        goals: run.goals.iter().map(|&(goal, times)| Reached { goal: format!("goal {goal}"), times }).collect(),
        open: match run.kind {
            1 => vec![open(run.escapes.len()), open(run.unreached.len())],
            _ => vec![],
        },
        perturbations: Some(usize::from(run.kind) + (seed % 7) as usize),
        is_repeated: true,
        repeats: run.repeats,
    }
}

fn setup(seeds: SeedRange, max_failures: Option<u64>) -> Setup {
    Setup {
        squall: "0.1.0".to_string(),
        build: Digest(1),
        scenario: "payments".to_string(),
        file: "scenarios/payments.toml".into(),
        set: vec!["network.loss=5%".to_string()],
        fingerprint: Digest(2),
        expect: None,
        properties: vec!["paid-once".to_string()],
        goals: vec!["goal 1".to_string()],
        seeds,
        strategy: None,
        max_failures,
        time_ns: None,
        shrinks: true,
        hang_after_ns: 10_000_000_000,
        not_addressed: None,
    }
}

/// What a process does that runs these seeds: it counts up to the last failure that is wanted, and saves the first of each property.
fn explore(id: ShardId, setup: &Setup, run: &dyn Fn(u64) -> Run) -> Shard {
    let mut explored = Explored::default();
    let mut saved = BTreeMap::new();
    let slice = id.slice(setup.seeds);
    for seed in slice.start()..slice.end() {
        let counted = counted(seed, &run(seed));
        explored.count(&counted);
        if let Verdict::Fail(failure) = &counted.verdict {
            let is_first = explored.groups[&*failure.property].failures == 1;
            if is_first && explored.failed <= FAILURES_LISTED_MAX as u64 {
                let plan = Plan::seeded("payments", Seed(seed));
                let origin = Origin { file: Some(&setup.file), build: Some(setup.build) };
                let file = FailureFile::whole(origin, &plan, counted.digest, &counted.verdict);
                saved.insert(Seed(seed), file);
            }
        }
        if setup.max_failures == Some(explored.failed) {
            break;
        }
    }
    Shard {
        id,
        setup: setup.clone(),
        kept: if id.index() == 1 { vec![kept()] } else { Vec::new() },
        explored,
        saved,
        elapsed_ns: 5,
        diverged: None,
        left_threads: false,
    }
}

fn kept() -> Kept {
    Kept {
        path: "squall-regressions/payments/paid-once-0x2.toml".into(),
        property: "paid-once".to_string(),
        said: "stale".to_string(),
        found: Found::Stale { unused: 1, of: 3 },
        verdict: Verdict::Pass,
    }
}

fn id(index: u32, count: u32) -> ShardId {
    ShardId::new(index, count).unwrap()
}

fn shards(count: u32, setup: &Setup, run: &dyn Fn(u64) -> Run) -> Vec<(PathBuf, Shard)> {
    let shard = |index| (format!("shard-{index}").into(), explore(id(index, count), setup, run));
    (1..=count).map(shard).collect()
}

fn runs() -> impl Strategy<Value = Vec<Run>> {
    let few = || prop::collection::vec(0u8..30, 0..3);
    // Of a few faults most happen in few runs, so that some happen in none, or only late.
    let unreached = prop::collection::vec(prop::bool::weighted(0.97), 4);
    let kind = prop_oneof![4 => Just(0u8), 1 => Just(1u8), 2 => 2u8..5];
    // Each at most once; some are told though they didn't come.
    let goals = prop::collection::btree_map(0u8..20, 0u64..3, 0..3).prop_map(|goals| goals.into_iter().collect());
    let run = (kind, few(), unreached, prop::bool::weighted(0.95), goals);
    let run = run.prop_map(|(kind, escapes, unreached, repeats, goals)| {
        let unreached = (0..).zip(unreached).filter_map(|(fault, unreached)| unreached.then_some(fault)).collect();
        Run { kind, escapes, unreached, repeats, goals }
    });
    prop_oneof![prop::collection::vec(run.clone(), 0..8), prop::collection::vec(run, 0..120)]
}

/// All that a summary tells of a tally.
fn told(explored: &Explored) -> impl PartialEq + std::fmt::Debug {
    let unreached: Vec<String> = explored.unreached_faults().map(str::to_string).collect();
    (
        (explored.runs, explored.passed, explored.failed, explored.unknown),
        explored.failures.clone(),
        explored.groups.clone(),
        (explored.first_unknown.clone(), explored.first_unrepeated, explored.notes.clone(), unreached),
        (explored.goals.clone(), explored.goals_in_one_run()),
        explored.open.clone(),
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn shards_come_to_what_one_process_comes_to(
        start in prop_oneof![Just(0), any::<u64>().prop_map(|start| start.min(u64::MAX - 1_000))],
        runs in runs(),
        count in 1u32..12,
        max_failures in prop::option::of(1u64..30),
        any_one in any::<prop::sample::Index>(),
    ) {
        let setup = setup(SeedRange::new(start, start + runs.len() as u64), max_failures);
        let run = |seed: u64| runs[(seed - start) as usize].clone();
        let one = explore(id(1, 1), &setup, &run);
        let mut shards = shards(count, &setup, &run);
        let merged = merge(shards.clone()).unwrap();
        prop_assert_eq!(told(&merged.explored), told(&one.explored));
        prop_assert_eq!((&merged.kept, &merged.saved, &merged.setup), (&one.kept, &one.saved, &one.setup));
        prop_assert_eq!((merged.shards, merged.elapsed_ns), (count, 5 * u64::from(count)));

        // In another order, and with one of them twice.
        let twice = shards[any_one.index(shards.len())].1.clone();
        shards.rotate_left(any_one.index(count as usize));
        shards.reverse();
        shards.push(("copy".into(), twice));
        prop_assert_eq!(merge(shards.clone()).unwrap(), merged);
        // Any that is left out is missed.
        shards.pop();
        let (_, left_out) = shards.swap_remove(any_one.index(shards.len()));
        let error = merge(shards).unwrap_err();
        match count {
            1 => prop_assert_eq!(error, MergeError::Nothing),
            _ => prop_assert_eq!(error, MergeError::Gap { count, missing: vec![left_out.id], more: 0 }),
        }
    }

    #[test]
    fn slices_cover_a_range_without_gap_or_overlap(start in any::<u64>(), end in any::<u64>(), count in 1u32..200) {
        let whole = SeedRange::new(start.min(end), start.max(end));
        let mut next = whole.start();
        for index in 1..=count {
            let slice = id(index, count).slice(whole);
            prop_assert_eq!(slice.start(), next);
            prop_assert!(slice.len().abs_diff(whole.len() / u64::from(count)) <= 1);
            next = slice.end();
        }
        prop_assert_eq!(next, whole.end());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(50))]

    #[test]
    fn every_shard_is_read_back_as_it_was_written(
        runs in runs(), count in 1u32..4, max_failures in prop::option::of(1u64..30)
    ) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("deep/shard.jsonl.zst");
        let setup = setup(SeedRange::new(0, runs.len() as u64), max_failures);
        for (_, shard) in shards(count, &setup, &|seed| runs[seed as usize].clone()) {
            shard.write(&path).unwrap();
            prop_assert_eq!(Shard::read(&path).unwrap(), shard);
            prop_assert_eq!(std::fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
        }
    }
}

#[test]
fn the_largest_range_has_its_largest_number_of_slices() {
    let whole = SeedRange::new(0, u64::MAX);
    assert_eq!(id(1, u32::MAX).slice(whole).start(), 0);
    assert_eq!(id(u32::MAX, u32::MAX).slice(whole).end(), u64::MAX);
    assert_eq!(id(2, 2).slice(whole), SeedRange::new(u64::MAX / 2, u64::MAX));
}

#[test]
fn shards_are_said_as_two_numbers() {
    assert_eq!("3/8".parse(), Ok(id(3, 8)));
    assert_eq!("8/8".parse::<ShardId>().unwrap().to_string(), "8/8");
    for (wrong, said) in [
        ("9/8", "there is no shard 9 of 8"),
        ("0/8", "they count from 1"),
        ("0/0", "there is no shard 0 of 0"),
        ("3", "expected a shard such as 3/8"),
        ("+3/8", "expected a shard such as 3/8"),
        ("3/8/9", "expected a shard such as 3/8"),
        ("/8", "expected a shard such as 3/8"),
        ("1/4294967296", "expected a shard such as 3/8"),
    ] {
        let error = wrong.parse::<ShardId>().unwrap_err();
        assert!(error.contains(said), "{wrong}: {error}");
    }
}

fn failing(seed: u64) -> Run {
    Run {
        kind: if seed.is_multiple_of(3) { 2 } else { 0 },
        escapes: vec![],
        unreached: vec![],
        repeats: true,
        goals: if seed.is_multiple_of(4) { vec![(1, 2)] } else { vec![] },
    }
}

#[test]
fn what_does_not_belong_together_is_refused_with_both_names() {
    let setup = setup(SeedRange::new(0, 30), Some(4));
    let merged_with = |change: &dyn Fn(&mut Shard)| {
        let mut shards = shards(3, &setup, &failing);
        change(&mut shards[1].1);
        merge(shards)
    };
    assert!(merged_with(&|_| {}).is_ok());
    // Machines may have the file in different places.
    assert!(merged_with(&|shard| shard.setup.file = "/elsewhere/payments.toml".into()).is_ok());
    type Change = fn(&mut Setup);
    let changes: [(Change, &str); 14] = [
        (|setup| setup.expect = Some("paid-once".to_string()), "property that is to fail"),
        (|setup| setup.properties.clear(), "list of properties"),
        (|setup| setup.goals.clear(), "list of goals"),
        (|setup| setup.squall = "0.2.0".to_string(), "version of Squall"),
        (|setup| setup.build = Digest(9), "build"),
        (|setup| setup.scenario = "lock".to_string(), "scenario"),
        (|setup| setup.set.clear(), "settings"),
        (|setup| setup.fingerprint = Digest(9), "text of the scenario's file or of a recording"),
        (|setup| setup.seeds = SeedRange::new(0, 31), "range of seeds"),
        (|setup| setup.strategy = Some("fifo".parse().unwrap()), "strategy"),
        (|setup| setup.max_failures = None, "failures to stop at"),
        (|setup| setup.time_ns = Some(1), "time limit"),
        (|setup| setup.shrinks = false, "shrink"),
        (|setup| setup.hang_after_ns = 1, "hang"),
    ];
    for (change, said) in changes {
        let error = merged_with(&|shard| change(&mut shard.setup)).unwrap_err().to_string();
        assert!(error.contains(said) && error.starts_with("shard-1 and shard-2 don't belong together"), "{error}");
    }
    let error = merged_with(&|shard| *shard = explore(id(2, 4), &setup, &failing)).unwrap_err().to_string();
    assert_eq!(error, "shard-1 is shard 1/3, and shard-2 is shard 2/4: their seeds overlap");
    let mut twice = shards(3, &setup, &failing);
    let mut other = twice[2].clone();
    other.0 = "again".into();
    other.1.elapsed_ns += 1;
    twice.push(other);
    let error = merge(twice).unwrap_err().to_string();
    assert_eq!(error, "again and shard-3 are both shard 3/3, and differ: give only one of them");
    let error = merge(shards(12, &setup, &failing).into_iter().take(1)).unwrap_err().to_string();
    assert!(error.ends_with("2/12, 3/12, 4/12, 5/12, 6/12, 7/12, 8/12, 9/12, 10/12, 11/12, and 1 more"), "{error}");
}

#[test]
fn what_happened_to_a_shard_counts_only_where_one_process_would_have_come() {
    let merged = |max_failures, change: &dyn Fn(&mut Shard)| -> Merged {
        let mut shards = shards(3, &setup(SeedRange::new(0, 30), max_failures), &failing);
        change(&mut shards[1].1);
        merge(shards).unwrap()
    };
    // 0, 3, 6 and 9 fail in the first shard.
    let diverge: &dyn Fn(&mut Shard) = &|shard| shard.diverged = Some(Seed(10));
    assert_eq!(merged(None, diverge).diverged, Some(Seed(10)));
    assert_eq!(merged(Some(4), diverge).diverged, None);
    let leave: &dyn Fn(&mut Shard) = &|shard| shard.left_threads = true;
    assert!(merged(None, leave).left_threads);
    assert!(!merged(Some(4), leave).left_threads);
}

/// More failures than are listed: the list ends where that of one process ends, and the counts don't.
#[test]
fn the_list_ends_where_one_process_ends_it() {
    let failures = FAILURES_LISTED_MAX as u64 + 50;
    let run = |seed: u64| Run { kind: 2 + u8::from(seed == failures - 10), ..failing(0) };
    for max_failures in [None, Some(FAILURES_LISTED_MAX as u64), Some(FAILURES_LISTED_MAX as u64 - 5)] {
        let setup = setup(SeedRange::new(0, failures), max_failures);
        let one = explore(id(1, 1), &setup, &run);
        let merged = merge(shards(3, &setup, &run)).unwrap();
        assert_eq!(merged.explored.failed, one.explored.failed);
        assert_eq!(merged.explored.groups, one.explored.groups);
        assert_eq!(merged.explored.failures.len() as u64, max_failures.unwrap_or(FAILURES_LISTED_MAX as u64));
        assert_eq!(merged.explored.failures, one.explored.failures);
        // The last shard met the other property early, and saved it; one process lists no such seed.
        assert_eq!(merged.saved.keys().collect::<Vec<_>>(), [&Seed(0)]);
    }
}

/// A few bytes of zstd may be many lines.
#[test]
fn a_file_of_endless_lines_is_refused_early() {
    let mut lines = Vec::new();
    let setup = setup(SeedRange::new(0, 30), None);
    explore(id(1, 1), &setup, &failing).write_lines(&mut lines).unwrap();
    let text = String::from_utf8(lines).unwrap();
    let lines: Vec<&str> = text.split_inclusive('\n').collect();
    assert!(lines[1].contains("\"kept\"") && lines[2].contains("\"failure\"") && lines[12].contains("\"saved\""));
    for (repeated, times, said) in [
        (1, 100_010, "more than 100000 failures that were kept"),
        (2, FAILURES_LISTED_MAX + 10, "more than 10000 failures are listed"),
        (12, 2, "or was saved before it"),
    ] {
        let before = lines[..repeated].iter().copied();
        let again = std::iter::repeat_n(lines[repeated], times);
        let text: String = before.chain(again).collect();
        let (line, problem) = Shard::from_lines(text.as_bytes()).unwrap_err();
        assert!(problem.contains(said) && line <= (repeated + times) as u64, "{line}: {problem}");
    }
}

#[test]
fn a_damaged_file_is_told_with_its_place() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("shard.jsonl.zst");
    explore(id(2, 3), &setup(SeedRange::new(0, 30), None), &failing).write(&path).unwrap();
    let whole = std::fs::read(&path).unwrap();
    let text = String::from_utf8(zstd::decode_all(&*whole).unwrap()).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    // The header, the failures of 12, 15 and 18, a failure file, the sum.
    assert_eq!(lines.len(), 6, "{text}");
    let error = |bytes: &[u8]| {
        std::fs::write(&path, bytes).unwrap();
        let error = Shard::read(&path).unwrap_err().to_string();
        assert!(error.starts_with(&path.display().to_string()), "{error}");
        error
    };
    // Cut off anywhere, and with any byte changed.
    for length in 0..whole.len() {
        error(&whole[..length]);
    }
    for at in 0..whole.len() {
        let mut damaged = whole.clone();
        damaged[at] ^= 1 << (at % 8);
        std::fs::write(&path, &damaged).unwrap();
        // zstd has bits that mean nothing.
        if Shard::read(&path).is_ok() {
            assert_eq!(zstd::decode_all(&*damaged).unwrap(), text.as_bytes(), "byte {at}");
        }
    }
    let packed = |text: &str| zstd::encode_all(text.as_bytes(), 3).unwrap();
    for (text, said) in [
        (String::new(), "line 1: the file ends before it"),
        ("{}\n".to_string(), "line 1: it doesn't say its format"),
        (lines[..5].join("\n"), "line 5: it breaks off"),
        (format!("{}\n", lines[..5].join("\n")), "line 6: the file ends before it"),
        (format!("{text}{}\n", lines[5]), "line 7: nothing is expected behind the sum"),
        (format!("{}\n{text}", lines[0]), "line 2: it is a second header"),
        (
            format!("{}\n", [&lines[..2], &lines[3..]].concat().join("\n")),
            "line 5: 4 lines come before it, and there were 5",
        ),
    ] {
        let error = error(&packed(&text));
        assert!(error.contains(said), "{said}: {error}");
    }
    for (from, to, said) in [
        (r#""format":1"#, r#""format":2"#, "line 1: it is of format 2"),
        (r#""shard":"2/3""#, r#""shard":"4/3""#, "there is no shard 4 of 3"),
        (r#""shard":"2/3""#, r#""shard":"1/3""#, "it ran the seeds 10..20, and shard 1/3 of 0..30 is 0..10"),
        (r#""end":"0x14"}"#, r#""end":"0x15"}"#, "it ran the seeds 10..21"),
        (r#""end":"0x14"}"#, r#""end":"0x13"}"#, "it ran the seeds 10..19 of 10..20, and nothing was to end it"),
        (r#""passed":7"#, r#""passed":8"#, "don't add up"),
        (r#""failures":3"#, r#""failures":4"#, "it lists 3 failures of 3"),
        (r#""seed":"0xc","property""#, r#""seed":"0x9","property""#, "failure of seed 0x9 is out of order"),
        (r#""seed":"0xf","property""#, r#""seed":"0xc","property""#, "failure of seed 0xc is out of order"),
        (r#""unknown_before":0"#, r#""unknown_before":3"#, "failure of seed 0xc is out of order"),
        (
            r#""seed":"0xf","property":"property-2""#,
            r#""seed":"0xf","property":"property-3""#,
            "property-3 don't add up",
        ),
        (r#""passed":7,"failed":3,"unknown":0"#, r#""passed":5,"failed":3,"unknown":2"#, "don't add up"),
        (r#""failures":3,"seed":"0xc""#, r#""failures":3,"seed":"0xf""#, "property-2 don't add up"),
        (r#""groups":{"#, r#""groups":{"other":{"failures":0,"seed":"0xc","message":""},"#, "without failures"),
        (r#""first_unrepeated":null"#, r#""first_unrepeated":"0x14""#, "it tells of seed 0x14, which it didn't run"),
        (r#""count":{"runs":2,"times":4}"#, r#""count":{"runs":0,"times":4}"#, "numbers of goals don't add up"),
        (r#""count":{"runs":2,"times":4}"#, r#""count":{"runs":2,"times":1}"#, "numbers of goals don't add up"),
        (r#""count":{"runs":2,"times":4}"#, r#""count":{"runs":9,"times":9}"#, "numbers of goals don't add up"),
        (r#""first":"0xc""#, r#""first":null"#, "numbers of goals don't add up"),
        (r#""first":"0xc""#, r#""first":"0x14""#, "it tells of seed 0x14, which it didn't run"),
        (r#""goals":[{"runs":1,"times":2}]"#, r#""goals":[{"runs":4,"times":4}]"#, "numbers of goals don't add up"),
        (
            r#""goals":[{"runs":1,"times":2}]"#,
            r#""goals":[{"runs":1,"times":2},{"runs":0,"times":0}]"#,
            "numbers of goals don't add up",
        ),
        (r#""line":"failure""#, r#""line":"feature""#, "line 2: unknown variant"),
        (
            r#""end":"0x14"},"explored":{"runs":10,"passed":7"#,
            r#""end":"0x13"},"explored":{"runs":9,"passed":6"#,
            "it ran the seeds 10..19 of 10..20",
        ),
        (r#""line":"failure""#, r#""line":"failure","more":1"#, "unknown field"),
        (r#""explored":{"#, r#""explored":{"more":1,"#, "unknown field"),
        (r#""line":"sum""#, r#""line":"sum","more":1"#, "unknown field"),
        (r#""diverged":null"#, r#""diverged":"0xb""#, "it compared the runs of seed 0xb, which isn't its first"),
        (r#""first_unknown":null"#, r#""first_unknown":["0xb","why"]"#, "don't add up"),
        (
            r#""open":{}"#,
            r#""open":{"other":["0xb","why"]}"#,
            "it leaves other open before its first run that is unknown",
        ),
        (
            r#""line":"saved","seed":"0xc""#,
            r#""line":"saved","seed":"0xf""#,
            "what was saved as the failure of seed 0xf isn't that",
        ),
        (r#"seed = \"0xc\""#, r#"seed = \"0x777\""#, "what was saved as the failure of seed 0xc isn't that"),
        (
            r#"property = \"property-2\""#,
            r#"property = \"property-3\""#,
            "what was saved as the failure of seed 0xc isn't that",
        ),
        (
            r#"scenario = \"payments\""#,
            r#"scenario = \"others\""#,
            "what was saved as the failure of seed 0xc isn't that",
        ),
        (r#"build = \"0"#, r#"build = \"1"#, "what was saved as the failure of seed 0xc isn't that"),
        (r#""shrinks":true"#, r#""shrinks":false"#, "what was saved as the failure of seed 0xc isn't that"),
        (r#""max_failures":null"#, r#""max_failures":2"#, "more failures than it was to stop at"),
        (
            r#""max_failures":null"#,
            r#""max_failures":0"#,
            "line 1: the number of failures to stop at isn't in 1..=10000",
        ),
        (r#""max_failures":null"#, r#""max_failures":10001"#, "the number of failures to stop at isn't in"),
    ] {
        assert!(text.contains(from), "{from} isn't in {text}");
        let error = error(&packed(&text.replacen(from, to, 1)));
        assert!(error.contains(said), "{to}: {error}");
    }
    assert!(Shard::read(directory.path()).unwrap_err().to_string().contains("it is a directory"));
    assert!(
        Shard::read(Path::new("nowhere.jsonl.zst"))
            .unwrap_err()
            .to_string()
            .contains("nowhere.jsonl.zst can't be read")
    );
}
