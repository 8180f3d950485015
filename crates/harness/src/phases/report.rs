//! The phases as people read them: text, Markdown, the waterfall, and `phases.json`.

use std::fmt::Write as _;
use std::path::Path;

use maud::{Markup, html};

use super::cures::Cure;
use super::judge::{Evidence, PhasesRecord, Row, rows, saved};
use crate::format;
use crate::oracle::Verdict;
use crate::report::html::Lead;
use crate::report::plots::Plot;
use crate::report::plots::waterfall::{self, Fall};
use crate::report::{self, ReportError, notes, overall, scrub};
use crate::trial::record::RunRecord;

/// The file with the phases' part of a run.
pub const FILE: &str = "phases.json";

/// Writes `phases.json`, the waterfall, and `report.html` and `summary.md` with the table.
///
/// # Errors
/// When one cannot be written.
pub fn write(run: &RunRecord, phases: &PhasesRecord, dir: &Path) -> Result<(), ReportError> {
    let rows = rows(run, phases);
    let json = serde_json::to_string_pretty(phases)
        .map_err(|e| ReportError::Format { file: FILE.to_owned(), cause: e.to_string() })?;
    report::replace(&dir.join(FILE), (json + "\n").as_bytes())?;
    report::replace(&dir.join("summary.md"), markdown(run, &rows).as_bytes())?;
    let plot = waterfall::plot(&falls(&rows))?;
    if let Some(plot) = &plot {
        report::replace(&dir.join("plots").join("waterfall.svg"), scrub(&plot.standalone()).as_bytes())?;
    }
    let overall = overall::of_run(run);
    let lead = Lead {
        headline: format!("What each cure buys. {}", overall.headline()),
        look: overall.verdict,
        reasons: overall.reasons,
        nav: ("#phases", "Phases"),
        section: section(&rows, plot.as_ref()),
    };
    let page = report::html::led(run, &report::plots::all(run)?, Some(&lead));
    report::replace(&dir.join("report.html"), page.as_bytes())
}

/// Reads the phases' part of a stored run; `None` where the run has none.
///
/// # Errors
/// When the file is there and cannot be read.
pub fn load(dir: &Path) -> Result<Option<PhasesRecord>, ReportError> {
    let path = dir.join(FILE);
    match std::fs::read_to_string(&path) {
        Ok(text) => {
            serde_json::from_str(&text).map(Some).map_err(|e| ReportError::Malformed { path, why: e.to_string() })
        }
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(ReportError::Read { path, source }),
    }
}

/// The bars: each of the stack beside `before`.
fn falls(rows: &[Row]) -> Vec<Fall> {
    rows.iter()
        .filter(|r| r.variant.cumulative)
        .filter_map(|r| {
            let c = r.event.as_ref()?;
            let label = r.cure().map_or_else(|| r.variant.label.clone(), |cure| format!("+ {}", cure.name));
            Some(Fall { label, median: c.median.exp(), low: c.low.exp(), high: c.high.exp() })
        })
        .collect()
}

/// What stdout shows.
#[must_use]
pub fn text(run: &RunRecord, phases: &PhasesRecord, dir: Option<&Path>) -> String {
    let rows = rows(run, phases);
    let mut out = String::new();
    let trials = format::plural(run.trials.len(), "trial");
    let _ = writeln!(out, "{}  {trials} in {}", run.scenario, format::duration(run.run_us as f64));
    for note in notes::of_run(run) {
        let _ = writeln!(out, "note: {note}");
    }
    out.push('\n');
    let table: Vec<[String; 7]> = std::iter::once(HEAD.map(str::to_owned)).chain(rows.iter().map(cells)).collect();
    let widths: Vec<usize> =
        (0..HEAD.len()).map(|column| table.iter().map(|row| row[column].chars().count()).max().unwrap_or(0)).collect();
    for row in &table {
        let line: Vec<String> = row
            .iter()
            .zip(&widths)
            .enumerate()
            .map(|(i, (cell, &w))| if i == 0 { format!("{cell:<w$}") } else { format!("{cell:>w$}") })
            .collect();
        let _ = writeln!(out, "{}", line.join("  ").trim_end());
    }
    out.push('\n');
    for row in rows.iter().filter(|r| stands_for_its_cure(r)) {
        if let Some(cure) = row.cure() {
            let _ = writeln!(out, "{}: {}", cure.name, cure.does);
            for (name, said) in verdict(row, cure) {
                let _ = writeln!(out, "  {name}: {said}");
            }
        }
    }
    let overall = overall::of_run(run);
    let _ = writeln!(out, "\ncorrectness: {}", overall.tally());
    for reason in overall.reasons.iter().take(8) {
        let _ = writeln!(out, "  ! {reason}");
    }
    if let Some(dir) = dir {
        let _ = writeln!(out, "plot: {}", dir.join("plots/waterfall.svg").display());
        let _ = writeln!(out, "report: {}", dir.join("report.html").display());
    }
    scrub(&out)
}

const HEAD: [&str; 7] =
    ["variant", "statements", "event time", "saved", "by this step", "write stage saved", "review expected"];

