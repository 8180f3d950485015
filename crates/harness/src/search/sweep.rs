//! `sweep`: one trial for each point of an ingestion, that strikes exactly there.

use std::collections::BTreeMap;

use super::golden::{Golden, NotGolden, steps_of};
use super::points::{self, Group, PointsOf, Recovery, Strike};
use super::record::{Part, SearchRecord, struck};
use super::runner::{Done, KEPT, Runner};
use super::sample;
use crate::faults::Fault;
use crate::oracle::Verdict;
use crate::report::ReportError;
use crate::scenario::Scenario;
use crate::trial::plan::TrialPlan;
use crate::trial::record::{Exit, Purpose, TrialRecord};

/// What is swept.
#[derive(Debug, Clone)]
pub struct Options {
    /// Which points.
    pub points: PointsOf,
    /// What happens at each.
    pub strike: Strike,
    /// 1, or 2: once more at every step of each distinct recovery.
    pub depth: u32,
    /// Most trials of a part; more points are sampled.
    pub budget: usize,
    /// Trials at once.
    pub jobs: usize,
}

/// Why a sweep ended before its end.
#[derive(Debug, thiserror::Error)]
pub enum SweepError {
    /// There is nothing to sweep by.
    #[error(transparent)]
    Golden(#[from] NotGolden),
    /// What was found cannot be written.
    #[error(transparent)]
    Report(#[from] ReportError),
}

/// A sweep under way.
pub struct Sweep<'a> {
    options: &'a Options,
    /// What is told.
    pub record: SearchRecord,
    /// Trials that are kept whole: one golden run of each profile, and the first that did not hold.
    pub kept: Vec<TrialRecord>,
}

/// The scenario with which points on the wire are counted: with one page and one unit at a time the order of messages is the
/// same in every trial.
#[must_use]
pub fn in_order(scenario: &Scenario) -> Scenario {
    let mut scenario = scenario.clone();
    if scenario.engine.command.is_none() {
        for name in ["race_concurrency", "writers"] {
            scenario.engine.settings.insert(name.to_owned(), "1".to_owned());
        }
    }
    scenario
}

impl<'a> Sweep<'a> {
    /// One that has done nothing yet.
    #[must_use]
    pub fn new(options: &'a Options, record: SearchRecord) -> Self {
        Self { options, record, kept: Vec::new() }
    }

    /// Sweeps a profile's steps.
    ///
    /// # Errors
    /// See [`SweepError`].
    pub async fn steps(
        &mut self,
        runner: &Runner<'_>,
        profile: &str,
        told: &dyn Fn(usize, usize),
    ) -> Result<(), SweepError> {
        let golden = Golden::make(runner, profile, true, false, 2).await?;
        let groups = points::steps(&golden, self.options.strike);
        let half = golden.half_statements;
        self.keep_golden(golden);
        let name = format!("{profile}, steps");
        let recoveries = self.part(runner, profile, half, &name, &groups, told).await?;
        if self.options.depth < 2 {
            return Ok(());
        }
        let groups: Vec<Group> = recoveries.iter().flat_map(|(r, first)| points::again(first, r)).collect();
        let name = format!("{profile}, steps of {} distinct recoveries", recoveries.len());
        self.part(runner, profile, half, &name, &groups, told).await?;
        Ok(())
    }

    /// Sweeps a profile's messages to PostgreSQL. The runner's scenario is one that keeps their order.
    ///
    /// # Errors
    /// See [`SweepError`].
    pub async fn wire(
        &mut self,
        runner: &Runner<'_>,
        profile: &str,
        told: &dyn Fn(usize, usize),
    ) -> Result<(), SweepError> {
        let golden = Golden::make(runner, profile, false, true, 2).await?;
        let groups = points::wire(&golden, self.options.strike);
        self.keep_golden(golden);
        let what = if self.options.strike == Strike::AmbiguousCommit { "COMMITs" } else { "messages to PostgreSQL" };
        self.part(runner, profile, false, &format!("{profile}, {what}"), &groups, told).await?;
        Ok(())
    }

