//! *counts*: rows inserted, updated, deleted and unchanged as the engine reports them equal the difference of the tables.
//!
//! A process that ended by itself reports at its end; of one that was killed, the lines of its committed units are its report.
//! Reports of the processes of an ingestion are added up. Exact are inserted and deleted rows of every table, and every figure
//! of races, results and laps, which are written once in an ingestion. Where leeway is given, a reason stands beside it. Not
//! judged is an ingestion in which a process was killed around a COMMIT, so that nobody could report its rows, and one in
//! which a fault took away what had been reported. Of drivers fewer may be reported where the engine says that a statement
//! that writes them (a transaction of its own) was never answered.

use contract::feed::{Changes, Counts};

use super::check::{Check, Finding, figure, label};
use super::durable::lost_meanwhile;
use crate::trial::record::{Exit, Ingestion, TrialRecord};

/// Judges a trial.
#[must_use]
pub fn check(record: &TrialRecord) -> Finding {
    let mut check = Check::default();
    let mut left_out = 0;
    for ingestion in &record.ingestions {
        let label = label(ingestion);
        if ingestion.attempts.is_empty() {
            check.missing(format!("{label}: no engine process ran"));
            continue;
        }
        if !lost_meanwhile(ingestion).is_empty() {
            check.remark(format!("{label} is not judged: a fault took away rows that had been reported"));
            left_out += 1;
            continue;
        }
        match (reported(ingestion), &ingestion.changes) {
            (Report::Nothing, _) => check.missing(format!("{label}: the engine reported no counts")),
            (Report::InDoubt, _) => {
                check.remark(format!(
                    "{label} is not judged: a process was killed around a COMMIT, before it could report the rows of that"
                ));
                left_out += 1;
            }
            (_, None) => check.missing(format!("{label}: the tables' difference was not observed")),
            (Report::All(said, how), Some(truth)) => judge(&mut check, ingestion, &said, truth, how),
        }
    }
    let nothing_else = left_out > 0 && left_out == record.ingestions.len();
    let mut finding = check.finish();
    if nothing_else {
        finding = Finding { verdict: super::Verdict::NotJudged, evidence: finding.evidence.split_off(1) };
    }
    finding
}

/// What all processes of an ingestion reported together.
enum Report {
    All(Changes, How),
    /// One that should have reported something did not.
    Nothing,
    /// One was killed when nobody could tell what it had committed.
    InDoubt,
}

/// How the processes of an ingestion ended.
#[derive(Clone, Copy, PartialEq)]
enum How {
    /// One ended by itself, and looked at every race.
    Looked,
    /// They ended by themselves. A race that was skipped, or left to another process, leaves its rows uncounted.
    Ended,
    /// One was killed: of what it did outside of its units (entries, drivers ahead of a unit) nothing is known.
    Killed,
}

fn reported(ingestion: &Ingestion) -> Report {
    let mut said = Changes::default();
    let mut how = if ingestion.attempts.len() == 1 { How::Looked } else { How::Ended };
    for attempt in &ingestion.attempts {
        if let Some(summary) = &attempt.summary {
            said += summary.rows;
            if summary.skipped > 0 && how == How::Looked {
                how = How::Ended;
            }
        } else if matches!(attempt.exit, Exit::Code(_)) {
            return Report::Nothing;
        } else if let Some(rows) = attempt.rows_told {
            said += rows;
            how = How::Killed;
        } else {
            return Report::InDoubt;
        }
    }
    Report::All(said, how)
}

/// How exactly a table's figures must agree.
#[derive(Clone, Copy, PartialEq)]
enum Leeway {
    /// Written once in an ingestion.
    None,
    /// Touched again by every race of the same driver, and linked to a driver later: a row may count as updated or
    /// unchanged several times, never as inserted or deleted.
    Repeats,
}

