//! The pages of many runs from the command line, of `explore`, `merge` and `sweep`: that they are written, lead to files that are there,
//! say the same whatever the number of jobs, and how the commands end. How they look is looked at in `tests/e2e`.

mod place;

use std::process::{Command, Stdio};

use place::{Finished, Place};

impl Place {
    /// A page's text, which is one that needs nothing else.
    #[track_caller]
    fn page(&self, name: &str) -> String {
        let text = std::fs::read_to_string(self.path(name)).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert!(text.starts_with("<!doctype html>") && text.ends_with("</html>\n"), "{name} is cut off");
        assert!(text.contains("default-src 'none'"));
        text
    }
}

/// All but what depends on the machine, which stands in one place.
#[track_caller]
fn timeless(page: &str) -> String {
    let (before, rest) = page.split_once("<p id=\"clock\">").expect("the place of the clock");
    let (clock, after) = rest.split_once("</p>").expect("its end");
    assert!(clock.contains(" a second"), "{clock}");
    format!("{before}{after}")
}

/// A part of a page as a person reads it: without its tags.
#[track_caller]
fn text(page: &str, section: &str) -> String {
    let rest = page.split_once(&format!("<section id=\"{section}\"")).unwrap_or_else(|| panic!("no {section}")).1;
    let part = rest.split_once("</section>").expect("its end").0.split_once('>').expect("its tag").1;
    let mut out = String::new();
    for piece in part.split('<') {
        out.push_str(piece.split_once('>').map_or(piece, |(_, text)| text));
        out.push(' ');
    }
    out.split_whitespace().collect::<Vec<&str>>().join(" ").replace("&#39;", "'")
}

fn links(page: &str) -> Vec<String> {
    page.split("href=\"").skip(1).map(|rest| rest.split('"').next().expect("an address").to_string()).collect()
}

/// Interrupts a command when it has written a line with that.
#[cfg(unix)]
fn interrupted(place: &Place, arguments: &[&str], line: &str) -> Finished {
    use std::io::{BufRead, BufReader, Read};
    let mut command = place.command(arguments);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it starts");
    let mut lines = BufReader::new(child.stdout.take().expect("a pipe"));
    let mut stdout = String::new();
    while !stdout.contains(line) {
        assert!(lines.read_line(&mut stdout).expect("text") > 0, "{stdout}");
    }
    let killed = Command::new("kill").args(["-INT", &child.id().to_string()]).status().expect("kill");
    assert!(killed.success());
    lines.read_to_string(&mut stdout).expect("text");
    let mut finished = Finished::of(&child.wait_with_output().expect("it ends"));
    finished.stdout = stdout;
    finished
}

#[test]
fn a_campaign_with_failures_tells_each_and_links_to_pages_that_are_there() {
    let place = Place::new();
    let file = place.scenario("two-faults", "");
    let arguments = ["explore", &file, "--report", "pages", "--out", "found"];
    let finished = place.json(&arguments).expect(100);
    assert_eq!(finished.summary()["page"], "pages/index.html");
    let page = place.page("pages/index.html");
    let links = links(&page);
    assert_eq!(links, ["./two-faults-error-0x1.html", "./two-faults-panic-0x4.html"].map(str::to_string));
    for link in &links {
        place.page(&format!("pages/{link}"));
    }
    let failed = text(&page, "failures");
    assert!(failed.contains("error fails in 9 of 100 runs (9.0 %)"), "{failed}");
    assert!(failed.contains("panic fails in 7 of 100 runs (7.0 %)"), "{failed}");
    assert!(failed.contains("Smallest seeds 0x1, ") && failed.contains("found/two-faults/error-0x1.toml"), "{failed}");
    assert!(page.contains("<bdi>error and panic fail, in 16 of 100 runs</bdi>"), "the verdict");
    let repeats = text(&page, "determinism");
    assert!(repeats.contains("Seed 0x0, the first, repeats itself"), "{repeats}");
    // All failures, of which the one seed in a hundred, 99, is one.
    let failed = finished.summary()["failures"].clone();
    let seeds: Vec<&str> = failed.as_array().expect("a list").iter().filter_map(|one| one["seed"].as_str()).collect();
    assert!(seeds.len() == 16 && seeds.contains(&"0x63"), "{seeds:?}");
    assert!(repeats.contains("16 runs were made a second time"), "{repeats}");
    let unchecked = text(&page, "unchecked");
    assert!(unchecked.contains("14 failures were not shrunk"), "{unchecked}");
    // What was kept then is run the next time.
    place.squall(&["explore", &file, "--seeds", "0..5"]).expect(100);
    let finished = place.squall(&["explore", &file, "--seeds", "20..21", "--report", "pages"]).expect(100);
    assert!(finished.stdout.contains("the page of all this: pages/index.html"), "{}", finished.stdout);
    let kept = text(&place.page("pages/index.html"), "kept");
    assert!(kept.contains("2 failures run again before the seeds: 2 still fail, 0 fixed"), "{kept}");
    assert!(kept.contains("✗ still fails, the same run error squall-regressions/two-faults/error-0x1.toml"), "{kept}");
}

