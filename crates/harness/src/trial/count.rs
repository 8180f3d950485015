//! Round trips of a trial that does not pass through the proxy: counted in an ingestion of their own, whose time does not count.

use sqlx::postgres::PgPoolOptions;
use tokio_util::sync::CancellationToken;

use super::drive::{Broken, Lab, Progress};
use super::plan::TrialPlan;
use super::record::Exit;
use super::undisturbed::Undisturbed;

/// Ingests the first revision once through a proxy in front of PostgreSQL. `None`: it did not finish, or nothing could be read.
///
/// # Errors
/// When the environment fails.
pub async fn round_trips(
    lab: &Lab,
    plan: &TrialPlan,
    progress: &dyn Progress,
    cancel: &CancellationToken,
) -> Result<Option<u64>, Broken> {
    let Some(revision) = plan.revisions.first() else { return Ok(None) };
    progress.phase("counting round trips");
    let dir = lab.out.join("trials").join(format!("{:03}-{}-count", plan.number, plan.profile));
    let database = lab.templates.create(&lab.template, &format!("{}_{}_count", plan.scenario, plan.number)).await?;
    let pool = PgPoolOptions::new().max_connections(2).connect(database.admin_url().expose()).await?;
    let once = Undisturbed {
        lab,
        plan,
        revision,
        database: &database,
        pool: &pool,
        dir: &dir,
        counted: true,
        progress,
        cancel,
    };
    let done = once.run().await;
    pool.close().await;
    let removed = database.remove().await;
    let _ = std::fs::remove_dir_all(&dir);
    let _ = std::fs::remove_dir(lab.out.join("trials"));
    removed?;
    let done = done?;
    let whole = matches!(done.attempts.as_slice(), [only] if matches!(only.attempt.exit, Exit::Code(_)));
    Ok(done.round_trips.filter(|_| whole))
}
