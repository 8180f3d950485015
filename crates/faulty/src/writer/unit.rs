//! A unit: some races in one transaction.

use std::collections::BTreeMap;
use std::time::Instant;

use contract::Step;
use contract::feed::{Batch, Changes, Committed, Counts, Record, Unit};
use ingest::model::RaceResult;
use ingest::probe::{At, micros};
use ingest::store::HASH_VERSION;
use serde_json::{Value, json};

use super::connection::{number, run, stored, write};
use super::{Prepared, Writer};
use crate::bug::Bug;
use crate::statements::{self as sql, How};

/// Laps in a statement.
const BATCH: usize = 50;

impl Writer<'_> {
    /// How rows of races are written.
    pub(super) fn how(&self) -> How {
        if self.has(Bug::Rewrites) { How::Always } else { How::Changed }
    }

    /// How laps are written.
    pub(super) fn how_laps(&self) -> How {
        match self.bug {
            Some(Bug::PlainInsert | Bug::AmbiguousDoubled) => How::Plain,
            _ => self.how(),
        }
    }

    /// Writes races in one transaction, and again when that fails.
    pub async fn write(&mut self, races: &[Prepared]) -> anyhow::Result<()> {
        self.unit += 1;
        self.sent = 0;
        let mut changes = Changes::default();
        let mut attempt = 0;
        loop {
            attempt += 1;
            let error = match self.try_write(races, attempt, &mut changes).await {
                Ok(()) => {
                    self.rows += changes;
                    return Ok(());
                }
                Err(error) => error,
            };
            self.again("unit", attempt, error).await?;
        }
    }

    pub(super) fn at(&self, laps: u64) -> At {
        At { unit: Some(self.unit), race: None, laps: Some(laps) }
    }

    pub(super) fn acknowledge(&self, races: &[Prepared]) {
        let races = || races.iter().map(|r| r.race.listed.id).collect();
        self.probe.record(|| Record::Committed(Committed { unit: self.unit, races: races() }));
    }

    /// Before a unit is tried again: what is there of it? `true`: all, the commit that was in doubt did happen.
    pub(super) async fn settle(&mut self, races: &[Prepared]) -> anyhow::Result<bool> {
        let (event, fence) = (self.event, self.fence);
        let stored = stored(self.conn()?, event).await?;
        let ours = |race: &Prepared| {
            stored.get(&race.race.listed.id).is_some_and(|s| s.equals(race) && Some(s.fence) == fence)
        };
        Ok(races.iter().all(ours))
    }

    pub(super) async fn try_write(
        &mut self,
        races: &[Prepared],
        attempt: u32,
        changes: &mut Changes,
    ) -> anyhow::Result<()> {
        self.connect().await?;
        let looks = attempt > 1 && !matches!(self.bug, Some(Bug::AmbiguousDoubled | Bug::StaleOverwrite));
        if looks && self.settle(races).await? {
            self.acknowledge(races);
            self.probe.reach(Step::AfterCommit, self.at(0));
            return Ok(());
        }
        *changes = Changes { drivers: changes.drivers, ..Changes::default() };
        let drivers: Vec<&Prepared> = races.iter().collect();
        changes.drivers += self.drivers(&drivers).await?;
        let begun = Instant::now();
        if self.has(Bug::CheckpointAhead) {
            self.checkpoints(races).await?;
        }
        self.begin().await?;
        self.probe.reach(Step::UnitBegun, self.at(0));
        if self.has(Bug::StaleOverwrite) && attempt > 1 {
            let ids: Vec<i64> = races.iter().map(|r| r.id).collect();
            sqlx::query("DELETE FROM races WHERE id = ANY ($1)").bind(ids).execute(self.conn()?).await?;
        }
        let rows = self.races_and_results(races, changes).await;
        self.tolerate(rows)?;
        self.probe.reach(Step::ResultsWritten, self.at(0));
        self.show_part().await?;
        let (laps, batches) = self.laps(races, changes).await?;
        if !matches!(self.bug, Some(Bug::CheckpointAhead | Bug::CheckpointBehind)) {
            let written = self.checkpoints(races).await;
            self.tolerate(written)?;
        }
        self.probe.reach(Step::CheckpointWritten, self.at(laps));
        if self.has(Bug::AcknowledgedEarly) {
            self.acknowledge(races);
        }
        self.probe.reach(Step::BeforeCommit, self.at(laps));
        let committing = Instant::now();
        self.commit().await?;
        let commit_us = micros(committing.elapsed());
        if !self.has(Bug::AcknowledgedEarly) {
            self.acknowledge(races);
        }
        self.probe.reach(Step::AfterCommit, self.at(laps));
        if self.has(Bug::CheckpointBehind) {
            self.checkpoints(races).await?;
        }
        let (unit, rows, write_us) = (self.unit, *changes, micros(begun.elapsed()));
        let races = races.len() as u64;
        self.probe
            .record(|| Record::Unit(Unit { unit, races, laps, batches, acquire_us: 0, write_us, commit_us, rows }));
        Ok(())
    }

    /// Lets a statement's error pass, if that is the bug.
    pub(super) fn tolerate<T: Default>(&self, result: anyhow::Result<T>) -> anyhow::Result<T> {
        if self.has(Bug::SwallowedError) { Ok(result.unwrap_or_default()) } else { result }
    }

    /// Commits what there is of a race, if that is the bug.
    pub(super) async fn show_part(&mut self) -> anyhow::Result<()> {
        if self.has(Bug::PartVisible) {
            self.commit().await?;
            self.begin().await?;
        }
        Ok(())
    }

    /// Writes the drivers of some races in a transaction of their own.
    pub(super) async fn drivers(&mut self, races: &[&Prepared]) -> anyhow::Result<Counts> {
        let mut drivers = BTreeMap::new();
        races.iter().for_each(|race| drivers.extend(race.drivers()));
        let rows: Value = drivers.iter().map(|(id, name)| json!({ "id": id, "name": name })).collect();
        write(self.conn()?, sql::DRIVERS, How::Changed, rows).await
    }

    /// Writes every driver once more, as if none were there.
    pub async fn double_drivers(&mut self, race: &Prepared) -> anyhow::Result<()> {
        self.connect().await?;
        run(self.conn()?, "ALTER TABLE drivers DROP CONSTRAINT IF EXISTS drivers_pkey CASCADE").await?;
        let rows: Value = race.drivers().iter().map(|(id, name)| json!({ "id": id, "name": name })).collect();
        let written = write(self.conn()?, sql::DRIVERS, How::Plain, rows).await?;
        self.rows.drivers += written;
        Ok(())
    }

    pub(super) async fn races_and_results(&mut self, races: &[Prepared], changes: &mut Changes) -> anyhow::Result<()> {
        let (event, how, keeps) = (self.event, self.how(), self.has(Bug::LeftoversKept));
        for race in races {
            let conn = self.conn()?;
            changes.races += write(conn, sql::RACES, how, json!([race.row(event)])).await?;
            if !keeps {
                let ids: Vec<i64> = race.results().map(|(id, _)| id).collect();
                let gone = sqlx::query(sql::RESULTS_GONE).bind(race.id).bind(ids).fetch_one(&mut *conn).await?;
                changes.results.deleted += number(&gone, 0)?;
                changes.laps.deleted += number(&gone, 1)?;
            }
            changes.results += write(conn, sql::RESULTS, how, race.result_rows()).await?;
        }
        Ok(())
    }

    /// Writes the laps of a unit, batch by batch; answers laps and batches.
    pub(super) async fn laps(&mut self, races: &[Prepared], changes: &mut Changes) -> anyhow::Result<(u64, u64)> {
        if !self.has(Bug::LeftoversKept) {
            let last =
                |(id, result): (i64, &RaceResult)| (id, result.laps.last().map_or(0, |lap| lap.number.cast_signed()));
            let (ids, last): (Vec<i64>, Vec<i32>) = races.iter().flat_map(Prepared::results).map(last).unzip();
            let gone = sqlx::query(sql::LAPS_GONE).bind(ids).bind(last).fetch_one(self.conn()?).await;
            let gone = gone.map_err(Into::into).and_then(|row| number(&row, 0));
            changes.laps.deleted += self.tolerate(gone)?;
        }
        let rows: Vec<Value> = races.iter().flat_map(Prepared::lap_rows).collect();
        let (how, mut laps, mut batches) = (self.how_laps(), 0, 0);
        for (index, batch) in rows.chunks(BATCH).enumerate() {
            if self.has(Bug::BatchLost) && index < self.sent {
                continue;
            }
            if batches > 0 {
                self.probe.reach(Step::MidUnit, self.at(laps));
            }
            let begun = Instant::now();
            let written = write(self.conn()?, sql::LAPS, how, Value::from(batch.to_vec())).await;
            changes.laps += self.tolerate(written)?;
            self.sent = index + 1;
            laps += batch.len() as u64;
            batches += 1;
            let (unit, rows, write_us) = (self.unit, batch.len() as u64, micros(begun.elapsed()));
            self.probe.record(|| Record::Batch(Batch { unit, rows, write_us }));
            self.probe.reach(Step::BatchWritten, self.at(laps));
            self.show_part().await?;
        }
        Ok((laps, batches))
    }

    pub(super) async fn checkpoints(&mut self, races: &[Prepared]) -> anyhow::Result<()> {
        let (event, fence) = (self.event, self.fence);
        let row = |race: &Prepared| {
            let hash: String = race.hash.iter().map(|byte| format!("{byte:02x}")).collect();
            json!({
                "race_id": race.id, "event_id": event, "state": "written", "hash_version": HASH_VERSION,
                "hash": format!("\\x{hash}"), "lap_count": race.race.lap_count(), "fence": fence,
            })
        };
        let rows: Value = races.iter().map(row).collect();
        if self.has(Bug::StaleHash) {
            // New ones get theirs; of those that are there all but the hash is written.
            let ids: Vec<i64> = races.iter().map(|race| race.id).collect();
            let there = sqlx::query("SELECT count(*) FROM ingest_checkpoints WHERE race_id = ANY ($1)").bind(ids);
            if number(&there.fetch_one(self.conn()?).await?, 0)? > 0 {
                return write(self.conn()?, sql::HASHLESS, How::Always, rows).await.map(drop);
            }
        }
        write(self.conn()?, sql::CHECKPOINTS, How::Always, rows).await.map(drop)
    }
}
