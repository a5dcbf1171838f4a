//! Failures that are kept: what says nothing is told as stale, and nothing that somebody wrote is lost.

mod place;

use std::path::PathBuf;

use place::{Finished, Place};

/// A place with a kept failure of `answering`: one lost message, in the file that is named.
fn with_a_failure() -> (Place, String, String) {
    let place = Place::new();
    let scenario = place.scenario("answering", "");
    let summary = place.json(&["explore", &scenario, "--max-failures", "1"]).expect(100).summary();
    assert_eq!(summary["failures"][0]["perturbations"], 1);
    let file = summary["failures"][0]["file"].as_str().expect("a path").to_string();
    (place, scenario, file)
}

fn passing_seed(place: &Place, scenario: &str) -> String {
    let passes = |seed: &String| place.squall(&["run", scenario, "--seed", seed]).code == 0;
    (0..100).map(|seed| format!("{seed:#x}")).find(passes).expect("most do")
}

fn text(place: &Place, file: &str) -> String {
    std::fs::read_to_string(place.path(file)).expect("a file")
}

/// Rewrites a file: each of the texts must be in it.
fn edit(place: &Place, file: &str, edits: &[(&str, &str)]) {
    let mut said = text(place, file);
    for (from, to) in edits {
        assert!(said.contains(from), "{from} isn't in {said}");
        said = said.replace(from, to);
    }
    std::fs::write(place.path(file), said).expect("a file");
}

/// What was printed to both, in one line: texts are wrapped.
fn said(finished: &Finished) -> String {
    let all = format!("{}\n{}", finished.stdout, finished.stderr);
    all.split_whitespace().filter(|word| *word != "│").collect::<Vec<_>>().join(" ")
}

