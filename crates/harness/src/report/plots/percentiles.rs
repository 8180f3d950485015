//! Percentile curves: how long a stage takes, from its fastest sample to the slowest that the sample can speak of.

use crate::report::format;
use crate::report::groups::{self, Group};
use crate::stats::{Histogram, Stage};

use super::axes::{Axis, Frame, nines_of};
use super::{Plot, PlotError};

/// Fewer samples than this make no curve.
const FEWEST: u64 = 4;

/// (nines, µs).
type Curve = Vec<(f64, f64)>;

/// Points of a curve: percentiles evenly spaced in nines, and only those that the sample supports.
fn curve(samples: &Histogram) -> Curve {
    let top = (samples.len() as f64).log10();
    let mut points: Curve = (0..=80)
        .map(|i| top * f64::from(i) / 80.0)
        .filter_map(|x| {
            let q = 1.0 - 10f64.powf(-x);
            samples.quantile(q).map(|us| (x, us.max(1) as f64))
        })
        .collect();
    points.dedup_by(|b, a| a.1 == b.1 && (b.0 - a.0) < top / 100.0);
    points
}

/// A plot per group, all on the same axes so that they can be compared.
pub fn plots(groups: &[Group<'_>]) -> Result<Vec<Plot>, PlotError> {
    let curves: Vec<Vec<(Stage, Curve)>> = groups
        .iter()
        .map(|group| {
            groups::stages_of(groups)
                .into_iter()
                .filter(|s| group.stage(*s).len() >= FEWEST)
                .map(|s| (s, curve(&group.stage(s))))
                .filter(|(_, points)| points.len() > 1)
                .collect()
        })
        .collect();
    let points = || curves.iter().flatten().flat_map(|(_, c)| c);
    let nines = points().map(|p| p.0).fold(0.0, f64::max);
    let min = points().map(|p| p.1).fold(f64::INFINITY, f64::min);
    let max = points().map(|p| p.1).fold(0.0, f64::max);
    groups
        .iter()
        .zip(&curves)
        .enumerate()
        .filter(|(_, (_, curves))| !curves.is_empty())
        .map(|(index, (group, curves))| {
            let name = if groups.len() == 1 { "percentiles".to_string() } else { format!("percentiles-{}", index + 1) };
            Plot::draw(
                name,
                format!("Time per stage by percentile: {}", group.label),
                caption(index, groups.len()),
                |narrow| if narrow { 430 } else { 400 },
                |canvas| {
                    let legend: Vec<_> = curves.iter().map(|(s, _)| (series(*s), s.label().to_string())).collect();
                    let top = canvas.legend(&legend, true);
                    let x =
                        Axis::nines(nines, |q| if q == 0.0 { "fastest".to_string() } else { format::percentile(q) });
                    let y = Axis::log(min, max, 9, "time", format::short_duration);
                    let frame = Frame::draw(canvas, (0, top), (canvas.width, canvas.height), x, y);
                    for (stage, points) in curves {
                        let line: Vec<_> = points.iter().map(|(x, y)| frame.point(*x, *y)).collect();
                        canvas.series(series(*stage), &line);
                        for q in [0.5, 0.9, 0.99, 0.999] {
                            if let Some(us) = group.stage(*stage).quantile(q) {
                                canvas.mark(series(*stage), frame.point(nines_of(q), us.max(1) as f64));
                            }
                        }
                    }
                },
            )
        })
        .collect()
}

/// How to read the curves, said once.
fn caption(index: usize, groups: usize) -> &'static str {
    match (index, groups) {
        (0, 1) => {
            "Each curve ends where its sample does. The scale stretches the slow end: from p90 to p99 is as far as from p0 to p90."
        }
        (0, _) => {
            "Each curve ends where its sample does. The scale stretches the slow end: from p90 to p99 is as far as from p0 to p90. \
             The axes are the same for every profile."
        }
        _ => "Axes and marks as above.",
    }
}

/// A stage has the same colour in every plot.
fn series(stage: Stage) -> usize {
    Stage::ALL.iter().position(|s| *s == stage).unwrap_or(0)
}
