//! Percentile curves of a comparison: each side's median curve over its trials, with the interval across trials.

use crate::report::format;
use crate::report::groups::{self, Group};
use crate::stats::{CONFIDENCE, Stage, median_interval};

use super::axes::{Axis, Frame, nines_of};
use super::palette::Role;
use super::{Plot, PlotError};

/// A point: nines, median over trials, its interval; µs.
type Point = (f64, f64, f64, f64);

/// Quantiles at which curves are drawn, where every trial's sample supports them.
const QUANTILES: [f64; 13] = [0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99, 0.999];

/// A curve of a stage: at each quantile the median of the trials' own quantiles, and its exact interval.
fn curve(group: &Group<'_>, stage: Stage) -> Vec<Point> {
    let samples: Vec<_> = group.trials.iter().filter_map(|t| groups::stage_of(t, stage)).collect();
    QUANTILES
        .iter()
        .filter_map(|&q| {
            let values: Vec<f64> = samples.iter().filter_map(|h| h.quantile(q)).map(|us| us.max(1) as f64).collect();
            // A quantile that only the larger samples support would be one of another population.
            if values.len() < samples.len() {
                return None;
            }
            let i = median_interval(&values, CONFIDENCE)?;
            Some((nines_of(q), i.median, i.low, i.high))
        })
        .collect()
}

/// A plot per stage that both sides have.
pub fn plots(groups: &[Group<'_>]) -> Result<Vec<Plot>, PlotError> {
    let mut plots = Vec::new();
    for stage in groups::stages_of(groups).into_iter().filter(|s| *s != Stage::LivercResponse) {
        let curves: Vec<Vec<Point>> = groups.iter().map(|g| curve(g, stage)).collect();
        if curves.iter().any(|c| c.len() < 3) {
            continue;
        }
        let points = || curves.iter().flatten();
        let nines = points().map(|p| p.0).fold(0.0, f64::max);
        let min = points().map(|p| p.2).fold(f64::INFINITY, f64::min);
        let max = points().map(|p| p.3).fold(0.0, f64::max);
        plots.push(Plot::draw(
            format!("percentiles-{}", stage.key().trim_end_matches("_us")),
            format!("{} by percentile", capital(stage.label())),
            "Lines are medians over trials of each trial's own percentile, the shaded bands their 95 % intervals across trials. A curve ends \
             where the samples of its trials do.",
            |narrow| if narrow { 360 } else { 340 },
            |canvas| {
                let legend: Vec<_> = groups.iter().enumerate().map(|(n, g)| (n, g.label.clone())).collect();
                let top = canvas.legend(&legend, true);
                let x = Axis::nines(nines, format::percentile);
                let y = Axis::log(min, max, 8, "time", format::short_duration);
                let frame = Frame::draw(canvas, (0, top), (canvas.width, canvas.height), x, y);
                for (n, curve) in curves.iter().enumerate() {
                    let above = curve.iter().map(|p| frame.point(p.0, p.3));
                    let below = curve.iter().rev().map(|p| frame.point(p.0, p.2));
                    canvas.polygon(above.chain(below).collect(), Role::Series(n), 0.2);
                    let line: Vec<_> = curve.iter().map(|p| frame.point(p.0, p.1)).collect();
                    canvas.series(n, &line);
                    for p in curve.iter().filter(|p| [0.5, 0.9, 0.99].map(nines_of).contains(&p.0)) {
                        canvas.mark(n, frame.point(p.0, p.1));
                    }
                }
            },
        )?);
    }
    Ok(plots)
}

fn capital(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |c| c.to_uppercase().chain(chars).collect())
}
