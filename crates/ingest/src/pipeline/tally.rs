//! What a run has done so far.

use contract::feed::{Counts, Summary};

use crate::store::{UnitOutcome, UnitRace};

/// The summary as it grows.
#[derive(Debug, Default)]
pub(super) struct Tally {
    pub(super) summary: Summary,
}

impl Tally {
    /// Races were written.
    pub(super) fn wrote(&mut self, races: &[UnitRace], outcome: &UnitOutcome) {
        self.summary.written += races.len() as u64;
        self.summary.rows += outcome.changes;
    }

    /// A race is equal to what is stored and is not written.
    pub(super) fn left_out(&mut self, race: &UnitRace) {
        self.summary.skipped += 1;
        let unchanged = |unchanged: usize| Counts { unchanged: unchanged as u64, ..Counts::default() };
        self.summary.rows.races += unchanged(1);
        self.summary.rows.results += unchanged(race.race().results.len());
        self.summary.rows.laps += unchanged(race.race().lap_count());
    }
}
