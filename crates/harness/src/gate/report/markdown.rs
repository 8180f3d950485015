//! `summary.md` of a gate: for a pull request comment.

use std::fmt::Write as _;

use super::{against, change, finding, floor, headline, interval, reasons, value, work};
use crate::gate::checks::CheckVerdict;
use crate::gate::record::GateRecord;
use crate::gate::verdict::GateVerdict;
use crate::report::summary::escape;
use crate::report::{format, notes, scrub};
use crate::trial::record::RunRecord;

/// The text. Recorded text is escaped: it can make neither markup nor a mention.
#[must_use]
pub fn markdown(run: &RunRecord, gate: &GateRecord, verdict: &GateVerdict) -> String {
    let mut out = format!("## gate: {}\n\n", escape(&headline(verdict)));
    let _ = writeln!(
        out,
        "{}; compared with {}; {} in {}\n",
        escape(&work(gate)),
        escape(&against(gate)),
        format::plural(run.trials.len(), "trial"),
        format::duration(run.run_us as f64)
    );
    for note in notes::of_run(run) {
        let _ = writeln!(out, "> {}\n", escape(&note));
    }
    if !verdict.checks.is_empty() {
        out.push_str("| metric | base | here | change | interval | floor | verdict |\n");
        out.push_str("|---|--:|--:|--:|--:|--:|---|\n");
        for check in &verdict.checks {
            let (changed, within) =
                check.first.as_ref().map_or((String::new(), String::new()), |c| (change(c.median), interval(c)));
            let bold = if check.verdict.fails() { "**" } else { "" };
            let _ = writeln!(
                out,
                "| {} | {} | {} | {changed} | {within} | {} | {bold}{}{bold} |",
                check.label(),
                value(check, check.base),
                value(check, check.here),
                floor(check),
                check.verdict.name()
            );
        }
        out.push('\n');
    }
    let _ = writeln!(out, "Correctness: {}\n", verdict.correctness.tally());
    for reason in verdict.correctness.reasons.iter().take(8) {
        let _ = writeln!(out, "- {}", escape(reason));
    }
    for check in verdict.checks.iter().filter(|c| c.verdict != CheckVerdict::Pass && !c.reason.is_empty()) {
        let _ = writeln!(out, "- {}: {}", check.label(), escape(&finding(check)));
    }
    let why = reasons(verdict);
    if !why.is_empty() {
        out.push_str("\nWhy:\n\n");
        for line in why {
            let _ = writeln!(out, "- {}", escape(&line));
        }
    }
    let e = &run.environment;
    let _ = writeln!(
        out,
        "\n<sub>{} · PostgreSQL {} ({}{}) · {} · {} · {} build of {}</sub>",
        escape(&format::wall_clock(&run.started_at)),
        escape(&e.postgres_version),
        escape(&e.backend),
        if e.data_in_memory { ", data in memory" } else { "" },
        escape(&e.cpu),
        format::plural(e.cores as usize, "core"),
        escape(&e.build_profile),
        escape(&e.git_revision)
    );
    scrub(&out)
}
