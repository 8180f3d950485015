//! Race by race: checkpoint and rows, lap numbers, ids and hashes computed anew.

use std::collections::HashSet;

use sqlx::Row;
use sqlx::postgres::PgRow;

use super::super::error::doing;
use super::super::rows::count;
use super::super::session::args;
use super::super::{HASH_VERSION, Session, StoreError, content_hash, encode, load_race, result_id};
use super::data::REINGEST;
use super::{Book, Check};

/// A race and its checkpoint, of which one may be missing.
struct Facts {
    /// Event and race.
    place: (i64, i64),
    stored: bool,
    checkpoint: Option<CheckpointFacts>,
    laps: u64,
    /// Results whose lap numbers are not 1 to n.
    odd: u64,
}

struct CheckpointFacts {
    event: i64,
    written: bool,
    version: Option<i16>,
    hash: Option<Vec<u8>>,
    laps: u64,
}

impl CheckpointFacts {
    /// Whether it speaks of rows: that of a race that failed at first does not, and has no hash.
    fn of_rows(&self) -> bool {
        self.written || self.hash.is_some()
    }
}

pub(super) async fn verify(session: &mut Session, event: Option<u64>, book: &mut Book) -> Result<(), StoreError> {
    let twice: HashSet<_> = book.findings.iter().filter_map(|f| f.race_id).collect();
    for facts in read(session, event.map(encode::id).transpose()?).await? {
        book.looked.races += 1;
        let before = book.findings.len();
        let expected = compare(&facts, book);
        // Whose laps are too few, or who has a result twice, cannot have the hash either.
        let told = before < book.findings.len() || twice.contains(&facts.place.1.unsigned_abs());
        if facts.stored && !told {
            rehash(session, &facts, expected, book).await?;
        }
    }
    Ok(())
}

async fn read(session: &mut Session, scope: Option<i64>) -> Result<Vec<Facts>, StoreError> {
    const SQL: &str = "\
WITH of_result AS (
    SELECT result_id, count(*) AS laps,
           min(number) <> 1 OR max(number) <> count(*) OR count(DISTINCT number) <> count(*) AS odd
    FROM laps WHERE $1::bigint IS NULL
                 OR result_id IN (SELECT s.id FROM results s JOIN races r ON r.id = s.race_id WHERE r.event_id = $1)
    GROUP BY result_id
), of_race AS (
    SELECT s.race_id, sum(o.laps)::bigint AS laps, count(*) FILTER (WHERE o.odd) AS odd
    FROM of_result o JOIN results s ON s.id = o.result_id GROUP BY s.race_id
)
SELECT coalesce(r.event_id, c.event_id), coalesce(r.id, c.race_id), r.id IS NOT NULL,
       c.event_id, c.state, c.hash_version, c.hash, c.lap_count, coalesce(o.laps, 0), coalesce(o.odd, 0)
FROM races r FULL JOIN ingest_checkpoints c ON c.race_id = r.id LEFT JOIN of_race o ON o.race_id = r.id
WHERE $1::bigint IS NULL OR r.event_id = $1 OR c.event_id = $1
ORDER BY 1, 2";
    let what = "comparing races and checkpoints";
    session.rows(what, SQL, args![scope]).await?.iter().map(|row| facts(row, what)).collect()
}

fn facts(row: &PgRow, what: &'static str) -> Result<Facts, StoreError> {
    let read = || -> sqlx::Result<_> {
        let checkpoint = match row.try_get::<Option<i64>, _>(3)? {
            None => None,
            Some(event) => Some(CheckpointFacts {
                event,
                written: row.try_get::<String, _>(4)? == "written",
                version: row.try_get(5)?,
                hash: row.try_get(6)?,
                laps: row.try_get::<i32, _>(7)?.unsigned_abs().into(),
            }),
        };
        Ok(((row.try_get(0)?, row.try_get(1)?), row.try_get(2)?, checkpoint))
    };
    let (place, stored, checkpoint) = read().map_err(doing(what))?;
    Ok(Facts { place, stored, checkpoint, laps: count(row, 8, what)?, odd: count(row, 9, what)? })
}

