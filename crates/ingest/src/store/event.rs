//! The event itself: recorded when its page has been read, completed when every listed race is written.

use std::collections::HashSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use contract::feed::Changes;
use sqlx::Row;
use sqlx::postgres::PgRow;

use super::error::doing;
use super::rows::count;
use super::session::args;
use super::{Checkpoints, Session, State, StoreError, checkpoint, encode, entries};
use crate::model::{Entry, Event};
use crate::settings::UnitSettings;

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

/// What an engine's transactions begin with: the fence is checked, and held so that newer engines wait until it ends.
const FENCE: &str =
    "SELECT fence, since, entries_at, pg_backend_pid() FROM ingest_events WHERE event_id = $1 FOR SHARE";

/// Opens a transaction and holds the fence, in one round trip. Returns `since` and `entries_at` of the engines' book.
async fn begin_fenced(session: &mut Session, event: u64, fence: i64) -> Result<(i64, i64), StoreError> {
    let what = "checking the fence";
    let sql = FENCE.replace("$1", &encode::id(event)?.to_string());
    let rows = session.begin_with(what, &sql).await?;
    let row = rows.first().ok_or_else(|| doing(what)(sqlx::Error::RowNotFound))?;
    fenced(session, row, event, fence)
}

fn fenced(session: &mut Session, row: &PgRow, event: u64, fence: i64) -> Result<(i64, i64), StoreError> {
    let what = "checking the fence";
    session.backend = Some(row.try_get(3).map_err(doing(what))?);
    if row.try_get::<i64, _>(0).map_err(doing(what))? != fence {
        return Err(StoreError::Fenced { event, ours: fence });
    }
    Ok((row.try_get(1).map_err(doing(what))?, row.try_get(2).map_err(doing(what))?))
}

/// Opens the transaction of a unit, and checks that this engine is the newest: in two statements where every statement is
/// made by itself.
pub(super) async fn begin_unit(
    session: &mut Session,
    settings: &UnitSettings,
    event: u64,
    fence: i64,
) -> Result<(), StoreError> {
    if !super::one_by_one(settings) {
        return begin_fenced(session, event, fence).await.map(drop);
    }
    session.begin().await?;
    let row = session.row("checking the fence", FENCE, args![encode::id(event)?]).await?;
    fenced(session, &row, event, fence).map(drop)
}

/// Records an event as its page has it, in one transaction: track, event, and the races that are no longer listed, which
/// leave. When a listed race is not stored or a stored one leaves, `ingest_depth` leaves `laps_full` here, and
/// what has yet to be read again is marked, so that a crash does not lose sight of it. `in_doubt` keeps what was taken
/// away from one attempt to the next, should the answer to COMMIT get lost.
///
/// # Errors
/// The database fails; another engine has taken over.
pub async fn record(
    session: &mut Session,
    event: &Event,
    fence: i64,
    in_doubt: &Mutex<(u64, Changes)>,
) -> Result<Recorded, StoreError> {
    const DEPTH: &str = "SELECT ingest_depth FROM events WHERE id = $1";
    const TRACK: &str = "INSERT INTO tracks (slug, name) VALUES ($1, $2) ON CONFLICT (slug) DO UPDATE SET name = EXCLUDED.name \
                         WHERE tracks.name <> EXCLUDED.name";
    const SINCE: &str = "UPDATE ingest_events SET since = $2 WHERE event_id = $1";
    let what = "recording the event";
    let id = encode::id(event.id)?;
    let (mut since, entries_at) = begin_fenced(session, event.id, fence).await?;
    let row = session.rows(what, DEPTH, args![id]).await?;
    let depth = match row.first() {
        None => Depth::None,
        Some(row) => Depth::read(row.try_get(0).map_err(doing(what))?),
    };
    let known = !row.is_empty();
    let mut checkpoints = if known { checkpoint::of_event(session, id).await? } else { Checkpoints::new() };

    let listed: HashSet<u64> = event.races.iter().map(|r| r.id).collect();
    let left: Vec<u64> = checkpoints.keys().filter(|race| !listed.contains(race)).copied().collect();
    let missing =
        listed.iter().any(|race| checkpoints.get(race).is_none_or(|c| !c.stored || c.state != Some(State::Written)));
    let stays_full = depth == Depth::LapsFull && !missing && left.is_empty();
    let now = if stays_full { Depth::LapsFull } else { Depth::Partial };

    session.execute(what, TRACK, args![&event.track, &event.track_name]).await?;
    write_event(session, event, now).await?;
    let mut changes = Changes::default();
    let mut removed = 0;
    if !left.is_empty() {
        removed = remove(session, id, &listed, &mut changes).await?;
        checkpoints.retain(|race, _| listed.contains(race));
    }
    if depth == Depth::LapsFull && !stays_full {
        session.execute(what, SINCE, args![id, fence]).await?;
        since = fence;
    }
    {
        // Only this engine takes races of the event away: with none left to take, the commit in doubt did happen.
        let mut kept = in_doubt.lock().unwrap_or_else(PoisonError::into_inner);
        if left.is_empty() {
            (removed, changes) = *kept;
        }
        *kept = (removed, changes);
    }
    session.commit().await?;
    Ok(Recorded { depth, checkpoints, since, entries_at, removed, changes })
}

