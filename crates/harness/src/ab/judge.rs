//! What the trials of a comparison say: findings by metric, criteria, and the exit code.

use serde::{Deserialize, Serialize};

use super::criteria::{self, Judged, is_time};
use super::errors::Unwritten;
use super::record::{ComparisonRecord, SetKind};
use crate::format;
use crate::stats::{Comparison, Finding, Floor, Met, Metric, NoComparison, Side, Spread, pair_up};
use crate::trial::record::TrialRecord;

/// Metrics by which B is judged; all others are shown.
pub const JUDGED: [Metric; 8] = [
    Metric::EventTime,
    Metric::Statements,
    Metric::RoundTrips,
    Metric::Pages,
    Metric::RowsWritten,
    Metric::Wal,
    Metric::EngineCpu,
    Metric::EnginePeakRss,
];

/// A metric of both sides.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// Metric.
    pub metric: Metric,
    /// Median of A over the pairs.
    pub a: f64,
    /// Median of B over the pairs.
    pub b: f64,
    /// The change, or why there is none to speak of.
    pub comparison: Result<Comparison, NoComparison>,
    /// Floor; `None`: the metric is shown for information.
    pub floor: Option<Floor>,
    /// What may be concluded; `None`: not judged.
    pub finding: Option<Finding>,
    /// Smallest worsening that would have been seen, as a share of A.
    pub smallest_visible: Option<f64>,
}

/// A condition and what the sides took under it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct UnderCondition {
    /// Name of the condition.
    pub name: String,
    /// Event time.
    pub time: Option<Row>,
}

/// Everything that came out.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Results {
    /// Whole pairs of the main set.
    pub pairs: u32,
    /// Whether the set was extended.
    pub extended: bool,
    /// A row for each metric that both sides have.
    pub rows: Vec<Row>,
    /// Criteria with their verdicts.
    pub criteria: Vec<Judged>,
    /// Races not written under background faults, where such a set was made.
    pub unwritten: Option<Unwritten>,
    /// Load conditions.
    #[serde(default)]
    pub conditions: Vec<UnderCondition>,
    /// The model fitted to them, where they were measured.
    #[serde(default)]
    pub model: Option<super::predict::Model>,
    /// What a calibration found, by the effect that was added.
    #[serde(default)]
    pub calibration: Vec<super::calibrate::Level>,
}

impl Results {
    /// Rows by which B is judged and of which no criterion speaks.
    pub fn judged(&self) -> impl Iterator<Item = (&Row, Finding)> {
        self.rows
            .iter()
            .filter(|r| !self.criteria.iter().any(|c| c.metric == Some(r.metric)))
            .filter_map(|r| r.finding.map(|f| (r, f)))
            .filter(|(r, _)| JUDGED.contains(&r.metric))
    }

    /// Whether something is open that more pairs might close.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.judged().any(|(_, f)| f == Finding::Inconclusive)
            || self.criteria.iter().any(|c| c.judged && c.met == Met::Inconclusive && c.metric.is_some())
    }

    /// Criteria missed and regressions, a sentence each.
    #[must_use]
    pub fn against(&self) -> Vec<String> {
        let criteria = self.criteria.iter().filter(|c| c.judged && c.met == Met::Missed);
        let regressions = self.judged().filter(|(_, f)| *f == Finding::Regression);
        criteria
            .map(|c| format!("missed: {}; measured: {}", c.criterion, c.measured))
            .chain(regressions.map(|(r, _)| format!("regression: {}", r.text())))
            .collect()
    }

    /// What stayed open, a sentence each.
    #[must_use]
    pub fn open(&self) -> Vec<String> {
        let criteria = self.criteria.iter().filter(|c| c.judged && c.met == Met::Inconclusive);
        let rows = self.judged().filter(|(_, f)| *f == Finding::Inconclusive);
        criteria
            .map(|c| format!("inconclusive: {}; measured: {}", c.criterion, c.measured))
            .chain(rows.map(|(r, _)| format!("inconclusive: {}", r.text())))
            .collect()
    }
}

