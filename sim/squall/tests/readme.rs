//! The README's example, and what the README says about it.

use serde::{Deserialize, Serialize};
use squall::net::Endpoint;
use squall::prelude::*;

#[derive(Serialize, Deserialize, squall::Request)]
#[rtype(())]
struct Pay {
    order: u64,
}

async fn bank() -> std::io::Result<()> {
    let endpoint = Endpoint::bind("0.0.0.0:80").await?;
    endpoint.add_rpc_handler(|pay: Pay| async move { squall::publish("paid", pay) });
    std::future::pending().await
}

async fn shop() -> std::io::Result<()> {
    let endpoint = Endpoint::bind("0.0.0.0:0").await?;
    // No answer in time: ask again. Was the request lost, or the answer?
    while endpoint.call_timeout("bank:80", Pay { order: 7 }, 50.ms()).await.is_err() {}
    Ok(())
}

#[squall::test(seeds = 1_000)]
#[should_panic(expected = "order 7 was paid 2 times")]
fn an_order_is_paid_once(world: &mut World) {
    world.node("bank", bank);
    world.client("shop", shop);
    world.link("shop", "bank").latency(uniform(1.ms(), 10.ms())).loss(percent(5));
    world.check(always("paid-once", 0).on("paid", |times, pay: Pay| {
        *times += 1;
        ensure!(*times == 1, "order {} was paid {times} times", pay.order);
        Ok(())
    }));
}

#[test]
fn the_readme_shows_this_example() {
    let readme = include_str!("../../../README.md");
    let (_, rest) = include_str!("readme.rs").split_once("use serde").expect("the imports");
    let (shown, _) = rest.split_once("\n#[test]").expect("this test");
    let shown: String = format!("use serde{shown}")
        .lines()
        .filter(|line| !line.starts_with("#[should_panic"))
        .fold(String::new(), |text, line| text + line + "\n");
    assert!(readme.contains(shown.trim_end()), "the README's example isn't that of tests/readme.rs:\n{shown}");
}

#[test]
fn the_readme_shows_what_its_test_says() {
    let readme = include_str!("../../../README.md");
    let (_, behind) = readme.split_once("```text\nSQUALL_SEED=").expect("a sample");
    let (sample, _) = behind.split_once("```").expect("its end");
    let mut again = std::process::Command::new(std::env::current_exe().expect("this program"));
    for variable in ["SQUALL_SEED", "SQUALL_SEEDS", "SQUALL_JOBS"] {
        again.env_remove(variable);
    }
    let output = again.args(["an_order_is_paid_once", "--exact", "--nocapture"]).output().expect("it starts");
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    let shown: Vec<&str> = sample.lines().skip(1).filter(|line| *line != "…").collect();
    assert!(shown.len() > 15, "{sample}");
    for line in shown {
        assert!(said.lines().any(|printed| printed == line), "README.md has {line:?}, but the test says:\n{said}");
    }
    let (_, behind) = readme.split_once("```text\nFAIL ").expect("what it comes down to");
    let (shrunk, _) = behind.split_once("```").expect("its end");
    // How long it took varies.
    let untimed =
        |line: &str| line.rsplit_once(", ").filter(|(_, time)| time.ends_with(" s)")).map(|(line, _)| line.to_string());
    for line in format!("FAIL {shrunk}").lines() {
        let line = untimed(line).unwrap_or_else(|| line.to_string());
        assert!(
            said.lines().any(|printed| printed.starts_with(&line)),
            "README.md has {line:?}, but the test says:\n{said}"
        );
    }
    let (command, _) = sample.split_once('\n').expect("a line");
    assert!(said.contains(&format!("SQUALL_SEED={command}")), "README.md has {command:?}, but the test says:\n{said}");
}