/// Compares a race with its checkpoint. Returns the hash that its rows should have, where one can be told.
fn compare<'a>(facts: &'a Facts, book: &mut Book) -> Option<&'a [u8]> {
    let place = facts.place;
    if facts.odd > 0 {
        let told = format!("the lap numbers of {} results are not 1 to n", facts.odd);
        book.find_race(Check::LapNumbers, place, facts.odd, told, REINGEST);
    }
    let Some(checkpoint) = facts.checkpoint.as_ref().filter(|c| c.of_rows()) else {
        if facts.stored {
            let told = format!("it is stored with {} laps, and no checkpoint speaks of it", facts.laps);
            book.find_race(Check::DataWithoutCheckpoint, place, 1, told, "run `ingest event` on its event");
        }
        return None;
    };
    if !facts.stored {
        let told = format!("its checkpoint speaks of {} laps, and the race is not stored", checkpoint.laps);
        book.find_race(Check::CheckpointWithoutData, place, 1, told, REINGEST);
        return None;
    }
    if checkpoint.event != place.0 {
        let told = format!("its checkpoint is of event {}", checkpoint.event);
        book.find_race(Check::CheckpointEvent, place, 1, told, REINGEST);
    }
    if checkpoint.laps != facts.laps {
        let told = format!("{} laps are stored, its checkpoint speaks of {}", facts.laps, checkpoint.laps);
        book.find_race(Check::LapCount, place, facts.laps.abs_diff(checkpoint.laps), told, REINGEST);
    }
    match (checkpoint.version, checkpoint.hash.as_deref()) {
        (Some(HASH_VERSION), Some(hash)) if hash.len() == size_of::<super::super::Hash>() => Some(hash),
        // An engine of another version wrote it; the next ingestion brings it up to date.
        (Some(version), Some(_)) if version != HASH_VERSION => None,
        _ => {
            let told = "its checkpoint has no usable content hash".to_owned();
            book.find_race(Check::CheckpointHash, place, 1, told, REINGEST);
            None
        }
    }
}

/// Reads a race and computes anew what is computed of it.
async fn rehash(
    session: &mut Session,
    facts: &Facts,
    expected: Option<&[u8]>,
    book: &mut Book,
) -> Result<(), StoreError> {
    const IDS: &str = "SELECT id FROM results WHERE race_id = $1 ORDER BY id";
    let what = "reading the ids of results";
    let place = facts.place;
    let loaded = match encode::back(place.1) {
        Ok(race) => load_race(session, race).await,
        Err(error) => Err(error),
    };
    let race = match loaded {
        Ok(Some(race)) => race,
        Ok(None) => return Ok(()), // not within one snapshot
        Err(StoreError::Stored(reason)) => {
            book.find_race(Check::Unreadable, place, 1, format!("its rows make no sense: {reason}"), REINGEST);
            return Ok(());
        }
        Err(error) => return Err(error),
    };
    book.looked.hashed += 1;
    book.looked.laps += facts.laps;
    let mut strange = 0;
    // Both lists are in the order of the stored ids.
    for (row, result) in session.rows(what, IDS, args![place.1]).await?.iter().zip(&race.results) {
        let id: i64 = row.try_get(0).map_err(doing(what))?;
        strange += u64::from(id != result_id(race.listed.id, result));
    }
    if strange > 0 {
        let told = format!("{strange} results have an id that is not computed from race and driver");
        book.find_race(Check::ResultId, place, strange, told, REINGEST);
    } else if expected.is_some_and(|hash| hash != content_hash(&race)) {
        let told = "its rows are not those that its checkpoint speaks of: their content hash differs".to_owned();
        book.find_race(Check::ContentHash, place, 1, told, REINGEST);
    }
    Ok(())
}
