//! `ingest event --metrics-file`: what a call tells, while it works, when it was killed, and over several calls.

#![allow(clippy::unwrap_used, reason = "a test panics where it fails")]

mod common;

use std::collections::HashMap;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use common::database;
use common::site::{RACE, ingest, instead, site, told};
use contract::feed::{Counts, Summary};
use wiremock::matchers::query_param;
use wiremock::{Mock, ResponseTemplate};

/// Samples that are not zero.
fn samples(path: &Path) -> HashMap<String, f64> {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let sample = |line: &str| {
        let (key, value) = line.rsplit_once(' ')?;
        (!line.starts_with('#')).then_some((key.to_owned(), value.parse::<f64>().ok()?))
    };
    text.lines().filter_map(sample).filter(|(_, value)| *value != 0.0).collect()
}

fn number(samples: &HashMap<String, f64>, key: &str) -> u64 {
    let value = samples.get(key).copied().unwrap_or(0.0);
    assert_eq!(value.fract(), 0.0, "{key}");
    format!("{value}").parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_figures_are_those_of_the_summary_and_go_on_with_the_next_call() {
    let (db, site) = (database().await, site(Duration::ZERO).await);
    let once = Mock::given(query_param("p", "view_entry_list")).respond_with(ResponseTemplate::new(500));
    once.up_to_n_times(1).with_priority(1).mount(&site).await;
    let bad = instead(&site, "9003", ResponseTemplate::new(404)).await;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("ingest.prom");
    let own = ["--json", "--retry-base", "1ms", "--metrics-file", path.to_str().unwrap()];
    let output = ingest(&db, &site, &own).output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", told(&output));
    let first: Summary = serde_json::from_slice(&output.stdout).unwrap();
    let seen = samples(&path);
    let is = |key: &str, value: u64| assert_eq!(number(&seen, key), value, "{key}");
    is("ingest_races_written_total", 4);
    is("ingest_races_failed_total{cause=\"not_found\"}", 1);
    is("ingest_retries_total{cause=\"host_error\"}", 1);
    is("ingest_request_failures_total{cause=\"host_error\"}", 1);
    is("ingest_request_failures_total{cause=\"not_found\"}", 1);
    is("ingest_pages_total", 6);
    is("ingest_request_seconds_count", first.requests);
    is("ingest_events_total{outcome=\"failed\"}", 1);
    is("ingest_event_seconds_count", 1);
    is("ingest_lap_batch_rows_count", 1);
    is("ingest_lap_batch_rows_sum", first.rows.laps.inserted);
    is("ingest_unit_seconds_count", 1);
    is("ingest_commit_seconds_count", 1);
    is("ingest_parse_seconds_count", 4);
    is("ingest_events_in_progress", 0);
    is("ingest_stalest_progress_timestamp_seconds", 0);
    is("ingest_pool_connections_in_use", 0);
    assert!(number(&seen, "ingest_page_bytes_total") > RACE.len() as u64);
    assert!(number(&seen, "ingest_statements_total") > 5);
    assert!(number(&seen, "ingest_pool_acquire_seconds_count") >= 1);
    let tables = |rows: &contract::feed::Changes| {
        [
            ("drivers", rows.drivers),
            ("entries", rows.entries),
            ("races", rows.races),
            ("results", rows.results),
            ("laps", rows.laps),
        ]
    };
    for (table, counts) in tables(&first.rows) {
        let Counts { inserted, updated, deleted, unchanged } = counts;
        let changes = [("inserted", inserted), ("updated", updated), ("deleted", deleted), ("unchanged", unchanged)];
        for (change, n) in changes {
            is(&format!("ingest_rows_total{{change=\"{change}\",table=\"{table}\"}}"), n);
        }
    }

    drop(bad);
    let output = ingest(&db, &site, &own).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", told(&output));
    let seen = samples(&path);
    assert_eq!(number(&seen, "ingest_races_written_total"), 5);
    assert_eq!(number(&seen, "ingest_events_total{outcome=\"failed\"}"), 1);
    assert_eq!(number(&seen, "ingest_events_total{outcome=\"complete\"}"), 1);
    assert_eq!(number(&seen, "ingest_event_seconds_count"), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_engine_leaves_an_event_in_progress_that_ages() {
    let (db, site) = (database().await, site(Duration::ZERO).await);
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("ingest.prom");
    let own = ["--metrics-file", path.to_str().unwrap()];
    let mut held = ingest(&db, &site, &own);
    let mut child = held.env("HARNESS_ARM", "race-fetched#1=hold").stderr(Stdio::null()).spawn().unwrap();
    while number(&samples(&path), "ingest_events_in_progress") != 1 {
        assert!(child.try_wait().unwrap().is_none(), "it does not end by itself");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    // The file is its own while it lives.
    let other = ingest(&db, &site, &own).output().unwrap();
    assert_eq!(other.status.code(), Some(2), "{}", told(&other));
    assert!(told(&other).contains("another process writes the metrics file"), "{}", told(&other));
    child.kill().unwrap();
    assert_eq!(child.wait().unwrap().signal(), Some(9));
    let left = samples(&path);
    assert_eq!(number(&left, "ingest_events_in_progress"), 1);
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    let stalest = number(&left, "ingest_stalest_progress_timestamp_seconds");
    assert!(stalest > now - 3600 && stalest <= now, "{stalest}");

    let output = ingest(&db, &site, &own).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", told(&output));
    assert_eq!(number(&samples(&path), "ingest_events_in_progress"), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_no_use_is_told_before_any_work() {
    let (db, site) = (database().await, site(Duration::ZERO).await);
    let dir = tempfile::tempdir().unwrap();
    let notes = dir.path().join("notes.txt");
    std::fs::write(&notes, "dear diary").unwrap();
    for (file, part) in
        [("/nowhere/x.prom", "cannot write the metrics file"), (notes.to_str().unwrap(), "name another metrics file")]
    {
        let output = ingest(&db, &site, &["--metrics-file", file]).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{}", told(&output));
        assert!(told(&output).contains(part), "{}", told(&output));
    }
    assert!(site.received_requests().await.unwrap().is_empty());
}