fn files_beside(place: &Place, file: &str) -> Vec<String> {
    let directory = place.path(file).parent().expect("a directory").to_path_buf();
    let names = std::fs::read_dir(directory).expect("a directory");
    let mut names: Vec<String> =
        names.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

/// Whatever a run comes to, it says nothing of a property that nothing judges.
#[test]
fn a_property_that_the_program_does_not_have_makes_a_failure_stale() {
    let (place, scenario, file) = with_a_failure();
    let saved = text(&place, &file);
    let passing = passing_seed(&place, &scenario);
    // The property holds.
    edit(&place, &file, &[("value = 1", "value = 0")]);
    let gone = text(&place, &file);
    assert_eq!(place.json(&["replay", &file]).expect(0).summary()["outcome"], "gone");
    for name in ["answred", ""] {
        edit(&place, &file, &[("property = \"answered\"", &format!("property = \"{name}\""))]);
        let replayed = place.squall(&["replay", &file]).expect(125);
        assert!(said(&replayed).contains(&format!("the program has no property {name}, so")), "{replayed:?}");
        assert!(said(&replayed).contains("it has answered, and those of every run"), "{replayed:?}");
        assert_eq!(place.json(&["replay", &file]).expect(125).summary()["outcome"], "stale");
        let explored = place.squall(&["explore", &scenario, "--seed", &passing]).expect(125);
        assert!(said(&explored).contains("0 gone, 1 stale"), "{explored:?}");
        place.squall(&["shrink", &file]).expect(125);
        let refreshed = place.squall(&["regressions", "refresh"]).expect(125);
        assert!(said(&refreshed).contains("if the property has another name by now"), "{refreshed:?}");
        // Also where its entries match nothing: there is nothing to look for.
        edit(&place, &file, &[("number = ", "number = 7")]);
        let refreshed = place.squall(&["regressions", "refresh"]).expect(125);
        assert!(said(&refreshed).contains("if the property has another name by now"), "{refreshed:?}");
        std::fs::write(place.path(&file), &gone).expect("a file");
    }
    // The other way round: it is the program that calls it otherwise.
    std::fs::write(place.path(&file), &saved).expect("a file");
    place.scenario("answering", "[args]\nproperty = \"replied\"\n");
    let replayed = place.squall(&["replay", &file]).expect(125);
    assert!(said(&replayed).contains("it has replied, and those of every run (replied fails)"), "{replayed:?}");
    // What every run has is judged in every run.
    edit(&place, &file, &[("property = \"answered\"", "property = \"panic\""), ("value = 1", "value = 0")]);
    assert_eq!(place.json(&["replay", &file]).expect(0).summary()["outcome"], "gone");
}

#[test]
fn entries_that_match_nothing_are_told_with_the_reason() {
    let (place, _, file) = with_a_failure();
    let saved = text(&place, &file);
    let at = |key: &str| saved.find(key).unwrap_or_else(|| panic!("{key} isn't in {saved}"));
    let number = "number = ";
    let first = &saved[at("[[perturbation]]")..at("# end")];
    // One that changes nothing, of a message that nobody sends.
    let nowhere = first.replace(number, "number = 7").replace("value = 1", "value = 0");
    std::fs::write(place.path(&file), format!("{saved}{nowhere}")).expect("a file");
    let replayed = place.squall(&["replay", &file]).expect(125);
    assert!(
        said(&replayed).contains("stale: 1 of 2 perturbations matched nothing: though the run is the one"),
        "{replayed:?}"
    );
    // Before anything happens; and after all is over.
    std::fs::write(place.path(&file), saved.replace("weather =", "horizon_ns = 1\nweather =")).expect("a file");
    let replayed = place.squall(&["replay", &file]).expect(125);
    assert!(said(&replayed).contains("they lie behind the end that horizon_ns gives the run"), "{replayed:?}");
    let late = saved.replace("weather =", "horizon_ns = 9000000000\nweather =");
    std::fs::write(place.path(&file), late.replace("value = 1", "value = 0")).expect("a file");
    let replayed = place.squall(&["replay", &file]).expect(0);
    assert!(said(&replayed).contains("its horizon_ns, 9 s, does nothing: the run ends at"), "{replayed:?}");
    // Two of one decision.
    for again in [first.to_string(), first.replace("value = 1", "value = 0")] {
        std::fs::write(place.path(&file), format!("{saved}{again}")).expect("a file");
        let replayed = place.squall(&["replay", &file]).expect(2);
        assert!(said(&replayed).contains("its perturbations 1 and 2 are of the same decision"), "{replayed:?}");
    }
    // Without what it begins with it is no scenario.
    for rest in [saved.replace("format = 1\n", ""), saved[..40].to_string()] {
        std::fs::write(place.path(&file), rest).expect("a file");
        let replayed = place.squall(&["replay", &file]).expect(2);
        assert!(said(&replayed).contains("it is no failure file: those begin with `format = 1`"), "{replayed:?}");
    }
}

/// The same failure is found again, and a person has written in its file.
#[test]
fn what_was_written_in_a_file_is_kept_beside() {
    let (place, scenario, file) = with_a_failure();
    let saved = text(&place, &file);
    let name = PathBuf::from(&file).file_name().expect("a name").to_string_lossy().into_owned();
    let explore = || place.squall(&["explore", &scenario, "--max-failures", "1"]).expect(100);
    assert!(!said(&explore()).contains("said before"));
    assert_eq!(files_beside(&place, &file), [&*name]);
    let mut old = Vec::new();
    for (number, suffix) in [(1, ""), (2, ".2")] {
        edit(&place, &file, &[("value = 1", "value = 0"), ("# A failing", &format!("# {number}\n# A failing"))]);
        let edited = text(&place, &file);
        let aside = format!("{file}.old{suffix}");
        let explored = explore();
        assert!(said(&explored).contains(&format!("note: what {file} said before is in {aside}")), "{explored:?}");
        assert_eq!(text(&place, &file), saved);
        assert_eq!(text(&place, &aside), edited);
        old.push(format!("{name}.old{suffix}"));
    }
    explore();
    let mut expected = vec![name.clone()];
    expected.extend(old);
    assert_eq!(files_beside(&place, &file), expected);
    // Nobody loses what they asked to be shrunk.
    let seed = &name["answered-".len()..name.len() - ".toml".len()];
    let whole = format!("{}\n# end\n", saved[..saved.find("[[perturbation]]").expect("there is one")].trim_end());
    let whole = whole.replace("weather = \"calm\"", "weather = \"drawn\"");
    assert!(whole.contains(&format!("seed = \"{seed}\"")), "{whole}");
    std::fs::write(place.path(&file), &whole).expect("a file");
    place.squall(&["shrink", &file]).expect(0);
    assert_eq!((text(&place, &file), text(&place, &format!("{file}.old.3"))), (saved, whole));
}

/// It was proved, and it is still so: a search that had less time doesn't take its place.
#[test]
fn what_is_minimal_is_not_given_for_what_is_not() {
    let (place, scenario, file) = with_a_failure();
    let saved = text(&place, &file);
    assert!(saved.contains("minimal = \"pairs\""), "{saved}");
    let short = ["--max-failures", "1", "--shrink-runs", "1"];
    let explored = place.squall(&[&["explore", &scenario][..], &short].concat()).expect(100);
    assert!(said(&explored).contains(&format!("{file} stays")), "{explored:?}");
    assert!(explored.stdout.contains(&format!("replay {file}")), "{explored:?}");
    let parts: Vec<String> =
        (1..=2)
            .map(|part| {
                let shard = format!("{part}/2");
                let shard = ["explore", &scenario, "--shard", &shard, "--shrink-runs", "1", "--out", "shards"];
                place.json(&shard).lines().iter().find_map(|line| {
                    Some((line["event"] == "shard-written").then(|| line["file"].as_str())??.to_string())
                })
            })
            .map(|written| written.expect("it is written"))
            .collect();
    let merged = place.squall(&["merge", &parts[0], &parts[1]]).expect(100);
    assert!(said(&merged).contains(&format!("{file} stays")), "{merged:?}");
    assert_eq!((text(&place, &file), files_beside(&place, &file).len()), (saved.clone(), 1));
    // Where it isn't so any more, what was found is what there is.
    edit(&place, &file, &[("number = ", "number = 7")]);
    let explored = place.squall(&[&["explore", &scenario][..], &short].concat()).expect(100);
    assert!(said(&explored).contains(&format!("is in {file}.old")), "{explored:?}");
    assert!(text(&place, &file).contains("minimal = \"unproved\""), "{explored:?}");
    // And what is minimal takes its place.
    place.squall(&["explore", &scenario, "--max-failures", "1"]).expect(100);
    assert_eq!(text(&place, &file), saved);
}

/// Under other settings it is another failure.
#[test]
fn failures_of_other_settings_lie_beside_each_other() {
    let (place, scenario, file) = with_a_failure();
    let saved = text(&place, &file);
    let explore = |setting: &str| {
        let arguments = ["explore", &scenario, "--max-failures", "1", "--set", setting];
        let summary = place.json(&arguments).expect(100).summary();
        summary["failures"][0]["file"].as_str().expect("a path").to_string()
    };
    let (much, more) = (explore("network.loss=50%"), explore("network.loss=51%"));
    assert!(much != more && much != file && more != file, "{much} {more} {file}");
    assert_eq!(text(&place, &file), saved);
    for file in [file, much, more] {
        assert_eq!(place.json(&["replay", &file]).expect(100).summary()["outcome"], "same");
    }
}

/// A pipe or a device is written to, and neither read nor kept beside.
#[cfg(unix)]
#[test]
fn what_is_shrunk_goes_into_a_pipe() {
    let (place, _, file) = with_a_failure();
    let pipe = place.path("pipe");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().expect("mkfifo").success());
    let read = std::thread::spawn(move || std::fs::read_to_string(pipe).expect("text"));
    place.squall(&["shrink", &file, "--out", "pipe"]).expect(0);
    assert_eq!(read.join().expect("it reads"), text(&place, &file));
    std::os::unix::fs::symlink("/dev/null", place.path("null")).expect("a link");
    place.squall(&["shrink", &file, "--out", "null"]).expect(0);
    assert!(files_beside(&place, "pipe").iter().all(|name| !name.contains(".old")));
    place.squall(&["shrink", &file, "--out", "/dev/stdout"]).expect(2);
}

