//! Drives a trial: create database → start the engine → watch → settle → look → ingest once more → record → drop.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use sandbox::postgres::{Database, Server, Template, Templates};
use sqlx::postgres::PgPool;
use tokio_util::sync::CancellationToken;

use super::attempt::{self, EngineSpec, Watch};
use super::beside::Beside;
use super::count;
use super::databases::{Connected, Databases};
use super::faults::Faults;
use super::measure::{self, Around};
use super::measuring::{self, Begun, Measured};
use super::observe::database::{self, Expected};
use super::observe::sampler::{Sampler, Seen};
use super::observe::{aftermath, changes, statements};
use super::plan::{Revision, TrialPlan};
use super::record::{Ingestion, Purpose, SamplerObservation, Snapshot, StatementCost, TrialRecord};
use crate::clock::monotonic_us;
use crate::faults::{Action, When};
use crate::oracle::{self, Verdict};
use crate::stats::Metric;
use crate::synth::rows::{self, RowMap};
use crate::world::action::{World, standby_for};
use crate::world::disk::Disk;
use crate::world::liverc::Liverc;
use crate::world::wires::{Wanted, Wires};

/// What all trials of a run share.
#[derive(Debug)]
pub struct Lab {
    /// The server.
    pub server: Arc<Server>,
    /// Databases of trials that run side by side.
    pub databases: Databases,
    /// Its template databases.
    pub templates: Templates,
    /// The migrated one.
    pub template: Template,
    /// How rows are read.
    pub map: RowMap,
    /// How an engine is started.
    pub engine: EngineSpec,
    /// The harness's connections to the server's own database.
    pub admin: PgPool,
    /// The run's directory.
    pub out: PathBuf,
}

impl Lab {
    /// The engine of a trial: its own, or the run's.
    #[must_use]
    pub fn engine_of<'a>(&'a self, plan: &'a TrialPlan) -> &'a EngineSpec {
        plan.engine.as_ref().unwrap_or(&self.engine)
    }
}

/// Told while a trial runs, for a progress bar.
pub trait Progress: Send + Sync {
    /// What is being done now.
    fn phase(&self, text: &str);
    /// Races durable so far, of how many.
    fn races(&self, done: u64, of: u64);
}

