//! The golden run: the scenario without a fault, made twice. It lists what there is to strike at.

use std::collections::BTreeMap;

use contract::Step;

use super::runner::Runner;
use crate::oracle::Verdict;
use crate::report::overall;
use crate::trial::attempt;
use crate::trial::record::{Attempt, Exit, Purpose, TrialRecord, WireCounts};

/// What one ingestion of a golden run came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pass {
    /// Revision of the event, from 1.
    pub number: u32,
    /// Occurrences of each step.
    pub steps: BTreeMap<Step, u32>,
    /// Messages to PostgreSQL.
    pub wire: WireCounts,
    /// Requests to LiveRC.
    pub requests: u64,
    /// Laps stored at its end.
    pub laps: u64,
}

/// A golden run.
#[derive(Debug, Clone, PartialEq)]
pub struct Golden {
    /// Profile.
    pub profile: String,
    /// Its ingestions but the last, which changes nothing.
    pub passes: Vec<Pass>,
    /// The engine sends a lap batch as one statement: `mid-batch` is then a moment on the wire.
    pub half_statements: bool,
    /// Its trials; none where it was made up.
    pub trials: Vec<TrialRecord>,
}

/// Why nothing can be searched by a golden run.
#[derive(Debug, thiserror::Error)]
pub enum NotGolden {
    /// It did not hold without any fault.
    #[error("the golden run ({0}) did not hold, with no fault at all: {1}")]
    Failed(String, String),
    /// The engine tells no steps.
    #[error("the engine writes no feed, so its steps cannot be listed; --points wire needs none")]
    NoFeed,
    /// The two are not equal.
    #[error(
        "the golden run ({profile}) was made twice and is not equal: {what}; points that are counted by it would not be the \
         same in every trial"
    )]
    Unequal {
        /// Profile.
        profile: String,
        /// The first difference.
        what: String,
    },
    /// The frames could not be read.
    #[error("the messages to PostgreSQL cannot be counted here: {0}")]
    Wire(String),
    /// The environment failed, or the user stopped it.
    #[error("{0}")]
    Broken(String),
}

impl Golden {
    /// Puts one together of known passes.
    #[must_use]
    pub fn of_passes(profile: &str, passes: Vec<Pass>) -> Self {
        Self { profile: profile.to_owned(), passes, half_statements: false, trials: Vec::new() }
    }

    /// Makes a golden run, `times` times. `wire`: all traffic to PostgreSQL passes through the proxy, and its frames are counted;
    /// `steps`: steps will be struck at, so the engine must tell them.
    ///
    /// # Errors
    /// See [`NotGolden`].
    pub async fn make(
        runner: &Runner<'_>,
        profile: &str,
        steps: bool,
        wire: bool,
        times: usize,
    ) -> Result<Self, NotGolden> {
        let mut plan = runner.plan(profile, Vec::new());
        plan.count_frames = wire;
        let half = attempt::sends_statements(runner.lab.engine_of(&plan), &plan).await;
        let half = half.map_err(|e| NotGolden::Broken(e.to_string()))?;
        // Side by side, as the trials that are counted by them.
        let plans = (0..times.max(1)).map(|_| {
            let mut plan = plan.clone();
            plan.number = runner.next_number();
            plan
        });
        let records = plans.map(|plan| async move { runner.run(&plan).await });
        let mut trials = Vec::new();
        for record in futures::future::join_all(records).await {
            if let Some(why) = &record.broken {
                return Err(NotGolden::Broken(why.clone()));
            }
            let outcome = overall::of_trial(&record);
            if outcome.verdict != Verdict::Held {
                return Err(NotGolden::Failed(profile.to_owned(), outcome.reasons.join("; ")));
            }
            trials.push(record);
        }
        let mut all = trials.iter().map(|t| passes(t, half));
        let first = all.next().unwrap_or_default();
        if steps && first.iter().any(|p| p.steps.is_empty()) {
            return Err(NotGolden::NoFeed);
        }
        if wire && first.iter().any(|p| p.wire.frames == 0) {
            return Err(NotGolden::Wire("the connection could not be read".to_owned()));
        }
        if let Some(what) = all.find_map(|other| difference(&first, &other, wire)) {
            return Err(NotGolden::Unequal { profile: profile.to_owned(), what });
        }
        drop(all);
        Ok(Self { profile: profile.to_owned(), passes: first, half_statements: half, trials })
    }
}

