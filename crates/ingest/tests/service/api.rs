//! An import as those who ask for it see it.

use std::time::Duration;

use serde_json::{Value, json};

use crate::common::database;
use crate::help::{EVENT, Process, Server, answer, http, limits, post, site, until};

#[tokio::test(flavor = "multi_thread")]
async fn a_running_job_tells_how_far_each_race_has_come() {
    let (db, site) = (database().await, site(None).await);
    let arm = [("HARNESS_ARM", "after-commit#3=hold")];
    let worker = Process::start(&db, &site, &["work", "--lease", "60s"], &arm);
    let server = Server::start(&db, None, limits(), None).await;
    let (status, job) = answer(post(&server.url, "", &json!({"track": "testtrack", "event_id": EVENT}))).await;
    assert_eq!(status, 202);
    worker.armed_step().await;
    let url = format!("{}/api/v1/jobs/{}", server.url, job["id"]);
    // The worker stands still; what it told last was before the third unit.
    let (_, job) = answer(http().get(&url)).await;
    assert_eq!(job["state"], "running");
    assert!(worker.said.ends_with(job["worker"].as_str().unwrap()), "{} {job}", worker.said);
    worker.signal(nix::sys::signal::Signal::SIGCONT);
    until("the end", async || answer(http().get(&url)).await.1["state"] == "completed").await;
    server.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_renewed_lease_bears_the_progress() {
    use ingest::pipeline::RaceStage;
    use ingest::service::model::JobProgress;
    let db = database().await;
    let server = Server::start(&db, None, limits(), None).await;
    let (_, job) = answer(post(&server.url, "", &json!({"track": "testtrack", "event_id": EVENT}))).await;
    let claimed = server.queue.claim("w", Duration::from_secs(60), 0).await.unwrap().unwrap();
    let races = [
        (3, RaceStage::Written),
        (4, RaceStage::Unchanged),
        (5, RaceStage::Fetched),
        (6, RaceStage::Waiting),
        (7, RaceStage::Failed),
    ];
    let progress = JobProgress::of(races.into_iter().collect());
    assert!(server.queue.renew(&claimed, Duration::from_secs(60), Some(progress)).await.unwrap());
    assert!(server.queue.renew(&claimed, Duration::from_secs(60), None).await.unwrap(), "no news keep the old ones");
    let (_, job) = answer(http().get(format!("{}/api/v1/jobs/{}", server.url, job["id"]))).await;
    let races = json!({"3": "written", "4": "unchanged", "5": "fetched", "6": "waiting", "7": "failed"});
    assert_eq!(job["progress"], json!({"listed": 5, "done": 2, "failed": 1, "races": races}));
    server.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_waits_is_answered_when_the_job_ends_and_not_later() {
    let (db, site) = (database().await, site(None).await);
    let server = Server::start(&db, None, limits(), None).await;
    let body = json!({"track": "testtrack", "event_id": EVENT});
    let waits: Vec<_> = (0..8).map(|_| tokio::spawn(answer(post(&server.url, "?wait=600", &body)))).collect();
    until("the job", async || db.text("SELECT count(*)::text FROM ingest_jobs").await == "1").await;
    let _worker = Process::start(&db, &site, &["work"], &[]);
    let mut ids = Vec::new();
    for waiting in waits {
        let (status, job) = waiting.await.unwrap();
        assert_eq!((status, &job["state"]), (200, &json!("completed")), "{job:#}");
        ids.push(job["id"].clone());
    }
    assert!(ids.iter().all(|id| *id == ids[0]), "one job for all: {ids:?}");
    server.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_complete_event_is_read_again_only_when_asked_to() {
    let (db, site) = (database().await, site(None).await);
    let server = Server::start(&db, Some(&site), limits(), None).await;
    let import = async |refresh: bool| {
        let body = json!({"track": "testtrack", "event_id": EVENT, "refresh": refresh});
        let (status, job) = answer(post(&server.url, "?wait=60", &body)).await;
        assert_eq!((status, &job["state"]), (200, &json!("completed")), "{job:#}");
        job
    };
    let first = import(false).await;
    let fetched = site.received_requests().await.unwrap().len();
    assert_eq!(import(false).await, first);
    assert_eq!(site.received_requests().await.unwrap().len(), fetched);
    let refreshed = import(true).await;
    assert_ne!(refreshed["id"], first["id"]);
    let counts = |job: &Value| (job["outcome"]["written"].clone(), job["outcome"]["unchanged"].clone());
    assert_eq!((counts(&first), counts(&refreshed)), ((json!(5), json!(0)), (json!(0), json!(5))));
    // An event that the command ingested has no job yet.
    db.run("DELETE FROM ingest_jobs").await;
    let there = import(false).await;
    assert_eq!((&there["outcome"]["already_there"], &there["outcome"]["listed"]), (&json!(true), &json!(5)));
    server.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pause_that_the_site_asks_for_puts_the_job_off() {
    let (db, site) = (database().await, wiremock::MockServer::start().await);
    let limited = wiremock::ResponseTemplate::new(429).insert_header("retry-after", "3600");
    wiremock::Mock::given(wiremock::matchers::any()).respond_with(limited).mount(&site).await;
    let server = Server::start(&db, Some(&site), limits(), None).await;
    let body = json!({"track": "testtrack", "event_id": EVENT});
    let (_, job) = answer(post(&server.url, "", &body)).await;
    let job = job["id"].as_u64().unwrap();
    until("the first attempt", async || server.queue.job(job).await.unwrap().unwrap().attempts > 0).await;
    let job = server.queue.job(job).await.unwrap().unwrap();
    assert!(job.not_before.is_some() && job.outcome.unwrap().exit == 75);
    let wait: f64 = db.text("SELECT extract(epoch FROM due_at - now())::text FROM ingest_jobs").await.parse().unwrap();
    assert!(wait > 3000.0, "{wait}");
    assert_eq!(site.received_requests().await.unwrap().len(), 1);
    server.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn many_jobs_share_a_pool_that_comes_back_clean() {
    let (db, site) = (database().await, site(None).await);
    let server = Server::start(&db, Some(&site), limits(), None).await;
    for i in 0..6 {
        // Each time every race has changed.
        db.run("UPDATE laps SET time_ms = time_ms + 1; UPDATE ingest_checkpoints SET hash = NULL").await;
        let body = json!({"track": "testtrack", "event_id": EVENT, "refresh": true});
        let (_, job) = answer(post(&server.url, "?wait=60", &body)).await;
        assert_eq!((&job["state"], &job["outcome"]["written"]), (&json!("completed"), &json!(5)), "{i}: {job:#}");
    }
    let open =
        "SELECT count(*)::text FROM pg_stat_activity WHERE datname = current_database() AND state LIKE 'idle in%'";
    assert_eq!(db.text(open).await, "0");
    server.end().await;
    let left = "SELECT count(*)::text FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'ingest'";
    until("the last connection", async || db.text(left).await == "0").await;
}
