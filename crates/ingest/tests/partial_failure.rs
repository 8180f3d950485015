//! Bad races leave the others alone, and the next call fetches only those.

#![allow(clippy::unwrap_used, reason = "a test panics where it fails")]

mod common;

use std::process::{Command, Output};
use std::time::Duration;

use assert_cmd::cargo::cargo_bin;
use common::site::{ingest, instead, race, site, told};
use common::{Db, database};
use contract::feed::Summary;
use wiremock::{MockServer, ResponseTemplate};

const BAD: &str = "9003";
const HASTY: [&str; 6] = ["--retry-attempts", "2", "--retry-base", "1ms", "--liverc-max-page", "300KiB"];

fn html(text: &str) -> ResponseTemplate {
    ResponseTemplate::new(200).set_body_raw(text, "text/html")
}

/// Calls the engine; its summary.
fn call(db: &Db, site: &MockServer, own: &[&str]) -> (Summary, Output) {
    let output = ingest(db, site, &[&HASTY[..], own, &["--json"]].concat()).output().unwrap();
    let summary: Summary = serde_json::from_slice(&output.stdout).unwrap_or_else(|e| panic!("{e}: {}", told(&output)));
    assert_eq!(output.status.code(), Some(summary.exit), "{}", told(&output));
    (summary, output)
}

/// Race pages that were asked for after the first `seen` requests, with how often.
async fn asked(site: &MockServer, seen: &mut usize) -> Vec<(String, usize)> {
    let requests = site.received_requests().await.unwrap();
    let pair = |r: &wiremock::Request, key: &str| {
        r.url.query_pairs().find(|(k, _)| k == key).map(|(_, v)| v.into_owned()).unwrap_or_default()
    };
    let mut ids: Vec<_> =
        requests[*seen..].iter().filter(|r| pair(r, "p") == "view_race_result").map(|r| pair(r, "id")).collect();
    *seen = requests.len();
    ids.sort_unstable();
    ids.chunk_by(|a, b| a == b).map(|same| (same[0].clone(), same.len())).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn one_bad_race_of_every_kind() {
    let whole = race(BAD);
    let cut = whole.replace("</html>", "");
    let tableless = whole.replace("race_result", "race_outcome");
    let impossible = whole.replace("'time' : '20.5'", "'time' : '-20.5'");
    let large = whole.replace("</body>", &format!("{}</body>", " ".repeat(400 * 1024)));
    let strange = ResponseTemplate::new(200).set_body_raw("%PDF-1.4", "application/pdf");
    // What the page itself says is for good; what looks like a host that is not well is looked at again by a later call.
    for (answer, exit, requests, part) in [
        (ResponseTemplate::new(404), 1, 1, "there is no such page (HTTP 404)"),
        (html(&tableless), 1, 1, "no result table"),
        (html(&impossible), 1, 1, "is impossible"),
        (html(&cut), 75, 2, "cut short"),
        (ResponseTemplate::new(500), 75, 2, "HTTP 500"),
        (html(&large), 75, 1, "larger than 307200 bytes, the limit; raise it"),
        (strange, 75, 1, "the host sent \"application/pdf\""),
    ] {
        let (db, site) = (database().await, site(Duration::ZERO).await);
        let mut seen = 0;
        let bad = instead(&site, BAD, answer).await;
        let (summary, _) = call(&db, &site, &[]);
        assert_eq!(summary.exit, exit, "{part}: {summary:?}");
        assert_eq!((summary.listed, summary.written, summary.failed.len()), (5, 4, 1), "{part}");
        let failed = &summary.failed[0];
        assert_eq!((failed.race.to_string().as_str(), failed.retry), (BAD, exit == 75), "{part}");
        assert!(failed.cause.contains(part), "{part}: {}", failed.cause);
        assert!(failed.url.starts_with(&site.uri()) && failed.url.ends_with(BAD), "{}", failed.url);
        assert_eq!(db.text("SELECT ingest_depth FROM events").await, "partial", "{part}");
        let first = asked(&site, &mut seen).await;
        assert_eq!(first.len(), 5, "{part}");
        assert!(first.contains(&(BAD.to_owned(), requests)), "{part}: {first:?}");

        // The page is as bad as before: it alone is fetched, and what is stored of it is told.
        let (again, output) = call(&db, &site, &[]);
        assert_eq!(
            (again.exit, again.written, again.skipped, again.failed.len()),
            (exit, 0, 4, 1),
            "{}",
            told(&output)
        );
        assert_eq!(asked(&site, &mut seen).await, [(BAD.to_owned(), requests)], "{part}");
        let mut status = Command::new(cargo_bin!("ingest"));
        let status = told(&status.env("DATABASE_URL", &db.url).args(["status", "700"]).output().unwrap());
        assert!(status.contains("partial, 4 of 5 races written"), "{status}");
        assert!(status.contains(&format!("race {BAD}: ")) && status.contains(part), "{status}");

        // Mended, it alone is fetched, and the event is complete.
        drop(bad);
        let (mended, _) = call(&db, &site, &[]);
        assert_eq!((mended.exit, mended.written, mended.skipped), (0, 1, 4), "{part}");
        assert_eq!(asked(&site, &mut seen).await, [(BAD.to_owned(), 1)], "{part}");
        assert_eq!(db.text("SELECT ingest_depth FROM events").await, "laps_full", "{part}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_may_mend_makes_the_event_worth_trying_again() {
    let (db, site) = (database().await, site(Duration::ZERO).await);
    let _gone = instead(&site, BAD, ResponseTemplate::new(404)).await;
    let _ill = instead(&site, "9001", ResponseTemplate::new(503)).await;
    let output = ingest(&db, &site, &HASTY).output().unwrap();
    assert_eq!(output.status.code(), Some(75), "{}", told(&output));
    let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(stdout.contains("3 written, 0 unchanged or done before, 0 removed, 2 failed"), "{stdout}");
    for (race, cause) in [(BAD, "HTTP 404"), ("9001", "HTTP 503")] {
        let line = stdout.lines().find(|l| l.contains(&format!("race {race} failed: "))).unwrap();
        assert!(line.contains(cause) && line.contains(&format!("id={race}")), "{line}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_race_that_the_database_refuses_leaves_its_unit_alone() {
    let (db, site) = (database().await, site(Duration::ZERO).await);
    db.run("ALTER TABLE races ADD CONSTRAINT refused CHECK (id <> 9003)").await;
    let (summary, _) = call(&db, &site, &["--commit-races", "5"]);
    assert_eq!((summary.exit, summary.written, summary.failed.len()), (1, 4, 1), "{summary:?}");
    assert!(summary.failed[0].cause.contains("refused"), "the constraint is named: {}", summary.failed[0].cause);
    assert!(summary.failed[0].url.ends_with(BAD));
    db.run("ALTER TABLE races DROP CONSTRAINT refused").await;
    let mut seen = site.received_requests().await.unwrap().len();
    let (mended, _) = call(&db, &site, &[]);
    assert_eq!((mended.exit, mended.written, mended.skipped), (0, 1, 4));
    assert_eq!(asked(&site, &mut seen).await, [(BAD.to_owned(), 1)]);
}
