//! The points of an ingestion at which something can go wrong. Pure.

use std::collections::BTreeMap;
use std::num::NonZeroU32;

use contract::{Step, Trigger};

use super::golden::Golden;
use crate::faults::{Action, Fault, Frame, Moment, When, names};

names! {
    /// Which points are swept.
    PointsOf, "kind of points";
    /// Each occurrence of each step.
    Steps = "steps",
    /// Each message to PostgreSQL, and the moments of each COMMIT.
    Wire = "wire",
    /// Both.
    Both = "both",
}

names! {
    /// What happens at each point.
    Strike, "fault of a sweep";
    /// The engine is killed.
    Crash = "crash",
    /// Its connections to PostgreSQL are reset.
    DbReset = "db-reset",
    /// The server ends its backends.
    DbTerminate = "db-terminate",
    /// At each COMMIT: it is carried out, and its answer is lost.
    AmbiguousCommit = "ambiguous-commit",
}

/// Points of one sort in the order in which they come: each a schedule of one fault or two.
#[derive(Debug, Clone, PartialEq)]
pub struct Group {
    /// The schedules.
    pub points: Vec<Vec<Fault>>,
}

fn at_steps(steps: &BTreeMap<Step, u32>, make: impl Fn(When) -> Option<Fault>) -> Vec<Group> {
    let of_step = |(&step, &most): (&Step, &u32)| {
        let points = (1..=most).filter_map(|n| make(When::Step(Trigger { step, occurrence: n }))).map(|f| vec![f]);
        Group { points: points.collect() }
    };
    steps.iter().map(of_step).filter(|g| !g.points.is_empty()).collect()
}

/// The points at steps of a golden run, a group per revision and step. What is ambiguous at a COMMIT is no matter of steps.
#[must_use]
pub fn steps(golden: &Golden, strike: Strike) -> Vec<Group> {
    let action = match strike {
        Strike::Crash => Action::Crash,
        Strike::DbReset => Action::DbReset,
        Strike::DbTerminate => Action::DbTerminate,
        Strike::AmbiguousCommit => return Vec::new(),
    };
    let of = |revision: &super::golden::Pass| {
        let number = revision.number;
        at_steps(&revision.steps, move |when| Some(Fault::new(when, action, None).ok()?.in_revision(number)))
    };
    golden.passes.iter().flat_map(of).collect()
}

/// The points on the wire of a golden run: before each message, and at the moments of each COMMIT.
#[must_use]
pub fn wire(golden: &Golden, strike: Strike) -> Vec<Group> {
    let mut groups = Vec::new();
    for pass in &golden.passes {
        let group = |frame, of: u64, moment, action| {
            let most = u32::try_from(of).unwrap_or(u32::MAX);
            let fault = |n| {
                let when = When::Wire { frame, occurrence: n, moment };
                Some(vec![Fault::new(when, action, None).ok()?.in_revision(pass.number)])
            };
            Group { points: (1..=most).filter_map(fault).collect() }
        };
        let action = match strike {
            Strike::AmbiguousCommit => {
                groups.push(group(Frame::Commit, pass.wire.commits, Moment::Sent, Action::DbReset));
                continue;
            }
            Strike::Crash => Action::Crash,
            Strike::DbReset => Action::DbReset,
            Strike::DbTerminate => Action::DbTerminate,
        };
        // After the last messages, which end the sessions, and the last answer to a COMMIT the process waits for nothing any more:
        // it would be over before it could be struck.
        let frames = pass.wire.frames.saturating_sub(pass.wire.sessions);
        groups.push(group(Frame::Any, frames, Moment::Before, action));
        let commits = pass.wire.commits;
        for (moment, most) in
            [(Moment::Sent, commits), (Moment::Complete, commits), (Moment::Ready, commits.saturating_sub(1))]
        {
            groups.push(group(Frame::Commit, most, moment, action));
        }
    }
    groups.retain(|g| !g.points.is_empty());
    groups
}

/// What a process did that went on after a crash: recoveries that are alike need be struck only once.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Recovery {
    /// Profile.
    pub profile: String,
    /// Revision of the event.
    pub revision: u32,
    /// Races that were durable when it began.
    pub durable: Vec<u64>,
    /// Occurrences of each step.
    pub steps: BTreeMap<Step, u32>,
}

/// The points of a recovery: the first crash as it was, then one more at each step of the process that followed.
#[must_use]
pub fn again(first: &[Fault], recovery: &Recovery) -> Vec<Group> {
    let [one] = first else { return Vec::new() };
    let one = one.clone().in_process(NonZeroU32::MIN);
    let second = NonZeroU32::MIN.saturating_add(1);
    let crash = |when| {
        let fault = Fault::new(when, Action::Crash, None).ok()?;
        Some(fault.in_revision(recovery.revision).in_process(second))
    };
    let mut groups = at_steps(&recovery.steps, crash);
    for point in groups.iter_mut().flat_map(|g| &mut g.points) {
        point.insert(0, one.clone());
    }
    groups
}

#[cfg(test)]
mod tests {
    use super::super::golden::Pass;
    use super::*;
    use crate::trial::record::WireCounts;

    fn golden() -> Golden {
        let steps = [(Step::UnitBegun, 2), (Step::AfterCommit, 1)].into_iter().collect();
        let wire = WireCounts { frames: 7, commits: 2, round_trips: 9, sessions: 2 };
        Golden::of_passes("fast", vec![Pass { number: 2, steps, wire, requests: 3, laps: 10 }])
    }

    fn texts(groups: &[Group]) -> Vec<String> {
        let words = |point: &Vec<Fault>| point.iter().map(Fault::describe).collect::<Vec<_>>().join(" + ");
        groups.iter().flat_map(|g| &g.points).map(words).collect()
    }

    #[test]
    fn every_occurrence_of_every_step_is_a_point() {
        assert_eq!(
            texts(&steps(&golden(), Strike::Crash)),
            [
                "unit-begun#1 = crash in revision 2",
                "unit-begun#2 = crash in revision 2",
                "after-commit#1 = crash in revision 2"
            ]
        );
        assert!(texts(&steps(&golden(), Strike::DbTerminate))[0].contains("db-terminate"));
        assert!(steps(&golden(), Strike::AmbiguousCommit).is_empty());
    }

    #[test]
    fn every_message_and_every_moment_of_a_commit_is_a_point() {
        let all = texts(&wire(&golden(), Strike::Crash));
        assert_eq!(all.len(), 5 + 2 + 2 + 1, "without what ends the sessions, and without the last answer");
        assert_eq!(all[4], "frame#5:before = crash in revision 2");
        assert!(all.contains(&"commit#2:complete = crash in revision 2".to_owned()));
        let ambiguous = texts(&wire(&golden(), Strike::AmbiguousCommit));
        assert_eq!(ambiguous, ["commit#1:sent = db-reset in revision 2", "commit#2:sent = db-reset in revision 2"]);
    }

    #[test]
    fn a_recovery_is_struck_in_its_own_process() {
        let first = vec!["before-commit#1=crash".parse::<Fault>().unwrap()];
        let steps = [(Step::EventFetched, 1)].into_iter().collect();
        let recovery = Recovery { profile: "fast".into(), revision: 1, durable: Vec::new(), steps };
        assert_eq!(
            texts(&again(&first, &recovery)),
            ["before-commit#1 = crash in process 1 + event-fetched#1 = crash in process 2"]
        );
    }
}
