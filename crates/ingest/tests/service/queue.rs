//! The queue itself.

use std::time::Duration;

use ingest::service::model::{ImportRequest, Job, JobState, Outcome};
use ingest::service::queue::{Ending, Enqueued, Queue, Refused};

use crate::common::{Db, database};
use crate::help::{EVENT, queue, request};

const LEASE: Duration = Duration::from_secs(30);

async fn job(queue: &Queue, request: &ImportRequest, key: Option<&str>) -> Job {
    match queue.enqueue(request, key, 100).await.unwrap() {
        Enqueued::Job(job) => *job,
        Enqueued::Refused(refused) => panic!("{refused:?}"),
    }
}

async fn end_lease(db: &Db) {
    db.run("UPDATE ingest_jobs SET lease_until = now() - interval '1 second' WHERE state = 'running'").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_request_many_times_at_once_is_one_job() {
    let db = database().await;
    let queue = queue(&db);
    let same: Vec<_> = (0..24)
        .map(|i| {
            let queue = queue.clone();
            tokio::spawn(async move { job(&queue, &request(EVENT), Some(&format!("request-{}", i / 2))).await.id })
        })
        .collect();
    let mut ids = Vec::new();
    for task in same {
        ids.push(task.await.unwrap());
    }
    assert!(ids.iter().all(|id| *id == ids[0]), "{ids:?}");
    assert_eq!(db.text("SELECT count(*)::text FROM ingest_jobs").await, "1");
    assert_eq!(db.text("SELECT count(*)::text FROM ingest_requests").await, "12");
    let claimed = queue.claim("w", LEASE, 0).await.unwrap().unwrap();
    assert_eq!(job(&queue, &request(EVENT), None).await.id, ids[0], "also while it runs");
    assert!(queue.end(&claimed, &Ending::Failed(Outcome::failed(1, "x"))).await.unwrap());
    assert_ne!(job(&queue, &request(EVENT), None).await.id, ids[0], "a job that has failed is asked for anew");
    assert_eq!(job(&queue, &request(EVENT), Some("request-0")).await.id, ids[0], "a key keeps its job");
}

#[tokio::test(flavor = "multi_thread")]
async fn each_job_is_claimed_once_and_in_order() {
    let db = database().await;
    let queue = queue(&db);
    let mut ids = Vec::new();
    for event in 1..=12 {
        ids.push(job(&queue, &request(event), None).await.id);
    }
    assert_eq!(job(&queue, &request(5), None).await.position, Some(5));
    let claims: Vec<_> = (0..16)
        .map(|i| {
            let queue = queue.clone();
            tokio::spawn(async move { queue.claim(&format!("w{i}"), LEASE, 0).await.unwrap().map(|c| c.id) })
        })
        .collect();
    let mut claimed = Vec::new();
    for task in claims {
        claimed.extend(task.await.unwrap().map(i64::cast_unsigned));
    }
    claimed.sort_unstable();
    assert_eq!(claimed, ids);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lease_that_ended_is_another_workers_and_the_old_claim_is_worth_nothing() {
    let db = database().await;
    let queue = queue(&db);
    let id = job(&queue, &request(EVENT), None).await.id;
    let old = queue.claim("old", LEASE, 0).await.unwrap().unwrap();
    assert!(queue.claim("new", LEASE, 0).await.unwrap().is_none(), "its lease goes on");
    assert!(queue.renew(&old, LEASE, None).await.unwrap());
    end_lease(&db).await;
    assert!(queue.renew(&old, LEASE, None).await.unwrap(), "late, but nobody else had come");
    end_lease(&db).await;
    let new = queue.claim("new", LEASE, 0).await.unwrap().unwrap();
    assert_eq!((new.id, new.claim, new.takeovers), (old.id, old.claim + 1, 1));
    assert!(!queue.renew(&old, LEASE, None).await.unwrap());
    for ending in
        [Ending::Completed(Outcome::default()), Ending::HandedBack, Ending::Later(Outcome::default(), Duration::ZERO)]
    {
        assert!(!queue.end(&old, &ending).await.unwrap(), "{ending:?}");
    }
    let told = queue.job(id).await.unwrap().unwrap();
    assert_eq!((told.state, told.worker.as_deref(), told.takeovers), (JobState::Running, Some("new"), 1));
    assert!(queue.end(&new, &Ending::Completed(Outcome::default())).await.unwrap());
    assert!(!queue.end(&new, &Ending::Failed(Outcome::default())).await.unwrap(), "an end is an end");
    assert_eq!(queue.job(id).await.unwrap().unwrap().state, JobState::Completed);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_put_off_waits_and_one_handed_back_does_not() {
    let db = database().await;
    let queue = queue(&db);
    let id = job(&queue, &request(EVENT), None).await.id;
    let first = queue.claim("w", LEASE, 0).await.unwrap().unwrap();
    assert!(queue.end(&first, &Ending::HandedBack).await.unwrap());
    let second = queue.claim("w", LEASE, 0).await.unwrap().unwrap();
    assert_eq!((second.attempts, second.takeovers), (0, 0), "a worker that stops is no failure of the job");
    let outcome = Outcome::failed(75, "the host does not answer");
    assert!(queue.end(&second, &Ending::Later(outcome.clone(), Duration::from_secs(3600))).await.unwrap());
    assert!(queue.claim("w", LEASE, 0).await.unwrap().is_none());
    let told = queue.job(id).await.unwrap().unwrap();
    assert_eq!((told.state, told.attempts, told.outcome), (JobState::Queued, 1, Some(outcome)));
    assert!(told.not_before.unwrap() > told.requested_at);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_was_taken_back_is_refused_and_one_that_came_is_not_taken_back() {
    let db = database().await;
    let queue = queue(&db);
    assert!(queue.withdraw("request-1").await.unwrap().withdrawn);
    let late = queue.enqueue(&request(EVENT), Some("request-1"), 100).await.unwrap();
    assert_eq!(late, Enqueued::Refused(Refused::Withdrawn));
    assert_eq!(db.text("SELECT count(*)::text FROM ingest_jobs").await, "0");
    let came = job(&queue, &request(EVENT), Some("request-2")).await;
    let withdrawal = queue.withdraw("request-2").await.unwrap();
    assert_eq!((withdrawal.withdrawn, withdrawal.job.map(|j| j.id)), (false, Some(came.id)));
    let other = queue.enqueue(&request(EVENT + 1), Some("request-2"), 100).await.unwrap();
    assert_eq!(other, Enqueued::Refused(Refused::KeyOfOther(EVENT)));
}

#[tokio::test(flavor = "multi_thread")]
async fn taking_back_races_with_coming_and_one_of_them_wins() {
    let db = database().await;
    let queue = queue(&db);
    for i in 0..20 {
        let (key, request) = (format!("request-{i}"), request(1000 + i));
        let (withdrawn, came) = tokio::join!(queue.withdraw(&key), queue.enqueue(&request, Some(&key), 100));
        match (withdrawn.unwrap(), came.unwrap()) {
            (w, Enqueued::Job(job)) => assert_eq!((w.withdrawn, w.job.map(|j| j.id)), (false, Some(job.id))),
            (w, Enqueued::Refused(refused)) => assert_eq!((w.withdrawn, refused), (true, Refused::Withdrawn)),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refresh_that_is_asked_for_meanwhile_is_not_lost() {
    let db = database().await;
    let queue = queue(&db);
    let id = job(&queue, &request(EVENT), None).await.id;
    let running = queue.claim("w", LEASE, 0).await.unwrap().unwrap();
    let refresh = ImportRequest { refresh: true, ..request(EVENT) };
    assert_eq!(job(&queue, &refresh, None).await.id, id);
    assert!(queue.end(&running, &Ending::Completed(Outcome::default())).await.unwrap());
    let again = queue.claim("w", LEASE, 0).await.unwrap().unwrap();
    assert_eq!((again.id.cast_unsigned(), again.refresh), (id, true));
    assert!(queue.end(&again, &Ending::Completed(Outcome::default())).await.unwrap());
    assert_eq!(queue.job(id).await.unwrap().unwrap().state, JobState::Completed);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_queue_has_an_end_and_a_track_its_share() {
    let db = database().await;
    let queue = queue(&db);
    for event in 1..=3 {
        job(&queue, &request(event), None).await;
    }
    assert_eq!(queue.enqueue(&request(4), None, 3).await.unwrap(), Enqueued::Refused(Refused::Full));
    assert!(matches!(queue.enqueue(&request(3), None, 3).await.unwrap(), Enqueued::Job(_)), "it is there already");
    let other = ImportRequest { track: "other".to_owned(), ..request(5) };
    job(&queue, &other, None).await;
    let wrong = ImportRequest { track: "other".to_owned(), ..request(1) };
    let refused = Enqueued::Refused(Refused::OtherTrack("testtrack".to_owned()));
    assert_eq!(queue.enqueue(&wrong, None, 100).await.unwrap(), refused);
    let claims = futures::future::join_all((0..8).map(|_| queue.claim("w", LEASE, 1))).await;
    let mut tracks: Vec<_> = claims.into_iter().filter_map(|c| c.unwrap()).map(|c| c.track).collect();
    tracks.sort();
    assert_eq!(tracks, ["other", "testtrack"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn old_jobs_go_and_live_ones_stay() {
    let db = database().await;
    let queue = queue(&db);
    job(&queue, &request(1), Some("request-1")).await;
    let claimed = queue.claim("w", LEASE, 0).await.unwrap().unwrap();
    queue.end(&claimed, &Ending::Completed(Outcome::default())).await.unwrap();
    job(&queue, &request(2), Some("request-2")).await;
    queue.withdraw("request-3").await.unwrap();
    db.run("UPDATE ingest_jobs SET ended_at = ended_at - interval '2 days', requested_at = requested_at - interval '2 days'").await;
    db.run("UPDATE ingest_requests SET made_at = made_at - interval '2 days'").await;
    assert_eq!(queue.prune(Duration::from_secs(86_400)).await.unwrap(), 1);
    assert_eq!(db.text("SELECT string_agg(event_id::text, ',') FROM ingest_jobs").await, "2");
    assert_eq!(db.text("SELECT string_agg(key, ',') FROM ingest_requests").await, "request-2");
}
