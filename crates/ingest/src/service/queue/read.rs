//! Jobs as they are told.

use serde::Serialize;
use sqlx::Row;
use sqlx::postgres::PgRow;
use sqlx::types::Json;

use super::Queue;
use super::enqueue::{event_id, request};
use crate::service::model::{Job, JobState};
use crate::store::{Session, StoreError, args, doing};

/// The queue at a glance.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Gauges {
    /// Jobs that wait.
    pub queued: u64,
    /// Of those, jobs whose time has come.
    pub due: u64,
    /// Jobs that a worker is at.
    pub running: u64,
    /// Of those, jobs whose lease has ended.
    pub abandoned: u64,
    /// How long the job that has been due for longest has waited, s.
    pub oldest_due_s: f64,
}

macro_rules! columns {
    () => {
        "SELECT j.id, j.event_id, j.track, j.refresh, j.state, j.worker, j.attempts, j.takeovers, \
         CASE WHEN j.state = 'running' THEN j.progress END, j.outcome, \
         to_char(j.requested_at AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.MS\"Z\"'), \
         CASE WHEN j.state = 'queued' AND j.due_at > now() THEN to_char(j.due_at AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.MS\"Z\"') END, \
         to_char(j.started_at AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.MS\"Z\"'), \
         to_char(j.ended_at AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.MS\"Z\"'), \
         CASE WHEN j.state = 'queued' THEN (SELECT count(*) + 1 FROM ingest_jobs o \
             WHERE o.state = 'queued' AND (o.due_at, o.id) < (j.due_at, j.id)) END \
         FROM ingest_jobs j "
    };
}

impl Queue {
    /// A job. `None`: there is none of that id.
    ///
    /// # Errors
    /// The database fails.
    pub async fn job(&self, id: u64) -> Result<Option<Job>, StoreError> {
        let Ok(id) = i64::try_from(id) else { return Ok(None) };
        job(&mut self.session().await?, id).await
    }

    /// Counts of the queue.
    ///
    /// # Errors
    /// The database fails.
    pub async fn gauges(&self) -> Result<Gauges, StoreError> {
        const SQL: &str = "\
SELECT count(*) FILTER (WHERE state = 'queued'), count(*) FILTER (WHERE state = 'queued' AND due_at <= now()),
       count(*) FILTER (WHERE state = 'running'), count(*) FILTER (WHERE state = 'running' AND lease_until < now()),
       coalesce(extract(epoch FROM now() - min(due_at) FILTER (WHERE state = 'queued' AND due_at <= now())), 0)::float8
FROM ingest_jobs WHERE state IN ('queued', 'running')";
        let what = "counting the jobs";
        let row = self.session().await?.row(what, SQL, args![]).await?;
        let read = || -> sqlx::Result<_> {
            Ok(Gauges {
                queued: row.try_get::<i64, _>(0)?.unsigned_abs(),
                due: row.try_get::<i64, _>(1)?.unsigned_abs(),
                running: row.try_get::<i64, _>(2)?.unsigned_abs(),
                abandoned: row.try_get::<i64, _>(3)?.unsigned_abs(),
                oldest_due_s: row.try_get(4)?,
            })
        };
        read().map_err(doing(what))
    }
}

/// A job by its id.
pub(super) async fn job(session: &mut Session, id: i64) -> Result<Option<Job>, StoreError> {
    const SQL: &str = concat!(columns!(), "WHERE j.id = $1");
    let rows = session.rows("reading a job", SQL, args![id]).await?;
    rows.first().map(from_row).transpose()
}

/// The job that a request became, if it became one.
pub(in crate::service) async fn of_request(
    session: &mut Session,
    event: u64,
    key: &str,
) -> Result<Option<Job>, StoreError> {
    match request(session, key).await? {
        Some(Some(id)) => Ok(job(session, id).await?.filter(|job| job.event_id == event)),
        _ => Ok(None),
    }
}

/// The newest job of an event, and the id of the one that is queued or running.
pub(in crate::service) async fn of_event(
    session: &mut Session,
    event: u64,
) -> Result<(Option<Job>, Option<u64>), StoreError> {
    const SQL: &str = concat!(columns!(), "WHERE j.event_id = $1 ORDER BY j.id DESC LIMIT 1");
    let rows = session.rows("reading the event's job", SQL, args![event_id(event)?]).await?;
    // A live job is the newest: none is made beside it.
    let newest = rows.first().map(from_row).transpose()?;
    let live = newest.as_ref().filter(|job| !job.state.ended()).map(|job| job.id);
    Ok((newest, live))
}

fn from_row(row: &PgRow) -> Result<Job, StoreError> {
    let read = || -> sqlx::Result<Job> {
        let state = match row.try_get::<String, _>(4)?.as_str() {
            "queued" => JobState::Queued,
            "running" => JobState::Running,
            "completed" => JobState::Completed,
            _ => JobState::Failed,
        };
        Ok(Job {
            id: row.try_get::<i64, _>(0)?.unsigned_abs(),
            event_id: row.try_get::<i64, _>(1)?.unsigned_abs(),
            track: row.try_get(2)?,
            refresh: row.try_get(3)?,
            state,
            worker: row.try_get(5)?,
            attempts: row.try_get::<i32, _>(6)?.unsigned_abs(),
            takeovers: row.try_get::<i32, _>(7)?.unsigned_abs(),
            progress: row.try_get::<Option<Json<_>>, _>(8)?.map(|json| json.0),
            outcome: row.try_get::<Option<Json<_>>, _>(9)?.map(|json| json.0),
            requested_at: row.try_get(10)?,
            not_before: row.try_get(11)?,
            started_at: row.try_get(12)?,
            ended_at: row.try_get(13)?,
            position: row.try_get::<Option<i64>, _>(14)?.map(i64::unsigned_abs),
        })
    };
    read().map_err(doing("reading a job"))
}
