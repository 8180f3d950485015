//! The event itself, recorded when its page has been read.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};

use contract::feed::Changes;
use sqlx::Row;
use sqlx::postgres::PgArguments;

use super::error::doing;
use super::rows::count;
use super::session::args;
use super::{Checkpoints, Session, State, StoreError, checkpoint, encode, fence};
use crate::model::Event;

/// How far the ingestion of an event has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Depth {
    /// Nothing is stored.
    None,
    /// Something is.
    Partial,
    /// Every listed race is.
    LapsFull,
}

impl Depth {
    /// As the table has it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Partial => "partial",
            Self::LapsFull => "laps_full",
        }
    }

    pub(super) fn read(text: &str) -> Self {
        match text {
            "laps_full" => Self::LapsFull,
            "partial" => Self::Partial,
            _ => Self::None,
        }
    }
}

/// What recording an event found.
#[derive(Debug)]
pub struct Recorded {
    /// How far an earlier ingestion had come.
    pub depth: Depth,
    /// What is known of its races.
    pub checkpoints: Checkpoints,
    /// An unfinished event has yet to read the pages of checkpoints with an older fence than this.
    pub since: i64,
    /// Fence of the engine that last wrote the entry list; -1: none did.
    pub entries_at: i64,
    /// Races that are no longer listed and so were taken away.
    pub removed: u64,
    /// Rows changed.
    pub changes: Changes,
}

/// What is stored of an event before its page is recorded.
struct Stored {
    /// `None`: the event is not stored.
    depth: Depth,
    /// The rows of event and track say what the page says.
    equal: bool,
    since: i64,
    entries_at: i64,
    checkpoints: Checkpoints,
}

/// Reads all that is known of an event, in one statement. Only the engine with the newest fence writes to an event, and the
/// fence is checked here and again by the transaction that goes by what was read.
async fn stored(session: &mut Session, event: &Event, fence: i64) -> Result<Stored, StoreError> {
    const SQL: &str = "\
SELECT b.fence, pg_backend_pid(), b.since, b.entries_at, e.ingest_depth, (t.name, e.track, e.name, e.first_day,
       e.last_day, e.entries, e.drivers, e.total_laps, e.listed_races)
       IS NOT DISTINCT FROM ($3, $2, $4, $5::text::date, $6::text::date, $7::integer, $8::integer, $9::integer, $10::integer),
       k.race, k.stored, k.state, k.hash_version, k.hash, k.lap_count, k.fence
FROM ingest_events b LEFT JOIN events e ON e.id = b.event_id LEFT JOIN tracks t ON t.slug = e.track
LEFT JOIN (
    SELECT coalesce(r.id, c.race_id) AS race, r.id IS NOT NULL AS stored, c.state, c.hash_version, c.hash, c.lap_count, c.fence
    FROM (SELECT id FROM races WHERE event_id = $1) r
    FULL JOIN (SELECT * FROM ingest_checkpoints WHERE event_id = $1) c ON c.race_id = r.id
) k ON true
WHERE b.event_id = $1";
    let what = "reading what is known of the event";
    let rows = session.rows(what, SQL, page_args(event)?).await?;
    let row = rows.first().ok_or_else(|| doing(what)(sqlx::Error::RowNotFound))?;
    fence::check(session, row, event.id, fence)?;
    let read = || -> sqlx::Result<_> {
        let depth: Option<String> = row.try_get(4)?;
        Ok((row.try_get(2)?, row.try_get(3)?, depth, row.try_get(5)?, row.try_get::<Option<i64>, _>(6)?))
    };
    let (since, entries_at, depth, equal, race) = read().map_err(doing(what))?;
    let depth = depth.map_or(Depth::None, |depth| Depth::read(&depth));
    let checkpoints = match race {
        None => Checkpoints::new(),
        Some(_) => rows.iter().map(|row| checkpoint::from_row(row, 6)).collect::<Result<_, _>>()?,
    };
    Ok(Stored { depth, equal, since, entries_at, checkpoints })
}

