//! From the judgements of all trials to one verdict and an exit code.

use super::{Judgement, Verdict};
use crate::trial::record::TrialRecord;

/// Exit codes of the harness (DESIGN 10) that judgements lead to.
pub mod exit_code {
    /// Everything that was judged holds.
    pub const PASS: u8 = 0;
    /// An invariant is violated, or it could not be told whether it holds.
    pub const INVARIANT: u8 = 4;
}

/// What all trials together say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Overall {
    /// In every trial something was judged, and all that was judged holds.
    Pass,
    /// In some trial an invariant is violated.
    Violated,
    /// None is violated, and in some trial it could not be told of one; or nothing was judged.
    Unknown,
}

/// The verdict on a run, as far as invariants go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// All trials together.
    pub overall: Overall,
    /// Judgements that held, over all trials.
    pub held: usize,
    /// Judgements that were violated.
    pub violated: usize,
    /// Judgements that are unknown.
    pub unknown: usize,
    /// Numbers of the trials that did not pass.
    pub failing_trials: Vec<u32>,
}

impl Outcome {
    /// Exit code of DESIGN 10.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self.overall {
            Overall::Pass => exit_code::PASS,
            Overall::Violated | Overall::Unknown => exit_code::INVARIANT,
        }
    }
}

/// Whether one trial passed: something held, and nothing that was judged is violated or unknown.
fn of_trial(judgements: &[Judgement]) -> Overall {
    let any = |verdict| judgements.iter().any(|j| j.verdict == verdict);
    if any(Verdict::Violated) {
        Overall::Violated
    } else if any(Verdict::Unknown) || !any(Verdict::Held) {
        Overall::Unknown
    } else {
        Overall::Pass
    }
}

/// Adds up the judgements that the trials carry. Without a trial nothing was shown: *unknown*.
#[must_use]
pub fn outcome(records: &[TrialRecord]) -> Outcome {
    let number = |verdict| records.iter().flat_map(|r| &r.judgements).filter(|j| j.verdict == verdict).count();
    let each: Vec<_> = records.iter().map(|r| (r.trial, of_trial(&r.judgements))).collect();
    let overall = if each.iter().any(|&(_, o)| o == Overall::Violated) {
        Overall::Violated
    } else if each.is_empty() || each.iter().any(|&(_, o)| o == Overall::Unknown) {
        Overall::Unknown
    } else {
        Overall::Pass
    };
    Outcome {
        overall,
        held: number(Verdict::Held),
        violated: number(Verdict::Violated),
        unknown: number(Verdict::Unknown),
        failing_trials: each.into_iter().filter(|&(_, o)| o != Overall::Pass).map(|(trial, _)| trial).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::{OracleName, fixture, judge};
    use super::*;

    fn judged(mut record: TrialRecord, trial: u32) -> TrialRecord {
        record.trial = trial;
        record.judgements = judge(&record, OracleName::ALL);
        record
    }

    #[test]
    fn all_held_passes_and_what_is_not_judged_fails_nothing() {
        let mut record = fixture::healthy();
        record.aftermath.advisory_locks = 1;
        record.judgements = judge(&record, &[OracleName::Content, OracleName::Exit]);
        let outcome = outcome(&[judged(fixture::healthy(), 1), record]);
        assert_eq!((outcome.overall, outcome.exit_code(), outcome.violated), (Overall::Pass, 0, 0));
        assert!(outcome.failing_trials.is_empty());
    }

    #[test]
    fn one_violation_or_one_unknown_in_one_trial_fails_the_run_with_4() {
        let mut unknown = fixture::healthy();
        unknown.liverc = None;
        let (good, unknown) = (judged(fixture::healthy(), 1), judged(unknown, 2));
        let violated = judged(fixture::idle(), 3);
        let of_unknown = outcome(&[good.clone(), unknown.clone()]);
        assert_eq!((of_unknown.overall, of_unknown.exit_code()), (Overall::Unknown, 4));
        assert_eq!(of_unknown.failing_trials, [2]);
        let of_both = outcome(&[good, unknown, violated]);
        assert_eq!((of_both.overall, of_both.exit_code()), (Overall::Violated, 4));
        assert_eq!(of_both.failing_trials, [2, 3]);
    }

    #[test]
    fn a_run_that_judged_nothing_does_not_pass() {
        assert_eq!(outcome(&[]).overall, Overall::Unknown);
        assert_eq!(outcome(&[fixture::healthy()]).overall, Overall::Unknown, "no judgement was made");
        let mut record = fixture::healthy();
        record.judgements = judge(&record, &[]);
        assert_eq!(outcome(&[record]).exit_code(), 4);
    }
}
