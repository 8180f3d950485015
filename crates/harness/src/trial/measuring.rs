//! What can only be measured of the whole server: its CPU, memory and WAL, and its statements with them. A trial that shares
//! the server with others measures none of it.

use std::collections::BTreeMap;
use std::time::Duration;

use sandbox::postgres::{Lsn, Meter, wal_position};
use sqlx::PgPool;

use super::drive::{Broken, Lab};
use super::observe::{resources, statements};
use super::plan::TrialPlan;
use super::record::{SCHEMA, StatementCost, TrialRecord};
use crate::clock::{monotonic_us, now_rfc3339};

/// How often the server's memory is sampled. Reading it walks page tables, so not more often.
const METER_EVERY: Duration = Duration::from_millis(50);

/// The state before an ingestion.
pub struct Begun {
    statements: Option<Vec<StatementCost>>,
    meter: Option<Meter>,
    wal: Lsn,
    own_cpu_us: u64,
}

/// What was measured. By default nothing.
#[derive(Default)]
pub struct Measured {
    /// Statements of the engine's role before the ingestion.
    pub statements_before: Option<Vec<StatementCost>>,
    /// CPU and memory of the server.
    pub postgres: Option<sandbox::postgres::Measured>,
    /// WAL written, bytes.
    pub wal_bytes: Option<u64>,
    /// CPU of the harness, µs.
    pub harness_cpu_us: Option<u64>,
}

impl Begun {
    /// Makes a CHECKPOINT and begins.
    ///
    /// # Errors
    /// When the server does not answer.
    pub async fn now(lab: &Lab, pool: &PgPool, database: &str) -> Result<Self, Broken> {
        sqlx::query("CHECKPOINT").execute(pool).await?;
        let statements = statements::read(&lab.admin, database, &lab.server.engine_role()).await?;
        let meter = lab.server.meter(METER_EVERY).ok();
        let wal = wal_position(&mut *pool.acquire().await?).await?;
        Ok(Self { statements, meter, wal, own_cpu_us: resources::own_cpu_us() })
    }

    /// Ends, right after the ingestion.
    ///
    /// # Errors
    /// When the server does not answer.
    pub async fn end(self, pool: &PgPool) -> Result<Measured, Broken> {
        let harness_cpu_us = Some(resources::own_cpu_us() - self.own_cpu_us);
        // A connection of before may not have survived a fault.
        let wal_bytes = Some(wal_position(&mut *pool.acquire().await?).await?.bytes_since(self.wal));
        let postgres = match self.meter {
            Some(meter) => meter.finish().await.ok(),
            None => None,
        };
        Ok(Measured { statements_before: self.statements, postgres, wal_bytes, harness_cpu_us })
    }
}

/// The record of a trial that begins now.
#[must_use]
pub fn blank(plan: &TrialPlan) -> TrialRecord {
    TrialRecord {
        schema: SCHEMA,
        trial: plan.number,
        scenario: plan.scenario.clone(),
        profile: plan.profile.clone(),
        settings: plan.settings.clone(),
        in_set: plan.in_set.clone(),
        seed: plan.seed,
        started_at: now_rfc3339(),
        started_us: monotonic_us(),
        trial_us: 0,
        ingestions: Vec::new(),
        faults: Vec::new(),
        beside: Vec::new(),
        aftermath: Default::default(),
        liverc: None,
        sampler: None,
        limits: plan.limits.clone(),
        metrics: BTreeMap::new(),
        stages: BTreeMap::new(),
        progress: Vec::new(),
        statements: Vec::new(),
        judgements: Vec::new(),
        story: Vec::new(),
        artifacts: None,
        reproduce: plan.reproduce.clone(),
        psql: None,
        broken: None,
        load: None,
    }
}
