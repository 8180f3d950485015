//! The command line. stdout carries the result, stderr the logs.

mod args;
mod metrics_file;
mod report;
mod service;
mod service_args;
mod verify;

use std::ffi::OsString;
use std::io::Read;
use std::path::PathBuf;
use std::sync::Arc;

use clap::ArgMatches;
use contract::exit;

use crate::error::chain;
use crate::metrics::Metrics;
use crate::pipeline::{Run, Source};
use crate::probe::Probe;
use crate::settings::{Layers, Settings, SettingsError, Source as Said};
use crate::store::{Session, Store, StoreError};

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("{0}")]
    Usage(String),
    #[error(transparent)]
    Settings(#[from] SettingsError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("{0}")]
    Other(String),
}

impl Failure {
    fn exit(&self) -> u8 {
        match self {
            Self::Usage(_) | Self::Settings(_) | Self::Store(StoreError::Url(_)) => exit::USAGE,
            Self::Store(e) if e.remedy().worth_retrying() => exit::RETRY,
            Self::Store(_) | Self::Other(_) => exit::FAILED,
        }
    }
}

/// Runs the engine with these arguments, the first of which is the name of the program. Returns the exit code of
/// `contract::exit`.
pub fn main(args: impl IntoIterator<Item = OsString>) -> u8 {
    let matches = match args::command().try_get_matches_from(args) {
        Ok(matches) => matches,
        Err(error) => {
            let _ = error.print();
            return if error.use_stderr() { exit::USAGE } else { exit::COMPLETE };
        }
    };
    start_logs(&matches);
    match run(&matches) {
        Ok(code) => code,
        Err(failure) => {
            eprintln!("ingest: {}", chain(&failure));
            if let Failure::Store(e) = &failure
                && let Some(advice) = e.advice()
            {
                eprintln!("ingest: {advice}");
            }
            failure.exit()
        }
    }
}

fn start_logs(matches: &ArgMatches) {
    let filter = std::env::var("INGEST_LOG").unwrap_or_else(|_| "warn".to_owned());
    let filter = tracing_subscriber::EnvFilter::try_new(filter).unwrap_or_else(|_| "warn".into());
    let logs = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(false);
    // An error means that the program that runs us has logs of its own.
    let _ = match matches.get_one::<String>("log-format").map(String::as_str) {
        Some("json") => logs.json().try_init().map_err(drop),
        _ => logs.try_init().map_err(drop),
    };
}

fn run(matches: &ArgMatches) -> Result<u8, Failure> {
    match matches.subcommand() {
        Some(("event", sub)) => event(sub),
        Some(("migrate", sub)) => migrate(sub),
        Some(("status", sub)) => status(sub),
        Some(("verify", sub)) => verify::run(sub),
        Some(("serve", sub)) => service::serve(sub),
        Some(("work", sub)) => service::work(sub),
        Some(("import", sub)) => service::import(sub),
        Some(("parse", sub)) => parse(sub),
        Some(("settings", sub)) => {
            report::settings(&settings(sub)?, sub.get_flag("json"));
            Ok(exit::COMPLETE)
        }
        _ => Err(Failure::Usage("no command; see `ingest --help`".to_owned())),
    }
}

fn settings(matches: &ArgMatches) -> Result<Settings, Failure> {
    let mut layers = Layers::default();
    if let Some(path) = matches.get_one::<String>("config") {
        layers.read_file(path)?;
    }
    let own = ["INGEST_LOG", "INGEST_CONFIG", "INGEST_METRICS_FILE"];
    let own: Vec<_> = own.into_iter().chain(service_args::variables()).collect();
    let vars =
        std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
    layers.read_environment(vars.filter(|(name, _)| !own.contains(&name.as_str())))?;
    for (name, value) in args::setting_flags(matches) {
        layers.set(name, value, Said::Flag(name.replace(['.', '_'], "-")))?;
    }
    Ok(layers.resolve()?)
}

/// The database that was named. Called within the runtime, which the pool needs.
fn store(matches: &ArgMatches, settings: &Settings) -> Result<Store, Failure> {
    measured_store(matches, settings, Arc::new(Metrics::new()))
}

/// The same, with metrics that somebody reads.
fn measured_store(matches: &ArgMatches, settings: &Settings, metrics: Arc<Metrics>) -> Result<Store, Failure> {
    let url = matches.get_one::<String>("database-url").filter(|u| !u.is_empty());
    let url = url.ok_or_else(|| {
        Failure::Usage("no database: set DATABASE_URL to postgres://user@host:port/database".to_owned())
    })?;
    Ok(Store::new(url, settings.database, metrics)?)
}

fn block_on<T>(work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.map_err(|e| Failure::Other(format!("cannot start the runtime: {e}")))?;
    let result = runtime.block_on(work);
    // A page that is still being parsed must not hold the process up.
    runtime.shutdown_timeout(std::time::Duration::from_millis(200));
    result
}

