//! Runs trials side by side, and keeps what reproduces those that did not hold.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};

use futures::StreamExt as _;
use tokio_util::sync::CancellationToken;

use super::record::PointRecord;
use crate::faults::Fault;
use crate::oracle::{self, Verdict};
use crate::report::{ReportError, append_trial, overall};
use crate::scenario::Scenario;
use crate::trial::drive::{self, Lab, Progress};
use crate::trial::plan::{Revision, TrialPlan};
use crate::trial::record::{FaultRecord, Missed, TrialRecord};

/// Trials of which everything is kept. A search can fail in thousands, and the first ones tell what is wrong.
pub const KEPT: usize = 20;

/// How often a schedule is run whose moment on the wire came and went before the engine could be struck: it is not stopped by it
/// as it is at a step, and on a busy machine it may be faster.
const TRIES: u32 = 3;

/// Tells nobody: with trials side by side there is no one phase to tell.
struct Quiet;

impl Progress for Quiet {
    fn phase(&self, _: &str) {}
    fn races(&self, _: u64, _: u64) {}
}

/// Runs the trials of a search.
pub struct Runner<'a> {
    /// Server and engine.
    pub lab: &'a Lab,
    /// What is ingested.
    pub scenario: &'a Scenario,
    /// Its revisions.
    pub revisions: &'a [Arc<Revision>],
    /// The user's Ctrl-C.
    pub cancel: &'a CancellationToken,
    /// Numbers trials over the whole search.
    pub numbers: &'a Numbers,
    /// A fault that did not get its turn, since another one had struck before, leaves the trial what it is without it.
    pub excuse_overtaken: bool,
}

/// Whether all that speaks against a trial is that a fault on the wire was missed.
fn came_too_late(plan: &TrialPlan, record: &TrialRecord) -> bool {
    let silent = |fault: &Fault| {
        let text = fault.describe();
        record.faults.iter().any(|f| f.fault == text && f.fired.is_none())
    };
    let any = plan.faults.iter().any(|f| f.when().is_wire() && silent(f));
    any && record.broken.is_none() && record.judgements.iter().all(|j| j.verdict != Verdict::Violated)
}

/// Numbers of trials, and how many are kept.
#[derive(Debug, Default)]
pub struct Numbers {
    last: AtomicU32,
    kept: AtomicUsize,
}

/// A trial that has ended.
pub struct Done {
    /// What goes into the table.
    pub point: PointRecord,
    /// All of it.
    pub record: TrialRecord,
}

impl Runner<'_> {
    /// The next trial's number.
    #[must_use]
    pub fn next_number(&self) -> u32 {
        self.numbers.last.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// A trial of the scenario with these faults instead of its own.
    #[must_use]
    pub fn plan(&self, profile: &str, faults: Vec<Fault>) -> TrialPlan {
        let mut plan = TrialPlan::of(self.scenario, profile, 0, self.revisions);
        // A crash each must not use up what the scenario allows for the engine's own troubles.
        plan.restarts += u32::try_from(faults.len()).unwrap_or(u32::MAX);
        plan.faults = faults;
        plan.side_by_side = true;
        plan
    }

    /// Runs a plan.
    pub async fn run(&self, plan: &TrialPlan) -> TrialRecord {
        drive::run(self.lab, plan, &Quiet, self.cancel).await
    }

    /// Runs a schedule and keeps what reproduces it, should it not hold. `None`: the user stopped it.
    ///
    /// # Errors
    /// When what is kept cannot be written.
    pub async fn strike(&self, mut plan: TrialPlan, why: &str) -> Result<Option<Done>, ReportError> {
        let mut tries = 0;
        let (record, faults) = loop {
            plan.number = self.next_number();
            tries += 1;
            let mut record = self.run(&plan).await;
            if self.cancel.is_cancelled() && record.broken.is_some() {
                return Ok(None);
            }
            let mut faults: Vec<String> = plan.faults.iter().map(Fault::describe).collect();
            if self.excuse_overtaken {
                self.excuse(&plan, &mut record, &mut faults);
            }
            if tries == TRIES || !came_too_late(&plan, &record) {
                break (record, faults);
            }
            self.forget(&mut record);
        };
        let mut record = record;
        let mut point = PointRecord::of(&record, faults);
        if point.verdict != Verdict::Held {
            if self.numbers.kept.fetch_add(1, Ordering::Relaxed) < KEPT {
                let reproduce = format!("harness replay {}", self.keep(&plan, why)?.display());
                record.reproduce.clone_from(&reproduce);
                point.reproduce = Some(reproduce);
                append_trial(&record, &self.lab.out)?;
            } else {
                self.forget(&mut record);
            }
        }
        Ok(Some(Done { point, record }))
    }

    /// Judges a trial by the faults that fired, where others did not get their turn.
    fn excuse(&self, plan: &TrialPlan, record: &mut TrialRecord, words: &mut [String]) {
        if !record.faults.iter().any(|f| f.fired.is_some()) {
            return;
        }
        let overtaken =
            |f: &FaultRecord| f.fired.is_none() && matches!(f.missed, Some(Missed::NotReached | Missed::NotMet));
        if !record.faults.iter().any(overtaken) {
            return;
        }
        for (fault, words) in record.faults.iter().zip(words) {
            if overtaken(fault) {
                words.push_str(" (did not get its turn)");
            }
        }
        record.faults.retain(|f| !overtaken(f));
        record.judgements = oracle::judge(record, &plan.oracles);
        let held = overall::of_trial(record).verdict == Verdict::Held;
        if held {
            self.forget(record);
        }
    }

    /// Removes what a trial left in the run's folder.
    fn forget(&self, record: &mut TrialRecord) {
        if let Some(folder) = record.artifacts.take() {
            let _ = std::fs::remove_dir_all(self.lab.out.join(folder));
        }
    }

    /// Writes a schedule as a scenario of its own.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn keep(&self, plan: &TrialPlan, why: &str) -> Result<PathBuf, ReportError> {
        let scenario = self.schedule(plan, why);
        let folder = self.lab.out.join("found");
        let path = folder.join(format!("{:04}-{}.toml", plan.number, plan.profile));
        std::fs::create_dir_all(&folder)
            .and_then(|()| std::fs::write(&path, scenario.resolved()))
            .map_err(|source| ReportError::Write { path: path.clone(), source })?;
        Ok(path)
    }

    /// The scenario that runs a plan's schedule again.
    #[must_use]
    pub fn schedule(&self, plan: &TrialPlan, why: &str) -> Scenario {
        let mut scenario = self.scenario.clone();
        scenario.description = format!("Found by {why}.");
        if scenario.engine.command.is_none() {
            scenario.engine.profiles = vec![plan.profile.clone()];
        }
        scenario.engine.restarts = plan.restarts;
        scenario.faults.clone_from(&plan.faults);
        scenario.trials = 1;
        scenario
    }

    /// Runs schedules side by side, `jobs` at a time; `each` is told of every one that ended. Stops at Ctrl-C.
    ///
    /// # Errors
    /// When what is kept of a trial cannot be written.
    pub async fn strike_all(
        &self,
        plans: Vec<TrialPlan>,
        jobs: usize,
        why: &str,
        mut each: impl FnMut(Done),
    ) -> Result<(), ReportError> {
        let mut trials = futures::stream::iter(plans)
            .take_while(|_| std::future::ready(!self.cancel.is_cancelled()))
            .map(|plan| self.strike(plan, why))
            .buffer_unordered(jobs.max(1));
        while let Some(done) = trials.next().await {
            if let Some(done) = done? {
                each(done);
            }
        }
        Ok(())
    }
}
