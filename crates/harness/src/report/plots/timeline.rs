//! The timeline of a trial: laps durable over time, the processes that wrote them, and each fault from its proof to its end.

use crate::report::{format, words};
use crate::trial::record::{Exit, TrialRecord};

use super::axes::{Axis, Frame};
use super::canvas::{Anchor, Canvas};
use super::palette::Role;
use super::{Plot, PlotError};

/// Height of an ingestion's row, px.
const ROW: i32 = 24;

/// The plot; nothing for a trial of which no time is known, nor for a load, which has a timeline of its own.
pub fn plot(trial: &TrialRecord) -> Result<Option<Plot>, PlotError> {
    if trial.load.is_some() {
        return Ok(None);
    }
    let since = |us: u64| us.saturating_sub(trial.started_us) as f64 / 1e6;
    let processes = || trial.ingestions.iter().flat_map(|i| &i.attempts);
    let end = processes()
        .map(|a| since(a.ended_us))
        .chain(trial.progress.iter().map(|p| p.0 as f64 / 1e6))
        .chain(trial.faults.iter().filter_map(|f| f.fired.as_ref()).map(|f| since(f.healed_us.unwrap_or(f.at_us))))
        .fold(0.0, f64::max);
    let laps = trial.progress.iter().map(|p| p.1).max().unwrap_or(0) as f64;
    if end <= 0.0 {
        return Ok(None);
    }
    let rows = trial.ingestions.len() as i32;
    let fired = trial.faults.iter().filter(|f| f.fired.is_some()).count();
    let faults = if fired > 0 {
        " Numbered upright lines are faults, in the order of the table of faults; the shaded band after one ends when the world was whole again."
    } else {
        ""
    };
    let caption = format!(
        "Bars below show each ingestion's processes; a bar that ends in a cross did not end by itself with exit code 0.{faults}"
    );
    Plot::draw(
        format!("timeline-trial-{}", trial.trial),
        format!("{}: laps durable over time", words::trial(trial)),
        caption,
        |narrow| (290 + ROW * rows * if narrow { 2 } else { 1 }) as u32,
        |canvas| paint(canvas, trial, end, laps),
    )
    .map(Some)
}

fn paint(canvas: &Canvas<'_>, trial: &TrialRecord, end: f64, laps: f64) {
    let since = |us: u64| us.saturating_sub(trial.started_us) as f64 / 1e6;
    let names: Vec<String> = trial
        .ingestions
        .iter()
        .enumerate()
        .map(|(i, ingestion)| format!("{}. {}", i + 1, words::purpose(ingestion.purpose)))
        .collect();
    let row = if canvas.narrow() { ROW * 2 } else { ROW };
    // The names stand at the left where there is room, and the plot above is indented alike.
    let gutter = if canvas.narrow() { 0 } else { names.iter().map(|n| canvas.text_width(n)).max().unwrap_or(0) };
    let x = Axis::linear_to(end, if canvas.narrow() { 4 } else { 9 }, "time since the trial began", |s| {
        format::short_duration(s * 1e6)
    });
    let y = Axis::whole(laps, 4, "laps durable", format::count);
    let below = row * names.len() as i32;
    let labels = y.ticks.iter().map(|(_, l)| canvas.text_width(l)).max().unwrap_or(0);
    let left = (gutter - labels).max(0);
    let frame = Frame::draw(canvas, (left, 16), (canvas.width, canvas.height - below), x, y);

    for fired in trial.faults.iter().filter_map(|f| f.fired.as_ref()) {
        let (a, b) = (frame.px(since(fired.at_us)), frame.px(since(fired.healed_us.unwrap_or(fired.at_us))));
        if b > a {
            canvas.rect((a, frame.top), (b, frame.bottom), Role::Bad, 0.14);
        }
    }

    let mut line = vec![frame.point(0.0, 0.0)];
    let mut durable = 0.0;
    for &(at, laps) in &trial.progress {
        let at = at as f64 / 1e6;
        line.push(frame.point(at, durable));
        durable = laps as f64;
        line.push(frame.point(at, durable));
    }
    line.push(frame.point(end, durable));
    let mut area = line.clone();
    area.push(frame.point(end, 0.0));
    canvas.polygon(area, Role::Series(0), 0.14);
    canvas.line(&line, Role::Series(0), 2);

    for (i, (ingestion, name)) in trial.ingestions.iter().zip(&names).enumerate() {
        let mut at = canvas.height - below + row * i as i32 + 6;
        if canvas.narrow() {
            canvas.text(name, (4, at + 8), Anchor::Left, Role::Ink);
            at += 22;
        } else {
            canvas.text(name, (frame.left - 8, at + 7), Anchor::Right, Role::Ink);
        }
        for attempt in &ingestion.attempts {
            let (a, b) = (frame.px(since(attempt.started_us)), frame.px(since(attempt.ended_us)));
            canvas.rect((a, at + 1), (b.max(a + 2), at + 13), Role::Series(0), 0.75);
            if attempt.exit != Exit::Code(0) {
                canvas.line(&[(b - 5, at + 2), (b + 5, at + 12)], Role::Bad, 2);
                canvas.line(&[(b - 5, at + 12), (b + 5, at + 2)], Role::Bad, 2);
            }
        }
    }

    let mut free = i32::MIN;
    for (n, fired) in trial.faults.iter().enumerate().filter_map(|(n, f)| f.fired.as_ref().map(|fired| (n + 1, fired)))
    {
        let x = frame.px(since(fired.at_us));
        canvas.dashed(&[(x, frame.top), (x, frame.bottom)], Role::Bad, 2);
        // Faults at nearly the same moment: the label moves right rather than onto its neighbour.
        let label = n.to_string();
        let at = x.max(free);
        canvas.text(&label, (at, frame.top - 10), Anchor::Middle, Role::Bad);
        free = at + canvas.text_width(&label) + 6;
    }
}