/// What can't be read, and what belongs to a test, keeps no other from being refreshed.
#[test]
fn all_that_is_stale_is_refreshed_whatever_lies_beside_it() {
    let (place, scenario, file) = with_a_failure();
    let passing = passing_seed(&place, &scenario);
    let kept = place.path("squall-regressions");
    let saved = text(&place, &file);
    let seed = saved.lines().find_map(|line| line.strip_prefix("seed = ")).expect("it has one").trim_matches('"');
    // A failure of another message, with a seed that passes, and a comment.
    std::fs::remove_file(place.path(&file)).expect("it is there");
    let flow = saved.lines().find(|line| line.starts_with("flow = ")).expect("it has one");
    let other = saved.replace(&format!("seed = \"{seed}\""), &format!("seed = \"{passing}\""));
    let stale = format!("# seen on Monday\n{}", other.replace(flow, "flow = \"0000000000000001\""));
    let named = format!("answered-{passing}.toml");
    place.write(&format!("squall-regressions/answering/{named}"), &stale);
    place.write("squall-regressions/answering/by-hand.toml", &stale);
    place.write(
        "squall-regressions/a.test/panic-0x1.toml",
        &saved.replace("file = ", "# file = ").replace("\"answering\"", "\"a::test\""),
    );
    place.write("squall-regressions/answering/a-junk.toml", "format = 1\njunk\n");
    let finished = place.json(&["regressions", "refresh"]).expect(2);
    let summary = finished.summary();
    let count = |key: &str| summary[key].as_u64().expect("a number");
    assert_eq!((count("files"), count("refreshed"), count("stale")), (2, 2, 0), "{summary}");
    assert_eq!((count("of_tests"), count("unreadable")), (1, 1), "{summary}");
    assert!(said(&finished).contains("a-junk.toml"), "{finished:?}");
    // Named by its seed, it is named by the new one; named by hand, it keeps its name. Comments are kept.
    let mut names = files_beside(&place, "squall-regressions/answering/by-hand.toml");
    names.retain(|name| name != "a-junk.toml");
    let name = names
        .iter()
        .find(|name| name.starts_with("answered-") && name.ends_with(".toml"))
        .expect("it is there")
        .clone();
    assert_ne!(name, named);
    let old = format!("{named}.old");
    let mut expected = [&*old, &*name, "by-hand.toml", "by-hand.toml.old"];
    expected.sort_unstable();
    assert_eq!(names, expected);
    for name in [&*old, "by-hand.toml.old"] {
        assert_eq!(std::fs::read_to_string(kept.join("answering").join(name)).expect("a file"), stale);
    }
    for name in [&*name, "by-hand.toml"] {
        let path = format!("squall-regressions/answering/{name}");
        assert_eq!(place.json(&["replay", &path]).expect(100).summary()["outcome"], "same");
    }
    std::fs::remove_file(kept.join("answering/a-junk.toml")).expect("it is there");
    let finished = place.squall(&["regressions", "refresh"]).expect(0);
    assert!(said(&finished).contains("not looked at: it is a failure of the test a::test"), "{finished:?}");
    assert!(said(&finished).contains("2 saved failures, 0 refreshed, 0 stale"), "{finished:?}");
    // Asked for by its name, it is a mistake.
    place.squall(&["regressions", "refresh", "squall-regressions/a.test/panic-0x1.toml"]).expect(2);
}

