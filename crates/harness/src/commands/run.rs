//! `harness run SCENARIO`: ingest, verify every row, measure, report.

use std::collections::{BTreeMap, BTreeSet};
use std::io::IsTerminal as _;
use std::num::NonZeroU32;
use std::path::Path;

use super::interrupt::unless_cancelled;
use super::session::{self, Common, Session};
use super::sweep_flag::{self, Sweep};
use super::{Failure, INTERRUPTED};
use crate::clock::monotonic_us;
use crate::faults::Fault;
use crate::quantity::Span;
use crate::report;
use crate::scenario::{Overrides, Scenario};
use crate::stats::Metric;
use crate::trial::drive;
use crate::trial::plan::TrialPlan;
use crate::trial::record::RunRecord;

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
    /// Keep each trial's database and files whatever comes out
    #[arg(long)]
    keep: bool,
    #[command(flatten)]
    common: Common,
}

impl Args {
    /// A file's scenario as it stands, so many times.
    pub fn of_file(file: String, times: NonZeroU32, keep: bool, common: Common) -> Self {
        Self {
            scenario: file,
            profiles: Vec::new(),
            trials: Some(times),
            seed: None,
            settings: Vec::new(),
            sweep: None,
            engine: None,
            crash_at: Vec::new(),
            drop_network_at: Vec::new(),
            lose_db_at: Vec::new(),
            faults: Vec::new(),
            database_rtt: None,
            liverc_latency: None,
            keep,
            common,
        }
    }
}

/// Runs the scenario.
pub fn main(args: Args) -> Result<u8, Failure> {
    let (scenario, sweep) = resolve(&args)?;
    let engine = session::engine(&scenario)?;
    let record = session::run(&args.common.pinned(&scenario), engine, &scenario.name, async |session| {
        let mut record = session::header(&scenario, session);
        if !record.interrupted {
            session.directory(&scenario.name)?;
            trials(&args, &scenario, sweep.as_ref(), session, &mut record).await?;
        }
        record.run_us = monotonic_us() - session.started_us;
        Ok((record, session.lab.out.clone()))
    })?;
    match record {
        // Interrupted before there was anything to measure.
        None => Ok(INTERRUPTED),
        Some((_, out)) if out == args.common.out => Ok(INTERRUPTED),
        Some((record, out)) => conclude(&args, record, &out),
    }
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
    let scenario = session::scenario(&args.scenario, &overrides)?;
    let sweep = args.sweep.as_deref().map(Sweep::parse).transpose();
    let sweep = sweep.map_err(|why| Failure::usage(format!("--sweep: {why}")))?;
    let set: BTreeSet<String> = overrides.settings.iter().map(|(name, _)| name.clone()).collect();
    sweep_flag::check(&scenario, &set, sweep.as_ref())?;
    Ok((scenario, sweep))
}

async fn trials(
    args: &Args,
    scenario: &Scenario,
    sweep: Option<&Sweep>,
    session: &Session,
    record: &mut RunRecord,
) -> Result<(), Failure> {
    let Session { lab, bar, cancel, .. } = session;
    report::write_header(record, &lab.out)?;
    drive::Progress::phase(bar, "making the event");
    let Some(revisions) = unless_cancelled(cancel, session::revisions(scenario)).await else {
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
    words.extend(args.common.postgres_settings.iter().map(|s| format!("--postgres-set {s}")));
    words.push("--keep".to_owned());
    words.join(" ")
}

/// Writes the report, prints the result, and gives the exit code.
fn conclude(args: &Args, mut record: RunRecord, dir: &Path) -> Result<u8, Failure> {
    record.exit = if record.interrupted { INTERRUPTED } else { report::overall::exit_code_of(&record) };
    report::write(&record, dir)?;
    report::write_index(&args.common.out)?;
    if args.common.json {
        let json = report::result_json(&record).map_err(Failure::environment)?;
        print!("{json}");
    } else {
        let terminal = std::io::stdout().is_terminal();
        let colours = report::terminal::colours(terminal, std::env::var_os("NO_COLOR").as_deref());
        print!("{}", report::terminal::text(&record, Some(dir), colours));
    }
    Ok(record.exit)
}