impl Row {
    /// Of the pairs of a set; `None` when neither side has the metric in any whole pair.
    #[must_use]
    pub fn of(metric: Metric, trials: &[&TrialRecord], timed: bool) -> Option<Self> {
        let value = |t: &&TrialRecord| Some((t.in_set.as_ref()?.place(), *t.metrics.get(&metric)?));
        let mut pairs = pair_up(trials.iter().filter_map(value));
        if pairs.is_empty() && metric == Metric::RoundTrips {
            // Counted once for each side, in the pair whose time is dropped.
            let shifted = |t: &&TrialRecord| value(t).map(|(p, v)| (crate::stats::Place { pair: p.pair + 1, ..p }, v));
            pairs = pair_up(trials.iter().filter_map(shifted));
        }
        let a = Spread::of(pairs.iter().map(|p| p.0))?.median;
        let b = Spread::of(pairs.iter().map(|p| p.1))?.median;
        let comparison = Comparison::of_metric(metric, &pairs);
        let floor = Floor::of(metric);
        let judged = timed || !is_time(metric);
        let better = metric.better();
        // Without an interval there is a finding all the same: that nothing can be said.
        let finding = floor.filter(|_| judged).map(|floor| match &comparison {
            Ok(c) => c.finding(floor, better),
            Err(_) => Finding::Inconclusive,
        });
        let smallest_visible = match (&comparison, floor) {
            (Ok(c), Some(floor)) if judged => Some(c.smallest_visible(floor, better)),
            _ => None,
        };
        Some(Self { metric, a, b, comparison, floor, finding, smallest_visible })
    }

    /// In a sentence: metric, both values, interval, floor.
    #[must_use]
    pub fn text(&self) -> String {
        let value = |v: f64| format::metric(self.metric, v);
        let change = match &self.comparison {
            Ok(c) => change_text(c),
            Err(why) => why.to_string(),
        };
        let floor = self.floor.map_or_else(String::new, |f| format!(", floor {}", format::share(f.0)));
        format!("{} {} → {}: {change}{floor}", self.metric.label(), value(self.a), value(self.b))
    }
}

/// `−62 % (−65 to −58)`.
#[must_use]
pub fn change_text(c: &Comparison) -> String {
    let (low, high) = c.interval();
    if c.low.total_cmp(&c.high).is_eq() {
        return format!("{} in every pair", percent(c.change()));
    }
    let (low, high) = (percent(low), percent(high));
    // `−92 to −77`, but `+329 % to × 12`.
    let bounds = match (low.strip_suffix(" %"), high.strip_suffix(" %")) {
        (Some(low), Some(high)) => format!("{low} to {high}"),
        _ => format!("{low} to {high}"),
    };
    format!("{} ({bounds})", percent(c.change()))
}

/// A change as people read it: `−62 %`, `+0.4 %`, `× 12`.
#[must_use]
pub fn percent(share: f64) -> String {
    if share > 1e9 {
        return "from nothing".to_owned();
    }
    if share > 9.0 {
        return format!("× {:.0}", share + 1.0);
    }
    let percent = share * 100.0;
    let text = if percent.abs() >= 9.95 || percent == 0.0 { format!("{percent:.0}") } else { format!("{percent:.1}") };
    let text = if text.trim_start_matches('-').parse() == Ok(0.0) { "0".to_owned() } else { text };
    match text.strip_prefix('-') {
        Some(digits) => format!("−{digits} %"),
        None if text == "0" => "0 %".to_owned(),
        None => format!("+{text} %"),
    }
}

/// Trials of a set whose environment did not fail.
#[must_use]
pub fn of_set<'a>(trials: &'a [TrialRecord], set: &SetKind) -> Vec<&'a TrialRecord> {
    trials.iter().filter(|t| t.broken.is_none() && t.in_set.as_ref().is_some_and(|s| s.set == *set)).collect()
}

