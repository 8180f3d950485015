//! `[criteria]`: what a change must bring and may cost, and the verdict on each.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::errors::Unwritten;
use crate::format;
use crate::stats::{Better, Bound, Comparison, Met, Metric, NoComparison, Unit};

/// Criteria of a scenario.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Criteria {
    /// Judged where side A is this profile.
    pub against: String,
    /// Bounds on the change of a metric from A to B.
    #[serde(default)]
    pub change: BTreeMap<Metric, Bound>,
    /// Bounds on a metric of B, kept in every trial; base units.
    #[serde(default)]
    pub limit: BTreeMap<Metric, f64>,
    /// Most that the error rate may rise, as a share of all races: 0.01 is a point.
    #[serde(default)]
    pub error_rate: Option<f64>,
}

/// A criterion, judged.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Judged {
    /// The criterion in words: `event time: −50 % or more`.
    pub criterion: String,
    /// Metric that it speaks of.
    pub metric: Option<Metric>,
    /// Verdict. What could not be measured is *inconclusive*, never met.
    pub met: Met,
    /// What was measured, in words.
    pub measured: String,
    /// Whether it is judged: time is not with a debug build.
    pub judged: bool,
}

/// The bound as it is written in a scenario and in words: `-50%`.
#[must_use]
pub fn bound_text(bound: Bound) -> String {
    let (Bound::AtMost(share) | Bound::AtLeast(share)) = bound;
    let percent = (share * 1e6).round() / 1e4;
    if percent > 0.0 { format!("+{percent}%") } else { format!("{percent}%") }
}

/// Reads `-50%` or `+10%`: at most this change where less is better, at least where more is.
#[must_use]
pub fn parse_bound(metric: Metric, text: &str) -> Option<Bound> {
    let number = text.trim().strip_suffix('%')?.trim();
    let signed = number.strip_prefix(['+', '-']).is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()));
    let percent: f64 = number.parse().ok().filter(|p: &f64| (signed || *p == 0.0) && *p > -100.0 && p.is_finite())?;
    let share = percent / 100.0;
    Some(if metric.better() == Better::Higher { Bound::AtLeast(share) } else { Bound::AtMost(share) })
}

/// Judges a bound on the change.
#[must_use]
pub fn of_change(metric: Metric, bound: Bound, comparison: &Result<Comparison, NoComparison>, timed: bool) -> Judged {
    let judged = timed || !is_time(metric);
    let text = bound_text(bound).replace('-', "−").replace('%', " %");
    let criterion = match bound {
        Bound::AtMost(share) if share < 0.0 => format!("{}: {text} or more", metric.label()),
        Bound::AtMost(_) => format!("{}: {text} at most", metric.label()),
        Bound::AtLeast(_) => format!("{}: {text} at least", metric.label()),
    };
    let (met, measured) = match comparison {
        Ok(c) => (c.meets(bound), super::judge::change_text(c)),
        Err(why) => (Met::Inconclusive, why.to_string()),
    };
    Judged { criterion, metric: Some(metric), met, measured, judged }
}

/// Judges a limit, which every trial must keep.
#[must_use]
pub fn of_limit(metric: Metric, limit: f64, values: &[f64], timed: bool) -> Judged {
    let shown = |v: f64| format::metric(metric, v);
    let higher = metric.better() == Better::Higher;
    let worst = values.iter().copied().reduce(if higher { f64::min } else { f64::max });
    let words = if higher { "at least" } else { "at most" };
    let (met, measured) = match worst {
        None => (Met::Inconclusive, "not measured".to_owned()),
        Some(worst) => {
            let kept = if higher { worst >= limit } else { worst <= limit };
            let end = if higher { "smallest" } else { "largest" };
            (if kept { Met::Met } else { Met::Missed }, format!("{end} of {} trials {}", values.len(), shown(worst)))
        }
    };
    let criterion = format!("{}: {words} {}", metric.label(), shown(limit));
    Judged { criterion, metric: Some(metric), met, measured, judged: timed || !is_time(metric) }
}

