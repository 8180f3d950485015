//! Which pairs are measured next: a set; as many again when something stays open; a second set when something got worse, and
//! that extended when it cannot tell.

use super::checks::{Check, CheckVerdict, checks};
use super::record::{GateRecord, TimeBy};
use crate::oracle::Verdict;
use crate::report::overall;
use crate::stats::{Extension, Side};
use crate::trial::record::RunRecord;

/// Pairs to measure, all of one set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pairs {
    /// The set, from 1.
    pub set: u32,
    /// First pair; 0 is the dropped one.
    pub from: u32,
    /// Last pair.
    pub to: u32,
}

/// What is still to be measured; `None`: nothing. An engine that violated an invariant is measured no further.
#[must_use]
pub fn next(run: &RunRecord, gate: &GateRecord) -> Option<Pairs> {
    if !run.trials.is_empty() && overall::of_run(run).verdict != Verdict::Held {
        return None;
    }
    let last =
        |set: u32| gate.places.iter().filter(|p| p.set == set && p.place.side == Side::B).map(|p| p.place.pair).max();
    let Some(done) = last(1) else { return Some(Pairs { set: 1, from: 0, to: gate.pairs }) };
    if done < gate.pairs {
        return Some(Pairs { set: 1, from: done + 1, to: gate.pairs });
    }
    // Saving a baseline compares with nothing.
    if gate.baseline.is_none() && gate.base.is_none() {
        return None;
    }
    let checks = checks(run, gate);
    let open = checks.iter().any(|c| c.verdict == CheckVerdict::Inconclusive) && gate.time_is_judged();
    if gate.sets() == 1 {
        let wanted = Extension { pairs: gate.pairs }.wanted(done, open && done == gate.pairs);
        if wanted > done {
            return Some(Pairs { set: 1, from: done + 1, to: wanted });
        }
    }
    let worse = checks.iter().any(|c| c.verdict == CheckVerdict::Regression);
    match last(2) {
        None if worse => Some(Pairs { set: 2, from: 0, to: gate.pairs }),
        Some(done) if done < gate.pairs => Some(Pairs { set: 2, from: done + 1, to: gate.pairs }),
        // It looks twice, as the first does: what took the first both looks would seldom be confirmed by one.
        Some(done) => {
            let open = gate.time_is_judged() && done == gate.pairs && checks.iter().any(Check::is_open_again);
            let wanted = Extension { pairs: gate.pairs }.wanted(done, open);
            (wanted > done).then_some(Pairs { set: 2, from: done + 1, to: wanted })
        }
        None => None,
    }
}

impl GateRecord {
    /// Whether times are compared at all.
    #[must_use]
    pub fn time_is_judged(&self) -> bool {
        !matches!(self.time, TimeBy::NotJudged { .. })
    }
}
