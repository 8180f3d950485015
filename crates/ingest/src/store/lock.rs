//! One engine at a time: a session advisory lock on a connection outside the pool, and a fencing number.
//!
//! The connection gives a sign of life every quarter of the lease. The server ends the session of an engine that gives
//! none (`idle_session_timeout`), so that a stalled one does not keep others out for ever; should it wake, its fencing
//! number is no longer the newest and its units abort.

use std::sync::Arc;
use std::time::{Duration, Instant};

use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{Connection, PgPool, Row};
use tokio::sync::Mutex;
use tokio::task::JoinHandle;

use super::allowance::Allowance;
use super::error::doing;
use super::session::args;
use super::{Session, Store, StoreError};
use crate::metrics::Metrics;

/// How often a taken lock is tried.
const POLL: Duration = Duration::from_millis(100);

/// Tries the lock, and asks on the way how many connections the server has left: `max_connections` without those that are
/// reserved and those that are in use.
const LOCK: &str = "\
SELECT pg_try_advisory_lock($1), current_setting('max_connections')::bigint
    - current_setting('superuser_reserved_connections')::bigint - coalesce(current_setting('reserved_connections', true), '0')::bigint
    - (SELECT coalesce(sum(numbackends), 0) FROM pg_stat_database)::bigint";

/// The lock of an event, held until [`EventLock::release`] or until the process ends.
pub struct EventLock {
    event: u64,
    key: i64,
    fence: i64,
    waited: Duration,
    options: PgConnectOptions,
    wait: Duration,
    deadline: Duration,
    metrics: Arc<Metrics>,
    pool: PgPool,
    allowance: Arc<Allowance>,
    conn: Arc<Mutex<Option<PgConnection>>>,
    heartbeat: JoinHandle<()>,
}

impl EventLock {
    /// Takes the lock of an event, waiting for another engine at most as long as the settings say, and raises the
    /// fence over `session`, which is given back. When it returns, no transaction of an older engine on this event is open: each holds the fence's row.
    ///
    /// # Errors
    /// `Locked` when another engine keeps it; the database cannot be reached.
    pub async fn take(store: &Store, session: Session, event: u64) -> Result<(Self, Session), StoreError> {
        let settings = store.settings();
        let lease = settings.lock_lease;
        let options = store.options().clone().options([("idle_session_timeout", lease.as_millis().to_string())]);
        let key =
            i64::from_be_bytes(xxhash_rust::xxh3::xxh3_64(format!("ingest event {event}").as_bytes()).to_be_bytes());
        let conn = Arc::new(Mutex::new(None));
        let beat = tokio::spawn(beat(Arc::clone(&conn), lease / 4));
        let mut lock = Self {
            event,
            key,
            fence: 0,
            waited: Duration::ZERO,
            options,
            wait: settings.lock_wait,
            deadline: store.deadline(),
            metrics: Arc::clone(store.metrics()),
            pool: store.pool().clone(),
            allowance: Arc::clone(store.allowance()),
            conn,
            heartbeat: beat,
        };
        lock.waited = lock.ensure().await?;
        let (fence, session) = raise_fence(store, session, event).await?;
        lock.fence = fence;
        Ok((lock, session))
    }