/// The event as its page has it: parameters 1 to 10.
fn page_args(event: &Event) -> Result<Result<PgArguments, StoreError>, StoreError> {
    let number = |what, value| encode::maybe(event.id, what, value);
    Ok(args![
        encode::id(event.id)?,
        &event.track,
        &event.track_name,
        &event.name,
        encode::date(event.first_day),
        encode::date(event.last_day),
        number("entries", event.entries)?,
        number("drivers", event.drivers)?,
        number("total laps", event.total_laps)?,
        i32::try_from(event.races.len()).unwrap_or(i32::MAX),
    ])
}

/// Records an event as its page has it, in one transaction: track, event, and the races that are no longer listed, which
/// leave. When a listed race is not stored or a stored one leaves, `ingest_depth` leaves `laps_full` here, and
/// what has yet to be read again is marked, so that a crash does not lose sight of it. Where the page says what is stored,
/// nothing is written and no transaction opened. `in_doubt` keeps what was taken away from one attempt to the next, should
/// the answer to COMMIT get lost.
///
/// # Errors
/// The database fails; another engine has taken over.
pub async fn record(
    session: &mut Session,
    event: &Event,
    fence: i64,
    in_doubt: &Mutex<(u64, Changes)>,
) -> Result<Recorded, StoreError> {
    const SINCE: &str = "UPDATE ingest_events SET since = $2 WHERE event_id = $1";
    let id = encode::id(event.id)?;
    let Stored { depth, equal, mut since, entries_at, mut checkpoints } = stored(session, event, fence).await?;

    let listed: HashSet<u64> = event.races.iter().map(|r| r.id).collect();
    let left = checkpoints.keys().any(|race| !listed.contains(race));
    let missing =
        listed.iter().any(|race| checkpoints.get(race).is_none_or(|c| !c.stored || c.state != Some(State::Written)));
    let stays_full = depth == Depth::LapsFull && !missing && !left;
    let now = if stays_full { Depth::LapsFull } else { Depth::Partial };
    if !left && equal && depth == now {
        // Should an earlier attempt have taken races away, its commit, which was in doubt, did happen.
        let (removed, changes) = *in_doubt.lock().unwrap_or_else(PoisonError::into_inner);
        return Ok(Recorded { depth, checkpoints, since, entries_at, removed, changes });
    }

    fence::begin(session, event.id, fence).await?;
    write_event(session, event, now).await?;
    let mut changes = Changes::default();
    let mut removed = 0;
    if left {
        removed = remove(session, id, &listed, &mut changes).await?;
        checkpoints.retain(|race, _| listed.contains(race));
    }
    if depth == Depth::LapsFull && !stays_full {
        session.execute("recording the event", SINCE, args![id, fence]).await?;
        since = fence;
    }
    {
        // Only this engine takes races of the event away: with none left to take, the commit in doubt did happen.
        let mut kept = in_doubt.lock().unwrap_or_else(PoisonError::into_inner);
        if !left {
            (removed, changes) = *kept;
        }
        *kept = (removed, changes);
    }
    session.commit().await?;
    Ok(Recorded { depth, checkpoints, since, entries_at, removed, changes })
}

/// Track and event in one statement. (The event's key to its track is checked when it ends.)
async fn write_event(session: &mut Session, event: &Event, depth: Depth) -> Result<(), StoreError> {
    const SQL: &str = "\
WITH track AS (
    INSERT INTO tracks (slug, name) VALUES ($2, $3) ON CONFLICT (slug) DO UPDATE SET name = EXCLUDED.name
    WHERE tracks.name <> EXCLUDED.name
)
INSERT INTO events (id, track, name, first_day, last_day, entries, drivers, total_laps, listed_races, ingest_depth)
VALUES ($1, $2, $4, $5::text::date, $6::text::date, $7, $8, $9, $10, $11)
ON CONFLICT (id) DO UPDATE SET track = EXCLUDED.track, name = EXCLUDED.name, first_day = EXCLUDED.first_day,
    last_day = EXCLUDED.last_day, entries = EXCLUDED.entries, drivers = EXCLUDED.drivers,
    total_laps = EXCLUDED.total_laps, listed_races = EXCLUDED.listed_races, ingest_depth = EXCLUDED.ingest_depth
