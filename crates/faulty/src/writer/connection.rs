//! The connection: it holds the event's lock, and a fencing number says whose turn it is.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use contract::feed::{Counts, Record, Retry};
use ingest::probe::micros;
use serde_json::Value;
use sqlx::postgres::{PgConnection, PgRow};
use sqlx::{AssertSqlSafe, Connection as _, Row as _};

use super::{Stored, Writer};
use crate::bug::{Bug, Sham};
use crate::statements::{self as sql, How, Table};

/// Attempts at a transaction.
const ATTEMPTS: u32 = 6;
/// Pause between them.
const PAUSE: Duration = Duration::from_millis(50);
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

impl Writer<'_> {
    pub(super) async fn connect(&mut self) -> anyhow::Result<()> {
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
        while self.guarded
            && !sqlx::query("SELECT pg_try_advisory_lock($1)")
                .bind(self.event)
                .fetch_one(&mut conn)
                .await?
                .try_get(0)?
        {
            anyhow::ensure!(begun.elapsed() < LOCK_WAIT, Stop::Locked);
            tokio::time::sleep(PAUSE).await;
        }
        let query = |text: &'static str| sqlx::query(text).bind(self.event);
        match self.fence {
            Some(fence) if self.guarded && !self.has(Bug::StaleOverwrite) => {
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

    pub(super) fn conn(&mut self) -> anyhow::Result<&mut PgConnection> {
        self.conn.as_mut().context("there is no connection")
    }

    pub(super) async fn begin(&mut self) -> anyhow::Result<()> {
        self.connect().await?;
        run(self.conn()?, "BEGIN").await?;
        let (event, fence) = (self.event, self.fence);
        let row = sqlx::query(sql::HOLD_FENCE).bind(event).fetch_optional(self.conn()?).await?;
        let now = row.map(|row| row.try_get(0)).transpose()?;
        anyhow::ensure!(!self.guarded || now == fence, Stop::TakenOver);
        Ok(())
    }

    pub(super) async fn commit(&mut self) -> anyhow::Result<()> {
        match run(self.conn()?, "COMMIT").await {
            Err(_) if self.has(Bug::AmbiguousSuccess) => {
                self.conn = None;
                Ok(())
            }
            done => done,
        }
    }

    /// Notes a failed attempt, and gives up after the last.
    pub(super) async fn again(&mut self, what: &str, attempt: u32, error: anyhow::Error) -> anyhow::Result<()> {
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
}

pub(super) async fn run(conn: &mut PgConnection, text: &'static str) -> anyhow::Result<()> {
    sqlx::raw_sql(text).execute(conn).await?;
    Ok(())
}

pub(super) async fn write(conn: &mut PgConnection, table: Table, how: How, rows: Value) -> anyhow::Result<Counts> {
    let all = rows.as_array().map_or(0, Vec::len) as u64;
    if all == 0 {
        return Ok(Counts::default());
    }
    let row = sqlx::query(AssertSqlSafe(table.write(how))).bind(rows).fetch_one(conn).await?;
    let (inserted, updated) = (number(&row, 0)?, number(&row, 1)?);
    Ok(Counts { inserted, updated, deleted: 0, unchanged: all.saturating_sub(inserted + updated) })
}

pub(super) async fn stored(conn: &mut PgConnection, event: i64) -> anyhow::Result<HashMap<u64, Stored>> {
    let rows = sqlx::query(sql::STORED).bind(event).fetch_all(conn).await?;
    let read = |row: &PgRow| -> sqlx::Result<(u64, Stored)> {
        let hash: Option<Vec<u8>> = row.try_get(2)?;
        let race: i64 = row.try_get(0)?;
        let (written, fence) = (row.try_get(1)?, row.try_get(3)?);
        Ok((race.cast_unsigned(), Stored { written, hash: hash.unwrap_or_default(), fence }))
    };
    Ok(rows.iter().map(read).collect::<sqlx::Result<_>>()?)
}

pub(super) fn number(row: &PgRow, column: usize) -> anyhow::Result<u64> {
    Ok(row.try_get::<i64, _>(column)?.cast_unsigned())
}
