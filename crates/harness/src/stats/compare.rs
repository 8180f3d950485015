//! Two sides compared by pairs (DESIGN 8): the estimate, its exact interval, and what may be concluded.
//!
//! Per pair d = ln(B/A). The logarithm makes "twice" and "half" the same distance from "no change", so that swapping the
//! sides changes nothing but the sign. The estimate is the median of d and its interval the exact order-statistic one
//! ([`super::rank`]): no assumption about the distribution of times, whose tail is long. Ratios near 1 read as shares:
//! e^d − 1.

use serde::{Deserialize, Serialize};

use super::interval::{median_interval, rank};
use super::metric::{Better, Metric, Unit};

/// Confidence of every interval of this project.
pub const CONFIDENCE: f64 = 0.95;

/// Fewest pairs that support an interval of [`CONFIDENCE`] of something measured.
pub const FEWEST_PAIRS: usize = 6;

/// |d| of a pair of which one side is 0 and the other is not: beyond every ratio that can be measured, and finite, so that
/// order statistics stay numbers. A median there means "from nothing" or "to nothing".
pub const UNBOUNDED: f64 = 700.0;

/// What a change must exceed to matter, as a share of A: 0.1 is 10 %.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd, Serialize, Deserialize)]
pub struct Floor(pub f64);

impl Floor {
    /// The floor of a metric (DESIGN 8): event time and round trips 5 %, WAL 1 %, and whatever is counted exactly 0; other times
    /// and memory, which scatter more, 10 %. `None` for what is said for information only.
    ///
    /// The floor of event time is half of the smallest effect that is to be found: with a true change of the floor's own size
    /// half of all medians fall short of it, however quiet the machine is.
    #[must_use]
    pub fn of(metric: Metric) -> Option<Self> {
        if metric.better() == Better::Neither {
            return (metric == Metric::RowsWritten).then_some(Self(0.0));
        }
        Some(match metric {
            Metric::Wal | Metric::AgainWal => Self(0.01),
            // Sampled, or a matter of who comes first: no exact counts.
            Metric::PoolPeak | Metric::LockWaits => Self(0.10),
            Metric::EventTime => Self(0.05),
            // A reply that is late by chance splits what was sent together: one more of thirty on a busy machine.
            Metric::RoundTrips => Self(0.05),
            _ if metric.unit() == Unit::Count => Self(0.0),
            _ => Self(0.10),
        })
    }

    /// As a logarithm of a ratio.
    fn ln(self) -> f64 {
        self.0.ln_1p()
    }
}

/// Whether a metric is a count that is the same in every trial of the same work (round trips: but for one by chance), so that few
/// trials are enough.
#[must_use]
pub fn is_counted(metric: Metric) -> bool {
    metric == Metric::RoundTrips || Floor::of(metric) == Some(Floor(0.0))
}

/// Why nothing can be said. A missing or empty sample never passes.
#[derive(Debug, Clone, PartialEq, thiserror::Error, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NoComparison {
    /// Too few pairs.
    #[error("{pairs} pairs support no interval; at least {needed} are needed")]
    TooFew {
        /// Whole pairs that there are.
        pairs: usize,
        /// Whole pairs that are needed.
        needed: usize,
    },
    /// A value is negative or no number.
    #[error("a measured value is no number at or above 0, so the pairs cannot be compared")]
    BadValue,
}

/// What may be concluded of a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Finding {
    /// Better: the interval is clear of no change, and the median is past the floor.
    Improvement,
    /// Not worse by more than the floor: the whole interval says so.
    Pass,
    /// Neither can be said.
    Inconclusive,
    /// Worse: the interval is clear of no change, and the median is past the floor.
    Regression,
}

impl Finding {
    /// In reports.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Improvement => "improvement",
            Self::Pass => "pass",
            Self::Inconclusive => "inconclusive",
            Self::Regression => "regression",
        }
    }
}

impl std::fmt::Display for Finding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.name())
    }
}

/// What pairs say about ln(B/A).
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Comparison {
    /// Median of d = ln(B/A).
    pub median: f64,
    /// Lower bound of its interval.
    pub low: f64,
    /// Upper bound of its interval.
    pub high: f64,
    /// Pairs.
    pub pairs: usize,
    /// Rank of the lower bound, from 1; the upper bound has the same rank from the other end.
    pub rank: usize,
    /// Probability that the interval encloses the true median.
    pub coverage: f64,
}

impl Comparison {
    /// Compares something measured. `pairs` are (A, B), each at or above 0.
    ///
    /// # Errors
    /// [`NoComparison`], when there are fewer than [`FEWEST_PAIRS`] pairs or a value is none.
    pub fn of(pairs: &[(f64, f64)]) -> Result<Self, NoComparison> {
        let d = differences(pairs)?;
        let interval =
            median_interval(&d, CONFIDENCE).ok_or(NoComparison::TooFew { pairs: pairs.len(), needed: FEWEST_PAIRS })?;
        Ok(Self {
            median: interval.median,
            low: interval.low,
            high: interval.high,
            pairs: d.len(),
            rank: interval.rank,
            coverage: interval.coverage,
        })
    }

