//! The processes of one ingestion: each is started, watched, and read out; another follows while the event is not finished.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use contract::{env, exit};
use sandbox::postgres::ServerUrl;
use sqlx::PgPool;
use tokio_util::sync::CancellationToken;

use super::drive::{Broken, Progress};
use super::observe::database;
use super::observe::feed::{self, FeedFile};
use super::plan::{Revision, TrialPlan};
use super::record::{Attempt, Exit, Interlude, Snapshot};
use crate::stats::{Histogram, Stage};
use crate::world::engine::{Ended, Engine, EngineCommand, ProcessEvent, tail};
use crate::world::liverc::Liverc;

/// How often the feed is read for the progress bar.
const LOOK: Duration = Duration::from_millis(100);

/// How an engine is started.
#[derive(Debug, Clone)]
pub struct EngineSpec {
    /// Program.
    pub program: PathBuf,
    /// Arguments, with the placeholders `{track}` and `{event_id}`.
    pub args: Vec<String>,
    /// Whether it is the built-in engine, which can recompute its content hashes.
    pub built_in: bool,
}

impl EngineSpec {
    /// The built-in engine: this program, with a hidden verb.
    ///
    /// # Errors
    /// When the system does not tell where this program is.
    pub fn built_in() -> std::io::Result<Self> {
        let args = ["__engine", "event", "--track", "{track}", "{event_id}"].map(str::to_owned).to_vec();
        Ok(Self { program: std::env::current_exe()?, args, built_in: true })
    }

    /// Another engine: program and arguments. A program without a slash is looked for on `PATH`.
    ///
    /// # Errors
    /// When there is no such program.
    pub fn of_command(command: &[String]) -> std::io::Result<Self> {
        let (program, args) =
            command.split_first().ok_or_else(|| std::io::Error::other("the engine's command is empty"))?;
        let found = if program.contains('/') {
            Some(PathBuf::from(program))
        } else {
            let path = std::env::var_os("PATH").unwrap_or_default();
            std::env::split_paths(&path).map(|dir| dir.join(program)).find(|p| p.is_file())
        };
        let program = found
            .filter(|p| p.is_file())
            .ok_or_else(|| std::io::Error::other(format!("there is no program `{program}`")))?;
        Ok(Self { program, args: args.to_vec(), built_in: false })
    }
}

/// What is needed to run and watch the processes of an ingestion.
pub struct Watch<'a> {
    /// The engine.
    pub spec: &'a EngineSpec,
    /// The trial.
    pub plan: &'a TrialPlan,
    /// What is ingested.
    pub revision: &'a Revision,
    /// Index of the ingestion in the trial.
    pub ingestion: u32,
    /// Where to. Holds a password.
    pub database_url: ServerUrl,
    /// The harness's own connections to it.
    pub pool: &'a PgPool,
    /// Where from.
    pub liverc_url: String,
    /// The mock, which is told which process asks.
    pub liverc: &'a Liverc,
    /// Where feed and log go.
    pub dir: &'a Path,
    /// Progress.
    pub progress: &'a dyn Progress,
    /// The user's Ctrl-C.
    pub cancel: &'a CancellationToken,
}

/// A process, read out.
pub struct Watched {
    /// For the record.
    pub attempt: Attempt,
    /// Laps made durable: (CLOCK_MONOTONIC µs, laps of the unit).
    pub durable: Vec<(u64, u64)>,
}

/// Runs processes until one finishes the event, fails for good, or no restarts are left.
///
/// # Errors
/// When the environment fails; what the engine does is never an error here.
pub async fn until_done(
    watch: &Watch<'_>,
    stages: &mut BTreeMap<Stage, Histogram>,
    interludes: &mut Vec<Interlude>,
) -> Result<Vec<Watched>, Broken> {
    let mut all = Vec::new();
    for number in 0..=watch.plan.restarts {
        watch.liverc.set_phase(watch.ingestion, number);
        let watched = one(watch, number, stages).await?;
        let (exit, pid) = (watched.attempt.exit, watched.attempt.pid);
        all.push(watched);
        if let Exit::Code(code) = exit {
            if exit::Meaning::of(code) != exit::Meaning::Retry {
                break;
            }
        } else {
            // A restarted engine would write again what was lost: what is durable must be read before.
            let after = format!("process {pid} {}", super::story::ending(exit));
            match database::interlude(watch.pool, watch.revision.event_id, after).await {
                Ok(interlude) => interludes.push(interlude),
                Err(error) => tracing::warn!(%error, "what was durable after the crash could not be read"),
            }
        }
    }
    Ok(all)
}

