//! A waterfall: what is left of a time as cures come on top of one another.

use super::axes::{Axis, Frame};
use super::canvas::Anchor;
use super::palette::Role;
use super::{Plot, PlotError};
use crate::format;

/// What is left after a step, as a share of the beginning.
#[derive(Debug, Clone, PartialEq)]
pub struct Fall {
    /// The step.
    pub label: String,
    /// Median.
    pub median: f64,
    /// Lower bound of its interval.
    pub low: f64,
    /// Upper bound.
    pub high: f64,
}

/// Height of a row, px.
const ROW: i32 = 34;

/// Bars from one step to the next with the interval of what is left; nothing without any.
///
/// # Errors
/// A fault of the harness.
pub fn plot(falls: &[Fall]) -> Result<Option<Plot>, PlotError> {
    if falls.is_empty() {
        return Ok(None);
    }
    let max = falls.iter().map(|f| f.high).fold(1.0, f64::max);
    Plot::draw(
        "waterfall",
        "What is left of the event's time as cures come on top of one another",
        "Each bar goes from what the cures before it left to what is left with it, as a share of `before`'s time in the same round; \
         marks are medians over rounds, lines their exact 95 % intervals.",
        |_| (ROW * (falls.len() as i32 + 1)) as u32 + 70,
        |canvas| {
            let names = falls.iter().map(|f| canvas.text_width(&f.label)).max().unwrap_or(0).max(60) + 12;
            let left = if canvas.narrow() { 0 } else { names };
            let x = Axis::linear(max, if canvas.narrow() { 4 } else { 8 }, "share of before", format::share);
            let mut y = Axis::places(&[], "");
            y.ticks.clear();
            let frame = Frame::draw(canvas, (left, 4), (canvas.width, canvas.height), x, y);
            let label = |text: &str, at: i32| {
                if canvas.narrow() {
                    canvas.text(text, (frame.left + 2, at - 11), Anchor::Left, Role::Ink);
                } else {
                    canvas.text(text, (frame.left - 10, at), Anchor::Right, Role::Ink);
                }
            };
            let at = |i: i32| 10 + ROW * i + ROW / 2;
            label("before", at(0));
            canvas.rect((frame.px(0.0), at(0) - 5), (frame.px(1.0), at(0) + 7), Role::Soft, 0.5);
            let mut above = 1.0;
            for (i, fall) in (1..).zip(falls) {
                let at = at(i);
                label(&fall.label, at);
                let role = if fall.median <= above { Role::Series(2) } else { Role::Bad };
                let (a, b) = (frame.px(fall.median.min(above)), frame.px(fall.median.max(above)));
                canvas.rect((frame.px(0.0), at - 5), (a, at + 7), Role::Soft, 0.18);
                canvas.rect((a, at - 5), (b.max(a + 1), at + 7), role, 0.6);
                canvas.line(&[(frame.px(fall.low), at + 1), (frame.px(fall.high), at + 1)], Role::Ink, 2);
                canvas.mark(0, (frame.px(fall.median), at + 1));
                above = fall.median;
            }
        },
    )
    .map(Some)
}
