//! *no-rewrite*: a second ingestion of an unchanged event rewrites no row: every `xmin` stays, and no WAL to speak of is
//! written (a row that is locked and left as it is keeps its `xmin` and is logged all the same).
//!
//! Only a profile with `skip_unchanged` promises it; of the others the rewritten rows are told and not judged. The row in
//! `events` is left out: its fencing number rises with every engine that takes the lock. So is the checkpoint of a race
//! that must fail: it is tried again, and its failure recorded again.

use super::Verdict;
use super::check::{Check, Finding, count, megabytes};
use super::same_content::{pairs, ran};
use super::stored::must_fail;
use super::tables::nothing_there;
use crate::trial::record::{Ingestion, TrialRecord};

/// WAL that a second ingestion may write whatever its size: the lock's row, running-transaction records, statistics.
const WAL_ALLOWED_BYTES: u64 = 256 * 1024;

/// Share of the first ingestion's WAL that it may write besides, as a divisor: vacuuming of rows that the first one wrote.
const WAL_ALLOWED_DIVISOR: u64 = 20;

/// Table of the checkpoints.
const CHECKPOINTS: &str = "ingest_checkpoints";

/// The setting that promises it.
const SETTING: &str = "skip_unchanged";

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
        let promise = promise(record, again);
        if promise == Some(false) {
            let rows = rewritten(again).map(|tables| tables.iter().map(|(_, rows)| rows).sum());
            let rows = rows.map_or("rows were not looked at".to_owned(), |n| format!("{} rewritten", count(n, "row")));
            let text = format!("{SETTING} is off: the profile writes unconditionally; {rows}");
            return Finding { verdict: Verdict::NotJudged, evidence: vec![text] };
        }
        judge(&mut check, record, earlier, again);
        if promise.is_none() && check.is_violated() {
            // Nobody said that rows must stay: that some did not is no violation then.
            check = Check::default();
            check.missing(format!("rows were rewritten, and whether {SETTING} was on is not known"));
        }
    }
    if !any {
        check.missing("there was no second ingestion");
    }
    check.finish()
}

/// Whether rows that stay as they are were promised to be left alone: by the engine's own word, else by the run's settings.
fn promise(record: &TrialRecord, again: &Ingestion) -> Option<bool> {
    let told = again.attempts.iter().rev().find_map(|a| a.settings.get(SETTING));
    told.or_else(|| record.settings.get(SETTING)).and_then(|value| value.parse().ok())
}

/// Rows written again by table, without those that may be. A table that was read has a key; `None`: none was.
fn rewritten(again: &Ingestion) -> Option<Vec<(&str, u64)>> {
    let tables = &again.observed.rewritten;
    let may_be = |table: &str| if table == CHECKPOINTS { must_fail(again).len() as u64 } else { 0 };
    (!tables.is_empty()).then(|| {
        let judged = tables.iter().filter(|(table, _)| *table != "events");
        judged.map(|(table, &rows)| (table.as_str(), rows.saturating_sub(may_be(table)))).collect()
    })
}

