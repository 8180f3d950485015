//! What the service says and is told: the bodies of its API, as the database keeps them and as the client reads them.

use std::collections::BTreeMap;

use contract::feed::{Counts, Summary};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::pipeline::RaceStage;

/// An import that is asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ImportRequest {
    /// Host label of the track: `canberra` in `canberra.liverc.com`.
    #[schema(
        example = "canberra",
        min_length = 1,
        max_length = 63,
        pattern = "^[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?$"
    )]
    pub track: String,
    /// LiveRC's id of the event.
    #[schema(example = 492_301, minimum = 1, maximum = 9_223_372_036_854_775_807u64)]
    pub event_id: u64,
    /// Read every page again, though the event is complete.
    #[serde(default)]
    pub refresh: bool,
}

/// Where a job is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum JobState {
    /// Waits for a worker, or for the time of its next attempt.
    Queued,
    /// A worker is at it.
    Running,
    /// Ended well: the event was complete when it ended.
    Completed,
    /// Failed for good. `outcome` says why.
    Failed,
}

impl JobState {
    /// Whether it has come to its end.
    #[must_use]
    pub fn ended(self) -> bool {
        matches!(self, Self::Completed | Self::Failed)
    }
}

/// An import on its way, or ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Job {
    /// Its id.
    pub id: u64,
    /// LiveRC's id of the event.
    pub event_id: u64,
    /// Host label of the track.
    pub track: String,
    /// Whether every page is read again, though the event is complete.
    pub refresh: bool,
    /// Where it is.
    pub state: JobState,
    /// Place in the queue, from 1, of a queued job.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub position: Option<u64>,
    /// When it was asked for, UTC (RFC 3339).
    pub requested_at: String,
    /// A queued job is not begun before this time, UTC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_before: Option<String>,
    /// When it was first begun, UTC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<String>,
    /// When it ended, UTC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<String>,
    /// The worker that has or last had it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub worker: Option<String>,
    /// Attempts that failed in a way that is worth another.
    pub attempts: u32,
    /// Times that it was taken over from a worker that gave no more sign of life.
    pub takeovers: u32,
    /// How far it has come, of a running job.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub progress: Option<JobProgress>,
    /// How its last attempt ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outcome: Option<Outcome>,
}

/// How far a running job has come.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct JobProgress {
    /// Races on the event page.
    pub listed: u64,
    /// Races that are in the database as the pages have them.
    pub done: u64,
    /// Races that were given up.
    pub failed: u64,
    /// Each race, by LiveRC's id.
    pub races: BTreeMap<u64, RaceStage>,
}

impl JobProgress {
    /// Counts the races by stage.
    #[must_use]
    pub fn of(races: BTreeMap<u64, RaceStage>) -> Self {
        let count = |wanted: &[RaceStage]| races.values().filter(|stage| wanted.contains(stage)).count() as u64;
        Self {
            listed: races.len() as u64,
            done: count(&[RaceStage::Written, RaceStage::Unchanged]),
            failed: count(&[RaceStage::Failed]),
            races,
        }
    }
}

/// How an attempt ended.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct Outcome {
    /// As the engine's exit code: 0 complete, 75 worth trying again, anything else failed for good.
    pub exit: u8,
    /// The event was complete before, and nobody asked for a refresh: no page was read.
    pub already_there: bool,
    /// What ended the attempt, with its causes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// Races listed on the event page.
    pub listed: u64,
    /// Races written.
    pub written: u64,
    /// Races that were there already.
    pub unchanged: u64,
    /// Races that left the event page and so the database.
    pub removed: u64,
    /// The races that were given up, each with its cause.
    pub failed: Vec<RaceFailure>,
    /// Entries whose driver could not be told since the name is ambiguous.
    pub ambiguous_entries: u64,
    /// Rows by table.
    pub rows: Rows,
    /// How long the attempt took, ms.
    pub duration_ms: u64,
}

/// Why a race was given up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RaceFailure {
    /// LiveRC's id of the race.
    pub race_id: u64,
    /// URL of its page.
    pub url: String,
    /// The cause chain, outermost first.
    pub cause: String,
    /// Whether a later import may succeed with the same page.
    pub retry: bool,
}