fn event(matches: &ArgMatches) -> Result<u8, Failure> {
    let settings = settings(matches)?;
    let probe = Arc::new(Probe::from_env().map_err(|e| Failure::Usage(chain(&e)))?);
    let (Some(&id), Some(track)) = (matches.get_one::<u64>("id"), matches.get_one::<String>("track")) else {
        return Err(Failure::Usage("an event needs --track and its id".to_owned()));
    };
    let json = matches.get_flag("json");
    let metrics = Arc::new(Metrics::new());
    let file = metrics_file::Writing::open(matches.get_one::<PathBuf>("metrics-file"), &metrics)?;
    block_on(async {
        // A pool is made where a runtime is.
        let store = measured_store(matches, &settings, metrics)?;
        let source = Source::site(&settings.liverc, &settings.retry, track).map_err(Failure::Usage)?;
        let run = Run::new(id, store, source, settings.clone(), probe);
        stop_on_signals(run.stop());
        let summary = file.during(run.execute()).await;
        report::summary(&summary, json);
        Ok(u8::try_from(summary.exit).unwrap_or(exit::FAILED))
    })
}

/// SIGINT and SIGTERM end the run in good order; a second one ends the process.
fn stop_on_signals(stop: tokio_util::sync::CancellationToken) {
    use tokio::signal::unix::{SignalKind, signal};
    let (Ok(mut interrupt), Ok(mut terminate)) = (signal(SignalKind::interrupt()), signal(SignalKind::terminate()))
    else {
        return tracing::warn!("cannot listen for signals: SIGINT will roll back the unit that is being written");
    };
    tokio::spawn(async move {
        let mut stopping = false;
        loop {
            let which = tokio::select! {
                _ = interrupt.recv() => nix::sys::signal::Signal::SIGINT,
                _ = terminate.recv() => nix::sys::signal::Signal::SIGTERM,
            };
            if stopping {
                #[expect(unsafe_code, reason = "the default action of a signal, set by a call without memory effects")]
                // SAFETY: SIG_DFL installs no handler.
                unsafe {
                    let _ = nix::sys::signal::signal(which, nix::sys::signal::SigHandler::SigDfl);
                }
                let _ = nix::sys::signal::raise(which);
            }
            stopping = true;
            eprintln!("ingest: {which}: finishing what is being written; once more to stop at once");
            stop.cancel();
        }
    });
}

fn migrate(matches: &ArgMatches) -> Result<u8, Failure> {
    let settings = settings(matches)?;
    block_on(async {
        let store = store(matches, &settings)?;
        store.migrate().await?;
        store.close().await;
        println!("the schema is up to date");
        Ok(exit::COMPLETE)
    })
}

fn status(matches: &ArgMatches) -> Result<u8, Failure> {
    let settings = settings(matches)?;
    let Some(&id) = matches.get_one::<u64>("id") else { return Err(Failure::Usage("which event?".to_owned())) };
    let (json, rehash) = (matches.get_flag("json"), matches.get_flag("rehash"));
    block_on(async {
        let store = store(matches, &settings)?;
        let mut session = Session::acquire(&store).await?;
        let status = crate::store::status(&mut session, id, rehash).await;
        session.close().await;
        store.close().await;
        Ok(report::status(&status?, json))
    })
}

fn parse(matches: &ArgMatches) -> Result<u8, Failure> {
    let files: Vec<&OsString> = matches.get_many("file").into_iter().flatten().collect();
    let several = files.len() > 1;
    let mut failed = false;
    for file in files {
        let shown = file.to_string_lossy();
        let described = read(file)
            .map_err(|e| e.to_string())
            .and_then(|text| crate::liverc::describe(&text).map_err(|e| chain(&e)));
        match described {
            Ok(mut value) => {
                if several && let Some(object) = value.as_object_mut() {
                    object.insert("file".to_owned(), shown.into());
                }
                report::json(&value, !several);
            }
            Err(cause) => {
                eprintln!("ingest: {shown}: {cause}");
                failed = true;
            }
        }
    }
    Ok(if failed { exit::FAILED } else { exit::COMPLETE })
}

/// Reads a file, or standard input for `-`. Bytes that are no UTF-8 are replaced, as they are for a fetched page.
fn read(file: &OsString) -> std::io::Result<String> {
    let mut bytes = Vec::new();
    if file == "-" {
        std::io::stdin().read_to_end(&mut bytes)?;
    } else {
        bytes = std::fs::read(file)?;
    }
    Ok(String::from_utf8(bytes).unwrap_or_else(|e| String::from_utf8_lossy(e.as_bytes()).into_owned()))
}

/// Names of the profiles, for whoever checks a scenario.
#[must_use]
pub fn profile_names() -> Vec<&'static str> {
    vec!["before", "after", "fast"]
}

/// Names of all settings, for whoever checks a scenario.
#[must_use]
pub fn setting_names() -> Vec<&'static str> {
    crate::settings::KEYS.iter().map(|k| k.name).collect()
}

/// Checks a setting before an engine is started with it.
///
/// # Errors
/// What is wrong: an unknown name with the nearest one, a value that the setting cannot have with what it should be.
pub fn check_setting(name: &str, value: &str) -> Result<(), String> {
    let mut layers = Layers::default();
    let checked = layers.set(name, value, Said::Default).and_then(|()| layers.resolve().map(drop));
    checked.map_err(|error| match error {
        SettingsError::Value { name, value, expected, .. } => format!("{name} = `{value}`: {expected}"),
        SettingsError::Unknown { name, hint, .. } => format!("unknown setting `{name}`{hint}"),
        SettingsError::File { reason, .. } => reason,
    })
}
