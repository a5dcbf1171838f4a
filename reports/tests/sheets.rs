//! The pages of campaigns and sweeps, as files: nothing that is told is markup, the policy names what is there, and limits are said.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest as _, Sha256};
use squall_reports::page::campaign::{
    CampaignPage, CampaignVerdict, Counts, FailureGroup, GoalReached, KeptFailure, KeptState, LatencyCurve,
    LatencySummary, SaturationCurve, render_campaign_page,
};
use squall_reports::page::sweep::{
    Axis, CellFinding, MAP_CELLS_MAX, MAP_COLUMNS_MAX, MAPS_MAX, SweepCell, SweepPage, render_sweep_page,
};

const MARKUP: &str = "</script></title><img src=x onerror='alert(1)' \"<!-- \u{202e}\u{1b}[2J\0&amp;";

fn hostile() -> String {
    MARKUP.to_string()
}

fn latency(answered: u64, operations: u64) -> LatencySummary {
    let all_answered = answered == operations;
    LatencySummary {
        operations,
        answered,
        p50_ns: Some(1_000_000),
        p99_ns: all_answered.then_some(2_000_000),
        p99_9_ns: all_answered.then_some(2_000_000),
        max_ns: all_answered.then_some(3_000_000),
        unmeasured_runs: 1,
        is_rounded: true,
    }
}

fn campaign() -> CampaignPage {
    CampaignPage {
        scenario: hostile(),
        verdict: CampaignVerdict::Fail,
        sentence: hostile(),
        notices: vec![hostile()],
        command: hostile(),
        facts: vec![(hostile(), hostile())],
        counts: Counts { runs: 10, passed: 6, failed: 3, unknown: 1 },
        virtual_ns: Some(u128::MAX),
        clock: vec![hostile()],
        failures: vec![FailureGroup {
            property: hostile(),
            is_expected: false,
            failures: 3,
            message: format!("{MARKUP}\n{MARKUP}"),
            seeds: vec![hostile()],
            causes: vec![hostile()],
            causes_untold: 2,
            left: hostile(),
            replay: hostile(),
            page: Some(hostile()),
        }],
        kept: [KeptState::Fails, KeptState::Fixed, KeptState::Open]
            .map(|state| KeptFailure {
                path: hostile(),
                property: hostile(),
                state,
                outcome: hostile(),
                said: hostile(),
                replay: hostile(),
            })
            .to_vec(),
        goals: vec![
            GoalReached {
                goal: hostile(),
                is_wanted: true,
                runs: 2,
                times: 5,
                first: Some((3, hostile())),
                places: hostile(),
            },
            GoalReached { goal: "missed".to_string(), is_wanted: true, ..GoalReached::default() },
        ],
        goals_outlook: Some(hostile()),
        saturation: Some(SaturationCurve {
            points: vec![(1, 1), (10, 4)],
            is_estimate: true,
            unseen: Some(0.25),
            firsts: vec![(3, hostile())],
        }),
        determinism: vec![hostile()],
        latencies: Some(LatencyCurve {
            of: hostile(),
            summary: latency(15, 20),
            points: vec![(1, Some(500_000)), (15, Some(1_500_000)), (20, None)],
        }),
        not_checked: vec![hostile()],
    }
}

fn axis(key: &str, count: usize) -> Axis {
    let values = (0..count).map(|number| format!("{number}ms")).collect();
    Axis { key: key.to_string(), values, between: Vec::new() }
}

/// A grid of which the cells' places are all that there are.
fn sweep(axes: Vec<Axis>) -> SweepPage {
    let mut places: Vec<Vec<usize>> = vec![Vec::new()];
    for axis in &axes {
        let longer = |place: &Vec<usize>| {
            (0..axis.values.len()).map(|value| [&place[..], &[value]].concat()).collect::<Vec<Vec<usize>>>()
        };
        places = places.iter().flat_map(longer).collect();
    }
    let cells = places.into_iter().map(|places| SweepCell {
        failed: places.iter().sum::<usize>().min(4) as u64,
        passed: 4 - places.iter().sum::<usize>().min(4) as u64,
        places,
        runs: 4,
        latency: latency(20, 20),
        answered_per_s: Some(1.5),
        ..SweepCell::default()
    });
    SweepPage { cells: cells.collect(), axes, seeds: 4, ..SweepPage::default() }
}

