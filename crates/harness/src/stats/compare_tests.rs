//! Properties of the comparison, by simulation with a seeded generator where they are statistical.

use proptest::prelude::*;
use rand::SeedableRng as _;
use rand_chacha::ChaCha8Rng;

use super::*;

const TIME: Floor = Floor(0.10);

/// Pairs whose d are these.
fn pairs_of(d: &[f64]) -> Vec<(f64, f64)> {
    d.iter().map(|d| (100.0, 100.0 * d.exp())).collect()
}

fn compare(d: &[f64]) -> Comparison {
    Comparison::of(&pairs_of(d)).unwrap()
}

#[test]
fn bounds_have_the_documented_ranks() {
    for (n, low, high) in [(6, 1, 6), (10, 2, 9), (12, 3, 10), (15, 4, 12), (20, 6, 15)] {
        let d: Vec<f64> = (1..=n).rev().map(|i| f64::from(i) / 100.0).collect();
        let c = compare(&d);
        assert!((c.low - f64::from(low) / 100.0).abs() < 1e-12, "N = {n}: {c:?}");
        assert!((c.high - f64::from(high) / 100.0).abs() < 1e-12, "N = {n}: {c:?}");
        assert!((c.median - f64::from(n + 1) / 200.0).abs() < 1e-12 && c.coverage >= 0.95, "N = {n}: {c:?}");
    }
}

#[test]
fn each_finding_at_its_limits() {
    let find = |d: &[f64]| compare(d).finding(TIME, Better::Lower);
    let floor = 1.10_f64.ln();
    assert_eq!(find(&[0.0; 10]), Finding::Pass);
    assert_eq!(find(&[floor - 1e-6; 10]), Finding::Pass, "clear of 0, but under the floor");
    assert_eq!(find(&[floor + 1e-6; 10]), Finding::Regression);
    assert_eq!(find(&[-floor - 1e-6; 10]), Finding::Improvement);
    let wide = [-0.3, -0.25, 0.2, 0.2, 0.2, 0.2, 0.2, 0.2, 0.2, 0.2];
    assert_eq!(find(&wide), Finding::Inconclusive, "median past the floor, interval not clear of 0");
    let straddling = [0.01, 0.01, 0.01, 0.01, 0.01, 0.01, 0.01, 0.3, 0.3, 0.3];
    assert_eq!(find(&straddling), Finding::Inconclusive, "clear of 0, median under the floor, upper bound above it");
    assert_eq!(compare(&[0.5; 10]).finding(TIME, Better::Higher), Finding::Improvement);
    assert_eq!(compare(&[-0.5; 10]).finding(TIME, Better::Higher), Finding::Regression);
}

#[test]
fn counts_have_no_slack_and_need_few_pairs() {
    let find = |pairs: &[(f64, f64)], better| Comparison::of_counts(pairs).unwrap().finding(Floor(0.0), better);
    assert_eq!(find(&[(33.0, 33.0)], Better::Lower), Finding::Pass);
    assert_eq!(find(&[(33.0, 34.0)], Better::Lower), Finding::Regression);
    assert_eq!(find(&[(33.0, 32.0)], Better::Lower), Finding::Improvement);
    assert_eq!(find(&[(0.0, 0.0)], Better::Lower), Finding::Pass);
    assert_eq!(find(&[(0.0, 1.0)], Better::Lower), Finding::Regression, "from nothing");
    assert_eq!(find(&[(5.0, 0.0)], Better::Lower), Finding::Improvement, "to nothing");
    assert_eq!(find(&[(10.0, 9.0)], Better::Neither), Finding::Pass, "fewer rows written");
    assert_eq!(find(&[(10.0, 11.0)], Better::Neither), Finding::Regression, "more rows written");
    // A count that wavers: every pair must say so.
    assert_eq!(find(&[(33.0, 34.0), (33.0, 33.0), (33.0, 34.0)], Better::Lower), Finding::Inconclusive);
    let wavering = Comparison::of_counts(&[(33.0, 34.0), (33.0, 35.0), (33.0, 34.0)]).unwrap();
    assert_eq!((wavering.finding(Floor(0.0), Better::Lower), wavering.coverage), (Finding::Regression, 0.75));
}

#[test]
fn what_cannot_be_compared_is_an_error_and_never_a_pass() {
    assert_eq!(Comparison::of(&[(1.0, 1.0); 5]), Err(NoComparison::TooFew { pairs: 5, needed: 6 }));
    assert_eq!(Comparison::of_counts(&[]), Err(NoComparison::TooFew { pairs: 0, needed: 1 }));
    for bad in [f64::NAN, f64::INFINITY, -1.0] {
        assert_eq!(Comparison::of(&[(1.0, bad); 10]), Err(NoComparison::BadValue));
        assert_eq!(Comparison::of_counts(&[(bad, 1.0)]), Err(NoComparison::BadValue));
    }
}

