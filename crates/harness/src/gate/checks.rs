//! Each metric of the gate with its finding.

use super::baseline::{Range, Ratio};
use super::record::{GateRecord, TimeBy};
use crate::stats::{
    Better, CONFIDENCE, Comparison, FEWEST_PAIRS, Finding, Floor, Metric, NoComparison, Place, Side, median_interval,
    pair_up,
};
use crate::trial::record::{RunRecord, TrialRecord};

/// What is counted and compared.
pub const COUNTED: [Metric; 7] = [
    Metric::Statements,
    Metric::RoundTrips,
    Metric::Pages,
    Metric::RowsWritten,
    Metric::Wal,
    Metric::AgainStatements,
    Metric::RowsRewritten,
];

/// Floor of a time that is a ratio to a reference COPY and compared with an earlier run's: `docs/gate.md` says how it was
/// found. Within one run it is that of [`Floor::of`].
pub const REFERENCE_FLOOR: Floor = Floor(0.5);

/// What came of a metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum CheckVerdict {
    /// Not worse than the floor.
    Pass,
    /// Better.
    Improvement,
    /// It cannot be compared, and the reason is said.
    NotJudged,
    /// Neither can be said.
    Inconclusive,
    /// There is nothing to compare: fails.
    Missing,
    /// Worse, in both sets: fails.
    Regression,
}

impl CheckVerdict {
    /// In reports.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Improvement => "improvement",
            Self::NotJudged => "not judged",
            Self::Inconclusive => "inconclusive",
            Self::Missing => "missing",
            Self::Regression => "regression",
        }
    }

    /// Whether it fails the gate.
    #[must_use]
    pub fn fails(self) -> bool {
        matches!(self, Self::Missing | Self::Regression)
    }
}

/// A metric with its finding.
#[derive(Debug, Clone, PartialEq)]
pub struct Check {
    /// Which.
    pub metric: Metric,
    /// Whether the values are ratios to a reference COPY.
    pub ratio: bool,
    /// Compared with: typical value.
    pub base: Option<f64>,
    /// Here: typical value.
    pub here: Option<f64>,
    /// The first set.
    pub first: Option<Comparison>,
    /// The set that confirms.
    pub second: Option<Comparison>,
    /// What a change must exceed.
    pub floor: Floor,
    /// What came of it.
    pub verdict: CheckVerdict,
    /// Why it was not judged, is missing or open; empty otherwise.
    pub reason: String,
}

impl Check {
    /// What it is called: `write stage / reference COPY`.
    #[must_use]
    pub fn label(&self) -> String {
        if self.ratio { format!("{} / reference COPY", self.metric.label()) } else { self.metric.label().to_owned() }
    }

    /// Whether the first set found a regression and the second cannot tell.
    #[must_use]
    pub fn is_open_again(&self) -> bool {
        self.second.is_some_and(|second| second.finding(self.floor, self.metric.better()) == Finding::Inconclusive)
    }
}

/// Every check of a recorded run; the trials so far are enough.
#[must_use]
pub fn checks(run: &RunRecord, gate: &GateRecord) -> Vec<Check> {
    let mut all: Vec<Check> = COUNTED.iter().filter_map(|&metric| counted(run, gate, metric)).collect();
    all.push(timed(run, gate));
    all
}

/// Trials of a side of a set in order, the dropped pair among them.
pub(super) fn side<'a>(
    run: &'a RunRecord,
    gate: &'a GateRecord,
    set: u32,
    side: Side,
) -> impl Iterator<Item = (Place, &'a TrialRecord)> {
    gate.places.iter().filter(move |p| p.set == set && p.place.side == side).filter_map(|p| {
        let trial = run.trials.iter().find(|t| t.trial == p.trial && t.broken.is_none())?;
        Some((p.place, trial))
    })
}

fn values(run: &RunRecord, gate: &GateRecord, set: u32, of: Side, metric: Metric) -> Vec<f64> {
    side(run, gate, set, of).filter_map(|(_, t)| t.metrics.get(&metric).copied()).collect()
}

/// What a count is compared with: the baseline's, or that of the base build in this run.
fn base_of(run: &RunRecord, gate: &GateRecord, set: u32, metric: Metric) -> Option<f64> {
    match &gate.baseline {
        Some(baseline) => baseline.counts.get(&metric).map(|range| range.median),
        None => Range::of(&values(run, gate, set, Side::A, metric)).map(|range| range.median),
    }
}

/// A count. `None` where neither side has it.
fn counted(run: &RunRecord, gate: &GateRecord, metric: Metric) -> Option<Check> {
    let base = base_of(run, gate, 1, metric);
    let here = Range::of(&values(run, gate, 1, Side::B, metric)).map(|r| r.median);
    if base.is_none() && here.is_none() {
        return None;
    }
    let floor = Floor::of(metric).unwrap_or(Floor(0.0));
    let mut check = Check {
        metric,
        ratio: false,
        base,
        here,
        first: None,
        second: None,
        floor,
        verdict: CheckVerdict::NotJudged,
        reason: String::new(),
    };
    let compare = |set: u32| -> Option<Result<Comparison, NoComparison>> {
        let base = base_of(run, gate, set, metric)?;
        let pairs: Vec<(f64, f64)> =
            values(run, gate, set, Side::B, metric).into_iter().map(|here| (base, here)).collect();
        (!pairs.is_empty()).then(|| Comparison::of_counts(&pairs))
    };
    if metric == Metric::Wal && !gate.unlike.wal.is_empty() {
        check.reason = said(&gate.unlike.wal);
    } else if base.is_none() {
        check.reason = "the baseline has none; it would with --save-baseline".to_owned();
    } else {
        judge(&mut check, compare(1), compare(2), gate.sets() > 1, metric.better());
    }
    Some(check)
}

