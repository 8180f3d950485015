//! What stdout shows of a run: the verdicts, the story of each trial, key figures, where the report is.

use std::fmt::Write as _;
use std::path::Path;

use crate::oracle::Verdict;
use crate::search::record::SearchRecord;
use crate::stats::Metric;
use crate::trial::record::{RunRecord, TrialRecord};

use super::groups::{self, Group};
use super::{compared, format, load, notes, overall, scrub, search, selftest, words};

/// Whether to colour: on a terminal, unless `NO_COLOR` is set to something (no-color.org).
#[must_use]
pub fn colours(is_terminal: bool, no_color: Option<&std::ffi::OsStr>) -> bool {
    is_terminal && no_color.is_none_or(std::ffi::OsStr::is_empty)
}

/// More trials than this are told only where they did not hold.
const MANY_TRIALS: usize = 6;

/// Figures of the table, where they were measured.
const KEY_METRICS: [Metric; 14] = [
    Metric::EventTime,
    Metric::LapRate,
    Metric::Statements,
    Metric::RoundTrips,
    Metric::Wal,
    Metric::EngineCpu,
    Metric::EnginePeakRss,
    Metric::AgainTime,
    Metric::RowsRewritten,
    Metric::RecoveryDatabaseReady,
    Metric::RecoveryFirstSuccess,
    Metric::RecoveryCaughtUp,
    Metric::PagesTwice,
    Metric::LapsTwice,
];

/// The text, ending in a line feed. `dir` is where the report was written, if it was.
#[must_use]
pub fn text(run: &RunRecord, dir: Option<&Path>, colours: bool) -> String {
    let overall = overall::of_run(run);
    let groups = groups::of_run(run);
    let paint = Paint(colours);
    let mut out = String::new();
    let _ = writeln!(
        out,
        "{}  {}",
        paint.bold(&clean(&run.scenario)),
        paint.dim(&format!("{} in {}", notes::trials(run), format::duration(run.run_us as f64)))
    );
    let tally = if run.selftest.is_some() { String::new() } else { overall.tally() };
    let headline = paint.verdict(overall.verdict, overall.headline());
    let _ = writeln!(out, "{headline}  {}\n", paint.dim(&tally));
    if let Some(test) = &run.selftest {
        let _ = write!(out, "{}\n\n{}", clean(&test.headline()), clean_lines(&selftest::text(test)));
        for row in test.rows.iter().filter(|row| row.failure.is_some()) {
            if let Some(trial) = run.trials.iter().find(|trial| trial.trial == row.trial) {
                story(&mut out, trial, false, paint);
            }
        }
        if let Some(dir) = dir {
            let _ = writeln!(out, "report: {}", clean(&dir.join("report.html").display().to_string()));
        }
        return scrub(&out);
    }
    for note in notes::of_run(run) {
        let _ = writeln!(out, "note: {}", clean(&note));
    }
    if let Some(search) = &run.search {
        searched(&mut out, search, paint);
        if let Some(dir) = dir {
            let _ = writeln!(out, "report: {}", clean(&dir.join("report.html").display().to_string()));
        }
        return scrub(&out);
    }
    if let Some(view) = compared::View::of(run) {
        out.push_str(&compared::terminal::text(&view, colours));
    } else if !run.trials.is_empty() {
        verdicts(&mut out, &groups, paint);
    }
    for trial in &run.trials {
        story(&mut out, trial, run.trials.len() > MANY_TRIALS || run.comparison.is_some(), paint);
    }
    if load::is_load(run) {
        loaded(&mut out, run, paint);
    } else if run.comparison.is_none() {
        figures(&mut out, &groups, paint);
    }
    if run.trials.is_empty() {
        for reason in &overall.reasons {
            let _ = writeln!(out, "{}\n", clean(reason));
        }
    }
    if let Some(dir) = dir {
        let _ = writeln!(out, "report: {}", clean(&dir.join("report.html").display().to_string()));
    }
    scrub(&out)
}

