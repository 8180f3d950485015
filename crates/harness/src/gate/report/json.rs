//! `gate.json`: the gate's part of the run, and its verdict for machines.

use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::gate::checks::Check;
use crate::gate::record::GateRecord;
use crate::gate::verdict::{GateVerdict, Headline};
use crate::report::scrub;
use crate::stats::Comparison;

/// What is read back: the verdict is computed anew.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Stored {
    /// The record.
    pub record: GateRecord,
}

/// The file's text.
///
/// # Errors
/// When a value is no number.
pub fn text(gate: &GateRecord, verdict: &GateVerdict) -> Result<String, serde_json::Error> {
    let value = json!({
        "schema": 1,
        "verdict": match verdict.headline {
            Headline::Passed => "passed",
            Headline::Failed => "failed",
            Headline::Open => "open",
            Headline::Unsafe => "unsafe",
            Headline::Interrupted => "interrupted",
            Headline::Saved => "saved",
        },
        "exit": verdict.exit,
        "correctness": verdict.correctness.verdict,
        "checks": verdict.checks.iter().map(check).collect::<Vec<_>>(),
        "statements": verdict.statements.iter().map(|s| json!({
            "query": s.query, "base_calls": s.base, "calls": s.here,
        })).collect::<Vec<_>>(),
        "stages": verdict.stages.iter().map(|s| json!({
            "stage": s.label, "change": comparison(&s.comparison),
        })).collect::<Vec<_>>(),
        "record": gate,
    });
    serde_json::to_string_pretty(&value).map(|text| scrub(&text) + "\n")
}

fn check(check: &Check) -> serde_json::Value {
    json!({
        "metric": check.metric,
        "unit": if check.ratio { "ratio to a reference COPY" } else { "as the metric" },
        "base": check.base,
        "here": check.here,
        "floor": check.floor.0,
        "first": check.first.as_ref().map(comparison),
        "second": check.second.as_ref().map(comparison),
        "verdict": check.verdict.name(),
        "reason": check.reason,
    })
}

/// A comparison as shares: 0.31 is 31 % more.
fn comparison(c: &Comparison) -> serde_json::Value {
    let (low, high) = c.interval();
    json!({ "median": c.change(), "low": low, "high": high, "pairs": c.pairs, "coverage": c.coverage })
}
