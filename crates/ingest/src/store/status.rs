//! What the database holds of an event, and whether it is what the checkpoints say.

use serde::Serialize;
use sqlx::Row;
use sqlx::postgres::PgRow;

use super::error::doing;
use super::session::args;
use super::{Session, StoreError, content_hash, encode};
use crate::model::{Lap, ListedRace, Race, RaceResult};

/// What is stored of an event.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct EventStatus {
    /// LiveRC's id.
    pub event_id: u64,
    /// Its track.
    pub track: String,
    /// Its name.
    pub name: String,
    /// `none`, `partial` or `laps_full`.
    pub ingest_depth: String,
    /// Races on the event page when it was last read.
    pub listed_races: u64,
    /// Entries.
    pub entries: u64,
    /// Fencing number of the newest engine.
    pub fence: i64,
    /// The races that are stored or known to have failed, by id.
    pub races: Vec<RaceStatus>,
}

/// What is stored of a race.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RaceStatus {
    /// LiveRC's id.
    pub race_id: u64,
    /// `written`, `failed`, or absent when there is no checkpoint.
    pub state: Option<String>,
    /// Whether it has a row.
    pub stored: bool,
    /// Results stored.
    pub results: u64,
    /// Laps stored.
    pub laps: u64,
    /// Laps that the checkpoint speaks of.
    pub checkpoint_laps: Option<u64>,
    /// Content hash of the checkpoint, hex.
    pub hash: Option<String>,
    /// Content hash of the stored rows, hex, where it was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub recomputed: Option<String>,
    /// URL of a failed race's page.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// Why it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// Reads the status of an event in one snapshot; with `rehash` every stored race is read and hashed anew.
