//! Lap writers: one enum of write paths, a function each.
//!
//! A lap batch is a list of runs of consecutive laps of one result. INSERT and UNNEST upsert every lap of a race; what is
//! beyond the last lap of a result leaves ahead of the batches: laps have no gaps, so that settles the rest. COPY cannot
//! upsert: of races that are stored, what left or changed is taken away, and only what differs is copied.

mod copy;
mod difference;
mod insert;
mod unnest;

use std::time::Instant;

use contract::Step;
use contract::feed::{Batch, Counts, Record};

use difference::Difference;

use super::session::args;
use super::unit::{LAP_BYTES, UnitContext, UnitRace};
use super::{Session, StoreError};
use crate::model::Lap;
use crate::probe::{At, micros};
use crate::settings::{LapBatch, UnitSettings, WritePath};

/// Columns of `laps`.
pub(super) const COLUMNS: usize = 6;

/// Parameters that a statement can have: PostgreSQL counts them with 16 bits.
const MAX_PARAMETERS: usize = 65_535;

/// Consecutive laps of one result.
#[derive(Debug, Clone, Copy)]
pub(super) struct Run<'a> {
    result: i64,
    laps: &'a [Lap],
}

/// A lap batch.
#[derive(Debug, Default)]
pub(super) struct LapBatchRows<'a> {
    runs: Vec<Run<'a>>,
    rows: usize,
}

impl<'a> LapBatchRows<'a> {
    /// Its rows, in order, each a result's id and a lap.
    fn iter(&self) -> impl Iterator<Item = (i64, &'a Lap)> + '_ {
        self.runs.iter().flat_map(|run| run.laps.iter().map(|lap| (run.result, lap)))
    }
}

/// A lap's numbers as the columns hold them. They were checked when the unit was made.
fn columns(lap: &Lap) -> (i32, i32, Option<i32>, Option<i32>, Option<i32>) {
    let signed = |n: u32| n.cast_signed();
    (
        signed(lap.number),
        signed(lap.time_ms),
        lap.position.map(signed),
        lap.pace_laps.map(signed),
        lap.pace_ms.map(signed),
    )
}

/// Rows that a batch may have under these settings: no more than the memory budget holds, though a race that passes it by
/// itself is a unit; and the parameter limit caps multi-row INSERT.
#[must_use]
pub fn rows_per_batch(settings: &UnitSettings) -> usize {
    let held = usize::try_from(settings.memory_budget / LAP_BYTES).unwrap_or(usize::MAX).max(1);
    let asked = match settings.lap_batch {
        LapBatch::Auto => held,
        LapBatch::Rows(n) => held.min(n as usize),
    };
    match settings.write_path {
        WritePath::Insert => asked.min(MAX_PARAMETERS / COLUMNS),
        WritePath::Unnest | WritePath::Copy => asked,
    }
}

/// What writing the laps of a unit came to.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct LapsWritten {
    pub counts: Counts,
    pub batches: u64,
    pub rows: u64,
}

/// Writes the laps of a unit.
pub(super) async fn write(
    session: &mut Session,
    context: &UnitContext<'_>,
    races: &[UnitRace],
) -> Result<LapsWritten, StoreError> {
    let settings = &context.settings;
    let mut written = LapsWritten::default();
    let groups: Vec<&[UnitRace]> = if settings.accumulate_laps { vec![races] } else { races.chunks(1).collect() };
    let mut runs = Vec::with_capacity(groups.len());
    for group in groups {
        let stored: Vec<_> = group.iter().filter(|r| r.stored()).collect();
        let fresh = group.iter().filter(|r| !r.stored());
        runs.push(match settings.write_path {
            _ if stored.is_empty() => all_runs(fresh),
            WritePath::Insert | WritePath::Unnest => {
                written.counts.deleted += prune(session, &stored).await?;
                all_runs(group)
            }
            WritePath::Copy => {
                let difference = Difference::of(session, &stored).await?;
                written.counts.deleted += difference.take_away(session).await?;
                written.counts.updated += difference.changed;
                written.counts.unchanged += difference.unchanged;
                let mut runs = all_runs(fresh);
                runs.extend(difference.runs);
                runs
            }
        });
    }
    // Copies of laps that were taken away because they changed are no new laps.
    let changed = written.counts.updated;
    let most = rows_per_batch(settings);
    let batches: Vec<_> = runs.into_iter().flat_map(|runs| batches(runs, most)).collect();
    let mut previous = false;
    for batch in batches {
        if previous {
            context.probe.reach(Step::MidUnit, at(context, written.rows));
        }
        previous = true;
        let begun = Instant::now();
        let counts = match settings.write_path {
            WritePath::Insert => insert::write(session, settings, &batch).await?,
            WritePath::Unnest => unnest::write(session, settings, &batch).await?,
            WritePath::Copy => copy::write(session, context, &batch, written.rows).await?,
        };
        let write_us = micros(begun.elapsed());
        written.counts += counts;
        written.batches += 1;
        written.rows += batch.rows as u64;
        let rows = batch.rows as u64;
        context.metrics.largest_batch.fetch_max(rows, std::sync::atomic::Ordering::Relaxed);
        context.probe.record(|| Record::Batch(Batch { unit: context.unit, rows, write_us }));
        context.probe.reach(Step::BatchWritten, at(context, written.rows));
    }
    written.counts.inserted = written.counts.inserted.saturating_sub(changed);
    Ok(written)
}

