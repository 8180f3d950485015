//! The harness's test of itself: an engine, a worker or a client with one bug at a time, and which oracle catches it. Pure.
//!
//! Three sorts of trials, each of a [`Case`]. A *bug* must be violated by the oracle that is there for it. The same engine
//! with no bug must pass the same scenario, or what was caught may not have been the bug. A *control* is a trial that proves
//! nothing, and must not pass.

mod cases;
mod judge;
mod service;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::oracle::{OracleName, Verdict};

pub use cases::{Case, Expected, Subject, cases, scenarios, toml};
pub use judge::judge;

/// What the test came to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SelfTest {
    /// A row per trial, in the order of the cases.
    pub rows: Vec<Row>,
    /// How many bugs each oracle caught.
    pub caught: BTreeMap<OracleName, u32>,
    /// Whether only some bugs were asked for: then an oracle that caught none is no failure.
    pub part: bool,
    /// Why it failed, a sentence each; empty: it passed.
    pub failures: Vec<String>,
}

/// One trial: what was wrong with the engine, under which scenario, and who noticed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// Number of the trial.
    pub trial: u32,
    /// What sort of case.
    pub sort: Sort,
    /// Name of the bug or the control; `none` for the right engine.
    pub name: String,
    /// What it does, in a sentence.
    pub description: String,
    /// Its scenario.
    pub scenario: String,
    /// Oracles that had to be violated.
    pub expected: Vec<OracleName>,
    /// Oracles that were.
    pub violated: Vec<OracleName>,
    /// Oracles that could not tell.
    pub unknown: Vec<OracleName>,
    /// The trial's verdict as a run would have it.
    pub verdict: Verdict,
    /// The first evidence against the engine, or why it could not be told.
    pub evidence: String,
    /// Why this row fails the test; `None`: it came out as it must.
    pub failure: Option<String>,
}

/// What sort of case a row is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Sort {
    /// One bug: must be caught.
    Bug,
    /// The right engine: must pass.
    Right,
    /// A trial that proves nothing: must not pass.
    Control,
}

impl SelfTest {
    /// Whether it passed.
    #[must_use]
    pub fn passed(&self) -> bool {
        self.failures.is_empty()
    }

    /// Rows of a sort.
    pub fn of(&self, sort: Sort) -> impl Iterator<Item = &Row> {
        self.rows.iter().filter(move |row| row.sort == sort)
    }

    /// In one line: `30 of 30 bugs caught; …`.
    #[must_use]
    pub fn headline(&self) -> String {
        let good = |sort| self.of(sort).filter(|row| row.failure.is_none()).count();
        let all = |sort| self.of(sort).count();
        let mut text = format!(
            "{} of {} bugs caught; what has none accused in {} of {} scenarios",
            good(Sort::Bug),
            all(Sort::Bug),
            all(Sort::Right) - good(Sort::Right),
            all(Sort::Right)
        );
        if all(Sort::Control) > 0 {
            text += &format!("; {} of {} controls kept from passing", good(Sort::Control), all(Sort::Control));
        }
        text
    }
}
