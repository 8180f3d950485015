//! From the trials to a verdict on the oracles.

use std::collections::BTreeMap;

use super::cases::{Case, Expected};
use super::{Row, SelfTest, Sort};
use crate::oracle::{self, OracleName, Overall, Verdict};
use crate::trial::record::TrialRecord;

/// Judges the trials, each of its case. `part`: only some bugs were asked for.
///
/// A bug that only an oracle noticed that is not there for it, or that was noticed in a trial whose fault did not strike,
/// has not been caught: something else may have been noticed. A case without a trial has failed.
#[must_use]
pub fn judge(cases: &[Case], trials: &[(usize, &TrialRecord)], part: bool) -> SelfTest {
    let mut rows = Vec::new();
    let mut failures = Vec::new();
    for (index, case) in cases.iter().enumerate() {
        match trials.iter().find(|(of, _)| *of == index) {
            Some((_, trial)) => rows.push(row(case, trial)),
            None => failures.push(format!("{} under {}: it was not tried", case.name, case.scenario)),
        }
    }
    for row in &rows {
        if let Some(why) = &row.failure {
            let who = if row.sort == Sort::Right { "what has no bug" } else { &row.name };
            failures.push(format!("{who} under {} (trial {}): {why}", row.scenario, row.trial));
        }
    }
    let mut caught: BTreeMap<OracleName, u32> = OracleName::ALL.iter().map(|&oracle| (oracle, 0)).collect();
    for row in rows.iter().filter(|row| row.sort == Sort::Bug && row.failure.is_none()) {
        row.violated.iter().for_each(|&oracle| *caught.entry(oracle).or_default() += 1);
    }
    if !part {
        let idle = caught.iter().filter(|(_, n)| **n == 0);
        failures.extend(idle.map(|(oracle, _)| format!("the oracle {oracle} caught nothing")));
    }
    if rows.is_empty() {
        failures.push("nothing was tried".to_owned());
    }
    SelfTest { rows, caught, part, failures }
}

fn row(case: &Case, trial: &TrialRecord) -> Row {
    let of = |verdict| trial.judgements.iter().filter(move |j| j.verdict == verdict).map(|j| j.oracle).collect();
    let (violated, unknown): (Vec<OracleName>, Vec<OracleName>) = (of(Verdict::Violated), of(Verdict::Unknown));
    let expected = match &case.expected {
        Expected::Violated(oracles) => oracles.clone(),
        Expected::Unknown | Expected::Held => Vec::new(),
    };
    let verdict = match oracle::outcome(std::slice::from_ref(trial)).overall {
        Overall::Pass => Verdict::Held,
        Overall::Violated => Verdict::Violated,
        Overall::Unknown => Verdict::Unknown,
    };
    let failure = failure(case, trial, &violated).or_else(|| {
        // A run of this trial alone must pass or not as its case says.
        let passed = verdict == Verdict::Held;
        (passed != (case.expected == Expected::Held)).then(|| format!("as a whole it is {verdict}"))
    });
    Row {
        trial: trial.trial,
        sort: case.sort,
        name: case.name.to_owned(),
        description: case.description.to_owned(),
        scenario: case.scenario.to_owned(),
        evidence: evidence(trial, &expected, verdict),
        expected,
        violated,
        unknown,
        verdict,
        failure,
    }
}

/// The first evidence of the first oracle that had to be violated; failing that, of the first that speaks the trial's verdict.
fn evidence(trial: &TrialRecord, expected: &[OracleName], verdict: Verdict) -> String {
    let of = |oracle| trial.judgements.iter().find(|j| j.oracle == oracle && j.verdict == Verdict::Violated);
    let first = expected.iter().find_map(|&oracle| of(oracle));
    let first = first.or_else(|| trial.judgements.iter().find(|j| j.verdict == verdict));
    first.and_then(|j| j.evidence.first()).cloned().unwrap_or_default()
}

