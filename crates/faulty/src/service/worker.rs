//! A worker: one job at a time from the service's queue, ingested by the plain engine of this crate.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use contract::{env, exit};
use ingest::probe::Probe;
use ingest::service::model::Outcome;
use ingest::service::queue::{Claimed, Ending, Queue};
use ingest::settings::{Profile, Settings};
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{ConnectOptions as _, Connection as _, Row as _};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::Notify;

use crate::bug::ServiceBug;
use crate::run::{self, Task};

/// Pause between two looks at the queue.
const PAUSE: Duration = Duration::from_millis(50);
/// What a worker claims a job for that never gives one back.
const A_DAY: Duration = Duration::from_secs(86_400);
/// How long a worker waits at most for the other one that is to work beside it.
const MEETING: Duration = Duration::from_secs(20);
/// Attempts at writing a job's end.
const ATTEMPTS: u32 = 20;

/// Works until SIGTERM: `NAME [FLAG VALUE]…`, with flags of `ingest work`; those that it does not know change nothing here.
///
/// # Errors
/// What is called for cannot be.
pub fn work(args: &[String]) -> anyhow::Result<u8> {
    let Some((name, flags)) = args.split_first() else { anyhow::bail!(super::super::USAGE) };
    let bug = match name.as_str() {
        "none" => None,
        name => Some(name.parse::<ServiceBug>()?),
    };
    anyhow::ensure!(bug.is_none_or(ServiceBug::of_worker), "`{name}` is a bug of the client, not of the worker");
    let mut given = BTreeMap::new();
    for pair in flags.chunks(2) {
        let [flag, value] = pair else { anyhow::bail!("{}: its value is missing", pair.concat()) };
        given.insert(flag.as_str(), value.as_str());
    }
    let text = |flag: &str, default: &'static str| given.get(flag).copied().unwrap_or(default).to_owned();
    let time = |flag: &str, default| {
        let text = text(flag, default);
        humantime::parse_duration(&text).with_context(|| format!("{flag} {text}"))
    };
    let var = |name: &str| std::env::var(name).map_err(|_| anyhow::anyhow!("{name} is not set"));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (database, liverc) = (var(env::DATABASE_URL)?, var(env::LIVERC_BASE_URL)?);
    let (lease, backoff) = (time("--lease", "30s")?, time("--job-backoff", "5s")?);
    let attempts = text("--job-attempts", "8").parse().context("--job-attempts")?;
    runtime.block_on(async {
        let queue = Queue::new(&database, &Settings::of(Profile::Fast)?.database, Arc::default())?;
        let mut worker = Worker {
            name: format!("faulty:{}", std::process::id()),
            queue,
            database,
            liverc,
            bug,
            lease: if bug == Some(ServiceBug::JobLost) { A_DAY } else { lease },
            renew: lease / 3,
            attempts,
            backoff,
            probe: Arc::new(Probe::from_env()?),
            seen: BTreeSet::new(),
        };
        worker.work(signal(SignalKind::terminate())?).await;
        worker.queue.close().await;
        Ok(exit::COMPLETE)
    })
}

struct Worker {
    name: String,
    queue: Queue,
    database: String,
    liverc: String,
    bug: Option<ServiceBug>,
    /// How long a job is claimed for.
    lease: Duration,
    /// How often the claim is renewed.
    renew: Duration,
    attempts: u32,
    backoff: Duration,
    probe: Arc<Probe>,
    /// Jobs that were claimed here, and are not taken from another.
    seen: BTreeSet<i64>,
}

impl Worker {
    async fn work(&mut self, mut terminate: Signal) {
        loop {
            match self.claim().await {
                Ok(Some(job)) => {
                    let first = self.seen.insert(job.id) && job.claim == 1;
                    if let Some(ending) = self.run(&job, first).await {
                        self.end(&job, &ending).await;
                    }
                }
                Ok(None) => {}
                Err(error) => eprintln!("faulty: cannot claim a job: {error:#}"),
            }
            tokio::select! {
                biased;
                _ = terminate.recv() => return,
                () = tokio::time::sleep(PAUSE) => {}
            }
        }
    }

    async fn claim(&self) -> anyhow::Result<Option<Claimed>> {
        let job = self.queue.claim(&self.name, self.lease, 0).await?;
        if job.is_some() || self.bug != Some(ServiceBug::TwoWorkers) {
            return Ok(job);
        }
        self.claim_of_another().await
    }

