//! What an ingestion changed: rows before and after, matched by natural key.

use std::collections::BTreeMap;

use contract::feed::{Changes, Counts};
use sqlx::{AssertSqlSafe, PgPool};

use crate::synth::rows::RowMap;
use crate::trial::record::RowKind;

/// Up to so many laps the rows are kept in memory; a copy of more would cost the harness more than the database.
const FEW_LAPS: u64 = 20_000;

/// The rows as they were before.
#[derive(Debug)]
pub enum Before {
    /// In tables of a schema of the harness's own.
    Tables,
    /// Here: by kind, (natural key, what a change is told by).
    Rows(BTreeMap<RowKind, Vec<(String, String)>>),
}

/// Keeps the rows as they are now, so that [`changes`] can tell what an ingestion did. `laps`: as many as there may be.
/// `safely`: so that they outlive a crash of the server, and go with it to a standby.
///
/// # Errors
/// When the database does not answer.
pub async fn keep_rows(pool: &PgPool, map: &RowMap, event_id: u64, laps: u64, safely: bool) -> sqlx::Result<Before> {
    let unlogged = if safely { "" } else { "UNLOGGED" };
    let mut tx = pool.begin().await?;
    if laps <= FEW_LAPS {
        let mut all = BTreeMap::new();
        for kind in counted() {
            all.insert(kind, rows(&mut tx, map, kind, event_id).await?);
        }
        tx.commit().await?;
        return Ok(Before::Rows(all));
    }
    sqlx::raw_sql("CREATE SCHEMA IF NOT EXISTS harness").execute(&mut *tx).await?;
    for kind in counted() {
        let (table, key, value) = (kind.name(), kind.key_sql(), kind.value_sql());
        let Some(rows) = map.sql(kind) else { continue };
        let sql = format!(
            "DROP TABLE IF EXISTS harness.{table}; \
             CREATE {unlogged} TABLE harness.{table} AS SELECT {key} AS key, {value} AS line \
             FROM ({}) AS t (grp, line)",
            rows.replace("$1", &event_id.to_string())
        );
        sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut *tx).await?;
    }
    tx.commit().await?;
    Ok(Before::Tables)
}

/// What changed since [`keep_rows`].
///
/// # Errors
/// When the database does not answer.
pub async fn changes(pool: &PgPool, map: &RowMap, event_id: u64, before: &Before) -> sqlx::Result<Changes> {
    let mut changes = Changes::default();
    let mut connection = pool.acquire().await?;
    for kind in counted() {
        *slot(&mut changes, kind) = match before {
            Before::Rows(all) => {
                let after = rows(&mut connection, map, kind, event_id).await?;
                difference(all.get(&kind).map_or(&[], Vec::as_slice), &after)
            }
            Before::Tables => of_tables(&mut connection, map, kind, event_id).await?,
        };
    }
    Ok(changes)
}

async fn rows(
    connection: &mut sqlx::PgConnection,
    map: &RowMap,
    kind: RowKind,
    event_id: u64,
) -> sqlx::Result<Vec<(String, String)>> {
    let (key, value) = (kind.key_sql(), kind.value_sql());
    let Some(rows) = map.sql(kind) else { return Ok(Vec::new()) };
    let sql = format!("SELECT ({key})::text, {value} FROM ({rows}) AS t (grp, line)");
    sqlx::query_as(AssertSqlSafe(sql)).bind(event_id.cast_signed()).fetch_all(connection).await
}

async fn of_tables(
    connection: &mut sqlx::PgConnection,
    map: &RowMap,
    kind: RowKind,
    event_id: u64,
) -> sqlx::Result<Counts> {
    let (table, key, value) = (kind.name(), kind.key_sql(), kind.value_sql());
    let Some(rows) = map.sql(kind) else { return Ok(Counts::default()) };
    let sql = format!(
        "SELECT count(*) FILTER (WHERE a.key IS NULL), count(*) FILTER (WHERE a.line <> b.line), \
                count(*) FILTER (WHERE b.key IS NULL), count(*) FILTER (WHERE a.line = b.line) \
         FROM harness.{table} a FULL JOIN (SELECT {key} AS key, {value} AS line \
              FROM ({rows}) AS t (grp, line)) b ON a.key = b.key"
    );
    let (inserted, updated, deleted, unchanged): (i64, i64, i64, i64) =
        sqlx::query_as(AssertSqlSafe(sql)).bind(event_id.cast_signed()).fetch_one(connection).await?;
    let n = |v: i64| u64::try_from(v).unwrap_or(0);
    Ok(Counts { inserted: n(inserted), updated: n(updated), deleted: n(deleted), unchanged: n(unchanged) })
}

/// As the full join of the tables counts: a key that is there several times counts each of its pairs.
fn difference(before: &[(String, String)], after: &[(String, String)]) -> Counts {
    let mut keys: BTreeMap<&str, [Vec<&str>; 2]> = BTreeMap::new();
    for (side, rows) in [before, after].into_iter().enumerate() {
        for (key, value) in rows {
            keys.entry(key).or_default()[side].push(value);
        }
    }
    let mut counts = Counts::default();
    for [was, is] in keys.values() {
        match (was.len() as u64, is.len() as u64) {
            (0, n) => counts.inserted += n,
            (n, 0) => counts.deleted += n,
            (n, m) => {
                let equal = was.iter().map(|a| is.iter().filter(|b| a == *b).count() as u64).sum::<u64>();
                counts.unchanged += equal;
                counts.updated += n * m - equal;
            }
        }
    }
    counts
}

/// Tables of which an engine reports counts.
fn counted() -> [RowKind; 5] {
    [RowKind::Drivers, RowKind::Entries, RowKind::Races, RowKind::Results, RowKind::Laps]
}

fn slot(changes: &mut Changes, kind: RowKind) -> &mut Counts {
    match kind {
        RowKind::Drivers => &mut changes.drivers,
        RowKind::Entries => &mut changes.entries,
        RowKind::Races | RowKind::Tracks | RowKind::Events => &mut changes.races,
        RowKind::Results => &mut changes.results,
        RowKind::Laps => &mut changes.laps,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        pairs.iter().map(|&(k, v)| (k.to_owned(), v.to_owned())).collect()
    }

    #[test]
    fn rows_are_matched_by_their_key() {
        let before = rows(&[("a", "1"), ("b", "1"), ("c", "1")]);
        let after = rows(&[("a", "1"), ("b", "2"), ("d", "1"), ("e", "1")]);
        let counts = difference(&before, &after);
        assert_eq!((counts.inserted, counts.updated, counts.deleted, counts.unchanged), (2, 1, 1, 1));
        assert_eq!(difference(&[], &[]), Counts::default());
    }

    #[test]
    fn a_key_that_is_there_twice_shows() {
        let counts = difference(&rows(&[("a", "1")]), &rows(&[("a", "1"), ("a", "2")]));
        assert_eq!((counts.updated, counts.unchanged), (1, 1));
    }
}