fn at(context: &UnitContext<'_>, laps: u64) -> At {
    At { unit: Some(context.unit), race: None, laps: Some(laps) }
}

/// Every lap of some races.
fn all_runs<'a>(races: impl IntoIterator<Item = &'a UnitRace>) -> Vec<Run<'a>> {
    races.into_iter().flat_map(UnitRace::results).map(|(result, facts)| Run { result, laps: &facts.laps }).collect()
}

/// Batches of at most so many rows.
fn batches(runs: Vec<Run<'_>>, most: usize) -> Vec<LapBatchRows<'_>> {
    let mut all = Vec::new();
    let mut batch = LapBatchRows::default();
    for Run { result, laps: mut rest } in runs {
        while !rest.is_empty() {
            let (laps, after) = rest.split_at(rest.len().min(most - batch.rows));
            rest = after;
            batch.rows += laps.len();
            batch.runs.push(Run { result, laps });
            if batch.rows == most {
                all.push(std::mem::take(&mut batch));
            }
        }
    }
    if batch.rows > 0 {
        all.push(batch);
    }
    all
}

/// Takes away the laps beyond the last one of each result.
async fn prune(session: &mut Session, races: &[&UnitRace]) -> Result<u64, StoreError> {
    const SQL: &str = "DELETE FROM laps l USING unnest($1::bigint[], $2::integer[]) AS k (result_id, last) \
                       WHERE l.result_id = k.result_id AND l.number > k.last";
    let (results, last): (Vec<i64>, Vec<i32>) = races
        .iter()
        .flat_map(|r| r.results())
        .map(|(id, result)| (id, result.laps.last().map_or(0, |lap| lap.number.cast_signed())))
        .unzip();
    session.execute("taking away laps that left the page", SQL, args![results, last]).await
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::race;
    use crate::settings::{Profile, Settings};

    #[test]
    fn batches_hold_every_lap_once_and_respect_size() {
        let races = [1, 2, 3].map(|id| UnitRace::new(race(id, 4, 7), false).unwrap());
        for size in ["1", "5", "28", "1000000", "auto"] {
            let settings = Settings::with(Profile::Fast, &[("lap_batch", size)]).unwrap().unit;
            let batches = batches(all_runs(&races), rows_per_batch(&settings));
            let rows: Vec<_> = batches.iter().flat_map(|b| b.iter().map(|(id, lap)| (id, lap.number))).collect();
            assert_eq!(rows.len(), 84, "{size}");
            assert_eq!(rows.iter().collect::<std::collections::HashSet<_>>().len(), 84, "{size}");
            for batch in &batches {
                assert_eq!(batch.rows, batch.iter().count());
                assert!(batch.rows <= rows_per_batch(&settings));
            }
        }
    }

    #[test]
    fn the_parameter_limit_caps_insert_only() {
        let rows = |path| {
            rows_per_batch(
                &Settings::with(Profile::Fast, &[("write_path", path), ("lap_batch", "50000")]).unwrap().unit,
            )
        };
        assert_eq!(rows("insert"), 10_922);
        assert_eq!((rows("unnest"), rows("copy")), (50_000, 50_000));
    }

    #[test]
    fn a_race_beyond_the_memory_budget_is_written_in_batches_that_are_not() {
        let races = [UnitRace::new(race(1, 4, 1000), false).unwrap()];
        for (batch, path) in [("auto", "copy"), ("1000000", "unnest"), ("auto", "insert")] {
            let own = [("memory_budget", "176KiB"), ("lap_batch", batch), ("write_path", path)];
            let settings = Settings::with(Profile::Fast, &own).unwrap().unit;
            assert_eq!(rows_per_batch(&settings), 1024, "{path}");
            let rows: Vec<_> = batches(all_runs(&races), 1024).iter().map(|b| b.rows).collect();
            assert_eq!(rows, [1024, 1024, 1024, 928], "{path}");
        }
    }
}
