//! What a comparison came to, in every format: criteria and findings first.

pub mod junit;
pub mod markdown;
pub mod terminal;

use std::borrow::Cow;

use crate::ab::judge::JUDGED;
use crate::ab::{ComparisonRecord, Results, Row, judge};
use crate::oracle::{Verdict, exit_code};
use crate::report::format;
use crate::stats::{Finding, Met, Side};
use crate::trial::record::RunRecord;

/// A comparison with its results.
#[derive(Debug, Clone)]
pub struct View<'a> {
    /// What is compared.
    pub spec: &'a ComparisonRecord,
    /// What came out.
    pub results: Cow<'a, Results>,
    /// Trials of all sets.
    pub trials: usize,
}

/// Round trips for which times are predicted, ms.
const PREDICTED_MS: [f64; 6] = [0.2, 0.5, 1.0, 3.0, 10.0, 30.0];

/// What a comparison comes to, once every invariant held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Conclusion {
    /// A criterion is missed.
    Missed,
    /// B is worse.
    Regression,
    /// Fewer pairs than were asked for.
    Incomplete,
    /// Nothing is worse, and something could not be told.
    Inconclusive,
    /// Every criterion is met, and nothing is worse.
    Met,
    /// Something is better, nothing is worse.
    Improvement,
    /// Nothing is worse.
    Pass,
    /// A calibration, of which all sets ended.
    Calibrated,
    /// As [`Conclusion::Inconclusive`], with `--strict`.
    StrictlyInconclusive,
}

impl Conclusion {
    /// In large.
    #[must_use]
    pub fn headline(self) -> &'static str {
        match self {
            Self::Missed => "A criterion was missed",
            Self::Regression => "A regression was found",
            Self::Incomplete => "Too few pairs were made",
            Self::Inconclusive | Self::StrictlyInconclusive => "Nothing is worse, as far as could be told",
            Self::Met => "Every criterion is met",
            Self::Improvement => "Better, and nothing is worse",
            Self::Pass => "No regression",
            Self::Calibrated => "The method was calibrated",
        }
    }

    /// Exit code of DESIGN 10.
    #[must_use]
    pub fn exit_code(self) -> u8 {
        match self {
            Self::Missed | Self::Regression => 1,
            Self::StrictlyInconclusive => 3,
            Self::Incomplete => exit_code::INVARIANT,
            Self::Inconclusive | Self::Met | Self::Improvement | Self::Pass | Self::Calibrated => exit_code::PASS,
        }
    }

    /// The verdict whose look it has.
    #[must_use]
    pub fn as_verdict(self) -> Verdict {
        match self {
            Self::Missed | Self::Regression => Verdict::Violated,
            Self::Incomplete | Self::Inconclusive | Self::StrictlyInconclusive => Verdict::Unknown,
            Self::Met | Self::Improvement | Self::Pass | Self::Calibrated => Verdict::Held,
        }
    }
}

impl<'a> View<'a> {
    /// Of a run, if it is a comparison.
    #[must_use]
    pub fn of(run: &'a RunRecord) -> Option<Self> {
        let spec = run.comparison.as_deref()?;
        let results = match &spec.results {
            Some(results) => Cow::Borrowed(results),
            None => Cow::Owned(judge(spec, &run.trials)),
        };
        Some(Self { spec, results, trials: run.trials.len() })
    }

    /// What it comes to.
    #[must_use]
    pub fn conclusion(&self) -> Conclusion {
        let results = &*self.results;
        if !self.spec.calibration.is_empty() {
            let whole = results.calibration.iter().all(|l| l.sets == l.wanted);
            return if whole { Conclusion::Calibrated } else { Conclusion::Incomplete };
        }
        let missed = results.criteria.iter().any(|c| c.judged && c.met == Met::Missed);
        if missed {
            Conclusion::Missed
        } else if results.judged().any(|(_, f)| f == Finding::Regression) {
            Conclusion::Regression
        } else if results.pairs < self.spec.pairs {
            Conclusion::Incomplete
        } else if !results.open().is_empty() {
            if self.spec.strict { Conclusion::StrictlyInconclusive } else { Conclusion::Inconclusive }
        } else if !results.criteria.is_empty() {
            Conclusion::Met
        } else if results.judged().any(|(_, f)| f == Finding::Improvement) {
            Conclusion::Improvement
        } else {
            Conclusion::Pass
        }
    }

