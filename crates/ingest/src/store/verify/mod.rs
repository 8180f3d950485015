//! Looks whether the schema is what the engine relies on, and whether the data is whole, all in one snapshot.
//!
//! What follows from another finding is not told again: the plan of a lookup is asked for only when its index is sound,
//! and a race is hashed only when its laps are as many as its checkpoint says and have no gaps.

mod data;
mod plans;
mod races;
mod schema;
mod triggers;

use serde::Serialize;

use super::session::args;
use super::{Session, StoreError};

/// How many rows of a finding are named.
const EXAMPLES: usize = 5;

/// What a verification looked at, and what it found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Verification {
    /// The event whose data was looked at; `None`: all of them.
    pub event_id: Option<u64>,
    /// What was looked at.
    pub looked: Looked,
    /// What is wrong; empty on a healthy database.
    pub findings: Vec<Finding>,
}

/// How much was looked at: nothing found among nothing says little.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Looked {
    /// Indexes, the primary keys' among them.
    pub indexes: u64,
    /// Foreign keys and checks.
    pub constraints: u64,
    /// Triggers that keep laps with their results.
    pub triggers: u64,
    /// Plans of lookups.
    pub plans: u64,
    /// Events.
    pub events: u64,
    /// Races, or checkpoints without one.
    pub races: u64,
    /// Races whose stored rows were hashed anew.
    pub hashed: u64,
    /// Laps of those races.
    pub laps: u64,
}

/// Something that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What was looked for.
    pub check: Check,
    /// Where: a table, index, constraint, event or race.
    pub place: String,
    /// How many rows, or objects of the schema, it concerns.
    pub count: u64,
    /// What is wrong.
    pub what: String,
    /// What to do about it.
    pub advice: String,
    /// LiveRC's id of the race, where it is one race's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub race_id: Option<u64>,
}

/// What is looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Check {
    /// A table is missing.
    TableMissing,
    /// An index is missing.
    IndexMissing,
    /// An index has other columns, or is not unique, partial or deferrable.
    IndexDifferent,
    /// An index is not valid: a concurrent build failed.
    IndexInvalid,
    /// An index is sound, and a lookup of the engine is planned without it.
    IndexUnused,
    /// A foreign key or check is missing.
    ConstraintMissing,
    /// A foreign key says something else.
    ConstraintDifferent,
    /// A foreign key or check was never validated against the rows that are there.
    ConstraintNotValid,
    /// The triggers of a foreign key are switched off.
    ConstraintDisabled,
    /// A trigger that keeps laps with their results is missing.
    TriggerMissing,
    /// Such a trigger, or its function, is not what the migrations make.
    TriggerDifferent,
    /// Such a trigger is switched off.
    TriggerDisabled,
    /// Rows whose parent is not there.
    Orphans,
    /// The depth of an event is not what its stored races say.
    Depth,
    /// An event without the engines' book.
    BookMissing,
    /// A race is stored and no checkpoint speaks of its rows.
    DataWithoutCheckpoint,
    /// A checkpoint speaks of rows, and the race is not stored.
    CheckpointWithoutData,
    /// A checkpoint is of another event than its race.
    CheckpointEvent,
    /// A written checkpoint has no usable content hash.
    CheckpointHash,
    /// Laps stored are not as many as the checkpoint says.
    LapCount,
    /// Lap numbers of a result are not 1 to n.
    LapNumbers,
    /// A driver has two results in one race.
    ResultTwice,
    /// A result's id is not the one that is computed from its key: the engine would write it a second time.
    ResultId,
    /// Stored rows do not have the hash of the checkpoint.
    ContentHash,
    /// Stored rows are such as no engine writes.
    Unreadable,
    /// An entry is linked to a driver who did not race under its name in its class.
    EntryDriver,
}

impl Check {
    /// As the command prints it.
    #[must_use]
    pub fn name(self) -> String {
        serde_json::to_value(self).ok().and_then(|v| v.as_str().map(str::to_owned)).unwrap_or_default()
    }
}

/// Verifies the schema and the data of one event, or of all. Orphans are looked for in all tables, since they belong to
/// no event.
///
/// # Errors
/// No such event; the database cannot be reached or fails. What is wrong with the data is no error, but a finding.
pub async fn verify(session: &mut Session, event: Option<u64>) -> Result<Verification, StoreError> {
    const SNAPSHOT: &str = "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY";
    session.begin().await?;
    session.execute("taking a snapshot", SNAPSHOT, args![]).await?;
    let mut book = Book { looked: Looked::default(), findings: Vec::new() };
    // Without its tables nothing else can be asked.
    if schema::tables(session, &mut book).await? {
        let sound = schema::indexes(session, &mut book).await?;
        schema::constraints(session, &mut book).await?;
        triggers::verify(session, &mut book).await?;
        data::verify(session, event, &mut book).await?;
        races::verify(session, event, &mut book).await?;
        // Last, since it changes how statements are planned.
        plans::verify(session, &sound, &mut book).await?;
    }
    session.rollback().await;
    Ok(Verification { event_id: event, looked: book.looked, findings: book.findings })
}

/// What is collected on the way.
struct Book {
    looked: Looked,
    findings: Vec<Finding>,
}

impl Book {
    fn find(&mut self, check: Check, place: impl Into<String>, count: u64, what: impl Into<String>, advice: &str) {
        let (place, what, advice) = (place.into(), what.into(), advice.to_owned());
        self.findings.push(Finding { check, place, count, what, advice, race_id: None });
    }

    fn find_race(&mut self, check: Check, (event, race): (i64, i64), count: u64, what: String, advice: &str) {
        let race_id = u64::try_from(race).ok();
        let (place, advice) = (format!("event {event} race {race}"), advice.to_owned());
        self.findings.push(Finding { check, place, count, what, advice, race_id });
    }
}
