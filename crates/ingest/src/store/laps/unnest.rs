//! INSERT from arrays: one statement text for any number of rows.

use std::sync::LazyLock;

use contract::feed::Counts;

use super::insert::{ON_CONFLICT, WHERE_CHANGED, count, select_existing};
use super::{LapBatchRows, columns};
use crate::settings::UnitSettings;
use crate::store::session::args;
use crate::store::{Session, StoreError};

const INSERT: &str = "INSERT INTO laps (result_id, number, time_ms, position, pace_laps, pace_ms) \
     SELECT * FROM unnest($1::bigint[], $2::integer[], $3::integer[], $4::integer[], $5::integer[], $6::integer[])";

pub(super) async fn write(
    session: &mut Session,
    settings: &UnitSettings,
    batch: &LapBatchRows<'_>,
) -> Result<Counts, StoreError> {
    static ALWAYS: LazyLock<String> = LazyLock::new(|| format!("{INSERT} {ON_CONFLICT} RETURNING xmax = 0"));
    static CHANGED: LazyLock<String> =
        LazyLock::new(|| format!("{INSERT} {ON_CONFLICT}{WHERE_CHANGED} RETURNING xmax = 0"));
    if settings.select_existing {
        select_existing(session, batch).await?;
    }
    let mut results = Vec::with_capacity(batch.rows);
    let mut numbers = Vec::with_capacity(batch.rows);
    let mut times = Vec::with_capacity(batch.rows);
    let mut positions = Vec::with_capacity(batch.rows);
    let mut pace_laps = Vec::with_capacity(batch.rows);
    let mut paces = Vec::with_capacity(batch.rows);
    for (result, lap) in batch.iter() {
        let (number, time, position, laps, pace) = columns(lap);
        results.push(result);
        numbers.push(number);
        times.push(time);
        positions.push(position);
        pace_laps.push(laps);
        paces.push(pace);
    }
    let sql: &'static str = if settings.skip_unchanged { &CHANGED } else { &ALWAYS };
    let args = args![results, numbers, times, positions, pace_laps, paces];
    count(&session.rows("writing laps", sql, args).await?, batch.rows)
}
