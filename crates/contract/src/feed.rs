//! The feed: what an engine tells about its work while it works, as JSON lines appended to a file.
//!
//! A line is written with one `write` to a file opened with `O_APPEND`, so it survives SIGKILL and is never torn
//! between writers; the last line of a killed engine may be missing, never half of an acknowledged one. The feed is the
//! durability journal: what it says was committed must be in the database after any fault.

use serde::{Deserialize, Serialize};

use crate::arming::ArmAction;
use crate::step::Step;

/// One line of the feed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Line {
    /// CLOCK_MONOTONIC when the record was made, µs.
    pub t_us: u64,
    /// Process id of the engine.
    pub pid: u32,
    /// What happened.
    #[serde(flatten)]
    pub record: Record,
}

/// What a line says. The JSON key is the variant's name in snake case: `{"t_us":1,"pid":2,"step":{"name":"mid-batch",…}}`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Record {
    /// The engine started on an event.
    Started(Started),
    /// A step was reached. Written before the armed action is taken.
    Step(StepReached),
    /// COMMIT of these races was confirmed by PostgreSQL.
    Committed(Committed),
    /// A race page was fetched and parsed.
    Race(RaceStages),
    /// A lap batch was written.
    Batch(Batch),
    /// A commit unit's transaction ended with a confirmed COMMIT.
    Unit(Unit),
    /// Something failed and is tried again.
    Retry(Retry),
    /// A race is given up in this process.
    Failed(Failed),
    /// The pages were found to differ from what was expected in a way that loses nothing (stored with the race).
    Warning(Warning),
    /// The last line of an engine that ended by itself.
    Summary(Box<Summary>),
}

/// The engine started.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Started {
    /// LiveRC's id of the event.
    pub event_id: u64,
    /// Name of the profile.
    pub profile: String,
    /// Settings in force, name → value, as text.
    pub settings: std::collections::BTreeMap<String, String>,
}

/// A step was reached.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StepReached {
    /// Which step.
    pub name: Step,
    /// Which time in this process, from 1.
    pub occurrence: u32,
    /// Number of the commit unit in this process, from 1, where the step belongs to one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unit: Option<u32>,
    /// The race, where the step belongs to one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub race: Option<u64>,
    /// Laps sent in the unit's open transaction so far, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub laps: Option<u64>,
    /// What the engine does to itself next, when armed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub armed: Option<ArmAction>,
}

/// Races whose COMMIT was confirmed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Committed {
    /// Number of the commit unit in this process, from 1.
    pub unit: u32,
    /// LiveRC's ids of the races.
    pub races: Vec<u64>,
}

/// How long the stages ahead of writing took for one race.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RaceStages {
    /// LiveRC's id of the race.
    pub race: u64,
    /// From the request to the last byte, all attempts and waits included, µs.
    pub fetch_us: u64,
    /// Parsing and validation, µs.
    pub parse_us: u64,
    /// Size of the page as received, bytes.
    pub page_bytes: u64,
    /// Laps on the page.
    pub laps: u64,
    /// Requests made for it.
    pub attempts: u32,
}

/// A lap batch was written.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Batch {
    /// Number of the commit unit in this process, from 1.
    pub unit: u32,
    /// Laps in it.
    pub rows: u64,
    /// From the first byte sent to the confirmation, µs.
    pub write_us: u64,
}

/// A commit unit was committed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Unit {
    /// Number of the commit unit in this process, from 1.
    pub unit: u32,
    /// Races in it.
    pub races: u64,
    /// Laps in it.
    pub laps: u64,
    /// Lap batches in it.
    pub batches: u64,
    /// Waiting for a connection of the pool, µs.
    pub acquire_us: u64,
    /// From BEGIN to the confirmed COMMIT, µs.
    pub write_us: u64,
    /// The COMMIT alone, µs.
    pub commit_us: u64,
    /// Rows changed in this unit, by table.
    pub rows: Changes,
}

/// Something is tried again.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Retry {
    /// What: `fetch`, `unit`, `connect`, `lock`.
    pub what: String,
    /// The race or unit, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<u64>,
    /// Which attempt failed, from 1.
    pub attempt: u32,
    /// Pause before the next one, µs.
    pub wait_us: u64,
    /// The cause, without secrets.
    pub cause: String,
}

/// A race that was given up.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Failed {
    /// LiveRC's id of the race.
    pub race: u64,
    /// URL of its page.
    pub url: String,
    /// The cause chain, outermost first.
    pub cause: String,
    /// Whether a later call may succeed with the same page.
    pub retry: bool,
}

/// A warning that is stored with a race.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Warning {
    /// LiveRC's id of the race.
    pub race: u64,
    /// What was odd.
    pub text: String,
}

