//! The words of the report: what a trial, an exit, a purpose is called, in every format alike.

use std::collections::BTreeMap;

use crate::oracle::{OracleName, Verdict};
use crate::search::record::Verb;
use crate::trial::record::{Exit, FaultRecord, Purpose, RunRecord, TrialRecord};

/// A verdict as CSS class.
#[must_use]
pub fn class(v: Verdict) -> &'static str {
    match v {
        Verdict::Held => "held",
        Verdict::Violated => "violated",
        Verdict::Unknown => "unknown",
        Verdict::NotJudged => "not-judged",
    }
}

/// How a process ended.
#[must_use]
pub fn exit(e: Exit) -> String {
    match e {
        Exit::Code(0) => "exit code 0 (complete)".to_string(),
        Exit::Code(75) => "exit code 75 (failed, worth retrying)".to_string(),
        Exit::Code(code) => format!("exit code {code} (failed for good)"),
        Exit::Signal(9) => "killed (SIGKILL)".to_string(),
        Exit::Signal(signal) => format!("ended by signal {signal}"),
        Exit::TimedOut => "did not end in its time; the harness killed it".to_string(),
    }
}

/// Why an event was ingested.
#[must_use]
pub fn purpose(p: Purpose) -> String {
    match p {
        Purpose::Revision(1) => "first revision".to_string(),
        Purpose::Revision(n) => format!("revision {n}"),
        Purpose::Again => "once more, unchanged".to_string(),
        Purpose::Import => "by the service".to_string(),
    }
}

/// The oracles that can judge any of these trials, in their order: a load is judged by others than an ingestion.
#[must_use]
pub fn oracles<'a>(trials: impl IntoIterator<Item = &'a TrialRecord>) -> Vec<OracleName> {
    let loads: Vec<bool> = trials.into_iter().map(|t| t.load.is_some()).collect();
    let any = |oracle: &OracleName| loads.iter().any(|&load| oracle.applies(load));
    let all = OracleName::ALL.iter().copied();
    all.filter(|o| if loads.is_empty() { o.applies(false) } else { any(o) }).collect()
}

/// `Trial 2 · fast, race_concurrency = 4`.
#[must_use]
pub fn trial(t: &TrialRecord) -> String {
    format!("Trial {} · {}", t.trial, setup(t))
}

/// A trial's profile and the settings changed from it.
#[must_use]
pub fn setup(t: &TrialRecord) -> String {
    setup_beside(t, &BTreeMap::new())
}

/// The same without what need not be said again, since all trials have it.
#[must_use]
pub fn setup_beside(t: &TrialRecord, common: &BTreeMap<String, String>) -> String {
    let mut text = t.profile.clone();
    for (key, value) in t.settings.iter().filter(|(key, value)| common.get(*key) != Some(value)) {
        text.push_str(&format!(", {key} = {value}"));
    }
    text
}

/// Settings that every trial of a run has. None is told of chaos: it draws them, and keeps only the trials that did not hold.
#[must_use]
pub fn common_settings(run: &RunRecord) -> BTreeMap<String, String> {
    if run.search.as_ref().is_some_and(|search| search.verb == Verb::Chaos) {
        return BTreeMap::new();
    }
    let Some((first, rest)) = run.trials.split_first() else { return BTreeMap::new() };
    let everywhere = |key: &String, value: &String| rest.iter().all(|t| t.settings.get(key) == Some(value));
    first.settings.iter().filter(|(k, v)| everywhere(k, v)).map(|(k, v)| (k.clone(), v.clone())).collect()
}

/// Why a fault did not fire.
#[must_use]
pub fn why_not(f: &FaultRecord) -> &str {
    f.why_not.as_deref().unwrap_or("no proof of it was recorded")
}
