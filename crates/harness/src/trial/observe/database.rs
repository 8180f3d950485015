//! The database at one moment, read in one REPEATABLE READ transaction.
//!
//! PostgreSQL counts and digests the rows where they are; only groups whose digest is not the expected one are fetched, so
//! that a million laps cost the harness no memory.

use std::collections::BTreeMap;

use sqlx::{AssertSqlSafe, PgConnection, PgPool};

use crate::synth::rows::RowMap;
use crate::trial::record::{Checkpoint, DifferingRow, Group, Interlude, RowKind, Snapshot, Tables, XminSet};

/// Rows unlike the expected ones that are kept.
const FIRST: usize = 10;

/// What the rows are compared with.
pub struct Expected<'a> {
    /// Groups as they must be.
    pub tables: &'a Tables,
    /// Row texts of a group, for groups that differ.
    pub rows: &'a (dyn Fn(RowKind, u64) -> Vec<String> + Sync),
}

/// Reads everything that the oracles need of an event.
///
/// # Errors
/// When the database does not answer.
pub async fn snapshot(
    pool: &PgPool,
    map: &RowMap,
    event_id: u64,
    expected: &Expected<'_>,
    horizon: Option<u64>,
) -> sqlx::Result<Snapshot> {
    let id = i64::try_from(event_id).map_err(|e| sqlx::Error::Protocol(e.to_string()))?;
    let mut tx = pool.begin().await?;
    sqlx::query("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY").execute(&mut *tx).await?;
    let mut snapshot = Snapshot::all_read();
    for kind in RowKind::ALL {
        let groups = groups(&mut tx, map, kind, id).await?;
        let wanted = expected.tables.get(&kind);
        let all: std::collections::BTreeSet<u64> =
            groups.keys().chain(wanted.into_iter().flat_map(BTreeMap::keys)).copied().collect();
        for group in all {
            if snapshot.differing.len() >= FIRST {
                break;
            }
            if groups.get(&group) != wanted.and_then(|w| w.get(&group)) {
                let observed = rows(&mut tx, map, kind, id, group).await?;
                let rows = differences(kind, group, (expected.rows)(kind, group), observed);
                snapshot.differing.extend(rows.into_iter().take(FIRST - snapshot.differing.len()));
            }
        }
        snapshot.tables.insert(kind, groups);
    }
    snapshot.ingest_depth = depth(&mut tx, id).await?;
    snapshot.checkpoints = checkpoints(&mut tx, id).await?;
    snapshot.laps_stored = laps_stored(&mut tx, id).await?;
    snapshot.xmins = xmins(&mut tx, id).await?;
    snapshot.xmin_digest = Some(xmin_digest(&mut tx, id).await?);
    if let Some(horizon) = horizon {
        snapshot.rewritten = rewritten(&mut tx, id, horizon).await?;
    }
    tx.commit().await?;
    Ok(snapshot)
}

/// What is durable in mid-ingestion, after a process died or a fault had healed and before work goes on. `finished`: the event
/// is complete, and a stalled engine about to wake.
///
/// # Errors
/// When the database does not answer.
pub async fn interlude(pool: &PgPool, event_id: u64, after: String, finished: bool) -> sqlx::Result<Interlude> {
    let id = i64::try_from(event_id).map_err(|e| sqlx::Error::Protocol(e.to_string()))?;
    let at_us = crate::clock::monotonic_us();
    let mut tx = pool.begin().await?;
    sqlx::query("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY").execute(&mut *tx).await?;
    let laps_stored = laps_stored(&mut tx, id).await?;
    let checkpoints = checkpoints(&mut tx, id).await?;
    let ingest_depth = depth(&mut tx, id).await?;
    let finished = if finished { Some(xmin_digest(&mut tx, id).await?) } else { None };
    tx.commit().await?;
    Ok(Interlude { at_us, after, laps_stored, checkpoints, ingest_depth, finished })
}

/// `ingest_depth`; `None`: no such event.
async fn depth(tx: &mut PgConnection, event: i64) -> sqlx::Result<Option<String>> {
    sqlx::query_scalar("SELECT ingest_depth FROM events WHERE id = $1").bind(event).fetch_optional(tx).await
}

/// Laps of every stored race; 0 for one without laps.
async fn laps_stored(tx: &mut PgConnection, event: i64) -> sqlx::Result<BTreeMap<u64, u64>> {
    pairs(
        tx,
        "SELECT e.id, count(l.result_id) FROM races e LEFT JOIN results r ON r.race_id = e.id \
         LEFT JOIN laps l ON l.result_id = r.id WHERE e.event_id = $1 GROUP BY 1",
        event,
    )
    .await
}

