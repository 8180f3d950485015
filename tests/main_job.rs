//! The main job as a user runs it: a scenario on a real PostgreSQL, verified, measured and reported.

#![expect(clippy::unwrap_used, reason = "a test panics where it fails")]

mod support;

use support::{Reports, assert_passed, harness, run, text, verdicts};

#[test]
fn a_small_event_is_ingested_verified_and_reported_under_each_profile() {
    let reports = Reports::new();
    let output = run(&reports, &["small-event", "--profile", "before", "--profile", "after", "--profile", "fast"]);
    assert_passed(&output, &reports);
    let result = reports.result();
    let profiles: Vec<&str> =
        result["trials"].as_array().unwrap().iter().map(|t| t["profile"].as_str().unwrap()).collect();
    assert_eq!(profiles, ["before", "after", "fast"]);
    for oracle in ["content", "complete", "checkpoints", "same-content", "exit"] {
        let held = verdicts(&result).iter().filter(|(_, o, v)| o == oracle && v == "held").count();
        assert_eq!(held, 3, "{oracle}");
    }
    for trial in result["trials"].as_array().unwrap() {
        assert!(trial["metrics"]["event_us"].as_f64().unwrap() > 0.0);
        assert!(trial["metrics"]["statements"].as_f64().unwrap() > 0.0);
        assert!(trial["metrics"]["wal_bytes"].as_f64().unwrap() > 0.0);
        assert!(trial["stages"]["fetch_us"].is_string(), "stages are stored as histograms");
        assert_eq!(trial["ingestions"].as_array().unwrap().len(), 2, "once, and once more");
    }
    let dir = reports.only_run();
    for file in ["report.html", "summary.md", "result.json", "trials.jsonl", "plots"] {
        assert!(dir.join(file).exists(), "{file}");
    }
    let stdout = text(&output.stdout);
    assert!(stdout.contains("report.html") && stdout.contains("held"), "{stdout}");
}

#[test]
fn a_report_is_made_again_from_the_stored_run() {
    let reports = Reports::new();
    assert_passed(&run(&reports, &["small-event"]), &reports);
    let report = reports.only_run().join("report.html");
    let first = std::fs::read(&report).unwrap();
    std::fs::remove_file(&report).unwrap();
    let index = reports.path().join("index.html");
    std::fs::remove_file(&index).unwrap();
    let output = harness(&["report", &reports.only_run().display().to_string()]).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    assert_eq!(std::fs::read(&report).unwrap(), first, "the report is a pure function of the run");
    assert!(index.exists(), "the index of all runs is made again as well");
    std::fs::write(&index, "<title>Somebody's own page</title>").unwrap();
    harness(&["report", &reports.only_run().display().to_string()]).output().unwrap();
    assert!(std::fs::read_to_string(&index).unwrap().contains("Somebody's"), "what is not ours is not replaced");
}

#[test]
fn a_sweep_takes_turns_and_is_drawn() {
    let reports = Reports::new();
    let sweep = ["small-event", "--sweep", "race_concurrency=4,1", "--trials", "2", "--set", "writers=1"];
    assert_passed(&run(&reports, &sweep), &reports);
    let result = reports.result();
    let trials = result["trials"].as_array().unwrap();
    let swept: Vec<&str> = trials.iter().map(|t| t["settings"]["race_concurrency"].as_str().unwrap()).collect();
    assert_eq!(swept, ["4", "1", "4", "1"], "values take turns");
    for (trial, value) in trials.iter().zip(&swept) {
        assert_eq!(trial["settings"]["writers"], "1", "--set holds for all");
        let reproduce = trial["reproduce"].as_str().unwrap();
        assert!(reproduce.contains(&format!("--set race_concurrency={value}")), "{reproduce}");
        let told = &trial["ingestions"][0]["attempts"][0]["settings"]["race_concurrency"];
        assert_eq!(told, value, "the engine ran under it");
    }
    assert!(reports.only_run().join("plots/saturation.svg").exists());
}

#[test]
fn an_unknown_scenario_exits_2_and_names_the_nearest() {
    let output = harness(&["run", "smal-event"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("small-event"), "{}", text(&output.stderr));
}

#[test]
fn a_typo_in_a_scenario_exits_2_with_file_line_and_the_nearest_name() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("mine.toml");
    std::fs::write(&file, "# Mine.\n[event]\nsiez = \"small\"\n").unwrap();
    let output = harness(&["run", &file.display().to_string()]).output().unwrap();
    let stderr = text(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{stderr}");
    assert!(stderr.contains("mine.toml:3") && stderr.contains("size"), "{stderr}");
}

#[test]
fn no_database_exits_5_and_says_how_to_get_one() {
    let reports = Reports::new();
    let output = harness(&["run", "small-event", "--postgres", "postgres://nobody@127.0.0.1:1/none", "--out"])
        .arg(reports.path())
        .output()
        .unwrap();
    let stderr = text(&output.stderr);
    assert_eq!(output.status.code(), Some(5), "{stderr}");
    assert!(stderr.contains("127.0.0.1"), "{stderr}");
}

#[test]
fn an_engine_that_does_nothing_and_exits_0_is_violated() {
    let reports = Reports::new();
    let output = run(&reports, &["small-event", "--engine", "true {event_id}"]);
    assert_eq!(output.status.code(), Some(4), "{}", text(&output.stdout));
    let result = reports.result();
    for oracle in ["content", "complete", "exit"] {
        assert!(
            verdicts(&result).iter().any(|(_, o, v)| o == oracle && v == "violated"),
            "{oracle}: {:?}",
            verdicts(&result)
        );
    }
}
