//! Units into the database: tried whole, tried again, settled when a commit is in doubt, replayed race by race when one
//! is bad.

use contract::feed::Failed;

use super::database::{again, pause};
use super::units::ReadyUnit;
use super::{RaceStage, Run, RunError};
use crate::error::{Remedy, chain};
use crate::retry::Retries;
use crate::settings::UnitSettings;
use crate::store::{self, DriversWritten, Session, State, StoreError, UnitContext, UnitOutcome, UnitRace};

/// Writes units one after the other over one connection, which it keeps while all is well.
pub(super) struct Writer<'a> {
    run: &'a Run,
    session: Option<Session>,
}

/// Part of a unit that is written in one transaction.
struct Part {
    races: Vec<UnitRace>,
    drivers: DriversWritten,
    outcome: UnitOutcome,
}

impl<'a> Writer<'a> {
    pub(super) fn new(run: &'a Run) -> Self {
        Self { run, session: None }
    }

    /// Writes a unit. Bad races are recorded and left behind; an error ends the run.
    pub(super) async fn write(&mut self, unit: ReadyUnit) -> Result<(), RunError> {
        let ReadyUnit { number, settings, races } = unit;
        let mut parts = vec![races];
        while let Some(races) = parts.pop() {
            let alone = races.len() == 1;
            let Err((error, mut races)) = self.write_part(number, settings, races).await else { continue };
            match error.remedy() {
                _ if error.is_taken_over() => return Err(error.into()),
                Remedy::Stop | Remedy::RetryLater(_) => return Err(error.into()),
                remedy if alone => {
                    if let Some(race) = races.pop() {
                        self.give_up(&race, &error, remedy.worth_retrying()).await?;
                    }
                }
                _ => {
                    let cause = chain(&error);
                    tracing::warn!(
                        event = self.run.event,
                        unit = number,
                        cause,
                        "the unit failed and is replayed race by race"
                    );
                    parts.extend(races.into_iter().rev().map(|race| vec![race]));
                }
            }
        }
        Ok(())
    }

    /// Writes some races in one transaction, trying again as often as the budget allows. An error gives back the races
    /// that are not written.
    async fn write_part(
        &mut self,
        unit: u32,
        settings: UnitSettings,
        races: Vec<UnitRace>,
    ) -> Result<(), (StoreError, Vec<UnitRace>)> {
        let mut retries = Retries::new(self.run.settings.retry);
        let mut part = Part { races, drivers: DriversWritten::default(), outcome: UnitOutcome::default() };
        loop {
            let error = match self.attempt(unit, settings, &mut part, retries.failures() > 0).await {
                Ok(()) => {
                    let races = part.races.len();
                    tracing::info!(event = self.run.event, unit, races, laps = part.outcome.laps, "unit committed");
                    self.run.wrote(&part.races, &part.drivers, &part.outcome);
                    part.races.iter().for_each(|r| self.run.progress.set(r.race().listed.id, RaceStage::Written));
                    return Ok(());
                }
                Err(error) => error,
            };
            self.run.drivers.forget();
            self.session = None; // dropped broken, it is closed; what is clean goes back to the pool
            let Some(wait) = pause(&mut retries, &error) else {
                self.run.wrote_drivers(&part.drivers);
                return Err((error, part.races));
            };
            self.run.tell_retry("unit", Some(unit.into()), again(&retries, wait, &error));
            tokio::time::sleep(wait).await;
        }
    }

    async fn attempt(
        &mut self,
        unit: u32,
        settings: UnitSettings,
        part: &mut Part,
        again: bool,
    ) -> Result<(), StoreError> {
        let run = self.run;
        let lock = run.lock();
        let context = UnitContext {
            event: run.event,
            fence: lock.fence(),
            unit,
            settings,
            probe: &run.probe,
            metrics: &run.metrics,
        };
        if again {
            lock.ensure().await?;
        }
        if self.session.as_ref().is_none_or(|s| !s.is_clean()) {
            self.session = Some(run.session().await?);
        }
        let Some(session) = self.session.as_mut() else { return Err(StoreError::Aborted { what: "writing a unit" }) };
        if again {
            session.end_lost().await?;
        }
        if again && settle(session, &context, part).await? {
            return Ok(());
        }
        store::write_drivers(session, &settings, &part.races, &run.drivers, &mut part.drivers).await?;
        store::write_unit(session, &context, &part.races, part.drivers.counts, &mut part.outcome).await
    }

    async fn give_up(&mut self, race: &UnitRace, error: &StoreError, retry: bool) -> Result<(), RunError> {
        let id = race.race().listed.id;
        let failed = Failed { race: id, url: self.run.source.race_url(id), cause: chain(error), retry };
        self.run.give_up(failed, error.kind()).await
    }

    /// Gives the connection back.
    pub(super) fn end(self) {
        if let Some(session) = self.session {
            self.run.give_back(session);
        }
    }
}

/// Reads the checkpoints of a part that is tried again. `true`: the commit that was in doubt did happen. Else what is
/// stored is noted, so that the next attempt goes by it.
async fn settle(session: &mut Session, context: &UnitContext<'_>, part: &mut Part) -> Result<bool, StoreError> {
    let ids: Vec<u64> = part.races.iter().map(|r| r.race().listed.id).collect();
    let checkpoints = store::read_checkpoints(session, &ids).await?;
    let mut done = 0;
    for race in &mut part.races {
        let Some(checkpoint) = checkpoints.get(&race.race().listed.id) else { continue };
        race.set_stored(checkpoint.stored);
        let ours = checkpoint.fence == context.fence && checkpoint.state == Some(State::Written);
        if ours && checkpoint.hash.as_ref() == Some(race.hash()) {
            done += 1;
        }
    }
    // One transaction wrote them all or none of them.
    let committed = done == part.races.len();
    if committed {
        tracing::info!(unit = context.unit, "the commit that was in doubt did happen");
        context.committed(&part.races);
    }
    Ok(committed)
}
