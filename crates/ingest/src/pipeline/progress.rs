//! How far each race of a run has come, for whoever watches it.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use serde::{Deserialize, Serialize};

/// How far a race has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum RaceStage {
    /// Listed on the event page, not read yet.
    Waiting,
    /// Read and checked, not written yet.
    Fetched,
    /// Committed.
    Written,
    /// Equal to what is stored, or written by an earlier run of the unfinished event.
    Unchanged,
    /// Given up in this run.
    Failed,
}

/// The races of a run by LiveRC's id.
#[derive(Debug, Default)]
pub struct Progress {
    races: Mutex<(u64, BTreeMap<u64, RaceStage>)>,
}

impl Progress {
    fn change(&self, change: impl FnOnce(&mut BTreeMap<u64, RaceStage>)) {
        let mut races = self.races.lock().unwrap_or_else(PoisonError::into_inner);
        races.0 += 1;
        change(&mut races.1);
    }

    pub(super) fn listed(&self, ids: impl Iterator<Item = u64>) {
        self.change(|races| *races = ids.map(|id| (id, RaceStage::Waiting)).collect());
    }

    pub(super) fn set(&self, race: u64, stage: RaceStage) {
        self.change(|races| {
            races.insert(race, stage);
        });
    }

    /// The races, and a number that grows with every change; `None` when it is still `seen`.
    #[must_use]
    pub fn since(&self, seen: u64) -> Option<(u64, BTreeMap<u64, RaceStage>)> {
        let races = self.races.lock().unwrap_or_else(PoisonError::into_inner);
        (races.0 != seen).then(|| races.clone())
    }
}