#[test]
fn a_page_without_failures_says_how_many_runs_were_another() {
    let place = Place::new();
    let file = place.scenario("calm", "");
    let finished = place.json(&["explore", &file, "--report", "pages"]).expect(0);
    assert_eq!(finished.summary()["page"], "pages/index.html");
    let page = place.page("pages/index.html");
    assert!(page.contains("<bdi>Every property held in all of 100 runs</bdi>"));
    assert!(text(&page, "saturation").contains("100 runs, and in all of them the same happens."));
    assert!(text(&page, "latency").contains("Clients neither recorded a history nor made calls."));
    assert!(text(&page, "determinism").contains("1 run was made a second time, and gave the same digest:"));
    assert!(page.contains("shrinking included"));
    // Without shrinking there are no pages of failures, and without --report there is none.
    let failing = place.scenario("two-faults", "");
    place.squall(&["explore", &failing, "--report", "whole", "--no-shrink", "--no-check"]).expect(100);
    let page = place.page("whole/index.html");
    assert_eq!(links(&page), Vec::<String>::new());
    assert_eq!(std::fs::read_dir(place.path("whole")).expect("a directory").count(), 1);
    assert!(text(&page, "failures").contains("Seed 0x1 was not shrunk.") && !page.contains("shrinking included"));
    assert!(text(&page, "determinism").contains("The first seed's run was not checked."));
    assert!(place.json(&["explore", &file]).expect(0).summary().get("page").is_none());
}

/// The verdict on the page goes by what the exit code goes by.
#[test]
fn the_verdict_is_that_of_the_exit_code() {
    let place = Place::new();
    for (program, more, code, word, said) in [
        ("calm", "", 0, "PASS", "Every property held in all of 100 runs"),
        ("two-faults", "expect = \"panic\"\n", 100, "FAIL", "error fails, in 9 of 100 runs"),
        ("calm", "expect = \"panic\"\n", 100, "FAIL", "panic is there to fail, but in 100 runs it didn&#39;t"),
        (
            "careless",
            "expect = \"careful\"\n",
            0,
            "AS EXPECTED",
            "careful fails in 100 of 100 runs, as it is to, and nothing else does",
        ),
        ("silent", "", 120, "UNKNOWN", "No property failed in 100 runs; nobody can say what 100 of them come to"),
        ("counting", "", 110, "FAIL", "Not deterministic: a second run of seed 0x0 was another one"),
    ] {
        let text = format!("program = \"{program}\"\n{more}");
        place.write("world.toml", &format!("{text}seeds = \"0..100\"\n"));
        place.squall(&["explore", "world.toml", "--report", "pages", "--no-shrink"]).expect(code);
        let page = place.page("pages/index.html");
        assert!(
            page.contains(&format!(">{word}</span> <bdi>{said}</bdi>")),
            "{program}: {}",
            &page[page.find("<h1>").expect("a heading")..][..300]
        );
    }
    place.squall(&["explore", "world.toml", "--report", "pages", "--seeds", "5..5"]).expect(4);
    let page = place.page("pages/index.html");
    assert!(page.contains(">UNKNOWN</span> <bdi>Nothing ran</bdi>"));
    assert!(text(&page, "failures").contains("Nothing ran.") && text(&page, "latency").contains("Nothing ran."));
    place.write("world.toml", "program = \"silent\"\nseeds = \"0..100\"\n");
    place.squall(&["explore", "world.toml", "--report", "pages"]).expect(120);
    let unchecked = text(&place.page("pages/index.html"), "unchecked");
    assert!(
        unchecked.contains("Property is never said was left open in some runs, first in that of seed 0x0"),
        "{unchecked}"
    );
}

