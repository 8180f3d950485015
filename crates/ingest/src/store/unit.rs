//! A commit unit: the races that are written in one transaction, and that transaction.

use std::time::{Duration, Instant};

use contract::Step;
use contract::feed::{Changes, Committed, Counts, Record, Unit};

use super::hash::hash_of;
use super::session::args;
use super::{Hash, Session, StoreError, checkpoint, encode, fence, laps, result_id, rows};
use crate::metrics::Metrics;
use crate::model::{Race, RaceResult};
use crate::probe::{At, Probe, micros};
use crate::settings::UnitSettings;

/// Memory that a lap of a unit takes at most, bytes, in one batch of the whole unit by the write path that takes the most
/// (`unnest`): 32 as parsed, 40 as columns, 52 encoded as a value of each array, and those once more in the driver's
/// buffer. COPY takes the 32 and a chunk.
pub const LAP_BYTES: u64 = 32 + 40 + 2 * 52;

/// A race on its way into the database: checked, with the ids of its results and its content hash.
#[derive(Debug, Clone)]
pub struct UnitRace {
    race: Race,
    id: i64,
    result_ids: Vec<i64>,
    hash: Hash,
    stored: bool,
}

impl UnitRace {
    /// Checks a race and computes its ids and hash. `stored`: rows of it may be in the database.
    ///
    /// # Errors
    /// A number that fits no column; two results that are one by their key.
    pub fn new(race: Race, stored: bool) -> Result<Self, StoreError> {
        let listed = race.listed.id;
        let result_ids: Vec<_> = race.results.iter().map(|r| result_id(listed, r)).collect();
        let mut sorted = result_ids.clone();
        sorted.sort_unstable();
        if sorted.windows(2).any(|pair| matches!(pair, [a, b] if a == b)) {
            let reason = "two of its results have the same driver id, or no id and the same name".to_owned();
            return Err(StoreError::Race { race: listed, reason });
        }
        let hash = hash_of(&race, &result_ids);
        let unit_race = Self { id: encode::id(listed)?, result_ids, hash, stored, race };
        rows::check(&unit_race)?;
        unit_race.check_laps()?;
        Ok(unit_race)
    }

    fn check_laps(&self) -> Result<(), StoreError> {
        let race = self.race.listed.id;
        for lap in self.race.results.iter().flat_map(|r| &r.laps) {
            let rest = [lap.position, lap.pace_laps, lap.pace_ms].map(Option::unwrap_or_default);
            if rest.into_iter().fold(lap.number | lap.time_ms, |all, n| all | n).cast_signed() >= 0 {
                continue; // none has its highest bit set
            }
            encode::int(race, "lap number", lap.number)?;
            encode::int(race, "lap time", lap.time_ms)?;
            encode::maybe(race, "position", lap.position)?;
            encode::maybe(race, "laps of the pace", lap.pace_laps)?;
            encode::maybe(race, "time of the pace", lap.pace_ms)?;
        }
        Ok(())
    }

    /// The race.
    #[must_use]
    pub fn race(&self) -> &Race {
        &self.race
    }

    /// LiveRC's id as the column has it.
    #[must_use]
    pub fn id(&self) -> i64 {
        self.id
    }

    /// Its content hash.
    #[must_use]
    pub fn hash(&self) -> &Hash {
        &self.hash
    }

    /// Whether rows of it may be in the database.
    #[must_use]
    pub fn stored(&self) -> bool {
        self.stored
    }

    /// Says whether rows of it may be in the database, after the checkpoints have been read again.
    pub fn set_stored(&mut self, stored: bool) {
        self.stored = stored;
    }

    /// Its results with their ids.
    pub fn results(&self) -> impl Iterator<Item = (i64, &RaceResult)> {
        self.result_ids.iter().copied().zip(&self.race.results)
    }

    /// Memory that its laps take, bytes.
    #[must_use]
    pub fn weight(&self) -> u64 {
        self.race.lap_count() as u64 * LAP_BYTES
    }
}

/// What a unit is written under.
pub struct UnitContext<'a> {
    /// The event.
    pub event: u64,
    /// The fencing number of this engine.
    pub fence: i64,
    /// Number of the unit in this process, from 1.
    pub unit: u32,
    /// Its settings.
    pub settings: UnitSettings,
    /// Where steps are told.
    pub probe: &'a Probe,
    /// Where counters are.
    pub metrics: &'a Metrics,
}

