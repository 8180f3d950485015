//! A sweep: how time, rate and waits move with the swept setting. The review wants these known before concurrency is raised.

use crate::report::format;
use crate::report::groups::{Spread, Sweep, stage_of, sweep};
use crate::stats::{Metric, Stage};
use crate::trial::record::{RunRecord, TrialRecord};

use super::axes::{Axis, Frame};
use super::canvas::{Canvas, legend_height};
use super::palette::{Role, SERIES};
use super::{Plot, PlotError, width};

/// A small picture of the plot.
struct Panel {
    title: &'static str,
    value: fn(&TrialRecord) -> Option<f64>,
    label: fn(f64) -> String,
    /// Values are whole numbers, and so are the ticks.
    whole: bool,
}

fn metric(trial: &TrialRecord, m: Metric) -> Option<f64> {
    trial.metrics.get(&m).copied()
}

/// A percentile of a stage, where the trial's own sample supports it.
fn p95(trial: &TrialRecord, stage: Stage) -> Option<f64> {
    stage_of(trial, stage).and_then(|h| h.quantile(0.95)).map(|us| us as f64)
}

const PANELS: [Panel; 6] = [
    Panel { title: "event time", value: |t| metric(t, Metric::EventTime), label: format::short_duration, whole: false },
    Panel { title: "laps per second", value: |t| metric(t, Metric::LapRate), label: format::count, whole: false },
    Panel {
        title: "LiveRC response, p95",
        value: |t| p95(t, Stage::LivercResponse),
        label: format::short_duration,
        whole: false,
    },
    Panel {
        title: "wait for a connection, p95",
        value: |t| p95(t, Stage::Acquire),
        label: format::short_duration,
        whole: false,
    },
    Panel {
        title: "pool connections in use, peak",
        value: |t| metric(t, Metric::PoolPeak),
        label: format::count,
        whole: true,
    },
    Panel {
        title: "sessions waiting for a lock, peak",
        value: |t| metric(t, Metric::LockWaits),
        label: format::count,
        whole: true,
    },
];

/// The plot of a sweep; nothing for other runs.
pub fn plot(run: &RunRecord) -> Result<Option<Plot>, PlotError> {
    let Some(sweep) = sweep(run) else { return Ok(None) };
    let trials: Vec<&TrialRecord> = run.trials.iter().filter(|t| t.broken.is_none()).collect();
    let panels: Vec<&Panel> = PANELS.iter().filter(|p| trials.iter().any(|t| (p.value)(t).is_some())).collect();
    let mut profiles: Vec<&str> = Vec::new();
    for trial in &trials {
        if !profiles.contains(&trial.profile.as_str()) {
            profiles.push(&trial.profile);
        }
    }
    if panels.is_empty() || profiles.len() > SERIES {
        return Ok(None);
    }
    let legend: Vec<_> = profiles.iter().enumerate().map(|(i, p)| (i, (*p).to_string())).collect();
    let columns = |narrow: bool| if narrow { 1 } else { 2 };
    Plot::draw(
        "saturation",
        format!("Saturation: what {} changes", sweep.key),
        "Marks are medians over the trials of a value, upright lines their range. Where time stops falling and waits begin to rise, \
         more of it buys nothing.",
        |narrow| (panels.len() as u32).div_ceil(columns(narrow)) * 210 + legend_height(&legend, width(narrow), true),
        |canvas| {
            let top = canvas.legend(&legend, true);
            let columns = columns(canvas.narrow()) as i32;
            let width = canvas.width / columns;
            for (i, panel) in panels.iter().enumerate() {
                let (x0, y0) = (width * (i as i32 % columns), top + 210 * (i as i32 / columns));
                paint(canvas, panel, &trials, &profiles, &sweep, [(x0, y0), (x0 + width, y0 + 206)]);
            }
        },
    )
    .map(Some)
}

fn paint(
    canvas: &Canvas<'_>,
    panel: &Panel,
    trials: &[&TrialRecord],
    profiles: &[&str],
    sweep: &Sweep,
    [from, to]: [(i32, i32); 2],
) {
    let spreads: Vec<(usize, usize, Spread)> = profiles
        .iter()
        .enumerate()
        .flat_map(|(n, profile)| {
            sweep.values.iter().enumerate().filter_map(move |(i, value)| {
                let of = trials.iter().filter(|t| t.profile == *profile && t.settings.get(&sweep.key) == Some(value));
                Spread::of(of.filter_map(|t| (panel.value)(t))).map(|s| (n, i, s))
            })
        })
        .collect();
    let max = spreads.iter().map(|(_, _, s)| s.max).fold(0.0, f64::max);
    let x = Axis::places(&sweep.values, &sweep.key);
    let axis = if panel.whole { Axis::whole } else { Axis::linear };
    let y = axis(max, 4, panel.title, panel.label);
    let frame = Frame::draw(canvas, from, to, x, y);
    for n in 0..profiles.len() {
        let own = || spreads.iter().filter(|(m, _, _)| *m == n);
        let line: Vec<_> = own().map(|(_, i, s)| frame.point(*i as f64, s.median)).collect();
        canvas.series(n, &line);
        for (_, i, s) in own() {
            canvas.line(&[frame.point(*i as f64, s.min), frame.point(*i as f64, s.max)], Role::Series(n), 2);
            canvas.mark(n, frame.point(*i as f64, s.median));
        }
    }
}
