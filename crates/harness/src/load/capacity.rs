//! The highest rate at which an objective is met. Pure: what measures is given.
//!
//! From a first rate up by doubling (or down by halving) until the objective is met at one rate and missed at another; then
//! the middle between the two, by ratio, until they are close. A rate is decided by two of three measurements, so that
//! one odd measurement does not send the search astray.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::generated::{Generated, Quantile, quantile};
use crate::nearest::UnknownName;
use crate::quantity::{NoSpan, Span, as_text};
use crate::stats::Histogram;

/// The quantiles that an objective may speak of.
const QUANTILES: [(&str, f64); 7] =
    [("p50", 0.5), ("p75", 0.75), ("p90", 0.9), ("p95", 0.95), ("p99", 0.99), ("p99.9", 0.999), ("max", 1.0)];

/// What must hold of the latencies: `p99 < 5s`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Objective {
    name: &'static str,
    quantile: f64,
    or_equal: bool,
    limit: Span,
}

/// A text that is no objective.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ObjectiveError {
    /// Not of its form.
    #[error("`{0}` is no objective; write a quantile, `<` or `<=`, and a duration: p99 < 5s")]
    Form(String),
    /// `>` or the like.
    #[error("`{0}`: an objective is an upper bound; write `<` or `<=`: p99 < 5s")]
    Comparator(String),
    /// No such quantile.
    #[error(transparent)]
    Quantile(#[from] UnknownName),
    /// No duration.
    #[error(transparent)]
    Limit(#[from] NoSpan),
    /// Nothing is faster.
    #[error("`{0}`: no latency is below 0; write a longer duration")]
    Zero(String),
}

impl Objective {
    /// Which quantile, from 0 to 1; 1 is the largest.
    #[must_use]
    pub fn quantile(&self) -> f64 {
        self.quantile
    }

    /// Its name: `p99`, `max`.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// What it is held against.
    #[must_use]
    pub fn limit(&self) -> Duration {
        self.limit.0
    }

    /// Requests that a measurement needs at least to tell: ten beyond the quantile, so that it is not the luck of one.
    #[must_use]
    pub fn fewest(&self) -> u64 {
        if self.quantile < 1.0 { (10.0 / (1.0 - self.quantile)).round() as u64 } else { 20 }
    }

    /// Whether a latency meets it.
    #[must_use]
    pub fn met_by(&self, us: u64) -> bool {
        let limit = self.limit.0.as_micros();
        if self.or_equal { u128::from(us) <= limit } else { u128::from(us) < limit }
    }
}

impl fmt::Display for Objective {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("{} {} {}", self.name, if self.or_equal { "<=" } else { "<" }, self.limit))
    }
}

impl FromStr for Objective {
    type Err = ObjectiveError;

    fn from_str(text: &str) -> Result<Self, ObjectiveError> {
        let text = text.trim();
        let form = || ObjectiveError::Form(text.to_owned());
        if text.contains(['>', '!', '≥']) || text.replace("<=", "").contains('=') {
            return Err(ObjectiveError::Comparator(text.to_owned()));
        }
        let (name, rest) = text.split_once(['<', '≤']).ok_or_else(form)?;
        let (or_equal, limit) = match rest.strip_prefix('=') {
            Some(limit) => (true, limit),
            None => (text.contains('≤'), rest),
        };
        let (name, limit) = (name.trim(), limit.trim());
        if name.is_empty() || limit.is_empty() {
            return Err(form());
        }
        let names = QUANTILES.map(|(name, _)| name);
        let known = QUANTILES.into_iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
        let (name, quantile) = known.ok_or_else(|| UnknownName::new("quantile", name, &names))?;
        let limit: Span = limit.parse()?;
        if limit.0.is_zero() {
            return Err(ObjectiveError::Zero(text.to_owned()));
        }
        Ok(Self { name, quantile, or_equal, limit })
    }
}

as_text!(Objective, "an objective in quotes: \"p99 < 5s\"");

/// What was measured at a rate.
#[derive(Debug, Clone, PartialEq)]
pub struct Measured {
    /// Latencies of the requests that ended well.
    pub latency: Histogram,
    /// Requests that were due and did not end well: they took longer than any time.
    pub missing: u64,
    /// Requests that ended well, per second.
    pub throughput: f64,
    /// Why the figures are not the service's, if they are not.
    pub limited: Option<String>,
}

impl From<&Generated> for Measured {
    fn from(load: &Generated) -> Self {
        Self {
            latency: load.latency.clone(),
            missing: load.missing(),
            throughput: load.throughput(),
            limited: load.harness_limited(),
        }
    }
}

/// Where to look, and how closely.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bounds {
    /// The first rate, requests per second.
    pub first: f64,
    /// No lower one is tried.
    pub lowest: f64,
    /// No higher one is tried.
    pub highest: f64,
    /// The search ends when the rate that misses is at most so many times the one that meets: 1.1 is 10 %.
    pub within: f64,
    /// Most measurements.
    pub most: u32,
}

impl Default for Bounds {
    /// From 0.1 to 100,000 a second, beginning at 8; within 10 %; 60 measurements.
    fn default() -> Self {
        Self { first: 8.0, lowest: 0.1, highest: 100_000.0, within: 1.1, most: 60 }
    }
}

