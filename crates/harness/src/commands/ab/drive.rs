//! The sets of a comparison, one after the other; what is there already is not made again.

use std::sync::Arc;

use super::Bench;
use crate::ab::calibrate::{self, SetFinding};
use crate::ab::conditions;
use crate::ab::judge::{of_set, whole_pairs};
use crate::ab::{InSet, SetKind, judge};
use crate::commands::Failure;
use crate::commands::interrupt::unless_cancelled;
use crate::commands::session::{self, Session};
use crate::faults::Fault;
use crate::oracle::{OracleName, Verdict};
use crate::report;
use crate::stats::{Extension, FEWEST_PAIRS, Metric, Place, Side, turn};
use crate::trial::drive::{self, Progress as _};
use crate::trial::plan::{Extras, Revision, TrialPlan};
use crate::trial::record::{RunRecord, TrialRecord};

/// Share of requests that meet a server error in the set for the error rate (DESIGN 8).
const BACKGROUND_ERRORS: f64 = 0.01;

/// Whether to go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Flow {
    Go,
    Stop,
}

/// Makes every trial that is missing.
///
/// # Errors
/// When a record cannot be written, or the scenario's event cannot be made.
pub(super) async fn all(bench: &Bench, session: &Session, record: &mut RunRecord) -> Result<(), Failure> {
    session.bar.phase("making the event");
    let Some(revisions) = unless_cancelled(&session.cancel, session::revisions(&bench.scenario)).await else {
        record.interrupted = true;
        return Ok(());
    };
    let revisions = revisions?;
    let most = bench.spec.conditions.iter().filter_map(|name| conditions::find(name)).map(|c| c.events).max();
    let mut beside = Vec::new();
    for n in 1..most.unwrap_or(1) {
        // Another seed is another meeting: neither races nor drivers are shared.
        let mut scenario = bench.scenario.clone();
        scenario.event.seed = scenario.event.seed.wrapping_add(1_000 + u64::from(n));
        beside.extend(session::revisions(&scenario).await?.into_iter().take(1));
    }
    let mut run = Run { bench, session, record, revisions, beside, warm: false };
    let flow = run.sets().await?;
    record.interrupted = session.cancel.is_cancelled() && flow == Flow::Stop;
    Ok(())
}

struct Run<'a> {
    bench: &'a Bench,
    session: &'a Session,
    record: &'a mut RunRecord,
    revisions: Vec<Arc<Revision>>,
    /// Whether a pair was made and dropped since the harness began.
    warm: bool,
    /// Events for the condition in which several are ingested at once.
    beside: Vec<Arc<Revision>>,
}

