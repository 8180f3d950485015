//! What is measured, with its unit and which direction is better: said once, here.

use serde::{Deserialize, Serialize};

/// Unit of a value as stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// Microseconds.
    Microseconds,
    /// Bytes.
    Bytes,
    /// A plain number.
    Count,
    /// Per second.
    PerSecond,
    /// A share from 0 to 1.
    Share,
}

/// Which direction is better.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Better {
    /// Less is better.
    Lower,
    /// More is better.
    Higher,
    /// Neither: said for information.
    Neither,
}

macro_rules! metrics {
    ($($(#[doc = $doc:literal])+ $variant:ident = $key:literal, $label:literal, $unit:ident, $better:ident;)+) => {
        /// A measurement of a trial.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub enum Metric { $($(#[doc = $doc])+ #[serde(rename = $key)] $variant,)+ }

        impl Metric {
            /// Every metric.
            pub const ALL: &'static [Metric] = &[$(Metric::$variant,)+];
            /// Key in JSON, with its unit.
            #[must_use]
            pub fn key(self) -> &'static str { match self { $(Metric::$variant => $key,)+ } }
            /// Label in tables and plots.
            #[must_use]
            pub fn label(self) -> &'static str { match self { $(Metric::$variant => $label,)+ } }
            /// Unit of the stored value.
            #[must_use]
            pub fn unit(self) -> Unit { match self { $(Metric::$variant => Unit::$unit,)+ } }
            /// Which direction is better.
            #[must_use]
            pub fn better(self) -> Better { match self { $(Metric::$variant => Better::$better,)+ } }
        }
    };
}

metrics! {
    /// From the start of the first process to the end of the last, of the first ingestion.
    EventTime = "event_us", "event time", Microseconds, Lower;
    /// Laps written per second of event time.
    LapRate = "laps_per_s", "laps per second", PerSecond, Higher;
    /// Sum of `pg_stat_statements.calls` of the engine's role (DESIGN 8). Not reported of crash trials.
    Statements = "statements", "statements", Count, Lower;
    /// Time in the transactions of commit units, BEGIN to confirmed COMMIT, all units together.
    WriteStage = "write_stage_us", "write stage", Microseconds, Lower;
    /// Execution time of those statements in the server.
    StatementTime = "statement_us", "statement time in PostgreSQL", Microseconds, Lower;
    /// ReadyForQuery replies counted by the proxy, in a trial of its own.
    RoundTrips = "round_trips", "round trips", Count, Lower;
    /// Rows inserted, updated and deleted.
    RowsWritten = "rows_written", "rows written", Count, Neither;
    /// Rows whose version changed in the second ingestion.
    RowsRewritten = "rows_rewritten", "rows rewritten by a second ingestion", Count, Lower;
    /// Pages fetched.
    Pages = "pages", "pages fetched", Count, Lower;
    /// Commits confirmed.
    Commits = "commits", "commits", Count, Lower;
    /// Lap batches.
    Batches = "batches", "lap batches", Count, Lower;
    /// WAL written.
    Wal = "wal_bytes", "WAL", Bytes, Lower;
    /// CPU of the engine, all processes of the ingestion.
    EngineCpu = "engine_cpu_us", "engine CPU", Microseconds, Lower;
    /// Peak resident memory of the engine.
    EnginePeakRss = "engine_peak_rss_bytes", "engine peak memory", Bytes, Lower;
    /// CPU of the server's processes.
    PostgresCpu = "postgres_cpu_us", "PostgreSQL CPU", Microseconds, Lower;
    /// Peak resident memory of the server's processes, shared memory counted once where it can be told.
    PostgresPeakRss = "postgres_peak_rss_bytes", "PostgreSQL peak memory", Bytes, Lower;
    /// CPU of the harness itself: mock, proxy, observers.
    HarnessCpu = "harness_cpu_us", "harness CPU", Microseconds, Neither;
    /// Share of all CPU time that went to harness, mock and proxy; above a quarter the trial is harness-limited.
    HarnessShare = "harness_share", "share of CPU used by the harness", Share, Neither;
    /// Most connections of the pool in use at once.
    PoolPeak = "pool_peak", "pool connections in use, peak", Count, Lower;
    /// Re-ingestion of an unchanged event.
    AgainTime = "again_us", "second ingestion, time", Microseconds, Lower;
    /// WAL of the re-ingestion.
    AgainWal = "again_wal_bytes", "second ingestion, WAL", Bytes, Lower;
    /// Statements of the re-ingestion.
    AgainStatements = "again_statements", "second ingestion, statements", Count, Lower;
    /// Most sessions waiting for a lock at once, sampled.
    LockWaits = "lock_waits", "sessions waiting for a lock, peak", Count, Lower;
    /// From the fault to the first connection that PostgreSQL accepted again.
    RecoveryDatabaseReady = "recovery_database_ready_us", "recovery: database ready", Microseconds, Lower;
    /// From the fault to the first COMMIT confirmed after it.
    RecoveryFirstSuccess = "recovery_first_success_us", "recovery: first success", Microseconds, Lower;
    /// From the fault to the complete event.
    RecoveryCaughtUp = "recovery_caught_up_us", "recovery: caught up", Microseconds, Lower;
    /// Pages fetched again after a fault.
    PagesTwice = "pages_twice", "pages fetched twice", Count, Lower;
    /// Laps written again after a fault.
    LapsTwice = "laps_twice", "laps written twice", Count, Lower;
}

macro_rules! stages {
    ($($(#[doc = $doc:literal])+ $variant:ident = $key:literal, $label:literal;)+) => {
        /// A stage of the engine's work of which there are many samples per trial.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub enum Stage { $($(#[doc = $doc])+ #[serde(rename = $key)] $variant,)+ }

        impl Stage {
            /// Every stage.
            pub const ALL: &'static [Stage] = &[$(Stage::$variant,)+];
            /// Key in JSON.
            #[must_use]
            pub fn key(self) -> &'static str { match self { $(Stage::$variant => $key,)+ } }
            /// Label in tables and plots.
            #[must_use]
            pub fn label(self) -> &'static str { match self { $(Stage::$variant => $label,)+ } }
        }
    };
}

stages! {
    /// Fetching a race page, attempts and waits included.
    Fetch = "fetch_us", "race: fetch";
    /// Parsing and validating a race page.
    Parse = "parse_us", "race: parse";
    /// The transaction that wrote a race, BEGIN to confirmed COMMIT; one sample per race.
    Write = "write_us", "race: write (its transaction)";
    /// A lap batch, from its first byte to the confirmation.
    Batch = "batch_us", "lap batch";
    /// COMMIT alone.
    Commit = "commit_us", "commit";
    /// Waiting for a connection of the pool.
    Acquire = "acquire_us", "wait for a connection";
    /// LiveRC's response time as the mock saw it.
    LivercResponse = "liverc_response_us", "LiveRC response";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_carry_their_units_and_are_the_json() {
        for &m in Metric::ALL {
            assert_eq!(serde_json::to_value(m).unwrap(), m.key());
            match m.unit() {
                Unit::Microseconds => assert!(m.key().ends_with("_us"), "{}", m.key()),
                Unit::Bytes => assert!(m.key().ends_with("_bytes"), "{}", m.key()),
                Unit::PerSecond => assert!(m.key().ends_with("_per_s"), "{}", m.key()),
                Unit::Count | Unit::Share => {}
            }
        }
        for &s in Stage::ALL {
            assert_eq!(serde_json::to_value(s).unwrap(), s.key());
        }
    }
}
