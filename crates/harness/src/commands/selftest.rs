//! `harness selftest`: an engine, a worker or a client with one bug at a time, and which oracle catches it.

use std::collections::BTreeMap;
use std::io::IsTerminal as _;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use faulty::ServiceBug;
use futures::StreamExt as _;

use super::interrupt::unless_cancelled;
use super::session::{self, Common, Session};
use super::{Failure, INTERRUPTED};
use crate::clock::monotonic_us;
use crate::load;
use crate::load::client::Who;
use crate::load::plan::LoadPlan;
use crate::report;
use crate::scenario::{Known, Scenario};
use crate::selftest::{self, Case, Sort, Subject};
use crate::trial::attempt::EngineSpec;
use crate::trial::drive::{self, Progress};
use crate::trial::plan::{Revision, TrialPlan};
use crate::trial::record::{RunRecord, TrialRecord};

/// Name of the run.
const NAME: &str = "selftest";

/// A shorter patience is for what is left behind on purpose, which keeps the next process waiting.
const LONG: Duration = Duration::from_secs(5);

/// How long a session that is left behind on purpose is waited for.
const LEFT_BEHIND: Duration = Duration::from_secs(1);

/// Arguments.
#[derive(clap::Args, Debug, Clone)]
pub struct Args {
    /// Only this bug (see `harness list bugs`), and the right engine under its scenario; may be given several times. Without it:
    /// all bugs and controls
    #[arg(long = "bug", value_name = "NAME")]
    bugs: Vec<String>,
    /// Trials at the same time, each in its own database. Twice the cores, if not given
    #[arg(long, value_name = "N")]
    jobs: Option<NonZeroUsize>,
    /// Keep each trial's database and files whatever comes out
    #[arg(long)]
    keep: bool,
    #[command(flatten)]
    common: Common,
}

/// Runs the test.
pub fn main(args: Args) -> Result<u8, Failure> {
    let cases = chosen(&args.bugs)?;
    let engine = engine("none")?;
    let record = session::run(&args.common, engine, NAME, async |session| {
        let mut record = session::header(&scenario("undisturbed")?, session);
        NAME.clone_into(&mut record.scenario);
        "An engine, a worker or a client with one bug at a time, and which oracle catches it."
            .clone_into(&mut record.description);
        record.resolved = resolved(&cases);
        // Should the harness be killed, what it leaves says that nothing was shown.
        record.selftest = Some(selftest::judge(&cases, &[], !args.bugs.is_empty()));
        if !record.interrupted {
            session.directory(NAME)?;
            trials(&args, &cases, session, &mut record).await?;
        }
        record.run_us = monotonic_us() - session.started_us;
        Ok((record, session.lab.out.clone()))
    })?;
    let Some((mut record, dir)) = record.filter(|(_, out)| *out != args.common.out) else { return Ok(INTERRUPTED) };
    record.exit = report::overall::exit_code_of(&record);
    report::write(&record, &dir)?;
    report::write_index(&args.common.out)?;
    if args.common.json {
        print!("{}", report::result_json(&record).map_err(Failure::environment)?);
    } else {
        let terminal = std::io::stdout().is_terminal();
        let colours = report::terminal::colours(terminal, std::env::var_os("NO_COLOR").as_deref());
        print!("{}", report::terminal::text(&record, Some(&dir), colours));
    }
    Ok(record.exit)
}

/// The cases that were asked for: all, or some bugs and the right engine under their scenarios.
fn chosen(bugs: &[String]) -> Result<Vec<Case>, Failure> {
    let all = selftest::cases();
    let names: Vec<&str> = all.iter().filter(|case| case.sort == Sort::Bug).map(|case| case.name).collect();
    if let Some(bug) = bugs.iter().find(|bug| !names.contains(&bug.as_str())) {
        return Err(Failure::usage(crate::nearest::UnknownName::new("bug", bug, &names)));
    }
    if bugs.is_empty() {
        return Ok(all);
    }
    let asked = |case: &Case| case.sort == Sort::Bug && bugs.iter().any(|bug| bug == case.name);
    let scenarios: Vec<&str> = all.iter().filter(|case| asked(case)).map(|case| case.scenario).collect();
    let right = |case: &Case| case.sort == Sort::Right && scenarios.contains(&case.scenario);
    Ok(all.iter().filter(|case| asked(case) || right(case)).cloned().collect())
}