fn judge(check: &mut Check, ingestion: &Ingestion, said: &Changes, truth: &Changes, how: How) {
    let label = label(ingestion);
    let before = check.found();
    let in_doubt: u64 = ingestion.attempts.iter().filter_map(|a| a.summary.as_ref()).map(|s| s.drivers_in_doubt).sum();
    if in_doubt > 0 {
        check.remark(format!(
            "{label}: drivers may be more than reported: {in_doubt} statements were never answered, since the connection broke"
        ));
    }
    // A profile that updates unconditionally counts rows that it wrote again as updated (contract, `Counts`).
    let rewrites = ingestion.attempts.iter().any(|a| a.settings.get("skip_unchanged").is_some_and(|v| v == "false"));
    let tables = [
        ("drivers", said.drivers, truth.drivers, Leeway::Repeats),
        ("entries", said.entries, truth.entries, Leeway::Repeats),
        ("races", said.races, truth.races, Leeway::None),
        ("results", said.results, truth.results, Leeway::None),
        ("laps", said.laps, truth.laps, Leeway::None),
    ];
    // A race that was withdrawn leaves when the event page is written, ahead of every unit: of a killed process nothing tells it.
    let race_left = how == How::Killed && said.races.deleted < truth.races.deleted;
    for (table, said, truth, leeway) in tables {
        let mut wrong = |what: &str, said: u64, truth: u64| {
            check.violated(format!("{label}: {table}: {} reported {what}, {} were", figure(said), figure(truth)));
        };
        // What a killed process did to drivers and entries it could not report.
        let may_be_less = (how == How::Killed && leeway == Leeway::Repeats) || (table == "drivers" && in_doubt > 0);
        let agree = |said: u64, truth: u64| said == truth || (may_be_less && said < truth);
        if !agree(said.inserted, truth.inserted) {
            wrong("inserted", said.inserted, truth.inserted);
        }
        let left_with_race = race_left && matches!(table, "races" | "results" | "laps") && said.deleted < truth.deleted;
        if !agree(said.deleted, truth.deleted) && !left_with_race {
            wrong("deleted", said.deleted, truth.deleted);
        }
        let most_updated = match leeway {
            Leeway::Repeats => u64::MAX,
            // The next process may write once more what a killed one had written already.
            Leeway::None if how == How::Killed => u64::MAX,
            // And so may each process more, where one that had stalled had written the event already.
            Leeway::None if rewrites => {
                let again = ingestion.attempts.len().saturating_sub(1) as u64;
                truth.updated + truth.unchanged + again * (truth.inserted + truth.updated + truth.unchanged)
            }
            Leeway::None => truth.updated,
        };
        let least_updated = if may_be_less { 0 } else { truth.updated };
        if !(least_updated..=most_updated).contains(&said.updated) {
            wrong("updated", said.updated, truth.updated);
        }
        if leeway == Leeway::None && how != How::Killed {
            // Rows of a race that was skipped were not looked at, so they need not be counted.
            let stayed = truth.unchanged.saturating_sub(said.updated.saturating_sub(truth.updated));
            // Where several worked on the event each may have looked at each row, and found unchanged what another had written.
            let again = ingestion.attempts.len().saturating_sub(1) as u64;
            let most = stayed + again * (truth.inserted + truth.updated + truth.unchanged);
            if said.unchanged > most || (how == How::Looked && said.unchanged < stayed) {
                wrong("unchanged", said.unchanged, stayed);
            }
        }
    }
    if check.found() == before {
        let all = sum(truth);
        check.held(format!(
            "{label}: {} inserted, {} updated, {} deleted as reported, in five tables",
            figure(all.inserted),
            figure(all.updated),
            figure(all.deleted)
        ));
    }
}

fn sum(changes: &Changes) -> Counts {
    let mut all = changes.drivers;
    [changes.entries, changes.races, changes.results, changes.laps].into_iter().for_each(|c| all += c);
    all
}

#[cfg(test)]
mod tests {
    use super::super::fixture;
    use super::*;
    use crate::oracle::Verdict;
    use crate::trial::record::{FaultRecord, Fired};

    type Table = fn(&mut Changes) -> &mut Counts;
    const TABLES: [Table; 5] =
        [|c| &mut c.drivers, |c| &mut c.entries, |c| &mut c.races, |c| &mut c.results, |c| &mut c.laps];