    /// Takes the lock again when its connection was lost. The fence stays: should another engine have come meanwhile,
    /// it is no longer the newest. Returns how long was waited.
    ///
    /// # Errors
    /// As [`EventLock::take`].
    pub async fn ensure(&self) -> Result<Duration, StoreError> {
        let begun = Instant::now();
        let mut guard = self.conn.lock().await;
        if let Some(conn) = guard.as_mut()
            && matches!(tokio::time::timeout(Duration::from_secs(5), conn.ping()).await, Ok(Ok(())))
        {
            return Ok(begun.elapsed());
        }
        *guard = None;
        let what = "taking the event's lock";
        let connecting = tokio::time::timeout(self.deadline, PgConnection::connect_with(&self.options)).await;
        let mut conn = connecting
            .map_err(|_| StoreError::Deadline { what, after: self.deadline })?
            .map_err(doing("connecting to the database"))?;
        loop {
            Metrics::count(&self.metrics.statements);
            let row = sqlx::query(LOCK).bind(self.key).fetch_one(&mut conn);
            let row = tokio::time::timeout(self.deadline, row).await;
            let row = row.map_err(|_| StoreError::Deadline { what, after: self.deadline })?.map_err(doing(what))?;
            let server_has: i64 = row.try_get(1).map_err(doing(what))?;
            self.allowance.cap(server_has + i64::from(self.pool.size()));
            if row.try_get::<bool, _>(0).map_err(doing(what))? {
                *guard = Some(conn);
                return Ok(begun.elapsed());
            }
            if begun.elapsed() + POLL > self.wait {
                return Err(StoreError::Locked { event: self.event, waited: self.wait });
            }
            tokio::time::sleep(POLL).await;
        }
    }

    /// The fencing number of this engine.
    #[must_use]
    pub fn fence(&self) -> i64 {
        self.fence
    }

    /// How long the lock was waited for at first.
    #[must_use]
    pub fn waited(&self) -> Duration {
        self.waited
    }

    /// Gives the lock back by closing its connection.
    pub async fn release(&self) {
        self.heartbeat.abort();
        if let Some(conn) = self.conn.lock().await.take() {
            let _ = tokio::time::timeout(Duration::from_secs(2), conn.close()).await;
        }
    }
}

impl Drop for EventLock {
    fn drop(&mut self) {
        self.heartbeat.abort();
    }
}

async fn beat(conn: Arc<Mutex<Option<PgConnection>>>, every: Duration) {
    let mut ticks = tokio::time::interval(every.max(Duration::from_millis(50)));
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let mut guard = conn.lock().await;
        let Some(held) = guard.as_mut() else { continue };
        if !matches!(tokio::time::timeout(every, held.ping()).await, Ok(Ok(()))) {
            tracing::warn!(
                "the connection that holds the event's lock is lost; the fence still guards what is written"
            );
            *guard = None;
        }
    }
}

/// Raises the fence. Every transaction of an older engine holds the row, so this waits for them. One that does not end
/// within the lease belongs to an engine that has stalled and lost the lock: its backend is ended. (The server's own
/// timeouts do not reach a backend that waits for the rest of a COPY.)
async fn raise_fence(store: &Store, mut session: Session, event: u64) -> Result<(i64, Session), StoreError> {
    const BACKEND: &str = "SELECT pg_backend_pid()";
    const END: &str = "SELECT pg_terminate_backend(b, 5000) FROM unnest(pg_blocking_pids($1)) AS b";
    let what = "raising the event's fence";
    let lease = store.settings().lock_lease;
    if let Ok(raised) = tokio::time::timeout(lease, raise(&mut session, event)).await {
        return Ok((raised?, session));
    }
    tracing::warn!(event, "an older engine has stalled in a transaction; its connection is ended");
    drop(session);
    let mut session = Session::acquire(store).await?;
    let row = session.row(what, BACKEND, args![]).await?;
    let ours: i32 = row.try_get(0).map_err(doing(what))?;
    let mut other = Session::acquire(store).await?;
    let raised = {
        let mut raising = std::pin::pin!(raise(&mut session, event));
        loop {
            match tokio::time::timeout(POLL, &mut raising).await {
                Ok(raised) => break raised?,
                Err(_) => drop(other.rows("ending a stalled engine's connection", END, args![ours]).await?),
            }
        }
    };
    Ok((raised, session))
}

async fn raise(session: &mut Session, event: u64) -> Result<i64, StoreError> {
    const SQL: &str = "INSERT INTO ingest_events (event_id, fence, since) VALUES ($1, 1, 1) \
                       ON CONFLICT (event_id) DO UPDATE SET fence = ingest_events.fence + 1 RETURNING fence";
    let what = "raising the event's fence";
    let row = session.row(what, SQL, args![super::encode::id(event)?]).await?;
    row.try_get(0).map_err(doing(what))
}