async fn write_event(session: &mut Session, event: &Event, depth: Depth) -> Result<(), StoreError> {
    const SQL: &str = "\
INSERT INTO events (id, track, name, first_day, last_day, entries, drivers, total_laps, listed_races, ingest_depth)
VALUES ($1, $2, $3, $4::text::date, $5::text::date, $6, $7, $8, $9, $10)
ON CONFLICT (id) DO UPDATE SET track = EXCLUDED.track, name = EXCLUDED.name, first_day = EXCLUDED.first_day,
    last_day = EXCLUDED.last_day, entries = EXCLUDED.entries, drivers = EXCLUDED.drivers,
    total_laps = EXCLUDED.total_laps, listed_races = EXCLUDED.listed_races, ingest_depth = EXCLUDED.ingest_depth
WHERE (events.track, events.name, events.first_day, events.last_day, events.entries, events.drivers, events.total_laps,
       events.listed_races, events.ingest_depth)
      IS DISTINCT FROM (EXCLUDED.track, EXCLUDED.name, EXCLUDED.first_day, EXCLUDED.last_day, EXCLUDED.entries,
       EXCLUDED.drivers, EXCLUDED.total_laps, EXCLUDED.listed_races, EXCLUDED.ingest_depth)";
    let number = |what, value| encode::maybe(event.id, what, value);
    let listed = i32::try_from(event.races.len()).unwrap_or(i32::MAX);
    let args = args![
        encode::id(event.id)?,
        &event.track,
        &event.name,
        encode::date(event.first_day),
        encode::date(event.last_day),
        number("entries", event.entries)?,
        number("drivers", event.drivers)?,
        number("total laps", event.total_laps)?,
        listed,
        depth.name(),
    ];
    session.execute("recording the event", SQL, args).await.map(drop)
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
    begin_fenced(session, event, fence).await?;
    session.execute(what, SQL, args![id, fence, races, urls, causes]).await?;
    session.execute(what, LEAVE, args![id, fence]).await?;
    session.commit().await
}

/// What completing an event came to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Completion {
    /// The event is `laps_full`.
    pub full: bool,
    /// Entries whose link to a driver changed, new entries left out.
    pub relinked: u64,
    /// Entries that stay without a driver since their name is ambiguous.
    pub ambiguous: u64,
}

