//! What every verb that runs trials shares: the flags that say where PostgreSQL comes from and where results go, and the life
//! of a run: signals, server, template, progress, and the end of all of them.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use sandbox::postgres::{Binaries, Choice, Options};
use tokio_util::sync::CancellationToken;

use super::interrupt::{self, unless_cancelled};
use super::progress::Bar;
use super::{Failure, lab};
use crate::faults::{Action, Fault};
use crate::report;
use crate::scenario::{Backend, DataPlace, Known, Overrides, Scenario};
use crate::trial::attempt::EngineSpec;
use crate::trial::drive::{self, Lab};
use crate::trial::plan;
use crate::trial::record::{Environment, RunRecord, SCHEMA};

/// Where PostgreSQL comes from, and where results go.
#[derive(clap::Args, Debug, Clone)]
pub struct Common {
    /// A setting of a PostgreSQL of the harness's own: synchronous_commit=off
    #[arg(long = "postgres-set", value_name = "NAME=VALUE")]
    pub postgres_settings: Vec<String>,
    /// Where PostgreSQL comes from: auto, docker, local, or a URL
    #[arg(long, value_name = "WHERE", default_value = "auto", env = "HARNESS_POSTGRES", hide_env_values = true)]
    pub postgres: String,
    /// Image for docker
    #[arg(long, value_name = "IMAGE", env = "HARNESS_POSTGRES_IMAGE")]
    pub postgres_image: Option<String>,
    /// Where a PostgreSQL of the harness's own keeps its data: memory, or a directory
    #[arg(long, value_name = "WHERE", env = "HARNESS_POSTGRES_DATA")]
    pub postgres_data: Option<PathBuf>,
    /// Where runs are written
    #[arg(long, value_name = "DIR", default_value = "reports", env = "HARNESS_OUT")]
    pub out: PathBuf,
    /// Print result.json instead of the summary
    #[arg(long)]
    pub json: bool,
    /// The fault because of which `auto` became `local`.
    #[arg(skip)]
    pub why_local: Option<Action>,
}

/// The word that stands for the machine's file system in memory.
const MEMORY: &str = "memory";

/// Linux's file system in memory that every process may use.
const SHARED_MEMORY: &str = "/dev/shm";

impl Common {
    /// The flags, with what the scenario asks for where they say nothing: its `[postgres]`, and where that is silent, too,
    /// a local server for faults that no other can have.
    #[must_use]
    pub fn pinned(&self, scenario: &Scenario) -> Self {
        let (mut common, spec) = (self.clone(), scenario.postgres);
        if common.postgres == Backend::Auto.name() {
            common.postgres = spec.backend.name().to_owned();
        }
        if common.postgres == Backend::Auto.name() {
            let local = scenario.faults.iter().map(Fault::action).find(|a| a.needs().is_local());
            // Without PostgreSQL here it stays as it is, and the fault ends *unsupported*.
            if let Some(action) = local.filter(|_| Binaries::find().is_ok()) {
                common.postgres = Backend::Local.name().to_owned();
                common.why_local = Some(action);
            }
        }
        if spec.data == DataPlace::Memory && common.postgres_data.is_none() && room_in_memory() {
            common.postgres_data = Some(MEMORY.into());
        }
        common
    }

    /// The flags, with what an interrupted run had where they say nothing: where PostgreSQL came from, and its data in memory.
    #[must_use]
    pub fn as_in(&self, was: &Environment) -> Self {
        let mut common = self.clone();
        let own = [Backend::Docker, Backend::Local].map(Backend::name).contains(&was.backend.as_str());
        if own && common.postgres == Backend::Auto.name() {
            common.postgres.clone_from(&was.backend);
        }
        if was.data_in_memory && common.postgres_data.is_none() && room_in_memory() {
            common.postgres_data = Some(MEMORY.into());
        }
        common
    }

    /// The directory for the server's data; `None`: the system's temporary one.
    fn data_directory(&self) -> Result<Option<PathBuf>, Failure> {
        match &self.postgres_data {
            Some(word) if word == Path::new(MEMORY) && room_in_memory() => Ok(Some(SHARED_MEMORY.into())),
            Some(word) if word == Path::new(MEMORY) => Err(Failure::environment(format!(
                "--postgres-data memory: {SHARED_MEMORY} is not there or has less than 2 GB free; name a directory instead"
            ))),
            Some(directory) if !directory.is_dir() => Err(Failure::usage(format!(
                "--postgres-data: {} is no directory; write `memory`, or a directory that is there",
                directory.display()
            ))),
            directory => Ok(directory.clone()),
        }
    }
}

/// Whether the file system in memory is there and has room.
fn room_in_memory() -> bool {
    sandbox::postgres::memory().is_some()
}

/// A run that is under way.
pub struct Session {
    /// Server, template and engine. Its `out` is the folder that all runs go to, until [`Session::directory`] makes one.
    pub lab: Lab,
    /// Where it runs.
    pub environment: Environment,
    /// Progress on a terminal.
    pub bar: Bar,
    /// The user's Ctrl-C.
    pub cancel: CancellationToken,
    /// Wall clock at the start, RFC 3339.
    pub started_at: String,
    /// CLOCK_MONOTONIC at the start, µs.
    pub started_us: u64,
}

