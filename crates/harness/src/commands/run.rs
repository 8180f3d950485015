//! `harness run SCENARIO`: ingest, verify every row, measure, report.

use std::collections::{BTreeMap, BTreeSet};
use std::io::IsTerminal as _;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use sandbox::postgres::{Choice, Options};
use tokio_util::sync::CancellationToken;

use super::interrupt::{self, unless_cancelled};
use super::progress::Bar;
use super::sweep_flag::{self, Sweep};
use super::{Failure, INTERRUPTED, lab};
use crate::clock::{monotonic_us, now_rfc3339};
use crate::faults::Fault;
use crate::quantity::Span;
use crate::report;
use crate::scenario::{self, Known, Overrides, Scenario};
use crate::stats::Metric;
use crate::trial::attempt::EngineSpec;
use crate::trial::drive::{self, Lab};
use crate::trial::plan::{self, TrialPlan};
use crate::trial::record::{Environment, RunRecord, SCHEMA};

/// Arguments.
#[derive(clap::Args, Debug, Clone)]
pub struct Args {
    /// Name of a scenario (see `harness list`), or path of a TOML file
    scenario: String,
    /// Engine profile; several are run one after the other in each round of trials
    #[arg(long = "profile", value_name = "PROFILE")]
    profiles: Vec<String>,
    /// Trials per profile
    #[arg(long, value_name = "N")]
    trials: Option<NonZeroU32>,
    /// Seed of the synthetic event
    #[arg(long, value_name = "S")]
    seed: Option<u64>,
    /// One engine setting on top of the profile
    #[arg(long = "set", value_name = "NAME=VALUE")]
    settings: Vec<String>,
    /// One engine setting at several values, each in every round of trials; the report shows how things move with it
    #[arg(long, value_name = "NAME=V1,V2,…")]
    sweep: Option<String>,
    /// Another engine: a command with {track} and {event_id}, given DATABASE_URL and LIVERC_BASE_URL
    #[arg(long, value_name = "COMMAND")]
    engine: Option<String>,
    /// Kill the engine at a step or a moment on the wire: mid-batch#2, commit#3:sent
    #[arg(long, value_name = "WHEN", help_heading = "Faults")]
    crash_at: Vec<String>,
    /// Let the network to LiveRC swallow everything, and heal: race-fetched#5:2s
    #[arg(long, value_name = "WHEN[:FOR]", help_heading = "Faults")]
    drop_network_at: Vec<String>,
    /// Kill PostgreSQL, and start it again: before-commit:1s
    #[arg(long, value_name = "WHEN[:FOR]", help_heading = "Faults")]
    lose_db_at: Vec<String>,
    /// Any fault (see `harness list faults` and `harness list steps`): before-commit#2=db-terminate
    #[arg(long = "fault", value_name = "WHEN=DO[:FOR]", help_heading = "Faults")]
    faults: Vec<String>,
    /// Add this to every round trip to PostgreSQL
    #[arg(long, value_name = "TIME", help_heading = "Network")]
    database_rtt: Option<Span>,
    /// Add this to every answer of LiveRC
    #[arg(long, value_name = "TIME", help_heading = "Network")]
    liverc_latency: Option<Span>,
    /// A setting of a PostgreSQL of the harness's own: synchronous_commit=off
    #[arg(long = "postgres-set", value_name = "NAME=VALUE")]
    postgres_settings: Vec<String>,
    /// Where PostgreSQL comes from: auto, docker, local, or a URL
    #[arg(long, value_name = "WHERE", default_value = "auto", env = "HARNESS_POSTGRES", hide_env_values = true)]
    postgres: String,
    /// Image for docker
    #[arg(long, value_name = "IMAGE", env = "HARNESS_POSTGRES_IMAGE")]
    postgres_image: Option<String>,
    /// Where runs are written
    #[arg(long, value_name = "DIR", default_value = "reports", env = "HARNESS_OUT")]
    out: PathBuf,
    /// Keep each trial's database and files whatever comes out
    #[arg(long)]
    keep: bool,
    /// Print result.json instead of the summary
    #[arg(long)]
    json: bool,
}

/// Runs the scenario.
pub fn main(args: Args) -> Result<u8, Failure> {
    let choice: Choice = args.postgres.parse().map_err(Failure::usage)?;
    let (scenario, sweep) = resolve(&args)?;
    let engine = engine(&scenario)?;
    let runtime = tokio::runtime::Runtime::new().map_err(|e| Failure::environment(format!("no async runtime: {e}")))?;
    let outcome = runtime.block_on(async {
        let cancel = CancellationToken::new();
        interrupt::listen(cancel.clone()).map_err(|e| Failure::environment(format!("no signal handler: {e}")))?;
        run(&args, &scenario, sweep.as_ref(), &choice, engine, &cancel).await
    });
    // After Ctrl-C an event may still be in the making: it is not waited for longer than this.
    // A thread that is still making the server's files cleans up after itself when it is let finish.
    runtime.shutdown_timeout(std::time::Duration::from_secs(10));
    outcome
}

