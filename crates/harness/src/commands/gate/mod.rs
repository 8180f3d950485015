//! `harness gate`: whether a change made ingestion slower, chattier or unsafe.

mod base;
mod files;
mod measure;

use std::io::IsTerminal as _;
use std::path::PathBuf;

use super::interrupt::unless_cancelled;
use super::session::{self, Common};
use super::{Failure, INTERRUPTED, sweep_flag};
use crate::clock::monotonic_us;
use crate::gate::{self, Conditions, GateRecord, TimeBy, Unlike, Work};
use crate::report;
use crate::scenario::{Overrides, Scenario};
use crate::stats::FEWEST_PAIRS;
use crate::trial::plan;
use crate::trial::record::RunRecord;

/// Pairs of a set.
const PAIRS: u32 = 10;

/// Pairs of a set in which a reference COPY takes the place of a base build: shorter ones, that scatter more.
const REFERENCE_PAIRS: u32 = 20;

/// Pairs that a baseline is made of: later runs are compared with its interval, so it is a narrower one.
const BASELINE_PAIRS: u32 = 40;

/// Trials of a set, besides the first, where no times are compared: counts do not scatter.
const TRIALS: u32 = 2;

/// Arguments.
#[derive(clap::Args, Debug, Clone)]
pub struct Args {
    /// What is measured: a scenario's name, or path of a TOML file
    #[arg(default_value = "gate")]
    scenario: String,
    /// Baseline to compare with, a file NAME.json of --baselines [default: main]
    #[arg(long, value_name = "NAME")]
    baseline: Option<String>,
    /// Measure, and write the result as a baseline instead of comparing with one
    #[arg(long, value_name = "NAME", conflicts_with_all = ["baseline", "engine_base", "base"])]
    save_baseline: Option<String>,
    /// Folder of baselines
    #[arg(long, value_name = "DIR", default_value = "fixtures/baselines")]
    baselines: PathBuf,
    /// Compare times with this git revision in the same run; it is built in a worktree beside the build directory
    #[arg(long, value_name = "REV", conflicts_with = "engine_base")]
    base: Option<String>,
    /// Compare times with another build in the same run: a harness or ingest program
    #[arg(long, value_name = "PATH")]
    engine_base: Option<PathBuf>,
    /// One engine setting on top of the profile, for the build under test only
    #[arg(long = "set", value_name = "NAME=VALUE")]
    settings: Vec<String>,
    /// Another engine under test: a command with {track} and {event_id}, given DATABASE_URL and LIVERC_BASE_URL
    #[arg(long, value_name = "COMMAND")]
    engine: Option<String>,
    /// Pairs of a set: times are compared by so many, and by twice as many when that leaves something open
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(FEWEST_PAIRS as i64..=200))]
    pairs: Option<u32>,
    /// Exit 3 when something stays open or could not be compared
    #[arg(long)]
    strict: bool,
    /// Print annotations for GitHub also where GITHUB_ACTIONS is not set
    #[arg(long)]
    annotations: bool,
    #[command(flatten)]
    common: Common,
}

/// Runs the gate.
pub fn main(args: &Args) -> Result<u8, Failure> {
    // The change under test, and what it is compared with.
    let scenario = scenario(args)?;
    let plain = session::scenario(&args.scenario, &Overrides::default())?;
    let baseline = files::baseline(args)?;
    let revisions = plan::revisions(&scenario).map_err(Failure::usage)?;
    let last = revisions.last().ok_or_else(|| Failure::usage("the scenario ingests nothing"))?;
    let work = Work::of(&scenario, last);
    if let Some((name, baseline)) = &baseline {
        let unlike = baseline.unlike(&work, &Conditions::default()).work;
        if !unlike.is_empty() {
            let said: Vec<String> = unlike.iter().map(ToString::to_string).collect();
            return Err(Failure::usage(format!(
                "the baseline {name} is of other work, nothing can be compared: {}; make one of this with --save-baseline",
                said.join("; ")
            )));
        }
    }
    let engine = session::engine(&scenario)?;
    // Last, for it may take minutes: everything else is known to be in order.
    let base = match (&args.base, &args.engine_base) {
        (Some(revision), _) => Some(base::revision(revision)?),
        (None, Some(path)) => Some(base::build(path)?),
        (None, None) => None,
    };
    let common = args.common.pinned(&scenario);
    let done = session::run(&common, engine, "gate", async |session| {
        let mut record = session::header(&scenario, session);
        let mut gate = header(args, baseline.clone(), base.as_ref(), work.clone(), &record);
        if !record.interrupted {
            session.directory(&scenario.name)?;
            report::write_header(&record, &session.lab.out)?;
            let mut measuring = measure::Measuring {
                session: &*session,
                scenario: &scenario,
                plain: &plain,
                revisions: &revisions,
                base: base.as_ref().map(|(spec, _)| spec),
                reproduce: reproduce(args),
                reference: None,
            };
            let cancel = session.cancel.clone();
            let measured = unless_cancelled(&cancel, measuring.all(&mut record, &mut gate)).await;
            record.interrupted = session.cancel.is_cancelled();
            if let Some(measured) = measured {
                measured?;
            }
        }
        record.run_us = monotonic_us() - session.started_us;
        Ok((record, gate, session.lab.out.clone()))
    })?;
    match done {
        // Interrupted before there was anything to measure.
        Some((record, gate, out)) if out != args.common.out => conclude(args, record, gate, &out),
        _ => Ok(INTERRUPTED),
    }
}

