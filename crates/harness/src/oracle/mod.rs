//! Oracles: one invariant each, checked over what was observed. Pure.
//!
//! An oracle looks at every ingestion of a trial and says *held*, *violated* or *unknown*, with evidence in plain words.
//! What was not observed is unknown, never held. [`judge`] runs them all.

mod atomic;
mod bounded;
mod check;
mod checkpoints;
mod clean;
mod complete;
mod content;
mod counts;
mod drift;
pub mod durable;
mod exclusive;
mod exit;
#[cfg(test)]
pub(crate) mod fixture;
mod no_rewrite;
mod polite;
mod same_content;
mod stored;
mod tables;
mod truthful;
mod verdict;

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::nearest::UnknownName;
use crate::trial::record::TrialRecord;

pub use check::Finding;
pub use verdict::{Outcome, Overall, exit_code, outcome};

/// What an oracle says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// The invariant holds over what was observed.
    Held,
    /// It does not.
    Violated,
    /// It could not be told: something was not observed, or a fault did not fire.
    Unknown,
    /// The scenario does not list it, or it does not apply to the profile: shown, and fails nothing.
    NotJudged,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Held => "held",
            Self::Violated => "violated",
            Self::Unknown => "unknown",
            Self::NotJudged => "not judged",
        })
    }
}

macro_rules! oracles {
    ($($(#[doc = $doc:literal])+ $variant:ident = $name:literal, $module:ident;)+) => {
        /// The oracles of DESIGN 7.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub enum OracleName { $($(#[doc = $doc])+ #[serde(rename = $name)] $variant,)+ }

        impl OracleName {
            /// Every oracle, in the order in which they are shown.
            pub const ALL: &'static [OracleName] = &[$(OracleName::$variant,)+];

            /// The name used in scenarios and reports.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self { $(OracleName::$variant => $name,)+ }
            }

            /// What must hold, in one sentence.
            #[must_use]
            pub fn description(self) -> &'static str {
                match self { $(OracleName::$variant => concat!($($doc),+).trim_ascii(),)+ }
            }

            /// Judges a trial by this oracle alone, whatever the scenario lists.
            #[must_use]
            pub fn check(self, record: &TrialRecord) -> Finding {
                match self { $(OracleName::$variant => $module::check(record),)+ }
            }
        }
    };
}

oracles! {
    /// Every table equals what the generator made for the last revision.
    Content = "content", content;
    /// What the feed acknowledged before a fault is there after it.
    Durable = "durable", durable;
    /// Rows of a race become visible together.
    Atomic = "atomic", atomic;
    /// A checkpoint never runs ahead of its data nor behind it.
    Checkpoints = "checkpoints", checkpoints;
    /// `laps_full` if and only if every listed race is there.
    Complete = "complete", complete;
    /// A second ingestion changes no content.
    SameContent = "same-content", same_content;
    /// A second ingestion rewrites no row.
    NoRewrite = "no-rewrite", no_rewrite;
    /// Inserted, updated, deleted and unchanged as reported equal the difference of the tables.
    Counts = "counts", counts;
    /// The exit code and the database agree.
    Exit = "exit", exit;
    /// Afterwards: no lock, no open transaction, no temporary table, no stray connection.
    Clean = "clean", clean;
    /// `Retry-After` honoured, attempts and concurrency bounded, no page fetched twice without cause.
    Polite = "polite", polite;
    /// Memory and queues within the scenario's limits.
    Bounded = "bounded", bounded;
    /// What each client of the service was told agrees with the database.
    Truthful = "truthful", truthful;
    /// No event is worked on by two processes at once.
    Exclusive = "exclusive", exclusive;
}

