//! A connection as the engine uses it: every answer has a deadline, every statement is counted, and a connection that
//! something went wrong on never goes back to the pool.

use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use sqlx::pool::PoolConnection;
use sqlx::postgres::{PgArguments, PgConnection, PgRow};
use sqlx::{AssertSqlSafe, Executor, Postgres, SqlSafeStr, SqlStr};
use tokio::sync::OwnedSemaphorePermit;

use super::allowance::{InUse, Waiting};
use super::error::{StoreError, doing};
use super::{Recorder, Store};
use crate::metrics::Metrics;

/// Builds the arguments of a statement.
macro_rules! args {
    () => { Ok(sqlx::postgres::PgArguments::default()) };
    ($($value:expr),+ $(,)?) => {{
        let mut args = sqlx::postgres::PgArguments::default();
        let mut failed: Option<sqlx::error::BoxDynError> = None;
        $(if let Err(e) = sqlx::Arguments::add(&mut args, $value) { failed.get_or_insert(e); })+
        match failed {
            None => Ok(args),
            Some(e) => Err($crate::store::StoreError::Database {
                what: "encoding a value for the database",
                source: sqlx::Error::Encode(e),
            }),
        }
    }};
}
pub(crate) use args;

/// A connection of the pool. Dropped in a clean state it goes back, in any other it is closed.
pub struct Session {
    conn: Option<PoolConnection<Postgres>>,
    /// After the connection: it is given back before its place is.
    _in_use: InUse,
    state: State,
    deadline: Duration,
    metrics: Arc<Metrics>,
    recorder: Option<Recorder>,
    acquire: Duration,
    /// Process id of the backend, once a statement has told it.
    pub(super) backend: Option<i32>,
    lost: Arc<Mutex<Vec<i32>>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Idle, outside a transaction.
    Clean,
    /// In a transaction in which nothing has failed.
    Open,
    /// Something failed, or an answer has not been read to its end.
    Broken,
}

impl Session {
    /// Takes a connection of the store's pool.
    ///
    /// # Errors
    /// None to be had in time, or the server refuses.
    pub async fn acquire(store: &Store) -> Result<Self, StoreError> {
        let metrics = Arc::clone(store.metrics());
        let begun = Instant::now();
        let waiting = Waiting::new(&metrics);
        let made = Self::connection(store).await;
        drop(waiting);
        let acquire = begun.elapsed();
        metrics.pool.acquire_seconds.observe(acquire.as_secs_f64());
        let (conn, place) = made?;
        let in_use = InUse::new(&metrics, place);
        let recorder = store.recorder();
        let deadline = store.deadline();
        Ok(Self {
            conn: Some(conn),
            _in_use: in_use,
            state: State::Clean,
            deadline,
            metrics,
            recorder,
            acquire,
            backend: None,
            lost: Arc::clone(store.lost()),
        })
    }

    /// A place in the pool, then a connection. With a place one is idle, or can be made.
    async fn connection(store: &Store) -> Result<(PoolConnection<Postgres>, OwnedSemaphorePermit), StoreError> {
        let place = store.allowance().place(store.settings().acquire_timeout).await?;
        let error = match store.pool().acquire().await {
            Ok(conn) => return Ok((conn, place)),
            Err(sqlx::Error::PoolTimedOut) => Self::why_none(store).await,
            Err(error) => error,
        };
        Err(doing("connecting to the database")(error))
    }

    /// Why the pool could make no connection in time, which it keeps to itself: told by one more try without it.
    async fn why_none(store: &Store) -> sqlx::Error {
        use sqlx::Connection;
        let tried = tokio::time::timeout(Duration::from_secs(5), PgConnection::connect_with(store.options())).await;
        match tried {
            Ok(Err(error)) => error,
            Ok(Ok(conn)) => {
                let _ = conn.close().await;
                sqlx::Error::PoolTimedOut
            }
            Err(_) => sqlx::Error::PoolTimedOut,
        }
    }

    /// How long the connection was waited for; told once, zero after that.
    pub fn take_acquire_time(&mut self) -> Duration {
        std::mem::take(&mut self.acquire)
    }

