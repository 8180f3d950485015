//! `ingest serve`, `ingest work` and `ingest import`.

use std::io::IsTerminal as _;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use clap::ArgMatches;
use contract::exit;
use tokio_util::sync::CancellationToken;

use super::service_args::{TOKEN, number, text, time};
use super::{Failure, block_on, measured_store, metrics_file, report, settings, stop_on_signals};
use crate::error::chain;
use crate::metrics::Metrics;
use crate::pipeline::Source;
use crate::probe::Probe;
use crate::service::client::{Importer, News, Patience};
use crate::service::model::{ImportRequest, Job, JobState};
use crate::service::queue::{Queue, Signals};
use crate::service::server::{self, Limits, Parts, Token};
use crate::service::worker::{Engine, WorkSettings, WorkerLost, Workers};
use crate::settings::{REAL_SITE, Settings, Source as Said};

/// `ingest serve`.
pub fn serve(matches: &ArgMatches) -> Result<u8, Failure> {
    let settings = settings(matches)?;
    let work = work_settings(matches, &settings).map_err(Failure::Usage)?;
    let limits = limits(matches).map_err(Failure::Usage)?;
    let token = token(matches).map_err(Failure::Usage)?;
    let listen = text(matches, "listen");
    let address: SocketAddr = listen.parse().map_err(|_| {
        Failure::Usage(format!("--listen `{listen}`: must be an address and a port such as 127.0.0.1:8080"))
    })?;
    if !address.ip().is_loopback() && token.is_none() {
        let advice = "set INGEST_TOKEN or --token-file, or listen on 127.0.0.1";
        return Err(Failure::Usage(format!(
            "--listen {listen} can be reached from elsewhere and needs a token: {advice}"
        )));
    }
    let probe = Arc::new(Probe::from_env().map_err(|e| Failure::Usage(chain(&e)))?);
    block_on(async {
        let listener = tokio::net::TcpListener::bind(address).await;
        let listener = listener.map_err(|e| Failure::Other(format!("cannot listen on {address}: {e}")))?;
        let own = listener.local_addr().map_err(|e| Failure::Other(format!("cannot listen on {address}: {e}")))?;
        let metrics = Arc::new(Metrics::default());
        let (queue, signals, workers) = start(matches, &settings, work, &metrics, probe).await?;
        let stop = CancellationToken::new();
        stop_on_signals(stop.clone());
        report::print(&format!("listening on http://{own}"));
        let working = tokio::spawn({
            let (workers, signals, stop) = (Arc::clone(&workers), Arc::clone(&signals), stop.clone());
            async move { workers.work(&signals, stop).await }
        });
        let parts = Parts { queue: queue.clone(), signals, workers, metrics, limits, token };
        server::serve(listener, parts, stop).await;
        let ended = working.await;
        queue.close().await;
        ended.map_err(|e| Failure::Other(format!("the workers did not end well: {e}")))?.map_err(lost)?;
        Ok(exit::COMPLETE)
    })
}

/// `ingest work`.
pub fn work(matches: &ArgMatches) -> Result<u8, Failure> {
    let settings = settings(matches)?;
    let work = work_settings(matches, &settings).map_err(Failure::Usage)?;
    if work.jobs == 0 {
        return Err(Failure::Usage("--jobs 0: there would be nothing to do".to_owned()));
    }
    let probe = Arc::new(Probe::from_env().map_err(|e| Failure::Usage(chain(&e)))?);
    let metrics = Arc::new(Metrics::default());
    let file = metrics_file::Writing::open(matches.get_one::<PathBuf>("metrics-file"), &metrics)?;
    block_on(async {
        let (queue, signals, workers) = start(matches, &settings, work, &metrics, probe).await?;
        let stop = CancellationToken::new();
        stop_on_signals(stop.clone());
        report::print(&format!("working as {}", workers.name()));
        let ended = file.during(workers.work(&signals, stop)).await;
        queue.close().await;
        ended.map_err(lost)?;
        Ok(exit::COMPLETE)
    })
}

fn lost(why: WorkerLost) -> Failure {
    Failure::Other(why.to_string())
}

/// What server and workers have in common. A database that cannot be reached is waited for; one without the tables is
/// an error.
async fn start(
    matches: &ArgMatches,
    settings: &Settings,
    work: WorkSettings,
    metrics: &Arc<Metrics>,
    probe: Arc<Probe>,
) -> Result<(Queue, Arc<Signals>, Arc<Workers>), Failure> {
    let mut settings = settings.clone();
    if settings.resolved().iter().any(|s| s.name == "pool_size" && s.source == Said::Default) {
        // Each job writes over one connection per writer and asks over one more.
        let needed = work.jobs.saturating_mul(settings.writers.saturating_add(1));
        settings.database.pool_size = settings.database.pool_size.max(needed);
    }
    let store = measured_store(matches, &settings, Arc::clone(metrics))?;
    // Metrics of its own: the pool that is shown is the engine's.
    let queue = Queue::new(text(matches, "database-url"), &settings.database, Arc::default())?;
    match queue.gauges().await {
        Err(error) if !error.remedy().worth_retrying() => return Err(error.into()),
        Err(error) => tracing::warn!(cause = chain(&error), "the database cannot be used yet; it is tried again"),
        Ok(_) => {}
    }
    let client = Source::client(&settings.liverc, &settings.retry).map_err(Failure::Other)?;
    let engine = Engine { store, client, settings, probe };
    let workers = Workers::new(queue.clone(), engine, work);
    let signals = Arc::new(queue.listen());
    Ok((queue, signals, workers))
}

