//! `harness ab SCENARIO A B`: two profiles or two builds, compared in interleaved pairs.

pub(in crate::commands) mod base;
mod drive;
mod resume;
mod sides;

use std::io::IsTerminal as _;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};

use super::session::{self, Common};
use super::{Failure, INTERRUPTED};
use crate::ab::conditions;
use crate::ab::{ComparisonRecord, SideRecord, judge};
use crate::clock::monotonic_us;
use crate::quantity::Span;
use crate::report;
use crate::scenario::{Overrides, Scenario};
use crate::trial::record::RunRecord;

/// Arguments.
#[derive(clap::Args, Debug, Clone)]
pub struct Args {
    /// Name of a scenario (see `harness list`), or path of a TOML file
    #[arg(required_unless_present = "resume")]
    scenario: Option<String>,
    /// The base: a profile, and settings changed from it: before, fast,writers=1
    a: Option<String>,
    /// What is judged, in the same form
    b: Option<String>,
    /// Compare A with itself: whatever is found is a false alarm
    #[arg(long, conflicts_with_all = ["b", "engine_b", "base"])]
    aa: bool,
    /// Engine of A: another build (a `harness` or an `ingest`), or a command with {track} and {event_id}
    #[arg(long, value_name = "PATH")]
    engine_a: Option<String>,
    /// Engine of B
    #[arg(long, value_name = "PATH")]
    engine_b: Option<String>,
    /// Engine of A: this git revision, built in a worktree beside the build directory (once; kept by revision)
    #[arg(long, value_name = "REV", conflicts_with = "engine_a")]
    base: Option<String>,
    /// Pairs; doubled once when something is inconclusive. An interval needs 6
    #[arg(long, value_name = "N", default_value = "10")]
    pairs: NonZeroU32,
    /// Allow debug builds, and judge no time
    #[arg(long)]
    untimed: bool,
    /// Inconclusive is exit code 3
    #[arg(long)]
    strict: bool,
    /// Seed of the synthetic event
    #[arg(long, value_name = "S")]
    seed: Option<u64>,
    /// One engine setting on top of both sides
    #[arg(long = "set", value_name = "NAME=VALUE")]
    settings: Vec<String>,
    /// Add this to every round trip to PostgreSQL
    #[arg(long, value_name = "TIME", help_heading = "Network")]
    database_rtt: Option<Span>,
    /// Add this to every answer of LiveRC
    #[arg(long, value_name = "TIME", help_heading = "Network")]
    liverc_latency: Option<Span>,
    /// Measure under load conditions as well: latency, round trip, events at once, vacuum, other writers, one core
    #[arg(long, conflicts_with = "calibrate")]
    matrix: bool,
    /// Measure the method itself: false alarms of A against A, and how often an added effect is found
    #[arg(long, conflicts_with_all = ["b", "engine_b", "base", "untimed"])]
    calibrate: bool,
    /// Sets of a calibration: A against A, and for each added effect
    #[arg(long, value_name = "N,M", default_value = "59,20", requires = "calibrate", value_parser = sets)]
    sets: (u32, u32),
    /// Go on with an interrupted comparison: its folder
    #[arg(long, value_name = "DIR", conflicts_with_all = ["scenario", "a", "b", "aa", "engine_a", "engine_b", "base", "seed", "settings", "database_rtt", "liverc_latency"])]
    resume: Option<PathBuf>,
    #[command(flatten)]
    common: Common,
}

/// Pairs under each load condition: the fewest that support an interval.
const CONDITION_PAIRS: u32 = 6;

/// Effects that a calibration adds to B's time, per mille.
const ADDED_PER_MILLE: [u32; 3] = [50, 100, 200];

/// `59,20`.
fn sets(text: &str) -> Result<(u32, u32), String> {
    let numbers = text.split_once(',').and_then(|(n, m)| Some((n.trim().parse().ok()?, m.trim().parse().ok()?)));
    numbers
        .filter(|&(n, m)| n > 0 || m > 0)
        .ok_or_else(|| "write two numbers: sets of A against A, and sets of each added effect (59,20)".to_owned())
}

/// What is compared, ready to run.
struct Bench {
    scenario: Scenario,
    sides: [sides::Runnable; 2],
    spec: ComparisonRecord,
    /// The interrupted run that this goes on with, and its folder.
    resumed: Option<(RunRecord, PathBuf)>,
}

/// Runs the comparison.
pub fn main(args: &Args) -> Result<u8, Failure> {
    let bench = match &args.resume {
        Some(dir) => resume::bench(dir)?,
        None => bench(args)?,
    };
    let name = format!("{} {} {}", bench.scenario.name, bench.spec.a.label, bench.spec.b.label);
    let engine = bench.sides[1].engine.clone();
    let common = match &bench.resumed {
        Some((record, _)) => args.common.as_in(&record.environment),
        None => args.common.clone(),
    };
    let common = common.pinned(&bench.scenario);
    let done = session::run(&common, engine, &name, async |session| {
        let mut record = match &bench.resumed {
            Some((record, dir)) => {
                resume::same_environment(record, &session.environment)?;
                session.lab.out.clone_from(dir);
                resume::reopen(record, dir)?
            }
            None => {
                let mut record = session::header(&bench.scenario, session);
                record.comparison = Some(Box::new(bench.spec.clone()));
                if !record.interrupted {
                    session.directory(&folder(&bench))?;
                    report::write_header(&record, &session.lab.out)?;
                }
                record
            }
        };
        let (spent_us, started_us) = (record.run_us, session.started_us);
        if !record.interrupted {
            drive::all(&bench, session, &mut record).await?;
        }
        record.run_us = spent_us + monotonic_us() - started_us;
        Ok((record, session.lab.out.clone()))
    })?;
    match done {
        None => Ok(INTERRUPTED),
        Some((_, out)) if out == args.common.out => Ok(INTERRUPTED),
        Some((record, out)) => conclude(args, record, &out),
    }
}