    /// Whether it can be used for a new transaction.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.state == State::Clean && self.conn.is_some()
    }

    fn note(&self, sql: &str) {
        Metrics::count(&self.metrics.statements);
        if let Some(recorder) = &self.recorder {
            recorder.lock().unwrap_or_else(PoisonError::into_inner).push(sql.to_owned());
        }
    }

    /// Runs one exchange with the server. Until it has ended well the session counts as broken, so that a dropped
    /// future, an error and a missed deadline all leave it so.
    async fn exchange<'s, T, F>(
        &'s mut self,
        what: &'static str,
        after: State,
        run: impl FnOnce(&'s mut PgConnection) -> F,
    ) -> Result<T, StoreError>
    where
        F: Future<Output = sqlx::Result<T>> + 's,
    {
        let Some(conn) = self.conn.as_mut() else { return Err(StoreError::Aborted { what }) };
        let state = &mut self.state;
        if *state == State::Broken {
            return Err(StoreError::Aborted { what });
        }
        *state = State::Broken;
        let answer = tokio::time::timeout(self.deadline, run(conn)).await;
        let value = answer.map_err(|_| StoreError::Deadline { what, after: self.deadline })?.map_err(doing(what))?;
        *state = after;
        Ok(value)
    }

    /// Opens a transaction.
    ///
    /// # Errors
    /// As any statement.
    pub async fn begin(&mut self) -> Result<(), StoreError> {
        let what = "BEGIN";
        if self.state != State::Clean {
            return Err(StoreError::Aborted { what });
        }
        self.note(what);
        self.exchange(what, State::Open, |conn| async move { conn.execute(sqlx::raw_sql(what)).await.map(drop) }).await
    }

    /// Opens a transaction and runs a statement in it, in one round trip; the statement's rows. It goes by the simple
    /// protocol: it has no parameters, and values come as text.
    ///
    /// # Errors
    /// As any statement.
    pub async fn begin_with(&mut self, what: &'static str, sql: &str) -> Result<Vec<PgRow>, StoreError> {
        if self.state != State::Clean {
            return Err(StoreError::Aborted { what });
        }
        self.note("BEGIN");
        self.note(sql);
        let both = sqlx::raw_sql(AssertSqlSafe(format!("BEGIN; {sql}")));
        self.exchange(what, State::Open, |conn| async move { conn.fetch_all(both).await }).await
    }

    /// Commits. `Ok` means that PostgreSQL confirmed it: the driver's own answer would be `Ok` on an aborted
    /// transaction too, which is why a session in which anything failed refuses to ask.
    ///
    /// # Errors
    /// `Aborted` when something in the transaction failed; else whether it was committed is unknown until the
    /// checkpoints have been read on another connection, unless PostgreSQL itself refused.
    pub async fn commit(&mut self) -> Result<(), StoreError> {
        let what = "COMMIT";
        if self.state != State::Open {
            return Err(StoreError::Aborted { what });
        }
        self.note(what);
        self.exchange(what, State::Clean, |conn| async move { conn.execute(sqlx::raw_sql(what)).await.map(drop) }).await
    }

    /// Gives the transaction up, keeping the connection where the server says that it is well.
    pub async fn rollback(&mut self) {
        let what = "ROLLBACK";
        if self.state == State::Open {
            self.note(what);
            let rolled_back = self
                .exchange(what, State::Clean, |conn| async move { conn.execute(sqlx::raw_sql(what)).await.map(drop) })
                .await;
            if let Err(error) = rolled_back {
                tracing::debug!(%error, "rollback failed; the connection is closed, which rolls back as well");
            }
        }
    }

    /// Runs a statement; the rows that it affected.
    ///
    /// # Errors
    /// The statement failed, the connection is gone, or no answer came in time.
    pub async fn execute(
        &mut self,
        what: &'static str,
        sql: impl SqlSafeStr,
        args: Result<PgArguments, StoreError>,
    ) -> Result<u64, StoreError> {
        let (sql, args) = (sql.into_sql_str(), args?);
        self.note(sql.as_str());
        let after = self.state;
        self.exchange(what, after, |conn| async move {
            Ok(conn.execute(sqlx::query_with(sql, args)).await?.rows_affected())
        })
        .await
    }

    /// Runs a statement; its rows.
    ///
    /// # Errors
    /// As [`Session::execute`].
    pub async fn rows(
        &mut self,
        what: &'static str,
        sql: impl SqlSafeStr,
        args: Result<PgArguments, StoreError>,
    ) -> Result<Vec<PgRow>, StoreError> {
        let (sql, args): (SqlStr, _) = (sql.into_sql_str(), args?);
        self.note(sql.as_str());
        let after = self.state;
        self.exchange(what, after, |conn| async move { conn.fetch_all(sqlx::query_with(sql, args)).await }).await
    }

    /// Runs a statement that returns exactly one row.
    ///
    /// # Errors
    /// As [`Session::execute`].
    pub async fn row(
        &mut self,
        what: &'static str,
        sql: impl SqlSafeStr,
        args: Result<PgArguments, StoreError>,
    ) -> Result<PgRow, StoreError> {
        let (sql, args): (SqlStr, _) = (sql.into_sql_str(), args?);
        self.note(sql.as_str());
        let after = self.state;
        self.exchange(what, after, |conn| async move { conn.fetch_one(sqlx::query_with(sql, args)).await }).await
    }

    /// Copies chunks of binary rows into a table. `after_first` runs when the first chunk has left, before the end.
    /// The rows that PostgreSQL counted.
    ///
    /// # Errors
    /// As [`Session::execute`]. The deadline holds for each chunk and for the answer, not for the whole.
    pub async fn copy_in(
        &mut self,
        what: &'static str,
        statement: &'static str,
        chunks: impl Iterator<Item = Vec<u8>>,
        after_first: impl FnOnce(),
    ) -> Result<u64, StoreError> {
        let deadline = self.deadline;
        self.note(statement);
        let Some(conn) = self.conn.as_mut() else { return Err(StoreError::Aborted { what }) };
        let after = self.state;
        if after == State::Broken {
            return Err(StoreError::Aborted { what });
        }
        self.state = State::Broken;
        let late = |_| StoreError::Deadline { what, after: deadline };
        let begun = tokio::time::timeout(deadline, conn.copy_in_raw(statement)).await;
        let mut copy = begun.map_err(late)?.map_err(doing(what))?;
        let mut after_first = Some(after_first);
        let mut sent = Ok(());
        for chunk in chunks {
            sent = tokio::time::timeout(deadline, copy.send(chunk)).await.map_err(late)?.map(drop);
            if sent.is_err() {
                break;
            }
            if let Some(reached) = after_first.take() {
                reached();
            }
        }
        sent.map_err(doing(what))?;
        let rows = tokio::time::timeout(deadline, copy.finish()).await.map_err(late)?.map_err(doing(what))?;
        self.state = after;
        Ok(rows)
    }

    /// Ends the backends of connections that were lost. One may still be there, waiting for the rest of a COPY (which no
    /// timeout of the server ends) or about to commit; once it is gone, the checkpoints tell what came of it.
    ///
    /// # Errors
    /// As [`Session::execute`].
    pub async fn end_lost(&mut self) -> Result<(), StoreError> {
        const SQL: &str = "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity \
             WHERE pid = ANY ($1) AND pid <> pg_backend_pid() AND datname = current_database() AND usename = current_user \
             AND application_name = 'ingest'";
        let lost = self.lost.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if !lost.is_empty() {
            self.rows("ending lost connections", SQL, args![lost.clone()]).await?;
            self.lost.lock().unwrap_or_else(PoisonError::into_inner).retain(|pid| !lost.contains(pid));
        }
        Ok(())
    }

    /// Closes the connection rather than giving it back.
    pub async fn close(mut self) {
        if let Some(conn) = self.conn.take() {
            let clean = self.state == State::Clean;
            let conn = conn.detach();
            if clean {
                use sqlx::Connection;
                let _ = tokio::time::timeout(Duration::from_secs(1), conn.close()).await;
            }
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        if self.state != State::Clean
            && let Some(conn) = self.conn.take()
        {
            self.lost.lock().unwrap_or_else(PoisonError::into_inner).extend(self.backend);
            drop(conn.detach()); // closes the socket, which ends the transaction on the server
        }
    }
}
