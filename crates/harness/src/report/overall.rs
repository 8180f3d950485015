//! The verdict of a trial and of a run: violated > unknown > held. What was not looked at is unknown, never a pass.

use crate::oracle::{Verdict, exit_code, outcome};
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
    if run.trials.is_empty() {
        reasons.push("No trial was recorded.".to_string());
    }
    let counted = outcome(&run.trials);
    let not_judged = run.trials.iter().flat_map(|t| &t.judgements).filter(|j| j.verdict == Verdict::NotJudged).count();
    let compared = compared::View::of(run).filter(|_| verdict == Verdict::Held).map(|view| {
        reasons.extend(view.results.against());
        reasons.extend(view.results.open());
        view.conclusion()
    });
    let crate::oracle::Outcome { held, violated, unknown, .. } = counted;
    Overall { verdict, reasons, held, violated, unknown, not_judged, compared }
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
