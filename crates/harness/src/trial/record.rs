//! What is recorded of a trial. Everything after this (oracles, statistics, reports) is a pure function of it.
//!
//! A record is one line of `trials.jsonl`, appended as the trial ends. Keys carry base units (`_us`, `_bytes`).

mod attempt;
mod snapshot;

use std::collections::BTreeMap;

use contract::feed::Changes;
use serde::{Deserialize, Serialize};

use crate::ab::{ComparisonRecord, InSet};
use crate::load::capacity::Capacity;
use crate::load::record::LoadRecord;
use crate::oracle::Judgement;
use crate::search::record::SearchRecord;
use crate::selftest::SelfTest;
use crate::stats::{Histogram, Metric, Stage};
pub use crate::synth::rows::RowKind;
pub use attempt::{Attempt, Exit, MemoryLimited};
pub use snapshot::{Checkpoint, DifferingRow, Group, Snapshot, Tables, XminSet};

/// Version of the record's schema. Raised when a reader of the old one would misread the new one.
pub const SCHEMA: u32 = 1;

/// All of one trial.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TrialRecord {
    /// [`SCHEMA`].
    pub schema: u32,
    /// Number in its run, from 1.
    pub trial: u32,
    /// Scenario's name.
    pub scenario: String,
    /// Profile's name, or the engine's where it has none.
    pub profile: String,
    /// Settings changed from the profile's, for example by `--sweep`.
    #[serde(default)]
    pub settings: BTreeMap<String, String>,
    /// Where it stands in a comparison of two sides.
    #[serde(default)]
    pub in_set: Option<InSet>,
    /// Seed of the generator.
    pub seed: u64,
    /// Wall clock at the start, RFC 3339.
    pub started_at: String,
    /// CLOCK_MONOTONIC at the start, µs: zero of the report's time axis.
    pub started_us: u64,
    /// Whole trial, set-up and verification included, µs.
    pub trial_us: u64,
    /// The ingestions in their order: a revision each, then the second ingestion of the last.
    pub ingestions: Vec<Ingestion>,
    /// Faults asked for, and what became of each.
    #[serde(default)]
    pub faults: Vec<FaultRecord>,
    /// What was wrong with the events that were ingested at the same time; empty: nothing, or there were none.
    #[serde(default)]
    pub beside: Vec<String>,
    /// What remained after the engine was gone.
    pub aftermath: Aftermath,
    /// What LiveRC's mock saw, where recording was on.
    #[serde(default)]
    pub liverc: Option<LivercObservation>,
    /// What the REPEATABLE READ sampler saw, where it ran.
    #[serde(default)]
    pub sampler: Option<SamplerObservation>,
    /// Limits that the scenario sets, for the oracle `bounded`.
    #[serde(default)]
    pub limits: Limits,
    /// Measurements of the measured ingestion (the first one).
    pub metrics: BTreeMap<Metric, f64>,
    /// Within-trial samples per stage.
    pub stages: BTreeMap<Stage, Histogram>,
    /// Laps durable over time, for the plot: (µs since `started_us`, laps committed so far).
    #[serde(default)]
    pub progress: Vec<(u64, u64)>,
    /// Statements by text, of the measured ingestion.
    #[serde(default)]
    pub statements: Vec<StatementCost>,
    /// Verdict of every oracle that the scenario lists, and of those that it does not (*not judged*).
    #[serde(default)]
    pub judgements: Vec<Judgement>,
    /// What happened, in a few plain sentences.
    #[serde(default)]
    pub story: Vec<String>,
    /// Folder with feed, engine log and server log, relative to the run; kept when the trial did not pass.
    #[serde(default)]
    pub artifacts: Option<String>,
    /// Command that runs this trial again.
    #[serde(default)]
    pub reproduce: String,
    /// `psql` line, when the database was kept. Without password.
    #[serde(default)]
    pub psql: Option<String>,
    /// Why the environment failed in mid-trial, where it did: the trial is then *unknown*.
    #[serde(default)]
    pub broken: Option<String>,
    /// What was asked of a service and told by it, where the trial is a load.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub load: Option<Box<LoadRecord>>,
}

/// Why an event was ingested.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Purpose {
    /// A revision of the event: 1 is the first.
    Revision(u32),
    /// Once more, with nothing changed: for `same-content` and `no-rewrite`.
    Again,
    /// By the workers of a service under load, as often as its clients asked for.
    Import,
}

