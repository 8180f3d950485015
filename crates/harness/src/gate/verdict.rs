//! The gate's verdict, and what a new baseline is made of.

use std::collections::BTreeMap;

use super::baseline::{BASELINE_SCHEMA, Baseline, Conditions, Range, Ratio, TimeRatios};
use super::checks::{COUNTED, Check, CheckVerdict, checks, ratios, side};
use super::record::GateRecord;
use super::why::{self, StageChange, StatementChange};
use crate::oracle::Verdict;
use crate::report::overall::{self, INTERRUPTED, Overall};
use crate::stats::{Metric, Side};
use crate::trial::record::RunRecord;

/// What the gate says.
#[derive(Debug, Clone, PartialEq)]
pub struct GateVerdict {
    /// In a word.
    pub headline: Headline,
    /// Every metric.
    pub checks: Vec<Check>,
    /// Whether the engine kept every invariant, with faults and without.
    pub correctness: Overall,
    /// Statements that are called more or less often.
    pub statements: Vec<StatementChange>,
    /// Stages and what is known of their change.
    pub stages: Vec<StageChange>,
    /// Exit code (DESIGN 10).
    pub exit: u8,
}

/// The verdict in a word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Headline {
    /// Nothing got worse.
    Passed,
    /// Something got worse, or is missing.
    Failed,
    /// Something stays open, and that was to fail.
    Open,
    /// An invariant was violated, or could not be told.
    Unsafe,
    /// The same, but of the base build: there is nothing to compare with.
    NoBase,
    /// Stopped by the user.
    Interrupted,
    /// A new baseline.
    Saved,
}

/// Judges a recorded run. Pure: the same record gives the same verdict.
#[must_use]
pub fn verdict(run: &RunRecord, gate: &GateRecord) -> GateVerdict {
    let correctness = overall::of_run(run);
    let compared = gate.baseline.is_some() || gate.base.is_some();
    let mut checks = if compared { checks(run, gate) } else { Vec::new() };
    if correctness.verdict != Verdict::Held {
        // An engine that breaks an invariant is measured no further.
        for check in checks.iter_mut().filter(|c| c.verdict == CheckVerdict::Missing) {
            check.verdict = CheckVerdict::NotJudged;
            check.reason = "an invariant was broken, and nothing more was measured".to_owned();
        }
    }
    let any = |f: fn(&Check) -> bool| checks.iter().any(f);
    // What the baseline's conditions forbid to compare stays open, too.
    let open = any(|c| matches!(c.verdict, CheckVerdict::Inconclusive | CheckVerdict::NotJudged));
    let (headline, exit) = if run.interrupted {
        (Headline::Interrupted, INTERRUPTED)
    } else if correctness.verdict != Verdict::Held {
        (if only_the_base(run, gate) { Headline::NoBase } else { Headline::Unsafe }, 4)
    } else if any(|c| c.verdict.fails()) {
        (Headline::Failed, 1)
    } else if gate.strict && open {
        (Headline::Open, 3)
    } else if compared {
        (Headline::Passed, 0)
    } else {
        (Headline::Saved, 0)
    };
    GateVerdict {
        headline,
        correctness,
        statements: why::statements(run, gate),
        stages: why::stages(run, gate),
        checks,
        exit,
    }
}

/// Whether every trial that did not hold is the base build's.
fn only_the_base(run: &RunRecord, gate: &GateRecord) -> bool {
    let mut broken = run.trials.iter().filter(|t| overall::of_trial(t).verdict != Verdict::Held).peekable();
    broken.peek().is_some() && broken.all(|t| gate.places.iter().any(|p| p.trial == t.trial && p.place.side == Side::A))
}

/// A baseline of what was measured here.
///
/// # Errors
/// Why these trials make none.
pub fn baseline(run: &RunRecord, gate: &GateRecord) -> Result<Baseline, String> {
    if run.interrupted {
        return Err("the run was interrupted".to_owned());
    }
    let correctness = overall::of_run(run);
    if correctness.verdict != Verdict::Held {
        let reason = correctness.reasons.first().map_or("", String::as_str);
        return Err(format!("the engine did not keep every invariant: {reason}"));
    }
    let of = |metric: Metric| {
        let values: Vec<f64> =
            side(run, gate, 1, Side::B).filter_map(|(_, t)| t.metrics.get(&metric).copied()).collect();
        Range::of(&values)
    };
    let counts: BTreeMap<Metric, Range> = COUNTED.into_iter().filter_map(|m| Some((m, of(m)?))).collect();
    if !counts.contains_key(&Metric::Statements) {
        return Err("statements could not be counted: PostgreSQL lacks pg_stat_statements".to_owned());
    }
    let of_stage = |stage| Ratio::of(&ratios(run, gate, 1, |t| why::stage_total(t, stage)));
    let write_stage = Ratio::of(&ratios(run, gate, 1, |t| t.metrics.get(&Metric::WriteStage).copied()));
    let references: Vec<f64> = gate.references.iter().map(|r| r.us).collect();
    let time = write_stage.zip(Range::of(&references)).map(|(write_stage, reference)| TimeRatios {
        reference_us: reference.median,
        write_stage,
        stages: why::stages_kept().filter_map(|stage| Some((stage, of_stage(stage)?))).collect(),
    });
    Ok(Baseline {
        schema: BASELINE_SCHEMA,
        saved_at: run.started_at.clone(),
        git_revision: run.environment.git_revision.clone(),
        work: gate.work.clone(),
        conditions: Conditions::of(&run.environment),
        counts,
        time,
        statements: why::typical_statements(side(run, gate, 1, Side::B).map(|(_, t)| t)),
    })
}
