//! Before and after: the change of every metric with its interval, beside its floor and its criterion.

use crate::ab::Row;
use crate::report::compared::View;
use crate::stats::{Bound, Comparison};

use super::axes::{Axis, Frame};
use super::canvas::Anchor;
use super::palette::Role;
use super::{Plot, PlotError};

/// Name of the plot: the one that stands with the findings.
pub const NAME: &str = "intervals";

/// Ratios beyond this are drawn at the edge.
const WIDEST: f64 = 1_000.0;

/// Metrics that are drawn: those with an interval.
fn drawn<'a>(view: &'a View<'_>) -> Vec<(&'a Row, &'a Comparison)> {
    view.rows().filter_map(|r| Some((r, r.comparison.as_ref().ok()?))).collect()
}

/// Marks with intervals, a row per metric; nothing without any.
pub fn plot(view: &View<'_>) -> Result<Option<Plot>, PlotError> {
    let rows = drawn(view);
    if rows.is_empty() {
        return Ok(None);
    }
    let bound = |row: &Row| -> Option<f64> {
        view.spec.criteria.as_ref()?.change.get(&row.metric).map(|b| match *b {
            Bound::AtMost(share) | Bound::AtLeast(share) => 1.0 + share,
        })
    };
    let ratio = |d: f64| d.exp().clamp(1.0 / WIDEST, WIDEST);
    let values = || rows.iter().flat_map(|(r, c)| [Some(ratio(c.low)), Some(ratio(c.high)), bound(r)]).flatten();
    let min = values().fold(0.8, f64::min);
    let max = values().fold(1.25, f64::max);
    let [a, b] = view.labels();
    let row = |narrow: bool| if narrow { 44 } else { 28 };
    Plot::draw(
        NAME,
        format!("{b} as a ratio to {a}, with 95 % intervals"),
        "Marks are medians over pairs, lines their exact intervals. The upright line at 1 is no change; the shaded part around it is the \
         metric's floor; the red bar is what its criterion asks for.",
        |narrow| row(narrow) * rows.len() as u32 + 70,
        |canvas| {
            let height = row(canvas.narrow()) as i32;
            let names = rows.iter().map(|(r, _)| canvas.text_width(r.metric.label())).max().unwrap_or(0) + 12;
            let left = if canvas.narrow() { 0 } else { names };
            let x = Axis::log(min, max, if canvas.narrow() { 5 } else { 9 }, "ratio, logarithmic", tick);
            let mut y = Axis::places(&[], "");
            y.ticks.clear();
            let frame = Frame::draw(canvas, (left, 4), (canvas.width, canvas.height), x, y);
            for (i, (row, c)) in rows.iter().enumerate() {
                let mut at = 10 + height * i as i32 + height / 2;
                if canvas.narrow() {
                    canvas.text(row.metric.label(), (frame.left + 2, at - 11), Anchor::Left, Role::Ink);
                    at += 9;
                } else {
                    canvas.text(row.metric.label(), (frame.left - 10, at), Anchor::Right, Role::Ink);
                }
                if let Some(floor) = row.floor.filter(|f| f.0 > 0.0) {
                    let (from, to) = (frame.px(1.0 / (1.0 + floor.0)), frame.px(1.0 + floor.0));
                    canvas.rect((from, at - 9), (to, at + 9), Role::Soft, 0.18);
                }
                canvas.line(&[(frame.left, at), (frame.right, at)], Role::Line, 1);
                if let Some(bound) = bound(row) {
                    let x = frame.px(bound);
                    canvas.line(&[(x, at - 11), (x, at + 11)], Role::Bad, 3);
                }
                canvas.line(&[(frame.px(ratio(c.low)), at), (frame.px(ratio(c.high)), at)], Role::Series(0), 4);
                canvas.mark(0, (frame.px(ratio(c.median)), at));
            }
            let one = frame.px(1.0);
            canvas.line(&[(one, frame.top), (one, frame.bottom)], Role::Ink, 1);
        },
    )
    .map(Some)
}

/// `0.1`, `1`, `20`.
fn tick(ratio: f64) -> String {
    format!("{}", (ratio * 1e6).round() / 1e6)
}
