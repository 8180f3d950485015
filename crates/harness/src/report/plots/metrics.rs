//! Profiles compared: every metric as a ratio to the first group's median.

use crate::report::format;
use crate::report::groups::{self, Group, Spread};
use crate::stats::Metric;

use super::axes::{Axis, Frame};
use super::canvas::{Anchor, legend_height};
use super::palette::{Role, SERIES};
use super::{Plot, PlotError, width};

/// A metric with the ratio of each group but the first.
type Row = (Metric, Vec<Option<Spread>>);

/// Ratios of every metric that all can be compared in; nothing with a single group.
fn rows(groups: &[Group<'_>]) -> Vec<Row> {
    let Some((reference, others)) = groups.split_first() else { return Vec::new() };
    groups::metrics_of(groups)
        .into_iter()
        .filter_map(|m| {
            let base = reference.metric(m)?.median;
            let ratio = |s: Spread| Spread { median: s.median / base, min: s.min / base, max: s.max / base, n: s.n };
            // A logarithmic scale has no zero.
            let ratios: Vec<_> =
                others.iter().map(|g| g.metric(m).filter(|s| s.min > 0.0 && base > 0.0).map(ratio)).collect();
            ratios.iter().any(Option::is_some).then_some((m, ratios))
        })
        .collect()
}

/// Dots with their range, a row per metric.
pub fn plot(groups: &[Group<'_>]) -> Result<Option<Plot>, PlotError> {
    let rows = rows(groups);
    let (Some(reference), false) = (groups.first(), rows.is_empty() || groups.len() > SERIES) else { return Ok(None) };
    let values = || rows.iter().flat_map(|(_, r)| r).flatten();
    let min = values().map(|s| s.min).fold(1.0, f64::min);
    let max = values().map(|s| s.max).fold(1.0, f64::max);
    let legend: Vec<_> = groups.iter().enumerate().skip(1).map(|(i, g)| (i, g.label.clone())).collect();
    let row = |narrow: bool| if narrow { 42 } else { 26 };
    Plot::draw(
        "metrics",
        format!("Every metric as a ratio to {}", reference.label),
        format!(
            "Marks are medians over trials, lines reach from the smallest to the largest. The upright line at 1 is {}. \
             These are no intervals: a decision wants paired trials.",
            reference.label
        ),
        |narrow| row(narrow) * rows.len() as u32 + 56 + legend_height(&legend, width(narrow), true),
        |canvas| {
            let top = canvas.legend(&legend, true);
            let row = row(canvas.narrow()) as i32;
            let names = rows.iter().map(|(m, _)| canvas.text_width(m.label())).max().unwrap_or(0) + 12;
            let left = if canvas.narrow() { 0 } else { names };
            let x = Axis::log(min, max, if canvas.narrow() { 5 } else { 9 }, "ratio, logarithmic", tick);
            let mut y = Axis::places(&[], "");
            y.ticks.clear();
            let frame = Frame::draw(canvas, (left, top), (canvas.width, canvas.height), x, y);
            let one = frame.px(1.0);
            canvas.line(&[(one, frame.top), (one, frame.bottom)], Role::Ink, 1);
            for (i, (metric, ratios)) in rows.iter().enumerate() {
                let mut at = top + 6 + row * i as i32 + row / 2;
                if canvas.narrow() {
                    canvas.text(metric.label(), (frame.left + 2, at - 10), Anchor::Left, Role::Ink);
                    at += 10;
                } else {
                    canvas.text(metric.label(), (frame.left - 10, at), Anchor::Right, Role::Ink);
                }
                canvas.line(&[(frame.left, at), (frame.right, at)], Role::Line, 1);
                for (n, spread) in ratios.iter().enumerate().filter_map(|(n, s)| s.map(|s| (n + 1, s))) {
                    canvas.line(&[(frame.px(spread.min), at), (frame.px(spread.max), at)], Role::Series(n), 3);
                    canvas.mark(n, (frame.px(spread.median), at));
                }
            }
        },
    )
    .map(Some)
}

/// `0.1`, `1`, `20`.
fn tick(ratio: f64) -> String {
    if ratio >= 0.999 { format::count(ratio) } else { format!("{}", (ratio * 1e6).round() / 1e6) }
}
