//! A concurrent reader: what is seen of an event while the engine writes it, and how many sessions wait for a lock.

use std::time::{Duration, Instant};

use sandbox::postgres::{ServerUrl, connect};
use sqlx::Connection as _;
use sqlx::postgres::PgConnection;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::trial::record::SamplerObservation;

/// How often it looks.
const EVERY: Duration = Duration::from_millis(20);
/// A snapshot may take one part in so many of the time.
const SHARE: u32 = 10;
/// Partial races that are kept.
const KEPT: usize = 20;

/// What was seen.
#[derive(Debug, Default)]
pub struct Seen {
    /// Most sessions waiting for a lock at once; `None`: it never got to look.
    pub lock_waits: Option<u64>,
    /// Snapshots of the event, where asked for.
    pub snapshots: Option<SamplerObservation>,
}

/// A running sampler.
#[derive(Debug)]
pub struct Sampler {
    task: JoinHandle<Seen>,
    stop: CancellationToken,
}

impl Sampler {
    /// Starts on a connection of its own, which it makes again when it is lost. `snapshots`: look at the event's rows too.
    #[must_use]
    pub fn start(url: ServerUrl, role: String, event_id: u64, snapshots: bool) -> Self {
        let stop = CancellationToken::new();
        let stopped = stop.clone();
        let task = tokio::spawn(async move {
            let mut seen = Seen { lock_waits: None, snapshots: snapshots.then(SamplerObservation::default) };
            let mut connection: Option<PgConnection> = None;
            let mut pause = EVERY;
            while tokio::time::timeout(pause, stopped.cancelled()).await.is_err() {
                let begun = Instant::now();
                // A look that the server does not answer (it is paused, or gone) must not hold up the end.
                tokio::select! {
                    () = stopped.cancelled() => break,
                    looked = look(&url, &role, event_id, &mut connection, &mut seen) => {
                        if looked.is_err() {
                            connection = None;
                        }
                    }
                }
                pause = EVERY.max(begun.elapsed() * SHARE);
            }
            if let Some(connection) = connection {
                let _ = tokio::time::timeout(Duration::from_secs(1), connection.close()).await;
            }
            seen
        });
        Self { task, stop }
    }

    /// Stops it.
    pub async fn finish(self) -> Seen {
        self.stop.cancel();
        self.task.await.unwrap_or_default()
    }
}

async fn look(
    url: &ServerUrl,
    role: &str,
    event_id: u64,
    connection: &mut Option<PgConnection>,
    seen: &mut Seen,
) -> sqlx::Result<()> {
    let open = match connection {
        Some(open) => open,
        None => connection.insert(connect(url).await.map_err(|e| sqlx::Error::Protocol(e.to_string()))?),
    };
    let waits: i64 = sqlx::query_scalar(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND usename = $1 \
         AND wait_event_type = 'Lock'",
    )
    .bind(role)
    .fetch_one(&mut *open)
    .await?;
    seen.lock_waits = seen.lock_waits.max(Some(u64::try_from(waits).unwrap_or(0)));
    if let Some(snapshots) = &mut seen.snapshots {
        let partial = snapshot(open, event_id).await?;
        snapshots.samples += 1;
        let room = KEPT.saturating_sub(snapshots.partial.len());
        snapshots.partial.extend(partial.into_iter().take(room));
    }
    Ok(())
}

/// Races of which a snapshot holds a part: rows without a checkpoint, or more or fewer laps than it says.
async fn snapshot(connection: &mut PgConnection, event_id: u64) -> sqlx::Result<Vec<(u64, String)>> {
    let mut tx = connection.begin().await?;
    sqlx::query("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY").execute(&mut *tx).await?;
    let rows: Vec<(i64, Option<i32>, i64)> = sqlx::query_as(
        "SELECT e.id, c.lap_count, (SELECT count(*) FROM results r JOIN laps l ON l.result_id = r.id WHERE r.race_id = e.id) \
         FROM races e LEFT JOIN ingest_checkpoints c ON c.race_id = e.id WHERE e.event_id = $1",
    )
    .bind(event_id.cast_signed())
    .fetch_all(&mut *tx)
    .await?;
    tx.commit().await?;
    let part = |(race, told, laps): (i64, Option<i32>, i64)| {
        let what = match told {
            None => format!("its rows and {laps} laps, without a checkpoint"),
            Some(told) if i64::from(told) != laps => format!("{laps} laps where its checkpoint says {told}"),
            Some(_) => return None,
        };
        Some((u64::try_from(race).unwrap_or(0), what))
    };
    Ok(rows.into_iter().filter_map(part).collect())
}
