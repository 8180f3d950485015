//! Why a gate fails, and not only that: what changed per statement and per stage.

use std::collections::BTreeMap;

use super::baseline::{Calls, Range};
use super::checks::{against, ratios, side};
use super::record::{GateRecord, TimeBy};
use crate::report::groups::stage_of;
use crate::stats::{Comparison, Metric, Side, Stage, pair_up};
use crate::trial::record::{RunRecord, TrialRecord};

/// Stages that are told; the write stage stands beside them.
const STAGES: [Stage; 5] = [Stage::Fetch, Stage::Parse, Stage::Acquire, Stage::Batch, Stage::Commit];

/// A statement that is called more or less often.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StatementChange {
    /// Normalised text.
    pub query: String,
    /// Calls that it is compared with.
    pub base: u64,
    /// Calls here.
    pub here: u64,
}

impl StatementChange {
    /// Calls more (fewer when negative).
    #[must_use]
    pub fn more(&self) -> i64 {
        self.here.cast_signed() - self.base.cast_signed()
    }
}

/// A stage that takes longer or shorter.
#[derive(Debug, Clone, PartialEq)]
pub struct StageChange {
    /// What it is called.
    pub label: &'static str,
    /// What pairs say about it.
    pub comparison: Comparison,
}

/// Calls per statement, typical over trials: a statement that a trial does not have counts as 0 calls of it.
#[must_use]
pub fn typical_statements<'a>(trials: impl Iterator<Item = &'a TrialRecord>) -> Vec<Calls> {
    let mut by_query: BTreeMap<&str, Vec<(f64, f64)>> = BTreeMap::new();
    let mut n = 0;
    for trial in trials.filter(|t| !t.statements.is_empty()) {
        n += 1;
        for cost in &trial.statements {
            by_query.entry(&cost.query).or_default().push((cost.calls as f64, cost.rows as f64));
        }
    }
    let mut calls: Vec<Calls> = by_query
        .into_iter()
        .map(|(query, mut seen)| {
            seen.resize(n.max(seen.len()), (0.0, 0.0));
            let median = |f: fn(&(f64, f64)) -> f64| {
                Range::of(&seen.iter().map(f).collect::<Vec<_>>()).map_or(0, |r| r.median.round() as u64)
            };
            Calls { calls: median(|s| s.0), rows: median(|s| s.1), query: query.to_owned() }
        })
        .filter(|c| c.calls > 0)
        .collect();
    calls.sort_by(|a, b| b.calls.cmp(&a.calls).then_with(|| a.query.cmp(&b.query)));
    calls
}

/// Statements that are called more or less often than by the baseline, or else the base build: the largest change first.
#[must_use]
pub fn statements(run: &RunRecord, gate: &GateRecord) -> Vec<StatementChange> {
    let of = |which| typical_statements(side(run, gate, 1, which).map(|(_, t)| t));
    let base = gate.baseline.as_ref().map_or_else(|| of(Side::A), |b| b.statements.clone());
    let here = of(Side::B);
    if base.is_empty() || here.is_empty() {
        return Vec::new();
    }
    let calls = |of: &[Calls], query: &str| of.iter().find(|c| c.query == query).map_or(0, |c| c.calls);
    let queries: std::collections::BTreeSet<&String> = base.iter().chain(&here).map(|c| &c.query).collect();
    let mut changes: Vec<StatementChange> = queries
        .into_iter()
        .map(|query| StatementChange { query: query.clone(), base: calls(&base, query), here: calls(&here, query) })
        .filter(|change| change.more() != 0)
        .collect();
    changes.sort_by_key(|c| std::cmp::Reverse(c.more().abs()));
    changes
}

/// Stages with what pairs, or ratios to the reference COPY, say about them.
#[must_use]
pub fn stages(run: &RunRecord, gate: &GateRecord) -> Vec<StageChange> {
    let write = std::iter::once((Metric::WriteStage.label(), None));
    let others = STAGES.iter().map(|&stage| (stage.label(), Some(stage)));
    write
        .chain(others)
        .filter_map(|(label, stage)| {
            let figure = |trial: &TrialRecord| match stage {
                None => trial.metrics.get(&Metric::WriteStage).copied(),
                Some(stage) => stage_total(trial, stage),
            };
            let comparison = match gate.time {
                TimeBy::NotJudged { .. } => None,
                TimeBy::BaseBuild => {
                    let of = |which| side(run, gate, 1, which).filter_map(|(p, t)| Some((p, figure(t)?)));
                    Comparison::of(&pair_up(of(Side::A).chain(of(Side::B)).collect::<Vec<_>>())).ok()
                }
                TimeBy::Reference => {
                    let time = gate.baseline.as_ref()?.time.as_ref()?;
                    let base = match stage {
                        None => time.write_stage,
                        Some(stage) => *time.stages.get(&stage)?,
                    };
                    against(&ratios(run, gate, 1, figure), base).ok()
                }
            };
            Some(StageChange { label, comparison: comparison? })
        })
        .collect()
}

/// Time of a stage in a trial, all samples together, µs.
#[must_use]
pub fn stage_total(trial: &TrialRecord, stage: Stage) -> Option<f64> {
    let samples = stage_of(trial, stage)?;
    samples.mean().map(|mean| mean * samples.len() as f64).filter(|total| *total > 0.0)
}

/// The stages that a baseline keeps.
pub(super) fn stages_kept() -> impl Iterator<Item = Stage> {
    STAGES.into_iter()
}
