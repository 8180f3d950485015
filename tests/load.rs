//! A service under load, as a user runs it: the clients are held against the database, and what cannot be shown is not passed.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use std::process::Output;

use serde_json::Value;
use support::{Reports, harness, text};

/// Six small events by one worker; more is added by each test.
const LOAD: &str = "# Tiny.\n[event]\nraces = 2\nresults = 6\nlaps = 30\nseed = 9\n[load]\nrate = 20\nrequests = 12\nevents = 6\n\
                    workers = 1\njobs = 2\nrecovery = \"200ms\"\n";

fn load(reports: &Reports, more: &str, flags: &[&str]) -> Output {
    let file = reports.path().join("tiny-load.toml");
    std::fs::write(&file, format!("{LOAD}{more}")).unwrap();
    let postgres = sandbox::postgres::Choice::local_first().to_string();
    let out = reports.path().join("reports").display().to_string();
    let file = file.display().to_string();
    let mut args = vec!["load", &file];
    args.extend(flags);
    args.extend(["--postgres", &postgres, "--out", &out]);
    harness(&args).output().unwrap()
}

fn result(reports: &Reports) -> (Value, String) {
    let root = reports.path().join("reports");
    let run = std::fs::read_dir(root).unwrap().map(|e| e.unwrap().path()).find(|p| p.is_dir()).unwrap();
    let json = serde_json::from_slice(&std::fs::read(run.join("result.json")).unwrap()).unwrap();
    (json, std::fs::read_to_string(run.join("report.html")).unwrap())
}

fn verdict(trial: &Value, oracle: &str) -> String {
    let all = trial["judgements"].as_array().unwrap();
    let found = all.iter().find(|j| j["oracle"] == oracle).unwrap_or_else(|| panic!("{oracle} is not there: {all:?}"));
    found["verdict"].as_str().unwrap().to_owned()
}

#[test]
fn a_steady_load_ends_with_every_client_told_the_truth() {
    let reports = Reports::new();
    let output = load(&reports, "refresh = 0.3\n", &[]);
    assert_eq!(output.status.code(), Some(0), "{}{}", text(&output.stdout), text(&output.stderr));
    let (json, page) = result(&reports);
    let trial = &json["trials"][0];
    for oracle in ["content", "atomic", "checkpoints", "complete", "clean", "truthful", "exclusive"] {
        assert_eq!(verdict(trial, oracle), "held", "{oracle}");
    }
    let made = &trial["load"]["generated"];
    assert_eq!((made["due"].as_u64(), made["ok"].as_u64()), (Some(12), Some(12)), "{made}");
    assert_eq!(trial["ingestions"].as_array().unwrap().len(), 6, "every event was read");
    assert!(trial["load"]["jobs"]["counted"].as_u64().unwrap() > 0, "{}", trial["load"]["jobs"]);
    assert!(page.contains("What the clients were told") && page.contains("the load over time"));
    assert!(text(&output.stdout).contains("due to laps_full"), "{}", text(&output.stdout));
}

#[test]
fn a_client_whose_response_is_lost_finds_out_that_its_import_succeeded() {
    let reports = Reports::new();
    let fault = "wait = \"10s\"\n[[fault]]\nwhen = \"import#2:answered\"\ndo = \"client-reset\"\n";
    let output = load(&reports, fault, &[]);
    assert_eq!(output.status.code(), Some(0), "{}{}", text(&output.stdout), text(&output.stderr));
    let (json, _) = result(&reports);
    let trial = &json["trials"][0];
    assert!(trial["faults"][0]["fired"]["evidence"].as_str().unwrap().contains("answered"), "{}", trial["faults"]);
    assert_eq!(trial["load"]["recovered"], 1);
    assert_eq!(trial["load"]["generated"]["classes"]["complete"], 12);
    assert_eq!(verdict(trial, "truthful"), "held");
}

#[test]
fn a_fault_that_does_not_fire_leaves_nothing_proven() {
    let reports = Reports::new();
    let output = load(&reports, "", &["--fault", "job#500=crash"]);
    let stdout = text(&output.stdout);
    assert_eq!(output.status.code(), Some(4), "{stdout}{}", text(&output.stderr));
    assert!(stdout.contains("fewer than 500 jobs had begun"), "{stdout}");
    let (json, _) = result(&reports);
    assert_eq!(verdict(&json["trials"][0], "truthful"), "unknown");
}

#[test]
fn mistakes_are_refused_with_what_to_write_instead() {
    for (args, says) in [
        (&["load", "load-stedy"][..], "did you mean `load-steady`?"),
        (&["run", "load-steady"], "use `harness load load-steady`"),
        (&["load", "small-event"], "use `harness run small-event`"),
        (&["load", "load-steady", "--fault", "job#2=server-kil"], "did you mean `server-kill`?"),
        (&["load", "load-steady", "--fault", "row#2=db-deadlock"], "`db-deadlock` is no fault of a load"),
        (&["run", "small-event", "--fault", "job#2=crash"], "it needs a scenario with [load]"),
        (&["load", "load-steady", "--set", "lap_bacth=5"], "did you mean `lap_batch`?"),
        (&["load", "load-steady", "--users", "2", "--rate", "3"], "--rate"),
        (&["load", "load-steady", "--find-capacity", "p98 < 5s"], "p98"),
    ] {
        let output = harness(args).output().unwrap();
        let stderr = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{args:?}: {stderr}");
        assert!(stderr.contains(says), "{args:?}: {stderr}");
    }
}
