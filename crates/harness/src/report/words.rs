//! The words of the report: what an oracle, a verdict, an exit is called, in every format alike.

use crate::oracle::{OracleName, Verdict};
use crate::trial::record::{Exit, FaultRecord, Purpose, TrialRecord};

/// A verdict as people read it.
#[must_use]
pub fn verdict(v: Verdict) -> &'static str {
    match v {
        Verdict::Held => "held",
        Verdict::Violated => "violated",
        Verdict::Unknown => "unknown",
        Verdict::NotJudged => "not judged",
    }
}

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

/// Every oracle, in the order of DESIGN 7.
pub const ORACLES: [OracleName; 12] = [
    OracleName::Content,
    OracleName::Durable,
    OracleName::Atomic,
    OracleName::Checkpoints,
    OracleName::Complete,
    OracleName::SameContent,
    OracleName::NoRewrite,
    OracleName::Counts,
    OracleName::Exit,
    OracleName::Clean,
    OracleName::Polite,
    OracleName::Bounded,
];

/// An oracle's name as written in scenarios, which is its serialised form.
#[must_use]
pub fn oracle(o: OracleName) -> &'static str {
    match o {
        OracleName::Content => "content",
        OracleName::Durable => "durable",
        OracleName::Atomic => "atomic",
        OracleName::Checkpoints => "checkpoints",
        OracleName::Complete => "complete",
        OracleName::SameContent => "same-content",
        OracleName::NoRewrite => "no-rewrite",
        OracleName::Counts => "counts",
        OracleName::Exit => "exit",
        OracleName::Clean => "clean",
        OracleName::Polite => "polite",
        OracleName::Bounded => "bounded",
    }
}

/// What must hold, in one line.
#[must_use]
pub fn meaning(o: OracleName) -> &'static str {
    match o {
        OracleName::Content => "every table equals what the generator made",
        OracleName::Durable => "what was acknowledged before a fault is there after it",
        OracleName::Atomic => "the rows of a race become visible together",
        OracleName::Checkpoints => "no checkpoint runs ahead of its data or behind it",
        OracleName::Complete => "the event is marked whole if and only if every listed race is there",
        OracleName::SameContent => "a second ingestion changes no content",
        OracleName::NoRewrite => "a second ingestion rewrites no row",
        OracleName::Counts => "reported counts equal the difference of the tables",
        OracleName::Exit => "exit code and database agree",
        OracleName::Clean => "no lock, transaction, temporary table or connection is left behind",
        OracleName::Polite => {
            "Retry-After honoured, attempts and concurrency bounded, no page fetched twice without cause"
        }
        OracleName::Bounded => "memory and queues stay within the scenario's limits",
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
    }
}

/// `Trial 2 · fast, race_concurrency = 4`.
#[must_use]
pub fn trial(t: &TrialRecord) -> String {
    format!("Trial {} · {}", t.trial, setup(t))
}

/// A trial's profile and the settings changed from it.
#[must_use]
pub fn setup(t: &TrialRecord) -> String {
    let mut text = t.profile.clone();
    for (key, value) in &t.settings {
        text.push_str(&format!(", {key} = {value}"));
    }
    text
}

/// Why a fault did not fire.
#[must_use]
pub fn why_not(f: &FaultRecord) -> &str {
    f.why_not.as_deref().unwrap_or("no proof of it was recorded")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn oracles_are_called_by_their_serialised_names() {
        for o in ORACLES {
            assert_eq!(serde_json::to_value(o).unwrap(), oracle(o));
        }
    }
}
