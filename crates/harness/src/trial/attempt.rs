//! The processes of one ingestion: each is started, watched, and read out; another follows while the event is not finished.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use contract::{env, exit};
use sandbox::postgres::ServerUrl;
use tokio_util::sync::CancellationToken;

use super::drive::{Broken, Progress};
use super::faults::{Came, Faults, Stop};
use super::observe::feed::{self, FeedFile};
use super::plan::{Revision, TrialPlan};
use super::record::{Attempt, Exit, MemoryLimited, Snapshot};
use crate::stats::{Histogram, Stage};
use crate::world::engine::{Engine, EngineCommand, ProcessEvent, tail};
use crate::world::liverc::Liverc;
use crate::world::memory::{MemoryLimit, Met};

/// How often the feed is read for the progress bar.
const LOOK: Duration = Duration::from_millis(100);

/// How an engine is started.
#[derive(Debug, Clone)]
pub struct EngineSpec {
    /// Program.
    pub program: PathBuf,
    /// Arguments, with the placeholders `{track}` and `{event_id}`.
    pub args: Vec<String>,
    /// Whether it is the built-in engine or another build of it, which can be asked for its settings.
    pub built_in: bool,
    /// Whether its content hashes are the built-in engine's, which can recompute them.
    pub hashes: bool,
    /// What stands ahead of the verb where it is: a harness has the engine under a hidden verb, `ingest` is the engine.
    pub prefix: Vec<String>,
}

/// The hidden verb under which a harness is the engine.
const HIDDEN: &str = "__engine";

impl EngineSpec {
    /// The built-in engine: this program, with a hidden verb.
    ///
    /// # Errors
    /// When the system does not tell where this program is.
    pub fn built_in() -> std::io::Result<Self> {
        Ok(Self::of_build(std::env::current_exe()?, true))
    }

