//! `harness load SCENARIO`: a service under load.

use std::num::NonZeroU32;

use super::interrupt::unless_cancelled;
use super::session::{self, Common, Session};
use super::sweep::conclude;
use super::{Failure, INTERRUPTED, sweep_flag};
use crate::clock::monotonic_us;
use crate::load::drive;
use crate::load::plan::{self, LoadPlan};
use crate::quantity::Span;
use crate::report;
use crate::scenario::{LoadOverrides, LoadSpec, Overrides, Scenario};
use crate::trial::drive::Progress as _;
use crate::trial::record::RunRecord;

/// Arguments.
#[derive(clap::Args, Debug, Clone)]
pub struct Args {
    /// Name of a scenario with [load] (see `harness list`), or path of a TOML file
    scenario: String,
    /// Requests a second; of a ramp or a spike, those that it begins with
    #[arg(long, value_name = "N")]
    rate: Option<f64>,
    /// So many users in the place of the scenario's arrivals: each waits for an answer before it asks again
    #[arg(long, value_name = "N")]
    users: Option<u32>,
    /// For how long requests are made
    #[arg(long, value_name = "TIME")]
    duration: Option<Span>,
    /// Repetitions, each with a service and a database of its own
    #[arg(long, value_name = "N")]
    repetitions: Option<NonZeroU32>,
    /// Engine profile of the workers
    #[arg(long, value_name = "PROFILE")]
    profile: Option<String>,
    /// Seed of the synthetic events, and of which is asked for when
    #[arg(long, value_name = "S")]
    seed: Option<u64>,
    /// One engine setting on top of the profile, as often as wanted
    #[arg(long = "set", value_name = "NAME=VALUE")]
    settings: Vec<String>,
    /// One fault more, WHEN=DO[:FOR], as often as wanted: job#3=crash, import#2:answered=client-reset, 1s=db-restart
    #[arg(long = "fault", value_name = "FAULT")]
    faults: Vec<String>,
    /// Keep databases and files whatever comes out
    #[arg(long)]
    keep: bool,
    #[command(flatten)]
    common: Common,
}

/// Loads the service.
pub fn main(args: &Args) -> Result<u8, Failure> {
    let (scenario, spec) = resolve(args)?;
    let engine = session::engine(&scenario)?;
    let common = args.common.pinned(&scenario);
    let ended = session::run(&common, engine, &scenario.name, async |session| {
        let mut record = session::header(&scenario, session);
        if !record.interrupted {
            session.directory(&scenario.name)?;
            repetitions(args, &scenario, &spec, session, &mut record).await?;
        }
        record.run_us = monotonic_us() - session.started_us;
        Ok((record, session.lab.out.clone()))
    })?;
    match ended {
        Some((record, out)) if out != args.common.out => conclude(&args.common, record, &out),
        // Interrupted before there was anything to measure.
        _ => Ok(INTERRUPTED),
    }
}

fn resolve(args: &Args) -> Result<(Scenario, LoadSpec), Failure> {
    let mut overrides = Overrides {
        profiles: args.profile.iter().cloned().collect(),
        trials: args.repetitions,
        seed: args.seed,
        ..Overrides::default()
    };
    for text in &args.settings {
        overrides.set(text).map_err(Failure::usage)?;
    }
    for text in &args.faults {
        overrides.fault("--fault", text.parse()).map_err(Failure::usage)?;
    }
    let mut scenario = session::any_scenario(&args.scenario, &overrides)?;
    let Some(spec) = scenario.load.clone() else {
        return Err(Failure::usage(format!(
            "{} has no [load], it is the ingestion of an event: use `harness run {}`",
            scenario.name, args.scenario
        )));
    };
    let set = overrides.settings.iter().map(|(name, _)| name.clone()).collect();
    sweep_flag::check(&scenario, &set, None)?;
    let flags = LoadOverrides { rate: args.rate, users: args.users, duration: args.duration };
    let spec = spec.with(&flags).map_err(Failure::usage)?;
    scenario.load = Some(spec.clone());
    Ok((scenario, spec))
}

async fn repetitions(
    args: &Args,
    scenario: &Scenario,
    spec: &LoadSpec,
    session: &Session,
    record: &mut RunRecord,
) -> Result<(), Failure> {
    let Session { lab, bar, cancel, .. } = session;
    report::write_header(record, &lab.out)?;
    bar.phase("making the events");
    let (of, from) = (scenario.clone(), spec.clone());
    let events = tokio::task::spawn_blocking(move || plan::events(&of, &from)).await.map_err(Failure::environment)?;
    for number in 1..=scenario.trials {
        bar.trial(format!("{} {number}/{}", scenario.name, scenario.trials));
        let mut plan = LoadPlan::of(scenario, spec, number, &events);
        plan.keep = args.keep;
        plan.reproduce = reproduce(args, scenario);
        let done = unless_cancelled(cancel, drive::repetition(lab, &plan, bar, cancel)).await;
        record.interrupted = cancel.is_cancelled();
        // One that ended whole just then was measured.
        if let Some(done) = done.filter(|done| !record.interrupted || done.broken.is_none()) {
            report::append_trial(&done, &lab.out)?;
            record.trials.push(done);
        }
        if record.interrupted {
            break;
        }
    }
    Ok(())
}

/// The command that runs a repetition like this one again.
fn reproduce(args: &Args, scenario: &Scenario) -> String {
    let mut words = vec!["harness load".to_owned(), args.scenario.clone()];
    words.extend(args.rate.iter().map(|r| format!("--rate {r}")));
    words.extend(args.users.iter().map(|u| format!("--users {u}")));
    words.extend(args.duration.iter().map(|d| format!("--duration {d}")));
    words.extend(args.profile.iter().map(|p| format!("--profile {p}")));
    words.push(format!("--seed {}", scenario.event.seed));
    words.extend(args.settings.iter().map(|s| format!("--set {s}")));
    words.extend(args.faults.iter().map(|f| format!("--fault '{f}'")));
    words.extend(args.common.postgres_settings.iter().map(|s| format!("--postgres-set {s}")));
    words.push("--keep".to_owned());
    words.join(" ")
}