impl OracleName {
    /// Whether it judges a load of the service, or else the ingestion of one event. What one process tells on its feed of one event
    /// (`durable`, `exit`, `counts`), and what a second ingestion shows, there is not in a load; nor is there one pace that
    /// `polite` could hold several workers to.
    #[must_use]
    pub fn applies(self, load: bool) -> bool {
        match self {
            Self::Content | Self::Atomic | Self::Checkpoints | Self::Complete | Self::Clean | Self::Bounded => true,
            Self::Truthful | Self::Exclusive => load,
            Self::Durable | Self::SameContent | Self::NoRewrite | Self::Counts | Self::Exit | Self::Polite => !load,
        }
    }
}

impl fmt::Display for OracleName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for OracleName {
    type Err = UnknownName;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        Self::ALL.iter().copied().find(|o| o.name() == name).ok_or_else(|| {
            let names: Vec<_> = Self::ALL.iter().map(|o| o.name()).collect();
            UnknownName::new("oracle", name, &names)
        })
    }
}

/// An oracle's verdict on a trial.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Judgement {
    /// Which oracle.
    pub oracle: OracleName,
    /// Its verdict.
    pub verdict: Verdict,
    /// What shows it: figures when it held, the first differing things when it did not, what was missing when unknown.
    pub evidence: Vec<String>,
}

/// Judges a trial by every oracle, in the order of [`OracleName::ALL`].
///
/// One that is not listed is *not judged*; its evidence says what it would have been. When the environment broke in
/// mid-trial or a fault that was asked for did not fire, the trial did not show what it was made to show: no listed
/// oracle *held* then, it is *unknown* with that reason. A violation stays one.
#[must_use]
pub fn judge(record: &TrialRecord, listed: &[OracleName]) -> Vec<Judgement> {
    let doubts = doubts(record);
    OracleName::ALL
        .iter()
        .filter(|oracle| oracle.applies(record.load.is_some()))
        .map(|&oracle| {
            let Finding { mut verdict, mut evidence } = oracle.check(record);
            if oracle == OracleName::Content && !record.beside.is_empty() {
                verdict = Verdict::Violated;
                evidence.splice(0..0, record.beside.iter().cloned());
            }
            if !listed.contains(&oracle) {
                if verdict != Verdict::NotJudged {
                    evidence.insert(0, format!("the scenario does not list it; it would be {verdict}"));
                }
                verdict = Verdict::NotJudged;
            } else if verdict == Verdict::Held && !doubts.is_empty() {
                verdict = Verdict::Unknown;
                evidence.splice(0..0, doubts.iter().cloned());
            }
            Judgement { oracle, verdict, evidence }
        })
        .collect()
}

