//! Oracles: one invariant each, checked over what was observed. Pure.

use serde::{Deserialize, Serialize};

/// What an oracle says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// The invariant holds over what was observed.
    Held,
    /// It does not.
    Violated,
    /// It could not be told: something was not observed, or a fault did not fire.
    Unknown,
    /// The scenario does not list it: shown, and fails nothing.
    NotJudged,
}

/// The oracles of DESIGN 7.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OracleName {
    /// Every table equals what the generator made for the last revision.
    Content,
    /// What the feed acknowledged before a fault is there after it.
    Durable,
    /// Rows of a race become visible together.
    Atomic,
    /// A checkpoint never runs ahead of its data nor behind it.
    Checkpoints,
    /// `laps_full` if and only if every listed race is there.
    Complete,
    /// A second ingestion changes no content.
    SameContent,
    /// A second ingestion rewrites no row.
    NoRewrite,
    /// Inserted, updated, deleted, unchanged as reported equal the difference of the tables.
    Counts,
    /// The exit code and the database agree.
    Exit,
    /// Afterwards: no lock, no open transaction, no temporary table, no stray connection.
    Clean,
    /// `Retry-After` honoured, attempts and concurrency bounded, no page fetched twice without cause.
    Polite,
    /// Memory and queues within the scenario's limits.
    Bounded,
}

/// An oracle's verdict on a trial.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Judgement {
    /// Which oracle.
    pub oracle: OracleName,
    /// Its verdict.
    pub verdict: Verdict,
    /// What shows it: figures when it held, the first differing things when it did not, what was missing when unknown.
    pub evidence: Vec<String>,
}
