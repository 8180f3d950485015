//! How far the method can be trusted, by what it finds where the truth is known: false alarms where both sides are the same
//! program, and how often an effect of a known size is found.

use serde::{Deserialize, Serialize};

use super::errors::upper;
use super::judge::{JUDGED, Row, rows_of, whole_pairs};
use super::record::{ComparisonRecord, SetKind};
use crate::stats::{Finding, Metric, Spread};
use crate::trial::record::TrialRecord;

/// What a set of pairs came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SetFinding {
    /// Pairs are missing.
    Unfinished,
    /// Something is inconclusive, and the set has not been extended.
    Open,
    /// A regression, and the second set is missing.
    Unconfirmed,
    /// A regression, of which the second set leaves open whether it is one, and it has not been extended.
    OpenAgain,
    /// It ended so.
    Ended {
        /// Finding of the first set.
        first: Finding,
        /// Whether a second set found a regression again: only then a gate fails.
        confirmed: bool,
    },
}

/// Sets of one added effect.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Level {
    /// Share added to B's time, in per mille.
    pub added_per_mille: u32,
    /// Sets that were asked for.
    pub wanted: u32,
    /// Sets that ended.
    pub sets: u32,
    /// Sets in which a regression was found and found again.
    pub found: u32,
    /// Sets in which a regression was found at first.
    pub found_at_first: u32,
    /// Sets that stayed inconclusive after their extension.
    pub inconclusive: u32,
    /// Exact 95 % interval of the true share of sets in which a regression is found (Clopper and Pearson).
    pub share: (f64, f64),
    /// Median over sets of the change of event time that they saw.
    pub seen: Option<f64>,
}

/// The set's kind.
#[must_use]
pub fn set(added_per_mille: u32, number: u32, confirms: bool) -> SetKind {
    SetKind::Calibration { added_per_mille, number, confirms }
}

/// What a set came to. Without an added effect a regression of any judged metric is a false alarm; with one, the regression of
/// event time is what must be found.
#[must_use]
pub fn finding(spec: &ComparisonRecord, trials: &[TrialRecord], added_per_mille: u32, number: u32) -> SetFinding {
    let pairs = |confirms| whole_pairs(trials, &set(added_per_mille, number, confirms));
    let worst = |confirms| -> Finding {
        let rows = rows_of(spec, trials, &set(added_per_mille, number, confirms));
        let counts = |r: &&Row| {
            if added_per_mille == 0 { JUDGED.contains(&r.metric) } else { r.metric == Metric::EventTime }
        };
        rows.iter().filter(counts).filter_map(|r| r.finding).max().unwrap_or(Finding::Inconclusive)
    };
    let have = pairs(false);
    if have < spec.pairs {
        return SetFinding::Unfinished;
    }
    let first = worst(false);
    match first {
        Finding::Inconclusive if have < spec.pairs * 2 => SetFinding::Open,
        Finding::Regression => match (pairs(true), worst(true)) {
            (have, _) if have < spec.pairs => SetFinding::Unconfirmed,
            (have, Finding::Inconclusive) if have < spec.pairs * 2 => SetFinding::OpenAgain,
            (_, second) => SetFinding::Ended { first, confirmed: second == Finding::Regression },
        },
        _ => SetFinding::Ended { first, confirmed: false },
    }
}

/// What all sets came to, by the effect that was added.
#[must_use]
pub fn levels(spec: &ComparisonRecord, trials: &[TrialRecord]) -> Vec<Level> {
    spec.calibration.iter().map(|&(added, wanted)| level(spec, trials, added, wanted)).collect()
}

fn level(spec: &ComparisonRecord, trials: &[TrialRecord], added: u32, wanted: u32) -> Level {
    let ended: Vec<(u32, Finding, bool)> = (1..=wanted)
        .filter_map(|number| match finding(spec, trials, added, number) {
            SetFinding::Ended { first, confirmed } => Some((number, first, confirmed)),
            SetFinding::Unfinished | SetFinding::Open | SetFinding::Unconfirmed | SetFinding::OpenAgain => None,
        })
        .collect();
    let count = |of: &dyn Fn(&(u32, Finding, bool)) -> bool| {
        u32::try_from(ended.iter().filter(|e| of(e)).count()).unwrap_or(u32::MAX)
    };
    let seen = ended.iter().filter_map(|&(number, ..)| {
        let row =
            rows_of(spec, trials, &set(added, number, false)).into_iter().find(|r| r.metric == Metric::EventTime)?;
        row.comparison.ok().map(|c| c.change())
    });
    let (sets, found) = (count(&|_| true), count(&|e| e.2));
    let (k, n) = (u64::from(found), u64::from(sets));
    Level {
        added_per_mille: added,
        wanted,
        sets,
        found,
        found_at_first: count(&|e| e.1 == Finding::Regression),
        inconclusive: count(&|e| e.1 == Finding::Inconclusive),
        share: if n == 0 { (0.0, 1.0) } else { (1.0 - upper(n - k, n, 0.025), upper(k, n, 0.025)) },
        seen: Spread::of(seen).map(|s| s.median),
    }
}