fn hostile_sweep(axes: usize) -> SweepPage {
    let axis = Axis { key: hostile(), values: vec![hostile(), hostile()], between: vec![] };
    let mut page = sweep(vec![axis; axes]);
    let finding = CellFinding { what: hostile(), runs: 1, seed: hostile(), message: hostile(), replay: hostile() };
    for cell in &mut page.cells {
        cell.failures = vec![finding.clone()];
        cell.unknowns = vec![finding.clone()];
        (cell.unknown, cell.failed_otherwise) = (1, 1);
    }
    SweepPage {
        scenario: hostile(),
        notices: vec![hostile()],
        command: hostile(),
        facts: vec![(hostile(), hostile())],
        clock: vec![hostile()],
        property: Some(hostile()),
        thresholds: vec![hostile()],
        notes: vec![hostile()],
        not_checked: vec![hostile()],
        ..page
    }
}

#[track_caller]
fn between<'p>(page: &'p str, before: &str, after: &str) -> &'p str {
    let rest = page.split_once(before).expect(before).1;
    rest.split_once(after).expect(after).0
}

#[test]
fn whatever_is_told_is_text() {
    for page in [
        render_campaign_page(&campaign()),
        render_sweep_page(&hostile_sweep(1)),
        render_sweep_page(&hostile_sweep(2)),
        render_sweep_page(&hostile_sweep(3)),
    ] {
        for markup in ["<img", "</script></", "<!--", "'alert", "\u{202e}", "\u{1b}", "\0"] {
            assert!(!page.contains(markup), "{markup:?}");
        }
        assert_eq!(page.matches("<script>").count(), 1);
        assert!(
            page.contains("&lt;img src=x onerror=&#39;alert(1)&#39; &quot;&lt;!-- \\u{202e}\\u{1b}[2J\\0&amp;amp;")
        );
        // Every quotation mark opens or closes a value.
        let body = between(&page, "<body>", "<script>");
        for tag in body.split('<').skip(1) {
            let tag = tag.split_once('>').expect("its end").0;
            assert_eq!(tag.matches('"').count() % 2, 0, "{tag}");
        }
        let (mut opened, mut closed) = (0, 0);
        for piece in body.split('<').skip(1) {
            if piece.starts_with('/') { closed += 1 } else { opened += 1 }
        }
        assert_eq!(opened, closed, "each element is closed");
    }
    let page = render_campaign_page(&campaign());
    let address = between(&page, "<a href=\"", "\"");
    assert!(address.starts_with("./%3C%2Fscript%3E") && !address.contains([':', '#', '?', ' ']), "{address}");
}

#[test]
fn the_policy_names_the_one_script_and_the_one_style() {
    for page in [render_campaign_page(&campaign()), render_sweep_page(&hostile_sweep(2))] {
        let policy = between(&page, "Content-Security-Policy\" content=\"", "\">");
        for (part, before, after) in [("script-src", "<script>", "</script>"), ("style-src", "<style>", "</style>")] {
            let hash = STANDARD.encode(Sha256::digest(between(&page, before, after)));
            assert!(policy.contains(&format!("{part} 'sha256-{hash}'")), "{policy}");
        }
        assert!(policy.starts_with("default-src 'none'; "), "{policy}");
        assert!(!page.contains(" style=") && !page.contains(" onclick="), "the policy would refuse it");
    }
}

#[test]
fn nothing_at_all_is_a_page_too() {
    let page = render_campaign_page(&CampaignPage::default());
    assert!(page.contains("Nothing ran.") && !page.contains("NaN") && !page.contains("inf"));
    let empty = render_sweep_page(&sweep(vec![axis("a", 3)]));
    assert!(!empty.contains("NaN"));
    let mut none = sweep(vec![axis("a", 3), axis("b", 2)]);
    none.cells.clear();
    let page = render_sweep_page(&none);
    assert!(page.contains("No cell was run") && page.matches("class=\"none\"").count() == 12);
}

