//! `sweep`, `chaos` and `replay` as a user runs them: every point is struck and counted, and what cannot be shown does not pass.

#![expect(clippy::unwrap_used, reason = "a test panics where it fails")]

mod support;

use std::process::Output;

use serde_json::Value;
use support::{Reports, harness, text};

/// An event so small that all of it is swept in seconds.
const TINY: &str = "# Two races.\n[event]\nraces = 2\nresults = 6\nlaps = 18\nseed = 3\n\n[engine]\nprofiles = [\"fast\"]\n\
                    settings = { commit_races = 1 }\n";

fn search(reports: &Reports, args: &[&str]) -> Output {
    let out = reports.path().join("runs");
    let postgres = sandbox::postgres::Choice::local_first().to_string();
    let mut all = args.to_vec();
    let out = out.display().to_string();
    all.extend(["--postgres", &postgres, "--out", &out]);
    harness(&all).output().unwrap()
}

fn tiny(reports: &Reports) -> String {
    let path = reports.path().join("tiny.toml");
    std::fs::write(&path, TINY).unwrap();
    path.display().to_string()
}

fn result(reports: &Reports) -> Value {
    let mut runs = std::fs::read_dir(reports.path().join("runs")).unwrap().map(|e| e.unwrap().path());
    let run = runs.find(|p| p.is_dir()).unwrap();
    serde_json::from_slice(&std::fs::read(run.join("result.json")).unwrap()).unwrap()
}

#[test]
fn a_sweep_strikes_at_every_step_and_again_in_every_recovery() {
    let reports = Reports::new();
    let output = search(&reports, &["sweep", &tiny(&reports), "--depth", "2"]);
    let stdout = text(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{stdout}\n{}", text(&output.stderr));
    let result = result(&reports);
    let (search, golden) = (&result["search"], &result["trials"][0]["ingestions"][0]["attempts"][0]["steps"]);
    let steps: u64 = golden.as_object().unwrap().values().map(|n| n.as_u64().unwrap()).sum();
    assert_eq!(search["parts"][0]["of"], steps, "every occurrence of every step of the golden run is a point");
    assert!(stdout.contains(&format!("swept {steps} of {steps}")), "{stdout}");
    let points = search["points"].as_array().unwrap();
    assert_eq!(points.len() as u64, steps + search["parts"][1]["of"].as_u64().unwrap());
    assert!(points.iter().all(|p| p["verdict"] == "held"), "{stdout}");
    let twice = points.iter().filter(|p| p["faults"].as_array().unwrap().len() == 2).count() as u64;
    assert!(twice > steps, "a recovery from nothing has every step again, and there are others: {twice}");
}

#[test]
fn a_sample_says_so_and_messages_are_points_too() {
    let reports = Reports::new();
    let output = search(&reports, &["sweep", &tiny(&reports), "--points", "wire", "--budget", "6"]);
    let stdout = text(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{stdout}\n{}", text(&output.stderr));
    assert!(stdout.contains("sampled 6 of ") && !stdout.contains("swept"), "{stdout}");
    let points = result(&reports)["search"]["points"].as_array().unwrap().clone();
    assert!(points.iter().any(|p| p["faults"][0] == "frame#1:before = crash"), "{points:?}");
}

#[test]
fn an_engine_that_fails_without_any_fault_is_not_swept() {
    let reports = Reports::new();
    let output = search(&reports, &["sweep", &tiny(&reports), "--engine", "/bin/true {event_id}"]);
    assert_eq!(output.status.code(), Some(4), "{}", text(&output.stdout));
    assert!(text(&output.stderr).contains("did not hold, with no fault at all"), "{}", text(&output.stderr));
}

#[test]
fn chaos_draws_what_it_is_asked_for_and_tells_what_fired() {
    let reports = Reports::new();
    let output = search(&reports, &["chaos", "--cases", "6", "--seed", "4", "--profile", "fast"]);
    let stdout = text(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{stdout}\n{}", text(&output.stderr));
    let search = &result(&reports)["search"];
    assert_eq!(search["points"].as_array().unwrap().len(), 6);
    let fired: u64 = search["coverage"].as_array().unwrap().iter().map(|c| c["fired"].as_u64().unwrap()).sum();
    assert!(fired >= 6, "{stdout}");
}

#[test]
fn a_search_that_had_no_time_for_a_case_proves_nothing() {
    let reports = Reports::new();
    let output = search(&reports, &["chaos", "--cases", "50", "--time", "1ms", "--profile", "fast"]);
    let stdout = text(&output.stdout);
    assert_eq!(output.status.code(), Some(4), "{stdout}\n{}", text(&output.stderr));
    assert!(stdout.contains("ran 0 of 50"), "{stdout}");
}

#[test]
fn a_schedule_is_replayed_in_its_process() {
    let reports = Reports::new();
    let file = reports.path().join("found.toml");
    let faults = "\n[[fault]]\nwhen = \"before-commit#1\"\ndo = \"crash\"\nprocess = 1\n\n[[fault]]\nwhen = \"before-commit#1\"\n\
                  do = \"crash\"\nprocess = 2\n";
    std::fs::write(&file, format!("{TINY}{faults}")).unwrap();
    let output = search(&reports, &["replay", &file.display().to_string()]);
    assert_eq!(output.status.code(), Some(0), "{}\n{}", text(&output.stdout), text(&output.stderr));
    let attempts = result(&reports)["trials"][0]["ingestions"][0]["attempts"].as_array().unwrap().len();
    assert_eq!(attempts, 3, "each of the first two was killed at the same step");
}

#[test]
fn what_cannot_be_searched_is_refused() {
    let reports = Reports::new();
    for (args, part) in [
        (&["sweep", "crash-mid-batch"][..], "has faults of its own"),
        (&["sweep", "small-event", "--points", "wires"], "unknown kind of points `wires`; did you mean `wire`"),
        (&["sweep", "small-event", "--fault", "db-rest"], "did you mean `db-reset`"),
        (&["sweep", "small-event", "--depth", "2", "--fault", "db-reset"], "--depth 2"),
        (&["sweep", "small-event", "--budget", "0"], "--budget"),
        (&["replay", "nowhere.toml"], "there is no file nowhere.toml"),
    ] {
        let output = search(&reports, args);
        assert_eq!(output.status.code(), Some(2), "{args:?}");
        assert!(text(&output.stderr).contains(part), "{args:?}: {}", text(&output.stderr));
    }
}
