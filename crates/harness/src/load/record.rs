//! What a load trial records beside what every trial does: what was asked, what the clients were told, what became of the jobs,
//! and what the processes of the service used. The oracles and the report are functions of it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::generated::Generated;
use crate::scenario::Drift;
use crate::stats::Histogram;
use crate::trial::record::Exit;

/// The file with a line for each client, in the trial's folder.
pub const TOLD_FILE: &str = "told.jsonl";

/// A load.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LoadRecord {
    /// The arrivals in words: `steady, 20 /s for 5 s`.
    pub arrivals: String,
    /// The rate that was asked for, requests per second, where there is one.
    #[serde(default)]
    pub rate_per_s: Option<f64>,
    /// The requests: how many were due, late, dropped, and how long they took.
    pub generated: Generated,
    /// What the clients were told, against what is so.
    pub told: Vec<ToldGroup>,
    /// How long a client follows its import at most, µs.
    pub patience_us: u64,
    /// Recovered: clients whose answer was lost on the way and that found out.
    pub recovered: u64,
    /// Calls of the clients that failed.
    pub failed_calls: u64,
    /// Jobs after everything had ended.
    pub jobs: Jobs,
    /// Processes of the service, in the order of their starts.
    pub processes: Vec<ProcessRun>,
    /// Every run of the engine that the workers' feeds tell of.
    pub runs: Vec<EngineRun>,
    /// Lines of the feeds that could not be read.
    #[serde(default)]
    pub feed_errors: Vec<String>,
    /// What was seen at intervals.
    pub samples: Vec<Sample>,
    /// What may drift.
    #[serde(default)]
    pub drift: DriftLimits,
    /// Pages that LiveRC's mock served.
    pub pages: u64,
    /// Most requests to LiveRC in flight at once.
    pub pages_in_flight: u32,
}

/// How much may drift over the whole run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct DriftLimits {
    /// Memory of all processes of the service, bytes.
    pub memory_bytes: Option<u64>,
    /// Connections to PostgreSQL.
    pub connections: Option<u32>,
    /// Median time to the client's verdict, µs.
    pub latency_us: Option<u64>,
}

impl From<Drift> for DriftLimits {
    fn from(drift: Drift) -> Self {
        Self {
            memory_bytes: drift.memory.map(|b| b.0),
            connections: drift.connections,
            latency_us: drift.latency.map(|l| u64::try_from(l.0.as_micros()).unwrap_or(u64::MAX)),
        }
    }
}

/// What a client was told of its import.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ToldAs {
    /// The event is complete.
    Complete,
    /// The import ran and failed.
    Failed,
    /// The client's time is up, the import goes on.
    GoesOn,
    /// The server did not take the request.
    Refused,
    /// It did not happen and will not.
    NotDone,
    /// It cannot be found out.
    Unknown,
}

impl ToldAs {
    /// As `ingest import --json` has it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Complete => "complete",
            Self::Failed => "failed",
            Self::GoesOn => "goes-on",
            Self::Refused => "refused",
            Self::NotDone => "not-done",
            Self::Unknown => "unknown",
        }
    }
}

/// A line of [`TOLD_FILE`]: one client.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ToldLine {
    /// Number of the request, from 0.
    pub request: u64,
    /// LiveRC's id of the event.
    pub event_id: u64,
    /// Whether a refresh was asked for.
    pub refresh: bool,
    /// Name of the request (its Idempotency-Key).
    pub key: String,
    /// What it was told.
    pub told: ToldAs,
    /// The job that it was told of.
    pub job: Option<u64>,
    /// The state of that job as it was told; `None`: of no job.
    pub job_completed: Option<bool>,
    /// The answer was lost on the way, and the verdict found out afterwards.
    pub recovered: bool,
    /// Calls that failed.
    pub failed_calls: u32,
    /// The first of them.
    pub tries: Vec<String>,
    /// Wall clock when it was told, µs since 1970.
    pub at_wall_us: i64,
    /// From when the request was due until it was told, µs.
    pub after_us: u64,
}

/// What is so of the event that a client asked for, at the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EventIs {
    /// `laps_full`, and every row is as it must be.
    Right,
    /// `laps_full`, and a row is not as it must be.
    Wrong,
    /// Something of it is there, and it is not `laps_full`.
    Partial,
    /// Nothing of it is there.
    Absent,
}

