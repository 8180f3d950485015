//! *complete*: the event is `laps_full` if and only if every listed race is there, and the outcome is the one that the
//! scenario expects: all races, or all but the ones that must fail, which the engine then names with URL and cause.

use std::collections::BTreeSet;

use super::check::{Check, Finding, count, label, races};
use super::durable::WRITTEN;
use super::stored::{Holdings, LAPS_FULL, holdings, listed, must_fail, without_failed};
use super::tables::rows_of;
use crate::trial::record::{ExpectedOutcome, Ingestion, Purpose, RowKind, TrialRecord};

/// Judges a trial.
#[must_use]
pub fn check(record: &TrialRecord) -> Finding {
    let mut check = Check::default();
    for ingestion in &record.ingestions {
        let label = label(ingestion);
        too_early(&mut check, ingestion, &label);
        let depth = ingestion.observed.ingest_depth.as_deref();
        let full = depth == Some(LAPS_FULL);
        let depth = depth.unwrap_or("missing: no such event in the database");
        match (holdings(ingestion), &ingestion.expect) {
            (Holdings::Unread(kinds), _) => check.missing(format!("{label}: {} were not read", kinds.join(", "))),
            (Holdings::All(n), _) if full => {
                check.held(format!("{label}: laps_full, and all {} are there", count(n, "listed race")));
            }
            (Holdings::All(n), _) => {
                check.violated(format!(
                    "{label}: all {} are there, but ingest_depth is {depth}",
                    count(n, "listed race")
                ));
            }
            (Holdings::Lacking(what), _) if full => {
                what.iter().for_each(|text| check.violated(format!("{label}: laps_full, but {text}")));
            }
            (Holdings::Lacking(what), ExpectedOutcome::Complete) => {
                what.iter().for_each(|text| check.violated(format!("{label}: ingest_depth is {depth}; {text}")));
            }
            (Holdings::Lacking(_), ExpectedOutcome::Partial { failed }) => {
                partial(&mut check, ingestion, failed, &label)
            }
        }
    }
    check.finish()
}

/// Whether an event that is ingested for the first time was called `laps_full` in mid-ingestion while races were missing. (A later
/// revision may find it `laps_full`, and leaves that in the transaction in which a new race comes.)
fn too_early(check: &mut Check, ingestion: &Ingestion, label: &str) {
    if ingestion.purpose != Purpose::Revision(1) {
        return;
    }
    for interlude in ingestion.interludes.iter().filter(|i| i.ingest_depth.as_deref() == Some(LAPS_FULL)) {
        let there = |race: &u64| interlude.checkpoints.get(race).is_some_and(|c| c.state == WRITTEN);
        let missing: Vec<u64> = listed(ingestion).into_iter().filter(|race| !there(race)).collect();
        if !missing.is_empty() {
            check.violated(format!(
                "{label}, after {}: laps_full, but {} not written",
                interlude.after,
                races(&missing)
            ));
        }
    }
}