WHERE (events.track, events.name, events.first_day, events.last_day, events.entries, events.drivers, events.total_laps,
       events.listed_races, events.ingest_depth)
      IS DISTINCT FROM (EXCLUDED.track, EXCLUDED.name, EXCLUDED.first_day, EXCLUDED.last_day, EXCLUDED.entries,
       EXCLUDED.drivers, EXCLUDED.total_laps, EXCLUDED.listed_races, EXCLUDED.ingest_depth)";
    let what = "recording the event";
    let mut args = page_args(event)??;
    sqlx::Arguments::add(&mut args, depth.name()).map_err(|e| doing(what)(sqlx::Error::Encode(e)))?;
    session.execute(what, SQL, Ok(args)).await.map(drop)
}

/// Takes away the races that are not listed, with all that hangs on them.
async fn remove(
    session: &mut Session,
    event: i64,
    listed: &HashSet<u64>,
    changes: &mut Changes,
) -> Result<u64, StoreError> {
    const SQL: &str = "\
WITH gone AS MATERIALIZED (SELECT id FROM races WHERE event_id = $1 AND id <> ALL ($2)),
gone_of AS MATERIALIZED (SELECT r.id FROM results r JOIN gone g ON r.race_id = g.id),
gone_checkpoints AS (DELETE FROM ingest_checkpoints WHERE event_id = $1 AND race_id <> ALL ($2)),
gone_laps AS (DELETE FROM laps l USING gone_of g WHERE l.result_id = g.id RETURNING 1),
gone_results AS (DELETE FROM results r USING gone_of g WHERE r.id = g.id RETURNING 1),
gone_races AS (DELETE FROM races r USING gone g WHERE r.id = g.id RETURNING 1)
SELECT (SELECT count(*) FROM gone_races), (SELECT count(*) FROM gone_results), (SELECT count(*) FROM gone_laps)";
    let what = "taking away races that left the event page";
    let ids = listed.iter().map(|&r| encode::id(r)).collect::<Result<Vec<_>, _>>()?;
    let row = session.row(what, SQL, args![event, ids]).await?;
    let races = count(&row, 0, what)?;
    changes.races.deleted += races;
    changes.results.deleted += count(&row, 1, what)?;
    changes.laps.deleted += count(&row, 2, what)?;
    Ok(races)
}

/// Records that races were given up, with URL and cause; what is stored of them stays. The event leaves `laps_full`.
///
/// # Errors
/// The database fails; another engine has taken over.
pub async fn fail_races(
    session: &mut Session,
    event: u64,
    fence: i64,
    failed: &[contract::feed::Failed],
) -> Result<(), StoreError> {
    const SQL: &str = "\
INSERT INTO ingest_checkpoints (race_id, event_id, state, fence, url, error)
SELECT i.race, $1, 'failed', $2, i.url, i.error FROM unnest($3::bigint[], $4::text[], $5::text[]) AS i (race, url, error)
ON CONFLICT (race_id) DO UPDATE SET state = EXCLUDED.state, fence = EXCLUDED.fence, url = EXCLUDED.url, error = EXCLUDED.error";
    const LEAVE: &str = "\
WITH left_full AS (UPDATE events SET ingest_depth = 'partial' WHERE id = $1 AND ingest_depth = 'laps_full' RETURNING 1)
UPDATE ingest_events SET since = $2 WHERE event_id = $1 AND EXISTS (SELECT FROM left_full)";
    let what = "recording a failed race";
    let id = encode::id(event)?;
    let races = failed.iter().map(|f| encode::id(f.race)).collect::<Result<Vec<_>, _>>()?;
    let clean = |text: &str| text.replace('\0', "\u{fffd}");
    let urls: Vec<_> = failed.iter().map(|f| clean(&f.url)).collect();
    let causes: Vec<_> = failed.iter().map(|f| clean(&f.cause)).collect();
    fence::begin(session, event, fence).await?;
    session.execute(what, SQL, args![id, fence, races, urls, causes]).await?;
    session.execute(what, LEAVE, args![id, fence]).await?;
    session.commit().await
}
