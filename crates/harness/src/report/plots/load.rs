//! Plots of a load: what the clients saw over time with the faults marked, how long they waited by percentile, and the latency
//! against the rate of a search for the capacity.

use crate::load::capacity::Capacity;
use crate::load::client::{ACCEPTED, IMPORTED, LAPS_FULL};
use crate::load::record::LoadRecord;
use crate::load::sample::cpu_between;
use crate::report::{format, words};
use crate::stats::Histogram;
use crate::trial::record::{RunRecord, TrialRecord};

use super::axes::{Axis, Frame, nines_of};
use super::canvas::{Anchor, Canvas, legend_height};
use super::palette::{Role, SERIES};
use super::{Plot, PlotError, width};

/// Height of a panel of the timeline, px.
const PANEL: i32 = 150;

/// A line: its series, its name, and its points (s, value).
type Line = (usize, String, Vec<(f64, f64)>);

/// A panel of the timeline.
struct Panel {
    title: &'static str,
    lines: Vec<Line>,
    label: fn(f64) -> String,
}

/// Every plot of the loads of a run.
pub fn plots(run: &RunRecord) -> Result<Vec<Plot>, PlotError> {
    let mut all = Vec::new();
    all.extend(run.capacity.as_deref().map(capacity).transpose()?);
    all.extend(latency(run)?);
    Ok(all)
}

/// The timeline of a load; nothing for other trials.
pub fn timeline(trial: &TrialRecord) -> Result<Option<Plot>, PlotError> {
    let Some(load) = &trial.load else { return Ok(None) };
    let panels = panels(load);
    let end = panels.iter().flat_map(|p| &p.lines).flat_map(|l| &l.2).map(|p| p.0).fold(0.0, f64::max);
    if end <= 0.0 {
        return Ok(None);
    }
    let faults = if trial.faults.iter().any(|f| f.fired.is_some()) {
        " Numbered upright lines are faults, in the order of their table; the shaded band after one ends when the world was whole again."
    } else {
        ""
    };
    Plot::draw(
        format!("load-trial-{}", trial.trial),
        format!("{}: the load over time", words::trial(trial)),
        format!("Latencies stand where their requests were due, throughput where they ended.{faults}"),
        |_| (PANEL * panels.len() as i32 + 20) as u32,
        |canvas| {
            for (i, panel) in panels.iter().enumerate() {
                let top = PANEL * i as i32 + 10;
                paint(canvas, panel, (top, top + PANEL), end, trial, load.generated.began_us, i + 1 == panels.len());
            }
        },
    )
    .map(Some)
}