fn resolve(args: &Args) -> Result<(Scenario, Option<Sweep>), Failure> {
    let mut overrides = Overrides {
        profiles: args.profiles.clone(),
        trials: args.trials,
        seed: args.seed,
        database_rtt: args.database_rtt,
        liverc_latency: args.liverc_latency,
        command: args.engine.as_deref().map(|c| c.split_whitespace().map(str::to_owned).collect()),
        ..Overrides::default()
    };
    for text in &args.settings {
        overrides.set(text).map_err(Failure::usage)?;
    }
    for text in &args.crash_at {
        overrides.fault("--crash-at", Fault::crash_at(text)).map_err(Failure::usage)?;
    }
    for text in &args.drop_network_at {
        overrides.fault("--drop-network-at", Fault::drop_network_at(text)).map_err(Failure::usage)?;
    }
    for text in &args.lose_db_at {
        overrides.fault("--lose-db-at", Fault::lose_db_at(text)).map_err(Failure::usage)?;
    }
    for text in &args.faults {
        overrides.fault("--fault", text.parse()).map_err(Failure::usage)?;
    }
    let (profiles, settings) = (ingest::cli::profile_names(), ingest::cli::setting_names());
    let known = Known { profiles: &profiles, settings: &settings };
    let scenario =
        scenario::load(&args.scenario, known).and_then(|s| s.with(&overrides, known)).map_err(Failure::usage)?;
    let sweep = args.sweep.as_deref().map(Sweep::parse).transpose();
    let sweep = sweep.map_err(|why| Failure::usage(format!("--sweep: {why}")))?;
    let set: BTreeSet<String> = overrides.settings.iter().map(|(name, _)| name.clone()).collect();
    sweep_flag::check(&scenario, &set, sweep.as_ref())?;
    Ok((scenario, sweep))
}

fn engine(scenario: &Scenario) -> Result<EngineSpec, Failure> {
    let spec = match &scenario.engine.command {
        Some(command) => EngineSpec::of_command(command),
        None => EngineSpec::built_in(),
    };
    spec.map_err(|e| Failure::usage(format!("the engine cannot be started: {e}")))
}