///
/// # Errors
/// No such event; the database fails; stored rows that no engine writes.
pub async fn status(session: &mut Session, event: u64, rehash: bool) -> Result<EventStatus, StoreError> {
    const SNAPSHOT: &str = "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY";
    session.begin().await?;
    session.execute("taking a snapshot", SNAPSHOT, args![]).await?;
    let mut status = read_event(session, event).await?;
    status.races = read_races(session, encode::id(event)?).await?;
    if rehash {
        for race in status.races.iter_mut().filter(|r| r.stored) {
            if let Some(stored) = load_race(session, race.race_id).await? {
                race.recomputed = Some(hex(&content_hash(&stored)));
            }
        }
    }
    session.rollback().await;
    Ok(status)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

async fn read_event(session: &mut Session, event: u64) -> Result<EventStatus, StoreError> {
    const SQL: &str = "\
SELECT e.track, e.name, e.ingest_depth, e.listed_races, (SELECT count(*) FROM entries n WHERE n.event_id = e.id),
       coalesce((SELECT fence FROM ingest_events i WHERE i.event_id = e.id), 0)
FROM events e WHERE e.id = $1";
    let what = "reading the event";
    let rows = session.rows(what, SQL, args![encode::id(event)?]).await?;
    let row = rows.first().ok_or(StoreError::NoEvent(event))?;
    let read = || -> sqlx::Result<EventStatus> {
        Ok(EventStatus {
            event_id: event,
            track: row.try_get(0)?,
            name: row.try_get(1)?,
            ingest_depth: row.try_get(2)?,
            listed_races: row.try_get::<i32, _>(3)?.unsigned_abs().into(),
            entries: row.try_get::<i64, _>(4)?.unsigned_abs(),
            fence: row.try_get(5)?,
            races: Vec::new(),
        })
    };
    read().map_err(doing(what))
}

async fn read_races(session: &mut Session, event: i64) -> Result<Vec<RaceStatus>, StoreError> {
    const SQL: &str = "\
SELECT coalesce(r.id, c.race_id) AS race, c.state, r.id IS NOT NULL,
       (SELECT count(*) FROM results s WHERE s.race_id = r.id),
       (SELECT count(*) FROM results s JOIN laps l ON l.result_id = s.id WHERE s.race_id = r.id),
       c.lap_count, c.hash, c.url, c.error
FROM (SELECT id FROM races WHERE event_id = $1) r
FULL JOIN (SELECT * FROM ingest_checkpoints WHERE event_id = $1) c ON c.race_id = r.id
ORDER BY race";
    let what = "reading the races";
    let read = |row: &PgRow| -> sqlx::Result<RaceStatus> {
        Ok(RaceStatus {
            race_id: row.try_get::<i64, _>(0)?.unsigned_abs(),
            state: row.try_get(1)?,
            stored: row.try_get(2)?,
            results: row.try_get::<i64, _>(3)?.unsigned_abs(),
            laps: row.try_get::<i64, _>(4)?.unsigned_abs(),
            checkpoint_laps: row.try_get::<Option<i32>, _>(5)?.map(|n| n.unsigned_abs().into()),
            hash: row.try_get::<Option<Vec<u8>>, _>(6)?.map(|h| hex(&h)),
            recomputed: None,
            url: row.try_get(7)?,
            error: row.try_get(8)?,
        })
    };
    let rows = session.rows(what, SQL, args![event]).await?;
    rows.iter().map(read).collect::<sqlx::Result<_>>().map_err(doing(what))
}

/// Reads a race back as it was parsed, but for the order of its results, which is not stored. `None`: no such race.
///
/// # Errors
/// The database fails; stored rows that no engine writes.
pub async fn load_race(session: &mut Session, race: u64) -> Result<Option<Race>, StoreError> {
    const RACE: &str =
        "SELECT round, number, class, label, completed_at::text, length, warnings FROM races WHERE id = $1";
    const RESULTS: &str = "\
SELECT id, driver_id, name, nth, car_number, behind, position, qualifying, grid, laps_completed, total_ms, fastest_ms,
       fastest_lap, average_ms, average_top5_ms, average_top10_ms, average_top15_ms, top3_ms, deviation_ms, consistency_bp
FROM results WHERE race_id = $1 ORDER BY id";
    const LAPS: &str = "\
SELECT result_id, number, position, time_ms, pace_laps, pace_ms FROM laps
WHERE result_id = ANY (ARRAY(SELECT id FROM results WHERE race_id = $1)) ORDER BY result_id, number";
    let what = "reading a race";
    let id = encode::id(race)?;
    let rows = session.rows(what, RACE, args![id]).await?;
    let Some(row) = rows.first() else { return Ok(None) };
    let read = || -> sqlx::Result<_> {
        let listed: (String, Option<i32>, String, String) =
            (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?, row.try_get(3)?);
        Ok((
            listed,
            row.try_get::<Option<String>, _>(4)?,
            row.try_get::<String, _>(5)?,
            row.try_get::<Vec<String>, _>(6)?,
        ))
    };
    let ((round, number, class, label), completed, length, warnings) = read().map_err(doing(what))?;
    let number = number.map(encode::uint).transpose()?;
    let completed_at = encode::date_time_back(completed.as_deref())?;
    let mut results = Vec::new();
    for row in session.rows(what, RESULTS, args![id]).await? {
        results.push(result_back(&row, what)?);
    }
    for row in session.rows(what, LAPS, args![id]).await? {
        let of: i64 = row.try_get(0).map_err(doing(what))?;
        let lap = lap_back(&row, what)?;
        if let Ok(i) = results.binary_search_by_key(&of, |(id, _)| *id)
            && let Some((_, result)) = results.get_mut(i)
        {
            result.laps.push(lap);
        }
    }
    let listed = ListedRace { id: race, round, number, class, label, completed_at };
    Ok(Some(Race { listed, length, results: results.into_iter().map(|(_, r)| r).collect(), warnings }))
}

fn number_at(row: &PgRow, column: usize, what: &'static str) -> Result<Option<u32>, StoreError> {
    row.try_get::<Option<i32>, _>(column).map_err(doing(what))?.map(encode::uint).transpose()
}

fn needed(value: Option<u32>) -> Result<u32, StoreError> {
    value.ok_or_else(|| StoreError::Stored("a number is missing".to_owned()))
}

fn lap_back(row: &PgRow, what: &'static str) -> Result<Lap, StoreError> {
    let number = |column| number_at(row, column, what);
    Ok(Lap {
        number: needed(number(1)?)?,
        position: number(2)?,
        time_ms: needed(number(3)?)?,
        pace_laps: number(4)?,
        pace_ms: number(5)?,
    })
}

fn result_back(row: &PgRow, what: &'static str) -> Result<(i64, RaceResult), StoreError> {
    let text = |column| row.try_get::<String, usize>(column).map_err(doing(what));
    let number = |column| number_at(row, column, what);
    let driver: Option<i64> = row.try_get(1).map_err(doing(what))?;
    let result = RaceResult {
        driver_id: driver.map(encode::back).transpose()?,
        name: text(2)?,
        nth: needed(number(3)?)?,
        car_number: text(4)?,
        behind: text(5)?,
        position: number(6)?,
        qualifying: number(7)?,
        grid: number(8)?,
        laps_completed: number(9)?,
        total_ms: number(10)?,
        fastest_ms: number(11)?,
        fastest_lap: number(12)?,
        average_ms: number(13)?,
        average_top5_ms: number(14)?,
        average_top10_ms: number(15)?,
        average_top15_ms: number(16)?,
        top3_ms: number(17)?,
        deviation_ms: number(18)?,
        consistency_bp: number(19)?,
        laps: Vec::new(),
    };
    Ok((row.try_get(0).map_err(doing(what))?, result))
}