impl Run<'_> {
    async fn sets(&mut self) -> Result<Flow, Failure> {
        if !self.bench.spec.calibration.is_empty() {
            return self.calibrate().await;
        }
        if self.main().await? == Flow::Stop {
            return Ok(Flow::Stop);
        }
        for name in &self.bench.spec.conditions {
            if self.condition(name).await? == Flow::Stop {
                return Ok(Flow::Stop);
            }
        }
        for pair in 1..=self.bench.spec.error_pairs {
            if self.pair(&SetKind::Errors, pair).await? == Flow::Stop {
                return Ok(Flow::Stop);
            }
        }
        Ok(Flow::Go)
    }

    /// The main set, extended once when it leaves something open.
    async fn main(&mut self) -> Result<Flow, Failure> {
        let plan = Extension { pairs: self.bench.spec.pairs };
        loop {
            let have = whole_pairs(&self.record.trials, &SetKind::Main);
            // Twice too few would still be too few.
            let may_extend = plan.pairs.saturating_mul(2) as usize >= FEWEST_PAIRS;
            let open = may_extend && have >= plan.pairs && judge(&self.bench.spec, &self.record.trials).is_open();
            let wanted = plan.wanted(have, open);
            if wanted <= have {
                return Ok(Flow::Go);
            }
            if have >= plan.pairs {
                tracing::info!("inconclusive after {have} pairs: {wanted} in all");
            }
            // Whoever goes on with an interrupted set makes the dropped pair anew: its caches are cold again.
            if have > 0 && !std::mem::replace(&mut self.warm, true) {
                for place in turn(0) {
                    if self.trial(&SetKind::Main, place).await? == Flow::Stop {
                        return Ok(Flow::Stop);
                    }
                }
            }
            self.warm = true;
            for pair in 0..=wanted {
                if self.pair(&SetKind::Main, pair).await? == Flow::Stop {
                    return Ok(Flow::Stop);
                }
            }
        }
    }

    /// The pairs of a condition, where it can be had here.
    async fn condition(&mut self, name: &str) -> Result<Flow, Failure> {
        let Some(condition) = conditions::find(name) else { return Ok(Flow::Go) };
        let refused = match self.session.lab.server.postmaster() {
            Err(why) if condition.load.one_core => Some(why.to_string()),
            _ => None,
        };
        if let Some(why) = refused {
            self.record.environment.remarks.push(format!("The condition `{name}` was not measured: {why}"));
            return Ok(Flow::Go);
        }
        for pair in 1..=self.bench.spec.condition_pairs {
            if self.pair(&SetKind::Condition(name.to_owned()), pair).await? == Flow::Stop {
                return Ok(Flow::Stop);
            }
        }
        Ok(Flow::Go)
    }

    /// The sets of a calibration, of each effect in turn, so that what there is of an interrupted one speaks of all of them.
    async fn calibrate(&mut self) -> Result<Flow, Failure> {
        let levels = self.bench.spec.calibration.clone();
        let most = levels.iter().map(|(_, sets)| *sets).max().unwrap_or(0);
        for number in 1..=most {
            for &(added, _) in levels.iter().filter(|(_, sets)| number <= *sets) {
                loop {
                    let pairs = self.bench.spec.pairs;
                    let (confirms, wanted) =
                        match calibrate::finding(&self.bench.spec, &self.record.trials, added, number) {
                            SetFinding::Unfinished => (false, pairs),
                            SetFinding::Open => (false, pairs * 2),
                            SetFinding::Unconfirmed => (true, pairs),
                            SetFinding::OpenAgain => (true, pairs * 2),
                            SetFinding::Ended { .. } => break,
                        };
                    let set = calibrate::set(added, number, confirms);
                    // Sets follow each other at once: only the first finds cold caches and drops a pair.
                    let warm = std::mem::replace(&mut self.warm, true);
                    for pair in u32::from(warm)..=wanted {
                        if self.pair(&set, pair).await? == Flow::Stop {
                            return Ok(Flow::Stop);
                        }
                    }
                }
            }
        }
        Ok(Flow::Go)
    }

    /// Both trials of a pair, unless both are there. Of half a pair both are made: its halves would not be neighbours in time.
    async fn pair(&mut self, set: &SetKind, pair: u32) -> Result<Flow, Failure> {
        let places = turn(pair);
        let trials = of_set(&self.record.trials, set);
        let is_there = |place: &Place| trials.iter().any(|t| t.in_set.as_ref().is_some_and(|s| s.place() == *place));
        if places.iter().all(is_there) {
            return Ok(Flow::Go);
        }
        for place in places {
            if self.trial(set, place).await? == Flow::Stop {
                return Ok(Flow::Stop);
            }
        }
        Ok(Flow::Go)
    }

    async fn trial(&mut self, set: &SetKind, place: Place) -> Result<Flow, Failure> {
        let Session { lab, bar, cancel, .. } = self.session;
        let plan = self.plan(set, place);
        bar.trial(format!("{} {} pair {}", plan.scenario, self.bench.spec.label(place.side), place.pair));
        let done = unless_cancelled(cancel, drive::run(lab, &plan, bar, cancel)).await;
        let Some(mut done) = done.filter(|done| !cancel.is_cancelled() || done.broken.is_none()) else {
            return Ok(Flow::Stop);
        };
        let whole = report::overall::of_trial(&done).verdict == Verdict::Held;
        finish(&mut done);
        match set {
            SetKind::Calibration { .. } if whole => done.thin_to_figures(),
            _ if whole => done.thin(),
            _ => {}
        }
        report::append_trial(&done, &lab.out)?;
        self.record.trials.push(done);
        // A comparison of engines that lose laps is worthless: there is nothing to go on for.
        Ok(if whole && !cancel.is_cancelled() { Flow::Go } else { Flow::Stop })
    }

    fn plan(&self, set: &SetKind, place: Place) -> TrialPlan {
        let Bench { scenario, sides, .. } = self.bench;
        let side = &sides[usize::from(place.side == Side::B)];
        let number = u32::try_from(self.record.trials.len()).unwrap_or(u32::MAX).saturating_add(1);
        let mut plan = TrialPlan::of(scenario, &side.record.profile, number, &self.revisions);
        plan.settings.extend(side.record.settings.clone());
        plan.engine = Some(side.engine.clone());
        if let SetKind::Calibration { added_per_mille, .. } = set
            && place.side == Side::B
        {
            plan.delay = f64::from(*added_per_mille) / 1_000.0;
        }
        plan.in_set = Some(InSet {
            set: set.clone(),
            pair: place.pair,
            side: place.side,
            races: u32::try_from(self.revisions.first().map_or(0, |r| r.order.len())).unwrap_or(u32::MAX),
            unwritten: Vec::new(),
        });
        if let SetKind::Condition(name) = set
            && let Some(condition) = conditions::find(name)
        {
            plan.network = condition.network(plan.network);
            plan.load = condition.load;
            let beside = condition.events.saturating_sub(1) as usize;
            plan.beside = self.beside.iter().take(beside).cloned().collect();
        }
        // Once for each side is enough of what takes time and tells the same every time.
        let counted = self.record.trials.iter().any(|t| {
            t.metrics.contains_key(&Metric::RoundTrips) && t.in_set.as_ref().is_some_and(|s| s.side == place.side)
        });
        plan.extras = if *set == SetKind::Main && place.is_dropped() && !counted { Extras::ALL } else { Extras::NONE };
        if !plan.extras.again {
            plan.oracles.retain(|o| !matches!(o, OracleName::SameContent | OracleName::NoRewrite));
        }
        if *set == SetKind::Errors {
            self.with_background_faults(&mut plan, place);
        }
        plan.reproduce = self.reproduce(&side.record.profile, &plan);
        plan
    }

    /// Seeded background faults (DESIGN 8): a share of server errors, and one deadlock. The same for both sides of a pair.
    fn with_background_faults(&self, plan: &mut TrialPlan, place: Place) {
        let seed = plan.seed.wrapping_mul(1_000_003).wrapping_add(u64::from(place.pair));
        plan.background_errors = Some(BACKGROUND_ERRORS);
        plan.background_seed = seed;
        let laps = self.revisions.first().map_or(1, |r| r.laps()).max(1);
        // Any lap, by a multiplicative hash of the seed.
        let row = 1 + (seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 11) % laps;
        if let Ok(fault) = format!("row#{row}=db-deadlock").parse::<Fault>() {
            plan.faults.push(fault);
        }
        // A race that is given up is an error here and no violation: what is there must be right all the same.
        plan.oracles.retain(|o| !matches!(o, OracleName::Content | OracleName::Complete | OracleName::Counts));
    }

    fn reproduce(&self, profile: &str, plan: &TrialPlan) -> String {
        let mut words = vec![format!("harness run {} --profile {profile} --seed {}", plan.scenario, plan.seed)];
        words.extend(plan.settings.iter().map(|(k, v)| format!("--set {k}={v}")));
        words.extend(plan.faults.iter().map(|f| format!("--fault '{f}'")));
        words.extend(plan.network.database_rtt.iter().map(|t| format!("--database-rtt {t}")));
        words.extend(plan.network.liverc_latency.iter().map(|t| format!("--liverc-latency {t}")));
        words.push("--keep".to_owned());
        words.join(" ")
    }
}

/// Notes which races were not written after all retries.
fn finish(trial: &mut TrialRecord) {
    let Some(ingestion) = trial.ingestions.first() else { return };
    let checkpoints = &ingestion.observed.checkpoints;
    let written = |race: &u64| match checkpoints.get(race) {
        Some(checkpoint) => checkpoint.state == "written",
        // Another engine may have no checkpoints.
        None => checkpoints.is_empty() && ingestion.observed.laps_stored.contains_key(race),
    };
    let races = ingestion.expected.get(&crate::trial::record::RowKind::Races).into_iter().flatten().map(|(id, _)| *id);
    let unwritten: Vec<u64> = races.filter(|race| !written(race)).collect();
    if let Some(set) = &mut trial.in_set {
        set.unwritten = unwritten;
    }
}
