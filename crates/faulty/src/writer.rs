//! The plain writer: one connection, which holds the event's lock, and a transaction for every unit.
//!
//! A lost connection takes lock and transaction with it. The next one takes the lock again, makes sure that no other
//! engine has come meanwhile, and reads the checkpoints before the unit is written again.

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use contract::Step;
use contract::feed::{Batch, Changes, Committed, Counts, Failed, Record, Retry, Unit};
use ingest::model::{Entry, Event, Race};
use ingest::probe::{At, EVENT, Probe, micros};
use ingest::store::{HASH_VERSION, Hash, content_hash, result_id};
use serde_json::{Value, json};
use sqlx::postgres::{PgConnectOptions, PgConnection, PgRow};
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, Row as _};

use crate::bug::{Bug, Sham};
use crate::statements::{self as sql, How, Table};

/// Attempts at a transaction.
const ATTEMPTS: u32 = 6;
/// Pause between them.
const PAUSE: Duration = Duration::from_millis(50);
/// Laps in a statement.
const BATCH: usize = 50;
/// How long a taken lock is waited for.
const LOCK_WAIT: Duration = Duration::from_secs(8);
/// A session that stands still in a transaction is ended after so long, in ms: its engine has stalled.
const STALLED_MS: u32 = 2_000;

/// What another attempt of this process cannot help.
#[derive(Debug, Clone, Copy)]
enum Stop {
    /// Another engine has come: this one's work is of the past.
    TakenOver,
    /// Another engine is at work.
    Locked,
}

impl std::fmt::Display for Stop {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::TakenOver => "another engine has taken the event over",
            Self::Locked => "another engine keeps the event's lock",
        })
    }
}

impl std::error::Error for Stop {}

/// A race on its way into the database.
pub struct Prepared {
    race: Race,
    id: i64,
    hash: Hash,
}

impl Prepared {
    /// With its content hash.
    #[must_use]
    pub fn new(race: Race) -> Self {
        Self { id: race.listed.id.cast_signed(), hash: content_hash(&race), race }
    }

    /// Its drivers, each once.
    fn drivers(&self) -> BTreeMap<u64, &str> {
        let mut drivers = BTreeMap::new();
        for result in &self.race.results {
            if let Some(id) = result.driver_id {
                drivers.entry(id).or_insert(result.name.as_str());
            }
        }
        drivers
    }

    fn row(&self, event: i64) -> Value {
        let mut row = json!(self.race.listed);
        row["event_id"] = event.into();
        row["length"] = json!(self.race.length);
        row["warnings"] = json!(self.race.warnings);
        row
    }

    fn results(&self) -> impl Iterator<Item = (i64, &ingest::model::RaceResult)> {
        self.race.results.iter().map(|r| (result_id(self.race.listed.id, r), r))
    }

    fn result_rows(&self) -> Value {
        let row = |(id, result): (i64, &ingest::model::RaceResult)| {
            let mut row = json!(result);
            row["id"] = id.into();
            row["race_id"] = self.id.into();
            row
        };
        self.results().map(row).collect()
    }

