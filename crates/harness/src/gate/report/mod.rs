//! The gate's verdict as people and machines read it, one file per format; and the rim that writes the files.

mod annotations;
mod json;
mod junit;
mod markdown;
mod terminal;

use std::path::Path;

pub use annotations::annotations;
pub use json::{Stored, text as json};
pub use junit::xml;
pub use markdown::markdown;
pub use terminal::text;

use super::checks::Check;
use super::record::GateRecord;
use super::verdict::{GateVerdict, Headline, verdict};
use super::why::StatementChange;
use crate::format;
use crate::report::{self, ReportError, scrub};
use crate::stats::Comparison;
use crate::trial::record::RunRecord;

/// The file with the gate's part of a run.
pub const FILE: &str = "gate.json";

/// Statements that are shown; the others are in [`FILE`].
const STATEMENTS: usize = 8;

/// Longest text of a statement that is shown, characters.
const QUERY: usize = 90;

/// Writes the gate's files beside those of the run: `gate.json`, and its own `summary.md` and `junit.xml`.
///
/// # Errors
/// When one cannot be written.
pub fn write(run: &RunRecord, gate: &GateRecord, dir: &Path) -> Result<(), ReportError> {
    let verdict = verdict(run, gate);
    let failed = |file: &str| {
        let file = file.to_owned();
        move |cause: String| ReportError::Format { file, cause }
    };
    let json = json(gate, &verdict).map_err(|e| failed(FILE)(e.to_string()))?;
    let junit = xml(run, gate, &verdict).map_err(|e| failed("junit.xml")(e.to_string()))?;
    report::replace(&dir.join(FILE), json.as_bytes())?;
    report::replace(&dir.join("summary.md"), markdown(run, gate, &verdict).as_bytes())?;
    report::replace(&dir.join("junit.xml"), junit.as_bytes())
}

/// Reads the gate's part of a stored run; `None` where the run is no gate's.
///
/// # Errors
/// When the file is there and cannot be read.
pub fn load(dir: &Path) -> Result<Option<GateRecord>, ReportError> {
    let path = dir.join(FILE);
    let text = match std::fs::read_to_string(&path) {
        Ok(text) => text,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(ReportError::Read { path, source }),
    };
    let stored: Stored =
        serde_json::from_str(&text).map_err(|e| ReportError::Malformed { path, why: e.to_string() })?;
    Ok(Some(stored.record))
}

/// The verdict in a sentence.
fn headline(verdict: &GateVerdict) -> String {
    let failing: Vec<String> = verdict.checks.iter().filter(|c| c.verdict.fails()).map(Check::label).collect();
    match verdict.headline {
        Headline::Passed => "Passed: nothing got worse".to_owned(),
        Headline::Failed => format!("Failed: {}", failing.join(", ")),
        Headline::Open => "Not proven: something could not be judged, and --strict was given".to_owned(),
        Headline::Unsafe => "Failed: the engine did not keep every invariant".to_owned(),
        Headline::Interrupted => "Interrupted: nothing is proven".to_owned(),
        Headline::Saved => "Measured, compared with nothing".to_owned(),
    }
}

/// With what was compared.
fn against(gate: &GateRecord) -> String {
    let mut parts = Vec::new();
    if let (Some(name), Some(baseline)) = (&gate.baseline_name, &gate.baseline) {
        let revision = if baseline.git_revision.is_empty() { "unknown revision" } else { &baseline.git_revision };
        parts.push(format!("baseline {name} ({revision}, {})", format::wall_clock(&baseline.saved_at)));
    }
    if let Some(base) = &gate.base {
        let what = base.revision.as_ref().unwrap_or(&base.engine);
        parts.push(format!("base build {what} in the same run"));
    }
    if parts.is_empty() { "nothing".to_owned() } else { parts.join(", ") }
}

/// What was ingested.
fn work(gate: &GateRecord) -> String {
    let w = &gate.work;
    let whole = format::whole;
    format!("{} races, {} laps, seed {}, {}", whole(w.races), whole(w.laps), w.seed, w.profile)
}