fn passes(record: &TrialRecord, half_statements: bool) -> Vec<Pass> {
    let all = record.ingestions.iter().enumerate();
    let of = |(index, ingestion): (usize, &crate::trial::record::Ingestion)| {
        let Purpose::Revision(number) = ingestion.purpose else { return None };
        let attempt = ingestion.attempts.first()?;
        let steps = steps_of(attempt, half_statements);
        let pages = record.liverc.iter().flat_map(|l| &l.pages);
        let requests = pages.filter(|p| p.ingestion as usize == index).map(|p| u64::from(p.requests)).sum();
        let laps = ingestion.observed.laps_stored.values().sum();
        Some(Pass { number, steps, wire: ingestion.wire.unwrap_or_default(), requests, laps })
    };
    let ended_well = record.ingestions.iter().flat_map(|i| &i.attempts).all(|a| matches!(a.exit, Exit::Code(_)));
    if ended_well { all.filter_map(of).collect() } else { Vec::new() }
}

/// Steps that a process reached. One that sends a lap batch as one statement cannot tell when half of it has left: of each batch
/// the proxy can.
#[must_use]
pub fn steps_of(attempt: &Attempt, half_statements: bool) -> BTreeMap<Step, u32> {
    let mut steps = attempt.steps.clone();
    if half_statements && let (true, Ok(batches)) = (attempt.batches > 0, u32::try_from(attempt.batches)) {
        steps.insert(Step::MidBatch, batches);
    }
    steps
}

/// The first difference of what points are counted by.
fn difference(first: &[Pass], second: &[Pass], wire: bool) -> Option<String> {
    for (a, b) in first.iter().zip(second) {
        for step in a.steps.keys().chain(b.steps.keys()) {
            let [n, m] = [a, b].map(|p| p.steps.get(step).copied().unwrap_or(0));
            if n != m {
                return Some(format!("step {step} was reached {n} times, then {m} times"));
            }
        }
        if wire && (a.wire.frames, a.wire.commits) != (b.wire.frames, b.wire.commits) {
            let words = |w: WireCounts| format!("{} messages with {} COMMITs", w.frames, w.commits);
            return Some(format!("{} to PostgreSQL, then {}", words(a.wire), words(b.wire)));
        }
        if a.laps != b.laps || a.requests != b.requests {
            return Some(format!("{} laps and {} requests, then {} and {}", a.laps, a.requests, b.laps, b.requests));
        }
    }
    (first.len() != second.len()).then(|| "one has fewer ingestions".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn golden_runs_that_differ_are_told_apart() {
        let steps: BTreeMap<_, _> = [(Step::UnitBegun, 2)].into_iter().collect();
        let wire = WireCounts { frames: 5, commits: 2, round_trips: 9, sessions: 2 };
        let pass = Pass { number: 1, steps, wire, requests: 3, laps: 10 };
        let with = |change: fn(&mut Pass)| {
            let mut other = pass.clone();
            change(&mut other);
            difference(std::slice::from_ref(&pass), &[other], true)
        };
        assert_eq!(with(|_| {}), None);
        assert_eq!(with(|p| p.steps.clear()).unwrap(), "step unit-begun was reached 2 times, then 0 times");
        assert!(with(|p| p.wire.frames = 6).unwrap().contains("5 messages with 2 COMMITs"));
        assert!(with(|p| p.laps = 9).unwrap().contains("10 laps"));
    }
}