#[test]
fn all_but_the_clock_is_the_same_for_any_number_of_jobs() {
    let place = Place::new();
    for (program, code, more) in [
        ("two-faults", 100, &[][..]),
        ("two-faults", 100, &["--max-failures", "3"]),
        ("recording", 0, &["--set", "args.unknown=2"]),
        ("undecided", 100, &["--set", "isolation=process"]),
    ] {
        let file = place.scenario(program, "");
        let pages = ["1", "3"].map(|jobs| {
            let arguments =
                ["explore", &file, "--seeds", "0..60", "--report", "pages", "--out", "found", "--jobs", jobs];
            let _ = std::fs::remove_dir_all(place.path("found"));
            place.squall(&[&arguments[..], more].concat()).expect(code);
            timeless(&place.page("pages/index.html"))
        });
        assert_eq!(pages[0], pages[1], "{program} {more:?}");
    }
    let file = place.scenario("recording", "");
    let pages = ["1", "3"].map(|jobs| {
        let vary = ["--vary", "network.latency=1ms,20ms", "--vary", "args.open=0,20"];
        let arguments = ["sweep", &file, "--seeds", "0..20", "--report", "sweep.html", "--jobs", jobs];
        place.squall(&[&arguments[..], &vary].concat()).expect(0);
        timeless(&place.page("sweep.html"))
    });
    assert_eq!(pages[0], pages[1]);
}

/// The latencies are those that `sweep` measures.
#[test]
fn latencies_are_those_of_a_sweep_and_what_has_no_answer_counts() {
    let place = Place::new();
    let file = place.scenario("recording", "");
    let seeds = ["--seeds", "0..40", "--set", "args.unknown=5", "--set", "args.open=3", "--no-check"];
    let swept =
        place.json(&[&["sweep", &file, "--vary", "network.latency=5ms", "--report", "s.html"], &seeds[..]].concat());
    let cell = swept.expect(0).lines().into_iter().find(|line| line["event"] == "cell").expect("a cell");
    place.squall(&[&["explore", &file, "--report", "pages", "--set", "network.latency=5ms"], &seeds[..]].concat());
    let said = text(&place.page("pages/index.html"), "latency");
    let operations = &cell["operations"];
    assert!(operations["unanswered"].as_u64().is_some_and(|count| count > 0), "{operations}");
    let wanted = format!(
        "{} operations of the clients’ histories in all runs: {} answered, {} never",
        operations["count"], operations["answered"], operations["unanswered"]
    );
    assert!(said.contains(&wanted), "{said} has no {wanted}");
    assert_eq!(cell["latency_ns"]["max"], serde_json::Value::Null);
    assert!(said.contains("max never"), "{said}");
    assert!(text(&place.page("s.html"), "table").contains("never"));
}