/// Who interrupts the search knows nothing of what the rest of it would have found.
#[cfg(unix)]
#[test]
fn a_search_that_is_interrupted_says_so() {
    let (place, _, file) = with_a_failure();
    let saved = text(&place, &file);
    let message = saved.lines().find(|line| line.starts_with("message = ")).expect("it has one");
    edit(&place, &file, &[("\"answering\"", "\"calm\""), ("answering.toml", "calm.toml"), (message, "message = \"\"")]);
    edit(&place, &file, &[("property = \"answered\"", "property = \"panic\"")]);
    place.scenario("calm", "");
    let refresh = ["regressions", "refresh", &file, "--seeds", "100000000"];
    let mut command = place.command(&refresh);
    let child =
        command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped()).spawn().expect("it starts");
    std::thread::sleep(std::time::Duration::from_secs(1));
    let killed = std::process::Command::new("kill").args(["-INT", &child.id().to_string()]).status().expect("kill");
    assert!(killed.success());
    let finished = Finished::of(&child.wait_with_output().expect("it ends")).expect(130);
    assert!(said(&finished).contains("it wasn't looked for to the end"), "{finished:?}");
    assert!(said(&finished).contains("1 saved failure, 0 refreshed, 1 stale"), "{finished:?}");
    assert!(!said(&finished).contains("if it is mended"), "{finished:?}");
    let few = place.squall(&["regressions", "refresh", &file, "--seeds", "10"]).expect(125);
    assert!(said(&few).contains("if it is mended, the file can go"), "{few:?}");
}

