//! Multi-row INSERT, with or without the reviewed SELECT of existing keys ahead of it.

use std::fmt::Write as _;

use contract::feed::Counts;
use sqlx::postgres::PgArguments;
use sqlx::{Arguments, AssertSqlSafe, Row};

use super::{COLUMNS, LapBatchRows, columns};
use crate::settings::UnitSettings;
use crate::store::error::doing;
use crate::store::session::args;
use crate::store::{Session, StoreError};

pub(super) async fn write(
    session: &mut Session,
    settings: &UnitSettings,
    batch: &LapBatchRows<'_>,
) -> Result<Counts, StoreError> {
    let what = "writing laps";
    if settings.select_existing {
        select_existing(session, batch).await?;
    }
    let mut values = PgArguments::default();
    values.reserve(batch.rows * COLUMNS, batch.rows * 44);
    let mut add = |(result, lap)| -> Result<(), sqlx::error::BoxDynError> {
        let (number, time, position, pace_laps, pace) = columns(lap);
        values.add(result)?;
        values.add(number)?;
        values.add(time)?;
        values.add(position)?;
        values.add(pace_laps)?;
        values.add(pace)
    };
    batch.iter().try_for_each(&mut add).map_err(|e| doing(what)(sqlx::Error::Encode(e)))?;
    let rows = session.rows(what, AssertSqlSafe(statement(batch.rows, settings.skip_unchanged)), Ok(values)).await?;
    count(&rows, batch.rows)
}

/// Counts what an upsert returned: rows that were new, rows that were there, and those that it left alone.
pub(super) fn count(rows: &[sqlx::postgres::PgRow], sent: usize) -> Result<Counts, StoreError> {
    let mut counts = Counts::default();
    for row in rows {
        match row.try_get(0).map_err(doing("counting laps"))? {
            true => counts.inserted += 1,
            false => counts.updated += 1,
        }
    }
    counts.unchanged = (sent as u64).saturating_sub(rows.len() as u64);
    Ok(counts)
}

pub(super) const ON_CONFLICT: &str = "ON CONFLICT (result_id, number) DO UPDATE SET time_ms = EXCLUDED.time_ms, \
     position = EXCLUDED.position, pace_laps = EXCLUDED.pace_laps, pace_ms = EXCLUDED.pace_ms";

pub(super) const WHERE_CHANGED: &str = " WHERE (laps.time_ms, laps.position, laps.pace_laps, laps.pace_ms) IS DISTINCT \
     FROM (EXCLUDED.time_ms, EXCLUDED.position, EXCLUDED.pace_laps, EXCLUDED.pace_ms)";

fn statement(rows: usize, skip_unchanged: bool) -> String {
    let mut sql = String::with_capacity(500 + rows * 44);
    sql.push_str("INSERT INTO laps (result_id, number, time_ms, position, pace_laps, pace_ms) VALUES ");
    for row in 0..rows {
        sql.push_str(if row == 0 { "(" } else { ", (" });
        for column in 1..=COLUMNS {
            let comma = if column == 1 { "" } else { ", " };
            // writing to a String cannot fail
            let _ = write!(sql, "{comma}${}", row * COLUMNS + column);
        }
        sql.push(')');
    }
    sql.push(' ');
    sql.push_str(ON_CONFLICT);
    if skip_unchanged {
        sql.push_str(WHERE_CHANGED);
    }
    sql.push_str(" RETURNING xmax = 0");
    sql
}

/// The reviewed look ahead. Its answer is read and not needed: the upsert counts by itself.
pub(super) async fn select_existing(session: &mut Session, batch: &LapBatchRows<'_>) -> Result<(), StoreError> {
    const SQL: &str = "SELECT l.result_id, l.number FROM laps l \
                       JOIN unnest($1::bigint[], $2::integer[]) AS k (result_id, number) \
                       ON l.result_id = k.result_id AND l.number = k.number";
    let (results, numbers): (Vec<i64>, Vec<i32>) =
        batch.iter().map(|(result, lap)| (result, lap.number.cast_signed())).unzip();
    session.rows("reading existing laps", SQL, args![results, numbers]).await.map(drop)
}
