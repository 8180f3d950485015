//! The harness's test of itself, as a user runs it: a part of it here, all of it in CI as a release build.

#![expect(clippy::unwrap_used, reason = "a test panics where it fails")]

mod support;

use serde_json::Value;
use support::{Reports, harness, text};

fn selftest(reports: &Reports, args: &[&str]) -> std::process::Output {
    let out = reports.path().display().to_string();
    let postgres = sandbox::postgres::Choice::local_first().to_string();
    let mut all = vec!["selftest", "--postgres", &postgres, "--out", &out];
    all.extend(args);
    harness(&all).output().unwrap()
}

fn row<'a>(result: &'a Value, name: &str) -> &'a Value {
    result["selftest"]["rows"].as_array().unwrap().iter().find(|row| row["name"] == name).unwrap()
}

/// One bug for each way to notice: at the end, in mid-ingestion alone, by a fault on the wire, by what the engine told, by what
/// a process that was overtaken did, by what a client was told, by what two workers did at once.
#[test]
fn bugs_are_caught_by_the_oracle_that_is_there_for_them_and_the_engine_without_one_is_not_accused() {
    let bugs = [
        ("superscript-read", "content"),
        ("checkpoint-ahead", "checkpoints"),
        ("ambiguous-commit-assumed", "durable"),
        ("wrong-counts", "counts"),
        ("stale-overwrite", "durable"),
        ("lost-answer-told-as-failure", "truthful"),
        ("two-workers-on-one-event", "exclusive"),
    ];
    let reports = Reports::new();
    let flags: Vec<&str> = bugs.iter().flat_map(|(bug, _)| ["--bug", bug]).collect();
    let output = selftest(&reports, &flags);
    let stdout = text(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{stdout}\n{}", text(&output.stderr));
    assert!(stdout.contains("7 of 7 bugs caught"), "{stdout}");
    let result = reports.result();
    for (bug, oracle) in bugs {
        let row = row(&result, bug);
        assert_eq!((&row["verdict"], &row["failure"]), (&"violated".into(), &Value::Null), "{row}");
        assert!(row["violated"].as_array().unwrap().contains(&oracle.into()), "{row}");
    }
    let sort = |sort: &str| {
        let rows = result["selftest"]["rows"].as_array().unwrap().iter().filter(|row| row["sort"] == sort);
        rows.map(|row| row["verdict"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(sort("right"), ["held"; 6], "undisturbed, crash, lost commit, stall, lost response, two workers");
    assert!(reports.only_run().join("report.html").is_file() && !reports.only_run().join("trials").exists());
}

#[test]
fn a_bug_that_there_is_not_is_refused_with_the_nearest() {
    let reports = Reports::new();
    let output = selftest(&reports, &["--bug", "wrong-count"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("did you mean `wrong-counts`?"), "{}", text(&output.stderr));
}