async fn run(
    args: &Args,
    scenario: &Scenario,
    sweep: Option<&Sweep>,
    choice: &Choice,
    engine: EngineSpec,
    cancel: &CancellationToken,
) -> Result<u8, Failure> {
    let started = (monotonic_us(), now_rfc3339());
    // Before anything is started; the run's own folder comes when there is something to put into it.
    writable(&args.out)?;
    let bar = Bar::new();
    bar.trial(scenario.name.clone());
    drive::Progress::phase(&bar, "starting PostgreSQL");
    let settings = postgres_settings(&args.postgres_settings)?;
    let options = Options { image: args.postgres_image.clone(), settings, ..Options::default() };
    let opened = unless_cancelled(cancel, lab::open(choice, &options, engine, args.out.clone())).await;
    let (mut lab, environment) = match opened {
        Some(Ok(opened)) => opened,
        Some(Err(failure)) if !cancel.is_cancelled() => {
            bar.finish();
            return Err(failure);
        }
        _ => return Ok(INTERRUPTED),
    };
    let mut record = header(scenario, environment, &started.1);
    record.interrupted = cancel.is_cancelled();
    let outcome = async {
        if !record.interrupted {
            lab.out = directory(&args.out, &scenario.name, &started.1)?;
            trials(args, scenario, sweep, &lab, &mut record, &bar, cancel).await?;
        }
        Ok::<_, Failure>(())
    };
    let outcome = outcome.await;
    bar.finish();
    if let Err(error) = lab.server.dispose().await {
        tracing::warn!(%error, "the server left something behind");
    }
    outcome?;
    if lab.out == args.out {
        // Interrupted before there was anything to measure.
        return Ok(INTERRUPTED);
    }
    record.run_us = monotonic_us() - started.0;
    conclude(args, record, &lab.out)
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

/// `OUT/<scenario>-<time>`, a new directory.
fn directory(out: &Path, scenario: &str, started_at: &str) -> Result<PathBuf, Failure> {
    let time: String = started_at.chars().filter(|c| c.is_ascii_alphanumeric()).collect();
    for n in 1.. {
        let name = if n == 1 { format!("{scenario}-{time}") } else { format!("{scenario}-{time}-{n}") };
        match std::fs::create_dir(out.join(&name)) {
            Ok(()) => return Ok(out.join(name)),
            Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => {}
            Err(e) => return Err(unwritable(out)(e)),
        }
    }
    Err(Failure::environment("no name is left for the run"))
}

fn header(scenario: &Scenario, environment: Environment, started_at: &str) -> RunRecord {
    let command: Vec<String> = std::env::args().map(|a| report::scrub(&a)).collect();
    RunRecord {
        schema: SCHEMA,
        scenario: scenario.name.clone(),
        description: scenario.description.clone(),
        resolved: scenario.resolved(),
        started_at: started_at.to_owned(),
        run_us: 0,
        command: command.join(" "),
        environment,
        trials: Vec::new(),
        interrupted: false,
        exit: 0,
    }
}

async fn trials(
    args: &Args,
    scenario: &Scenario,
    sweep: Option<&Sweep>,
    lab: &Lab,
    record: &mut RunRecord,
    bar: &Bar,
    cancel: &CancellationToken,
) -> Result<(), Failure> {
    report::write_header(record, &lab.out)?;
    drive::Progress::phase(bar, "making the event");
    let Some(revisions) = unless_cancelled(cancel, revisions(scenario)).await else {
        record.interrupted = true;
        return Ok(());
    };
    let revisions = revisions?;
    // Another engine has no profiles: one series of trials, under its own name.
    let profiles = if scenario.engine.profiles.is_empty() {
        vec!["external".to_owned()]
    } else {
        scenario.engine.profiles.clone()
    };
    let settings: Vec<Option<(&String, &String)>> = match sweep {
        Some(sweep) => sweep.values.iter().map(|value| Some((&sweep.name, value))).collect(),
        None => vec![None],
    };
    // Values and profiles take turns, so that a machine that slows down slows all of them.
    let round: Vec<_> = settings.iter().flat_map(|s| profiles.iter().map(move |profile| (*s, profile))).collect();
    let total = scenario.trials as usize * round.len();
    let rounds = (0..scenario.trials).flat_map(|_| &round);
    let mut round_trips: BTreeMap<_, u64> = BTreeMap::new();
    for (number, &(setting, profile)) in (1..).zip(rounds) {
        let mut trial = TrialPlan::of(scenario, profile, number, &revisions);
        let shown = setting.map(|(name, value)| format!(" {name}={value}")).unwrap_or_default();
        bar.trial(format!("{} {profile}{shown} {number}/{total}", scenario.name));
        if let Some((name, value)) = setting {
            trial.settings.insert(name.clone(), value.clone());
        }
        trial.keep = args.keep;
        trial.round_trips = round_trips.get(&(setting, profile)).copied();
        trial.reproduce = reproduce(args, profile, setting, scenario);
        let done = unless_cancelled(cancel, drive::run(lab, &trial, bar, cancel)).await;
        record.interrupted = cancel.is_cancelled();
        // One that ended whole just then was measured.
        if let Some(done) = done.filter(|done| !record.interrupted || done.broken.is_none()) {
            report::append_trial(&done, &lab.out)?;
            if let Some(&trips) = done.metrics.get(&Metric::RoundTrips) {
                round_trips.insert((setting, profile), trips as u64);
            }
            record.trials.push(done);
        }
        if record.interrupted {
            break;
        }
    }
    Ok(())
}

/// The event's revisions with the tables that must come of them, made off the async threads.
async fn revisions(scenario: &Scenario) -> Result<Vec<Arc<plan::Revision>>, Failure> {
    let scenario = scenario.clone();
    tokio::task::spawn_blocking(move || plan::revisions(&scenario))
        .await
        .map_err(Failure::environment)?
        .map_err(Failure::usage)
}

/// The command that runs a trial like this one again.
fn reproduce(args: &Args, profile: &str, swept: Option<(&String, &String)>, scenario: &Scenario) -> String {
    let mut words = vec!["harness run".to_owned(), args.scenario.clone()];
    if scenario.engine.command.is_none() {
        words.push(format!("--profile {profile}"));
    }
    words.push(format!("--seed {}", scenario.event.seed));
    words.extend(args.settings.iter().map(|s| format!("--set {s}")));
    words.extend(swept.map(|(name, value)| format!("--set {name}={value}")));
    words.extend(args.engine.iter().map(|e| format!("--engine '{e}'")));
    words.extend(args.crash_at.iter().map(|w| format!("--crash-at '{w}'")));
    words.extend(args.drop_network_at.iter().map(|w| format!("--drop-network-at '{w}'")));
    words.extend(args.lose_db_at.iter().map(|w| format!("--lose-db-at '{w}'")));
    words.extend(args.faults.iter().map(|f| format!("--fault '{f}'")));
    words.extend(args.database_rtt.iter().map(|t| format!("--database-rtt {t}")));
    words.extend(args.liverc_latency.iter().map(|t| format!("--liverc-latency {t}")));
    words.extend(args.postgres_settings.iter().map(|s| format!("--postgres-set {s}")));
    words.push("--keep".to_owned());
    words.join(" ")
}

/// Writes the report, prints the result, and gives the exit code.
fn conclude(args: &Args, mut record: RunRecord, dir: &Path) -> Result<u8, Failure> {
    record.exit = if record.interrupted { INTERRUPTED } else { report::overall::exit_code_of(&record) };
    report::write(&record, dir)?;
    report::write_index(&args.out)?;
    if args.json {
        let json = report::result_json(&record).map_err(Failure::environment)?;
        print!("{json}");
    } else {
        let terminal = std::io::stdout().is_terminal();
        let colours = report::terminal::colours(terminal, std::env::var_os("NO_COLOR").as_deref());
        print!("{}", report::terminal::text(&record, Some(dir), colours));
    }
    Ok(record.exit)
}