/// What still matches comes first: the failure that was saved, and no other one that is nearby.
#[test]
fn a_stale_failure_is_looked_for_in_what_it_says() {
    let (place, scenario, file) = with_a_failure();
    let passing = passing_seed(&place, &scenario);
    let saved = text(&place, &file);
    let at = |key: &str| saved.find(key).unwrap_or_else(|| panic!("{key} isn't in {saved}"));
    let first = &saved[at("[[perturbation]]")..at("# end")];
    let nowhere = first.replace("number = ", "number = 7");
    let seed = saved.lines().find(|line| line.starts_with("seed = ")).expect("it has one");
    // With that seed's weather nothing fails: what fails is what the file says.
    let stale = saved.replace("# end", &format!("{nowhere}# end")).replace(seed, &format!("seed = \"{passing}\""));
    std::fs::write(place.path(&file), stale).expect("a file");
    place.squall(&["replay", &file]).expect(125);
    place.squall(&["regressions", "refresh", &file, "--seeds", "0"]).expect(0);
    let refreshed = text(&place, &file);
    assert!(refreshed.contains(&format!("seed = \"{passing}\"")), "{refreshed}");
    assert!(refreshed.contains(first.trim()), "{refreshed}");
    assert_eq!(place.json(&["replay", &file]).expect(100).summary()["outcome"], "same");
}

/// Nor is it given the seed of another one that is kept.
#[test]
fn what_is_refreshed_leaves_the_others_alone() {
    let (place, scenario, file) = with_a_failure();
    let passing = passing_seed(&place, &scenario);
    let saved = text(&place, &file);
    let seed = saved.lines().find(|line| line.starts_with("seed = ")).expect("it has one");
    let flow = saved.lines().find(|line| line.starts_with("flow = ")).expect("it has one");
    // Of seeds before it that pass: the next that fails is the one that is kept.
    let stale = saved.replace(flow, "flow = \"0000000000000001\"");
    let of_passing = stale.replace(seed, &format!("seed = \"{passing}\""));
    for other in [saved.clone(), stale.clone()] {
        let beside = format!("squall-regressions/answering/answered-{passing}.toml");
        place.write(&beside, &of_passing);
        place.write(&file, &other);
        place.squall(&["regressions", "refresh"]).expect(0);
        let names = files_beside(&place, &file);
        assert!(names.len() == 2 && names.iter().all(|name| name.ends_with(".toml")), "{names:?}");
        assert_eq!(text(&place, &file), saved);
        for name in names {
            let path = format!("squall-regressions/answering/{name}");
            assert_eq!(place.json(&["replay", &path]).expect(100).summary()["outcome"], "same");
            std::fs::remove_file(place.path(&path)).expect("it is there");
        }
    }
}

/// In CI failures are written where they are uploaded from. Not everything that is said of CI says so.
#[test]
fn what_says_no_is_no_ci() {
    let place = Place::new();
    let scenario = place.scenario("answering", "");
    for (value, directory) in [
        ("true", "target/squall"),
        ("1", "target/squall"),
        ("false", "squall-regressions"),
        ("0", "squall-regressions"),
        ("", "squall-regressions"),
    ] {
        let mut command = place.command(&["explore", &scenario, "--max-failures", "1"]);
        let finished = Finished::of(&command.env("CI", value).output().expect("it starts")).expect(100);
        assert!(finished.stdout.contains(&format!("replay {directory}/answering/")), "CI={value:?}: {finished:?}");
        for written in ["target", "squall-regressions"] {
            assert_eq!(place.path(written).exists(), directory.starts_with(written), "CI={value:?}");
            let _ = std::fs::remove_dir_all(place.path(written));
        }
    }
}