    /// Compares something counted ([`is_counted`]), of which a few pairs are enough: below [`FEWEST_PAIRS`] the interval is
    /// the whole range of d, and its coverage is what that range gives (1 − 2^(1−N)), which is less than [`CONFIDENCE`]; it is
    /// 1 when every pair says the same.
    ///
    /// # Errors
    /// [`NoComparison`], when there is no pair or a value is none.
    pub fn of_counts(pairs: &[(f64, f64)]) -> Result<Self, NoComparison> {
        let mut d = differences(pairs)?;
        let (Some(low), Some(high)) =
            (d.iter().copied().min_by(f64::total_cmp), d.iter().copied().max_by(f64::total_cmp))
        else {
            return Err(NoComparison::TooFew { pairs: 0, needed: 1 });
        };
        if low.total_cmp(&high).is_eq() {
            return Ok(Self { median: low, low, high, pairs: d.len(), rank: 1, coverage: 1.0 });
        }
        if rank(d.len(), CONFIDENCE).is_some() {
            return Self::of(pairs);
        }
        d.sort_unstable_by(f64::total_cmp);
        let n = d.len();
        let median = f64::midpoint(d[(n - 1) / 2], d[n / 2]);
        let coverage = 1.0 - 2.0 * 0.5_f64.powi(i32::try_from(n).unwrap_or(i32::MAX));
        Ok(Self { median, low, high, pairs: n, rank: 1, coverage })
    }

    /// [`Comparison::of_counts`] for what is counted, [`Comparison::of`] for everything else.
    ///
    /// # Errors
    /// As they.
    pub fn of_metric(metric: Metric, pairs: &[(f64, f64)]) -> Result<Self, NoComparison> {
        if is_counted(metric) { Self::of_counts(pairs) } else { Self::of(pairs) }
    }

    /// The estimate as a share of A: −0.5 is "half".
    #[must_use]
    pub fn change(&self) -> f64 {
        self.median.exp_m1()
    }

    /// The interval as shares of A.
    #[must_use]
    pub fn interval(&self) -> (f64, f64) {
        (self.low.exp_m1(), self.high.exp_m1())
    }

    /// The same seen from the other side: A and B swapped.
    #[must_use]
    pub fn swapped(&self) -> Self {
        Self { median: -self.median, low: -self.high, high: -self.low, ..*self }
    }

    /// (median, low, high) turned so that more is worse.
    fn worse(&self, better: Better) -> (f64, f64, f64) {
        match better {
            Better::Higher => (-self.median, -self.high, -self.low),
            Better::Lower | Better::Neither => (self.median, self.low, self.high),
        }
    }

    /// What may be concluded. Of a metric of which neither direction is better, as rows written, more is worse and less is a
    /// pass: that too little was written is for the oracles to find.
    #[must_use]
    pub fn finding(&self, floor: Floor, better: Better) -> Finding {
        let floor = floor.ln();
        let (median, low, high) = self.worse(better);
        if low > 0.0 && median > floor {
            Finding::Regression
        } else if high < 0.0 && median < -floor {
            if better == Better::Neither { Finding::Pass } else { Finding::Improvement }
        } else if high <= floor {
            Finding::Pass
        } else {
            Finding::Inconclusive
        }
    }

    /// The smallest rise (fall, where more is better) that pairs as scattered as these would have shown as a regression, as
    /// a share of A. With a true change of this size every second set of pairs finds it; larger ones are found more often.
    #[must_use]
    pub fn smallest_visible(&self, floor: Floor, better: Better) -> f64 {
        let (median, low, _) = self.worse(better);
        let d = (median - low).max(floor.ln());
        match better {
            Better::Higher => -(-d).exp_m1(),
            Better::Lower | Better::Neither => d.exp_m1(),
        }
    }

    /// Judges a bound on the change by the whole interval.
    #[must_use]
    pub fn meets(&self, bound: Bound) -> Met {
        let (limit, (low, high)) = match bound {
            Bound::AtMost(share) => (share.ln_1p(), (self.low, self.high)),
            Bound::AtLeast(share) => (-share.ln_1p(), (-self.high, -self.low)),
        };
        if high <= limit {
            Met::Met
        } else if low > limit {
            Met::Missed
        } else {
            Met::Inconclusive
        }
    }
}

/// A bound on the change from A to B, as a share of A.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Bound {
    /// The change is this or less: −0.5 is "at least halved".
    AtMost(f64),
    /// The change is this or more: 1.0 is "at least doubled".
    AtLeast(f64),
}

/// Whether a bound is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Met {
    /// The whole interval keeps it.
    Met,
    /// The interval lies on both sides of it.
    Inconclusive,
    /// Nothing of the interval keeps it.
    Missed,
}

impl Met {
    /// In reports.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Met => "met",
            Self::Inconclusive => "inconclusive",
            Self::Missed => "missed",
        }
    }
}

impl std::fmt::Display for Met {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.name())
    }
}

/// How many pairs are made, and how many more when they leave something open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Extension {
    /// Pairs at first.
    pub pairs: u32,
}

impl Extension {
    /// How many pairs there should be in all, given how many whole ones there are and whether something is open: as many
    /// again, and only once. What is open then stays *inconclusive*: looking until something is found would find something.
    #[must_use]
    pub fn wanted(self, have: u32, open: bool) -> u32 {
        if have >= self.pairs && open { self.pairs.saturating_mul(2) } else { self.pairs.max(have) }
    }
}

/// d = ln(B/A) of every pair.
///
/// # Errors
/// [`NoComparison::BadValue`].
pub fn differences(pairs: &[(f64, f64)]) -> Result<Vec<f64>, NoComparison> {
    let d = |&(a, b): &(f64, f64)| {
        if !(a.is_finite() && b.is_finite() && a >= 0.0 && b >= 0.0) {
            return Err(NoComparison::BadValue);
        }
        Ok(match (a == 0.0, b == 0.0) {
            (true, true) => 0.0,
            (true, false) => UNBOUNDED,
            (false, true) => -UNBOUNDED,
            (false, false) => (b / a).ln().clamp(-UNBOUNDED, UNBOUNDED),
        })
    };
    pairs.iter().map(d).collect()
}

#[cfg(test)]
#[path = "compare_tests.rs"]
mod tests;
