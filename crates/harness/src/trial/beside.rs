//! What goes on beside the engine: vacuum, other writers, other events.

use std::path::Path;
use std::sync::Arc;

use sandbox::postgres::Database;
use sqlx::postgres::PgPool;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::attempt::Watch;
use super::drive::{Broken, Lab, Progress};
use super::observe::database::{self as observe, Expected};
use super::plan::Revision;
use super::record::Exit;
use super::undisturbed::Undisturbed;
use crate::ab::conditions::Load;
use crate::synth::rows;
use crate::world::cores::{self, Kept};

/// A load that goes on until it is ended.
pub struct Background {
    stop: CancellationToken,
    tasks: Vec<(&'static str, JoinHandle<sqlx::Result<u64>>)>,
    kept: Option<Kept>,
}

impl Background {
    /// Starts what a plan asks for.
    ///
    /// # Errors
    /// When the server's processes cannot be kept on one core.
    pub fn start(lab: &Lab, pool: &PgPool, load: Load) -> Result<Self, Broken> {
        let kept = match load.one_core {
            true => {
                let kept = cores::keep_on_first(lab.server.postmaster()?);
                Some(kept.map_err(Broken::io("keeping PostgreSQL on one core"))?)
            }
            false => None,
        };
        let stop = CancellationToken::new();
        let mut tasks = Vec::new();
        if load.vacuum {
            tasks.push(("vacuum", tokio::spawn(vacuum(pool.clone(), stop.clone()))));
        }
        if load.writes {
            tasks.push(("background writes", tokio::spawn(writes(pool.clone(), stop.clone()))));
        }
        Ok(Self { stop, tasks, kept })
    }

    /// Ends it.
    ///
    /// # Errors
    /// When a load did not do what it was there for: what was measured then was something else.
    pub async fn finish(self) -> Result<(), Broken> {
        self.stop.cancel();
        for (what, task) in self.tasks {
            if task.await?? == 0 {
                return Err(Broken::io(what)(std::io::Error::other("it did not do anything while the engine worked")));
            }
        }
        drop(self.kept);
        Ok(())
    }
}

async fn vacuum(pool: PgPool, stop: CancellationToken) -> sqlx::Result<u64> {
    let mut done = 0;
    while !stop.is_cancelled() {
        sqlx::query("VACUUM (ANALYZE) laps, results, races, entries, drivers").execute(&pool).await?;
        done += 1;
    }
    Ok(done)
}

async fn writes(pool: PgPool, stop: CancellationToken) -> sqlx::Result<u64> {
    sqlx::raw_sql(
        "CREATE SCHEMA IF NOT EXISTS harness; CREATE TABLE IF NOT EXISTS harness.noise (n bigint, text text)",
    )
    .execute(&pool)
    .await?;
    let mut done = 0;
    while !stop.is_cancelled() {
        sqlx::query("INSERT INTO harness.noise SELECT n, repeat('x', 100) FROM generate_series(1, 500) n")
            .execute(&pool)
            .await?;
        done += 1;
    }
    Ok(done)
}

/// Says nothing: the bar speaks of the event that is measured.
struct Silent;

impl Progress for Silent {
    fn phase(&self, _: &str) {}
    fn races(&self, _: u64, _: u64) {}
}

/// The ingestion that is measured, and where it happens.
pub struct Beside<'a> {
    /// The ingestion that is measured.
    pub watch: &'a Watch<'a>,
    /// What all trials share.
    pub lab: &'a Lab,
    /// The trial's database.
    pub database: &'a Database,
    /// The harness's connections to it.
    pub pool: &'a PgPool,
}

impl Beside<'_> {
    /// Does the work with everything beside it that the plan asks for. Gives also what was wrong with the other events.
    ///
    /// # Errors
    /// When the environment fails.
    pub async fn run<T>(&self, work: impl Future<Output = T>) -> Result<(T, Vec<String>), Broken> {
        let background = Background::start(self.lab, self.pool, self.watch.plan.load)?;
        let (done, wrong) = tokio::join!(work, self.events());
        background.finish().await?;
        Ok((done, wrong?))
    }

    /// Ingests the plan's other events into the same database, all at once, and compares every row of each.
    async fn events(&self) -> Result<Vec<String>, Broken> {
        let all = self.watch.plan.beside.iter().enumerate().map(|(n, revision)| async move {
            self.event(&self.watch.dir.join(format!("beside-{}", n + 1)), revision).await
        });
        Ok(futures::future::try_join_all(all).await?.into_iter().flatten().collect())
    }

    async fn event(&self, dir: &Path, revision: &Arc<Revision>) -> Result<Option<String>, Broken> {
        let Self { watch, lab, database, pool } = self;
        let once = Undisturbed {
            lab,
            plan: watch.plan,
            revision,
            database,
            pool,
            dir,
            counted: false,
            progress: &Silent,
            cancel: watch.cancel,
        };
        let attempts = once.run().await?.attempts;
        let synth = revision.synth.clone();
        let rows = move |kind, group| rows::group_rows(&synth, kind, group);
        let expected = Expected { tables: &revision.expected, rows: &rows };
        let observed = observe::snapshot(pool, &lab.map, revision.event_id, &expected, None).await?;
        let complete = attempts.last().is_some_and(|a| a.attempt.exit == Exit::Code(0));
        let right = observed.tables == revision.expected && observed.differing.is_empty();
        Ok((!(complete && right)).then(|| {
            let what = if complete { "has rows unlike the expected ones" } else { "was not finished" };
            format!("the event {} that was ingested at the same time {what}", revision.event_id)
        }))
    }
}
