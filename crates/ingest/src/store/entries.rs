//! The entry list: keyed by (event, class, name, car number, transponder), since it has no ids.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};

use contract::feed::Counts;
use sqlx::Row;
use sqlx::postgres::PgRow;

use super::error::doing;
use super::session::args;
use super::{Session, StoreError, encode};
use crate::model::Entry;
use crate::settings::UnitSettings;

/// What came of writing an entry list.
#[derive(Debug, Clone, Default)]
pub struct EntriesWritten {
    /// Rows changed.
    pub counts: Counts,
    /// Entries that were not there before: linking them to their drivers later changes no row that was.
    pub inserted: HashSet<Entry>,
}

/// Writes the entry list of an event in a transaction of its own. Entries that are no longer listed leave. `in_doubt`
/// keeps what was written from one attempt to the next, should the answer to COMMIT get lost.
///
/// # Errors
/// The database fails; another engine has taken over.
pub async fn write(
    session: &mut Session,
    event: u64,
    fence: i64,
    settings: &UnitSettings,
    entries: &[Entry],
    in_doubt: &Mutex<Option<EntriesWritten>>,
) -> Result<EntriesWritten, StoreError> {
    // The engine's book is written first: it checks the fence, and keeps the row until the end.
    const BOOK: &str = "UPDATE ingest_events SET entries_at = $2 WHERE event_id = $1 AND fence = $2 \
                        RETURNING (SELECT entries_at FROM ingest_events WHERE event_id = $1) = $2";
    let what = "checking the fence";
    let id = encode::id(event)?;
    let mut seen = HashSet::new();
    let entries: Vec<&Entry> = entries.iter().filter(|e| seen.insert(*e)).collect();
    session.begin().await?;
    let book = session.rows(what, BOOK, args![id, fence]).await?;
    let Some(row) = book.first() else { return Err(StoreError::Fenced { event, ours: fence }) };
    let earlier = in_doubt.lock().unwrap_or_else(PoisonError::into_inner).clone();
    if let (true, Some(written)) = (row.try_get(0).map_err(doing(what))?, earlier) {
        session.rollback().await;
        return Ok(written); // the commit that was in doubt did happen
    }
    let written = if super::one_by_one(settings) {
        one_by_one(session, id, &entries).await?
    } else {
        batched(session, id, &entries).await?
    };
    *in_doubt.lock().unwrap_or_else(PoisonError::into_inner) = Some(written.clone());
    session.commit().await?;
    Ok(written)
}

fn columns<'a>(entries: &[&'a Entry]) -> [Vec<&'a str>; 4] {
    let column = |text: fn(&'a Entry) -> &'a str| entries.iter().map(|e| text(e)).collect::<Vec<_>>();
    [column(|e| &e.class), column(|e| &e.car_number), column(|e| &e.name), column(|e| &e.transponder)]
}

async fn batched(session: &mut Session, event: i64, entries: &[&Entry]) -> Result<EntriesWritten, StoreError> {
    const SQL: &str = "\
WITH incoming AS MATERIALIZED (
    SELECT * FROM unnest($2::text[], $3::text[], $4::text[], $5::text[]) AS i (class, car_number, name, transponder)
), gone AS (
    DELETE FROM entries e WHERE event_id = $1 AND NOT EXISTS (
        SELECT FROM incoming i WHERE (i.class, i.name, i.car_number, i.transponder) = (e.class, e.name, e.car_number, e.transponder))
    RETURNING class, car_number, name, transponder
), added AS (
    INSERT INTO entries (event_id, class, car_number, name, transponder)
    SELECT $1, class, car_number, name, transponder FROM incoming i WHERE NOT EXISTS (
        SELECT FROM entries e WHERE e.event_id = $1
          AND (i.class, i.name, i.car_number, i.transponder) = (e.class, e.name, e.car_number, e.transponder))
    RETURNING class, car_number, name, transponder
)
SELECT class, car_number, name, transponder, true FROM added
UNION ALL SELECT class, car_number, name, transponder, false FROM gone";
    let what = "writing the entry list";
    let [classes, numbers, names, transponders] = columns(entries);
    let rows = session.rows(what, SQL, args![event, classes, numbers, names, transponders]).await?;
    let mut written = EntriesWritten::default();
    for row in &rows {
        if row.try_get(4).map_err(doing(what))? {
            written.inserted.insert(entry(row).map_err(doing(what))?);
        } else {
            written.counts.deleted += 1;
        }
    }
    written.counts.inserted = written.inserted.len() as u64;
    written.counts.unchanged = (entries.len() as u64).saturating_sub(written.counts.inserted);
    Ok(written)
}

/// The key that a row begins with.
pub(super) fn entry(row: &PgRow) -> sqlx::Result<Entry> {
    Ok(Entry {
        class: row.try_get(0)?,
        car_number: row.try_get(1)?,
        name: row.try_get(2)?,
        transponder: row.try_get(3)?,
    })
}

/// A SELECT and an INSERT for every entry.
async fn one_by_one(session: &mut Session, event: i64, entries: &[&Entry]) -> Result<EntriesWritten, StoreError> {
    const SELECT: &str = "SELECT driver_id FROM entries \
                          WHERE event_id = $1 AND class = $2 AND name = $3 AND car_number = $4 AND transponder = $5";
    const INSERT: &str = "INSERT INTO entries (event_id, class, name, car_number, transponder) VALUES ($1, $2, $3, $4, $5) \
                          ON CONFLICT (event_id, class, name, car_number, transponder) \
                          DO UPDATE SET driver_id = entries.driver_id RETURNING xmax = 0";
    const GONE: &str = "\
DELETE FROM entries e WHERE event_id = $1 AND NOT EXISTS (
    SELECT FROM unnest($2::text[], $3::text[], $4::text[], $5::text[]) AS i (class, car_number, name, transponder)
    WHERE (i.class, i.name, i.car_number, i.transponder) = (e.class, e.name, e.car_number, e.transponder))";
    let what = "writing an entry";
    let mut written = EntriesWritten::default();
    for &entry in entries {
        let key = || args![event, &entry.class, &entry.name, &entry.car_number, &entry.transponder];
        session.rows(what, SELECT, key()).await?;
        if session.row(what, INSERT, key()).await?.try_get(0).map_err(doing(what))? {
            written.counts.inserted += 1;
            written.inserted.insert(entry.clone());
        } else {
            written.counts.updated += 1;
        }
    }
    let [classes, numbers, names, transponders] = columns(entries);
    let what = "taking away entries that left the list";
    written.counts.deleted = session.execute(what, GONE, args![event, classes, numbers, names, transponders]).await?;
    Ok(written)
}
