//! `junit.xml`: a suite per trial, a case per oracle. Violated is a failure, unknown an error, not judged is skipped.

use std::time::Duration;

use quick_junit::{NonSuccessKind, Report, SerializeError, TestCase, TestCaseStatus, TestSuite};

use crate::oracle::{Judgement, Verdict};
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
    if let Some(view) = compared::View::of(run) {
        report.add_test_suite(compared::junit::suite(&view));
    }
    for trial in &run.trials {
        report.add_test_suite(suite(run, trial));
    }
    if run.trials.is_empty() {
        // An empty document would count as a pass.
        let mut suite = TestSuite::new("no trial");
        suite.add_test_case(error("trials", &run.scenario, "No trial was recorded."));
        report.add_test_suite(suite);
    }
    report
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
