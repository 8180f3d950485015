//! What is stored of a comparison: in `run.json` as it begins, so that it can go on after an interruption.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::criteria::Criteria;
use super::judge::Results;
use crate::stats::{Place, Side};
use crate::trial::record::{Snapshot, StatementCost, TrialRecord};

/// One side of a comparison.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SideRecord {
    /// What it is called in tables: `fast`, `fast, writers = 1`, `fast of 1a2b3c4d`.
    pub label: String,
    /// Profile of the built-in engine; `external` for an engine that has none.
    pub profile: String,
    /// Settings changed from the profile's.
    pub settings: BTreeMap<String, String>,
    /// Program.
    pub engine_path: String,
    /// Hash of its file.
    pub engine_hash: String,
    /// Its arguments, with placeholders; empty: the harness's own engine.
    #[serde(default)]
    pub args: Vec<String>,
    /// `release` or `debug`; `None`: the program does not tell.
    #[serde(default)]
    pub build_profile: Option<String>,
}

/// What a set of pairs is for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SetKind {
    /// What the findings and criteria are judged by.
    Main,
    /// Seeded background faults, for the error rate. Its times do not count.
    Errors,
    /// A load condition, by its name.
    Condition(String),
    /// A set of a calibration: the effect that was added (0, 0.05, …), written as text, and its number.
    Calibration {
        /// Share added to B's time, in per mille.
        added_per_mille: u32,
        /// From 1.
        number: u32,
        /// Whether it is the second set, which confirms a regression.
        confirms: bool,
    },
}

/// Where a trial stands in a comparison.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InSet {
    /// Which set.
    pub set: SetKind,
    /// Number of the pair in it; 0 is dropped.
    pub pair: u32,
    /// Which side.
    pub side: Side,
    /// Races that the trial should have written.
    #[serde(default)]
    pub races: u32,
    /// Races of the first ingestion that were not written after all retries.
    #[serde(default)]
    pub unwritten: Vec<u64>,
}

impl InSet {
    /// Its pair and side.
    #[must_use]
    pub fn place(&self) -> Place {
        Place { pair: self.pair, side: self.side }
    }
}

/// What is compared, and how.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ComparisonRecord {
    /// The base.
    pub a: SideRecord,
    /// What is judged.
    pub b: SideRecord,
    /// Whether both are the same thing (`--aa`).
    pub against_itself: bool,
    /// Pairs of the main set at first; doubled once when something is inconclusive.
    pub pairs: u32,
    /// Whether times are judged: not with a debug build.
    pub timed: bool,
    /// Whether inconclusive is exit code 3.
    pub strict: bool,
    /// What must come out, where this comparison is one that the scenario's criteria speak of.
    #[serde(default)]
    pub criteria: Option<Criteria>,
    /// Pairs of the set with background faults; 0: there is none.
    #[serde(default)]
    pub error_pairs: u32,
    /// Load conditions, in their order.
    #[serde(default)]
    pub conditions: Vec<String>,
    /// Pairs under each condition.
    #[serde(default)]
    pub condition_pairs: u32,
    /// Sets of a calibration, where it is one: (per mille added to B, sets).
    #[serde(default)]
    pub calibration: Vec<(u32, u32)>,
    /// What came out; computed from the trials whenever `result.json` is written.
    #[serde(default)]
    pub results: Option<Results>,
}

impl ComparisonRecord {
    /// A side.
    #[must_use]
    pub fn side(&self, side: Side) -> &SideRecord {
        match side {
            Side::A => &self.a,
            Side::B => &self.b,
        }
    }

    /// Label of a side in tables; told apart when both have the same.
    #[must_use]
    pub fn label(&self, side: Side) -> String {
        let label = &self.side(side).label;
        if self.a.label == self.b.label { format!("{} ({label})", side.name()) } else { label.clone() }
    }
}

impl TrialRecord {
    /// Leaves out what only shows that everything held, once it did: a comparison has hundreds of trials. Measurements,
    /// samples and verdicts stay.
    pub fn thin(&mut self) {
        for ingestion in &mut self.ingestions {
            ingestion.expected.clear();
            ingestion.observed = Snapshot::default();
            for attempt in &mut ingestion.attempts {
                attempt.page_laps.clear();
            }
        }
        if let Some(liverc) = &mut self.liverc {
            liverc.pages.clear();
        }
        self.statements = shortened(std::mem::take(&mut self.statements));
        self.progress.clear();
    }

    /// Leaves out all but measurements and verdicts: a calibration has thousands of trials, and nobody reads one of them.
    pub fn thin_to_figures(&mut self) {
        self.thin();
        self.ingestions.clear();
        self.statements.clear();
        self.stages.clear();
        self.story.clear();
        self.liverc = None;
        for judgement in &mut self.judgements {
            judgement.evidence.clear();
        }
    }
}

/// Characters of a statement that tell it from others; one that writes a thousand rows has tens of thousands.
const TOLD_APART: usize = 160;

/// Statements with their texts cut; those that then read the same are one.
fn shortened(statements: Vec<StatementCost>) -> Vec<StatementCost> {
    let mut merged: Vec<StatementCost> = Vec::new();
    for mut cost in statements {
        if let Some((end, _)) = cost.query.char_indices().nth(TOLD_APART) {
            cost.query.truncate(end);
            cost.query.push('…');
        }
        match merged.iter_mut().find(|m| m.query == cost.query) {
            Some(same) => {
                same.calls += cost.calls;
                same.rows += cost.rows;
                same.exec_us += cost.exec_us;
                same.wal_bytes += cost.wal_bytes;
            }
            None => merged.push(cost),
        }
    }
    merged
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thin_trial_keeps_figures_and_verdicts_and_its_statements_by_their_beginning() {
        let mut trial = crate::oracle::fixture::healthy();
        let cost = |query: String| StatementCost { query, calls: 2, rows: 3, exec_us: 1.5, wal_bytes: 7 };
        let long = |rows: usize| format!("INSERT INTO laps VALUES {}", "($1, $2), ".repeat(rows));
        trial.statements = vec![cost(long(100)), cost("BEGIN".to_owned()), cost(long(200))];
        let (metrics, judgements) = (trial.metrics.clone(), trial.judgements.clone());
        trial.thin();
        assert_eq!((&trial.metrics, &trial.judgements), (&metrics, &judgements));
        assert_eq!(trial.statements.len(), 2);
        assert_eq!(
            (trial.statements[0].calls, trial.statements[0].wal_bytes),
            (4, 14),
            "nothing is lost from the sums"
        );
        assert!(trial.ingestions[0].expected.is_empty());
        assert!(trial.statements[0].query.chars().count() == TOLD_APART + 1);
    }
}