/// Rows that an attempt changed, by table.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct Rows {
    /// Drivers.
    pub drivers: RowCounts,
    /// Entries.
    pub entries: RowCounts,
    /// Races.
    pub races: RowCounts,
    /// Results.
    pub results: RowCounts,
    /// Laps.
    pub laps: RowCounts,
}

/// Rows of one table.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct RowCounts {
    /// That were not there before.
    pub inserted: u64,
    /// That changed.
    pub updated: u64,
    /// That left.
    pub deleted: u64,
    /// That were found equal.
    pub unchanged: u64,
}

impl From<Counts> for RowCounts {
    fn from(Counts { inserted, updated, deleted, unchanged }: Counts) -> Self {
        Self { inserted, updated, deleted, unchanged }
    }
}

impl From<Summary> for Outcome {
    fn from(summary: Summary) -> Self {
        let rows = Rows {
            drivers: summary.rows.drivers.into(),
            entries: summary.rows.entries.into(),
            races: summary.rows.races.into(),
            results: summary.rows.results.into(),
            laps: summary.rows.laps.into(),
        };
        let failed = summary.failed.into_iter();
        let failed = failed.map(|f| RaceFailure { race_id: f.race, url: f.url, cause: f.cause, retry: f.retry });
        Self {
            exit: u8::try_from(summary.exit).unwrap_or(contract::exit::FAILED),
            already_there: false,
            error: summary.error,
            listed: summary.listed,
            written: summary.written,
            unchanged: summary.skipped,
            removed: summary.removed,
            failed: failed.collect(),
            ambiguous_entries: summary.ambiguous_entries,
            rows,
            duration_ms: summary.total_us / 1000,
        }
    }
}

impl Outcome {
    /// Nothing had to be done: all of these races are there.
    #[must_use]
    pub fn already_there(listed: u64) -> Self {
        Self { already_there: true, listed, unchanged: listed, ..Self::default() }
    }

    /// An attempt that did not get as far as a summary.
    #[must_use]
    pub fn failed(exit: u8, error: impl Into<String>) -> Self {
        Self { exit, error: Some(error.into()), ..Self::default() }
    }
}

/// How much of an event is in the database.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum IngestDepth {
    /// Nothing.
    None,
    /// Some races, not all that were listed.
    Partial,
    /// Every listed race with all its laps.
    LapsFull,
}

/// What is there of an event, and what is being done about it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct EventState {
    /// LiveRC's id.
    pub event_id: u64,
    /// How much of it is in the database.
    pub ingest_depth: IngestDepth,
    /// The event, where the database has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub event: Option<EventHead>,
    /// Races that are in the database.
    pub written_races: u64,
    /// Races whose last ingestion failed, each with its cause.
    pub failed_races: Vec<FailedRace>,
    /// The job of the request that was named; without one the event's newest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job: Option<Job>,
    /// The event's job that is queued or running, whoever asked for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub live_job: Option<u64>,
}

/// A race whose last ingestion failed. What is in the database of it, if anything, is older.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FailedRace {
    /// LiveRC's id of the race.
    pub race_id: u64,
    /// URL of its page.
    pub url: String,
    /// The cause chain, outermost first.
    pub cause: String,
}

/// An event of the database.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct EventHead {
    /// LiveRC's id.
    pub event_id: u64,
    /// Host label of the track.
    pub track: String,
    /// The track's name.
    pub track_name: String,
    /// The event's name.
    pub name: String,
    /// First day, `2025-11-16`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_day: Option<String>,
    /// Last day.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_day: Option<String>,
    /// Races on the event page when it was last read.
    pub listed_races: u64,
    /// How much of it is in the database.
    pub ingest_depth: IngestDepth,
}

/// Events that were found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct EventList {
    /// The newest first.
    pub events: Vec<EventHead>,
    /// There are more than `limit`.
    pub more: bool,
}

/// What became of a request that a client takes back.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Withdrawal {
    /// It had not come, and is refused should it still come. `false`: it had become `job`, which goes on.
    pub withdrawn: bool,
    /// The job that it had become.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job: Option<Job>,
}

/// A name that a client gives its request: 8 to 64 letters, digits, `-` or `_`.
#[must_use]
pub fn is_request_key(key: &str) -> bool {
    (8..=64).contains(&key.len()) && key.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
}