impl UnitContext<'_> {
    fn at(&self, laps: Option<u64>) -> At {
        At { unit: Some(self.unit), race: None, laps }
    }

    /// Tells the feed that the COMMIT of these races is confirmed.
    pub fn committed(&self, races: &[UnitRace]) {
        let races = || races.iter().map(|r| r.race().listed.id).collect();
        self.probe.record(|| Record::Committed(Committed { unit: self.unit, races: races() }));
    }
}

/// What writing a unit came to.
#[derive(Debug, Clone, Copy, Default)]
pub struct UnitOutcome {
    /// Rows changed, drivers left out: they are written by themselves.
    pub changes: Changes,
    /// Laps sent.
    pub laps: u64,
}

/// Writes a unit, whose drivers have been written, in one transaction. `Ok` means that PostgreSQL confirmed the COMMIT.
/// `drivers` is what came of them, for the feed. `outcome` is filled before COMMIT is sent, so that it is known should the answer get lost.
///
/// # Errors
/// Nothing was written, but after an error at COMMIT, when nobody knows: read the checkpoints. The session is then
/// of no more use.
pub async fn write(
    session: &mut Session,
    context: &UnitContext<'_>,
    races: &[UnitRace],
    drivers: Counts,
    outcome: &mut UnitOutcome,
) -> Result<(), StoreError> {
    let event_id = encode::id(context.event)?;
    let mut changes = Changes::default();
    let acquire = session.take_acquire_time();
    let begun = Instant::now();
    fence::begin_unit(session, &context.settings, context.event, context.fence).await?;
    context.probe.reach(Step::UnitBegun, context.at(None));
    changes += rows::write(session, event_id, context.fence, &context.settings, races).await?;
    if context.settings.extra_statement {
        needless(session, races).await?;
    }
    context.probe.reach(Step::ResultsWritten, context.at(Some(0)));
    let written = laps::write(session, context, races).await?;
    changes.laps += written.counts;
    if super::one_by_one(&context.settings) {
        checkpoint::write(session, event_id, context.fence, races).await?;
    } // else they came with the results
    context.probe.reach(Step::CheckpointWritten, context.at(Some(written.rows)));
    *outcome = UnitOutcome { changes, laps: written.rows };
    context.probe.reach(Step::BeforeCommit, context.at(Some(written.rows)));
    let committing = Instant::now();
    session.commit().await?;
    let commit = committing.elapsed();
    context.committed(races);
    context.probe.reach(Step::AfterCommit, context.at(Some(written.rows)));
    let write = begun.elapsed();
    let rows = Changes { drivers, ..changes };
    context.probe.record(|| unit_record(context.unit, races, &written, rows, [acquire, write, commit]));
    Ok(())
}

/// A statement for each race that does no good. There to be noticed: see [`UnitSettings::extra_statement`].
async fn needless(session: &mut Session, races: &[UnitRace]) -> Result<(), StoreError> {
    for race in races {
        let sql = "SELECT count(*) FROM results WHERE race_id = $1";
        session.row("making a needless statement", sql, args![race.id()]).await?;
    }
    Ok(())
}

fn unit_record(
    unit: u32,
    races: &[UnitRace],
    written: &laps::LapsWritten,
    rows: Changes,
    [acquire, write, commit]: [Duration; 3],
) -> Record {
    Record::Unit(Unit {
        unit,
        races: races.len() as u64,
        laps: written.rows,
        batches: written.batches,
        acquire_us: micros(acquire),
        write_us: micros(write),
        commit_us: micros(commit),
        rows,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::race;

    #[test]
    fn a_race_that_cannot_be_stored_is_refused_with_its_number() {
        let mut twice = race(7, 2, 3);
        twice.results[1].driver_id = twice.results[0].driver_id;
        let mut huge = race(8, 2, 3);
        huge.results[0].total_ms = Some(u32::MAX);
        let mut long = race(9, 2, 3);
        long.results[1].laps[0].time_ms = u32::MAX;
        for (bad, id, part) in [(twice, 7, "same driver id"), (huge, 8, "total_ms"), (long, 9, "lap time")] {
            let err = UnitRace::new(bad, false).unwrap_err();
            assert!(matches!(err, StoreError::Race { race, .. } if race == id), "{err}");
            assert!(err.to_string().contains(part), "{err}");
        }
        assert_eq!(UnitRace::new(race(7, 2, 3), false).unwrap().weight(), 6 * LAP_BYTES);
    }
}
