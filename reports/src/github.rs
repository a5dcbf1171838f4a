//! What came of an exploration, for GitHub's pages: annotations and a step's summary.

use crate::junit::{Case, Problem};

/// GitHub shows so many annotations of a step.
pub const ANNOTATIONS_MAX: usize = 10;

/// GitHub takes a summary of 1 MiB a step; several explorations may share one.
pub const SUMMARY_BYTES_MAX: usize = 200_000;

/// Commands that make annotations, one a line, for the problems among `cases`. `file` is what they are shown at.
#[must_use]
pub fn annotations(suite: &str, file: &str, cases: &[Case]) -> Vec<String> {
    let problems = cases.iter().filter_map(Case::problem);
    let line = |problem: &Problem| {
        let (title, file) = (property(&format!("{suite}: {}", problem.kind)), property(file));
        // The text may begin with what is in the message.
        let more =
            problem.text.strip_prefix(&*problem.message).filter(|more| more.is_empty() || more.starts_with('\n'));
        let more = more.map_or_else(|| format!("\n{}", problem.text), str::to_string);
        format!("::error title={title},file={file}::{}", data(&format!("{}{more}", problem.message)))
    };
    problems.take(ANNOTATIONS_MAX).map(line).collect()
}

/// The summary of an exploration, in Markdown: what was run in a line, then each problem. It ends before
/// [`SUMMARY_BYTES_MAX`] and says how many it leaves out.
#[must_use]
pub fn summary(suite: &str, runs: &str, cases: &[Case]) -> String {
    let problems: Vec<&Problem> = cases.iter().filter_map(Case::problem).collect();
    let sign = if problems.is_empty() { "✅" } else { "❌" };
    let mut text = format!("### {sign} squall: {}\n\n{}\n\n", plain(suite), plain(runs));
    for (index, problem) in problems.iter().enumerate() {
        let fence = "`".repeat(longest_run_of_backticks(&problem.text).max(2) + 1);
        let said = format!(
            "**{}**: {}\n\n{fence}text\n{}\n{fence}\n\n",
            plain(&problem.kind),
            plain(&problem.message),
            problem.text.trim_end()
        );
        if text.len() + said.len() > SUMMARY_BYTES_MAX {
            text.push_str(&format!("… and {} more\n", problems.len() - index));
            break;
        }
        text.push_str(&said);
    }
    text
}

fn longest_run_of_backticks(text: &str) -> usize {
    text.split(|character| character != '`').map(str::len).max().unwrap_or(0)
}

/// What a program said, as one line of Markdown that means nothing but itself.
fn plain(text: &str) -> String {
    let mut plain = String::new();
    for character in text.chars() {
        match character {
            '\n' | '\r' => plain.push(' '),
            character if character.is_ascii_punctuation() => plain.extend(['\\', character]),
            character => plain.push(character),
        }
    }
    plain
}

/// As the message of a command.
fn data(text: &str) -> String {
    text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

/// As a property of a command.
fn property(text: &str) -> String {
    data(text).replace(':', "%3A").replace(',', "%2C")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::junit::Status;

    fn case(number: usize, text: &str) -> Case {
        let problem =
            Problem { kind: format!("p{number}"), message: "50% lost\nor so".to_string(), text: text.to_string() };
        Case { name: format!("p{number}"), status: Status::Failed(problem) }
    }

    #[test]
    fn annotations_are_commands_of_one_line_and_ten_at_the_most() {
        let mut cases: Vec<Case> = (0..10).map(|number| case(number, "replay: a\nb")).collect();
        cases.push(Case { name: "fine".to_string(), status: Status::Passed });
        let lines = annotations("pay,ments", "a:b.toml", &cases);
        assert_eq!(lines.len(), 10);
        assert_eq!(lines[0], "::error title=pay%2Cments%3A p0,file=a%3Ab.toml::50%25 lost%0Aor so%0Areplay: a%0Ab");
        // What the text begins with isn't said twice.
        let again = |text: &str| annotations("s", "f", &[case(0, &format!("50% lost\nor so{text}"))]).remove(0);
        assert_eq!(again("\nreplay: a"), "::error title=s%3A p0,file=f::50%25 lost%0Aor so%0Areplay: a");
        assert_eq!(again(""), "::error title=s%3A p0,file=f::50%25 lost%0Aor so");
        assert_eq!(again("mewhere"), "::error title=s%3A p0,file=f::50%25 lost%0Aor so%0A50%25 lost%0Aor somewhere");
        cases.push(case(10, ""));
        assert_eq!(annotations("s", "f", &cases).len(), 10);
    }

    #[test]
    fn a_summary_says_how_many_it_leaves_out() {
        let long = "x".repeat(SUMMARY_BYTES_MAX / 4);
        let cases: Vec<Case> = (0..5).map(|number| case(number, &long)).collect();
        let text = summary("s", "5 runs", &cases);
        assert!(text.len() <= SUMMARY_BYTES_MAX + 100 && text.ends_with("… and 2 more\n"), "{}", text.len());
        let text = summary("s", "5 runs", &cases[..3]);
        assert!(!text.contains("more") && text.matches("**p").count() == 3);
    }

    #[test]
    fn what_a_program_says_is_no_markup() {
        let text = summary("a*b", "1 run", &[case(1, "```\n<b>")]);
        assert!(text.contains("### ❌ squall: a\\*b") && text.contains("````text\n```\n<b>\n````"), "{text}");
        assert!(summary("a", "1 run", &[]).starts_with("### ✅"));
    }
}
