//! A trend over time by Theil and Sen: the median of the slopes between all pairs of points, with the interval that Sen (1968)
//! takes from the ranks of these slopes. Neither outliers nor the shape of the scatter move it far.

/// A slope with its interval.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Slope {
    /// Median of the slopes.
    pub median: f64,
    /// Lower bound.
    pub low: f64,
    /// Upper bound.
    pub high: f64,
    /// Points.
    pub points: usize,
}

/// Fewer points than this have no interval worth the name.
const FEWEST: usize = 8;
/// Two-sided 95 % of the normal distribution.
const Z: f64 = 1.959_963_984_540_054;

/// The slope of y over x with its 95 % interval. `None` with too few points, or all of one x.
#[must_use]
pub fn slope(points: &[(f64, f64)]) -> Option<Slope> {
    let n = points.len();
    if n < FEWEST || points.iter().any(|(x, y)| !x.is_finite() || !y.is_finite()) {
        return None;
    }
    let mut slopes = Vec::with_capacity(n * (n - 1) / 2);
    for (i, a) in points.iter().enumerate() {
        slopes.extend(points[..i].iter().filter(|b| b.0 != a.0).map(|b| (a.1 - b.1) / (a.0 - b.0)));
    }
    let count = slopes.len();
    if count == 0 {
        return None;
    }
    slopes.sort_unstable_by(f64::total_cmp);
    // Variance of Kendall's S without ties in x; ties in y only narrow it.
    let spread = Z * ((n * (n - 1) * (2 * n + 5)) as f64 / 18.0).sqrt();
    let rank = |at: f64| at.round().clamp(0.0, (count - 1) as f64) as usize;
    let low = slopes[rank((count as f64 - spread) / 2.0 - 1.0)];
    let high = slopes[rank((count as f64 + spread) / 2.0)];
    let median = (slopes[(count - 1) / 2] + slopes[count / 2]) / 2.0;
    Some(Slope { median, low, high, points: n })
}

/// Medians of so many stretches of equal length in x: what is measured often scatters with its neighbours, and its interval would be
/// too narrow.
#[must_use]
pub fn stretches(points: &[(f64, f64)], most: usize) -> Vec<(f64, f64)> {
    let (Some(first), Some(last)) = (points.first(), points.last()) else { return Vec::new() };
    let width = (last.0 - first.0) / most.max(1) as f64;
    if width <= 0.0 {
        return points.to_vec();
    }
    let mut all: Vec<Vec<(f64, f64)>> = vec![Vec::new(); most.max(1)];
    for &(x, y) in points {
        let index = (((x - first.0) / width) as usize).min(most.max(1) - 1);
        all[index].push((x, y));
    }
    let middle = |mut values: Vec<f64>| {
        values.sort_unstable_by(f64::total_cmp);
        values.get(values.len() / 2).copied()
    };
    all.into_iter()
        .filter_map(|part| {
            let x = middle(part.iter().map(|p| p.0).collect())?;
            Some((x, middle(part.iter().map(|p| p.1).collect())?))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_found_through_outliers_and_its_interval_holds_it() {
        let noise = [0.3, -0.2, 0.1, -0.4, 0.2, 0.0, -0.1, 0.4, -0.3, 0.2, 0.1, -0.2, 0.3, -0.1, 0.0, 0.2];
        let mut points: Vec<(f64, f64)> =
            noise.iter().enumerate().map(|(i, e)| (i as f64, 2.0 * i as f64 + e)).collect();
        points[5].1 = 500.0;
        let found = slope(&points).unwrap();
        assert!((found.median - 2.0).abs() < 0.1, "{found:?}");
        assert!(found.low <= 2.0 && 2.0 <= found.high && found.high - found.low < 0.5, "{found:?}");
    }

    #[test]
    fn what_does_not_move_has_an_interval_around_0() {
        let noise = [0.3, -0.2, 0.1, -0.4, 0.2, 0.0, -0.1, 0.4, -0.3, 0.2];
        let points: Vec<(f64, f64)> = noise.iter().enumerate().map(|(i, e)| (i as f64, *e)).collect();
        let found = slope(&points).unwrap();
        assert!(found.low < 0.0 && found.high > 0.0, "{found:?}");
    }

    #[test]
    fn too_little_gives_none() {
        assert_eq!(slope(&[(0.0, 1.0); 5]), None);
        assert_eq!(slope(&[(1.0, 1.0); 20]), None);
        assert_eq!(slope(&[(1.0, f64::NAN); 20]), None);
    }

    #[test]
    fn stretches_are_medians_of_equal_lengths() {
        let points: Vec<(f64, f64)> = (0..100).map(|i| (f64::from(i), f64::from(i % 10))).collect();
        let parts = stretches(&points, 10);
        assert_eq!(parts.len(), 10);
        assert!(parts.iter().all(|(_, y)| (4.0..=6.0).contains(y)), "{parts:?}");
        assert_eq!(stretches(&[], 4), []);
    }
}