/// Another checkout, another place to call from: the scenario is where the failure is, or above it.
#[test]
fn a_failure_finds_its_scenario_above_itself() {
    let (place, _, file) = with_a_failure();
    let saved = text(&place, &file);
    let relative = saved.replace("file = \"answering.toml\"", "file = \"scenarios/answering.toml\"");
    assert_ne!(saved, relative);
    place.write("checkout/scenarios/answering.toml", &text(&place, "answering.toml"));
    place.write("checkout/squall-regressions/answering/one.toml", &relative);
    let failure = "checkout/squall-regressions/answering/one.toml";
    assert_eq!(place.json(&["replay", failure]).expect(100).summary()["outcome"], "same");
    std::fs::remove_file(place.path("checkout/scenarios/answering.toml")).expect("it is there");
    let finished = place.squall(&["replay", failure]).expect(2);
    assert!(
        said(&finished).replace("/ ", "/").contains("its scenario scenarios/answering.toml isn't here, nor beside"),
        "{finished:?}"
    );
}

/// Whoever sorts what is kept into directories loses none of it.
#[test]
fn what_is_kept_in_a_directory_of_its_own_runs_too() {
    let (place, scenario, file) = with_a_failure();
    let kept = "squall-regressions/answering";
    for name in ["zero", "sub/two", "sub/deep/one"] {
        place.write(&format!("{kept}/{name}.toml"), &text(&place, &file));
    }
    std::fs::remove_file(place.path(&file)).expect("it is there");
    #[cfg(unix)]
    std::os::unix::fs::symlink("..", place.path(kept).join("sub/around")).expect("a link");
    let explored = place.json(&["explore", &scenario, "--seed", &passing_seed(&place, &scenario)]).expect(100);
    let told: Vec<String> = explored
        .lines()
        .iter()
        .filter(|line| line["event"] == "regression")
        .map(|line| line["file"].as_str().expect("a path").to_string())
        .collect();
    assert_eq!(told, ["sub/deep/one", "sub/two", "zero"].map(|name| format!("{kept}/{name}.toml")));
    assert_eq!(place.json(&["regressions", "refresh"]).expect(0).summary()["files"], 3);
    std::fs::create_dir(place.path("scenarios")).expect("a directory");
    std::fs::copy(&scenario, place.path("scenarios/answering.toml")).expect("it is there");
    let listed = place.command(&["--list"]).env("SQUALL_ODD_RUNNER", "1").output().expect("it starts");
    let listed = Finished::of(&listed).expect(0).stdout;
    for name in ["sub/deep/one", "sub/two", "zero"] {
        assert!(listed.contains(&format!("answering::regression::{name}: test")), "{listed}");
    }
    // What can't be read there isn't left out either.
    place.write(&format!("{kept}/sub/junk.toml"), "format = 1\njunk\n");
    let explored = place.squall(&["explore", "scenarios/answering.toml"]).expect(2);
    assert!(said(&explored).contains("sub/junk.toml"), "{explored:?}");
}

/// However the scenario was named, another checkout has it in the same place.
#[test]
fn a_failure_names_its_scenario_from_where_squall_runs() {
    let place = Place::new();
    place.write("checkout/below/answering.toml", &text(&place, &place.scenario("answering", "")));
    let absolute = place.path("checkout/below/answering.toml").display().to_string();
    let explored = |directory: &str, named: &str| {
        let mut command = place.command(&["explore", named, "--max-failures", "1", "--message-format", "json"]);
        let finished = Finished::of(&command.current_dir(place.path(directory)).output().expect("it starts"));
        let summary = finished.expect(100).summary();
        let saved = format!("{directory}/{}", summary["failures"][0]["file"].as_str().expect("a path"));
        let file = text(&place, &saved).lines().find(|line| line.starts_with("file = ")).map(str::to_string);
        (file.expect("it names one"), saved)
    };
    for named in
        [&*absolute, "./below/answering.toml", "below/../below/answering.toml", "../checkout/below/answering.toml"]
    {
        let (file, saved) = explored("checkout", named);
        assert_eq!(file, "file = \"below/answering.toml\"", "{named}");
        // The same on another checkout.
        place.write("other/below/answering.toml", &text(&place, "checkout/below/answering.toml"));
        std::fs::rename(place.path(&saved), place.path("other/failure.toml")).expect("it is there");
        let mut command = place.command(&["replay", "failure.toml", "--message-format", "json"]);
        let replayed = Finished::of(&command.current_dir(place.path("other")).output().expect("it starts"));
        assert_eq!(replayed.expect(100).summary()["outcome"], "same", "{named}");
    }
    std::fs::create_dir(place.path("elsewhere")).expect("a directory");
    assert_eq!(explored("elsewhere", &absolute).0, format!("file = \"{absolute}\""));
}

