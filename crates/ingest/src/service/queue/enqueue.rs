//! Requests become jobs.

use sqlx::Row;

use super::{CHANNEL, Queue};
use crate::service::model::{ImportRequest, Job, Outcome, Withdrawal};
use crate::store::{Session, StoreError, args, doing};

/// What a request became.
#[derive(Debug, Clone, PartialEq)]
pub enum Enqueued {
    /// This job: a new one, the event's live one, or that of the same request before.
    Job(Box<Job>),
    /// It is not taken.
    Refused(Refused),
}

/// Why a request is not taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refused {
    /// As many jobs wait as may.
    Full,
    /// The event is known at another track.
    OtherTrack(String),
    /// The client took it back before it came.
    Withdrawn,
    /// The key stands for an import of another event.
    KeyOfOther(u64),
}

impl Queue {
    /// Makes a job of a request, or finds the one that it already is. When it returns a job, that is durable.
    ///
    /// # Errors
    /// The database fails; whether the job was made is then unknown.
    pub async fn enqueue(
        &self,
        request: &ImportRequest,
        key: Option<&str>,
        most_queued: u32,
    ) -> Result<Enqueued, StoreError> {
        let mut session = self.session().await?;
        loop {
            session.begin().await?;
            let found = attempt(&mut session, request, key, most_queued).await?;
            let id = match found {
                Found::Refused(refused) => {
                    session.rollback().await;
                    return Ok(Enqueued::Refused(refused));
                }
                Found::Job(id) => id,
            };
            if let Some(key) = key
                && !name(&mut session, key, id).await?
            {
                session.rollback().await; // the same request came, or was withdrawn, at this very moment: look again
                continue;
            }
            session.commit().await?;
            let job = super::read::job(&mut session, id).await?;
            return job.map(|job| Enqueued::Job(Box::new(job))).ok_or_else(|| vanished(id));
        }
    }

    /// Takes a request back: unless it has become a job, its key is refused from now on.
    ///
    /// # Errors
    /// The database fails.
    pub async fn withdraw(&self, key: &str) -> Result<Withdrawal, StoreError> {
        const SQL: &str = "INSERT INTO ingest_requests (key) VALUES ($1) ON CONFLICT DO NOTHING";
        let mut session = self.session().await?;
        session.execute("withdrawing a request", SQL, args![key]).await?;
        let job = match request(&mut session, key).await? {
            Some(Some(id)) => super::read::job(&mut session, id).await?,
            _ => None,
        };
        Ok(Withdrawal { withdrawn: job.is_none(), job })
    }
}

fn vanished(id: i64) -> StoreError {
    StoreError::Stored(format!("job {id} is gone"))
}

enum Found {
    Job(i64),
    Refused(Refused),
}

async fn attempt(
    session: &mut Session,
    wanted: &ImportRequest,
    key: Option<&str>,
    most_queued: u32,
) -> Result<Found, StoreError> {
    if let Some(key) = key
        && let Some(known) = request(session, key).await?
    {
        let Some(id) = known else { return Ok(Found::Refused(Refused::Withdrawn)) };
        let job = super::read::job(session, id).await?.ok_or_else(|| vanished(id))?;
        if job.event_id != wanted.event_id {
            return Ok(Found::Refused(Refused::KeyOfOther(job.event_id)));
        }
        return Ok(Found::Job(id));
    }
    let event = event_id(wanted.event_id)?;
    if let Some((id, track, refresh)) = live(session, event).await? {
        if track != wanted.track {
            return Ok(Found::Refused(Refused::OtherTrack(track)));
        }
        if refresh || !wanted.refresh {
            return Ok(Found::Job(id));
        }
    } else if !wanted.refresh
        && let Some((track, listed)) = complete(session, event).await?
    {
        if track != wanted.track {
            return Ok(Found::Refused(Refused::OtherTrack(track)));
        }
        return Ok(Found::Job(nothing_to_do(session, wanted, event, listed).await?));
    } else if is_full(session, most_queued).await? {
        return Ok(Found::Refused(Refused::Full));
    }
    put(session, wanted, event).await
}