impl Session {
    /// Makes `OUT/<name>-<time>`, a new directory, and lets trials write there.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn directory(&mut self, name: &str) -> Result<(), Failure> {
        self.lab.out = directory(&self.lab.out, name, &self.started_at)?;
        Ok(())
    }
}

/// Starts what trials need, does the work, and ends what was started, whatever came out. `None`: the user stopped it before
/// the server was there.
///
/// # Errors
/// No database to be had, a folder that cannot be written to, and what the work fails with.
pub fn run<T>(
    common: &Common,
    engine: EngineSpec,
    name: &str,
    work: impl AsyncFnOnce(&mut Session) -> Result<T, Failure>,
) -> Result<Option<T>, Failure> {
    let choice: Choice = common.postgres.parse().map_err(Failure::usage)?;
    let settings = postgres_settings(&common.postgres_settings)?;
    let temporary = common.data_directory()?;
    let in_memory = temporary.as_deref() == Some(Path::new(SHARED_MEMORY));
    let runtime = tokio::runtime::Runtime::new().map_err(|e| Failure::environment(format!("no async runtime: {e}")))?;
    let outcome = runtime.block_on(async {
        let cancel = CancellationToken::new();
        interrupt::listen(cancel.clone()).map_err(|e| Failure::environment(format!("no signal handler: {e}")))?;
        let (started_us, started_at) = (crate::clock::monotonic_us(), crate::clock::now_rfc3339());
        // Before anything is started; the run's own folder comes when there is something to put into it.
        writable(&common.out)?;
        let bar = Bar::new();
        bar.trial(name.to_owned());
        drive::Progress::phase(&bar, "starting PostgreSQL");
        let options = Options { image: common.postgres_image.clone(), settings, temporary, ..Options::default() };
        let opened = unless_cancelled(&cancel, lab::open(&choice, &options, engine, common.out.clone())).await;
        let (lab, mut environment) = match opened {
            Some(Ok(opened)) => opened,
            Some(Err(failure)) if !cancel.is_cancelled() => {
                bar.finish();
                return Err(failure);
            }
            _ => return Ok(None),
        };
        if in_memory && environment.backend == Backend::Local.name() {
            environment.data_in_memory = true;
            environment.remarks.push("PostgreSQL's data are in memory: no commit waits for a disk.".to_owned());
        }
        if let Some(action) = common.why_local {
            environment
                .remarks
                .push(format!("PostgreSQL is this machine's: the fault `{action}` needs a local server."));
        }
        let mut session = Session { lab, environment, bar, cancel, started_at, started_us };
        let outcome = work(&mut session).await;
        session.bar.finish();
        end(&session).await;
        outcome.map(Some)
    });
    // After Ctrl-C an event may still be in the making: it is not waited for longer than this.
    // A thread that is still making the server's files cleans up after itself when it is let finish.
    runtime.shutdown_timeout(std::time::Duration::from_secs(10));
    outcome
}

/// Ends the server, or says how to get at it where it is kept.
async fn end(session: &Session) {
    let server = &session.lab.server;
    let kept = session.lab.databases.kept();
    if !kept.is_empty() {
        match server.keep().await {
            // Standard error may be a pipe that nobody reads any more.
            Ok(how) => {
                let _ = writeln!(std::io::stderr(), "{how}\nDatabases that were kept on it: {}", kept.join(", "));
                return;
            }
            Err(error) => tracing::error!(%error, "the server could not be kept, its databases are gone with it"),
        }
    }
    if let Err(error) = server.dispose().await {
        tracing::warn!(%error, "the server left something behind");
    }
}

/// Reads the scenario of an ingestion by name or path and changes it as flags ask.
///
/// # Errors
/// What is wrong with it, with file, line and the nearest name; or that it is one of a load.
pub fn scenario(name: &str, overrides: &Overrides) -> Result<Scenario, Failure> {
    let scenario = any_scenario(name, overrides)?;
    if scenario.load.is_some() {
        return Err(Failure::usage(format!(
            "{} is a load of the service, not the ingestion of an event: use `harness load {name}`",
            scenario.name
        )));
    }
    Ok(scenario)
}

/// The same of any scenario.
///
/// # Errors
/// What is wrong with it, with file, line and the nearest name.
pub fn any_scenario(name: &str, overrides: &Overrides) -> Result<Scenario, Failure> {
    let (profiles, settings) = (ingest::cli::profile_names(), ingest::cli::setting_names());
    let known = Known { profiles: &profiles, settings: &settings };
    crate::scenario::load(name, known).and_then(|s| s.with(overrides, known)).map_err(Failure::usage)
}

/// The engine that a scenario asks for.
///
/// # Errors
/// When there is no such program.
pub fn engine(scenario: &Scenario) -> Result<EngineSpec, Failure> {
    let spec = match &scenario.engine.command {
        Some(command) => EngineSpec::of_command(command),
        None => EngineSpec::built_in(),
    };
    spec.map_err(|e| Failure::usage(format!("the engine cannot be started: {e}")))
}

