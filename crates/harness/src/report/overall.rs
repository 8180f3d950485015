//! The verdict of a trial and of a run: violated > unknown > held. What was not looked at is unknown, never a pass.

use crate::oracle::{Verdict, exit_code, outcome};
use crate::selftest::SelfTest;
use crate::trial::record::{RunRecord, TrialRecord};

use super::{compared, format, words};

/// A verdict and what led to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// Held, violated or unknown. Never *not judged*: a trial of which nothing was judged is unknown.
    pub verdict: Verdict,
    /// Why it is not held, a sentence each; empty when it held.
    pub reasons: Vec<String>,
}

/// A run's verdict with its tally of judgements.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Overall {
    /// Held, violated or unknown.
    pub verdict: Verdict,
    /// Why it is not held, the worst first.
    pub reasons: Vec<String>,
    /// Judgements that held.
    pub held: usize,
    /// Judgements that were violated.
    pub violated: usize,
    /// Judgements that could not be told.
    pub unknown: usize,
    /// Judgements that the scenario does not list.
    pub not_judged: usize,
    /// Whether it is the verdict of the harness's test of itself.
    pub selftest: bool,
    /// What a comparison came to, where the run is one and every invariant held.
    pub compared: Option<compared::Conclusion>,
}

/// A trial's verdict. A fault that did not fire, a broken environment, or no judged oracle makes it unknown, also when its
/// judgements were made without looking at that.
#[must_use]
pub fn of_trial(trial: &TrialRecord) -> Outcome {
    let mut unknown: Vec<String> =
        trial.broken.iter().map(|cause| format!("the environment failed: {cause}")).collect();
    for fault in trial.faults.iter().filter(|f| f.fired.is_none()) {
        unknown.push(format!("the fault `{}` did not fire: {}", fault.fault, words::why_not(fault)));
    }
    // What makes every oracle unknown is said once, and not by each of them.
    for (evidence, oracles) in by_evidence(trial, Verdict::Unknown) {
        if !unknown.contains(&evidence) {
            unknown.push(reason(&oracles, Verdict::Unknown, &evidence));
        }
    }
    if unknown.is_empty() && trial.judgements.iter().all(|j| j.verdict == Verdict::NotJudged) {
        unknown.push("no oracle was judged".to_string());
    }
    let mut reasons: Vec<String> = by_evidence(trial, Verdict::Violated)
        .iter()
        .map(|(evidence, oracles)| reason(oracles, Verdict::Violated, evidence))
        .collect();
    let verdict = match (reasons.is_empty(), unknown.is_empty()) {
        (false, _) => Verdict::Violated,
        (true, false) => Verdict::Unknown,
        (true, true) => Verdict::Held,
    };
    reasons.append(&mut unknown);
    Outcome { verdict, reasons }
}

