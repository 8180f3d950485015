//! What a gate's run records besides its trials: with what it was compared, and which trial stands where.

use serde::{Deserialize, Serialize};

use super::baseline::{Baseline, Unlike, Work};
use crate::stats::Place;

/// The gate's part of a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct GateRecord {
    /// Name of the baseline, where one is compared with.
    pub baseline_name: Option<String>,
    /// The baseline as it was read; later changes of its file change no verdict of this run.
    pub baseline: Option<Baseline>,
    /// What was ingested.
    pub work: Work,
    /// The build that takes turns with the one under test.
    pub base: Option<BaseBuild>,
    /// What times are compared with.
    pub time: TimeBy,
    /// Where this run is not like the baseline's.
    pub unlike: Unlike,
    /// Pairs of a set, the dropped one not counted; without a comparison of times, trials.
    pub pairs: u32,
    /// Place of each measured trial.
    pub places: Vec<Placed>,
    /// Reference copies, one per pair.
    pub references: Vec<ReferenceCopy>,
    /// File that a new baseline was written to.
    #[serde(default)]
    pub saved: Option<String>,
    /// Whether a finding that stays open is a failure.
    #[serde(default)]
    pub strict: bool,
}

/// A build that the one under test is compared with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BaseBuild {
    /// Its program.
    pub engine: String,
    /// Hash of the program.
    pub hash: String,
    /// The revision that it was built of, where the harness built it.
    pub revision: Option<String>,
}

/// What times are compared with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TimeBy {
    /// A base build in the same run.
    BaseBuild,
    /// A reference COPY of the same rows in the same run; the ratio is compared with the baseline's.
    Reference,
    /// Nothing.
    NotJudged {
        /// Why.
        why: String,
    },
}

/// A trial's place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Placed {
    /// Number of the trial.
    pub trial: u32,
    /// Set, from 1; the second confirms.
    pub set: u32,
    /// Pair and side: A is the base build, B the build under test.
    pub place: Place,
}

/// A reference copy.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct ReferenceCopy {
    /// Set, from 1.
    pub set: u32,
    /// Pair.
    pub pair: u32,
    /// Median time of the copies made in this place, µs.
    pub us: f64,
}

impl GateRecord {
    /// Sets that were begun.
    #[must_use]
    pub fn sets(&self) -> u32 {
        self.places.iter().map(|p| p.set).max().unwrap_or(0)
    }

    /// Time of the reference copy of a pair, µs.
    #[must_use]
    pub fn reference(&self, set: u32, pair: u32) -> Option<f64> {
        self.references.iter().find(|r| r.set == set && r.pair == pair).map(|r| r.us).filter(|us| *us > 0.0)
    }
}