/// Rows inserted, updated, deleted and left unchanged in one table, as the writes themselves reported.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Rows that were not there before.
    pub inserted: u64,
    /// Rows whose content changed (or was written again, under profiles that update unconditionally).
    pub updated: u64,
    /// Rows that left.
    pub deleted: u64,
    /// Rows that were found equal and not written.
    pub unchanged: u64,
}

impl std::ops::AddAssign for Counts {
    fn add_assign(&mut self, other: Self) {
        self.inserted += other.inserted;
        self.updated += other.updated;
        self.deleted += other.deleted;
        self.unchanged += other.unchanged;
    }
}

/// [`Counts`] per table.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Changes {
    /// Table `drivers`.
    pub drivers: Counts,
    /// Table `entries`.
    pub entries: Counts,
    /// Table `races`.
    pub races: Counts,
    /// Table `results`.
    pub results: Counts,
    /// Table `laps`.
    pub laps: Counts,
}

impl std::ops::AddAssign for Changes {
    fn add_assign(&mut self, other: Self) {
        self.drivers += other.drivers;
        self.entries += other.entries;
        self.races += other.races;
        self.results += other.results;
        self.laps += other.laps;
    }
}

/// What an engine did, told at its end.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Summary {
    /// LiveRC's id of the event.
    pub event_id: u64,
    /// Exit code that follows.
    pub exit: i32,
    /// Races listed on the event page.
    pub listed: u64,
    /// Races fetched in this process.
    pub fetched: u64,
    /// Races written in this process.
    pub written: u64,
    /// Races left out since a checkpoint or an equal hash said that they are there.
    pub skipped: u64,
    /// Races that left the event page and so the database.
    pub removed: u64,
    /// Races given up.
    pub failed: Vec<Failed>,
    /// Entries whose driver could not be told since the name is ambiguous.
    pub ambiguous_entries: u64,
    /// Rows changed, by table.
    pub rows: Changes,
    /// Statements that wrote drivers and were never answered, since the connection broke. What they did, if they did anything, is
    /// not in `rows`.
    #[serde(default)]
    pub drivers_in_doubt: u64,
    /// Whole run, µs.
    pub total_us: u64,
    /// Waiting for the event's lock, µs.
    pub lock_wait_us: u64,
    /// Requests sent to LiveRC.
    pub requests: u64,
    /// Most requests in flight at once.
    pub max_in_flight: u32,
    /// Largest number of rows in one lap batch.
    pub largest_batch: u64,
    /// Rows a lap batch may have: as set, as the memory budget holds, and as a statement takes parameters.
    pub lap_batch: u64,
    /// Most connections of the pool in use at once.
    pub pool_peak: u32,
    /// Size of the pool.
    pub pool_size: u32,
    /// Error that ended the run, where one did.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// Reads a feed. Lines that cannot be read are returned as errors with their number, so that nothing is dropped silently.
///
/// # Errors
/// Per line: its number from 1 and why it could not be read. The last line of a killed engine may be cut short; a cut
/// last line (no line feed) is left out.
pub fn read(text: &str) -> (Vec<Line>, Vec<(usize, String)>) {
    let whole = match text.rfind('\n') {
        Some(end) => &text[..=end],
        None => "",
    };
    let mut lines = Vec::new();
    let mut errors = Vec::new();
    for (i, line) in whole.lines().enumerate().filter(|(_, l)| !l.trim().is_empty()) {
        match serde_json::from_str(line) {
            Ok(line) => lines.push(line),
            Err(e) => errors.push((i + 1, e.to_string())),
        }
    }
    (lines, errors)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_reads_as_documented() {
        let line = Line {
            t_us: 5,
            pid: 7,
            record: Record::Step(StepReached {
                name: Step::MidBatch,
                occurrence: 2,
                unit: Some(1),
                race: None,
                laps: None,
                armed: Some(ArmAction::Kill),
            }),
        };
        let text = serde_json::to_string(&line).unwrap();
        assert_eq!(text, r#"{"t_us":5,"pid":7,"step":{"name":"mid-batch","occurrence":2,"unit":1,"armed":"kill"}}"#);
        assert_eq!(serde_json::from_str::<Line>(&text).unwrap(), line);
    }

    #[test]
    fn a_cut_last_line_is_left_out_and_a_bad_one_is_reported() {
        let (lines, errors) =
            read("{\"t_us\":1,\"pid\":2,\"committed\":{\"unit\":1,\"races\":[3]}}\nnonsense\n{\"t_us\":2,\"pi");
        assert_eq!(lines.len(), 1);
        assert_eq!(errors.len(), 1);
        assert_eq!(errors[0].0, 2);
    }
}
