//! Comparisons as a user makes them, on a real PostgreSQL. The harness under test is a debug build, so times are not judged; how
//! times are judged is tested where no clock is needed (crates/harness/src/ab, crates/harness/src/stats).

#![expect(clippy::unwrap_used, reason = "a test panics where it fails")]

mod support;

use std::path::Path;
use std::process::Output;

use serde_json::Value;
use support::{Reports, harness, text};

fn ab(reports: &Reports, args: &[&str]) -> Output {
    let out = reports.path().display().to_string();
    let postgres = sandbox::postgres::Choice::local_first().to_string();
    let mut all = vec!["ab"];
    all.extend(args);
    all.extend(["--postgres", &postgres, "--out", &out]);
    harness(&all).output().unwrap()
}

/// Finding of a metric in result.json.
fn finding(result: &Value, metric: &str) -> String {
    let rows = result["comparison"]["results"]["rows"].as_array().unwrap();
    rows.iter().find(|r| r["metric"] == metric).unwrap()["finding"].as_str().unwrap_or("not judged").to_owned()
}

#[test]
fn fewer_statements_are_found_and_a_killed_comparison_goes_on_to_the_same_result() {
    let reports = Reports::new();
    let output = ab(&reports, &["small-event", "before", "fast", "--untimed", "--pairs", "2"]);
    let stdout = text(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{stdout}{}", text(&output.stderr));
    assert!(stdout.contains("A: before") && stdout.contains("improvement"), "{stdout}");
    let result = reports.result();
    assert_eq!(finding(&result, "statements"), "improvement");
    assert_eq!(finding(&result, "round_trips"), "improvement");
    assert_eq!(finding(&result, "pages"), "pass");
    assert_eq!(finding(&result, "event_us"), "not judged", "a debug build");
    let places: Vec<(u64, &str)> = result["trials"]
        .as_array()
        .unwrap()
        .iter()
        .map(|t| (t["in_set"]["pair"].as_u64().unwrap(), t["in_set"]["side"].as_str().unwrap()))
        .collect();
    assert_eq!(places, [(0, "a"), (0, "b"), (1, "b"), (1, "a"), (2, "a"), (2, "b")], "ABBA, the dropped pair first");
    let dir = reports.only_run();
    for file in ["report.html", "summary.md", "junit.xml", "plots/intervals.svg"] {
        assert!(dir.join(file).exists(), "{file}");
    }
    assert!(std::fs::read_to_string(dir.join("junit.xml")).unwrap().contains("comparison"));

    // Killed in the last pair, with half of it on record: what a SIGKILL leaves.
    std::fs::remove_file(dir.join("result.json")).unwrap();
    let lines = std::fs::read_to_string(dir.join("trials.jsonl")).unwrap();
    let kept: Vec<&str> = lines.lines().take(5).collect();
    std::fs::write(dir.join("trials.jsonl"), kept.join("\n") + "\n").unwrap();
    let output = ab(&reports, &["--resume", &dir.display().to_string()]);
    assert_eq!(output.status.code(), Some(0), "{}{}", text(&output.stdout), text(&output.stderr));
    let resumed = reports.result();
    assert_eq!(resumed["comparison"]["results"]["pairs"], 2);
    for metric in ["statements", "round_trips", "pages", "rows_written"] {
        assert_eq!(finding(&resumed, metric), finding(&result, metric), "{metric}");
    }
}

#[test]
fn more_statements_are_a_regression_that_says_both_values() {
    let reports = Reports::new();
    let sides = ["small-event", "fast", "fast,write_path=insert,lap_batch=1", "--untimed", "--pairs", "1"];
    let output = ab(&reports, &sides);
    let stdout = text(&output.stdout);
    assert_eq!(output.status.code(), Some(1), "{stdout}{}", text(&output.stderr));
    assert_eq!(finding(&reports.result(), "statements"), "regression");
    let summary = std::fs::read_to_string(reports.only_run().join("summary.md")).unwrap();
    assert!(summary.contains("regression: statements"), "{summary}");
}

#[test]
fn a_side_against_itself_is_no_regression_and_needs_no_second_name() {
    let reports = Reports::new();
    let output = ab(&reports, &["small-event", "fast", "--aa", "--untimed", "--pairs", "1"]);
    let stdout = text(&output.stdout);
    assert!(stdout.contains("A: A (fast)") && stdout.contains("B: B (fast)"), "{stdout}");
    assert_eq!(finding(&reports.result(), "statements"), "pass");
}

#[test]
fn an_engine_that_loses_a_lap_is_compared_no_further() {
    let reports = Reports::new();
    // The engine does its work, and a lap goes after it.
    let dir = tempfile::tempdir().unwrap();
    let script = dir.path().join("lossy");
    let engine = assert_cmd::cargo::cargo_bin("harness");
    let psql = "psql -qX \"$DATABASE_URL\" -c 'DELETE FROM laps WHERE ctid = (SELECT min(ctid) FROM laps)'";
    let text_of = format!("#!/bin/sh\n{} __engine event --track \"$1\" \"$2\" && {psql}\n", engine.display());
    std::fs::write(&script, text_of).unwrap();
    std::fs::set_permissions(&script, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let command = format!("{} {{track}} {{event_id}}", script.display());
    let output = ab(&reports, &["small-event", "fast", "--engine-b", &command, "--untimed", "--pairs", "2"]);
    let stdout = text(&output.stdout);
    assert_eq!(output.status.code(), Some(4), "{stdout}{}", text(&output.stderr));
    let trials = reports.result()["trials"].as_array().unwrap().len();
    assert_eq!(trials, 2, "it ends with the trial that lost the lap");
}

#[test]
fn a_calibration_counts_its_sets_and_goes_on_where_it_was() {
    let reports = Reports::new();
    // A debug build may not judge times: the calibration refuses it, as it must.
    let output = ab(&reports, &["small-event", "--calibrate", "--sets", "1,0"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("debug build"), "{}", text(&output.stderr));
}

#[test]
fn mistakes_are_told_before_anything_is_started() {
    let reports = Reports::new();
    let empty = reports.path().display().to_string();
    for (args, part) in [
        (&["small-event", "before", "fats", "--untimed"][..], "did you mean `fast`"),
        (&["small-event", "fast", "fast,writer=2", "--untimed"], "writers"),
        (&["small-event", "fast", "fast", "--untimed"], "--aa"),
        (&["small-event", "fast", "--untimed"], "compare what with what"),
        (&["crash-mid-batch", "before", "fast", "--untimed"], "without faults"),
        (&["small-event", "before", "fast", "--pairs", "3"], "debug build"),
        (&["small-event", "fast", "--engine-b", "/bin/true", "--untimed"], "neither a harness nor an ingest"),
        (&["small-event", "fast", "--base", "no-such-revision", "--untimed"], "no revision `no-such-revision`"),
        (&["--resume", &empty], "holds no run"),
    ] {
        let output = ab(&reports, args);
        assert_eq!(output.status.code(), Some(2), "{args:?}: {}", text(&output.stderr));
        assert!(text(&output.stderr).contains(part), "{args:?}: {}", text(&output.stderr));
    }
    assert!(std::fs::read_dir(Path::new(&empty)).unwrap().next().is_none(), "nothing was written");
}
