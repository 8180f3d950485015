//! What is recorded of the database at one moment.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::synth::rows::RowKind;

/// Count and digest of the rows of a group (a race, or 0 for what belongs to the whole event).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Group {
    /// Rows.
    pub rows: u64,
    /// MD5 (hex) of the row texts in byte order, joined by line feeds. MD5 since PostgreSQL computes it where the rows are.
    pub digest: String,
}

/// All groups of all kinds.
pub type Tables = BTreeMap<RowKind, BTreeMap<u64, Group>>;

/// A row that is on one side only.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct DifferingRow {
    /// Kind of the row.
    pub kind: RowKind,
    /// Its group.
    pub group: u64,
    /// The row as expected; `None`: it should not be there.
    pub expected: Option<String>,
    /// The row as observed; `None`: it is missing.
    pub observed: Option<String>,
}

/// The database at one moment, read in one REPEATABLE READ transaction.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Snapshot {
    /// Row groups. A kind that has a key was read, even when its map is empty; one that has none was not
    /// (see [`Snapshot::all_read`]).
    pub tables: Tables,
    /// First ten rows unlike the expected ones.
    pub differing: Vec<DifferingRow>,
    /// `ingest_depth` of the event; `None`: no such event.
    pub ingest_depth: Option<String>,
    /// Checkpoints by race.
    pub checkpoints: BTreeMap<u64, Checkpoint>,
    /// Laps stored per race.
    pub laps_stored: BTreeMap<u64, u64>,
    /// Sets of `xmin` by race: rows of the race, its results, laps and checkpoint. Where it was read.
    #[serde(default)]
    pub xmins: BTreeMap<u64, XminSet>,
    /// Digest over (table, key, xmin) of the event's rows: unchanged if and only if nothing was rewritten. The row in
    /// `events` stays out of it: its fencing number rises with every engine that takes the lock.
    #[serde(default)]
    pub xmin_digest: Option<String>,
    /// Rows whose xmin changed against the previous snapshot, by table. A table that was read has a key, be its count 0.
    /// `events` may be among them, for the same reason.
    #[serde(default)]
    pub rewritten: BTreeMap<String, u64>,
}

impl Snapshot {
    /// A snapshot in which every kind of row was read, to be filled with the groups that were found.
    #[must_use]
    pub fn all_read() -> Self {
        Self { tables: RowKind::ALL.into_iter().map(|kind| (kind, BTreeMap::new())).collect(), ..Self::default() }
    }
}

/// Which transactions wrote the rows of a race.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct XminSet {
    /// xmin of the race's row and all its results and laps.
    pub rows: std::collections::BTreeSet<u64>,
    /// xmin of its checkpoint.
    pub checkpoint: Option<u64>,
}

/// A checkpoint as stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checkpoint {
    /// `written` or `failed`.
    pub state: String,
    /// Laps that it speaks of.
    pub lap_count: u64,
    /// Stored content hash, hex.
    pub hash: Option<String>,
    /// Hash of the stored rows as the engine recomputes it, hex; `None` for an engine that cannot.
    pub recomputed: Option<String>,
    /// Error of a failed race.
    pub error: Option<String>,
}
