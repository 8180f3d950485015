//! Workers as processes: killed, stalled, told to stop, fed with poison.

use std::os::unix::process::ExitStatusExt;

use contract::feed::Record;
use ingest::service::model::{JobState, Outcome};
use ingest::service::queue::{Enqueued, Queue};
use nix::sys::signal::Signal;

use crate::common::{Db, database};
use crate::help::{EVENT, Process, asked, queue, request, site, until};

async fn enqueue(queue: &Queue, event: u64) -> u64 {
    match queue.enqueue(&request(event), None, 100).await.unwrap() {
        Enqueued::Job(job) => job.id,
        Enqueued::Refused(refused) => panic!("{refused:?}"),
    }
}

async fn ended(queue: &Queue, job: u64) -> (JobState, u32, Outcome) {
    until("the job's end", async || queue.job(job).await.unwrap().unwrap().state.ended()).await;
    let job = queue.job(job).await.unwrap().unwrap();
    (job.state, job.takeovers, job.outcome.unwrap())
}

async fn whole(db: &Db) {
    assert_eq!(db.text("SELECT ingest_depth FROM events").await, "laps_full");
    assert_eq!(db.text("SELECT count(*)::text FROM races").await, "5");
    assert_eq!(db.text("SELECT count(*)::text FROM ingest_checkpoints WHERE state = 'written'").await, "5");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_workers_job_goes_on_in_another_where_its_checkpoints_end() {
    let (db, site) = (database().await, site(None).await);
    let queue = queue(&db);
    let job = enqueue(&queue, EVENT).await;
    let mut first = Process::start(&db, &site, &["work", "--lease", "1s"], &[("HARNESS_ARM", "after-commit#3=kill")]);
    assert_eq!(first.wait().signal(), Some(9));
    let committed = db.text("SELECT count(*)::text FROM ingest_checkpoints WHERE state = 'written'").await;
    assert_eq!(committed, "3", "each unit is a race");
    assert_eq!(queue.job(job).await.unwrap().unwrap().state, JobState::Running, "nobody has noticed yet");

    let _second = Process::start(&db, &site, &["work", "--lease", "1s"], &[]);
    let (state, takeovers, outcome) = ended(&queue, job).await;
    assert_eq!((state, takeovers), (JobState::Completed, 1), "{outcome:?}");
    assert_eq!((outcome.listed, outcome.written, outcome.unchanged), (5, 2, 3));
    whole(&db).await;
    // Up to five were read by the first; the three that it wrote are not read again.
    let twice = asked(&site).await.iter().filter(|(_, n)| *n > 1).count();
    assert!(twice <= 2, "{:?}", asked(&site).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stalled_worker_that_wakes_changes_nothing() {
    let (db, site) = (database().await, site(None).await);
    let queue = queue(&db);
    let job = enqueue(&queue, EVENT).await;
    let first = Process::start(&db, &site, &["work", "--lease", "1s"], &[("HARNESS_ARM", "before-commit#2=hold")]);
    first.armed_step().await;
    let second = Process::start(&db, &site, &["work", "--lease", "1s"], &[]);
    let (state, takeovers, outcome) = ended(&queue, job).await;
    assert_eq!(state, JobState::Completed, "{outcome:?}");
    assert!(takeovers >= 1);
    whole(&db).await;
    let (content, _) = db.dump().await;
    first.signal(Signal::SIGCONT);
    // It has come to its senses when it tells how its run ended.
    let summary = || first.records().iter().any(|r| matches!(r, Record::Summary(_)));
    until("the end of the stalled run", async || summary()).await;
    assert_eq!(db.dump().await.0, content);
    let told = queue.job(job).await.unwrap().unwrap();
    assert_eq!((told.state, told.takeovers), (JobState::Completed, takeovers));
    assert_eq!(told.worker.as_deref(), second.said.strip_prefix("working as "));
    assert!(!first.records().iter().any(|r| matches!(r, Record::Summary(s) if s.exit == 0)), "its fence is old");
}

#[tokio::test(flavor = "multi_thread")]
async fn two_workers_share_the_work_and_never_an_event() {
    let (db, site) = (database().await, site(None).await);
    let queue = queue(&db);
    let workers: Vec<_> = (0..2).map(|_| Process::start(&db, &site, &["work"], &[])).collect();
    for _ in 0..3 {
        let job = enqueue(&queue, EVENT).await;
        assert_eq!(ended(&queue, job).await.0, JobState::Completed);
    }
    whole(&db).await;
    let runs = |p: &Process| p.records().iter().filter(|r| matches!(r, Record::Started(_))).count();
    assert_eq!(workers.iter().map(runs).sum::<usize>(), 1, "a complete event is not read again");
}

#[tokio::test(flavor = "multi_thread")]
async fn poison_stops_nobody_else_and_its_causes_are_kept() {
    let (db, site) = (database().await, site(Some("9003")).await);
    let queue = queue(&db);
    let poison = enqueue(&queue, 4711).await; // LiveRC has no such event
    let half = enqueue(&queue, EVENT).await; // one of its races cannot be read
    let _worker = Process::start(&db, &site, &["work", "--job-attempts", "2"], &[]);
    let (state, _, outcome) = ended(&queue, poison).await;
    assert_eq!((state, outcome.exit), (JobState::Failed, 1));
    let error = outcome.error.unwrap();
    assert!(error.contains("view_event&id=4711") && error.contains("404"), "{error}");
    let (state, _, outcome) = ended(&queue, half).await;
    assert_eq!(state, JobState::Failed);
    assert_eq!(outcome.failed.len(), 1, "{outcome:?}");
    assert_eq!(outcome.failed[0].race_id, 9003);
    assert!(outcome.failed[0].url.contains("id=9003") && !outcome.failed[0].cause.is_empty(), "{outcome:?}");
    assert_eq!(db.text("SELECT count(*)::text FROM races").await, "4", "the others are there");
    assert_eq!(db.text("SELECT ingest_depth FROM events").await, "partial");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_kills_its_workers_is_given_up() {
    let (db, site) = (database().await, site(None).await);
    let queue = queue(&db);
    let job = enqueue(&queue, EVENT).await;
    db.run("UPDATE ingest_jobs SET takeovers = 4, state = 'running', lease_until = now() - interval '1 second'").await;
    let _worker = Process::start(&db, &site, &["work"], &[]);
    let (state, takeovers, outcome) = ended(&queue, job).await;
    assert_eq!((state, takeovers), (JobState::Failed, 5));
    assert!(outcome.error.unwrap().contains("5 workers in turn died"));
    assert!(site.received_requests().await.unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn told_to_stop_a_worker_finishes_its_unit_and_hands_the_job_back() {
    let (db, site) = (database().await, site(None).await);
    let queue = queue(&db);
    let job = enqueue(&queue, EVENT).await;
    let mut first = Process::start(&db, &site, &["work"], &[("HARNESS_ARM", "before-commit#2=hold")]);
    first.armed_step().await;
    first.signal(Signal::SIGTERM);
    first.signal(Signal::SIGCONT);
    assert_eq!(first.wait().code(), Some(0));
    let told = queue.job(job).await.unwrap().unwrap();
    let written: u64 =
        db.text("SELECT count(*)::text FROM ingest_checkpoints WHERE state = 'written'").await.parse().unwrap();
    assert!(written >= 2, "the unit that was being written is there");
    if told.state.ended() {
        return whole(&db).await; // it was through before the signal came to its ears
    }
    assert_eq!((told.state, told.takeovers, told.attempts), (JobState::Queued, 0, 0));
    let _second = Process::start(&db, &site, &["work"], &[]);
    let (state, takeovers, outcome) = ended(&queue, job).await;
    assert_eq!((state, takeovers, outcome.unchanged), (JobState::Completed, 0, written), "{outcome:?}");
    whole(&db).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_worth_retrying_is_retried_until_the_budget_ends() {
    let (db, site) = (database().await, site(None).await);
    let queue = queue(&db);
    let job = enqueue(&queue, EVENT).await;
    let nowhere = [("LIVERC_BASE_URL", "http://127.0.0.1:9")];
    let args = ["work", "--job-attempts", "3", "--retry-attempts", "1"];
    let _worker = Process::start(&db, &site, &args, &nowhere);
    let (state, _, outcome) = ended(&queue, job).await;
    assert_eq!((state, outcome.exit), (JobState::Failed, 75), "{outcome:?}");
    assert!(outcome.error.unwrap().contains("127.0.0.1:9"));
    assert_eq!(queue.job(job).await.unwrap().unwrap().attempts, 2);
}
