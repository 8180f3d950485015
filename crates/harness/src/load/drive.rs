//! Drives one repetition of a load: create database → serve pages → start the service → ask, while faults strike → heal → drain →
//! end the service → look → judge → drop.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use sandbox::postgres::Database;
use sqlx::postgres::{PgPool, PgPoolOptions};
use tokio_util::sync::CancellationToken;

use super::arrivals::Pattern;
use super::client::Clients;
use super::faults::{self, Faults};
use super::generated::Generated;
use super::generator::{self, Settings};
use super::jobs::{self, Table};
use super::plan::LoadPlan;
use super::processes::{Happened, Service, Surroundings};
use super::record::{EventIs, LoadRecord, Sample, TOLD_FILE};
use super::sample::Sampler;
use super::{feeds, settle, story};
use crate::clock::{monotonic_us, now_rfc3339};
use crate::faults::{Action, Frame, When};
use crate::oracle::{self, Verdict};
use crate::trial::drive::{Broken, Lab, Progress, keep, keep_wire_log};
use crate::trial::observe::aftermath;
use crate::trial::record::{SCHEMA, TrialRecord};
use crate::world::action::World;
use crate::world::liverc::Liverc;
use crate::world::page::Page;
use crate::world::wires::{Wanted, Wires};

/// How long the server of the database may take to notice that a process is gone.
const SETTLE: Duration = Duration::from_secs(20);
/// How long after the last answer what the faults have left may take to heal.
const HEALING: Duration = Duration::from_secs(30);

/// Runs a repetition and judges it. Never fails: what went wrong with the environment is in the record.
pub async fn repetition(
    lab: &Lab,
    plan: &LoadPlan,
    progress: &dyn Progress,
    cancel: &CancellationToken,
) -> TrialRecord {
    let mut record = blank(plan);
    let dir = lab.out.join("trials").join(format!("{:03}-{}", plan.number, plan.profile));
    if let Err(error) = in_database(lab, plan, &dir, &mut record, progress, cancel).await {
        record.broken = Some(error.to_string());
    }
    record.trial_us = monotonic_us().saturating_sub(record.started_us);
    record.judgements = oracle::judge(&record, &plan.oracles);
    record.story = story::tell(&record);
    let passed = record.judgements.iter().all(|j| matches!(j.verdict, Verdict::Held | Verdict::NotJudged));
    if passed && !plan.keep {
        let _ = std::fs::remove_dir_all(&dir);
        let _ = std::fs::remove_dir(lab.out.join("trials"));
    } else {
        keep(&dir, "postgres.log", &lab.server.log_tail().await);
        record.artifacts = dir.strip_prefix(&lab.out).ok().map(|p| p.display().to_string());
    }
    record
}

