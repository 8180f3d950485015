//! What stdout shows of a gate: verdict, a line per metric, correctness, and why.

use std::fmt::Write as _;
use std::path::Path;

use super::{against, change, finding, floor, headline, interval, reasons, value, work};
use crate::gate::checks::CheckVerdict;
use crate::gate::record::GateRecord;
use crate::gate::verdict::{GateVerdict, Headline};
use crate::oracle::Verdict;
use crate::report::terminal::{Paint, clean};
use crate::report::{format, notes, scrub};
use crate::trial::record::RunRecord;

/// The text, ending in a line feed. `dir` is where the report was written.
#[must_use]
pub fn text(run: &RunRecord, gate: &GateRecord, verdict: &GateVerdict, dir: Option<&Path>, colours: bool) -> String {
    let paint = Paint(colours);
    let mut out = String::new();
    let trials = format::plural(run.trials.len(), "trial");
    let took = format::duration(run.run_us as f64);
    let _ = writeln!(out, "{}  {}", paint.bold("gate"), paint.dim(&format!("{} · {trials} in {took}", work(gate))));
    let colour = match verdict.headline {
        Headline::Passed | Headline::Saved => Verdict::Held,
        Headline::Failed | Headline::Unsafe => Verdict::Violated,
        Headline::Open | Headline::Interrupted => Verdict::Unknown,
    };
    let _ = writeln!(out, "{}", paint.verdict(colour, &headline(verdict)));
    let _ = writeln!(out, "compared with {}\n", clean(&against(gate)));
    for note in notes::of_run(run) {
        let _ = writeln!(out, "note: {}", clean(&note));
    }
    table(&mut out, verdict, paint);
    correctness(&mut out, run, verdict, paint);
    for check in &verdict.checks {
        // What the whole of the line says already is not said again.
        if !matches!(check.verdict, CheckVerdict::Pass | CheckVerdict::NotJudged) {
            let _ = writeln!(out, "{}: {}", check.label(), clean(&finding(check)));
        }
    }
    for check in verdict.checks.iter().filter(|c| c.verdict == CheckVerdict::NotJudged && !c.reason.is_empty()) {
        let _ = writeln!(out, "{} not judged: {}", check.label(), clean(&check.reason));
    }
    let why = reasons(verdict);
    if !why.is_empty() {
        let _ = writeln!(out, "why:");
        for line in why {
            let _ = writeln!(out, "  {}", clean(&line));
        }
    }
    if let Some(saved) = &gate.saved {
        let _ = writeln!(out, "baseline: {}", clean(saved));
    }
    if let Some(dir) = dir {
        let _ = writeln!(out, "report: {}", clean(&dir.join("report.html").display().to_string()));
    }
    scrub(&out)
}

fn table(out: &mut String, verdict: &GateVerdict, paint: Paint) {
    if verdict.checks.is_empty() {
        return;
    }
    let mut rows = vec![["metric", "base", "here", "change", "interval", "floor", "verdict"].map(str::to_owned)];
    for check in &verdict.checks {
        let (changed, within) =
            check.first.as_ref().map_or((String::new(), String::new()), |c| (change(c.median), interval(c)));
        rows.push([
            check.label(),
            value(check, check.base),
            value(check, check.here),
            changed,
            within,
            floor(check),
            check.verdict.name().to_owned(),
        ]);
    }
    let widths: Vec<usize> =
        (0..7).map(|column| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0)).collect();
    for (i, row) in rows.iter().enumerate() {
        let mut line = String::new();
        for (column, cell) in row.iter().enumerate() {
            let w = widths[column];
            let text = match column {
                0 => format!("{cell:<w$}"),
                6 => cell.clone(),
                _ => format!("{cell:>w$}"),
            };
            let text = match i.checked_sub(1).and_then(|i| verdict.checks.get(i)) {
                Some(check) if column == 6 => paint.verdict(colour(check.verdict), &text),
                Some(_) => text,
                None => paint.dim(&text),
            };
            let _ = write!(line, "{}{text}", if column == 0 { "" } else { "  " });
        }
        let _ = writeln!(out, "{}", line.trim_end());
    }
    out.push('\n');
}

fn colour(verdict: CheckVerdict) -> Verdict {
    match verdict {
        CheckVerdict::Pass | CheckVerdict::Improvement => Verdict::Held,
        CheckVerdict::NotJudged => Verdict::NotJudged,
        CheckVerdict::Inconclusive => Verdict::Unknown,
        CheckVerdict::Missing | CheckVerdict::Regression => Verdict::Violated,
    }
}

fn correctness(out: &mut String, run: &RunRecord, verdict: &GateVerdict, paint: Paint) {
    let overall = &verdict.correctness;
    let head = match overall.verdict {
        Verdict::Held => "every invariant held",
        Verdict::Violated => "an invariant was violated",
        Verdict::Unknown | Verdict::NotJudged => "it could not be told",
    };
    let _ = writeln!(out, "correctness: {}; {}", paint.verdict(overall.verdict, head), overall.tally());
    for trial in run.trials.iter().filter(|t| !t.faults.is_empty()) {
        let outcome = crate::report::overall::of_trial(trial);
        let faults: Vec<&str> = trial.faults.iter().map(|f| f.fault.as_str()).collect();
        let word = paint.verdict(outcome.verdict, &outcome.verdict.to_string());
        let _ = writeln!(out, "  with {}: {word}", clean(&faults.join(", ")));
    }
    for reason in overall.reasons.iter().take(6) {
        let _ = writeln!(out, "  {} {}", paint.verdict(overall.verdict, "!"), clean(reason));
    }
    if let Some(kept) = run.trials.iter().find_map(|t| t.artifacts.as_ref()) {
        let _ = writeln!(out, "  kept: {}", clean(kept));
    }
    out.push('\n');
}
