//! *content*: every table equals what the generator made, after every ingestion.
//!
//! Compared are row count and digest per race (per event for what is not of a race). Which transaction wrote a row, and
//! in which order, is nothing to this oracle. After a partial ingestion the expected tables are those without the races
//! that must fail, so a row of such a race is a row too many.

use super::check::{Check, Finding, label};
use super::tables::{compare, place, totals};
use crate::trial::record::{DifferingRow, TrialRecord};

/// Judges a trial.
#[must_use]
pub fn check(record: &TrialRecord) -> Finding {
    let mut check = Check::default();
    for ingestion in &record.ingestions {
        let label = label(ingestion);
        let before = check.found();
        let found = compare(&ingestion.expected, &ingestion.observed.tables);
        for text in found.differing {
            check.violated(format!("{label}: {text}"));
        }
        for row in &ingestion.observed.differing {
            check.violated(format!("{label}: {}", row_text(row)));
        }
        for kind in found.unread {
            let side = if ingestion.expected.contains_key(&kind) { "were not read" } else { "have no expectation" };
            check.missing(format!("{label}: {} {side}", kind.name()));
        }
        if check.found() == before {
            check.held(format!("{label}: {} equal, digests match", totals(&ingestion.expected)));
        }
    }
    check.finish()
}

fn row_text(row: &DifferingRow) -> String {
    let place = place(row.kind, row.group);
    match (&row.expected, &row.observed) {
        (Some(expected), Some(observed)) => format!("{place}: `{observed}` where `{expected}` is expected"),
        (Some(expected), None) => format!("{place}: `{expected}` is missing"),
        (None, Some(observed)) => format!("{place}: `{observed}` should not be there"),
        (None, None) => format!("{place}: a row differs"),
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixture::{self, Damage};
    use super::*;
    use crate::oracle::Verdict;
    use crate::trial::record::{ExpectedOutcome, RowKind};

    #[test]
    fn healthy_rows_are_held_with_their_figures() {
        let finding = check(&fixture::healthy());
        assert_eq!(finding.verdict, Verdict::Held);
        assert_eq!(
            finding.evidence[0],
            "revision 1: 60 laps and 6 results in 3 races, 6 entries, 6 drivers equal, digests match"
        );
        assert_eq!(finding.evidence.len(), 2, "the second ingestion is judged as well");
    }

    #[test]
    fn in_every_table_and_ingestion_a_row_missing_doubled_changed_or_extra_is_violated() {
        for kind in RowKind::ALL {
            for damage in Damage::ALL {
                for ingestion in 0..2 {
                    let mut record = fixture::healthy();
                    fixture::damage(&mut record.ingestions[ingestion].observed.tables, kind, damage);
                    let finding = check(&record);
                    assert_eq!(finding.verdict, Verdict::Violated, "{kind:?} {damage:?}");
                    assert!(finding.evidence[0].contains(kind.name()), "{finding:?}");
                }
            }
        }
    }

    #[test]
    fn what_is_not_content_is_not_flagged() {
        let mut record = fixture::healthy();
        let observed = &mut record.ingestions[0].observed;
        observed.xmins.clear();
        observed.xmin_digest = None;
        observed.ingest_depth = Some("partial".into());
        observed.checkpoints.clear();
        // An empty race: a group without rows equals an absent one, on either side.
        let empty = fixture::group(0, "");
        record.ingestions[0].expected.get_mut(&RowKind::Laps).unwrap().insert(900, empty.clone());
        record.ingestions[1].observed.tables.get_mut(&RowKind::Results).unwrap().insert(900, empty);
        assert_eq!(check(&record).verdict, Verdict::Held);
    }

    #[test]
    fn differing_rows_are_shown() {
        let mut record = fixture::healthy();
        record.ingestions[0].observed.differing = vec![
            DifferingRow { kind: RowKind::Laps, group: 101, expected: Some("1|20000".into()), observed: None },
            DifferingRow { kind: RowKind::Laps, group: 101, expected: None, observed: Some("1|20001".into()) },
        ];
        let finding = check(&record);
        assert_eq!(finding.verdict, Verdict::Violated);
        assert_eq!(finding.evidence[0], "revision 1: laps of race 101: `1|20000` is missing");
        assert_eq!(finding.evidence[1], "revision 1: laps of race 101: `1|20001` should not be there");
    }

    #[test]
    fn a_row_of_a_race_that_must_fail_is_one_too_many() {
        let mut record = fixture::partial(103);
        assert_eq!(check(&record).verdict, Verdict::Held);
        assert_eq!(record.ingestions[0].expect, ExpectedOutcome::Partial { failed: vec![103] });
        let laps = record.ingestions[0].observed.tables.get_mut(&RowKind::Laps).unwrap();
        laps.insert(103, fixture::group(1, "one lap"));
        assert_eq!(check(&record).verdict, Verdict::Violated);
    }

    #[test]
    fn a_kind_that_was_not_read_is_unknown() {
        for kind in RowKind::ALL {
            let mut record = fixture::healthy();
            record.ingestions[1].observed.tables.remove(&kind);
            let finding = check(&record);
            assert_eq!(finding.verdict, Verdict::Unknown, "{kind:?}");
            assert_eq!(finding.evidence[0], format!("the second ingestion: {} were not read", kind.name()));
        }
        let mut record = fixture::healthy();
        record.ingestions[0].expected.remove(&RowKind::Laps);
        assert_eq!(check(&record).verdict, Verdict::Unknown);
    }
}