    fn keep_golden(&mut self, golden: Golden) {
        golden.trials.iter().for_each(|t| self.record.count(t));
        self.kept.extend(golden.trials.into_iter().take(1));
    }

    /// Strikes at points, all of them or as many as the budget allows. Returns the distinct recoveries, each with the schedule
    /// that led to it first.
    async fn part(
        &mut self,
        runner: &Runner<'_>,
        profile: &str,
        half_statements: bool,
        name: &str,
        groups: &[Group],
        told: &dyn Fn(usize, usize),
    ) -> Result<BTreeMap<Recovery, Vec<Fault>>, SweepError> {
        let all: Vec<&Vec<Fault>> = groups.iter().flat_map(|g| &g.points).collect();
        let sizes: Vec<usize> = groups.iter().map(|g| g.points.len()).collect();
        let chosen = sample::choose(&sizes, self.options.budget, runner.scenario.event.seed);
        let plans: Vec<TrialPlan> = chosen.iter().map(|&i| runner.plan(profile, all[i].clone())).collect();
        let total = plans.len();
        let mut done: Vec<Done> = Vec::with_capacity(total);
        let (strike, scenario) = (self.options.strike, &runner.scenario.name);
        let why = format!("harness sweep {scenario} --fault {strike}, among {name}");
        let mut recoveries: BTreeMap<Recovery, (u32, Vec<Fault>)> = BTreeMap::new();
        let by_words: BTreeMap<Vec<String>, usize> =
            chosen.iter().map(|&i| (all[i].iter().map(Fault::describe).collect(), i)).collect();
        let record = &mut self.record;
        runner
            .strike_all(plans, self.options.jobs, &why, |mut one| {
                record.count(&one.record);
                let place = by_words.get(&one.point.faults).copied().unwrap_or(0);
                if let (Some(recovery), Some(first)) = (recovery(&one.record, half_statements), all.get(place)) {
                    let place = u32::try_from(place).unwrap_or(u32::MAX);
                    let known = recoveries.entry(recovery).or_insert((place, (*first).clone()));
                    if place < known.0 {
                        *known = (place, (*first).clone());
                    }
                }
                if one.point.verdict == Verdict::Held {
                    // Of those that held only the figures are shown.
                    one.record.ingestions.clear();
                }
                done.push(one);
                told(done.len(), total);
            })
            .await?;
        done.sort_by_key(|d| by_words.get(&d.point.faults).copied());
        self.record.parts.push(Part { name: name.to_owned(), tried: done.len() as u64, of: all.len() as u64 });
        for Done { point, record } in done {
            if point.verdict != Verdict::Held && self.kept.iter().filter(|t| !t.faults.is_empty()).count() < KEPT {
                self.kept.push(record);
            }
            self.record.points.push(point);
        }
        Ok(recoveries.into_iter().map(|(recovery, (_, first))| (recovery, first)).collect())
    }
}

/// What the process did that followed a crash; `None`: there was none, or it ended in another way than by itself.
fn recovery(record: &TrialRecord, half_statements: bool) -> Option<Recovery> {
    let ingestion = struck(record)?;
    let [killed, next] = ingestion.attempts.as_slice() else { return None };
    if !matches!((killed.exit, next.exit), (Exit::Signal(9), Exit::Code(_))) {
        return None;
    }
    let Purpose::Revision(revision) = ingestion.purpose else { return None };
    let written = |c: &crate::trial::record::Checkpoint| c.state == "written";
    let found = ingestion.interludes.last();
    let durable = found.map(|i| i.checkpoints.iter().filter(|(_, c)| written(c)).map(|(&race, _)| race).collect());
    Some(Recovery {
        profile: record.profile.clone(),
        revision,
        durable: durable.unwrap_or_default(),
        steps: steps_of(next, half_statements),
    })
}
