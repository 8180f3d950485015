//! *durable*: what the feed acknowledged before a fault is there after it.
//!
//! The feed's `committed` lines are the journal. Each race that it names must be stored with its laps and its checkpoint:
//! at every interlude that began after the acknowledgement, and at the end. The end alone shows nothing after a fault,
//! since a restarted engine writes again what was lost; so a trial with a fault needs interludes.
//!
//! An engine that was stalled while another finished the event is of the past when it wakes: it may write no row over, not even
//! with the same content, which every row's `xmin` shows.

use std::collections::{BTreeMap, BTreeSet};

use super::check::{Check, Finding, count, label, races};
use super::stored::must_fail;
use super::tables::rows_of;
use crate::trial::record::{Checkpoint, Exit, FaultRecord, Ingestion, RowKind, TrialRecord};

/// State of a checkpoint whose race was written.
pub(super) const WRITTEN: &str = "written";

/// Judges a trial.
#[must_use]
pub fn check(record: &TrialRecord) -> Finding {
    let mut check = Check::default();
    for ingestion in &record.ingestions {
        judge(&mut check, ingestion, &record.faults);
    }
    check.finish()
}

fn judge(check: &mut Check, ingestion: &Ingestion, faults: &[FaultRecord]) {
    let label = label(ingestion);
    let attempts = &ingestion.attempts;
    if !attempts.iter().any(|a| a.has_feed()) {
        check.missing(format!(
            "{label}: the engine wrote no feed, so nothing was acknowledged that could be looked for"
        ));
        return;
    }
    for error in attempts.iter().flat_map(|a| &a.feed_errors) {
        check.missing(format!("{label}: a line of the feed could not be read: {error}"));
    }
    if !ingestion.observed.tables.contains_key(&RowKind::Races)
        || !ingestion.observed.tables.contains_key(&RowKind::Laps)
    {
        check.missing(format!("{label}: races and laps were not read"));
        return;
    }
    let before = check.found();

    let acknowledged = acknowledged(ingestion, u64::MAX);
    let found = &ingestion.observed;
    let laps = |race| match rows_of(&found.tables, RowKind::Races, race) {
        Some(0) | None => None,
        Some(_) => rows_of(&found.tables, RowKind::Laps, race),
    };
    look(check, ingestion, &format!("{label}, at the end"), &acknowledged, laps, &found.checkpoints);
    for interlude in &ingestion.interludes {
        let by_then = self::acknowledged(ingestion, interlude.at_us);
        let laps = |race| interlude.laps_stored.get(&race).copied();
        look(check, ingestion, &format!("{label}, after {}", interlude.after), &by_then, laps, &interlude.checkpoints);
    }

    for interlude in &ingestion.interludes {
        let Some(was) = &interlude.finished else { continue };
        let after = &interlude.after;
        match &found.xmin_digest {
            Some(is) if is == was => {}
            Some(_) => check.violated(format!("{label}: after {after}, an older one wrote rows over")),
            None => check.missing(format!("{label}: the xmin of the rows was not read after {after}")),
        }
    }

    for (what, at_us) in disturbances(ingestion, faults) {
        if !ingestion.interludes.iter().any(|i| i.at_us >= at_us) {
            check.missing(format!("{label}: the database was not read between {what} and what the engine did next"));
        }
    }
    if check.found() == before {
        let text = match acknowledged.len() as u64 {
            0 => "nothing was acknowledged, so nothing could be lost".to_owned(),
            n => format!("all {} acknowledged are stored with laps and checkpoint", count(n, "race")),
        };
        let looked = match ingestion.interludes.len() as u64 {
            0 => String::new(),
            n => format!(
                ", at the end and at {}",
                count(n, "look in mid-ingestion").replace("look in mid-ingestions", "looks in mid-ingestion")
            ),
        };
        check.held(format!("{label}: {text}{looked}"));
    }
}

/// Races that had been acknowledged and were not stored at a look in mid-ingestion, each at the first such look: (after what it
/// was looked, races).
#[must_use]
pub fn lost_meanwhile(ingestion: &Ingestion) -> Vec<(&str, BTreeSet<u64>)> {
    let mut known = BTreeSet::new();
    let mut all = Vec::new();
    for interlude in &ingestion.interludes {
        let gone = |race: &u64| !interlude.laps_stored.contains_key(race);
        let lost: BTreeSet<u64> = acknowledged(ingestion, interlude.at_us)
            .into_iter()
            .filter(gone)
            .filter(|race| known.insert(*race))
            .collect();
        if !lost.is_empty() {
            all.push((interlude.after.as_str(), lost));
        }
    }
    all
}

