//! `summary.md`: for a pull request comment. Verdict, what speaks against it, key figures; short.

use std::fmt::Write as _;

use crate::oracle::Verdict;
use crate::stats::Metric;
use crate::trial::record::RunRecord;

use super::groups::{self, Group};
use super::{compared, format, load, notes, overall, scrub, search, selftest, words};

/// Figures of the table, where they were measured.
const KEY_METRICS: [Metric; 12] = [
    Metric::EventTime,
    Metric::LapRate,
    Metric::Statements,
    Metric::RoundTrips,
    Metric::Wal,
    Metric::EnginePeakRss,
    Metric::AgainTime,
    Metric::RecoveryDatabaseReady,
    Metric::RecoveryFirstSuccess,
    Metric::RecoveryCaughtUp,
    Metric::PagesTwice,
    Metric::LapsTwice,
];

/// Reasons listed before the reader is sent to the report.
const REASONS: usize = 8;

/// The text. Recorded text is escaped: it can make neither markup nor a mention.
#[must_use]
pub fn markdown(run: &RunRecord) -> String {
    let overall = overall::of_run(run);
    let groups = groups::of_run(run);
    if let Some(test) = &run.selftest {
        let head =
            format!("## {}: {}\n\n{}\n\n", escape(&run.scenario), overall.headline().to_lowercase(), test.headline());
        return scrub(&(head + &selftest::markdown(test, escape)));
    }
    let mut out = format!("## {}: {}\n\n", escape(&run.scenario), overall.headline().to_lowercase());
    let _ = writeln!(out, "{} · {} in {}\n", overall.tally(), notes::trials(run), format::duration(run.run_us as f64));
    if let Some(found) = &run.search {
        for line in search::lines(found) {
            let _ = writeln!(out, "    {line}");
        }
        out.push('\n');
    }
    for note in notes::of_run(run) {
        let _ = writeln!(out, "> {}\n", escape(&note));
    }
    for reason in overall.reasons.iter().take(REASONS) {
        let _ = writeln!(out, "- {}", escape(reason));
    }
    if overall.reasons.len() > REASONS {
        let _ = writeln!(out, "- … and {} more, in report.html", overall.reasons.len() - REASONS);
    }
    if !overall.reasons.is_empty() {
        out.push('\n');
    }
    if let Some(view) = compared::View::of(run) {
        out.push_str(&compared::markdown::tables(&view));
    } else if !groups.is_empty() {
        verdicts(&mut out, &groups);
        if load::is_load(run) {
            loaded(&mut out, run);
        } else {
            figures(&mut out, &groups);
        }
    }
    if let Some(again) =
        run.trials.iter().find(|t| overall::of_trial(t).verdict != Verdict::Held && !t.reproduce.is_empty())
    {
        let _ = writeln!(out, "Run the first that did not hold again:\n\n    {}\n", again.reproduce.replace('\n', " "));
    }
    let e = &run.environment;
    let _ = writeln!(
        out,
        "<sub>{} · PostgreSQL {} ({}) · {} · {} · {}</sub>",
        escape(&format::wall_clock(&run.started_at)),
        escape(&e.postgres_version),
        escape(&e.backend),
        escape(&e.cpu),
        format::plural(e.cores as usize, "core"),
        escape(&e.git_revision)
    );
    scrub(&out)
}

fn header(out: &mut String, first: &str, groups: &[Group<'_>]) {
    let labels: Vec<_> = groups.iter().map(|g| escape(&g.label)).collect();
    let _ = writeln!(out, "| {first} | {} |\n|---|{}", labels.join(" | "), "---|".repeat(groups.len()));
}

/// Percentiles of a load, and its capacity.
fn loaded(out: &mut String, run: &RunRecord) {
    let heads = load::heads();
    let _ = writeln!(out, "\n| time | {} |\n|---|{}", heads.join(" | "), "--:|".repeat(heads.len()));
    for (label, cells) in load::percentiles(run) {
        let _ = writeln!(out, "| {label} | {} |", cells.join(" | "));
    }
    let _ = writeln!(out, "\n{}\n", load::brackets(run));
    if let Some(found) = &run.capacity {
        let _ = writeln!(out, "**{}**\n", escape(&load::capacity(found)));
    }
}

fn verdicts(out: &mut String, groups: &[Group<'_>]) {
    header(out, "oracle", groups);
    for oracle in words::oracles(groups.iter().flat_map(|g| g.trials.iter().copied())) {
        let cells: Vec<String> = groups
            .iter()
            .map(|g| {
                let of = |v| {
                    g.trials.iter().flat_map(|t| &t.judgements).filter(|j| j.oracle == oracle && j.verdict == v).count()
                };
                let parts: Vec<String> = [Verdict::Violated, Verdict::Unknown, Verdict::Held]
                    .into_iter()
                    .filter(|v| of(*v) > 0)
                    .map(|v| {
                        let bold = if v == Verdict::Held { "" } else { "**" };
                        let times = if of(v) > 1 { format!(" × {}", of(v)) } else { String::new() };
                        format!("{bold}{}{bold}{times}", v)
                    })
                    .collect();
                parts.join(", ")
            })
            .collect();
        if cells.iter().any(|c| !c.is_empty()) {
            let cells: Vec<_> =
                cells.into_iter().map(|c| if c.is_empty() { "not judged".to_string() } else { c }).collect();
            let _ = writeln!(out, "| {} | {} |", oracle.name(), cells.join(" | "));
        }
    }
    out.push('\n');
}

fn figures(out: &mut String, groups: &[Group<'_>]) {
    let metrics: Vec<Metric> = groups::metrics_of(groups).into_iter().filter(|m| KEY_METRICS.contains(m)).collect();
    if metrics.is_empty() {
        return;
    }
    header(out, "median over trials", groups);
    for metric in metrics {
        let cells: Vec<_> = groups
            .iter()
            .map(|g| g.metric(metric).map_or(format::NONE.to_string(), |s| format::metric(metric, s.median)))
            .collect();
        let _ = writeln!(out, "| {} | {} |", metric.label(), cells.join(" | "));
    }
    out.push('\n');
}

/// Recorded text as plain Markdown text. Passwords go first: an escaped `@` would hide the URL that holds one.
pub(crate) fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in scrub(text).chars() {
        match c {
            '\\' | '`' | '*' | '_' | '[' | ']' | '|' | '#' | '~' => {
                out.push('\\');
                out.push(c);
            }
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '@' => out.push_str("&#64;"),
            c if c.is_control() => out.push(' '),
            c => out.push(c),
        }
    }
    out
}