#[test]
fn shards_have_pages_of_their_own_and_the_merge_links_to_those_of_failures() {
    let place = Place::new();
    let file = place.scenario("two-faults", "");
    let mut shards = Vec::new();
    for shard in ["1/2", "2/2"] {
        let arguments = ["explore", &file, "--shard", shard, "--out", "shards", "--report", "pages"];
        let finished = place.json(&arguments).expect(100);
        let name = format!("pages/shard-{}-of-2.html", &shard[..1]);
        assert_eq!(finished.summary()["page"], *name);
        assert!(place.page(&name).contains("one part of the seeds"));
        let written = finished.lines().into_iter().find(|line| line["event"] == "shard-written").expect("a shard");
        shards.push(written["file"].as_str().expect("a path").to_string());
    }
    assert!(!place.path("pages/index.html").exists());
    let merge = ["merge", &shards[0], &shards[1], "--out", "merged", "--report", "pages"];
    assert_eq!(place.json(&merge).expect(100).summary()["page"], "pages/index.html");
    let page = place.page("pages/index.html");
    assert_eq!(links(&page).len(), 2);
    for link in links(&page) {
        place.page(&format!("pages/{link}"));
    }
    assert!(page.contains("<bdi>error and panic fail, in 16 of 100 runs</bdi>"));
    assert!(text(&page, "failures").contains("error fails in 9 of 100 runs"));
    assert!(text(&page, "latency").contains("shards don't keep them"));
    assert!(text(&page, "saturation").contains("shards don't keep what is needed"));
    // Where no pages of failures are, none is linked to.
    place.squall(&["merge", &shards[0], &shards[1], "--out", "merged", "--report", "elsewhere"]).expect(100);
    assert_eq!(links(&place.page("elsewhere/index.html")), Vec::<String>::new());
    place.write("taken", "in the way");
    let finished = place.squall(&["merge", &shards[0], &shards[1], "--out", "merged", "--report", "taken"]).expect(1);
    assert!(finished.stderr.contains("taken can't be written") && finished.stdout.is_empty(), "{finished:?}");
}

#[cfg(unix)]
#[test]
fn what_is_interrupted_has_a_page_that_says_so() {
    let place = Place::new();
    let file = place.scenario("two-faults", "");
    let explore = ["explore", &file, "--seeds", "0..1000000000", "--report", "pages", "--message-format", "json"];
    let finished = interrupted(&place, &explore, "\"event\":\"failure\"").expect(130);
    assert_eq!(finished.summary()["page"], "pages/index.html");
    let page = place.page("pages/index.html");
    let runs = &finished.summary()["runs"];
    assert!(page.contains(&format!("Interrupted: {runs} of 1000000000 runs were counted")), "{runs}");
    assert!(text(&page, "unchecked").contains("it was interrupted"));
    assert!(text(&page, "failures").contains("error fails in "));

    let file = place.scenario("calm", "");
    let vary = ["--vary", "network.latency=1ms..=1s:1000", "--seeds", "0..2000", "--jobs", "1", "--no-check"];
    let sweep = ["sweep", &file, "--report", "sweep.html", "--message-format", "json"];
    let finished = interrupted(&place, &[&sweep[..], &vary].concat(), "\"cell\":0").expect(130);
    assert_eq!(finished.summary()["page"], "sweep.html");
    let page = place.page("sweep.html");
    assert!(page.contains("It ended early: it was interrupted."), "it says so");
    assert!(page.contains("class=\"none\""), "cells that were not run are empty");
    assert!(page.contains(" run, of 1000</bdi>"), "and aren't all");
}

#[test]
fn what_can_not_be_written_is_an_error_and_all_is_told_the_same() {
    let place = Place::new();
    let file = place.scenario("two-faults", "");
    std::fs::create_dir_all(place.path("pages/index.html")).expect("a directory");
    let finished = place.json(&["explore", &file, "--report", "pages"]).expect(1);
    assert!(finished.stderr.contains("pages/index.html can't be written"), "{}", finished.stderr);
    let summary = finished.summary();
    assert_eq!((&summary["failed"], summary.get("page")), (&16.into(), None));
    // The pages of failures are there.
    assert!(place.path("pages/two-faults-error-0x1.html").is_file());
    for arguments in [
        &["sweep", &*file, "--vary", "network.loss=0%,1%", "--report", "two-faults.toml/page.html"][..],
        &["sweep", &*file, "--vary", "network.loss=0%,1%", "--report", "pages"],
        &["explore", &*file, "--report", "two-faults.toml"],
    ] {
        let finished = place.squall(arguments).expect(1);
        assert!(finished.stdout.is_empty() && finished.stderr.contains("can't be written"), "{finished:?}");
    }
    place.squall(&["sweep", &file, "--vary", "network.loss=0%,1%", "--report", "/dev/stdout"]).expect(2);
    // As by the other commands that write one page, no directory is made for it, and what is said names what was asked for.
    for command in [&["sweep", &*file, "--vary", "network.loss=0%,1%"][..], &["run", &*file]] {
        let finished = place.squall(&[command, &["--report", "nowhere/page.html"]].concat()).expect(1);
        assert!(finished.stdout.is_empty(), "{finished:?}");
        assert!(finished.stderr.contains("nowhere/page.html can't be written: No such file"), "{}", finished.stderr);
        assert!(!finished.stderr.contains(".squall-") && !place.path("nowhere").exists(), "{}", finished.stderr);
    }
}