    /// A build of the built-in engine: a program that is a harness, or one that is `ingest`.
    #[must_use]
    pub fn of_build(program: PathBuf, harness: bool) -> Self {
        let prefix = if harness { vec![HIDDEN.to_owned()] } else { Vec::new() };
        let event = ["event", "--track", "{track}", "{event_id}"].map(str::to_owned);
        let args = prefix.iter().cloned().chain(event).collect();
        Self { program, args, built_in: true, hashes: true, prefix }
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
        Ok(Self { program, args: args.to_vec(), built_in: false, hashes: false, prefix: Vec::new() })
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
    faults: &mut Faults<'_>,
) -> Result<Vec<Watched>, Broken> {
    let mut all: Vec<Watched> = Vec::new();
    loop {
        let number = u32::try_from(all.len()).unwrap_or(u32::MAX);
        if number > watch.plan.restarts {
            break;
        }
        all.extend(one(watch, number, stages, faults).await?);
        let Some(last) = all.last_mut() else { break };
        let attempt = &mut last.attempt;
        if let Exit::Code(code) = attempt.exit {
            if exit::Meaning::of(code) != exit::Meaning::Retry {
                break;
            }
            // The next process would write again what this one acknowledged and did not make durable.
            faults.left(&format!("process {} exited {code}", attempt.pid)).await?;
        } else {
            // A restarted engine would write again what was lost: what is durable must be read before.
            let after = format!("process {} {}", attempt.pid, super::story::ending(attempt.exit));
            attempt.lock_free_us = faults.after_death(after, attempt.ended_us).await?;
        }
    }
    Ok(all)
}

/// Runs a process to its end; with it others, when it stalls and they finish its work.
async fn one(
    watch: &Watch<'_>,
    number: u32,
    stages: &mut BTreeMap<Stage, Histogram>,
    faults: &mut Faults<'_>,
) -> Result<Vec<Watched>, Broken> {
    watch.liverc.set_phase(watch.ingestion, number);
    let stem = format!("{}-{}", watch.ingestion + 1, number + 1);
    let feed_path = watch.dir.join(format!("feed-{stem}.jsonl"));
    let log = watch.dir.join(format!("engine-{stem}.log"));
    let arming = faults.arm(number + 1);
    let mut engine = Engine::start(command(watch, &feed_path, &log, &arming, faults.starves()))
        .await
        .map_err(Broken::io(format!("starting the engine {}", watch.spec.program.display())))?;
    faults.process_started();
    let (pid, started_us) = (engine.pid(), engine.started_us());
    let mut waiting = Waiting::new(watch, &feed_path);
    let mut others = Vec::new();
    let ended = loop {
        match waiting.wait(&mut engine, faults).await? {
            Came::Ended(ended) => break ended,
            Came::Goes => {}
            Came::Stalled => {
                others = Box::pin(one(watch, number + 1, stages, faults)).await?;
                if let Some(last) = others.last().filter(|o| o.attempt.exit == Exit::Code(0)) {
                    faults.finished(last.attempt.pid).await?;
                }
                watch.liverc.set_phase(watch.ingestion, number);
                faults.wake(number + 1);
                engine.signal(nix::sys::signal::Signal::SIGCONT);
            }
        }
    };
    let mut file = FeedFile::default();
    let lines = file.read(&feed_path).map_err(Broken::io(format!("reading {}", feed_path.display())))?;
    faults.process_ended(&mut engine, &ended, &lines.lines, waiting.timed_out).await?;
    let digest = feed::digest(&lines.lines, stages);
    let exit = if waiting.timed_out { Exit::TimedOut } else { ended.exit };
    let attempt = Attempt {
        pid,
        started_us,
        ended_us: ended.ended_us,
        exit,
        cpu_user_us: ended.cpu_user_us,
        cpu_system_us: ended.cpu_system_us,
        peak_rss_bytes: ended.peak_rss_bytes,
        memory_limit: watch.plan.memory_limit.and_then(|_| limited(&mut engine, ended.exit)),
        summary: digest.summary,
        committed: digest.committed,
        steps: digest.steps,
        failed: digest.failed,
        retries: digest.retries,
        fetched: digest.fetched,
        commits: digest.units,
        batches: digest.batches,
        rows_told: digest.rows_told,
        laps_sent: digest.laps_sent,
        laps_committed: digest.laps_committed,
        write_stage_us: digest.write_us,
        last_step: digest.last_step,
        lock_free_us: None,
        page_laps: digest.laps,
        settings: digest.settings,
        stderr_tail: if exit == Exit::Code(0) { Vec::new() } else { tail(&log, 20) },
        feed_errors: lines.errors,
    };
    let mut all = vec![Watched { attempt, durable: digest.durable }];
    all.append(&mut others);
    Ok(all)
}

/// Waiting for the end of a process, telling the progress meanwhile.
struct Waiting<'a> {
    watch: &'a Watch<'a>,
    feed_path: &'a Path,
    feed: FeedFile,
    races: u64,
    deadline: tokio::time::Instant,
    timed_out: bool,
}

impl<'a> Waiting<'a> {
    fn new(watch: &'a Watch<'a>, feed_path: &'a Path) -> Self {
        let deadline = tokio::time::Instant::now() + watch.plan.timeout;
        Self { watch, feed_path, feed: FeedFile::default(), races: 0, deadline, timed_out: false }
    }