fn work_settings(matches: &ArgMatches, settings: &Settings) -> Result<WorkSettings, String> {
    let track_jobs = match text(matches, "track-jobs") {
        "" => u32::from(settings.liverc.base_url == REAL_SITE),
        _ => number(matches, "track-jobs", 0, 10_000)?,
    };
    Ok(WorkSettings {
        jobs: number(matches, "jobs", 0, 256)?,
        lease: time(matches, "lease")?,
        attempts: number(matches, "job-attempts", 1, 1000)?,
        backoff: time(matches, "job-backoff")?,
        backoff_cap: time(matches, "job-backoff-cap")?,
        track_jobs,
        keep: time(matches, "keep-jobs")?,
        ..WorkSettings::default()
    })
}

fn limits(matches: &ArgMatches) -> Result<Limits, String> {
    Ok(Limits {
        body: number(matches, "max-body", 64, 1 << 20)? as usize,
        body_timeout: time(matches, "body-timeout")?,
        rate: number(matches, "rate-limit", 0, 1_000_000)?,
        in_flight: number(matches, "max-requests", 1, 100_000)?,
        connections: number(matches, "max-connections", 1, 100_000)?,
        queue: number(matches, "queue-limit", 1, 1_000_000)?,
        deadline: time(matches, "deadline")?,
    })
}

fn token(matches: &ArgMatches) -> Result<Option<Token>, String> {
    let given = match text(matches, "token-file") {
        "" => std::env::var(TOKEN).unwrap_or_default(),
        path => std::fs::read_to_string(path).map_err(|e| format!("--token-file {path}: {e}"))?,
    };
    if given.trim().is_empty() {
        return match text(matches, "token-file") {
            "" => Ok(None),
            path => Err(format!("--token-file {path}: the file is empty")),
        };
    }
    Token::new(&given).map(Some)
}

/// `ingest import`.
pub fn import(matches: &ArgMatches) -> Result<u8, Failure> {
    let server = text(matches, "server");
    if server.is_empty() {
        return Err(Failure::Usage("which server? give --server http://host:port or set INGEST_SERVER".to_owned()));
    }
    let Some(&event_id) = matches.get_one::<u64>("id") else { return Err(Failure::Usage("which event?".to_owned())) };
    let request =
        ImportRequest { track: text(matches, "track").to_owned(), event_id, refresh: matches.get_flag("refresh") };
    let patience = Patience {
        whole: time(matches, "timeout").map_err(Failure::Usage)?,
        recovery: time(matches, "recovery-wait").map_err(Failure::Usage)?,
        ..Patience::default()
    };
    let token = token(matches).map_err(Failure::Usage)?;
    let importer = Importer::new(server, token, patience).map_err(Failure::Usage)?;
    let json = matches.get_flag("json");
    block_on(async {
        let mut told = String::new();
        let terminal = std::io::stderr().is_terminal();
        let import = importer.import(&request, |news| {
            // A failure that nothing follows is told with the verdict.
            let (trouble, last) = match &news {
                News::Trouble(_, wait) => (true, wait.is_zero()),
                News::Job(_) | News::Others(_) => (false, false),
            };
            let line = line(&news);
            if (terminal || trouble) && !last && line != told {
                eprintln!("ingest: {line}");
                told = line;
            }
        });
        let import = import.await;
        if json {
            let mut value = serde_json::to_value(&import).unwrap_or_default();
            if let Some(object) = value.as_object_mut() {
                object.insert("exit".to_owned(), import.exit().into());
            }
            report::json(&value, true);
        }
        match import.words() {
            Ok(words) if !json => report::print(&words),
            Ok(_) => {}
            Err(words) => eprintln!("ingest: {words}"),
        }
        Ok(import.exit())
    })
}

fn line(news: &News) -> String {
    match news {
        News::Job(job) => of_job(job),
        News::Others(job) => format!("the event is being imported by job {job}"),
        News::Trouble(cause, wait) if wait.is_zero() => cause.clone(),
        News::Trouble(cause, wait) => {
            format!("{cause}; asking what became of it in {}", humantime::format_duration(round(*wait)))
        }
    }
}

fn of_job(job: &Job) -> String {
    let id = job.id;
    match (job.state, &job.progress) {
        (JobState::Queued, _) if job.attempts > 0 => {
            let error = job.outcome.as_ref().and_then(|o| o.error.as_deref()).unwrap_or("not every race could be read");
            format!(
                "job {id} failed {} times and is tried again after {}: {error}",
                job.attempts,
                job.not_before.as_deref().unwrap_or("a while")
            )
        }
        (JobState::Queued, _) => format!("job {id} is queued, number {}", job.position.unwrap_or(1)),
        (JobState::Running, Some(p)) if p.failed > 0 => {
            format!("job {id}: {} of {} races, {} failed", p.done, p.listed, p.failed)
        }
        (JobState::Running, Some(p)) => format!("job {id}: {} of {} races", p.done, p.listed),
        (JobState::Running, None) => format!("job {id} has begun"),
        (JobState::Completed, _) => format!("job {id} is completed"),
        (JobState::Failed, _) => format!("job {id} has failed"),
    }
}

fn round(wait: std::time::Duration) -> std::time::Duration {
    std::time::Duration::from_millis(u64::try_from(wait.as_millis()).unwrap_or(u64::MAX))
}