/// Two scenarios of one name share a directory: neither's failure is lost by the other's.
#[test]
fn a_failure_of_another_file_of_that_name_is_kept_beside() {
    let place = Place::new();
    let scenario = text(&place, &place.scenario("answering", ""));
    let explored = |directory: &str, more: &str| {
        let file = format!("{directory}/answering.toml");
        place.write(&file, &format!("{scenario}{more}"));
        place.json(&["explore", &file, "--max-failures", "1"]).expect(100)
    };
    // Of the same plan they come to the same, and are two all the same.
    let first = explored("a", "");
    let file = first.summary()["failures"][0]["file"].as_str().expect("a path").to_string();
    let of_a = text(&place, &file);
    let mut other = None;
    for more in ["", "[clock]\nepoch = \"2027-01-01T00:00:00Z\"\n"] {
        let second = explored("b", more);
        let named = second.summary()["failures"][0]["file"].as_str().expect("a path").to_string();
        assert!(named != file && named.starts_with(file.trim_end_matches(".toml")), "{named}");
        assert_eq!(*other.get_or_insert(named.clone()), named);
        let of_b = text(&place, &named);
        assert!(of_b.contains("file = \"b/answering.toml\""), "{of_b}");
        assert_eq!(text(&place, &file), of_a);
        // Each runs its own first, and no other's.
        for (directory, own, others) in [("a", &file, &named), ("b", &named, &file)] {
            let path = format!("{directory}/answering.toml");
            let again = place.json(&["explore", &path, "--max-failures", "1"]).expect(100);
            let note = "note: 1 failure below squall-regressions/answering are of other scenario files of that name";
            assert!(said(&again).contains(note), "{again:?}");
            let kept: Vec<_> = again
                .lines()
                .into_iter()
                .filter(|line| line["event"] == "regression")
                .map(|line| line["file"].clone())
                .collect();
            assert_eq!(kept, [serde_json::Value::from(&**own)], "{others}");
        }
        assert_eq!(text(&place, &file), of_a);
    }
}

/// A search that is cut short gives no failure that is proved to be minimal for one that isn't.
#[test]
fn what_is_minimal_stays_where_shrinking_is_cut_short() {
    let place = Place::new();
    let file = place.scenario("answering", "");
    let found = place.json(&["explore", &file, "--max-failures", "1"]).expect(100).summary();
    let saved = found["failures"][0]["file"].as_str().expect("a path").to_string();
    let before = text(&place, &saved);
    let cut = place.json(&["shrink", &saved, "--shrink-runs", "1"]).expect(0);
    assert_eq!(text(&place, &saved), before);
    assert!(said(&cut).contains("stays: it is minimal"), "{cut:?}");
    assert_eq!((&cut.summary()["outcome"], &cut.summary()["minimal"]), (&"same".into(), &true.into()));
    // Elsewhere it is written as it is.
    place.json(&["shrink", &saved, "--shrink-runs", "1", "--out", "cut.toml"]).expect(0);
    assert!(text(&place, "cut.toml").contains("minimal = \"unproved\""));
}

/// What a command has no use for, it doesn't take.
#[test]
fn options_that_would_do_nothing_are_refused() {
    let place = Place::new();
    for arguments in [&["diff", "a", "b", "--hang-after", "1s"][..], &["merge", "a", "--hang-after", "1s"]] {
        let finished = place.squall(arguments).expect(2);
        assert!(finished.stderr.contains("unexpected argument '--hang-after'"), "{finished:?}");
    }
    for (option, value) in [("--shrink-for", "1s"), ("--shrink-runs", "9")] {
        let finished = place.squall(&["explore", "a", "--no-shrink", option, value]).expect(2);
        assert!(finished.stderr.contains("cannot be used with"), "{finished:?}");
    }
}