    async fn wait(&mut self, engine: &mut Engine, faults: &mut Faults<'_>) -> Result<Came, Broken> {
        let mut look = tokio::time::interval(LOOK);
        loop {
            tokio::select! {
                event = engine.next() => match event {
                    Some(ProcessEvent::Ended(ended)) => return Ok(Came::Ended(ended)),
                    Some(ProcessEvent::Stopped) => {
                        if faults.stopped(engine, self.feed_path).await? == Stop::Stalled {
                            return Ok(Came::Stalled);
                        }
                    }
                    None => return Err(Broken::Io {
                        what: "waiting for the engine".to_owned(),
                        source: std::io::Error::other("the watching thread died"),
                    }),
                },
                happening = faults.next() => {
                    match faults.happened(happening, engine, self.feed_path).await? {
                        Came::Goes => {}
                        came => return Ok(came),
                    }
                }
                () = self.watch.cancel.cancelled() => {
                    engine.kill().await;
                    return Err(Broken::Interrupted);
                }
                () = tokio::time::sleep_until(self.deadline), if !self.timed_out => {
                    self.timed_out = true;
                    engine.signal(nix::sys::signal::Signal::SIGKILL);
                }
                _ = look.tick() => {
                    self.tell_progress();
                    faults.look().await?;
                }
            }
        }
    }

    fn tell_progress(&mut self) {
        if let Ok(lines) = self.feed.read(self.feed_path) {
            let committed = |line: &contract::feed::Line| match &line.record {
                contract::feed::Record::Committed(c) => c.races.len() as u64,
                _ => 0,
            };
            self.races += lines.lines.iter().map(committed).sum::<u64>();
            self.watch.progress.races(self.races, self.watch.revision.order.len() as u64);
        }
    }
}

fn command(watch: &Watch<'_>, feed_path: &Path, log: &Path, arming: &str, starves: bool) -> EngineCommand {
    let fill = |arg: &String| {
        arg.replace("{track}", &watch.revision.track).replace("{event_id}", &watch.revision.event_id.to_string())
    };
    let mut env = environment(watch, Some(feed_path));
    if !arming.is_empty() {
        env.insert(contract::env::HARNESS_ARM.to_owned(), arming.into());
    }
    EngineCommand {
        program: watch.spec.program.clone(),
        args: watch.spec.args.iter().map(|a| fill(a).into()).collect(),
        env,
        log: log.to_owned(),
        one_core: watch.plan.load.one_core,
        memory: match watch.plan.memory_limit {
            Some(limit) => Some(MemoryLimit::of(limit.0)),
            None => starves.then(MemoryLimit::none_yet),
        },
    }
}

/// What became of the scenario's limit on an engine's memory.
fn limited(engine: &mut Engine, exit: Exit) -> Option<MemoryLimited> {
    let limit = engine.memory()?;
    let past = match limit.met(exit) {
        Met::Yes(evidence) => Some(evidence),
        Met::No(_) => None,
    };
    Some(MemoryLimited { how: limit.describe(), past })
}

/// Where the engine finds its database and its pages.
fn connection(watch: &Watch<'_>) -> BTreeMap<String, OsString> {
    BTreeMap::from([
        (env::DATABASE_URL.to_owned(), watch.database_url.expose().into()),
        (env::LIVERC_BASE_URL.to_owned(), watch.liverc_url.clone().into()),
    ])
}

fn environment(watch: &Watch<'_>, feed_path: Option<&Path>) -> BTreeMap<String, OsString> {
    let mut vars = connection(watch);
    if let Some(path) = feed_path {
        vars.insert(env::HARNESS_FEED.to_owned(), path.into());
    }
    if watch.plan.delay > 0.0 {
        vars.insert(env::HARNESS_DELAY.to_owned(), watch.plan.delay.to_string().into());
    }
    vars.extend(settings(watch.plan));
    vars
}

/// Profile and settings, as the engine's variables.
fn settings(plan: &TrialPlan) -> impl Iterator<Item = (String, OsString)> {
    let named = |(name, value): (&String, &String)| {
        (format!("INGEST_{}", name.replace('.', "_").to_uppercase()), value.clone().into())
    };
    std::iter::once(("INGEST_PROFILE".to_owned(), plan.profile.clone().into())).chain(plan.settings.iter().map(named))
}

