//! A reference for times: one binary COPY of the same laps, by the harness itself, into tables of its own.
//!
//! The tables have the keys and constraints that `laps` had when the reference was made (primary key, foreign key, two
//! checks), and are not the engine's: an index that the engine adds to its own must show.

use std::time::Instant;

use sandbox::postgres::{Database, ServerUrl};
use sqlx::postgres::PgConnection;
use sqlx::{Connection, Executor};

use crate::synth::Synth;

const TABLES: &str = "\
CREATE SCHEMA reference;
CREATE TABLE reference.results (id bigint PRIMARY KEY);
CREATE TABLE reference.laps (
    result_id bigint  NOT NULL REFERENCES reference.results ON DELETE CASCADE,
    number    integer NOT NULL CHECK (number > 0),
    time_ms   integer NOT NULL CHECK (time_ms >= 0),
    position  integer,
    pace_laps integer,
    pace_ms   integer,
    PRIMARY KEY (result_id, number)
);";

const COPY: &str =
    "COPY reference.laps (result_id, number, time_ms, position, pace_laps, pace_ms) FROM STDIN (FORMAT binary)";

/// Signature, no flags, no extension (PostgreSQL documentation, COPY, "Binary Format").
const HEADER: &[u8] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";

/// A field count of -1.
const TRAILER: [u8; 2] = (-1_i16).to_be_bytes();

/// Bytes that are sent at once.
const CHUNK: usize = 128 * 1024;

/// Copies in a place: their median is its time.
const COPIES: usize = 3;

/// The laps of an event as COPY data, with the results that they belong to.
#[derive(Debug, Clone)]
pub struct Laps {
    results: i64,
    rows: u64,
    data: Vec<u8>,
}

impl Laps {
    /// Every lap of the event. Ids of results are their numbers, from 1: no engine's way to make ids is used.
    #[must_use]
    pub fn of(synth: &Synth) -> Self {
        let mut laps = Self { results: 0, rows: 0, data: HEADER.to_vec() };
        for race in synth.race_ids().into_iter().filter_map(|id| synth.race(id)) {
            for result in &race.results {
                laps.results += 1;
                for lap in &result.laps {
                    laps.row(&[lap.number, lap.time_ms, lap.position, lap.pace_laps, lap.pace_ms]);
                }
            }
        }
        laps.data.extend_from_slice(&TRAILER);
        laps
    }

    fn row(&mut self, values: &[u32; 5]) {
        self.rows += 1;
        self.data.extend_from_slice(&6_i16.to_be_bytes());
        self.data.extend_from_slice(&8_i32.to_be_bytes());
        self.data.extend_from_slice(&self.results.to_be_bytes());
        for value in values {
            self.data.extend_from_slice(&4_i32.to_be_bytes());
            self.data.extend_from_slice(&value.to_be_bytes());
        }
    }

    /// Laps.
    #[must_use]
    pub fn rows(&self) -> u64 {
        self.rows
    }
}

/// The reference, ready to be measured as often as wanted.
#[derive(Debug)]
pub struct Reference {
    database: Database,
    connection: PgConnection,
    laps: Laps,
}

impl Reference {
    /// Makes its tables in a database that is used for nothing else.
    ///
    /// # Errors
    /// The database's.
    pub async fn make(database: Database, laps: Laps) -> sqlx::Result<Self> {
        let url: ServerUrl = database.admin_url();
        let mut connection = PgConnection::connect(url.expose()).await?;
        connection.execute(sqlx::raw_sql(TABLES)).await?;
        sqlx::query("INSERT INTO reference.results SELECT generate_series(1, $1)")
            .bind(laps.results)
            .execute(&mut connection)
            .await?;
        // The planner's statistics of the foreign key's table, and no vacuum of it in the middle of a copy.
        connection.execute("VACUUM ANALYZE reference.results").await?;
        Ok(Self { database, connection, laps })
    }

    /// Median time of some copies, each in a transaction of its own, BEGIN and COMMIT in it, into an empty table and after a
    /// CHECKPOINT, µs.
    ///
    /// # Errors
    /// The database's; also when it stored another number of rows than was sent.
    pub async fn measure(&mut self) -> sqlx::Result<f64> {
        let mut times = Vec::with_capacity(COPIES);
        for _ in 0..COPIES {
            self.connection.execute("TRUNCATE reference.laps").await?;
            self.connection.execute("CHECKPOINT").await?;
            let begun = Instant::now();
            self.connection.execute(sqlx::raw_sql("BEGIN")).await?;
            let mut copy = self.connection.copy_in_raw(COPY).await?;
            for chunk in self.laps.data.chunks(CHUNK) {
                copy.send(chunk).await?;
            }
            let stored = copy.finish().await?;
            self.connection.execute(sqlx::raw_sql("COMMIT")).await?;
            times.push(begun.elapsed().as_secs_f64() * 1e6);
            if stored != self.laps.rows {
                let text = format!("the reference COPY stored {stored} of {} laps", self.laps.rows);
                return Err(sqlx::Error::Protocol(text));
            }
        }
        times.sort_unstable_by(f64::total_cmp);
        Ok(times[COPIES / 2])
    }

    /// Drops the database.
    ///
    /// # Errors
    /// The server's.
    pub async fn remove(self) -> Result<(), sandbox::postgres::Error> {
        let _ = self.connection.close().await;
        self.database.remove().await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::synth::Size;

    #[test]
    fn every_lap_of_the_event_is_in_the_data() {
        let synth = Synth::new(Size::Small, 3);
        let laps = Laps::of(&synth);
        assert_eq!((laps.rows(), laps.results), (800, 80));
        // Two bytes of field count, 12 of the id, 8 of each of five numbers.
        assert_eq!(laps.data.len(), HEADER.len() + 800 * (2 + 12 + 5 * 8) + TRAILER.len());
    }
}
