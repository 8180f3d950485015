//! `harness sweep SCENARIO`: one trial for every point of an ingestion, that strikes exactly there.

use std::io::IsTerminal as _;
use std::path::Path;

use super::session::{self, Common, Session};
use super::{Failure, INTERRUPTED};
use crate::clock::monotonic_us;
use crate::oracle::OracleName;
use crate::report;
use crate::scenario::{Overrides, Scenario};
use crate::search::golden::NotGolden;
use crate::search::points::{PointsOf, Strike};
use crate::search::record::{SearchRecord, Verb};
use crate::search::runner::{Numbers, Runner};
use crate::search::sweep::{self, Options, Sweep, SweepError};
use crate::trial::drive::Progress as _;
use crate::trial::record::RunRecord;

/// Arguments.
#[derive(clap::Args, Debug, Clone)]
pub struct Args {
    /// Name of a scenario (see `harness list`), or path of a TOML file
    scenario: String,
    /// Engine profile; as often as wanted
    #[arg(long = "profile", value_name = "PROFILE")]
    profiles: Vec<String>,
    /// Which points: steps of the engine, messages on the wire to PostgreSQL, or both
    #[arg(long, value_name = "steps|wire|both", default_value = "steps")]
    points: String,
    /// What happens there: crash, db-reset, db-terminate, ambiguous-commit (at every COMMIT)
    #[arg(long, value_name = "FAULT", default_value = "crash")]
    fault: String,
    /// 2: crash once more at every step of each distinct recovery
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=2))]
    depth: u32,
    /// Most trials of one list of points; of longer ones a sample is taken
    #[arg(long, value_name = "N", default_value_t = 1_000)]
    budget: usize,
    /// Trials at a time [default: two for each core]
    #[arg(long, value_name = "N")]
    jobs: Option<std::num::NonZeroUsize>,
    /// Seed of the synthetic event, and of the sample
    #[arg(long, value_name = "S")]
    seed: Option<u64>,
    /// One engine setting on top of the profile
    #[arg(long = "set", value_name = "NAME=VALUE")]
    settings: Vec<String>,
    /// Another engine: a command with {track} and {event_id}, given DATABASE_URL and LIVERC_BASE_URL
    #[arg(long, value_name = "COMMAND")]
    engine: Option<String>,
    /// Do not judge by this oracle, as often as wanted: to look past what is known to fail
    #[arg(long = "without", value_name = "ORACLE")]
    without: Vec<String>,
    #[command(flatten)]
    common: Common,
}

/// Sweeps.
pub fn main(args: Args) -> Result<u8, Failure> {
    let (scenario, options) = resolve(&args)?;
    let engine = session::engine(&scenario)?;
    let name = format!("sweep-{}", scenario.name);
    let common = args.common.pinned(&scenario);
    let ended = session::run(&common, engine, &name, async |session| {
        session.directory(&name)?;
        let mut record = session::header(&scenario, session);
        record.search = Some(blank(Verb::Sweep, options.jobs));
        report::write_header(&record, &session.lab.out)?;
        let failure = all(&scenario, &options, session, &mut record).await.err();
        record.interrupted = session.cancel.is_cancelled();
        record.run_us = monotonic_us() - session.started_us;
        Ok((record, session.lab.out.clone(), failure))
    })?;
    match ended {
        None => Ok(INTERRUPTED),
        Some((record, out, None)) => conclude(&args.common, record, &out),
        Some((record, _, Some(_))) if record.interrupted => Ok(INTERRUPTED),
        Some((_, out, Some(failure))) => {
            // There is nothing in it that a report could be made of.
            let _ = std::fs::remove_file(out.join("run.json"));
            let _ = std::fs::remove_dir(&out);
            Err(failure)
        }
    }
}

fn resolve(args: &Args) -> Result<(Scenario, Options), Failure> {
    let mut overrides = Overrides {
        profiles: args.profiles.clone(),
        seed: args.seed,
        command: args.engine.as_deref().map(|c| c.split_whitespace().map(str::to_owned).collect()),
        ..Overrides::default()
    };
    for text in &args.settings {
        overrides.set(text).map_err(Failure::usage)?;
    }
    let scenario = session::scenario(&args.scenario, &overrides)?;
    let set = overrides.settings.iter().map(|(name, _)| name.clone()).collect();
    super::sweep_flag::check(&scenario, &set, None)?;
    if !scenario.faults.is_empty() {
        return Err(Failure::usage(format!(
            "scenario {} has faults of its own, so there is no run of it without one to take points from; sweep one without, for example small-event",
            scenario.name
        )));
    }
    let points: PointsOf = args.points.parse().map_err(|e| Failure::usage(format!("--points: {e}")))?;
    let strike: Strike = args.fault.parse().map_err(|e| Failure::usage(format!("--fault: {e}")))?;
    if args.depth > 1 && (strike != Strike::Crash || points == PointsOf::Wire) {
        return Err(Failure::usage(
            "--depth 2 strikes at the steps of a recovery, and only a crash leads to one: use it with --points steps or both and without --fault",
        ));
    }
    if args.budget == 0 {
        return Err(Failure::usage("--budget: a sweep of no point would prove nothing; give 1 or more"));
    }
    let mut scenario = scenario;
    judged_by(&mut scenario, &args.without)?;
    let options = Options { points, strike, depth: args.depth, budget: args.budget, jobs: jobs(args.jobs) };
    Ok((scenario, options))
}