/// Lets the built-in engine recompute the content hashes of the stored rows: how it hashes is its own affair. Rows that nobody
/// has written since `earlier` have the hashes that they had.
///
/// # Errors
/// When it cannot be started. An engine that answers nothing readable leaves the hashes unknown.
pub async fn recompute_hashes(
    watch: &Watch<'_>,
    observed: &mut Snapshot,
    earlier: Option<&Snapshot>,
) -> Result<(), Broken> {
    if !watch.spec.hashes || observed.checkpoints.is_empty() {
        return Ok(());
    }
    if let Some(earlier) = earlier.filter(|e| untouched(e, observed)) {
        for (race, checkpoint) in &mut observed.checkpoints {
            checkpoint.recomputed = earlier.checkpoints.get(race).and_then(|c| c.recomputed.clone());
        }
        return Ok(());
    }
    // The settings of another engine mean nothing to the built-in one, which then looks for it.
    let (spec, env) = match watch.spec.built_in {
        true => (watch.spec.clone(), environment(watch, None)),
        false => (EngineSpec::built_in().map_err(Broken::io("finding this program"))?, connection(watch)),
    };
    rehash(&spec, env, watch.revision.event_id, observed).await
}

/// Lets a build of the built-in engine recompute the hashes of an event's stored rows. `env` names the database.
///
/// # Errors
/// When it cannot be started. One that answers nothing readable leaves the hashes unknown.
pub async fn rehash(
    spec: &EngineSpec,
    env: BTreeMap<String, OsString>,
    event_id: u64,
    observed: &mut Snapshot,
) -> Result<(), Broken> {
    let mut command = tokio::process::Command::new(&spec.program);
    sandbox::process::die_with_us(command.as_std_mut());
    let output = command
        .args(&spec.prefix)
        .args(["status", "--json", "--rehash"])
        .arg(event_id.to_string())
        .envs(env)
        .stdin(std::process::Stdio::null())
        .kill_on_drop(true)
        .output()
        .await
        .map_err(Broken::io("starting the engine's status"))?;
    // Its exit code says whether the hashes agree: that is the oracle's to judge. What it printed says whether it could look.
    let Ok(status) = serde_json::from_slice::<serde_json::Value>(&output.stdout) else {
        tracing::warn!(
            "the engine's status failed, content hashes stay unknown: {}",
            String::from_utf8_lossy(&output.stderr).trim()
        );
        return Ok(());
    };
    for race in status["races"].as_array().into_iter().flatten() {
        if let Some(checkpoint) = race["race_id"].as_u64().and_then(|id| observed.checkpoints.get_mut(&id)) {
            checkpoint.recomputed = race["recomputed"].as_str().map(str::to_owned);
        }
    }
    Ok(())
}

/// Whether every row that a content hash speaks of was written by the same transaction in both. Drivers, whose names it holds,
/// are not in the digest.
fn untouched(earlier: &Snapshot, observed: &Snapshot) -> bool {
    let rows = earlier.xmin_digest.is_some() && earlier.xmin_digest == observed.xmin_digest;
    rows && observed.rewritten.get("drivers") == Some(&0)
}

/// Whether the engine sends a lap batch as one statement, so that `mid-batch` is a moment on the wire and no step of its own.
/// Only the built-in engine can be asked.
///
/// # Errors
/// When it cannot be started.
pub async fn sends_statements(spec: &EngineSpec, plan: &TrialPlan) -> Result<bool, Broken> {
    if !spec.built_in {
        return Ok(false);
    }
    let output = tokio::process::Command::new(&spec.program)
        .args(&spec.prefix)
        .args(["settings", "--json"])
        .envs(settings(plan))
        .stdin(std::process::Stdio::null())
        .kill_on_drop(true)
        .output()
        .await
        .map_err(Broken::io("asking the engine for its settings"))?;
    let rows: Vec<serde_json::Value> = serde_json::from_slice(&output.stdout).unwrap_or_default();
    Ok(rows.iter().any(|row| row["setting"] == "write_path" && row["value"] != "copy"))
}
