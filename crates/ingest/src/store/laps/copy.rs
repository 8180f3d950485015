//! Binary COPY straight into `laps`.
//!
//! Format: PostgreSQL documentation, COPY, "Binary Format".

use contract::Step;
use contract::feed::Counts;

use super::{LapBatchRows, columns};
use crate::model::Lap;
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

pub(super) async fn write(
    session: &mut Session,
    context: &UnitContext<'_>,
    batch: &LapBatchRows<'_>,
    sent_before: u64,
) -> Result<Counts, StoreError> {
    let first = first_chunk_rows(batch.rows);
    let mid_batch = || context.probe.reach(Step::MidBatch, super::at(context, sent_before + first as u64));
    let inserted = session.copy_in("copying laps", INTO_LAPS, chunks(batch), mid_batch).await?;
    Ok(Counts { inserted, ..Counts::default() })
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
            Some(value) => to.extend_from_slice(&((4i64 << 32) | i64::from(value.cast_unsigned())).to_be_bytes()),
        }
    }
}