/// Races that the feed acknowledged up to a moment, and that the expected tables hold: one that left the page in this
/// revision, or that must fail, has no rows to be looked for.
fn acknowledged(ingestion: &Ingestion, until_us: u64) -> BTreeSet<u64> {
    let wanted = |race: &u64| {
        rows_of(&ingestion.expected, RowKind::Races, *race) > Some(0) && !must_fail(ingestion).contains(race)
    };
    let all = ingestion.attempts.iter().flat_map(|a| &a.committed);
    all.filter(|(_, at_us)| *at_us <= until_us).map(|&(race, _)| race).filter(wanted).collect()
}

/// What happened in an ingestion after which a look at the database is needed, and when.
fn disturbances(ingestion: &Ingestion, faults: &[FaultRecord]) -> Vec<(String, u64)> {
    let deaths = ingestion.attempts.iter().filter(|a| !matches!(a.exit, Exit::Code(_)));
    let mut all: Vec<_> = deaths.map(|a| (format!("the end of process {}", a.pid), a.ended_us)).collect();
    let span = ingestion.attempts.first().map(|a| a.started_us)..=ingestion.attempts.last().map(|a| a.ended_us);
    for fault in faults {
        if let Some(fired) = fault.fired.as_ref().filter(|fired| span.contains(&Some(fired.at_us))) {
            all.push((format!("the fault `{}`", fault.fault), fired.at_us));
        }
    }
    all
}

