//! `harness chaos`: schedules of faults that chance makes; what fails is made simpler.

use std::num::{NonZeroU32, NonZeroUsize};
use std::time::Instant;

use sandbox::postgres::Capability;

use super::session::{self, Common, Session};
use super::{Failure, INTERRUPTED, sweep};
use crate::clock::monotonic_us;
use crate::quantity::Span;
use crate::report;
use crate::scenario::{Known, Overrides, Scenario};
use crate::search::chaos::{Chaos, ChaosError};
use crate::search::golden::NotGolden;
use crate::search::record::Verb;
use crate::trial::drive::Progress as _;
use crate::trial::record::RunRecord;

/// What all cases have in common; sizes, revisions, settings and faults are drawn.
const BASE: &str = "# Schedules of one to four faults over sizes, revisions and profiles, drawn by a seed.\n\
                    [event]\nsize = \"small\"\nform = \"mixed\"\n\n[engine]\nprofiles = [\"before\", \"after\", \"fast\"]\n";

/// Cases of a batch: what is drawn next knows what was asked for before.
const BATCH: usize = 100;
/// The same where the time ends them: those that need the server to themselves are the last of a batch, and must get their turn.
const BATCH_IN_TIME: usize = 30;

/// Arguments.
#[derive(clap::Args, Debug, Clone)]
pub struct Args {
    /// How many schedules are drawn [default: 100, or what fits into --time]
    #[arg(long, value_name = "N")]
    cases: Option<NonZeroU32>,
    /// Begin no case after this: 10min. Those that run end, and what failed is still made simpler
    #[arg(long, value_name = "TIME")]
    time: Option<Span>,
    /// The same seed draws the same schedules
    #[arg(long, value_name = "S", default_value_t = 1)]
    seed: u64,
    /// Engine profile; as often as wanted [default: all]
    #[arg(long = "profile", value_name = "PROFILE")]
    profiles: Vec<String>,
    /// Trials at a time [default: two for each core]
    #[arg(long, value_name = "N")]
    jobs: Option<NonZeroUsize>,
    /// Another engine: a command with {track} and {event_id}, given DATABASE_URL and LIVERC_BASE_URL
    #[arg(long, value_name = "COMMAND")]
    engine: Option<String>,
    /// Do not judge by this oracle, as often as wanted: to look past what is known to fail
    #[arg(long = "without", value_name = "ORACLE")]
    without: Vec<String>,
    #[command(flatten)]
    common: Common,
}

/// Searches.
pub fn main(args: Args) -> Result<u8, Failure> {
    let scenario = resolve(&args)?;
    let engine = session::engine(&scenario)?;
    let ended = session::run(&args.common, engine, "chaos", async |session| {
        session.directory("chaos")?;
        let mut record = session::header(&scenario, session);
        record.search = Some(sweep::blank(Verb::Chaos, sweep::jobs(args.jobs)));
        report::write_header(&record, &session.lab.out)?;
        let outcome = search(&args, &scenario, session, &mut record).await;
        record.interrupted = session.cancel.is_cancelled();
        record.run_us = monotonic_us() - session.started_us;
        outcome.map(|()| (record, session.lab.out.clone()))
    })?;
    match ended {
        None => Ok(INTERRUPTED),
        Some((record, out)) => sweep::conclude(&args.common, record, &out),
    }
}

fn resolve(args: &Args) -> Result<Scenario, Failure> {
    let (profiles, settings) = (ingest::cli::profile_names(), ingest::cli::setting_names());
    let known = Known { profiles: &profiles, settings: &settings };
    let overrides = Overrides {
        profiles: args.profiles.clone(),
        seed: Some(args.seed),
        command: args.engine.as_deref().map(|c| c.split_whitespace().map(str::to_owned).collect()),
        ..Overrides::default()
    };
    let scenario = Scenario::parse("chaos.toml", BASE, known).and_then(|s| s.with(&overrides, known));
    let mut scenario = scenario.map_err(Failure::usage)?;
    sweep::judged_by(&mut scenario, &args.without)?;
    Ok(scenario)
}

async fn search(args: &Args, scenario: &Scenario, session: &Session, record: &mut RunRecord) -> Result<(), Failure> {
    let Session { lab, bar, cancel, .. } = session;
    let profiles = match scenario.engine.profiles.as_slice() {
        [] => vec!["external".to_owned()],
        some => some.to_vec(),
    };
    let can = |what| lab.server.capabilities().refusal(what).is_none();
    let own_server = (can(Capability::Kill) && can(Capability::Restart) && can(Capability::Pause))
        .then(|| lab.server.kind() == sandbox::postgres::Kind::Local && nix::unistd::geteuid().is_root());
    let blank = record.search.take().unwrap_or_else(|| sweep::blank(Verb::Chaos, sweep::jobs(args.jobs)));
    let why = format!("harness chaos --seed {}", args.seed);
    let (begun, begun_us) = (Instant::now(), monotonic_us());
    let mut chaos = Chaos::new(lab, scenario, profiles, own_server, cancel, args.seed, why, blank);
    let told = |what: &str, done: usize, of: usize| {
        bar.phase(&format!("{what} {done} of {of}"));
        bar.races(done as u64, of as u64);
    };
    let wanted = match (args.cases, args.time) {
        (Some(cases), _) => Some(cases.get() as usize),
        (None, Some(_)) => None,
        (None, None) => Some(BATCH),
    };
    chaos.until = args.time.and_then(|time| begun.checked_add(time.0));
    let most = if chaos.until.is_some() { BATCH_IN_TIME } else { BATCH };
    let mut asked = 0;
    let mut outcome = Ok(());
    while outcome.is_ok() && !chaos.is_over() && wanted.is_none_or(|n| asked < n) {
        let batch = wanted.map_or(most, |n| most.min(n - asked));
        bar.trial(format!("chaos, seed {}, from case {}", args.seed, asked + 1));
        outcome = chaos.cases(batch, &told).await;
        asked += batch;
    }
    if outcome.is_ok() {
        bar.trial(format!("chaos, seed {}", args.seed));
        outcome = chaos.shrink(&told).await;
    }
    let (mut search, kept) = chaos.finish(wanted);
    search.search_us = monotonic_us() - begun_us;
    if own_server.is_none() {
        search
            .remarks
            .push("The server is not the harness's own: faults that stop or kill it were not drawn.".to_owned());
    }
    search.remarks.push(
        "A fault that did not get its turn, because another had struck before, is named as such and counts for nothing; a trial \
         in which none fired is unknown."
            .to_owned(),
    );
    (record.search, record.trials) = (Some(search), kept);
    match outcome {
        Ok(()) => Ok(()),
        Err(_) if cancel.is_cancelled() => Ok(()),
        Err(ChaosError::Report(e)) => Err(e.into()),
        Err(e @ ChaosError::Golden(_, NotGolden::Failed(..) | NotGolden::Unequal { .. })) => {
            Err(Failure::not_proven(e))
        }
        Err(e) => Err(Failure::environment(e)),
    }
}
