//! The plain writer: one connection, which holds the event's lock, and a transaction for every unit.
//!
//! A lost connection takes lock and transaction with it. The next one takes the lock again, makes sure that no other
//! engine has come meanwhile, and reads the checkpoints before the unit is written again.

mod connection;
mod rows;
mod unit;

use std::collections::HashMap;

use contract::Step;
use contract::feed::{Changes, Failed};
use ingest::model::{Entry, Event};
use ingest::probe::{EVENT, Probe};
use serde_json::json;
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{ConnectOptions as _, Row as _};

use crate::bug::{Bug, Sham};
use crate::run::Task;
use crate::statements::{self as sql, How};
use connection::{number, stored, write};
pub use rows::Prepared;

/// What is stored of a race.
pub struct Stored {
    /// Its checkpoint says written.
    pub written: bool,
    hash: Vec<u8>,
    fence: i64,
}

impl Stored {
    /// Whether it is the same race.
    #[must_use]
    pub fn equals(&self, race: &Prepared) -> bool {
        self.written && self.hash == race.hash
    }
}

/// What recording an event found.
pub struct Recorded {
    /// The event was complete before.
    pub was_full: bool,
    /// Races that it has.
    pub stored: HashMap<u64, Stored>,
    /// Races that left the page.
    pub removed: u64,
}

/// Writes an event.
pub struct Writer<'a> {
    options: PgConnectOptions,
    conn: Option<PgConnection>,
    event: i64,
    /// Whether the lock is taken and the fence looked at.
    guarded: bool,
    fence: Option<i64>,
    bug: Option<Bug>,
    sham: Option<Sham>,
    probe: &'a Probe,
    unit: u32,
    /// Batches of the unit at hand that were sent.
    sent: usize,
    /// Rows changed so far.
    pub rows: Changes,
}

impl<'a> Writer<'a> {
    /// Prepares to write; connects when first used.
    pub fn new(task: &'a Task, bug: Option<Bug>, sham: Option<Sham>) -> anyhow::Result<Self> {
        let options: PgConnectOptions =
            task.database.parse().map_err(|_| anyhow::anyhow!("DATABASE_URL cannot be read"))?;
        let options = options.application_name("faulty").disable_statement_logging();
        let rows = Changes::default();
        let (event, guarded, probe) = (task.event.cast_signed(), task.guarded, task.probe.as_ref());
        Ok(Self { options, conn: None, event, guarded, fence: None, bug, sham, probe, unit: 0, sent: 0, rows })
    }

    fn has(&self, bug: Bug) -> bool {
        self.bug == Some(bug)
    }

    /// Records the event and its entry list as the pages have them; races that are no longer listed leave.
    pub async fn record(&mut self, event: &Event, entries: &[Entry]) -> anyhow::Result<Recorded> {
        let mut attempt = 0;
        loop {
            attempt += 1;
            match self.try_record(event, entries).await {
                Ok((recorded, changes)) => {
                    self.rows += changes;
                    return Ok(recorded);
                }
                Err(error) => self.again("event", attempt, error).await?,
            }
        }
    }

    async fn try_record(&mut self, event: &Event, entries: &[Entry]) -> anyhow::Result<(Recorded, Changes)> {
        self.begin().await?;
        let keeps = self.has(Bug::LeftoversKept);
        let id = self.event;
        let conn = self.conn()?;
        let depth = sqlx::query("SELECT ingest_depth FROM events WHERE id = $1").bind(id).fetch_optional(&mut *conn);
        let depth: Option<String> = depth.await?.map(|row| row.try_get(0)).transpose()?;
        let was_full = depth.as_deref() == Some("laps_full");
        let mut stored = stored(conn, id).await?;
        let listed: Vec<i64> = event.races.iter().map(|r| r.id.cast_signed()).collect();
        let all_there = event.races.iter().all(|race| stored.get(&race.id).is_some_and(|s| s.written));
        let none_left = stored.keys().all(|&race| listed.contains(&race.cast_signed()));
        let stays = was_full && all_there && none_left;
        sqlx::query("INSERT INTO tracks VALUES ($1, $2) ON CONFLICT (slug) DO UPDATE SET name = EXCLUDED.name WHERE tracks.name <> EXCLUDED.name")
            .bind(&event.track).bind(&event.track_name).execute(&mut *conn).await?;
        let mut row = json!(event);
        row["ingest_depth"] = if stays { "laps_full" } else { "partial" }.into();
        row["listed_races"] = listed.len().into();
        write(conn, sql::EVENTS, How::Changed, json!([row])).await?;
        let mut changes = Changes::default();
        if !keeps {
            let gone = sqlx::query(sql::RACES_GONE).bind(id).bind(&listed).fetch_one(&mut *conn).await?;
            changes.races.deleted = number(&gone, 0)?;
            changes.results.deleted = number(&gone, 1)?;
            changes.laps.deleted = number(&gone, 2)?;
            let gone = sqlx::query(sql::ENTRIES_GONE).bind(id).bind(json!(entries)).fetch_one(&mut *conn).await?;
            changes.entries.deleted = number(&gone, 0)?;
            stored.retain(|&race, _| listed.contains(&race.cast_signed()));
        }
        let added = sqlx::query(sql::ENTRIES).bind(id).bind(json!(entries)).fetch_one(conn).await?;
        changes.entries.inserted = number(&added, 0)?;
        self.commit().await?;
        Ok((Recorded { was_full, stored, removed: changes.races.deleted }, changes))
    }

    /// Records that a race was given up; what is stored of it stays.
    pub async fn give_up(&mut self, failed: &Failed) -> anyhow::Result<()> {
        let row = json!({
            "race_id": failed.race, "event_id": self.event, "state": "failed", "lap_count": 0, "fence": self.fence,
            "url": failed.url, "error": failed.cause,
        });
        self.connect().await?;
        write(self.conn()?, sql::CHECKPOINTS, How::Always, json!([row])).await.map(drop)
    }

    /// Links entries, and marks the event complete where `whole`. Answers whether it is.
    pub async fn complete(&mut self, event: &Event, whole: bool) -> anyhow::Result<bool> {
        let mut attempt = 0;
        loop {
            attempt += 1;
            match self.try_complete(event, whole).await {
                Ok((full, linked)) => {
                    self.rows.entries.updated += linked;
                    return Ok(full);
                }
                Err(error) => self.again("completion", attempt, error).await?,
            }
        }
    }

    async fn try_complete(&mut self, event: &Event, whole: bool) -> anyhow::Result<(bool, u64)> {
        let regardless = self.has(Bug::CompleteWithFailed);
        let id = self.event;
        self.begin().await?;
        let conn = self.conn()?;
        let linked = sqlx::query(sql::LINK).bind(id).fetch_one(&mut *conn).await?;
        let linked = number(&linked, 0)?;
        if whole || regardless {
            let listed: Vec<i64> = event.races.iter().map(|r| r.id.cast_signed()).collect();
            sqlx::query(sql::COMPLETE).bind(id).bind(listed).bind(regardless).execute(&mut *conn).await?;
        }
        let depth = sqlx::query("SELECT ingest_depth = 'laps_full' FROM events WHERE id = $1").bind(id);
        let full = depth.fetch_one(conn).await?.try_get(0)?;
        self.commit().await?;
        Ok((full, linked))
    }

    /// Reaches a step that belongs to the event.
    pub fn reach(&self, step: Step) {
        self.probe.reach(step, EVENT);
    }
}
