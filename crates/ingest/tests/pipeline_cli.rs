//! The binary itself, over HTTP, against a real PostgreSQL.

#![allow(clippy::unwrap_used, reason = "a test panics where it fails")]

mod common;

use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use assert_cmd::cargo::cargo_bin;
use common::database;
use common::site::{RACE, feed, ingest, site, told};
use contract::feed::Record;

#[tokio::test(flavor = "multi_thread")]
async fn an_event_is_ingested_over_http_and_its_status_told() {
    let (db, site) = (database().await, site(Duration::ZERO).await);
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("feed");
    let output = ingest(&db, &site, &["--profile", "before"]).env("HARNESS_FEED", &path).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", told(&output));
    assert!(told(&output).contains("event 700: 5 races listed, 5 written"), "{}", told(&output));
    let Some(Record::Summary(summary)) = feed(&path).pop() else { panic!("a feed ends with its summary") };
    assert_eq!((summary.exit, summary.written, summary.requests), (0, 5, 7));

    let mut status = Command::new(cargo_bin!("ingest"));
    status.env("DATABASE_URL", &db.url).args(["status", "700", "--json", "--rehash"]);
    let output = status.output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", told(&output));
    let status: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(status["ingest_depth"], "laps_full");
    assert_eq!(status["races"][0]["hash"], status["races"][0]["recomputed"]);

    db.run("UPDATE laps SET time_ms = time_ms + 1 WHERE number = 1").await;
    let mut status = Command::new(cargo_bin!("ingest"));
    let output = status.env("DATABASE_URL", &db.url).args(["status", "700", "--rehash"]).output().unwrap();
    assert_eq!(output.status.code(), Some(1), "rows that are not those of the checkpoint: {}", told(&output));
}

#[tokio::test(flavor = "multi_thread")]
async fn armed_it_kills_itself_at_the_step_and_the_next_call_goes_on() {
    let (db, site) = (database().await, site(Duration::ZERO).await);
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("feed");
    let own = ["--commit-races", "2", "--writers", "1"];
    let killed = ingest(&db, &site, &own).env("HARNESS_FEED", &path).env("HARNESS_ARM", "mid-batch#2=kill").output();
    assert_eq!(killed.unwrap().status.signal(), Some(9));
    let Some(Record::Step(step)) = feed(&path).into_iter().rfind(|r| matches!(r, Record::Step(s) if s.armed.is_some()))
    else {
        panic!("the step is on record")
    };
    assert_eq!((step.name, step.occurrence, step.unit), (contract::Step::MidBatch, 2, Some(2)));
    let output = ingest(&db, &site, &own).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", told(&output));
    assert!(told(&output).contains("3 written, 2 unchanged or done before"), "{}", told(&output));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signal_ends_it_in_good_order() {
    let (db, site) = (database().await, site(Duration::from_millis(300)).await);
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("feed");
    let mut command = ingest(&db, &site, &["--race-concurrency", "1", "--commit-races", "1"]);
    let child = command.env("HARNESS_FEED", &path).stderr(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    while !path.exists() || !feed(&path).iter().any(|r| matches!(r, Record::Committed(_))) {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let pid = nix::unistd::Pid::from_raw(i32::try_from(child.id()).unwrap());
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(75), "{}", told(&output));
    assert!(told(&output).contains("stopped by a signal"), "{}", told(&output));
    let Some(Record::Summary(summary)) = feed(&path).pop() else { panic!("a feed ends with its summary") };
    assert!(summary.written > 0 && summary.written < 5, "{summary:?}");
    let checkpoints = db.text("SELECT count(*)::text FROM ingest_checkpoints WHERE state = 'written'").await;
    assert_eq!(checkpoints, summary.written.to_string());
    // Of this test's own engine; the server takes a moment to see that a connection was closed.
    let ours = "SELECT count(*)::text FROM pg_stat_activity \
                WHERE application_name = 'ingest' AND datname = current_database()";
    while db.text(ours).await != "0" {
        tokio::task::yield_now().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_work_is_told_with_what_to_do() {
    let (db, site) = (database().await, site(Duration::ZERO).await);
    let exit = |output: &Output| output.status.code().unwrap();
    for (own, env, code, part) in [
        (vec!["--write-path", "cpoy"], ("X", ""), 2, "did you mean `copy`?"),
        (vec![], ("INGEST_LAP_BACTH", "7"), 2, "did you mean `INGEST_LAP_BATCH`?"),
        (vec![], ("HARNESS_ARM", "mid-bacth=kill"), 2, "unknown step `mid-bacth`"),
        (vec![], ("HARNESS_FEED", "/nowhere/feed"), 2, "cannot append to /nowhere/feed"),
        (vec![], ("HARNESS_FEED", "/dev/full"), 75, "cannot write the feed"),
        (vec![], ("DATABASE_URL", ""), 2, "set DATABASE_URL"),
        (vec![], ("DATABASE_URL", "mysql://me:s3cret@x/y"), 2, "the form is postgres://"),
    ] {
        let output = ingest(&db, &site, &own).env(env.0, env.1).output().unwrap();
        assert!(told(&output).contains(part) && !told(&output).contains("s3cret"), "{env:?}: {}", told(&output));
        assert_eq!(exit(&output), code, "{env:?}: {}", told(&output));
    }
    let mut missing = Command::new(cargo_bin!("ingest"));
    let output = missing.env("DATABASE_URL", &db.url).args(["status", "4711"]).output().unwrap();
    assert!(exit(&output) == 1 && told(&output).contains("event 4711 is not in the database"), "{}", told(&output));
}

#[test]
fn pages_are_read_by_what_they_are() {
    let pages = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/pages");
    let parse = |files: &[&str], input: &str| {
        let mut command = assert_cmd::Command::new(cargo_bin!("ingest"));
        command.arg("parse").args(files).write_stdin(input).output().unwrap()
    };
    let output = parse(&["-"], RACE);
    let race: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(race["results"][0]["laps"][0]["number"], 1);
    let several = parse(&[&format!("{pages}/event-raw.html"), &format!("{pages}/entry-list-raw.html")], "");
    let lines: Vec<serde_json::Value> =
        String::from_utf8_lossy(&several.stdout).lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    assert!(lines[0]["races"].is_array() && lines[1]["entries"][0]["transponder"].is_string());
    let bad = parse(&["-", &format!("{pages}/event-raw.html")], "<html>");
    assert_eq!(bad.status.code(), Some(1));
    assert_eq!(String::from_utf8_lossy(&bad.stdout).lines().count(), 1, "the others are printed all the same");
}
