//! *counts*: rows inserted, updated, deleted and unchanged as the engine reports them equal the difference of the tables.
//!
//! Judged are ingestions whose processes all ended by themselves; their reports are added up. What a killed one would have
//! reported is not known. Exact are
//! inserted and deleted rows of every table, and every figure of races, results and laps, which are written once in an
//! ingestion. Where leeway is given, a reason stands beside it.

use contract::feed::{Changes, Counts};

use super::check::{Check, Finding, figure, label};
use crate::trial::record::{Attempt, Exit, Ingestion, TrialRecord};

/// Judges a trial.
#[must_use]
pub fn check(record: &TrialRecord) -> Finding {
    let mut check = Check::default();
    let mut interrupted = Vec::new();
    for ingestion in &record.ingestions {
        if ingestion.attempts.is_empty() {
            check.missing(format!("{}: no engine process ran", label(ingestion)));
        } else if ingestion.attempts.iter().any(|a| !matches!(a.exit, Exit::Code(_)) || disturbed(record, a)) {
            interrupted.push(label(ingestion));
        } else {
            match (reported(ingestion), &ingestion.changes) {
                (None, _) => check.missing(format!("{}: the engine reported no counts", label(ingestion))),
                (_, None) => check.missing(format!("{}: the tables' difference was not observed", label(ingestion))),
                (Some((said, looked)), Some(truth)) => judge(&mut check, ingestion, &said, truth, looked),
            }
        }
    }
    for label in &interrupted {
        check.remark(format!(
            "{label} was interrupted: what was written by a killed process, or by a transaction whose answer a fault swallowed, \
             is not known to who reports, so it is not judged"
        ));
    }
    let only_interrupted = !interrupted.is_empty() && interrupted.len() == record.ingestions.len();
    let mut finding = check.finish();
    if only_interrupted {
        finding = Finding { verdict: super::Verdict::NotJudged, evidence: finding.evidence.split_off(1) };
    }
    finding
}

/// What all processes reported together, and whether every race was looked at: one that was skipped, or left to another
/// process, leaves its rows uncounted. `None`: one of them reported nothing.
fn reported(ingestion: &Ingestion) -> Option<(Changes, bool)> {
    let mut said = Changes::default();
    let mut looked = ingestion.attempts.len() == 1;
    for attempt in &ingestion.attempts {
        let summary = attempt.summary.as_ref()?;
        said += summary.rows;
        looked &= summary.skipped == 0;
    }
    Some((said, looked))
}

/// Whether a fault made the engine write something again: then it cannot know all that its first attempt wrote.
fn disturbed(record: &TrialRecord, attempt: &Attempt) -> bool {
    let span = attempt.started_us..=attempt.ended_us;
    let struck = record.faults.iter().filter_map(|f| f.fired.as_ref()).any(|fired| span.contains(&fired.at_us));
    struck && attempt.retries.keys().any(|what| what != "fetch")
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

fn judge(check: &mut Check, ingestion: &Ingestion, said: &Changes, truth: &Changes, looked: bool) {
    let label = label(ingestion);
    let before = check.found();
    // A profile that updates unconditionally counts rows that it wrote again as updated (contract, `Counts`).
    let rewrites = ingestion.attempts.iter().any(|a| a.settings.get("skip_unchanged").is_some_and(|v| v == "false"));
    let tables = [
        ("drivers", said.drivers, truth.drivers, Leeway::Repeats),
        ("entries", said.entries, truth.entries, Leeway::Repeats),
        ("races", said.races, truth.races, Leeway::None),
        ("results", said.results, truth.results, Leeway::None),
        ("laps", said.laps, truth.laps, Leeway::None),
    ];
    for (table, said, truth, leeway) in tables {
        let mut wrong = |what: &str, said: u64, truth: u64| {
            check.violated(format!("{label}: {table}: {} reported {what}, {} were", figure(said), figure(truth)));
        };
        if said.inserted != truth.inserted {
            wrong("inserted", said.inserted, truth.inserted);
        }
        if said.deleted != truth.deleted {
            wrong("deleted", said.deleted, truth.deleted);
        }
        let most_updated = match leeway {
            Leeway::Repeats => u64::MAX,
            Leeway::None if rewrites => truth.updated + truth.unchanged,
            Leeway::None => truth.updated,
        };
        if !(truth.updated..=most_updated).contains(&said.updated) {
            wrong("updated", said.updated, truth.updated);
        }
        if leeway == Leeway::None {
            // Rows of a race that was skipped were not looked at, so they need not be counted.
            let stayed = truth.unchanged.saturating_sub(said.updated.saturating_sub(truth.updated));
            if said.unchanged > stayed || (looked && said.unchanged < stayed) {
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

    type Table = fn(&mut Changes) -> &mut Counts;
    const TABLES: [Table; 5] =
        [|c| &mut c.drivers, |c| &mut c.entries, |c| &mut c.races, |c| &mut c.results, |c| &mut c.laps];

    fn said(record: &mut TrialRecord, ingestion: usize) -> &mut Changes {
        &mut record.ingestions[ingestion].attempts[0].summary.as_mut().unwrap().rows
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
    fn an_interrupted_ingestion_is_not_judged_but_the_others_are() {
        let record = fixture::crashed();
        let finding = check(&record);
        assert_eq!(finding.verdict, Verdict::Held);
        assert!(finding.evidence.iter().any(|e| e.contains("revision 1 was interrupted")), "{finding:?}");
        let mut alone = record.clone();
        alone.ingestions.truncate(1);
        assert_eq!(check(&alone).verdict, Verdict::NotJudged);
        let mut wrong = record;
        said(&mut wrong, 1).laps.inserted = 1;
        assert_eq!(check(&wrong).verdict, Verdict::Violated);
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
