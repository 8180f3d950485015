//! What is there of events, for the API.

use sqlx::Row;
use sqlx::postgres::PgRow;

use super::model::{EventHead, EventList, EventState, FailedRace, IngestDepth};
use super::queue::Queue;
use crate::store::{Session, StoreError, args, doing};

macro_rules! heads {
    () => {
        "SELECT e.id, e.track, t.name, e.name, e.first_day::text, e.last_day::text, e.listed_races, e.ingest_depth \
         FROM events e JOIN tracks t ON t.slug = e.track "
    };
}

impl Queue {
    /// What is there of an event and what is being done about it, in one snapshot. `key` names a request: its job is
    /// told then, and no other. `None`: neither the event nor a job of it is known.
    ///
    /// # Errors
    /// The database fails.
    pub async fn event_state(&self, event: u64, key: Option<&str>) -> Result<Option<EventState>, StoreError> {
        const SNAPSHOT: &str = "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY";
        if i64::try_from(event).is_err() {
            return Ok(None);
        }
        let mut session = self.session().await?;
        session.begin().await?;
        session.execute("taking a snapshot", SNAPSHOT, args![]).await?;
        let state = read_state(&mut session, event, key).await?;
        session.commit().await?;
        Ok(state)
    }

    /// How much of an event is there: `laps_full` with the number of its races, or not.
    ///
    /// # Errors
    /// The database fails.
    pub async fn complete(&self, event: u64) -> Result<Option<u64>, StoreError> {
        let mut session = self.session().await?;
        let head = head(&mut session, event).await?;
        Ok(head.filter(|e| e.ingest_depth == IngestDepth::LapsFull).map(|e| e.listed_races))
    }

    /// Events whose name, track or id the text is part of; all for an empty text. The newest first.
    ///
    /// # Errors
    /// The database fails.
    pub async fn find_events(&self, text: &str, limit: u32) -> Result<EventList, StoreError> {
        const SQL: &str = concat!(
            heads!(),
            "WHERE e.name ILIKE $1 OR e.track ILIKE $1 OR t.name ILIKE $1 OR e.id::text = $2 \
             ORDER BY e.last_day DESC NULLS LAST, e.id DESC LIMIT $3"
        );
        let pattern = text.replace('\\', "\\\\").replace('%', "\\%").replace('_', "\\_");
        let args = args![format!("%{pattern}%"), text, i64::from(limit) + 1];
        let rows = self.session().await?.rows("looking for events", SQL, args).await?;
        let more = rows.len() > limit as usize;
        let events = rows.iter().take(limit as usize).map(from_row).collect::<Result<_, _>>()?;
        Ok(EventList { events, more })
    }
}

async fn read_state(session: &mut Session, event: u64, key: Option<&str>) -> Result<Option<EventState>, StoreError> {
    const RACES: &str = "\
SELECT (SELECT count(*) FROM races WHERE event_id = $1), c.race_id, c.url, c.error
FROM (SELECT) one LEFT JOIN ingest_checkpoints c ON c.event_id = $1 AND c.state = 'failed' ORDER BY c.race_id";
    let what = "reading the event's races";
    let head = head(session, event).await?;
    let (newest, live_job) = super::queue::of_event(session, event).await?;
    if head.is_none() && newest.is_none() {
        return Ok(None);
    }
    let job = match key {
        Some(key) => super::queue::of_request(session, event, key).await?,
        None => newest,
    };
    let (mut written_races, mut failed_races) = (0, Vec::new());
    for row in session.rows(what, RACES, args![super::queue::event_id(event)?]).await? {
        let mut read = || -> sqlx::Result<()> {
            written_races = row.try_get::<i64, _>(0)?.unsigned_abs();
            if let Some(race) = row.try_get::<Option<i64>, _>(1)? {
                failed_races.push(FailedRace {
                    race_id: race.unsigned_abs(),
                    url: row.try_get::<Option<String>, _>(2)?.unwrap_or_default(),
                    cause: row.try_get::<Option<String>, _>(3)?.unwrap_or_default(),
                });
            }
            Ok(())
        };
        read().map_err(doing(what))?;
    }
    let ingest_depth = head.as_ref().map_or(IngestDepth::None, |head| head.ingest_depth);
    Ok(Some(EventState { event_id: event, ingest_depth, event: head, written_races, failed_races, job, live_job }))
}

async fn head(session: &mut Session, event: u64) -> Result<Option<EventHead>, StoreError> {
    const SQL: &str = concat!(heads!(), "WHERE e.id = $1");
    let Ok(id) = super::queue::event_id(event) else { return Ok(None) };
    let rows = session.rows("reading the event", SQL, args![id]).await?;
    rows.first().map(from_row).transpose()
}

fn from_row(row: &PgRow) -> Result<EventHead, StoreError> {
    let read = || -> sqlx::Result<_> {
        let ingest_depth = match row.try_get::<String, _>(7)?.as_str() {
            "laps_full" => IngestDepth::LapsFull,
            "partial" => IngestDepth::Partial,
            _ => IngestDepth::None,
        };
        Ok(EventHead {
            event_id: row.try_get::<i64, _>(0)?.unsigned_abs(),
            track: row.try_get(1)?,
            track_name: row.try_get(2)?,
            name: row.try_get(3)?,
            first_day: row.try_get(4)?,
            last_day: row.try_get(5)?,
            listed_races: row.try_get::<i32, _>(6)?.unsigned_abs().into(),
            ingest_depth,
        })
    };
    read().map_err(doing("reading an event"))
}