/// Oracles of a verdict by their first line of evidence, in order.
fn by_evidence(trial: &TrialRecord, verdict: Verdict) -> Vec<(String, Vec<&'static str>)> {
    let mut out: Vec<(String, Vec<&'static str>)> = Vec::new();
    for j in trial.judgements.iter().filter(|j| j.verdict == verdict) {
        let evidence = j.evidence.first().map_or("no evidence was recorded", String::as_str);
        match out.iter_mut().find(|(e, _)| e == evidence) {
            Some((_, oracles)) => oracles.push(j.oracle.name()),
            None => out.push((evidence.to_string(), vec![j.oracle.name()])),
        }
    }
    out
}

fn reason(oracles: &[&str], verdict: Verdict, evidence: &str) -> String {
    let verb = if oracles.len() == 1 { "is" } else { "are" };
    format!("{} {verb} {verdict}: {evidence}", oracles.join(", "))
}

/// A run's verdict: the worst of its trials; unknown without any.
#[must_use]
pub fn of_run(run: &RunRecord) -> Overall {
    if let Some(test) = &run.selftest {
        return of_selftest(run, test);
    }
    let mut outcomes: Vec<_> = run.trials.iter().map(|t| (t.trial, of_trial(t))).collect();
    let verdict = if outcomes.is_empty() {
        Verdict::Unknown
    } else {
        outcomes.iter().map(|(_, o)| o.verdict).max_by_key(|v| severity(*v)).unwrap_or(Verdict::Unknown)
    };
    outcomes.sort_by_key(|(_, o)| std::cmp::Reverse(severity(o.verdict)));
    let mut reasons: Vec<_> = outcomes
        .into_iter()
        .flat_map(|(trial, o)| o.reasons.into_iter().map(move |r| format!("Trial {trial}: {r}")))
        .collect();
    let counted = outcome(&run.trials);
    let not_judged = run.trials.iter().flat_map(|t| &t.judgements).filter(|j| j.verdict == Verdict::NotJudged).count();
    let Some(search) = &run.search else {
        if run.trials.is_empty() {
            reasons.push("No trial was recorded.".to_string());
        }
        let (held, violated, unknown) = (counted.held, counted.violated, counted.unknown);
        let compared = compared::View::of(run).filter(|_| verdict == Verdict::Held).map(|view| {
            reasons.extend(view.results.against());
            reasons.extend(view.results.open());
            view.conclusion()
        });
        return Overall { verdict, reasons, held, violated, unknown, not_judged, selftest: false, compared };
    };
    // Of a search only some trials are kept whole, none where all held; all of them count.
    if search.points.is_empty() {
        reasons.push("Nothing was tried.".to_string());
    }
    let kept = run.trials.iter().map(|t| of_trial(t).verdict);
    let worst = search.points.iter().map(|p| p.verdict).chain(kept).max_by_key(|v| severity(*v));
    let verdict = worst.filter(|_| !search.points.is_empty()).unwrap_or(Verdict::Unknown);
    let of = |v: Verdict| search.judgements.get(&v).map_or(0, |&n| usize::try_from(n).unwrap_or(usize::MAX));
    Overall {
        verdict,
        reasons,
        held: of(Verdict::Held),
        violated: of(Verdict::Violated),
        unknown: of(Verdict::Unknown),
        not_judged: of(Verdict::NotJudged),
        selftest: false,
        compared: None,
    }
}

/// The verdict of the harness's test of itself: its trials are wrong on purpose, and violated when all is well.
fn of_selftest(run: &RunRecord, test: &SelfTest) -> Overall {
    let verdict = if test.passed() { Verdict::Held } else { Verdict::Violated };
    let counted = outcome(&run.trials);
    let (held, violated, unknown) = (counted.held, counted.violated, counted.unknown);
    let reasons = test.failures.clone();
    Overall { verdict, reasons, held, violated, unknown, not_judged: 0, selftest: true, compared: None }
}

fn severity(v: Verdict) -> u8 {
    match v {
        Verdict::NotJudged => 0,
        Verdict::Held => 1,
        Verdict::Unknown => 2,
        Verdict::Violated => 3,
    }
}

/// Exit code of a run that was interrupted (DESIGN 10).
pub const INTERRUPTED: u8 = 130;

/// Exit code of a run by DESIGN 10: 130 interrupted, 4 violated or unknown, 0 held.
#[must_use]
pub fn exit_code_of(run: &RunRecord) -> u8 {
    let overall = of_run(run);
    match overall.verdict {
        _ if run.interrupted => INTERRUPTED,
        Verdict::Held => overall.compared.map_or(exit_code::PASS, compared::Conclusion::exit_code),
        Verdict::Violated | Verdict::Unknown | Verdict::NotJudged => exit_code::INVARIANT,
    }
}

impl Overall {
    /// The verdict as a headline.
    #[must_use]
    pub fn headline(&self) -> &'static str {
        if let Some(compared) = self.compared {
            return compared.headline();
        }
        match self.verdict {
            Verdict::Held if self.selftest => "The oracles bite",
            _ if self.selftest => "The oracles cannot be trusted",
            Verdict::Held => "Every judged invariant held",
            Verdict::Violated => "An invariant was violated",
            Verdict::Unknown | Verdict::NotJudged => "It could not be told",
        }
    }

    /// The verdict's CSS class: that of what went wrong, were it only a criterion.
    #[must_use]
    pub fn class(&self) -> &'static str {
        words::class(self.compared.map_or(self.verdict, compared::Conclusion::as_verdict))
    }

    /// The tally in a sentence: `42 judgements held, 1 violated, 2 unknown; 3 not judged`.
    #[must_use]
    pub fn tally(&self) -> String {
        let held = format::plural(self.held, "judgement");
        let mut text = format!("{held} held, {} violated, {} unknown", self.violated, self.unknown);
        if self.not_judged > 0 {
            text.push_str(&format!("; {} not judged", self.not_judged));
        }
        text
    }
}