/// Not `laps_full`, as it must be: are the others there, and are the failed ones named?
fn partial(check: &mut Check, ingestion: &Ingestion, failed: &[u64], label: &str) {
    let before = check.found();
    if ingestion.observed.ingest_depth.is_none() {
        check.violated(format!("{label}: no such event in the database"));
    }
    if let Holdings::Lacking(what) = without_failed(ingestion) {
        what.iter().for_each(|text| check.violated(format!("{label}: {text}")));
    }
    // An engine without a feed names nothing that could be read here.
    if let Some(last) = ingestion.attempts.last().filter(|a| a.summary.is_some()) {
        let named: BTreeSet<u64> = last.failed.iter().map(|f| f.race).collect();
        let must: BTreeSet<u64> = must_fail(ingestion).iter().copied().collect();
        let unnamed: Vec<u64> = must.difference(&named).copied().collect();
        if !unnamed.is_empty() {
            check.violated(format!("{label}: {} must fail, but the engine does not name it", races(&unnamed)));
        }
        let wrongly: Vec<u64> = named.difference(&must).copied().collect();
        if !wrongly.is_empty() {
            check.violated(format!("{label}: the engine gave up {}, which can be read", races(&wrongly)));
        }
        for f in last.failed.iter().filter(|f| f.url.is_empty() || f.cause.is_empty()) {
            check.violated(format!("{label}: race {} is named without URL or cause", f.race));
        }
    }
    let stored: Vec<u64> = failed
        .iter()
        .copied()
        .filter(|&race| rows_of(&ingestion.expected, RowKind::Results, race) == Some(0))
        .filter(|&race| rows_of(&ingestion.observed.tables, RowKind::Results, race) > Some(0))
        .collect();
    if !stored.is_empty() {
        check.violated(format!("{label}: {} must fail, but its results are stored", races(&stored)));
    }
    if check.found() == before {
        let written = listed(ingestion).iter().filter(|race| !failed.contains(race)).count();
        let (written, failed) = (count(written as u64, "race"), races(failed));
        check.held(format!("{label}: not laps_full; {written} written, {failed} failed as expected"));
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixture::{self, Damage};
    use super::*;
    use crate::oracle::Verdict;

    #[test]
    fn a_missing_race_result_or_lap_under_laps_full_is_violated() {
        assert_eq!(check(&fixture::healthy()).verdict, Verdict::Held);
        for kind in [RowKind::Races, RowKind::Results, RowKind::Laps] {
            for ingestion in 0..2 {
                let mut record = fixture::healthy();
                fixture::damage(&mut record.ingestions[ingestion].observed.tables, kind, Damage::Missing);
                assert_eq!(check(&record).verdict, Verdict::Violated, "{kind:?}");
            }
        }
    }

    #[test]
    fn content_and_other_tables_are_for_other_oracles() {
        for kind in RowKind::ALL {
            for damage in [Damage::Doubled, Damage::Changed, Damage::Extra] {
                let mut record = fixture::healthy();
                fixture::damage(&mut record.ingestions[0].observed.tables, kind, damage);
                assert_eq!(check(&record).verdict, Verdict::Held, "{kind:?} {damage:?}");
            }
        }
        for kind in [RowKind::Tracks, RowKind::Events, RowKind::Drivers, RowKind::Entries] {
            let mut record = fixture::healthy();
            fixture::damage(&mut record.ingestions[0].observed.tables, kind, Damage::Missing);
            assert_eq!(check(&record).verdict, Verdict::Held, "{kind:?}");
        }
    }

    #[test]
    fn depth_must_agree_both_ways() {
        for depth in [Some("partial"), Some("none"), None] {
            let mut record = fixture::healthy();
            record.ingestions[0].observed.ingest_depth = depth.map(str::to_owned);
            assert_eq!(check(&record).verdict, Verdict::Violated, "{depth:?}");
        }
        let mut honest_but_incomplete = fixture::healthy();
        let observed = &mut honest_but_incomplete.ingestions[0].observed;
        observed.ingest_depth = Some("partial".into());
        fixture::damage(&mut observed.tables, RowKind::Laps, Damage::Missing);
        let finding = check(&honest_but_incomplete);
        assert_eq!(finding.verdict, Verdict::Violated, "the scenario expects it complete");
        assert!(finding.evidence[0].contains("race 101 has 19 of 20 laps"), "{finding:?}");
    }

    #[test]
    fn a_partial_outcome_holds_when_the_others_are_there_and_the_failed_race_is_named() {
        let finding = check(&fixture::partial(103));
        assert_eq!(finding.verdict, Verdict::Held, "{finding:?}");
        assert_eq!(finding.evidence[0], "revision 1: not laps_full; 2 races written, race 103 failed as expected");

        let spoils: [fn(&mut Ingestion); 7] = [
            |i| i.observed.ingest_depth = Some("laps_full".into()),
            |i| i.observed.ingest_depth = None,
            |i| drop(i.observed.tables.get_mut(&RowKind::Races).unwrap().remove(&101)),
            |i| i.attempts[0].failed.clear(),
            |i| i.attempts[0].failed[0].cause.clear(),
            |i| i.attempts[0].failed[0].race = 101,
            |i| drop(i.observed.tables.get_mut(&RowKind::Results).unwrap().insert(103, fixture::group(2, "x"))),
        ];
        for (n, spoil) in spoils.into_iter().enumerate() {
            let mut record = fixture::partial(103);
            spoil(&mut record.ingestions[0]);
            assert_eq!(check(&record).verdict, Verdict::Violated, "spoil {n}");
        }
    }

    #[test]
    fn what_was_not_read_is_unknown() {
        for kind in [RowKind::Races, RowKind::Results, RowKind::Laps] {
            let mut record = fixture::healthy();
            record.ingestions[0].observed.tables.remove(&kind);
            assert_eq!(check(&record).verdict, Verdict::Unknown, "{kind:?}");
        }
    }

    #[test]
    fn laps_full_before_every_race_is_written_is_violated() {
        let mut record = fixture::crashed();
        assert_eq!(check(&record).verdict, Verdict::Held);
        record.ingestions[0].interludes[0].ingest_depth = Some(LAPS_FULL.into());
        let finding = check(&record);
        assert_eq!(finding.verdict, Verdict::Violated);
        assert!(finding.evidence[0].contains("laps_full, but races 102, 103 not written"), "{finding:?}");
        record.ingestions[0].purpose = Purpose::Revision(2);
        assert_eq!(check(&record).verdict, Verdict::Held, "a later revision may find it so");
    }
}
