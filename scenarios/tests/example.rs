//! The example page (`reports/examples`): it is what the command line makes of its failure file now. Of its picture `tests/e2e` sees that it is of this page.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::Command;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

const FAILURE: &str = "reports/examples/stale-read.toml";

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the repository")
}

fn made() -> (tempfile::TempDir, PathBuf) {
    let place = tempfile::tempdir().expect("a directory");
    let page = place.path().join("page.html");
    let mut command = Command::new(env!("CARGO_BIN_EXE_squall"));
    for variable in ["SQUALL_SEED", "SQUALL_HANG_AFTER", "CARGO"] {
        command.env_remove(variable);
    }
    // As `reports/examples/regenerate` calls it.
    command.env("SQUALL_COMMAND_LINE", "cargo run --release --");
    let output = command.args(["report", FAILURE, "--out"]).arg(&page).current_dir(root()).output().expect("it starts");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}\n{}", String::from_utf8_lossy(&output.stderr));
    assert!(said.starts_with("same: "), "the failure is another by now: {said}");
    (place, page)
}

/// The page around the data, and the data.
fn parts(page: &str) -> (String, Value) {
    let (before, rest) = page.split_once("id=\"data\">").expect("it has data");
    let (data, after) = rest.split_once("</script>").expect("it has an end");
    let mut json = String::new();
    let compressed = STANDARD.decode(data).expect("base64");
    flate2::read::GzDecoder::new(&*compressed).read_to_string(&mut json).expect("gzip");
    (format!("{before}{after}"), serde_json::from_str(&json).expect("JSON"))
}

/// The build of the program is another after each edit of it, though the run is the same.
fn without_build(mut data: Value) -> Value {
    for fact in data["facts"].as_array_mut().expect("facts") {
        if fact[0] == "Versions" {
            let said = fact[1].as_str().expect("a text").to_string();
            let (version, build) = said.split_once(", build ").expect("it has a build");
            assert!(build.split(' ').next().is_some_and(|build| build.len() == 32), "{said}");
            fact[1] = version.into();
        }
    }
    data
}

#[test]
fn the_example_page_is_as_it_is_made() {
    let committed = std::fs::read_to_string(root().join("reports/examples/stale-read.html")).expect("a page");
    let (_kept, made) = made();
    let made = std::fs::read_to_string(made).expect("a page");
    let ((frame, data), (frame_made, data_made)) = (parts(&committed), parts(&made));
    let remedy = "reports/examples/stale-read.html is another page by now: run reports/examples/regenerate";
    assert!(frame == frame_made, "{remedy} (the page around the data)");
    let (data, data_made) = (without_build(data), without_build(data_made));
    let keys = data_made.as_object().expect("an object").keys();
    let differing: Vec<&String> = keys.filter(|key| data[key.as_str()] != data_made[key.as_str()]).collect();
    assert!(differing.is_empty() && data == data_made, "{remedy} (the data: {differing:?})");
    // Nothing of whoever made it is in it.
    let all = data.to_string();
    for place in [root().display().to_string(), std::env::temp_dir().display().to_string()] {
        assert!(!all.contains(&place), "{place}");
    }
}

#[test]
fn the_example_shows_what_there_is_to_be_seen() {
    let (_, data) = parts(&std::fs::read_to_string(root().join("reports/examples/stale-read.html")).expect("a page"));
    assert_eq!(data["verdict"]["property"], "linearizable");
    assert_eq!(data["causes"].as_array().expect("causes").len(), 1);
    assert!(data["passing"].is_object() && data["likelihood"]["inevitable"].is_number());
    let operations = data["operations"].as_array().expect("operations");
    assert_eq!(operations.iter().filter(|operation| operation["part"] == 0).count(), 1);
}
