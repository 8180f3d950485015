//! Corrections that officials make after a meeting.

use super::event::Synth;
use super::model::{Entry, Event, Race};

/// A correction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Correction {
    /// A race disappears from the event page.
    RaceWithdrawn {
        /// Which.
        race: u64,
    },
}

pub(super) fn correct_event(synth: &Synth, event: &mut Event) {
    for Correction::RaceWithdrawn { race } in &synth.corrections {
        event.races.retain(|r| r.id != *race);
    }
}

pub(super) fn correct_entries(_synth: &Synth, _entries: &mut Vec<Entry>) {}

pub(super) fn corrected_race(synth: &Synth, id: u64) -> Option<Race> {
    synth.base.race(id)
}
