//! The comparison on a terminal.

use std::fmt::Write as _;

use super::View;

/// The tables, ending in an empty line.
#[must_use]
pub fn text(view: &View<'_>, colours: bool) -> String {
    let mut out = String::new();
    let [a, b] = view.labels();
    let _ = writeln!(out, "A: {a}\nB: {b}\n{}\n", view.made());
    if !view.results.criteria.is_empty() {
        let mut rows = vec![["criterion", "verdict", "measured"].map(str::to_owned)];
        rows.extend(
            view.results.criteria.iter().map(|c| [c.criterion.clone(), View::met(c).to_owned(), c.measured.clone()]),
        );
        table(&mut out, &rows, &[], colours);
    }
    if !view.results.rows.is_empty() {
        let mut rows = vec![["metric", "A", "B", "B against A (95 %)", "finding"].map(str::to_owned)];
        rows.extend(view.rows().map(|r| view.cells(r)));
        table(&mut out, &rows, &[1, 2], colours);
    }
    if !view.results.calibration.is_empty() {
        let head = ["", "sets", "regression", "at first", "inconclusive", "true share (95 %)", "change seen"];
        let mut rows = vec![head.map(str::to_owned)];
        rows.extend(view.results.calibration.iter().map(View::level));
        table(&mut out, &rows, &[1, 2, 3, 4, 5, 6], colours);
    }
    if let Some(seen) = view.sensitivity() {
        let _ = writeln!(out, "{seen}\n");
    }
    if !view.results.conditions.is_empty() {
        let mut rows = vec![["condition", "A", "B", "event time (95 %)"].map(str::to_owned)];
        rows.extend(view.results.conditions.iter().map(|c| match &c.time {
            Some(row) => {
                let [_, a, b, change, _] = view.cells(row);
                [c.name.clone(), a, b, change]
            }
            None => [c.name.clone(), "–".to_owned(), "–".to_owned(), "not measured".to_owned()],
        }));
        table(&mut out, &rows, &[1, 2], colours);
    }
    if let Some(model) = view.model() {
        let mut rows = vec![["predicted event time", "A", "B"].map(str::to_owned)];
        rows.extend(view.predictions());
        table(&mut out, &rows, &[1, 2], colours);
        let _ = writeln!(out, "{model}\n");
    }
    out
}

/// Aligned columns; those of `right` to the right. The first row is dimmed, verdicts are coloured.
fn table<const N: usize>(out: &mut String, rows: &[[String; N]], right: &[usize], colours: bool) {
    let clean = |text: &str| text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect::<String>();
    let widths: Vec<usize> = (0..N).map(|i| rows.iter().map(|r| r[i].chars().count()).max().unwrap_or(0)).collect();
    for (n, row) in rows.iter().enumerate() {
        let mut line = String::new();
        for (i, (cell, &w)) in row.iter().zip(&widths).enumerate() {
            let cell = clean(cell);
            let text = if right.contains(&i) { format!("{cell:>w$}") } else { format!("{cell:<w$}") };
            let text = match colour(&cell) {
                _ if !colours => text,
                _ if n == 0 => format!("\x1b[2m{text}\x1b[0m"),
                Some(code) => format!("\x1b[{code}m{text}\x1b[0m"),
                None => text,
            };
            let _ = write!(line, "{}{text}", if i == 0 { "" } else { "  " });
        }
        let _ = writeln!(out, "{}", line.trim_end());
    }
    out.push('\n');
}

fn colour(word: &str) -> Option<&'static str> {
    match word {
        "met" | "pass" | "improvement" => Some("32"),
        "missed" | "regression" => Some("1;31"),
        "inconclusive" => Some("33"),
        "not judged" | "shown only" | "see its criterion" => Some("2"),
        _ => None,
    }
}
