//! The phases as a user measures them: every cure alone and on top of the others, each put through a crash.
#![allow(clippy::unwrap_used, reason = "the helpers of tests are tests too")]

mod support;

use support::{Reports, harness, text};

const SCENARIO: &str = r#"# Phases that take a test's time.
[event]
races = 4
results = 12
laps = 60
seed = 5

[engine]
profiles = ["before"]

[postgres]
backend = "local"
data = "memory"

[[fault]]
when = "mid-batch#1"
do = "crash"
"#;

#[test]
fn every_cure_is_measured_and_put_through_the_fault() {
    let reports = Reports::new();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("few.toml");
    std::fs::write(&file, SCENARIO).unwrap();
    let output = harness(&["phases", file.to_str().unwrap(), "--rounds", "1", "--out"])
        .arg(reports.path())
        .env_remove("HARNESS_POSTGRES")
        .output()
        .unwrap();
    let stdout = text(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{stdout}\n{}", text(&output.stderr));
    let result = reports.result();
    // Two rounds of eleven variants, then ten of them with the fault.
    assert_eq!(result["trials"].as_array().unwrap().len(), 32);
    for cure in ["no SELECT", "batches", "concurrency", "accumulation", "batched rows", "COPY", "fast"] {
        assert!(stdout.contains(&format!("\n{cure}: ")), "{cure}: {stdout}");
    }
    assert_eq!(stdout.matches("every invariant held with mid-batch#1 = crash").count(), 7, "{stdout}");
    assert!(stdout.contains("too few rounds to tell") && stdout.contains("30 … 50 %"), "{stdout}");
    let statements: Vec<f64> = result["trials"].as_array().unwrap()[..11]
        .iter()
        .map(|t| t["metrics"]["statements"].as_f64().unwrap())
        .collect();
    assert!(statements[10] < statements[0], "what is batched makes fewer statements: {statements:?}");
    let dir = reports.only_run();
    let page = std::fs::read_to_string(dir.join("report.html")).unwrap();
    assert!(page.contains("What each cure buys") && dir.join("phases.json").exists());
    let again = harness(&["report", dir.to_str().unwrap()]).output().unwrap();
    assert_eq!(again.status.code(), Some(0), "{}", text(&again.stderr));
    assert_eq!(std::fs::read_to_string(dir.join("report.html")).unwrap(), page, "a pure function of the run");
}

#[test]
fn a_scenario_of_another_profile_is_refused() {
    let output = harness(&["phases", "large-event"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("begin at the profile `before`"), "{}", text(&output.stderr));
}
