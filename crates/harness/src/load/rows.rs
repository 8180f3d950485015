//! The timeline of a load in a bounded number of rows. Pure.

use serde::{Deserialize, Serialize};

use crate::stats::Histogram;

/// What happened in an interval. Requests stand in the row in which they were due, so that a stall shows where it was;
/// what ended stands where it ended, which is the throughput.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// Beginning, µs since the load began.
    pub from_us: u64,
    /// End.
    pub until_us: u64,
    /// Requests due in it.
    pub due: u64,
    /// Of these, not started because too many were in flight.
    pub dropped: u64,
    /// Of these, started late by the generator's own doing.
    pub late: u64,
    /// Latency of these, from due to end, where they ended well.
    pub latency: Histogram,
    /// Requests that ended well in it, whenever they were due.
    pub ok: u64,
    /// Requests that ended badly in it, whenever they were due.
    pub failed: u64,
    /// Most that were in flight at once when one was started in it.
    pub in_flight: u64,
}

impl Row {
    fn take_in(&mut self, next: &Self) {
        self.until_us = next.until_us;
        self.due += next.due;
        self.dropped += next.dropped;
        self.late += next.late;
        self.latency.merge(&next.latency);
        self.ok += next.ok;
        self.failed += next.failed;
        self.in_flight = self.in_flight.max(next.in_flight);
    }

    /// Requests that ended well, per second.
    #[must_use]
    pub fn throughput(&self) -> f64 {
        self.ok as f64 * 1e6 / (self.until_us - self.from_us).max(1) as f64
    }
}

/// Rows of one width, at most so many: where there would be more, neighbours are merged and the width doubles.
#[derive(Debug)]
pub struct Rows {
    width_us: u64,
    most: usize,
    rows: Vec<Row>,
}

impl Rows {
    /// No row yet. Both figures are at least 1 (and two rows at least).
    #[must_use]
    pub fn new(width_us: u64, most: usize) -> Self {
        Self { width_us: width_us.max(1), most: most.max(2), rows: Vec::new() }
    }

    /// The row of a moment, µs since the load began; rows up to it are made.
    pub fn at(&mut self, us: u64) -> &mut Row {
        while us / self.width_us >= self.most as u64 {
            self.fold();
        }
        let index = usize::try_from(us / self.width_us).unwrap_or(usize::MAX).min(self.most - 1);
        while self.rows.len() <= index {
            let from_us = self.rows.len() as u64 * self.width_us;
            self.rows.push(Row { from_us, until_us: from_us.saturating_add(self.width_us), ..Row::default() });
        }
        &mut self.rows[index]
    }

    fn fold(&mut self) {
        self.width_us *= 2;
        let mut pairs = std::mem::take(&mut self.rows).into_iter();
        while let Some(mut first) = pairs.next() {
            first.until_us = first.from_us.saturating_add(self.width_us);
            if let Some(second) = pairs.next() {
                first.take_in(&second);
            }
            self.rows.push(first);
        }
    }

    /// All of them. The last one ends where the load does, so that its throughput is right.
    #[must_use]
    pub fn end(mut self, took_us: u64) -> Vec<Row> {
        if let Some(last) = self.rows.last_mut() {
            last.until_us = last.until_us.min(took_us.max(last.from_us + 1));
        }
        self.rows
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_follow_one_another_without_gaps_however_long_it_goes_on_and_nothing_is_lost() {
        let mut rows = Rows::new(1_000, 8);
        for i in 0..1_000_u64 {
            let row = rows.at(i * 777);
            row.due += 1;
            row.ok += 1;
            row.latency.record(i);
            row.in_flight = row.in_flight.max(i);
        }
        let rows = rows.end(777_000);
        assert!(rows.len() <= 8 && rows.len() > 4, "{}", rows.len());
        assert!(rows.windows(2).all(|w| w[0].until_us == w[1].from_us));
        assert_eq!((rows[0].from_us, rows[rows.len() - 1].until_us), (0, 777_000));
        assert_eq!(rows.iter().map(|r| r.due).sum::<u64>(), 1_000);
        assert_eq!(rows.iter().map(|r| r.latency.len()).sum::<u64>(), 1_000);
        assert_eq!(rows.iter().map(|r| r.in_flight).max(), Some(999));
        // 1,000,000 / 777 requests a second in each of them.
        assert!(rows.iter().all(|r| (r.throughput() / 1_287.0 - 1.0).abs() < 0.06), "{rows:?}");
    }

    #[test]
    fn a_jump_leaves_empty_rows_and_no_more_than_were_asked_for() {
        let mut rows = Rows::new(1, 4);
        rows.at(0).due = 1;
        rows.at(u64::MAX / 4).due = 1;
        let rows = rows.end(u64::MAX / 4 + 1);
        assert_eq!(rows.iter().map(|r| r.due).collect::<Vec<_>>(), [1, 0, 0, 1]);
    }
}