fn left_out(page: &str) -> &str {
    page.split_once("class=\"left-out\">").map_or("", |(_, rest)| rest.split_once('<').expect("its end").0)
}

#[test]
fn a_map_that_is_too_large_says_what_it_leaves_out() {
    let maps = |page: &str| page.matches("class=\"map\"").count();
    // As many maps as there may be, and one more.
    let most = render_sweep_page(&sweep(vec![axis("a", MAPS_MAX), axis("b", 2), axis("c", 3)]));
    assert_eq!((maps(&most), left_out(&most)), (2 * MAPS_MAX, ""));
    let more = render_sweep_page(&sweep(vec![axis("a", MAPS_MAX + 1), axis("b", 2), axis("c", 3)]));
    let said = format!("Left out of the maps, but not of the table below: 1 map of {}.", MAPS_MAX + 1);
    assert_eq!((maps(&more), left_out(&more)), (2 * MAPS_MAX, &*said));
    // As many cells, and one row more.
    let most = render_sweep_page(&sweep(vec![axis("b", MAP_CELLS_MAX / 50), axis("c", 50)]));
    assert_eq!(left_out(&most), "");
    let more = render_sweep_page(&sweep(vec![axis("b", MAP_CELLS_MAX / 50 + 1), axis("c", 50)]));
    assert!(left_out(&more).ends_with(": 1 row."), "{}", left_out(&more));
    // As many columns, and one more; of one key as well.
    for keys in [vec![axis("b", 2)], vec![]] {
        let of = |columns| render_sweep_page(&sweep([&keys[..], &[axis("c", columns)]].concat()));
        assert_eq!(left_out(&of(MAP_COLUMNS_MAX)), "");
        assert!(left_out(&of(MAP_COLUMNS_MAX + 1)).contains(": 1 "), "{}", left_out(&of(MAP_COLUMNS_MAX + 1)));
    }
    // The table has all.
    assert!(more.matches("<td class=\"number\">1.50</td>").count() > MAP_CELLS_MAX);
}

/// The places of what is in a page behind each `before`, by the attribute.
fn places(page: &str, before: &str, attribute: &str) -> Vec<f64> {
    let tags = page.split(before).skip(1);
    let value = |tag: &str| between(tag, &format!(" {attribute}=\""), "\"").parse().expect("a number");
    tags.map(value).collect()
}

#[test]
fn the_ticks_of_runs_are_whole_numbers_each_at_its_place() {
    for (runs, ticks) in
        [(1, &[0, 1][..]), (2, &[0, 1, 2]), (3, &[0, 1, 2, 3]), (4, &[0, 1, 2, 3, 4]), (50, &[0, 12, 25, 37, 50])]
    {
        let saturation = SaturationCurve { points: vec![(runs, runs)], ..SaturationCurve::default() };
        let page = CampaignPage { saturation: Some(saturation), ..CampaignPage::default() };
        let page = render_campaign_page(&page);
        let drawn = between(&page, "<section id=\"saturation\"", "</section>");
        // Below the field, which is from 64 to 704.
        let shown: Vec<(String, String)> = drawn
            .split("<text ")
            .filter(|label| label.contains(" y=\"240.0\""))
            .map(|label| (between(label, ">", "<").to_string(), between(label, " x=\"", "\"").to_string()))
            .collect();
        let wanted: Vec<(String, String)> = ticks
            .iter()
            .map(|&tick| (tick.to_string(), format!("{:.1}", 64.0 + 640.0 * f64::from(tick) / runs as f64)))
            .collect();
        assert_eq!(shown, wanted);
    }
}

