//! Which of the listed races are there: what `complete` and `exit` share.

use super::check::{count, figure, races};
use super::tables::rows_of;
use crate::trial::record::{ExpectedOutcome, Ingestion, RowKind};

/// Whether the database holds all that the event page lists.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Holdings {
    /// These kinds of rows were not read, or nothing was expected of them.
    Unread(Vec<&'static str>),
    /// This many races, all of them with all their results and laps.
    All(u64),
    /// What is not there, in plain words.
    Lacking(Vec<String>),
}

/// The state of the event as `ingest_depth` says it.
pub(super) const LAPS_FULL: &str = "laps_full";

/// Ids of the races that must fail.
pub(super) fn must_fail(ingestion: &Ingestion) -> &[u64] {
    match &ingestion.expect {
        ExpectedOutcome::Complete => &[],
        ExpectedOutcome::Partial { failed } => failed,
    }
}

/// Compares counts, not content: a changed or an extra row makes no event incomplete.
pub(super) fn holdings(ingestion: &Ingestion) -> Holdings {
    match without_failed(ingestion) {
        Holdings::Unread(kinds) => Holdings::Unread(kinds),
        other => {
            // A race that cannot be read is on the event page all the same; where the expected tables hold an older
            // state of it, that state being there does not make it read.
            let failed = must_fail(ingestion);
            match other {
                Holdings::All(_) if !failed.is_empty() => {
                    Holdings::Lacking(vec![format!("{} cannot be read", races(failed))])
                }
                Holdings::Lacking(mut what) if !failed.is_empty() => {
                    what.push(format!("{} cannot be read", races(failed)));
                    Holdings::Lacking(what)
                }
                other => other,
            }
        }
    }
}

/// The same, of what the expected tables hold alone: the races that must fail are not looked for.
pub(super) fn without_failed(ingestion: &Ingestion) -> Holdings {
    let (expected, observed) = (&ingestion.expected, &ingestion.observed.tables);
    let unread: Vec<_> = [RowKind::Races, RowKind::Results, RowKind::Laps]
        .into_iter()
        .filter(|kind| !expected.contains_key(kind) || !observed.contains_key(kind))
        .map(RowKind::name)
        .collect();
    if !unread.is_empty() {
        return Holdings::Unread(unread);
    }
    let mut lacking = Vec::new();
    let mut absent = Vec::new();
    let listed = listed(ingestion);
    for &race in &listed {
        if rows_of(observed, RowKind::Races, race) == Some(0) {
            absent.push(race);
            continue;
        }
        for (kind, noun) in [(RowKind::Results, "result"), (RowKind::Laps, "lap")] {
            let want = rows_of(expected, kind, race).unwrap_or(0);
            let have = rows_of(observed, kind, race).unwrap_or(0);
            if have < want {
                lacking.push(format!("race {race} has {} of {}", figure(have), count(want, noun)));
            }
        }
    }
    if !absent.is_empty() {
        let of = count(listed.len() as u64, "race");
        lacking.insert(0, format!("{} of {of} not there: {}", figure(absent.len() as u64), races(&absent)));
    }
    if lacking.is_empty() { Holdings::All(listed.len() as u64) } else { Holdings::Lacking(lacking) }
}

/// Ids of the races that the expected tables hold.
pub(super) fn listed(ingestion: &Ingestion) -> Vec<u64> {
    let races = ingestion.expected.get(&RowKind::Races);
    races.into_iter().flatten().filter(|(_, group)| group.rows > 0).map(|(&race, _)| race).collect()
}