pub(super) fn said(differences: &[super::Difference]) -> String {
    differences.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

/// The time that is judged, in one way or the other.
fn timed(run: &RunRecord, gate: &GateRecord) -> Check {
    let (metric, ratio) = match gate.time {
        TimeBy::Reference => (Metric::WriteStage, true),
        TimeBy::BaseBuild | TimeBy::NotJudged { .. } => (Metric::EventTime, false),
    };
    let floor = if ratio { REFERENCE_FLOOR } else { Floor::of(metric).unwrap_or(Floor(0.1)) };
    let mut check = Check {
        metric,
        ratio,
        base: None,
        here: None,
        first: None,
        second: None,
        floor,
        verdict: CheckVerdict::NotJudged,
        reason: String::new(),
    };
    let confirming = gate.sets() > 1;
    match &gate.time {
        TimeBy::NotJudged { why } => check.reason.clone_from(why),
        TimeBy::BaseBuild => {
            let pairs = |set: u32| {
                let of = |which| side(run, gate, set, which).filter_map(|(p, t)| Some((p, *t.metrics.get(&metric)?)));
                pair_up(of(Side::A).chain(of(Side::B)).collect::<Vec<_>>())
            };
            let first = pairs(1);
            let median = |f: fn(&(f64, f64)) -> f64| Range::of(&first.iter().map(f).collect::<Vec<_>>());
            check.base = median(|p| p.0).map(|r| r.median);
            check.here = median(|p| p.1).map(|r| r.median);
            let second = confirming.then(|| Comparison::of(&pairs(2)));
            judge(&mut check, Some(Comparison::of(&first)), second, confirming, metric.better());
        }
        TimeBy::Reference => {
            let Some(base) = gate.baseline.as_ref().and_then(|b| b.time.as_ref()).map(|t| t.write_stage) else {
                check.reason = "the baseline holds no times".to_owned();
                return check;
            };
            let first = ratios(run, gate, 1, |t| t.metrics.get(&metric).copied());
            check.base = Some(base.median);
            check.here = Range::of(&first).map(|r| r.median);
            let second = confirming.then(|| against(&ratios(run, gate, 2, |t| t.metrics.get(&metric).copied()), base));
            judge(&mut check, Some(against(&first, base)), second, confirming, metric.better());
        }
    }
    check
}

/// Ratios of a figure to the pair's reference COPY, the dropped pair left out.
pub(super) fn ratios(
    run: &RunRecord,
    gate: &GateRecord,
    set: u32,
    figure: impl Fn(&TrialRecord) -> Option<f64>,
) -> Vec<f64> {
    side(run, gate, set, Side::B)
        .filter(|(place, _)| !place.is_dropped())
        .filter_map(|(place, trial)| Some(figure(trial)? / gate.reference(set, place.pair)?))
        .collect()
}

/// Compares ratios with a baseline's. The two samples are of different runs: the interval is that of the difference of two
/// medians each of which is in its own interval, which holds with at least the sum of what the two leave out taken from 1.
pub(super) fn against(here: &[f64], base: Ratio) -> Result<Comparison, NoComparison> {
    if here.len() < FEWEST_PAIRS {
        return Err(NoComparison::TooFew { pairs: here.len(), needed: FEWEST_PAIRS });
    }
    let logs: Vec<f64> = here.iter().map(|r| r.ln()).collect();
    let interval = median_interval(&logs, CONFIDENCE).ok_or(NoComparison::BadValue)?;
    Ok(Comparison {
        median: interval.median - base.median.ln(),
        low: interval.low - base.high.ln(),
        high: interval.high - base.low.ln(),
        pairs: here.len(),
        rank: interval.rank,
        coverage: (interval.coverage - (1.0 - CONFIDENCE)).max(0.0),
    })
}

/// From one or two sets to the verdict. A regression counts when a second set finds it as well.
fn judge(
    check: &mut Check,
    first: Option<Result<Comparison, NoComparison>>,
    second: Option<Result<Comparison, NoComparison>>,
    confirming: bool,
    better: Better,
) {
    let first = match first {
        Some(Ok(first)) => first,
        Some(Err(why)) => {
            check.verdict = CheckVerdict::Missing;
            check.reason = why.to_string();
            return;
        }
        None => {
            check.verdict = CheckVerdict::Missing;
            check.reason = "no trial has it; the baseline does".to_owned();
            return;
        }
    };
    check.first = Some(first);
    check.verdict = match first.finding(check.floor, better) {
        Finding::Pass => CheckVerdict::Pass,
        Finding::Improvement => CheckVerdict::Improvement,
        Finding::Inconclusive => {
            let visible = first.smallest_visible(check.floor, better);
            check.reason = format!("scattered too widely; a change of {:.0} % could have been seen", visible * 100.0);
            CheckVerdict::Inconclusive
        }
        Finding::Regression => CheckVerdict::Regression,
    };
    if check.verdict != CheckVerdict::Regression || !confirming {
        return;
    }
    match second {
        Some(Ok(second)) => {
            check.second = Some(second);
            if second.finding(check.floor, better) != Finding::Regression {
                check.verdict = CheckVerdict::Inconclusive;
                check.reason = "a second set did not confirm it".to_owned();
            }
        }
        // A set that could not be measured does not take a regression back.
        Some(Err(why)) => check.reason = format!("the second set is no use: {why}"),
        None => check.reason = "the second set does not have it".to_owned(),
    }
}