fn cells(row: &Row) -> [String; 7] {
    let expected = match row.cure().and_then(|c| c.expected).filter(|_| row.alone()) {
        Some((from, to)) => format!("{from} … {to} %"),
        None => String::new(),
    };
    [
        row.variant.label.clone(),
        row.statements.map_or_else(|| format::NONE.to_owned(), format::count),
        row.event_us.map_or_else(|| format::NONE.to_owned(), format::duration),
        share(saved(row.event.as_ref())),
        share(saved(row.step.as_ref())),
        share(saved(row.write.as_ref())),
        expected,
    ]
}

/// `41 % (38 … 44)`.
fn share(saved: Option<(f64, f64, f64)>) -> String {
    let percent = |share: f64| {
        let rounded = (share * 100.0).round();
        if rounded < 0.0 { format!("−{}", -rounded) } else { format!("{}", rounded.abs()) }
    };
    saved.map_or_else(String::new, |(median, low, high)| {
        format!("{} % ({} … {})", percent(median), percent(low), percent(high))
    })
}

/// The variant by which a cure is judged: alone where the review spoke of it, else on top of what is below.
fn stands_for_its_cure(row: &Row) -> bool {
    row.alone() || row.cure().is_some_and(|c| c.expected.is_none())
}

/// Gain, risk, evidence, and how to switch it off.
fn verdict(row: &Row, cure: &Cure) -> [(&'static str, String); 4] {
    let comparison = if row.alone() { row.event.as_ref() } else { row.step.as_ref() };
    let gain = match (saved(comparison), row.against()) {
        (None, _) => "too few rounds to tell".to_owned(),
        (Some(saved), Some(against)) => {
            let (from, to) = cure.expected.unwrap_or_default();
            format!("{} of the event's time; {}, {from} … {to} %", share(Some(saved)), against.words())
        }
        (Some(saved), None) => format!("{} of the time of the step below it", share(Some(saved))),
    };
    let off: Vec<String> = cure.off.iter().map(|(name, value)| format!("{name} = {value}")).collect();
    [("gain", gain), ("risk", cure.risk.to_owned()), ("evidence", evidence(&row.evidence)), ("off", off.join(", "))]
}

fn evidence(all: &[Evidence]) -> String {
    if all.is_empty() {
        return "none in this run".to_owned();
    }
    let held: Vec<&str> = all.iter().filter(|e| e.verdict == Verdict::Held).map(|e| e.fault.as_str()).collect();
    let mut text =
        if held.is_empty() { String::new() } else { format!("every invariant held with {}", held.join("; ")) };
    for e in all.iter().filter(|e| e.verdict != Verdict::Held) {
        if !text.is_empty() {
            text.push_str("; ");
        }
        text.push_str(&format!("{} with {}", e.verdict, e.fault));
    }
    text
}

/// The phases' part of `report.html`.
fn section(rows: &[Row], plot: Option<&Plot>) -> Markup {
    html! {
        section id="phases" aria-labelledby="phases-title" {
            h2 id="phases-title" { "What each cure buys" }
            @if let Some(plot) = plot { (plot.figure()) }
            div class="scroll" tabindex="0" role="region" aria-label="Every variant" {
                table {
                    caption { "Shares are of before's time in the same round: medians over rounds, exact 95 % intervals." }
                    thead { tr { @for head in HEAD { th scope="col" { (head) } } } }
                    tbody {
                        @for row in rows {
                            @let cells = cells(row);
                            tr { th scope="row" { (cells[0]) } @for cell in &cells[1..] { td { (cell) } } }
                        }
                    }
                }
            }
            @for row in rows.iter().filter(|r| stands_for_its_cure(r)) {
                @if let Some(cure) = row.cure() {
                    h3 { (cure.name) }
                    p { (cure.does) "." }
                    ul { @for (name, said) in verdict(row, cure) { li { strong { (name) } ": " (said) } } }
                }
            }
        }
    }
}

/// `summary.md`.
fn markdown(run: &RunRecord, rows: &[Row]) -> String {
    use crate::report::summary::escape;
    let mut out = format!("## {}: what each cure buys\n\n", escape(&run.scenario));
    for note in notes::of_run(run) {
        let _ = writeln!(out, "> {}\n", escape(&note));
    }
    let _ = writeln!(out, "| {} |\n|---|{}", HEAD.join(" | "), "--:|".repeat(HEAD.len() - 1));
    for row in rows {
        let _ = writeln!(out, "| {} |", cells(row).map(|c| escape(&c)).join(" | "));
    }
    out.push_str(
        "\nShares are of `before`'s time in the same round, medians over rounds with exact 95 % intervals.\n\n",
    );
    out.push_str("| cure | gain | risk | evidence | off |\n|---|---|---|---|---|\n");
    for row in rows.iter().filter(|r| stands_for_its_cure(r)) {
        if let Some(cure) = row.cure() {
            let said = verdict(row, cure).map(|(_, said)| escape(&said));
            let _ = writeln!(out, "| {} | {} |", cure.name, said.join(" | "));
        }
    }
    let _ = writeln!(out, "\nCorrectness: {}", overall::of_run(run).tally());
    scrub(&out)
}