/// The faulty engine: this program under a hidden verb.
fn engine(role: &str) -> Result<EngineSpec, Failure> {
    let program = std::env::current_exe().map_err(Failure::environment)?;
    let args = ["__faulty", role, "{track}", "{event_id}"].map(str::to_owned).to_vec();
    Ok(EngineSpec { program, args, built_in: false, hashes: true, prefix: Vec::new() })
}

fn scenario(name: &str) -> Result<Scenario, Failure> {
    let text = selftest::toml(name).ok_or_else(|| Failure::environment(format!("there is no scenario `{name}`")))?;
    let profiles = ingest::cli::profile_names();
    Scenario::parse(name, &text, Known { profiles: &profiles, settings: &[] }).map_err(Failure::environment)
}

/// Every scenario that is used, as TOML.
fn resolved(cases: &[Case]) -> String {
    let used = selftest::scenarios().filter(|(name, _)| cases.iter().any(|case| case.scenario == *name));
    let text = |(name, what): (&str, &str)| format!("# {name}: {what}.\n{}", selftest::toml(name).unwrap_or_default());
    used.map(text).collect::<Vec<_>>().join("\n")
}

async fn trials(args: &Args, cases: &[Case], session: &Session, record: &mut RunRecord) -> Result<(), Failure> {
    let Session { lab, bar, cancel, .. } = session;
    report::write_header(record, &lab.out)?;
    bar.phase("making the events");
    let mut worlds = BTreeMap::new();
    for case in cases {
        if !worlds.contains_key(case.scenario) {
            let scenario = scenario(case.scenario)?;
            let events = events(&scenario).await?;
            worlds.insert(case.scenario, (scenario, events));
        }
    }
    let mut plans: Vec<(usize, Plan)> = cases
        .iter()
        .enumerate()
        .filter_map(|(index, case)| Some((index, worlds.get(case.scenario)?, case)))
        .map(|(index, (scenario, events), case)| Ok((index, plan(args, index, case, scenario, events)?)))
        .collect::<Result<_, Failure>>()?;
    // What takes longest begins first, so that nothing is waited for at the end.
    plans.sort_by_key(|(_, plan)| std::cmp::Reverse(plan.length()));
    let total = plans.len() as u64;
    let jobs = args.jobs.map_or_else(|| 2 * cores(), NonZeroUsize::get);
    bar.phase("ingesting");
    let mut running = futures::stream::iter(&plans)
        .map(|(index, plan)| async move {
            let trial = async {
                match plan {
                    Plan::Ingestion(plan) => drive::run(lab, plan, &Silent, cancel).await,
                    Plan::Load(plan) => load::drive::repetition(lab, plan, &Silent, cancel).await,
                }
            };
            (*index, unless_cancelled(cancel, trial).await)
        })
        .buffer_unordered(jobs);
    let mut done: Vec<(usize, TrialRecord)> = Vec::new();
    while let Some((index, trial)) = running.next().await {
        let Some(trial) = trial.filter(|trial| !cancel.is_cancelled() || trial.broken.is_none()) else { continue };
        let trial = without_figures(trial);
        report::append_trial(&trial, &lab.out)?;
        done.push((index, trial));
        bar.trial(format!("{NAME} {}/{total}", done.len()));
    }
    drop(running);
    record.interrupted = cancel.is_cancelled();
    done.sort_by_key(|&(index, _)| index);
    let judged: Vec<(usize, &TrialRecord)> = done.iter().map(|(index, trial)| (*index, trial)).collect();
    let outcome = selftest::judge(cases, &judged, !args.bugs.is_empty());
    if !args.keep {
        tidy(&outcome, &mut done, &lab.out);
    }
    record.trials = done.into_iter().map(|(_, trial)| trial).collect();
    record.selftest = Some(outcome);
    Ok(())
}