    /// How it was made, in a sentence.
    #[must_use]
    pub fn made(&self) -> String {
        if !self.spec.calibration.is_empty() {
            return format!(
                "sets of {} in ABBA order, doubled once when inconclusive, a regression confirmed by a second set; {} in all, \
                 every row compared in each",
                format::plural(self.spec.pairs as usize, "pair"),
                format::plural(self.trials, "trial")
            );
        }
        let extended = if self.results.extended { ", extended once since something was inconclusive" } else { "" };
        let mut text = format!(
            "{} in ABBA order{extended}; {} in all, every row compared in each",
            format::plural(self.results.pairs as usize, "pair"),
            format::plural(self.trials, "trial")
        );
        if !self.spec.timed {
            text.push_str("; times are not judged (debug build allowed by --untimed)");
        }
        text
    }

    /// Rows in the order in which they are shown: the judged ones, then the others.
    pub fn rows(&self) -> impl Iterator<Item = &Row> {
        let judged = |r: &&Row| JUDGED.contains(&r.metric);
        self.results.rows.iter().filter(judged).chain(self.results.rows.iter().filter(move |r| !judged(r)))
    }

    /// A row's cells: metric, A, B, change with interval, finding.
    #[must_use]
    pub fn cells(&self, row: &Row) -> [String; 5] {
        let value = |v: f64| format::metric(row.metric, v);
        let change = match &row.comparison {
            Ok(c) => crate::ab::judge::change_text(c),
            Err(_) => "too few pairs".to_owned(),
        };
        [row.metric.label().to_owned(), value(row.a), value(row.b), change, self.finding(row)]
    }

    /// A row's finding in a word or two.
    #[must_use]
    pub fn finding(&self, row: &Row) -> String {
        let covered = self.results.criteria.iter().any(|c| c.metric == Some(row.metric));
        match row.finding {
            _ if covered => "see its criterion".to_owned(),
            _ if !JUDGED.contains(&row.metric) => "shown only".to_owned(),
            Some(finding) => finding.to_string(),
            None => "not judged".to_owned(),
        }
    }

    /// What the fitted model predicts: a row per round-trip time with the time of A and B; empty without a model.
    #[must_use]
    pub fn predictions(&self) -> Vec<[String; 3]> {
        let Some(model) = &self.results.model else { return Vec::new() };
        PREDICTED_MS
            .iter()
            .map(|&ms| {
                let of = |side| format::duration(model.time_us(side, ms * 1e3, 0.0));
                [format!("{ms} ms to your database"), of(Side::A), of(Side::B)]
            })
            .collect()
    }

    /// The model and how far it can be trusted, in two sentences.
    #[must_use]
    pub fn model(&self) -> Option<String> {
        let m = self.results.model.as_ref()?;
        Some(format!(
            "time = {} per statement + {} per kB of WAL + {} per page + round trips × {:.2} (A) or {:.2} (B) of the round-trip \
             time + pages × {:.2} (A) or {:.2} (B) of LiveRC's latency. Fitted to {} measured times; it misses them by {} typically \
             and {} at most.",
            format::duration(m.statement_us),
            format::duration(m.wal_byte_us * 1e3),
            format::duration(m.page_us),
            m.round_trip[0],
            m.round_trip[1],
            m.latency[0],
            m.latency[1],
            m.points,
            format::share(m.typical),
            format::share(m.worst)
        ))
    }

    /// A calibration's level: name, sets, regressions found and confirmed, found at first, inconclusive, true share, change seen.
    #[must_use]
    pub fn level(level: &crate::ab::calibrate::Level) -> [String; 7] {
        [
            level.name(),
            format!("{} of {}", level.sets, level.wanted),
            level.found.to_string(),
            level.found_at_first.to_string(),
            level.inconclusive.to_string(),
            format!("{} to {}", format::share(level.share.0), format::share(level.share.1)),
            level.seen.map_or_else(|| format::NONE.to_owned(), crate::ab::judge::percent),
        ]
    }

    /// Labels of A and B.
    #[must_use]
    pub fn labels(&self) -> [String; 2] {
        [self.spec.label(Side::A), self.spec.label(Side::B)]
    }

    /// What could have been seen, in a sentence; of the judged metrics that did not come out worse or better.
    #[must_use]
    pub fn sensitivity(&self) -> Option<String> {
        let quiet = |f: Finding| matches!(f, Finding::Pass | Finding::Inconclusive);
        let seen: Vec<String> = self
            .results
            .judged()
            .filter(|(r, f)| quiet(*f) && r.floor.is_some_and(|f| f.0 > 0.0))
            .filter_map(|(r, _)| {
                Some(format!("{} {}", r.metric.label(), crate::ab::judge::percent(r.smallest_visible?)))
            })
            .collect();
        (!seen.is_empty()).then(|| format!("smallest worsening that such pairs would have shown: {}", seen.join(", ")))
    }

    /// Verdict of a criterion as shown.
    #[must_use]
    pub fn met(criterion: &crate::ab::Judged) -> &'static str {
        if criterion.judged { criterion.met.name() } else { "not judged" }
    }
}