/// The event's revisions with the tables that must come of them, made off the async threads.
///
/// # Errors
/// When the scenario asks for what its event does not have.
pub async fn revisions(scenario: &Scenario) -> Result<Vec<Arc<plan::Revision>>, Failure> {
    let scenario = scenario.clone();
    tokio::task::spawn_blocking(move || plan::revisions(&scenario))
        .await
        .map_err(Failure::environment)?
        .map_err(Failure::usage)
}

/// The record of a run that has no trial yet.
#[must_use]
pub fn header(scenario: &Scenario, session: &Session) -> RunRecord {
    let command: Vec<String> = std::env::args().map(|a| report::scrub(&a)).collect();
    RunRecord {
        schema: SCHEMA,
        scenario: scenario.name.clone(),
        description: scenario.description.clone(),
        resolved: scenario.resolved(),
        started_at: session.started_at.clone(),
        run_us: 0,
        command: command.join(" "),
        environment: session.environment.clone(),
        capacity: None,
        comparison: None,
        trials: Vec::new(),
        interrupted: session.cancel.is_cancelled(),
        search: None,
        selftest: None,
        exit: 0,
    }
}

/// Looks whether runs can be written, before anything is started.
fn writable(out: &Path) -> Result<(), Failure> {
    std::fs::create_dir_all(out).map_err(unwritable(out))?;
    nix::unistd::access(out, nix::unistd::AccessFlags::W_OK).map_err(|e| unwritable(out)(e.into()))
}

fn unwritable(out: &Path) -> impl Fn(std::io::Error) -> Failure {
    move |e| {
        Failure::environment(format!("{} cannot be written to: {e}; choose another folder with --out", out.display()))
    }
}

/// `NAME=VALUE` of `--postgres-set`.
fn postgres_settings(texts: &[String]) -> Result<Vec<(String, String)>, Failure> {
    let pair = |text: &String| {
        let (name, value) = text.split_once('=').ok_or_else(|| {
            Failure::usage(format!("--postgres-set: `{text}` is not of the form NAME=VALUE, for example fsync=off"))
        })?;
        Ok((name.trim().to_owned(), value.trim().to_owned()))
    };
    texts.iter().map(pair).collect()
}

fn directory(out: &Path, name: &str, started_at: &str) -> Result<PathBuf, Failure> {
    let time: String = started_at.chars().filter(|c| c.is_ascii_alphanumeric()).collect();
    for n in 1.. {
        let name = if n == 1 { format!("{name}-{time}") } else { format!("{name}-{time}-{n}") };
        match std::fs::create_dir(out.join(&name)) {
            Ok(()) => return Ok(out.join(name)),
            Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => {}
            Err(e) => return Err(unwritable(out)(e)),
        }
    }
    Err(Failure::environment("no name is left for the run"))
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::{Backend, Binaries, Common, Environment, MEMORY, Overrides, room_in_memory, scenario};
    use crate::faults::Action;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        common: Common,
    }

    fn pinned(name: &str, flags: &[&str]) -> Common {
        let Ok(scenario) = scenario(name, &Overrides::default()) else { panic!("{name} cannot be read") };
        Line::parse_from(std::iter::once("harness").chain(flags.iter().copied())).common.pinned(&scenario)
    }

    #[test]
    fn a_fault_that_needs_a_local_server_gets_one_unless_another_was_asked_for() {
        let auto = ["--postgres", "auto"];
        let common = pinned("db-failover", &auto);
        // Without PostgreSQL on this machine there is none to be had.
        let wanted = if Binaries::find().is_ok() { Backend::Local } else { Backend::Auto };
        assert_eq!(common.postgres, wanted.name());
        assert_eq!(common.why_local, (wanted == Backend::Local).then_some(Action::DbFailover));
        assert_eq!(pinned("db-failover", &["--postgres", "docker"]).postgres, Backend::Docker.name());
        let plain = pinned("small-event", &auto);
        assert_eq!((plain.postgres.as_str(), plain.why_local), (Backend::Auto.name(), None));
    }

    #[test]
    fn what_was_interrupted_goes_on_where_it_was_unless_a_flag_says_otherwise() {
        let was = Environment { backend: "local".into(), data_in_memory: true, ..Environment::default() };
        let flags = |own: &[&str]| Line::parse_from(std::iter::once("harness").chain(own.iter().copied())).common;
        let silent = flags(&["--postgres", "auto"]).as_in(&was);
        assert_eq!(silent.postgres, "local");
        assert_eq!(silent.postgres_data, room_in_memory().then(|| MEMORY.into()));
        let said = flags(&["--postgres", "docker", "--postgres-data", "/data"]).as_in(&was);
        assert_eq!((said.postgres.as_str(), said.postgres_data), ("docker", Some("/data".into())));
        let elsewhere = Environment { backend: "url".into(), ..was };
        assert_eq!(flags(&["--postgres", "auto"]).as_in(&elsewhere).postgres, "auto", "its password is not stored");
    }
}