/// The scenario with the change under test.
fn scenario(args: &Args) -> Result<Scenario, Failure> {
    let mut overrides = Overrides {
        command: args.engine.as_deref().map(|c| c.split_whitespace().map(str::to_owned).collect()),
        ..Overrides::default()
    };
    for text in &args.settings {
        overrides.set(text).map_err(Failure::usage)?;
    }
    let scenario = session::scenario(&args.scenario, &overrides)?;
    let set = overrides.settings.iter().map(|(name, _)| name.clone()).collect();
    sweep_flag::check(&scenario, &set, None)?;
    if scenario.engine.profiles.len() > 1 {
        return Err(Failure::usage(format!(
            "the gate measures one profile, {} asks for {}",
            scenario.name,
            scenario.engine.profiles.join(", ")
        )));
    }
    Ok(scenario)
}

/// The record of a gate that has measured nothing yet.
fn header(
    args: &Args,
    baseline: Option<(String, gate::Baseline)>,
    base: Option<&base::Build>,
    work: Work,
    record: &RunRecord,
) -> GateRecord {
    let (name, baseline) = baseline.unzip();
    let here = Conditions::of(&record.environment);
    let unlike = baseline.as_ref().map(|b| b.unlike(&work, &here)).unwrap_or_default();
    let time = time_by(args, baseline.as_ref(), base.is_some(), &unlike, &here);
    let pairs = match time {
        TimeBy::NotJudged { .. } => TRIALS,
        TimeBy::Reference if baseline.is_none() => args.pairs.unwrap_or(BASELINE_PAIRS),
        TimeBy::Reference => args.pairs.unwrap_or(REFERENCE_PAIRS),
        TimeBy::BaseBuild => args.pairs.unwrap_or(PAIRS),
    };
    GateRecord {
        baseline_name: name,
        baseline,
        work,
        base: base.map(|(_, build)| build.clone()),
        time,
        unlike,
        pairs,
        places: Vec::new(),
        references: Vec::new(),
        saved: None,
        strict: args.strict,
    }
}

/// What times can be compared with.
fn time_by(args: &Args, baseline: Option<&gate::Baseline>, base: bool, unlike: &Unlike, here: &Conditions) -> TimeBy {
    let not_judged = |why: String| TimeBy::NotJudged { why };
    if here.build_profile == "debug" {
        return not_judged("this is a debug build, whose times say nothing about a release".to_owned());
    }
    if base {
        return TimeBy::BaseBuild;
    }
    if args.save_baseline.is_some() {
        return TimeBy::Reference;
    }
    match baseline {
        Some(baseline) if baseline.time.is_none() => {
            not_judged("the baseline holds no times, and no base build was given (--base or --engine-base)".to_owned())
        }
        Some(_) if unlike.time.is_empty() => TimeBy::Reference,
        Some(_) => {
            let said: Vec<String> = unlike.time.iter().map(ToString::to_string).collect();
            not_judged(format!("{}; compare with a base build instead (--base or --engine-base)", said.join("; ")))
        }
        None => not_judged("there is neither a baseline nor a base build".to_owned()),
    }
}

/// The command that does this again.
fn reproduce(args: &Args) -> String {
    let mut words = vec!["harness gate".to_owned()];
    if args.scenario != "gate" {
        words.push(args.scenario.clone());
    }
    words.extend(args.baseline.iter().map(|name| format!("--baseline {name}")));
    words.extend(args.settings.iter().map(|s| format!("--set {s}")));
    words.extend(args.engine.iter().map(|e| format!("--engine '{e}'")));
    words.extend(args.base.iter().map(|r| format!("--base {r}")));
    words.extend(args.engine_base.iter().map(|p| format!("--engine-base '{}'", p.display())));
    words.join(" ")
}

/// Writes what there is to write, prints the verdict, and gives the exit code.
fn conclude(args: &Args, mut record: RunRecord, mut gate: GateRecord, dir: &std::path::Path) -> Result<u8, Failure> {
    let mut refused = None;
    if let Some(name) = &args.save_baseline {
        match gate::baseline(&record, &gate) {
            Ok(baseline) => gate.saved = Some(files::save(args, name, &baseline)?),
            Err(why) => refused = Some(why),
        }
    }
    let verdict = gate::verdict(&record, &gate);
    record.exit = verdict.exit;
    report::write(&record, dir)?;
    gate::report::write(&record, &gate, dir)?;
    report::write_index(&args.common.out)?;
    let annotate = args.annotations || std::env::var_os("GITHUB_ACTIONS").is_some_and(|v| v == "true");
    let annotations = if annotate { gate::report::annotations(&verdict) } else { String::new() };
    if args.common.json {
        print!("{}", gate::report::json(&gate, &verdict).map_err(Failure::environment)?);
        eprint!("{annotations}");
    } else {
        let colours = std::env::var_os("NO_COLOR");
        let colours = report::terminal::colours(std::io::stdout().is_terminal(), colours.as_deref());
        print!("{}", gate::report::text(&record, &gate, &verdict, Some(dir), colours));
        print!("{annotations}");
    }
    match refused {
        Some(why) if verdict.exit == 0 => Err(Failure::environment(format!("no baseline was saved: {why}"))),
        Some(why) => {
            eprintln!("no baseline was saved: {why}");
            Ok(verdict.exit)
        }
        None => Ok(verdict.exit),
    }
}
