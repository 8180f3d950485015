//! The end of an event: entries get their drivers, and the event becomes `laps_full` when every listed race is written.

use std::collections::HashSet;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};

use sqlx::Row;
use sqlx::postgres::PgRow;

use super::error::doing;
use super::rows::count;
use super::session::args;
use super::{Depth, Session, StoreError, encode, entries, fence};
use crate::model::{Entry, Event};

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

/// `wanted`, the driver of each entry of event $1: the only one who raced under its name in its class, when it is the only
/// entry of that name there. Without entries no result is looked at.
const WANTED: &str = "\
listed AS MATERIALIZED (
    SELECT class, name, count(*) AS entries FROM entries WHERE event_id = $1 GROUP BY class, name
), raced AS MATERIALIZED (
    SELECT ra.class, re.name, min(re.driver_id) AS driver_id, min(re.driver_id) < max(re.driver_id) AS several
    FROM races ra JOIN results re ON re.race_id = ra.id
    WHERE ra.event_id = $1 AND re.driver_id IS NOT NULL AND EXISTS (SELECT FROM listed) GROUP BY ra.class, re.name
), wanted AS MATERIALIZED (
    SELECT l.class, l.name, r.several IS NOT NULL AND (r.several OR l.entries > 1) AS ambiguous,
           CASE WHEN NOT r.several AND l.entries = 1 THEN r.driver_id END AS driver_id
    FROM listed l LEFT JOIN raced r ON (r.class, r.name) = (l.class, l.name)
)";

/// Of each listed race ($2) there are rows, and a checkpoint that says that they are whole.
const WHOLE: &str = "\
SELECT count(*) = cardinality($2::bigint[]) AS yes FROM unnest($2::bigint[]) AS l (id)
    JOIN races r ON r.id = l.id JOIN ingest_checkpoints c ON c.race_id = l.id AND c.state = 'written'";

/// Writes the links that are not as `wanted`. Rows: the entries that were linked anew, and one with the number of ambiguous
/// entries and the value of `whole`, which may go by further CTEs.
fn linking(ctes: &str, whole: &str) -> String {
    format!(
        "\
WITH {WANTED}, linked AS (
    UPDATE entries e SET driver_id = w.driver_id FROM wanted w
    WHERE e.event_id = $1 AND (e.class, e.name) = (w.class, w.name) AND e.driver_id IS DISTINCT FROM w.driver_id
    RETURNING e.class, e.car_number, e.name, e.transponder
){ctes}
SELECT class, car_number, name, transponder, NULL::bigint, NULL::boolean FROM linked
UNION ALL
SELECT '', '', '', '', ({AMBIGUOUS}), {whole}"
    )
}

/// How many entries are ambiguous.
const AMBIGUOUS: &str = "\
SELECT count(*) FROM wanted w JOIN entries n ON n.event_id = $1 AND (n.class, n.name) = (w.class, w.name) WHERE w.ambiguous";

/// What linking came to. `before` keeps the number of entries from one attempt to the next: where a commit in doubt did happen, the
/// next attempt finds none.
fn linked(rows: &[PgRow], new: &HashSet<Entry>, before: &AtomicU64) -> sqlx::Result<Completion> {
    let mut came_to = Completion::default();
    for row in rows {
        match row.try_get::<Option<i64>, _>(4)? {
            Some(n) => {
                came_to.ambiguous = n.unsigned_abs();
                came_to.full = row.try_get(5)?;
            }
            None if new.contains(&entries::entry(row)?) => {}
            None => came_to.relinked += 1,
        }
    }
    let earlier = before.fetch_max(came_to.relinked, Ordering::Relaxed);
    came_to.relinked = came_to.relinked.max(earlier);
    Ok(came_to)
}

/// Completes an event: links its entries, and makes it `laps_full` if every listed race is written, which is
/// looked up in this very transaction. `recorded` is the depth that [`super::record_event`] found: of an event that was
/// `laps_full` it is looked first whether there is anything to do, and where there is not, nothing is written.
///
/// # Errors
/// The database fails; another engine has taken over.
pub async fn complete(
    session: &mut Session,
    event: &Event,
    fence: i64,
    recorded: Depth,
    new_entries: &HashSet<Entry>,
    relinked: &AtomicU64,
) -> Result<Completion, StoreError> {
    static SQL: LazyLock<String> = LazyLock::new(|| {
        let done = format!(
            ", whole AS MATERIALIZED ({WHOLE}), done AS (
    UPDATE events SET ingest_depth = 'laps_full' WHERE id = $1 AND ingest_depth <> 'laps_full' AND (SELECT yes FROM whole)
)"
        );
        linking(&done, "(SELECT yes FROM whole)")
    });
    let what = "completing the event";
    let id = encode::id(event.id)?;
    let listed: HashSet<u64> = event.races.iter().map(|r| r.id).collect();
    let listed = listed.into_iter().map(encode::id).collect::<Result<Vec<_>, _>>()?;
    if recorded == Depth::LapsFull
        && let Some(ambiguous) = nothing_to_do(session, event.id, fence, &listed).await?
    {
        return Ok(Completion { full: true, relinked: relinked.load(Ordering::Relaxed), ambiguous });
    }
    fence::begin(session, event.id, fence).await?;
    let rows = session.rows(what, SQL.as_str(), args![id, listed]).await?;
    let completion = linked(&rows, new_entries, relinked).map_err(doing(what))?;
    session.commit().await?;
    Ok(completion)
}

/// Whether an event is `laps_full` and whole and each of its entries linked as it should be: its ambiguous entries then. One
/// statement, which writes nothing.
async fn nothing_to_do(
    session: &mut Session,
    event: u64,
    fence: i64,
    listed: &[i64],
) -> Result<Option<u64>, StoreError> {
    static SQL: LazyLock<String> = LazyLock::new(|| {
        format!(
            "\
WITH {WANTED}
SELECT b.fence, pg_backend_pid(), e.ingest_depth = 'laps_full' AND (SELECT yes FROM ({WHOLE}) AS whole)
       AND NOT EXISTS (SELECT FROM wanted w JOIN entries n ON n.event_id = $1 AND (n.class, n.name) = (w.class, w.name)
                       WHERE n.driver_id IS DISTINCT FROM w.driver_id),
       ({AMBIGUOUS})
FROM ingest_events b JOIN events e ON e.id = b.event_id WHERE b.event_id = $1"
        )
    });
    let what = "looking whether the event is complete";
    let rows = session.rows(what, SQL.as_str(), args![encode::id(event)?, listed]).await?;
    let Some(row) = rows.first() else { return Ok(None) };
    fence::check(session, row, event, fence)?;
    let settled: bool = row.try_get(2).map_err(doing(what))?;
    Ok(if settled { Some(count(row, 3, what)?) } else { None })
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
    static LINK: LazyLock<String> = LazyLock::new(|| linking("", "false"));
    const SINCE: &str = "UPDATE ingest_events SET since = 0 WHERE event_id = $1 AND fence = $2 AND since <> 0";
    let what = "linking entries to drivers";
    let id = encode::id(event.id)?;
    fence::begin(session, event.id, fence).await?;
    let rows = session.rows(what, LINK.as_str(), args![id]).await?;
    let completion = linked(&rows, new_entries, relinked).map_err(doing(what))?;
    if every_page_read {
        session.execute("marking what was read", SINCE, args![id, fence]).await?;
    }
    session.commit().await?;
    Ok(completion)
}