/// Makes the job, or asks the live one to refresh: it is begun again when it ends, as it may have read pages already.
async fn put(session: &mut Session, wanted: &ImportRequest, event: i64) -> Result<Found, StoreError> {
    const SQL: &str = "\
INSERT INTO ingest_jobs AS j (event_id, track, refresh) VALUES ($1, $2, $3)
ON CONFLICT (event_id) WHERE state IN ('queued', 'running') DO UPDATE SET refresh = j.refresh OR EXCLUDED.refresh
RETURNING id, track";
    const TELL: &str = "SELECT pg_notify($1, 'q' || $2::text)";
    let what = "queueing a job";
    let row = session.row(what, SQL, args![event, &wanted.track, wanted.refresh]).await?;
    let (id, track): (i64, String) = (row.try_get(0).map_err(doing(what))?, row.try_get(1).map_err(doing(what))?);
    if track != wanted.track {
        return Ok(Found::Refused(Refused::OtherTrack(track)));
    }
    session.execute(what, TELL, args![CHANNEL, id]).await?;
    Ok(Found::Job(id))
}

/// What a key stands for: nothing, a withdrawn request (`Some(None)`), a job.
pub(super) async fn request(session: &mut Session, key: &str) -> Result<Option<Option<i64>>, StoreError> {
    const SQL: &str = "SELECT job_id FROM ingest_requests WHERE key = $1";
    let what = "looking for a request";
    let rows = session.rows(what, SQL, args![key]).await?;
    rows.first().map(|row| row.try_get(0).map_err(doing(what))).transpose()
}

/// Lets a key stand for a job. `false`: it stands for something already.
async fn name(session: &mut Session, key: &str, job: i64) -> Result<bool, StoreError> {
    const SQL: &str = "\
WITH named AS (INSERT INTO ingest_requests (key, job_id) VALUES ($1, $2) ON CONFLICT DO NOTHING RETURNING job_id)
SELECT count(*) FROM (SELECT FROM named UNION ALL SELECT FROM ingest_requests WHERE key = $1 AND job_id = $2) n";
    let what = "naming a request";
    let row = session.row(what, SQL, args![key, job]).await?;
    Ok(row.try_get::<i64, _>(0).map_err(doing(what))? > 0)
}

async fn live(session: &mut Session, event: i64) -> Result<Option<(i64, String, bool)>, StoreError> {
    const SQL: &str =
        "SELECT id, track, refresh FROM ingest_jobs WHERE event_id = $1 AND state IN ('queued', 'running')";
    let what = "looking for the event's job";
    let rows = session.rows(what, SQL, args![event]).await?;
    let read = |row: &sqlx::postgres::PgRow| Ok((row.try_get(0)?, row.try_get(1)?, row.try_get(2)?));
    rows.first().map(read).transpose().map_err(doing(what))
}

/// Track and races of an event that is complete.
async fn complete(session: &mut Session, event: i64) -> Result<Option<(String, i32)>, StoreError> {
    const SQL: &str = "SELECT track, listed_races FROM events WHERE id = $1 AND ingest_depth = 'laps_full'";
    let what = "looking for the event";
    let rows = session.rows(what, SQL, args![event]).await?;
    let read = |row: &sqlx::postgres::PgRow| Ok((row.try_get(0)?, row.try_get(1)?));
    rows.first().map(read).transpose().map_err(doing(what))
}

/// The job of an event that is complete already: its newest, where that ended well, else one that ended as it began.
async fn nothing_to_do(
    session: &mut Session,
    wanted: &ImportRequest,
    event: i64,
    listed: i32,
) -> Result<i64, StoreError> {
    const NEWEST: &str = "SELECT id, state FROM ingest_jobs WHERE event_id = $1 ORDER BY id DESC LIMIT 1";
    const SQL: &str = "\
INSERT INTO ingest_jobs (event_id, track, refresh, state, ended_at, outcome)
VALUES ($1, $2, false, 'completed', now(), $3) RETURNING id";
    let what = "finding that there is nothing to do";
    let newest = session.rows(what, NEWEST, args![event]).await?;
    if let Some(row) = newest.first()
        && row.try_get::<String, _>(1).map_err(doing(what))? == "completed"
    {
        return row.try_get(0).map_err(doing(what));
    }
    let outcome = sqlx::types::Json(Outcome::already_there(listed.unsigned_abs().into()));
    let row = session.row(what, SQL, args![event, &wanted.track, outcome]).await?;
    row.try_get(0).map_err(doing(what))
}

async fn is_full(session: &mut Session, most: u32) -> Result<bool, StoreError> {
    const SQL: &str = "SELECT count(*) FROM (SELECT FROM ingest_jobs WHERE state = 'queued' LIMIT $1) q";
    let what = "counting the queue";
    let row = session.row(what, SQL, args![i64::from(most)]).await?;
    Ok(row.try_get::<i64, _>(0).map_err(doing(what))? >= i64::from(most))
}

/// LiveRC's id for a `bigint` column.
pub(in crate::service) fn event_id(id: u64) -> Result<i64, StoreError> {
    i64::try_from(id).map_err(|_| StoreError::NoEvent(id))
}
