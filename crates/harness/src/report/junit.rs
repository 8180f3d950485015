//! `junit.xml`: a suite per trial, a case per oracle. Violated is a failure, unknown an error, not judged is skipped.

use std::time::Duration;

use quick_junit::{NonSuccessKind, Report, SerializeError, TestCase, TestCaseStatus, TestSuite};

use crate::oracle::{Judgement, Verdict};
use crate::search::record::SearchRecord;
use crate::selftest::SelfTest;
use crate::trial::record::{RunRecord, TrialRecord};

use super::{compared, scrub, words};

/// The document.
///
/// # Errors
/// When the XML cannot be written.
pub fn xml(run: &RunRecord) -> Result<String, SerializeError> {
    report(run).to_string()
}

/// The document before it is written, for whoever has suites to add.
#[must_use]
pub fn report(run: &RunRecord) -> Report {
    let mut report = Report::new(scrub(&run.scenario));
    report.set_time(Duration::from_micros(run.run_us));
    if let Some(test) = &run.selftest {
        report.add_test_suite(of_selftest(test));
        return report;
    }
    if let Some(view) = compared::View::of(run) {
        report.add_test_suite(compared::junit::suite(&view));
    }
    for trial in &run.trials {
        report.add_test_suite(suite(run, trial));
    }
    if let Some(search) = &run.search {
        report.add_test_suite(points(run, search));
    } else if run.trials.is_empty() {
        // An empty document would count as a pass.
        let mut suite = TestSuite::new("no trial");
        suite.add_test_case(error("trials", &run.scenario, "No trial was recorded."));
        report.add_test_suite(suite);
    }
    report
}

/// A case per trial of the harness's test of itself, and one for the whole.
fn of_selftest(test: &SelfTest) -> TestSuite {
    let mut suite = TestSuite::new("selftest");
    for row in &test.rows {
        let mut status = TestCaseStatus::success();
        if let Some(why) = &row.failure {
            status = TestCaseStatus::non_success(NonSuccessKind::Failure);
            status.set_message(scrub(why));
        }
        let mut case = TestCase::new(scrub(&format!("{} under {}", row.name, row.scenario)), status);
        case.set_classname("selftest");
        suite.add_test_case(case);
    }
    let mut status = TestCaseStatus::success();
    if !test.passed() {
        status = TestCaseStatus::non_success(NonSuccessKind::Failure);
        status.set_message(scrub(&test.failures.join("; ")));
    }
    suite.add_test_case(TestCase::new("the whole", status));
    suite
}

/// A suite with a case for every trial of a search.
fn points(run: &RunRecord, search: &SearchRecord) -> TestSuite {
    let class = format!("{}.search", run.scenario);
    let mut suite = TestSuite::new("search");
    suite.set_time(Duration::from_micros(search.search_us));
    for point in &search.points {
        let name = super::search::title(point);
        if point.verdict == Verdict::Held {
            let mut case = TestCase::new(scrub(&name), TestCaseStatus::success());
            case.set_classname(scrub(&class));
            suite.add_test_case(case);
            continue;
        }
        let kind = match point.verdict {
            Verdict::Violated => NonSuccessKind::Failure,
            _ => NonSuccessKind::Error,
        };
        let mut status = TestCaseStatus::non_success(kind);
        status.set_message(scrub(&point.reasons.join("; ")));
        status.set_type(point.verdict.to_string());
        if let Some(command) = &point.reproduce {
            status.set_description(scrub(&format!("Run it again: {command}")));
        }
        let mut case = TestCase::new(scrub(&name), status);
        case.set_classname(scrub(&class));
        suite.add_test_case(case);
    }
    if search.points.is_empty() {
        suite.add_test_case(error("points", &class, "Nothing was tried."));
    }
    suite
}

fn suite(run: &RunRecord, trial: &TrialRecord) -> TestSuite {
    let class = format!("{}.{}", run.scenario, words::setup(trial));
    let mut suite = TestSuite::new(scrub(&words::trial(trial)));
    suite.set_time(Duration::from_micros(trial.trial_us));
    if !trial.story.is_empty() {
        suite.set_system_out(scrub(&trial.story.join("\n")));
    }
    for judgement in &trial.judgements {
        suite.add_test_case(case(judgement, &class, trial));
    }
    if let Some(cause) = &trial.broken {
        suite.add_test_case(error("environment", &class, cause));
    }
    for fault in trial.faults.iter().filter(|f| f.fired.is_none()) {
        let text = format!("It did not fire: {}", words::why_not(fault));
        suite.add_test_case(error(&format!("fault {}", fault.fault), &class, &text));
    }
    let judged = trial.judgements.iter().any(|j| j.verdict != Verdict::NotJudged);
    if !judged && trial.broken.is_none() {
        suite.add_test_case(error("oracles", &class, "No oracle was judged."));
    }
    suite
}

fn case(judgement: &Judgement, class: &str, trial: &TrialRecord) -> TestCase {
    let evidence = judgement.evidence.join("\n");
    let first = judgement.evidence.first().map_or("no evidence was recorded", String::as_str);
    let status = match judgement.verdict {
        Verdict::Held => TestCaseStatus::success(),
        Verdict::NotJudged => TestCaseStatus::skipped(),
        Verdict::Violated | Verdict::Unknown => {
            let kind =
                if judgement.verdict == Verdict::Violated { NonSuccessKind::Failure } else { NonSuccessKind::Error };
            let mut status = TestCaseStatus::non_success(kind);
            status.set_message(scrub(first));
            status.set_type(judgement.verdict.to_string());
            status.set_description(scrub(&format!("{evidence}\n\nRun it again: {}", trial.reproduce)));
            status
        }
    };
    let mut case = TestCase::new(judgement.oracle.name(), status);
    case.set_classname(scrub(class));
    if judgement.verdict == Verdict::Held && !evidence.is_empty() {
        case.set_system_out(scrub(&evidence));
    }
    case
}

fn error(name: &str, class: &str, message: &str) -> TestCase {
    let mut status = TestCaseStatus::non_success(NonSuccessKind::Error);
    status.set_message(scrub(message));
    status.set_type(Verdict::Unknown.to_string());
    let mut case = TestCase::new(scrub(name), status);
    case.set_classname(scrub(class));
    case
}
