//! `junit.xml` of a gate: a suite with a case per metric, and the suites of its trials.

use quick_junit::{NonSuccessKind, Report, SerializeError, TestCase, TestCaseStatus, TestSuite};

use super::{finding, reasons};
use crate::gate::checks::{Check, CheckVerdict};
use crate::gate::record::GateRecord;
use crate::gate::verdict::GateVerdict;
use crate::report::{junit, scrub};
use crate::trial::record::RunRecord;

/// The document.
///
/// # Errors
/// When the XML cannot be written.
pub fn xml(run: &RunRecord, gate: &GateRecord, verdict: &GateVerdict) -> Result<String, SerializeError> {
    let mut report: Report = junit::report(run);
    if !verdict.checks.is_empty() {
        let mut suite = TestSuite::new("gate");
        let why = reasons(verdict).join("\n");
        for check in &verdict.checks {
            suite.add_test_case(case(check, &gate.work.scenario, &why));
        }
        report.add_test_suite(suite);
    }
    report.to_string()
}

fn case(check: &Check, scenario: &str, why: &str) -> TestCase {
    let text = scrub(&finding(check));
    let status = match check.verdict {
        CheckVerdict::Pass | CheckVerdict::Improvement => TestCaseStatus::success(),
        // What stays open is no pass and no failure.
        CheckVerdict::NotJudged | CheckVerdict::Inconclusive => {
            let mut status = TestCaseStatus::skipped();
            status.set_message(if check.reason.is_empty() { text.clone() } else { scrub(&check.reason) });
            status
        }
        CheckVerdict::Missing | CheckVerdict::Regression => {
            let kind =
                if check.verdict == CheckVerdict::Missing { NonSuccessKind::Error } else { NonSuccessKind::Failure };
            let mut status = TestCaseStatus::non_success(kind);
            status.set_message(text.clone());
            status.set_type(check.verdict.name());
            status.set_description(scrub(&format!("{text}\n\n{why}")));
            status
        }
    };
    let mut case = TestCase::new(check.label(), status);
    case.set_classname(scrub(&format!("{scenario}.gate")));
    if matches!(check.verdict, CheckVerdict::Pass | CheckVerdict::Improvement) {
        case.set_system_out(text);
    }
    case
}
