//! What has changed of laps that are stored: the stored ones are read and compared here, so that only what differs is sent.
//! Reading costs the server less than comparing, and equal laps, the most of them, need not travel to it.

use std::collections::HashMap;

use sqlx::Row;
use sqlx::postgres::PgRow;

use super::{Run, columns};
use crate::model::Lap;
use crate::store::error::doing;
use crate::store::session::args;
use crate::store::unit::UnitRace;
use crate::store::{Session, StoreError};

/// A lap's columns, without its result.
type Columns = (i32, i32, Option<i32>, Option<i32>, Option<i32>);

/// How the laps of some races differ from those that are stored.
#[derive(Debug, Default)]
pub(super) struct Difference<'a> {
    /// Keys of stored laps that left the page or changed on it.
    results: Vec<i64>,
    numbers: Vec<i32>,
    /// Laps that are new or have changed.
    pub runs: Vec<Run<'a>>,
    /// Stored laps that changed.
    pub changed: u64,
    /// Stored laps that are equal.
    pub unchanged: u64,
}

impl<'a> Difference<'a> {
    /// Reads the stored laps of races whose results have been written, and compares.
    pub async fn of(session: &mut Session, races: &[&'a UnitRace]) -> Result<Self, StoreError> {
        const SQL: &str = "\
SELECT result_id, array_agg(number), array_agg(time_ms), array_agg(position), array_agg(pace_laps), array_agg(pace_ms)
FROM laps WHERE result_id = ANY ($1::bigint[]) GROUP BY result_id";
        let what = "reading the stored laps";
        let ids: Vec<i64> = races.iter().flat_map(|race| race.results()).map(|(id, _)| id).collect();
        let rows = session.rows(what, SQL, args![ids]).await?;
        let mut stored = HashMap::with_capacity(rows.len());
        for row in rows {
            let (result, laps) = read(&row).map_err(doing(what))?;
            stored.insert(result, laps);
        }
        let mut difference = Self::default();
        for (id, result) in races.iter().flat_map(|race| race.results()) {
            difference.compare(id, &result.laps, stored.remove(&id).unwrap_or_default());
        }
        Ok(difference)
    }

    fn compare(&mut self, result: i64, laps: &'a [Lap], stored: Vec<Columns>) {
        let mut equal = vec![false; laps.len()];
        for lap in stored {
            let at = usize::try_from(lap.0).unwrap_or(0).wrapping_sub(1);
            let now = laps.get(at).map(columns).filter(|now| now.0 == lap.0);
            match (now, equal.get_mut(at)) {
                (Some(now), Some(equal)) if now == lap => {
                    *equal = true;
                    self.unchanged += 1;
                }
                _ => {
                    self.changed += u64::from(now.is_some());
                    self.results.push(result);
                    self.numbers.push(lap.0);
                }
            }
        }
        let mut rest = laps;
        for same in equal.chunk_by(|a, b| a == b) {
            let (run, after) = rest.split_at(same.len());
            rest = after;
            if same.first() == Some(&false) {
                self.runs.push(Run { result, laps: run });
            }
        }
    }

    /// Takes away the stored laps that left or changed; how many left.
    pub async fn take_away(&self, session: &mut Session) -> Result<u64, StoreError> {
        const SQL: &str = "\
DELETE FROM laps l USING unnest($1::bigint[], $2::integer[]) AS k (result_id, number)
WHERE l.result_id = ANY ($1::bigint[]) AND l.result_id = k.result_id AND l.number = k.number";
        let what = "taking away laps that left the page or changed";
        if self.results.is_empty() {
            return Ok(0);
        }
        let gone = session.execute(what, SQL, args![&self.results, &self.numbers]).await?;
        if gone == self.results.len() as u64 { Ok(gone - self.changed) } else { Err(StoreError::Aborted { what }) }
    }
}

fn read(row: &PgRow) -> sqlx::Result<(i64, Vec<Columns>)> {
    let numbers: Vec<i32> = row.try_get(1)?;
    let times: Vec<i32> = row.try_get(2)?;
    let [positions, pace_laps, paces]: [Vec<Option<i32>>; 3] = [row.try_get(3)?, row.try_get(4)?, row.try_get(5)?];
    let laps = numbers.into_iter().zip(times).zip(positions).zip(pace_laps).zip(paces);
    let laps = laps.map(|((((number, time), position), pace_laps), pace)| (number, time, position, pace_laps, pace));
    Ok((row.try_get(0)?, laps.collect()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn laps(times: &[u32]) -> Vec<Lap> {
        let lap = |(number, &time_ms): (u32, &u32)| Lap {
            number,
            position: Some(number),
            time_ms,
            pace_laps: None,
            pace_ms: Some(time_ms),
        };
        (1..).zip(times).map(lap).collect()
    }

    fn difference(stored: &[u32], now: &[u32]) -> (Vec<i32>, Vec<Vec<u32>>, u64, u64) {
        let (before, after) = (laps(stored), laps(now));
        let mut found = Difference::default();
        found.compare(7, &after, before.iter().rev().map(columns).collect());
        found.numbers.sort_unstable();
        assert!(found.results.iter().all(|&r| r == 7) && found.results.len() == found.numbers.len());
        let runs = found.runs.iter().map(|run| run.laps.iter().map(|lap| lap.number).collect()).collect();
        (found.numbers, runs, found.changed, found.unchanged)
    }

    #[test]
    fn what_left_changed_and_came_is_found_and_nothing_else() {
        assert_eq!(difference(&[5, 6, 7], &[5, 6, 7]), (vec![], vec![], 0, 3));
        assert_eq!(difference(&[], &[5, 6]), (vec![], vec![vec![1, 2]], 0, 0));
        assert_eq!(difference(&[5, 6, 7, 8], &[5, 9]), (vec![2, 3, 4], vec![vec![2]], 1, 1));
        assert_eq!(difference(&[5, 6, 7], &[1, 6, 2, 3]), (vec![1, 3], vec![vec![1], vec![3, 4]], 2, 1));
        assert_eq!(difference(&[5, 6], &[]), (vec![1, 2], vec![], 0, 0));
    }
}