    fn said(record: &mut TrialRecord, ingestion: usize) -> &mut Changes {
        &mut record.ingestions[ingestion].attempts[0].summary.as_mut().unwrap().rows
    }

    #[test]
    fn every_process_of_a_profile_that_rewrites_may_write_all_rows_again_and_no_more() {
        let mut record = fixture::healthy();
        let first = record.ingestions[1].attempts[0].clone();
        record.ingestions[1].attempts.push(first);
        for attempt in &mut record.ingestions[1].attempts {
            attempt.settings.insert("skip_unchanged".into(), "false".into());
        }
        let there = record.ingestions[1].changes.as_ref().unwrap().races;
        let all = there.inserted + there.updated + there.unchanged;
        assert!(all > 0);
        for attempt in &mut record.ingestions[1].attempts {
            let races = &mut attempt.summary.as_mut().unwrap().rows.races;
            *races = Counts { updated: all, ..Counts::default() };
        }
        assert_eq!(check(&record).verdict, Verdict::Held, "{:?}", check(&record));
        record.ingestions[1].attempts[1].summary.as_mut().unwrap().rows.races.updated += 1;
        assert_eq!(check(&record).verdict, Verdict::Violated);
        record.ingestions[1].attempts.pop();
        record.ingestions[1].attempts[0].summary.as_mut().unwrap().rows.races.updated += 1;
        assert_eq!(check(&record).verdict, Verdict::Violated, "one process writes each row once");
    }

    /// Chaos found it, seed 1, case 355: one that had stalled behind its COMMIT and the one that took over.
    #[test]
    fn a_second_process_finds_unchanged_what_the_first_has_written_and_no_more() {
        let mut record = fixture::healthy();
        let first = record.ingestions[1].attempts[0].clone();
        record.ingestions[1].attempts.push(first);
        let truth = record.ingestions[1].changes.as_mut().unwrap();
        truth.results.unchanged -= 2;
        truth.results.updated += 2;
        let all = truth.results.updated + truth.results.unchanged;
        let results = |record: &mut TrialRecord, attempt: usize, updated, unchanged| {
            let rows = &mut record.ingestions[1].attempts[attempt].summary.as_mut().unwrap().rows;
            rows.results = Counts { updated, unchanged, ..rows.results };
        };
        results(&mut record, 0, 2, all - 2);
        results(&mut record, 1, 0, all);
        assert_eq!(check(&record).verdict, Verdict::Held, "{:?}", check(&record));
        results(&mut record, 1, 0, all + 1);
        assert_eq!(check(&record).verdict, Verdict::Violated);
    }

    #[test]
    fn one_too_many_or_too_few_in_any_table_is_violated() {
        let finding = check(&fixture::healthy());
        assert_eq!(finding.verdict, Verdict::Held);
        assert_eq!(finding.evidence[0], "revision 1: 81 inserted, 0 updated, 0 deleted as reported, in five tables");
        for table in TABLES {
            let spoils: [fn(&mut Counts); 4] =
                [|c| c.inserted += 1, |c| c.inserted -= 1, |c| c.deleted += 1, |c| c.inserted = 0];
            for spoil in spoils {
                let mut record = fixture::healthy();
                spoil(table(said(&mut record, 0)));
                assert_eq!(check(&record).verdict, Verdict::Violated);
            }
            // A row that really changed and is not reported.
            let mut record = fixture::healthy();
            table(record.ingestions[0].changes.as_mut().unwrap()).updated += 1;
            assert_eq!(check(&record).verdict, Verdict::Violated);
        }
        for table in &TABLES[2..] {
            let spoils: [fn(&mut Counts); 2] = [|c| c.updated += 1, |c| c.unchanged += 1];
            for spoil in spoils {
                let mut record = fixture::healthy();
                spoil(table(said(&mut record, 0)));
                assert_eq!(check(&record).verdict, Verdict::Violated);
            }
        }
    }

