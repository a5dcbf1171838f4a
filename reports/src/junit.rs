//! What came of an exploration, as JUnit's XML, which most CI systems draw.

use quick_junit::{NonSuccessKind, Report, TestCase, TestCaseStatus, TestSuite};

/// One line of the result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Case {
    /// A property, or a failure that is kept.
    pub name: String,
    /// What came of it.
    pub status: Status,
}

/// What came of a [`Case`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Status {
    /// Nothing is wrong.
    Passed,
    /// Nothing was tried: why.
    Skipped(String),
    /// Something is wrong.
    Failed(Problem),
}

impl Case {
    /// What is wrong, if something is.
    #[must_use]
    pub fn problem(&self) -> Option<&Problem> {
        match &self.status {
            Status::Failed(problem) => Some(problem),
            Status::Passed | Status::Skipped(_) => None,
        }
    }
}

/// What is wrong with a [`Case`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// In a word: the property, `unknown`, `stale`.
    pub kind: String,
    /// In a line.
    pub message: String,
    /// At length, with the command that replays it.
    pub text: String,
}

/// A report of one suite, `suite`, that took so many seconds of real time. Characters that XML can't hold are left out.
///
/// # Errors
/// If it can't be written as XML, in words.
pub fn render_junit(suite: &str, seconds: f64, cases: &[Case]) -> Result<String, String> {
    let mut report = Report::new("squall");
    let mut test_suite = TestSuite::new(suite);
    let time = std::time::Duration::try_from_secs_f64(seconds).unwrap_or_default();
    test_suite.set_time(time);
    report.set_time(time);
    for case in cases {
        let status = match &case.status {
            Status::Passed => TestCaseStatus::success(),
            Status::Skipped(why) => {
                let mut status = TestCaseStatus::skipped();
                status.set_message(why.as_str());
                status
            }
            Status::Failed(Problem { kind, message, text }) => {
                let mut status = TestCaseStatus::non_success(NonSuccessKind::Failure);
                status.set_type(kind.as_str()).set_message(message.as_str()).set_description(text.as_str());
                status
            }
        };
        let mut test_case = TestCase::new(case.name.as_str(), status);
        test_case.set_classname(suite);
        test_suite.add_test_case(test_case);
    }
    report.add_test_suite(test_suite);
    report.to_string().map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_is_a_failure_with_all_that_is_said_of_it() {
        let problem = Problem {
            kind: "paid-once".to_string(),
            message: "payment 1 was made twice <&> \"so\"".to_string(),
            text: "in 83 of 1000 runs\u{1b}[31m\u{0}\nreplay: squall replay a&b.toml".to_string(),
        };
        let cases = [
            Case { name: "paid-once".to_string(), status: Status::Failed(problem.clone()) },
            Case { name: "a deadlock".to_string(), status: Status::Passed },
            Case { name: "never asked".to_string(), status: Status::Skipped("nothing ran".to_string()) },
        ];
        let text = render_junit("payments", 1.5, &cases).expect("XML");
        let report = Report::deserialize_from_str(&text).expect("it is read back");
        let suite = &report.test_suites[0];
        assert_eq!((suite.name.as_str(), suite.tests, suite.failures, suite.disabled), ("payments", 3, 1, 1));
        let TestCaseStatus::NonSuccess { message, ty, description, .. } = &suite.test_cases[0].status else {
            panic!("{text}");
        };
        assert_eq!(message.as_ref().map(|text| text.as_str()), Some(problem.message.as_str()));
        assert_eq!(ty.as_ref().map(|text| text.as_str()), Some("paid-once"));
        let description = description.as_ref().expect("text").as_str();
        assert_eq!(description, "in 83 of 1000 runs\nreplay: squall replay a&b.toml");
        assert!(matches!(suite.test_cases[1].status, TestCaseStatus::Success { .. }));
        let TestCaseStatus::Skipped { message, .. } = &suite.test_cases[2].status else { panic!("{text}") };
        assert_eq!(message.as_ref().map(|text| text.as_str()), Some("nothing ran"));
    }
}