/// Looks for the acknowledged races in one state of the database.
fn look(
    check: &mut Check,
    ingestion: &Ingestion,
    place: &str,
    acknowledged: &BTreeSet<u64>,
    laps: impl Fn(u64) -> Option<u64>,
    checkpoints: &BTreeMap<u64, Checkpoint>,
) {
    let mut lost = Vec::new();
    for &race in acknowledged {
        let want = rows_of(&ingestion.expected, RowKind::Laps, race).unwrap_or(0);
        match laps(race) {
            None => {
                lost.push(race);
                continue;
            }
            Some(have) if have != want => {
                check.violated(format!(
                    "{place}: race {race} was acknowledged, and has {have} of {}",
                    count(want, "lap")
                ));
            }
            Some(_) => {}
        }
        match checkpoints.get(&race) {
            Some(checkpoint) if checkpoint.state == WRITTEN && checkpoint.lap_count == want => {}
            Some(c) => check.violated(format!(
                "{place}: race {race} was acknowledged, and its checkpoint says {} with {}",
                c.state,
                count(c.lap_count, "lap")
            )),
            None => check.violated(format!("{place}: race {race} was acknowledged, and has no checkpoint")),
        }
    }
    if !lost.is_empty() {
        check.violated(format!("{place}: {} acknowledged and lost: {}", lost.len(), races(&lost)));
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixture::{self, Damage};
    use super::*;
    use crate::oracle::Verdict;
    use crate::trial::record::{ExpectedOutcome, Fired};

    #[test]
    fn an_acknowledged_race_lap_or_checkpoint_that_is_gone_at_the_end_is_violated() {
        let finding = check(&fixture::healthy());
        assert_eq!(finding.verdict, Verdict::Held);
        assert_eq!(finding.evidence[0], "revision 1: all 3 races acknowledged are stored with laps and checkpoint");
        for (kind, damage) in
            [(RowKind::Races, Damage::Missing), (RowKind::Laps, Damage::Missing), (RowKind::Laps, Damage::Doubled)]
        {
            let mut record = fixture::healthy();
            fixture::damage(&mut record.ingestions[0].observed.tables, kind, damage);
            assert_eq!(check(&record).verdict, Verdict::Violated, "{kind:?} {damage:?}");
        }
        for kind in RowKind::ALL {
            let mut record = fixture::healthy();
            fixture::damage(&mut record.ingestions[0].observed.tables, kind, Damage::Changed);
            assert_eq!(check(&record).verdict, Verdict::Held, "{kind:?}: content is for another oracle");
        }
        let mut record = fixture::healthy();
        record.ingestions[0].observed.checkpoints.remove(&102);
        assert_eq!(check(&record).verdict, Verdict::Violated);
        let mut record = fixture::healthy();
        record.ingestions[0].observed.checkpoints.get_mut(&102).unwrap().state = "failed".into();
        assert_eq!(check(&record).verdict, Verdict::Violated);
    }

    #[test]
    fn what_was_lost_in_mid_ingestion_is_violated_though_it_is_there_at_the_end() {
        let record = fixture::crashed();
        let finding = check(&record);
        assert_eq!(finding.verdict, Verdict::Held, "{finding:?}");
        assert!(finding.evidence[0].contains("at the end and at 1 look in mid-ingestion"), "{finding:?}");

        assert!(lost_meanwhile(&record.ingestions[0]).is_empty());
        let mut lost = record.clone();
        lost.ingestions[0].interludes[0].laps_stored.remove(&101);
        let told = lost_meanwhile(&lost.ingestions[0]);
        assert!(told[0].0.contains("4711") && told[0].1.iter().eq([&101]), "{told:?}");
        let finding = check(&lost);
        assert_eq!(finding.verdict, Verdict::Violated);
        assert!(finding.evidence[0].contains("after process 4711 was killed"), "{finding:?}");
        let mut short = record.clone();
        short.ingestions[0].interludes[0].laps_stored.insert(101, 19);
        assert_eq!(check(&short).verdict, Verdict::Violated);
        let mut behind = record.clone();
        behind.ingestions[0].interludes[0].checkpoints.clear();
        assert_eq!(check(&behind).verdict, Verdict::Violated);
    }

    #[test]
    fn rows_that_an_overtaken_process_wrote_over_are_violated_though_they_are_equal() {
        let mut record = fixture::crashed();
        let digest = record.ingestions[0].observed.xmin_digest.clone();
        assert!(digest.is_some());
        record.ingestions[0].interludes[0].finished = digest;
        assert_eq!(check(&record).verdict, Verdict::Held);
        record.ingestions[0].observed.xmin_digest = Some("others".into());
        let finding = check(&record);
        assert_eq!(finding.verdict, Verdict::Violated);
        assert!(finding.evidence[0].contains("wrote rows over"), "{finding:?}");
        record.ingestions[0].observed.xmin_digest = None;
        assert_eq!(check(&record).verdict, Verdict::Unknown);
    }

    #[test]
    fn what_was_not_acknowledged_by_then_may_be_missing() {
        let mut record = fixture::crashed();
        // Race 102 is acknowledged by the second process, after the interlude: that it was not there is no loss.
        assert!(!record.ingestions[0].interludes[0].laps_stored.contains_key(&102));
        assert_eq!(check(&record).verdict, Verdict::Held);
        // An ambiguous commit: stored, never acknowledged.
        record.ingestions[0].attempts[0].committed.clear();
        assert_eq!(check(&record).verdict, Verdict::Held);
        // A race that must fail may be committed with its error, and has nothing to be looked for.
        let mut partial = fixture::partial(103);
        partial.ingestions[0].attempts[0].committed.push((103, 1));
        assert_eq!(partial.ingestions[0].expect, ExpectedOutcome::Partial { failed: vec![103] });
        assert_eq!(check(&partial).verdict, Verdict::Held);
    }

    #[test]
    fn a_death_or_a_fault_without_a_look_afterwards_is_unknown() {
        let mut record = fixture::crashed();
        record.ingestions[0].interludes.clear();
        assert_eq!(check(&record).verdict, Verdict::Unknown);

        let mut faulted = fixture::healthy();
        let at_us = faulted.ingestions[0].attempts[0].started_us + 1;
        let fired = Some(Fired { at_us, healed_us: None, evidence: "log".into() });
        faulted.faults.push(FaultRecord {
            fault: "before-commit#1 = db-kill".into(),
            fired,
            why_not: None,
            missed: None,
        });
        let finding = check(&faulted);
        assert_eq!(finding.verdict, Verdict::Unknown);
        assert!(finding.evidence[0].contains("db-kill"), "{finding:?}");
    }

    #[test]
    fn without_a_readable_feed_or_without_rows_it_is_unknown() {
        let mut no_feed = fixture::healthy();
        for ingestion in &mut no_feed.ingestions {
            fixture::silence(ingestion);
        }
        let mut torn = fixture::healthy();
        torn.ingestions[0].attempts[0].feed_errors.push("line 7: not JSON".into());
        let mut unread = fixture::healthy();
        unread.ingestions[0].observed.tables.clear();
        for record in [no_feed, torn, unread] {
            assert_eq!(check(&record).verdict, Verdict::Unknown);
        }
    }
}