/// One ingestion: processes are started until the event is finished or no restarts are left.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Ingestion {
    /// Why.
    pub purpose: Purpose,
    /// LiveRC's id of the event.
    pub event_id: u64,
    /// Each process that worked on it.
    pub attempts: Vec<Attempt>,
    /// What the generator made: the tables as they must be.
    pub expected: Tables,
    /// What must come out of it.
    pub expect: ExpectedOutcome,
    /// The database afterwards.
    pub observed: Snapshot,
    /// From the first process's start to the last one's end, µs.
    pub wall_us: u64,
    /// WAL written meanwhile, bytes. Whole server: nothing else runs on it.
    pub wal_bytes: Option<u64>,
    /// Difference of the tables' rows before and after, by key: the truth for the oracle `counts`.
    #[serde(default)]
    pub changes: Option<Changes>,
    /// The database in mid-ingestion, after each fault and after each process that did not end by itself: what the
    /// oracle `durable` needs, since a restarted engine would write again what was lost.
    #[serde(default)]
    pub interludes: Vec<Interlude>,
    /// What passed on the wire to PostgreSQL, where a proxy could read it.
    #[serde(default)]
    pub wire: Option<WireCounts>,
}

/// Messages between the engine and PostgreSQL, over all connections of an ingestion.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct WireCounts {
    /// Messages that the engine sent, those of connecting and of ending a session included.
    pub frames: u64,
    /// COMMITs among them.
    pub commits: u64,
    /// ReadyForQuery replies.
    pub round_trips: u64,
    /// Sessions begun. Each ends with a message to which nobody waits for an answer.
    #[serde(default)]
    pub sessions: u64,
}

impl WireCounts {
    /// What came after `before`.
    #[must_use]
    pub fn since(self, before: Self) -> Self {
        Self {
            frames: self.frames - before.frames,
            commits: self.commits - before.commits,
            round_trips: self.round_trips - before.round_trips,
            sessions: self.sessions - before.sessions,
        }
    }
}

/// What was durable at a moment in mid-ingestion: after a fault had healed, or a process had died, and before work went on.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Interlude {
    /// CLOCK_MONOTONIC when reading began, µs: what the feed acknowledged before must be in it.
    pub at_us: u64,
    /// After what: `process 4711 was killed`, `db-kill`.
    pub after: String,
    /// Laps of every stored race; 0 for one without laps.
    pub laps_stored: BTreeMap<u64, u64>,
    /// Checkpoints by race.
    pub checkpoints: BTreeMap<u64, Checkpoint>,
    /// `ingest_depth` of the event; `None`: no such event, or it was not read.
    #[serde(default)]
    pub ingest_depth: Option<String>,
    /// Digest over every row's `xmin` (as [`Snapshot::xmin_digest`]), when an engine had finished the event while an older one
    /// was stalled. What the older one does when it wakes is of the past: it may change no row.
    #[serde(default)]
    pub finished: Option<String>,
}

/// What must come out of an ingestion.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "outcome")]
pub enum ExpectedOutcome {
    /// Every race is written, the event is `laps_full`, exit code 0.
    Complete,
    /// These races must fail, all others must be written, and the event is not `laps_full`.
    Partial {
        /// LiveRC's ids of the races that must fail.
        failed: Vec<u64>,
    },
}

/// A fault that was asked for.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct FaultRecord {
    /// When and what, as written: `before-commit#2 = db-kill for 500ms`.
    pub fault: String,
    /// The proof that it happened; `None`: it did not fire.
    pub fired: Option<Fired>,
    /// Why it did not fire, or cannot here.
    pub why_not: Option<String>,
    /// What sort of reason that is, where it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub missed: Option<Missed>,
}

/// Why a fault did not fire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Missed {
    /// Its trigger did not come.
    NotReached,
    /// It was in force, and nothing met it.
    NotMet,
    /// It could not be carried out.
    Failed,
}

/// The proof that a fault happened, and the only way to count one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Fired {
    /// CLOCK_MONOTONIC, µs.
    pub at_us: u64,
    /// CLOCK_MONOTONIC when the world was whole again, µs.
    pub healed_us: Option<u64>,
    /// What shows it: the feed's line, the signal that the process died of, the proxy's log line.
    pub evidence: String,
}

/// What was left in the world after the last engine process ended.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Aftermath {
    /// Whether it was looked at.
    pub observed: bool,
    /// Advisory locks held in the database.
    pub advisory_locks: u64,
    /// Connections of the engine's role.
    pub connections: u64,
    /// Open transactions of the engine's role.
    pub open_transactions: u64,
    /// Temporary tables.
    pub temporary_tables: u64,
    /// Prepared transactions.
    pub prepared_transactions: u64,
    /// Deadlocks that the server counted during the trial.
    #[serde(default)]
    pub deadlocks: u64,
}