/// What is done for a case.
enum Plan {
    Ingestion(Box<TrialPlan>),
    Load(Box<LoadPlan>),
}

impl Plan {
    /// The longer it takes, the larger.
    fn length(&self) -> (bool, bool, usize, usize) {
        match self {
            Self::Ingestion(plan) => (false, plan.settle < LONG, plan.revisions.len(), plan.faults.len()),
            Self::Load(plan) => (true, false, 0, plan.faults.len()),
        }
    }
}

/// The events of a scenario: of an ingestion its revisions.
async fn events(scenario: &Scenario) -> Result<Vec<Arc<Revision>>, Failure> {
    let Some(spec) = scenario.load.clone() else { return session::revisions(scenario).await };
    let scenario = scenario.clone();
    let made = tokio::task::spawn_blocking(move || load::plan::events(&scenario, &spec)).await;
    made.map_err(Failure::environment)
}

fn plan(
    args: &Args,
    index: usize,
    case: &Case,
    scenario: &Scenario,
    events: &[Arc<Revision>],
) -> Result<Plan, Failure> {
    let number = u32::try_from(index + 1).unwrap_or(u32::MAX);
    let reproduce = match case.sort {
        Sort::Bug => format!("harness {NAME} --bug {} --keep", case.name),
        Sort::Right | Sort::Control => format!("harness {NAME} --keep"),
    };
    if let Some(spec) = &scenario.load {
        let mut plan = LoadPlan::of(scenario, spec, number, events);
        match case.subject {
            Subject::Worker(bug) => {
                plan.work = ["__faulty", "work", bug.map_or("none", ServiceBug::name)].map(str::to_owned).to_vec();
            }
            Subject::Client(bug) => plan.client = Who::Plain(bug),
            Subject::Engine(_) => {}
        }
        (plan.keep, plan.reproduce) = (args.keep, reproduce);
        return Ok(Plan::Load(Box::new(plan)));
    }
    let Subject::Engine(role) = case.subject else {
        return Err(Failure::environment(format!("{} has no load for the service", case.scenario)));
    };
    let mut plan = TrialPlan::of(scenario, case.name, number, events);
    plan.engine = Some(engine(role)?);
    plan.keep = args.keep;
    plan.side_by_side = true;
    plan.reproduce = reproduce;
    if case.leaves {
        plan.settle = LEFT_BEHIND;
        // A second process would only wait for what is left behind.
        plan.restarts = 0;
    }
    Ok(Plan::Ingestion(Box::new(plan)))
}

/// Trials side by side measure each other.
fn without_figures(mut trial: TrialRecord) -> TrialRecord {
    trial.metrics.clear();
    trial.stages.clear();
    trial.statements.clear();
    trial.progress.clear();
    trial
}

/// Removes the files of the trials that came out as they must: each was violated, and that was the point.
fn tidy(outcome: &selftest::SelfTest, done: &mut [(usize, TrialRecord)], out: &std::path::Path) {
    let good = |trial: u32| outcome.rows.iter().any(|row| row.trial == trial && row.failure.is_none());
    for (_, trial) in done.iter_mut().filter(|(_, trial)| good(trial.trial)) {
        if let Some(folder) = trial.artifacts.take() {
            let _ = std::fs::remove_dir_all(out.join(folder));
        }
    }
    let _ = std::fs::remove_dir(out.join("trials"));
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, NonZeroUsize::get)
}

/// Many trials at once have no one phase.
struct Silent;

impl Progress for Silent {
    fn phase(&self, _: &str) {}

    fn races(&self, _: u64, _: u64) {}
}