fn panels(load: &LoadRecord) -> Vec<Panel> {
    let seconds = |us: u64| us as f64 / 1e6;
    let rows = &load.generated.rows;
    // The last row may be so short that its rates say nothing.
    let widest = rows.iter().map(|r| r.until_us.saturating_sub(r.from_us)).max().unwrap_or(0);
    let whole = |r: &&crate::load::rows::Row| (r.until_us.saturating_sub(r.from_us)) * 2 > widest;
    let of_rows = |value: &dyn Fn(&crate::load::rows::Row) -> Option<f64>| -> Vec<(f64, f64)> {
        let at = |r: &crate::load::rows::Row| seconds(u64::midpoint(r.from_us, r.until_us));
        rows.iter().filter(whole).filter_map(|r| Some((at(r), value(r)?))).collect()
    };
    let of_samples = |value: &dyn Fn(&crate::load::record::Sample) -> Option<f64>| -> Vec<(f64, f64)> {
        load.samples.iter().filter_map(|s| Some((seconds(s.at_us), value(s)?))).collect()
    };
    let line = |n: usize, name: &str, points: Vec<(f64, f64)>| (n, name.to_owned(), points);
    let mut places: Vec<String> = load.samples.iter().flat_map(|s| s.processes.keys().cloned()).collect();
    places.sort();
    places.dedup();
    let of_place = |n: usize, place: &String, value: &dyn Fn(&String) -> Vec<(f64, f64)>| {
        (n % SERIES, place.clone(), value(place))
    };
    let cpu = |place: &String| -> Vec<(f64, f64)> {
        let pairs = load.samples.windows(2).filter_map(|pair| match pair {
            [before, after] => Some((seconds(after.at_us), *cpu_between(before, after).get(place)?)),
            _ => None,
        });
        pairs.collect()
    };
    let memory = |place: &String| of_samples(&|s| s.processes.get(place).map(|p| p.rss_bytes as f64));
    vec![
        Panel {
            title: "requests due and done per second",
            lines: vec![
                line(
                    0,
                    "due",
                    of_rows(&|r| Some(r.due as f64 * 1e6 / r.until_us.saturating_sub(r.from_us).max(1) as f64)),
                ),
                line(1, "done well", of_rows(&|r| Some(r.throughput()))),
            ],
            label: format::count,
        },
        Panel {
            title: "latency from due to verdict",
            lines: vec![
                line(0, "median", of_rows(&|r| r.latency.quantile(0.5).map(|us| us as f64))),
                line(1, "slowest", of_rows(&|r| r.latency.max().map(|us| us as f64))),
            ],
            label: format::short_duration,
        },
        Panel {
            title: "jobs",
            lines: vec![
                line(0, "waiting", of_samples(&|s| s.queued.map(|n| n as f64))),
                line(1, "running", of_samples(&|s| s.running.map(|n| n as f64))),
            ],
            label: format::count,
        },
        Panel {
            title: "connections to PostgreSQL",
            lines: vec![
                line(0, "open", of_samples(&|s| s.connections.map(|n| n as f64))),
                line(1, "busy", of_samples(&|s| s.pool_in_use.map(|n| n as f64))),
            ],
            label: format::count,
        },
        Panel {
            title: "CPU, share of a core",
            lines: places.iter().enumerate().map(|(n, p)| of_place(n, p, &cpu)).collect(),
            label: format::share,
        },
        Panel {
            title: "memory",
            lines: places.iter().enumerate().map(|(n, p)| of_place(n, p, &memory)).collect(),
            label: format::bytes,
        },
    ]
}

fn paint(
    canvas: &Canvas<'_>,
    panel: &Panel,
    (top, bottom): (i32, i32),
    end: f64,
    trial: &TrialRecord,
    began_us: u64,
    last: bool,
) {
    let max = panel.lines.iter().flat_map(|l| &l.2).map(|p| p.1).fold(0.0, f64::max);
    let x = Axis::linear_to(
        end,
        if canvas.narrow() { 4 } else { 9 },
        if last { "time since the load began" } else { "" },
        |s| format::short_duration(s * 1e6),
    );
    let y = Axis::linear(max, 3, panel.title, panel.label);
    // Labels of all panels have the same room, so that times stand above one another.
    let labels = y.ticks.iter().map(|(_, l)| canvas.text_width(l)).max().unwrap_or(0);
    let frame = Frame::draw(canvas, ((70 - labels).max(0), top), (canvas.width, bottom), x, y);
    // The names in the colours of their lines, after the title.
    let mut at = frame.left.min(80) + canvas.text_width(panel.title) + 16;
    for (n, name, _) in &panel.lines {
        canvas.text(name, (at, top + 10), Anchor::Left, Role::Series(*n));
        at += canvas.text_width(name) + 12;
    }
    let since = |us: u64| us.saturating_sub(began_us) as f64 / 1e6;
    for (n, fired) in trial.faults.iter().enumerate().filter_map(|(n, f)| Some((n + 1, f.fired.as_ref()?))) {
        let (a, b) = (frame.px(since(fired.at_us)), frame.px(since(fired.healed_us.unwrap_or(fired.at_us))));
        if b > a {
            canvas.rect((a, frame.top), (b, frame.bottom), Role::Bad, 0.14);
        }
        canvas.dashed(&[(a, frame.top), (a, frame.bottom)], Role::Bad, 2);
        canvas.text(&n.to_string(), (a, frame.top - 8), Anchor::Middle, Role::Bad);
    }
    for (n, _, points) in &panel.lines {
        let line: Vec<_> = points.iter().map(|(at, value)| frame.point(*at, *value)).collect();
        if line.len() == 1 {
            canvas.mark(*n, line[0]);
        }
        canvas.series(*n, &line);
    }
}

