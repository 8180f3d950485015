//! *same-content*: a second ingestion of an unchanged event changes no content, under every profile.
//!
//! The tables, the event's depth and its checkpoints are compared with what the ingestion before left. Rows may be
//! written again with the same content: that is for `no-rewrite`.

use super::check::{Check, Finding, label};
use super::tables::{compare, nothing_there, totals};
use crate::trial::record::{Checkpoint, Exit, ExpectedOutcome, Ingestion, Purpose, TrialRecord};

/// The second ingestions of a trial, each with the one before it of the same event.
pub(super) fn pairs(record: &TrialRecord) -> impl Iterator<Item = (Option<&Ingestion>, &Ingestion)> {
    record.ingestions.iter().enumerate().filter(|(_, again)| again.purpose == Purpose::Again).map(|(i, again)| {
        (record.ingestions[..i].iter().rev().find(|earlier| earlier.event_id == again.event_id), again)
    })
}

/// Whether the second ingestion did its work; if not, equal tables show nothing.
pub(super) fn ran(again: &Ingestion) -> Result<(), String> {
    match (again.attempts.last().map(|a| a.exit), &again.expect) {
        (None, _) => Err("no engine process ran".to_owned()),
        (Some(Exit::Code(0)), _) | (Some(Exit::Code(_)), ExpectedOutcome::Partial { .. }) => Ok(()),
        (Some(Exit::Code(code)), ExpectedOutcome::Complete) => Err(format!("the engine gave up with exit code {code}")),
        (Some(Exit::Signal(signal)), _) => Err(format!("the engine was ended by signal {signal}")),
        (Some(Exit::TimedOut), _) => Err("the engine did not end in its time".to_owned()),
    }
}

/// Judges a trial.
#[must_use]
pub fn check(record: &TrialRecord) -> Finding {
    let mut check = Check::default();
    let mut any = false;
    for (earlier, again) in pairs(record) {
        any = true;
        let Some(earlier) = earlier else {
            check.missing("no ingestion came before the second one");
            continue;
        };
        let before = check.found();
        if let Err(why) = ran(again) {
            check.missing(format!("the second ingestion shows nothing: {why}"));
        }
        if nothing_there(&earlier.expected, &earlier.observed.tables) {
            check.missing("nothing was stored that a second ingestion could have changed");
        }
        let found = compare(&earlier.observed.tables, &again.observed.tables);
        found.differing.into_iter().for_each(|text| check.violated(format!("against {}: {text}", label(earlier))));
        found.unread.into_iter().for_each(|kind| check.missing(format!("{} were not read both times", kind.name())));
        let (was, is) = (&earlier.observed.ingest_depth, &again.observed.ingest_depth);
        if was != is {
            let text = |depth: &Option<String>| depth.clone().unwrap_or_else(|| "none".to_owned());
            check.violated(format!("ingest_depth was {} and is {}", text(was), text(is)));
        }
        checkpoints(&mut check, earlier, again);
        if check.found() == before {
            check.held(format!("{} are the same as before", totals(&again.observed.tables)));
        }
    }
    if !any {
        check.missing("there was no second ingestion");
    }
    check.finish()
}

fn checkpoints(check: &mut Check, earlier: &Ingestion, again: &Ingestion) {
    let (was, is) = (&earlier.observed.checkpoints, &again.observed.checkpoints);
    // The error text of a failed race may name an attempt or a time; it is no content.
    let same = |a: &Checkpoint, b: &Checkpoint| (&a.state, a.lap_count, &a.hash) == (&b.state, b.lap_count, &b.hash);
    for (race, checkpoint) in was {
        match is.get(race) {
            None => check.violated(format!("the checkpoint of race {race} is gone")),
            Some(now) if !same(checkpoint, now) => check.violated(format!("the checkpoint of race {race} changed")),
            Some(_) => {}
        }
    }
    for race in is.keys().filter(|race| !was.contains_key(race)) {
        check.violated(format!("race {race} has a checkpoint that it had not"));
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixture::{self, Damage};
    use super::*;
    use crate::oracle::Verdict;
    use crate::trial::record::RowKind;

    #[test]
    fn in_every_table_a_row_missing_doubled_changed_or_extra_is_violated() {
        assert_eq!(check(&fixture::healthy()).verdict, Verdict::Held);
        for kind in RowKind::ALL {
            for damage in Damage::ALL {
                let mut record = fixture::healthy();
                fixture::damage(&mut record.ingestions[1].observed.tables, kind, damage);
                assert_eq!(check(&record).verdict, Verdict::Violated, "{kind:?} {damage:?}");
            }
        }
    }

    #[test]
    fn depth_and_checkpoints_are_content_too() {
        for spoil in [
            (|s| s.ingest_depth = Some("partial".into())) as fn(&mut crate::trial::record::Snapshot),
            |s| drop(s.checkpoints.remove(&101)),
            |s| s.checkpoints.get_mut(&101).unwrap().lap_count += 1,
            |s| s.checkpoints.get_mut(&101).unwrap().hash = Some("other".into()),
            |s| drop(s.checkpoints.insert(999, s.checkpoints[&101].clone())),
        ] {
            let mut record = fixture::healthy();
            spoil(&mut record.ingestions[1].observed);
            assert_eq!(check(&record).verdict, Verdict::Violated);
        }
    }

    #[test]
    fn rewritten_rows_wrong_content_both_times_and_error_texts_are_not_flagged() {
        let mut record = fixture::healthy();
        for ingestion in &mut record.ingestions {
            fixture::damage(&mut ingestion.observed.tables, RowKind::Laps, Damage::Missing);
        }
        let again = &mut record.ingestions[1].observed;
        again.xmin_digest = Some("rewritten".into());
        again.rewritten.insert("laps".into(), 60);
        again.checkpoints.get_mut(&101).unwrap().error = Some("attempt 3".into());
        assert_eq!(check(&record).verdict, Verdict::Held);
    }

    #[test]
    fn without_a_second_ingestion_that_ran_it_is_unknown() {
        let mut none = fixture::healthy();
        none.ingestions.truncate(1);
        let mut alone = fixture::healthy();
        alone.ingestions.remove(0);
        let mut unread = fixture::healthy();
        unread.ingestions[0].observed.tables.remove(&RowKind::Laps);
        let mut gave_up = fixture::healthy();
        gave_up.ingestions[1].attempts[0].exit = Exit::Code(75);
        let mut killed = fixture::healthy();
        killed.ingestions[1].attempts[0].exit = Exit::Signal(9);
        let mut never = fixture::healthy();
        never.ingestions[1].attempts.clear();
        for record in [none, alone, unread, gave_up, killed, never, fixture::idle()] {
            assert_eq!(check(&record).verdict, Verdict::Unknown);
        }
    }
}