/// The first transaction id that is not yet given out: rows whose `xmin` is not below it were written later.
///
/// # Errors
/// When the database does not answer.
pub async fn horizon(pool: &PgPool) -> sqlx::Result<u64> {
    let xmax: i64 =
        sqlx::query_scalar("SELECT pg_snapshot_xmax(pg_current_snapshot())::text::bigint").fetch_one(pool).await?;
    // xmin is the low half of the 64-bit id.
    Ok(u64::try_from(xmax).unwrap_or(0) & u64::from(u32::MAX))
}

fn unsigned(value: i64) -> u64 {
    u64::try_from(value).unwrap_or(0)
}

async fn groups(tx: &mut PgConnection, map: &RowMap, kind: RowKind, event: i64) -> sqlx::Result<BTreeMap<u64, Group>> {
    let Some(sql) = map.digest_sql(kind) else { return Ok(BTreeMap::new()) };
    let rows: Vec<(i64, i64, String)> = sqlx::query_as(AssertSqlSafe(sql)).bind(event).fetch_all(tx).await?;
    Ok(rows.into_iter().map(|(g, n, digest)| (unsigned(g), Group { rows: unsigned(n), digest })).collect())
}

async fn rows(tx: &mut PgConnection, map: &RowMap, kind: RowKind, event: i64, group: u64) -> sqlx::Result<Vec<String>> {
    let Some(sql) = map.group_sql(kind) else { return Ok(Vec::new()) };
    sqlx::query_scalar(AssertSqlSafe(sql)).bind(event).bind(group.cast_signed()).fetch_all(tx).await
}

/// Rows that are on one side only; a row that is there twice and expected once is one extra row.
#[must_use]
pub fn differences(kind: RowKind, group: u64, expected: Vec<String>, observed: Vec<String>) -> Vec<DifferingRow> {
    let mut count: BTreeMap<String, i64> = BTreeMap::new();
    for row in expected {
        *count.entry(row).or_default() += 1;
    }
    for row in observed {
        *count.entry(row).or_default() -= 1;
    }
    count
        .into_iter()
        .flat_map(|(row, n)| std::iter::repeat_n((row, n > 0), usize::try_from(n.unsigned_abs()).unwrap_or(0)))
        .map(|(row, missing)| {
            let (expected, observed) = if missing { (Some(row), None) } else { (None, Some(row)) };
            DifferingRow { kind, group, expected, observed }
        })
        .collect()
}

async fn checkpoints(tx: &mut PgConnection, event: i64) -> sqlx::Result<BTreeMap<u64, Checkpoint>> {
    /// race, state, laps, hash, error
    type Row = (i64, String, i32, Option<String>, Option<String>);
    let rows: Vec<Row> = sqlx::query_as(
        "SELECT race_id, state, lap_count, encode(hash, 'hex'), error FROM ingest_checkpoints WHERE event_id = $1",
    )
    .bind(event)
    .fetch_all(tx)
    .await?;
    Ok(rows
        .into_iter()
        .map(|(race, state, laps, hash, error)| {
            let lap_count = u64::try_from(laps).unwrap_or(0);
            (unsigned(race), Checkpoint { state, lap_count, hash, recomputed: None, error })
        })
        .collect())
}

async fn pairs(tx: &mut PgConnection, sql: &'static str, event: i64) -> sqlx::Result<BTreeMap<u64, u64>> {
    let rows: Vec<(i64, i64)> = sqlx::query_as(sql).bind(event).fetch_all(tx).await?;
    Ok(rows.into_iter().map(|(k, v)| (unsigned(k), unsigned(v))).collect())
}