    #[test]
    fn unconditional_updates_count_as_updated_but_not_more_than_there_are_rows() {
        let mut record = fixture::healthy();
        record.ingestions[1].attempts[0].settings.insert("skip_unchanged".into(), "false".into());
        record.ingestions[1].attempts[0].summary.as_mut().unwrap().skipped = 0;
        *said(&mut record, 1) = Changes {
            races: Counts { updated: 3, ..Counts::default() },
            results: Counts { updated: 6, ..Counts::default() },
            laps: Counts { updated: 50, unchanged: 10, ..Counts::default() },
            ..Changes::default()
        };
        assert_eq!(check(&record).verdict, Verdict::Held);
        said(&mut record, 1).laps.unchanged = 9;
        assert_eq!(check(&record).verdict, Verdict::Violated, "a row that was neither");
        said(&mut record, 1).laps = Counts { updated: 61, ..Counts::default() };
        assert_eq!(check(&record).verdict, Verdict::Violated, "more rows than there are");
    }

    #[test]
    fn skipped_races_need_not_be_counted_and_shared_drivers_may_be_counted_twice() {
        let mut record = fixture::healthy();
        said(&mut record, 1).laps.unchanged = 0;
        said(&mut record, 0).drivers.updated = 4;
        said(&mut record, 0).entries.updated = 6;
        assert_eq!(check(&record).verdict, Verdict::Held);
        record.ingestions[1].attempts[0].summary.as_mut().unwrap().skipped = 0;
        assert_eq!(check(&record).verdict, Verdict::Violated, "nothing was skipped, so each row was looked at");
    }

    #[test]
    fn a_killed_process_is_judged_by_its_committed_units_and_not_where_a_commit_is_in_doubt() {
        // Race 101 was written by the killed process, the others by the next.
        let mut record = fixture::crashed();
        let all = record.ingestions[0].attempts[1].summary.as_ref().unwrap().rows;
        let mut first = Changes::default();
        (first.races.inserted, first.results.inserted, first.laps.inserted) = (1, 2, 20);
        record.ingestions[0].attempts[0].rows_told = Some(first);
        let rest = &mut record.ingestions[0].attempts[1].summary.as_mut().unwrap().rows;
        rest.races.inserted = all.races.inserted - 1;
        rest.results.inserted = all.results.inserted - 2;
        rest.laps.inserted = all.laps.inserted - 20;
        // Drivers and entries that it wrote outside of its units nobody could report.
        rest.drivers.inserted -= 1;
        rest.entries.inserted -= 1;
        let finding = check(&record);
        assert_eq!(finding.verdict, Verdict::Held, "{finding:?}");
        assert!(finding.evidence[0].starts_with("revision 1:"), "{finding:?}");
        for table in TABLES {
            let mut more = record.clone();
            table(&mut more.ingestions[0].attempts[1].summary.as_mut().unwrap().rows).inserted += 2;
            assert_eq!(check(&more).verdict, Verdict::Violated);
        }
        for table in &TABLES[2..] {
            let mut less = record.clone();
            table(less.ingestions[0].attempts[0].rows_told.as_mut().unwrap()).inserted -= 1;
            assert_eq!(check(&less).verdict, Verdict::Violated);
        }

        // A race that had been withdrawn left ahead of the units, and its rows with it.
        let mut left = record.clone();
        let truth = left.ingestions[0].changes.as_mut().unwrap();
        (truth.results.deleted, truth.laps.deleted) = (2, 20);
        assert_eq!(check(&left).verdict, Verdict::Violated, "no race left that could have taken them along");
        left.ingestions[0].changes.as_mut().unwrap().races.deleted = 1;
        assert_eq!(check(&left).verdict, Verdict::Held);
        left.ingestions[0].attempts[1].summary.as_mut().unwrap().rows.laps.deleted = 21;
        assert_eq!(check(&left).verdict, Verdict::Violated, "more than were");

        let mut doubt = record.clone();
        doubt.ingestions[0].attempts[0].rows_told = None;
        let finding = check(&doubt);
        assert_eq!(finding.verdict, Verdict::Held);
        assert!(finding.evidence.iter().any(|e| e.contains("killed around a COMMIT")), "{finding:?}");
        said(&mut doubt, 1).laps.inserted = 1;
        assert_eq!(check(&doubt).verdict, Verdict::Violated, "the other ingestion is judged");
        doubt.ingestions.truncate(1);
        assert_eq!(check(&doubt).verdict, Verdict::NotJudged);
    }