/// Percentiles of a load, and its capacity.
fn loaded(out: &mut String, run: &RunRecord, paint: Paint) {
    let heads = load::heads();
    let rows = load::percentiles(run);
    let mut lines = vec![std::iter::once("time".to_owned()).chain(heads).collect::<Vec<_>>()];
    lines.extend(rows.into_iter().map(|(label, cells)| std::iter::once(label).chain(cells).collect()));
    let columns = lines.first().map_or(0, Vec::len);
    let widths: Vec<usize> = (0..columns)
        .map(|n| lines.iter().filter_map(|l| l.get(n)).map(|cell| cell.chars().count()).max().unwrap_or(0))
        .collect();
    for (n, line) in lines.iter().enumerate() {
        let cells: Vec<String> = line.iter().zip(&widths).map(|(cell, w)| format!("{cell:<w$}")).collect();
        let text = cells.join("  ");
        let _ = writeln!(out, "{}", if n == 0 { paint.dim(text.trim_end()) } else { text.trim_end().to_owned() });
    }
    let _ = writeln!(out, "{}", paint.dim(load::brackets(run)));
    if let Some(found) = &run.capacity {
        let _ = writeln!(out, "{}", paint.bold(&clean(&load::capacity(found))));
    }
    out.push('\n');
}

/// What a search tried, and what did not hold, with the command that runs it again.
fn searched(out: &mut String, found: &SearchRecord, paint: Paint) {
    for line in search::lines(found) {
        let _ = writeln!(out, "{}", clean(&line));
    }
    for remark in &found.remarks {
        let _ = writeln!(out, "note: {}", clean(remark));
    }
    out.push('\n');
    let failures = search::failures(found);
    for point in failures.iter().take(search::LISTED) {
        let title = clean(&search::title(point));
        let _ = writeln!(out, "{}: {}", paint.bold(&title), paint.verdict(point.verdict, &point.verdict.to_string()));
        for reason in &point.reasons {
            let _ = writeln!(out, "  {} {}", paint.verdict(point.verdict, "!"), clean(reason));
        }
        if let Some(shrunk) = &point.shrunk {
            let _ = writeln!(out, "  {}", clean(shrunk));
        }
        if let Some(command) = &point.reproduce {
            let _ = writeln!(out, "  reproduce: {}", clean(command));
        }
        out.push('\n');
    }
    if failures.len() > search::LISTED {
        let _ = writeln!(out, "… and {} more that did not hold, in the report\n", failures.len() - search::LISTED);
    }
}

