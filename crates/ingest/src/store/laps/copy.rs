//! Binary COPY: straight into `laps` for races that have no rows yet, through a temporary table for others.
//!
//! Format: PostgreSQL documentation, COPY, "Binary Format".

use contract::Step;
use contract::feed::Counts;

use super::{LapBatchRows, columns};
use crate::model::Lap;
use crate::store::rows::count;
use crate::store::session::args;
use crate::store::unit::UnitContext;
use crate::store::{Session, StoreError};

/// Signature, no flags, no extension.
const HEADER: &[u8] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";
/// A field count of -1.
const TRAILER: [u8; 2] = (-1i16).to_be_bytes();
/// Largest chunk: what is sent at once, and all that the encoding takes of memory.
const CHUNK: usize = 128 * 1024;

const INTO_LAPS: &str =
    "COPY laps (result_id, number, time_ms, position, pace_laps, pace_ms) FROM STDIN (FORMAT binary)";
const INTO_STAGE: &str =
    "COPY lap_stage (result_id, number, time_ms, position, pace_laps, pace_ms) FROM STDIN (FORMAT binary)";

pub(super) async fn write(
    session: &mut Session,
    context: &UnitContext<'_>,
    batch: &LapBatchRows<'_>,
    sent_before: u64,
) -> Result<Counts, StoreError> {
    let first = first_chunk_rows(batch.rows);
    let mid_batch = || context.probe.reach(Step::MidBatch, super::at(context, sent_before + first as u64));
    if batch.fresh {
        let inserted = session.copy_in("copying laps", INTO_LAPS, chunks(batch), mid_batch).await?;
        return Ok(Counts { inserted, ..Counts::default() });
    }
    stage(session).await?;
    session.copy_in("copying laps", INTO_STAGE, chunks(batch), mid_batch).await?;
    merge(session, batch).await
}

/// Makes the temporary table, once per connection, and empties it.
async fn stage(session: &mut Session) -> Result<(), StoreError> {
    const CREATE: &str = "CREATE TEMPORARY TABLE IF NOT EXISTS lap_stage (result_id bigint NOT NULL, number integer NOT NULL, \
         time_ms integer NOT NULL, position integer, pace_laps integer, pace_ms integer) ON COMMIT DELETE ROWS";
    let what = "making room for changed laps";
    if session.staged {
        session.execute(what, "TRUNCATE lap_stage", args![]).await?;
    } else {
        session.execute(what, CREATE, args![]).await?;
        session.staged = true;
    }
    Ok(())
}

/// The results whose laps are merged are named: else the planner, who knows no more of them than that there is a temporary
/// table, walks the whole index of a table of laps that is not very large.
async fn merge(session: &mut Session, batch: &LapBatchRows<'_>) -> Result<Counts, StoreError> {
    const SQL: &str = "\
WITH changed AS (
    UPDATE laps l SET time_ms = s.time_ms, position = s.position, pace_laps = s.pace_laps, pace_ms = s.pace_ms
    FROM lap_stage s WHERE l.result_id = ANY ($1::bigint[]) AND l.result_id = s.result_id AND l.number = s.number
      AND (l.time_ms, l.position, l.pace_laps, l.pace_ms) IS DISTINCT FROM (s.time_ms, s.position, s.pace_laps, s.pace_ms)
    RETURNING 1
), added AS (
    INSERT INTO laps (result_id, number, time_ms, position, pace_laps, pace_ms)
    SELECT result_id, number, time_ms, position, pace_laps, pace_ms FROM lap_stage s
    WHERE NOT EXISTS (SELECT FROM laps l
        WHERE l.result_id = ANY ($1::bigint[]) AND l.result_id = s.result_id AND l.number = s.number)
    RETURNING 1
)
SELECT (SELECT count(*) FROM added), (SELECT count(*) FROM changed)";
    let what = "merging changed laps";
    let results: Vec<i64> = batch.runs.iter().map(|run| run.result).collect();
    let row = session.row(what, SQL, args![results]).await?;
    let (inserted, updated) = (count(&row, 0, what)?, count(&row, 1, what)?);
    let unchanged = (batch.rows as u64).saturating_sub(inserted + updated);
    Ok(Counts { inserted, updated, deleted: 0, unchanged })
}

/// Bytes of a row whose every field is there.
const ROW: usize = 2 + 4 * 6 + 8 + 4 * 5;

/// Rows of the first chunk: at most half of the batch, so that the step between the chunks is in mid-batch.
fn first_chunk_rows(rows: usize) -> usize {
    (rows / 2).clamp(1, CHUNK / ROW)
}

/// A batch as COPY data.
fn chunks<'a>(batch: &'a LapBatchRows<'a>) -> impl Iterator<Item = Vec<u8>> + 'a {
    let mut rows = batch.iter();
    let mut next = first_chunk_rows(batch.rows);
    let mut left = batch.rows;
    let mut begun = false;
    let mut ended = false;
    std::iter::from_fn(move || {
        if ended {
            return None;
        }
        let now = next.min(left);
        let mut chunk = Vec::with_capacity(HEADER.len() + now * ROW + TRAILER.len());
        if !begun {
            chunk.extend_from_slice(HEADER);
            begun = true;
        }
        for (result, lap) in rows.by_ref().take(now) {
            encode(&mut chunk, result, lap);
        }
        left -= now;
        next = CHUNK / ROW;
        if left == 0 && now > 0 && batch.rows > 1 || now == 0 {
            chunk.extend_from_slice(&TRAILER);
            ended = true;
        }
        Some(chunk)
    })
}

fn encode(to: &mut Vec<u8>, result: i64, lap: &Lap) {
    let (number, time, position, pace_laps, pace) = columns(lap);
    to.extend_from_slice(&6i16.to_be_bytes());
    to.extend_from_slice(&8i32.to_be_bytes());
    to.extend_from_slice(&result.to_be_bytes());
    for value in [Some(number), Some(time), position, pace_laps, pace] {
        match value {
            None => to.extend_from_slice(&(-1i32).to_be_bytes()),
            Some(value) => {
                to.extend_from_slice(&4i32.to_be_bytes());
                to.extend_from_slice(&value.to_be_bytes());
            }
        }
    }
}
