//! What is looked for by one statement each: orphans, depth, the engines' book, results that are there twice, entries
//! linked to the wrong driver.

use sqlx::{AssertSqlSafe, Row};

use super::super::error::doing;
use super::super::rows::count;
use super::super::session::args;
use super::super::{Session, StoreError, encode};
use super::{Book, Check, EXAMPLES};

/// Child table, its column, parent table, its key.
const PARENTS: [(&str, &str, &str, &str); 8] = [
    ("events", "track", "tracks", "slug"),
    ("entries", "event_id", "events", "id"),
    ("entries", "driver_id", "drivers", "id"),
    ("races", "event_id", "events", "id"),
    ("results", "race_id", "races", "id"),
    ("results", "driver_id", "drivers", "id"),
    ("laps", "result_id", "results", "id"),
    ("ingest_checkpoints", "event_id", "events", "id"),
];

pub(super) async fn verify(session: &mut Session, event: Option<u64>, book: &mut Book) -> Result<(), StoreError> {
    let scope = event.map(encode::id).transpose()?;
    let what = "counting the events";
    let sql = "SELECT count(*) FROM events WHERE $1::bigint IS NULL OR id = $1";
    book.looked.events = count(&session.row(what, sql, args![scope]).await?, 0, what)?;
    if let Some(event) = event
        && book.looked.events == 0
    {
        return Err(StoreError::NoEvent(event));
    }
    orphans(session, book).await?;
    depth(session, scope, book).await?;
    books(session, scope, book).await?;
    results_twice(session, scope, book).await?;
    entry_drivers(session, scope, book).await
}

async fn orphans(session: &mut Session, book: &mut Book) -> Result<(), StoreError> {
    let what = "looking for orphans";
    for (child, column, parent, key) in PARENTS {
        // Names of our own tables, no input.
        let sql = AssertSqlSafe(format!(
            "SELECT count(*), array_to_string((array_agg(DISTINCT c.{column}::text))[1:{EXAMPLES}], ', ') FROM {child} c \
             WHERE c.{column} IS NOT NULL AND NOT EXISTS (SELECT FROM {parent} p WHERE p.{key} = c.{column})"
        ));
        let row = session.row(what, sql, args![]).await?;
        let rows = count(&row, 0, what)?;
        if rows > 0 {
            let examples: Option<String> = row.try_get(1).map_err(doing(what))?;
            let told = format!(
                "{rows} rows name a {column} that is not in {parent}: {}",
                examples.as_deref().unwrap_or_default()
            );
            let advice = format!(
                "delete them, or restore the rows of {parent} from a backup; see that the foreign key is there and was \
                 not switched off, then ingest the event again"
            );
            book.find(Check::Orphans, format!("{child}.{column}"), rows, told, &advice);
        }
    }
    Ok(())
}

/// `laps_full`: as many races as were listed, each written. Anything less: no more than were listed, and `none` only when
/// nothing is stored. (All written and not yet `laps_full` is what a crash ahead of the last transaction leaves.)
async fn depth(session: &mut Session, scope: Option<i64>, book: &mut Book) -> Result<(), StoreError> {
    const SQL: &str = "\
SELECT e.id, e.ingest_depth, e.listed_races::bigint, n.stored, n.written
FROM events e CROSS JOIN LATERAL (
    SELECT count(*) AS stored, count(*) FILTER (WHERE c.state = 'written') AS written
    FROM races r LEFT JOIN ingest_checkpoints c ON c.race_id = r.id WHERE r.event_id = e.id
) n
WHERE ($1::bigint IS NULL OR e.id = $1) AND CASE e.ingest_depth
    WHEN 'laps_full' THEN n.stored <> e.listed_races
        OR EXISTS (SELECT FROM ingest_checkpoints c WHERE c.event_id = e.id AND c.state <> 'written')
    WHEN 'none' THEN n.stored > 0
    ELSE n.stored > e.listed_races END
ORDER BY e.id";
    let what = "comparing depths";
    for row in session.rows(what, SQL, args![scope]).await? {
        let read = || -> sqlx::Result<(i64, String)> { Ok((row.try_get(0)?, row.try_get(1)?)) };
        let (event, depth) = read().map_err(doing(what))?;
        let (listed, stored, written) = (count(&row, 2, what)?, count(&row, 3, what)?, count(&row, 4, what)?);
        let told =
            format!("it is `{depth}`; {listed} races are listed, {stored} are stored, {written} of them written");
        let advice = "run `ingest event` on it after UPDATE events SET ingest_depth = 'partial' for this event: it is \
                      completed again when every listed race is written";
        book.find(Check::Depth, format!("event {event}"), 1, told, advice);
    }
    Ok(())
}

