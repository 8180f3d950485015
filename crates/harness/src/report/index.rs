//! `index.html` at the reports' root: all runs, newest first, and how each scenario's event time moved.

use std::collections::BTreeMap;

use maud::{Markup, html};
use serde::Deserialize;

use crate::gate::{GateVerdict, Headline};
use crate::oracle::Verdict;
use crate::stats::{Metric, Spread};
use crate::trial::record::RunRecord;

use super::groups;
use super::html::{Page, page};
use super::{format, overall, scrub, words};

/// Title of the page, by which it is told from a page of somebody else.
pub(super) const TITLE: &str = "Runs of the harness";

/// A folder of the reports' root.
#[derive(Debug, Clone)]
pub struct Entry {
    /// Name of the folder.
    pub folder: String,
    /// What its run came to, or why it cannot be read.
    pub run: Result<Line, String>,
}

/// What the index keeps of a run.
#[derive(Debug, Clone)]
pub struct Line {
    /// Scenario.
    pub scenario: String,
    /// Wall clock at the start, RFC 3339.
    pub started_at: String,
    /// Overall verdict.
    pub verdict: Verdict,
    /// What a comparison or a gate came to, in words.
    pub compared: Option<&'static str>,
    /// Whether it was interrupted.
    pub interrupted: bool,
    /// Trials.
    pub trials: usize,
    /// (profile and settings, median event time in µs).
    pub groups: Vec<(String, Option<f64>)>,
}

impl Line {
    /// Of a run.
    #[must_use]
    pub fn of(run: &RunRecord) -> Self {
        let groups = groups::of_run(run);
        let overall = overall::of_run(run);
        Self {
            scenario: run.scenario.clone(),
            started_at: run.started_at.clone(),
            verdict: overall.compared.map_or(overall.verdict, super::compared::Conclusion::as_verdict),
            compared: overall.compared.map(super::compared::Conclusion::headline),
            interrupted: run.interrupted,
            trials: run.search.as_ref().map_or(run.trials.len(), |s| s.points.len()),
            groups: groups.iter().map(|g| (g.label.clone(), g.metric(Metric::EventTime).map(|s| s.median))).collect(),
        }
    }
}

impl Line {
    /// The same with the verdict of the gate whose run it is: its invariants may hold and its counts be worse.
    #[must_use]
    pub fn gated(self, gate: &GateVerdict) -> Self {
        let (verdict, words) = match gate.headline {
            Headline::Passed => (Verdict::Held, "gate passed"),
            Headline::Saved => (Verdict::Held, "baseline saved"),
            Headline::Failed => (Verdict::Violated, "gate failed"),
            Headline::Unsafe => (self.verdict, "gate failed: an invariant"),
            Headline::Open => (Verdict::Unknown, "gate: not proven"),
            Headline::NoBase => (Verdict::Unknown, "gate: the base build broke an invariant"),
            // Said beside the verdict.
            Headline::Interrupted => return self,
        };
        Self { verdict, compared: Some(words), ..self }
    }
}

/// Just the schema of a file, to say why the rest cannot be read.
#[derive(Debug, Deserialize)]
pub(super) struct Schema {
    pub schema: Option<u32>,
}

/// The page.
#[must_use]
pub fn index_html(entries: &[Entry]) -> String {
    let mut runs: Vec<(&str, &Line)> =
        entries.iter().filter_map(|e| Some((e.folder.as_str(), e.run.as_ref().ok()?))).collect();
    // Times of one zone in RFC 3339 sort as text; equal ones by folder, so that the page does not depend on the disk's order.
    runs.sort_by(|a, b| (&b.1.started_at, b.0).cmp(&(&a.1.started_at, a.0)));
    let broken: Vec<(&str, &str)> =
        entries.iter().filter_map(|e| Some((e.folder.as_str(), e.run.as_ref().err()?.as_str()))).collect();
    let mut nav = vec![("#runs", "Runs")];
    if !runs.is_empty() {
        nav.push(("#trends", "Trends"));
    }
    if !broken.is_empty() {
        nav.push(("#unreadable", "Unreadable"));
    }
    let body = html! {
        header class="banner" {
            h1 { "Runs" }
            p class="meta" { (format::plural(runs.len(), "run")) @if !broken.is_empty() { ", and " (format::plural(broken.len(), "folder")) " that cannot be read" } }
        }
        section id="runs" aria-labelledby="runs-title" {
            h2 id="runs-title" { "All runs, newest first" }
            @if runs.is_empty() {
                p { "There is none yet. " code { "harness run large-event" } " makes one." }
            } @else {
                (table(&runs))
            }
        }
        @if !runs.is_empty() { (trends(&runs)) }
        @if !broken.is_empty() {
            section id="unreadable" aria-labelledby="unreadable-title" {
                h2 id="unreadable-title" { "Unreadable" }
                ul { @for (folder, why) in broken { li { code { (folder) } ": " (why) } } }
            }
        }
    };
    scrub(&page(&Page { title: TITLE, nav: &nav, body, foot: "Made from each run's result.json." }))
}