/// Why a trial could not be finished. Never the engine's doing.
#[derive(Debug, thiserror::Error)]
pub enum Broken {
    /// The user stopped it.
    #[error("stopped by the user")]
    Interrupted,
    /// The server failed the harness.
    #[error("PostgreSQL: {0}")]
    Sandbox(#[from] sandbox::postgres::Error),
    /// A query of the harness failed.
    #[error("a query of the harness failed: {0}")]
    Sql(#[from] sqlx::Error),
    /// A file or a process.
    #[error("{what}: {source}")]
    Io {
        /// What was tried.
        what: String,
        /// Why it failed.
        source: std::io::Error,
    },
    /// A stop (SIGSTOP) that nothing asked for.
    #[error("the engine's process {0} was stopped, and no step held it: somebody else did")]
    Stopped(u32),
    /// A fault that could not be undone.
    #[error("a fault could not be healed: {0}")]
    Healing(String),
    /// A thread of the harness died.
    #[error("a task of the harness died: {0}")]
    Task(#[from] tokio::task::JoinError),
}

impl Broken {
    /// An I/O error with what was tried.
    pub fn io(what: impl Into<String>) -> impl FnOnce(std::io::Error) -> Self {
        let what = what.into();
        move |source| Self::Io { what, source }
    }
}

/// Runs a trial to its record. Never fails: what broke it is in the record, which then proves nothing.
pub async fn run(lab: &Lab, plan: &TrialPlan, progress: &dyn Progress, cancel: &CancellationToken) -> TrialRecord {
    let mut record = measuring::blank(plan);
    let dir = lab.out.join("trials").join(format!("{:03}-{}", plan.number, plan.profile));
    let broken = drive(lab, plan, &dir, &mut record, progress, cancel).await.err();
    record.broken = broken.map(|b| b.to_string());
    if record.broken.is_none() && !plan.side_by_side {
        add_round_trips(lab, plan, &mut record, progress, cancel).await;
    }
    record.trial_us = monotonic_us() - record.started_us;
    record.judgements = oracle::judge(&record, &plan.oracles);
    record.story = super::story::tell(&record);
    let passed = record.judgements.iter().all(|j| matches!(j.verdict, Verdict::Held | Verdict::NotJudged));
    if passed && !plan.keep {
        let _ = std::fs::remove_dir_all(&dir);
        // Only when the last one is gone, too. Another trial may be about to make its own in it.
        if !plan.side_by_side {
            let _ = std::fs::remove_dir(lab.out.join("trials"));
        }
    } else {
        keep(&dir, "postgres.log", &lab.server.log_tail().await);
        record.artifacts = dir.strip_prefix(&lab.out).ok().map(|p| p.display().to_string());
    }
    record
}

/// Adds the round trips of a trial in which no proxy counted them: those of an earlier trial, or of an ingestion of their own.
async fn add_round_trips(
    lab: &Lab,
    plan: &TrialPlan,
    record: &mut TrialRecord,
    progress: &dyn Progress,
    cancel: &CancellationToken,
) {
    // What is not reported of statements is not reported of round trips (DESIGN 8).
    let plain = record.ingestions.first().is_some_and(|first| measure::uninterrupted(first, &record.faults));
    if !plain || !plan.extras.round_trips || record.metrics.contains_key(&Metric::RoundTrips) {
        return;
    }
    let trips = match plan.round_trips {
        Some(trips) => Some(trips),
        None => count::round_trips(lab, plan, progress, cancel).await.unwrap_or_else(|error| {
            tracing::warn!(%error, "round trips could not be counted");
            None
        }),
    };
    if let Some(trips) = trips {
        record.metrics.insert(Metric::RoundTrips, trips as f64);
    }
}

async fn drive(
    lab: &Lab,
    plan: &TrialPlan,
    dir: &Path,
    record: &mut TrialRecord,
    progress: &dyn Progress,
    cancel: &CancellationToken,
) -> Result<(), Broken> {
    progress.phase("making the database");
    std::fs::create_dir_all(dir).map_err(Broken::io(format!("making {}", dir.display())))?;
    let connected = match plan.side_by_side {
        true => lab.databases.take(&lab.templates, &lab.template).await?,
        false => {
            let name = format!("{}_{}", plan.scenario, plan.number);
            Connected::to(lab.templates.create(&lab.template, &name).await?).await?
        }
    };
    let mut small_disk = None;
    let outcome = with_database(lab, plan, dir, &connected, record, &mut small_disk, progress, cancel).await;
    if plan.side_by_side && small_disk.is_none() && !plan.keep {
        match &outcome {
            Ok(()) => lab.databases.give_back(connected).await,
            // It stays with the server and goes with it.
            Err(_) => connected.pool.close().await,
        }
        return outcome;
    }
    let Connected { database, pool } = connected;
    pool.close().await;
    if plan.keep && small_disk.is_none() {
        let url = database.admin_url();
        let kept = lab.databases.keep(database).await?;
        record.psql = Some(format!("psql '{}'", url.with_database(&kept)));
    } else {
        let removed = database.remove().await;
        if let Some(disk) = small_disk {
            disk.remove(&lab.admin).await;
        }
        outcome?;
        return removed.map_err(Into::into);
    }
    outcome
}

#[expect(clippy::too_many_arguments, reason = "called once; a struct for it would only be taken apart again")]
async fn with_database(
    lab: &Lab,
    plan: &TrialPlan,
    dir: &Path,
    connected: &Connected,
    record: &mut TrialRecord,
    small_disk: &mut Option<Disk>,
    progress: &dyn Progress,
    cancel: &CancellationToken,
) -> Result<(), Broken> {
    let Connected { database, pool } = connected;
    let liverc = Liverc::start().await.map_err(Broken::io("starting the LiveRC mock"))?;
    if let Some(share) = plan.background_errors {
        liverc.set_background_errors(share, plan.background_seed);
    }
    liverc.set_latency(plan.network.liverc_latency.map_or(Duration::ZERO, |span| span.0));
    let half_statements = match plan.faults.iter().any(at_mid_batch) {
        true => attempt::sends_statements(lab.engine_of(plan), plan).await?,
        false => false,
    };
    let mut wanted = Wanted::by(&plan.network, &plan.faults, half_statements);
    wanted.database |= plan.count_frames;
    let engine_url = database.engine_url();
    let wires = Wires::start(wanted, &plan.network, &lab.server, &engine_url, liverc.address(), plan.seed)
        .await
        .map_err(Broken::io("starting the proxies"))?;
    let disk = match plan.faults.iter().any(|f| f.action() == Action::DbFull) {
        true => Some(Disk::make(&lab.server, pool, plan.number).await),
        false => None,
    };
    // Before the engine starts, and with the trial's database in it.
    let standby = match plan.faults.iter().find_map(|f| standby_for(f.action())) {
        Some(replication) => {
            progress.phase("making a standby");
            let made = lab.server.add_standby(replication).await;
            Some(made.map(|()| replication).map_err(|e| format!("no standby can be had: {e}")))
        }
        None => None,
    };
    let has_standby = matches!(standby, Some(Ok(_)));
    let world = World {
        server: &lab.server,
        pool,
        database: database.name(),
        role: lab.server.engine_role(),
        engine_url,
        wires: &wires,
        liverc: &liverc,
        disk: disk.as_ref(),
        standby,
    };
    let mut faults = Faults::new(world, &plan.faults, half_statements);
    let trial = Trial { lab, plan, dir, database, pool, liverc: &liverc, wires: &wires, progress, cancel };
    let outcome = trial.ingest_all(record, &mut faults).await;
    record.faults = faults.records();
    drop(faults);
    if !matches!(outcome, Err(Broken::Interrupted)) {
        if let Ok(aftermath) = aftermath::settle(pool, &lab.server.engine_role(), plan.settle).await {
            record.aftermath = aftermath;
        }
        wires.tell_lost_answers(&liverc);
        record.liverc = Some(liverc.take_observation());
    }
    if has_standby && let Err(error) = lab.server.remove_standby().await {
        tracing::warn!(%error, "the standby of a failover that did not come stays");
    }
    keep_wire_log(&wires, dir);
    wires.close().await;
    if let Some(Ok(disk)) = disk {
        *small_disk = Some(disk);
    }
    outcome
}

fn at_mid_batch(fault: &crate::faults::Fault) -> bool {
    matches!(fault.when(), When::Step(trigger) if trigger.step == contract::Step::MidBatch)
}

/// Writes the proxies' decisions beside the feed: what reproduces a trial that did not pass.
pub fn keep_wire_log(wires: &Wires, dir: &Path) {
    let lines: Vec<String> = wires.log().iter().filter_map(|f| serde_json::to_string(f).ok()).collect();
    if !lines.is_empty() {
        keep(dir, "wire.jsonl", &lines.join("\n"));
    }
}

/// Writes an artefact. One that cannot be written takes no verdict away.
pub fn keep(dir: &Path, name: &str, text: &str) {
    if let Err(error) = std::fs::write(dir.join(name), text) {
        tracing::warn!(%error, "{name} could not be kept in {}", dir.display());
    }
}

struct Trial<'a> {
    lab: &'a Lab,
    plan: &'a TrialPlan,
    dir: &'a Path,
    database: &'a Database,
    pool: &'a PgPool,
    liverc: &'a Liverc,
    wires: &'a Wires,
    progress: &'a dyn Progress,
    cancel: &'a CancellationToken,
}

impl Trial<'_> {
    async fn ingest_all(&self, record: &mut TrialRecord, faults: &mut Faults<'_>) -> Result<(), Broken> {
        let mut around = Around::default();
        let mut durable = Vec::new();
        let last = self.plan.revisions.len();
        let passes = self.plan.revisions.iter().map(|r| (Purpose::Revision(r.number), r));
        let again = self.plan.revisions.last().filter(|_| self.plan.extras.again).map(|r| (Purpose::Again, r));
        for (index, (purpose, revision)) in passes.chain(again).enumerate() {
            let first = index == 0;
            self.progress.phase(&match purpose {
                Purpose::Revision(n) if last > 1 => format!("ingesting revision {n} of {last}"),
                Purpose::Revision(_) => "ingesting".to_owned(),
                Purpose::Again => "ingesting once more".to_owned(),
                Purpose::Import => "importing".to_owned(),
            });
            if purpose != Purpose::Again {
                self.serve(revision).await;
            }
            let earlier = record.ingestions.last().map(|i| i.observed.clone());
            let done =
                self.ingest(index, purpose, revision, first.then_some(&mut *record), earlier.as_ref(), faults).await?;
            if first {
                around = done.around;
                durable = done.durable;
                record.statements = done.statements;
            } else if purpose == Purpose::Again {
                around.again_statements = done.around.statements.map(|(calls, _)| calls);
            }
            if let Some(seen) = done.snapshots {
                let all = record.sampler.get_or_insert_default();
                all.samples += seen.samples;
                all.partial.extend(seen.partial);
            }
            record.ingestions.push(done.ingestion);
        }
        record.faults = faults.records();
        around.database_ready_us = faults.database_ready_us;
        record.progress = measure::progress(&durable, record.started_us);
        record.metrics = measure::metrics(&record.ingestions, &record.faults, &around);
        Ok(())
    }

    async fn serve(&self, revision: &Arc<Revision>) {
        let pages = Arc::clone(revision);
        self.liverc.serve(revision.event_id, revision.order.clone(), Arc::new(move |page| pages.page(page))).await;
    }

    async fn ingest(
        &self,
        index: usize,
        purpose: Purpose,
        revision: &Arc<Revision>,
        record: Option<&mut TrialRecord>,
        earlier: Option<&Snapshot>,
        faults: &mut Faults<'_>,
    ) -> Result<Ingested, Broken> {
        let role = self.lab.server.engine_role();
        // What is there before, so that it can be told what changed.
        let laps = self.plan.revisions.iter().map(|r| r.laps()).max().unwrap_or(0);
        let safely = !self.plan.faults.is_empty();
        let before = changes::keep_rows(self.pool, &self.lab.map, revision.event_id, laps, safely).await?;
        let horizon = database::horizon(self.pool).await?;
        let alone = match self.plan.side_by_side {
            true => None,
            false => Some(Begun::now(self.lab, self.pool, self.database.name()).await?),
        };

        let mut stages = BTreeMap::new();
        let watch = Watch {
            spec: self.lab.engine_of(self.plan),
            plan: self.plan,
            revision,
            ingestion: u32::try_from(index).unwrap_or(u32::MAX),
            database_url: self.wires.database_url(&self.database.engine_url()),
            liverc_url: self.wires.liverc_url(self.liverc.address()),
            liverc: self.liverc,
            dir: self.dir,
            progress: self.progress,
            cancel: self.cancel,
        };
        let wire_before = self.wires.counts();
        let in_faults = match purpose {
            Purpose::Revision(number) => Some(number),
            Purpose::Again | Purpose::Import => None,
        };
        faults.begin(in_faults, revision.event_id).await;
        let atomic = in_faults.is_some() && !self.plan.faults.is_empty();
        let sampler = (atomic || alone.is_some())
            .then(|| Sampler::start(self.database.admin_url(), role.clone(), revision.event_id, atomic));
        let attempts = attempt::until_done(&watch, &mut stages, faults);
        // Other events and loads are there for the ingestion that is measured.
        let (attempts, wrong_beside) = match record {
            Some(_) => {
                Beside { watch: &watch, lab: self.lab, database: self.database, pool: self.pool }.run(attempts).await?
            }
            None => (attempts.await, Vec::new()),
        };
        let seen = match sampler {
            Some(sampler) => sampler.finish().await,
            None => Seen::default(),
        };
        let attempts = attempts?;
        let of_record: Vec<_> = attempts.iter().map(|a| &a.attempt).collect();
        let interludes = faults.end(&of_record).await?;

        let measured = match alone {
            Some(begun) => begun.end(self.pool).await?,
            None => Measured::default(),
        };
        let settled = aftermath::settle(self.pool, &role, self.plan.settle).await?;
        tracing::debug!(?settled, "the engine's sessions");
        // Sessions that are gone have sent their last frame.
        let wire = self.wires.counts().zip(wire_before).map(|(after, before)| after.since(before));
        let costs = match measured.statements_before {
            Some(before) => statements::read(&self.lab.admin, self.database.name(), &role)
                .await?
                .map(|after| statements::since(&before, &after)),
            None => None,
        };
        self.progress.phase("comparing every row");
        let synth = revision.synth.clone();
        let rows = move |kind, group| rows::group_rows(&synth, kind, group);
        let expected = Expected { tables: &revision.expected, rows: &rows };
        let mut observed =
            database::snapshot(self.pool, &self.lab.map, revision.event_id, &expected, Some(horizon)).await?;
        attempt::recompute_hashes(&watch, &mut observed, earlier).await?;
        let changes = changes::changes(self.pool, &self.lab.map, revision.event_id, &before).await?;

        let wall_us = match (attempts.first(), attempts.last()) {
            (Some(first), Some(last)) => last.attempt.ended_us.saturating_sub(first.attempt.started_us),
            _ => 0,
        };
        let durable = attempts.iter().flat_map(|a| a.durable.iter().copied()).collect();
        if let Some(record) = record {
            record.stages = stages;
            record.beside = wrong_beside;
        }
        Ok(Ingested {
            ingestion: Ingestion {
                purpose,
                event_id: revision.event_id,
                attempts: attempts.into_iter().map(|a| a.attempt).collect(),
                expected: revision.expected.clone(),
                expect: revision.expect.clone(),
                observed,
                wall_us,
                wal_bytes: measured.wal_bytes,
                changes: Some(changes),
                interludes,
                wire,
            },
            around: Around {
                harness_cpu_us: measured.harness_cpu_us,
                postgres_cpu_us: measured.postgres.as_ref().map(|m| m.cpu.total_us()),
                postgres_peak_rss_bytes: measured
                    .postgres
                    .as_ref()
                    .map(|m| m.peak.pss_bytes.unwrap_or(m.peak.rss_bytes)),
                statements: costs
                    .as_ref()
                    .map(|c| (c.iter().map(|s| s.calls).sum(), c.iter().map(|s| s.exec_us).sum())),
                again_statements: None,
                round_trips: wire.map(|w| w.round_trips),
                lock_waits: seen.lock_waits,
                database_ready_us: None,
            },
            durable,
            statements: costs.unwrap_or_default(),
            snapshots: seen.snapshots,
        })
    }
}

/// What an ingestion left, besides its record.
struct Ingested {
    ingestion: Ingestion,
    around: Around,
    durable: Vec<(u64, u64)>,
    statements: Vec<StatementCost>,
    snapshots: Option<SamplerObservation>,
}