    #[test]
    fn faults_and_retries_excuse_nothing_but_what_a_fault_took_away_is_not_judged() {
        let mut record = fixture::healthy();
        let at_us = record.ingestions[0].attempts[0].started_us + 1;
        let fired = Some(Fired { at_us, healed_us: None, evidence: "log".into() });
        record.faults.push(FaultRecord {
            fault: "commit#2:sent = db-reset".into(),
            fired,
            why_not: None,
            missed: None,
        });
        record.ingestions[0].attempts[0].retries.insert("unit".into(), 1);
        assert_eq!(check(&record).verdict, Verdict::Held);
        said(&mut record, 0).laps.inserted += 10;
        assert_eq!(check(&record).verdict, Verdict::Violated, "a unit that was counted twice");

        let mut lost = fixture::crashed();
        lost.ingestions[0].attempts[0].rows_told = Some(Changes::default());
        assert_eq!(check(&lost).verdict, Verdict::Held, "the fixture's second process reports all of it");
        lost.ingestions[0].attempts[1].summary.as_mut().unwrap().rows.laps.inserted += 20;
        assert_eq!(check(&lost).verdict, Verdict::Violated);
        lost.ingestions[0].interludes[0].laps_stored.clear();
        let finding = check(&lost);
        assert_eq!(finding.verdict, Verdict::Held);
        assert!(finding.evidence.iter().any(|e| e.contains("took away")), "{finding:?}");
    }

    #[test]
    fn drivers_may_be_more_where_a_statement_was_never_answered_and_nothing_else_may() {
        let mut record = fixture::healthy();
        said(&mut record, 0).drivers.inserted -= 1;
        assert_eq!(check(&record).verdict, Verdict::Violated);
        record.ingestions[0].attempts[0].summary.as_mut().unwrap().drivers_in_doubt = 1;
        let finding = check(&record);
        assert_eq!(finding.verdict, Verdict::Held);
        assert!(finding.evidence.iter().any(|e| e.contains("never answered")), "{finding:?}");
        for table in &TABLES[1..] {
            let mut other = record.clone();
            table(said(&mut other, 0)).inserted -= 1;
            assert_eq!(check(&other).verdict, Verdict::Violated);
        }
        said(&mut record, 0).drivers.inserted += 2;
        assert_eq!(check(&record).verdict, Verdict::Violated, "more than were");
    }

    #[test]
    fn reports_of_processes_that_ended_by_themselves_are_added_up() {
        let mut record = fixture::healthy();
        let mut second = record.ingestions[0].attempts[0].clone();
        let first = &mut record.ingestions[0].attempts[0];
        first.exit = Exit::Code(75);
        first.summary.as_mut().unwrap().rows.laps.inserted = 40;
        let rows = &mut second.summary.as_mut().unwrap().rows;
        *rows = Changes::default();
        rows.laps.inserted = 20;
        record.ingestions[0].attempts.push(second);
        assert_eq!(check(&record).verdict, Verdict::Held);
        record.ingestions[0].attempts[1].summary.as_mut().unwrap().rows.laps.inserted = 19;
        assert_eq!(check(&record).verdict, Verdict::Violated);
    }

    #[test]
    fn without_report_or_difference_it_is_unknown() {
        let mut no_report = fixture::healthy();
        no_report.ingestions[0].attempts[0].summary = None;
        let mut no_truth = fixture::healthy();
        no_truth.ingestions[1].changes = None;
        let mut never = fixture::healthy();
        never.ingestions[0].attempts.clear();
        for record in [no_report, no_truth, never] {
            assert_eq!(check(&record).verdict, Verdict::Unknown);
        }
    }
}
