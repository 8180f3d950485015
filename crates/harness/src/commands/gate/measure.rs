//! The measuring: sets of pairs in ABBA order, then the event once with each fault.

use std::sync::Arc;

use super::super::Failure;
use super::super::session::Session;
use crate::faults::Fault;
use crate::gate::{self, GateRecord, Pairs, Placed, ReferenceCopy, TimeBy};
use crate::oracle::{OracleName, Verdict};
use crate::report::{self, overall};
use crate::scenario::Scenario;
use crate::stats::{Side, turn};
use crate::trial::attempt::EngineSpec;
use crate::trial::drive::{self, Progress as _};
use crate::trial::plan::{Extras, Revision, TrialPlan};
use crate::trial::record::RunRecord;
use crate::world::reference::{Laps, Reference};

/// What is measured, and by what.
pub struct Measuring<'a> {
    /// The run.
    pub session: &'a Session,
    /// The build under test, with the settings under test.
    pub scenario: &'a Scenario,
    /// The same without them: what the base build runs under.
    pub plain: &'a Scenario,
    /// The event.
    pub revisions: &'a [Arc<Revision>],
    /// The base build.
    pub base: Option<&'a EngineSpec>,
    /// The command that does this again.
    pub reproduce: String,
    /// The reference COPY, once it is made.
    pub reference: Option<Reference>,
}

impl Measuring<'_> {
    /// Everything, until nothing is left to be measured, an invariant is violated, or the user stops it.
    ///
    /// # Errors
    /// When the environment fails.
    pub async fn all(&mut self, record: &mut RunRecord, gate: &mut GateRecord) -> Result<(), Failure> {
        let outcome = self.sets(record, gate).await;
        if let Some(reference) = self.reference.take() {
            reference.remove().await?;
        }
        outcome?;
        for fault in &self.scenario.faults {
            if self.session.cancel.is_cancelled() || overall::of_run(record).verdict != Verdict::Held {
                return Ok(());
            }
            self.faulted(record, fault).await?;
        }
        Ok(())
    }

    async fn sets(&mut self, record: &mut RunRecord, gate: &mut GateRecord) -> Result<(), Failure> {
        while let Some(Pairs { set, from, to }) = gate::next(record, gate) {
            for place in (from..=to).flat_map(turn) {
                if self.session.cancel.is_cancelled() {
                    return Ok(());
                }
                let what = if set == 1 { String::new() } else { ", once more".to_owned() };
                self.session.bar.trial(format!("gate: pair {} of {to}{what}", place.pair));
                match place.side {
                    Side::A if self.base.is_some() => {}
                    Side::A => {
                        if gate.time == TimeBy::Reference {
                            let us = self.copy().await?;
                            gate.references.push(ReferenceCopy { set, pair: place.pair, us });
                        }
                        continue;
                    }
                    Side::B => {}
                }
                let trial = self.measured(record, gate, place.side, place.is_dropped()).await?;
                gate.places.push(Placed { trial, set, place });
                if overall::of_run(record).verdict != Verdict::Held {
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    /// Time of the reference COPY, µs.
    async fn copy(&mut self) -> Result<f64, Failure> {
        let failed = |e: sqlx::Error| Failure::environment(format!("the reference COPY failed: {e}"));
        self.session.bar.phase("reference COPY");
        let reference = match &mut self.reference {
            Some(reference) => reference,
            none => {
                let lab = &self.session.lab;
                let database = lab.templates.create(&lab.template, "reference").await?;
                let synth = self.revisions.last().map(|r| r.synth.clone());
                let laps = tokio::task::spawn_blocking(move || synth.map(|s| Laps::of(&s)));
                let laps = laps.await.map_err(Failure::environment)?;
                let laps = laps.ok_or_else(|| Failure::usage("the scenario ingests nothing"))?;
                none.insert(Reference::make(database, laps).await.map_err(failed)?)
            }
        };
        reference.measure().await.map_err(failed)
    }

    /// A trial without faults. The first of a set is looked at from every side, the others are only measured.
    async fn measured(
        &self,
        record: &mut RunRecord,
        gate: &GateRecord,
        side: Side,
        whole: bool,
    ) -> Result<u32, Failure> {
        let (scenario, engine) = match side {
            Side::A => (self.plain, self.base.cloned()),
            Side::B => (self.scenario, None),
        };
        let mut plan = self.plan(record, scenario);
        plan.engine = engine;
        plan.faults.clear();
        // A base build is only timed, unless its counts are what is compared with.
        let whole = whole && (side == Side::B || gate.baseline.is_none());
        plan.extras = if whole { Extras::ALL } else { Extras::NONE };
        let needs_again = [OracleName::SameContent, OracleName::NoRewrite];
        plan.oracles.retain(|o| *o != OracleName::Durable && (whole || !needs_again.contains(o)));
        self.run(record, &plan).await
    }

    /// The event with one fault.
    async fn faulted(&self, record: &mut RunRecord, fault: &Fault) -> Result<(), Failure> {
        let mut plan = self.plan(record, self.scenario);
        self.session.bar.trial(format!("gate: {fault}"));
        plan.faults = vec![fault.clone()];
        self.run(record, &plan).await.map(drop)
    }

    fn plan(&self, record: &RunRecord, scenario: &Scenario) -> TrialPlan {
        let profile = scenario.engine.profiles.first().map_or("external", String::as_str);
        let number = u32::try_from(record.trials.len()).unwrap_or(u32::MAX).saturating_add(1);
        let mut plan = TrialPlan::of(scenario, profile, number, self.revisions);
        plan.reproduce.clone_from(&self.reproduce);
        plan
    }

    async fn run(&self, record: &mut RunRecord, plan: &TrialPlan) -> Result<u32, Failure> {
        let Session { lab, bar, cancel, .. } = self.session;
        let done = drive::run(lab, plan, bar, cancel).await;
        // One that the user stopped shows nothing.
        if !(cancel.is_cancelled() && done.broken.is_some()) {
            report::append_trial(&done, &lab.out)?;
            record.trials.push(done);
        }
        Ok(plan.number)
    }
}
