//! The trials of a run by what they have in common: profile and changed settings. Tables and plots compare groups.

use std::collections::BTreeMap;

use crate::ab::{ComparisonRecord, SetKind};
pub use crate::stats::Spread;
use crate::stats::{Histogram, Metric, Side, Stage};
use crate::trial::record::{RunRecord, StatementCost, TrialRecord};

use super::words;

/// Trials of one profile with the same settings.
#[derive(Debug, Clone)]
pub struct Group<'a> {
    /// Profile, and the settings changed from it that not all trials have.
    pub label: String,
    /// Profile.
    pub profile: &'a str,
    /// Settings changed from the profile's.
    pub settings: &'a BTreeMap<String, String>,
    /// Its trials, in their order.
    pub trials: Vec<&'a TrialRecord>,
}

/// The groups of a run, in the order of their first trials. `before` comes first, as what others are compared with.
#[must_use]
pub fn of_run(run: &RunRecord) -> Vec<Group<'_>> {
    if let Some(comparison) = &run.comparison {
        return of_comparison(run, comparison);
    }
    let common = words::common_settings(run);
    let mut groups: Vec<Group<'_>> = Vec::new();
    for trial in &run.trials {
        match groups.iter_mut().find(|g| g.profile == trial.profile && *g.settings == trial.settings) {
            Some(group) => group.trials.push(trial),
            None => groups.push(Group {
                label: words::setup_beside(trial, &common),
                profile: &trial.profile,
                settings: &trial.settings,
                trials: vec![trial],
            }),
        }
    }
    groups.sort_by_key(|g| g.profile != "before");
    groups
}

/// The sides of a comparison: the trials that findings are judged by, the dropped pair not among them.
fn of_comparison<'a>(run: &'a RunRecord, comparison: &'a ComparisonRecord) -> Vec<Group<'a>> {
    let group = |side| {
        let record = comparison.side(side);
        let counts = |t: &&TrialRecord| {
            t.in_set.as_ref().is_some_and(|s| s.side == side && s.set == SetKind::Main && !s.place().is_dropped())
        };
        let trials = run.trials.iter().filter(counts).collect();
        Group { label: comparison.label(side), profile: &record.profile, settings: &record.settings, trials }
    };
    [Side::A, Side::B].map(group).into_iter().filter(|g| !g.trials.is_empty()).collect()
}

impl<'a> Group<'a> {
    /// A metric over the trials whose environment did not fail.
    #[must_use]
    pub fn metric(&self, metric: Metric) -> Option<Spread> {
        Spread::of(self.whole().filter_map(|t| t.metrics.get(&metric).copied()))
    }

    /// Samples of a stage, of all trials whose environment did not fail.
    #[must_use]
    pub fn stage(&self, stage: Stage) -> Histogram {
        let mut merged = Histogram::new();
        for trial in self.whole() {
            if let Some(samples) = stage_of(trial, stage) {
                merged.merge(samples);
            }
        }
        merged
    }

    /// Time spent in a stage by a trial, all samples together, µs.
    #[must_use]
    pub fn stage_total(&self, stage: Stage) -> Option<Spread> {
        Spread::of(
            self.whole().filter_map(|t| stage_of(t, stage)).filter_map(|h| h.mean().map(|mean| mean * h.len() as f64)),
        )
    }

    /// Its statements with the median cost over the trials that ran them, the dearest first.
    #[must_use]
    pub fn statements(&self) -> Vec<StatementCost> {
        let mut by_query: BTreeMap<&str, Vec<&StatementCost>> = BTreeMap::new();
        for cost in self.whole().flat_map(|t| &t.statements) {
            by_query.entry(&cost.query).or_default().push(cost);
        }
        let median = |costs: &[&StatementCost], f: fn(&StatementCost) -> f64| {
            Spread::of(costs.iter().map(|c| f(c))).map_or(0.0, |s| s.median)
        };
        let mut out: Vec<_> = by_query
            .into_iter()
            .map(|(query, costs)| StatementCost {
                query: query.to_string(),
                calls: median(&costs, |c| c.calls as f64).round() as u64,
                rows: median(&costs, |c| c.rows as f64).round() as u64,
                exec_us: median(&costs, |c| c.exec_us),
                wal_bytes: median(&costs, |c| c.wal_bytes as f64).round() as u64,
            })
            .collect();
        out.sort_by(|a, b| b.exec_us.total_cmp(&a.exec_us));
        out
    }

    fn whole(&self) -> impl Iterator<Item = &'a TrialRecord> + '_ {
        self.trials.iter().copied().filter(|t| t.broken.is_none())
    }
}

/// Samples of a stage in a trial; LiveRC's response time may stand with what the mock saw.
#[must_use]
pub fn stage_of(trial: &TrialRecord, stage: Stage) -> Option<&Histogram> {
    let own = trial.stages.get(&stage).filter(|h| !h.is_empty());
    match stage {
        Stage::LivercResponse => own.or(trial.liverc.as_ref().and_then(|l| l.response.as_ref())),
        _ => own,
    }
}

/// Metrics that some group has, in the order of [`Metric::ALL`].
#[must_use]
pub fn metrics_of(groups: &[Group<'_>]) -> Vec<Metric> {
    Metric::ALL.iter().copied().filter(|&m| groups.iter().any(|g| g.metric(m).is_some())).collect()
}

/// Stages that some group has samples of, in the order of [`Stage::ALL`].
#[must_use]
pub fn stages_of(groups: &[Group<'_>]) -> Vec<Stage> {
    Stage::ALL.iter().copied().filter(|&s| groups.iter().any(|g| !g.stage(s).is_empty())).collect()
}

/// A setting that differs between the trials of a run (`--sweep`), with its values in their order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sweep {
    /// Setting.
    pub key: String,
    /// Values: by size where all are numbers, else as text.
    pub values: Vec<String>,
}

/// The swept setting, when there is one: the first whose values differ.
#[must_use]
pub fn sweep(run: &RunRecord) -> Option<Sweep> {
    let keys: std::collections::BTreeSet<&String> = run.trials.iter().flat_map(|t| t.settings.keys()).collect();
    for key in keys {
        let mut values: Vec<String> = run.trials.iter().filter_map(|t| t.settings.get(key)).cloned().collect();
        values.sort_by(|a, b| match (a.parse::<f64>(), b.parse::<f64>()) {
            (Ok(x), Ok(y)) => x.total_cmp(&y),
            _ => a.cmp(b),
        });
        values.dedup();
        if values.len() > 1 {
            return Some(Sweep { key: key.clone(), values });
        }
    }
    None
}
