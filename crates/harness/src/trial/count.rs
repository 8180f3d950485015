//! Round trips of a trial that does not pass through the proxy: counted in an ingestion of their own, whose time does not count.

use std::collections::BTreeMap;
use std::sync::Arc;

use sqlx::postgres::PgPoolOptions;
use tokio_util::sync::CancellationToken;

use super::attempt::{self, Watch};
use super::drive::{Broken, Lab, Progress};
use super::faults::Faults;
use super::plan::TrialPlan;
use super::record::Exit;
use crate::world::action::World;
use crate::world::liverc::Liverc;
use crate::world::wires::{Wanted, Wires};

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
    std::fs::create_dir_all(&dir).map_err(Broken::io(format!("making {}", dir.display())))?;
    let database = lab.templates.create(&lab.template, &format!("{}_{}_count", plan.scenario, plan.number)).await?;
    let pool = PgPoolOptions::new().max_connections(2).connect(database.admin_url().expose()).await?;
    let liverc = Liverc::start().await.map_err(Broken::io("starting the LiveRC mock"))?;
    let pages = Arc::clone(revision);
    liverc.serve(revision.event_id, revision.order.clone(), Arc::new(move |page| pages.page(page))).await;
    let (wanted, network) = (Wanted { database: true, liverc: false }, crate::scenario::Network::default());
    let url = database.engine_url();
    let wires = Wires::start(wanted, &network, &lab.server, &url, liverc.address(), plan.seed)
        .await
        .map_err(Broken::io("starting the proxy"))?;
    let world = World {
        server: &lab.server,
        pool: &pool,
        database: database.name(),
        role: lab.server.engine_role(),
        engine_url: url.clone(),
        wires: &wires,
        liverc: &liverc,
        disk: None,
        standby: None,
    };
    let mut faults = Faults::new(world, &[], false);
    let watch = Watch {
        spec: lab.engine_of(plan),
        plan,
        revision,
        ingestion: 0,
        database_url: wires.database_url(&url),
        liverc_url: wires.liverc_url(liverc.address()),
        liverc: &liverc,
        dir: &dir,
        progress,
        cancel,
    };
    let done = attempt::until_done(&watch, &mut BTreeMap::new(), &mut faults).await;
    drop(faults);
    let trips = wires.round_trips();
    wires.close().await;
    pool.close().await;
    let removed = database.remove().await;
    let _ = std::fs::remove_dir_all(&dir);
    let _ = std::fs::remove_dir(lab.out.join("trials"));
    removed?;
    let whole = matches!(done?.as_slice(), [only] if matches!(only.attempt.exit, Exit::Code(_)));
    Ok(trips.filter(|_| whole))
}
