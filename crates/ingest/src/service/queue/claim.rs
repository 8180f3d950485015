//! Workers and their jobs: claim, renew, end.

use std::time::Duration;

use sqlx::Row;
use sqlx::types::Json;

use super::{CHANNEL, Queue, secs};
use crate::service::model::{JobProgress, Outcome};
use crate::store::{StoreError, args, doing};

/// A job that this worker has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claimed {
    /// The job.
    pub id: i64,
    /// LiveRC's id of the event.
    pub event_id: u64,
    /// Host label of the track.
    pub track: String,
    /// Whether every page is to be read again.
    pub refresh: bool,
    /// Number of the claim.
    pub claim: i64,
    /// Attempts that failed in a way that is worth another.
    pub attempts: u32,
    /// Times that a worker went silent with it.
    pub takeovers: u32,
}

/// How a claim ends.
#[derive(Debug, Clone, PartialEq)]
pub enum Ending {
    /// The event is complete.
    Completed(Outcome),
    /// It has failed for good.
    Failed(Outcome),
    /// Another attempt, not before this time from now.
    Later(Outcome, Duration),
    /// The worker stops in good order; any other may go on at once.
    HandedBack,
}

impl Queue {
    /// Claims the job that has been due for longest: a queued one, or one whose worker let its lease end. `per_track`
    /// bounds the jobs of one track that run at once, anywhere; 0 is no bound.
    ///
    /// # Errors
    /// The database fails.
    pub async fn claim(&self, worker: &str, lease: Duration, per_track: u32) -> Result<Option<Claimed>, StoreError> {
        const SQL: &str = "\
WITH next AS (
    SELECT id, state FROM ingest_jobs n
    WHERE ((state = 'queued' AND due_at <= now()) OR (state = 'running' AND lease_until < now()))
      AND ($3 = 0 OR (SELECT count(*) FROM ingest_jobs o
                      WHERE o.state = 'running' AND o.lease_until >= now() AND o.track = n.track) < $3)
    ORDER BY due_at, id LIMIT 1 FOR UPDATE SKIP LOCKED
)
UPDATE ingest_jobs j SET state = 'running', worker = $1, claim = j.claim + 1, progress = NULL,
    lease_until = now() + make_interval(secs => $2), started_at = coalesce(j.started_at, now()),
    takeovers = j.takeovers + (next.state = 'running')::int
FROM next WHERE j.id = next.id
RETURNING j.id, j.event_id, j.track, j.refresh, j.claim, j.attempts, j.takeovers";
        // Two claims that count the jobs of a track at once would both find room.
        const ONE_BY_ONE: &str = "SELECT pg_advisory_xact_lock(hashtextextended('ingest claim', 0))";
        let what = "claiming a job";
        let mut session = self.session().await?;
        if per_track > 0 {
            session.begin().await?;
            session.execute(what, ONE_BY_ONE, args![]).await?;
        }
        let rows = session.rows(what, SQL, args![worker, secs(lease), i64::from(per_track)]).await?;
        if per_track > 0 {
            session.commit().await?;
        }
        let Some(row) = rows.first() else { return Ok(None) };
        let read = || -> sqlx::Result<_> {
            Ok(Claimed {
                id: row.try_get(0)?,
                event_id: row.try_get::<i64, _>(1)?.unsigned_abs(),
                track: row.try_get(2)?,
                refresh: row.try_get(3)?,
                claim: row.try_get(4)?,
                attempts: row.try_get::<i32, _>(5)?.unsigned_abs(),
                takeovers: row.try_get::<i32, _>(6)?.unsigned_abs(),
            })
        };
        read().map(Some).map_err(doing(what))
    }

    /// Renews the lease and tells how far the job has come. `false`: it is no longer this claim's.
    ///
    /// # Errors
    /// The database fails.
    pub async fn renew(
        &self,
        job: &Claimed,
        lease: Duration,
        progress: Option<JobProgress>,
    ) -> Result<bool, StoreError> {
        const SQL: &str = "\
UPDATE ingest_jobs SET lease_until = now() + make_interval(secs => $3), progress = coalesce($4, progress)
WHERE id = $1 AND claim = $2 AND state = 'running'";
        let mut session = self.session().await?;
        let args = args![job.id, job.claim, secs(lease), progress.map(Json)];
        Ok(session.execute("renewing a lease", SQL, args).await? == 1)
    }

    /// Ends a claim. `false`: it is no longer this claim's, and what became of it is for others to say.
    ///
    /// A job that completed though a refresh was asked for while it ran is queued again.
    ///
    /// # Errors
    /// The database fails; whether the end was written is then unknown, and asking again is harmless.
    pub async fn end(&self, job: &Claimed, ending: &Ending) -> Result<bool, StoreError> {
        const ENDED: &str = "\
WITH ended AS (
    UPDATE ingest_jobs SET outcome = $4, progress = NULL, lease_until = NULL, due_at = now(),
        state = CASE WHEN $3 = 'completed' AND refresh AND NOT $5 THEN 'queued' ELSE $3 END,
        ended_at = CASE WHEN $3 = 'completed' AND refresh AND NOT $5 THEN NULL ELSE now() END
    WHERE id = $1 AND claim = $2 AND state = 'running' RETURNING id, state
)
SELECT pg_notify($6, CASE state WHEN 'queued' THEN 'q' ELSE 'e' END || id::text) FROM ended";
        const LATER: &str = "\
WITH later AS (
    UPDATE ingest_jobs SET state = 'queued', progress = NULL, lease_until = NULL, attempts = attempts + $5,
        outcome = coalesce($4, outcome), due_at = now() + make_interval(secs => $3)
    WHERE id = $1 AND claim = $2 AND state = 'running' RETURNING id
)
SELECT pg_notify($6, 'q' || id::text) FROM later";
        let what = "ending a job";
        let mut session = self.session().await?;
        let rows = match ending {
            Ending::Completed(outcome) | Ending::Failed(outcome) => {
                let state = if matches!(ending, Ending::Completed(_)) { "completed" } else { "failed" };
                let args = args![job.id, job.claim, state, Json(outcome), job.refresh, CHANNEL];
                session.rows(what, ENDED, args).await?
            }
            Ending::Later(outcome, wait) => {
                let args = args![job.id, job.claim, secs(*wait), Some(Json(outcome)), 1i32, CHANNEL];
                session.rows(what, LATER, args).await?
            }
            Ending::HandedBack => {
                let args = args![job.id, job.claim, 0f64, None::<Json<&Outcome>>, 0i32, CHANNEL];
                session.rows(what, LATER, args).await?
            }
        };
        Ok(!rows.is_empty())
    }

    /// Removes jobs and requests that ended or were made longer ago than this. The number of jobs.
    ///
    /// # Errors
    /// The database fails.
    pub async fn prune(&self, older_than: Duration) -> Result<u64, StoreError> {
        const JOBS: &str = "DELETE FROM ingest_jobs WHERE ended_at < now() - make_interval(secs => $1)";
        const REQUESTS: &str =
            "DELETE FROM ingest_requests WHERE job_id IS NULL AND made_at < now() - make_interval(secs => $1)";
        let mut session = self.session().await?;
        let jobs = session.execute("removing old jobs", JOBS, args![secs(older_than)]).await?;
        session.execute("removing old requests", REQUESTS, args![secs(older_than)]).await?;
        Ok(jobs)
    }
}
