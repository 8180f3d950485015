//! What is recorded of a search: a line per trial, small enough for thousands of them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::oracle::Verdict;
use crate::report::overall;
use crate::stats::Metric;
use crate::trial::record::{Ingestion, TrialRecord};

/// Reasons kept of a trial that did not hold.
const REASONS: usize = 4;

/// What was searched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verb {
    /// Every point of an ingestion.
    Sweep,
    /// Schedules that chance made.
    Chaos,
}

/// All of a search.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SearchRecord {
    /// By which verb.
    pub verb: Verb,
    /// What was searched, in parts: the steps of a profile, recoveries …
    pub parts: Vec<Part>,
    /// Whole search, µs.
    pub search_us: u64,
    /// Trials at once.
    pub jobs: u32,
    /// What the reader must know of how it was done.
    pub remarks: Vec<String>,
    /// Judgements of all trials, by verdict.
    pub judgements: BTreeMap<Verdict, u64>,
    /// A line per trial.
    pub points: Vec<PointRecord>,
    /// Which triggers and actions go together, and how often each pair fired. Of chaos.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub coverage: Vec<Coverage>,
}

/// A trigger and an action.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Coverage {
    /// A step, or a moment on the wire.
    pub trigger: String,
    /// What was done there.
    pub action: String,
    /// How often it fired.
    pub fired: u64,
}

/// A list of points, and how many of them were tried.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    /// `fast, steps`.
    pub name: String,
    /// Points tried.
    pub tried: u64,
    /// Points that there are.
    pub of: u64,
}

/// A trial of a search.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PointRecord {
    /// Number of the trial.
    pub trial: u32,
    /// Engine profile.
    pub profile: String,
    /// What was ingested, where that differs between trials.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub event: Option<String>,
    /// What was to go wrong.
    pub faults: Vec<String>,
    /// What was seen of it: the worst verdict of its oracles.
    pub verdict: Verdict,
    /// Why, where it did not hold.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reasons: Vec<String>,
    /// Command that runs it again, where it did not hold.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reproduce: Option<String>,
    /// Whether it failed again, and what was left of it when it was made simpler.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shrunk: Option<String>,
    /// Steps that the process had reached when the first fault struck it.
    #[serde(default)]
    pub position: u64,
    /// Laps written twice.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub laps_twice: Option<u64>,
    /// Race pages fetched twice.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pages_twice: Option<u64>,
    /// From the first fault until the event was whole, µs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub caught_up_us: Option<u64>,
    /// The trial, set-up and verification included, µs.
    pub trial_us: u64,
}

impl PointRecord {
    /// What is kept of a trial.
    #[must_use]
    pub fn of(record: &TrialRecord, faults: Vec<String>) -> Self {
        let outcome = overall::of_trial(record);
        let metric = |m| record.metrics.get(&m).map(|&v| v as u64);
        Self {
            trial: record.trial,
            profile: record.profile.clone(),
            event: None,
            faults,
            verdict: outcome.verdict,
            reasons: outcome.reasons.into_iter().take(REASONS).collect(),
            reproduce: None,
            shrunk: None,
            position: position(record),
            laps_twice: metric(Metric::LapsTwice),
            pages_twice: metric(Metric::PagesTwice),
            caught_up_us: metric(Metric::RecoveryCaughtUp),
            trial_us: record.trial_us,
        }
    }
}

/// The ingestion that the first fault struck.
#[must_use]
pub fn struck(record: &TrialRecord) -> Option<&Ingestion> {
    let at = record.faults.iter().filter_map(|f| f.fired.as_ref()).map(|f| f.at_us).min()?;
    let hit = |i: &&Ingestion| i.attempts.iter().any(|a| (a.started_us..=a.ended_us).contains(&at));
    record.ingestions.iter().find(hit)
}

/// Steps that the first process of the struck ingestion reached: of one that was killed, up to its death.
fn position(record: &TrialRecord) -> u64 {
    let first = struck(record).and_then(|i| i.attempts.first());
    first.map_or(0, |a| a.steps.values().map(|&n| u64::from(n)).sum())
}

impl SearchRecord {
    /// Adds a trial's judgements.
    pub fn count(&mut self, record: &TrialRecord) {
        for judgement in &record.judgements {
            *self.judgements.entry(judgement.verdict).or_default() += 1;
        }
    }

    /// Points of a verdict.
    pub fn with(&self, verdict: Verdict) -> impl Iterator<Item = &PointRecord> {
        self.points.iter().filter(move |p| p.verdict == verdict)
    }
}