/// A change with its sign: `+31 %`, `−4.2 %`, `from 0`.
fn change(d: f64) -> String {
    if d >= crate::stats::UNBOUNDED {
        return "from 0".to_owned();
    }
    let share = d.exp_m1() * 100.0;
    let sign = if share < 0.0 { "−" } else { "+" };
    let size = share.abs();
    if size < 0.05 {
        "0 %".to_owned()
    } else if size < 9.95 {
        format!("{sign}{size:.1} %")
    } else {
        let rounded = size.round();
        format!("{sign}{} %", format::whole(if rounded < 1e15 { rounded as u64 } else { u64::MAX }))
    }
}

/// An interval: `−2.1 … +3.9 %`.
fn interval(comparison: &Comparison) -> String {
    let (low, high) = (change(comparison.low), change(comparison.high));
    if low == high {
        return low;
    }
    format!("{} … {high}", low.strip_suffix(" %").unwrap_or(&low))
}

/// A value of a check in its unit.
fn value(check: &Check, value: Option<f64>) -> String {
    match value {
        None => format::NONE.to_owned(),
        Some(value) if check.ratio => format::ratio(value),
        Some(value) => format::metric(check.metric, value),
    }
}

/// A floor: `0 %`, `10 %`.
fn floor(check: &Check) -> String {
    format!("{:.0} %", check.floor.0 * 100.0)
}

/// What is said of a check that did not simply pass: `33 → 73, +121 %, floor 0 %; in a second set +121 %`.
fn finding(check: &Check) -> String {
    let mut text = match &check.first {
        Some(first) => format!(
            "{} → {}, {} (interval {}, floor {})",
            value(check, check.base),
            value(check, check.here),
            change(first.median),
            interval(first),
            floor(check)
        ),
        None => format!("{} → {}", value(check, check.base), value(check, check.here)),
    };
    if let Some(second) = &check.second {
        text.push_str(&format!("; in a second set {} (interval {})", change(second.median), interval(second)));
    }
    if !check.reason.is_empty() {
        text.push_str(&format!("; {}", check.reason));
    }
    text
}

/// Whether it is asked why: something failed, is open, or got better.
fn wants_reasons(verdict: &GateVerdict) -> bool {
    use super::checks::CheckVerdict as V;
    verdict.checks.iter().any(|c| matches!(c.verdict, V::Regression | V::Inconclusive | V::Improvement))
}

/// Why, a line each: statements, then stages.
fn reasons(verdict: &GateVerdict) -> Vec<String> {
    if !wants_reasons(verdict) {
        return Vec::new();
    }
    let mut lines: Vec<String> = verdict.statements.iter().take(STATEMENTS).map(statement).collect();
    let more = verdict.statements.len().saturating_sub(STATEMENTS);
    if more > 0 {
        lines.push(format!("and {} more, in {FILE}", format::plural(more, "statement")));
    }
    for stage in &verdict.stages {
        let c = &stage.comparison;
        lines.push(format!("{}: {}, interval {}", stage.label, change(c.median), interval(c)));
    }
    lines
}

fn statement(change: &StatementChange) -> String {
    let more = change.more();
    let sign = if more < 0 { "−" } else { "+" };
    let calls = |n: u64| format::plural(n as usize, "call");
    let of = match (change.base, change.here) {
        (0, here) => format!("new, {}", calls(here)),
        (base, 0) => format!("gone, {} before", calls(base)),
        (base, here) => format!("{} → {}", calls(base), calls(here)),
    };
    format!("{sign}{} `{}`: {of}", format::whole(more.unsigned_abs()), short(&change.query))
}

/// A statement's text, its middle left out where it is long: verb and columns at one end, table and condition at the other.
fn short(query: &str) -> String {
    let all: Vec<char> = scrub(query).chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    if all.len() <= QUERY {
        return all.into_iter().collect();
    }
    let (head, tail) = (QUERY * 2 / 3, QUERY / 3);
    let head: String = all[..head].iter().collect();
    let tail: String = all[all.len() - tail..].iter().collect();
    format!("{} … {}", head.trim_end(), tail.trim_start())
}
