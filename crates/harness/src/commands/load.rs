//! `harness load SCENARIO`: a service under load.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use super::interrupt::unless_cancelled;
use super::session::{self, Common, Session};
use super::sweep::conclude;
use super::{Failure, INTERRUPTED, PASS, sweep_flag};
use crate::clock::monotonic_us;
use crate::load::arrivals::{Length, Pattern};
use crate::load::capacity::{self, Bounds, Found, Measured, Objective};
use crate::load::drive;
use crate::load::plan::{self, LoadPlan};
use crate::quantity::Span;
use crate::report;
use crate::scenario::{LoadOverrides, LoadSpec, Overrides, Scenario};
use crate::trial::drive::Progress as _;
use crate::trial::plan::Revision;
use crate::trial::record::RunRecord;

/// Exit code when not even the lowest rate meets the objective.
const MISSED: u8 = 1;

/// A search begins so many times below the scenario's own rate: from where the harness itself is not the limit.
const BELOW: f64 = 4.0;

/// A request may start so small a share of the objective's bound after it was due.
const LATE_SHARE: u32 = 10;

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
    /// Search the highest rate that meets an objective of the latency, such as 'p99 < 5s'
    #[arg(long, value_name = "OBJECTIVE", conflicts_with_all = ["users", "repetitions"])]
    find_capacity: Option<Objective>,
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
            let mut load = Load { args, scenario: &scenario, events: events(&scenario, &spec, session).await? };
            report::write_header(&record, &session.lab.out)?;
            match args.find_capacity {
                Some(objective) => load.search(&objective, &spec, session, &mut record).await?,
                None => load.repeat(&spec, session, &mut record).await?,
            }
        }
        record.run_us = monotonic_us() - session.started_us;
        Ok((record, session.lab.out.clone()))
    })?;
    match ended {
        Some((record, out)) if out != args.common.out => {
            let nowhere = record.capacity.as_ref().is_some_and(|c| matches!(c.found, Found::Nowhere { .. }));
            let code = conclude(&args.common, record, &out)?;
            Ok(if code == PASS && nowhere { MISSED } else { code })
        }
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

/// The events, made off the async threads.
async fn events(scenario: &Scenario, spec: &LoadSpec, session: &Session) -> Result<Vec<Arc<Revision>>, Failure> {
    session.bar.phase("making the events");
    let (of, from) = (scenario.clone(), spec.clone());
    tokio::task::spawn_blocking(move || plan::events(&of, &from)).await.map_err(Failure::environment)
}

/// A load that is made again and again.
struct Load<'a> {
    args: &'a Args,
    scenario: &'a Scenario,
    events: Vec<Arc<Revision>>,
}

impl Load<'_> {
    async fn repeat(&mut self, spec: &LoadSpec, session: &Session, record: &mut RunRecord) -> Result<(), Failure> {
        for number in 1..=self.scenario.trials {
            session.bar.trial(format!("{} {number}/{}", self.scenario.name, self.scenario.trials));
            if !self.one(spec, None, session, record).await? {
                break;
            }
        }
        Ok(())
    }

    /// Searches the highest rate that meets the objective. Each measurement is a repetition, judged like any other.
    async fn search(
        &mut self,
        objective: &Objective,
        spec: &LoadSpec,
        session: &Session,
        record: &mut RunRecord,
    ) -> Result<(), Failure> {
        let bounds = match spec.pattern {
            Pattern::Steady { rate } | Pattern::Soak { rate, .. } => {
                Bounds { first: rate / BELOW, ..Bounds::default() }
            }
            _ => Bounds::default(),
        };
        let fewest = objective.fewest();
        let late = objective.limit() / LATE_SHARE;
        let spec_of = |rate: f64| {
            let wanted = match spec.length {
                Length::Time(time) => (rate * time.as_secs_f64()).ceil() as u64,
                Length::Requests(n) => n,
            };
            let length = Length::Requests(wanted.max(fewest));
            LoadSpec { pattern: Pattern::Steady { rate }, length, ..spec.clone() }
        };
        let found = {
            let record = &mut *record;
            capacity::search(objective, &bounds, async |rate: f64| {
                session.bar.trial(format!("{} at {rate:.1}/s", self.scenario.name));
                if !self.one(&spec_of(rate), Some(late), session, record).await? {
                    return Err(Failure::environment("stopped by the user"));
                }
                let last = record.trials.last().and_then(|t| t.load.as_ref());
                let broken = record.trials.last().and_then(|t| t.broken.clone()).unwrap_or_default();
                let load = last.ok_or_else(|| {
                    Failure::environment(format!("a measurement at {rate:.1} requests/s came to nothing: {broken}"))
                })?;
                Ok(Measured::from(&load.generated))
            })
            .await
        };
        match found {
            Ok(found) => {
                record.capacity = Some(Box::new(found));
                Ok(())
            }
            Err(_) if record.interrupted => Ok(()),
            Err(failure) => Err(failure),
        }
    }

    /// One repetition. `false`: the user stopped it.
    async fn one(
        &mut self,
        spec: &LoadSpec,
        late: Option<Duration>,
        session: &Session,
        record: &mut RunRecord,
    ) -> Result<bool, Failure> {
        let Session { lab, bar, cancel, .. } = session;
        let number = u32::try_from(record.trials.len() + 1).unwrap_or(u32::MAX);
        let mut plan = LoadPlan::of(self.scenario, spec, number, &self.events);
        plan.keep = self.args.keep;
        plan.late_after = late.map_or(plan.late_after, |late| late.max(plan.late_after));
        plan.reproduce = reproduce(self.args, self.scenario);
        let done = unless_cancelled(cancel, drive::repetition(lab, &plan, bar, cancel)).await;
        record.interrupted = cancel.is_cancelled();
        // One that ended whole just then was measured.
        if let Some(done) = done.filter(|done| !record.interrupted || done.broken.is_none()) {
            report::append_trial(&done, &lab.out)?;
            record.trials.push(done);
        }
        Ok(!record.interrupted)
    }
}

/// The command that runs a repetition like this one again.
fn reproduce(args: &Args, scenario: &Scenario) -> String {
    let mut words = vec!["harness load".to_owned(), args.scenario.clone()];
    words.extend(args.rate.iter().map(|r| format!("--rate {r}")));
    words.extend(args.users.iter().map(|u| format!("--users {u}")));
    words.extend(args.duration.iter().map(|d| format!("--duration {d}")));
    words.extend(args.find_capacity.iter().map(|o| format!("--find-capacity '{o}'")));
    words.extend(args.profile.iter().map(|p| format!("--profile {p}")));
    words.push(format!("--seed {}", scenario.event.seed));
    words.extend(args.settings.iter().map(|s| format!("--set {s}")));
    words.extend(args.faults.iter().map(|f| format!("--fault '{f}'")));
    words.extend(args.common.postgres_settings.iter().map(|s| format!("--postgres-set {s}")));
    words.push("--keep".to_owned());
    words.join(" ")
}
