//! *truthful*: what each client of the service was told agrees with the database.
//!
//! Told *complete*: the event is `laps_full` with every row right, and a job that it was told had completed had done so by then.
//! Told *failed*: the request's job failed. Told *refused* or *not done*: the request became no job. *Unknown* is no falsehood
//! while something is broken, but a service that has healed must be able to say: so without a fault nobody may be told it, and
//! with one at most a few. The same goes for *goes on*, which is only told when the client's patience is over.
//! What a job says of itself is judged as well: completed means `laps_full`, and its counts are those of the table.

use super::Verdict;
use super::check::{Check, Finding, count};
use crate::load::record::{EventIs, JobIs, LoadRecord, ToldAs, ToldGroup};
use crate::trial::record::TrialRecord;

/// Of so many clients one may be told that it cannot be found out, when something was broken.
const UNKNOWN_OF: u64 = 5;

/// Judges a trial.
#[must_use]
pub fn check(record: &TrialRecord) -> Finding {
    let Some(load) = &record.load else {
        let text = "there were no clients of a service".to_owned();
        return Finding { verdict: Verdict::NotJudged, evidence: vec![text] };
    };
    let mut check = Check::default();
    for group in &load.told {
        if let Some(why) = falsehood(group) {
            check.violated(format!("{} told `{}`, but {why}", count(group.clients, "client"), group.told.name()));
            group.examples.iter().for_each(|example| check.remark(example.clone()));
        }
    }
    undecided(&mut check, load, !record.faults.is_empty());
    for (what, of) in [(&load.jobs.contradicted, "jobs"), (&load.jobs.miscounted, "counts")] {
        what.iter().for_each(|text| check.violated(format!("{of}: {text}")));
    }
    let told: u64 = load.told.iter().map(|g| g.clients).sum();
    let ended = load.generated.ended;
    if told == 0 {
        check.missing("no client was told anything");
    } else if told != ended {
        // A client that died, or whose line could not be written: nobody knows what it was told.
        check.missing(format!("{} ended, and what {told} were told was written down", count(ended, "client")));
    } else if check.found() == 0 {
        let of = |as_: ToldAs| load.told.iter().filter(|g| g.told == as_).map(|g| g.clients).sum::<u64>();
        let all = [ToldAs::Complete, ToldAs::Failed, ToldAs::Refused, ToldAs::NotDone, ToldAs::GoesOn, ToldAs::Unknown];
        let parts: Vec<String> =
            all.iter().map(|&t| (of(t), t)).filter(|(n, _)| *n > 0).map(|(n, t)| format!("{n} {}", t.name())).collect();
        check.held(format!("{} told the truth: {}", count(told, "client"), parts.join(", ")));
        if load.recovered > 0 {
            check.remark(format!(
                "{} lost an answer on the way and found out what had become of the import",
                count(load.recovered, "client")
            ));
        }
        if load.jobs.counted > 0 {
            check.remark(format!(
                "laps as counted by the job equal the table's in {}",
                count(load.jobs.counted, "event")
            ));
        }
    }
    check.finish()
}

/// Why what these clients were told is not so.
fn falsehood(group: &ToldGroup) -> Option<&'static str> {
    match group.told {
        ToldAs::Complete => match (group.event, group.refresh, group.job, group.told_job) {
            (EventIs::Absent, ..) => Some("the event is not in the database"),
            (EventIs::Partial, ..) => Some("the event is not laps_full"),
            (EventIs::Wrong, ..) => Some("rows of the event are not as they must be"),
            (.., JobIs::CompletedLater) => Some("the job that was told as completed ended later"),
            (.., JobIs::Failed | JobIs::Queued | JobIs::Running) => Some("the job that was told as completed did not"),
            (_, true, JobIs::Failed | JobIs::Queued | JobIs::Running | JobIs::None, _) => {
                Some("the refresh that was asked for did not complete")
            }
            (EventIs::Right, ..) => None,
        },
        ToldAs::Failed => match group.job {
            JobIs::Failed => None,
            JobIs::None => Some("the request became no job that could have failed"),
            JobIs::Completed | JobIs::CompletedLater => Some("the request's job completed"),
            JobIs::Queued | JobIs::Running => Some("the request's job goes on"),
        },
        ToldAs::Refused | ToldAs::NotDone => {
            (group.job != JobIs::None).then_some("the request became a job all the same")
        }
        ToldAs::GoesOn => group.early.then_some("the client's time was not over"),
        ToldAs::Unknown => None,
    }
}