/// `large-event-before-fast`: the folder's name without its time.
fn folder(bench: &Bench) -> String {
    let word = |label: &str| -> String {
        label.chars().map(|c| if c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.') { c } else { '-' }).collect()
    };
    let ComparisonRecord { a, b, .. } = &bench.spec;
    if !bench.spec.calibration.is_empty() {
        return format!("{}-calibration-{}", bench.scenario.name, word(&a.profile));
    }
    format!("{}-ab-{}-{}", bench.scenario.name, word(&a.profile), word(&b.profile))
}

fn bench(args: &Args) -> Result<Bench, Failure> {
    let mut overrides = Overrides {
        seed: args.seed,
        database_rtt: args.database_rtt,
        liverc_latency: args.liverc_latency,
        ..Overrides::default()
    };
    for text in &args.settings {
        overrides.set(text).map_err(Failure::usage)?;
    }
    let name = args.scenario.as_deref().unwrap_or_default();
    let mut scenario = session::scenario(name, &overrides)?;
    if !scenario.faults.is_empty() || scenario.engine.command.is_some() {
        return Err(Failure::usage(format!(
            "scenario {name}: a comparison needs one without faults and with the built-in engine, as large-event; \
             another engine is named by --engine-a and --engine-b"
        )));
    }
    let sides = sides::of(args, &scenario)?;
    let [a, b] = [&sides[0].record, &sides[1].record];
    check_builds(args, [a, b])?;
    if args.pairs.get() < u32::try_from(crate::stats::FEWEST_PAIRS).unwrap_or(6) && !args.untimed {
        return Err(Failure::usage(format!(
            "--pairs {}: an interval of a time needs {} pairs at least; with --untimed, which judges counts, fewer are enough",
            args.pairs,
            crate::stats::FEWEST_PAIRS
        )));
    }
    // Criteria speak of what a change must bring against a profile: not of a profile against itself, nor of builds.
    let itself = args.aa || args.calibrate;
    let applies =
        scenario.criteria.as_ref().is_some_and(|c| c.against == a.profile) && a.profile != b.profile && !itself;
    if !applies {
        scenario.criteria = None;
    }
    let races = scenario.event.size.totals().races();
    let spec = ComparisonRecord {
        a: a.clone(),
        b: b.clone(),
        against_itself: itself,
        pairs: args.pairs.get(),
        timed: !args.untimed,
        strict: args.strict,
        error_pairs: scenario.criteria.as_ref().and_then(|c| c.error_rate).map_or(0, |rise| error_pairs(rise, races)),
        criteria: scenario.criteria.clone(),
        conditions: match args.matrix {
            true => conditions::CONDITIONS.iter().map(|c| c.name.to_owned()).collect(),
            false => Vec::new(),
        },
        condition_pairs: args.pairs.get().min(CONDITION_PAIRS),
        calibration: calibration(args),
        results: None,
    };
    Ok(Bench { scenario, sides, spec, resumed: None })
}

/// The levels of a calibration and the sets of each; none when it is none.
fn calibration(args: &Args) -> Vec<(u32, u32)> {
    if !args.calibrate {
        return Vec::new();
    }
    let (same, added) = args.sets;
    std::iter::once((0, same)).chain(ADDED_PER_MILLE.map(|effect| (effect, added))).filter(|(_, n)| *n > 0).collect()
}

/// Pairs whose races, none of them lost, show that a rate does not rise by more than `rise`: 3/n.
fn error_pairs(rise: f64, races: u32) -> u32 {
    let needed = 3.0 / rise / f64::from(races.max(1));
    needed.ceil() as u32
}

/// Debug builds say nothing about time.
fn check_builds(args: &Args, sides: [&SideRecord; 2]) -> Result<(), Failure> {
    if args.untimed {
        return Ok(());
    }
    let debug = |what: &str| {
        Err(Failure::usage(format!(
            "{what} is a debug build, whose times say nothing: build with --release (cargo run --release -- ab …), or compare \
             counts alone with --untimed"
        )))
    };
    if cfg!(debug_assertions) {
        return debug("this harness");
    }
    for side in sides {
        if side.build_profile.as_deref() == Some("debug") {
            return debug(&side.engine_path);
        }
    }
    Ok(())
}

/// Writes the report, prints the result, and gives the exit code.
fn conclude(args: &Args, mut record: RunRecord, dir: &Path) -> Result<u8, Failure> {
    if let Some(comparison) = &mut record.comparison {
        comparison.results = Some(judge(comparison, &record.trials));
    }
    record.exit = if record.interrupted { INTERRUPTED } else { report::overall::exit_code_of(&record) };
    report::write(&record, dir)?;
    if let Some(root) = dir.parent() {
        report::write_index(root)?;
    }
    if args.common.json {
        let json = report::result_json(&record).map_err(Failure::environment)?;
        print!("{json}");
    } else {
        let terminal = std::io::stdout().is_terminal();
        let colours = report::terminal::colours(terminal, std::env::var_os("NO_COLOR").as_deref());
        print!("{}", report::terminal::text(&record, Some(dir), colours));
    }
    if record.interrupted {
        eprintln!("go on with: harness ab --resume {}", dir.display());
    }
    Ok(record.exit)
}