async fn xmins(tx: &mut PgConnection, event: i64) -> sqlx::Result<BTreeMap<u64, XminSet>> {
    let rows: Vec<(i64, Vec<i64>)> = sqlx::query_as(
        "SELECT race, array_agg(DISTINCT x) FROM ( \
            SELECT id AS race, xmin::text::bigint AS x FROM races WHERE event_id = $1 \
            UNION SELECT r.race_id, r.xmin::text::bigint FROM results r JOIN races e ON e.id = r.race_id WHERE e.event_id = $1 \
            UNION SELECT r.race_id, l.xmin::text::bigint FROM laps l JOIN results r ON r.id = l.result_id \
                  JOIN races e ON e.id = r.race_id WHERE e.event_id = $1) AS t GROUP BY race",
    )
    .bind(event)
    .fetch_all(&mut *tx)
    .await?;
    let mut sets: BTreeMap<u64, XminSet> = rows
        .into_iter()
        .map(|(race, all)| {
            (unsigned(race), XminSet { rows: all.into_iter().map(unsigned).collect(), checkpoint: None })
        })
        .collect();
    let checkpoints =
        pairs(tx, "SELECT race_id, xmin::text::bigint FROM ingest_checkpoints WHERE event_id = $1", event).await?;
    for (race, xmin) in checkpoints {
        sets.entry(race).or_default().checkpoint = Some(xmin);
    }
    Ok(sets)
}

/// Digest over (table, key, xmin) of the event's rows: a sum of hashes, so that no million rows need sorting.
async fn xmin_digest(tx: &mut PgConnection, event: i64) -> sqlx::Result<String> {
    sqlx::query_scalar(
        "SELECT md5(coalesce(sum(hashtextextended(k, 0)::numeric), 0)::text || count(*)::text) FROM ( \
            SELECT 'races' || id || ' ' || xmin::text AS k FROM races WHERE event_id = $1 \
            UNION ALL SELECT 'entries' || class || name || car_number || transponder || ' ' || xmin::text \
                  FROM entries WHERE event_id = $1 \
            UNION ALL SELECT 'results' || r.id || ' ' || r.xmin::text FROM results r JOIN races e ON e.id = r.race_id \
                  WHERE e.event_id = $1 \
            UNION ALL SELECT 'laps' || l.result_id || ' ' || l.number || ' ' || l.xmin::text FROM laps l \
                  JOIN results r ON r.id = l.result_id JOIN races e ON e.id = r.race_id WHERE e.event_id = $1 \
            UNION ALL SELECT 'checkpoints' || race_id || ' ' || xmin::text FROM ingest_checkpoints WHERE event_id = $1 \
         ) AS t",
    )
    .bind(event)
    .fetch_one(tx)
    .await
}

/// Rows of the event by table that were written at or after a horizon.
async fn rewritten(tx: &mut PgConnection, event: i64, horizon: u64) -> sqlx::Result<BTreeMap<String, u64>> {
    let rows: Vec<(String, i64)> = sqlx::query_as(
        "SELECT 'races', count(*) FROM races WHERE event_id = $1 AND xmin::text::bigint >= $2 \
         UNION ALL SELECT 'entries', count(*) FROM entries WHERE event_id = $1 AND xmin::text::bigint >= $2 \
         UNION ALL SELECT 'results', count(*) FROM results r JOIN races e ON e.id = r.race_id \
               WHERE e.event_id = $1 AND r.xmin::text::bigint >= $2 \
         UNION ALL SELECT 'laps', count(*) FROM laps l JOIN results r ON r.id = l.result_id JOIN races e ON e.id = r.race_id \
               WHERE e.event_id = $1 AND l.xmin::text::bigint >= $2 \
         UNION ALL SELECT 'drivers', count(*) FROM drivers d WHERE d.xmin::text::bigint >= $2 AND EXISTS ( \
               SELECT FROM results r JOIN races e ON e.id = r.race_id WHERE e.event_id = $1 AND r.driver_id = d.id) \
         UNION ALL SELECT 'ingest_checkpoints', count(*) FROM ingest_checkpoints \
               WHERE event_id = $1 AND xmin::text::bigint >= $2",
    )
    .bind(event)
    .bind(horizon.cast_signed())
    .fetch_all(tx)
    .await?;
    Ok(rows.into_iter().map(|(table, n)| (table, unsigned(n))).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(rows: &[&str]) -> Vec<String> {
        rows.iter().map(|&r| r.to_owned()).collect()
    }

    #[test]
    fn missing_extra_changed_and_doubled_rows_are_told() {
        let found = differences(RowKind::Laps, 7, texts(&["a", "b", "c"]), texts(&["a", "a", "c", "d"]));
        let told: Vec<_> = found.iter().map(|d| (d.expected.as_deref(), d.observed.as_deref())).collect();
        assert_eq!(told, [(None, Some("a")), (Some("b"), None), (None, Some("d"))]);
        assert!(differences(RowKind::Laps, 7, texts(&["a", "b"]), texts(&["b", "a"])).is_empty());
    }
}
