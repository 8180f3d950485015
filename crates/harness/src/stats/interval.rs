//! The exact order-statistic interval of a median (DESIGN 8).
//!
//! Of N independent draws the number below the true median is Binomial(N, ½), whatever their distribution. So the k-th
//! smallest and the k-th largest enclose the median with probability 1 − 2·P(Binomial(N, ½) < k): no assumption of
//! normality, no resampling. (David and Nagaraja, *Order Statistics*, 3rd ed., section 7.1.)

/// An interval for the median, with what it is made of.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct MedianInterval {
    /// Median of the sample.
    pub median: f64,
    /// Lower bound: the value at `rank`.
    pub low: f64,
    /// Upper bound: the value at `rank` from the other end.
    pub high: f64,
    /// Rank of the lower bound, from 1.
    pub rank: usize,
    /// Probability that the interval encloses the true median; at least what was asked for.
    pub coverage: f64,
}

/// The narrowest symmetric interval that covers the median with at least `confidence` (0.95 in this project).
///
/// `None` when the sample is too small (fewer than six values for 0.95), or holds a value that is not finite.
#[must_use]
pub fn median_interval(values: &[f64], confidence: f64) -> Option<MedianInterval> {
    if !values.iter().all(|v| v.is_finite()) {
        return None;
    }
    let n = values.len();
    let (rank, coverage) = rank(n, confidence)?;
    let mut sorted = values.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    let median = if n % 2 == 1 { sorted[n / 2] } else { f64::midpoint(sorted[n / 2 - 1], sorted[n / 2]) };
    Some(MedianInterval { median, low: sorted[rank - 1], high: sorted[n - rank], rank, coverage })
}

/// The largest rank k for which the k-th smallest and the k-th largest of `n` values enclose the median with at least
/// `confidence`, and the probability with which they do.
#[must_use]
pub fn rank(n: usize, confidence: f64) -> Option<(usize, f64)> {
    let mut best = None;
    // P(X = i) and P(X ≤ i) of Binomial(n, ½). It is 0 in floating point for n above 1,074: no trial count comes near.
    let mut point = 0.5_f64.powi(i32::try_from(n).ok()?);
    let mut below = 0.0;
    for k in 1..=n / 2 {
        below += point;
        point *= (n - k + 1) as f64 / k as f64;
        let coverage = 1.0 - 2.0 * below;
        if coverage < confidence {
            break;
        }
        best = Some((k, coverage));
    }
    best.filter(|_| point > 0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranks_are_the_documented_ones_and_cover_at_least_95_percent() {
        for (n, low, high) in [(6, 1, 6), (10, 2, 9), (12, 3, 10), (15, 4, 12), (20, 6, 15)] {
            let (rank, coverage) = rank(n, 0.95).unwrap();
            assert_eq!((rank, n + 1 - rank), (low, high), "N = {n}");
            assert!((0.95..1.0).contains(&coverage), "N = {n}: {coverage}");
        }
        // Values from the binomial table: 1 − 2/64, 1 − 22/1024.
        assert!((rank(6, 0.95).unwrap().1 - 0.968_75).abs() < 1e-12);
        assert!((rank(10, 0.95).unwrap().1 - 0.978_515_625).abs() < 1e-12);
    }

    #[test]
    fn one_rank_further_in_would_cover_less() {
        for n in 6..=200 {
            let (k, coverage) = rank(n, 0.95).unwrap();
            let tail: f64 = (0..=k).map(|i| choose(n, i)).sum::<f64>() / 2.0_f64.powi(i32::try_from(n).unwrap());
            assert!(coverage >= 0.95 && 1.0 - 2.0 * tail < 0.95, "N = {n}, rank {k}");
        }
    }

    fn choose(n: usize, k: usize) -> f64 {
        (1..=k).fold(1.0, |c, i| c * (n - i + 1) as f64 / i as f64)
    }

    #[test]
    fn bounds_are_values_of_the_sample_in_any_order() {
        let interval = median_interval(&[7.0, 1.0, 9.0, 3.0, 10.0, 2.0, 8.0, 4.0, 6.0, 5.0], 0.95).unwrap();
        assert_eq!((interval.low, interval.median, interval.high, interval.rank), (2.0, 5.5, 9.0, 2));
        let odd = median_interval(&[3.0, 1.0, 2.0, 5.0, 4.0, 7.0, 6.0], 0.95).unwrap();
        assert_eq!((odd.low, odd.median, odd.high), (1.0, 4.0, 7.0));
    }

    #[test]
    fn what_cannot_support_an_interval_gives_none() {
        assert_eq!(median_interval(&[], 0.95), None);
        assert_eq!(median_interval(&[1.0; 5], 0.95), None);
        assert!(median_interval(&[1.0; 6], 0.95).is_some());
        assert_eq!(median_interval(&[1.0, 2.0, f64::NAN, 4.0, 5.0, 6.0], 0.95), None);
        assert_eq!(rank(2_000, 0.95), None, "beyond floating point: refused, not wrong");
    }
}