fn judge(check: &mut Check, record: &TrialRecord, earlier: &Ingestion, again: &Ingestion) {
    let before = check.found();
    if let Err(why) = ran(again) {
        check.missing(format!("the second ingestion shows nothing: {why}"));
    }
    if nothing_there(&earlier.expected, &earlier.observed.tables) {
        check.missing("nothing was stored that a second ingestion could have written again");
    }
    // Two witnesses: the rows that are younger than the ingestion, and a digest over all. One suffices; both must agree.
    let young = rewritten(again);
    for (table, rows) in young.iter().flatten().filter(|(_, rows)| *rows > 0) {
        check.violated(format!("{table}: {} rewritten", count(*rows, "row")));
    }
    match (&earlier.observed.xmin_digest, &again.observed.xmin_digest) {
        (Some(was), Some(is)) if was == is => {}
        (Some(_), Some(_)) if check.found() == before && must_fail(again).is_empty() => {
            check.violated("the digest over every row's xmin changed");
        }
        (Some(_), Some(_)) => {}
        _ if young.is_some() => {}
        _ => check.missing("the xmin of the rows was not read both times"),
    }
    // The first ingestion of the trial wrote the rows, and with it the WAL that the second is measured by.
    let first = record.ingestions.iter().find(|i| i.event_id == again.event_id).and_then(|i| i.wal_bytes);
    let wal = match (again.wal_bytes, first) {
        (Some(bytes), Some(first)) => {
            let allowed = WAL_ALLOWED_BYTES + first / WAL_ALLOWED_DIVISOR;
            if bytes > allowed {
                let (bytes, first, allowed) = (megabytes(bytes), megabytes(first), megabytes(allowed));
                check
                    .violated(format!("{bytes} of WAL, against {first} of the first ingestion; {allowed} are allowed"));
            }
            format!("{} of WAL against {} of the first ingestion", megabytes(bytes), megabytes(first))
        }
        _ => "WAL not measured".to_owned(),
    };
    if check.found() == before {
        check.held(format!("no row rewritten: every xmin is the same; {wal}"));
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixture;
    use super::*;
    use crate::trial::record::{Exit, ExpectedOutcome, RowKind};

    #[test]
    fn a_rewritten_row_in_any_table_is_violated() {
        assert_eq!(check(&fixture::healthy()).verdict, Verdict::Held);
        let tables = RowKind::ALL.into_iter().filter(|k| *k != RowKind::Events).map(RowKind::name);
        for table in tables.chain(["ingest_checkpoints"]) {
            let mut record = fixture::healthy();
            record.ingestions[1].observed.rewritten.insert(table.to_owned(), 1);
            assert_eq!(check(&record).verdict, Verdict::Violated, "{table}");
        }
        let mut record = fixture::healthy();
        record.ingestions[1].observed.xmin_digest = Some("other".into());
        assert_eq!(check(&record).verdict, Verdict::Violated);
    }

    #[test]
    fn wal_to_speak_of_is_violated_though_every_xmin_stayed() {
        let mut record = fixture::healthy();
        record.ingestions[0].wal_bytes = Some(3_000_000);
        record.ingestions[1].wal_bytes = Some(400_000);
        assert_eq!(check(&record).verdict, Verdict::Held);
        record.ingestions[1].wal_bytes = Some(1_100_000);
        let finding = check(&record);
        assert_eq!(finding.verdict, Verdict::Violated);
        assert!(finding.evidence[0].starts_with("1.1 MB of WAL, against 3.0 MB"), "{finding:?}");
    }

    #[test]
    fn the_fence_may_rise_and_content_may_differ() {
        let mut record = fixture::healthy();
        record.ingestions[1].observed.rewritten.insert("events".into(), 1);
        record.ingestions[1].observed.ingest_depth = Some("partial".into());
        assert_eq!(check(&record).verdict, Verdict::Held);
    }

    #[test]
    fn a_race_that_must_fail_is_tried_again_and_its_checkpoint_written_but_no_other() {
        let mut record = fixture::healthy();
        record.ingestions[1].expect = ExpectedOutcome::Partial { failed: vec![103] };
        record.ingestions[1].attempts[0].exit = Exit::Code(75);
        record.ingestions[1].observed.rewritten.insert(CHECKPOINTS.into(), 1);
        record.ingestions[1].observed.xmin_digest = Some("other".into());
        assert_eq!(check(&record).verdict, Verdict::Held);
        record.ingestions[1].observed.rewritten.insert(CHECKPOINTS.into(), 2);
        assert_eq!(check(&record).verdict, Verdict::Violated);
    }

    #[test]
    fn a_profile_that_writes_unconditionally_is_not_judged_but_told() {
        let mut record = fixture::healthy();
        record.ingestions[1].attempts[0].settings.insert(SETTING.into(), "false".into());
        record.ingestions[1].observed.rewritten.insert("laps".into(), 60);
        let finding = check(&record);
        assert_eq!(finding.verdict, Verdict::NotJudged);
        assert!(finding.evidence[0].contains("60 rows rewritten"), "{finding:?}");
    }

    #[test]
    fn the_engines_own_word_goes_before_the_runs_settings() {
        let mut record = fixture::healthy();
        record.settings.insert(SETTING.into(), "false".into());
        assert_eq!(check(&record).verdict, Verdict::Held);
        record.ingestions[1].attempts[0].settings.clear();
        assert_eq!(check(&record).verdict, Verdict::NotJudged);
        record.settings.clear();
        assert_eq!(check(&record).verdict, Verdict::Held, "nothing was rewritten, promised or not");
        record.ingestions[1].observed.rewritten.insert("laps".into(), 60);
        assert_eq!(check(&record).verdict, Verdict::Unknown);
    }

    #[test]
    fn what_was_not_read_is_unknown() {
        let mut neither = fixture::healthy();
        neither.ingestions[0].observed.xmin_digest = None;
        assert_eq!(check(&neither).verdict, Verdict::Held, "young rows were counted, and there is none");
        neither.ingestions[1].observed.rewritten.clear();
        let mut no_again = fixture::healthy();
        no_again.ingestions.truncate(1);
        let mut gave_up = fixture::healthy();
        gave_up.ingestions[1].attempts[0].exit = Exit::Code(75);
        for record in [neither, no_again, gave_up, fixture::idle()] {
            assert_eq!(check(&record).verdict, Verdict::Unknown);
        }
        let mut no_wal = fixture::healthy();
        no_wal.ingestions[1].wal_bytes = None;
        let finding = check(&no_wal);
        assert_eq!(finding.verdict, Verdict::Held, "xmin is the witness; WAL is a second one");
        assert!(finding.evidence[0].contains("WAL not measured"), "{finding:?}");
    }
}