async fn books(session: &mut Session, scope: Option<i64>, book: &mut Book) -> Result<(), StoreError> {
    const SQL: &str = "\
SELECT e.id FROM events e WHERE ($1::bigint IS NULL OR e.id = $1)
  AND NOT EXISTS (SELECT FROM ingest_events i WHERE i.event_id = e.id) ORDER BY e.id";
    let what = "looking for the engines' book";
    for row in session.rows(what, SQL, args![scope]).await? {
        let event: i64 = row.try_get(0).map_err(doing(what))?;
        let told = "it has no row in ingest_events: what has yet to be read again is forgotten".to_owned();
        book.find(Check::BookMissing, format!("event {event}"), 1, told, "run `ingest event` on it");
    }
    Ok(())
}

/// A driver counts once in a race: by his id, or without one by his name and its number on the page.
async fn results_twice(session: &mut Session, scope: Option<i64>, book: &mut Book) -> Result<(), StoreError> {
    const SQL: &str = "\
SELECT r.event_id, r.id, count(*), min(s.name) FROM results s JOIN races r ON r.id = s.race_id
WHERE $1::bigint IS NULL OR r.event_id = $1
GROUP BY r.event_id, r.id, s.driver_id, CASE WHEN s.driver_id IS NULL THEN s.name END,
         CASE WHEN s.driver_id IS NULL THEN s.nth END
HAVING count(*) > 1 ORDER BY 1, 2";
    let what = "looking for results that are there twice";
    for row in session.rows(what, SQL, args![scope]).await? {
        let read = || -> sqlx::Result<_> { Ok(((row.try_get(0)?, row.try_get(1)?), row.try_get::<String, _>(3)?)) };
        let (race, name) = read().map_err(doing(what))?;
        let times = count(&row, 2, what)?;
        let told = format!("{name} has {times} results");
        book.find_race(Check::ResultTwice, race, times, told, REINGEST);
    }
    Ok(())
}

/// What mends a race: without its checkpoint it is written again, whole, and what is not on its page leaves.
pub(super) const REINGEST: &str =
    "run `ingest event` on its event after DELETE FROM ingest_checkpoints for this race: it is written again";

/// Of a complete event only: its links are made when it is completed. An ingestion of changed pages that was cut off
/// leaves such links too, and the next one mends them.
async fn entry_drivers(session: &mut Session, scope: Option<i64>, book: &mut Book) -> Result<(), StoreError> {
    const SQL: &str = "\
SELECT n.event_id, count(*), array_to_string((array_agg(n.name ORDER BY n.name))[1:5], ', ')
FROM entries n JOIN events e ON e.id = n.event_id AND e.ingest_depth = 'laps_full'
JOIN drivers d ON d.id = n.driver_id
WHERE ($1::bigint IS NULL OR e.id = $1) AND NOT EXISTS (
    SELECT FROM races r JOIN results s ON s.race_id = r.id
    WHERE r.event_id = n.event_id AND r.class = n.class AND s.name = n.name AND s.driver_id = n.driver_id)
GROUP BY n.event_id ORDER BY 1";
    let what = "comparing entries and drivers";
    for row in session.rows(what, SQL, args![scope]).await? {
        let read = || -> sqlx::Result<(i64, String)> { Ok((row.try_get(0)?, row.try_get(2)?)) };
        let (event, names) = read().map_err(doing(what))?;
        let entries = count(&row, 1, what)?;
        let told =
            format!("{entries} entries are linked to a driver who did not race in that class by that name: {names}");
        let advice = "run `ingest event` on it: entries are linked anew when it is completed";
        book.find(Check::EntryDriver, format!("event {event}"), entries, told, advice);
    }
    Ok(())
}
