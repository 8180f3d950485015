//! After the load: waits until no job is live, and reads every event that was asked for.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use contract::env;
use futures::{StreamExt as _, TryStreamExt as _};
use sqlx::PgPool;

use super::plan::LoadPlan;
use crate::synth::rows::{self, RowMap};
use crate::trial::attempt::{EngineSpec, rehash};
use crate::trial::drive::Broken;
use crate::trial::observe::database::{self, Expected};
use crate::trial::plan::Revision;
use crate::trial::record::{Ingestion, Purpose};

/// How often is looked whether a job is live.
const LOOK: Duration = Duration::from_millis(50);
/// Events that are read at once.
const AT_ONCE: usize = 2;

/// Waits until no job is queued or running, at most so long. `false`: some are still.
pub async fn drained(pool: &PgPool, patience: Duration) -> bool {
    let until = tokio::time::Instant::now() + patience;
    loop {
        let live: Result<i64, _> =
            sqlx::query_scalar("SELECT count(*) FROM ingest_jobs WHERE state IN ('queued', 'running')")
                .fetch_one(pool)
                .await;
        if live.is_ok_and(|n| n == 0) {
            return true;
        }
        if tokio::time::Instant::now() > until {
            return false;
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// Reads the events of a load, those alone of which a job was made, as ingestions that a trial records.
///
/// # Errors
/// When the database does not answer.
pub async fn ingestions(
    plan: &LoadPlan,
    pool: &PgPool,
    map: &RowMap,
    spec: &EngineSpec,
    database_url: &str,
    asked: impl Fn(u64) -> bool,
) -> Result<Vec<Ingestion>, Broken> {
    let events: Vec<&Arc<Revision>> = plan.events.iter().filter(|e| asked(e.event_id)).collect();
    futures::stream::iter(events)
        .map(|event| ingestion(event, pool, map, spec, database_url))
        .buffered(AT_ONCE)
        .try_collect()
        .await
}

async fn ingestion(
    event: &Arc<Revision>,
    pool: &PgPool,
    map: &RowMap,
    spec: &EngineSpec,
    database_url: &str,
) -> Result<Ingestion, Broken> {
    let synth = event.synth.clone();
    let rows = move |kind, group| rows::group_rows(&synth, kind, group);
    let expected = Expected { tables: &event.expected, rows: &rows };
    let mut observed = database::snapshot(pool, map, event.event_id, &expected, None).await?;
    if !observed.checkpoints.is_empty() {
        let vars = BTreeMap::from([(env::DATABASE_URL.to_owned(), database_url.into())]);
        // Another engine's settings mean nothing to the built-in one, which then looks for it.
        let built_in = EngineSpec::built_in().map_err(Broken::io("finding this program"))?;
        rehash(if spec.built_in { spec } else { &built_in }, vars, event.event_id, &mut observed).await?;
    }
    Ok(Ingestion {
        purpose: Purpose::Import,
        event_id: event.event_id,
        attempts: Vec::new(),
        expected: event.expected.clone(),
        expect: event.expect.clone(),
        observed,
        wall_us: 0,
        wal_bytes: None,
        changes: None,
        interludes: Vec::new(),
        wire: None,
    })
}