/// Whole pairs of a set, the dropped one not counted.
#[must_use]
pub fn whole_pairs(trials: &[TrialRecord], set: &SetKind) -> u32 {
    let places = of_set(trials, set).into_iter().filter_map(|t| Some((t.in_set.as_ref()?.place(), 0.0)));
    u32::try_from(pair_up(places).len()).unwrap_or(u32::MAX)
}

/// Everything that the trials say.
#[must_use]
pub fn judge(spec: &ComparisonRecord, trials: &[TrialRecord]) -> Results {
    let main = of_set(trials, &SetKind::Main);
    let rows = rows_of(spec, trials, &SetKind::Main);
    let unwritten = (spec.error_pairs > 0).then(|| unwritten(&of_set(trials, &SetKind::Errors)));
    let pairs = whole_pairs(trials, &SetKind::Main);
    let conditions = spec
        .conditions
        .iter()
        .map(|name| UnderCondition {
            name: name.clone(),
            time: Row::of(Metric::EventTime, &of_set(trials, &SetKind::Condition(name.clone())), spec.timed),
        })
        .collect();
    let criteria = spec.criteria.as_ref().map_or_else(Vec::new, |c| judge_criteria(c, spec, &main, &rows, unwritten));
    let calibration = super::calibrate::levels(spec, trials);
    let extended = pairs > spec.pairs;
    let mut results = Results { pairs, extended, rows, criteria, unwritten, conditions, model: None, calibration };
    results.model = super::predict::Model::fit(&results);
    results
}

/// A row for each metric that both sides of a set have.
#[must_use]
pub fn rows_of(spec: &ComparisonRecord, trials: &[TrialRecord], set: &SetKind) -> Vec<Row> {
    let trials = of_set(trials, set);
    Metric::ALL.iter().filter_map(|&m| Row::of(m, &trials, spec.timed)).collect()
}

fn judge_criteria(
    criteria: &criteria::Criteria,
    spec: &ComparisonRecord,
    main: &[&TrialRecord],
    rows: &[Row],
    unwritten: Option<Unwritten>,
) -> Vec<Judged> {
    let comparison = |metric: Metric| {
        let row = rows.iter().find(|r| r.metric == metric);
        row.map_or(Err(NoComparison::TooFew { pairs: 0, needed: 1 }), |r| r.comparison.clone())
    };
    let of_b = |metric: Metric| -> Vec<f64> {
        let b = main.iter().filter(|t| t.in_set.as_ref().is_some_and(|s| s.side == Side::B));
        b.filter_map(|t| t.metrics.get(&metric).copied()).collect()
    };
    let changes = criteria.change.iter().map(|(&m, &bound)| criteria::of_change(m, bound, &comparison(m), spec.timed));
    let limits = criteria.limit.iter().map(|(&m, &limit)| criteria::of_limit(m, limit, &of_b(m), spec.timed));
    let errors = criteria.error_rate.map(|l| criteria::of_error_rate(l, &unwritten.unwrap_or_default()));
    changes.chain(errors).chain(limits).collect()
}

/// Races not written by the sides, matched by pair and race.
fn unwritten(trials: &[&TrialRecord]) -> Unwritten {
    use std::collections::{BTreeMap, BTreeSet};
    /// Races attempted, and those that were not written.
    type Lost = (u32, BTreeSet<u64>);
    let mut pairs: BTreeMap<u32, [Option<Lost>; 2]> = BTreeMap::new();
    for set in trials.iter().filter_map(|t| t.in_set.as_ref()) {
        let lost = set.unwritten.iter().copied().collect();
        pairs.entry(set.pair).or_default()[usize::from(set.side == Side::B)] = Some((set.races, lost));
    }
    let mut all = Unwritten::default();
    for [a, b] in pairs.into_values() {
        let (Some((races, a)), Some((_, b))) = (a, b) else { continue };
        all.races += u64::from(races);
        all.a += a.len() as u64;
        all.b += b.len() as u64;
        all.a_only += a.difference(&b).count() as u64;
        all.b_only += b.difference(&a).count() as u64;
    }
    all
}

#[cfg(test)]
#[path = "judge_tests.rs"]
pub(super) mod tests;
