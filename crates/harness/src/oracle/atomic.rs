//! *atomic*: the rows of a race become visible together.
//!
//! After a fresh ingestion all rows of a race and its checkpoint carry one `xmin`: one transaction wrote them. After a
//! later one, those rows whose `xmin` is new carry one, and a new checkpoint the same. (An engine that writes through
//! savepoints shows several; ours has none.) Where a concurrent reader ran, it must never have seen a part of a race; nor must
//! a part be there when the database is read after a fault or a process's death.

use std::collections::BTreeSet;

use super::check::{Check, Finding, count, label};
use super::durable::WRITTEN;
use super::tables::rows_of;
use crate::trial::record::{Ingestion, Interlude, RowKind, TrialRecord, XminSet};

/// Judges a trial.
#[must_use]
pub fn check(record: &TrialRecord) -> Finding {
    let mut check = Check::default();
    for (i, ingestion) in record.ingestions.iter().enumerate() {
        let earlier = record.ingestions[..i].iter().rev().find(|e| e.event_id == ingestion.event_id);
        judge(&mut check, ingestion, earlier);
        for (interlude, race, seen) in ingestion.interludes.iter().flat_map(parts) {
            let label = label(ingestion);
            check.violated(format!("{label}, after {}: a part of race {race} was there: {seen}", interlude.after));
        }
    }
    match &record.sampler {
        Some(sampler) => {
            for (race, seen) in &sampler.partial {
                check.violated(format!("a concurrent reader saw a part of race {race}: {seen}"));
            }
            let samples = count(sampler.samples, "snapshot");
            check.remark(format!("{samples} by a concurrent reader, {} of them partial", sampler.partial.len()));
        }
        None => check.remark("no concurrent reader ran: judged by xmin alone"),
    }
    check.finish()
}

fn judge(check: &mut Check, ingestion: &Ingestion, earlier: Option<&Ingestion>) {
    let label = label(ingestion);
    let observed = &ingestion.observed;
    let Some(stored) = observed.tables.get(&RowKind::Races) else {
        check.missing(format!("{label}: races were not read"));
        return;
    };
    let before = check.found();
    let (mut seen, mut transactions) = (0, BTreeSet::new());
    for (&race, _) in stored.iter().filter(|(_, group)| group.rows > 0) {
        let checkpointed = observed.checkpoints.contains_key(&race);
        let Some(xmins) = observed.xmins.get(&race).filter(|x| !x.rows.is_empty()) else {
            check.missing(format!("{label}: xmin of race {race} was not read"));
            continue;
        };
        if checkpointed && xmins.checkpoint.is_none() {
            check.missing(format!("{label}: xmin of the checkpoint of race {race} was not read"));
            continue;
        }
        seen += 1;
        let verdict = match earlier.and_then(|e| e.observed.xmins.get(&race)) {
            Some(was) => updated(was, xmins),
            // A race that an earlier snapshot holds without its xmin cannot be told from a new one.
            None if earlier.is_some_and(|e| rows_of(&e.observed.tables, RowKind::Races, race) != Some(0)) => {
                check.missing(format!("{label}: xmin of race {race} was not read before"));
                continue;
            }
            None => fresh(xmins),
        };
        match verdict {
            Ok(by) => transactions.extend(by),
            Err(why) => check.violated(format!("{label}: race {race}: {why}")),
        }
    }
    if check.found() > before || seen == 0 {
        return;
    }
    let (races, by) = (count(seen, "race"), count(transactions.len() as u64, "transaction"));
    check.held(match earlier {
        None => format!("{label}: {races}, the rows and the checkpoint of each of one xmin; {by} in all"),
        Some(_) => format!("{label}: {races}, what was written anew in each of one xmin; {by} in all"),
    });
}

/// Races of which a part was there in mid-ingestion: laps without a checkpoint, or more or fewer than it says.
fn parts(interlude: &Interlude) -> impl Iterator<Item = (&Interlude, u64, String)> {
    interlude.laps_stored.iter().filter_map(move |(&race, &laps)| {
        let seen = match interlude.checkpoints.get(&race) {
            None => format!("its rows and {}, without a checkpoint", count(laps, "lap")),
            Some(told) if told.state == WRITTEN && told.lap_count != laps => {
                format!("{} where its checkpoint says {}", count(laps, "lap"), told.lap_count)
            }
            Some(_) => return None,
        };
        Some((interlude, race, seen))
    })
}