impl Level {
    /// `A against A`, `10 % added`.
    #[must_use]
    pub fn name(&self) -> String {
        match self.added_per_mille {
            0 => "A against A".to_owned(),
            added => format!("{} % added to B", f64::from(added) / 10.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::judge::tests::{spec, trial};
    use super::*;
    use crate::stats::Side;

    /// A set in which B takes `ratio` times as long, with pairs that scatter by `scatter`.
    fn pairs(kind: &SetKind, pairs: u32, ratio: f64, scatter: f64) -> Vec<TrialRecord> {
        crate::stats::abba(pairs)
            .map(|place| {
                let sign = if place.pair.is_multiple_of(2) { 1.0 } else { -1.0 };
                let of_b = if place.side == Side::B { ratio * (1.0 + sign * scatter) } else { 1.0 };
                trial(kind, place, &[(Metric::EventTime, 1e6 * of_b)])
            })
            .collect()
    }

    fn calibration() -> ComparisonRecord {
        ComparisonRecord { calibration: vec![(0, 2), (200, 2)], against_itself: true, ..spec() }
    }

    #[test]
    fn a_set_goes_from_unfinished_over_its_confirmation_to_its_end() {
        let spec = calibration();
        let mut trials = pairs(&set(200, 1, false), 9, 1.2, 0.0);
        assert_eq!(finding(&spec, &trials, 200, 1), SetFinding::Unfinished);
        trials = pairs(&set(200, 1, false), 10, 1.2, 0.0);
        assert_eq!(finding(&spec, &trials, 200, 1), SetFinding::Unconfirmed);
        trials.extend(pairs(&set(200, 1, true), 10, 1.2, 0.0));
        let ended = SetFinding::Ended { first: Finding::Regression, confirmed: true };
        assert_eq!(finding(&spec, &trials, 200, 1), ended);
        let mut doubted = pairs(&set(200, 1, false), 10, 1.2, 0.0);
        doubted.extend(pairs(&set(200, 1, true), 10, 1.2, 0.3));
        assert_eq!(finding(&spec, &doubted, 200, 1), SetFinding::OpenAgain, "the second set looks twice, as the first");
        doubted.extend(pairs(&set(200, 1, true), 20, 1.2, 0.3).into_iter().skip(22));
        let ended = SetFinding::Ended { first: Finding::Regression, confirmed: false };
        assert_eq!(finding(&spec, &doubted, 200, 1), ended, "and no more than twice");
        let open = pairs(&set(0, 1, false), 10, 1.0, 0.3);
        assert_eq!(finding(&spec, &open, 0, 1), SetFinding::Open);
        let extended = pairs(&set(0, 1, false), 20, 1.0, 0.3);
        let ended = SetFinding::Ended { first: Finding::Inconclusive, confirmed: false };
        assert_eq!(finding(&spec, &extended, 0, 1), ended);
    }

    #[test]
    fn levels_count_what_was_found_and_how_sure_that_is() {
        let spec = calibration();
        let mut trials = Vec::new();
        for (kind, ratio) in [
            (set(0, 1, false), 1.0),
            (set(0, 2, false), 1.3),
            (set(0, 2, true), 1.0),
            (set(200, 1, false), 1.2),
            (set(200, 1, true), 1.2),
        ] {
            trials.extend(pairs(&kind, 10, ratio, 0.0));
        }
        let [same, fifth] = levels(&spec, &trials).try_into().unwrap();
        assert_eq!((same.sets, same.found, same.found_at_first), (2, 0, 1), "one alarm, not confirmed");
        assert_eq!((fifth.sets, fifth.wanted, fifth.found), (1, 2, 1));
        assert!((fifth.seen.unwrap() - 0.2).abs() < 1e-9);
        assert!(same.share.0 == 0.0 && same.share.1 < 0.85 && fifth.share.1 == 1.0);
        assert_eq!((same.name(), fifth.name()), ("A against A".to_owned(), "20 % added to B".to_owned()));
    }

    #[test]
    fn no_alarm_in_59_sets_is_at_most_five_per_cent_with_95_per_cent() {
        assert!(upper(0, 59, 0.05) < 0.05 && upper(0, 58, 0.05) > 0.05);
    }
}