    fn lap_rows(&self) -> impl Iterator<Item = Value> {
        self.results().flat_map(|(id, result)| {
            result.laps.iter().map(move |lap| {
                let mut row = json!(lap);
                row["result_id"] = id.into();
                row
            })
        })
    }
}

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
    pub fn new(url: &str, event: u64, bug: Option<Bug>, sham: Option<Sham>, probe: &'a Probe) -> anyhow::Result<Self> {
        let options: PgConnectOptions = url.parse().map_err(|_| anyhow::anyhow!("DATABASE_URL cannot be read"))?;
        let options = options.application_name("faulty").disable_statement_logging();
        let rows = Changes::default();
        let event = event.cast_signed();
        Ok(Self { options, conn: None, event, fence: None, bug, sham, probe, unit: 0, sent: 0, rows })
    }

    fn has(&self, bug: Bug) -> bool {
        self.bug == Some(bug)
    }

    /// How rows of races are written.
    fn how(&self) -> How {
        if self.has(Bug::Rewrites) { How::Always } else { How::Changed }
    }

    /// How laps are written.
    fn how_laps(&self) -> How {
        match self.bug {
            Some(Bug::PlainInsert | Bug::AmbiguousDoubled) => How::Plain,
            _ => self.how(),
        }
    }

    async fn connect(&mut self) -> anyhow::Result<()> {
        if self.conn.is_some() {
            return Ok(());
        }
        if self.sham == Some(Sham::Bypass) {
            let mut conn = PgConnection::connect_with(&self.options).await.context("connecting")?;
            let own = sqlx::query("SELECT host(inet_server_addr()), inet_server_port()").fetch_one(&mut conn).await?;
            let port = u16::try_from(own.try_get::<i32, _>(1)?)?;
            self.options = self.options.clone().host(&own.try_get::<String, _>(0)?).port(port);
            conn.close().await?;
        }
        let limits = [("idle_in_transaction_session_timeout", STALLED_MS.to_string())];
        let mut conn = PgConnection::connect_with(&self.options.clone().options(limits)).await.context("connecting")?;
        let begun = Instant::now();
        while !sqlx::query("SELECT pg_try_advisory_lock($1)").bind(self.event).fetch_one(&mut conn).await?.try_get(0)? {
            anyhow::ensure!(begun.elapsed() < LOCK_WAIT, Stop::Locked);
            tokio::time::sleep(PAUSE).await;
        }
        let query = |text: &'static str| sqlx::query(text).bind(self.event);
        match self.fence {
            Some(fence) if !self.has(Bug::StaleOverwrite) => {
                let now: i64 = query(sql::HOLD_FENCE).fetch_one(&mut conn).await?.try_get(0)?;
                anyhow::ensure!(now == fence, Stop::TakenOver);
            }
            _ => self.fence = Some(query(sql::RAISE_FENCE).fetch_one(&mut conn).await?.try_get(0)?),
        }
        if matches!(self.bug, Some(Bug::PlainInsert | Bug::AmbiguousDoubled)) {
            run(&mut conn, "ALTER TABLE laps DROP CONSTRAINT IF EXISTS laps_pkey").await?;
        }
        self.conn = Some(conn);
        Ok(())
    }

    fn conn(&mut self) -> anyhow::Result<&mut PgConnection> {
        self.conn.as_mut().context("there is no connection")
    }

    async fn begin(&mut self) -> anyhow::Result<()> {
        self.connect().await?;
        run(self.conn()?, "BEGIN").await?;
        let (event, fence) = (self.event, self.fence);
        let row = sqlx::query(sql::HOLD_FENCE).bind(event).fetch_optional(self.conn()?).await?;
        let now = row.map(|row| row.try_get(0)).transpose()?;
        anyhow::ensure!(now == fence, Stop::TakenOver);
        Ok(())
    }

    async fn commit(&mut self) -> anyhow::Result<()> {
        match run(self.conn()?, "COMMIT").await {
            Err(_) if self.has(Bug::AmbiguousSuccess) => {
                self.conn = None;
                Ok(())
            }
            done => done,
        }
    }

    /// Notes a failed attempt, and gives up after the last.
    async fn again(&mut self, what: &str, attempt: u32, error: anyhow::Error) -> anyhow::Result<()> {
        self.conn = None;
        if attempt >= ATTEMPTS || error.is::<Stop>() {
            return Err(error.context(format!("writing the {what}")));
        }
        let (wait_us, cause) = (micros(PAUSE), format!("{error:#}"));
        let id = (what == "unit").then_some(self.unit.into());
        self.probe.record(|| Record::Retry(Retry { what: what.to_owned(), id, attempt, wait_us, cause }));
        tokio::time::sleep(PAUSE).await;
        Ok(())
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

    /// Writes races in one transaction, and again when that fails.
    pub async fn write(&mut self, races: &[Prepared]) -> anyhow::Result<()> {
        self.unit += 1;
        self.sent = 0;
        let mut changes = Changes::default();
        let mut attempt = 0;
        loop {
            attempt += 1;
            let error = match self.try_write(races, attempt, &mut changes).await {
                Ok(()) => {
                    self.rows += changes;
                    return Ok(());
                }
                Err(error) => error,
            };
            self.again("unit", attempt, error).await?;
        }
    }

    fn at(&self, laps: u64) -> At {
        At { unit: Some(self.unit), race: None, laps: Some(laps) }
    }

    fn acknowledge(&self, races: &[Prepared]) {
        let races = || races.iter().map(|r| r.race.listed.id).collect();
        self.probe.record(|| Record::Committed(Committed { unit: self.unit, races: races() }));
    }

    /// Before a unit is tried again: what is there of it? `true`: all, the commit that was in doubt did happen.
    async fn settle(&mut self, races: &[Prepared]) -> anyhow::Result<bool> {
        let (event, fence) = (self.event, self.fence);
        let stored = stored(self.conn()?, event).await?;
        let ours = |race: &Prepared| {
            stored.get(&race.race.listed.id).is_some_and(|s| s.equals(race) && Some(s.fence) == fence)
        };
        Ok(races.iter().all(ours))
    }

    async fn try_write(&mut self, races: &[Prepared], attempt: u32, changes: &mut Changes) -> anyhow::Result<()> {
        self.connect().await?;
        let looks = attempt > 1 && !matches!(self.bug, Some(Bug::AmbiguousDoubled | Bug::StaleOverwrite));
        if looks && self.settle(races).await? {
            self.acknowledge(races);
            self.probe.reach(Step::AfterCommit, self.at(0));
            return Ok(());
        }
        *changes = Changes { drivers: changes.drivers, ..Changes::default() };
        let drivers: Vec<&Prepared> = races.iter().collect();
        changes.drivers += self.drivers(&drivers).await?;
        let begun = Instant::now();
        if self.has(Bug::CheckpointAhead) {
            self.checkpoints(races).await?;
        }
        self.begin().await?;
        self.probe.reach(Step::UnitBegun, self.at(0));
        if self.has(Bug::StaleOverwrite) && attempt > 1 {
            let ids: Vec<i64> = races.iter().map(|r| r.id).collect();
            sqlx::query("DELETE FROM races WHERE id = ANY ($1)").bind(ids).execute(self.conn()?).await?;
        }
        let rows = self.races_and_results(races, changes).await;
        self.tolerate(rows)?;
        self.probe.reach(Step::ResultsWritten, self.at(0));
        self.show_part().await?;
        let (laps, batches) = self.laps(races, changes).await?;
        if !matches!(self.bug, Some(Bug::CheckpointAhead | Bug::CheckpointBehind)) {
            let written = self.checkpoints(races).await;
            self.tolerate(written)?;
        }
        self.probe.reach(Step::CheckpointWritten, self.at(laps));
        if self.has(Bug::AcknowledgedEarly) {
            self.acknowledge(races);
        }
        self.probe.reach(Step::BeforeCommit, self.at(laps));
        let committing = Instant::now();
        self.commit().await?;
        let commit_us = micros(committing.elapsed());
        if !self.has(Bug::AcknowledgedEarly) {
            self.acknowledge(races);
        }
        self.probe.reach(Step::AfterCommit, self.at(laps));
        if self.has(Bug::CheckpointBehind) {
            self.checkpoints(races).await?;
        }
        let (unit, rows, write_us) = (self.unit, *changes, micros(begun.elapsed()));
        let races = races.len() as u64;
        self.probe
            .record(|| Record::Unit(Unit { unit, races, laps, batches, acquire_us: 0, write_us, commit_us, rows }));
        Ok(())
    }

    /// Lets a statement's error pass, if that is the bug.
    fn tolerate<T: Default>(&self, result: anyhow::Result<T>) -> anyhow::Result<T> {
        if self.has(Bug::SwallowedError) { Ok(result.unwrap_or_default()) } else { result }
    }

    /// Commits what there is of a race, if that is the bug.
    async fn show_part(&mut self) -> anyhow::Result<()> {
        if self.has(Bug::PartVisible) {
            self.commit().await?;
            self.begin().await?;
        }
        Ok(())
    }

    /// Writes the drivers of some races in a transaction of their own.
    async fn drivers(&mut self, races: &[&Prepared]) -> anyhow::Result<Counts> {
        let mut drivers = BTreeMap::new();
        races.iter().for_each(|race| drivers.extend(race.drivers()));
        let rows: Value = drivers.iter().map(|(id, name)| json!({ "id": id, "name": name })).collect();
        write(self.conn()?, sql::DRIVERS, How::Changed, rows).await
    }

    /// Writes every driver once more, as if none were there.
    pub async fn double_drivers(&mut self, race: &Prepared) -> anyhow::Result<()> {
        self.connect().await?;
        run(self.conn()?, "ALTER TABLE drivers DROP CONSTRAINT IF EXISTS drivers_pkey CASCADE").await?;
        let rows: Value = race.drivers().iter().map(|(id, name)| json!({ "id": id, "name": name })).collect();
        let written = write(self.conn()?, sql::DRIVERS, How::Plain, rows).await?;
        self.rows.drivers += written;
        Ok(())
    }

    async fn races_and_results(&mut self, races: &[Prepared], changes: &mut Changes) -> anyhow::Result<()> {
        let (event, how, keeps) = (self.event, self.how(), self.has(Bug::LeftoversKept));
        for race in races {
            let conn = self.conn()?;
            changes.races += write(conn, sql::RACES, how, json!([race.row(event)])).await?;
            if !keeps {
                let ids: Vec<i64> = race.results().map(|(id, _)| id).collect();
                let gone = sqlx::query(sql::RESULTS_GONE).bind(race.id).bind(ids).fetch_one(&mut *conn).await?;
                changes.results.deleted += number(&gone, 0)?;
                changes.laps.deleted += number(&gone, 1)?;
            }
            changes.results += write(conn, sql::RESULTS, how, race.result_rows()).await?;
        }
        Ok(())
    }

    /// Writes the laps of a unit, batch by batch; answers laps and batches.
    async fn laps(&mut self, races: &[Prepared], changes: &mut Changes) -> anyhow::Result<(u64, u64)> {
        if !self.has(Bug::LeftoversKept) {
            let last = |(id, result): (i64, &ingest::model::RaceResult)| {
                (id, result.laps.last().map_or(0, |lap| lap.number.cast_signed()))
            };
            let (ids, last): (Vec<i64>, Vec<i32>) = races.iter().flat_map(Prepared::results).map(last).unzip();
            let gone = sqlx::query(sql::LAPS_GONE).bind(ids).bind(last).fetch_one(self.conn()?).await;
            let gone = gone.map_err(Into::into).and_then(|row| number(&row, 0));
            changes.laps.deleted += self.tolerate(gone)?;
        }
        let rows: Vec<Value> = races.iter().flat_map(Prepared::lap_rows).collect();
        let (how, mut laps, mut batches) = (self.how_laps(), 0, 0);
        for (index, batch) in rows.chunks(BATCH).enumerate() {
            if self.has(Bug::BatchLost) && index < self.sent {
                continue;
            }
            if batches > 0 {
                self.probe.reach(Step::MidUnit, self.at(laps));
            }
            let begun = Instant::now();
            let written = write(self.conn()?, sql::LAPS, how, Value::from(batch.to_vec())).await;
            changes.laps += self.tolerate(written)?;
            self.sent = index + 1;
            laps += batch.len() as u64;
            batches += 1;
            let (unit, rows, write_us) = (self.unit, batch.len() as u64, micros(begun.elapsed()));
            self.probe.record(|| Record::Batch(Batch { unit, rows, write_us }));
            self.probe.reach(Step::BatchWritten, self.at(laps));
            self.show_part().await?;
        }
        Ok((laps, batches))
    }

    async fn checkpoints(&mut self, races: &[Prepared]) -> anyhow::Result<()> {
        let (event, fence) = (self.event, self.fence);
        let row = |race: &Prepared| {
            let hash: String = race.hash.iter().map(|byte| format!("{byte:02x}")).collect();
            json!({
                "race_id": race.id, "event_id": event, "state": "written", "hash_version": HASH_VERSION,
                "hash": format!("\\x{hash}"), "lap_count": race.race.lap_count(), "fence": fence,
            })
        };
        let rows: Value = races.iter().map(row).collect();
        if self.has(Bug::StaleHash) {
            // New ones get theirs; of those that are there all but the hash is written.
            let ids: Vec<i64> = races.iter().map(|race| race.id).collect();
            let there = sqlx::query("SELECT count(*) FROM ingest_checkpoints WHERE race_id = ANY ($1)").bind(ids);
            if number(&there.fetch_one(self.conn()?).await?, 0)? > 0 {
                return write(self.conn()?, sql::HASHLESS, How::Always, rows).await.map(drop);
            }
        }
        write(self.conn()?, sql::CHECKPOINTS, How::Always, rows).await.map(drop)
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

    /// Ends the connection, and leaves behind what the bug leaves behind.
    pub async fn end(&mut self) {
        if let Some(conn) = self.conn.take() {
            let _ = tokio::time::timeout(PAUSE * 20, conn.close()).await;
        }
        let leave = match self.bug {
            Some(Bug::LockLeaked) => "SELECT pg_advisory_lock($1)",
            Some(Bug::OpenTransaction) => "BEGIN",
            _ => return,
        };
        let Ok(mut conn) = PgConnection::connect_with(&self.options).await else { return };
        let left = if self.has(Bug::OpenTransaction) {
            run(&mut conn, leave).await
        } else {
            sqlx::query(leave).bind(self.event).execute(&mut conn).await.map(drop).map_err(Into::into)
        };
        // The server does not notice that a client is gone while a statement of its runs.
        if left.is_ok() {
            let _ = tokio::time::timeout(PAUSE * 10, run(&mut conn, "SELECT pg_sleep(3600)")).await;
        }
    }

    /// Reaches a step that belongs to the event.
    pub fn reach(&self, step: Step) {
        self.probe.reach(step, EVENT);
    }
}

async fn run(conn: &mut PgConnection, text: &'static str) -> anyhow::Result<()> {
    sqlx::raw_sql(text).execute(conn).await?;
    Ok(())
}

async fn write(conn: &mut PgConnection, table: Table, how: How, rows: Value) -> anyhow::Result<Counts> {
    let all = rows.as_array().map_or(0, Vec::len) as u64;
    if all == 0 {
        return Ok(Counts::default());
    }
    let row = sqlx::query(AssertSqlSafe(table.write(how))).bind(rows).fetch_one(conn).await?;
    let (inserted, updated) = (number(&row, 0)?, number(&row, 1)?);
    Ok(Counts { inserted, updated, deleted: 0, unchanged: all.saturating_sub(inserted + updated) })
}

async fn stored(conn: &mut PgConnection, event: i64) -> anyhow::Result<HashMap<u64, Stored>> {
    let rows = sqlx::query(sql::STORED).bind(event).fetch_all(conn).await?;
    let read = |row: &PgRow| -> sqlx::Result<(u64, Stored)> {
        let hash: Option<Vec<u8>> = row.try_get(2)?;
        let race: i64 = row.try_get(0)?;
        let (written, fence) = (row.try_get(1)?, row.try_get(3)?);
        Ok((race.cast_unsigned(), Stored { written, hash: hash.unwrap_or_default(), fence }))
    };
    Ok(rows.iter().map(read).collect::<sqlx::Result<_>>()?)
}

fn number(row: &PgRow, column: usize) -> anyhow::Result<u64> {
    Ok(row.try_get::<i64, _>(column)?.cast_unsigned())
}
