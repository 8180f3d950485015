//! Checkpoints: what is known to be finished. Written in the transaction of the data that they speak of.

use std::collections::HashMap;
use std::sync::LazyLock;

use sqlx::Row;
use sqlx::postgres::PgRow;

use super::error::doing;
use super::session::args;
use super::unit::UnitRace;
use super::{HASH_VERSION, Hash, Session, StoreError, encode};

/// What the database knows of a race.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    /// How its ingestion ended; `None`: nothing is known.
    pub state: Option<State>,
    /// Content hash of the rows that are stored, where its version is the present one.
    pub hash: Option<Hash>,
    /// Laps stored.
    pub lap_count: u64,
    /// Fencing number of the engine that wrote it.
    pub fence: i64,
    /// Whether the race has rows.
    pub stored: bool,
}

impl Checkpoint {
    /// Whether exactly this race is stored: what `skip_unchanged` leaves out.
    #[must_use]
    pub fn speaks_of(&self, race: &UnitRace) -> bool {
        self.stored && self.state == Some(State::Written) && self.hash.as_ref() == Some(race.hash())
    }
}

/// How the ingestion of a race ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Its rows are there.
    Written,
    /// It was given up; rows of an older revision may be there.
    Failed,
}

/// Checkpoints by race.
pub type Checkpoints = HashMap<u64, Checkpoint>;

/// Reads the checkpoints of some races: how an ambiguous commit is settled.
///
/// # Errors
/// As any statement.
pub async fn read(session: &mut Session, races: &[u64]) -> Result<Checkpoints, StoreError> {
    const SQL: &str = "\
SELECT w.id, r.id IS NOT NULL, c.state, c.hash_version, c.hash, c.lap_count, c.fence
FROM unnest($1::bigint[]) AS w (id)
LEFT JOIN races r ON r.id = w.id LEFT JOIN ingest_checkpoints c ON c.race_id = w.id";
    let ids = races.iter().map(|&r| encode::id(r)).collect::<Result<Vec<_>, _>>()?;
    let rows = session.rows("reading the checkpoints", SQL, args![ids]).await?;
    rows.iter().map(|row| from_row(row, 0)).collect()
}

/// Reads a checkpoint from the seven columns that begin with `at`.
pub(super) fn from_row(row: &PgRow, at: usize) -> Result<(u64, Checkpoint), StoreError> {
    let read = || -> sqlx::Result<_> {
        let state: Option<&str> = row.try_get(at + 2)?;
        let hash: (Option<i16>, Option<&[u8]>) = (row.try_get(at + 3)?, row.try_get(at + 4)?);
        let laps: Option<i32> = row.try_get(at + 5)?;
        let fence: Option<i64> = row.try_get(at + 6)?;
        Ok((row.try_get::<i64, _>(at)?, row.try_get::<bool, _>(at + 1)?, state, hash, laps, fence))
    };
    let (race, stored, state, hash, laps, fence) = read().map_err(doing("reading the checkpoints"))?;
    let state = state.map(|s| if s == "written" { State::Written } else { State::Failed });
    let hash = match hash {
        (Some(HASH_VERSION), Some(bytes)) => Hash::try_from(bytes).ok(),
        _ => None,
    };
    let lap_count = laps.unwrap_or(0).unsigned_abs().into();
    Ok((encode::back(race)?, Checkpoint { state, hash, lap_count, fence: fence.unwrap_or(-1), stored }))
}

/// The INSERT of checkpoints ahead of the rows that it takes, and what follows them.
const INSERT: &str = "INSERT INTO ingest_checkpoints (race_id, event_id, state, hash_version, hash, lap_count, fence)";
const ON_CONFLICT: &str = "\
ON CONFLICT (race_id) DO UPDATE SET event_id = EXCLUDED.event_id, state = EXCLUDED.state,
    hash_version = EXCLUDED.hash_version, hash = EXCLUDED.hash, lap_count = EXCLUDED.lap_count,
    fence = EXCLUDED.fence, url = NULL, error = NULL";

/// As part of a larger statement: the checkpoints of the rows (`race`, `hash`, `laps`) of `from`. `event`, `version` and `fence`
/// are parameters.
pub(super) fn insert_from(from: &str, event: &str, version: &str, fence: &str) -> String {
    format!(
        "{INSERT}\nSELECT i.race, {event}, 'written', {version}, i.hash, i.laps, {fence} FROM {from} AS i (race, hash, laps)\n\
         {ON_CONFLICT}"
    )
}

/// Hashes and lap counts of races, as columns.
pub(super) fn columns(races: &[UnitRace]) -> (Vec<&[u8]>, Vec<i32>) {
    let laps = |race: &UnitRace| i32::try_from(race.race().lap_count()).unwrap_or(i32::MAX);
    races.iter().map(|race| (race.hash().as_slice(), laps(race))).unzip()
}

/// Writes the checkpoints of the races of a unit, in a statement of their own.
pub(super) async fn write(session: &mut Session, event: i64, fence: i64, races: &[UnitRace]) -> Result<(), StoreError> {
    static SQL: LazyLock<String> =
        LazyLock::new(|| insert_from("unnest($1::bigint[], $5::bytea[], $6::integer[])", "$2", "$3", "$4"));
    let ids: Vec<i64> = races.iter().map(UnitRace::id).collect();
    let (hashes, laps) = columns(races);
    let args = args![ids, event, HASH_VERSION, fence, hashes, laps];
    let written = session.execute(WRITING, SQL.as_str(), args).await?;
    all_written(written, races)
}

const WRITING: &str = "writing the checkpoints";

/// Whether as many were written as there are races.
pub(super) fn all_written(written: u64, races: &[UnitRace]) -> Result<(), StoreError> {
    if written == races.len() as u64 { Ok(()) } else { Err(StoreError::Aborted { what: WRITING }) }
}
