//! The comparison as a suite: a case per criterion and per judged metric.

use quick_junit::{NonSuccessKind, TestCase, TestCaseStatus, TestSuite};

use super::View;
use crate::report::scrub;
use crate::stats::{Finding, Met};

/// The suite. A regression or a missed criterion is a failure; what is inconclusive is skipped, or an error with `--strict`.
#[must_use]
pub fn suite(view: &View<'_>) -> TestSuite {
    let mut suite = TestSuite::new("comparison");
    for c in &view.results.criteria {
        let status = status(view, c.judged.then_some(c.met), &c.measured);
        suite.add_test_case(case(&c.criterion, status));
    }
    for (row, finding) in view.results.judged() {
        let met = match finding {
            Finding::Regression => Met::Missed,
            Finding::Inconclusive => Met::Inconclusive,
            Finding::Pass | Finding::Improvement => Met::Met,
        };
        suite.add_test_case(case(row.metric.label(), status(view, Some(met), &row.text())));
    }
    if suite.test_cases.is_empty() {
        // An empty suite would count as a pass.
        suite.add_test_case(case("pairs", non_success(NonSuccessKind::Error, "no pair was measured")));
    }
    suite
}

fn status(view: &View<'_>, met: Option<Met>, text: &str) -> TestCaseStatus {
    match met {
        Some(Met::Met) => TestCaseStatus::success(),
        Some(Met::Missed) => non_success(NonSuccessKind::Failure, text),
        Some(Met::Inconclusive) if view.spec.strict => non_success(NonSuccessKind::Error, text),
        Some(Met::Inconclusive) | None => {
            let mut status = TestCaseStatus::skipped();
            status.set_message(scrub(text));
            status
        }
    }
}

fn non_success(kind: NonSuccessKind, text: &str) -> TestCaseStatus {
    let mut status = TestCaseStatus::non_success(kind);
    status.set_message(scrub(text));
    status
}

fn case(name: &str, status: TestCaseStatus) -> TestCase {
    let mut case = TestCase::new(scrub(name), status);
    case.set_classname("comparison");
    case
}