/// Clients that were left without a verdict.
fn undecided(check: &mut Check, load: &LoadRecord, faults: bool) {
    let of = |as_: ToldAs| load.told.iter().filter(|g| g.told == as_).map(|g| g.clients).sum::<u64>();
    let told: u64 = load.told.iter().map(|g| g.clients).sum();
    let (unknown, goes_on) = (of(ToldAs::Unknown), of(ToldAs::GoesOn));
    let unfinished = load.generated.unfinished;
    if unfinished > 0 {
        check.violated(format!(
            "{} told nothing at all before the harness stopped waiting",
            count(unfinished, "client")
        ));
    }
    for (n, what) in
        [(unknown, "that it cannot be found out"), (goes_on, "that the import goes on after all their patience")]
    {
        if n > 0 && !faults {
            check.violated(format!("{} told {what}, though nothing was broken", count(n, "client")));
        }
    }
    let lost = unknown + goes_on;
    if faults && lost * UNKNOWN_OF > told {
        check.violated(format!(
            "{} of {told} told that it cannot be found out or goes on, in a world that had healed: at most one in {UNKNOWN_OF} may be",
            count(lost, "client")
        ));
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixture;
    use super::*;
    use crate::trial::record::{FaultRecord, Fired};

    fn group(told: ToldAs) -> ToldGroup {
        let job = match told {
            ToldAs::Complete => JobIs::Completed,
            ToldAs::Failed => JobIs::Failed,
            ToldAs::GoesOn | ToldAs::Unknown => JobIs::Running,
            ToldAs::Refused | ToldAs::NotDone => JobIs::None,
        };
        ToldGroup {
            told,
            refresh: false,
            poison: told == ToldAs::Failed,
            event: if told == ToldAs::Complete { EventIs::Right } else { EventIs::Partial },
            job,
            told_job: if told == ToldAs::Complete { job } else { JobIs::None },
            early: false,
            clients: 10,
            recovered: 0,
            examples: vec!["request 4".to_owned()],
        }
    }

    fn trial(told: Vec<ToldGroup>, faults: bool) -> TrialRecord {
        let mut record = fixture::loaded();
        if let Some(load) = &mut record.load {
            load.generated.ended = told.iter().map(|g| g.clients).sum();
            load.told = told;
        }
        if faults {
            let fired = Fired { at_us: 1, healed_us: None, evidence: "signal 9".to_owned() };
            record.faults = vec![FaultRecord {
                fault: "1s = server-kill".to_owned(),
                fired: Some(fired),
                why_not: None,
                missed: None,
            }];
        }
        record
    }

    fn verdict(told: Vec<ToldGroup>, faults: bool) -> (Verdict, String) {
        let finding = check(&trial(told, faults));
        (finding.verdict, finding.evidence.first().cloned().unwrap_or_default())
    }

    #[test]
    fn what_is_so_is_held() {
        let all = vec![group(ToldAs::Complete), group(ToldAs::Failed), group(ToldAs::Refused)];
        let (found, evidence) = verdict(all, false);
        assert_eq!(found, Verdict::Held, "{evidence}");
        assert_eq!(evidence, "30 clients told the truth: 10 complete, 10 failed, 10 refused");
        let (found, evidence) = verdict(vec![group(ToldAs::Complete), group(ToldAs::NotDone)], true);
        assert_eq!(found, Verdict::Held, "{evidence}");
    }

    #[test]
    fn every_falsehood_is_violated() {
        let change = |told: ToldAs, change: fn(&mut ToldGroup)| {
            let mut group = group(told);
            change(&mut group);
            group
        };
        let lies = [
            (change(ToldAs::Complete, |g| g.event = EventIs::Partial), "not laps_full"),
            (change(ToldAs::Complete, |g| g.event = EventIs::Absent), "not in the database"),
            (change(ToldAs::Complete, |g| g.event = EventIs::Wrong), "not as they must be"),
            (change(ToldAs::Complete, |g| g.told_job = JobIs::CompletedLater), "ended later"),
            (change(ToldAs::Complete, |g| g.told_job = JobIs::Failed), "did not"),
            (
                change(ToldAs::Complete, |g| {
                    g.refresh = true;
                    g.told_job = JobIs::None;
                    g.job = JobIs::Failed;
                }),
                "refresh",
            ),
            (change(ToldAs::Failed, |g| g.job = JobIs::Completed), "job completed"),
            (change(ToldAs::Failed, |g| g.job = JobIs::None), "no job"),
            (change(ToldAs::Failed, |g| g.job = JobIs::Running), "goes on"),
            (change(ToldAs::NotDone, |g| g.job = JobIs::Completed), "became a job"),
            (change(ToldAs::Refused, |g| g.job = JobIs::Queued), "became a job"),
            (change(ToldAs::GoesOn, |g| g.early = true), "not over"),
        ];
        for (lie, says) in lies {
            let (found, evidence) = verdict(vec![group(ToldAs::Complete), lie.clone()], true);
            assert_eq!(found, Verdict::Violated, "{lie:?}");
            assert!(evidence.contains(says), "{evidence}");
        }
    }

    #[test]
    fn a_world_in_which_nothing_broke_or_that_has_healed_must_be_able_to_say() {
        for told in [ToldAs::Unknown, ToldAs::GoesOn] {
            let (found, evidence) = verdict(vec![group(ToldAs::Complete), group(told)], false);
            assert_eq!(found, Verdict::Violated, "{evidence}");
            assert!(evidence.contains("nothing was broken"), "{evidence}");
        }
        let few = ToldGroup { clients: 1, ..group(ToldAs::Unknown) };
        assert_eq!(verdict(vec![group(ToldAs::Complete), few], true).0, Verdict::Held);
        let (found, evidence) = verdict(vec![group(ToldAs::Complete), group(ToldAs::Unknown)], true);
        assert_eq!((found, evidence.contains("had healed")), (Verdict::Violated, true), "{evidence}");
    }

    #[test]
    fn clients_without_a_word_jobs_that_contradict_and_wrong_counts_are_violated() {
        let spoil = |spoil: fn(&mut LoadRecord)| {
            let mut record = trial(vec![group(ToldAs::Complete)], false);
            if let Some(load) = &mut record.load {
                spoil(load);
            }
            check(&record).verdict
        };
        assert_eq!(spoil(|_| ()), Verdict::Held);
        assert_eq!(spoil(|load| load.generated.unfinished = 1), Verdict::Violated);
        assert_eq!(spoil(|load| load.jobs.contradicted.push("job 3".to_owned())), Verdict::Violated);
        assert_eq!(spoil(|load| load.jobs.miscounted.push("job 3".to_owned())), Verdict::Violated);
        assert_eq!(spoil(|load| load.told.clear()), Verdict::Unknown);
        assert_eq!(spoil(|load| load.generated.ended += 1), Verdict::Unknown, "what one was told is not known");
        assert_eq!(check(&fixture::healthy()).verdict, Verdict::NotJudged);
    }
}