/// A measurement of the search.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Point {
    /// Requests per second asked for.
    pub rate: f64,
    /// The quantile of the objective; `None` when it lies among the requests that did not end well.
    pub quantile_us: Option<u64>,
    /// Whether the objective was met.
    pub met: bool,
    /// Requests that ended well, per second.
    pub throughput: f64,
    /// Requests that were due and did not end well.
    pub missing: u64,
    /// Latencies of those that did.
    pub latency: Histogram,
    /// Why the figures are not the service's, if they are not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limited: Option<String>,
}

/// What the search came to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "kebab-case")]
pub enum Found {
    /// The objective is met at one rate and missed at a slightly higher one.
    Between {
        /// Highest rate that meets it: the answer.
        met: f64,
        /// Lowest rate that misses it.
        missed: f64,
    },
    /// It is met at the highest rate that may be tried.
    AtLeast {
        /// That rate.
        met: f64,
    },
    /// It is missed at the lowest rate that may be tried.
    Nowhere {
        /// That rate.
        missed: f64,
    },
    /// The harness was the limit before the service was, so the service's capacity is unknown.
    Limited {
        /// Highest rate that meets the objective.
        met: Option<f64>,
        /// The rate at which the harness was the limit.
        rate: f64,
        /// How that is known.
        why: String,
    },
    /// The measurements were used up, or one had too few requests to tell.
    Open {
        /// Highest rate that meets it.
        met: Option<f64>,
        /// Lowest rate that misses it.
        missed: Option<f64>,
        /// What was in the way.
        why: String,
    },
}

impl Found {
    /// The highest rate at which the objective was seen to be met.
    #[must_use]
    pub fn rate(&self) -> Option<f64> {
        match self {
            Self::Between { met, .. } | Self::AtLeast { met } => Some(*met),
            Self::Limited { met, .. } | Self::Open { met, .. } => *met,
            Self::Nowhere { .. } => None,
        }
    }
}

/// A search and what it came to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Capacity {
    /// What must hold.
    pub objective: Objective,
    /// Every measurement, in order.
    pub points: Vec<Point>,
    /// What came of it.
    pub found: Found,
}

/// Searches the highest rate that meets the objective. `measure` makes a load of a rate, requests per second.
///
/// # Errors
/// What `measure` fails with.
pub async fn search<E>(
    objective: &Objective,
    bounds: &Bounds,
    mut measure: impl AsyncFnMut(f64) -> Result<Measured, E>,
) -> Result<Capacity, E> {
    let mut points = Vec::new();
    let (mut met, mut missed): (Option<f64>, Option<f64>) = (None, None);
    let within = bounds.within.max(1.0 + 1e-6);
    let found = loop {
        let rate = match (met, missed) {
            (Some(met), Some(missed)) if missed / met <= within => break Found::Between { met, missed },
            (Some(met), Some(missed)) => (met * missed).sqrt(),
            (Some(met), None) if met >= bounds.highest => break Found::AtLeast { met },
            (Some(met), None) => (met * 2.0).min(bounds.highest),
            (None, Some(missed)) if missed <= bounds.lowest => break Found::Nowhere { missed },
            (None, Some(missed)) => (missed / 2.0).max(bounds.lowest),
            (None, None) => bounds.first.clamp(bounds.lowest, bounds.highest),
        };
        match decide(objective, rate, bounds.most, &mut points, &mut measure).await? {
            Decision::Met => met = Some(rate),
            Decision::Missed => missed = Some(rate),
            Decision::Limited(why) => break Found::Limited { met, rate, why },
            Decision::Open(why) => break Found::Open { met, missed, why },
        }
    };
    Ok(Capacity { objective: *objective, points, found })
}

enum Decision {
    Met,
    Missed,
    Limited(String),
    Open(String),
}

/// Two of three measurements.
async fn decide<E>(
    objective: &Objective,
    rate: f64,
    most: u32,
    points: &mut Vec<Point>,
    measure: &mut impl AsyncFnMut(f64) -> Result<Measured, E>,
) -> Result<Decision, E> {
    let (mut met, mut missed) = (0, 0);
    let mut limited = None;
    loop {
        if met == 2 {
            return Ok(Decision::Met);
        }
        if missed == 2 {
            // The objective is missed because of the harness, or so it may be.
            return Ok(limited.map_or(Decision::Missed, Decision::Limited));
        }
        if points.len() >= most as usize {
            return Ok(Decision::Open(format!("the {most} measurements that are allowed were not enough")));
        }
        let Measured { latency, missing, throughput, limited: why } = measure(rate).await?;
        let quantile_us = match quantile(&latency, missing, objective.quantile) {
            Quantile::At(us) => Some(us),
            Quantile::Never => None,
            Quantile::Unsupported => {
                let n = latency.len() + missing;
                let needed = objective.fewest();
                return Ok(Decision::Open(format!(
                    "at {rate:.3} requests/s a measurement had {n}, too few for {}; give it {needed} or more",
                    objective.name
                )));
            }
        };
        let is_met = quantile_us.is_some_and(|us| objective.met_by(us));
        if is_met {
            met += 1;
        } else {
            missed += 1;
            limited = limited.or_else(|| why.clone());
        }
        points.push(Point { rate, quantile_us, met: is_met, throughput, missing, latency, limited: why });
    }
}

#[cfg(test)]
#[path = "capacity_tests.rs"]
mod tests;
