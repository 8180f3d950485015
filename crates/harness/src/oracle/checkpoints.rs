//! *checkpoints*: a checkpoint never runs ahead of its data nor behind it, and its hash is that of the stored rows.
//!
//! Never: at the end of each ingestion, and at every look in between, since a restarted engine may put right what was wrong.
//! Hashes are recomputed at the end alone.

use super::check::{Check, Finding, count, figure, label};
use super::durable::WRITTEN;
use super::stored::must_fail;
use super::tables::rows_of;
use crate::trial::record::{Checkpoint, Ingestion, Interlude, RowKind, TrialRecord};

/// State of a checkpoint whose race was given up.
const FAILED: &str = "failed";

/// Judges a trial.
#[must_use]
pub fn check(record: &TrialRecord) -> Finding {
    let mut check = Check::default();
    for ingestion in &record.ingestions {
        judge(&mut check, ingestion);
    }
    check.finish()
}

fn judge(check: &mut Check, ingestion: &Ingestion) {
    let label = label(ingestion);
    let observed = &ingestion.observed;
    for kind in [RowKind::Races, RowKind::Laps] {
        if !observed.tables.contains_key(&kind) {
            check.missing(format!("{label}: {} were not read", kind.name()));
            return;
        }
    }
    let before = check.found();
    let (mut laps, mut written, mut failed) = (0, 0, 0);
    for (&race, checkpoint) in &observed.checkpoints {
        let of_race = format!("{label}: race {race}");
        match checkpoint.state.as_str() {
            WRITTEN => {
                written += 1;
                laps += checkpoint.lap_count;
                is_of_its_rows(check, ingestion, race, checkpoint, &of_race);
            }
            FAILED if must_fail(ingestion).contains(&race) => {
                failed += 1;
                if checkpoint.error.as_deref().unwrap_or_default().is_empty() {
                    check.violated(format!("{of_race}: its checkpoint says failed, and not why"));
                }
            }
            FAILED => {
                let why = checkpoint.error.as_deref().unwrap_or("no error");
                check.violated(format!("{of_race}: its checkpoint says failed ({why}), but its page can be read"));
            }
            other => check.violated(format!("{of_race}: its checkpoint has the unknown state `{other}`")),
        }
    }
    for (&race, group) in &observed.tables[&RowKind::Races] {
        if group.rows > 0 && !observed.checkpoints.contains_key(&race) && !must_fail(ingestion).contains(&race) {
            check.violated(format!("{label}: race {race} is stored without a checkpoint"));
        }
    }
    ingestion.interludes.iter().for_each(|interlude| in_between(check, ingestion, interlude, &label));
    if check.found() > before || written + failed == 0 {
        return;
    }
    let gave_up = if failed > 0 { format!(", {} of failed races", figure(failed)) } else { String::new() };
    check.held(format!(
        "{label}: {} over {} agree with the stored rows, hashes recomputed{gave_up}",
        count(written, "checkpoint"),
        count(laps, "lap")
    ));
}

/// The same in one look in mid-ingestion, as far as laps go.
fn in_between(check: &mut Check, ingestion: &Ingestion, interlude: &Interlude, label: &str) {
    let of = |race: u64| format!("{label}, after {}: race {race}", interlude.after);
    for (&race, checkpoint) in interlude.checkpoints.iter().filter(|(_, c)| c.state == WRITTEN) {
        match interlude.laps_stored.get(&race) {
            None => check.violated(format!("{}: its checkpoint says written, but no such race is stored", of(race))),
            Some(&stored) if stored != checkpoint.lap_count => unlike(check, &of(race), checkpoint, stored),
            Some(_) => {}
        }
    }
    for &race in interlude.laps_stored.keys() {
        if !interlude.checkpoints.contains_key(&race) && !must_fail(ingestion).contains(&race) {
            check.violated(format!("{} is stored without a checkpoint", of(race)));
        }
    }
}

fn unlike(check: &mut Check, of_race: &str, checkpoint: &Checkpoint, stored: u64) {
    let way = if checkpoint.lap_count > stored { "ahead of" } else { "behind" };
    check.violated(format!(
        "{of_race}: its checkpoint is {way} its data: it speaks of {}, {} stored",
        count(checkpoint.lap_count, "lap"),
        figure(stored)
    ));
}

