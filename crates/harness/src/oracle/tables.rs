//! Comparison of tables as counts and digests per group: what `content` and `same-content` share.

use super::check::{count, figure};
use crate::trial::record::{Group, RowKind, Tables};

/// What a comparison found.
#[derive(Debug, Default)]
pub(super) struct Differences {
    /// Groups that differ, in plain words.
    pub(super) differing: Vec<String>,
    /// Kinds of rows that one side does not tell about.
    pub(super) unread: Vec<RowKind>,
}

/// Compares what should be there with what is, kind by kind, group by group. A group without rows equals an absent one.
pub(super) fn compare(wanted: &Tables, found: &Tables) -> Differences {
    let mut out = Differences::default();
    for kind in RowKind::ALL {
        let (Some(wanted), Some(found)) = (wanted.get(&kind), found.get(&kind)) else {
            out.unread.push(kind);
            continue;
        };
        for (&group, want) in wanted {
            let have = found.get(&group).filter(|g| g.rows > 0);
            if let Some(text) = difference(want, have) {
                out.differing.push(format!("{}: {text}", place(kind, group)));
            }
        }
        for (&group, extra) in found.iter().filter(|(group, g)| g.rows > 0 && !wanted.contains_key(group)) {
            out.differing.push(format!("{}: {} too many, none is expected", place(kind, group), figure(extra.rows)));
        }
    }
    out
}

fn difference(want: &Group, have: Option<&Group>) -> Option<String> {
    match have {
        None if want.rows == 0 => None,
        None => Some(format!("none of {} is there", count(want.rows, "row"))),
        Some(have) if have.rows != want.rows => {
            Some(format!("{} where {} expected", count(have.rows, "row"), figure(want.rows)))
        }
        Some(have) if have.digest != want.digest => {
            Some(format!("{} as expected, but not the same content", count(have.rows, "row")))
        }
        Some(_) => None,
    }
}

/// `laps of race 12`, or `drivers` for what belongs to the whole event.
pub(super) fn place(kind: RowKind, group: u64) -> String {
    match kind {
        RowKind::Races => format!("races, race {group}"),
        RowKind::Results | RowKind::Laps => format!("{} of race {group}", kind.name()),
        RowKind::Tracks | RowKind::Events | RowKind::Drivers | RowKind::Entries => kind.name().to_owned(),
    }
}

/// Rows of a kind in all groups; `None`: not read.
pub(super) fn rows(tables: &Tables, kind: RowKind) -> Option<u64> {
    tables.get(&kind).map(|groups| groups.values().map(|g| g.rows).sum())
}

/// Whether there is no row where some are expected: then nothing can change, and that nothing did shows nothing.
pub(super) fn nothing_there(wanted: &Tables, found: &Tables) -> bool {
    let all = |tables| RowKind::ALL.into_iter().filter_map(|kind| rows(tables, kind)).sum::<u64>();
    all(wanted) > 0 && all(found) == 0
}

/// Rows of a kind in one group; `None`: the kind was not read.
pub(super) fn rows_of(tables: &Tables, kind: RowKind, group: u64) -> Option<u64> {
    tables.get(&kind).map(|groups| groups.get(&group).map_or(0, |g| g.rows))
}

/// `10,000 laps and 480 results in 40 races, 71 entries, 60 drivers`.
pub(super) fn totals(tables: &Tables) -> String {
    let of = |kind, noun| count(rows(tables, kind).unwrap_or(0), noun);
    format!(
        "{} and {} in {}, {}, {}",
        of(RowKind::Laps, "lap"),
        of(RowKind::Results, "result"),
        of(RowKind::Races, "race"),
        of(RowKind::Entries, "entry"),
        of(RowKind::Drivers, "driver")
    )
}