/// The record of a repetition that begins now.
fn blank(plan: &LoadPlan) -> TrialRecord {
    TrialRecord {
        schema: SCHEMA,
        trial: plan.number,
        scenario: plan.scenario.clone(),
        profile: plan.profile.clone(),
        settings: plan.settings.clone(),
        in_set: None,
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

async fn in_database(
    lab: &Lab,
    plan: &LoadPlan,
    dir: &Path,
    record: &mut TrialRecord,
    progress: &dyn Progress,
    cancel: &CancellationToken,
) -> Result<(), Broken> {
    progress.phase("making the database");
    std::fs::create_dir_all(dir).map_err(Broken::io(format!("making {}", dir.display())))?;
    let database = lab.templates.create(&lab.template, &format!("{}_{}", plan.scenario, plan.number)).await?;
    let outcome = in_world(lab, plan, dir, &database, record, progress, cancel).await;
    if plan.keep {
        let url = database.admin_url();
        let kept = lab.databases.keep(database).await?;
        record.psql = Some(format!("psql '{}'", url.with_database(&kept)));
        return outcome;
    }
    let removed = database.remove().await;
    outcome?;
    removed.map_err(Into::into)
}

async fn in_world(
    lab: &Lab,
    plan: &LoadPlan,
    dir: &Path,
    database: &Database,
    record: &mut TrialRecord,
    progress: &dyn Progress,
    cancel: &CancellationToken,
) -> Result<(), Broken> {
    let pool = PgPoolOptions::new().max_connections(6).connect(database.admin_url().expose()).await?;
    progress.phase("rendering the pages");
    let liverc = serve(plan).await?;
    let engine_url = database.engine_url();
    let wanted = Wanted::by(&plan.network, &plan.faults, false);
    let mut wires = Wires::start(wanted, &plan.network, &lab.server, &engine_url, liverc.address(), plan.seed)
        .await
        .map_err(Broken::io("starting the proxies"))?;
    let port = sandbox::postgres::free_port()
        .ok_or_else(|| Broken::io("finding a port for the server")(std::io::Error::other("none is free")))?;
    let server = std::net::SocketAddr::from(([127, 0, 0, 1], port));
    if plan.faults.iter().any(cuts_clients) {
        wires.before_service(server, plan.seed).await.map_err(Broken::io("starting the clients' proxy"))?;
    }
    let around = Surroundings {
        program: lab.engine.program.clone(),
        database_url: wires.database_url(&engine_url).expose().into(),
        liverc_url: wires.liverc_url(liverc.address()),
        port,
        dir: dir.to_owned(),
    };
    let mut service = Service::new(plan, around, &faults::arming(&plan.faults, plan.spec.workers as usize))?;
    let world = World {
        server: &lab.server,
        pool: &pool,
        database: database.name(),
        role: lab.server.engine_role(),
        engine_url: engine_url.clone(),
        wires: &wires,
        liverc: &liverc,
        disk: None,
        standby: None,
    };
    let mut faults = Faults::new(world, &plan.faults);
    let repetition = Repetition { lab, plan, dir, pool: &pool, progress, cancel };
    let url = wires.service_url(server);
    let asked = repetition.ask(&url, &mut service, &mut faults).await;
    progress.phase("ending the service");
    service.stop().await;
    record.faults = faults.records();
    drop(faults);
    if let Ok(seen) = aftermath::settle(&pool, &lab.server.engine_role(), SETTLE).await {
        record.aftermath = seen;
    }
    let outcome = match asked {
        Ok(asked) => repetition.look(record, &service, asked, &liverc, engine_url.expose()).await,
        Err(error) => Err(error),
    };
    keep_wire_log(&wires, dir);
    wires.close().await;
    pool.close().await;
    outcome
}

/// Whether a fault needs a proxy between clients and server.
fn cuts_clients(fault: &crate::faults::Fault) -> bool {
    fault.action() == Action::ClientReset || matches!(fault.when(), When::Wire { frame: Frame::Import, .. })
}

/// A mock that has the pages of all events ready.
async fn serve(plan: &LoadPlan) -> Result<Liverc, Broken> {
    let liverc = Liverc::start().await.map_err(Broken::io("starting the LiveRC mock"))?;
    liverc.set_latency(plan.network.liverc_latency.map_or(Duration::ZERO, |span| span.0));
    let events = plan.events.clone();
    let ready = tokio::task::spawn_blocking(move || {
        let mut of_race = HashMap::new();
        for (index, event) in events.iter().enumerate() {
            for &race in &event.order {
                of_race.insert(race, index);
                drop(event.page(Page::Race(race)));
            }
            drop(event.page(Page::Event(event.event_id)));
            drop(event.page(Page::EntryList(event.event_id)));
        }
        (events, of_race)
    });
    let (events, of_race) = ready.await?;
    let order: Vec<u64> = events.iter().flat_map(|e| e.order.iter().copied()).collect();
    let first = events.first().map_or(0, |e| e.event_id);
    let of_event: HashMap<u64, usize> = events.iter().enumerate().map(|(i, e)| (e.event_id, i)).collect();
    let render = move |page: Page| {
        let index = match page {
            Page::Event(id) | Page::EntryList(id) => of_event.get(&id),
            Page::Race(id) => of_race.get(&id),
        };
        events.get(*index?)?.page(page)
    };
    liverc.serve(first, order, Arc::new(render)).await;
    Ok(liverc)
}

/// What came of the asking.
struct Asked {
    generated: Generated,
    samples: Vec<Sample>,
}

struct Repetition<'a> {
    lab: &'a Lab,
    plan: &'a LoadPlan,
    dir: &'a Path,
    pool: &'a PgPool,
    progress: &'a dyn Progress,
    cancel: &'a CancellationToken,
}

impl Repetition<'_> {
    /// Starts the service, lets the clients ask while faults strike, and waits until nothing is under way any more.
    async fn ask(&self, url: &str, service: &mut Service, faults: &mut Faults<'_>) -> Result<Asked, Broken> {
        self.progress.phase("starting the service");
        service.start().await?;
        let spec = &self.plan.spec;
        let arrivals = spec
            .arrivals(self.plan.seed)
            .map_err(|why| Broken::io("preparing the arrivals")(std::io::Error::other(why)))?;
        let settings = Settings { drain: spec.drain.0, late_after: self.plan.late_after, ..Settings::new(arrivals) };
        let clients = Clients::new(Arc::new(self.plan.clone()), url, &self.dir.join(TOLD_FILE))
            .map_err(Broken::io("preparing the clients"))?;
        let sampler = Sampler::start(self.pool.clone(), self.lab.server.engine_role(), service.pids());
        self.progress.phase("asking for imports");
        faults.begin();
        let asking = {
            let (clients, cancel) = (Arc::clone(&clients), self.cancel.clone());
            tokio::spawn(async move {
                generator::run(&settings, &cancel, move |request| Arc::clone(&clients).ask(request)).await
            })
        };
        let generated = self.meanwhile(service, faults, asking).await??;
        clients.flush().map_err(Broken::io(format!("writing {TOLD_FILE}")))?;
        if self.cancel.is_cancelled() {
            return Err(Broken::Interrupted);
        }
        self.progress.phase("waiting for what goes on");
        // What a fault began is ended, and every place is filled again, before anything is judged.
        let until = tokio::time::Instant::now() + HEALING;
        while faults.goes_on() && tokio::time::Instant::now() < until {
            self.meanwhile(service, faults, tokio::spawn(tokio::time::sleep(faults::LOOK))).await??;
        }
        faults.end(service).await?;
        self.heal(service, faults).await?;
        let drained = {
            let (pool, drain) = (self.pool.clone(), spec.drain.0);
            tokio::spawn(async move { settle::drained(&pool, drain).await })
        };
        self.meanwhile(service, faults, drained).await??;
        Ok(Asked { generated, samples: sampler.finish().await })
    }

    /// Watches processes and faults until the task is done.
    async fn meanwhile<T>(
        &self,
        service: &mut Service,
        faults: &mut Faults<'_>,
        mut task: tokio::task::JoinHandle<T>,
    ) -> Result<Result<T, Broken>, Broken> {
        loop {
            tokio::select! {
                done = &mut task => return Ok(done.map_err(Into::into)),
                happened = service.next() => self.happened(happened?, service, faults).await?,
                came = faults.next() => faults.came(came, service).await?,
            }
        }
    }

    async fn happened(&self, happened: Happened, service: &mut Service, faults: &mut Faults<'_>) -> Result<(), Broken> {
        match happened {
            Happened::Stopped(index) => faults.stopped(index, service).await,
            Happened::Ended(place, pid, ended) => faults.ended(place, pid, &ended, service),
            Happened::Due => {
                let filled = service.fill_due().await?;
                faults.filled(&filled, service);
                Ok(())
            }
        }
    }

    /// Waits until every place whose process died is filled again.
    async fn heal(&self, service: &mut Service, faults: &mut Faults<'_>) -> Result<(), Broken> {
        let until = tokio::time::Instant::now() + HEALING;
        while !service.is_whole() {
            match tokio::time::timeout_at(until, service.next()).await {
                Ok(happened) => self.happened(happened?, service, faults).await?,
                Err(_) => return Err(Broken::Healing("a process of the service does not come up again".to_owned())),
            }
        }
        Ok(())
    }

    /// Reads the database and the feeds, and holds what was told against them.
    async fn look(
        &self,
        record: &mut TrialRecord,
        service: &Service,
        asked: Asked,
        liverc: &Liverc,
        database_url: &str,
    ) -> Result<(), Broken> {
        self.progress.phase("comparing every row");
        let plan = self.plan;
        let table = Table::read(self.pool).await?;
        record.ingestions =
            settle::ingestions(plan, self.pool, &self.lab.map, &self.lab.engine, database_url, |event| {
                table.knows(event)
            })
            .await?;
        let events: BTreeMap<u64, EventIs> =
            record.ingestions.iter().map(|i| (i.event_id, jobs::event_is(i))).collect();
        let told = table.judge(&self.dir.join(TOLD_FILE), plan, &events)?;
        let of_race: BTreeMap<u64, u64> =
            plan.events.iter().flat_map(|e| e.order.iter().map(|&race| (race, e.event_id))).collect();
        let (runs, feed_errors) = feeds::read(&service.feeds, &of_race)?;
        let pages = liverc.take_observation();
        record.load = Some(Box::new(LoadRecord {
            arrivals: words(plan),
            rate_per_s: rate(&plan.spec.pattern),
            generated: asked.generated,
            told: told.groups,
            patience_us: micros(plan.spec.patience.0),
            recovered: told.recovered,
            failed_calls: told.failed_calls,
            jobs: table.summary(&record.ingestions),
            processes: service.ended.clone(),
            runs,
            feed_errors,
            samples: asked.samples,
            drift: plan.spec.drift.into(),
            pages: pages.requests,
            pages_in_flight: pages.max_in_flight,
        }));
        Ok(())
    }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

/// The rate that a pattern asks for all the time, where it asks for one.
fn rate(pattern: &Pattern) -> Option<f64> {
    match *pattern {
        Pattern::Steady { rate } | Pattern::Soak { rate, .. } => Some(rate),
        Pattern::Ramp { .. } | Pattern::Spike { .. } | Pattern::Users { .. } => None,
    }
}

/// The arrivals in words.
fn words(plan: &LoadPlan) -> String {
    use super::arrivals::Length;
    use crate::format;
    use crate::quantity::Span;
    let span = |d: Duration| Span(d).to_string();
    let pattern = match plan.spec.pattern {
        Pattern::Steady { rate } => format!("steady, {}", format::rate(rate)),
        Pattern::Ramp { from, to, over } => {
            format!("ramp, {} to {} over {}", format::rate(from), format::rate(to), span(over))
        }
        Pattern::Spike { base, peak, at, lasts } => {
            format!("spike, {} and {} from {} on for {}", format::rate(base), format::rate(peak), span(at), span(lasts))
        }
        Pattern::Soak { rate, .. } => format!("soak, {}", format::rate(rate)),
        Pattern::Users { users, think } if think.is_zero() => format!("{users} users"),
        Pattern::Users { users, think } => format!("{users} users who think for {}", span(think)),
    };
    let length = match plan.spec.length {
        Length::Time(time) => format!("for {}", span(time)),
        Length::Requests(n) => format!("{} requests", format::whole(n)),
    };
    format!("{pattern}, {length}, {} events", plan.events.len())
}