fn failure(case: &Case, trial: &TrialRecord, violated: &[OracleName]) -> Option<String> {
    if let Some(why) = &trial.broken {
        return Some(format!("the environment failed: {why}"));
    }
    let silent = trial.faults.iter().find(|f| f.fired.is_none());
    let names = |oracles: &[OracleName]| oracles.iter().map(|o| o.name()).collect::<Vec<_>>().join(", ");
    let of = |verdict| {
        let all: Vec<OracleName> = trial.judgements.iter().filter(|j| j.verdict == verdict).map(|j| j.oracle).collect();
        all
    };
    match &case.expected {
        Expected::Violated(oracles) => {
            if let Some(fault) = silent {
                let why = fault.why_not.as_deref().unwrap_or("no proof of it was recorded");
                return Some(format!("its fault `{}` did not strike: {why}", fault.fault));
            }
            let missed: Vec<OracleName> = oracles.iter().filter(|o| !violated.contains(o)).copied().collect();
            let others = if violated.is_empty() { "and nor did another".to_owned() } else { names(violated) + " did" };
            (!missed.is_empty()).then(|| format!("{} did not notice, {others}", names(&missed)))
        }
        Expected::Unknown => {
            let (held, unknown) = (of(Verdict::Held), of(Verdict::Unknown));
            if silent.is_none() {
                Some("its fault struck, which it must not".to_owned())
            } else if !held.is_empty() {
                Some(format!("{} held, though nothing was shown", names(&held)))
            } else if !violated.is_empty() {
                Some(format!("{} violated, though the engine did its work", names(violated)))
            } else {
                unknown.is_empty().then(|| "nothing was judged".to_owned())
            }
        }
        Expected::Held => {
            let unknown = of(Verdict::Unknown);
            if !violated.is_empty() {
                Some(format!("accused by {}", names(violated)))
            } else if !unknown.is_empty() {
                Some(format!("{} could not tell", names(&unknown)))
            } else {
                of(Verdict::Held).is_empty().then(|| "nothing was judged".to_owned())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Subject;
    use super::*;
    use crate::oracle::fixture::healthy;
    use crate::oracle::{Judgement, Verdict};
    use crate::trial::record::{FaultRecord, Fired};

    fn case(expected: Expected) -> Case {
        let sort = match expected {
            Expected::Violated(_) => Sort::Bug,
            Expected::Unknown => Sort::Control,
            Expected::Held => Sort::Right,
        };
        Case {
            sort,
            name: "b",
            subject: Subject::Engine("b"),
            description: "B.",
            scenario: "s",
            expected,
            leaves: false,
        }
    }

    fn judged(verdicts: &[(OracleName, Verdict)], fired: Option<bool>) -> TrialRecord {
        let mut trial = healthy();
        let judgement = |&(oracle, verdict): &(OracleName, Verdict)| Judgement {
            oracle,
            verdict,
            evidence: vec![format!("{oracle} saw it")],
        };
        trial.judgements = verdicts.iter().map(judgement).collect();
        let proof = Fired { at_us: 1, healed_us: None, evidence: "seen".into() };
        trial.faults = fired
            .map(|fired| FaultRecord { fault: "f".into(), fired: fired.then_some(proof), why_not: None, missed: None })
            .into_iter()
            .collect();
        trial
    }

    fn failures(expected: Expected, verdicts: &[(OracleName, Verdict)], fired: Option<bool>) -> Vec<String> {
        let trial = judged(verdicts, fired);
        judge(&[case(expected)], &[(0, &trial)], true).failures
    }

    use OracleName::{Clean, Content, Durable};
    use Verdict::{Held, Unknown, Violated};

    #[test]
    fn a_bug_is_caught_by_the_oracle_that_is_there_for_it_and_with_its_fault_alone() {
        let bug = || Expected::Violated(vec![Content]);
        assert_eq!(failures(bug(), &[(Content, Violated), (Clean, Held)], Some(true)), Vec::<String>::new());
        assert!(
            failures(bug(), &[(Content, Held), (Clean, Held)], None)[0].contains("content did not notice, and nor")
        );
        assert!(failures(bug(), &[(Content, Unknown), (Clean, Violated)], None)[0].contains("clean did"));
        assert!(failures(bug(), &[(Content, Violated)], Some(false))[0].contains("did not strike"));
        assert!(failures(bug(), &[(Content, Unknown)], Some(false))[0].contains("did not strike"));
        let mut broken = judged(&[(Content, Violated)], None);
        broken.broken = Some("no disk".into());
        assert!(judge(&[case(bug())], &[(0, &broken)], true).failures[0].contains("no disk"));
    }

    #[test]
    fn a_right_engine_must_hold_and_a_control_must_not() {
        assert!(failures(Expected::Held, &[(Content, Held), (Clean, Verdict::NotJudged)], Some(true)).is_empty());
        assert!(
            failures(Expected::Held, &[(Content, Violated), (Clean, Held)], None)[0].contains("accused by content")
        );
        assert!(failures(Expected::Held, &[(Content, Unknown), (Clean, Held)], None)[0].contains("could not tell"));
        assert!(failures(Expected::Held, &[(Content, Verdict::NotJudged)], None)[0].contains("nothing was judged"));
        assert!(failures(Expected::Unknown, &[(Content, Unknown)], Some(false)).is_empty());
        assert!(failures(Expected::Unknown, &[(Content, Held), (Clean, Unknown)], Some(false))[0].contains("held"));
        assert!(failures(Expected::Unknown, &[(Content, Unknown)], Some(true))[0].contains("must not"));
    }

    #[test]
    fn an_idle_oracle_and_a_case_that_was_not_tried_fail_the_whole() {
        let caught = judged(&[(Content, Violated), (Durable, Violated)], None);
        let cases = [case(Expected::Violated(vec![Content])), case(Expected::Held)];
        let whole = judge(&cases, &[(0, &caught)], false);
        assert!(whole.failures.iter().any(|f| f.contains("was not tried")), "{:?}", whole.failures);
        assert!(whole.failures.iter().any(|f| f == "the oracle clean caught nothing"));
        assert!(!whole.failures.iter().any(|f| f == "the oracle durable caught nothing"));
        assert!(!judge(&[], &[], true).passed());
    }
}