/// A race that was not there before: one transaction wrote it.
fn fresh(xmins: &XminSet) -> Result<Option<u64>, String> {
    let Some(checkpoint) = xmins.checkpoint else {
        return Err(format!(
            "rows of {} are visible without a checkpoint",
            count(xmins.rows.len() as u64, "transaction")
        ));
    };
    if xmins.rows.len() > 1 {
        return Err(format!("its rows were written by {}", list(&xmins.rows)));
    }
    if !xmins.rows.contains(&checkpoint) {
        return Err(format!("its rows were written by {}, its checkpoint by {checkpoint}", list(&xmins.rows)));
    }
    Ok(Some(checkpoint))
}

/// A race that was there: what is new was written by one transaction.
fn updated(was: &XminSet, is: &XminSet) -> Result<Option<u64>, String> {
    let new: BTreeSet<u64> = is.rows.difference(&was.rows).copied().collect();
    if new.len() > 1 {
        return Err(format!("its changed rows were written by {}", list(&new)));
    }
    let checkpoint = is.checkpoint.filter(|_| is.checkpoint != was.checkpoint);
    if is.checkpoint.is_none() {
        return Err("its rows are visible without a checkpoint".to_owned());
    }
    match (new.first(), checkpoint) {
        (Some(rows), Some(checkpoint)) if *rows != checkpoint => {
            Err(format!("its changed rows were written by {}, its checkpoint by {checkpoint}", list(&new)))
        }
        (rows, checkpoint) => Ok(rows.copied().or(checkpoint)),
    }
}

fn list(xmins: &BTreeSet<u64>) -> String {
    let ids: Vec<_> = xmins.iter().take(5).map(u64::to_string).collect();
    let noun = if xmins.len() == 1 { "transaction" } else { "transactions" };
    format!("{noun} {}", ids.join(", "))
}

#[cfg(test)]
mod tests {
    use super::super::fixture;
    use super::*;
    use crate::oracle::Verdict;
    use crate::trial::record::SamplerObservation;

    fn xmins(rows: &[u64], checkpoint: Option<u64>) -> XminSet {
        XminSet { rows: rows.iter().copied().collect(), checkpoint }
    }

    #[test]
    fn rows_of_two_transactions_or_a_checkpoint_of_another_are_violated() {
        let finding = check(&fixture::healthy());
        assert_eq!(finding.verdict, Verdict::Held);
        assert!(finding.evidence[0].contains("3 races"), "{finding:?}");
        for wrong in [xmins(&[700, 701], Some(700)), xmins(&[700], Some(701)), xmins(&[700, 701], Some(702))] {
            let mut record = fixture::healthy();
            record.ingestions[0].observed.xmins.insert(101, wrong.clone());
            assert_eq!(check(&record).verdict, Verdict::Violated, "{wrong:?}");
        }
        let mut without = fixture::healthy();
        without.ingestions[0].observed.checkpoints.remove(&101);
        without.ingestions[0].observed.xmins.get_mut(&101).unwrap().checkpoint = None;
        assert_eq!(check(&without).verdict, Verdict::Violated, "rows without a checkpoint");
    }

    #[test]
    fn what_is_wrong_is_told_by_its_transactions() {
        let mut record = fixture::healthy();
        record.ingestions.truncate(1);
        record.ingestions[0].observed.xmins.insert(101, xmins(&[700, 701], Some(700)));
        record.ingestions[0].observed.xmins.insert(102, xmins(&[700], Some(701)));
        let finding = check(&record);
        let says = [
            "revision 1: race 101: its rows were written by transactions 700, 701",
            "revision 1: race 102: its rows were written by transaction 700, its checkpoint by 701",
        ];
        assert_eq!(finding.evidence[..2], says.map(str::to_owned));
        assert!(finding.evidence[2].starts_with("no concurrent reader"), "nothing is told to hold: {finding:?}");
    }

    #[test]
    fn a_race_without_a_row_is_not_there_and_one_of_before_without_its_xmin_is_unknown() {
        let mut empty = fixture::healthy();
        let races = empty.ingestions[0].observed.tables.get_mut(&RowKind::Races).unwrap();
        races.insert(104, fixture::group(0, "nothing"));
        assert_eq!(check(&empty).verdict, Verdict::Held);
        let mut unread = fixture::healthy();
        unread.ingestions[0].observed.xmins.remove(&102);
        let finding = check(&unread);
        assert!(
            finding.evidence[1].contains("the second ingestion: xmin of race 102 was not read before"),
            "{finding:?}"
        );
        assert!(finding.evidence[2].starts_with("no concurrent reader"), "nothing is told to hold: {finding:?}");
    }