/// Lines of verdicts, a column per group: `held`, or counts where trials differ.
fn verdicts(out: &mut String, groups: &[Group<'_>], paint: Paint) {
    let mut rows = vec![Row::head("oracle", groups)];
    for oracle in words::oracles(groups.iter().flat_map(|g| g.trials.iter().copied())) {
        let cells: Vec<Cell> = groups
            .iter()
            .map(|g| {
                let all: Vec<Verdict> = g
                    .trials
                    .iter()
                    .filter_map(|t| t.judgements.iter().find(|j| j.oracle == oracle))
                    .map(|j| j.verdict)
                    .collect();
                tally(&all)
            })
            .collect();
        rows.push(Row { name: oracle.name().to_string(), cells });
    }
    table(out, &rows, false, paint);
}

fn tally(all: &[Verdict]) -> Cell {
    let order = [Verdict::Violated, Verdict::Unknown, Verdict::Held, Verdict::NotJudged];
    let of = |v: Verdict| all.iter().filter(|w| **w == v).count();
    let present: Vec<Verdict> = order.into_iter().filter(|v| of(*v) > 0).collect();
    match present.as_slice() {
        [] => Cell { text: "not judged".to_string(), verdict: Some(Verdict::NotJudged) },
        [one] => Cell { text: one.to_string(), verdict: Some(*one) },
        [worst, ..] => {
            let text = present.iter().map(|v| format!("{} {}", of(*v), v)).collect::<Vec<_>>().join(", ");
            Cell { text, verdict: Some(*worst) }
        }
    }
}

fn story(out: &mut String, trial: &TrialRecord, many: bool, paint: Paint) {
    let outcome = overall::of_trial(trial);
    if many && outcome.verdict == Verdict::Held {
        return;
    }
    let title = clean(&words::trial(trial));
    let _ = writeln!(out, "{}: {}", paint.bold(&title), paint.verdict(outcome.verdict, &outcome.verdict.to_string()));
    for sentence in &trial.story {
        let _ = writeln!(out, "  {}", clean(sentence));
    }
    for reason in &outcome.reasons {
        let _ = writeln!(out, "  {} {}", paint.verdict(outcome.verdict, "!"), clean(reason));
    }
    if outcome.verdict != Verdict::Held {
        for (label, value) in [
            ("reproduce", Some(&trial.reproduce)),
            ("database", trial.psql.as_ref()),
            ("kept", trial.artifacts.as_ref()),
        ] {
            if let Some(value) = value.filter(|v| !v.is_empty()) {
                let _ = writeln!(out, "  {label}: {}", clean(value));
            }
        }
    }
    out.push('\n');
}

fn figures(out: &mut String, groups: &[Group<'_>], paint: Paint) {
    let metrics: Vec<Metric> = groups::metrics_of(groups).into_iter().filter(|m| KEY_METRICS.contains(m)).collect();
    if metrics.is_empty() {
        return;
    }
    let mut rows = vec![Row::head("median", groups)];
    for metric in metrics {
        let cell = |g: &Group<'_>| Cell {
            text: g.metric(metric).map_or(format::NONE.to_string(), |s| format::metric(metric, s.median)),
            verdict: None,
        };
        rows.push(Row { name: metric.label().to_string(), cells: groups.iter().map(cell).collect() });
    }
    table(out, &rows, true, paint);
}

struct Cell {
    text: String,
    verdict: Option<Verdict>,
}

struct Row {
    name: String,
    cells: Vec<Cell>,
}

impl Row {
    fn head(name: &str, groups: &[Group<'_>]) -> Self {
        let cells = groups.iter().map(|g| Cell { text: clean(&g.label), verdict: None }).collect();
        Self { name: name.to_string(), cells }
    }
}

/// Aligned columns, the first row dimmed. Widths are counted before colours are added.
fn table(out: &mut String, rows: &[Row], right: bool, paint: Paint) {
    let width = |column: usize| {
        rows.iter()
            .map(|r| if column == 0 { r.name.chars().count() } else { r.cells[column - 1].text.chars().count() })
            .max()
            .unwrap_or(0)
    };
    let columns = rows.first().map_or(0, |r| r.cells.len());
    let widths: Vec<usize> = (0..=columns).map(width).collect();
    for (i, row) in rows.iter().enumerate() {
        let name = format!("{:<w$}", row.name, w = widths[0]);
        let mut line = if i == 0 { paint.dim(&name) } else { name };
        for (cell, w) in row.cells.iter().zip(&widths[1..]) {
            let text = if right { format!("{:>w$}", cell.text) } else { format!("{:<w$}", cell.text) };
            let text = match cell.verdict {
                Some(v) => paint.verdict(v, &text),
                None if i == 0 => paint.dim(&text),
                None => text,
            };
            let _ = write!(line, "  {text}");
        }
        let _ = writeln!(out, "{}", line.trim_end());
    }
    out.push('\n');
}

/// Text without control characters: what an engine wrote must not steer the terminal.
pub(crate) fn clean(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// Text without control characters but line feeds.
fn clean_lines(text: &str) -> String {
    text.lines().map(|line| clean(line) + "\n").collect()
}

/// ANSI colours, or none.
#[derive(Clone, Copy)]
pub(crate) struct Paint(pub(crate) bool);

impl Paint {
    pub(crate) fn with(self, code: &str, text: &str) -> String {
        if self.0 { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_string() }
    }

    pub(crate) fn bold(self, text: &str) -> String {
        self.with("1", text)
    }

    pub(crate) fn dim(self, text: &str) -> String {
        self.with("2", text)
    }

    pub(crate) fn verdict(self, v: Verdict, text: &str) -> String {
        let code = match v {
            Verdict::Held => "32",
            Verdict::Violated => "1;31",
            Verdict::Unknown => "33",
            Verdict::NotJudged => "2",
        };
        self.with(code, text)
    }
}