    /// Claims a job that another worker has and is at work on: a race of its event is written.
    async fn claim_of_another(&self) -> anyhow::Result<Option<Claimed>> {
        const SQL: &str = "\
UPDATE ingest_jobs SET worker = $1, claim = claim + 1, lease_until = now() + make_interval(secs => $2)
WHERE id = (SELECT id FROM ingest_jobs j WHERE state = 'running' AND worker <> $1 AND id <> ALL ($3) AND EXISTS
    (SELECT FROM ingest_checkpoints c WHERE c.event_id = j.event_id AND c.state = 'written') ORDER BY id LIMIT 1)
RETURNING id, event_id, track, refresh, claim, attempts, takeovers";
        let mut conn = self.connect().await?;
        let seen: Vec<i64> = self.seen.iter().copied().collect();
        let row = sqlx::query(SQL).bind(&self.name).bind(self.lease.as_secs_f64()).bind(seen);
        let Some(row) = row.fetch_optional(&mut conn).await? else { return Ok(None) };
        Ok(Some(Claimed {
            id: row.try_get(0)?,
            event_id: row.try_get::<i64, _>(1)?.cast_unsigned(),
            track: row.try_get(2)?,
            refresh: row.try_get(3)?,
            claim: row.try_get(4)?,
            attempts: row.try_get::<i32, _>(5)?.cast_unsigned(),
            takeovers: row.try_get::<i32, _>(6)?.cast_unsigned(),
        }))
    }

    async fn connect(&self) -> anyhow::Result<PgConnection> {
        let options: PgConnectOptions = self.database.parse()?;
        Ok(PgConnection::connect_with(&options.disable_statement_logging()).await?)
    }

    /// Waits until the worker that has claimed this job after us has ended it, or the job has ended in another way.
    async fn meet(&self, job: &Claimed) {
        const SQL: &str = "SELECT count(*) FROM ingest_jobs WHERE id = $1 AND state = 'running'";
        let ended = async {
            let mut conn = self.connect().await?;
            while sqlx::query_scalar::<_, i64>(SQL).bind(job.id).fetch_one(&mut conn).await? > 0 {
                tokio::time::sleep(PAUSE).await;
            }
            anyhow::Ok(())
        };
        if !matches!(tokio::time::timeout(MEETING, ended).await, Ok(Ok(()))) {
            eprintln!("faulty: no other worker has ended job {}", job.id);
        }
    }

    /// Ingests the job's event and renews the claim meanwhile. `first`: no other worker has had it. `None`: the job is another's
    /// now.
    async fn run(&self, job: &Claimed, first: bool) -> Option<Ending> {
        let guarded = self.bug != Some(ServiceBug::TwoWorkers);
        let meeting = (!guarded && first).then(Arc::<Notify>::default);
        let task = Task {
            track: job.track.clone(),
            event: job.event_id,
            database: self.database.clone(),
            liverc: self.liverc.clone(),
            probe: Arc::clone(&self.probe),
            guarded,
            meeting: meeting.clone(),
        };
        let mut run = std::pin::pin!(run::summary(&task, None, None));
        let mut met = std::pin::pin!(self.meet(job));
        let mut over = meeting.is_none();
        let mut ticks = tokio::time::interval(self.renew);
        let summary = loop {
            tokio::select! {
                summary = &mut run => break summary,
                () = &mut met, if !over => {
                    over = true;
                    meeting.iter().for_each(|meeting| meeting.notify_one());
                }
                _ = ticks.tick() => match self.queue.renew(job, self.lease, None).await {
                    Ok(false) if guarded => return None,
                    Ok(_) => {}
                    Err(error) => eprintln!("faulty: cannot renew a claim: {error}"),
                },
            }
        };
        let outcome = Outcome::from(summary);
        Some(match outcome.exit {
            exit::COMPLETE => Ending::Completed(outcome),
            exit::RETRY if job.attempts + 1 < self.attempts => {
                Ending::Later(outcome, self.backoff.saturating_mul(1 << job.attempts.min(16)))
            }
            _ => Ending::Failed(outcome),
        })
    }

    /// Writes the job's end; one that cannot be written is left to whoever claims the job next.
    async fn end(&self, job: &Claimed, ending: &Ending) {
        for _ in 0..ATTEMPTS {
            match self.queue.end(job, ending).await {
                Ok(_) => return,
                Err(error) => eprintln!("faulty: cannot write a job's end: {error}"),
            }
            tokio::time::sleep(PAUSE * 4).await;
        }
    }
}