#[test]
fn bounds_are_judged_by_the_interval() {
    let halved = Bound::AtMost(-0.5);
    let meets = |low: f64, high: f64| {
        Comparison { median: f64::midpoint(low, high), low, high, pairs: 10, rank: 2, coverage: 0.97 }.meets(halved)
    };
    assert_eq!(meets(-1.0, -0.70), Met::Met);
    assert_eq!(meets(-1.0, -0.69), Met::Inconclusive, "ln 0.5 is −0.693");
    assert_eq!(meets(-0.69, -0.2), Met::Missed);
    let rate = Comparison { median: 0.8, low: 0.75, high: 0.9, pairs: 10, rank: 2, coverage: 0.97 };
    assert_eq!(rate.meets(Bound::AtLeast(1.0)), Met::Met, "ln 2 is 0.693");
    assert_eq!(rate.meets(Bound::AtLeast(1.2)), Met::Inconclusive);
    assert_eq!(rate.meets(Bound::AtLeast(2.0)), Met::Missed);
}

#[test]
fn floors_are_the_documented_ones() {
    let floor = |m| Floor::of(m).map(|f| f.0);
    assert_eq!(floor(Metric::EventTime), Some(0.05));
    assert_eq!(floor(Metric::EnginePeakRss), Some(0.10));
    assert_eq!(floor(Metric::Wal), Some(0.01));
    for counted in [Metric::Statements, Metric::Pages, Metric::RowsWritten] {
        assert_eq!(floor(counted), Some(0.0), "{counted:?}");
        assert!(is_counted(counted));
    }
    assert_eq!(floor(Metric::HarnessCpu), None);
}

#[test]
fn the_smallest_visible_effect_is_one_that_would_have_been_seen() {
    let d = [-0.2, -0.1, -0.05, -0.02, 0.0, 0.01, 0.03, 0.04, 0.1, 0.2];
    let c = compare(&d);
    let seen = c.smallest_visible(TIME, Better::Lower);
    let shifted = |by: f64| compare(&d.map(|d| d - c.median + by)).finding(TIME, Better::Lower);
    assert_eq!(shifted((seen + 1e-6).ln_1p()), Finding::Regression);
    assert_ne!(shifted((seen - 1e-6).ln_1p()), Finding::Regression);
    assert!((compare(&[0.0; 10]).smallest_visible(TIME, Better::Lower) - 0.10).abs() < 1e-12, "never under the floor");
}

#[test]
fn a_set_is_extended_once() {
    let plan = Extension { pairs: 10 };
    assert_eq!(plan.wanted(0, true), 10);
    assert_eq!(plan.wanted(10, false), 10);
    assert_eq!(plan.wanted(10, true), 20);
    assert_eq!(plan.wanted(13, true), 20, "interrupted in the extension: it goes on");
    assert_eq!(plan.wanted(20, true), 20, "and no further");
}

/// A long-tailed draw with median 0: a difference of two log-normal-like times would be symmetric, this is worse.
fn skewed(rng: &mut ChaCha8Rng) -> f64 {
    let u: f64 = rng.random_range(0.0..1.0);
    // Quantile function of the exponential distribution, moved so that its median is 0.
    (-(1.0 - u).ln() - std::f64::consts::LN_2) * 0.05
}

#[test]
fn intervals_cover_the_true_median_of_a_skewed_distribution() {
    let mut rng = ChaCha8Rng::seed_from_u64(7);
    for n in [6, 10, 12, 15, 20] {
        let sets = 4_000;
        let mut covered = 0;
        for _ in 0..sets {
            let d: Vec<f64> = (0..n).map(|_| skewed(&mut rng) + 0.2).collect();
            let c = compare(&d);
            covered += u32::from(c.low <= 0.2 && 0.2 <= c.high);
        }
        let coverage = compare(&vec![0.0; n]).coverage;
        let share = f64::from(covered) / f64::from(sets);
        // Three standard deviations of the simulation are about a point.
        assert!((share - coverage).abs() < 0.01, "N = {n}: {share} covered, {coverage} claimed");
    }
}