async fn one(watch: &Watch<'_>, number: u32, stages: &mut BTreeMap<Stage, Histogram>) -> Result<Watched, Broken> {
    let stem = format!("{}-{}", watch.ingestion + 1, number + 1);
    let feed_path = watch.dir.join(format!("feed-{stem}.jsonl"));
    let log = watch.dir.join(format!("engine-{stem}.log"));
    let mut engine = Engine::start(command(watch, &feed_path, &log))
        .await
        .map_err(Broken::io(format!("starting the engine {}", watch.spec.program.display())))?;
    let (pid, started_us) = (engine.pid(), engine.started_us());
    let (ended, timed_out) = wait(watch, &mut engine, &feed_path).await?;

    let mut file = FeedFile::default();
    let lines = file.read(&feed_path).map_err(Broken::io(format!("reading {}", feed_path.display())))?;
    let digest = feed::digest(&lines.lines, stages);
    let exit = if timed_out { Exit::TimedOut } else { ended.exit };
    let attempt = Attempt {
        pid,
        started_us,
        ended_us: ended.ended_us,
        exit,
        cpu_user_us: ended.cpu_user_us,
        cpu_system_us: ended.cpu_system_us,
        peak_rss_bytes: ended.peak_rss_bytes,
        summary: digest.summary,
        committed: digest.committed,
        steps: digest.steps,
        failed: digest.failed,
        retries: digest.retries,
        fetched: digest.fetched,
        commits: digest.units,
        batches: digest.batches,
        page_laps: digest.laps,
        settings: digest.settings,
        stderr_tail: if exit == Exit::Code(0) { Vec::new() } else { tail(&log, 20) },
        feed_errors: lines.errors,
    };
    Ok(Watched { attempt, durable: digest.durable })
}

/// Waits for the end of a process, telling the progress meanwhile.
async fn wait(watch: &Watch<'_>, engine: &mut Engine, feed_path: &Path) -> Result<(Ended, bool), Broken> {
    let deadline = tokio::time::sleep(watch.plan.timeout);
    tokio::pin!(deadline);
    let mut look = tokio::time::interval(LOOK);
    let mut file = FeedFile::default();
    let mut races = 0;
    let mut timed_out = false;
    loop {
        tokio::select! {
            event = engine.next() => match event {
                Some(ProcessEvent::Ended(ended)) => return Ok((ended, timed_out)),
                // Nothing was armed to hold: a stop is somebody else's, and waiting for it to pass would be for ever.
                Some(ProcessEvent::Stopped) => engine.signal(nix::sys::signal::Signal::SIGCONT),
                None => return Err(Broken::Io {
                    what: "waiting for the engine".to_owned(),
                    source: std::io::Error::other("the watching thread died"),
                }),
            },
            () = watch.cancel.cancelled() => {
                engine.kill().await;
                return Err(Broken::Interrupted);
            }
            () = &mut deadline, if !timed_out => {
                timed_out = true;
                engine.signal(nix::sys::signal::Signal::SIGKILL);
            }
            _ = look.tick() => {
                if let Ok(lines) = file.read(feed_path) {
                    races += lines.lines.iter().map(|l| match &l.record {
                        contract::feed::Record::Committed(c) => c.races.len() as u64,
                        _ => 0,
                    }).sum::<u64>();
                    watch.progress.races(races, watch.revision.order.len() as u64);
                }
            }
        }
    }
}

fn command(watch: &Watch<'_>, feed_path: &Path, log: &Path) -> EngineCommand {
    let fill = |arg: &String| {
        arg.replace("{track}", &watch.revision.track).replace("{event_id}", &watch.revision.event_id.to_string())
    };
    EngineCommand {
        program: watch.spec.program.clone(),
        args: watch.spec.args.iter().map(|a| fill(a).into()).collect(),
        env: environment(watch, Some(feed_path)),
        log: log.to_owned(),
    }
}

fn environment(watch: &Watch<'_>, feed_path: Option<&Path>) -> BTreeMap<String, OsString> {
    let mut vars: BTreeMap<String, OsString> = BTreeMap::new();
    vars.insert(env::DATABASE_URL.to_owned(), watch.database_url.expose().into());
    vars.insert(env::LIVERC_BASE_URL.to_owned(), watch.liverc_url.clone().into());
    if let Some(path) = feed_path {
        vars.insert(env::HARNESS_FEED.to_owned(), path.into());
    }
    vars.insert("INGEST_PROFILE".to_owned(), watch.plan.profile.clone().into());
    for (name, value) in &watch.plan.settings {
        vars.insert(format!("INGEST_{}", name.replace('.', "_").to_uppercase()), value.clone().into());
    }
    vars
}

/// Lets the built-in engine recompute the content hashes of the stored rows: how it hashes is its own affair.
///
/// # Errors
/// When it cannot be started. An engine that answers nothing readable leaves the hashes unknown.
pub async fn recompute_hashes(watch: &Watch<'_>, observed: &mut Snapshot) -> Result<(), Broken> {
    if !watch.spec.built_in || observed.checkpoints.is_empty() {
        return Ok(());
    }
    let mut command = tokio::process::Command::new(&watch.spec.program);
    sandbox::process::die_with_us(command.as_std_mut());
    let output = command
        .args(["__engine", "status", "--json", "--rehash"])
        .arg(watch.revision.event_id.to_string())
        .envs(environment(watch, None))
        .stdin(std::process::Stdio::null())
        .kill_on_drop(true)
        .output()
        .await
        .map_err(Broken::io("starting the engine's status"))?;
    if !output.status.success() {
        tracing::warn!(
            "the engine's status failed, content hashes stay unknown: {}",
            String::from_utf8_lossy(&output.stderr).trim()
        );
        return Ok(());
    }
    let Ok(status) = serde_json::from_slice::<serde_json::Value>(&output.stdout) else { return Ok(()) };
    for race in status["races"].as_array().into_iter().flatten() {
        if let Some(checkpoint) = race["race_id"].as_u64().and_then(|id| observed.checkpoints.get_mut(&id)) {
            checkpoint.recomputed = race["recomputed"].as_str().map(str::to_owned);
        }
    }
    Ok(())
}