/// What a search judges by: what the scenario lists, *durable* with it, since something goes wrong, and not what was taken out.
///
/// # Errors
/// No such oracle, or none is left.
pub fn judged_by(scenario: &mut Scenario, without: &[String]) -> Result<(), Failure> {
    crate::search::judged_by_durable(scenario);
    for name in without {
        let oracle: OracleName = name.parse().map_err(|e| Failure::usage(format!("--without: {e}")))?;
        scenario.oracles.retain(|o| *o != oracle);
    }
    if scenario.oracles.is_empty() {
        return Err(Failure::usage("--without: no oracle is left that could be judged"));
    }
    Ok(())
}

/// Trials at once: those that were asked for, else two for each core, since a trial waits as long as it works.
pub fn jobs(asked: Option<std::num::NonZeroUsize>) -> usize {
    let cores = std::thread::available_parallelism().map_or(2, std::num::NonZeroUsize::get);
    asked.map_or((cores * 2).min(8), std::num::NonZeroUsize::get)
}

/// The record of a search that has done nothing yet.
pub fn blank(verb: Verb, jobs: usize) -> SearchRecord {
    SearchRecord {
        verb,
        parts: Vec::new(),
        search_us: 0,
        jobs: u32::try_from(jobs).unwrap_or(u32::MAX),
        remarks: Vec::new(),
        judgements: Default::default(),
        points: Vec::new(),
        coverage: Vec::new(),
    }
}

async fn all(scenario: &Scenario, options: &Options, session: &Session, record: &mut RunRecord) -> Result<(), Failure> {
    let Session { lab, bar, cancel, .. } = session;
    bar.phase("making the event");
    let revisions = session::revisions(scenario).await?;
    let profiles = match scenario.engine.profiles.as_slice() {
        [] => vec!["external".to_owned()],
        some => some.to_vec(),
    };
    let in_order = sweep::in_order(scenario);
    let numbers = Numbers::default();
    let runner =
        |scenario| Runner { lab, scenario, revisions: &revisions, cancel, numbers: &numbers, excuse_overtaken: false };
    let begun = monotonic_us();
    let mut sweep = Sweep::new(options, record.search.take().unwrap_or_else(|| blank(Verb::Sweep, options.jobs)));
    let told = |done: usize, of: usize| {
        bar.phase(&format!("{done} of {of} points"));
        bar.races(done as u64, of as u64);
    };
    let ambiguous = options.strike == Strike::AmbiguousCommit;
    let mut outcome = Ok(());
    for profile in &profiles {
        if outcome.is_err() || cancel.is_cancelled() {
            break;
        }
        bar.trial(format!("sweep {} {profile}", scenario.name));
        if options.points != PointsOf::Wire && !ambiguous {
            outcome = sweep.steps(&runner(scenario), profile, &told).await;
        }
        if outcome.is_ok() && (options.points != PointsOf::Steps || ambiguous) && !cancel.is_cancelled() {
            outcome = sweep.wire(&runner(&in_order), profile, &told).await;
        }
    }
    let mut search = sweep.record;
    search.search_us = monotonic_us() - begun;
    if options.points != PointsOf::Steps || ambiguous {
        search.remarks.push(
            "Points on the wire are counted with race_concurrency=1 and writers=1, so that messages come in the same order in \
             every trial."
                .to_owned(),
        );
    }
    record.trials = sweep.kept;
    record.search = Some(search);
    match outcome {
        Ok(()) => Ok(()),
        Err(SweepError::Report(e)) => Err(e.into()),
        Err(SweepError::Golden(NotGolden::Broken(_))) if cancel.is_cancelled() => Ok(()),
        Err(SweepError::Golden(e @ NotGolden::Broken(_))) => Err(Failure::environment(e)),
        Err(SweepError::Golden(e @ (NotGolden::NoFeed | NotGolden::Wire(_)))) => Err(Failure::usage(e)),
        Err(SweepError::Golden(e)) => Err(Failure::not_proven(e)),
    }
}

/// Writes the report, prints the result, and gives the exit code.
pub fn conclude(common: &Common, mut record: RunRecord, dir: &Path) -> Result<u8, Failure> {
    record.exit = if record.interrupted { INTERRUPTED } else { report::overall::exit_code_of(&record) };
    report::write(&record, dir)?;
    report::write_index(&common.out)?;
    if common.json {
        print!("{}", report::result_json(&record).map_err(Failure::environment)?);
    } else {
        let colours =
            report::terminal::colours(std::io::stdout().is_terminal(), std::env::var_os("NO_COLOR").as_deref());
        print!("{}", report::terminal::text(&record, Some(dir), colours));
    }
    Ok(record.exit)
}