/// A percentile curve of all repetitions together.
fn latency(run: &RunRecord) -> Result<Option<Plot>, PlotError> {
    let curves: Vec<(usize, &str, Histogram)> =
        [(0, "accepted", ACCEPTED), (1, "laps_full", LAPS_FULL), (2, "with pages to read", IMPORTED)]
            .into_iter()
            .map(|(n, name, mark)| (n, name, pooled(run, mark)))
            .filter(|(.., samples)| samples.len() >= 4)
            .collect();
    if curves.is_empty() || run.capacity.is_some() {
        return Ok(None);
    }
    let points = |samples: &Histogram| -> Vec<(f64, f64)> {
        let top = (samples.len() as f64).log10();
        let at = (0..=80).map(|i| top * f64::from(i) / 80.0);
        at.filter_map(|x| Some((x, samples.quantile(1.0 - 10f64.powf(-x))?.max(1) as f64))).collect()
    };
    let lines: Vec<(usize, Vec<(f64, f64)>)> = curves.iter().map(|(n, _, samples)| (*n, points(samples))).collect();
    let all = || lines.iter().flat_map(|l| &l.1);
    let nines = all().map(|p| p.0).fold(0.0, f64::max);
    let (min, max) = (all().map(|p| p.1).fold(f64::INFINITY, f64::min), all().map(|p| p.1).fold(0.0, f64::max));
    let legend: Vec<_> = curves.iter().map(|(n, name, _)| (*n, (*name).to_owned())).collect();
    Plot::draw(
        "load-latency",
        "Time from due to accepted, and to laps_full, by percentile",
        "Each curve ends where its sample does. The scale stretches the slow end.",
        |narrow| 340 + legend_height(&legend, width(narrow), true),
        |canvas| {
            let top = canvas.legend(&legend, true);
            let x = Axis::nines(nines, |q| if q == 0.0 { "fastest".to_string() } else { format::percentile(q) });
            let y = Axis::log(min, max, 8, "time", format::short_duration);
            let frame = Frame::draw(canvas, (0, top), (canvas.width, canvas.height), x, y);
            for ((n, line), (_, _, samples)) in lines.iter().zip(&curves) {
                let drawn: Vec<_> = line.iter().map(|(x, y)| frame.point(*x, *y)).collect();
                canvas.series(*n, &drawn);
                for q in [0.5, 0.9, 0.99, 0.999] {
                    if let Some(us) = samples.quantile(q) {
                        canvas.mark(*n, frame.point(nines_of(q), us.max(1) as f64));
                    }
                }
            }
        },
    )
    .map(Some)
}

/// Samples of a mark over all repetitions.
pub fn pooled(run: &RunRecord, mark: &str) -> Histogram {
    let mut all = Histogram::new();
    let loads = run.trials.iter().filter_map(|t| t.load.as_ref());
    loads.filter_map(|load| load.generated.marks.get(mark)).for_each(|samples| all.merge(samples));
    all
}

/// Latency against rate: every measurement of a search.
fn capacity(found: &Capacity) -> Result<Plot, PlotError> {
    let limit = found.objective.limit().as_micros() as f64;
    let rates = || found.points.iter().map(|p| p.rate);
    let (low, high) = (rates().fold(f64::INFINITY, f64::min), rates().fold(0.0, f64::max));
    let values = || found.points.iter().filter_map(|p| p.quantile_us).map(|us| us.max(1) as f64);
    let (min, max) = (values().fold(limit, f64::min), values().fold(limit, f64::max));
    let name = found.objective.name();
    Plot::draw(
        "load-capacity",
        format!("{name} of the latency against the rate"),
        "Circles met the objective, squares missed it. The dashed level is its bound; a measurement at the top edge had requests that never ended well.",
        |_| 360,
        |canvas| {
            let x = Axis::log(low, high, 8, "requests per second", format::count);
            let y = Axis::log(min, max * 1.5, 8, name, format::short_duration);
            let frame = Frame::draw(canvas, (0, 6), (canvas.width, canvas.height), x, y);
            canvas.dashed(&[(frame.left, frame.py(limit)), (frame.right, frame.py(limit))], Role::Bad, 2);
            for point in &found.points {
                let y = point.quantile_us.map_or(frame.top, |us| frame.py(us.max(1) as f64));
                canvas.mark(usize::from(!point.met), (frame.px(point.rate), y));
            }
            if let Some(rate) = found.found.rate() {
                let x = frame.px(rate);
                canvas.line(&[(x, frame.top), (x, frame.bottom)], Role::Soft, 1);
                canvas.text(&format::rate(rate), (x, frame.top + 8), Anchor::Right, Role::Ink);
            }
        },
    )
}
