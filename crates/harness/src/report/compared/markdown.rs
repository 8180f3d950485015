//! The comparison in a pull request comment.

use std::fmt::Write as _;

use super::View;
use crate::ab::judge::JUDGED;
use crate::report::summary::escape;

/// The tables, ending in an empty line.
#[must_use]
pub fn tables(view: &View<'_>) -> String {
    let mut out = String::new();
    let [a, b] = view.labels();
    let _ = writeln!(out, "{} against {}: {}.\n", escape(&b), escape(&a), escape(&view.made()));
    if !view.results.criteria.is_empty() {
        let _ = writeln!(out, "| criterion | verdict | measured |\n|---|---|---|");
        for c in &view.results.criteria {
            let met = View::met(c);
            let met = if met == "met" { met.to_owned() } else { format!("**{met}**") };
            let _ = writeln!(out, "| {} | {met} | {} |", escape(&c.criterion), escape(&c.measured));
        }
        out.push('\n');
    }
    if !view.results.rows.is_empty() {
        let _ = writeln!(
            out,
            "| metric | {} | {} | change (95 %) | finding |\n|---|---|---|---|---|",
            escape(&a),
            escape(&b)
        );
        for row in view.rows().filter(|r| JUDGED.contains(&r.metric)) {
            let cells = view.cells(row).map(|c| escape(&c));
            let _ = writeln!(out, "| {} |", cells.join(" | "));
        }
        out.push('\n');
    }
    if !view.results.calibration.is_empty() {
        out.push_str("| | sets | regression | at first | inconclusive | true share (95 %) | change seen |\n|---|---|---|---|---|---|---|\n");
        for level in &view.results.calibration {
            let _ = writeln!(out, "| {} |", View::level(level).map(|c| escape(&c)).join(" | "));
        }
        out.push('\n');
    }
    if let Some(seen) = view.sensitivity() {
        let _ = writeln!(out, "{}.\n", escape(&seen));
    }
    out
}