/// Links entries to drivers: an entry's driver is the only one who raced under its name in its class, when it is the
/// only entry of that name there. Writes only links that change. `before` keeps their number from one attempt to the
/// next: where a commit in doubt did happen, the next attempt finds none.
async fn link(
    session: &mut Session,
    event: i64,
    new: &HashSet<Entry>,
    before: &AtomicU64,
) -> Result<(u64, u64), StoreError> {
    const SQL: &str = "\
WITH raced AS MATERIALIZED (
    SELECT ra.class, re.name, min(re.driver_id) AS driver_id, count(DISTINCT re.driver_id) AS drivers
    FROM races ra JOIN results re ON re.race_id = ra.id
    WHERE ra.event_id = $1 AND re.driver_id IS NOT NULL GROUP BY ra.class, re.name
), listed AS (
    SELECT class, name, count(*) AS entries FROM entries WHERE event_id = $1 GROUP BY class, name
), wanted AS MATERIALIZED (
    SELECT l.class, l.name, r.drivers IS NOT NULL AND (r.drivers > 1 OR l.entries > 1) AS ambiguous,
           CASE WHEN r.drivers = 1 AND l.entries = 1 THEN r.driver_id END AS driver_id
    FROM listed l LEFT JOIN raced r ON (r.class, r.name) = (l.class, l.name)
), linked AS (
    UPDATE entries e SET driver_id = w.driver_id FROM wanted w
    WHERE e.event_id = $1 AND (e.class, e.name) = (w.class, w.name) AND e.driver_id IS DISTINCT FROM w.driver_id
    RETURNING e.class, e.car_number, e.name, e.transponder
)
SELECT class, car_number, name, transponder, NULL::bigint FROM linked
UNION ALL
SELECT '', '', '', '', count(*) FROM wanted w JOIN entries e ON e.event_id = $1 AND (e.class, e.name) = (w.class, w.name)
WHERE w.ambiguous";
    let what = "linking entries to drivers";
    let (mut relinked, mut ambiguous) = (0, 0);
    for row in session.rows(what, SQL, args![event]).await? {
        match row.try_get::<Option<i64>, _>(4).map_err(doing(what))? {
            Some(n) => ambiguous = n.unsigned_abs(),
            None if new.contains(&entries::entry(&row).map_err(doing(what))?) => {}
            None => relinked += 1,
        }
    }
    let earlier = before.fetch_max(relinked, Ordering::Relaxed);
    Ok((relinked.max(earlier), ambiguous))
}

/// Completes an event: links its entries, and makes it `laps_full` if every listed race is written, which is
/// looked up in this very transaction.
///
/// # Errors
/// The database fails; another engine has taken over.
pub async fn complete(
    session: &mut Session,
    event: &Event,
    fence: i64,
    new_entries: &HashSet<Entry>,
    relinked: &AtomicU64,
) -> Result<Completion, StoreError> {
    const SQL: &str = "\
WITH whole AS MATERIALIZED (
    SELECT count(*) = cardinality($2::bigint[]) AS yes FROM unnest($2::bigint[]) AS l (id)
    JOIN races r ON r.id = l.id JOIN ingest_checkpoints c ON c.race_id = l.id AND c.state = 'written'
), done AS (
    UPDATE events SET ingest_depth = 'laps_full' WHERE id = $1 AND ingest_depth <> 'laps_full' AND (SELECT yes FROM whole)
)
SELECT yes FROM whole";
    let what = "completing the event";
    let id = encode::id(event.id)?;
    let listed: HashSet<u64> = event.races.iter().map(|r| r.id).collect();
    let listed = listed.into_iter().map(encode::id).collect::<Result<Vec<_>, _>>()?;
    begin_fenced(session, event.id, fence).await?;
    let (relinked, ambiguous) = link(session, id, new_entries, relinked).await?;
    let row = session.row(what, SQL, args![id, listed]).await?;
    let full = row.try_get(0).map_err(doing(what))?;
    session.commit().await?;
    Ok(Completion { full, relinked, ambiguous })
}

/// Ends a run that leaves races behind: links what can be linked, and marks that every other page has been read, so that
/// the next run fetches only what is left.
///
/// # Errors
/// The database fails; another engine has taken over.
pub async fn settle_unfinished(
    session: &mut Session,
    event: &Event,
    fence: i64,
    new_entries: &HashSet<Entry>,
    relinked: &AtomicU64,
    every_page_read: bool,
) -> Result<Completion, StoreError> {
    const SQL: &str = "UPDATE ingest_events SET since = 0 WHERE event_id = $1 AND fence = $2 AND since <> 0";
    let id = encode::id(event.id)?;
    begin_fenced(session, event.id, fence).await?;
    let (relinked, ambiguous) = link(session, id, new_entries, relinked).await?;
    if every_page_read {
        session.execute("marking what was read", SQL, args![id, fence]).await?;
    }
    session.commit().await?;
    Ok(Completion { full: false, relinked, ambiguous })
}
