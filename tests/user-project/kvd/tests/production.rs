//! The binary as it is in production: its signals, and what it is built of.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use kvd::Client;

/// The service with its log in that folder, as soon as it listens, and its address.
fn start(folder: &Path) -> (Child, String) {
    let mut kvd = Command::new(env!("CARGO_BIN_EXE_kvd"));
    let mut child = kvd.current_dir(folder).args(["127.0.0.1:0", "kvd.log"]).stdout(Stdio::piped()).spawn().unwrap();
    let mut address = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut address).unwrap();
    (child, address.trim_end().to_string())
}

#[tokio::test]
async fn a_signal_ends_it_and_a_kill_loses_nothing() {
    let place = tempfile::tempdir().unwrap();
    for (name, number) in [("KILL", 9), ("TERM", 15), ("INT", 2)] {
        let (mut child, address) = start(place.path());
        let mut client = Client::connect(&address).await.unwrap();
        client.set(name, "set", None).await.unwrap();
        let kill = Command::new("kill").args([format!("-{number}"), child.id().to_string()]).status().unwrap();
        assert!(kill.success());
        assert_eq!(child.wait().unwrap().success(), name != "KILL", "SIG{name}");
    }
    let (mut child, address) = start(place.path());
    let mut client = Client::connect(&address).await.unwrap();
    for name in ["KILL", "TERM", "INT"] {
        assert_eq!(client.get(name).await.unwrap().as_deref(), Some("set"));
    }
    child.kill().unwrap();
    child.wait().unwrap();
}

/// Squall is there for tests alone.
#[test]
fn nothing_of_squall_is_in_it() {
    let tree = |edges: &str| {
        let mut cargo = Command::new(env!("CARGO"));
        cargo.current_dir(env!("CARGO_MANIFEST_DIR")).args(["tree", "--offline", "--locked", "--prefix", "none"]);
        let output = cargo.args(["--package", "kvd", "--edges", edges]).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    let is_of_squall = |line: &str| line.starts_with("squall");
    assert!(tree("normal,build,dev").lines().any(is_of_squall), "so it would be seen");
    let normal = tree("normal,build");
    assert!(normal.starts_with("kvd ") && !normal.lines().any(is_of_squall), "{normal}");
}