/// Why nothing that this trial shows can count as held.
fn doubts(record: &TrialRecord) -> Vec<String> {
    let broken = record.broken.iter().map(|why| format!("the environment failed: {why}"));
    let silent = record.faults.iter().filter(|f| f.fired.is_none()).map(|f| match &f.why_not {
        Some(why) => format!("the fault `{}` did not fire: {why}", f.fault),
        None => format!("the fault `{}` did not fire", f.fault),
    });
    broken.chain(silent).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trial::record::{FaultRecord, Fired};

    fn verdicts(judgements: &[Judgement]) -> Vec<(OracleName, Verdict)> {
        judgements.iter().map(|j| (j.oracle, j.verdict)).collect()
    }

    #[test]
    fn names_read_back_equal_their_json_and_a_typo_gets_the_nearest() {
        for &oracle in OracleName::ALL {
            assert_eq!(oracle.name().parse::<OracleName>(), Ok(oracle));
            assert_eq!(oracle.to_string(), oracle.name());
            assert_eq!(serde_json::to_value(oracle).unwrap(), oracle.name());
            assert!(oracle.description().ends_with('.'), "{oracle}");
        }
        let err = "contnet".parse::<OracleName>().unwrap_err();
        assert_eq!(err.to_string(), "unknown oracle `contnet`; did you mean `content`?");
    }

    #[test]
    fn a_healthy_trial_is_held_by_every_oracle_in_order() {
        let judgements = judge(&fixture::healthy(), OracleName::ALL);
        for j in &judgements {
            assert_eq!(j.verdict, Verdict::Held, "{j:?}");
            assert!(!j.evidence.is_empty(), "{j:?}");
        }
        let all: Vec<_> = OracleName::ALL.iter().copied().filter(|o| o.applies(false)).collect();
        assert_eq!(judgements.iter().map(|j| j.oracle).collect::<Vec<_>>(), all);
        let mut loaded = fixture::loaded();
        loaded.limits.connections = None;
        for j in judge(&loaded, OracleName::ALL) {
            let held = if j.oracle == OracleName::Bounded { Verdict::NotJudged } else { Verdict::Held };
            assert_eq!(j.verdict, held, "{j:?}");
        }
    }

    #[test]
    fn what_is_not_listed_is_not_judged_but_shown() {
        let mut record = fixture::healthy();
        record.aftermath.advisory_locks = 1;
        let judgements = judge(&record, &[OracleName::Content]);
        assert_eq!(judgements.len(), OracleName::ALL.iter().filter(|o| o.applies(false)).count());
        for j in judgements {
            match j.oracle {
                OracleName::Content => assert_eq!(j.verdict, Verdict::Held),
                OracleName::Clean => {
                    assert_eq!(j.verdict, Verdict::NotJudged);
                    assert!(j.evidence[0].contains("would be violated"), "{j:?}");
                }
                _ => assert_eq!(j.verdict, Verdict::NotJudged, "{j:?}"),
            }
        }
    }

    #[test]
    fn a_fault_that_did_not_fire_or_a_broken_world_leaves_nothing_held() {
        let mut silent = fixture::healthy();
        silent.faults = vec![FaultRecord {
            fault: "mid-unit#1 = crash".into(),
            fired: None,
            why_not: Some("step `mid-unit` was never reached: each unit had one batch".into()),
            missed: None,
        }];
        let mut broken = fixture::healthy();
        broken.broken = Some("the disk under the server is full".into());
        for record in [silent, broken] {
            for j in judge(&record, OracleName::ALL) {
                assert_eq!(j.verdict, Verdict::Unknown, "{j:?}");
                assert!(j.evidence[0].contains("never reached") || j.evidence[0].contains("disk"), "{j:?}");
            }
        }
    }

    #[test]
    fn a_violation_stays_one_when_a_fault_did_not_fire_and_one_that_fired_costs_nothing() {
        let mut record = fixture::healthy();
        record.aftermath.open_transactions = 2;
        let fired = Fired { at_us: 1, healed_us: Some(2), evidence: "signal 9".into() };
        record.faults =
            vec![FaultRecord { fault: "mid-batch#1 = crash".into(), fired: Some(fired), why_not: None, missed: None }];
        assert!(verdicts(&judge(&record, OracleName::ALL)).contains(&(OracleName::Content, Verdict::Held)));
        record.faults[0].fired = None;
        let got = verdicts(&judge(&record, OracleName::ALL));
        assert!(got.contains(&(OracleName::Clean, Verdict::Violated)));
        assert!(got.contains(&(OracleName::Content, Verdict::Unknown)));
    }

    #[test]
    fn an_engine_that_exits_0_having_done_nothing_is_violated() {
        let judgements = judge(&fixture::idle(), OracleName::ALL);
        for oracle in [OracleName::Content, OracleName::Complete, OracleName::Exit] {
            let j = judgements.iter().find(|j| j.oracle == oracle).unwrap();
            assert_eq!(j.verdict, Verdict::Violated, "{j:?}");
        }
    }

    #[test]
    fn a_trial_without_an_ingestion_holds_nothing() {
        let mut record = fixture::healthy();
        record.ingestions.clear();
        record.liverc = None;
        record.aftermath.observed = false;
        for j in judge(&record, OracleName::ALL) {
            assert_eq!(j.verdict, Verdict::Unknown, "{j:?}");
        }
    }
}
