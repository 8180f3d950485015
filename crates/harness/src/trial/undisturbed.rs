//! An ingestion in which nothing goes wrong, with a LiveRC of its own.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use sandbox::postgres::Database;
use sqlx::postgres::PgPool;
use tokio_util::sync::CancellationToken;

use super::attempt::{self, Watch, Watched};
use super::drive::{Broken, Lab, Progress};
use super::faults::Faults;
use super::plan::{Revision, TrialPlan};
use crate::world::action::World;
use crate::world::liverc::Liverc;
use crate::world::wires::{Wanted, Wires};

/// What is ingested, and where.
pub struct Undisturbed<'a> {
    /// What all trials share.
    pub lab: &'a Lab,
    /// The trial that it belongs to.
    pub plan: &'a TrialPlan,
    /// The event.
    pub revision: &'a Arc<Revision>,
    /// Where to.
    pub database: &'a Database,
    /// The harness's connections to it.
    pub pool: &'a PgPool,
    /// Where feed and log go; made here.
    pub dir: &'a Path,
    /// Whether it passes through a proxy, which counts.
    pub counted: bool,
    /// Progress.
    pub progress: &'a dyn Progress,
    /// The user's Ctrl-C.
    pub cancel: &'a CancellationToken,
}

/// What came of it.
pub struct Ingested {
    /// The engine's processes.
    pub attempts: Vec<Watched>,
    /// Round trips; `None`: they were not counted, or could not be read.
    pub round_trips: Option<u64>,
}

impl Undisturbed<'_> {
    /// Ingests it once.
    ///
    /// # Errors
    /// When the environment fails.
    pub async fn run(&self) -> Result<Ingested, Broken> {
        let Self { lab, plan, revision, database, pool, dir, progress, cancel, .. } = *self;
        std::fs::create_dir_all(dir).map_err(Broken::io(format!("making {}", dir.display())))?;
        let liverc = Liverc::start().await.map_err(Broken::io("starting the LiveRC mock"))?;
        let pages = Arc::clone(revision);
        liverc.serve(revision.event_id, revision.order.clone(), Arc::new(move |page| pages.page(page))).await;
        let (wanted, network) = (Wanted { database: self.counted, liverc: false }, crate::scenario::Network::default());
        let url = database.engine_url();
        let wires = Wires::start(wanted, &network, &lab.server, &url, liverc.address(), plan.seed)
            .await
            .map_err(Broken::io("starting the proxy"))?;
        let world = World {
            server: &lab.server,
            pool,
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
            dir,
            progress,
            cancel,
        };
        let attempts = attempt::until_done(&watch, &mut BTreeMap::new(), &mut faults).await;
        drop(faults);
        let round_trips = wires.round_trips();
        wires.close().await;
        Ok(Ingested { attempts: attempts?, round_trips })
    }
}