/// What was found is told as it was found, where it couldn't be saved; and the page doesn't say that all is well.
#[test]
fn what_was_shrunk_and_could_not_be_saved_is_told_as_shrunk() {
    let place = Place::new();
    place.write("squall-regressions", "in the way");
    let expected =
        "careful fails in 100 of 100 runs, as it is to, and nothing else does, but the command ended with an error";
    for (program, more, word, said) in [
        ("careless", "expect = \"careful\"\n", "UNKNOWN", expected),
        ("two-faults", "", "FAIL", "error and panic fail, in 16 of 100 runs"),
    ] {
        let file = place.scenario(program, more);
        place.squall(&["explore", &file, "--report", program]).expect(1);
        let page = place.page(&format!("{program}/index.html"));
        assert!(page.contains(&format!(">{word}</span> <bdi>{said}</bdi>")), "{program}");
        let failed = text(&page, "failures");
        assert!(
            !failed.contains("was not shrunk") && failed.contains("It couldn't be saved: the command runs"),
            "{failed}"
        );
        assert!(!links(&page).is_empty());
        for link in links(&page) {
            place.page(&format!("{program}/{link}"));
        }
    }
}

#[test]
fn a_kept_failure_that_fails_as_it_is_to_is_what_was_expected() {
    let place = Place::new();
    let file = place.scenario("two-faults", "expect = \"error\"\n");
    place.squall(&["explore", &file, "--seeds", "1..2"]).expect(0);
    let finished = place.squall(&["explore", &file, "--seeds", "20..21", "--report", "pages"]).expect(0);
    assert!(finished.stdout.contains("as expected: error failed"), "{}", finished.stdout);
    let said = "error fails in a failure that was kept, as it is to; no property failed in 1 run";
    assert!(place.page("pages/index.html").contains(&format!(">AS EXPECTED</span> <bdi>{said}</bdi>")));
}

#[test]
fn a_sweep_has_a_page_of_as_many_maps_as_its_keys_ask_for() {
    let place = Place::new();
    let file = place.scenario("recording", "");
    let vary = |more: &[&str]| {
        let arguments = ["sweep", &file, "--seeds", "0..3", "--no-check", "--report", "s.html"];
        let finished = place.json(&[&arguments[..], more].concat()).expect(0);
        assert_eq!(finished.summary()["page"], "s.html");
        place.page("s.html")
    };
    let maps = |page: &str| page.matches("class=\"map\"").count();
    let one = vary(&["--vary", "network.latency=1ms,2ms,3ms"]);
    assert_eq!((maps(&one), one.matches("<section id=\"chart\"").count()), (2, 1));
    let two = vary(&["--vary", "network.latency=1ms,2ms,3ms", "--vary", "network.loss=0%,1%"]);
    assert_eq!((maps(&two), two.matches("<section id=\"chart\"").count()), (2, 0));
    let three =
        ["--vary", "network.duplicate=0%,1%", "--vary", "network.latency=1ms,2ms,3ms", "--vary", "network.loss=0%,1%"];
    let page = vary(&three);
    assert_eq!(maps(&page), 4);
    assert!(text(&page, "verdict").contains("network.duplicate=1%"));
    // A table of all is there in any case.
    assert_eq!(text(&page, "table").matches("3 3 0 0 %").count(), 12);
    // Of a threshold in each of several combinations maps have the values of the scan.
    let impatient = place.scenario("impatient", "");
    let find = ["--find", "network.latency=1ms..=200ms", "--vary", "args.calls=2,3", "--seeds", "0..5", "--no-check"];
    place.squall(&[&["sweep", &impatient, "--report", "f.html"], &find[..]].concat()).expect(0);
    let page = place.page("f.html");
    assert_eq!(maps(&page), 2);
    assert!(text(&page, "thresholds").contains("95 % confidence"), "{}", text(&page, "thresholds"));
    assert!(text(&page, "verdict").contains("values of network.latency that were tried between the others"));
}