#[test]
fn a_latency_stands_at_the_share_that_took_no_longer() {
    let page = render_campaign_page(&campaign());
    let drawn = between(&page, "<section id=\"latency\"", "</section>");
    let half = places(drawn, "<line class=\"rule\"", "x1");
    let dots = places(drawn, "<circle class=\"curve-dot\"", "cx");
    assert!(half.contains(&dots[0]) && dots[0] > 76.0, "the median at 50 %: {dots:?} {half:?}");
    // The last that is answered ends where those without an answer begin.
    let never = places(drawn, "<line class=\"never-line\"", "x1")[0];
    let curve = between(drawn, "<polyline class=\"curve\" points=\"", "\"");
    let last = curve.rsplit(' ').next().and_then(|point| point.split_once(',')).expect("a point").0;
    assert_eq!(last.parse(), Ok(never));
    // Where all are answered, the longest is at the end.
    for operations in [1, 2, 9, 1_000] {
        let summary = latency(operations, operations);
        let latencies = LatencyCurve { of: String::new(), summary, points: vec![(operations, summary.max_ns)] };
        let page = render_campaign_page(&CampaignPage { latencies: Some(latencies), ..CampaignPage::default() });
        let dots = places(&page, "<circle class=\"curve-dot\"", "cx");
        assert_eq!(dots.last(), Some(&704.0), "{operations}");
        assert!(!page.contains("NaN") && !page.contains("inf"));
    }
}

#[test]
fn what_ended_early_is_said_of_what_was_run() {
    for (failed, ran, property, asked, said) in [
        (1, 1, None, Some("9"), "A property fails in 1 of the 1 cell that was run, of 9"),
        (0, 2, None, Some("9"), "No property fails in any of the 2 cells that were run, of 9"),
        (0, 2, Some("p"), Some("at least 9"), "p fails in none of the 2 cells that were run, of at least 9"),
        (0, 0, None, Some("9"), "No cell was run, of 9"),
        (9, 9, None, None, "A property fails in all of 9 cells"),
    ] {
        let mut page = sweep(vec![axis("a", 9)]);
        page.cells.truncate(ran);
        page.cells.iter_mut().enumerate().for_each(|(number, cell)| cell.failed = u64::from(number < failed));
        page.property = property.map(str::to_string);
        page.cells_asked = asked.map(str::to_string);
        let page = render_sweep_page(&page);
        assert!(page.contains(&format!("<bdi>{said}</bdi>")), "{}", between(&page, "<h1>", "</h1>"));
    }
}

#[test]
fn a_map_that_is_wider_than_a_sheet_says_so_on_paper() {
    let wide = |columns| {
        let page = render_sweep_page(&sweep(vec![axis("b", 2), axis("c", columns)]));
        assert_eq!(page.matches("class=\"on-paper\"").count(), page.matches("class=\"measure wide\"").count());
        page.matches("class=\"measure wide\"").count()
    };
    assert_eq!((wide(11), wide(12)), (0, 2));
}

#[test]
fn nothing_is_said_of_runs_that_nobody_knows_of() {
    let failures = |passed, unknown| {
        let counts = Counts { runs: passed + unknown, passed, failed: 0, unknown };
        let page = render_campaign_page(&CampaignPage { counts, ..CampaignPage::default() });
        between(&page, "<section id=\"failures\"", "</section>").to_string()
    };
    assert!(failures(5, 0).contains("No property failed in any of these runs."));
    assert!(failures(4, 1).contains("No property failed in any of those runs of which something is known."));
    assert!(failures(0, 1).contains("Of none of these runs anybody can say whether a property failed."));
}

#[test]
fn a_cell_says_all_of_its_numbers() {
    let mut page = sweep(vec![axis("latency", 2), axis("loss", 2)]);
    page.cells[3].latency = latency(15, 20);
    let page = render_sweep_page(&page);
    let said = "latency=1ms loss=1ms: of 4 runs 2 passed, 2 failed (50 %); p50 1.00 ms, p99 never, p99.9 never, max never; \
                15 of 20 operations answered, 5 never; 1.50 answered a virtual second";
    assert!(page.contains(&format!("title=\"{said}\"")), "{page}");
    // What fails first is beside what doesn't, and half beside less.
    assert!(page.contains("class=\"s2 left-first\""), "from none to a quarter");
    assert!(page.contains("class=\"s3 left-half top-half\""), "from a quarter to a half");
}
