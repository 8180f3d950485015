//! Where the time goes: time per stage, all samples of a trial together, as bars.

use crate::report::format;
use crate::report::groups::{self, Group};
use crate::stats::Stage;

use super::axes::{Axis, Frame};
use super::canvas::{Anchor, legend_height};
use super::palette::{Role, SERIES};
use super::{Plot, PlotError, width};

/// Height of a bar, px.
const BAR: i32 = 17;

/// Bars of the stages, grouped; nothing without samples, or with more groups than colours.
pub fn plot(groups: &[Group<'_>]) -> Result<Option<Plot>, PlotError> {
    let stages: Vec<Stage> = groups::stages_of(groups);
    if stages.is_empty() || groups.len() > SERIES {
        return Ok(None);
    }
    let totals: Vec<Vec<Option<f64>>> =
        stages.iter().map(|s| groups.iter().map(|g| g.stage_total(*s).map(|spread| spread.median)).collect()).collect();
    let max = totals.iter().flatten().flatten().copied().fold(0.0, f64::max);
    let legend: Vec<_> = groups.iter().enumerate().map(|(i, g)| (i, g.label.clone())).collect();
    let legend_height = |narrow| if groups.len() > 1 { legend_height(&legend, width(narrow), false) } else { 4 };
    let height = |narrow: bool| {
        let block = BAR * groups.len() as i32 + 14 + if narrow { 20 } else { 0 };
        (block * stages.len() as i32 + 56) as u32 + legend_height(narrow)
    };
    Plot::draw(
        "stages",
        "Where the time goes: time per stage, summed over a trial",
        "Median over trials. Stages run side by side, so that the sums can exceed the event time; waiting counts as time.",
        height,
        |canvas| {
            let top = if groups.len() > 1 { canvas.legend(&legend, false) } else { 4 };
            // Room for the stages' names at the left where there is any, else above their bars.
            let names = stages.iter().map(|s| canvas.text_width(s.label())).max().unwrap_or(0) + 16;
            let left = if canvas.narrow() { 0 } else { names };
            let x = Axis::linear(max, if canvas.narrow() { 3 } else { 6 }, "time, summed", format::short_duration);
            let mut y = Axis::places(&[], "");
            y.ticks.clear();
            let frame = Frame::draw(canvas, (left, top), (canvas.width - 74, canvas.height), x, y);
            let mut at = top + 8;
            for (stage, totals) in stages.iter().zip(&totals) {
                if canvas.narrow() {
                    canvas.text(stage.label(), (frame.left, at + 8), Anchor::Left, Role::Ink);
                    at += 20;
                } else {
                    let middle = at + BAR * groups.len() as i32 / 2;
                    canvas.text(stage.label(), (frame.left - 10, middle), Anchor::Right, Role::Ink);
                }
                for (n, total) in totals.iter().enumerate() {
                    if let Some(us) = total {
                        let end = frame.px(*us).max(frame.left + 1);
                        canvas.rect((frame.left, at + 1), (end, at + BAR - 1), Role::Series(n), 1.0);
                        canvas.text(&format::duration(*us), (end + 6, at + BAR / 2), Anchor::Left, Role::Soft);
                    }
                    at += BAR;
                }
                at += 14;
            }
        },
    )
    .map(Some)
}
