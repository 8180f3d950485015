//! Laps durable over time: every trial's first ingestion, from the start of its first process.

use crate::report::format;
use crate::report::groups::Group;
use crate::trial::record::TrialRecord;

use super::axes::{Axis, Frame};
use super::palette::SERIES;
use super::{Plot, PlotError};

/// (seconds, laps) of a trial's first ingestion, counted from its first process's start.
fn first_ingestion(trial: &TrialRecord) -> Vec<(f64, f64)> {
    let Some(attempts) = trial.ingestions.first().map(|i| &i.attempts) else { return Vec::new() };
    let (Some(first), Some(last)) = (attempts.first(), attempts.last()) else { return Vec::new() };
    let start = first.started_us.saturating_sub(trial.started_us);
    let end = last.ended_us.saturating_sub(trial.started_us);
    let mut points = vec![(0.0, 0.0)];
    let mut laps = 0.0;
    for &(at, durable) in trial.progress.iter().filter(|(at, _)| (start..=end).contains(at)) {
        let at = (at - start) as f64 / 1e6;
        // A step: laps become durable at once, with their commit.
        points.push((at, laps));
        laps = durable as f64;
        points.push((at, laps));
    }
    points.push((end.saturating_sub(start) as f64 / 1e6, laps));
    if laps > 0.0 { points } else { Vec::new() }
}

/// One line per trial, a colour per group; nothing for a single trial, which has its timeline.
pub fn plot(groups: &[Group<'_>]) -> Result<Option<Plot>, PlotError> {
    let lines: Vec<(usize, Vec<(f64, f64)>)> = groups
        .iter()
        .enumerate()
        .flat_map(|(n, g)| g.trials.iter().map(move |t| (n, first_ingestion(t))))
        .filter(|(_, points)| !points.is_empty())
        .collect();
    if lines.len() < 2 || groups.len() > SERIES {
        return Ok(None);
    }
    let seconds = lines.iter().flat_map(|(_, l)| l).map(|p| p.0).fold(0.0, f64::max);
    let laps = lines.iter().flat_map(|(_, l)| l).map(|p| p.1).fold(0.0, f64::max);
    Plot::draw(
        "throughput",
        "Laps durable over time, first ingestion",
        "One line per trial, from the start of its first process. A step is a commit; the line ends with the last process.",
        |narrow| if narrow { 380 } else { 360 },
        |canvas| {
            let legend: Vec<_> = groups.iter().enumerate().map(|(i, g)| (i, g.label.clone())).collect();
            let top = canvas.legend(&legend, true);
            let ticks = if canvas.narrow() { 4 } else { 8 };
            let x = Axis::linear_to(seconds, ticks, "time since the start", |s| format::short_duration(s * 1e6));
            let y = Axis::whole(laps, 5, "laps durable", format::count);
            let frame = Frame::draw(canvas, (0, top), (canvas.width, canvas.height), x, y);
            for (n, points) in &lines {
                let line: Vec<_> = points.iter().map(|(x, y)| frame.point(*x, *y)).collect();
                canvas.series(*n, &line);
                if let Some(end) = line.last() {
                    canvas.mark(*n, *end);
                }
            }
        },
    )
    .map(Some)
}