#[test]
fn no_change_is_rarely_called_one_and_a_large_one_is_found() {
    let mut rng = ChaCha8Rng::seed_from_u64(11);
    // Times that scatter by 10 %: as those of a two-core machine that does something else as well.
    let mut regressions = |effect: f64, sets: u32| {
        let mut found = 0;
        for _ in 0..sets {
            let mut draw = |n: usize| -> Vec<f64> {
                (0..n).map(|_| effect.ln_1p() + skewed(&mut rng) - skewed(&mut rng)).collect()
            };
            let mut d = draw(10);
            if compare(&d).finding(TIME, Better::Lower) == Finding::Inconclusive {
                d.extend(draw(10));
            }
            found += u32::from(compare(&d).finding(TIME, Better::Lower) == Finding::Regression);
        }
        f64::from(found) / f64::from(sets)
    };
    assert!(regressions(0.0, 2_000) <= 0.005, "false alarms");
    assert!(regressions(0.20, 500) >= 0.95, "20 % is found");
}

/// Share of sets in which a regression is found: each has its extension, and a second set with its own that confirms.
fn confirmed(effect: f64, scatter: f64, floor: Floor, sets: u32, rng: &mut ChaCha8Rng) -> f64 {
    let mut draw =
        |n: usize| -> Vec<f64> { (0..n).map(|_| effect.ln_1p() + scatter * (skewed(rng) - skewed(rng))).collect() };
    let mut found = 0;
    for _ in 0..sets {
        let mut worse = || {
            let mut d = draw(10);
            if compare(&d).finding(floor, Better::Lower) == Finding::Inconclusive {
                d.extend(draw(10));
            }
            compare(&d).finding(floor, Better::Lower) == Finding::Regression
        };
        found += u32::from(worse() && worse());
    }
    f64::from(found) / f64::from(sets)
}

#[test]
fn a_tenth_is_found_by_a_floor_of_half_of_it_and_not_by_one_of_its_own_size() {
    let mut rng = ChaCha8Rng::seed_from_u64(13);
    let floor = Floor::of(Metric::EventTime).unwrap();
    // Scatter as on a machine that does nothing else, and on one that does: by 4 and by 8 % a pair.
    assert!(confirmed(0.10, 0.6, floor, 500, &mut rng) >= 0.9);
    assert!(confirmed(0.10, 1.1, floor, 500, &mut rng) >= 0.75);
    assert!(confirmed(0.10, 0.6, TIME, 500, &mut rng) < 0.5);
    // No more false alarms.
    assert!(confirmed(0.0, 1.1, floor, 2_000, &mut rng) <= 0.001);
}

proptest! {
    #![proptest_config(ProptestConfig { max_shrink_iters: 200, ..ProptestConfig::default() })]

    #[test]
    fn swapping_the_sides_swaps_the_verdict(pairs in prop::collection::vec((1.0..1e7, 1.0..1e7), 6..30)) {
        let c = Comparison::of(&pairs).unwrap();
        let swapped: Vec<(f64, f64)> = pairs.iter().map(|&(a, b)| (b, a)).collect();
        let s = Comparison::of(&swapped).unwrap();
        prop_assert!((c.median + s.median).abs() < 1e-9 && (c.low + s.high).abs() < 1e-9 && (c.high + s.low).abs() < 1e-9);
        let (there, back) = (c.finding(TIME, Better::Lower), c.swapped().finding(TIME, Better::Lower));
        prop_assert_eq!(there == Finding::Regression, back == Finding::Improvement);
        prop_assert_eq!(there, c.swapped().finding(TIME, Better::Higher));
    }

    #[test]
    fn units_and_order_of_pairs_do_not_matter(
        pairs in prop::collection::vec((1.0..1e7, 1.0..1e7), 6..30), scale in 0.001..1000.0
    ) {
        let c = Comparison::of(&pairs).unwrap();
        let mut other: Vec<(f64, f64)> = pairs.iter().map(|&(a, b)| (a * scale, b * scale)).collect();
        other.reverse();
        let o = Comparison::of(&other).unwrap();
        prop_assert!((c.median - o.median).abs() < 1e-9 && (c.low - o.low).abs() < 1e-9 && (c.high - o.high).abs() < 1e-9);
    }

    #[test]
    fn a_slower_b_is_never_judged_better(
        d in prop::collection::vec(-1.0..1.0_f64, 6..30), slower in 0.0..1.0_f64, floor in 0.0..0.3_f64
    ) {
        let before = compare(&d);
        let after = compare(&d.iter().map(|d| d + slower).collect::<Vec<_>>());
        let judge = |c: &Comparison| c.finding(Floor(floor), Better::Lower);
        // A regression stays one, and what was no improvement does not become one.
        prop_assert!(judge(&before) != Finding::Regression || judge(&after) == Finding::Regression);
        prop_assert!(judge(&after) != Finding::Improvement || judge(&before) == Finding::Improvement);
        prop_assert!(after.meets(Bound::AtMost(-0.5)) >= before.meets(Bound::AtMost(-0.5)));
        prop_assert!(after.low <= after.median && after.median <= after.high);
    }
}