fn table(runs: &[(&str, &Line)]) -> Markup {
    html! {
        div class="scroll" tabindex="0" role="region" aria-label="All runs" {
            table {
                caption { "A scenario's name leads to the report." }
                thead {
                    tr {
                        th scope="col" { "Scenario" } th scope="col" { "Verdict" } th scope="col" { "Profile" }
                        th scope="col" class="num" { "Event time" } th scope="col" class="num" { "Trials" } th scope="col" { "Started" }
                    }
                }
                tbody {
                    @for (folder, run) in runs {
                        tr {
                            th scope="row" { a href=(format!("{}/report.html", segment(folder))) { (run.scenario) } }
                            td {
                                @match run.compared {
                                    Some(words) => span class={ "chip " (words::class(run.verdict)) } { (words) },
                                    None => (super::html::chip(run.verdict)),
                                }
                                @if run.interrupted { span class="hint" { "interrupted" } }
                            }
                            td { @for (label, _) in &run.groups { div { (label) } } }
                            td class="num" {
                                @for (_, time) in &run.groups { div { (time.map_or(format::NONE.to_string(), format::duration)) } }
                            }
                            td class="num" { (run.trials) }
                            td { time datetime=(run.started_at) { (format::wall_clock(&run.started_at)) } }
                        }
                    }
                }
            }
        }
    }
}

