//! A sweep: work done twice, and the time to recover, against the position of the fault.

use crate::report::format;
use crate::search::record::{PointRecord, SearchRecord, Verb};

use super::axes::{Axis, Frame};
use super::canvas::{Canvas, legend_height};
use super::palette::SERIES;
use super::{Plot, PlotError, width};

type Value = fn(&PointRecord) -> Option<f64>;

/// The plots of a sweep; none of other searches, whose faults have no one position.
pub fn plots(search: Option<&SearchRecord>) -> Result<Vec<Plot>, PlotError> {
    let Some(search) = search.filter(|s| s.verb == Verb::Sweep) else { return Ok(Vec::new()) };
    let points: Vec<&PointRecord> = search.points.iter().filter(|p| p.faults.len() == 1 && p.position > 0).collect();
    let mut profiles: Vec<&str> = Vec::new();
    for point in &points {
        if !profiles.contains(&point.profile.as_str()) {
            profiles.push(&point.profile);
        }
    }
    if points.is_empty() || profiles.len() > SERIES {
        return Ok(Vec::new());
    }
    let laps: Value = |p| p.laps_twice.map(|n| n as f64);
    let time: Value = |p| p.caught_up_us.map(|us| us as f64);
    let all = [
        (
            "sweep-work-twice",
            "Work done twice, by where the fault struck",
            "laps written twice",
            "A mark per trial. To the right the engine had done more when it was struck; what it had committed it need not write again.",
            laps,
            format::count as fn(f64) -> String,
        ),
        (
            "sweep-recovery",
            "Time to recover, by where the fault struck",
            "from the fault until the event was whole",
            "A mark per trial. Trials ran side by side, so that the height of a mark is a measure only beside the others.",
            time,
            format::short_duration as fn(f64) -> String,
        ),
    ];
    let mut plots = Vec::new();
    for (name, title, axis, caption, value, label) in all {
        if points.iter().all(|p| value(p).is_none()) {
            continue;
        }
        let legend: Vec<_> = profiles.iter().enumerate().map(|(i, p)| (i, (*p).to_string())).collect();
        plots.push(Plot::draw(
            name,
            title,
            caption,
            |narrow| 300 + legend_height(&legend, width(narrow), true),
            |canvas| paint(canvas, &points, &profiles, &legend, value, axis, label),
        )?);
    }
    Ok(plots)
}

fn paint(
    canvas: &Canvas<'_>,
    points: &[&PointRecord],
    profiles: &[&str],
    legend: &[(usize, String)],
    value: Value,
    title: &str,
    label: fn(f64) -> String,
) {
    let top = canvas.legend(legend, true);
    let most = |of: &dyn Fn(&PointRecord) -> Option<f64>| points.iter().filter_map(|p| of(p)).fold(0.0, f64::max);
    let x = Axis::whole(
        most(&|p| Some(p.position as f64)),
        if canvas.narrow() { 4 } else { 8 },
        "steps that the process had reached when it was struck",
        format::count,
    );
    let y = Axis::linear(most(&|p| value(p)), 4, title, label);
    let frame = Frame::draw(canvas, (0, top), (canvas.width, canvas.height), x, y);
    for point in points {
        let Some(n) = profiles.iter().position(|p| *p == point.profile) else { continue };
        if let Some(y) = value(point) {
            canvas.mark(n, frame.point(point.position as f64, y));
        }
    }
}