/// Judges the rise of the error rate by its upper 95 % bound.
#[must_use]
pub fn of_error_rate(limit: f64, unwritten: &Unwritten) -> Judged {
    let percent = |share: f64| format!("{:.2}", share * 100.0).replace('-', "−");
    let upper = unwritten.upper();
    let measured = if unwritten.races == 0 {
        "no race was attempted under background faults".to_owned()
    } else if unwritten.a == 0 && unwritten.b == 0 {
        format!(
            "0 of {} races not written by either side under background faults: at most {} % (3/n)",
            unwritten.races,
            percent(3.0 / unwritten.races as f64)
        )
    } else {
        format!(
            "{} → {} of {} races not written under background faults: {} points, at most {}",
            unwritten.a,
            unwritten.b,
            unwritten.races,
            percent(unwritten.difference()),
            percent(upper)
        )
    };
    let met = if unwritten.races > 0 && upper <= limit {
        Met::Met
    } else if unwritten.difference() > limit {
        Met::Missed
    } else {
        Met::Inconclusive
    };
    let criterion = format!("error rate: rises by {} points at most", percent(limit));
    Judged { criterion, metric: None, met, measured, judged: true }
}

/// Whether a metric is time or made of it: a debug build's says nothing.
#[must_use]
pub fn is_time(metric: Metric) -> bool {
    matches!(metric.unit(), Unit::Microseconds | Unit::PerSecond | Unit::Share)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_read_as_written() {
        assert_eq!(parse_bound(Metric::EventTime, "-50%"), Some(Bound::AtMost(-0.5)));
        assert_eq!(parse_bound(Metric::EnginePeakRss, "+10 %"), Some(Bound::AtMost(0.1)));
        assert_eq!(parse_bound(Metric::LapRate, "+100%"), Some(Bound::AtLeast(1.0)));
        assert_eq!(parse_bound(Metric::Statements, "0%"), Some(Bound::AtMost(0.0)));
        for bad in ["50%", "-50", "-100%", "half", "-%", "", "+inf%", "+NaN%"] {
            assert_eq!(parse_bound(Metric::EventTime, bad), None, "{bad}");
        }
        for text in ["-50%", "+12.5%", "0%"] {
            assert_eq!(parse_bound(Metric::EventTime, text).map(bound_text).as_deref(), Some(text));
        }
    }

    #[test]
    fn a_limit_is_kept_in_every_trial_or_missed() {
        let judge = |values: &[f64]| of_limit(Metric::EnginePeakRss, 150e6, values, true).met;
        assert_eq!(judge(&[20e6, 150e6]), Met::Met);
        assert_eq!(judge(&[20e6, 151e6]), Met::Missed);
        assert_eq!(judge(&[]), Met::Inconclusive, "what was not measured is not kept");
        assert_eq!(of_limit(Metric::LapRate, 1e3, &[999.0, 2e3], true).met, Met::Missed);
    }

    #[test]
    fn the_error_rate_needs_enough_races() {
        let judge =
            |races, b_only| of_error_rate(0.01, &Unwritten { races, b: b_only, b_only, ..Unwritten::default() }).met;
        assert_eq!(judge(320, 0), Met::Met);
        assert_eq!(judge(200, 0), Met::Inconclusive);
        assert_eq!(judge(0, 0), Met::Inconclusive);
        assert_eq!(judge(320, 2), Met::Inconclusive);
        assert_eq!(judge(320, 4), Met::Missed);
    }

    #[test]
    fn a_change_that_was_not_measured_is_not_met() {
        let none = Err(NoComparison::TooFew { pairs: 2, needed: 6 });
        let judged = of_change(Metric::EventTime, Bound::AtMost(-0.5), &none, true);
        assert_eq!(judged.met, Met::Inconclusive);
        assert_eq!(judged.criterion, "event time: −50 % or more");
        assert!(!of_change(Metric::EventTime, Bound::AtMost(-0.5), &none, false).judged);
    }
}
