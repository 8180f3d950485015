//! *exclusive*: no event is worked on by two processes at once.
//!
//! From the feeds of the workers: once a process has begun to work on an event (it has fetched or written a race of it, so it has
//! the event's lock), no other one may commit a race of it until the first is done. One that stalled may write its line about a
//! commit late: the first line of a process after another has begun is therefore not counted where the harness had paused it.

use super::Verdict;
use super::check::{Check, Finding, count};
use crate::load::record::EngineRun;
use crate::trial::record::TrialRecord;

/// Judges a trial.
#[must_use]
pub fn check(record: &TrialRecord) -> Finding {
    let Some(load) = &record.load else {
        let text = "no workers of a service ran".to_owned();
        return Finding { verdict: Verdict::NotJudged, evidence: vec![text] };
    };
    let mut check = Check::default();
    load.feed_errors.iter().for_each(|why| check.missing(format!("a feed could not be read: {why}")));
    // Of a process: a `db-pause` stalls no worker.
    let paused = record.faults.iter().any(|f| f.fired.is_some() && f.fault.contains("= pause"));
    for run in &load.runs {
        for other in load.runs.iter().filter(|o| o.event_id == run.event_id && o.pid != run.pid) {
            if let Some((at_us, races)) = intrusion(run, other, paused) {
                check.violated(format!(
                    "event {}: process {} committed race {} while process {} was at work on it ({} ms after it had begun)",
                    run.event_id,
                    other.pid,
                    races.first().copied().unwrap_or_default(),
                    run.pid,
                    at_us.saturating_sub(run.worked_us.unwrap_or(*at_us)) / 1_000
                ));
            }
        }
    }
    if load.runs.is_empty() {
        check.missing("no worker's feed tells of a run");
    } else if check.found() == 0 {
        let mut events: Vec<u64> = load.runs.iter().map(|r| r.event_id).collect();
        events.sort_unstable();
        events.dedup();
        check.held(format!(
            "{} of {} by the workers, none of an event at the same time as another",
            count(load.runs.len() as u64, "run"),
            count(events.len() as u64, "event")
        ));
    }
    check.finish()
}

/// The first commit of another process while this run had the event.
fn intrusion<'a>(run: &EngineRun, other: &'a EngineRun, paused: bool) -> Option<&'a (u64, Vec<u64>)> {
    let from = run.worked_us?;
    // A run whose process died has no end of its own: it had the event until its last sign of life.
    let to = run.ended_us.or_else(|| run.commits.last().map(|(at, _)| *at)).unwrap_or(from);
    let mut within = other.commits.iter().filter(|(at, _)| (from..=to).contains(at));
    // Of one that stalled another takes the event over. The one that had begun first is the intruder when it goes on, and its
    // first line may have been on its way.
    match paused {
        true if other.started_us >= run.started_us => None,
        true => within.nth(1),
        false => within.next(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixture;
    use super::*;
    use crate::trial::record::{FaultRecord, Fired};

    fn run(pid: u32, from: u64, commits: &[u64], ended: Option<u64>) -> EngineRun {
        EngineRun {
            pid,
            event_id: 7,
            started_us: from,
            worked_us: Some(from + 1),
            ended_us: ended,
            commits: commits.iter().map(|&at| (at, vec![70_001])).collect(),
        }
    }

    fn verdict(runs: Vec<EngineRun>, paused: bool) -> Verdict {
        with_fault(runs, paused.then_some("job#1 = pause for 4s"))
    }

    fn with_fault(runs: Vec<EngineRun>, fault: Option<&str>) -> Verdict {
        let mut record = fixture::loaded();
        if let Some(load) = &mut record.load {
            load.runs = runs;
        }
        if let Some(fault) = fault {
            let fired = Fired { at_us: 1, healed_us: None, evidence: "SIGSTOP".to_owned() };
            record.faults =
                vec![FaultRecord { fault: fault.to_owned(), fired: Some(fired), why_not: None, missed: None }];
        }
        check(&record).verdict
    }

    #[test]
    fn one_after_the_other_is_held_and_two_at_once_are_violated() {
        let first = run(1, 100, &[110, 120], Some(130));
        assert_eq!(verdict(vec![first.clone(), run(2, 200, &[210], Some(230))], false), Verdict::Held);
        // Taken over from a process that died.
        assert_eq!(verdict(vec![run(1, 100, &[110], None), run(2, 200, &[210], Some(230))], false), Verdict::Held);
        assert_eq!(verdict(vec![first.clone(), run(2, 105, &[115], Some(140))], false), Verdict::Violated);
        let other_event = EngineRun { event_id: 8, ..run(2, 105, &[115], Some(140)) };
        assert_eq!(verdict(vec![first, other_event], false), Verdict::Held);
    }

    #[test]
    fn a_stalled_process_may_write_one_line_late_and_no_more() {
        let taken_over = run(2, 200, &[210, 220], Some(300));
        assert_eq!(verdict(vec![run(1, 100, &[110, 250], Some(260)), taken_over.clone()], true), Verdict::Held);
        assert_eq!(verdict(vec![run(1, 100, &[110, 250], Some(260)), taken_over.clone()], false), Verdict::Violated);
        let db_pause = Some("1s = db-pause for 4s");
        let one_late = vec![run(1, 100, &[110, 250], Some(260)), taken_over.clone()];
        assert_eq!(with_fault(one_late, db_pause), Verdict::Violated, "no worker was paused");
        assert_eq!(verdict(vec![run(1, 100, &[250, 255], Some(260)), taken_over], true), Verdict::Violated);
    }

    #[test]
    fn without_a_feed_nothing_is_held() {
        assert_eq!(verdict(Vec::new(), false), Verdict::Unknown);
        assert_eq!(check(&fixture::healthy()).verdict, Verdict::NotJudged);
    }
}
