//! `harness phases`: what each of the review's cures buys, alone and on top of one another, and whether it is safe.

use std::num::NonZeroU32;

use super::interrupt::unless_cancelled;
use super::session::{self, Common, Session};
use super::{Failure, INTERRUPTED};
use crate::clock::monotonic_us;
use crate::oracle::OracleName;
use crate::phases::{self, PhasesRecord, Placed, Variant, variants};
use crate::quantity::Span;
use crate::report;
use crate::scenario::{Overrides, Scenario};
use crate::trial::drive;
use crate::trial::plan::{Extras, TrialPlan};
use crate::trial::record::RunRecord;

/// Arguments.
#[derive(clap::Args, Debug, Clone)]
pub struct Args {
    /// What is measured: a scenario's name, or path of a TOML file
    #[arg(default_value = "phases")]
    scenario: String,
    /// Rounds in which every variant is measured once; an interval needs 6, and one more is made and dropped
    #[arg(long, value_name = "N", default_value = "10")]
    rounds: NonZeroU32,
    /// Leave the scenario's faults out: no evidence
    #[arg(long)]
    no_faults: bool,
    /// Add this to every round trip to PostgreSQL
    #[arg(long, value_name = "TIME", help_heading = "Network")]
    database_rtt: Option<Span>,
    /// Add this to every answer of LiveRC
    #[arg(long, value_name = "TIME", help_heading = "Network")]
    liverc_latency: Option<Span>,
    #[command(flatten)]
    common: Common,
}

/// Measures the phases.
pub fn main(args: &Args) -> Result<u8, Failure> {
    let overrides =
        Overrides { database_rtt: args.database_rtt, liverc_latency: args.liverc_latency, ..Overrides::default() };
    let scenario = session::scenario(&args.scenario, &overrides)?;
    if scenario.engine.profiles != ["before"] || !scenario.engine.settings.is_empty() {
        return Err(Failure::usage(format!(
            "phases begin at the profile `before` with its own settings; {} asks for something else",
            scenario.name
        )));
    }
    let engine = session::engine(&scenario)?;
    let common = args.common.pinned(&scenario);
    let done = session::run(&common, engine, "phases", async |session| {
        let mut record = session::header(&scenario, session);
        let mut phases = PhasesRecord { rounds: args.rounds.get(), ..PhasesRecord::default() };
        if !record.interrupted {
            session.directory(&scenario.name)?;
            let cancel = session.cancel.clone();
            let measured = unless_cancelled(&cancel, measure(args, &scenario, session, &mut record, &mut phases)).await;
            record.interrupted = cancel.is_cancelled();
            measured.transpose()?;
        }
        record.run_us = monotonic_us() - session.started_us;
        Ok((record, phases, session.lab.out.clone()))
    })?;
    let Some((mut record, phases, dir)) = done.filter(|(_, _, dir)| *dir != args.common.out) else {
        return Ok(INTERRUPTED);
    };
    record.exit = report::overall::exit_code_of(&record);
    report::write(&record, &dir)?;
    phases::report::write(&record, &phases, &dir)?;
    report::write_index(&args.common.out)?;
    if args.common.json {
        print!("{}", report::result_json(&record).map_err(Failure::environment)?);
    } else {
        print!("{}", phases::report::text(&record, &phases, Some(&dir)));
    }
    Ok(record.exit)
}

async fn measure(
    args: &Args,
    scenario: &Scenario,
    session: &Session,
    record: &mut RunRecord,
    phases: &mut PhasesRecord,
) -> Result<(), Failure> {
    report::write_header(record, &session.lab.out)?;
    let revisions = session::revisions(scenario).await?;
    let all = variants();
    let plan = |variant: &Variant, number: usize| {
        let number = u32::try_from(number + 1).unwrap_or(u32::MAX);
        let mut plan = TrialPlan::of(scenario, "before", number, &revisions);
        plan.settings.extend(variant.settings.clone());
        let set: Vec<String> = variant.settings.iter().map(|(n, v)| format!(" --set {n}={v}")).collect();
        plan.reproduce = format!("harness run {} --profile before{}", args.scenario, set.concat());
        plan.extras = Extras::NONE;
        plan.oracles.retain(|o| !matches!(o, OracleName::SameContent | OracleName::NoRewrite));
        plan
    };
    for round in 0..=phases.rounds {
        // There and back again, so that a drift falls on all alike.
        let mut order: Vec<&Variant> = all.iter().collect();
        if round % 2 == 1 {
            order.reverse();
        }
        for variant in order {
            session.bar.trial(format!("round {round} of {}: {}", phases.rounds, variant.label));
            let mut plan = plan(variant, record.trials.len());
            plan.faults.clear();
            plan.oracles.retain(|o| *o != OracleName::Durable);
            let number = plan.number;
            if !trial(session, record, &plan).await? {
                return Ok(());
            }
            phases.places.push(Placed { trial: number, round, variant: variant.label.clone() });
        }
    }
    if args.no_faults {
        return Ok(());
    }
    for variant in all.iter().filter(|v| v.cure.is_some()) {
        for fault in &scenario.faults {
            session.bar.trial(format!("{}: {fault}", variant.label));
            let mut plan = plan(variant, record.trials.len());
            plan.faults = vec![fault.clone()];
            phases.faulted.push((plan.number, variant.label.clone()));
            if !trial(session, record, &plan).await? {
                return Ok(());
            }
        }
    }
    Ok(())
}

/// Runs a trial into the record. `false`: the user stopped it.
async fn trial(session: &Session, record: &mut RunRecord, plan: &TrialPlan) -> Result<bool, Failure> {
    let Session { lab, bar, cancel, .. } = session;
    let mut done = drive::run(lab, plan, bar, cancel).await;
    if cancel.is_cancelled() {
        return Ok(false);
    }
    if report::overall::of_trial(&done).verdict == crate::oracle::Verdict::Held {
        done.thin();
    }
    report::append_trial(&done, &lab.out)?;
    record.trials.push(done);
    Ok(true)
}
