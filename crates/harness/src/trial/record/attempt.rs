//! What is recorded of an engine process.

use std::collections::BTreeMap;

use contract::feed::{Changes, Failed, Summary};
use serde::{Deserialize, Serialize};

/// One engine process.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Attempt {
    /// Process id.
    pub pid: u32,
    /// CLOCK_MONOTONIC at its start, µs.
    pub started_us: u64,
    /// CLOCK_MONOTONIC when it was reaped, µs.
    pub ended_us: u64,
    /// How it ended.
    pub exit: Exit,
    /// CPU in user mode (`wait4`), µs.
    pub cpu_user_us: u64,
    /// CPU in kernel mode (`wait4`), µs.
    pub cpu_system_us: u64,
    /// Peak resident memory (`wait4`), bytes.
    pub peak_rss_bytes: u64,
    /// The limit that it ran under, where the scenario sets one.
    #[serde(default)]
    pub memory_limit: Option<MemoryLimited>,
    /// What its feed said in the end; `None` for an engine without a feed or one that did not end by itself.
    pub summary: Option<Summary>,
    /// Settings in force, as the feed's `started` line told them; empty for an engine without a feed.
    #[serde(default)]
    pub settings: BTreeMap<String, String>,
    /// Races whose COMMIT the feed acknowledged, with CLOCK_MONOTONIC µs.
    pub committed: Vec<(u64, u64)>,
    /// Steps reached: name, occurrences.
    pub steps: BTreeMap<contract::Step, u32>,
    /// Races given up.
    pub failed: Vec<Failed>,
    /// Retries by what was tried again.
    pub retries: BTreeMap<String, u32>,
    /// Races fetched.
    pub fetched: u32,
    /// Commit units whose COMMIT was confirmed.
    #[serde(default)]
    pub commits: u64,
    /// Lap batches written.
    #[serde(default)]
    pub batches: u64,
    /// Rows of its committed units, where its feed told them all; `None`: it did not, or ended around a COMMIT.
    #[serde(default)]
    pub rows_told: Option<Changes>,
    /// Laps sent to PostgreSQL, committed or not, where the feed told.
    #[serde(default)]
    pub laps_sent: u64,
    /// Laps of confirmed commits.
    #[serde(default)]
    pub laps_committed: u64,
    /// Time in the transactions of commit units, BEGIN to confirmed COMMIT, all units together, µs.
    #[serde(default)]
    pub write_stage_us: u64,
    /// The last step that it reached.
    #[serde(default)]
    pub last_step: Option<contract::feed::StepReached>,
    /// From its end until the event's lock was free again, µs; of a process that was killed.
    #[serde(default)]
    pub lock_free_us: Option<u64>,
    /// Laps on the pages fetched, by race.
    #[serde(default)]
    pub page_laps: BTreeMap<u64, u64>,
    /// Last lines of its standard error, when it did not exit 0.
    pub stderr_tail: Vec<String>,
    /// Lines of the feed that could not be read.
    pub feed_errors: Vec<String>,
}

/// A process under a limit on its memory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemoryLimited {
    /// How it was limited, and to how much.
    pub how: String,
    /// What shows that it went past the limit, and so died; `None`: it did not.
    pub past: Option<String>,
}

impl Attempt {
    /// Whether its feed told anything at all: an engine without one acknowledges nothing.
    #[must_use]
    pub fn has_feed(&self) -> bool {
        self.summary.is_some() || !self.settings.is_empty() || !self.steps.is_empty() || !self.committed.is_empty()
    }
}

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Exit {
    /// It exited with this code.
    Code(i32),
    /// It was killed by this signal.
    Signal(i32),
    /// It did not end in its time and was killed by the harness.
    TimedOut,
}
