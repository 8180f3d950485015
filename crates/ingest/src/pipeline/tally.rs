//! What a run has done so far: for its summary, and for the metrics of the process.

use contract::feed::{Changes, Counts, Summary};

use super::Run;
use crate::store::{DriversWritten, UnitOutcome, UnitRace};

/// The summary as it grows.
#[derive(Debug, Default)]
pub(super) struct Tally {
    pub(super) summary: Summary,
}

impl Run {
    /// Rows were changed, or found unchanged.
    pub(super) fn changed(&self, rows: Changes) {
        self.tally().summary.rows += rows;
        self.metrics.add_rows(&rows);
    }

    /// Drivers were written ahead of a unit, whatever became of that.
    pub(super) fn wrote_drivers(&self, drivers: &DriversWritten) {
        self.tally().summary.drivers_in_doubt += drivers.unanswered;
        self.changed(Changes { drivers: drivers.counts, ..Changes::default() });
    }

    /// Races were written.
    pub(super) fn wrote(&self, races: &[UnitRace], drivers: &DriversWritten, outcome: &UnitOutcome) {
        self.wrote_drivers(drivers);
        self.tally().summary.written += races.len() as u64;
        self.metrics.races_written(races.len() as u64);
        self.changed(outcome.changes);
        self.in_progress.made();
    }

    /// A race is equal to what is stored and is not written.
    pub(super) fn left_out(&self, race: &UnitRace) {
        self.tally().summary.skipped += 1;
        self.metrics.race_unchanged();
        let unchanged = |unchanged: usize| Counts { unchanged: unchanged as u64, ..Counts::default() };
        self.changed(Changes {
            races: unchanged(1),
            results: unchanged(race.race().results.len()),
            laps: unchanged(race.race().lap_count()),
            ..Changes::default()
        });
    }
}