/// What became of a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum JobIs {
    /// There is none.
    None,
    /// It waits still.
    Queued,
    /// It is claimed still.
    Running,
    /// It completed.
    Completed,
    /// It completed, but later than the client was told of it.
    CompletedLater,
    /// It failed for good.
    Failed,
}

/// Clients that were told the same, of whose request the same is so.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ToldGroup {
    /// What they were told.
    pub told: ToldAs,
    /// Whether a refresh was asked for.
    pub refresh: bool,
    /// Whether a race of the event can never be read.
    pub poison: bool,
    /// The event at the end.
    pub event: EventIs,
    /// The job that the request became.
    pub job: JobIs,
    /// The job that the client was told of.
    pub told_job: JobIs,
    /// Whether it was told before its patience was over.
    pub early: bool,
    /// How many.
    pub clients: u64,
    /// How many of them had lost an answer on the way.
    pub recovered: u64,
    /// The first of them, in words.
    pub examples: Vec<String>,
}

/// Jobs after everything had ended.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Jobs {
    /// That completed.
    pub completed: u64,
    /// Of those, that found the event complete.
    pub already_there: u64,
    /// That failed for good.
    pub failed: u64,
    /// That are neither, in words.
    pub live: Vec<String>,
    /// Jobs that say completed while their event is not `laps_full`, in words.
    pub contradicted: Vec<String>,
    /// Jobs whose counts of inserted laps are not those of the table, in words: of events that one job alone imported.
    pub miscounted: Vec<String>,
    /// Events whose one job's counts were compared with the table.
    pub counted: u64,
    /// Jobs that were taken over from a worker that gave no more sign of life, in words.
    pub taken_over: Vec<String>,
    /// Attempts that failed and were made again.
    pub retries: u64,
    /// From the request to the first claim.
    pub waited: Histogram,
    /// From the first claim to the end.
    pub ran: Histogram,
}

/// A process of the service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessRun {
    /// Its place: `server`, `worker-2`.
    pub place: String,
    /// Process id.
    pub pid: u32,
    /// CLOCK_MONOTONIC at its start, µs.
    pub started_us: u64,
    /// CLOCK_MONOTONIC when it was reaped, µs.
    pub ended_us: u64,
    /// How it ended.
    pub exit: Exit,
    /// Whether the harness ended it, in good order or by a fault.
    pub asked: bool,
    /// CPU in user and kernel mode, µs.
    pub cpu_us: u64,
    /// Peak resident memory, bytes.
    pub peak_rss_bytes: u64,
    /// Last lines of its standard error, when it did not end as it should.
    #[serde(default)]
    pub stderr_tail: Vec<String>,
}

/// A run of the engine in a worker, as its feed tells it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EngineRun {
    /// The worker's process.
    pub pid: u32,
    /// LiveRC's id of the event.
    pub event_id: u64,
    /// CLOCK_MONOTONIC when it began, µs.
    pub started_us: u64,
    /// When it first fetched or wrote a race, µs: from then on it had the event's lock.
    pub worked_us: Option<u64>,
    /// When it ended, µs; `None`: its process died first.
    pub ended_us: Option<u64>,
    /// Commits: (CLOCK_MONOTONIC µs, races).
    pub commits: Vec<(u64, Vec<u64>)>,
}

/// The service at a moment.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Sample {
    /// Since the load began, µs.
    pub at_us: u64,
    /// Jobs that wait; `None`: the database did not answer.
    pub queued: Option<u64>,
    /// Jobs that a worker is at.
    pub running: Option<u64>,
    /// Connections of the service's role.
    pub connections: Option<u64>,
    /// Connections of the engines' pools in use, over all processes that told.
    pub pool_in_use: Option<u64>,
    /// Each process that lives, by place.
    pub processes: BTreeMap<String, Usage>,
}

impl Sample {
    /// Memory of all processes, bytes.
    #[must_use]
    pub fn memory_bytes(&self) -> u64 {
        self.processes.values().map(|p| p.rss_bytes).sum()
    }
}

/// What a process has used so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// Process id.
    pub pid: u32,
    /// CPU since its start, µs.
    pub cpu_us: u64,
    /// Resident memory, bytes.
    pub rss_bytes: u64,
}