    #[test]
    fn transactions_may_differ_between_races_or_be_shared_by_them() {
        let mut record = fixture::healthy();
        for ingestion in &mut record.ingestions {
            ingestion.observed.xmins.insert(102, xmins(&[999], Some(999)));
            ingestion.observed.xmins.insert(103, xmins(&[999], Some(999)));
        }
        assert_eq!(check(&record).verdict, Verdict::Held);
    }

    #[test]
    fn an_update_may_leave_old_rows_but_writes_the_new_ones_at_once() {
        // (xmins of race 101 after the first ingestion are those of transaction 700)
        let some = fixture::healthy().ingestions[0].observed.xmins[&101].checkpoint.unwrap();
        for good in [
            xmins(&[some], Some(some)),
            xmins(&[some, 900], Some(900)),
            xmins(&[900], Some(900)),
            xmins(&[some], Some(900)),
            xmins(&[some, 900], Some(some)),
        ] {
            let mut record = fixture::healthy();
            record.ingestions[1].observed.xmins.insert(101, good.clone());
            assert_eq!(check(&record).verdict, Verdict::Held, "{good:?}");
        }
        for wrong in [xmins(&[some, 900, 901], Some(900)), xmins(&[some, 900], Some(901))] {
            let mut record = fixture::healthy();
            record.ingestions[1].observed.xmins.insert(101, wrong.clone());
            assert_eq!(check(&record).verdict, Verdict::Violated, "{wrong:?}");
        }
    }

    #[test]
    fn a_race_that_a_later_revision_adds_is_judged_as_fresh() {
        let mut record = fixture::healthy();
        for (kind, rows) in [(RowKind::Races, 1), (RowKind::Laps, 3)] {
            record.ingestions[1].observed.tables.get_mut(&kind).unwrap().insert(104, fixture::group(rows, "new"));
        }
        record.ingestions[1].observed.xmins.insert(104, xmins(&[900, 901], Some(900)));
        assert_eq!(check(&record).verdict, Verdict::Violated);
        record.ingestions[1].observed.xmins.insert(104, xmins(&[900], Some(900)));
        assert_eq!(check(&record).verdict, Verdict::Held);
    }

    #[test]
    fn the_sampler_is_heard_and_counted() {
        let mut record = fixture::healthy();
        record.sampler = Some(SamplerObservation { samples: 412, partial: Vec::new() });
        let finding = check(&record);
        assert_eq!(finding.verdict, Verdict::Held);
        assert!(finding.evidence.iter().any(|e| e.starts_with("412 snapshots")), "{finding:?}");
        record.sampler = Some(SamplerObservation { samples: 412, partial: vec![(102, "7 of 20 laps".into())] });
        assert_eq!(check(&record).verdict, Verdict::Violated);
    }

    #[test]
    fn what_was_not_read_is_unknown() {
        let mut no_xmin = fixture::healthy();
        no_xmin.ingestions[0].observed.xmins.clear();
        let mut one = fixture::healthy();
        one.ingestions[1].observed.xmins.remove(&102);
        let mut no_checkpoint_xmin = fixture::healthy();
        no_checkpoint_xmin.ingestions[0].observed.xmins.get_mut(&101).unwrap().checkpoint = None;
        let mut no_races = fixture::healthy();
        no_races.ingestions[0].observed.tables.remove(&RowKind::Races);
        for record in [no_xmin, one, no_checkpoint_xmin, no_races, fixture::idle()] {
            assert_eq!(check(&record).verdict, Verdict::Unknown);
        }
    }

    #[test]
    fn a_part_of_a_race_in_mid_ingestion_is_violated() {
        assert_eq!(check(&fixture::crashed()).verdict, Verdict::Held);
        let mut ahead = fixture::crashed();
        ahead.ingestions[0].interludes[0].laps_stored.insert(101, 3);
        let mut behind = fixture::crashed();
        behind.ingestions[0].interludes[0].checkpoints.clear();
        for (record, says) in [(ahead, "3 laps where its checkpoint says"), (behind, "without a checkpoint")] {
            let finding = check(&record);
            assert_eq!(finding.verdict, Verdict::Violated);
            assert!(finding.evidence[0].contains(says), "{finding:?}");
        }
    }
}
