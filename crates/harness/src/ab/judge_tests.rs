//! Findings of made-up trials.

use super::*;
use crate::ab::{InSet, SideRecord};
use crate::stats::Place;

fn side(label: &str) -> SideRecord {
    SideRecord {
        label: label.to_owned(),
        profile: label.to_owned(),
        settings: Default::default(),
        engine_path: "harness".to_owned(),
        engine_hash: "md5:0".to_owned(),
        args: Vec::new(),
        build_profile: Some("release".to_owned()),
    }
}

pub(in crate::ab) fn spec() -> ComparisonRecord {
    ComparisonRecord {
        a: side("before"),
        b: side("fast"),
        against_itself: false,
        pairs: 10,
        timed: true,
        strict: false,
        criteria: None,
        error_pairs: 0,
        conditions: Vec::new(),
        condition_pairs: 0,
        calibration: Vec::new(),
        results: None,
    }
}

pub(in crate::ab) fn trial(set: &SetKind, place: Place, metrics: &[(Metric, f64)]) -> TrialRecord {
    let mut trial = crate::oracle::fixture::healthy();
    trial.in_set =
        Some(InSet { set: set.clone(), pair: place.pair, side: place.side, races: 40, unwritten: Vec::new() });
    trial.metrics = metrics.iter().copied().collect();
    trial
}

/// Trials of `pairs` pairs and the dropped one, in which B takes `ratio` times as long.
fn trials(pairs: u32, ratio: f64, statements: f64) -> Vec<TrialRecord> {
    crate::stats::abba(pairs)
        .map(|place| {
            // The dropped pair is far off: it must not count.
            let dropped = if place.is_dropped() { 50.0 } else { 1.0 };
            let of_b = if place.side == Side::B { ratio } else { 1.0 };
            let time = (1e6 + f64::from(place.pair) * 1e4) * dropped * of_b;
            let count = if place.side == Side::B { statements } else { 3_175.0 };
            trial(&SetKind::Main, place, &[(Metric::EventTime, time), (Metric::Statements, count)])
        })
        .collect()
}

fn finding(results: &Results, metric: Metric) -> Option<Finding> {
    results.rows.iter().find(|r| r.metric == metric).and_then(|r| r.finding)
}

#[test]
fn a_faster_side_is_an_improvement_and_a_slower_one_a_regression_that_says_why() {
    let results = judge(&spec(), &trials(10, 0.4, 33.0));
    assert_eq!((results.pairs, finding(&results, Metric::EventTime)), (10, Some(Finding::Improvement)));
    assert_eq!(finding(&results, Metric::Statements), Some(Finding::Improvement));
    assert!(results.against().is_empty() && !results.is_open());

    let results = judge(&spec(), &trials(10, 1.3, 3_176.0));
    let against = results.against();
    assert_eq!(against.len(), 2, "{against:?}");
    assert!(against[0].contains("event time") && against[0].contains("+30 %") && against[0].contains("floor 5.0 %"));
    assert!(against[1].contains("statements 3,175 → 3,176"), "one statement more is one too many: {against:?}");
}

#[test]
fn too_few_pairs_are_inconclusive_for_time_and_enough_for_counts() {
    let results = judge(&spec(), &trials(3, 0.4, 33.0));
    assert_eq!(finding(&results, Metric::EventTime), Some(Finding::Inconclusive));
    assert_eq!(finding(&results, Metric::Statements), Some(Finding::Improvement));
    assert!(results.is_open());
    assert!(judge(&spec(), &[]).rows.is_empty());
}

#[test]
fn time_of_a_debug_build_is_not_judged() {
    let results = judge(&ComparisonRecord { timed: false, ..spec() }, &trials(10, 3.0, 3_175.0));
    assert_eq!(finding(&results, Metric::EventTime), None);
    assert_eq!(finding(&results, Metric::Statements), Some(Finding::Pass));
    assert!(results.against().is_empty());
}

#[test]
fn criteria_take_the_place_of_floors() {
    let criteria = criteria::Criteria {
        against: "before".to_owned(),
        change: [
            (Metric::EventTime, crate::stats::Bound::AtMost(-0.5)),
            (Metric::Statements, crate::stats::Bound::AtMost(-0.3)),
        ]
        .into(),
        limit: [(Metric::EnginePeakRss, 150e6)].into(),
        error_rate: Some(0.01),
    };
    let spec = ComparisonRecord { criteria: Some(criteria), error_pairs: 8, ..spec() };
    let results = judge(&spec, &trials(10, 0.7, 33.0));
    let verdicts: Vec<Met> = results.criteria.iter().map(|c| c.met).collect();
    assert_eq!(verdicts, [Met::Missed, Met::Met, Met::Inconclusive, Met::Inconclusive], "{:?}", results.criteria);
    assert_eq!(results.against().len(), 1, "30 % is not 50 %, and nothing else is wrong");
    assert_eq!(results.open().len(), 2, "what was not measured is not met");
}

#[test]
fn lost_races_are_matched_by_pair_and_race() {
    let lost = |pair, side, unwritten: &[u64]| {
        let mut t = trial(&SetKind::Errors, Place { pair, side }, &[]);
        t.in_set.as_mut().unwrap().unwritten = unwritten.to_vec();
        t
    };
    let trials = [
        lost(1, Side::A, &[7, 8]),
        lost(1, Side::B, &[8, 9]),
        lost(2, Side::B, &[]),
        lost(2, Side::A, &[]),
        lost(3, Side::A, &[1]),
    ];
    let spec = ComparisonRecord { error_pairs: 3, ..spec() };
    let unwritten = judge(&spec, &trials).unwritten.unwrap();
    assert_eq!(unwritten, Unwritten { races: 80, a: 2, b: 2, a_only: 1, b_only: 1 }, "half a pair does not count");
}

#[test]
fn round_trips_are_counted_once_in_the_dropped_pair() {
    // One more is chance, six are not.
    for (here, expected) in [(57.0, Finding::Pass), (62.0, Finding::Regression)] {
        let mut trials = trials(6, 1.0, 33.0);
        for t in &mut trials[..2] {
            let trips = if t.in_set.as_ref().unwrap().side == Side::A { 56.0 } else { here };
            t.metrics.insert(Metric::RoundTrips, trips);
        }
        let results = judge(&spec(), &trials);
        assert_eq!(finding(&results, Metric::RoundTrips), Some(expected), "{here}");
    }
}

#[test]
fn changes_read_as_people_write_them() {
    for (share, text) in
        [(-0.62, "−62 %"), (0.004, "+0.4 %"), (0.0, "0 %"), (-0.0001, "0 %"), (11.0, "× 12"), (0.5, "+50 %")]
    {
        assert_eq!(percent(share), text);
    }
    assert_eq!(percent(crate::stats::UNBOUNDED.exp_m1()), "from nothing");
}