/// What the mock saw.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct LivercObservation {
    /// Requests by path and ingestion: (index of the ingestion, path, requests, of which were answered 200 whole).
    pub pages: Vec<PageRequests>,
    /// Requests that came while the host had asked to wait (`Retry-After`), with how early, µs.
    pub early_after_retry_after: Vec<u64>,
    /// Most requests in flight at once.
    pub max_in_flight: u32,
    /// All requests.
    pub requests: u64,
    /// Bytes of bodies.
    pub body_bytes: u64,
    /// Time in the responder, per request.
    pub response: Option<Histogram>,
}

/// Requests for one page.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PageRequests {
    /// Index of the ingestion, from 0.
    pub ingestion: u32,
    /// Index of the process in it, from 0.
    pub attempt: u32,
    /// Path and query.
    pub path: String,
    /// Requests.
    pub requests: u32,
    /// Requests answered with the whole page.
    pub whole: u32,
}

/// What a concurrent reader saw while the engine wrote.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct SamplerObservation {
    /// Snapshots taken.
    pub samples: u64,
    /// Races seen in part: (race, what was seen).
    pub partial: Vec<(u64, String)>,
}

/// Limits of a scenario.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Peak resident memory of the engine, bytes.
    pub engine_peak_rss_bytes: Option<u64>,
    /// Requests in flight.
    pub max_in_flight: Option<u32>,
    /// Connections of the engine's pool.
    pub connections: Option<u32>,
    /// Attempts per page and process.
    pub attempts_per_page: Option<u32>,
}

/// A row of `pg_stat_statements`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StatementCost {
    /// Normalised text.
    pub query: String,
    /// Calls.
    pub calls: u64,
    /// Rows.
    pub rows: u64,
    /// Execution time, µs.
    pub exec_us: f64,
    /// WAL, bytes.
    pub wal_bytes: u64,
}

/// Where a run was made. Stored once per run.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Environment {
    /// CPU model.
    pub cpu: String,
    /// Cores that the process may use.
    pub cores: u32,
    /// Memory, bytes.
    pub memory_bytes: u64,
    /// Kernel release.
    pub kernel: String,
    /// How PostgreSQL was had: docker, local, url.
    pub backend: String,
    /// Version of the server.
    pub postgres_version: String,
    /// Settings that matter.
    pub postgres_settings: BTreeMap<String, String>,
    /// Whether the server keeps its data in memory, so that no commit waits for a disk.
    pub data_in_memory: bool,
    /// Engine's path.
    pub engine_path: String,
    /// SHA-256 or MD5 of the engine's file, hex with the name of the function before it.
    pub engine_hash: String,
    /// `release` or `debug`.
    pub build_profile: String,
    /// Revision of the source tree, `-dirty` where it was changed.
    pub git_revision: String,
    /// Version of the harness.
    pub harness_version: String,
    /// Transparent remarks: container, cgroup limits, `synchronous_commit` off …
    pub remarks: Vec<String>,
}

/// A whole run, as `result.json` holds it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunRecord {
    /// [`SCHEMA`].
    pub schema: u32,
    /// Scenario's name.
    pub scenario: String,
    /// First comment of its file: what it shows.
    pub description: String,
    /// The scenario as resolved, TOML.
    pub resolved: String,
    /// Wall clock at the start, RFC 3339.
    pub started_at: String,
    /// Whole run, µs.
    pub run_us: u64,
    /// Command line, without secrets.
    pub command: String,
    /// Where it ran.
    pub environment: Environment,
    /// What is compared, where the run is a comparison.
    #[serde(default)]
    pub comparison: Option<Box<ComparisonRecord>>,
    /// The trials.
    pub trials: Vec<TrialRecord>,
    /// The search for the highest rate of a load, where the run is one: each measurement is a trial.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub capacity: Option<Box<Capacity>>,
    /// Whether the user stopped it.
    #[serde(default)]
    pub interrupted: bool,
    /// What a search tried: of its trials only some are among `trials`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub search: Option<SearchRecord>,
    /// What the harness's test of itself came to, where the run is one: its trials are then wrong on purpose.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub selftest: Option<SelfTest>,
    /// Exit code.
    pub exit: u8,
}
