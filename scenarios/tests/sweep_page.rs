//! The examples of `docs/sweep.md` print what the page says.

use std::path::Path;
use std::process::Command;

const PAGE: &str = include_str!("../../docs/sweep.md");

/// Each command of the page with what stands below it as its output.
fn examples() -> Vec<(String, String)> {
    let mut examples = Vec::new();
    let mut blocks = PAGE.split("```").skip(1).step_by(2);
    while let Some(command) = blocks.next() {
        let command = command.strip_prefix("sh\n").unwrap_or_else(|| panic!("a command, found {command}"));
        let output = blocks.next().and_then(|block| block.strip_prefix("text\n")).expect("what it prints");
        examples.push((command.trim().to_string(), output.to_string()));
    }
    examples
}

/// What isn't the same each time: how long it took.
fn timeless(text: &str) -> String {
    let line = |line: &str| match line.split_once(" in ") {
        Some((counted, time)) if time.ends_with(" s") && counted.contains("cells, ") => format!("{counted}\n"),
        _ => format!("{}\n", line.trim_end()),
    };
    text.trim_end().lines().map(line).collect()
}

#[test]
fn every_example_prints_what_the_page_says() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the repository");
    let examples = examples();
    assert_eq!(examples.len(), 3, "of all examples");
    for (line, wanted) in examples {
        let arguments = line.strip_prefix("squall ").expect("a command of squall's").split(' ');
        let mut command = Command::new(env!("CARGO_BIN_EXE_squall"));
        for variable in ["SQUALL_SEED", "SQUALL_SEEDS", "SQUALL_HANG_AFTER", "GITHUB_ACTIONS"] {
            command.env_remove(variable);
        }
        // As if it were called by its name, on a machine of two processors.
        command.env("SQUALL_COMMAND_LINE", "squall").env("SQUALL_JOBS", "2");
        let output = command.args(arguments).current_dir(root).output().expect("it starts");
        let told = String::from_utf8(output.stdout).expect("UTF-8");
        assert_eq!(output.status.code(), Some(0), "{told}{}", String::from_utf8_lossy(&output.stderr));
        assert_eq!(timeless(&told), timeless(&wanted), "{line}");
    }
}