fn is_of_its_rows(check: &mut Check, ingestion: &Ingestion, race: u64, checkpoint: &Checkpoint, of_race: &str) {
    let observed = &ingestion.observed;
    if rows_of(&observed.tables, RowKind::Races, race) == Some(0) {
        check.violated(format!("{of_race}: its checkpoint says written, but no such race is stored"));
        return;
    }
    // Two witnesses for the laps; where only one was heard, it suffices.
    let witnesses = [observed.laps_stored.get(&race).copied(), rows_of(&observed.tables, RowKind::Laps, race)];
    if let Some(stored) = witnesses.into_iter().flatten().find(|&stored| stored != checkpoint.lap_count) {
        unlike(check, of_race, checkpoint, stored);
    }
    match (&checkpoint.hash, &checkpoint.recomputed) {
        (Some(hash), Some(recomputed)) if hash == recomputed => {}
        (Some(hash), Some(recomputed)) => {
            check.violated(format!("{of_race}: its checkpoint's hash is {hash}, that of the stored rows {recomputed}"));
        }
        (None, Some(_)) => check.violated(format!("{of_race}: its checkpoint has no hash")),
        (_, None) => check.missing(format!("{of_race}: the hash of the stored rows was not recomputed")),
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixture::{self, Damage};
    use super::*;
    use crate::oracle::Verdict;
    use crate::trial::record::Snapshot;

    #[test]
    fn ahead_behind_wrong_hash_and_orphans_are_violated() {
        let finding = check(&fixture::healthy());
        assert_eq!(finding.verdict, Verdict::Held);
        assert_eq!(
            finding.evidence[0],
            "revision 1: 3 checkpoints over 60 laps agree with the stored rows, hashes recomputed"
        );
        type Spoil = fn(&mut Snapshot);
        let spoils: [(Spoil, &str); 9] = [
            (|s| s.checkpoints.get_mut(&101).unwrap().lap_count += 1, "ahead"),
            (|s| s.checkpoints.get_mut(&101).unwrap().lap_count -= 1, "behind"),
            (|s| *s.laps_stored.get_mut(&101).unwrap() = 19, "ahead"),
            (|s| s.checkpoints.get_mut(&101).unwrap().hash = Some("stale".into()), "hash"),
            (|s| s.checkpoints.get_mut(&101).unwrap().hash = None, "no hash"),
            (|s| drop(s.checkpoints.remove(&102)), "without a checkpoint"),
            (|s| drop(s.checkpoints.insert(999, s.checkpoints[&101].clone())), "no such race"),
            (|s| s.checkpoints.get_mut(&103).unwrap().state = "failed".into(), "can be read"),
            (|s| s.checkpoints.get_mut(&103).unwrap().state = "done".into(), "unknown state"),
        ];
        for (spoil, says) in spoils {
            let mut record = fixture::healthy();
            spoil(&mut record.ingestions[1].observed);
            let finding = check(&record);
            assert_eq!(finding.verdict, Verdict::Violated, "{says}");
            assert!(finding.evidence[0].contains(says), "{says}: {finding:?}");
        }
    }

    #[test]
    fn what_was_wrong_in_mid_ingestion_is_violated_though_it_is_right_at_the_end() {
        assert_eq!(check(&fixture::crashed()).verdict, Verdict::Held);
        type Spoil = fn(&mut Interlude);
        let spoils: [(Spoil, &str); 4] = [
            (
                |i| drop(i.checkpoints.insert(102, i.checkpoints[&101].clone())),
                "race 102: its checkpoint says written, but no",
            ),
            (|i| _ = i.laps_stored.insert(101, 19), "is ahead of its data"),
            (|i| _ = i.laps_stored.insert(101, 40), "is behind its data"),
            (|i| _ = i.laps_stored.insert(102, 20), "race 102 is stored without a checkpoint"),
        ];
        for (spoil, says) in spoils {
            let mut record = fixture::crashed();
            spoil(&mut record.ingestions[0].interludes[0]);
            let finding = check(&record);
            assert_eq!(finding.verdict, Verdict::Violated, "{says}");
            assert!(finding.evidence[0].contains("after process 4711 was killed"), "{finding:?}");
            assert!(finding.evidence[0].contains(says), "{says}: {finding:?}");
        }
        let mut failed = fixture::crashed();
        let given_up = Checkpoint {
            state: FAILED.into(),
            lap_count: 0,
            ..failed.ingestions[0].interludes[0].checkpoints[&101].clone()
        };
        failed.ingestions[0].interludes[0].checkpoints.insert(102, given_up);
        assert_eq!(check(&failed).verdict, Verdict::Held, "a race that was given up may have no rows");
    }

    #[test]
    fn rows_that_went_or_came_behind_the_checkpoints_back_are_violated() {
        for (kind, damage) in [
            (RowKind::Races, Damage::Missing),
            (RowKind::Races, Damage::Extra),
            (RowKind::Laps, Damage::Missing),
            (RowKind::Laps, Damage::Doubled),
        ] {
            let mut record = fixture::healthy();
            fixture::damage(&mut record.ingestions[0].observed.tables, kind, damage);
            assert_eq!(check(&record).verdict, Verdict::Violated, "{kind:?} {damage:?}");
        }
    }

    #[test]
    fn a_changed_row_is_seen_by_its_hash_alone_and_other_tables_not_at_all() {
        for kind in [RowKind::Tracks, RowKind::Events, RowKind::Drivers, RowKind::Entries] {
            for damage in Damage::ALL {
                let mut record = fixture::healthy();
                fixture::damage(&mut record.ingestions[0].observed.tables, kind, damage);
                assert_eq!(check(&record).verdict, Verdict::Held, "{kind:?} {damage:?}");
            }
        }
        let mut record = fixture::healthy();
        record.ingestions[0].observed.checkpoints.get_mut(&101).unwrap().recomputed = Some("other".into());
        assert_eq!(check(&record).verdict, Verdict::Violated);
    }

    #[test]
    fn a_failed_race_that_must_fail_has_a_checkpoint_with_its_error() {
        let mut record = fixture::partial(103);
        assert_eq!(check(&record).verdict, Verdict::Held);
        record.ingestions[0].observed.checkpoints.get_mut(&103).unwrap().error = None;
        assert_eq!(check(&record).verdict, Verdict::Violated);
    }

    #[test]
    fn what_was_not_read_or_recomputed_is_unknown() {
        let mut no_hash = fixture::healthy();
        no_hash.ingestions[0].observed.checkpoints.get_mut(&101).unwrap().recomputed = None;
        let mut no_races = fixture::healthy();
        no_races.ingestions[0].observed.tables.remove(&RowKind::Races);
        let mut no_laps = fixture::healthy();
        no_laps.ingestions[0].observed.tables.remove(&RowKind::Laps);
        for record in [no_hash, no_races, no_laps, fixture::idle()] {
            assert_eq!(check(&record).verdict, Verdict::Unknown);
        }
    }
}