/// Event times of a scenario and profile, oldest first.
fn trends(runs: &[(&str, &Line)]) -> Markup {
    let mut series: BTreeMap<(&str, &str), Vec<f64>> = BTreeMap::new();
    for (_, run) in runs.iter().rev() {
        for (label, time) in &run.groups {
            if let Some(us) = time {
                series.entry((&run.scenario, label)).or_default().push(*us);
            }
        }
    }
    html! {
        section id="trends" aria-labelledby="trends-title" {
            h2 id="trends-title" { "Trends" }
            p class="note" {
                "Median event time of each run, oldest at the left. The dashed line is the median of the runs before the latest; a run that \
                 lies more than 10 % from the median of those before it is marked ▲ slower or ▼ faster. Runs on different machines or builds are \
                 not comparable: a trend is a hint, never a verdict."
            }
            div class="scroll" tabindex="0" role="region" aria-label="Trend of each scenario" {
                table {
                    caption { "Event time by scenario and profile." }
                    thead {
                        tr {
                            th scope="col" { "Scenario" } th scope="col" { "Profile" } th scope="col" { "Trend" } th scope="col" class="num" { "Runs" }
                            th scope="col" class="num" { "Latest" } th scope="col" class="num" { "Against the median before" } th scope="col" class="num" { "Smallest" } th scope="col" class="num" { "Largest" }
                        }
                    }
                    tbody {
                        @for ((scenario, profile), times) in &series {
                            @let min = times.iter().copied().fold(f64::INFINITY, f64::min);
                            @let max = times.iter().copied().fold(0.0, f64::max);
                            tr {
                                th scope="row" { (scenario) }
                                td { (profile) }
                                td { (sparkline(times)) }
                                td class="num" { (times.len()) }
                                td class="num" { (times.last().map_or(format::NONE.to_string(), |us| format::duration(*us))) }
                                td class="num" {
                                    @match (before(times, times.len() - 1), times.last()) {
                                        (Some(base), Some(latest)) => (change_of(latest / base)),
                                        _ => (format::NONE),
                                    }
                                }
                                td class="num" { (format::duration(min)) }
                                td class="num" { (format::duration(max)) }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// A run that differs by more than this from those before it is marked (the floor of times, DESIGN 8).
const MARKED: f64 = 0.10;

/// Runs that must lie before one for it to be compared with their median.
const ENOUGH: usize = 3;

/// Median of the runs before one, where there are enough.
fn before(times: &[f64], index: usize) -> Option<f64> {
    let earlier = times.get(..index).filter(|earlier| earlier.len() >= ENOUGH)?;
    Spread::of(earlier.iter().copied()).map(|s| s.median)
}

/// `▲ +12 %`, `−3 %`.
fn change_of(ratio: f64) -> String {
    let mark = match ratio {
        r if r > 1.0 + MARKED => "▲ ",
        r if r < 1.0 / (1.0 + MARKED) => "▼ ",
        _ => "",
    };
    format!("{mark}{}", crate::ab::judge::percent(ratio - 1.0))
}

/// A line from 0 upwards, so that small changes look small; a dot at the latest, a dashed line at the median of those before
/// it, and a triangle at each run that differs from the median of those before it.
fn sparkline(times: &[f64]) -> Markup {
    let max = times.iter().copied().fold(f64::MIN_POSITIVE, f64::max);
    let step = 132.0 / times.len().saturating_sub(1).max(1) as f64;
    let height = |us: f64| 30.0 - 24.0 * us / max;
    let points: Vec<(f64, f64)> =
        times.iter().enumerate().map(|(i, us)| (6.0 + step * i as f64, height(*us))).collect();
    let line = points.iter().map(|(x, y)| format!("{x:.1},{y:.1}")).collect::<Vec<_>>().join(" ");
    let (x, y) = points.last().copied().unwrap_or((6.0, 30.0));
    let base = before(times, times.len().saturating_sub(1)).map(height);
    let marks = times.iter().zip(&points).enumerate().filter_map(|(i, (us, (x, y)))| {
        let ratio = us / before(times, i)?;
        // The triangle points where the time went.
        let tip = match ratio {
            r if r > 1.0 + MARKED => -5.0,
            r if r < 1.0 / (1.0 + MARKED) => 5.0,
            _ => return None,
        };
        Some(format!("{x:.1},{:.1} {:.1},{:.1} {:.1},{:.1}", y + tip, x + 4.0, y - tip / 2.0, x - 4.0, y - tip / 2.0))
    });
    html! {
        svg class="spark" viewBox="0 0 144 34" role="img" {
            title { (format!("Event time over {}", format::plural(times.len(), "run"))) }
            @if let Some(base) = base {
                line x1="6" x2="138" y1=(format!("{base:.1}")) y2=(format!("{base:.1}")) stroke="currentColor" stroke-dasharray="3 3" opacity="0.6" {}
            }
            polyline points=(line) fill="none" stroke="currentColor" stroke-width="2" {}
            @for mark in marks { polygon points=(mark) fill="var(--bad)" {} }
            circle cx=(format!("{x:.1}")) cy=(format!("{y:.1}")) r="3.5" fill="currentColor" {}
        }
    }
}

/// A folder's name as a segment of a relative address.
fn segment(folder: &str) -> String {
    let mut out = String::from("./");
    for byte in folder.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~') {
            out.push(byte as char);
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_is_compared_with_the_median_of_those_before_it() {
        assert_eq!(before(&[1.0, 2.0], 1), None, "too few");
        assert_eq!(before(&[1.0, 3.0, 2.0, 9.0], 3), Some(2.0));
        assert_eq!(
            (change_of(1.2).as_str(), change_of(0.8).as_str(), change_of(1.05).as_str()),
            ("▲ +20 %", "▼ −20 %", "+5.0 %")
        );
        let drawn = sparkline(&[1.0, 1.0, 1.0, 1.5, 1.0]).into_string();
        assert_eq!((drawn.matches("<polygon").count(), drawn.matches("<line").count()), (1, 1), "{drawn}");
    }
}
